"""Backbones of branches: stacks of convolutions that turn one map group (B, C, H, W) into features (B, D, h, w).

`scattering`, `oriented`, `small` and `small-vgg-m` are ours, for CPUs; the others follow published networks up to their
last convolution, in plain torch, with their own parameter names (`fer3d.train.initial_weights` loads ImageNet weights
into them). Every branch has the attributes `out_channels` (D) and `first`, its first convolution. The backbones in
`LOCALLY_CONNECTED` have separate weights for every location on the face; their features describe the whole face
(h = w = 1).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from fer3d.errors import ArgumentError
from fer3d.image.convolutions import Branch, Residual, conv_block, resnet_18
from fer3d.models.local_layers import locally_connected
from fer3d.ops.orientation_energy import OrientationEnergy


class OrientedBranch(Branch):
    """Orientation energy, normalised at each location, followed by a convolution whose kernel covers the face."""

    def __init__(self, channels: int, extra: int, out_channels: int, dropout: float, order: int) -> None:
        energy = OrientationEnergy(order=order)
        inputs = energy.outputs(channels) + extra
        super().__init__(locally_connected(inputs, out_channels, energy.cells, dropout), out_channels)
        self.energy, self.extra = energy, extra

    def forward(self, x: torch.Tensor, measured: torch.Tensor) -> torch.Tensor:
        """(B, C + extra, H, W) and the mask (B, 1, H, W) -> (B, D, 1, 1)."""
        maps, extra = torch.split(x, [x.shape[1] - self.extra, self.extra], dim=1)
        y = self.energy(maps, measured)
        if self.extra:
            y = torch.cat([y, self.energy.averaged(extra)], dim=1)
        return super().forward(y, measured)


def oriented(channels: int, width: int = 16, extra: int = 0, dropout: float = 0.5) -> Branch:
    """Ours [D]: orientation energy, then one convolution whose kernel covers the whole face; 4 * width features.

    Aligned faces have their features at known locations. With a few dozen people to learn from, separate weights for
    every location and direction did better than stacks of small filters; in training, each input is dropped with
    probability `dropout`. The last `extra` channels are not maps: they are averaged over the cells.
    """
    return OrientedBranch(channels, extra, 4 * width, dropout, order=1)


def scattering(channels: int, width: int = 16, extra: int = 0, dropout: float = 0.5) -> Branch:
    """Ours [D]: `oriented` with second order orientation energy, computed from orientation energy; 8 times the weights.

    On 162 simulated people kept for tuning, with early fusion: from curvature alone 82.5 % correct, against 81.2 % with
    `oriented`; from all maps 83.3 % against 82.9 %. It takes 2.5 times as long and is therefore not the default.
    """
    return OrientedBranch(channels, extra, 4 * width, dropout, order=2)


def small(channels: int, width: int = 16) -> Branch:
    """Ours [D]: two convolutions and three residual blocks, three with stride 2; 4 * width features at H / 8."""
    layers = [
        *conv_block(channels, width, stride=2),
        *conv_block(width, 2 * width, stride=2),
        Residual(2 * width, 2 * width),
        Residual(2 * width, 4 * width, stride=2),
        Residual(4 * width, 4 * width),
    ]
    return Branch(layers, 4 * width)


def small_vgg_m(channels: int, width: int = 24) -> Branch:
    """Ours [D], after VGG-M: its five convolutions and two poolings, for maps of 64 x 64 pixels instead of 224 x 224.

    It has a quarter of the features of `vgg_m`, a first kernel of 5 x 5 pixels, and one convolution of stride 2, the
    first; no pixel of the boundary is lost. 16 * width / 3 features at H / 8.
    """
    deep = width * 16 // 3  # 128
    layers = [
        *conv_block(channels, width, 5, 2),
        nn.MaxPool2d(3, 2, 1),
        *conv_block(width, width * 8 // 3, 5),
        nn.MaxPool2d(3, 2, 1),
        *conv_block(width * 8 // 3, deep),
        *conv_block(deep, deep),
        *conv_block(deep, deep),
    ]
    return Branch(layers, deep)


def vgg_m(channels: int, width: int = 96) -> Branch:
    """VGG-M's five convolutions [1], with batch normalisation (ours) instead of local response normalisation.

    References:
        .. [1] Chatfield, Simonyan, Vedaldi, Zisserman. Return of the devil in the details. BMVC 2014.
    """
    deep = width * 16 // 3  # 512
    layers = [
        *conv_block(channels, width, 7, 2, 0),
        nn.MaxPool2d(3, 2, ceil_mode=True),
        *conv_block(width, width * 8 // 3, 5, 2, 1),
        nn.MaxPool2d(3, 2, ceil_mode=True),
        *conv_block(width * 8 // 3, deep),
        *conv_block(deep, deep),
        *conv_block(deep, deep),
    ]
    return Branch(layers, deep)


def vgg_16(channels: int, width: int = 64) -> Branch:
    """The thirteen convolutions of VGG-16 with batch normalisation (torchvision's vgg16_bn), without the last pooling.

    Simonyan, Zisserman. Very deep convolutional networks for large-scale image recognition. ICLR 2015.
    """
    layers: list[nn.Module] = []
    for times, factor in ((2, 1), (2, 2), (3, 4), (3, 8), (3, 8)):
        layers += [nn.MaxPool2d(2)] if layers else []
        for _ in range(times):
            layers += conv_block(channels, factor * width)
            channels = factor * width
    return Branch(layers, channels)


BACKBONES: dict[str, Callable[..., Branch]] = {
    "scattering": scattering,
    "oriented": oriented,
    "small": small,
    "small-vgg-m": small_vgg_m,
    "vgg-m": vgg_m,
    "vgg-16": vgg_16,
    "resnet-18": resnet_18,
}
LOCALLY_CONNECTED = ("scattering", "oriented")
IMAGENET = ("vgg-m", "vgg-16", "resnet-18")  # published, and pretrained, at 224 x 224


def build_branch(
    backbone: str, channels: int, width: int | None = None, extra: int = 0, location_dropout: float = 0.5
) -> Branch:
    """Build a branch.

    Args:
        backbone: One of `BACKBONES`.
        channels: Number of channels of the map group.
        width: Features of the first convolution; for backbones in `LOCALLY_CONNECTED`, a quarter of its features.
            None: the default of the backbone.
        extra: Number of further input channels after those of the map group, such as the mask and positions.
        location_dropout: For backbones in `LOCALLY_CONNECTED`: share of the directions and locations that is dropped in
            training.

    Raises:
        ArgumentError: if there is no such backbone.
    """
    if backbone not in BACKBONES:
        raise ArgumentError(f"`backbone` should be one of {', '.join(BACKBONES)}, is {backbone!r}")
    given = {} if width is None else {"width": width}
    make = BACKBONES[backbone]
    if backbone in LOCALLY_CONNECTED:
        return make(channels, extra=extra, dropout=location_dropout, **given)
    branch = make(channels + extra, **given)
    branch.extra = extra
    return branch
