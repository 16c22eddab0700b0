"""Tang's network with an L2-SVM on top [1], in the three-layer form of those who follow him.

Sizes as Kim, Roh, Dong and Lee (ICMI 2015) give them [M]; that they are Tang's own is not certain: a survey lists his
with two convolutions and 12.0 M parameters.

References:
    .. [1] Tang. Deep learning using linear support vector machines. ICML workshop on challenges in representation
       learning, 2013.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from pydantic import Field
from torch import nn

from fer3d.checks import check_range
from fer3d.image.losses import squared_hinge
from fer3d.image.networks.picture_network import PictureNetwork, PictureSettings, convolution


class Tang(PictureNetwork):
    """5 x 5, 4 x 4 and 5 x 5 convolutions, each halved by pooling; 3072 hidden units; margins. 5.01 M parameters.

    The term 1/2 |w|^2 of the SVM is the optimiser's weight decay.

    Args:
        classes: K.
        size: Of the pictures: None for 42, crops of 48.
        channels: 1, or 3.
        dropout: Before the last layer [M].
        svm_c: C: the weight of the squared hinge loss.

    Raises:
        ArgumentError: if an argument is out of range.
    """

    SIZE = 42

    class Settings(PictureSettings):
        """What the network can be told."""

        svm_c: float = Field(1.0, gt=0.0, le=1e9, description="C: the weight of the squared hinge loss.")

        def unused(self) -> Mapping[str, str]:
            """What is of cross entropy."""
            return {"label_smoothing": "is of cross entropy, its loss is the squared hinge"}

    def __init__(
        self,
        classes: int = 7,
        size: int | None = None,
        channels: int | None = None,
        *,
        dropout: float = 0.5,
        svm_c: float = 1.0,
    ) -> None:
        super().__init__(size, channels)
        check_range("svm_c", svm_c, 1e-9, 1e9)
        self.svm_c = svm_c
        self.convolutions = nn.Sequential(
            *convolution(self.channels, 32, 5),
            nn.MaxPool2d(3, 2, ceil_mode=True),
            nn.ZeroPad2d((1, 2, 1, 2)),
            *convolution(32, 32, 4, padding=0),
            nn.AvgPool2d(3, 2, ceil_mode=True),
            *convolution(32, 64, 5),
            nn.AvgPool2d(3, 2, ceil_mode=True),
            nn.Flatten(),
        )
        self.hidden = nn.Sequential(nn.Linear(self.flattened(), 3072), nn.ReLU(inplace=True))
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(3072, classes))

    def criterion(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """(B, K) margins, (B,) -> (B,): C times the squared hinge loss, one class against the rest."""
        return self.svm_c * squared_hinge(logits, labels)
