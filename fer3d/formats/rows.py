"""Read tables of numbers and lists of numbers, as .ply and binary .off files hold them, with `csrc/rows`.

Binary rows that all have the same size are read as one array; others, and text, are walked row by row. The full
contract is in `csrc/rows/rows.h`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fer3d import _native
from fer3d.checks import check_choice, check_shape
from fer3d.errors import ArgumentError, FormatError
from fer3d.files import line_of

TYPES = ("i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8")  # as in `csrc/rows/rows.h`
ENCODINGS = ("text", "little", "big")


class Column(NamedTuple):
    """What each row of a table holds at one place.

    Attributes:
        name: Of its own in the table.
        item: One of `TYPES`.
        length: Type of the length of a list, one of `TYPES`; None for a single number.
    """

    name: str
    item: str
    length: str | None = None


class Lists(NamedTuple):
    """A list for each row.

    Attributes:
        counts: (R,) int64. Length of each list.
        values: (N,) numbers of all lists, row by row, in the type of the file or float64.
    """

    counts: NDArray[np.int64]
    values: NDArray[Any]


class Table(NamedTuple):
    """What `read` gives.

    Attributes:
        numbers: Name of a column -> (R,) numbers, in the type of the file or float64.
        lists: Name of a column -> its lists.
        stop: Byte offset after the table.
    """

    numbers: dict[str, NDArray[Any]]
    lists: dict[str, Lists]
    stop: int


def read(
    content: bytes,
    begin: int,
    rows: int,
    columns: Sequence[Column],
    encoding: str,
    path: Path,
    what: str,
    keep: Sequence[str] | None = None,
) -> Table:
    """Read a table.

    Args:
        content: The whole file.
        begin: Byte offset of the table.
        rows: Number of rows, R.
        columns: What each row holds, in order.
        encoding: "text", or the byte order of packed numbers: "little" or "big".
        path: The file, for messages.
        what: Name of the table, for messages.
        keep: Names of the columns that are wanted; None: all.

    Raises:
        FormatError: if the bytes cannot hold the rows, a list has a negative length, text is not a number, or a row of
            text does not begin at the start of a line.
    """
    check_choice("encoding", encoding, ENCODINGS)
    check_choice("columns", [kind for c in columns for kind in (c.item, c.length) if kind is not None], TYPES)
    if not 0 <= begin <= len(content):
        raise ArgumentError(f"`begin` should lie in [0, {len(content)}], is {begin}")
    kept = [c.name for c in columns] if keep is None else [c.name for c in columns if c.name in keep]
    if not columns or not rows:
        none = np.zeros(0)
        lists = {c.name: Lists(np.zeros(0, np.int64), none) for c in columns if c.length is not None}
        return Table({c.name: none for c in columns if c.length is None}, lists, begin)
    if encoding != "text":
        table = _uniform(content, begin, rows, columns, ">" if encoding == "big" else "<", kept)
        if table is not None:
            return table
    codes = [(_code(c.length), _code(c.item), c.name in kept) for c in columns]
    try:
        values, counts, stop = _native.read_rows(content, begin, rows, codes, ENCODINGS.index(encoding))
    except _native.BlockError as error:
        message, offset = error.args
        where = f"line {line_of(content, offset)} (byte {offset})" if encoding == "text" else f"byte {offset}"
        raise FormatError(f"{path}: {where}: {what}: {message}") from None
    found = {c.name: (c, v, n) for c, v, n in zip(columns, values, counts, strict=True) if c.name in kept}
    return Table(
        {name: v for name, (c, v, _) in found.items() if c.length is None},
        {name: Lists(n, v) for name, (c, v, n) in found.items() if c.length is not None},
        stop,
    )


def same_rows(table: NDArray[Any]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Find rows that are the same.

    Args:
        table: (N, D) float32 or float64. 0 and -0 are different; NaN are the same as far as their bits are.

    Returns:
        The first row of each kind (M,) int32, ascending; and the kind of each row (N,) int32.
    """
    check_shape("table", table, ("N", "D"))
    return _native.same_rows(np.ascontiguousarray(table))


def _code(kind: str | None) -> int:
    return -1 if kind is None else TYPES.index(kind)


def _uniform(
    content: bytes, begin: int, rows: int, columns: Sequence[Column], order: str, kept: Sequence[str]
) -> Table | None:
    """Read binary rows whose lists are as long as those of the first row; None if they are not."""
    fields: list[tuple[Any, ...]] = []
    lengths: dict[int, int] = {}
    at = begin
    for i, column in enumerate(columns):
        item = np.dtype(order + column.item)
        if column.length is None:
            fields.append((f"v{i}", item))
            at += item.itemsize
            continue
        count = np.dtype(order + column.length)
        if at + count.itemsize > len(content):
            return None
        lengths[i] = int(np.frombuffer(content, count, 1, at)[0])
        at += count.itemsize
        if not 0 <= lengths[i] * item.itemsize <= len(content) - at:
            return None
        at += lengths[i] * item.itemsize
        fields += [(f"n{i}", count), (f"v{i}", item, (lengths[i],))]
    kind = np.dtype(fields)
    if kind.itemsize * rows > len(content) - begin:
        return None
    table = np.frombuffer(content, kind, rows, begin)
    if any((table[f"n{i}"] != length).any() for i, length in lengths.items()):
        return None
    numbers = {c.name: table[f"v{i}"] for i, c in enumerate(columns) if c.length is None and c.name in kept}
    lists = {
        columns[i].name: Lists(np.broadcast_to(np.int64(length), (rows,)), _items(content, begin, rows, kind, f"v{i}"))
        for i, length in lengths.items()
        if columns[i].name in kept
    }
    return Table(numbers, lists, begin + kind.itemsize * rows)


def _items(content: bytes, begin: int, rows: int, kind: np.dtype[Any], name: str) -> NDArray[Any]:
    """(R n,): the items of the lists of n in field `name` of the rows."""
    list_kind, at = kind.fields[name][:2]  # type: ignore[index]
    pieces = _native.copy_pieces(content, begin, rows, kind.itemsize, at, list_kind.itemsize)
    return pieces.view(list_kind.base)
