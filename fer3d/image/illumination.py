"""Grey pictures freed of the light: the inputs of Shin, Kim and Kwon's study [1], and Tan and Triggs'.

Every function takes (N, H, W) uint8 and gives (N, H, W) uint8, so that they can be chained: DoG, for instance, is meant
for a picture whose logarithm or root was taken first. But for histogram equalisation, which is the usual one, they are
those of the INface toolbox 2.1 [F]. Where it would divide by 0, on pictures of one grey, we give 0.

References:
    .. [1] Shin, Kim, Kwon. Baseline CNN structure analysis for facial expression recognition. RO-MAN 2016.
    .. [2] Heusch, Cardinaux, Marcel. Lighting normalization algorithms for face verification. IDIAP-Com 05-03, 2005.
    .. [3] Chen, Er, Wu. Illumination compensation and normalization for robust face recognition using discrete cosine
       transform in logarithm domain. IEEE Transactions on Systems, Man, and Cybernetics B 36(2), 2006.
    .. [4] Tan, Triggs. Enhanced local texture feature sets for face recognition under difficult lighting conditions.
       IEEE Transactions on Image Processing 19(6), 2010.
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

_TOGETHER = 32  # pictures of 48 x 48 that stay in a core's cache from one step to the next
_TINY = 1e-12  # keeps Tan and Triggs' divisions finite on a picture of one grey


def raw(pictures: Pictures) -> Pictures:
    """The pictures as they are."""
    _check(pictures)
    return pictures


def equalise_histogram(pictures: Pictures) -> Pictures:
    """Grey g becomes 255 (c(g) - c(g0)) / (H W - c(g0)): c counts the pixels up to g, g0 is the darkest grey there is.

    The same bytes as OpenCV's `equalizeHist`; a picture of one grey is left as it is.

    Args:
        pictures: (N, H, W) uint8.

    Returns:
        (N, H, W) uint8.

    Raises:
        ArgumentError: if the shape or the dtype is another.
    """
    _check(pictures)
    count, pixels = len(pictures), pictures[0].size
    flat = pictures.reshape(count, pixels)
    keys = flat + 256 * np.arange(count)[:, None]
    counts = np.bincount(keys.ravel(), minlength=256 * count).reshape(count, 256)
    below = counts.cumsum(axis=1)
    darkest = flat.min(axis=1)[:, None]
    first = np.take_along_axis(counts, darkest.astype(np.intp), axis=1)
    # in float32, as OpenCV reckons: a level in a million would round the other way in float64
    scale = np.float32(255.0) / np.maximum(pixels - first, 1).astype(np.float32)
    levels = np.rint((below - first).astype(np.float32) * scale).clip(0, 255)
    levels = np.where(first == pixels, np.arange(256), levels).astype(np.uint8)
    equalised: Pictures = levels.ravel()[keys].reshape(pictures.shape)
    return equalised


def isotropic_smoothing(pictures: Pictures, smoothness: float = 7.0, pad: int = 3) -> Pictures:
    """The picture divided by its luminance [2], see `luminance`; 0.4 % of the pixels clipped at either end.

    Args:
        pictures: (N, H, W) uint8.
        smoothness: Lambda of the luminance; INface's 7 was tuned for 128 x 128 pixels.
        pad: Pixels by which the picture is mirrored outwards before, and cut again after.

    Returns:
        (N, H, W) uint8.

    Raises:
        ArgumentError: if the shape or the dtype is another, the picture is smaller than `pad`, or `smoothness` is
            negative.
    """
    _check(pictures)
    height, width = pictures.shape[1:]
    if not 0 <= pad <= min(height, width):
        raise ArgumentError(f"`pad` should lie in [0, {min(height, width)}] for these pictures, is {pad!r}")
    light = _levels(pictures) / 255.0 + 1e-3
    dark = luminance(np.pad(light, ((0, 0), (pad, pad), (pad, pad)), mode="symmetric"), smoothness)
    return _stretched(light / dark[:, pad : pad + height, pad : pad + width], 0.4)


def luminance(light: Floats, smoothness: float) -> Floats:
    """L with L - lambda (sum of the four neighbours' L - 4 L) = I, where L is 0 outside the picture.

    The discrete sine transform of the first kind diagonalises that system along each axis. It is taken along one; the
    systems of three diagonals left along the other are solved: O(H W log W) a picture, with the accuracy of a direct
    solution, in half the time of two transforms.

    Args:
        light: (N, H, W) float64: I.
        smoothness: Lambda, not negative.

    Returns:
        (N, H, W) float64.

    Raises:
        ArgumentError: if the shape is another, or `smoothness` is negative.
    """
    check_shape("light", light, ("N", "H", "W"))
    check_range("smoothness", smoothness, 0.0, math.inf)
    width = light.shape[2]
    waves = fft.dst(light, type=1, axis=2)
    along = 2.0 - 2.0 * np.cos(np.pi * np.arange(1, width + 1) / (width + 1))  # eigenvalues of a row's differences
    kernels.solve_columns(waves, 1.0 + smoothness * (along + 2.0), smoothness)
    made: Floats = fft.idst(waves, type=1, axis=2, overwrite_x=True)
    return made


def discrete_cosine(pictures: Pictures, dropped: int | None = None) -> Pictures:
    """The logarithm of the picture without its slowest waves [3]; 0.2 % of the pixels clipped at either end.

    Args:
        pictures: (N, H, W) uint8.
        dropped: How many coefficients after the mean are set to 0, in zig-zag order. None: INface's 50 at 128 x 128
            pixels, in proportion to the area (our choice): 7 at 48 x 48.

    Returns:
        (N, H, W) uint8; 0 for a picture of one grey.

    Raises:
        ArgumentError: if the shape or the dtype is another, or there are not so many coefficients.
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
    made = fft.idctn(waves, axes=(1, 2), norm="ortho", overwrite_x=True)
    flat = np.ptp(logarithm, axis=(1, 2)) == 0.0  # what is left of such a picture is rounding
    made[flat] = 0.0
    return _stretched(_levels(made), 0.2)


def zigzag(height: int, width: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows and columns of an H x W table in zig-zag order: by rising frequency, as JPEG counts.

    >>> [(int(i), int(j)) for i, j in zip(*zigzag(8, 8))][:6]
    [(0, 0), (0, 1), (1, 0), (2, 0), (1, 1), (0, 2)]
    """
    i, j = np.indices((height, width)).reshape(2, -1)
    diagonal = i + j
    along = np.where(diagonal % 2 == 1, i, j)  # odd diagonals run downwards, even ones upwards
    order = np.lexsort((along, diagonal))
    return i[order], j[order]


def difference_of_gaussians(pictures: Pictures, inner: float = 1.0, outer: float = 2.0) -> Pictures:
    """The picture blurred by `inner`, less the picture blurred by `outer`; 0.2 % of the pixels clipped at either end.

    Args:
        pictures: (N, H, W) uint8.
        inner, outer: Deviations of the two Gaussians, pixels.

    Returns:
        (N, H, W) uint8.

    Raises:
        ArgumentError: if the shape or the dtype is another, or a deviation is not positive.
    """
    _check(pictures)
    return _stretched(_band(_levels(pictures), inner, outer), 0.2)


def gaussian_kernel(deviation: float) -> Floats:
    """(2 ceil(3 s) + 1,) weights of a Gaussian of deviation s, which sum to 1.

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
    """Gamma, difference of Gaussians, then contrast equalisation [4].

    Args:
        pictures: (N, H, W) uint8.
        gamma: Power to which the picture, in [0, 1], is raised.
        inner, outer: Deviations of the two Gaussians, pixels.
        exponent: Alpha: how little strong edges count for the contrast.
        ceiling: Tau: the contrast that is nowhere exceeded.

    Returns:
        (N, H, W) uint8.

    Raises:
        ArgumentError: if the shape or the dtype is another, or a number is not positive.
    """
    _check(pictures)
    for name, number in (("gamma", gamma), ("exponent", exponent), ("ceiling", ceiling)):
        check_range(name, number, 1e-6, 1e6)
    x = _band(255.0 * _unit(pictures.astype(np.float64)) ** gamma, inner, outer)
    for most in (math.inf, ceiling):
        strength = np.minimum(np.abs(x), most) ** exponent
        x = x / (strength.mean(axis=(1, 2), keepdims=True) ** (1.0 / exponent) + _TINY)
    return _levels(ceiling * np.tanh(x / ceiling), np.uint8)


ILLUMINATIONS: Mapping[str, Callable[..., Pictures]] = {
    "raw": raw,
    "hist-eq": equalise_histogram,
    "isotropic": isotropic_smoothing,
    "dct": discrete_cosine,
    "dog": difference_of_gaussians,
    "tan-triggs": tan_triggs,
}


def normalise_illumination(name: str, pictures: Pictures, *, workers: int = 1, **settings: Any) -> Pictures:
    """One of `ILLUMINATIONS`, a few pictures at a time so that they stay in the cache, on several threads.

    Args:
        name: Which one.
        pictures: (N, H, W) uint8; N may be 0.
        workers: Threads.
        settings: Arguments of that function.

    Returns:
        (N, H, W) uint8: the same bytes for any number of workers.

    Raises:
        ArgumentError: if there is none of that name (names the nearest), it does not take an argument, or `workers` is
            less than 1.
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
    """Each picture stretched to [0, 1]; 0 where it is of one grey."""
    low, high = x.min(axis=(1, 2), keepdims=True), x.max(axis=(1, 2), keepdims=True)
    span = high - low
    made: Floats = (x - low) / np.where(span > 0.0, span, 1.0)
    return made


def _levels(x: NDArray[Any], dtype: Any = np.float64) -> NDArray[Any]:
    """INface's `normalize8`: whole numbers from 0 to 255."""
    flat = x.reshape(len(x), -1)
    made = np.empty(x.shape, dtype)
    kernels.levels(x, flat.min(axis=1).astype(np.float64), flat.max(axis=1).astype(np.float64), made)
    return made


def _stretched(x: Floats, percent: float) -> Pictures:
    """INface's `histtruncate`, then `_levels`: the darkest and the brightest `percent` of each picture clipped."""
    flat = x.reshape(len(x), -1)
    last = flat.shape[1] - 1
    # the k-th of m sorted pixels stands at the percentile 100 (k - 0.5) / m, with straight lines between
    ranks = [min(max(share * flat.shape[1] - 0.5, 0.0), last) for share in (percent / 100, 1.0 - percent / 100)]
    ends = [(math.floor(rank), min(math.floor(rank) + 1, last)) for rank in ranks]
    ordered = np.sort(flat, axis=1)  # with a processor's vector instructions twice as fast as `np.partition`
    low, high = (
        ordered[:, a] + (rank - a) * (ordered[:, b] - ordered[:, a]) for (a, b), rank in zip(ends, ranks, strict=True)
    )
    made = np.empty(x.shape, np.uint8)
    kernels.levels(x, low, high, made)
    return made


def _band(x: Floats, inner: float, outer: float) -> Floats:
    made = _blurred(x, inner)
    made -= _blurred(x, outer)
    return made


def _blurred(x: Floats, deviation: float) -> Floats:
    kernel = gaussian_kernel(deviation)
    made = np.empty_like(x)
    kernels.blur(x, kernel[len(kernel) // 2 :], made)
    return made
