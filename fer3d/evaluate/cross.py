"""`cross_test`: tests a finished run on another prepared folder, such as that of another data set.

The networks of all finished folds predict every scan of the folder, and their mean is measured as `fer3d evaluate`
measures a run. The scans of a subject that trained any of the networks are left out; so are scans without a label and
scans of a class that the run does not know. The folder must have been prepared as the training scans were.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fer3d.catalog.protocols import Fold
from fer3d.catalog.targets import Target
from fer3d.config import PreprocessSettings, TreeSettings, settings
from fer3d.data.input_kinds import kind_of_folders
from fer3d.data.samples import MapData, TrainingData, labelled_rows, name_some
from fer3d.data.tree_samples import TreeData, load_trees
from fer3d.errors import ArgumentError, FileError
from fer3d.evaluate import metrics
from fer3d.evaluate.measure import Metrics, measure
from fer3d.evaluate.measure_targets import TargetMetrics, measure_targets
from fer3d.files import sha256, write_bytes
from fer3d.models import network_class
from fer3d.prepare.store import header_for, read_manifest
from fer3d.train.checkpoint import LoadedModel, load_model
from fer3d.train.run_folder import Predictions, Run, ValuePredictions, fold_name, read_run
from fer3d.train.run_writer import write_predictions
from fer3d.train.views import answers

_AT_ONCE = 64  # scans that are predicted at once
# Settings that may differ between two folders: how the files were written, and what else is stored.
_OF_A_FOLDER = ("unit", "up", "towards_camera", "keep_mesh", "maps", "tree")
_OF_MAPS = ("size", "pixel_mm")

Row = Mapping[str, Any]


@dataclass(frozen=True)
class CrossTest:
    """The result of `cross_test`.

    Attributes:
        data: Name of the prepared folder.
        dataset: Name of its data set.
        manifest_sha256: Hash of its manifest.
        folds: Names of the folds whose networks predicted.
        unlabelled: Number of scans without a label of the run's target; they were left out.
        unknown: Class that the run does not know -> number of its scans, which were left out.
        trained: Subject that trained a network -> number of its scans, which were left out.
        absent: Classes of the run of which no scan was tested.
        metrics: The measurements of the mean predictions.
    """

    data: str
    dataset: str
    manifest_sha256: str
    folds: tuple[str, ...]
    unlabelled: int
    unknown: Mapping[str, int]
    trained: Mapping[str, int]
    absent: tuple[str, ...]
    metrics: Metrics | TargetMetrics

    @property
    def notes(self) -> list[str]:
        """What was left out and why, and which classes are absent: one line each."""
        lines = []
        if self.unlabelled:
            lines.append(f"{self.unlabelled} scans without a label are left out")
        if self.unknown:
            counts = ", ".join(f"{name} {count}" for name, count in self.unknown.items())
            lines.append(
                f"{sum(self.unknown.values())} scans of classes that the run does not know are left out: {counts}"
            )
        if self.trained:
            lines.append(
                f"{sum(self.trained.values())} scans of {len(self.trained)} subjects that trained the run are left "
                f"out: {name_some(list(self.trained))}"
            )
        if self.absent:
            lines.append(f"no scan is of {', '.join(self.absent)}, which the run can predict")
        return lines

    def to_json(self) -> dict[str, Any]:
        """The test as plain dicts and lists: the metrics, and what was left out under `cross`."""
        facts = {name: value for name, value in asdict(self).items() if name != "metrics"}
        return self.metrics.to_json() | {"cross": facts | {"notes": self.notes}}


def cross_test(
    run: str | Path,
    prepared: Path,
    *,
    resamples: int = metrics.RESAMPLES,
    seed: int = 0,
    tick: Callable[[int, int], None] = lambda done, total: None,
) -> CrossTest:
    """Test the finished folds of a run on another prepared folder.

    Writes `cross_NAME.json` and `cross_NAME.parquet`, the mean predictions, into the run folder; NAME is the name of
    the prepared folder.

    Args:
        run: A run folder of `fer3d train`.
        prepared: The prepared folder, as `fer3d preprocess` or `fer3d pack` wrote it.
        resamples, seed: Number of resamples and seed of the bootstrap by subject.
        tick: Called with the number of networks that have predicted, and the number of all networks.

    Raises:
        FileError: if no fold is finished, the folder has no manifest, or a file cannot be read or written.
        FormatError, CheckpointError: if a file of the run or of the folder is damaged.
        ArgumentError: if the folder holds another kind of input or was prepared in another way (says what to type), or
            no scan is left to test.
    """
    read = read_run(run)
    folds = _finished(read)
    whole = [row for row in read_manifest(prepared) if row["status"] == "ok"]
    labelled = labelled_rows(prepared, target=read.target.name)
    known, unknown = _known(labelled, read.target)
    rows, trained = _unseen(read, folds, known)
    if not rows:
        raise ArgumentError(_nothing_left(prepared, len(labelled), unknown, trained))
    names = tuple(fold_name(fold["round"], fold["fold"]) for fold in folds)
    data, mean = _mean_answers(read, [read.folder / name / "model.safetensors" for name in names], prepared, rows, tick)
    stem = f"cross_{prepared.resolve().name}"
    write_predictions(read.folder / f"{stem}.parquet", data, torch.arange(len(rows)), mean, Fold(0, 0, (), (), ()))
    digest = sha256(read.folder / f"{stem}.parquet")
    measured = _measured(read, data, mean, resamples, seed, digest)
    result = CrossTest(
        data=prepared.resolve().name,
        dataset=str(rows[0]["dataset"]),
        manifest_sha256=sha256(prepared / "manifest.parquet"),
        folds=names,
        unlabelled=len(whole) - len(labelled),
        unknown=unknown,
        trained=trained,
        absent=_absent(data),
        metrics=measured,
    )
    content = json.dumps(result.to_json(), indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False)
    write_bytes(read.folder / f"{stem}.json", (content + "\n").encode(), make_folder=True)
    return result


def _finished(run: Run) -> list[Mapping[str, Any]]:
    """The finished folds of a run. FileError if there is none."""
    done = [fold for fold in run.folds if (run.folder / fold_name(fold["round"], fold["fold"]) / "done.json").is_file()]
    if not done:
        raise FileError(f"{run.folder}: holds no finished fold; `fer3d train --resume` goes on with it")
    return done


def _known(rows: Sequence[Row], target: Target) -> tuple[list[Row], dict[str, int]]:
    """The rows whose class the target has, and class that it lacks -> number of scans; for other targets, all rows."""
    if target.kind != "classes":
        return list(rows), {}
    unknown = Counter(str(row[target.name]) for row in rows if row[target.name] not in target.names)
    return [row for row in rows if row[target.name] in target.names], dict(sorted(unknown.items()))


def _unseen(run: Run, folds: Sequence[Mapping[str, Any]], rows: Sequence[Row]) -> tuple[list[Row], dict[str, int]]:
    """The rows of subjects that no finished fold trained or validated on, and subject that one did -> scans."""
    own = run.facts["data"]
    start = "" if own.get("test") else f"{own['dataset']}/"  # protocol cross stores subjects as data set/subject
    seen = {
        f"{start}{subject}" for fold in folds for part in ("train", "validation") for subject in fold.get(part) or ()
    }
    trained = Counter(str(row["subject"]) for row in rows if f"{row['dataset']}/{row['subject']}" in seen)
    return [row for row in rows if f"{row['dataset']}/{row['subject']}" not in seen], dict(sorted(trained.items()))


def _nothing_left(prepared: Path, scans: int, unknown: Mapping[str, int], trained: Mapping[str, int]) -> str:
    reasons = [f"{sum(trained.values())} are of subjects that trained the run ({name_some(list(trained))})"] * bool(
        trained
    )
    reasons += [f"{sum(unknown.values())} of classes that it does not know ({', '.join(unknown)})"] * bool(unknown)
    return f"{prepared}: wanted scans that the run can be tested on, got none of {scans}: {'; '.join(reasons)}"


def _mean_answers(
    run: Run, paths: Sequence[Path], prepared: Path, rows: Sequence[Row], tick: Callable[[int, int], None]
) -> tuple[TrainingData, torch.Tensor]:
    """The scans, and the mean predictions (N, K) float32 of the networks; one network is in memory at a time."""
    data, total = None, torch.zeros(0)
    for number, path in enumerate(paths):
        model = load_model(path)
        if data is None:
            data = _load(run, model, prepared, rows)
            total = torch.zeros(len(rows), len(model.classes), dtype=torch.float64)
        total += _answers(model, data)
        tick(number + 1, len(paths))
    assert data is not None
    return data, (total / len(paths)).float()


def _load(run: Run, model: LoadedModel, prepared: Path, rows: Sequence[Row]) -> TrainingData:
    """Read the scans as input of the network. ArgumentError if they were not prepared as its training scans were."""
    sources = [(prepared, rows)]
    kind = kind_of_folders(model.kind.layout, sources)
    if kind.name != model.kind.name:
        raise ArgumentError(f"{prepared}: wanted a folder of {model.kind.name}, as the run reads, it holds {kind.name}")
    _check_recipe(model, prepared, header_for(prepared, rows[0]))
    own = network_class(model.model_name).Settings
    stored = dict(run.facts["settings"].get("model", {}))
    stored |= {"maps": list(model.maps), "illumination": model.facts.inputs.illumination}
    stored = {key: value for key, value in stored.items() if key in own.model_fields}
    chosen = settings(own, stored, str(run.folder / "run.json"))
    if isinstance(chosen, TreeSettings):  # an earlier version may have read another level
        return load_trees(sources, chosen, model.facts.target, levels=model.facts.inputs.levels)
    return kind.load(sources, chosen, model.facts.target)


def _check_recipe(model: LoadedModel, prepared: Path, header: Mapping[str, Any]) -> None:
    """Raise ArgumentError if a setting that the network depends on differs; the message says what to type."""
    trees = model.kind.layout == "trees"
    wanted, found = (_reduced(model, content, prepared) for content in (model.preprocess, header["settings"]))
    idle = (*_OF_A_FOLDER, *(_OF_MAPS if trees else ()), *wanted.unused(pictures=model.kind.name == "pictures"))
    pairs = {
        name: (getattr(wanted, name), getattr(found, name)) for name in type(wanted).model_fields if name not in idle
    }
    if "pixel_mm" in pairs and model.kind.name != "pictures":
        pairs["pixel_mm"] = (round(wanted.pixel, 6), round(found.pixel, 6))  # typed, it is rounded
    differing = {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
    if "size" in differing and wanted.pixel_mm is None and found.pixel_mm is None:
        differing.pop("pixel_mm", None)  # it follows from the size
    if differing:
        said = "; ".join(
            f"`{name}` should be {_text(one)}, is {_text(other)}" for name, (one, other) in differing.items()
        )
        typed = " ".join(f"--set {name}={_text(one)}" for name, (one, _) in differing.items())
        raise ArgumentError(
            f"{prepared}: was prepared otherwise than the run's scans: {said}; prepare it again: "
            f"fer3d preprocess SCANS -o NEW_FOLDER {typed}{' --tree' if trees else ''}"
        )


def _reduced(model: LoadedModel, content: Mapping[str, Any], where: Path) -> PreprocessSettings:
    """The stored settings of preparation, reduced to what the network reads; keys of other versions are left out."""
    known = {key: value for key, value in content.items() if key in PreprocessSettings.model_fields}
    return model.kind.preprocessing(settings(PreprocessSettings, known, str(where)), model.maps)


def _text(value: Any) -> str:
    return (
        ",".join(map(_text, value))
        if isinstance(value, tuple)
        else f"{value:.9g}"
        if isinstance(value, float)
        else str(value)
    )


def _answers(model: LoadedModel, data: TrainingData) -> torch.Tensor:
    """(N, K) float64: the predictions of one network for all scans."""
    facts, inputs = model.facts, model.facts.inputs
    wanted = dict(inputs.stencils) if model.kind.layout == "trees" else {"size": inputs.size}
    found = dict(data.stencils if isinstance(data, TreeData) else data.shape)
    if found != wanted:
        raise ArgumentError(f"the scans should be as those of the run, {wanted}, are {found}")
    if inputs.warp is not None:
        assert isinstance(data, MapData)
        data = data.warped(inputs.warp)
    parts = []
    for rows in torch.split(torch.arange(len(data.rows)), _AT_ONCE):
        batch = inputs.normalisation.apply(data.take(rows, torch.device("cpu")))
        parts.append(answers(model.network, inputs.normalisation, batch, facts.target, facts.views, inputs.pixel_mm))
    return torch.cat(parts).double()


def _measured(
    run: Run, data: TrainingData, mean: torch.Tensor, resamples: int, seed: int, digest: str
) -> Metrics | TargetMetrics:
    ids = tuple(str(row["id"]) for row in data.rows)
    several = len({row["dataset"] for row in data.rows}) > 1  # which may use one name for two people
    subjects = tuple(f"{row['dataset']}/{row['subject']}" if several else str(row["subject"]) for row in data.rows)
    zeros = np.zeros(len(ids), np.int64)
    if run.target.kind == "classes":
        table = Predictions(data.classes, ids, subjects, data.labels.numpy(), zeros, zeros, mean.double().numpy())
        return measure(table, name=run.name, resamples=resamples, seed=seed, predictions_sha256=digest)
    truth, values = data.labels.double().numpy(), mean.double().numpy()
    predictions = ValuePredictions(data.target, ids, subjects, truth, values, zeros, zeros)
    return measure_targets(predictions, name=run.name, resamples=resamples, seed=seed, predictions_sha256=digest)


def _absent(data: TrainingData) -> tuple[str, ...]:
    """Classes of which there is no scan, or units and values that no scan says."""
    if data.target.kind == "classes":
        counts = data.target.counts(data.labels.numpy())
        return tuple(name for name, count in counts.items() if not count)
    known = ~data.labels.isnan().all(dim=0)
    return tuple(name for name, is_known in zip(data.classes, known.tolist(), strict=True) if not is_known)
