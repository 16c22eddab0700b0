"""`SampleTree`: a scan at several resolutions, and for each vertex the samples around it that a convolution reads.

A level is a set of vertices of the scan, spread evenly over the surface. The stencil of a vertex is a grid of samples
in geodesic polar coordinates around it: along each of A rays, at each of R rings for each of S radii, a point of the
surface, expressed by three vertices of the next finer level and their barycentric weights. Level 0 is the finest.

The tree does not depend on the pose of the scan: a rigid motion changes it only by the rounding of float32 coordinates
(if two vertices are equally far within rounding, either may come first, which exchanges them in a level). Nor does it
depend on the order of vertices or faces, unless the scan is so regular that distances are equal.

How this differs from the sampling tree of FLM-CNN [1] is not known. Known from its abstract: preprocessing with a
sampling tree, which saves memory. Our reconstruction, from memory: polar stencils of several radii, and a tree from the
few vertices of the top level downwards, which keeps only the vertices it reaches. Our choice: levels by farthest-point
sampling, samples by straightest geodesics, three vertices per sample, a first ray whose direction follows from the
surface, masked samples beyond a boundary, and all default values.

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
from fer3d.checks import check_dtype, check_index, check_range, check_shape
from fer3d.errors import ArgumentError, PrepareError
from fer3d.kernels import topology
from fer3d.maps.standard import CURVATURE, curvature_channels
from fer3d.scan import Scan, check_scan
from fer3d.tree import stencil_code
from fer3d.tree.stencils import RAYS, check_count, checked_number, checked_points

LEVELS = (4096, 1024, 256, 68)  # each level has about twice the spacing of the next finer one; 68 as the iBUG landmarks
RINGS = (0.25, 0.5, 1.0)  # fractions of a radius: dense at the centre and sparse outside, like a retina
RADII = (3.0, 6.0, 12.0)  # mm, from level 0 to 1; doubled for each further transition
CHANNELS = CURVATURE.stored_names  # rotation-invariant inputs of a vertex

PREFIX = "tree_"  # prefix of the names of a tree's arrays


@dataclass(frozen=True, slots=True, eq=False)
class SampleTree:
    """Levels of a scan and the stencils from each on the next finer one.

    The vertices of level l + 1 are the first vertices of level l, in the same order: row i of a feature of level l also
    belongs to vertex i of level l + 1. This is how a model reads the centre of a stencil, which is in none of its R
    rings.

    Attributes:
        rows: (V_0,) int32. The row in the scan of each vertex of level 0; level l has the first `sizes[l]` rows.
        sizes: V_0, V_1, ..., V_L: the number of vertices of each level.
        indices: One array per transition, (V_(l+1), S, R, A, 3) uint16 (int32 if level l has more than 65,536
            vertices): vertices of level l. Ray a + 1 lies counter-clockwise of ray a, seen from outside. The indices
            of a masked sample are its own centre.
        weights: One array per transition, (V_(l+1), S, R, A, 3) float16 in [0, 1], multiples of 1 / 2048. The three
            weights of a sample sum to exactly 1; all are 0 if the sample is masked because it lies beyond a boundary.
        faces: One array per level, (F_l, 3), dtype of `indices`: its triangles, counter-clockwise from outside.
        radii: S radii per transition, mm.
        rings: R fractions of a radius, ascending.
        cover: One number per level, mm: the largest distance from a vertex of the scan to the nearest vertex of the
            level.
        positions: (V_0, 3) float32, in the frame of the scan.
        normals: (V_0, 3) float32, or None.
        channels: (V_0, 4) float32, `CHANNELS`, or None. NaN: not measured or, for the shape index, flat.
        landmarks: Whether the top level is given points in their order, such as landmarks, and vertex 0 not the nose.
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
    landmarks: bool = False

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
        """Build the tree of a scan.

        Levels are the first vertices in farthest-point order on the distance along the surface, starting at the nose
        tip [1]: each vertex is the one farthest from all before it. The levels cover the surface evenly, whatever the
        density of the scan. Vertices that edges do not connect to the start are in no level.

        Samples are traced on the scan itself, not on the coarser level, whose chords cut corners (on a sphere the error
        would be up to 14 times as large): a ray continues straight over unfolded triangles [2]. A sample is then
        expressed in the triangles of its level: it takes the nearest point of the triangles around the level's vertex
        nearest to it along the surface, which keeps upper and lower lip apart. Rays divide the angle around a vertex
        into equal parts; at the boundary of the scan, as if the missing part were flat. Ray 0 points away from the nose
        tip, as far as the surface allows; at the nose tip itself it bisects the widest corner. Samples beyond a
        boundary are masked. A sample between the boundary of the scan and the outermost vertices of the level takes the
        nearest point of the level, less than `cover` away.

        The triangles of a level are the dual of its Voronoi cells along the surface; edges are flipped if that makes
        the smallest angle larger. A vertex whose cell has only two neighbours has no triangle, and no sample uses it
        except as a centre.

        From the top level downwards, a vertex is kept only if it belongs to the level above or a sample of a kept
        vertex uses it.

        Args:
            scan: In mm, cleaned: see `fer3d.prepare.clean`. Edges of more than two faces, and edges of two faces with
                opposite orientation, count as boundary.
            levels: Numbers of vertices, descending; at least two. If the scan has fewer vertices than the first, all
                are used.
            rings: Fractions of a radius, ascending, in (0, 1]; or a number of rings with equal steps.
            rays: A.
            radii: S radii in mm from level 0 to 1, doubled for each further transition; or S radii per transition.
            start: (3,) The order starts at the vertex nearest to this point, in the frame of the scan. None: the
                landmark "pronasale" if the scan has it, else, after `align.frontal`, the origin.
            top: (L, 3) The points of the top level, such as 68 landmarks; L is the last of `levels`. Each point takes
                the nearest vertex that no earlier point took.
            threads: Number of threads, which share the vertices. The result does not depend on it.

        Raises:
            ArgumentError: if an argument has the wrong type, shape or range, or no start is known.
            PrepareError: if edges connect too few vertices of the scan to the start.

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
        points, faces = _welded(scan)
        nose = _nearest(points, faces, _checked_start(scan, start)[None])
        seeds = nose if top is None else _nearest(points, faces, checked_points("top", top, (sizes[-1], 3)))
        tree = cls._grown(scan, (points, faces), seeds, points[nose[0]], sizes, spans, shares, rays, threads)
        return replace(tree, landmarks=top is not None)

    @classmethod
    def from_rows(
        cls,
        scan: Scan,
        seeds: NDArray[np.int32],
        *,
        rings: Sequence[float],
        rays: int,
        radii: Sequence[Sequence[float]],
        origin: NDArray[np.floating],
        more: int = 1,
    ) -> SampleTree:
        """A tree of two levels whose upper one is given vertices of the scan, in their order.

        Args:
            scan: In mm, cleaned.
            seeds: (N,) int32, rows of vertices that edges join, each once.
            rings, rays, radii: As for `build`.
            origin: (3,) The point from which ray 0 of each stencil points away.
            more: Number of further vertices of level 0, the farthest from the others first.

        Raises:
            PrepareError: if edges connect too few vertices of the scan.
        """
        spans = _checked_radii(radii, 1)
        sizes = (len(seeds) + more, len(seeds))
        return cls._grown(scan, _welded(scan), seeds, origin, sizes, spans, _checked_rings(rings), rays, 1)

    @classmethod
    def _grown(
        cls,
        scan: Scan,
        mesh: tuple[NDArray[np.float64], NDArray[np.int32]],
        seeds: NDArray[np.int32],
        origin: NDArray[np.floating],
        sizes: tuple[int, ...],
        spans: tuple[tuple[float, ...], ...],
        shares: tuple[float, ...],
        rays: int,
        threads: int,
    ) -> SampleTree:
        """The tree of the vertices `seeds` and those farthest from them, with stencils; see `build`."""
        points, faces = mesh
        distances, ring = _distances(spans, shares)
        found, rows, kept, cover, triangles, indices, weights = _native.sample_tree(
            points, faces, seeds, list(sizes), np.asarray(origin, dtype=np.float64), distances, rays, threads
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
        """Size of `arrays` in bytes, as stored on disk."""
        return sum(array.nbytes for array in self.arrays().values())

    def with_features(
        self, scan: Scan, normals: NDArray[np.float32], curvatures: tuple[NDArray[np.float32], NDArray[np.float32]]
    ) -> SampleTree:
        """A copy of the tree with the features of a network at the vertices of level 0.

        Args:
            scan: The scan from which the tree was built.
            normals: (V, 3) float32, the result of `maps.vertex_normals`.
            curvatures: k1, k2, each (V,) float32, the result of `maps.principal_curvatures`.

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
        """Name -> array for the store, the input of `from_arrays`. `fer3d.tree.stencil_code` encodes the stencils."""
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
        """The other input of `from_arrays`: facts for the header of the store."""
        facts = {
            "sizes": list(self.sizes),
            "radii_mm": [list(span) for span in self.radii],
            "rings": list(self.rings),
            "cover_mm": [round(cover, 6) for cover in self.cover],
            "channels": list(CHANNELS),
        }
        return facts | ({"landmarks": True} if self.landmarks else {})

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], facts: Mapping[str, Any]) -> SampleTree:
        """Restore a tree from its `arrays` and `facts`.

        Raises:
            KeyError: if one is missing.
            ArgumentError: if they do not fit each other: an index leads out of its level, or a shape or dtype is wrong.
        """
        sizes = tuple(facts["sizes"])
        _check_stored(arrays, facts)
        stencils = []
        for level in range(len(sizes) - 1):
            code = {name: arrays[f"{PREFIX}{name}_{level}"] for name in stencil_code.NAMES}
            stencil_code.check(
                code, sizes[level], sizes[level + 1], (len(facts["radii_mm"][level]), len(facts["rings"]))
            )
            stencils.append(stencil_code.decode(code))
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
            landmarks=bool(facts.get("landmarks", False)),
        )


def _check_stored(arrays: Mapping[str, NDArray[Any]], facts: Mapping[str, Any]) -> None:
    """Raise ArgumentError unless the arrays at the vertices and the faces of a stored tree fit its sizes."""
    sizes, radii = facts["sizes"], facts["radii_mm"]
    if len(sizes) < 2 or any(a < b for a, b in pairwise(sizes)) or len(radii) != len(sizes) - 1:
        raise ArgumentError(f"`sizes` should be two or more that descend, with radii between, are {sizes} and {radii}")
    if len({len(span) for span in radii}) != 1 or len(facts["cover_mm"]) != len(sizes):
        raise ArgumentError(f"`radii_mm` should be as many for each level, are {radii}, cover {facts['cover_mm']}")
    features = {"normals": 3, "channels": len(CHANNELS), "positions": 3}
    for name, width in features.items():
        if name == "positions" or PREFIX + name in arrays:
            check_dtype(name, arrays[PREFIX + name], np.float32)
            check_shape(name, arrays[PREFIX + name], (sizes[0], width))
            if name != "channels" and not np.isfinite(arrays[PREFIX + name]).all():  # NaN channels: not measured
                raise ArgumentError(f"`{name}` should be finite, holds NaN or infinity")
    check_dtype("rows", arrays[PREFIX + "rows"], np.int32)
    check_shape("rows", arrays[PREFIX + "rows"], (sizes[0],))
    for level, size in enumerate(sizes):
        faces = arrays[f"{PREFIX}faces_{level}"]
        if faces.dtype not in stencil_code.INDICES:
            raise ArgumentError(f"`faces_{level}` should hold uint16 or int32, holds {faces.dtype}")
        check_shape(f"faces_{level}", faces, ("F", 3))
        check_index(f"faces_{level}", faces, size)


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
    """(T, D) distances in mm to trace for each transition, and for each of its S R rings the index of its distance.

    Rings of different radii at the same distance are traced once, unless transitions would then differ in D.
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


def _welded(scan: Scan) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Vertices in float64, and faces whose corners at one position are one vertex."""
    return scan.vertices.astype(np.float64), topology.welded_faces(scan.faces, topology.weld(scan.vertices))


def _nearest(points: NDArray[np.float64], faces: NDArray[np.int32], places: NDArray[np.float64]) -> NDArray[np.int32]:
    """(L,) int32: for each place the nearest vertex of a face that no earlier place took."""
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
