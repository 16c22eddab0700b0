"""Transform points and directions between the frames of scan and face.

A pose is a row (13,): the 9 entries of a rotation, 3 of a shift, and a scale. It maps a point x of the scan to
scale * rotation @ x + shift in the frame of the face. Directions are only rotated.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from fer3d.kernels.small import Vector


@njit(cache=True, nogil=True)
def turned_to_face(pose: NDArray[np.float64], x: float, y: float, z: float) -> Vector:
    """Rotate a direction from the frame of the scan to that of the face."""
    return (
        pose[0] * x + pose[1] * y + pose[2] * z,
        pose[3] * x + pose[4] * y + pose[5] * z,
        pose[6] * x + pose[7] * y + pose[8] * z,
    )


@njit(cache=True, nogil=True)
def to_face(pose: NDArray[np.float64], x: float, y: float, z: float) -> Vector:
    """Map a point from the frame of the scan to that of the face."""
    a, b, c = turned_to_face(pose, x, y, z)
    return pose[12] * a + pose[9], pose[12] * b + pose[10], pose[12] * c + pose[11]


@njit(cache=True, nogil=True)
def turned_to_scan(pose: NDArray[np.float64], x: float, y: float, z: float) -> Vector:
    """Rotate a direction from the frame of the face to that of the scan."""
    return (
        pose[0] * x + pose[3] * y + pose[6] * z,
        pose[1] * x + pose[4] * y + pose[7] * z,
        pose[2] * x + pose[5] * y + pose[8] * z,
    )


@njit(cache=True, nogil=True)
def to_scan(pose: NDArray[np.float64], x: float, y: float, z: float) -> Vector:
    """Map a point from the frame of the face to that of the scan."""
    a, b, c = turned_to_scan(pose, x - pose[9], y - pose[10], z - pose[11])
    return a / pose[12], b / pose[12], c / pose[12]
