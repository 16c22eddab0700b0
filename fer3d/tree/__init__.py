"""Sample trees and geodesic stencils: a scan at several resolutions, for convolutions on its surface."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fer3d import lazy_names

if TYPE_CHECKING:
    from fer3d.tree.sample_tree import LEVELS, RADII, RINGS, SampleTree
    from fer3d.tree.stencils import RAYS, farthest_points, geodesic_stencils
    from fer3d.tree.tracing import TracingTables

__all__ = ["LEVELS", "RADII", "RAYS", "RINGS", "SampleTree", "TracingTables", "farthest_points", "geodesic_stencils"]

_HOMES = {
    "LEVELS": "sample_tree",
    "RADII": "sample_tree",
    "RINGS": "sample_tree",
    "SampleTree": "sample_tree",
    "RAYS": "stencils",
    "farthest_points": "stencils",
    "geodesic_stencils": "stencils",
    "TracingTables": "tracing",
}

__getattr__ = lazy_names(__name__, _HOMES)
