"""Was the epoch chosen by looking at the test set? The log tells, if it measures the test.

The accuracy of the predictions is looked up on the curve of the test. Rules that do not look at the test (the last
epoch, the best on validation, ...) explain it innocently if one of them fits all trainings. If none does, and every
accuracy is the highest of its curve, the epoch was chosen on the test.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from fer3d.evaluate.audit.findings import FOUND, NOT_FOUND, Finding, cannot_tell, count, percent
from fer3d.evaluate.audit.log import Floats, Log
from fer3d.evaluate.audit.predictions import Tested

CHECK = "epoch"
_CHANCE = 0.05  # that epochs chosen otherwise are all the best on the test by luck
_VALUES = 5  # different accuracies on a curve that another curve does not share by chance
_HIDDEN = 0.25  # chance that an epoch which validation chose is one of the best on the test; ours
_SAME_SET = 1e-3  # that best validation accuracies of other scans equal the test's in every training
_NEEDS = "the log of the training, with the test accuracy of each epoch: --log LOG"


@dataclass(frozen=True, eq=False)
class _Training:
    """A log, and the accuracy that it is compared with."""

    log: Log
    accuracy: float
    scans: int

    def at(self, name: str) -> NDArray[np.bool_]:
        """(E,) bool: the epochs at which a curve has the accuracy of the predictions."""
        hits: NDArray[np.bool_] = np.abs(self.log.curves[name] - self.accuracy) <= self.log.unit
        return hits

    def best(self, name: str = "test accuracy") -> NDArray[np.bool_]:
        """(E,) bool: the epochs at which a curve is highest."""
        curve = self.log.curves[name]
        tops: NDArray[np.bool_] = curve >= np.nanmax(curve) - 1e-9
        return tops

    @property
    def luck(self) -> float:
        """Chance that an epoch of the second half is one of the best on the test; 1 if all answers are right.

        Of a log that hides how the epoch was chosen, at least `_HIDDEN`: the best on validation is good on the test.
        """
        if self.accuracy in (0.0, 1.0):
            return 1.0
        share = float(self.best()[self.log.epochs // 2 :].mean())
        return share if {"validation accuracy", "validation loss"} & self.log.curves.keys() else max(share, _HIDDEN)


Rule = Callable[[_Training], NDArray[np.bool_] | None]


def _top(name: str, sign: float = 1.0) -> Rule:
    """The first and last epoch at which a curve is highest, or lowest for sign -1; None for a log without the curve."""

    def rule(training: _Training) -> NDArray[np.bool_] | None:
        curve: Floats | None = training.log.curves.get(name)
        if curve is None:
            return None
        tops = np.flatnonzero(sign * curve >= np.nanmax(sign * curve) - 1e-9)
        hits = np.zeros(len(curve), np.bool_)
        hits[tops[[0, -1]]] = True
        return hits

    return rule


def _last(training: _Training) -> NDArray[np.bool_]:
    hits = np.zeros(training.log.epochs, np.bool_)
    hits[-1] = True
    return hits


_INNOCENT: dict[str, Rule] = {
    "the last epoch": _last,
    "the epoch of the best validation accuracy": _top("validation accuracy"),
    "the epoch of the lowest validation loss": _top("validation loss", -1),
    "the epoch of the best training accuracy": _top("train accuracy"),
    "the epoch of the lowest training loss": _top("train loss", -1),
}


def check_epoch(tested: Tested, logs: Sequence[Log] | None) -> Finding:
    """Look for an epoch that was chosen on the test set."""
    if logs is None:
        return cannot_tell(CHECK, _NEEDS)
    trainings = _matched(tested, logs)
    if trainings is None:
        folds = f"{count(len(logs), 'training')} in the log, {count(len(tested.folds), 'fold')} in the predictions"
        return cannot_tell(CHECK, "a log of the same folds, with a column fold", f"They differ: {folds}.")
    measured = [t for t in trainings if "test accuracy" in t.log.curves]
    if len(measured) < len(trainings):
        return _by_validation(trainings)
    if _is_one_curve([t.log for t in trainings]):
        detail = "The log's validation curve is its test curve: the test set was used for validation."
        return Finding(CHECK, FOUND, detail, corrected=_at_last(trainings))
    return _by_test(trainings)


def _matched(tested: Tested, logs: Sequence[Log]) -> list[_Training] | None:
    if len(logs) == 1:
        return [_Training(logs[0], tested.accuracy, len(tested))]
    by_key = {log.key: log for log in logs}
    if set(by_key) != set(tested.folds):
        return None
    rows = [(by_key[key], tested.group == place) for place, key in enumerate(tested.folds)]
    return [_Training(log, float(tested.correct[mine].mean()), int(mine.sum())) for log, mine in rows]


def _is_one_curve(logs: Sequence[Log]) -> bool:
    """Whether validation and test are the same numbers in all trainings, and not only a few that could be by chance."""
    tests = [log.curves["test accuracy"] for log in logs]
    pairs = zip((log.curves.get("validation accuracy") for log in logs), tests, strict=True)
    if max(len(set(test[~np.isnan(test)].tolist())) for test in tests) < _VALUES:
        return False
    return all(v is not None and np.allclose(v, t, rtol=0, atol=1e-9, equal_nan=True) for v, t in pairs)


def _by_test(trainings: Sequence[_Training]) -> Finding:
    if all(t.log.chosen is not None for t in trainings):
        taken = [np.arange(t.log.epochs) == t.log.chosen for t in trainings]
    else:
        taken = [t.at("test accuracy") for t in trainings]
    strange = sum(not hits.any() for hits in taken)
    if strange:
        detail = f"The accuracy of the predictions is on no epoch of {strange} of {len(trainings)} test curves."
        return cannot_tell(CHECK, "the log of these predictions, one training for each fold", detail)
    for name, rule in _INNOCENT.items():
        if all(_meets(hits, rule(t)) for t, hits in zip(trainings, taken, strict=True)):
            return Finding(CHECK, NOT_FOUND, f"The predictions are those of {name}.")
    top = [bool((hits & t.best()).any()) for t, hits in zip(trainings, taken, strict=True)]
    luck = math.prod(t.luck for t in trainings)
    if all(top) and luck <= _most_luck(trainings):
        return _found(trainings)
    if all(top):
        detail = (
            "The predictions have the highest accuracy of the test curve; with so few trainings that may be chance."
        )
        return cannot_tell(CHECK, "how the epoch was chosen, such as the curve of a validation set", detail)
    if not all(top) and _many(top, trainings) <= _SAME_SET:
        return _found(trainings, sum(top))
    return _by_one_epoch(trainings, taken)


def _most_luck(trainings: Sequence[_Training]) -> float:
    """The largest chance that counts as a fault: a log that hides how the epoch was chosen has to show more."""
    told = all({"validation accuracy", "validation loss"} & t.log.curves.keys() for t in trainings)
    return _CHANCE if told else _SAME_SET


def _meets(hits: NDArray[np.bool_], rule: NDArray[np.bool_] | None) -> bool:
    return rule is not None and bool((hits & rule).any())


def _many(top: Sequence[bool], trainings: Sequence[_Training]) -> float:
    """Chance that as many trainings are at their best on the test by luck."""
    from scipy.stats import binom

    luck = float(np.mean([t.luck for t in trainings]))
    return float(binom.sf(sum(top) - 1, len(top), luck))


def _found(trainings: Sequence[_Training], number: int | None = None) -> Finding:
    total, last = len(trainings), _at_last(trainings)
    where = "" if total == 1 else f" in {total if number is None else number} of {total} trainings"
    detail = (
        f"The predictions have the highest accuracy of the test curve{where}, at epochs that neither validation nor "
        f"training nor the end explains. At the last epoch the accuracy is {percent(last)}."
    )
    return Finding(CHECK, FOUND, detail, corrected=last)


def _by_one_epoch(trainings: Sequence[_Training], taken: Sequence[NDArray[np.bool_]]) -> Finding:
    """The same epoch in all trainings: chosen beforehand, or by the mean of the test curves."""
    epochs = min(t.log.epochs for t in trainings)
    common = reduce(np.logical_and, [hits[:epochs] for hits in taken])
    if len(trainings) == 1 or not common.any():
        detail = "No rule that fits all trainings was found for the epoch; it may still have been fixed beforehand."
        return cannot_tell(CHECK, "how the epoch was chosen", detail)
    mean = np.mean([t.log.curves["test accuracy"][:epochs] for t in trainings], axis=0)
    best = mean >= np.nanmax(mean) - 1e-9
    if (common & best).any() and best[epochs // 2 :].mean() <= _most_luck(trainings):
        epoch, last = int(np.flatnonzero(common & best)[0]) + 1, _at_last(trainings)
        detail = f"The predictions are those of epoch {epoch}, at which the mean of the test curves is highest."
        return Finding(CHECK, FOUND, f"{detail} At the last epoch it is {percent(last)}.", corrected=last)
    return Finding(CHECK, NOT_FOUND, "The predictions are those of one epoch, the same in all trainings.")


def _by_validation(trainings: Sequence[_Training]) -> Finding:
    """A log without the test: is what it calls validation the test?"""
    curves = [t.log.curves.get("validation accuracy") for t in trainings]
    if any(curve is None for curve in curves):
        detail = "The log measures neither the test nor, in each training, a validation set."
        return cannot_tell(CHECK, "the test accuracy of each epoch in the log", detail)
    same = all((t.at("validation accuracy") & t.best("validation accuracy")).any() for t in trainings)
    chance = math.prod(_likeliest(t) for t in trainings)
    if same and chance <= _SAME_SET:
        ending = "test set, and its best epoch was chosen."
        where = "" if len(trainings) == 1 else f" in each of {len(trainings)} trainings"
        detail = f"The best accuracy that the log gives for validation is that of the test{where}: it was the {ending}"
        return Finding(CHECK, FOUND, detail)
    if same:
        detail = "The best validation accuracy of the log is the test's; with so few scans that may be chance."
        return cannot_tell(CHECK, "the names of the validation scans: --folds FOLDS", detail)
    return Finding(CHECK, NOT_FOUND, "The log has a validation set, and its best accuracy is not that of the test.")


def _likeliest(training: _Training) -> float:
    """Largest chance that an accuracy of other scans, as many, is the same number within the decimals of the log."""
    from scipy.stats import binom

    if training.accuracy in (0.0, 1.0):
        return 1.0
    n, p = training.scans, min(max(training.accuracy, 0.02), 0.98)
    width = 1 + 2 * int(training.log.unit * n)
    return min(1.0, float(binom.pmf(int((n + 1) * p), n, p)) * width)


def _at_last(trainings: Sequence[_Training]) -> float:
    """Accuracy at the last epoch that was measured, over all scans."""
    last = [t.log.curves["test accuracy"][~np.isnan(t.log.curves["test accuracy"])][-1] for t in trainings]
    return float(np.average(last, weights=[t.scans for t in trainings]))
