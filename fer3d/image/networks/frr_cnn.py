"""After FRR-CNN [1]: three channels with shared weights, transformation-invariant pooling, a redundancy penalty.

The abstract [F] says that the feature maps of a layer are made to differ, which separates its kernels, and that
transformation-invariant pooling follows. A review adds three channels and a penalty over all pairs of maps of a layer.
No source gives the rest, which is ours [D]: the layers (those of 3C2F), the transformations (the identity and small
rotations to either side), the penalty (mean squared correlation or cosine, or a form of differences) and its weight.

References:
    .. [1] Xie, Hu. Facial expression recognition with FRR-CNN. Electronics Letters 53(4), 2017.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Literal

import torch
from pydantic import Field
from torch import nn

from fer3d.checks import check_range
from fer3d.image.losses import feature_redundancy
from fer3d.image.networks.picture_network import PictureNetwork, PictureSettings, convolution, initialise
from fer3d.image.perturb import rotated
from fer3d.image.pooling import TransformationInvariantPool


class Stack(nn.Module):
    """5 x 5 convolutions with ReLU, each followed by maximum pooling that halves the maps."""

    def __init__(self, channels: int, widths: Sequence[int]) -> None:
        super().__init__()
        before = (channels, *widths)
        self.layers = nn.ModuleList(nn.Sequential(*convolution(a, b, 5)) for a, b in zip(before, widths, strict=False))
        self.halve = nn.MaxPool2d(2)

    def maps(self, x: torch.Tensor) -> list[torch.Tensor]:
        """(B, C, S, S) -> the maps of every layer before its pooling: (B, D, S, S), (B, 2 D, S / 2, S / 2) ..."""
        outputs: list[torch.Tensor] = []
        for layer in self.layers:
            outputs.append(layer(self.halve(outputs[-1]) if outputs else x))
        return outputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, S, S) -> the maps of the last layer, after pooling."""
        last: torch.Tensor = self.halve(self.maps(x)[-1])
        return last


class FRRCNN(PictureNetwork):
    """5 x 5 convolutions of 64, 128 and 256 maps on three views, their element-wise maximum, 300 hidden units.

    Args:
        classes: K.
        size: Side of the pictures in pixels. None: 64.
        channels: 1 (grey) or 3 (colour).
        width: Maps of the first convolution; the others have twice and four times as many.
        dropout: Before the last layer.
        penalty_weight: Weight of the redundancy penalty, a mean over the three layers; 0 switches the penalty off. Of
            the weights 5 to 40 the default helped most on simulated faces [D]: see benchmarks/results/image_studies.md.
        form: Form of the penalty: "correlation", "cosine" or "distance", see
            `fer3d.image.losses.feature_redundancy`.
        turn_deg: Angle of the two rotated views, degrees.

    Raises:
        ArgumentError: if an argument is out of range.
    """

    SIZE = 64

    class Settings(PictureSettings):
        """Settings of the network."""

        width: int = Field(64, ge=1, le=1024, description="Maps of the first convolution.")
        penalty_weight: float = Field(
            20.0, ge=0.0, le=1e6, description="Weight of the redundancy penalty. 0: no penalty."
        )
        form: Literal["correlation", "cosine", "distance"] = Field("correlation", description="Form of the penalty.")
        turn_deg: float = Field(10.0, ge=0.0, le=180.0, description="Angle of the two rotated views, degrees.")

        def unused_own(self) -> dict[str, str]:
            """See `NetworkSettings.unused_own`."""
            return {} if self.penalty_weight else {"form": "is of the redundancy penalty, `penalty_weight` is 0"}

    def __init__(
        self,
        classes: int = 7,
        size: int | None = None,
        channels: int | None = None,
        *,
        width: int = 64,
        dropout: float = 0.5,
        penalty_weight: float = 20.0,
        form: str = "correlation",
        turn_deg: float = 10.0,
    ) -> None:
        super().__init__(size, channels)
        check_range("width", width, 1, 1024)
        check_range("penalty_weight", penalty_weight, 0.0, 1e6)
        check_range("turn_deg", turn_deg, 0.0, 180.0, "degrees")
        feature_redundancy(torch.zeros(1, 2, 1, 1), form)  # report an unknown form now, not in training
        self.penalty_weight, self.form = penalty_weight, form
        turns = [partial(rotated, angle=sign * math.radians(turn_deg)) for sign in (1, -1)]
        self.convolutions = TransformationInvariantPool(
            Stack(self.channels, (width, 2 * width, 4 * width)), [_as_it_is, *turns]
        )
        self.hidden = nn.Sequential(nn.Flatten(), nn.Linear(self.flattened(), 300), nn.ReLU(inplace=True))
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(300, classes))
        initialise(self)

    def observe(self, x: torch.Tensor) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        """(B, C, S, S) -> (B, K) logits, and the maps of every layer for all three views, each (3 B, D, h, w)."""
        pool = self.convolutions
        assert isinstance(pool, TransformationInvariantPool) and isinstance(pool.stack, Stack)
        maps = pool.stack.maps(pool.see(x))
        strongest = pool.strongest(pool.stack.halve(maps[-1]))
        return self.head(self.hidden(strongest)), tuple(maps)

    def penalty(self, seen: Sequence[torch.Tensor], labels: torch.Tensor) -> torch.Tensor:
        """Maps of every layer -> (): the weight times the mean of their redundancy."""
        if not self.penalty_weight:
            return seen[0].new_zeros(())
        return self.penalty_weight * torch.stack([feature_redundancy(maps, self.form) for maps in seen]).mean()


def _as_it_is(pictures: torch.Tensor) -> torch.Tensor:
    return pictures
