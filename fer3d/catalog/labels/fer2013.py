"""Labels of FER-2013 and FER+. The table of FER-2013 also contains its pictures."""

from __future__ import annotations

import codecs
import csv
import posixpath
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fer3d.catalog.cards import Card
from fer3d.catalog.folder_listing import Listing, printable
from fer3d.catalog.label_table import Row, brief
from fer3d.catalog.labels.reading import ContainerEntry, Labels, find_file, label_fields, read_table

FER_SIDE = 48  # height and width of a picture of FER-2013, pixels
LONGEST_LINE = 1 << 17  # bytes; a line of FER-2013 has about 8,000. A bound for files without line ends
_FER_COLUMNS = {"emotion": "emotion", "pixels": "pixels", "usage": "Usage"}
_FERPLUS_COLUMNS = (
    "neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt", "unknown", "nf",
)  # fmt: skip
# Class folders that are numbers: of a copy that numbers the classes as the csv does, and counts that tell it apart.
_CSV_CODES = {"4": "sadness", "5": "surprise", "6": "neutral"}
_ENOUGH = 1000  # pictures in each of the folders 4, 5 and 6


def fer2013(listing: Listing, card: Card) -> Labels:
    """Read `fer2013.csv` (emotion, pixels, Usage), or icml_face_data.csv with the same columns in another order."""
    labels = Labels()
    names = [name for name in listing.files if re.search(r"(?:^|/)(?:fer2013|icml_face_data)\.csv\Z", name, re.I)]
    labels.used.update(names)
    first = ""
    for name in sorted(names, key=lambda file: "fer2013" not in posixpath.basename(file).casefold()):
        if first:
            labels.notes.append(f"{name}: not used, as {first} holds the same pictures")
            continue
        labels.entries.extend(_fer_entries(listing.folder / name, name, card, labels.notes))
        first = name if labels.entries else ""
    return labels


def fer2013_folders(listing: Listing, card: Card) -> Labels:
    """Find out what the folders of a copy mean: how numbers count the classes, and whether `test` holds both tests."""
    labels = Labels()
    matches = {name: match for name in listing.files if (match := card.match(name))}
    wanted = ("part", "expression")  # a pattern of a card of one's own may have neither
    matches = {name: match for name, match in matches.items() if all(map(match.groupdict().get, wanted))}
    parts = {name: card.value("part", match["part"]) for name, match in matches.items()}
    folders = {name for name, match in matches.items() if match.start("part") < match.start("expression")}
    if any(parts[name] == "validation" for name in folders):
        rows = {
            name: Row(0, {}, {"part": "test"}) for name, part in parts.items() if part == card.value("part", "test")
        }
        labels.rows |= rows
    numbered = {name: match["expression"] for name, match in matches.items() if match["expression"].isdigit()}
    if numbered:
        _settle_numbers(labels, numbered)
    return labels


def _settle_numbers(labels: Labels, numbered: Mapping[str, str]) -> None:
    """Decide whether class folders count as the csv or, as the card says, in the order of the alphabet. Of the folders
    4, 5 and 6, that of surprise has by far the fewest pictures."""
    counts = Counter(numbered.values())
    sizes = [counts[code] for code in _CSV_CODES]
    fewest = min(_CSV_CODES, key=lambda code: counts[code]) if min(sizes) >= _ENOUGH else ""
    if fewest == "5":
        text = "as the codes of the csv (4 sadness, 5 surprise, 6 neutral), as 5 has the fewest pictures of these"
        for name, code in numbered.items():
            if code in _CSV_CODES:
                attributes = labels.rows[name].attributes if name in labels.rows else {}
                labels.rows[name] = Row(0, {"expression": _CSV_CODES[code]}, attributes, overrides=True)
    else:
        text = "in the order of the alphabet (4 neutral, 5 sadness, 6 surprise), " + (
            "as 6 has the fewest pictures of these"
            if fewest == "6"
            else "not as in the csv (4 sadness, 6 neutral): check it"
        )
    labels.notes.append(f"class folders are numbers: taken {text}")


def _fer_entries(path: Path, name: str, card: Card, notes: list[str]) -> Iterator[ContainerEntry]:
    parts = card.values.get("part", {})
    for entry, offset, cells in _fer_rows(path, name, notes):
        usage, where = cells["usage"], f"{name}:{entry + 2}"
        part = card.value("part", usage)
        attributes = {"entry": str(entry), "offset": str(offset), "part": part}
        fields, more = label_fields(card, cells["emotion"], where)
        count = len(cells["pixels"].split())
        if part not in parts.values():
            fields["error"] = f"{where}: wanted a Usage among {', '.join(parts)}, got {brief(usage)!r}"
        if count != FER_SIDE**2:
            fields["error"] = f"{where}: wanted {FER_SIDE**2} pixels, got {count}"
        yield ContainerEntry(name, entry, f"fer{entry:07d}", fields, attributes | more)


def _fer_rows(path: Path, name: str, notes: list[str]) -> Iterator[tuple[int, int, dict[str, str]]]:
    """Yield (entry, byte offset of its line, column -> cell) for each line. `csv` would not give the offsets."""
    try:
        with path.open("rb") as file:
            header = file.readline(LONGEST_LINE)
            delimiter, columns, wrong = _fer_header(header)
            if wrong:
                notes.append(f"{name}:1: wanted the columns {', '.join(_FER_COLUMNS.values())}, {wrong}")
                return
            places = {column: columns.index(column) for column in _FER_COLUMNS}
            offset, entry = file.tell(), -1
            while line := file.readline(LONGEST_LINE):
                entry += 1
                cells = split_cells(line.decode("latin-1"), delimiter)
                if len(cells) == len(columns):
                    yield entry, offset, {key: cells[at] for key, at in places.items()}
                elif any(cells):
                    notes.append(f"{name}:{entry + 2}: wanted {len(columns)} cells, got {len(cells)}")
                if len(line) == LONGEST_LINE and not line.endswith(b"\n"):
                    notes.append(
                        f"{name}:{entry + 2}: wanted lines of less than {LONGEST_LINE} bytes: the rest is left out"
                    )
                    return
                offset += len(line)
    except OSError as error:
        notes.append(f"{name}: cannot be read: {error.strerror}")


def _fer_header(line: bytes) -> tuple[str, list[str], str]:
    """Return the delimiter, the columns in lower case, and what is wrong with them, or ""."""
    if line.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return ",", [], "got a file in UTF-16: save it as UTF-8"
    text = line.removeprefix(codecs.BOM_UTF8).decode("latin-1")
    delimiter = max(",;\t", key=text.count)
    columns = [cell.lower() for cell in split_cells(text, delimiter)]
    missing = [shown for column, shown in _FER_COLUMNS.items() if column not in columns]
    if not missing:
        return delimiter, columns, ""
    if not any(columns):
        return delimiter, columns, "got an empty line"
    several = "s" if len(missing) > 1 else ""
    return delimiter, columns, f"got {brief(', '.join(columns))}: no column{several} {', '.join(missing)}: not used"


def split_cells(line: str, delimiter: str) -> list[str]:
    """Split a line of a table into cells, without quotes and blanks around them.

    >>> split_cells('3," 70  80 ", Training\\r\\n', ",")
    ['3', '70  80', 'Training']
    """
    if '"' not in line:
        return [cell.strip() for cell in line.split(delimiter)]
    try:
        return [
            cell.strip() for cell in next(csv.reader([line.strip()], delimiter=delimiter, skipinitialspace=True), [])
        ]
    except csv.Error:  # a cell beyond the limit of `csv`, or a line end within a cell
        return [cell.strip().strip('"').strip() for cell in line.split(delimiter)]


def ferplus(listing: Listing, card: Card) -> Labels:
    """Read `fer2013new.csv`: ten votes per picture. The picture is a file such as `fer0000000.png`, as the table names
    it, or the entry of the same number in `fer2013.csv`.

    The label follows the majority mode of Barsoum et al., as recalled: single votes are dropped as errors, and the
    label is the class with more than half of the other votes.
    """
    labels = Labels(complete=True)
    table = find_file(listing, r"fer2013new\.csv")
    if table is None:
        return labels
    labels.used.add(table)
    pixels = find_file(listing, r"fer2013\.csv") or find_file(listing, r"icml_face_data\.csv")
    pictures = {posixpath.basename(file): file for file in listing.files if file.lower().endswith(".png")}
    entries: dict[int, tuple[int, str]] = {}
    if pixels is not None:
        labels.used.add(pixels)
        rows = _fer_rows(listing.folder / pixels, pixels, labels.notes)
        entries = {entry: (offset, cells["usage"]) for entry, offset, cells in rows}
    for line, cells in read_table(listing, table, ("usage", "image name", *_FERPLUS_COLUMNS), labels.notes):
        where, entry = f"{table}:{line}", line - 2
        fields, attributes = _votes(cells, card, where)
        part = card.value("part", cells["usage"])
        attributes |= {"part": part}
        picture = cells["image name"]
        if picture in pictures:
            labels.add(pictures[picture], Row(line, fields, attributes, source=where))
        elif entry in entries:
            offset, usage = entries[entry]
            if card.value("part", usage) != part:
                fields = {"error": f"{where}: wanted Usage {brief(usage)} as {pixels}:{line} says, got {part}"}
            attributes |= {"entry": str(entry), "offset": str(offset)}
            labels.entries.append(ContainerEntry(pixels or "", entry, f"fer{entry:07d}", fields, attributes))
        elif picture:  # FER+ leaves the name of a rejected picture blank
            labels.notes.append(f"{where}: wanted a picture {printable(picture)}, found none")
    return labels


def _votes(cells: Mapping[str, str], card: Card, where: str) -> tuple[dict[str, Any], dict[str, str]]:
    text = [cells[column] for column in _FERPLUS_COLUMNS]
    if not all(re.fullmatch(r"\d{1,2}", cell) for cell in text):
        return {"error": f"{where}: wanted whole numbers of votes, got {brief(','.join(text))}"}, {}
    votes = np.array([int(cell) for cell in text])
    if not votes.any():
        return {"error": f"{where}: wanted votes, got none"}, {}
    counted = np.where(votes == 1, 0, votes)
    best = int(counted.argmax())
    attributes = {"votes": " ".join(text)}
    if 2 * counted[best] <= counted.sum():
        return {}, attributes | {"expression": "no majority"}
    fields, more = label_fields(card, _FERPLUS_COLUMNS[best], where)
    return fields, attributes | more
