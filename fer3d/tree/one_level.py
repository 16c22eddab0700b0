"""A scan sampled at one resolution, without the levels of a tree."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

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
    indices, weights = result.indices[0], result.weights[0].astype(np.float32)
    weights[indices >= count] = 0.0
    total = weights.sum(axis=-1, keepdims=True)
    shares: NDArray[np.float16] = (weights / np.where(total > 0, total, 1.0)).astype(np.float16)
    indices = np.where(indices >= count, np.arange(count, dtype=indices.dtype)[:, None, None, None, None], indices)
    nearest = cKDTree(tree.positions).query(result.positions[:count])[1]
    assert tree.normals is not None and tree.channels is not None
    return replace(
        result,
        rows=result.rows[:count],
        sizes=(count, count),
        indices=(indices,),
        weights=(shares,),
        positions=result.positions[:count],
        normals=tree.normals[nearest],
        channels=tree.channels[nearest],
    )
