"""Landmarks of MeshLab's tool PickPoints: .pp, an XML file of `<point x= y= z= active= name=/>`.

A point with `active="0"` has not been picked: it is missing. MeshLab writes a document type without content before the
points; one with content (entities) is refused, and nothing outside the file is ever loaded.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from xml.parsers import expat
from xml.sax.saxutils import quoteattr

import numpy as np
from numpy.typing import NDArray

from fer3d.errors import Fer3dError
from fer3d.files import brief, write_bytes
from fer3d.formats.point_list import PointList, check_names, read_content


def read(path: str | os.PathLike[str]) -> dict[str, NDArray[np.float64]]:
    """Read a .pp file: name -> (3,) float64. A point without a name is called by its number, from 0, as in MeshLab.

    Raises:
        FileError: if the file cannot be opened.
        FormatError: if it is not XML of PickedPoints, defines entities, has no point or a malformed one, or a name
            occurs twice.
    """
    return _Reader(path).read()


def write(points: Mapping[str, NDArray[np.float64]], path: str | os.PathLike[str]) -> None:
    """Write a .pp file; a missing point (NaN) is not active. Numbers read back exactly.

    Args:
        points: Name -> (3,) float64.
        path: The file.

    Raises:
        ArgumentError: if a name is blank or has several lines.
        FileError: if the file cannot be written.
    """
    check_names(dict(points))
    lines = ["<!DOCTYPE PickedPoints>", "<PickedPoints>"]
    for name, point in points.items():
        active = bool(np.isfinite(point).all())
        x, y, z = point.tolist() if active else (0, 0, 0)
        label = quoteattr(name)
        lines.append(f' <point x="{x!r}" y="{y!r}" z="{z!r}" active="{int(active)}" name={label}/>')
    write_bytes(path, "\n".join([*lines, "</PickedPoints>", ""]).encode())


class _Reader:
    """Reads one file by the events of the parser."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._list, self._depth, self._count = PointList(path), 0, 0
        self._content = read_content(path)
        self._parser = expat.ParserCreate()
        self._parser.StartDoctypeDeclHandler = self._doctype
        self._parser.EntityDeclHandler = self._entity
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end

    def read(self) -> dict[str, NDArray[np.float64]]:
        try:
            self._parser.Parse(self._content, True)
        except Fer3dError:
            raise
        except (expat.ExpatError, ValueError, LookupError) as error:  # the latter two: encodings
            raise self._list.fault("", f"is not XML ({error})") from None
        return self._list.found()

    def _place(self) -> str:
        return f"line {self._parser.CurrentLineNumber}"

    def _doctype(self, name: str, system: str | None, public: str | None, content: int) -> None:
        if system or public or content:
            raise self._list.fault(self._place(), "a document type without content was wanted, it declares more")

    def _entity(self, *_: object) -> None:
        raise self._list.fault(self._place(), "no entities were wanted, it defines some")

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        if self._depth == 0 and tag != "PickedPoints":
            raise self._list.fault(self._place(), f"PickedPoints was wanted, it is {brief(tag)}")
        if self._depth == 1 and tag == "point":
            self._point(attributes)
        self._depth += 1

    def _end(self, _: str) -> None:
        self._depth -= 1

    def _point(self, attributes: dict[str, str]) -> None:
        place = self._place()
        active = attributes.get("active", "1").strip()
        if active not in ("0", "1"):
            raise self._list.fault(place, f"`active` should be 0 or 1, is {brief(active)}")
        missing = [axis for axis in "xyz" if axis not in attributes]
        if missing and active == "1":
            raise self._list.fault(place, f"a point with x, y and z was wanted, it lacks {', '.join(missing)}")
        words = [attributes.get(axis, "") for axis in "xyz"]
        name = attributes.get("name", "").strip() or str(self._count)
        self._list.add(place, name, self._list.point(place, words) if active == "1" else None)
        self._count += 1
