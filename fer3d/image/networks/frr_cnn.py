"""After FRR-CNN [1]: three weight-shared channels, transformation-invariant pooling, a redundancy penalty.

From the abstract [F]: kernels are pushed apart by making the feature maps of a layer differ; transformation-invariant
pooling. Stated by a review: three channels, each pair of maps of a layer in the penalty. Not found: the layers (here
those of 3C2F), the transformations (here none and small turns to either side), the penalty (here the mean squared
correlation or cosine, or a form of differences) and its weight [D].

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
    """5 x 5 convolutions with ReLU, each halved by maximum pooling."""

    def __init__(self, channels: int, widths: Sequence[int]) -> None:
        super().__init__()
        before = (channels, *widths)
        self.layers = nn.ModuleList(nn.Sequential(*convolution(a, b, 5)) for a, b in zip(before, widths, strict=False))
        self.halve = nn.MaxPool2d(2)

    def maps(self, x: torch.Tensor) -> list[torch.Tensor]:
        """(B, C, S, S) -> the maps of every layer, before it is halved: (B, D, S, S), (B, 2 D, S / 2, S / 2) ..."""
        made: list[torch.Tensor] = []
        for layer in self.layers:
            made.append(layer(self.halve(made[-1]) if made else x))
        return made

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, S, S) -> the last maps, halved."""
        last: torch.Tensor = self.halve(self.maps(x)[-1])
        return last


class FRRCNN(PictureNetwork):
    """5 x 5 convolutions of 64, 128 and 256 maps on three views, the strongest answer to each; 300 hidden units.

    Args:
        classes: K.
        size: Of the pictures: None for 64.
        channels: 1, or 3.
        width: Maps of the first convolution; the others have twice and four times as many.
        dropout: Before the last layer.
        penalty_weight: Weight of the redundancy penalty, the mean over the three layers; 0 makes it its twin without.
            Of 5 to 40 the one that helped most on simulated faces, see benchmarks/bm_image_studies.py [D].
        form: Of the penalty: "correlation", "cosine" or "distance", see `fer3d.image.losses.feature_redundancy`.
        turn_deg: Angle of the two turned views.

    Raises:
        ArgumentError: if an argument is out of range.
    """

    SIZE = 64

    class Settings(PictureSettings):
        """What the network can be told."""

        width: int = Field(64, ge=1, le=1024, description="Maps of the first convolution.")
        penalty_weight: float = Field(
            20.0, ge=0.0, le=1e6, description="Weight of the redundancy penalty. 0: its twin without."
        )
        form: Literal["correlation", "cosine", "distance"] = Field("correlation", description="Of the penalty.")
        turn_deg: float = Field(10.0, ge=0.0, le=180.0, description="Angle of the two turned views.")

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
        feature_redundancy(torch.zeros(1, 2, 1, 1), form)  # an unknown form is an error now, not in training
        self.penalty_weight, self.form = penalty_weight, form
        turns = [partial(rotated, angle=sign * math.radians(turn_deg)) for sign in (1, -1)]
        self.convolutions = TransformationInvariantPool(
            Stack(self.channels, (width, 2 * width, 4 * width)), [_as_it_is, *turns]
        )
        self.hidden = nn.Sequential(nn.Flatten(), nn.Linear(self.flattened(), 300), nn.ReLU(inplace=True))
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(300, classes))
        initialise(self)

    def observe(self, x: torch.Tensor) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        """(B, C, S, S) -> (B, K) logits, and the maps of every layer for all three views: (3 B, D, h, w) each."""
        pool = self.convolutions
        assert isinstance(pool, TransformationInvariantPool) and isinstance(pool.stack, Stack)
        maps = pool.stack.maps(pool.see(x))
        strongest = pool.strongest(pool.stack.halve(maps[-1]))
        return self.head(self.hidden(strongest)), tuple(maps)

    def penalty(self, seen: Sequence[torch.Tensor], labels: torch.Tensor) -> torch.Tensor:
        """The maps of every layer -> (): the weighted mean of their redundancy."""
        if not self.penalty_weight:
            return seen[0].new_zeros(())
        return self.penalty_weight * torch.stack([feature_redundancy(maps, self.form) for maps in seen]).mean()


def _as_it_is(pictures: torch.Tensor) -> torch.Tensor:
    return pictures
