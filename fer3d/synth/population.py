"""`make`: a simulated data set, person by person, scan by scan, on any number of processes with the same result.

Every random number comes from a seed made of the set's seed and of who and what is scanned, never from what was made
before: a scan does not depend on the number of subjects, on workers or on their order.
"""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

from fer3d import __version__
from fer3d.catalog.folder_listing import TRUTH_FILE
from fer3d.checks import check_choice, check_range
from fer3d.errors import ArgumentError, FileError, FormatError
from fer3d.face.load import save_face
from fer3d.face.npz import fingerprint
from fer3d.kernels.compiling import SIMULATION, compile_kernels
from fer3d.synth.acting import expression
from fer3d.synth.acting.habits import Variety
from fer3d.synth.layouts import LAYOUTS, Job
from fer3d.synth.optics.camera import Camera
from fer3d.synth.studio import CORRESPONDENCE, Plan, Studio
from fer3d.synth.truth import ScanTruth, TruthWriter, read_recipe
from fer3d.workers import worker_pool

_BUNDLE = 5  # scans a task
_AHEAD = 8  # tasks a worker that may wait: results are handed on in order, and memory stays the same for any number


class Made(NamedTuple):
    """What `make` made: numbers of subjects and scans, and where."""

    folder: Path
    layout: str
    subjects: int
    scans: int


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
    variety: Variety | None = None,
    wrinkles: float = 1.0,
    texture: int = 512,
    meshes: bool = False,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
    compiling: Callable[[int, int], None] | None = None,
) -> Made:
    """Simulate a data set of expression scans in the layout of a real one, with the truth beside it.

    The same arguments give the same bytes, on any number of workers. A run that was stopped is begun again.

    Args:
        folder: To write into; made if missing. Empty, or from an earlier run with the same settings.
        layout: bu3dfe, bu4dfe, bosphorus or frgc; see `fer3d.synth.layouts`.
        subjects: How many, women and men in turn.
        seed: Of everything random. Another seed gives other people.
        workers: Processes.
        face_model: A file or folder for `fer3d.face.load_face`. None: the built-in face.
        levels: Intensities of bu3dfe, of 1 to 4.
        frames: Length of a sequence of bu4dfe.
        pitch: Distance of samples, mm. None: what is usual in the layout (bu3dfe 1.9: some 8,000 vertices).
        yaw, nod, roll: Greatest turn of a head each way, radians; drawn evenly. `nod` is up and down.
        camera: Other settings of the camera; its pitch counts unless `pitch` is given.
        variety: How much people differ in what they show. None: as calibrated, see `fer3d.synth.acting.habits`.
        wrinkles: Factor on the depth of folds that come with action units and only pictures show; 0: none. 1: as
            calibrated, see `fer3d.synth.looks.wrinkles`.
        texture: Rows and columns of the texture.
        meshes: Whether to write, below `correspondence/`, the face behind each scan: (V, 3) float32 in the frame of the
            scan file, the same vertices for all, and the face model they belong to, `model.npz`.
        overwrite: Write into a folder that holds something else. Nothing there is deleted, but equal names are.
        progress: Called with the numbers of scans made and to make, after each.
        compiling: Called with the numbers of kernels compiled and to compile, if Numba's cache lacks any.

    Returns:
        The numbers of subjects and scans.

    Raises:
        ArgumentError: if an argument is out of range, the folder holds something else, or the face model lacks units.
        FileError, FormatError: if the face model cannot be read, or a file cannot be written.
    """
    root = Path(folder)
    angles = yaw, nod, roll
    plan = _plan(layout, seed, levels, frames, pitch, angles, camera, face_model, variety, wrinkles, texture, meshes)
    if subjects < 1 or workers < 1:
        raise ArgumentError(f"`subjects` and `workers` should be at least 1, are {subjects} and {workers}")
    studio = Studio(plan)  # reads the face model: a wrong one ends the run here
    recipe = _recipe(plan, subjects)
    _check_free(root, recipe, overwrite)
    jobs = [job for subject in range(subjects) for job in studio.jobs(subject)]
    for parent in sorted({(root / job.file).parent for job in jobs}):
        _make_folder(parent)
    if meshes:
        _make_folder(root / CORRESPONDENCE)
        save_face(studio.model, root / CORRESPONDENCE / "model.npz")
    compile_kernels(SIMULATION, worker_pool, workers, compiling)
    with TruthWriter(root, recipe, tuple(studio.model.landmarks)) as truth:
        done = 0
        for scans in _run(root, plan, studio, jobs, workers):
            truth.write(scans)
            for _ in scans:
                done += 1
                if progress is not None:
                    progress(done, len(jobs))
    if layout == "frgc":
        _write_labels(root, jobs)
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
    variety: Variety | None,
    wrinkles: float,
    texture: int,
    meshes: bool,
) -> Plan:
    check_choice("layout", layout, LAYOUTS)
    if seed < 0:
        raise ArgumentError(f"`seed` should be at least 0, is {seed}")
    if not levels or any(level not in expression.LEVELS for level in levels) or len(set(levels)) != len(levels):
        raise ArgumentError(f"`levels` should be different numbers of 1 to 4, are {tuple(levels)}")
    check_range("frames", frames, 1, 999)
    check_range("wrinkles", wrinkles, 0.0, 3.0)
    check_range("texture", texture, 16, 4096, "pixels")
    for name, angle in zip(("yaw", "nod", "roll"), angles, strict=True):
        check_range(name, angle, 0.0, math.pi, "radians")
    if camera is None:
        camera = LAYOUTS[layout].camera
    camera = camera if pitch is None else replace(camera, pitch=pitch)
    model = None if face_model is None else os.fspath(face_model)
    variety = Variety() if variety is None else variety
    return Plan(layout, seed, tuple(sorted(levels)), frames, *angles, camera, model, variety, wrinkles, texture, meshes)


def _recipe(plan: Plan, subjects: int) -> dict[str, Any]:
    """The plan as it stands in `truth.parquet`: the face model by name and hash, not by path."""
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
    if not (root / TRUTH_FILE).exists():
        raise ArgumentError(f"`folder` should be empty or simulated before, {root} holds other files")
    try:
        earlier, _ = read_recipe(root)
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
    """FRGC's names hold no expression; `labels.csv` says them, in the columns of `fer3d.catalog.label_table`."""
    from fer3d.files import write_bytes

    lines = ["path,expression", *(f"{job.file},{job.expression}" for job in jobs)]
    write_bytes(root / "labels.csv", ("\n".join(lines) + "\n").encode())


_studio: Studio | None = None  # of a worker process


def _open_studio(plan: Plan) -> None:
    global _studio
    _studio = Studio(plan)


def _scan_all(root: Path, jobs: Sequence[Job]) -> list[ScanTruth]:
    if _studio is None:
        raise ArgumentError("`_scan_all` should run in a worker that `_open_studio` prepared")
    return [_studio.scan(root, job) for job in jobs]


def _run(root: Path, plan: Plan, studio: Studio, jobs: Sequence[Job], workers: int) -> Iterator[list[ScanTruth]]:
    """The truth in the order of the jobs, in bundles: neighbours share a person, who is painted once a worker."""
    bundles = [jobs[k : k + _BUNDLE] for k in range(0, len(jobs), _BUNDLE)]
    if workers == 1:
        for bundle in bundles:
            yield [studio.scan(root, job) for job in bundle]
        return
    with worker_pool(min(workers, len(bundles)), _open_studio, (plan,)) as pool:
        flying: deque[Future[list[ScanTruth]]] = deque()
        try:
            for bundle in bundles:
                flying.append(pool.submit(_scan_all, root, bundle))
                if len(flying) > _AHEAD * workers:
                    yield flying.popleft().result()
            while flying:
                yield flying.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)
