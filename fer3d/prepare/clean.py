"""Raw scan in, clean surface out: bad faces, spikes, loose components and small holes.

Vertices at exactly the same place count as one throughout: files split a vertex at texture seams, the surface is whole
there. Each step leaves one record in the history saying what it did, also when that is nothing, and drops vertices
that no face uses any more.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer3d.checks import check_range
from fer3d.errors import PrepareError
from fer3d.kernels import hole_fill, topology
from fer3d.kernels.spikes import spikes
from fer3d.scan import Scan, check_scan

SPIKE = 3.0  # mm. Twenty times the noise of a face scanner, and less than what blinks or blown pixels give.
HOLE = 10.0  # mm. Pupils, brows and nostrils leave holes of up to about this; an open mouth is larger and stays open.

# A face lower than this fraction of its longest edge has no area: for edges of 1 mm at 100 mm from the origin that is
# the rounding of float32.
_THIN = 1e-5

# Of spikes, components and holes. Heavily damaged scans settle after two; a patch that is itself a spike never would.
_MOST_ROUNDS = 8


def clean(scan: Scan, *, spike: float = SPIKE, hole: float = HOLE) -> Scan:
    """All steps in order: `drop_bad_faces`, `remove_spikes`, `largest_component`, `fill_holes`.

    A spike among holes can come to light once they are filled: then the last three steps follow again, with their
    records. Cleaning a clean scan changes nothing but its history.

    Args:
        scan: In mm (see `fer3d.prepare.align.to_millimetres`).
        spike: As for `remove_spikes`, mm.
        hole: As for `fill_holes`, mm.

    Raises:
        ArgumentError: if `scan` has no face, or a length is negative or not finite.
        PrepareError: if nothing is left.
    """
    surface = _remove_spikes(_drop_bad_faces(_checked(scan, spike=spike, hole=hole)), spike)
    for _ in range(_MOST_ROUNDS):
        surface = _fill_holes(_largest_piece(surface), hole)
        scan = surface.scan
        surface = _remove_spikes(surface, spike)
        if not surface.scan.history[-1]["vertices"]:
            break
    return scan


def drop_bad_faces(scan: Scan) -> Scan:
    """Drop faces with a NaN or infinite corner, without area, or over the same three corners as an earlier face.

    Without area means: two corners at one place, or a height below 1e-5 of the longest edge. Duplicates count
    whichever way they are wound. Edges of more than two faces are kept: nobody can tell which faces are the surface.
    The steps that walk over the surface stop at such edges.

    Raises:
        ArgumentError: if `scan` has no face.
        PrepareError: if all faces are bad.
    """
    return _drop_bad_faces(_checked(scan)).scan


def remove_spikes(scan: Scan, height: float = SPIKE) -> Scan:
    """Drop vertices that stand off the surface of their neighbours, with their faces.

    A vertex goes if it is farther than `height` from the plane of its two rings of neighbours, fitted so that other
    spikes among them do not count, and if two thirds of its direct neighbours are farther than that from it. Where
    edges are longer than half of `height`, twice their median length takes its place: a coarse mesh of a nose is not
    a spike. Repeated until nothing is found, so spikes in pairs go too. A raised patch of many vertices is a
    surface, not a spike, and stays.

    Args:
        scan: In mm.
        height: mm. 0: nothing is removed.

    Raises:
        ArgumentError: if `scan` has no face, or `height` is negative or not finite.
        PrepareError: if a face has no area or a corner that is not finite (see `drop_bad_faces`), or none is left.
    """
    return _remove_spikes(_sound(scan, height=height), height).scan


def largest_component(scan: Scan) -> Scan:
    """Keep the component of the largest area. Faces hang together by edges: a corner in common is not enough.

    Raises:
        ArgumentError: if `scan` has no face.
        PrepareError: if a face has no area or a corner that is not finite (see `drop_bad_faces`).
    """
    return _largest_piece(_sound(scan)).scan


def fill_holes(scan: Scan, extent: float = HOLE) -> Scan:
    """Close holes whose two farthest boundary vertices are no more than `extent` apart.

    New vertices lie as dense as those around, on the quadric that the surroundings suggest, and their uv is
    interpolated between those of the boundary; in `file_vertex` they are -1. A boundary as wide as half of its
    component is the outer boundary and never closed.

    Args:
        scan: In mm.
        extent: mm. 0: nothing is closed.

    Raises:
        ArgumentError: if `scan` has no face, or `extent` is negative or not finite.
        PrepareError: if a face has no area or a corner that is not finite (see `drop_bad_faces`).
    """
    return _fill_holes(_sound(scan, extent=extent), extent).scan


class _Surface:
    """A scan and the tables of its mesh, which the steps hand on as long as the mesh stays the same."""

    def __init__(self, scan: Scan) -> None:
        self.scan = scan

    @cached_property
    def faces(self) -> NDArray[np.int32]:
        welded: NDArray[np.int32] = topology.welded_faces(self.scan.faces, topology.weld(self.scan.vertices))
        return welded

    @cached_property
    def neighbours(self) -> NDArray[np.int32]:
        table: NDArray[np.int32] = topology.face_neighbours(self.faces, len(self.scan.vertices))
        return table

    @cached_property
    def components(self) -> tuple[NDArray[np.int32], int]:
        label, _, count = topology.components(self.faces, self.neighbours)
        return label, count

    def noted(self, name: str, record: dict[str, Any]) -> _Surface:
        """The same surface with one more record in its history."""
        self.scan = self.scan.step(name, record)
        return self

    def kept(self, keep: NDArray[np.bool_], name: str, record: dict[str, Any]) -> _Surface:
        """Only the faces in `keep` (F,) and the vertices they use; how many go without a face is noted too."""
        scan = self.scan
        rows, faces = topology.kept_rows(scan.faces, keep, len(scan.vertices))
        record = record | {"vertices_dropped": len(scan.vertices) - len(rows)}
        if len(faces) == len(scan.faces) and len(rows) == len(scan.vertices):
            return self.noted(name, record)
        return _Surface(
            scan.step(
                name,
                record,
                vertices=scan.vertices[rows],
                faces=faces,
                uv=None if scan.uv is None else scan.uv[rows],
                file_vertex=rows if scan.file_vertex is None else scan.file_vertex[rows],
            )
        )


def _checked(scan: Scan, **lengths: float) -> _Surface:
    check_scan("scan", scan)
    for name, length in lengths.items():
        check_range(name, length, 0.0, 1e6, "mm")
    return _Surface(scan)


def _sound(scan: Scan, **lengths: float) -> _Surface:
    """For a step on its own: nobody has dropped the faces that it cannot walk over."""
    surface = _checked(scan, **lengths)
    fault = topology.face_faults(scan.vertices, surface.faces, 0.0)
    bad = int(((fault == topology.NOT_FINITE) | (fault == topology.DEGENERATE)).sum())
    if bad:
        raise PrepareError(
            f"the scan should have finite corners and an area at every face, {bad} of {len(fault)} have not: "
            "call `drop_bad_faces` first"
        )
    return surface


def _drop_bad_faces(surface: _Surface) -> _Surface:
    scan = surface.scan
    fault = topology.face_faults(scan.vertices, surface.faces, _THIN)
    record = {
        "not_finite": int((fault == topology.NOT_FINITE).sum()),
        "degenerate": int((fault == topology.DEGENERATE).sum()),
        "duplicate": int((fault == topology.DUPLICATE).sum()),
    }
    keep = fault == topology.FINE
    if not keep.any():
        counts = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in record.items())
        raise PrepareError(f"the scan should have a sound face, all {len(scan.faces)} are bad: {counts}")
    return surface.kept(keep, "drop_bad_faces", record)


def _remove_spikes(surface: _Surface, height: float) -> _Surface:
    record: dict[str, Any] = {"height_mm": float(height), "vertices": 0, "faces": 0}
    if height == 0.0:
        return surface.noted("remove_spikes", record)
    spike, keep = spikes(surface.scan.vertices, surface.faces, height)
    if not keep.any():
        raise PrepareError(f"the scan should have a surface, all of its {len(keep)} faces touch spikes")
    # Copies at a texture seam are one vertex here: a spike is counted once.
    record |= {"vertices": int(np.count_nonzero(spike)), "faces": len(keep) - int(np.count_nonzero(keep))}
    return surface.kept(keep, "remove_spikes", record)


def _largest_piece(surface: _Surface) -> _Surface:
    label, count = surface.components
    keep = np.ones(len(label), np.bool_)
    if count > 1:
        areas = topology.component_areas(surface.scan.vertices, surface.faces, label, count)
        keep = label == int(areas.argmax())
    return surface.kept(keep, "largest_component", {"components": count, "faces_dropped": int((~keep).sum())})


def _fill_holes(surface: _Surface, extent: float) -> _Surface:
    scan = surface.scan
    start, vertex, edge = topology.boundary_loops(surface.faces, surface.neighbours)
    wide = topology.loop_extents(scan.vertices, start, vertex, extent)
    label, count = surface.components
    whole = topology.component_extents(scan.vertices, surface.faces, label, count)
    chosen = (wide <= extent) & (wide < 0.5 * whole[label[edge[start[:-1]] // 3]])
    record: dict[str, Any] = {"extent_mm": float(extent), "holes": 0, "left_open": int((~chosen).sum())}
    if not chosen.any():
        return surface.noted("fill_holes", record | {"vertices": 0, "faces": 0})
    uv = np.empty((0, 2), np.float32) if scan.uv is None else scan.uv
    around = topology.vertex_faces(surface.faces, len(scan.vertices))
    vertices, new_uv, faces, flat = hole_fill.fill(
        scan.vertices, uv, scan.faces, surface.faces, start, vertex, edge, chosen, *around
    )
    record |= {"holes": int(chosen.sum()) - flat, "left_open": int((~chosen).sum()) + flat}
    record |= {"vertices": len(vertices), "faces": len(faces)}
    if not len(faces):
        return surface.noted("fill_holes", record)
    origin = np.arange(len(scan.vertices), dtype=np.int32) if scan.file_vertex is None else scan.file_vertex
    return _Surface(
        scan.step(
            "fill_holes",
            record,
            vertices=np.concatenate([scan.vertices, vertices.astype(np.float32)]),
            faces=np.concatenate([scan.faces, faces]),
            uv=None if scan.uv is None else np.concatenate([scan.uv, new_uv]),
            file_vertex=np.concatenate([origin, np.full(len(vertices), -1, np.int32)]),
        )
    )
