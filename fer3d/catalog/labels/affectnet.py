"""Labels of AffectNet: the tables of 2017, and the later release with one file per picture and label."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer3d.catalog.cards import Card
from fer3d.catalog.folder_listing import Listing, printable
from fer3d.catalog.label_table import Row, brief
from fer3d.catalog.labels.reading import Labels, affect_fields, label_fields, read_table
from fer3d.errors import Fer3dError
from fer3d.formats.npy import read_array

_AFFECTNET_COLUMNS = ("subdirectory_filepath", "expression")


def affectnet(listing: Listing, card: Card) -> Labels:
    """Read `training.csv` and `validation.csv` of 2017: expression, valence, arousal, and eyes from 68 landmarks."""
    labels = Labels(complete=True)
    pictures = {"/".join(name.split("/")[-2:]): name for name in listing.files if "/" in name}
    for table in listing.files:
        match = re.search(r"(?:^|/)(training|validation|automatically_annotated)\.csv\Z", table, re.IGNORECASE)
        if match is None:
            continue
        labels.used.add(table)
        part = card.value("part", match[1].lower())
        for line, cells in read_table(listing, table, _AFFECTNET_COLUMNS, labels.notes):
            where, path = f"{table}:{line}", cells["subdirectory_filepath"].replace("\\", "/")
            picture = pictures.get("/".join(path.split("/")[-2:]))
            if picture is None:
                labels.notes.append(f"{where}: wanted a picture {printable(path)}, found none")
                continue
            fields, attributes = label_fields(card, cells["expression"], where)
            attributes["part"] = part
            fields |= affect_fields(card, {key: cells.get(key) for key in ("valence", "arousal")}, where)
            if eyes := _eyes(cells.get("facial_landmarks") or ""):
                attributes["eyes"] = eyes
            labels.add(picture, Row(line, fields, attributes, source=where))
    return labels


def _eyes(text: str) -> str:
    """Return the centres of the right and left eye as "x y x y", from 68 pairs `x;y` joined by `;`. "" if malformed."""
    try:
        points = np.array([float(word) for word in text.split(";")]).reshape(68, 2)
    except ValueError:
        return ""
    if not np.isfinite(points).all():
        return ""
    return " ".join(f"{x:.2f}" for x in (*points[36:42].mean(axis=0), *points[42:48].mean(axis=0)))


def affectnet_files(listing: Listing, card: Card) -> Labels:
    """Read the later release: `annotations/<n>_exp.npy`, `_val.npy` and `_aro.npy`, each one number, some as text."""
    labels = Labels(complete=True)
    names = {name: match for name in listing.files if (match := _ANNOTATION.search(name))}
    labels.used.update(names)
    for name, match in names.items():
        if match["what"] != "exp":
            continue
        folder, number = name[: match.start("number")], match["number"]
        picture = listing.find(folder.removesuffix("annotations/") + f"images/{number}.jpg")
        if picture is None:
            labels.notes.append(f"{name}: wanted a picture images/{number}.jpg, found none")
            continue
        code = _number_in(listing, name, labels.notes)
        if code is None:
            continue
        fields, attributes = label_fields(card, code.removesuffix(".0"), name)
        files = {"valence": f"{folder}{number}_val.npy", "arousal": f"{folder}{number}_aro.npy"}
        texts = {key: _number_in(listing, file, labels.notes) for key, file in files.items() if file in names}
        labels.rows[picture] = Row(0, fields | affect_fields(card, texts, name), attributes)
    return labels


_ANNOTATION = re.compile(r"(?:^|/)annotations/(?P<number>\d+)_(?P<what>exp|val|aro)\.npy\Z")


def _number_in(listing: Listing, name: str, notes: list[str]) -> str | None:
    """Return the one number in a file as text. None, with a note, if the file is not such an array."""
    try:
        array = read_array(listing.folder / name, text=True)
    except Fer3dError as error:
        reason = str(error).removeprefix(f"{listing.folder / name}: ")
        notes.append(f"{name}: wanted an array of one number, got {brief(reason)}")
        return None
    if array.size != 1:
        notes.append(f"{name}: wanted an array of one number, got {array.dtype} {array.shape}")
        return None
    return brief(_text_of(array))


def _text_of(array: NDArray[Any]) -> str:
    """Return the text or number in an array of one. NumPy raises on a text with invalid characters."""
    if array.dtype.kind == "U":
        return array.astype(array.dtype.newbyteorder("<")).tobytes().decode("utf-32-le", "replace").strip(" \0")
    return array.tobytes().decode("latin-1").strip(" \0") if array.dtype.kind == "S" else str(array.reshape(-1)[0])
