"""The vertices of one level, without the levels of a tree."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fer3d.scan import Scan
from fer3d.tree.sample_tree import SampleTree


def one_level(tree: SampleTree, vertices: NDArray[np.float32], faces: NDArray[np.int32]) -> SampleTree:
    """The scan sampled evenly at one resolution instead of the levels of a tree: that of the level below the top.

    Its one transition leads from those N vertices to the same vertices, so that convolutions can follow one another, at
    the radii of the last transition of the tree. Stencils are traced anew on the scan, in tens of milliseconds.

    Args:
        tree: Of the scan, with features; those of a vertex that it left out come from its nearest vertex.
        vertices, faces: Of the prepared scan.

    Returns:
        A tree of two levels of N vertices each.
    """
    from scipy.spatial import cKDTree

    count = tree.sizes[-2]
    made = SampleTree.build(
        Scan(vertices, faces),
        (count + 1, count),  # levels have to differ: the last vertex is taken out again
        rings=tree.rings,
        rays=tree.rays,
        radii=(tree.radii[-1],),
        start=tree.positions[0],
    )
    indices, weights = made.indices[0], made.weights[0].astype(np.float32)
    weights[indices >= count] = 0.0
    total = weights.sum(axis=-1, keepdims=True)
    shares: NDArray[np.float16] = (weights / np.where(total > 0, total, 1.0)).astype(np.float16)
    indices = np.where(indices >= count, np.arange(count, dtype=indices.dtype)[:, None, None, None, None], indices)
    nearest = cKDTree(tree.positions).query(made.positions[:count])[1]
    assert tree.normals is not None and tree.channels is not None
    return replace(
        made,
        rows=made.rows[:count],
        sizes=(count, count),
        indices=(indices,),
        weights=(shares,),
        positions=made.positions[:count],
        normals=tree.normals[nearest],
        channels=tree.channels[nearest],
    )
