"""Fit the probabilities of the detector on scans that it was not trained on, and measure it there."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from fer3d.errors import PrepareError
from fer3d.prepare.landmarks.calibration import FEATURES, Calibration, sharpness
from fer3d.prepare.landmarks.find import Detector, find
from fer3d.prepare.landmarks.posing import turn_between
from fer3d.prepare.landmarks.reference import TIP
from fer3d.scan import Scan
from fer3d.train.landmarks.simulate import SimulatedScan, Simulator

_Floats = NDArray[np.float64]

RIGHT_TURN, RIGHT_TIP = np.radians(20.0), 20.0  # radians and mm up to which a pose is right, a hidden nose included
NEAR = 4.0  # mm within which a point is right
_STIFF = 1e-2  # weight of the squared coefficients
_NEWTON = 50
_RIGHT_WARNED, _RIGHT_REFUSED = 0.015, 0.003  # shares of right poses that may get a warning, and be refused
_THINGS_REFUSED = 0.99  # share of things that should be refused


class Trial(NamedTuple):
    """A simulated scan and what the detector made of it.

    Attributes:
        turn, tip: Errors of the rotation in radians and of the nose tip in mm; inf if nothing was found or if the scan
            shows no face.
        scale: Logarithm of the found size over the true one.
        features: (8,) of the whole, see `FEATURES`.
        errors: (L,) mm, NaN for points that the scan does not show or that were not placed.
        sharpness: (L,).
        face: Whether the scan shows a face.
    """

    turn: float
    tip: float
    scale: float
    features: _Floats
    errors: _Floats
    sharpness: _Floats
    face: bool

    @property
    def right(self) -> bool:
        """Whether the pose is right."""
        return bool(self.turn < RIGHT_TURN and self.tip < RIGHT_TIP)


@dataclass(frozen=True, slots=True)
class Placing:
    """How a scan is put into a file: a rotation, and the length of a mm in its unit."""

    rotation: _Floats
    unit: float

    @staticmethod
    def draw(generator: np.random.Generator) -> Placing:
        """Any rotation, and m, cm, mm or any other unit."""
        unit = float(np.exp(generator.uniform(-7, 3))) if generator.random() < 0.5 else 0.001
        return Placing(Rotation.random(random_state=generator).as_matrix(), unit)


def trial(detector: Detector, scan: SimulatedScan, placing: Placing) -> Trial:
    """Put a scan into a file and find its face."""
    vertices = (placing.unit * scan.vertices.astype(np.float64) @ placing.rotation.T).astype(np.float32)
    try:
        found = find(detector, Scan.of(vertices, scan.faces))
    except PrepareError:
        nothing = np.full(len(scan.points), np.nan)
        return Trial(np.inf, np.inf, np.inf, np.zeros(len(FEATURES)), nothing, nothing, scan.is_face)
    if not scan.is_face:
        nothing = np.full(len(scan.points), np.nan)
        return Trial(np.inf, np.inf, np.inf, found.features, nothing, nothing, face=False)
    truth = placing.unit * scan.points @ placing.rotation.T
    rotation = found.fit.rotation @ placing.rotation
    tip = float(np.linalg.norm(found.tip - truth[TIP])) / placing.unit
    errors = np.linalg.norm(found.placed.positions - truth, axis=1) / placing.unit
    errors[~scan.measured | (found.placed.visible < 0.5)] = np.nan
    return Trial(
        turn_between(rotation, scan.rotation),
        tip,
        float(np.log(found.fit.scale * placing.unit)),
        found.features,
        errors,
        sharpness(found.placed),
        face=True,
    )


def trials(
    detector: Detector,
    simulators: Sequence[Simulator],
    seed: int,
    count: int,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> Iterator[Trial]:
    """Trials of scans of people and things that the networks were not trained on; at least `count`."""
    done = 0
    for number in itertools.count():
        generator = np.random.default_rng([seed, 1, number])
        for scan in simulators[number % len(simulators)].scans(generator):
            yield trial(detector, scan, Placing.draw(generator))
            done += 1
        progress(min(done, count), count)
        if done >= count:
            return


def calibrated(detector: Detector, results: list[Trial]) -> Detector:
    """The detector with probabilities fitted to trials; those of points stay as they are if no pose is right."""
    features = np.stack([result.features for result in results])
    right = np.array([result.right for result in results])
    face = logistic(features, right)
    good = [result for result in results if result.right]
    if not good:
        return replace(detector, calibration=replace(detector.calibration, face=tuple(face.tolist())))
    errors, sharp = (np.concatenate([getattr(r, name) for r in good]) for name in ("errors", "sharpness"))
    known = np.isfinite(errors)
    design = np.stack([np.ones(known.sum()), sharp[known]], axis=1)
    point = logistic(design, errors[known] < NEAR)
    chance = 1 / (1 + np.exp(-features @ face))
    things = np.array([not result.face for result in results])
    warn, fail = (float(np.quantile(chance[right], share)) for share in (_RIGHT_WARNED, _RIGHT_REFUSED))
    if things.any():
        fail = min(fail, float(np.quantile(chance[things], _THINGS_REFUSED)))
    fitted = Calibration(tuple(face.tolist()), (float(point[0]), float(point[1])), min(warn, 0.9), min(fail, 0.5))
    return replace(detector, calibration=fitted)


def logistic(design: _Floats, yes: NDArray[np.bool_]) -> _Floats:
    """(K,) coefficients of a logistic regression, slightly drawn to 0, by Newton's method."""
    beta = np.zeros(design.shape[1])
    for _ in range(_NEWTON):
        chance = 1 / (1 + np.exp(-np.clip(design @ beta, -30, 30)))
        gradient = design.T @ (yes - chance) - _STIFF * beta
        hessian = (design * (chance * (1 - chance))[:, None]).T @ design + _STIFF * np.eye(len(beta))
        step = np.linalg.solve(hessian, gradient)
        beta = beta + step * min(1.0, 5.0 / max(float(np.abs(step).max()), 1e-9))
        if np.abs(step).max() < 1e-8:
            break
    return beta
