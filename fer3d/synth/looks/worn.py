"""Things on or beside a head that a scanner measures as surface: dark glasses, goggles, headphones, a mask, a phone.

Clear spectacles, hands and scarves are in `fer3d.synth.looks.occluders`.

Convention: mm, frame of the face model. Sizes are our choice.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from fer3d.kernels.shading import area_normals
from fer3d.synth.looks.bust import Head, used
from fer3d.synth.looks.growth import plate, surface
from fer3d.synth.looks.occluders import Relief, hand_beside, occluder
from fer3d.synth.optics.scene import LENS, SOLID, Look, Occluder
from fer3d.synth.solids import Array, Mesh, box, capsule, chain, ellipsoid, lathed, merged, moulded, torus

Generator = np.random.Generator


def sunglasses(head: Head, generator: Generator, look: Look | None = None) -> Occluder:
    """Spectacles with thin or thick rims, whose lenses are measured as curved surface."""
    worn = occluder("GLASSES", head.model, head.shape, generator, look)
    thicker, dome = generator.uniform(0.0, 2.6), generator.uniform(0.0, 4.0)
    rims = worn.triangles[worn.part != LENS]
    points = worn.points + thicker * area_normals(worn.points, rims)
    first = np.flatnonzero(np.diff(worn.part == LENS, prepend=False) & (worn.part == LENS))
    pieces: list[Mesh] = [used(points, rims)]
    for start in first:
        fan = worn.triangles[start:]
        size = int(np.flatnonzero(np.append(fan[:, 2] != fan[0, 2], True))[0])
        edge, middle = worn.points[fan[:size, 0]], worn.points[fan[0, 2]]
        depths = ((share, dome * share * (2 - share) - 0.3) for share in (0.0, 0.25, 0.5, 0.75, 0.9))
        pieces.append(_closed_rings([edge + share * (middle - edge) + [0.0, 0.0, depth] for share, depth in depths]))
    points, triangles = merged(pieces)
    colour = np.broadcast_to(worn.colour[0], points.shape).copy()
    return Occluder("sunglasses", points, triangles, np.full(len(triangles), SOLID, np.uint8), colour, worn.gloss)


def goggles(head: Head, generator: Generator) -> Mesh:
    """Goggles or a visor: one shield before both eyes with walls back to the face, and a strap."""
    at = head.model.landmark_points(head.shape)
    out = abs(at["exocanthion_left"][0] - at["exocanthion_right"][0]) / 2
    half = min(out + generator.uniform(8.0, 20.0), head.half - 4.0)
    up, down = generator.uniform(16.0, 34.0), generator.uniform(16.0, 34.0)
    square, bend, rise = generator.uniform(2.2, 6.0), generator.uniform(0.0015, 0.006), generator.uniform(6.0, 24.0)
    notch = generator.uniform(0.0, 0.6) * down  # room for the nose
    angle = np.linspace(0, 2 * np.pi, 96, endpoint=False)
    c, s = np.cos(angle), np.sin(angle)
    x = np.sign(c) * np.abs(c) ** (2 / square) * half
    y = np.sign(s) * np.abs(s) ** (2 / square) * np.where(s > 0, up, down)
    y += np.where(s < 0, notch * np.exp(-((x / 16.0) ** 2)), 0.0)
    relief = Relief(head.model, head.shape, reach=3.0)
    rim = np.stack([x, head.eye + y], axis=1)
    foot = relief(rim[:, 0], rim[:, 1]) - 1.0
    front = float((foot + bend * x**2)[np.abs(x) > 12].max()) + rise
    rings = []
    for share, lift in (
        (0.0, None),
        (0.0, 0.0),
        (0.06, 1.5),
        (0.12, 1.5),
        (0.16, 0.2),
        (0.4, 0.5),
        (0.65, 0.8),
        (0.85, 0.95),
        (0.97, 1.0),
    ):
        flat = rim * [1, 1] + share * (np.array([0.0, head.eye]) - rim)
        z = foot if lift is None else front - bend * flat[:, 0] ** 2 + lift
        rings.append(np.column_stack([flat, z]))
    shield = _closed_rings(rings)
    band = generator.uniform(6.0, 16.0)
    return merged([shield, *(_strap(head, sign * half, foot, band) for sign in (1.0, -1.0))])


def _strap(head: Head, x: float, foot: Array, band: float) -> Mesh:
    """A flat strap from the side of goggles back around the head."""
    side = np.sign(x)
    z = np.linspace(float(np.median(foot)) - 8.0, head.centre[2], 12)
    share = np.linspace(0, 1, 12) ** 0.7
    line = np.stack([x + share * (side * (head.radii[0] + 4.0) - x), np.full(12, head.eye), z], axis=1)
    grid = line[None] + np.linspace(-0.5, 0.5, 4)[:, None, None] * np.array([0.0, band, 0.0])
    return plate(grid if side < 0 else grid[:, ::-1], np.array([2.5 * side, 0.0, 0.0]))


def _closed_rings(rings: list[Array]) -> Mesh:
    """The surface through rings of points, each (N, 3) counter-clockwise seen from +z, closed by their last mean."""
    n = len(rings[0])
    points = np.concatenate([*rings, rings[-1].mean(axis=0, keepdims=True)])
    pieces = []
    k = np.arange(n)
    for first in range(0, (len(rings) - 1) * n, n):
        a, b = first + k, first + (k + 1) % n
        pieces += [np.stack([a, b, b + n], 1), np.stack([a, b + n, a + n], 1)]
    last = (len(rings) - 1) * n
    pieces.append(np.stack([last + k, last + (k + 1) % n, np.full(n, len(points) - 1)], 1))
    return points, np.concatenate(pieces).astype(np.int32)


def headphones(head: Head, generator: Generator, microphone: bool = False) -> Mesh:
    """Headphones: a cup over each ear and a band over the head; with a microphone, a headset."""
    c, r = head.centre, head.radii
    size, deep, band = generator.uniform(28.0, 44.0), generator.uniform(12.0, 24.0), generator.uniform(5.0, 11.0)
    lean, oval = generator.uniform(-0.3, 0.5), generator.uniform(0.85, 1.25)
    ear = np.array([head.half + 8.0, head.eye - 10.0, head.ear[2] - 10.0])
    parts = []
    for sign in (1.0, -1.0):
        at = ear * [sign, 1, 1] + np.array([sign * 0.5 * deep, 0.0, 0.0])
        parts.append(ellipsoid(at, (deep, size * oval, size)))
        parts.append(box(at, (0.7 * deep, 0.8 * size * oval, 0.8 * size), 6.0))
    angle = np.linspace(0.0, np.pi, 19)
    tall = c[1] + r[1] + 5.0 - ear[1]
    over = np.stack(
        [np.cos(angle) * (ear[0] + 9.0), ear[1] + np.sin(angle) * tall, ear[2] + lean * np.sin(angle) * 40.0], 1
    )
    parts += chain(over, np.full(19, band))
    mesh = moulded(parts, step=3.0, smooth=5.0)
    return merged([mesh, _boom(head, ear, generator)]) if microphone else mesh


def headset(head: Head, generator: Generator) -> Mesh:
    """Headphones with a microphone."""
    return headphones(head, generator, microphone=True)


def _boom(head: Head, ear: Array, generator: Generator) -> Mesh:
    """The microphone of a headset, on one side of the mouth."""
    at = head.model.landmark_points(head.shape)
    side = float(generator.choice([-1.0, 1.0]))
    corner = at["cheilion_left" if side > 0 else "cheilion_right"]
    end = corner + np.array([side * generator.uniform(-4.0, 20.0), generator.uniform(-14.0, 6.0), 0.0])
    end[2] += generator.uniform(14.0, 26.0)
    t = np.linspace(0, 1, 9)[:, None]
    start = ear * [side, 1, 1]
    bulge = np.array([side * 24.0, -6.0, 8.0]) * np.sin(np.pi * t)
    thick = generator.uniform(1.8, 3.2)
    line = start + t * (end - start) + bulge
    tip = generator.uniform(4.0, 9.0)
    return moulded([*chain(line, np.full(9, thick)), capsule(line[-2], line[-1], tip)], step=1.6, smooth=1.0)


def mask(head: Head, generator: Generator) -> Mesh:
    """A surgical mask over nose and mouth with pleats, and straps to the ears."""
    at = head.model.landmark_points(head.shape)
    top = (1 - (t := generator.uniform(0.15, 0.75))) * at["pronasale"][1] + t * head.eye - 4.0
    bottom = head.chin[1] - generator.uniform(2.0, 24.0)
    half, puff = head.half * generator.uniform(0.72, 0.94), generator.uniform(0.0, 9.0)
    relief = Relief(head.model, head.shape, reach=10.0, smooth=5.0)
    pleats, deep = int(generator.integers(0, 4)), generator.uniform(0.5, 1.6)
    u, v = np.meshgrid(np.linspace(-1, 1, 81), np.linspace(0, 1, 61))
    arch = generator.uniform(4.0, 20.0)
    x = half * u * (1 - 0.10 * (2 * v - 1) ** 2)
    y = bottom + (top - bottom) * v - arch * u**2 * v + 0.6 * arch * u**2 * (1 - v)
    z = relief(x, np.maximum(y, float(head.shape[:, 1].min()) + 6.0)) + 1.5
    z += puff * np.sin(np.pi * v) * np.cos(0.5 * np.pi * u) ** 2 - deep * np.sin(2 * np.pi * pleats * v) * (1 - u**4)
    z -= np.where(u**2 > 0.9, 1.0, 0.0)
    sheet = plate(np.stack([x, y, z], axis=-1)[::-1], np.array([0.0, 0.0, 1.2]))
    straps: list[Mesh] = []
    for column, sign in ((-1, 1.0), (0, -1.0)):
        for row in (6, -7):
            start = np.array([x[row, column], y[row, column], z[row, column]])
            end = head.ear * [sign, 1, 1] + np.array([sign * 2.0, -8.0 if row == 6 else 16.0, -6.0])
            straps.append(moulded([capsule(start, end, 1.8)], step=1.3))
    return merged([sheet, *straps])


def _beside(head: Head, generator: Generator, gap: tuple[float, float]) -> Array:
    """(3,) A place beside the cheek or the chin, `gap` mm in front of the surface there."""
    side = float(generator.choice([-1.0, 1.0]))
    low, high = head.chin[1] - 30.0, head.eye + 10.0
    x, y = side * head.half * generator.uniform(0.5, 1.15), generator.uniform(low, high)
    on = Relief(head.model, head.shape, reach=4.0)(np.array([x]), np.array([y]))
    return np.array([x, y, float(on[0]) + generator.uniform(*gap)])


def phone(head: Head, generator: Generator) -> Mesh:
    """A phone that somebody holds near the cheek or the ear."""
    half = np.array([generator.uniform(32.0, 40.0), generator.uniform(65.0, 84.0), generator.uniform(3.5, 6.0)])
    at = _beside(head, generator, (8.0, 45.0))
    side = np.sign(at[0])
    turn = Rotation.from_euler("yxz", [side * generator.uniform(0.5, 1.5), *generator.normal(0.0, 0.3, 2)]).as_matrix()
    at[0] += side * 12.0
    return moulded([box(at, half, 3.4, turn)], step=2.0)


def cup(head: Head, generator: Generator) -> Mesh:
    """A cup with a handle in front of the mouth or beside the chin."""
    r, high = generator.uniform(32.0, 46.0), generator.uniform(70.0, 120.0)
    taper, wall = generator.uniform(0.7, 1.05), 3.0
    y = np.concatenate([np.linspace(0, high, 12), np.linspace(high, wall, 8)])
    radius = np.concatenate([np.linspace(taper, 1.0, 12) * r, np.linspace(1.0, taper, 8) * r - wall])
    body = lathed(np.concatenate([[0.1], radius, [0.1]]), np.concatenate([[0.0], y, [wall]]), 56)
    turn = generator.uniform(0, 2 * np.pi)
    ring = torus((r + 4.0, 0.55 * high, 0.0), 0.26 * high, 4.5)
    handle = moulded([ring], step=2.2)
    points, rows = merged([body, handle])
    spin = Rotation.from_euler("yxz", [turn, *generator.normal(0.0, 0.25, 2)]).as_matrix()
    at = _beside(head, generator, (0.55 * r, r + 40.0))
    if generator.random() < 0.4:
        at[0], at[2] = generator.normal(0.0, 8.0), 1.2 * r + generator.uniform(5.0, 40.0)
    at[1] = generator.uniform(head.chin[1] - high, head.chin[1] + 10.0)
    return points @ spin.T + at, rows


def hand(head: Head, generator: Generator, look: Look | None = None) -> Occluder:
    """A hand beside the cheek or under the chin."""
    side = float(generator.choice([-1.0, 1.0]))
    if generator.random() < 0.5:
        target = np.array([side * head.half * generator.uniform(0.75, 1.1), head.eye - generator.uniform(20.0, 60.0)])
        lean = generator.uniform(-0.2, 0.5)
    else:
        target = np.array([side * generator.uniform(0.0, 30.0), head.chin[1] - generator.uniform(4.0, 16.0)])
        lean = generator.uniform(0.9, 1.5)
    return hand_beside(head.model, head.shape, generator, look, target, side, lean)


def neck_scarf(head: Head, generator: Generator) -> Mesh:
    """A thick scarf or collar around the neck, below the chin."""
    on = surface(head, ("cranium", "neck"))
    near = np.abs(on.points[:, 1] - head.chin[1] + 50.0) < 12.0
    throat = on.points[near]
    middle = (throat.min(axis=0) + throat.max(axis=0)) / 2
    size = (throat.max(axis=0) - throat.min(axis=0)) / 2
    angle = np.linspace(0, 2 * np.pi, 25)
    wide, deep = size[0] + generator.uniform(4.0, 16.0), size[2] + generator.uniform(2.0, 14.0)
    parts = []
    for level in range(int(generator.integers(1, 4))):
        thick = generator.uniform(12.0, 22.0)
        wave = generator.uniform(2.0, 9.0) * np.sin(2 * angle + generator.uniform(0, 6.3))
        ring = np.stack([wide * np.sin(angle), wave + 0 * angle, deep * np.cos(angle)], axis=1)
        parts += chain(ring + middle - np.array([0.0, 20.0 + 20.0 * level, 0.0]), np.full(25, thick))
    return moulded(parts, step=4.0, smooth=12.0)
