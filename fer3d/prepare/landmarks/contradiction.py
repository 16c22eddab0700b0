"""Whether the landmarks of a file contradict the shape of its scan.

Most files are right, so they are first checked in ways that cost nothing: landmarks lie on the surface, in the places
that they have on a face. Only where they do not, the networks look at the scan.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fer3d.errors import PrepareError
from fer3d.kernels.normals import vertex_normals
from fer3d.kernels.topology import weld
from fer3d.prepare.landmark_pose import WEIGHTS, LandmarkPose
from fer3d.prepare.landmarks import posing
from fer3d.prepare.landmarks.found import FoundLandmarks, find_landmarks
from fer3d.scan import Scan

_Floats = NDArray[np.float64]

_OFF_SURFACE = (
    4.0  # mm: median distance of landmarks from vertices, or 1.5 edges if that is more, above which they are odd
)
_EDGES = 1.5
_MISFIT = 8.0  # mm: rms distance from the mean face above which they are odd; an expression has up to 7
_TURN, _SHIFT = np.radians(15.0), 15.0  # radians and mm between two poses up to which they agree


def contradicting(scan: Scan, pose: LandmarkPose) -> FoundLandmarks | None:
    """Search for the face of a scan if the landmarks of its file are odd.

    Args:
        scan: A scan in mm, wound outward, with landmarks.
        pose: What they give.

    Returns:
        The landmarks that were found in another pose, if they are a face without a doubt; else None.
    """
    if not _are_odd(scan, pose):
        return None
    given = np.column_stack([pose.rotation, -pose.rotation @ pose.nose])
    if _shows_a_face(scan, given):
        return None
    try:
        found = find_landmarks(scan)
    except PrepareError:
        return None
    here = (found.pose @ np.linalg.inv(scan.placement))[:3]
    return None if found.warnings or _agree(here, given) else found


def _are_odd(scan: Scan, pose: LandmarkPose) -> bool:
    """Whether landmarks lie off the surface, or not as on a face."""
    if pose.rms > _MISFIT:
        return True
    points = np.array([pose.landmarks[name] for name in WEIGHTS if name in pose.landmarks], np.float32)
    points = points[np.isfinite(points).all(axis=1)]
    near = scan.vertices - points.mean(axis=0)  # about the landmarks, so that float32 keeps tenths of a mm
    points = points - points.mean(axis=0)
    square = np.einsum("vc,vc->v", near, near)[:, None] - 2.0 * near @ points.T + np.einsum("lc,lc->l", points, points)
    away = float(np.median(np.sqrt(np.maximum(square.min(axis=0), 0.0))))
    if away <= _OFF_SURFACE:
        return False
    a, b = (scan.vertices[scan.faces[:, k]] for k in (0, 1))
    return away > _EDGES * float(np.median(np.linalg.norm(a - b, axis=1)))


def _shows_a_face(scan: Scan, pose: _Floats) -> bool:
    """Whether the network places the points of a face in this pose (3, 4) where the pose has them."""
    from fer3d.prepare.landmarks.calibration import features
    from fer3d.prepare.landmarks.placing import Mesh, place
    from fer3d.prepare.landmarks.weights import shipped

    detector = shipped()
    normals = vertex_normals(scan.vertices, scan.faces, weld(scan.vertices))
    placed = place(detector.placer, detector.shape, Mesh(scan.vertices, scan.faces, normals), pose)
    fit = posing.fit(placed)
    if fit is None or not _agree(fit.pose, pose):
        return False
    return detector.calibration.of_face(features(placed, fit, 0.0)) >= detector.calibration.fail


def _agree(one: _Floats, other: _Floats) -> bool:
    turn, shift, _ = posing.moved(one, other)
    return turn < _TURN and shift < _SHIFT
