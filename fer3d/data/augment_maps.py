"""Augmentation of a batch of maps with consistent geometry: rotating a face also rotates its normals.

All functions work on a whole batch on its device, in the physical units of `fer3d.data.channels.stack_channels`, before
normalisation. `draw` draws the random numbers of the whole batch on the CPU, so that the same seed gives the same
change on every device and for any number of processes that share a batch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch.nn import functional

from fer3d.config import TrainSettings
from fer3d.maps.groups import MapGroup
from fer3d.maps.registry import fed_groups

Draws = Mapping[str, torch.Tensor]

KNOTS = 5  # knots of the bend along each side: 45 mm apart on maps of 180 mm, wider than what an expression moves


def draw(settings: TrainSettings, count: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
    """The random numbers for `count` scans.

    Returns:
        mirror (B,) bool; angle (B,) radians, counter-clockwise; scale (B,); shift (B, 2) mm, x and y; tilt (B, 2),
        slopes to add along x and y; offset (B,) mm along z; gain, bias (B, 3) and gamma (B,) of the texture; stretch
        (B, 3) along x, y and z; bend (B, 3, K, K) mm, a smooth displacement given at K x K knots.
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
        "gain": 1.0 + settings.texture_jitter * (0.7 * even(1) + 0.3 * even(3)),  # brightness, then colour
        "bias": 0.5 * settings.texture_jitter * even(1).expand(-1, 3),
        "gamma": torch.exp(even() * settings.texture_jitter),
        "stretch": torch.exp(even(3) * math.log1p(settings.stretch)),
        "bend": even(3, KNOTS, KNOTS) * settings.bend_mm,
    }


def unchanged(count: int) -> dict[str, torch.Tensor]:
    """Values of the numbers of `draw` that leave `count` scans unchanged."""
    return {
        "mirror": torch.zeros(count, dtype=torch.bool),
        "angle": torch.zeros(count),
        "scale": torch.ones(count),
        "shift": torch.zeros(count, 2),
        "tilt": torch.zeros(count, 2),
        "offset": torch.zeros(count),
        "gain": torch.ones(count, 3),
        "bias": torch.zeros(count, 3),
        "gamma": torch.ones(count),
        "stretch": torch.ones(count, 3),
        "bend": torch.zeros(count, 3, KNOTS, KNOTS),
    }


def augment(
    channels: Sequence[str],
    values: torch.Tensor,
    draws: Draws,
    pixel: float,
    *,
    linear: bool = True,
    light: bool = True,
) -> torch.Tensor:
    """Mirror, stretch, rotate, scale, shift, tilt and bend each face, move it along z, and change its light.

    Convention: first the mirror (x -> -x) and the stretch, then p -> scale * R(angle) p + shift in the plane of the
    map, x to the right and y up; depth is scaled too. Then the bend, a smooth b, moves the point at p + b(p) to p and
    adds b_z(p) to the depth. Finally the tilt adds slope . (x, y) to the depth: a shear, which approximates a rotation
    of the head to first order. Stretch and bend turn a face into a different face, for sets of few people (our choice).
    Normals are exactly those of the changed surface. A quantity whose unit is a power of length is multiplied by the
    same power of scale and mean stretch; curvatures, for instance, are divided by them. This is exact for a change of
    size and holds to first order for the other changes. `MapGroup.kind` says which of these changes a group needs.

    Args:
        channels: C names.
        values: (B, C + 1, H, W) in physical units, the mask last.
        draws: Random numbers from `draw`, (B, ...) each.
        pixel: Width of a pixel, mm.
        linear: Whether to interpolate linearly; otherwise the nearest pixel is taken.
        light: Whether to change the light of textures; otherwise they may be standardised already.

    Returns:
        (B, C + 1, H, W) float32. Pixels taken from outside the map or from unmeasured pixels are unmeasured: 0.
    """
    draws = {name: tensor.to(values.device) for name, tensor in draws.items()}
    bend = _bend(draws, values.shape[-2:], pixel)
    warped = _warp(values.float(), draws, bend, pixel, linear)
    mask = warped[:, -1:] > 0.5
    warped = torch.where(mask, warped / warped[:, -1:].clamp(min=0.5), 0.0)
    for group, place in fed_groups(channels):
        if light or group.kind != "colour":
            _change(group, warped[:, place], draws, bend, pixel)
    return torch.cat([warped[:, :-1] * mask, mask.to(warped.dtype)], dim=1)


def _change(group: MapGroup, values: torch.Tensor, draws: Draws, bend: torch.Tensor | None, pixel: float) -> None:
    """Convert the channels of one group, (B, C, H, W), already resampled, to those of the changed face, in place."""
    if group.kind == "normal":
        values.copy_(_turn_normals(values, draws, bend, pixel))
    elif group.kind == "colour":
        values.copy_(relight(values, draws))
    elif group.kind == "height":
        height = values[:, 0] * _each(draws["scale"] * draws["stretch"][:, 2], 3) + _plane(draws, values.shape, pixel)
        values[:, 0] = height if bend is None else height + bend[:, 2]
    else:
        _scale(group, values, draws)


def _scale(group: MapGroup, values: torch.Tensor, draws: Draws) -> None:
    """Multiply each channel, in (B, C, H, W), by its sign under the mirror and its factor for the change of size."""
    size = draws["scale"] * draws["stretch"].prod(dim=1) ** (1 / 3)
    for channel, part in zip(group.fed, values.unbind(1), strict=True):
        if channel.mirror < 0:
            part *= _each(torch.where(draws["mirror"], -1.0, 1.0), 3)
        if channel.power < 0:
            part /= _each(size**-channel.power, 3)
        elif channel.power > 0:
            part *= _each(size**channel.power, 3)


def _bend(draws: Draws, shape: Sequence[int], pixel: float) -> torch.Tensor | None:
    """(B, 3, H, W) mm: the displacement b at each pixel, interpolated smoothly between the knots; None if all is 0."""
    if not draws["bend"].any():
        return None
    return functional.interpolate(draws["bend"], tuple(shape), mode="bicubic", align_corners=True)


def _warp(values: torch.Tensor, draws: Draws, bend: torch.Tensor | None, pixel: float, linear: bool) -> torch.Tensor:
    """Resample the values at the source position of each pixel of the result."""
    height, width = values.shape[-2:]
    # in grid_sample x points right and y *down*, both from -1 to 1 over the map
    unit = torch.tensor([2 / (width * pixel), -2 / (height * pixel)], device=values.device)
    x = (torch.arange(width, device=values.device) - (width - 1) / 2) * pixel
    y = ((height - 1) / 2 - torch.arange(height, device=values.device)) * pixel
    place = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)  # (H, W, 2) mm
    here = place - draws["shift"][:, None, None]
    if bend is not None:
        here = here + bend[:, :2].permute(0, 2, 3, 1)
    cos, sin = draws["angle"].cos() / draws["scale"], draws["angle"].sin() / draws["scale"]
    sign = torch.where(draws["mirror"], -1.0, 1.0)
    across = torch.stack([cos, sin], dim=1) * (sign / draws["stretch"][:, 0])[:, None]
    along = torch.stack([-sin, cos], dim=1) / draws["stretch"][:, 1:2]
    source = torch.einsum("bhwi,bji->bhwj", here, torch.stack([across, along], dim=1))
    return functional.grid_sample(
        values, source * unit, "bilinear" if linear else "nearest", "zeros", align_corners=False
    )


def _turn_normals(normals: torch.Tensor, draws: Draws, bend: torch.Tensor | None, pixel: float) -> torch.Tensor:
    """Normals (B, 3, H, W), mirrored, stretched, rotated, sheared and bent like the surface, of unit length."""
    sign = torch.where(draws["mirror"], -1.0, 1.0)
    cos, sin = _each(draws["angle"].cos(), 3), _each(draws["angle"].sin(), 3)
    x, y, z = (part / _each(draws["stretch"][:, k], 3) for k, part in enumerate(normals.unbind(1)))
    x = _each(sign, 3) * x
    x, y = cos * x - sin * y, sin * x + cos * y
    if bend is not None:
        down, across = torch.gradient(bend, spacing=pixel, dim=(2, 3))
        # z'(p) = z(p + b(p)) + b_z(p), so its slopes are (1 + db/dp)^T times those of z, plus those of b_z
        x, y = (
            x + across[:, 0] * x + across[:, 1] * y - across[:, 2] * z,
            y - down[:, 0] * x - down[:, 1] * y + down[:, 2] * z,
        )
    x, y = x - _each(draws["tilt"][:, 0], 3) * z, y - _each(draws["tilt"][:, 1], 3) * z
    return torch.stack([x, y, z], dim=1) / (x * x + y * y + z * z).sqrt().clamp(min=1e-12)[:, None]


def _plane(draws: Draws, shape: Sequence[int], pixel: float) -> torch.Tensor:
    """(B, H, W) mm: the sum of tilt and offset, which is added to the depth."""
    height, width = shape[-2:]
    device = draws["tilt"].device
    x = (torch.arange(width, device=device) - (width - 1) / 2) * pixel
    y = ((height - 1) / 2 - torch.arange(height, device=device)) * pixel
    tilt, offset = draws["tilt"], draws["offset"]
    return tilt[:, 0, None, None] * x + tilt[:, 1, None, None] * y[:, None] + _each(offset, 3)


def relight(texture: torch.Tensor, draws: Draws) -> torch.Tensor:
    """A texture (B, C, H, W) in [0, 1] under changed light: gamma (B,), then gain and bias, (B, C) each."""
    lit = texture.clamp(min=1e-4) ** _each(draws["gamma"], 4)
    return (lit * draws["gain"][:, :, None, None] + draws["bias"][:, :, None, None]).clamp(0.0, 1.0)


def _each(numbers: torch.Tensor, dimensions: int) -> torch.Tensor:
    """(B,) -> (B, 1, ...): one number per scan."""
    return numbers.reshape(-1, *[1] * (dimensions - 1))
