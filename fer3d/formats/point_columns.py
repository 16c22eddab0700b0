"""Tell coordinates, colours and normals among the columns of a list of points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# Name of a column, in lower case -> what it is. `None`: it says nothing about the surface or its looks.
NAMES: dict[str, str | None] = {
    **{name: name for name in "xyz"},
    **dict.fromkeys(("r", "red"), "red"),
    **dict.fromkeys(("g", "green"), "green"),
    **dict.fromkeys(("b", "blue"), "blue"),
    **dict.fromkeys(("nx", "ny", "nz", "normal_x", "normal_y", "normal_z", "curvature", "a", "alpha")),
    **dict.fromkeys(("id", "index", "label", "time", "ring")),
    **dict.fromkeys(("i", "intensity", "scalar", "confidence", "quality"), "grey"),
}
_UNIT = 0.02  # largest deviation of the length of a normal from 1
_MOST = 0.99  # share of the rows that have to be normals


class Columns(NamedTuple):
    """What a table of points holds.

    Attributes:
        points: (N, 3) float64.
        colours: (N, 3) float32 in [0, 255], or None.
        warnings: What is left out.
    """

    points: NDArray[np.float64]
    colours: NDArray[np.float32] | None
    warnings: tuple[str, ...]


def of_table(table: NDArray[np.float64], names: Sequence[str] | None = None) -> Columns:
    """Find the columns of (N, C) float64, C >= 3, by their names, or else by their number and values.

    Args:
        table: The numbers.
        names: Name of each column, each a key of `NAMES`; x, y and z are among them. None: the first three are x y z.
    """
    if names is not None:
        return _named(table, [NAMES[name.lower()] for name in names])
    points, rest = np.ascontiguousarray(table[:, :3]), table[:, 3:]
    if rest.shape[1] == 0:
        return Columns(points, None, ())
    if rest.shape[1] == 4 and (colours := as_colours(rest[:, 1:])) is not None:
        return Columns(points, colours, ())  # x y z intensity r g b: the intensity is that of the colour
    kinds = [_kind(rest[:, at : at + 3]) for at in range(0, rest.shape[1], 3)]
    if rest.shape[1] % 3 == 0 and None not in kinds and kinds.count("colours") <= 1 and kinds.count("normals") <= 1:
        at = 3 * kinds.index("colours") if "colours" in kinds else -1
        return Columns(points, as_colours(rest[:, at : at + 3]) if at >= 0 else None, ())
    what = "number 4" if rest.shape[1] == 1 else f"numbers 4 to {table.shape[1]}"
    return Columns(points, None, (f"{what} of each point may be looks and are left out: no line names the columns",))


def as_colours(rows: NDArray[np.floating]) -> NDArray[np.float32] | None:
    """(N, 3) float32 in [0, 255] of numbers in [0, 1] or, if one is above 1, in [0, 255]; None if they are neither."""
    known = rows[np.isfinite(rows)]
    if not len(known) or known.min() < 0 or known.max() > 255:
        return None
    return np.asarray(rows * (1.0 if known.max() > 1 else 255.0), np.float32)


def _named(table: NDArray[np.float64], kinds: Sequence[str | None]) -> Columns:
    points = np.stack([table[:, kinds.index(axis)] for axis in "xyz"], axis=1)
    notes, colours = [], None
    if {"red", "green", "blue"} <= set(kinds):
        colours = as_colours(table[:, [kinds.index(name) for name in ("red", "green", "blue")]])
        if colours is None:
            notes.append("its colours are not within 0 to 1 or 0 to 255 and are left out")
    elif "grey" in kinds:
        notes.append("the intensity of its points is left out")
    return Columns(points, colours, tuple(notes))


def _kind(rows: NDArray[np.float64]) -> str | None:
    """ "normals", "colours", or None if the numbers may be either or are neither."""
    if rows.shape[1] != 3:
        return None
    length = np.sqrt(np.einsum("ni,ni->n", rows, rows))
    unit = bool((np.abs(length - 1) < _UNIT).mean() >= _MOST)
    colours = as_colours(rows) is not None
    if unit:
        if not colours or bool(((rows > 0) & (rows < 1)).any()):
            return "normals"
        return None  # 1 0 0 is red, or a normal along an axis
    if not colours:
        return None
    return "colours" if bool((rows > 0).any()) else None
