"""`make`: simulate a data set; the result is the same for any number of processes.

The seed of every random number consists of the data set's seed, the subject and the scan. So a scan does not depend on
earlier scans, on the number of subjects, or on the number and order of workers.
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

_BUNDLE = 5  # scans per task
_AHEAD = 8  # tasks per worker that may be pending: results are yielded in order, and memory stays bounded


class Made(NamedTuple):
    """The result of `make`: the folder, its layout, and the numbers of subjects and scans."""

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
    """Simulate a data set of expression scans in the layout of a real one, with ground truth in `truth.parquet`.

    The same arguments give the same bytes, for any number of workers. To repeat a stopped simulation, call `make` with
    the same settings; it starts from the beginning.

    Args:
        folder: Output folder; `make` creates it if it is missing. It must be empty or hold a simulation with the same
            settings.
        layout: bu3dfe, bu4dfe, bosphorus or frgc; see `fer3d.synth.layouts`.
        subjects: Number of subjects, women and men in turn.
        seed: Seed of all random numbers. Another seed gives other people.
        workers: Number of processes.
        face_model: A file or folder for `fer3d.face.load_face`. None: the built-in face.
        levels: Intensity levels of bu3dfe, a subset of 1 to 4.
        frames: Number of frames of a sequence of bu4dfe.
        pitch: Distance between neighbouring samples, mm. None: the default of the layout (bu3dfe: 1.9, about 8,000
            vertices).
        yaw, nod, roll: Largest rotation of a head in each direction, radians; the distribution is uniform. `nod` is up
            and down.
        camera: Settings of the camera; `pitch`, if given, replaces its pitch. None: the settings of the layout.
        variety: How much people differ in their expressions. None: the calibrated values, see
            `fer3d.synth.acting.habits`.
        wrinkles: Factor on the depth of the folds that action units cause and that only images show. 0: no folds; 1:
            the calibrated depth, see `fer3d.synth.looks.wrinkles`.
        texture: Rows and columns of the texture.
        meshes: Whether to write the face model's mesh of each scan to `correspondence/`: (V, 3) float32 in the frame of
            the scan file, with the same vertices in every scan; and the face model, `model.npz`.
        overwrite: Whether to write into a folder that holds other files. Files of the same name are replaced.
        progress: Called after each scan with the number of finished scans and the number of all scans.
        compiling: Called with the number of compiled kernels and of all kernels, if Numba's cache lacks any.

    Returns:
        The folder, its layout, and the numbers of subjects and scans.

    Raises:
        ArgumentError: if an argument is out of range, the folder holds other files, or the face model lacks units.
        FileError, FormatError: if the face model cannot be read, or a file cannot be written.
    """
    root = Path(folder)
    angles = yaw, nod, roll
    plan = _plan(layout, seed, levels, frames, pitch, angles, camera, face_model, variety, wrinkles, texture, meshes)
    if subjects < 1 or workers < 1:
        raise ArgumentError(f"`subjects` and `workers` should be at least 1, are {subjects} and {workers}")
    studio = Studio(plan)  # reads the face model, so that a wrong one raises here
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
    """The plan as `truth.parquet` records it: with name and hash of the face model instead of its path."""
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
            f"{', '.join(differs)}; choose another folder (in Python, overwrite=True writes into it)"
        )


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"{folder}: cannot be made: {error.strerror or error}") from error


def _write_labels(root: Path, jobs: Sequence[Job]) -> None:
    """Write the expressions to `labels.csv` in the columns of `fer3d.catalog.label_table`; names in FRGC hold none."""
    from fer3d.files import csv_text, write_text

    rows = ({"path": job.file, "expression": job.expression} for job in jobs)
    write_text(root / "labels.csv", csv_text(("path", "expression"), rows))


_studio: Studio | None = None  # the studio of a worker process


def _open_studio(plan: Plan) -> None:
    global _studio
    _studio = Studio(plan)


def _scan_all(root: Path, jobs: Sequence[Job]) -> list[ScanTruth]:
    if _studio is None:
        raise ArgumentError("`_scan_all` should run in a worker that `_open_studio` prepared")
    return [_studio.scan(root, job) for job in jobs]


def _run(root: Path, plan: Plan, studio: Studio, jobs: Sequence[Job], workers: int) -> Iterator[list[ScanTruth]]:
    """Yield the truth in the order of the jobs, in bundles: neighbours share a person, whom a worker paints once."""
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
