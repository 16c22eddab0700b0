"""Stereolithography files (.stl), in text and binary.

They hold triangles alone: corners at one place become one vertex.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer3d import _native
from fer3d.errors import FormatError
from fer3d.files import line_of, read_bytes, write_bytes
from fer3d.formats.parts import Part, join
from fer3d.formats.rows import same_rows
from fer3d.scan import Scan, check_scan

_TRIANGLE = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])  # 50 bytes
_HEADER = 84  # bytes before the triangles: 80 of any text, and their number


def read(path: str | os.PathLike[str], *, texture: bool = True) -> Scan:
    """Read a scan from an .stl file, in the unit and frame of the file.

    Args:
        path: The .stl file.
        texture: Of no effect: the format has none.

    Returns:
        The scan. Vertices are in the order of their first corner, whose place in the list of all corners is
        `file_vertex`. All solids of the file form one mesh.

    Raises:
        FileError: if the file cannot be opened.
        FormatError: if the file is shorter than it says, text does not follow the grammar, or there is no triangle.
    """
    path = Path(path)
    content = read_bytes(path)
    corners, notes, record = (_text if _is_text(content) else _binary)(content, path)
    if not len(corners):
        raise FormatError(f"{path}: at least one triangle was wanted, it has none")
    corners = corners.reshape(-1, 3)
    with np.errstate(invalid="ignore"):  # signalling NaN
        corners = corners + corners.dtype.type(0)  # turns -0 into 0, so that both are the same place
    first, place = same_rows(corners)
    part = Part(corners[first], place.reshape(-1, 3), row=first)
    merged = {"vertices": len(first), "corners": len(corners), "merged": "corners at the same place are one vertex"}
    return join(path, "stl", [part], texture=texture, warnings=notes, record=merged | record)


def _is_text(content: bytes) -> bool:
    """Whether it is text: binary files may begin with `solid` too, but have the size that their header says, or NUL."""
    if len(content) >= _HEADER and len(content) == _HEADER + 50 * _claimed(content):
        return False
    begin = content[:1024].removeprefix(b"\xef\xbb\xbf").lstrip()
    return begin[:5].lower() in (b"solid", b"facet") and b"\0" not in content.rstrip(b"\0")[:1024]


def _claimed(content: bytes) -> int:
    return int.from_bytes(content[80:84], "little")


def _binary(content: bytes, path: Path) -> tuple[NDArray[Any], list[str], dict[str, Any]]:
    """(F, 3, 3) float32, warnings, and no further record."""
    count = _claimed(content)
    needed = _HEADER + 50 * count
    if len(content) < max(needed, _HEADER):
        raise FormatError(
            f"{path}: its header says {count} triangles, which take {needed} bytes; it has {len(content)}"
        )
    triangles = np.frombuffer(content, _TRIANGLE, count, _HEADER)
    notes = []
    if len(content) > needed:
        notes.append(f"{len(content) - needed} bytes after its {count} triangles are left out")
    header = content[:80].upper()
    marked = int(np.count_nonzero(triangles["attribute"]))
    if b"COLOR=" in header or b"MATERIAL=" in header or marked:
        notes.append(f"colours of its triangles are not read: {marked} of {count} have attribute bytes, or its header")
    return triangles["corners"], notes, {}


def _text(content: bytes, path: Path) -> tuple[NDArray[Any], list[str], dict[str, Any]]:
    """(F, 3, 3) float64, warnings, and the number of solids for the record."""
    begin = content.startswith(b"\xef\xbb\xbf") * 3
    try:
        corners, fans, solids, stop = _native.stl_facets(content[begin:])
    except _native.BlockError as error:
        message, offset = error.args
        offset += begin
        raise FormatError(f"{path}: line {line_of(content, offset)} (byte {offset}): {message}") from None
    notes = []
    if fans:
        notes.append(f"{fans} of its facets have more than 3 corners: they are cut into triangles")
    left = content[begin + stop :].strip(b" \t\r\n\0\x1a")
    if left:
        notes.append(f"{len(left)} bytes after its last `endsolid` are left out")
    return corners, notes, {"solids": solids} if solids > 1 else {}


def write(scan: Scan, path: str | os.PathLike[str]) -> None:
    """Write the surface of a scan as binary .stl.

    Raises:
        ArgumentError: if the scan has no face.
        FileError: if the file cannot be written.
    """
    check_scan("scan", scan)
    triangles = np.zeros(len(scan.faces), _TRIANGLE)
    corners = scan.vertices[scan.faces]  # (F, 3, 3)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        length = np.linalg.norm(normal, axis=1, keepdims=True)
        triangles["normal"] = np.where(length > 0, normal / length, 0)
    triangles["corners"] = corners
    header = b"binary STL, triangles".ljust(80)
    write_bytes(Path(path), header + len(triangles).to_bytes(4, "little") + triangles.tobytes())
