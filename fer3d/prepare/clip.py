"""Cut a mesh at a sphere around the origin, so that its rim is a smooth line and not the saw teeth of its faces."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fer3d.kernels import topology
from fer3d.scan import Scan

_Floats = NDArray[np.float64]
_Rows = NDArray[np.int64]

# A corner nearer to the sphere than this fraction of its shortest cut edge counts as lying on it: cutting those edges
# would leave slivers.
_SNAP = 0.05
_IN, _ON, _OUT = 0, 1, 2  # where a corner lies; ON: inside, and so near the sphere that no edge to it is cut
_INSIDE = 1.0 - 5e-7  # float32 rounds a new vertex by less than this fraction of its distance from the origin
_THIN = 1e-5  # as `fer3d.prepare.clean`: a face of a smaller height, in longest edges, is degenerate


class _Cuts(NamedTuple):
    """Edges from a vertex inside (`a`) to one outside (`b`) that are cut at the share `t` from a to b; N rows each."""

    a: _Rows
    b: _Rows
    t: _Floats


def clip(scan: Scan, radius: float) -> tuple[Scan, int]:
    """Keep the part of a mesh within `radius` of the origin, and cut the faces that reach out of it.

    A face with corners on both sides is replaced by the one or two triangles of its part inside. Its neighbours get the
    same new vertices, copies of a vertex at a texture seam included, so that no gap opens. Between two new vertices the
    rim is straight. uv and colours of new vertices are interpolated; their `file_vertex` is -1. They follow the other
    vertices, and the new faces follow the other faces. Faces with a corner that is not finite are dropped.

    Args:
        scan: In mm.
        radius: Of the sphere, mm.

    Returns:
        The scan, with its unused vertices and an unchanged history; and the number of faces that were cut.
    """
    squared = np.einsum("ij,ij->i", scan.vertices, scan.vertices, dtype=np.float64)
    inside = squared <= radius * radius
    i, j, k = (inside[scan.faces[:, corner]] for corner in range(3))
    entire = i & j & k
    partly = np.flatnonzero((i | j | k) & ~entire)
    mixed, whole = scan.faces[partly], scan.faces[entire]
    mixed = mixed[np.isfinite(squared[mixed]).all(axis=1)]
    if not len(mixed):
        return replace(scan, faces=whole), 0
    used, local = np.unique(mixed, return_inverse=True)
    local = local.reshape(-1, 3)
    points, same = scan.vertices[used].astype(np.float64), topology.weld(scan.vertices[used])
    distance = np.sqrt(squared[used])
    start, end = (local[:, k].ravel() for k in ([0, 1, 2], [1, 2, 0]))
    crossing = inside[used][start] != inside[used][end]
    start, end = start[crossing], end[crossing]
    outward = inside[used][start]
    a, b = np.where(outward, start, end), np.where(outward, end, start)
    near = _near_sphere(points, same, distance, a, b, radius)
    inner = ~near[a]
    cuts = _cuts(points, a[inner], b[inner], radius)
    joined = near & ~inside[used]  # outside, and so near that all edges to it are cut at one point
    row, positions, chosen = _cut_vertices(points, same, distance, cuts, joined)
    points = np.concatenate([points, positions])
    corner = np.where(inside[used], np.where(near, _ON, _IN), _OUT)[local]
    triangles = _sound(points, _triangles(local, corner, points, _Rowfinder(cuts, row, len(points))))
    pair, share = used[np.stack([chosen.a, chosen.b])], chosen.t.astype(np.float32)[:, None]
    to_all = np.concatenate([used, len(scan.vertices) + np.arange(len(positions))])
    origin = np.arange(len(scan.vertices), dtype=np.int32) if scan.file_vertex is None else scan.file_vertex
    clipped = replace(
        scan,
        vertices=np.concatenate([scan.vertices, positions.astype(np.float32)]),
        faces=np.concatenate([whole, to_all[triangles].astype(np.int32)]),
        uv=None if scan.uv is None else np.concatenate([scan.uv, _between(scan.uv, pair, share)]),
        colours=None if scan.colours is None else np.concatenate([scan.colours, _between(scan.colours, pair, share)]),
        file_vertex=np.concatenate([origin, np.full(len(positions), -1, np.int32)]),
    )
    return clipped, len(mixed)


def _between(values: NDArray[np.float32], pair: _Rows, share: NDArray[np.float32]) -> NDArray[np.float32]:
    mixed: NDArray[np.float32] = values[pair[0]] + share * (values[pair[1]] - values[pair[0]])
    return mixed


def _near_sphere(
    points: _Floats, same: NDArray[np.int32], distance: _Floats, a: _Rows, b: _Rows, radius: float
) -> NDArray[np.bool_]:
    """(N,) bool: whether a vertex is nearer to the sphere than `_SNAP` of its shortest cut edge; copies agree."""
    length = np.linalg.norm(points[b] - points[a], axis=1)
    shortest = np.zeros(len(points))
    ends, lengths = same[np.concatenate([a, b])], np.concatenate([length, length])
    shortest[ends] = np.inf
    np.minimum.at(shortest, ends, lengths)
    return np.abs(distance - radius) <= _SNAP * shortest[same]


def _cuts(points: _Floats, a: _Rows, b: _Rows, radius: float) -> _Cuts:
    """Where the edges from `a`, inside, to `b`, outside, leave the sphere."""
    limit, way = radius * _INSIDE, points[b] - points[a]
    aa, ab, bb = ((points[a] * points[a]).sum(1), (points[a] * way).sum(1), (way * way).sum(1))
    root = np.sqrt(np.maximum(ab * ab + bb * (limit * limit - aa), 0.0))
    return _Cuts(a, b, np.clip((root - ab) / bb, 0.0, 1.0))


def _cut_vertices(
    points: _Floats, same: NDArray[np.int32], distance: _Floats, cuts: _Cuts, joined: NDArray[np.bool_]
) -> tuple[_Rows, _Floats, _Cuts]:
    """The new vertices: for each cut its row, from `len(points)`; their positions (M, 3); the cuts they come from.

    Edges to the same `joined` vertex outside share one new vertex, that of the edge whose other end is nearest to the
    origin. Copies of a vertex at a seam get new vertices of their own at the same position.
    """
    a, b, t = cuts
    order = np.lexsort((*points[a].T, distance[a]))  # by coordinates, so that no index decides
    place = points[a] + t[:, None] * (points[b] - points[a])
    keys = np.where(joined[b], 0, a + 1) * len(points) + b
    _, first, number = np.unique(keys[order], return_index=True, return_inverse=True)
    row = np.empty(len(a), np.int64)
    row[order] = len(points) + number.ravel()
    chosen = order[first]
    _, leader, member = np.unique(same[b][order], return_index=True, return_inverse=True)
    shared = np.empty(len(a), np.int64)
    shared[order] = order[leader][member.ravel()]  # the first cut of all copies of the vertex outside
    source = np.where(joined[b[chosen]], shared[chosen], chosen)
    return row, place[source], _Cuts(a[chosen], b[chosen], t[chosen])


class _Rowfinder:
    """Finds the new vertex of a cut edge from its ends, inside first."""

    def __init__(self, cuts: _Cuts, row: _Rows, count: int) -> None:
        codes = cuts.a * count + cuts.b
        order = np.argsort(codes)
        self._codes, self._rows, self._count = codes[order], row[order], count

    def __call__(self, inner: _Rows, outer: _Rows) -> _Rows:
        found: _Rows = self._rows[np.searchsorted(self._codes, inner * self._count + outer)]
        return found


def _triangles(local: _Rows, corner: _Rows, points: _Floats, row: _Rowfinder) -> _Rows:
    """(T, 3): the parts of the faces inside. A face without a corner well inside leaves none."""
    kept, out = (corner == _IN).any(axis=1), (corner == _OUT).sum(axis=1)
    p, q, r, *_ = _turned(local, corner, kept & (out == 2), _IN)
    tips = np.stack([p, row(p, q), row(p, r)], axis=1)
    r, p, q, _, p_kind, q_kind = _turned(local, corner, kept & (out == 1), _OUT)
    left, right = p.copy(), q.copy()
    left[p_kind == _IN] = row(p[p_kind == _IN], r[p_kind == _IN])
    right[q_kind == _IN] = row(q[q_kind == _IN], r[q_kind == _IN])
    single = (left == p) | (right == q) | (left == right)
    third = np.where(right == q, left, right)
    singles = np.stack([p, q, third], axis=1)[single]
    p, q, left, right = p[~single], q[~single], left[~single], right[~single]
    shorter = np.linalg.norm(points[p] - points[right], axis=1) <= np.linalg.norm(points[q] - points[left], axis=1)
    one = np.stack([p, q, np.where(shorter, right, left)], axis=1)
    other = np.stack([np.where(shorter, p, q), right, left], axis=1)
    return np.concatenate([tips, singles, one, other])


def _turned(local: _Rows, corner: _Rows, chosen: NDArray[np.bool_], kind: int) -> tuple[_Rows, ...]:
    """The three corners of the chosen faces, the first one of this kind first, and their kinds: six arrays."""
    faces, kinds = local[chosen], corner[chosen]
    turn = ((kinds == kind).argmax(axis=1)[:, None] + np.arange(3)) % 3
    return (*np.take_along_axis(faces, turn, axis=1).T, *np.take_along_axis(kinds, turn, axis=1).T)


def _sound(points: _Floats, triangles: _Rows) -> _Rows:
    """The triangles that have an area after rounding to float32."""
    vertices, faces = points.astype(np.float32), triangles.astype(np.int32)
    welded = topology.welded_faces(faces, topology.weld(vertices))
    sound: _Rows = triangles[topology.face_faults(vertices, welded, _THIN) == topology.FINE]
    return sound
