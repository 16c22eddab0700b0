"""Predictions of simulated studies: honest ones of many designs, and studies with one planted fault each."""

import csv
import json
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

CLASSES = ("anger", "disgust", "fear", "happiness", "sadness", "surprise")


@dataclass(frozen=True)
class Study:
    """Rows of a study: who, which class, which scan, and the logits of a network for it."""

    subject: np.ndarray
    truth: np.ndarray
    scan: np.ndarray  # number of the scan of this person and class
    fold: np.ndarray
    logits: np.ndarray
    classes: tuple = CLASSES
    extra: dict = field(default_factory=dict)  # further columns

    @property
    def predicted(self):
        return self.logits.argmax(axis=1)

    @property
    def correct(self):
        return self.predicted == self.truth

    @property
    def ids(self):
        return [f"p{s:03d}_{self.classes[t]}_{n}" for s, t, n in zip(self.subject, self.truth, self.scan, strict=True)]

    def take(self, rows):
        """The study with other rows, or the same in another order."""
        extra = {name: [cells[row] for row in rows] for name, cells in self.extra.items()}
        arrays = {name: getattr(self, name)[rows] for name in ("subject", "truth", "scan", "fold", "logits")}
        return replace(self, **arrays, extra=extra)


def study(
    seed=0, *, people=30, scans=2, folds=5, skill=2.0, classes=CLASSES, person=0.8, unequal=False, order="subject"
):
    """An honest study: people differ in how easy they are, folds are by person, the rows fold by fold."""
    rng = np.random.default_rng(seed)
    kinds = len(classes)
    subject, truth, scan = (
        each.ravel() for each in np.meshgrid(np.arange(people), np.arange(kinds), np.arange(scans), indexing="ij")
    )
    shares = rng.dirichlet(np.full(folds, 1.0)) if unequal else np.full(folds, 1 / folds)
    cuts = np.maximum(np.cumsum(shares) * (people - folds), 0) + np.arange(1, folds + 1)
    of_person = np.empty(people, int)
    of_person[rng.permutation(people)] = np.searchsorted(cuts, np.arange(people), side="right").clip(0, folds - 1)
    logits = rng.normal(size=(len(subject), kinds)) + rng.normal(size=(kinds, kinds))[truth] * min(0.5, skill / 4)
    logits[np.arange(len(subject)), truth] += skill + rng.normal(scale=person, size=people)[subject]
    made = Study(subject, truth, scan, of_person[subject], logits, classes)
    keys = {"subject": (truth, subject), "class": (subject, truth), "random": (rng.random(len(subject)),)}[order]
    return made.take(np.lexsort((*keys, made.fold)))


def probabilities(logits):
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)


def write_predictions(path: Path, made: Study, *, without=(), names=None, digits=6):
    """Write a study as anybody would. `names`: our name of a column -> theirs."""
    shares = probabilities(made.logits)
    table = {
        "id": made.ids,
        "subject": [f"p{number:03d}" for number in made.subject],
        "truth": [made.classes[t] for t in made.truth],
        "predicted": [made.classes[t] for t in made.predicted],
        "fold": made.fold.tolist(),
        **{f"p_{name}": np.round(shares[:, k], digits).tolist() for k, name in enumerate(made.classes)},
        **made.extra,
    }
    table = {(names or {}).get(name, name): cells for name, cells in table.items() if name not in without}
    write_table(path, table)
    return path


def write_table(path: Path, table):
    """Write columns as CSV or Parquet."""
    if path.suffix == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.table(table), path)
        return
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(table)
        writer.writerows(zip(*table.values(), strict=True))


def write_folds(path: Path, made: Study):
    """Write the folds of an honest study as `fer3d train` does."""
    folds = []
    for number in sorted(set(made.fold.tolist())):
        test = sorted({f"p{s:03d}" for s in made.subject[made.fold == number]})
        train = sorted({f"p{s:03d}" for s in made.subject} - set(test))
        folds.append({"round": 0, "fold": number, "train": train, "validation": [], "test": test})
    path.write_text(json.dumps(folds), encoding="utf-8")
    return path


def write_log(path: Path, made: Study, chosen: str, seed=0, epochs=40, digits=4, columns=("val_acc", "test_acc")):
    """Write the log of each fold, whose test curve has the accuracy of the study at the epoch that was chosen.

    Args:
        chosen: "last", "validation" or "test": the set on which the epoch was chosen.
        columns: The curves that are written.
    """
    rng = np.random.default_rng(seed)
    table = {"fold": [], "epoch": [], "train_loss": [], "val_acc": [], "test_acc": []}
    parts = {number: made.correct[made.fold == number] for number in sorted(set(made.fold.tolist()))}
    for number, mine in parts.items():
        true, size = mine.mean(), len(mine)

        def curve(part):
            rise = part.mean() * (1 - 0.5 * np.exp(-np.arange(epochs) / 6)) + rng.normal(scale=0.03, size=epochs)
            return np.round(rise.clip(0, 1) * len(part)) / len(part)

        validation, test = curve(parts.get(number + 1, parts[0])), curve(mine)  # the next fold is for validation
        at = {
            "last": epochs - 1,
            "validation": int(validation.argmax()),
            "test": int(rng.integers(epochs // 2, epochs - 1)),
        }
        if chosen == "test":  # the curve stays below what was chosen
            test = np.minimum(test, true - 1 / size)
        test[at[chosen]] = true
        loss = np.exp(-np.arange(epochs) / 10) + rng.normal(scale=0.01, size=epochs)
        for epoch in range(epochs):
            cells = (number, epoch + 1, loss[epoch], validation[epoch], test[epoch])
            for name, cell in zip(table, cells, strict=True):
                table[name].append(round(cell, digits) if isinstance(cell, float) else int(cell))
    write_table(path, {name: cells for name, cells in table.items() if "_acc" not in name or name in columns})
    return path


def by_subject(made: Study, seed=1, resamples=2000):
    """The accuracy in per cent, and its interval by person, of an own bootstrap."""
    people = sorted(set(made.subject.tolist()))
    hits = np.array([[made.correct[made.subject == p].sum(), (made.subject == p).sum()] for p in people])
    draws = np.random.default_rng(seed).integers(len(people), size=(resamples, len(people)))
    means = hits[draws].sum(axis=1)
    low, high = np.percentile(100 * means[:, 0] / means[:, 1], [2.5, 97.5])
    return f"{100 * made.correct.mean():.1f}", f"{low:.1f},{high:.1f}"


def batch_normalised(seed=0, *, training_mode, people=40, scans=4, folds=2, batch=32, order="class"):
    """A study by networks with batch normalisation (random features, a fitted last layer), tested in batches."""
    rng = np.random.default_rng(seed)
    made = study(seed, people=people, scans=scans, folds=folds, order=order)
    size, width, hidden, kinds = len(made.truth), 24, 96, len(CLASSES)
    means, faces = rng.normal(size=(kinds, width)), rng.normal(scale=0.7, size=(people, width))
    inputs = means[made.truth] + faces[made.subject] + rng.normal(scale=1.6, size=(size, width))
    values = inputs @ rng.normal(size=(width, hidden)) / np.sqrt(width)
    logits = np.zeros_like(made.logits)

    def features(rows, of):
        normal = (values[rows] - values[of].mean(axis=0)) / (values[of].std(axis=0) + 1e-5)
        return np.c_[np.maximum(normal + 0.3, 0), np.ones(len(rows))]

    for fold in range(folds):
        trained, tested = np.flatnonzero(made.fold != fold), np.flatnonzero(made.fold == fold)
        known = features(trained, trained)
        weights = np.linalg.solve(
            known.T @ known + 10 * np.eye(hidden + 1), known.T @ np.eye(kinds)[made.truth[trained]]
        )
        for start in range(0, len(tested), batch):
            rows = tested[start : start + batch]
            logits[rows] = 12 * features(rows, rows if training_mode else trained) @ weights
    return replace(made, logits=logits)
