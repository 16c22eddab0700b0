"""Animals, hands, feet, shoes and torsos of smooth parts; see `fer3d.synth.things`.

The head of an animal looks along +z, up is +y. Proportions come from four species and vary widely around them.

Convention: mm. Sizes are our choice.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from fer3d.synth.solids import Array, Mesh, Part, Waves, box, capsule, chain, ellipsoid, moulded, roughened

Generator = np.random.Generator

# Species -> muzzle length, muzzle radius, brow, ear length, ear radius, ear spread, neck length, leg length; all in
# units of the radius of the skull. A beak has a thin end.
_SPECIES = {
    "dog": (1.3, 0.50, 0.25, 0.9, 0.30, 0.75, 1.2, 2.2),
    "cat": (0.45, 0.42, 0.10, 0.8, 0.32, 0.60, 0.8, 1.8),
    "horse": (2.4, 0.55, 0.20, 0.7, 0.20, 0.40, 3.0, 5.0),
    "bird": (1.0, 0.22, 0.05, 0.0, 0.10, 0.5, 1.0, 1.5),
    "bear": (0.8, 0.48, 0.15, 0.45, 0.34, 0.80, 0.9, 1.8),
}


def animal(g: Generator) -> Mesh:
    """A statue of an animal: its head, its bust or all of it, about 80 to 900 mm."""
    name = str(g.choice(list(_SPECIES)))
    size = np.array(_SPECIES[name]) * g.uniform(0.75, 1.3, 8)
    radius = g.uniform(25.0, 70.0)
    whole = g.random() < 0.5
    parts, cuts = _head(name, size, g)
    neck = _turn(g, 0.35) @ np.array([0.0, -0.6, -1.0]) * size[6]
    parts += [capsule((0, -0.1, -0.3), neck, 0.62 * g.uniform(0.8, 1.1), 0.8)]
    if whole:
        parts += _body(neck, size, g)
    scaled = [_scaled(part, radius) for part in parts]
    low = np.min([part.low for part in scaled], axis=0)
    high = np.max([part.high for part in scaled], axis=0)
    step = max(float((high - low).max()) / 85, 1.5)
    mesh = moulded(scaled, step=step, smooth=g.uniform(0.12, 0.3) * radius, cuts=[_scaled(c, radius) for c in cuts])
    fur = Waves.drawn(g, g.uniform(0.12, 0.5) * radius, (1, g.uniform(1, 3), 1))
    return roughened(mesh, g.uniform(0.0, 0.03) * radius, fur, g.uniform(0, 1))


def _head(name: str, size: Array, g: Generator) -> tuple[list[Part], list[Part]]:
    """Parts of a head around the origin with a skull of radius 1, and cuts for eyes, nostrils and mouth."""
    muzzle, thick, brow, ear, wide, spread = size[:6]
    drop = g.uniform(-0.45, 0.0)
    end = np.array([0.0, drop * muzzle - 0.2, 0.6 + muzzle])
    tip = 0.25 if name == "bird" else g.uniform(0.65, 0.95)
    parts = [ellipsoid((0, 0, 0), (0.85 * g.uniform(0.9, 1.1), 0.9, 1.0))]
    parts.append(capsule((0, -0.25, 0.4), end, thick, thick * tip))
    if name != "bird":
        parts.append(capsule((0, -0.45, 0.2), end * [1, 1.15, 0.85], 0.75 * thick, 0.55 * thick))  # the lower jaw
        nose = end + np.array([0, 0.25 * thick, 0.55 * thick * tip])
        parts.append(ellipsoid(nose, np.array([0.4, 0.28, 0.25]) * thick))
    cuts = []
    eye = np.array([g.uniform(0.38, 0.68), g.uniform(0.05, 0.35), g.uniform(0.55, 0.8)])
    for s in (-1.0, 1.0):
        side = np.array([s, 1.0, 1.0])
        parts.append(ellipsoid(eye * side + [0, brow, -0.05], (0.3, 0.16, 0.25)))
        if g.random() < 0.9:
            cuts.append(ellipsoid(eye * side * 1.22, np.full(3, g.uniform(0.14, 0.22))))
            parts.append(ellipsoid(eye * side * 0.98, np.full(3, g.uniform(0.12, 0.2))))
        if ear > 0.05:
            root = np.array([spread, 0.65, -0.1]) * side
            flop = g.uniform(-1.0, 1.0)
            top = root + ear * np.array([s * g.uniform(0.1, 0.7), np.cos(flop), 0.3 * np.sin(flop)])
            parts.append(capsule(root, top, wide, 0.3 * wide))
            cuts.append(ellipsoid((root + 0.45 * (top - root)) + [0, 0, 0.8 * wide], np.full(3, 0.6 * wide)))
    if muzzle > 0.6 and name != "bird" and g.random() < 0.5:
        cuts.append(box(end - np.array([0, 0.55 * thick, 0]), (thick, 0.06, 0.7 * muzzle)))  # the mouth
    return parts, cuts


def _body(neck: Array, size: Array, g: Generator) -> list[Part]:
    """Trunk, legs and tail behind the end of the neck."""
    long, girth, leg = g.uniform(2.0, 4.5), g.uniform(0.9, 1.5), size[7]
    rump = neck + np.array([0.0, g.uniform(-0.8, 0.3), -long])
    parts = [capsule(neck, rump, girth, girth * g.uniform(0.8, 1.1))]
    for at in (neck, rump):
        for s in (-1.0, 1.0):
            hip = at + np.array([s * 0.6 * girth, -0.4 * girth, 0.0])
            knee = hip + np.array([0.0, -0.5 * leg, g.uniform(-0.5, 0.5)])
            foot = knee + np.array([0.0, -0.5 * leg, g.uniform(-0.4, 0.6)])
            parts += chain([hip, knee, foot, foot + np.array([0, 0, 0.45])], [0.42, 0.3, 0.22, 0.22])
    tail = rump + np.array([0.0, 0.3 * girth, -0.8 * girth])
    ends = tail + np.cumsum(g.normal([0.0, -0.1, -0.5], 0.35, (4, 3)), axis=0)
    return parts + chain(np.concatenate([[rump], ends]), np.linspace(0.4, g.uniform(0.1, 0.35), 5))


def _scaled(part: Part, scale: float) -> Part:
    """A part `scale` times as large."""
    field = part.field
    return Part(part.low * scale, part.high * scale, lambda x, y, z: scale * field(x / scale, y / scale, z / scale))


def _turn(g: Generator, angle: float) -> Array:
    return np.asarray(Rotation.from_euler("xyz", g.uniform(-angle, angle, 3)).as_matrix())


def hand(g: Generator) -> Mesh:
    """A hand that is open, pointing, gripping or a fist, with a part of the forearm, about 150 to 330 mm."""
    size = g.uniform(0.75, 1.1)
    curls = g.uniform(0.0, 0.3, 5) if (open_ := g.random() < 0.35) else g.uniform(0.0, 1.6, 5)
    if not open_ and g.random() < 0.4:
        curls = np.where(np.arange(5) == g.integers(0, 5), 0.05, g.uniform(1.3, 1.6))
    spread, cup = g.uniform(0.0, 0.2), g.uniform(-4.0, 8.0)
    parts: list[Part] = [box((0, -44, 0), (36, 46, 11), 11.0), ellipsoid((0, -46, cup), (36, 42, 15))]
    for k, (x, long) in enumerate(((26.0, 72.0), (9.0, 80.0), (-8.0, 75.0), (-25.0, 60.0))):
        parts += _finger(np.array([x, -2.0 * abs(k - 1), 0]), spread * (1.2 - k), long, curls[k], 8.6 if k < 3 else 7.4)
    thumb = np.array([34.0, -60.0, 6.0])
    away = g.uniform(0.3, 1.0)
    joints = [thumb, thumb + 34 * np.array([np.sin(away), np.cos(away), 0.4])]
    bend = 0.9 * curls[4] / 1.6
    joints.append(joints[1] + 28 * np.array([np.sin(away - bend), np.cos(away - bend), 0.5 * np.sin(bend)]))
    joints.append(joints[2] + 22 * np.array([np.sin(away - 1.6 * bend), np.cos(away - 1.6 * bend), np.sin(bend)]))
    parts += chain(joints, [14.0, 10.5, 9.5, 7.0])
    arm, wrist = g.uniform(0.0, 110.0), g.uniform(-0.6, 0.6)
    end = np.array([0.0, -92.0 - arm * np.cos(wrist), arm * np.sin(wrist)])
    parts.append(capsule((0, -84, 0), end, 24.0, g.uniform(24.0, 36.0)))
    mesh = moulded([_scaled(part, size) for part in parts], step=3.4 * size, smooth=g.uniform(4.0, 8.0) * size)
    return roughened(mesh, g.uniform(0.0, 0.5), Waves.drawn(g, g.uniform(10.0, 30.0)))


def _finger(root: Array, spread: float, long: float, curl: float, thick: float) -> list[Part]:
    """Three bones that bend towards the palm, +z, by `curl` radians at each joint."""
    way = np.array([np.sin(spread), np.cos(spread), 0.0])
    points, angle = [root], 0.55 * curl
    for share in (0.46, 0.3, 0.24):
        step = np.cos(angle) * way + np.sin(angle) * np.array([0.0, 0.0, 1.0])
        points.append(points[-1] + share * long * step)
        angle += curl
    return chain(points, [1.15 * thick, thick, 0.9 * thick, 0.75 * thick])


def shoe(g: Generator) -> Mesh:
    """A shoe, boot or bare foot, about 200 to 420 mm."""
    long, wide, high = g.uniform(190.0, 310.0), g.uniform(36.0, 52.0), g.uniform(60.0, 110.0)
    bend = g.uniform(-0.06, 0.06) * long
    toe, heel = np.array([bend, 22.0, 0.42 * long]), np.array([0.0, 30.0, -0.4 * long])
    ball = np.array([bend, 26.0, 0.2 * long])
    parts = [capsule(heel, ball, 0.7 * wide, 0.86 * wide), capsule(ball, toe, 0.86 * wide, g.uniform(0.4, 0.7) * wide)]
    parts.append(capsule(ball, (0, high, -0.2 * long), 0.7 * wide, 0.72 * wide))  # the instep
    shaft = g.choice([0.0, 60.0, 180.0]) * g.uniform(0.7, 1.3)
    parts.append(
        capsule((0, 40, -0.26 * long), (0, high + shaft, -0.28 * long), 0.76 * wide, g.uniform(0.8, 1.2) * wide)
    )
    cuts = [box((0, -60.0, 0), (400, 60.0, 400))]
    if g.random() < 0.35:  # toes
        for k, x in enumerate(np.linspace(-0.75, 0.75, 5)):
            tip = toe + np.array([x * wide, -6.0, 12.0 - 5.0 * k])
            parts += chain([tip - [0, -4, 28], tip], [11.0 - k, 9.0 - k])
        smooth = 8.0
    else:
        sole, rise = g.uniform(6.0, 18.0), g.choice([0.0, 30.0, 70.0])
        parts.append(box((0.5 * bend, 0.5 * sole, 0.02 * long), (0.9 * wide, 0.5 * sole + 1, 0.55 * long), 5.0))
        parts.append(box((0, -0.5 * rise, -0.38 * long), (0.55 * wide, 0.5 * rise + 6, 30.0), 5.0))
        opening = high + shaft + 0.4 * wide
        cuts = [ellipsoid((0, opening, -0.28 * long), (0.55 * wide, 0.3 * high + 0.4 * shaft, 0.6 * wide))]
        smooth = g.uniform(5.0, 18.0)
    return moulded(parts, step=long / 62, smooth=smooth, cuts=cuts)


def torso(g: Generator) -> Mesh:
    """A torso without a head: chest, shoulders, stumps of arms and neck, hips, about 700 to 980 mm."""
    half, deep = g.uniform(130.0, 200.0), g.uniform(90.0, 130.0)
    waist, hips = g.uniform(0.6, 0.95) * half, g.uniform(0.8, 1.1) * half
    tall, belly = g.uniform(380.0, 520.0), g.uniform(-10.0, 60.0)
    parts = [
        ellipsoid((0, 0, 0), (half, 150.0, deep)),
        ellipsoid((0, -0.42 * tall, 0.3 * belly), (waist, 0.34 * tall, 0.85 * deep)),
        ellipsoid((0, -0.75 * tall, -10.0), (hips, 110.0, deep)),
        ellipsoid((0, -0.5 * tall, belly), (0.7 * waist, 90.0, 0.8 * deep)),
        capsule((0, 100.0, -20.0), (0, 165.0 + g.uniform(0, 50.0), -10.0), g.uniform(50.0, 64.0)),
    ]
    chest, size = g.uniform(0.25, 0.5) * half, g.uniform(30.0, 75.0)
    for s in (-1.0, 1.0):
        parts.append(ellipsoid((s * chest, 10.0, 0.75 * deep), (1.1 * size, size, 0.7 * size)))
        shoulder = np.array([s * half * 1.05, 90.0, -15.0])
        swing = np.array([s * g.uniform(0.1, 1.0), -1.0, g.uniform(-0.6, 0.8)])
        parts.append(capsule((0, 95.0, -20.0), shoulder, 52.0, 58.0))
        parts.append(capsule(shoulder, shoulder + swing * g.uniform(10.0, 260.0), 50.0, 42.0))
        parts.append(
            capsule((s * 0.5 * hips, -0.8 * tall, 0), (s * 0.5 * hips, -0.8 * tall - g.uniform(30, 220), 0), 80.0)
        )
    mesh = moulded(parts, step=12.0, smooth=g.uniform(25.0, 55.0))
    folds = Waves.drawn(g, g.uniform(40.0, 140.0), (1, g.uniform(1, 4), 1))
    return roughened(mesh, g.uniform(0.0, 6.0), folds, g.uniform(0, 1))
