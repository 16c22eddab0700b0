"""What `bm_landmarks.py` measures of one scan, in worker processes, kept on disk so that a stopped run goes on."""

import contextlib
import hashlib
import time
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

_simulators = {}  # of this process: face model -> Simulator
_peers = []  # of this process


class Job(NamedTuple):
    """A scan to measure.

    Attributes:
        group: "faces", "profile", "hard" or "things".
        model: Name of a file of a face model, or "" for the built-in one.
        kind: Kind of difficulty, degrees of yaw, or kind of thing.
        number: Number of the scan of its kind.
        seed: Seed of the benchmark.
        weights: File of weights of the detector, or "" for those of the package.
    """

    group: str
    model: str
    kind: str
    number: int
    seed: int
    weights: str = ""


def measured(jobs, workers, folder):
    """The rows of jobs, in their order; those that are in `folder` for the same weights are not measured again."""
    from fer3d.workers import worker_pool

    out = {job: _kept(folder, job) for job in jobs}
    due = [job for job, row in out.items() if row is None]
    with worker_pool(workers) if due else contextlib.nullcontext() as pool:
        for job, row in zip(due, pool.map(measure, due, chunksize=4) if due else (), strict=True):
            np.savez(_path(folder, job), **row)
            out[job] = row
    return [{"job": job, **row} for job, row in out.items() if row]


def measure(job):
    """Name -> array: what came of a scan; empty if the camera sees nothing of it."""
    import torch

    from fer3d.errors import PrepareError

    torch.set_num_threads(1)
    _warm(job.weights)
    # The number of a kind's name, so that kinds have people of their own.
    name = int.from_bytes(hashlib.sha256(f"{job.group} {job.kind} {Path(job.model).name}".encode()).digest()[:4], "big")
    generator = np.random.default_rng([job.seed, name, job.number])
    try:
        scan, angles = _scan(job, generator)
    except PrepareError:
        return {}
    network = detector(job.weights)
    row = found_row(scan, placed(generator), "any ", network)
    if job.group in ("faces", "profile"):
        row |= truth_row(scan) | found_row(scan, (np.eye(3), 1.0), "", network) | peer_rows(scan)
    elif job.group == "hard":
        row |= {"known": scan.measured}
    return {**row, "angles": np.array(angles), "vertices": np.array(len(scan.vertices))}


@cache
def _warm(weights):
    """First calls compile and read weights; they are not measured."""
    from fer3d.face.load import mean_face
    from fer3d.prepare.landmarks.found import find_landmarks
    from fer3d.prepare.nose import find_nose_tip

    find_landmarks(mean_face(), detector=detector(weights), refuse=False)
    find_nose_tip(mean_face())


@cache
def detector(name):
    """The detector of a file of weights, or that of the package."""
    from fer3d.prepare.landmarks.weights import load, shipped

    return load(name) if name else shipped()


def _scan(job, generator):
    """A `SimulatedScan` and its yaw, pitch and roll in degrees."""
    from landmark_scans import face_scan, turned

    from fer3d.train.landmarks.simulate import of_thing

    if job.group == "things":
        return next(of_thing(job.kind, generator)), (0.0, 0.0, 0.0)
    angles, kind = turned(job.kind, generator), job.kind
    if job.group == "profile":
        angles, kind = (float(job.kind) * generator.choice([-1.0, 1.0]), *angles[1:]), "one view"
        angles = (angles[0], angles[1] / 3, angles[2])
    return face_scan(simulator(job.model, job.seed), kind, angles, generator), angles


def simulator(name, seed):
    """The simulator of a face model."""
    from fer3d.train.landmarks.simulate import Simulator
    from fer3d.train.landmarks.store import face_model

    if name not in _simulators:
        _simulators[name] = Simulator(face_model(name or None), seed, held_out=True)
    return _simulators[name]


def placed(generator):
    """Any rotation, and m, cm, mm or any unit."""
    from fer3d.train.landmarks.calibrate import Placing

    placing = Placing.draw(generator)
    return placing.rotation, placing.unit


def found_row(scan, placing, prefix, network):
    """What a detector makes of a scan in a file: rotation (3, 3) and length of a mm in the file's unit.

    Names after the prefix: `found` (it does not refuse), `probability` (0 if nothing can be placed), `ms` of CPU,
    `nose` mm, `turn` degrees, `scale` (found unit over the true one), `off` (68, 3) mm in the true frontal frame, NaN
    for points that are not placed, `confidence` (68,).
    """
    from fer3d.errors import PrepareError
    from fer3d.prepare.landmarks.found import find_landmarks
    from fer3d.scan import Scan

    rotation, unit = placing
    vertices = (unit * scan.vertices.astype(float) @ rotation.T).astype(np.float32)
    filed = Scan.of(vertices, scan.faces)
    start = time.process_time()
    try:
        found = find_landmarks(filed, detector=network, refuse=False)
    except PrepareError:
        found = None
    ms = 1e3 * (time.process_time() - start)
    row = {"found": False, "probability": 0.0, "ms": ms, "nose": np.inf, "turn": np.inf, "scale": np.nan}
    row |= {"off": np.full((68, 3), np.nan), "confidence": np.full(68, np.nan), "warned": True}
    if found is not None:
        limits = network.calibration
        row |= {"found": found.probability >= limits.fail, "probability": found.probability}
        row |= {"warned": found.probability < max(limits.warn, limits.fail), "confidence": found.confidence[ibug()]}
    if found is not None and scan.is_face:
        turn = found.pose[:3, :3] / np.cbrt(np.linalg.det(found.pose[:3, :3])) @ rotation
        nose = np.linalg.solve(found.pose[:3, :3], -found.pose[:3, 3]) @ rotation / unit
        row |= {"nose": np.linalg.norm(nose - scan.tip), "turn": degrees(turn @ scan.rotation.T)}
        row |= {"scale": found.mm_per_unit * unit, "off": off(scan, found.positions[ibug()] @ rotation / unit)}
    return {f"{prefix}{name}": np.asarray(value) for name, value in row.items()}


def truth_row(scan):
    """What is true of a face.

    Names: `known` (68,) whether the scan shows each point, `tip` whether the nose tip, `eyes` mm between the outer
    corners, `true scale` size of the mean face over this one, by a fit to the true points with the detector's weights.
    """
    from fer3d.prepare.landmarks.reference import PRIOR, TIP, mean_points, similarity

    rows, good = ibug(), np.isfinite(scan.points).all(axis=1)
    apart = np.linalg.norm(scan.points[rows[36]] - scan.points[rows[45]])
    _, scale, _ = similarity(scan.points[good], mean_points()[good], PRIOR[good])
    row = {"known": scan.measured[rows], "tip": scan.measured[TIP], "eyes": apart, "true scale": scale}
    return {name: np.asarray(value) for name, value in row.items()}


def peer_rows(scan):
    """`off` (68, 3), `found` and `ms` of each peer, from the front and along z as filed; and the nose search."""
    from landmark_peers import PIXEL, Peers, as_filed, from_front, lifted, projected, square_of

    if not _peers:
        _peers.append(Peers())
    row = {}
    front, filed = from_front(scan), as_filed(scan)
    truth = projected(front, scan.rotation, scan.tip, PIXEL, scan.points[ibug()])
    for name in _peers[0].names:
        for way, render in (("front", front), ("filed", filed)):
            square = square_of(truth) if way == "front" and name == "dlib" else None
            start = time.process_time()
            spots = _peers[0].see(name, render, square)
            ms = 1e3 * (time.process_time() - start)
            at = np.full((68, 3), np.nan) if spots is None else lifted(render, scan.faces, scan.vertices, spots)
            row |= {f"{name} {way} off": off(scan, at), f"{name} {way} ms": np.asarray(ms)}
            row[f"{name} {way} found"] = np.asarray(spots is not None)
    return row | search_row(scan)


def search_row(scan):
    """The search for the nose by shape, `fer3d.prepare.nose`: on the clean scan in the camera's frame, in mm."""
    from fer3d.errors import PrepareError
    from fer3d.prepare.clean import clean
    from fer3d.prepare.nose import find_nose_tip
    from fer3d.prepare.outward import outward
    from fer3d.scan import Scan

    row = {"search nose": np.inf, "search turn": np.inf}
    start = time.process_time()
    try:
        ready = outward(clean(Scan.of(scan.vertices, scan.faces)))
        start = time.process_time()
        fit = find_nose_tip(ready)
        row = {"search nose": np.linalg.norm(fit.nose - scan.tip)}
        row |= {"search turn": degrees(fit.rotation @ scan.rotation.T)}
    except PrepareError:
        pass
    row |= {"search ms": 1e3 * (time.process_time() - start)}
    return {name: np.asarray(value) for name, value in row.items()}


def off(scan, points):
    """(68, 3) from the true points to these, mm, in the true frontal frame."""
    return (points - scan.points[ibug()]) @ scan.rotation.T


def degrees(rotation):
    """Angle of a rotation."""
    return float(np.degrees(np.arccos(np.clip((np.trace(rotation) - 1) / 2, -1, 1))))


def ibug():
    """(68,) rows of the points of iBUG 68 in `POINT_NAMES`."""
    from fer3d.landmarks import POINT_NAMES, SCHEMES

    return np.array([POINT_NAMES.index(name) for name in SCHEMES["ibug68"]])


def weights_mark(name=""):
    """First letters of the hash of a file of weights, without which a row must not be used again."""
    from fer3d.prepare.landmarks.weights import SHIPPED_PATH

    return hashlib.sha256(Path(name or SHIPPED_PATH).read_bytes()).hexdigest()[:10]


def _path(folder, job):
    model = Path(job.model).stem or "built-in"
    return folder / f"{weights_mark(job.weights)}-{job.seed}-{job.group}-{model}-{job.kind}-{job.number}.npz".replace(
        " ", "_"
    )


def _kept(folder, job):
    path = _path(folder, job)
    if not path.exists():
        return None
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)
