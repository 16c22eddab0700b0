"""Labels of FER-2013 and FER+. The table of FER-2013 also contains its pictures."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fer3d.catalog.cards import Card
from fer3d.catalog.folder_listing import Listing, printable
from fer3d.catalog.label_table import Row
from fer3d.catalog.labels.reading import ContainerEntry, Labels, brief, find_file, label_fields, read_table

FER_SIDE = 48  # height and width of a picture of FER-2013, pixels
_FER_COLUMNS = ("emotion", "pixels", "usage")
_FERPLUS_COLUMNS = (
    "neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt", "unknown", "nf",
)  # fmt: skip


def fer2013(listing: Listing, card: Card) -> Labels:
    """Read `fer2013.csv` (emotion, pixels, Usage), or icml_face_data.csv with the same columns in another order."""
    labels = Labels()
    for name in listing.files:
        if re.search(r"(?:^|/)(?:fer2013|icml_face_data)\.csv\Z", name, re.IGNORECASE):
            labels.used.add(name)
            labels.entries.extend(_fer_entries(listing.folder / name, name, card, labels.notes))
    return labels


def _fer_entries(path: Path, name: str, card: Card, notes: list[str]) -> Iterator[ContainerEntry]:
    for entry, offset, cells in _fer_rows(path, name, notes):
        usage = cells["usage"]
        attributes = {"entry": str(entry), "offset": str(offset), "part": card.values.get("part", {}).get(usage, usage)}
        fields, more = label_fields(card, cells["emotion"], f"{name}:{entry + 2}")
        count = cells["pixels"].count(" ") + 1
        if usage not in card.values.get("part", {}):
            known = ", ".join(card.values["part"])
            fields["error"] = f"{name}:{entry + 2}: wanted a Usage among {known}, got {brief(usage)!r}"
        if count != FER_SIDE**2:
            fields["error"] = f"{name}:{entry + 2}: wanted {FER_SIDE**2} pixels, got {count}"
        yield ContainerEntry(name, entry, f"fer{entry:07d}", fields, attributes | more)


def _fer_rows(path: Path, name: str, notes: list[str]) -> Iterator[tuple[int, int, dict[str, str]]]:
    """Yield (entry, byte offset of its line, column -> cell) for each line. `csv` would not give the offsets."""
    try:
        with path.open("rb") as file:
            columns = [cell.strip().strip('"').lower() for cell in file.readline().decode("latin-1").split(",")]
            missing = [column for column in _FER_COLUMNS if column not in columns]
            if missing:
                notes.append(
                    f"{name}:1: wanted the columns emotion, pixels, Usage, got {brief(', '.join(columns))}: not used"
                )
                return
            places = {column: columns.index(column) for column in _FER_COLUMNS}
            offset = file.tell()
            for entry, line in enumerate(file):
                cells = line.decode("latin-1").split(",")
                if len(cells) == len(columns):
                    yield entry, offset, {key: cells[at].strip().strip('"') for key, at in places.items()}
                elif line.strip():
                    notes.append(f"{name}:{entry + 2}: wanted {len(columns)} cells, got {len(cells)}")
                offset += len(line)
    except OSError as error:
        notes.append(f"{name}: cannot be read: {error.strerror}")


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
    pixels = find_file(listing, r"fer2013\.csv")
    pictures = {posixpath.basename(file): file for file in listing.files if file.lower().endswith(".png")}
    entries: dict[int, int] = {}
    if pixels is not None:
        labels.used.add(pixels)
        entries = {entry: offset for entry, offset, _ in _fer_rows(listing.folder / pixels, pixels, labels.notes)}
    for line, cells in read_table(listing, table, ("usage", "image name", *_FERPLUS_COLUMNS), labels.notes):
        where, entry = f"{table}:{line}", line - 2
        fields, attributes = _votes(cells, card, where)
        part = card.values["part"].get(cells["usage"], cells["usage"])
        attributes |= {"part": part}
        picture = cells["image name"]
        if picture in pictures:
            labels.rows[pictures[picture]] = Row(line, fields, attributes)
        elif entry in entries:
            attributes |= {"entry": str(entry), "offset": str(entries[entry])}
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
