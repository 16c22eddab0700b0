"""Labels of AffectNet: the tables of 2017, and the later release with a file a picture."""

from __future__ import annotations

import re

import numpy as np

from fer3d.catalog.cards import Card
from fer3d.catalog.folder_listing import Listing, shown
from fer3d.catalog.label_table import Row
from fer3d.catalog.labels.reading import Labels, brief, label_fields, read_table

_AFFECTNET_COLUMNS = ("subdirectory_filepath", "expression")


def affectnet(listing: Listing, card: Card) -> Labels:
    """`training.csv` and `validation.csv` of 2017, with faces, 68 landmarks, valence and arousal."""
    labels = Labels(complete=True)
    pictures = {"/".join(name.split("/")[-2:]): name for name in listing.files if "/" in name}
    for table in listing.files:
        found = re.search(r"(?:^|/)(training|validation|automatically_annotated)\.csv\Z", table, re.IGNORECASE)
        if found is None:
            continue
        labels.used.add(table)
        part = card.values["part"].get(found[1].lower(), found[1].lower())
        for line, cells in read_table(listing, table, _AFFECTNET_COLUMNS, labels.notes):
            where, path = f"{table}:{line}", cells["subdirectory_filepath"].replace("\\", "/")
            picture = pictures.get("/".join(path.split("/")[-2:]))
            if picture is None:
                labels.notes.append(f"{where}: wanted a picture {shown(path)}, found none")
                continue
            fields, attributes = label_fields(card, cells["expression"], where)
            attributes["part"] = part
            attributes |= {key: cells[key] for key in ("valence", "arousal") if cells.get(key) not in (None, "", "-2")}
            if eyes := _eyes(cells.get("facial_landmarks") or ""):
                attributes["eyes"] = eyes
            labels.rows[picture] = Row(line, fields, attributes)
    return labels


def _eyes(text: str) -> str:
    """Middle of the right and the left eye, "x y x y", of 68 `x;y` pairs joined by `;`; "" if it is not that."""
    try:
        points = np.array([float(word) for word in text.split(";")]).reshape(68, 2)
    except ValueError:
        return ""
    return " ".join(f"{x:.2f}" for x in (*points[36:42].mean(axis=0), *points[42:48].mean(axis=0)))


def affectnet_files(listing: Listing, card: Card) -> Labels:
    """The later release: `annotations/<n>_exp.npy`, a number stored as text."""
    labels = Labels(complete=True)
    for name in listing.files:
        found = re.search(r"(?:^|/)annotations/(\d+)_exp\.npy\Z", name)
        if found is None:
            continue
        labels.used.add(name)
        picture = listing.find(name[: found.start(1)].removesuffix("annotations/") + f"images/{found[1]}.jpg")
        if picture is None:
            labels.notes.append(f"{name}: wanted a picture images/{found[1]}.jpg, found none")
            continue
        try:
            code = str(np.load(listing.folder / name, allow_pickle=False).reshape(())).strip()
        except (OSError, ValueError, EOFError) as error:
            labels.notes.append(f"{name}: wanted an array of one number, got {brief(str(error))}")
            continue
        labels.rows[picture] = Row(0, *label_fields(card, code.removesuffix(".0"), name))
    return labels
