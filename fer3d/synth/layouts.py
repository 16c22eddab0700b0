"""Write simulated scans in the layouts of real data sets, file for file, so that real data can replace them.

| layout | scans of a subject | files of a scan |
| --- | --- | --- |
| bu3dfe | neutral, and six expressions at each intensity level | _F3D.wrl .bmp .bnd, _RAW.wrl .pse |
| bu4dfe | six sequences from neutral to full expression and back | .wrl .jpg, and .bnd in BU4DFE_BND_V1.1 |
| bosphorus | 52: neutral, six expressions, action units, turned heads, occlusions | .bnt .png .lm2 .lm3 |
| frgc | neutral and six expressions at full intensity | .abs.gz .ppm, .lm3 (not in FRGC), one labels.csv for all |

Landmarks in these files are the vertices of the scan nearest to the true points, as annotators pick them; the exact
positions are in `truth.parquet`. A Bosphorus or FRGC scan is a range image: its grid is upright.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from fer3d.errors import PrepareError
from fer3d.face.model import FaceModel
from fer3d.formats import bnt, frgc, landmark_files, textures, vrml
from fer3d.kernels import topology
from fer3d.landmarks import BOSPHORUS, SCHEMES, bu83_names
from fer3d.scan import EXPRESSIONS, Scan
from fer3d.synth.acting.expression import LEVELS, recipe
from fer3d.synth.acting.habits import Habits
from fer3d.synth.capture import Capture, capture, nearest_vertices, with_truth
from fer3d.synth.optics import photograph, sensor
from fer3d.synth.optics.camera import STEREO, Camera
from fer3d.synth.optics.light import Light
from fer3d.synth.optics.scene import Look, Occluder, Window, pose, set_up

BU83_NAMES = SCHEMES["bu83"]
_FACE_AREA, _RAW_AREA = 30_000.0, 48_000.0  # mm^2 in the image plane that a cropped face covers, and a raw scan
_RADIUS, _MARGIN = 95.0, 12.0  # mm: a vertex _MARGIN from a landmark counts as _RADIUS from the nose tip in a crop
_PHOTO_SCALE = 2  # pixels of a photograph per grid point, in each direction

_BU3DFE_CODES = dict(zip(EXPRESSIONS, ("NE", "AN", "DI", "FE", "HA", "SA", "SU"), strict=True))
_ETHNICITY = "WH"  # file names hold an ethnicity, which must not change within a subject; simulated people have none
_BU4DFE_NAMES = dict(zip(EXPRESSIONS[1:], ("Angry", "Disgust", "Fear", "Happy", "Sad", "Surprise"), strict=True))
_BOSPHORUS_NAMES = dict(
    zip(EXPRESSIONS, ("N", "ANGER", "DISGUST", "FEAR", "HAPPY", "SADNESS", "SURPRISE"), strict=True)
)
# Codes of single and combined action units of Bosphorus -> recipe. L and R: one side only; LW: low intensity. AU44, the
# squint of older editions of FACS, corresponds to AU6 and AU7 of today. The codes are from memory, the weights are our
# choice.
_LOWER_UNITS: dict[str, dict[str, float]] = {
    **{str(unit): {f"AU{unit}": 0.95} for unit in (9, 10, 14, 15, 16, 17, 18, 20, 22, 23, 24, 25, 26, 27, 28, 34)},
    "12": {"AU12": 0.95},
    "12L": {"AU12_L": 0.95},
    "12R": {"AU12_R": 0.95},
    "12LW": {"AU12": 0.45},
}
_UPPER_UNITS: dict[str, dict[str, float]] = {
    **{str(unit): {f"AU{unit}": 0.95} for unit in (1, 2, 4, 43)},
    "44": {"AU7": 0.95, "AU6": 0.4, "AU4": 0.3},
}
_COMBINED_UNITS: dict[str, dict[str, float]] = {
    "A22A25": {"AU22": 0.95, "AU25": 0.6},
    "A26A12lw": {"AU26": 0.95, "AU12": 0.45},
    "A12A15": {"AU12": 0.7, "AU15": 0.6},
}
# Yaw and pitch in degrees; for PR and CR they are our choice, because the data set does not publish them.
_BOSPHORUS_POSES = {
    "YR_R10": (-10, 0),
    "YR_R20": (-20, 0),
    "YR_R30": (-30, 0),
    "YR_R45": (-45, 0),
    "YR_R90": (-90, 0),
    "YR_L45": (45, 0),
    "YR_L90": (90, 0),
    "PR_U": (0, -25),
    "PR_SU": (0, -12),
    "PR_SD": (0, 12),
    "PR_D": (0, 25),
    "CR_RU": (-20, -20),
    "CR_RD": (-20, 20),
}
_BOSPHORUS_OCCLUSIONS = ("EYE", "MOUTH", "GLASSES", "HAIR")


@dataclass(frozen=True, slots=True)
class Job:
    """One scan to simulate.

    Attributes:
        subject: Number from 0.
        name: The subject's name in the layout.
        file: Path of the scan file relative to the root, with /.
        expression: Canonical label, or None where the data set has none.
        level: Intensity level 1 to 4; 0 where there is none.
        strength: Share of the full recipe that is shown.
        variant: Distinguishes scans of a subject that agree in all other attributes; random numbers depend on it.
        frame: Number of the frame in a sequence, else None. Position, pose, strength and time course are drawn once per
            sequence.
        recipe: Action unit -> weight; None: the recipe of `expression`.
        turn: Yaw and pitch that the subject is asked for, degrees.
        occluder: Code of an occluder, see `fer3d.synth.looks.occluders`, or None.
    """

    subject: int
    name: str
    file: str
    expression: str | None
    level: int = 0
    strength: float = 0.0
    variant: int = 0
    frame: int | None = None
    recipe: Mapping[str, float] | None = field(default=None, hash=False)
    turn: tuple[float, float] = (0.0, 0.0)
    occluder: str | None = None


class Shot(NamedTuple):
    """The input of a writer: a face before a camera, and the job that it belongs to."""

    job: Job
    model: FaceModel
    shape: NDArray[np.float64]
    placement: NDArray[np.float64]
    look: Look
    light: Light
    camera: Camera
    texture: int
    generator: np.random.Generator
    occluders: tuple[Occluder, ...] = ()


class Layout(NamedTuple):
    """The layout of a data set.

    Attributes:
        jobs: (subject, sex, levels, frames) -> the scans of the subject.
        write: (root, shot) -> the capture in the frame of the scan file. It writes all files of the scan.
        camera: Settings that resemble the scanner of the data set.
        origin: Position of the face in the camera's frame, mm.
    """

    jobs: Callable[[int, str, tuple[int, ...], int], Iterator[Job]]
    write: Callable[[Path, Shot], Capture]
    camera: Camera
    origin: tuple[float, float, float]


def subject_name(subject: int, sex: str, digits: int) -> str:
    """F0001, M0001, F0002 ...: subjects are numbered in pairs of a woman and a man."""
    return f"{sex}{subject // 2 + 1:0{digits}d}"


def _bu3dfe_jobs(subject: int, sex: str, levels: tuple[int, ...], frames: int) -> Iterator[Job]:
    name = subject_name(subject, sex, 4)
    for expression in EXPRESSIONS:
        for level in (0,) if expression == "neutral" else levels:
            file = f"{name}/{name}_{_BU3DFE_CODES[expression]}{level:02d}{_ETHNICITY}_F3D.wrl"
            yield Job(subject, name, file, expression, level, LEVELS.get(level, 0.0))


def _bu4dfe_jobs(subject: int, sex: str, levels: tuple[int, ...], frames: int) -> Iterator[Job]:
    name = subject_name(subject, sex, 3)
    for expression in EXPRESSIONS[1:]:
        for frame in range(frames):
            file = f"{name}/{_BU4DFE_NAMES[expression]}/{frame:03d}.wrl"
            yield Job(subject, name, file, expression, strength=1.0, frame=frame)


def _bosphorus_jobs(subject: int, sex: str, levels: tuple[int, ...], frames: int) -> Iterator[Job]:
    name = f"bs{subject:03d}"

    def job(stem: str, expression: str | None = None, **more: object) -> Job:
        return Job(subject, name, f"{name}/{name}_{stem}_0.bnt", expression, **more)  # type: ignore[arg-type]

    yield job("N_N", "neutral")
    for expression in EXPRESSIONS[1:]:
        yield job(f"E_{_BOSPHORUS_NAMES[expression]}", expression, strength=1.0)
    for first, kind, codes in ((1, "LFAU", _LOWER_UNITS), (50, "UFAU", _UPPER_UNITS), (70, "CAU", _COMBINED_UNITS)):
        for number, (code, units) in enumerate(codes.items(), first):
            yield job(f"{kind}_{code}", strength=1.0, variant=number, recipe=units)
    for number, (code, turn) in enumerate(_BOSPHORUS_POSES.items(), 100):
        yield job(code, variant=number, turn=(float(turn[0]), float(turn[1])), recipe={})
    for number, code in enumerate(_BOSPHORUS_OCCLUSIONS, 150):
        yield job(f"O_{code}", variant=number, occluder=code, recipe={})


def _frgc_jobs(subject: int, sex: str, levels: tuple[int, ...], frames: int) -> Iterator[Job]:
    name = f"{4200 + subject:05d}"
    for number, expression in enumerate(EXPRESSIONS):
        strength = 0.0 if expression == "neutral" else 1.0
        yield Job(subject, name, f"Fall2003range/{name}d{201 + 2 * number}.abs.gz", expression, strength=strength)


def _write_bu3dfe(root: Path, shot: Shot) -> Capture:
    path = root / shot.job.file
    whole = _captured(shot)
    face = _cropped(whole, _FACE_AREA, shot)
    vrml.write(face.scan, path, texture_name=f"{path.stem}.bmp")
    landmark_files.write_bnd(_bnd(face), path.with_suffix(".bnd"))
    # The raw scan: a larger part of the surface, in a frame of its own.
    yaw, pitch, roll, x, y, z = shot.generator.uniform([-0.15] * 3 + [-30.0] * 3, [0.15] * 3 + [30.0] * 3)
    moved = pose(yaw, pitch, roll, (x, y, z))
    whole = _cropped(whole, _RAW_AREA, shot)
    raw = replace(whole.scan.moved(moved, "raw_frame"), texture=None)
    raw_path = path.with_name(path.name.replace("_F3D.", "_RAW."))
    vrml.write(raw, raw_path, texture_name=f"{path.stem}.bmp")
    names = [*bu83_names(np.array(landmark_files.PSE_NUMBERS[:-1])), "subnasale"]
    near, _ = nearest_vertices(whole.scan, {name: whole.landmarks[name] for name in names}, np.inf)
    points = raw.vertices[[near[name] for name in names]].astype(np.float64)
    normal = moved[:3, :3] @ whole.pose[:3, 2]
    landmark_files.write_pse(landmark_files.Pse(points, normal), raw_path.with_suffix(".pse"))
    return face


def _write_bu4dfe(root: Path, shot: Shot) -> Capture:
    path = root / shot.job.file
    face = _cropped(_captured(shot), _FACE_AREA, shot)
    vrml.write(face.scan, path, texture_name=f"{path.stem}.jpg")
    landmarks = root / "BU4DFE_BND_V1.1" / Path(shot.job.file).with_suffix(".bnd")
    landmarks.parent.mkdir(parents=True, exist_ok=True)
    landmark_files.write_bnd(_bnd(face), landmarks)
    return face


def _write_bosphorus(root: Path, shot: Shot) -> Capture:
    path = root / shot.job.file
    image = _range_image(shot, 100.0)
    planes = np.full((5, *image.valid.shape), -1e9)
    planes[:3, image.valid] = image.points[image.valid].T
    rows, columns = image.valid.shape
    planes[3], planes[4] = (np.arange(columns) + 0.5) / columns, ((np.arange(rows) + 0.5) / rows)[:, None]
    bnt.write_grid(bnt.Grid(np.ascontiguousarray(planes[:, ::-1]), f"{path.stem}.png"), path)  # row 0 at the bottom
    textures.write(image.photo, path.with_suffix(".png"))
    points, pixels = _bosphorus_points(image)
    landmark_files.write_lm3(points, path.with_suffix(".lm3"))
    landmark_files.write_lm2(pixels, path.with_suffix(".lm2"))
    return image.capture


def _write_frgc(root: Path, shot: Shot) -> Capture:
    path = root / shot.job.file
    image = _range_image(shot, 110.0)
    frgc.write_grid(frgc.Grid(image.valid, np.where(image.valid[..., None], image.points, frgc.BACKGROUND)), path)
    stem = path.with_suffix("").with_suffix("")
    textures.write(image.photo, stem.with_suffix(".ppm"))
    landmark_files.write_lm3(_bosphorus_points(image)[0], stem.with_suffix(".lm3"))
    return image.capture


def _stereo(pitch: float) -> Camera:
    """A stereo camera. Its surfaces bridge 40 mm, as stereo matching does: an open mouth is a pit, not a hole."""
    return Camera(pitch=pitch, views=STEREO, field=220.0, longest_edge=40.0 / pitch)


LAYOUTS = {
    "bu3dfe": Layout(_bu3dfe_jobs, _write_bu3dfe, _stereo(1.9), (0.0, 0.0, 60.0)),
    "bu4dfe": Layout(_bu4dfe_jobs, _write_bu4dfe, _stereo(0.93), (0.0, 0.0, 60.0)),
    "bosphorus": Layout(_bosphorus_jobs, _write_bosphorus, Camera(pitch=0.76), (10.0, 5.0, -20.0)),
    # The frame of FRGC is the camera's; at 1.55 m the noise is 2.4 times `noise`.
    "frgc": Layout(_frgc_jobs, _write_frgc, Camera(pitch=0.8, eye=0.0, noise=0.05), (30.0, -20.0, -1550.0)),
}


def _captured(shot: Shot) -> Capture:
    return capture(
        shot.model,
        shot.shape,
        shot.placement,
        shot.camera,
        shot.generator,
        shot.look,
        light=shot.light,
        occluders=shot.occluders,
        texture=shot.texture,
    )


def _cropped(capture: Capture, area: float, shot: Shot) -> Capture:
    """Crop a scan to the face, in one connected piece, as annotators do by hand.

    The crop takes the vertices with the least distance from the true nose tip. Near a landmark of BU, such as the chin
    of an open jaw, the distance from the landmark plus `_RADIUS - _MARGIN` mm counts if it is smaller. The number of
    vertices is drawn independently of the face, since otherwise it would reveal how far the jaw is open. `area` is its
    mean, in mm^2 of the image plane.
    """
    scan = capture.scan
    marks = np.array([capture.landmarks[name] for name in BU83_NAMES if name in capture.landmarks])
    away = np.linalg.norm(scan.vertices - capture.landmarks["pronasale"], axis=1)
    far = np.flatnonzero(away > _RADIUS - _MARGIN)
    away[far] = np.minimum(away[far], _RADIUS - _MARGIN + cKDTree(marks).query(scan.vertices[far])[0])
    order = np.sort(away)
    wanted = int(area / shot.camera.pitch**2 * np.exp(0.1 * shot.generator.normal()))
    count = wanted
    for _ in range(4):  # smaller components are dropped, so a few more vertices are needed
        count = min(count, len(order))
        used = _largest_piece(scan.faces, away <= order[count - 1])
        missing = wanted - int(used.sum())
        if missing == 0 or (missing > 0 and count == len(order)):
            break
        count += missing
    if not used.any():
        raise PrepareError("nothing was measured about the nose tip: turn the head less")
    scan = replace(scan.kept(used, "crop"), file_vertex=None, landmarks={})
    near, measured = nearest_vertices(scan, capture.landmarks, shot.camera.reach)
    scan_landmarks = {name: scan.vertices[near[name]].astype(np.float64) for name in measured}
    return replace(capture, scan=replace(scan, landmarks=scan_landmarks), measured=measured)


def _largest_piece(faces: NDArray[np.int32], keep: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(V,) bool: vertices of the largest component of the triangles whose three corners are in `keep`."""
    faces = faces[keep[faces].all(axis=1)]
    label, _, _ = topology.components(faces, topology.face_neighbours(faces, len(keep)))
    used = np.zeros(len(keep), np.bool_)
    if len(label):
        used[faces[label == np.bincount(label).argmax()]] = True
    return used


def _bnd(capture: Capture) -> landmark_files.Bnd:
    """All 83 landmarks, each at the nearest vertex, also if hidden: the format cannot omit a landmark."""
    wanted = {name: capture.landmarks[name] for name in BU83_NAMES}
    near, _ = nearest_vertices(capture.scan, wanted, np.inf)
    rows = np.array([near[name] for name in BU83_NAMES], np.int32)
    return landmark_files.Bnd(rows, capture.scan.vertices[rows].astype(np.float64))


class _RangeImage(NamedTuple):
    """A range image for the grid formats, with row 0 at the top, and a photograph of the same rectangle."""

    points: NDArray[np.float64]  # (H, W, 3)
    valid: NDArray[np.bool_]  # (H, W)
    photo: NDArray[np.uint8]  # (2 H, 2 W, 3)
    capture: Capture


def _range_image(shot: Shot, radius: float) -> _RangeImage:
    camera = replace(shot.camera, turned=False, jitter=0.0, views=(0.0,))
    scene = set_up(shot.model, shot.shape, shot.placement, shot.look, shot.occluders)
    seen = sensor.sample(scene, camera, shot.generator)
    tip = scene.landmarks()["pronasale"]
    with np.errstate(invalid="ignore"):
        valid = seen.valid & (((seen.exact - tip) ** 2).sum(axis=-1) < radius**2)
    if not valid.any():
        raise PrepareError(f"nothing was measured within {radius:g} mm of the nose tip: turn the head less")
    rows, columns = np.flatnonzero(valid.any(axis=1)), np.flatnonzero(valid.any(axis=0))
    window = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    valid, points = valid[window], seen.points[window]
    pixel = camera.pitch / _PHOTO_SCALE
    first = seen.corner + np.array([columns[0], -rows[0]]) * camera.pitch
    left, top = first + np.array([-0.5, 0.5]) * (camera.pitch - pixel)  # the photograph covers complete grid cells
    frame = Window(float(left), float(top), pixel, _PHOTO_SCALE * valid.shape[0], _PHOTO_SCALE * valid.shape[1])
    photo = photograph.developed(photograph.radiance(scene, shot.light, frame), photograph.Lens(), shot.generator)
    points_only = Scan.of(points[valid], np.empty((0, 3)))  # without faces; used to look up landmarks
    return _RangeImage(points, valid, photo, with_truth(points_only, scene, camera))


def _bosphorus_points(image: _RangeImage) -> tuple[dict[str, NDArray[np.float64]], dict[str, NDArray[np.float64]]]:
    """Name in Bosphorus -> point of the grid, and name -> pixel of the photograph, of the measured landmarks."""
    present = [theirs for theirs, ours in BOSPHORUS.items() if ours in image.capture.measured]
    wanted = {theirs: image.capture.landmarks[BOSPHORUS[theirs]] for theirs in present}
    if not wanted:
        return {}, {}
    scan = image.capture.scan
    near, _ = nearest_vertices(scan, wanted, np.inf)
    place = np.flatnonzero(image.valid)
    points = {name: image.points[image.valid][near[name]] for name in present}
    pixels = {}
    for name in present:
        row, column = divmod(int(place[near[name]]), image.valid.shape[1])
        pixels[name] = (np.array([column, row], dtype=np.float64) + 0.5) * _PHOTO_SCALE
    return points, pixels


def recipe_of(job: Job, habits: Habits | None = None) -> Mapping[str, float]:
    """Action unit -> weight at full strength of the expression or units that a job asks for."""
    return recipe(job.expression or "neutral", habits) if job.recipe is None else job.recipe
