"""Wavefront .obj with the texture of its .mtl.

The reader of trimesh reorders vertices, splits them by normals, and drops what it cannot parse, so this module has its
own reader. It reads `v` (and skips a colour after the coordinates), `vt`, `f` with polygons of any size and relative
(negative) indices, `mtllib` and `usemtl`. All groups and objects of the file form one mesh.
"""

from __future__ import annotations

import itertools
import os
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fer3d.errors import FileError, FormatError
from fer3d.files import line_of, read_bytes, write_bytes
from fer3d.formats import number_blocks, textures
from fer3d.scan import Scan, check_scan

# The lines to read. `read` has joined each line that ends in a backslash with the next line.
_LINE = re.compile(rb"^[ \t]*(v|vt|f|mtllib|usemtl)(?![^ \t\r\n])[ \t]*([^\n\r]*)", re.MULTILINE)


def read(path: str | os.PathLike[str], *, texture: bool = True) -> Scan:
    """Read a scan from an .obj file, in the unit and frame of the file.

    Args:
        path: The .obj file.
        texture: Whether to find the .mtl and decode the `map_Kd` of the first material in use.

    Returns:
        The scan, with vertices in the order of the file. A vertex with several uv is split; the copies come last, and
        `file_vertex` holds their row in the file. Vertices whose corners have no uv get NaN.

    Raises:
        FileError: if the file cannot be opened.
        FormatError: if a line cannot be parsed, an index is out of range, or there is no face.
    """
    path = Path(path)
    text = re.sub(rb"\\\r?\n", b" ", read_bytes(path))
    lines = _lines(text)
    points = _columns(text, lines.get(b"v", []), path, (3, 4, 6, 7), "v")[:, :3]
    uv_points = _columns(text, lines.get(b"vt", []), path, (1, 2, 3), "vt")
    if uv_points.shape[1] == 1:
        uv_points = np.concatenate([uv_points, np.zeros_like(uv_points)], axis=1)
    faces, uv_faces = _faces(text, lines, path, len(points), len(uv_points))
    if not len(points) or not len(faces):
        raise FormatError(f"{path}: at least one face was wanted, it has {len(points)} vertices and {len(faces)} faces")
    points = np.ascontiguousarray(points)
    split = 0
    uv = place = None
    if (uv_faces >= 0).any():
        # All corners without uv share one more uv row after the last, which is NaN.
        uv_faces = np.where(uv_faces < 0, np.int32(len(uv_points)), uv_faces)
        faces, place, row = number_blocks.split_vertices(faces, uv_faces, len(points))
        uv = np.concatenate([uv_points[:, :2], np.full((1, 2), np.nan, np.float32)])[row]
        split = len(place) - len(points)
        points = points[place]
    counts = {"vertices": len(points) - split, "faces": len(faces), "split_vertices": split}
    scan = Scan(
        points,
        faces,
        uv=uv,
        file_vertex=place if split else None,
        history=({"step": "read", "file": path.name, "format": "obj", **counts},),
    )
    return _with_texture(scan, text, lines, path) if texture else scan


def write(scan: Scan, path: str | os.PathLike[str]) -> None:
    """Write a scan as .obj. A scan with uv and texture also gives `<stem>.mtl` and `<stem>.png` beside it.

    Numbers read back exactly. NaN uv are written as 0 0.

    Raises:
        ArgumentError: if the scan has no face.
        FileError: if a file cannot be written.
    """
    check_scan("scan", scan)
    path = Path(path)
    lines = []
    if scan.uv is not None and scan.texture is not None:
        image = f"{path.stem}.png"
        textures.write(scan.texture, path.with_name(image))
        write_bytes(path.with_suffix(".mtl"), f"newmtl texture\nKd 1 1 1\nmap_Kd {image}\n".encode())
        lines.append(f"mtllib {path.stem}.mtl\nusemtl texture\n")
    lines.append(("v %.9g %.9g %.9g\n" * len(scan.vertices)) % tuple(scan.vertices.ravel().tolist()))
    corners = scan.faces.astype(np.int64) + 1
    if scan.uv is None:
        lines.append(("f %d %d %d\n" * len(corners)) % tuple(corners.ravel().tolist()))
    else:
        uv = np.where(np.isnan(scan.uv), np.float32(0), scan.uv)
        lines.append(("vt %.9g %.9g\n" * len(uv)) % tuple(uv.ravel().tolist()))
        lines.append(("f %d/%d %d/%d %d/%d\n" * len(corners)) % tuple(np.repeat(corners, 2, axis=1).ravel().tolist()))
    write_bytes(path, "".join(lines).encode())


class _Line(NamedTuple):
    offset: int  # byte offset of the text after the keyword
    content: bytes


def _lines(text: bytes) -> dict[bytes, list[_Line]]:
    lines: dict[bytes, list[_Line]] = {}
    for match in _LINE.finditer(text):
        content = match[2].split(b"#", 1)[0] if match[1] != b"mtllib" else match[2]
        lines.setdefault(match[1], []).append(_Line(match.start(2), content.strip()))
    return lines


def _columns(text: bytes, lines: list[_Line], path: Path, widths: tuple[int, ...], keyword: str) -> NDArray[np.float32]:
    """Parse lines of equally many numbers: (N, width) float32."""
    if not lines:
        return np.empty((0, 3), np.float32)
    width = len(lines[0].content.split())
    for line in lines:
        count = len(line.content.split())
        if count != width or width not in widths:
            expected = " or ".join(map(str, widths))
            where = f"{path}: line {line_of(text, line.offset)}"
            raise FormatError(
                f"{where}: `{keyword}` should have {expected} numbers, as many on each line; it has {count}"
            )
    try:
        numbers, _ = number_blocks.floats(b"\n".join(line.content for line in lines), 0, path)
    except FormatError:
        for line in lines:  # so that the error names the line of the file
            number_blocks.floats(text, line.offset, path, wanted=width)
        raise
    if len(numbers) != width * len(lines):  # the parser takes commas as separators, split() does not
        raise FormatError(f"{path}: its {len(lines)} `{keyword}` lines should hold {width} numbers each")
    return numbers.reshape(-1, width)


def _faces(
    text: bytes, lines: dict[bytes, list[_Line]], path: Path, points: int, uv_points: int
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return two (F, 3) int32: point indices, and uv indices with -1 where a corner has no uv."""
    polygons = lines.get(b"f", [])
    fast = _uniform_triangles([line.content for line in polygons], path)
    if fast is None:
        fast = _any_polygons(text, lines, path)
    faces, uv_faces = fast
    for indices, size, what in ((faces, points, "vertices"), (uv_faces[uv_faces >= 0], uv_points, "vt")):
        if indices.size and (indices.min() < 0 or indices.max() >= size):
            bad = int(indices.max()) + 1 if indices.max() >= size else int(indices.min()) + 1
            raise FormatError(f"{path}: a face names {what} number {bad}, it has {size}")
    return faces, uv_faces


def _uniform_triangles(polygons: list[bytes], path: Path) -> tuple[NDArray[np.int32], NDArray[np.int32]] | None:
    """Parse the usual case: only triangles, positive, of one form `a`, `a/b`, `a//c` or `a/b/c`. None if not so."""
    if not polygons:
        return np.empty((0, 3), np.int32), np.empty((0, 3), np.int32)
    joined = b" \n".join(polygons)
    if b"-" in joined:
        return None
    slashes, empty = polygons[0].count(b"/"), polygons[0].count(b"//")
    width = {(0, 0): 1, (3, 0): 2, (6, 0): 3, (6, 3): 2}.get((slashes, empty))
    form = {1: rb"\d+", 2: rb"\d+//\d+" if empty else rb"\d+/\d+", 3: rb"\d+/\d+/\d+"}.get(width or 0)
    if width is None or form is None:
        return None
    line = re.compile(form + (rb"[ \t]++" + form) * 2)
    if not all(map(line.fullmatch, polygons)):
        return None
    try:
        numbers, _ = number_blocks.integers(joined.replace(b"/", b" "), 0, path)
    except FormatError:  # beyond int32
        return None
    if not numbers.all():  # 0 is invalid: `_any_polygons` raises with the line
        return None
    table = numbers.reshape(-1, 3, width) - np.int32(1)
    faces = np.ascontiguousarray(table[:, :, 0])
    has_uv = width == 3 or (width == 2 and not empty)
    return faces, np.ascontiguousarray(table[:, :, 1]) if has_uv else np.full_like(faces, -1)


def _any_polygons(
    text: bytes, lines: dict[bytes, list[_Line]], path: Path
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Parse polygons of any size and form, line by line. Relative indices count from their line."""
    point_offsets = np.array([line.offset for line in lines.get(b"v", [])], np.int64)
    uv_offsets = np.array([line.offset for line in lines.get(b"vt", [])], np.int64)
    triangles: list[tuple[int, int, int]] = []
    uv_triangles: list[tuple[int, int, int]] = []
    for line in lines.get(b"f", []):
        seen = (int(np.searchsorted(point_offsets, line.offset)), int(np.searchsorted(uv_offsets, line.offset)))
        corners = [_corner(corner, seen) for corner in line.content.split()]
        if len(corners) < 3 or None in corners:
            where = f"{path}: line {line_of(text, line.offset)}"
            content = line.content[:40].decode("latin-1")
            raise FormatError(f"{where}: `f` should have at least 3 corners like 1, 1/1, 1//1 or 1/1/1, is {content!r}")
        rows = [corner for corner in corners if corner is not None]
        for second, third in itertools.pairwise(rows[1:]):
            triangles.append((rows[0][0], second[0], third[0]))
            uv_triangles.append((rows[0][1], second[1], third[1]))
    return np.array(triangles, np.int32).reshape(-1, 3), np.array(uv_triangles, np.int32).reshape(-1, 3)


def _corner(corner: bytes, seen: tuple[int, int]) -> tuple[int, int] | None:
    """Return (point index, uv index or -1) of a corner, None if it cannot be parsed."""
    match = re.fullmatch(rb"(-?\d{1,9})(?:/(-?\d{1,9})?(?:/(?:-?\d{1,9})?)?)?", corner)
    if match is None:
        return None
    point, uv = int(match[1]), int(match[2] or 0)
    point = point + seen[0] if point < 0 else point - 1
    uv = uv + seen[1] if uv < 0 else uv - 1
    if point < 0 or uv < -1 or (match[2] is not None and uv < 0):
        return None
    return point, uv


def _with_texture(scan: Scan, text: bytes, lines: dict[bytes, list[_Line]], path: Path) -> Scan:
    """Add the texture of the first material in use. Several textures give a warning."""
    if scan.uv is None:
        return scan
    images, problems = _material_images(lines, path)
    for problem in problems:
        scan = scan.warn(problem)
    used = [images[line.content] for line in lines.get(b"usemtl", []) if line.content in images]
    names = list(dict.fromkeys(used or images.values()))
    if len(names) > 1:
        scan = scan.warn(f"{path}: it has {len(names)} textures; {names[0]!r} is taken for all faces")
    return textures.attach(scan, path, names[:1], expected=bool(lines.get(b"mtllib")))


def _material_images(lines: dict[bytes, list[_Line]], path: Path) -> tuple[dict[bytes, str], list[str]]:
    """Return the texture name of each material of the .mtl files, and the problems in reading them."""
    images: dict[bytes, str] = {}
    problems = []
    for line in lines.get(b"mtllib", []):
        name = line.content.decode("utf-8", "replace")
        relative = textures.inside(name)
        if relative is None:
            continue
        try:
            content = read_bytes(path.parent / relative)
        except (FileError, FormatError) as error:
            problems.append(f"{path}: its materials {name!r} cannot be read: {error}")
            continue
        material = b""
        for match in re.finditer(rb"^[ \t]*(newmtl|map_Kd)[ \t]+([^\n\r]+)", content, re.MULTILINE):
            if match[1] == b"newmtl":
                material = match[2].strip()
            else:
                images.setdefault(material, _without_options(match[2].decode("utf-8", "replace").strip()))
    return images, problems


def _without_options(name: str) -> str:
    """Remove the options of a map: `-s 1 1 1 face.png` -> `face.png`."""
    return re.sub(r"^(?:-[a-zA-Z]+(?:\s+(?:[-+.\d]+|on|off))*\s+)+", "", name)
