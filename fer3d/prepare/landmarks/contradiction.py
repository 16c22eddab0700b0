"""Whether the landmarks of a file contradict the shape of its scan."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fer3d.errors import PrepareError
from fer3d.kernels.normals import vertex_normals
from fer3d.kernels.topology import weld
from fer3d.prepare.landmarks import posing
from fer3d.prepare.landmarks.calibration import features
from fer3d.prepare.landmarks.found import FoundLandmarks, find_landmarks
from fer3d.prepare.landmarks.placing import Mesh, place
from fer3d.prepare.landmarks.weights import shipped
from fer3d.scan import Scan

_Floats = NDArray[np.float64]

_TURN, _SHIFT = np.radians(15.0), 15.0  # radians and mm between two poses up to which they agree


def contradicting(scan: Scan, rotation: _Floats, tip: _Floats) -> FoundLandmarks | None:
    """Look at a face in the pose that the landmarks of its file give; if no face is there, search for it elsewhere.

    Args:
        scan: A scan in mm, wound outward.
        rotation: (3, 3) float64, from the frame of the scan to the frontal frame.
        tip: (3,) float64. The nose tip in the frame of the scan.

    Returns:
        The landmarks that were found in another pose, if they are a face without a doubt; else None.
    """
    detector = shipped()
    pose = np.column_stack([rotation, -rotation @ tip])
    normals = vertex_normals(scan.vertices, scan.faces, weld(scan.vertices))
    placed = place(detector.placer, Mesh(scan.vertices, scan.faces, normals), pose)
    fit = posing.fit(placed)
    if fit is not None and _agree(fit.pose, pose):
        probability = detector.calibration.of_face(features(placed, fit, 0.0))
        if probability >= detector.calibration.fail:
            return None
    try:
        found = find_landmarks(scan)
    except PrepareError:
        return None
    here = (found.pose @ np.linalg.inv(scan.placement))[:3]
    return None if found.warnings or _agree(here, pose) else found


def _agree(one: _Floats, other: _Floats) -> bool:
    turn, shift, _ = posing.moved(one, other)
    return bool(turn < _TURN and shift < _SHIFT)
