"""Choose the components of a scan that are the face, where it has several large ones.

A wall behind a face, a shirt or a second person can be larger than the face; a bar over eyes or mouth, as anonymised
scans have it, cuts a face into pieces of which the largest is half of it. So the pose of the face is found first: from
the landmarks of the file, or those that are found on the shape. The components that lie on the mean face in this pose
are the face.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from fer3d.errors import PrepareError
from fer3d.kernels import topology
from fer3d.kernels.normals import vertex_normals
from fer3d.prepare.landmark_pose import landmark_pose
from fer3d.prepare.landmarks.found import find_landmarks
from fer3d.scan import Scan

_Floats = NDArray[np.float64]

# Which components count.
_CRUMB = 0.03  # share of the largest component's area up to which a component is a crumb
_CRUMB_MM2 = 500.0  # a crumb too: an eighth of a forehead, a patch of hair
_LARGEST_CRUMB_MM2 = 1200.0  # whatever the largest component is: a wall may be a hundred times as large as a face
_FACE_MM2 = 5000.0  # below this area no component is a face, brow to chin; then all that are no crumbs may be parts

# Which may be other people.
_HEAD_MM2 = 8000.0  # area from which another component may be a second person
_HEAD_LONGEST = 450.0  # mm

# Which lie on the face.
_BALL = 115.0  # mm around the nose tip: farther out are ears and neck, whose position varies between people
_OFF = 15.0  # mm: how far the face of a person may be off the mean face, in a pose from part of it
_ON = 0.5  # share of a component that should lie on the mean face
_HALF = 0.25  # share of the main component's area on the face that suffices: half of a head has its hair and back
_SAMPLES = 20_000  # faces at most whose distance to the mean face is measured
_COPY = 0.8  # share of a component within an edge's length of those kept, from which it is a copy of them
_COPY_SAMPLES = 500
_MOST_COMPARED = 128  # a face in more pieces than this is in pieces; none is a copy
_ALIKE = 0.5  # least cosine, up to the sign, between the normals of a component and of the mean face


@dataclass(frozen=True)
class Choice:
    """The components of a face.

    Attributes:
        keep: (P,) bool. The components to keep.
        lost: (P,) bool. Those whose surface is lost: not kept, and no copy of those that are.
        record: Details for the history.
        warnings: Doubts.
    """

    keep: NDArray[np.bool_]
    lost: NDArray[np.bool_]
    record: dict[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Pose:
    """Where the face is: the nose tip (3,) and the rotation (3, 3) to the frontal frame, and what it was found by."""

    nose: _Floats
    rotation: _Floats
    source: str

    def place(self, points: NDArray[np.floating]) -> _Floats:
        """(N, 3) points of the scan in the frontal frame."""
        placed: _Floats = (points.astype(np.float64) - self.nose) @ self.rotation.T
        return placed


def are_large(areas: _Floats) -> NDArray[np.bool_]:
    """(P,) bool: which components are no crumbs, from their areas (P,) in mm^2. The largest never is."""
    largest = float(areas.max())
    least = min(_CRUMB * largest, _LARGEST_CRUMB_MM2)
    return areas >= (max(least, _CRUMB_MM2) if largest >= _FACE_MM2 else least)


def of_face(scan: Scan, label: NDArray[np.int32], areas: _Floats) -> Choice:
    """Choose the components of the face.

    Args:
        scan: A scan in mm without bad faces.
        label: (F,) int32. Component of each face.
        areas: (P,) float64. Area of each component, mm^2.

    Returns:
        The choice. If no face is found, the largest component.
    """
    large = np.flatnonzero(are_large(areas))
    large = large[np.argsort(-areas[large], kind="stable")]  # in descending area
    pose = _pose_by_landmarks(_part(scan, label, large)) or _pose_by_shape(_part(scan, label, large))
    on_face = None if pose is None else _areas_on_face(scan, label, areas, pose)
    if pose is None or on_face is None or not on_face[large].any():
        keep = np.arange(len(areas)) == large[0]
        return Choice(
            keep, ~keep, {"kept": 1, "chosen_by": "area"}, ("no component looks like a face: the largest is kept",)
        )
    main = large[int(on_face[large].argmax())]
    lies = large[((on_face >= _ON * areas) | (on_face >= _HALF * on_face[main]))[large]]
    lies = lies[np.argsort(-on_face[lies], kind="stable")]
    kept, copies = [main], list[int]()
    for p in lies[lies != main].tolist():
        (copies if len(lies) <= _MOST_COMPARED and _is_copy(scan, label, p, kept) else kept).append(p)
    keep = np.isin(np.arange(len(areas)), kept)
    lost = ~keep & ~np.isin(np.arange(len(areas)), copies)
    record = {"kept": len(kept), "copies": len(copies), "chosen_by": pose.source}
    warned = pose.source == "landmarks" or any(entry.get("others") for entry in scan.history)
    warnings = () if warned else _other_people(scan, label, areas, main, large[lost[large]])
    return Choice(keep, lost, record, warnings)


def _pose_by_landmarks(scan: Scan) -> _Pose | None:
    if not scan.landmarks:
        return None
    for faces in (scan.faces, np.ascontiguousarray(scan.faces[:, ::-1])):  # it may be inside out
        try:
            pose = landmark_pose(replace(scan, faces=faces))
        except PrepareError:
            continue
        return _Pose(pose.nose, pose.rotation, "found" if _are_found(scan) else "landmarks")
    return None


def _are_found(scan: Scan) -> bool:
    """Whether the landmarks of a scan were found on its shape."""
    return any(entry["step"] == "landmarks" and "found_on" in entry for entry in scan.history)


def _pose_by_shape(scan: Scan) -> _Pose | None:
    """Find a face on the shape of a scan. Without one: None."""
    try:
        found = find_landmarks(scan)
    except PrepareError:
        return None
    rotation, tip, _ = found.pose_in(scan)
    return _Pose(tip, rotation, "found")


def _other_people(
    scan: Scan, label: NDArray[np.int32], areas: _Floats, main: int, others: NDArray[np.intp]
) -> tuple[str, ...]:
    """Warnings of further faces among the components that were dropped."""
    warnings = []
    for p in others[areas[others] >= max(_HEAD_MM2, 0.3 * areas[main])][:2]:
        part = _part(scan, label, np.array([p]))
        if float(np.ptp(part.vertices, axis=0).max()) > _HEAD_LONGEST:
            continue
        try:
            found = find_landmarks(part)
        except PrepareError:
            continue
        if not found.warnings:
            warnings.append(f"a second face, {areas[p] / 100:.0f} cm^2 large, is not used")
    return tuple(warnings)


def _part(scan: Scan, label: NDArray[np.int32], rows: NDArray[np.integer]) -> Scan:
    """The scan with only the components `rows`; its history is not kept up."""
    used, faces = topology.kept_rows(scan.faces, np.isin(label, rows), len(scan.vertices))
    return replace(scan, faces=faces, **scan.at(used))


def _areas_on_face(scan: Scan, label: NDArray[np.int32], areas: _Floats, pose: _Pose) -> _Floats:
    """(P,) float64: area of each component that lies on the mean face in this pose, mm^2."""
    points, normals = _mean_surface()
    a, b, c = (scan.vertices[scan.faces[:, k]].astype(np.float64) for k in range(3))
    centre = pose.place((a + b + c) / 3.0)
    inside = np.flatnonzero(np.einsum("ij,ij->i", centre, centre) <= _BALL * _BALL)
    across = np.cross(b[inside] - a[inside], c[inside] - a[inside]) @ pose.rotation.T  # twice the area long
    size = np.linalg.norm(across, axis=1)
    sample = slice(None, None, max(1, -(-len(inside) // _SAMPLES)))
    off, nearest = points.query(centre[inside][sample], distance_upper_bound=_OFF)
    there = np.concatenate([normals, np.zeros((1, 3))])[nearest]  # the last row: none is near
    alike = np.abs((across[sample] * there).sum(axis=1)) >= _ALIKE * size[sample]
    on = np.isfinite(off) & alike
    of, count = label[inside], len(areas)
    sampled = np.bincount(of[sample], size[sample], count)
    share = np.bincount(of[sample], size[sample] * on, count) / np.maximum(sampled, 1e-12)
    return 0.5 * np.bincount(of, size, count) * share


@functools.lru_cache(maxsize=1)
def _mean_surface() -> tuple[cKDTree, _Floats]:
    """A tree of the vertices of the mean face, and their normals, (N, 3)."""
    from fer3d.face.load import mean_face

    face = mean_face()
    normals = vertex_normals(face.vertices, face.faces, topology.weld(face.vertices)).astype(np.float64)
    sound = np.isfinite(normals).all(axis=1)
    return cKDTree(face.vertices[sound].astype(np.float64)), normals[sound]


def _is_copy(scan: Scan, label: NDArray[np.int32], component: int, kept: list[int]) -> bool:
    """Whether a component lies upon those kept, as a surface that a file holds twice."""
    there = scan.vertices[np.unique(scan.faces[np.isin(label, kept)])]
    here = scan.vertices[np.unique(scan.faces[label == component])]
    here = here[:: max(1, len(here) // _COPY_SAMPLES)]
    faces = scan.faces[label == component]
    edge = float(np.median(np.linalg.norm(scan.vertices[faces[:, 0]] - scan.vertices[faces[:, 1]], axis=1)))
    off, _ = cKDTree(there).query(here)
    return float((off <= edge).mean()) >= _COPY
