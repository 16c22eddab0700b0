"""`train`: a model, prepared scans and a protocol in; a run folder out, fold by fold. What `fer3d train` calls."""

from __future__ import annotations

import os
import platform
import resource
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from fer3d import __version__
from fer3d.catalog.protocols import Fold
from fer3d.config import TrainSettings
from fer3d.data.samples import InputNormalisation, MapData, TrainingData, check_no_twins, load
from fer3d.data.warp import Registration, landmarks_suffice, stretches_of
from fer3d.errors import ArgumentError, FileError
from fer3d.files import read_json, sha256, write_json
from fer3d.models import build_model, model_arguments, reads_trees, registers, uses_tree
from fer3d.prepare.store import is_simulated
from fer3d.train import loop
from fer3d.train.checkpoint import ModelFacts, save_model
from fer3d.train.plan import Plan, Question, plan_run
from fer3d.train.run_writer import gather_predictions, is_finished, open_run, write_log, write_predictions

if TYPE_CHECKING:
    from lightning_fabric import Fabric


@dataclass(frozen=True)
class Device:
    """Where to compute, in Lightning Fabric's words: "auto", "cpu", "cuda"; how many; how they work together."""

    accelerator: str = "auto"
    devices: int | str = 1
    strategy: str = "auto"


@dataclass(frozen=True, eq=False)
class Watch:
    """What to call on the way: `notice` with a line of text, `tick` with the fold, its number of epochs, a log row."""

    notice: Callable[[str], None] = field(default=lambda text: None)
    tick: Callable[[Fold, int, Mapping[str, Any]], None] = field(default=lambda fold, epochs, row: None)


def train(
    model: str,
    question: Question,
    out: str | Path,
    settings: TrainSettings | None = None,
    *,
    resume: bool = False,
    device: Device | None = None,
    watch: Watch | None = None,
) -> Path:
    """Train and test a model on every fold of a protocol, or on some of them.

    Args:
        model: A name of `fer3d.models.MODELS`.
        question: Data, protocol, folds.
        out: Run folder; see `fer3d.train.run_folder` for what it holds.
        settings: None for those of the `small` preset.
        resume: Go on with the run in `out`: finished folds are kept, the one under way goes on from its last epoch.
        device: None for one, the best there is.
        watch: What to tell the caller on the way.

    Returns:
        The run folder.

    Raises:
        ArgumentError, ProtocolError, TrainError, CheckpointError: see the functions that this one calls; each names
            the file or the setting.
        FileError: if a file cannot be read or written.
    """
    out, settings = Path(out), settings or TrainSettings()
    watch, device = watch or Watch(), device or Device()
    plan = plan_run(question, settings.seed)
    data = read_data(model, plan, settings)
    for fold in plan.chosen:
        check_no_twins(data, fold.parts(), fold.name)
    arguments = model_arguments(model, settings, len(data.classes), data.shape)
    with loop.deterministic(settings.deterministic):
        fabric = _fabric(device, settings)
        facts = _facts(model, arguments, settings, question, plan, data, str(fabric.device))
        if fabric.is_global_zero:
            facts = open_run(out, facts, plan.folds, resume=resume)
        for note in (*plan.protocol.notes, *_lack_of_landmarks(data, plan.chosen, model, settings)):
            watch.notice(note)
        data = _place(data, fabric.device, settings)
        for fold in plan.chosen:
            if not is_finished(out, fold):
                _train_fold(fabric, model, arguments, data, fold, settings, out, watch)
                _finish_fold(fabric, out, plan.folds, facts)
    return out


def read_data(model: str, plan: Plan, settings: TrainSettings) -> TrainingData:
    """The scans of a plan as `model` reads them: maps, or sample trees.

    Raises:
        ArgumentError: if there is no such model, or the scans were not prepared for it.
        FileError, FormatError: if a scan file is missing or damaged.
    """
    classes = plan.protocol.facts.classes
    if not reads_trees(model):
        return load(plan.sources, settings.maps, classes, settings.illumination)
    if settings.illumination != "raw":
        raise ArgumentError(f"`illumination` should be raw for {model}, which sees no texture")
    from fer3d.data.tree_samples import load_trees

    return load_trees(plan.sources, settings, classes, tree=uses_tree(model, settings))


def _fabric(device: Device, settings: TrainSettings) -> Fabric:
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what deterministic mode asks of cuBLAS
    from lightning_fabric import Fabric

    fabric = Fabric(
        accelerator=device.accelerator,
        devices=device.devices,
        strategy=device.strategy,
        precision=settings.precision,
    )
    fabric.launch()
    return fabric


def _facts(
    model: str,
    arguments: Mapping[str, Any],
    settings: TrainSettings,
    question: Question,
    plan: Plan,
    data: TrainingData,
    device: str,
) -> dict[str, Any]:
    """Content of run.json."""
    folders = [
        {
            "folder": folder.name,
            "dataset": rows[0]["dataset"],
            "manifest_sha256": sha256(folder / "manifest.parquet"),
            "simulated": is_simulated(folder),
        }
        for folder, rows in plan.sources
    ]
    shape = {**data.shape, "pixel_mm": data.pixel_mm, "preprocess": dict(data.preprocess)}
    return {
        "fer3d": __version__,
        "model": model,
        "model_settings": dict(arguments),
        "settings": settings.model_dump(mode="json"),
        "classes": list(data.classes),
        "maps": list(data.inputs),
        "channels": list(data.channels),
        "data": {**folders[0], **shape, **({"test": folders[1]} if len(folders) > 1 else {})},
        "protocol": {
            "name": plan.protocol.name,
            "title": plan.protocol.facts.title,
            "rounds": len({fold.round for fold in plan.folds}),
            "folds": len({fold.fold for fold in plan.folds}),
            "seed": settings.seed,
            "validation": question.validation,
            "facts": plan.protocol.facts.model_dump(mode="json"),
            "notes": list(plan.protocol.notes),
        },
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__},
        "device": device,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": None,
    }


def _lack_of_landmarks(data: TrainingData, folds: Sequence[Fold], model: str, settings: TrainSettings) -> list[str]:
    """What to tell the user if the model would have its maps registered and too few scans have landmarks."""
    if settings.registered is not None or not registers(model):
        return []
    bare = [fold for fold in folds if not landmarks_suffice(stretches_of(data.rows, data.rows_of(fold.train)))]
    if not bare:
        return []
    return [
        f"maps are not registered in {len(bare)} of {len(folds)} folds: too few training scans have landmarks of the "
        "eyes and the nose"
    ]


def _registered(
    data: TrainingData, train: torch.Tensor, model: str, settings: TrainSettings
) -> tuple[TrainingData, Registration | None]:
    """The scans as the model sees them, and what made them so, learned from the training scans `train`."""
    if not isinstance(data, MapData):
        if settings.registered:
            raise ArgumentError(f"`registered` is of maps, {model} is fed sample trees")
        return data, None
    wanted = settings.registered
    if wanted is None:
        wanted = registers(model) and landmarks_suffice(stretches_of(data.rows, train))
    if not wanted:
        return data, None
    registration = data.fit_registration(train)
    return data.registered(registration), registration


def _place(data: TrainingData, device: torch.device, settings: TrainSettings) -> TrainingData:
    """The scans where batches are made of them."""
    if device.type == "cpu" or settings.data_on == "host":
        return data
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 0
    return data.to(device) if settings.data_on == "device" or 2 * data.nbytes < free else data


def _train_fold(
    fabric: Fabric,
    model: str,
    arguments: Mapping[str, Any],
    data: TrainingData,
    fold: Fold,
    settings: TrainSettings,
    out: Path,
    watch: Watch,
) -> None:
    """Train on a fold, test on it, and write its folder but for done.json."""
    folder = out / fold.name
    train, validation, test = (data.rows_of(subjects) for subjects in (fold.train, fold.validation, fold.test))
    data, registration = _registered(data, train, model, settings)
    normalisation = data.fit_normalisation(train)
    network = _network(fabric, model, arguments, settings, fold)
    log: list[Mapping[str, Any]] = []
    writer = _tensorboard(folder) if settings.tensorboard and fabric.is_global_zero else None

    def tick(row: Mapping[str, Any]) -> None:
        log.append(row)
        if fabric.is_global_zero:
            write_log(folder / "log.csv", log)
            watch.tick(fold, settings.epochs, row)
        if writer is not None:
            for name, value in row.items():
                if name != "epoch" and value is not None:
                    writer.add_scalar(name, value, row["epoch"])

    loop.fit(
        fabric,
        network,
        data,
        loop.Parts(train, validation),
        normalisation,
        settings,
        name=fold.name,
        key=(fold.round, fold.fold),
        state_file=folder / "last.ckpt",
        identity=_identity(model, arguments, settings, fold),
        tick=tick,
    )
    if writer is not None:
        writer.close()
    if settings.read_out == "svm":
        _read_out(fabric, network, data, train, normalisation, settings)
    if not fabric.is_global_zero:
        return
    start = time.perf_counter()
    made = loop.predict_rows(fabric, network, data, test, normalisation, settings)
    facts = ModelFacts(
        model=model,
        model_settings=arguments,
        classes=data.classes,
        normalisation=normalisation,
        preprocess=data.preprocess,
        size=data.shape.get("size"),
        pixel_mm=data.pixel_mm,
        mirror=settings.test_mirror,
        illumination=settings.illumination,
        registration=registration,
        perturbations=settings.test_perturbations,
    )
    save_model(folder / "model.safetensors", network, facts)
    write_predictions(folder / "predictions.parquet", data, test, made, fold)
    if len(validation):
        watched = loop.predict_rows(fabric, network, data, validation, normalisation, settings)
        write_predictions(folder / "validation.parquet", data, validation, watched, fold)
    done = {
        "seconds": round(sum(row["seconds"] for row in log), 3),  # of an earlier part of the run too
        "test_seconds": round(time.perf_counter() - start, 3),
        "epochs": len(log),
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "peak_mib": _peak_mib(fabric.device),
    }
    write_json(folder / "done.json", done)


def _finish_fold(fabric: Fabric, out: Path, folds: Sequence[Fold], facts: Mapping[str, Any]) -> None:
    if fabric.is_global_zero:
        finished = [fold for fold in folds if is_finished(out, fold)]
        gather_predictions(out, folds)
        for fold in finished:
            (out / fold.name / "last.ckpt").unlink(missing_ok=True)
        if len(finished) == len(folds):
            seconds = sum(read_json(out / fold.name / "done.json")["seconds"] for fold in finished)
            write_json(out / "run.json", {**facts, "seconds": round(seconds, 3)})
    fabric.barrier()


def _network(
    fabric: Fabric, model: str, arguments: Mapping[str, Any], settings: TrainSettings, fold: Fold
) -> nn.Module:
    """A network with its first weights, the same on every process, on the device."""
    torch.manual_seed(loop.seeded(settings.seed, fold.round, fold.fold))
    network = build_model(model, **arguments)
    if settings.init is not None:
        from fer3d.train.initial_weights import load_initial

        load_initial(network, settings.init, settings.backbone)
    if fabric.world_size > 1:
        from fer3d.train.synced_norm import synchronise

        synchronise(network)
    if reads_trees(model):
        return network.to(fabric.device)
    # weights with their channels last: convolutions on a CPU take a tenth to a third less time
    return network.to(fabric.device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def _identity(model: str, arguments: Mapping[str, Any], settings: TrainSettings, fold: Fold) -> dict[str, Any]:
    return {
        "fer3d": __version__,
        "torch": str(torch.__version__),
        "model": model,
        "model_settings": dict(arguments),
        "settings": settings.model_dump(mode="json"),
        "fold": {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(fold).items()},
    }


def _read_out(
    fabric: Fabric,
    network: nn.Module,
    data: TrainingData,
    rows: torch.Tensor,
    normalisation: InputNormalisation,
    settings: TrainSettings,
) -> None:
    """Put a linear SVM, fitted to the training scans' fused features, in place of the last layer.

    Its margins then go through the softmax: the order of the classes is the SVM's, probabilities are not calibrated.
    """
    from fer3d.models.df_cnn import DFCNN
    from fer3d.train.linear_svm import fit_linear_svm

    head = network.head
    if not isinstance(network, DFCNN) or not isinstance(head, nn.Linear):
        raise ArgumentError("`read_out` svm is of df-cnn, not of this model")
    network.eval()
    with torch.no_grad():
        parts = [
            network.features(normalisation.apply(data.take(part, fabric.device))).cpu()
            for part in torch.split(rows, 64)
        ]
    labels = data.labels[rows.to(data.labels.device)].cpu().numpy()
    weight, offset = fit_linear_svm(torch.cat(parts).double().numpy(), labels, len(data.classes), settings.svm_c)
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(weight))
        head.bias.copy_(torch.from_numpy(offset))


def _tensorboard(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        from fer3d.errors import MissingLibraryError

        raise MissingLibraryError("`tensorboard` is not installed: pip install fer3d[tensorboard]") from None
    try:
        return SummaryWriter(str(folder / "tensorboard"))
    except OSError as error:
        raise FileError(f"{folder / 'tensorboard'}: cannot be written ({error.strerror})") from None


def _peak_mib(device: torch.device) -> float:
    """The most memory this process has held, MiB: of the GPU, if there is one."""
    if device.type == "cuda":
        return round(torch.cuda.max_memory_allocated(device) / 2**20, 1)
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)
