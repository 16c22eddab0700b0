"""A plain CNN of four convolutions on stacked maps, the baseline of those with branches. Ours [D], similar to LeNet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from pydantic import Field
from torch import nn

from fer3d.config import MapSettings, NetworkSettings
from fer3d.data.channels import channel_names
from fer3d.errors import ArgumentError
from fer3d.image.convolutions import conv_block
from fer3d.models.map_branches import CURVATURE_READ, Curvature, channels_read, unused_curvature
from fer3d.models.network import Network, map_variants


class PlainCNN(Network):
    """Four blocks of 3 x 3 convolution, batch normalisation, ReLU and max pooling; then one linear layer.

    Args:
        maps: Map groups, stacked as channels of one input.
        classes: K.
        size: H = W of the input, on which the size of the linear layer depends.
        width: Features of the first convolution; the others have 2, 4 and 4 times as many.
        dropout: Dropout before the linear layer.
        curvature: Channels of the map curvature: "all", or "shape-index" alone, as DFF-CNN and DF-CNN read it.

    Raises:
        ArgumentError: if a map group is unknown, or `size` is too small for four poolings.
    """

    class Settings(MapSettings):
        """Settings of the plain CNN."""

        width: int = Field(16, ge=1, le=1024, description="Features of the first convolution.")
        dropout: float = Field(0.5, ge=0.0, lt=1.0, description="Dropout before the linear layer.")
        curvature: Curvature = Field("all", description=CURVATURE_READ)

        def unused_own(self) -> dict[str, str]:
            """See `NetworkSettings.unused_own`."""
            return unused_curvature(self.maps)

    def __init__(
        self,
        maps: Sequence[str] = ("depth", "normal"),
        classes: int = 6,
        *,
        size: int = 96,
        width: int = 16,
        dropout: float = 0.5,
        curvature: str = "all",
    ) -> None:
        super().__init__()
        self.maps = tuple(maps)
        if size < 16:
            raise ArgumentError(f"`size` should be at least 16, is {size}")
        layers: list[nn.Module] = []
        self.read = [index for read in channels_read(maps, curvature).values() for index in read]
        self.reads_all = len(self.read) == len(channel_names(maps))
        channels = len(self.read)
        for out in (width, 2 * width, 4 * width, 4 * width):
            layers += [*conv_block(channels, out), nn.MaxPool2d(2)]
            channels = out
        self.convolutions = nn.Sequential(*layers, nn.Flatten())
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(channels * (size // 16) ** 2, classes))

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C + 1, H, W), the mask last and not used -> (B, 4 * width * (H // 16)^2)."""
        features: torch.Tensor = self.convolutions(x[:, :-1] if self.reads_all else x[:, self.read])
        return features

    @classmethod
    def variants(cls, settings: NetworkSettings) -> Mapping[tuple[str, ...], NetworkSettings]:
        """All subsets of the maps."""
        return map_variants(settings)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C + 1, H, W) -> (B, K) logits."""
        logits: torch.Tensor = self.head(self.features(x))
        return logits
