"""How large a mesh is along each axis, without crumbs and stray points. No argument checks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fer3d.kernels import topology

_STRAY = 100  # of this many vertices one is left out at each end of each axis
_INNER = 10  # of this many vertices one is left out to measure the inner part
_LOOSE = 2.0  # a face is 1.3 times as long as its inner part; far crumbs make a mesh longer than this
_CRUMB = 0.02  # share of the largest component's area below which a component is a crumb
_PIECE = 5e-4  # share from which a component may be the one that matters: a face is this much of a wall of 6 m
_MOST_PIECES = 8


def trimmed_extents(vertices: NDArray[np.float32], faces: NDArray[np.int32]) -> NDArray[np.float64]:
    """(3,) float64: sides of the bounding box without the outermost hundredth of the used vertices at each end.

    NaN if no face has a finite vertex.
    """
    return _trimmed(_used(vertices, faces), _STRAY)


def are_loose(vertices: NDArray[np.float32], faces: NDArray[np.int32]) -> bool:
    """Whether a few vertices lie so far from the others that they alone decide how long the mesh is."""
    points = _used(vertices, faces)
    return bool(_trimmed(points, _STRAY).max() > _LOOSE * _trimmed(points, _INNER).max())


def component_extents(vertices: NDArray[np.float32], faces: NDArray[np.int32]) -> list[NDArray[np.float64]]:
    """Extents as `trimmed_extents` gives them: of all components but crumbs, then of each large one by itself.

    Crumbs are below a fiftieth of the area of the largest component. The large ones come in descending area.
    """
    faces = faces[np.isfinite(vertices[faces]).all(axis=(1, 2))]
    if not len(faces):
        return []
    welded = topology.welded_faces(faces, topology.weld(vertices))
    label, _, count = topology.components(welded, topology.face_neighbours(welded, len(vertices)))
    areas = topology.component_areas(vertices, welded, label, count)
    all_but_crumbs = trimmed_extents(vertices, faces[areas[label] >= _CRUMB * areas.max()])
    order = [p for p in np.argsort(-areas, kind="stable")[:_MOST_PIECES] if areas[p] >= _PIECE * areas.max()]
    return [all_but_crumbs, *(trimmed_extents(vertices, faces[label == p]) for p in order if count > 1)]


def main_extents(vertices: NDArray[np.float32], faces: NDArray[np.int32]) -> NDArray[np.float64]:
    """(3,) float64: `trimmed_extents`, without crumbs if these decide it."""
    if are_loose(vertices, faces):
        return component_extents(vertices, faces)[0]
    return trimmed_extents(vertices, faces)


def _used(vertices: NDArray[np.float32], faces: NDArray[np.int32]) -> NDArray[np.float32]:
    """The finite vertices of the faces."""
    used = np.zeros(len(vertices), np.bool_)
    used[faces] = True
    points = vertices[used]
    finite: NDArray[np.float32] = points[np.isfinite(points).all(axis=1)]
    return finite


def _trimmed(points: NDArray[np.float32], one_in: int) -> NDArray[np.float64]:
    if not len(points):
        return np.full(3, np.nan)
    low, high = len(points) // one_in, len(points) - 1 - len(points) // one_in
    ends = [np.partition(column, (low, high))[[low, high]].astype(np.float64) for column in points.T]
    return np.array([most - least for least, most in ends])
