"""Cut polygons of any size into triangles."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fer3d.errors import FormatError


class Fans(NamedTuple):
    """Triangles of polygons: a fan from the first corner of each.

    Attributes:
        corner: (T, 3) int64. Positions in the list of all corners of all polygons; None: each three in a row.
        polygon: (T,) int64. The polygon of each triangle; None: triangle i is polygon i.
        short: The number of polygons with fewer than three corners, which have no triangle.
    """

    corner: NDArray[np.int64] | None = None
    polygon: NDArray[np.int64] | None = None
    short: int = 0

    def of_corners(self, values: NDArray[Any]) -> NDArray[Any]:
        """(T, 3): what the corners of the triangles have, of (N,) values of all corners."""
        return values.reshape(-1, 3) if self.corner is None else values[self.corner]

    def of_polygons(self, values: NDArray[Any]) -> NDArray[Any]:
        """(T,): what the polygons of the triangles have, of (P,) values."""
        return values if self.polygon is None else values[self.polygon]

    def notes(self) -> list[str]:
        """A warning if polygons were left out."""
        if not self.short:
            return []
        return [f"{self.short} of its faces have fewer than 3 corners: they are left out"]


def fans(counts: NDArray[np.integer]) -> Fans:
    """Cut polygons into triangles.

    Args:
        counts: (P,) integer, not negative. Corners of each polygon.
    """
    counts = np.asarray(counts, np.int64)
    if (counts == 3).all():
        return Fans()
    start = np.cumsum(counts) - counts
    triangles = np.maximum(counts - 2, 0)
    polygon = np.repeat(np.arange(len(counts)), triangles)
    second = np.arange(len(polygon)) - np.repeat(np.cumsum(triangles) - triangles, triangles) + 1
    first = start[polygon]
    corner = np.stack([first, first + second, first + second + 1], axis=1)
    return Fans(corner, polygon, int((counts < 3).sum()))


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
