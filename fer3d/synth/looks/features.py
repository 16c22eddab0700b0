"""Facial features with outlines, drawn on a frontal canvas: lips, brows, lashes, lids, nostrils, lines; and eyeballs.

Outlines go through landmarks of the neutral face; a texel takes the value of the canvas at its frontal position.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter
from scipy.ndimage import map_coordinates

from fer3d.landmarks import bu83_name

Array = NDArray[np.floating]
Landmarks = dict[str, NDArray[np.float64]]

_CANVAS_MM = (-90.0, 90.0, -110.0, 130.0)  # left, right, bottom, top of the frontal canvas
_CANVAS_SCALE = 4.0  # pixels of the canvas per mm
_BLUR = {"lips": 3.0, "lip_line": 1.5, "brows": 1.0, "nostrils": 3.0, "crease": 3.0, "lashes": 1.2, "lines": 3.0}


class Brow(NamedTuple):
    """Brows of a person: `thickness` as a factor on that of the landmarks, `density` of the hairs in [0, 1]."""

    thickness: float
    density: float


class Pen(NamedTuple):
    """Style of a line: `width` at its middle and `blur` in mm, darkness `dark` in [0, 1]."""

    width: float
    blur: float
    dark: float = 1.0


def points(landmarks: Landmarks, numbers: range | tuple[int, ...]) -> Array:
    """(N, 2) float64: x and y of the landmarks with these BU numbers."""
    return np.array([landmarks[bu83_name(n)][:2] for n in numbers])


def drawn(landmarks: Landmarks, brow: Brow, lashes: float, generator: np.random.Generator) -> dict[str, Array]:
    """Draw the features: name -> canvas, 0 to 1, of lips, lip_line, brows, nostrils, crease, lashes, lines (of age).

    Args:
        landmarks: Landmarks on the neutral face.
        brow: Growth of the brows.
        lashes: Density of the lashes, 0 to 1.
        generator: Source of random numbers for hairs and lines.
    """
    left, right, bottom, top = _CANVAS_MM
    size = (int((right - left) * _CANVAS_SCALE), int((top - bottom) * _CANVAS_SCALE))
    layers = {name: Image.new("L", size) for name in _BLUR}
    draw = {name: ImageDraw.Draw(layer) for name, layer in layers.items()}
    draw["lips"].polygon(_pixels(_smooth(points(landmarks, range(49, 61)), True)), fill=255)
    between = points(landmarks, (49, 61, 62, 63, 64, 65, 55))
    draw["lip_line"].line(_pixels(_smooth(between, False)), fill=255, width=4)
    for numbers in (range(17, 27), range(27, 37)):
        _draw_brow(draw["brows"], points(landmarks, numbers), brow, generator)
    for upper, lower in (((1, 2, 3, 4, 5), (5, 6, 7, 8, 1)), ((9, 10, 11, 12, 13), (13, 14, 15, 16, 9))):
        _draw_lids(draw, points(landmarks, upper), points(landmarks, lower), lashes, generator)
    for side in (41, 44):
        x, y = points(landmarks, (side,))[0]
        cx, cy = _pixels(np.array([[0.65 * x, y + 1.6]]))[0]
        rx, ry = 3.0 * _CANVAS_SCALE, 1.5 * _CANVAS_SCALE
        draw["nostrils"].ellipse((cx - rx, cy - ry, cx + rx, cy + ry), fill=255)
    _draw_lines(draw["lines"], landmarks, generator)
    return {
        name: np.asarray(layer.filter(ImageFilter.GaussianBlur(_BLUR[name])), np.float32) / np.float32(255.0)
        for name, layer in layers.items()
    }


def dotted(centres: Array, radii: Array, dark: Array) -> Array:
    """A canvas with blurred discs: centres (N, 2) in mm, radii (N,) in mm, darkness (N,) from 0 to 1."""
    left, right, bottom, top = _CANVAS_MM
    layer = Image.new("L", (int((right - left) * _CANVAS_SCALE), int((top - bottom) * _CANVAS_SCALE)))
    draw = ImageDraw.Draw(layer)
    for (x, y), radius, value in zip(_pixels(centres), radii * _CANVAS_SCALE, dark, strict=True):
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=int(255 * value))
    return np.asarray(layer.filter(ImageFilter.GaussianBlur(1.2)), np.float32) / np.float32(255.0)


def stroked(
    lines: Sequence[Array], pens: Sequence[Pen], place: Array, where: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Draw lines that fade out at their ends; return the texels that they touch and the darkness of each.

    Args:
        lines: Arrays (M, 2) of points, mm.
        pens: Every line is drawn with each of these pens; the strokes add up.
        place: (S, S, 3), see `carried`.
        where: (S, S). Whether a texel may be drawn on.

    Returns:
        (N,) int64: flat indices of texels, and (N,) float32: their darkness, above 0.
    """
    every = np.concatenate(lines)
    reach = max(pen.width + 3 * pen.blur for pen in pens)
    low, high = every.min(axis=0) - reach, every.max(axis=0) + reach
    size = np.ceil((high - low) * _CANVAS_SCALE).astype(int)
    smooth = [(_smooth(line, False) - (low[0], high[1])) * (_CANVAS_SCALE, -_CANVAS_SCALE) for line in lines]
    canvas = np.zeros((size[1], size[0]), np.float32)
    for pen in pens:
        canvas += _strokes(smooth, pen, (int(size[0]), int(size[1])))
    x, y = place[..., 0].ravel(), place[..., 1].ravel()
    texel = np.flatnonzero(where.ravel() & (x > low[0]) & (x < high[0]) & (y > low[1]) & (y < high[1]))
    at = np.stack([(high[1] - y[texel]) * _CANVAS_SCALE, (x[texel] - low[0]) * _CANVAS_SCALE])
    value = map_coordinates(canvas, at, output=np.float32, order=1, mode="constant")
    return texel[value > 0], value[value > 0]


def _strokes(lines: Sequence[Array], pen: Pen, size: tuple[int, int]) -> Array:
    """A canvas of `size` (width, height) pixels with lines through (M, 2) pixel positions."""
    layer = Image.new("L", size)
    draw = ImageDraw.Draw(layer)
    for line in lines:
        pressure = np.sqrt(np.sin(np.pi * (np.arange(len(line) - 1) + 0.5) / (len(line) - 1)))
        for (x, y), (x2, y2), press in zip(line[:-1], line[1:], pressure, strict=True):
            thick = max(round(pen.width * _CANVAS_SCALE * press), 1)
            draw.line((x, y, x2, y2), fill=round(255 * press * pen.dark), width=thick)
    return np.asarray(layer.filter(ImageFilter.GaussianBlur(pen.blur * _CANVAS_SCALE)), np.float32) / np.float32(255.0)


def carried(canvas: Array, place: Array) -> Array:
    """(S, S) float32: values of the canvas at the frontal positions of texels; `place` is (S, S, 3)."""
    left, _, _, top = _CANVAS_MM
    at = np.stack([(top - place[..., 1]) * _CANVAS_SCALE, (place[..., 0] - left) * _CANVAS_SCALE])
    return np.asarray(map_coordinates(canvas, at, output=np.float32, order=1, mode="constant"))


def _pixels(at: Array) -> list[tuple[float, float]]:
    left, _, _, top = _CANVAS_MM
    return [((float(x) - left) * _CANVAS_SCALE, (top - float(y)) * _CANVAS_SCALE) for x, y in at]


def _smooth(at: Array, closed: bool) -> Array:
    """Interpolate a line through the points densely by a Catmull-Rom spline."""
    ring = np.concatenate([at[-1:], at, at[:2]]) if closed else at[[0, *range(len(at)), -1]]
    t = np.linspace(0, 1, 8, endpoint=False)[:, None]
    pieces = []
    for p0, p1, p2, p3 in zip(ring, ring[1:], ring[2:], ring[3:], strict=False):
        pieces.append(
            0.5 * (2 * p1 + (p2 - p0) * t + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2 + (3 * p1 - p0 - 3 * p2 + p3) * t**3)
        )
    return np.concatenate([*pieces, at[-1:]]) if not closed else np.concatenate(pieces)


def _draw_brow(draw: ImageDraw.ImageDraw, outline: Array, brow: Brow, generator: np.random.Generator) -> None:
    """Draw the hairs of a brow over a faint shade: they point up at its inner end and along it at its tail."""
    upper, lower = outline[:5], outline[5:][::-1]  # both from the inner end outwards
    middle = (upper + lower) / 2
    half = (upper - lower) / 2 * brow.thickness
    shade = np.concatenate([middle + 0.75 * half, (middle - 0.75 * half)[::-1]])
    draw.polygon(_pixels(_smooth(shade, True)), fill=int(40 + 60 * brow.density))
    hairs = int(60 + 200 * brow.density)
    t = 4 * generator.beta(1.0, 1.15, hairs)
    off = generator.uniform(-1.0, 1.0, hairs)
    dark = generator.integers(110, 255, hairs)
    length = generator.uniform(2.6, 5.2, hairs)
    lean = generator.normal(0.0, 0.12, hairs)
    along = np.array([np.interp(t, range(5), np.gradient(middle[:, k])) for k in (0, 1)]).T
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    across = np.array([np.interp(t, range(5), half[:, k]) for k in (0, 1)]).T
    start = np.array([np.interp(t, range(5), middle[:, k]) for k in (0, 1)]).T + off[:, None] * across
    # Hairs above the middle lie flat, hairs below stand up; they are steepest at the inner end.
    rise = 0.9 * np.exp(-t / 1.1) + 0.12 - 0.45 * off * np.clip(t / 3, 0, 1)
    way = along + (rise + lean)[:, None] * np.array([0.0, 1.0])
    end = start + way / np.linalg.norm(way, axis=1, keepdims=True) * length[:, None]
    for a, b, fill in zip(start, end, dark, strict=True):
        draw.line(_pixels(np.stack([a, b])), fill=int(fill), width=2)


def _draw_lids(
    draw: dict[str, ImageDraw.ImageDraw], upper: Array, lower: Array, lashes: float, generator: np.random.Generator
) -> None:
    lid = _smooth(upper, False)
    draw["lashes"].line(_pixels(lid), fill=int(150 + 105 * lashes), width=4)
    draw["crease"].line(_pixels(lid[4:] + np.array([0.0, 3.6])), fill=255, width=4)
    draw["lashes"].line(_pixels(_smooth(lower, False)), fill=int(40 + 60 * lashes), width=3)
    away = np.sign(lid[-1, 0] - lid[0, 0])
    for share in np.sort(generator.uniform(0.15, 1.0, int(10 + 24 * lashes))):
        root = lid[int(share * (len(lid) - 1))]
        tip = root + np.array([away * (2.4 * share - 0.6), 1.0 + 0.8 * lashes]) * generator.uniform(0.6, 1.1)
        draw["lashes"].line(_pixels(np.stack([root, tip])), fill=int(90 + 90 * lashes), width=1)


def _draw_lines(draw: ImageDraw.ImageDraw, landmarks: Landmarks, generator: np.random.Generator) -> None:
    """Draw lines of age: on the forehead, beside the eyes, and from the wings of the nose to the mouth."""
    brow = points(landmarks, (19,))[0]
    for level in (14.0, 21.0, 28.0):
        x = np.linspace(-1.0, 1.0, 9) * generator.uniform(0.75, 1.0) * brow[0] * 1.7
        y = brow[1] + level + 2.0 * np.cos(x / brow[0] * 1.6) + generator.normal(0.0, 0.7, 9)
        draw.line(_pixels(_smooth(np.stack([x, y], axis=1), False)), fill=int(generator.integers(90, 190)), width=3)
    for side, (corner, wing, mouth) in ((1, (5, 40, 49)), (-1, (13, 45, 55))):
        eye, nose, lip = points(landmarks, (corner, wing, mouth))
        for lift in (4.0, 0.0, -4.0):
            tip = eye + np.array([side * 9.0, lift + generator.normal(0.0, 1.0)])
            draw.line(_pixels(np.stack([eye + np.array([side * 2.5, 0.3 * lift]), tip])), fill=130, width=2)
        fold = np.stack([nose, (nose + lip) / 2, lip]) + np.array([(side * 2, 2), (side * 5, 0), (side * 4, 1)])
        draw.line(_pixels(_smooth(fold, False)), fill=255, width=4)


def eyeball(place: Array, outline: Array, iris: Array, generator: np.random.Generator) -> Array:
    """(P, 3): colour of texels on the eyeball behind a pair of lids.

    Args:
        place: (P, 3). Points of the texels.
        outline: (8, 2) float64. Lid landmarks: the upper lid from the inner corner outwards, then the lower lid back.
        iris: (3,). Colour of the iris.
        generator: Source of random numbers for the streaks of the iris.
    """
    x, y = place[:, 0], place[:, 1]
    centre = outline[[0, 4]].mean(axis=0) * 0.5 + outline.mean(axis=0) * 0.5 + np.array([0.0, 0.6])
    dx, dy = x - centre[0], y - centre[1]
    radius, angle = np.hypot(dx, dy), np.arctan2(dy, dx)
    colour = blend(np.broadcast_to(rgb(200, 192, 186), place.shape), rgb(186, 132, 122), 0.6 * _ramp(radius, 7, 18))
    inner = np.hypot(x - outline[0, 0], y - outline[0, 1])
    colour = blend(colour, rgb(196, 116, 108), 0.9 * (1 - _ramp(inner, 0, 4.5)))
    waves = generator.uniform(0, 2 * np.pi, 4)
    streaks = sum(np.cos(n * angle + w) for n, w in zip((9, 17, 29, 41), waves, strict=True)) / 4
    inside = iris * (1 + 0.22 * streaks + 0.25 * np.exp(-(((radius - 3.2) / 1.0) ** 2)))[:, None]
    colour = blend(colour, inside, soft_inside(radius, 5.8))
    colour = blend(colour, iris * 0.38, np.exp(-(((radius - 5.6) / 0.75) ** 2)) * 0.85)
    colour = blend(colour, rgb(12, 10, 10), soft_inside(radius, 2.2))
    lid = np.interp(np.sign(centre[0]) * x, *_sorted(np.sign(centre[0]) * outline[:5, 0], outline[:5, 1]))
    return np.asarray(colour * (1 - 0.55 * np.exp(-np.clip(lid - y, 0, None) / 1.8))[:, None])


def rgb(red: float, green: float, blue: float) -> NDArray[np.float32]:
    """(3,) float32: a colour, or factors on a colour. Painting uses float32, because float64 takes twice as long."""
    return np.array([red, green, blue], np.float32)


def blend(image: Array, colour: Array, weight: Array) -> Array:
    """Blend a colour, (3,) or (..., 3), over the image (..., 3) with `weight` (...) in [0, 1]; float32."""
    return np.asarray(image + weight[..., None].astype(np.float32) * (colour.astype(np.float32) - image))


def _ramp(x: Array, low: float, high: float) -> Array:
    return np.asarray(np.clip((x - low) / (high - low), 0, 1))


def soft_inside(radius: Array, edge: float) -> Array:
    """1 inside the edge, 0 outside, with a linear transition of half a millimetre."""
    return np.asarray(np.clip((edge - radius) / 0.5 + 0.5, 0, 1))


def _sorted(x: Array, y: Array) -> tuple[Array, Array]:
    order = np.argsort(x)
    return x[order], y[order]
