"""From what the networks say to probabilities: of a whole face, and of each point.

Both are logistic regressions, fitted on simulated scans that neither network was trained on.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fer3d.errors import CheckpointError
from fer3d.prepare.landmarks.placing import Placed
from fer3d.prepare.landmarks.posing import Fit

_Floats = NDArray[np.float64]

FEATURES = ("one", "front", "sighting", "misfit", "sharpness", "surface", "gaps", "shape")
_FRONT, _SIGHTING = 15.0, 12.0  # logits beyond which the networks tell no difference


@dataclass(frozen=True, slots=True)
class Calibration:
    """Weights of the two regressions.

    Attributes:
        face: Weight of each of `FEATURES`.
        point: Intercept and slope for the logit of the share of a heatmap about its peak.
        warn, fail: Probabilities of a face below which a scan gets a warning, and below which it fails.
    """

    face: tuple[float, ...] = (-2.0, 0.3, 0.1, -1.5, 1.5, 0.0, 0.0, 0.0)
    point: tuple[float, float] = (0.0, 1.0)
    warn: float = 0.5
    fail: float = 0.1

    @staticmethod
    def of(facts: Mapping[str, Sequence[float]], path: str | os.PathLike[str]) -> Calibration:
        """The calibration of a weight file. CheckpointError if numbers are missing."""
        lengths = {"face": len(FEATURES), "point": 2, "limits": 2}
        if {name: len(facts.get(name, ())) for name in lengths} != lengths:
            raise CheckpointError(f"{path}: `calibration` should hold {lengths} numbers")
        intercept, slope = facts["point"]
        return Calibration(tuple(facts["face"]), (intercept, slope), *facts["limits"])

    def facts(self) -> dict[str, list[float]]:
        """What `of` reads."""
        return {"face": list(self.face), "point": list(self.point), "limits": [self.warn, self.fail]}

    def of_face(self, features: _Floats) -> float:
        """Probability that the pose is right, of the (8,) features of a face."""
        return float(1.0 / (1.0 + np.exp(-np.clip(self.score(features), -40.0, 40.0))))

    def score(self, features: _Floats) -> float:
        """Logit of `of_face`, by which faces of a scan are compared."""
        return float(np.array(self.face) @ features)

    def of_points(self, placed: Placed) -> _Floats:
        """(L,) probability that each point lies within 4 mm of its place, if the pose is right."""
        intercept, slope = self.point
        return 1.0 / (1.0 + np.exp(-(intercept + slope * sharpness(placed))))


def sharpness(placed: Placed) -> _Floats:
    """(L,) logit of the share of each heatmap about its peak."""
    share = np.clip(placed.confidence, 1e-4, 1 - 1e-4)
    return np.asarray(np.log(share / (1 - share)))


def features(placed: Placed, fit: Fit, sighting: float) -> _Floats:
    """(8,) float64: what tells right poses from wrong ones, see `FEATURES`."""
    weight = placed.visible
    on_surface = np.where(np.isfinite(placed.gaps), weight, 0.0)
    gap = float(on_surface @ np.nan_to_num(placed.gaps)) / max(float(on_surface.sum()), 1e-6)
    return np.array(
        [
            1.0,
            np.clip(placed.logit, -_FRONT, _FRONT),
            np.clip(sighting, -_SIGHTING, _SIGHTING),
            np.log(max(fit.rms, 0.3)),
            float((weight * sharpness(placed)).sum() / max(weight.sum(), 1e-6)),
            float((np.isfinite(placed.positions).all(axis=1) * weight).mean()),
            np.log(max(gap, 0.3)),
            np.log(max(placed.misfit, 0.1)),
        ]
    )
