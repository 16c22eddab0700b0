"""Clean a raw scan: remove bad faces, close seams, remove spikes and all but the face, and fill small holes.

All steps treat vertices at exactly the same position as one: files split vertices at texture seams, where the surface
has no gap. Each step adds one record to the history, even if it changed nothing, and drops vertices that no face uses.
Only `close_seams` adds none where it finds no seam.
"""

from __future__ import annotations

import functools
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer3d.checks import check_range
from fer3d.errors import PrepareError
from fer3d.kernels import hole_fill, topology
from fer3d.kernels.seams import close_seams as close
from fer3d.kernels.spikes import spikes
from fer3d.prepare import components
from fer3d.scan import Scan, check_scan

SPIKE = 3.0  # mm: twenty times the noise of a face scanner, less than the spikes from blinks or overexposed pixels
HOLE = 10.0  # mm: pupils, brows and nostrils leave holes up to about this size; an open mouth is larger

# A face whose height is below this fraction of its longest edge counts as degenerate: for edges of 1 mm at 100 mm from
# the origin this is the rounding error of float32.
_THIN = 1e-5

_MUCH = 0.15  # share of the area that is dropped above which a warning says so

# Rounds of the last three steps. Heavily damaged scans converge in two; a patch that is itself a spike never does.
_MOST_ROUNDS = 8


def clean(scan: Scan, *, spike: float = SPIKE, hole: float = HOLE) -> Scan:
    """Clean a scan in steps: `drop_bad_faces`, `close_seams`, `remove_spikes`, `face_components`, `fill_holes`.

    Filling holes can reveal a spike among them. Then the last three steps are repeated, with their records. Cleaning a
    clean scan changes only its history.

    Args:
        scan: A scan in mm (see `fer3d.prepare.align.to_millimetres`).
        spike: Height for `remove_spikes`, mm.
        hole: Extent for `fill_holes`, mm.

    Raises:
        ArgumentError: if `scan` has no face, or a length is negative or not finite.
        PrepareError: if nothing is left.
    """
    surface = _remove_spikes(_close_seams(_drop_bad_faces(_checked(scan, spike=spike, hole=hole))), spike)
    surface, several = _face_pieces(surface)
    for number in range(_MOST_ROUNDS):
        if number:
            surface = _large_pieces(surface) if several else _largest_piece(surface)
        surface = _fill_holes(surface, hole)
        scan = surface.scan
        surface = _remove_spikes(surface, spike)
        if not surface.scan.history[-1]["vertices"]:
            break
    return scan


def drop_bad_faces(scan: Scan) -> Scan:
    """Drop faces with a NaN or infinite corner, without area, or over the same three corners as an earlier face.

    A face has no area if two corners are at the same position, or its height is below 1e-5 of its longest edge. A
    duplicate counts in either winding. Edges of more than two faces are kept, as it is ambiguous which faces form the
    surface. Steps that walk over the surface stop at such edges.

    Raises:
        ArgumentError: if `scan` has no face.
        PrepareError: if all faces are bad.
    """
    return _drop_bad_faces(_checked(scan)).scan


def close_seams(scan: Scan) -> Scan:
    """Close the seams between components that meet within a small gap: copies of a vertex get one position.

    Two boundary edges are a seam if they belong to different components, their ends lie within a twentieth of their
    length of each other, and their faces continue each other. The vertices stay apart, so that each keeps its uv and
    colour. A gap within one component, such as that between lips, is not closed.

    Raises:
        ArgumentError: if `scan` has no face.
        PrepareError: if a face has no area or a corner that is not finite (see `drop_bad_faces`).
    """
    return _close_seams(_sound(scan)).scan


def remove_spikes(scan: Scan, height: float = SPIKE) -> Scan:
    """Drop vertices that lie far off the surface of their neighbours, with their faces.

    A vertex is a spike if it is farther than `height` from a plane through its two rings of neighbours, fitted robustly
    against other spikes, and if two thirds of its direct neighbours are farther than `height` from it. Where edges are
    longer than half of `height`, twice their median length replaces `height`, so that a coarse mesh of a nose is not a
    spike. The step repeats until it finds no spike, so that it also removes pairs of spikes. A raised patch of many
    vertices is a surface, not a spike, and is kept.

    Args:
        scan: A scan in mm.
        height: Height of a spike in mm. 0: nothing is removed.

    Raises:
        ArgumentError: if `scan` has no face, or `height` is negative or not finite.
        PrepareError: if a face has no area or a corner that is not finite (see `drop_bad_faces`), or no face is left.
    """
    return _remove_spikes(_sound(scan, height=height), height).scan


def largest_component(scan: Scan) -> Scan:
    """Keep the component of the largest area. Faces are connected by common edges; a common corner is not enough.

    Raises:
        ArgumentError: if `scan` has no face.
        PrepareError: if a face has no area or a corner that is not finite (see `drop_bad_faces`).
    """
    return _largest_piece(_sound(scan)).scan


def face_components(scan: Scan) -> Scan:
    """Keep the components of the face: see `fer3d.prepare.components`. If there is no doubt, as `largest_component`.

    Args:
        scan: A scan in mm.

    Raises:
        ArgumentError: if `scan` has no face.
        PrepareError: if a face has no area or a corner that is not finite (see `drop_bad_faces`).
    """
    return _face_pieces(_sound(scan))[0].scan


def fill_holes(scan: Scan, extent: float = HOLE) -> Scan:
    """Close holes whose two farthest boundary vertices are no more than `extent` apart.

    New vertices have the density of the surrounding ones and lie on a quadric fitted to the surroundings. Their uv is
    interpolated from the boundary; their `file_vertex` is -1. A boundary that is at least half as wide as its component
    counts as the outer boundary and is never closed.

    Args:
        scan: A scan in mm.
        extent: Largest extent of a hole in mm. 0: nothing is closed.

    Raises:
        ArgumentError: if `scan` has no face, or `extent` is negative or not finite.
        PrepareError: if a face has no area or a corner that is not finite (see `drop_bad_faces`).
    """
    return _fill_holes(_sound(scan, extent=extent), extent).scan


class _Surface:
    """A scan with cached tables of its mesh, which the steps share as long as the mesh stays the same."""

    def __init__(self, scan: Scan) -> None:
        self.scan = scan

    @cached_property
    def same(self) -> NDArray[np.int32]:
        first: NDArray[np.int32] = topology.weld(self.scan.vertices)
        return first

    @cached_property
    def faces(self) -> NDArray[np.int32]:
        welded: NDArray[np.int32] = topology.welded_faces(self.scan.faces, self.same)
        return welded

    @cached_property
    def neighbours(self) -> NDArray[np.int32]:
        table: NDArray[np.int32] = topology.face_neighbours(self.faces, len(self.scan.vertices))
        return table

    @cached_property
    def components(self) -> tuple[NDArray[np.int32], int]:
        label, _, count = topology.components(self.faces, self.neighbours)
        return label, count

    @cached_property
    def areas(self) -> NDArray[np.float64]:
        label, count = self.components
        areas: NDArray[np.float64] = topology.component_areas(self.scan.vertices, self.faces, label, count)
        return areas

    def noted(self, name: str, record: dict[str, Any]) -> _Surface:
        """Add a record to the history, without any change of the mesh."""
        self.scan = self.scan.step(name, record)
        return self

    def kept(self, keep: NDArray[np.bool_], name: str, record: dict[str, Any]) -> _Surface:
        """Keep the faces in `keep`, (F,) bool, and their vertices. The record gets the number of dropped vertices."""
        scan = self.scan
        rows, faces = topology.kept_rows(scan.faces, keep, len(scan.vertices))
        record = record | {"vertices_dropped": len(scan.vertices) - len(rows)}
        if len(faces) == len(scan.faces) and len(rows) == len(scan.vertices):
            return self.noted(name, record)
        return _Surface(
            scan.step(
                name,
                record,
                faces=faces,
                **scan.at(rows),
            )
        )


def _checked(scan: Scan, **lengths: float) -> _Surface:
    check_scan("scan", scan)
    for name, length in lengths.items():
        check_range(name, length, 0.0, 1e6, "mm")
    return _Surface(scan)


def _sound(scan: Scan, **lengths: float) -> _Surface:
    """Check a scan for a single step: PrepareError if it has faces that `drop_bad_faces` would drop."""
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


def _close_seams(surface: _Surface) -> _Surface:
    label, count = surface.components
    if count == 1:
        return surface
    scan = surface.scan
    vertices, edges, gap = close(scan.vertices, surface.same, surface.faces, surface.neighbours, label)
    if not edges:
        return surface
    closed = _Surface(scan.step("close_seams", {"edges": edges, "gap_mm": round(gap, 6)}, vertices=vertices))
    fault = topology.face_faults(closed.scan.vertices, closed.faces, _THIN)
    return _drop_bad_faces(closed) if fault.any() else closed  # a sliver at the seam may have collapsed


def _largest_piece(surface: _Surface) -> _Surface:
    _, count = surface.components
    keep = np.zeros(count, np.bool_)
    keep[surface.areas.argmax() if count > 1 else 0] = True
    return _pieces_kept(surface, keep, "largest_component", {})


def _large_pieces(surface: _Surface) -> _Surface:
    """Keep all components that are no crumbs: those that spikes cut off a face of several components are."""
    return _pieces_kept(surface, components.are_large(surface.areas), "face_components", {})


def _face_pieces(surface: _Surface) -> tuple[_Surface, bool]:
    """Keep the components of the face, and tell whether they are several."""
    label, count = surface.components
    if count == 1 or np.count_nonzero(components.are_large(surface.areas)) == 1:
        surface = _largest_piece(surface)
        return surface, False
    choice = components.of_face(surface.scan, label, surface.areas)
    kept = _pieces_kept(surface, choice.keep, "face_components", choice.record, choice.lost)
    kept.scan = functools.reduce(Scan.warn, choice.warnings, kept.scan)
    return kept, bool(np.count_nonzero(choice.keep) > 1)


def _pieces_kept(
    surface: _Surface,
    keep: NDArray[np.bool_],
    name: str,
    record: dict[str, Any],
    lost: NDArray[np.bool_] | None = None,
) -> _Surface:
    """Keep the components in `keep`, (P,) bool; warn if `lost`, by default the others, are much of the area."""
    label, count = surface.components
    kept = keep[label]
    lost = ~keep if lost is None else lost
    share = float(surface.areas[lost].sum() / surface.areas.sum()) if count > 1 else 0.0
    record = {"components": count, "faces_dropped": int((~kept).sum())} | record
    if share > _MUCH:
        record["area_dropped"] = round(share, 4)
    surface = surface.kept(kept, name, record)
    if share > _MUCH:
        surface.scan = surface.scan.warn(
            f"cleaning dropped {100 * share:.3g}% of the surface: {int(lost.sum())} of {count} components"
        )
    return surface


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
    carried = [values for values in (scan.uv, scan.colours) if values is not None]
    values = np.concatenate([np.empty((len(scan.vertices), 0), np.float32), *carried], axis=1)  # (V, 0, 2, 3 or 5)
    around = topology.vertex_faces(surface.faces, len(scan.vertices))
    vertices, new_values, faces, flat = hole_fill.fill(
        scan.vertices, values, scan.faces, surface.faces, start, vertex, edge, chosen, *around
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
            uv=None if scan.uv is None else np.concatenate([scan.uv, new_values[:, :2]]),
            colours=None if scan.colours is None else np.concatenate([scan.colours, new_values[:, -3:]]),
            file_vertex=np.concatenate([origin, np.full(len(vertices), -1, np.int32)]),
        )
    )
