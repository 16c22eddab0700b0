"""From the maps of a scan to what a network is fed: which channels, in which order, on which scale.

`Maps` and the store hold physical units with NaN where nothing was measured. `stack_channels` picks the channels of
the map groups that a network wants, still in those units, so that augmentation can turn normals and move depths;
`Normalisation` then brings every channel to zero mean and unit deviation, and unmeasured pixels to 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fer3d.config import MAP_GROUPS
from fer3d.errors import ArgumentError

# Group -> the channels that a network sees. Of the curvature maps it is the shape index, and (k1 + k2) / 2 and
# (k1 - k2) / 2 [D]: how k1 and k2 bend the face in all, and how unlike they are. DFF-CNN names the shape index only
# [F], DF-CNN one curvature map [F]. On 162 simulated people kept for tuning, these did better than shape index and
# curvedness by 1.2 points from curvature alone and by 0.8 from all maps.
INPUT_CHANNELS: Mapping[str, tuple[str, ...]] = {
    "depth": ("depth",),
    "normal": ("normal_x", "normal_y", "normal_z"),
    "curvature": ("shape_index", "mean", "difference"),
    "texture": ("red", "green", "blue"),
}
# Channels that are not stored, and those that they are made of.
_MADE_OF: Mapping[str, tuple[str, ...]] = {"difference": ("shape_index", "curvedness")}

CURVATURES = ("mean", "difference")  # of the channels, those in 1/mm
# 1/mm. Curvatures beyond are cut: the few pixels of a rim, ten times as curved as any face, do not set the scale [D].
LARGEST_CURVATURE = 0.5
FLAT_SHAPE_INDEX = 0.5  # a flat place has no shape index; the middle of the scale is between rut and ridge
_LEAST_CONTRAST = 0.01  # of colours in [0, 1]: what is flatter is noise, and is not blown up


def channel_names(maps: Sequence[str]) -> tuple[str, ...]:
    """The channels of the map groups, in order.

    Raises:
        ArgumentError: if `maps` is empty or holds an unknown group.

    >>> channel_names(["depth", "normal"])
    ('depth', 'normal_x', 'normal_y', 'normal_z')
    """
    check_groups(maps)
    return tuple(name for group in maps for name in INPUT_CHANNELS[group])


def check_groups(maps: Sequence[str]) -> None:
    """Raise ArgumentError unless `maps` names one or more of the map groups, each once."""
    if not maps or len(set(maps)) != len(maps):
        raise ArgumentError(f"`maps` should name each of {', '.join(MAP_GROUPS)} at most once, is {list(maps)}")
    for group in maps:
        if group not in INPUT_CHANNELS:
            raise ArgumentError(f"`maps` should hold names out of {', '.join(MAP_GROUPS)}, holds {group!r}")


def stack_channels(
    maps: Sequence[str],
    names: Sequence[str],
    stack: NDArray[Any],
    mask: NDArray[np.uint8],
    texture: NDArray[np.uint8] | None,
    illumination: str = "raw",
) -> NDArray[np.float16]:
    """The channels of the groups `maps` and the mask under them.

    Args:
        maps: Groups wanted.
        names: Names of the channels in `stack`.
        stack: (S, H, W), physical units, NaN where not measured.
        mask: (H, W) uint8, 0 where not measured.
        texture: (H, W, 3) uint8, or None.
        illumination: What is done to the light of the texture, see `relit`.

    Returns:
        (C + 1, H, W) float16: mm, unit vectors, shape index, 1/mm, colours in [0, 1]; 0 where not measured. The last
        channel is 1 where measured or filled.

    Raises:
        ArgumentError: if a group is not there.
    """
    channels = []
    if texture is not None and "texture" in maps:
        texture = relit(texture, illumination)
    for name in channel_names(maps):
        if name in INPUT_CHANNELS["texture"]:
            if texture is None:
                raise ArgumentError("`maps` asks for texture, there is none")
            channel: NDArray[Any] = texture[..., INPUT_CHANNELS["texture"].index(name)] / np.float32(255.0)
        else:
            channel = _channel(name, names, stack)
        channels.append(np.where(mask > 0, channel, 0.0))
    channels.append(mask > 0)
    return np.stack(channels).astype(np.float16)


def stored_channels(group: str) -> tuple[str, ...]:
    """What must be stored of a group of maps, other than texture, for `stack_channels` to make its channels.

    >>> stored_channels("curvature")
    ('shape_index', 'mean', 'curvedness')
    """
    parts = [part for name in INPUT_CHANNELS[group] for part in _MADE_OF.get(name, (name,))]
    return tuple(dict.fromkeys(parts))


def _channel(name: str, names: Sequence[str], stack: NDArray[Any]) -> NDArray[np.float32]:
    """(H, W) of a channel that is stored, or made of those that are: of a flat place, where it is not defined."""
    parts: list[NDArray[np.float32]] = []
    for part in _MADE_OF.get(name, (name,)):
        if part not in names:
            raise ArgumentError(f"`maps` asks for the channel {part}, there are only {', '.join(names) or 'none'}")
        values = stack[list(names).index(part)].astype(np.float32)
        parts.append(np.nan_to_num(values, nan=FLAT_SHAPE_INDEX if part == "shape_index" else 0.0))
    if name != "difference":
        return parts[0]
    # Shape index and curvedness are the angle and the length of (k1 - k2, k1 + k2) / 2: see `fer3d.maps`.
    shape_index, curvedness = parts
    made: NDArray[np.float32] = curvedness * np.sin(np.pi * shape_index)
    return made


def relit(texture: NDArray[np.uint8], illumination: str) -> NDArray[np.uint8]:
    """The texture freed of its light: (H, W, 3) uint8, the same grey in all three colours unless `illumination` is raw.

    Grey is the luma (ITU-R BT.601). The whole square is seen, its black ground too.

    Args:
        texture: (H, W, 3) uint8.
        illumination: One of `fer3d.image.illumination.ILLUMINATIONS`; raw leaves the colours as they are.

    Raises:
        ArgumentError: if there is none of that name.
    """
    if illumination == "raw":
        return texture
    from fer3d.image.illumination import normalise_illumination

    luma = np.rint(texture @ np.array([0.299, 0.587, 0.114])).astype(np.uint8)
    return np.repeat(normalise_illumination(illumination, luma[None])[0][..., None], 3, axis=2)


@dataclass(frozen=True)
class Normalisation:
    """Mean and deviation of every channel over the measured pixels of the training scans.

    Convention:
        - curvatures are cut first, see `LARGEST_CURVATURE`;
        - each colour first loses its mean over the scan and its deviation: what the light and the camera did to the
          whole face (our choice; on simulated faces it is worth three points from texture alone);
        - normal_x and normal_y keep mean 0 and share one deviation, so that 0 stays "faces the camera" and a mirror
          is a change of sign.

    Attributes:
        channels: C names.
        mean, deviation: C numbers each.
    """

    channels: tuple[str, ...]
    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    @classmethod
    def fit(cls, channels: Sequence[str], values: torch.Tensor, rows: torch.Tensor) -> Normalisation:
        """Measure it.

        Args:
            channels: C names.
            values: (N, C + 1, H, W), as `stack_channels` makes them.
            rows: (M,) int64. Those of the training scans, and no others.
        """
        total = torch.zeros(3, len(channels), dtype=torch.float64)
        for part in torch.split(rows, 64):
            batch = values[part].float()
            mask = batch[:, -1:]
            batch = flatten_scales(channels, batch)[:, :-1] * mask
            sums = (mask.sum().expand(len(channels)), batch.sum((0, 2, 3)), (batch * batch).sum((0, 2, 3)))
            total += torch.stack(sums).double().cpu()
        count, first, second = total
        mean = first / count.clamp(min=1)
        deviation = (second / count.clamp(min=1) - mean**2).clamp(min=0).sqrt().clamp(min=1e-3)
        across = [index for index, name in enumerate(channels) if name in ("normal_x", "normal_y")]
        if across:
            deviation[across] = (second[across] / count[across].clamp(min=1)).mean().sqrt().clamp(min=1e-3)
            mean[across] = 0.0
        return cls(tuple(channels), tuple(mean.tolist()), tuple(deviation.tolist()))

    def apply(self, values: torch.Tensor) -> torch.Tensor:
        """(B, C + 1, H, W) in physical units -> the same, normalised; 0 where the mask, kept as last channel, is 0."""
        mask = values[:, -1:]
        mean = torch.tensor(self.mean, device=values.device)[:, None, None]
        deviation = torch.tensor(self.deviation, device=values.device)[:, None, None]
        scaled = (flatten_scales(self.channels, values)[:, :-1] - mean) / deviation
        return torch.cat([scaled * mask, mask], dim=1)

    def mirrored(self, values: torch.Tensor) -> torch.Tensor:
        """(B, C + 1, H, W), normalised, as the mirror shows it."""
        return mirrored(self.channels, values)


def flatten_scales(channels: Sequence[str], values: torch.Tensor) -> torch.Tensor:
    """(B, C + 1, H, W) with curvatures cut and colours standardised scan by scan, see `Normalisation`."""
    values = values.clone()
    for name in CURVATURES:
        if name in channels:
            values[:, channels.index(name)].clamp_(-LARGEST_CURVATURE, LARGEST_CURVATURE)
    if "red" in channels:
        start = channels.index("red")
        end = start + len(INPUT_CHANNELS["texture"])
        values[:, start:end] = _standardised(values[:, start:end], values[:, -1:])
    return values


def _standardised(colours: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """(B, 3, H, W) with mean 0 and deviation about 1 over the measured pixels of each scan and colour."""
    count = mask.sum((2, 3), keepdim=True).clamp(min=1)
    colours = (colours - (colours * mask).sum((2, 3), keepdim=True) / count) * mask
    deviation = ((colours * colours).sum((2, 3), keepdim=True) / count).sqrt()
    return colours / (deviation + _LEAST_CONTRAST)


def mirrored(channels: Sequence[str], values: torch.Tensor) -> torch.Tensor:
    """(B, C + 1, H, W) as the mirror shows it: columns reversed, normal_x with the other sign."""
    values = values.flip(-1)
    if "normal_x" in channels:
        values[:, channels.index("normal_x")].neg_()
    return values
