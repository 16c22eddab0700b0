"""The built-in face as a mesh: both halves, slits of mouth and eyes with the surfaces behind them, uv, landmarks."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fer3d.face.model import EYE, MOUTH, SKIN, TEETH, FaceModel
from fer3d.face.procedural import inside, people, surface, units
from fer3d.face.procedural.muscles import Field, Layer
from fer3d.face.procedural.surface import Array, Grid
from fer3d.landmarks import MIRRORED, POINT_NAMES, bu83_name, ibug68_name

NAME = "builtin"

# v ranges of the texture: the face above, below it a strip that holds eyeballs and teeth.
_FACE_V = (0.13, 0.996)
_STRIP = (0.004, 0.12)
_SLIT_V = 0.03  # height of the gap between the lips, which holds the hollow of the mouth
_EDGE_V = 0.004  # height of the edge of a lid, in the gap between the lids

_MIRROR = np.array([-1.0, 1.0, 1.0])
Rows = NDArray[np.int32]


class Sheet(NamedTuple):
    """The vertices of the built-in model, and the rows of `field.points` of each part.

    Attributes:
        field: The vertices; modes are computed from it.
        grid: (R, 2 K + 1). Vertex of each row and column; column K is the middle. At slits: the upper vertex.
        lower_line: (2 c - 1,). The lower copy of the line between the lips, columns K - c + 1 to K + c - 1.
        hollow: (S, 2 c + 1). Rows from the lower lip into the mouth and back out to the upper lip; each row ends at the
            corners of the mouth.
        lids: Right and left eye: (upper margin with its edge, lower margin with its edge), each (3, n) from the back to
            the margin, columns from corner to corner.
        balls: Right and left eyeball: their vertices.
        teeth: Upper and lower teeth: (rows, columns).
    """

    field: Field
    grid: Rows
    lower_line: Rows
    hollow: Rows
    lids: tuple[tuple[Rows, Rows], tuple[Rows, Rows]]
    balls: tuple[Rows, Rows]
    teeth: tuple[Rows, Rows]


class Neutral(NamedTuple):
    """The neutral face without modes: attributes as in `FaceModel`, and `half` and `sheet`, which the modes need."""

    points: Array
    triangles: NDArray[np.int32]
    part: NDArray[np.uint8]
    uv: NDArray[np.float32]
    landmarks: dict[str, int]
    half: Grid
    sheet: Sheet


def neutral() -> Neutral:
    """Build the neutral face without modes; this takes a tenth of the time of `builtin` and is enough for alignment."""
    half = surface.half_face()
    sheet = _sheet(half)
    triangles, part = _triangles(half, sheet)
    landmarks = _landmarks(half, sheet)
    points = sheet.field.points
    return Neutral(points - points[landmarks["pronasale"]], triangles, part, _uv(half, sheet), landmarks, half, sheet)


def builtin() -> FaceModel:
    """Build the built-in face model of about 30,000 vertices, in about 0.7 s."""
    face = neutral()
    field = face.sheet.field
    names, expression = units.expression_modes(field)
    return FaceModel(
        name=NAME,
        neutral=face.points,
        identity_modes=people.identity_modes(field),
        expression_modes=expression,
        expression_names=names,
        triangles=face.triangles,
        part=face.part,
        uv=face.uv,
        landmarks=face.landmarks,
        action_units={name: {name: 1.0} for name in names},
        lids=units.lids(field, face.sheet.grid, face.half.row, [(upper, lower) for upper, lower in face.sheet.lids]),
    )


class _Vertices:
    """Collects vertices block by block, with their layer and side, for a `Field`."""

    def __init__(self) -> None:
        self.points: list[Array] = []
        self.flags: list[NDArray[np.int8]] = []
        self.follow: list[Array] = []
        self.count = 0

    def add(
        self, points: Array, *, below: NDArray[np.bool_] | bool, layer: int, lid: int = 0, follow: Array | float = 1.0
    ) -> Rows:
        """Add a block; return the rows of its vertices in the shape of `points` without the last axis."""
        shape = points.shape[:-1]
        n = int(np.prod(shape))
        rows = np.arange(self.count, self.count + n, dtype=np.int32).reshape(shape)
        flags = np.empty((n, 3), np.int8)
        flags[:, 0], flags[:, 1], flags[:, 2] = np.broadcast_to(below, shape).reshape(-1), layer, lid
        self.points.append(points.reshape(-1, 3))
        self.flags.append(flags)
        self.follow.append(np.full(n, follow if layer < Layer.BALL else 0.0, np.float64))
        self.count += n
        return rows

    def field(self) -> Field:
        flags = np.concatenate(self.flags)
        follow = np.concatenate(self.follow)
        return Field(np.concatenate(self.points), flags[:, 0] > 0, flags[:, 1], flags[:, 2], follow)


def _sheet(half: Grid) -> Sheet:
    rows, columns = half.points.shape[:2]
    K, line, eye = columns - 1, half.row["lips"], half.row["eye"]
    full = np.concatenate([half.points[:, :0:-1] * _MIRROR, half.points], axis=1)  # (R, 2 K + 1, 3)
    vertices = _Vertices()
    below = np.broadcast_to((np.arange(rows) < line)[:, None], full.shape[:2])
    grid = vertices.add(full, below=below, layer=Layer.SKIN)
    vertices.flags[0][:, 2] = np.repeat(np.where(np.arange(rows) < eye, -1, 1), 2 * K + 1)
    lower_line, hollow = _add_mouth(vertices, full[line], grid[line], K, half.corner)
    lids = tuple(_add_lids(vertices, half, grid[eye], sign) for sign in (-1, 1))
    ball = inside.eyeball()[0]
    balls = tuple(vertices.add(ball * m, below=False, layer=Layer.BALL) for m in (_MIRROR, np.ones(3)))
    teeth = (
        vertices.add(inside.teeth(upper=True)[0], below=False, layer=Layer.TEETH),
        vertices.add(inside.teeth(upper=False)[0], below=True, layer=Layer.TEETH),
    )
    return Sheet(vertices.field(), grid, lower_line, hollow, (lids[0], lids[1]), (balls[0], balls[1]), teeth)


def _add_mouth(vertices: _Vertices, line: Array, row: Rows, K: int, c: int) -> tuple[Rows, Rows]:
    """Add the lower copy of the line between the lips, and the hollow of the mouth behind it."""
    lips = line[K - c + 1 : K + c]  # (2 c - 1, 3)
    taper = np.sqrt(1 - (lips[:, :1] / line[K + c, 0]) ** 2)
    line_below = vertices.add(lips, below=True, layer=Layer.SKIN)
    down, up = [line_below], [row[K - c + 1 : K + c]]
    for behind, away, follow in inside.HOLLOW:
        for rows, sign in ((down, -1), (up, 1)):
            level = lips + taper * np.array([0.0, sign * away, -behind])
            share = 1 - (1 - follow) * np.minimum(1, 1.4 * taper[:, 0] ** 2)  # 1 at the corners, where the levels meet
            rows.append(vertices.add(level, below=sign < 0, layer=Layer.HOLLOW, follow=share))
    strip = np.stack(down + up[::-1])  # (S, 2 c - 1)
    ends = np.broadcast_to(row[[K - c, K + c]], (len(strip), 2))
    return line_below, np.concatenate([ends[:, :1], strip, ends[:, 1:]], axis=1)


def _add_lids(vertices: _Vertices, half: Grid, row: Rows, sign: int) -> tuple[Rows, Rows]:
    """Add margin and edge of the upper and lower lid of one eye; see `Sheet.lids`."""
    K = len(half.points[0]) - 1
    first, last = half.canthi
    mirror = _MIRROR if sign < 0 else np.ones(3)
    between = slice(first + 1, last)
    place = K + sign * np.arange(first, last + 1)
    margins = (half.points[half.row["eye"], between], half.lower_lid[between])
    strips = []
    for margin, lid in zip(margins, (1, -1), strict=True):
        edge = np.stack([inside.lid_edge(margin, share, lid) for share in inside.EDGE[::-1]]) * mirror
        back = vertices.add(edge, below=False, layer=Layer.LID_EDGE, lid=lid)
        own = lid < 0  # the grid holds the upper margin already
        front = vertices.add(margin * mirror, below=False, layer=Layer.SKIN, lid=lid) if own else row[place[1:-1]]
        strip = np.concatenate([back, front[None]])
        ends = np.broadcast_to(row[place[[0, -1]]], (len(strip), 2))
        strips.append(np.concatenate([ends[:, :1], strip, ends[:, 1:]], axis=1)[:, ::sign])
    return strips[0], strips[1]


def _triangles(half: Grid, sheet: Sheet) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    grid, K, c = sheet.grid, len(half.points[0]) - 1, half.corner
    line, eye = half.row["lips"], half.row["eye"]
    chin, middle = grid[: line + 1].copy(), grid[line : eye + 1].copy()
    chin[line, K - c + 1 : K + c] = sheet.lower_line
    pieces = [(_cells(grid[eye:]), SKIN), (_cells(chin), SKIN), (_cells(sheet.hollow), MOUTH)]
    for (upper, lower), sign in zip(sheet.lids, (-1, 1), strict=True):
        first, last = half.canthi
        columns = np.sort(K + sign * np.arange(first, last + 1))
        middle[eye - line, columns[1:-1]] = lower[-1, 1:-1]
        pieces += [(_cells(upper, left=sign < 0), SKIN), (_cells(lower[::-1], left=sign < 0), SKIN)]
    pieces.append((_cells(middle), SKIN))
    ball = inside.eyeball()[1]
    pieces += [(sheet.balls[0][ball[:, ::-1]], EYE), (sheet.balls[1][ball], EYE)]
    pieces += [(_cells(rows), TEETH) for rows in sheet.teeth]
    triangles = np.concatenate([rows for rows, _ in pieces])
    part = np.concatenate([np.full(len(rows), part, np.uint8) for rows, part in pieces])
    corners = np.sort(triangles, axis=1)
    whole = (corners[:, 0] != corners[:, 1]) & (corners[:, 1] != corners[:, 2])  # strips end in a single vertex
    return np.ascontiguousarray(triangles[whole], np.int32), part[whole]


def _cells(grid: Rows, *, left: bool | None = None) -> Rows:
    """Two triangles for each cell of a grid; row 0 is at the bottom.

    Diagonals are mirrored about the middle column, so that triangles are too. `left`: whether all cells lie left of the
    middle column; None: the grid spans both sides.
    """
    a, b, c, d = grid[:-1, :-1], grid[:-1, 1:], grid[1:, 1:], grid[1:, :-1]
    side = np.arange(a.shape[1]) < a.shape[1] // 2 if left is None else np.full(a.shape[1], left)
    first = np.where(side[:, None], np.stack([a, b, c], -1), np.stack([a, b, d], -1))
    second = np.where(side[:, None], np.stack([a, c, d], -1), np.stack([b, c, d], -1))
    return np.concatenate([first, second], axis=1).reshape(-1, 3)


def _uv(half: Grid, sheet: Sheet) -> NDArray[np.float32]:
    """(V, 2) uv, by arc length on the head without a nose: along rows for u, along the front profile for v."""
    K, line = len(half.points[0]) - 1, half.row["lips"]
    points, grid = sheet.field.points, sheet.grid
    middle_row = half.points[half.row["wing"]]
    across = _arc(middle_row[:, 0], surface.head(middle_row[:, 0], np.zeros(K + 1)))
    across /= across[-1]
    heights = np.linspace(half.points[..., 1].min(), half.points[..., 1].max(), 400)
    along = _arc(heights, surface.head(np.zeros(400), heights))
    low, high = _FACE_V
    v = low + (high - low) * np.interp(points[:, 1], heights, along / along[-1])
    u = 0.5 + 0.494 * np.concatenate([-across[:0:-1], across])
    uv = np.zeros((len(points), 2))
    uv[grid] = np.stack([np.broadcast_to(u, grid.shape), v[grid]], axis=-1)
    # Lower lip and chin shift down to make room for the hollow between the lips, as in an open mouth.
    x, y = np.abs(points[:, 0]), points[:, 1]
    gap = _SLIT_V * np.sqrt(np.clip(1 - (x / points[sheet.hollow[0, -1], 0]) ** 2, 0, None))
    upper = uv[grid[line, K - half.corner + 1 : K + half.corner]]
    uv[sheet.lower_line] = upper
    fade = np.clip(1 - (surface.lip_line(x) - y) / 40.0, 0, 1)
    uv[:, 1] -= np.where(sheet.field.below, gap * fade, 0.0)
    share = np.linspace(0, 1, len(sheet.hollow))[1:-1, None, None]  # lower line to upper line
    uv[sheet.hollow[1:-1, 1:-1]] = (1 - share) * uv[sheet.lower_line] + share * upper
    _lid_uv(uv, v, sheet)
    _strip_uv(uv, sheet)
    return uv.astype(np.float32)


def _lid_uv(uv: Array, v: Array, sheet: Sheet) -> None:
    """Set the uv of lids: margins of lower lids by their position, edges just inside the gap between the lids."""
    for upper, lower in sheet.lids:
        uv[lower[-1, 1:-1]] = np.stack([uv[upper[-1, 1:-1], 0], v[lower[-1, 1:-1]]], axis=1)
        room = np.minimum(uv[upper[-1], 1] - uv[lower[-1], 1], 3 * _EDGE_V) / 3
        for strip, sign in ((upper, -1), (lower, 1)):
            for level in (0, 1):
                inset = np.stack([0 * room, sign * room * inside.EDGE[1 - level]], axis=1)
                uv[strip[level, 1:-1]] = (uv[strip[-1]] + inset)[1:-1]


def _strip_uv(uv: Array, sheet: Sheet) -> None:
    """Set the uv of eyeballs and teeth: they lie in the strip below the face."""
    low, high = _STRIP

    def place(rows: Rows, unit: Array, left: float, right: float, bottom: float, top: float) -> None:
        uv[rows] = np.array([left, low + bottom * (high - low)]) + unit * [right - left, (top - bottom) * (high - low)]

    ball = inside.eyeball()[2]
    place(sheet.balls[0], ball * [-1, 1] + [1, 0], 0.02, 0.22, 0.0, 1.0)
    place(sheet.balls[1], ball, 0.78, 0.98, 0.0, 1.0)
    upper, lower = inside.teeth(upper=True)[1], inside.teeth(upper=False)[1]
    place(sheet.teeth[0], upper * [1, -1] + [0, 1], 0.26, 0.74, 0.55, 1.0)
    place(sheet.teeth[1], lower, 0.26, 0.74, 0.0, 0.45)


def _arc(a: Array, b: Array) -> Array:
    return np.concatenate([[0.0], np.cumsum(np.hypot(np.diff(a), np.diff(b)))])


def _landmarks(half: Grid, sheet: Sheet) -> dict[str, int]:
    """The points of `fer3d.landmarks.POINT_NAMES`: name -> the vertex nearest to the position by formula."""
    K = len(half.points[0]) - 1
    left = half.points.reshape(-1, 3)
    rows: dict[str, int] = {}
    for name, x, y in _left_landmarks():
        row, column = divmod(int(((left[:, 0] - x) ** 2 + (left[:, 1] - y) ** 2).argmin()), K + 1)
        rows[name], rows[MIRRORED[name]] = int(sheet.grid[row, K + column]), int(sheet.grid[row, K - column])
    inner = sheet.lower_line
    middle, quarter = len(inner) // 2, len(inner) // 4
    for number, column in ((66, middle - quarter), (67, middle), (68, middle + quarter)):
        rows[bu83_name(number)] = int(inner[column])
    rows |= _lid_landmarks(half, sheet)
    skin = sheet.grid.ravel()
    rows["pronasale"] = int(skin[sheet.field.points[skin, 2].argmax()])
    return {name: rows[name] for name in POINT_NAMES}


def _lid_landmarks(half: Grid, sheet: Sheet) -> dict[str, int]:
    """Name -> vertex of the landmarks on the margins of the lids of both eyes."""
    rows: dict[str, int] = {}
    share = (half.points[half.row["eye"], :, 0] - surface.EYE_INNER) / (surface.EYE_OUTER - surface.EYE_INNER)
    for (upper, lower), wanted in _LID_SHARES.items():
        column = int(np.abs(share - wanted).argmin()) - half.canthi[0]
        for name, lid in ((upper, 0), (lower, 1)):
            margin, mirrored = sheet.lids[1][lid][-1], sheet.lids[0][lid][-1]
            rows[name], rows[MIRRORED[name]] = int(margin[column]), int(mirrored[len(mirrored) - 1 - column])
    return rows


# Landmarks on the margins of the left lids, upper and lower -> share of the way from the inner to the outer corner.
_LID_SHARES = {
    ("bu83_02", "bu83_08"): 0.25,
    ("bu83_03", "bu83_07"): 0.5,
    ("bu83_04", "bu83_06"): 0.75,
    ("ibug68_43", "ibug68_47"): 0.36,
    ("ibug68_44", "ibug68_46"): 0.7,
}


def _left_landmarks() -> list[tuple[str, float, float]]:
    """(name, x, y) of landmarks on the left and in the middle, but those on the lids and on the lower lip's inner edge.

    The places of landmarks without a canonical name are our choice.
    """
    lip_line = [(x, float(surface.lip_line(np.array(x)))) for x in (22.0, 10.0, 0.0, surface.MOUTH_HALF_WIDTH)]
    bu83 = {1: (surface.EYE_INNER, surface.EYE_Y), 5: (surface.EYE_OUTER, surface.EYE_Y + 2.2)}
    ibug68 = {16: (70.3, 36.0), 8: (0.0, -76.5), 27: (0.0, 36.5), 28: (0.0, 25.5), 29: (0.0, 15.0)}
    for k, x in enumerate((10.0, 20.0, 31.0, 42.0, 52.0)):  # inner to outer end of the brow
        y, half_width = float(surface.brow_line(np.array(x))), 3.4 - 0.45 * k
        bu83 |= {17 + k: (x, y + half_width), 26 - k: (x, y - half_width)}  # upper edge outwards, lower edge back
        ibug68[22 + k] = (x, y)
    bu83 |= {37: (8.0, 34.0), 38: (9.5, 18.0), 39: (15.5, 4.0)}  # side of the nose, downwards
    bu83 |= {40: (17.5, -5.0), 41: (11.0, -12.0), 42: (6.0, -12.5), 43: (0.0, -13.0)}
    for k, x in enumerate((14.0, 5.5, 0.0)):  # upper and lower border of the lips, inwards
        bu83 |= {50 + k: (x, float(surface.upper_lip(np.array(x))))}
        bu83 |= {60 - k: (x, float(surface.lower_lip(np.array(x))))}
    bu83 |= dict(zip((61, 62, 63, 49), lip_line, strict=True))
    contour = ((69.9, 14), (66.8, -5.5), (62.3, -24.5), (54, -46), (43, -63), (30.5, -70), (15.4, -73.5))
    bu83 |= {69 + k: place for k, place in enumerate(contour)} | {76: (0.0, -66.0)}
    places = {bu83_name(n): at for n, at in bu83.items()} | {ibug68_name(n): at for n, at in ibug68.items()}
    return [(name, x, y) for name, (x, y) in places.items()]
