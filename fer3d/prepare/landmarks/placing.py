"""Place the points of a face: render it from the front, read `PointPlacer`, correct its points by each other, and move
them to the surface.

The network gives a depth too, because the surface below a point of the jaw or between the lips is steep or not that of
the point: the nearest surface to the point in space counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from fer3d.kernels import views
from fer3d.landmarks import MIRRORED, POINT_NAMES
from fer3d.prepare.landmarks.networks import PLACER_SIZE, PLACER_STRIDE, PointPlacer, one_thread
from fer3d.prepare.landmarks.pictures import DEPTH, PIXEL, frontal_picture
from fer3d.prepare.landmarks.reference import mean_points
from fer3d.prepare.landmarks.shape_model import ShapeModel

_Floats = NDArray[np.float64]

CELL = PIXEL * PLACER_STRIDE  # mm of a cell of a heatmap
_AROUND = 2  # cells around the peak over which the position is averaged
_REACH = 3  # pixels from a spot within which its surface may lie
_FLATNESS = 0.55  # a mm of depth counts as so many across: depths are less sure
_FARTHEST = 8.0  # mm from a spot within which its surface may lie
_MIDDLE = 0.5 * PLACER_SIZE - 0.5
_MIRROR = np.array([POINT_NAMES.index(MIRRORED[name]) for name in POINT_NAMES])


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
        spots: (L, 3) float64. Where the network sees the points, in the frontal frame of the render, mm, whether there
            is surface or not.
        gaps: (L,) float64. Distance from each spot to its position, mm; NaN where there is none.
        confidence: (L,) float64. Share of each heatmap about its peak, in [0, 1].
        misfit: How badly the spots fit a face, see `ShapeModel.corrected`, before they were corrected.
        visible: (L,) float64. Probability that the scan has surface of the face at the point.
        logit: How sure the network is that this is a face from the front.
        triangles: How many triangles of the scan the render shows.
    """

    positions: _Floats
    spots: _Floats
    gaps: _Floats
    confidence: _Floats
    misfit: float
    visible: _Floats
    logit: float
    triangles: int


class _Seen(NamedTuple):
    """What the network sees in one picture: spots (L, 3), confidence (L,), visible (L,) and the logit of a face."""

    spots: _Floats
    confidence: _Floats
    visible: _Floats
    logit: float


def place(placer: PointPlacer, shape: ShapeModel, mesh: Mesh, pose: _Floats, *, twice: bool = False) -> Placed:
    """Place the points of a face whose pose is roughly known.

    Args:
        placer: The network, in evaluation mode.
        shape: The model that corrects points by the others.
        mesh: The scan.
        pose: (3, 4) float64. From the frame of the scan to the frontal frame in mm.
        twice: Whether the network also looks at the mirror image, and the mean of both counts.
    """
    shown = frontal_picture(mesh.vertices, mesh.faces, mesh.normals, pose)
    seen = _seen(placer, shown.picture, twice)
    spots, misfit = shape.corrected(seen.spots, seen.confidence, seen.visible)
    at = np.column_stack([_MIDDLE + spots[:, 0] / PIXEL, _MIDDLE - spots[:, 1] / PIXEL, spots[:, 2] / PIXEL])
    found, weights = views.lift(at, shown.face, mesh.faces, shown.points, _REACH, _FLATNESS, _FARTHEST / PIXEL)
    weights[found < 0] = np.nan
    corners = mesh.faces[found]
    positions = np.einsum("lk,lkc->lc", weights, mesh.vertices.astype(np.float64)[corners])
    gaps = PIXEL * np.linalg.norm(np.einsum("lk,lkc->lc", weights, shown.points[corners]) - at, axis=1)
    triangles = len(np.unique(shown.face[shown.face >= 0]))
    return Placed(positions, spots, gaps, seen.confidence, misfit, seen.visible, seen.logit, triangles)


def _seen(placer: PointPlacer, picture: NDArray[np.float32], twice: bool) -> _Seen:
    """Look at a picture, or at it and its mirror image."""
    pictures = [picture]
    if twice:
        mirrored = picture[:, :, ::-1].copy()
        mirrored[0] = -mirrored[0]
        pictures.append(mirrored)
    with one_thread(), torch.inference_mode():
        out = placer(torch.from_numpy(np.stack(pictures)))
        heat = torch.softmax(out.heat.flatten(2), dim=2).reshape(out.heat.shape).numpy()
        visible = torch.sigmoid(out.visible.double()).numpy()
    both = [_read(heat[k], out.depth[k].numpy(), visible[k], float(out.face[k])) for k in range(len(pictures))]
    if not twice:
        return both[0]
    one, other = both
    other = _Seen(
        other.spots[_MIRROR] * [-1.0, 1.0, 1.0], other.confidence[_MIRROR], other.visible[_MIRROR], other.logit
    )
    a, b = (seen.confidence[:, None] + 1e-3 for seen in (one, other))
    spots = (a * one.spots + b * other.spots) / (a + b)
    confidence, visible = 0.5 * (one.confidence + other.confidence), 0.5 * (one.visible + other.visible)
    return _Seen(spots, confidence, visible, 0.5 * (one.logit + other.logit))


def _read(heat: NDArray[np.float32], depth: NDArray[np.float32], visible: _Floats, logit: float) -> _Seen:
    """Where the points of one picture are: the peaks of their heatmaps, and the depths there."""
    cells, confidence = peaks(heat)
    pixels = (cells + 0.5) * PLACER_STRIDE - 0.5  # (L, 2) column, row
    top, rows = heat.reshape(len(heat), -1).argmax(axis=1), np.arange(len(heat))
    deep = DEPTH * depth.reshape(len(depth), -1)[rows, top] + mean_points()[:, 2]
    return _Seen(np.column_stack([(pixels - _MIDDLE) * [PIXEL, -PIXEL], deep]), confidence, visible, logit)


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
