"""Orientation energy of channels on a surface around each vertex: fixed filters, computed from gradients."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from fer3d.checks import check_shape
from fer3d.errors import ArgumentError
from fer3d.workers import map_on_threads

BOUNDARY = 0.5  # standard deviation of the window, in radii of the patch


def patch_orientation(
    x: torch.Tensor,
    indices: torch.Tensor,
    weights: torch.Tensor,
    angle: torch.Tensor,
    distances: Sequence[Sequence[float]],
    directions: int = 8,
) -> torch.Tensor:
    """Orientation energy in geodesic polar patches: histograms of oriented gradients [1], on a surface.

    In the patch of vertex v, the gradient g of a channel at a bin is computed from the previous and the next bin on its
    ray (the centre precedes the first bin; for the last bin, the bin itself is the next) and from the bins on the two
    neighbouring rays. With t the angle of g, direction k of K gets |g| max(0, cos(t - 2 pi k / K))^4, averaged over the
    bins of the patch with weights d exp(-d^2 / (2 (BOUNDARY D)^2)), d being the bin's distance and D the largest: area
    times a window. A bin counts if all bins that it needs were measured; a patch without such bins has energy 0. The
    window and the power are our choice.

    Args:
        x: (B, N, C) float32. Row v is the centre of patch v, as in a `SampleTree`.
        indices: (B, V, S, R, A, 3) int32, V at most N and A at least 3, as `SampleTree.indices`.
        weights: Of the same shape, float32. A bin whose weights are all 0 was not measured.
        angle: (B, V) float32, radians: direction 0, counter-clockwise from ray 0.
        distances: (S, R) mm: ring distances of each radius, ascending.
        directions: K, even.

    Returns:
        (B, V, S, C, K) float32, in units of x per mm. No gradients flow, as the op is meant for data, not features.

    Raises:
        ArgumentError: if a shape, a dtype or the distances are wrong, or on a CPU `indices` holds no row of x.

    References:
        .. [1] Dalal, Triggs. Histograms of oriented gradients for human detection. CVPR 2005.
    """
    check_shape("x", x, ("B", "N", "C"))
    check_shape("indices", indices, (x.shape[0], "V", "S", "R", "A", 3))
    check_shape("weights", weights, tuple(indices.shape))
    check_shape("angle", angle, tuple(indices.shape[:2]))
    for name, tensor in (("x", x), ("indices", indices), ("weights", weights), ("angle", angle)):
        wanted = torch.int32 if name == "indices" else torch.float32
        if tensor.dtype != wanted:
            raise ArgumentError(f"`{name}` should have dtype {wanted}, has {tensor.dtype}")
    _, V, S, R, A, _ = indices.shape
    if x.shape[1] < V or A < 3:
        raise ArgumentError(f"`indices` should have at most {x.shape[1]} patches of 3 or more rays, has {V} of {A}")
    rows = [list(row) for row in distances]
    if [len(row) for row in rows] != [R] * S or any(
        not a < b for row in rows for a, b in zip([0.0, *row], row, strict=False)
    ):
        raise ArgumentError(f"`distances` should be {S} times {R} ascending distances, is {rows}")
    if directions < 2 or directions % 2:
        raise ArgumentError(f"`directions` should be an even number, is {directions}")
    flat = [distance for row in rows for distance in row]
    x, angle = x.detach().contiguous(), angle.detach().contiguous()
    energies: torch.Tensor = _energies(x, indices.contiguous(), weights.contiguous(), angle, flat, directions)
    return energies


@torch.library.custom_op("fer3d::patch_orientation", mutates_args=(), device_types="cpu")
def _energies(
    x: torch.Tensor,
    indices: torch.Tensor,
    weights: torch.Tensor,
    angle: torch.Tensor,
    distances: list[float],
    directions: int,
) -> torch.Tensor:
    """The energies on a CPU: one task per scan, on as many threads as torch uses."""
    from fer3d.kernels.patch_orientation import energies

    S, R = indices.shape[2:4]
    along = torch.tensor(distances).view(S, R)
    result = x.new_empty(*indices.shape[:3], x.shape[2], directions)
    fixed = (along.numpy(), _window(along).numpy(), _directions(directions, x)[: directions // 2].numpy())

    def fill_scan(b: int) -> bool:
        scan = (part[b].numpy() for part in (x, indices, weights, angle))
        return bool(energies(*scan, *fixed, result[b].numpy()))  # type: ignore[call-arg]  # numba's call takes anything

    succeeded = map_on_threads(fill_scan, range(len(x)), torch.get_num_threads())
    if not all(succeeded):
        raise ArgumentError(
            f"`indices` should hold rows in [0, {x.shape[1]}), scan {succeeded.index(False)} has others"
        )
    return result


@_energies.register_fake
def _(x: Any, indices: Any, weights: Any, angle: Any, distances: list[float], directions: int) -> Any:
    return x.new_empty(*indices.shape[:3], x.shape[2], directions)


@_energies.register_kernel("cuda")
def _energies_in_torch(
    x: torch.Tensor,
    indices: torch.Tensor,
    weights: torch.Tensor,
    angle: torch.Tensor,
    distances: list[float],
    directions: int,
) -> torch.Tensor:
    """The same energies in torch, one radius at a time; memory for some ten copies of its patches."""
    V, S, R, A, _ = indices.shape[1:]
    along = torch.tensor(distances, device=x.device).view(S, R)
    turn = torch.arange(A, device=x.device) * (2 * math.pi / A) - angle[..., None]  # (B, V, A)
    cos, sin = turn.cos()[:, :, None, :, None], turn.sin()[:, :, None, :, None]
    scans = torch.arange(len(x), device=x.device)[:, None, None, None]
    window, results = _window(along), []
    for s in range(S):
        bins = sum(x[scans, indices[:, :, s, ..., k].long()] * weights[:, :, s, ..., k, None] for k in range(3))
        assert isinstance(bins, torch.Tensor)
        there = (weights[:, :, s].sum(-1) > 0.5).float()  # (B, V, R, A)
        patch = torch.cat([x[:, :V, None, None].expand(-1, -1, 1, A, -1), bins], dim=2)  # (B, V, R + 1, A, C)
        beyond = torch.arange(2, R + 2, device=x.device).clamp(max=R)
        spans = along[s, beyond - 1] - torch.cat([along.new_zeros(1), along[s, :-1]])
        outwards = (patch[:, :, beyond] - patch[:, :, :R]) / spans[:, None, None]
        sideways = (bins.roll(-1, 3) - bins.roll(1, 3)) / (4 * math.pi / A * along[s, :, None, None])
        inside = torch.cat([torch.ones_like(there[:, :, :1]), there], dim=2)
        share = inside[:, :, beyond] * inside[:, :, :R] * there * there.roll(1, 3) * there.roll(-1, 3)
        share = (share * window[s, :, None])[..., None]
        first, second = outwards * cos - sideways * sin, outwards * sin + sideways * cos
        steepness = (first * first + second * second + 1e-12).sqrt()
        root = (steepness * steepness.sqrt()).rsqrt()
        first, second = first * root, second * root
        sums = [
            (share * (first * a + second * b).relu_().square().square()).sum((2, 3))
            for a, b in _directions(directions, x).unbind()
        ]
        total = share.sum((2, 3))[..., None]
        results.append(torch.stack(sums, dim=-1) / torch.where(total > 0, total, 1.0))
    return torch.stack(results, dim=2)


def _window(distances: torch.Tensor) -> torch.Tensor:
    """(S, R) ring distances -> (S, R) weights of the bins."""
    return distances * torch.exp(-0.5 * (distances / (BOUNDARY * distances[:, -1:])) ** 2)


def _directions(count: int, like: torch.Tensor) -> torch.Tensor:
    """(K, 2): cosine and sine of each direction."""
    angles = torch.arange(count, device=like.device, dtype=like.dtype) * (2 * math.pi / count)
    return torch.stack([angles.cos(), angles.sin()], dim=1)
