"""How strongly a map rises in each direction, cell by cell, freed of contrast: histograms of oriented gradients.

In the manner of Dalal and Triggs [1], of every map rather than of pictures. With a few dozen people to learn from,
filters that need no learning are worth more than those that do; which numbers suit was our choice [D]. So is what is
done twice, in the manner of a scattering transform [2]: where the energy of each direction itself rises.

References:
    .. [1] Dalal, Triggs. Histograms of oriented gradients for human detection. CVPR 2005.
    .. [2] Bruna, Mallat. Invariant scattering convolution networks. IEEE TPAMI 35(8), 2013.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from fer3d.ops.map_orientation import averaged, map_orientation

FLOOR = 0.05  # standard deviations of a channel a pixel: flatter than this is flat
_LEAST = 1e-3  # the same, of the mean of a whole map of energies


class OrientationEnergy(nn.Module):
    """Maps (B, C, H, W) -> shares of `directions` directions in a grid of cells, (B, D, cells, cells).

    Of order 1, D is C times K directions: the energies of `map_orientation` in the cells, divided by their sum over the
    directions averaged over 3 x 3 cells (plus `FLOOR`).

    Of order 2, D is C times K times K: those energies of twice as many cells along each side, each divided by its mean
    over the whole map, are maps themselves, of which the same is done. A cell is measured if all its pixels were.
    """

    def __init__(self, directions: int = 8, cells: int = 16, order: int = 1) -> None:
        super().__init__()
        self.directions, self.cells, self.order = directions, cells, order

    def forward(self, x: torch.Tensor, measured: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) and the mask (B, 1, H, W), 1 where measured, -> (B, D, cells, cells), float32."""
        with torch.autocast(x.device.type, enabled=False):
            x, measured = x.float(), measured.float()
            if self.order == 2:
                x, measured = self._finer(x, measured)
            energy = map_orientation(x, measured, self.cells, self.directions)
            return without_contrast(energy, FLOOR).flatten(1, 2)

    def averaged(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) -> (B, C, cells, cells): the mean of every cell."""
        return averaged(x, self.cells)

    def outputs(self, channels: int) -> int:
        """D of C channels."""
        return channels * int(self.directions**self.order)

    def _finer(self, x: torch.Tensor, measured: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Energies of twice as many cells, as maps; and which of these cells were measured."""
        energy = map_orientation(x, measured, 2 * self.cells, self.directions).flatten(1, 2)
        whole = -functional.adaptive_max_pool2d(-measured, 2 * self.cells)
        return energy / (energy.mean((2, 3), keepdim=True) + _LEAST), whole


def without_contrast(energy: torch.Tensor, floor: float) -> torch.Tensor:
    """(B, C, K, n, n) energies of K directions -> shares: divided by `floor` and their sum, a mean of 3 x 3 cells."""
    about = functional.avg_pool2d(energy.sum(dim=2), 3, 1, 1, count_include_pad=False)
    return energy / (about[:, :, None] + floor)
