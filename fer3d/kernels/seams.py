"""Seams: boundaries of two components that meet within a small gap. No argument checks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from fer3d.kernels.topology import BOUNDARY

_GAP = 0.05  # of the length of the edges beside it; lips and lids that touch are farther apart, or one component
_LONGEST = 4.0  # median boundary edges: a longer edge gives a vertex no wider gap


def close_seams(
    vertices: NDArray[np.float32],
    same: NDArray[np.int32],
    faces: NDArray[np.int32],
    neighbours: NDArray[np.int32],
    label: NDArray[np.int32],
) -> tuple[NDArray[np.float32], int, float]:
    """Move the vertices of a seam onto each other, where two components continue each other.

    Two boundary edges form a seam if they belong to different components, their ends lie within a twentieth of their
    length of each other, and their faces lie on opposite sides. So neither the rims of a mouth, which belong to one
    component, nor two copies of a surface, which lie on the same side, are joined.

    Args:
        vertices: (V, 3) float32.
        same: (V,) int32, as `topology.weld` returns it.
        faces, neighbours: (F, 3) int32, welded, and their neighbours.
        label: (F,) int32. Component of each face.

    Returns:
        (V, 3) float32: the vertices, those of a seam at the position of the first of them; the number of closed edges;
        the widest closed gap.
    """
    face, side = np.nonzero(neighbours == BOUNDARY)
    if not len(face):
        return vertices, 0, 0.0
    ends = np.stack([faces[face, side], faces[face, (side + 1) % 3]], axis=1)  # (E, 2)
    rows, at = np.unique(ends, return_inverse=True)
    at = at.reshape(ends.shape)
    points = vertices[rows].astype(np.float64)
    length = np.linalg.norm(points[at[:, 0]] - points[at[:, 1]], axis=1)
    reach = _GAP * np.minimum(_shortest(at, length, len(rows)), _LONGEST * np.median(length))
    pairs = cKDTree(points).query_pairs(float(reach.max()), output_type="ndarray")
    apart = np.linalg.norm(points[pairs[:, 0]] - points[pairs[:, 1]], axis=1)
    pairs = pairs[apart <= reach[pairs].min(axis=1)]
    if not len(pairs):
        return vertices, 0, 0.0
    links = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(len(rows), len(rows)))
    _, cluster = connected_components(links, directed=False)
    first, second = _matching(cluster[at], label[face])
    first, second = _opposite(vertices, faces, face, side, first, second)
    if not len(first):
        return vertices, 0, 0.0
    closed = np.unique(at[np.concatenate([first, second])])
    leader = np.full(cluster.max() + 1, len(rows))
    np.minimum.at(leader, cluster[closed], closed)  # rows ascend: the first row of the mesh leads
    goal = np.arange(len(vertices), dtype=np.int32)
    goal[rows[closed]] = rows[leader[cluster[closed]]]
    moved = vertices[goal[same]]
    gap = float(np.linalg.norm(moved.astype(np.float64) - vertices, axis=1).max(initial=0.0))
    return moved, len(first), gap


def _shortest(at: NDArray[np.intp], length: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """(count,) float64: the shortest boundary edge at each boundary vertex."""
    shortest = np.full(count, np.inf)
    np.minimum.at(shortest, at.ravel(), np.repeat(length, 2))
    return shortest


def _matching(ends: NDArray[np.int32], label: NDArray[np.int32]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows of two edges, each (N,), that run between the same clusters and belong to different components."""
    low, high = ends.min(axis=1).astype(np.int64), ends.max(axis=1).astype(np.int64)
    key = low * (int(high.max()) + 1) + high
    order = np.argsort(key, kind="stable")
    _, start, count = np.unique(key[order], return_index=True, return_counts=True)
    start = start[count == 2]  # of more than two edges it is unknown which two belong together
    first, second = order[start], order[start + 1]
    real = (label[first] != label[second]) & (low[first] != high[first])
    return first[real], second[real]


def _opposite(
    vertices: NDArray[np.float32],
    faces: NDArray[np.int32],
    face: NDArray[np.intp],
    side: NDArray[np.intp],
    first: NDArray[np.intp],
    second: NDArray[np.intp],
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The pairs of edges whose faces lie on opposite sides of them."""

    def inward(edges: NDArray[np.intp]) -> NDArray[np.float64]:
        f, k = face[edges], side[edges]
        a, b, c = (vertices[faces[f, (k + n) % 3]].astype(np.float64) for n in range(3))
        along = (b - a) / np.maximum(np.linalg.norm(b - a, axis=1, keepdims=True), 1e-300)
        return c - a - ((c - a) * along).sum(axis=1, keepdims=True) * along  # type: ignore[no-any-return]

    facing = (inward(first) * inward(second)).sum(axis=1) < 0.0
    return first[facing], second[facing]
