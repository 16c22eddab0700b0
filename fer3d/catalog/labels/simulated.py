"""Labels of simulated scans in any layout: the action units of the ground truth beside them."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from pathlib import Path

from fer3d.catalog.action_units import PRESENT, STRONGEST, shown_and_absent, unit_number
from fer3d.catalog.folder_listing import TRUTH_FILE, Listing
from fer3d.catalog.label_table import Row, brief
from fer3d.catalog.labels.reading import Labels
from fer3d.files import read_table


def simulated(listing: Listing) -> Labels:
    """Read the action units of each scan, with intensities, from `truth.parquet`. All other units are absent.

    The table may list scans that are not in the folder: parts of a simulated data set can be removed.
    """
    labels = Labels()
    for name in listing.files:
        if posixpath.basename(name) != TRUTH_FILE:
            continue
        import pyarrow as pa

        labels.used.add(name)
        folder = posixpath.dirname(name)
        try:
            rows = [(file, shown_and_absent(codes_of(weights))) for file, weights in _weights(listing.folder / name)]
        except (OSError, pa.ArrowException, LookupError, TypeError, ValueError) as error:
            reason = brief(str(error))
            labels.notes.append(f"{name}: wanted the truth of a simulation, got {reason}: no action units are known")
            continue
        for file, (present, absent) in rows:
            fields = {"action_units": present, "absent_units": absent}
            labels.rows[posixpath.join(folder, file)] = Row(0, fields, {})
    return labels


def codes_of(weights: Mapping[str, float]) -> tuple[str, ...]:
    """Return the codes of action units, sorted by number, with the intensity, and the side if only one side is active.

    A weight of 1, the full strength of a unit, is intensity 5. That the intensity is linear in the weight is our
    choice.

    Args:
        weights: Weight of every unit of the face model. Names have a side where the model has one.

    >>> codes_of({"AU12_L": 0.5, "AU12_R": 0.0, "AU26": 1.2, "AU4": 0.01})
    ('AU4:0', 'AU12L:2.5', 'AU26:5')
    """
    sides: dict[str, dict[str, float]] = {}
    for unit, weight in weights.items():
        name, _, side = unit.partition("_")
        sides.setdefault(name, {})[side] = weight if weight >= PRESENT else 0.0
    codes = []
    for name in sorted(sides, key=unit_number):
        active = [side for side, weight in sides[name].items() if weight]
        side = active[0] if len(active) == 1 < len(sides[name]) else ""
        codes.append(f"{name}{side}:{round(STRONGEST * min(max(sides[name].values()), 1.0), 2):g}")
    return tuple(codes)


def _weights(path: Path) -> list[tuple[str, dict[str, float]]]:
    """Return (path of a scan relative to the table, weight of every unit that any scan has) for each scan."""
    table = read_table(path).select(["file", "units"])
    rows = [(_text(row["file"]), dict(row["units"])) for row in table.to_pylist()]
    none = {unit: 0.0 for _, weights in rows for unit in weights}  # a scan lists only its active units
    return [(file, none | weights) for file, weights in rows]


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} as the name of a file")
    return value
