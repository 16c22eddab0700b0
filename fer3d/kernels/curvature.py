"""Principal curvatures from a quadric fitted to the vertices within a metric radius."""

import math

import numpy as np
from numba import njit

# Least eigenvalue of the linear (and of the quadratic) terms in the normal equations, with lower terms eliminated, in
# units of the radius. It is the same in every tangent frame. A full disc has 0.028, half a disc 0.003, a quarter 0.002;
# below this value the members lie almost on one conic.
LEAST_SPREAD = 1e-3

# Reassociation lets the compiler vectorise the sums. NaN and infinity keep their meaning.
_SUMS = {"reassoc", "nsz", "contract", "arcp"}


@njit(cache=True, nogil=True)
def links(faces, first, position, count):  # type: ignore[no-untyped-def]
    """Neighbours of each welded and renumbered vertex, and whether the vertex lies on a boundary.

    Args:
        faces: (F, 3) int32.
        first: (V,) int32, as `fer3d.kernels.topology.weld` returns it.
        position: (V,) int32. New number of each vertex, -1 for an unused vertex.
        count: Number of new numbers (M).

    Returns:
        start: (M + 1,) int32, and other: (start[M],) int32. Neighbours of m are other[start[m]:start[m + 1]]; a
            neighbour that shares two faces with m is listed twice.
        boundary: (M,) bool. False only where the faces around a vertex form a closed fan.
    """
    start = np.zeros(count + 1, dtype=np.int32)
    # Around an inner vertex each neighbour is once the next and once the previous corner, so that the sums cancel.
    balance = np.zeros(count, dtype=np.int64)
    for f in range(faces.shape[0]):
        a, b, c = position[first[faces[f, 0]]], position[first[faces[f, 1]]], position[first[faces[f, 2]]]
        if a < 0 or b < 0 or c < 0 or a == b or b == c or c == a:
            continue
        start[a + 1] += 2
        start[b + 1] += 2
        start[c + 1] += 2
        aa, bb, cc = np.int64(a) * a, np.int64(b) * b, np.int64(c) * c
        balance[a] += bb - cc
        balance[b] += cc - aa
        balance[c] += aa - bb
    for m in range(count):
        start[m + 1] += start[m]
    other = np.empty(start[count], dtype=np.int32)
    fill = start[:-1].copy()
    for f in range(faces.shape[0]):
        a, b, c = position[first[faces[f, 0]]], position[first[faces[f, 1]]], position[first[faces[f, 2]]]
        if a < 0 or b < 0 or c < 0 or a == b or b == c or c == a:
            continue
        other[fill[a]], other[fill[a] + 1] = b, c
        other[fill[b]], other[fill[b] + 1] = c, a
        other[fill[c]], other[fill[c] + 1] = a, b
        fill[a] += 2
        fill[b] += 2
        fill[c] += 2
    return start, other, balance != 0


@njit(cache=True, nogil=True)
def ring_mean(normals, start, other):  # type: ignore[no-untyped-def]
    """Unit mean of the normals of each vertex and its neighbours, which is robust against a noisy short edge.

    Args:
        normals: (M, 3) float32.
        start, other: From `links`.

    Returns:
        (M, 3) float32. The rounding removes the effect of the order of the neighbours.
    """
    out = np.empty(normals.shape, dtype=np.float32)
    for m in range(normals.shape[0]):
        x, y, z = (
            2.0 * normals[m, 0],
            2.0 * normals[m, 1],
            2.0 * normals[m, 2],
        )  # twice, as each neighbour is listed twice
        for e in range(start[m], start[m + 1]):
            x += normals[other[e], 0]
            y += normals[other[e], 1]
            z += normals[other[e], 2]
        length = math.sqrt(x * x + y * y + z * z)
        if length > 0.0:
            out[m, 0], out[m, 1], out[m, 2] = x / length, y / length, z / length
        else:
            out[m] = normals[m]
    return out


@njit(cache=True, nogil=True, fastmath=_SUMS)
def _select(near, size, x, y, z, nx, ny, nz, limit, weight):  # type: ignore[no-untyped-def]
    """Give weight 1 - (distance / radius)^2 to candidates in the ball whose normal faces the same way, else 0.

    Returns:
        Number of signs of several sheets in the ball: vertices on a boundary plus opposite normals.
    """
    doubts = 0.0
    for n in range(size):
        dx, dy, dz = near[0, n] - x, near[1, n] - y, near[2, n] - z
        share = 1.0 - (dx * dx + dy * dy + dz * dz) / limit
        inside = 1.0 if share > 0.0 else 0.0
        facing = 1.0 if near[3, n] * nx + near[4, n] * ny + near[5, n] * nz > 0.0 else 0.0
        weight[n] = share * inside * facing
        doubts += inside * (1.0 - facing + near[6, n])
    return doubts


@njit(cache=True, nogil=True, fastmath=_SUMS)
def _moments(near, size, weight, x, y, z, frame, out):  # type: ignore[no-untyped-def]
    """Sums of weight * u^i v^j (i + j <= 4) and weight * h * u^i v^j (i + j <= 2), and the number of weighted candidates."""  # noqa: E501
    ux, uy, uz = frame[0, 0], frame[0, 1], frame[0, 2]
    vx, vy, vz = frame[1, 0], frame[1, 1], frame[1, 2]
    hx, hy, hz = frame[2, 0], frame[2, 1], frame[2, 2]
    s00 = s10 = s01 = s20 = s11 = s02 = s30 = s21 = s12 = s03 = s40 = s31 = s22 = s13 = s04 = 0.0
    t00 = t10 = t01 = t20 = t11 = t02 = members = 0.0
    for n in range(size):
        dx, dy, dz = near[0, n] - x, near[1, n] - y, near[2, n] - z
        w = weight[n]
        u = dx * ux + dy * uy + dz * uz
        v = dx * vx + dy * vy + dz * vz
        h = dx * hx + dy * hy + dz * hz
        members += 1.0 if w > 0.0 else 0.0
        wu, wv = w * u, w * v
        uu, uv, vv = wu * u, wu * v, wv * v
        s00 += w
        s10 += wu
        s01 += wv
        s20 += uu
        s11 += uv
        s02 += vv
        s30 += uu * u
        s21 += uu * v
        s12 += vv * u
        s03 += vv * v
        s40 += uu * u * u
        s31 += uu * u * v
        s22 += uu * v * v
        s13 += vv * u * v
        s04 += vv * v * v
        t00 += w * h
        t10 += wu * h
        t01 += wv * h
        t20 += uu * h
        t11 += uv * h
        t02 += vv * h
    out[0, 0], out[0, 1], out[0, 2], out[0, 3], out[0, 4], out[0, 5], out[0, 6] = s00, s10, s01, s20, s11, s02, t00
    out[1, 1], out[1, 2], out[1, 3], out[1, 4], out[1, 5], out[1, 6] = s20, s11, s30, s21, s12, t10
    out[2, 2], out[2, 3], out[2, 4], out[2, 5], out[2, 6] = s02, s21, s12, s03, t01
    out[3, 3], out[3, 4], out[3, 5], out[3, 6] = s40, s31, s22, t20
    out[4, 4], out[4, 5], out[4, 6] = s22, s13, t11
    out[5, 5], out[5, 6] = s04, t02
    return int(members + 0.5)


@njit(cache=True, nogil=True)
def _exceeds(a, b, c, least):  # type: ignore[no-untyped-def]
    """Whether both eigenvalues of the matrix [[a, b], [b, c]] exceed `least`."""
    return a > least and (a - least) * (c - least) > b * b


@njit(cache=True, nogil=True)
def _solve(a, least):  # type: ignore[no-untyped-def]
    """Solve the 6 x 6 normal equations in place; the solution goes to a[:, 6]. False if they are nearly singular.

    Args:
        a: (6, 7) float64. Upper triangle and right side. The columns are 1, u, v, uu, uv, vv.
        least: Least eigenvalue of the block of the linear terms, and of that of the quadratic terms (uu, sqrt(2) uv,
            vv), with lower terms eliminated. No rotation of u and v changes these eigenvalues.
    """
    for k in range(6):
        if not a[k, k] > 0.0:
            return False
        if k == 1 and not _exceeds(a[1, 1], a[1, 2], a[2, 2], least):
            return False
        if k == 3:  # pivot of uu minus `least`, then the remainder of uv and vv
            first = a[3, 3] - least
            if not first > 0.0:
                return False
            b, c, d = (
                a[4, 4] - a[3, 4] ** 2 / first,
                a[4, 5] - a[3, 4] * a[3, 5] / first,
                a[5, 5] - a[3, 5] ** 2 / first,
            )
            if not _exceeds(2.0 * b, math.sqrt(2.0) * c, d, least):
                return False
        inverse = 1.0 / a[k, k]
        for i in range(k + 1, 6):
            factor = a[k, i] * inverse
            for j in range(i, 7):
                a[i, j] -= factor * a[k, j]
    for k in range(5, -1, -1):
        for j in range(k + 1, 6):
            a[k, 6] -= a[k, j] * a[j, 6]
        a[k, 6] /= a[k, k]
    return True


@njit(cache=True, nogil=True)
def _tangent_frame(x, y, z, scale, frame):  # type: ignore[no-untyped-def]
    """Rows u, v, n of a right-handed frame with the unit normal n = (x, y, z), times `scale`. Duff et al. 2017."""
    sign = 1.0 if z >= 0.0 else -1.0
    a = -1.0 / (sign + z)
    b = x * y * a
    frame[0, 0], frame[0, 1], frame[0, 2] = scale * (1.0 + sign * x * x * a), scale * sign * b, -scale * sign * x
    frame[1, 0], frame[1, 1], frame[1, 2] = scale * b, scale * (sign + y * y * a), -scale * y
    frame[2, 0], frame[2, 1], frame[2, 2] = scale * x, scale * y, scale * z


@njit(cache=True, nogil=True)
def _curvatures(a):  # type: ignore[no-untyped-def]
    """k1 >= k2 at u = v = 0 of the graph h = c + p u + q v + A uu + B uv + C vv, outward normal along +h.

    The formula uses the first and second fundamental forms, so that the fit may be inclined to the frame.
    """
    p, q = a[1, 6], a[2, 6]
    big_e, big_f, big_g = 1.0 + p * p, p * q, 1.0 + q * q
    area = 1.0 + p * p + q * q  # EG - FF
    root = math.sqrt(area)
    # The signs make a cap positive: its graph falls below the tangent plane.
    big_l, big_m, big_n = -2.0 * a[3, 6] / root, -a[4, 6] / root, -2.0 * a[5, 6] / root
    mean = (big_e * big_n - 2.0 * big_f * big_m + big_g * big_l) / (2.0 * area)
    gauss = (big_l * big_n - big_m * big_m) / area
    spread = math.sqrt(max(mean * mean - gauss, 0.0))
    return mean + spread, mean - spread


@njit(cache=True, nogil=True)
def _connected(m, near_row, size, weight, start, other, row_of, stamp, mark, queue):  # type: ignore[no-untyped-def]
    """Set the weight of candidates to 0 that no path of weighted candidates connects to vertex m.

    Args:
        near_row: (>= size,) int32. Vertex number of a candidate.
        row_of: (M,) int32. Candidate number of a vertex, valid where near_row[row_of[v]] == v.
        stamp: (M,) int32. Equal to `mark` where a vertex has been reached.
        queue: Scratch memory for `size` numbers.
    """
    queue[0] = m
    stamp[m] = mark
    head, tail = 0, 1
    while head < tail:
        v = queue[head]
        head += 1
        for e in range(start[v], start[v + 1]):
            w = other[e]
            if stamp[w] == mark:
                continue
            n = row_of[w]
            if n < size and near_row[n] == w and weight[n] > 0.0:
                stamp[w] = mark
                queue[tail] = w
                tail += 1
    for n in range(size):
        if stamp[near_row[n]] != mark:
            weight[n] = 0.0


@njit(cache=True, nogil=True)
def principal_curvatures(points, normals, begin, shape, start, other, boundary, todo, radius, least):  # type: ignore[no-untyped-def]
    """Principal curvatures of vertices that are sorted into cells of edge length >= radius / 2.

    The neighbours of a vertex are the vertices within `radius` whose normals face the same half space and which are
    connected to it by edges within that set. The search along edges runs only if it can matter: a ball without boundary
    and without opposite normals holds one connected sheet.

    Args:
        points, normals: (M, 3) float64, in the order of the cells (see `fer3d.kernels.cells`).
        begin: (cells + 1,) int32. First vertex of each cell.
        shape: (3,) int64. Cells along x, y, z.
        start, other, boundary: From `links`.
        todo: (M,) bool. The vertices to compute.
        radius: Radius of the ball.
        least: Fewest members (including the vertex itself) of a fit.

    Returns:
        k1, k2: (M,) float64. NaN for a vertex that is not in `todo`, has too few members, or whose members lie
            (nearly) on one conic, which leaves the quadric undetermined.
        members: (M,) int32. Number of vertices in the fit.
    """
    count = points.shape[0]
    k1 = np.full(count, np.nan)
    k2 = np.full(count, np.nan)
    members = np.zeros(count, dtype=np.int32)
    capacity = 256
    near = np.empty((7, capacity))
    near_row = np.empty(capacity, dtype=np.int32)
    weight = np.empty(capacity)
    queue = np.empty(capacity, dtype=np.int32)
    row_of = np.zeros(count, dtype=np.int32)
    stamp = np.full(count, -1, dtype=np.int32)
    frame = np.empty((3, 3))
    normal_equations = np.empty((6, 7))
    limit = radius * radius
    for cell in range(begin.shape[0] - 1):
        if not todo[begin[cell] : begin[cell + 1]].any():
            continue
        ci, cj, ck = cell // (shape[1] * shape[2]), cell // shape[2] % shape[1], cell % shape[2]
        low_k, high_k = max(ck - 2, 0), min(ck + 3, shape[2])
        size = np.int64(0)  # not the literal 0, for which Numba would compile a second version
        for i in range(max(ci - 2, 0), min(ci + 3, shape[0])):
            for j in range(max(cj - 2, 0), min(cj + 3, shape[1])):
                row = (i * shape[1] + j) * shape[2]
                size += begin[row + high_k] - begin[row + low_k]
        if size > capacity:
            capacity = int(2 * size)
            near = np.empty((7, capacity))
            near_row = np.empty(capacity, dtype=np.int32)
            weight = np.empty(capacity)
            queue = np.empty(capacity, dtype=np.int32)
        n = 0
        for i in range(max(ci - 2, 0), min(ci + 3, shape[0])):
            for j in range(max(cj - 2, 0), min(cj + 3, shape[1])):
                row = (i * shape[1] + j) * shape[2]
                for v in range(begin[row + low_k], begin[row + high_k]):
                    near[0, n], near[1, n], near[2, n] = points[v, 0], points[v, 1], points[v, 2]
                    near[3, n], near[4, n], near[5, n] = normals[v, 0], normals[v, 1], normals[v, 2]
                    near[6, n] = 1.0 if boundary[v] else 0.0
                    near_row[n] = v
                    row_of[v] = n
                    n += 1
        for m in range(begin[cell], begin[cell + 1]):
            if not todo[m]:
                continue
            x, y, z = points[m, 0], points[m, 1], points[m, 2]
            doubts = _select(near, size, x, y, z, normals[m, 0], normals[m, 1], normals[m, 2], limit, weight)
            if doubts > 0.0:
                _connected(m, near_row, size, weight, start, other, row_of, stamp, m, queue)
            # In units of the radius, so that pivots and rounding do not depend on it.
            _tangent_frame(normals[m, 0], normals[m, 1], normals[m, 2], 1.0 / radius, frame)
            members[m] = _moments(near, size, weight, x, y, z, frame, normal_equations)
            if members[m] >= least and _solve(normal_equations, LEAST_SPREAD * normal_equations[0, 0]):
                largest, smallest = _curvatures(normal_equations)
                k1[m], k2[m] = largest / radius, smallest / radius
    return k1, k2, members
