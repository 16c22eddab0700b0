"""Sort points into cubic cells, in an order that does not depend on their indices."""

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def cell_table(points, use, cell, low, shape):  # type: ignore[no-untyped-def]
    """Counting sort of points by cell, then by x, y, z inside a cell.

    Args:
        points: (V, 3) float64.
        use: (V,) bool. Points to sort; they should be finite and distinct. The others are left out.
        cell: Edge length of a cell.
        low: (3,) float64. Corner of cell (0, 0, 0), at or below every point in use.
        shape: (3,) int64. Cells along x, y, z; every point in use lies inside.

    Returns:
        order: (M,) int32. Rows of `points`, cell by cell; cell (i, j, k) has the number
            (i * shape[1] + j) * shape[2] + k.
        start: (cells + 1,) int32. Where the points of each cell begin in `order`.
    """
    count = points.shape[0]
    number = np.empty(count, dtype=np.int32)
    start = np.zeros(shape[0] * shape[1] * shape[2] + 1, dtype=np.int32)
    for v in range(count):
        if use[v]:
            i = min(int((points[v, 0] - low[0]) / cell), shape[0] - 1)
            j = min(int((points[v, 1] - low[1]) / cell), shape[1] - 1)
            k = min(int((points[v, 2] - low[2]) / cell), shape[2] - 1)
            number[v] = (i * shape[1] + j) * shape[2] + k
            start[number[v] + 1] += 1
    for c in range(start.shape[0] - 1):
        start[c + 1] += start[c]
    order = np.empty(start[-1], dtype=np.int32)
    fill = start[:-1].copy()
    for v in range(count):
        if use[v]:
            order[fill[number[v]]] = v
            fill[number[v]] += 1
    for c in range(start.shape[0] - 1):
        if start[c + 1] - start[c] > 1:
            _sort_by_position(points, order, start[c], start[c + 1])
    return order, start


@njit(cache=True, nogil=True)
def _sort_by_position(points, order, begin, end):  # type: ignore[no-untyped-def]
    """Shell sort of order[begin:end] by x, y, z; a cell usually holds a few points, rarely thousands."""
    gap = 1
    while gap < (end - begin) // 3:
        gap = 3 * gap + 1
    while gap > 0:
        for n in range(begin + gap, end):
            v = order[n]
            m = n
            while m >= begin + gap and _before(points, v, order[m - gap]):
                order[m] = order[m - gap]
                m -= gap
            order[m] = v
        gap //= 3


@njit(cache=True, nogil=True)
def _before(points, a, b):  # type: ignore[no-untyped-def]
    if points[a, 0] != points[b, 0]:
        return points[a, 0] < points[b, 0]
    if points[a, 1] != points[b, 1]:
        return points[a, 1] < points[b, 1]
    return points[a, 2] < points[b, 2]
