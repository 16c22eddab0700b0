"""A plain geodesic CNN [1], the baseline of networks on sample trees: one level, one radius a layer, no pooling.

It reads what FLM-CNN reads: the same channels at the same points, and the same points of the top level for its last
layer. What it lacks are multi-scale encoding, retina-like pooling and the coarser levels of the tree.

References:
    .. [1] Masci, Boscaini, Bronstein, Vandergheynst. Geodesic convolutional neural networks on Riemannian manifolds.
       ICCV Workshops 2015.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import nn

from fer3d.checks import check_choice
from fer3d.config import INVARIANT_UNUSED, TreeSettings
from fer3d.data.tree_batch import VERTEX_FEATURES, TreeBatch
from fer3d.models.network import Network
from fer3d.models.surface_layers import Norm, kernel, mean_and_max, patch_layout, read_top
from fer3d.ops.manifold import manifold_conv_patches, manifold_pool


class GCNN(Network):
    """A pointwise layer, then convolutions of one radius each, all on the points of one level.

    Patches are single samples at equidistant rings; a kernel answers with its largest response over its rotations.

    Args:
        radii: The radii of the stencils around the points, mm: one list.
        rings: R ring distances, as shares of a radius.
        rays: Number of rays, A.
        classes: K.
        block_radii: S radii of each transition of the tree that the points are of. Each convolution has the middle one
            of its transition, and those without a transition that of the last. None: the middle one of `radii`.
        points: Number of points of the top level of that tree, which the last layer reads as `read_top` says. None: it
            reads mean and maximum over all points, as until 0.1.
        landmarks: Whether the points of the top level are landmarks.
        vertex_features: "invariant", or "xyz": see `fer3d.data.tree_batch.VERTEX_FEATURES`.
        width: Features of the first convolution; each further convolution has twice as many.
        dropout: Dropout before the last layer.
        layers: Number of convolutions.

    Raises:
        ArgumentError: if the stencils have too few rings or rays, or `vertex_features` is unknown.
    """

    reads = "trees"

    class Settings(TreeSettings):
        """Settings of the plain geodesic CNN."""

        width: int = Field(32, ge=1, le=1024, description="Features of the first convolution.")
        layers: int = Field(3, ge=1, le=16, description="Number of convolutions.")
        dropout: float = Field(0.5, ge=0.0, lt=1.0, description="Dropout before the last layer.")

        @property
        def levels(self) -> Literal["finest"]:
            """All points of the tree on one level."""
            return "finest"

        def flat_radii(self, radii: Sequence[Sequence[float]]) -> tuple[float, ...]:
            """The middle radius of each transition that has a convolution."""
            return super().flat_radii([[span[len(span) // 2]] for span in radii[: self.layers]])

        def unused(self) -> Mapping[str, str]:
            """With invariant features, settings that move vertices: curvatures depend only on face size."""
            return INVARIANT_UNUSED if self.vertex_features == "invariant" else {}

    def __init__(
        self,
        radii: Sequence[Sequence[float]],
        rings: Sequence[float],
        rays: int,
        classes: int = 6,
        *,
        block_radii: Sequence[Sequence[float]] | None = None,
        points: int | None = None,
        landmarks: bool = False,
        vertex_features: str = "invariant",
        width: int = 32,
        dropout: float = 0.5,
        layers: int = 3,
    ) -> None:
        super().__init__()
        check_choice("vertex_features", vertex_features, VERTEX_FEATURES)
        self.layout, self.points = patch_layout(len(rings), rays, False), points
        spans = [block_radii[min(number, len(block_radii) - 1)] for number in range(layers)] if block_radii else []
        middle = len(radii[0]) // 2
        self.scales = [list(radii[0]).index(span[len(span) // 2]) for span in spans] or [middle] * layers
        self.first = nn.Sequential(nn.Linear(len(VERTEX_FEATURES[vertex_features]), width), nn.ReLU())
        channels = width
        self.kernels, self.norms = nn.ParameterList(), nn.ModuleList()
        for number in range(layers):
            self.kernels.append(kernel(channels, width * 2**number))
            channels = width * 2**number
            self.norms.append(Norm(channels))
        read = channels * points if landmarks and points is not None else 2 * channels
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(read, classes))

    def features(self, batch: TreeBatch) -> torch.Tensor:
        """A normalised batch -> (B, D), see `read_top`."""
        x, last = self.first(batch.values), len(self.kernels) - 1
        for number, (weight, norm) in enumerate(zip(self.kernels, self.norms, strict=True)):
            rows = self.points if number == last else None
            indices, weights = (part[0][:, :rows, self.scales[number]] for part in (batch.indices, batch.weights))
            patches = manifold_pool(x.float(), indices, weights, self.layout, "mean")
            x = norm(manifold_conv_patches(patches, weight)).relu()
        return mean_and_max(x, batch.real) if self.points is None else read_top(x, batch, self.points)

    def forward(self, batch: TreeBatch) -> torch.Tensor:
        """A normalised batch -> (B, K) logits."""
        logits: torch.Tensor = self.head(self.features(batch))
        return logits
