"""Argument checks shared by the public functions. Each message names the argument, what was wanted, what came."""

import difflib
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from fer3d.errors import ArgumentError


def check_shape(name: str, array: Any, shape: Sequence[int | str]) -> None:
    """Raise ArgumentError unless `array` matches `shape`, a tuple of sizes with names for the free ones.

    >>> import numpy as np
    >>> check_shape("vertices", np.zeros((4, 2)), ("V", 3))
    Traceback (most recent call last):
    fer3d.errors.ArgumentError: `vertices` should have shape (V, 3), has (4, 2)
    """
    sizes = tuple(array.shape)
    fits = len(sizes) == len(shape) and all(isinstance(w, str) or w == s for w, s in zip(shape, sizes, strict=True))
    if not fits:
        wanted = ", ".join(map(str, shape)) + ("," if len(shape) == 1 else "")
        raise ArgumentError(f"`{name}` should have shape ({wanted}), has {sizes}")


def check_dtype(name: str, array: Any, dtype: Any) -> None:
    """Raise ArgumentError unless `array` is a NumPy array of exactly `dtype`: nothing is cast behind the caller."""
    if not isinstance(array, np.ndarray):
        raise ArgumentError(f"`{name}` should be a NumPy array of {np.dtype(dtype)}, is {type(array).__name__}")
    if array.dtype != dtype:
        raise ArgumentError(f"`{name}` should have dtype {np.dtype(dtype)}, has {array.dtype}")


def check_index(name: str, index: Any, size: int, *, none: bool = False) -> None:
    """Raise ArgumentError unless every entry of `index` is a row below `size` (or -1 for "none", if allowed)."""
    low = -1 if none else 0
    if index.size and (int(index.min()) < low or int(index.max()) >= size):
        raise ArgumentError(
            f"`{name}` should hold rows in [{low}, {size}), holds [{int(index.min())}, {int(index.max())}]"
        )


def check_range(name: str, value: float, low: float, high: float, unit: str = "") -> None:
    """Raise ArgumentError unless low <= value <= high (NaN is outside)."""
    if not low <= value <= high:
        unit = f" {unit}" if unit else ""
        raise ArgumentError(f"`{name}` should lie in [{low:g}, {high:g}]{unit}, is {value!r}")


def check_choice(name: str, value: str, choices: Collection[str]) -> str:
    """`value`, if it is one of `choices`; else ArgumentError, which names the nearest.

    >>> check_choice("model", "dffcnn", ("dff-cnn", "plain-cnn"))
    Traceback (most recent call last):
    fer3d.errors.ArgumentError: `model` should be one of dff-cnn, plain-cnn, is 'dffcnn'; did you mean 'dff-cnn'?
    """
    if value in choices:
        return value
    near = nearest(value, choices)
    hint = f"; did you mean {near!r}?" if near else ""
    raise ArgumentError(f"`{name}` should be one of {', '.join(choices)}, is {value!r}{hint}")


def nearest(value: str, choices: Collection[str], cutoff: float = 0.6) -> str | None:
    """The choice that is most like `value`, or None if none shares `cutoff` of its letters with it, in their order."""
    return next(iter(difflib.get_close_matches(value, choices, n=1, cutoff=cutoff)), None)
