"""DFF-CNN: one CNN for each map, weighted feature fusion by convolutions, global average pooling, a softmax.

Of the paper [1] only the abstract and a summary of its author's thesis could be read. From these [F]: maps of depth,
normals and shape index, in the thesis also texture; a pretrained network for each map, fine-tuned; fusion by a network
that learns "the combination relation and weight of different features"; global average pooling to save parameters.
Depth, width and resolution are not known. Ours [D] are the numbers of layers and of features, the branch of three
channels for normals, the softmax over the weights, and the dropout.

References:
    .. [1] Tian, Zeng, McGrath, Yin, Wang. 3D facial expression recognition using deep feature fusion CNN. ISSC 2019.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import nn

from fer3d.image.convolutions import conv_block
from fer3d.maps.registry import STANDARD_GROUPS
from fer3d.models.map_branches import ConvolutionalBranches, PublishedSettings, channels_read


class WeightedConcatenation(nn.Module):
    """Concatenates the features of M maps, each multiplied by M times a learned weight.

    The weights are a softmax, positive and of sum 1; they start at 1 / M, which leaves the features as they are. The
    convolution that follows could undo them, so they show what training moved and are no measure of importance.
    """

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(maps))

    @property
    def weights(self) -> torch.Tensor:
        """(M,)."""
        return self.logits.softmax(dim=0)

    def forward(self, parts: Sequence[torch.Tensor]) -> torch.Tensor:
        """M times (B, D, h, w) -> (B, sum of D, h, w)."""
        scales = len(parts) * self.weights
        return torch.cat([scale * part for scale, part in zip(scales, parts, strict=True)], dim=1)


class DFFCNN(ConvolutionalBranches):
    """DFF-CNN: branches, weighted fusion by convolutions of 1 x 1 and 3 x 3, global average pooling, a linear layer.

    Args:
        maps: Map groups, in the order of the input's channels.
        classes: K.
        size: H = W of the input.
        backbone, width: Backbone and width of the branches, see `fer3d.models.backbones`.
        fusion: Features of the two fusion convolutions.
        dropout: Dropout before the last layer.
        curvature: Channels of the map curvature: "shape-index", or "all".
        gap: Whether to average over the locations; else the last layer has weights for every location.

    Attributes:
        weighted: The weights of the maps.
        fuse: The fusion convolutions, (B, sum of D, h, w) -> (B, fusion, h, w).
        pool: Global average pooling, or the identity, and flattening.
        head: The dropout and the last layer.

    Raises:
        ArgumentError: if a map group or the backbone is unknown, or `size` is so small that the features of the
            branches would be a single pixel.
    """

    class Settings(PublishedSettings):
        """Settings of DFF-CNN."""

        backbone: Literal["small", "vgg-m", "vgg-16", "resnet-18"] = Field(
            "small", description="Layers of the branches, see `fer3d.models.backbones`. small is ours, for CPUs."
        )
        dropout: float = Field(0.3, ge=0.0, lt=1.0, description="Dropout before the last layer.")
        gap: bool = Field(
            True,
            description="Global average pooling. false: the last layer has weights for every location instead.",
        )

    def __init__(
        self,
        maps: Sequence[str] = STANDARD_GROUPS,
        classes: int = 6,
        *,
        size: int = 64,
        backbone: str = "small",
        width: int | None = None,
        fusion: int = 128,
        dropout: float = 0.3,
        curvature: str = "shape-index",
        gap: bool = True,
    ) -> None:
        super().__init__(maps, channels_read(maps, curvature), backbone, width, size)
        self.weighted = WeightedConcatenation(len(self.branches))
        self.fuse = nn.Sequential(*conv_block(self.concatenated, fusion, 1), *conv_block(fusion, fusion))
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1) if gap else nn.Identity(), nn.Flatten())
        locations = 1 if gap else self.side**2
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(fusion * locations, classes))

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C + 1, H, W) -> (B, fusion), or (B, fusion * h * w) without global average pooling."""
        features: torch.Tensor = self.pool(self.fuse(self.weighted(self.branch_features(x))))
        return features

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C + 1, H, W) -> (B, K) logits."""
        logits: torch.Tensor = self.head(self.features(x))
        return logits

    def learned(self) -> Mapping[str, float]:
        """The weights of the maps, which sum to 1."""
        weights = self.weighted.weights.detach().tolist()
        return {f"fusion weight of {name}": weight for name, weight in zip(self.branches, weights, strict=True)}
