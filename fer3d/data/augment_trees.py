"""Augmentation of a batch of surfaces with consistent geometry: bending a face also changes its normals.

The counterpart of `fer3d.data.augment_maps` for sample trees, in the same frame and with the same settings. Stencils do
not change: the changes are smooth and small, so geodesics move with the surface to first order.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch.nn import functional

from fer3d.config import TrainSettings
from fer3d.data.augment_maps import KNOTS
from fer3d.data.tree_batch import TreeBatch, mirror
from fer3d.maps.standard import CURVATURE

_REACH = 90.0  # mm: the bend is defined on [-_REACH, _REACH]
_STEP = 0.5  # mm, step of the finite differences from which normals are computed


def draw(settings: TrainSettings, count: int, vertices: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
    """The random numbers for `count` scans of `vertices` vertices.

    Returns:
        mirror (B,) bool; linear (B, 3, 3), a scale and a stretch along x, y and z followed by a rotation about x, y and
        z; shift (B, 3) mm; size (B,), the mean stretch; bend (B, 3, K, K) mm; noise (B, N, 3) mm, if there is any.
    """

    def even(*shape: int) -> torch.Tensor:
        return torch.rand(count, *shape, generator=generator) * 2.0 - 1.0

    draws = {"mirror": torch.rand(count, generator=generator) < settings.mirror}
    limits = torch.tensor([settings.tilt_deg, settings.tilt_deg, settings.rotate_deg]) * (math.pi / 180)
    turn = _rotation(even(3) * limits)
    stretch = torch.exp(even(1) * math.log1p(settings.scale) + even(3) * math.log1p(settings.stretch))
    draws["linear"] = turn * stretch[:, None]  # first the stretch, then the rotation
    draws["size"] = stretch.prod(dim=1) ** (1 / 3)
    draws["shift"] = even(3) * torch.tensor([settings.shift_mm, settings.shift_mm, settings.depth_jitter_mm])
    draws["bend"] = even(3, KNOTS, KNOTS) * settings.bend_mm
    if settings.noise_mm:
        draws["noise"] = torch.randn(count, vertices, 3, generator=generator) * settings.noise_mm
    return draws


def augment(batch: TreeBatch, draws: Mapping[str, torch.Tensor]) -> TreeBatch:
    """Mirror, stretch, rotate, shift and bend each face, and add noise to its vertices.

    Convention: after the mirror, f(p) = L p + t + b(p), b smooth in x and y. Normals are those of the changed surface.
    Curvatures are divided by the mean stretch, the Gaussian curvature by its square; the shape index does not change.
    This is exact for a change of size and holds to first order for the other changes. The noise changes positions only.

    Args:
        batch: A batch in physical units.
        draws: Random numbers from `draw`, (B, ...) each.
    """
    draws = {name: tensor.to(batch.values.device) for name, tensor in draws.items()}
    batch = mirror(batch, draws["mirror"])

    def moved(points: torch.Tensor) -> torch.Tensor:
        return points @ draws["linear"].mT + draws["shift"][:, None] + _bend(draws["bend"], points)

    places = moved(batch.positions)
    aside = functional.one_hot(batch.normals.abs().argmin(dim=-1), 3).to(places.dtype)  # far from the normal
    first = functional.normalize(torch.linalg.cross(batch.normals, aside), dim=-1)
    second = torch.linalg.cross(batch.normals, first)
    across, along = (moved(batch.positions + _STEP * tangent) - places for tangent in (first, second))
    normals = functional.normalize(torch.linalg.cross(across, along), dim=-1)
    normals = torch.where((batch.normals != 0).any(dim=-1, keepdim=True), normals, 0.0)  # padding rows stay 0
    if "noise" in draws:
        places = places + draws["noise"]
    powers = torch.tensor([float(-channel.power) for channel in CURVATURE.stored])
    values = batch.values / draws["size"][:, None, None] ** powers.to(places.device)
    return batch._replace(values=values, positions=places, normals=normals)


def _bend(bend: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    """(B, N, 3) mm: the displacement at each point, interpolated from the knots."""
    if not bool(bend.any()):
        return torch.zeros_like(points)
    grid = (points[..., :2] / _REACH)[:, :, None]  # (B, N, 1, 2)
    displacement = functional.grid_sample(bend, grid, "bicubic", "border", align_corners=True)  # (B, 3, N, 1)
    return displacement[..., 0].mT


def _rotation(angles: torch.Tensor) -> torch.Tensor:
    """(B, 3) radians about x, y and z -> rotation matrices (B, 3, 3) that rotate about x first."""
    rotation = torch.eye(3).expand(len(angles), 3, 3)
    for axis in range(3):
        first, second = (axis + 1) % 3, (axis + 2) % 3
        cos, sin = angles[:, axis].cos(), angles[:, axis].sin()
        turn = torch.zeros(len(angles), 3, 3)
        turn[:, axis, axis] = 1.0
        turn[:, first, first], turn[:, second, second] = cos, cos
        turn[:, first, second], turn[:, second, first] = -sin, sin
        rotation = turn @ rotation
    return rotation
