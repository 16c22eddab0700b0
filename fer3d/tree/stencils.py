"""Geodesic stencils of a mesh: samples around a vertex, along rays and at rings; and farthest-point sampling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fer3d import _native
from fer3d.checks import check_dtype, check_index, check_shape
from fer3d.errors import ArgumentError

RAYS = 8


def geodesic_stencils(
    vertices: NDArray[np.floating],
    faces: NDArray[np.int32],
    sources: NDArray[np.int32],
    radii: Sequence[float],
    rays: int = RAYS,
    *,
    direction: ArrayLike | None = None,
    threads: int = 1,
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Samples in geodesic polar coordinates around vertices of a mesh: its exponential map.

    Rays are straightest geodesics [1] in float64. On a sphere of 50 mm with 10,242 irregular vertices, samples at 10 mm
    have errors of 0.002 mm and 0.02 degrees; on a plane, rounding errors only. A ray ends where the surface ends:
    at a boundary, at an edge of more than two faces or of two faces with opposite orientation, and at a face with a
    corner that is not finite or with two corners at the same position. At a vertex where two parts of the surface
    touch, rays follow the part with the larger angle.

    Args:
        vertices: (V, 3) float32 or float64.
        faces: (F, 3) int32, counter-clockwise from outside.
        sources: (N,) int32. Rows of `vertices`. A source without a face has only masked samples.
        radii: K distances, ascending, above zero.
        rays: A. The rays divide the angle around the source equally; at a boundary, as if the missing part were flat.
        direction: (N, 3) or (3,) Direction of ray 0 of each source, which it follows as far as the surface allows.
            None, or a direction normal to the surface: ray 0 bisects the widest corner at the source.
        threads: Number of threads, which share the sources. The result does not depend on it.

    Returns:
        indices: (N, K, A, 3) int32, rows of `vertices`; the source itself where a sample is masked.
        weights: (N, K, A, 3) float64 in [0, 1] that sum to 1; three zeros where a sample is masked.

    Raises:
        ArgumentError: if an argument has the wrong type, shape or range.

    References:
        .. [1] Polthier, Schmies. Straightest geodesics on polyhedral surfaces. Mathematical Visualization, 1998.
    """
    points, faces = checked_mesh(vertices, faces)
    check_dtype("sources", sources, np.int32)
    check_shape("sources", sources, ("N",))
    check_index("sources", sources, len(points))
    distances = np.array([checked_number("radii", radius) for radius in radii])
    if not len(distances) or distances[0] <= 0 or (np.diff(distances) <= 0).any():
        raise ArgumentError(f"`radii` should be ascending distances above zero, are {list(radii)}")
    check_count("rays", rays, 1 << 10)
    check_count("threads", threads, 1 << 10)
    if direction is None:
        towards = np.zeros((len(sources), 3))
    else:
        given = np.asarray(direction, dtype=np.float64)
        towards = np.ascontiguousarray(np.broadcast_to(given, (len(sources), 3)) if given.shape == (3,) else given)
        checked_points("direction", towards, (len(sources), 3))
    return _native.geodesic_stencils(points, faces, np.ascontiguousarray(sources), towards, distances, rays, threads)


def farthest_points(
    vertices: NDArray[np.floating], faces: NDArray[np.int32], seeds: NDArray[np.int32], count: int
) -> tuple[NDArray[np.int32], NDArray[np.int32], float]:
    """Farthest-point sampling [1]: order vertices by the distance along the surface.

    The distance comes from a front that marches over the triangles and sees its source through the edge that it crossed
    last, unfolded. On a plane it is nearly exact: the chosen vertex was up to 1 % nearer than the farthest on regular
    triangles, and up to 8 % on the irregular ones of a jittered grid. On a sphere the error is 0.1 % a quarter of the
    way round and 1.3 % at the antipode. If several vertices are farthest, the one farthest from the
    seeds comes first, then the one with the lowest row.

    Args:
        vertices: (V, 3) float32 or float64.
        faces: (F, 3) int32.
        seeds: (n,) int32, n >= 1. The first vertices of the order.
        count: Number of vertices to find, at least n.

    Returns:
        order: (count,) int32, or fewer if edges connect fewer vertices to the seeds.
        owner: (V,) int32. The position in `order` of the nearest vertex; -1 where edges lead to none of them.
        cover: The largest distance of a vertex from its owner.

    Raises:
        ArgumentError: if an argument has the wrong type, shape or range.

    References:
        .. [1] Eldar, Lindenbaum, Porat, Zeevi. The farthest point strategy for progressive image sampling. IEEE
           Transactions on Image Processing 6(9), 1997.
    """
    points, faces = checked_mesh(vertices, faces)
    check_dtype("seeds", seeds, np.int32)
    check_shape("seeds", seeds, ("n",))
    check_index("seeds", seeds, len(points))
    if not len(seeds) or len(np.unique(seeds)) < len(seeds):
        raise ArgumentError(f"`seeds` should be at least one row and no row twice, are {seeds.tolist()}")
    check_count("count", count, 1 << 31, low=len(seeds))
    order, owners, cover = _native.farthest_points(points, faces, np.ascontiguousarray(seeds), [count])
    return order, owners[0], float(cover[0])


def checked_mesh(
    vertices: NDArray[np.floating], faces: NDArray[np.int32]
) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    if not isinstance(vertices, np.ndarray) or vertices.dtype not in (np.float32, np.float64):
        came = vertices.dtype if isinstance(vertices, np.ndarray) else type(vertices).__name__
        raise ArgumentError(f"`vertices` should be a NumPy array of float32 or float64, is {came}")
    check_shape("vertices", vertices, ("V", 3))
    check_dtype("faces", faces, np.int32)
    check_shape("faces", faces, ("F", 3))
    check_index("faces", faces, len(vertices))
    return np.ascontiguousarray(vertices, dtype=np.float64), np.ascontiguousarray(faces)


def checked_points(name: str, points: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.float64]:
    try:
        array = np.ascontiguousarray(points, dtype=np.float64)
    except (TypeError, ValueError):
        raise ArgumentError(f"`{name}` should hold numbers of shape {shape}, is {points!r}") from None
    check_shape(name, array, shape)
    if not np.isfinite(array).all():
        raise ArgumentError(f"`{name}` should be finite, holds {array[~np.isfinite(array)][0]}")
    return array


def check_count(name: str, value: int, high: int, low: int = 1) -> None:
    if not isinstance(value, int | np.integer) or not low <= value <= high:
        raise ArgumentError(f"`{name}` should be a whole number in [{low}, {high}], is {value!r}")


def checked_number(name: str, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise ArgumentError(f"`{name}` should hold numbers, holds {value!r}") from None
    if not np.isfinite(number):
        raise ArgumentError(f"`{name}` should hold finite numbers, holds {value!r}")
    return number
