"""Bring colours from the numbers of a file to [0, 255]."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Type of the file -> the number that is full brightness.
_FULL = {"u1": 255.0, "u2": 65535.0}


def as_colours(values: NDArray[np.floating], kind: str) -> NDArray[np.float32] | None:
    """Colours of a file as those of a `Scan`.

    Unsigned integers of 8 and 16 bits have their full range. Real numbers lie in [0, 1], unless one is above 1: then in
    [0, 255]. Other integers lie in [0, 255]: files with a wider range of them are not known.

    Args:
        values: (N, 3) floating, or any other shape.
        kind: Type of the numbers in the file, as NumPy calls it: "u1", "f4" ...

    Returns:
        float32 in [0, 255] of the same shape, NaN where the file has NaN; None if integers have no known range.
    """
    with np.errstate(invalid="ignore"):  # a damaged file may hold signalling NaN
        values = np.asarray(values, np.float64)
    highest = float(np.nanmax(values)) if np.isfinite(values).any() else 0.0
    if kind in _FULL:
        scale = 255.0 / _FULL[kind]
    elif kind[0] == "f":
        scale = 255.0 if highest <= 1 else 1.0
    elif highest <= 255:
        scale = 1.0
    else:
        return None
    clipped: NDArray[np.float32] = np.clip(values * scale, 0, 255).astype(np.float32)
    return clipped
