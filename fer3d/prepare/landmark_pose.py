"""Find the pose of a face from its landmarks: the rotation that aligns them with those of the mean face.

.. [1] Umeyama: Least-squares estimation of transformation parameters between two point patterns. IEEE PAMI 13(4), 1991.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fer3d.errors import PrepareError
from fer3d.kernels import winding
from fer3d.landmarks import other_side
from fer3d.scan import Scan, check_scan

# Weight of each landmark in the pose. Eye corners are fixed to bone. Annotation schemes differ in where they mark the
# wings and the base of the nose. Mouth and chin move with the expression, the lower lip and chin the most.
WEIGHTS = {
    "exocanthion_left": 1.0,
    "exocanthion_right": 1.0,
    "endocanthion_left": 1.0,
    "endocanthion_right": 1.0,
    "pronasale": 0.5,
    "subnasale": 0.5,
    "alare_left": 0.2,
    "alare_right": 0.2,
    "labiale_superius": 0.2,
    "cheilion_left": 0.2,
    "cheilion_right": 0.2,
    "labiale_inferius": 0.05,
    "pogonion": 0.05,
}

_FEWEST = 4
_WIDEST_MISFIT = 12.0  # mm, weighted root mean square; a big or odd face has up to 6, an expression 7
_TOLERANCE = 6.0  # mm: at this distance a landmark has half its weight (Cauchy weights)
_ROUNDS = 4  # rounds of reweighting
_SPREAD = 8.0  # mm: minimum standard deviation of the landmarks along two axes, to determine the rotation
_REACH = 25.0  # mm: how far a landmark may lie outside the bounding box of the scan (an ear that was not captured)
_BALL = 60.0  # mm: radius of the part of the face whose mean normal gives its direction


@dataclass(frozen=True, slots=True)
class LandmarkPose:
    """The pose of a face from its landmarks.

    Attributes:
        rotation: (3, 3) float64, from the frame of the scan to the frontal frame.
        nose: (3,) float64. Position of the mean face's nose tip in the frame of the scan, mm.
        rms: Weighted root mean square distance between the landmarks of the scan and of the mean face, mm.
        count: Number of landmarks in the fit.
        sides_swapped: Whether the names of the scan confuse left and right.
        landmarks: The landmarks of the scan under corrected names.
    """

    rotation: NDArray[np.float64]
    nose: NDArray[np.float64]
    rms: float
    count: int
    sides_swapped: bool
    landmarks: Mapping[str, NDArray[np.float64]]


def landmark_pose(scan: Scan) -> LandmarkPose:
    """Align the canonical landmarks of a scan with those of the mean face by robust least squares [1].

    The fit is made with both namings of the sides, and the better one is used. The surface must then face in the same
    direction as the landmarks.

    Args:
        scan: A scan in mm, wound outward.

    Raises:
        ArgumentError: if `scan` has no face.
        PrepareError: if there are fewer than four canonical landmarks, they lie in a line, outside the scan or too far
            from the mean face, or the surface faces in the opposite direction.
    """
    check_scan("scan", scan)
    given = _fit(scan.landmarks, scan)
    exchanged = swap_sides(scan.landmarks)
    swapped = _fit(exchanged, scan)
    sides_swapped = swapped[2] < given[2]
    rotation, shift, rms, count = swapped if sides_swapped else given
    if rms > _WIDEST_MISFIT:
        raise PrepareError(
            f"the {count} canonical landmarks should lie within {_WIDEST_MISFIT:g} mm of an average face's, "
            f"are {rms:.1f} mm off (root mean square)"
        )
    nose = -rotation.T @ shift
    towards = winding.mean_normal(scan.vertices, scan.faces, nose, _BALL)
    if float(rotation[2] @ towards) <= 0.0:
        raise PrepareError(
            "the surface around the landmarks should look the way they do, looks the other way: wind it outward first"
        )
    return LandmarkPose(rotation, nose, rms, count, sides_swapped, exchanged if sides_swapped else scan.landmarks)


def swap_sides(landmarks: Mapping[str, NDArray[np.float64]]) -> dict[str, NDArray[np.float64]]:
    """Exchange the names of the left and the right side, see `fer3d.landmarks.other_side`."""
    return {other_side(name): point for name, point in landmarks.items()}


def _fit(
    landmarks: Mapping[str, NDArray[np.float64]], scan: Scan
) -> tuple[NDArray[np.float64], NDArray[np.float64], float, int]:
    """Return rotation (3, 3), shift (3,), weighted RMS in mm and number of landmarks."""
    from fer3d.face.load import mean_face

    names = tuple(name for name in WEIGHTS if name in landmarks and np.isfinite(landmarks[name]).all())
    if len(names) < _FEWEST:
        raise PrepareError(
            f"the pose should have at least {_FEWEST} canonical landmarks, "
            f"has {len(names)} ({', '.join(names) or 'none'})"
        )
    source = np.array([landmarks[name] for name in names], dtype=np.float64)  # (L, 3)
    target = mean_face().landmark_array(names)
    _check_place(names, source, scan)
    spread = np.linalg.svd(target - target.mean(axis=0), compute_uv=False) / np.sqrt(len(names))
    if spread[1] < _SPREAD:
        raise PrepareError(f"the canonical landmarks should not lie in a line, do: {', '.join(names)}")
    prior = np.array([WEIGHTS[name] for name in names])
    weight = prior
    for _ in range(_ROUNDS):
        rotation, shift = rigid_fit(source, target, weight)
        off = np.linalg.norm(source @ rotation.T + shift - target, axis=1)
        weight = prior / (1.0 + (off / _TOLERANCE) ** 2)
    rms = float(np.sqrt((prior * off**2).sum() / prior.sum()))
    return rotation, shift, rms, len(names)


def _check_place(names: tuple[str, ...], points: NDArray[np.float64], scan: Scan) -> None:
    low = scan.vertices.min(axis=0) - _REACH
    high = scan.vertices.max(axis=0) + _REACH
    outside = ((points < low) | (points > high)).any(axis=1)
    if outside.any():
        name = names[int(outside.argmax())]
        raise PrepareError(
            f"landmarks should lie on the scan, {int(outside.sum())} of {len(names)} lie outside of it, "
            f"{name} at {np.round(points[outside.argmax()], 1).tolist()}"
        )


def rigid_fit(
    source: NDArray[np.float64], target: NDArray[np.float64], weight: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Fit rotation (3, 3) and shift (3,) from `source` to `target`, both (L, 3), by weighted least squares [1].

    The rotation is always proper, even if the points lie in a plane.
    """
    share = weight / weight.sum()
    from_mean, to_mean = share @ source, share @ target
    covariance = (target - to_mean).T @ ((source - from_mean) * share[:, None])
    left, _, right = np.linalg.svd(covariance)
    sign = np.array([1.0, 1.0, np.sign(np.linalg.det(left @ right))])  # eq. (43)
    rotation = (left * sign) @ right  # eq. (40)
    return rotation, to_mean - rotation @ from_mean
