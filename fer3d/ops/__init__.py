"""Operations on maps and surfaces: torch tensors in, torch tensors out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fer3d import lazy_names

if TYPE_CHECKING:
    from fer3d.ops.manifold import RetinaLayout, manifold_conv, manifold_conv_patches, manifold_pool, retina_layout
    from fer3d.ops.orientation_energy import OrientationEnergy

__all__ = [
    "OrientationEnergy",
    "RetinaLayout",
    "manifold_conv",
    "manifold_conv_patches",
    "manifold_pool",
    "retina_layout",
]

_HOMES = {
    "manifold_conv": "manifold",
    "manifold_conv_patches": "manifold",
    "manifold_pool": "manifold",
    "retina_layout": "manifold",
    "RetinaLayout": "manifold",
    "OrientationEnergy": "orientation_energy",
}

__getattr__ = lazy_names(__name__, _HOMES)
