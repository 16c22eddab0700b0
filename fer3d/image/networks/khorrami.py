"""Khorrami, Paine and Huang's network without biases [1], as in their code [F].

References:
    .. [1] Khorrami, Le Paine, Huang. Do deep neural networks learn facial action units when doing expression
       recognition? ICCV workshops 2015.
"""

from __future__ import annotations

import math

import torch
from pydantic import Field
from torch import nn
from torch.nn import functional

from fer3d.checks import check_range
from fer3d.image.networks.picture_network import PictureNetwork, PictureSettings

_BATCH = 64  # of the authors: their code counts it as an input of the hidden layer when it draws the weights
_GAINS = (0.2, 1.2)


class LocalMean(nn.Module):
    """Subtract from each pixel the mean of the window around it, as far as the window lies in the picture.

    The next step of the authors' code, a division by the local deviation, divides by 1 under Python 2. We leave it out.

    Args:
        window: Rows and columns, odd.
    """

    def __init__(self, window: int = 5) -> None:
        super().__init__()
        self.window = window

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) -> the same shape."""
        return x - functional.avg_pool2d(x, self.window, 1, self.window // 2, count_include_pad=False)


class Khorrami(PictureNetwork):
    """5 x 5 convolutions of 64, 128 and 256 maps without bias, quadrant pooling, 300 hidden units.

    1,335,508 parameters for 8 classes at any size: the last pooling leaves 2 x 2 cells, one per quadrant of the face.

    Args:
        classes: K.
        size: Side of the pictures in pixels. None: 96.
        channels: 1 (grey) or 3 (colour).
        dropout: Before the last layer; the authors' variants use 0.5 or none.
        gain: Initial weights have the standard deviation gain / sqrt(inputs). None: drawn from [0.2, 1.2] once per
            network, as by the authors.

    Raises:
        ArgumentError: if an argument is out of range.
    """

    SIZE = 96

    class Settings(PictureSettings):
        """Settings of the network."""

        gain: float | None = Field(
            None, ge=1e-6, le=1e6, description="Of the initial weights. Unset: drawn from [0.2, 1.2], as published."
        )

    def __init__(
        self,
        classes: int = 7,
        size: int | None = None,
        channels: int | None = None,
        *,
        dropout: float = 0.5,
        gain: float | None = None,
    ) -> None:
        super().__init__(size, channels)
        check_range("size", self.size, 16, 4096, "pixels")
        layers: list[nn.Module] = [LocalMean()]
        before = self.channels
        for width, window in ((64, 2), (128, 2), (256, self.size // 8)):
            layers += [nn.Conv2d(before, width, 5, padding=2, bias=False), nn.ReLU(inplace=True), nn.MaxPool2d(window)]
            before = width
        self.convolutions = nn.Sequential(*layers)
        hidden, last = nn.Linear(256 * 2 * 2, 300), nn.Linear(300, classes)
        self.hidden = nn.Sequential(nn.Flatten(), hidden, nn.ReLU(inplace=True))
        self.head = nn.Sequential(nn.Dropout(dropout), last)
        gain = float(torch.empty((), device="cpu").uniform_(*_GAINS)) if gain is None else gain
        check_range("gain", gain, 1e-6, 1e6)
        for module in self.convolutions:
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=gain / math.sqrt(25 * module.in_channels))
        nn.init.normal_(hidden.weight, std=gain / math.sqrt(_BATCH * hidden.in_features))
        nn.init.normal_(last.weight, std=gain / math.sqrt(last.in_features))
        nn.init.ones_(hidden.bias)
        nn.init.zeros_(last.bias)
