"""Functions that several kernels share, each compiled once: vectors as 3-tuples, sorting, median, linear systems.

Sorts and medians of NumPy, and arithmetic on arrays of length 3, give the same bits but take seconds more to compile.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

Vector = tuple[float, float, float]


@njit(cache=True, nogil=True)
def row(points: NDArray[np.floating], i: int) -> Vector:
    """Row i of (N, 3) `points`, in float64."""
    return np.float64(points[i, 0]), np.float64(points[i, 1]), np.float64(points[i, 2])


@njit(cache=True, nogil=True)
def minus(a: Vector, b: Vector) -> Vector:
    """a - b."""
    return a[0] - b[0], a[1] - b[1], a[2] - b[2]


@njit(cache=True, nogil=True)
def dot(a: Vector, b: Vector) -> float:
    """Inner product, summed from 0 in the order of the components, as for an array."""
    return 0.0 + a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


@njit(cache=True, nogil=True)
def cross(a: Vector, b: Vector) -> Vector:
    """Cross product."""
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]


@njit(cache=True, nogil=True)
def stable_order(keys: NDArray[np.generic]) -> NDArray[np.int64]:
    """(N,) int64: rows of `keys` (N,) in ascending, stable order, by merge sort. `keys` must not hold NaN."""
    n = len(keys)
    order, other = np.empty(n, np.int64), np.empty(n, np.int64)
    for i in range(n):
        order[i] = i
    width = 1
    while width < n:
        for low in range(0, n, 2 * width):
            middle, high = min(low + width, n), min(low + 2 * width, n)
            i, j = low, middle
            for at in range(low, high):
                if i < middle and (j >= high or not keys[order[j]] < keys[order[i]]):
                    other[at] = order[i]
                    i += 1
                else:
                    other[at] = order[j]
                    j += 1
        order, other = other, order
        width *= 2
    return order


@njit(cache=True, nogil=True)
def median(values: NDArray[np.float64]) -> float:
    """Median of (N,) values, N >= 1, by Hoare's selection on a copy."""
    n = len(values)
    a = values.copy()
    k = n // 2
    low, high = 0, n - 1
    while low < high:
        pivot = a[k]
        i, j = low, high
        while i <= j:
            while a[i] < pivot:
                i += 1
            while pivot < a[j]:
                j -= 1
            if i <= j:
                a[i], a[j] = a[j], a[i]
                i += 1
                j -= 1
        if j < k:
            low = i
        if k < i:
            high = j
    upper: float = a[k]
    if n % 2:
        return upper
    lower = a[0]
    for i in range(1, k):
        lower = max(lower, a[i])
    return float((lower + upper) / 2)


@njit(cache=True, nogil=True)
def solve(matrix: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, k) float64: x with `matrix` @ x = `right`, by LAPACK's LU with pivoting."""
    return np.ascontiguousarray(np.linalg.solve(matrix, right))
