"""Contrast-normalised orientation energy of maps on a grid of cells: histograms of oriented gradients.

The method follows Dalal and Triggs [1], applied to maps rather than pictures. With a few dozen people to learn from,
fixed filters do better than learned ones; their parameters are our choice [D]. So is order 2, similar to a scattering
transform [2]: the orientation energy of the energy of each direction.

References:
    .. [1] Dalal, Triggs. Histograms of oriented gradients for human detection. CVPR 2005.
    .. [2] Bruna, Mallat. Invariant scattering convolution networks. IEEE TPAMI 35(8), 2013.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from fer3d.ops.map_orientation import averaged, map_orientation

FLOOR = 0.05  # standard deviations of a channel per pixel: a smaller slope counts as flat
_LEAST = 1e-3  # the same for the mean of a whole map of energies


class OrientationEnergy(nn.Module):
    """Maps (B, C, H, W) -> shares of K = `directions` directions in a grid of cells, (B, D, cells, cells).

    For order 1, D = C K: the energies of `map_orientation` in the cells, divided by their sum over the directions
    averaged over 3 x 3 cells (plus `FLOOR`).

    For order 2, D = C K K: the energies on a grid of twice as many cells along each side, each divided by its mean over
    the whole map, serve as maps from which the energies of order 1 are computed. A cell counts as measured if all its
    pixels were measured.

    Args:
        directions: K, even.
        cells: Cells along each side.
        order: 1 or 2.
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
        """(B, C, H, W) -> (B, C, cells, cells): the mean of each cell."""
        return averaged(x, self.cells)

    def outputs(self, channels: int) -> int:
        """D, the number of output channels for C input channels."""
        return channels * int(self.directions**self.order)

    def _finer(self, x: torch.Tensor, measured: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Energies on a grid of twice as many cells along each side, as maps, and the mask of the measured cells."""
        energy = map_orientation(x, measured, 2 * self.cells, self.directions).flatten(1, 2)
        whole = -functional.adaptive_max_pool2d(-measured, 2 * self.cells)
        return energy / (energy.mean((2, 3), keepdim=True) + _LEAST), whole


def without_contrast(energy: torch.Tensor, floor: float) -> torch.Tensor:
    """(B, C, K, n, n) energies of K directions, divided by their sum, averaged over 3 x 3 cells, plus `floor`."""
    contrast = functional.avg_pool2d(energy.sum(dim=2), 3, 1, 1, count_include_pad=False)
    return energy / (contrast[:, :, None] + floor)
