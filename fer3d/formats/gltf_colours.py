"""Colours of glTF: linear fractions there, sRGB in [0, 255] here."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray


def to_srgb(linear: NDArray[np.floating]) -> NDArray[np.float64]:
    """Linear colours in [0, 1], any shape, as sRGB in [0, 255] (IEC 61966-2-1). NaN stays."""
    x = np.asarray(linear, np.float64)
    with np.errstate(invalid="ignore"):
        curved = 1.055 * np.maximum(x, 0.0) ** (1 / 2.4) - 0.055
    return 255.0 * np.where(x <= 0.0031308, 12.92 * x, curved)


def to_linear(srgb: NDArray[np.floating]) -> NDArray[np.float64]:
    """Inverse of `to_srgb`."""
    x = np.asarray(srgb, np.float64) / 255.0
    with np.errstate(invalid="ignore"):
        curved = ((np.maximum(x, 0.0) + 0.055) / 1.055) ** 2.4
    return np.where(x <= 0.04045, x / 12.92, curved)


def encoded(srgb: NDArray[np.floating]) -> NDArray[np.uint16]:
    """sRGB colours in [0, 255] as normalised linear ushort, which `decoded` reads back. NaN becomes white."""
    linear = to_linear(np.nan_to_num(np.asarray(srgb, np.float64), nan=255.0).clip(0.0, 255.0))
    return np.rint(linear * 65535.0).astype(np.uint16)


def decoded(codes: NDArray[np.unsignedinteger]) -> NDArray[np.float32]:
    """Normalised linear ubyte or ushort as sRGB in [0, 255].

    A ushort stands for a range of sRGB values. Where a whole number lies in it, that is taken, so that colours of 8
    bits come back as they were written.
    """
    found: NDArray[np.float32] = _table(codes.dtype.itemsize)[codes]
    return found


@cache
def _table(size: int) -> NDArray[np.float32]:
    """sRGB of each code of `size` bytes."""
    most = (1 << (8 * size)) - 1
    exact = to_srgb(np.arange(most + 1) / most)
    if size == 1:
        return exact.astype(np.float32)
    whole = np.rint(exact)
    same = np.rint(to_linear(whole) * most) == np.arange(most + 1)
    return np.where(same, whole, exact).astype(np.float32)
