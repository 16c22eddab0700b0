"""Coarse versions of a mesh, as scanners and studios deliver them: fewer, larger triangles.

The vertices in each cube of a turned and shifted lattice become one (vertex clustering [1]). On smooth surface the
edges of the result are on average as long as those of the cubes (measured: 0.94 to 1.04 times).

References:
    .. [1] J. Rossignac, P. Borrel: Multi-resolution 3D approximations for rendering complex scenes. Modeling in
       Computer Graphics, Springer 1993.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from fer3d.checks import check_index, check_range, check_shape


def coarsened(
    vertices: NDArray[np.floating], faces: NDArray[np.int32], edge_mm: float, generator: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Merge the vertices of a mesh until its edges are about `edge_mm` long.

    Args:
        vertices: (V, 3), mm, with edges shorter than half of `edge_mm`; longer edges stay.
        faces: (F, 3) int32.
        edge_mm: Mean length of the edges, mm.
        generator: Source of the position and rotation of the lattice. Of each mesh, half of the time a cube is replaced
            by the mean of its vertices, else by the vertex nearest to that mean.

    Returns:
        vertices (N, 3) float64 and faces (M, 3) int32, with the winding of the mesh. No face is degenerate or occurs
        twice, no vertex is unused. Sheets nearer than an edge to each other grow together, so that an edge may have
        more than two faces.

    Raises:
        ArgumentError: if a shape or index is wrong, or `edge_mm` is not positive.
    """
    check_shape("vertices", vertices, ("V", 3))
    check_shape("faces", faces, ("F", 3))
    check_index("faces", faces, len(vertices))
    check_range("edge_mm", edge_mm, 1e-3, 1e6, "mm")
    points = vertices.astype(np.float64)
    turn = Rotation.random(random_state=generator).as_matrix()
    shift, whole = generator.random(3), bool(generator.random() < 0.5)
    if not len(faces):
        return np.empty((0, 3)), np.empty((0, 3), np.int32)
    lattice = np.floor(points @ turn.T / edge_mm + shift).astype(np.int64)
    _, cube = np.unique(lattice - lattice.min(axis=0), axis=0, return_inverse=True)
    cube = cube.ravel()
    count = np.bincount(cube)
    means = np.stack([np.bincount(cube, points[:, axis]) / count for axis in range(3)], axis=1)
    merged = means if whole else points[_nearest(points, means, cube)]
    return _compact(merged, cube[faces])


def _nearest(points: NDArray[np.float64], means: NDArray[np.float64], cube: NDArray[np.intp]) -> NDArray[np.intp]:
    """(N,): the vertex nearest to the mean of its cube."""
    distance = ((points - means[cube]) ** 2).sum(axis=1)
    order = np.lexsort((distance, cube))
    first = np.flatnonzero(np.diff(cube[order], prepend=-1))
    return order[first]


def _compact(points: NDArray[np.float64], faces: NDArray[np.intp]) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Leave out degenerate and repeated faces, then unused vertices."""
    a, b, c = faces.T
    faces = faces[(a != b) & (b != c) & (c != a)]
    _, first = np.unique(np.sort(faces, axis=1), axis=0, return_index=True)
    faces = faces[np.sort(first)]
    used = np.zeros(len(points), np.bool_)
    used[faces] = True
    row = np.cumsum(used, dtype=np.int32) - np.int32(1)
    return points[used], row[faces]
