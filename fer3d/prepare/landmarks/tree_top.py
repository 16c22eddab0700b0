"""The 68 landmarks at which the sample tree of a scan has its top level."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fer3d.landmarks import POINT_NAMES, SCHEMES, other_side
from fer3d.prepare.landmarks.found import FoundLandmarks, find_landmarks
from fer3d.prepare.landmarks.reference import mean_points
from fer3d.scan import Scan

SCHEME = "ibug68"
_SIDE = np.array([POINT_NAMES.index(other_side(name)) for name in POINT_NAMES])
_ROWS = [POINT_NAMES.index(name) for name in SCHEMES[SCHEME]]


def has_all_landmarks(scan: Scan) -> bool:
    """Whether a scan has a position for each of the 68 points of iBUG."""
    return bool(np.isfinite(scan.landmark_array(SCHEMES[SCHEME])).all())


def top_points(scan: Scan, found: FoundLandmarks | None = None) -> NDArray[np.float64]:
    """The 68 points of iBUG in the order of the scheme, in the frame of the scan.

    A scan that has all of them and was posed by them keeps them. Otherwise all are those found on its shape, so that
    one network sees points of one kind. A found point that is hidden takes the place of its mirror image in the frontal
    frame, or of the mean face's if that is hidden too. Where the surface does not reach, the tree takes the vertex that
    is nearest to the point.

    Args:
        scan: A scan in any frame.
        found: The landmarks that were found on it. None: they are searched for if they are needed.

    Raises:
        PrepareError: if no face is found on the scan.
    """
    posed = [record["method"] for record in scan.history if record["step"] == "frontal"]
    if has_all_landmarks(scan) and posed[-1:] != ["found"]:
        return scan.landmark_array(SCHEMES[SCHEME])
    found = find_landmarks(scan) if found is None else found
    points = complete(found.positions @ found.pose[:3, :3].T + found.pose[:3, 3])[_ROWS]
    placed = scan.placement @ np.linalg.inv(found.pose)
    moved: NDArray[np.float64] = points @ placed[:3, :3].T + placed[:3, 3]
    return moved


def complete(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fill the rows of NaN of (109, 3) `POINT_NAMES` in the frontal frame, mm: by mirror images, else the mean face."""
    mirrored = points[_SIDE] * [-1.0, 1.0, 1.0]
    filled = np.where(np.isfinite(points), points, mirrored)
    return np.where(np.isfinite(filled), filled, mean_points())
