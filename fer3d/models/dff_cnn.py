"""DFF-CNN: one branch a map group, feature fusion by convolution, global average pooling (spec 2.2 and 2.3).

Of the paper [1] only the abstract and a thesis summary could be read: several 2D attribute maps of one 3D face (depth,
normal, shape index), a fusion network fine-tuned from image weights, global average pooling to save parameters [F].
How deep, how wide and at what resolution is not known: every number here is our choice [D].

References:
    .. [1] Tian, Zeng, McGrath, Yin, Wang. 3D facial expression recognition using deep feature fusion CNN. ISSC 2019.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import nn
from torch.nn import functional

from fer3d.config import MapSettings, NetworkSettings
from fer3d.image.convolutions import Branch, conv_block
from fer3d.maps.registry import STANDARD_GROUPS, check_groups
from fer3d.models.backbones import LOCALLY_CONNECTED, build_branch
from fer3d.models.concatenate import side_by_side
from fer3d.models.network import Criterion, Losses, Network, PretrainedSettings, map_variants
from fer3d.models.plain_cnn import PlainCNN

_EARLY = 64  # pixels along a side: of 96 x 96 a plain CNN learned less


class FusionSettings(MapSettings, PretrainedSettings):
    """What DFF-CNN and DF-CNN can be told."""

    backbone: Literal["oriented", "scattering", "small", "vgg-m", "vgg-16", "resnet-18"] = Field(
        "oriented", description="Layers of the branches, see `fer3d.models.backbones`."
    )
    width: int | None = Field(None, ge=1, le=1024, description="Features of the first convolution. Unset: the usual.")
    fusion: int = Field(128, ge=2, le=4096, description="Features of the fusion convolutions.")
    dropout: float | None = Field(None, ge=0.0, lt=1.0, description="Before the last layer. Unset: the model's own.")
    location_dropout: float = Field(
        0.5,
        ge=0.0,
        lt=1.0,
        description="Share of its inputs that a locally connected layer misses in training.",
    )
    mask: bool = Field(False, description="Whether branches also see which pixels were measured.")
    position: bool = Field(True, description="Whether convolutional branches also see where on the map a pixel lies.")
    map_dropout: float = Field(
        0.2, ge=0.0, lt=1.0, description="Chance that the fusion misses a map of a scan while training."
    )
    auxiliary: float = Field(
        0.3, ge=0.0, le=10.0, description="Weight of the loss of each branch's own classifier. 0: none."
    )

    @model_validator(mode="after")
    def _used_by_the_branches(self) -> Self:
        if self.backbone in LOCALLY_CONNECTED:
            self.refuse("position", f"is of convolutional branches, `backbone` is {self.backbone}")
        else:
            self.refuse("location_dropout", f"is of locally connected branches, `backbone` is {self.backbone}")
        if not self.freeze_epochs:
            self.refuse("frozen_lr", "is of frozen branches, `freeze_epochs` is 0")
        return self


class FusionNetwork(Network, abstract=True):
    """What DFF-CNN and DF-CNN share: branches, whose features are concatenated for `fuse`, then `head`.

    Attributes:
        maps: Map groups, in the order of the input's channels.
        branches: One a group.
        fuse: (B, sum of D, h, w) -> (B, fused).
        head: (B, fused) -> (B, K) logits.
    """

    warps = True

    def __init__(
        self,
        maps: Sequence[str],
        backbone: str,
        width: int | None,
        location_dropout: float,
        mask: bool,
        position: bool,
        map_dropout: float,
        auxiliary: float,
        classes: int,
    ) -> None:
        super().__init__()
        groups = check_groups(maps)
        self.maps = tuple(group.name for group in groups)
        self.channels = [len(group.fed) for group in groups]
        self.mask, self.map_dropout = mask, map_dropout
        self.whole_face = backbone in LOCALLY_CONNECTED
        self.position = position and not self.whole_face  # which know where they look
        extra = mask + 2 * self.position
        self.branches = nn.ModuleDict(
            {
                group: build_branch(backbone, count, width, extra, location_dropout)
                for group, count in zip(self.maps, self.channels, strict=True)
            }
        )
        self.auxiliary, self.auxiliary_weight = nn.ModuleDict(), float(auxiliary)
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
        if self.whole_face:
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
        """(B, C + 1, H, W) -> (B, K) logits."""
        logits: torch.Tensor = self.head(self.features(x))
        return logits

    def losses(self, x: torch.Tensor, criterion: Criterion) -> Losses:
        """That of the logits, and that of each branch's own classifier."""
        parts = self.branch_features(x)
        logits: torch.Tensor = self.head(self.fuse(self.concatenate(parts)))
        return Losses(logits, {"classification": criterion(logits), **self.auxiliary_losses(parts, criterion)})

    def auxiliary_losses(self, parts: Sequence[torch.Tensor], criterion: Criterion) -> dict[str, torch.Tensor]:
        """Name -> weighted loss of the branches' own classifiers, on their features (B, D, h, w)."""
        return {
            f"auxiliary.{group}": self.auxiliary_weight * criterion(self.auxiliary[group](part.mean((2, 3))))
            for group, part in zip(self.maps, parts, strict=True)
            if group in self.auxiliary
        }

    def pretrained(self) -> Mapping[str, nn.Module]:
        """The branches by map group."""
        return {group: self.branch(group) for group in self.maps}

    @classmethod
    def variants(cls, settings: NetworkSettings) -> Mapping[tuple[str, ...], NetworkSettings]:
        """All subsets of the maps."""
        return map_variants(settings)


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
        location_dropout: See `fer3d.models.backbones.build_branch`.
        mask: Whether each branch also sees which pixels were measured.
        position: Whether each branch also sees where a pixel lies, x to the right and y up from -1 to 1 [D]: aligned
            faces have their features in known places, which global average pooling would forget. Of no use to
            `scattering` and `oriented` branches, which have weights for every place.
        map_dropout: Chance that the fusion does not see a map of a scan while training [D].
        auxiliary: Weight of the loss of a linear classifier of each branch, so that none lives off the others' gradient
            [D]. 0: there are none.
        early_fusion: Whether there is early fusion.
        target: Kind of the target, which says how two answers become one.

    Raises:
        ArgumentError: if a map group or the backbone is unknown, or `size` too small for early fusion.
    """

    class Settings(FusionSettings):
        """What DFF-CNN can be told."""

        early_fusion: bool | None = Field(
            None,
            description="Whether a plain CNN on all maps stacked has a say beside the branches. Unset: if these have "
            "weights for every location.",
        )

        def derived(self) -> dict[str, Any]:
            """Early fusion as asked for; else beside branches that learn no small shapes themselves."""
            wanted = self.backbone in LOCALLY_CONNECTED if self.early_fusion is None else self.early_fusion
            return {"early_fusion": wanted}

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
        location_dropout: float = 0.5,
        mask: bool = False,
        position: bool = True,
        map_dropout: float = 0.0,
        auxiliary: float = 0.3,
        early_fusion: bool = False,
        target: str = "classes",
    ) -> None:
        super().__init__(maps, backbone, width, location_dropout, mask, position, map_dropout, auxiliary, classes)
        self.fuse = nn.Sequential(
            *self.fusion_convolutions(fusion, fusion),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
        late, early = (0.3, 0.5) if dropout is None else (dropout, dropout)
        self.head = nn.Sequential(nn.Dropout(late), nn.Linear(fusion, classes))
        self.target = target
        self.early = PlainCNN(maps, classes, size=min(size, _EARLY), dropout=early) if early_fusion else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C + 1, H, W) -> (B, K) logits."""
        logits = super().forward(x)
        return logits if self.early is None else self._answer(logits, self._early(x))

    def losses(self, x: torch.Tensor, criterion: Criterion) -> Losses:
        """Early fusion has a loss of its own, beside that of the fused branches and those of each branch."""
        found = super().losses(x, criterion)
        if self.early is None:
            return found
        late, early = found.outputs, self._early(x)
        (first, value), *rest = found.terms.items()
        terms = {first: value, "early": criterion(early), **dict(rest)}
        return Losses(self._answer(late, early), terms)

    def _early(self, x: torch.Tensor) -> torch.Tensor:
        assert self.early is not None
        logits: torch.Tensor = self.early(_at_most(x, _EARLY))
        return logits

    def _answer(self, late: torch.Tensor, early: torch.Tensor) -> torch.Tensor:
        """Of classes the mean of both logarithms of probabilities; of other targets the mean of both outputs."""
        if self.target != "classes":
            return (late + early) / 2
        answer: torch.Tensor = (late.log_softmax(dim=-1) + early.log_softmax(dim=-1)) / 2
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
