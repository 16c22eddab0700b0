"""`make`: a simulated data set, person by person, scan by scan, on any number of processes with the same result.

Every random number comes from a seed made of the set's seed and of who and what is scanned, never from what was made
before: a scan does not depend on the number of subjects, on workers or on their order.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fer3d import __version__
from fer3d.checks import check_range
from fer3d.errors import ArgumentError, FileError, FormatError
from fer3d.scan import EXPRESSIONS
from fer3d.synth import appearance, expression, light
from fer3d.synth.camera import Camera
from fer3d.synth.face import FaceModel
from fer3d.synth.face_file import fingerprint
from fer3d.synth.layouts import LAYOUTS, Job, Shot, recipe_of
from fer3d.synth.scene import Look, pose
from fer3d.synth.truth import FILE, ScanTruth, read_truth, write_truth

# What a seed is for: keeps the streams of one subject apart.
_PERSON, _HABITS, _MOMENT, _DRIFT = range(4)


class Made(NamedTuple):
    """What `make` made: numbers of subjects and scans, and where."""

    folder: Path
    layout: str
    subjects: int
    scans: int


@dataclass(frozen=True, slots=True)
class Plan:
    """All that the scans depend on; picklable. Angles in radians, see `make`."""

    layout: str
    seed: int
    levels: tuple[int, ...]
    frames: int
    yaw: float
    nod: float
    roll: float
    camera: Camera
    face_model: str | None
    texture: int


class Person(NamedTuple):
    """Who is scanned."""

    identity: NDArray[np.float64]
    look: Look


def make(
    folder: str | os.PathLike[str],
    layout: str = "bu3dfe",
    subjects: int = 6,
    seed: int = 0,
    workers: int = 1,
    *,
    face_model: str | os.PathLike[str] | None = None,
    levels: Sequence[int] = (1, 2, 3, 4),
    frames: int = 12,
    pitch: float | None = None,
    yaw: float = 0.09,
    nod: float = 0.07,
    roll: float = 0.05,
    camera: Camera | None = None,
    texture: int = 512,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Made:
    """Simulate a data set of expression scans in the layout of a real one, with the truth beside it.

    The same arguments give the same bytes, on any number of workers. A run that was stopped is begun again.

    Args:
        folder: To write into; made if missing. Empty, or from an earlier run with the same settings.
        layout: bu3dfe, bu4dfe, bosphorus or frgc; see `fer3d.synth.layouts`.
        subjects: How many, women and men in turn.
        seed: Of everything random. Another seed gives other people.
        workers: Processes.
        face_model: A file or folder for `FaceModel.load`. None: the built-in face.
        levels: Intensities of bu3dfe, of 1 to 4.
        frames: Length of a sequence of bu4dfe.
        pitch: Distance of samples, mm. None: what is usual in the layout (bu3dfe 1.9: some 8,000 vertices).
        yaw, nod, roll: Greatest turn of a head each way, radians; drawn evenly. `nod` is up and down.
        camera: Other settings of the camera; its pitch counts unless `pitch` is given.
        texture: Rows and columns of the texture.
        overwrite: Write into a folder that holds something else. Nothing there is deleted, but equal names are.
        progress: Called with the numbers of scans made and to make, after each.

    Returns:
        The numbers of subjects and scans.

    Raises:
        ArgumentError: if an argument is out of range, the folder holds something else, or the face model lacks units.
        FileError, FormatError: if the face model cannot be read, or a file cannot be written.
    """
    root = Path(folder)
    plan = _plan(layout, seed, levels, frames, pitch, (yaw, nod, roll), camera, face_model, texture)
    if subjects < 1 or workers < 1:
        raise ArgumentError(f"`subjects` and `workers` should be at least 1, are {subjects} and {workers}")
    studio = Studio(plan)  # reads the face model: a wrong one ends the run here
    recipe = _recipe(plan, subjects)
    _check_free(root, recipe, overwrite)
    jobs = [job for subject in range(subjects) for job in studio.jobs(subject)]
    for parent in sorted({(root / job.file).parent for job in jobs}):
        _make_folder(parent)
    write_truth(root, recipe, None)
    made: dict[str, ScanTruth] = {}
    for truth in _run(root, plan, studio, jobs, workers):
        made[truth.file] = truth
        if progress is not None:
            progress(len(made), len(jobs))
    if layout == "frgc":
        _write_labels(root, jobs)
    write_truth(root, recipe, [made[job.file] for job in jobs])
    return Made(root, layout, subjects, len(jobs))


def _plan(
    layout: str,
    seed: int,
    levels: Sequence[int],
    frames: int,
    pitch: float | None,
    angles: tuple[float, float, float],
    camera: Camera | None,
    face_model: str | os.PathLike[str] | None,
    texture: int,
) -> Plan:
    if layout not in LAYOUTS:
        raise ArgumentError(f"`layout` should be one of {', '.join(LAYOUTS)}, is {layout!r}")
    if seed < 0:
        raise ArgumentError(f"`seed` should be at least 0, is {seed}")
    if not levels or any(level not in expression.LEVELS for level in levels) or len(set(levels)) != len(levels):
        raise ArgumentError(f"`levels` should be different numbers of 1 to 4, are {tuple(levels)}")
    check_range("frames", frames, 1, 999)
    check_range("texture", texture, 16, 4096, "pixels")
    for name, angle in zip(("yaw", "nod", "roll"), angles, strict=True):
        check_range(name, angle, 0.0, math.pi, "radians")
    if camera is None:
        camera = LAYOUTS[layout].camera
    camera = camera if pitch is None else replace(camera, pitch=pitch)
    model = None if face_model is None else os.fspath(face_model)
    return Plan(layout, seed, tuple(sorted(levels)), frames, *angles, camera, model, texture)


def _recipe(plan: Plan, subjects: int) -> dict[str, Any]:
    """The plan as it stands in `truth.json`: the face model by name and hash, not by path."""
    record = asdict(plan) | {"subjects": subjects, "version": __version__}
    record["camera"] = {key: list(v) if isinstance(v, tuple) else v for key, v in record["camera"].items()}
    record["levels"] = list(plan.levels)
    if plan.face_model is not None:
        record["face_model"] = f"{Path(plan.face_model).name} sha256:{fingerprint(plan.face_model)}"
    return record


def _check_free(root: Path, recipe: dict[str, Any], overwrite: bool) -> None:
    if root.exists() and not root.is_dir():
        raise ArgumentError(f"`folder` should be a folder, {root} is a file")
    if overwrite or not root.is_dir() or not any(root.iterdir()):
        return
    if not (root / FILE).exists():
        raise ArgumentError(f"`folder` should be empty or simulated before, {root} holds other files")
    try:
        earlier = read_truth(root).recipe
    except (FileError, FormatError) as error:
        raise ArgumentError(f"`folder` should be empty or simulated before: {error}") from error
    differs = sorted(key for key in {*earlier, *recipe} if earlier.get(key) != recipe.get(key))
    if differs:
        raise ArgumentError(
            f"`folder` should be empty or hold a simulation of the same settings, {root} differs in "
            f"{', '.join(differs)}; choose another folder or say overwrite"
        )


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"{folder}: cannot be made: {error.strerror or error}") from error


def _write_labels(root: Path, jobs: Sequence[Job]) -> None:
    """FRGC's names hold no expression; `labels.csv` says them, in the columns of `fer3d.label_table`."""
    from fer3d.formats.files import write_bytes

    lines = ["path,expression", *(f"{job.file},{job.expression}" for job in jobs)]
    write_bytes(root / "labels.csv", ("\n".join(lines) + "\n").encode())


class Studio:
    """A plan at work: holds the face model and the people scanned last."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.layout = LAYOUTS[plan.layout]
        self.model = FaceModel.builtin() if plan.face_model is None else FaceModel.load(plan.face_model)
        expression.check_units(self.model.action_units, self.model.name)
        self._atlas: appearance.Atlas | None = None
        self._person = lru_cache(maxsize=4)(self._make_person)

    def jobs(self, subject: int) -> Iterator[Job]:
        """The scans of a subject."""
        return self.layout.jobs(subject, _sex(subject), self.plan.levels, self.plan.frames)

    def scan(self, root: Path, job: Job) -> ScanTruth:
        """Make and write one scan."""
        person = self._person(job.subject)
        moment = self._random(_MOMENT, job)
        drift = self._random(_DRIFT, replace(job, frame=None)) if job.steady else moment
        units = expression.unit_weights(recipe_of(job), job.strength, self.model.action_units, self._habits(job), drift)
        modes = self.model.mode_weights(units)
        yaw, pitch, roll = self._angles(job, drift)
        shift = np.array(self.layout.origin) + drift.uniform(-6, 6, 3)
        placement = pose(yaw, pitch, roll, (float(shift[0]), float(shift[1]), float(shift[2])))
        shape = self.model.shape(person.identity, modes)
        lamps = light.drawn(drift)
        texture = self.plan.texture
        shot = Shot(job, self.model, shape, placement, person.look, lamps, self.plan.camera, texture, moment)
        capture = self.layout.write(root, shot)
        return ScanTruth(
            file=job.file,
            subject=job.name,
            expression=job.expression,
            level=job.level,
            frame=job.frame,
            action_units=expression.action_units(units),
            modes=modes,
            pose=capture.pose,
            yaw=yaw,
            pitch=pitch,
            roll=roll,
            nose_tip=capture.landmarks["pronasale"],
            landmarks=capture.landmarks,
            measured=capture.measured,
        )

    def _generator(self, *words: int) -> np.random.Generator:
        return np.random.default_rng(np.random.SeedSequence([self.plan.seed, *words]))

    def _random(self, use: int, job: Job) -> np.random.Generator:
        number = EXPRESSIONS.index(job.expression) if job.expression else len(EXPRESSIONS)
        frame = 0 if job.frame is None else job.frame + 1
        return self._generator(use, job.subject, number, job.level, frame, job.variant)

    def _habits(self, job: Job) -> np.random.Generator:
        """One way of showing an expression a person: alike over levels, frames and sessions."""
        number = EXPRESSIONS.index(job.expression) if job.expression else len(EXPRESSIONS)
        return self._generator(_HABITS, job.subject, number, job.variant)

    def _angles(self, job: Job, generator: np.random.Generator) -> tuple[float, float, float]:
        drawn = generator.uniform(-1.0, 1.0, 3) * (self.plan.yaw, self.plan.nod, self.plan.roll)
        sway = generator.uniform(0.0, 2 * np.pi, 3)
        if job.frame is not None:  # the head sways a little through a sequence
            drawn = drawn + 0.02 * np.sin(sway + 2 * np.pi * job.frame / max(self.plan.frames - 1, 1))
        yaw, pitch = (math.radians(angle) for angle in job.turn)
        return float(drawn[0]) + yaw, float(drawn[1]) + pitch, float(drawn[2])

    def _make_person(self, subject: int) -> Person:
        if self._atlas is None:
            self._atlas = appearance.atlas(self.model, self.plan.texture)
        generator = self._generator(_PERSON, subject)
        identity = generator.normal(0.0, 1.0, len(self.model.identity_modes))
        painted = appearance.paint(self._atlas, generator, beard=_sex(subject) == "M")
        return Person(np.clip(identity, -2.5, 2.5), painted)


def _sex(subject: int) -> str:
    return "FM"[subject % 2]


_studio: Studio | None = None  # of a worker process


def _open_studio(plan: Plan) -> None:
    global _studio
    _studio = Studio(plan)


def _scan_all(root: Path, jobs: Sequence[Job]) -> list[ScanTruth]:
    if _studio is None:
        raise ArgumentError("`_scan_all` should run in a worker that `_open_studio` prepared")
    return [_studio.scan(root, job) for job in jobs]


def _run(root: Path, plan: Plan, studio: Studio, jobs: Sequence[Job], workers: int) -> Iterator[ScanTruth]:
    if workers == 1:
        for job in jobs:
            yield studio.scan(root, job)
        return
    # Neighbouring jobs share a person, whose texture is painted once a worker that meets them.
    bundles = [jobs[k : k + 5] for k in range(0, len(jobs), 5)]
    with ProcessPoolExecutor(
        min(workers, len(bundles)), mp_context=get_context("spawn"), initializer=_open_studio, initargs=(plan,)
    ) as pool:
        futures = [pool.submit(_scan_all, root, bundle) for bundle in bundles]
        try:
            for future in as_completed(futures):
                yield from future.result()
        finally:
            pool.shutdown(cancel_futures=True)
