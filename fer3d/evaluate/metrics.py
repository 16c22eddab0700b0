"""Metrics of predicted classes, units (multi-label) and values. Undefined metrics are NaN, never 0.

Convention:
    - N predictions, K classes. `truth` and `predicted` are (N,) int64 indices into the list of classes; `probabilities`
      is (N, K), each row summing to 1; a confusion matrix is (K, K) int64, rows the true and columns the predicted
      class.
    - The predicted class is the class of the highest probability, the first of them on a tie.
    - Units: `truth` is (N, U) float64 of 0, 1 and NaN, `scores` (N, U) in [0, 1]. Values: `truth` and `predicted` are
      (N, D) float64, `truth` is NaN where unknown. Unknown entries are left out for each unit or value separately.
    - Metrics that are functions of sums (all but `roc_auc`) take the sums, which can be added over folds or resampled
      subjects.
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

RESAMPLES = 10_000  # the ends of a 95 % interval then vary by about 1/50 of its width from seed to seed
LEVEL = 0.95
BINS = 15  # as in Guo et al. 2017, so that numbers can be compared


def confusion_matrix(truth: Integers, predicted: Integers, classes: int) -> Integers:
    """How often each true class (row) was predicted as each class (column).

    Args:
        truth, predicted: (N,) int64.
        classes: K.

    Returns:
        (K, K) int64. All zero for N = 0.

    Raises:
        ArgumentError: if a shape, a dtype or an index is wrong.
    """
    check_shape("truth", truth, ("N",))
    check_shape("predicted", predicted, truth.shape)
    for name, rows in (("truth", truth), ("predicted", predicted)):
        check_dtype(name, rows, np.int64)
        check_index(name, rows, classes)
    counts: Integers = np.bincount(truth * classes + predicted, minlength=classes * classes)
    return counts.reshape(classes, classes).astype(np.int64)


def accuracy(confusion: Counts) -> Floats:
    """Share of the predictions that are correct: (..., K, K) -> (...) float64. NaN without predictions."""
    return _ratio(np.trace(confusion, axis1=-2, axis2=-1), confusion.sum(axis=(-2, -1)))


def precision(confusion: Counts) -> Floats:
    """TP / (TP + FP) of each class: (..., K, K) -> (..., K). NaN if the class is never predicted."""
    return _ratio(np.diagonal(confusion, axis1=-2, axis2=-1), confusion.sum(axis=-2))


def recall(confusion: Counts) -> Floats:
    """TP / (TP + FN) of each class: (..., K, K) -> (..., K). NaN if no scan is of the class."""
    return _ratio(np.diagonal(confusion, axis1=-2, axis2=-1), confusion.sum(axis=-1))


def f1(confusion: Counts) -> Floats:
    """2 TP / (2 TP + FP + FN) of each class: (..., K, K) -> (..., K). NaN if never true nor predicted."""
    hits = np.diagonal(confusion, axis1=-2, axis2=-1)
    return _ratio(2 * hits, confusion.sum(axis=-1) + confusion.sum(axis=-2))


def macro_f1(confusion: Counts) -> Floats:
    """Mean of `f1` over the classes: (..., K, K) -> (...). NaN if the F1 of any class is undefined."""
    mean: Floats = f1(confusion).mean(axis=-1)
    return mean


def _ratio(part: NDArray[Any], whole: NDArray[Any]) -> Floats:
    """part / whole, NaN where whole is 0."""
    shares: Floats = np.full(np.shape(whole), np.nan)
    np.divide(part, whole, out=shares, where=np.asarray(whole) > 0)
    return shares


@dataclass(frozen=True)
class Reliability:
    """Confidence and accuracy of predictions in M bins of equal width.

    Attributes:
        count: (M,) int64, the number of predictions whose highest probability lies in the bin (m/M, (m+1)/M].
        confidence: (M,) mean of that probability; NaN in an empty bin.
        accuracy: (M,) share of these predictions that are correct; NaN in an empty bin.
    """

    count: Integers
    confidence: Floats
    accuracy: Floats

    @property
    def expected_calibration_error(self) -> float:
        """Mean of |accuracy - confidence| over the bins, weighted by their counts [1]. NaN without predictions.

        A confidence of exactly 1, which is frequent in overconfident networks, belongs to the last bin; torchmetrics
        uses a separate bin for it.

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
    correct = probabilities.argmax(axis=1) == truth
    edges = np.arange(1, bins) / bins  # inner edges; a value on an edge belongs to the bin below it
    number = np.searchsorted(edges, confidence, side="left")
    count = np.bincount(number, minlength=bins).astype(np.int64)
    return Reliability(
        count,
        _mean_of_bins(number, confidence, count),
        _mean_of_bins(number, correct.astype(np.float64), count),
    )


def _mean_of_bins(number: NDArray[np.integer], values: Floats, count: Integers) -> Floats:
    means: Floats = np.full(len(count), np.nan)
    np.divide(np.bincount(number, values, len(count)), count, out=means, where=count > 0)
    return means


@dataclass(frozen=True)
class Interval:
    """A number with the ends of its confidence interval, which are NaN if the interval is undefined."""

    value: float
    low: float
    high: float


def subject_weights(subjects: int, resamples: int = RESAMPLES, seed: int = 0) -> Integers:
    """How often each subject is drawn in each resample: (resamples, subjects) int64, rows summing to `subjects`.

    Subjects are resampled, not scans: the scans of one person are similar, and an interval that assumes them to be
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

    The interval covers the variation between people for fixed trained models. It does not cover other divisions into
    folds or other training seeds.

    Args:
        counts: (S, ...): one array of counts per subject, such as its confusion matrix.
        statistic: Maps (..., *counts.shape[1:]) sums to (...) numbers, such as `accuracy`.
        level: Confidence level of the interval.
        resamples, seed: See `subject_weights`.

    Returns:
        The statistic of all subjects together, and the ends of its interval. The ends are NaN for a single subject, or
        if the statistic is undefined for any resample, as leaving such resamples out would bias the interval.

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


# Relative rounding error of a second moment: a variance below it counts as 0.
_ROUNDING = 1e-12


def unit_confusions(truth: Floats, scores: Floats, threshold: float = 0.5) -> Integers:
    """A 2 x 2 confusion matrix of each unit over the scans for which the unit is known.

    Args:
        truth: (N, U) float64: 1 active, 0 inactive, NaN unknown.
        scores: (N, U) floating point. A unit is predicted as active if its score is at least `threshold`.
        threshold: Threshold for all units.

    Returns:
        (U, 2, 2) int64, rows the truth, columns the prediction, 0 before 1. `precision`, `recall` and `f1` of it have
        the result for the active unit as the positive class in [..., 1]. The (S, U, 2, 2) matrices of S subjects can
        be passed to `subject_interval`.

    Raises:
        ArgumentError: if shapes do not fit, `truth` holds another number, or `scores` holds NaN.
    """
    _check_units(truth, scores)
    predicted, active = scores >= threshold, truth == 1
    cells = [[~active & ~predicted, ~active & predicted], [active & ~predicted, active & predicted]]
    counts = np.array(cells) & ~np.isnan(truth)  # (2, 2, N, U)
    confusions: Integers = counts.sum(axis=2).transpose(2, 0, 1).astype(np.int64)
    return confusions


def base_rate(confusion: Counts) -> Floats:
    """Share of the scans with a known label in which a unit is active: (..., 2, 2) -> (...). NaN if none is known."""
    return _ratio(confusion[..., 1, :].sum(axis=-1), confusion.sum(axis=(-2, -1)))


def unit_f1(confusion: Counts) -> Floats:
    """F1 of each unit, active being the positive class: (..., 2, 2) -> (...). NaN if never active nor predicted."""
    return f1(confusion)[..., 1]


def roc_auc(truth: Floats, scores: Floats) -> Floats:
    """Area under the ROC curve of each unit: the probability that an active scan scores higher than an inactive one.

    Equal scores count one half [1].

    Args:
        truth: (N, U) float64: 1 active, 0 inactive, NaN unknown.
        scores: (N, U) floating point.

    Returns:
        (U,) float64. NaN if the unit is active in no scan or in all scans for which it is known.

    Raises:
        ArgumentError: if shapes do not fit, `truth` holds another number, or `scores` holds NaN.

    References:
        .. [1] Hanley, McNeil. The meaning and use of the area under a receiver operating characteristic curve.
           Radiology 143(1), 1982.
    """
    from scipy.stats import rankdata

    _check_units(truth, scores)
    areas: Floats = np.full(truth.shape[1], np.nan)
    for unit in range(truth.shape[1]):
        known = ~np.isnan(truth[:, unit])
        active = truth[known, unit] == 1
        positive, negative = int(active.sum()), int((~active).sum())
        if positive and negative:
            ranks = rankdata(scores[known, unit])  # mean rank of equal scores
            areas[unit] = (ranks[active].sum() - positive * (positive + 1) / 2) / (positive * negative)
    return areas


@dataclass(frozen=True)
class Mean:
    """A mean over the units or values for which a metric is defined.

    Attributes:
        value: The mean; NaN if the metric is defined for none.
        left_out: Indices of the units or values for which the metric is undefined; reports should name them.
    """

    value: float
    left_out: tuple[int, ...]


def defined_mean(measures: Floats) -> Mean:
    """The mean of (U,) metrics; undefined ones are left out and listed in `left_out`."""
    check_shape("measures", measures, ("U",))
    defined = ~np.isnan(measures)
    value = float(measures[defined].mean()) if defined.any() else float("nan")
    return Mean(value, tuple(np.flatnonzero(~defined).tolist()))


def value_sums(truth: Floats, predicted: Floats) -> Floats:
    """The sums from which `concordance`, `pearson`, `rmse` and `sign_agreement` are computed, over known values.

    Args:
        truth: (N, D) float64, NaN where unknown.
        predicted: (N, D) floating point.

    Returns:
        (D, 8) float64: the number of scans with a known value; the sums of t, p, t^2, p^2, t p and (t - p)^2, with
        t the truth and p the prediction; and the number of scans in which t and p have the same sign, 0 being a third
        sign. The (S, D, 8) sums of S subjects can be passed to `subject_interval`.

    Raises:
        ArgumentError: if shapes do not fit, or a prediction is not finite.
    """
    check_shape("truth", truth, ("N", "D"))
    check_shape("predicted", predicted, truth.shape)
    if not np.isfinite(predicted).all():
        raise ArgumentError("`predicted` should be finite, holds NaN or infinity")
    known = ~np.isnan(truth)
    t, p = np.where(known, truth, 0.0), np.where(known, predicted, 0.0).astype(np.float64)
    same = known & (np.sign(t) == np.sign(p))
    terms = (known, t, p, t * t, p * p, t * p, (t - p) ** 2, same)
    return np.stack([term.sum(axis=0, dtype=np.float64) for term in terms], axis=-1)


def concordance(sums: Counts) -> Floats:
    """Concordance correlation coefficient: 2 cov / (var t + var p + (mean t - mean p)^2), moments divided by N [1].

    Args:
        sums: (..., 8) of `value_sums`.

    Returns:
        (...) float64 in [-1, 1]; 1 only if every prediction equals the truth. NaN without scans, or if truth and
        predictions are the same constant; 0 if only one of them is constant.

    References:
        .. [1] Lin. A concordance correlation coefficient to evaluate reproducibility. Biometrics 45(1), 1989. His
           estimator divides by N, as here; dividing by N - 1 gives a different number.
    """
    shift, var_t, var_p, cov = _moments(sums)
    return _ratio(2 * cov, var_t + var_p + shift * shift)


def pearson(sums: Counts) -> Floats:
    """Pearson's correlation: (..., 8) of `value_sums` -> (...). NaN if the truth or the predictions are constant."""
    _, var_t, var_p, cov = _moments(sums)
    return _ratio(cov, np.sqrt(var_t * var_p))


def rmse(sums: Counts) -> Floats:
    """Root of the mean squared error: (..., 8) of `value_sums` -> (...). NaN without scans."""
    sums = np.asarray(sums, np.float64)
    errors: Floats = np.sqrt(_ratio(sums[..., 6], sums[..., 0]))
    return errors


def sign_agreement(sums: Counts) -> Floats:
    """Share of scans whose prediction has the sign of the truth, 0 being a third sign: (..., 8) -> (...) [1].

    References:
        .. [1] Nicolaou, Gunes, Pantic. Continuous prediction of spontaneous affect from multiple cues and modalities in
           valence-arousal space. IEEE Transactions on Affective Computing 2(2), 2011.
    """
    sums = np.asarray(sums, np.float64)
    return _ratio(sums[..., 7], sums[..., 0])


def _moments(sums: Counts) -> tuple[Floats, Floats, Floats, Floats]:
    """Mean t - mean p, var t, var p, cov; a variance below the rounding error is set to 0, and then cov too."""
    n, t, p, tt, pp, tp, _, _ = np.moveaxis(np.asarray(sums, np.float64), -1, 0)
    mean_t, mean_p, square_t, square_p, product = (_ratio(x, n) for x in (t, p, tt, pp, tp))
    var_t, var_p = square_t - mean_t**2, square_p - mean_p**2
    var_t = np.where(var_t <= _ROUNDING * square_t, 0.0, var_t)
    var_p = np.where(var_p <= _ROUNDING * square_p, 0.0, var_p)
    cov = np.where((var_t == 0) | (var_p == 0), 0.0, product - mean_t * mean_p)
    shift = mean_t - mean_p
    shift = np.where(shift * shift <= _ROUNDING * (square_t + square_p), 0.0, shift)
    return shift, var_t, var_p, cov


def _check_units(truth: Floats, scores: Floats) -> None:
    check_shape("truth", truth, ("N", "U"))
    check_shape("scores", scores, truth.shape)
    if not (np.isnan(truth) | (truth == 0) | (truth == 1)).all():
        raise ArgumentError("`truth` should hold 0, 1 and NaN, holds other numbers")
    if np.isnan(scores).any():
        raise ArgumentError("`scores` should be numbers, holds NaN")
