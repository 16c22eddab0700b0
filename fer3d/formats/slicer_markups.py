"""Landmarks of 3D Slicer: .fcsv (Markups fiducial file) and .mrk.json (markups).

Convention: Slicer takes the numbers of a mesh file for LPS (+x to the left, +y to the back), and so do we: LPS
coordinates are those of the scan's file, RAS coordinates have the other sign in x and y. A file says which it has
(`CoordinateSystem = LPS`, `RAS`, or the old numbers 0 for RAS and 1 for LPS). We write LPS.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import TypedDict

from fer3d.files import brief, checked, write_bytes
from fer3d.formats.point_list import PointList, check_names, read_text

_COLUMNS = ("id", "x", "y", "z", "ow", "ox", "oy", "oz", "vis", "sel", "lock", "label", "desc", "associatedNodeID")
_HEADER = re.compile(r"#\s*(CoordinateSystem|columns)\s*=\s*(.*?)\s*", re.IGNORECASE)
_SIGNS = {"LPS": (1.0, 1.0, 1.0), "1": (1.0, 1.0, 1.0), "RAS": (-1.0, -1.0, 1.0), "0": (-1.0, -1.0, 1.0)}
_DEFINED = ("2", "1", "")  # status of a position in a .fcsv: placed, being placed, not told; others are missing
_SCHEMA = (
    "https://raw.githubusercontent.com/slicer/slicer/master/Modules/Loadable/Markups/Resources/Schema/"
    "markups-schema-v1.0.3.json#"
)


class _ControlPoint(TypedDict, total=False):
    id: str
    label: str
    position: Any
    positionStatus: str


class _Markup(TypedDict, total=False):
    coordinateSystem: str
    coordinateUnits: Any
    controlPoints: list[_ControlPoint]


class _Markups(TypedDict):
    markups: list[_Markup]


def read_fcsv(path: str | os.PathLike[str]) -> dict[str, NDArray[np.float64]]:
    """Read a .fcsv file: label -> (3,) float64 in the frame of the scan's file; NaN for a point that is not placed.

    A point without a label is called by its id.

    Raises:
        FileError: if the file cannot be opened.
        FormatError: if it does not state LPS or RAS, a line is malformed, a label occurs twice, or there is no point.
    """
    found, text = PointList(path), read_text(path)
    header = {match[1].lower(): match[2] for line in text.split("\n") if (match := _HEADER.fullmatch(line.strip()))}
    signs = _signs(found, header.get("coordinatesystem"))
    columns = [word.strip() for word in header["columns"].split(",")] if "columns" in header else list(_COLUMNS)
    missing = [name for name in ("x", "y", "z", "label") if name not in columns]
    if missing:
        raise found.fault("", f"columns x, y, z and label were wanted, it lacks {', '.join(missing)}")
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip() and not line.startswith("#"):
            _add_row(found, f"line {number}", line, columns, signs)
    return found.found()


def write_fcsv(
    points: Mapping[str, NDArray[np.float64]], path: str | os.PathLike[str], notes: Mapping[str, str] | None = None
) -> None:
    """Write a .fcsv file in LPS; numbers read back exactly. Missing points (NaN) are left out.

    Older versions of Slicer, and other readers of these files, know no missing points.

    Args:
        points: Name -> (3,) float64, in the frame of the scan's file.
        path: The file.
        notes: Name -> text for the column `desc`.

    Raises:
        ArgumentError: if a name is blank or has several lines.
        FileError: if the file cannot be written.
    """
    check_names(dict(points))
    text = io.StringIO()
    text.write("# Markups fiducial file version = 5.0\n# CoordinateSystem = LPS\n")
    text.write(f"# columns = {','.join(_COLUMNS)}\n")
    writer = csv.writer(text, lineterminator="\n")
    present = {name: point for name, point in points.items() if np.isfinite(point).all()}
    for number, (name, point) in enumerate(present.items(), 1):
        note = (notes or {}).get(name, "")
        writer.writerow([number, *map(repr, point.tolist()), 0, 0, 0, 1, 1, 1, 0, name, note, "", 2, 0])
    write_bytes(path, text.getvalue().encode())


def read_markups(content: Any, path: str | os.PathLike[str]) -> dict[str, NDArray[np.float64]]:
    """Take the points out of the parsed JSON of a .mrk.json file; see `read_fcsv`.

    Raises:
        FormatError: if it is no such content, or see `read_fcsv`.
    """
    found = PointList(path)
    checked(content, _Markups, found.path)
    for i, markup in enumerate(content["markups"]):
        place = f"markups.{i}"
        signs = _signs(found, markup.get("coordinateSystem", "LPS"))
        unit = markup.get("coordinateUnits", "mm")
        if (unit[0] if isinstance(unit, list) and unit else unit) != "mm":
            raise found.fault(place, f"coordinates in mm were wanted, they are in {brief(unit)}")
        for k, point in enumerate(markup.get("controlPoints", [])):
            _add_control_point(found, f"{place}.controlPoints.{k}", point, signs, str(k + 1))
    return found.found()


def write_markups(
    points: Mapping[str, NDArray[np.float64]], path: str | os.PathLike[str], notes: Mapping[str, str] | None = None
) -> None:
    """Write a .mrk.json file in LPS; numbers read back exactly. A missing point (NaN) has the status "missing".

    Args:
        points: Name -> (3,) float64, in the frame of the scan's file.
        path: The file.
        notes: Name -> text for the description of a point.

    Raises:
        ArgumentError: if a name is blank or has several lines.
        FileError: if the file cannot be written.
    """
    check_names(dict(points))
    control: list[dict[str, Any]] = []
    for number, (name, point) in enumerate(points.items(), 1):
        place = {"position": point.tolist(), "positionStatus": "defined"}
        status = place if np.isfinite(point).all() else {"positionStatus": "missing"}
        control.append({"id": str(number), "label": name, "description": (notes or {}).get(name, ""), **status})
    markup = {"type": "Fiducial", "coordinateSystem": "LPS", "coordinateUnits": "mm", "controlPoints": control}
    text = json.dumps({"@schema": _SCHEMA, "markups": [markup]}, indent=1, ensure_ascii=False)
    write_bytes(path, (text + "\n").encode())


def _signs(found: PointList, system: str | None) -> NDArray[np.float64]:
    """(3,) signs that turn coordinates of a system into those of the scan's file."""
    if system is None or system.upper() not in _SIGNS:
        raise found.fault("", f"`CoordinateSystem` should be LPS, RAS, 0 or 1, is {brief(system)}")
    return np.array(_SIGNS[system.upper()])


def _add_row(found: PointList, place: str, line: str, columns: list[str], signs: NDArray[np.float64]) -> None:
    cells = found.cells(place, line)
    if not len(columns) <= len(cells) <= len(columns) + 2:  # Slicer 5 adds the status of the position and a flag
        raise found.fault(place, f"{len(columns)} cells were wanted, it has {len(cells)}")
    row = dict(zip(columns, cells, strict=False))
    status = cells[len(columns)].strip() if len(cells) > len(columns) else ""
    point = found.point(place, [row[axis] for axis in "xyz"]) if status in _DEFINED else None
    name = row["label"].strip() or row.get("id", "")
    found.add(place, name, None if point is None else point * signs)


def _add_control_point(
    found: PointList, place: str, point: _ControlPoint, signs: NDArray[np.float64], number: str
) -> None:
    name = point.get("label", "").strip() or point.get("id", "") or number
    position = point.get("position")
    if point.get("positionStatus", "defined") not in ("defined", "preview") or position is None:
        found.add(place, name, None)
        return
    found.add(place, name, found.finite(place, position, position) * signs)
