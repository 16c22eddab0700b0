"""Labels of MMI: the emotion and the action units in the XML files of each session."""

from __future__ import annotations

import posixpath
from typing import Any
from xml.etree import ElementTree

from fer3d.catalog.cards import Card
from fer3d.catalog.folder_listing import Listing
from fer3d.catalog.label_table import Row
from fer3d.catalog.labels.reading import Labels, label_fields, read_text


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
        code, units = None, []
        for name in members["texts"] if members["clips"] else ():
            labels.used.add(name)
            try:
                root = ElementTree.fromstring((read_text(listing, name, labels.notes) or "").encode())
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
