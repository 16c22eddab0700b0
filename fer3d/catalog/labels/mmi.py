"""Labels of MMI: the emotion and the action units in the XML files of each session."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree

from fer3d.catalog.cards import Card
from fer3d.catalog.folder_listing import Listing
from fer3d.catalog.label_table import Row, brief
from fer3d.catalog.labels.reading import Labels, label_fields, read_content


def mmi(listing: Listing, card: Card) -> Labels:
    """Read `Sessions/<id>/*.xml` beside a clip: the emotion of the session, and the action units of *-oao_aucs.xml."""
    labels = Labels()
    folders: dict[str, dict[str, list[str]]] = {}
    for name in listing.files:
        folder, base = posixpath.split(name)
        kind = {".avi": "clips", ".xml": "texts"}.get(posixpath.splitext(base)[1].lower())
        if kind:
            folders.setdefault(folder, {"clips": [], "texts": []})[kind].append(name)
    for members in folders.values():
        if not members["clips"]:
            continue
        codes, units = _session(listing, members["texts"], labels)
        for clip in members["clips"]:
            fields, attributes = label_fields(card, next(iter(codes)), clip) if len(codes) == 1 else ({}, {})
            problems: tuple[str, ...] = ()
            if len(codes) > 1:
                problems = (f"the files of its session say the emotions {', '.join(map(brief, codes))}: none is used",)
            if units:
                fields["action_units"] = tuple(dict.fromkeys(units))
            labels.rows[clip] = Row(0, fields, attributes, problems)
    return labels


def _session(listing: Listing, names: Sequence[str], labels: Labels) -> tuple[dict[str, None], list[str]]:
    """Return the different codes of emotions in the XML files of a session, and the action units."""
    codes: dict[str, None] = {}
    units: list[str] = []
    for name in names:
        labels.used.add(name)
        content = read_content(listing, name, labels.notes)
        if content is None:
            continue
        try:
            root = ElementTree.fromstring(content)
        except (ElementTree.ParseError, LookupError, ValueError) as error:  # LookupError: an unknown encoding
            labels.notes.append(f"{name}: wanted XML, got {brief(str(error))}")
            continue
        for element in root.iter():
            tag, number = _local(element.tag), element.get("Number", "")
            if tag == "Metatag" and element.get("Name") == "Emotion":
                codes[element.get("Value", "")] = None
            elif tag == "ActionUnit" and re.fullmatch(r"\d{1,2}", number, re.ASCII) and int(number):
                units.append(f"AU{int(number)}")
            elif tag == "ActionUnit":
                labels.notes.append(f"{name}: wanted the number of an action unit, got {brief(number)!r}")
    return codes, units


def _local(tag: Any) -> str:
    return str(tag).rpartition("}")[2]
