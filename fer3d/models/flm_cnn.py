"""FLM-CNN [1], as far as it is known: multi-scale, retina-like convolution on a sample tree of the surface.

The full text of the paper was not available. Known from its abstract [F: papers3d 1.1]: a manifold CNN with
human-vision-inspired pooling (HVP), a multi-scale encoding strategy (MES) and a sampling tree, which saves memory, on
features that do not depend on rotation. Known from its first author's earlier code [F: papers3d 1.2]: patches at the 68
landmarks of iBUG, whose features are concatenated for the last layers. All else is our reconstruction [D]:

- **inputs**: shape index, curvedness, mean and Gaussian curvature of each vertex, which no motion of the head changes.
  There is no frame of the face, no position and no reference direction anywhere in the network;
- **tree**: three blocks lead from 4,096 points to 1,024, to 256, and to the 68 landmarks, or to as many points far from
  each other where landmarks are not to be used;
- **MES**: each block convolves patches of S radii, each with a kernel of its own, and encodes the responses jointly;
- **HVP**: the bins of a kernel pool the surface with fixed Gaussian footprints that grow with eccentricity, three rings
  of eight, and the centre (`fer3d.ops.retina`). A sample beyond the boundary of the scan counts as the mean of the
  training scans;
- **rotation**: a kernel answers with its largest response over all rotations by rays of the stencil [2]
  (`fer3d.ops.manifold_conv`), so that it does not matter where a patch starts to count its rays;
- **read-out**: the features of the 68 landmarks one after the other, or mean and maximum over the points where they are
  not landmarks; one layer, and the classifier.

References:
    .. [1] Chen, Huang, Wang, Chen. Fast and Light Manifold CNN based 3D Facial Expression Recognition across Pose
       Variations. ACM Multimedia 2018.
    .. [2] Masci, Boscaini, Bronstein, Vandergheynst. Geodesic convolutional neural networks on Riemannian manifolds.
       ICCV Workshops 2015.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from pydantic import Field
from torch import nn

from fer3d.config import INVARIANT_UNUSED, LANDMARK_TREE, NetworkSettings, TreeSettings
from fer3d.data.tree_batch import VERTEX_FEATURES, TreeBatch
from fer3d.errors import ArgumentError
from fer3d.models.network import Network
from fer3d.models.surface_layers import RAYS, RINGS, Norm, kernel, read_top, single_rings
from fer3d.models.tree_parts import part_variants
from fer3d.ops.manifold import manifold_conv
from fer3d.ops.retina import retina_footprints, single_samples, spread_kernel

POINTS = LANDMARK_TREE["tree_levels"][-1]  # of the top level
BLOCKS = len(LANDMARK_TREE["tree_levels"]) - 1


class FLMCNN(Network):
    """FLM-CNN for trees with given stencils.

    Args:
        radii: S radii of the stencils of each transition that is read, mm.
        rings: R ring distances, as shares of a radius.
        rays: Number of rays, A.
        classes: K.
        block_radii: S radii of each block; those of the transitions of the tree.
        points: Number of points of the top level.
        landmarks: Whether they are the landmarks of a scheme, in its order.
        width: Features of the first layer; each block has twice as many as what is before it.
        hidden: Features of the layer before the classifier.
        dropout: Dropout before the classifier.
        mes: Whether to use multi-scale encoding. False: only the middle radius, with as many features as all radii
            together would have.
        hvp: Whether to use human-vision-inspired pooling. False: single samples.
        tree: Whether each block leads to a coarser level. False: all blocks convolve on all points of the tree, with
            the same radii, and the last layers read the same points; see `fer3d.tree.one_level`.

    Raises:
        ArgumentError: if the tree is not that of FLM-CNN, or its stencils have too few rings or rays; says how to
            prepare one.
    """

    reads = "trees"

    class Settings(TreeSettings):
        """Settings of FLM-CNN."""

        vertex_features: Literal["invariant"] = Field(
            "invariant", description="Shape index, curvedness, mean and Gaussian curvature: the network has no other."
        )
        mes: bool = Field(True, description="Multi-scale encoding. false: the middle radius only.")
        hvp: bool = Field(True, description="Human-vision-inspired pooling. false: single samples.")
        tree: bool = Field(True, description="The sample tree. false: all blocks use all points of the finest level.")
        width: int = Field(16, ge=1, le=1024, description="Features of the first layer; twice as many in each block.")
        hidden: int = Field(256, ge=1, le=4096, description="Features that the last layer reads.")
        dropout: float = Field(0.5, ge=0.0, lt=1.0, description="Dropout before the last layer.")

        @property
        def levels(self) -> Literal["all", "finest"]:
            """All levels of the tree, or all of its points on one level."""
            return "all" if self.tree else "finest"

        def flat_radii(self, radii: Sequence[Sequence[float]]) -> tuple[float, ...]:
            """The radii of all blocks; without multi-scale encoding the middle one of each."""
            return super().flat_radii(radii if self.mes else [[span[len(span) // 2]] for span in radii])

        def unused(self) -> Mapping[str, str]:
            """Settings that move vertices: curvatures depend only on face size."""
            return INVARIANT_UNUSED

    def __init__(
        self,
        radii: Sequence[Sequence[float]],
        rings: Sequence[float],
        rays: int,
        classes: int = 6,
        *,
        block_radii: Sequence[Sequence[float]],
        points: int,
        landmarks: bool = False,
        width: int = 16,
        hidden: int = 256,
        dropout: float = 0.5,
        mes: bool = True,
        hvp: bool = True,
        tree: bool = True,
    ) -> None:
        super().__init__()
        _check_fit(block_radii, points, rings, rays)
        self.points, self.landmarks, self.tree = points, landmarks, tree
        taken = list(range(len(rings))) if hvp else single_rings(len(rings))
        shares = retina_footprints(rings, rays) if hvp else single_samples(RINGS, rays, range(RINGS))
        channels = len(VERTEX_FEATURES["invariant"])
        self.first = nn.Sequential(nn.Linear(channels, width, bias=False), Norm(width), nn.ReLU())
        blocks, channels = [], width
        for number, span in enumerate(block_radii):
            chosen = span if mes else [span[len(span) // 2]]
            scales = [list(radii[number if tree else 0]).index(radius) for radius in chosen]
            out = 2 * channels
            blocks.append(Block(channels, out * (1 if mes else len(span)), out, scales, taken, shares))
            channels = out
        self.blocks = nn.ModuleList(blocks)
        self.encode = nn.Sequential(nn.Linear(channels * (points if landmarks else 2), hidden), nn.ReLU())
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(hidden, classes))

    @classmethod
    def arguments(
        cls, settings: NetworkSettings, classes: int, shape: Mapping[str, Any], target: str = "classes"
    ) -> dict[str, Any]:
        """See `Network.arguments`. ArgumentError, before a run is begun, if the trees do not fit."""
        _check_fit(shape["block_radii"], shape["points"], shape["rings"], shape["rays"])
        return super().arguments(settings, classes, shape, target)

    def point_features(self, batch: TreeBatch) -> torch.Tensor:
        """A normalised batch -> (B, L, D): features of the points of the top level."""
        x: torch.Tensor = self.first(batch.values)
        for number, block in enumerate(self.blocks):
            indices, weights = (part[number if self.tree else 0] for part in (batch.indices, batch.weights))
            if number == len(self.blocks) - 1:  # on one level, no more is read
                indices, weights = indices[:, : self.points], weights[:, : self.points]
            x = block(x, indices, weights)
        return x

    def features(self, batch: TreeBatch) -> torch.Tensor:
        """A normalised batch -> (B, hidden)."""
        if self.landmarks != (batch.order is not None):
            wanted = "landmarks" if self.landmarks else "points without names"
            raise ArgumentError(f"`batch` should have trees whose top level is {wanted}")
        encoded: torch.Tensor = self.encode(read_top(self.point_features(batch), batch, self.points))
        return encoded

    def forward(self, batch: TreeBatch) -> torch.Tensor:
        """A normalised batch -> (B, K) logits."""
        logits: torch.Tensor = self.head(self.features(batch))
        return logits

    @classmethod
    def variants(cls, settings: NetworkSettings) -> Mapping[tuple[str, ...], NetworkSettings]:
        """The three components of the paper: none, all but one, all. ArgumentError if `settings` lack one."""
        return part_variants(settings)


class Block(nn.Module):
    """From one level to the next: the responses in patches of several radii, encoded jointly.

    Args:
        channels: Features of the level below, C.
        features: Features of each radius, O.
        out: Features of the level above.
        scales: Indices of the radii to use.
        taken: Indices of the rings of the stencils to use.
        footprints: (3, 8, R, A) share of the samples of those rings in the bins of a kernel.
    """

    def __init__(
        self,
        channels: int,
        features: int,
        out: int,
        scales: Sequence[int],
        taken: Sequence[int],
        footprints: torch.Tensor,
    ) -> None:
        super().__init__()
        self.scales, self.taken = tuple(scales), list(taken)
        self.register_buffer("footprints", footprints, persistent=False)
        self.kernels = nn.ParameterList(kernel(channels, features) for _ in scales)
        self.centres = nn.ModuleList(nn.Linear(channels, features, bias=False) for _ in scales)
        self.answers = Norm(features * len(scales))
        self.encode = nn.Sequential(nn.Linear(features * len(scales), out, bias=False), Norm(out), nn.ReLU())

    footprints: torch.Tensor

    def forward(self, x: torch.Tensor, indices: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """(B, N, C) features of the level below -> (B, V, out) of the level above.

        Args:
            x: (B, N, C).
            indices, weights: (B, V, S, R, A, 3).
        """
        if len(self.taken) < indices.shape[3]:
            indices, weights = indices[:, :, :, self.taken], weights[:, :, :, self.taken]
        above, answers = indices.shape[1], []
        with torch.autocast(x.device.type, enabled=False):  # the native op has no half precision on a CPU
            x = x.float()
            for number, scale in enumerate(self.scales):
                spread = spread_kernel(self.kernels[number], self.footprints)
                largest = manifold_conv(x, indices[:, :, scale], weights[:, :, scale], spread)
                answers.append(largest + self.centres[number](x[:, :above]))
        joint = self.answers(torch.cat(answers, dim=-1)).relu()  # (B, V, S O)
        encoded: torch.Tensor = self.encode(joint)
        return encoded


def _check_fit(block_radii: Sequence[Sequence[float]], points: int, rings: Sequence[float], rays: int) -> None:
    """Raise ArgumentError, with what to type, unless a tree has the levels and the stencils of FLM-CNN."""
    again = "prepare them again: fer3d preprocess SCANS -o NEW_FOLDER --tree --set tree_top=landmarks"
    if len(block_radii) != BLOCKS or points != POINTS:
        raise ArgumentError(
            f"flm-cnn should have trees of {BLOCKS + 1} levels with {POINTS} points at the top, the scans have "
            f"{len(block_radii) + 1} levels with {points}; {again}"
        )
    if len(rings) < RINGS or rays % RAYS:
        raise ArgumentError(
            f"flm-cnn should have stencils of {RINGS} or more rings and a multiple of {RAYS} rays, has {len(rings)} "
            f"and {rays}; {again}"
        )
