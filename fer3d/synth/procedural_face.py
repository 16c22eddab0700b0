"""The neutral surface of the built-in face: shape by formulas, nothing taken from a scan.

The surface is a grid of rows (forehead to throat) and columns (ear to ear). A smooth head without a nose comes from its
half-width, its front profile and the roundness of its horizontal sections, each a curve over y. Upon it stand, as
heights along z, the nose (ridge, tip, wings, joined by smooth maxima), orbits with lids over a ball, brows, zygomas,
lips and folds. Rows follow the lip line and the lid margins, so that these stay sharp on a coarse grid; along the lip
line between the corners the mesh is slit, and a pocket behind it is the mouth.

Sizes are those of textbooks of facial anthropometry, rounded: outer eye corners 89 mm apart, inner 32, mouth 50, wings
of the nose 35, face 141. All numbers below are our choices, tuned by eye on renderings.

Convention: mm, origin at the nose tip, axes of `fer3d.scan`. In this module `x` is |x|: the face is built for its left
half (x >= 0) and mirrored, so that its symmetry is exact.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

Array = NDArray[np.float64]

HALF_COLUMNS = 70  # columns right of the middle one
MOUTH_HALF_WIDTH = 25.0
EYE_INNER, EYE_OUTER = 16.0, 44.5  # x of the eye corners
EYE_Y = 32.5
EYE_CENTRE, EYE_RADIUS = (30.5, 33.2, -49.3), 12.4
_BACK = -98.0  # z of the plane in which the head is widest

Knots = tuple[tuple[float, float], ...]  # (y, value) of a curve over y

# Half-width of the head, z of its front without nose and lips, roundness of its horizontal section.
_WIDTH: Knots = (
    *((-104, 44.0), (-92, 44.5), (-80, 46.0), (-68, 49.5), (-55, 54.5), (-40, 59.5), (-20, 64.8)),
    *((0, 68.5), (20, 70.4), (40, 70.6), (60, 70.0), (85, 67.0), (105, 61.0), (120, 54.0)),
)
_FRONT: Knots = (
    *((-104, -79.0), (-95, -63.0), (-88, -49.0), (-82, -37.5), (-77, -28.0), (-71, -21.5), (-65, -19.5)),
    *((-58, -20.2), (-51, -20.8), (-43, -20.0), (-34, -18.8), (-25, -18.0), (-12, -19.5), (0, -23.0), (20, -27.0)),
    *((33, -26.5), (45, -22.5), (58, -18.5), (75, -19.0), (95, -24.0), (110, -33.0), (120, -42.5)),
)
_ROUND: Knots = ((-104, 1.95), (-80, 1.8), (-60, 1.8), (-35, 1.9), (0, 2.0), (40, 2.15), (80, 2.3), (120, 2.25))

# The nose: z of its ridge, radius of the ridge, slope of its sides.
_RIDGE: Knots = (
    *((-40, -140.0), (-18, -31.0), (-14, -20.0), (-11.5, -15.0), (-8.5, -10.5), (-4.5, -5.0), (0, -1.6), (5, -2.8)),
    *((14, -7.6), (25, -13.6), (34, -18.6), (41, -21.6), (48, -22.2), (56, -27.0), (75, -140.0)),
)
_RIDGE_RADIUS: Knots = ((-20, 5.0), (-6, 5.0), (0, 5.5), (10, 4.8), (25, 4.4), (40, 6.0), (60, 8.0))
_RIDGE_SLOPE: Knots = ((-20, 2.0), (-6, 2.0), (0, 1.8), (10, 1.6), (25, 1.5), (40, 1.35), (60, 1.0))


def _along(y: Array, knots: Knots) -> Array:
    """A monotone cubic through the knots, constant beyond their ends."""
    at, value = np.array(knots).T
    return np.asarray(PchipInterpolator(at, value)(np.clip(y, at[0], at[-1])))


class Grid(NamedTuple):
    """The left half of the face, and how its rows and columns lie.

    Attributes:
        points: (rows, columns, 3). Column 0 is the middle (x = 0), row 0 the throat.
        row: Name of a key curve -> its row.
        corner: Column of the mouth corner; the slit runs over columns 0 to corner - 1.
    """

    points: Array
    row: dict[str, int]
    corner: int


def half_face() -> Grid:
    """The left half of the neutral face."""
    side = np.linspace(0.0, 1.0, HALF_COLUMNS + 1)
    side = np.sin(np.radians(87.5) * (0.72 * side + 0.28 * side**3))  # share of the half-width, dense in the middle
    corner = int(np.abs(side * _along(np.array(-35.0), _WIDTH) - MOUTH_HALF_WIDTH).argmin())
    first = np.cumsum([0, *(key.rows for key in _KEYS[:-1])])
    x = np.broadcast_to(side * _along(np.array(0.0), _WIDTH), (int(first[-1]) + 1, len(side)))
    for _ in range(6):  # rows bend with x, and the width that scales x depends on the row: settles at once
        y = _rows(x, first)
        x = side * _along(y, _WIDTH)
    points = np.stack([x, y, height(x, y)], axis=-1)
    return Grid(points, {key.name: int(row) for key, row in zip(_KEYS, first, strict=True)}, corner)


def _rows(x: Array, first: NDArray[np.int64]) -> Array:
    """(R, K + 1) y: rows spaced evenly between the key curves, which stand in the rows `first`."""
    keys = np.stack([key.curve(x[row]) for key, row in zip(_KEYS, first, strict=True)])
    row = np.arange(first[-1] + 1)
    below = np.minimum(np.searchsorted(first, row, side="right") - 1, len(first) - 2)
    share = (row - first[below]) / np.diff(first)[below]
    return np.asarray(keys[below] * (1 - share[:, None]) + keys[below + 1] * share[:, None])


def lip_line(x: Array) -> Array:
    """y of the line between the lips; beyond the corner it runs on, so that rows do."""
    bow = 0.8 * (np.exp(-(((x - 9) / 6.5) ** 2)) + np.exp(-(((x + 9) / 6.5) ** 2))) - 0.9 * np.exp(-((x / 5.0) ** 2))
    return np.asarray(-34.3 + bow - 1.2 * (np.minimum(x, 40.0) / 25) ** 2)


def upper_lip(x: Array) -> Array:
    """y of the upper border of the red of the lips: two peaks at the philtrum ridges."""
    round_x = np.sqrt(x**2 + 9.0) - 3.0  # no tent in the middle
    inside = np.clip(1 - round_x / (np.sqrt(MOUTH_HALF_WIDTH**2 + 9.0) - 3.0), 0, None)
    peaks = np.exp(-(((x - 6) / 3.4) ** 2)) + np.exp(-(((x + 6) / 3.4) ** 2))
    bow = 7.4 * inside**0.85 + 0.9 * peaks - 0.5 * np.exp(-((x / 3.4) ** 2))
    return np.asarray(lip_line(x) + np.maximum(bow, 1.6 * np.clip((x - 18) / 10, 0, 1.6)))


def lower_lip(x: Array) -> Array:
    """y of the lower border of the red of the lips."""
    inside = np.clip(1 - (x / MOUTH_HALF_WIDTH) ** 2, 0, None)
    return lip_line(x) - np.maximum(8.6 * inside**0.75, 1.6 * np.clip((x - 18) / 10, 0, 1.6))


def _eye_share(x: Array) -> Array:
    """0 at the inner corner of the eye, 1 at the outer; outside [0, 1] beyond."""
    return (x - EYE_INNER) / (EYE_OUTER - EYE_INNER)


def upper_lid(x: Array) -> Array:
    """y of the margin of the upper lid."""
    t = _eye_share(x)
    arch = np.clip(4 * t * (1 - t), 0, None) ** 0.62 * (1 + 0.18 * (0.5 - t))
    return EYE_Y + 2.2 * np.clip(t, 0, 1) + np.maximum(6.6 * arch, 0.7)


def lower_lid(x: Array) -> Array:
    """y of the margin of the lower lid."""
    t = _eye_share(x)
    arch = np.clip(4 * t * (1 - t), 0, None) ** 0.8 * (1 - 0.25 * (0.5 - t))
    return EYE_Y + 2.2 * np.clip(t, 0, 1) - np.maximum(4.4 * arch, 0.7)


def brow_line(x: Array) -> Array:
    """y of the middle of the eyebrow."""
    return np.asarray(47.5 + 5.5 * np.sin(np.clip((x - 8) / 50, 0, 1) * np.pi * 0.78))


class _Key(NamedTuple):
    """A curve y(|x|) that a row of the grid follows, and the number of rows from it up to the next."""

    name: str
    curve: Callable[[Array], Array]
    rows: int


_KEYS = (
    _Key("throat", lambda x: np.full_like(x, -104.0), 15),
    _Key("menton", lambda x: -79.0 + 7.0 * (x / 45) ** 2, 15),
    _Key("fold", lambda x: -52.5 + 1.5 * (x / 40) ** 2, 6),
    _Key("lower_lip", lower_lip, 7),
    _Key("lips", lip_line, 7),
    _Key("upper_lip", upper_lip, 9),
    _Key("subnasale", lambda x: np.full_like(x, -13.0), 14),
    _Key("wing", lambda x: np.full_like(x, 3.0), 15),
    _Key("lower_lid", lower_lid, 9),
    _Key("upper_lid", upper_lid, 4),
    _Key("crease", lambda x: _crease(x), 8),
    _Key("brow", brow_line, 25),
    _Key("top", lambda x: np.full_like(x, 118.0), 0),
)


def height(x: Array, y: Array) -> Array:
    """z of the neutral surface at (|x|, y)."""
    z = head(x, y) + _relief(x, y)
    z = _orbit(z, x, y)
    z = _nose(z, x, y)
    return z + _lips(x, y)


def head(x: Array, y: Array) -> Array:
    """z of the head without nose, eyes and lips at (|x|, y)."""
    share = np.clip(x / _along(y, _WIDTH), 0, 1)
    share = (np.sqrt(share**2 + 0.01) - 0.1) / (np.sqrt(1.01) - 0.1)  # no edge in the middle where p < 2
    p = _along(y, _ROUND)
    return np.asarray(_BACK + (_along(y, _FRONT) - _BACK) * np.sqrt(np.clip(1 - share**p, 0, None)))


def bump(x: Array, y: Array, at: tuple[float, float], size: tuple[float, float], turn: float = 0.0) -> Array:
    """A Gaussian of height 1 with half-axes `size`, its first axis turned by `turn` degrees from x towards y."""
    c, s = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    dx, dy = x - at[0], y - at[1]
    return np.asarray(np.exp(-0.5 * (((c * dx + s * dy) / size[0]) ** 2 + ((c * dy - s * dx) / size[1]) ** 2)))


def _pair(x: Array, y: Array, at: tuple[float, float], size: tuple[float, float], turn: float = 0.0) -> Array:
    """A bump and its mirror image: unlike a bump over |x|, smooth across the middle."""
    return bump(x, y, at, size, turn) + bump(-x, y, at, size, turn)


def _relief(x: Array, y: Array) -> Array:
    """Bone and soft tissue: broad bumps and hollows."""
    z = 2.4 * _pair(x, y, (30, 49.5), (14, 5.0), 6) + 0.8 * _pair(x, y, (9, 50), (6, 5))  # brow ridge
    z += 3.0 * _pair(x, y, (50, 12), (13, 9), 20)  # zygoma
    z += 2.5 * _pair(x, y, (34, -4), (11, 11), 40)  # front of the cheek
    z -= 2.6 * _pair(x, y, (50, -32), (11, 15))  # hollow of the cheek
    z -= 2.5 * _pair(x, y, (64, 52), (9, 16))  # temple
    z += 1.2 * _pair(x, y, (8, -66), (8, 7)) + 1.2 * bump(x, y, (0, -66), (15, 9))  # chin
    z -= 3.4 * bump(x, y, (0, -52), (13, 4.6)) + 0.8 * _pair(x, y, (20, -47), (6, 5), -40)  # fold above the chin
    z -= 1.1 * _pair(x, y, (23.5, -15), (3.0, 11), 22)  # fold from wing of the nose to mouth corner
    z += 1.6 * _pair(x, y, (44, -58), (13, 9), 35)  # line of the jaw
    z -= 1.3 * bump(x, y, (0, -20), (2.4, 5.5)) - 0.5 * _pair(x, y, (5.5, -21), (2.2, 5))  # philtrum
    return np.asarray(z)


def _smooth_max(a: Array, b: Array, width: float) -> Array:
    """max(a, b), rounded where they differ by less than `width`."""
    h = np.clip(1 - np.abs(a - b) / width, 0, None)
    return np.maximum(a, b) + 0.25 * width * h**2


def _ball(x: Array, y: Array, centre: tuple[float, float, float], radii: tuple[float, float, float]) -> Array:
    """Front of an ellipsoid; far below outside its outline."""
    q = ((x - centre[0]) / radii[0]) ** 2 + ((y - centre[1]) / radii[1]) ** 2
    rim = 0.06  # a little less steep than a true ellipsoid at its outline, straight on beyond it
    return centre[2] + radii[2] * (1 - q) / np.sqrt(rim + np.clip(1 - q, 0, None))


def _orbit(z: Array, x: Array, y: Array) -> Array:
    """Sunken orbit, lids as a shell over the ball of the eye, the ball between their margins."""
    lids = _lids(z, x, y)
    upper, lower = upper_lid(x), lower_lid(x)
    t = _eye_share(x)
    eyeball = _ball(x, y, EYE_CENTRE, (EYE_RADIUS + 3.0, EYE_RADIUS + 2.0, EYE_RADIUS))
    eyeball = np.maximum(eyeball, lids - 1.6)
    eyeball = eyeball + 0.5 * bump(x, y, (EYE_CENTRE[0], EYE_CENTRE[1]), (3.5, 3.5))  # cornea
    margin = np.minimum(upper - y, y - lower)  # > 0 between the lids
    opened = np.clip(margin / 0.8, 0, 1) * ((t > 0) & (t < 1))
    return np.asarray(lids * (1 - opened) + np.minimum(eyeball, lids) * opened)


def _lids(z: Array, x: Array, y: Array) -> Array:
    """The orbit with its lids as if closed, but folded as in an open eye."""
    z = z - 5.8 * bump(x, y, (29, 35), (12.5, 7.5), 4) - 6.5 * bump(x, y, (15.5, 35), (5.0, 7), -15)
    z = z - 1.2 * bump(x, y, (21, 22), (7, 2.2), -32)  # tear trough
    shell = _ball(x, y, EYE_CENTRE, (EYE_RADIUS + 3.0, EYE_RADIUS + 2.0, EYE_RADIUS + 1.6))
    lids = _smooth_max(z, shell, 3.5)
    t = _eye_share(x)
    across = np.clip(4 * t * (1 - t), 0, 1)
    crease = _crease(x)
    lids = lids - 1.5 * np.sqrt(across) * np.exp(-(((y - crease) / 1.3) ** 2))
    lids = lids + 1.6 * across * np.exp(-(((y - crease - 4.5) / 3.2) ** 2))  # fullness above the crease
    return np.asarray(lids - 0.5 * across * np.exp(-(((y - lower_lid(x) + 5.0) / 1.5) ** 2)))


def _crease(x: Array) -> Array:
    return upper_lid(x) + 3.0 + 1.2 * np.exp(-(((x - 31) / 12) ** 2))


def lid_skin(x: Array, y: Array) -> Array:
    """z that the skin of a lid has when it is moved to (|x|, y): the shell over the ball, smooth."""
    return _ball(x, y, EYE_CENTRE, (EYE_RADIUS + 3.0, EYE_RADIUS + 2.0, EYE_RADIUS + 1.6))


def _nose(z: Array, x: Array, y: Array) -> Array:
    ridge, radius, slope = _along(y, _RIDGE), _along(y, _RIDGE_RADIUS), _along(y, _RIDGE_SLOPE)
    bridge = ridge - slope * (np.sqrt(x**2 + radius**2) - radius) - 0.05 * np.clip(x - 15, 0, None) ** 2
    z = _smooth_max(z, bridge, 5.0)
    z = _smooth_max(z, _ball(x, y, (0, -0.6, -10.0), (9.6, 8.2, 9.8)), 6.0)  # tip
    z = _smooth_max(z, _ball(x, y, (6.4, -4.4, -15.6), (5.6, 5.6, 8.2)), 3.5)  # beside the tip
    z = _smooth_max(z, _ball(x, y, (11.9, -4.0, -21.6), (5.9, 7.2, 10.0)), 4.5)  # wing
    z = z - 3.4 * bump(x, y, (6.8, -9.6), (2.6, 1.9), -12)  # nostril
    return np.asarray(z - 0.9 * bump(x, y, (16.8, 2.5), (3.2, 2.6), -50))  # groove above the wing


def _lips(x: Array, y: Array) -> Array:
    line, upper, lower = lip_line(x), upper_lip(x), lower_lip(x)
    inside = np.clip(1 - (x / (MOUTH_HALF_WIDTH + 0.5)) ** 2, 0, None)
    up = np.clip((y - line) / np.maximum(upper - line, 0.1), 0, None)
    down = np.clip((line - y) / np.maximum(line - lower, 0.1), 0, None)
    z = np.where(y >= line, 3.4 * _roll(up, 0.50), 4.2 * _roll(down, 0.48)) * np.sqrt(inside)
    z = z - 2.4 * np.exp(-(((y - line) / 1.3) ** 2)) * inside**0.3
    z = z - 2.2 * bump(x, y, (26.5, -35.5), (2.6, 3.0))  # dimple of the corner
    return np.asarray(z + 1.4 * inside**0.5 * np.exp(-(((y - upper) / 1.6) ** 2)))  # white roll


def _roll(share: Array, peak: float) -> Array:
    """Profile of a lip over 0 (line) to 1 (border): rises to 1 at `peak`, falls softly, gone at about 1.8."""
    rise = np.clip(share / peak, 0, 1)
    fall = np.clip((share - peak) / (1.8 - peak), 0, 1)
    return np.where(share <= peak, np.sqrt(1 - (1 - rise) ** 2), 0.5 * (1 + np.cos(np.pi * fall)))
