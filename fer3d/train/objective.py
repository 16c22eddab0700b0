"""`Objective`: the supervised loss of one training batch, which a network applies to each of its outputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn import functional

Each = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class ClassLoss:
    """Cross entropy of single labels.

    Attributes:
        weights: (K,) of the classes; the mean is over scans, not over weights, so that processes can average.
        smoothing: Share of the truth that is spread over all classes.
    """

    weights: torch.Tensor
    smoothing: float = 0.0

    def __call__(self, outputs: torch.Tensor, labels: torch.Tensor, each: Each | None = None) -> torch.Tensor:
        """(B, K) logits and (B,) int64 labels -> (); `each`, if given, takes the place of cross entropy."""
        outputs = outputs.float()
        if each is None:
            losses = functional.cross_entropy(outputs, labels, reduction="none", label_smoothing=self.smoothing)
        else:
            losses = each(outputs, labels)
        return (losses * self.weights[labels]).mean()


class Objective:
    """The `Criterion` of a batch, see `fer3d.models.network`. In float32 whatever the precision of the network.

    No dataclass: Fabric would look for tensors in it, to change their precision.

    Args:
        loss: Of outputs and targets.
        targets: (B,) of the scans of the batch.
        seen: (B + P,) of all that the network sees: with the Siamese objective, then those of the partners.
        other: Targets mixed in by mixup, and their share.
    """

    def __init__(
        self,
        loss: ClassLoss,
        targets: torch.Tensor,
        seen: torch.Tensor,
        other: tuple[torch.Tensor, float] | None = None,
    ) -> None:
        self.loss, self.targets, self.seen, self.other = loss, targets, seen, other

    def __call__(self, outputs: torch.Tensor, each: Each | None = None) -> torch.Tensor:
        """See `Criterion`."""
        outputs = outputs[: len(self.targets)]
        return self._mixed(self.targets, lambda targets: self.loss(outputs, targets, each))

    def of_labels(self, term: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        """See `Criterion`."""
        return self._mixed(self.seen, lambda targets: term(targets).float())

    def _mixed(self, targets: torch.Tensor, term: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        with torch.autocast(targets.device.type, enabled=False):
            if self.other is None:
                return term(targets)
            other, share = self.other
            return (1.0 - share) * term(targets) + share * term(other)
