"""Named points of a text file: its text, its numbers and its names, checked the same way in every format."""

from __future__ import annotations

import csv
import math
import os
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer3d.errors import ArgumentError, FormatError
from fer3d.files import brief, read_bytes

MOST_BYTES = 1 << 20  # a landmark file has a few kilobytes
_LONGEST_NAME = 200
_LARGEST = 1e15  # of a coordinate, in any unit
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


class PointList:
    """Collects the points of a file; a fault raises FormatError with the path and the place in the file.

    Attributes:
        points: Name -> (3,) float64; NaN for a point that the file lists as missing.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        self.points: dict[str, NDArray[np.float64]] = {}

    def fault(self, place: str, text: str) -> FormatError:
        """The error about a place such as "line 3", to be raised."""
        return FormatError(f"{self.path}: {place}: {text}" if place else f"{self.path}: {text}")

    def add(self, place: str, name: str, point: NDArray[np.float64] | None) -> None:
        """Add a point, or a missing one (None), under a name that must be new, printable and not blank."""
        name = name.strip()
        if not name or not name.isprintable() or len(name) > _LONGEST_NAME:
            raise self.fault(place, f"a name of one line was wanted, it is {brief(name)}")
        if name in self.points:
            raise self.fault(place, f"landmark {brief(name)} comes twice")
        self.points[name] = np.full(3, np.nan) if point is None else point

    def cells(self, place: str, line: str, delimiter: str = ",") -> list[str]:
        """The cells of a line of CSV."""
        try:
            [cells] = csv.reader([line], delimiter=delimiter, strict=True)
        except (csv.Error, ValueError) as error:
            raise self.fault(place, f"is not a row of CSV ({error})") from None
        return cells

    def point(self, place: str, words: list[str], *, decimal_comma: bool = False) -> NDArray[np.float64] | None:
        """The point of three words; None if all are blank or NaN."""
        words = [word.strip() for word in words]
        if all(word.lower() in ("", "nan") for word in words):
            return None
        if decimal_comma:
            words = [word.replace(",", ".") for word in words]
        values = [float(word) if _NUMBER.fullmatch(word) else math.nan for word in words]
        return self.finite(place, values, " ".join(words))

    def finite(self, place: str, values: Any, text: object) -> NDArray[np.float64]:
        """(3,) float64 of a list of three finite numbers; `text` is what the file holds."""
        numbers = isinstance(values, list) and len(values) == 3 and all(type(v) in (int, float) for v in values)
        if not numbers or not all(abs(value) < _LARGEST for value in values):
            raise self.fault(place, f"3 numbers were wanted, it is {brief(text)}")
        return np.array(values, np.float64)

    def found(self) -> dict[str, NDArray[np.float64]]:
        """The points, of which there must be one at least."""
        if not self.points:
            raise self.fault("", "at least one landmark was wanted, it has none")
        return self.points


def read_content(path: str | os.PathLike[str]) -> bytes:
    """The bytes of a landmark file. Raises FileError if it cannot be read, FormatError if it is empty or huge."""
    content = read_bytes(path)
    if len(content) > MOST_BYTES:
        raise FormatError(f"{os.fspath(path)}: a landmark file has at most {MOST_BYTES} bytes, it has {len(content)}")
    return content


def read_text(path: str | os.PathLike[str]) -> str:
    """The text of a landmark file in UTF-8, or in UTF-16 with a byte order mark; line ends become LF.

    Raises:
        FileError: if the file cannot be read.
        FormatError: if it is empty, huge, or other than such a text.
    """
    content = read_content(path)
    try:
        text = content.decode("utf-16" if content.startswith(_UTF16) else "utf-8-sig")
    except UnicodeError:
        raise FormatError(f"{os.fspath(path)}: is not UTF-8 text") from None
    if "\0" in text:
        raise FormatError(f"{os.fspath(path)}: is not UTF-8 text (it holds NUL)")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def check_names(points: dict[str, NDArray[np.float64]], refused: str = "") -> None:
    """Raise ArgumentError unless names are of one line without spaces at their ends, and do not begin with `refused`.

    Args:
        points: Name -> point.
        refused: Letters that a name must not begin with, because a spreadsheet would take it for a formula.
    """
    for name in points:
        plain = name == name.strip() and name.isprintable() and 0 < len(name) <= _LONGEST_NAME
        if not plain:
            raise ArgumentError(f"`points` should have names of one line, has {brief(name)}")
        if name[0] in refused:
            raise ArgumentError(f"`points` should have names that begin with none of {refused}, has {brief(name)}")
