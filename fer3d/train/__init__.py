"""Training: a plan, a run of its folds, the loop of one fold, and the files that they leave."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fer3d import lazy_names

if TYPE_CHECKING:
    from fer3d.train.checkpoint import LoadedModel, load_model
    from fer3d.train.jobs import Executor, Job, JobResult, LocalExecutor
    from fer3d.train.plan import Experiment
    from fer3d.train.run import Callbacks, Device, train
    from fer3d.train.settings import train_settings

__all__ = [
    "Device",
    "Executor",
    "Job",
    "JobResult",
    "LoadedModel",
    "LocalExecutor",
    "Experiment",
    "Callbacks",
    "load_model",
    "train",
    "train_settings",
]

_HOMES = {
    "Device": "run",
    "Callbacks": "run",
    "train": "run",
    "Executor": "jobs",
    "Job": "jobs",
    "JobResult": "jobs",
    "LocalExecutor": "jobs",
    "Experiment": "plan",
    "LoadedModel": "checkpoint",
    "load_model": "checkpoint",
    "train_settings": "settings",
}

__getattr__ = lazy_names(__name__, _HOMES)
