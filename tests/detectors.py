"""Landmark detectors for tests of what stands around them: untrained, and sure of whatever they see."""

import torch

from fer3d.landmarks import POINT_NAMES
from fer3d.prepare.landmarks import weights
from fer3d.prepare.landmarks.calibration import Calibration
from fer3d.prepare.landmarks.find import Detector
from fer3d.prepare.landmarks.networks import FaceFinder, PointPlacer


def untrained(path, *, logit=4.0, warn=0.5, fail=0.0):
    """Write weights of a detector that takes everything for a face with this logit; returns the path."""
    torch.manual_seed(0)
    calibration = Calibration((logit, 0.0, 0.0, 0.0, 0.0, 0.0), (0.0, 1.0), warn, fail)
    detector = Detector(FaceFinder().eval(), PointPlacer(len(POINT_NAMES)).eval(), calibration)
    weights.save(detector, path, {})
    return path
