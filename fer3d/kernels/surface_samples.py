"""Points spread evenly over a surface, with normals. No argument checks."""

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True, nogil=True)
def surface_samples(
    vertices: NDArray[np.float32], faces: NDArray[np.int32], step: float, least_z: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Points spread evenly over the area of the faces, independent of the face sizes, and their normals.

    Args:
        vertices: (V, 3) float32, finite.
        faces: (F, 3) int32.
        step: Area per point.
        least_z: Faces whose unit normal has a smaller z are left out.

    Returns:
        points and normals, each (N, 3) float64, in the order of the faces.
    """
    total = 0.0
    for turn in range(2):
        if turn == 1:
            points = np.empty((int(total / step) + 2, 3))
            normals = np.empty((int(total / step) + 2, 3))
        passed = 0.0
        due = 0.5 * step
        count = 0
        for f in range(len(faces)):
            a, b, c = vertices[faces[f, 0]], vertices[faces[f, 1]], vertices[faces[f, 2]]
            ux, uy, uz = np.float64(b[0]) - a[0], np.float64(b[1]) - a[1], np.float64(b[2]) - a[2]
            wx, wy, wz = np.float64(c[0]) - a[0], np.float64(c[1]) - a[1], np.float64(c[2]) - a[2]
            nx, ny, nz = uy * wz - uz * wy, uz * wx - ux * wz, ux * wy - uy * wx
            size = np.sqrt(nx * nx + ny * ny + nz * nz)
            if size == 0.0 or nz < least_z * size:
                continue
            passed += 0.5 * size
            if turn == 0:
                total = passed
                continue
            while passed >= due:
                # Roberts' R2 sequence, which fills the unit square evenly, folded onto the triangle.
                s = (0.5 + 0.7548776662466927 * count) % 1.0
                t = (0.5 + 0.5698402909980532 * count) % 1.0
                if s + t > 1.0:
                    s, t = 1.0 - s, 1.0 - t
                points[count, 0] = a[0] + s * ux + t * wx
                points[count, 1] = a[1] + s * uy + t * wy
                points[count, 2] = a[2] + s * uz + t * wz
                normals[count, 0], normals[count, 1], normals[count, 2] = nx / size, ny / size, nz / size
                count += 1
                due += step
    return points[:count].copy(), normals[:count].copy()
