"""Make a triangle mesh of a point cloud that one sensor, or a few beside each other, measured.

The points are seen from the sensor (`fer3d.formats.cloud_view`), those that fall together are averaged, and a Delaunay
triangulation of the picture joins neighbours. Triangles with a long edge, in the picture or in depth, are left out.
Where several views overlap, as many points fall together, and their layers interleave; depths of neighbours are then
averaged until the surface is no saw. The points of one view stay where they are. All lengths are in units of the point
spacing, so that the unit of the file has no effect. The order of the points has none on the surface; its vertices keep
it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import Delaunay, QhullError, cKDTree

from fer3d.formats.cloud_view import NEIGHBOURS, View, plane_residual

LONGEST_EDGE = 8.0  # spacings; as in `fer3d.formats.range_grid`
LONGEST_GAP = 5.0  # spacings in the picture
_STEPS = 3.0  # depth steps of a coarse sensor that an edge may span
_USUAL = 4.0  # an edge may span as many times the depth that one edge in ten exceeds
_LINE = 0.002  # height in lengths of a triangle whose corners lie on a line
_THIN, _PEELS = 0.2, 12  # the same of a sliver; slivers are taken off the border so many times
_TOGETHER = 0.5  # spacings: points in one cell of this size are averaged
_CLUSTERED = 0.2  # points are averaged again while that makes this share of them fewer
_ASKED = 20_000  # points whose neighbours give the spacing
_OVERLAP = 0.02  # share of points that fall together where two views overlap; one sensor measures them apart
_ROUGH, _SMOOTHINGS = 0.3, 4  # layers interleave above this median roughness in spacings; largest number of averages


@dataclass(frozen=True, eq=False)
class Meshed:
    """A mesh of a cloud.

    Attributes:
        vertices: (V, 3) float64.
        faces: (F, 3) int32. Counter-clockwise seen from the viewer.
        row: (V,) int64. The first point of the cloud that each vertex comes from.
        of_point: (N,) int64. The vertex of each point; -1: left out.
        record: Details for the history.
    """

    vertices: NDArray[np.float64]
    faces: NDArray[np.int32]
    row: NDArray[np.int64]
    of_point: NDArray[np.int64]
    record: dict[str, Any]


def mesh(points: NDArray[np.float64], view: View) -> Meshed | None:
    """Mesh points (N, 3) float64, finite, in a view; None if they lie on a line of the picture."""
    seen = np.flatnonzero(view.in_front(points))
    seen = seen[np.lexsort(points[seen].T)]
    vertices, row, of_point = points[seen], seen, np.full(len(points), -1, np.int64)
    of_point[seen] = np.arange(len(seen))
    vertices, row, of_point, spacing = _averaged_together(vertices, row, of_point, view)
    if not spacing > 0 or len(vertices) < 3:
        return None
    picture, depth = view.project(vertices)
    kept = _surface(picture, depth, spacing)
    if kept is None:
        return None
    used = np.unique(kept)
    merged, flat, smoothed = len(seen) - len(vertices), depth, 0
    several = merged > _OVERLAP * len(seen)
    while several and smoothed < _SMOOTHINGS and _roughness(picture, flat, used, spacing) > _ROUGH:
        flat, smoothed = _averaged(flat, kept), smoothed + 1
    if smoothed:
        vertices = view.at_depth(vertices, depth, flat)
    order = used[np.argsort(row[used])]
    rank = np.full(len(vertices) + 1, -1, np.int64)  # the last row is that of points without a vertex
    rank[order] = np.arange(len(order))
    record = {"view": view.name, "spacing": round(spacing, 9), "averaged_points": merged, "smoothed": smoothed}
    return Meshed(vertices[order], rank[kept].astype(np.int32), row[order], rank[of_point], record)


def _averaged_together(
    vertices: NDArray[np.float64], row: NDArray[np.int64], of_point: NDArray[np.int64], view: View
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64], float]:
    """Average the points that fall together, again while that makes many of them fewer: clumps have small spacings.

    Args and results: vertices (V, 3), the first point of each (V,), the vertex of each point (N,), and the spacing.
    """
    shrunk, spacing = True, 0.0
    while shrunk:
        picture, depth = view.project(vertices)
        spacing = _spacing(picture) or _spacing(np.unique(picture, axis=0))  # points repeated many times have none
        if not spacing > 0:
            break
        group, count = _together(picture, depth, spacing)
        shrunk = count < (1 - _CLUSTERED) * len(vertices)
        if count < len(vertices):
            known = of_point >= 0
            of_point[known] = group[of_point[known]]
            first = np.full(count, len(of_point))
            np.minimum.at(first, group, row)
            vertices, row = _means(group, count, vertices), first
            spacing = _spacing(view.project(vertices)[0])
    return vertices, row, of_point, spacing


def _surface(picture: NDArray[np.float64], depth: NDArray[np.float64], spacing: float) -> NDArray[np.int64] | None:
    """The faces between neighbours (F, 3); None if there are none.

    Points that no face keeps, such as specks before the surface, make holes: the rest is triangulated without them.
    """
    inside, kept = np.arange(len(picture)), np.empty((0, 3), np.int64)
    for _ in range(2):
        faces = _triangulated(picture[inside], spacing) if len(inside) >= 3 else None
        if faces is None:
            return None
        faces = inside[faces]
        kept = _without_slivers(picture, faces[_short(picture, depth, faces, spacing)])
        used = np.unique(kept)
        if len(used) == len(inside):
            break
        inside = used
    return kept if len(kept) else None


def longest(depths: NDArray[np.float64], edge_depth: NDArray[np.float64], spacing: float) -> float:
    """The longest edge of a surface. Coarse sensors measure in steps, which must not tear it.

    Args:
        depths: (N,) float64. Depths of the points.
        edge_depth: (E,) float64. Differences of depth along the edges between neighbours.
        spacing: Of the points.
    """
    usual = float(np.percentile(np.abs(edge_depth), 90.0)) if len(edge_depth) else 0.0
    return max(LONGEST_EDGE * spacing, _STEPS * depth_step(depths), _USUAL * usual)


def depth_step(depths: NDArray[np.float64]) -> float:
    """The step in which depths are measured; 0 if more than a tenth of them differ."""
    scale = float(np.ptp(depths)) if len(depths) else 0.0
    if not scale > 0:
        return 0.0
    levels = np.unique(np.round(depths / scale * 1e5)) * scale / 1e5
    return float(np.median(np.diff(levels))) if 1 < len(levels) <= 0.1 * len(depths) else 0.0


def bulge(vertices: NDArray[np.float64], faces: NDArray[np.integer]) -> float:
    """Correlation of the place and the normal of the faces, in [-1, 1]: positive where a surface bulges outwards."""
    corners = vertices[faces]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = np.linalg.norm(normal, axis=1)
    if not area.sum() > 0:
        return 0.0
    weight, unit = area / area.sum(), normal / np.maximum(area, 1e-300)[:, None]
    place = corners.mean(axis=1)
    place, unit = place - weight @ place, unit - weight @ unit
    together = weight @ np.einsum("fi,fi->f", place, unit)
    spread = (weight @ np.einsum("fi,fi->f", place, place)) * (weight @ np.einsum("fi,fi->f", unit, unit))
    return float(together / np.sqrt(spread)) if spread > 0 else 0.0


def _spacing(picture: NDArray[np.float64]) -> float:
    """The side of the square that a point of the picture has for itself, from the distance of its sixth neighbour."""
    count = min(6, len(picture) - 1)
    if count < 1:
        return 0.0
    asked = picture
    if len(picture) > _ASKED:
        asked = picture[np.random.default_rng(0).choice(len(picture), _ASKED, replace=False)]
    distance, _ = cKDTree(picture).query(asked, count + 1)
    return float(np.median(distance[:, -1]) * np.sqrt(np.pi / count))


def _together(
    picture: NDArray[np.float64], depth: NDArray[np.float64], spacing: float
) -> tuple[NDArray[np.int64], int]:
    """Group the points that fall into one cell of the picture at about one depth: (N,) group, and their count."""
    place = np.column_stack([picture / (_TOGETHER * spacing), depth / (LONGEST_EDGE * spacing)])
    place = np.minimum(np.floor(place - place.min(axis=0)), 2.0**62).astype(np.int64)
    order = np.lexsort(place.T)
    new = np.concatenate([[True], (np.diff(place[order], axis=0) != 0).any(axis=1)])
    group = np.empty(len(order), np.int64)
    group[order] = np.cumsum(new) - 1
    return group, int(new.sum())


def _means(group: NDArray[np.int64], count: int, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """(count, 3): mean of values (N, 3) in each group."""
    number = np.bincount(group, minlength=count)
    return np.stack([np.bincount(group, values[:, k], count) / number for k in range(3)], axis=1)


def _triangulated(picture: NDArray[np.float64], spacing: float) -> NDArray[np.int64] | None:
    """Delaunay triangles, counter-clockwise; None if all points lie on a line.

    Points on a grid have no single triangulation, which slows the search down, so that all are moved a little.
    """
    moved = (picture - np.median(picture, axis=0)) / spacing
    moved = moved + np.random.default_rng(0).uniform(-1e-3, 1e-3, moved.shape)
    try:
        faces: NDArray[np.int64] = Delaunay(moved).simplices.astype(np.int64)
    except (QhullError, ValueError):
        return None
    a, b, c = (moved[faces[:, k]] for k in range(3))
    turn = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    faces[turn < 0] = faces[turn < 0][:, ::-1]
    return faces


def _short(
    picture: NDArray[np.float64], depth: NDArray[np.float64], faces: NDArray[np.int64], spacing: float
) -> NDArray[np.bool_]:
    """(F,) bool: whether no edge of a face is too long. Where points are sparse, longer ones are allowed."""
    local = _local_spacing(picture, np.unique(faces), spacing)
    ends = faces[:, [[0, 1], [1, 2], [2, 0]]]  # (F, 3, 2)
    across = np.linalg.norm(picture[ends[..., 0]] - picture[ends[..., 1]], axis=2)
    along = np.abs(depth[ends[..., 0]] - depth[ends[..., 1]])
    allowed = np.minimum(local[ends[..., 0]], local[ends[..., 1]])
    near = across <= LONGEST_GAP * allowed
    limit = longest(depth, along[near], spacing)
    return np.asarray((near & (np.hypot(across, along) <= limit * allowed / spacing)).all(axis=1))


def _without_slivers(picture: NDArray[np.float64], faces: NDArray[np.int64]) -> NDArray[np.int64]:
    """The faces without flat ones along the border: points on a line there are no surface, whatever their depths."""
    faces = faces[_flatness(picture, faces)[0] > _LINE]
    for _ in range(_PEELS):
        flatness, longest_side = _flatness(picture, faces)
        thin = flatness < _THIN
        if not thin.any():
            break
        ends = np.sort(faces[:, [[0, 1], [1, 2], [2, 0]]], axis=2)  # (F, 3, 2)
        key = ends[..., 0] * len(picture) + ends[..., 1]
        _, at, count = np.unique(key, return_inverse=True, return_counts=True)
        border = (count[at.reshape(key.shape)] == 1)[np.arange(len(faces)), longest_side]
        if not (thin & border).any():
            break
        faces = faces[~(thin & border)]
    return faces


def _flatness(picture: NDArray[np.float64], faces: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Height over length of each face in the picture, and which of its sides is the longest."""
    a, b, c = (picture[faces[:, k]] for k in range(3))
    sides = np.stack([((b - a) ** 2).sum(1), ((c - b) ** 2).sum(1), ((a - c) ** 2).sum(1)], axis=1)
    area = np.abs((b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0]))
    return area / np.maximum(sides.max(axis=1), 1e-300), np.argmax(sides, axis=1)


def _local_spacing(picture: NDArray[np.float64], rows: NDArray[np.int64], spacing: float) -> NDArray[np.float64]:
    """(N,): spacing about each point, at least that of the cloud and at most four times as much."""
    local = np.full(len(picture), spacing)
    count = min(6, len(rows) - 1)
    distance, _ = cKDTree(picture[rows]).query(picture[rows], count + 1)
    # The median of the six distances: half of the neighbours of a point at the border are missing.
    local[rows] = np.clip(np.median(distance[:, 1:], axis=1) * 0.85, spacing, 4 * spacing)
    return local


def _roughness(
    picture: NDArray[np.float64], depth: NDArray[np.float64], rows: NDArray[np.int64], spacing: float
) -> float:
    """Median distance of depths from the plane through their neighbours, in spacings."""
    place = picture[rows]
    _, near = cKDTree(place).query(place, min(NEIGHBOURS, len(rows) - 1) + 1)
    return float(np.median(plane_residual(place, depth[rows], near))) / spacing


def _averaged(depth: NDArray[np.float64], faces: NDArray[np.int64]) -> NDArray[np.float64]:
    """(N,): mean of the depth of each point and its neighbours."""
    ends = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    ends = np.unique(np.concatenate([ends, ends[:, ::-1]]), axis=0)
    total = depth + np.bincount(ends[:, 0], depth[ends[:, 1]], len(depth))
    return np.asarray(total / (1 + np.bincount(ends[:, 0], minlength=len(depth))))
