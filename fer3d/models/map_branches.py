"""`BranchedNetwork`: the base of networks with one branch of convolutions for each map, whose features are fused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import nn

from fer3d.config import MapSettings, NetworkSettings
from fer3d.data.channels import channel_names
from fer3d.errors import ArgumentError
from fer3d.image.convolutions import Branch
from fer3d.maps.registry import check_groups
from fer3d.models.backbones import IMAGENET, build_branch
from fer3d.models.network import Network, PretrainedSettings, map_variants

Curvature = Literal["shape-index", "all"]  # which channels of the group `curvature` a network reads
CURVATURE_READ = (
    "Channels of the map curvature: shape-index alone; or all, with the mean and half the difference of the curvatures."
)


def unused_curvature(maps: Sequence[str]) -> dict[str, str]:
    """The setting `curvature` and the reason why it has no effect, where the map is not read."""
    return {} if "curvature" in maps else {"curvature": f"is of the map curvature, `maps` is {','.join(maps)}"}


def channels_read(maps: Sequence[str], curvature: str) -> dict[str, range]:
    """Map group -> its channels that a network reads, as a range of the channels of all groups.

    Args:
        maps: Map groups, in the order of the input's channels.
        curvature: "shape-index": only that channel of the group `curvature`. "all": every channel.

    Raises:
        ArgumentError: if a map group is unknown, or `curvature` is neither.
    """
    if curvature not in ("shape-index", "all"):
        raise ArgumentError(f"`curvature` should be shape-index or all, is {curvature!r}")
    names = channel_names(maps)
    read = {}
    for group in check_groups(maps):
        alone = group.name == "curvature" and curvature == "shape-index"
        first = names.index("shape_index" if alone else group.fed_names[0])
        read[group.name] = range(first, first + (1 if alone else len(group.fed)))
    return read


class BranchedNetwork(Network, abstract=True):
    """Base of networks whose branches each read some channels of the maps.

    Attributes:
        maps: Map groups, in the order of the input's channels.
        branches: One `Branch` for each part, by its name.
    """

    maps: tuple[str, ...]
    branches: nn.ModuleDict

    @classmethod
    def published_pixels(cls, settings: NetworkSettings) -> int | None:
        """224 for the backbones of ImageNet; ours have no such size."""
        return 224 if getattr(settings, "backbone", "") in IMAGENET else None

    def branch(self, name: str) -> Branch:
        """The branch of a part."""
        module = self.branches[name]
        assert isinstance(module, Branch)
        return module

    @property
    def concatenated(self) -> int:
        """Total number of channels of all branches."""
        return sum(self.branch(name).out_channels for name in self.branches)

    def pretrained(self) -> Mapping[str, nn.Module]:
        """The branches by name."""
        return {name: self.branch(name) for name in self.branches}

    @classmethod
    def variants(cls, settings: NetworkSettings) -> Mapping[tuple[str, ...], NetworkSettings]:
        """All subsets of the maps."""
        return map_variants(settings)


class ConvolutionalBranches(BranchedNetwork, abstract=True):
    """Base of the published networks: branches of convolutions on the bare maps, and nothing beside them.

    Args:
        maps: Map groups, in the order of the input's channels.
        channels: Name of a branch -> the channels that it reads.
        backbone, width: Backbone and width of the branches, see `fer3d.models.backbones`.
        size: H = W of the input.

    Attributes:
        channels_read: `channels`.
        side: Rows and columns of the features of a branch, at least 2.

    Raises:
        ArgumentError: if the backbone is unknown, or its features would be a single pixel.
    """

    def __init__(
        self,
        maps: Sequence[str],
        channels: Mapping[str, range],
        backbone: str,
        width: int | None,
        size: int,
    ) -> None:
        super().__init__()
        self.maps, self.channels_read = tuple(maps), dict(channels)
        self.side = feature_side(backbone, size)
        if self.side < 2:
            raise ArgumentError(
                f"`size` should give {backbone} features of at least 2 x 2 pixels, is {size}, which gives "
                f"{self.side} x {self.side}; prepare larger maps or choose another `backbone`"
            )
        self.branches = nn.ModuleDict(
            {name: build_branch(backbone, len(read), width) for name, read in channels.items()}
        )

    def branch_features(self, x: torch.Tensor) -> list[torch.Tensor]:
        """(B, C + 1, H, W), the mask last and not used -> (B, D, h, w) of each branch."""
        mask = x[:, -1:]
        return [self.branches[name](x[:, read.start : read.stop], mask) for name, read in self.channels_read.items()]


class PublishedSettings(MapSettings, PretrainedSettings):
    """Settings that the published networks share."""

    width: int | None = Field(None, ge=1, le=1024, description="Features of the first convolution. Unset: the default.")
    fusion: int = Field(128, ge=2, le=4096, description="Features of the fusion convolutions.")
    curvature: Curvature = Field("shape-index", description=CURVATURE_READ)

    def unused_own(self) -> dict[str, str]:
        """See `NetworkSettings.unused_own`."""
        return super().unused_own() | unused_curvature(self.maps)


def feature_side(backbone: str, size: int) -> int:
    """Rows and columns of the features of a branch for maps of `size` x `size` pixels; 0 if these are too few.

    The layers are built without memory, so this costs nothing.

    Raises:
        ArgumentError: if there is no such backbone.
    """
    with torch.device("meta"):
        branch = build_branch(backbone, 1).eval()
        try:
            return int(branch(torch.zeros(1, 1, size, size), torch.zeros(1, 1, size, size)).shape[-1])
        except RuntimeError:  # a kernel larger than its input
            return 0
