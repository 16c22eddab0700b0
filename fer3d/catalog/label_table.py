"""Read `labels.csv`: labels that the paths of a data set do not contain, joined on the path of each scan."""

from __future__ import annotations

import csv
import io
import math
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fer3d.catalog.action_units import shown_and_absent, split_action_units
from fer3d.catalog.cards import Card
from fer3d.catalog.folder_listing import printable
from fer3d.checks import did_you_mean
from fer3d.errors import CardError

FILE = "labels.csv"
MOST_BYTES = 1 << 28  # a table of a million scans has half as many
TARGETS = ("compound", "valence", "arousal", "action_units")
COLUMNS = ("path", "subject", "expression", "intensity", "sequence", "frame", *TARGETS, "yaw", "pitch", "roll")
ATTRIBUTES = ("sex", "ethnicity", "age", "session")
ANGLES = ("yaw", "pitch", "roll")  # degrees in the file
# Common names of columns in other tables -> ours.
_COMMON = {
    **dict.fromkeys(("file", "filename", "file_name", "image", "picture", "scan", "name"), "path"),
    **dict.fromkeys(("person", "identity", "id", "participant", "who", "actor"), "subject"),
    **dict.fromkeys(("label", "emotion", "class"), "expression"),
    **dict.fromkeys(("au", "aus", "facs"), "action_units"),
    "gender": "sex",
}


@dataclass(frozen=True)
class Row:
    """The labels of one scan: a line of the table, or what the data set's own label files say.

    Attributes:
        line: Number of the line; 0 without a table.
        fields: What is known, under the names of the fields of `Record`.
        attributes: Attributes of the record.
        problems: What should be said about the labels, one line each.
        source: What says it, for a message.
        overrides: Whether it replaces the expression of the path. Otherwise two different expressions count as none.
    """

    line: int
    fields: Mapping[str, Any]
    attributes: Mapping[str, str]
    problems: tuple[str, ...] = ()
    source: str = "the label file"
    overrides: bool = False


def read_label_table(file: Path, card: Card) -> dict[str, Row]:
    """Read a `labels.csv`: comma-separated, in UTF-8. The first line names the columns, which include `path`.

    Args:
        file: The table. Its paths are relative to its folder, with / or \\ between names.
        card: Its words and the canonical labels are valid in the column `expression`.

    Returns:
        Composed (NFC) POSIX path -> row.

    Raises:
        CardError: if a column or label is unknown, the column `path` is missing, a number cannot be parsed, a path has
            two lines, the encoding is not UTF-8, or a row has another length. The message is one line with the file,
            the line number, the expected value and the actual value.
    """
    name = printable(str(file))
    reader = csv.reader(io.StringIO(_text(file, name), newline=""), strict=True)
    rows: dict[str, Row] = {}
    columns: list[str] = []
    try:
        for cells in reader:
            line = reader.line_num
            if not columns:
                columns = _header(name, cells)
            elif any(cell.strip() for cell in cells):
                path, row = _row(name, line, columns, cells, card)
                if path in rows:
                    first = rows[path].line
                    raise CardError(
                        f"{name}:{line}: wanted one line for {printable(path)}, got a second after line {first}"
                    )
                rows[path] = row
    except csv.Error as error:
        raise CardError(f"{name}:{reader.line_num}: wanted comma-separated values, got {error}") from error
    if not columns:
        raise CardError(f"{name}: wanted a line of column names, got an empty file")
    return rows


def _text(file: Path, name: str) -> str:
    try:
        size = file.stat().st_size
        if size > MOST_BYTES:
            raise CardError(f"{name}: wanted at most {MOST_BYTES:,} bytes, got {size:,}")
        return file.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise CardError(f"{name}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise CardError(
            f"{name}: wanted UTF-8 text, got byte 0x{error.object[error.start]:02x} at {error.start}"
        ) from error


def _header(name: str, cells: list[str]) -> list[str]:
    columns = [cell.strip() for cell in cells]
    known = (*COLUMNS, "occlusion", *ATTRIBUTES)
    if "path" not in columns:
        other = next((sign for sign in ";\t" if len(columns) == 1 and sign in columns[0]), None)
        near = _near("path", columns) if other is None else f"; it is separated by {other!r}, wanted commas"
        raise CardError(f"{name}:1: wanted a column `path`, got {brief(', '.join(columns))}{near}")
    for column in columns:
        if column not in known:
            hint = did_you_mean(_COMMON.get(column.casefold(), column), known)
            raise CardError(f"{name}:1: wanted columns among {', '.join(known)}, got {brief(column)!r}{hint}")
        if columns.count(column) > 1:
            raise CardError(f"{name}:1: wanted each column once, got {column!r} {columns.count(column)} times")
    return columns


def _near(wanted: str, columns: list[str]) -> str:
    """Name the column that could be meant by the wanted one."""
    meant = [column for column in columns if _COMMON.get(column.casefold(), column.casefold()) == wanted]
    return f"; rename {printable(meant[0])!r} to {wanted!r}" if meant else did_you_mean(wanted, columns)


def _row(name: str, line: int, columns: list[str], cells: list[str], card: Card) -> tuple[str, Row]:
    if len(cells) != len(columns):
        raise CardError(f"{name}:{line}: wanted {len(columns)} cells, got {len(cells)}")
    given = {column: cell.strip() for column, cell in zip(columns, cells, strict=True) if cell.strip()}
    path = given.pop("path", "")
    path = unicodedata.normalize("NFC", path.replace("\\", "/").removeprefix("./"))
    if not path:
        raise CardError(f"{name}:{line}: wanted a path in column `path`, got a blank cell")
    where = f"{name}:{line}: {printable(path)}"
    fields: dict[str, Any] = {key: given[key] for key in ("subject", "sequence", "occlusion") if key in given}
    for key in ("intensity", "frame"):
        if key in given:
            fields[key] = _whole(where, key, given[key])
    if "expression" in given:
        fields["expression"] = card.label(given["expression"])
        if fields["expression"] is None:
            wanted, hint = ", ".join(card.words), did_you_mean(given["expression"], card.words)
            raise CardError(f"{where}: wanted an expression among {wanted}, got {brief(given['expression'])!r}{hint}")
    try:
        if "action_units" in given:
            fields["action_units"], fields["absent_units"] = _units(given["action_units"])
        if "compound" in given:
            fields["compound"] = card.targets.compound_class(given["compound"])
        for key in ("valence", "arousal"):
            if key in given:
                fields[key] = card.targets.value(key, given[key])
    except ValueError as error:
        raise CardError(f"{where}: {printable(str(error))}") from None
    if any(angle in given for angle in ANGLES):
        fields["pose"] = tuple(_radians(where, angle, given.get(angle)) for angle in ANGLES)
    return path, Row(line, fields, {key: given[key] for key in ATTRIBUTES if key in given})


def _units(cell: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the codes of the present units and the names of the absent ones. ValueError if a word is not a unit."""
    codes: list[str] = []
    for word in re.split(r"[\s+;]+", cell):
        units = split_action_units(word)
        if not units:
            raise ValueError(f"wanted action units such as 'AU12 AU25:3 AU4:0', got {word!r}")
        codes += units
    return shown_and_absent(codes)


def _whole(where: str, key: str, cell: str) -> int:
    if not re.fullmatch(r"\d{1,9}", cell, re.ASCII):
        raise CardError(f"{where}: wanted a whole number as `{key}`, got {brief(cell)!r}")
    return int(cell)


def _radians(where: str, angle: str, cell: str | None) -> float:
    if cell is None:
        return math.nan  # not stated
    try:
        degrees = float(cell)
    except ValueError:
        degrees = math.nan
    if not -360.0 <= degrees <= 360.0:
        raise CardError(f"{where}: wanted degrees in [-360, 360] as `{angle}`, got {brief(cell)!r}")
    return math.radians(degrees)


def brief(text: str) -> str:
    """Shorten a text to one line of at most 80 characters, for a message."""
    text = printable(" ".join(text.split()))
    return text if len(text) <= 80 else text[:77] + "..."
