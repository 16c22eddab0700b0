"""Close holes of a triangle mesh: triangulation, refinement, vertex positions. No argument checks.

The vertices of a boundary loop are in the order in which a new face on the edge (i, i + 1) is (i, i + 1, other), which
matches the winding of the face on the other side of the edge.

    .. [1] Barequet, Sharir: Filling gaps in the boundary of a polyhedron. Computer Aided Geometric Design 12, 1995.
    .. [2] Liepa: Filling holes in meshes. Symposium on Geometry Processing, 2003.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from fer3d.kernels.small import Vector, cross, dot, minus, row, solve

_ALPHA2 = 2.0  # [2]: split a triangle if its corners are more than sqrt(2) local edge lengths from its centre
_MOST_INNER = 400  # points in one patch; a 10 mm hole in a 0.5 mm mesh needs about 350
_MOST_EXACT = 128  # longer loops start from a fan: the search for the best triangulation is cubic
_THIN = 1e-5  # a triangle whose height is below this fraction of its longest edge has no area
_NEVER = 1e300


@njit(cache=True, nogil=True)
def fill(
    vertices: NDArray[np.float32],
    values: NDArray[np.float32],
    faces: NDArray[np.int32],
    welded: NDArray[np.int32],
    start: NDArray[np.int32],
    vertex: NDArray[np.int32],
    edge: NDArray[np.int32],
    chosen: NDArray[np.bool_],
    faces_start: NDArray[np.int32],
    faces_around: NDArray[np.int32],
) -> tuple[NDArray[np.float64], NDArray[np.float32], NDArray[np.int32], int]:
    """Close the chosen loops.

    Args:
        vertices: (V, 3) float32, finite.
        values: (V, A) float32. What the vertices carry, such as texture coordinates; A may be 0.
        faces: (F, 3) int32.
        welded: (F, 3) int32. The same faces, welded.
        start: (N + 1,) int32,
        vertex: (M,) int32 and
        edge: (M,) int32, as `topology.boundary_loops` gives them for `welded`.
        chosen: (N,) bool.
        faces_start: (V + 1,) int32 and
        faces_around: (3 F,) int32, as `topology.vertex_faces` gives them for `welded`.

    Returns:
        vertices (P, 3) float64, values (P, A) float32 and faces (K, 3) int32 to append; the number of loops left open
        because every triangulation has a face without area.
    """
    new_vertices = np.empty((64, 3))
    new_values = np.empty((64, values.shape[1]), np.float32)
    new_faces = np.empty((128, 3), np.int32)
    P = K = left = 0
    place = np.full(len(vertices), -1, np.int32)
    for loop in range(len(start) - 1):
        if not chosen[loop]:
            continue
        n = start[loop + 1] - start[loop]
        ring = vertex[start[loop] : start[loop + 1]]
        rows, third = _ring(faces, welded, ring, edge[start[loop] : start[loop + 1]])
        points, beyond = np.empty((n, 3)), np.empty((n, 3))
        for i in range(n):
            points[i, 0], points[i, 1], points[i, 2] = row(vertices, rows[i])
            beyond[i, 0], beyond[i, 1], beyond[i, 2] = row(vertices, third[i])
            place[ring[(n - i) % n]] = i
        forbidden = np.zeros((n, n), np.bool_)
        around = np.empty((256, 3))
        near = 0
        outward = np.zeros(3)
        for i in range(n):
            turned = _normal(row(points, (i + 1) % n), row(points, i), row(beyond, i))
            for k in range(3):
                outward[k] += turned[k]
            v = ring[(n - i) % n]
            for at in range(faces_start[v], faces_start[v + 1]):
                f = faces_around[at]
                for k in range(3):
                    w = welded[f, k]
                    j = place[w]
                    if j >= 0 and abs(i - j) != 1 and abs(i - j) != n - 1:
                        forbidden[i, j] = True
                    if near < len(around):
                        around[near, 0], around[near, 1], around[near, 2] = row(vertices, w)
                        near += 1
        for i in range(n):
            place[ring[i]] = -1
        first = np.empty((0, 3), np.int32)
        if n <= _MOST_EXACT:
            first = triangulate(points, beyond, forbidden)
        patch = refine(points, first, forbidden)
        weights = membrane(patch, n)
        length = np.sqrt(outward[0] ** 2 + outward[1] ** 2 + outward[2] ** 2)
        if length > 0.0:
            for k in range(3):
                outward[k] /= length
        inner = lift(points, weights, around[:near], outward)
        if not _has_area(points, inner, patch):
            left += 1
            continue
        m = len(inner)
        while P + m > len(new_vertices):
            new_vertices, new_values = _doubled(new_vertices), _doubled(new_values)
        while K + len(patch) > len(new_faces):
            new_faces = _doubled(new_faces)
        for i in range(m):
            for k in range(3):
                new_vertices[P + i, k] = inner[i, k]
        for i in range(m):
            for k in range(values.shape[1]):
                total = 0.0
                for j in range(n):
                    total += weights[i, j] * values[rows[j], k]
                new_values[P + i, k] = total
        for t in range(len(patch)):
            for k in range(3):
                i = patch[t, k]
                new_faces[K + t, k] = rows[i] if i < n else len(vertices) + P + i - n
        P += m
        K += len(patch)
    return new_vertices[:P].copy(), new_values[:P].copy(), new_faces[:K].copy(), left


@njit(cache=True, nogil=True)
def _doubled(rows: NDArray[Any]) -> NDArray[Any]:
    """The (N, k) rows in an array of 2 N rows."""
    out = np.empty((2 * len(rows), rows.shape[1]), rows.dtype)
    for i in range(len(rows)):
        for k in range(rows.shape[1]):
            out[i, k] = rows[i, k]
    return out


@njit(cache=True, nogil=True)
def _ring(
    faces: NDArray[np.int32], welded: NDArray[np.int32], vertex: NDArray[np.int32], edge: NDArray[np.int32]
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """A loop in reverse, for `triangulate`: (n,) int32 rows of its vertices, and of those beyond its edges."""
    n = len(edge)
    rows, third = np.empty(n, np.int32), np.empty(n, np.int32)
    for i in range(n):
        f, k = edge[n - 1 - i] // 3, edge[n - 1 - i] % 3  # joins vertex[n - i] and vertex[n - 1 - i]
        third[i] = faces[f, (k + 2) % 3]
        rows[i] = faces[f, k] if welded[f, k] == vertex[(n - i) % n] else faces[f, (k + 1) % 3]
    return rows, third


@njit(cache=True, nogil=True)
def _has_area(loop: NDArray[np.float64], inner: NDArray[np.float64], faces: NDArray[np.int32]) -> bool:
    """Whether every face has an area, also after rounding to float32."""
    n = len(loop)
    points = np.empty((n + len(inner), 3), np.float32)
    for i in range(len(points)):
        for k in range(3):
            points[i, k] = loop[i, k] if i < n else inner[i - n, k]
    for t in range(len(faces)):
        a, b, c = row(points, faces[t, 0]), row(points, faces[t, 1]), row(points, faces[t, 2])
        ab, bc, ca, normal = minus(a, b), minus(b, c), minus(c, a), _normal(a, b, c)
        if np.sqrt(dot(normal, normal)) <= _THIN * max(dot(ab, ab), dot(bc, bc), dot(ca, ca)):
            return False
    return True


@njit(cache=True, nogil=True)
def triangulate(
    loop: NDArray[np.float64], beyond: NDArray[np.float64], forbidden: NDArray[np.bool_]
) -> NDArray[np.int32]:
    """(n - 2, 3) int32 faces over the rows of `loop`, or (0, 3) if there is no triangulation.

    The triangulation minimises the largest dihedral angle between neighbouring faces (including those beyond the
    loop), then the area [1, 2]. The area alone would leave the choice among flat triangulations arbitrary.

    Args:
        loop: (n, 3) float64.
        beyond: (n, 3) float64. Third corner of the mesh face at edge (i, i + 1).
        forbidden: (n, n) bool. Pairs that already are an edge of the mesh, which would get four faces.
    """
    n = len(loop)
    fold = np.full((n, n), _NEVER)  # of the best triangulation of rows i..k
    area = np.full((n, n), _NEVER)
    split = np.full((n, n), -1, np.int32)
    normal = np.zeros((n, n, 3))  # of the face on the edge (i, k)
    for i in range(n):
        j = (i + 1) % n
        normal[i, j, 0], normal[i, j, 1], normal[i, j, 2] = _normal(row(loop, j), row(loop, i), row(beyond, i))
        if i + 1 < n:
            fold[i, i + 1] = area[i, i + 1] = 0.0
    closing = row(normal[n - 1], 0)
    for span in range(2, n):
        for i in range(n - span):
            k = i + span
            whole = span == n - 1
            if forbidden[i, k] and not whole:
                continue
            for m in range(i + 1, k):
                if fold[i, m] >= _NEVER or fold[m, k] >= _NEVER:
                    continue
                face = _normal(row(loop, i), row(loop, m), row(loop, k))
                size = np.sqrt(dot(face, face))
                first, second = _fold(face, row(normal[i], m)), _fold(face, row(normal[m], k))
                worst = max(fold[i, m], fold[m, k], first, second)
                if whole:
                    worst = max(worst, _fold(face, closing))
                total = area[i, m] + area[m, k] + size
                if worst < fold[i, k] - 1e-9 or (worst < fold[i, k] + 1e-9 and total < area[i, k]):
                    fold[i, k], area[i, k], split[i, k] = worst, total, m
                    normal[i, k, 0], normal[i, k, 1], normal[i, k, 2] = face
    faces = np.empty((n - 2, 3), np.int32)
    if split[0, n - 1] < 0:
        return faces[:0]
    stack = np.empty((n, 2), np.int32)
    stack[0, 0], stack[0, 1] = 0, n - 1
    depth, count = 1, 0
    while depth:
        depth -= 1
        i, k = stack[depth]
        m = split[i, k]
        faces[count, 0], faces[count, 1], faces[count, 2] = i, m, k
        count += 1
        if m - i > 1:
            stack[depth, 0], stack[depth, 1] = i, m
            depth += 1
        if k - m > 1:
            stack[depth, 0], stack[depth, 1] = m, k
            depth += 1
    return faces


@njit(cache=True, nogil=True)
def refine(loop: NDArray[np.float64], faces: NDArray[np.int32], forbidden: NDArray[np.bool_]) -> NDArray[np.int32]:
    """(T, 3) int32: `faces` with points inserted until they are as dense as the loop [2]. New rows start at n.

    Args:
        loop: (n, 3) float64.
        faces: (n - 2, 3) int32, as `triangulate` returns them. If empty, a fan around the centre is refined.
        forbidden: (n, n) bool, as in `triangulate`.
    """
    n = len(loop)
    points = np.empty((n + _MOST_INNER, 3))
    spacing = np.empty(n + _MOST_INNER)
    out = np.empty((n + 2 * _MOST_INNER, 3), np.int32)
    for i in range(n):
        here = row(loop, i)
        points[i, 0], points[i, 1], points[i, 2] = here
        before, after = minus(row(loop, i - 1), here), minus(row(loop, (i + 1) % n), here)
        spacing[i] = 0.5 * (np.sqrt(dot(before, before)) + np.sqrt(dot(after, after)))
    T, P = len(faces), n
    for t in range(T):
        for k in range(3):
            out[t, k] = faces[t, k]
    if T == 0:
        T, P = n, n + 1
        points[n, 0] = points[n, 1] = points[n, 2] = spacing[n] = 0.0
        for i in range(n):
            for k in range(3):
                points[n, k] += loop[i, k] / n
            spacing[n] += spacing[i]
            out[i, 0], out[i, 1], out[i, 2] = i, (i + 1) % n, n
        spacing[n] /= n
    _relax(points, out[:T], n, forbidden)
    while len(points) > P:
        before_round = P
        for t in range(T):
            a, b, c = out[t, 0], out[t, 1], out[t, 2]
            x, y, z = row(points, a), row(points, b), row(points, c)
            centre = (x[0] + y[0] + z[0]) / 3.0, (x[1] + y[1] + z[1]) / 3.0, (x[2] + y[2] + z[2]) / 3.0
            wanted = (spacing[a] + spacing[b] + spacing[c]) / 3.0
            dense = False
            for v in (a, b, c):
                off = minus(row(points, v), centre)
                d2 = _ALPHA2 * dot(off, off)
                if d2 <= wanted * wanted or d2 <= spacing[v] * spacing[v]:
                    dense = True
            if dense or len(points) == P:
                continue
            points[P, 0], points[P, 1], points[P, 2] = centre
            spacing[P] = wanted
            out[t, 2] = P
            out[T, 0], out[T, 1], out[T, 2] = b, c, P
            out[T + 1, 0], out[T + 1, 1], out[T + 1, 2] = c, a, P
            T += 2
            P += 1
        if before_round == P:
            break
        _relax(points, out[:T], n, forbidden)
    return out[:T].copy()


@njit(cache=True, nogil=True)
def _relax(points: NDArray[np.float64], faces: NDArray[np.int32], n: int, forbidden: NDArray[np.bool_]) -> None:
    """Flip edges in place until the two angles opposite each edge sum to at most pi (Delaunay)."""
    T = len(faces)
    for _ in range(32):
        flipped = False
        for t in range(T):
            for k in range(3):
                a, b, c = faces[t, k], faces[t, (k + 1) % 3], faces[t, (k + 2) % 3]
                if a < n and b < n and (b - a == 1 or a - b == 1 or abs(a - b) == n - 1):
                    continue  # an edge of the loop
                u, j = _face_on(faces, b, a)
                if u < 0:
                    continue
                d = faces[u, (j + 2) % 3]
                at_a, at_b, at_c, at_d = row(points, a), row(points, b), row(points, c), row(points, d)
                if d == c or _cosine_sum(at_a, at_b, at_c, at_d) > -1e-9:
                    continue
                if c < n and d < n and (forbidden[c, d] or abs(c - d) == 1 or abs(c - d) == n - 1):
                    continue
                if _face_on(faces, c, d)[0] >= 0 or _face_on(faces, d, c)[0] >= 0:
                    continue
                if dot(_normal(at_a, at_d, at_c), _normal(at_d, at_b, at_c)) <= 0:
                    continue  # the flip would fold the surface
                faces[t, 0], faces[t, 1], faces[t, 2] = a, d, c
                faces[u, 0], faces[u, 1], faces[u, 2] = d, b, c
                flipped = True
                break
        if not flipped:
            break


@njit(cache=True, nogil=True)
def _face_on(faces: NDArray[np.int32], a: int, b: int) -> tuple[int, int]:
    """The face with the edge from a to b, and the number of that edge; (-1, -1) if there is none."""
    for t in range(len(faces)):
        for k in range(3):
            if faces[t, k] == a and faces[t, (k + 1) % 3] == b:
                return t, k
    return -1, -1


@njit(cache=True, nogil=True)
def _cosine_sum(a: Vector, b: Vector, c: Vector, d: Vector) -> float:
    """Negative if the angles at c and d, opposite edge (a, b), sum to more than pi: then sin(c + d) < 0."""
    ca, cb, da, db = minus(a, c), minus(b, c), minus(a, d), minus(b, d)
    across_c, across_d = cross(ca, cb), cross(da, db)
    sin_c, sin_d = np.sqrt(dot(across_c, across_c)), np.sqrt(dot(across_d, across_d))
    cos_c, cos_d = dot(ca, cb), dot(da, db)
    size = np.sqrt(dot(ca, ca) * dot(cb, cb) * dot(da, da) * dot(db, db))
    return float((sin_c * cos_d + cos_c * sin_d) / size) if size > 0.0 else 0.0


@njit(cache=True, nogil=True)
def membrane(faces: NDArray[np.int32], n: int) -> NDArray[np.float64]:
    """(m, n) float64: weights of the loop for which each inner point is the mean of its neighbours. Rows sum to 1.

    Args:
        faces: (T, 3) int32, as `refine` returns them; rows from n on are inner points.
        n: Number of points of the loop.
    """
    top = n - 1
    for t in range(len(faces)):
        top = max(top, faces[t, 0], faces[t, 1], faces[t, 2])
    m = top + 1 - n
    matrix, right = np.zeros((m, m)), np.zeros((m, n))
    for t in range(len(faces)):
        for k in range(3):
            a, b = faces[t, k], faces[t, (k + 1) % 3]
            if a >= n:  # each edge at an inner point occurs once in this direction
                matrix[a - n, a - n] += 1.0
                if b >= n:
                    matrix[a - n, b - n] -= 1.0
                else:
                    right[a - n, b] += 1.0
    if m == 0:
        return right
    return solve(matrix, right)


@njit(cache=True, nogil=True)
def lift(
    loop: NDArray[np.float64], weights: NDArray[np.float64], around: NDArray[np.float64], outward: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(m, 3) float64: the inner points, on a surface that continues the surroundings.

    In the plane of the loop an inner point lies where the membrane puts it. Its height is that of a quadric fitted to
    the surroundings plus the membrane of the loop's residuals, so that the patch meets the loop exactly and continues
    the curvature. If the surroundings are not a height field over that plane, the membrane alone is used.

    Args:
        loop: (n, 3) float64.
        weights: (m, n) float64, as `membrane` returns them.
        around: (k, 3) float64. Vertices of the faces around the loop, including the loop.
        outward: (3,) float64. Unit normal of the surface around the loop, or 0 if unknown.
    """
    inner = weights @ loop
    k, up = len(around), (outward[0], outward[1], outward[2])
    if k < 12 or dot(up, up) == 0.0:
        return inner
    e1 = cross(up, _least_axis(up))
    long = np.sqrt(dot(e1, e1))
    e1 = e1[0] / long, e1[1] / long, e1[2] / long
    e2 = cross(up, e1)
    x = y = z = 0.0
    for i in range(len(loop)):
        x, y, z = x + loop[i, 0] / len(loop), y + loop[i, 1] / len(loop), z + loop[i, 2] / len(loop)
    centre = x, y, z
    total = 0.0
    for i in range(k):
        for j in range(3):
            total += (around[i, j] - centre[j]) ** 2
    size = np.sqrt(total / k)
    if size == 0.0:
        return inner
    design, height = np.empty((k, 6)), np.empty(k)
    for i in range(k):
        moved = minus(row(around, i), centre)
        _terms(dot(moved, e1) / size, dot(moved, e2) / size, design[i])
        height[i] = dot(moved, up)
    normal_matrix = design.T @ design
    for i in range(6):
        normal_matrix[i, i] += 1e-6 * k  # points on three parallel lines leave the quadric undetermined across them
    fit = solve(normal_matrix, (design.T @ height).reshape(6, 1)).reshape(6)
    fitted = design @ fit
    total = 0.0
    for i in range(k):
        total += (fitted[i] - height[i]) ** 2
    if np.sqrt(total / k) > 0.15 * size:
        return inner
    n = len(loop)
    terms, rest = np.empty(6), np.empty(n)
    for i in range(n):
        point = minus(row(loop, i), centre)
        _terms(dot(point, e1) / size, dot(point, e2) / size, terms)
        rest[i] = dot(point, up) - _sum(terms, fit)
    for i in range(len(inner)):
        point = minus(row(inner, i), centre)
        x, y = dot(point, e1), dot(point, e2)
        _terms(x / size, y / size, terms)
        z = _sum(terms, fit) + _sum(weights[i], rest)
        for j in range(3):
            inner[i, j] = centre[j] + x * e1[j] + y * e2[j] + z * up[j]
    return inner


@njit(cache=True, nogil=True)
def _terms(x: float, y: float, out: NDArray[np.float64]) -> None:
    """The monomials of a quadric at (x, y)."""
    out[0], out[1], out[2], out[3], out[4], out[5] = 1.0, x, y, x * x, x * y, y * y


@njit(cache=True, nogil=True)
def _sum(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Inner product of two rows."""
    total = 0.0
    for i in range(len(a)):
        total += a[i] * b[i]
    return total


@njit(cache=True, nogil=True)
def _least_axis(direction: Vector) -> Vector:
    """The axis along which `direction` has the smallest component; of equal ones the first of x, y, z."""
    x, y, z = abs(direction[0]), abs(direction[1]), abs(direction[2])
    if x <= y and x <= z:
        return 1.0, 0.0, 0.0
    return (0.0, 1.0, 0.0) if y <= z else (0.0, 0.0, 1.0)


@njit(cache=True, nogil=True)
def _normal(a: Vector, b: Vector, c: Vector) -> Vector:
    """Normal of the triangle, whose length is twice its area."""
    return cross(minus(b, a), minus(c, a))


@njit(cache=True, nogil=True)
def _fold(a: Vector, b: Vector) -> float:
    """1 - cosine of the angle between two normals: 0 flat, 2 folded back, and 2 for a triangle without area."""
    size = np.sqrt(dot(a, a) * dot(b, b))
    return float(1.0 - dot(a, b) / size) if size > 0.0 else 2.0
