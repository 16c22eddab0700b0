"""Definitions of `fer3d.evaluate.metrics`, one prediction at a time."""

import itertools
import math


def confusion_matrix(truth, predicted, classes):
    counts = [[0] * classes for _ in range(classes)]
    for is_, said in zip(truth, predicted, strict=True):
        counts[is_][said] += 1
    return counts


def accuracy(truth, predicted):
    right = sum(is_ == said for is_, said in zip(truth, predicted, strict=True))
    return right / len(truth) if len(truth) else math.nan


def precision(truth, predicted, name):
    said = [t for t, p in zip(truth, predicted, strict=True) if p == name]
    return said.count(name) / len(said) if said else math.nan


def recall(truth, predicted, name):
    of_it = [p for t, p in zip(truth, predicted, strict=True) if t == name]
    return of_it.count(name) / len(of_it) if of_it else math.nan


def f1(truth, predicted, name):
    """Harmonic mean of precision and recall where both are defined and not both 0."""
    exact, found = precision(truth, predicted, name), recall(truth, predicted, name)
    if math.isnan(exact) and math.isnan(found):
        return math.nan
    if math.isnan(exact) or math.isnan(found) or exact + found == 0:
        return 0.0
    return 2 * exact * found / (exact + found)


def expected_calibration_error(truth, probabilities, bins):
    error = 0.0
    for number in range(bins):
        members = [
            (max(row), row.index(max(row)) == is_)
            for is_, row in zip(truth, probabilities, strict=True)
            if number / bins < max(row) <= (number + 1) / bins
        ]
        if members:
            confidence = sum(value for value, _ in members) / len(members)
            right = sum(hit for _, hit in members) / len(members)
            error += len(members) / len(truth) * abs(right - confidence)
    return error


def subject_bootstrap(values_of_subject):
    """Means of all S^S equally likely resamples of the subjects: the distribution that the bootstrap draws from."""
    subjects = list(values_of_subject)
    means = []
    for drawn in itertools.product(subjects, repeat=len(subjects)):
        values = [value for subject in drawn for value in values_of_subject[subject]]
        means.append(sum(values) / len(values))
    return sorted(means)


def known(truth, predicted):
    return [(t, p) for t, p in zip(truth, predicted, strict=True) if not math.isnan(t)]


def unit_f1(truth, scores, threshold):
    pairs = known(truth, scores)
    return f1([int(t) for t, _ in pairs], [int(score >= threshold) for _, score in pairs], 1)


def base_rate(truth):
    pairs = known(truth, truth)
    return sum(t for t, _ in pairs) / len(pairs) if pairs else math.nan


def roc_auc(truth, scores):
    """Every scan that shows the unit against every one that does not."""
    pairs = known(truth, scores)
    wins = [1.0 if a > b else 0.5 if a == b else 0.0 for t, a in pairs if t == 1 for u, b in pairs if u == 0]
    return sum(wins) / len(wins) if wins else math.nan


def concordance(truth, predicted):
    pairs = known(truth, predicted)
    if not pairs:
        return math.nan
    n = len(pairs)
    mean_t, mean_p = sum(t for t, _ in pairs) / n, sum(p for _, p in pairs) / n
    cov = sum((t - mean_t) * (p - mean_p) for t, p in pairs) / n
    spread = sum((t - mean_t) ** 2 + (p - mean_p) ** 2 for t, p in pairs) / n + (mean_t - mean_p) ** 2
    return 2 * cov / spread if spread else math.nan


def rmse(truth, predicted):
    pairs = known(truth, predicted)
    return math.sqrt(sum((t - p) ** 2 for t, p in pairs) / len(pairs)) if pairs else math.nan


def sign_agreement(truth, predicted):
    pairs = known(truth, predicted)
    sign = lambda x: (x > 0) - (x < 0)  # noqa: E731
    return sum(sign(t) == sign(p) for t, p in pairs) / len(pairs) if pairs else math.nan
