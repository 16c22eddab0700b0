"""Training: a plan, a run of its folds, the loop of one fold, and the files that they leave."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fer3d import lazy_names

if TYPE_CHECKING:
    from fer3d.train.checkpoint import LoadedModel, load_model
    from fer3d.train.plan import Question
    from fer3d.train.run import Device, Job, Watch, train, train_side_by_side

__all__ = ["Device", "Job", "LoadedModel", "Question", "Watch", "load_model", "train", "train_side_by_side"]

_HOMES = {
    "Device": "run",
    "Job": "run",
    "Watch": "run",
    "train": "run",
    "train_side_by_side": "run",
    "Question": "plan",
    "LoadedModel": "checkpoint",
    "load_model": "checkpoint",
}

__getattr__ = lazy_names(__name__, _HOMES)
