"""Landmarks in tables of our own: .csv (name, x, y, z, confidence, visible) and .json."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import TypedDict

from fer3d.files import brief, checked, csv_text, write_bytes
from fer3d.formats.point_list import PointList, check_names, read_text

_COLUMNS = ("name", "x", "y", "z", "confidence", "visible")
_DELIMITERS = (",", ";", "\t")
_FORMULA = "=+-@'"  # a spreadsheet takes a cell that begins so for a formula, or hides the apostrophe
_VERSION = 1


class _Landmark(TypedDict, total=False):
    name: str
    point: list[Any] | None


class _Landmarks(TypedDict):
    fer3d_landmarks: int
    landmarks: list[_Landmark]


def read_csv(path: str | os.PathLike[str]) -> dict[str, NDArray[np.float64]]:
    """Read a table: name -> (3,) float64; NaN for a point whose x, y and z are empty.

    The first line names the columns, of which name, x, y and z count. Columns are separated by commas, semicolons or
    tabs; numbers have a point, or, between semicolons and tabs, a comma.

    Raises:
        FileError: if the file cannot be opened.
        FormatError: if a column is missing, a row is malformed, a name occurs twice, or there is no point.
    """
    found, lines = PointList(path), read_text(path).split("\n")
    first = 1 if lines[0].lower().startswith("sep=") else 0  # a hint to spreadsheets
    columns, delimiter = _header(found, lines[first] if len(lines) > first else "")
    for number, line in enumerate(lines[first + 1 :], first + 2):
        if line.strip(f" {delimiter}"):
            _add_row(found, f"line {number}", line, columns, delimiter)
    return found.found()


def write_csv(
    points: Mapping[str, NDArray[np.float64]],
    path: str | os.PathLike[str],
    confidence: Mapping[str, float] | None = None,
    visible: Mapping[str, bool] | None = None,
) -> None:
    """Write a table; numbers read back exactly. The cells of a missing point (NaN) are empty.

    Args:
        points: Name -> (3,) float64.
        path: The file.
        confidence: Name -> number for the column `confidence`. None: the table lacks the column.
        visible: Name -> whether the scan shows the point, 1 or 0 in the column `visible`. None: it lacks the column.

    Raises:
        ArgumentError: if a name is blank, has several lines or would be a formula in a spreadsheet.
        FileError: if the file cannot be written.
    """
    check_names(dict(points), _FORMULA)
    extra = {"confidence": confidence, "visible": visible}
    columns = [name for name in _COLUMNS if extra.get(name, points) is not None]
    rows = []
    for name, point in points.items():
        place = dict(zip("xyz", point.tolist(), strict=True)) if np.isfinite(point).all() else {}
        seen = int(visible[name]) if visible is not None and name in visible else None
        rows.append({"name": name, **place, "confidence": (confidence or {}).get(name), "visible": seen})
    write_bytes(path, csv_text(columns, rows).encode())


def read_json(content: Any, path: str | os.PathLike[str]) -> dict[str, NDArray[np.float64]]:
    """Take the points out of the parsed JSON of a file of `write_json`: name -> (3,) float64, NaN for null.

    Raises:
        FormatError: if it has another content or version, a name occurs twice, or there is no point.
    """
    found = PointList(path)
    checked(content, _Landmarks, found.path)
    if content["fer3d_landmarks"] != _VERSION:
        version = content["fer3d_landmarks"]
        raise found.fault("", f"version {_VERSION} of landmarks was wanted, this is {brief(version)}")
    for k, row in enumerate(content["landmarks"]):
        place, point = f"landmarks.{k}", row.get("point")
        if "point" not in row:
            raise found.fault(place, "`point` is missing; a landmark that was not found has null")
        value = None if point is None else found.finite(place, point, point)
        found.add(place, row.get("name", ""), value)
    return found.found()


def write_json(
    points: Mapping[str, NDArray[np.float64]],
    path: str | os.PathLike[str],
    confidence: Mapping[str, float] | None = None,
    visible: Mapping[str, bool] | None = None,
) -> None:
    """Write JSON; numbers read back exactly. A missing point (NaN) is null.

    Args:
        points: Name -> (3,) float64.
        path: The file.
        confidence: Name -> number.
        visible: Name -> whether the scan shows the point.

    Raises:
        ArgumentError: if a name is blank or has several lines.
        FileError: if the file cannot be written.
    """
    check_names(dict(points))
    rows: list[dict[str, Any]] = []
    for name, point in points.items():
        row: dict[str, Any] = {"name": name, "point": point.tolist() if np.isfinite(point).all() else None}
        row |= {"confidence": confidence[name]} if confidence is not None and name in confidence else {}
        row |= {"visible": visible[name]} if visible is not None and name in visible else {}
        rows.append(row)
    text = json.dumps({"fer3d_landmarks": _VERSION, "landmarks": rows}, indent=1, ensure_ascii=False)
    write_bytes(path, (text + "\n").encode())


def _header(found: PointList, line: str) -> tuple[list[str], str]:
    """Names of the columns in lower case, and what separates them."""
    for delimiter in _DELIMITERS:
        columns = [cell.strip().strip('"').lower() for cell in line.split(delimiter)]
        if {"name", "x", "y", "z"} <= set(columns):
            return columns, delimiter
    raise found.fault("", f"a first line with the columns name, x, y and z was wanted, it is {brief(line)}")


def _add_row(found: PointList, place: str, line: str, columns: list[str], delimiter: str) -> None:
    cells = found.cells(place, line, delimiter)
    if len(cells) != len(columns):
        raise found.fault(place, f"{len(columns)} cells were wanted, it has {len(cells)}")
    row = dict(zip(columns, cells, strict=True))
    point = found.point(place, [row[axis] for axis in "xyz"], decimal_comma=delimiter != ",")
    found.add(place, row["name"], point)
