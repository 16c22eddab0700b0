"""`Scene`: a face and its occluders as one mesh in front of a camera; poses, and two projections of the mesh.

Convention: the camera's frame has the axes of `fer3d.scan`. A pose turns the head: yaw > 0 to the subject's left (about
+y), pitch > 0 down (about +x), roll > 0 counter-clockwise in the image (about +z). Rotations are right-handed and apply
in the order roll, pitch, yaw: R = R_y(yaw) R_x(pitch) R_z(roll).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fer3d.checks import check_dtype, check_shape
from fer3d.errors import ArgumentError
from fer3d.face.model import FaceModel
from fer3d.kernels.raster import NO_JITTER, zbuffer
from fer3d.kernels.shading import area_normals

# Parts of an occluder. The numbers leave room for more parts of a face (`fer3d.face.model`).
SOLID, STRAND, LENS = 100, 101, 102

_AXIS_BEHIND = 80.0  # distance of the axis of `unrolled` behind the origin of the face model, mm
_BACK_OF_HEAD = np.radians(125.0)  # largest angle from the front that `unrolled` covers


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """Appearance of a person's surface in the uv of the face model; see `fer3d.synth.looks.appearance.paint`.

    Attributes:
        colour: (S, S, 3) uint8. Reflectance as display values, without light.
        gloss: (S, S) uint8. Gloss of wet or oily surface, 0 to 255; highest on eyes and lips.
        hair: (S, S) uint8. Share that hair covers (brows, lashes, beard), 0 to 255.
        wrinkles: (S, S) uint8 or None. Darkness of folds that are too fine for a scanner, 0 to 255; only images show
            them. See `fer3d.synth.looks.wrinkles`.
    """

    colour: NDArray[np.uint8]
    gloss: NDArray[np.uint8]
    hair: NDArray[np.uint8]
    wrinkles: NDArray[np.uint8] | None = None

    def __post_init__(self) -> None:
        check_dtype("colour", self.colour, np.uint8)
        check_shape("colour", self.colour, ("S", "S", 3))
        for name, layer in (("gloss", self.gloss), ("hair", self.hair), ("wrinkles", self.wrinkles)):
            if layer is None:
                continue
            check_dtype(name, layer, np.uint8)
            check_shape(name, layer, self.colour.shape[:2])

    @staticmethod
    def plain(colour: NDArray[np.uint8]) -> Look:
        """A look of the given colour without gloss or hair."""
        return Look(colour, np.zeros(colour.shape[:2], np.uint8), np.zeros(colour.shape[:2], np.uint8))


@dataclass(frozen=True, slots=True, eq=False)
class Occluder:
    """An object on a face, in the frame of the face model; see `fer3d.synth.looks.occluders`.

    Attributes:
        kind: Code of the occluder, such as GLASSES.
        points: (N, 3) float64, mm.
        triangles: (M, 3) int32, counter-clockwise seen from outside.
        part: (M,) uint8. SOLID, STRAND (of hair) or LENS (transparent).
        colour: (N, 3) float64. Display values, 0 to 255.
        gloss: Gloss in [0, 1].
    """

    kind: str
    points: NDArray[np.float64]
    triangles: NDArray[np.int32]
    part: NDArray[np.uint8]
    colour: NDArray[np.float64]
    gloss: float = 0.1


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """A face and occluders in the camera's frame, with V vertices and F triangles in total.

    Attributes:
        model: The face model.
        placement: (4, 4) float64. From the model's frame to the camera's.
        points: (V, 3) float64, mm. The vertices of the face come first.
        normals: (V, 3) float32, unit vectors.
        triangles: (F, 3) int32, without lenses. The triangles of the face come first, in the order of the model.
        part: (F,) uint8. Part of the face model, or SOLID or STRAND.
        colour: (V, 4) float32. Linear red, green, blue and gloss of occluders; on the face gloss is -1, and `look`
            holds the colour.
        uv: (V, 2) float32. Texture coordinates of the face model; 0 on occluders.
        lenses: (G, 3) int32. Triangles of lenses.
        look: Look of the face, or None.
    """

    model: FaceModel
    placement: NDArray[np.float64]
    points: NDArray[np.float64]
    normals: NDArray[np.float32]
    triangles: NDArray[np.int32]
    part: NDArray[np.uint8]
    colour: NDArray[np.float32]
    uv: NDArray[np.float32]
    lenses: NDArray[np.int32]
    look: Look | None

    @property
    def origin(self) -> NDArray[np.float64]:
        """(3,) float64: origin of the face model in the camera's frame, the same for every person and expression."""
        return self.placement[:3, 3]

    def landmarks(self) -> dict[str, NDArray[np.float64]]:
        """Name -> (3,) float64: all landmarks of the face in the camera's frame, also hidden landmarks."""
        return {name: self.points[row].copy() for name, row in self.model.landmarks.items()}


def rotation(yaw: float, pitch: float, roll: float) -> NDArray[np.float64]:
    """(3, 3) float64: rotation of a head by angles in radians; see the module's convention.

    >>> (rotation(np.pi / 2, 0.0, 0.0) @ [0.0, 0.0, 1.0]).round(6)  # the face looks to its left
    array([1., 0., 0.])
    """
    cy, sy, cx, sx, cz, sz = (turn(angle) for angle in (yaw, pitch, roll) for turn in (np.cos, np.sin))
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return np.asarray(about_y @ about_x @ about_z)


def pose(
    yaw: float = 0.0, pitch: float = 0.0, roll: float = 0.0, shift: tuple[float, float, float] = (0, 0, 0)
) -> NDArray[np.float64]:
    """(4, 4) float64: rigid motion of `rotation`, then a shift in mm."""
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotation(yaw, pitch, roll), shift
    return matrix


def set_up(
    model: FaceModel,
    shape: NDArray[np.float64],
    placement: NDArray[np.float64],
    look: Look | None = None,
    occluders: Sequence[Occluder] = (),
) -> Scene:
    """Place a face and its occluders in front of the camera.

    Args:
        model: The face model.
        shape: (V, 3) float64. The face in the frame of the model, see `FaceModel.shape`.
        placement: (4, 4) float64. Rigid motion from the model's to the camera's frame; see `pose`.
        look: Colour, gloss and hair.
        occluders: Occluders that fit this shape.

    Raises:
        ArgumentError: if a shape is wrong, or the placement is not rigid.
    """
    check_shape("shape", shape, model.neutral.shape)
    check_shape("placement", placement, (4, 4))
    if not np.allclose(placement[:3, :3] @ placement[:3, :3].T, np.eye(3), atol=1e-6):
        raise ArgumentError("`placement` should be a rigid motion: its rotation is not orthogonal")
    points, triangles, part = [shape], [model.triangles], [model.part]
    colour = [np.tile(np.array([0, 0, 0, -1], np.float32), (len(shape), 1))]
    count = len(shape)
    for thing in occluders:
        points.append(thing.points)
        triangles.append(thing.triangles + np.int32(count))
        part.append(thing.part)
        gloss = np.full((len(thing.points), 1), thing.gloss)
        colour.append(np.concatenate([(thing.colour / 255.0) ** 2.2, gloss], axis=1).astype(np.float32))
        count += len(thing.points)
    placed = np.concatenate(points) @ placement[:3, :3].T + placement[:3, 3]  # (V, 3)
    every, kind = np.concatenate(triangles), np.concatenate(part)
    uv = np.zeros((count, 2), np.float32)
    uv[: len(shape)] = model.uv
    lens = kind == LENS
    return Scene(
        model=model,
        placement=placement,
        points=placed,
        normals=area_normals(placed, every),
        triangles=np.ascontiguousarray(every[~lens]),
        part=kind[~lens],
        colour=np.concatenate(colour),
        uv=uv,
        lenses=np.ascontiguousarray(every[lens]),
        look=look,
    )


class Window(NamedTuple):
    """A grid of square pixels in the plane of a projection.

    Attributes:
        left, top: Plane coordinates of the centre of the upper left pixel, mm.
        pixel: Size of a pixel, mm.
        rows, columns: Numbers of rows and columns.
    """

    left: float
    top: float
    pixel: float
    rows: int
    columns: int

    def pixels(self, plane: NDArray[np.float64]) -> NDArray[np.float64]:
        """(N, 3) float64: column, row and depth in pixels of points (N, 3) in plane coordinates."""
        pixels = np.empty(plane.shape)
        np.multiply(plane[:, 0] - self.left, 1 / self.pixel, out=pixels[:, 0])
        np.multiply(self.top - plane[:, 1], 1 / self.pixel, out=pixels[:, 1])
        np.multiply(plane[:, 2], 1 / self.pixel, out=pixels[:, 2])
        return pixels

    def render(
        self, plane: NDArray[np.float64], triangles: NDArray[np.int32]
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Triangle and barycentric coordinates at each pixel; see `fer3d.kernels.raster.zbuffer`."""
        face, bary = zbuffer(self.pixels(plane), triangles, self.rows, self.columns, NO_JITTER)
        return face, bary


def around(plane: NDArray[np.float64], pixel: float, margin: int = 2) -> Window:
    """The window that holds all points (N, 3) plus `margin` pixels on each side."""
    left, bottom, right, top = plane[:, 0].min(), plane[:, 1].min(), plane[:, 0].max(), plane[:, 1].max()
    rows, columns = int(np.ceil((top - bottom) / pixel)) + 1, int(np.ceil((right - left) / pixel)) + 1
    return Window(
        float(left - margin * pixel), float(top + margin * pixel), pixel, rows + 2 * margin, columns + 2 * margin
    )


def seen_from(points: NDArray[np.float64], toward: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, 3) float64: x, y, z of points in the upright frame of a distant viewer in direction `toward` (3,).

    For `toward` = +z the result equals `points`.
    """
    forward = toward / np.linalg.norm(toward)
    right = np.cross([0.0, 1.0, 0.0] if abs(forward[1]) < 0.999 else [0.0, 0.0, -np.sign(forward[1])], forward)
    right /= np.linalg.norm(right)
    return np.asarray(points @ np.stack([right, np.cross(forward, right), forward]).T)


def unrolled(points: NDArray[np.float64], origin: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, 3) float64: points in cylindrical coordinates about a vertical axis behind the face.

    x is the arc length at the distance of `origin` from the axis, y the height above `origin`, z the distance from the
    axis; `origin` has x = 0. z is NaN at the back of the head. This projection shows each cheek from its own side.

    Args:
        points: (N, 3) float64.
        origin: (3,) float64. The axis lies 80 mm behind it.
    """
    x, z = points[:, 0] - origin[0], points[:, 2] - origin[2] + _AXIS_BEHIND
    angle = np.arctan2(x, z)
    distance = np.where(np.abs(angle) < _BACK_OF_HEAD, np.hypot(x, z), np.nan)
    return np.stack([angle * _AXIS_BEHIND, points[:, 1] - origin[1], distance], axis=1)
