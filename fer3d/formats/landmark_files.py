"""Landmark files of the data sets: .bnd and .pse of BU-3DFE and BU-4DFE, .lm2 and .lm3 of Bosphorus."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fer3d.checks import check_dtype, check_shape
from fer3d.errors import ArgumentError, FormatError
from fer3d.files import write_bytes
from fer3d.formats.point_list import read_content

BND_LANDMARKS = 83

# BU numbers of the landmarks of a .pse file, in the order of its lines. 84 is the nose tip, 85 the subnasal point.
PSE_NUMBERS = (1, 5, 9, 13, 40, 45, 84, 85)

_BOM = "\xef\xbb\xbf"  # what some editors put before a UTF-8 text


class Bnd(NamedTuple):
    """The content of a .bnd file. Line i is landmark i of the BU scheme, counted from 1.

    Attributes:
        vertex: (83,) int32. Row, from 0, of the landmark in the point list of the _F3D.wrl beside it.
        points: (83, 3) float64. Coordinates in the frame of that file.
    """

    vertex: NDArray[np.int32]
    points: NDArray[np.float64]


class Pse(NamedTuple):
    """The content of a .pse file, in the frame of the _RAW.wrl beside it.

    Attributes:
        points: (8, 3) float64. Landmarks of the BU numbers `PSE_NUMBERS`.
        normal: (3,) float64. Direction that the face looks in; None if the file has none.
    """

    points: NDArray[np.float64]
    normal: NDArray[np.float64] | None


def read_bnd(path: str | os.PathLike[str]) -> Bnd:
    """Read a .bnd file: 83 lines `vertex x y z`, separated by any spaces and tabs; blank lines are skipped.

    Raises:
        FileError: if the file cannot be opened.
        FormatError: if it does not have 83 landmarks, or a line is not four numbers.
    """
    rows = [(number, line.split()) for number, line in _lines(path) if line]
    if len(rows) != BND_LANDMARKS:
        raise FormatError(f"{os.fspath(path)}: {BND_LANDMARKS} landmarks were wanted, it has {len(rows)}")
    vertex = [_vertex(path, number, words) for number, words in rows]
    points = [_numbers(path, number, words, 4)[1:] for number, words in rows]
    return Bnd(np.array(vertex, np.int32), np.array(points, np.float64))


def write_bnd(bnd: Bnd, path: str | os.PathLike[str]) -> None:
    """Write a .bnd file with tabs and a final blank line, as in the data set. Numbers read back exactly.

    Raises:
        ArgumentError: if `bnd` does not hold 83 landmarks of int32 and float64.
        FileError: if the file cannot be written.
    """
    check_dtype("bnd.vertex", bnd.vertex, np.int32)
    check_shape("bnd.vertex", bnd.vertex, (BND_LANDMARKS,))
    _check_points("bnd.points", bnd.points, BND_LANDMARKS)
    lines = [f"{v}\t\t{x!r} {y!r} {z!r}\n" for v, (x, y, z) in zip(bnd.vertex, bnd.points.tolist(), strict=True)]
    write_bytes(path, ("".join(lines) + "\n").encode())


def read_pse(path: str | os.PathLike[str]) -> Pse:
    """Read a .pse file: 8 lines `number x y z`, and one with `n` and the pose normal.

    The numbers are `PSE_NUMBERS`, in any order, or count the lines from 0 or 1, in the order of `PSE_NUMBERS`.
    Some files of the data set have another number of lines, so that their landmarks cannot be identified; they raise.

    Raises:
        FileError: if the file cannot be opened.
        FormatError: if it does not have 8 landmarks, their numbers are others, or a line is malformed.
    """
    rows = [(number, line.split()) for number, line in _lines(path) if line]
    landmarks = [(number, words) for number, words in rows if not words[0].lower().startswith("n")]
    normals = [(number, words) for number, words in rows if words[0].lower().startswith("n")]
    wanted = len(PSE_NUMBERS)
    if len(landmarks) != wanted or len(normals) > 1:
        got = f"{len(landmarks)} and {len(normals)} pose normals"
        raise FormatError(f"{os.fspath(path)}: {wanted} landmarks and one pose normal were wanted, it has {got}")
    rows4 = [_numbers(path, number, words, 4) for number, words in landmarks]
    points = [row[1:] for row in _pse_order(path, rows4)]
    # The label may be a word of its own or adjoin the first number; the normal is the last three words.
    normal = [_numbers(path, number, words[-3:], 3) for number, words in normals]
    return Pse(np.array(points, np.float64), np.array(normal[0], np.float64) if normal else None)


def write_pse(pse: Pse, path: str | os.PathLike[str]) -> None:
    """Write a .pse file; numbers read back exactly.

    Raises:
        ArgumentError: if `pse` does not hold 8 points of float64, or its normal is not 3 numbers.
        FileError: if the file cannot be written.
    """
    _check_points("pse.points", pse.points, len(PSE_NUMBERS))
    lines = [f"{n} {x!r} {y!r} {z!r}\n" for n, (x, y, z) in zip(PSE_NUMBERS, pse.points.tolist(), strict=True)]
    if pse.normal is not None:
        check_dtype("pse.normal", pse.normal, np.float64)
        check_shape("pse.normal", pse.normal, (3,))
        lines.append("n {!r} {!r} {!r}\n".format(*pse.normal.tolist()))
    write_bytes(path, "".join(lines).encode())


def read_lm3(path: str | os.PathLike[str]) -> dict[str, NDArray[np.float64]]:
    """Read a Bosphorus .lm3 file: name -> (3,) float64, under the names in the file, which may lack landmarks.

    Raises:
        FileError: if the file cannot be opened.
        FormatError: if the header is missing, the count is wrong, a name occurs twice, or a number cannot be parsed.
    """
    lines = [row for row in _lines(path) if row[1]]
    count = _bosphorus_count(path, lines, "3D")
    body = lines[2:]
    if len(body) != 2 * count:
        raise FormatError(f"{os.fspath(path)}: {count} landmarks are {2 * count} lines, it has {len(body)}")
    return _by_name(path, body[0::2], body[1::2], 3)


def write_lm3(landmarks: Mapping[str, NDArray[np.float64]], path: str | os.PathLike[str]) -> None:
    """Write a .lm3 file with six significant digits. Landmarks of the data set, read by `read_lm3`, keep their bytes.

    Args:
        landmarks: Name -> (3,) float64. The names of the data set are in `fer3d.landmarks.BOSPHORUS`.
        path: The file.

    Raises:
        ArgumentError: if a point has another shape or dtype, or a name is blank or contains a line end.
        FileError: if the file cannot be written.
    """
    _check_named(landmarks, 3)
    lines = ["# 3D Landmark File", "", f"{len(landmarks)} landmarks:"]
    for name, point in landmarks.items():
        lines += [name, _six_digits(point)]
    write_bytes(path, ("\n".join(lines) + "\n").encode("latin-1"))


def read_lm2(path: str | os.PathLike[str]) -> dict[str, NDArray[np.float64]]:
    """Read a Bosphorus .lm2 file: name -> (2,) float64, pixels from the top left corner, x to the right, y down.

    Raises:
        FileError: if the file cannot be opened.
        FormatError: if the header is missing, the count is wrong, a name occurs twice, or a number cannot be parsed.
    """
    lines = [row for row in _lines(path) if row[1]]
    count = _bosphorus_count(path, lines, "2D")
    body = lines[2:]
    if len(body) != 2 * count + 2:
        raise FormatError(
            f"{os.fspath(path)}: {count} landmarks are {2 * count + 2} lines with the two headings, it has {len(body)}"
        )
    for (number, line), wanted in ((body[0], "Labels:"), (body[count + 1], "2D Image coordinates:")):
        if line != wanted:
            raise FormatError(f"{os.fspath(path)}: line {number}: {wanted!r} was wanted, it is {line[:40]!r}")
    return _by_name(path, body[1 : count + 1], body[count + 2 :], 2)


def write_lm2(landmarks: Mapping[str, NDArray[np.float64]], path: str | os.PathLike[str]) -> None:
    """Write a .lm2 file with six significant digits. Landmarks of the data set, read by `read_lm2`, keep their bytes.

    Args:
        landmarks: Name -> (2,) float64, in pixels.
        path: The file.

    Raises:
        ArgumentError: if a point has another shape or dtype, or a name is blank or contains a line end.
        FileError: if the file cannot be written.
    """
    _check_named(landmarks, 2)
    lines = ["# 2D Landmark File", "", f"{len(landmarks)} landmarks", "", "Labels:", *landmarks]
    lines += ["", "2D Image coordinates:", *(_six_digits(point) for point in landmarks.values())]
    write_bytes(path, ("\n".join(lines) + "\n").encode("latin-1"))


def _lines(path: str | os.PathLike[str]) -> list[tuple[int, str]]:
    """Return (number from 1, stripped text) of each line."""
    text = read_content(path).decode("latin-1").removeprefix(_BOM).replace("\r\n", "\n").replace("\r", "\n")
    return [(number, line.strip("\0").strip()) for number, line in enumerate(text.split("\n"), 1)]


def _numbers(path: str | os.PathLike[str], number: int, words: list[str], count: int) -> list[float]:
    try:
        numbers = [float(word) for word in words if "_" not in word]  # Python would parse 1_000 as a number
    except ValueError:
        numbers = []
    if len(words) != count or len(numbers) != count:
        text = " ".join(words)[:60]
        raise FormatError(f"{os.fspath(path)}: line {number}: {count} numbers were wanted, it is {text!r}")
    return numbers


def _pse_order(path: str | os.PathLike[str], rows: list[list[float]]) -> list[list[float]]:
    """Rows of number, x, y, z in the order of `PSE_NUMBERS`."""
    numbers = [row[0] for row in rows]
    if sorted(numbers) == list(PSE_NUMBERS):
        return sorted(rows)
    if numbers not in ([float(i) for i in range(len(rows))], [float(i + 1) for i in range(len(rows))]):
        wanted, got = (" ".join(f"{n:g}" for n in some) for some in (PSE_NUMBERS, numbers))
        raise FormatError(f"{os.fspath(path)}: landmarks with the numbers {wanted} were wanted, they are {got}")
    return rows


def _vertex(path: str | os.PathLike[str], number: int, words: list[str]) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", words[0]):
        raise FormatError(f"{os.fspath(path)}: line {number}: a vertex row was wanted first, it is {words[0][:60]!r}")
    return int(words[0])


def _bosphorus_count(path: str | os.PathLike[str], lines: list[tuple[int, str]], kind: str) -> int:
    """Return the number of landmarks in the header of a .lm2 or .lm3 file."""
    name, title = os.fspath(path), f"# {kind} Landmark File"
    if not lines or lines[0][1] != title:
        got = lines[0][1][:40] if lines else ""
        raise FormatError(f"{name}: the first line should be {title!r}, is {got!r}")
    match = re.fullmatch(r"([0-9]{1,4}) landmarks:?", lines[1][1]) if len(lines) > 1 else None
    if match is None:
        got = lines[1][1][:40] if len(lines) > 1 else ""
        raise FormatError(f"{name}: 'N landmarks' was wanted after the title, it is {got!r}")
    return int(match[1])


def _by_name(
    path: str | os.PathLike[str], names: list[tuple[int, str]], rows: list[tuple[int, str]], width: int
) -> dict[str, NDArray[np.float64]]:
    points: dict[str, NDArray[np.float64]] = {}
    for (number, name), (row_number, row) in zip(names, rows, strict=True):
        if not name.isprintable():
            raise FormatError(f"{os.fspath(path)}: line {number}: a name was wanted, it is {name[:60]!r}")
        if name in points:
            raise FormatError(f"{os.fspath(path)}: line {number}: landmark {name[:60]!r} comes twice")
        points[name] = np.array(_numbers(path, row_number, row.split(), width), dtype=np.float64)
    return points


def _check_points(name: str, points: NDArray[np.float64], count: int) -> None:
    check_dtype(name, points, np.float64)
    check_shape(name, points, (count, 3))


def _check_named(landmarks: Mapping[str, NDArray[np.float64]], width: int) -> None:
    for name, point in landmarks.items():
        check_dtype(f"landmarks[{name!r}]", point, np.float64)
        check_shape(f"landmarks[{name!r}]", point, (width,))
        plain = name == name.strip() and name.isprintable() and all(ord(letter) < 256 for letter in name)
        if not name or not plain:
            raise ArgumentError(f"`landmarks` should have names of one line of Latin-1, has {name!r}")


def _six_digits(point: NDArray[np.float64]) -> str:
    return " ".join(f"{value:.6g}" for value in point.tolist())
