"""Notices a network that does not learn: its training loss stays that of an answer that is equal for all scans."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from fer3d.train.objective import Each, Loss, Objective

FIRST_LOOK = 20  # epochs; a one-cycle schedule of 30 has then passed its highest rate for 12 epochs
SHORTEST = 10  # epochs of a run that is judged at all
FEWEST = 20  # steps of the optimiser before a run is judged
_WINDOW = 3  # epochs over which loss and accuracy are averaged
_FALLEN = 0.98  # share of the loss of chance below which a loss has fallen
_DEVIATIONS = 2.0  # by which the accuracy should exceed that of chance


class Standstill:
    """Judges the log of one fold.

    The loss stands still if its mean over the last three epochs is at least 0.98 of the loss of chance: the least loss
    of any constant answer, ln K for K equally frequent classes and cross entropy. For classes, the accuracy must also
    be no better than that of the commonest class, by two standard deviations: an overconfident network that learns is
    not reported.

    Args:
        name: Name of the fold, for the message.
        epochs: Number of epochs of the run.
        steps: Steps of the optimiser in an epoch.
        lr: Highest learning rate, for the message.
        loss: The loss of outputs against labels.
        labels: Labels of the training scans, as in `TrainingData.labels`.
        outputs: K, the number of outputs of the network.
    """

    def __init__(
        self, name: str, epochs: int, steps: int, lr: float, loss: Loss, labels: torch.Tensor, outputs: int
    ) -> None:
        self.name, self.epochs, self.steps, self.lr, self.loss = name, epochs, steps, lr, loss
        self.labels, self.outputs = labels, outputs
        self._each: Each | None = None
        self._is_comparable = False

    def observe(self, objective: Objective) -> None:
        """Note which loss the network applied to its outputs; without any, its loss cannot be compared with chance."""
        self._is_comparable |= objective.was_called
        self._each = objective.each or self._each

    def warning(self, log: Sequence[Mapping[str, Any]]) -> str:
        """A warning if the loss stands still at epoch 20 or at the last one, else "". A short run is not judged."""
        epoch = len(log)
        is_long = self.epochs >= SHORTEST and epoch * self.steps >= FEWEST
        if not self._is_comparable or not is_long or epoch not in (FIRST_LOOK, self.epochs):
            return ""
        recent = log[-_WINDOW:]
        chance = constant_loss(self.loss, self.labels, self.outputs, self._each)
        if _mean(recent, "train_loss") < _FALLEN * chance or self._is_better_than_guessing(recent):
            return ""
        return (
            f"the loss of fold {self.name} has not fallen below that of chance ({chance:.2f}) in {epoch} epochs; "
            f"try --set lr={self.lr / 10:.1g}, more epochs or more scans"
        )

    def _is_better_than_guessing(self, recent: Sequence[Mapping[str, Any]]) -> bool:
        if self.labels.is_floating_point():  # units and values: the loss alone decides
            return False
        share = float(torch.bincount(self.labels).max()) / len(self.labels)
        deviation = math.sqrt(share * (1.0 - share) / (len(self.labels) * len(recent)))
        return _mean(recent, "train_accuracy") > share + _DEVIATIONS * deviation


def constant_loss(loss: Loss, labels: torch.Tensor, outputs: int, each: Each | None = None) -> float:
    """The least loss that a constant answer has.

    Args:
        loss: The loss.
        labels: (N,) int64 classes, or (N, K) float units or values, NaN if unknown.
        outputs: K.
        each: A network's own loss of each scan, or None.
    """
    with torch.enable_grad():
        answer = torch.zeros(outputs, device=labels.device, requires_grad=True)
        optimizer = torch.optim.LBFGS([answer], max_iter=100, line_search_fn="strong_wolfe")

        def closure() -> float:
            optimizer.zero_grad()
            value = loss(answer.expand(len(labels), -1), labels, each)
            value.backward()  # type: ignore[no-untyped-call]
            return float(value.detach())

        optimizer.step(closure)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        return float(loss(answer.expand(len(labels), -1), labels, each))


def _mean(rows: Sequence[Mapping[str, Any]], key: str) -> float:
    return sum(float(row[key]) for row in rows) / len(rows)
