"""The surface of a .ply: polygons, triangle strips, or a range grid; with the uv, colours and textures of its faces."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer3d.errors import FormatError
from fer3d.formats import ply_looks, range_grid
from fer3d.formats.colours import as_colours
from fer3d.formats.parts import mean_at_vertices
from fer3d.formats.ply_header import Element, Header
from fer3d.formats.polygons import Cut, cut, whole
from fer3d.formats.rows import Lists, Table, same_rows

INDEX_NAMES = ("vertex_indices", "vertex_index")


@dataclass
class Surface:
    """Triangles of a .ply.

    Attributes:
        faces: (F, 3) integer.
        uv: (T, 2) float32, or None. Texture coordinates of corners.
        uv_faces: (F, 3) integer, or None. Rows of `uv`, -1 where a corner has none.
        number: (F,) integer, or None. Which texture each face has.
        colours: (V, 3) float32, or None. Colours of faces or corners, at the vertices.
    """

    faces: NDArray[Any]
    uv: NDArray[np.float32] | None = None
    uv_faces: NDArray[np.integer] | None = None
    number: NDArray[Any] | None = None
    colours: NDArray[np.float32] | None = None


def index_column(element: Element, path: Path) -> str:
    """Name of the list of corners of an element.

    Raises:
        FormatError: if it has none.
    """
    name = ply_looks.list_column(element, INDEX_NAMES, "iuf")
    if name is None:
        wanted = " or ".join(INDEX_NAMES)
        raise FormatError(f"{path}: element {element.name!r} should have a list {wanted}, it has {element.said()}")
    return name


def polygons(element: Element, table: Table, points: NDArray[np.floating], path: Path, notes: list[str]) -> Surface:
    """The faces of element `face`, cut into triangles. Those with fewer than three corners are left out.

    Raises:
        FormatError: if an index is no whole number, or a face has texture coordinates for some of its corners only.
    """
    name = index_column(element, path)
    lists = table.lists[name]
    corners = whole(lists.values, path, "indices of vertices")
    way = cut(lists.counts, corners, points)
    notes += way.notes()
    surface = Surface(way.of_corners(corners))
    used = {name}
    uv_name = ply_looks.list_column(element, ply_looks.CORNER_UV_NAMES, "f")
    if uv_name is not None:
        used.add(uv_name)
        surface.uv, surface.uv_faces = _corner_uv(table.lists[uv_name], lists, way, path, uv_name)
    number = ply_looks.number_column(element)
    if number is not None:
        used.add(number)
        surface.number = way.of_polygons(whole(table.numbers[number], path, f"numbers {number}"))
    surface.colours, colour_names = _colours(element, table, lists, corners, len(points), notes)
    notes += ply_looks.unused(element, used | colour_names)
    return surface


def _corner_uv(
    uv: Lists, corners: Lists, way: Cut, path: Path, name: str
) -> tuple[NDArray[np.float32], NDArray[np.integer]]:
    """Distinct texture coordinates (T, 2), and rows in them of the corners of triangles (F, 3), -1: none."""
    wrong = (uv.counts != 2 * corners.counts) & (uv.counts != 0)
    if wrong.any():
        face = int(np.argmax(wrong))
        raise FormatError(
            f"{path}: element 'face': face {face}, counted from 0, should have {2 * corners.counts[face]} numbers "
            f"{name} for its {corners.counts[face]} corners, or none; it has {uv.counts[face]}"
        )
    with np.errstate(over="ignore", invalid="ignore"):
        pairs = np.ascontiguousarray(uv.values, np.float32).reshape(-1, 2) + np.float32(0)  # -0 becomes 0
    first, kind = same_rows(pairs)
    rows = np.full(len(corners.values), -1, np.int32)
    rows[np.repeat(uv.counts != 0, corners.counts)] = kind
    return pairs[first], way.of_corners(rows)


def _colours(
    element: Element, table: Table, lists: Lists, corners: NDArray[Any], vertices: int, notes: list[str]
) -> tuple[NDArray[np.float32] | None, set[str]]:
    """Colours of faces or of their corners at the vertices (V, 3), and the properties that they come from."""
    if not len(corners) or int(corners.min()) < 0 or int(corners.max()) >= vertices:
        return None, set()
    names: set[str] = set()
    per_corner = None
    rgb = ply_looks.rgb_columns(element)
    wedge = ply_looks.list_column(element, ply_looks.CORNER_RGB_NAMES, "fiu")
    if wedge is not None and (table.lists[wedge].counts == 3 * lists.counts).all():
        column = element.column(wedge)
        assert column is not None
        per_corner, names = as_colours(table.lists[wedge].values.reshape(-1, 3), column.item), {wedge}
    elif rgb is not None:
        per_face, names = ply_looks.rgb_of(table, element, rgb), set(rgb)
        per_corner = None if per_face is None else np.repeat(per_face, lists.counts, axis=0)
    if per_corner is None:
        return None, set()
    mean, several = mean_at_vertices(corners, per_corner, vertices)
    if several:
        notes.append("vertices with several colours: their mean is taken")
    return mean, names


def strips(element: Element, table: Table, path: Path) -> Surface:
    """The triangles of element `tristrips`: runs of vertices, ended by -1, of which each three in a row are a triangle.

    Every second triangle of a run is turned round. Triangles with the same vertex twice join two parts of a run and are
    left out.

    Raises:
        FormatError: if an index is no whole number or below -1.
    """
    name = index_column(element, path)
    lists = table.lists[name]
    values = np.asarray(whole(lists.values, path, "indices of vertices"), np.int64)
    if len(values) and values.min() < -1:
        raise FormatError(f"{path}: element {element.name!r} names vertex {values.min()}; -1 ends a strip")
    values = np.insert(values, np.cumsum(lists.counts), -1)  # each list ends a strip too
    ends = np.flatnonzero(values == -1)
    at = np.arange(len(values))
    run = np.searchsorted(ends, at)  # number of the run of each place
    begin = np.concatenate([[0], ends + 1])[run]
    a, b, c = values[:-2], values[1:-1], values[2:]
    good = (a >= 0) & (b >= 0) & (c >= 0) & (a != b) & (b != c) & (a != c)
    odd = (at - begin)[: len(a)] % 2 == 1
    faces = np.stack([np.where(odd, b, a), np.where(odd, a, b), c], axis=1)[good]
    return Surface(faces)


def grid(
    element: Element, table: Table, header: Header, points: NDArray[np.floating], path: Path
) -> tuple[Surface, dict[str, Any]]:
    """The triangles of element `range_grid`: a range image whose pixels have one vertex or none.

    Raises:
        FormatError: if the header has no `obj_info num_cols` and `num_rows`, they do not fit, or a pixel names several
            vertices or one that is not there.
    """
    lists = table.lists[index_column(element, path)]
    size = []
    for name in ("num_rows", "num_cols"):
        said = header.info.get(name, "")
        if not (said.isascii() and said.isdigit() and len(said) < 10):
            raise FormatError(f"{path}: element {element.name!r} needs `obj_info {name}`, the header says {said!r}")
        size.append(int(said))
    if size[0] * size[1] != element.rows:
        raise FormatError(
            f"{path}: element {element.name!r} should have {size[0]} x {size[1]} rows as obj_info says, it has "
            f"{element.rows}"
        )
    if (lists.counts > 1).any():
        most = int(lists.counts.max())
        raise FormatError(f"{path}: element {element.name!r}: a pixel has one vertex or none, one has {most}")
    row = np.full(element.rows, -1, np.int64)
    row[lists.counts == 1] = whole(lists.values, path, "indices of vertices")
    if (row[lists.counts == 1] < 0).any() or (len(row) and row.max() >= len(points)):
        bad = int(row.max()) if row.max() >= len(points) else int(row[lists.counts == 1].min())
        raise FormatError(f"{path}: element {element.name!r} names vertex {bad}, counted from 0; it has {len(points)}")
    row = row.reshape(size)
    padded = np.concatenate([np.asarray(points, np.float64), np.full((1, 3), np.nan)])
    valid = row >= 0
    faces, pitch = range_grid.triangulate(padded[row], valid)
    return Surface(row[valid][faces].reshape(-1, 3)), {"rows": size[0], "columns": size[1], "pitch": pitch}
