"""Occluders: spectacles, a hand, a scarf or hair, as small meshes that fit any shape of any face model.

The codes are those of Bosphorus: EYE (hand over an eye), MOUTH (hand over the mouth), GLASSES, HAIR; and SCARF, which
Bosphorus does not have. The landmarks of the face determine the position of an occluder. It rests on the relief, the
height of the face seen from the front, so that it neither floats above nor cuts into the face of any person. Positions
are in the frame of the head: an open mouth moves a hand over it no more than it would move a real hand.

Convention: mm, frame of the face model. Sizes are those of adults and our choice.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter, map_coordinates, maximum_filter

from fer3d.checks import check_choice, check_shape
from fer3d.face.model import FaceModel
from fer3d.kernels.shadow import depth_map
from fer3d.synth.optics.scene import LENS, SOLID, STRAND, Look, Occluder, Window, around

Array = NDArray[np.float64]

_PIXEL = 2.0  # mm of the relief
_SKIN = np.array([(232, 184, 158), (206, 152, 120), (150, 100, 74), (100, 66, 50)], float)
_CLOTH = np.array([(146, 40, 44), (48, 66, 110), (92, 98, 96), (168, 140, 96), (62, 92, 70)], float)
_FRAME = np.array([(26, 24, 26), (70, 46, 30), (120, 122, 126), (40, 48, 78)], float)
_HAIR = np.array([(24, 20, 20), (48, 34, 26), (84, 58, 40), (124, 92, 60)], float)


class Relief:
    """The front of a face as heights over x and y.

    Args:
        model: The face model.
        shape: (V, 3) float64. The face.
        reach: Replace each height by the maximum within this distance, mm; for occluders that span hollows.
        smooth: Then smooth the heights by a Gaussian of this standard deviation, mm.
    """

    def __init__(self, model: FaceModel, shape: Array, reach: float = 0.0, smooth: float = 0.0) -> None:
        self.window: Window = around(shape, _PIXEL)
        depth = depth_map(self.window.pixels(shape), model.triangles, self.window.rows, self.window.columns)
        heights = depth.astype(np.float64) * _PIXEL
        if reach > 0:
            heights = maximum_filter(heights, size=2 * int(reach / _PIXEL) + 1)
        beside = ~np.isfinite(heights)
        rows, columns = distance_transform_edt(beside, return_distances=False, return_indices=True)
        heights = heights[rows, columns]
        self.heights = gaussian_filter(heights, smooth / _PIXEL) if smooth > 0 else heights

    def __call__(self, x: Array, y: Array) -> Array:
        """z at (x, y), arrays of any shape; beside the face, z of its nearest point."""
        at = self.window.pixels(np.stack([x.ravel(), y.ravel(), np.zeros(x.size)], axis=1))
        z = map_coordinates(self.heights, [at[:, 1], at[:, 0]], order=1, mode="nearest")
        return np.asarray(z.reshape(x.shape))


def occluder(
    kind: str,
    model: FaceModel,
    shape: NDArray[np.float64],
    generator: np.random.Generator,
    look: Look | None = None,
) -> Occluder:
    """Make an occluder for a face.

    Args:
        kind: One of `KINDS`: EYE, MOUTH, GLASSES, HAIR, SCARF.
        model: The face model.
        shape: (V, 3) float64. The face, see `FaceModel.shape`.
        generator: Source of random numbers for colour, size, side and position.
        look: Look of the person: a hand has the colour of their skin, a fringe that of their hair. None: random
            colours.

    Raises:
        ArgumentError: if `kind` is unknown, or the shape does not belong to this model.
    """
    check_choice("kind", kind, KINDS)
    check_shape("shape", shape, model.neutral.shape)
    return KINDS[kind](model, shape, generator, look)


def _glasses(model: FaceModel, shape: Array, generator: np.random.Generator, look: Look | None) -> Occluder:
    """Spectacles: two rims with lenses, a bridge, and temples back to the ears."""
    at = model.landmark_points(shape)
    colour = _FRAME[int(generator.integers(len(_FRAME)))]
    thick = float(generator.uniform(1.2, 2.4))
    wide, high = generator.uniform(25.0, 28.0), generator.uniform(17.0, 22.0)
    square = generator.uniform(2.4, 4.5)  # exponent of the superellipse: 2 is an ellipse
    relief = Relief(model, shape, reach=4.0)
    around_rim = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    c, s = np.cos(around_rim), np.sin(around_rim)
    outline = np.stack([np.sign(c) * np.abs(c) ** (2 / square), np.sign(s) * np.abs(s) ** (2 / square)], axis=1)
    outline[:, 0] *= 1.0 - 0.10 * np.clip(-outline[:, 1], 0, 1)  # narrower below
    centres = [(at[f"exocanthion_{side}"] + at[f"endocanthion_{side}"]) / 2 for side in ("left", "right")]
    half = max(0.5 * abs(centres[0][0] - centres[1][0]), wide + 4.0)
    middle = (centres[0][0] + centres[1][0]) / 2
    y0 = (centres[0][1] + centres[1][1]) / 2 - 2.0
    pieces: list[tuple[Array, NDArray[np.int32], int]] = []
    rims = []
    for side in (1.0, -1.0):
        rims.append(np.stack([middle + side * half + outline[:, 0] * wide * side, y0 + outline[:, 1] * high], axis=1))
    # Both rims lie on one surface, slightly curved back at the sides, in front of brow, lashes and cheek.
    xy = np.concatenate(rims)
    bend = 0.0016
    front = (
        float((relief(xy[:, 0], xy[:, 1]) + bend * (xy[:, 0] - middle) ** 2)[np.abs(xy[:, 0] - middle) > 14].max())
        + 2.0
    )

    def placed(flat: Array) -> Array:
        return np.column_stack([flat, front - bend * (flat[:, 0] - middle) ** 2])

    for side, rim in zip((1.0, -1.0), rims, strict=True):
        line = placed(rim if side > 0 else rim[::-1])
        pieces.append((*_tube(line, np.full(len(line), thick), closed=True), SOLID))
        pieces.append((*_disc(line), LENS))
        hinge = placed(np.array([[middle + side * (half + wide), y0 + 0.45 * high]]))[0]
        ear_x = middle + side * max(half + wide + 3.0, 70.0)
        temple = np.array([hinge, [ear_x - side * 4.0, hinge[1] + 1, hinge[2] - 14], [ear_x, hinge[1], hinge[2] - 95]])
        pieces.append((*_tube(_dense(temple, 12), np.full(12, thick)), SOLID))
    t = np.linspace(-1, 1, 9)
    bridge = np.stack([middle + t * (half - wide * 0.97), y0 + 0.30 * high + 3.0 * (1 - t**2)], axis=1)
    nose = placed(bridge) + np.array([0.0, 0.0, 1.0]) * (1 - t[:, None] ** 2)
    pieces.append((*_tube(nose, np.full(9, thick)), SOLID))
    return _assembled("GLASSES", pieces, colour, gloss=0.5)


def _hand(kind: str, model: FaceModel, shape: Array, generator: np.random.Generator, look: Look | None) -> Occluder:
    """A hand over an eye or the mouth: palm, four adjacent fingers and a thumb, as a height field over the face."""
    at = model.landmark_points(shape)
    side = float(generator.choice([-1.0, 1.0]))
    name = "left" if side > 0 else "right"
    if kind == "EYE":
        target = (at[f"exocanthion_{name}"] + at[f"endocanthion_{name}"]) / 2 + np.array([0.0, 6.0, 0.0])
        lean = generator.uniform(0.25, 0.6)  # radians of the fingers from upright towards the middle
        reach = 30.0  # mm from the target down to the knuckles
    else:
        target = (at["labiale_superius"] + at["labiale_inferius"]) / 2 + np.array([0.0, 2.0, 0.0])
        lean = generator.uniform(1.05, 1.3)
        reach = 34.0
    way = np.array([-side * np.sin(lean), np.cos(lean)])  # from the wrist to the fingertips
    across = np.array([way[1], -way[0]]) * side  # towards the thumb, which is on the upper or inner edge
    knuckles = target[:2] - reach * way
    size = generator.uniform(0.92, 1.05)
    skin = _skin_colour(generator, look)
    bones, tips = _bones(
        knuckles, way, -across if kind == "EYE" else across * np.sign(across[1] or 1.0), size, generator
    )
    return _over(kind, Relief(model, shape, reach=10.0, smooth=6.0), bones, tips, skin)


def hand_beside(
    model: FaceModel,
    shape: Array,
    generator: np.random.Generator,
    look: Look | None,
    target: Array,
    side: float,
    lean: float,
) -> Occluder:
    """A hand whose knuckles lie below `target`, on the face or beside it.

    Args:
        model, shape, generator, look: As for `occluder`.
        target: (2,). x and y of the middle of the fingers, mm.
        side: Side that the hand comes from, 1 is the subject's left, -1 the right.
        lean: Angle of the fingers from upright towards the middle, radians.
    """
    way = np.array([-side * np.sin(lean), np.cos(lean)])
    thumb = np.array([way[1], -way[0]]) * -side
    size = generator.uniform(0.85, 1.08)
    bones, tips = _bones(target - generator.uniform(25.0, 45.0) * way, way, thumb, size, generator)
    return _over("HAND", Relief(model, shape, reach=10.0, smooth=6.0), bones, tips, _skin_colour(generator, look))


def _skin_colour(generator: np.random.Generator, look: Look | None) -> Array:
    """(3,): colour of the hands of a person."""
    skin = np.asarray(_SKIN[int(generator.integers(len(_SKIN)))])
    if look is not None:
        skin = np.median(look.colour[look.hair < 8], axis=0) * np.array([1.02, 0.97, 0.95])
    return skin


def _bones(
    knuckles: Array, way: Array, thumb: Array, size: float, generator: np.random.Generator
) -> tuple[list[tuple[Array, Array, float, float, float]], list[tuple[Array, Array]]]:
    """Capsules in the frontal plane, (start, end, radius at start, radius at end, lift), mm; (tip, way) of fingers."""
    bones: list[tuple[Array, Array, float, float, float]] = []
    tips = []
    wrist = knuckles - 88.0 * size * way
    for k, (offset, length) in enumerate(((28.0, 72.0), (9.5, 80.0), (-9.0, 75.0), (-26.0, 60.0))):
        root = knuckles + size * offset * thumb - (3.0 * abs(offset - 5.0) / 10.0) * way
        spread = generator.normal(0.0, 0.03) + 0.0022 * offset
        turned = way * np.cos(spread) + thumb * np.sin(spread)
        joint = root + size * 0.48 * length * turned
        joint2 = root + size * 0.76 * length * turned
        tip = root + size * length * turned
        thin = size * (1.0 if k < 3 else 0.86)
        bones.append((root, joint, 9.6 * thin, 8.6 * thin, 2.0))
        bones.append((joint, joint2, 8.8 * thin, 7.8 * thin, 1.0))
        bones.append((joint2, tip, 7.9 * thin, 6.6 * thin, 0.0))
        bones.append(
            (wrist + 0.55 * size * offset * thumb, root, 15.0 * size, 11.0 * size, 3.0)
        )  # the back of the hand
        tips.append((tip, turned))
    heel = wrist + 14.0 * way + 24.0 * size * thumb
    ball = heel + size * (36.0 * way + 20.0 * thumb)
    end = ball + size * (40.0 * way + 22.0 * thumb)
    bones.append((heel, ball, 14.0 * size, 11.5 * size, 1.0))
    bones.append((ball, ball + 0.55 * (end - ball), 11.0 * size, 9.5 * size, 1.0))
    bones.append((ball + 0.5 * (end - ball), end, 9.8 * size, 7.6 * size, 0.0))
    bones.append((wrist - 40.0 * way, wrist, 24.0 * size, 24.0 * size, -4.0))
    return bones, tips


def _over(
    kind: str,
    relief: Relief,
    bones: list[tuple[Array, Array, float, float, float]],
    tips: list[tuple[Array, Array]],
    skin: Array,
) -> Occluder:
    """The smooth union of capsules that lie on the relief, as a front and a back sheet."""
    ends = np.array([p for bone in bones for p in bone[:2]])
    step = 1.4
    low, high = ends.min(axis=0) - 28.0, ends.max(axis=0) + 28.0
    x, y = np.meshgrid(np.arange(low[0], high[0], step), np.arange(low[1], high[1], step))
    total = np.zeros(x.shape)  # log-sum-exp of the heights
    sharp = 1.6
    beyond = np.full(x.shape, np.inf)  # mm outside the outline, negative inside
    for a, b, ra, rb, lift in bones:
        t = np.clip(((x - a[0]) * (b - a)[0] + (y - a[1]) * (b - a)[1]) / ((b - a) ** 2).sum(), 0, 1)
        distance = np.hypot(x - a[0] - t * (b - a)[0], y - a[1] - t * (b - a)[1])
        radius = ra + (rb - ra) * t
        within = distance < radius
        beyond = np.minimum(beyond, distance - radius)
        profile = np.sqrt(np.clip(1 - (distance / radius) ** 2, 0, 1))
        height = radius * (0.85 + 0.85 * profile) + lift * profile
        total += np.where(within, np.exp(np.minimum(height / sharp, 60.0)), 0.0)
    height = sharp * np.log(np.maximum(total, 1.0))
    # The first vertices outside move onto the outline, which makes it smooth.
    inside = beyond < 1.5 * step
    down, right = np.gradient(beyond, step)
    out = np.clip(beyond, 0.0, None) * inside
    x, y = x - np.where(inside, out * right, 0.0), y - np.where(inside, out * down, 0.0)
    base = relief(x, y)
    back, front = np.stack([x, y, base + 0.5], axis=-1), np.stack([x, y, base + height], axis=-1)
    sheet, triangles = _sheet(front, inside)
    under, beneath = _sheet(back, inside)
    points = np.concatenate([sheet, under])
    triangles = np.concatenate([triangles, beneath[:, ::-1] + np.int32(len(sheet))])
    colour = _hand_colour(sheet, tips, height[inside], skin)
    colour = np.concatenate([colour, np.broadcast_to(skin * 0.6, under.shape)])
    return Occluder(kind, points, triangles, np.full(len(triangles), SOLID, np.uint8), colour, gloss=0.2)


def _hand_colour(sheet: Array, tips: list[tuple[Array, Array]], height: Array, skin: Array) -> Array:
    """(N, 3): colours of a hand: redder at fingertips and knuckles, darker in the folds, with nails."""
    colour = np.broadcast_to(skin, sheet.shape).copy()
    colour *= (0.72 + 0.28 * np.clip((height - 6.0) / 8.0, 0, 1))[:, None]
    for tip, way in tips:
        along = (sheet[:, :2] - tip) @ way
        across = (sheet[:, :2] - tip) @ np.array([way[1], -way[0]])
        red = np.exp(-((along + 4) ** 2 + across**2) / 120.0)
        colour += red[:, None] * (skin * np.array([1.02, 0.86, 0.84]) - colour) * 0.7
        nail = (np.abs(across) < 4.6) & (along > -6.5) & (along < 4.2)
        colour[nail] = skin * np.array([1.0, 0.88, 0.86]) * 0.75 + np.array([60.0, 52.0, 50.0])
        for joint in (-21.0, -39.0):
            fold = np.exp(-(((along - joint) / 1.3) ** 2)) * (np.abs(across) < 6)
            colour *= (1 - 0.16 * fold)[:, None]
    return np.clip(colour, 0, 255)


def _scarf(model: FaceModel, shape: Array, generator: np.random.Generator, look: Look | None) -> Occluder:
    """A knitted scarf around the lower face, from below the nose to the neck."""
    at = model.landmark_points(shape)
    cloth = _CLOTH[int(generator.integers(len(_CLOTH)))]
    stripe = cloth * 0.45 + np.array([120.0, 116.0, 108.0]) * generator.uniform(0.3, 1.0)
    top = at["pronasale"][1] - generator.uniform(3.0, 9.0)
    bottom = at["pogonion"][1] - 42.0
    relief = Relief(model, shape, reach=14.0, smooth=8.0)
    u, v = np.meshgrid(np.linspace(-1, 1, 121), np.linspace(0, 1, 71))
    half = 0.5 * abs(at["bu83_69"][0] - at["bu83_81"][0]) + 6.0 if "bu83_69" in at else 76.0
    angle = u * 1.62
    x = half * np.sin(angle) * (1.0 + 0.02 * np.sin(7 * v))
    sag = 5.0 * u**2
    y = top + (bottom - top) * v + sag * (1 - v) - 2.5 * np.sin(3.0 * u + 1.0) * (1 - v)
    slack = generator.uniform(0, 2 * np.pi, 3)
    folds = 2.6 * np.sin(2 * np.pi * (3.2 * v + 0.45 * u + 0.1 * np.sin(2 * u)) + slack[0])
    folds += 1.2 * np.sin(2 * np.pi * (6.1 * v - 0.6 * u) + slack[1])
    over = relief(np.clip(x, -half + 8, half - 8), np.maximum(y, at["pogonion"][1] - 22.0))
    round_back = -86.0 + 86.0 * np.cos(angle) - 20.0
    edge = np.clip(np.abs(x) / half, 0, 1) ** 6
    z = (1 - edge) * over + edge * np.minimum(over, round_back) + 7.0 + folds
    z -= 5.0 * np.exp(-v / 0.05)  # the upper hem lies on the face
    front = np.stack([x, y, z], axis=-1)
    sheet, triangles = _sheet(front[::-1], np.ones(front.shape[:2], np.bool_))
    back = sheet - np.array([0.0, 0.0, 3.0])
    knit = 1 + 0.10 * np.sin(2 * np.pi * 46 * u) * np.sin(2 * np.pi * 32 * v)
    colour = np.where((np.sin(2 * np.pi * 2.5 * v) > 0.35)[..., None], stripe, cloth) * knit[..., None]
    points = np.concatenate([sheet, back])
    triangles = np.concatenate([triangles, triangles[:, ::-1] + np.int32(len(sheet))])
    flat = colour[::-1].reshape(-1, 3)
    part = np.full(len(triangles), SOLID, np.uint8)
    return Occluder("SCARF", points, triangles, part, np.clip(np.concatenate([flat, flat]), 0, 255), gloss=0.0)


def _hair(model: FaceModel, shape: Array, generator: np.random.Generator, look: Look | None) -> Occluder:
    """A fringe: locks from the hairline over the forehead, longest over one of the eyes."""
    at = model.landmark_points(shape)
    colour = _HAIR[int(generator.integers(len(_HAIR)))]
    if look is not None and (look.hair > 220).any():
        colour = np.median(look.colour[look.hair > 220], axis=0)
    side = float(generator.choice([-1.0, 1.0]))
    relief = Relief(model, shape, reach=3.0, smooth=3.0)
    eye_y = at["exocanthion_left"][1]
    top = min(eye_y + 80.0, float(shape[:, 1].max()) - 4.0)
    pieces: list[tuple[Array, NDArray[np.int32], int]] = []
    shades = []
    for root_x in np.sort(generator.uniform(-1.0, 1.0, 130)):
        toward = side * generator.uniform(0.15, 0.6)
        # The fringe is long over the eye of its side and short on the other side.
        length = 46.0 + 36.0 / (1 + np.exp(-3.0 * (side * root_x - 0.1))) + generator.normal(0.0, 6.0)
        t = np.linspace(0, 1, 12)
        x = 58.0 * root_x + toward * length * t**1.6 + generator.normal(0.0, 1.5) * np.sin(3 * t)
        x = np.clip(x, -66.0, 66.0)
        root = top - 14.0 * root_x**2 + generator.uniform(-7.0, 4.0)
        y = root - (length + root - top + 8.0) * t
        z = relief(x, y) + 0.5 + generator.uniform(0.5, 3.0) + 5.0 * np.sin(np.pi * np.clip(t * 1.1, 0, 1))
        width = generator.uniform(1.2, 2.8) * (1 - 0.85 * t**2) * np.clip(t / 0.12, 0.15, 1)
        line = np.stack([x, y, z], axis=1)
        pieces.append((*_tube(line, width), STRAND))
        shades.append(generator.uniform(0.7, 1.35))
    fringe = _assembled("HAIR", pieces, colour, gloss=0.35)
    shade = np.concatenate([np.full(len(p[0]), s) for p, s in zip(pieces, shades, strict=True)])
    return Occluder(
        "HAIR", fringe.points, fringe.triangles, fringe.part, np.clip(fringe.colour * shade[:, None], 0, 255), 0.35
    )


def _tube(line: Array, radius: Array, closed: bool = False, sides: int = 8) -> tuple[Array, NDArray[np.int32]]:
    """A tube around a line of points (N, 3) with radii (N,); the ends of an open line have no cap."""
    ahead = np.roll(line, -1, axis=0) - np.roll(line, 1, axis=0) if closed else np.gradient(line, axis=0)
    ahead /= np.maximum(np.linalg.norm(ahead, axis=1, keepdims=True), 1e-9)
    away = np.where(np.abs(ahead[:, 2:]) < 0.9, np.array([0.0, 0.0, 1.0]), np.array([0.0, 1.0, 0.0]))
    right = np.cross(ahead, away)
    right /= np.maximum(np.linalg.norm(right, axis=1, keepdims=True), 1e-9)
    up = np.cross(right, ahead)
    angle = np.linspace(0, 2 * np.pi, sides, endpoint=False)
    ring = np.cos(angle)[:, None] * right[:, None] + np.sin(angle)[:, None] * up[:, None]  # (N, sides, 3)
    points = line[:, None] + radius[:, None, None] * ring
    n = len(line)
    row = np.arange(n if closed else n - 1)[:, None]
    column = np.arange(sides)[None]
    a, b = row * sides + column, row * sides + (column + 1) % sides
    c, d = (row + 1) % n * sides + (column + 1) % sides, (row + 1) % n * sides + column
    triangles = np.stack([a, c, b, a, d, c], axis=-1).reshape(-1, 3)
    return points.reshape(-1, 3), triangles.astype(np.int32)


def _disc(line: Array) -> tuple[Array, NDArray[np.int32]]:
    """A fan of triangles that fills a closed, counter-clockwise line."""
    n = len(line)
    k = np.arange(n)
    points = np.concatenate([line, line.mean(axis=0, keepdims=True)])
    return points, np.stack([k, (k + 1) % n, np.full(n, n)], axis=1).astype(np.int32)


def _dense(line: Array, count: int) -> Array:
    t = np.linspace(0, len(line) - 1, count)
    return np.stack([np.interp(t, np.arange(len(line)), line[:, k]) for k in range(3)], axis=1)


def _sheet(points: Array, keep: NDArray[np.bool_]) -> tuple[Array, NDArray[np.int32]]:
    """Points of an (H, W, 3) grid that `keep` selects, and triangles that face +z; x grows by column, y by row."""
    row = np.cumsum(keep.ravel()).reshape(keep.shape) - 1
    a, b, c, d = row[:-1, :-1], row[:-1, 1:], row[1:, 1:], row[1:, :-1]
    whole = keep[:-1, :-1] & keep[:-1, 1:] & keep[1:, 1:] & keep[1:, :-1]
    triangles = np.stack([a, b, c, a, c, d], axis=-1)[whole].reshape(-1, 3)
    return points[keep], triangles.astype(np.int32)


def _assembled(kind: str, pieces: list[tuple[Array, NDArray[np.int32], int]], colour: Array, gloss: float) -> Occluder:
    points, triangles, part, count = [], [], [], 0
    for vertices, faces, what in pieces:
        points.append(vertices)
        triangles.append(faces + np.int32(count))
        part.append(np.full(len(faces), what, np.uint8))
        count += len(vertices)
    colours = np.broadcast_to(colour, (count, 3)).copy()
    return Occluder(kind, np.concatenate(points), np.concatenate(triangles), np.concatenate(part), colours, gloss)


KINDS: dict[str, Callable[[FaceModel, Array, np.random.Generator, Look | None], Occluder]] = {
    "EYE": partial(_hand, "EYE"),
    "MOUTH": partial(_hand, "MOUTH"),
    "GLASSES": _glasses,
    "HAIR": _hair,
    "SCARF": _scarf,
}
