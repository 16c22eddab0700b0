"""Converts the maps of a scan to the input of a network: selects, orders and normalises channels.

`Maps` and the store hold physical units with NaN where nothing was measured. `stack_channels` selects the channels of
the map groups that a network takes, still in physical units, so that augmentation can rotate normals and shift depths;
`Normalisation` then brings every channel to zero mean and unit standard deviation, and sets unmeasured pixels to 0.
There is one mask for all groups: where the surface is seen and a group is unknown, the group is fed its mean over the
scan, which says nothing about the place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fer3d.data.picture_stack import PictureStack
from fer3d.errors import ArgumentError
from fer3d.maps.groups import MapGroup
from fer3d.maps.registry import check_groups, fed_groups, map_group

_LEAST_CONTRAST = 0.01  # standard deviation of colours in [0, 1]: lower contrast is noise and must not be amplified


def channel_names(maps: Sequence[str]) -> tuple[str, ...]:
    """The channels of the map groups, in order.

    Raises:
        ArgumentError: if `maps` is empty or holds an unknown group.

    >>> channel_names(["depth", "normal"])
    ('depth', 'normal_x', 'normal_y', 'normal_z')
    """
    return tuple(name for group in check_groups(maps) for name in group.fed_names)


def stack_channels(
    maps: Sequence[str],
    names: Sequence[str],
    stack: NDArray[Any],
    mask: NDArray[np.uint8],
    texture: NDArray[np.uint8] | None,
    illumination: str = "raw",
    coloured: NDArray[np.bool_] | None = None,
) -> NDArray[np.float16]:
    """The channels of the groups `maps`, followed by the mask.

    Args:
        maps: Map groups to stack.
        names: Names of the channels in `stack`.
        stack: (S, H, W), physical units, NaN where not known.
        mask: (H, W) uint8, 0 where the surface was not measured.
        texture: (H, W, 3) uint8, or None.
        illumination: Illumination normalisation of the texture, see `relit`.
        coloured: (H, W) bool, where the texture is known; None: where the mask is not 0.

    Returns:
        (C + 1, H, W) float16: physical units, colours in [0, 1]; 0 where not measured; the mean of the channel where
        the surface was measured and the group is not known. The last channel is 1 where measured or filled.

    Raises:
        ArgumentError: if a channel of `maps` or the texture is missing.
    """
    channels: list[NDArray[Any]] = []
    measured = mask > 0
    for group in check_groups(maps):
        if not group.picture:
            channels += _group_channels(group, names, stack, measured)
        elif texture is None:
            raise ArgumentError(f"`maps` asks for {group.name}, there is none")
        else:
            lit = fed_texture(texture, mask, illumination, coloured)
            channels += list(np.moveaxis(lit / np.float32(255.0), 2, 0))
    return np.stack([*(np.where(measured, channel, 0.0) for channel in channels), measured]).astype(np.float16)


def stored_channels(group: str) -> tuple[str, ...]:
    """The channels that must be stored for `stack_channels` to compute a map group that is not a picture.

    >>> stored_channels("curvature")
    ('shape_index', 'mean', 'curvedness')
    """
    return map_group(group).sources


def _group_channels(
    group: MapGroup, names: Sequence[str], stack: NDArray[Any], measured: NDArray[np.bool_]
) -> list[NDArray[np.float32]]:
    """The fed channels of a group, (H, W) each, with values wherever the surface was measured: see `Channel.flat`."""
    parts = {}
    for name in group.sources:
        if name not in names:
            raise ArgumentError(f"`maps` asks for the channel {name}, there are only {', '.join(names) or 'none'}")
        parts[name] = stack[list(names).index(name)].astype(np.float32)
    missing = {name: np.isnan(part) & measured for name, part in parts.items()}
    unknown = np.logical_and.reduce(list(missing.values()))
    whole = {}
    for name, part in parts.items():
        flat = group.channel(name).flat
        whole[name] = _with_mean(part, missing[name], measured) if flat is None else np.nan_to_num(part, nan=flat)
    fed = [c.formula(*(whole[name] for name in c.of)) if c.formula else whole[c.name] for c in group.fed]
    return [_with_mean(channel, unknown, measured) for channel in fed] if len(parts) > 1 else fed


def _with_mean(
    channel: NDArray[np.float32], unknown: NDArray[np.bool_], measured: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """(H, W): the channel with its mean over the other measured pixels where it is unknown."""
    if not unknown.any():
        return channel
    known = channel[measured & ~unknown]
    mean = known.mean(dtype=np.float64) if known.size else 0.0
    return np.where(unknown, mean, channel).astype(np.float32)


def fed_texture(
    texture: NDArray[np.uint8], mask: NDArray[np.uint8], illumination: str, coloured: NDArray[np.bool_] | None
) -> NDArray[np.uint8]:
    """(H, W, 3) uint8: the texture as networks see it. See `stack_channels` for the arguments."""
    if coloured is not None:
        texture = _whole_texture(texture, (mask > 0) & ~coloured, coloured)
    return relit(texture, illumination)


def _whole_texture(
    texture: NDArray[np.uint8], unknown: NDArray[np.bool_], coloured: NDArray[np.bool_]
) -> NDArray[np.uint8]:
    """(H, W, 3): the texture with its mean colour where the surface has none."""
    if not unknown.any() or not coloured.any():
        return texture
    whole = texture.copy()
    whole[unknown] = np.rint(texture[coloured].mean(axis=0, dtype=np.float64))
    return whole


def relit(texture: NDArray[np.uint8], illumination: str) -> NDArray[np.uint8]:
    """Normalise the illumination of a texture: (H, W, 3) uint8, three equal grey channels unless it is "raw".

    Grey is the luma (ITU-R BT.601). The whole square is normalised, including its black background.

    Args:
        texture: (H, W, 3) uint8.
        illumination: One of `fer3d.image.illumination.ILLUMINATIONS`; "raw" returns the texture unchanged.

    Raises:
        ArgumentError: if there is no illumination normalisation of that name.
    """
    if illumination == "raw":
        return texture
    from fer3d.image.illumination import normalise_illumination

    luma = np.rint(texture @ np.array([0.299, 0.587, 0.114])).astype(np.uint8)
    return np.repeat(normalise_illumination(illumination, luma[None])[0][..., None], 3, axis=2)


@dataclass(frozen=True)
class Normalisation:
    """Mean and standard deviation of every channel over the measured pixels of the training scans.

    Convention:
        - channels with a `limit`, such as curvatures, are clipped to it first;
        - with scaling "picture" each colour is first standardised over the scan, which removes the effect of light and
          camera on the whole face (our choice; on simulated faces it gains three points of accuracy from texture
          alone); with "set" it is not; with "0-2" it is only doubled, so that black is 0 and white 2;
        - x and y of normals keep mean 0 and share one deviation, so that 0 still means "faces the camera";
        - every channel whose sign the mirror changes also keeps mean 0, so that mirroring normalised values changes
          the sign too.

    Attributes:
        channels: C names.
        mean, deviation: C numbers each.
        scaling: How colours are scaled: "picture", "set" or "0-2".
    """

    channels: tuple[str, ...]
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    scaling: str = "picture"

    @classmethod
    def fit(
        cls,
        channels: Sequence[str],
        values: torch.Tensor | PictureStack,
        rows: torch.Tensor,
        scaling: str = "picture",
    ) -> Normalisation:
        """Measure mean and deviation.

        Args:
            channels: C names.
            values: (N, C + 1, H, W), as `stack_channels` returns them, or pictures.
            rows: (M,) int64, rows of the training scans only.
            scaling: How colours are scaled.
        """
        total = torch.zeros(3, len(channels), dtype=torch.float64)
        for part in torch.split(rows, 64):
            batch = values[part].float()
            mask = batch[:, -1:]
            batch = flatten_scales(channels, batch, scaling)[:, :-1] * mask
            sums = (mask.sum().expand(len(channels)), batch.sum((0, 2, 3)), (batch * batch).sum((0, 2, 3)))
            total += torch.stack(sums).double().cpu()
        count, first, second = total
        mean = first / count.clamp(min=1)
        deviation = (second / count.clamp(min=1) - mean**2).clamp(min=0).sqrt().clamp(min=1e-3)
        for centred in _centred(channels):
            deviation[centred] = (second[centred] / count[centred].clamp(min=1)).mean().sqrt().clamp(min=1e-3)
            mean[centred] = 0.0
        for group, place in fed_groups(channels):
            if group.kind == "colour" and scaling == "0-2":
                mean[place], deviation[place] = 0.0, 0.5
        return cls(tuple(channels), tuple(mean.tolist()), tuple(deviation.tolist()), scaling)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Normalisation:
        """The inverse of `dataclasses.asdict`, after JSON. TypeError if a value is missing or unexpected."""
        parts: dict[str, Any] = {k: v if isinstance(v, str) else tuple(v) for k, v in content.items()}
        return cls(**parts)

    def apply(self, values: torch.Tensor) -> torch.Tensor:
        """Normalise (B, C + 1, H, W) in physical units; 0 where the mask (last channel, kept) is 0."""
        mask = values[:, -1:]
        mean = torch.tensor(self.mean, device=values.device)[:, None, None]
        deviation = torch.tensor(self.deviation, device=values.device)[:, None, None]
        scaled = (flatten_scales(self.channels, values, self.scaling)[:, :-1] - mean) / deviation
        return torch.cat([scaled * mask, mask], dim=1)

    def mirrored(self, values: torch.Tensor) -> torch.Tensor:
        """The mirror images of a normalised batch (B, C + 1, H, W)."""
        return mirrored(self.channels, values)


def flatten_scales(channels: Sequence[str], values: torch.Tensor, scaling: str = "picture") -> torch.Tensor:
    """Clip channels of (B, C + 1, H, W) to their limits and standardise colours per scan, see `Normalisation`."""
    values = values.clone()
    for group, place in fed_groups(channels):
        for index, channel in enumerate(group.fed, place.start):
            if channel.limit is not None:
                values[:, index].clamp_(-channel.limit, channel.limit)
        if group.kind == "colour" and scaling == "picture":
            values[:, place] = _standardised(values[:, place], values[:, -1:])
    return values


def _centred(channels: Sequence[str]) -> list[list[int]]:
    """The channels that keep mean 0, see `Normalisation`: one list for each group that shares a deviation."""
    centred = []
    for group, place in fed_groups(channels):
        if group.kind == "normal":
            centred.append([place.start, place.start + 1])
        else:
            centred += [[index] for index, channel in enumerate(group.fed, place.start) if channel.mirror < 0]
    return centred


def _standardised(colours: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """(B, 3, H, W) -> the same shape, mean 0 and deviation about 1 over the measured pixels of each scan and colour."""
    count = mask.sum((2, 3), keepdim=True).clamp(min=1)
    colours = (colours - (colours * mask).sum((2, 3), keepdim=True) / count) * mask
    deviation = ((colours * colours).sum((2, 3), keepdim=True) / count).sqrt()
    return colours / (deviation + _LEAST_CONTRAST)


def mirrored(channels: Sequence[str], values: torch.Tensor) -> torch.Tensor:
    """Mirror (B, C + 1, H, W): reverse the columns and change the sign of some channels."""
    values = values.flip(-1)
    for group, place in fed_groups(channels):
        for index, channel in enumerate(group.fed, place.start):
            if channel.mirror < 0:
                values[:, index].neg_()
    return values
