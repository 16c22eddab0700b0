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
    """Maps (B, C, H, W) -> shares of `directions` directions in cells, (B, C directions, H // cell, W // cell).

    With the gradient g of a channel by central differences, in units of the channel a two pixels, at angle t from the x
    axis (to the right, y up), direction k of K gets |g| max(0, cos(t - 2 pi k / K))^4, averaged over a cell, divided by
    the sum over the directions averaged over 3 x 3 cells (plus `FLOOR`). Where a pixel or a neighbour of it was not
    measured, g is 0: the rim of a face or of a hole is no edge of it.
    """

    def __init__(self, directions: int = 8, cell: int = 4) -> None:
        super().__init__()
        self.directions, self.cell = directions, cell

    def forward(self, x: torch.Tensor, measured: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) and the mask (B, 1, H, W), 1 where measured, -> (B, C directions, h, w), float32."""
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
                functional.avg_pool2d(
                    (right * math.cos(angle) + up * math.sin(angle)).relu_().square().square(), self.cell
                )
                for angle in angles
            ]
            energy = torch.stack(shares, dim=2)  # (B, C, directions, h, w)
            about = functional.avg_pool2d(energy.sum(dim=2), 3, 1, 1, count_include_pad=False)
            return (energy / (about[:, :, None] + FLOOR)).flatten(1, 2)
