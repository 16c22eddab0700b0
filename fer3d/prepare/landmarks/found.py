"""`find_landmarks`: the points, the pose and the unit of a face, from the shape of a scan alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fer3d.checks import check_choice
from fer3d.errors import PrepareError
from fer3d.landmarks import POINT_NAMES, SCHEMES
from fer3d.prepare.landmarks import posing
from fer3d.prepare.outward import outward
from fer3d.prepare.units import UNITS
from fer3d.scan import Scan, check_scan

if TYPE_CHECKING:
    from fer3d.prepare.landmarks.find import Detector

_Floats = NDArray[np.float64]

_PEOPLE = 0.25  # largest logarithm of the ratio of two people's sizes
_SEEN = 0.5  # least probability that the scan shows the face at a point whose position is given


@dataclass(frozen=True, slots=True, eq=False)
class FoundLandmarks:
    """The points of a face that the shape of a scan shows.

    L points, those of `fer3d.landmarks.POINT_NAMES`. Everything is in the frame and unit of the scan's file.

    Attributes:
        names: The L names.
        positions: (L, 3) float64, on the surface of the scan; NaN where it shows no surface of the face.
        confidence: (L,) float64. Probability that the point lies within 4 mm of its true place.
        visibility: (L,) float64. Probability that the scan shows the face at the point.
        pose: (4, 4) float64. From the file to the frontal frame: mm, the nose tip at the origin.
        mm_per_unit: Length of the file's unit in mm, estimated from the size of the face, which differs between people.
        unit: "m", "cm" or "mm" if one of them fits that length, else None.
        probability: Probability that this is a face and its pose is right.
        others: How many smaller faces the scan shows for sure.
        warnings: Doubts, one line each.
    """

    names: tuple[str, ...]
    positions: _Floats
    confidence: _Floats
    visibility: _Floats
    pose: _Floats
    mm_per_unit: float
    unit: str | None
    probability: float
    others: int = 0
    warnings: tuple[str, ...] = ()

    def pose_in(self, scan: Scan) -> tuple[_Floats, _Floats, float]:
        """The pose in the frame of the scan, which may have been moved since it was read.

        Args:
            scan: The scan that was searched, in any frame.

        Returns:
            rotation (3, 3) float64 to the frontal frame; the nose tip (3,) float64; and the length in mm, by the size
            of the face, of a unit of the frame.
        """
        pose = self.pose @ np.linalg.inv(scan.placement)
        size = float(np.cbrt(np.linalg.det(pose[:3, :3])))
        return pose[:3, :3] / size, np.linalg.solve(pose[:3, :3], -pose[:3, 3]), size

    def points(self, scheme: str | None = None) -> Mapping[str, _Floats]:
        """Name -> (3,) float64: the positions that are known, of all points or of one scheme.

        Args:
            scheme: "ibug68", "bu83", "bosphorus", or None.

        Raises:
            ArgumentError: if there is no such scheme.
        """
        if scheme is not None:
            check_choice("scheme", scheme, tuple(SCHEMES))
        wanted = set(self.names if scheme is None else SCHEMES[scheme])
        rows = zip(self.names, self.positions, strict=True)
        return {name: row.copy() for name, row in rows if name in wanted and np.isfinite(row).all()}


def find_landmarks(scan: Scan, *, detector: Detector | None = None, refuse: bool = True) -> FoundLandmarks:
    """Find the face of a scan by its shape, whatever its unit, its axes and its pose.

    Two small networks look at depth images of the scan: the first from a few directions, for a face in any rotation;
    the second from the front, for the points. The result is the same, bit for bit, on the same machine.

    Args:
        scan: A scan as `fer3d.formats.read` gives it, or moved since.
        detector: Networks of your own, see `fer3d.prepare.landmarks.weights.load`; None: those of the package.
        refuse: Whether a result that is no face, most likely, raises.

    Raises:
        ArgumentError: if `scan` has no face.
        PrepareError: if the scan shows no face.
    """
    from fer3d.prepare.landmarks.find import find
    from fer3d.prepare.landmarks.weights import shipped

    check_scan("scan", scan)
    detector = shipped() if detector is None else detector
    found = find(detector, outward(finite(scan)))
    probability = detector.calibration.of_face(found.features)
    if refuse and probability < detector.calibration.fail:
        raise PrepareError(
            f"no face found: the likeliest place is a face with a probability of {probability:.0%}; a face needs eyes, "
            "nose and mouth, seen at most 75 degrees from the side; a landmark file beside the scan also gives the pose"
        )
    to_file = np.linalg.inv(scan.placement)
    placed, pose = found.placed, posing.at_tip(found.fit.pose, found.tip)
    positions: _Floats = placed.positions @ to_file[:3, :3].T + to_file[:3, 3]
    positions[placed.visible < _SEEN] = np.nan
    whole = np.vstack([pose, [0.0, 0.0, 0.0, 1.0]]) @ scan.placement
    doubted = probability < detector.calibration.warn
    size = float(np.cbrt(np.linalg.det(whole[:3, :3])))
    doubts = [f"the face was found with a probability of {probability:.0%} only: look at it"] if doubted else []
    if found.others:
        doubts.append(f"the scan shows {found.others + 1} faces; the largest was taken")
    return FoundLandmarks(
        POINT_NAMES,
        positions,
        detector.calibration.of_points(placed) * probability,
        placed.visible,
        whole,
        size,
        _unit_of(size),
        probability,
        found.others,
        tuple(doubts),
    )


def _unit_of(mm_per_unit: float) -> str | None:
    """The unit whose length in mm differs from this by no more than the sizes of two people, or None."""
    fits = [name for name, mm in UNITS.items() if abs(np.log(mm_per_unit / mm)) < _PEOPLE]
    return fits[0] if fits else None


def finite(scan: Scan) -> Scan:
    """The scan without vertices that are not finite, and without their faces. PrepareError if none is left."""
    good = np.asarray(np.isfinite(scan.vertices).all(axis=1))
    if good.all():
        return scan
    kept = scan.kept(good, "finite")
    if not len(kept.faces):
        raise PrepareError("the scan should have a finite vertex in its faces, has none")
    return kept
