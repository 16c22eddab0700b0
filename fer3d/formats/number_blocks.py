"""Parse blocks of numbers in text files with `csrc/numbers`. Errors name the file and the line.

Separators are spaces, tabs, line ends and commas in any mix; `#` opens a comment that reaches to the end of the line.
The full contract is in `csrc/numbers/numbers.h`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fer3d import _native
from fer3d.checks import check_dtype, check_index, check_shape
from fer3d.errors import ArgumentError, FormatError
from fer3d.files import line_of


class Polygons(NamedTuple):
    """A VRML polygon list, cut into triangles.

    Attributes:
        faces: (F, 3) int32. Each polygon is a fan from its first corner.
        polygon: (F,) int32. The index of the polygon of each triangle.
        largest: The largest index, -1 for an empty list.
        stop: Byte offset of the closing `]`.
    """

    faces: NDArray[np.int32]
    polygon: NDArray[np.int32]
    largest: int
    stop: int


class Lines(NamedTuple):
    """Numbers of a text, line by line. L lines have numbers; the others are left out.

    Attributes:
        values: (N,) float64. All numbers in the order of the text.
        counts: (L,) int32. How many of them each line has, at least 1.
        offsets: (L,) int64. Byte offset of the first number of each line.
        stop: Byte offset after the last line and its end.
    """

    values: NDArray[np.float64]
    counts: NDArray[np.int32]
    offsets: NDArray[np.int64]
    stop: int


def floats(
    text: bytes, begin: int, path: str | os.PathLike[str], *, bracket: bool = False, wanted: int | None = None
) -> tuple[NDArray[np.float32], int]:
    """Parse numbers as float32. Returns them and the byte offset of the end of the block.

    Args:
        text: The whole file.
        begin: Byte offset of the first byte to read.
        path: The file, for error messages.
        bracket: Whether the block must end with `]`.
        wanted: The block ends after this many numbers. It may hold fewer; the caller checks that.

    Raises:
        FormatError: if a token is not a number, or `]` is missing.
    """
    return _parse(_native.float_block, text, begin, path, bracket, wanted)


def doubles(
    text: bytes, begin: int, path: str | os.PathLike[str], *, bracket: bool = False, wanted: int | None = None
) -> tuple[NDArray[np.float64], int]:
    """Parse numbers as `floats` does, as float64."""
    return _parse(_native.double_block, text, begin, path, bracket, wanted)


def integers(
    text: bytes, begin: int, path: str | os.PathLike[str], *, bracket: bool = False, wanted: int | None = None
) -> tuple[NDArray[np.int32], int]:
    """Parse numbers as `floats` does, as int32. A number with a fraction or outside int32 raises."""
    return _parse(_native.integer_block, text, begin, path, bracket, wanted)


def lines(
    text: bytes,
    begin: int,
    path: str | os.PathLike[str],
    *,
    wanted: int | None = None,
    comment: bytes | None = b"#",
    separators: bytes = b"",
) -> Lines:
    """Parse numbers as float64, line by line. Lines end with LF, CR LF or CR.

    Args:
        text: The whole file.
        begin: Byte offset of the first byte to read.
        path: The file, for error messages.
        wanted: The block ends after this many lines with numbers. It may hold fewer; the caller checks that.
        comment: The character that opens a comment up to the end of its line; None: there is none.
        separators: Characters that stand between numbers as blanks and tabs do, such as b",". Several in a row count
            as one.

    Raises:
        FormatError: if something is not a number.
    """
    _check_begin(text, begin)
    try:
        return Lines(
            *_native.number_lines(
                text, begin, -1 if wanted is None else wanted, -1 if comment is None else ord(comment), separators
            )
        )
    except _native.BlockError as error:
        raise _located(error, text, path) from None


def polygons(text: bytes, begin: int, path: str | os.PathLike[str]) -> Polygons:
    """Parse a list of polygons, each ended by -1, up to its `]`.

    Raises:
        FormatError: if a token is not an integer, a polygon has fewer than three corners, an index is below -1, or
            `]` is missing. Indices have no upper bound.
    """
    _check_begin(text, begin)
    try:
        return Polygons(*_native.polygon_block(text, begin))
    except _native.BlockError as error:
        raise _located(error, text, path) from None


def split_vertices(
    faces: NDArray[np.int32], uv_faces: NDArray[np.int32], vertices: int
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
    """Make one vertex for each distinct (vertex, uv) pair among the corners of a mesh with separate uv indices.

    Args:
        faces: (F, 3) int32. Vertex indices, below `vertices`.
        uv_faces: (F, 3) int32. Index of the texture coordinates of each corner.
        vertices: The number of vertices, V.

    Returns:
        Three arrays: the faces (F, 3) int32 with new indices; the old index of each new vertex (N,) int32, of which
        the first V are 0 ... V-1, so that old indices stay valid; its uv index (N,) int32, -1 where no face uses it.

    Raises:
        ArgumentError: if a shape or dtype is wrong, or `faces` is out of range.
    """
    for name, array in (("faces", faces), ("uv_faces", uv_faces)):
        check_dtype(name, array, np.int32)
        check_shape(name, array, (len(faces), 3))
    check_index("faces", faces, vertices)
    check_index("uv_faces", uv_faces, np.iinfo(np.int32).max)
    return _native.split_vertices(np.ascontiguousarray(faces), np.ascontiguousarray(uv_faces), vertices)


def _parse(
    block: Callable[[bytes, int, bool, int], tuple[NDArray[Any], int]],
    text: bytes,
    begin: int,
    path: str | os.PathLike[str],
    bracket: bool,
    wanted: int | None,
) -> tuple[NDArray[Any], int]:
    _check_begin(text, begin)
    try:
        return block(text, begin, bracket, -1 if wanted is None else wanted)
    except _native.BlockError as error:
        raise _located(error, text, path) from None


def _check_begin(text: bytes, begin: int) -> None:
    if not 0 <= begin <= len(text):
        raise ArgumentError(f"`begin` should lie in [0, {len(text)}], is {begin}")


def _located(error: _native.BlockError, text: bytes, path: str | os.PathLike[str]) -> FormatError:
    message, offset = error.args
    return FormatError(f"{os.fspath(path)}: line {line_of(text, offset)} (byte {offset}): {message}")
