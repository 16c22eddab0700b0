"""Labels of CK+: the emotion and the action units of the last frame of each sequence."""

from __future__ import annotations

import re
from typing import Any

from fer3d.catalog.cards import Card
from fer3d.catalog.folder_listing import Listing
from fer3d.catalog.label_table import Row
from fer3d.catalog.labels.reading import Labels, brief, label_fields, read_text


def ckplus(listing: Listing, card: Card) -> Labels:
    """Read `Emotion*/S005/001/*_emotion.txt` and `FACS*/...`: labels of the last frame. The first frame is neutral."""
    labels = Labels()
    frames: dict[str, list[tuple[int, str]]] = {}
    files: dict[str, dict[str, str]] = {"emotion": {}, "facs": {}}
    for name in listing.files:
        if match := re.search(r"(?:^|/)(S\d{3}_\d{3})_(\d{8})\.png\Z", name):
            frames.setdefault(match[1], []).append((int(match[2]), name))
        elif match := re.search(r"(?:^|/)(S\d{3}_\d{3})_\d{8}_(emotion|facs)\.txt\Z", name):
            files[match[2]][match[1]] = name
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
    """Read whole numbers, written as decimals, line by line from a text file. [], with a note, if it has others."""
    text = read_text(listing, name, notes)
    try:
        numbers = [[float(word) for word in line.split()] for line in (text or "").splitlines() if line.strip()]
        if not all(number.is_integer() for line in numbers for number in line):
            raise ValueError
        return numbers
    except ValueError:
        notes.append(f"{name}: wanted whole numbers, got {brief(text or '')!r}")
        return []
