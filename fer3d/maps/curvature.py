"""Normals and curvatures at the vertices of a scan."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fer3d.checks import check_dtype, check_range, check_shape
from fer3d.errors import ArgumentError
from fer3d.kernels import cells, coarse_curvature, curvature, topology
from fer3d.kernels import normals as normal_kernels
from fer3d.scan import Scan, check_scan

# Our choice, in mm. With 1 mm edges a ball of 6 mm holds about 100 vertices: noise of 0.1 mm changes a curvature by
# 0.004 / mm, and the curvature of a sphere of 10 mm radius (a nose tip) comes out 8 % too small. See
# `principal_curvatures`.
CURVATURE_RADIUS = 6.0

LEAST_MEMBERS = 12  # twice the unknowns of a quadric

WIDENINGS = (1.0, 1.5, 2.25)

# Where the edges at a vertex are longer than this share of the radius, its ball holds fewer than ten vertices of an
# even mesh; it then grows in small steps until it holds ten. On coarse versions of four faces (edges of 4 to 11 mm),
# ten vertices and steps of 12 % give the smallest error of the shape index; eight leave vertices without a fit.
_COARSE = 0.6
_COARSE_SHARE = 0.1  # of the vertices: in a mesh with fewer of them, only those that no wider ball suits grow so
_COARSE_MEMBERS = 10
_COARSE_GROWTH = 1.12
_COARSE_MOST = 4.0  # longest edges: a ball of that radius holds 50 vertices of an even mesh, 25 at a boundary

# 1/mm. float32 rounds coordinates at 100 mm to 4e-6 mm; at the default radius this changes a curvature by less.
FLAT = 1e-6

_MOST_CELLS = 1 << 21


def vertex_normals(scan: Scan) -> NDArray[np.float32]:
    """Unit normals at the vertices, outward if the faces are counter-clockwise.

    Faces are weighted by sin(angle) / (product of the two sides) after Max [1]. These weights are exact on any
    triangulation of a sphere and, without noise, the most accurate of the usual weights on a torus or a saddle (the
    errors of angle and area weights are two and five times as large). Vertices at the same position, as at uv seams,
    share a normal.

    Args:
        scan: With at least one face.

    Returns:
        (V, 3) float32. NaN at a vertex without faces, or whose faces all have zero area or NaN corners.

    Raises:
        ArgumentError: if `scan` is not a Scan or has no face.

    References:
        .. [1] Max. Weights for computing vertex normals from facet normals. Journal of Graphics Tools 4(2), 1999.
    """
    check_scan("scan", scan)
    result: NDArray[np.float32] = normal_kernels.vertex_normals(scan.vertices, scan.faces, topology.weld(scan.vertices))
    return result


def principal_curvatures(
    scan: Scan, radius: float = CURVATURE_RADIUS, *, normals: NDArray[np.float32] | None = None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Principal curvatures at the vertices, from a quadric fitted to the vertices within `radius`.

    The neighbours of a vertex are the vertices within `radius` that the mesh connects to it inside that ball and whose
    normals lie within 90 degrees of its own, so that the lips, or an eyelid and the eye, do not mix. In the tangent
    frame we fit h = c + p u + q v + A uu + B uv + C vv by least squares in float64, with the Epanechnikov weight
    1 - (distance / radius)^2, the best for derivatives by local polynomials [1]; k1 and k2 follow from the two
    fundamental forms at the vertex. Because `c` is free, the noise of the vertex itself does not enter directly.

    How to choose `radius`, for vertices with noise of standard deviation s and edges of length e (all in mm; the
    constants are measured on spheres, tori and saddles):

    - noise: the standard deviation of a curvature is about 8 s e / radius^3, in 1/mm; three times that on a boundary;
    - bias: a curvature k comes out too small, by a fraction of about 0.2 (radius k)^2;
    - so radius = (8 s e / d)^(1/3) is the smallest radius for a standard deviation d; it should stay below 1 / k.

    If a ball holds fewer than 12 vertices, its radius is multiplied by 1.5 and then by 2.25. On a coarse mesh, whose
    edges are longer than 0.6 radii at more than a tenth of the vertices, the balls of these vertices grow only until
    they hold 10. Where all this is too few, a ball grows as far as 4 edge lengths: what is smaller than a few edges has
    no curvature there. `fit_curvatures` also returns the radius of each vertex.

    Args:
        scan: In mm, with at least one face.
        radius: Of the neighbourhood, mm.
        normals: (V, 3) float32, the result of `vertex_normals`, if available.

    Returns:
        k1, k2: (V,) float32 in 1/mm, k1 >= k2, positive where convex. NaN where the normal is NaN, where the
            widest ball holds too few vertices, or where these lie too close to a line or a conic for a fit.

    Raises:
        ArgumentError: if `scan` is not a Scan or has no face, `normals` has the wrong shape or dtype, or `radius` is
            not positive or larger than the scan.

    References:
        .. [1] Fan, Gijbels. Local polynomial modelling and its applications. Chapman and Hall, 1996. Section 3.2.
    """
    k1, k2, _ = fit_curvatures(scan, radius, normals=normals)
    return k1, k2


def fit_curvatures(
    scan: Scan, radius: float = CURVATURE_RADIUS, *, normals: NDArray[np.float32] | None = None
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Principal curvatures as `principal_curvatures`, and the radius of the neighbourhood of each vertex.

    Args:
        scan, radius, normals: As for `principal_curvatures`.

    Returns:
        k1, k2: As `principal_curvatures` returns them.
        used: (V,) float32, mm: at least `radius`, and more where the mesh is too coarse for it; NaN where k1 is NaN.

    Raises:
        ArgumentError: as `principal_curvatures`.
    """
    check_scan("scan", scan)
    normals = checked_normals(scan, normals)
    check_range("radius", radius, 1e-6, 1e6, "mm")
    first = topology.weld(scan.vertices)
    use = (first == np.arange(len(first))) & np.isfinite(normals).all(axis=1) & np.isfinite(scan.vertices).all(axis=1)
    k1, k2, used = (np.full(len(first), np.nan) for _ in range(3))
    if use.any():
        points = scan.vertices.astype(np.float64)
        low, high = points[use].min(axis=0), points[use].max(axis=0)
        size = float(np.linalg.norm(high - low))
        if radius > size:
            raise ArgumentError(
                f"`radius` should be less than the size of the scan, {size:.3g}, is {radius:g}: is the scan in mm?"
            )
        todo = use.copy()
        for factor in WIDENINGS:
            rings = _fit_quadrics(
                points, normals, scan.faces, first, use, todo, (low, high), factor * radius, k1, k2, used
            )
            if not todo.any():
                break
            if factor == 1.0 and todo.sum() > _COARSE_SHARE * use.sum():
                _fit_coarse(rings, todo, radius, _COARSE, _COARSE_SHARE, k1, k2, used)
        else:  # also for short edges in the middle of a coarse mesh, as where it was cut
            if _COARSE_MOST * _longest_edge(points, scan.faces, todo[first]) > WIDENINGS[-1] * radius:
                _fit_coarse(rings, todo, radius, 0.0, 0.0, k1, k2, used)
    used[np.isnan(k1)] = np.nan
    return tuple(values[first].astype(np.float32) for values in (k1, k2, used))  # type: ignore[return-value]


def _longest_edge(points: NDArray[np.float64], faces: NDArray[np.int32], chosen: NDArray[np.bool_]) -> float:
    """Length of the longest edge of the faces with a chosen vertex, (V,) bool; 0 if there is none."""
    corners = points[faces[chosen[faces[:, 0]] | chosen[faces[:, 1]] | chosen[faces[:, 2]]]]
    return float(np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2).max(initial=0.0))


class _Rings(NamedTuple):
    """The vertices in use, M of them: their rows, positions, smoothed normals (float64), and `curvature.links`."""

    rows: NDArray[np.int32]
    points: NDArray[np.float64]
    normals: NDArray[np.float64]
    start: NDArray[np.int32]
    other: NDArray[np.int32]


def _fit_coarse(
    rings: _Rings,
    todo: NDArray[np.bool_],
    radius: float,
    coarse: float,
    share: float,
    k1: NDArray[np.float64],
    k2: NDArray[np.float64],
    used: NDArray[np.float64],
) -> None:
    """Fit the vertices in `todo` whose edges are longer than `coarse` radii with balls that grow, in place.

    Nothing is fitted if they are no more than `share` of all vertices.
    """
    mesh = rings.points, rings.normals, rings.start, rings.other, todo[rings.rows]
    how = float(radius), coarse, _COARSE_GROWTH, _COARSE_MOST, _COARSE_MEMBERS
    larger, smaller, balls = coarse_curvature.coarse_curvatures(*mesh, *how)
    fitted = np.isfinite(balls)
    if fitted.mean() <= share:
        return
    done = rings.rows[fitted]
    k1[done], k2[done], used[done] = larger[fitted], smaller[fitted], balls[fitted]
    todo[done] = False


def _fit_quadrics(
    points: NDArray[np.float64],
    normals: NDArray[np.float32],
    faces: NDArray[np.int32],
    first: NDArray[np.int32],
    use: NDArray[np.bool_],
    todo: NDArray[np.bool_],
    box: tuple[NDArray[np.float64], NDArray[np.float64]],
    radius: float,
    k1: NDArray[np.float64],
    k2: NDArray[np.float64],
    used: NDArray[np.float64],
) -> _Rings:
    """Fit the vertices in `todo` with one radius, in place; vertices with too few members stay in `todo`."""
    cell, shape = _cell_grid(*box, radius / 2)
    order, begin = cells.cell_table(points, use, cell, box[0], shape)
    position = np.full(len(points), -1, dtype=np.int32)
    position[order] = np.arange(len(order), dtype=np.int32)
    start, other, boundary = curvature.links(faces, first, position, len(order))
    frames = curvature.ring_mean(normals[order], start, other).astype(np.float64)
    rings = _Rings(order, points[order], frames, start, other)
    larger, smaller, members = curvature.principal_curvatures(
        rings.points, frames, begin, shape, start, other, boundary, todo[order], float(radius), LEAST_MEMBERS
    )
    done = order[todo[order] & (members >= LEAST_MEMBERS)]
    k1[done], k2[done], used[done] = larger[position[done]], smaller[position[done]], radius
    todo[done] = False
    return rings


def _cell_grid(low: NDArray[np.float64], high: NDArray[np.float64], cell: float) -> tuple[float, NDArray[np.int64]]:
    """Side of the cells (at least `cell`) and their number along x, y, z. A stray vertex makes the cells larger."""
    while True:
        shape = np.floor((high - low) / cell) + 1
        if shape.prod() <= _MOST_CELLS:
            return cell, shape.astype(np.int64)
        cell *= 2.0


def shape_index(k1: ArrayLike, k2: ArrayLike) -> NDArray[np.floating]:
    """Koenderink's shape index [1] from 1 to 0: 1 cap, 0.75 ridge, 0.5 saddle, 0.25 rut, 0 cup.

    1/2 + atan((k1 + k2) / (k1 - k2)) / pi, for curvatures that are positive where convex. It depends neither on scale
    nor on the order of the two. NaN where the surface is flat (both within 1e-6 / mm of zero, where the ratio would
    consist of rounding errors) and where either is NaN.

    Args:
        k1, k2: 1/mm, of any shapes that broadcast.

    Returns:
        The shape index, of the common shape; float32 for float32 input, else float64.

    References:
        .. [1] Koenderink, van Doorn. Surface shape and curvature scales. Image and Vision Computing 10(8), 1992.

    >>> shape_index([0.1, 0.1, 0.1, 0.0, -0.1, 0.0], [0.1, 0.0, -0.1, -0.1, -0.1, 0.0])
    array([1.  , 0.75, 0.5 , 0.25, 0.  ,  nan])
    """
    k1, k2 = _curvature_pair(k1, k2)
    index = 0.5 + np.arctan2(k1 + k2, np.abs(k1 - k2)) / k1.dtype.type(np.pi)
    flat = np.maximum(np.abs(k1), np.abs(k2)) <= FLAT
    return np.where(flat, k1.dtype.type(np.nan), index)


def curvedness(k1: ArrayLike, k2: ArrayLike) -> NDArray[np.floating]:
    """Curvedness, sqrt((k1^2 + k2^2) / 2), 1/mm: how strongly the surface bends. Koenderink and van Doorn 1992."""
    k1, k2 = _curvature_pair(k1, k2)
    result: NDArray[np.floating] = np.sqrt((k1 * k1 + k2 * k2) * k1.dtype.type(0.5))
    return result


def mean_curvature(k1: ArrayLike, k2: ArrayLike) -> NDArray[np.floating]:
    """Mean curvature (k1 + k2) / 2, 1/mm: positive on a sphere."""
    k1, k2 = _curvature_pair(k1, k2)
    return (k1 + k2) * k1.dtype.type(0.5)  # type: ignore[no-any-return]


def gaussian_curvature(k1: ArrayLike, k2: ArrayLike) -> NDArray[np.floating]:
    """Gaussian curvature k1 * k2, 1/mm^2."""
    k1, k2 = _curvature_pair(k1, k2)
    return k1 * k2


def _curvature_pair(k1: ArrayLike, k2: ArrayLike) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    a, b = np.asarray(k1), np.asarray(k2)
    kind = np.float32 if a.dtype == np.float32 and b.dtype == np.float32 else np.float64
    try:
        a, b = np.broadcast_arrays(a.astype(kind), b.astype(kind))
    except ValueError:
        raise ArgumentError(f"`k1` and `k2` should have shapes that broadcast, have {a.shape} and {b.shape}") from None
    return a, b


def checked_normals(scan: Scan, normals: NDArray[np.float32] | None) -> NDArray[np.float32]:
    """`normals` if they are (V, 3) float32; `vertex_normals` of the scan if they are None; ArgumentError otherwise."""
    if normals is None:
        return vertex_normals(scan)
    check_dtype("normals", normals, np.float32)
    check_shape("normals", normals, (len(scan.vertices), 3))
    return normals
