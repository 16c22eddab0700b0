"""Layers with weights of their own for every place of a grid on the face."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional


class WholeConvolution(nn.Conv2d):
    """A convolution as large as its input: weights of its own for every place, one number a feature."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, n, n) -> (B, D, 1, 1)."""
        return functional.linear(x.flatten(1), self.weight.flatten(1), self.bias)[..., None, None]


class Dropout(nn.Dropout):
    """`torch.nn.Dropout`, whose Bernoulli numbers take three times as long on a CPU as the even ones drawn here."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Any shape -> the same."""
        if not self.training or not self.p:
            return x
        return x * ((torch.rand_like(x) >= self.p) / (1.0 - self.p))


class LocationNorm(nn.Module):
    """Batch normalisation of every channel at every place by itself, without scale and shift."""

    def __init__(self, channels: int, n: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels * n * n, affine=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, n, n) -> the same shape."""
        y: torch.Tensor = self.norm(x.flatten(1)[..., None, None])
        return y.view_as(x)


def locally_connected(channels: int, out: int, n: int, dropout: float) -> list[nn.Module]:
    """(B, C, n, n) -> (B, D, 1, 1): every place normalised, some of them left out in training, then all weighed.

    Args:
        channels, out: C and D.
        n: Rows and columns of the grid.
        dropout: Share of the numbers that a training scan misses.
    """
    convolution = WholeConvolution(channels, out, n, bias=False)
    return [LocationNorm(channels, n), Dropout(dropout), convolution, nn.BatchNorm2d(out), nn.ReLU(inplace=True)]
