"""Geomview .off, in text and binary: OFF, COFF, NOFF, STOFF and their combinations.

A vertex has x y z, then a normal (N), a colour (C), texture coordinates (ST), as the word at the start says. A face has
a number of corners, its corners, and perhaps a colour.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fer3d.errors import FormatError
from fer3d.files import line_of, read_bytes, write_bytes
from fer3d.formats import number_blocks, rows
from fer3d.formats.colours import as_colours
from fer3d.formats.parts import Part, join, mean_at_vertices
from fer3d.formats.polygons import cut, whole
from fer3d.formats.rows import Column, Lists
from fer3d.scan import Scan, check_scan

# Blanks and comments, the word, and whether the rest is binary. The word may be missing.
_WORD = re.compile(
    rb"(?:\xef\xbb\xbf)?(?:[ \t\r\n]++|#[^\r\n]*+)*+(?P<word>(?P<uv>ST|st)?(?P<colour>[Cc])?(?P<normal>N)?"
    rb"(?P<dimensions>4?n?)(?:OFF|off)(?![^ \t\r\n#])(?:[ \t]++(?P<binary>BINARY|binary)(?![^ \t\r\n]))?)?"
)


class _Kind(NamedTuple):
    """What the word at the start says each vertex has."""

    uv: bool
    colour: bool
    normal: bool
    binary: bool

    @property
    def word(self) -> str:
        return f"{'ST' * self.uv}{'C' * self.colour}{'N' * self.normal}OFF"

    @property
    def least(self) -> int:
        return 3 + 3 * self.normal + 3 * self.colour + 2 * self.uv


class _Faces(NamedTuple):
    """The faces of a file.

    Attributes:
        corners: Of each face.
        colours: Numbers after the corners of each face: none, 1 (row of a table of colours), 3 or 4.
    """

    corners: Lists
    colours: Lists


def read(path: str | os.PathLike[str], *, texture: bool = True) -> Scan:
    """Read a scan from an .off file, in the unit and frame of the file.

    Args:
        path: The .off file.
        texture: Whether to decode a picture of the same name beside a file with texture coordinates.

    Returns:
        The scan, with vertices in the order of the file.

    Raises:
        FileError: if the file cannot be opened.
        FormatError: if it does not begin as an .off, has points of more or fewer than three coordinates, is shorter
            than it says, an index is out of range, or there is no face.
    """
    path = Path(path)
    content = read_bytes(path)
    kind, begin = _kind(content, path)
    notes: list[str] = []
    table, faces, stop = (_binary if kind.binary else _text)(content, begin, kind, path)
    left = content[stop:] if kind.binary else re.sub(rb"#[^\r\n]*", b"", content[stop:])
    if left.strip():
        notes.append(f"{len(left.strip())} bytes after its last face are left out")
    part = _part(kind, table, faces, path, notes)
    if not len(part.faces):
        from fer3d.formats.point_cloud import scan_of_points

        return scan_of_points(path, "off", part.vertices, part.colours, texture=texture, warnings=notes)
    return join(path, "off", [part], texture=texture, warnings=notes)


def _kind(content: bytes, path: Path) -> tuple[_Kind, int]:
    """What the word at the start says, and where the counts begin."""
    found = _WORD.match(content)
    assert found is not None  # everything in it is optional
    begin = found.end()
    if found["dimensions"]:
        raise FormatError(f"{path}: points of three coordinates were wanted, 4OFF and nOFF have more or fewer")
    if found["word"] is None and not content[begin : begin + 1].isdigit():
        raise FormatError(
            f"{path}: should begin with 'OFF' or 'COFF', 'NOFF', 'STOFF', begins with {content[begin : begin + 12]!r}"
        )
    if found["binary"]:
        begin = content.find(b"\n", begin) + 1 or len(content)
    return _Kind(*(bool(found[name]) for name in ("uv", "colour", "normal", "binary"))), begin


def _counts(values: NDArray[np.floating], content: bytes, where: str) -> tuple[int, int]:
    """Number of vertices and of faces, of 2 or 3 numbers: that of edges may be missing."""
    good = (values[:2] >= 0) & (values[:2] < 2**53)
    if len(values) not in (2, 3) or not good.all() or (values[:2] != np.floor(values[:2])).any():
        shown = " ".join(f"{value:g}" for value in values[:6]) or "nothing"
        raise FormatError(f"{where}: the number of vertices and of faces was wanted after 'OFF', found {shown}")
    vertices, faces = int(values[0]), int(values[1])
    if 2 * (vertices + faces) > len(content):
        raise FormatError(
            f"{where}: its header says {vertices} vertices and {faces} faces, {len(content)} bytes cannot hold them"
        )
    return vertices, faces


def _text(content: bytes, begin: int, kind: _Kind, path: Path) -> tuple[NDArray[Any], _Faces, int]:
    """The vertices (V, width), the faces, and where they end."""
    head = number_blocks.lines(content, begin, path, wanted=1)
    at = int(head.offsets[0]) if len(head.offsets) else begin
    vertices, faces = _counts(head.values, content, f"{path}: line {line_of(content, at)}")
    points = number_blocks.lines(content, head.stop, path, wanted=vertices)
    polygons = number_blocks.lines(content, points.stop, path, wanted=faces)
    if len(points.counts) < vertices or len(polygons.counts) < faces:
        raise FormatError(
            f"{path}: its header says {vertices} vertices and {faces} faces, it has "
            f"{len(points.counts) + len(polygons.counts)} lines of them"
        )
    width = int(points.counts[0]) if vertices else 3
    wrong = (points.counts != width) | (points.counts < kind.least)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise FormatError(
            f"{path}: line {line_of(content, int(points.offsets[row]))}: a vertex of {kind.word} should have "
            f"{max(width, kind.least)} numbers, as many on each line; it has {points.counts[row]}"
        )
    return points.values.reshape(vertices, width), _text_faces(polygons, content, path), polygons.stop


def _text_faces(polygons: number_blocks.Lines, content: bytes, path: Path) -> _Faces:
    counts = polygons.counts.astype(np.int64)
    start = np.cumsum(counts) - counts
    corners = polygons.values[start]
    good = (corners >= 0) & (corners <= counts - 1) & (np.floor(np.where(np.isfinite(corners), corners, -1)) == corners)
    more = counts - 1 - np.where(good, corners, 0)
    good &= np.isin(more, (0, 1, 3, 4))
    if not good.all():
        row = int(np.argmin(good))
        where = f"{path}: line {line_of(content, int(polygons.offsets[row]))}"
        raise FormatError(
            f"{where}: a face should be its number of corners, the corners, and no more or a colour of 1, 3 or 4 "
            f"numbers; it has {counts[row]} numbers, of which the first is {corners[row]:g}"
        )
    place = np.arange(len(polygons.values)) - np.repeat(start, counts)
    of_face = np.repeat(corners, counts)
    return _Faces(
        Lists(corners.astype(np.int64), polygons.values[(place > 0) & (place <= of_face)]),
        Lists(more.astype(np.int64), polygons.values[place > of_face]),
    )


def _binary(content: bytes, begin: int, kind: _Kind, path: Path) -> tuple[NDArray[Any], _Faces, int]:
    """As `_text`. Numbers are big-endian, of 32 bits; colours of vertices have four."""
    if len(content) < begin + 12:
        raise FormatError(f"{path}: the number of vertices, faces and edges was wanted after 'BINARY', the file ends")
    vertices, faces = _counts(np.frombuffer(content, ">i4", 3, begin).astype(np.float64), content, os.fspath(path))
    width = kind.least + kind.colour
    columns = [Column(str(i), "f4") for i in range(width)]
    points = rows.read(content, begin + 12, vertices, columns, "big", path, "vertices")
    columns = [Column("corners", "i4", "i4"), Column("colours", "f4", "i4")]
    polygons = rows.read(content, points.stop, faces, columns, "big", path, "faces")
    table = np.stack([points.numbers[str(i)] for i in range(width)], axis=1).astype(np.float32)
    colours = polygons.lists["colours"]
    if not np.isin(colours.counts, (0, 1, 3, 4)).all():
        raise FormatError(
            f"{path}: a face should have a colour of 0, 1, 3 or 4 numbers, one has {colours.counts.max()}"
        )
    return table, _Faces(polygons.lists["corners"], colours), polygons.stop


def _part(kind: _Kind, table: NDArray[Any], faces: _Faces, path: Path, notes: list[str]) -> Part:
    """The vertices and faces with their looks."""
    corners = whole(faces.corners.values, path, "indices of vertices")
    colour = 3 + 3 * kind.normal  # where the colour of a vertex begins
    alpha = kind.colour and table.shape[1] > kind.least
    extra = table.shape[1] - kind.least - alpha
    if extra:
        notes.append(f"its vertices have {extra} numbers more than {kind.word} has: they are left out, colours or not")
    colours = as_colours(table[:, colour : colour + 3], "f4") if kind.colour else None
    uv_at = colour + (3 + alpha if kind.colour else 0)
    uv = table[:, uv_at : uv_at + 2] if kind.uv else None
    of_faces = _face_colours(faces, corners, len(table), notes)
    if of_faces is not None and colours is not None:
        notes.append("it has colours of vertices and of faces: those of vertices are used")
    points = np.ascontiguousarray(table[:, :3])
    way = cut(faces.corners.counts, corners, points)
    notes += way.notes()
    return Part(points, way.of_corners(corners), uv, colours=of_faces if colours is None else colours)


def _face_colours(faces: _Faces, corners: NDArray[Any], vertices: int, notes: list[str]) -> NDArray[np.float32] | None:
    """(V, 3) float32: the mean colour of the faces at each vertex, NaN where none has one; None if no face has one."""
    counts, values = faces.colours.counts, np.asarray(faces.colours.values, np.float64)
    indexed = int((counts == 1).sum())
    if indexed:
        notes.append(f"{indexed} of its faces have a row in a table of colours that the file lacks: it is left out")
    if not (counts >= 3).any() or not len(corners) or corners.min() < 0 or corners.max() >= vertices:
        return None
    start = np.cumsum(counts) - counts
    per_face = np.full((len(counts), 3), np.nan)
    per_face[counts >= 3] = values[start[counts >= 3][:, None] + np.arange(3)]
    scaled = as_colours(per_face, "f4")
    assert scaled is not None  # real numbers have a range
    mean, several = mean_at_vertices(corners, np.repeat(scaled, faces.corners.counts, axis=0), vertices)
    if several:
        notes.append("vertices with several colours: their mean is taken")
    return mean


def write(scan: Scan, path: str | os.PathLike[str]) -> None:
    """Write the surface of a scan as .off, with its colours as COFF. Numbers read back exactly.

    Colours are whole numbers in [0, 255]; where some vertices have none, they are real numbers in [0, 1] and nan.

    Raises:
        ArgumentError: if the scan has no face.
        FileError: if the file cannot be written.
    """
    check_scan("scan", scan)
    table: NDArray[Any] = scan.vertices
    row = "%.9g %.9g %.9g\n"
    if scan.colours is not None:
        known = bool(np.isfinite(scan.colours).all()) and bool(np.rint(scan.colours).max() > 1)
        full = np.float32(1 if known else 255)
        row = "%.9g %.9g %.9g %d %d %d 255\n" if known else "%.9g %.9g %.9g %.9g %.9g %.9g 1\n"
        table = np.hstack([table, np.rint(scan.colours) if known else scan.colours / full])
    lines = [f"{'' if scan.colours is None else 'C'}OFF\n{len(table)} {len(scan.faces)} 0\n"]
    lines.append((row * len(table)) % tuple(table.ravel().tolist()))
    lines.append(("3 %d %d %d\n" * len(scan.faces)) % tuple(scan.faces.ravel().tolist()))
    write_bytes(Path(path), "".join(lines).encode())
