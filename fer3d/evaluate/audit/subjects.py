"""Is anybody in training and test?"""

from __future__ import annotations

from collections import defaultdict

from fer3d.evaluate.audit.findings import FOUND, NOT_FOUND, Finding, cannot_tell, count, percent, shown
from fer3d.evaluate.audit.parts import Parts
from fer3d.evaluate.audit.predictions import Tested

CHECK = "subjects"
PARTS_NEEDED = "who or what was trained on: --folds FOLDS, a table with the columns subject (or id) and part or fold"
DRAWN = "Most scans are tested in several folds, so the folds are draws that do not say who was trained on."


def check_subjects(tested: Tested, parts: Parts | None) -> Finding:
    """Look for people who are in the training, or validation, and in the test of one fold."""
    if parts is None:
        return cannot_tell(CHECK, PARTS_NEEDED)
    if not parts.knows("subject"):
        return cannot_tell(CHECK, "the person of each scan, in training and test: a column subject")
    if parts.redrawn or _may_be_redrawn(tested, parts):
        return cannot_tell(CHECK, PARTS_NEEDED, DRAWN)
    people = len(parts.where["subject"])
    for other in ("train", "validation"):
        shared = parts.shared("subject", other)
        if not shared:
            continue
        rows = parts.rows(tested, "subject", shared)
        clean = tested.accuracy_of(~rows)
        verb = "is" if len(shared) == 1 else "are"
        detail = f"{len(shared)} of {count(people, 'person')} {verb} in {_words(other)}"
        detail += " and in the test of one fold" + (
            f", as each fold is trained on the others ({parts.source})." if parts.whole else f" ({parts.source})."
        )
        if clean is not None and rows.any():
            known = percent(tested.accuracy_of(rows) or 0)
            detail += f" On the other people the accuracy is {percent(clean)}, on these {known}."
        return Finding(CHECK, FOUND, detail, examples=shown(parts.names("subject", shared)), corrected=clean)
    return Finding(CHECK, NOT_FOUND, f"Each of {count(people, 'person')} is on one side only ({parts.source}).")


def _words(part: str) -> str:
    return {"train": "training"}.get(part, part)


def _may_be_redrawn(tested: Tested, parts: Parts) -> bool:
    """Without names of scans: whether the people of several folds have the same classes in each of them."""
    shared = parts.shared("subject")
    if not (parts.whole and parts.aligned and shared) or parts.knows("id") or "subject" not in tested.texts:
        return False
    labels: dict[tuple[str, tuple[str, str]], list[int]] = defaultdict(list)
    for subject, key, label in zip(tested.texts["subject"], tested.keys, tested.truth.tolist(), strict=True):
        labels[subject, key].append(label)
    by_person: dict[str, set[tuple[int, ...]]] = defaultdict(set)
    for (subject, _), own in labels.items():
        by_person[subject].add(tuple(sorted(own)))
    return all(len(kinds) == 1 for kinds in by_person.values())
