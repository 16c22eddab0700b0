"""Convert range images (.bnt, .abs) to meshes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fer3d.checks import check_dtype, check_range, check_shape

# An edge longer than this many grid pitches joins two surfaces, such as the nose and the cheek behind it, not two
# neighbours on one surface. The value is our choice: a surface seen at 83 degrees from its normal just passes. With the
# 0.76 mm pitch of Bosphorus it is 6 mm.
LONGEST_EDGE = 8.0


def triangulate(
    points: NDArray[np.float64], valid: NDArray[np.bool_], *, longest_edge: float = LONGEST_EDGE
) -> tuple[NDArray[np.int32], float]:
    """Make triangles between neighbouring valid points of a range image.

    A cell with four valid corners gives two triangles, cut along its shorter diagonal; a cell with three gives one. A
    triangle with an edge longer than `longest_edge` pitches is left out: it would bridge a depth discontinuity. The
    pitch is the median length of the edges between valid neighbours in a row or column.

    Args:
        points: (H, W, 3) float64.
        valid: (H, W) bool.
        longest_edge: In grid pitches.

    Returns:
        The faces (F, 3) int32: indices into `points[valid]`, counter-clockwise seen from +z for any direction of rows
        and columns. And the pitch, in the unit of the points; NaN if no two valid points are neighbours.
    """
    check_dtype("points", points, np.float64)
    check_shape("points", points, ("H", "W", 3))
    check_dtype("valid", valid, np.bool_)
    check_shape("valid", valid, points.shape[:2])
    check_range("longest_edge", longest_edge, 1.0, np.inf)
    row = np.full(valid.shape, -1, np.int32)
    row[valid] = np.arange(np.count_nonzero(valid), dtype=np.int32)
    clean = np.where(valid[..., None], points, np.nan)
    along = _distance(clean[:, 1:], clean[:, :-1])  # (H, W - 1)
    across = _distance(clean[1:], clean[:-1])  # (H - 1, W)
    lengths = np.concatenate([along.ravel(), across.ravel()])
    lengths = lengths[np.isfinite(lengths)]
    if not len(lengths):
        return np.empty((0, 3), np.int32), float("nan")
    pitch = float(np.median(lengths))
    faces = _cut(row, along, across, clean, longest_edge * pitch)
    if _clockwise(clean):
        faces = faces[:, ::-1]
    return np.ascontiguousarray(faces), pitch


def _cut(
    row: NDArray[np.int32],
    along: NDArray[np.float64],
    across: NDArray[np.float64],
    points: NDArray[np.float64],
    longest: float,
) -> NDArray[np.int32]:
    """Cut all cells into triangles, in cell order. A cell has corners a b (row r) and d c (row r + 1)."""
    a, b, c, d = row[:-1, :-1], row[:-1, 1:], row[1:, 1:], row[1:, :-1]  # each (H - 1, W - 1)
    with np.errstate(invalid="ignore"):
        short_ab, short_dc = along[:-1] <= longest, along[1:] <= longest  # False where a corner is missing
        short_ad, short_bc = across[:, :-1] <= longest, across[:, 1:] <= longest
        ac, bd = _distance(points[1:, 1:], points[:-1, :-1]), _distance(points[1:, :-1], points[:-1, 1:])
        use_ac = (ac <= bd) | np.isnan(bd)  # a missing corner makes its diagonal NaN: use the other
        short_ac, short_bd = use_ac & (ac <= longest), ~use_ac & (bd <= longest)
    corners = ((a, b, c), (a, c, d), (a, b, d), (b, c, d))
    kept = (
        short_ac & short_ab & short_bc,
        short_ac & short_dc & short_ad,
        short_bd & short_ab & short_ad,
        short_bd & short_bc & short_dc,
    )
    cells = [np.flatnonzero(keep) for keep in kept]
    faces = [
        np.stack([corner.ravel()[at] for corner in triangle], axis=1)
        for triangle, at in zip(corners, cells, strict=True)
    ]
    order = np.argsort(np.concatenate(cells), kind="stable")
    return np.concatenate(faces)[order]  # (F, 3)


def _distance(p: NDArray[np.float64], q: NDArray[np.float64]) -> NDArray[np.float64]:
    with np.errstate(over="ignore", invalid="ignore"):  # a damaged file may hold any number
        difference = p - q
        return np.asarray(np.sqrt(np.einsum("...i,...i->...", difference, difference)))


def _clockwise(points: NDArray[np.float64]) -> bool:
    """Whether the turn from the row direction to the column direction is clockwise seen from +z."""
    with np.errstate(over="ignore", invalid="ignore"):
        along = np.nanmean(_or_zero(points[:, 1:, :2] - points[:, :-1, :2]), axis=0)
        across = np.nanmean(_or_zero(points[1:, :, :2] - points[:-1, :, :2]), axis=0)
        return bool(along[0] * across[1] - along[1] * across[0] < 0)


def _or_zero(steps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the finite rows, (N, 2), or one row of zeros."""
    steps = steps.reshape(-1, 2)
    steps = steps[np.isfinite(steps).all(axis=1)]
    return steps if len(steps) else np.zeros((1, 2))
