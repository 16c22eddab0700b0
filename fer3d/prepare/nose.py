"""Find the nose tip and the frontal pose of a face from its shape alone.

The search aligns the scan with the mean face from many starting poses. Each combines a protruding point as nose tip,
the mean normal around it as the rough direction of the face, and one of many rolls. The best poses are refined with
more points. Distance alone does not identify a face: a forehead is as near to the mean face as the face of another
person. The relief does, the heights that remain after subtracting the best-fitting quadric from both surfaces. Poses
are ranked by distance and relief together. A table of the nearest point of the mean face for each cell of a grid (the
field) reduces the cost of a pose to about two microseconds, so thousands of poses can be tried.
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
from fer3d.kernels.surface_samples import surface_samples
from fer3d.kernels.topology import weld
from fer3d.scan import Scan, check_scan

_Floats = NDArray[np.float64]

_AT_HOME = np.array([1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0])  # the identity pose

# The table of nearest points.
_FIELD_REACH = 115.0  # mm from the nose tip: farther out are ears and neck, whose position varies between people
_FIELD_LOW = np.array([-90.0, -110.0, -115.0])  # mm: corners of the box, which holds a face at any allowed rotation
_FIELD_HIGH = np.array([90.0, 110.0, 25.0])
_FIELD_CELL = 2.0  # mm: 0.7 million cells
_ABOUT = 30.0  # mm^2 per point of the mean face when measuring coverage: 188 points around the nose
_DENSE = 1.0  # mm^2 per sample of its height map: 25 samples per cell
_EVERY_SIDE = -1.0  # minimum z of a normal that excludes none

# The samples of a scan.
_LEAST_NORMAL_Z = -0.2  # the camera looks along -z; triangles facing away were not measured, or are the back of a head
_FEWEST_SAMPLES = 50  # fewer, 450 mm^2 when coarse, are too few for a pose
_COARSE = 9.0  # mm^2 per sample when searching candidates
_MOST_COARSE = 8000  # samples; a bust gets a lower density than a face
_FINE = 4.0  # mm^2 per sample when refining
_FINE_BALL = 90.0  # mm around the tip: the samples used in refining; equals the radius of the usual crop
_NOSE_BALL = 16.0  # mm: radius of the surroundings from which a nose tip protrudes
_SMOOTH_BALL = 7.0  # mm: radius of averaging normals; noise of 0.3 mm on 1 mm edges tilts a triangle by 20 degrees
_FINE_SMOOTH_BALL = 5.0  # mm: the same for fine samples, which are closer together
_LEAST_TIP_Z = 0.1  # minimum z of the unit normal at a tip: a lower one was measured at a grazing angle
_FACE_BALL = 45.0  # mm: radius of the ball whose mean normal is the rough direction of the face
_JUDGED = 45.0  # mm: radius of the part around the nose on which poses are compared
_RELIEF_DISC = 60.0  # mm: radius from brows to chin, which distinguishes upright from upside down
_CELL = 5.0  # mm: cell size of the height maps whose relief is compared
_DEEPEST = -75.0  # mm: height relative to the nose tip below which the surface is not the face
_HEADROOM = 4.0  # mm behind the foremost vertex within which the nose tip is searched
# mm: largest accepted `NoseFit.cost`. It rejects none of 60 people of ICT-FaceKit and of 60 poses of a real head (cost
# at most 1.2), and accepts 2 of 60 backs of that head (cost at least 4.4). It does not reject faces whose middle, 45 mm
# around the nose, is missing: 9 of 10 of those pass, mostly upside down (benchmarks/results/thresholds.md).
_WORST_COST = 4.5
_CANDIDATES = 30  # candidate tips: ears, chins and collars protrude as well

# The search among poses.
_APART = 8.0  # mm between candidates
_ROLLS = 24  # starting rolls about an axis, 15 degrees apart
_TILTS = 8  # directions around the mean normal
_TILT = np.radians(22.0)  # how far the mean normal deviates, as the side of the face that is turned away is missing
_FARTHEST_TURN = np.radians(70.0)  # from the camera's axis; yaw and pitch of 45 degrees together make 60
_START_POINTS = 150  # samples to evaluate a start; few, as there are thousands of starts
_START_CAP = 12.0  # mm: maximum cost of a sample; larger than for a settled pose
_START_BEND = 5.0  # mm added to the distance if normals differ by a right angle
_ROLLS_KEPT = 3  # starts per tip that are settled
_POSES_KEPT = 4  # settled poses that are refined


class _Settling(NamedTuple):
    """Parameters of settling a pose: rounds of ICP, stiffness of the scale (mm^2), residual with half weight (mm)."""

    rounds: int
    scale_apart: float
    reach: float


_ROUGHLY = _Settling(rounds=10, scale_apart=300.0, reach=6.0)  # coarse samples, far from the solution
_FINELY = _Settling(rounds=25, scale_apart=100.0, reach=3.0)  # near the solution, with a freer scale
_SETTLED_BALL = 65.0  # mm around the nose tip of the mean face: the points used in settling
_NEAR_BALL = 75.0  # mm around the tip in the scan: the points that may enter that ball during settling
_SAME_TIP = 5.0  # mm: poses with tips this near and
_SAME_TURN = 0.17  # radians (10 degrees) between them are the same solution

# The evaluation of a pose.
_JUDGED_SAMPLES = 40  # fewest samples in the judged ball: 360 mm^2 of its 6,400
_JUDGED_MARGIN = 8.0  # mm around that ball: where the nearest sample to a point of the mean face may be
_JUDGED_CAP = 8.0  # mm: maximum cost of a sample, so that one missing cheek does not decide
_JUDGED_BEND = 8.0  # mm added to the distance if normals differ by a right angle
_LEAST_COSINE = 0.3  # to the camera: points of the mean face seen at more than 73 degrees may be missing in a good scan

# The nose tip itself, on the surface.
_TIP_BOX = 30.0  # mm around its expected position: the vertices that are used
_TIP_REACH = 12.0  # mm: its largest distance from the expected position
_TIP_RING = 9  # nearest vertices whose median height replaces that of a vertex
_FEW_IN_BOX = 600  # vertices in the box: with fewer, edges of about 3 mm, samples of the surface are added
_TIP_AREA = 2.0  # mm^2 per sample
_APEX_BALL = 7.0  # mm: radius of the vertices to which the quadric is fitted
_APEX_VERTICES = 12  # minimum for the fit: twice the unknowns of a quadric
_APEX_ROUNDS = 3  # rounds of fitting around the last apex
_APEX_STEP = 5.0  # mm: an apex farther away does not lie on this surface
_LEAST_BEND = (
    -0.01
)  # 1/mm, the weaker of two curvatures: a flatter surface has no apex; a ball of 10 mm radius has -0.1
_CLIMBS = 3  # repetitions of the search around its last result
_CLIMBED = 3.0  # mm: a shorter step ends the repetitions


@dataclass(frozen=True, slots=True)
class NoseFit:
    """The nose tip and the pose of a face.

    Attributes:
        nose: (3,) float64, mm. The nose tip in the frame of the scan.
        rotation: (3, 3) float64, from the frame of the scan to the frontal frame.
        score: Misfit between scan and mean face around the nose, mm; lower is better.
        coverage: Share of the mean face around the nose that the scan covers, in [0, 1].
        relief: Agreement of the reliefs of scan and mean face around the nose, in [-1, 1].
    """

    nose: _Floats
    rotation: _Floats
    score: float
    coverage: float
    relief: float

    @property
    def cost(self) -> float:
        """The cost of the pose in mm, from score and relief, with more weight on the relief. Poses are ranked by it."""
        return _cost(self.score, self.relief)


@dataclass(frozen=True, slots=True)
class MeanFaceField:
    """The mean face with a table of nearest points.

    Attributes:
        points, normals: (N, 3) float64. Vertices within 115 mm of the nose tip and their outward unit normals.
        low: (3,) float64. Corner of the grid, mm.
        cell: Size of a cell, mm.
        nearest: (X, Y, Z) int32. Index of the point in `points` that is approximately nearest to each cell centre.
        tilt: (3,) float64. Mean normal of the ball around the nose tip for which the search also computes it on scans.
        about, about_normals: (M, 3) float64. Evenly spread points within 45 mm of the nose tip, and their normals.
        heights: (n, n) float64. Height map around the nose tip, see `fer3d.kernels.relief.heights`.
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
        """The arguments for the kernels of `fer3d.kernels.nose_search`."""
        return self.low, self.cell, self.nearest, self.points, self.normals


@lru_cache(maxsize=1)
def mean_face_field() -> MeanFaceField:
    """Return the field of `fer3d.face.load.mean_face`, computed once per process (about 0.1 s)."""
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
    order = np.argsort(-off, kind="stable")  # the point nearest to the cell centre is written last
    owner[tuple(index[order].T)] = order
    _, at = distance_transform_edt(owner < 0, return_indices=True)
    ball = np.linalg.norm(points, axis=1) < _FACE_BALL
    tilt = normals[ball].mean(axis=0)
    evenly, evenly_normals = surface_samples(face.vertices, face.faces, _ABOUT, _EVERY_SIDE)
    judged = np.linalg.norm(evenly, axis=1) < _JUDGED
    dense = surface_samples(face.vertices, face.faces, _DENSE, _EVERY_SIDE)
    return MeanFaceField(
        points,
        normals,
        low,
        cell,
        owner[tuple(at)],
        tilt / np.linalg.norm(tilt),
        evenly[judged],
        evenly_normals[judged],
        relief.heights(_AT_HOME, *dense, _RELIEF_DISC, _CELL, _DEEPEST),
    )


def find_nose_tip(scan: Scan) -> NoseFit:
    """Find the nose tip and the frontal pose without landmarks.

    The search works for any roll (also upside down) and for yaw and pitch up to 45 degrees, on faces scanned from one
    side and on whole heads with ears and neck. It assumes that the camera looks roughly along -z. The same scan gives
    bitwise the same result.

    Args:
        scan: A scan in mm, cleaned, wound outward.

    Raises:
        ArgumentError: if `scan` has no face.
        PrepareError: if no pose fits the mean face well enough.
    """
    fit = likeliest_nose(scan)
    if fit.cost > _WORST_COST:
        raise PrepareError(
            f"no nose found: the likeliest place is {fit.score:.1f} mm off an average face "
            f"and has {max(fit.relief, 0.0):.0%} of its relief"
        )
    return fit


def likeliest_nose(scan: Scan) -> NoseFit:
    """Return the best pose of `find_nose_tip`, without a limit on its cost.

    Args:
        scan: A scan in mm, cleaned, wound outward.

    Raises:
        ArgumentError: if `scan` has no face.
        PrepareError: if no point protrudes like a nose tip.
    """
    check_scan("scan", scan)
    field = mean_face_field()
    area = search.visible_area(scan.vertices, scan.faces, _LEAST_NORMAL_Z)
    step = max(_COARSE, area / _MOST_COARSE)
    points, raw = surface_samples(scan.vertices, scan.faces, step, _LEAST_NORMAL_Z)
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
    fine, fine_raw = surface_samples(scan.vertices, scan.faces, _FINE, _LEAST_NORMAL_Z)
    results = []
    for pose in best:
        near = np.linalg.norm(fine - tip_of(pose), axis=1) < _FINE_BALL
        p, r = fine[near], fine_raw[near]
        if len(p) < _FEWEST_SAMPLES:
            continue
        _, n = search.protrusion(p, r, _FINE_SMOOTH_BALL, *search.sort_into_cells(p, _FINE_SMOOTH_BALL))
        pose = _settle(pose, p, n, field, _FINELY)
        nose = _climb(scan, pose)
        # A nose tip may lie 15 mm from the mean one when the rest fits: also evaluate the pose with the tips aligned.
        anchored = pose.copy()
        anchored[9:12] = -pose[12] * (pose[:9].reshape(3, 3) @ nose)
        verdict = min((_judge(q, p, n, field) for q in (pose, anchored)), key=lambda verdict: verdict.cost)
        results.append((verdict, pose, nose))
    verdict, pose, nose = min(results, key=lambda result: result[0].cost, default=(_NOWHERE, _AT_HOME, np.zeros(3)))
    if not np.isfinite(verdict.cost):
        raise PrepareError("no nose found: nothing sticks out as a nose does")
    return NoseFit(nose, pose[:9].reshape(3, 3), verdict.score, verdict.coverage, verdict.relief)


def tip_of(pose: _Floats) -> _Floats:
    """Return the origin of the frontal frame in the frame of the scan, (3,)."""
    rotation = pose[:9].reshape(3, 3)
    tip: _Floats = -(rotation.T @ pose[9:12]) / pose[12]
    return tip


def protruding_point(scan: Scan, rotation: _Floats, near: _Floats) -> _Floats:
    """Return the most protruding point of the surface near `near`, in the direction of the face: (3,) float64.

    The result is the apex of a quadric fitted to the surface around the foremost vertex, or that vertex if the quadric
    has no apex there. On a coarse mesh, points on its faces count like vertices.

    Args:
        scan: A scan in mm.
        rotation: (3, 3) float64, from the frame of the scan to the frontal frame.
        near: (3,) float64. Approximate position of the nose tip.
    """
    box = np.asarray((np.abs(scan.vertices - near.astype(np.float32)) <= _TIP_BOX).all(axis=1))
    points = scan.vertices[box].astype(np.float64)
    if len(points) < _FEW_IN_BOX:
        faces = scan.faces[box[scan.faces].any(axis=1)]
        points = np.concatenate([points, surface_samples(scan.vertices, faces, _TIP_AREA, _EVERY_SIDE)[0]])
    aligned = (points - near) @ rotation.T
    reach = np.linalg.norm(aligned, axis=1)
    inner = aligned[reach <= _TIP_REACH]
    if not len(inner):
        return near
    # The vertex with the highest neighbourhood: the remains of a spike can lift a single vertex by 3 mm.
    top = inner[inner[:, 2] >= inner[:, 2].max() - _HEADROOM]
    tree = cKDTree(aligned, balanced_tree=False, compact_nodes=False)  # fast to build: it is asked few times
    _, neighbours = tree.query(top, min(_TIP_RING, len(aligned)))
    apex = top[int(np.median(aligned[neighbours.reshape(len(top), -1), 2], axis=1).argmax())]
    for _ in range(_APEX_ROUNDS):
        patch = aligned[np.linalg.norm(aligned - apex, axis=1) <= _APEX_BALL] - apex
        if len(patch) < _APEX_VERTICES:
            break
        x, y, z = patch.T
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
    """Repeat `protruding_point` from the tip of a pose, around each result: the pose may be 15 mm off."""
    rotation, nose = pose[:9].reshape(3, 3), tip_of(pose)
    for _ in range(_CLIMBS):
        near, nose = nose, protruding_point(scan, rotation, nose)
        if np.linalg.norm(nose - near) < _CLIMBED:
            break
    return nose


def _directions(tilt: _Floats) -> _Floats:
    """Return the mean normal of the mean face and directions around it: (1 + _TILTS, 3)."""
    x = np.cross([0.0, 1.0, 0.0], tilt)
    x /= np.linalg.norm(x)
    y = np.cross(tilt, x)
    angles = 2.0 * np.pi * np.arange(_TILTS) / _TILTS
    around = np.cos(_TILT) * tilt + np.sin(_TILT) * (np.outer(np.cos(angles), x) + np.outer(np.sin(angles), y))
    return np.concatenate([tilt[None], around])


def _best_per_tip(cost: _Floats, count: int) -> list[int]:
    """Return rows of the flattened (T, rolls) `cost`: the best rolls of each tip, no two of them adjacent."""
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
    """The evaluation of a pose by `_judge`. The fields have the meaning of those in `NoseFit`."""

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
    """Evaluate a pose: the misfit in both directions in mm, the coverage around the nose, and the relief."""
    off = np.linalg.norm(points - tip_of(pose), axis=1)
    near, around = off < _JUDGED, off < _JUDGED + _JUDGED_MARGIN
    if near.sum() < _JUDGED_SAMPLES or pose[8] < np.cos(_FARTHEST_TURN):
        return _NOWHERE
    limits = _JUDGED_CAP, _JUDGED_BEND
    forward = search.misfit(pose, points[near], normals[near], *field.table, *limits)
    face = field.about, field.about_normals
    backward, share = search.missed(pose, points[around], normals[around], *face, *limits, _LEAST_COSINE)
    heights = relief.heights(pose, points, normals, _RELIEF_DISC, _CELL, _DEEPEST)
    return _Verdict(float(forward + backward), float(share), float(relief.relief_agreement(heights, field.heights)))


def _distinct(ranked: list[_Floats], count: int) -> list[_Floats]:
    """Return the first `count` poses that differ clearly from each other."""
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
