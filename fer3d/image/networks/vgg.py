"""VGG-11 and VGG-16 as published, without batch normalisation [1].

References:
    .. [1] Simonyan, Zisserman. Very deep convolutional networks for large-scale image recognition. ICLR 2015.
"""

from __future__ import annotations

from typing import ClassVar

from torch import nn

from fer3d.image.networks.picture_network import PictureNetwork, SlowSettings, convolution, initialise, two_hidden


class VGG11(PictureNetwork):
    """Eight 3 x 3 convolutions, 4096 + 4096 hidden units. 128,795,015 parameters at 224 pixels and 7 classes.

    The five poolings leave size / 32 pixels per side, rounded down, for the first hidden layer: 1 at a size of 48.

    Args:
        classes: K.
        size: Side of the pictures in pixels. None: 224.
        channels: 3 (colour) or 1 (grey).
        dropout: Before the second hidden layer and before the last layer.

    Raises:
        ArgumentError: if an argument is out of range.
    """

    Settings = SlowSettings
    SIZE = 224
    CHANNELS = 3
    DEPTHS: ClassVar[tuple[int, ...]] = (1, 1, 2, 2, 2)  # convolutions before each pooling

    def __init__(
        self, classes: int = 7, size: int | None = None, channels: int | None = None, *, dropout: float = 0.5
    ) -> None:
        super().__init__(size, channels)
        layers: list[nn.Module] = []
        before = self.channels
        for depth, width in zip(self.DEPTHS, (64, 128, 256, 512, 512), strict=True):
            for _ in range(depth):
                layers += convolution(before, width, 3)
                before = width
            layers.append(nn.MaxPool2d(2))
        self.convolutions = nn.Sequential(*layers, nn.Flatten())
        self.hidden = two_hidden(self.flattened(), dropout)
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(4096, classes))
        initialise(self)


class VGG16(VGG11):
    """Thirteen 3 x 3 convolutions, otherwise as `VGG11`. 134,289,223 parameters at 224 pixels and 7 classes."""

    DEPTHS = (2, 2, 3, 3, 3)
