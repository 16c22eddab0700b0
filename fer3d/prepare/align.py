"""Align a scan: convert it to mm, wind it outward, rotate it to the frontal pose with the nose tip at the origin.

The frontal frame is that of `fer3d.face.load.mean_face`. Every method of finding the pose returns the rotation that
aligns the scan with the mean face, so scans with and without landmarks share one frame.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer3d.checks import check_range
from fer3d.errors import ArgumentError, PrepareError
from fer3d.kernels import topology, winding
from fer3d.kernels.extents import are_loose, component_extents, trimmed_extents
from fer3d.prepare.clip import clip
from fer3d.prepare.landmark_pose import LandmarkPose, landmark_pose
from fer3d.prepare.nose import NoseFit, find_nose_tip, protruding_point
from fer3d.scan import Scan, check_scan

__all__ = ["NoseFit", "crop", "find_nose_tip", "frontal", "outward", "to_millimetres"]

UNITS = {"m": 1000.0, "cm": 10.0, "mm": 1.0}  # unit -> mm

# Range of the longest side of a face scan: from a cropped face (brow to chin, 110) to a bust (600), with some margin.
# The range must stay below a factor of ten; otherwise a size could fit both cm and mm.
SMALLEST, LARGEST = 95.0, 900.0  # mm

_FLAT = 0.02  # below this mean cosine the shape does not show which side is out; a face scan has 0.2 or more


def to_millimetres(scan: Scan, unit: str | float = "auto") -> Scan:
    """Convert a scan to mm.

    To guess the unit, it takes the longest side of the bounding box without the outermost hundredth of the vertices at
    each end of each axis, so that stray points have no effect. The side must be 95 to 900 mm in exactly one of the
    units. If it is in none, or a few vertices far away decide it, the components that matter are measured: all but
    crumbs, then each large one. The history records the guess.

    Args:
        scan: A scan in the unit of its file.
        unit: "m", "cm", "mm", "auto" to guess, or the length of one unit in mm.

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
    if unit == "auto":
        unit, size, whole = _guess(scan, size)
        part = "" if whole else ", without crumbs and other components"
        reason["reason"] = f"longest side {size * UNITS[unit]:.0f} mm, between {SMALLEST:g} and {LARGEST:g}{part}"
    name, factor = (unit, UNITS[unit]) if isinstance(unit, str) else (f"{unit:g} mm", float(unit))
    record = {"unit": name, "mm_per_unit": factor, "guessed": guessed, "size_in_file": round(size, 6)} | reason
    if factor == 1.0:
        return scan.step("unit", record)
    return scan.moved(np.diag([factor, factor, factor, 1.0]), "unit", record)


def check_unit(unit: str | float) -> None:
    """Raise ArgumentError unless `unit` is "auto", "m", "cm", "mm" or a length in mm."""
    if not isinstance(unit, str):
        check_range("unit", unit, 1e-6, 1e6, "mm")
    elif unit not in ("auto", *UNITS):
        raise ArgumentError(f"`unit` should be one of auto, {', '.join(UNITS)} or a length in mm, is {unit!r}")


def fitting_unit(size: float) -> str | None:
    """Return the unit in which a face may be `size` long, or None."""
    return next((name for name, mm in UNITS.items() if SMALLEST <= size * mm <= LARGEST), None)


def outward(scan: Scan) -> Scan:
    """Wind every component of a scan consistently, so that normals point out of the head.

    A component is reversed if its normals point, on average, towards the centroid of the scan: a face, and a whole head
    even more so, bulges outwards. If a component is too flat for this test, its normals are made to point towards +z,
    where the camera is.

    Raises:
        ArgumentError: if `scan` has no face.
        PrepareError: if a vertex of a face is not finite (see `fer3d.prepare.clean.drop_bad_faces`).
    """
    check_scan("scan", scan)
    faces = topology.welded_faces(scan.faces, topology.weld(scan.vertices))
    label, turn, count = topology.components(faces, topology.face_neighbours(faces, len(scan.vertices)))
    away, towards_camera = winding.outwardness(scan.vertices, scan.faces, label, turn, count).T
    if not np.isfinite(away).all():
        raise PrepareError("the scan should have finite vertices only, has others: clean it first")
    inside_out = np.where(np.abs(away) >= _FLAT, away, towards_camera) < 0.0
    turn ^= inside_out[label]
    record = {"components": int(count), "inside_out": int(inside_out.sum()), "faces_turned": int(turn.sum())}
    if not turn.any():
        return scan.step("outward", record)
    turned = scan.faces.copy()
    turned[turn] = turned[turn][:, [0, 2, 1]]
    return scan.step("outward", record, faces=turned)


def frontal(scan: Scan, method: str = "auto") -> Scan:
    """Move a scan to the frontal frame: nose tip at the origin, face towards +z, crown towards +y.

    With landmarks, the rotation aligns them with those of the mean face (`fer3d.prepare.landmark_pose`). The nose tip
    is the landmark pronasale; without it, the most protruding point of the surface near its expected position. If a
    data set names the right side left, the sides of the landmarks are swapped, and the history records this. Without
    landmarks, the pose comes from the shape, see `find_nose_tip`.

    Args:
        scan: A scan in mm, cleaned, wound outward.
        method: "landmarks", "shape", or "auto": landmarks if enough of them fit, else the shape.

    Raises:
        ArgumentError: if `scan` has no face or `method` is none of these.
        PrepareError: if the landmarks are too few or do not fit (method "landmarks"), or no nose is found.
    """
    check_scan("scan", scan)
    if method not in ("auto", "landmarks", "shape"):
        raise ArgumentError(f"`method` should be one of auto, landmarks, shape, is {method!r}")
    if method != "shape":
        try:
            return _frontal_by_landmarks(scan, landmark_pose(scan))
        except PrepareError as error:
            if method == "landmarks":
                raise
            if scan.landmarks:
                scan = scan.warn(f"pose from the shape: {error}")
    try:
        fit = find_nose_tip(scan)
    except PrepareError as error:
        raise PrepareError(f"{error}{_advice(scan)}") from None
    record = {"method": "shape", "score_mm": round(fit.score, 4), "coverage": round(fit.coverage, 4)}
    return scan.moved(_to_origin(fit.rotation, fit.nose), "frontal", record)


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
    """Say what was assumed of a scan without a nose, and how to state it otherwise."""
    steps = {entry["step"]: entry for entry in scan.history}
    axes = steps.get("axes", {"up": "+y", "towards_camera": "+z"})
    text = (
        f"; if the file has other axes than `up` {axes['up']} and `towards_camera` {axes['towards_camera']}, give them "
        "(such as --up +z --towards-camera -y)"
    )
    if steps.get("unit", {}).get("guessed"):
        text += f"; the unit was guessed as {steps['unit']['unit']} (--unit)"
    if steps.get("face_components", {}).get("chosen_by") == "area":
        text += f"; of its {steps['face_components']['components']} components all but the largest were dropped"
    if scan.landmarks:
        text += "; --set pose=landmarks says what is wrong with the landmarks"
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


def _to_origin(rotation: NDArray[np.float64], nose: NDArray[np.float64]) -> NDArray[np.float64]:
    transform = np.eye(4)
    transform[:3, :3] = rotation
    transform[:3, 3] = -rotation @ nose
    return transform
