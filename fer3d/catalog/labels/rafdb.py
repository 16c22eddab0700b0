"""Labels of RAF-DB: one list of all pictures."""

from __future__ import annotations

import posixpath
import re

from fer3d.catalog.cards import Card
from fer3d.catalog.folder_listing import Listing, printable
from fer3d.catalog.label_table import Row, brief
from fer3d.catalog.labels.reading import MOST_LINES, Labels, find_file, label_fields, read_text


def rafdb(listing: Listing, card: Card) -> Labels:
    """Read `EmoLabel/list_patition_label.txt` (sic; or list_partition_label.txt), with lines `train_00001.jpg 5`."""
    labels = Labels()
    pictures: dict[str, str] = {}
    for name in listing.files:
        if match := re.search(r"(?:^|/)((?:train|test)_\d+)(_aligned)?\.(?i:jpg|png)\Z", name):
            other = pictures.get(match[1])
            if other is None or match[2]:
                pictures[match[1]] = name
            if other is not None:
                labels.dropped.add(other if match[2] else name)
    table = find_file(listing, r"list_par?tition_label\.txt")
    if table is None:
        return labels
    labels.used.add(table)
    labels.complete = True
    lines = (read_text(listing, table, labels.notes) or "").splitlines()
    if not any(lines[:MOST_LINES]):
        labels.notes.append(f"{table}: wanted lines such as 'train_00001.jpg 5', got none")
    for line, text in enumerate(lines[:MOST_LINES], start=1):
        words = text.split()
        where = f"{table}:{line}"
        if len(words) != 2:
            labels.notes += [f"{where}: wanted a picture and a number, got {brief(text)!r}"] if words else []
            continue
        picture = pictures.get(posixpath.splitext(words[0])[0])
        if picture is None:
            labels.notes.append(f"{where}: wanted a picture {printable(words[0])}, found none")
            continue
        labels.add(picture, Row(line, *label_fields(card, words[1], where), source=where))
    return labels
