"""Place the points of a face: render it from the front, read the heatmaps of `PointPlacer`, and lift the peaks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from fer3d.kernels import views
from fer3d.prepare.landmarks.networks import PLACER_SIZE, PLACER_STRIDE, PointPlacer, one_thread
from fer3d.prepare.landmarks.pictures import PIXEL, frontal_picture

_Floats = NDArray[np.float64]

CELL = PIXEL * PLACER_STRIDE  # mm of a cell of a heatmap
_AROUND = 2  # cells around the peak over which the position is averaged
_REACH = 2  # pixels from a spot within which its surface may lie


@dataclass(frozen=True, slots=True, eq=False)
class Mesh:
    """A scan as the detector reads it.

    Attributes:
        vertices: (V, 3) float32.
        faces: (F, 3) int32, wound outward.
        normals: (V, 3) float32, of any length.
    """

    vertices: NDArray[np.float32]
    faces: NDArray[np.int32]
    normals: NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """The L points of a face.

    Attributes:
        positions: (L, 3) float64 in the frame of the scan, on its surface; NaN where there is none.
        spots: (L, 2) float64. x and y in the frontal frame, mm, whether there is surface or not.
        confidence: (L,) float64. Share of each heatmap about its peak, in [0, 1].
        visible: (L,) float64. Probability that the scan has surface of the face at the point.
        logit: How sure the network is that this is a face from the front.
    """

    positions: _Floats
    spots: _Floats
    confidence: _Floats
    visible: _Floats
    logit: float


def place(placer: PointPlacer, mesh: Mesh, pose: _Floats) -> Placed:
    """Place the points of a face whose pose is roughly known.

    Args:
        placer: The network, in evaluation mode.
        mesh: The scan.
        pose: (3, 4) float64. From the frame of the scan to the frontal frame in mm.
    """
    shown = frontal_picture(mesh.vertices, mesh.faces, mesh.normals, pose)
    with one_thread(), torch.inference_mode():
        seen = placer(torch.from_numpy(shown.picture[None]))
        heat = torch.softmax(seen.heat[0].flatten(1), dim=1).reshape(seen.heat.shape[1:]).numpy()
        visible = torch.sigmoid(seen.visible[0].double()).numpy()
        logit = float(seen.face[0])
    cells, confidence = peaks(heat)
    pixels = (cells + 0.5) * PLACER_STRIDE - 0.5  # (L, 2) column, row
    found, weights = views.lift(pixels, shown.face, mesh.faces, shown.points, _REACH)
    corners = mesh.vertices.astype(np.float64)[mesh.faces[found]]
    positions = np.where((found >= 0)[:, None], np.einsum("lk,lkc->lc", weights, corners), np.nan)
    half = 0.5 * PLACER_SIZE - 0.5
    spots = (pixels - half) * [PIXEL, -PIXEL]
    return Placed(positions, spots, confidence, visible, logit)


def peaks(heat: NDArray[np.float32]) -> tuple[_Floats, _Floats]:
    """Positions of the peaks of heatmaps, column and row in cells (L, 2), and the share of each about its peak (L,).

    Args:
        heat: (L, H, W) float32, each of sum 1.
    """
    count, height, width = heat.shape
    top_row, top_column = np.divmod(heat.reshape(count, -1).argmax(axis=1), width)
    steps = np.arange(-_AROUND, _AROUND + 1)
    rows = np.clip(top_row[:, None] + steps, -1, height)  # (L, 5)
    columns = np.clip(top_column[:, None] + steps, -1, width)
    inside = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[:, None, :]
    near = heat[np.arange(count)[:, None, None], rows[:, :, None] % height, columns[:, None, :] % width] * inside
    near = near.astype(np.float64)
    total = near.sum(axis=(1, 2))
    row = (near.sum(axis=2) * rows).sum(axis=1) / total
    column = (near.sum(axis=1) * columns).sum(axis=1) / total
    return np.stack([column, row], axis=1), total
