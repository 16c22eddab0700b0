"""CSV for spreadsheets and terminals: no cell is a formula or a command."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")  # all but tabs and line ends
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")


def csv_text(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """Rows as CSV with a header, for spreadsheets: no text is taken for a formula there.

    A text that begins with `=`, `+`, `-`, `@`, a tab or a line end gets an apostrophe in front, unless it is a number.
    Control characters, which a terminal would obey, become escapes such as \\x1b.

    Args:
        columns: Names of the columns. Further keys of a row are left out; a missing key or None is an empty cell.
        rows: Column -> value.

    >>> csv_text(["file", "x"], [{"file": "=1+2", "x": -0.5}])
    "file,x\\n'=1+2,-0.5\\n"
    """
    lines = [_line(columns), *(_line([_cell(row.get(name)) for name in columns]) for row in rows)]
    return "".join(f"{line}\n" for line in lines)


def _line(cells: Sequence[Any]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerow(cells)  # so that a cell with either is quoted
    return text.getvalue().removesuffix("\r\n")


def _cell(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    value = _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", value)
    if not value.startswith(_FORMULA_STARTS):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value if value == value.strip() else f"'{value}"
