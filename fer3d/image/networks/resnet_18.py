"""ResNet-18 [1], a modern baseline: residual blocks, batch normalisation, global average pooling.

References:
    .. [1] He, Zhang, Ren, Sun. Deep residual learning for image recognition. CVPR 2016.
"""

from __future__ import annotations

from torch import nn

from fer3d.image.convolutions import conv_block, resnet_18
from fer3d.image.networks.picture_network import PictureNetwork

_PUBLISHED = 80  # least pixels for the published stem


class ResNet18(PictureNetwork):
    """ResNet-18 with a linear layer of K classes. 11,180,103 parameters in colour for 7 classes.

    Args:
        classes: K.
        size: Side of the pictures in pixels. None: 96. Below 80 the stem is one 3 x 3 convolution of stride 1 [D], as
            is usual for small pictures: the published stem reduces 32 x 32 pixels to 8 x 8 before the first block.
        channels: 3 (colour) or 1 (grey).
        dropout: Before the last layer [D].

    Raises:
        ArgumentError: if an argument is out of range.
    """

    SIZE = 96
    CHANNELS = 3

    def __init__(
        self, classes: int = 7, size: int | None = None, channels: int | None = None, *, dropout: float = 0.0
    ) -> None:
        super().__init__(size, channels)
        branch = resnet_18(self.channels)
        if self.size < _PUBLISHED:
            blocks = list(branch.layers)[4:]  # those after convolution, normalisation, ReLU and pooling
            branch.layers = nn.Sequential(*conv_block(self.channels, 64), *blocks)
        self.convolutions = branch.layers
        self.hidden = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(branch.out_channels, classes))
