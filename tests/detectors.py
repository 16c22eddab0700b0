"""Landmark detectors for tests of what stands around them: untrained, and sure of whatever they see."""

import numpy as np
import torch

from fer3d.landmarks import POINT_NAMES
from fer3d.prepare.landmarks import weights
from fer3d.prepare.landmarks.calibration import FEATURES, Calibration
from fer3d.prepare.landmarks.find import Detector
from fer3d.prepare.landmarks.networks import FaceFinder, PointPlacer
from fer3d.prepare.landmarks.reference import mean_points
from fer3d.prepare.landmarks.shape_model import ShapeModel


def untrained(path, *, logit=4.0, warn=0.5, fail=0.0):
    """Write weights of a detector that takes everything for a face with this logit; returns the path."""
    torch.manual_seed(0)
    calibration = Calibration((logit, *[0.0] * (len(FEATURES) - 1)), (0.0, 1.0), warn, fail)
    shape = ShapeModel(mean_points(), np.zeros((1, len(POINT_NAMES), 3)))
    detector = Detector(FaceFinder().eval(), PointPlacer(len(POINT_NAMES)).eval(), shape, calibration)
    weights.save(weights.rounded(detector), path, {})
    return path
