"""What is doubtful about the scans of a manifest, in a few words, the worst first."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

import numpy as np

Row = Mapping[str, Any]

# The start of a warning -> its rank: doubts about which face it is and how it is held come before all others.
_RANKS = {
    "a second face": 1,
    "no component looks like a face": 1,
    "the face was found with": 1,
    "landmarks found on the shape": 2,
    "pose from the shape": 2,
    "landmarks not used": 2,
    "the landmarks name": 3,
    "cleaning dropped": 3,
}
_FAILED, _POSE, _LITTLE, _OTHER = 0, 2, 4, 5  # ranks of what no warning says, and of other warnings
_LITTLE_MEASURED = 0.6  # of the median share of measured pixels: below it much of the face is missing
# A pose from the nose search of earlier versions is doubtful above this misfit, or if less of the mean face about the
# nose is seen; a laughing face is 5 mm off and seen as a whole, a profile 9 mm, of half a face 73 % is seen.
_MISFIT, _COVERAGE = 6.5, 0.8
_COMMON = 0.5  # share of the scans from which a doubt is one about the data set, shown by a few scans
_SHOWN, _SHOWN_OF_COMMON = 8, 2  # scans that are shown of one kind of doubt


@dataclass(frozen=True)
class Doubt:
    """A scan that a person should look at.

    Attributes:
        row: Its row of the manifest.
        reasons: Why, each in a few words, the worst first. Of a failed scan, the reason why it failed.
        rank: How bad it is; 0: it failed.
        kind: The worst reason without its numbers and names, the same for scans with the same trouble.
        alike: Number of further scans of this kind that are not shown.
    """

    row: Row = field(repr=False)
    reasons: tuple[str, ...]
    rank: int
    kind: str
    alike: int = 0

    @property
    def failed(self) -> bool:
        """Whether the scan could not be prepared."""
        return self.rank == _FAILED


def doubts(rows: Sequence[Row]) -> list[Doubt]:
    """Find the doubtful scans, the worst first: failed, with warnings, a pose that fits badly, or little measured."""
    measured = [row["measured"] for row in rows if row["status"] == "ok" and row.get("measured") is not None]
    usual = float(np.median(measured)) if measured else 0.0
    found = [doubt for row in rows if (doubt := _doubt(row, usual)) is not None]
    return sorted(found, key=lambda doubt: doubt.rank)


def shown_doubts(found: Sequence[Doubt], scans: int, most: int) -> list[Doubt]:
    """Choose doubts to show: some of each kind, the worst kinds first, so that no kind hides another.

    Args:
        found: Result of `doubts`.
        scans: Number of all scans. A kind that half of them have is shown by two.
        most: Number of doubts to choose at most.
    """
    kinds: dict[str, list[Doubt]] = defaultdict(list)
    for doubt in found:
        kinds[doubt.kind].append(doubt)
    limits = {kind: _SHOWN_OF_COMMON if _is_common(len(of), scans) else _SHOWN for kind, of in kinds.items()}
    turns = zip_longest(*(of[: limits[kind]] for kind, of in kinds.items()))
    chosen = [doubt for turn in turns for doubt in turn if doubt is not None][:most]
    left = Counter(doubt.kind for doubt in found) - Counter(doubt.kind for doubt in chosen)
    last = {doubt.kind: number for number, doubt in enumerate(chosen)}
    marked = [
        Doubt(doubt.row, doubt.reasons, doubt.rank, doubt.kind, left[doubt.kind] if last[doubt.kind] == number else 0)
        for number, doubt in enumerate(chosen)
    ]
    order = {kind: number for number, kind in enumerate(kinds)}
    return sorted(marked, key=lambda doubt: (doubt.rank, order[doubt.kind]))


def common_kinds(found: Sequence[Doubt], scans: int) -> dict[str, int]:
    """Return the kinds that half of the `scans` have, with the number of scans: doubts about the data set."""
    return {kind: count for kind, count in Counter(doubt.kind for doubt in found).items() if _is_common(count, scans)}


def _is_common(count: int, scans: int) -> bool:
    return scans > 2 * _SHOWN_OF_COMMON and count > _COMMON * scans


def _doubt(row: Row, usual: float) -> Doubt | None:
    if row["status"] != "ok":
        reason = _short(row["reason"] or "no reason known", row["source"])
        return Doubt(row, (reason,), _FAILED, f"failed: {_kind(reason)}")
    ranked = [(_rank(text), text) for text in row["warnings"] or ()]
    measured = row.get("measured")
    if measured is not None and measured < _LITTLE_MEASURED * usual:
        ranked.append((_LITTLE, f"little measured: {measured:.0%} of the map, usual are {usual:.0%}"))
    ranked += [(_POSE, text) for text in _pose_doubts(row)]
    if not ranked:
        return None
    ranked.sort(key=lambda entry: entry[0])
    reasons = tuple(_short(text, row["source"]) for _, text in ranked)
    return Doubt(row, reasons, ranked[0][0], _kind(reasons[0]))


def _pose_doubts(row: Row) -> list[str]:
    """A doubt if a nose search of an earlier version found a pose that fits the mean face badly."""
    if row.get("pose_source") != "shape":
        return []
    history: list[dict[str, Any]] = json.loads(row["history"])
    fit = next((entry for entry in history if entry["step"] == "frontal"), {})
    misfit, coverage = fit.get("score_mm", 0.0), fit.get("coverage", 1.0)
    if misfit <= _MISFIT and coverage >= _COVERAGE:
        return []
    return [f"the pose fits badly: {misfit:.1f} mm off an average face, {coverage:.0%} of it seen"]


def _rank(warning: str) -> int:
    return next((rank for start, rank in _RANKS.items() if warning.startswith(start)), _OTHER)


def _kind(reason: str) -> str:
    """The words before the first number, name in quotes or colon."""
    return re.split(r"[\d'\"`:(]", reason, maxsplit=1)[0].strip().lower()


def _short(reason: str, source: str) -> str:
    """A reason without the path of the scan and without the advice after a semicolon."""
    return reason.removeprefix(f"{source}: ").partition("; ")[0]
