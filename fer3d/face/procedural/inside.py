"""The surfaces behind the slits of the built-in face: eyeballs, edges of the lids, teeth, the hollow of the mouth.

All formulas are our choice. Sizes are those of textbooks, rounded: eyeballs of 25 mm, incisors 8 mm wide and 9 mm high.
The edge of a lid is the strip from its margin back towards the eyeball. The eyeball is a separate cap, which shows
through the slit and over which lids slide. Teeth are two curved sheets in the hollow behind the lips, attached to
nothing.

Convention: mm, as in `fer3d.face.procedural.surface`, here with signed x.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fer3d.face.procedural import surface
from fer3d.face.procedural.surface import Array

# The hollow behind the lips, level by level: distance behind the line between the lips, mm; distance above or below it,
# mm; share of the motion of the lips that the level follows (deeper levels stay clear of the teeth).
HOLLOW = ((1.2, 0.5, 1.0), (2.6, 2.5, 1.0), (3.4, 8.5, 0.5), (9.0, 11.0, 0.0), (30.0, 10.5, 0.0))
EDGE = (0.5, 1.0)  # shares of the way from the margin of a lid to the ball
_TILT = 0.3  # mm by which the edge leans away from the other lid, so that edges that meet do not cross
_DEPTH = 1.0  # depth of the edge, mm
_CLEAR = 0.6  # distance of the edge of a lid from the eyeball, mm

_RECESS = 1.5  # mm by which the eyeball recedes where lids always cover it
_BALL = (surface.EYE_RADIUS + 4.2, surface.EYE_RADIUS + 1.2, surface.EYE_RADIUS)  # half-axes
_RINGS, _SECTORS, _OPENING = 13, 40, 78.0  # rings and sectors of the cap; degrees from its front to its boundary

_TEETH_COLUMNS, _TEETH_ROWS = 53, 7
_ARCH = 0.030  # the row of teeth recedes by this times x squared, 1/mm
# Upper and lower teeth: y of root and edge from the line between the lips, z of the front, half width, |x| of borders.
_UPPER = (7.0, -1.6, -28.6, 17.0, (0.0, 8.3, 14.9))
_LOWER = (-7.0, -2.2, -30.8, 15.0, (0.0, 5.3, 11.2))


def ball_depth(x: Array, y: Array) -> Array:
    """z of the front of the left eyeball at (x, y); the model has no back half."""
    dx, dy = (x - surface.EYE_CENTRE[0]) / _BALL[0], (y - surface.EYE_CENTRE[1]) / _BALL[1]
    ball = surface.EYE_CENTRE[2] + _BALL[2] * np.sqrt(np.clip(1 - dx**2 - dy**2, 0, None))
    hidden = np.maximum(y - surface.upper_lid(x) - 2.5, surface.lower_lid(x) - y - 1.0)
    ball = ball - _RECESS * np.clip(hidden / 3.0, 0, 1) ** 2  # lids and their folds slide here
    lids = surface.eyelids(x, y) - surface.LID_THICKNESS
    share = np.abs((x - surface.EYE_INNER) / (surface.EYE_OUTER - surface.EYE_INNER) - 0.5)
    fill = lids - 6.0 * np.clip((0.5 - share) / 0.3, 0, 1) ** 2 - 4.0 * np.clip(hidden / 2 + 1, 0, 1)  # of the corners
    return np.clip(ball, fill, lids + 0.9)


def lid_edge(margin: Array, share: float, lid: int) -> Array:
    """(n, 3): a row of the edge of the left upper lid (`lid` = 1) or lower lid (-1), behind its margin (n, 3)."""
    x, y, z = margin.T
    back = np.clip(ball_depth(x, y) + _CLEAR, z - _DEPTH, z - 0.1)
    return np.stack([x, y + lid * _TILT * share, z + share * (back - z)], axis=1)


def eyeball() -> tuple[Array, NDArray[np.int32], Array]:
    """The left eyeball: (V, 3) points, (F, 3) triangles that face outwards, (V, 2) uv in the unit square."""
    angle = np.linspace(0, 2 * np.pi, _SECTORS, endpoint=False)
    tilt = np.radians(_OPENING) * np.arange(1, _RINGS + 1)[:, None] / _RINGS  # (rings, 1)
    ring = np.stack([np.sin(tilt) * np.cos(angle), np.sin(tilt) * np.sin(angle), np.cos(tilt) + 0 * angle], axis=-1)
    unit = np.concatenate([[[0.0, 0.0, 1.0]], ring.reshape(-1, 3)])
    points = np.array(surface.EYE_CENTRE) + unit * _BALL
    points[:, 2] = ball_depth(points[:, 0], points[:, 1])
    points[:, 2] += 0.6 * surface.bump(points[:, 0], points[:, 1], surface.EYE_CENTRE[:2], (3.5, 3.5))  # cornea
    rows = 1 + np.arange(_RINGS * _SECTORS).reshape(_RINGS, _SECTORS)
    after = np.roll(rows, -1, axis=1)
    fan = np.stack([np.zeros(_SECTORS, np.int64), rows[0], after[0]], axis=1)
    a, b, c, d = rows[:-1], rows[1:], after[1:], after[:-1]
    bands = np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([a, c, d], -1).reshape(-1, 3)])
    return points, np.concatenate([fan, bands]).astype(np.int32), 0.5 + 0.5 * unit[:, :2]


def teeth(*, upper: bool) -> tuple[Array, Array]:
    """Upper or lower teeth as a sheet: (rows, columns, 3) points, row 0 at the bottom, and (rows, columns, 2) uv."""
    root, edge, front, width, borders = _UPPER if upper else _LOWER
    x = np.linspace(-width, width, _TEETH_COLUMNS)
    x[_TEETH_COLUMNS // 2] = 0.0
    x = 0.5 * (x - x[::-1])  # mirrored to the last bit
    between = np.zeros_like(x)
    for border in borders:
        between = np.maximum(between, np.exp(-(((np.abs(x) - border) / 0.7) ** 2)))
    share = np.linspace(0, 1, _TEETH_ROWS)[:, None]  # root to edge
    line = float(surface.lip_line(np.zeros(())))
    y = line + root + share * (edge - root + 0.7 * between * np.sign(root))
    z = front - _ARCH * x**2 - 0.6 * between - 1.2 * np.clip(share - 0.7, 0, None) ** 2 / 0.09 - 0.8 * (1 - share)
    points = np.stack([np.broadcast_to(x, y.shape), y, np.broadcast_to(z, y.shape)], axis=-1)
    uv = np.stack(np.broadcast_arrays(0.5 + 0.5 * x / width, share), axis=-1)
    return (points[::-1], uv[::-1]) if upper else (points, uv)
