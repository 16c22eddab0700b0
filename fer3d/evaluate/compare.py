"""`compare`: accuracy differences of runs on the scans that both predicted, with confidence intervals and p-values."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer3d.errors import ArgumentError
from fer3d.evaluate import metrics
from fer3d.evaluate.metrics import Interval
from fer3d.train.run_folder import Predictions, Run, read_predictions, read_run


@dataclass(frozen=True)
class RunAccuracy:
    """A run, the numbers of scans, subjects and rounds that it predicted, and its accuracy over all predictions."""

    run: str
    model: str
    maps: tuple[str, ...]
    scans: int
    subjects: int
    rounds: int
    accuracy: Interval


@dataclass(frozen=True)
class Difference:
    """The difference between two runs on the scans that both predicted.

    Attributes:
        first, second: Names of the runs.
        scans, subjects: Numbers of scans and subjects that both runs predicted.
        difference: Accuracy of `first` minus that of `second`, with its 95 % interval; subjects are resampled, the
            same ones for both. A scan counts once, with the share of the rounds in which it was correct.
        only_first, only_second: Numbers of scans that only this run predicted correctly, in the first round that both
            runs have.
        p: P-value of McNemar's exact test [1] on those two numbers: the probability of a difference as large if neither
            run were better. The test assumes independent scans, but the scans of one person are not independent: where
            the test and the interval disagree, trust the interval.
        p_holm: `p` with Holm's correction for the number of pairs in the table.

    References:
        .. [1] McNemar. Note on the sampling error of the difference between correlated proportions or percentages.
           Psychometrika 12, 1947. The binomial form holds for any counts, small ones too.
    """

    first: str
    second: str
    scans: int
    subjects: int
    difference: Interval
    only_first: int
    only_second: int
    p: float
    p_holm: float


@dataclass(frozen=True)
class Comparison:
    """The runs, all pairs of runs, warnings on how far they can be compared, and the notes of the runs."""

    runs: tuple[RunAccuracy, ...]
    pairs: tuple[Difference, ...]
    warnings: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The comparison as plain dicts and lists; NaN stays NaN."""
        return asdict(self)


def compare(runs: Sequence[str | Path], *, resamples: int = metrics.RESAMPLES, seed: int = 0) -> Comparison:
    """Compare the accuracy of two or more runs.

    Args:
        runs: Run folders.
        resamples, seed: Number of resamples and seed of the bootstrap.

    Raises:
        FileError, FormatError: as `read_run` and `read_predictions`.
        ArgumentError: if there are fewer than two runs, a folder is given twice, the runs have different classes, two
            runs share no scan, or two runs disagree on the class or the subject of a scan.
    """
    if len(runs) < 2:
        raise ArgumentError(f"`runs` should be at least two run folders, are {len(runs)}")
    read = [read_run(run) for run in runs]
    names = _names(read)
    _check_classes(read, names)
    predictions = [read_predictions(run) for run in read]
    accuracies = [
        _run_accuracy(run, name, run_predictions, resamples, seed)
        for run, name, run_predictions in zip(read, names, predictions, strict=True)
    ]
    pairs = [
        _difference((names[i], predictions[i]), (names[j], predictions[j]), resamples, seed)
        for i, j in itertools.combinations(range(len(read)), 2)
    ]
    warnings = tuple(_warnings(read, names, predictions))
    return Comparison(tuple(accuracies), _with_holm(pairs), warnings, notes_of(read, names))


def notes_of(runs: Sequence[Run], names: Sequence[str]) -> tuple[str, ...]:
    """The notes of several runs, each once, with the names of its runs unless it is of all."""
    owners: dict[str, list[str]] = {}
    for run, name in zip(runs, names, strict=True):
        for note in dict.fromkeys(run.notes):
            owners.setdefault(note, []).append(name)
    return tuple(note if len(own) == len(runs) else f"{', '.join(own)}: {note}" for note, own in owners.items())


def mcnemar(only_first: int, only_second: int) -> float:
    """P-value of McNemar's exact two-sided test; 1 if both runs are correct on the same scans.

    >>> round(mcnemar(1, 9), 4)
    0.0215
    """
    from scipy.stats import binomtest

    trials = only_first + only_second
    return float(binomtest(only_first, trials).pvalue) if trials else 1.0


def _names(runs: Sequence[Run]) -> list[str]:
    """Names of the folders, or their paths if two folders have the same name."""
    names = [run.name for run in runs]
    if len(set(names)) < len(names):
        names = [str(run.folder) for run in runs]
    if len(set(names)) < len(names):
        raise ArgumentError(f"`runs` should be different folders, {max(names, key=names.count)} comes twice")
    return names


def _check_classes(runs: Sequence[Run], names: Sequence[str]) -> None:
    for run, name in zip(runs[1:], names[1:], strict=True):
        if set(run.classes) != set(runs[0].classes):
            raise ArgumentError(
                f"`runs` should tell the same classes apart, {names[0]} has {', '.join(runs[0].classes)} "
                f"and {name} has {', '.join(run.classes)}"
            )


def _run_accuracy(run: Run, name: str, predictions: Predictions, resamples: int, seed: int) -> RunAccuracy:
    counts = _subject_counts(predictions.subjects, predictions.correct.astype(np.float64))
    return RunAccuracy(
        run=name,
        model=str(run.facts["model"]),
        maps=tuple(run.facts["maps"]),
        scans=len(set(predictions.ids)),
        subjects=len(counts),
        rounds=len(set(predictions.rounds.tolist())),
        accuracy=metrics.subject_interval(counts, _mean, resamples=resamples, seed=seed),
    )


def _difference(
    first: tuple[str, Predictions], second: tuple[str, Predictions], resamples: int, seed: int
) -> Difference:
    (first_name, first_predictions), (second_name, second_predictions) = first, second
    facts, other_facts = _facts(first_predictions), _facts(second_predictions)
    common = sorted(facts.keys() & other_facts.keys())
    if not common:
        raise ArgumentError(f"`runs` should share scans, {first_name} and {second_name} share none")
    for scan in common:
        if facts[scan] != other_facts[scan]:
            raise ArgumentError(
                f"`runs` should agree on a scan, {scan} is {' of '.join(facts[scan])} in {first_name} "
                f"and {' of '.join(other_facts[scan])} in {second_name}"
            )
    share, other_share = _correct_share(first_predictions), _correct_share(second_predictions)
    gains = np.array([share[scan] - other_share[scan] for scan in common])
    subjects = [facts[scan][1] for scan in common]
    counts = _subject_counts(subjects, gains)
    only_first, only_second = _discordant(first_predictions, second_predictions)
    return Difference(
        first=first_name,
        second=second_name,
        scans=len(common),
        subjects=len(counts),
        difference=metrics.subject_interval(counts, _mean, resamples=resamples, seed=seed),
        only_first=only_first,
        only_second=only_second,
        p=mcnemar(only_first, only_second),
        p_holm=float("nan"),
    )


def _facts(predictions: Predictions) -> dict[str, tuple[str, str]]:
    """Scan id -> (expression, subject)."""
    labels = [predictions.classes[row] for row in predictions.truth.tolist()]
    return dict(zip(predictions.ids, zip(labels, predictions.subjects, strict=True), strict=True))


def _correct_share(predictions: Predictions) -> dict[str, float]:
    """Scan id -> share of the rounds in which the prediction was correct."""
    hits: dict[str, list[bool]] = {}
    for name, correct in zip(predictions.ids, predictions.correct.tolist(), strict=True):
        hits.setdefault(name, []).append(correct)
    return {name: sum(rounds) / len(rounds) for name, rounds in hits.items()}


def _discordant(first: Predictions, second: Predictions) -> tuple[int, int]:
    """Numbers of scans that only `first` or only `second` predicted correctly in their first common round, else 0."""
    shared = set(first.rounds.tolist()) & set(second.rounds.tolist())
    if not shared:
        return 0, 0
    mine, theirs = _correct_in(first, min(shared)), _correct_in(second, min(shared))
    common = mine.keys() & theirs.keys()
    return (
        sum(mine[scan] and not theirs[scan] for scan in common),
        sum(theirs[scan] and not mine[scan] for scan in common),
    )


def _correct_in(predictions: Predictions, number: int) -> dict[str, bool]:
    rows = np.flatnonzero(predictions.rounds == number).tolist()
    return {predictions.ids[row]: bool(predictions.correct[row]) for row in rows}


def _subject_counts(subjects: Sequence[str], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """(S, 2): for each subject the sum of its values and their number."""
    order = {subject: row for row, subject in enumerate(sorted(set(subjects)))}
    counts = np.zeros((len(order), 2))
    np.add.at(counts, [order[subject] for subject in subjects], np.stack([values, np.ones(len(values))], axis=1))
    return counts


def _mean(sums: NDArray[Any]) -> NDArray[np.float64]:
    mean: NDArray[np.float64] = sums[..., 0] / sums[..., 1]
    return mean


def _with_holm(pairs: Sequence[Difference]) -> tuple[Difference, ...]:
    """Fill in `p_holm`: the i-th smallest (from 0) of n p-values times n - i, made monotonic and cut at 1."""
    corrected: dict[int, float] = {}
    running = 0.0
    for rank, index in enumerate(sorted(range(len(pairs)), key=lambda index: pairs[index].p)):
        running = max(running, min(1.0, (len(pairs) - rank) * pairs[index].p))
        corrected[index] = running
    return tuple(replace(pair, p_holm=corrected[index]) for index, pair in enumerate(pairs))


def _warnings(runs: Sequence[Run], names: Sequence[str], predictions: Sequence[Predictions]) -> list[str]:
    warnings = []
    for run, name in zip(runs[1:], names[1:], strict=True):
        if run.facts["protocol"] != runs[0].facts["protocol"]:
            warnings.append(f"{names[0]} and {name} follow different protocols")
        if _tested(run) != _tested(runs[0]):
            warnings.append(f"{names[0]} and {name} have different folds, which are part of the difference")
    for run, name, mine in zip(runs, names, predictions, strict=True):
        done = len(set(zip(mine.rounds.tolist(), mine.folds.tolist(), strict=True)))
        if done < len(run.folds):
            warnings.append(f"{name} has finished {done} of its {len(run.folds)} folds")
    return warnings


def _tested(run: Run) -> dict[tuple[int, int], frozenset[str]]:
    return {(fold["round"], fold["fold"]): frozenset(fold["test"]) for fold in run.folds}
