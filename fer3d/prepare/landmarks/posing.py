"""The pose of a face from its points: a robust similarity to the mean face."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fer3d.prepare.landmarks.placing import Placed
from fer3d.prepare.landmarks.reference import PRIOR, mean_points, similarity

_Floats = NDArray[np.float64]

_ROUNDS = 6  # rounds of reweighting
_TOLERANCE = 5.0  # mm: a point this far off has half its weight (Cauchy weights)
_FEWEST = 12  # points on the surface
_SEEN = 0.3  # least probability that the scan has surface of the face at a point that counts


class Fit(NamedTuple):
    """A similarity from the frame of a scan to the frontal frame.

    Attributes:
        rotation: (3, 3) float64.
        scale: Size of the mean face over the size of this face, in the unit of the scan.
        shift: (3,) float64, so that x maps to scale * rotation @ x + shift.
        rms: Weighted root mean square distance of the points, mm.
        points: Number of points.
    """

    rotation: _Floats
    scale: float
    shift: _Floats
    rms: float
    points: int

    @property
    def pose(self) -> _Floats:
        """(3, 4) float64: the similarity as a matrix."""
        return np.column_stack([self.scale * self.rotation, self.shift])


def fit(placed: Placed) -> Fit | None:
    """Fit the mean face to points; None if too few lie on the surface."""
    good = np.isfinite(placed.positions).all(axis=1) & (placed.visible > _SEEN)
    if good.sum() < _FEWEST:
        return None
    source, target = placed.positions[good], mean_points()[good]
    prior = (PRIOR * placed.visible * placed.confidence)[good]
    weight = prior
    for _ in range(_ROUNDS):
        rotation, scale, shift = similarity(source, target, weight)
        off = np.linalg.norm(scale * source @ rotation.T + shift - target, axis=1)
        weight = prior / (1.0 + (off / _TOLERANCE) ** 2)
    rms = float(np.sqrt((prior * off**2).sum() / prior.sum()))
    return Fit(rotation, scale, shift, rms, int(good.sum()))


def at_tip(pose: _Floats, tip: _Floats) -> _Floats:
    """(3, 4): the pose with its origin at a point (3,) of the scan."""
    return np.column_stack([pose[:, :3], -pose[:, :3] @ tip])


def moved(one: _Floats, other: _Floats) -> tuple[float, float, float]:
    """How far two poses (3, 4) are apart: radians, mm at the origin of `other`, and the logarithm of the scales."""
    a, b = (float(np.cbrt(np.linalg.det(pose[:, :3]))) for pose in (one, other))
    origin = np.linalg.solve(other[:, :3], -other[:, 3])
    shift = float(np.linalg.norm(one[:, :3] @ origin + one[:, 3]))
    return turn_between(one[:, :3] / a, other[:, :3] / b), shift, float(abs(np.log(a / b)))


def turn_between(one: _Floats, other: _Floats) -> float:
    """Angle between two rotations (3, 3), radians."""
    return float(np.arccos(np.clip((np.trace(one @ other.T) - 1) / 2, -1, 1)))
