"""Augmentation of a batch of pictures, in shares of the picture: what a network for pictures is trained on.

A picture has no millimetres: its face may be of any size. So a shift is a share of the width, and rotation, change of
size, stretch, mirror and crop make one affine map, with which each picture is sampled once; edge pixels repeat outside.
`draw_pictures` draws the random numbers of the whole batch on the CPU, as `fer3d.data.augment_maps.draw` does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch.nn import functional

from fer3d.config import TrainSettings
from fer3d.data.augment_maps import relight
from fer3d.image.perturb import draw_perturbations, perturb

Draws = Mapping[str, torch.Tensor]

_PERTURB = "perturb_"  # prefix of the names of a perturbation's numbers


def draw_pictures(
    settings: TrainSettings, count: int, size: int, generator: torch.Generator
) -> dict[str, torch.Tensor]:
    """The random numbers for `count` pictures of `size` x `size`.

    Returns:
        mirror (B,) bool; angle (B,) radians, counter-clockwise; scale (B,); share (B, 2), the shift along x and y as a
        share of the width, y down; stretch (B, 2) along x and y; crop (B, 2), the first row and the first
        column of the part that is kept, and side (B,), its rows and columns; gain, bias (B, 3) and gamma (B,) of the
        light. With `settings.perturb`, in place of the first five the numbers of
        `fer3d.image.perturb.draw_perturbations` with the prefix "perturb_" on each name.
    """

    def even(*shape: int) -> torch.Tensor:
        return torch.rand(count, *shape, generator=generator) * 2.0 - 1.0

    side = cropped(size, settings.crop)
    jitter = settings.texture_jitter
    light = {
        "gain": 1.0 + jitter * (0.7 * even(1) + 0.3 * even(3)),  # brightness, then colour
        "bias": 0.5 * jitter * even(1).expand(-1, 3),
        "gamma": torch.exp(even() * jitter),
        "crop": torch.randint(size - side + 1, (count, 2), generator=generator),
        "side": torch.full((count,), side),
    }
    if settings.perturb:
        drawn = draw_perturbations(count, size, generator)
        return light | {_PERTURB + name: part for name, part in drawn.items()}
    return light | {
        "mirror": torch.rand(count, generator=generator) < settings.mirror,
        "angle": even() * math.radians(settings.rotate_deg),
        "scale": torch.exp(even() * math.log1p(settings.scale)),
        "share": even(2) * settings.shift,
        "stretch": torch.exp(even(2) * math.log1p(settings.stretch)),
    }


def cropped(size: int, share: float) -> int:
    """Rows and columns of the part that is kept of a picture: at least one.

    >>> cropped(48, 0.875)
    42
    """
    return max(round(share * size), 1)


def augment_pictures(values: torch.Tensor, draws: Draws, *, grey: bool = False) -> torch.Tensor:
    """Change the light of pictures, move them, and keep a part of each.

    Args:
        values: (B, 3 + 1, H, W) in [0, 1], the mask last.
        draws: The result of `draw_pictures`.
        grey: Whether red, green and blue are equal in all pictures, and stay so.

    Returns:
        (B, 3 + 1, S, S) float32; 0 where unmeasured.
    """
    side = int(draws["side"][0])
    draws = {name: tensor.to(values.device) for name, tensor in draws.items()}
    colours, mask = values[:, : 1 if grey else 3], values[:, 3:]
    gain, bias = draws["gain"], draws["bias"]
    if grey:
        gain, bias = gain.mean(dim=1, keepdim=True), bias[:, :1]
    lit = relight(colours, {"gain": gain, "bias": bias, "gamma": draws["gamma"]})
    whole = bool(mask.all())
    x = lit if whole else torch.cat([lit * mask, mask], dim=1)
    perturbation = {name.removeprefix(_PERTURB): part for name, part in draws.items() if name.startswith(_PERTURB)}
    moved = _kept(perturb(x, perturbation), draws["crop"], side) if perturbation else _moved(x, draws, side)
    if whole:
        return torch.cat([moved.expand(-1, 3, -1, -1), torch.ones_like(moved[:, :1])], dim=1)
    share = moved[:, -1:]  # the interpolated mask
    kept = torch.where(share > 0.5, moved[:, :-1] / share.clamp(min=0.5), 0.0)
    return torch.cat([kept.expand(-1, 3, -1, -1), (share > 0.5).to(kept.dtype)], dim=1)


def _moved(x: torch.Tensor, draws: Draws, side: int) -> torch.Tensor:
    """(B, C, S', S') -> (B, C, S, S): mirror, stretch, rotate, scale, shift, and keep the part that `crop` places.

    Convention: x to the right, y down, from the centre; p -> scale R(angle) stretch mirror p + share * width.
    """
    size = x.shape[-1]
    cos, sin = draws["angle"].cos() / draws["scale"], draws["angle"].sin() / draws["scale"]
    sign = torch.where(draws["mirror"], -1.0, 1.0)
    wide, high = draws["stretch"].unbind(1)
    # rows of the inverse map, from a place in the result to one in the picture; y points down, so the angle is negative
    across = torch.stack([cos, -sin], dim=1) * (sign / wide)[:, None]
    along = torch.stack([sin, cos], dim=1) / high[:, None]
    back = torch.stack([across, along], dim=1)  # (B, 2, 2)
    # `affine_grid` places the centres of S x S pixels from -1 to 1: the part's, which is `side / size` of the picture
    zoom = side / size
    middle = (2.0 * draws["crop"].flip(1) + side) / size - 1.0 - 2.0 * draws["share"]  # (B, 2), of the part
    offset = torch.einsum("bij,bj->bi", back, middle)
    theta = torch.cat([back * zoom, offset[:, :, None]], dim=2)
    grid = functional.affine_grid(theta, [len(x), x.shape[1], side, side], align_corners=False)
    return functional.grid_sample(x, grid, "bilinear", "border", align_corners=False)


def _kept(x: torch.Tensor, places: torch.Tensor, side: int) -> torch.Tensor:
    """(B, C, S', S') -> (B, C, S, S): the part of each picture whose first row and column are `places` (B, 2)."""
    if side == x.shape[-1]:
        return x
    pairs = zip(x, places.tolist(), strict=True)
    return torch.stack([picture[:, row : row + side, column : column + side] for picture, (row, column) in pairs])


def perturb_pictures(values: torch.Tensor, draws: Draws) -> torch.Tensor:
    """Perturb pictures (B, C + 1, S, S), the mask last; unmeasured pixels stay 0.

    Args:
        values: Before or after normalisation, 0 where nothing was measured.
        draws: Random numbers from `fer3d.image.perturb.draw_perturbations`.
    """
    moved = perturb(values, draws)
    share = moved[:, -1:]  # the interpolated mask
    kept = torch.where(share > 0.5, moved[:, :-1] / share.clamp(min=0.5), 0.0)
    return torch.cat([kept, (share > 0.5).to(moved.dtype)], dim=1)
