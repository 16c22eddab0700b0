"""Surface-grid, a network of ours: convolution on a sample tree in the frame of the face, read on a grid on the face.

It has the ideas of multi-scale encoding (MES), retina-like pooling (HVP) and the sampling tree from FLM-CNN [1], of
which `fer3d.models.flm_cnn` is the reconstruction. The rest is of no paper: the frame of the face, places on it, the
grid, which has most of the weights, and fixed filters.

- **tree**: one block per transition of `fer3d.tree.SampleTree`: from 4,096 vertices to 512 and to 128 by default. It
  starts at the nose tip;
- **MES**: each block convolves patches of S radii, each radius with its own kernel, and encodes the responses jointly
  by pointwise layers, together with the features of the centre, which lies in no ring;
- **HVP**: fine stencils are pooled to three rings of eight rays, whose footprints grow with eccentricity
  (`ops.retina_layout`); without HVP, single samples at three equidistant rings are used;
- rays are counted from the direction away from the nose tip; `rotation="max"` takes the maximum over rotations of a
  kernel instead (`ops.manifold_conv_patches`), as GCNN [2];
- every block has geometric input channels: the shape of the patch relative to its centre (height over the tangent
  plane, distance, and the normal in the polar frame of each sample), and the position and normal of each vertex in a
  frame computed from the surface (`face_frame`). All are invariant to rigid motion, but where half of the face is
  missing, the frame turns by tens of degrees;
- fixed filters are added to the blocks, as on maps: orientation energy in the patches of the middle radius
  (`patch_orientation`);
- the features of blocks and fixed filters are averaged on a grid on the face (`FaceGrid`), and read by layers with
  separate weights for every location. With a few dozen people to learn from, mean and maximum over the vertices, which
  discard the location, did worse. The result still does not depend on the order of the vertices or on rigid motion, as
  the grid moves with the face.

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
from fer3d.models.surface_layers import Norm, kernel, patch_layout
from fer3d.models.tree_parts import part_variants
from fer3d.ops.manifold import RetinaLayout, manifold_conv_patches, manifold_pool

_GEOMETRY = 6  # channels of `_geometry`
_PLACE = 6  # channels of `_places`
_FEATURES = 48  # features of the whole face from each part
_FACE = 90.0  # mm, the radius of the ball around the nose tip that preprocessing keeps


class SurfaceGrid(Network):
    """The network for trees with given stencils.

    Args:
        radii: S radii of each transition of the tree, mm.
        rings: R ring distances, as shares of a radius.
        rays: Number of rays, A.
        classes: K.
        landmarks: Whether the top level of the tree is landmarks, so that it does not start at the nose tip: an error.
        vertex_features: "invariant", or "xyz": see `fer3d.data.tree_batch.VERTEX_FEATURES`. With "xyz" the network
            reads positions and normals as they are stored, and uses neither the geometry of its patches nor the frame
            of the face.
        rotation: "fixed" or "max", see the module.
        width: Features of each radius in the first block; each further block has twice as many.
        depth: Pointwise layers that encode the radii of a block jointly.
        dropout: Dropout before the last layer.
        location_dropout: Share of the values on the grid that is dropped in training.
        map_dropout: Probability that the fusion drops a part of a scan, the fixed filters or a block, in training.
        auxiliary: Weight of the loss of a linear classifier of each part in training. 0: no such classifiers.
        mes: Whether to use multi-scale encoding. False: only the middle radius, with as many features as all radii
            together would have.
        hvp: Whether to use human-vision-inspired pooling.
        tree: False for trees of one level, see `fer3d.tree.one_level`: every block convolves on the same vertices.
        hidden: Features of the fusion, which the last layer reads.

    Raises:
        ArgumentError: if the stencils have too few rings or rays, `vertex_features` or `rotation` is unknown, or the
            tree does not start at the nose tip.
    """

    reads = "trees"

    class Settings(TreeSettings):
        """Settings of surface-grid."""

        rotation: Literal["fixed", "max"] = Field(
            "fixed", description="Kernels are aligned with the ray away from the nose, or give their maximum response."
        )
        mes: bool = Field(True, description="Multi-scale encoding. false: the middle radius only.")
        hvp: bool = Field(True, description="Human-vision-inspired pooling. false: single samples.")
        tree: bool = Field(True, description="The sample tree. false: all blocks use the vertices of one level.")
        width: int = Field(16, ge=1, le=1024, description="Features of each radius in the first block.")
        depth: int = Field(1, ge=1, le=16, description="Layers that encode the radii of a block jointly.")
        hidden: int = Field(128, ge=1, le=4096, description="Features that the last layer reads.")
        dropout: float = Field(0.3, ge=0.0, lt=1.0, description="Dropout before the last layer.")
        location_dropout: float = Field(
            0.5, ge=0.0, lt=1.0, description="Share of the values on the face's grid that is dropped in training."
        )
        map_dropout: float = Field(
            0.2,
            ge=0.0,
            lt=1.0,
            description="Probability that the fusion drops a part, the fixed filters or a block, in training.",
        )
        auxiliary: float = Field(
            0.3, ge=0.0, le=10.0, description="Weight of the loss of each part's own classifier. 0: none."
        )

        @property
        def levels(self) -> Literal["all", "second"]:
            """All levels of a tree, or as many vertices as the second from the top has, on one level."""
            return "all" if self.tree else "second"

        def unused(self) -> Mapping[str, str]:
            """With invariant features, the settings that shift the whole face, which has no effect on them."""
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
        landmarks: bool = False,
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
        _check_start(landmarks)
        layout = patch_layout(len(rings), rays, hvp)
        self.invariant = vertex_features == "invariant"
        self.tree, self.map_dropout = tree, map_dropout
        channels, blocks = len(VERTEX_FEATURES[vertex_features]), []
        self.grid = FaceGrid()
        fine = (range(len(rings)), 1) if hvp else ([first for first, _ in layout.rings], rays // layout.rays)
        self.filters = SurfaceFilters(channels, radii[0], rings, *fine, facing=self.invariant)
        counts = [self.filters.out_channels]
        for number, span in enumerate(radii):
            scales = range(len(span)) if mes else [len(span) // 2]
            features = width * 2**number * (1 if mes else len(span))
            out = 2 * width * 2**number
            blocks.append(Block(channels, features, out, span, tuple(scales), layout, depth, self.invariant, rotation))
            channels = out
            counts.append(out)
        self.blocks = nn.ModuleList(blocks)
        self.parts = nn.ModuleList(
            nn.Sequential(*locally_connected(count, _FEATURES, self.grid.cells, location_dropout)) for count in counts
        )
        self.auxiliary_weight = float(auxiliary)
        self.auxiliary = nn.ModuleList(nn.Linear(_FEATURES, classes) for _ in counts if auxiliary)
        self.fuse = nn.Sequential(*conv_block(_FEATURES * len(counts), hidden, 1), nn.Flatten())
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(hidden, classes))

    @classmethod
    def arguments(
        cls, settings: NetworkSettings, classes: int, shape: Mapping[str, Any], target: str = "classes"
    ) -> dict[str, Any]:
        """See `Network.arguments`. ArgumentError, before a run is begun, if the trees do not start at the nose tip."""
        _check_start(shape.get("landmarks", False))
        return super().arguments(settings, classes, shape, target)

    def part_features(self, batch: TreeBatch) -> list[torch.Tensor]:
        """A normalised batch -> features (B, 48, 1, 1) of the fixed filters and of each block."""
        if self.invariant:
            faces = face_frame(batch.positions, batch.normals)
        else:
            faces = torch.eye(3, device=batch.positions.device).expand(len(batch.positions), 3, 3)
        cells = [self._cells(batch, faces, stage) for stage in range(len(batch.indices))]
        features = [self.parts[0](self.filters(batch, faces, self.grid, cells[0]))]
        x, frames, places = batch.values, _frames(batch), _places(batch, faces)
        for number, (block, part) in enumerate(zip(self.blocks, self.parts[1:], strict=True)):
            stage = number if self.tree else 0
            x = block(x, frames, places, batch.indices[stage], batch.weights[stage])
            features.append(part(self.grid(x, cells[stage])))
        return features

    def _cells(self, batch: TreeBatch, faces: torch.Tensor, stage: int) -> torch.Tensor:
        """The grid weights of the vertices of the level above transition `stage`."""
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
        """The loss of the logits, for which the fusion drops some parts, and the loss of each part's own classifier."""
        parts = self.part_features(batch)
        logits: torch.Tensor = self.head(self.fuse(side_by_side(parts, self.map_dropout)))
        terms = {"classification": criterion(logits)}
        for number, (classifier, part) in enumerate(zip(self.auxiliary, parts, strict=False)):
            terms[f"auxiliary.{number}"] = self.auxiliary_weight * criterion(classifier(part.flatten(1)))
        return Losses(logits, terms)

    @classmethod
    def variants(cls, settings: NetworkSettings) -> Mapping[tuple[str, ...], NetworkSettings]:
        """The components that are FLM-CNN's ideas: none, all but one, all. ArgumentError if `settings` lack one."""
        return part_variants(settings)


class Block(nn.Module):
    """From one level to the next: convolves patches of several radii and encodes them jointly with the centre.

    Args:
        channels: Features of the level below.
        features: Features of each radius.
        out: Features of the level above.
        radii: S radii of the stencils, mm.
        scales: Indices of the radii to use.
        layout: How stencils are pooled to patches.
        depth: Number of pointwise layers.
        geometry: Whether the shape of a patch and its position on the face are input channels too.
        rotation: Rotation of the kernels, see `convolved`.
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
        self.kernels = nn.ParameterList(kernel(seen, features) for _ in scales)
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
        x = x.float()  # the native ops do not support half precision on a CPU
        if self.geometry:
            x = torch.cat([x, places[:, :below]], dim=-1)
        read = torch.cat([x, frames[:, :below]], dim=-1) if self.geometry else x  # pool both in one pass
        answers = []
        for number, scale in enumerate(self.scales):
            patches = manifold_pool(read, indices[:, :, scale], weights[:, :, scale], self.layout, "mean")
            if self.geometry:  # (B, V, R, A, C)
                patches, seen = patches[..., : x.shape[-1]], patches[..., x.shape[-1] :].detach()
                shape = self.shapes[number](_geometry(seen, frames[:, :above], self.radii[scale]))
                patches = torch.cat([patches, shape * seen[..., 6:]], dim=-1)
            answers.append(convolved(patches, self.kernels[number], self.rotation))
        joint = self.answers(torch.cat(answers, dim=-1)).relu()  # (B, V, S features)
        encoded: torch.Tensor = self.encode(torch.cat([joint, x[:, :above]], dim=-1))
        return encoded


def _check_start(landmarks: bool) -> None:
    """Raise ArgumentError, with what to type, if the trees start at landmarks."""
    if landmarks:
        raise ArgumentError(
            "surface-grid should have trees that start at the nose tip, those of the scans start at landmarks; prepare "
            "them again: fer3d preprocess SCANS -o NEW_FOLDER --tree --set tree_top=farthest"
        )


def convolved(patches: torch.Tensor, weight: torch.Tensor, rotation: str) -> torch.Tensor:
    """Convolve patches with a kernel.

    Args:
        patches: (B, V, R, A, C).
        weight: (R, A, C, O).
        rotation: "max": the largest response over all rotations of the kernel; "fixed": the response without rotation.

    Returns:
        (B, V, O).
    """
    if rotation == "fixed":
        return patches.flatten(2) @ weight.flatten(0, 2)
    return manifold_conv_patches(patches, weight)


def _frames(batch: TreeBatch) -> torch.Tensor:
    """(B, N, 7): position, normal, and 1, whose mean over the samples of a bin is the bin's mask."""
    return torch.cat([batch.positions, batch.normals, torch.ones_like(batch.positions[..., :1])], dim=-1)


def _places(batch: TreeBatch, frame: torch.Tensor) -> torch.Tensor:
    """(B, N, 6): position, divided by 90 mm, and normal of each vertex in the frame (B, 3, 3) of the face."""
    away = (batch.positions - batch.positions[:, :1]) / _FACE
    return torch.cat([away @ frame.mT, batch.normals @ frame.mT], dim=-1)


def _geometry(seen: torch.Tensor, centres: torch.Tensor, radius: float) -> torch.Tensor:
    """The shape of a patch relative to its centre, invariant to rigid motion of the scan.

    Args:
        seen: (B, V, R, A, 7): the frames at the bins, zeros where masked.
        centres: (B, V, 7): the frames of the centres.
        radius: Radius of the patch, mm.

    Returns:
        (B, V, R, A, 6), with n the centre's normal and e the direction to the bin in the tangent plane: height over
        that plane and distance in it, divided by the radius; components of the bin's normal along n, e and n x e; the
        mask.
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
