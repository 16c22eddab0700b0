"""Argument checks of the public functions. Each message names the argument, the expected and the actual value."""

import difflib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from fer3d.errors import ArgumentError, Fer3dError

# Similarity (difflib's ratio) that two names need for a suggestion "did you mean". Any single typing error in a word of
# two letters or more lies above 0.5, and so does a colloquial name of a class ("happy" for happiness: 0.57); nearly all
# pairs of unrelated words lie below.
_SIMILAR = 0.5


def check_shape(name: str, array: Any, shape: Sequence[int | str]) -> None:
    """Raise ArgumentError unless `array` has the shape `shape`, a tuple of sizes, or names for sizes that are free.

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
    """Raise ArgumentError unless `array` is a NumPy array of exactly `dtype`; nothing is cast."""
    if not isinstance(array, np.ndarray):
        raise ArgumentError(f"`{name}` should be a NumPy array of {np.dtype(dtype)}, is {type(array).__name__}")
    if array.dtype != dtype:
        raise ArgumentError(f"`{name}` should have dtype {np.dtype(dtype)}, has {array.dtype}")


def check_index(name: str, index: Any, size: int, *, none: bool = False) -> None:
    """Raise ArgumentError unless every entry of `index` is in [0, size), or -1 for "none" if `none` is set."""
    low = -1 if none else 0
    if index.size and not within(index, low, size):
        raise ArgumentError(
            f"`{name}` should hold rows in [{low}, {size}), holds [{int(index.min())}, {int(index.max())}]"
        )


def within(index: Any, low: int, size: int) -> bool:
    """Whether every entry of an integer array with at least one is in [low, size), for low -1 or 0."""
    if low == 0 and index.dtype == np.int32:  # one pass: as unsigned numbers, negative ones are large
        return bool(index.view(np.uint32).max() < size)
    return bool(index.min() >= low and index.max() < size)


def check_range(name: str, value: float, low: float, high: float, unit: str = "") -> None:
    """Raise ArgumentError unless low <= value <= high (NaN is outside)."""
    if not low <= value <= high:
        unit = f" {unit}" if unit else ""
        raise ArgumentError(f"`{name}` should lie in [{low:g}, {high:g}]{unit}, is {value!r}")


def check_choice(
    name: str, value: str | Sequence[str], choices: Iterable[str], error: type[Fer3dError] = ArgumentError
) -> None:
    """Raise an error that names the nearest choice unless each name in `value` is among `choices`.

    Args:
        name: Name of the argument.
        value: One name, or a list of names, which may be empty.
        choices: Valid names, in the order in which the message lists them.
        error: Class of the error to raise.

    Raises:
        ArgumentError: or `error`, if given.

    >>> check_choice("maps", ["depth", "norm"], ["depth", "normal"])
    Traceback (most recent call last):
    fer3d.errors.ArgumentError: `maps` should hold names out of depth, normal, holds 'norm'; did you mean 'normal'?
    """
    known = tuple(choices)
    several = isinstance(value, Sequence) and not isinstance(value, str)
    for item in value if several else (value,):
        if item not in known:
            wanted, got = ("hold names out of", "holds") if several else ("be one of", "is")
            text = f"`{name}` should {wanted} {', '.join(known) or 'none'}, {got} {item!r}"
            raise error(text + did_you_mean(item, known))


def nearest(value: Any, choices: Iterable[str], cutoff: float = _SIMILAR) -> str | None:
    """The choice whose spelling is most similar to `value`, ignoring case; None if none is similar enough.

    >>> nearest("Hapiness", ["anger", "happiness"]), nearest("7", ["anger", "happiness"])
    ('happiness', None)
    """
    folded: dict[str, str] = {}
    for choice in choices:
        folded.setdefault(choice.casefold(), choice)
    near = difflib.get_close_matches(str(value).casefold(), folded, n=1, cutoff=cutoff)
    return folded[near[0]] if near else None


def did_you_mean(value: Any, choices: Iterable[str]) -> str:
    """End of a message about an unknown name, such as "; did you mean 'happiness'?"; "" if no choice is similar."""
    near = nearest(value, choices)
    return "" if near is None else f"; did you mean {near!r}?"


def first_difference(before: Any, now: Any, where: str = "") -> str:
    """Name the first key whose value differs, with both values; "" if none does.

    >>> first_difference({"size": 48, "maps": {"x": 1}}, {"size": 48, "maps": {"x": 2}})
    '`maps.x` was 1, is 2'
    """
    if before == now:
        return ""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in sorted(before.keys() | now.keys()):
            if text := first_difference(before.get(key), now.get(key), f"{where}.{key}" if where else key):
                return text
    return f"`{where}` was {before!r}, is {now!r}"
