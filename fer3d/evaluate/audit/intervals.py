"""Was the interval made as if all scans were of different people?

Scans of one person are alike, so the true interval is that of people; the one of scans is too narrow. A reported
interval is held against the widths of both.
"""

from __future__ import annotations

import math

import numpy as np

from fer3d.errors import ArgumentError
from fer3d.evaluate import metrics
from fer3d.evaluate.audit.averages import fold_accuracies, read_reported
from fer3d.evaluate.audit.findings import FOUND, NOT_FOUND, Finding, cannot_tell, percent
from fer3d.evaluate.audit.predictions import Tested

CHECK = "interval"
_DIFFERENT = 1.15  # ratio of the widths from which on the two can be told apart
_NEAR = 0.1  # of a width: how far methods (Wald, Wilson, bootstrap) and rounding differ
_Z = 1.959964
_FEWEST, _MOST = 5, 2000  # people for an interval, and for its bootstrap


def read_interval(text: str) -> tuple[float, float]:
    """The ends of an interval such as "80.1,86.7", as shares. Raises ArgumentError if it is none.

    >>> read_interval("80.1, 86.7")
    (0.801, 0.867)
    """
    words = text.split(",")
    if len(words) != 2:
        raise ArgumentError(f"`interval` should be two numbers with a comma between, such as 80.1,86.7, is {text!r}")
    low, high = (read_reported(word, "interval").value for word in words)
    if low > high:
        raise ArgumentError(f"`interval` should have its lower end first, is {text!r}")
    return low, high


def by_subject(tested: Tested) -> metrics.Interval | None:
    """Accuracy with its 95 % interval by subject; None if people are not known or too few."""
    if "subject" not in tested.texts:
        return None
    _, person = np.unique(tested.texts["subject"], return_inverse=True)
    counts = np.stack([np.bincount(person, tested.correct), np.bincount(person)], axis=1)  # (S, 2)
    if len(counts) < _FEWEST:
        return None
    if len(counts) > _MOST:
        return _normal(counts)
    return metrics.subject_interval(counts, lambda sums: np.asarray(sums[..., 0] / sums[..., 1]))


def _normal(counts: metrics.Counts) -> metrics.Interval:
    """The interval of so many people that the bootstrap of their ratio is a normal distribution: (S, 2) hits, scans."""
    hits, scans = counts.sum(axis=0)
    share = hits / scans
    residuals = counts[:, 0] - share * counts[:, 1]
    half = _Z * math.sqrt(float((residuals**2).sum())) / scans
    return metrics.Interval(float(share), float(share - half), float(share + half))


def check_interval(tested: Tested, reported: tuple[float, float] | None) -> Finding:
    """Look for an interval that takes scans for independent."""
    people = by_subject(tested)
    right = "" if people is None else f"By subject it is {percent(people.low)} to {percent(people.high)}."
    if people is None:
        return cannot_tell(CHECK, f"the person of each scan, of {_FEWEST} people or more: a column subject")
    if reported is None:
        return cannot_tell(CHECK, "the interval that is reported: --interval LOW,HIGH", right)
    if people.low == people.high:
        return cannot_tell(CHECK, "predictions that are not all right, or all wrong, for everybody")
    width, own = (reported[1] - reported[0]) / 2, (people.high - people.low) / 2
    share = tested.accuracy
    sizes = {len(tested), len(set(tested.texts.get("id", ()))) or len(tested)}  # rounds count once, or each
    single = [_Z * math.sqrt(share * (1 - share) / size) for size in sizes]
    if own < _DIFFERENT * max(single):
        if width < (1 - 2 * _NEAR) * min(*single, own):
            return _found(width, f"narrower than by scan, {_half(min(single))}", right, people.value)
        return Finding(CHECK, NOT_FOUND, f"Here both intervals are about the same. {right}")
    if width >= (1 - _NEAR) * own or _is_of_folds(tested, width):
        return Finding(CHECK, NOT_FOUND, f"It is as wide as by subject, or wider. {right}")
    nearest = min(single, key=lambda half: abs(half - width))
    if abs(width - nearest) <= _NEAR * nearest or width < nearest:
        return _found(width, f"that of scans, {_half(nearest)}", right, people.value)
    detail = f"It is {_half(width)}, between that of scans, {_half(nearest)}, and that of people, {_half(own)}. {right}"
    return cannot_tell(CHECK, "how the interval was made", detail)


def _found(width: float, what: str, right: str, accuracy: float) -> Finding:
    return Finding(CHECK, FOUND, f"The reported interval, {_half(width)}, is {what}. {right}", corrected=accuracy)


def _half(width: float) -> str:
    return f"+- {100 * width:.1f} points"


def _is_of_folds(tested: Tested, width: float) -> bool:
    """Whether the interval is made from the spread of the folds, which people do not share."""
    folds = fold_accuracies(tested)
    if len(folds) < 3:
        return False
    from scipy.stats import t

    sd = float(np.std(folds, ddof=1))
    known = (sd, t.ppf(0.975, len(folds) - 1) * sd / math.sqrt(len(folds)))
    return any(abs(width - half) <= 0.5 * _NEAR * half for half in known)
