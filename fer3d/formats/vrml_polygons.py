"""Cut polygons into triangles where a fan from their first corner does not cover them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fer3d.formats.number_blocks import Polygons

_MOST_CORNERS = 1000  # of a polygon that is not convex; the cost of cutting off its corners grows with the square
_FLAT = 1e-12  # of the squared area: a fan triangle turned by less is not turned


class Cut(NamedTuple):
    """A way to cut polygons into as many triangles as their fans.

    Attributes:
        corners: (F, 3) integer. Rows in the list of all corners of all polygons.
        failed: Polygons that remain fans: they cross themselves, or have too many corners.
    """

    corners: NDArray[np.integer]
    failed: int

    def of(self, polygons: Polygons) -> NDArray[np.int32]:
        """(F, 3) int32: the triangles of polygons with the same numbers of corners."""
        triangles: NDArray[np.int32] = _corners(polygons)[self.corners]
        return triangles


def cut(points: NDArray[np.float64], polygons: Polygons) -> Cut | None:
    """How to cut polygons that a fan does not cover; None if fans are right for all of them.

    Args:
        points: (N, 3) float64.
        polygons: Indices below N.
    """
    polygon, faces = polygons.polygon, polygons.faces
    count = int(polygon[-1]) + 1
    if count == len(faces):  # triangles
        return None
    first = np.searchsorted(polygon, np.arange(count))  # triangle of each polygon
    start = first + 2 * np.arange(count)  # in the list of corners
    with np.errstate(all="ignore"):
        normal = _cross(points, faces)
        whole = np.add.reduceat(normal, first)  # (P, 3): twice the area of each polygon along its normal
        turned = np.einsum("ij,ij->i", normal, whole[polygon])
        bad = np.minimum.reduceat(turned, first) < -_FLAT * np.einsum("ij,ij->i", whole, whole)
    if not bad.any():
        return None
    triangle = np.arange(len(faces)) + 2 * polygon
    corners = np.stack([start[polygon], triangle + 1, triangle + 2], axis=1)
    sizes = np.diff(np.append(first, len(faces))) + 2
    listed = _corners(polygons)
    failed = 0
    quads = np.flatnonzero(bad & (sizes == 4))
    if len(quads):
        failed += _cut_quads(points, listed, corners, start[quads], first[quads])
    for p in np.flatnonzero(bad & (sizes > 4)).tolist():
        k, begin = int(sizes[p]), int(start[p])
        ears = _ears(_flattened(points[listed[begin : begin + k]], whole[p])) if k <= _MOST_CORNERS else None
        if ears is None:
            failed += 1
        else:
            corners[first[p] : first[p] + k - 2] = np.array(ears) + begin
    return Cut(corners, failed)


def _cut_quads(
    points: NDArray[np.float64],
    listed: NDArray[np.int32],
    corners: NDArray[np.integer],
    start: NDArray[np.integer],
    first: NDArray[np.integer],
) -> int:
    """Cut quadrilaterals along their other diagonal. Returns how many remain, because they cross themselves."""
    one, two = (start[:, None] + np.array(triangle) for triangle in ((0, 1, 3), (1, 2, 3)))
    with np.errstate(all="ignore"):
        right = np.einsum("ij,ij->i", _cross(points, listed[one]), _cross(points, listed[two])) >= 0
    corners[first[right]], corners[first[right] + 1] = one[right], two[right]
    return int(np.count_nonzero(~right))


def _corners(polygons: Polygons) -> NDArray[np.int32]:
    """All corners of all polygons, one after the other."""
    faces, polygon = polygons.faces, polygons.polygon
    out = np.empty(len(faces) + 2 * (int(polygon[-1]) + 1), np.int32)
    at = np.arange(len(faces)) + 2 * polygon
    out[at + 2] = faces[:, 2]
    begins = np.flatnonzero(np.diff(polygon, prepend=-1))
    out[at[begins]] = faces[begins, 0]
    out[at[begins] + 1] = faces[begins, 1]
    return out


def _cross(points: NDArray[np.float64], faces: NDArray[np.integer]) -> NDArray[np.float64]:
    a, b, c = points[faces[:, 0]], points[faces[:, 1]], points[faces[:, 2]]
    normal: NDArray[np.float64] = np.cross(b - a, c - a)
    return normal


def _flattened(points: NDArray[np.float64], normal: NDArray[np.float64]) -> NDArray[np.float64]:
    """(k, 2): a polygon seen along the axis that is nearest to its normal, counter-clockwise."""
    axis = int(np.abs(normal).argmax())
    keep = [(1, 2), (2, 0), (0, 1)][axis]
    return points[:, keep if normal[axis] > 0 else keep[::-1]]


def _ears(xy: NDArray[np.float64]) -> list[tuple[int, int, int]] | None:
    """Cut off one corner after the other whose triangle contains no other corner; None if there is no such corner."""
    left = list(range(len(xy)))
    ears: list[tuple[int, int, int]] = []
    at = misses = 0
    tests = 10 * len(xy)
    while len(left) > 3:
        at %= len(left)
        ear = left[at - 1], left[at], left[(at + 1) % len(left)]
        tests -= 1
        if _is_ear(xy, ear, left):
            ears.append(ear)
            del left[at]
            misses = 0
        else:
            at += 1
            misses += 1
            if misses > len(left) or tests < 0:
                return None
    return [*ears, (left[0], left[1], left[2])]


def _is_ear(xy: NDArray[np.float64], ear: tuple[int, int, int], left: list[int]) -> bool:
    a, b, c = xy[list(ear)]
    if (b[0] - a[0]) * (c[1] - b[1]) - (b[1] - a[1]) * (c[0] - b[0]) < 0:
        return False
    others = xy[left]
    inside = np.ones(len(others), bool)
    for p, q in ((a, b), (b, c), (c, a)):
        inside &= (q[0] - p[0]) * (others[:, 1] - p[1]) - (q[1] - p[1]) * (others[:, 0] - p[0]) > 0
    return not inside.any()
