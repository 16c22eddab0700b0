"""What a found face says of the file of its scan: its axes and unit, as a user types them, and its numbers."""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fer3d.landmarks import SCHEMES
from fer3d.prepare.axes import axis_rotation
from fer3d.prepare.landmarks.found import FoundLandmarks

NEAR = 35.0  # degrees up to which a face belongs to axes of its file
_NAMES = tuple(sign + axis for axis in "xyz" for sign in "+-")


class Axes(NamedTuple):
    """The axes of a file that are nearest to those of a face.

    Attributes:
        up: The axis that points up, such as "+z".
        towards_camera: The axis that points out of the face.
        degrees: How far the face is turned away from them.
    """

    up: str
    towards_camera: str
    degrees: float

    @property
    def near(self) -> bool:
        """Whether the face stands along the axes, but for a turn of the head."""
        return self.degrees <= NEAR

    @property
    def options(self) -> str:
        """What a user types for files with these axes; "" for those that every command expects."""
        if (self.up, self.towards_camera) == ("+y", "+z"):
            return ""
        return f"--up {self.up} --towards-camera {self.towards_camera}"


def axes_of(pose: NDArray[np.float64]) -> Axes:
    """The axes of a file that are nearest to those of a face.

    Args:
        pose: (4, 4) float64. From the file to the frontal frame, as in `FoundLandmarks`.
    """
    linear = pose[:3, :3]
    rotation = linear / np.cbrt(np.linalg.det(linear))
    every = []
    for up, towards in itertools.permutations(_NAMES, 2):
        if up[1] == towards[1]:
            continue
        cosine = (np.trace(rotation @ axis_rotation(up, towards).T) - 1.0) / 2.0
        every.append(Axes(up, towards, float(np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))))))
    return min(every, key=lambda axes: axes.degrees)


def facts_of(found: FoundLandmarks, scheme: str | None = None) -> dict[str, Any]:
    """The columns of a table of results: probability, unit, mm_per_unit, axes, points and hidden.

    Args:
        found: The face.
        scheme: Count the points of this scheme. None: all.
    """
    axes = axes_of(found.pose)
    points = len(found.points(scheme))
    return {
        "probability": round(found.probability, 4),
        "unit": found.unit,
        "mm_per_unit": float(f"{found.mm_per_unit:.4g}"),
        "axes": f"up {axes.up}, towards {axes.towards_camera}" if axes.near else "",
        "points": points,
        "hidden": len(found.names if scheme is None else SCHEMES[scheme]) - points,
    }
