"""Measures of a classifier: arrays in, numbers out. What is undefined is NaN, never 0.

Convention:
    - N predictions, K classes. `truth` and `predicted` are (N,) int64 rows of the list of classes; `probabilities` is
      (N, K), each row summing to 1; a confusion matrix is (K, K) int64, rows the truth, columns what was predicted.
    - The guess is the class of the highest probability, the first of them on a tie.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer3d.checks import check_dtype, check_index, check_range, check_shape
from fer3d.errors import ArgumentError

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Counts = NDArray[Any]  # of any number type

RESAMPLES = 10_000  # the ends of a 95 % interval then move by about 1/50 of its width from seed to seed
LEVEL = 0.95
BINS = 15  # as in Guo et al. 2017, so that numbers can be compared


def confusion_matrix(truth: Integers, predicted: Integers, classes: int) -> Integers:
    """How often each class (row) was taken for each class (column).

    Args:
        truth, predicted: (N,) int64.
        classes: K.

    Returns:
        (K, K) int64. All zero for N = 0.

    Raises:
        ArgumentError: if shapes, dtypes or an index do not fit.
    """
    check_shape("truth", truth, ("N",))
    check_shape("predicted", predicted, truth.shape)
    for name, rows in (("truth", truth), ("predicted", predicted)):
        check_dtype(name, rows, np.int64)
        check_index(name, rows, classes)
    counts: Integers = np.bincount(truth * classes + predicted, minlength=classes * classes)
    return counts.reshape(classes, classes).astype(np.int64)


def accuracy(confusion: Counts) -> Floats:
    """Share of the predictions that are right: (..., K, K) -> (...) float64. NaN without any prediction."""
    return _ratio(np.trace(confusion, axis1=-2, axis2=-1), confusion.sum(axis=(-2, -1)))


def precision(confusion: Counts) -> Floats:
    """Of what was predicted as a class, the share that is of it: (..., K, K) -> (..., K). NaN: never predicted."""
    return _ratio(np.diagonal(confusion, axis1=-2, axis2=-1), confusion.sum(axis=-2))


def recall(confusion: Counts) -> Floats:
    """Of what is of a class, the share predicted as it: (..., K, K) -> (..., K). NaN: nothing is of the class."""
    return _ratio(np.diagonal(confusion, axis1=-2, axis2=-1), confusion.sum(axis=-1))


def f1(confusion: Counts) -> Floats:
    """2 TP / (2 TP + FP + FN) of each class: (..., K, K) -> (..., K). NaN: neither true nor predicted anywhere."""
    hits = np.diagonal(confusion, axis1=-2, axis2=-1)
    return _ratio(2 * hits, confusion.sum(axis=-1) + confusion.sum(axis=-2))


def macro_f1(confusion: Counts) -> Floats:
    """Mean of `f1` over the classes: (..., K, K) -> (...). NaN if it is undefined for one of them."""
    mean: Floats = f1(confusion).mean(axis=-1)
    return mean


def _ratio(part: NDArray[np.integer], whole: NDArray[np.integer]) -> Floats:
    """part / whole, NaN where whole is 0."""
    shares: Floats = np.full(np.shape(whole), np.nan)
    np.divide(part, whole, out=shares, where=np.asarray(whole) > 0)
    return shares


@dataclass(frozen=True)
class Reliability:
    """Confidence against what came of it, over `len(count)` bins of equal width.

    Attributes:
        count: (M,) int64 predictions whose highest probability lies in the bin (m/M, (m+1)/M].
        confidence: (M,) mean of that probability; NaN in an empty bin.
        accuracy: (M,) share of them that are right; NaN in an empty bin.
    """

    count: Integers
    confidence: Floats
    accuracy: Floats

    @property
    def expected_calibration_error(self) -> float:
        """Mean |accuracy - confidence| over the predictions, bin by bin [1]. NaN without any prediction.

        A confidence of exactly 1, of which an overconfident network has many, is in the last bin; torchmetrics puts it
        in a bin of its own.

        References:
            .. [1] Guo, Pleiss, Sun, Weinberger. On calibration of modern neural networks. ICML 2017, eq. (3).
        """
        filled = self.count > 0
        if not filled.any():
            return float("nan")
        gaps = np.abs(self.accuracy[filled] - self.confidence[filled])
        return float((gaps * self.count[filled]).sum() / self.count.sum())


def reliability(truth: Integers, probabilities: Floats, bins: int = BINS) -> Reliability:
    """Sort the predictions into bins by their highest probability.

    Args:
        truth: (N,) int64.
        probabilities: (N, K) floating point.
        bins: M.

    Raises:
        ArgumentError: if shapes do not fit or `bins` is below 1.
    """
    check_shape("truth", truth, ("N",))
    check_shape("probabilities", probabilities, (len(truth), "K"))
    if bins < 1:
        raise ArgumentError(f"`bins` should be at least 1, is {bins}")
    confidence = probabilities.max(axis=1).astype(np.float64)
    right = probabilities.argmax(axis=1) == truth
    edges = np.arange(1, bins) / bins  # inner ones; a value on an edge belongs below it
    number = np.searchsorted(edges, confidence, side="left")
    count = np.bincount(number, minlength=bins).astype(np.int64)
    return Reliability(
        count,
        _mean_of_bins(number, confidence, count),
        _mean_of_bins(number, right.astype(np.float64), count),
    )


def _mean_of_bins(number: NDArray[np.integer], values: Floats, count: Integers) -> Floats:
    means: Floats = np.full(len(count), np.nan)
    np.divide(np.bincount(number, values, len(count)), count, out=means, where=count > 0)
    return means


@dataclass(frozen=True)
class Interval:
    """A number with the ends of its interval. NaN ends: the interval is undefined."""

    value: float
    low: float
    high: float


def subject_weights(subjects: int, resamples: int = RESAMPLES, seed: int = 0) -> Integers:
    """How often each subject is drawn in each resample: (resamples, subjects) int64, rows summing to `subjects`.

    Subjects are resampled, not scans: the scans of a person are alike, and an interval that takes them for
    independent is too narrow.

    Raises:
        ArgumentError: if `subjects` or `resamples` is below 1.
    """
    for name, value in (("subjects", subjects), ("resamples", resamples)):
        if value < 1:
            raise ArgumentError(f"`{name}` should be at least 1, is {value}")
    drawn: Integers = np.random.default_rng(seed).multinomial(subjects, np.full(subjects, 1 / subjects), size=resamples)
    return drawn


def subject_interval(
    counts: Counts,
    statistic: Callable[[Counts], Floats],
    *,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Percentile bootstrap interval of a statistic of summed counts, resampling subjects.

    The interval speaks of other people under the same trained models; what another draw of folds or another seed of
    training would give is not in it.

    Args:
        counts: (S, ...) one array of counts a subject, such as its confusion matrix.
        statistic: Takes (..., *counts.shape[1:]) sums and gives (...) numbers, such as `accuracy`.
        level: Of the interval.
        resamples, seed: See `subject_weights`.

    Returns:
        The statistic of all subjects together, and the ends. NaN ends for a single subject, or where a resample can
        leave the statistic undefined: leaving those resamples out would bend the interval.

    Raises:
        ArgumentError: if `level` lies outside [0, 1], or there is no subject.
    """
    check_range("level", level, 0.0, 1.0)
    weights = subject_weights(len(counts), resamples, seed)
    value = float(statistic(counts.sum(axis=0)))
    if len(counts) < 2:
        return Interval(value, float("nan"), float("nan"))
    sums = np.tensordot(weights, counts, axes=1)  # (resamples, ...)
    tail = 100 * (1 - level) / 2
    low, high = np.percentile(statistic(sums), [tail, 100 - tail])  # NaN if any of them is NaN
    return Interval(value, float(low), float(high))
