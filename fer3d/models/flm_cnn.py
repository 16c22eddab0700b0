"""FLM-CNN: convolution on the surface itself, at several radii, with pooling like a retina's, on a sample tree.

The paper's text was out of reach. Known of it [F: abstract, papers3d 1.1]: a manifold CNN with human-vision-inspired
pooling (HVP), multi-scale encoding (MES) and a sampling tree, on rotation-invariant features. Known of its first
author's earlier code [F: papers3d 1.2]: landmark patches through an FC layer and three geodesic convolutions, then a
maximum over vertices. All else here is our reconstruction [D]:

- **tree**: one block a transition of `fer3d.tree.SampleTree`: from 4,096 vertices to 512 and to 128 by default;
- **MES**: each block convolves patches of S radii with kernels of their own and encodes the answers jointly by
  pointwise layers, together with the features of the centre, which lies in no ring;
- **HVP**: fine stencils are pooled to three rings of eight rays, whose footprints grow with eccentricity
  (`ops.retina_layout`); without it, three rings at equal distances are sampled at points;
- rays are counted from the direction away from the nose tip, as the author's earlier code had a fixed reference [F];
  `rotation="max"` takes the maximum over rotations of a kernel instead (`ops.manifold_conv_patches`), as GCNN [2];
- what a patch looks like from its centre, as channels of every block: height over the tangent plane, distance, and the
  normal in the sample's own polar frame; and where on the face a vertex lies and how it faces, in a frame that the
  surface itself gives (`face_frame`). None of them changes under a rigid motion;
- beside the blocks, filters that need no learning, as on the maps of DFF-CNN: orientation energy in the patches of the
  middle radius (`patch_orientation`);
- what the blocks and these filters say is laid on a grid on the face (`FaceGrid`), and read with weights for every
  place: with a few dozen people to learn from, mean and maximum over the vertices, which forget the place, did worse.
  The order of the vertices still does not matter, nor does a rigid motion, with which the grid moves.

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

from fer3d.checks import check_choice
from fer3d.config import NetworkSettings, TreeSettings
from fer3d.data.tree_batch import VERTEX_FEATURES, TreeBatch, real_rows
from fer3d.errors import ArgumentError
from fer3d.image.convolutions import conv_block
from fer3d.models.concatenate import side_by_side
from fer3d.models.face_grid import FaceGrid, face_frame
from fer3d.models.local_layers import locally_connected
from fer3d.models.network import Criterion, Losses, Network
from fer3d.models.surface_filters import SurfaceFilters
from fer3d.ops.manifold import RetinaLayout, manifold_conv_patches, manifold_pool, retina_layout

_RINGS, _RAYS = 3, 8  # of a patch, pooled or not
_GEOMETRY = 6  # channels of `_geometry`
_PLACE = 6  # channels of `_places`
_FEATURES = 48  # of each part, of the whole face
PARTS = ("mes", "hvp", "tree")  # settings that switch the ideas of the paper off
_FACE = 90.0  # mm, the radius of the ball that preprocessing keeps


class FLMCNN(Network):
    """FLM-CNN on trees of one kind.

    Args:
        radii: S radii of each transition of the tree, mm.
        rings: Shares of a radius, R of them.
        rays: A.
        classes: K.
        vertex_features: "invariant", or "xyz": see `fer3d.data.tree_batch.VERTEX_FEATURES`. With the latter a network
            sees positions and normals as they are stored, and neither the geometry of its patches nor the frame of the
            face.
        rotation: "fixed" or "max", see the module.
        width: Features of each radius in the first block; twice as many in each next.
        depth: Pointwise layers that encode the radii of a block jointly.
        dropout: Before the last layer.
        location_dropout: Share of the numbers on the grid that a scan misses while training.
        map_dropout: Chance that the fusion does not see a part of a scan, the filters or a block, while training.
        auxiliary: Weight of the loss of a linear classifier of each part while training. 0: there are none.
        mes: Multi-scale encoding. Without it, the middle radius alone, with as many features as all would have.
        hvp: Human-vision-inspired pooling.
        tree: False for trees of one level, see `tree_data.one_level`: every block convolves on the same vertices.

    Raises:
        ArgumentError: if the stencils have too few rings or rays, or `vertex_features` or `rotation` is unknown.
    """

    reads = "trees"

    class Settings(TreeSettings):
        """What FLM-CNN can be told."""

        rotation: Literal["fixed", "max"] = Field(
            "fixed", description="Kernels lie along the ray away from the nose, or as they answer most."
        )
        mes: bool = Field(True, description="Multi-scale encoding. false: the middle radius alone.")
        hvp: bool = Field(True, description="Human-vision-inspired pooling. false: single samples.")
        tree: bool = Field(True, description="The sample tree. false: all on the vertices of one level.")
        width: int = Field(16, ge=1, le=1024, description="Features of each radius in the first block.")
        depth: int = Field(1, ge=1, le=16, description="Layers that encode the radii of a block jointly.")
        hidden: int = Field(128, ge=1, le=4096, description="Features that the last layer reads.")
        dropout: float = Field(0.3, ge=0.0, lt=1.0, description="Before the last layer.")
        location_dropout: float = Field(
            0.5, ge=0.0, lt=1.0, description="Share of the numbers on the face's grid that a scan misses in training."
        )
        map_dropout: float = Field(
            0.2,
            ge=0.0,
            lt=1.0,
            description="Chance that the fusion misses a part, the filters or a block, in training.",
        )
        auxiliary: float = Field(
            0.3, ge=0.0, le=10.0, description="Weight of the loss of each part's own classifier. 0: none."
        )

        @property
        def whole_tree(self) -> bool:
            """Whether all levels of a tree are fed, or the vertices of one."""
            return self.tree

        def unused(self) -> Mapping[str, str]:
            """What a shift of the whole face changes, which no invariant feature shows."""
            if self.vertex_features != "invariant":
                return {}
            reason = "moves the face as a whole, which `vertex_features` invariant do not show"
            return {"shift_mm": reason, "depth_jitter_mm": reason}

    def __init__(
        self,
        radii: Sequence[Sequence[float]],
        rings: Sequence[float],
        rays: int,
        classes: int = 6,
        *,
        vertex_features: str = "invariant",
        rotation: str = "fixed",
        width: int = 16,
        depth: int = 1,
        dropout: float = 0.3,
        location_dropout: float = 0.5,
        map_dropout: float = 0.0,
        auxiliary: float = 0.3,
        mes: bool = True,
        hvp: bool = True,
        tree: bool = True,
        hidden: int = 128,
    ) -> None:
        super().__init__()
        check_choice("vertex_features", vertex_features, VERTEX_FEATURES)
        check_choice("rotation", rotation, ("fixed", "max"))
        layout = patch_layout(len(rings), rays, hvp)
        self.invariant = vertex_features == "invariant"
        self.tree, self.map_dropout = tree, map_dropout
        channels, blocks = len(VERTEX_FEATURES[vertex_features]), []
        self.grid = FaceGrid()
        fine = (range(len(rings)), 1) if hvp else ([first for first, _ in layout.rings], rays // layout.rays)
        self.filters = SurfaceFilters(channels, radii[0], rings, *fine, facing=self.invariant)
        laid = [self.filters.out_channels]
        for number, span in enumerate(radii):
            scales = range(len(span)) if mes else [len(span) // 2]
            features = width * 2**number * (1 if mes else len(span))
            out = 2 * width * 2**number
            blocks.append(Block(channels, features, out, span, tuple(scales), layout, depth, self.invariant, rotation))
            channels = out
            laid.append(out)
        self.blocks = nn.ModuleList(blocks)
        self.parts = nn.ModuleList(
            nn.Sequential(*locally_connected(count, _FEATURES, self.grid.cells, location_dropout)) for count in laid
        )
        self.auxiliary_weight = float(auxiliary)
        self.auxiliary = nn.ModuleList(nn.Linear(_FEATURES, classes) for _ in laid if auxiliary)
        self.fuse = nn.Sequential(*conv_block(_FEATURES * len(laid), hidden, 1), nn.Flatten())
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(hidden, classes))

    def part_features(self, batch: TreeBatch) -> list[torch.Tensor]:
        """A normalised batch -> (B, 48, 1, 1) of the filters and of each block."""
        if self.invariant:
            faces = face_frame(batch.positions, batch.normals)
        else:
            faces = torch.eye(3, device=batch.positions.device).expand(len(batch.positions), 3, 3)
        cells = [self._cells(batch, faces, stage) for stage in range(len(batch.indices))]
        laid = [self.parts[0](self.filters(batch, faces, self.grid, cells[0]))]
        x, frames, places = batch.values, _frames(batch), _places(batch, faces)
        for number, (block, part) in enumerate(zip(self.blocks, self.parts[1:], strict=True)):
            stage = number if self.tree else 0
            x = block(x, frames, places, batch.indices[stage], batch.weights[stage])
            laid.append(part(self.grid(x, cells[stage])))
        return laid

    def _cells(self, batch: TreeBatch, faces: torch.Tensor, stage: int) -> torch.Tensor:
        """The grid's weights of the vertices that transition `stage` leads to."""
        real = real_rows(batch, stage)
        return self.grid.weights(batch.positions[:, : real.shape[1]], faces, real)

    def features(self, batch: TreeBatch) -> torch.Tensor:
        """A normalised batch -> (B, hidden)."""
        fused: torch.Tensor = self.fuse(side_by_side(self.part_features(batch), 0.0))
        return fused

    def forward(self, batch: TreeBatch) -> torch.Tensor:
        """A normalised batch -> (B, K) logits."""
        logits: torch.Tensor = self.head(self.features(batch))
        return logits

    def losses(self, batch: TreeBatch, criterion: Criterion) -> Losses:
        """That of the logits, from which the fusion sometimes misses a part, and that of each part's own classifier."""
        parts = self.part_features(batch)
        logits: torch.Tensor = self.head(self.fuse(side_by_side(parts, self.map_dropout)))
        terms = {"classification": criterion(logits)}
        for number, (classifier, part) in enumerate(zip(self.auxiliary, parts, strict=False)):
            terms[f"auxiliary.{number}"] = self.auxiliary_weight * criterion(classifier(part.flatten(1)))
        return Losses(logits, terms)

    @classmethod
    def variants(cls, settings: NetworkSettings) -> Mapping[tuple[str, ...], NetworkSettings]:
        """The three ideas of the paper: none, all but one, all."""
        kept = [(), *(tuple(part for part in PARTS if part != out) for out in PARTS), PARTS]
        return {parts: settings.model_copy(update={part: part in parts for part in PARTS}) for parts in kept}


class GCNN(Network):
    """A plain geodesic CNN [2]: what FLM-CNN has to beat. A pointwise layer, then convolutions of one radius, all on
    the vertices of one level; patches sampled at points, at rings of equal distances; mean and maximum over vertices.

    Args:
        radii, rings, rays, classes: As for FLM-CNN; of the radii, the middle one is used.
        vertex_features: As for FLM-CNN, without the geometry of patches.
        width: Features of the first convolution; the others have 2 and 4 times as many.
        dropout: Before the last layer.
        layers: Convolutions.
        tree: False for trees of one level. With a tree, there is a convolution a transition and `layers` is not used.

    Raises:
        ArgumentError: if the stencils have too few rings or rays, or `vertex_features` is unknown.
    """

    reads = "trees"

    class Settings(TreeSettings):
        """What the plain geodesic CNN can be told."""

        width: int = Field(32, ge=1, le=1024, description="Features of the first convolution.")
        layers: int = Field(3, ge=1, le=16, description="Convolutions.")
        dropout: float = Field(0.5, ge=0.0, lt=1.0, description="Before the last layer.")

        @property
        def whole_tree(self) -> bool:
            """Never: all its convolutions are on the vertices of one level."""
            return False

        def derived(self) -> dict[str, Any]:
            """See `whole_tree`."""
            return {"tree": False}

        def unused(self) -> Mapping[str, str]:
            """What moves vertices, if it reads nothing but curvatures; these follow the size of a face alone."""
            if self.vertex_features != "invariant":
                return {}
            reason = "moves vertices, it reads the curvatures of `vertex_features` invariant alone"
            moves = ("rotate_deg", "tilt_deg", "shift_mm", "bend_mm", "noise_mm", "depth_jitter_mm")
            return dict.fromkeys(moves, reason)

    def __init__(
        self,
        radii: Sequence[Sequence[float]],
        rings: Sequence[float],
        rays: int,
        classes: int = 6,
        *,
        vertex_features: str = "invariant",
        width: int = 32,
        dropout: float = 0.5,
        layers: int = 3,
        tree: bool = False,
    ) -> None:
        super().__init__()
        check_choice("vertex_features", vertex_features, VERTEX_FEATURES)
        self.layout, self.scale, self.tree = patch_layout(len(rings), rays, False), len(radii[0]) // 2, tree
        self.first = nn.Sequential(nn.Linear(len(VERTEX_FEATURES[vertex_features]), width), nn.ReLU())
        channels = width
        self.kernels, self.norms = nn.ParameterList(), nn.ModuleList()
        for number in range(len(radii) if tree else layers):
            self.kernels.append(kernel(self.layout, channels, width * 2**number))
            channels = width * 2**number
            self.norms.append(Norm(channels))
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(2 * channels, classes))

    def features(self, batch: TreeBatch) -> torch.Tensor:
        """A normalised batch -> (B, 2 D): mean and maximum over the vertices."""
        x = self.first(batch.values)
        for number, (weight, norm) in enumerate(zip(self.kernels, self.norms, strict=True)):
            stage = number if self.tree else 0
            indices, weights = (part[stage][:, :, self.scale] for part in (batch.indices, batch.weights))
            patches = manifold_pool(x.float(), indices, weights, self.layout, "mean")
            x = norm(manifold_conv_patches(patches, weight)).relu()
        return mean_and_max(x, batch.real)

    def forward(self, batch: TreeBatch) -> torch.Tensor:
        """A normalised batch -> (B, K) logits."""
        logits: torch.Tensor = self.head(self.features(batch))
        return logits


class Block(nn.Module):
    """Patches of several radii convolved, each by its own kernel, and encoded jointly with the centre: one level up.

    Args:
        channels: Of the level below.
        features: Of each radius.
        out: Of the level above.
        radii: S radii of the stencils, mm.
        scales: Which of them, rows.
        layout: From stencils to patches.
        depth: Pointwise layers.
        geometry: Whether the shape of the patch and its place are channels too.
        rotation: Of the kernels, see `convolved`.
    """

    def __init__(
        self,
        channels: int,
        features: int,
        out: int,
        radii: Sequence[float],
        scales: Sequence[int],
        layout: RetinaLayout,
        depth: int,
        geometry: bool,
        rotation: str,
    ) -> None:
        super().__init__()
        self.rotation = rotation
        self.radii, self.scales, self.layout, self.geometry = tuple(radii), tuple(scales), layout, geometry
        channels += _PLACE * geometry
        seen = channels + _GEOMETRY * geometry
        self.kernels = nn.ParameterList(kernel(layout, seen, features) for _ in scales)
        self.shapes = nn.ModuleList(Norm(_GEOMETRY) for _ in scales if geometry)
        width = features * len(scales)
        self.answers = Norm(width)
        layers: list[nn.Module] = []
        width += channels
        for _ in range(depth):
            layers += [nn.Linear(width, out, bias=False), Norm(out), nn.ReLU()]
            width = out
        self.encode = nn.Sequential(*layers)

    def forward(
        self,
        x: torch.Tensor,
        frames: torch.Tensor,
        places: torch.Tensor,
        indices: torch.Tensor,
        weights: torch.Tensor,
    ) -> torch.Tensor:
        """(B, N, C) features of the level below -> (B, V, out) of the level above.

        Args:
            x: (B, N, C).
            frames: (B, M, 7), M >= N: position, normal and 1 of the vertices of the finest level.
            places: (B, M, 6), see `_places`.
            indices, weights: (B, V, S, R, A, 3).
        """
        below, above = x.shape[1], indices.shape[1]
        x = x.float()  # on a CPU the native ops know no half precision
        if self.geometry:
            x = torch.cat([x, places[:, :below]], dim=-1)
        read = torch.cat([x, frames[:, :below]], dim=-1) if self.geometry else x  # one pass over the stencils for both
        answers = []
        for number, scale in enumerate(self.scales):
            patches = manifold_pool(read, indices[:, :, scale], weights[:, :, scale], self.layout, "mean")
            if self.geometry:  # (B, V, R, A, C)
                patches, seen = patches[..., : x.shape[-1]], patches[..., x.shape[-1] :].detach()
                shape = self.shapes[number](_geometry(seen, frames[:, :above], self.radii[scale]))
                patches = torch.cat([patches, shape * seen[..., 6:]], dim=-1)
            answers.append(convolved(patches, self.kernels[number], self.rotation))
        joint = self.answers(torch.cat(answers, dim=-1)).relu()  # (B, V, S features)
        made: torch.Tensor = self.encode(torch.cat([joint, x[:, :above]], dim=-1))
        return made


class Norm(nn.Module):
    """Batch normalisation of (..., C), over all but the last dimension."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)  # which `synced_norm` knows how to share between processes

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(..., C) -> (..., C)."""
        made: torch.Tensor = self.norm(x.flatten(0, -2)[..., None, None])
        return made.view(x.shape)


def convolved(patches: torch.Tensor, weight: torch.Tensor, rotation: str) -> torch.Tensor:
    """Patches under a kernel: the largest answer over its rotations ("max"), or the one without any ("fixed").

    Args:
        patches: (B, V, R, A, C).
        weight: (R, A, C, O).
        rotation: Which.

    Returns:
        (B, V, O).
    """
    if rotation == "fixed":
        return patches.flatten(2) @ weight.flatten(0, 2)
    return manifold_conv_patches(patches, weight)


def kernel(layout: RetinaLayout, channels: int, features: int) -> nn.Parameter:
    """(R, A, C, O) random weights that keep the deviation of what they are applied to."""
    rings, rays = len(layout.rings), layout.rays
    return nn.Parameter(torch.randn(rings, rays, channels, features) / (rings * rays * channels) ** 0.5)


def patch_layout(rings: int, rays: int, hvp: bool) -> RetinaLayout:
    """From a stencil of `rings` x `rays` samples to a patch of 3 x 8: pooled like a retina's, or single samples.

    Raises:
        ArgumentError: if the stencil has too few samples.

    >>> patch_layout(6, 16, hvp=False)
    RetinaLayout(rings=((1, 2), (3, 4), (5, 6)), windows=(1, 1, 1), rays=8)
    """
    least = (2 * _RINGS, 2 * _RAYS) if hvp else (_RINGS, _RAYS)
    if rings < least[0] or rays < least[1] or rays % _RAYS:
        raise ArgumentError(
            f"{'`hvp`' if hvp else 'a patch'} should have stencils of at least {least[0]} rings and {least[1]} rays, a "
            f"multiple of {_RAYS}, has {rings} and {rays}; prepare the scans with other `tree_rings` and `tree_rays`"
        )
    if hvp:
        return retina_layout(rings, rays, rings=_RINGS, rays=_RAYS)
    last = [rings * (ring + 1) // _RINGS for ring in range(_RINGS)]
    return RetinaLayout(tuple((ring - 1, ring) for ring in last), (1,) * _RINGS, _RAYS)


def mean_and_max(x: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
    """(B, V, D), (B, V) -> (B, 2 D): over the rows that are real."""
    weight = real[..., None].to(x.dtype)
    mean = (x * weight).sum(dim=1) / weight.sum(dim=1)
    return torch.cat([mean, x.masked_fill(~real[..., None], -torch.inf).amax(dim=1)], dim=-1)


def _frames(batch: TreeBatch) -> torch.Tensor:
    """(B, N, 7): position, normal, and 1, which a mean over samples makes the mask of a bin."""
    return torch.cat([batch.positions, batch.normals, torch.ones_like(batch.positions[..., :1])], dim=-1)


def _places(batch: TreeBatch, frame: torch.Tensor) -> torch.Tensor:
    """(B, N, 6): position, as a share of the face, and normal of each vertex in the frame (B, 3, 3) of the face."""
    away = (batch.positions - batch.positions[:, :1]) / _FACE
    return torch.cat([away @ frame.mT, batch.normals @ frame.mT], dim=-1)


def _geometry(seen: torch.Tensor, centres: torch.Tensor, radius: float) -> torch.Tensor:
    """What a patch looks like from its centre, the same however the scan is turned.

    Args:
        seen: (B, V, R, A, 7), the frames at the bins: zeros where masked.
        centres: (B, V, 7), the frames of the centres.
        radius: Of the patch, mm.

    Returns:
        (B, V, R, A, 6), with n the centre's normal and e the direction to the bin along its tangent plane: height over
        that plane and distance along it, as shares of the radius; the bin's normal along n, e and n x e; the mask.
    """
    place, normal = centres[:, :, None, None, :3], centres[:, :, None, None, 3:6]
    mask, away, tilt = seen[..., 6:], seen[..., :3] - place, seen[..., 3:6]
    height = (away * normal).sum(dim=-1, keepdim=True)
    along = away - height * normal
    distance = along.norm(dim=-1, keepdim=True)
    outwards = along / distance.clamp(min=1e-3)
    sideways = torch.linalg.cross(normal.expand_as(outwards), outwards)
    parts = [
        height / radius,
        distance / radius,
        (tilt * normal).sum(dim=-1, keepdim=True),
        (tilt * outwards).sum(dim=-1, keepdim=True),
        (tilt * sideways).sum(dim=-1, keepdim=True),
    ]
    return torch.cat([*(part * mask for part in parts), mask], dim=-1)
