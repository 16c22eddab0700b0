"""Join what a mesh file holds into one scan, in the same way for every format.

A reader gives the surfaces of its file as parts and says which picture lies on which faces. Here they become one mesh
with one texture: vertices are split where they have several texture coordinates, several pictures become an atlas, a
scan far from its origin is shifted, and whatever of the file's looks cannot be kept becomes a warning.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer3d.checks import within
from fer3d.errors import FormatError, one_line
from fer3d.formats import number_blocks
from fer3d.formats.materials import Looks, Material
from fer3d.formats.origin import near_origin
from fer3d.scan import Scan

MOST_VERTICES = 20_000_000  # of one scan; a small file can instance a mesh any number of times


@dataclass(frozen=True, eq=False)
class Part:
    """A triangle mesh of a file, in the frame of the whole file.

    Attributes:
        vertices: (N, 3) float32 or float64: in the precision of the file.
        faces: (F, 3) integer. Counter-clockwise seen from outside. Indices need not be valid: `join` checks them.
        uv: (T, 2) floating, or None. Texture coordinates, v up, after any texture transform of the file.
        uv_faces: (F, 3) integer, or None. Row of `uv` of each corner, -1 where it has none. None: row i of `uv` belongs
            to vertex i, as far as there are rows.
        colours: (N, 3) float32 in [0, 255], or None. sRGB, NaN where a vertex has none.
        material: Row in the materials of the file: one for all faces, or (F,) integer; -1 for faces without any.
        row: (N,) int32, or None. Row of each vertex in the file's list of points. None: 0 ... N - 1.
        points: Length of that list; None: N.
    """

    vertices: NDArray[np.floating]
    faces: NDArray[np.integer]
    uv: NDArray[np.floating] | None = None
    uv_faces: NDArray[np.integer] | None = None
    colours: NDArray[np.float32] | None = None
    material: int | NDArray[np.integer] = -1
    row: NDArray[np.int32] | None = None
    points: int | None = None


def join(
    path: Path,
    kind: str,
    parts: Sequence[Part],
    materials: Sequence[Material] = (),
    *,
    texture: bool = True,
    expected: bool = False,
    beside: bool = True,
    warnings: Sequence[str] = (),
    record: Mapping[str, Any] | None = None,
) -> Scan:
    """Make one scan of the parts of a file.

    Args:
        path: The file. Pictures are searched beside it.
        kind: Name of the format for the history.
        parts: In the order of the file. Those without faces are left out.
        materials: Which picture lies on which faces.
        texture: Whether the scan gets its texture. The texture coordinates are the same without it.
        expected: Whether to warn if no material has a picture and none of the file's name lies beside it.
        beside: Whether a picture of the file's name is searched if no material has one. A format whose files always
            say which picture they use needs none of it.
        warnings: What the reader noticed, without the file's name.
        record: Further entries of the history record. `beside` lists the other files that were read (materials,
            buffers), relative to the folder of the file; pictures are added here.

    Returns:
        The scan. Vertices keep the order of the file; copies of vertices with several texture coordinates come last.
        Faces without a picture beside faces with one have NaN uv.

    Raises:
        FormatError: if there is no face, a face names a vertex that is not there, or there are more than
            `MOST_VERTICES` vertices.
    """
    solid = [part for part in parts if len(part.faces)]
    if not solid:
        points = sum(len(part.vertices) for part in parts)
        raise FormatError(f"{path}: at least one face was wanted, it has {points} vertices and 0 faces")
    if sum(len(part.vertices) for part in solid) > MOST_VERTICES:
        raise FormatError(f"{path}: a scan has at most {MOST_VERTICES} vertices, it has more")
    for part in solid:
        _check_faces(path, part)
    mesh = _Mesh(solid)
    notes = list(warnings)
    corner_uv = None if mesh.uv is None else mesh.corner_uv
    looks = Looks.of(path, materials, mesh.material, corner_uv, needed=texture, expected=expected, beside=beside)
    faces, vertex_of, uv = _split(mesh, looks)
    near = near_origin(mesh.vertices)
    if (note := near.warning()) is not None:
        notes.append(note)
    split = 0 if vertex_of is None else len(vertex_of) - len(mesh.vertices)
    counts = {"vertices": mesh.points, "faces": len(faces), "split_vertices": split}
    first = {"step": "read", "file": path.name, "format": kind, **counts, **(record or {}), **near.record()}
    return Scan(
        near.vertices if vertex_of is None else near.vertices[vertex_of],
        faces,
        uv=uv,
        texture=looks.image if texture and uv is not None else None,
        wrap=looks.wrap,
        colours=mesh.colours if mesh.colours is None or vertex_of is None else mesh.colours[vertex_of],
        file_vertex=_file_vertex(mesh, vertex_of),
        placement=near.placement,
        warnings=tuple(map(one_line, (*(f"{path}: {note}" for note in notes), *looks.warnings))),
        history=(first | (looks.record if texture else {}),),
    )


def mean_at_vertices(
    faces: NDArray[np.integer], colours: NDArray[np.floating], vertices: int
) -> tuple[NDArray[np.float32], bool]:
    """Turn colours of corners into colours of vertices: the mean over the corners at a vertex.

    Args:
        faces: (F, 3) integer, in [0, vertices).
        colours: (F, 3, 3) floating: face, corner, RGB. NaN corners do not count.
        vertices: The number of vertices, V.

    Returns:
        (V, 3) float32, NaN at vertices without a coloured corner; and whether a vertex had several colours.
    """
    with np.errstate(invalid="ignore"):  # signalling NaN
        corner, flat = faces.reshape(-1), np.asarray(colours, np.float64).reshape(-1, 3)
    known = np.isfinite(flat).all(axis=1)
    corner, flat = corner[known], flat[known]
    count = np.bincount(corner, minlength=vertices)
    total = np.stack([np.bincount(corner, flat[:, k], minlength=vertices) for k in range(3)], axis=1)
    with np.errstate(invalid="ignore"):
        mean = total / count[:, None]  # 0 / 0 = NaN
    several = bool(len(corner)) and bool((np.abs(flat - mean[corner]) > 0.5).any())
    return mean.astype(np.float32), several


class _Mesh:
    """All parts in one list of vertices and one of faces."""

    def __init__(self, parts: Sequence[Part]) -> None:
        starts = np.cumsum([0, *(len(part.vertices) for part in parts)])
        rows = np.cumsum([0, *(len(part.vertices) if part.points is None else part.points for part in parts)])
        self.vertices = _concatenated([part.vertices for part in parts])
        self.faces = _concatenated([_shifted(part.faces, start) for part, start in zip(parts, starts, strict=False)])
        self.points = int(rows[-1])
        self.row: NDArray[np.int32] | None = None  # None: vertex i is row i
        if any(part.row is not None or part.points is not None for part in parts):
            self.row = _concatenated([_row(part, start) for part, start in zip(parts, rows, strict=False)])
        self.colours = _colours(parts)
        self.material = _concatenated([_face_materials(part) for part in parts])  # (F,)
        self.uv: NDArray[np.floating] | None = None
        self.uv_faces: NDArray[np.integer] | None = None
        if any(part.uv is not None and len(part.uv) for part in parts):
            self.uv, self.uv_faces = _texture_coordinates(parts, starts)

    def corner_uv(self) -> NDArray[np.float64]:
        """(F, 3, 2): uv of each corner, NaN where it has none."""
        with np.errstate(invalid="ignore"):  # signalling NaN
            padded = np.concatenate([np.asarray(self.uv, np.float64), np.full((1, 2), np.nan)])
        rows: NDArray[np.float64] = padded[self.faces if self.uv_faces is None else self.uv_faces]
        return rows


def _check_faces(path: Path, part: Part) -> None:
    if not within(part.faces, 0, len(part.vertices)):
        low, high = int(part.faces.min()), int(part.faces.max())
        bad = high if high >= len(part.vertices) else low
        raise FormatError(f"{path}: a face names vertex {bad}, counted from 0; it has {len(part.vertices)}")
    if part.uv_faces is not None and part.uv is not None:
        low, high = int(part.uv_faces.min()), int(part.uv_faces.max())
        if low < -1 or high >= len(part.uv):
            bad = high if high >= len(part.uv) else low
            raise FormatError(f"{path}: a face names texture coordinates {bad}, counted from 0; it has {len(part.uv)}")


def _concatenated(arrays: Sequence[NDArray[Any]]) -> NDArray[Any]:
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def _shifted(faces: NDArray[np.integer], start: int) -> NDArray[np.int32]:
    return np.ascontiguousarray(faces if not start else faces + start, dtype=np.int32)


def _row(part: Part, start: int) -> NDArray[np.int32]:
    row = np.arange(len(part.vertices), dtype=np.int32) if part.row is None else part.row
    return row + np.int32(start) if start else row


def _face_materials(part: Part) -> NDArray[np.int64]:
    return np.broadcast_to(np.asarray(part.material, np.int64), (len(part.faces),))


def _colours(parts: Sequence[Part]) -> NDArray[np.float32] | None:
    if all(part.colours is None for part in parts):
        return None
    missing = np.float32(np.nan)
    rows = [
        np.full((len(part.vertices), 3), missing) if part.colours is None else np.asarray(part.colours, np.float32)
        for part in parts
    ]
    return np.ascontiguousarray(_concatenated(rows))


def _texture_coordinates(
    parts: Sequence[Part], starts: NDArray[np.integer]
) -> tuple[NDArray[np.floating], NDArray[np.integer] | None]:
    """One table of uv, and the rows of the corners in it; None if row i of the table belongs to vertex i."""
    if all(part.uv is None or part.uv_faces is None or _same(part) for part in parts):
        return _concatenated([_per_vertex(part) for part in parts]), None
    tables, rows, start = [], [], 0
    for part in parts:
        if part.uv is not None and part.uv_faces is not None and not _same(part):
            with np.errstate(invalid="ignore"):  # signalling NaN
                table, index = np.asarray(part.uv, np.float64), part.uv_faces
        else:
            table, index = _per_vertex(part), part.faces
        tables.append(table)
        rows.append(np.where(index < 0, -1, index + start))
        start += len(table)
    return _concatenated(tables), _concatenated(rows)


def _same(part: Part) -> bool:
    """Whether each corner has the uv of its vertex's row: the usual case of a file that names the rows twice."""
    return part.uv_faces is not None and np.array_equal(part.uv_faces, part.faces)


def _per_vertex(part: Part) -> NDArray[np.float64]:
    """(N, 2): uv of each vertex, NaN where there is none."""
    out = np.full((len(part.vertices), 2), np.nan)
    if part.uv is not None:
        count = min(len(part.uv), len(out))
        with np.errstate(invalid="ignore"):  # signalling NaN, as in a damaged file
            out[:count] = part.uv[:count]
    return out


def _file_vertex(mesh: _Mesh, vertex_of: NDArray[np.int32] | None) -> NDArray[np.int32] | None:
    """The row in the file of each vertex; None if vertex i is row i."""
    if vertex_of is None and mesh.row is None:
        return None
    row = np.arange(len(mesh.vertices), dtype=np.int32) if mesh.row is None else mesh.row
    row = row if vertex_of is None else row[vertex_of]
    return None if np.array_equal(row, np.arange(mesh.points)) else row


def _split(mesh: _Mesh, looks: Looks) -> tuple[NDArray[np.int32], NDArray[np.int32] | None, NDArray[np.float32] | None]:
    """Faces, the vertex of each new vertex (None: the same), and its uv."""
    if mesh.uv is None:
        return mesh.faces, None, None
    uv, uv_faces = mesh.uv, mesh.uv_faces
    if looks.corners is not None:
        uv, uv_faces = _distinct(looks.corners)
    elif looks.bare is not None:
        uv_faces = np.where(looks.bare[:, None], -1, mesh.faces if uv_faces is None else uv_faces)
    with np.errstate(over="ignore", invalid="ignore"):
        inside = np.asarray(in_first_tile(uv, looks.wrap), np.float32)
    table = np.concatenate([inside, np.full((1, 2), np.nan, np.float32)])
    if uv_faces is None:
        return mesh.faces, None, _or_none(np.ascontiguousarray(table[:-1]))
    rows = np.where(uv_faces < 0, len(table) - 1, uv_faces).astype(np.int32)
    faces, vertex_of, row = number_blocks.split_vertices(mesh.faces, np.ascontiguousarray(rows), len(mesh.vertices))
    found = table[row]
    found[row < 0] = np.nan
    return faces, vertex_of if len(vertex_of) > len(mesh.vertices) else None, _or_none(found)


def in_first_tile(uv: NDArray[np.floating], wrap: tuple[str, str]) -> NDArray[np.floating]:
    """Texture coordinates (T, 2) that lie in one copy of a texture that repeats, moved to the copy in [0, 1].

    Nothing changes on the scan. Libraries that do not repeat textures show it rightly too.
    """
    shift = [_tile(uv[:, axis]) if wrap[axis] == "repeat" else 0.0 for axis in (0, 1)]
    return uv - np.array(shift) if any(shift) else uv


def _tile(values: NDArray[np.floating]) -> float:
    """The copy of a texture in which all coordinates (T,) lie; 0 if they lie in several, or already in [0, 1]."""
    low, high = values.min(initial=np.inf), values.max(initial=-np.inf)
    if np.isnan(low):
        known = values[~np.isnan(values)]
        low, high = known.min(initial=np.inf), known.max(initial=-np.inf)
    if (low >= 0 and high <= 1) or not np.isfinite(low):
        return 0.0
    tile = float(np.floor(low))
    return tile if high <= tile + 1 else 0.0


def _distinct(corners: NDArray[np.float64]) -> tuple[NDArray[np.float32], NDArray[np.integer]]:
    """A table of the distinct uv among (F, 3, 2), and the (F, 3) rows of the corners in it, -1 for NaN."""
    pairs = np.ascontiguousarray(corners.reshape(-1, 2), dtype=np.float32) + np.float32(0)  # -0 becomes 0
    missing = np.isnan(pairs).any(axis=1)
    distinct, index = np.unique(pairs.view(np.uint64).ravel(), return_inverse=True)
    return distinct.view(np.float32).reshape(-1, 2), np.where(missing, -1, index).reshape(-1, 3)


def _or_none(uv: NDArray[np.float32]) -> NDArray[np.float32] | None:
    return None if np.isnan(uv).all() else uv
