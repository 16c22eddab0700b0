"""Does another order of the classes make the predictions much better?

The best order is the assignment of predicted to true classes with the most hits. As it is chosen by the same hits, it
is learned on one half of the people and tried on the other, both ways. Only a gain that stands there counts.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fer3d.evaluate.audit.findings import FOUND, NOT_FOUND, Finding, cannot_tell, percent
from fer3d.evaluate.audit.predictions import Tested, fold_text
from fer3d.evaluate.metrics import confusion_matrix

CHECK = "label-order"
_LEAST_GAIN = 0.1  # of the accuracy; a smaller one is a confusion of two classes
_LEAST_RECALL = (
    0.4  # share of the renamed classes' scans that the new order gets right, and twice what the old one does
)
_SIGNIFICANT = 1e-3  # for all tries together
_MANY, _VERY_MANY, _FEW_PEOPLE, _AGREE = 16, 400, 100.0, 0.8
_FEWEST = 20  # scans of a fold that is tried alone
_ABOVE_CHANCE = 1.5  # times the accuracy of the commonest class that the new order must reach
_MATCHED = 0.9  # share of rows whose highest probability is the stated prediction, under some order

Rows = NDArray[np.int64]


def check_label_order(tested: Tested) -> Finding:
    """Look for classes that were renamed between training and test: in all folds, or in one."""
    between = _columns_against_labels(tested)
    if between is not None:
        return between
    everything = np.arange(len(tested))
    tries = [("", everything)]
    if len(tested.folds) > 1:
        tries += [(fold_text(key), np.flatnonzero(tested.group == place)) for place, key in enumerate(tested.folds)]
    tries = [(name, rows) for name, rows in tries if len(rows) >= _FEWEST]
    if not tries:
        return cannot_tell(CHECK, f"at least {_FEWEST} predictions")
    for name, rows in tries:
        order = _better_order(tested, rows, _SIGNIFICANT / len(tries))
        if order is not None:
            return _found(tested, name, rows, order)
    best = _best_order(tested, everything)
    gain = float((best[tested.predicted] == tested.truth).mean()) - tested.accuracy
    detail = f"The best other order of the classes would gain {100 * gain:.1f} points, which is no more than chance."
    return Finding(CHECK, NOT_FOUND, detail if gain > 0 else "No other order of the classes is better.")


def _found(tested: Tested, name: str, rows: Rows, order: Rows) -> Finding:
    moved = [place for place in np.unique(tested.predicted[rows]).tolist() if order[place] != place]
    swaps = tuple(f"{tested.classes[place]} stands for {tested.classes[order[place]]}" for place in moved)
    renamed = tested.predicted.copy()
    renamed[rows] = order[tested.predicted[rows]]
    before = float(tested.correct[rows].mean())
    after = float((renamed[rows] == tested.truth[rows]).mean())
    where = f" in {name}" if name else ""
    detail = f"With the classes renamed{where} the accuracy is {percent(after)}, not {percent(before)}."
    return Finding(CHECK, FOUND, detail, examples=swaps[:5], corrected=float((renamed == tested.truth).mean()))


def _best_order(tested: Tested, rows: Rows) -> Rows:
    """(K,) int64: predicted class -> true class, with the most hits; identity among equals."""
    from scipy.optimize import linear_sum_assignment

    counts = confusion_matrix(tested.truth[rows], tested.predicted[rows], len(tested.classes)).T.astype(float)
    own = counts + 1e-6 * np.eye(len(tested.classes))
    order: Rows = linear_sum_assignment(-own)[1].astype(np.int64)
    return order


def _better_order(tested: Tested, rows: Rows, significant: float) -> Rows | None:
    """The best order of some rows, if its gain is large and stands on people by whom it was not chosen."""
    truth, predicted = tested.truth[rows], tested.predicted[rows]
    order = _best_order(tested, rows)
    before, after = float((predicted == truth).mean()), float((order[predicted] == truth).mean())
    commonest = float(np.bincount(truth).max() / len(truth))
    if after - before < _LEAST_GAIN or after < min(_ABOVE_CHANCE * commonest, 0.5 * (1 + commonest)):
        return None
    moved = order[truth] != truth
    if (order[predicted] == truth)[moved].mean() < max(_LEAST_RECALL, 2 * (predicted == truth)[moved].mean()):
        return None
    person = _people(tested, rows)
    steps = np.zeros(len(rows))
    for half in (0, 1):
        learn, test = rows[person % 2 != half], person % 2 == half
        if not len(learn):
            return None
        other = _best_order(tested, learn)
        steps[test] = (other[predicted[test]] == truth[test]).astype(float) - (predicted[test] == truth[test])
    if steps.sum() < _LEAST_GAIN * len(rows) or _chance_of_gain(steps, person) > significant:
        return None
    return order


def _people(tested: Tested, rows: Rows) -> Rows:
    """A number for each row: of its person, or its own if people are not known or too few."""
    if "subject" in tested.texts:
        _, numbers = np.unique([tested.texts["subject"][row] for row in rows], return_inverse=True)
        if numbers.max() >= 3:
            return np.asarray(numbers, np.int64)
    return np.arange(len(rows))


def _chance_of_gain(steps: NDArray[np.float64], person: Rows) -> float:
    """Chance of a gain as high if the sign of each person's gain were random.

    Of fewer people than `_MANY`, who cannot give a small chance, the signs of scans are taken, and the chance is
    multiplied by `_FEW_PEOPLE`, as scans of one person are alike; nearly all people must gain.
    """
    from scipy.stats import binom, norm

    gains = np.bincount(person, steps)
    gains = gains[gains != 0]
    if len(gains) < _MANY:
        if (gains > 0).sum() < _AGREE * len(gains):
            return 1.0
        better, worse = int((steps > 0).sum()), int((steps < 0).sum())
        return min(1.0, _FEW_PEOPLE * float(binom.sf(better - 1, better + worse, 0.5)))
    if len(gains) > _VERY_MANY:
        return float(norm.sf(gains.sum() / np.sqrt((gains**2).sum())))
    signs = np.random.default_rng(0).choice([-1.0, 1.0], size=(20_000, len(gains)))
    return float((1 + (signs @ gains >= gains.sum() - 1e-9).sum()) / 20_001)


def _columns_against_labels(tested: Tested) -> Finding | None:
    """A finding if the highest probability is not the stated prediction, but would be in another order."""
    from scipy.optimize import linear_sum_assignment

    if tested.scores is None or "predicted" not in tested.columns:
        return None
    highest = tested.scores.argmax(axis=1).astype(np.int64)
    counts = confusion_matrix(highest, tested.predicted, len(tested.classes))
    order = linear_sum_assignment(-counts.astype(float))[1]
    same, other = np.trace(counts) / len(tested), counts[np.arange(len(order)), order].sum() / len(tested)
    if same >= _MATCHED or other < _MATCHED or other - same < _LEAST_GAIN:
        return None
    moved = [place for place in np.unique(highest).tolist() if order[place] != place]
    swaps = tuple(f"the column of {tested.classes[place]} is of {tested.classes[order[place]]}" for place in moved)
    detail = "The columns of probabilities have another order than the labels: their highest is the prediction in "
    detail += f"{percent(float(same))} of the rows, in another order in {percent(float(other))}."
    return Finding(CHECK, FOUND, detail, examples=swaps[:5])
