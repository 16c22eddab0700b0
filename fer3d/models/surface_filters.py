"""Fixed filters on the surface: orientation energy around the vertices of a sample tree."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from fer3d.data.tree_batch import TreeBatch
from fer3d.models.face_grid import FaceGrid
from fer3d.ops.orientation_energy import without_contrast
from fer3d.ops.patch_orientation import patch_orientation

DIRECTIONS = 8
_FLOOR = 0.02  # standard deviations of a channel per mm: a patch with a smaller slope counts as flat
_FACING = 2.0  # factor of the components of normals: about one over their standard deviation on a face


class SurfaceFilters(nn.Module):
    """Orientation energy in the patches of the middle radius of the first transition, see `patch_orientation`.

    Direction 0 is upwards on the face. Energies are averaged on the grid and then contrast-normalised, as on maps.

    Args:
        channels: C of the batch.
        radii: S radii, mm.
        rings: Ring distances, as shares of a radius.
        taken: Indices of the rings to use.
        step: Every `step`-th ray is used.
        facing: Whether the components of the normals in the frame of the face are channels too.
    """

    def __init__(
        self,
        channels: int,
        radii: Sequence[float],
        rings: Sequence[float],
        taken: Sequence[int],
        step: int,
        *,
        facing: bool,
    ) -> None:
        super().__init__()
        self.scale, self.taken, self.step, self.facing = len(radii) // 2, list(taken), step, facing
        self.distances = [radii[self.scale] * rings[ring] for ring in self.taken]
        self.out_channels = (channels + 3 * facing) * DIRECTIONS

    def forward(self, batch: TreeBatch, faces: torch.Tensor, grid: FaceGrid, cells: torch.Tensor) -> torch.Tensor:
        """A normalised batch, the frames of its faces and the grid weights -> (B, D, n, n), without gradients."""
        indices, weights = (part[0][:, :, self.scale : self.scale + 1] for part in (batch.indices, batch.weights))
        if self.step > 1 or len(self.taken) < indices.shape[3]:  # otherwise avoid a copy
            indices, weights = (part[:, :, :, self.taken, :: self.step] for part in (indices, weights))
        count = indices.shape[1]
        with torch.no_grad(), torch.autocast(faces.device.type, enabled=False):
            x = batch.values.float()
            if self.facing:
                x = torch.cat([x, _FACING * (batch.normals @ faces.mT)], dim=-1)
            angle = upwards(batch.positions[:, :count], batch.normals[:, :count], faces[:, 1])
            energy = patch_orientation(x, indices, weights, angle, [self.distances], DIRECTIONS)
            averages = grid(energy.flatten(2), cells).unflatten(1, (x.shape[-1], DIRECTIONS))
            return without_contrast(averages, _FLOOR).flatten(1, 2)


def upwards(positions: torch.Tensor, normals: torch.Tensor, up: torch.Tensor) -> torch.Tensor:
    """The angle from ray 0 of each stencil, which points away from the nose tip, to the upward direction of the face.

    Args:
        positions: (B, V, 3) mm, row 0 the nose tip, at which the angle is 0.
        normals: (B, V, 3) unit normals.
        up: (B, 3), upward direction of each face.

    Returns:
        (B, V) radians, counter-clockwise as seen from outside.
    """
    away = positions - positions[:, :1]
    sideways = torch.linalg.cross(normals, away)
    outwards = away - (away * normals).sum(dim=-1, keepdim=True) * normals
    along = up[:, None]
    return torch.atan2((along * sideways).sum(dim=-1), (along * outwards).sum(dim=-1))
