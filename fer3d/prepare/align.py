"""Align a scan: convert it to mm, wind it outward, rotate it to the frontal pose with the nose tip at the origin.

The frontal frame is that of `fer3d.face.load.mean_face`. Every method of finding the pose returns the rotation that
aligns the scan with the mean face, so scans with and without landmarks share one frame.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer3d.checks import check_choice, check_range
from fer3d.config import pose_name
from fer3d.errors import PrepareError
from fer3d.kernels import topology
from fer3d.kernels.extents import are_loose, component_extents, trimmed_extents
from fer3d.prepare.clip import clip
from fer3d.prepare.landmark_pose import LandmarkPose, landmark_pose
from fer3d.prepare.landmarks.contradiction import contradicting
from fer3d.prepare.landmarks.found import FoundLandmarks, find_landmarks
from fer3d.prepare.nose import protruding_point
from fer3d.prepare.outward import outward
from fer3d.prepare.units import UNITS, check_unit
from fer3d.scan import Scan, check_scan

__all__ = ["crop", "frontal", "outward", "to_millimetres"]

# Range of the longest side of a face scan: from a cropped face (brow to chin, 110) to a bust (600), with some margin.
# The range must stay below a factor of ten; otherwise a size could fit both cm and mm.
SMALLEST, LARGEST = 95.0, 900.0  # mm

_WRONG_UNIT = 0.35  # logarithm of the ratio of a unit and the one that the face tells: more than two people differ by
_NO_SIZE = np.log(2.0)  # the same: no face is as large or as small
_TIP_SEEN = 0.5  # least probability that the scan shows the nose tip
_TIP_OFF = 6.0  # mm by which the most protruding point may lie off the nose tip that was found


def to_millimetres(scan: Scan, unit: str | float = "auto", found: FoundLandmarks | None = None) -> Scan:
    """Convert a scan to mm.

    If the face has been found, its size tells the unit: m, cm or mm, or if none of them fits, the length of the unit as
    well as the sizes of people tell it, with a warning. A unit that is given, but contradicts the face, is a warning.

    Otherwise, to guess the unit, it takes the longest side of the bounding box without the outermost hundredth of the
    vertices at each end of each axis, so that stray points have no effect. The side must be 95 to 900 mm in exactly one
    of the units. If it is in none, or a few vertices far away decide it, the components that matter are measured: all
    but crumbs, then each large one. The history records the guess.

    Args:
        scan: A scan in the unit of its file.
        unit: "m", "cm", "mm", "auto" to guess, or the length of one unit in mm.
        found: The landmarks that were found on the scan, if any.

    Raises:
        ArgumentError: if `scan` has no face or `unit` is none of these.
        PrepareError: if "auto" finds a size that no face has in any unit.
    """
    check_scan("scan", scan)
    check_unit(unit)
    size = float(trimmed_extents(scan.vertices, scan.faces).max())
    if np.isnan(size):
        raise PrepareError("the scan should have a finite vertex in its faces, has none")
    reason: dict[str, Any] = {}
    guessed = unit == "auto"
    if found is not None:
        scan, unit, reason["reason"] = _unit_of_face(scan, unit, found)
    elif unit == "auto":
        unit, size, whole = _guess(scan, size)
        part = "" if whole else ", without crumbs and other components"
        reason["reason"] = f"longest side {size * UNITS[unit]:.0f} mm, between {SMALLEST:g} and {LARGEST:g}{part}"
    name, factor = (unit, UNITS[unit]) if isinstance(unit, str) else (f"{unit:g} mm", float(unit))
    record = {"unit": name, "mm_per_unit": factor, "guessed": guessed, "size_in_file": round(size, 6)} | reason
    if factor == 1.0:
        return scan.step("unit", record)
    return scan.moved(np.diag([factor, factor, factor, 1.0]), "unit", record)


def fitting_unit(size: float) -> str | None:
    """Return the unit in which a face may be `size` long, or None."""
    return next((name for name, mm in UNITS.items() if SMALLEST <= size * mm <= LARGEST), None)


def frontal(scan: Scan, method: str = "auto", found: FoundLandmarks | None = None) -> Scan:
    """Move a scan to the frontal frame: nose tip at the origin, face towards +z, crown towards +y.

    With landmarks of a file, the rotation aligns them with those of the mean face (`fer3d.prepare.landmark_pose`). The
    nose tip is the landmark pronasale; without it, the most protruding point of the surface near its expected position.
    If a data set names the right side left, the sides of the landmarks are swapped, and the history records this.
    Without such landmarks, those that `fer3d.prepare.find_landmarks` finds on the shape give the pose.

    Args:
        scan: A scan in mm, cleaned, wound outward.
        method: "file": the landmarks of the scan; "found": those found on the shape; or "auto": those of the scan if
            enough of them fit, else found ones.
        found: The landmarks that were found on the scan, if it was searched before.

    Raises:
        ArgumentError: if `scan` has no face or `method` is none of these.
        PrepareError: if the landmarks are too few or do not fit (method "file"), or no face is found.
    """
    check_scan("scan", scan)
    method = pose_name(method)
    check_choice("method", method, ("auto", "file", "found"))
    if method != "found" and found is None:
        try:
            posed = landmark_pose(scan)
        except PrepareError as error:
            if method == "file":
                raise
            if scan.landmarks:
                scan = scan.warn(f"landmarks found on the shape: {error}")
        else:
            found = contradicting(scan, posed)
            if found is not None:
                used = "they are used, as asked for" if method == "file" else "the found ones are used"
                scan = scan.warn(f"the landmarks of the file are not where the face is on the shape: {used}")
            if found is None or method == "file":
                return _frontal_by_landmarks(scan, posed)
            scan = scan.with_landmarks(found.points(), {"found_on": "shape"})
    try:
        found = find_landmarks(scan) if found is None else found
    except PrepareError as error:
        raise PrepareError(f"{error}{_advice(scan)}") from None
    return _frontal_by_shape(scan, found)


def crop(scan: Scan, radius: float = 90.0) -> Scan:
    """Keep the part of a scan in a ball around the origin, which is the nose tip in the frontal frame.

    Faces that reach out of the ball are cut at it (see `fer3d.prepare.clip.clip`). Vertices without a face are dropped.

    Args:
        scan: A scan in mm, in the frontal frame.
        radius: Radius in mm. 90 includes chin, brows and cheeks, and excludes ears, neck and hair.

    Raises:
        ArgumentError: if `scan` has no face or `radius` is not positive.
        PrepareError: if no face is inside.
    """
    check_scan("scan", scan)
    check_range("radius", radius, 1e-3, 1e6, "mm")
    clipped, cut = clip(scan, radius)
    if not len(clipped.faces):
        raise PrepareError(f"the scan should have a face within {radius:g} mm of the nose tip, has none")
    rows, faces = topology.kept_rows(clipped.faces, np.ones(len(clipped.faces), np.bool_), len(clipped.vertices))
    dropped = len(scan.vertices) - int(np.searchsorted(rows, len(scan.vertices)))
    record = {"radius_mm": float(radius), "vertices_dropped": dropped, "faces_cut": cut}
    return clipped.step("crop", record, faces=faces, **clipped.at(rows))


def _guess(scan: Scan, size: float) -> tuple[str, float, bool]:
    """Return the unit in which a scan of this size is a face, the size that decided, and whether of the whole scan."""
    unit = fitting_unit(size)
    if unit is not None and not are_loose(scan.vertices, scan.faces):
        return unit, size, True
    for extents in component_extents(scan.vertices, scan.faces):
        of_part = float(extents.max())
        unit = fitting_unit(of_part)
        if unit is not None:
            return unit, of_part, of_part == size
    raise PrepareError(
        f"the longest side of a face scan should be {SMALLEST:g} to {LARGEST:g} mm, is {size:.4g}, "
        f"which fits as neither m, cm nor mm: give the unit, such as --unit mm or its length in mm "
        f"(in Python `unit` of AxisConvention)"
    )


def _advice(scan: Scan) -> str:
    """Say what was assumed of a scan on which no face was found."""
    steps = {entry["step"]: entry for entry in scan.history}
    text = ""
    if steps.get("face_components", {}).get("chosen_by") == "area":
        text += f"; of its {steps['face_components']['components']} components all but the largest were dropped"
    if scan.landmarks:
        text += "; --pose file says what is wrong with the landmarks"
    return text


def _frontal_by_landmarks(scan: Scan, pose: LandmarkPose) -> Scan:
    nose = pose.landmarks.get("pronasale")
    marked = nose is not None and bool(np.isfinite(nose).all())
    if not marked:
        nose = protruding_point(scan, pose.rotation, pose.nose)
    record = {
        "method": "landmarks",
        "landmarks": pose.count,
        "rms_mm": round(pose.rms, 4),
        "nose_tip": "landmark" if marked else "surface",
        "sides_swapped": pose.sides_swapped,
    }
    if pose.sides_swapped:
        scan = scan.step("swap_sides", landmarks=pose.landmarks).warn(
            "the landmarks name the right side left; they have been renamed"
        )
    assert nose is not None
    return scan.moved(_to_origin(pose.rotation, nose), "frontal", record)


def _frontal_by_shape(scan: Scan, found: FoundLandmarks) -> Scan:
    """Move a scan by the pose that was found on its file; a nose tip that is seen is the most protruding point."""
    rotation, tip, size = found.pose_in(scan)
    if abs(np.log(size)) > _NO_SIZE:
        raise PrepareError(
            f"the face that was found is {1 / size:.3g} times as large as a face: is the unit right? "
            f"Its size says {found.mm_per_unit:.3g} mm per unit (--unit)"
        )
    record = {"method": "found", "probability": round(found.probability, 4), "mm_per_unit": round(found.mm_per_unit, 4)}
    if found.visibility[found.names.index("pronasale")] >= _TIP_SEEN:
        nose = protruding_point(scan, rotation, tip)
        tip = nose if np.linalg.norm(nose - tip) < _TIP_OFF else tip
    for warning in found.warnings:
        scan = scan.warn(warning)
    return scan.moved(_to_origin(rotation, tip), "frontal", record)


def _unit_of_face(scan: Scan, unit: str | float, found: FoundLandmarks) -> tuple[Scan, str | float, str]:
    """The scan, perhaps with a warning, its unit, and why: from the size of the face that was found."""
    estimate = found.mm_per_unit
    reason = f"the size of the face: {estimate:.4g} mm per unit"
    if unit == "auto":
        if found.unit is None:
            scan = scan.warn(
                f"the unit is none of m, cm and mm: the face says {estimate:.3g} mm, as exactly as people are of one "
                f"size (about 5 %); give it if you know it, such as --unit {estimate:.3g}"
            )
        return scan, found.unit or estimate, reason
    given = UNITS[unit] if isinstance(unit, str) else float(unit)
    if abs(np.log(estimate / given)) > _WRONG_UNIT:
        scan = scan.warn(
            f"the unit is given as {given:g} mm, the face that was found says {estimate:.3g} mm: is it right?"
        )
    return scan, unit, reason


def _to_origin(rotation: NDArray[np.float64], nose: NDArray[np.float64]) -> NDArray[np.float64]:
    transform = np.eye(4)
    transform[:3, :3] = rotation
    transform[:3, 3] = -rotation @ nose
    return transform
