"""Points in MATLAB files: (N, 3), (3, N), (H, W, 3), or x, y and z of one shape, alone or in structs.

Arrays are told by their shape, and x, y, z, colours, normals and masks by their name. If several may be the points, the
file is refused: which are the scan is not guessed.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer3d.errors import FormatError
from fer3d.formats.mat_file import Content, read_arrays
from fer3d.formats.point_arrays import Points, points_of, scan_of
from fer3d.formats.point_cloud import LEAST_POINTS
from fer3d.formats.point_columns import as_colours
from fer3d.scan import Scan

_COLOURS = ("rgb", "color", "colors", "colour", "colours")
_NORMALS = ("n", "normal", "normals")
_MASKS = ("flag", "flags", "mask", "valid")


def read(path: str | os.PathLike[str], *, texture: bool = True) -> Scan:
    """Read the points of a file and mesh them, see `fer3d.formats.point_cloud`.

    Raises:
        FileError: if the file cannot be opened.
        FormatError: if it is damaged, holds no points or several that may be the scan, or these cannot be meshed.
    """
    path = Path(path)
    content = read_arrays(path)
    candidates, extra = _candidates(content)
    if len(candidates) != 1:
        raise FormatError(f"{path}: {_refusal(content, candidates)}")
    name, points = next(iter(candidates.items()))
    folder = name.rpartition(".")[0]
    points, masked = _masked(points, folder, content)
    colours, notes = _colours(points, folder, extra, content)
    record = {"variable": name, **masked}
    return scan_of(path, "mat", points, colours, texture=texture, record=record, warnings=notes)


def _candidates(content: Content) -> tuple[dict[str, Points], dict[str, Points]]:
    """The arrays that may be the points, and those that their names tell to be colours."""
    found: dict[str, Points] = {}
    colours: dict[str, Points] = {}
    for name, array in content.arrays.items():
        last = name.rpartition(".")[2].lower()
        points = points_of(array)
        if points is not None and last not in _NORMALS:
            (colours if last in _COLOURS else found)[name] = points
    for name in content.arrays:
        folder, _, last = name.rpartition(".")
        if last not in ("x", "X"):
            continue
        axes = [
            content.arrays.get(f"{folder}.{axis}" if folder else axis) for axis in ("xyz" if last == "x" else "XYZ")
        ]
        joined = _joined(axes)
        if joined is not None:
            for axis in "xyzXYZ":
                found.pop(f"{folder}.{axis}" if folder else axis, None)
            found[f"{folder}.{last}" if folder else last] = joined
    return found, colours


def _joined(axes: list[NDArray[Any] | None]) -> Points | None:
    """Points of three arrays x, y and z of one shape: a range image, or a list if they are one row or column."""
    x, y, z = axes
    if x is None or y is None or z is None or not x.shape == y.shape == z.shape or x.ndim != 2:
        return None
    if x.size < LEAST_POINTS:
        return None
    table = np.stack([np.asarray(axis, np.float64).ravel() for axis in (x, y, z)], axis=1)
    return Points(table, None if 1 in x.shape else (x.shape[0], x.shape[1]))


def _masked(points: Points, folder: str, content: Content) -> tuple[Points, dict[str, Any]]:
    """Points without those that a mask of their shape leaves out, and the name of the mask for the history."""
    for name, array in content.arrays.items():
        inside, _, last = name.rpartition(".")
        if inside != folder or last.lower() not in _MASKS or array.size != len(points.table):
            continue
        if points.grid is not None and array.shape != points.grid:
            continue
        if np.isin(array, (0, 1)).all():
            return points._replace(table=np.where(array.reshape(-1, 1) == 1, points.table, np.nan)), {"mask": name}
    return points, {}


def _colours(
    points: Points, folder: str, extra: dict[str, Points], content: Content
) -> tuple[NDArray[np.float32] | None, list[str]]:
    """Colours (N, 3) of the points, if there are any, and warnings of those that are none of theirs."""
    found, notes = None, []
    for name, rows in extra.items():
        fits = name.rpartition(".")[0] == folder and rows.table.shape == (len(points.table), 3)
        colours = _scaled(rows.table, content.arrays[name].dtype) if fits and found is None else None
        found = colours if found is None else found
        if colours is None:
            notes.append(f"its array {_plain(name)} is left out: it should hold a colour of each point")
    return found, notes


def _scaled(rows: NDArray[np.float64], dtype: np.dtype[Any]) -> NDArray[np.float32] | None:
    """Colours in [0, 255]: whole numbers of uint8 and uint16 span their type, others are as `as_colours` finds."""
    return as_colours(rows) if dtype.kind != "u" else np.asarray(rows * (255.0 / np.iinfo(dtype).max), np.float32)


def _refusal(content: Content, candidates: dict[str, Points]) -> str:
    if candidates:
        named = ", ".join(map(_plain, list(candidates)[:6]))
        return f"one array of points was wanted, {named} may be the points: save the points alone"
    held = [f"{name} {'x'.join(map(str, array.shape))}" for name, array in content.arrays.items()]
    held += [f"{name} ({what})" for name, what in content.others.items()]
    text = ", ".join(map(_plain, held[:6])) or "nothing"
    return f"an array of points, N x 3 or H x W x 3, was wanted, it holds {text}"


def _plain(name: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in name[:60])
