"""`SampleTree`: a scan at several resolutions, and for each vertex the places around it that a convolution reads.

A level is a set of vertices of the scan, spread evenly over the surface. A stencil of a vertex is a grid of samples in
geodesic polar coordinates about it: along each of A rays, at each of R rings for each of S radii, a point of the
surface, expressed by three vertices of the next finer level and their barycentric weights. Level 0 is the finest.

Nothing here depends on the pose of the scan: a rigid motion changes a tree by rounding alone (of the scan's float32
coordinates; of two vertices equally far within rounding either may come first, which changes their places in a level).
Nor does it depend on the order of vertices or faces, except where a scan is so regular that distances are equal.

How much of this is the sampling tree of FLM-CNN [1] is not known in detail. From the paper: polar stencils of several
radii, and a tree from the few vertices of the top level down, of which only what is reached is kept. Our choice: levels
by farthest points, samples by straightest geodesics, three contributors a sample, rays counted from a direction that
the surface gives, masked samples past a boundary, all numbers of the defaults.

References:
    .. [1] Chen, Huang, Wang, Chen. Fast and light manifold CNN based 3D facial expression recognition across pose
       variations. ACM Multimedia, 2018.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fer3d import _native
from fer3d.checks import check_dtype, check_range, check_shape
from fer3d.errors import ArgumentError, PrepareError
from fer3d.kernels import topology
from fer3d.maps.standard import CURVATURE, curvature_channels
from fer3d.scan import Scan, check_scan
from fer3d.tree import stencil_code
from fer3d.tree.stencils import RAYS, check_count, checked_number, checked_points

LEVELS = (4096, 1024, 256, 68)  # each level has about twice the spacing of the one below; 68 as the landmarks of iBUG
RINGS = (0.25, 0.5, 1.0)  # shares of a radius: dense in the middle and sparse outside, as a retina is
RADII = (3.0, 6.0, 12.0)  # mm, from level 0 to 1; twice as much from each level to the next
CHANNELS = CURVATURE.stored_names  # rotation-invariant inputs of a vertex

PREFIX = "tree_"  # what the names of a tree's arrays begin with


@dataclass(frozen=True, slots=True, eq=False)
class SampleTree:
    """Levels of a scan and the stencils from each on the next finer one.

    The vertices of level l + 1 are the first of level l, in the same order: row i of a feature of level l belongs to
    vertex i of level l + 1 too. That is how a model reads the centre of a stencil, which is none of its R rings.

    Attributes:
        rows: (V_0,) int32. The row in the scan of each vertex of level 0; of level l, the first `sizes[l]`.
        sizes: V_0, V_1, ..., V_L: vertices of each level.
        indices: One array a transition, (V_(l+1), S, R, A, 3) uint16 (int32 if level l has more than 65,536
            vertices): vertices of level l. Ray a + 1 lies counter-clockwise of ray a, seen from outside. A masked
            sample names its own centre.
        weights: One array a transition, (V_(l+1), S, R, A, 3) float16 in [0, 1], multiples of 1 / 2048. Those of a
            sample sum to 1 exactly; all three are 0 where the sample is masked, as the surface ends before it.
        faces: One array a level, (F_l, 3), of the type of `indices`: its triangles, counter-clockwise from outside.
        radii: S radii a transition, mm.
        rings: R shares of a radius, ascending.
        cover: One a level, mm: no vertex of the scan was farther from its nearest vertex of the level.
        positions: (V_0, 3) float32, in the frame of the scan.
        normals: (V_0, 3) float32, or None.
        channels: (V_0, 4) float32, `CHANNELS`, or None. NaN = not measured, or for the shape index: flat.
    """

    rows: NDArray[np.int32]
    sizes: tuple[int, ...]
    indices: tuple[NDArray[Any], ...]
    weights: tuple[NDArray[np.float16], ...]
    faces: tuple[NDArray[Any], ...]
    radii: tuple[tuple[float, ...], ...]
    rings: tuple[float, ...]
    cover: tuple[float, ...]
    positions: NDArray[np.float32]
    normals: NDArray[np.float32] | None = None
    channels: NDArray[np.float32] | None = None

    @classmethod
    def build(
        cls,
        scan: Scan,
        levels: Sequence[int] = LEVELS,
        *,
        rings: int | Sequence[float] = RINGS,
        rays: int = RAYS,
        radii: Sequence[float] | Sequence[Sequence[float]] = RADII,
        start: ArrayLike | None = None,
        top: ArrayLike | None = None,
        threads: int = 1,
    ) -> SampleTree:
        """The tree of a scan.

        Levels are the first vertices in farthest-point order on the distance along the surface, from the nose tip on
        [1]: each vertex is the one farthest from all before it. Its levels cover the surface evenly, whatever the
        density of the scan. Vertices that no edges join to the start are in no level.

        Samples are traced on the scan itself, not on the coarser level, whose chords cut corners (on a sphere that
        costs up to 14 times the error): a ray goes straight on over unfolded triangles [2]. A sample is then expressed
        in the triangles of its level: the nearest point of those about the level's vertex nearest to it along the
        surface, so upper and lower lip stay apart. Rays divide the angle around a vertex in equal parts, at the
        boundary of the scan as if the missing part were flat. Ray 0 points away from the nose tip, as well as the
        surface allows; at the nose tip itself it halves the widest corner. Samples past a boundary are masked, not
        invented; one between the boundary of the scan and the outermost vertices of the level takes the nearest point
        of the level, less than `cover` away.

        The triangles of a level are the dual of its Voronoi cells along the surface, with edges flipped where that
        makes the smallest angle larger. A vertex whose cell has only two neighbours has no triangle, and no sample but
        a centre uses it.

        From the top level down, a vertex stays only if it is a vertex of the level above or a sample of a vertex that
        stays has it.

        Args:
            scan: In mm, cleaned: see `fer3d.prepare.clean`. Edges of more than two faces, and of two faces that are
                wound against each other, count as its boundary.
            levels: Numbers of vertices, descending; at least two. A scan with fewer than the first gives all it has.
            rings: Shares of a radius, ascending, in (0, 1]; or how many, for equal steps.
            rays: A.
            radii: S radii in mm from level 0 to 1, doubled for each next transition; or S radii for each transition.
            start: (3,) Where the order starts, in the frame of the scan: its nearest vertex. None: landmark
                "pronasale" if there is one, else, after `align.frontal`, the origin.
            top: (L, 3) The points of the top level, such as 68 landmarks; L is the last of `levels`. Each takes the
                nearest vertex that no earlier one took.
            threads: Over vertices. The result does not depend on it.

        Raises:
            ArgumentError: if an argument has the wrong type, shape or range, or there is no start.
            PrepareError: if too few vertices of the scan are joined to the start by edges.

        References:
            .. [1] Eldar, Lindenbaum, Porat, Zeevi. The farthest point strategy for progressive image sampling. IEEE
               Transactions on Image Processing 6(9), 1997.
            .. [2] Polthier, Schmies. Straightest geodesics on polyhedral surfaces. Mathematical Visualization, 1998.
        """
        check_scan("scan", scan)
        sizes = _checked_levels(levels)
        shares = _checked_rings(rings)
        spans = _checked_radii(radii, len(sizes) - 1)
        check_count("rays", rays, 1 << 10)
        check_count("threads", threads, 1 << 10)
        points = scan.vertices.astype(np.float64)
        faces = topology.welded_faces(scan.faces, topology.weld(scan.vertices))
        nose = _nearest(points, faces, _checked_start(scan, start)[None])
        seeds = nose if top is None else _nearest(points, faces, checked_points("top", top, (sizes[-1], 3)))
        distances, ring = _distances(spans, shares)
        found, rows, kept, cover, triangles, indices, weights = _native.sample_tree(
            points, faces, seeds, list(sizes), points[nose[0]], distances, rays, threads
        )
        if found <= sizes[1]:
            raise PrepareError(
                f"the scan should have more than {sizes[1]} vertices that edges join to its nose tip, has {found}"
            )
        shape = (len(spans[0]), len(shares), rays, 3)
        small = np.uint16 if kept[0] <= 1 << 16 else np.int32
        return cls(
            rows=rows,
            sizes=tuple(kept),
            indices=tuple(
                block.astype(small)[:, order].reshape(len(block), *shape)
                for block, order in zip(indices, ring, strict=True)
            ),
            weights=tuple(
                stencil_code.weights_of(block)[:, order].reshape(len(block), *shape)
                for block, order in zip(weights, ring, strict=True)
            ),
            faces=tuple(block.astype(small) for block in triangles),
            radii=spans,
            rings=shares,
            cover=tuple(cover),
            positions=scan.vertices[rows],
        )

    @property
    def rays(self) -> int:
        """A."""
        return int(self.indices[0].shape[3])

    @property
    def nbytes(self) -> int:
        """Bytes of what `arrays` gives: on disk."""
        return sum(array.nbytes for array in self.arrays().values())

    def with_features(
        self, scan: Scan, normals: NDArray[np.float32], curvatures: tuple[NDArray[np.float32], NDArray[np.float32]]
    ) -> SampleTree:
        """The tree with what a network is fed at the vertices of level 0.

        Args:
            scan: The one that the tree was built from.
            normals: (V, 3) float32, those of `maps.vertex_normals`.
            curvatures: k1, k2, each (V,) float32, those of `maps.principal_curvatures`.

        Raises:
            ArgumentError: if an array does not fit the scan, or the scan does not fit the tree.
        """
        check_scan("scan", scan)
        count = len(scan.vertices)
        if self.rows.max() >= count or not np.array_equal(scan.vertices[self.rows], self.positions):
            raise ArgumentError("`scan` should be the one that the tree was built from, its vertices are others")
        check_dtype("normals", normals, np.float32)
        check_shape("normals", normals, (count, 3))
        k1, k2 = curvatures
        for number, k in enumerate((k1, k2)):
            check_dtype(f"curvatures[{number}]", k, np.float32)
            check_shape(f"curvatures[{number}]", k, (count,))
        k1, k2 = k1[self.rows], k2[self.rows]
        channels = np.ascontiguousarray(curvature_channels(np.stack([k1, k2])).T, dtype=np.float32)
        return replace(self, normals=normals[self.rows], channels=channels)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """What `from_arrays` takes: name -> array, for the store. Stencils are coded: see `fer3d.tree.stencil_code`."""
        named: dict[str, NDArray[Any]] = {"rows": self.rows, "positions": self.positions}
        named |= {f"faces_{level}": block for level, block in enumerate(self.faces)}
        for level, (indices, weights) in enumerate(zip(self.indices, self.weights, strict=True)):
            named |= {f"{name}_{level}": block for name, block in stencil_code.encode(indices, weights).items()}
        if self.normals is not None:
            named["normals"] = self.normals
        if self.channels is not None:
            named["channels"] = self.channels
        return {PREFIX + name: array for name, array in named.items()}

    def facts(self) -> dict[str, Any]:
        """What `from_arrays` takes beside the arrays, for the header of the store."""
        return {
            "sizes": list(self.sizes),
            "radii_mm": [list(span) for span in self.radii],
            "rings": list(self.rings),
            "cover_mm": [round(cover, 6) for cover in self.cover],
            "channels": list(CHANNELS),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], facts: Mapping[str, Any]) -> SampleTree:
        """The tree whose `arrays` and `facts` these are. Raises KeyError if one is missing."""
        sizes = tuple(facts["sizes"])
        names = ("ring", "corners", "triple", "shares")
        stencils = [
            stencil_code.decode({name: arrays[f"{PREFIX}{name}_{level}"] for name in names})
            for level in range(len(sizes) - 1)
        ]
        return cls(
            rows=arrays[PREFIX + "rows"],
            sizes=sizes,
            indices=tuple(indices for indices, _ in stencils),
            weights=tuple(weights for _, weights in stencils),
            faces=tuple(arrays[f"{PREFIX}faces_{level}"] for level in range(len(sizes))),
            radii=tuple(tuple(span) for span in facts["radii_mm"]),
            rings=tuple(facts["rings"]),
            cover=tuple(facts["cover_mm"]),
            positions=arrays[PREFIX + "positions"],
            normals=arrays.get(PREFIX + "normals"),
            channels=arrays.get(PREFIX + "channels"),
        )


def _checked_levels(levels: Sequence[int]) -> tuple[int, ...]:
    sizes = tuple(levels)
    whole = all(isinstance(size, int | np.integer) and size > 0 for size in sizes)
    if len(sizes) < 2 or not whole or any(a <= b for a, b in pairwise(sizes)):
        raise ArgumentError(f"`levels` should be at least two descending numbers of vertices, is {sizes}")
    return tuple(int(size) for size in sizes)


def _checked_rings(rings: int | Sequence[float]) -> tuple[float, ...]:
    if isinstance(rings, int | np.integer):
        check_count("rings", int(rings), 1 << 10)
        return tuple((ring + 1) / int(rings) for ring in range(int(rings)))
    shares = tuple(checked_number("rings", ring) for ring in rings)
    if not shares or shares[0] <= 0 or shares[-1] > 1 or (np.diff(shares) <= 0).any():
        raise ArgumentError(f"`rings` should be ascending shares in (0, 1] or how many, is {rings}")
    return shares


def _checked_radii(
    radii: Sequence[float] | Sequence[Sequence[float]], transitions: int
) -> tuple[tuple[float, ...], ...]:
    given: tuple[Any, ...] = tuple(radii)
    if given and not any(isinstance(radius, Sequence | np.ndarray) for radius in given):
        first = tuple(checked_number("radii", radius) for radius in given)
        spans = tuple(tuple(radius * 2**level for radius in first) for level in range(transitions))
    else:
        spans = tuple(tuple(checked_number("radii", radius) for radius in span) for span in given)
    if len(spans) != transitions or not spans[0] or len({len(span) for span in spans}) > 1:
        raise ArgumentError(
            f"`radii` should be S radii, or as many for each of {transitions} transitions, is {list(radii)}"
        )
    for span in spans:
        for radius in span:
            check_range("radii", radius, 1e-6, 1e6, "mm")
    return spans


def _distances(
    spans: tuple[tuple[float, ...], ...], shares: tuple[float, ...]
) -> tuple[NDArray[np.float64], list[NDArray[np.intp]]]:
    """(T, D) where the rings of each transition are, in mm; and of its S R rings which of those D each is.

    Rings of different radii in the same place are traced once, unless that would leave transitions with different D.
    """
    every = [np.multiply.outer(span, shares).ravel() for span in spans]
    different = [np.unique([float(f"{distance:.12g}") for distance in row], return_inverse=True) for row in every]
    if len({len(found) for found, _ in different}) > 1:
        return np.array(every), [np.arange(len(row)) for row in every]
    return np.array([found for found, _ in different]), [ring for _, ring in different]


def _checked_start(scan: Scan, start: ArrayLike | None) -> NDArray[np.float64]:
    if start is not None:
        return checked_points("start", start, (3,))
    if "pronasale" in scan.landmarks:
        return checked_points("landmarks['pronasale']", scan.landmarks["pronasale"], (3,))
    if any(record["step"] == "frontal" for record in scan.history):
        return np.zeros(3)
    raise ArgumentError(
        "`start` should be the nose tip: the scan neither has a landmark `pronasale` nor went through align.frontal"
    )


def _nearest(points: NDArray[np.float64], faces: NDArray[np.int32], places: NDArray[np.float64]) -> NDArray[np.int32]:
    """(L,) int32: of each place the nearest vertex of a face, that no earlier place took."""
    free = np.zeros(len(points), dtype=bool)
    free[faces] = True
    free &= np.isfinite(points).all(axis=1)
    if free.sum() < len(places):
        raise PrepareError(f"the scan should have at least {len(places)} vertices with faces, has {free.sum()}")
    rows = np.empty(len(places), dtype=np.int32)
    for n, place in enumerate(places):
        squared = ((points - place) ** 2).sum(axis=1)
        rows[n] = np.argmin(np.where(free, squared, np.inf))
        free[rows[n]] = False
    return rows
