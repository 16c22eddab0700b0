"""Which average is the reported number: over all scans, over folds, over classes, the best fold, or none?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fer3d.errors import ArgumentError
from fer3d.evaluate import metrics
from fer3d.evaluate.audit.findings import FOUND, NOT_FOUND, Finding, cannot_tell, percent
from fer3d.evaluate.audit.predictions import Tested

AVERAGE, NUMBER = "average", "number"
_NEEDS = "the number that is reported: --reported NUMBER"


@dataclass(frozen=True)
class Reported:
    """A number as it is reported.

    Attributes:
        value: The share.
        unit: Half of its last decimal, as a share.
    """

    value: float
    unit: float

    def equals(self, share: float) -> bool:
        """Whether a share rounds, or is cut, to the number."""
        return -self.unit - 1e-9 <= share - self.value <= 2 * self.unit + 1e-9


def read_reported(text: str, name: str = "reported") -> Reported:
    """A number such as "83.4", "83.4 %" or "0.834". Numbers above 1 are percentages.

    Raises:
        ArgumentError: if it is none, or lies outside 0 to 100 %.

    >>> read_reported("83.4 %")
    Reported(value=0.834, unit=0.0005)
    """
    word = text.strip()
    cleaned = word.removesuffix("%").strip()
    try:
        value = float(cleaned)
    except ValueError:
        raise ArgumentError(f"`{name}` should be a number such as 83.4 or 0.834, is {text!r}") from None
    scale = 0.01 if value > 1 or word.endswith("%") else 1.0
    if not 0 <= value * scale <= 1:
        raise ArgumentError(f"`{name}` should lie between 0 and 100 %, is {text!r}")
    decimals = len(cleaned.partition(".")[2]) if "e" not in cleaned.lower() else 9
    return Reported(round(value * scale, 12), round(0.5 * 10.0**-decimals * scale, 12))


def check_average(tested: Tested, reported: Reported | None) -> Finding:
    """Look for a mean over folds of different size, or the best fold, in place of the accuracy over all scans."""
    sizes = np.bincount(tested.group)
    pooled, mean = tested.accuracy, float(fold_accuracies(tested).mean())
    equal = len(set(sizes.tolist())) == 1
    if reported is None:
        if len(sizes) > 1 and equal:
            return Finding(
                AVERAGE, NOT_FOUND, f"All {len(sizes)} folds have {sizes[0]} scans: both averages are equal."
            )
        if len(sizes) == 1 and "fold" in tested.columns:
            return Finding(AVERAGE, NOT_FOUND, "There is one fold.")
        detail = "" if len(sizes) == 1 else f"The accuracy is {percent(pooled)}, the mean of the folds {percent(mean)}."
        return cannot_tell(AVERAGE, _NEEDS if len(sizes) > 1 else f"{_NEEDS}, and a column fold", detail)
    if reported.equals(pooled):
        return Finding(AVERAGE, NOT_FOUND, f"It is the accuracy over all scans, {percent(pooled)}.")
    if len(sizes) == 1:
        return cannot_tell(AVERAGE, "the fold of each scan: a column fold")
    best = float(fold_accuracies(tested).max())
    for value, words in ((mean, "the mean of the folds"), (best, "the accuracy of the best fold")):
        if reported.equals(value):
            detail = f"{percent(reported.value)} is {words}, of {sizes.min()} to {sizes.max()} scans; over all scans "
            return Finding(AVERAGE, FOUND, f"{detail}the accuracy is {percent(pooled)}.", corrected=pooled)
    detail = (
        f"It is neither the accuracy over all scans, {percent(pooled)}, nor the mean of the folds, {percent(mean)}."
    )
    return Finding(AVERAGE, NOT_FOUND, detail)


def check_number(tested: Tested, reported: Reported | None) -> Finding:
    """Look for a number that no usual average of these predictions gives."""
    if reported is None:
        return cannot_tell(NUMBER, _NEEDS)
    known = usual_numbers(tested)
    names = [name for name, value in known.items() if reported.equals(value)]
    if names:
        return Finding(NUMBER, NOT_FOUND, f"{percent(reported.value)} is the {names[0]}.")
    near = min(known, key=lambda name: abs(known[name] - reported.value))
    detail = f"No usual average gives {percent(reported.value)}; the nearest, the {near}, is {percent(known[near])}."
    return Finding(NUMBER, FOUND, f"{detail} The accuracy is {percent(tested.accuracy)}.", corrected=tested.accuracy)


def fold_accuracies(tested: Tested) -> metrics.Floats:
    """(F,) accuracy of each fold."""
    means: metrics.Floats = np.bincount(tested.group, tested.correct) / np.bincount(tested.group)
    return means


def usual_numbers(tested: Tested) -> dict[str, float]:
    """What people report of predictions: name -> share; undefined ones are left out."""
    counts = metrics.confusion_matrix(tested.truth, tested.predicted, len(tested.classes))
    by_fold = fold_accuracies(tested)
    found = {
        "accuracy over all scans": tested.accuracy,
        "mean of the folds": float(by_fold.mean()),
        "mean recall of the classes": _defined(metrics.recall(counts)),
        "macro F1": _defined(metrics.f1(counts)),
        "mean precision of the classes": _defined(metrics.precision(counts)),
        "best fold": float(by_fold.max()),
        "median of the folds": float(np.median(by_fold)),
    }
    sizes = counts.sum(axis=1)
    found["weighted F1"] = float(np.nansum(metrics.f1(counts) * sizes) / sizes.sum())
    if "subject" in tested.texts:
        _, person = np.unique(tested.texts["subject"], return_inverse=True)
        found["mean of the people"] = float((np.bincount(person, tested.correct) / np.bincount(person)).mean())
    rounds = [number for number, _ in tested.keys]
    if len(set(rounds)) > 1:
        _, place = np.unique(rounds, return_inverse=True)
        found["best round"] = float((np.bincount(place, tested.correct) / np.bincount(place)).max())
    return found


def _defined(values: metrics.Floats) -> float:
    return metrics.defined_mean(values).value
