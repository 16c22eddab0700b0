"""Labels that data sets of pictures keep in files of their own, one function a layout, joined to the pictures' paths.

A card names its source as `labels_from`. Each function takes the listing and the card, and gives `Labels`. A table that
is not what it should be is one note, a line that is wrong one error on its picture, or one note if it has no picture:
all else goes on. Which facts of a layout were read and which recalled stands in its card.
"""

from __future__ import annotations

import csv
import io
import posixpath
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from fer3d.cards import Card
from fer3d.folder_listing import Listing, shown
from fer3d.label_table import Row

FER_SIDE = 48  # rows and columns of a picture of FER-2013
_FER_COLUMNS = ("emotion", "pixels", "usage")
_FERPLUS_COLUMNS = (
    "neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt", "unknown", "nf",
)  # fmt: skip
_AFFECTNET_COLUMNS = ("subdirectory_filepath", "expression")
_MOST_LINES = 2_000_000  # of a table: ten times AffectNet, so that a file of garbage ends


@dataclass(frozen=True)
class Inside:
    """A picture that is no file but an entry of one.

    Attributes:
        relative: The file.
        entry: Number of the entry in it, from 0.
        id: Of the record.
        fields, attributes: Of the record.
    """

    relative: str
    entry: int
    id: str
    fields: Mapping[str, Any]
    attributes: Mapping[str, str]


@dataclass
class Labels:
    """What the label files of a folder say.

    Attributes:
        rows: Relative path of a picture -> what is said of it.
        inside: Pictures that are entries of a file.
        used: The label files.
        dropped: Pictures that are another version of one that is kept.
        notes: One line each about what could not be used.
        complete: Whether a picture that no row is about should be reported.
    """

    rows: dict[str, Row] = field(default_factory=dict)
    inside: list[Inside] = field(default_factory=list)
    used: set[str] = field(default_factory=set)
    dropped: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)
    complete: bool = False


def read_labels(listing: Listing, card: Card) -> Labels:
    """What the label files of a card's layout say; nothing for a card without."""
    return SOURCES[card.labels_from](listing, card) if card.labels_from else Labels()


# FER-2013 and FER+


def _fer2013(listing: Listing, card: Card) -> Labels:
    """`fer2013.csv` (emotion, pixels, Usage; or the same columns in another order, as icml_face_data.csv has them)."""
    labels = Labels()
    for name in listing.files:
        if re.search(r"(?:^|/)(?:fer2013|icml_face_data)\.csv\Z", name, re.IGNORECASE):
            labels.used.add(name)
            labels.inside.extend(_fer_entries(listing.folder / name, name, card, labels.notes))
    return labels


def _fer_entries(path: Path, name: str, card: Card, notes: list[str]) -> Iterator[Inside]:
    for entry, offset, cells in _fer_rows(path, name, notes):
        usage = cells["usage"]
        attributes = {"entry": str(entry), "offset": str(offset), "part": card.values.get("part", {}).get(usage, usage)}
        fields, more = label_fields(card, cells["emotion"], f"{name}:{entry + 2}")
        count = cells["pixels"].count(" ") + 1
        if usage not in card.values.get("part", {}):
            known = ", ".join(card.values["part"])
            fields["error"] = f"{name}:{entry + 2}: wanted a Usage among {known}, got {_brief(usage)!r}"
        if count != FER_SIDE**2:
            fields["error"] = f"{name}:{entry + 2}: wanted {FER_SIDE**2} pixels, got {count}"
        yield Inside(name, entry, f"fer{entry:07d}", fields, attributes | more)


def _fer_rows(path: Path, name: str, notes: list[str]) -> Iterator[tuple[int, int, dict[str, str]]]:
    """(entry, byte offset of its line, column -> cell) of each line. Not by `csv`: the offsets are wanted."""
    try:
        with path.open("rb") as file:
            columns = [cell.strip().strip('"').lower() for cell in file.readline().decode("latin-1").split(",")]
            missing = [column for column in _FER_COLUMNS if column not in columns]
            if missing:
                notes.append(
                    f"{name}:1: wanted the columns emotion, pixels, Usage, got {_brief(', '.join(columns))}: not used"
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


def _ferplus(listing: Listing, card: Card) -> Labels:
    """`fer2013new.csv`: ten votes a picture. The picture is `fer0000000.png` (by its name in the table), or the entry
    of the same number in `fer2013.csv`.

    The label is that of Barsoum et al. in their majority mode, as recalled: single votes are dropped as slips, and the
    class that has more than half of the rest is taken.
    """
    labels = Labels(complete=True)
    table = _find(listing, r"fer2013new\.csv")
    if table is None:
        return labels
    labels.used.add(table)
    pixels = _find(listing, r"fer2013\.csv")
    pictures = {posixpath.basename(file): file for file in listing.files if file.lower().endswith(".png")}
    entries: dict[int, int] = {}
    if pixels is not None:
        labels.used.add(pixels)
        entries = {entry: offset for entry, offset, _ in _fer_rows(listing.folder / pixels, pixels, labels.notes)}
    for line, cells in _table(listing, table, ("usage", "image name", *_FERPLUS_COLUMNS), labels.notes):
        where, entry = f"{table}:{line}", line - 2
        fields, attributes = _votes(cells, card, where)
        part = card.values["part"].get(cells["usage"], cells["usage"])
        attributes |= {"part": part}
        picture = cells["image name"]
        if picture in pictures:
            labels.rows[pictures[picture]] = Row(line, fields, attributes)
        elif entry in entries:
            attributes |= {"entry": str(entry), "offset": str(entries[entry])}
            labels.inside.append(Inside(pixels or "", entry, f"fer{entry:07d}", fields, attributes))
        elif picture:  # a blank name is a picture that FER+ threw out
            labels.notes.append(f"{where}: wanted a picture {shown(picture)}, found none")
    return labels


def _votes(cells: Mapping[str, str], card: Card, where: str) -> tuple[dict[str, Any], dict[str, str]]:
    text = [cells[column] for column in _FERPLUS_COLUMNS]
    if not all(re.fullmatch(r"\d{1,2}", cell) for cell in text):
        return {"error": f"{where}: wanted whole numbers of votes, got {_brief(','.join(text))}"}, {}
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


# CK+


def _ckplus(listing: Listing, card: Card) -> Labels:
    """`Emotion*/S005/001/*_emotion.txt` and `FACS*/...`: they say something of the last frame; the first is neutral."""
    labels = Labels()
    frames: dict[str, list[tuple[int, str]]] = {}
    files: dict[str, dict[str, str]] = {"emotion": {}, "facs": {}}
    for name in listing.files:
        if found := re.search(r"(?:^|/)(S\d{3}_\d{3})_(\d{8})\.png\Z", name):
            frames.setdefault(found[1], []).append((int(found[2]), name))
        elif found := re.search(r"(?:^|/)(S\d{3}_\d{3})_\d{8}_(emotion|facs)\.txt\Z", name):
            files[found[2]][found[1]] = name
            labels.used.add(name)
    for sequence, members in frames.items():
        members.sort()
        for place, (_, name) in enumerate(members):
            left = len(members) - 1 - place
            labels.rows[name] = Row(0, {"expression": "neutral"} if place == 0 else {}, {"from_end": str(left)})
        last = members[-1][1]
        fields: dict[str, Any] = {}
        attributes = {"from_end": "0"}
        if sequence in files["emotion"]:
            name = files["emotion"][sequence]
            numbers = _numbers(listing, name, labels.notes)
            code = str(int(numbers[0][0])) if numbers and len(numbers[0]) == 1 else "none"
            fields, more = label_fields(card, code, name)
            attributes |= more
        if sequence in files["facs"]:
            fields["action_units"] = tuple(
                f"AU{int(unit[0])}" + ("ABCDE"[int(unit[1]) - 1] if len(unit) > 1 and 1 <= unit[1] <= 5 else "")
                for unit in _numbers(listing, files["facs"][sequence], labels.notes)
            )
        labels.rows[last] = Row(0, fields, attributes)
    labels.notes += [
        f"{files[kind][sequence]}: wanted frames of sequence {sequence}, found none"
        for kind in files
        for sequence in sorted(files[kind].keys() - frames.keys())
    ]
    return labels


def _numbers(listing: Listing, name: str, notes: list[str]) -> list[list[float]]:
    """The whole numbers, written as real ones, of a text file, line by line; none, with a note, if it is no such."""
    text = _read(listing, name, notes)
    try:
        numbers = [[float(word) for word in line.split()] for line in (text or "").splitlines() if line.strip()]
        if not all(number.is_integer() for line in numbers for number in line):
            raise ValueError
        return numbers
    except ValueError:
        notes.append(f"{name}: wanted whole numbers, got {_brief(text or '')!r}")
        return []


# RAF-DB


def _rafdb(listing: Listing, card: Card) -> Labels:
    """`EmoLabel/list_patition_label.txt` (so spelt by the set; or list_partition_label.txt): `train_00001.jpg 5`."""
    labels = Labels()
    pictures: dict[str, str] = {}
    for name in listing.files:
        if found := re.search(r"(?:^|/)((?:train|test)_\d+)(_aligned)?\.(?i:jpg|png)\Z", name):
            other = pictures.get(found[1])
            if other is None or found[2]:
                pictures[found[1]] = name
            if other is not None:
                labels.dropped.add(other if found[2] else name)
    table = _find(listing, r"list_par?tition_label\.txt")
    if table is None:
        return labels
    labels.used.add(table)
    labels.complete = True
    for line, text in enumerate((_read(listing, table, labels.notes) or "").splitlines()[:_MOST_LINES], start=1):
        words = text.split()
        where = f"{table}:{line}"
        if len(words) != 2:
            labels.notes += [f"{where}: wanted a picture and a number, got {_brief(text)!r}"] if words else []
            continue
        picture = pictures.get(posixpath.splitext(words[0])[0])
        if picture is None:
            labels.notes.append(f"{where}: wanted a picture {shown(words[0])}, found none")
            continue
        labels.rows[picture] = Row(line, *label_fields(card, words[1], where))
    return labels


# AffectNet


def _affectnet(listing: Listing, card: Card) -> Labels:
    """`training.csv` and `validation.csv` of 2017, with faces, 68 landmarks, valence and arousal."""
    labels = Labels(complete=True)
    pictures = {"/".join(name.split("/")[-2:]): name for name in listing.files if "/" in name}
    for table in listing.files:
        found = re.search(r"(?:^|/)(training|validation|automatically_annotated)\.csv\Z", table, re.IGNORECASE)
        if found is None:
            continue
        labels.used.add(table)
        part = card.values["part"].get(found[1].lower(), found[1].lower())
        for line, cells in _table(listing, table, _AFFECTNET_COLUMNS, labels.notes):
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


def _affectnet_files(listing: Listing, card: Card) -> Labels:
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
            labels.notes.append(f"{name}: wanted an array of one number, got {_brief(str(error))}")
            continue
        labels.rows[picture] = Row(0, *label_fields(card, code.removesuffix(".0"), name))
    return labels


# MMI


def _mmi(listing: Listing, card: Card) -> Labels:
    """`Sessions/<id>/*.xml` beside a clip: the emotion of the session, and the action units of *-oao_aucs.xml."""
    labels = Labels()
    folders: dict[str, dict[str, list[str]]] = {}
    for name in listing.files:
        folder, base = posixpath.split(name)
        kind = {".avi": "clips", ".xml": "texts"}.get(posixpath.splitext(base)[1].lower())
        if kind:
            folders.setdefault(folder, {"clips": [], "texts": []})[kind].append(name)
    for members in folders.values():
        code, units = None, []
        for name in members["texts"] if members["clips"] else ():
            labels.used.add(name)
            try:
                root = ElementTree.fromstring((_read(listing, name, labels.notes) or "").encode())
            except ElementTree.ParseError as error:
                labels.notes.append(f"{name}: wanted XML, got {error}")
                continue
            tags = [(_local(element.tag), element.attrib) for element in root.iter()]
            code = next(
                (a.get("Value", "") for tag, a in tags if tag == "Metatag" and a.get("Name") == "Emotion"), code
            )
            units += [f"AU{a['Number']}" for tag, a in tags if tag == "ActionUnit" and a.get("Number", "").isdigit()]
        for clip in members["clips"]:
            fields, attributes = label_fields(card, code, clip) if code is not None else ({}, {})
            if units:
                fields["action_units"] = tuple(dict.fromkeys(units))
            labels.rows[clip] = Row(0, fields, attributes)
    return labels


def _local(tag: Any) -> str:
    return str(tag).rpartition("}")[2]


# Toronto Face Database


def _tfd(listing: Listing, card: Card) -> Labels:
    """`TFD_48x48.mat` or `TFD_96x96.mat`; of two, the larger pictures. Unlabelled entries are left out."""
    labels = Labels()
    tables = [name for name in listing.files if re.search(r"(?:^|/)TFD_\d+x\d+\.mat\Z", name, re.IGNORECASE)]
    labels.used.update(tables)
    if not tables:
        return labels
    name = max(tables, key=lambda file: int(re.findall(r"(\d+)x", file)[-1]))
    try:
        from scipy.io import loadmat

        data = loadmat(listing.folder / name, variable_names=["labs_ex", "labs_id", "folds"])
        parts = card.values.get("folds", {})
        codes, people = np.asarray(data["labs_ex"]).ravel(), np.asarray(data["labs_id"]).ravel()
        folds = np.asarray(data["folds"]).reshape(len(codes), -1)
        if len(people) != len(codes):
            raise ValueError(f"{len(people)} identities for {len(codes)} labels")
    except NotImplementedError:
        labels.notes.append(f"{name}: is a Matlab file of version 7.3; save it again in Matlab with '-v7'")
        return labels
    except Exception as error:  # scipy raises nearly everything on a damaged file
        labels.notes.append(f"{name}: wanted a Matlab file with labs_ex, labs_id and folds, got {_brief(str(error))}")
        return labels
    for entry in np.flatnonzero(codes != -1):
        fields, attributes = label_fields(card, str(int(codes[entry])), f"{name}, entry {entry}")
        fields["subject"] = f"id{int(people[entry])}" if people[entry] != -1 else f"entry{entry}"
        attributes |= {"entry": str(entry), "folds": " ".join(parts.get(str(int(n)), "none") for n in folds[entry])}
        labels.inside.append(Inside(name, int(entry), f"tfd{entry:06d}", fields, attributes))
    return labels


# What they share


def label_fields(card: Card, word: str, where: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Record fields and attributes of one of the data set's words for an expression: a house label, a class that has
    none, or the error that it is unknown."""
    label = card.label(word)
    if label is not None:
        return {"expression": label}, {}
    if word in card.other_labels:
        return {}, {"expression": card.other_labels[word]}
    wanted = ", ".join([*card.labels, *card.other_labels])
    return {"error": f"{where}: wanted an expression among {wanted}, got {_brief(word)!r}"}, {}


def _find(listing: Listing, pattern: str) -> str | None:
    """The first file whose name the pattern fits, in any case."""
    matcher = re.compile(rf"(?:^|/)(?:{pattern})\Z", re.IGNORECASE)
    return next((name for name in listing.files if matcher.search(name)), None)


def _read(listing: Listing, name: str, notes: list[str]) -> str | None:
    try:
        return (listing.folder / name).read_bytes().decode("utf-8-sig", "replace")
    except OSError as error:
        notes.append(f"{name}: cannot be read: {error.strerror}")
        return None


def _table(
    listing: Listing, name: str, wanted: Iterable[str], notes: list[str]
) -> Iterator[tuple[int, dict[str, str]]]:
    """(line, lower-case column -> cell) of a table with a header; a note and nothing if it lacks a column."""
    text = _read(listing, name, notes)
    if text is None:
        return
    reader = csv.reader(io.StringIO(text, newline=""))
    columns: list[str] = []
    try:
        for cells in reader:
            if not columns:
                columns = [cell.strip().lower() for cell in cells]
                if missing := [column for column in wanted if column not in columns]:
                    got = _brief(", ".join(columns))
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


def _brief(text: str) -> str:
    text = shown(" ".join(text.split()))
    return text if len(text) <= 80 else text[:77] + "..."


SOURCES: Mapping[str, Callable[[Listing, Card], Labels]] = {
    "fer2013": _fer2013,
    "ferplus": _ferplus,
    "ckplus": _ckplus,
    "rafdb": _rafdb,
    "affectnet": _affectnet,
    "affectnet-files": _affectnet_files,
    "mmi": _mmi,
    "tfd": _tfd,
}
