"""Which column of a table is which: names that people use, and names that a user gives."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from fer3d.checks import check_choice, did_you_mean
from fer3d.errors import ArgumentError, FormatError
from fer3d.evaluate.audit.tables import Columns
from fer3d.files import brief_line

# Role -> what it means, and the names by which it is known, the likeliest first; case, blanks, _ and - do not matter.
ROLES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    role: (meaning, tuple(names.split()))
    for role, meaning, names in (
        (
            "truth",
            "the true class",
            "truth true true_label y_true ground_truth gt target actual expression emotion label labels class y",
        ),
        (
            "predicted",
            "the predicted class; not needed beside probabilities",
            "predicted prediction predictions pred preds y_pred y_hat predicted_label pred_label predicted_class "
            "pred_class output answer",
        ),
        (
            "subject",
            "the person",
            "subject subject_id subj person person_id participant participant_id identity actor speaker who",
        ),
        ("id", "a name of the scan", "id scan scan_id sample sample_id name image_id key uid"),
        ("path", "the file of the scan", "path file_path file filename image_path image picture img"),
        ("hash", "a hash of the content", "hash sha256 sha1 md5 checksum digest content_hash"),
        ("sequence", "the recording of a frame", "sequence sequence_id seq video video_id clip clip_id"),
        ("frame", "the number of a frame", "frame frame_id frame_number frame_index"),
        ("fold", "the fold in which the scan is tested", "fold fold_id cv_fold cv split"),
        ("round", "the repetition of all folds", "round repeat repetition seed"),
        ("part", "train, validation or test", "part partition subset set phase usage split"),
        ("batch", "the number of the batch in the test", "batch batch_id batch_index batch_number"),
    )
}
PARTS = {
    **dict.fromkeys(("train", "training", "trn"), "train"),
    **dict.fromkeys(("validation", "val", "valid", "dev", "devel", "publictest"), "validation"),
    **dict.fromkeys(("test", "testing", "tst", "eval", "evaluation", "heldout", "holdout", "privatetest"), "test"),
}


def given_columns(texts: Iterable[str]) -> dict[str, str]:
    """Role -> name of a column, from texts such as "subject=person_no".

    Raises:
        ArgumentError: if a text is not of this form, a role is unknown, or it is given twice.
    """
    found: dict[str, str] = {}
    for text in texts:
        role, sign, name = text.partition("=")
        if not sign or not name:
            raise ArgumentError(f"`column` should be ROLE=NAME, such as subject=person_no, is {text!r}")
        check_choice("column", role, ROLES)
        if role in found:
            raise ArgumentError(f"`column` should name each role once, names {role} twice")
        found[role] = name
    return found


def find_columns(columns: Columns, given: Mapping[str, str], path: Path, *, strict: bool = True) -> dict[str, str]:
    """The columns that a table has.

    Args:
        columns: The table.
        given: Role -> name, which the user said.
        path: The file, for messages.
        strict: Whether a given name must be there.

    Returns:
        Role -> name of its column. Two roles never share a column unless the user says so.

    Raises:
        FormatError: if a given column is not there.
    """
    found: dict[str, str] = {}
    for role, name in given.items():
        if name in columns:
            found[role] = name
        elif strict:
            hint = did_you_mean(name, columns)
            raise FormatError(f"{path}: should hold the column {name!r} ({role}), holds {listed(columns)}{hint}")
    for role, (_, aliases) in ROLES.items():
        if role in found:
            continue
        free = {folded(name): name for name in columns if name not in found.values() and _may_be(role, columns, name)}
        known = [free[alias] for alias in map(folded, aliases) if alias in free]
        if known:
            found[role] = known[0]
    return found


def listed(names: Iterable[str]) -> str:
    """Names of columns for a message."""
    return brief_line(", ".join(names), 300)


def folded(name: str) -> str:
    """A name without case, blanks, _, - and dots."""
    return re.sub(r"[\W_]+", "", name.casefold())


def part_of(cell: str) -> str | None:
    """train, validation or test, from a word for it; None for another word."""
    return PARTS.get(folded(cell))


def _may_be(role: str, columns: Columns, name: str) -> bool:
    """Whether the cells of a column suit a role: `split` is a part if it holds such words, else a fold."""
    if role == "part":
        return all(part_of(cell) for cell in columns[name])
    if role == "fold":
        return not all(part_of(cell) for cell in columns[name])
    if role == "frame":
        return all(re.fullmatch(r"\d+", cell) for cell in columns[name])
    return True
