"""The two networks of the landmark detector, both ours.

`FaceFinder` looks at a scan from one side and tells, for each cell of a grid, whether the nose tip of a face is there,
its depth, the size of the face and its axes. `PointPlacer` looks at a face from the front, at a known scale, and
gives a heatmap for each point, its depth and visibility, and whether what it sees is a face seen from the front at all.

Both read pictures of `fer3d.kernels.views`: (B, 5, S, S) float32, normals, depth and where there is surface.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from fer3d.kernels.views import CHANNELS

FINDER_SIZE, FINDER_STRIDE = 96, 4  # pixels of a picture; pixels a cell
PLACER_SIZE, PLACER_STRIDE = 96, 2
_FINDER_WIDTHS = (16, 32, 64)
_PLACER_WIDTHS = (24, 48, 72, 96)


class Sighting(NamedTuple):
    """What `FaceFinder` says of B pictures, cell by cell (G = 24 cells a side).

    Attributes:
        face: (B, G, G). Logit of whether the nose tip of a face is in the cell.
        offset: (B, 3, G, G). From the middle of the cell to the nose tip: columns and rows in cells; and the depth of
            the tip less the mean depth of the surface in the cell, in half widths of the picture.
        size: (B, G, G). Logarithm of the length of 100 mm in half widths of the picture.
        up, towards: (B, 3, G, G). Directions of the crown and of the face in the frame of the view, not normalised.
    """

    face: Tensor
    offset: Tensor
    size: Tensor
    up: Tensor
    towards: Tensor


class Placement(NamedTuple):
    """What `PointPlacer` says of B pictures (H = 48 cells a side, L points).

    Attributes:
        heat: (B, L, H, H). Logits; the softmax over the cells is the probability that the point is in the cell.
        depth: (B, L, H, H). Depth of the point, if it is in the cell, less that of the mean face; in units of
            `fer3d.prepare.landmarks.pictures.DEPTH`.
        visible: (B, L). Logits of whether the scan has surface of the face at each point.
        face: (B,). Logit of whether this is a face seen from the front at the right scale.
    """

    heat: Tensor
    depth: Tensor
    visible: Tensor
    face: Tensor


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch use one thread in the block: for networks this small more are slower, and sums stay the same."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def fused(network: nn.Module) -> nn.Module:
    """The network with each batch normalisation merged into the convolution before it, for inference only."""
    for name, child in network.named_children():
        parts = list(child.children()) if isinstance(child, nn.Sequential) else []
        if len(parts) > 1 and isinstance(parts[0], nn.Conv2d) and isinstance(parts[1], nn.BatchNorm2d):
            setattr(network, name, nn.Sequential(fuse_conv_bn_eval(parts[0], parts[1]), *parts[2:]))
        else:
            fused(child)
    return network


class FaceFinder(nn.Module):
    """Convolutions to a grid of 12 x 12 and back to 24 x 24, with a head a cell."""

    def __init__(self) -> None:
        super().__init__()
        a, b, c = _FINDER_WIDTHS
        self.stem = nn.Sequential(_conv(CHANNELS, a, stride=2), _conv(a, b, stride=2), _conv(b, b))
        self.deep = nn.Sequential(_conv(b, c, stride=2), _Residual(c), _Residual(c, dilation=2), _Residual(c))
        self.down = nn.Conv2d(c, b, 1)
        self.join = _conv(b, b)
        self.head = nn.Conv2d(b, 11, 1)
        nn.init.constant_(self.head.bias[0], -4.0)  # type: ignore[index]  # a face is in few cells

    def forward(self, pictures: Tensor) -> Sighting:
        """See `Sighting`; pictures (B, 5, 96, 96)."""
        near = self.stem(pictures)
        far = functional.interpolate(self.down(self.deep(near)), size=near.shape[-2:], mode="nearest")
        out = self.head(self.join(near + far))
        return Sighting(out[:, 0], out[:, 1:4], out[:, 4], out[:, 5:8], out[:, 8:11])


class PointPlacer(nn.Module):
    """Four scales of convolutions and back to half the resolution.

    Args:
        points: Number of points L.
    """

    def __init__(self, points: int) -> None:
        super().__init__()
        a, b, c, d = _PLACER_WIDTHS
        self.stem = nn.Sequential(_conv(CHANNELS, a, stride=2), _conv(a, a))  # 48
        self.scale_2 = nn.Sequential(_conv(a, b, stride=2), _Residual(b))  # 24
        self.scale_4 = nn.Sequential(_conv(b, c, stride=2), _Residual(c))  # 12
        self.scale_8 = nn.Sequential(_conv(c, d, stride=2), _Residual(d), _Residual(d))  # 6
        self.up_quarter, self.up_half, self.up_whole = nn.Conv2d(d, c, 1), nn.Conv2d(c, b, 1), nn.Conv2d(b, a, 1)
        self.join_quarter, self.join_half, self.join_whole = _conv(c, c), _conv(b, b), _conv(a, a)
        self.heat, self.depth = nn.Conv2d(a, points, 1), nn.Conv2d(a, points, 1)
        self.facts = nn.Linear(d, points + 1)

    def forward(self, pictures: Tensor) -> Placement:
        """See `Placement`; pictures (B, 5, 96, 96)."""
        whole = self.stem(pictures)
        half = self.scale_2(whole)
        quarter = self.scale_4(half)
        eighth = self.scale_8(quarter)
        x = self.join_quarter(quarter + _doubled(self.up_quarter(eighth)))
        x = self.join_half(half + _doubled(self.up_half(x)))
        x = self.join_whole(whole + _doubled(self.up_whole(x)))
        facts = self.facts(eighth.mean(dim=(2, 3)))
        return Placement(self.heat(x), self.depth(x), facts[:, 1:], facts[:, 0])


class _Residual(nn.Module):
    """Two convolutions whose result is added to their input."""

    def __init__(self, width: int, dilation: int = 1) -> None:
        super().__init__()
        self.first = _conv(width, width, dilation=dilation)
        self.second = nn.Sequential(*list(_conv(width, width))[:-1])

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(x + self.second(self.first(x)))


def _conv(inputs: int, outputs: int, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    """3 x 3 convolution, batch normalisation and ReLU; `fused` merges the first two for inference."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, padding=dilation, dilation=dilation, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


def _doubled(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2, mode="nearest")
