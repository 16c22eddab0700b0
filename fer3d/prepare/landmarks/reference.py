"""The points of the mean face, and fits of a face to them."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from fer3d.face.load import builtin_face
from fer3d.landmarks import POINT_NAMES
from fer3d.prepare.landmark_pose import WEIGHTS, rigid_fit

_Floats = NDArray[np.float64]

TIP = POINT_NAMES.index("pronasale")
_OTHERS = 0.15  # weight of a point that is not among the canonical ones
_JAW = {f"bu83_{k:02d}" for k in range(69, 84)} | {"ibug68_00", "ibug68_16", "pogonion"}  # slide along the jaw
PRIOR = np.array([0.02 if name in _JAW else WEIGHTS.get(name, _OTHERS) for name in POINT_NAMES])
"""(L,) weights of the points in a fit to the mean face."""
STEADY = np.array([WEIGHTS.get(name, 0.0) for name in POINT_NAMES])  # (L,) weights of the points that give the pose


@lru_cache(maxsize=1)
def mean_points() -> _Floats:
    """(L, 3) float64, mm: `POINT_NAMES` on the neutral built-in face, in the frontal frame; do not modify it."""
    model = builtin_face()
    return model.neutral[[model.landmarks[name] for name in POINT_NAMES]]


def frontal_rotation(points: _Floats) -> _Floats:
    """(3, 3) float64: the rotation from the frame of (L, 3) points to the frontal frame, by the points fixed to bone.

    Points that are NaN are left out.
    """
    known = np.isfinite(points).all(axis=1) & (STEADY > 0)
    rotation, _ = rigid_fit(points[known], mean_points()[known], STEADY[known])
    return rotation


def similarity(source: _Floats, target: _Floats, weight: _Floats) -> tuple[_Floats, float, _Floats]:
    """Rotation (3, 3), scale and shift (3,) from `source` to `target`, (L, 3) each, by weighted least squares.

    The scale is the ratio of the spreads, which treats both sides alike.
    """
    share = weight / weight.sum()
    rotation, _ = rigid_fit(source, target, weight)
    from_mean, to_mean = share @ source, share @ target
    spread = [
        float(share @ ((points - middle) ** 2).sum(axis=1))
        for points, middle in ((source, from_mean), (target, to_mean))
    ]
    scale = float(np.sqrt(spread[1] / spread[0]))
    return rotation, scale, to_mean - scale * rotation @ from_mean
