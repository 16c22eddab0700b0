"""The scans of a prepared folder that an experiment leaves out, counted by reason: nothing is left out in silence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fer3d.catalog.protocols import Protocol, choose_rows
from fer3d.catalog.targets import says
from fer3d.scan import LABELS

Row = Mapping[str, Any]


@dataclass(frozen=True)
class LeftOut:
    """Scans that are left out for one reason.

    Attributes:
        folder: Name of the prepared folder.
        reason: Why, in the plural, such as "of class neutral".
        scans: Their number.
        example: Id of one of them.
        label: The class that is left out, if that is the reason.
    """

    folder: str
    reason: str
    scans: int
    example: str
    label: str | None = None

    def to_json(self) -> dict[str, Any]:
        """A plain dict."""
        return asdict(self)


def left_out(
    folder: Path, manifest: Sequence[Row], used: Iterable[str], target: str, protocol: Protocol
) -> tuple[LeftOut, ...]:
    """Count the rows of a manifest that are not used, by reason, the commonest first.

    Args:
        folder: The prepared folder.
        manifest: All its rows.
        used: The ids of the rows that some fold trains or tests on.
        target: What the network predicts.
        protocol: The protocol.
    """
    known = set(used)
    taken = [row for row in manifest if row["status"] == "ok" and row["id"] in known]
    rows = [row for row in manifest if row["status"] != "ok" or row["id"] not in known]
    people = {row["subject"] for row in taken}
    reasons = [_reason(row, target, protocol, people) for row in rows]
    counts = Counter(reasons)
    first = {reason: row["id"] for reason, row in zip(reversed(reasons), reversed(rows), strict=True)}
    return tuple(
        LeftOut(folder.name, reason, count, first[reason, label], label)
        for (reason, label), count in sorted(counts.items(), key=_place)
    )


def left_out_note(parts: Sequence[LeftOut], used: int, classes: Sequence[str], chosen: bool, general: bool) -> str:
    """One sentence about all scans that are left out, or "" if there are none.

    Args:
        parts: What is left out.
        used: Number of scans that are used.
        classes: The classes of the run.
        chosen: Whether the user chose the classes.
        general: Whether the protocol lets the user choose them.
    """
    if not parts:
        return ""
    folders = {part.folder for part in parts}
    named = [f"{part.scans} {part.reason}" + (f" in {part.folder}" if len(folders) > 1 else "") for part in parts]
    total = sum(part.scans for part in parts)
    text = f"left out {total} of {total + used} scans: {', '.join(named)}"
    labels = {part.label for part in parts if part.label is not None}
    if labels and general and not chosen:
        both = ",".join(label for label in LABELS if label in {*classes, *labels})
        text += f"; --labels {both} takes {'that class' if len(labels) == 1 else 'those classes'} too"
    return text


def _place(item: tuple[tuple[str, str | None], int]) -> tuple[int, int, str]:
    (reason, label), count = item
    return -count, LABELS.index(label) if label in LABELS else len(LABELS), reason


def _reason(row: Row, target: str, protocol: Protocol, people: Collection[str]) -> tuple[str, str | None]:
    if row["status"] != "ok":
        return "that failed in preprocessing", None
    if not says(row, target):
        return f"without a label ({target})", None
    if target == "expression" and row["expression"] not in protocol.facts.classes:
        return f"of class {row['expression']}", row["expression"]
    if target == "expression" and not choose_rows(protocol, [row]):
        return f"of other intensities or conditions than those of {protocol.name}", None
    if row["subject"] not in people:
        return "of subjects in no fold", None
    return f"of other frames than those of {protocol.name}", None
