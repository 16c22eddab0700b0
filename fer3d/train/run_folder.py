"""Reads and checks a run folder that `fer3d train` wrote: its settings, the subjects of its folds, its predictions.

runs/NAME/
    run.json, folds.json            model, settings and data; subjects of each (round, fold)
    r00f00/ model.safetensors ...   one folder per finished fold; with validation subjects also validation.parquet
    predictions.parquet             predictions of all finished folds
    metrics.json, report.html       written by `fer3d evaluate` and `fer3d report`
    pose_test.json                  written by `fer3d evaluate --pose-test`
    cross_NAME.json, .parquet       written by `fer3d evaluate --data NAME`
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer3d.catalog.targets import ClassTarget, Target, target_from_json
from fer3d.errors import ArgumentError, FileError, FormatError
from fer3d.files import brief, brief_line, checked, conformed, read_json, read_table
from fer3d.train.former import facts_today
from fer3d.train.run_facts import REGATHER, RESUME, TRAIN_AGAIN, FoldFacts, RunFacts

_FACTS = ("id", "subject", "expression", "intensity", "round", "fold")
_RUN_KEYS = ("model", "classes", "maps", "data", "protocol", "settings")

_MOST_EPOCHS = 10**7
_LARGEST_LOGGED = 1e30  # number of a log that can be drawn
_LARGEST = 1e6  # of predicted and true values: spans of targets are a few units wide

# A float32 softmax sums to 1 within 1e-6. A softmax in half precision does not, and its confidences are unusable.
_SUM_TOLERANCE = 1e-4


@dataclass(frozen=True, eq=False)
class Predictions:
    """The N predictions of a run: one for each test scan in each round.

    Attributes:
        classes: K canonical labels, in the order of the probabilities.
        ids, subjects: N strings.
        truth: (N,) int64, indices into `classes`.
        rounds, folds: (N,) int64.
        probabilities: (N, K) float64.

    Raises:
        ArgumentError: if shapes do not fit, an id occurs twice in a round, or a row of probabilities holds a number
            outside [0, 1] or does not sum to 1.
    """

    classes: tuple[str, ...]
    ids: tuple[str, ...]
    subjects: tuple[str, ...]
    truth: NDArray[np.int64]
    rounds: NDArray[np.int64]
    folds: NDArray[np.int64]
    probabilities: NDArray[np.float64]

    def __post_init__(self) -> None:
        rows = len(self.ids)
        shapes = (len(self.subjects), *self.truth.shape, *self.rounds.shape, *self.folds.shape)
        if shapes != (rows,) * 4 or self.probabilities.shape != (rows, len(self.classes)):
            raise ArgumentError(
                f"predictions should have {rows} rows and {len(self.classes)} probabilities each, have {shapes} rows "
                f"and probabilities of shape {self.probabilities.shape}"
            )
        if not rows:
            raise ArgumentError("predictions should hold at least one scan, hold none")
        self._check_probabilities()
        self._check_ids()

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def predicted(self) -> NDArray[np.int64]:
        """(N,) int64: the class of the highest probability."""
        guesses: NDArray[np.int64] = self.probabilities.argmax(axis=1).astype(np.int64)
        return guesses

    @cached_property
    def correct(self) -> NDArray[np.bool_]:
        """(N,) bool: whether the predicted class is the true one."""
        hits: NDArray[np.bool_] = self.predicted == self.truth
        return hits

    def _check_probabilities(self) -> None:
        inside = ((self.probabilities >= 0) & (self.probabilities <= 1 + _SUM_TOLERANCE)).all(axis=1)  # NaN: outside
        if not inside.all():
            row = int(np.argmin(inside))
            values = ", ".join(f"{value:.4g}" for value in self.probabilities[row])
            raise ArgumentError(f"probabilities should lie in [0, 1], those of {self.ids[row]} are {values}")
        sums = self.probabilities.sum(axis=1)
        off = np.abs(sums - 1) > _SUM_TOLERANCE
        if off.any():
            row = int(np.argmax(off))
            raise ArgumentError(f"probabilities should sum to 1, those of {self.ids[row]} sum to {sums[row]:.4g}")

    def _check_ids(self) -> None:
        seen: set[tuple[int, str]] = set()
        for number, name in zip(self.rounds.tolist(), self.ids, strict=True):
            if (number, name) in seen:
                raise ArgumentError(f"a scan should be predicted once a round, {name} comes twice in round {number}")
            seen.add((number, name))


@dataclass(frozen=True)
class Run:
    """A run folder.

    Attributes:
        folder: Path of the folder.
        facts: Content of run.json.
        folds: Content of folds.json: for each fold {"round", "fold", "train", "validation", "test"}, the last three
            lists of subjects.
    """

    folder: Path
    facts: Mapping[str, Any]
    folds: Sequence[Mapping[str, Any]]

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.folder.resolve().name

    @property
    def classes(self) -> tuple[str, ...]:
        """Canonical labels in the order of the probabilities."""
        return tuple(self.facts["classes"])

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the results should know, such as scans that were left out; one line each."""
        notes = self.facts.get("notes") or self.facts["protocol"].get("notes") or ()
        return tuple(map(str, (*notes, *self.facts.get("warnings", ()))))

    @property
    def learned(self) -> dict[str, float]:
        """What the networks learned that a reader should see, by name: the mean over the finished folds."""
        return dict(self.facts.get("learned", {}))

    @property
    def target(self) -> Target:
        """What the network predicts for a scan; expressions if run.json does not name a target."""
        content = self.facts.get("target")
        return ClassTarget("expression", self.classes) if content is None else target_from_json(content)


@dataclass(frozen=True, eq=False)
class ValuePredictions:
    """The N predictions of units or values of a run: one for each test scan in each round.

    Attributes:
        target: A target of K units or values.
        ids, subjects: N strings.
        truth: (N, K) float64, NaN where unknown.
        answers: (N, K) float64: predicted probabilities of units, or predicted values.
        rounds, folds: (N,) int64.
    """

    target: Target
    ids: tuple[str, ...]
    subjects: tuple[str, ...]
    truth: NDArray[np.float64]
    answers: NDArray[np.float64]
    rounds: NDArray[np.int64]
    folds: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.ids)


def fold_name(number: int, fold: int) -> str:
    """Name of the folder of a (round, fold).

    >>> fold_name(0, 7)
    'r00f07'
    """
    return f"r{number:02d}f{fold:02d}"


def read_run(folder: str | Path) -> Run:
    """Read run.json and folds.json.

    Raises:
        FileError: if one of the two files is missing or cannot be read.
        FormatError: if one does not have the format of `fer3d train`, or a subject is in two parts of a fold.
    """
    folder = Path(folder)
    if folder.is_dir() and not (folder / "run.json").exists():
        raise FileError(f"{folder / 'run.json'}: is missing; is {folder} a run folder of `fer3d train`?")
    facts = read_json(folder / "run.json", again=TRAIN_AGAIN)
    missing = [key for key in _RUN_KEYS if not isinstance(facts, dict) or key not in facts]
    if missing:
        raise FormatError(f"{folder / 'run.json'}: should hold {', '.join(_RUN_KEYS)}, lacks {', '.join(missing)}")
    checked(facts, RunFacts, str(folder / "run.json"), TRAIN_AGAIN)
    facts |= facts_today(facts)
    path = folder / "folds.json"
    folds = read_json(path, again=TRAIN_AGAIN)
    if not isinstance(folds, list) or not all(isinstance(fold, dict) and "test" in fold for fold in folds):
        raise FormatError(f"{path}: should hold a list of folds with their test subjects")
    checked(folds, list[FoldFacts], str(path), TRAIN_AGAIN)
    seen: set[tuple[int, int]] = set()
    for fold in folds:
        _check_parts(path, fold)
        if (fold["round"], fold["fold"]) in seen:
            raise FormatError(f"{path}: round {fold['round']}, fold {fold['fold']} comes twice; {TRAIN_AGAIN}")
        seen.add((fold["round"], fold["fold"]))
    run = Run(folder, facts, folds)
    try:
        names = run.target.names
    except ArgumentError as error:
        raise FormatError(f"{folder / 'run.json'}: {error}; {TRAIN_AGAIN}") from None
    if names != run.classes:
        raise FormatError(
            f"{folder / 'run.json'}: `classes` should be the names of its target, {', '.join(names)}, are "
            f"{', '.join(run.classes)}; {TRAIN_AGAIN}"
        )
    return run


def prepared_folder(run: Run, prepared: Path | None = None, *, test: bool = False) -> Path | None:
    """The prepared folder of a run, or None if it is not found and the user did not name it.

    Args:
        run: The run.
        prepared: The folder, if the user named it. None: a folder with the name in run.json is looked for beside the
            run's parent folder, beside the run, and in the working folder.
        test: Whether to return the folder of the test scans, if that is a different one.

    Raises:
        FileError: if the user named a folder that is not prepared.
    """
    if prepared is not None and not (prepared / "manifest.parquet").is_file():
        raise FileError(f"{prepared / 'manifest.parquet'}: is missing; `fer3d preprocess` writes it")
    data = run.facts["data"]
    name = str((data.get("test") or data if test else data).get("folder", ""))
    places = [run.folder.parent.parent / name, run.folder.parent / name, Path(name)] if prepared is None else [prepared]
    return next((place for place in places if (place / "manifest.parquet").is_file()), None)


def read_warnings(folder: str | Path) -> list[str]:
    """What training had to warn of in the finished folds of a run: one line each. FormatError if one is damaged."""
    lines: list[str] = []
    for path in sorted(Path(folder).glob("r*f*/done.json")):
        content = read_json(path)
        if not isinstance(content, dict) or not isinstance(content.get("warnings", []), list):
            raise FormatError(f"{path}: should hold a table with a list of warnings")
        lines += map(str, content.get("warnings", []))
    return lines


def read_predictions(run: Run) -> Predictions:
    """Read the predictions of all finished folds, and check that each fold predicted its own test subjects only.

    Raises:
        FileError: if predictions.parquet is missing.
        FormatError: if it is not Parquet, lacks a column, holds an unknown class, invalid probabilities, a scan twice
            in a round, or a subject that is not a test subject of its fold.
    """
    path = run.folder / "predictions.parquet"
    if run.target.kind != "classes":
        raise FormatError(f"{path}: wanted predictions of classes, the run's target {run.target.name} has other values")
    predictions = _read_predictions(
        path, run.classes, "`fer3d train` writes it when its first fold is finished", REGATHER
    )
    _check_part(path, predictions, run.folds, "test")
    return predictions


def read_values(run: Run) -> ValuePredictions:
    """As `read_predictions`, for a target of units or values.

    Raises:
        FileError: if predictions.parquet is missing.
        FormatError: if it is not Parquet, lacks a column, holds a number that is not finite, or a subject that is not a
            test subject of its fold.
    """
    path, names = run.folder / "predictions.parquet", run.target.names
    table = _read_table(path, names, "`fer3d train` writes it when its first fold is finished", REGATHER, truth=True)
    predictions = ValuePredictions(
        target=run.target,
        ids=tuple(table["id"].to_pylist()),
        subjects=tuple(table["subject"].to_pylist()),
        truth=_columns(table, "t_", names),
        answers=_columns(table, "p_", names),
        rounds=table["round"].to_numpy().astype(np.int64),
        folds=table["fold"].to_numpy().astype(np.int64),
    )
    if not np.isfinite(predictions.answers).all():
        raise FormatError(f"{path}: the columns p_... should hold numbers, one of them holds NaN or infinity")
    if max(np.abs(predictions.answers).max(), np.nanmax(np.abs(predictions.truth), initial=0.0)) > _LARGEST:
        raise FormatError(f"{path}: the columns p_... and t_... should hold at most {_LARGEST:g}; {REGATHER}")
    _check_part(path, predictions, run.folds, "test")
    return predictions


def read_validation(run: Run) -> dict[tuple[int, int], Predictions]:
    """(round, fold) -> predictions for the validation subjects, for each finished fold.

    Raises:
        ArgumentError: if a finished fold has no validation subjects.
        FileError: if validation.parquet is missing in the folder of a finished fold.
        FormatError: as `read_predictions`.
    """
    by_fold = {}
    for fold in run.folds:
        number, index = fold["round"], fold["fold"]
        folder = run.folder / fold_name(number, index)
        if not (folder / "done.json").is_file():
            continue
        if not fold.get("validation"):
            raise ArgumentError(
                f"{run.name}: has no validation subjects in round {number}, fold {index}; train it with --validation"
            )
        path = folder / "validation.parquet"
        hint = "the run was trained before fer3d wrote it; train it again"
        predictions = _read_predictions(path, run.classes, hint, RESUME)
        _check_part(path, predictions, [fold], "validation")
        by_fold[number, index] = predictions
    return by_fold


def _read_predictions(path: Path, classes: tuple[str, ...], hint: str, again: str) -> Predictions:
    """The predictions in a Parquet file; `hint` explains why the file may be missing, `again` how to mend it."""
    table = _read_table(path, classes, hint, again)
    column = "truth" if "truth" in table.column_names else "expression"  # "truth" for targets other than expressions
    expressions = table[column].to_pylist()
    for name, label in zip(table["id"].to_pylist(), expressions, strict=True):
        if label not in classes:
            raise FormatError(f"{path}: `{column}` should be one of {', '.join(classes)}, {name} has {label!r}")
    try:
        return Predictions(
            classes=classes,
            ids=tuple(table["id"].to_pylist()),
            subjects=tuple(table["subject"].to_pylist()),
            truth=np.array([classes.index(label) for label in expressions], np.int64),
            rounds=table["round"].to_numpy().astype(np.int64),
            folds=table["fold"].to_numpy().astype(np.int64),
            probabilities=_probabilities(table, classes),
        )
    except ArgumentError as error:
        raise FormatError(f"{path}: {error}; {again}") from None


def read_log(folder: Path) -> list[dict[str, float]]:
    """The training log of a fold: one {column: number} per epoch, NaN for an empty cell. Empty without log.csv.

    Raises:
        FormatError: if a cell is not a number.
    """
    path = folder / "log.csv"
    if not path.is_file():
        return []
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            log = [{key: float(cell) if cell else math.nan for key, cell in row.items()} for row in reader]
    except OSError as error:
        raise FileError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, TypeError, csv.Error) as error:
        raise FormatError(f"{path}: should hold numbers ({brief_line(str(error))}); delete it or {RESUME}") from None
    for number, row in enumerate(log, start=1):
        if not 0 < row.get("epoch", math.nan) <= _MOST_EPOCHS or any(abs(x) > _LARGEST_LOGGED for x in row.values()):
            raise FormatError(
                f"{path}: line {number + 1} should hold an epoch and numbers up to {_LARGEST_LOGGED:g}, "
                f"holds {brief(row)}; delete it or {RESUME}"
            )
    return log


def _read_table(path: Path, classes: Sequence[str], hint: str, again: str, truth: bool = False) -> Any:
    """The table of a file of predictions. `hint` says why the file may be missing, `again` how to mend it."""
    import pyarrow as pa

    if not path.exists():
        raise FileError(f"{path}: is missing; {hint}")
    answers = [f"p_{name}" for name in classes]
    numbers = [*answers, *(f"t_{name}" for name in classes if truth)]
    texts, whole = ("id", "subject", "expression", "truth"), ("intensity", "round", "fold")
    schema = pa.schema(
        [(name, pa.string()) for name in texts]
        + [(name, pa.int64()) for name in whole]
        + [(name, pa.float64()) for name in numbers]
    )
    raw = read_table(path, again=again)
    missing = [name for name in (*_FACTS, *numbers) if name not in raw.column_names]
    unknown = [name for name in raw.column_names if name.startswith("p_") and name not in answers]
    if missing or unknown:
        fault = f"lacks {', '.join(missing)}" if missing else f"holds {', '.join(unknown)}"
        raise FormatError(f"{path}: should hold a column p_... for {', '.join(classes)}, {fault}; {again}")
    table = conformed(raw, schema, path, again, required=("id", "subject", "round", "fold", *answers))
    if not len(table):
        raise FormatError(f"{path}: predictions should hold at least one scan, hold none; {again}")
    return table


def _probabilities(table: Any, classes: Sequence[str]) -> NDArray[np.float64]:
    return _columns(table, "p_", classes)


def _columns(table: Any, start: str, names: Sequence[str]) -> NDArray[np.float64]:
    """(N, K): the columns whose names are `start` and one of `names`."""
    columns = [table[f"{start}{name}"].to_numpy(zero_copy_only=False).astype(np.float64) for name in names]
    stacked: NDArray[np.float64] = np.stack(columns, axis=1)
    return stacked


def _check_parts(path: Path, fold: Mapping[str, Any]) -> None:
    """Raise FormatError if a subject is in two parts of a fold."""
    parts = {name: set(fold.get(name) or ()) for name in ("train", "validation", "test")}
    for first, second in (("train", "test"), ("validation", "test"), ("train", "validation")):
        shared = sorted(parts[first] & parts[second])
        if shared:
            raise FormatError(
                f"{path}: a subject should be in one part of a fold, {shared[0]} is in {first} and {second} of "
                f"round {fold.get('round')}, fold {fold.get('fold')}"
            )


def _check_part(
    path: Path, predictions: Predictions | ValuePredictions, folds: Sequence[Mapping[str, Any]], part: str
) -> None:
    """Raise FormatError if a prediction is of none of `folds`, or its subject is not in the `part` of its fold."""
    planned = {(fold["round"], fold["fold"]): set(fold[part]) for fold in folds}
    rows = zip(
        predictions.rounds.tolist(), predictions.folds.tolist(), predictions.subjects, predictions.ids, strict=True
    )
    for number, fold, subject, name in rows:
        if (number, fold) not in planned:
            raise FormatError(f"{path}: {name} is of round {number}, fold {fold}, which is not in folds.json")
        if subject not in planned[number, fold]:
            raise FormatError(
                f"{path}: {name} is of subject {subject}, who is not a {part} subject of round {number}, fold {fold} "
                "in folds.json"
            )
