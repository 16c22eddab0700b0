"""`Views`: the views of a scan or picture over which a network's answers are averaged at test; `answers` does it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn

from fer3d.catalog.targets import Target, UnitTarget, ValueTarget
from fer3d.config import TrainSettings
from fer3d.data.augment_maps import augment, unchanged
from fer3d.data.augment_pictures import cropped, perturb_pictures
from fer3d.data.channels import Normalisation
from fer3d.data.samples import InputNormalisation
from fer3d.image.perturb import perturbed_answers
from fer3d.maps.registry import fed_groups


@dataclass(frozen=True)
class Views:
    """The views of a scan or picture at test.

    Attributes:
        mirror: Whether to average over each view and its mirror image.
        perturbations: Number of perturbed copies over which to average instead, some of them mirrored. 0: none.
        crop: Side of the part of a picture that a network sees, as a share of the width.
        crops: Whether to average over the parts at the corners and in the middle, not in the middle alone.
    """

    mirror: bool = True
    perturbations: int = 0
    crop: float = 1.0
    crops: bool = False

    @classmethod
    def of(cls, settings: TrainSettings) -> Views:
        """The views that the settings of training ask for."""
        return cls(settings.test_mirror, settings.test_perturbations, settings.crop, settings.test_crops)

    def parts(self, size: int) -> list[tuple[int, int, int]]:
        """First row, first column, and side of each part of pictures of `size` x `size`; the middle first."""
        side = cropped(size, self.crop)
        room = size - side
        corners = [(row, column, side) for row in (0, room) for column in (0, room)] if self.crops and room else []
        return [(room // 2, room // 2, side), *corners]


def answers(
    network: nn.Module,
    normalisation: InputNormalisation,
    batch: Any,
    target: Target,
    views: Views,
    pixel: float | None = None,
) -> torch.Tensor:
    """The predictions of a network for a batch, averaged over the views.

    Args:
        network: (B, ...) -> (B, K) outputs.
        normalisation: Normalisation with which the batch was computed.
        batch: A normalised batch.
        target: What the network predicts.
        views: The views.
        pixel: Width of a pixel in mm, for perturbed maps.

    Returns:
        (B, K) float32: class probabilities, each row of which sums to 1; action unit probabilities; or values within
        the span of the target.
    """

    def answer(x: Any) -> torch.Tensor:
        return _answer(network(x).float(), target)

    def averaged(x: Any) -> torch.Tensor:
        if not views.mirror or views.perturbations:
            return answer(x)
        return (answer(x) + answer(normalisation.mirrored(x))) / 2

    was_training = network.training
    network.eval()
    with torch.no_grad():
        if views.perturbations:
            random = torch.Generator().manual_seed(0)  # the same copies of every scan, in every run
            see = partial(_over_parts, averaged, views)
            result = perturbed_answers(see, batch, views.perturbations, random, _perturbation(normalisation, pixel))
        else:
            result = _over_parts(averaged, views, batch)
    network.train(was_training)
    return result


def _over_parts(see: Callable[[Any], torch.Tensor], views: Views, batch: Any) -> torch.Tensor:
    """The mean of what `see` returns for each part of the pictures; for scans, what it returns for them."""
    if views.crop == 1.0:
        return see(batch)
    parts = views.parts(batch.shape[-1])
    parts = parts[:1] if views.perturbations else parts
    total = torch.zeros((), device=batch.device)
    for row, column, side in parts:
        total = total + see(batch[..., row : row + side, column : column + side])
    return total / len(parts)


def _answer(outputs: torch.Tensor, target: Target) -> torch.Tensor:
    """(B, K) outputs of a network -> probabilities or values, depending on the kind of the target."""
    if isinstance(target, ValueTarget):
        return outputs.clamp(*target.span)
    return outputs.sigmoid() if isinstance(target, UnitTarget) else outputs.softmax(dim=-1)


def _perturbation(
    normalisation: InputNormalisation, pixel: float | None
) -> Callable[[torch.Tensor, Mapping[str, torch.Tensor]], torch.Tensor]:
    """The function that perturbs a normalised batch."""
    if all(group.kind == "colour" for group, _ in fed_groups(normalisation.channels)):
        return perturb_pictures
    assert isinstance(normalisation, Normalisation) and pixel is not None
    return partial(perturb_maps, normalisation, pixel)


def perturb_maps(
    normalisation: Normalisation, pixel: float, values: torch.Tensor, draws: Mapping[str, torch.Tensor]
) -> torch.Tensor:
    """Rotate, enlarge, shift and mirror the faces of normalised maps as `fer3d.image.perturb.perturb` does pictures.

    The face moves, not the picture of it: its depth grows with it, its normals turn, its curvature falls. It is not
    skewed, as no face is.

    Args:
        normalisation: Of the maps.
        pixel: Width of a pixel, mm.
        values: (B, C + 1, S, S), normalised, the mask last.
        draws: Random numbers from `fer3d.image.perturb.draw_perturbations`.

    Returns:
        (B, C + 1, S, S), normalised.
    """
    mask, size = values[:, -1:], values.shape[-1]
    mean, deviation = (
        torch.tensor(numbers, device=values.device)[:, None, None]
        for numbers in (normalisation.mean, normalisation.deviation)
    )
    physical = torch.cat([(values[:, :-1] * deviation + mean) * mask, mask], dim=1)
    zoom = (size - 1) / (size - 1 - draws["cut"])
    x, y = (zoom[:, None] * (draws["cut"][:, None] / 2 - draws["shift"]) * pixel).unbind(1)  # y down
    cos, sin = draws["angle"].cos(), draws["angle"].sin()
    sign = torch.where(draws["mirror"], -1.0, 1.0)
    moves = unchanged(len(values)) | {
        "mirror": draws["mirror"],
        "angle": -draws["angle"] * sign,  # counter-clockwise, and after the mirror
        "scale": zoom,
        "shift": torch.stack([sign * (cos * x - sin * y), -(sin * x + cos * y)], dim=1),  # y up
    }
    moved = augment(normalisation.channels, physical, moves, pixel, light=False)
    mask = moved[:, -1:]
    return torch.cat([(moved[:, :-1] - mean) / deviation * mask, mask], dim=1)
