"""Simulate the measurement of a range camera: what each sample sees, missing samples, and measurement errors.

See `fer3d.synth.optics.camera` for the effects and the settings.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import zoom

from fer3d.face.model import MOUTH, SKIN, TEETH
from fer3d.kernels.raster import NO_JITTER, zbuffer
from fer3d.landmarks import bu83_names
from fer3d.synth.optics.camera import Camera
from fer3d.synth.optics.light import Light
from fer3d.synth.optics.photograph import Lens, developed, radiance
from fer3d.synth.optics.scene import SOLID, STRAND, Look, Scene, Window, seen_from, unrolled
from fer3d.synth.optics.visibility import LIFT, exposed

_SHARPNESS = 80  # exponent of the cosines that weight the views: a view fades into the next over 3 degrees of slant
_TURN_OF_A_MILLIMETRE = (
    0.008  # registration error in rotation, radians per mm of shift: about 1 mm at the edge of a face
)
# Landmarks around a wet region; chance of a hole there in units of `Camera.wet_loss`; its least and largest radius, mm.
_WET_PLACES = (
    (("labiale_superius", "labiale_inferius", "cheilion_left", "cheilion_right"), 1.5, 3.0, 10.0),
    (("exocanthion_left", "endocanthion_left"), 2.5, 1.5, 4.5),
    (("exocanthion_right", "endocanthion_right"), 2.5, 1.5, 4.5),
)
_LIPS = bu83_names(np.arange(49, 61))  # outline of the lips
_TRUE_DEPTH, _MORE_DEPTH = 10.0, 6.0  # mm behind the lips to which depth is exact; largest measured depth beyond it
_INSIDE = 0.3  # smallest cosine of the slant inside the mouth
_LENS_NOISE = 5.0  # factor on the noise behind spectacle lenses
_LENS_LOSS = 0.6  # share of samples lost behind spectacle lenses, in patches
_LUMA = np.array([0.299, 0.587, 0.114])


@dataclass(frozen=True, slots=True, eq=False)
class Range:
    """A range image, the result of `sample`.

    Attributes:
        points: (H, W, 3) float64. Measured points with their errors; NaN where nothing was measured. Row 0 is the top.
        exact: (H, W, 3) float64. The same points without errors.
        uv: (H, W, 2) float32. Coordinates in the image of `texture`.
        valid: (H, W) bool. Whether the sample was measured.
        corner: (2,) float64. x and y of the sample of row 0, column 0; NaN if the grid is turned.
        occluded: (H, W) bool. Whether the measured surface is an occluder, not the face.
    """

    points: NDArray[np.float64]
    exact: NDArray[np.float64]
    uv: NDArray[np.float32]
    valid: NDArray[np.bool_]
    corner: NDArray[np.float64]
    occluded: NDArray[np.bool_]


class _Hits(NamedTuple):
    """The P samples that hit surface, as the steps of `sample` pass them on.

    Attributes:
        face: (P,) int32. Triangle of the scene.
        weight: (P, 3) float64. Barycentric weights of the corners.
        point, normal: (P, 3) float64. Position and normal of the surface.
        cell: (P, 2) int64. Row and column in the grid.
        shape: Rows and columns of the grid.
        pitch: Pitch of this scan, mm.
    """

    face: NDArray[np.int32]
    weight: NDArray[np.float64]
    point: NDArray[np.float64]
    normal: NDArray[np.float64]
    cell: NDArray[np.int64]
    shape: tuple[int, int]
    pitch: float


def sample(scene: Scene, camera: Camera, generator: np.random.Generator) -> Range:
    """Measure the range image of a scene.

    Args:
        scene: Face and occluders. Without a look no spot is dark, hairy or wet.
        camera: Settings of the camera.
        generator: Source of all random numbers.
    """
    plane = projected(scene, camera)
    hits, corner, glass = _hits(scene, plane, camera, generator)
    window = picture_window(scene, camera, 1)  # one pixel, so that pixel coordinates are uv
    across = _on(hits, scene.triangles, plane)
    u = (across[:, 0] - window.left) / window.pixel + 0.5
    v = 0.5 + (across[:, 1] - window.top) / window.pixel
    cosine = _cosines(scene, hits, camera)  # (P, views), 0 where a view does not see the point
    # Matching is smooth over mouths and eyes: holes there are random (see `_gaps`), whether they are open or not.
    inside = _inside(scene, hits)
    hits = hits._replace(point=_shallow(scene, hits))
    cosine[inside] = np.maximum(cosine[inside], _INSIDE)
    steep = np.cos(camera.steepest)
    kept = np.any([view > steep for view in cosine.T], axis=0) & (u > 0) & (u < 1) & (v > 0) & (v < 1)
    kept &= ~_blobs(hits, camera, generator)
    kept &= ~_lost(scene, hits, glass, inside, camera, generator)
    measured = _measured(scene, hits, cosine, glass, camera, generator)
    points, exact = np.full((2, *hits.shape, 3), np.nan)
    uv = np.zeros((*hits.shape, 2), np.float32)
    valid, occluded = np.zeros((2, *hits.shape), np.bool_)
    row, column = hits.cell[kept].T
    points[row, column], exact[row, column], valid[row, column] = measured[kept], hits.point[kept], True
    uv[row, column] = np.stack([u, v], axis=1)[kept]
    occluded[row, column] = hits.face[kept] >= len(scene.model.triangles)
    return Range(points, exact, uv, valid, corner, occluded)


def projected(scene: Scene, camera: Camera) -> NDArray[np.float64]:
    """(V, 3) float64: the points in the plane of the grid: unchanged for a single frontal view, else unrolled."""
    return scene.points if camera.views == (0.0,) else unrolled(scene.points, scene.origin)


def picture_window(scene: Scene, camera: Camera, size: int) -> Window:
    """The square of the plane that the texture shows: `camera.field` mm around the origin of the face model."""
    pixel = camera.field / size
    middle = scene.origin[:2] if camera.views == (0.0,) else np.zeros(2)
    half = (camera.field - pixel) / 2
    return Window(float(middle[0] - half), float(middle[1] + half), pixel, size, size)


def texture(scene: Scene, camera: Camera, light: Light, size: int, generator: np.random.Generator) -> NDArray[np.uint8]:
    """(size, size, 3) uint8: the lit image in the plane of the grid, aligned with the uv of `sample`.

    With several views, left and right have different exposures, which blend across the middle of the face.
    """
    linear = radiance(scene, light, picture_window(scene, camera, size), projected(scene, camera))
    gain = generator.normal(1.0, 0.05)
    if len(camera.views) > 1:
        left, right = generator.normal(1.0, 0.03, 2)
        side = np.clip((np.arange(size) + 0.5 - size / 2) * camera.field / size / 12.0 + 0.5, 0.0, 1.0)
        linear *= (right + (left - right) * side).astype(np.float32)[:, None]
    return developed(linear, Lens(exposure=float(np.clip(gain, 0.8, 1.2)), blur=0.0), generator)


def _hits(
    scene: Scene, plane: NDArray[np.float64], camera: Camera, generator: np.random.Generator
) -> tuple[_Hits, NDArray[np.float64], NDArray[np.bool_]]:
    """The hits of the samples of the grid, `Range.corner`, and (P,) bool: whether each hit lies behind spectacles."""
    turn = generator.uniform(0, 2 * np.pi) if camera.turned else 0.0
    phase = generator.uniform(0.0, 1.0, 2)
    spread = generator.uniform(-1.0, 1.0) * camera.pitch_spread if camera.turned else 0.0
    pitch = camera.pitch * (1.0 + spread)
    c, s = np.cos(turn), np.sin(turn)
    across = (c * plane[:, 0] + s * plane[:, 1]) / pitch
    up = (c * plane[:, 1] - s * plane[:, 0]) / pitch
    left, top = np.floor(np.nanmin(across)) - phase[0] - 0.5, np.ceil(np.nanmax(up)) + phase[1] + 0.5
    column, row = across - left, top - up
    height, width = int(np.ceil(np.nanmax(row))) + 2, int(np.ceil(np.nanmax(column))) + 2
    pixels = np.stack([column, row, plane[:, 2] / pitch], axis=1)
    jitter = NO_JITTER
    if camera.jitter > 0:
        jitter = generator.uniform(-camera.jitter, camera.jitter, (height, width, 2)).astype(np.float32)
    face, bary = zbuffer(pixels, scene.triangles, height, width, jitter)
    cell = np.argwhere(face >= 0)
    glass = np.zeros(len(cell), np.bool_)
    if len(scene.lenses):
        glass = zbuffer(pixels, scene.lenses, height, width, jitter)[0][face >= 0] >= 0
    hit, weight = face[face >= 0], bary[face >= 0].astype(np.float64)
    corners = scene.triangles[hit]  # (P, 3)
    point, normal = _mixed(weight, corners, scene.points), _mixed(weight, corners, scene.normals)
    normal /= np.sqrt(np.maximum(np.einsum("pc,pc->p", normal, normal), 1e-24))[:, None]
    corner = np.full(2, np.nan) if camera.turned else np.array([left, top]) * pitch
    return _Hits(hit, weight, point, normal, cell, (height, width), pitch), corner, glass


def _on(hits: _Hits, triangles: NDArray[np.int32], values: NDArray[np.floating]) -> NDArray[np.float64]:
    """(P, A) float64: vertex values (V, A) at the hits."""
    return _mixed(hits.weight, triangles[hits.face], values)


def _mixed(
    weight: NDArray[np.float64], corners: NDArray[np.int32], values: NDArray[np.floating]
) -> NDArray[np.float64]:
    """(P, A) float64: sums of vertex values (V, A) at corners (P, 3) with weights (P, 3)."""
    return np.asarray(sum(weight[:, k, None] * values[corners[:, k]] for k in range(3)))


def _cosines(scene: Scene, hits: _Hits, camera: Camera) -> NDArray[np.float64]:
    """(P, views) float64: cosine of the slant towards each view, 0 where other surface hides the point."""
    cosine = np.stack([np.clip(hits.normal @ toward, 0.0, 1.0) for toward in camera.towards], axis=1)
    if camera.views == (0.0,):
        return cosine  # the z-buffer of the grid has removed hidden points already
    lifted = hits.point + LIFT * hits.normal
    for k, toward in enumerate(camera.towards):
        points, asked = seen_from(scene.points, toward), seen_from(lifted, toward)
        cosine[:, k] *= exposed(points, scene.triangles, asked) > 0.5
    return cosine


def _blobs(hits: _Hits, camera: Camera, generator: np.random.Generator) -> NDArray[np.bool_]:
    """(P,) bool: points in ragged holes around random points."""
    count = int(generator.poisson(camera.holes))
    places = generator.random(count)
    radii = generator.uniform(*camera.hole_radius, count)
    ragged = 0.7 + 0.6 * _patchy(hits, 3.0, generator)
    lost = np.zeros(len(hits.point), np.bool_)
    if len(hits.point):
        for place, radius in zip(places, radii, strict=True):
            centre = hits.point[int(place * len(hits.point))]
            away = hits.point - centre
            lost |= np.einsum("pc,pc->p", away, away) < (radius * ragged) ** 2
    return lost


def _lost(
    scene: Scene,
    hits: _Hits,
    glass: NDArray[np.bool_],
    inside: NDArray[np.bool_],
    camera: Camera,
    generator: np.random.Generator,
) -> NDArray[np.bool_]:
    """(P,) bool: points that are too dark, hairy or wet to be measured, in patches that differ from scan to scan."""
    mood = generator.uniform(0.3, 1.0, 2)  # factors of this scan on the loss of hair and wet skin
    lost = _gaps(scene, hits, camera, generator)
    patchy = 0.6 * _patchy(hits, 5.0, generator) + 0.4 * _patchy(hits, 2.0, generator)  # (P,), about 0.5
    lost |= glass & (patchy < _LENS_LOSS)
    if scene.look is None:
        return lost
    part = scene.part[hits.face]
    dark, hair, wet = _stubborn(scene, scene.look, hits)
    # A spot is lost where it exceeds a threshold that varies smoothly over the face, which gives patches, not speckles.
    # Eyes and mouths are excluded: otherwise the lost area would depend on how far they are open.
    fares = ((part == SKIN) & ~inside) | (part >= SOLID)
    worse = dark < 1.3 * camera.dark_loss * patchy
    worse |= hair * camera.hair_loss * mood[0] * 2.0 > patchy
    worse |= wet * camera.wet_loss * mood[1] * 1.6 > patchy
    worse |= (part == STRAND) & (camera.hair_loss * mood[0] * 2.2 > patchy)
    return np.asarray(lost | (fares & worse))


def _inside(scene: Scene, hits: _Hits) -> NDArray[np.bool_]:
    """(P,) bool: points inside the outline of the lips in frontal view (lips, teeth, mouth), and points on eyes."""
    turn = scene.placement[:3, :2]  # to x and y of the face
    lips = np.array([scene.points[scene.model.landmarks[name]] for name in _LIPS]) @ turn  # (L, 2)
    at = hits.point @ turn  # (P, 2)
    odd = np.zeros(len(at), np.bool_)
    for (ax, ay), (bx, by) in zip(lips, np.roll(lips, -1, axis=0), strict=True):
        if ay != by:  # even-odd rule: does the edge cross the ray from the point to +x?
            odd ^= ((at[:, 1] < ay) != (at[:, 1] < by)) & (at[:, 0] < ax + (at[:, 1] - ay) * (bx - ax) / (by - ay))
    part = scene.part[hits.face]
    return np.asarray((odd | (part != SKIN)) & (part < SOLID))


def _shallow(scene: Scene, hits: _Hits) -> NDArray[np.float64]:
    """(P, 3) float64: the points, with points deep in the mouth moved towards the lips, as smooth matching does.

    They move along z, so that a sample of an upright grid keeps its row and column.
    """
    part = scene.part[hits.face]
    deep = ((part == MOUTH) | (part == TEETH)) & _inside(scene, hits)
    forward = scene.placement[:3, 2]
    lips = np.mean([scene.points[scene.model.landmarks[name]] for name in _LIPS], axis=0) @ forward
    excess = np.maximum(lips - hits.point @ forward - _TRUE_DEPTH, 0.0) * deep
    point = hits.point.copy()
    point[:, 2] += excess - _MORE_DEPTH * (1 - np.exp(-excess / _MORE_DEPTH))
    return point


def _gaps(scene: Scene, hits: _Hits, camera: Camera, generator: np.random.Generator) -> NDArray[np.bool_]:
    """(P,) bool: points in ragged holes over mouth and eyes, as many and as large whether these are open or closed."""
    lost = np.zeros(len(hits.point), np.bool_)
    forward = scene.placement[:3, 2]
    ragged = 0.7 + 0.6 * _patchy(hits, 3.0, generator)
    for names, odds, least, most in _WET_PLACES:
        drawn, share = generator.random(2)
        shift = scene.placement[:3, :3] @ np.array([*generator.normal(0.0, 0.3 * least, 2), 0.0])
        if drawn >= odds * camera.wet_loss:
            continue
        rows = [scene.model.landmarks[name] for name in names]
        away = hits.point - scene.points[rows].mean(axis=0) - shift
        away -= (away @ forward)[:, None] * forward  # for any depth of the mouth
        lost |= np.einsum("pc,pc->p", away, away) < ((least + (most - least) * share) * ragged) ** 2
    return lost & (scene.part[hits.face] < SOLID)


def _stubborn(
    scene: Scene, look: Look, hits: _Hits
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """(P,) float64 each: lightness relative to the median of the face, share of hair, wetness."""
    own = hits.face < len(scene.model.triangles)
    uv = _on(hits, scene.triangles, scene.uv)
    row, column = _texels(uv, look.gloss.shape)
    light = look.colour[row, column].astype(np.float64) @ _LUMA
    if not own.all():
        colour = _on(hits, scene.triangles, scene.colour[:, :3])
        light = np.where(own, light, 255.0 * np.clip(colour, 0, 1) ** (1 / 2.2) @ _LUMA)
    light /= max(float(np.median(light[own])) if own.any() else 1.0, 1.0)
    hair, wet = (np.where(own, layer[row, column] / 255.0, 0.0) for layer in (look.hair, look.gloss))
    return light, hair, wet


def _texels(uv: NDArray[np.float64], shape: tuple[int, ...]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row and column of a texture of this shape at each (P, 2) uv."""
    row = np.clip(((1 - uv[:, 1]) * shape[0]).astype(np.int64), 0, shape[0] - 1)
    return row, np.clip((uv[:, 0] * shape[1]).astype(np.int64), 0, shape[1] - 1)


def _patchy(hits: _Hits, size: float, generator: np.random.Generator) -> NDArray[np.float64]:
    """(P,) float64: a smooth random field, roughly uniform in [0, 1], that varies over `size` mm on the grid."""
    cells = [int(np.ceil(n * hits.pitch / size)) + 2 for n in hits.shape]
    coarse = generator.random(cells)
    fine = zoom(coarse, [n / m for n, m in zip(hits.shape, cells, strict=True)], order=1)
    return np.asarray(fine[hits.cell[:, 0], hits.cell[:, 1]])


def _measured(
    scene: Scene,
    hits: _Hits,
    cosine: NDArray[np.float64],
    glass: NDArray[np.bool_],
    camera: Camera,
    generator: np.random.Generator,
) -> NDArray[np.float64]:
    """(P, 3) float64: measured position of each hit after the views are merged."""
    share = cosine**_SHARPNESS
    share /= np.maximum(sum(share.T), 1e-300)[:, None]  # (P, views)
    spike = generator.random(len(hits.point)) < camera.spikes
    height = generator.normal(0.0, 1.0, len(hits.point)) * camera.spike_height * spike
    total = np.zeros_like(hits.point)
    for k, toward in enumerate(camera.towards):
        offset = hits.point - scene.origin
        distance = camera.eye - scene.origin[2] - offset @ toward
        sigma = camera.noise * (distance / 1000.0) ** 2 / np.maximum(cosine[:, k], 0.25)
        error = generator.normal(0.0, 1.0, len(hits.point)) * sigma * np.where(glass, _LENS_NOISE, 1.0) + height
        shift, turn = generator.normal(0.0, 1.0, (2, 3)) * camera.seam * (len(camera.views) > 1)
        place = hits.point + shift + np.cross(turn * _TURN_OF_A_MILLIMETRE, offset)
        if camera.depth_step > 0:
            depth = place @ toward + error
            error += np.rint(depth / camera.depth_step) * camera.depth_step - depth
        total += share[:, k, None] * (place + error[:, None] * toward)
    return total
