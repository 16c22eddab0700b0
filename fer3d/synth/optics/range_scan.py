"""A light range camera for any mesh: what a scanner far away would measure of it, with errors.

`fer3d.synth.capture` simulates faces with skin, hair and light. This camera knows nothing but triangles: it measures on
a turned grid with jitter, loses steep surface and round holes, and errs by noise and spikes. Several views give as many
sheets, which overlap and are registered with a small error, as the pods of a stereo scanner are.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from fer3d.checks import check_dtype, check_index, check_range, check_shape
from fer3d.errors import ArgumentError
from fer3d.formats.range_grid import triangulate
from fer3d.kernels.raster import zbuffer
from fer3d.synth.optics.scene import around, seen_from

Array = NDArray[np.float64]

_MOST_SAMPLES = 4_000_000
_LEAST_COSINE = 0.25  # noise grows with the slant, up to the inverse of this
_TURN_OF_A_MILLIMETRE = 0.004  # registration error in rotation, radians per mm of shift


class RangeScan(NamedTuple):
    """What `range_scan` measured, in the frame of the mesh.

    Attributes:
        vertices: (N, 3) float64, mm.
        faces: (M, 3) int32, counter-clockwise seen from the camera.
        measured: (L,) bool. Whether each of the asked points lies on the measured surface.
    """

    vertices: Array
    faces: NDArray[np.int32]
    measured: NDArray[np.bool_]


class _View(NamedTuple):
    """A view: frame (3, 3) with rows right, up, towards the camera; and the settings of `range_scan`."""

    frame: Array
    pitch: float
    noise: float
    spikes: float
    spike_height: float
    holes: float
    hole_radius: tuple[float, float]
    steepest: float
    longest_edge: float
    jitter: float


def range_scan(
    points: Array,
    triangles: NDArray[np.int32],
    towards: Array,
    *,
    pitch: float = 1.5,
    noise: float = 0.1,
    generator: np.random.Generator,
    spikes: float = 0.0005,
    spike_height: float = 8.0,
    holes: float = 3.0,
    hole_radius: tuple[float, float] = (1.5, 6.0),
    steepest: float = 1.40,
    longest_edge: float = 5.0,
    jitter: float = 0.25,
    seam: float = 0.3,
    marks: Array | None = None,
) -> RangeScan:
    """Measure a mesh from one or several directions.

    Args:
        points: (V, 3) float64, mm.
        triangles: (F, 3) int32, counter-clockwise seen from outside; the camera sees no triangle from behind.
        towards: (3,) or (K, 3) float64. Direction from the mesh to each camera, which is far away.
        pitch: Distance between samples, mm.
        noise: Standard deviation of the depth where the surface faces the camera, mm; divided by the cosine of the
            slant, at least 0.25.
        generator: Source of random numbers; also turns the grid of each view at random.
        spikes: Share of samples with a gross error.
        spike_height: Standard deviation of gross errors, mm.
        holes: Mean number of round holes in each view.
        hole_radius: Smallest and largest radius of a hole, mm.
        steepest: Largest slant at which surface is measured, radians.
        longest_edge: Longest edge of a triangle, in pitches.
        jitter: Largest shift of a sample from its grid point along each axis, share of the pitch.
        seam: Standard deviation of the registration error of each of several views, mm.
        marks: (L, 3) float64 or None. Points of the mesh. Each counts as measured within 1.2 pitches and 4 standard
            deviations of the noise (with several views, also 2 of the seam) of a vertex without its error.

    Raises:
        ArgumentError: if an argument has a wrong shape, dtype or range, a direction is 0, or a view needs more than 4
            million samples.
    """
    check_dtype("points", points, np.float64)
    check_shape("points", points, ("V", 3))
    check_dtype("triangles", triangles, np.int32)
    check_shape("triangles", triangles, ("F", 3))
    check_index("triangles", triangles, len(points))
    if not np.isfinite(points).all():
        raise ArgumentError("`points` should be finite, hold NaN or infinity")
    triangles = np.ascontiguousarray(triangles)
    directions = np.atleast_2d(np.asarray(towards, np.float64))
    check_shape("towards", directions, ("K", 3))
    for name, value, least, most, unit in (
        ("pitch", pitch, 0.05, 1000.0, "mm"),
        ("noise", noise, 0.0, 100.0, "mm"),
        ("spikes", spikes, 0.0, 0.5, ""),
        ("spike_height", spike_height, 0.0, 1e4, "mm"),
        ("holes", holes, 0.0, 1e4, ""),
        ("hole_radius[0]", hole_radius[0], 0.0, hole_radius[1], "mm"),
        ("steepest", steepest, 0.1, np.pi / 2, "radians"),
        ("longest_edge", longest_edge, 1.0, np.inf, ""),
        ("jitter", jitter, 0.0, 0.49, ""),
        ("seam", seam, 0.0, 100.0, "mm"),
    ):
        check_range(name, value, least, most, unit)
    if not (np.linalg.norm(directions, axis=1) > 0).all():
        raise ArgumentError("`towards` should hold directions, holds 0 0 0")
    sheets = []
    for toward in directions:
        frame = _turned(toward, float(generator.uniform(0, 2 * np.pi)))
        view = _View(frame, pitch, noise, spikes, spike_height, holes, hole_radius, steepest, longest_edge, jitter)
        vertices, exact, faces = _measured(points, triangles, view, generator)
        if len(directions) > 1:
            vertices = _misplaced(vertices, seam, generator)
        sheets.append((vertices, exact, faces))
    count = np.cumsum([0] + [len(vertices) for vertices, _, _ in sheets])
    every = np.concatenate([exact for _, exact, _ in sheets])
    reach = 1.2 * pitch + 4 * noise + (2 * seam if len(directions) > 1 else 0.0)
    return RangeScan(
        np.concatenate([vertices for vertices, _, _ in sheets]),
        np.concatenate([faces + np.int32(first) for (_, _, faces), first in zip(sheets, count[:-1], strict=True)]),
        _near(every, marks, reach),
    )


def _turned(toward: Array, roll: float) -> Array:
    """(3, 3): rows right, up and towards the camera, turned by `roll` about the last."""
    frame = seen_from(np.eye(3), toward).T
    turn = np.array([[np.cos(roll), np.sin(roll), 0], [-np.sin(roll), np.cos(roll), 0], [0, 0, 1]])
    return np.asarray(turn @ frame)


def _measured(
    points: Array, triangles: NDArray[np.int32], view: _View, generator: np.random.Generator
) -> tuple[Array, Array, NDArray[np.int32]]:
    """Vertices with and without errors, each (N, 3) in the frame of the mesh, and faces (M, 3)."""
    plane = points @ view.frame.T
    window = around(plane, view.pitch) if len(points) else None
    if window is None or not len(triangles):
        return np.empty((0, 3)), np.empty((0, 3)), np.empty((0, 3), np.int32)
    if window.rows * window.columns > _MOST_SAMPLES:
        raise ArgumentError(
            f"`pitch` should give at most {_MOST_SAMPLES} samples of this mesh, {view.pitch} mm gives "
            f"{window.rows} x {window.columns}"
        )
    shifts = generator.uniform(-view.jitter, view.jitter, (window.rows, window.columns, 2)).astype(np.float32)
    face, bary = zbuffer(window.pixels(plane), triangles, window.rows, window.columns, shifts)
    cell = np.nonzero(face >= 0)
    corners = plane[triangles[face[cell]]]  # (P, 3, 3)
    weight = bary[cell].astype(np.float64)
    exact = np.einsum("pk,pkc->pc", weight / weight.sum(axis=1, keepdims=True), corners)
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    cosine = normal[:, 2] / np.maximum(np.linalg.norm(normal, axis=1), 1e-12)
    kept = (cosine > np.cos(view.steepest)) & ~_in_holes(exact, view, generator)
    cell, exact, cosine = (cell[0][kept], cell[1][kept]), exact[kept], cosine[kept]
    valid = np.zeros(face.shape, np.bool_)
    valid[cell] = True
    grid = np.full((*face.shape, 3), np.nan)
    grid[cell] = exact
    faces, _ = triangulate(grid, valid, longest_edge=view.longest_edge)
    depth = generator.normal(0.0, 1.0, len(exact)) * view.noise / np.maximum(cosine, _LEAST_COSINE)
    gross = generator.random(len(exact)) < view.spikes
    depth[gross] += generator.normal(0.0, view.spike_height, int(gross.sum()))
    used = np.zeros(len(exact), np.bool_)
    used[faces] = True
    row = np.cumsum(used, dtype=np.int32) - np.int32(1)
    vertices = exact + depth[:, None] * [0.0, 0.0, 1.0]
    return vertices[used] @ view.frame, exact[used] @ view.frame, row[faces]


def _in_holes(exact: Array, view: _View, generator: np.random.Generator) -> NDArray[np.bool_]:
    """(P,) whether each sample lies in a hole: a disc around a random sample, of which some are not round."""
    lost = np.zeros(len(exact), np.bool_)
    for _ in range(int(generator.poisson(view.holes)) if len(exact) else 0):
        offset = exact[:, :2] - exact[int(generator.integers(len(exact))), :2]
        angle = np.arctan2(offset[:, 1], offset[:, 0])
        wave = 1 + 0.3 * np.sin(int(generator.integers(2, 5)) * angle + generator.uniform(0, 2 * np.pi))
        lost |= np.hypot(offset[:, 0], offset[:, 1]) < generator.uniform(*view.hole_radius) * wave
    return lost


def _misplaced(vertices: Array, seam: float, generator: np.random.Generator) -> Array:
    """Shift and turn a sheet by a small registration error."""
    shift, turn = generator.normal(0.0, seam, 3), generator.normal(0.0, seam * _TURN_OF_A_MILLIMETRE, 3)
    middle = vertices.mean(axis=0) if len(vertices) else np.zeros(3)
    return np.asarray(vertices + np.cross(turn, vertices - middle) + shift)


def _near(vertices: Array, marks: Array | None, reach: float) -> NDArray[np.bool_]:
    """(L,) whether a vertex lies within `reach` of each mark."""
    if marks is None:
        return np.empty(0, np.bool_)
    check_shape("marks", marks, ("L", 3))
    if not len(vertices) or not len(marks):
        return np.zeros(len(marks), np.bool_)
    tree = cKDTree(vertices, balanced_tree=False, compact_nodes=False)
    distance, _ = tree.query(marks, distance_upper_bound=reach)
    return np.asarray(np.isfinite(distance))
