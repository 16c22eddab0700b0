"""Simulated scans that the landmark detector learns from: people and what surrounds them, scanners, and the truth."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from fer3d.errors import PrepareError
from fer3d.face.model import FaceModel
from fer3d.landmarks import POINT_NAMES
from fer3d.prepare.landmarks.reference import TIP, frontal_rotation
from fer3d.scan import EXPRESSIONS
from fer3d.synth import things
from fer3d.synth.acting import expression
from fer3d.synth.acting.habits import Habits
from fer3d.synth.capture import capture
from fer3d.synth.coarsened import coarsened
from fer3d.synth.looks import appearance, occluders
from fer3d.synth.optics.camera import STEREO, Camera
from fer3d.synth.optics.range_scan import range_scan
from fer3d.synth.optics.scene import Look, Occluder, pose, set_up
from fer3d.synth.surroundings import KINDS, surroundings

_Floats = NDArray[np.float64]
Generator = np.random.Generator

SCANS = 3  # of each person, or of each thing
HELD_OUT = ("curls", "hood", "goggles", "headset", "cup", "chair")  # never trained on: what is measured has them
HELD_OUT_THINGS = ("fruit", "torso", "chair")
_LOOKS = 24  # painted people that share their looks
_TEXELS = 128
_MOST_ROWS = (300.0, 1200.0)  # of a range image; wider scenes have a coarser one
_HAIR = ("short_hair", "curls", "long_hair", "bun", "cap", "hood", "headband")
_FRONT = ("fringe", "locks", "beard", "moustache", "sunglasses", "goggles", "mask", "headphones", "headset")
_NEAR = ("neck_scarf", "phone", "cup", "hand", "crumbs", "wall", "chair")


class SimulatedScan(NamedTuple):
    """A scan and its truth, in mm.

    Attributes:
        vertices: (V, 3) float32.
        faces: (F, 3) int32.
        points: (L, 3) float64. True positions of `POINT_NAMES`; NaN where the face model has none, and for a thing.
        measured: (L,) bool. Whether the scan has surface of the face there.
        rotation: (3, 3) float64. From the frame of the scan to the frontal frame; any for a thing.
        worn: What hides or surrounds the face, or which thing it is.
        yaw: Radians that the head was turned away from the first view of the scanner.
    """

    vertices: NDArray[np.float32]
    faces: NDArray[np.int32]
    points: _Floats
    measured: NDArray[np.bool_]
    rotation: _Floats
    worn: tuple[str, ...]
    yaw: float

    @property
    def tip(self) -> _Floats:
        """(3,) the nose tip."""
        return np.asarray(self.points[TIP])

    @property
    def is_face(self) -> bool:
        """Whether it is a face."""
        return bool(np.isfinite(self.tip).all())


class _Dressed(NamedTuple):
    """A person with an expression: the shape (V, 3) in the frame of the model, the look, what is around the face."""

    shape: _Floats
    look: Look
    dress: tuple[Occluder, ...]
    worn: tuple[str, ...]


class Simulator:
    """Makes scans of a face model and of things.

    Args:
        model: The face model.
        seed: Seed of the looks.
        held_out: Whether to use what was held out from training.
        things: Share of things that are no faces.
    """

    def __init__(self, model: FaceModel, seed: int, *, held_out: bool = False, things: float = 0.15) -> None:
        self.model, self.held_out, self.things = model, held_out, things
        atlas = appearance.atlas(model, _TEXELS)
        self.looks = [
            appearance.paint(atlas, np.random.default_rng([seed, k]), beard=bool(k % 2)) for k in range(_LOOKS)
        ]

    def scans(self, generator: Generator) -> Iterator[SimulatedScan]:
        """Scans of one person, or of one thing; those of which a scanner sees too little are left out."""
        take = self._of_thing(generator) if generator.random() < self.things else self._of_person(generator)
        for _ in range(SCANS):
            try:
                scan = damaged(next(take), generator)
            except PrepareError:
                continue
            if len(scan.faces) > 50:
                yield scan

    def _of_thing(self, generator: Generator) -> Iterator[SimulatedScan]:
        kinds = HELD_OUT_THINGS if self.held_out else tuple(k for k in things.KINDS if k not in HELD_OUT_THINGS)
        yield from of_thing(kinds[int(generator.integers(len(kinds)))], generator)

    def _of_person(self, generator: Generator) -> Iterator[SimulatedScan]:
        """Scans of one person with one expression, dressed in one way, from several sides."""
        shape, look = self._shape(generator), self.looks[int(generator.integers(_LOOKS))]
        worn = drawn_kinds(generator, HELD_OUT if self.held_out else (), () if self.held_out else HELD_OUT)
        dress: list[Occluder] = surroundings(self.model, shape, generator, kinds=worn, look=look)
        if generator.random() < 0.25:
            kind = tuple(occluders.KINDS)[int(generator.integers(len(occluders.KINDS)))]
            dress.append(occluders.occluder(kind, self.model, shape, generator, look))
            worn = (*worn, kind)
        person = _Dressed(shape, look, tuple(dress), worn)
        while True:
            turn = _turn(generator)
            scan = self._captured if generator.random() < 0.5 else self._ranged
            yield scan(person, turn, generator)

    def _captured(self, person: _Dressed, turn: tuple[float, float, float], generator: Generator) -> SimulatedScan:
        """A scan by the camera that knows hair, gloss and colour."""
        placed, camera = pose(*turn), _camera(generator)
        taken = capture(
            self.model, person.shape, placed, camera, generator, person.look, occluders=person.dress, texture=16
        )
        points = _in_order(taken.landmarks)
        measured = np.array([name in taken.measured for name in POINT_NAMES])
        mesh = taken.scan.vertices, taken.scan.faces
        return SimulatedScan(*mesh, points, measured, frontal_rotation(points), person.worn, turn[0])

    def _ranged(self, person: _Dressed, turn: tuple[float, float, float], generator: Generator) -> SimulatedScan:
        """A scan by the camera that knows triangles only, from one to three sides."""
        scene = set_up(self.model, person.shape, pose(*turn), person.look, person.dress)
        points = _in_order(scene.landmarks())
        known = np.isfinite(points).all(axis=1)
        vertices, faces, seen = ranged(scene.points, scene.triangles, points[known], generator)
        measured = np.zeros(len(points), np.bool_)
        measured[known] = seen
        return SimulatedScan(vertices, faces, points, measured, frontal_rotation(points), person.worn, turn[0])

    def _shape(self, generator: Generator) -> _Floats:
        model = self.model
        identity = np.clip(generator.normal(0.0, 1.0, len(model.identity_modes)), -2.5, 2.5)
        habits = Habits.draw(generator)
        label = EXPRESSIONS[int(generator.integers(len(EXPRESSIONS)))]
        recipe = expression.recipe(label, habits)
        units = expression.weights(recipe, float(generator.uniform(0.2, 1.0)), model.action_units, habits, generator)
        return model.shape(identity, model.mode_weights(units))


def shapes(simulators: Sequence[Simulator], seed: int, count: int) -> _Floats:
    """(N, L, 3) float64: the points of `count` faces of each model that has all of them, mm, in the model's frame."""
    faces = []
    for number, simulator in enumerate(simulators):
        if not all(name in simulator.model.landmarks for name in POINT_NAMES):
            continue
        rows = [simulator.model.landmarks[name] for name in POINT_NAMES]
        generator = np.random.default_rng([seed, 2, number])
        faces += [simulator._shape(generator)[rows] for _ in range(count)]
    return np.array(faces)


def _in_order(points: Mapping[str, _Floats]) -> _Floats:
    """(L, 3) the points in the order of `POINT_NAMES`; NaN for one that the face model lacks."""
    return np.array([points.get(name, np.full(3, np.nan)) for name in POINT_NAMES])


def drawn_kinds(generator: Generator, wanted: Sequence[str], barred: Sequence[str]) -> tuple[str, ...]:
    """What surrounds a face: often nothing, a whole head, or a dressed person.

    Args:
        generator: Source of random numbers.
        wanted: Kinds of which one is always there.
        barred: Kinds that are never there.
    """
    kinds: list[str] = []
    draw = generator.random(6)
    if draw[0] < 0.6:
        kinds += [kind for kind, share in (("cranium", 0.8), ("neck", 0.9), ("ears", 0.9), ("shoulders", 0.5))
                  if generator.random() < share]  # fmt: skip
    if draw[1] < 0.4:
        kinds.append(_HAIR[int(generator.integers(len(_HAIR)))])
    if draw[2] < 0.35:
        kinds.append(_FRONT[int(generator.integers(len(_FRONT)))])
    if draw[3] < 0.12:
        kinds.append(_FRONT[int(generator.integers(len(_FRONT)))])
    if draw[4] < 0.2:
        kinds.append(_NEAR[int(generator.integers(len(_NEAR)))])
    if wanted and draw[5] < 0.7:
        kinds.append(wanted[int(generator.integers(len(wanted)))])
    return tuple(kind for kind in KINDS if kind in kinds and kind not in barred)


def of_thing(kind: str, generator: Generator) -> Iterator[SimulatedScan]:
    """Scans of a thing that is no face, from any sides."""
    points, triangles = things.thing(kind, generator)
    extent = float(np.ptp(points, axis=0).max())
    turned = points @ Rotation.random(random_state=generator).as_matrix().T
    nothing = np.full((len(POINT_NAMES), 3), np.nan)
    while True:
        turned = turned @ Rotation.random(random_state=generator).as_matrix().T
        vertices, faces, _ = ranged(turned, triangles, np.zeros((0, 3)), generator, extent / 250.0)
        yield SimulatedScan(vertices, faces, nothing, np.zeros(len(nothing), np.bool_), np.eye(3), (kind,), 0.0)


def ranged(
    points: _Floats, triangles: NDArray[np.int32], marks: _Floats, generator: Generator, size: float = 1.0
) -> tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.bool_]]:
    """A scan of a mesh from about +z: one view, two or three; sometimes coarse. Also which marks it measured.

    Args:
        points, triangles: The mesh, mm.
        marks: (L, 3) float64.
        generator: Source of all settings of the scanner.
        size: Extent of the mesh in extents of a head, to which the pitch grows.
    """
    views = ([0.0], [-0.5, 0.5], [-1.1, 0.0, 1.1])[int(np.searchsorted([0.55, 0.85], generator.random()))]
    towards = np.array([[np.sin(yaw), 0.0, np.cos(yaw)] for yaw in views])
    widest = float(np.linalg.norm(np.ptp(points, axis=0)))  # mm: walls and crumbs reach far
    seen = range_scan(
        points,
        triangles,
        towards,
        pitch=max(_between(generator, 0.9, 3.5) * max(size, 1.0), widest / generator.uniform(*_MOST_ROWS)),
        noise=_noise(generator),
        generator=generator,
        spikes=_between(generator, 1e-5, 2e-3),
        holes=float(generator.uniform(0, 12)),
        hole_radius=(1.5, float(generator.uniform(3, 12))),
        steepest=float(generator.uniform(1.1, 1.5)),
        seam=float(generator.uniform(0.0, 0.6)),
        marks=marks,
    )
    if not len(seen.faces):
        raise PrepareError("the camera sees nothing")
    vertices, faces = seen.vertices, seen.faces
    if generator.random() < 0.3:
        vertices, faces = coarsened(vertices, faces, _between(generator, 3.5, 12.0) * max(size, 1.0), generator)
    return vertices.astype(np.float32), faces, seen.measured


def damaged(scan: SimulatedScan, generator: Generator) -> SimulatedScan:
    """The scan with parts cut away, as they are by hand or by a program: a ball, half spaces, bands and holes."""
    middle = scan.tip if scan.is_face else scan.vertices[int(generator.integers(len(scan.vertices)))].astype(float)
    ways = [_ball, _half, _band, _holes]
    cuts = [way for way, chance in zip(ways, (0.25, 0.15, 0.08, 0.15), strict=True) if generator.random() < chance]
    for cut in cuts:
        keeps = cut(middle, scan.rotation, generator)
        keep = keeps(scan.vertices.astype(np.float64))
        faces = scan.faces[keep[scan.faces].all(axis=1)]
        if len(faces) < 200:
            continue
        used, flat = np.unique(faces, return_inverse=True)
        scan = scan._replace(
            vertices=scan.vertices[used],
            faces=flat.reshape(-1, 3).astype(np.int32),
            measured=scan.measured & keeps(np.nan_to_num(scan.points)),
        )
    return scan


class _Cut(NamedTuple):
    """Keeps points (N, 3) whose position in the face, (points - middle) @ rotation.T, is on the wanted side."""

    middle: _Floats
    rotation: _Floats
    kind: str
    numbers: tuple[float, ...]

    def __call__(self, points: _Floats) -> NDArray[np.bool_]:
        x, y, z = ((points - self.middle) @ self.rotation.T).T
        if self.kind == "ball":
            return np.asarray(x**2 + y**2 + z**2 < self.numbers[0] ** 2)
        if self.kind == "half":
            angle, away = self.numbers
            return np.asarray(x * np.cos(angle) + y * np.sin(angle) < away)
        if self.kind == "band":
            middle, half, tilt = self.numbers
            return np.asarray(np.abs(y - middle - tilt * x) > half)
        keep = np.ones(len(points), np.bool_)
        for px, py, radius in np.array(self.numbers).reshape(-1, 3):
            keep &= np.hypot(x - px, y - py) > radius
        return keep


def _ball(middle: _Floats, rotation: _Floats, g: Generator) -> _Cut:
    return _Cut(middle + g.normal(0, 6.0, 3), rotation, "ball", (float(g.uniform(65, 130)),))


def _half(middle: _Floats, rotation: _Floats, g: Generator) -> _Cut:
    return _Cut(middle, rotation, "half", (float(g.uniform(0, 2 * np.pi)), float(g.uniform(20, 80))))


def _band(middle: _Floats, rotation: _Floats, g: Generator) -> _Cut:
    at = (float(g.choice([34.0, -35.0, 60.0])) + float(g.normal(0, 4)), float(g.uniform(5, 14)))
    return _Cut(middle, rotation, "band", (*at, float(g.normal(0, 0.05))))


def _holes(middle: _Floats, rotation: _Floats, g: Generator) -> _Cut:
    count = int(g.integers(1, 4))
    rows = np.column_stack([g.uniform(-60, 60, count), g.uniform(-75, 75, count), g.uniform(6, 24, count)])
    return _Cut(middle, rotation, "holes", tuple(rows.ravel().tolist()))


def _turn(generator: Generator) -> tuple[float, float, float]:
    """Yaw, pitch and roll in radians of a head before a scanner."""
    widest = (30.0, 60.0, 80.0)[int(np.searchsorted([0.5, 0.85], generator.random()))]
    yaw, pitch, roll = np.radians(generator.uniform(-1, 1, 3) * (widest, 35.0, 20.0))
    return float(yaw), float(pitch), float(roll)


def _between(generator: Generator, low: float, high: float) -> float:
    """A number drawn evenly in its logarithm."""
    return float(np.exp(generator.uniform(np.log(low), np.log(high))))


def _noise(generator: Generator) -> float:
    """Standard deviation of a camera's depths in mm: often hardly any."""
    return _between(generator, 0.01, 0.5) if generator.random() < 0.5 else float(generator.uniform(0.1, 0.65))


def _camera(generator: Generator) -> Camera:
    return Camera(
        pitch=_between(generator, 0.9, 3.0),
        views=(0.0,) if generator.random() < 0.6 else STEREO,
        noise=_noise(generator),
        spikes=_between(generator, 1e-5, 2e-3),
        holes=float(generator.uniform(0, 10)),
        hole_radius=(1.5, float(generator.uniform(3, 9))),
        dark_loss=float(generator.uniform(0, 0.8)),
        hair_loss=float(generator.uniform(0, 0.8)),
        wet_loss=float(generator.uniform(0, 0.8)),
        steepest=float(generator.uniform(1.1, 1.45)),
        field=float(generator.choice([240.0, 320.0, 450.0, 700.0])),
    )
