"""Bring scans that lie far from their origin near it, before their coordinates are rounded to float32.

A scan in metres within a survey's grid (UTM: 500,000 m east, 5,000,000 m north) has steps of 0.5 m in float32. Its
points are therefore shifted in float64 first; `Scan.placement` holds the shift.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

# A scan is shifted if its middle is more than this many of its sizes away from the origin. Rounding then moves no point
# of a scan that is not shifted by more than 1.5e-5 of its size: 3 micrometres on a face.
FAR = 256.0

_SAMPLE = 500  # vertices from which middle and size are estimated


class Near(NamedTuple):
    """The result of `near_origin`.

    Attributes:
        vertices: (V, 3) float32.
        placement: (4, 4) float64. From the frame of the file to that of `vertices`.
        origin: The point of the file that became the origin, (3,) float64; None if nothing was shifted.
        coarse: Distance between neighbouring numbers in the file's own precision, if that is float32 and the scan lies
            far away; else 0.
    """

    vertices: NDArray[np.float32]
    placement: NDArray[np.float64]
    origin: NDArray[np.float64] | None
    coarse: float

    def record(self) -> dict[str, Any]:
        """The shift for the history; empty if nothing was shifted."""
        return {} if self.origin is None else {"origin": [float(x) for x in self.origin]}

    def warning(self) -> str | None:
        """A warning about lost precision, or None."""
        if not self.coarse:
            return None
        return (
            f"it lies far from its origin and its coordinates are stored in single precision, in steps of "
            f"{self.coarse:.3g}: write it in double precision, or nearer to its origin"
        )


def near_origin(points: NDArray[np.floating]) -> Near:
    """Round points to float32, after a shift if they lie far from their origin.

    The middle is the median, and the size the distance between the 5th and the 95th percentile, along the axis where
    that is largest, so that single points elsewhere (unmeasured ones at 0 0 0) have no effect. The shift is a multiple
    of a power of two near the size, so that the subtraction is exact.

    Args:
        points: (V, 3) floating. NaN and infinite rows stay as they are.
    """
    middle, size = _middle_and_size(points)
    far = bool(np.abs(middle).max() > FAR * size) and size > 0
    placement = np.eye(4)
    if not far:
        with np.errstate(over="ignore", invalid="ignore"):
            return Near(np.array(points, dtype=np.float32, order="C"), placement, None, 0.0)  # never read-only
    step = 2.0 ** np.round(np.log2(size))
    with np.errstate(over="ignore"):
        steps = np.round(middle / step)
    origin = np.where(np.isfinite(steps), steps * step, middle)
    placement[:3, 3] = -origin
    coarse = float(np.spacing(np.abs(middle).max().astype(np.float32))) if points.dtype == np.float32 else 0.0
    with np.errstate(over="ignore", invalid="ignore"):
        shifted = points.astype(np.float64) - origin
        return Near(np.ascontiguousarray(shifted, dtype=np.float32), placement, origin, coarse)


def _middle_and_size(points: NDArray[np.floating]) -> tuple[NDArray[np.float64], float]:
    """Median (3,) float64 and size of the finite points; zeros if there are none or they span all of float64."""
    with np.errstate(invalid="ignore"):  # a damaged file may hold signalling NaN
        sample = points[:: max(1, len(points) // _SAMPLE)].astype(np.float64)
    sample = np.sort(sample[np.isfinite(sample).all(axis=1)], axis=0)
    if not len(sample):
        return np.zeros(3), 0.0
    last = len(sample) - 1
    low, middle, high = (sample[round(share * last)] for share in (0.05, 0.5, 0.95))
    with np.errstate(over="ignore"):
        size = float((high - low).max())
    return (middle, size) if np.isfinite(size) else (np.zeros(3), 0.0)
