"""The neutral surface of the built-in face, computed from formulas; no scan contributes to it.

The surface is a grid of rows (throat to forehead) and columns (ear to ear). Three curves over y define a smooth head
without a nose: its half width, its front profile and the roundness of its horizontal sections. Heights along z add the
nose (ridge, tip and wings, joined by smooth maxima), orbits with lids over eyeballs, brows, zygomas, lips and folds.
Rows follow the lip line and the lid margins, so that these stay sharp on a coarse grid. The mesh is slit along the lip
line between the corners of the mouth, and along each eye; `fer3d.face.procedural.inside` holds the surfaces behind the
slits.

Sizes are those of textbooks of facial anthropometry, rounded: outer eye corners 89 mm apart, inner eye corners 32 mm;
width of the mouth 50 mm, of the nose at its wings 35 mm, of the face 141 mm. All numbers below are our choice, tuned by
eye on renderings.

Convention: mm, origin at the nose tip, axes of `fer3d.scan`. In this module `x` means |x|: the formulas build the left
half of the face (x >= 0), and mirroring makes the symmetry exact.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

Array = NDArray[np.float64]

HALF_COLUMNS = 84  # columns right of the middle one
MOUTH_HALF_WIDTH = 25.0
EYE_INNER, EYE_OUTER = 16.0, 44.5  # x of the eye corners
EYE_Y = 32.5
EYE_CENTRE, EYE_RADIUS, LID_THICKNESS = (30.5, 33.2, -49.3), 12.4, 1.9
_BACK = -98.0  # z of the plane in which the head is widest

Knots = tuple[tuple[float, float], ...]  # (y, value) of a curve over y

# Half width of the head, z of its front without nose and lips, exponent of the roundness of its horizontal section.
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
_RIDGE_RADIUS: Knots = ((-20, 5.0), (-6, 5.5), (0, 6.0), (10, 5.4), (25, 5.0), (40, 6.5), (60, 9.0))
_RIDGE_SLOPE: Knots = ((-20, 2.0), (-6, 1.9), (0, 1.6), (10, 1.4), (25, 1.25), (40, 1.15), (60, 0.9))


def _along(y: Array, knots: Knots) -> Array:
    """Monotone cubic interpolation of the knots at y, constant beyond their ends."""
    at, value = np.array(knots).T
    return np.asarray(PchipInterpolator(at, value)(np.clip(y, at[0], at[-1])))


def half_width(y: Array) -> Array:
    """Half width of the head at y: the largest x, mm."""
    return _along(y, _WIDTH)


class Grid(NamedTuple):
    """The left half of the face as a grid, and the rows and columns of its features.

    Attributes:
        points: (rows, columns, 3). Column 0 is the middle (x = 0), row 0 the throat. The row of the eye is the margin
            of the upper lid.
        lower_lid: (columns, 3). The row of the eye along the margin of the lower lid; outside the corners of the eye it
            equals the row in `points`.
        row: Name of a key curve (see `_KEYS`) -> its row.
        corner: Column of the mouth corner; the slit runs over columns 0 to corner - 1.
        canthi: Columns of the inner and the outer corner of the eye; the slit runs between them.
    """

    points: Array
    lower_lid: Array
    row: dict[str, int]
    corner: int
    canthi: tuple[int, int]


def half_face() -> Grid:
    """The left half of the neutral face."""
    side = np.linspace(0.0, 1.0, HALF_COLUMNS + 1)
    side = np.sin(np.radians(87.5) * (0.72 * side + 0.28 * side**3))  # share of the half-width, dense in the middle
    row = {key.name: int(first) for key, first in zip(_KEYS, np.cumsum([0, *(k.rows for k in _KEYS)]), strict=False)}
    above, below = _rows(side, upper_lid), _rows(side, lower_lid)
    points = np.concatenate([below[: row["eye"]], above[row["eye"] :]])
    line, eye = points[row["lips"], :, 0], points[row["eye"], :, 0]
    return Grid(
        points,
        below[row["eye"]],
        row,
        corner=int(np.abs(line - MOUTH_HALF_WIDTH).argmin()),
        canthi=(int(np.flatnonzero(eye <= EYE_INNER)[-1]), int(np.flatnonzero(eye >= EYE_OUTER)[0])),
    )


def _rows(side: Array, lid: Callable[[Array], Array]) -> Array:
    """(R, K + 1, 3): points of rows that are spaced evenly between the key curves; `lid` is the curve of the eye."""
    first = np.cumsum([0, *(key.rows for key in _KEYS[:-1])])
    row = np.arange(first[-1] + 1)
    below = np.minimum(np.searchsorted(first, row, side="right") - 1, len(first) - 2)
    share = ((row - first[below]) / np.diff(first)[below])[:, None]
    x = np.broadcast_to(side * _along(np.array(0.0), _WIDTH), (len(row), len(side)))
    for _ in range(6):  # y of a row depends on x, and x on the width at y: this converges quickly
        curves = [lid if key.name == "eye" else key.curve for key in _KEYS]
        keys = np.stack([curve(x[at]) for curve, at in zip(curves, first, strict=True)])
        y = keys[below] * (1 - share) + keys[below + 1] * share
        x = side * _along(y, _WIDTH)
    return np.stack([x, y, height(x, y)], axis=-1)


def lip_line(x: Array) -> Array:
    """y of the line between the lips; it continues beyond the corner of the mouth, because a row of the grid does."""
    bow = 0.8 * (np.exp(-(((x - 9) / 6.5) ** 2)) + np.exp(-(((x + 9) / 6.5) ** 2))) - 0.9 * np.exp(-((x / 5.0) ** 2))
    return np.asarray(-34.3 + bow - 1.2 * (np.minimum(x, 40.0) / 25) ** 2)


def upper_lip(x: Array) -> Array:
    """y of the upper border of the red of the lips, with two peaks at the philtrum ridges."""
    round_x = np.sqrt(x**2 + 9.0) - 3.0  # avoids a sharp peak in the middle
    inside = np.clip(1 - round_x / (np.sqrt(MOUTH_HALF_WIDTH**2 + 9.0) - 3.0), 0, None)
    peaks = np.exp(-(((x - 6) / 3.4) ** 2)) + np.exp(-(((x + 6) / 3.4) ** 2))
    bow = 7.4 * inside**0.85 + 0.9 * peaks - 0.5 * np.exp(-((x / 3.4) ** 2))
    return np.asarray(lip_line(x) + np.maximum(bow, 1.6 * np.clip((x - 18) / 10, 0, 1.6)))


def lower_lip(x: Array) -> Array:
    """y of the lower border of the red of the lips."""
    inside = np.clip(1 - (x / MOUTH_HALF_WIDTH) ** 2, 0, None)
    return lip_line(x) - np.maximum(8.6 * inside**0.75, 1.6 * np.clip((x - 18) / 10, 0, 1.6))


def _eye_share(x: Array) -> Array:
    """Position across the eye: 0 at its inner corner, 1 at its outer corner, outside [0, 1] beyond them."""
    return (x - EYE_INNER) / (EYE_OUTER - EYE_INNER)


def upper_lid(x: Array) -> Array:
    """y of the margin of the upper lid."""
    t = _eye_share(x)
    arch = np.clip(4 * t * (1 - t), 0, None) ** 0.62 * (1 + 0.18 * (0.5 - t))
    return np.asarray(EYE_Y + 2.2 * np.clip(t, 0, 1) + 5.6 * arch)


def lower_lid(x: Array) -> Array:
    """y of the margin of the lower lid."""
    t = _eye_share(x)
    arch = np.clip(4 * t * (1 - t), 0, None) ** 0.8 * (1 - 0.25 * (0.5 - t))
    return np.asarray(EYE_Y + 2.2 * np.clip(t, 0, 1) - 4.0 * arch)


def brow_line(x: Array) -> Array:
    """y of the middle of the eyebrow."""
    return np.asarray(47.5 + 5.5 * np.sin(np.clip((x - 8) / 50, 0, 1) * np.pi * 0.78))


class _Key(NamedTuple):
    """A curve y(|x|) that a row of the grid follows, and the number of rows from it up to the next."""

    name: str
    curve: Callable[[Array], Array]
    rows: int


_KEYS = (
    _Key("throat", lambda x: np.full_like(x, -104.0), 14),
    _Key("menton", lambda x: -79.0 + 7.0 * (x / 45) ** 2, 18),
    _Key("fold", lambda x: -52.5 + 1.5 * (x / 40) ** 2, 8),
    _Key("lower_lip", lower_lip, 9),
    _Key("lips", lip_line, 8),
    _Key("upper_lip", upper_lip, 11),
    _Key("subnasale", lambda x: np.full_like(x, -13.0), 16),
    _Key("wing", lambda x: np.full_like(x, 3.0), 21),
    _Key("eye", upper_lid, 5),
    _Key("crease", lambda x: crease(x), 9),
    _Key("brow", brow_line, 42),
    _Key("top", lambda x: np.full_like(x, 118.0), 0),
)


def height(x: Array, y: Array) -> Array:
    """z of the neutral surface at (|x|, y)."""
    return _nose(eyelids(x, y), x, y) + _lips(x, y)


def eyelids(x: Array, y: Array) -> Array:
    """z at (|x|, y) without nose and lips, with closed lids."""
    return _lids(head(x, y) + _relief(x, y), x, y)


def support(x: Array, y: Array) -> Array:
    """z at (|x|, y) of the smooth support that skin slides on: bone and eyeballs, without nose, lips and folds."""
    z = head(x, y)
    z = z + 2.4 * _pair(x, y, (30, 49.5), (14, 6.0), 6) + 3.0 * _pair(x, y, (50, 12), (13, 10), 20)
    z = z + 2.5 * _pair(x, y, (34, -4), (11, 11), 40) - 2.6 * _pair(x, y, (50, -32), (11, 15))
    z = z + 1.5 * bump(x, y, (0, -66), (15, 9)) - 5.8 * _pair(x, y, (29, 35), (12.5, 8.5), 4)
    return _smooth_max(z, eyelid_shell(x, y), 3.5)


def head(x: Array, y: Array) -> Array:
    """z of the head without nose, eyes and lips at (|x|, y)."""
    share = np.clip(x / _along(y, _WIDTH), 0, 1)
    share = (np.sqrt(share**2 + 0.01) - 0.1) / (np.sqrt(1.01) - 0.1)  # avoids an edge in the middle where p < 2
    p = _along(y, _ROUND)
    return np.asarray(_BACK + (_along(y, _FRONT) - _BACK) * np.sqrt(np.clip(1 - share**p, 0, None)))


def bump(x: Array, y: Array, at: tuple[float, float], size: tuple[float, float], turn: float = 0.0) -> Array:
    """A Gaussian of height 1 with standard deviations `size`; `turn` rotates its axes, degrees from x towards y."""
    c, s = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    dx, dy = x - at[0], y - at[1]
    return np.asarray(np.exp(-0.5 * (((c * dx + s * dy) / size[0]) ** 2 + ((c * dy - s * dx) / size[1]) ** 2)))


def _pair(x: Array, y: Array, at: tuple[float, float], size: tuple[float, float], turn: float = 0.0) -> Array:
    """A bump plus its mirror image, which is smooth across the middle, unlike a bump over |x|."""
    return bump(x, y, at, size, turn) + bump(-x, y, at, size, turn)


def _relief(x: Array, y: Array) -> Array:
    """Heights of bone and soft tissue at (|x|, y): broad bumps and hollows."""
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


def _smooth_max(a: Array, b: Array, width: float | Array) -> Array:
    """max(a, b), rounded where a and b differ by less than `width`."""
    h = np.clip(1 - np.abs(a - b) / width, 0, None)
    return np.maximum(a, b) + 0.25 * width * h**2


def _ball(x: Array, y: Array, centre: tuple[float, float, float], radii: tuple[float, float, float]) -> Array:
    """z of the front of an ellipsoid; outside its outline z falls steeply."""
    q = ((x - centre[0]) / radii[0]) ** 2 + ((y - centre[1]) / radii[1]) ** 2
    boundary = 0.06  # a little less steep than an ellipsoid at its outline, and straight beyond it
    return centre[2] + radii[2] * (1 - q) / np.sqrt(boundary + np.clip(1 - q, 0, None))


def _lids(z: Array, x: Array, y: Array) -> Array:
    """z with the orbit and its lids: closed, but with the folds of an open eye."""
    z = z - 5.8 * bump(x, y, (29, 35), (12.5, 7.5), 4) - 6.5 * bump(x, y, (15.5, 35), (5.0, 7), -15)
    z = z - 1.2 * bump(x, y, (21, 22), (7, 2.2), -32)  # tear trough
    lids = _smooth_max(z, eyelid_shell(x, y), 3.5)
    t = _eye_share(x)
    across = np.clip(4 * t * (1 - t), 0, 1)
    fold = crease(x)
    lids = lids - 1.5 * np.sqrt(across) * np.exp(-(((y - fold) / 1.3) ** 2))
    lids = lids + 1.6 * across * np.exp(-(((y - fold - 4.5) / 3.2) ** 2))  # fullness above the fold
    return np.asarray(lids - 0.5 * across * np.exp(-(((y - lower_lid(x) + 5.0) / 1.5) ** 2)))


def crease(x: Array) -> Array:
    """y of the fold of the upper lid."""
    return upper_lid(x) + 3.0 + 1.2 * np.exp(-(((x - 31) / 12) ** 2))


def eyelid_shell(x: Array, y: Array) -> Array:
    """z of the skin of a closed lid at (|x|, y): a shell over the eyeball."""
    return _ball(x, y, EYE_CENTRE, (EYE_RADIUS + 3.0, EYE_RADIUS + 2.0, EYE_RADIUS + LID_THICKNESS))


def _nose(z: Array, x: Array, y: Array) -> Array:
    ridge, radius, slope = _along(y, _RIDGE), _along(y, _RIDGE_RADIUS), _along(y, _RIDGE_SLOPE)
    bridge = ridge - slope * (np.sqrt(x**2 + radius**2) - radius) - 0.05 * np.clip(x - 15, 0, None) ** 2
    z = _smooth_max(z, bridge, 5.0 + 4.0 * np.clip((34 - y) / 18, 0, 1))
    z = _smooth_max(z, _ball(x, y, (0, -0.6, -10.0), (9.6, 8.2, 9.8)), 7.0)  # tip
    z = _smooth_max(z, _ball(x, y, (6.4, -4.4, -15.6), (5.6, 5.6, 8.2)), 5.5)  # beside the tip
    z = _smooth_max(z, _ball(x, y, (11.7, -4.0, -22.4), (5.9, 7.4, 9.6)), 6.5)  # wing
    z = z - 3.4 * bump(x, y, (6.8, -9.6), (2.6, 1.9), -12)  # nostril
    return np.asarray(z - 0.6 * bump(x, y, (16.8, 2.5), (3.4, 2.8), -50))  # groove above the wing


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
    """Profile of a lip over 0 (line) to 1 (border): it rises to 1 at `peak` and falls gradually to 0 at 1.8."""
    rise = np.clip(share / peak, 0, 1)
    fall = np.clip((share - peak) / (1.8 - peak), 0, 1)
    return np.where(share <= peak, np.sqrt(1 - (1 - rise) ** 2), 0.5 * (1 + np.cos(np.pi * fall)))
