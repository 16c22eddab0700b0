"""Convert an inspection to JSON types: all that the tables of `fer3d inspect` say, and every row of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from fer3d.catalog.folder_listing import printable
from fer3d.catalog.inspection import Inspection
from fer3d.catalog.records import Record
from fer3d.scan import LABELS


def inspection_to_json(
    inspection: Inspection, axes: Mapping[str, str] | None = None, unit: str | float | None = None
) -> dict[str, Any]:
    """Convert an inspection to a dict of JSON types. Numbers that the card does not state are null.

    Args:
        inspection: The inspection.
        axes: `up` and `towards_camera`, if they are not those of the card.
        unit: Unit of the files, if it is not that of the card.
    """
    catalog = inspection.catalog
    card, expected, found = catalog.card, catalog.card.expected, inspection.detection
    return {
        "folder": printable(str(catalog.folder)),
        "dataset": card.name,
        "title": card.title,
        "kind": card.kind,
        "detection": None if found is None else {"reason": found.reason, "others": dict(found.others)},
        "names_people": card.names_people,
        "subjects": list(inspection.subjects),
        "counts": {
            "subjects": len(inspection.subjects),
            "scans": len(catalog.records),
            "sequences": inspection.sequences,
            "extra": len(catalog.extra),
            "ignored": catalog.ignored,
        },
        "expected": {
            "subjects": len(expected.subjects) or expected.people,
            "scans": expected.scans,
            "sequences": expected.sequences,
        },
        "classes": _classes(inspection),
        "class_counts": [asdict(count) for count in inspection.classes],
        "targets": dict(inspection.targets),
        "missing": [asdict(lack) for lack in inspection.missing],
        "absent": list(inspection.absent),
        "unexpected": list(inspection.unexpected),
        "gaps": {name: list(numbers) for name, numbers in inspection.gaps.items()},
        "without": dict(inspection.without),
        "axes": axes or {"up": card.up, "towards_camera": card.towards_camera},
        "unit": card.unit if unit is None else unit,
        "sizes": {name: list(size) for name, size in inspection.sizes.items()},
        "read": inspection.read,
        "unreadable": [asdict(failure) for failure in inspection.unreadable],
        "warnings": {name: list(warnings) for name, warnings in inspection.warned.items()},
        "duplicates": [asdict(pair) for pair in inspection.duplicates],
        "near_searched": inspection.near_searched,
        "errors": {record.relative: record.error for record in inspection.errors},
        "problems": {record.relative: list(record.problems) for record in catalog.records if record.problems},
        "extra": list(catalog.extra),
        "notes": list(catalog.notes),
        "records": [_record(record) for record in catalog.records],
    }


def _classes(inspection: Inspection) -> list[dict[str, Any]]:
    """Return the number of scans and of subjects of each class and intensity, in the order of the canonical labels."""
    people: dict[tuple[str | None, int | None], set[str]] = defaultdict(set)
    for record in inspection.catalog.records:
        people[record.expression, record.intensity].add(record.subject)
    order = [*LABELS, None]
    keys = sorted(inspection.counts, key=lambda key: (order.index(key[0]), key[1] is None, key[1] or 0))
    return [
        {"expression": label, "intensity": level, "scans": count, "subjects": len(people[label, level])}
        for label, level in keys
        for count in (inspection.counts[label, level],)
    ]


def _record(record: Record) -> dict[str, Any]:
    facts = {name: getattr(record, name) for name in ("id", "subject", "expression", "intensity", "sequence", "frame")}
    return {"scan": record.relative, **facts, "attributes": dict(record.attributes)}
