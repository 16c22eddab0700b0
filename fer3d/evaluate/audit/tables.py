"""Tables that others wrote: CSV with commas, semicolons or tabs, or Parquet; every cell as text."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer3d.errors import FormatError
from fer3d.files import brief, brief_line, read_bytes, read_table

PARQUET = (".parquet", ".pq")
_SEPARATORS = ",;\t"
Columns = dict[str, list[str]]  # name -> cells, all of one length


def read_columns(path: Path) -> Columns:
    """Read a table.

    Args:
        path: A CSV file in UTF-8 with a line of names, or a Parquet file (.parquet, .pq).

    Returns:
        Name of each column -> its cells as text without blanks around; "" for an empty cell. Whole numbers have no
        decimals: a column of labels that another program stored as 3.0 holds 3.

    Raises:
        FileError: if the file cannot be read.
        FormatError: if it is no such table, or has no rows.
    """
    columns = _parquet(path) if path.suffix.lower() in PARQUET else _csv(path)
    if not columns or not len(next(iter(columns.values()))):
        raise FormatError(f"{path}: should hold rows below a line of column names, holds none")
    return columns


def numbers(columns: Columns, names: list[str], path: Path) -> NDArray[np.float64]:
    """Columns as an (N, len(names)) float64 array. FormatError if a cell is not a finite number."""
    values = np.empty((len(columns[names[0]]), len(names)))
    for place, name in enumerate(names):
        for row, cell in enumerate(columns[name]):
            values[row, place] = _number(cell)
            if not math.isfinite(values[row, place]):
                raise FormatError(f"{path}: row {row + 1}: `{name}` should be a finite number, is {brief(cell)}")
    return values


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        pass
    try:
        return float(cell.replace(",", "."))  # a decimal comma, in tables with semicolons
    except ValueError:
        return math.nan


def _parquet(path: Path) -> Columns:
    table = read_table(path)
    return {name: [_text(value) for value in table[name].to_pylist()] for name in table.column_names}


def _text(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bytes):
        return value.hex()
    return _plain(str(value))


def _plain(cell: str) -> str:
    """A cell without blanks around; a whole number without decimals."""
    cell = cell.strip()
    head, dot, tail = cell.partition(".")
    return head if dot and tail and not tail.strip("0") and head.removeprefix("-").isdecimal() else cell


def _csv(path: Path) -> Columns:
    try:
        text = read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        raise FormatError(f"{path}: wanted UTF-8 text, got byte 0x{fault.object[fault.start]:02x}") from None
    first = text[: text.find("\n") if "\n" in text else None]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(_SEPARATORS, key=first.count), strict=True)
    rows: list[list[str]] = []
    header: list[str] = []
    try:
        for cells in reader:
            if not header:
                header = [cell.strip() for cell in cells]
            elif any(cell.strip() for cell in cells):
                if len(cells) != len(header):
                    raise FormatError(
                        f"{path}: line {reader.line_num} should have {len(header)} cells, has {len(cells)}"
                    )
                rows.append(cells)
    except csv.Error as fault:
        raise FormatError(f"{path}: line {reader.line_num} is not CSV ({brief_line(str(fault))})") from None
    twice = sorted({name for name in header if name and header.count(name) > 1})
    if twice:
        raise FormatError(
            f"{path}: should hold each column once, holds {brief(twice[0])} {header.count(twice[0])} times"
        )
    return {name: [_plain(row[place]) for row in rows] for place, name in enumerate(header)}
