"""AlexNet [1] in its one-tower form, Caffe's ImageNet network; its first stride follows the size of the picture.

References:
    .. [1] Krizhevsky, Sutskever, Hinton. ImageNet classification with deep convolutional neural networks. NIPS 2012.
"""

from __future__ import annotations

from torch import nn

from fer3d.image.networks.picture_network import PictureNetwork, convolution, initialise, two_hidden

_WIDE, _MIDDLE = 160, 80  # pixels from which the first convolution strides by 4, as published, and by 2


class AlexNet(PictureNetwork):
    """Five convolutions, local response normalisation, 4096 + 4096 hidden units. 56,896,903 parameters for 7 classes.

    Args:
        classes: K.
        size: Of the pictures: None for 224. Below 160 the first convolution strides by 2, below 80 by 1 [D]: with 4
            nothing would be left of them.
        channels: 3, or 1.
        dropout: Before the second hidden layer and before the last layer.

    Raises:
        ArgumentError: if an argument is out of range.
    """

    SIZE = 224
    CHANNELS = 3

    def __init__(
        self, classes: int = 7, size: int | None = None, channels: int | None = None, *, dropout: float = 0.5
    ) -> None:
        super().__init__(size, channels)
        stride = 4 if self.size >= _WIDE else 2 if self.size >= _MIDDLE else 1
        self.convolutions = nn.Sequential(
            *convolution(self.channels, 96, 11, stride=stride, padding=2),
            nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75),
            nn.MaxPool2d(3, 2),
            *convolution(96, 256, 5, groups=2),
            nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75),
            nn.MaxPool2d(3, 2),
            *convolution(256, 384, 3),
            *convolution(384, 384, 3, groups=2),
            *convolution(384, 256, 3, groups=2),
            nn.MaxPool2d(3, 2),
            nn.Flatten(),
        )
        self.hidden = two_hidden(self.flattened(), dropout)
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(4096, classes))
        initialise(self)
