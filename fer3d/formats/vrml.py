"""VRML 2.0 (VRML97, ISO/IEC 14772-1), .wrl and .wrz: the format of BU-3DFE, BU-4DFE and of many scanners.

The reader draws the file as a browser does before anything moves: it follows Transforms, Switch, LOD, DEF and USE and
the instances of PROTO, and reads each IndexedFaceSet and ElevationGrid with its texture and colours. What it does not
read is warned of: `docs/formats.md` goes through the standard construct by construct.
"""

from __future__ import annotations

import gzip
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fer3d.errors import ArgumentError, FormatError
from fer3d.files import read_bytes, write_bytes
from fer3d.formats import parts, textures
from fer3d.formats.materials import Material
from fer3d.formats.vrml_fields import Fields
from fer3d.formats.vrml_geometry import Geometries
from fer3d.formats.vrml_header import text_of
from fer3d.formats.vrml_looks import Looks
from fer3d.formats.vrml_nodes import parse
from fer3d.formats.vrml_parts import Piece, parts_of, placed
from fer3d.formats.vrml_scene import Drawn, drawn
from fer3d.formats.vrml_tree import Notes, Source
from fer3d.scan import Scan, check_scan

_SEVERAL = "vertices with several colours: their mean is taken"
_LEFT_OUT = "a geometry was left out that is no mesh|{n} geometries were left out that are no meshes"
_NO_UV = (
    "a face set has a texture but no texture coordinates: its faces have no uv"
    "|{n} face sets have a texture but no texture coordinates: their faces have no uv"
)
_NAN_COLOUR = 0.8  # the grey of a Material that says nothing


def read(path: str | os.PathLike[str], *, texture: bool = True) -> Scan:
    """Read a scan from a VRML 2.0 file, in the unit and frame of the file.

    Args:
        path: The .wrl or .wrz file, plain or packed with gzip.
        texture: Whether to find and decode the texture. The uv are always read.

    Returns:
        The scan, with vertices in the order of the file. If a texCoordIndex gives a vertex several uv, the further
        copies of the vertex come last. Where USE repeats a geometry, its vertices are repeated. `file_vertex` holds
        the row of each vertex in the point lists of the file, counted through all of them. Vertices that no face uses
        get NaN uv if there is a texCoordIndex.

    Raises:
        FileError: if the file cannot be opened.
        FormatError: if it is not VRML 2.0, breaks off, draws no face, or an index is out of range.
    """
    path = Path(path)
    found = _content(path)  # the text of the file is let go before its picture is read
    if isinstance(found, _Points):
        from fer3d.formats.point_cloud import scan_of_points

        return scan_of_points(path, "vrml", found.points, found.colours, texture=texture, warnings=found.warnings)
    return parts.join(
        path,
        "vrml",
        found.meshes,
        found.materials,
        texture=texture,
        expected=True,
        warnings=found.warnings,
        record={"face_sets": found.face_sets},
    )


class _Meshes(NamedTuple):
    """What a file draws: its meshes."""

    meshes: Sequence[parts.Part]
    materials: Sequence[Material]
    face_sets: int
    warnings: list[str]


class _Points(NamedTuple):
    """What a file draws that has points and no face."""

    points: NDArray[np.float64]
    colours: NDArray[np.float32] | None
    warnings: list[str]


def _content(path: Path) -> _Meshes | _Points:
    source = Source(os.fspath(path), text_of(read_bytes(path), path))
    notes = Notes()
    fields = Fields(source, notes)
    found = drawn(fields, parse(source, notes))
    geometries, looks = Geometries(fields), Looks(fields)
    pieces = _pieces(found, fields, geometries, looks)
    clouds = [one for one in found if one.geometry.node.kind == "PointSet"]
    if not pieces:
        return _points_alone(path, source, notes, geometries, clouds)
    for cloud in clouds:
        notes.add(_LEFT_OUT, cloud.geometry.node.offset, "PointSet")
    made, several = parts_of(source.path, pieces)
    return _Meshes(made, looks.materials, len(pieces), [*notes.lines(source), *([_SEVERAL] if several else [])])


def write(scan: Scan, path: str | os.PathLike[str], *, texture_name: str | None = None) -> None:
    """Write a scan as VRML 2.0: one Shape, with texCoordIndex equal to coordIndex. Numbers read back exactly.

    Args:
        scan: A scan with at least one face. VRML has no missing values: NaN uv are written as 0 0, NaN colours as the
            grey of a Material without a colour (204).
        path: The .wrl file; a .wrz file is packed with gzip.
        texture_name: File name of the texture beside `path`. None: the stem of `path` with .png. If the scan has no
            texture, a given name is only referenced in the file.

    Raises:
        ArgumentError: if the scan has no face, its texture is mirrored outside [0, 1], which VRML cannot say, or
            `texture_name` does not have the extension of a picture.
        FileError: if a file cannot be written.
    """
    check_scan("scan", scan)
    path = Path(path)
    looks = _written_looks(scan, path, texture_name)
    lines = ["#VRML V2.0 utf8\n\nShape {\n", looks]
    lines.append("\tgeometry IndexedFaceSet {\n\t\tsolid FALSE\n\t\tcoord Coordinate {\n\t\t\tpoint [\n")
    lines.append(_rows("%.9g %.9g %.9g,\n", scan.vertices))
    lines.append("\t\t\t]\n\t\t}\n\t\tcoordIndex [\n")
    polygons = _rows("%d, %d, %d, -1,\n", scan.faces)
    lines += [polygons, "\t\t]\n"]
    if scan.uv is not None:
        lines.append("\t\ttexCoord TextureCoordinate {\n\t\t\tpoint [\n")
        lines.append(_rows("%.9g %.9g,\n", np.where(np.isnan(scan.uv), np.float32(0), scan.uv)))
        lines += ["\t\t\t]\n\t\t}\n\t\ttexCoordIndex [\n", polygons, "\t\t]\n"]
    if scan.colours is not None:
        colours = scan.colours.astype(np.float64) / 255.0
        lines.append("\t\tcolor Color {\n\t\t\tcolor [\n")
        lines.append(_rows("%.9g %.9g %.9g,\n", np.where(np.isnan(colours), _NAN_COLOUR, colours)))
        lines.append("\t\t\t]\n\t\t}\n")
    lines.append("\t}\n}\n")
    text = "".join(lines).encode()
    write_bytes(path, gzip.compress(text, mtime=0) if path.suffix.lower() == ".wrz" else text)


def _written_looks(scan: Scan, path: Path, texture_name: str | None) -> str:
    """Write the texture; returns the lines that name it, "" without a name."""
    if scan.texture is not None:
        if "mirror" in scan.wrap and scan.uv is not None and bool(((scan.uv < 0) | (scan.uv > 1)).any()):
            raise ArgumentError(
                "`scan.wrap` should be 'repeat' or 'clamp': VRML cannot mirror a texture outside [0, 1]"
            )
        texture_name = texture_name or f"{path.stem}.png"
        textures.write(scan.texture, path.with_name(texture_name))
    if texture_name is None:
        return ""
    quoted = texture_name.replace("\\", "\\\\").replace('"', '\\"')
    ways = [f"\t\t\trepeat{axis} FALSE\n" for axis, way in zip("ST", scan.wrap, strict=True) if way == "clamp"]
    picture = f'\t\ttexture ImageTexture {{\n\t\t\turl "{quoted}"\n{"".join(ways)}\t\t}}\n'
    return f"\tappearance Appearance {{\n{picture}\t}}\n"


def _pieces(found: Sequence[Drawn], fields: Fields, geometries: Geometries, looks: Looks) -> list[Piece]:
    """The meshes of the file with their looks."""
    pieces = []
    for geometry, shape, matrix in found:
        kind = geometry.node.kind
        if kind in ("IndexedFaceSet", "ElevationGrid"):
            mesh = geometries.mesh(geometry)
            if mesh is not None:
                pieces.append(Piece(mesh, matrix, looks.of(shape), geometry.node.offset))
        elif kind != "PointSet":
            fields.notes.add(_LEFT_OUT, geometry.node.offset, kind)
    pieces = _with_diffuse_colours([_without_default_uv(piece) for piece in pieces])
    if any(piece.mesh.uv is not None for piece in pieces):
        pieces = [_without_lost_picture(piece, fields) for piece in pieces]
    return pieces


def _without_default_uv(piece: Piece) -> Piece:
    """Texture coordinates that the file does not have mean nothing without a picture."""
    if piece.mesh.default_uv and piece.look.material < 0:
        return piece._replace(mesh=replace(piece.mesh, uv=None))
    return piece


def _without_lost_picture(piece: Piece, fields: Fields) -> Piece:
    if piece.mesh.uv is not None or piece.look.material < 0:
        return piece
    fields.notes.add(_NO_UV, piece.offset)
    return piece._replace(look=piece.look._replace(material=-1))


def _with_diffuse_colours(pieces: list[Piece]) -> list[Piece]:
    """Where shapes look differently, the diffuse colour of a bare one becomes that of its faces.

    One colour for the whole file says nothing about the surface: most programs write a grey.
    """
    if len({_appears(piece) for piece in pieces}) < 2:
        return pieces
    coloured = []
    for piece in pieces:
        if isinstance(_appears(piece), tuple):
            colour = np.array([piece.look.diffuse], np.float32)
            rows = np.broadcast_to(np.int32(0), piece.mesh.faces.shape)
            piece = piece._replace(mesh=replace(piece.mesh, colours=colour, colour_faces=rows))
        coloured.append(piece)
    return coloured


def _appears(piece: Piece) -> object:
    """What a piece looks like, roughly: a diffuse colour is a tuple."""
    if piece.look.material >= 0:
        return piece.look.material
    return "colours" if piece.mesh.colours is not None else piece.look.diffuse


def _points_alone(path: Path, source: Source, notes: Notes, geometries: Geometries, clouds: Sequence[Drawn]) -> _Points:
    """The points of a file that draws no face."""
    if not clouds:
        wanted = "an IndexedFaceSet with at least one face was wanted, there is none"
        why = notes.lines(source)[:3]
        raise FormatError(f"{path}: {wanted}" + (f" ({'; '.join(why)})" if why else ""))
    found = [geometries.cloud(cloud.geometry) for cloud in clouds]
    if sum(len(points) for points, _ in found) > parts.MOST_VERTICES:
        raise FormatError(f"{path}: a scan has at most {parts.MOST_VERTICES} points, it has more")
    points = np.concatenate([placed(rows, cloud.matrix) for (rows, _), cloud in zip(found, clouds, strict=True)])
    colours = None
    if any(colour is not None for _, colour in found):
        unknown = np.float32(np.nan)
        colours = np.concatenate([np.full((len(rows), 3), unknown) if rgb is None else rgb for rows, rgb in found])
    return _Points(points, colours, notes.lines(source))


def _rows(row: str, array: NDArray[Any]) -> str:
    """Format an array, one line per row. One format call for all rows takes a fifth of the time of one call per row."""
    return (row * len(array)) % tuple(array.ravel().tolist())
