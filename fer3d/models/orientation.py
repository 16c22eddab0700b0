"""How strongly a map rises in each direction, cell by cell, freed of contrast: histograms of oriented gradients.

In the manner of Dalal and Triggs [1], of every map rather than of pictures, with a smooth share for each direction so
that gradients can pass. With a few dozen people to learn from, filters that need no learning are worth more than those
that do; which numbers suit was our choice [D].

References:
    .. [1] Dalal, Triggs. Histograms of oriented gradients for human detection. CVPR 2005.
"""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional

FLOOR = 0.05  # standard deviations of a channel a pixel: flatter than this is flat


class OrientationEnergy(nn.Module):
    """Maps (B, C, H, W) -> shares of `directions` directions in a grid of cells, (B, C directions, cells, cells).

    With the gradient g of a channel by central differences, in units of the channel a two pixels, at angle t from the x
    axis (to the right, y up), direction k of K gets |g| max(0, cos(t - 2 pi k / K))^4, averaged over a cell, then over
    its neighbours with weights 1, 2, 1 along either axis (at the rim: of the cells that are there), and divided by the
    sum over the directions averaged over 3 x 3 cells (plus `FLOOR`). Where a pixel or a neighbour of it was not
    measured, g is 0: the rim of a face or of a hole is no edge of it. Cells share pixels if H or W is no multiple of
    `cells`.
    """

    def __init__(self, directions: int = 8, cells: int = 16) -> None:
        super().__init__()
        self.directions, self.cells = directions, cells

    def forward(self, x: torch.Tensor, measured: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) and the mask (B, 1, H, W), 1 where measured, -> (B, C directions, cells, cells), float32."""
        with torch.autocast(x.device.type, enabled=False):
            x, measured = x.float(), measured.float()
            inside = -functional.max_pool2d(-measured, 3, 1, 1)
            right = functional.pad(x[..., 2:] - x[..., :-2], (1, 1)) * inside
            up = functional.pad(x[..., :-2, :] - x[..., 2:, :], (0, 0, 1, 1)) * inside
            steepness = (right.square() + up.square() + 1e-12).sqrt()
            root = steepness.sqrt()
            right, up = right / (root * root.sqrt()), up / (root * root.sqrt())  # |g|^(1 / 4) cos t, and sin t
            angles = [2 * math.pi * k / self.directions for k in range(self.directions)]
            shares = [
                self.averaged((right * math.cos(angle) + up * math.sin(angle)).relu_().square().square())
                for angle in angles
            ]
            energy = _smoothed(_smoothed(torch.stack(shares, dim=2)).mT).mT  # (B, C, directions, cells, cells)
            return without_contrast(energy, FLOOR).flatten(1, 2)

    def averaged(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) -> (B, C, cells, cells): the mean of every cell."""
        height, width = x.shape[-2:]
        if height % self.cells or width % self.cells:
            return functional.adaptive_avg_pool2d(x, self.cells)
        return functional.avg_pool2d(x, (height // self.cells, width // self.cells))


def without_contrast(energy: torch.Tensor, floor: float) -> torch.Tensor:
    """(B, C, K, n, n) energies of K directions -> shares: divided by `floor` and their sum, a mean of 3 x 3 cells."""
    about = functional.avg_pool2d(energy.sum(dim=2), 3, 1, 1, count_include_pad=False)
    return energy / (about[:, :, None] + floor)


def _smoothed(x: torch.Tensor) -> torch.Tensor:
    """(..., n) -> the same shape: with weights 1, 2, 1, of those that are there."""
    wide, there = functional.pad(x, (1, 1)), functional.pad(torch.ones_like(x[..., :1, :]), (1, 1))
    added, weights = (y[..., :-2] + 2 * y[..., 1:-1] + y[..., 2:] for y in (wide, there))
    return added / weights
