"""Bosphorus .bnt: a range image with texture coordinates, little-endian binary.

Layout, without padding: u16 rows; u16 columns; f64 zmin, the value of background points; u16 length of the image name;
the name; u32 n; n f64 in five planes x, y, z, u, v, each row-major, row 0 at the bottom, x increasing with the column.
In the file, v points down; a `Scan` holds 1 - v.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fer3d.checks import check_dtype, check_shape
from fer3d.errors import ArgumentError, FormatError
from fer3d.files import read_bytes, write_bytes
from fer3d.formats import textures
from fer3d.formats.origin import near_origin
from fer3d.formats.range_grid import LONGEST_EDGE, triangulate
from fer3d.scan import Scan, check_scan

_HEAD = struct.Struct("<HHdH")
_COUNT = struct.Struct("<I")


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """The content of a .bnt file.

    Attributes:
        planes: (5, H, W) float64. x, y, z, u, v; row 0 is the bottom of the face, v points down.
        image: File name of the texture.
        zmin: Value of x, y and z where nothing was measured.
    """

    planes: NDArray[np.float64]
    image: str
    zmin: float = -1e9

    @property
    def valid(self) -> NDArray[np.bool_]:
        """(H, W) bool. Where a point was measured: no coordinate is zmin. Some files have only one of three at zmin."""
        return np.asarray(~(self.planes[:3] == self.zmin).any(axis=0))


def read_grid(path: str | os.PathLike[str]) -> Grid:
    """Read the range image unchanged. `write_grid` writes the same bytes again.

    Raises:
        FileError: if the file cannot be opened.
        FormatError: if its size disagrees with its header, or its points do not form a grid.
    """
    content = read_bytes(path)
    name = os.fspath(path)
    if len(content) < _HEAD.size:
        raise FormatError(f"{name}: a .bnt header has {_HEAD.size} bytes, the file has {len(content)}")
    rows, columns, zmin, length = _HEAD.unpack_from(content)
    start = _HEAD.size + length + _COUNT.size
    if len(content) < start:
        raise FormatError(f"{name}: its header takes {start} bytes, the file has {len(content)}")
    (count,) = _COUNT.unpack_from(content, start - _COUNT.size)
    if len(content) != start + 8 * count:
        raise FormatError(
            f"{name}: its header says {count} numbers, which take {start + 8 * count} bytes; it has {len(content)}"
        )
    if count != 5 * rows * columns:
        raise FormatError(
            f"{name}: {rows} x {columns} points are {5 * rows * columns} numbers, it has {count}: there is no grid"
        )
    if not count:
        raise FormatError(f"{name}: at least one point was wanted, it has {rows} x {columns}")
    planes = np.frombuffer(content, "<f8", count, start).astype(np.float64).reshape(5, rows, columns)
    return Grid(planes, content[_HEAD.size : start - _COUNT.size].decode("latin-1"), zmin)


def write_grid(grid: Grid, path: str | os.PathLike[str]) -> None:
    """Write a range image. A grid from `read_grid` gives the bytes that were read.

    Raises:
        ArgumentError: if the planes are not (5, H, W) float64, a side is over 65,535, or the image name has
            characters outside Latin-1 or is too long.
        FileError: if the file cannot be written.
    """
    check_dtype("grid.planes", grid.planes, np.float64)
    check_shape("grid.planes", grid.planes, (5, "H", "W"))
    _, rows, columns = grid.planes.shape
    if not (0 < rows <= 65535 and 0 < columns <= 65535):
        raise ArgumentError(f"`grid.planes` should have 1 to 65535 rows and columns, has {rows} x {columns}")
    try:
        image = grid.image.encode("latin-1")
    except UnicodeEncodeError:
        raise ArgumentError(f"`grid.image` should be in Latin-1, is {grid.image!r}") from None
    if len(image) > 65535:
        raise ArgumentError(f"`grid.image` should have at most 65535 characters, has {len(image)}")
    head = _HEAD.pack(rows, columns, grid.zmin, len(image)) + image + _COUNT.pack(grid.planes.size)
    write_bytes(path, head + np.ascontiguousarray(grid.planes, dtype="<f8").tobytes())


def read(path: str | os.PathLike[str], *, texture: bool = True, longest_edge: float = LONGEST_EDGE) -> Scan:
    """Read a scan from a .bnt file, in millimetres, in the frame of the sensor; near its origin, see `Scan.placement`.

    Args:
        path: The .bnt file.
        texture: Whether to find and decode the picture that the header names.
        longest_edge: In grid pitches. Longer edges are depth discontinuities; see `range_grid.triangulate`.

    Returns:
        The measured points in grid order (a point with any coordinate equal to zmin is background), triangles between
        neighbours, and in `file_vertex` the index of each point in the grid, row * columns + column.

    Raises:
        FileError: if the file cannot be opened.
        FormatError: if sizes and counts disagree, its points do not form a grid, or no three neighbours were measured.
    """
    path = Path(path)
    grid = read_grid(path)
    valid = grid.valid
    points = np.moveaxis(grid.planes[:3], 0, -1)  # (H, W, 3)
    faces, pitch = triangulate(np.ascontiguousarray(points), valid, longest_edge=longest_edge)
    if not len(faces):
        raise FormatError(f"{path}: at least one face was wanted; {np.count_nonzero(valid)} points were measured, none")
    rows, columns = valid.shape
    with np.errstate(over="ignore", invalid="ignore"):  # a damaged file may hold any number, signalling NaN too
        uv = np.stack([grid.planes[3][valid], 1.0 - grid.planes[4][valid]], axis=1)  # (V, 2)
        uv32 = uv.astype(np.float32)
    near = near_origin(points[valid])
    counts = {"vertices": len(near.vertices), "faces": len(faces), "rows": rows, "columns": columns, "pitch": pitch}
    record = {"step": "read", "file": path.name, "format": "bnt", **counts, "image": grid.image, **near.record()}
    scan = Scan(
        near.vertices,
        faces,
        uv=uv32,
        file_vertex=np.flatnonzero(valid).astype(np.int32),
        placement=near.placement,
        history=(record,),
    )
    if not texture:
        return scan
    return textures.attach(scan, path, [grid.image.rstrip("\0 ")] if grid.image.strip("\0 ") else [])


def write(scan: Scan, path: str | os.PathLike[str]) -> None:
    """Write a scan that was read from a range image, and its texture, if any, beside it as `<stem>.png`.

    Args:
        scan: A scan from a .bnt or .abs file. Its history holds the grid size, `file_vertex` the index of each vertex.
        path: The .bnt file.

    Raises:
        ArgumentError: if the scan has no such record. Then make a `Grid` and use `write_grid`.
        FileError: if a file cannot be written.
    """
    rows, columns, place = grid_place(scan)
    path = Path(path)
    planes = np.full((5, rows * columns), -1e9)
    planes[3:] = 0.0
    planes[:3, place] = scan.vertices.T
    if scan.uv is not None:
        planes[3, place], planes[4, place] = scan.uv[:, 0], 1.0 - scan.uv[:, 1].astype(np.float64)
    grid = planes.reshape(5, rows, columns)
    image = f"{path.stem}.png"
    write_grid(Grid(grid[:, ::-1] if scan.history[0]["format"] == "abs" else grid, image), path)  # .abs: row 0 on top
    if scan.texture is not None:
        textures.write(scan.texture, path.with_name(image))


def grid_place(scan: Scan) -> tuple[int, int, NDArray[np.int32]]:
    """Return the rows, columns and grid index of each vertex of a scan that was read from a range image.

    Raises:
        ArgumentError: if the scan was not read from one, or has been re-meshed since.
    """
    check_scan("scan", scan)
    record = scan.history[0] if scan.history else {}
    place = scan.file_vertex
    if record.get("format") not in ("bnt", "abs") or place is None:
        raise ArgumentError("`scan` should come from a range image (.bnt, .abs): a mesh without its grid has none")
    rows, columns = int(record["rows"]), int(record["columns"])
    if len(place) and (place.min() < 0 or place.max() >= rows * columns or len(np.unique(place)) != len(place)):
        raise ArgumentError(f"`scan.file_vertex` should hold distinct places of the {rows} x {columns} grid")
    return rows, columns, place
