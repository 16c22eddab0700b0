"""A scan sampled at one resolution, without the levels of a tree: what an ablation of the tree compares it with.

`all_points` keeps every point of the tree, so that only the levels are missing. `one_level` samples the scan anew, at
the resolution below the top of the tree: it has fewer points, and is what surface-grid takes without its tree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fer3d.errors import ArgumentError
from fer3d.scan import Scan
from fer3d.tree.sample_tree import SampleTree


def one_level(tree: SampleTree, vertices: NDArray[np.float32], faces: NDArray[np.int32]) -> SampleTree:
    """Sample the scan evenly at one resolution, that of the level below the top of the tree.

    The single transition leads from those N vertices to the same vertices, so that convolutions can follow one another;
    it has the radii of the last transition of the tree. Tracing its stencils on the scan takes tens of milliseconds.

    Args:
        tree: Of the scan, with features. A vertex that is not in the tree gets the features of the nearest one that is.
        vertices, faces: Of the prepared scan.

    Returns:
        A tree of two levels of N vertices each.
    """
    from scipy.spatial import cKDTree

    count = tree.sizes[-2]
    result = SampleTree.build(
        Scan(vertices, faces),
        (count + 1, count),  # levels have to differ: the last vertex is removed below
        rings=tree.rings,
        rays=tree.rays,
        radii=(tree.radii[-1],),
        start=tree.positions[0],
    )
    result = _upper(result, count)
    nearest = cKDTree(tree.positions).query(result.positions)[1]
    assert tree.normals is not None and tree.channels is not None
    found = {"normals": tree.normals[nearest], "channels": tree.channels[nearest]}
    return replace(result, **found, landmarks=tree.landmarks)


def all_points(
    tree: SampleTree, vertices: NDArray[np.float32], faces: NDArray[np.int32], radii: Sequence[float]
) -> SampleTree:
    """All points of a tree on one level: the single transition leads from them to themselves.

    Args:
        tree: Of the scan, with features.
        vertices, faces: Of the prepared scan.
        radii: S radii of the stencils, mm, ascending.

    Returns:
        A tree of two levels, both the points of level 0 of `tree` in their order: the first are still those of its top
        level. Tracing the stencils takes about a millisecond for ten points and radii.

    Raises:
        ArgumentError: if `vertices` are not those that the tree was built from.
        PrepareError: if the tree holds every vertex that edges of the scan join.
    """
    count = tree.sizes[0]
    if tree.rows.max() >= len(vertices) or not np.array_equal(vertices[tree.rows], tree.positions):
        raise ArgumentError("`vertices` should be those that the tree was built from, they are others")
    result = SampleTree.from_rows(
        Scan(vertices, faces),
        tree.rows,
        rings=tree.rings,
        rays=tree.rays,
        radii=(tuple(radii),),
        origin=tree.positions[0],
    )
    return replace(_upper(result, count), normals=tree.normals, channels=tree.channels, landmarks=tree.landmarks)


def _upper(tree: SampleTree, count: int) -> SampleTree:
    """A tree of two levels without the vertices that only the lower one has: levels had to differ to be built."""
    indices, weights = tree.indices[0], tree.weights[0].astype(np.float32)
    weights[indices >= count] = 0.0
    total = weights.sum(axis=-1, keepdims=True)
    shares: NDArray[np.float16] = (weights / np.where(total > 0, total, 1.0)).astype(np.float16)
    indices = np.where(indices >= count, np.arange(count, dtype=indices.dtype)[:, None, None, None, None], indices)
    return replace(
        tree,
        rows=tree.rows[:count],
        sizes=(count, count),
        indices=(indices,),
        weights=(shares,),
        positions=tree.positions[:count],
    )
