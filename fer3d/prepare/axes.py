"""Rotate scans to the canonical axes: +y up, +z to the camera, +x to the subject's left."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fer3d.errors import ArgumentError
from fer3d.scan import Scan

_AXES = {"x": (1.0, 0.0, 0.0), "y": (0.0, 1.0, 0.0), "z": (0.0, 0.0, 1.0)}


def to_canonical_axes(scan: Scan, up: str = "+y", towards_camera: str = "+z") -> Scan:
    """Rotate a scan so that +y points up and +z points to the camera.

    Args:
        scan: A scan in the axes of its file.
        up: The axis of the file that points up: "+x", "-x", ... "-z"; "auto": +y.
        towards_camera: The axis of the file that points to the camera; "auto": +z.

    Returns:
        The rotated scan with a step "axes" in its history; the unchanged scan if no rotation is needed.

    Raises:
        ArgumentError: if an axis has another name, or both axes are parallel.
    """
    turn = np.eye(4)
    turn[:3, :3] = axis_rotation(up, towards_camera)
    if np.array_equal(turn, np.eye(4)):
        return scan
    return scan.moved(turn, "axes", {"up": up, "towards_camera": towards_camera})


def axis_rotation(up: str, towards_camera: str) -> NDArray[np.float64]:
    """(3, 3): the rotation from the axes of a file to the canonical axes. Arguments as in `to_canonical_axes`.

    Raises:
        ArgumentError: if an axis has another name, or both axes are parallel.
    """
    y, z = _axis("up", up, "+y"), _axis("towards_camera", towards_camera, "+z")
    if abs(y @ z) > 0.5:
        free = [sign + name for name, axis in _AXES.items() if abs(np.dot(axis, y)) < 0.5 for sign in "+-"]
        raise ArgumentError(
            f"`towards_camera` should be an axis across `up` {up.replace('auto', '+y')}, is "
            f"{towards_camera.replace('auto', '+z')}: "
            f"give one of {', '.join(free)} (--towards-camera)"
        )
    return np.stack([np.cross(y, z), y, z])


def _axis(name: str, axis: str, canonical: str) -> NDArray[np.float64]:
    if axis == "auto":
        axis = canonical
    if len(axis) != 2 or axis[0] not in "+-" or axis[1] not in _AXES:
        raise ArgumentError(f"`{name}` should be one of +x, -x, +y, -y, +z, -z or auto, is {axis!r}")
    return np.array(_AXES[axis[1]]) * (1.0 if axis[0] == "+" else -1.0)
