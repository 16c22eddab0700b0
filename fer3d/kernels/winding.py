"""Sums over face normals that distinguish the outside from the inside of a mesh. No argument checks."""

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True, nogil=True)
def outwardness(
    vertices: NDArray[np.float32],
    faces: NDArray[np.int32],
    label: NDArray[np.int32],
    turn: NDArray[np.bool_],
    count: int,
) -> NDArray[np.float64]:
    """(P, 2) float64: for each component, how much its normals point away from the mesh centroid, and towards +z.

    Both are area-weighted means in [-1, 1]. The first is the mean cosine between the normal and the direction from the
    centroid of the whole mesh, weighted by the distance from it (by Gauss's theorem, three times the volume of a closed
    component divided by area times mean distance). The second is the mean z of the unit normal.

    Args:
        vertices: (V, 3) float32, finite.
        faces: (F, 3) int32.
        label: (F,) int32 in [0, count). Component of each face.
        turn: (F,) bool. True for faces whose winding is to be reversed.
        count: Number of components P.
    """
    centre = np.zeros(3)
    total = 0.0
    for f in range(len(faces)):
        x, y, z, nx, ny, nz = _middle_and_normal(vertices, faces, f)
        area = np.sqrt(nx * nx + ny * ny + nz * nz)
        centre[0] += area * x
        centre[1] += area * y
        centre[2] += area * z
        total += area
    if total > 0.0:
        centre /= total
    out = np.zeros((count, 2))
    size = np.zeros((count, 2))
    for f in range(len(faces)):
        x, y, z, nx, ny, nz = _middle_and_normal(vertices, faces, f)
        sign = -1.0 if turn[f] else 1.0
        x, y, z = x - centre[0], y - centre[1], z - centre[2]
        area = np.sqrt(nx * nx + ny * ny + nz * nz)
        out[label[f], 0] += sign * (x * nx + y * ny + z * nz)
        out[label[f], 1] += sign * nz
        size[label[f], 0] += area * np.sqrt(x * x + y * y + z * z)
        size[label[f], 1] += area
    for p in range(count):
        for k in range(2):
            if size[p, k] > 0.0:
                out[p, k] /= size[p, k]
    return out


@njit(cache=True, nogil=True)
def mean_normal(
    vertices: NDArray[np.float32], faces: NDArray[np.int32], centre: NDArray[np.float64], radius: float
) -> NDArray[np.float64]:
    """(3,) float64: the area-weighted mean of the unit normals of the faces within `radius` of `centre`; 0 if none."""
    total = np.zeros(3)
    area = 0.0
    for f in range(len(faces)):
        x, y, z, nx, ny, nz = _middle_and_normal(vertices, faces, f)
        if (x - centre[0]) ** 2 + (y - centre[1]) ** 2 + (z - centre[2]) ** 2 <= radius * radius:
            total[0] += nx
            total[1] += ny
            total[2] += nz
            area += np.sqrt(nx * nx + ny * ny + nz * nz)
    return total / area if area > 0.0 else total


@njit(cache=True, nogil=True, inline="always")
def _middle_and_normal(
    vertices: NDArray[np.float32], faces: NDArray[np.int32], f: int
) -> tuple[float, float, float, float, float, float]:
    """Centre of face f and its normal, whose length is twice its area."""
    a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
    ax, ay, az = np.float64(vertices[a, 0]), np.float64(vertices[a, 1]), np.float64(vertices[a, 2])
    bx, by, bz = np.float64(vertices[b, 0]), np.float64(vertices[b, 1]), np.float64(vertices[b, 2])
    cx, cy, cz = np.float64(vertices[c, 0]), np.float64(vertices[c, 1]), np.float64(vertices[c, 2])
    ux, uy, uz, wx, wy, wz = bx - ax, by - ay, bz - az, cx - ax, cy - ay, cz - az
    return (
        (ax + bx + cx) / 3.0,
        (ay + by + cy) / 3.0,
        (az + bz + cz) / 3.0,
        uy * wz - uz * wy,
        uz * wx - ux * wz,
        ux * wy - uy * wx,
    )
