"""Mesh attributes at the pixels of a z-buffer: interpolation on triangles, and texture lookup."""

import math

import numpy as np
from numba import njit

REPEAT, CLAMP, MIRROR = 0, 1, 2  # how a texture continues outside [0, 1]
WRAP = {"repeat": REPEAT, "clamp": CLAMP, "mirror": MIRROR}  # as `fer3d.scan.Scan.wrap` names them

MOST_TAPS = 4  # samples along each axis of a pixel's footprint in the texture


@njit(cache=True, nogil=True)
def interpolate(face, bary, faces, values):  # type: ignore[no-untyped-def]
    """Interpolate vertex attributes at every pixel.

    Args:
        face, bary: (H, W) int32 and (H, W, 3) float32, from `fer3d.kernels.raster.zbuffer`.
        faces: (F, 3) int32.
        values: (V, A) float32.

    Returns:
        (A, H, W) float32, NaN where no face is seen or a corner has NaN. Sums are in float64, so that the rounding to
        float32 removes the effect of the order of the corners.
    """
    height, width = face.shape
    count = values.shape[1]
    out = np.full((count, height, width), np.float32(np.nan))
    for r in range(height):
        for c in range(width):
            f = face[r, c]
            if f < 0:
                continue
            i, j, k = faces[f, 0], faces[f, 1], faces[f, 2]
            a, b, d = float(bary[r, c, 0]), float(bary[r, c, 1]), float(bary[r, c, 2])
            for n in range(count):
                out[n, r, c] = a * values[i, n] + b * values[j, n] + d * values[k, n]
    return out


@njit(cache=True, nogil=True)
def inside(position, size, wrap):  # type: ignore[no-untyped-def]
    """Bring a texel position into a picture of `size` texels along one axis. Texel centres are whole numbers.

    Within half a texel of the border, and everywhere with CLAMP, the border goes on: the two ends of a picture that
    repeats are never mixed, because the texture of a scan does not continue from one end to the other.
    """
    share = (position + 0.5) / size
    if wrap != CLAMP and not 0.0 <= share <= 1.0:
        tile = math.floor(share)
        share -= tile
        if wrap == MIRROR and tile % 2.0 == 1.0:
            share = 1.0 - share
        position = share * size - 0.5
    return min(max(position, 0.0), size - 1.0)


@njit(cache=True, nogil=True)
def _between(position, size):  # type: ignore[no-untyped-def]
    """The two texels beside a position along one axis, and the share of the second. Outside, the border repeats."""
    position = min(max(position, 0.0), size - 1.0)
    first = int(position)
    return first, min(first + 1, size - 1), position - first


@njit(cache=True, nogil=True)
def look_up(face, bary, faces, points, uv, texture, wrap_u, wrap_v):  # type: ignore[no-untyped-def]
    """Colour of every pixel: the mean of the texture over the footprint of the pixel.

    The footprint is the box in the texture to which the affine map of the face takes the square of the pixel, so that a
    lookup never interpolates across a uv seam. It is sampled bilinearly, once per texel but at most MOST_TAPS times
    along each axis, so that a texture finer than the map does not alias.

    Args:
        face, bary, faces: As in `interpolate`.
        points: (V, 3) float64. Column and row of the vertices, as given to the z-buffer.
        uv: (V, 2) float32; u to the right, v up, (0, 0) the lower left corner of the texture.
        texture: (Ht, Wt, 3) uint8, row 0 on top.
        wrap_u, wrap_v: REPEAT, CLAMP or MIRROR.

    Returns:
        (3, H, W) float32 in [0, 255], NaN where no face is seen or a corner's uv is NaN.
    """
    height, width = face.shape
    tall, wide = texture.shape[0], texture.shape[1]
    out = np.full((3, height, width), np.float32(np.nan))
    for r in range(height):
        for c in range(width):
            f = face[r, c]
            if f < 0:
                continue
            i, j, k = faces[f, 0], faces[f, 1], faces[f, 2]
            a, b, d = float(bary[r, c, 0]), float(bary[r, c, 1]), float(bary[r, c, 2])
            column = (a * uv[i, 0] + b * uv[j, 0] + d * uv[k, 0]) * wide - 0.5
            row = (1.0 - (a * uv[i, 1] + b * uv[j, 1] + d * uv[k, 1])) * tall - 0.5
            if not math.isfinite(column + row):
                continue
            # Change of the texel position over one pixel to the right and one down.
            x1, y1 = points[j, 0] - points[i, 0], points[j, 1] - points[i, 1]
            x2, y2 = points[k, 0] - points[i, 0], points[k, 1] - points[i, 1]
            u1, u2 = (uv[j, 0] - uv[i, 0]) * wide, (uv[k, 0] - uv[i, 0]) * wide
            v1, v2 = (uv[j, 1] - uv[i, 1]) * tall, (uv[k, 1] - uv[i, 1]) * tall
            area = x1 * y2 - x2 * y1
            box_c = (abs(u1 * y2 - u2 * y1) + abs(u2 * x1 - u1 * x2)) / abs(area)
            box_r = (abs(v1 * y2 - v2 * y1) + abs(v2 * x1 - v1 * x2)) / abs(area)
            taps_c = max(1, int(min(math.ceil(box_c), MOST_TAPS)))
            taps_r = max(1, int(min(math.ceil(box_r), MOST_TAPS)))
            # The footprint of a face seen almost edge-on is unbounded: limit it to one texel per tap.
            step_c, step_r = min(box_c / taps_c, 4.0), min(box_r / taps_r, 4.0)
            half_c, half_r = 0.5 * (taps_c - 1) * step_c, 0.5 * (taps_r - 1) * step_r
            within = column - half_c >= -0.5 and column + half_c <= wide - 0.5
            within = within and row - half_r >= -0.5 and row + half_r <= tall - 0.5
            red, green, blue = 0.0, 0.0, 0.0
            for m in range(taps_r):
                at_r = row - half_r + m * step_r
                if not within:
                    at_r = inside(at_r, tall, wrap_v)
                top, bottom, down = _between(at_r, tall)
                for n in range(taps_c):
                    at_c = column - half_c + n * step_c
                    if not within:
                        at_c = inside(at_c, wide, wrap_u)
                    left, right, over = _between(at_c, wide)
                    p, q = (1.0 - down) * (1.0 - over), (1.0 - down) * over
                    s, t = down * (1.0 - over), down * over
                    upper, lower = texture[top], texture[bottom]
                    red += p * upper[left, 0] + q * upper[right, 0] + s * lower[left, 0] + t * lower[right, 0]
                    green += p * upper[left, 1] + q * upper[right, 1] + s * lower[left, 1] + t * lower[right, 1]
                    blue += p * upper[left, 2] + q * upper[right, 2] + s * lower[left, 2] + t * lower[right, 2]
            share = 1.0 / (taps_r * taps_c)
            out[0, r, c], out[1, r, c], out[2, r, c] = red * share, green * share, blue * share
    return out
