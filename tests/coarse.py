"""Coarse versions of a mesh."""

import numpy as np

from fer3d.scan import Scan


def clustered(scan, cell):
    """The scan with its vertices averaged in cubes of `cell` mm: a mesh with edges about as long."""
    points = scan.vertices.astype(float)
    _, cube = np.unique(np.floor(points / cell).astype(int), axis=0, return_inverse=True)
    cube = cube.ravel()
    count = np.bincount(cube)
    means = np.stack([np.bincount(cube, points[:, axis]) / count for axis in range(3)], axis=1)
    faces = cube[scan.faces]
    a, b, c = faces.T
    return Scan.of(means, np.unique(faces[(a != b) & (b != c) & (c != a)], axis=0), landmarks=scan.landmarks)


def clustered_to(scan, count):
    """`clustered` with the smallest cell that leaves at most `count` vertices."""
    low, high = 0.1, 30.0
    for _ in range(14):
        cell = (low + high) / 2
        low, high = (low, cell) if len(clustered(scan, cell).vertices) <= count else (cell, high)
    return clustered(scan, high)
