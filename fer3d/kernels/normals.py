"""Vertex normals."""

import math

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def vertex_normals(vertices, faces, first):  # type: ignore[no-untyped-def]
    """Unit vertex normals with the weights of Max 1999: face normal times sin(angle) / (product of the two sides).

    Args:
        vertices: (V, 3) float32.
        faces: (F, 3) int32.
        first: (V,) int32, as `fer3d.kernels.topology.weld` returns it: coincident vertices share one normal.

    Returns:
        (V, 3) float32, NaN at a vertex without a face of positive area. Sums are in float64.
    """
    count = vertices.shape[0]
    total = np.zeros((count, 3), dtype=np.float64)
    for f in range(faces.shape[0]):
        i, j, k = faces[f, 0], faces[f, 1], faces[f, 2]
        ax = float(vertices[j, 0]) - float(vertices[i, 0])
        ay = float(vertices[j, 1]) - float(vertices[i, 1])
        az = float(vertices[j, 2]) - float(vertices[i, 2])
        bx = float(vertices[k, 0]) - float(vertices[i, 0])
        by = float(vertices[k, 1]) - float(vertices[i, 1])
        bz = float(vertices[k, 2]) - float(vertices[i, 2])
        nx, ny, nz = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
        area = nx * nx + ny * ny + nz * nz
        cx, cy, cz = bx - ax, by - ay, bz - az
        ij, ik, jk = ax * ax + ay * ay + az * az, bx * bx + by * by + bz * bz, cx * cx + cy * cy + cz * cz
        product = ij * ik * jk
        # Also false for NaN. If a face is thinner than 1e-6 of its length, its normal is rounding error.
        if not (area > 1e-12 * ij * ik and area > 1e-12 * ij * jk and product > 0.0 and math.isfinite(product)):
            continue
        # Max's weight at a corner is cross / (|e|^2 |e'|^2) = cross * (squared side opposite) / product.
        i, j, k = first[i], first[j], first[k]
        scale = 1.0 / product
        wi, wj, wk = jk * scale, ik * scale, ij * scale
        total[i, 0] += wi * nx
        total[i, 1] += wi * ny
        total[i, 2] += wi * nz
        total[j, 0] += wj * nx
        total[j, 1] += wj * ny
        total[j, 2] += wj * nz
        total[k, 0] += wk * nx
        total[k, 1] += wk * ny
        total[k, 2] += wk * nz
    normals = np.empty((count, 3), dtype=np.float32)
    for v in range(count):
        x, y, z = total[first[v], 0], total[first[v], 1], total[first[v], 2]
        length = math.sqrt(x * x + y * y + z * z)
        scale = 1.0 / length if length > 0.0 else math.nan
        normals[v, 0], normals[v, 1], normals[v, 2] = x * scale, y * scale, z * scale
    return normals
