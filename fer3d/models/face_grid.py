"""A coordinate frame computed from the surface of a face, and a grid in it on which vertex values are averaged."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

REACH = 80.0  # mm from the nose tip to the middle of each side of the grid
SPREAD = 0.6  # standard deviation of a cell's weight, in cells
_LEAST = 0.05  # a cell whose weights have a smaller sum holds no part of the face
_WIDE, _RIDGE, _NOSE = 45.0, 30.0, 15.0  # mm around the nose tip from which each axis of the frame is computed


class FaceGrid(nn.Module):
    """Averages values of vertices in the n x n cells of a grid on the face, centred at the nose tip.

    A vertex at (x, y, z) in a frame of the face, whose origin is the nose tip, is mapped to the grid in the direction
    of (x, y), at its 3D distance from the nose tip. The sides of a face are therefore not foreshortened, and if the
    frame moves with the face, the result is invariant to rigid motion. Cell c holds the mean over the vertices with
    weights exp(-d^2 / (2 s^2)), d being their distance from its centre on the grid and s = `SPREAD` cells; it fades to
    0 where there are no vertices. Our choice: networks that know locations need fewer people to learn from.

    Args:
        cells: n. The grid reaches from -`REACH` to `REACH`.
    """

    centres: torch.Tensor

    def __init__(self, cells: int = 12) -> None:
        super().__init__()
        self.cells, self.pitch = cells, 2 * REACH / cells
        self.register_buffer("centres", (torch.arange(cells) + 0.5) * self.pitch - REACH, persistent=False)

    def weights(self, positions: torch.Tensor, frame: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
        """The weight of each vertex in each cell.

        Args:
            positions: (B, V, 3) mm, row 0 the nose tip.
            frame: (B, 3, 3), rows: to the left of the subject, up, forwards.
            real: (B, V) bool: false for padding rows.

        Returns:
            (B, n * n, V): rows of cells from top to bottom, in each row from the subject's right to its left.
        """
        away = (positions - positions[:, :1]) @ frame.mT
        flat = away[..., :2]
        flat = flat * (away.norm(dim=-1, keepdim=True) / flat.norm(dim=-1, keepdim=True).clamp(min=1e-3))
        spread = SPREAD * self.pitch
        across, down = (
            torch.exp(-0.5 * ((part[..., None] - self.centres) / spread) ** 2) for part in (flat[..., 0], -flat[..., 1])
        )  # (B, V, n) each
        weights = (down[..., :, None] * across[..., None, :]).flatten(2) * real[..., None]
        return (weights / weights.sum(dim=1, keepdim=True).clamp(min=_LEAST)).mT

    def forward(self, values: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """(B, V, F) values and the weights from `weights` -> (B, F, n, n)."""
        return (weights @ values).mT.reshape(len(values), -1, self.cells, self.cells)


def face_frame(positions: torch.Tensor, normals: torch.Tensor) -> torch.Tensor:
    """A coordinate frame computed from the surface alone, so that it moves with the face.

    Forwards is the mean normal around the nose tip. The vertical axis follows the ridge of nose, chin and brow: it is
    the axis of the second harmonic of the height above the plane perpendicular to forwards, as a function of the angle
    around the nose tip. The nose determines which end is up: above its tip normals point up, and below it they do not.

    Args:
        positions: (B, N, 3) mm, row 0 the nose tip; vertices evenly spread.
        normals: (B, N, 3), zero in padding rows.

    Returns:
        (B, 3, 3): rows to the left of the subject, up, and forwards, in the frame of the scan.
    """
    away = positions - positions[:, :1]
    squared = (away * away).sum(dim=-1, keepdim=True)  # (B, N, 1)
    real = (normals != 0).any(dim=-1, keepdim=True)

    def weight(spread: float, power: int) -> torch.Tensor:
        weights = real * squared**power * torch.exp(-squared / (2.0 * spread**2))
        return weights / weights.sum(dim=1, keepdim=True)

    forwards = functional.normalize((weight(_WIDE, 0) * normals).sum(dim=1), dim=-1)  # (B, 3)
    aside = functional.one_hot(forwards.abs().argmin(dim=-1), 3).to(forwards.dtype)
    first = functional.normalize(torch.linalg.cross(forwards, aside), dim=-1)
    second = torch.linalg.cross(forwards, first)
    height, x, y = (away @ axis[:, :, None] for axis in (forwards, first, second))
    length = (x * x + y * y).sqrt().clamp(min=1e-3)
    cos, sin = x / length, y / length
    share = weight(_RIDGE, 1)
    lift = share * (height - (share * height).sum(dim=1, keepdim=True))
    double = torch.atan2((lift * 2.0 * cos * sin).sum(dim=1), (lift * (cos * cos - sin * sin)).sum(dim=1))  # (B, 1)
    up = (double / 2).cos() * first + (double / 2).sin() * second
    share = weight(_NOSE, 1)
    facing = normals @ forwards[:, :, None]
    facing = share * (facing - (share * facing).sum(dim=1, keepdim=True))
    along = (away @ up[:, :, None]) / length
    tilt = (share * (normals @ up[:, :, None])).sum(dim=1)
    end = 2.0 * tilt - (facing * along).sum(dim=1) / facing.abs().sum(dim=1).clamp(min=1e-9)
    up = torch.where(end < 0, -up, up)
    return torch.stack([torch.linalg.cross(up, forwards), up, forwards], dim=1)
