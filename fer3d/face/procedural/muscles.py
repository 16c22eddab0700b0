"""Muscles, folds, lids and jaw that move the skin of the built-in face, after Waters [1].

A linear muscle pulls skin in a cone towards its attachment on the bone, most at its insertion and less to the sides and
beyond. A sphincter draws the skin inside an ellipse to its centre. Both act in the frontal plane. Three steps are our
addition: skin slides over its support (`fer3d.face.procedural.surface.support`: bone and eyeballs), which changes z;
compressed skin bulges along the normal, by the share of area that it loses; folds are carved along lines. The margins
of the lids and the jaw have rules of their own. Waters takes cosines of distance and angle for the fall-off; we take
their squares where a cone ends, so that its boundary leaves no crease. All numbers are our choice.

Convention: mm, as in `fer3d.face.procedural.surface`, with signed x; a part is given for the subject's left side
(x > 0). Parts with x = 0 act once, other parts act once on each side that moves.

.. [1] K. Waters: A muscle model for animating three-dimensional facial expression. SIGGRAPH 1987, 17-24.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fer3d.face.procedural import surface
from fer3d.face.procedural.surface import Array

_MIRROR = np.array([-1.0, 1.0, 1.0])
_STEP = 0.5  # mm, of finite differences
_FIXED = 0.25  # share of a muscle's length, from the bone, in which skin does not move: it would converge on a point
_SLACK = 0.15  # share of area that skin loses before it bulges
_MOST_SLIDE = 7.0  # largest change of z by sliding, mm: the support is steep at the boundary of the face
Point = tuple[float, float]


class Layer(IntEnum):
    """The layer of a vertex: the skin, the hollow of the mouth, the edge of a lid, an eyeball, or the teeth."""

    SKIN = 0
    HOLLOW = 1
    LID_EDGE = 2
    BALL = 3
    TEETH = 4


class Field(NamedTuple):
    """The vertices of the face, with what the modes need to know of each.

    Attributes:
        points: (V, 3) float64, mm.
        below: (V,) bool. Whether the vertex belongs to the lower side of the line between the lips.
        layer: (V,) int8. The `Layer` of the vertex.
        lid: (V,) int8. 1 for a vertex above the eye, -1 below, 0 for neither.
        follow: (V,) float64. Share of the motion of muscles that the vertex follows: 1 for skin, 0 for rigid parts.
    """

    points: Array
    below: NDArray[np.bool_]
    layer: NDArray[np.int8]
    lid: NDArray[np.int8]
    follow: Array

    @property
    def x(self) -> Array:
        return np.abs(self.points[:, 0])

    @property
    def y(self) -> Array:
        return self.points[:, 1]

    @property
    def z(self) -> Array:
        return self.points[:, 2]

    @property
    def soft(self) -> NDArray[np.bool_]:
        """(V,) bool: True for all but eyeballs and teeth."""
        return np.asarray(self.layer < Layer.BALL)

    def mirror(self) -> NDArray[np.int64]:
        """(V,) int64: row of the mirror image of each vertex."""

        def order(x: Array) -> NDArray[np.int64]:
            return np.lexsort((self.lid, self.layer, self.below, self.z, self.y, x + 0.0))

        rows = np.empty(len(self.points), np.int64)
        rows[order(-self.points[:, 0])] = order(self.points[:, 0])
        return rows

    def upper_share(self) -> Array:
        """(V,) float64: 1 on the side of the upper lip, 0 on that of the lower.

        The step is sharp between the corners of the mouth and gradual at and beyond them.
        """
        reach = np.clip(self.x / surface.MOUTH_HALF_WIDTH, 0, 1) ** 4
        soft = 0.5 + 0.5 * np.tanh((self.y - surface.lip_line(self.x)) / (0.5 + 5.0 * reach))
        return np.where(self.below, 0.0, 1.0) * (1 - reach) + soft * reach


class Linear(NamedTuple):
    """A linear muscle, eq. 1 to 3 of [1].

    Attributes:
        bone: (x, y) of its attachment.
        skin: (x, y) of its insertion, where the skin moves most.
        pull: Displacement at the insertion, mm.
        angle: Half angle of the cone within which skin follows, degrees.
        reach: Distance beyond the insertion at which the effect ends, mm.
        lips: Side of the line between the lips that it moves: "both", "upper" or "lower"; "above" and "below" are as
            "upper" and "lower", but the line itself stays where it is.
    """

    bone: Point
    skin: Point
    pull: float
    angle: float = 35.0
    reach: float = 14.0
    lips: str = "both"

    @property
    def middle(self) -> bool:
        return self.bone[0] == self.skin[0] == 0.0

    def move(self, x: Array, y: Array) -> Array:
        """(n, 3) float64: displacement at (x, y), mm."""
        axis = np.subtract(self.skin, self.bone)
        length = float(np.hypot(*axis))
        px, py = x - self.bone[0], y - self.bone[1]
        distance = np.maximum(np.hypot(px, py), 1e-6)
        turn = np.arccos(np.clip((px * axis[0] + py * axis[1]) / (distance * length), -1, 1))
        cone = np.cos(0.5 * np.pi * np.clip(turn / np.radians(self.angle), 0, 1)) ** 2
        beyond = np.clip((distance - length) / self.reach, 0, 1)
        near = np.clip((distance / length - _FIXED) / (1 - _FIXED), 0, 1)
        radial = np.where(distance < length, np.sin(0.5 * np.pi * near) ** 2, np.cos(0.5 * np.pi * beyond) ** 2)
        size = -self.pull * cone * radial / distance
        return np.stack([size * px, size * py, np.zeros_like(x)], axis=1)


class Ring(NamedTuple):
    """A sphincter, which draws the skin inside an ellipse to its centre; eq. 4 of [1], with a gradual start and end.

    Skin within 0.3 of the way from centre to boundary does not move, nor does skin at the boundary.
    """

    centre: Point
    axes: Point
    pull: float
    lips: str = "both"

    @property
    def middle(self) -> bool:
        return self.centre[0] == 0.0

    def move(self, x: Array, y: Array) -> Array:
        px, py = x - self.centre[0], y - self.centre[1]
        out = np.hypot(px / self.axes[0], py / self.axes[1])
        size = -self.pull * np.sin(np.pi * np.clip((out - 0.3) / 0.7, 0, 1)) ** 2 / np.maximum(np.hypot(px, py), 1e-6)
        return np.stack([size * px, size * py, np.zeros_like(x)], axis=1)


class Tissue(NamedTuple):
    """Soft tissue that follows a muscle: it moves by `by` (x, y, z) mm at the centre `at`.

    The displacement falls off as a Gaussian with standard deviations `size` (mm) along two axes; `turn` rotates these
    axes, in degrees from x towards y.
    """

    at: Point
    size: Point
    by: tuple[float, float, float]
    turn: float = 0.0
    lips: str = "both"

    @property
    def middle(self) -> bool:
        return self.at[0] == 0.0

    def move(self, x: Array, y: Array) -> Array:
        return np.asarray(surface.bump(x, y, self.at, self.size, self.turn)[:, None] * np.array(self.by))


class Fold(NamedTuple):
    """A groove along a line, with a ridge to the left of the direction of the line.

    Attributes:
        line: Points of a polyline, which a smooth curve interpolates; the groove fades out at both ends.
        depth: Depth of the groove, mm.
        width: Half width of the groove, mm.
        ridge: Height of the ridge, mm.
    """

    line: tuple[Point, ...]
    depth: float
    width: float = 1.7
    ridge: float = 0.0

    @property
    def middle(self) -> bool:
        return all(point[0] == 0.0 for point in self.line)

    def height(self, x: Array, y: Array) -> Array:
        """(n,) float64: height along the normal at (x, y), mm."""
        at = np.linspace(0, len(self.line) - 1, 25)
        line = np.stack([_rounded(at, np.array(self.line)[:, axis]) for axis in (0, 1)], axis=1)  # (25, 2)
        step = np.diff(line, axis=0)
        length = np.hypot(*step.T)
        rel = np.stack([x, y], axis=1)[:, None] - line[:-1]  # (n, 24, 2)
        along = np.clip(np.einsum("nsk,sk->ns", rel, step) / length**2, 0, 1)
        off = rel - along[..., None] * step
        distance = np.hypot(off[..., 0], off[..., 1])
        near = distance.argmin(axis=1)
        rows = np.arange(len(x))
        side = step[near, 0] * rel[rows, near, 1] - step[near, 1] * rel[rows, near, 0]
        d = np.sign(side) * distance[rows, near]
        share = (near + along[rows, near]) / len(step)
        fade = np.clip(np.minimum(share, 1 - share) / 0.22, 0, 1)
        fade = fade**2 * (3 - 2 * fade)
        groove = -self.depth * np.exp(-((d / self.width) ** 2))
        return np.asarray(fade * (groove + self.ridge * np.exp(-(((d - 2.3 * self.width) / (1.7 * self.width)) ** 2))))


def _rounded(at: Array, value: Array) -> Array:
    """Interpolate the values at 0, 1, 2 ... by a Catmull-Rom spline."""
    ends = np.concatenate([[2 * value[0] - value[1]], value, [2 * value[-1] - value[-2]]])
    k = np.minimum(at.astype(int), len(value) - 2)
    t = at - k
    a, b, c, d = ends[k], ends[k + 1], ends[k + 2], ends[k + 3]
    return np.asarray(b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a))))


class Lids(NamedTuple):
    """Upward shifts of the lid margins at mid-eye, mm; with `close`, the upper lid moves all the way down instead."""

    upper: float = 0.0
    lower: float = 0.0
    close: bool = False


class Jaw(NamedTuple):
    """Motion of the jaw: `turn` in radians about the line through its joints, and `slide` (x, z) in mm."""

    turn: float = 0.0
    slide: Point = (0.0, 0.0)


Mover = Linear | Ring | Tissue
_JAW_AXIS = (6.0, -84.0)  # y and z of the line through both joints


class Skin:
    """A field, with quantities of it that all action units share."""

    def __init__(self, field: Field) -> None:
        self.field = field
        self.mirror = field.mirror()
        self.upper = field.upper_share()
        still = 1 - np.exp(-(((field.y - surface.lip_line(field.x)) / 2.5) ** 2))
        self.side = {"both": np.ones(len(still)), "upper": self.upper, "lower": 1 - self.upper}
        self.side |= {"above": still * self.upper, "below": still * (1 - self.upper)}
        self.free = _off_the_lids(field.x, field.y)
        boundary = np.clip((field.x / surface.half_width(field.y) - 0.78) / 0.18, 0, 1)
        # The support is too steep to slide on at the boundary of the face.
        self.inner = 1 - boundary**2 * (3 - 2 * boundary)
        x, y, h = field.x, field.y, _STEP
        self.support = surface.support(x, y)
        slope = [
            (surface.support(np.abs(x + dx), y + dy) - surface.support(np.abs(x - dx), y - dy)) / (2 * h)
            for dx, dy in ((h, 0.0), (0.0, h))
        ]
        normal = np.stack([-slope[0] * np.sign(field.points[:, 0]), -slope[1], np.ones_like(x)], axis=1)
        self.normal = normal / np.linalg.norm(normal, axis=1, keepdims=True)

    def mirrored(self, move: Array) -> Array:
        """(V, 3): the mirror image of a displacement, exact to the last bit."""
        return np.asarray(move[self.mirror] * _MIRROR)

    def moved(self, movers: Sequence[Mover], folds: Sequence[Fold], bulge: float, *, whole: bool) -> Array:
        """(V, 3) float64, mm: displacement by muscles, tissue and folds on the left side, or on both with `whole`."""
        flat, squeezed = self._flat(movers, whole=whole)
        flat *= self.inner[:, None]
        x, y = self.field.points[:, 0] + flat[:, 0], self.field.y + flat[:, 1]
        slide = surface.support(np.abs(x), y) - self.support
        flat[:, 2] += np.clip(slide, -_MOST_SLIDE, _MOST_SLIDE)
        pressed = np.clip(squeezed - _SLACK, 0, 0.6)
        rise = bulge * pressed**2 / (pressed + 0.12)  # starts gradually: an edge would look like a fold
        carved = np.zeros(len(x))
        for fold in folds:
            carved += _near(fold.height, self.field.points[:, 0], self.field.y, _fold_box(fold)) * _once(fold, whole)
        rise += carved + carved[self.mirror] if whole else carved
        flat += rise[:, None] * self.normal
        return flat * self.field.follow[:, None]

    def _flat(self, movers: Sequence[Mover], *, whole: bool) -> tuple[Array, Array]:
        """Displacement before skin slides, (V, 3), and the share of area that skin loses, (V,)."""
        x, y = self.field.points[:, 0], self.field.y
        total = np.zeros_like(self.field.points)
        lost = np.zeros(len(x))
        for mover in movers:
            share = self.side[mover.lips] * _once(mover, whole)
            box = _box(mover)
            for dx, dy, axis in ((0.0, 0.0, -1), (_STEP, 0.0, 0), (-_STEP, 0.0, 0), (0.0, _STEP, 1), (0.0, -_STEP, 1)):
                move = np.zeros_like(total)
                inside = (x > box[0] - 1) & (x < box[1] + 1) & (y > box[2] - 1) & (y < box[3] + 1)
                at = x[inside] + dx, y[inside] + dy
                move[inside] = mover.move(*at) * _off_the_lids(np.abs(at[0]), at[1])[:, None]
                if axis < 0:
                    total += move * share[:, None]
                else:
                    lost -= share * move[:, axis] * (np.sign(dx + dy) / (2 * _STEP))
        if whole:
            return total + self.mirrored(total), lost + lost[self.mirror]
        return total, lost

    def lids_moved(self, lids: Lids) -> Array:
        """(V, 3) float64, mm: displacement by the lids of both eyes.

        The margins slide over the eyeball, less towards the corners; the skin around them follows gradually.
        """
        field = self.field
        x, y = field.x, field.y
        upper, lower = surface.upper_lid(x), surface.lower_lid(x)
        t = (x - surface.EYE_INNER) / (surface.EYE_OUTER - surface.EYE_INNER)
        arch = np.clip(4 * t * (1 - t), 0, 1) ** 0.7
        down = -(upper - lower) + lids.lower * arch if lids.close else lids.upper * arch
        dy = np.where(
            field.lid > 0,
            down * np.exp(-((np.clip(y - upper, 0, None) / 6.5) ** 2)),
            lids.lower * arch * np.exp(-((np.clip(lower - y, 0, None) / 6.0) ** 2)),
        )
        fold = np.exp(-(((y - surface.crease(x)) / 1.5) ** 2)) * np.sqrt(np.clip(4 * t * (1 - t), 0, 1))
        dy = dy * ((t > 0) & (t < 1) & (np.abs(y - surface.EYE_Y) < 24) & field.soft & (field.layer != Layer.HOLLOW))
        away = np.clip(np.maximum(y - upper, lower - y), 0, None)
        margin = np.exp(-((away / 3.0) ** 2))  # the margins slide on the ball itself
        dz = margin * (surface.eyelid_shell(x, y + dy) - surface.eyelid_shell(x, y))
        dz += (1 - margin) * (surface.support(x, y + dy) - self.support)
        dz += np.where((field.lid > 0) & (dy < 0), -0.2 * dy * fold, 0.0)  # the fold of the upper lid opens
        return np.stack([np.zeros_like(x), dy, dz], axis=1)

    def jaw_moved(self, jaw: Jaw) -> Array:
        """(V, 3) float64, mm: displacement by the jaw.

        Lower lip, lower teeth and chin follow the jaw, the upper lip stays, and the cheeks stretch between them.
        """
        field = self.field
        x, y, z = field.x, field.y, field.z
        held = np.clip((-10.0 - y) / 48.0, 0, 1)
        held = held**2 * (3 - 2 * held)
        gap = np.sqrt(np.clip(1 - (x / (surface.MOUTH_HALF_WIDTH + 0.1)) ** 2, 0, None))
        near = np.exp(-(((y - surface.lip_line(x)) / 30.0) ** 2))
        weight = np.where(field.below, held + (1 - held) * gap * near, held * (1 - gap * near))
        weight *= 1 - 0.55 * np.clip((x - 40) / 30, 0, 1)
        weight[(field.layer == Layer.BALL) | ((field.layer == Layer.TEETH) & ~field.below)] = 0.0
        c, s = np.cos(jaw.turn), np.sin(jaw.turn)
        ry, rz = y - _JAW_AXIS[0], z - _JAW_AXIS[1]
        dy = (c - 1) * ry - s * rz
        dz = s * ry + (c - 1) * rz
        move = np.stack([np.zeros_like(x), dy, dz + jaw.slide[1]], axis=1) * weight[:, None]
        # Both lips move sideways together: a lip that slides on the other would run into it.
        move[:, 0] = jaw.slide[0] * np.where(field.soft, held, weight)
        pinch = np.where(field.soft, -6.0 * jaw.turn * surface.bump(x, y, (25, -35), (9, 10)), 0.0)
        move[:, 0] += np.sign(field.points[:, 0]) * pinch  # an open mouth is narrower
        return move


def _once(part: Mover | Fold, whole: bool) -> float:
    """Factor on a part: 0.5 for a part in the middle that is applied on both sides, else 1."""
    return 0.5 if whole and part.middle else 1.0


def _off_the_lids(x: Array, y: Array) -> Array:
    """0 at the margins of the lids, which only `Lids` move; 1 at 6 to 8 mm from them."""
    across = np.maximum(x - surface.EYE_OUTER, surface.EYE_INNER - x)
    away = np.maximum(y - surface.upper_lid(x), surface.lower_lid(x) - y)
    share = np.clip(np.hypot(np.clip(across, 0, None) / 6.0, np.clip(away, 0, None) / 8.0), 0, 1)
    return np.asarray(share**2 * (3 - 2 * share))


def _box(mover: Mover) -> tuple[float, float, float, float]:
    """Left, right, bottom and top of the box beyond which a mover has almost no effect."""
    if isinstance(mover, Linear):
        (x, y), r = mover.bone, float(np.hypot(*np.subtract(mover.skin, mover.bone))) + mover.reach
        return x - r, x + r, y - r, y + r
    if isinstance(mover, Ring):
        (x, y), (a, b) = mover.centre, mover.axes
        return x - a, x + a, y - b, y + b
    (x, y), r = mover.at, 3.5 * max(mover.size)
    return x - r, x + r, y - r, y + r


def _fold_box(fold: Fold) -> tuple[float, float, float, float]:
    (left, bottom), (right, top) = np.min(fold.line, axis=0), np.max(fold.line, axis=0)
    r = 6.0 * fold.width
    return left - r, right + r, bottom - r, top + r


def _near(height: Callable[[Array, Array], Array], x: Array, y: Array, box: tuple[float, float, float, float]) -> Array:
    """Evaluate `height` inside a box; it is 0 outside."""
    inside = (x > box[0]) & (x < box[1]) & (y > box[2]) & (y < box[3])
    values = np.zeros(len(x))
    values[inside] = height(x[inside], y[inside])
    return values
