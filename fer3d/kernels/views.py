"""Pictures of a surface for the landmark detector: splatted samples from any side, and z-buffered normals and depth.

A picture has five channels, (5, size, size) float32: the unit normal in the frame of the view (x right, y up, z to the
viewer), depth, and 1 where there is surface; all are 0 elsewhere. No argument checks.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

CHANNELS = 5
_FRONT = 0.05  # least cosine between the normal of a sample and the view
_THICK = 2.0  # pixels behind the nearest sample up to which samples count for the same surface
_HELD = 3  # neighbours with surface from which a gap is filled
_GAPS = 2  # rounds of filling: gaps of up to four pixels close


@njit(cache=True, nogil=True)
def splat(
    points: NDArray[np.float64],
    normals: NDArray[np.float64],
    view: NDArray[np.float64],
    centre: NDArray[np.float64],
    pixel: float,
    size: int,
) -> NDArray[np.float32]:
    """Picture of samples of a surface, seen from one side; small gaps between the samples are filled.

    Args:
        points, normals: (N, 3) float64. Samples with unit normals; those that face away are not seen.
        view: (3, 3) float64. Rows: the directions right, up and towards the viewer.
        centre: (3,) float64. The point in the middle of the picture; its depth is 0.
        pixel: Size of a pixel in the unit of the points.
        size: Rows and columns.

    Returns:
        (5, size, size) float32, see the module; depth in half widths of the picture.
    """
    nearest = np.full((size, size), -np.inf)
    half = 0.5 * size - 0.5
    count = len(points)
    row = np.full(count, -1, np.int32)
    column = np.empty(count, np.int32)
    depth = np.empty(count)
    for i in range(count):
        facing = normals[i, 0] * view[2, 0] + normals[i, 1] * view[2, 1] + normals[i, 2] * view[2, 2]
        if not facing > _FRONT:
            continue
        x, y, z = points[i, 0] - centre[0], points[i, 1] - centre[1], points[i, 2] - centre[2]
        c = half + (view[0, 0] * x + view[0, 1] * y + view[0, 2] * z) / pixel
        r = half - (view[1, 0] * x + view[1, 1] * y + view[1, 2] * z) / pixel
        if not (c > -0.5 and c < size - 0.5 and r > -0.5 and r < size - 0.5):
            continue
        depth[i] = (view[2, 0] * x + view[2, 1] * y + view[2, 2] * z) / pixel
        row[i], column[i] = int(r + 0.5), int(c + 0.5)
        nearest[row[i], column[i]] = max(nearest[row[i], column[i]], depth[i])
    total = np.zeros((size, size, 5))
    for i in range(count):
        r, c = row[i], column[i]
        if r < 0 or depth[i] < nearest[r, c] - _THICK:
            continue
        for k in range(3):
            total[r, c, k] += view[k, 0] * normals[i, 0] + view[k, 1] * normals[i, 1] + view[k, 2] * normals[i, 2]
        total[r, c, 3] += depth[i]
        total[r, c, 4] += 1.0
    for _ in range(_GAPS):
        _fill(total)
    return _picture(total, 0.5 * size)


@njit(cache=True, nogil=True)
def surface_view(
    face: NDArray[np.int32],
    bary: NDArray[np.float32],
    faces: NDArray[np.int32],
    depth: NDArray[np.float64],
    normals: NDArray[np.float64],
    scale: float,
) -> NDArray[np.float32]:
    """Picture of a z-buffered surface, averaged over 3 x 3 pixels that belong together.

    Args:
        face, bary: As `fer3d.kernels.raster.zbuffer` returns them.
        faces: (F, 3) int32.
        depth: (V,) float64, in pixels.
        normals: (V, 3) float64 in the frame of the view, of any length; NaN counts as none.
        scale: Pixels that make a depth of 1.

    Returns:
        (5, H, W) float32, see the module.
    """
    height, width = face.shape
    raw = np.zeros((height, width, 5))
    for r in range(height):
        for c in range(width):
            f = face[r, c]
            if f < 0:
                continue
            for k in range(3):
                v, weight = faces[f, k], float(bary[r, c, k])
                raw[r, c, 3] += weight * depth[v]
                for axis in range(3):
                    if normals[v, axis] == normals[v, axis]:
                        raw[r, c, axis] += weight * normals[v, axis]
            raw[r, c, 4] = 1.0
    total = np.zeros_like(raw)
    for r in range(height):
        for c in range(width):
            if raw[r, c, 4] == 0.0:
                continue
            for rr in range(max(r - 1, 0), min(r + 2, height)):
                for cc in range(max(c - 1, 0), min(c + 2, width)):
                    if raw[rr, cc, 4] == 0.0 or abs(raw[rr, cc, 3] - raw[r, c, 3]) > _THICK:
                        continue
                    for k in range(5):
                        total[r, c, k] += raw[rr, cc, k]
    return _picture(total, scale)


@njit(cache=True, nogil=True)
def _picture(total: NDArray[np.float64], scale: float) -> NDArray[np.float32]:
    """Normalise sums of normals, depths and counts."""
    height, width = total.shape[:2]
    out = np.zeros((CHANNELS, height, width), np.float32)
    for r in range(height):
        for c in range(width):
            count = total[r, c, 4]
            if count == 0.0:
                continue
            length = np.sqrt(total[r, c, 0] ** 2 + total[r, c, 1] ** 2 + total[r, c, 2] ** 2)
            for k in range(3):
                out[k, r, c] = total[r, c, k] / length if length > 0.0 else 0.0
            out[3, r, c] = total[r, c, 3] / count / scale
            out[4, r, c] = 1.0
    return out


@njit(cache=True, nogil=True)
def _fill(total: NDArray[np.float64]) -> None:
    """Give each gap between at least three pixels with surface their sums, in place."""
    size = total.shape[0]
    known = total[:, :, 4] > 0.0
    for r in range(size):
        for c in range(size):
            if known[r, c]:
                continue
            around = 0
            for rr in range(max(r - 1, 0), min(r + 2, size)):
                for cc in range(max(c - 1, 0), min(c + 2, size)):
                    around += known[rr, cc]
            if around < _HELD:
                continue
            for rr in range(max(r - 1, 0), min(r + 2, size)):
                for cc in range(max(c - 1, 0), min(c + 2, size)):
                    if known[rr, cc]:
                        for k in range(5):
                            total[r, c, k] += total[rr, cc, k] / total[rr, cc, 4]


@njit(cache=True, nogil=True)
def lift(
    spots: NDArray[np.float64],
    face: NDArray[np.int32],
    faces: NDArray[np.int32],
    points: NDArray[np.float64],
    reach: int,
    flatness: float,
    farthest: float,
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """The place on the surface that is nearest to each spot, among the triangles that the pixels around it show.

    Args:
        spots: (L, 3) float64, column, row and depth in pixels; one with NaN has no place.
        face: (H, W) int32, as `fer3d.kernels.raster.zbuffer` returns it.
        faces: (F, 3) int32.
        points: (V, 3) float64, column, row and depth, larger towards the viewer.
        reach: Pixels around a spot, each way.
        flatness: Pixels across that a pixel of depth counts as. If it is 0, depths do not count, and of several places
            below a spot the foremost is taken.
        farthest: Largest distance in pixels, so measured.

    Returns:
        Rows of `faces`, (L,) int32, -1 for none, and barycentric weights, (L, 3) float64.
    """
    found = np.full(len(spots), -1, np.int32)
    weights = np.zeros((len(spots), 3))
    height, width = face.shape
    for i in range(len(spots)):
        x, y = spots[i, 0], spots[i, 1]
        if not (x > -reach and y > -reach and x < width + reach and y < height + reach and spots[i, 2] == spots[i, 2]):
            continue
        z = spots[i, 2] * flatness
        least, front = farthest**2, -np.inf
        for r in range(max(int(y) - reach, 0), min(int(y) + reach + 2, height)):
            for c in range(max(int(x) - reach, 0), min(int(x) + reach + 2, width)):
                f = face[r, c]
                if f < 0 or f == found[i]:
                    continue
                p, q, s = points[faces[f, 0]], points[faces[f, 1]], points[faces[f, 2]]
                gap, a, b, w = _nearest_in(p, q, s, x, y, z, flatness)
                depth = a * p[2] + b * q[2] + w * s[2]
                if gap < least - 1e-9 or (gap < least + 1e-9 and depth > front):
                    least, front, found[i] = gap, depth, f
                    weights[i, 0], weights[i, 1], weights[i, 2] = a, b, w
    return found, weights


@njit(cache=True, nogil=True)
def _nearest_in(
    p: NDArray[np.float64],
    q: NDArray[np.float64],
    s: NDArray[np.float64],
    x: float,
    y: float,
    z: float,
    flatness: float,
) -> tuple[float, float, float, float]:
    """Squared distance to the point of a triangle that is nearest to (x, y, z), and its barycentric weights.

    The depths of the corners are multiplied by `flatness`; z is so already.
    """
    ux, uy, uz = q[0] - p[0], q[1] - p[1], flatness * (q[2] - p[2])
    vx, vy, vz = s[0] - p[0], s[1] - p[1], flatness * (s[2] - p[2])
    gx, gy, gz = x - p[0], y - p[1], z - flatness * p[2]
    uu, vv, uv = ux * ux + uy * uy + uz * uz, vx * vx + vy * vy + vz * vz, ux * vx + uy * vy + uz * vz
    gu, gv, gg = gx * ux + gy * uy + gz * uz, gx * vx + gy * vy + gz * vz, gx * gx + gy * gy + gz * gz
    area = uu * vv - uv * uv
    if area > 0.0:
        b, w = (vv * gu - uv * gv) / area, (uu * gv - uv * gu) / area
        if b >= 0.0 and w >= 0.0 and b + w <= 1.0:
            return max(gg - b * gu - w * gv, 0.0), 1.0 - b - w, b, w
    b = min(max(gu / uu, 0.0), 1.0) if uu > 0.0 else 0.0  # on the edges from p
    w = min(max(gv / vv, 0.0), 1.0) if vv > 0.0 else 0.0
    t_down = uu + vv - 2.0 * uv  # squared length of the third edge, from q to s
    t = min(max((gv - gu + uu - uv) / t_down, 0.0), 1.0) if t_down > 0.0 else 0.0
    on_u = gg - 2.0 * b * gu + b * b * uu
    on_v = gg - 2.0 * w * gv + w * w * vv
    on_t = gg - 2.0 * ((1.0 - t) * gu + t * gv) + (1.0 - t) ** 2 * uu + t * t * vv + 2.0 * t * (1.0 - t) * uv
    if on_u <= on_v and on_u <= on_t:
        return max(on_u, 0.0), 1.0 - b, b, 0.0
    if on_v <= on_t:
        return max(on_v, 0.0), 1.0 - w, 0.0, w
    return max(on_t, 0.0), 0.0, 1.0 - t, t
