"""VRML 2.0 (.wrl), the format of BU-3DFE, BU-4DFE and of many scanners.

The reader concatenates every IndexedFaceSet. It cuts polygons into fans and handles texture coordinates (per corner if
there is a texCoordIndex), the Transforms above the node, `ccw FALSE`, and DEF and USE of the nodes inside a Shape. It
does not read instances of whole shapes by USE or the content of Inline files; warnings report both.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fer3d.errors import FormatError
from fer3d.files import read_bytes, write_bytes
from fer3d.formats import number_blocks, textures
from fer3d.formats.vrml_nodes import Block, Node, Scene, parse
from fer3d.scan import Scan, check_scan


def read(path: str | os.PathLike[str], *, texture: bool = True) -> Scan:
    """Read a scan from a VRML 2.0 file, in the unit and frame of the file.

    Args:
        path: The .wrl file.
        texture: Whether to find and decode the texture. The uv are always read.

    Returns:
        The scan, with vertices in the order of the file. If a texCoordIndex gives a vertex several uv, the further
        copies of the vertex come last, and `file_vertex` holds their row in the file. Vertices that no face uses get
        NaN uv if there is a texCoordIndex.

    Raises:
        FileError: if the file cannot be opened.
        FormatError: if it is not VRML 2.0, breaks off, holds no face, or an index is out of range.
    """
    path = Path(path)
    scene = parse(read_bytes(path), path)
    parts = [part for node in scene.face_sets if (part := _part(node, scene)) is not None]
    if not parts:
        raise FormatError(f"{path}: an IndexedFaceSet with at least one face was wanted, there is none")
    images = list(dict.fromkeys(part.images[0] for part in parts if part.images))
    scan = _joined(path, [part if part.images[:1] == images[:1] else _without_uv(part) for part in parts])
    for warning in scene.warnings:
        scan = scan.warn(f"{path}: {warning}")
    if len(images) > 1:
        scan = scan.warn(f"{path}: it has {len(images)} textures; only the faces of {images[0]!r} keep their uv")
    names = next((part.images for part in parts if part.images), [])
    return _with_texture(scan, path, names, texture)


def write(scan: Scan, path: str | os.PathLike[str], *, texture_name: str | None = None) -> None:
    """Write a scan as VRML 2.0: one Shape, with texCoordIndex equal to coordIndex. Numbers read back exactly.

    Args:
        scan: A scan with at least one face. NaN uv are written as 0 0, as VRML has no missing values.
        path: The .wrl file.
        texture_name: File name of the texture beside `path`. None: the stem of `path` with .png. If the scan has no
            texture, a given name is only referenced in the file.

    Raises:
        ArgumentError: if the scan has no face, or `texture_name` does not have the extension of a picture.
        FileError: if a file cannot be written.
    """
    check_scan("scan", scan)
    path = Path(path)
    if scan.texture is not None:
        texture_name = texture_name or f"{path.stem}.png"
        textures.write(scan.texture, path.with_name(texture_name))
    lines = ["#VRML V2.0 utf8\n\nShape {\n"]
    if texture_name is not None:
        quoted = texture_name.replace("\\", "\\\\").replace('"', '\\"')
        lines.append(f'\tappearance Appearance {{\n\t\ttexture ImageTexture {{\n\t\t\turl "{quoted}"\n\t\t}}\n\t}}\n')
    lines.append("\tgeometry IndexedFaceSet {\n\t\tsolid FALSE\n\t\tcoord Coordinate {\n\t\t\tpoint [\n")
    lines.append(_rows("%.9g %.9g %.9g,\n", scan.vertices))
    lines.append("\t\t\t]\n\t\t}\n\t\tcoordIndex [\n")
    polygons = _rows("%d, %d, %d, -1,\n", scan.faces)
    lines += [polygons, "\t\t]\n"]
    if scan.uv is not None:
        lines.append("\t\ttexCoord TextureCoordinate {\n\t\t\tpoint [\n")
        lines.append(_rows("%.9g %.9g,\n", np.where(np.isnan(scan.uv), np.float32(0), scan.uv)))
        lines += ["\t\t\t]\n\t\t}\n\t\ttexCoordIndex [\n", polygons, "\t\t]\n"]
    lines.append("\t}\n}\n")
    write_bytes(path, "".join(lines).encode())


def _rows(row: str, array: NDArray[Any]) -> str:
    """Format an array, one line per row. One format call for all rows takes a fifth of the time of one call per row."""
    return (row * len(array)) % tuple(array.ravel().tolist())


class _Part(NamedTuple):
    """The mesh of one IndexedFaceSet."""

    vertices: NDArray[np.float32]  # (N, 3)
    faces: NDArray[np.int32]  # (F, 3)
    uv: NDArray[np.float32]  # (N, 2), all NaN if there are none
    row: NDArray[np.int32]  # (N,) rows of its point list
    points: int  # length of its point list
    images: list[str]


def _part(node: Node, scene: Scene) -> _Part | None:
    """Return the mesh of an IndexedFaceSet; None if it has no faces."""
    index = node.blocks.get("coordIndex")
    if index is None or not len(index.polygons.faces):
        return None
    points = _rows_of(scene, node, "coord", "Coordinate", 3)
    if points is None:
        raise scene.error(node, "IndexedFaceSet has a coordIndex but no points")
    _check_indices(scene, index, "coordIndex", len(points), "points")
    faces, row = index.polygons.faces, np.arange(len(points), dtype=np.int32)
    uv = np.full((len(points), 2), np.nan, np.float32)
    uv_points = _rows_of(scene, node, "texCoord", "TextureCoordinate", 2)
    if uv_points is not None:
        faces, row, uv = _with_uv(scene, node, index, uv_points, len(points))
    if node.value("ccw") == "FALSE":
        faces = np.ascontiguousarray(faces[:, ::-1])
    points = scene.placed(node, points)
    return _Part(points if len(row) == len(points) else points[row], faces, uv, row, len(points), scene.images(node))


def _with_uv(
    scene: Scene, node: Node, index: Block, uv_points: NDArray[np.float32], points: int
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32]]:
    """Split vertices with several uv. Returns the faces, and the point row and uv of each vertex."""
    faces = index.polygons.faces
    row = np.arange(points, dtype=np.int32)
    uv_index = node.blocks.get("texCoordIndex")
    if uv_index is None or not len(uv_index.polygons.faces):  # in VRML, coordIndex then indexes both
        _check_indices(scene, index, "coordIndex", len(uv_points), "texture coordinates (there is no texCoordIndex)")
        return faces, row, _padded(uv_points, points)
    _check_indices(scene, uv_index, "texCoordIndex", len(uv_points), "texture coordinates")
    if not np.array_equal(uv_index.polygons.polygon, index.polygons.polygon):
        raise scene.error(
            uv_index,
            f"texCoordIndex should have the polygons of coordIndex (line {scene.line(index)}) corner for corner",
        )
    if np.array_equal(uv_index.polygons.faces, faces):  # the usual case
        return faces, row, _padded(uv_points, points)
    faces, row, uv_row = number_blocks.split_vertices(faces, uv_index.polygons.faces, points)
    uv = uv_points[uv_row]
    uv[uv_row < 0] = np.nan
    return faces, row, uv


def _padded(uv: NDArray[np.float32], points: int) -> NDArray[np.float32]:
    """Return the first `points` rows of uv, padded with NaN if there are fewer."""
    if len(uv) >= points:
        return np.ascontiguousarray(uv[:points])
    return np.concatenate([uv, np.full((points - len(uv), 2), np.nan, np.float32)])


def _rows_of(scene: Scene, node: Node, name: str, kind: str, width: int) -> NDArray[np.float32] | None:
    """Return the `point` list of a child of the node, (N, width) float32, or None if there is none."""
    child = scene.child(node, name)
    block = None if child is None else child.blocks.get("point")
    if child is None or block is None:
        return None
    if child.kind != kind:
        raise scene.error(child, f"the `{name}` of an IndexedFaceSet should be a {kind}, is a {child.kind}")
    if len(block.values) % width:
        raise scene.error(
            block, f"the point list of {kind} should hold {width} numbers a point, holds {len(block.values)} numbers"
        )
    return block.values.reshape(-1, width)


def _check_indices(scene: Scene, block: Block, name: str, size: int, of: str) -> None:
    largest = block.polygons.largest
    if largest >= size:
        raise scene.error(block, f"{name} should hold rows below {size}, the number of {of}; holds {largest}")


def _joined(path: Path, parts: list[_Part]) -> Scan:
    """Join all parts to one mesh. Rows of the file are numbered through all of its point lists."""
    vertices, faces, uv, row, points = parts[0].vertices, parts[0].faces, parts[0].uv, parts[0].row, parts[0].points
    if len(parts) > 1:
        first = np.cumsum([0, *(len(part.vertices) for part in parts)], dtype=np.int32)
        first_row = np.cumsum([0, *(part.points for part in parts)], dtype=np.int32)
        vertices = np.concatenate([part.vertices for part in parts])
        faces = np.concatenate([part.faces + start for part, start in zip(parts, first, strict=False)])
        uv = np.concatenate([part.uv for part in parts])
        row = np.concatenate([part.row + start for part, start in zip(parts, first_row, strict=False)])
        points = int(first_row[-1])
    counts = {"vertices": points, "faces": len(faces), "split_vertices": len(vertices) - points}
    return Scan(
        np.ascontiguousarray(vertices),
        faces,
        uv=None if np.isnan(uv).all() else uv,
        file_vertex=None if len(vertices) == points else row,
        history=({"step": "read", "file": path.name, "format": "vrml", **counts, "face_sets": len(parts)},),
    )


def _without_uv(part: _Part) -> _Part:
    return part._replace(uv=np.full_like(part.uv, np.nan))


def _with_texture(scan: Scan, path: Path, names: list[str], wanted: bool) -> Scan:
    if scan.uv is None:
        return scan.warn(f"{path}: it names the texture {names[0]!r} but has no texture coordinates") if names else scan
    if not wanted:
        return scan
    return textures.attach(scan, path, names)
