"""A range camera: what a structured-light scanner would make of a face model.

Orthographic view along -z. Samples lie on a grid of one pitch that is turned in the image plane, shifted by a random
phase and jittered sample by sample, so that no two scans share a topology. A z-buffer says which point of the surface
each sample sees: what is behind something else is not seen. Steep surface, random blobs and dark spots (brows, pupils,
nostrils, the open mouth) are not measured. What is left gets noise along the view and a few spikes.

Convention: axes of `fer3d.scan`. A pose turns the head: yaw > 0 to the subject's left (about +y), pitch > 0 down (about
+x), roll > 0 counter-clockwise in the picture (about +z); right-handed rotations, applied roll first, then pitch, then
yaw: R = R_y(yaw) R_x(pitch) R_z(roll).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates
from scipy.spatial import cKDTree

from fer3d.checks import check_range, check_shape
from fer3d.errors import ArgumentError, PrepareError
from fer3d.formats.range_grid import triangulate
from fer3d.kernels.raster import zbuffer
from fer3d.scan import Scan
from fer3d.synth.face import FaceModel

_NO_JITTER = np.empty((0, 0, 2), np.float32)


@dataclass(frozen=True, slots=True)
class Camera:
    """Settings of the camera. Defaults give about 8,000 vertices within 95 mm of the nose tip.

    Attributes:
        pitch: Distance of neighbouring samples, mm. 1.5 gives about 8,000 vertices a face, 0.72 about 35,000.
        noise: Standard deviation along the view on surface that faces the camera, mm; divided by the cosine of the
            slant (at least 0.25) elsewhere.
        spikes: Share of samples that are far off.
        spike_height: Standard deviation of their error, mm.
        holes: Mean number of random holes.
        hole_radius: Least and greatest radius of a hole, mm.
        dark_loss: How readily dark spots are lost, 0 never, 1 nearly all that is darker than half the skin.
        steepest: Slant beyond which nothing is measured, radians.
        longest_edge: Longer edges, in pitches, are depth discontinuities and get no triangle.
        jitter: How far a sample lies off its grid point, share of the pitch (uniform, each axis).
        turned: Whether the grid is turned in the image plane. False: rows run along x, as in a range image.
    """

    pitch: float = 1.5
    noise: float = 0.10
    spikes: float = 0.0005
    spike_height: float = 8.0
    holes: float = 3.0
    hole_radius: tuple[float, float] = (1.5, 5.0)
    dark_loss: float = 0.3
    steepest: float = 1.40
    longest_edge: float = 5.0
    jitter: float = 0.25
    turned: bool = True

    def __post_init__(self) -> None:
        check_range("pitch", self.pitch, 0.2, 10.0, "mm")
        check_range("noise", self.noise, 0.0, 10.0, "mm")
        check_range("spikes", self.spikes, 0.0, 0.5)
        check_range("spike_height", self.spike_height, 0.0, 1000.0, "mm")
        check_range("holes", self.holes, 0.0, 1000.0)
        check_range("hole_radius[0]", self.hole_radius[0], 0.0, self.hole_radius[1], "mm")
        check_range("dark_loss", self.dark_loss, 0.0, 1.0)
        check_range("steepest", self.steepest, 0.1, np.pi / 2, "radians")
        check_range("longest_edge", self.longest_edge, 1.0, np.inf)
        check_range("jitter", self.jitter, 0.0, 0.49)

    @property
    def reach(self) -> float:
        """mm within which a sample must lie of a point of the surface for it to count as measured."""
        return 1.2 * self.pitch + 4 * self.noise


@dataclass(frozen=True, slots=True, eq=False)
class Range:
    """A range image: what `sample` saw.

    Attributes:
        points: (H, W, 3) float64. Measured points with their noise; NaN where nothing was measured. Row 0 is the top.
        exact: (H, W, 3) float64. The same without noise and spikes.
        uv: (H, W, 2) float32. In the texture of the model.
        valid: (H, W) bool. Where something was measured.
        corner: (2,) float64. x and y of the sample of row 0, column 0; NaN if the grid is turned.
    """

    points: NDArray[np.float64]
    exact: NDArray[np.float64]
    uv: NDArray[np.float32]
    valid: NDArray[np.bool_]
    corner: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Capture:
    """A scan and the truth about it, in one frame.

    Attributes:
        scan: Vertices, faces, uv, texture. Its landmarks are the vertices nearest to the measured true ones.
        landmarks: name -> (3,) float64. Where they truly are, also if hidden.
        measured: Names of the landmarks that the scan holds surface at.
        pose: (4, 4) float64. From the model's frame (mm, frontal, nose tip of the mean face at the origin) to the
            scan's.
    """

    scan: Scan
    landmarks: Mapping[str, NDArray[np.float64]]
    measured: tuple[str, ...]
    pose: NDArray[np.float64]


def rotation(yaw: float, pitch: float, roll: float) -> NDArray[np.float64]:
    """(3, 3) float64 rotation of a head; see the module's convention. Radians.

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
    """(4, 4) float64: `rotation`, then a shift in mm."""
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotation(yaw, pitch, roll), shift
    return matrix


def capture(
    model: FaceModel,
    shape: NDArray[np.float64],
    placement: NDArray[np.float64],
    camera: Camera,
    generator: np.random.Generator,
    texture: NDArray[np.uint8] | None = None,
) -> Capture:
    """Scan a face.

    Args:
        model: The face model.
        shape: (V, 3) float64. Its shape in its own frame, see `FaceModel.shape`.
        placement: (4, 4) float64. A rigid motion from there to the camera's frame; see `pose`.
        camera: Settings.
        generator: All that is random. The same state gives the same scan.
        texture: (H, W, 3) uint8 for the model's uv. Also says which spots are dark.

    Raises:
        ArgumentError: if a shape is wrong.
        PrepareError: if the camera sees nothing of the face.
    """
    seen = sample(model, shape, placement, camera, generator, texture)
    faces, _ = triangulate(seen.exact, seen.valid, longest_edge=camera.longest_edge)
    if not len(faces):
        raise PrepareError("the camera sees no three neighbouring points of the face: lower `pitch` or turn it back")
    vertices = seen.points[seen.valid]
    used = np.zeros(len(vertices), np.bool_)
    used[faces] = True
    row = np.cumsum(used, dtype=np.int32) - np.int32(1)
    truth = {name: placement[:3, :3] @ point + placement[:3, 3] for name, point in model.landmark_points(shape).items()}
    scan = Scan.of(vertices[used], row[faces], uv=seen.uv[seen.valid][used], texture=texture)
    near, measured = nearest_vertices(scan, truth, reach=camera.reach)
    found = {name: scan.vertices[near[name]].astype(np.float64) for name in measured}
    scan = scan.step("capture", {"pitch_mm": camera.pitch, "noise_mm": camera.noise}, landmarks=found)
    return Capture(scan, truth, measured, placement)


def nearest_vertices(
    scan: Scan, points: Mapping[str, NDArray[np.float64]], reach: float
) -> tuple[dict[str, int], tuple[str, ...]]:
    """name -> row of the vertex nearest to each point, and the names of those nearer than `reach` mm."""
    distance, row = cKDTree(scan.vertices).query(np.array(list(points.values())))
    near = {name: int(r) for name, r in zip(points, row, strict=True)}
    return near, tuple(name for name, d in zip(points, distance, strict=True) if d <= reach)


def sample(
    model: FaceModel,
    shape: NDArray[np.float64],
    placement: NDArray[np.float64],
    camera: Camera,
    generator: np.random.Generator,
    texture: NDArray[np.uint8] | None = None,
) -> Range:
    """The range image of a face. Arguments as `capture`."""
    check_shape("shape", shape, model.neutral.shape)
    check_shape("placement", placement, (4, 4))
    if not np.allclose(placement[:3, :3] @ placement[:3, :3].T, np.eye(3), atol=1e-6):
        raise ArgumentError("`placement` should be a rigid motion: its rotation is not orthogonal")
    points = shape @ placement[:3, :3].T + placement[:3, 3]  # (V, 3)
    face, bary, corner = _seen(points, model.triangles, camera, generator)
    valid = face >= 0
    rows = model.triangles[np.where(valid, face, 0)]  # (H, W, 3)
    weight = bary.astype(np.float64)
    exact = np.einsum("hwk,hwkc->hwc", weight, points[rows])
    uv = np.einsum("hwk,hwkc->hwc", weight, model.uv[rows].astype(np.float64))
    normal = np.einsum("hwk,hwkc->hwc", weight, _normals(points, model.triangles)[rows])
    slant = np.abs(normal[..., 2]) / np.maximum(np.linalg.norm(normal, axis=-1), 1e-12)  # cosine
    valid &= slant > np.cos(camera.steepest)
    valid &= ~_blobs(exact, valid, camera, generator)
    valid &= ~_dark(uv, valid, texture, camera, generator)
    error = generator.normal(0.0, 1.0, valid.shape) * camera.noise / np.maximum(slant, 0.25)
    spike = generator.random(valid.shape) < camera.spikes
    error += spike * generator.normal(0.0, 1.0, valid.shape) * camera.spike_height
    measured = exact + error[..., None] * np.array([0.0, 0.0, 1.0])
    gone = ~valid[..., None]
    return Range(np.where(gone, np.nan, measured), np.where(gone, np.nan, exact), uv.astype(np.float32), valid, corner)


def _seen(
    points: NDArray[np.float64], triangles: NDArray[np.int32], camera: Camera, generator: np.random.Generator
) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.float64]]:
    """Triangle and barycentrics at each sample of the grid, and `Range.corner`."""
    turn = generator.uniform(0, 2 * np.pi) if camera.turned else 0.0
    phase = generator.uniform(0.0, 1.0, 2)
    c, s = np.cos(turn), np.sin(turn)
    across = (c * points[:, 0] + s * points[:, 1]) / camera.pitch
    up = (c * points[:, 1] - s * points[:, 0]) / camera.pitch
    left, top = np.floor(across.min()) - phase[0] - 0.5, np.ceil(up.max()) + phase[1] + 0.5
    column, row = across - left, top - up
    height, width = int(np.ceil(row.max())) + 2, int(np.ceil(column.max())) + 2
    pixels = np.stack([column, row, points[:, 2] / camera.pitch], axis=1)
    jitter = _NO_JITTER
    if camera.jitter > 0:
        jitter = generator.uniform(-camera.jitter, camera.jitter, (height, width, 2)).astype(np.float32)
    face, bary = zbuffer(np.ascontiguousarray(pixels), triangles, height, width, jitter)
    corner = np.full(2, np.nan) if camera.turned else np.array([left, top]) * camera.pitch
    return face, bary, corner


def photograph(
    model: FaceModel,
    shape: NDArray[np.float64],
    placement: NDArray[np.float64],
    texture: NDArray[np.uint8],
    *,
    corner: NDArray[np.float64],
    pixel: float,
    size: tuple[int, int],
) -> NDArray[np.uint8]:
    """(H, W, 3) uint8: an orthographic colour picture of the face, lit from above, on a dark ground.

    Args:
        model, shape, placement, texture: As `capture`.
        corner: (2,) float64. x and y, in mm, of the centre of the upper left pixel.
        pixel: Its width and height, mm.
        size: Rows and columns.
    """
    points = shape @ placement[:3, :3].T + placement[:3, 3]
    pixels = np.stack([points[:, 0] - corner[0], corner[1] - points[:, 1], points[:, 2]], axis=1) / pixel
    face, bary = zbuffer(pixels, model.triangles, *size, _NO_JITTER)
    seen = face >= 0
    rows = model.triangles[face[seen]]  # (P, 3)
    weight = bary[seen].astype(np.float64)
    uv = np.einsum("pk,pkc->pc", weight, model.uv[rows].astype(np.float64))
    normal = np.einsum("pk,pkc->pc", weight, _normals(points, model.triangles)[rows])
    normal /= np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-12)
    light = 0.35 + 0.65 * np.clip(normal @ np.array([0.0, 0.45, 0.893]), 0, 1)
    picture = np.full((*size, 3), 24, np.uint8)
    row, column = _texels(uv, texture)
    picture[seen] = np.rint(texture[row, column] * light[:, None]).astype(np.uint8)
    return picture


def _texels(uv: NDArray[np.float64], texture: NDArray[np.uint8]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row and column of the texture at each uv."""
    H, W = texture.shape[:2]
    row = np.clip(((1 - uv[..., 1]) * H).astype(np.int64), 0, H - 1)
    return row, np.clip((uv[..., 0] * W).astype(np.int64), 0, W - 1)


def _normals(points: NDArray[np.float64], triangles: NDArray[np.int32]) -> NDArray[np.float64]:
    """(V, 3) area-weighted vertex normals, not of unit length."""
    a, b, c = (points[triangles[:, k]] for k in range(3))
    cross = np.cross(b - a, c - a)
    rows = triangles.T.ravel()
    weight = np.tile(cross, (3, 1))
    return np.stack([np.bincount(rows, weight[:, k], len(points)) for k in range(3)], axis=1)


def _blobs(
    exact: NDArray[np.float64], valid: NDArray[np.bool_], camera: Camera, generator: np.random.Generator
) -> NDArray[np.bool_]:
    """(H, W) bool: round holes about random measured points."""
    lost = np.zeros(valid.shape, np.bool_)
    where = np.flatnonzero(valid)
    count = int(generator.poisson(camera.holes))
    centres = generator.integers(0, max(len(where), 1), count)
    radii = generator.uniform(*camera.hole_radius, count)
    if len(where):
        flat = exact.reshape(-1, 3)
        for centre, radius in zip(centres, radii, strict=True):
            lost |= ((exact - flat[where[centre]]) ** 2).sum(axis=-1) < radius**2
    return lost


def _dark(
    uv: NDArray[np.float64],
    valid: NDArray[np.bool_],
    texture: NDArray[np.uint8] | None,
    camera: Camera,
    generator: np.random.Generator,
) -> NDArray[np.bool_]:
    """(H, W) bool: spots too dark for the projector, against the median of this face; patchy, as in real scans."""
    coarse = generator.random((9, 9))
    if texture is None or camera.dark_loss == 0 or not valid.any():
        return np.zeros(valid.shape, np.bool_)
    row, column = _texels(uv, texture)
    light = texture[row, column].astype(np.float64) @ np.array([0.299, 0.587, 0.114])
    light /= max(float(np.median(light[valid])), 1.0)
    grid = np.meshgrid(*(np.linspace(0, 8, n) for n in valid.shape), indexing="ij")
    patchy = map_coordinates(coarse, grid, order=1)
    return np.asarray(light < camera.dark_loss * 1.3 * patchy)
