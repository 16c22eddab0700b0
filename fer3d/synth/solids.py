"""Smooth solids as triangle meshes: unions of rounded parts, sampled on a grid, meshed by surface nets [1].

A part is a field of about the distance from its surface, negative inside. `moulded` joins parts smoothly, cuts others
out of them and returns the surface: closed, counter-clockwise seen from outside. `lathed` turns a profile about an
axis, `roughened` adds relief to any mesh.

Convention: mm. The grid resolves nothing smaller than about two steps.

References:
    .. [1] S. F. F. Gibson: Constrained elastic surface nets. MICCAI 1998.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fer3d.checks import check_range, check_shape
from fer3d.errors import ArgumentError
from fer3d.kernels.shading import area_normals

Array = NDArray[np.float64]
Rows = NDArray[np.int32]
Mesh = tuple[Array, Rows]

_MOST_CELLS = 4_000_000
_CUBE_EDGES = ((0, 1), (2, 3), (4, 5), (6, 7), (0, 2), (1, 3), (4, 6), (5, 7), (0, 4), (1, 5), (2, 6), (3, 7))


class Part(NamedTuple):
    """A part of a solid.

    Attributes:
        low, high: (3,) float64. Corners of a box that holds the part.
        field: (x, y, z) -> about the distance from the surface, negative inside; arrays that broadcast together.
    """

    low: Array
    high: Array
    field: Callable[[Array, Array, Array], Array]


def ellipsoid(centre: ArrayLike, radii: ArrayLike, turn: Array | None = None) -> Part:
    """An ellipsoid. `radii` (3,) lie along the axes, or along the columns of the rotation `turn` (3, 3)."""
    c, r = np.asarray(centre, np.float64), np.asarray(radii, np.float64)
    axes = np.eye(3) if turn is None else turn
    reach = np.sqrt(((axes * r) ** 2).sum(axis=1))

    def field(x: Array, y: Array, z: Array) -> Array:
        i, j, k = _local(x - c[0], y - c[1], z - c[2], turn)
        size = np.sqrt((i / r[0]) ** 2 + (j / r[1]) ** 2 + (k / r[2]) ** 2)
        slope = np.sqrt((i / r[0] ** 2) ** 2 + (j / r[1] ** 2) ** 2 + (k / r[2] ** 2) ** 2)
        # The least radius at the centre, where the quotient is 0 / 0.
        return np.asarray((size - 1) * (size + 1e-9 * r.min()) / (slope + 1e-9))

    return Part(c - reach, c + reach, field)


def capsule(start: ArrayLike, end: ArrayLike, radius: float, end_radius: float | None = None) -> Part:
    """A rod with round ends, whose radius changes from `radius` to `end_radius`."""
    a, b = np.asarray(start, np.float64), np.asarray(end, np.float64)
    ra, rb = radius, radius if end_radius is None else end_radius
    way = b - a
    length = max(float(way @ way), 1e-9)

    def field(x: Array, y: Array, z: Array) -> Array:
        px, py, pz = x - a[0], y - a[1], z - a[2]
        t = np.clip((px * way[0] + py * way[1] + pz * way[2]) / length, 0.0, 1.0)
        distance = np.sqrt((px - t * way[0]) ** 2 + (py - t * way[1]) ** 2 + (pz - t * way[2]) ** 2)
        return np.asarray(distance - (ra + (rb - ra) * t))

    return Part(np.minimum(a - ra, b - rb), np.maximum(a + ra, b + rb), field)


def chain(points: ArrayLike, radii: ArrayLike) -> list[Part]:
    """Capsules along a line of points (N, 3) with radii (N,), or one radius for all."""
    p = np.asarray(points, np.float64)
    r = np.broadcast_to(np.asarray(radii, np.float64), len(p))
    return [capsule(p[k], p[k + 1], float(r[k]), float(r[k + 1])) for k in range(len(p) - 1)]


def box(centre: ArrayLike, half: ArrayLike, rounding: float = 0.0, turn: Array | None = None) -> Part:
    """A box of half sides `half` (3,) along the axes or the columns of `turn`, with edges of radius `rounding`."""
    c, h = np.asarray(centre, np.float64), np.asarray(half, np.float64)
    reach = np.abs(np.eye(3) if turn is None else turn) @ h
    inner = np.maximum(h - rounding, 0.0)

    def field(x: Array, y: Array, z: Array) -> Array:
        i, j, k = _local(x - c[0], y - c[1], z - c[2], turn)
        i, j, k = np.abs(i) - inner[0], np.abs(j) - inner[1], np.abs(k) - inner[2]
        outside = np.sqrt(np.maximum(i, 0) ** 2 + np.maximum(j, 0) ** 2 + np.maximum(k, 0) ** 2)
        return np.asarray(outside + np.minimum(np.maximum(np.maximum(i, j), k), 0.0) - rounding)

    return Part(c - reach, c + reach, field)


def torus(centre: ArrayLike, radius: float, thickness: float, turn: Array | None = None) -> Part:
    """A ring of `radius` around the z axis, or the last column of `turn`; its tube has the radius `thickness`."""
    c = np.asarray(centre, np.float64)
    reach = np.full(3, radius + thickness)

    def field(x: Array, y: Array, z: Array) -> Array:
        i, j, k = _local(x - c[0], y - c[1], z - c[2], turn)
        return np.asarray(np.hypot(np.hypot(i, j) - radius, k) - thickness)

    return Part(c - reach, c + reach, field)


def _local(x: Array, y: Array, z: Array, turn: Array | None) -> tuple[Array, Array, Array]:
    if turn is None:
        return x, y, z
    i, j, k = (x * turn[0, n] + y * turn[1, n] + z * turn[2, n] for n in range(3))
    return i, j, k


def moulded(parts: Sequence[Part], *, step: float, smooth: float = 0.0, cuts: Sequence[Part] = ()) -> Mesh:
    """The surface of the smooth union of parts, less the cuts.

    Args:
        parts: At least one.
        step: Edge of the cubes of the grid, mm.
        smooth: Two surfaces nearer than this to each other flow together, mm.
        cuts: Parts that are taken away, with edges as smooth.

    Returns:
        points (N, 3) float64, mm; triangles (M, 3) int32: closed, counter-clockwise seen from outside.

    Raises:
        ArgumentError: if `parts` is empty, the step is not positive or so small that the grid has more than 4 million
            cubes, or all is cut away.
    """
    if not parts:
        raise ArgumentError("`parts` should hold at least one part, is empty")
    check_range("step", step, 1e-3, 1e6, "mm")
    check_range("smooth", smooth, 0.0, np.inf, "mm")
    margin = 2 * step + 0.25 * smooth
    low = np.min([part.low for part in parts], axis=0) - margin
    shape = np.ceil((np.max([part.high for part in parts], axis=0) + margin - low) / step).astype(int) + 1
    if np.prod(shape.astype(float)) > _MOST_CELLS:
        raise ArgumentError(f"`step` should leave at most {_MOST_CELLS} cubes, {step} leaves {np.prod(shape)}")
    field = np.full(shape, 2 * (step + smooth))
    for part in parts:
        _join(field, part, low, step, smooth, 1.0)
    for part in cuts:
        _join(field, part, low, step, smooth, -1.0)
    mesh = isosurface(field, low, step)
    if not len(mesh[1]):
        raise ArgumentError("`cuts` should leave something of the parts, take all away")
    return mesh


def _join(field: Array, part: Part, low: Array, step: float, smooth: float, sign: float) -> None:
    """Join a part to the field (sign 1), or cut it out (sign -1), near the part only."""
    reach = 2 * step + 1.1 * smooth
    first = np.maximum(np.floor((part.low - reach - low) / step).astype(int), 0)
    last = np.minimum(np.ceil((part.high + reach - low) / step).astype(int) + 1, field.shape)
    if (last <= first).any():
        return
    x, y, z = (low[k] + step * np.arange(first[k], last[k]) for k in range(3))
    near = (slice(first[0], last[0]), slice(first[1], last[1]), slice(first[2], last[2]))
    own, other = sign * field[near], part.field(x[:, None, None], y[None, :, None], z[None, None, :])
    joined = np.minimum(own, other)
    if smooth > 0:
        joined -= np.maximum(smooth - np.abs(own - other), 0.0) ** 2 / (4 * smooth)
    field[near] = sign * joined


def isosurface(field: Array, low: Array, step: float) -> Mesh:
    """The surface where a field is 0, by surface nets: a vertex for each cube that it crosses, a quad for each edge.

    Args:
        field: (A, B, C) float64, negative inside. Samples at the border of the grid count as outside.
        low: (3,) float64. Position of sample (0, 0, 0).
        step: Distance between samples.

    Returns:
        points (N, 3) float64; triangles (M, 3) int32, counter-clockwise seen from outside.
    """
    check_shape("field", field, ("A", "B", "C"))
    field = field.copy()
    for axis in range(3):
        ends = np.moveaxis(field, axis, 0)
        ends[[0, -1]] = np.maximum(ends[[0, -1]], 1e-6 * step)
    inside = field < 0
    corners = np.stack(np.meshgrid([0, 1], [0, 1], [0, 1], indexing="ij"), axis=-1).reshape(-1, 3)  # (8, 3)
    a, b, c = np.array(field.shape) - 1
    count = np.zeros((a, b, c), np.uint8)
    for i, j, k in corners:
        count += inside[i : i + a, j : j + b, k : k + c]
    cells = np.argwhere((count > 0) & (count < 8))  # (N, 3)
    at = cells[:, None] + corners  # (N, 8, 3)
    value = field[at[..., 0], at[..., 1], at[..., 2]]
    total, crossed = np.zeros((len(cells), 3)), np.zeros(len(cells))
    for p, q in _CUBE_EDGES:
        cross = (value[:, p] < 0) != (value[:, q] < 0)
        share = np.where(cross, value[:, p] / np.where(cross, value[:, p] - value[:, q], 1.0), 0.0)
        total += cross[:, None] * (corners[p] + share[:, None] * (corners[q] - corners[p]))
        crossed += cross
    points = low + step * (cells + total / np.maximum(crossed, 1)[:, None])
    row = np.full((a, b, c), -1, np.int32)
    row[tuple(cells.T)] = np.arange(len(cells), dtype=np.int32)
    quads = np.concatenate([_quads(inside, row, axis) for axis in range(3)])
    return points, _split(points, quads)


def _quads(inside: NDArray[np.bool_], row: Rows, axis: int) -> Rows:
    """(Q, 4): the cubes around each edge along `axis` that crosses the surface, in the order that faces outwards."""
    here = np.moveaxis(inside, axis, 0)
    edge = np.argwhere(here[:-1] != here[1:])  # (Q, 3): along, then the other axes in ascending order
    ahead = here[tuple(edge.T)]  # where the first end is inside, the surface faces along the axis
    cells = np.moveaxis(row, axis, 0)
    ring = [cells[edge[:, 0], edge[:, 1] + i, edge[:, 2] + j] for i, j in ((-1, -1), (0, -1), (0, 0), (-1, 0))]
    quads = np.stack(ring, axis=1)
    flip = ahead if axis == 1 else ~ahead  # x and z turn left-handed about y
    quads[flip] = quads[flip][:, ::-1]
    return quads


def _split(points: Array, quads: Rows) -> Rows:
    """Two triangles for each quad, cut along its shorter diagonal."""
    a, b, c, d = quads.T
    ac = ((points[a] - points[c]) ** 2).sum(axis=1) <= ((points[b] - points[d]) ** 2).sum(axis=1)
    first = np.where(ac[:, None], np.stack([a, b, c], 1), np.stack([a, b, d], 1))
    second = np.where(ac[:, None], np.stack([a, c, d], 1), np.stack([b, c, d], 1))
    return np.ascontiguousarray(np.concatenate([first, second], axis=1).reshape(-1, 3))


def lathed(radii: ArrayLike, heights: ArrayLike, sides: int = 48) -> Mesh:
    """A surface of revolution about the y axis, closed by a point at both ends.

    Args:
        radii, heights: (N,). The profile, mm, from the lowest end along the outside; it may turn back inside.
        sides: Vertices around the axis.
    """
    r, y = np.asarray(radii, np.float64), np.asarray(heights, np.float64)
    angle = np.linspace(0, 2 * np.pi, sides, endpoint=False)
    ring = np.stack([np.sin(angle), np.zeros(sides), np.cos(angle)], axis=1)
    points = (r[:, None, None] * ring + y[:, None, None] * np.array([0.0, 1.0, 0.0])).reshape(-1, 3)
    n, k = len(r), np.arange(sides)
    after = (k + 1) % sides
    bottom = np.stack([np.full(sides, n * sides), after, k], axis=1)
    top = np.stack([np.full(sides, n * sides + 1), (n - 1) * sides + k, (n - 1) * sides + after], axis=1)
    ends = np.array([[0.0, y[0], 0.0], [0.0, y[-1], 0.0]])
    triangles = np.concatenate([tube_triangles(n, sides), bottom, top])
    return np.concatenate([points, ends]), triangles.astype(np.int32)


def tube_triangles(rings: int, sides: int) -> Rows:
    """Triangles between consecutive rings of `sides` vertices that turn right-handed about the way of the tube."""
    row, column = np.arange(rings - 1)[:, None] * sides, np.arange(sides)
    a, b = row + column, row + (column + 1) % sides
    return np.stack([a, b, b + sides, a, b + sides, a + sides], axis=-1).reshape(-1, 3).astype(np.int32)


class Waves(NamedTuple):
    """Random smooth relief: a sum of waves in space with standard deviation 1; call it with points (N, 3).

    Attributes:
        vectors: (K, 3) float64. Wave vectors, radians per mm.
        phases: (K,) float64.
    """

    vectors: Array
    phases: Array

    @staticmethod
    def drawn(generator: np.random.Generator, length: float, stretch: ArrayLike = (1, 1, 1), count: int = 12) -> Waves:
        """Waves of about `length` mm, longer along the axes by the factors `stretch` (3,)."""
        way = generator.normal(size=(count, 3))
        way /= np.linalg.norm(way, axis=1, keepdims=True)
        speed = 2 * np.pi / (length * generator.uniform(0.7, 1.4, (count, 1)))
        return Waves(way * speed / np.asarray(stretch, np.float64), generator.uniform(0, 2 * np.pi, count))

    def __call__(self, points: Array) -> Array:
        """(N,) float64."""
        # einsum uses one thread, as in `FaceModel.shape`, and gives the same bits everywhere.
        turns = np.einsum("nc,kc->nk", points, self.vectors) + self.phases
        return np.asarray(np.sin(turns).sum(axis=1) * np.sqrt(2 / len(self.phases)))


def roughened(mesh: Mesh, height: float, waves: Waves, ridged: float = 0.0) -> Mesh:
    """The mesh with waves of about `height` mm along its normals; `ridged`, 0 to 1, sharpens their crests."""
    points, triangles = mesh
    relief = waves(points)
    relief = (1 - ridged) * relief + ridged * (1.6 - 2.0 * np.abs(relief))
    return points + height * relief[:, None] * area_normals(points, triangles), triangles


def merged(meshes: Sequence[Mesh]) -> Mesh:
    """Several meshes as one."""
    count = np.cumsum([0] + [len(points) for points, _ in meshes])
    triangles = [rows + np.int32(first) for (_, rows), first in zip(meshes, count[:-1], strict=True)]
    return np.concatenate([points for points, _ in meshes]), np.concatenate(triangles)
