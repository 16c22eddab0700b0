"""Layers that the networks on sample trees share: normalisation, kernels, patches and the read-out of the top level."""

from __future__ import annotations

import torch
from torch import nn

from fer3d.data.tree_batch import TreeBatch
from fer3d.errors import ArgumentError
from fer3d.ops.manifold import RetinaLayout, retina_layout

RINGS, RAYS = 3, 8  # of a patch, pooled or not


class Norm(nn.Module):
    """Batch normalisation of (..., C) over all dimensions except the last."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)  # 2d, because `synced_norm` synchronises this class between processes

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(..., C) -> (..., C)."""
        y: torch.Tensor = self.norm(x.flatten(0, -2)[..., None, None])
        return y.view(x.shape)


def kernel(channels: int, features: int) -> nn.Parameter:
    """(3, 8, C, O) random weights that preserve the standard deviation of their input."""
    return nn.Parameter(torch.randn(RINGS, RAYS, channels, features) / (RINGS * RAYS * channels) ** 0.5)


def patch_layout(rings: int, rays: int, hvp: bool) -> RetinaLayout:
    """The layout from a stencil of `rings` x `rays` samples to a patch of 3 x 8: retina-like pooling or single samples.

    Raises:
        ArgumentError: if the stencil has too few samples.

    >>> patch_layout(6, 16, hvp=False)
    RetinaLayout(rings=((1, 2), (3, 4), (5, 6)), windows=(1, 1, 1), rays=8)
    """
    least = (2 * RINGS, 2 * RAYS) if hvp else (RINGS, RAYS)
    if rings < least[0] or rays < least[1] or rays % RAYS:
        raise ArgumentError(
            f"{'`hvp`' if hvp else 'a patch'} should have stencils of at least {least[0]} rings and {least[1]} rays, a "
            f"multiple of {RAYS}, has {rings} and {rays}; prepare the scans with other `tree_rings` and `tree_rays`"
        )
    if hvp:
        return retina_layout(rings, rays, rings=RINGS, rays=RAYS)
    return RetinaLayout(tuple((ring, ring + 1) for ring in single_rings(rings)), (1,) * RINGS, RAYS)


def single_rings(rings: int) -> list[int]:
    """The rings of a stencil that a patch of single samples takes: equidistant if those of the stencil are."""
    return [rings * (ring + 1) // RINGS - 1 for ring in range(RINGS)]


def read_top(x: torch.Tensor, batch: TreeBatch, points: int) -> torch.Tensor:
    """Features of the finest level that is left -> one vector for each scan.

    Args:
        x: (B, V, D), V at least L. The points of the top level are the first L rows.
        batch: The batch that was read.
        points: L.

    Returns:
        Where the top level is landmarks, (B, L D): their features one after the other, in the order of the scheme. Else
        (B, 2 D): mean and maximum over the points.
    """
    top = x[:, :points]
    if batch.order is None:
        return mean_and_max(top, batch.real[:, :points])
    return top.gather(1, batch.order[..., None].expand(-1, -1, top.shape[-1])).flatten(1)


def mean_and_max(x: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
    """(B, V, D) features, (B, V) bool -> (B, 2 D): mean and maximum over the rows where `real` is true."""
    weight = real[..., None].to(x.dtype)
    mean = (x * weight).sum(dim=1) / weight.sum(dim=1)
    return torch.cat([mean, x.masked_fill(~real[..., None], -torch.inf).amax(dim=1)], dim=-1)
