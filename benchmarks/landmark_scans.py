"""Scans with their truth for `bm_landmarks.py`: simulated people by kind of difficulty, and a real head in other files.

What is worn, the angles of stereo views, depth steps and noise of the cameras are not those that the detector was
trained on (`fer3d.train.landmarks.simulate`). Every scan is in mm, in the frame of the camera.
"""

from typing import NamedTuple

import numpy as np

STEREO = (-0.25, 0.25)  # radians: the detector learns from views at 0.47
TURN = 45.0  # degrees of yaw and pitch, each way
HEAD_MM = 48.0  # the real head's unit is arbitrary: this makes 205 mm from chin to crown
KINDS = {
    "plain, two views": "bare face, two cameras 29 degrees apart",
    "one view": "bare face, one camera with depth steps of 0.4 mm",
    "worn": "one or two of curls, hood, goggles, headset, cup, chair; one camera",
    "noise and holes": "noise of 0.7 mm, three spikes in a thousand, 14 holes; one camera",
    "coarse mesh": "edges of 4 to 9 mm",
    "bust": "cranium, ears, neck, shoulders, hair; three views",
    "bust and room": "the same, and a wall, a chair or crumbs",
    "cut": "cut to a ball, by planes, a band or holes, as by hand",
}
HARD = {
    "very coarse": "edges of 12 to 28 mm",
    "very noisy": "noise of 2 to 7 mm",
    "features cut away": "a ball of 30 to 60 mm about the nose tip is missing",
    "past the profile": "turned by 80 to 125 degrees; one camera; with the head",
    "a quarter": "two planes near the nose tip leave one corner of the face",
    "hidden": "mask, goggles and hood; one camera",
}


class HeadTrial(NamedTuple):
    """A file made from the real head: what was done, the scan, and its truth.

    Attributes:
        name: What was done.
        scan: As read.
        tip: (3,) float64 in the unit of the scan.
        rotation: (3, 3) float64. From the scan to the upright frame.
        mm: Length of the scan's unit, if the head's unit is `HEAD_MM`.
    """

    name: str
    scan: object
    tip: np.ndarray
    rotation: np.ndarray
    mm: float


def turned(kind, generator):
    """Yaw, pitch and roll in degrees of a scan: within 45 degrees, any roll."""
    yaw, pitch = generator.uniform(-TURN, TURN, 2)
    if kind == "past the profile":
        yaw = generator.choice([-1, 1]) * generator.uniform(80, 125)
    return yaw, pitch, generator.uniform(-180, 180)


def face_scan(simulator, kind, angles, generator):
    """A `SimulatedScan` of a person of a kind; PrepareError if the camera sees too little.

    Args:
        simulator: `fer3d.train.landmarks.simulate.Simulator` of the face model; its looks are worn.
        kind: One of `KINDS` or `HARD`.
        angles: Yaw, pitch and roll in degrees.
        generator: Source of all random numbers.
    """
    from fer3d.synth.optics.camera import Camera
    from fer3d.train.landmarks.simulate import damaged

    shape = simulator._shape(generator)
    look = simulator.looks[int(generator.integers(len(simulator.looks)))]
    worn = _worn(kind, generator)
    between = generator.uniform
    camera = {
        "plain, two views": Camera(views=STEREO),
        "noise and holes": Camera(noise=0.7, spikes=3e-3, holes=14.0, hole_radius=(2.0, 8.0)),
        "worn": Camera(depth_step=0.1, field=400.0),
        "past the profile": Camera(field=400.0),
        "hidden": Camera(field=400.0),
        "cut": Camera(views=STEREO, field=320.0),
        "very noisy": Camera(pitch=2.0, noise=float(between(2.0, 7.0))),
    }.get(kind, Camera(depth_step=0.4))
    if kind.startswith("bust"):
        return _ranged(simulator.model, shape, look, worn, np.radians(angles), (-0.7, 0.0, 0.7), generator)
    scan = _captured(simulator.model, shape, look, worn, np.radians(angles), camera, generator)
    if kind in ("coarse mesh", "very coarse"):
        return _coarse(scan, float(between(4.0, 9.0) if kind == "coarse mesh" else between(12.0, 28.0)), generator)
    if kind == "cut":
        while (cut := damaged(scan, generator)) is scan:
            pass
        return cut
    if kind == "features cut away":
        radius = between(30.0, 60.0)
        return _kept(scan, lambda points: np.linalg.norm(points - scan.tip, axis=1) > radius)
    if kind == "a quarter":
        sign, at = generator.choice([-1.0, 1.0], 2), between(-10.0, 20.0, 2)
        return _kept(scan, lambda points: (((points - scan.tip) @ scan.rotation.T)[:, :2] * sign > at).all(axis=1))
    return scan


def _worn(kind, g):
    """Kinds of `fer3d.synth.surroundings` that a person has."""
    from fer3d.train.landmarks.simulate import HELD_OUT

    if kind == "worn":
        return tuple(g.choice(HELD_OUT, int(g.integers(1, 3)), replace=False))
    if kind.startswith("bust"):
        hair, room = g.choice(["short_hair", "curls", "long_hair", "hood"]), g.choice(["wall", "chair", "crumbs"])
        head = ("cranium", "neck", "shoulders", "ears", str(hair))
        return (*head, str(room)) if kind == "bust and room" else head
    return {"hidden": ("mask", "goggles", "hood"), "past the profile": ("cranium", "neck", "ears")}.get(kind, ())


def _truth(marks, measured):
    """(L, 3) points, (L,) whether the scan shows them, and the rotation to the frontal frame."""
    from fer3d.landmarks import POINT_NAMES
    from fer3d.prepare.landmarks.reference import frontal_rotation

    points = np.array([marks.get(name, np.full(3, np.nan)) for name in POINT_NAMES])
    return points, np.array([name in measured for name in POINT_NAMES]), frontal_rotation(points)


def _captured(model, shape, look, worn, angles, camera, generator):
    """Seen by the camera that knows skin, hair and gloss."""
    from fer3d.synth.capture import capture
    from fer3d.synth.optics.scene import pose
    from fer3d.synth.surroundings import surroundings
    from fer3d.train.landmarks.simulate import SimulatedScan

    dress = surroundings(model, shape, generator, kinds=worn, look=look)
    taken = capture(model, shape, pose(*angles), camera, generator, look, occluders=dress, texture=16)
    points, measured, rotation = _truth(taken.landmarks, taken.measured)
    return SimulatedScan(taken.scan.vertices, taken.scan.faces, points, measured, rotation, worn, angles[0])


def _ranged(model, shape, look, worn, angles, views, generator):
    """Seen by the camera that knows triangles only."""
    from fer3d.landmarks import POINT_NAMES
    from fer3d.synth.optics.range_scan import range_scan
    from fer3d.synth.optics.scene import pose, set_up
    from fer3d.synth.surroundings import surroundings
    from fer3d.train.landmarks.simulate import SimulatedScan

    dress = surroundings(model, shape, generator, kinds=worn, look=look)
    scene = set_up(model, shape, pose(*angles), look, dress)
    marks = {name: point for name, point in scene.landmarks().items() if name in POINT_NAMES}
    widest = float(np.linalg.norm(np.ptp(scene.points, axis=0)))
    seen = range_scan(
        scene.points,
        scene.triangles,
        np.array([[np.sin(yaw), 0.0, np.cos(yaw)] for yaw in views]),
        pitch=max(1.8, widest / 400.0),
        noise=0.2,
        generator=generator,
        marks=np.array(list(marks.values())),
    )
    shown = {name for name, sees in zip(marks, seen.measured, strict=True) if sees}
    points, measured, rotation = _truth(marks, shown)
    return SimulatedScan(
        seen.vertices.astype(np.float32), seen.faces, points, measured, rotation, worn, float(angles[0])
    )


def _coarse(scan, edge, generator):
    """The scan with longer edges."""
    from fer3d.synth.coarsened import coarsened

    vertices, faces = coarsened(scan.vertices, scan.faces, edge, generator)
    return scan._replace(vertices=vertices.astype(np.float32), faces=faces)


def _kept(scan, keeps):
    """The scan where `keeps`, which takes points (N, 3), says so."""
    from fer3d.errors import PrepareError

    faces = scan.faces[keeps(scan.vertices.astype(float))[scan.faces].all(axis=1)]
    if len(faces) < 50:
        raise PrepareError("nothing is left")
    used, flat = np.unique(faces, return_inverse=True)
    measured = scan.measured & keeps(np.nan_to_num(scan.points))
    faces = flat.reshape(-1, 3).astype(np.int32)
    return scan._replace(vertices=scan.vertices[used], faces=faces, measured=measured)


def real_head(path):
    """The real head in mm, and its nose tip: in renders from the front and the side, the vertex with the largest z."""
    from fer3d import formats

    scan = formats.read(path).moved(np.diag([HEAD_MM, HEAD_MM, HEAD_MM, 1.0]), "scaled")
    return scan, scan.vertices[scan.vertices[:, 2].argmax()].astype(np.float64)


def head_trials(path):
    """`HeadTrial` of each file made from the real head."""
    head, tip = real_head(path)
    below_brows = head.vertices[:, 1] < tip[1] + 15.0
    face = np.linalg.norm(head.vertices - tip, axis=1) < 95.0
    looks_along_x = _about("y", 90.0)
    for name, mm, rotation, keep in (
        ("as it is", 48.0, np.eye(3), None),
        ("20 mm a unit", 20.0, np.eye(3), None),
        ("60 mm a unit", 60.0, np.eye(3), None),
        ("metres", 1000.0, np.eye(3), None),
        ("looks along x, 30 mm a unit", 30.0, looks_along_x, None),
        ("z up, 40 mm a unit", 40.0, _about("x", 90.0), None),
        ("upside down, 25 mm a unit", 25.0, _about("z", 180.0), None),
        ("yaw 45, pitch -20, roll 70", 48.0, _about("y", 45.0) @ _about("x", -20.0) @ _about("z", 70.0), None),
        ("face alone, within 95 mm", 48.0, np.eye(3), face),
        ("face alone, looks along x, 35 mm a unit", 35.0, looks_along_x, face),
        ("eyes cut away", 48.0, np.eye(3), below_brows),
        ("face alone, eyes cut away, z up, 30 mm a unit", 30.0, _about("x", 90.0), face & below_brows),
    ):
        yield _filed(name, head, tip, mm, rotation, keep)


def _filed(name, head, tip, mm, rotation, keep):
    scan = head if keep is None else head.kept(keep, "cut")
    moved = scan.moved(_matrix(rotation / mm), "posed")
    fresh = type(scan).of(moved.vertices, moved.faces)
    return HeadTrial(name, fresh, rotation @ tip / mm, rotation.T, mm)


def _about(axis, degrees):
    from scipy.spatial.transform import Rotation

    return Rotation.from_euler(axis, degrees, degrees=True).as_matrix()


def _matrix(linear):
    out = np.eye(4)
    out[:3, :3] = linear
    return out
