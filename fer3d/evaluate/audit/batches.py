"""Do the predictions depend on the batch in which a scan was tested?

A network with batch normalisation that is left in training mode at test normalises each batch by its own mean. If the
test set is sorted by class, most batches are of one class, and the mean of that class is taken away. Two signs of this
stand in predictions that are in the order of the test:

- Batches of one class are too alike: the mean answer of a batch is nearly the same whatever its class, more alike than
  means of as many scans drawn at random.
- Scans of one class get other answers in batches that hold other classes too: answers jump where a batch ends.

Both are tested by permutation. For the first, scans of batches of one class are exchanged. For the second, whole people
are exchanged within each class, as the scans of one person are alike and stand together; a jump must also be larger
where batches end than for batches that begin a few rows later.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fer3d.evaluate.audit.findings import FOUND, NOT_FOUND, Finding, cannot_tell, percent
from fer3d.evaluate.audit.predictions import Tested

CHECK = "batches"
SIZES = (8, 10, 12, 16, 20, 24, 25, 30, 32, 40, 48, 50, 60, 64, 80, 96, 100, 128, 200, 256, 512)
_SIGNIFICANT = 1e-3  # for each of the two signs, over all sizes
_DRAWS, _LOOK, _GIVE_UP = 1000, 100, 4  # after every _LOOK draws a test with more than _GIVE_UP exceedances ends
_LESS = 0.8  # of the sum of squares between random batches: only fewer are tested for being too few
_FEWEST = 6  # batches of one class
_PURE = 0.2  # share of the scans in batches of one class, for some size, from which on the order is looked at
_LOWEST = -8.0  # logarithms of probabilities are cut here: a network that is sure is sure

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class _Sign:
    """A test over sizes of batches: the size with the strongest sign, and its chance over all sizes."""

    size: int
    chance: float


def check_batches(tested: Tested, size: int | None = None) -> Finding:
    """Look for answers that depend on the batch.

    Args:
        tested: Predictions in the order of the test.
        size: Size of the test batches, if known; a column batch says more.
    """
    tested = _by_fold(tested)
    cuts = _cuts(tested, size)
    share = max((_pure(tested, cut).mean() for cut in cuts.values()), default=0.0)
    if share < _PURE:
        detail = "In the order of the rows, which is taken for that of the test, hardly any batch is of one class."
        return Finding(CHECK, NOT_FOUND, detail)
    answers = _answers(tested)
    if np.allclose(answers, answers[0]) or tested.correct.all():
        return cannot_tell(CHECK, "the test repeated in another order", "All answers are right, or all the same.")
    alike = _alike(tested, answers, cuts)
    if alike is not None and alike.chance <= _SIGNIFICANT:
        detail = "Their mean answers are almost the same for every class, as if each batch had been centred."
        return _found(tested, cuts, alike, detail)
    if "subject" not in tested.texts:
        needs = "the person of each scan: a column subject"
        return cannot_tell(CHECK, needs, "The rows are sorted by class, so batches of the test may be of one class.")
    jumps = _jumps(tested, answers, cuts)
    if jumps is None:
        needs = "the test repeated in another order"
        return cannot_tell(CHECK, needs, "Each class or person is a batch of its own, so they cannot be told apart.")
    if jumps.chance <= _SIGNIFICANT:
        return _found(tested, cuts, jumps, "The answers for a class jump where such a batch begins or ends.")
    detail = "The rows are sorted by class, but the predictions do not depend on where batches would begin."
    return Finding(CHECK, NOT_FOUND, detail)


def _by_fold(tested: Tested) -> Tested:
    """The predictions fold by fold, each in the order of the table."""
    order = np.argsort(tested.group, kind="stable")
    return replace(
        tested,
        truth=tested.truth[order],
        predicted=tested.predicted[order],
        scores=None if tested.scores is None else tested.scores[order],
        texts={role: tuple(cells[row] for row in order) for role, cells in tested.texts.items()},
        keys=tuple(tested.keys[row] for row in order),
    )


def _found(tested: Tested, cuts: dict[int, Integers], sign: _Sign, detail: str) -> Finding:
    pure = _pure(tested, cuts[sign.size])
    one, more = tested.accuracy_of(pure), tested.accuracy_of(~pure)
    batches = f"batches of {sign.size}" if sign.size else "batches"
    detail = f"The predictions depend on the batch, of {sign.size} scans. {detail}" if sign.size else detail
    if one is not None and more is not None:
        detail += f" The accuracy is {percent(one)} in {batches} of one class, {percent(more)} in others."
    return Finding(CHECK, FOUND, f"{detail} Test in evaluation mode, or in a random order.")


def _answers(tested: Tested) -> Floats:
    """(N, K): logarithms of the probabilities, or 1 for the predicted class."""
    if tested.scores is None:
        return np.eye(len(tested.classes))[tested.predicted]
    return np.maximum(tested.scores, _LOWEST)


def _starts(*columns: Iterable[object]) -> Integers:
    """Rows at which any of some columns changes, and 0."""
    changes: set[int] = {0}
    for column in columns:
        cells = list(column)
        changes |= {row for row in range(1, len(cells)) if cells[row] != cells[row - 1]}
    return np.array(sorted(changes), np.int64)


def _places(group: Integers) -> Integers:
    """(N,) the place of each row in its fold."""
    return np.concatenate([np.arange(size) for size in np.bincount(group)])


def _cuts(tested: Tested, size: int | None) -> dict[int, Integers]:
    """Size of the batches -> (N,) number of the batch of each row; size 0 for a column of batches."""
    if "batch" in tested.texts:
        _, number = np.unique(tested.texts["batch"], return_inverse=True)
        return {0: number + (number.max() + 1) * tested.group}
    places = _places(tested.group)
    most = int(places.max()) + 1
    sizes: Sequence[int] = (size,) if size else [each for each in SIZES if each <= most / 2]
    return {each: places // each + (most + 1) * tested.group for each in sizes}


def _pure(tested: Tested, batch: Integers) -> NDArray[np.bool_]:
    """(N,) whether the row's batch is of one class."""
    _, number = np.unique(batch, return_inverse=True)
    kinds = np.unique(np.stack([number, tested.truth], axis=1), axis=0)[:, 0]
    single: NDArray[np.bool_] = np.bincount(kinds)[number] == 1
    return single


def _alike(tested: Tested, answers: Floats, cuts: dict[int, Integers]) -> _Sign | None:
    """Are the means of batches of one class more alike than means of as many scans at random?"""
    sets = []
    for size, batch in cuts.items():
        rows = np.flatnonzero(_pure(tested, batch))
        _, number = np.unique(batch[rows], return_inverse=True)
        whole = np.bincount(number) == (size or np.bincount(number)) if len(rows) else np.zeros(0, bool)
        rows = rows[whole[number]] if len(rows) else rows
        starts = _starts(batch[rows].tolist()) if len(rows) else np.zeros(0, np.int64)
        if len(starts) < _FEWEST or len(set(tested.truth[rows].tolist())) < 2:
            continue
        values, mine = np.zeros_like(answers), np.zeros(len(tested), np.bool_)
        values[rows], mine[rows] = _centred(answers[rows], tested.group[rows]), True
        chance = (values**2).sum() * (len(starts) - len(set(tested.group[rows].tolist()))) / len(rows)
        if _between(values[rows], starts) < _LESS * chance:
            sets.append((size, values, mine, starts))
    if not sets:
        return None

    def draw(rng: np.random.Generator | None) -> Floats:
        order = np.arange(len(tested)) if rng is None else np.argsort(tested.group + rng.random(len(tested)))
        return np.array([-_between(values[order[mine[order]]], starts) for _, values, mine, starts in sets])

    return _permuted(draw, [size for size, *_ in sets])


def _jumps(tested: Tested, answers: Floats, cuts: dict[int, Integers]) -> _Sign | None:
    """Do the means of the parts of a class in different batches differ more than with people in another order?"""
    pairs = tested.group * len(tested.classes) + tested.truth
    values = _centred(answers, pairs)
    run = np.zeros(len(tested), np.int64)
    run[_starts(pairs.tolist())[1:]] = 1
    run = np.cumsum(run)
    _, person = np.unique(tested.texts["subject"], return_inverse=True)
    people = int(person.max()) + 1
    kept = [
        (size, starts)
        for size, batch in cuts.items()
        if len(starts := _starts(run.tolist(), batch.tolist())) > run[-1] + 1
    ]

    def draw(rng: np.random.Generator | None) -> Floats:
        order = np.arange(len(tested))
        if rng is not None:
            order = np.argsort(run * people + rng.permutation(people)[person], kind="stable")
        return np.array([_between(values[order], starts) for _, starts in kept])

    if not kept or np.allclose(draw(None), draw(np.random.default_rng(1))):
        return None
    sign = _permuted(draw, [size for size, _ in kept])
    if sign.chance <= _SIGNIFICANT and sign.size and not _is_sharp(tested, values, run, sign.size):
        return _Sign(sign.size, 1.0)
    return sign


def _is_sharp(tested: Tested, values: Floats, run: Integers, size: int) -> bool:
    """Whether batches that begin a few rows later show less: else it is a trend along the rows."""
    places = _places(tested.group)
    shifted = [_between(values, _starts(run.tolist(), ((places + shift) // size).tolist())) for shift in range(size)]
    return shifted[0] >= max(shifted)


def _centred(answers: Floats, group: Integers) -> Floats:
    """Answers minus their mean in each group."""
    _, number = np.unique(group, return_inverse=True)
    counts = np.bincount(number)
    means = np.stack([np.bincount(number, column) / counts for column in answers.T], axis=1)
    centred: Floats = answers - means[number]
    return centred


def _between(values: Floats, starts: Integers) -> float:
    """Sum of squares between segments of rows, which begin at `starts`."""
    sums = np.add.reduceat(values, starts, axis=0)
    sizes = np.diff(np.append(starts, len(values)))
    return float(((sums**2).sum(axis=1) / sizes).sum())


def _permuted(draw: Callable[[np.random.Generator | None], Floats], sizes: Sequence[int]) -> _Sign:
    """The size whose statistic is highest against permutations, and the chance of one as high for any size.

    Statistics are compared after standardising each by its own first draws.
    """
    rng = np.random.default_rng(0)
    first = np.stack([draw(rng) for _ in range(_LOOK)])
    middle = first.mean(axis=0)
    spread = first.std(axis=0) + 1e-9 * np.abs(middle) + 1e-12
    observed = (draw(None) - middle) / spread
    best, above, done = int(np.argmax(observed)), 0, 0
    while done < _DRAWS and above <= _GIVE_UP:
        for _ in range(_LOOK):
            above += bool(((draw(rng) - middle) / spread).max() >= observed[best])
        done += _LOOK
    return _Sign(sizes[best], (1 + above) / (1 + done))
