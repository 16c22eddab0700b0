"""Illumination normalisation of grey pictures: the methods that Shin, Kim and Kwon compare [1], Tan and Triggs' [4],
and the plane that Yu and Zhang fit to the light [5].

Every function maps (N, H, W) uint8 to (N, H, W) uint8, so that functions can be chained: DoG, for instance, expects the
logarithm or the root of a picture. All but the histogram equalisation, which is the usual one, follow the INface
toolbox 2.1 [F], but the plane, which is recalled. Where the toolbox would divide by 0, on pictures of a single grey,
the result is 0.

References:
    .. [1] Shin, Kim, Kwon. Baseline CNN structure analysis for facial expression recognition. RO-MAN 2016.
    .. [2] Heusch, Cardinaux, Marcel. Lighting normalization algorithms for face verification. IDIAP-Com 05-03, 2005.
    .. [3] Chen, Er, Wu. Illumination compensation and normalization for robust face recognition using discrete cosine
       transform in logarithm domain. IEEE Transactions on Systems, Man, and Cybernetics B 36(2), 2006.
    .. [4] Tan, Triggs. Enhanced local texture feature sets for face recognition under difficult lighting conditions.
       IEEE Transactions on Image Processing 19(6), 2010.
    .. [5] Yu, Zhang. Image based static facial expression recognition with multiple deep network learning. ICMI 2015.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from fer3d.checks import check_choice, check_dtype, check_range, check_shape
from fer3d.errors import ArgumentError
from fer3d.kernels import illumination as kernels
from fer3d.workers import map_on_threads

Pictures = NDArray[np.uint8]
Floats = NDArray[np.float64]

_TOGETHER = 32  # pictures processed at a time: at 48 x 48 pixels they stay in the cache of a core
_FLAT = 1e-6  # of a grey level: what is left of a plane by rounding
_TINY = 1e-12  # keeps the divisions of `tan_triggs` finite on a picture of a single grey


def raw(pictures: Pictures) -> Pictures:
    """Return the pictures unchanged."""
    _check(pictures)
    return pictures


def equalise_histogram(pictures: Pictures) -> Pictures:
    """Map grey g to 255 (c(g) - c(g0)) / (H W - c(g0)), where c(g) counts pixels up to g and g0 is the darkest grey.

    The result equals OpenCV's `equalizeHist` byte for byte. A picture of a single grey stays unchanged.

    Args:
        pictures: (N, H, W) uint8.

    Returns:
        (N, H, W) uint8.

    Raises:
        ArgumentError: if shape or dtype are wrong.
    """
    _check(pictures)
    count, pixels = len(pictures), pictures[0].size
    flat = pictures.reshape(count, pixels)
    keys = flat + 256 * np.arange(count)[:, None]
    counts = np.bincount(keys.ravel(), minlength=256 * count).reshape(count, 256)
    below = counts.cumsum(axis=1)
    darkest = flat.min(axis=1)[:, None]
    first = np.take_along_axis(counts, darkest.astype(np.intp), axis=1)
    # in float32, as OpenCV computes: in float64 one level in a million would round the other way
    scale = np.float32(255.0) / np.maximum(pixels - first, 1).astype(np.float32)
    levels = np.rint((below - first).astype(np.float32) * scale).clip(0, 255)
    levels = np.where(first == pixels, np.arange(256), levels).astype(np.uint8)
    equalised: Pictures = levels.ravel()[keys].reshape(pictures.shape)
    return equalised


def isotropic_smoothing(pictures: Pictures, smoothness: float = 7.0, pad: int = 3) -> Pictures:
    """Divide each picture by its luminance [2], see `luminance`; clip 0.4 % of the pixels at either end.

    Args:
        pictures: (N, H, W) uint8.
        smoothness: Lambda of the luminance; INface's 7 was tuned for 128 x 128 pixels.
        pad: Pixels of mirror padding, which is cropped again afterwards.

    Returns:
        (N, H, W) uint8.

    Raises:
        ArgumentError: if shape or dtype are wrong, the picture is smaller than `pad`, or `smoothness` is negative.
    """
    _check(pictures)
    height, width = pictures.shape[1:]
    if not 0 <= pad <= min(height, width):
        raise ArgumentError(f"`pad` should lie in [0, {min(height, width)}] for these pictures, is {pad!r}")
    light = _levels(pictures) / 255.0 + 1e-3
    dark = luminance(np.pad(light, ((0, 0), (pad, pad), (pad, pad)), mode="symmetric"), smoothness)
    return _stretched(light / dark[:, pad : pad + height, pad : pad + width], 0.4)


def luminance(light: Floats, smoothness: float) -> Floats:
    """Solve L - lambda (sum of the four neighbours' L - 4 L) = I for L, where L is 0 outside the picture.

    The discrete sine transform of type I diagonalises this system along each axis. We transform along the rows and
    solve the remaining tridiagonal systems along the columns: O(H W log W) per picture, as accurate as a direct
    solution, in half the time of two transforms.

    Args:
        light: (N, H, W) float64, I.
        smoothness: Lambda, not negative.

    Returns:
        (N, H, W) float64.

    Raises:
        ArgumentError: if the shape is wrong, or `smoothness` is negative.
    """
    check_shape("light", light, ("N", "H", "W"))
    check_range("smoothness", smoothness, 0.0, math.inf)
    width = light.shape[2]
    waves = fft.dst(light, type=1, axis=2)
    along = 2.0 - 2.0 * np.cos(np.pi * np.arange(1, width + 1) / (width + 1))  # eigenvalues of a row's differences
    kernels.solve_columns(waves, 1.0 + smoothness * (along + 2.0), smoothness)
    result: Floats = fft.idst(waves, type=1, axis=2, overwrite_x=True)
    return result


def discrete_cosine(pictures: Pictures, dropped: int | None = None) -> Pictures:
    """Remove the lowest DCT frequencies from the logarithm of each picture [3]; clip 0.2 % of the pixels at either end.

    Args:
        pictures: (N, H, W) uint8.
        dropped: Number of coefficients after the mean, in zig-zag order, that are set to 0. None: INface's 50 at
            128 x 128 pixels, scaled with the area (our choice): 7 at 48 x 48.

    Returns:
        (N, H, W) uint8; 0 for a picture of a single grey.

    Raises:
        ArgumentError: if shape or dtype are wrong, or a picture has fewer than `dropped` + 1 coefficients.
    """
    _check(pictures)
    height, width = pictures.shape[1:]
    if dropped is None:
        dropped = round(50 * height * width / 128**2)
    if not 0 <= dropped < height * width:
        raise ArgumentError(f"`dropped` should lie in [0, {height * width}) for these pictures, is {dropped!r}")
    logarithm = _levels(np.log(_levels(pictures) + 1.0))
    waves = fft.dctn(logarithm, axes=(1, 2), norm="ortho")
    waves[:, 0, 0] = np.log(logarithm.mean(axis=(1, 2)) + 10.0) * math.sqrt(height * width)
    rows, columns = zigzag(height, width)
    waves[:, rows[1 : dropped + 1], columns[1 : dropped + 1]] = 0.0
    result = fft.idctn(waves, axes=(1, 2), norm="ortho", overwrite_x=True)
    flat = np.ptp(logarithm, axis=(1, 2)) == 0.0  # such a picture leaves rounding errors only
    result[flat] = 0.0
    return _stretched(_levels(result), 0.2)


def zigzag(height: int, width: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows and columns of an H x W table in the zig-zag order of JPEG: by ascending frequency.

    >>> [(int(i), int(j)) for i, j in zip(*zigzag(8, 8))][:6]
    [(0, 0), (0, 1), (1, 0), (2, 0), (1, 1), (0, 2)]
    """
    i, j = np.indices((height, width)).reshape(2, -1)
    diagonal = i + j
    along = np.where(diagonal % 2 == 1, i, j)  # odd diagonals run downwards, even ones upwards
    order = np.lexsort((along, diagonal))
    return i[order], j[order]


def difference_of_gaussians(pictures: Pictures, inner: float = 1.0, outer: float = 2.0) -> Pictures:
    """Subtract the picture blurred by `outer` from that blurred by `inner`; clip 0.2 % of the pixels at either end.

    Args:
        pictures: (N, H, W) uint8.
        inner, outer: Deviations of the two Gaussians, pixels.

    Returns:
        (N, H, W) uint8.

    Raises:
        ArgumentError: if shape or dtype are wrong, or a deviation is not positive.
    """
    _check(pictures)
    return _stretched(_band(_levels(pictures), inner, outer), 0.2)


def gaussian_kernel(deviation: float) -> Floats:
    """(2 ceil(3 s) + 1,) weights of a Gaussian of standard deviation s; they sum to 1.

    Raises:
        ArgumentError: if the deviation is not positive.
    """
    check_range("deviation", deviation, 1e-3, 1e3, "pixels")
    reach = math.ceil(3.0 * deviation)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / deviation) ** 2)
    return np.asarray(weights / weights.sum())


def tan_triggs(
    pictures: Pictures,
    gamma: float = 0.2,
    inner: float = 1.0,
    outer: float = 2.0,
    exponent: float = 0.1,
    ceiling: float = 10.0,
) -> Pictures:
    """Tan and Triggs' normalisation: gamma, difference of Gaussians, then contrast equalisation [4].

    Args:
        pictures: (N, H, W) uint8.
        gamma: Exponent that is applied to the picture, scaled to [0, 1].
        inner, outer: Deviations of the two Gaussians, pixels.
        exponent: Alpha: the smaller, the less strong edges count for the contrast.
        ceiling: Tau: the largest contrast in the result.

    Returns:
        (N, H, W) uint8.

    Raises:
        ArgumentError: if shape or dtype are wrong, or a number is not positive.
    """
    _check(pictures)
    for name, number in (("gamma", gamma), ("exponent", exponent), ("ceiling", ceiling)):
        check_range(name, number, 1e-6, 1e6)
    x = _band(255.0 * _unit(pictures.astype(np.float64)) ** gamma, inner, outer)
    for most in (math.inf, ceiling):
        strength = np.minimum(np.abs(x), most) ** exponent
        x = x / (strength.mean(axis=(1, 2), keepdims=True) ** (1.0 / exponent) + _TINY)
    return _levels(ceiling * np.tanh(x / ceiling), np.uint8)


def without_plane(pictures: Pictures) -> Pictures:
    """Subtract the plane a x + b y + c that fits the greys of each picture best, then stretch the rest to 0 to 255 [5].

    Args:
        pictures: (N, H, W) uint8.

    Returns:
        (N, H, W) uint8; 0 for a picture that is a plane, such as one of a single grey.

    Raises:
        ArgumentError: if shape or dtype are wrong.
    """
    _check(pictures)
    height, width = pictures.shape[1:]
    x, y = np.arange(width) - (width - 1) / 2, np.arange(height) - (height - 1) / 2
    light = pictures.astype(np.float64)
    # x, y and 1 are orthogonal over the pixels, so that each coefficient follows from one product
    across = light.sum(axis=1) @ x / max(height * float(x @ x), _TINY)
    along = light.sum(axis=2) @ y / max(width * float(y @ y), _TINY)
    rest = light - light.mean(axis=(1, 2), keepdims=True)
    rest -= across[:, None, None] * x + along[:, None, None] * y[:, None]
    rest[np.abs(rest).max(axis=(1, 2)) < _FLAT] = 0.0
    return _levels(rest, np.uint8)


def equalise_without_plane(pictures: Pictures) -> Pictures:
    """`equalise_histogram`, then `without_plane`: how Yu and Zhang prepare their pictures [5]."""
    return without_plane(equalise_histogram(pictures))


ILLUMINATIONS: Mapping[str, Callable[..., Pictures]] = {
    "raw": raw,
    "hist-eq": equalise_histogram,
    "isotropic": isotropic_smoothing,
    "dct": discrete_cosine,
    "dog": difference_of_gaussians,
    "tan-triggs": tan_triggs,
    "plane": without_plane,
    "hist-eq-plane": equalise_without_plane,
}


def normalise_illumination(name: str, pictures: Pictures, *, workers: int = 1, **settings: Any) -> Pictures:
    """Apply one of `ILLUMINATIONS`, on several threads; each handles a few pictures at a time, which fit the cache.

    Args:
        name: Key of `ILLUMINATIONS`.
        pictures: (N, H, W) uint8; N may be 0.
        workers: Threads.
        settings: Arguments of that function.

    Returns:
        (N, H, W) uint8; it does not depend on the number of workers.

    Raises:
        ArgumentError: if the name is unknown (the message names the nearest), the function does not take an argument,
            or `workers` is less than 1.
    """
    check_choice("name", name, ILLUMINATIONS)
    function = ILLUMINATIONS[name]
    taken = list(inspect.signature(function).parameters)[1:]
    for key in settings:
        if key not in taken:
            raise ArgumentError(f"`{key}` is no argument of {name}, which takes {', '.join(taken) or 'none'}")
    check_range("workers", workers, 1, 1024)
    check_shape("pictures", pictures, ("N", "H", "W"))
    check_dtype("pictures", pictures, np.uint8)
    if not len(pictures):
        return pictures
    parts = [pictures[start : start + _TOGETHER] for start in range(0, len(pictures), _TOGETHER)]
    return np.concatenate(map_on_threads(partial(function, **settings), parts, workers))


def _check(pictures: Pictures) -> None:
    check_shape("pictures", pictures, ("N", "H", "W"))
    check_dtype("pictures", pictures, np.uint8)
    if not pictures.size:
        raise ArgumentError(f"`pictures` should hold pixels, has shape {pictures.shape}")


def _unit(x: Floats) -> Floats:
    """Stretch each picture to [0, 1]; a picture of a single grey becomes 0."""
    low, high = x.min(axis=(1, 2), keepdims=True), x.max(axis=(1, 2), keepdims=True)
    span = high - low
    result: Floats = (x - low) / np.where(span > 0.0, span, 1.0)
    return result


def _levels(x: NDArray[Any], dtype: Any = np.float64) -> NDArray[Any]:
    """INface's `normalize8`: stretch each picture to integers from 0 to 255."""
    flat = x.reshape(len(x), -1)
    result = np.empty(x.shape, dtype)
    kernels.levels(x, flat.min(axis=1).astype(np.float64), flat.max(axis=1).astype(np.float64), result)
    return result


def _stretched(x: Floats, percent: float) -> Pictures:
    """INface's `histtruncate`, then `_levels`: clip the darkest and the brightest `percent` of each picture."""
    flat = x.reshape(len(x), -1)
    last = flat.shape[1] - 1
    # the k-th of m sorted pixels is the percentile 100 (k - 0.5) / m, with linear interpolation between
    ranks = [min(max(share * flat.shape[1] - 0.5, 0.0), last) for share in (percent / 100, 1.0 - percent / 100)]
    ends = [(math.floor(rank), min(math.floor(rank) + 1, last)) for rank in ranks]
    ordered = np.sort(flat, axis=1)  # vector instructions make it twice as fast as `np.partition`
    low, high = (
        ordered[:, a] + (rank - a) * (ordered[:, b] - ordered[:, a]) for (a, b), rank in zip(ends, ranks, strict=True)
    )
    result = np.empty(x.shape, np.uint8)
    kernels.levels(x, low, high, result)
    return result


def _band(x: Floats, inner: float, outer: float) -> Floats:
    result = _blurred(x, inner)
    result -= _blurred(x, outer)
    return result


def _blurred(x: Floats, deviation: float) -> Floats:
    kernel = gaussian_kernel(deviation)
    result = np.empty_like(x)
    kernels.blur(x, kernel[len(kernel) // 2 :], result)
    return result
