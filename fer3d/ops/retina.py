"""Gaussian footprints of human-vision-inspired pooling, and convolution with kernels whose bins they are.

A bin of a retina pools the samples of a geodesic polar stencil around it with the weights of a Gaussian that is fixed
and grows with eccentricity. Pooling and kernel are linear, so that they are one kernel on the stencil itself
(`spread_kernel`): the pooled patches are never stored, and the maximum over rotations is taken over every ray of the
stencil, not only over those of the bins.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from fer3d.checks import check_shape
from fer3d.errors import ArgumentError

RINGS = (0.25, 0.5, 1.0)  # of the bins, in radii of the patch: each twice as far out as the one before
SPREAD = 0.5  # standard deviation of a footprint, in distances of its bin from the centre
_CUT = 2.0  # standard deviations beyond which a footprint is 0
_ROUNDING = 1e-9  # a sample just there is inside, whatever its ray


def retina_footprints(
    stencil: Sequence[float], rays: int, *, rings: Sequence[float] = RINGS, bins: int = 8
) -> torch.Tensor:
    """The share of each sample of a polar stencil in each bin of a retina.

    Bin (i, j) lies on ring i at ray j of `bins`. The weight of a sample at distance d from it, measured in the tangent
    plane, is A exp(-d^2 / (2 s^2)) up to d = 2 s, else 0; s = `SPREAD` times the distance of the bin from the centre,
    so that footprints grow with eccentricity, and A the area that the sample stands for, as samples crowd near the
    centre. The footprints of the outermost ring end with the stencil. That there is a retina layout is of the paper
    [1]; Gaussians, rings, spread and cut are our reconstruction.

    Args:
        stencil: R ring distances of the stencil, as fractions of the radius of the patch, ascending.
        rays: Rays of the stencil, a multiple of `bins`.
        rings: I ring distances of the bins, as fractions of the radius.
        bins: Bins of each ring, J.

    Returns:
        (I, J, R, rays) float32, which sum to 1 over the last two dimensions. A stencil turned by rays / J rays is the
        same with its bins turned by one.

    Raises:
        ArgumentError: if `bins` does not divide `rays`, a distance is wrong, or a bin covers no sample.

    References:
        [1] Chen, Huang, Wang, Chen. Fast and Light Manifold CNN based 3D Facial Expression Recognition across Pose
            Variations. ACM Multimedia 2018.
    """
    _check_rays(rays, bins)
    for name, values in (("stencil", stencil), ("rings", rings)):
        if not values or any(not a < b for a, b in zip([0.0, *values], values, strict=False)):
            raise ArgumentError(f"`{name}` should hold ascending distances above zero, holds {list(values)}")
    samples, centres = _places(stencil, rays), _places(rings, bins)  # (R, A, 2), (I, J, 2)
    away = np.linalg.norm(centres[:, :, None, None] - samples, axis=-1)  # (I, J, R, A)
    spread = SPREAD * np.array(rings)[:, None, None, None]
    weights = _areas(stencil)[:, None] * np.exp(-0.5 * (away / spread) ** 2) * (away < _CUT * spread + _ROUNDING)
    total = weights.sum(axis=(2, 3), keepdims=True)
    for ring, covered in zip(rings, (total > 0).all(axis=(1, 2, 3)), strict=True):
        if not covered:
            raise ArgumentError(f"`stencil` {list(stencil)} has no sample in the bins of the ring at {ring}")
    return torch.from_numpy((weights / total).astype(np.float32))  # also where torch makes tensors on another device


def single_samples(stencil: int, rays: int, taken: Sequence[int], *, bins: int = 8) -> torch.Tensor:
    """The same shares without pooling: each bin is one sample of the stencil.

    Args:
        stencil: Number of rings of the stencil, R.
        rays: Rays of the stencil, a multiple of `bins`.
        taken: The I rings of the stencil that are those of the bins.
        bins: Bins of each ring, J.

    Returns:
        (I, J, R, rays) float32.

    Raises:
        ArgumentError: if `bins` does not divide `rays`, or `taken` holds no ring of the stencil.
    """
    _check_rays(rays, bins)
    if not taken or any(not 0 <= ring < stencil for ring in taken):
        raise ArgumentError(f"`taken` should hold rings in [0, {stencil}), holds {list(taken)}")
    shares = np.zeros((len(taken), bins, stencil, rays), np.float32)
    for i, ring in enumerate(taken):
        for j in range(bins):
            shares[i, j, ring, j * (rays // bins)] = 1.0
    return torch.from_numpy(shares)


def spread_kernel(kernel: torch.Tensor, footprints: torch.Tensor) -> torch.Tensor:
    """The kernel on a stencil that does the same as pooling with footprints and then the kernel on the bins.

    Args:
        kernel: (I, J, C, O).
        footprints: (I, J, R, A), see `retina_footprints`.

    Returns:
        (R, A, C, O), the kernel argument of `fer3d.ops.manifold_conv`. Gradients flow to `kernel`.

    Raises:
        ArgumentError: if the shapes do not fit each other.
    """
    check_shape("kernel", kernel, (*footprints.shape[:2], "C", "O"))
    check_shape("footprints", footprints, ("I", "J", "R", "A"))
    (_, _, C, O), (_, _, R, A) = kernel.shape, footprints.shape  # noqa: E741
    return (footprints.flatten(0, 1).flatten(1).T @ kernel.flatten(0, 1).flatten(1)).view(R, A, C, O)


def _check_rays(rays: int, bins: int) -> None:
    if bins < 1 or rays < 1 or rays % bins:
        raise ArgumentError(f"`bins` should divide the {rays} rays of the stencil, is {bins}")


def _places(rings: Sequence[float], rays: int) -> NDArray[np.float64]:
    """(R, A, 2): places of polar samples in the tangent plane."""
    angles = np.arange(rays) * (2.0 * np.pi / rays)
    places: NDArray[np.float64] = np.multiply.outer(rings, np.stack([np.cos(angles), np.sin(angles)], axis=-1))
    return places


def _areas(rings: Sequence[float]) -> NDArray[np.float64]:
    """(R,): in proportion to the area of the annulus of each ring, whose borders lie half-way between rings."""
    edges = np.array([0.0, *rings, 2.0 * rings[-1] - (rings[-2] if len(rings) > 1 else 0.0)])
    return np.diff(((edges[1:] + edges[:-1]) / 2.0) ** 2)
