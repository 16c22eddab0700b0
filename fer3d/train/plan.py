"""What is asked of a training run: which scans, which protocol, which folds; and the rows and folds that answer it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fer3d.catalog import protocols
from fer3d.catalog.protocols import Fold, Protocol
from fer3d.data.samples import labelled_rows
from fer3d.errors import ArgumentError
from fer3d.files import read_json


@dataclass(frozen=True)
class Question:
    """Which scans, which protocol, which folds.

    Attributes:
        data: Prepared folder.
        protocol: A name of `fer3d.catalog.protocol_files.protocol_names(data)`, or a folds.json.
        test_data: Prepared folder to test on, with protocol "cross" and only then.
        classes, folds: For the general protocols, see `load_protocol`.
        rounds: How often to shuffle anew.
        validation: Whether a block of subjects watches the training.
        allow_missing: Make do with the subjects at hand.
        only: Numbers of the folds to train, of every round; None: all.
    """

    data: Path
    protocol: str = "k-fold"
    test_data: Path | None = None
    classes: tuple[str, ...] | None = None
    folds: int | None = None
    rounds: int = 1
    validation: bool = False
    allow_missing: bool = False
    only: tuple[int, ...] | None = None


@dataclass(frozen=True, eq=False)
class Plan:
    """A run, ready to begin.

    Attributes:
        protocol: With notes on subjects that were missing.
        folds: All of them.
        chosen: Those to train now.
        sources: Prepared folders, each with the rows that some fold uses.
    """

    protocol: Protocol
    folds: list[Fold]
    chosen: list[Fold]
    sources: list[tuple[Path, list[Mapping[str, Any]]]]


def question_of(
    data: Path,
    protocol: str,
    test_data: Path | None,
    fold: str,
    folds: int | None,
    rounds: int,
    labels: str | None,
    validation: bool,
    allow_missing: bool,
) -> Question:
    """A `Question` from what is typed on the command line: `fold` is "all" or "0,1,2", `labels` "fear,happiness".

    Raises:
        ArgumentError: if `fold` is neither.
    """
    parts = [part.strip() for part in fold.split(",")]
    if fold != "all" and not all(part.isdigit() for part in parts):
        raise ArgumentError(f"`fold` should be all, or numbers such as 0,1,2, is {fold!r}")
    only = None if fold == "all" else tuple(int(part) for part in parts)
    classes = tuple(labels.split(",")) if labels else None
    return Question(data, protocol, test_data, classes, folds, rounds, validation, allow_missing, only)


def plan_run(question: Question, seed: int) -> Plan:
    """The answer to a question; nothing but manifests is read.

    Args:
        question: Which scans, which protocol, which folds.
        seed: Of the folds.

    Raises:
        ArgumentError: if a fold number, a test folder or a label is wrong, or no scan fits the protocol.
        ProtocolError: as `make_folds`, `check_folds` and `check_scans`.
        FileError, FormatError: if a manifest or a folds.json cannot be read.
    """
    if (question.protocol == "cross") != (question.test_data is not None):
        raise ArgumentError("`test_data` should be given with protocol cross, and only then")
    own = Path(question.protocol) if question.protocol.endswith(".json") else None
    name = "k-fold" if own else question.protocol
    protocol = protocols.load_protocol(name, question.classes, question.folds, question.data)
    rows = protocols.choose_rows(protocol, labelled_rows(question.data))
    if not rows:
        raise ArgumentError(f"{question.data}: has no scan that protocol {protocol.name} uses")
    sources = [(question.data, rows)]
    if question.test_data is not None:
        others = protocols.choose_rows(protocol, labelled_rows(question.test_data))
        sources = [(folder, _qualified(part)) for folder, part in ((question.data, rows), (question.test_data, others))]
        folds = protocols.cross_fold(sources[0][1], sources[1][1])
    elif own:
        protocol = Protocol(own.name, protocol.facts)
        folds = protocols.folds_from_json(read_json(own), str(own))
    elif question.protocol == "parts":
        folds = protocols.part_folds(rows)
    else:
        protocol, folds = protocols.make_folds(
            protocol,
            rows,
            rounds=question.rounds,
            seed=seed,
            validation=question.validation,
            allow_missing=question.allow_missing,
        )
    wanted = {subject for fold in folds for subjects in fold.parts().values() for subject in subjects}
    sources = [(folder, [row for row in part if row["subject"] in wanted]) for folder, part in sources]
    protocols.check_scans(folds, [row for _, part in sources for row in part])
    return Plan(protocol, folds, _chosen(folds, question.only), sources)


def _qualified(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Rows whose subjects carry the name of their data set: two sets may use one name for two people."""
    return [{**row, "subject": f"{row['dataset']}/{row['subject']}"} for row in rows]


def _chosen(folds: Sequence[Fold], only: tuple[int, ...] | None) -> list[Fold]:
    numbers = sorted({fold.fold for fold in folds})
    for number in only or ():
        if number not in numbers:
            raise ArgumentError(f"`fold` should lie in [0, {numbers[-1]}] or be `all`, is {number}")
    return [fold for fold in folds if only is None or fold.fold in only]
