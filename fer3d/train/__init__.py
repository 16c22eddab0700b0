"""Training: a plan, a run of its folds, the loop of one fold, and the files that they leave."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fer3d import lazy_names

if TYPE_CHECKING:
    from fer3d.train.checkpoint import LoadedModel, load_model
    from fer3d.train.plan import Experiment
    from fer3d.train.run import Callbacks, Device, Job, train, train_side_by_side

__all__ = ["Device", "Job", "LoadedModel", "Experiment", "Callbacks", "load_model", "train", "train_side_by_side"]

_HOMES = {
    "Device": "run",
    "Job": "run",
    "Callbacks": "run",
    "train": "run",
    "train_side_by_side": "run",
    "Experiment": "plan",
    "LoadedModel": "checkpoint",
    "load_model": "checkpoint",
}

__getattr__ = lazy_names(__name__, _HOMES)
