"""An ensemble of trained runs: in each fold, weights learned on validation predictions are used on the test scans."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer3d.errors import ArgumentError
from fer3d.evaluate.compare import notes_of
from fer3d.evaluate.ensemble import combine, hinge_weights, likelihood_weights
from fer3d.evaluate.measure import measure, without_nan
from fer3d.evaluate.metrics import RESAMPLES, Interval
from fer3d.files import write_text
from fer3d.train.run_folder import Predictions, Run, fold_name, read_predictions, read_run, read_validation

RULES: Mapping[str, Callable[[NDArray[Any], NDArray[Any]], NDArray[np.float64]]] = {
    "likelihood": likelihood_weights,
    "hinge": hinge_weights,
}

Fold = tuple[int, int]  # round, fold


@dataclass(frozen=True)
class Member:
    """A run of an ensemble.

    Attributes:
        run, model: Names of the run and its network.
        weight: Mean weight over the folds.
        weights: Weight in each fold, in the order of `RunEnsemble.folds`.
        accuracy: Accuracy of the run alone.
    """

    run: str
    model: str
    weight: float
    weights: tuple[float, ...]
    accuracy: Interval


@dataclass(frozen=True, eq=False)
class RunEnsemble:
    """The predictions and the accuracy of an ensemble of runs on their test scans.

    Attributes:
        rule: The loss that the weights minimise: "likelihood" or "hinge".
        members: The runs, in the order given.
        folds: (round, fold) of each finished fold.
        predictions: Predictions of the ensemble on all test scans.
        accuracy: Accuracy of these predictions, with its 95 % interval by subject.
        equal_weights: The same for an ensemble with equal weights.
        notes: What a reader should know of the runs, such as scans that were left out.
    """

    rule: str
    members: tuple[Member, ...]
    folds: tuple[Fold, ...]
    predictions: Predictions
    accuracy: Interval
    equal_weights: Interval
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """All attributes except the predictions, as plain values."""
        content = {
            "rule": self.rule,
            "accuracy": vars(self.accuracy),
            "equal_weights": vars(self.equal_weights),
            "scans": len(set(self.predictions.ids)),
            "folds": [{"round": number, "fold": fold} for number, fold in self.folds],
            "notes": list(self.notes),
            "members": [vars(member) | {"accuracy": vars(member.accuracy)} for member in self.members],
        }
        plain: dict[str, Any] = without_nan(content)
        return plain

    def write(self, path: Path) -> None:
        """Write `to_json()` to a file. FileError if it cannot be written."""
        text = json.dumps(self.to_json(), indent=2, allow_nan=False, ensure_ascii=False) + "\n"
        write_text(path, text)


def ensemble_runs(
    folders: Sequence[str | Path],
    rule: str = "likelihood",
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> RunEnsemble:
    """Learn a weight for each run and average the test predictions of the runs with these weights [1].

    The weights of a fold are learned on that fold's validation scans alone: test scans never influence the weights with
    which they are predicted.

    Args:
        folders: Two or more run folders of the same folds and scans, trained with validation subjects.
        rule: Which loss the weights minimise, "likelihood" or "hinge"; see `fer3d.evaluate.ensemble`.
        resamples, seed: Number of resamples and seed of the bootstrap.

    Raises:
        ArgumentError: if there is no such rule, there are fewer than two runs, a run has no validation subjects, or the
            runs differ in classes, folds or scans (names the run and the difference).
        FileError, FormatError: as `read_run`, `read_predictions` and `read_validation`.

    References:
        .. [1] Yu, Zhang. Image based static facial expression recognition with multiple deep network learning. ICMI
           2015.
    """
    if rule not in RULES:
        raise ArgumentError(f"`rule` should be one of {', '.join(RULES)}, is {rule!r}")
    runs = [read_run(folder) for folder in folders]
    if len({run.folder.resolve() for run in runs}) < max(2, len(runs)):
        raise ArgumentError(f"`runs` should name two or more different runs, names {', '.join(r.name for r in runs)}")
    _check_same_folds(runs)
    tested = [_by_fold(read_predictions(run)) for run in runs]
    validated = [read_validation(run) for run in runs]
    folds = _finished_folds(runs, tested, validated)
    weights, mixed, equal = [], [], []
    for fold in folds:
        watched, stack = _stacked(runs, [parts[fold] for parts in validated], "validation")
        weights.append(RULES[rule](stack, watched.truth))
        test, stack = _stacked(runs, [parts[fold] for parts in tested], "test")
        mixed.append(replace(test, probabilities=combine(weights[-1], stack)))
        equal.append(replace(test, probabilities=stack.mean(axis=0)))

    def accuracy_of(parts: Sequence[Predictions]) -> Interval:
        return measure(_joined(parts), resamples=resamples, seed=seed).accuracy

    members = [
        Member(
            run=run.name,
            model=str(run.facts["model"]),
            weight=float(own.mean()),
            weights=tuple(own.tolist()),
            accuracy=accuracy_of([parts[fold] for fold in folds]),
        )
        for run, own, parts in zip(runs, np.stack(weights, axis=1), tested, strict=True)
    ]
    notes = notes_of(runs, [run.name for run in runs])
    return RunEnsemble(rule, tuple(members), folds, _joined(mixed), accuracy_of(mixed), accuracy_of(equal), notes)


def _finished_folds(
    runs: Sequence[Run],
    tested: Sequence[Mapping[Fold, Predictions]],
    validated: Sequence[Mapping[Fold, Predictions]],
) -> tuple[Fold, ...]:
    """The folds that all runs have finished. ArgumentError if a run has finished other folds than the first run."""
    folds = tuple(sorted(tested[0]))
    for run, test, watched in zip(runs, tested, validated, strict=True):
        if set(test) != set(folds) or set(watched) != set(folds):
            raise ArgumentError(
                f"{run.name}: has finished the folds {_text(watched)}, {runs[0].name} {_text(folds)}; finish them"
            )
    return folds


def _check_same_folds(runs: Sequence[Run]) -> None:
    """Raise ArgumentError if runs differ in their classes or in the subjects of a fold."""
    first = runs[0]
    plan = _plan(first)
    for run in runs[1:]:
        if run.classes != first.classes:
            raise ArgumentError(
                f"{run.name}: its classes are {', '.join(run.classes)}, those of {first.name} "
                f"{', '.join(first.classes)}; an ensemble needs the same"
            )
        if (other := _plan(run)) != plan:
            fold = min(key for key in other.keys() | plan.keys() if other.get(key) != plan.get(key))
            raise ArgumentError(
                f"{run.name}: round {fold[0]}, fold {fold[1]} has other subjects than that of {first.name}; an "
                "ensemble needs runs of the same protocol, data and seed"
            )


def _plan(run: Run) -> dict[Fold, list[list[str]]]:
    return {
        (fold["round"], fold["fold"]): [sorted(fold.get(part) or ()) for part in ("train", "validation", "test")]
        for fold in run.folds
    }


def _by_fold(predictions: Predictions) -> dict[Fold, Predictions]:
    pairs = np.stack([predictions.rounds, predictions.folds], axis=1)
    return {
        (int(number), int(fold)): _rows(predictions, np.flatnonzero((pairs == (number, fold)).all(axis=1)))
        for number, fold in np.unique(pairs, axis=0)
    }


def _rows(predictions: Predictions, rows: NDArray[np.int64]) -> Predictions:
    return Predictions(
        classes=predictions.classes,
        ids=tuple(predictions.ids[row] for row in rows),
        subjects=tuple(predictions.subjects[row] for row in rows),
        truth=predictions.truth[rows],
        rounds=predictions.rounds[rows],
        folds=predictions.folds[rows],
        probabilities=predictions.probabilities[rows],
    )


def _stacked(runs: Sequence[Run], parts: Sequence[Predictions], name: str) -> tuple[Predictions, NDArray[np.float64]]:
    """The first run's predictions, sorted by id, and (E, N, K) probabilities of all runs in that order."""
    ordered = [_rows(part, np.argsort(np.array(part.ids), kind="stable")) for part in parts]
    first = ordered[0]
    for run, part in zip(runs, ordered, strict=True):
        if part.ids != first.ids:
            odd = min(set(part.ids) ^ set(first.ids))
            raise ArgumentError(
                f"{run.name}: its {name} scans of round {first.rounds[0]}, fold {first.folds[0]} are others than those "
                f"of {runs[0].name}, for instance {odd}"
            )
        if not np.array_equal(part.truth, first.truth):
            row = int(np.argmax(part.truth != first.truth))
            raise ArgumentError(
                f"{run.name}: scan {part.ids[row]} is {part.classes[part.truth[row]]}, in {runs[0].name} "
                f"{first.classes[first.truth[row]]}"
            )
    return first, np.stack([part.probabilities for part in ordered])


def _joined(parts: Sequence[Predictions]) -> Predictions:
    return Predictions(
        classes=parts[0].classes,
        ids=tuple(name for part in parts for name in part.ids),
        subjects=tuple(name for part in parts for name in part.subjects),
        truth=np.concatenate([part.truth for part in parts]),
        rounds=np.concatenate([part.rounds for part in parts]),
        folds=np.concatenate([part.folds for part in parts]),
        probabilities=np.concatenate([part.probabilities for part in parts]),
    )


def _text(folds: Collection[Fold]) -> str:
    return ", ".join(fold_name(number, fold) for number, fold in sorted(folds)) or "none"
