"""What a face looks like: one texture a person, painted in the uv of the face model.

Colour is a function of the place on the neutral face. Lips, brows, lashes and nostrils are drawn once on a frontal
canvas, as outlines through landmarks, and carried to the texels by their frontal position; irises are discs on the
triangles of the eyes; skin has a tone, blotches, warmer cheeks and nose, soft shading, and on some a beard's shadow. So
any model with uv and the 83 landmarks gets a face; nothing depends on how its uv are laid out.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter
from scipy.ndimage import distance_transform_edt, map_coordinates, zoom

from fer3d.kernels.raster import zbuffer
from fer3d.landmarks import BU83
from fer3d.synth.face import EYE, MOUTH, FaceModel

Colour = NDArray[np.float64]  # (3,) red, green, blue in 0..255

_CANVAS_MM = (-90.0, 90.0, -110.0, 130.0)  # left, right, bottom, top of the frontal canvas
_CANVAS_SCALE = 4.0  # its pixels a mm

# Red, green, blue of light and dark skin; a tone lies between. Hair and irises: one of these. Our choices.
_SKIN = (np.array([236.0, 198.0, 176.0]), np.array([112.0, 74.0, 54.0]))
_HAIR = tuple(np.array(c, float) for c in ((38, 26, 20), (66, 44, 30), (104, 74, 48), (24, 20, 20), (140, 106, 66)))
_IRIS = tuple(np.array(c, float) for c in ((74, 48, 30), (52, 34, 24), (86, 102, 70), (84, 116, 142), (110, 120, 120)))


class Atlas(NamedTuple):
    """Where each texel of a model lies. Made once for a model.

    Attributes:
        place: (S, S, 3) float64. Point of the neutral face, mm; texels beside the face have that of the nearest one.
        normal: (S, S, 3) float64. Unit normal there.
        part: (S, S) uint8. SKIN, EYE or MOUTH.
        landmarks: name -> (3,) float64 on the neutral face.
    """

    place: NDArray[np.float64]
    normal: NDArray[np.float64]
    part: NDArray[np.uint8]
    landmarks: dict[str, NDArray[np.float64]]


def atlas(model: FaceModel, size: int = 512) -> Atlas:
    """Look up every texel of a square texture of `size` pixels on the neutral face of the model."""
    pixels = np.zeros((len(model.uv), 3))
    pixels[:, 0], pixels[:, 1] = model.uv[:, 0] * size - 0.5, (1.0 - model.uv[:, 1]) * size - 0.5
    face, bary = zbuffer(pixels, model.triangles, size, size, np.empty((0, 0, 2), np.float32))
    rows, columns = distance_transform_edt(face < 0, return_distances=False, return_indices=True)
    face, bary = face[rows, columns], bary[rows, columns].astype(np.float64)
    corner = model.triangles[face]
    place = np.einsum("hwk,hwkc->hwc", bary, model.neutral[corner])
    a, b, c = (model.neutral[model.triangles[:, k]] for k in range(3))
    normals = np.zeros_like(model.neutral)
    for k in range(3):
        np.add.at(normals, model.triangles[:, k], np.cross(b - a, c - a))
    normal = np.einsum("hwk,hwkc->hwc", bary, normals[corner])
    normal /= np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-12)
    return Atlas(place, normal, model.part[face], model.landmark_points(model.neutral))


def paint(atlas: Atlas, generator: np.random.Generator, *, beard: bool = False) -> NDArray[np.uint8]:
    """(S, S, 3) uint8: the texture of one person.

    Args:
        atlas: Of the face model.
        generator: The person: skin, hair, eyes.
        beard: Whether the lower face has the shadow of a shaved beard.
    """
    tone = generator.beta(1.4, 2.2)
    skin = _SKIN[0] * (1 - tone) + _SKIN[1] * tone
    hair = _HAIR[int(generator.integers(len(_HAIR)))] * (1 - 0.4 * tone)
    iris = _IRIS[int(generator.integers(len(_IRIS)))] * (1 - 0.3 * tone)
    x, y = atlas.place[..., 0], atlas.place[..., 1]
    image = np.broadcast_to(skin, atlas.place.shape).copy()
    image = _skin_detail(image, atlas, skin, generator)
    if beard:
        image = _blend(image, hair, 0.35 * _beard(atlas) * generator.uniform(0.4, 1.0))
    lips = skin * np.array([0.86, 0.56, 0.56]) + np.array([8.0, 4.0, 6.0])
    drawn = _drawn(atlas, generator)
    for layer, colour, strength in (
        ("lips", lips, 0.80),
        ("lip_line", lips * 0.35, 0.75),
        ("brows", hair, 0.85),
        ("nostrils", skin * 0.22, 0.85),
        ("crease", skin * 0.62, 0.5),
    ):
        image = _blend(image, colour, strength * _carried(drawn[layer], x, y))
    light = 0.80 + 0.20 * np.clip(atlas.normal @ np.array([0.0, 0.36, 0.93]), 0, 1)
    image *= light[..., None]
    image = _eyes(image, atlas, iris)
    image = _blend(image, hair * 0.5, 0.9 * _carried(drawn["lashes"], x, y))
    image = _mouth(image, atlas)
    image += generator.normal(0.0, 2.0, image.shape[:2])[..., None]
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def _blend(image: NDArray[np.float64], colour: Colour, weight: NDArray[np.float64]) -> NDArray[np.float64]:
    return image + weight[..., None] * (colour - image)


def _skin_detail(
    image: NDArray[np.float64], atlas: Atlas, skin: Colour, generator: np.random.Generator
) -> NDArray[np.float64]:
    """Blotches of several sizes, warmer cheeks, nose and ears, greyer orbits."""
    S = image.shape[0]
    for cells, amount in ((6, 0.035), (24, 0.025), (110, 0.02)):
        noise = zoom(generator.normal(0.0, 1.0, (cells, cells)), S / cells, order=1)[:S, :S]
        image = image * (1 + amount * noise)[..., None]
    x, y = np.abs(atlas.place[..., 0]), atlas.place[..., 1]
    warm = 0.35 * np.exp(-(((x - 38) / 16) ** 2) - ((y + 2) / 16) ** 2) + 0.3 * np.exp(-((x / 13) ** 2) - (y / 11) ** 2)
    image = _blend(image, skin * np.array([1.0, 0.78, 0.76]), warm)
    orbit = 0.35 * np.exp(-(((x - 30) / 17) ** 2) - ((y - 33) / 11) ** 2)
    return _blend(image, skin * np.array([0.80, 0.74, 0.76]), orbit)


def _beard(atlas: Atlas) -> NDArray[np.float64]:
    x, y = np.abs(atlas.place[..., 0]), atlas.place[..., 1]
    edge = -16.0 + 0.35 * np.clip(x - 20, 0, None)
    return np.asarray(1 / (1 + np.exp((y - edge) / 4.0)))


def _points(atlas: Atlas, numbers: range | tuple[int, ...]) -> NDArray[np.float64]:
    """(N, 2) float64: x and y of BU landmarks."""
    return np.array([atlas.landmarks[BU83.get(n, f"bu83_{n:02d}")][:2] for n in numbers])


def _pixels(points: NDArray[np.float64]) -> list[tuple[float, float]]:
    left, _, _, top = _CANVAS_MM
    return [((float(x) - left) * _CANVAS_SCALE, (top - float(y)) * _CANVAS_SCALE) for x, y in points]


def _smooth(points: NDArray[np.float64], closed: bool) -> NDArray[np.float64]:
    """A denser line through the points (Catmull-Rom)."""
    ring = np.concatenate([points[-1:], points, points[:2]]) if closed else points[[0, *range(len(points)), -1]]
    t = np.linspace(0, 1, 8, endpoint=False)[:, None]
    pieces = []
    for p0, p1, p2, p3 in zip(ring, ring[1:], ring[2:], ring[3:], strict=False):
        pieces.append(
            0.5 * (2 * p1 + (p2 - p0) * t + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2 + (3 * p1 - p0 - 3 * p2 + p3) * t**3)
        )
    return np.concatenate([*pieces, points[-1:]]) if not closed else np.concatenate(pieces)


def _drawn(atlas: Atlas, generator: np.random.Generator) -> dict[str, NDArray[np.float64]]:
    """Frontal canvases, 0 to 1, of what has outlines."""
    left, right, bottom, top = _CANVAS_MM
    size = (int((right - left) * _CANVAS_SCALE), int((top - bottom) * _CANVAS_SCALE))
    layers = {name: Image.new("L", size) for name in ("lips", "lip_line", "brows", "nostrils", "crease", "lashes")}
    draw = {name: ImageDraw.Draw(layer) for name, layer in layers.items()}
    draw["lips"].polygon(_pixels(_smooth(_points(atlas, range(49, 61)), True)), fill=255)
    upper = _points(atlas, (49, 61, 62, 63, 64, 65, 55))
    draw["lip_line"].line(_pixels(_smooth(upper, False)), fill=255, width=5)
    for brow in (range(17, 27), range(27, 37)):
        outline = _points(atlas, brow)
        draw["brows"].polygon(_pixels(_smooth(outline, True)), fill=170)
        _hairs(draw["brows"], outline, generator)
    for eye in ((1, 2, 3, 4, 5), (9, 10, 11, 12, 13)):
        lid = _smooth(_points(atlas, eye), False)
        draw["lashes"].line(_pixels(lid), fill=255, width=5)
        draw["crease"].line(_pixels(lid[4:] + np.array([0.0, 4.0])), fill=255, width=4)
    for eye in ((5, 6, 7, 8, 1), (13, 14, 15, 16, 9)):
        draw["lashes"].line(_pixels(_smooth(_points(atlas, eye), False)), fill=110, width=3)
    for side in (41, 44):
        x, y = _points(atlas, (side,))[0]
        cx, cy = _pixels(np.array([[0.75 * x, y + 1.6]]))[0]
        rx, ry = 3.0 * _CANVAS_SCALE, 1.5 * _CANVAS_SCALE
        draw["nostrils"].ellipse((cx - rx, cy - ry, cx + rx, cy + ry), fill=255)
    blur = {"lips": 2.5, "lip_line": 2.0, "brows": 2.5, "nostrils": 3.0, "crease": 4.0, "lashes": 1.5}
    return {
        name: np.asarray(layer.filter(ImageFilter.GaussianBlur(blur[name])), np.float64) / 255.0
        for name, layer in layers.items()
    }


def _hairs(draw: ImageDraw.ImageDraw, outline: NDArray[np.float64], generator: np.random.Generator) -> None:
    """Strokes of a brow, from its lower edge up and outwards."""
    lower, upper = outline[5:][::-1], outline[:5]  # both from the inner end outwards
    t = generator.uniform(0, 4, 90)
    start = np.stack([np.interp(t, range(5), lower[:, k]) for k in (0, 1)], axis=1)
    ahead = np.clip(t + 0.35, 0, 4)
    end = np.stack([np.interp(ahead, range(5), upper[:, k]) for k in (0, 1)], axis=1)
    reach = generator.uniform(0.0, 0.5, (90, 1))
    for a, b in zip(start + (end - start) * reach, start + (end - start) * (reach + 0.6), strict=True):
        draw.line(_pixels(np.stack([a, b])), fill=255, width=2)


def _carried(canvas: NDArray[np.float64], x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """The canvas at texels, by their frontal position."""
    left, _, _, top = _CANVAS_MM
    at = np.stack([(top - y) * _CANVAS_SCALE, (x - left) * _CANVAS_SCALE])
    return np.asarray(map_coordinates(canvas, at, order=1, mode="constant"))


def _eyes(image: NDArray[np.float64], atlas: Atlas, iris: Colour) -> NDArray[np.float64]:
    """White, iris with a dark rim, pupil, a highlight, the shadow of the upper lid."""
    x, y = atlas.place[..., 0], atlas.place[..., 1]
    ball = atlas.part == EYE
    for lids in (range(1, 9), range(9, 17)):
        outline = _points(atlas, lids)
        centre = outline[[0, 4]].mean(axis=0) * 0.5 + outline.mean(axis=0) * 0.5 + np.array([0.0, 0.6])
        here = ball & (np.hypot(x - centre[0], y - centre[1]) < 24)
        radius = np.hypot(x - centre[0], y - centre[1])
        colour = np.broadcast_to(np.array([228.0, 222.0, 216.0]), image.shape).copy()
        pink = np.clip((radius - 8) / 10, 0, 1)
        colour = _blend(colour, np.array([206.0, 160.0, 150.0]), 0.5 * pink)
        colour = _blend(colour, iris, _inside(radius, 5.9))
        colour = _blend(colour, iris * 0.45, np.exp(-(((radius - 5.5) / 0.8) ** 2)))
        colour = _blend(colour, np.array([14.0, 12.0, 12.0]), _inside(radius, 2.3))
        colour = _blend(
            colour, np.array([250.0, 250.0, 250.0]), _inside(np.hypot(x - centre[0] + 1.6, y - centre[1] - 1.8), 0.9)
        )
        lid = np.interp(np.sign(centre[0]) * x, *_sorted(np.sign(centre[0]) * outline[:5, 0], outline[:5, 1]))
        colour *= (1 - 0.45 * np.exp(-np.clip(lid - y, 0, None) / 1.6))[..., None]
        image = np.where(here[..., None], colour, image)
    return image


def _sorted(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    order = np.argsort(x)
    return x[order], y[order]


def _inside(radius: NDArray[np.float64], edge: float) -> NDArray[np.float64]:
    """1 within the edge, 0 outside, soft over half a millimetre."""
    return np.clip((edge - radius) / 0.5 + 0.5, 0, 1)


def _mouth(image: NDArray[np.float64], atlas: Atlas) -> NDArray[np.float64]:
    """Dark red, darker the deeper behind the lips."""
    inside = atlas.part == MOUTH
    if not inside.any():
        return image
    depth = np.clip((atlas.place[..., 2][inside].max() - atlas.place[..., 2]) / 14.0, 0, 1)
    colour = np.array([120.0, 56.0, 52.0]) * (1 - depth[..., None]) + np.array([34.0, 14.0, 14.0]) * depth[..., None]
    return np.where(inside[..., None], colour, image)
