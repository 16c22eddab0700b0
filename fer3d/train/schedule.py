"""Learning rate schedules of a training phase, as schedulers of `torch.optim.lr_scheduler`."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from fer3d.config import TrainSettings
from fer3d.errors import ConfigError
from fer3d.models.network import PretrainedSettings

RISE = 0.25  # share of a one-cycle schedule during which the rate rises
LOWEST = 0.04  # initial rate of a one-cycle schedule, as a share of the highest rate


def schedule(
    settings: TrainSettings,
    epochs: int,
    steps: int,
    optimizer: Optimizer,
    *,
    lr: float | Sequence[float],
    done: int = 0,
) -> LambdaLR:
    """A scheduler to be stepped after every step of the optimiser; creating it sets the rate of the next step.

    `settings.schedule` is "constant", "cosine" (from `lr` to 0), "one-cycle" (rises from 4 % of `lr` by half a
    cosine over the first quarter, then falls by a cosine to 0) or "steps" (multiplied by `settings.drop_factor` after
    each of `settings.drop_steps`, which count from the start of the phase).

    Args:
        settings: Names the schedule.
        epochs: Epochs of the phase.
        steps: Steps of the optimiser per epoch.
        optimizer: Its parameter groups get the rates.
        lr: Highest learning rate, of all groups or of each.
        done: Steps of the phase that were taken before the run was resumed.
    """

    def share(step: int) -> float:
        if settings.schedule == "steps":
            drops: int = sum(step >= drop for drop in settings.drop_steps)
            return float(settings.drop_factor**drops)
        # adding whole epochs and fractions in this order reproduces the bits of runs of earlier versions
        return _share_of_highest(settings.schedule, (step // steps + step % steps / steps) / epochs)

    groups = optimizer.param_groups
    highest = [lr] * len(groups) if isinstance(lr, int | float) else lr
    for group, own in zip(groups, highest, strict=True):
        group["initial_lr"] = own
    return LambdaLR(optimizer, share, last_epoch=done - 1)


def lasting(settings: TrainSettings, scans: int) -> TrainSettings:
    """The settings with `epochs` that take `settings.steps` steps on that many training scans, if it is given.

    Raises:
        ConfigError: if the branches would stay frozen to the end.
    """
    if settings.steps is None:
        return settings
    each = max(scans // max(min(settings.batch, scans), 1), 1)
    epochs, own = -(-settings.steps // each), settings.model
    if isinstance(own, PretrainedSettings) and own.freeze_epochs >= epochs:
        raise ConfigError(
            f"settings: `model.freeze_epochs` should be less than the {epochs} epochs that `steps` {settings.steps} "
            f"are of {scans} scans, is {own.freeze_epochs}"
        )
    return settings.model_copy(update={"epochs": epochs})


def _share_of_highest(name: str, done: float) -> float:
    """The rate after a share `done` of the phase, as a share of the highest rate."""
    if name == "constant":
        return 1.0
    if name == "one-cycle" and done < RISE:
        return LOWEST + (1.0 - LOWEST) * (1.0 - math.cos(math.pi * done / RISE)) / 2.0
    if name == "one-cycle":
        done = (done - RISE) / (1.0 - RISE)
    return (1.0 + math.cos(math.pi * done)) / 2.0
