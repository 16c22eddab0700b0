"""After Kahou et al. [1]: three convolutions of 64 maps and one fully connected layer, on 40 x 40 crops.

We recall with little certainty [M]: kernels of 9, 5 and 5 pixels, then maximum, average and average pooling. Strides
and padding are our choice [D]: each pooling halves the maps.

References:
    .. [1] Kahou et al. Combining modality specific deep neural networks for emotion recognition in video. ICMI 2013.
"""

from __future__ import annotations

from torch import nn

from fer3d.image.networks.picture_network import PictureNetwork, convolution


class Kahou(PictureNetwork):
    """9 x 9, 5 x 5 and 5 x 5 convolutions of 64 maps each; the features are the last maps.

    Args:
        classes: K.
        size: Side of the pictures in pixels. None: 40, for crops of 48 x 48 pictures.
        channels: 1 (grey) or 3 (colour).
        dropout: Before the last layer.

    Raises:
        ArgumentError: if an argument is out of range.
    """

    SIZE = 40

    def __init__(
        self, classes: int = 7, size: int | None = None, channels: int | None = None, *, dropout: float = 0.5
    ) -> None:
        super().__init__(size, channels)
        self.convolutions = nn.Sequential(
            *convolution(self.channels, 64, 9),
            nn.MaxPool2d(3, 2, ceil_mode=True),
            *convolution(64, 64, 5),
            nn.AvgPool2d(3, 2, ceil_mode=True),
            *convolution(64, 64, 5),
            nn.AvgPool2d(3, 2, ceil_mode=True),
            nn.Flatten(),
        )
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(self.flattened(), classes))
