"""`train`: trains and tests a network on every fold of a protocol and writes a run folder. `fer3d train` calls it."""

from __future__ import annotations

import os
import platform
import resource
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from fer3d import __version__
from fer3d.catalog.protocols import Fold
from fer3d.catalog.targets import Target
from fer3d.config import TextureSettings, TrainSettings, TreeSettings
from fer3d.data.input_kinds import InputFacts, InputKind, kind_of_folders
from fer3d.data.samples import InputNormalisation, MapData, TrainingData, check_leakage
from fer3d.data.tree_samples import TreeData
from fer3d.data.warp import FaceWarp, landmark_warps, landmarks_suffice
from fer3d.errors import ArgumentError
from fer3d.files import locked, read_json, remove, sha256, write_json
from fer3d.models import build_model, network_class
from fer3d.models.network import Network
from fer3d.prepare.store import is_simulated
from fer3d.train import loop
from fer3d.train.checkpoint import ModelFacts, save_model
from fer3d.train.fine_tuning import check_people, find_initial, start_from
from fer3d.train.logger import log_epoch, tensorboard_logger
from fer3d.train.plan import Experiment, ExperimentPlan, plan_experiment
from fer3d.train.recipes import recipe_facts, recipe_line
from fer3d.train.run_facts import RESUME, DoneFacts, mean_learned
from fer3d.train.run_folder import read_warnings
from fer3d.train.run_writer import gather_predictions, is_finished, is_gathered, open_run, write_log, write_predictions
from fer3d.train.schedule import lasting
from fer3d.train.settings import complete, train_settings, used
from fer3d.train.views import Views

if TYPE_CHECKING:
    from lightning_fabric import Fabric

_SMOOTHING = TrainSettings.model_fields["label_smoothing"].default


@dataclass(frozen=True)
class Device:
    """Where to compute, as Lightning Fabric's arguments: accelerator ("auto", "cpu", "cuda"), number and strategy."""

    accelerator: str = "auto"
    devices: int | str = 1
    strategy: str = "auto"


def _nothing(*arguments: Any) -> None:
    return None


@dataclass(frozen=True, eq=False)
class Callbacks:
    """Functions that are called during a run.

    Attributes:
        on_run_start: Called with the network's name and all folds to be trained.
        on_epoch_end: Called with the fold, its number of epochs and the log row.
        on_message: Called with a line of text.
    """

    on_run_start: Callable[[str, Sequence[Fold]], None] = _nothing
    on_epoch_end: Callable[[Fold, int, Mapping[str, Any]], None] = _nothing
    on_message: Callable[[str], None] = _nothing


@dataclass(frozen=True, eq=False)
class _Run:
    """What all folds of a run share.

    Attributes:
        fabric: Sets the device, the precision and the processes.
        model: Name of the network.
        kind: Kind of input of the network.
        settings: Training settings.
        arguments: Arguments of the network's `__init__`.
        out: The run folder.
        callbacks: Functions that are called during the run.
    """

    fabric: Fabric
    model: str
    kind: InputKind
    settings: TrainSettings
    arguments: Mapping[str, Any]
    out: Path
    callbacks: Callbacks


def train(
    model: str,
    experiment: Experiment,
    out: str | Path,
    settings: TrainSettings | None = None,
    *,
    resume: bool = False,
    device: Device | None = None,
    callbacks: Callbacks | None = None,
) -> Path:
    """Train and test a network on every fold of a protocol, or on some of them.

    Args:
        model: A name in `fer3d.models.MODELS`, or "module:Class" for a `Network` from outside the package.
        experiment: Data, protocol and folds.
        out: Run folder; see `fer3d.train.run_folder` for its content.
        settings: Training settings. None: those of `fer3d.train.settings.train_settings`, from the recipe of the
            network's paper if there is one.
        resume: Whether to resume the run in `out`: finished folds are kept, an interrupted fold continues after its
            last complete epoch.
        device: None: a single device, the best available.
        callbacks: Functions that are called during the run.

    Returns:
        The run folder.

    Raises:
        ArgumentError, ProtocolError, TrainError, CheckpointError: see the functions that this function calls; each
            message names the file or the setting.
        LockedError: if another process writes to `out`.
        FileError: if a file cannot be read or written.
    """
    out, settings = Path(out), train_settings(model) if settings is None else complete(model, settings)
    callbacks, device = callbacks or Callbacks(), device or Device()
    plan = plan_experiment(experiment, settings.seed)
    kind, data = read_data(model, plan, settings)
    for fold in plan.chosen:
        check_leakage(data, fold.parts(), fold.name)
    _check_watched(plan.chosen, settings)
    _check_target(data.target, settings)
    arguments = network_class(model).arguments(settings.model, len(data.classes), data.shape, data.target.kind)
    with loop.deterministic(settings.deterministic), ExitStack() as stack:
        fabric = _fabric(device, settings)
        run = _Run(fabric, model, kind, settings, arguments, out, callbacks)
        notes = _notes(run, plan, data)
        facts = _facts(run, experiment, plan, data, notes)
        if fabric.is_global_zero:
            stack.enter_context(locked(out, "fer3d train"))
            facts = open_run(out, facts, plan.folds, resume=resume)
            gather_predictions(out, plan.folds)  # the file may have been damaged since
        callbacks.on_run_start(model, plan.chosen)
        said = (_header(run, plan, data), recipe_line(facts.get("recipe", {})), *notes)
        for note in filter(None, said) if fabric.is_global_zero else ():
            callbacks.on_message(note)
        if _lacks_its_end(out, plan.folds, facts):  # the run was killed after the last write of a fold
            _finish_fold(fabric, out, plan.folds, facts)
        data = _on_device(data, fabric.device, settings)
        for fold in plan.chosen:
            if not is_finished(out, fold):
                _train_fold(run, data, fold)
                _finish_fold(fabric, out, plan.folds, facts)
    return out


def read_data(model: str, plan: ExperimentPlan, settings: TrainSettings) -> tuple[InputKind, TrainingData]:
    """Read the scans of a plan as input of the network `model`, and determine the kind of this input.

    Raises:
        ArgumentError: if there is no such network, or the scans were not prepared for it.
        FileError, FormatError: if a scan file is missing or damaged.
    """
    kind = kind_of_folders(network_class(model).reads, plan.sources)
    return kind, kind.load(plan.sources, settings.model, plan.target)


def _fabric(device: Device, settings: TrainSettings) -> Fabric:
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS needs this to be deterministic
    from lightning_fabric import Fabric

    fabric = Fabric(
        accelerator=device.accelerator,
        devices=device.devices,
        strategy=device.strategy,
        precision=settings.precision,
    )
    fabric.launch()
    return fabric


def _header(run: _Run, plan: ExperimentPlan, data: TrainingData) -> str:
    """What is trained on what, in one line."""
    people = len({row["subject"] for row in data.rows})
    folds = f"{len(plan.chosen)} of {len(plan.folds)}" if len(plan.chosen) < len(plan.folds) else str(len(plan.folds))
    side = data.shape.get("size")
    size = f" of {side} x {side}" if side else ""
    return (
        f"{run.model} on {', '.join(data.inputs)}{size}: {len(data.rows)} scans of {people} subjects, "
        f"{', '.join(data.classes)}; protocol {plan.protocol.name}, {folds} folds, seed {run.settings.seed}"
    )


def _notes(run: _Run, plan: ExperimentPlan, data: TrainingData) -> list[str]:
    """What a reader of the result should know: printed, and stored in run.json."""
    left_out = [plan.left_out_note] if plan.left_out_note else []
    lacks = (*_lack_of_landmarks(run, data, plan.chosen), *_lack_of_pixels(run, data))
    return [*left_out, *plan.protocol.notes, *lacks, *_initial_notes(run, plan, data)]


def _lack_of_pixels(run: _Run, data: TrainingData) -> list[str]:
    """A message if the maps have fewer pixels than the network was published for."""
    wanted, size = network_class(run.model).published_pixels(run.settings.model), data.shape.get("size")
    wanted = None if wanted is None else round(wanted / run.settings.crop)
    if wanted is None or size is None or size >= wanted:
        return []
    return [
        f"{run.model} with these settings is published for {wanted} x {wanted} pixels, the scans have {size} x {size}: "
        f"`fer3d preprocess SCANS -o PREPARED --size {wanted}` prepares them so"
    ]


def _facts(
    run: _Run, experiment: Experiment, plan: ExperimentPlan, data: TrainingData, notes: Sequence[str]
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
        "model": run.model,
        "model_settings": dict(run.arguments),
        "input": run.kind.name,
        "settings": used(run.settings),
        "recipe": recipe_facts(run.model, run.settings, used(run.settings)),
        "target": data.target.to_json(),
        "classes": list(data.classes),
        "maps": list(data.inputs),
        "channels": list(data.channels),
        "data": {**folders[0], **shape, **({"test": folders[1]} if len(folders) > 1 else {})},
        "protocol": {
            "name": plan.protocol.name,
            "title": plan.protocol.facts.title,
            "rounds": len({fold.round for fold in plan.folds}),
            "folds": len({fold.fold for fold in plan.folds}),
            "seed": run.settings.seed,
            "validation": experiment.validation,
            "facts": plan.protocol.facts.model_dump(mode="json"),
            "notes": list(plan.protocol.notes),
            **({"distinct": True} if experiment.distinct else {}),
        },
        "left_out": [part.to_json() for part in plan.left_out],
        "notes": list(notes),
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__},
        "device": str(run.fabric.device),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": None,
    }


def _check_watched(folds: Sequence[Fold], settings: TrainSettings) -> None:
    """Raise ArgumentError if the best epoch is to be selected and a fold has no validation subjects."""
    if settings.select == "best" and not all(fold.validation for fold in folds):
        raise ArgumentError("`select` best needs validation subjects in every fold: --validation")


def _check_target(target: Target, settings: TrainSettings) -> None:
    """Raise ArgumentError if the target is not of classes and a setting is given that applies to classes only."""
    if target.kind == "classes":
        return
    own: Any = settings.model
    given = {
        "class_weights": settings.class_weights != "none",
        "label_smoothing": "label_smoothing" in settings.model_fields_set and settings.label_smoothing != _SMOOTHING,
        "siamese": settings.siamese > 0,
        "model.read_out": hasattr(own, "read_out") and own.read_out != "softmax",
    }
    for name, is_given in given.items():
        if is_given:
            raise ArgumentError(f"`{name}` is of single classes, `target` {target.name} is of kind {target.kind}")


def _wants_warp(run: _Run) -> bool | None:
    """Whether the maps are warped; None: only if enough scans have landmarks."""
    if run.kind.layout != "maps":
        return False
    assert isinstance(run.settings.model, TextureSettings)
    wanted = run.settings.model.warp
    return None if wanted is None and network_class(run.model).warps else bool(wanted)


def _lack_of_landmarks(run: _Run, data: TrainingData, folds: Sequence[Fold]) -> list[str]:
    """A message to the user if the network warps its maps by default but too few scans have landmarks."""
    if _wants_warp(run) is not None:
        return []
    bare = [fold for fold in folds if not landmarks_suffice(landmark_warps(data.rows, data.rows_of(fold.train)))]
    if not bare:
        return []
    return [
        f"maps are not warped in {len(bare)} of {len(folds)} folds: too few training scans have landmarks of the "
        "eyes and the nose"
    ]


def _warped(run: _Run, data: TrainingData, train: torch.Tensor) -> tuple[TrainingData, FaceWarp | None]:
    """The scans as the network sees them, and the warp, if any, that was learned from the training scans `train`."""
    wanted = _wants_warp(run)
    if wanted is None:
        wanted = landmarks_suffice(landmark_warps(data.rows, train))
    if not wanted:
        return data, None
    assert isinstance(data, MapData)
    warp = data.fit_warp(train)
    return data.warped(warp), warp


def _on_device(data: TrainingData, device: torch.device, settings: TrainSettings) -> TrainingData:
    """The scans on the device that assembles batches: the GPU if they fit there, else the host."""
    if device.type == "cpu" or settings.data_on == "host":
        return data
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 0
    return data.to(device) if settings.data_on == "device" or 2 * data.nbytes < free else data


def _train_fold(run: _Run, data: TrainingData, fold: Fold) -> None:
    """Train and test on a fold, and write its folder."""
    folder = run.out / fold.name
    train, validation, test = (data.rows_of(subjects) for subjects in (fold.train, fold.validation, fold.test))
    run = replace(run, settings=lasting(run.settings, len(train)))
    data, warp = _warped(run, data, train)
    normalisation = data.fit_normalisation(train)
    network = _network(run, fold, data.classes)
    said, warnings = list[str](), list[str]()

    def on_warning(text: str, last: bool) -> None:
        if run.fabric.is_global_zero and not said:
            run.callbacks.on_message(f"warning: {text}")
        said.append(text)
        if last:  # a network that learns after all is not reported with the run
            warnings.append(text)

    with _epoch_log(run, fold) as (log, on_epoch_end):
        loop.fit(
            run.fabric,
            network,
            data,
            loop.Split(train, validation),
            normalisation,
            run.settings,
            name=fold.name,
            key=(fold.round, fold.fold),
            state_file=folder / "last.ckpt",
            identity=_identity(run, fold),
            on_epoch_end=on_epoch_end,
            on_warning=on_warning,
        )
    _read_out(run, network, data, train, normalisation)
    if run.fabric.is_global_zero:
        facts = _input_facts(run, data, normalisation, warp)
        _write_fold(run, fold, network, data, (test, validation), facts, log, warnings)


@contextmanager
def _epoch_log(run: _Run, fold: Fold) -> Iterator[tuple[list[Mapping[str, Any]], Callable[[Mapping[str, Any]], None]]]:
    """The rows of a fold's log, and a function that adds a row and passes it to all outputs."""
    folder, log = run.out / fold.name, list[Mapping[str, Any]]()
    first = run.fabric.is_global_zero
    logger = tensorboard_logger(folder) if run.settings.tensorboard and first else None

    def on_epoch_end(row: Mapping[str, Any]) -> None:
        log.append(row)
        if first:
            write_log(folder / "log.csv", log)
            run.callbacks.on_epoch_end(fold, run.settings.epochs, row)
        if logger is not None:
            log_epoch(logger, row)

    yield log, on_epoch_end
    if logger is not None:
        logger.finalize("success")


def _input_facts(run: _Run, data: TrainingData, normalisation: InputNormalisation, warp: FaceWarp | None) -> InputFacts:
    own = run.settings.model
    maps = isinstance(own, TextureSettings)
    return InputFacts(
        normalisation=normalisation,
        groups=tuple(data.inputs) if maps else (),
        size=data.shape.get("size"),
        pixel_mm=data.pixel_mm,
        illumination=own.illumination if isinstance(own, TextureSettings) else "raw",
        warp=warp,
        stencils=dict(data.stencils) if isinstance(data, TreeData) else {},
        levels=own.levels if isinstance(own, TreeSettings) else "all",
    )


def _write_fold(
    run: _Run,
    fold: Fold,
    network: Network,
    data: TrainingData,
    rows: tuple[torch.Tensor, torch.Tensor],
    inputs: InputFacts,
    log: Sequence[Mapping[str, Any]],
    warnings: Sequence[str],
) -> None:
    """Test the network on `rows`, test and validation scans, and write its weights, predictions, times and memory."""
    folder, settings, start = run.out / fold.name, run.settings, time.perf_counter()
    test, validation = rows
    probabilities = loop.predict_rows(run.fabric, network, data, test, inputs.normalisation, settings)
    predicted = time.perf_counter() - start
    facts = ModelFacts(
        model=run.model,
        model_settings=run.arguments,
        target=data.target,
        kind=run.kind.name,
        inputs=inputs,
        preprocess=data.preprocess,
        views=Views.of(settings),
    )
    save_model(folder / "model.safetensors", network, facts)
    write_predictions(folder / "predictions.parquet", data, test, probabilities, fold)
    if len(validation):
        watched = loop.predict_rows(run.fabric, network, data, validation, inputs.normalisation, settings)
        write_predictions(folder / "validation.parquet", data, validation, watched, fold)
    done = {
        "seconds": round(sum(row["seconds"] for row in log), 3),  # includes the time before a run was resumed
        "test_seconds": round(time.perf_counter() - start, 3),
        "epochs": len(log),
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "peak_mib": _peak_mib(run.fabric.device),
        "scan_bytes": data.nbytes // len(data.rows),
        "scan_ms": round(1e3 * predicted / max(1, len(test)), 3),
        "warnings": list(warnings),
        **({"learned": learned} if (learned := dict(network.learned())) else {}),
    }
    write_json(folder / "done.json", done)


def _lacks_its_end(out: Path, folds: Sequence[Fold], facts: Mapping[str, Any]) -> bool:
    """Whether a fold of a resumed run is finished, but what `_finish_fold` does after it is not done."""
    finished = [fold for fold in folds if is_finished(out, fold)]
    if not finished or facts["seconds"] is not None:
        return False
    left = any((out / fold.name / "last.ckpt").exists() for fold in finished)
    return left or len(finished) == len(folds) or not is_gathered(out, finished)


def _finish_fold(fabric: Fabric, out: Path, folds: Sequence[Fold], facts: Mapping[str, Any]) -> None:
    if fabric.is_global_zero:
        finished = [fold for fold in folds if is_finished(out, fold)]
        gather_predictions(out, folds)
        for fold in finished:
            remove(out / fold.name / "last.ckpt")
        more: dict[str, Any] = {"warnings": warnings} if (warnings := read_warnings(out)) else {}
        done = [read_json(out / fold.name / "done.json", DoneFacts, RESUME) for fold in finished]
        if learned := mean_learned(done):
            more["learned"] = learned
        if len(finished) == len(folds):
            more["seconds"] = round(sum(entry["seconds"] for entry in done), 3)
        if more:
            write_json(out / "run.json", {**facts, **more})
    fabric.barrier()


def _initial_notes(run: _Run, plan: ExperimentPlan, data: TrainingData) -> list[str]:
    """What the networks take of the initial weights. ProtocolError if these know a person who is tested."""
    own = run.settings.model
    if own.init is None:
        return []
    simulated = any(is_simulated(folder) for folder, _ in plan.sources)
    for fold in plan.chosen if not own.init_distinct else ():
        check_people(find_initial(own.init, (fold.round, fold.fold)), fold, data.rows, simulated=simulated)
    with torch.device("meta") if ":" not in run.model else nullcontext():
        network = build_model(run.model, **run.arguments)
    first = plan.chosen[0]
    initial = find_initial(own.init, (first.round, first.fold))
    return [start_from(network, initial, data.classes, run.arguments.get("backbone", ""))]


def _network(run: _Run, fold: Fold, classes: Sequence[str]) -> Network:
    """A network with its initial weights, equal on every process, on the device."""
    torch.manual_seed(loop.seeded(run.settings.seed, fold.round, fold.fold))
    network = build_model(run.model, **run.arguments)
    own = run.settings.model
    if own.init is not None:
        initial = find_initial(own.init, (fold.round, fold.fold))
        start_from(network, initial, classes, run.arguments.get("backbone", ""))
    if run.fabric.world_size > 1:
        from fer3d.train.synced_norm import synchronise

        synchronise(network)
    if run.kind.layout == "trees":
        return network.to(run.fabric.device)
    # with channels-last weights, convolutions on a CPU take a tenth to a third less time
    return network.to(run.fabric.device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def _identity(run: _Run, fold: Fold) -> dict[str, Any]:
    return {
        "fer3d": __version__,
        "torch": str(torch.__version__),
        "model": run.model,
        "model_settings": dict(run.arguments),
        "settings": used(run.settings),
        "fold": {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(fold).items()},
    }


def _read_out(
    run: _Run, network: Network, data: TrainingData, rows: torch.Tensor, normalisation: InputNormalisation
) -> None:
    """For a network read out by an SVM: fit it to what it classifies of the training scans, and put it in its place.

    The softmax is then applied to the margins of the SVM: the ranking of the classes is that of the SVM, and the
    probabilities are not calibrated.
    """
    own: Any = run.settings.model
    if not hasattr(own, "read_out") or own.read_out == "softmax":
        return
    from fer3d.train.linear_svm import fit_linear_svm

    network.eval()
    with torch.no_grad():
        parts = [
            network.svm_input(normalisation.apply(data.take(part, run.fabric.device))).cpu()
            for part in torch.split(rows, 64)
        ]
    labels = data.labels[rows.to(data.labels.device)].cpu().numpy()
    weight, offset = fit_linear_svm(torch.cat(parts).double().numpy(), labels, len(data.classes), own.svm_c)
    network.set_svm(torch.from_numpy(weight), torch.from_numpy(offset))


def _peak_mib(device: torch.device) -> float:
    """The peak memory of this process in MiB: GPU memory on a GPU, else resident memory."""
    if device.type == "cuda":
        return round(torch.cuda.max_memory_allocated(device) / 2**20, 1)
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)
