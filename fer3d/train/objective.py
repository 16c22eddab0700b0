"""`Objective`: the supervised loss of one training batch, which a network applies to each of its outputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn import functional

from fer3d.errors import ArgumentError

Each = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class ClassLoss:
    """Cross entropy of single labels.

    Attributes:
        weights: (K,) class weights; the mean is over scans, not over weights, so that processes can average it.
        smoothing: Label smoothing: the share of the true class's probability that is spread over all classes.
    """

    weights: torch.Tensor
    smoothing: float = 0.0

    def __call__(self, outputs: torch.Tensor, labels: torch.Tensor, each: Each | None = None) -> torch.Tensor:
        """(B, K) logits and (B,) int64 labels -> (); `each`, if given, replaces the cross entropy."""
        outputs = outputs.float()
        if each is None:
            losses = functional.cross_entropy(outputs, labels, reduction="none", label_smoothing=self.smoothing)
        else:
            losses = each(outputs, labels)
        return (losses * self.weights[labels]).mean()


@dataclass(frozen=True)
class UnitLoss:
    """Mean binary cross entropy over all units whose label is known."""

    def __call__(self, outputs: torch.Tensor, labels: torch.Tensor, each: Each | None = None) -> torch.Tensor:
        """(B, U) logits and (B, U) float, 1 active, 0 inactive, NaN unknown -> ()."""
        _refuse(each, "multi-label")
        known = ~labels.isnan()
        losses = functional.binary_cross_entropy_with_logits(
            outputs.float(), torch.where(known, labels, 0.0), reduction="none"
        )
        return (losses * known).sum() / known.sum().clamp(min=1)


@dataclass(frozen=True)
class ValueLoss:
    """Mean squared error over all known values, each error divided by half the span of the value. Ours [D]."""

    span: tuple[float, float]

    def __call__(self, outputs: torch.Tensor, values: torch.Tensor, each: Each | None = None) -> torch.Tensor:
        """(B, D) outputs and (B, D) float, NaN unknown -> ()."""
        _refuse(each, "values")
        known, half = ~values.isnan(), (self.span[1] - self.span[0]) / 2
        errors = (outputs.float() - torch.where(known, values, 0.0)) / half
        return (errors.square() * known).sum() / known.sum().clamp(min=1)


Loss = ClassLoss | UnitLoss | ValueLoss


def _refuse(each: Each | None, kind: str) -> None:
    """Raise ArgumentError if a network has its own loss `each`, which is defined for classes only."""
    if each is not None:
        raise ArgumentError(f"`target` should be of classes for a network with a loss of its own, is of kind {kind}")


class Objective:
    """The `Criterion` of a batch, see `fer3d.models.network`. Computed in float32 whatever the network's precision.

    This is not a dataclass, because Fabric would look for tensors in a dataclass to change their precision.

    Args:
        loss: The loss of outputs against targets.
        targets: (B,) targets of the scans of the batch.
        seen: (B + P,) targets of all scans that the network sees: with the Siamese objective, the P partners follow.
        other: Targets mixed in by mixup, and their share.

    Attributes:
        was_called: Whether the network has applied it to any outputs.
        each: The network's own loss of each scan, if it has passed one.
    """

    def __init__(
        self,
        loss: Loss,
        targets: torch.Tensor,
        seen: torch.Tensor,
        other: tuple[torch.Tensor, float] | None = None,
    ) -> None:
        self.loss, self.targets, self.seen, self.other = loss, targets, seen, other
        self.was_called = False
        self.each: Each | None = None

    def __call__(self, outputs: torch.Tensor, each: Each | None = None) -> torch.Tensor:
        """See `Criterion`."""
        self.was_called, self.each = True, each or self.each
        outputs = outputs[: len(self.targets)]
        return self._mixed(self.targets, lambda targets: self.loss(outputs, targets, each))

    def of_labels(self, term: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        """See `Criterion`."""
        if not isinstance(self.loss, ClassLoss):
            raise ArgumentError("`target` should be of classes for a network with a penalty that reads labels")
        return self._mixed(self.seen, lambda targets: term(targets).float())

    def _mixed(self, targets: torch.Tensor, term: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        with torch.autocast(targets.device.type, enabled=False):
            if self.other is None:
                return term(targets)
            other, share = self.other
            return (1.0 - share) * term(targets) + share * term(other)
