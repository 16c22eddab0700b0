"""Definitions of `fer3d.image.illumination`, one picture and one pixel at a time."""

import math

import numpy as np
from scipy import sparse
from scipy.fft import dctn, idctn
from scipy.sparse.linalg import spsolve


def normalize8(x, whole=True):
    low, high = x.min(), x.max()
    if low == high:
        return np.zeros(x.shape)
    return np.ceil(np.minimum((x - low) * 255 / (high - low), 255)) if whole else (x - low) / (high - low)


def histtruncate(x, lower, upper):
    x = normalize8(x, whole=False)
    values = np.sort(x.ravel())
    m = len(values)
    axis = [0.0, *(100 * (np.arange(m) + 0.5) / m), 100.0]
    low, high = np.interp([lower, 100 - upper], axis, [values[0], *values, values[-1]])
    return np.clip((x - low) / (high - low), 0, 1) if high > low else np.zeros(x.shape)


def equalise_histogram(picture):
    total = picture.size
    darkest = (picture == picture.min()).sum()
    if darkest == total:
        return picture
    made = np.empty_like(picture)
    for grey in np.unique(picture):
        made[picture == grey] = round(255 * float((picture <= grey).sum() - darkest) / float(total - darkest))
    return made


def five_point(height, width, smoothness):
    """The matrix of `luminance`, row by row."""
    rows, columns, values = [], [], []
    for i in range(height):
        for j in range(width):
            near = [(i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1)]
            entries = {(i, j): 1 + 4 * smoothness}
            entries |= {place: -smoothness for place in near if 0 <= place[0] < height and 0 <= place[1] < width}
            for (a, b), value in entries.items():
                rows.append(i * width + j)
                columns.append(a * width + b)
                values.append(value)
    return sparse.csc_matrix((values, (rows, columns)))


def luminance(light, smoothness):
    return spsolve(five_point(*light.shape, smoothness), light.ravel()).reshape(light.shape)


def isotropic_smoothing(picture, smoothness=7.0, pad=3):
    x = np.pad(normalize8(picture.astype(float)), pad, mode="symmetric")
    light = normalize8(x, whole=False) + 0.001
    reflectance = light / luminance(light, smoothness)
    inner = reflectance[pad : pad + picture.shape[0], pad : pad + picture.shape[1]]
    return normalize8(histtruncate(inner, 0.4, 0.4))


def zigzag(height, width):
    """Walked: up to the right, down to the left, turning at the walls."""
    i = j = 0
    made = []
    up = True
    while len(made) < height * width:
        made.append((i, j))
        if up and j == width - 1:
            i, up = i + 1, False
        elif up and i == 0:
            j, up = j + 1, False
        elif not up and i == height - 1:
            j, up = j + 1, True
        elif not up and j == 0:
            i, up = i + 1, True
        else:
            i, j = (i - 1, j + 1) if up else (i + 1, j - 1)
    return made


def discrete_cosine(picture, dropped):
    x = normalize8(np.log(normalize8(picture.astype(float)) + 1))
    waves = dctn(x, norm="ortho")
    waves[0, 0] = math.log(x.mean() + 10) * math.sqrt(x.size)
    for place in zigzag(*x.shape)[1 : dropped + 1]:
        waves[place] = 0
    return normalize8(histtruncate(normalize8(idctn(waves, norm="ortho")), 0.2, 0.2))


def blurred(x, deviation):
    reach = math.ceil(3 * deviation)
    kernel = np.array(
        [
            [math.exp(-(a * a + b * b) / (2 * deviation**2)) for b in range(-reach, reach + 1)]
            for a in range(-reach, reach + 1)
        ]
    )
    kernel /= kernel.sum()
    padded = np.pad(x, reach, mode="edge")
    size = 2 * reach + 1
    return np.array(
        [[(padded[i : i + size, j : j + size] * kernel).sum() for j in range(x.shape[1])] for i in range(x.shape[0])]
    )


def difference_of_gaussians(picture, inner=1.0, outer=2.0):
    x = normalize8(picture.astype(float))
    return normalize8(histtruncate(blurred(x, inner) - blurred(x, outer), 0.2, 0.2))


def tan_triggs(picture, gamma=0.2, inner=1.0, outer=2.0, exponent=0.1, ceiling=10.0):
    x = 255 * normalize8(picture.astype(float), whole=False) ** gamma
    x = blurred(x, inner) - blurred(x, outer)
    x = x / ((np.abs(x) ** exponent).mean() ** (1 / exponent) + 1e-12)
    x = x / ((np.minimum(np.abs(x), ceiling) ** exponent).mean() ** (1 / exponent) + 1e-12)
    return normalize8(ceiling * np.tanh(x / ceiling))
