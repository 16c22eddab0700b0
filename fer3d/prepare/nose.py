"""The nose and the frontal pose of a face, from its shape alone.

The search lays the scan on the mean face from many starting poses: points that stick out, as nose tips; the mean
normal about them, as the rough direction of the face; and every roll. What fits best is refined with ever more
points. Distance alone does not tell: a forehead lies as near to the mean face as the face of a stranger does. What
tells is the relief, the heights that are left when both have lost their best quadric, and poses are ranked by both
together. A table of the mean face's nearest point to each cell of a grid (the field) makes one pose cost about two
microseconds, so thousands can be tried.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from fer3d.errors import PrepareError
from fer3d.kernels import nose_search as search
from fer3d.kernels import relief
from fer3d.kernels.normals import vertex_normals
from fer3d.kernels.topology import weld
from fer3d.scan import Scan, check_scan

_Floats = NDArray[np.float64]

_AT_HOME = np.array([1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0])  # the pose that moves nothing

# The table of nearest points.
_FIELD_REACH = 115.0  # mm from the nose tip: beyond are ears and neck, which strangers have elsewhere
_FIELD_LOW = np.array([-90.0, -110.0, -115.0])  # mm: corners of the box, which holds a face turned by what is allowed
_FIELD_HIGH = np.array([90.0, 110.0, 25.0])
_FIELD_CELL = 2.0  # mm: 0.7 million cells
_ABOUT = 30.0  # mm^2 a point of the mean face when asking what of it the scan misses: 188 points about the nose
_DENSE = 1.0  # mm^2 a sample of its height map: 25 a cell
_EVERY_SIDE = -1.0  # least z of a normal: none is left out

# The samples of a scan.
_LEAST_NORMAL_Z = -0.2  # the camera looks along -z: what faces away from it was not measured, or is the back of a head
_FEWEST_SAMPLES = 50  # 450 mm^2 when coarse: too little for a pose
_COARSE = 9.0  # mm^2 a sample when looking for candidates
_MOST_COARSE = 8000  # samples; a bust gets fewer a square millimetre than a face
_FINE = 4.0  # mm^2 a sample when refining
_FINE_BALL = 90.0  # mm about the tip: the samples that refining sees, the radius of the usual crop
_NOSE_BALL = 16.0  # mm: what a nose tip sticks out of
_SMOOTH_BALL = 7.0  # mm over which normals are averaged: noise of 0.3 mm on 1 mm edges tips a face by 20 degrees
_FINE_SMOOTH_BALL = 5.0  # mm: the same on fine samples, which lie closer together
_LEAST_TIP_Z = 0.1  # of the unit normal at a tip: one that looks away from the camera was seen edge-on
_FACE_BALL = 45.0  # mm: whose mean normal is the rough direction of the face
_JUDGED = 45.0  # mm: the part about the nose on which poses are compared
_RELIEF_DISC = 60.0  # mm: brows to chin, which tell upright from upside down
_CELL = 5.0  # mm: of the height maps whose relief is compared
_DEEPEST = -75.0  # mm behind the nose tip: what lies deeper is not the face
_HEADROOM = 4.0  # mm below the vertex farthest forward where the nose tip may be
# mm, see `NoseFit.cost`. Of 60 people of ICT-FaceKit and 60 poses of a real head none is refused (they cost 1.2 at the
# most), of 60 backs of that head 2 are not (they cost 4.4 and more). It does not tell a face from one whose middle is
# missing, 45 mm about the nose: 9 of 10 of those pass, mostly upside down (benchmarks/results/thresholds.md).
_WORST_COST = 4.5
_CANDIDATES = 30  # tips: ears, chins and collars stick out as well

# The search among poses.
_APART = 8.0  # mm between candidates
_ROLLS = 24  # starts about an axis, 15 degrees apart
_TILTS = 8  # directions around the mean normal
_TILT = np.radians(22.0)  # the side of the face that is turned away is missing from the mean normal: this much
_FARTHEST_TURN = np.radians(70.0)  # from the camera's axis; yaw and pitch of 45 degrees together make 60
_START_POINTS = 150  # samples on which a start is judged: there are thousands of starts
_START_CAP = 12.0  # mm: a sample farther off costs no more; wider than when a settled pose is judged
_START_BEND = 5.0  # mm for normals at a right angle, added to the distance
_ROLLS_KEPT = 3  # starts of a tip that are settled
_POSES_KEPT = 4  # settled poses that are refined


class _Settling(NamedTuple):
    """How a pose is settled: rounds of ICP, stiffness of the scale (mm^2), residual that counts half (mm)."""

    rounds: int
    scale_apart: float
    reach: float


_ROUGHLY = _Settling(rounds=10, scale_apart=300.0, reach=6.0)  # coarse samples, from far off
_FINELY = _Settling(rounds=25, scale_apart=100.0, reach=3.0)  # near-by, and freer in size
_SETTLED_BALL = 65.0  # mm about the mean face's nose tip: what takes part in settling; brows to chin
_NEAR_BALL = 75.0  # mm about the tip in the scan: what may come to lie in that ball while settling
_SAME_TIP = 5.0  # mm: poses with tips this near and
_SAME_TURN = 0.17  # radians (10 degrees) between them are the same solution

# The verdict on a pose.
_JUDGED_SAMPLES = 40  # fewest samples in the judged ball: 360 mm^2 of its 6,400
_JUDGED_MARGIN = 8.0  # mm about it: where the nearest sample to a point of the mean face may lie
_JUDGED_CAP = 8.0  # mm: farther off costs no more, or one missing cheek would decide
_JUDGED_BEND = 8.0  # mm for normals at a right angle
_LEAST_COSINE = 0.3  # to the camera: mean-face points seen flatter than 73 degrees may be missing on a good scan

# The nose tip itself, on the surface.
_TIP_BOX = 30.0  # mm about where it should be: what is looked at
_TIP_REACH = 12.0  # mm: where it may be, once the pose stands
_TIP_RING = 9  # nearest vertices whose median height speaks for one
_APEX_BALL = 7.0  # mm: what the quadric is fitted to
_APEX_VERTICES = 12  # twice the unknowns of a quadric
_APEX_ROUNDS = 3  # of the fit about its own apex
_APEX_STEP = 5.0  # mm: an apex farther off is not one of this surface
_LEAST_BEND = -0.01  # 1/mm, the weaker of two curvatures: what is flatter has no apex; a ball of 10 mm radius has -0.1
_CLIMBS = 3  # of looking again about what was found
_CLIMBED = 3.0  # mm: a step shorter than this ends it


@dataclass(frozen=True, slots=True)
class NoseFit:
    """Where the nose is and how the face stands.

    Attributes:
        nose: (3,) float64, mm. The nose tip in the scan's frame.
        rotation: (3, 3) float64, from the scan's frame to the frontal one.
        score: Misfit between scan and mean face about the nose, mm; the lower the better.
        coverage: Share of the mean face about the nose that the scan covers, in [0, 1].
        relief: How much of the mean face's relief about the nose the scan has, in [-1, 1].
    """

    nose: _Floats
    rotation: _Floats
    score: float
    coverage: float
    relief: float

    @property
    def cost(self) -> float:
        """By which poses are ranked, and refused: score and relief together; the relief says more. In mm."""
        return _cost(self.score, self.relief)


@dataclass(frozen=True, slots=True)
class MeanFaceField:
    """The mean face, ready to be asked for its nearest point.

    Attributes:
        points, normals: (N, 3) float64. Its vertices within reach of the nose tip and their outward unit normals.
        low: (3,) float64. Corner of the grid, mm.
        cell: Size of a cell, mm.
        nearest: (X, Y, Z) int32. Row of `points` that is about the nearest to the middle of each cell.
        tilt: (3,) float64. Mean normal in the ball that the search also uses on scans.
        about, about_normals: (M, 3) float64. Evenly spread points within 45 mm of the nose tip, and their normals.
        heights: (n, n) float64. Its height map about the nose tip, see `fer3d.kernels.relief.heights`.
    """

    points: _Floats
    normals: _Floats
    low: _Floats
    cell: float
    nearest: NDArray[np.int32]
    tilt: _Floats
    about: _Floats
    about_normals: _Floats
    heights: _Floats

    @property
    def table(self) -> tuple[_Floats, float, NDArray[np.int32], _Floats, _Floats]:
        """What the kernels of `fer3d.kernels.nose_search` take."""
        return self.low, self.cell, self.nearest, self.points, self.normals


@lru_cache(maxsize=1)
def mean_face_field() -> MeanFaceField:
    """The field of `fer3d.face.load.mean_face`, made once a process (about 0.1 s)."""
    from scipy.ndimage import distance_transform_edt

    from fer3d.face.load import mean_face

    face = mean_face()
    normals = vertex_normals(face.vertices, face.faces, weld(face.vertices)).astype(np.float64)
    points = face.vertices.astype(np.float64)
    inside = (np.linalg.norm(points, axis=1) < _FIELD_REACH) & np.isfinite(normals).all(axis=1)
    points, normals = points[inside], normals[inside]
    cell, low = _FIELD_CELL, _FIELD_LOW
    shape = np.ceil((_FIELD_HIGH - low) / cell).astype(int)
    index = np.floor((points - low) / cell).astype(int)
    held = ((index >= 0) & (index < shape)).all(axis=1)
    points, normals, index = points[held], normals[held], index[held]
    off = np.linalg.norm((index + 0.5) * cell + low - points, axis=1)
    owner = np.full(tuple(shape), -1, np.int32)
    order = np.argsort(-off, kind="stable")  # the last written is the nearest to the middle of the cell
    owner[tuple(index[order].T)] = order
    _, at = distance_transform_edt(owner < 0, return_indices=True)
    ball = np.linalg.norm(points, axis=1) < _FACE_BALL
    tilt = normals[ball].mean(axis=0)
    about, about_normals = search.surface_samples(face.vertices, face.faces, _ABOUT, _EVERY_SIDE)
    judged = np.linalg.norm(about, axis=1) < _JUDGED
    dense = search.surface_samples(face.vertices, face.faces, _DENSE, _EVERY_SIDE)
    return MeanFaceField(
        points,
        normals,
        low,
        cell,
        owner[tuple(at)],
        tilt / np.linalg.norm(tilt),
        about[judged],
        about_normals[judged],
        relief.heights(_AT_HOME, *dense, _RELIEF_DISC, _CELL, _DEEPEST),
    )


def find_nose_tip(scan: Scan) -> NoseFit:
    """The nose tip and the frontal pose, without landmarks.

    Works for any roll (upside down too) and for yaw and pitch up to 45 degrees, on faces seen from one side and on
    whole heads with ears and neck. The camera is taken to look roughly along -z. The same scan gives the same result
    to the last bit.

    Args:
        scan: In mm, cleaned, wound outward.

    Raises:
        ArgumentError: if `scan` has no face.
        PrepareError: if nothing on it fits a face well enough.
    """
    fit = likeliest_nose(scan)
    if fit.cost > _WORST_COST:
        raise PrepareError(
            f"no nose found: the likeliest place is {fit.score:.1f} mm off an average face "
            f"and has {max(fit.relief, 0.0):.0%} of its relief"
        )
    return fit


def likeliest_nose(scan: Scan) -> NoseFit:
    """What `find_nose_tip` finds, however bad it is.

    Args:
        scan: In mm, cleaned, wound outward.

    Raises:
        ArgumentError: if `scan` has no face.
        PrepareError: if nothing on it sticks out as a nose does.
    """
    check_scan("scan", scan)
    field = mean_face_field()
    area = search.visible_area(scan.vertices, scan.faces, _LEAST_NORMAL_Z)
    step = max(_COARSE, area / _MOST_COARSE)
    points, raw = search.surface_samples(scan.vertices, scan.faces, step, _LEAST_NORMAL_Z)
    if len(points) < _FEWEST_SAMPLES:
        raise PrepareError(f"no nose found: the scan shows only {area:.0f} mm^2 to the camera")
    height, mean = search.protrusion(points, raw, _NOSE_BALL, *search.sort_into_cells(points, _NOSE_BALL))
    _, normals = search.protrusion(points, raw, _SMOOTH_BALL, *search.sort_into_cells(points, _SMOOTH_BALL))
    tips = search.highest_apart(points, np.where(mean[:, 2] > _LEAST_TIP_Z, height, 0.0), _APART, _CANDIDATES)
    poses, cost = search.starts(
        *(points, normals, tips, _directions(field.tilt), _ROLLS, _FARTHEST_TURN, _FACE_BALL, _START_POINTS),
        *(*field.table, _START_CAP, _START_BEND),
    )
    chosen = _best_per_tip(cost.reshape(-1, _ROLLS), _ROLLS_KEPT)
    settled = [_settle(poses[row], points, normals, field, _ROUGHLY) for row in chosen]
    ranked = sorted(settled, key=lambda pose: _judge(pose, points, normals, field).cost)
    best = _distinct(ranked, _POSES_KEPT)
    fine, fine_raw = search.surface_samples(scan.vertices, scan.faces, _FINE, _LEAST_NORMAL_Z)
    results = []
    for pose in best:
        near = np.linalg.norm(fine - tip_of(pose), axis=1) < _FINE_BALL
        p, r = fine[near], fine_raw[near]
        if len(p) < _FEWEST_SAMPLES:
            continue
        _, n = search.protrusion(p, r, _FINE_SMOOTH_BALL, *search.sort_into_cells(p, _FINE_SMOOTH_BALL))
        pose = _settle(pose, p, n, field, _FINELY)
        nose = _climb(scan, pose)
        # A stranger's nose may lie 15 mm from the mean one when all the rest fits: judged with the noses on each other.
        anchored = pose.copy()
        anchored[9:12] = -pose[12] * (pose[:9].reshape(3, 3) @ nose)
        verdict = min((_judge(q, p, n, field) for q in (pose, anchored)), key=lambda verdict: verdict.cost)
        results.append((verdict, pose, nose))
    verdict, pose, nose = min(results, key=lambda result: result[0].cost, default=(_NOWHERE, _AT_HOME, np.zeros(3)))
    if not np.isfinite(verdict.cost):
        raise PrepareError("no nose found: nothing sticks out as a nose does")
    return NoseFit(nose, pose[:9].reshape(3, 3), verdict.score, verdict.coverage, verdict.relief)


def tip_of(pose: _Floats) -> _Floats:
    """(3,): where the origin of the face's frame lies in the scan's."""
    rotation = pose[:9].reshape(3, 3)
    tip: _Floats = -(rotation.T @ pose[9:12]) / pose[12]
    return tip


def protruding_point(scan: Scan, rotation: _Floats, near: _Floats) -> _Floats:
    """(3,) float64: the point of the surface near `near` that sticks out most in the direction of the face.

    The apex of a quadric fitted to the surface about the vertex that is farthest forward; where the fit has no apex
    there, that vertex.

    Args:
        scan: In mm.
        rotation: (3, 3) float64, from the scan's frame to the frontal one.
        near: (3,) float64. About where the nose tip is.
    """
    box = (np.abs(scan.vertices - near.astype(np.float32)) <= _TIP_BOX).all(axis=1)
    aligned = (scan.vertices[box].astype(np.float64) - near) @ rotation.T
    reach = np.linalg.norm(aligned, axis=1)
    inner = aligned[reach <= _TIP_REACH]
    if not len(inner):
        return near
    # The highest as the vertices about it have it: what is left of spikes can lift one alone by 3 mm.
    top = inner[inner[:, 2] >= inner[:, 2].max() - _HEADROOM]
    _, about_each = cKDTree(aligned).query(top, min(_TIP_RING, len(aligned)))
    apex = top[int(np.median(aligned[about_each.reshape(len(top), -1), 2], axis=1).argmax())]
    for _ in range(_APEX_ROUNDS):
        about = aligned[np.linalg.norm(aligned - apex, axis=1) <= _APEX_BALL] - apex
        if len(about) < _APEX_VERTICES:
            break
        x, y, z = about.T
        design = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=1)
        c, gx, gy, xx, xy, yy = np.linalg.lstsq(design, z, rcond=None)[0]
        hessian = np.array([[2 * xx, xy], [xy, 2 * yy]])
        if np.linalg.eigvalsh(hessian)[1] > _LEAST_BEND:
            break
        dx, dy = np.linalg.solve(hessian, [-gx, -gy])
        if np.hypot(dx, dy) > _APEX_STEP:
            break
        apex = apex + np.array([dx, dy, c + 0.5 * (gx * dx + gy * dy)])
    return near + rotation.T @ apex  # type: ignore[no-any-return]


def _climb(scan: Scan, pose: _Floats) -> _Floats:
    """`protruding_point` near the tip of a pose, and again near what it found: the pose may be 15 mm off."""
    rotation, nose = pose[:9].reshape(3, 3), tip_of(pose)
    for _ in range(_CLIMBS):
        near, nose = nose, protruding_point(scan, rotation, nose)
        if np.linalg.norm(nose - near) < _CLIMBED:
            break
    return nose


def _directions(tilt: _Floats) -> _Floats:
    """(1 + _TILTS, 3): the mean face's mean normal, and around it."""
    x = np.cross([0.0, 1.0, 0.0], tilt)
    x /= np.linalg.norm(x)
    y = np.cross(tilt, x)
    angles = 2.0 * np.pi * np.arange(_TILTS) / _TILTS
    around = np.cos(_TILT) * tilt + np.sin(_TILT) * (np.outer(np.cos(angles), x) + np.outer(np.sin(angles), y))
    return np.concatenate([tilt[None], around])


def _best_per_tip(cost: _Floats, count: int) -> list[int]:
    """Rows of the flattened (T, rolls) `cost`: the best rolls of each tip, no two next to each other."""
    rows: list[int] = []
    for t, per_roll in enumerate(cost):
        taken: list[int] = []
        for roll in np.argsort(per_roll, kind="stable"):
            if len(taken) == count or not np.isfinite(per_roll[roll]):
                break
            if all(min((roll - k) % _ROLLS, (k - roll) % _ROLLS) > 1 for k in taken):
                taken.append(int(roll))
        rows += [t * _ROLLS + roll for roll in taken]
    return rows


def _settle(pose: _Floats, points: _Floats, normals: _Floats, field: MeanFaceField, how: _Settling) -> _Floats:
    near = np.linalg.norm(points - tip_of(pose), axis=1) < _NEAR_BALL
    out: _Floats = search.settle(pose, points[near], normals[near], *field.table, *how, _SETTLED_BALL)
    return out


class _Verdict(NamedTuple):
    """What `_judge` finds: see `NoseFit`, and the cost by which poses are ranked; there the relief says more."""

    score: float
    coverage: float
    relief: float

    @property
    def cost(self) -> float:
        return _cost(self.score, self.relief)


def _cost(score: float, relief: float) -> float:
    return score * (1.0 - relief) ** 2


_NOWHERE = _Verdict(np.inf, 0.0, -1.0)


def _judge(pose: _Floats, points: _Floats, normals: _Floats, field: MeanFaceField) -> _Verdict:
    """Misfit of a pose in mm, both ways, the share of the face about the nose that is there, and its relief."""
    off = np.linalg.norm(points - tip_of(pose), axis=1)
    near, around = off < _JUDGED, off < _JUDGED + _JUDGED_MARGIN
    if near.sum() < _JUDGED_SAMPLES or pose[8] < np.cos(_FARTHEST_TURN):
        return _NOWHERE
    limits = _JUDGED_CAP, _JUDGED_BEND
    there = search.misfit(pose, points[near], normals[near], *field.table, *limits)
    face = field.about, field.about_normals
    back, share = search.missed(pose, points[around], normals[around], *face, *limits, _LEAST_COSINE)
    heights = relief.heights(pose, points, normals, _RELIEF_DISC, _CELL, _DEEPEST)
    return _Verdict(float(there + back), float(share), float(relief.relief_agreement(heights, field.heights)))


def _distinct(ranked: list[_Floats], count: int) -> list[_Floats]:
    """The first poses that are not nearly the same."""
    chosen: list[_Floats] = []
    for pose in ranked:
        if len(chosen) == count:
            break
        same = any(
            np.linalg.norm(tip_of(pose) - tip_of(other)) < _SAME_TIP
            and float(pose[:9] @ other[:9]) > 1.0 + 2.0 * np.cos(_SAME_TURN)
            for other in chosen
        )
        if not same:
            chosen.append(pose)
    return chosen
