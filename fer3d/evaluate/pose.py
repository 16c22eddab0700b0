"""`pose_test`: measures how the accuracy of a run falls when heads are rotated and not aligned again.

The prepared scans of the test subjects are rotated about the nose tip. They are tested once as whole scans, and once as
a camera in front would see them: without the surface that faces away or is hidden by other parts. Scans are not aligned
again. A model of sample trees is given the tree of the rotated scan, from the same nose tip; a model of maps is given
maps rendered from the rotated scan. Rotating a whole scan does not change the input of an invariant model; the loss of
surface affects every model.

Rotated scans keep their measured noise; the simulated camera of the second test adds none.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import as_completed
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer3d import __version__
from fer3d.config import PreprocessSettings, settings
from fer3d.data.input_kinds import PreparedFace
from fer3d.errors import ArgumentError, Fer3dError, FileError, FormatError
from fer3d.evaluate import metrics
from fer3d.evaluate.measure import without_nan
from fer3d.evaluate.metrics import Interval
from fer3d.files import clear_leftovers, write_text
from fer3d.kernels import topology
from fer3d.maps import curvature, render
from fer3d.maps.registry import group_names, reads_picture
from fer3d.prepare.integrity import AGAIN
from fer3d.prepare.scan import build_tree
from fer3d.prepare.store import open_scan, read_manifest
from fer3d.scan import Scan
from fer3d.synth.optics.camera import Camera
from fer3d.synth.optics.scene import rotation
from fer3d.synth.optics.visibility import LIFT, exposed
from fer3d.train.run_folder import Predictions, Run, fold_name, prepared_folder, read_predictions, read_run
from fer3d.workers import worker_pool

ANGLES = (-90.0, -60.0, -45.0, -30.0, -15.0, 0.0, 15.0, 30.0, 45.0, 60.0, 90.0)  # degrees of yaw
KINDS = ("turned", "self-occluded")
_STEEPEST = math.cos(Camera().steepest)  # cosine of the slant beyond which the simulated camera measures nothing


@dataclass(frozen=True)
class PosePoint:
    """Accuracy on one kind of scans at one angle.

    Attributes:
        kind: One of `KINDS`.
        yaw_deg: Rotation to the subject's left, degrees.
        scans: Number of tested scans.
        failed: Number of scans from which no input could be computed; they count as wrong.
        accuracy: Accuracy with its 95 % interval by subject.
    """

    kind: str
    yaw_deg: float
    scans: int
    failed: int
    accuracy: Interval


@dataclass(frozen=True)
class PoseTest:
    """The accuracy curves of a run, its accuracy on the same scans without rotation, and the reason of a failure."""

    run: str
    model: str
    frontal: float
    points: tuple[PosePoint, ...]
    reason: str

    def to_json(self) -> dict[str, Any]:
        """The test as plain dicts and lists; NaN becomes None."""
        plain: dict[str, Any] = without_nan(asdict(self))
        return plain | {"fer3d": __version__}


@dataclass(frozen=True)
class _Job:
    model: str
    folder: Path
    row: Mapping[str, Any]
    angles: tuple[float, ...]


def pose_test(
    run: str | Path,
    prepared: Path | None = None,
    *,
    angles: Sequence[float] = ANGLES,
    scans: int | None = None,
    workers: int = 1,
    resamples: int = metrics.RESAMPLES,
    seed: int = 0,
    tick: Callable[[int, int], None] = lambda done, total: None,
) -> PoseTest:
    """Test the finished folds of a run on rotated scans and write its pose_test.json.

    Args:
        run: A run folder of `fer3d train`.
        prepared: The prepared folder of its test scans, with meshes; None: looked for near the run.
        angles: Yaw angles in degrees.
        scans: Maximum number of scans, evenly spaced; None: all test scans of the run's first round.
        workers: Number of processes.
        resamples, seed: Number of resamples and seed of the bootstrap.
        tick: Called with the number of scans done and the number of all scans.

    Raises:
        FileError: if the prepared folder is not found, or pose_test.json cannot be written.
        FormatError: as `read_run` and `read_predictions`.
        ArgumentError: if an angle is out of range, the model needs texture, or meshes were not kept.
    """
    read, folder = check_pose_test(run, prepared, angles=angles)
    predictions = read_predictions(read)
    clear_leftovers(read.folder)
    rows = {row["id"]: row for row in read_manifest(folder) if row["status"] == "ok"}
    chosen = np.flatnonzero(predictions.rounds == predictions.rounds.min())
    if scans is not None and scans < len(chosen):
        chosen = chosen[np.linspace(0, len(chosen) - 1, scans).round().astype(int)]
    jobs = []
    for index in chosen.tolist():
        name = fold_name(int(predictions.rounds[index]), int(predictions.folds[index]))
        row = rows.get(predictions.ids[index])
        if row is None:
            raise FileError(f"{folder}: holds no prepared scan {predictions.ids[index]}, which the run was tested on")
        jobs.append(_Job(str(read.folder / name / "model.safetensors"), folder, row, tuple(angles)))
    answers = _answers(jobs, workers, tick)
    result = PoseTest(
        run=read.name,
        model=str(read.facts["model"]),
        frontal=float(predictions.correct[chosen].mean()),
        points=tuple(
            _point(kind, angle, [answer[kind, angle] for answer in answers], predictions, chosen, resamples, seed)
            for kind in KINDS
            for angle in angles
        ),
        reason=next((a for answer in answers for a in answer.values() if isinstance(a, str)), ""),
    )
    content = json.dumps(result.to_json(), indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False)
    write_text(read.folder / "pose_test.json", content + "\n")
    return result


def check_pose_test(
    run: str | Path, prepared: Path | None = None, *, angles: Sequence[float] = ANGLES
) -> tuple[Run, Path]:
    """The run and the prepared folder of its test scans. Raises as `pose_test`, before anything is computed."""
    for angle in angles:
        if not -180 <= angle <= 180:
            raise ArgumentError(f"`angles` should lie in [-180, 180] degrees, holds {angle!r}")
    read = read_run(run)
    if read.facts.get("input") == "pictures":
        raise ArgumentError(
            f"{read.name}: a pose test rotates the meshes of scans, the run was trained on pictures: "
            "train a network on scans, such as fer3d train oriented-fusion --maps depth,normal,curvature"
        )
    fed = [name for name in read.facts["maps"] if name in group_names()]  # empty for a network of trees
    if reads_picture(fed):
        others = ",".join(name for name in fed if not reads_picture([name])) or "depth,normal,curvature"
        raise ArgumentError(
            f"{read.name}: `maps` of the run should hold no texture for a pose test: meshes are stored without it; "
            f"train a network with --maps {others}, or flm-cnn"
        )
    folder = prepared_folder(read, prepared, test=True)
    if folder is None:
        raise FileError(f"{read.folder}: the prepared folder of its scans is not at hand; name it with --prepared")
    row = next((row for row in read_manifest(folder) if row["status"] == "ok"), None)
    if row is not None:
        with open_scan(folder, row) as file:
            _check_mesh(folder, row["prefix"], file)
    return read, folder


def _check_mesh(folder: Path, prefix: str, file: Any) -> None:
    if prefix + "vertices" not in file.keys():  # noqa: SIM118  (a handle, not a dict)
        raise ArgumentError(
            f"{folder}: the scans' meshes were not kept; prepare them with keep_mesh=true: "
            f"fer3d preprocess SCANS -o {folder} --set keep_mesh=true"
        )


def turned(scan: Scan, yaw: float) -> Scan:
    """The scan rotated about the origin by `yaw` degrees, to the subject's left."""
    turn = np.eye(4)
    turn[:3, :3] = rotation(math.radians(yaw), 0.0, 0.0)
    return scan.moved(turn, "turned")


def in_view(scan: Scan) -> Scan:
    """The part of the scan that a camera far away in +z sees: the faces whose three vertices are visible.

    A vertex is visible if its surface faces the camera by more than ten degrees and no other part hides it.
    """
    normals = np.nan_to_num(curvature.vertex_normals(scan).astype(np.float64))
    points = scan.vertices.astype(np.float64)
    seen = (normals[:, 2] > _STEEPEST) & (exposed(points, scan.faces, points + LIFT * normals) > 0.5)
    keep = seen[scan.faces[:, 0]] & seen[scan.faces[:, 1]] & seen[scan.faces[:, 2]]
    rows, faces = topology.kept_rows(scan.faces, keep, len(points))
    return replace(scan, vertices=scan.vertices[rows], faces=faces)


def _answers(
    jobs: Sequence[_Job], workers: int, tick: Callable[[int, int], None]
) -> list[dict[tuple[str, float], int | str]]:
    if workers <= 1:
        answers = []
        for number, job in enumerate(jobs):
            answers.append(_answer(job))
            tick(number + 1, len(jobs))
        return answers
    with worker_pool(workers) as pool:
        futures = [pool.submit(_answer, job) for job in jobs]
        for number, _ in enumerate(as_completed(futures)):
            tick(number + 1, len(jobs))
        return [future.result() for future in futures]


def _answer(job: _Job) -> dict[tuple[str, float], int | str]:
    """(kind, angle) -> the class that the model predicts, or why it cannot predict one."""
    places = [(kind, angle) for angle in job.angles for kind in KINDS]
    try:
        scan = _mesh(job)
    except (FileError, FormatError) as error:  # a damaged scan costs only itself: it counts as wrong
        return dict.fromkeys(places, f"{job.row['id']}: {error}")
    answers: dict[tuple[str, float], int | str] = {}
    for angle in job.angles:
        whole = turned(scan, angle)
        for kind in KINDS:
            try:
                answers[kind, angle] = _predicted(job.model, whole if kind == "turned" else in_view(whole))
            except Fer3dError as error:
                answers[kind, angle] = f"{job.row['id']} {kind} at {angle:g} degrees: {error}"
    return answers


def _mesh(job: _Job) -> Scan:
    """The mesh of a prepared scan.

    Raises:
        ArgumentError: if meshes were not kept.
        FileError, FormatError: if the scan is missing or damaged.
    """
    prefix, path = job.row["prefix"], job.folder / job.row["file"]
    with open_scan(job.folder, job.row) as file:
        _check_mesh(job.folder, prefix, file)
        vertices, faces = file.get_tensor(prefix + "vertices"), file.get_tensor(prefix + "faces")
    names = job.row.get("landmark_names") or []
    points = np.array(job.row.get("landmarks") or [], dtype=np.float64).reshape(-1, 3)
    try:
        return Scan(vertices, faces, landmarks=dict(zip(names, points, strict=True)))
    except ArgumentError as error:
        raise FormatError(f"{path}: the mesh of {job.row['id']} is damaged ({error}); {AGAIN}") from None


def _predicted(path: str, scan: Scan) -> int:
    model, chosen = _model(path)
    normals = curvature.vertex_normals(scan)
    curvatures = curvature.principal_curvatures(scan, radius=chosen.curvature_radius_mm, normals=normals)
    wanted = model.kind.preprocessing(chosen, model.maps)
    maps = render.render_maps(
        scan,
        maps=wanted.maps,
        size=wanted.size,
        pixel=wanted.pixel,
        radius=wanted.curvature_radius_mm,
        fill=wanted.hole_mm,
        normals=normals,
        curvatures=curvatures,
    )
    tree = None
    if wanted.tree:
        tree = build_tree(scan, wanted, np.zeros(3)).with_features(scan, normals, curvatures)
    batch = model.from_scan(PreparedFace(maps, scan, tree))
    return int(model.probabilities(batch)[0].argmax())


@lru_cache(maxsize=4)
def _model(path: str) -> tuple[Any, PreprocessSettings]:
    from fer3d.train.checkpoint import load_model

    model = load_model(path)
    return model, settings(PreprocessSettings, dict(model.preprocess), path)


def _point(
    kind: str,
    angle: float,
    answers: Sequence[int | str],
    predictions: Predictions,
    chosen: NDArray[np.int64],
    resamples: int,
    seed: int,
) -> PosePoint:
    subjects = sorted({predictions.subjects[index] for index in chosen.tolist()})
    counts = np.zeros((len(subjects), 2))
    for index, answer in zip(chosen.tolist(), answers, strict=True):
        counts[subjects.index(predictions.subjects[index])] += (answer == predictions.truth[index], 1)
    return PosePoint(
        kind=kind,
        yaw_deg=float(angle),
        scans=len(answers),
        failed=sum(isinstance(answer, str) for answer in answers),
        accuracy=metrics.subject_interval(counts, _share, resamples=resamples, seed=seed),
    )


def _share(sums: NDArray[Any]) -> NDArray[np.float64]:
    share: NDArray[np.float64] = sums[..., 0] / sums[..., 1]
    return share
