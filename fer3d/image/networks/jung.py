"""3C2F, after Jung et al. [1]: three convolutions with maximum pooling, then two fully connected layers.

Only this outline is known. The sizes are our choice [D]: those of Khorrami's network, from the same years, with pooling
of 2.

References:
    .. [1] Jung, Lee, Park, Kim, Kim, Lee, Ahn. Development of deep learning-based facial expression recognition system.
       FCV 2015.
"""

from __future__ import annotations

from pydantic import Field
from torch import nn

from fer3d.checks import check_range
from fer3d.image.networks.picture_network import PictureNetwork, PictureSettings, convolution, initialise


class Jung(PictureNetwork):
    """5 x 5 convolutions of 64, 128 and 256 maps, each followed by 2 x 2 pooling; 300 hidden units.

    Args:
        classes: K.
        size: Side of the pictures in pixels. None: 64.
        channels: 1 (grey) or 3 (colour).
        width: Maps of the first convolution; the others have twice and four times as many.
        dropout: Before the last layer.

    Raises:
        ArgumentError: if an argument is out of range.
    """

    SIZE = 64

    class Settings(PictureSettings):
        """Settings of the network."""

        width: int = Field(64, ge=1, le=1024, description="Maps of the first convolution.")

    def __init__(
        self,
        classes: int = 7,
        size: int | None = None,
        channels: int | None = None,
        *,
        width: int = 64,
        dropout: float = 0.5,
    ) -> None:
        super().__init__(size, channels)
        check_range("width", width, 1, 1024)
        layers: list[nn.Module] = []
        before = self.channels
        for maps in (width, 2 * width, 4 * width):
            layers += [*convolution(before, maps, 5), nn.MaxPool2d(2)]
            before = maps
        self.convolutions = nn.Sequential(*layers, nn.Flatten())
        self.hidden = nn.Sequential(nn.Linear(self.flattened(), 300), nn.ReLU(inplace=True))
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(300, classes))
        initialise(self)
