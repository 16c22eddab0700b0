"""The common parts of the readers of label files: their result, and functions to read tables, texts and labels.

A card names its reader as `labels_from`. Each reader takes the listing and the card, and returns `Labels`. A malformed
table causes one note; a malformed line causes one error on its picture, or one note if it has no picture. Everything
else is still read. Each card states which facts of its layout were read from a source and which were recalled.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from fer3d.catalog.cards import Card
from fer3d.catalog.folder_listing import Listing, printable
from fer3d.catalog.label_table import Row, brief

MOST_LINES = 2_000_000  # lines that are read of a table: ten times AffectNet; a bound for damaged files
MOST_BYTES = 1 << 30  # of a table: AffectNet's have 300 MB


@dataclass(frozen=True)
class ContainerEntry:
    """A picture that is an entry of a container file.

    Attributes:
        relative: Relative path of the container file.
        entry: Number of the entry in the file, from 0.
        id: Id of the record.
        fields, attributes: Fields and attributes of the record.
    """

    relative: str
    entry: int
    id: str
    fields: Mapping[str, Any]
    attributes: Mapping[str, str]


@dataclass
class Labels:
    """The content of the label files of a folder.

    Attributes:
        rows: Relative path of a picture -> its labels.
        entries: Pictures that are entries of a container file.
        used: Relative paths of the label files.
        dropped: Pictures that are left out because another version of them is used.
        notes: One line for each file or line that could not be used.
        complete: Whether to report pictures without a row.
    """

    rows: dict[str, Row] = field(default_factory=dict)
    entries: list[ContainerEntry] = field(default_factory=list)
    used: set[str] = field(default_factory=set)
    dropped: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)
    complete: bool = False

    def add(self, picture: str, row: Row) -> None:
        """Add the labels of a picture. If a second line says something else of it, the picture gets an error."""
        first = self.rows.setdefault(picture, row)
        if first is not row and (first.fields, first.attributes) != (row.fields, row.attributes):
            error = f"wanted one line for {printable(picture)}, got {first.source} and {row.source}, which differ"
            self.rows[picture] = replace(first, fields={"error": error})


def label_fields(card: Card, word: str, where: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the record fields and attributes for a word of the data set: its canonical label, its other label, or the
    error that the word is unknown."""
    label = card.label(word)
    if label is not None:
        return {"expression": label}, {}
    if word in card.other_labels:
        return {}, {"expression": card.other_labels[word]}
    wanted = ", ".join([*card.labels, *card.other_labels])
    return {"error": f"{where}: wanted an expression among {wanted}, got {brief(word)!r}"}, {}


def affect_fields(card: Card, texts: Mapping[str, str | None], where: str) -> dict[str, Any]:
    """Return the record fields "valence" and "arousal", or an error if a text is not a number in range."""
    fields: dict[str, Any] = {}
    try:
        for name, text in texts.items():
            if text:
                fields[name] = card.targets.value(name, text)
    except ValueError as error:
        return {"error": f"{where}: {printable(str(error))}"}
    return fields


def find_file(listing: Listing, pattern: str) -> str | None:
    """Return the first file whose name matches the pattern, ignoring case; or None."""
    matcher = re.compile(rf"(?:^|/)(?:{pattern})\Z", re.IGNORECASE)
    return next((name for name in listing.files if matcher.search(name)), None)


def read_text(listing: Listing, name: str, notes: list[str]) -> str | None:
    """Read a text file as UTF-8, with invalid bytes replaced. None, with a note, if it cannot be read."""
    content = read_content(listing, name, notes)
    if content is None:
        return None
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16", "replace")
    return content.decode("utf-8-sig", "replace")


def read_content(listing: Listing, name: str, notes: list[str]) -> bytes | None:
    """Read a file. None, with a note, if it cannot be read or is too large."""
    path = listing.folder / name
    try:
        size = path.stat().st_size
        if size <= MOST_BYTES:
            return path.read_bytes()
        notes.append(f"{name}: wanted at most {MOST_BYTES:,} bytes, got {size:,}: not used")
    except OSError as error:
        notes.append(f"{name}: cannot be read: {error.strerror}")
    return None


def read_table(
    listing: Listing, name: str, wanted: Iterable[str], notes: list[str]
) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield (line, lower-case column -> cell) of a table with a header. A missing column gives a note and no rows."""
    text = read_text(listing, name, notes)
    if text is None:
        return
    first = text[: text.find("\n") if "\n" in text else None]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=first.count))
    columns: list[str] = []
    try:
        for cells in reader:
            if not columns:
                columns = [cell.strip().lower() for cell in cells]
                if missing := [column for column in wanted if column not in columns]:
                    got = brief(", ".join(columns))
                    notes.append(f"{name}:1: wanted a column {missing[0]}, got {got}: the table is not used")
                    return
            elif len(cells) == len(columns):
                yield reader.line_num, dict(zip(columns, (cell.strip() for cell in cells), strict=True))
            elif any(cells):
                notes.append(f"{name}:{reader.line_num}: wanted {len(columns)} cells, got {len(cells)}")
    except csv.Error as error:
        notes.append(f"{name}:{reader.line_num}: wanted comma-separated values, got {error}")
    if not columns:
        notes.append(f"{name}: wanted a line of column names, got an empty file")
