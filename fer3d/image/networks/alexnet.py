"""AlexNet [1] in its single-tower form, as in Caffe; the first stride depends on the size of the picture.

References:
    .. [1] Krizhevsky, Sutskever, Hinton. ImageNet classification with deep convolutional neural networks. NIPS 2012.
"""

from __future__ import annotations

from torch import nn

from fer3d.image.networks.picture_network import PictureNetwork, convolution, initialise, two_hidden

_WIDE, _MIDDLE = 160, 80  # least pixels for a first stride of 4, as published, and of 2


class AlexNet(PictureNetwork):
    """Five convolutions, local response normalisation, 4096 + 4096 hidden units. 56,896,903 parameters for 7 classes.

    Args:
        classes: K.
        size: Side of the pictures in pixels. None: 224. The first convolution has stride 2 below 160 and stride 1
            below 80 [D]: with stride 4 no pixels would remain.
        channels: 3 (colour) or 1 (grey).
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
