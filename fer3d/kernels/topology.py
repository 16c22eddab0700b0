"""Topology of a triangle mesh: welding, adjacency, components and boundary loops. No argument checks.

Corner k of face f is faces[f, k]; edge k of face f runs from corner k to corner (k + 1) % 3. All tables are built with
counting sorts, in time linear in the size of the mesh. Reordering the rows of a mesh only reorders the results.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from fer3d.kernels.small import stable_order

FINE, NOT_FINITE, DEGENERATE, DUPLICATE = 0, 1, 2, 3  # results of `face_faults`
BOUNDARY, CROWDED = -1, -2  # instead of a neighbour: the edge has one face; it has more than two

# Above this number of edges at a vertex a bucket is sorted instead of searched, so that a fan of 100,000 faces is fast.
_LONG_BUCKET = 64


@njit(cache=True, nogil=True)
def weld(vertices: NDArray[np.float32]) -> NDArray[np.int32]:
    """(V,) int32: the first row with exactly the same coordinates. A row that is not finite maps to itself.

    Files split a vertex at a texture seam, although the surface is connected there.
    """
    count = len(vertices)
    size = 16
    while size < 2 * count:
        size *= 2
    slots = np.full(size, -1, np.int32)
    bits = np.ascontiguousarray(vertices + np.float32(0.0)).view(np.uint32)  # + 0 turns -0.0 into 0.0
    same = np.empty(count, np.int32)
    for v in range(count):
        x, y, z = np.uint64(bits[v, 0]), np.uint64(bits[v, 1]), np.uint64(bits[v, 2])
        same[v] = v
        if not (np.isfinite(vertices[v, 0]) and np.isfinite(vertices[v, 1]) and np.isfinite(vertices[v, 2])):
            continue
        key = x * np.uint64(0x9E3779B97F4A7C15) ^ y * np.uint64(0xC2B2AE3D27D4EB4F) ^ z * np.uint64(0x165667B19E3779F9)
        key ^= key >> np.uint64(29)
        slot = np.int64(key & np.uint64(size - 1))
        while slots[slot] >= 0:
            other = slots[slot]
            if bits[other, 0] == bits[v, 0] and bits[other, 1] == bits[v, 1] and bits[other, 2] == bits[v, 2]:
                same[v] = other
                break
            slot = (slot + 1) & (size - 1)
        if slots[slot] < 0:
            slots[slot] = v
    return same


@njit(cache=True, nogil=True)
def welded_faces(faces: NDArray[np.int32], same: NDArray[np.int32]) -> NDArray[np.int32]:
    """(F, 3) int32: `faces` with each corner v replaced by `same[v]`, where `same` is the result of `weld`."""
    out = np.empty_like(faces)
    for f in range(len(faces)):
        for k in range(3):
            out[f, k] = same[faces[f, k]]
    return out


@njit(cache=True, nogil=True)
def double_area(vertices: NDArray[np.float32], a: int, b: int, c: int) -> float:
    """Twice the area of the triangle of rows a, b, c."""
    ux = np.float64(vertices[b, 0]) - vertices[a, 0]
    uy = np.float64(vertices[b, 1]) - vertices[a, 1]
    uz = np.float64(vertices[b, 2]) - vertices[a, 2]
    wx = np.float64(vertices[c, 0]) - vertices[a, 0]
    wy = np.float64(vertices[c, 1]) - vertices[a, 1]
    wz = np.float64(vertices[c, 2]) - vertices[a, 2]
    area: float = np.sqrt((uy * wz - uz * wy) ** 2 + (uz * wx - ux * wz) ** 2 + (ux * wy - uy * wx) ** 2)
    return area


@njit(cache=True, nogil=True)
def face_faults(vertices: NDArray[np.float32], faces: NDArray[np.int32], thin: float) -> NDArray[np.uint8]:
    """(F,) uint8: FINE, NOT_FINITE, DEGENERATE or DUPLICATE.

    Args:
        vertices: (V, 3) float32.
        faces: (F, 3) int32, welded.
        thin: A face whose height is below this fraction of its longest edge is degenerate.
    """
    V, F = len(vertices), len(faces)
    fault = np.zeros(F, np.uint8)
    start = np.zeros(V + 1, np.int32)
    triple = np.empty((F, 3), np.int32)
    for f in range(F):
        a, b, c = faces[f]
        low, high = min(a, b, c), max(a, b, c)
        middle = a + b + c - low - high
        triple[f, 0], triple[f, 1], triple[f, 2] = low, middle, high
        ab2 = ac2 = bc2 = 0.0
        for k in range(3):
            ab2 += (np.float64(vertices[b, k]) - vertices[a, k]) ** 2
            ac2 += (np.float64(vertices[c, k]) - vertices[a, k]) ** 2
            bc2 += (np.float64(vertices[c, k]) - vertices[b, k]) ** 2
        if not np.isfinite(ab2 + ac2 + bc2):
            fault[f] = NOT_FINITE
            continue
        if low == middle or middle == high or double_area(vertices, a, b, c) <= thin * max(ab2, ac2, bc2):
            fault[f] = DEGENERATE
            continue
        start[low + 1] += 1
    for v in range(V):
        start[v + 1] += start[v]
    fill = start[:-1].copy()
    bucket = np.empty(start[V], np.int32)
    for f in range(F):
        if fault[f] == FINE:
            bucket[fill[triple[f, 0]]] = f
            fill[triple[f, 0]] += 1
    for v in range(V):
        low, high = start[v], start[v + 1]
        if high - low > _LONG_BUCKET:
            key = np.empty(high - low, np.int64)
            for i in range(low, high):
                key[i - low] = np.int64(triple[bucket[i], 1]) * V + triple[bucket[i], 2]
            order = stable_order(key)
            for i in range(1, high - low):
                if key[order[i]] == key[order[i - 1]]:
                    fault[bucket[low + order[i]]] = DUPLICATE
            continue
        for i in range(low + 1, high):
            f = bucket[i]
            for j in range(low, i):
                g = bucket[j]
                if triple[f, 1] == triple[g, 1] and triple[f, 2] == triple[g, 2]:
                    fault[f] = DUPLICATE
                    break
    return fault


@njit(cache=True, nogil=True)
def face_neighbours(faces: NDArray[np.int32], count: int) -> NDArray[np.int32]:
    """(F, 3) int32: 3 g + j if edge k of face f is also edge j of face g, else BOUNDARY or CROWDED.

    Args:
        faces: (F, 3) int32, welded, without degenerate faces.
        count: Number of vertices.
    """
    F = len(faces)
    start = np.zeros(count + 1, np.int32)
    for f in range(F):
        for k in range(3):
            start[min(faces[f, k], faces[f, (k + 1) % 3]) + 1] += 1
    for v in range(count):
        start[v + 1] += start[v]
    fill = start[:-1].copy()
    other = np.empty(3 * F, np.int32)
    edge = np.empty(3 * F, np.int32)
    for f in range(F):
        for k in range(3):
            a, b = faces[f, k], faces[f, (k + 1) % 3]
            i = fill[min(a, b)]
            fill[min(a, b)] = i + 1
            other[i] = max(a, b)
            edge[i] = 3 * f + k
    neighbour = np.full((F, 3), BOUNDARY, np.int32)
    flat = neighbour.reshape(-1)
    for v in range(count):
        low, high = start[v], start[v + 1]
        if high - low > _LONG_BUCKET:
            key, edges = np.empty(high - low, np.int64), edge[low:high].copy()
            for i in range(low, high):
                key[i - low] = other[i]
            order = stable_order(key)
            for i in range(low, high):
                other[i], edge[i] = key[order[i - low]], edges[order[i - low]]
            first = low
            for i in range(low + 1, high + 1):
                if i == high or other[i] != other[first]:
                    if i - first == 2:
                        flat[edge[first]], flat[edge[first + 1]] = edge[first + 1], edge[first]
                    elif i - first > 2:
                        for j in range(first, i):
                            flat[edge[j]] = CROWDED
                    first = i
            continue
        for i in range(low, high):
            e = edge[i]
            for j in range(i + 1, high):
                if other[j] == other[i]:
                    g = edge[j]
                    if flat[e] == BOUNDARY and flat[g] == BOUNDARY:
                        flat[e], flat[g] = g, e
                    else:
                        if flat[e] >= 0:
                            flat[flat[e]] = CROWDED
                        if flat[g] >= 0:
                            flat[flat[g]] = CROWDED
                        flat[e] = flat[g] = CROWDED
    return neighbour


@njit(cache=True, nogil=True)
def components(
    faces: NDArray[np.int32], neighbour: NDArray[np.int32]
) -> tuple[NDArray[np.int32], NDArray[np.bool_], int]:
    """Components of faces that share edges, and the faces to flip so that each component is wound consistently.

    An edge of more than two faces connects nothing, because it is unknown which two belong together. The first face of
    a component is never flipped. A one-sided surface (a Moebius strip) has no consistent winding; each face then keeps
    the winding with which it was first reached.

    Args:
        faces: (F, 3) int32, welded.
        neighbour: (F, 3) int32, as `face_neighbours` returns it.

    Returns:
        label (F,) int32 in [0, P), numbered in the order of the first face; turn (F,) bool, True for faces to flip;
        P, the number of components.
    """
    F = len(faces)
    label = np.full(F, -1, np.int32)
    turn = np.zeros(F, np.bool_)
    stack = np.empty(F, np.int32)
    count = 0
    for seed in range(F):
        if label[seed] >= 0:
            continue
        label[seed] = count
        stack[0] = seed
        depth = 1
        while depth:
            depth -= 1
            f = stack[depth]
            for k in range(3):
                e = neighbour[f, k]
                if e < 0:
                    continue
                g, j = e // 3, e % 3
                if label[g] >= 0:
                    continue
                label[g] = count
                turn[g] = turn[f] != (faces[f, k] == faces[g, j])
                stack[depth] = g
                depth += 1
        count += 1
    return label, turn, count


@njit(cache=True, nogil=True)
def component_areas(
    vertices: NDArray[np.float32], faces: NDArray[np.int32], label: NDArray[np.int32], count: int
) -> NDArray[np.float64]:
    """(P,) float64: area of each component, in squared units of the vertices."""
    area = np.zeros(count)
    for f in range(len(faces)):
        area[label[f]] += 0.5 * double_area(vertices, faces[f, 0], faces[f, 1], faces[f, 2])
    return area


@njit(cache=True, nogil=True)
def boundary_loops(
    faces: NDArray[np.int32], neighbour: NDArray[np.int32]
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
    """Boundary loops: closed walks along the boundary edges that pass each vertex at most once.

    At each vertex the walk turns through the adjacent faces, so that it does not depend on their winding. If a walk
    returns to a vertex (two touching holes), the part since then becomes a separate loop. A walk that reaches an edge
    of more than two faces is not a loop and is left out, together with its separated parts. On a surface with handles a
    walk can pass two vertices alternately; its division into loops then depends on its start.

    Args:
        faces: (F, 3) int32, welded.
        neighbour: (F, 3) int32, as `face_neighbours` returns it.

    Returns:
        start (N + 1,) int32: loop i is the rows start[i]:start[i + 1] of the other two.
        vertex (M,) int32: the vertices of the loops; an edge runs from each to the next, from the last to the first.
        edge (M,) int32: 3 f + k, the boundary edge that leads from this vertex to the next.
    """
    F = len(faces)
    total = 0
    top = 0
    for f in range(F):
        for k in range(3):
            top = max(top, faces[f, k])
            total += neighbour[f, k] == BOUNDARY
    start = np.zeros(total + 2, np.int32)
    vertices = np.empty(total, np.int32)
    edges = np.empty(total, np.int32)
    walk_vertex = np.empty(total + 1, np.int32)
    walk_edge = np.empty(total + 1, np.int32)
    place = np.full(top + 1, -1, np.int32)  # position of a vertex in the current walk
    done = np.zeros((F, 3), np.bool_)
    loops = filled = 0
    for seed in range(F):
        for corner in range(3):
            if neighbour[seed, corner] != BOUNDARY or done[seed, corner]:
                continue
            first_filled, first_loops = filled, loops
            f, k = seed, corner
            here, ahead = faces[f, k], faces[f, (k + 1) % 3]
            length = 0
            closed = False
            while True:
                if place[here] >= 0:  # the walk returned to a vertex: separate a loop
                    low = place[here]
                    for i in range(low, length):
                        place[walk_vertex[i]] = -1
                        vertices[filled] = walk_vertex[i]
                        edges[filled] = walk_edge[i]
                        filled += 1
                    loops += 1
                    start[loops] = filled
                    length = low
                if done[f, k]:
                    closed = f == seed and k == corner  # else it reached a walk that was left out before
                    break
                done[f, k] = True
                walk_vertex[length], walk_edge[length] = here, 3 * f + k
                place[here] = length
                length += 1
                # Turn around `ahead`, from face to face, until an edge has no second face.
                here = ahead
                while True:
                    k = _other_edge_at(faces, f, k, here)
                    e = neighbour[f, k]
                    if e < 0:
                        break
                    f, k = e // 3, e % 3
                if e == CROWDED:
                    break
                ahead = faces[f, (k + 1) % 3] if faces[f, k] == here else faces[f, k]
            for i in range(length):
                place[walk_vertex[i]] = -1
            if not closed:
                filled, loops = first_filled, first_loops
    return start[: loops + 1].copy(), vertices[:filled].copy(), edges[:filled].copy()


@njit(cache=True, nogil=True, inline="always")
def _other_edge_at(faces: NDArray[np.int32], f: int, k: int, vertex: int) -> int:
    """The edge of face f that ends at `vertex` and is not edge k."""
    return (k + 1) % 3 if faces[f, (k + 1) % 3] == vertex else (k + 2) % 3


@njit(cache=True, nogil=True)
def vertex_faces(faces: NDArray[np.int32], count: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Faces around each vertex: those of v are around[start[v]:start[v + 1]], ascending."""
    start = np.zeros(count + 1, np.int32)
    for f in range(len(faces)):
        for k in range(3):
            start[faces[f, k] + 1] += 1
    for v in range(count):
        start[v + 1] += start[v]
    fill = start[:-1].copy()
    around = np.empty(start[count], np.int32)
    for f in range(len(faces)):
        for k in range(3):
            v = faces[f, k]
            around[fill[v]] = f
            fill[v] += 1
    return start, around


@njit(cache=True, nogil=True)
def kept_rows(
    faces: NDArray[np.int32], keep: NDArray[np.bool_], count: int
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """The mesh of the kept faces, without unused vertices.

    Args:
        faces: (F, 3) int32.
        keep: (F,) bool. Faces to keep.
        count: Number of vertices.

    Returns:
        rows (V',) int32: the old row of each remaining vertex, ascending; (F', 3) int32: the kept faces, re-indexed.
    """
    new = np.full(count, -1, np.int32)
    left = 0
    for f in range(len(faces)):
        if keep[f]:
            left += 1
            for k in range(3):
                new[faces[f, k]] = 0
    rows = np.empty(count, np.int32)
    used = 0
    for v in range(count):
        if new[v] == 0:
            new[v] = used
            rows[used] = v
            used += 1
    out = np.empty((left, 3), np.int32)
    i = 0
    for f in range(len(faces)):
        if keep[f]:
            for k in range(3):
                out[i, k] = new[faces[f, k]]
            i += 1
    return rows[:used].copy(), out


@njit(cache=True, nogil=True)
def loop_extents(
    vertices: NDArray[np.float32], start: NDArray[np.int32], vertex: NDArray[np.int32], limit: float
) -> NDArray[np.float64]:
    """(N,) float64: the largest distance between two vertices of each loop, or a lower bound if it exceeds `limit`.

    Args:
        vertices: (V, 3) float32.
        start: (N + 1,) int32 and
        vertex: (M,) int32, as `boundary_loops` returns them.
        limit: A loop is not measured beyond this extent, so that a long boundary does not take quadratic time.
    """
    extent = np.zeros(len(start) - 1)
    for loop in range(len(extent)):
        low, high = start[loop], start[loop + 1]
        for k in range(3):
            least, most = np.inf, -np.inf
            for i in range(low, high):
                x = np.float64(vertices[vertex[i], k])
                least, most = min(least, x), max(most, x)
            extent[loop] = max(extent[loop], most - least)
        if extent[loop] > limit:
            continue
        best = 0.0
        for i in range(low, high):
            for j in range(i + 1, high):
                d2 = 0.0
                for k in range(3):
                    d2 += (np.float64(vertices[vertex[i], k]) - vertices[vertex[j], k]) ** 2
                best = max(best, d2)
        extent[loop] = np.sqrt(best)
    return extent


@njit(cache=True, nogil=True)
def component_extents(
    vertices: NDArray[np.float32], faces: NDArray[np.int32], label: NDArray[np.int32], count: int
) -> NDArray[np.float64]:
    """(P,) float64: longest side of each component's bounding box."""
    least, most = np.full((count, 3), np.inf), np.full((count, 3), -np.inf)
    for f in range(len(faces)):
        component = label[f]
        for k in range(3):
            for j in range(3):
                x = np.float64(vertices[faces[f, k], j])
                least[component, j] = min(least[component, j], x)
                most[component, j] = max(most[component, j], x)
    extent = np.full(count, -np.inf)
    for component in range(count):
        for j in range(3):
            extent[component] = max(extent[component], most[component, j] - least[component, j])
    return extent
