"""Output of `inspect`: an inspection as lines and tables. Imported only when that command runs."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
from rich.console import Group
from rich.table import Table
from rich.text import Text

from fer3d.catalog.folder_listing import printable
from fer3d.catalog.guessed_subjects import is_unknown
from fer3d.catalog.inspection import Inspection
from fer3d.catalog.records import Record
from fer3d.prepare.align import LARGEST, SMALLEST, fitting_unit
from fer3d.prepare.axes import axis_rotation
from fer3d.prepare.folder import card_axes
from fer3d.prepare.scan import AxisConvention
from fer3d.prepare.units import UNITS
from fer3d.prepare.warning_kinds import warning_kinds
from fer3d.scan import LABELS


def render(
    inspection: Inspection,
    frame: AxisConvention | None = None,
    unit: str | float | None = None,
    *,
    rows: int = 20,
) -> Group:
    """Format an inspection as lines and tables, which a `rich.console.Console` can print.

    Args:
        inspection: Result of `inspect`.
        frame: Axes and unit of the files. None: those of the card.
        unit: Unit of the files, if it is not that of `frame`.
        rows: Number of rows that are shown of a long list; one more row gives the number of the others.
    """
    catalog = inspection.catalog
    frame = frame or card_axes(catalog.card)
    unit = frame.unit if unit is None else unit
    lists = (
        _table("Class counts that differ", ("part", "class", "found", "missing"), _count_rows(inspection), rows),
        _table("In two parts", ("picture", "also", "how", "parts", "labels"), _duplicate_rows(inspection), rows),
        _table("Missing", ("subject", "class", "found", "missing"), _missing_rows(inspection), rows),
        _table("Gaps in sequences", ("sequence", "frames"), _gap_rows(inspection), rows),
        _table("Not usable", ("scan", "why"), [(r.relative, r.error or "") for r in inspection.errors], rows),
        _table("Cannot be read", ("scan", "what", "why"), _unreadable_rows(inspection), rows),
        _table("Not as large as a face", ("scan", "longest side"), _odd_sizes(inspection, unit), rows),
        _table("Warnings", ("what", "scans", "example"), _warning_rows(inspection), rows),
        _table("Problems", ("what", "scans", "example"), _problem_rows(catalog.records), rows),
        _table("Extra files", ("path",), [(path,) for path in catalog.extra], rows),
        _table("Notes", ("what",), [(note,) for note in catalog.notes], rows),
    )
    headline = Text("\n".join([*_headline(inspection), *_size_lines(inspection, frame, unit)]))
    return Group(headline, _class_table(inspection), *(table for table in lists if table is not None))


def _headline(inspection: Inspection) -> list[str]:
    catalog, expected = inspection.catalog, inspection.catalog.card.expected
    lines = [f"{printable(str(catalog.folder))}: {catalog.card.title}"]
    if inspection.detection is not None:
        lines.append(f"detected: {inspection.detection.reason}")
    subjects = [subject for subject in inspection.subjects if not is_unknown(subject)]
    nameless = sum(is_unknown(record.subject) for record in catalog.records)
    counts = [
        _of(len(subjects), len(expected.subjects) or expected.people, "subjects")
        if catalog.card.names_people
        else "no subjects named",
        _of(len(catalog.records), expected.scans, catalog.card.kind),
    ]
    if inspection.sequences:
        counts.append(_of(inspection.sequences, expected.sequences, "sequences"))
    lines.append(", ".join(counts) + f"; {len(catalog.extra)} extra files, {catalog.ignored} ignored")
    if catalog.card.names_people:
        lines.append("subjects: " + (_some(subjects) or "none is named"))
    if nameless:
        lines.append(f"of unknown people: {nameless:,} {catalog.card.kind}")
    if inspection.targets:
        lines.append("other targets: " + ", ".join(f"{name} of {n:,}" for name, n in inspection.targets.items()))
    if inspection.classes:
        complete = sum(count.got == count.wanted for count in inspection.classes)
        lines.append(f"classes with the count of a complete set: {complete} of {len(inspection.classes)}")
    if inspection.absent:
        lines.append("absent: " + _some(inspection.absent))
    if inspection.unexpected:
        lines.append(f"not subjects of {catalog.card.title}: " + _some(inspection.unexpected))
    lines += [f"without {role}: {count} scans" for role, count in inspection.without.items()]
    if inspection.read:
        lines.append(f"cannot be read: {len(inspection.unreadable)} files")
    if inspection.read and catalog.card.kind == "pictures":
        kinds = Counter(duplicate.kind for duplicate in inspection.duplicates)
        near = f"{kinds['near']} nearly" if inspection.near_searched else "too many pairs to look for near ones"
        lines.append(f"pictures in two parts: {kinds['exact']} exactly, {near}")
    return lines


def _size_lines(inspection: Inspection, frame: AxisConvention, unit: str | float) -> list[str]:
    """Describe unit, axes and size of the files that were read."""
    if not inspection.sizes:
        return []
    units = Counter(_unit_of(size, unit) for size in inspection.sizes.values())
    known = [
        f"{name} ({count:,} files)" if len(units) > 1 else str(name) for name, count in units.most_common() if name
    ]
    guessed = ", guessed from the size" if unit == "auto" else ""
    lines = [f"unit: {', '.join(known) + guessed if known else 'none fits the size; give --unit'}"]
    up, camera = (axis.replace("auto", default) for axis, default in ((frame.up, "+y"), (frame.towards_camera, "+z")))
    lines.append(f"axes: {up} up, {camera} to the camera (--up, --towards-camera)")
    lengths = [
        _mm_per(name) * np.abs(axis_rotation(frame.up, frame.towards_camera)) @ size
        for size in inspection.sizes.values()
        if (name := _unit_of(size, unit)) is not None
    ]
    if lengths:
        wide, high, deep = (
            f"{low:.0f}" if low == most else f"{low:.0f} to {most:.0f}"
            for low, most in zip(np.rint(np.min(lengths, axis=0)), np.rint(np.max(lengths, axis=0)), strict=True)
        )
        lines.append(f"size: {high} mm high, {wide} wide, {deep} deep")
    return lines


def _unit_of(size: Sequence[float], unit: str | float) -> str | float | None:
    return fitting_unit(max(size)) if unit == "auto" else unit


def _mm_per(unit: str | float) -> float:
    return UNITS[unit] if isinstance(unit, str) else unit


def _odd_sizes(inspection: Inspection, unit: str | float) -> list[tuple[str, ...]]:
    """One row per file that is as large as no face in the unit, or in any."""
    rows: list[tuple[str, ...]] = []
    for relative, size in inspection.sizes.items():
        known = _unit_of(size, unit)
        if known is None:
            rows.append((relative, f"{max(size):.4g} in the file, {SMALLEST:g} to {LARGEST:g} mm in no unit"))
        elif not SMALLEST <= max(size) * _mm_per(known) <= LARGEST:
            rows.append((relative, f"{max(size) * _mm_per(known):.4g} mm, not {SMALLEST:g} to {LARGEST:g}"))
    return rows


def _of(count: int, expected: int | None, what: str) -> str:
    return f"{count:,} {what}" if expected is None else f"{count:,} of {expected:,} {what}"


def _some(names: Sequence[str], most: int = 8) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most:,} more" if len(names) > most else "")


def _class_table(inspection: Inspection) -> Table:
    levels = sorted({level for _, level in inspection.counts if level is not None})
    labels = [label for label in (*LABELS, None) if any(key[0] == label for key in inspection.counts)]
    columns: list[int | None] = [*levels]
    if any(level is None for _, level in inspection.counts):
        columns.append(None)
    table = Table(title=inspection.catalog.card.kind.capitalize(), title_justify="left")
    table.add_column("class")
    table.add_column("subjects", justify="right")
    for level in columns if levels else ():
        table.add_column("no intensity" if level is None else f"intensity {level}", justify="right")
    table.add_column("all", justify="right")
    people = defaultdict(set)
    for record in inspection.catalog.records:
        people[record.expression].add(record.subject)
    for label in labels:
        counts = [inspection.counts.get((label, level), 0) for level in columns]
        cells = [label or "none", f"{len(people[label]):,}", *(f"{n:,}" for n in counts if levels), f"{sum(counts):,}"]
        table.add_row(*cells)
    return table


def _table(title: str, columns: Sequence[str], lines: Sequence[Sequence[str]], most: int) -> Table | None:
    if not lines:
        return None
    table = Table(*columns, title=f"{title}: {len(lines):,}", title_justify="left")
    for line in lines[:most]:
        table.add_row(*(Text(cell) for cell in line))  # Text: Rich would parse square brackets in a path as markup
    if len(lines) > most:
        table.add_row(f"and {len(lines) - most:,} more; --json shows all")
    return table


def _count_rows(inspection: Inspection) -> list[tuple[str, ...]]:
    return [
        (count.part or "all", count.label, f"{count.got:,} of {count.wanted:,}", f"{count.wanted - count.got:,}")
        for count in inspection.classes
        if count.got != count.wanted
    ]


def _duplicate_rows(inspection: Inspection) -> list[tuple[str, ...]]:
    return [
        (
            duplicate.first,
            duplicate.second,
            duplicate.kind,
            " and ".join(duplicate.groups),
            duplicate.labels[0] or "none"
            if duplicate.labels[0] == duplicate.labels[1]
            else " or ".join(str(x) for x in duplicate.labels),
        )
        for duplicate in inspection.duplicates
    ]


def _missing_rows(inspection: Inspection) -> list[tuple[str, ...]]:
    """One row for all subjects who lack the same, so that a small part of a data set is not hundreds of rows."""
    subjects: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for lack in inspection.missing:
        intensities = "intensity " + ", ".join(map(str, lack.intensities)) if lack.intensities else ""
        subjects[lack.expression, f"{lack.got} of {lack.wanted}", intensities].append(lack.subject)
    return [(_some(names, 3), *lacks) for lacks, names in subjects.items()]


def _gap_rows(inspection: Inspection) -> list[tuple[str, ...]]:
    return [(name, _some([str(number) for number in numbers])) for name, numbers in inspection.gaps.items()]


def _unreadable_rows(inspection: Inspection) -> list[tuple[str, ...]]:
    here = f"{inspection.catalog.folder}{os.sep}"
    return [
        (failure.relative, failure.role, printable(failure.reason.replace(here, "")))
        for failure in inspection.unreadable
    ]


def _warning_rows(inspection: Inspection) -> list[tuple[str, ...]]:
    """One row per kind of warning."""
    rows = [{"source": source, "warnings": warnings} for source, warnings in inspection.warned.items()]
    return [(kind.text, f"{kind.count:,}", kind.source) for kind in warning_kinds(rows)]


def _problem_rows(records: Iterable[Record]) -> list[tuple[str, ...]]:
    """One row per kind of problem, so that a data set without landmarks gives one row, not thousands."""
    kinds: dict[str, list[str]] = defaultdict(list)
    for record in records:
        for problem in record.problems:
            kinds[problem.partition(", ")[0]].append(f"{record.relative}: {problem}")
    return [(kind, f"{len(lines):,}", lines[0]) for kind, lines in sorted(kinds.items())]
