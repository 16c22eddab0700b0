"""Whether a mesh is closed, and its volume."""

import numpy as np


def is_closed(triangles):
    """Whether each edge is passed as often in one direction as in the other."""
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]]).astype(np.int64)
    forth, back = edges[:, 0] * 2**31 + edges[:, 1], edges[:, 1] * 2**31 + edges[:, 0]
    return np.array_equal(np.sort(forth), np.sort(back))


def volume(points, triangles):
    """Volume that a closed mesh encloses, by Gauss's theorem; positive if it is wound outwards."""
    a, b, c = (points[triangles[:, k]] for k in range(3))
    return float(np.einsum("ij,ij->", a, np.cross(b, c)) / 6)
