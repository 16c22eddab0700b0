"""Normals and curvatures of a scan, and its depth, normal, curvature and texture maps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fer3d import lazy_names

if TYPE_CHECKING:
    from fer3d.maps.curvature import (
        CURVATURE_RADIUS,
        curvedness,
        gaussian_curvature,
        mean_curvature,
        principal_curvatures,
        shape_index,
        vertex_normals,
    )
    from fer3d.maps.groups import MAP_CHANNELS
    from fer3d.maps.render import FILLED, MEASURED, NONE, Maps, render_maps

__all__ = [
    "CURVATURE_RADIUS",
    "FILLED",
    "MAP_CHANNELS",
    "MEASURED",
    "Maps",
    "NONE",
    "curvedness",
    "gaussian_curvature",
    "mean_curvature",
    "principal_curvatures",
    "render_maps",
    "shape_index",
    "vertex_normals",
]

_HOMES = {
    "CURVATURE_RADIUS": "curvature",
    "curvedness": "curvature",
    "gaussian_curvature": "curvature",
    "mean_curvature": "curvature",
    "principal_curvatures": "curvature",
    "shape_index": "curvature",
    "vertex_normals": "curvature",
    "MAP_CHANNELS": "groups",
    "FILLED": "render",
    "MEASURED": "render",
    "NONE": "render",
    "Maps": "render",
    "render_maps": "render",
}

__getattr__ = lazy_names(__name__, _HOMES)
