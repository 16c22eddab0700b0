"""Are frames of one sequence in training and test?"""

from __future__ import annotations

import re
from collections import defaultdict

from fer3d.evaluate.audit.findings import FOUND, NOT_FOUND, Finding, cannot_tell, count, percent, shown
from fer3d.evaluate.audit.parts import Parts
from fer3d.evaluate.audit.predictions import Tested
from fer3d.evaluate.audit.subjects import DRAWN, PARTS_NEEDED

CHECK = "sequences"
_FEWEST = 3  # frames by which a sequence is known


def check_sequences(tested: Tested, parts: Parts | None) -> Finding:
    """Look for sequences of which some frames are in training and others in the test."""
    if parts is None:
        return cannot_tell(CHECK, PARTS_NEEDED)
    if parts.redrawn:
        return cannot_tell(CHECK, PARTS_NEEDED, DRAWN)
    if not parts.knows("sequence"):
        return _by_people(parts)
    shared, total = parts.shared("sequence"), len(parts.where["sequence"])
    if not shared:
        detail = f"All frames of each of {count(total, 'sequence')} are on one side ({parts.source})."
        return Finding(CHECK, NOT_FOUND, detail)
    rows = parts.rows(tested, "sequence", shared)
    clean = tested.accuracy_of(~rows)
    detail = f"{len(shared)} of {count(total, 'sequence')} have frames in training and in the test ({parts.source})."
    if clean is not None and rows.any():
        detail += f" On the other sequences the accuracy is {percent(clean)}."
    return Finding(CHECK, FOUND, detail, examples=shown(parts.names("sequence", shared)), corrected=clean)


def _by_people(parts: Parts) -> Finding:
    """Without a column of sequences: a sequence shows one person, so people on one side have theirs there too."""
    needs = "the sequence of each frame: a column sequence, or subject and frame"
    if parts.knows("subject") and not parts.shared("subject"):
        return Finding(CHECK, NOT_FOUND, "Nobody is on two sides, so no sequence of a person is either.")
    split = _alike(parts)
    if not split:
        return cannot_tell(CHECK, needs)
    detail = f"Scans whose names differ in their last number only are in training and test, such as {split[0]}."
    return cannot_tell(CHECK, needs, detail)


def _alike(parts: Parts) -> list[str]:
    """Names of scans without their last number, if several scans have them, in training and test."""
    places: dict[str, set[tuple[object, str]]] = defaultdict(set)
    frames: dict[str, set[str]] = defaultdict(set)
    for name, own in parts.where.get("id", {}).items():
        match = re.fullmatch(r"(.*\D)(\d+)(\D*)", name, re.DOTALL)
        if match:
            places[match[1]] |= own
            frames[match[1]].add(match[2])
    found = []
    for stem, all_places in places.items():
        tested = {key for key, part in all_places if part == "test"}
        trained = tested & {key for key, part in all_places if part == "train"}
        if parts.whole and len(tested) > 1:
            trained = tested
        if trained and len(frames[stem]) >= _FEWEST:
            found.append(f"{stem}*")
    return sorted(found)
