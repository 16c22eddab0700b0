"""What the two networks are trained for, and changes of pictures while training."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from fer3d.landmarks import MIRRORED, POINT_NAMES
from fer3d.prepare.landmarks.networks import PLACER_STRIDE, Placement, Sighting
from fer3d.prepare.landmarks.pictures import DEPTH
from fer3d.prepare.landmarks.reference import mean_points
from fer3d.train.landmarks.examples import DEPTH_STEPS, DOUBT, EMPTY, FACE

MIRROR = torch.tensor([POINT_NAMES.index(MIRRORED[name]) for name in POINT_NAMES])

_SIGMA = 0.9  # cells: standard deviation of the wanted heatmaps
_DEEP = 8.0  # weight of the depths of the points
_HIDDEN = 0.15  # weight of a point at which the scan has no surface of the face
_NEAR = 0.9  # cells: standard deviation of the wanted sighting around the nose tip
_FOCUS = 2.0  # exponent of the focal loss
_ERASED, _ERASED_SIDE = 0.4, 0.35  # share of pictures with an erased block; its longest side as a share of the picture


class ViewBatch(NamedTuple):
    """Pictures (B, 5, S, S) float32 and the truth of `Views` as tensors."""

    pictures: Tensor
    shows: Tensor
    cell: Tensor
    depth_left: Tensor
    size: Tensor
    axes: Tensor


class FrontBatch(NamedTuple):
    """Pictures (B, 5, S, S) float32 and the truth of `Fronts` as tensors."""

    pictures: Tensor
    shows: Tensor
    spots: Tensor
    measured: Tensor


def pictures(normals: Tensor, depth: Tensor) -> Tensor:
    """(B, 5, S, S) float32: pictures from their stored form, see `fer3d.train.landmarks.examples.stored`."""
    held = depth != int(EMPTY)
    far = torch.where(held, depth.float() / DEPTH_STEPS, 0.0)
    return torch.cat([normals.float() / 127.0, far[:, None], held[:, None].float()], dim=1)


def erased(batch: Tensor, generator: torch.Generator) -> Tensor:
    """Erase a block of some pictures, in place, as a hole or an object that was cut away does."""
    count, _, height, width = batch.shape
    draw = torch.rand((count, 5), generator=generator)
    for k in torch.nonzero(draw[:, 0] < _ERASED).flatten().tolist():
        h, w = (int(1 + x * _ERASED_SIDE * height) for x in draw[k, 1:3].tolist())
        top, left = int(draw[k, 3] * (height - h)), int(draw[k, 4] * (width - w))
        batch[k, :, top : top + h, left : left + w] = 0.0
    return batch


def mirrored_views(batch: ViewBatch, which: Tensor) -> ViewBatch:
    """Mirror the pictures `which`, (B,) bool, left to right."""
    cells = batch.pictures.shape[-1] // 4
    axes = torch.where(which[:, None], batch.axes * batch.axes.new_tensor([-1.0, 1, 1, -1, 1, 1]), batch.axes)
    column = torch.where(which, cells - batch.cell[:, 0], batch.cell[:, 0])
    return batch._replace(
        pictures=_mirrored(batch.pictures, which), cell=torch.stack([column, batch.cell[:, 1]], dim=1), axes=axes
    )


def mirrored_fronts(batch: FrontBatch, which: Tensor) -> FrontBatch:
    """Mirror the pictures `which`, (B,) bool, left to right: each point becomes that of the other side."""
    spots = batch.spots[:, MIRROR].clone()
    spots[..., 0] = batch.pictures.shape[-1] - 1 - spots[..., 0]
    return batch._replace(
        pictures=_mirrored(batch.pictures, which),
        spots=torch.where(which[:, None, None], spots, batch.spots),
        measured=torch.where(which[:, None], batch.measured[:, MIRROR], batch.measured),
    )


def sighting_loss(seen: Sighting, truth: ViewBatch) -> dict[str, Tensor]:
    """Terms of the loss of `FaceFinder`: a focal loss of the sighting, and of position, size and axes at the face."""
    cells = seen.face.shape[-1]
    at = torch.arange(cells, dtype=torch.float32) + 0.5
    across = torch.exp(-0.5 * ((at - truth.cell[:, :1]) / _NEAR) ** 2)
    down = torch.exp(-0.5 * ((at - truth.cell[:, 1:]) / _NEAR) ** 2)
    is_face = truth.shows == FACE
    wanted = down[:, :, None] * across[:, None, :] * is_face[:, None, None]
    wanted = wanted / wanted.amax(dim=(1, 2), keepdim=True).clamp_min(1e-6) * is_face[:, None, None]
    chance = torch.sigmoid(seen.face)
    entropy = functional.binary_cross_entropy_with_logits(seen.face, wanted, reduction="none")
    focal = entropy * (wanted - chance).abs() ** _FOCUS
    learned = (truth.shows != DOUBT).float()
    face = (focal.sum(dim=(1, 2)) * learned).sum() / learned.sum().clamp_min(1.0)
    near = wanted * (wanted > 0.3)
    total = near.sum().clamp_min(1e-6)
    middle = torch.stack(torch.meshgrid(at, at, indexing="xy"))  # (2, G, G): column, row
    offset = (truth.cell[:, :, None, None] - middle) - seen.offset[:, :2]
    depth = truth.depth_left[:, None, None] - seen.offset[:, 2]
    up, towards = (functional.normalize(v, dim=1) for v in (seen.up, seen.towards))
    turned = 2.0 - (up * truth.axes[:, :3, None, None]).sum(1) - (towards * truth.axes[:, 3:, None, None]).sum(1)
    return {
        "face": face,
        "offset": (offset.abs().sum(dim=1) * near).sum() / total * 0.5,
        "depth": (depth.abs() * near).sum() / total * 3.0,
        "size": ((truth.size[:, None, None] - seen.size).abs() * near).sum() / total * 2.0,
        "axes": (turned * near).sum() / total,
    }


def placement_loss(seen: Placement, truth: FrontBatch) -> dict[str, Tensor]:
    """Terms of the loss of `PointPlacer`: cross-entropies of heatmaps, visibility and of whether it is a face; depths.

    The depth of a point is learned where the point is.
    """
    is_face = truth.shows == FACE
    cells = seen.heat.shape[-1]
    cell = (truth.spots[..., :2] + 0.5) / PLACER_STRIDE - 0.5
    weight = torch.where(truth.measured, 1.0, _HIDDEN) * is_face[:, None]
    weight = weight * ((cell > -0.5) & (cell < cells - 0.5)).all(dim=2)  # False for NaN
    cell = torch.nan_to_num(cell)
    at = torch.arange(cells, dtype=torch.float32)
    across, down = (torch.softmax(-0.5 * ((at - cell[..., k : k + 1]) / _SIGMA) ** 2, dim=-1) for k in (0, 1))
    whole = torch.logsumexp(seen.heat.flatten(2), dim=2)
    hit, deep = (torch.einsum("blij,bli,blj->bl", x, down, across) for x in (seen.heat, seen.depth))
    mean = torch.from_numpy(mean_points()[:, 2] / DEPTH).float()
    off = (deep - torch.nan_to_num(truth.spots[..., 2] - mean)).abs()
    visible = functional.binary_cross_entropy_with_logits(seen.visible, truth.measured.float(), reduction="none")
    known = (truth.shows != DOUBT).float()
    face = functional.binary_cross_entropy_with_logits(seen.face, is_face.float(), reduction="none")
    return {
        "heat": ((whole - hit) * weight).sum() / weight.sum().clamp_min(1.0),
        "depth": _DEEP * (off * weight).sum() / weight.sum().clamp_min(1.0),
        "visible": (visible * is_face[:, None]).sum() / (is_face.sum() * visible.shape[1]).clamp_min(1),
        "face": (face * known).sum() / known.sum().clamp_min(1.0),
    }


def _mirrored(batch: Tensor, which: Tensor) -> Tensor:
    other = batch.flip(-1).clone()
    other[:, 0] = -other[:, 0]
    return torch.where(which[:, None, None, None], other, batch)
