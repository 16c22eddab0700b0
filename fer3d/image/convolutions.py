"""Convolution blocks shared by the networks for pictures and the branches for maps."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn


def conv_block(
    channels: int, out: int, kernel: int = 3, stride: int = 1, padding: int | None = None
) -> tuple[nn.Conv2d, nn.BatchNorm2d, nn.ReLU]:
    """Convolution without bias, batch normalisation, ReLU."""
    padding = kernel // 2 if padding is None else padding
    convolution = nn.Conv2d(channels, out, kernel, stride, padding, bias=False)
    return convolution, nn.BatchNorm2d(out), nn.ReLU(inplace=True)


class Residual(nn.Module):
    """Two 3 x 3 convolutions with a skip connection, which is a 1 x 1 convolution where the shape changes.

    He, Zhang, Ren, Sun. Deep residual learning for image recognition. CVPR 2016.
    """

    def __init__(self, channels: int, out: int, stride: int = 1) -> None:
        super().__init__()
        self.body = nn.Sequential(*conv_block(channels, out, stride=stride), *conv_block(out, out)[:2])
        self.around: nn.Module = nn.Identity()
        if stride != 1 or channels != out:
            self.around = nn.Sequential(*conv_block(channels, out, 1, stride)[:2])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) -> (B, D, H / stride, W / stride)."""
        return torch.relu(self.body(x) + self.around(x))


class Branch(nn.Module):
    """A stack of layers that knows the number of its output channels.

    Attributes:
        out_channels: Number of output channels.
        extra: How many of its input channels, the last, are not of a map.
    """

    def __init__(self, layers: Sequence[nn.Module], out_channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)
        self.out_channels = out_channels
        self.extra = 0

    @property
    def first(self) -> nn.Conv2d:
        """The first convolution, whose input channels depend on the map group."""
        return next(layer for layer in self.layers if isinstance(layer, nn.Conv2d))

    def forward(self, x: torch.Tensor, measured: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) and the mask (B, 1, H, W) -> (B, D, h, w)."""
        y: torch.Tensor = self.layers(x)
        return y


def resnet_18(channels: int, width: int = 64) -> Branch:
    """ResNet-18 up to and including its last block. He, Zhang, Ren, Sun. CVPR 2016."""
    layers: list[nn.Module] = [*conv_block(channels, width, 7, 2), nn.MaxPool2d(3, 2, 1)]
    for number in range(4):
        before, out = width * 2 ** max(number - 1, 0), width * 2**number
        layers += [Residual(before, out, 1 if number == 0 else 2), Residual(out, out)]
    return Branch(layers, 8 * width)
