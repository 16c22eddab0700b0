"""Hair, beards and clothes that cover a head: coats, whose thickness is a function of the place on the head.

A coat is the surface of face and bust, moved outwards where its thickness is positive; elsewhere it ends below the
skin. Its relief are random waves. Long hair and buns are solids besides (`fer3d.synth.solids`).

Convention: mm, frame of the face model. Sizes are our choice.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from fer3d.face.model import SKIN
from fer3d.kernels.shading import area_normals
from fer3d.synth.looks.bust import Head, bust, used
from fer3d.synth.solids import Array, Mesh, Part, Rows, Waves, chain, ellipsoid, merged, moulded, roughened

_BELOW = -2.0  # mm: where a coat ends below the skin
_COARSE = 3.2  # triangles with a longer mean edge are divided into four, mm
Generator = np.random.Generator


class Surface(NamedTuple):
    """Face and bust as one surface that coats grow on.

    Attributes:
        points: (N, 3) float64. triangles: (M, 3) int32.
        away: (N, 3) float64. Unit vectors outwards, smoother than the normals.
        azimuth: (N,) float64. Angle from the front about the vertical axis of the cranium, 0 to pi, radians.
    """

    points: Array
    triangles: Rows
    away: Array
    azimuth: Array


@lru_cache(maxsize=2)
def surface(head: Head, kinds: tuple[str, ...] = ("cranium", "neck")) -> Surface:
    """The surface of a head with the parts of the bust that `kinds` names."""
    model = head.model
    face = (head.shape, np.ascontiguousarray(model.triangles[model.part == SKIN]))
    points, triangles = merged([face, bust(head, kinds)])
    normals = area_normals(points, triangles).astype(np.float64)
    low = head.chin[1] - 20.0
    axis = np.stack([0 * points[:, 0], np.clip(points[:, 1], low, head.centre[1]), 0 * points[:, 0]], axis=1)
    axis[:, 2] = head.centre[2]
    radial = points - axis
    radial /= np.maximum(np.linalg.norm(radial, axis=1, keepdims=True), 1e-9)
    away = 0.35 * normals + 0.65 * radial
    away /= np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1e-9)
    return Surface(points, triangles, away, np.arctan2(np.abs(radial[:, 0]), radial[:, 2]))


def coat(on: Surface, thickness: Callable[[Surface], Array], hang: ArrayLike = (0.0, 0.0, 0.0)) -> Mesh:
    """The outer surface of a coat.

    Args:
        on: What it covers.
        thickness: Surface -> (N,) thickness, mm; not positive where there is no coat.
        hang: (3,). Shift per mm of thickness, besides the one outwards; long hair hangs down.
    """
    first = thickness(on)
    kept = (first[on.triangles] > 0).any(axis=1)
    fine = _divided(on, on.triangles[kept])
    thick = thickness(fine)
    triangles = fine.triangles[(thick[fine.triangles] > 0).any(axis=1)]
    moved = fine.points + np.maximum(thick, _BELOW)[:, None] * fine.away
    moved += np.maximum(thick, 0.0)[:, None] * np.asarray(hang, np.float64)
    return used(moved, triangles)


def _divided(on: Surface, triangles: Rows) -> Surface:
    """The surface of some triangles, the coarse ones divided into four."""
    p = on.points
    edges = np.stack([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]], axis=1)  # (M, 3, 2)
    length = np.linalg.norm(p[edges[..., 0]] - p[edges[..., 1]], axis=2)
    coarse = length.mean(axis=1) > _COARSE
    cut = np.sort(edges[coarse].reshape(-1, 2), axis=1)
    if not len(cut):
        return on._replace(triangles=triangles)
    N = len(p)
    _, first, place = np.unique(cut[:, 0].astype(np.int64) * N + cut[:, 1], return_index=True, return_inverse=True)
    a, b = cut[first].T
    middle = (N + place.reshape(-1, 3)).astype(np.int32)
    i, j, k = triangles[coarse].T
    ij, jk, ki = middle.T
    quarters = np.stack([i, ij, ki, ij, j, jk, ki, jk, k, ij, jk, ki], axis=1).reshape(-1, 3)
    away = on.away[a] + on.away[b]
    away /= np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1e-9)
    return Surface(
        np.concatenate([p, (p[a] + p[b]) / 2]),
        np.concatenate([triangles[~coarse], quarters]).astype(np.int32),
        np.concatenate([on.away, away]),
        np.concatenate([on.azimuth, (on.azimuth[a] + on.azimuth[b]) / 2]),
    )


def _ramp(x: Array, width: float) -> Array:
    """-0.2 below 0 rising smoothly to 1 at `width`."""
    t = np.clip(x / width, 0.0, 1.0)
    return np.asarray(np.where(x < 0, np.maximum(x / width, -0.2), np.sqrt(t * (2 - t))))


def _hairline(head: Head, generator: Generator) -> Callable[[Surface], Array]:
    """Surface -> (N,) mm above the hairline of a head."""
    front, temple = generator.uniform(48.0, 92.0), generator.uniform(28.0, 62.0)
    sideburn, nape = generator.uniform(-40.0, 5.0), generator.uniform(-110.0, -45.0)
    angles = np.radians([0, 25, 48, 68, 84, 100, 120, 140, 180])
    levels = np.array([front, front + 2, 0.5 * (front + temple), temple, sideburn, 2.0, -20.0, nape, nape])
    edge = Waves.drawn(generator, 30.0)

    def above(on: Surface) -> Array:
        return np.asarray(on.points[:, 1] - head.eye - np.interp(on.azimuth, angles, levels) + 2.0 * edge(on.points))

    return above


def _hair(
    head: Head, generator: Generator, thick: float, lumps: float, length: float, ridged: float, soft: float = 1.0
) -> Mesh:
    """A cap of hair with relief of the given height and length, mm; the larger `soft`, the softer its edge."""
    above, waves, volume = _hairline(head, generator), Waves.drawn(generator, length), Waves.drawn(generator, 130.0)
    ramp = soft * generator.uniform(6.0, 30.0)
    parting = float(generator.uniform(-35.0, 35.0)) if generator.random() < 0.4 else None

    def thickness(on: Surface) -> Array:
        up = above(on)
        relief = waves(on.points)
        relief = (1 - ridged) * relief + ridged * (1.2 - 1.8 * np.abs(relief))
        grown = thick * (1 + 0.22 * volume(on.points)) + lumps * relief
        if parting is not None:
            line = np.exp(-(((on.points[:, 0] - parting) / 7.0) ** 2)) * (on.azimuth < 1.6)
            grown = grown * (1 - 0.5 * line)
        return np.asarray(_ramp(up, ramp) * np.maximum(grown, 1.0))

    return coat(surface(head), thickness)


def short_hair(head: Head, generator: Generator) -> Mesh:
    """Short straight hair."""
    thick = float(generator.uniform(3.0, 20.0))
    return _hair(head, generator, thick, 0.12 * thick + 0.4, float(generator.uniform(9.0, 26.0)), 0.3)


def curls(head: Head, generator: Generator) -> Mesh:
    """Thick curly hair."""
    thick = float(generator.uniform(14.0, 55.0))
    lumps, length = float(generator.uniform(2.5, 7.0)), float(generator.uniform(16.0, 38.0))
    return _hair(head, generator, thick, lumps, length, 0.9, max(1.0, thick / 14.0))


def bun(head: Head, generator: Generator) -> Mesh:
    """Hair tied back into a bun."""
    cap = _hair(head, generator, float(generator.uniform(3.0, 9.0)), 0.6, 14.0, 0.3)
    size, up = generator.uniform(22.0, 44.0), generator.uniform(-0.25, 1.25)  # mm, radians above the horizontal
    way = np.array([0.0, np.sin(up), -np.cos(up)])
    at = head.centre + head.radii * way + 0.6 * size * way
    knot = moulded([ellipsoid(at, (size * generator.uniform(0.8, 1.3), size, size))], step=2.5)
    return merged([cap, roughened(knot, 0.06 * size, Waves.drawn(generator, 18.0, (1, 1, 3)), 0.6)])


def long_hair(head: Head, generator: Generator) -> Mesh:
    """Hair down to the neck, the shoulders or the back, behind the face or over its sides."""
    thick = float(generator.uniform(7.0, 20.0))
    cap = _hair(head, generator, thick, 1.0, 16.0, 0.3)
    end, forward = generator.uniform(20.0, 200.0), generator.uniform(-0.30, 0.20)
    wave, c, r = generator.uniform(0.0, 14.0), head.centre, head.radii
    parts: list[Part] = []
    lowest = head.chin[1] + 30.0 - end
    for azimuth in np.linspace(1.62 - forward, np.pi, 6):
        for sign in (1.0, -1.0) if azimuth < 3.1 else (1.0,):
            y = np.linspace(c[1] + 0.72 * r[1], lowest + generator.uniform(-15.0, 15.0), 9)
            flare = 1.0 + 0.10 * np.linspace(0, 1, 9) * generator.uniform(-1.0, 1.5)
            flare *= np.sqrt(1 - np.clip((y - c[1]) / r[1], 0, 1) ** 2)
            sway = wave * np.sin(np.linspace(0, 7, 9) + generator.uniform(0, 6.3)) * np.linspace(0, 1, 9)
            side = sign * (r[0] + 4.0) * np.sin(azimuth) * flare + sign * sway
            parts += chain(
                np.stack([side, y, c[2] + (r[2] - 4.0) * np.cos(azimuth) * flare + 0.5 * sway], axis=1),
                np.array([0.5, 0.8, 1.1, 1.1, 1.05, 1.0, 0.95, 0.85, 0.7]) * (thick + 6.0),
            )
    mane = moulded(parts, step=4.0, smooth=22.0)
    strands = Waves.drawn(generator, generator.uniform(9.0, 22.0), (1, 6, 1))
    return merged([cap, roughened(mane, float(generator.uniform(0.8, 2.4)), strands, 0.5)])


def fringe(head: Head, generator: Generator) -> Mesh:
    """A fringe over the forehead, down to the brows or over them."""
    low, thick = generator.uniform(2.0, 42.0), generator.uniform(5.0, 16.0)
    slant, width = generator.uniform(-0.5, 0.5), generator.uniform(0.6, 1.05)
    edge = Waves.drawn(generator, generator.uniform(7.0, 20.0), (1, 8, 1))

    def thickness(on: Surface) -> Array:
        x, y = on.points[:, 0], on.points[:, 1]
        strands = edge(on.points)
        up = y - head.eye - low - slant * x + 4.0 * strands
        sides = (width - on.azimuth) * 90.0
        shape = np.minimum(_ramp(up, 10.0), _ramp(sides, 14.0))
        shape = np.minimum(shape, _ramp(1.5 - on.azimuth, 0.3))
        return np.asarray(shape * (thick + 0.12 * thick * strands))

    return coat(surface(head), thickness)


def beard(head: Head, generator: Generator) -> Mesh:
    """A beard over jaw and chin, from stubble of 3 mm to a long one; usually with a moustache."""
    at = head.model.landmark_points(head.shape)
    thick, long = generator.uniform(2.5, 14.0), max(0.0, generator.uniform(-30.0, 45.0))
    cheek, throat = generator.uniform(-0.1, 0.45), generator.uniform(12.0, 45.0)
    waves = Waves.drawn(generator, generator.uniform(6.0, 20.0), (1, 2, 1))
    lips, bare = (at["labiale_superius"] + at["labiale_inferius"]) / 2, generator.uniform(1.0, 1.25)
    half_lips = np.array([0.5 * np.ptp([at["cheilion_left"][0], at["cheilion_right"][0]]) + 2.0, 0.0])
    half_lips[1] = 0.5 * (at["labiale_superius"][1] - at["labiale_inferius"][1]) + 2.0
    upper = generator.random() < 0.7
    chin = head.chin

    def thickness(on: Surface) -> Array:
        x, y = np.abs(on.points[:, 0]), on.points[:, 1]
        side = np.clip((x - 20.0) / max(head.half - 26.0, 10.0), 0, 1)
        top = (1 - side) * (at["subnasale"][1] - 3.0 if upper else lips[1] - 6.0) + side * (head.eye - 8.0)
        top = top - 60.0 * (side * (1 - side)) * (1 - cheek)
        edge = np.minimum(top - y, y - (chin[1] - throat))
        mouth = (np.hypot(on.points[:, 0] / half_lips[0], (y - lips[1]) / half_lips[1]) - bare) * 12.0
        edge = np.minimum(np.minimum(edge, mouth), (1.45 - on.azimuth) * 60.0)
        centre = np.exp(-(((on.points[:, 0]) / 30.0) ** 2) - ((y - chin[1] + 4.0) / 22.0) ** 2)
        grown = thick * (1 + 0.25 * waves(on.points)) + 0.6 * long * centre
        return np.asarray(_ramp(edge, max(9.0, 1.3 * thick)) * np.maximum(grown, 1.0))

    return coat(surface(head), thickness, (0.0, -0.5 * float(long > 0), 0.0))


def moustache(head: Head, generator: Generator) -> Mesh:
    """A moustache."""
    at = head.model.landmark_points(head.shape)
    thick, reach = generator.uniform(3.0, 11.0), generator.uniform(0.8, 1.35)
    half = reach * abs(at["cheilion_left"][0] - at["cheilion_right"][0]) / 2
    high = at["subnasale"][1]
    low = min(at["labiale_superius"][1], high - 9.0)
    over, droop = generator.uniform(-2.0, 5.0), generator.uniform(-4.0, 16.0)
    waves = Waves.drawn(generator, 9.0, (1, 2.5, 1))

    def thickness(on: Surface) -> Array:
        x, y = on.points[:, 0], on.points[:, 1]
        side = np.abs(x) / half
        bend = droop * side**2
        edge = np.minimum(high - 1.5 - bend - y, y - (low - over - bend))
        edge = np.minimum(np.minimum(edge, (1 - side) * 0.5 * half), (1.2 - on.azimuth) * 40.0)
        return np.asarray(_ramp(edge, 5.0) * thick * (1 + 0.18 * waves(on.points) - 0.3 * np.exp(-((x / 2.5) ** 2))))

    return coat(surface(head), thickness)


def headband(head: Head, generator: Generator) -> Mesh:
    """A band around the head, narrow or wide, over the forehead or behind the hairline."""
    low, width = generator.uniform(38.0, 68.0), generator.uniform(12.0, 70.0)
    tilt, thick = generator.uniform(-0.45, 0.1), generator.uniform(1.5, 6.0)
    folds = Waves.drawn(generator, 26.0, (3, 1, 3))

    def thickness(on: Surface) -> Array:
        level = on.points[:, 1] - head.eye - low + tilt * (on.points[:, 2] - head.centre[2] - head.radii[2])
        return np.asarray(_ramp(np.minimum(level, width - level), 2.5) * (thick + 0.12 * thick * folds(on.points)))

    return coat(surface(head), thickness)


def cap(head: Head, generator: Generator) -> Mesh:
    """A cap with a peak, or a knitted cap without."""
    low, thick = generator.uniform(35.0, 62.0), generator.uniform(5.0, 14.0)
    tilt, peaked = generator.uniform(0.0, 0.3), generator.random() < 0.6
    folds = Waves.drawn(generator, 40.0, (1, 3, 1)) if peaked else Waves.drawn(generator, 9.0, (1, 12, 1))
    front = head.centre[2] + head.radii[2]

    def thickness(on: Surface) -> Array:
        level = on.points[:, 1] - head.eye - low - tilt * (on.points[:, 2] - front)
        return np.asarray(_ramp(level, 4.0) * (thick + (0.6 if peaked else 1.1) * folds(on.points)))

    crown = coat(surface(head), thickness)
    return merged([crown, _peak(head, low, thick, generator)]) if peaked else crown


def _peak(head: Head, low: float, thick: float, generator: Generator) -> Mesh:
    """The peak of a cap: a bent plate of 3 mm, in front of the forehead."""
    reach, drop, bend = generator.uniform(45.0, 78.0), generator.uniform(0.05, 0.5), generator.uniform(0.0, 0.006)
    u, v = np.meshgrid(np.linspace(-1, 1, 49), np.linspace(0, 1, 17))
    angle = u * 1.05
    radius = head.radii + thick
    x = radius[0] * np.sin(angle) * (1 - 0.12 * v)
    z = head.centre[2] + radius[2] * np.cos(angle) - 10.0 + (reach + 10.0) * v * (1 - 0.35 * u**2)
    y = head.eye + low + 7.0 - drop * (z - head.centre[2] - 0.5 * radius[2]) * v - bend * x**2
    y = np.maximum(y, head.eye + 14.0)
    top = np.stack([x, y, z], axis=-1)
    return plate(top, np.array([0.0, 3.0, 0.0]))


def plate(grid: Array, thick: Array) -> Mesh:
    """A closed plate: a grid (H, W, 3) and its copy shifted by `thick` (3,)."""
    H, W = grid.shape[:2]
    points = np.concatenate([(grid + thick).reshape(-1, 3), grid.reshape(-1, 3)])
    row = np.arange(H * W).reshape(H, W)
    a, b, c, d = row[:-1, :-1], row[:-1, 1:], row[1:, 1:], row[1:, :-1]
    upper = np.stack([a, d, c, a, c, b], axis=-1).reshape(-1, 3)
    rim = np.concatenate([row[0, :-1], row[:-1, -1], row[-1, :0:-1], row[:0:-1, 0]])
    after, n = np.roll(rim, -1), H * W
    wall = np.stack([rim, after, after + n, rim, after + n, rim + n], axis=1).reshape(-1, 3)
    return points, np.concatenate([upper, upper[:, ::-1] + n, wall]).astype(np.int32)


def hood(head: Head, generator: Generator) -> Mesh:
    """A hood, headscarf or balaclava: cloth around the face, with folds."""
    top, side = generator.uniform(30.0, 85.0), generator.uniform(0.75, 1.35)
    bottom, thick = generator.uniform(18.0, 60.0), generator.uniform(5.0, 30.0)
    folds = Waves.drawn(generator, generator.uniform(25.0, 60.0), (1, 2, 1))
    middle = (head.eye + top + head.chin[1] - bottom) / 2
    tall = (head.eye + top - head.chin[1] + bottom) / 2

    def thickness(on: Surface) -> Array:
        out = np.hypot(on.azimuth / side, (on.points[:, 1] - middle) / tall) - 1.0
        return np.asarray(_ramp(out * 60.0, 6.0) * (thick + 0.16 * thick * folds(on.points)))

    return coat(surface(head, ("cranium", "neck")), thickness)
