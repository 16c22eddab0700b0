"""Yu and Zhang's network: five convolutions with stochastic pooling, three fully connected layers [1].

Kernels and widths are [F]: two code bases agree. The 3 x 3 windows of the stochastic pooling are recalled [M].

References:
    .. [1] Yu, Zhang. Image based static facial expression recognition with multiple deep network learning. ICMI 2015.
"""

from __future__ import annotations

from torch import nn

from fer3d.image.networks.picture_network import PictureNetwork, convolution, initialise
from fer3d.image.pooling import StochasticPool2d


class YuZhang(PictureNetwork):
    """Five convolutions (64, 64 + 64, 128 + 128 maps), 1024 + 1024 hidden units.

    6,073,351 parameters at 48 pixels and 7 classes.

    Args:
        classes: K.
        size: Side of the pictures in pixels. None: 48.
        channels: 1 (grey) or 3 (colour).
        dropout: Before each of the hidden layers.

    Raises:
        ArgumentError: if an argument is out of range.
    """

    SIZE = 48

    def __init__(
        self, classes: int = 7, size: int | None = None, channels: int | None = None, *, dropout: float = 0.2
    ) -> None:
        super().__init__(size, channels)
        self.convolutions = nn.Sequential(
            *convolution(self.channels, 64, 5),
            StochasticPool2d(3, 2),
            *convolution(64, 64, 3),
            *convolution(64, 64, 3),
            StochasticPool2d(3, 2),
            *convolution(64, 128, 3),
            *convolution(128, 128, 3),
            StochasticPool2d(3, 2),
            nn.Flatten(),
        )
        self.hidden = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(self.flattened(), 1024),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(1024, 1024),
            nn.ReLU(inplace=True),
        )
        self.head = nn.Linear(1024, classes)
        initialise(self)
