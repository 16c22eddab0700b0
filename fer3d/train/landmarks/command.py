"""`fer3d train landmarks`: simulate, train both networks, calibrate, and write the weights; resumable at each stage."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fer3d import __version__
from fer3d.errors import ArgumentError, CheckpointError
from fer3d.face.npz import fingerprint
from fer3d.files import brief_line, read_bytes, read_json, write_bytes, write_json
from fer3d.landmarks import POINT_NAMES
from fer3d.prepare.landmarks import weights
from fer3d.prepare.landmarks.calibration import Calibration
from fer3d.prepare.landmarks.find import Detector
from fer3d.prepare.landmarks.networks import FaceFinder, PointPlacer
from fer3d.prepare.landmarks.shape_model import ShapeModel
from fer3d.train.landmarks.calibrate import calibrated, trials
from fer3d.train.landmarks.examples import Fronts, Views
from fer3d.train.landmarks.fit import fit
from fer3d.train.landmarks.simulate import Simulator, shapes
from fer3d.train.landmarks.store import SimulationPlan, examples, face_model, simulate

_NO_FACES = 0.4  # share of things among the trials
_SHAPES = 1500  # faces of each model that the shape of faces is learned from
Progress = Callable[[str, int, int, dict[str, float]], None]


@dataclass(frozen=True, slots=True)
class DetectorPlan:
    """All settings of a training.

    Attributes:
        people: Number of simulated people and things; each is scanned three times.
        seed: Seed of all random numbers.
        face_models: Files of further face models; the built-in one always takes part.
        finder_epochs, placer_epochs: Passes over the examples.
        trials: Scans that the probabilities are fitted to.
    """

    people: int = 4000
    seed: int = 100
    face_models: tuple[str, ...] = ()
    finder_epochs: int = 10
    placer_epochs: int = 6
    trials: int = 600


"""Defaults take about an hour and a half on two cores."""


def train_landmarks(
    out: Path, work: Path, plan: DetectorPlan, workers: int, progress: Progress = lambda *_: None
) -> Detector:
    """Train the landmark detector.

    Args:
        out: File of weights to write.
        work: Folder for examples and half-trained weights; a stopped training goes on from there.
        plan: The settings.
        workers: Processes that simulate, and threads that train.
        progress: Called with the stage, steps done, all steps, and terms of the loss.

    Raises:
        FileError, FormatError: if a face model cannot be read, or a file cannot be written.
    """
    simulation = SimulationPlan(plan.seed, plan.people, (None, *plan.face_models))
    facts = _facts(plan)
    _check_same(work, facts)
    simulate(simulation, work, workers, lambda done, of: progress("simulate", done, of, {}))
    before = torch.get_num_threads()
    torch.set_num_threads(workers)
    try:
        finder = _trained("finder", FaceFinder, simulation, work, plan, progress)
        placer = _trained("placer", lambda: PointPlacer(len(POINT_NAMES)), simulation, work, plan, progress)
    finally:
        torch.set_num_threads(before)
    simulators = [Simulator(face_model(name), plan.seed + 1, things=_NO_FACES) for name in simulation.face_models]
    shape = ShapeModel.of(shapes(simulators, plan.seed, _SHAPES))
    raw = weights.rounded(Detector(finder, placer, shape, Calibration()))  # type: ignore[arg-type]
    results = list(trials(raw, simulators, plan.seed, plan.trials, lambda d, n: progress("calibrate", d, n, {})))
    detector = calibrated(raw, results)
    weights.save(detector, out, facts)
    return detector


def _facts(plan: DetectorPlan) -> dict[str, Any]:
    """What the weights depend on, as their file says it."""
    return {
        "people": plan.people,
        "seed": plan.seed,
        "face_models": ["built-in", *(f"{Path(n).name} sha256:{fingerprint(n)}" for n in plan.face_models)],
        "finder_epochs": plan.finder_epochs,
        "placer_epochs": plan.placer_epochs,
        "trials": plan.trials,
        "fer3d": __version__,
        "torch": torch.__version__,
        "numpy": np.__version__,
        "date": time.strftime("%Y-%m-%d"),
    }


def _check_same(work: Path, facts: dict[str, Any]) -> None:
    """Remember the settings in the folder, or raise if it is of others."""
    kept = {name: value for name, value in facts.items() if name not in ("date", "torch", "numpy")}
    path = work / "landmarks.json"
    if path.exists():
        earlier = read_json(path, dict[str, Any], "delete the folder")
        differs = sorted(k for k in {*earlier, *kept} if earlier.get(k) != kept.get(k))
        if differs:
            raise ArgumentError(
                f"`work` should be empty or of the same settings, {work} differs in {', '.join(differs)}"
            )
        return
    write_json(path, kept)


def _trained(
    name: str,
    build: Callable[[], FaceFinder | PointPlacer],
    simulation: SimulationPlan,
    work: Path,
    plan: DetectorPlan,
    progress: Progress,
) -> torch.nn.Module:
    """A network with its trained weights: from the work folder if they are there."""
    from safetensors.torch import load, save

    torch.manual_seed(plan.seed)
    network, path = build(), work / f"{name}.safetensors"
    if path.exists():
        content = read_bytes(path)
        try:
            network.load_state_dict(load(content))
        except Exception as error:  # the decoder of damaged files raises nearly everything
            raise CheckpointError(
                f"{path}: weights of the {name} were wanted: {brief_line(str(error))}; delete it"
            ) from None
        return network.eval()
    views = name == "finder"
    data = examples(simulation, work, Views if views else Fronts)
    epochs = plan.finder_epochs if views else plan.placer_epochs
    trained = fit(network, data, epochs, plan.seed, lambda d, n, terms: progress(name, d, n, terms))
    write_bytes(path, save({k: v.contiguous() for k, v in trained.state_dict().items()}))
    return trained
