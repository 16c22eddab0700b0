"""The map groups and the channels that each brings."""

from __future__ import annotations

# What `render_maps` can be asked for, and the channels that each brings. Texture is no channel: see `Maps.texture`.
MAP_CHANNELS = {
    "depth": ("depth",),
    "normal": ("normal_x", "normal_y", "normal_z"),
    "curvature": ("shape_index", "curvedness", "mean", "gaussian"),
    "texture": (),
}
