"""Surfaces with known normals and curvatures, triangulated irregularly: the closed forms that tests compare with.

Every shape takes the length of an edge and a seed, and follows the conventions of `fer3d.scan`: outward normals,
curvature in 1/mm and positive where convex, k1 >= k2. `edge` is the spacing of a triangular lattice whose points
are then moved at random, uniformly in a disc of `JITTER` times its length: edges of 0.6 to 1.5 times it, as a range
camera makes them; valence 4 to 8.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull, Delaunay

from fer3d.scan import Scan

Array = NDArray[np.float64]
JITTER = 0.2


@dataclass(frozen=True)
class Shape:
    """A triangulated surface with its truth.

    Attributes:
        vertices: (V, 3). On the surface.
        faces: (F, 3) int32, counter-clockwise from outside.
        normals: (V, 3). Exact unit normals at the vertices.
        k1, k2: (V,). Exact principal curvatures at the vertices.
        height: (x, y) -> z of the surface as seen from +z (its upper side), NaN outside it.
    """

    vertices: Array
    faces: NDArray[np.int32]
    normals: Array
    k1: Array
    k2: Array
    height: Callable[[Array, Array], Array]

    @property
    def scan(self) -> Scan:
        return Scan.of(self.vertices, self.faces)

    def noisy(self, sigma: float, seed: int = 0) -> "Shape":
        """The vertices moved along the exact normals by Gaussian noise; the truth stays."""
        steps = np.random.default_rng(seed).normal(0.0, sigma, (len(self.vertices), 1))
        return replace(self, vertices=self.vertices + steps * self.normals)

    def turned(self, rotation: Array) -> "Shape":
        """The shape under a rotation (3, 3). `height` no longer holds and becomes NaN."""
        return replace(
            self,
            vertices=self.vertices @ rotation.T,
            normals=self.normals @ rotation.T,
            height=lambda x, y: np.full(np.shape(x), np.nan),
        )

    def reindexed(self, seed: int = 0) -> tuple["Shape", NDArray[np.int64]]:
        """The same surface with vertices, faces and the corners of faces in another order, and the new rows.

        Returns:
            shape, row: old vertex v is new vertex row[v].
        """
        generator = np.random.default_rng(seed)
        old = generator.permutation(len(self.vertices))
        row = np.argsort(old)
        faces = row[self.faces[generator.permutation(len(self.faces))]]
        turns = (np.arange(3) + generator.integers(0, 3, (len(faces), 1))) % 3
        faces = np.take_along_axis(faces, turns, axis=1).astype(np.int32)
        return (
            replace(
                self,
                vertices=self.vertices[old],
                faces=faces,
                normals=self.normals[old],
                k1=self.k1[old],
                k2=self.k2[old],
            ),
            row,
        )


def sphere(radius: float, edge: float, seed: int = 0) -> Shape:
    """A closed sphere about the origin: k1 = k2 = 1 / radius."""
    count = round(4 * np.pi * radius**2 / (np.sqrt(0.75) * edge**2))
    index = np.arange(count) + 0.5
    polar, turn = np.arccos(1 - 2 * index / count), np.pi * (1 + np.sqrt(5)) * index
    points = np.stack([np.cos(turn) * np.sin(polar), np.sin(turn) * np.sin(polar), np.cos(polar)], axis=1)
    along = np.stack([-np.sin(turn), np.cos(turn), np.zeros(count)], axis=1)
    moves = _moves(np.random.default_rng(seed), count, edge) / radius
    points += moves[:, :1] * along + moves[:, 1:] * np.cross(points, along)
    normals = points / np.linalg.norm(points, axis=1, keepdims=True)
    faces = ConvexHull(normals).simplices
    a, b, c = (normals[faces[:, n]] for n in range(3))
    inward = np.einsum("fi,fi->f", np.cross(b - a, c - a), a) < 0
    faces[inward] = faces[inward][:, ::-1]
    curvature = np.full(count, 1 / radius)

    def height(x: Array, y: Array) -> Array:
        return _root(radius**2 - x**2 - y**2)

    return Shape(radius * normals, faces.astype(np.int32), normals, curvature, curvature, height)


def torus(ring: float, tube: float, edge: float, seed: int = 0) -> Shape:
    """A closed torus about the z axis: tube curvature 1 / tube, the other cos(v) / (ring + tube cos(v))."""
    generator = np.random.default_rng(seed)
    rows = round(2 * np.pi * tube / (np.sqrt(0.75) * edge))
    turns, angles = [], []
    for number in range(rows):
        angle = 2 * np.pi * number / rows
        around = round(2 * np.pi * (ring + tube * np.cos(angle)) / edge)
        turns.append((np.arange(around) + 0.5 * (number % 2)) / around * 2 * np.pi)
        angles.append(np.full(around, angle))
    u, v = np.concatenate(turns), np.concatenate(angles)
    moves = _moves(generator, len(u), edge)
    u += moves[:, 0] / (ring + tube * np.cos(v))
    v += moves[:, 1] / tube
    u, v = u % (2 * np.pi), v % (2 * np.pi)
    # Delaunay in conformal coordinates, where angles are those on the surface: d(eta) = tube dv / (ring + tube cos v).
    root = np.sqrt(ring**2 - tube**2)
    eta = (
        2 * tube / root * np.arctan(np.sqrt((ring - tube) / (ring + tube)) * np.tan(v / 2)) % (2 * np.pi * tube / root)
    )
    faces = _periodic_delaunay(np.stack([u, eta], axis=1), np.array([2 * np.pi, 2 * np.pi * tube / root]))
    normals = np.stack([np.cos(v) * np.cos(u), np.cos(v) * np.sin(u), np.sin(v)], axis=1)
    vertices = tube * normals + ring * np.stack([np.cos(u), np.sin(u), np.zeros_like(u)], axis=1)

    def height(x: Array, y: Array) -> Array:
        return _root(tube**2 - (np.hypot(x, y) - ring) ** 2)

    return Shape(vertices, faces, normals, np.full(len(u), 1 / tube), np.cos(v) / (ring + tube * np.cos(v)), height)


def saddle(radius: float, edge: float, seed: int = 0, half: float | None = None) -> Shape:
    """An open square patch of z = (x^2 - y^2) / (2 radius): curvatures -+1 / radius at the origin."""
    return _graph(
        lambda x, y: (x**2 - y**2) / (2 * radius),
        lambda x, y: (x / radius, -y / radius),
        lambda x, y: (np.full_like(x, 1 / radius), np.zeros_like(x), np.full_like(x, -1 / radius)),
        radius if half is None else half,
        edge,
        seed,
    )


def cylinder(radius: float, edge: float, seed: int = 0, half: float | None = None) -> Shape:
    """An open patch of the upper side of a cylinder along y: k1 = 1 / radius, k2 = 0."""
    return _graph(
        lambda x, y: _root(radius**2 - x**2),
        lambda x, y: (-x / _root(radius**2 - x**2), np.zeros_like(x)),
        lambda x, y: (-(radius**2) / _root(radius**2 - x**2) ** 3, np.zeros_like(x), np.zeros_like(x)),
        0.7 * radius if half is None else half,
        edge,
        seed,
    )


def plane(half: float, edge: float, seed: int = 0, slope: tuple[float, float] = (0.0, 0.0)) -> Shape:
    """An open square patch of z = slope . (x, y): flat."""
    return _graph(
        lambda x, y: slope[0] * x + slope[1] * y,
        lambda x, y: (np.full_like(x, slope[0]), np.full_like(x, slope[1])),
        lambda x, y: (np.zeros_like(x), np.zeros_like(x), np.zeros_like(x)),
        half,
        edge,
        seed,
    )


def cap(radius: float, edge: float, seed: int = 0, half: float | None = None) -> Shape:
    """An open square patch of the upper side of a sphere about the origin."""
    return _graph(
        lambda x, y: _root(radius**2 - x**2 - y**2),
        lambda x, y: tuple(-t / _root(radius**2 - x**2 - y**2) for t in (x, y)),
        lambda x, y: tuple(
            -t / _root(radius**2 - x**2 - y**2) ** 3 for t in (radius**2 - y**2, x * y, radius**2 - x**2)
        ),
        0.6 * radius if half is None else half,
        edge,
        seed,
    )


def _graph(height, gradient, second, half, edge, seed) -> Shape:  # type: ignore[no-untyped-def]
    """The graph of a height function over the square [-half, half]^2, with its truth by Monge's formulas."""
    generator = np.random.default_rng(seed)
    side = np.arange(-half, half + 1e-9, edge)
    rows = np.arange(-half, half + 1e-9, np.sqrt(0.75) * edge)
    x, y = np.meshgrid(side, rows)
    x = x + 0.5 * edge * (np.arange(len(rows)) % 2)[:, None]
    inner = np.zeros(x.shape, dtype=bool)
    inner[1:-1, 1:-1] = True
    moves = _moves(generator, x.size, edge).reshape(*x.shape, 2) * inner[..., None]
    x, y = x + moves[..., 0], y + moves[..., 1]
    x, y = x[x <= half], y[x <= half]
    faces = _counter_clockwise(np.stack([x, y], axis=1), Delaunay(np.stack([x, y], axis=1)).simplices)
    a, b, c = (np.stack([x, y], axis=1)[faces[:, n]] for n in range(3))
    longest = np.max([np.linalg.norm(p - q, axis=1) for p, q in ((a, b), (b, c), (c, a))], axis=0)
    faces = faces[longest < 3 * edge]  # slivers along the hull
    p, q = gradient(x, y)
    xx, xy, yy = second(x, y)
    area = 1 + p**2 + q**2
    mean = -((1 + q**2) * xx - 2 * p * q * xy + (1 + p**2) * yy) / (2 * area**1.5)  # a cap is positive
    spread = _root(mean**2 - (xx * yy - xy**2) / area**2)
    normals = np.stack([-p, -q, np.ones_like(p)], axis=1) / np.sqrt(area)[:, None]
    return Shape(
        np.stack([x, y, height(x, y)], axis=1), faces.astype(np.int32), normals, mean + spread, mean - spread, height
    )


def _moves(generator: np.random.Generator, count: int, edge: float) -> Array:
    """(count, 2): uniform in the disc of JITTER * edge."""
    turn, length = generator.uniform(0, 2 * np.pi, count), np.sqrt(generator.uniform(0, 1, count))
    return JITTER * edge * (length * np.stack([np.cos(turn), np.sin(turn)])).T


def _root(square: Array) -> Array:
    """Square root; rounding below zero is zero, and truly negative is NaN."""
    return np.sqrt(np.where(square < -1e-9, np.nan, np.maximum(square, 0.0)))


def _counter_clockwise(points: Array, faces: NDArray[np.int32]) -> NDArray[np.int32]:
    a, b, c = (points[faces[:, n]] for n in range(3))
    area = (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]
    return np.where((area < 0)[:, None], faces[:, ::-1], faces)


def _periodic_delaunay(points: Array, period: Array) -> NDArray[np.int32]:
    """Delaunay triangles of points on a flat torus: of the tiles around, those centred in the middle one."""
    shifts = np.array([(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)]) * period
    tiled = (points[None] + shifts[:, None]).reshape(-1, 2)
    faces = _counter_clockwise(tiled, Delaunay(tiled).simplices)
    centre = tiled[faces].mean(axis=1)
    return (faces[((centre >= 0) & (centre < period)).all(axis=1)] % len(points)).astype(np.int32)
