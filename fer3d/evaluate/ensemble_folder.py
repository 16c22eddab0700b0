"""The folder of an ensemble: it is evaluated, compared and reported like a run, and predicts like one.

runs/NAME/
    run.json, folds.json      as of a run; the model is "ensemble"
    predictions.parquet       the weighted test predictions of all folds
    ensemble.json             the runs, where they lie, and the weight of each in each fold

The networks stay in the folders of their runs, which `fer3d predict` reads: the ensemble is moved together with them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field
from typing_extensions import TypedDict

from fer3d import __version__
from fer3d.errors import FileError, FormatError, TrainError
from fer3d.evaluate.ensemble_runs import RunEnsemble
from fer3d.files import locked, read_json, read_table, sha256, write_bytes, write_json
from fer3d.train.run_facts import REGATHER
from fer3d.train.run_folder import Predictions, Run, fold_name, read_run

AGAIN = "write it anew with `fer3d ensemble`"
_OPEN = ConfigDict(extra="allow")
_Share = Annotated[float, Field(ge=0.0, le=1.0 + 1e-6)]


class MemberFacts(TypedDict):
    """One run of an ensemble."""

    __pydantic_config__ = _OPEN  # type: ignore[misc]

    run: str
    folder: str
    weights: list[_Share]
    models_sha256: list[str | None]


class FoldNumbers(TypedDict):
    """The round and the fold of a column of weights."""

    round: Annotated[int, Field(ge=0)]
    fold: Annotated[int, Field(ge=0)]


class EnsembleFacts(TypedDict):
    """The content of ensemble.json."""

    __pydantic_config__ = _OPEN  # type: ignore[misc]

    folds: Annotated[list[FoldNumbers], Field(min_length=1)]
    members: Annotated[list[MemberFacts], Field(min_length=1)]


def write_ensemble(out: Path, ensemble: RunEnsemble, folders: Sequence[str | Path]) -> None:
    """Write the folder of an ensemble.

    Args:
        out: The folder; it may hold an earlier ensemble, but no run.
        ensemble: The result of `ensemble_runs`.
        folders: The run folders, in the order in which that was called with them.

    Raises:
        TrainError: if the folder holds a run.
        LockedError: if another process writes to it.
        FileError, FormatError: if a file cannot be read or written.
    """
    if (out / "run.json").is_file() and not (out / "ensemble.json").is_file():
        raise TrainError(f"{out}: already holds a run; choose another folder")
    runs = [read_run(folder) for folder in folders]
    names = [fold_name(number, fold) for number, fold in ensemble.folds]
    members = [
        {
            **member,
            "folder": os.path.relpath(run.folder.resolve(), out.resolve()),
            "models_sha256": [_digest(run.folder / name / "model.safetensors") for name in names],
        }
        for member, run in zip(ensemble.to_json()["members"], runs, strict=True)
    ]
    with locked(out, "fer3d ensemble"):
        write_json(out / "ensemble.json", {**ensemble.to_json(), "members": members})
        write_json(out / "folds.json", [f for f in runs[0].folds if (f["round"], f["fold"]) in ensemble.folds])
        _write_predictions(out / "predictions.parquet", ensemble.predictions, runs[0])
        write_json(out / "run.json", _facts(ensemble, runs))


def _digest(path: Path) -> str | None:
    return sha256(path) if path.is_file() else None


def _facts(ensemble: RunEnsemble, runs: Sequence[Run]) -> dict[str, Any]:
    """The content of run.json: what the runs have in common, as the first has it."""
    first = runs[0].facts
    kept = {key: first[key] for key in ("classes", "data", "protocol", "target", "versions") if key in first}
    maps = dict.fromkeys(name for run in runs for name in run.facts["maps"])
    return {
        **kept,
        "fer3d": __version__,
        "model": "ensemble",
        "model_settings": {},
        "maps": list(maps),
        "settings": {"rule": ensemble.rule},
        "notes": [f"an ensemble of {', '.join(run.name for run in runs)}, by {ensemble.rule}", *ensemble.notes],
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": None,
    }


def _write_predictions(path: Path, predictions: Predictions, first: Run) -> None:
    """The table of the first run with the probabilities of the ensemble."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = read_table(first.folder / "predictions.parquet", again=REGATHER)
    rows = zip(table["round"].to_pylist(), table["id"].to_pylist(), strict=True)
    place = {key: row for row, key in enumerate(rows)}
    order = [place[key] for key in zip(predictions.rounds.tolist(), predictions.ids, strict=True)]
    table = table.take(order)
    for k, name in enumerate(predictions.classes):
        column = table.schema.get_field_index(f"p_{name}")
        table = table.set_column(column, f"p_{name}", pa.array(predictions.probabilities[:, k]))
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    write_bytes(path, sink.getvalue().to_pybytes(), make_folder=True)


def read_members(folder: Path, fold: str | None = None) -> tuple[list[list[Path]], NDArray[np.float64]]:
    """The model files of an ensemble, and its weights.

    Args:
        folder: The folder of the ensemble.
        fold: Name of one fold, such as "r00f00". None: all.

    Returns:
        For each run the files of its folds; and (F, E) float64, the weight of each run in each fold.

    Raises:
        FileError: if a file is missing, or there is no such fold.
        FormatError: if ensemble.json is damaged, or a network is not that with which the weights were learned.
    """
    path = folder / "ensemble.json"
    content: Mapping[str, Any] = read_json(path, EnsembleFacts, AGAIN)
    names = [fold_name(entry["round"], entry["fold"]) for entry in content["folds"]]
    if fold is not None and fold not in names:
        raise FileError(f"{folder}: `fold` should be one of {', '.join(names)}, is {fold!r}")
    chosen = [number for number, name in enumerate(names) if fold in (None, name)]
    files = []
    for member in content["members"]:
        if len(member["weights"]) != len(names) or len(member["models_sha256"]) != len(names):
            raise FormatError(f"{path}: {member['run']} should have a weight and a network for each fold; {AGAIN}")
        paths = [folder / member["folder"] / name / "model.safetensors" for name in names]
        for number in chosen:
            _check_same(folder, paths[number], member["models_sha256"][number])
        files.append([Path(os.path.normpath(paths[number])) for number in chosen])
    weights = np.array([[member["weights"][number] for member in content["members"]] for number in chosen])
    if np.abs(weights.sum(axis=1) - 1.0).max() > 1e-6:
        raise FormatError(
            f"{path}: the weights of a fold should sum to 1, sum to {weights.sum(axis=1).tolist()}; {AGAIN}"
        )
    return files, weights


def _check_same(folder: Path, path: Path, digest: str | None) -> None:
    if not path.is_file():
        raise FileError(f"{path}: is missing; the ensemble {folder} reads the networks of its runs from their folders")
    if sha256(path) != digest:
        raise FormatError(f"{path}: is not the network with which {folder} learned its weights; {AGAIN}")
