"""Random changes of a batch of maps that keep the geometry true: a turned face has turned normals.

All work on a whole batch on its device, in the physical units of `fer3d.channels.stack_channels`, before
normalisation. Random numbers come in as a table drawn on the CPU for the whole batch (`draw`), so that the same seed
gives the same change on every device, and on any number of processes that share a batch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch.nn import functional

from fer3d.channels import INPUT_CHANNELS
from fer3d.config import TrainSettings

Draws = Mapping[str, torch.Tensor]


def draw(settings: TrainSettings, count: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
    """The random numbers for `count` scans.

    Returns:
        mirror (B,) bool; angle (B,) radians, counter-clockwise; scale (B,); shift (B, 2) mm, x and y; tilt (B, 2)
        slopes that are added along x and y; offset (B,) mm along z; gain, bias (B, 3) and gamma (B,) of the texture.
    """

    def even(*shape: int) -> torch.Tensor:
        return torch.rand(count, *shape, generator=generator) * 2.0 - 1.0

    return {
        "mirror": torch.rand(count, generator=generator) < settings.mirror,
        "angle": even() * math.radians(settings.rotate_deg),
        "scale": torch.exp(even() * math.log1p(settings.scale)),
        "shift": even(2) * settings.shift_mm,
        "tilt": even(2) * math.tan(math.radians(settings.tilt_deg)),
        "offset": even() * settings.depth_jitter_mm,
        "gain": 1.0 + settings.texture_jitter * (0.7 * even(1) + 0.3 * even(3)),  # light, then its colour
        "bias": 0.5 * settings.texture_jitter * even(1).expand(-1, 3),
        "gamma": torch.exp(even() * settings.texture_jitter),
    }


def augment(
    channels: Sequence[str], values: torch.Tensor, draws: Draws, pixel: float, *, linear: bool = True
) -> torch.Tensor:
    """Mirror, turn, scale, shift and tilt each face, move it along z, and change its light.

    Convention: first the mirror (x -> -x), then p -> scale * R(angle) p + shift in the plane of the map, x to the
    right and y up; depth is scaled with it and curvedness by 1 / scale. Then the tilt adds slope . (x, y) to the depth:
    a shear, to first order what a turn of the head does, with normals exactly those of the sheared surface.

    Args:
        channels: C names.
        values: (B, C + 1, H, W) in physical units, the mask last.
        draws: As `draw` gives them, (B, ...) each.
        pixel: Width of a pixel, mm.
        linear: Whether to interpolate; else the nearest pixel.

    Returns:
        (B, C + 1, H, W) float32. Pixels that come from outside the map or from unmeasured ones are not measured: 0.
    """
    draws = {name: tensor.to(values.device) for name, tensor in draws.items()}
    warped = _warp(values.float(), draws, pixel, linear)
    mask = warped[:, -1:] > 0.5
    warped = torch.where(mask, warped / warped[:, -1:].clamp(min=0.5), 0.0)
    if "normal_x" in channels:
        start = channels.index("normal_x")
        warped[:, start : start + 3] = _turn_normals(warped[:, start : start + 3], draws)
    if "depth" in channels:
        depth = warped[:, channels.index("depth")]
        warped[:, channels.index("depth")] = depth * _each(draws["scale"], 3) + _plane(draws, depth.shape, pixel)
    if "curvedness" in channels:
        warped[:, channels.index("curvedness")] /= _each(draws["scale"], 3)
    if "red" in channels:
        start = channels.index("red")
        end = start + len(INPUT_CHANNELS["texture"])
        warped[:, start:end] = _relight(warped[:, start:end], draws)
    return torch.cat([warped[:, :-1] * mask, mask.to(warped.dtype)], dim=1)


def _warp(values: torch.Tensor, draws: Draws, pixel: float, linear: bool) -> torch.Tensor:
    """Values at the places where the pixels of the result come from."""
    height, width = values.shape[-2:]
    cos, sin = draws["angle"].cos() / draws["scale"], draws["angle"].sin() / draws["scale"]
    sign = torch.where(draws["mirror"], -1.0, 1.0)
    ratio = height / width
    # grid_sample runs x to the right and y *down*, both from -1 to 1 over the map
    x, y = draws["shift"][:, 0] * 2 / (width * pixel), -draws["shift"][:, 1] * 2 / (height * pixel)
    top = torch.stack([cos, -sin * ratio, -cos * x + sin * ratio * y], dim=1) * sign[:, None]
    low = torch.stack([sin / ratio, cos, -sin / ratio * x - cos * y], dim=1)
    grid = functional.affine_grid(torch.stack([top, low], dim=1), list(values.shape), align_corners=False)
    return functional.grid_sample(values, grid, "bilinear" if linear else "nearest", "zeros", align_corners=False)


def _turn_normals(normals: torch.Tensor, draws: Draws) -> torch.Tensor:
    """(B, 3, H, W) mirrored, turned and sheared like the surface, unit length again."""
    sign = _each(torch.where(draws["mirror"], -1.0, 1.0), 3)
    cos, sin = _each(draws["angle"].cos(), 3), _each(draws["angle"].sin(), 3)
    x, y, z = normals.unbind(1)
    x = sign * x
    x, y = cos * x - sin * y, sin * x + cos * y
    x, y = x - _each(draws["tilt"][:, 0], 3) * z, y - _each(draws["tilt"][:, 1], 3) * z
    return functional.normalize(torch.stack([x, y, z], dim=1), dim=1)


def _plane(draws: Draws, shape: Sequence[int], pixel: float) -> torch.Tensor:
    """(B, H, W): what the tilt and the offset add to the depth, mm."""
    height, width = shape[-2:]
    device = draws["tilt"].device
    x = (torch.arange(width, device=device) - (width - 1) / 2) * pixel
    y = ((height - 1) / 2 - torch.arange(height, device=device)) * pixel
    tilt, offset = draws["tilt"], draws["offset"]
    return tilt[:, 0, None, None] * x + tilt[:, 1, None, None] * y[:, None] + _each(offset, 3)


def _relight(texture: torch.Tensor, draws: Draws) -> torch.Tensor:
    """(B, 3, H, W) in [0, 1] under another light: gamma, gain, bias."""
    lit = texture.clamp(min=1e-4) ** _each(draws["gamma"], 4)
    return (lit * draws["gain"][:, :, None, None] + draws["bias"][:, :, None, None]).clamp(0.0, 1.0)


def _each(numbers: torch.Tensor, dimensions: int) -> torch.Tensor:
    """(B,) -> (B, 1, ...): one number a scan."""
    return numbers.reshape(-1, *[1] * (dimensions - 1))
