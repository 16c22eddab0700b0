"""Orientation energy of maps on a grid of squares: fixed filters, computed from gradients."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.nn import functional

from fer3d.checks import check_shape
from fer3d.errors import ArgumentError
from fer3d.workers import map_on_threads


def map_orientation(x: torch.Tensor, measured: torch.Tensor, n: int, directions: int = 8) -> torch.Tensor:
    """Orientation energy of maps in a grid of squares: histograms of oriented gradients [1], before any normalisation.

    Let g be the gradient of a channel by central differences, in units of the channel per two pixels, and t its angle
    from the x axis (x to the right, y up). Direction k of K gets |g| max(0, cos(t - 2 pi k / K))^4, averaged over a
    square, then over neighbouring squares with weights 1, 2, 1 along each axis (at the boundary, over the squares that
    exist). Where a pixel or one of its neighbours was not measured, g is 0, so that the boundary of a face or of a hole
    gives no energy. Squares share pixels if H or W is not a multiple of `n`. The power is our choice [D]: a smooth
    weight, through which gradients can flow.

    Args:
        x: (B, C, H, W) float32.
        measured: (B, 1, H, W) float32, 1 where measured, else 0.
        n: Number of squares along each side.
        directions: K, even.

    Returns:
        (B, C, K, n, n) float32.

    Raises:
        ArgumentError: if a shape, a dtype or a number is wrong.

    References:
        .. [1] Dalal, Triggs. Histograms of oriented gradients for human detection. CVPR 2005.
    """
    check_shape("x", x, ("B", "C", "H", "W"))
    check_shape("measured", measured, (x.shape[0], 1, *x.shape[2:]))
    for name, tensor in (("x", x), ("measured", measured)):
        if tensor.dtype != torch.float32:
            raise ArgumentError(f"`{name}` should have dtype {torch.float32}, has {tensor.dtype}")
    if n < 1:
        raise ArgumentError(f"`n` should be at least 1, is {n}")
    if directions < 2 or directions % 2:
        raise ArgumentError(f"`directions` should be an even number, is {directions}")
    inside = -functional.max_pool2d(-measured, 3, 1, 1)
    needs_torch = x.device.type != "cpu" or (torch.is_grad_enabled() and x.requires_grad)
    if needs_torch or x.shape[2] % n or x.shape[3] % n:
        return _energies_in_torch(x, inside, n, directions)
    energies: torch.Tensor = _energies(x.detach().contiguous(), inside.detach().contiguous(), n, directions)
    return energies


@torch.library.custom_op("fer3d::map_orientation", mutates_args=(), device_types="cpu")
def _energies(x: torch.Tensor, inside: torch.Tensor, n: int, directions: int) -> torch.Tensor:
    """The energies on a CPU: one task per scan, on as many threads as torch uses."""
    from fer3d.kernels.map_orientation import energies

    result = x.new_empty(*x.shape[:2], directions, n, n)
    half = torch.tensor(
        [[math.cos(angle), math.sin(angle)] for angle in _angles(directions)[: directions // 2]]
    ).numpy()

    def fill_scan(b: int) -> None:
        energies(x[b].numpy(), inside[b, 0].numpy(), half, result[b].numpy())

    map_on_threads(fill_scan, range(len(x)), torch.get_num_threads())
    return result


@_energies.register_fake
def _(x: Any, inside: Any, n: int, directions: int) -> Any:
    return x.new_empty(*x.shape[:2], directions, n, n)


def _energies_in_torch(x: torch.Tensor, inside: torch.Tensor, n: int, directions: int) -> torch.Tensor:
    """The same energies in torch: for a GPU, for gradients, and for squares that share pixels."""
    right = functional.pad(x[..., 2:] - x[..., :-2], (1, 1)) * inside
    up = functional.pad(x[..., :-2, :] - x[..., 2:, :], (0, 0, 1, 1)) * inside
    steepness = (right.square() + up.square() + 1e-12).sqrt()
    root = steepness.sqrt()
    right, up = right / (root * root.sqrt()), up / (root * root.sqrt())  # |g|^(1 / 4) cos t, and sin t
    shares = [
        averaged((right * math.cos(angle) + up * math.sin(angle)).relu_().square().square(), n)
        for angle in _angles(directions)
    ]
    return _smoothed(_smoothed(torch.stack(shares, dim=2)).mT).mT


def averaged(x: torch.Tensor, n: int) -> torch.Tensor:
    """(B, C, H, W) -> (B, C, n, n): the mean of each square; squares share pixels if H or W is not a multiple of n."""
    height, width = x.shape[-2:]
    if height % n or width % n:
        return functional.adaptive_avg_pool2d(x, n)
    return functional.avg_pool2d(x, (height // n, width // n))


def _smoothed(x: torch.Tensor) -> torch.Tensor:
    """(..., n) -> the same shape: averaged with weights 1, 2, 1 over existing neighbours."""
    wide, there = functional.pad(x, (1, 1)), functional.pad(torch.ones_like(x[..., :1, :]), (1, 1))
    added, weights = (y[..., :-2] + 2 * y[..., 1:-1] + y[..., 2:] for y in (wide, there))
    return added / weights


def _angles(directions: int) -> list[float]:
    return [2 * math.pi * k / directions for k in range(directions)]
