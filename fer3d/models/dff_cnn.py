"""DFF-CNN: one branch a map group, feature fusion by convolution, global average pooling (spec 2.2 and 2.3).

Of the paper [1] only the abstract and a thesis summary could be read: several 2D attribute maps of one 3D face (depth,
normal, shape index), a fusion network fine-tuned from image weights, global average pooling to save parameters [F].
How deep, how wide and at what resolution is not known: every number here is our choice [D].

References:
    .. [1] Tian, Zeng, McGrath, Yin, Wang. 3D facial expression recognition using deep feature fusion CNN. ISSC 2019.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from fer3d.image.convolutions import Branch, conv_block
from fer3d.maps.registry import STANDARD_GROUPS, check_groups
from fer3d.models.backbones import PLACED, build_branch
from fer3d.models.concatenate import side_by_side
from fer3d.models.plain_cnn import PlainCNN

_EARLY = 64  # pixels along a side: of 96 x 96 a plain CNN learned less


class FusionNetwork(nn.Module):
    """What DFF-CNN and DF-CNN share: branches, whose features are concatenated for `fuse`, then `head`.

    Attributes:
        maps: Map groups, in the order of the input's channels.
        channels: How many of these each has.
        branches: One a group.
        fuse: (B, sum of D, h, w) -> (B, fused).
        head: (B, fused) -> (B, K) logits.
        registers: Its maps are registered (`fer3d.data.warp`) unless the settings say otherwise.
    """

    registers = True

    def __init__(
        self,
        maps: Sequence[str],
        backbone: str,
        width: int | None,
        place_dropout: float,
        mask: bool,
        position: bool,
        map_dropout: float,
        auxiliary: bool,
        classes: int,
    ) -> None:
        super().__init__()
        groups = check_groups(maps)
        self.maps = tuple(group.name for group in groups)
        self.channels = [len(group.fed) for group in groups]
        self.mask, self.map_dropout = mask, map_dropout
        self.placed = backbone in PLACED
        self.position = position and not self.placed  # which know where they look
        extra = mask + 2 * self.position
        self.branches = nn.ModuleDict(
            {
                group: build_branch(backbone, count, width, extra, place_dropout)
                for group, count in zip(self.maps, self.channels, strict=True)
            }
        )
        self.auxiliary = nn.ModuleDict()
        if auxiliary and len(maps) > 1:
            self.auxiliary.update({group: nn.Linear(self.branch(group).out_channels, classes) for group in maps})
        self.fuse: nn.Module = nn.Identity()
        self.head: nn.Module = nn.Identity()

    def branch(self, group: str) -> Branch:
        """The branch of a map group."""
        module = self.branches[group]
        assert isinstance(module, Branch)
        return module

    @property
    def concatenated(self) -> int:
        """Channels of all branches together."""
        return sum(self.branch(group).out_channels for group in self.maps)

    def fusion_convolutions(self, out: int, last: int) -> list[nn.Module]:
        """1 x 1 to `out` features, 3 x 3 to `last` at half the size; of whole faces one of 1 x 1 to `last`."""
        if self.placed:
            return [*conv_block(self.concatenated, last, 1)]
        return [*conv_block(self.concatenated, out, 1), *conv_block(out, last, stride=2)]

    def branch_features(self, x: torch.Tensor) -> list[torch.Tensor]:
        """(B, C + 1, H, W), the mask last -> one (B, D, h, w) a group."""
        extra = [x[:, -1:]] if self.mask else []
        if self.position:
            extra.append(_positions(x))
        pairs = zip(self.maps, torch.split(x[:, :-1], self.channels, dim=1), strict=True)
        return [self.branches[group](torch.cat([part, *extra], dim=1), x[:, -1:]) for group, part in pairs]

    def concatenate(self, parts: Sequence[torch.Tensor]) -> torch.Tensor:
        """Features of the branches, (B, D, h, w) each -> (B, sum of D, h, w); while training, without some of them."""
        return side_by_side(parts, self.map_dropout if self.training else 0.0)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C + 1, H, W) -> the fused feature (B, fused)."""
        fused: torch.Tensor = self.fuse(self.concatenate(self.branch_features(x)))
        return fused

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C + 1, H, W) -> (B, K) logits; while training, (1 + number of auxiliary heads, B, K)."""
        parts = self.branch_features(x)
        logits: torch.Tensor = self.head(self.fuse(self.concatenate(parts)))
        if not self.training:
            return logits
        extra = [
            self.auxiliary[group](part.mean((2, 3)))
            for group, part in zip(self.maps, parts, strict=True)
            if group in self.auxiliary
        ]
        return torch.stack([logits, *extra])


class DFFCNN(FusionNetwork):
    """DFF-CNN: fusion convolutions of 1 x 1 and, at half the resolution, 3 x 3; global average pooling; a linear layer.

    The default branches give features of the whole face, for which the second convolution is left out and the pooling
    has nothing to do. Beside them stands early fusion [D]: a plain CNN on all maps stacked, of at most 64 x 64 pixels,
    trained by a loss of its own. The logits are the mean of both logarithms of probabilities: fixed filters with
    weights for every place and learned ones without err on other scans. What it was worth on 162 simulated people kept
    for tuning, with `scattering` branches: all maps 81.8 to 82.2 %, curvature alone 80.6 to 82.2 %.

    Args:
        maps: Map groups, in the order of the input's channels.
        classes: K.
        size: H = W of the input: early fusion depends on it.
        backbone, width: Of the branches, see `fer3d.models.backbones`.
        fusion: Features of the fusion convolutions.
        dropout: Before the last layer, and that of early fusion. Unset: 0.3, and 0.5 as in the plain CNN.
        place_dropout: See `fer3d.models.backbones.build_branch`.
        mask: Whether each branch also sees which pixels were measured.
        position: Whether each branch also sees where a pixel lies, x to the right and y up from -1 to 1 [D]: aligned
            faces have their features in known places, which global average pooling would forget. Of no use to
            `scattering` and `oriented` branches, which have weights for every place.
        map_dropout: Chance that the fusion does not see a map of a scan while training [D].
        auxiliary: Whether each branch has a linear classifier of its own while training, so that none lives off the
            others' gradient [D].
        early_fusion: Whether there is early fusion.

    Raises:
        ArgumentError: if a map group or the backbone is unknown, or `size` too small for early fusion.
    """

    def __init__(
        self,
        maps: Sequence[str] = STANDARD_GROUPS,
        classes: int = 6,
        *,
        size: int = 96,
        backbone: str = "oriented",
        width: int | None = None,
        fusion: int = 128,
        dropout: float | None = None,
        place_dropout: float = 0.5,
        mask: bool = False,
        position: bool = True,
        map_dropout: float = 0.0,
        auxiliary: bool = True,
        early_fusion: bool = False,
    ) -> None:
        super().__init__(maps, backbone, width, place_dropout, mask, position, map_dropout, auxiliary, classes)
        self.fuse = nn.Sequential(
            *self.fusion_convolutions(fusion, fusion),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
        late, early = (0.3, 0.5) if dropout is None else (dropout, dropout)
        self.head = nn.Sequential(nn.Dropout(late), nn.Linear(fusion, classes))
        self.early = PlainCNN(maps, classes, size=min(size, _EARLY), dropout=early) if early_fusion else None

    @property
    def experts(self) -> int:
        """How many parts give an answer of their own, see `fer3d.models`."""
        return 1 if self.early is None else 2

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C + 1, H, W) -> (B, K) logits; while training, (experts + number of auxiliary heads, B, K)."""
        logits = super().forward(x)
        if self.early is None:
            return logits
        early = self.early.head(self.early.features(_at_most(x, _EARLY)))
        if self.training:
            return torch.cat([logits[:1], early[None], logits[1:]])
        answer: torch.Tensor = (logits.log_softmax(dim=-1) + early.log_softmax(dim=-1)) / 2
        return answer


def _at_most(x: torch.Tensor, size: int) -> torch.Tensor:
    """(B, C, H, W) -> the same, or averaged to `size` rows and columns if it has more."""
    return functional.adaptive_avg_pool2d(x, size) if x.shape[-1] > size else x


def _positions(x: torch.Tensor) -> torch.Tensor:
    """(B, 2, H, W): x to the right and y up, from -1 to 1."""
    height, width = x.shape[-2:]
    right = torch.linspace(-1.0, 1.0, width, device=x.device, dtype=x.dtype).expand(height, width)
    up = torch.linspace(1.0, -1.0, height, device=x.device, dtype=x.dtype)[:, None].expand(height, width)
    return torch.stack([right, up]).expand(len(x), 2, height, width)
