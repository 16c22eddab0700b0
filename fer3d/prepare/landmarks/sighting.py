"""Where a face may be: looks at a scan from a few sides with `FaceFinder` and gathers candidates for its pose."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from fer3d.prepare.landmarks.networks import FINDER_STRIDE, FaceFinder, one_thread
from fer3d.prepare.landmarks.pictures import SurfaceSamples, side_picture
from fer3d.prepare.landmarks.posing import moved

_Floats = NDArray[np.float64]

_APART = 60.0  # mm: nose tips nearer than this with
_TURN_APART = np.radians(35.0)  # axes less turned than this are one candidate
_A_SIDE = 3  # candidates from each side


class Candidate(NamedTuple):
    """A face that `FaceFinder` sees.

    Attributes:
        logit: How sure the network is.
        pose: (3, 4) float64. From the frame of the scan to the frontal frame in mm.
    """

    logit: float
    pose: _Floats


def axes_views() -> list[_Floats]:
    """The six directions of the axes of a file, +z first, each as (3, 3): right, up, towards the viewer."""
    up = {0: np.array([0.0, 1.0, 0.0]), 1: np.array([0.0, 0.0, 1.0]), 2: np.array([0.0, 1.0, 0.0])}
    views = []
    for axis, sign in ((2, 1.0), (2, -1.0), (0, 1.0), (0, -1.0), (1, 1.0), (1, -1.0)):
        towards = np.zeros(3)
        towards[axis] = sign
        views.append(_view(towards, up[axis]))
    return views


def corner_views() -> list[_Floats]:
    """The eight directions between the axes."""
    return [
        _view(np.array(signs) / np.sqrt(3.0), np.array([0.0, 1.0, 0.0]))
        for signs in itertools.product((1.0, -1.0), repeat=3)
    ]


def candidates(finder: FaceFinder, samples: SurfaceSamples, views: Sequence[_Floats], most: int) -> list[Candidate]:
    """The likeliest faces of a scan, the best first, no two of them alike.

    Args:
        finder: The network, in evaluation mode.
        samples: The scan.
        views: Directions to look from, each (3, 3).
        most: Number of candidates at most.
    """
    pictures = np.stack([side_picture(samples, view) for view in views])
    with one_thread(), torch.inference_mode():
        seen = [out.numpy() for out in finder(torch.from_numpy(pictures))]
    every = [
        _candidate(samples, views[v], pictures[v], [out[v] for out in seen], cell)
        for v in range(len(views))
        for cell in np.argsort(-seen[0][v].ravel(), kind="stable")[:_A_SIDE]
    ]
    chosen: list[Candidate] = []
    for candidate in sorted(every, key=lambda candidate: -candidate.logit):
        if len(chosen) == most:
            break
        if not any(_alike(candidate.pose, other.pose) for other in chosen):
            chosen.append(candidate)
    return chosen


def depth_of_cells(picture: NDArray[np.float32]) -> NDArray[np.float32]:
    """(G, G) float32: mean depth of the surface in each cell of a picture, of the whole picture where it has none."""
    cells = picture.shape[-1] // FINDER_STRIDE
    shape = (cells, FINDER_STRIDE, cells, FINDER_STRIDE)
    depth, held = (picture[k].reshape(shape).sum(axis=(1, 3)) for k in (3, 4))
    mean = float(picture[3].sum() / max(picture[4].sum(), 1.0))
    return np.where(held > 0, depth / np.maximum(held, 1.0), mean).astype(np.float32)


def _candidate(
    samples: SurfaceSamples,
    view: _Floats,
    picture: NDArray[np.float32],
    seen: Sequence[NDArray[np.float32]],
    cell: int,
) -> Candidate:
    face, offset, size, up, towards = seen
    r, c = divmod(int(cell), face.shape[-1])
    cells = face.shape[-1] / 2
    right = (c + 0.5 + float(offset[0, r, c])) / cells - 1.0  # in half widths of the picture
    above = 1.0 - (r + 0.5 + float(offset[1, r, c])) / cells
    depth = float(depth_of_cells(picture)[r, c] + offset[2, r, c])
    tip = samples.centre + samples.half * (np.array([right, above, depth]) @ view)
    scale = 100.0 / (float(np.exp(np.clip(size[r, c], -6.0, 3.0))) * samples.half)
    rotation = _axes(up[:, r, c], towards[:, r, c]) @ view
    pose = np.column_stack([scale * rotation, -scale * rotation @ tip])
    return Candidate(float(face[r, c]), pose)


def _axes(up: NDArray[np.float32], towards: NDArray[np.float32]) -> _Floats:
    """(3, 3) float64: the orthonormal axes nearest to two directions; rows right, up, towards."""
    z = towards.astype(np.float64)
    z = z / np.linalg.norm(z) if np.linalg.norm(z) > 1e-6 else np.array([0.0, 0.0, 1.0])
    y = up.astype(np.float64) - (up @ z) * z
    if np.linalg.norm(y) < 1e-6:
        y = np.eye(3)[int(np.abs(z).argmin())]
        y = y - (y @ z) * z
    y /= np.linalg.norm(y)
    return np.stack([np.cross(y, z), y, z])


def _view(towards: _Floats, up: _Floats) -> _Floats:
    right = np.cross(up, towards)
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(towards, right), towards])


def _alike(one: _Floats, other: _Floats) -> bool:
    turn, shift, _ = moved(one, other)
    return turn < _TURN_APART and shift < _APART
