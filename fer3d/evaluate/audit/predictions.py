"""Predictions that anybody wrote: a table with a row for each tested scan."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fer3d.errors import FormatError
from fer3d.evaluate.audit.columns import ROLES, find_columns, folded, listed, part_of
from fer3d.evaluate.audit.tables import Columns, numbers, read_columns
from fer3d.files import brief

Key = tuple[str, str]  # round and fold, as the table writes them
Texts = tuple[str, ...]

_MOST_CLASSES = 200
_FLOOR = 1e-12  # smallest probability of which a logarithm is taken
_PREFIXES = ("p", "prob", "proba", "probs", "probability", "softmax", "score", "logit", "logits")
# What `fer3d predict --csv` writes: a prediction in `label`, and no truth.
_OF_PREDICT = {"status", "label", "confidence", "second", "entropy"}


@dataclass(frozen=True, eq=False)
class Tested:
    """The N predictions of test scans, in the order of the table.

    Attributes:
        path: The file.
        columns: Role -> name of the column that was read for it.
        classes: K names.
        truth, predicted: (N,) int64, indices into `classes`.
        scores: (N, K) float64, logarithms of probabilities, or None.
        texts: Role -> N cells, of subject, id, path, hash, sequence and batch, where the table has them.
        keys: (round, fold) of each row; one key for all if the table has no folds.
        others: Role -> cells of the rows of other parts, "part" among them; empty columns if the table has none.
        other_keys: (round, fold) of these rows.
    """

    path: Path
    columns: Mapping[str, str]
    classes: Texts
    truth: NDArray[np.int64]
    predicted: NDArray[np.int64]
    scores: NDArray[np.float64] | None
    texts: Mapping[str, Texts]
    keys: tuple[Key, ...]
    others: Mapping[str, Texts]
    other_keys: tuple[Key, ...]

    def __len__(self) -> int:
        return len(self.truth)

    @cached_property
    def correct(self) -> NDArray[np.bool_]:
        """(N,) bool."""
        hits: NDArray[np.bool_] = self.truth == self.predicted
        return hits

    @cached_property
    def folds(self) -> tuple[Key, ...]:
        """The keys, each once, in natural order."""
        return tuple(sorted(set(self.keys), key=lambda key: (natural(key[0]), natural(key[1]))))

    @cached_property
    def group(self) -> NDArray[np.int64]:
        """(N,) int64: place of the row's key in `folds`."""
        place = {key: number for number, key in enumerate(self.folds)}
        return np.array([place[key] for key in self.keys], np.int64)

    @property
    def accuracy(self) -> float:
        """Share of the rows that are correct."""
        return float(self.correct.mean())

    def accuracy_of(self, rows: NDArray[np.bool_]) -> float | None:
        """Share of some rows that is correct; None without rows."""
        return float(self.correct[rows].mean()) if rows.any() else None


def natural(text: str) -> tuple[tuple[int, int, str], ...]:
    """A key that sorts numbers in names by their value.

    >>> sorted(["fold10", "fold9", "a"], key=natural)
    ['a', 'fold9', 'fold10']
    """
    words = re.findall(r"\d+|\D+", text)
    return tuple((0, int(word), "") if word.isdecimal() else (1, 0, word) for word in words)


def fold_text(key: Key) -> str:
    """A key in words."""
    number, fold = key
    return ", ".join(word for word in (number and f"round {number}", fold and f"fold {fold}") if word) or "the test"


def read_tested(path: Path, given: Mapping[str, str], classes: Sequence[str] = ()) -> Tested:
    """Read the predictions of anybody.

    Args:
        path: A CSV or Parquet file.
        given: Role -> name of a column, see `fer3d.evaluate.audit.columns.ROLES`; others are found by their names.
        classes: The classes in the order of numbered labels; () to take them from the table.

    Raises:
        FileError, FormatError: if the file cannot be read, lacks the truth or the predictions, or holds an empty or
            unknown label.
    """
    columns = read_columns(path)
    roles = find_columns(columns, given, path)
    if columns.keys() >= _OF_PREDICT and roles.get("truth") == "label" and "truth" not in given:
        del roles["truth"]  # what `fer3d predict` says, which is no truth
    if "truth" not in roles:
        _refuse(path, columns, "truth")
    scored = _probability_columns(columns, roles, classes)
    if "predicted" not in roles and not scored:
        _refuse(path, columns, "predicted")
    tested = _tested_rows(columns, roles)
    mine = {name: [cells[row] for row in tested] for name, cells in columns.items()}
    names = _classes(path, mine, roles, scored, classes)
    truth = _indices(path, mine, roles["truth"], names)
    scores = None
    if scored:
        scores = np.full((len(truth), len(names)), np.log(_FLOOR))
        scores[:, [names.index(name) for name in scored]] = _logs(numbers(mine, list(scored.values()), path))
    if "predicted" in roles:
        predicted = _indices(path, mine, roles["predicted"], names)
    else:
        assert scores is not None
        predicted = scores.argmax(axis=1).astype(np.int64)
    keys = keys_of(columns, roles)
    rest = sorted(set(range(len(keys))) - set(tested))
    others = {name: [cells[row] for row in rest] for name, cells in columns.items()}
    return Tested(
        path=path,
        columns=roles,
        classes=names,
        truth=truth,
        predicted=predicted,
        scores=scores,
        texts=texts_of(mine, roles),
        keys=tuple(keys[row] for row in tested),
        others=texts_of(others, roles),
        other_keys=tuple(keys[row] for row in rest),
    )


def texts_of(columns: Columns, roles: Mapping[str, str]) -> dict[str, Texts]:
    """Role -> cells, of what names a scan. A path serves as the id of a table without ids."""
    kept = ("subject", "id", "path", "hash", "sequence", "batch", "part")
    found = {role: tuple(columns[roles[role]]) for role in kept if role in roles}
    if "id" not in found and "path" in found:
        found["id"] = found["path"]
    if "id" in found and "frame" in roles:
        found["id"] = tuple(f"{name}#{frame}" for name, frame in zip(found["id"], columns[roles["frame"]], strict=True))
    if "sequence" not in found and "frame" in roles and "subject" in found and "truth" in roles:
        labels = columns[roles["truth"]]  # frames of one person and one class
        found["sequence"] = tuple(f"{s} {label}" for s, label in zip(found["subject"], labels, strict=True))
    return found


def keys_of(columns: Columns, roles: Mapping[str, str]) -> tuple[Key, ...]:
    """(round, fold) of each row; "" for a column that is not there."""
    size = len(next(iter(columns.values())))
    cells = [columns[roles[role]] if role in roles else [""] * size for role in ("round", "fold")]
    return canonical_keys(list(zip(*cells, strict=True)))


def canonical_keys(keys: Sequence[Key]) -> tuple[Key, ...]:
    """Keys as all files write them: `fold03` is 3, and the only round has no name.

    >>> canonical_keys([("0", "fold01"), ("0", "fold02")])
    (('', '1'), ('', '2'))
    """
    rounds, folds = (_canonical([key[place] for key in keys]) for place in (0, 1))
    if len(set(rounds)) == 1:
        rounds = [""] * len(keys)
    return tuple(zip(rounds, folds, strict=True))


def _canonical(names: Sequence[str]) -> list[str]:
    """Names as their last numbers, if these tell them apart as well."""
    found = {name: re.search(r"\d+\Z", name) for name in set(names)}
    numbers = {name: str(int(match[0])) if match else name for name, match in found.items()}
    return [numbers[name] for name in names] if len(set(numbers.values())) == len(numbers) else list(names)


def _refuse(path: Path, columns: Columns, role: str) -> None:
    meaning, aliases = ROLES[role]
    more = " or probabilities p_CLASS" if role == "predicted" else ""
    raise FormatError(
        f"{path}: should hold a column of {meaning.split(';')[0]} ({', '.join(aliases[:4])}, ...){more}, "
        f"holds {listed(columns)}; name it with --column {role}=NAME"
    )


def _tested_rows(columns: Columns, roles: Mapping[str, str]) -> list[int]:
    """Rows of the test part; all rows of a table without parts, or without test rows."""
    size = len(columns[roles["truth"]])
    if "part" not in roles:
        return list(range(size))
    rows = [row for row, cell in enumerate(columns[roles["part"]]) if part_of(cell) == "test"]
    return rows or list(range(size))


def _probability_columns(columns: Columns, roles: Mapping[str, str], classes: Sequence[str]) -> dict[str, str]:
    """Class -> column of its probability or score: `p_anger`, `prob_0`, `logit_fear`, or a column named as a class."""
    free = [name for name in columns if name not in roles.values()]
    for prefix in _PREFIXES:
        found = {}
        for name in free:
            match = re.fullmatch(rf"{prefix}[_ .\-\[(]?(.+?)[\])]?", name, re.IGNORECASE)
            if match and _numeric(columns[name]) and (name[len(prefix)] in "_ .-[(" or match[1].isdecimal()):
                found[match[1]] = name
        if len(found) > 1:
            return found
    known = set(classes) | set(columns[roles["truth"]])
    named = {name: name for name in free if name in known and _numeric(columns[name])}
    return named if len(named) > 1 else {}


def _numeric(cells: list[str]) -> bool:
    """Whether the first cells are numbers, but for missing ones."""
    known = [cell for cell in cells[:50] if cell.lower() not in ("", "nan", "inf", "-inf")]
    return bool(known) and all(re.fullmatch(r"[+-]?(\d+[.,]?\d*|[.,]\d+)([eE][+-]?\d+)?", cell) for cell in known)


def _classes(
    path: Path, columns: Columns, roles: Mapping[str, str], scored: Mapping[str, str], given: Sequence[str]
) -> Texts:
    """Names of the classes: those given, else those of the probabilities, then others that occur."""
    used = [columns[roles[role]] for role in ("truth", "predicted") if role in roles]
    for role, cells in zip(("truth", "predicted"), used, strict=False):
        if "" in cells:
            raise FormatError(f"{path}: row {cells.index('') + 1}: `{roles[role]}` should be a class, is empty")
    seen = sorted({cell for cells in used for cell in cells}, key=natural)
    first = list(given or scored)
    if not _numbered(seen, first):
        known = {folded(name): name for name in first}
        first += [name for name in (*scored, *seen) if folded(name) not in known and name not in first]
    if len(first) > _MOST_CLASSES:
        raise FormatError(f"{path}: `{roles['truth']}` should hold classes, holds {len(seen)} different values")
    if len(first) < 2:
        raise FormatError(f"{path}: `{roles['truth']}` should hold two classes or more, holds {brief(first)}")
    return tuple(first)


def _numbered(seen: Sequence[str], names: Sequence[str]) -> bool:
    """Whether labels are numbers of named classes."""
    return bool(names) and all(word.isdecimal() and int(word) < len(names) and word not in names for word in seen)


def _indices(path: Path, columns: Columns, column: str, names: Texts) -> NDArray[np.int64]:
    place = {folded(name): number for number, name in reversed(list(enumerate(names)))}
    place |= {name: number for number, name in enumerate(names)}
    if _numbered(sorted(set(columns[column])), names):
        place = {str(number): number for number in range(len(names))}
    found = []
    for row, cell in enumerate(columns[column]):
        index = place.get(cell, place.get(folded(cell)))
        if index is None:
            raise FormatError(f"{path}: row {row + 1}: `{column}` should be one of {listed(names)}, is {brief(cell)}")
        found.append(index)
    return np.array(found, np.int64)


def _logs(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Logarithms of probabilities; of other scores, the logarithm of their softmax. (N, K) -> (N, K)."""
    sums = values.sum(axis=1)
    if values.min() < 0 or np.abs(sums - 1).max() > 0.05:
        values = np.exp(values - values.max(axis=1, keepdims=True))
        sums = values.sum(axis=1)
    logs: NDArray[np.float64] = np.log(np.maximum(values / sums[:, None], _FLOOR))
    return logs
