"""The four map groups of this package: depth, normal, curvature and texture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fer3d.maps.groups import Channel, MapGroup

if TYPE_CHECKING:
    from fer3d.maps.context import MapContext
    from fer3d.scan import Scan

# 1/mm [D]. Larger curvatures are clipped, so that a few pixels at a boundary, ten times as curved as any face, do not
# set the scale.
LARGEST_CURVATURE = 0.5
FLAT_SHAPE_INDEX = 0.5  # a flat place has no shape index; 0.5 is the middle of the scale, between rut and ridge


def _heights(scan: Scan, context: MapContext) -> NDArray[np.float32]:
    return scan.vertices[:, 2]


def _normals(scan: Scan, context: MapContext) -> NDArray[np.float32]:
    return context.normals


def _unit(normals: NDArray[np.float32]) -> NDArray[np.floating]:
    """(3, H, W): the interpolated normals, scaled to unit length."""
    unit: NDArray[np.floating] = normals / np.sqrt((normals * normals).sum(axis=0))
    return unit


def _principal_curvatures(scan: Scan, context: MapContext) -> NDArray[np.float32]:
    return np.stack(context.curvatures, axis=1)


def curvature_channels(principal: NDArray[np.float32]) -> NDArray[np.floating]:
    """(2, ...) k1 and k2 -> (4, ...): the stored channels of `CURVATURE`, none of which is linear in k1 and k2."""
    from fer3d.maps.curvature import curvedness, gaussian_curvature, mean_curvature, shape_index

    k1, k2 = principal
    return np.stack([f(k1, k2) for f in (shape_index, curvedness, mean_curvature, gaussian_curvature)])


def _half_difference(shape_index: NDArray[np.float32], curvedness: NDArray[np.float32]) -> NDArray[np.float32]:
    """(k1 - k2) / 2: shape index and curvedness are the angle and the length of (k1 - k2, k1 + k2) / 2."""
    half: NDArray[np.float32] = curvedness * np.sin(np.pi * shape_index)
    return half


DEPTH = MapGroup(
    "depth",
    stored=(Channel("depth", mirror=1, power=1, low=-70.0, high=5.0),),  # mm behind the nose tip
    values=_heights,
    kind="height",
)

NORMAL = MapGroup(
    "normal",
    stored=(
        Channel("normal_x", mirror=-1, power=0, low=-1.0, high=1.0),
        Channel("normal_y", mirror=1, power=0, low=-1.0, high=1.0),
        Channel("normal_z", mirror=1, power=0, low=-1.0, high=1.0),
    ),
    values=_normals,
    finish=_unit,
    kind="normal",
)

_SHAPE_INDEX = Channel("shape_index", mirror=1, power=0, low=0.0, high=1.0, colours="blue-red", flat=FLAT_SHAPE_INDEX)
_MEAN = Channel("mean", mirror=1, power=-1, low=-0.08, high=0.08, drawn=False, limit=LARGEST_CURVATURE)

# A network gets the shape index, the mean curvature (k1 + k2) / 2, and half the difference (k1 - k2) / 2 [D]; `dff-cnn`
# and `df-cnn` read the shape index alone, as DFF-CNN names only this and DF-CNN one curvature map [F]. On 162 simulated
# people kept for tuning, the three channels were more accurate than shape index and curvedness, by 1.2 points from
# curvature alone and by 0.8 from all maps.
CURVATURE = MapGroup(
    "curvature",
    stored=(
        _SHAPE_INDEX,
        Channel("curvedness", mirror=1, power=-1, low=0.0, high=0.12),
        _MEAN,
        Channel("gaussian", mirror=1, power=-2, low=-0.004, high=0.004, drawn=False),
    ),
    values=_principal_curvatures,
    finish=curvature_channels,
    fed=(
        _SHAPE_INDEX,
        _MEAN,
        Channel(
            "difference",
            mirror=1,
            power=-1,
            low=0.0,
            high=0.08,
            limit=LARGEST_CURVATURE,
            formula=_half_difference,
            of=("shape_index", "curvedness"),
        ),
    ),
    needs_curvatures=True,
)

TEXTURE = MapGroup(
    "texture",
    stored=(),
    values=None,
    fed=tuple(Channel(name, mirror=1, power=0, low=0.0, high=1.0) for name in ("red", "green", "blue")),
    kind="colour",
    picture=True,
)

GROUPS = (DEPTH, NORMAL, CURVATURE, TEXTURE)
