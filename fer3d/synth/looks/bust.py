"""What a face model leaves out of a head: cranium, ears, neck and shoulders.

A solid is moulded to the size of the face and then bent so that it runs through the border of the face: the largest
boundary loop of the skin. It continues a few mm behind the face, so that scans show neither gap nor step.

Convention: mm, frame of the face model. Sizes are those of adults and our choice.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.ndimage import uniform_filter1d
from scipy.spatial import cKDTree

from fer3d.errors import ArgumentError
from fer3d.face.model import SKIN, FaceModel
from fer3d.kernels.shading import area_normals
from fer3d.kernels.topology import boundary_loops, face_neighbours
from fer3d.synth.solids import Array, Mesh, Part, Rows, capsule, chain, ellipsoid, merged, moulded

_STEP = 5.0  # mm between samples of the bust
_BEND = 45.0  # distance from the border at which the bust is no longer bent, mm
_TOO_FAR = 48.0  # a border farther than this from the bust is left alone, mm; half of it at a throat without a neck
_FLANGE = (3.5, 0.8)  # width of the strip between border and bust, and how deep it goes, mm
_LONGEST = 18.0  # edge of a triangle that was drawn behind the face on one side only, mm
_OTHER_SIDE = 12.0  # mm: what is higher above skin that faces backwards is not behind the face, but behind an ear
_BEHIND = 14.0  # width of the strip of the bust behind the border of the face, mm
_DEPTH = 0.5  # depth of that strip behind the face per mm from the border
_EAR_BEYOND = 5.0  # a face that is wider than its border by this has ears of its own, mm


@dataclass(frozen=True, slots=True)
class Build:
    """Sizes of a bust, drawn by `drawn`.

    Attributes:
        crown: Height of the top of the head above the eyes, mm.
        length: From the forehead to the back of the head, mm.
        width: Of the head above the ears, beyond the width of the face, mm.
        neck: Radius of the neck, mm.
        lean: How far the foot of the neck lies behind its top, mm.
        shoulders: Half the distance between the shoulders, mm.
        slope: How far the shoulders lie below the foot of the neck, mm.
        ear: Height of an ear, mm.
        stand: Angle between an ear and the head, radians.
        collar: Height of a collar around the neck, mm; 0 is none.
    """

    crown: float
    length: float
    width: float
    neck: float
    lean: float
    shoulders: float
    slope: float
    ear: float
    stand: float
    collar: float

    @staticmethod
    def drawn(generator: np.random.Generator) -> Build:
        """Sizes of a random adult."""
        collar = float(generator.uniform(12.0, 45.0)) if generator.random() < 0.5 else 0.0
        return Build(
            crown=float(generator.uniform(104.0, 122.0)),
            length=float(generator.uniform(176.0, 204.0)),
            width=float(generator.uniform(2.0, 9.0)),
            neck=float(generator.uniform(50.0, 64.0)),
            lean=float(generator.uniform(10.0, 45.0)),
            shoulders=float(generator.uniform(150.0, 215.0)),
            slope=float(generator.uniform(15.0, 50.0)),
            ear=float(generator.uniform(55.0, 72.0)),
            stand=float(generator.uniform(0.25, 0.75)),
            collar=collar,
        )


class Head:
    """A face and the places of what surrounds it.

    Args:
        model: The face model.
        shape: (V, 3) float64. The face.
        build: Sizes of the bust.

    Attributes:
        eye: y of the eyes.
        chin: (3,) float64. The chin.
        half: Half the width of the border of the face at the ears.
        ear: (3,) float64. Where the left ear begins; the right ear is its mirror image.
        has_ears: Whether the face model has ears.
        centre, radii: (3,) float64. Of the ellipsoid of the cranium.
    """

    def __init__(self, model: FaceModel, shape: Array, build: Build) -> None:
        self.model, self.shape, self.build = model, shape, build
        at = model.landmark_points(shape)
        self.loop = shape[border(model)]
        self.eye = float((at["exocanthion_left"][1] + at["exocanthion_right"][1]) / 2)
        self.chin = at["pogonion"]
        beside = self.loop[np.abs(self.loop[:, 1] - self.eye + 10.0) < 45.0]
        self.half = float(np.abs(beside[:, 0]).max())
        skin = shape[_skin(model)]
        level = skin[np.abs(skin[:, 1] - self.eye + 10.0) < 45.0]
        self.has_ears = bool(np.abs(level[:, 0]).max() > self.half + _EAR_BEYOND)
        forehead = skin[(np.abs(skin[:, 0]) < 12.0) & (np.abs(skin[:, 1] - self.eye - 45.0) < 15.0)]
        front = float(forehead[:, 2].max())
        back = front - build.length
        top = max(self.eye + build.crown, float(shape[:, 1].max()) + 18.0)
        self.radii = np.array([self.half + build.width, 92.0, build.length / 2])
        self.centre = np.array([0.0, top - 92.0, (front + back) / 2])
        self.ear = np.array([self.half + 1.0, self.eye - 14.0, float(beside[:, 2].mean()) - 4.0])

    def parts(self, kinds: tuple[str, ...]) -> list[Part]:
        """The solid parts of a bust, before it is bent; `kinds` of cranium, neck and shoulders."""
        build, c, r = self.build, self.centre, self.radii
        low = float(self.loop[:, 1].min())
        throat = self.loop[self.loop[:, 1] < low + 12.0]
        front = float(throat[:, 2].max())
        radius = min(build.neck, 1.12 * float(np.abs(throat[:, 0]).max()))
        neck = np.array([0.0, low + 10.0, front - 0.92 * radius - 4.0])
        foot = np.array([0.0, min(self.chin[1] - 92.0, low - 6.0), neck[2] - build.lean])
        parts: list[Part] = []
        if "cranium" in kinds:
            jaw = np.array([0.0, self.eye - 45.0, c[2] + 10.0])
            parts += [ellipsoid(c, r), ellipsoid(jaw, (0.82 * r[0], 62.0, 0.62 * r[2]))]
        if "neck" in kinds:
            parts.append(capsule([0.0, self.eye - 40.0, neck[2] - 8.0], neck, radius))
            parts.append(capsule(neck, foot, radius, 0.5 * (radius + build.neck)))
        if "shoulders" in kinds:
            parts += self._shoulders(foot)
        return parts

    def _shoulders(self, foot: Array) -> list[Part]:
        build = self.build
        drop = foot + np.array([0.0, -45.0, -8.0])
        tip = np.array([build.shoulders - 45.0, drop[1] - build.slope, drop[2]])
        mirrored = tip * np.array([-1.0, 1.0, 1.0])
        chest = drop + np.array([0.0, -75.0, 18.0])
        parts = [capsule(drop, tip, 56.0, 48.0), capsule(drop, mirrored, 56.0, 48.0)]
        parts.append(ellipsoid(chest, (build.shoulders * 0.86, 95.0, 88.0)))
        if build.collar > 0:
            up = np.array([0.0, 1.0, 0.0])
            parts.append(capsule(foot - 30.0 * up, foot + (build.collar - 20.0) * up, build.neck * 1.25))
        return parts


@lru_cache(maxsize=8)
def border(model: FaceModel) -> NDArray[np.int64]:
    """Rows of the vertices along the outer border of the face, in order: the longest boundary loop of its skin.

    Raises:
        ArgumentError: if the skin has no boundary.
    """
    faces = np.ascontiguousarray(model.triangles[model.part == SKIN])
    start, vertex, _ = boundary_loops(faces, face_neighbours(faces, len(model.neutral)))
    loops = [vertex[a:b].astype(np.int64) for a, b in pairwise(start)]
    if not loops:
        raise ArgumentError(f"`model` should have an open border, the skin of {model.name} is closed")
    return max(loops, key=lambda rows: float(np.ptp(model.neutral[rows], axis=0).sum()))


@lru_cache(maxsize=8)
def _skin(model: FaceModel) -> NDArray[np.int64]:
    """Rows of the vertices of the skin."""
    return np.unique(model.triangles[model.part == SKIN]).astype(np.int64)


@lru_cache(maxsize=4)
def bust(head: Head, kinds: tuple[str, ...]) -> Mesh:
    """The surface of cranium, neck and shoulders as far as `kinds` names them, joined to the border of the face."""
    points, triangles = moulded(head.parts(kinds), step=_STEP, smooth=42.0)
    points = _bent(points, triangles, head.loop, _TOO_FAR if "neck" in kinds else 0.5 * _TOO_FAR)
    return _with_flange(*_opened(points, triangles, head), head)


def _bent(points: Array, triangles: Rows, loop: Array, farthest: float) -> Array:
    """Bend a surface so that it passes through the points of a loop (N, 3) at most `farthest` mm from it."""
    dense = _refined(loop, 3.5)
    dense = dense[cKDTree(points).query(dense, distance_upper_bound=farthest)[0] < farthest]
    if not len(dense):
        return points
    near = cKDTree(dense)
    for reach, average in ((_BEND, 4), (0.8 * _BEND, 3), (0.55 * _BEND, 2), (0.3 * _BEND, 1)):
        normals = area_normals(points, triangles).astype(np.float64)
        closest = cKDTree(points).query(dense)[1]
        # The surface moves along its normals by the distance of the loop from the tangent plane.
        missing = ((dense - points[closest]) * normals[closest]).sum(axis=1)
        missing = uniform_filter1d(missing[:, None] * normals[closest], average, axis=0, mode="wrap")
        distance, row = near.query(points, k=4, distance_upper_bound=reach)
        within = np.isfinite(distance)
        weight = np.where(within, 1.0 / (np.minimum(distance, 1e6) + 1.0) ** 2, 0.0)
        total = weight.sum(axis=1, keepdims=True)
        share = weight / np.maximum(total, 1e-12)
        step = np.einsum("nk,nkc->nc", share, missing[np.where(within, row, 0)])
        fade = np.clip(1 - distance[:, 0] / reach, 0.0, 1.0)
        fade = np.where(within[:, 0], fade * fade * (3 - 2 * fade), 0.0)
        points = points + _averaged(fade[:, None] * step, triangles, average)
    return points


def _averaged(field: Array, triangles: Rows, times: int) -> Array:
    """A field (N, 3) on the vertices, several times replaced by its mean over the triangles at each vertex."""
    corners, N = triangles.T.ravel(), len(field)
    count = np.maximum(np.bincount(corners, minlength=N), 1)
    for _ in range(times - 1):
        mean = field[triangles].mean(axis=1)  # (M, 3)
        field = np.stack([np.bincount(corners, np.tile(mean[:, k], 3), N) / count for k in range(3)], axis=1)
    return field


def _opened(points: Array, triangles: Rows, head: Head) -> Mesh:
    """Remove what lies behind the face, except for a strip at its border, which goes a little deeper."""
    skin, normals, inset = _samples(head)
    distance, near = cKDTree(skin).query(points, distance_upper_bound=70.0)
    known = np.isfinite(distance)
    near = np.where(known, near, 0)
    height = ((points - skin[near]) * normals[near]).sum(axis=1)
    at_ear = (normals[near, 2] < -0.25) & (np.abs(skin[near, 0]) > head.half - 15.0)
    at_ear &= head.has_ears & (np.abs(skin[near, 1] - head.eye + 15.0) < 55.0)
    known &= (height < _OTHER_SIDE) | ~at_ear
    deep = np.minimum(0.3 + _DEPTH * inset[near], 12.0)
    sink = np.where(known & (inset[near] > 0.2), np.minimum(-deep - height, 0.0), 0.0)
    sink[at_ear & (sink < -8.0)] = 0.0
    points = points + sink[:, None] * normals[near]
    behind = known & (inset[near] > _BEHIND)
    corners = points[triangles]
    torn = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2).max(axis=1) > _LONGEST
    triangles = triangles[~behind[triangles].all(axis=1) & ~torn]
    return used(points, triangles)


def _with_flange(points: Array, triangles: Rows, head: Head) -> Mesh:
    """Add a narrow strip from the border of the face down into the bust, which closes slits that remain there."""
    rows = border(head.model)
    loop = head.shape[rows]
    normal = area_normals(head.shape, head.model.triangles).astype(np.float64)[rows]
    out = np.cross(np.roll(loop, -1, axis=0) - np.roll(loop, 1, axis=0), normal)
    out /= np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-9)
    forward = float((out * (loop - loop.mean(axis=0))).sum()) > 0
    out = uniform_filter1d(out if forward else -out, 5, axis=0, mode="wrap")
    normal = uniform_filter1d(normal, 5, axis=0, mode="wrap")
    outer = loop + _FLANGE[0] * out - _FLANGE[1] * normal
    near = cKDTree(points).query(outer)[0] < _STEP
    n, k = len(loop), np.arange(len(loop))
    after = np.roll(k, -1)
    strip = np.concatenate([np.stack([after, k, k + n], 1), np.stack([after, k + n, after + n], 1)])
    strip = strip[np.tile(near & near[after], 2)]
    strip = strip if forward else strip[:, ::-1]
    return merged([(points, triangles), used(np.concatenate([loop, outer]), strip.astype(np.int32))])


def used(points: Array, triangles: Rows) -> Mesh:
    """A mesh without its unused points."""
    kept = np.zeros(len(points), np.bool_)
    kept[triangles] = True
    row = np.cumsum(kept, dtype=np.int32) - np.int32(1)
    return points[kept], row[triangles]


def _samples(head: Head) -> tuple[Array, Array, Array]:
    """Points on the skin without its ears, (N, 3), their normals (N, 3), and their distances from the border (N,)."""
    shape, model = head.shape, head.model
    rows = _skin(model)
    normals = area_normals(shape, model.triangles).astype(np.float64)
    inset = np.full(len(shape), np.inf)
    inset[rows] = cKDTree(head.loop).query(shape[rows])[0]
    strip = model.triangles[model.part == SKIN]
    strip = strip[inset[strip].min(axis=1) < 20.0]  # more points here, where the faces of some models are coarse
    points = np.concatenate([shape[rows], shape[strip].mean(axis=1)])
    middle = normals[strip].mean(axis=1)
    middle /= np.maximum(np.linalg.norm(middle, axis=1, keepdims=True), 1e-9)
    normals = np.concatenate([normals[rows], middle])
    inset = np.concatenate([inset[rows], inset[strip].mean(axis=1)])
    beside = (np.abs(points[:, 0]) > head.half + 1.0) & (points[:, 1] > head.eye - 60.0)
    beside &= normals[:, 0] * np.sign(points[:, 0]) < 0.3  # the concha faces outwards
    return points[~beside], normals[~beside], inset[~beside]


def _refined(loop: Array, spacing: float) -> Array:
    """A closed line of points resampled at about `spacing` mm."""
    closed = np.concatenate([loop, loop[:1]])
    arc = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(closed, axis=0), axis=1))])
    at = np.arange(0.0, arc[-1], spacing)
    return np.stack([np.interp(at, arc, closed[:, axis]) for axis in range(3)], axis=1)


# An ear of height 1, seen from its left side: (outwards, up, forwards), in its own plane.
_HELIX = np.array(
    [(0.06, 0.0, -0.06), (0.05, 0.03, 0.06), (0.03, 0.13, 0.17), (0.03, 0.30, 0.15), (0.03, 0.43, 0.04),
     (0.03, 0.465, -0.10), (0.03, 0.40, -0.22), (0.03, 0.25, -0.29), (0.03, 0.07, -0.29), (0.03, -0.10, -0.23),
     (0.02, -0.24, -0.15), (0.0, -0.36, -0.06)]
)  # fmt: skip
_ANTIHELIX = np.array([(0.02, 0.27, -0.03), (0.03, 0.17, -0.12), (0.04, 0.02, -0.16), (0.03, -0.12, -0.12),
                       (0.03, -0.20, 0.0)])  # fmt: skip


def ear(height: float, stand: float, generator: np.random.Generator, step: float = 1.4) -> Mesh:
    """A left ear with helix, antihelix, tragus, concha and lobe; it begins at the origin, +x is away from the head.

    Args:
        height: Of the ear, mm.
        stand: Angle between the ear and the head, radians.
        generator: Source of the proportions.
        step: Of the grid, mm.
    """
    turn = np.array([[np.cos(stand), 0, -np.sin(stand)], [0, 1, 0], [np.sin(stand), 0, np.cos(stand)]])
    wide, lobe, rim = generator.uniform(0.9, 1.12), generator.uniform(0.10, 0.15), generator.uniform(0.036, 0.05)

    def placed(points: Array) -> Array:
        return np.asarray((np.asarray(points) * [1, 1, wide] - [0, 0, 0.16]) * height @ turn.T)

    def blob(centre: tuple[float, float, float], radii: tuple[float, float, float]) -> Part:
        return ellipsoid(placed(np.array(centre)), np.array(radii) * height, turn)

    helix = CubicSpline(np.arange(len(_HELIX)), _HELIX)(np.linspace(0, len(_HELIX) - 1, 27))
    parts = chain(placed(helix), rim * height * np.interp(np.linspace(0, 1, 27), [0, 0.5, 1], [0.8, 1.1, 0.8]))
    parts += chain(placed(_ANTIHELIX), np.array([0.5, 0.9, 1.0, 0.9, 0.8]) * rim * height)
    parts += [blob((-0.02, 0.06, -0.05), (0.045, 0.40, 0.24)), blob((0.0, -0.37, 0.02), (0.05, lobe, 0.1))]
    parts += [blob((0.03, -0.06, 0.15), (0.045, 0.07, 0.045)), blob((-0.12, 0.0, 0.05), (0.14, 0.26, 0.14))]
    hollow = generator.uniform(0.09, 0.12)
    cuts = [blob((0.06, -0.07, 0.02), (hollow, 0.12, 0.10)), blob((0.055, 0.09, 0.03), (hollow * 0.8, 0.07, 0.09))]
    return moulded(parts, step=step, smooth=0.035 * height, cuts=cuts)


def ears(head: Head, generator: np.random.Generator) -> Mesh:
    """Both ears of a head, each the mirror image of the other but for small differences."""
    points, triangles = ear(head.build.ear, head.build.stand, generator)
    sides = []
    for sign in (1.0, -1.0):
        tilt = generator.uniform(0.0, 0.25)
        turn = np.array([[1, 0, 0], [0, np.cos(tilt), np.sin(tilt)], [0, -np.sin(tilt), np.cos(tilt)]])
        at = (points * generator.uniform(0.97, 1.03)) @ turn.T + head.ear
        sides.append((at * [sign, 1, 1], triangles if sign > 0 else triangles[:, ::-1]))
    (left, rows), (right, mirrored) = sides
    return np.concatenate([left, right]), np.concatenate([rows, mirrored + np.int32(len(left))])
