"""Measures predictions of action units, valence and arousal: `ValuePredictions` in, `TargetMetrics` out."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer3d import __version__
from fer3d.evaluate import metrics
from fer3d.evaluate.measure import fingerprint, without_nan, write_metrics
from fer3d.evaluate.metrics import Interval
from fer3d.train.run_folder import Run, ValuePredictions, read_values

# Name of a measure -> a function of (..., K, ...) sums over scans that returns (..., K) numbers.
_OF_UNITS: Mapping[str, Callable[[Any], NDArray[np.float64]]] = {"f1": metrics.unit_f1, "base_rate": metrics.base_rate}
_OF_VALUES: Mapping[str, Callable[[Any], NDArray[np.float64]]] = {
    "ccc": metrics.concordance,
    "pearson": metrics.pearson,
    "rmse": metrics.rmse,
    "sign_agreement": metrics.sign_agreement,
}


@dataclass(frozen=True)
class NameMetrics:
    """One unit or value: its name, the number of known labels, and its measures (NaN if undefined)."""

    name: str
    known: int
    measures: Mapping[str, float]


@dataclass(frozen=True)
class TargetMetrics:
    """All measurements of a run whose target is units or values.

    Attributes:
        run: Name of the run folder.
        target: Name of the target.
        kind: Kind of the target: "multi-label" or "values".
        scans, subjects: Numbers of distinct scans and subjects.
        predictions: Number of predictions; a scan is predicted once per round.
        folds, folds_planned: Numbers of (round, fold) pairs that are finished, and that the run will have.
        main: Name of the main measure: "f1" for units, "ccc" (concordance) for values.
        mean: Mean of the main measure over the units or values for which it is defined, with its 95 % interval by
            subject.
        means: Name of a measure -> its mean over the units or values for which it is defined.
        each: Measures of each unit or value, in the order of the target.
        left_out: Units or values for which the main measure is undefined, and which its mean leaves out.
        predictions_sha256: Hash of predictions.parquet and folds.json.
        notes: What a reader should know of the run, such as scans that were left out.
    """

    run: str
    target: str
    kind: str
    scans: int
    subjects: int
    predictions: int
    folds: int
    folds_planned: int
    main: str
    mean: Interval
    means: Mapping[str, float]
    each: tuple[NameMetrics, ...]
    left_out: tuple[str, ...]
    predictions_sha256: str
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The metrics as plain dicts and lists; NaN, which JSON does not have, becomes None."""
        plain: dict[str, Any] = without_nan(asdict(self))
        return plain | {"fer3d": __version__}


def evaluate_targets(run: Run, *, resamples: int = metrics.RESAMPLES, seed: int = 0) -> TargetMetrics:
    """Measure the finished folds of a run and write its metrics.json.

    Raises:
        FileError, FormatError: as `read_values`; FileError if metrics.json cannot be written.
        ArgumentError: if `resamples` is below 1.
    """
    measured = measure_targets(
        read_values(run),
        name=run.name,
        folds_planned=len(run.folds),
        resamples=resamples,
        seed=seed,
        predictions_sha256=fingerprint(run.folder),
        notes=run.notes,
    )
    write_metrics(run.folder, measured.to_json())
    return measured


def measure_targets(
    predictions: ValuePredictions,
    *,
    name: str = "",
    folds_planned: int | None = None,
    resamples: int = metrics.RESAMPLES,
    seed: int = 0,
    predictions_sha256: str = "",
    notes: Sequence[str] = (),
) -> TargetMetrics:
    """Measure predictions of units or values.

    Args:
        predictions: Predictions of any number of rounds and folds.
        name: Value of `TargetMetrics.run`.
        folds_planned: Total number of (round, fold) pairs; None: the number in `predictions`.
        resamples, seed: Number of resamples and seed of the bootstrap.
        predictions_sha256, notes: Values of these fields of `TargetMetrics`.

    Raises:
        ArgumentError: if `resamples` is below 1.
    """
    units = predictions.target.kind == "multi-label"
    measures, main = (_OF_UNITS, "f1") if units else (_OF_VALUES, "ccc")
    sums = metrics.unit_confusions if units else metrics.value_sums
    names = np.array(predictions.subjects, dtype=object)
    subjects = sorted(set(predictions.subjects))
    by_subject = np.stack([sums(predictions.truth[names == s], predictions.answers[names == s]) for s in subjects])
    whole = by_subject.sum(axis=0)
    numbers = {key: measure(whole) for key, measure in measures.items()}
    if units:
        numbers["roc_auc"] = metrics.roc_auc(predictions.truth, predictions.answers)
    known = (~np.isnan(predictions.truth)).sum(axis=0)
    pairs = set(zip(predictions.rounds.tolist(), predictions.folds.tolist(), strict=True))
    macro = metrics.defined_mean(numbers[main])

    def mean_of(parts: Any) -> NDArray[np.float64]:
        values = measures[main](parts)
        defined = ~np.isnan(values)
        total = np.where(defined, values, 0.0).sum(axis=-1)
        count = defined.sum(axis=-1)
        return np.where(count > 0, total / np.maximum(count, 1), math.nan)

    return TargetMetrics(
        run=name,
        target=predictions.target.name,
        kind=predictions.target.kind,
        scans=len(set(predictions.ids)),
        subjects=len(subjects),
        predictions=len(predictions),
        folds=len(pairs),
        folds_planned=len(pairs) if folds_planned is None else folds_planned,
        main=main,
        mean=metrics.subject_interval(by_subject, mean_of, resamples=resamples, seed=seed),
        means={key: metrics.defined_mean(values).value for key, values in numbers.items()},
        each=tuple(
            NameMetrics(unit, int(known[k]), {key: float(values[k]) for key, values in numbers.items()})
            for k, unit in enumerate(predictions.target.names)
        ),
        left_out=tuple(predictions.target.names[row] for row in macro.left_out),
        predictions_sha256=predictions_sha256,
        notes=tuple(notes),
    )
