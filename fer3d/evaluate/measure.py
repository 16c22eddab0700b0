"""Measures the predictions of a run: reads predictions.parquet and folds.json, writes `Metrics` as metrics.json."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer3d import __version__
from fer3d.errors import Fer3dError
from fer3d.evaluate import metrics
from fer3d.evaluate.metrics import Interval
from fer3d.files import clear_leftovers, read_json, sha256, write_text
from fer3d.train.run_folder import Predictions, read_predictions, read_run

_HASH = "content_sha256"  # key of metrics.json
_WORST = 24  # number of mistakes that are listed


@dataclass(frozen=True)
class Spread:
    """Mean and sample standard deviation of a number over folds or rounds. With fewer than two, `sd` is NaN."""

    mean: float
    sd: float
    count: int


@dataclass(frozen=True)
class ClassMetrics:
    """One class: its name, the number of predictions whose truth it is, and its measures (`fer3d.evaluate.metrics`)."""

    name: str
    scans: int
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True)
class FoldMetrics:
    """One (round, fold): the number of scans that it tested and the share that was correct."""

    round: int
    fold: int
    scans: int
    accuracy: float


@dataclass(frozen=True)
class SubjectMetrics:
    """One subject: the number of predictions over all rounds and the share that is correct."""

    subject: str
    scans: int
    accuracy: float


@dataclass(frozen=True)
class Bin:
    """Predictions whose confidence lies in (low, high]: their number, mean confidence and the share that is correct."""

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class Mistake:
    """A misclassified scan, and the confidence of the wrong prediction."""

    id: str
    subject: str
    truth: str
    predicted: str
    confidence: float
    round: int
    fold: int


@dataclass(frozen=True)
class Metrics:
    """All measurements of a run. Undefined numbers are NaN, and `undefined` gives the reasons.

    Attributes:
        run: Name of the run folder.
        classes: K canonical labels.
        scans, subjects: Numbers of distinct scans and subjects.
        predictions: Number of predictions; a scan is predicted once per round.
        folds, folds_planned: Numbers of (round, fold) pairs that are finished, and that the run will have.
        accuracy, macro_f1: Over all predictions together, with 95 % intervals by subject.
        over_folds, over_rounds: Spread of the accuracy. All folds have equal weight, whatever their numbers of scans.
        per_class, per_fold, per_subject: In the order of classes, of (round, fold), and of names.
        confusion: K rows of K counts: rows are true classes, columns predicted ones, summed over folds and rounds.
        calibration_error: Expected calibration error over `calibration`.
        calibration: Bins of the predictions by confidence.
        chance: 1 / K, the accuracy of random guessing.
        commonest: Share of the most frequent class, the accuracy of always predicting it.
        mistakes: The wrong predictions with the highest confidence, highest first.
        undefined: Name of a number -> why it is NaN.
        bootstrap: resamples, seed and level of the intervals.
        predictions_sha256: Hash of predictions.parquet and folds.json, which tells whether the numbers are up to date.
        notes: What a reader should know of the run, such as scans that were left out.
    """

    run: str
    classes: tuple[str, ...]
    scans: int
    subjects: int
    predictions: int
    folds: int
    folds_planned: int
    accuracy: Interval
    macro_f1: Interval
    over_folds: Spread
    over_rounds: Spread
    per_class: tuple[ClassMetrics, ...]
    per_fold: tuple[FoldMetrics, ...]
    per_subject: tuple[SubjectMetrics, ...]
    confusion: tuple[tuple[int, ...], ...]
    calibration_error: float
    calibration: tuple[Bin, ...]
    chance: float
    commonest: float
    mistakes: tuple[Mistake, ...]
    undefined: Mapping[str, str]
    bootstrap: Mapping[str, float]
    predictions_sha256: str
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The metrics as plain dicts and lists; NaN, which JSON does not have, becomes None."""
        plain: dict[str, Any] = without_nan(asdict(self))
        return plain | {"fer3d": __version__}


def evaluate_run(run: str | Path, *, resamples: int = metrics.RESAMPLES, seed: int = 0) -> Metrics:
    """Measure the finished folds of a run and write its metrics.json.

    Args:
        run: A run folder of `fer3d train`.
        resamples, seed: Number of resamples and seed of the bootstrap.

    Raises:
        FileError: if a file of the run is missing, or metrics.json cannot be written.
        FormatError: if the predictions are invalid: see `fer3d.train.run_folder.read_predictions`.
        ArgumentError: if `resamples` is below 1.
    """
    read = read_run(run)
    predictions = read_predictions(read)
    measured = measure(
        predictions,
        name=read.name,
        folds_planned=len(read.folds),
        resamples=resamples,
        seed=seed,
        predictions_sha256=fingerprint(read.folder),
        notes=read.notes,
    )
    write_metrics(read.folder, measured.to_json())
    return measured


def write_metrics(folder: Path, content: Mapping[str, Any]) -> None:
    """Write metrics.json of a run folder, with a hash of the content. FileError if it cannot be written."""
    content = {**content, _HASH: _hash_of(content)}
    text = json.dumps(content, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False)
    clear_leftovers(folder)
    write_text(folder / "metrics.json", text + "\n")


def current_metrics(run: str | Path) -> dict[str, Any]:
    """The content of metrics.json, computed again if it is missing, damaged, or belongs to other predictions.

    Raises:
        FileError, FormatError: as `evaluate_run`.
    """
    folder = Path(run)
    try:
        known = read_json(folder / "metrics.json", dict[str, Any])
        whole = known.pop(_HASH, None) == _hash_of(known) and "confusion" in known
        if whole and known["predictions_sha256"] == fingerprint(folder) and known["fer3d"] == __version__:
            return dict(known)
    except Fer3dError:
        pass  # never written, damaged, or written by another version: measure the predictions again
    return evaluate_run(folder).to_json()


def _hash_of(content: Mapping[str, Any]) -> str:
    """SHA-256 of the content of metrics.json, which tells whether the file is as it was written."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def measure(
    predictions: Predictions,
    *,
    name: str = "",
    folds_planned: int | None = None,
    resamples: int = metrics.RESAMPLES,
    seed: int = 0,
    predictions_sha256: str = "",
    notes: Sequence[str] = (),
) -> Metrics:
    """Measure predictions that need not come from a run folder.

    Args:
        predictions: Predictions of any number of rounds and folds.
        name: Value of `Metrics.run`.
        folds_planned: Total number of (round, fold) pairs; None: the number in `predictions`.
        resamples, seed: Number of resamples and seed of the bootstrap.
        predictions_sha256, notes: Values of these fields of `Metrics`.

    Raises:
        ArgumentError: if `resamples` is below 1.
    """
    subjects, by_subject = subject_confusions(predictions)
    confusion = by_subject.sum(axis=0)  # (K, K)
    bootstrap = {"resamples": resamples, "seed": seed}
    accuracy = metrics.subject_interval(by_subject, metrics.accuracy, **bootstrap)
    macro_f1 = metrics.subject_interval(by_subject, metrics.macro_f1, **bootstrap)
    per_fold = _per_fold(predictions)
    over_rounds = _spread(list(per_round(predictions).values()))
    over_folds = _spread([fold.accuracy for fold in per_fold])
    per_class = _per_class(predictions.classes, confusion)
    reliability = metrics.reliability(predictions.truth, predictions.probabilities)
    return Metrics(
        run=name,
        classes=predictions.classes,
        scans=len(set(predictions.ids)),
        subjects=len(subjects),
        predictions=len(predictions),
        folds=len(per_fold),
        folds_planned=len(per_fold) if folds_planned is None else folds_planned,
        accuracy=accuracy,
        macro_f1=macro_f1,
        over_folds=over_folds,
        over_rounds=over_rounds,
        per_class=per_class,
        per_fold=per_fold,
        per_subject=_per_subject(subjects, by_subject),
        confusion=tuple(tuple(row) for row in confusion.tolist()),
        calibration_error=reliability.expected_calibration_error,
        calibration=_bins(reliability),
        chance=1 / len(predictions.classes),
        commonest=float(confusion.sum(axis=1).max() / confusion.sum()),
        mistakes=_mistakes(predictions),
        undefined=_reasons(per_class, accuracy, macro_f1, over_folds, over_rounds, len(subjects)),
        bootstrap=bootstrap | {"level": metrics.LEVEL},
        predictions_sha256=predictions_sha256,
        notes=tuple(notes),
    )


def per_round(predictions: Predictions) -> dict[int, float]:
    """Number of a round -> share of its predictions that are correct, sorted by round."""
    rounds = sorted(set(predictions.rounds.tolist()))
    return {number: float(predictions.correct[predictions.rounds == number].mean()) for number in rounds}


def subject_confusions(predictions: Predictions) -> tuple[list[str], NDArray[np.int64]]:
    """The S subjects, sorted, and their confusion matrices: (S, K, K) int64."""
    names = np.array(predictions.subjects, dtype=object)
    subjects = sorted(set(predictions.subjects))
    classes = len(predictions.classes)
    confusions = [
        metrics.confusion_matrix(predictions.truth[mine], predictions.predicted[mine], classes)
        for mine in (names == subject for subject in subjects)
    ]
    return subjects, np.stack(confusions)


def fingerprint(folder: Path) -> str:
    """SHA-256 of predictions.parquet and of folds.json, which tells whether numbers belong to these predictions."""
    return sha256(folder / "predictions.parquet") + sha256(folder / "folds.json")


def _spread(values: Sequence[float]) -> Spread:
    sd = float(np.std(values, ddof=1)) if len(values) > 1 else math.nan
    return Spread(float(np.mean(values)), sd, len(values))


def _per_class(classes: Sequence[str], confusion: NDArray[np.int64]) -> tuple[ClassMetrics, ...]:
    precision, recall, f1 = (measure(confusion).tolist() for measure in (metrics.precision, metrics.recall, metrics.f1))
    scans = confusion.sum(axis=1).tolist()
    return tuple(map(ClassMetrics, classes, scans, precision, recall, f1))


def _per_fold(predictions: Predictions) -> tuple[FoldMetrics, ...]:
    pairs = sorted(set(zip(predictions.rounds.tolist(), predictions.folds.tolist(), strict=True)))
    folds = []
    for number, fold in pairs:
        mine = (predictions.rounds == number) & (predictions.folds == fold)
        folds.append(FoldMetrics(number, fold, int(mine.sum()), float(predictions.correct[mine].mean())))
    return tuple(folds)


def _per_subject(subjects: Sequence[str], by_subject: NDArray[np.int64]) -> tuple[SubjectMetrics, ...]:
    scans = by_subject.sum(axis=(1, 2)).tolist()
    return tuple(map(SubjectMetrics, subjects, scans, metrics.accuracy(by_subject).tolist()))


def _bins(reliability: metrics.Reliability) -> tuple[Bin, ...]:
    count = len(reliability.count)
    edges = [number / count for number in range(count + 1)]
    columns = (reliability.count.tolist(), reliability.confidence.tolist(), reliability.accuracy.tolist())
    return tuple(map(Bin, edges[:-1], edges[1:], *columns))


def _mistakes(predictions: Predictions) -> tuple[Mistake, ...]:
    confidence = predictions.probabilities.max(axis=1)
    wrong = np.flatnonzero(~predictions.correct)
    worst = sorted(wrong.tolist(), key=lambda row: (-confidence[row], predictions.rounds[row], predictions.ids[row]))
    return tuple(
        Mistake(
            id=predictions.ids[row],
            subject=predictions.subjects[row],
            truth=predictions.classes[predictions.truth[row]],
            predicted=predictions.classes[predictions.predicted[row]],
            confidence=float(confidence[row]),
            round=int(predictions.rounds[row]),
            fold=int(predictions.folds[row]),
        )
        for row in worst[:_WORST]
    )


def _reasons(
    per_class: Sequence[ClassMetrics],
    accuracy: Interval,
    macro_f1: Interval,
    over_folds: Spread,
    over_rounds: Spread,
    subjects: int,
) -> dict[str, str]:
    """Name of each NaN in the metrics -> why it is NaN."""
    reasons = {}
    for row in per_class:
        for name, reason in _CLASS_REASONS.items():
            if math.isnan(getattr(row, name)):
                reasons[f"per_class.{row.name}.{name}"] = reason(row.name)
    missing = [row.name for row in per_class if math.isnan(row.f1)]
    if missing:
        reasons["macro_f1"] = f"F1 is undefined for {', '.join(missing)}"
    for name, interval in (("accuracy", accuracy), ("macro_f1", macro_f1)):
        if math.isnan(interval.low):
            why = "one subject only" if subjects < 2 else "some resamples of the subjects leave it undefined"
            reasons[f"{name}.interval"] = why
    for name, spread in (("over_folds", over_folds), ("over_rounds", over_rounds)):
        if math.isnan(spread.sd):
            reasons[f"{name}.sd"] = f"one {name.removeprefix('over_').removesuffix('s')} only"
    return reasons


_CLASS_REASONS: Mapping[str, Callable[[str], str]] = {
    "precision": lambda name: f"{name} is never predicted",
    "recall": lambda name: f"no scan is of {name}",
    "f1": lambda name: f"{name} is neither true nor predicted anywhere",
}


def undefined_lines(undefined: Mapping[str, str]) -> list[str]:
    """Say which numbers are undefined and why, classes together; nothing of a spread over one fold or one round.

    >>> undefined_lines({"per_class.fear.f1": "", "accuracy.interval": "one subject only", "over_folds.sd": ""})
    ['no F1 of fear: neither true nor predicted anywhere', 'no interval of the accuracy: one subject only']
    """
    names = {"f1": "F1", "macro_f1": "macro F1"}
    whole = {"precision": "never predicted", "recall": "no scan is of it", "f1": "neither true nor predicted anywhere"}
    classes: dict[str, list[str]] = {}
    lines = []
    for name, reason in undefined.items():
        *path, last = name.split(".")
        if path[:1] == ["per_class"]:
            classes.setdefault(last, []).append(path[1])
        elif last != "sd":
            owner = f" of the {names.get(path[0], path[0])}" if path else ""
            lines.append(f"no {names.get(last, last)}{owner}: {reason}")
    return [f"no {names.get(last, last)} of {', '.join(of)}: {whole[last]}" for last, of in classes.items()] + lines


def without_nan(value: Any) -> Any:
    """`value` with None for each NaN in it, which JSON does not have; tuples become lists."""
    if isinstance(value, float):
        return None if math.isnan(value) else value
    if isinstance(value, Mapping):
        return {key: without_nan(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_nan(entry) for entry in value]
    return value
