"""Labels of simulated scans, whatever layout they have: action units, from the truth beside them."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping

from fer3d.catalog.action_units import PRESENT, STRONGEST, shown_and_absent, unit_number
from fer3d.catalog.folder_listing import TRUTH_FILE, Listing
from fer3d.catalog.label_table import Row
from fer3d.catalog.labels.reading import Labels, brief


def simulated(listing: Listing) -> Labels:
    """Which action units `truth.parquet` says that each scan shows, and how strongly; every other unit is absent.

    Scans that are no longer there are left out: parts of a simulated set can be taken away.
    """
    labels = Labels()
    for name in listing.files:
        if posixpath.basename(name) != TRUTH_FILE:
            continue
        labels.used.add(name)
        folder = posixpath.dirname(name)
        for file, weights in _weights(listing, name, labels.notes):
            shown, absent = shown_and_absent(codes_of(weights))
            fields = {"action_units": shown, "absent_units": absent}
            labels.rows[posixpath.join(folder, file)] = Row(0, fields, {})
    return labels


def codes_of(weights: Mapping[str, float]) -> tuple[str, ...]:
    """Codes of action units, by number: intensity, and side where only one side shows it.

    A weight of 1, the full strength of a unit, is intensity 5; that it grows evenly with the weight is our own choice.

    Args:
        weights: All units of the face model, with side if they have one -> weight.

    >>> codes_of({"AU12_L": 0.5, "AU12_R": 0.0, "AU26": 1.2, "AU4": 0.01})
    ('AU4:0', 'AU12L:2.5', 'AU26:5')
    """
    sides: dict[str, dict[str, float]] = {}
    for unit, weight in weights.items():
        name, _, side = unit.partition("_")
        sides.setdefault(name, {})[side] = weight if weight >= PRESENT else 0.0
    codes = []
    for name in sorted(sides, key=unit_number):
        shown = [side for side, weight in sides[name].items() if weight]
        side = shown[0] if len(shown) == 1 < len(sides[name]) else ""
        codes.append(f"{name}{side}:{round(STRONGEST * min(max(sides[name].values()), 1.0), 2):g}")
    return tuple(codes)


def _weights(listing: Listing, name: str, notes: list[str]) -> list[tuple[str, dict[str, float]]]:
    """Path of each scan below the folder of the truth -> weight of every unit that any of the scans has."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(listing.folder / name, columns=["file", "units"])
        rows = [(row["file"], dict(row["units"])) for row in table.to_pylist()]
    except (OSError, pa.ArrowException, KeyError, TypeError, ValueError) as error:
        notes.append(f"{name}: wanted the truth of a simulation, got {brief(str(error))}: no action units are known")
        return []
    none = {unit: 0.0 for _, weights in rows for unit in weights}  # a scan lists those that anything moves
    return [(file, none | weights) for file, weights in rows]
