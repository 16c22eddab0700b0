"""Locally connected layers, which have separate weights for every location of a grid on the face."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional


class WholeConvolution(nn.Conv2d):
    """A convolution whose kernel is as large as its input: separate weights for every location, 1 x 1 outputs."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, n, n) -> (B, D, 1, 1)."""
        return functional.linear(x.flatten(1), self.weight.flatten(1), self.bias)[..., None, None]


class Dropout(nn.Dropout):
    """`torch.nn.Dropout` with uniform random numbers, which take a third of the time of Bernoulli numbers on a CPU."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Any shape -> the same."""
        if not self.training or not self.p:
            return x
        return x * ((torch.rand_like(x) >= self.p) / (1.0 - self.p))


class LocationNorm(nn.Module):
    """Batch normalisation of every channel at every location separately, without scale and shift."""

    def __init__(self, channels: int, n: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels * n * n, affine=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, n, n) -> the same shape."""
        y: torch.Tensor = self.norm(x.flatten(1)[..., None, None])
        return y.view_as(x)


def locally_connected(channels: int, out: int, n: int, dropout: float) -> list[nn.Module]:
    """Layers (B, C, n, n) -> (B, D, 1, 1): normalisation and dropout per location, then a whole-grid convolution.

    Args:
        channels, out: C and D.
        n: Rows and columns of the grid.
        dropout: Share of the values that is dropped in training.
    """
    convolution = WholeConvolution(channels, out, n, bias=False)
    return [LocationNorm(channels, n), Dropout(dropout), convolution, nn.BatchNorm2d(out), nn.ReLU(inplace=True)]
