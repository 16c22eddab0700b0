"""Lists of points as text: .xyz and .asc, and .pts of laser scanners.

A line a point: x y z, or x y z and colours, normals or an intensity, separated by blanks, tabs, commas or semicolons.
The first line may name the columns or count the points. Comments begin with `#`, `//` or `%`.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fer3d.errors import FormatError
from fer3d.files import read_bytes
from fer3d.formats import number_blocks, point_columns
from fer3d.formats.parts import MOST_VERTICES
from fer3d.formats.point_cloud import scan_of_points
from fer3d.scan import Scan

# `1.#INF` and the like, as older C runtimes of Windows print them, are numbers.
_COMMENT = re.compile(rb"(?:(?<!1\.)#|#(?!INF|IND|[QS]NAN)|//|%)[^\n]*")
_LINE = re.compile(rb"\S[^\n]*")
_BETWEEN = re.compile(rb"[^\s,;][ \t;]+[^\s,;]")  # a separator without a comma
_SPACES = bytes.maketrans(b";\r\v\f", b"    ")
_ATOM = re.compile(rb"\s*\d+[^\S\n]*\n[^\n]*\n\s*[A-Z][a-z]?\s+[-+.\d]")
_MOST_COLUMNS, _LONGEST_HEAD = 64, 4096
# What other formats with these suffixes begin with.
_OTHERS = (
    (re.compile(rb"\s*version:\s*\d", re.I), "a list of landmarks of a picture"),
    (re.compile(rb"\s*ncols\s", re.I), "a map of heights (ESRI grid)"),
    (re.compile(rb"-----BEGIN "), "a signature or key"),
    (_ATOM, "a list of atoms"),
)


def read(path: str | os.PathLike[str], *, texture: bool = True) -> Scan:
    """Read a list of points and mesh it, see `fer3d.formats.point_cloud`.

    Raises:
        FileError: if the file cannot be opened.
        FormatError: if it is no list of points, or the points cannot be meshed.
    """
    path = Path(path)
    text = read_bytes(path)
    if text.startswith(b"\xef\xbb\xbf"):  # the mark of UTF-8
        text = b"   " + text[3:]
    for start, what in _OTHERS:
        if start.match(text[:4096]):
            raise FormatError(f"{path}: three numbers a line were wanted, it is {what}")
    if b"\0" in text:
        raise FormatError(f"{path}: text was wanted, byte {text.index(0)} is 0")
    names = None
    if b"#" in text or b"/" in text or b"%" in text:
        first = _COMMENT.search(text)
        if first is not None and not text[: first.start()].strip():  # CloudCompare: "//X Y Z R G B"
            names = _names(first[0].lstrip(b"#/% "))
        text = _COMMENT.sub(lambda found: b" " * len(found[0]), text)
    if b"\n" not in text:
        text = text.replace(b"\r", b"\n")
    begin, names, count = _head(text, path, names)
    table = _table(text, begin, path)
    if count is not None and count != len(table):
        raise FormatError(f"{path}: its first line says {count} points, it has {len(table)}")
    if names is not None and len(names) != table.shape[1]:
        raise FormatError(f"{path}: its head names {len(names)} columns, its lines have {table.shape[1]} numbers")
    columns = point_columns.of_table(table, names)
    kind = path.suffix[1:].lower()
    return scan_of_points(path, kind, columns.points, columns.colours, texture=texture, warnings=columns.warnings)


def _names(line: bytes) -> list[str] | None:
    """The names of the columns; None if the line is something else."""
    words = re.split(r"[\s,;]+", line.decode("latin-1").strip().replace('"', "").lower())
    if len(words) > _MOST_COLUMNS or any(word not in point_columns.NAMES for word in words):
        return None
    return words if all(words.count(axis) == 1 for axis in "xyz") else None


def _head(text: bytes, path: Path, names: list[str] | None) -> tuple[int, list[str] | None, int | None]:
    """Where the points begin, the names of the columns and the number of points, as far as they are there."""
    line = _LINE.search(text)
    if line is None:
        raise FormatError(f"{path}: three numbers a line were wanted, it has none")
    first = line[0][:_LONGEST_HEAD]
    words = first.split()
    if len(words) == 1 and re.fullmatch(rb"\d{1,12}", words[0]):
        return line.end(), names, int(words[0])
    if re.search(rb"[A-DF-Za-df-z_]", re.sub(rb"(?i)nan|inf(inity)?|1\.#\w+", b"", first)):
        found = _names(first)
        if found is None:
            start = first.strip()[:40].decode("latin-1")
            number = text.count(b"\n", 0, line.start()) + 1
            raise FormatError(
                f"{path}: line {number}: numbers or the names of the columns (x y z, red green blue, nx ny nz, "
                f"intensity) were wanted, got {start!r}"
            )
        return line.end(), found, None
    return line.start(), names, None


def _table(text: bytes, begin: int, path: Path) -> NDArray[np.float64]:
    """The numbers of all lines, (N, C)."""
    if text.find(b",", begin) >= 0 and (mixed := _BETWEEN.search(text, begin)) is not None:
        line = text.count(b"\n", 0, mixed.start()) + 1
        raise FormatError(
            f"{path}: line {line}: commas and blanks both separate numbers, so that a comma may be a decimal point: "
            f"write decimal points"
        )
    text = text.translate(_SPACES)
    width = _width(text, begin, path)
    return number_blocks.doubles(text, begin, path)[0].reshape(-1, width)


def _width(text: bytes, begin: int, path: Path) -> int:
    """How many numbers each line has; FormatError if lines differ."""
    raw = np.frombuffer(text, np.uint8)[begin:]
    blank = (raw <= 32) | (raw == ord(","))
    starts = np.flatnonzero(~blank & np.concatenate([[True], blank[:-1]]))
    ends = np.flatnonzero(raw == ord("\n"))
    counts = np.diff(np.searchsorted(starts, np.concatenate([[0], ends, [len(raw)]])))
    lines = np.flatnonzero(counts)
    if not len(lines):
        raise FormatError(f"{path}: three numbers a line were wanted, it has none")
    if len(lines) > MOST_VERTICES:
        raise FormatError(f"{path}: a scan has at most {MOST_VERTICES} points, it has {len(lines)}")
    width = int(counts[lines[0]])
    odd = lines[counts[lines] != width]
    first = text.count(b"\n", 0, begin) + 1
    if len(odd):
        raise FormatError(f"{path}: line {first + odd[0]}: {width} numbers were wanted, got {counts[odd[0]]}")
    if not 3 <= width <= _MOST_COLUMNS:
        raise FormatError(f"{path}: line {first + lines[0]}: x y z were wanted, got {width} numbers")
    return width
