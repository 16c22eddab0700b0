"""Find vertices that lie off the surface of their neighbours. No argument checks."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from fer3d.kernels.small import median
from fer3d.kernels.topology import vertex_faces

_MOST_NEIGHBOURS = 96  # of the two rings that are fitted; more do not change the result
_ROUNDS = 8  # of reweighting; the plane converges after three or four
_SPACINGS = 2.0  # on a coarse mesh of a curved surface a vertex may lie this many edge lengths off a plane


@njit(cache=True, nogil=True)
def spikes(
    vertices: NDArray[np.float32], faces: NDArray[np.int32], height: float
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Find spikes, remove them, and repeat until none is remaining.

    A vertex is a spike if it is farther than `height` from a plane that is robustly fitted to its two rings of
    neighbours, and if two thirds of its direct neighbours are farther than that from it. (The second condition keeps
    the upper edge of a step.) Where edges are long, the limit is two local edge lengths instead of `height`.

    Args:
        vertices: (V, 3) float32, finite.
        faces: (F, 3) int32, welded.
        height: Least distance of a spike, in the unit of the vertices.

    Returns:
        (V,) bool: True for spikes; (F,) bool: True for faces without a spike.
    """
    spike = np.zeros(len(vertices), np.bool_)
    keep = np.ones(len(faces), np.bool_)
    remaining = faces
    while True:
        new, any_new = _spikes_once(vertices, remaining, height), False
        for v in range(len(vertices)):
            if new[v]:
                spike[v] = any_new = True
        if not any_new:
            return spike, keep
        count = 0
        for f in range(len(faces)):
            keep[f] = not (spike[faces[f, 0]] or spike[faces[f, 1]] or spike[faces[f, 2]])
            count += keep[f]
        remaining = np.empty((count, 3), np.int32)
        count = 0
        for f in range(len(faces)):
            if keep[f]:
                remaining[count, 0], remaining[count, 1], remaining[count, 2] = faces[f, 0], faces[f, 1], faces[f, 2]
                count += 1


@njit(cache=True, nogil=True)
def _spikes_once(vertices: NDArray[np.float32], faces: NDArray[np.int32], height: float) -> NDArray[np.bool_]:
    """(V,) bool: the spikes of one round."""
    V = len(vertices)
    ring = np.zeros((V, 3))
    ring_count = np.zeros(V, np.int32)
    for f in range(len(faces)):
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        ring_count[a] += 2
        ring_count[b] += 2
        ring_count[c] += 2
        for k in range(3):
            x, y, z = np.float64(vertices[a, k]), np.float64(vertices[b, k]), np.float64(vertices[c, k])
            ring[a, k] += y + z
            ring[b, k] += x + z
            ring[c, k] += x + y
    spike = np.zeros(V, np.bool_)
    # Fast pre-selection: a spike is at least `height` / 2 from the mean of its ring, even if that holds a second spike.
    suspects = np.empty(V, np.int32)
    suspect_count = 0
    for v in range(V):
        if ring_count[v]:
            d2 = 0.0
            for k in range(3):
                d2 += (vertices[v, k] - ring[v, k] / ring_count[v]) ** 2
            if d2 > 0.25 * height * height:
                suspects[suspect_count] = v
                suspect_count += 1
    if not suspect_count:
        return spike
    start, around = vertex_faces(faces, V)
    ids = np.empty(_MOST_NEIGHBOURS, np.int32)
    for i in range(suspect_count):
        v = suspects[i]
        direct = _ring(faces, start, around, v, v, ids, np.int64(0))  # type: ignore[arg-type]  # a literal 0 compiles another version
        if not _stands_off(vertices, ids[:direct], v, height):
            continue
        limit = max(height, _SPACINGS * _spacing(vertices, faces, start, around, v, ids[:direct]))
        if not _stands_off(vertices, ids[:direct], v, limit):
            continue
        count = direct
        for n in range(direct):
            count = _ring(faces, start, around, ids[n], v, ids, count)
        if count >= 3:
            spike[v] = _distance_from_plane(vertices, ids[:count], v) > limit
    return spike


@njit(cache=True, nogil=True)
def _ring(
    faces: NDArray[np.int32],
    start: NDArray[np.int32],
    around: NDArray[np.int32],
    u: int,
    v: int,
    ids: NDArray[np.int32],
    count: int,
) -> int:
    """Append the neighbours of u except v to ids[:count], without duplicates; returns the new count."""
    for i in range(start[u], start[u + 1]):
        for k in range(3):
            count = _append_new(ids, count, faces[around[i], k], v)
    return count


@njit(cache=True, nogil=True)
def _stands_off(vertices: NDArray[np.float32], direct: NDArray[np.int32], v: int, limit: float) -> bool:
    """Whether two thirds of the direct neighbours are farther than `limit`."""
    far = 0
    for u in direct:
        d2 = 0.0
        for k in range(3):
            d2 += (np.float64(vertices[v, k]) - vertices[u, k]) ** 2
        far += d2 > limit * limit
    return 3 * far >= 2 * len(direct)


@njit(cache=True, nogil=True)
def _append_new(ids: NDArray[np.int32], count: int, u: int, v: int) -> int:
    if u == v or count == len(ids):
        return count
    for j in range(count):
        if ids[j] == u:
            return count
    ids[count] = u
    return count + 1


@njit(cache=True, nogil=True)
def _spacing(
    vertices: NDArray[np.float32],
    faces: NDArray[np.int32],
    start: NDArray[np.int32],
    around: NDArray[np.int32],
    v: int,
    direct: NDArray[np.int32],
) -> float:
    """Median length of the edges at the neighbours of v that do not end at v; 0 if there are none."""
    lengths = np.empty(256)
    count = 0
    for u in direct:
        for i in range(start[u], start[u + 1]):
            for k in range(3):
                w = faces[around[i], k]
                if w != u and w != v and count < len(lengths):
                    d2 = 0.0
                    for j in range(3):
                        d2 += (np.float64(vertices[u, j]) - vertices[w, j]) ** 2
                    lengths[count] = np.sqrt(d2)
                    count += 1
    return median(lengths[:count]) if count else 0.0


@njit(cache=True, nogil=True)
def _distance_from_plane(vertices: NDArray[np.float32], ids: NDArray[np.int32], v: int) -> float:
    """Distance of v from the plane through the rows `ids`, fitted by least squares with Cauchy weights."""
    n = len(ids)
    points = np.empty((n, 3))
    for i in range(n):
        for k in range(3):
            points[i, k] = vertices[ids[i], k]
    centre, off, weight = np.empty(3), np.empty(n), np.empty(n)
    for k in range(3):
        for i in range(n):
            off[i] = points[i, k]
        centre[k] = median(off)
    for i in range(n):
        d2 = 0.0
        for k in range(3):
            d2 += (points[i, k] - centre[k]) ** 2
        off[i] = np.sqrt(d2)
    scale = median(off)
    floor = 1e-3 * scale  # the scale is 0 if more than half of the neighbours lie exactly in a plane
    distance = 0.0
    for _ in range(_ROUNDS):
        total = 0.0
        for i in range(n):
            weight[i] = 1.0 / (1.0 + (off[i] / scale) ** 2)
            total += weight[i]
        covariance = np.zeros((3, 3))
        centre[0] = centre[1] = centre[2] = 0.0
        for i in range(n):
            weight[i] /= total
            for k in range(3):
                centre[k] += weight[i] * points[i, k]
        for i in range(n):
            for a in range(3):
                for b in range(3):
                    covariance[a, b] += weight[i] * (points[i, a] - centre[a]) * (points[i, b] - centre[b])
        normal = np.linalg.eigh(covariance)[1][:, 0]
        for i in range(n):
            height = 0.0
            for k in range(3):
                height += (points[i, k] - centre[k]) * normal[k]
            off[i] = abs(height)
        scale = max(1.5 * median(off), floor)
        distance = 0.0
        for k in range(3):
            distance += (vertices[v, k] - centre[k]) * normal[k]
    return abs(distance)
