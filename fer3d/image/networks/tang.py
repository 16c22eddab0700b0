"""Tang's network with an L2-SVM on top [1], in the form with three convolutions that later papers use.

The sizes are those that Kim, Roh, Dong and Lee (ICMI 2015) give [M]. They may differ from Tang's own: a survey lists
his network with two convolutions and 12.0 M parameters.

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
    """5 x 5, 4 x 4 and 5 x 5 convolutions, each with pooling by 2; 3072 hidden units; margins. 5.01 M parameters.

    The weight decay of the optimiser is the term 1/2 |w|^2 of the SVM.

    Args:
        classes: K.
        size: Side of the pictures in pixels. None: 42, for crops of 48 x 48 pictures.
        channels: 1 (grey) or 3 (colour).
        dropout: Before the last layer [M].
        svm_c: C: the weight of the squared hinge loss.

    Raises:
        ArgumentError: if an argument is out of range.
    """

    SIZE = 42

    class Settings(PictureSettings):
        """Settings of the network."""

        svm_c: float = Field(1.0, gt=0.0, le=1e9, description="C: the weight of the squared hinge loss.")

        def unused(self) -> Mapping[str, str]:
            """Settings that apply to cross entropy alone, and why they have no effect."""
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
        """(B, K) margins, (B,) labels -> (B,): C times the one-versus-rest squared hinge loss."""
        return self.svm_c * squared_hinge(logits, labels)
