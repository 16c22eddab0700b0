"""Pictures with their truth for the two networks, taken from a simulated scan."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from fer3d.kernels.normals import vertex_normals
from fer3d.kernels.topology import weld
from fer3d.prepare.landmarks.networks import FINDER_SIZE, FINDER_STRIDE, PLACER_SIZE
from fer3d.prepare.landmarks.pictures import DEPTH, PIXEL, frontal_picture, sampled, side_picture
from fer3d.prepare.landmarks.posing import turn_between
from fer3d.prepare.landmarks.sighting import depth_of_cells
from fer3d.train.landmarks.simulate import SimulatedScan

_Floats = NDArray[np.float64]

DEPTH_STEPS = 8000.0  # of depth 1 in stored pictures
EMPTY = np.int16(-32768)  # stored depth where there is no surface
_SEEN, _UNSEEN = np.cos(np.radians(65.0)), np.cos(np.radians(82.0))  # a face turned less is to be found; more, not
_WRONG_TURN, _WRONG_SHIFT, _WRONG_SCALE = np.radians(50.0), 45.0, 1.45  # from here a frontal picture is wrong
FACE, DOUBT, NOTHING = 1, -1, 0  # what a picture shows; a doubt is not learned


class Views(NamedTuple):
    """B pictures for `FaceFinder`, and where the face is.

    Attributes:
        normals: (B, 3, S, S) int8; depth: (B, S, S) int16: pictures as stored, see `stored`.
        shows: (B,) int8. FACE, DOUBT or NOTHING.
        cell: (B, 2) float32. Column and row of the nose tip, in cells from the left upper corner.
        depth_left: (B,) float32. Depth of the nose tip less that of the surface in its cell.
        size: (B,) float32. As `Sighting.size`.
        axes: (B, 6) float32. Directions of the crown and of the face.
    """

    normals: NDArray[np.int8]
    depth: NDArray[np.int16]
    shows: NDArray[np.int8]
    cell: NDArray[np.float32]
    depth_left: NDArray[np.float32]
    size: NDArray[np.float32]
    axes: NDArray[np.float32]


class Fronts(NamedTuple):
    """B pictures for `PointPlacer`, and where the points are.

    Attributes:
        normals, depth: As in `Views`.
        shows: (B,) int8.
        spots: (B, L, 3) float32. Column and row of each point in pixels, and its depth as in a picture; NaN if it has
            none.
        measured: (B, L) bool.
    """

    normals: NDArray[np.int8]
    depth: NDArray[np.int16]
    shows: NDArray[np.int8]
    spots: NDArray[np.float32]
    measured: NDArray[np.bool_]


def stored(picture: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.int16]]:
    """Normals and depth of a picture in few bytes."""
    normals = np.rint(picture[:3] * 127).astype(np.int8)
    depth = np.clip(np.rint(picture[3] * DEPTH_STEPS), -32767, 32767).astype(np.int16)
    return normals, np.where(picture[4] > 0, depth, EMPTY)


def views_of(scan: SimulatedScan, generator: np.random.Generator, count: int) -> Views:
    """Look at a scan from random sides: every third from anywhere, the others at the face."""
    rows = [_view(scan, generator, anywhere=k % 3 == 2) for k in range(count)]
    return Views(*(np.stack(column) for column in zip(*rows, strict=True)))


def _view(scan: SimulatedScan, generator: np.random.Generator, *, anywhere: bool) -> tuple[Any, ...]:
    if anywhere:
        turn = Rotation.random(random_state=generator).as_matrix()
    else:
        turn = _rolled(generator) @ _tilted(generator, np.radians(65.0)) @ scan.rotation
    vertices = (scan.vertices.astype(np.float64) @ turn.T).astype(np.float32)
    samples = sampled(vertices, scan.faces)
    picture = side_picture(samples, np.eye(3))
    axes = scan.rotation @ turn.T  # rows: axes of the face in the frame of the view
    if not scan.is_face:
        return (*stored(picture), np.int8(NOTHING), np.zeros(2, np.float32), np.float32(0), np.float32(0),
                axes[1:].ravel().astype(np.float32))  # fmt: skip
    tip = (turn @ scan.tip - samples.centre) / samples.half
    cells = FINDER_SIZE / FINDER_STRIDE / 2
    cell = np.array([(tip[0] + 1) * cells, (1 - tip[1]) * cells])
    inside = bool((cell >= 0).all() and (cell < 2 * cells).all())
    facing = axes[2, 2]
    shows = FACE if facing > _SEEN and inside else NOTHING if facing < _UNSEEN else DOUBT
    column, row = np.clip(cell.astype(int), 0, int(2 * cells) - 1)
    left = tip[2] - depth_of_cells(picture)[row, column]
    return (
        *stored(picture),
        np.int8(shows),
        cell.astype(np.float32),
        np.float32(left),
        np.float32(np.log(100.0 / samples.half)),
        axes[1:].ravel().astype(np.float32),
    )


def fronts_of(scan: SimulatedScan, generator: np.random.Generator, count: int) -> Fronts:
    """See a face from the front, from poses more or less wrong; every fourth is quite wrong."""
    normals = vertex_normals(scan.vertices, scan.faces, weld(scan.vertices))
    rows = [_front(scan, normals, generator, wrong=k % 4 == 3) for k in range(count)]
    return Fronts(*(np.stack(column) for column in zip(*rows, strict=True)))


def _front(
    scan: SimulatedScan, normals: NDArray[np.floating], generator: np.random.Generator, *, wrong: bool
) -> tuple[Any, ...]:
    turn, shift, scale = _wrong(generator) if wrong else _nearly(generator)
    if not scan.is_face:
        return _front_of_thing(scan, normals, generator)
    rotation = scale * turn @ scan.rotation
    pose = np.column_stack([rotation, -rotation @ scan.tip + shift])
    shown = frontal_picture(scan.vertices, scan.faces, normals, pose)
    placed = scan.points @ pose[:, :3].T + pose[:, 3]
    half = 0.5 * PLACER_SIZE - 0.5
    spots = np.stack([half + placed[:, 0] / PIXEL, half - placed[:, 1] / PIXEL, placed[:, 2] / DEPTH], axis=1)
    return (*stored(shown.picture), np.int8(_kind(turn, shift, scale)), spots.astype(np.float32), scan.measured.copy())


def _front_of_thing(
    scan: SimulatedScan, normals: NDArray[np.floating], generator: np.random.Generator
) -> tuple[Any, ...]:
    """A thing that is no face, at a place and a scale at which a face might be."""
    turn = Rotation.random(random_state=generator).as_matrix()
    extent = float(np.ptp(scan.vertices, axis=0).max())
    scale = float(np.exp(generator.uniform(np.log(100.0), np.log(450.0)))) / extent
    middle = scan.vertices[int(generator.integers(len(scan.vertices)))].astype(np.float64)
    pose = np.column_stack([scale * turn, -scale * turn @ middle + generator.normal(0, 20.0, 3)])
    shown = frontal_picture(scan.vertices, scan.faces, normals, pose)
    spots = np.full((len(scan.points), 3), np.nan, np.float32)
    return (*stored(shown.picture), np.int8(NOTHING), spots, scan.measured.copy())


def _kind(turn: _Floats, shift: _Floats, scale: float) -> int:
    """What a frontal picture shows whose pose is off by this."""
    angle = turn_between(turn, np.eye(3))
    off = max(
        angle / _WRONG_TURN, float(np.linalg.norm(shift)) / _WRONG_SHIFT, abs(np.log(scale)) / np.log(_WRONG_SCALE)
    )
    return FACE if off < 0.75 else NOTHING if off > 1.0 else DOUBT


def _nearly(generator: np.random.Generator) -> tuple[_Floats, _Floats, float]:
    """A turn, a shift in mm and a scale that a rough pose may be off by; small ones are frequent."""
    size = generator.random() ** 1.5
    turn = Rotation.from_rotvec(np.radians(24.0) * size * generator.normal(size=3) / np.sqrt(3.0) * 1.4).as_matrix()
    return turn, 18.0 * size * generator.normal(size=3) / 1.7, float(np.exp(0.12 * size * generator.normal()))


def _wrong(generator: np.random.Generator) -> tuple[_Floats, _Floats, float]:
    """A pose that is quite wrong in one way, and a little in the others."""
    turn, shift, scale = _nearly(generator)
    way = int(generator.integers(4))
    if way == 0:  # upside down, or lying
        turn = turn @ Rotation.from_rotvec([0, 0, generator.uniform(0.9, 2 * np.pi - 0.9)]).as_matrix()
    elif way == 1:  # from the side or from below
        turn = turn @ Rotation.random(random_state=generator).as_matrix()
    elif way == 2:  # another place: an ear, the chin, the forehead
        way_off = generator.normal(size=3)
        shift = shift + generator.uniform(45.0, 110.0) * way_off / np.linalg.norm(way_off)
    else:
        scale = scale * float(np.exp(generator.choice([-1, 1]) * generator.uniform(0.4, 1.2)))
    return turn, shift, scale


def _rolled(generator: np.random.Generator) -> _Floats:
    return np.asarray(Rotation.from_rotvec([0, 0, generator.uniform(0, 2 * np.pi)]).as_matrix())


def _tilted(generator: np.random.Generator, most: float) -> _Floats:
    """A turn about an axis in the plane of the picture, evenly over the cap of directions within `most`."""
    angle = np.arccos(1 - generator.random() * (1 - np.cos(most)))
    about = generator.uniform(0, 2 * np.pi)
    return np.asarray(Rotation.from_rotvec(angle * np.array([np.cos(about), np.sin(about), 0.0])).as_matrix())
