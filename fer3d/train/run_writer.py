"""Writes the files of a run folder; `fer3d.train.run_folder` reads them and documents the layout."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from fer3d.catalog.protocols import Fold, folds_to_json
from fer3d.checks import first_difference
from fer3d.data.samples import TrainingData
from fer3d.errors import Fer3dError, FormatError, TrainError
from fer3d.files import (
    clear_temporaries,
    csv_text,
    read_json,
    read_table,
    write_bytes,
    write_json,
    write_text,
)
from fer3d.train.run_facts import RESUME, TRAIN_AGAIN

if TYPE_CHECKING:
    import pyarrow

LOG_COLUMNS = (
    "epoch",
    "train_loss",
    "train_accuracy",
    "validation_loss",
    "validation_accuracy",
    "lr",
    "seconds",
)
# Keys of run.json that must be equal for a run to resume.
_IDENTITY = ("fer3d", "model", "model_settings", "settings", "target", "classes", "maps", "data", "protocol")


def open_run(out: Path, facts: Mapping[str, Any], folds: Sequence[Fold], *, resume: bool) -> dict[str, Any]:
    """Start a run folder, or check that an existing folder holds the same run and can be resumed.

    Args:
        out: The run folder.
        facts: Content of run.json.
        folds: All folds of the protocol, including those that are not trained now.
        resume: Whether the folder may already hold a run.

    Returns:
        The content of run.json; for a resumed run, as its first start wrote it.

    Raises:
        TrainError: if the folder holds a run and `resume` is false, or it holds another run (names the difference).
        FileError, FormatError: if the files cannot be read or written.
    """
    file = out / "run.json"
    if not file.is_file():
        clear_temporaries(out)
        write_json(out / "folds.json", folds_to_json(folds))
        write_json(file, facts)
        return dict(facts)
    if not resume:
        raise TrainError(f"{out}: already holds a run; --resume goes on with it, or choose another folder")
    before: dict[str, Any] = read_json(file, dict[str, Any], TRAIN_AGAIN)
    difference = first_difference({key: before.get(key) for key in _IDENTITY}, _plain({k: facts[k] for k in _IDENTITY}))
    if difference:
        raise TrainError(f"{out}: cannot go on with this run: {difference}")
    if read_json(out / "folds.json", again=TRAIN_AGAIN) != _plain(folds_to_json(folds)):
        raise TrainError(f"{out}: cannot go on with this run: folds.json has other folds")
    clear_temporaries(out)
    return before


def write_log(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write log.csv: one row per epoch, an empty cell for None. FileError if the file cannot be written."""
    write_text(path, csv_text(LOG_COLUMNS, rows))


def write_predictions(path: Path, data: TrainingData, rows: torch.Tensor, answers: torch.Tensor, fold: Fold) -> None:
    """Write the predictions of a fold.

    Args:
        path: Path of the Parquet file.
        data: The scans.
        rows: (M,) int64: the test scans or the validation scans, as rows of `data`.
        answers: (M, K) float32: probabilities of classes or units, or values.
        fold: The fold.

    Raises:
        FileError: if the file cannot be written.
    """
    import pyarrow as pa

    facts = [data.rows[index] for index in rows.tolist()]
    columns: dict[str, Any] = {
        name: pa.array([row[name] for row in facts], pa.string()) for name in ("id", "subject", "expression")
    }
    columns["intensity"] = pa.array([row["intensity"] for row in facts], pa.int32())
    columns["round"] = pa.array([fold.round] * len(facts), pa.int32())
    columns["fold"] = pa.array([fold.fold] * len(facts), pa.int32())
    columns |= _truth_columns(data, rows)
    columns |= {f"p_{name}": pa.array(answers[:, k].numpy()) for k, name in enumerate(data.classes)}
    _write_table(path, pa.table(columns))


def _truth_columns(data: TrainingData, rows: torch.Tensor) -> dict[str, Any]:
    """Columns of the true labels of targets other than expressions: `truth`, or `t_NAME` for each unit or value."""
    import pyarrow as pa

    labels = data.labels[rows.to(data.labels.device)].cpu()
    if data.target.kind != "classes":
        return {f"t_{name}": pa.array(labels[:, k].numpy()) for k, name in enumerate(data.classes)}
    if data.target.name == "expression":
        return {}
    return {"truth": pa.array([data.classes[label] for label in labels.tolist()], pa.string())}


def gather_predictions(out: Path, folds: Sequence[Fold]) -> None:
    """Concatenate the predictions of all finished folds into one table; a file that holds it already is kept.

    Raises:
        FileError: if the table cannot be written.
        FormatError: if the predictions of a fold are missing or damaged.
    """
    import pyarrow as pa

    finished = [fold for fold in sorted(folds, key=lambda f: (f.round, f.fold)) if is_finished(out, fold)]
    tables = [read_table(out / fold.name / "predictions.parquet", again=RESUME) for fold in finished]
    for fold, table in zip(finished, tables, strict=True):
        if table.schema != tables[-1].schema:
            raise FormatError(
                f"{out / fold.name / 'predictions.parquet'}: should hold the columns of {finished[-1].name}; {RESUME}"
            )
    if tables:
        _write_table(out / "predictions.parquet", pa.concat_tables(tables))


def is_gathered(out: Path, finished: Sequence[Fold]) -> bool:
    """Whether the table of predictions is there and holds these folds."""
    try:
        table = read_table(out / "predictions.parquet").to_pydict()
        held = set(zip(table["round"], table["fold"], strict=True))
    except (Fer3dError, KeyError):
        return False
    return held >= {(fold.round, fold.fold) for fold in finished}


def is_finished(out: Path, fold: Fold) -> bool:
    """Whether a fold of a run has been trained and tested."""
    return (out / fold.name / "done.json").is_file()


def _write_table(path: Path, table: pyarrow.Table) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    content = sink.getvalue().to_pybytes()
    if not path.is_file() or path.read_bytes() != content:
        write_bytes(path, content, make_folder=True)


def _plain(content: Any) -> Any:
    """`content` as it is after a round trip through JSON."""
    return json.loads(json.dumps(content))
