"""Things that are no faces, as laboratories scan them by mistake: to teach and test a detector what to refuse.

Each kind has many sizes and shapes. A thing has any orientation: its own frame means nothing.
Animals and hands are in `fer3d.synth.creatures`.

Convention: mm. Sizes are our choice.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.spatial.transform import Rotation

from fer3d.checks import check_choice
from fer3d.synth.creatures import animal, hand, shoe, torso
from fer3d.synth.looks.bust import ear
from fer3d.synth.looks.growth import plate
from fer3d.synth.solids import (
    Array,
    Mesh,
    Part,
    Waves,
    box,
    capsule,
    chain,
    ellipsoid,
    lathed,
    merged,
    moulded,
    roughened,
    torus,
)

Generator = np.random.Generator


def thing(kind: str, generator: Generator) -> Mesh:
    """Make a thing that is no face.

    Args:
        kind: One of `KINDS`.
        generator: Source of all sizes and shapes.

    Returns:
        points (N, 3) float64, mm, with the middle of the bounding box at the origin, 60 mm to 3 m long; triangles
        (M, 3) int32, counter-clockwise seen from outside.

    Raises:
        ArgumentError: if `kind` is unknown.
    """
    check_choice("kind", kind, KINDS)
    points, triangles = KINDS[kind](generator)
    low, high = points.min(axis=0), points.max(axis=0)
    return points - (low + high) / 2, triangles


def _back_of_head(g: Generator) -> Mesh:
    """A head from behind: cranium with hair, ears and neck, smooth where the face would be."""
    r = np.array([g.uniform(68.0, 84.0), g.uniform(88.0, 110.0), g.uniform(84.0, 102.0)])
    neck = g.uniform(48.0, 64.0)
    parts = [ellipsoid((0, 0, 0), r), ellipsoid((0, -0.55 * r[1], 0.2 * r[2]), (0.72 * r[0], 60.0, 0.55 * r[2]))]
    parts.append(capsule((0, -40.0, -0.15 * r[2]), (0, -180.0, -0.35 * r[2]), neck))
    if g.random() < 0.5:
        wide, y = g.uniform(110.0, 170.0), -g.uniform(200.0, 235.0)
        parts.append(capsule((-wide, y, -40.0), (wide, y, -40.0), g.uniform(48.0, 62.0)))
    if g.random() < 0.3:
        way = np.array([0.0, np.sin(up := g.uniform(-0.3, 1.2)), -np.cos(up)])
        parts.append(ellipsoid(r * way * 1.2, np.full(3, g.uniform(20.0, 42.0))))
    head = moulded(parts, step=5.0, smooth=g.uniform(12.0, 30.0))
    points, triangles = head
    hairline, thick = g.uniform(-0.9, 0.0) * r[1], g.uniform(2.0, 40.0)
    relief = Waves.drawn(g, g.uniform(14.0, 40.0), (1, g.uniform(1.0, 4.0), 1))(points)
    inside = np.clip((points[:, 1] - hairline) / g.uniform(8.0, 40.0), 0.0, 1.0)
    away = points / np.maximum(np.linalg.norm(points, axis=1, keepdims=True), 1.0)
    points = points + (inside * thick * (1 + g.uniform(0.05, 0.25) * relief))[:, None] * away
    meshes = [(points, triangles)]
    if thick < 20.0:
        own, rows = ear(g.uniform(55.0, 70.0), g.uniform(0.3, 0.7), g, step=2.0)
        left = own + np.array([0.95 * r[0], -0.25 * r[1], 0.1 * r[2]])
        meshes += [(left, rows), (left * [-1, 1, 1], np.ascontiguousarray(rows[:, ::-1]))]
    return merged(meshes)


def _ear(g: Generator) -> Mesh:
    """A close-up of an ear on a patch of head, with hair or without."""
    height = g.uniform(54.0, 74.0)
    own = ear(height, g.uniform(0.2, 0.9), g, step=1.7)
    half, round_ = g.uniform(45.0, 90.0), g.uniform(70.0, 130.0)
    y, z = np.meshgrid(np.arange(-half, half, 4.0), np.arange(half, -half, -4.0))
    x = np.sqrt(np.maximum(round_**2 - 0.6 * y**2 - 0.8 * z**2, 0.0)) - round_
    flat = np.stack([x, y, z], axis=-1)
    waves = Waves.drawn(g, g.uniform(8.0, 24.0), (1, 3, 1))(flat.reshape(-1, 3)).reshape(x.shape)
    hair = np.clip((y - 0.25 * height - g.uniform(-10, 30)) / 8.0, 0, 1) * g.uniform(0.0, 12.0)
    flat[..., 0] += hair * (1 + 0.2 * waves) + 0.5 * Waves.drawn(g, 60.0)(flat.reshape(-1, 3)).reshape(x.shape)
    return merged([own, plate(flat - [6.0, 0.0, 0.0], np.array([5.0, 0.0, 0.0]))])


def _vase(g: Generator) -> Mesh:
    """A vase, bottle, bowl or jug: a surface of revolution, with handles or without."""
    high, wide = g.uniform(90.0, 420.0), g.uniform(35.0, 150.0)
    t = np.linspace(0, 1, 44)
    knots = np.concatenate([[g.uniform(0.4, 0.9)], g.uniform(0.3, 1.0, 3), [g.uniform(0.25, 0.9)]])
    outer = wide * np.interp(t, np.linspace(0, 1, 5), knots)
    outer = np.convolve(np.pad(outer, 6, mode="edge"), np.hanning(13) / np.hanning(13).sum(), "valid")
    outer *= 1 + g.uniform(0.0, 0.03) * np.sin(2 * np.pi * g.integers(3, 15) * t)
    wall = min(g.uniform(3.0, 9.0), 0.3 * float(outer.min()))
    r = np.concatenate([[0.1], outer, outer[:2:-1] - wall, [0.1]])
    y = np.concatenate([[0.0], high * t, high * t[:2:-1], [high * t[3]]])
    points, rows = lathed(r, y, 64)
    angle = np.arctan2(points[:, 0], points[:, 2])
    flutes = 1 + g.choice([0.0, 0.02, 0.05]) * np.cos(int(g.integers(5, 24)) * angle)
    points = points * np.stack([flutes, np.ones_like(flutes), flutes], axis=1)
    meshes = [(points, rows)]
    count, thick = int(g.integers(0, 3)), g.uniform(4.0, 11.0)
    low, top, out = g.uniform(0.15, 0.45), g.uniform(0.55, 0.95), g.uniform(0.25, 0.7) * wide
    for k in range(count):
        a = np.linspace(0, 1, 9)
        line_y = high * (low + (top - low) * a)
        line_x = np.interp(line_y / high, t, outer) - 1.0 + out * np.sin(np.pi * a)
        line = np.stack([line_x * (-1) ** k, line_y, 0 * a], axis=1)
        meshes.append(moulded(chain(line, np.full(9, thick)), step=0.5 * thick))
    return merged(meshes)


def _wall(g: Generator) -> Mesh:
    """A wall with relief, bricks, a shelf or a frame, 0.4 to 3 m wide."""
    half = np.array([g.uniform(0.2, 1.4), g.uniform(0.2, 1.1)]) * 1000.0
    step = max(half.max() / 70, 5.0)
    x, y = np.meshgrid(np.arange(-half[0], half[0], step), np.arange(half[1], -half[1], -step))
    flat = np.stack([x, y, 0 * x], axis=-1)
    z = g.uniform(0.0, 14.0) * Waves.drawn(g, g.uniform(80.0, 700.0))(flat.reshape(-1, 3)).reshape(x.shape)
    style = g.choice(["plain", "bricks", "curtain", "panels"])
    if style == "bricks":
        long, tall = g.uniform(120.0, 300.0), g.uniform(50.0, 120.0)
        course = np.floor(y / tall)
        along = np.mod(x + 0.5 * long * course, long)
        joint = np.minimum(np.minimum(along, long - along), np.minimum(y - course * tall, tall - y + course * tall))
        z = z + g.uniform(4.0, 20.0) * np.clip(joint / g.uniform(5.0, 14.0), 0, 1)
    elif style == "curtain":
        wave = g.uniform(60.0, 220.0)
        z = z + g.uniform(10.0, 60.0) * np.sin(2 * np.pi * (x / wave + 0.3 * np.sin(x / 310.0 + g.uniform(0, 6))))
    elif style == "panels":
        side = g.uniform(150.0, 600.0, 2)
        z = z + g.uniform(5.0, 25.0) * (np.sin(np.pi * x / side[0]) * np.sin(np.pi * y / side[1]) > 0)
    meshes = [plate(np.stack([x, y, z - 30.0], axis=-1), np.array([0.0, 0.0, 30.0]))]
    for _ in range(int(g.integers(0, 4))):
        at = np.array([*(g.uniform(-0.7, 0.7, 2) * half), g.uniform(10.0, 60.0)])
        size = np.array([*(g.uniform(0.05, 0.4, 2) * half), g.uniform(8.0, 90.0)])
        meshes.append(moulded([box(at, size, g.uniform(1.0, 20.0))], step=max(float(size.max()) / 25, 5.0)))
    return merged(meshes)


def _noise(g: Generator) -> Mesh:
    """Rough terrain or a random lump: relief at several scales."""
    size, rough = g.uniform(60.0, 400.0), g.uniform(0.35, 0.65)
    if g.random() < 0.5:
        parts = [ellipsoid(g.normal(0.0, 0.45 * size, 3), size * g.uniform(0.25, 0.7, 3), _spin(g)) for _ in range(7)]
        mesh = moulded(parts, step=size / 22, smooth=g.uniform(0.1, 0.6) * size)
    else:
        x, y = np.meshgrid(np.linspace(-size, size, 90), np.linspace(size, -size, 90))
        dome = g.uniform(-0.8, 0.8) * size * np.exp(-(x**2 + y**2) / (g.uniform(0.3, 1.0) * size) ** 2)
        mesh = plate(np.stack([x, y, dome - 0.3 * size], axis=-1), np.array([0.0, 0.0, 0.3 * size]))
    wave, height = g.uniform(0.4, 1.2) * size, g.uniform(0.03, 0.10) * size
    for _ in range(int(g.integers(2, 5))):
        mesh = roughened(mesh, height, Waves.drawn(g, wave), g.uniform(0.0, 0.8))
        wave, height = 0.5 * wave, rough * height
    return mesh


def _ball(g: Generator) -> Mesh:
    """A ball, smooth, with seams or with dimples, or an egg."""
    r = g.uniform(32.0, 160.0)
    radii = r * np.array([1.0, g.uniform(0.7, 1.4), 1.0]) if g.random() < 0.4 else np.full(3, r)
    cuts: list[Part] = []
    for _ in range(int(g.integers(0, 4))):
        cuts.append(
            torus((0, 0, g.uniform(-0.5, 0.5) * r), r * g.uniform(0.85, 1.0), g.uniform(0.06, 0.1) * r, _spin(g))
        )
    parts = [ellipsoid((0, 0, 0), radii)]
    if g.random() < 0.3:
        parts.append(capsule((0, r, 0), (0, r * g.uniform(1.1, 2.0), 0), g.uniform(0.05, 0.3) * r))
    mesh = moulded(parts, step=r / 24, smooth=g.uniform(0.01, 0.1) * r, cuts=cuts)
    return roughened(mesh, g.uniform(0.0, 0.015) * r, Waves.drawn(g, g.uniform(0.15, 0.8) * r), g.uniform(0, 1))


def _box(g: Generator) -> Mesh:
    """Boxes: one, several, with a lid, with round edges."""
    half = g.uniform(25.0, 260.0, 3)
    rounding = g.uniform(0.02, 0.4) * half.min()
    parts = [box((0, 0, 0), half, rounding)]
    for _ in range(int(g.integers(0, 4))):
        parts.append(box(g.uniform(-1.0, 1.0, 3) * half, half * g.uniform(0.1, 0.6, 3), 0.5 * rounding, _spin(g, 0.3)))
    cuts = [box(g.uniform(-1.0, 1.0, 3) * half, half * g.uniform(0.2, 0.5, 3)) for _ in range(int(g.integers(0, 3)))]
    mesh = moulded(parts, step=float(half.max()) / 26, smooth=0.3 * rounding, cuts=cuts)
    return roughened(mesh, g.uniform(0.0, 0.01) * half.min(), Waves.drawn(g, float(half.mean())))


def _fruit(g: Generator) -> Mesh:
    """An apple, pear, banana, pumpkin or pineapple, 60 to 300 mm; or a bowl of them."""
    style = g.choice(["apple", "pear", "banana", "pumpkin", "bunch"])
    r = g.uniform(32.0, 60.0)
    if style == "banana":
        a = np.linspace(-1, 1, 9) * g.uniform(0.7, 1.3)
        line = 2.4 * r * np.stack([np.sin(a), 1 - np.cos(a), 0 * a], axis=1)
        return moulded(chain(line, 0.42 * r * np.sqrt(1.05 - np.linspace(-1, 1, 9) ** 2)), step=r / 10, smooth=0.2 * r)
    if style == "bunch":
        parts = [
            ellipsoid(g.normal(0.0, 0.55 * r, 3) * [1, 0.6, 1], 0.5 * r * g.uniform(0.7, 1.2, 3)) for _ in range(16)
        ]
        return moulded(parts, step=r / 9, smooth=0.06 * r)
    t = np.linspace(0.02, np.pi - 0.02, 60)
    tall, dent = g.uniform(0.8, 1.1), g.uniform(0.0, 0.5)
    waist = g.uniform(0.25, 0.55) if style == "pear" else 0.0
    radius = r * np.sin(t) * (1 - waist / (1 + np.exp(6.0 * np.cos(t) + 1.0)))
    high = -r * tall * np.cos(t) * (1 + waist) * (1 - dent * np.exp(-((radius / (0.35 * r)) ** 2)))
    points, rows = lathed(radius, high, 60)
    ribs, deep = int(g.integers(5, 14)), g.uniform(0.08, 0.3) if style == "pumpkin" else g.uniform(0.0, 0.04)
    angle = np.arctan2(points[:, 0], points[:, 2])
    groove = 1 - deep * np.abs(np.cos(0.5 * ribs * angle)) ** 6
    points = (
        points * np.stack([groove, np.ones_like(groove), groove], axis=1) * (g.uniform(1.2, 3.0) if deep > 0.06 else 1)
    )
    top = float(points[-1, 1])
    stem = moulded(
        [capsule((0, top - 2, 0), (g.normal(0, 5), top + g.uniform(0.3, 0.6) * r, 0), 0.09 * r)], step=r / 20
    )
    return merged([roughened((points, rows), 0.012 * r, Waves.drawn(g, r)), stem])


def _chair(g: Generator) -> Mesh:
    """A chair or stool: seat, legs, back, arms."""
    half, deep = g.uniform(190.0, 270.0), g.uniform(190.0, 260.0)
    seat, back, thick = g.uniform(380.0, 480.0), g.uniform(0.0, 560.0), g.uniform(14.0, 50.0)
    leg = g.uniform(14.0, 28.0)
    parts = [box((0, seat, 0), (half, thick, deep), 0.8 * thick)]
    corners = [(sx, sz) for sx in (-1, 1) for sz in (-1, 1)]
    splay = g.uniform(0.85, 1.15)
    foot = [
        capsule((0.85 * sx * half, seat, 0.85 * sz * deep), (splay * sx * half, 0, splay * sz * deep), leg)
        for sx, sz in corners
    ]
    parts += foot
    if back > 150.0:
        lean = g.uniform(0.0, 130.0)
        if g.random() < 0.5:
            turn = Rotation.from_euler("x", -np.arctan(lean / back)).as_matrix()
            parts.append(
                box((0, seat + 0.5 * back, -deep - 0.5 * lean), (half, 0.5 * back, max(thick, 16.0)), 14.0, turn)
            )
        else:
            for p in np.linspace(-0.9, 0.9, int(g.integers(3, 7))):
                parts.append(capsule((p * half, seat, -deep), (p * half, seat + back, -deep - lean), 15.0))
            parts.append(capsule((-half, seat + back, -deep - lean), (half, seat + back, -deep - lean), 22.0))
        if g.random() < 0.4:
            for s in (-1, 1):
                rail = [(s * half, seat, 0.8 * deep), (s * half, seat + 200, 0.8 * deep), (s * half, seat + 210, -deep)]
                parts += chain(rail, np.full(3, 19.0))
    return moulded(parts, step=13.0, smooth=g.uniform(6.0, 26.0))


def _spin(g: Generator, angle: float = np.pi) -> Array:
    """(3, 3): a random rotation by at most `angle` about each axis."""
    return np.asarray(Rotation.from_euler("xyz", g.uniform(-angle, angle, 3)).as_matrix())


KINDS: dict[str, Callable[[Generator], Mesh]] = {
    "back of head": _back_of_head,
    "ear": _ear,
    "hand": hand,
    "animal": animal,
    "vase": _vase,
    "wall": _wall,
    "noise": _noise,
    "shoe": shoe,
    "ball": _ball,
    "box": _box,
    "fruit": _fruit,
    "torso": torso,
    "chair": _chair,
}
"""Kind -> function that makes it."""
