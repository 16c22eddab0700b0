"""Make a scan of points without faces: mesh those that a sensor measured from one side, refuse others.

A range image (`grid`) has its neighbours by rows and columns. Other clouds are meshed as `fer3d.formats.cloud_mesh`
tells, if there is a view in which they are one layer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer3d.errors import FormatError
from fer3d.formats import cloud_mesh
from fer3d.formats.cloud_view import MOST_LAYERED, View, best_view, from_place, is_outside, layered
from fer3d.formats.parts import MOST_VERTICES, Part, join
from fer3d.formats.range_grid import triangulate
from fer3d.scan import Scan

MOST_POINTS = 1_000_000  # without a grid: they take about a minute
LEAST_POINTS = 25

_WAY_OUT = "mesh it first, for instance by Poisson reconstruction in MeshLab or Open3D, and give the mesh (.ply)"
_LARGEST, _SMALLEST = 1e30, 1e-30  # coordinates that were measured, and the size of a cloud
_FAR = 20.0  # points further than so many sizes of the cloud from its middle are no part of it
_LEAST_USED = 0.5  # share of the points that have to lie on the surface
_LEAST_FACES, _FEW = 1.5, 100  # a vertex; a surface has two; few vertices are mostly border and need one
_BULGES = 0.1  # a surface that bulges less may be seen from either side
_HOLLOW = -0.3  # one that is so hollow as seen from the origin was not measured from there


def scan_of_points(
    path: Path,
    kind: str,
    points: NDArray[np.floating],
    colours: NDArray[np.float32] | None = None,
    *,
    grid: tuple[int, int] | None = None,
    texture: bool = True,
    record: Mapping[str, Any] | None = None,
    warnings: Sequence[str] = (),
    sensor: NDArray[np.float64] | None = None,
) -> Scan:
    """Make a scan of points alone.

    Args:
        path: The file, for messages and the history.
        kind: Name of its format for the history.
        points: (N, 3) floating. NaN and infinite rows, those beyond 1e30, and repeated rows 0 0 0, were not measured.
        colours: (N, 3) float32 in [0, 255], or None. sRGB; NaN where a point has none.
        grid: Rows and columns, if the points are a range image, row by row. None: in any order.
        texture: As in `fer3d.formats.read`.
        record: Further entries of the history record.
        warnings: What the reader noticed, without the file's name.
        sensor: (3,) float64, or None. Where the sensor was, if the file says so.

    Returns:
        The scan, in the frame of the points. Faces are counter-clockwise seen from the sensor; where its place is
        unknown, from the side to which the surface bulges. Vertices keep the order of the points;
        `file_vertex` is the index of the point, the first where several were averaged. The history record says from
        where the points were seen.

    Raises:
        FormatError: if the points are too few or too many, lie on a line, or are not one layer in any view.
    """
    with np.errstate(invalid="ignore"):  # a damaged file may hold signalling NaN
        exact: NDArray[np.float64] = np.asarray(points, np.float64)
    measured = _measured(exact)
    if measured.sum() < LEAST_POINTS and grid is None:
        wanted = f"at least one face was wanted, or {LEAST_POINTS} points of a surface"
        raise FormatError("; ".join((f"{path}: {wanted}; it has {measured.sum()} points and 0 faces", *warnings[:3])))
    if len(points) > MOST_VERTICES:
        raise FormatError(f"{path}: a scan has at most {MOST_VERTICES} points, it has {len(points)}: thin it")
    notes = list(warnings)
    if grid is None:
        part, how = _of_cloud(path, exact, measured, colours, sensor, notes)
    else:
        part, how = _of_grid(path, exact.reshape(*grid, 3), measured.reshape(grid), colours, sensor, notes)
    details = {**(record or {}), "meshed": how}
    return join(path, kind, [part], texture=texture, warnings=notes, record=details)


def _measured(points: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(N,) bool. Sensors that write 0 0 0 for what they did not measure do so more than once."""
    with np.errstate(over="ignore", invalid="ignore"):
        finite = np.isfinite(points).all(axis=1) & (np.abs(points) < _LARGEST).all(axis=1)
    zero = (points == 0).all(axis=1)
    return np.asarray(finite & ~zero if np.count_nonzero(zero) > 1 else finite)


def _of_grid(
    path: Path,
    points: NDArray[np.float64],
    measured: NDArray[np.bool_],
    colours: NDArray[np.float32] | None,
    sensor: NDArray[np.float64] | None,
    notes: list[str],
) -> tuple[Part, dict[str, Any]]:
    faces, pitch = triangulate(points, measured, longest_edge=_longest_edge(points, measured))
    vertices = points[measured]
    if not len(faces) or not pitch > _SMALLEST:
        raise FormatError(
            f"{path}: neighbouring points of a surface were wanted, its {points.shape[0]} x {points.shape[1]} points "
            f"give no triangle; {len(vertices)} are measured"
        )
    sensor = _usable(sensor, vertices, notes)
    view = from_place(np.zeros(3), vertices, "origin") if sensor is None else None
    centre = sensor if sensor is not None else None if view is None else view.centre
    faces, how = _oriented(vertices, faces, centre, sensor is not None, notes)
    row = np.flatnonzero(measured.ravel()).astype(np.int32)
    part = Part(vertices, faces, colours=None if colours is None else colours[row], row=row, points=measured.size)
    return part, {"grid": [int(n) for n in measured.shape], "spacing": round(pitch, 9), **how}


def _longest_edge(points: NDArray[np.float64], measured: NDArray[np.bool_]) -> float:
    """The longest edge of a range image, in pitches."""
    clean = np.where(measured[..., None], points, np.nan)
    edges = np.concatenate([(clean[:, 1:] - clean[:, :-1]).reshape(-1, 3), (clean[1:] - clean[:-1]).reshape(-1, 3)])
    edges = edges[np.isfinite(edges).all(axis=1)]
    pitch = float(np.median(np.linalg.norm(edges, axis=1))) if len(edges) else 0.0
    if not 0 < pitch < 1e100:
        return cloud_mesh.LONGEST_EDGE
    axis = int(np.argmin(np.median(np.abs(edges), axis=0)))  # neighbours of a surface differ least along the view
    return cloud_mesh.longest(points[measured][:, axis], edges[:, axis], pitch) / pitch


def _of_cloud(
    path: Path,
    points: NDArray[np.float64],
    measured: NDArray[np.bool_],
    colours: NDArray[np.float32] | None,
    sensor: NDArray[np.float64] | None,
    notes: list[str],
) -> tuple[Part, dict[str, Any]]:
    rows = np.flatnonzero(measured)
    rows = rows[_together(points[rows])]
    if len(rows) > MOST_POINTS:
        raise FormatError(
            f"{path}: a cloud has at most {MOST_POINTS} points, it has {len(rows)}: thin it, or {_WAY_OUT}"
        )
    cloud = points[rows]
    _check_spread(path, cloud)
    made, faces, how = _meshed(path, cloud, sensor, notes)
    part = Part(
        made.vertices,
        faces,
        colours=None if colours is None else _mean_colours(colours[rows], made),
        row=rows[made.row].astype(np.int32),
        points=len(points),
    )
    left_out = len(points) - int(np.count_nonzero(made.of_point >= 0))
    return part, {**made.record, "left_out_points": left_out, **how}


def _meshed(
    path: Path, cloud: NDArray[np.float64], sensor: NDArray[np.float64] | None, notes: list[str]
) -> tuple[cloud_mesh.Meshed, NDArray[np.int32], dict[str, Any]]:
    """The mesh, its faces turned to the sensor, and what that was decided by."""
    sensor = _usable(sensor, cloud, notes)
    view = None if sensor is None else from_place(sensor, cloud, "sensor")
    view, share = best_view(cloud) if view is None else (view, layered(view, cloud))
    made = _surface(path, cloud, view, share)
    if view.name == "origin" and cloud_mesh.bulge(made.vertices, made.faces) < _HOLLOW:
        view, share = best_view(cloud, origin=False)  # what is so hollow was not measured from the origin
        made = _surface(path, cloud, view, share)
    centre = view.centre if sensor is None else sensor
    return (made, *_oriented(made.vertices, made.faces, centre, sensor is not None, notes))


def _usable(
    sensor: NDArray[np.float64] | None, points: NDArray[np.float64], notes: list[str]
) -> NDArray[np.float64] | None:
    """The place of the sensor; None, with a warning, if it lies among the points."""
    if sensor is None or is_outside(sensor, points):
        return sensor
    notes.append("the place that it gives for its sensor lies among its points and is not used")
    return None


def _surface(path: Path, cloud: NDArray[np.float64], view: View, share: float) -> cloud_mesh.Meshed:
    if share > MOST_LAYERED:
        raise FormatError(
            f"{path}: points of a surface seen from one side were wanted, its {len(cloud)} points are several layers, "
            f"or much noise, from each side: {_WAY_OUT}"
        )
    made = cloud_mesh.mesh(cloud, view)
    if made is None or np.count_nonzero(made.of_point >= 0) < _LEAST_USED * len(cloud):
        raise FormatError(f"{path}: its {len(cloud)} points lie too far apart to be joined to a surface: {_WAY_OUT}")
    if len(made.faces) < (_LEAST_FACES if len(made.vertices) > _FEW else 1.0) * len(made.vertices):
        raise FormatError(f"{path}: its {len(cloud)} points lie along lines, not on a surface: {_WAY_OUT}")
    return made


def _together(points: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(N,) bool: whether points are not very far from the others, as numbers that mean "no point" are."""
    low, middle, high = np.percentile(points, (5.0, 50.0, 95.0), axis=0)
    size = float((high - low).max())
    return np.asarray((np.abs(points - middle) <= _FAR * size).all(axis=1)) if size > 0 else np.ones(len(points), bool)


def _check_spread(path: Path, points: NDArray[np.float64]) -> None:
    size = np.sqrt(np.maximum(np.linalg.eigvalsh(np.cov(points.T)), 0.0))
    if not size[2] > max(1e-9 * np.abs(points).max(), _SMALLEST):
        raise FormatError(f"{path}: points of a surface were wanted, its {len(points)} points are all the same")
    if not size[1] > 1e-3 * size[2]:
        raise FormatError(f"{path}: points of a surface were wanted, its {len(points)} points lie on a line")


def _oriented(
    vertices: NDArray[np.float64],
    faces: NDArray[np.int32],
    centre: NDArray[np.float64] | None,
    certain: bool,
    notes: list[str],
) -> tuple[NDArray[np.int32], dict[str, Any]]:
    """The faces, counter-clockwise seen from the sensor, and what that was decided by."""
    if centre is not None:
        if _away(vertices, faces, centre):
            faces = faces[:, ::-1]
        shape = cloud_mesh.bulge(vertices, faces)
        if certain or shape > _HOLLOW:
            return np.ascontiguousarray(faces), {"towards": "sensor" if certain else "origin"}
        faces = faces[:, ::-1]
    shape = cloud_mesh.bulge(vertices, faces)
    if abs(shape) < _BULGES:
        notes.append("its points alone hardly tell which side of the surface is the outer one; the maps may be turned")
    elif shape < 0:
        faces = faces[:, ::-1]
    return np.ascontiguousarray(faces), {"towards": "bulge", "bulge": round(abs(shape), 3)}


def _away(vertices: NDArray[np.float64], faces: NDArray[np.integer], centre: NDArray[np.float64]) -> bool:
    """Whether most of the surface shows its back to `centre`."""
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    normal = np.cross(b - a, c - a)
    return bool(np.einsum("fi,fi->", normal, centre - a) < 0)


def _mean_colours(colours: NDArray[np.float32], made: cloud_mesh.Meshed) -> NDArray[np.float32]:
    """(V, 3): mean of the known colours of the points of each vertex."""
    known = (made.of_point >= 0) & np.isfinite(colours).all(axis=1)
    vertex, count = made.of_point[known], len(made.vertices)
    number = np.bincount(vertex, minlength=count)
    total = np.stack([np.bincount(vertex, colours[known, k], count) for k in range(3)], axis=1)
    with np.errstate(invalid="ignore"):
        return (total / number[:, None]).astype(np.float32)
