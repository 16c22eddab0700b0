"""The search for the nose: candidate tips, and registration to the mean face. No argument checks.

A pose is a row (13,) as in `fer3d.kernels.pose`. A field (see `fer3d.prepare.nose.MeanFaceField`) gives for any point
the approximately nearest point of the mean face.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from fer3d.kernels.pose import to_face, to_scan, turned_to_face, turned_to_scan
from fer3d.kernels.small import solve, stable_order

_FEWEST_NEIGHBOURS = 6  # samples around a point that a mean normal needs
_FEWEST_ABOUT_TIP = 20  # samples in the ball around a tip
_FACING = 0.2  # least cosine between paired normals; a larger angle means another sheet
_FEWEST_PAIRS = 12  # pairs for the 7 unknowns of a pose
_DAMPING = 1e-6  # of the normal equations, as a share of a pair's weight
_ARM2 = 2500.0  # mm^2: samples lie about 50 mm from the tip; this scales the damping of a rotation to that of a shift
_LONGEST_TURN = 0.35  # radians (20 degrees) per step: the plane approximates the surface only locally
_TURNED, _SHIFTED = 1e-5, 1e-4  # radians and mm: a step shorter than both ends the iteration


@njit(cache=True, nogil=True)
def visible_area(vertices: NDArray[np.float32], faces: NDArray[np.int32], least_z: float) -> float:
    """Area of the faces whose unit normal has a z of at least `least_z`."""
    total = 0.0
    for f in range(len(faces)):
        a, b, c = vertices[faces[f, 0]], vertices[faces[f, 1]], vertices[faces[f, 2]]
        ux, uy, uz = np.float64(b[0]) - a[0], np.float64(b[1]) - a[1], np.float64(b[2]) - a[2]
        wx, wy, wz = np.float64(c[0]) - a[0], np.float64(c[1]) - a[1], np.float64(c[2]) - a[2]
        nx, ny, nz = uy * wz - uz * wy, uz * wx - ux * wz, ux * wy - uy * wx
        size = np.sqrt(nx * nx + ny * ny + nz * nz)
        if nz >= least_z * size:
            total += 0.5 * size
    return total


@njit(cache=True, nogil=True)
def sort_into_cells(
    points: NDArray[np.float64], cell: float
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Sort points into a grid of cubes: its origin (3,), size (3,), start (cells + 1,) and members (N,)."""
    low = np.empty(3)
    shape = np.empty(3, np.int64)
    for k in range(3):
        low[k] = points[:, k].min()
        shape[k] = int((points[:, k].max() - low[k]) / cell) + 1
    start = np.zeros(shape[0] * shape[1] * shape[2] + 1, np.int64)
    index = np.empty(len(points), np.int64)
    for i in range(len(points)):
        x, y, z = (
            int((points[i, 0] - low[0]) / cell),
            int((points[i, 1] - low[1]) / cell),
            int((points[i, 2] - low[2]) / cell),
        )
        index[i] = (x * shape[1] + y) * shape[2] + z
        start[index[i] + 1] += 1
    for c in range(len(start) - 1):
        start[c + 1] += start[c]
    fill = start[:-1].copy()
    members = np.empty(len(points), np.int64)
    for i in range(len(points)):
        members[fill[index[i]]] = i
        fill[index[i]] += 1
    return low, shape, start, members


@njit(cache=True, nogil=True)
def protrusion(
    points: NDArray[np.float64],
    normals: NDArray[np.float64],
    radius: float,
    low: NDArray[np.float64],
    shape: NDArray[np.int64],
    start: NDArray[np.int64],
    members: NDArray[np.int64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How far each point protrudes from its neighbourhood.

    Args:
        points, normals: (N, 3) float64.
        radius: Radius of the neighbourhood; also the cell size of the grid.
        low, shape, start, members: As `sort_into_cells` returns them.

    Returns:
        (N,) float64: the mean height of the point above its neighbours along their mean normal; (N, 3): that normal.
    """
    N = len(points)
    height = np.zeros(N)
    mean = np.zeros((N, 3))
    for i in range(N):
        c = np.empty(3, np.int64)
        for k in range(3):
            c[k] = int((points[i, k] - low[k]) / radius)
        sx = sy = sz = nx = ny = nz = 0.0
        count = 0
        for x in range(max(c[0] - 1, 0), min(c[0] + 2, shape[0])):
            for y in range(max(c[1] - 1, 0), min(c[1] + 2, shape[1])):
                first = (x * shape[1] + y) * shape[2]
                # Cells along z are consecutive, so their members are one range.
                for at in range(start[first + max(c[2] - 1, 0)], start[first + min(c[2] + 2, shape[2])]):
                    j = members[at]
                    dx, dy, dz = points[i, 0] - points[j, 0], points[i, 1] - points[j, 1], points[i, 2] - points[j, 2]
                    if dx * dx + dy * dy + dz * dz <= radius * radius:
                        sx += dx
                        sy += dy
                        sz += dz
                        nx += normals[j, 0]
                        ny += normals[j, 1]
                        nz += normals[j, 2]
                        count += 1
        size = np.sqrt(nx * nx + ny * ny + nz * nz)
        if count >= _FEWEST_NEIGHBOURS and size > 0.0:
            mean[i, 0], mean[i, 1], mean[i, 2] = nx / size, ny / size, nz / size
            height[i] = (sx * nx + sy * ny + sz * nz) / (count * size)
    return height, mean


@njit(cache=True, nogil=True)
def highest_apart(
    points: NDArray[np.float64], height: NDArray[np.float64], apart: float, most: int
) -> NDArray[np.int64]:
    """(M,) int64: rows of the highest points, the highest first, at least `apart` from each other and above 0."""
    order = stable_order(-height)
    chosen = np.empty(most, np.int64)
    count = 0
    for i in order:
        if count == most or height[i] <= 0.0:
            break
        free = True
        for j in range(count):
            if ((points[i] - points[chosen[j]]) ** 2).sum() < apart * apart:
                free = False
                break
        if free:
            chosen[count] = i
            count += 1
    return chosen[:count].copy()


@njit(cache=True, nogil=True, inline="always")
def _look_up(x: float, y: float, z: float, low: NDArray[np.float64], cell: float, nearest: NDArray[np.int32]) -> int:
    """The approximately nearest face point to (x, y, z), or -1 outside the field."""
    i, j, k = int(np.floor((x - low[0]) / cell)), int(np.floor((y - low[1]) / cell)), int(np.floor((z - low[2]) / cell))
    if i < 0 or j < 0 or k < 0 or i >= nearest.shape[0] or j >= nearest.shape[1] or k >= nearest.shape[2]:
        return -1
    return nearest[i, j, k]  # type: ignore[no-any-return]


@njit(cache=True, nogil=True)
def misfit(
    pose: NDArray[np.float64],
    points: NDArray[np.float64],
    normals: NDArray[np.float64],
    low: NDArray[np.float64],
    cell: float,
    nearest: NDArray[np.int32],
    face_points: NDArray[np.float64],
    face_normals: NDArray[np.float64],
    cap: float,
    bend: float,
) -> float:
    """Mean over the points of min(distance, cap) + bend * (1 - cosine between the normals); `cap` + bend outside."""
    total = 0.0
    for i in range(len(points)):
        x, y, z = to_face(pose, points[i, 0], points[i, 1], points[i, 2])
        q = _look_up(x, y, z, low, cell, nearest)
        if q < 0:
            total += cap + bend
            continue
        dx, dy, dz = x - face_points[q, 0], y - face_points[q, 1], z - face_points[q, 2]
        mx, my, mz = face_normals[q, 0], face_normals[q, 1], face_normals[q, 2]
        plane = abs(dx * mx + dy * my + dz * mz)
        # Near the surface use the distance from its plane, because the point of the field is not exactly the nearest.
        distance = max(plane, np.sqrt(dx * dx + dy * dy + dz * dz) - 2.0 * cell)
        nx, ny, nz = turned_to_face(pose, normals[i, 0], normals[i, 1], normals[i, 2])
        cosine = nx * mx + ny * my + nz * mz
        total += min(distance, cap) + bend * (1.0 - cosine)
    return total / max(len(points), 1)


@njit(cache=True, nogil=True)
def starts(
    points: NDArray[np.float64],
    normals: NDArray[np.float64],
    tips: NDArray[np.int64],
    directions: NDArray[np.float64],
    rolls: int,
    farthest_turn: float,
    ball: float,
    most: int,
    low: NDArray[np.float64],
    cell: float,
    nearest: NDArray[np.int32],
    face_points: NDArray[np.float64],
    face_normals: NDArray[np.float64],
    cap: float,
    bend: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The best starting pose for each nose tip and roll.

    Args:
        points, normals: (N, 3) float64. Samples of the scan.
        tips: (T,) int64. Rows that may be nose tips.
        directions: (D, 3) float64. Unit vectors in the frame of the face to try for the mean normal at a tip.
        rolls: Number of rotations about that normal to try.
        farthest_turn: Largest angle in radians between the axis of the face and that of the camera (+z).
        ball: Samples within this distance of the tip are compared.
        most: Largest number of samples that are compared.
        low, cell, nearest, face_points, face_normals, cap, bend: As in `misfit`.

    Returns:
        poses (T * rolls, 13) for the best of the directions, and their misfits (T * rolls,); inf if none is allowed.
    """
    poses = np.zeros((len(tips) * rolls, 13))
    best = np.full(len(tips) * rolls, np.inf)
    pose = np.empty(13)
    pose[12] = 1.0
    rows = np.empty(len(points), np.int64)
    for t in range(len(tips)):
        tip = points[tips[t]]
        count = 0
        normal = np.zeros(3)
        for i in range(len(points)):
            if ((points[i] - tip) ** 2).sum() <= ball * ball:
                rows[count] = i
                count += 1
                normal += normals[i]
        length = np.sqrt((normal**2).sum())
        if count < _FEWEST_ABOUT_TIP or length == 0.0:
            continue
        stride = max(1, (count + most - 1) // most)
        some = rows[:count:stride]
        near, near_normals = points[some], normals[some]
        from_frame = _frame(normal / length)
        for d in range(len(directions)):
            to_frame = _frame(directions[d])
            for roll in range(rolls):
                angle = 2.0 * np.pi * roll / rolls
                c, s = np.cos(angle), np.sin(angle)
                turn = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
                rotation = to_frame @ turn @ from_frame.T.copy()
                if rotation[2, 2] < np.cos(farthest_turn):
                    continue
                pose[:9] = rotation.reshape(9)
                pose[9:12] = -(rotation @ tip)
                cost = misfit(pose, near, near_normals, low, cell, nearest, face_points, face_normals, cap, bend)
                # The rotation for "roll 0" depends on the direction: sort by the direction of the face's +y axis in
                # the picture.
                up = np.arctan2(rotation[1, 0], rotation[1, 1])
                at = t * rolls + int(np.floor((up / (2.0 * np.pi) + 0.5) * rolls)) % rolls
                if cost < best[at]:
                    best[at] = cost
                    poses[at] = pose
    return poses, best


@njit(cache=True, nogil=True)
def _frame(axis: NDArray[np.float64]) -> NDArray[np.float64]:
    """A rotation whose third column is the unit vector `axis`."""
    other = np.zeros(3)
    other[np.argmin(np.abs(axis))] = 1.0
    x = np.cross(other, axis)
    x /= np.sqrt((x**2).sum())
    y = np.cross(axis, x)
    out = np.empty((3, 3))
    out[:, 0], out[:, 1], out[:, 2] = x, y, axis
    return out


@njit(cache=True, nogil=True)
def settle(
    pose: NDArray[np.float64],
    points: NDArray[np.float64],
    normals: NDArray[np.float64],
    low: NDArray[np.float64],
    cell: float,
    nearest: NDArray[np.int32],
    face_points: NDArray[np.float64],
    face_normals: NDArray[np.float64],
    rounds: int,
    scale_apart: float,
    reach: float,
    ball: float,
) -> NDArray[np.float64]:
    """The pose after `rounds` of point-to-plane ICP (Gauss-Newton) with Cauchy weights.

    Args:
        scale_apart: Weight of (scale - 1)^2 per point in mm^2, which keeps the scale near 1. inf: rigid.
        reach: Residual with weight one half.
        ball: Only points within this distance of the nose tip of the face are used.
    """
    p = pose.copy()
    for _ in range(rounds):
        A = np.zeros((7, 7))
        g = np.zeros(7)
        J = np.empty(7)
        used = 0
        for i in range(len(points)):
            x, y, z = to_face(p, points[i, 0], points[i, 1], points[i, 2])
            if x * x + y * y + z * z > ball * ball:
                continue
            q = _look_up(x, y, z, low, cell, nearest)
            if q < 0:
                continue
            mx, my, mz = face_normals[q, 0], face_normals[q, 1], face_normals[q, 2]
            nx, ny, nz = turned_to_face(p, normals[i, 0], normals[i, 1], normals[i, 2])
            cosine = nx * mx + ny * my + nz * mz
            if cosine < _FACING:
                continue
            r = (x - face_points[q, 0]) * mx + (y - face_points[q, 1]) * my + (z - face_points[q, 2]) * mz
            w = cosine / (1.0 + (r / reach) ** 2)
            # Rotation about the nose tip (the origin of the face's frame), shift, scaling about the tip.
            J[0], J[1], J[2] = y * mz - z * my, z * mx - x * mz, x * my - y * mx
            J[3], J[4], J[5] = mx, my, mz
            J[6] = x * mx + y * my + z * mz
            for a in range(7):
                g[a] += w * J[a] * r
                for b in range(7):
                    A[a, b] += w * J[a] * J[b]
            used += 1
        if used < _FEWEST_PAIRS:
            break
        for a in range(3):
            A[a, a] += _DAMPING * used * _ARM2
            A[a + 3, a + 3] += _DAMPING * used
        n = 7
        if np.isfinite(scale_apart):
            A[6, 6] += scale_apart * used
            g[6] += scale_apart * used * (p[12] - 1.0)
        else:
            n = 6
        d = np.zeros(7)
        step = solve(A[:n, :n].copy(), g[:n].copy().reshape(n, 1))
        for a in range(n):
            d[a] = -step[a, 0]
        angle = np.sqrt(d[0] ** 2 + d[1] ** 2 + d[2] ** 2)
        shrink = min(1.0, _LONGEST_TURN / max(angle, 1e-12))
        d *= shrink
        T = _turn(d[0], d[1], d[2])
        R = T @ p[:9].copy().reshape(3, 3)
        t = (1.0 + d[6]) * (T @ p[9:12].copy())
        p[:9] = R.reshape(9)
        p[9], p[10], p[11] = t[0] + d[3], t[1] + d[4], t[2] + d[5]
        p[12] *= 1.0 + d[6]
        if angle < _TURNED and abs(d[3]) + abs(d[4]) + abs(d[5]) < _SHIFTED:
            break
    return p


@njit(cache=True, nogil=True)
def _turn(x: float, y: float, z: float) -> NDArray[np.float64]:
    """Rotation matrix of the rotation vector (x, y, z), by Rodrigues' formula."""
    angle = np.sqrt(x * x + y * y + z * z)
    K = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    a = np.sin(angle) / angle if angle > 1e-9 else 1.0
    b = (1.0 - np.cos(angle)) / angle**2 if angle > 1e-9 else 0.5
    return np.eye(3) + a * K + b * (K @ K)  # type: ignore[no-any-return]


@njit(cache=True, nogil=True)
def missed(
    pose: NDArray[np.float64],
    points: NDArray[np.float64],
    normals: NDArray[np.float64],
    face_points: NDArray[np.float64],
    face_normals: NDArray[np.float64],
    cap: float,
    bend: float,
    least_cosine: float,
) -> tuple[float, float]:
    """The reverse of `misfit`: distances from the points of the face to the samples of the scan.

    Only face points whose normal faces the camera (+z of the scan's frame) count, because a scan lacks the others.

    Args:
        pose, points, normals: As in `misfit`.
        face_points, face_normals: (M, 3) float64.
        cap, bend: As in `misfit`.
        least_cosine: Least cosine between a normal of the face and the direction to the camera.

    Returns:
        Mean of min(distance, cap) + bend * (1 - cosine), which is cap + bend beyond the cap; share within the cap.
    """
    total = 0.0
    count = hit = 0
    for q in range(len(face_points)):
        mx, my, mz = face_normals[q, 0], face_normals[q, 1], face_normals[q, 2]
        nx, ny, nz = turned_to_scan(pose, mx, my, mz)
        if nz < least_cosine:
            continue
        count += 1
        x, y, z = to_scan(pose, face_points[q, 0], face_points[q, 1], face_points[q, 2])
        best, at = cap * cap, -1
        for i in range(len(points)):
            dx, dy, dz = points[i, 0] - x, points[i, 1] - y, points[i, 2] - z
            d = dx * dx + dy * dy + dz * dz
            if d < best:
                best, at = d, i
        if at < 0:
            total += cap + bend
            continue
        hit += 1
        cosine = nx * normals[at, 0] + ny * normals[at, 1] + nz * normals[at, 2]
        plane = abs((points[at, 0] - x) * nx + (points[at, 1] - y) * ny + (points[at, 2] - z) * nz)
        total += plane + bend * (1.0 - cosine)
    if count == 0:
        return cap + bend, 0.0
    return total / count, hit / count
