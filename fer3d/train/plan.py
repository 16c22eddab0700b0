"""`Experiment`: scans, protocol and folds to train on; and its plan: the manifest rows and the folds themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fer3d.catalog import protocols
from fer3d.catalog.guessed_subjects import notes_on_people
from fer3d.catalog.protocols import Fold, Protocol
from fer3d.catalog.stored_card import stored_card
from fer3d.catalog.targets import TARGETS, ClassTarget, Target, target_of
from fer3d.checks import check_choice
from fer3d.data.samples import labelled_rows, name_some
from fer3d.errors import ArgumentError, ProtocolError
from fer3d.files import read_json
from fer3d.prepare.store import read_manifest
from fer3d.train.left_out import LeftOut, left_out, left_out_note


@dataclass(frozen=True)
class Experiment:
    """The scans, the protocol and the folds of an experiment.

    Attributes:
        data: Prepared folder.
        protocol: A name out of `fer3d.catalog.protocol_files.protocol_names(data)`, or the path of a folds.json.
        test_data: Prepared folder to test on; only with protocol "cross".
        classes, folds: For the general protocols, see `load_protocol`.
        rounds: Number of rounds, each of which shuffles the subjects anew.
        validation: Whether to hold out a block of subjects for validation.
        allow_missing: Whether to use the available subjects if some of the protocol's are missing.
        only: Numbers of the folds to train, in every round; None: all.
        target: What the network predicts for a scan: one of `fer3d.catalog.targets.TARGETS`.
        distinct: With protocol "cross": the two folders hold different people, even where their names are the same.
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
    target: str = "expression"
    distinct: bool = False


@dataclass(frozen=True, eq=False)
class ExperimentPlan:
    """A run that is ready to start.

    Attributes:
        protocol: The protocol, with notes on missing subjects.
        folds: All folds.
        chosen: The folds to train now.
        sources: Prepared folders, each with the rows that any fold uses.
        target: What the network predicts for a scan.
        left_out: The scans of the folders that no fold uses, by reason.
        left_out_note: The same as a sentence, "" if there are none.
    """

    protocol: Protocol
    folds: list[Fold]
    chosen: list[Fold]
    sources: list[tuple[Path, list[Mapping[str, Any]]]]
    target: Target
    left_out: tuple[LeftOut, ...] = ()
    left_out_note: str = ""


def experiment_of(
    data: Path,
    protocol: str,
    test_data: Path | None,
    fold: str,
    folds: int | None,
    rounds: int,
    labels: str | None,
    validation: bool,
    allow_missing: bool,
    target: str = "expression",
    distinct: bool = False,
) -> Experiment:
    """An `Experiment` from command line arguments: `fold` is "all" or "0,1,2", `labels` "fear,happiness".

    Raises:
        ArgumentError: if `fold` has neither form.
    """
    parts = [part.strip() for part in fold.split(",")]
    if fold != "all" and not all(part.isdigit() for part in parts):
        raise ArgumentError(f"`fold` should be all, or numbers such as 0,1,2, is {fold!r}")
    only = None if fold == "all" else tuple(int(part) for part in parts)
    classes = tuple(labels.split(",")) if labels else None
    return Experiment(
        data, protocol, test_data, classes, folds, rounds, validation, allow_missing, only, target, distinct
    )


def plan_experiment(experiment: Experiment, seed: int) -> ExperimentPlan:
    """The plan of an experiment. Reads manifests only.

    Args:
        experiment: Scans, protocol and folds.
        seed: Seed that shuffles subjects into folds.

    Raises:
        ArgumentError: if a fold number, a test folder or a label is wrong, no scan fits the protocol, or `folds`,
            `rounds`, `validation` or `allow_missing` would have no effect.
        ProtocolError: as `make_folds`, `check_folds` and `check_scans`; for cross, if a person is in both folders.
        FileError, FormatError: if a manifest or a folds.json cannot be read.
    """
    if (experiment.protocol == "cross") != (experiment.test_data is not None):
        raise ArgumentError(
            "`test_data` should be given with protocol cross, and only then: --protocol cross --test-data FOLDER"
        )
    if experiment.distinct and experiment.protocol != "cross":
        raise ArgumentError(f"`distinct` is of protocol cross, `protocol` is {experiment.protocol}: leave it out")
    own = Path(experiment.protocol) if experiment.protocol.endswith(".json") else None
    name = "k-fold" if own else experiment.protocol
    check_choice("target", experiment.target, TARGETS)
    expressions = experiment.classes if experiment.target == "expression" else None
    protocol = protocols.load_protocol(name, expressions, experiment.folds, experiment.data)
    _check_used(experiment, protocol)
    folders = [folder for folder in (experiment.data, experiment.test_data) if folder]
    manifests = {folder: read_manifest(folder, records=False) for folder in folders}
    rows = _rows(experiment, protocol, experiment.data, manifests)
    if not rows:
        raise ArgumentError(f"{experiment.data}: has no scan that protocol {protocol.name} uses")
    sources = [(experiment.data, rows)]
    if experiment.test_data is not None:
        others = _rows(experiment, protocol, experiment.test_data, manifests)
        sources = _two_sources(experiment, rows, others)
        folds = protocols.cross_fold(sources[0][1], sources[1][1])
    elif own:
        protocol = Protocol(own.name, protocol.facts)
        folds = protocols.folds_from_json(read_json(own), str(own))
    elif experiment.protocol == "parts":
        folds = protocols.part_folds(rows)
    else:
        protocol, folds = protocols.make_folds(
            protocol,
            rows,
            rounds=experiment.rounds,
            seed=seed,
            validation=experiment.validation,
            allow_missing=experiment.allow_missing,
        )
    protocol = replace(protocol, notes=(*protocol.notes, *_notes_on_people(sources)))
    wanted = {subject for fold in folds for subjects in fold.parts().values() for subject in subjects}
    sources = [(folder, [row for row in part if row["subject"] in wanted]) for folder, part in sources]
    protocols.check_scans(folds, [row for _, part in sources for row in part])
    target = _target(experiment, protocol, [row for _, part in sources for row in part])
    return ExperimentPlan(
        protocol=protocol,
        folds=folds,
        chosen=_chosen(folds, experiment.only),
        sources=sources,
        target=target,
        **_left_out(experiment, protocol, manifests, sources, target),
    )


def _check_used(experiment: Experiment, protocol: Protocol) -> None:
    """Raise ArgumentError if a number or switch was given that the protocol does not use."""
    name = experiment.protocol
    fixed = {
        "cross": "makes one fold: one data set to train, one to test",
        "parts": "takes the data set's own parts as folds",
    }.get(name, "holds its folds" if name.endswith(".json") else "")
    one_each = "makes one fold of each subject" if name == "leave-one-out" else fixed
    facts = protocol.facts
    at_hand = "" if facts.subjects or facts.draw else fixed or "takes the subjects at hand"
    reasons = {
        "folds": one_each if experiment.folds is not None else "",
        "rounds": fixed if experiment.rounds != 1 else "",
        "validation": fixed if experiment.validation else "",
        "allow_missing": at_hand if experiment.allow_missing else "",
    }
    for option, reason in reasons.items():
        if reason:
            raise ArgumentError(f"`{option}` would change nothing: protocol {name} {reason}")


def _left_out(
    experiment: Experiment,
    protocol: Protocol,
    manifests: Mapping[Path, Sequence[Mapping[str, Any]]],
    sources: Sequence[tuple[Path, Sequence[Mapping[str, Any]]]],
    target: Target,
) -> dict[str, Any]:
    """The fields `left_out` and `left_out_note` of a plan."""
    parts = [
        part
        for folder, rows in sources
        for part in left_out(folder, manifests[folder], [row["id"] for row in rows], experiment.target, protocol)
    ]
    used = sum(len(rows) for _, rows in sources)
    chosen, general = experiment.classes is not None, protocol.facts.source == "general"
    return {
        "left_out": tuple(parts),
        "left_out_note": left_out_note(parts, used, target.names, chosen, general),
    }


def _rows(
    experiment: Experiment, protocol: Protocol, folder: Path, manifests: Mapping[Path, list[dict[str, Any]]]
) -> list[Mapping[str, Any]]:
    """The rows of a prepared folder that the experiment uses."""
    rows = labelled_rows(folder, target=experiment.target, manifest=manifests[folder])
    if experiment.target == "expression":
        return protocols.choose_rows(protocol, rows)
    if protocol.facts.source != "general":
        raise ArgumentError(f"`protocol` {protocol.name} is of expressions; of {experiment.target} use k-fold")
    return list(rows)


def _target(experiment: Experiment, protocol: Protocol, rows: Sequence[Mapping[str, Any]]) -> Target:
    """What the network predicts: the protocol's classes for expressions, else what `classes` or the rows name."""
    if experiment.target == "expression":
        return ClassTarget("expression", protocol.facts.classes)
    return target_of(rows, experiment.target, experiment.classes).target


def _notes_on_people(sources: Sequence[tuple[Path, Sequence[Mapping[str, Any]]]]) -> list[str]:
    """What a result should say about the people in the data of each folder, each line once."""
    notes: dict[str, None] = {}
    for folder, rows in sources:
        card = stored_card(folder)
        notes |= dict.fromkeys(notes_on_people(rows, names_people=card is None or card.names_people))
    return list(notes)


def _two_sources(
    experiment: Experiment, rows: Sequence[Mapping[str, Any]], others: Sequence[Mapping[str, Any]]
) -> list[tuple[Path, list[Mapping[str, Any]]]]:
    """The rows to train on and those to test on. Subjects are prefixed with their data set, as two data sets may use
    one name for two people; in two folders of one data set a name is of one person, unless the people are distinct.

    Raises:
        ProtocolError: if a person is in both folders.
    """
    assert experiment.test_data is not None
    mine, theirs = _qualified(rows), _qualified(others, "test-" if experiment.distinct else "")
    shared = sorted({row["subject"] for row in mine} & {row["subject"] for row in theirs})
    if shared:
        raise ProtocolError(
            f"protocol cross: {len(shared)} subjects are in both {experiment.data} and {experiment.test_data}: "
            f"{name_some(shared)}; if they are different people of the same names, type --distinct, else test on a "
            "folder without them"
        )
    return [(experiment.data, mine), (experiment.test_data, theirs)]


def _qualified(rows: Sequence[Mapping[str, Any]], prefix: str = "") -> list[Mapping[str, Any]]:
    """Rows whose subjects are prefixed with `prefix` and their data set."""
    return [{**row, "subject": f"{prefix}{row['dataset']}/{row['subject']}"} for row in rows]


def _chosen(folds: Sequence[Fold], only: tuple[int, ...] | None) -> list[Fold]:
    numbers = sorted({fold.fold for fold in folds})
    for number in only or ():
        if number not in numbers:
            raise ArgumentError(f"`fold` should lie in [0, {numbers[-1]}] or be `all`, is {number}")
    return [fold for fold in folds if only is None or fold.fold in only]
