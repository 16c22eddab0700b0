"""Wavefront .obj with the pictures of its .mtl.

The reader of trimesh reorders vertices, splits them by normals, and drops what it cannot parse, so this module has its
own reader. All groups and objects of a file form one mesh. What becomes of each statement of the standard is in
`docs/formats.md`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer3d.errors import ArgumentError
from fer3d.files import write_bytes
from fer3d.formats import textures
from fer3d.formats.materials import Material
from fer3d.formats.obj_materials import Dressing, moved_uv
from fer3d.formats.obj_statements import Statements, colours
from fer3d.formats.parts import Part, join
from fer3d.formats.polygons import cut
from fer3d.scan import Scan, check_scan


def read(path: str | os.PathLike[str], *, texture: bool = True) -> Scan:
    """Read a scan from an .obj file, in the unit and frame of the file.

    Args:
        path: The .obj file.
        texture: Whether to decode the pictures of the materials.

    Returns:
        The scan, with vertices in the order of the file. A vertex with several uv is split; the copies come last, and
        `file_vertex` holds their row in the file. Vertices whose corners have no uv get NaN.

    Raises:
        FileError: if the file cannot be opened.
        FormatError: if a line cannot be parsed, an index is out of range, or there is no face.
    """
    path = Path(path)
    statements = Statements.of(path)
    notes = list(statements.left_out)
    sizes, corners, uv_corners = statements.sizes, statements.corners, statements.uv_corners
    if not len(sizes):
        from fer3d.formats.point_cloud import scan_of_points

        rgb, more = colours(statements)
        return scan_of_points(path, "obj", statements.points, rgb, texture=texture, warnings=(*notes, *more))
    way = cut(sizes, corners, statements.points)
    notes += way.notes()
    dressing = Dressing(statements)
    uv, uv_faces, material = None, None, way.of_polygons(dressing.material)
    if len(uv_corners):
        uv, uv_faces = moved_uv(statements.uv, way.of_corners(uv_corners), material, dressing.entries)
    elif len(statements.uv):
        notes.append(f"its {len(statements.uv)} texture coordinates (vt) are left out: no face names them")
    rgb, more = colours(statements)
    part = Part(statements.points, way.of_corners(corners), uv, uv_faces, rgb, material)
    return join(
        path,
        "obj",
        [part],
        [Material(f"material {entry.name!r}", entry.files, None, entry.wrap) for entry in dressing.entries],
        texture=texture,
        expected=dressing.named,
        warnings=(*notes, *more, *dressing.notes),
        record={"beside": dressing.read} if dressing.read else None,
    )


def write(scan: Scan, path: str | os.PathLike[str]) -> None:
    """Write a scan as .obj. A scan with uv and texture also gives `<stem>.mtl` and `<stem>.png` beside it.

    Coordinates, uv and colours read back exactly. Colours follow the coordinates of their vertex. A face with a corner
    whose uv is NaN is written without uv.

    Raises:
        ArgumentError: if the scan has no face, or a texture that continues outside [0, 1] in a way other than
            repeating or clamping along both axes, and uv there.
        FileError: if a file cannot be written.
    """
    check_scan("scan", scan)
    path = Path(path)
    lines = []
    if scan.uv is not None and scan.texture is not None:
        clamp = "-clamp on " if _clamps(scan) else ""
        image = f"{path.stem}.png"
        textures.write(scan.texture, path.with_name(image))
        write_bytes(path.with_suffix(".mtl"), f"newmtl texture\nKd 1 1 1\nmap_Kd {clamp}{image}\n".encode())
        lines.append(f"mtllib {path.stem}.mtl\nusemtl texture\n")
    lines.append(_vertices(scan))
    corners = scan.faces.astype(np.int64) + 1
    if scan.uv is None:
        lines.append(("f %d %d %d\n" * len(corners)) % tuple(corners.ravel().tolist()))
    else:
        missing = _incomplete(scan.uv)
        uv = np.where(missing[:, None], np.float32(0), scan.uv)
        lines.append(("vt %.9g %.9g\n" * len(uv)) % tuple(uv.ravel().tolist()))
        without: NDArray[np.bool_] = np.logical_or.reduce(missing[scan.faces], axis=1)
        plain, doubled = corners, np.repeat(corners, 2, axis=1)
        lines.append(_rows("f %d/%d %d/%d %d/%d\n", doubled, "f %d %d %d\n", plain, without))
    write_bytes(path, "".join(lines).encode())


def _vertices(scan: Scan) -> str:
    plain = np.asarray(scan.vertices, np.float64)
    if scan.colours is None:
        return ("v %.9g %.9g %.9g\n" * len(plain)) % tuple(plain.ravel().tolist())
    rgb = scan.colours.astype(np.float64).clip(0.0, 255.0) / 255.0
    both = np.concatenate([plain, rgb], axis=1)
    missing = _incomplete(rgb)
    return _rows("v %.9g %.9g %.9g %.9g %.9g %.9g\n", both, "v %.9g %.9g %.9g\n", plain, missing)


def _rows(long: str, longs: NDArray[Any], short: str, shorts: NDArray[Any], which: NDArray[np.bool_]) -> str:
    """Lines with the numbers of the rows of `shorts` where `which` is set, elsewhere of `longs`."""
    if not which.any():
        return (long * len(longs)) % tuple(longs.ravel().tolist())
    kinds = which.tolist()
    numbers: list[float] = []
    for k, row, other in zip(kinds, longs.tolist(), shorts.tolist(), strict=True):
        numbers += other if k else row
    return "".join(short if k else long for k in kinds) % tuple(numbers)


def _incomplete(rows: NDArray[np.floating]) -> NDArray[np.bool_]:
    """(N,): which rows (N, K) hold NaN."""
    out: NDArray[np.bool_] = np.logical_or.reduce(np.isnan(rows), axis=1)
    return out


def _clamps(scan: Scan) -> bool:
    """Whether the material needs `-clamp on`. ArgumentError if no material can say how the texture continues."""
    if scan.wrap == ("clamp", "clamp"):
        return True
    if scan.wrap == ("repeat", "repeat"):
        return False
    with np.errstate(invalid="ignore"):
        if scan.uv is not None and ((scan.uv < 0) | (scan.uv > 1)).any():
            raise ArgumentError(
                f"`scan.wrap` should be repeat or clamp along both axes, is {scan.wrap}: an .obj has no other, and uv "
                f"lie outside [0, 1]"
            )
    return "clamp" in scan.wrap
