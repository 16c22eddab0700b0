"""Make parts of the meshes that a VRML 2.0 file draws.

Face sets over one list of points, drawn at one place, become one part: they share their vertices. A list that is used
again elsewhere gives only the points that the further faces need, so that no list is repeated for each of many uses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fer3d.errors import FormatError
from fer3d.formats.parts import MOST_VERTICES, Part, mean_at_vertices
from fer3d.formats.vrml_geometry import Mesh, turned
from fer3d.formats.vrml_looks import Look


class Piece(NamedTuple):
    """A mesh where it is drawn.

    Attributes:
        mesh: In its own frame.
        matrix: (4, 4) float64 to the frame of the file; None: the identity.
        look: What lies on it.
        offset: Byte offset of its node, for messages.
    """

    mesh: Mesh
    matrix: NDArray[np.float64] | None
    look: Look
    offset: int


def parts_of(path: str, pieces: Sequence[Piece]) -> tuple[list[Part], bool]:
    """The parts of the pieces, and whether a vertex had several colours, whose mean it got.

    Raises:
        FormatError: if they have more than `MOST_VERTICES` vertices, or twice as many faces.
    """
    groups = _groups(pieces)
    _check_size(path, groups)
    parts: list[Part] = []
    several, points, begins = False, 0, dict[object, int]()  # row of the first point of each list
    for group in groups:
        source, size = group[0].mesh.source, len(group[0].mesh.points)
        again = source in begins
        begin = begins.setdefault(source, points)
        part, mixed = _part(group, begin - points if again else None)
        several |= mixed
        points += 0 if again else size
        parts.append(part)
    return parts, several


def _groups(pieces: Sequence[Piece]) -> list[list[Piece]]:
    """Pieces over the same points at the same place, but not the same mesh twice."""
    groups: dict[tuple[object, bytes, int], list[Piece]] = {}
    times: dict[tuple[int, bytes], int] = {}
    for piece in pieces:
        place = b"" if piece.matrix is None else piece.matrix.tobytes()
        time = times[id(piece.mesh), place] = times.get((id(piece.mesh), place), 0) + 1
        groups.setdefault((piece.mesh.source, place, time), []).append(piece)
    return list(groups.values())


def _check_size(path: str, groups: Sequence[Sequence[Piece]]) -> None:
    vertices = faces = 0
    seen: set[object] = set()
    for group in groups:
        size, count = len(group[0].mesh.points), sum(len(piece.mesh.faces) for piece in group)
        vertices += size if group[0].mesh.source not in seen else min(size, 3 * count)
        faces += count
        seen.add(group[0].mesh.source)
    if vertices > MOST_VERTICES or faces > 2 * MOST_VERTICES:
        what = f"{MOST_VERTICES} vertices and {2 * MOST_VERTICES} faces"
        raise FormatError(f"{path}: a scan has at most {what}, with USE it has more")


def _part(group: Sequence[Piece], shift: int | None) -> tuple[Part, bool]:
    """The part of a group. `shift`: add it to the rows of a list of points that was used before; None: it was not."""
    mesh = group[0].mesh
    matrix = group[0].matrix
    mirrored = matrix is not None and np.linalg.det(matrix[:3, :3]) < 0
    alone = len(group) == 1 and shift is None
    meshes = [_own_uv(turned(piece.mesh) if mirrored else piece.mesh, piece.look, alone) for piece in group]
    faces = meshes[0].faces if len(group) == 1 else np.concatenate([one.faces for one in meshes])
    uv, uv_faces = _uv(meshes)
    colours, several = _colours(meshes, faces, len(mesh.points))
    points, row, count = mesh.points, None, len(mesh.points)
    if shift is not None:
        used = np.unique(faces)
        faces = np.searchsorted(used, faces).astype(np.int32)
        colours = None if colours is None else colours[used]
        points, row, count = points[used], used.astype(np.int32) + np.int32(shift), 0
    material: int | NDArray[np.integer] = group[0].look.material
    if len(group) > 1:
        material = np.repeat([piece.look.material for piece in group], [len(piece.mesh.faces) for piece in group])
    return Part(placed(points, matrix), faces, uv, uv_faces, colours, material, row, count), several


def placed(points: NDArray[np.float64], matrix: NDArray[np.float64] | None) -> NDArray[np.float64]:
    """Points (N, 3) after a (4, 4) matrix; None: the identity."""
    if matrix is None or np.array_equal(matrix, np.eye(4)):
        return points
    with np.errstate(over="ignore", invalid="ignore"):
        placed: NDArray[np.float64] = points @ matrix[:3, :3].T + matrix[:3, 3]
    return placed


def _own_uv(mesh: Mesh, look: Look, alone: bool) -> Mesh:
    """The mesh with only those texture coordinates that it needs, after the transform of its look.

    `alone`: it keeps the table as it is, if that is not much larger than the mesh.
    """
    if mesh.uv is None:
        return mesh
    uv, rows = mesh.uv, mesh.uv_faces
    if alone and rows is None:
        uv = uv[: len(mesh.points)]
    elif not alone or len(uv) > 3 * len(mesh.faces):
        corners = mesh.faces if rows is None else rows
        used = np.unique(corners)
        uv, rows = uv[used], np.searchsorted(used, corners).astype(np.int32)
    if look.uv_matrix is not None:
        with np.errstate(over="ignore", invalid="ignore"):
            uv = uv @ look.uv_matrix[:2, :2].T + look.uv_matrix[:2, 2]
    return replace(mesh, uv=uv, uv_faces=rows)


def _uv(meshes: Sequence[Mesh]) -> tuple[NDArray[np.float64] | None, NDArray[np.integer] | None]:
    """One table of texture coordinates and the rows of the corners in it; None if row i belongs to point i."""
    tables = [mesh.uv for mesh in meshes if mesh.uv is not None]
    if not tables:
        return None, None
    if len(meshes) == 1:
        return tables[0], meshes[0].uv_faces
    rows, start = [], 0
    for mesh in meshes:
        if mesh.uv is None or mesh.uv_faces is None:
            rows.append(np.full(mesh.faces.shape, -1, np.int32))
        else:
            rows.append(mesh.uv_faces + np.int32(start))
            start += len(mesh.uv)
    return np.concatenate(tables), np.concatenate(rows)


def _colours(meshes: Sequence[Mesh], faces: NDArray[np.int32], points: int) -> tuple[NDArray[np.float32] | None, bool]:
    """(N, 3) colours of the points, NaN where there are none; whether a point had several."""
    if all(mesh.colours is None for mesh in meshes):
        return None, False
    first = meshes[0]
    if len(meshes) == 1 and first.colours is not None and first.colour_faces is None:
        missing = max(0, points - len(first.colours))
        padding = np.full((missing, 3), np.nan, np.float32)
        return np.concatenate([first.colours[:points], padding]) if missing else first.colours[:points], False
    corners = [
        np.full((*mesh.faces.shape, 3), np.nan)
        if mesh.colours is None
        else mesh.colours[mesh.faces if mesh.colour_faces is None else mesh.colour_faces]
        for mesh in meshes
    ]
    return mean_at_vertices(faces, np.concatenate(corners), points)
