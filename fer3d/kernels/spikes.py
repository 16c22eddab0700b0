"""Which vertices stand off the surface that their neighbours make. Arrays in, arrays out; no checks."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from fer3d.kernels.small import median
from fer3d.kernels.topology import vertex_faces

_MOST_NEIGHBOURS = 96  # of the two rings that vote; more change nothing
_ROUNDS = 8  # of reweighting; the plane stands after three or four
_SPACINGS = 2.0  # a coarse mesh of a curved surface is allowed to be this many edge lengths off a plane


@njit(cache=True, nogil=True)
def spikes(
    vertices: NDArray[np.float32], faces: NDArray[np.int32], height: float
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Spikes, and those that appear once these are gone, until there are none.

    A vertex is a spike if it is farther than `height` from the plane of its two rings of neighbours, fitted so that
    outliers among them do not count, and if two thirds of its direct neighbours are farther than that from it. (The
    second condition spares the upper edge of a step.) Where edges are long, `height` grows to two local edge lengths.

    Args:
        vertices: (V, 3) float32, finite.
        faces: (F, 3) int32, welded.
        height: In the unit of the vertices.

    Returns:
        (V,) bool: which vertices are spikes; (F,) bool: which faces touch none.
    """
    spike = np.zeros(len(vertices), np.bool_)
    keep = np.ones(len(faces), np.bool_)
    left = faces
    while True:
        found, any_found = _spikes_once(vertices, left, height), False
        for v in range(len(vertices)):
            if found[v]:
                spike[v] = any_found = True
        if not any_found:
            return spike, keep
        count = 0
        for f in range(len(faces)):
            keep[f] = not (spike[faces[f, 0]] or spike[faces[f, 1]] or spike[faces[f, 2]])
            count += keep[f]
        left = np.empty((count, 3), np.int32)
        count = 0
        for f in range(len(faces)):
            if keep[f]:
                left[count, 0], left[count, 1], left[count, 2] = faces[f, 0], faces[f, 1], faces[f, 2]
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
    # Cheap sieve: a spike is at least half its height from the mean of its ring, though a second one be in the ring.
    suspects = np.empty(V, np.int32)
    found = 0
    for v in range(V):
        if ring_count[v]:
            d2 = 0.0
            for k in range(3):
                d2 += (vertices[v, k] - ring[v, k] / ring_count[v]) ** 2
            if d2 > 0.25 * height * height:
                suspects[found] = v
                found += 1
    if not found:
        return spike
    start, around = vertex_faces(faces, V)
    ids = np.empty(_MOST_NEIGHBOURS, np.int32)
    for i in range(found):
        v = suspects[i]
        direct = _ring(faces, start, around, v, v, ids, np.int64(0))  # type: ignore[arg-type]  # 0 is compiled for itself
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
    """Append the neighbours of u, but v, to ids[:count] where they are not there yet; the new count."""
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
    """Median length of the edges at the neighbours of v that do not end at v; 0 if there is none."""
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
    """Distance of v from the plane of the rows `ids`, by least squares with Cauchy weights."""
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
    floor = 1e-3 * scale  # more than half of the neighbours exactly in one plane: no scale of their own
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
