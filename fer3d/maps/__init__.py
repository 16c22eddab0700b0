"""Normals and curvatures of a scan, and its maps: depth, normals, curvature, texture and maps of other packages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fer3d import lazy_names

if TYPE_CHECKING:
    from fer3d.maps.checking import check_group
    from fer3d.maps.context import MapContext
    from fer3d.maps.curvature import (
        CURVATURE_RADIUS,
        curvedness,
        fit_curvatures,
        gaussian_curvature,
        mean_curvature,
        principal_curvatures,
        shape_index,
        vertex_normals,
    )
    from fer3d.maps.groups import Channel, MapGroup
    from fer3d.maps.registry import group_names, map_group, register
    from fer3d.maps.render import FILLED, MEASURED, NONE, Maps, render_maps

__all__ = [
    "CURVATURE_RADIUS",
    "Channel",
    "FILLED",
    "MEASURED",
    "MapContext",
    "MapGroup",
    "Maps",
    "NONE",
    "check_group",
    "curvedness",
    "fit_curvatures",
    "gaussian_curvature",
    "group_names",
    "map_group",
    "mean_curvature",
    "principal_curvatures",
    "register",
    "render_maps",
    "shape_index",
    "vertex_normals",
]

_HOMES = {
    "CURVATURE_RADIUS": "curvature",
    "curvedness": "curvature",
    "fit_curvatures": "curvature",
    "gaussian_curvature": "curvature",
    "mean_curvature": "curvature",
    "principal_curvatures": "curvature",
    "shape_index": "curvature",
    "vertex_normals": "curvature",
    "check_group": "checking",
    "MapContext": "context",
    "Channel": "groups",
    "MapGroup": "groups",
    "group_names": "registry",
    "map_group": "registry",
    "register": "registry",
    "FILLED": "render",
    "MEASURED": "render",
    "NONE": "render",
    "Maps": "render",
    "render_maps": "render",
}

__getattr__ = lazy_names(__name__, _HOMES)
