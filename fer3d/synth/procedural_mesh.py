"""The built-in face as a mesh: both halves, the slit between the lips with the mouth behind it, uv, landmarks."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fer3d.landmarks import BU83
from fer3d.synth import procedural_face as surface
from fer3d.synth import procedural_modes as modes
from fer3d.synth.face import EYE, MOUTH, SKIN, FaceModel
from fer3d.synth.procedural_face import Array, Grid

# The mouth pocket, lip by lip: mm behind the line between the lips, mm away from it.
_POCKET = ((3.0, 0.4), (7.0, 2.0), (12.0, 5.0), (17.0, 4.0))
_FACE_V = (0.004, 0.996)
_SLIT_V = 0.03  # height of the gap between the lips in the texture, which shows the pocket


class Sheet(NamedTuple):
    """Where the vertices of the built-in model lie.

    Attributes:
        points: (V, 3) float64, mm.
        below: (V,) bool. Belongs to the lower lip side of the slit (the lower copy of the line between the lips too).
        grid: (R, 2 K + 1) int32. Vertex of each row and column; column K is the middle. On the line between the lips
            the vertex of the upper lip.
        lower_line: (2 c - 1,) int32. The lower copies of the line between the lips, columns K - c + 1 to K + c - 1.
        strip: (S, 2 c + 1) int32. Rows from the lower lip into the mouth and back out to the upper; ends at corners.
    """

    points: Array
    below: NDArray[np.bool_]
    grid: NDArray[np.int32]
    lower_line: NDArray[np.int32]
    strip: NDArray[np.int32]


def builtin() -> FaceModel:
    """The built-in face model. About 19,000 vertices; takes some 0.1 s."""
    half = surface.half_face()
    sheet = _sheet(half)
    triangles, part = _triangles(half, sheet)
    landmarks = _landmarks(half, sheet)
    shift = sheet.points[landmarks["pronasale"]]
    field = modes.Field(sheet.points, sheet.below)
    names, expression = modes.expression_modes(field)
    return FaceModel(
        name="builtin",
        neutral=sheet.points - shift,
        identity_modes=modes.identity_modes(field),
        expression_modes=expression,
        expression_names=names,
        triangles=triangles,
        part=part,
        uv=_uv(half, sheet),
        landmarks=landmarks,
        action_units={name: {name: 1.0} for name in names},
    )


def _sheet(half: Grid) -> Sheet:
    rows, columns = half.points.shape[:2]
    K, c, line = columns - 1, half.corner, half.row["lips"]
    mirror = np.array([-1.0, 1.0, 1.0])
    full = np.concatenate([half.points[:, :0:-1] * mirror, half.points], axis=1)  # (R, 2 K + 1, 3)
    grid = np.arange(full.shape[0] * full.shape[1], dtype=np.int32).reshape(full.shape[:2])
    lips = full[line, K - c + 1 : K + c]  # (2 c - 1, 3)
    taper = np.sqrt(1 - (lips[:, :1] / full[line, K + c, 0]) ** 2)
    levels = [lips]
    for sign, pocket in ((-1, _POCKET), (1, _POCKET[::-1])):  # down the lower lip, back up the upper
        levels += [lips + taper * np.array([0.0, sign * away, -behind]) for behind, away in pocket]
    extra = grid.size + np.arange(len(levels) * len(lips), dtype=np.int32).reshape(len(levels), len(lips))
    strip = np.concatenate([extra, grid[line : line + 1, K - c + 1 : K + c]])  # (S, 2 c - 1)
    ends = np.broadcast_to(grid[line, [K - c, K + c]][None], (len(strip), 2))
    strip = np.concatenate([ends[:, :1], strip, ends[:, 1:]], axis=1)
    below_levels = np.arange(len(levels)) <= len(_POCKET)
    below = np.concatenate([np.repeat(np.arange(rows) < line, 2 * K + 1), np.repeat(below_levels, len(lips))])
    points = np.concatenate([full.reshape(-1, 3), np.concatenate(levels)])
    return Sheet(points, below, grid, extra[0], strip)


def _triangles(half: Grid, sheet: Sheet) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    grid, K, c, line = sheet.grid, len(half.points[0]) - 1, half.corner, half.row["lips"]
    lower = grid[: line + 1].copy()
    lower[line, K - c + 1 : K + c] = sheet.lower_line
    skin = np.concatenate([_cells(lower), _cells(grid[line:])])
    inside = _cells(sheet.strip)
    corners = np.sort(inside, axis=1)
    inside = inside[(corners[:, 0] != corners[:, 1]) & (corners[:, 1] != corners[:, 2])]  # ends meet in one vertex
    x, y = np.abs(sheet.points[:, 0]), sheet.points[:, 1]
    ball = (x > surface.EYE_INNER) & (x < surface.EYE_OUTER)
    ball &= (y > surface.lower_lid(x) - 0.05) & (y < surface.upper_lid(x) + 0.05)
    part = np.where(ball[skin].all(axis=1), EYE, SKIN)
    part = np.concatenate([part, np.full(len(inside), MOUTH)]).astype(np.uint8)
    return np.ascontiguousarray(np.concatenate([skin, inside]), np.int32), part


def _cells(grid: NDArray[np.int32]) -> NDArray[np.int32]:
    """Two triangles a cell, row 0 at the bottom; diagonals mirrored about the middle column, so that faces are too."""
    a, b, c, d = grid[:-1, :-1], grid[:-1, 1:], grid[1:, 1:], grid[1:, :-1]
    left = np.arange(a.shape[1]) < a.shape[1] // 2
    first = np.where(left[:, None], np.stack([a, b, c], -1), np.stack([a, b, d], -1))
    second = np.where(left[:, None], np.stack([a, c, d], -1), np.stack([b, c, d], -1))
    return np.concatenate([first, second], axis=1).reshape(-1, 3)


def _uv(half: Grid, sheet: Sheet) -> NDArray[np.float32]:
    """Unrolled by arc length on the head without a nose: along rows for u, along the front profile for v."""
    K, line = len(half.points[0]) - 1, half.row["lips"]
    middle_row = half.points[half.row["wing"]]
    across = _arc(middle_row[:, 0], surface.head(middle_row[:, 0], np.zeros(K + 1)))
    across /= across[-1]
    heights = np.linspace(half.points[..., 1].min(), half.points[..., 1].max(), 400)
    along = _arc(heights, surface.head(np.zeros(400), heights))
    low, high = _FACE_V
    v = low + (high - low) * np.interp(sheet.points[:, 1], heights, along / along[-1])
    u = 0.5 + 0.494 * np.concatenate([-across[:0:-1], across])
    uv = np.empty((len(sheet.points), 2))
    uv[sheet.grid] = np.stack([np.broadcast_to(u, sheet.grid.shape), v[sheet.grid]], axis=-1)
    # Lower lip and chin make room for the pocket, which lies between the lips as in an open mouth.
    x, y = np.abs(sheet.points[:, 0]), sheet.points[:, 1]
    gap = _SLIT_V * np.sqrt(np.clip(1 - (x / sheet.points[sheet.strip[0, -1], 0]) ** 2, 0, None))
    upper = uv[sheet.grid[line, K - half.corner + 1 : K + half.corner]]
    uv[sheet.lower_line] = upper
    fade = np.clip(1 - (surface.lip_line(x) - y) / 40.0, 0, 1)
    uv[:, 1] -= np.where(sheet.below, gap * fade, 0.0)
    share = np.linspace(0, 1, len(sheet.strip))[1:-1, None, None]  # lower line to upper line
    uv[sheet.strip[1:-1, 1:-1]] = (1 - share) * uv[sheet.lower_line] + share * upper
    return uv.astype(np.float32)


def _arc(a: Array, b: Array) -> Array:
    return np.concatenate([[0.0], np.cumsum(np.hypot(np.diff(a), np.diff(b)))])


def _landmarks(half: Grid, sheet: Sheet) -> dict[str, int]:
    """The 83 points of BU-3DFE and the nose tip, as rows: the vertices nearest to where the formulas put them."""
    K = len(half.points[0]) - 1
    left = half.points.reshape(-1, 3)
    rows: dict[int, int] = {}

    def put(number: int, mirrored: int, x: float, y: float) -> None:
        at = int(((left[:, 0] - x) ** 2 + (left[:, 1] - y) ** 2).argmin())
        row, column = divmod(at, K + 1)
        rows[number] = int(sheet.grid[row, K + column])
        rows[mirrored] = int(sheet.grid[row, K - column])

    for number, mirrored, x, y in _left_landmarks(half):
        put(number, mirrored, x, y)
    inner = sheet.lower_line
    middle = len(inner) // 2
    quarter = len(inner) // 4
    rows[66], rows[67], rows[68] = (int(inner[k]) for k in (middle - quarter, middle, middle + quarter))
    landmarks = {BU83.get(n, f"bu83_{n:02d}"): rows[n] for n in sorted(rows)}
    landmarks["pronasale"] = int(sheet.grid.ravel()[sheet.points[sheet.grid.ravel(), 2].argmax()])
    return landmarks


def _left_landmarks(half: Grid) -> list[tuple[int, int, float, float]]:
    """(number, number of the mirror image, x, y). The meaning of the numbers without a house name is our choice."""
    points: list[tuple[int, int, float, float]] = []
    eye_x = surface.EYE_INNER + (surface.EYE_OUTER - surface.EYE_INNER) * np.array([0.25, 0.5, 0.75])
    corner_y = surface.EYE_Y
    points += [(1, 9, surface.EYE_INNER, corner_y), (5, 13, surface.EYE_OUTER, corner_y + 2.2)]
    for k, x in enumerate(eye_x):  # 2-4 upper lid outwards, 6-8 lower lid inwards
        points += [(2 + k, 10 + k, x, float(surface.upper_lid(x))), (8 - k, 16 - k, x, float(surface.lower_lid(x)))]
    for k, x in enumerate((10.0, 20.0, 31.0, 42.0, 52.0)):  # 17-21 upper edge of the brow outwards, 22-26 lower back
        y, half_width = float(surface.brow_line(np.array(x))), 3.4 - 0.45 * k
        points += [(17 + k, 27 + k, x, y + half_width), (26 - k, 36 - k, x, y - half_width)]
    points += [(37, 48, 6.0, 34.0), (38, 47, 9.5, 18.0), (39, 46, 15.5, 4.0)]  # side of the nose, downwards
    points += [(40, 45, 17.5, -5.0), (41, 44, 9.5, -12.0), (42, 44, 6.0, -12.5), (43, 43, 0.0, -13.0)]
    points += [(49, 55, surface.MOUTH_HALF_WIDTH, float(surface.lip_line(np.array(25.0))))]
    for k, x in enumerate((14.0, 5.5, 0.0)):  # 50-54 upper border, 56-60 lower border
        points += [(50 + k, 54 - k, x, float(surface.upper_lip(np.array(x))))]
        points += [(60 - k, 56 + k, x, float(surface.lower_lip(np.array(x))))]
    points += [(61, 65, 22.0, float(surface.lip_line(np.array(22.0))))]
    points += [
        (62, 64, 10.0, float(surface.lip_line(np.array(10.0)))),
        (63, 63, 0.0, float(surface.lip_line(np.zeros(())))),
    ]
    contour = ((69.5, 20), (67.5, 0), (63.5, -20), (58, -38), (48, -55), (34, -68), (17, -76))
    points += [(69 + k, 83 - k, x, y) for k, (x, y) in enumerate(contour)]
    return [*points, (76, 76, 0.0, -66.0)]
