"""Find the likeliest face of a scan with the two networks: candidates from the sides, then a look from the front."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fer3d.errors import PrepareError
from fer3d.kernels import topology
from fer3d.kernels.normals import vertex_normals
from fer3d.prepare.landmarks import posing, sighting
from fer3d.prepare.landmarks.calibration import Calibration, features
from fer3d.prepare.landmarks.networks import FaceFinder, PointPlacer
from fer3d.prepare.landmarks.pictures import sampled
from fer3d.prepare.landmarks.placing import Mesh, Placed, place
from fer3d.prepare.landmarks.reference import TIP
from fer3d.prepare.landmarks.shape_model import ShapeModel
from fer3d.scan import Scan, check_scan

_Floats = NDArray[np.float64]

_CANDIDATES = 3  # faces from each set of sides that are looked at from the front
_PASSES = 3  # renders from the front of one candidate at most
_SETTLED = (np.radians(6.0), 5.0, 0.04)  # a pose that moved less, in radians, mm and log scale, is not rendered again
_SURE = 3.0  # logit of a face above which the search ends
_UP, _TOWARDS = 0.5, 0.25  # logits that the file's own axes count for: +y up, +z towards the camera
_PARTS = 5  # largest components that are also searched by themselves
_PART = 1e-3  # share of the largest component's area from which one is searched: a face is this much of a wall of 6 m
_FEWEST = 40  # triangles that a face from the front shows at least: a few large ones are a crumb, seen too near
_SEEN = 0.0  # logit from which another candidate may be another person
_ANOTHER = 80.0  # mm between the nose tips of two people
_UPSIDE_DOWN = np.diag([-1.0, -1.0, 1.0])


@dataclass(frozen=True, slots=True)
class Detector:
    """The two networks with their weights, in evaluation mode, the shape of faces, and the calibration of it all."""

    finder: FaceFinder
    placer: PointPlacer
    shape: ShapeModel
    calibration: Calibration


class Found(NamedTuple):
    """A face as the networks place it, in the frame and unit of the scan.

    Attributes:
        placed: Its points.
        fit: The similarity to the mean face.
        sighting: Logit of the candidate.
        others: How many other faces the scan shows for sure.
    """

    placed: Placed
    fit: posing.Fit
    sighting: float
    others: int = 0

    @property
    def features(self) -> _Floats:
        """(8,) what the probability of the whole face is made of."""
        return features(self.placed, self.fit, self.sighting)

    @property
    def tip(self) -> _Floats:
        """(3,) the nose tip: on the surface where the scan has it, else that of the mean face."""
        marked = self.placed.positions[TIP]
        if np.isfinite(marked).all() and self.placed.visible[TIP] > 0.5:
            return np.asarray(marked)
        return np.linalg.solve(self.fit.pose[:, :3], -self.fit.pose[:, 3]).astype(np.float64)


def find(detector: Detector, scan: Scan) -> Found:
    """Find the likeliest face of a scan.

    The scan is looked at from the six directions of its axes; if no candidate is a face for sure, also from the
    corners between them, upside down, and part by part.

    Args:
        detector: The networks.
        scan: A scan, wound outward, in any unit and with any axes.

    Raises:
        ArgumentError: if `scan` has no face.
        PrepareError: if nothing in the scan can be placed on the mean face.
    """
    check_scan("scan", scan)
    normals = vertex_normals(scan.vertices, scan.faces, topology.weld(scan.vertices))
    mesh = Mesh(scan.vertices, scan.faces, normals)
    best: Found | None = None
    highest = -np.inf
    seen: list[sighting.Candidate] = []  # of the same look at the scan
    for candidate in _candidates(detector, scan, seen):
        found = _looked_at(detector, mesh, candidate)
        if found is None:
            continue
        sure = detector.calibration.score(found.features)
        score = sure + _UP * found.fit.rotation[1, 1] + _TOWARDS * found.fit.rotation[2, 2]
        if score > highest:
            best, highest = found, score
        if sure > _SURE:
            best = _largest(detector, mesh, found, seen)
            break
    if best is None:
        raise PrepareError("no face found: nothing in the scan looks like a face")
    return _finally(detector, mesh, best)


def _largest(detector: Detector, mesh: Mesh, found: Found, seen: Sequence[sighting.Candidate]) -> Found:
    """The largest face for sure among a found one and the other candidates of the same look: the others are behind."""
    best, others = found, 0
    for candidate in seen:
        tip = np.linalg.solve(candidate.pose[:, :3], -candidate.pose[:, 3])
        if candidate.logit < _SEEN or found.fit.scale * float(np.linalg.norm(tip - found.tip)) < _ANOTHER:
            continue
        other = _looked_at(detector, mesh, candidate)
        if other is None or detector.calibration.score(other.features) < _SURE:
            continue
        others += 1
        if other.fit.scale < best.fit.scale:
            best = other
    return best._replace(others=others)


def _candidates(detector: Detector, scan: Scan, seen: list[sighting.Candidate]) -> Iterator[sighting.Candidate]:
    """Candidates, the likeliest first; each step is taken only if the ones before it were not sure.

    Those of the same look go to `seen`.
    """
    for faces in _parts(scan):
        every: list[sighting.Candidate] = []
        samples = sampled(scan.vertices, faces)
        for views in (sighting.axes_views(), sighting.corner_views()):
            some = sighting.candidates(detector.finder, samples, views, _CANDIDATES)
            seen[:] = some
            yield from some
            every += some
        for candidate in every[:_CANDIDATES]:
            yield candidate._replace(pose=_UPSIDE_DOWN @ candidate.pose)


def _parts(scan: Scan) -> Iterator[NDArray[np.int32]]:
    """The faces of the whole scan; then, if it has several large components, those of each."""
    yield scan.faces
    welded = topology.welded_faces(scan.faces, topology.weld(scan.vertices))
    label, _, count = topology.components(welded, topology.face_neighbours(welded, len(scan.vertices)))
    if count == 1:
        return
    areas = topology.component_areas(scan.vertices, welded, label, count)
    for part in np.argsort(-areas, kind="stable")[:_PARTS]:
        if areas[part] >= _PART * areas.max():
            yield scan.faces[label == part]


def _finally(detector: Detector, mesh: Mesh, best: Found) -> Found:
    """The last and best look at the face that was chosen."""
    placed = place(detector.placer, detector.shape, mesh, posing.at_tip(best.fit.pose, best.tip), twice=True)
    fit = posing.fit(placed)
    return best if fit is None else best._replace(placed=placed, fit=fit)


def _looked_at(detector: Detector, mesh: Mesh, candidate: sighting.Candidate) -> Found | None:
    """Look at a candidate from the front, until its pose stands still."""
    pose, found = candidate.pose, None
    for _ in range(_PASSES):
        placed = place(detector.placer, detector.shape, mesh, pose)
        if placed.triangles < _FEWEST:
            break
        fit = posing.fit(placed)
        if fit is None:
            break
        found = Found(placed, fit, candidate.logit)
        better = posing.at_tip(fit.pose, found.tip)
        change = posing.moved(better, pose)
        if all(x < limit for x, limit in zip(change, _SETTLED, strict=True)):
            break
        pose = better
    return found
