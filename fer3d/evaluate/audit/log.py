"""Training logs that anybody wrote: accuracy and loss of each epoch, on the training, validation and test sets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fer3d.errors import FileError, FormatError
from fer3d.evaluate.audit.columns import find_columns, folded, listed
from fer3d.evaluate.audit.predictions import Key, canonical_keys
from fer3d.evaluate.audit.tables import Columns, read_columns

Floats = NDArray[np.float64]

_PART = (
    ("validation", r"val|valid|validation|dev"),
    ("test", r"test|testing|eval|evaluation"),
    ("train", r"train|training|trn"),
)
_MEASURE = (("accuracy", r"acc|accuracy|top1|wa|war"), ("error", r"err|error"), ("loss", r"loss|nll|ce|xent"))
_CHOSEN = ("chosen", "selected", "isbest", "best", "saved", "kept")
_YES = {"1", "true", "yes", "x", "*"}


@dataclass(frozen=True, eq=False)
class Log:
    """The log of one training.

    Attributes:
        key: (round, fold), or ("", "") if the file does not say.
        curves: "test accuracy", "validation loss", ... -> (E,) float64, accuracies as shares, NaN where not measured.
        unit: Half of the last decimal of the test's or validation's accuracy, as a share.
        chosen: Row of the epoch that the log marks as chosen, or None.
    """

    key: Key
    curves: Mapping[str, Floats]
    unit: float
    chosen: int | None = None

    @property
    def epochs(self) -> int:
        """Number of epochs."""
        return len(next(iter(self.curves.values())))


def read_logs(path: Path) -> list[Log]:
    """Read a log.

    Args:
        path: A CSV or Parquet file with a row for each epoch and columns such as `test_accuracy`, `val_loss`; with the
            columns fold and round if it is of several trainings. A folder: all log*.csv below it, of folders whose
            names say the fold, such as r00f03 or fold3.

    Raises:
        FileError, FormatError: if a file cannot be read, or holds no accuracy or loss.
    """
    if not path.is_dir():
        return _logs(path, read_columns(path), None)
    files = sorted(path.rglob("log*.csv"))
    if not files:
        raise FileError(f"{path}: should hold files log*.csv, holds none")
    keys = canonical_keys([_key_of(file.parent.name) for file in files])
    return [log for file, key in zip(files, keys, strict=True) for log in _logs(file, read_columns(file), key)]


def _key_of(name: str) -> Key:
    match = re.fullmatch(r"(?:r(\d+))?f(?:old)?[_-]?(\d+)", name, re.IGNORECASE)
    return (match[1] or "", match[2]) if match else ("", name)


def _logs(path: Path, columns: Columns, key: Key | None) -> list[Log]:
    curves = {name: kind for name in columns if (kind := _kind(name)) is not None}
    if not curves:
        raise FormatError(
            f"{path}: should hold columns such as test_accuracy, val_accuracy or train_loss, holds {listed(columns)}"
        )
    roles = find_columns({name: cells for name, cells in columns.items() if name not in curves}, {}, path)
    size = len(next(iter(columns.values())))
    cells = [columns[roles[role]] if role in roles else [""] * size for role in ("round", "fold")]
    keys = [key] * size if key is not None else list(canonical_keys(list(zip(*cells, strict=True))))
    marks = next((columns[name] for name in columns if folded(name) in _CHOSEN), None)
    logs = []
    for own in dict.fromkeys(keys):
        rows = [row for row, other in enumerate(keys) if other == own]
        logs.append(_log(path, columns, curves, own, rows, marks))
    return logs


def _log(
    path: Path, columns: Columns, kinds: Mapping[str, str], key: Key, rows: list[int], marks: list[str] | None
) -> Log:
    curves: dict[str, Floats] = {}
    unit = 0.0
    for name, kind in kinds.items():
        texts = [columns[name][row] for row in rows]
        try:
            values = np.array([float(text) if text else np.nan for text in texts])
        except ValueError:
            wrong = next(text for text in texts if text and not _is_number(text))
            raise FormatError(f"{path}: `{name}` should hold numbers, holds {wrong[:40]!r}") from None
        if np.isnan(values).all():
            continue
        part, measure = kind.split()
        scale = 1.0
        if measure != "loss":
            scale = 0.01 if np.nanmax(values) > 1.5 else 1.0
            values = values * scale if measure == "accuracy" else 1 - values * scale
            kind = f"{part} accuracy"
        if kind in curves:
            continue
        curves[kind] = values
        if kind in ("test accuracy", "validation accuracy"):
            decimals = max((len(text.partition(".")[2]) for text in texts if "e" not in text.lower()), default=9)
            unit = max(unit, 0.5 * 10.0**-decimals * scale)
    if not curves:
        raise FormatError(f"{path}: should hold numbers below {listed(kinds)}, holds empty cells")
    chosen = None
    if marks is not None:
        marked = [place for place, row in enumerate(rows) if marks[row].lower() in _YES]
        chosen = marked[-1] if marked and len(marked) < len(rows) else None
    return Log(key, curves, unit + 1e-6, chosen)


def _kind(name: str) -> str | None:
    """What a column measures: "test accuracy"; None for others, such as the best value so far.

    >>> _kind("Val Acc."), _kind("test/loss"), _kind("train_accuracy"), _kind("best_val_acc"), _kind("lr")
    ('validation accuracy', 'test loss', 'train accuracy', None, None)
    """
    words = [word for word in re.split(r"[\W_\d]+", re.sub(r"([a-z])([A-Z])", r"\1 \2", name).lower()) if word]
    if "best" in words or "max" in words:
        return None
    part = next((part for part, pattern in _PART if any(re.fullmatch(pattern, word) for word in words)), None)
    measure = next((kind for kind, pattern in _MEASURE if any(re.fullmatch(pattern, word) for word in words)), None)
    if measure is None and len(words) == 1:  # testacc
        match = re.fullmatch(r"(train|val|valid|test)(acc|accuracy|loss|err|error)", words[0])
        return _kind(" ".join(match.groups())) if match else None
    return f"{part} {measure}" if part and measure else None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
