"""What predictions of action units, valence and arousal are worth: `ValuePredictions` in, `TargetMetrics` out."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer3d import __version__
from fer3d.evaluate import metrics
from fer3d.evaluate.measure import fingerprint, without_nan
from fer3d.evaluate.metrics import Interval
from fer3d.files import write_bytes
from fer3d.train.run_folder import Run, ValuePredictions, read_values

# Name of a measure -> what is resampled, (S, K, ...) sums of S subjects, -> (K,).
_OF_UNITS: Mapping[str, Callable[[Any], NDArray[np.float64]]] = {"f1": metrics.unit_f1, "base_rate": metrics.base_rate}
_OF_VALUES: Mapping[str, Callable[[Any], NDArray[np.float64]]] = {
    "ccc": metrics.concordance,
    "pearson": metrics.pearson,
    "rmse": metrics.rmse,
    "sign_agreement": metrics.sign_agreement,
}


@dataclass(frozen=True)
class NameMetrics:
    """One unit or value: its name, how many predictions are of a known truth, and measure -> number, NaN undefined."""

    name: str
    known: int
    measures: Mapping[str, float]


@dataclass(frozen=True)
class TargetMetrics:
    """Everything measured on a run whose target is of units or values.

    Attributes:
        run: Name of the run folder.
        target: Its name.
        kind: "multi-label" or "values".
        scans, subjects: Different ones.
        predictions: Rows; a scan is predicted once a round.
        folds, folds_planned: (round, fold) pairs that are finished, and that the run is to have.
        main: Name of the main measure: the mean F1 of units, the mean concordance of values.
        mean: It, over the units or values that are defined, with its 95 % interval by subject.
        means: Measure -> its mean over those that are defined.
        each: In the order of the target.
        left_out: Names that the main measure is undefined for, which its mean leaves out.
        predictions_sha256: Of predictions.parquet and folds.json.
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

    def to_json(self) -> dict[str, Any]:
        """As plain dicts and lists; NaN, which JSON does not have, becomes None."""
        plain: dict[str, Any] = without_nan(asdict(self))
        return plain | {"fer3d": __version__}


def evaluate_targets(run: Run, *, resamples: int = metrics.RESAMPLES, seed: int = 0) -> TargetMetrics:
    """Measure the finished folds of a run and write its metrics.json.

    Raises:
        FileError, FormatError: as `read_values`; FileError if metrics.json cannot be written.
        ArgumentError: if `resamples` is below 1.
    """
    found = measure_targets(
        read_values(run),
        name=run.name,
        folds_planned=len(run.folds),
        resamples=resamples,
        seed=seed,
        predictions_sha256=fingerprint(run.folder),
    )
    content = json.dumps(found.to_json(), indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False)
    write_bytes(run.folder / "metrics.json", (content + "\n").encode(), make_folder=True)
    return found


def measure_targets(
    predictions: ValuePredictions,
    *,
    name: str = "",
    folds_planned: int | None = None,
    resamples: int = metrics.RESAMPLES,
    seed: int = 0,
    predictions_sha256: str = "",
) -> TargetMetrics:
    """Measure predictions of units or values.

    Args:
        predictions: Of any number of rounds and folds.
        name: What `TargetMetrics.run` is to say.
        folds_planned: (round, fold) pairs in all; None: those that are there.
        resamples, seed: Of the bootstrap.
        predictions_sha256: What `TargetMetrics.predictions_sha256` is to say.

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
            NameMetrics(each, int(known[k]), {key: float(values[k]) for key, values in numbers.items()})
            for k, each in enumerate(predictions.target.names)
        ),
        left_out=tuple(predictions.target.names[row] for row in macro.left_out),
        predictions_sha256=predictions_sha256,
    )
