"""Light on a mesh: vertex normals of a smooth model, and the colour of every pixel of a z-buffer."""

import math

import numpy as np
from numba import njit

_GLOSSY_SQUARINGS = 8  # exponent 256 of the highlight on wet surfaces
_DULL_SQUARINGS = 4  # exponent 16 on skin


@njit(cache=True, nogil=True)
def area_normals(points, faces):  # type: ignore[no-untyped-def]
    """Unit vertex normals, with faces weighted by area, for the mesh of a model; scans use `fer3d.kernels.normals`.

    Args:
        points: (V, 3) float64.
        faces: (F, 3) int32.

    Returns:
        (V, 3) float32; 0 at a vertex without area.
    """
    total = np.zeros((points.shape[0], 3))
    for f in range(faces.shape[0]):
        i, j, k = faces[f, 0], faces[f, 1], faces[f, 2]
        ux, uy, uz = points[j, 0] - points[i, 0], points[j, 1] - points[i, 1], points[j, 2] - points[i, 2]
        vx, vy, vz = points[k, 0] - points[i, 0], points[k, 1] - points[i, 1], points[k, 2] - points[i, 2]
        nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        for v in (i, j, k):
            total[v, 0] += nx
            total[v, 1] += ny
            total[v, 2] += nz
    out = np.zeros((points.shape[0], 3), np.float32)
    for v in range(points.shape[0]):
        length = math.sqrt(total[v, 0] ** 2 + total[v, 1] ** 2 + total[v, 2] ** 2)
        if length > 0.0:
            for axis in range(3):
                out[v, axis] = total[v, axis] / length
    return out


@njit(cache=True, nogil=True)
def _squared(x, times):  # type: ignore[no-untyped-def]
    """x ** (2 ** times)."""
    for _ in range(times):
        x = x * x
    return x


@njit(cache=True, nogil=True, fastmath=True)
def _texel(texture, row, column, out):  # type: ignore[no-untyped-def]
    """Bilinear look-up of the four channels of `texture`."""
    height, width = texture.shape[0], texture.shape[1]
    row = min(max(row, 0.0), height - 1.0)
    column = min(max(column, 0.0), width - 1.0)
    r, c = int(row), int(column)
    down, right = np.float32(row - r), np.float32(column - c)
    r2, c2 = min(r + 1, height - 1), min(c + 1, width - 1)
    one = np.float32(1.0)
    a, b, d, e = (one - down) * (one - right), (one - down) * right, down * (one - right), down * right
    for n in range(4):
        out[n] = a * texture[r, c, n] + b * texture[r, c2, n] + d * texture[r2, c, n] + e * texture[r2, c2, n]


@njit(cache=True, nogil=True, fastmath=True)
def shade(face, bary, faces, normals, lit, uv, colour, texture, lamps, halfway, lamp_colour, ambient, sky):  # type: ignore[no-untyped-def]
    """Radiance of every pixel: Lambert's cosine law [1] plus a highlight after Blinn [2], per lamp, plus ambient light.

    Args:
        face, bary, faces: As in `fer3d.kernels.sampling.interpolate`.
        normals: (V, 3) float32, unit.
        lit: (V, K) float32. Share of each lamp that reaches the vertex, 0 in its cast shadow.
        uv: (V, 2) float32.
        colour: (V, 4) float32: red, green, blue (linear) and gloss in [0, 1]. Gloss < 0: all four come from `texture`.
        texture: (Ht, Wt, 4) float32: the same four channels, addressed by uv.
        lamps, halfway: (K, 3) float32. Unit vectors to each lamp, and halfway between lamp and eye.
        lamp_colour: (K, 3) float32. Intensity per channel.
        ambient: (3,) float32.
        sky: In [0, 1]. Share of the ambient light that comes from above (+y).

    Returns:
        (H, W, 3) float32, linear; NaN where no face is seen.

    References:
        .. [1] Lambert. Photometria. 1760.
        .. [2] Blinn. Models of light reflection for computer synthesized pictures. SIGGRAPH 1977.
    """
    height, width = face.shape
    tall, wide = texture.shape[0], texture.shape[1]
    count = lamps.shape[0]
    out = np.full((height, width, 3), np.float32(np.nan))
    albedo = np.empty(4, np.float32)
    for r in range(height):
        for c in range(width):
            f = face[r, c]
            if f < 0:
                continue
            i, j, k = faces[f, 0], faces[f, 1], faces[f, 2]
            a, b, d = bary[r, c, 0], bary[r, c, 1], bary[r, c, 2]
            nx = a * normals[i, 0] + b * normals[j, 0] + d * normals[k, 0]
            ny = a * normals[i, 1] + b * normals[j, 1] + d * normals[k, 1]
            nz = a * normals[i, 2] + b * normals[j, 2] + d * normals[k, 2]
            scale = np.float32(1.0) / np.float32(math.sqrt(max(nx * nx + ny * ny + nz * nz, np.float32(1e-12))))
            nx, ny, nz = nx * scale, ny * scale, nz * scale
            if colour[i, 3] >= 0.0:
                for n in range(4):
                    albedo[n] = a * colour[i, n] + b * colour[j, n] + d * colour[k, n]
            else:
                column = (a * uv[i, 0] + b * uv[j, 0] + d * uv[k, 0]) * wide - 0.5
                row = (1.0 - (a * uv[i, 1] + b * uv[j, 1] + d * uv[k, 1])) * tall - 0.5
                _texel(texture, row, column, albedo)
            up = 1.0 - sky * 0.5 * (1.0 - ny)
            for n in range(3):
                out[r, c, n] = albedo[n] * ambient[n] * up
            for lamp in range(count):
                cosine = nx * lamps[lamp, 0] + ny * lamps[lamp, 1] + nz * lamps[lamp, 2]
                if cosine <= 0.0:
                    continue
                reach = a * lit[i, lamp] + b * lit[j, lamp] + d * lit[k, lamp]
                mirror = max(nx * halfway[lamp, 0] + ny * halfway[lamp, 1] + nz * halfway[lamp, 2], np.float32(0.0))
                gloss = albedo[3]
                shine = gloss * gloss * gloss * _squared(mirror, _GLOSSY_SQUARINGS)
                shine += gloss * (1 - gloss) * np.float32(0.2) * _squared(mirror, _DULL_SQUARINGS)
                for n in range(3):
                    out[r, c, n] += lamp_colour[lamp, n] * reach * (albedo[n] * cosine + shine)
    return out


@njit(cache=True, nogil=True)
def expose(light, noise, factors, display):  # type: ignore[no-untyped-def]
    """Displayed values of linear light, with shot noise and read noise.

    Args:
        light: (H, W, 3) float32, NaN for the background.
        noise: (H, W, 3) float32, standard normal; or (0, 0, 3) for none.
        factors: (4,) float32. Exposure, linear signal of the background, variance of shot noise per unit of signal,
            standard deviation of read noise.
        display: (N,) uint8. Displayed value of the linear signals 0 to 1.

    Returns:
        (H, W, 3) uint8.
    """
    height, width = light.shape[0], light.shape[1]
    out = np.empty((height, width, 3), np.uint8)
    last = np.float32(display.shape[0] - 1)
    noisy = noise.shape[0] > 0
    for r in range(height):
        for c in range(width):
            for n in range(3):
                signal = light[r, c, n] * factors[0]
                if math.isnan(signal):
                    signal = factors[1]
                if noisy:
                    variance = factors[2] * max(signal, np.float32(0.0)) + factors[3] * factors[3]
                    signal += noise[r, c, n] * np.float32(math.sqrt(variance))
                out[r, c, n] = display[int(min(max(signal, np.float32(0.0)), np.float32(1.0)) * last + np.float32(0.5))]
    return out
