"""FRGC .abs and .abs.gz: range images as text.

Layout: `R rows`, `C columns`, `pixels (flag X Y Z):`, then R * C flags and as many X, Y and Z, row-major, row 0 at the
top of the picture. The coordinates are -999999 where the flag is 0.
"""

from __future__ import annotations

import gzip
import os
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fer3d.checks import check_dtype, check_shape
from fer3d.errors import FormatError
from fer3d.files import read_bytes, write_bytes
from fer3d.formats import number_blocks, textures
from fer3d.formats.bnt import grid_place
from fer3d.formats.origin import near_origin
from fer3d.formats.packed import unpacked
from fer3d.formats.range_grid import LONGEST_EDGE, triangulate
from fer3d.scan import Scan

BACKGROUND = -999999.0

# A scan of 640 x 480 unpacks to 12 MB. The limit protects the memory of the machine from a gzip bomb.
MAX_UNPACKED = 1 << 28

_HEADER = re.compile(
    rb"\s*(\d{1,9})[ \t]+rows\s+(\d{1,9})[ \t]+columns\s+pixels[ \t]*\(flag X Y Z\)[ \t]*:", re.IGNORECASE
)


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """The content of an .abs file.

    Attributes:
        flag: (H, W) bool. Where a point was measured.
        points: (H, W, 3) float64. Row 0 is the top of the picture; -999999 where nothing was measured.
    """

    flag: NDArray[np.bool_]
    points: NDArray[np.float64]

    @property
    def valid(self) -> NDArray[np.bool_]:
        """(H, W) bool. Where the flag is set and no coordinate is the background value."""
        return np.asarray(self.flag & ~(self.points == BACKGROUND).any(axis=2))


def read_grid(path: str | os.PathLike[str]) -> Grid:
    """Read the range image unchanged.

    Raises:
        FileError: if the file cannot be opened.
        FormatError: if it is not an .abs file, its counts are wrong, or it unpacks to more than `MAX_UNPACKED` bytes.
    """
    text = unpacked(read_bytes(path), path, MAX_UNPACKED)
    name = os.fspath(path)
    header = _HEADER.match(text)
    if header is None:
        start = text[:40].decode("latin-1")
        raise FormatError(f"{name}: should begin with 'R rows', 'C columns', 'pixels (flag X Y Z):'; begins {start!r}")
    rows, columns = int(header[1]), int(header[2])
    size = rows * columns
    if not size:
        raise FormatError(f"{name}: at least one point was wanted, its header says {rows} x {columns}")
    if 8 * size > len(text):  # each of the four numbers per point takes a digit and a separator
        raise FormatError(f"{name}: its header says {rows} x {columns} points, which {len(text)} bytes cannot hold")
    if (comma := text.find(b",", header.end())) >= 0:  # as in 1,5: the parser would take two numbers
        line = text.count(b"\n", 0, comma) + 1
        raise FormatError(f"{name}: line {line}: numbers with points and spaces were wanted, it has a comma")
    flags, stop = number_blocks.integers(text, header.end(), path, wanted=size)
    numbers, stop = number_blocks.doubles(text, stop, path, wanted=3 * size)
    if len(flags) + len(numbers) != 4 * size:
        got = len(flags) + len(numbers)
        raise FormatError(f"{name}: {rows} x {columns} points are {4 * size} numbers, it breaks off after {got}")
    if text[stop:].strip():
        raise FormatError(f"{name}: {rows} x {columns} points are {4 * size} numbers, it goes on after them")
    if not np.isin(flags, (0, 1)).all():
        raise FormatError(f"{name}: flags should be 0 or 1, one is {flags[~np.isin(flags, (0, 1))][0]}")
    points = np.moveaxis(numbers.reshape(3, rows, columns), 0, -1)
    return Grid(flags.reshape(rows, columns) == 1, np.ascontiguousarray(points))


def write_grid(grid: Grid, path: str | os.PathLike[str]) -> None:
    """Write a range image with six decimals, compressed if the name ends in .gz. The bytes are reproducible.

    Raises:
        ArgumentError: if a shape or dtype of the grid is wrong.
        FileError: if the file cannot be written.
    """
    check_dtype("grid.flag", grid.flag, np.bool_)
    check_shape("grid.flag", grid.flag, ("H", "W"))
    check_dtype("grid.points", grid.points, np.float64)
    check_shape("grid.points", grid.points, (*grid.flag.shape, 3))
    rows, columns = grid.flag.shape
    points = np.where(grid.flag[..., None], grid.points, BACKGROUND)
    lines = [f"{rows} rows", f"{columns} columns", "pixels (flag X Y Z):", _line("%d", grid.flag.astype(np.int64))]
    lines += [_line("%.6f", points[:, :, axis]) for axis in range(3)]
    content = ("\n".join(lines) + "\n").encode()
    if Path(path).suffix.lower() == ".gz":
        content = gzip.compress(content, compresslevel=6, mtime=0)
    write_bytes(path, content)


def read(path: str | os.PathLike[str], *, texture: bool = True, longest_edge: float = LONGEST_EDGE) -> Scan:
    """Read a scan from an .abs or .abs.gz file, in millimetres, in the frame of the sensor.

    A scan far from its origin is brought near it: see `Scan.placement`.

    Args:
        path: The file.
        texture: Whether to look for `<stem>.ppm`, .jpg, .png ... beside the file. The format names no texture, so a
            missing one gives no warning.
        longest_edge: In grid pitches. Longer edges are depth discontinuities; see `range_grid.triangulate`.

    Returns:
        The measured points in grid order, triangles between neighbours, uv from the position of the pixel, and in
        `file_vertex` the index of each point in the grid, row * columns + column.

    Raises:
        FileError: if the file cannot be opened.
        FormatError: as `read_grid`, or if no three neighbours were measured.
    """
    path = Path(path)
    grid = read_grid(path)
    valid = grid.valid
    faces, pitch = triangulate(grid.points, valid, longest_edge=longest_edge)
    if not len(faces):
        raise FormatError(f"{path}: at least one face was wanted; {np.count_nonzero(valid)} points were measured, none")
    rows, columns = valid.shape
    place = np.flatnonzero(valid).astype(np.int32)
    u, v = (place % columns + 0.5) / columns, 1.0 - (place // columns + 0.5) / rows
    near = near_origin(grid.points[valid])
    counts = {"vertices": len(near.vertices), "faces": len(faces), "rows": rows, "columns": columns, "pitch": pitch}
    scan = Scan(
        near.vertices,
        faces,
        uv=np.stack([u, v], axis=1).astype(np.float32),
        file_vertex=place,
        placement=near.placement,
        history=({"step": "read", "file": path.name, "format": "abs", **counts, **near.record()},),
    )
    return textures.attach(scan, path, [], expected=False) if texture else scan


def write(scan: Scan, path: str | os.PathLike[str]) -> None:
    """Write a scan that was read from a range image, and its texture, if any, beside it as `<stem>.ppm`.

    Raises:
        ArgumentError: if the scan was not read from a range image. Then make a `Grid` and use `write_grid`.
        FileError: if a file cannot be written.
    """
    rows, columns, place = grid_place(scan)
    path = Path(path)
    points = np.full((rows * columns, 3), BACKGROUND)
    points[place] = scan.vertices
    flag = np.zeros(rows * columns, bool)
    flag[place] = True
    up = -1 if scan.history[0]["format"] == "bnt" else 1  # a .bnt has row 0 at the bottom
    write_grid(Grid(flag.reshape(rows, columns)[::up], points.reshape(rows, columns, 3)[::up]), path)
    if scan.texture is not None:
        stem = path.with_suffix("").stem if path.suffix.lower() == ".gz" else path.stem
        textures.write(scan.texture, path.with_name(f"{stem}.ppm"))


def _line(form: str, array: NDArray[np.int64] | NDArray[np.float64]) -> str:
    return " ".join([form] * array.size) % tuple(array.ravel().tolist())
