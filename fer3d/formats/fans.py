"""Cut polygons of any size into triangles."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_FOLDED = 1e-6  # how much of a polygon's area, squared, a triangle must point backwards by to count as wrong


class Fans(NamedTuple):
    """The result of `cut`.

    Attributes:
        corners: (T, 3) int64. Places in the list of corners.
        polygon: (T,) int64. The polygon of each triangle.
        folded: Number of polygons with more than four corners whose triangles overlap, as they are not convex.
    """

    corners: NDArray[np.int64]
    polygon: NDArray[np.int64]
    folded: int


def cut(sizes: NDArray[np.integer], corners: NDArray[np.integer], points: NDArray[np.floating]) -> Fans:
    """Cut polygons into fans from their first corner, and quadrilaterals that are not convex along the other diagonal.

    Args:
        sizes: (P,) integer. Number of corners of each polygon, at least 3.
        corners: (C,) integer. Rows in `points`, polygon by polygon.
        points: (N, 3) floating.
    """
    if len(sizes) and (sizes == 3).all():
        return Fans(np.arange(3 * len(sizes)).reshape(-1, 3), np.arange(len(sizes)), 0)
    triangles = sizes.astype(np.int64) - 2
    first = np.cumsum(sizes, dtype=np.int64) - sizes
    polygon = np.repeat(np.arange(len(sizes)), triangles)
    step = np.arange(len(polygon)) - np.repeat(np.cumsum(triangles) - triangles, triangles)
    fans = first[polygon][:, None] + np.stack([np.zeros_like(step), step + 1, step + 2], axis=1)
    backwards = _backwards(fans, polygon, len(sizes), corners, points)
    quads = np.flatnonzero(backwards & (sizes == 4))
    row = np.cumsum(triangles) - triangles  # first triangle of each polygon
    fans[row[quads]] = first[quads][:, None] + [1, 2, 3]
    fans[row[quads] + 1] = first[quads][:, None] + [1, 3, 0]
    return Fans(fans, polygon, int((backwards & (sizes > 4)).sum()))


def _backwards(
    fans: NDArray[np.int64],
    polygon: NDArray[np.int64],
    count: int,
    corners: NDArray[np.integer],
    points: NDArray[np.floating],
) -> NDArray[np.bool_]:
    """(P,): whether a triangle of the polygon points against the polygon as a whole."""
    with np.errstate(invalid="ignore", over="ignore"):
        place = points[corners[fans]].astype(np.float64)  # (T, 3, 3)
        normal = np.cross(place[:, 1] - place[:, 0], place[:, 2] - place[:, 0])
        whole = np.stack([np.bincount(polygon, normal[:, axis], minlength=count) for axis in range(3)], axis=1)
        along = (normal * whole[polygon]).sum(axis=1)
        wrong = along < -_FOLDED * (whole * whole).sum(axis=1)[polygon]
    return np.bincount(polygon, wrong, minlength=count) > 0
