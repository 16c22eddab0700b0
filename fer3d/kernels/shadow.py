"""Depth maps and visibility: self-occlusion from a second viewpoint, cast shadows, hidden landmarks.

Convention: points are as in `fer3d.kernels.raster`: (column, row, z) in pixels; z points towards the eye (or lamp) and
may be in any unit.
"""

import math

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def depth_map(points, faces, height, width):  # type: ignore[no-untyped-def]
    """z of the surface nearest to the eye at every pixel centre, for faces of either orientation.

    Unlike in `zbuffer` both sides of a face count, because a sheet seen from behind casts a shadow too. Faces that are
    edge-on or have a NaN corner are skipped.

    Args:
        points: (V, 3) float64; see the module's convention.
        faces: (F, 3) int32.
        height, width: Size of the map.

    Returns:
        (height, width) float32, -inf where there is no surface.

    Cost: O(F + pixels covered).
    """
    nearest = np.full((height, width), np.float32(-np.inf))
    for f in range(faces.shape[0]):
        i, j, k = faces[f, 0], faces[f, 1], faces[f, 2]
        ax, ay, az = points[i, 0], points[i, 1], points[i, 2]
        bx, by, bz = points[j, 0] - ax, points[j, 1] - ay, points[j, 2] - az
        cx, cy, cz = points[k, 0] - ax, points[k, 1] - ay, points[k, 2] - az
        area = bx * cy - by * cx
        if not abs(area) > 1e-12 or not math.isfinite(az + bz + cz):
            continue
        first_c, last_c = math.ceil(max(ax + min(0.0, bx, cx), 0.0)), math.floor(min(ax + max(0.0, bx, cx), width - 1))
        first_r, last_r = math.ceil(max(ay + min(0.0, by, cy), 0.0)), math.floor(min(ay + max(0.0, by, cy), height - 1))
        for r in range(first_r, last_r + 1):
            for c in range(first_c, last_c + 1):
                x, y = c - ax, r - ay
                b = (x * cy - y * cx) / area
                d = (bx * y - by * x) / area
                if b < -1e-9 or d < -1e-9 or b + d > 1.0 + 1e-9:
                    continue
                z = np.float32(az + b * bz + d * cz)
                if z > nearest[r, c]:
                    nearest[r, c] = z
    return nearest


@njit(cache=True, nogil=True)
def seen_share(points, depth, bias):  # type: ignore[no-untyped-def]
    """Visible share of a small neighbourhood of each point, given the surfaces of a depth map.

    Percentage-closer filtering [1]: it interpolates the comparisons with the four pixels around the point, not the
    depths.

    Args:
        points: (P, 3) float64.
        depth: (H, W) float32, from `depth_map`.
        bias: Distance behind the surface of the map at which a point still counts as lying on it.

    Returns:
        (P,) float32 in [0, 1]. 1 outside the map; 0 where a coordinate is NaN.

    References:
        .. [1] Reeves, Salesin, Cook. Rendering antialiased shadows with depth maps. SIGGRAPH 1987.
    """
    height, width = depth.shape
    share = np.zeros(points.shape[0], np.float32)
    for p in range(points.shape[0]):
        x, y, z = points[p, 0], points[p, 1], points[p, 2] + bias
        if not math.isfinite(x + y + z):
            continue
        c, r = math.floor(x), math.floor(y)
        total = 0.0
        for down in range(2):
            for right in range(2):
                weight = (1.0 - abs(y - (r + down))) * (1.0 - abs(x - (c + right)))
                inside = 0 <= r + down < height and 0 <= c + right < width
                if not inside or depth[r + down, c + right] <= z:
                    total += weight
        share[p] = total
    return share
