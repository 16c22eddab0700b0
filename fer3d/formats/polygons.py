"""Cut polygons of any size into triangles."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fer3d.errors import FormatError

# Cutting off the corners of a polygon with a dent costs a step for each corner that is tried, against all others.
_MOST_CORNERS = 1000  # of such a polygon
_MOST_STEPS = 100_000  # in one file: about a second
_FLAT = 1e-12  # of the squared area: a triangle turned by less is not turned


class Cut(NamedTuple):
    """Triangles of polygons.

    Attributes:
        corner: (T, 3) int64. Positions in the list of all corners of all polygons; None: each three in a row.
        polygon: (T,) int64. The polygon of each triangle; None: triangle i is polygon i.
        short: The number of polygons with fewer than three corners, which have no triangle.
        failed: The number of polygons that are not convex and are cut as if they were.
    """

    corner: NDArray[np.int64] | None = None
    polygon: NDArray[np.int64] | None = None
    short: int = 0
    failed: int = 0

    def of_corners(self, values: NDArray[Any]) -> NDArray[Any]:
        """(T, 3): what the corners of the triangles have, of (C,) values of all corners."""
        return values.reshape(-1, 3) if self.corner is None else values[self.corner]

    def of_polygons(self, values: NDArray[Any]) -> NDArray[Any]:
        """(T,): what the polygons of the triangles have, of (P,) values."""
        return values if self.polygon is None else values[self.polygon]

    def notes(self) -> list[str]:
        """Warnings about polygons that were left out or are cut wrongly."""
        notes = []
        if self.short:
            notes.append(f"{self.short} of its faces have fewer than 3 corners: they are left out")
        if self.failed:
            notes.append(
                f"{self.failed} of its polygons cross themselves, or have a dent and more than {_MOST_CORNERS} "
                "corners: they are cut as if they were convex"
            )
        return notes


def cut(counts: NDArray[np.integer], corners: NDArray[np.integer], points: NDArray[np.floating]) -> Cut:
    """Cut polygons into fans from their first corner, and those with a dent so that the triangles do not overlap.

    Args:
        counts: (P,) integer, not negative. Corners of each polygon.
        corners: (C,) integer. Rows of `points`, polygon by polygon. If one is out of range, all polygons become fans:
            whoever uses them finds that out.
        points: (N, 3) floating.
    """
    if len(counts) and counts[0] == 3 and (counts.strides == (0,) or (counts == 3).all()):  # (0,): one number, repeated
        return Cut()
    counts = np.asarray(counts, np.int64)
    begin = np.cumsum(counts) - counts
    triangles = np.maximum(counts - 2, 0)
    first = np.cumsum(triangles) - triangles  # triangle of each polygon
    polygon = np.repeat(np.arange(len(counts)), triangles)
    second = np.arange(len(polygon)) - first[polygon] + 1
    start = begin[polygon]
    fans = np.stack([start, start + second, start + second + 1], axis=1)
    short = int((counts < 3).sum())
    if not len(fans) or corners.min() < 0 or corners.max() >= len(points):
        return Cut(fans, polygon, short)
    whole, dented = _dented(fans, polygon, first, corners, points)
    quads = dented[counts[dented] == 4]
    failed = _cut_quads(points, corners, fans, begin[quads], first[quads])
    steps = _MOST_STEPS
    for p in dented[counts[dented] > 4].tolist():
        k, here = int(counts[p]), slice(int(begin[p]), int(begin[p] + counts[p]))
        ears: list[tuple[int, int, int]] | None = None
        if k <= _MOST_CORNERS and steps > 0:
            ears, used = _ears(_flattened(points[corners[here]].astype(np.float64), whole[p]))
            steps -= used
        if ears is None:
            failed += 1
        else:
            fans[first[p] : first[p] + k - 2] = np.array(ears) + here.start
    return Cut(fans, polygon, short, failed)


def _dented(
    fans: NDArray[np.int64],
    polygon: NDArray[np.int64],
    first: NDArray[np.int64],
    corners: NDArray[np.integer],
    points: NDArray[np.floating],
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Twice the area of each polygon along its normal, (P, 3); and the polygons that a fan does not cover.

    Of these, a triangle is turned round, or the areas of all triangles cancel each other out.
    """
    count = len(first)
    with np.errstate(all="ignore"):
        normal = _cross(points, corners[fans])
        sums: list[NDArray[Any]] = [np.bincount(polygon, normal[:, axis], minlength=count) for axis in range(3)]
        whole = np.stack(sums, axis=1)
        square = np.einsum("ij,ij->i", whole, whole)
        turned = np.einsum("ij,ij->i", normal, whole[polygon]) < -_FLAT * square[polygon]
        size = np.bincount(polygon, np.linalg.norm(normal, axis=1), minlength=count)
        cancelled = square < _FLAT * size * size
    return whole, np.union1d(polygon[turned], np.flatnonzero(cancelled)).astype(np.int64)


def _cut_quads(
    points: NDArray[np.floating],
    corners: NDArray[np.integer],
    fans: NDArray[np.int64],
    begin: NDArray[np.int64],
    first: NDArray[np.int64],
) -> int:
    """Cut quadrilaterals along their other diagonal. Returns how many remain, because they cross themselves."""
    one, two = (begin[:, None] + np.array(triangle) for triangle in ((0, 1, 3), (1, 2, 3)))
    with np.errstate(all="ignore"):
        right = np.einsum("ij,ij->i", _cross(points, corners[one]), _cross(points, corners[two])) >= 0
    fans[first[right]], fans[first[right] + 1] = one[right], two[right]
    return int(np.count_nonzero(~right))


def _cross(points: NDArray[np.floating], faces: NDArray[np.integer]) -> NDArray[np.float64]:
    a, b, c = (points[faces[:, k]].astype(np.float64) for k in range(3))
    normal: NDArray[np.float64] = np.cross(b - a, c - a)
    return normal


def _flattened(points: NDArray[np.float64], normal: NDArray[np.float64]) -> NDArray[np.float64]:
    """(k, 2): a polygon seen along the axis that is nearest to its normal, counter-clockwise."""
    axis = int(np.abs(normal).argmax())
    keep = [(1, 2), (2, 0), (0, 1)][axis]
    return points[:, keep if normal[axis] > 0 else keep[::-1]]


def _ears(xy: NDArray[np.float64]) -> tuple[list[tuple[int, int, int]] | None, int]:
    """Cut off one corner after the other whose triangle contains no other corner.

    Returns the triangles, or None if there is no such corner; and the number of corners that were tried.
    """
    left = list(range(len(xy)))
    ears: list[tuple[int, int, int]] = []
    at = misses = 0
    tests = 0
    while len(left) > 3:
        at %= len(left)
        ear = left[at - 1], left[at], left[(at + 1) % len(left)]
        tests += 1
        if _is_ear(xy, ear, left):
            ears.append(ear)
            del left[at]
            misses = 0
        else:
            at += 1
            misses += 1
            if misses > len(left) or tests > 10 * len(xy):
                return None, tests
    return [*ears, (left[0], left[1], left[2])], tests


def _is_ear(xy: NDArray[np.float64], ear: tuple[int, int, int], left: list[int]) -> bool:
    a, b, c = xy[list(ear)]
    if (b[0] - a[0]) * (c[1] - b[1]) - (b[1] - a[1]) * (c[0] - b[0]) < 0:
        return False
    others = xy[left]
    inside = np.ones(len(others), bool)
    for p, q in ((a, b), (b, c), (c, a)):
        inside &= (q[0] - p[0]) * (others[:, 1] - p[1]) - (q[1] - p[1]) * (others[:, 0] - p[0]) > 0
    return not inside.any()


def whole(values: NDArray[Any], path: Path, what: str) -> NDArray[Any]:
    """Indices (N,) as integers.

    Raises:
        FormatError: if one is no whole number, or beyond int64.
    """
    if values.dtype.kind in "iu":
        return values
    good = np.abs(values) < 2.0**62
    good &= np.floor(np.where(good, values, 0)) == np.where(good, values, 0)
    if not good.all():
        raise FormatError(f"{path}: {what} should be whole numbers, one is {values[np.argmin(good)]:g}")
    return values.astype(np.int64)
