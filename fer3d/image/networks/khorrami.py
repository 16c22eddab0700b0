"""Khorrami, Paine and Huang's bias-free network [1], as in their code [F].

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

_BATCH = 64  # theirs: the code takes it for an input of the hidden layer when it draws its weights
_GAINS = (0.2, 1.2)


class LocalMean(nn.Module):
    """Each pixel less the mean of the window about it that lies on the picture.

    The code's next step, to divide by the local deviation, was one by 1 under Python 2: it is left out.

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

    1,335,508 parameters for 8 classes at any size: the last pooling leaves 2 x 2 places, a quadrant of the face each.

    Args:
        classes: K.
        size: Of the pictures: None for 96.
        channels: 1, or 3.
        dropout: Before the last layer: the authors' variants have it at 0.5 or not at all.
        gain: Weights have the deviation gain / sqrt(inputs). None: drawn from [0.2, 1.2] once a network, as theirs.

    Raises:
        ArgumentError: if an argument is out of range.
    """

    SIZE = 96

    class Settings(PictureSettings):
        """What the network can be told."""

        gain: float | None = Field(
            None, ge=1e-6, le=1e6, description="Of the first weights. Unset: drawn from [0.2, 1.2], as theirs."
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
