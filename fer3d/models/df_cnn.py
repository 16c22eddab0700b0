"""DF-CNN: a CNN for each of six single maps, fusion by convolutions, a 32-D feature, a softmax or a linear SVM.

From abstracts [F]: six attribute maps of a textured 3D face (geometry, three of the normals, curvature, texture), a
feature extraction subnet and a feature fusion subnet, a 32-dimensional fused feature, prediction by its softmax or by a
linear SVM on the feature or on the six probabilities. Recalled [M]: VGG-M's convolutions from ImageNet at 224 pixels,
fusion by convolution over concatenated maps, dropout. Ours [D]: the depth as map of geometry, the shape index as
normalised curvature, the layer sizes of the fusion, and the default backbone, a small one after VGG-M.

References:
    .. [1] Li, Sun, Xu, Chen. Multimodal 2D+3D facial expression recognition with deep fusion convolutional neural
       network. IEEE Transactions on Multimedia 19(12), 2017.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import nn

from fer3d.data.channels import channel_names
from fer3d.errors import ArgumentError
from fer3d.image.convolutions import conv_block
from fer3d.maps.registry import STANDARD_GROUPS, map_group
from fer3d.models.map_branches import ConvolutionalBranches, PublishedSettings, channels_read

FUSED = 32  # [F]
READ_OUTS = ("softmax", "svm", "svm-probabilities")


def single_maps(maps: Sequence[str], curvature: str) -> dict[str, range]:
    """Name of each single map -> its channels: one for each channel of a group, but three for a colour picture.

    >>> single_maps(["depth", "normal", "curvature", "texture"], "shape-index")["normal_y"]
    range(2, 3)
    """
    names, parts = channel_names(maps), dict[str, range]()
    for group, read in channels_read(maps, curvature).items():
        if map_group(group).kind == "colour":
            parts[group] = read
        else:
            parts |= {names[index]: range(index, index + 1) for index in read}
    return parts


class DFCNN(ConvolutionalBranches):
    """DF-CNN: branches, convolutions of 1 x 1 and 3 x 3, a layer to the 32-D feature, a linear layer or an SVM.

    Args:
        maps: Map groups, in the order of the input's channels.
        classes: K.
        size: H = W of the input.
        backbone, width: Backbone and width of the branches, see `fer3d.models.backbones`.
        fusion: Features of the first fusion convolution; the second has half as many, at half the resolution.
        dropout: Dropout before the 32-D layer.
        curvature: Channels of the map curvature: "shape-index", or "all", each with a branch.
        read_out: Classifier: "softmax"; "svm", a linear SVM on the 32-D feature; or "svm-probabilities", one on the
            probabilities of the softmax. Training ends with `set_svm`, which puts the SVM in its place.

    Attributes:
        fuse: The fusion convolutions and the 32-D layer, (B, sum of D, h, w) -> (B, 32).
        head: The linear layer of the softmax, or of the SVM on the feature.

    Raises:
        ArgumentError: if a map group, the backbone or `read_out` is unknown, or `size` is so small that the features of
            the branches would be a single pixel.
    """

    svm_weight: torch.Tensor
    svm_offset: torch.Tensor
    svm_is_set: torch.Tensor

    class Settings(PublishedSettings):
        """Settings of DF-CNN."""

        of_training: ClassVar[frozenset[str]] = frozenset({"svm_c"})
        presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"full": {"backbone": "vgg-m"}}

        backbone: Literal["small-vgg-m", "vgg-m", "vgg-16", "resnet-18"] = Field(
            "small-vgg-m",
            description="Layers of the branches, see `fer3d.models.backbones`. small-vgg-m is ours, for CPUs.",
        )
        dropout: float = Field(0.5, ge=0.0, lt=1.0, description="Dropout before the 32-D layer.")
        read_out: Literal["softmax", "svm", "svm-probabilities"] = Field(
            "softmax",
            description="Classifier: softmax; svm, a linear SVM on the 32-D feature; svm-probabilities, one on the "
            "probabilities of the softmax.",
        )
        svm_c: float = Field(1.0, gt=0.0, description="C of that SVM; the range in the paper is 2^-5 to 2^5.")

        def unused_own(self) -> dict[str, str]:
            """See `NetworkSettings.unused_own`."""
            own = super().unused_own()
            if self.read_out == "softmax":
                own["svm_c"] = f"is of an SVM, `read_out` is {self.read_out}"
            return own

    def __init__(
        self,
        maps: Sequence[str] = STANDARD_GROUPS,
        classes: int = 6,
        *,
        size: int = 64,
        backbone: str = "small-vgg-m",
        width: int | None = None,
        fusion: int = 128,
        dropout: float = 0.5,
        curvature: str = "shape-index",
        read_out: str = "softmax",
    ) -> None:
        if read_out not in READ_OUTS:
            raise ArgumentError(f"`read_out` should be one of {', '.join(READ_OUTS)}, is {read_out!r}")
        super().__init__(maps, single_maps(maps, curvature), backbone, width, size)
        last, side = fusion // 2, (self.side + 1) // 2
        self.fuse = nn.Sequential(
            *conv_block(self.concatenated, fusion, 1),
            *conv_block(fusion, last, stride=2),
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(last * side**2, FUSED),
            nn.ReLU(inplace=True),
        )
        self.head = nn.Linear(FUSED, classes)
        self.read_out = read_out
        if read_out == "svm-probabilities":  # no parameters, as no gradient reaches them
            self.register_buffer("svm_weight", torch.zeros(classes, classes))
            self.register_buffer("svm_offset", torch.zeros(classes))
            self.register_buffer("svm_is_set", torch.zeros((), dtype=torch.uint8))

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C + 1, H, W) -> the fused feature (B, 32)."""
        fused: torch.Tensor = self.fuse(torch.cat(self.branch_features(x), dim=1))
        return fused

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C + 1, H, W) -> (B, K): logits, or the margins of the SVM once it is set."""
        logits: torch.Tensor = self.head(self.features(x))
        if self.read_out != "svm-probabilities" or self.training or not self.svm_is_set:
            return logits
        return nn.functional.linear(logits.softmax(dim=-1), self.svm_weight, self.svm_offset)

    def svm_input(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C + 1, H, W) -> what the SVM classifies: the feature (B, 32), or the probabilities (B, K)."""
        features = self.features(x)
        return self.head(features).softmax(dim=-1) if self.read_out == "svm-probabilities" else features

    def set_svm(self, weight: torch.Tensor, offset: torch.Tensor) -> None:
        """Put an SVM with the margins `svm_input @ weight.T + offset`, (K, D) and (K,), in the place of the softmax."""
        if self.read_out == "softmax":
            raise ArgumentError("`read_out` should be svm or svm-probabilities for a network with an SVM, is 'softmax'")
        if self.read_out == "svm":
            super().set_svm(weight, offset)
            return
        with torch.no_grad():
            self.svm_weight.copy_(weight)
            self.svm_offset.copy_(offset)
            self.svm_is_set.fill_(1)
