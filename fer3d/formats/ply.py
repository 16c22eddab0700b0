"""Stanford .ply, in text and binary, with the textures and colours that scanners and mesh programs put into it.

Elements may stand in any order. `vertex` holds the points, `face` polygons, `tristrips` triangle strips and
`range_grid` a range image; other elements are skipped. `comment TextureFile` names a picture beside the file.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer3d.errors import FormatError
from fer3d.files import read_bytes, write_bytes
from fer3d.formats import ply_faces, ply_looks, rows, textures
from fer3d.formats.materials import Material
from fer3d.formats.parts import Part, join
from fer3d.formats.ply_faces import Surface
from fer3d.formats.ply_header import Element, Header, listed, read_header
from fer3d.scan import Scan, check_scan

SURFACES = ("face", "tristrips", "range_grid")  # elements that name the corners of faces

# Other elements whose names say that they hold looks, or a surface: they are named in a warning.
_NAMED = re.compile(r".*(material|tex|uv|colou?r|image|face|tri|poly|strip|fan|quad|patch)")


def read(path: str | os.PathLike[str], *, texture: bool = True) -> Scan:
    """Read a scan from a .ply file, in the unit and frame of the file.

    Args:
        path: The .ply file.
        texture: Whether to find and decode its textures.

    Returns:
        The scan, with vertices in the order of the file. Vertices with several uv are split; the copies come last.

    Raises:
        FileError: if the file cannot be opened.
        FormatError: if the header is malformed, the file is shorter than it says, an element lacks a property it needs,
            an index is out of range, or there is no face.
    """
    path = Path(path)
    content = read_bytes(path)
    header = read_header(content, path)
    notes = list(header.notes)
    element = _vertex(header, path)
    tables = _tables(content, header, path, notes)
    table = tables[element.name]
    points = _points(table)
    colours, uv = _looks_of_vertices(element, table, notes)
    surfaces, record = _surfaces(header, tables, points, path, notes)
    if not surfaces:
        from fer3d.formats.point_cloud import scan_of_points

        if uv is not None:
            notes.append("its points have texture coordinates but no faces: they are left out")
        return scan_of_points(path, "ply", points, colours, texture=texture, warnings=notes)
    parts, materials = _parts(header, surfaces, points, colours, uv, notes)
    return join(path, "ply", parts, materials, texture=texture, warnings=notes, record=record)


def _tables(content: bytes, header: Header, path: Path, notes: list[str]) -> dict[str, rows.Table]:
    """Read all elements, in the order of the file: name -> table."""
    tables: dict[str, rows.Table] = {}
    at = header.stop
    known = ("vertex", *SURFACES)
    for element in header.elements:
        keep = None if element.name.lower() in known else ()
        what = f"element {element.name!r}"
        table = rows.read(content, at, element.rows, element.columns, header.encoding, path, what, keep)
        tables[element.name] = table
        at = table.stop
        if keep is not None and element.rows and _NAMED.match(element.name.lower()):
            notes.append(f"{what} with {element.said()} is not read")
    left = content[at:].strip()
    if left:
        notes.append(f"{len(left)} bytes after its last element are left out")
    return tables


def _vertex(header: Header, path: Path) -> Element:
    """The element that holds the points. Raises FormatError if it is missing, or what this or the faces need is."""
    element = header.element("vertex")
    if element is None:
        named = listed([e.name for e in header.elements])
        raise FormatError(f"{path}: an element 'vertex' was wanted, its elements are {named}")
    columns = [element.column(name) for name in "xyz"]
    if any(column is None or column.length is not None for column in columns):
        raise FormatError(f"{path}: element {element.name!r} should have numbers x, y and z, it has {element.said()}")
    for name in SURFACES:
        if (surface := header.filled(name)) is not None:
            ply_faces.index_column(surface, path)
    return element


def _points(table: rows.Table) -> NDArray[np.floating]:
    """(V, 3), float32 if the file has float32 in binary, else float64."""
    points = ply_looks.columns_of(table, ("x", "y", "z"))
    single = points.dtype.kind == "f" and points.dtype.itemsize == 4
    return np.ascontiguousarray(points, np.float32 if single else np.float64)


def _looks_of_vertices(
    element: Element, table: rows.Table, notes: list[str]
) -> tuple[NDArray[np.float32] | None, NDArray[Any] | None]:
    """Colours (V, 3) and texture coordinates (V, 2) of vertices, each None if there are none."""
    used: set[str] = set("xyz")
    colours = uv = None
    rgb, pair = ply_looks.rgb_columns(element), ply_looks.uv_columns(element)
    if rgb is not None:
        colours = ply_looks.rgb_of(table, element, rgb)
        used |= set() if colours is None else set(rgb)
    if pair is not None:
        used |= set(pair)
        uv = ply_looks.columns_of(table, pair)
    notes += ply_looks.unused(element, used)
    return colours, uv


def _surfaces(
    header: Header, tables: dict[str, rows.Table], points: NDArray[np.floating], path: Path, notes: list[str]
) -> tuple[list[Surface], dict[str, Any]]:
    """The faces of all elements that hold some, and further entries of the history record."""
    surfaces: list[Surface] = []
    if (element := header.filled("face")) is not None:
        surfaces.append(ply_faces.polygons(element, tables[element.name], points, path, notes))
    if (element := header.filled("tristrips")) is not None:
        surfaces.append(ply_faces.strips(element, tables[element.name], path))
        notes += ply_looks.unused(element, set(ply_faces.INDEX_NAMES))
    if not surfaces and (element := header.filled("range_grid")) is not None:
        notes += ply_looks.unused(element, set(ply_faces.INDEX_NAMES))
        surface, record = ply_faces.grid(element, tables[element.name], header, points, path)
        return [surface], record
    return surfaces, {}


def _parts(
    header: Header,
    surfaces: list[Surface],
    points: NDArray[np.floating],
    colours: NDArray[np.float32] | None,
    uv: NDArray[Any] | None,
    notes: list[str],
) -> tuple[list[Part], list[Material]]:
    """One part: all surfaces share the vertices of the file."""
    surface = _together(surfaces)
    if surface.colours is not None:
        if colours is None:
            colours = surface.colours
        else:
            notes.append("it has colours of vertices and of faces: those of vertices are used")
    if surface.uv is not None:
        if uv is not None:
            notes.append("it has texture coordinates of vertices and of corners: those of corners are used")
        uv = surface.uv
    materials = [
        Material(f"TextureFile {i}" if len(header.textures) > 1 else "its TextureFile", (name,))
        for i, name in enumerate(header.textures)
    ]
    part = Part(points, surface.faces, uv, surface.uv_faces, colours, _material(surface, len(materials), notes))
    return [part], materials


def _together(surfaces: list[Surface]) -> Surface:
    if len(surfaces) == 1:
        return surfaces[0]
    first, second = surfaces
    more = len(second.faces)
    return Surface(
        np.concatenate([first.faces.astype(np.int64), second.faces]),
        first.uv,
        None if first.uv_faces is None else np.concatenate([first.uv_faces, np.full((more, 3), -1)]),
        None if first.number is None else np.concatenate([first.number, np.full(more, -1)]),
        first.colours,
    )


def _material(surface: Surface, textures_named: int, notes: list[str]) -> int | NDArray[np.integer]:
    """Which TextureFile each face has."""
    number = surface.number
    if number is None:
        if textures_named > 1:
            notes.append(f"it names {textures_named} textures and no texnumber of its faces: the first is taken")
        return 0 if textures_named else -1
    lost = (number < -1) | (number >= textures_named)
    if lost.any():
        notes.append(f"texnumber {number[lost][0]} of {lost.sum()} faces names no TextureFile; it has {textures_named}")
    wide: NDArray[np.integer] = np.where((number >= 0) & (number < textures_named), number, -1).astype(np.int64)
    return wide


def write(scan: Scan, path: str | os.PathLike[str]) -> None:
    """Write a scan as binary .ply, with its uv as s and t and its colours as red, green and blue.

    A scan with uv and texture also gives `<stem>.png` beside it. Colours are whole numbers in [0, 255]; where some
    vertices have none, they are real numbers in [0, 1], as only these can be NaN. How a texture continues outside
    [0, 1] cannot be written.

    Raises:
        ArgumentError: if the scan has no face.
        FileError: if a file cannot be written.
    """
    check_scan("scan", scan)
    path = Path(path)
    head = ["ply", "format binary_little_endian 1.0"]
    if scan.texture is not None and scan.uv is not None:
        image = f"{path.stem}.png"
        textures.write(scan.texture, path.with_name(image))
        head.append(f"comment TextureFile {image}")
    columns: list[tuple[str, NDArray[Any]]] = [*zip("xyz", scan.vertices.T, strict=True)]
    if scan.uv is not None:
        columns += zip("st", scan.uv.T, strict=True)
    if scan.colours is not None:
        whole = np.isfinite(scan.colours).all()
        numbers = np.rint(scan.colours).clip(0, 255).astype(np.uint8) if whole else scan.colours / np.float32(255)
        columns += zip(("red", "green", "blue"), numbers.T, strict=True)
    table = np.empty(len(scan.vertices), [(name, "u1" if c.dtype == np.uint8 else "<f4") for name, c in columns])
    for name, column in columns:
        table[name] = column
    head.append(f"element vertex {len(table)}")
    head += [f"property {'uchar' if column.dtype == np.uint8 else 'float'} {name}" for name, column in columns]
    head += [f"element face {len(scan.faces)}", "property list uchar int vertex_indices", "end_header\n"]
    faces = np.empty(len(scan.faces), [("corners", "u1"), ("rows", "<i4", 3)])
    faces["corners"], faces["rows"] = 3, scan.faces
    write_bytes(path, "\n".join(head).encode() + table.tobytes() + faces.tobytes())
