"""DLP-CNN: a deep network trained with a locality-preserving loss, which keeps similar features of a class close [1].

Layers and sizes follow a re-implementation that reports its own results [F].

References:
    .. [1] Li, Deng, Du. Reliable crowdsourcing and deep locality-preserving learning for expression recognition in the
       wild. CVPR 2017.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import nn

from fer3d.checks import check_range
from fer3d.image.losses import locality_preserving
from fer3d.image.networks.picture_network import PictureNetwork, PictureSettings, convolution, initialise


class DLPCNN(PictureNetwork):
    """Six 3 x 3 convolutions, 2000 features. 74,944,743 parameters at 100 pixels in colour and 7 classes.

    Args:
        classes: K.
        size: Side of the pictures in pixels. None: 100.
        channels: 3 (colour) or 1 (grey).
        dropout: Before the last layer; the authors have none.
        penalty_weight: Lambda, the weight of the locality-preserving loss; 0 gives the authors' base network.
        neighbours: k, the number of nearest features whose mean attracts a feature.

    Raises:
        ArgumentError: if an argument is out of range.
    """

    SIZE = 100
    CHANNELS = 3

    class Settings(PictureSettings):
        """Settings of the network."""

        penalty_weight: float = Field(
            0.003,
            ge=0.0,
            le=1e6,
            description="Lambda, the weight of the locality-preserving loss. 0: the base network.",
        )
        neighbours: int = Field(
            20, ge=1, le=1_000_000, description="k, the number of nearest features whose mean attracts a feature."
        )

        read_out: Literal["softmax", "svm"] = Field(
            "softmax", description="Classifier: softmax, or a linear SVM on the 2000 features."
        )
        svm_c: float = Field(1.0, gt=0.0, description="C of that SVM.")

        of_training: ClassVar[frozenset[str]] = frozenset({"scaling", "read_out", "svm_c"})

        def unused_own(self) -> dict[str, str]:
            """See `NetworkSettings.unused_own`."""
            idle = {}
            if not self.penalty_weight:
                idle["neighbours"] = "is of the locality-preserving loss, `penalty_weight` is 0"
            if self.read_out != "svm":
                idle["svm_c"] = f"is of an SVM, `read_out` is {self.read_out}"
            return idle

    def __init__(
        self,
        classes: int = 7,
        size: int | None = None,
        channels: int | None = None,
        *,
        dropout: float = 0.0,
        penalty_weight: float = 0.003,
        neighbours: int = 20,
    ) -> None:
        super().__init__(size, channels)
        check_range("penalty_weight", penalty_weight, 0.0, 1e6)
        check_range("neighbours", neighbours, 1, 1_000_000)
        self.penalty_weight, self.neighbours = penalty_weight, neighbours
        self.convolutions = nn.Sequential(
            *convolution(self.channels, 64, 3),
            nn.MaxPool2d(2),
            *convolution(64, 96, 3),
            nn.MaxPool2d(2),
            *convolution(96, 128, 3),
            *convolution(128, 128, 3),
            nn.MaxPool2d(2),
            *convolution(128, 256, 3),
            *convolution(256, 256, 3),
            nn.Flatten(),
        )
        self.hidden = nn.Sequential(nn.Linear(self.flattened(), 2000), nn.ReLU(inplace=True))
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(2000, classes))
        initialise(self)

    def penalty(self, seen: Sequence[torch.Tensor], labels: torch.Tensor) -> torch.Tensor:
        """Features (B, 2000) and labels (B,) -> (): lambda times the locality-preserving loss."""
        if not self.penalty_weight:
            return seen[0].new_zeros(())
        return self.penalty_weight * locality_preserving(seen[0].float(), labels, self.neighbours)
