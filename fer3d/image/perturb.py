"""Random perturbation after Yu and Zhang [1]: augments pictures in training, and averages predictions at test.

[x'; y'] = c R(theta) [[1, s1], [s2, 1]] [x - t1; y - t2], then a mirror image at random. Each number is drawn from a
few values, which we recall without a check: theta is -10, 0 or 10 degrees; s1 and s2 are each -0.1, 0 or 0.1; a shift
delta is 0 to 4 of 48 pixels, c = 47 / (47 - delta), and t1 and t2 are each 0 or delta. So c and t crop a square of
48 - delta pixels at a corner and scale it to 48. Our choice: rotation and skew keep the centre of the picture fixed.

References:
    .. [1] Yu, Zhang. Image based static facial expression recognition with multiple deep network learning. ICMI 2015.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch.nn import functional

from fer3d.checks import check_range, check_shape
from fer3d.errors import ArgumentError

Draws = Mapping[str, torch.Tensor]

ANGLES = (-math.pi / 18, 0.0, math.pi / 18)
SKEWS = (-0.1, 0.0, 0.1)
LARGEST_CUT = 4 / 48  # of the width
MIRRORED = 0.5


def draw_perturbations(count: int, size: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
    """Random numbers for `count` pictures of `size` x `size`, on the CPU.

    Returns:
        angle (B,) radians, clockwise in the picture; skew (B, 2); cut (B,) pixels, integers; shift (B, 2), x and y,
        each 0 or `cut`; mirror (B,) bool.

    Raises:
        ArgumentError: if `size` is less than 2.
    """
    check_range("size", size, 2, 65_536, "pixels")

    def one_of(values: tuple[float, ...], *shape: int) -> torch.Tensor:
        return torch.tensor(values)[torch.randint(len(values), (count, *shape), generator=generator)]

    cut = torch.randint(round(LARGEST_CUT * size) + 1, (count,), generator=generator).float()
    return {
        "angle": one_of(ANGLES),
        "skew": one_of(SKEWS, 2),
        "cut": cut,
        "shift": one_of((0.0, 1.0), 2) * cut[:, None],
        "mirror": torch.rand(count, generator=generator) < MIRRORED,
    }


def perturb(pictures: torch.Tensor, draws: Draws) -> torch.Tensor:
    """Crop, rotate, skew and mirror the pictures, in that order; bilinear, and edge pixels repeat outside.

    Args:
        pictures: (B, C, S, S).
        draws: The result of `draw_perturbations`.

    Returns:
        (B, C, S, S).

    Raises:
        ArgumentError: if the shape is wrong.
    """
    check_shape("pictures", pictures, ("B", "C", "S", "S"))
    size = pictures.shape[-1]
    if pictures.shape[-2] != size:
        raise ArgumentError(f"`pictures` should be square, are {tuple(pictures.shape[-2:])}")
    check_shape("angle", draws["angle"], (len(pictures),))
    angle, skew, cut, shift, mirror = (
        draws[name].to(pictures.device) for name in ("angle", "skew", "cut", "shift", "mirror")
    )
    cos, sin, ones = angle.cos(), angle.sin(), torch.ones_like(angle)
    turn = torch.stack([torch.stack([cos, -sin], 1), torch.stack([sin, cos], 1)], 1)
    slant = torch.stack([torch.stack([ones, skew[:, 0]], 1), torch.stack([skew[:, 1], ones], 1)], 1)
    back = torch.linalg.inv(turn @ slant)  # (B, 2, 2): from the result to the input
    sign = torch.where(mirror, -1.0, 1.0)
    flip = torch.stack([sign, ones], 1)
    middle, zoom = (size - 1) / 2, (size - 1) / (size - 1 - cut)
    axis = torch.arange(size, device=pictures.device, dtype=torch.float32) - middle
    place = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), dim=-1)  # (S, S, 2), x and y from the centre
    mirrored = place * flip[:, None, None]
    turned = torch.einsum("bij,bhwj->bhwi", back, mirrored) + middle
    source = turned / zoom[:, None, None, None] + shift[:, None, None]
    return _sampled(pictures, source)


def rotated(pictures: torch.Tensor, angle: float) -> torch.Tensor:
    """Rotate the pictures about their centre, clockwise; edge pixels repeat outside.

    Args:
        pictures: (B, C, H, W).
        angle: Radians.

    Returns:
        (B, C, H, W).
    """
    check_shape("pictures", pictures, ("B", "C", "H", "W"))
    height, width = pictures.shape[-2:]
    x = torch.arange(width, device=pictures.device, dtype=torch.float32) - (width - 1) / 2
    y = torch.arange(height, device=pictures.device, dtype=torch.float32) - (height - 1) / 2
    y, x = torch.meshgrid(y, x, indexing="ij")
    cos, sin = math.cos(angle), math.sin(angle)
    source = torch.stack([cos * x + sin * y + (width - 1) / 2, cos * y - sin * x + (height - 1) / 2], dim=-1)
    return _sampled(pictures, source.expand(len(pictures), -1, -1, -1))


def perturbed_answers(
    answer: Callable[[torch.Tensor], torch.Tensor],
    pictures: torch.Tensor,
    copies: int,
    generator: torch.Generator,
    change: Callable[[torch.Tensor, Draws], torch.Tensor] = perturb,
) -> torch.Tensor:
    """Average the answers of a network over several perturbed copies of each picture.

    All pictures share the same perturbations, so a prediction does not depend on the other pictures of the batch.

    Args:
        answer: (B, C, S, S) -> (B, K), such as probabilities.
        pictures: (B, C, S, S).
        copies: Number of copies.
        generator: Draws the perturbations, on the CPU.
        change: Makes a copy from the pictures and the draws of `draw_perturbations`.

    Returns:
        (B, K).

    Raises:
        ArgumentError: if the shape is wrong, or `copies` is less than 1.
    """
    check_range("copies", copies, 1, 1_000_000)
    check_shape("pictures", pictures, ("B", "C", "S", "S"))
    drawn = draw_perturbations(copies, pictures.shape[-1], generator)
    with torch.no_grad():
        total = torch.zeros((), device=pictures.device)
        for copy in range(copies):
            draws = {name: part[copy].expand(len(pictures), *part.shape[1:]) for name, part in drawn.items()}
            total = total + answer(change(pictures, draws))
    return total / copies


def _sampled(pictures: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
    """Sample the pictures at `source` (B, H, W, 2): x and y in pixels from the first pixel."""
    height, width = pictures.shape[-2:]
    scale = torch.tensor([2.0 / max(width - 1, 1), 2.0 / max(height - 1, 1)], device=pictures.device)
    wide = pictures.float()  # in half precision positions would be off by whole pixels
    result = functional.grid_sample(wide, source * scale - 1.0, "bilinear", "border", align_corners=True)
    return result.to(pictures.dtype)
