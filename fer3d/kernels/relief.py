"""The relief of a face around its nose: a height map minus its best quadric, and the agreement of two reliefs.

A pose is a row (13,) as in `fer3d.kernels.pose`.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from fer3d.kernels.pose import to_face, turned_to_face
from fer3d.kernels.small import solve

_FEWEST_CELLS = 60  # that two height maps must share: ten times the unknowns of a quadric


@njit(cache=True, nogil=True)
def heights(
    pose: NDArray[np.float64],
    points: NDArray[np.float64],
    normals: NDArray[np.float64],
    radius: float,
    cell: float,
    deepest: float,
) -> NDArray[np.float64]:
    """(n, n) float64: mean z of the points in each cell of the disc of `radius` around the z axis, in the face frame.

    Args:
        pose, points, normals: As in `fer3d.kernels.nose_search.misfit`.
        radius: Radius of the disc; n is 2 * radius / cell.
        cell: Width of a cell.
        deepest: Points with a smaller z, or with a normal away from +z, are ignored. A cell without points is NaN.
    """
    n = int(np.round(2.0 * radius / cell))
    total = np.zeros((n, n))
    count = np.zeros((n, n), np.int64)
    for i in range(len(points)):
        x, y, z = to_face(pose, points[i, 0], points[i, 1], points[i, 2])
        up = turned_to_face(pose, normals[i, 0], normals[i, 1], normals[i, 2])[2]
        if z < deepest or up <= 0.0:
            continue
        if x * x + y * y >= radius * radius:
            continue
        a, b = int((x + radius) / cell), int((y + radius) / cell)
        total[a, b] += z
        count[a, b] += 1
    for a in range(n):
        for b in range(n):
            total[a, b] = total[a, b] / count[a, b] if count[a, b] > 0 else np.nan
    return total


@njit(cache=True, nogil=True)
def relief_agreement(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Similarity in [-1, 1] of two height maps, each minus its best quadric; -1 if they share too few cells.

    The similarity is 2 <a, b> / (|a|^2 + |b|^2) over the cells that both have: 1 if equal, 0 if unrelated or if one map
    has no relief.

    Args:
        first, second: (n, n) float64, NaN in empty cells.
    """
    n = len(first)
    A = np.zeros((6, 6))
    g = np.zeros((6, 2))
    row = np.empty(6)
    shared = 0
    for turn in range(2):
        if turn == 1:
            if shared < _FEWEST_CELLS:
                return -1.0
            for k in range(6):
                A[k, k] += 1e-9 * shared
            fit = solve(A, g)
            both = aa = bb = 0.0
        for i in range(n):
            x = 2.0 * (i + 0.5) / n - 1.0
            for j in range(n):
                a, b = first[i, j], second[i, j]
                if np.isnan(a) or np.isnan(b):
                    continue
                y = 2.0 * (j + 0.5) / n - 1.0
                row[0], row[1], row[2], row[3], row[4], row[5] = 1.0, x, y, x * x, x * y, y * y
                if turn == 0:
                    shared += 1
                    for k in range(6):
                        g[k, 0] += row[k] * a
                        g[k, 1] += row[k] * b
                        for m in range(6):
                            A[k, m] += row[k] * row[m]
                    continue
                for k in range(6):
                    a -= row[k] * fit[k, 0]
                    b -= row[k] * fit[k, 1]
                both += a * b
                aa += a * a
                bb += b * b
    return 2.0 * both / (aa + bb) if aa + bb > 0.0 else -1.0
