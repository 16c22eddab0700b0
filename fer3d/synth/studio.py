"""`Studio`: simulate the scans of a plan, one by one.

The seed of every random number consists of the data set's seed, the subject and the scan. So a scan does not depend on
earlier scans, on the number of subjects, or on the number and order of workers.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fer3d.face.load import builtin_face, load_face
from fer3d.files import write_bytes
from fer3d.scan import EXPRESSIONS
from fer3d.synth.acting import expression
from fer3d.synth.acting.habits import Habits, Variety
from fer3d.synth.acting.time_course import Course
from fer3d.synth.capture import Capture
from fer3d.synth.layouts import LAYOUTS, Job, Shot, recipe_of
from fer3d.synth.looks import appearance, wrinkles
from fer3d.synth.looks.occluders import occluder
from fer3d.synth.optics import light
from fer3d.synth.optics.camera import Camera
from fer3d.synth.optics.scene import Look, Occluder, pose
from fer3d.synth.truth import ScanTruth

CORRESPONDENCE = "correspondence"  # folder of the meshes of the face model, one for each scan

# Purpose of a random stream, as a part of its seed: it separates the streams of one subject.
_PERSON, _HABITS, _MOMENT, _SEQUENCE, _SKIN, _ROOM = range(6)
_SWAY = 0.02  # radians by which a head sways during a sequence
_SEQUENCE_SECONDS = 4.0  # length of a sequence of BU-4DFE, for any number of frames


@dataclass(frozen=True, slots=True)
class Plan:
    """All settings that the scans depend on, picklable; angles in radians. See `fer3d.synth.make` for their meaning."""

    layout: str
    seed: int
    levels: tuple[int, ...]
    frames: int
    yaw: float
    nod: float
    roll: float
    camera: Camera
    face_model: str | None
    variety: Variety
    wrinkles: float
    texture: int
    meshes: bool


class Person(NamedTuple):
    """A subject: identity weights, look, wrinkles by action unit, and habits."""

    identity: NDArray[np.float64]
    look: Look
    lines: dict[str, wrinkles.Wrinkles]
    habits: Habits


class Studio:
    """Simulates the scans of a plan; keeps the face model and the last few people in memory."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.layout = LAYOUTS[plan.layout]
        self.model = builtin_face() if plan.face_model is None else load_face(plan.face_model)
        expression.check_units(self.model.action_units, self.model.name)
        self._atlas: appearance.Atlas | None = None
        self._room = self._generator(_ROOM).random(light.ROOM_NUMBERS)  # the lamps of a room do not move
        self._person = lru_cache(maxsize=4)(self._make_person)

    def jobs(self, subject: int) -> Iterator[Job]:
        """The scans of a subject."""
        return self.layout.jobs(subject, _sex(subject), self.plan.levels, self.plan.frames)

    def scan(self, root: Path, job: Job) -> ScanTruth:
        """Simulate a scan, write its files, and return its ground truth."""
        person = self._person(job.subject)
        moment = self._random(_MOMENT, job)
        steady = moment if job.frame is None else self._random(_SEQUENCE, replace(job, frame=None))
        units, phase = self._units(job, person.habits, steady)
        yaw, pitch, roll = self._angles(job, steady)
        shift = np.array(self.layout.origin) + steady.uniform(-6, 6, 3)
        placement = pose(yaw, pitch, roll, (float(shift[0]), float(shift[1]), float(shift[2])))
        shape = self.model.shape(person.identity, self.model.mode_weights(units))
        lamps = light.drawn(steady, self._room)
        occluders = self._occluders(job, shape, person.look, steady)
        camera, size = self.plan.camera, self.plan.texture
        look = wrinkles.worn(person.look, person.lines, units)
        shot = Shot(job, self.model, shape, placement, look, lamps, camera, size, moment, occluders)
        capture = self.layout.write(root, shot)
        if self.plan.meshes:
            _write_mesh(root, job, capture, shape)
        return ScanTruth(
            file=job.file,
            subject=job.name,
            expression=job.expression,
            level=job.level,
            frame=job.frame,
            phase=phase,
            occluder=job.occluder,
            action_units=expression.action_units(units),
            units=units,
            pose=capture.pose,
            yaw=yaw,
            pitch=pitch,
            roll=roll,
            landmarks=capture.landmarks,
            visibility=capture.visibility.landmarks,
            measured=capture.measured,
            patches=capture.visibility.patches,
        )

    def _units(self, job: Job, habits: Habits, steady: np.random.Generator) -> tuple[dict[str, float], str | None]:
        """Weights of the action units, and the phase if the job is a frame of a sequence."""
        recipe = recipe_of(job, habits)
        habits = habits.on_request() if job.recipe else habits
        if job.frame is None:
            return expression.weights(recipe, job.strength, self.model.action_units, habits, steady), None
        course = Course.draw(steady, self.plan.frames, tuple(recipe), self.plan.frames / _SEQUENCE_SECONDS)
        strengths = {unit: full * course.strength(job.frame, unit) for unit, full in recipe.items()}
        beside = course.beside(job.frame)
        strengths = {unit: max(strengths.get(unit, 0.0), beside.get(unit, 0.0)) for unit in {**strengths, **beside}}
        units = expression.weights(strengths, job.strength, self.model.action_units, habits, steady)
        return units, course.phase(job.frame)

    def _occluders(
        self, job: Job, shape: NDArray[np.float64], look: Look, generator: np.random.Generator
    ) -> tuple[Occluder, ...]:
        if job.occluder is None:
            return ()
        return (occluder(job.occluder, self.model, shape, generator, look),)

    def _generator(self, *words: int) -> np.random.Generator:
        return np.random.default_rng(np.random.SeedSequence([self.plan.seed, *words]))

    def _random(self, use: int, job: Job) -> np.random.Generator:
        number = EXPRESSIONS.index(job.expression) if job.expression else len(EXPRESSIONS)
        frame = 0 if job.frame is None else job.frame + 1
        return self._generator(use, job.subject, number, job.level, frame, job.variant)

    def _angles(self, job: Job, generator: np.random.Generator) -> tuple[float, float, float]:
        drawn = generator.uniform(-1.0, 1.0, 3) * (self.plan.yaw, self.plan.nod, self.plan.roll)
        sway = generator.uniform(0.0, 2 * np.pi, 3)
        if job.frame is not None:
            drawn = drawn + _SWAY * np.sin(sway + 2 * np.pi * job.frame / max(self.plan.frames - 1, 1))
        yaw, pitch = (math.radians(angle) for angle in job.turn)
        return float(drawn[0]) + yaw, float(drawn[1]) + pitch, float(drawn[2])

    def _make_person(self, subject: int) -> Person:
        if self._atlas is None:
            self._atlas = appearance.atlas(self.model, self.plan.texture)
        generator = self._generator(_PERSON, subject)
        identity = generator.normal(0.0, 1.0, len(self.model.identity_modes))
        painted = appearance.paint(self._atlas, generator, beard=_sex(subject) == "M")
        lines = wrinkles.grown(self._atlas, self._generator(_SKIN, subject), self.plan.wrinkles)
        habits = Habits.draw(self._generator(_HABITS, subject), self.plan.variety)
        return Person(np.clip(identity, -2.5, 2.5), painted, lines, habits)


def _write_mesh(root: Path, job: Job, capture: Capture, shape: NDArray[np.float64]) -> None:
    points = shape @ capture.pose[:3, :3].T + capture.pose[:3, 3]
    content = io.BytesIO()
    np.save(content, points.astype(np.float32), allow_pickle=False)
    path = root / CORRESPONDENCE / f"{job.file}.npy"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, content.getvalue())


def _sex(subject: int) -> str:
    return "FM"[subject % 2]
