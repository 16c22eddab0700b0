"""Clouds of the Point Cloud Library: .pcd, versions 0.5 to 0.7, as text, binary or compressed.

A cloud with more than one row is a range image, and VIEWPOINT says where the sensor was. Colours are those of the
fields rgb or rgba, or r, g and b.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer3d.errors import FormatError
from fer3d.files import read_bytes
from fer3d.formats import number_blocks
from fer3d.formats.lzf import unpacked
from fer3d.formats.parts import MOST_VERTICES
from fer3d.formats.point_cloud import scan_of_points
from fer3d.scan import Scan

_MOST_HEADER, _MOST_COUNT = 1 << 16, 1 << 16
_TYPES = {f"{kind}{size}" for kind, sizes in (("F", "48"), ("I", "1248"), ("U", "1248")) for size in sizes}
_UNSEEN = re.compile(
    r"_|normal(_[xyz])?|n[xyz]|curvature|principal_curvature.*|pc[12]|label|object|segment|ring|t|time|timestamp|"
    r"stamps?|index|vp_[xyz]|viewpoint|[uvk]|im[xy]|distance|range|boundary_point"
)  # fields that say nothing about the surface or its looks


@dataclass(frozen=True)
class _Header:
    """The header of a file.

    Attributes:
        names, types, counts: Of each field; types as numpy spells them, "<f4".
        rows, columns: HEIGHT and WIDTH.
        data: "ascii", "binary" or "binary_compressed".
        begin: Offset of the data.
        sensor: (3,) float64, or None: not given.
    """

    names: tuple[str, ...]
    types: tuple[str, ...]
    counts: tuple[int, ...]
    rows: int
    columns: int
    data: str
    begin: int
    sensor: NDArray[np.float64] | None

    @property
    def points(self) -> int:
        return self.rows * self.columns

    @property
    def sizes(self) -> list[int]:
        """Bytes of each field of a point."""
        return [np.dtype(kind).itemsize * count for kind, count in zip(self.types, self.counts, strict=True)]


def read(path: str | os.PathLike[str], *, texture: bool = True) -> Scan:
    """Read a cloud and mesh it, see `fer3d.formats.point_cloud`.

    Raises:
        FileError: if the file cannot be opened.
        FormatError: if it violates the format, or the points cannot be meshed.
    """
    path = Path(path)
    content = read_bytes(path)
    header = _header(content, path)
    notes: list[str] = []
    fields = _of_text(content, header, path) if header.data == "ascii" else _of_bytes(content, header, path, notes)
    with np.errstate(invalid="ignore"):  # a damaged file may hold signalling NaN
        points = np.stack([np.asarray(fields[axis], np.float64) for axis in "xyz"], axis=1)
    colours, used = _colours(fields, header)
    for name in dict.fromkeys(header.names):
        if name not in (*"xyz", *used) and not _UNSEEN.fullmatch(name.lower()):
            notes.append(f"its field {name} is left out")
    return scan_of_points(
        path,
        "pcd",
        points,
        colours,
        grid=(header.rows, header.columns) if header.rows > 1 and header.columns > 1 else None,
        texture=texture,
        warnings=notes,
        sensor=header.sensor,
    )


def _header(content: bytes, path: Path) -> _Header:
    entries, begin = _entries(content, path)

    def wanted(key: str) -> list[str]:
        if key not in entries:
            raise FormatError(f"{path}: its header should have a line {key}")
        return entries[key]

    names = tuple(wanted("FIELDS"))
    missing = [axis for axis in "xyz" if names.count(axis) != 1]
    if missing:
        raise FormatError(f"{path}: FIELDS should hold x, y and z once each, are {' '.join(names)[:200]}")
    sizes, types = wanted("SIZE"), wanted("TYPE")
    counts = entries.get("COUNT", ["1"] * len(names))
    if not len(names) == len(sizes) == len(types) == len(counts):
        raise FormatError(
            f"{path}: FIELDS, SIZE, TYPE and COUNT should be as many, are {len(names)}, {len(sizes)}, {len(types)} and "
            f"{len(counts)}"
        )
    kinds = []
    for name, size, kind in zip(names, sizes, types, strict=True):
        if kind + size not in _TYPES:
            raise FormatError(f"{path}: field {name[:40]} should be F, I or U of 1 to 8 bytes, is {kind + size!r:.40}")
        kinds.append(f"<{kind.lower()}{size}")
    numbers = tuple(_whole(path, "COUNT", count, _MOST_COUNT) for count in counts)
    for name, number in zip(names, numbers, strict=True):
        if name in ("x", "y", "z", "rgb", "rgba", "r", "g", "b") and number != 1:
            raise FormatError(f"{path}: COUNT of {name} should be 1, is {number}")
    columns = _whole(path, "WIDTH", _one(path, "WIDTH", wanted("WIDTH")), MOST_VERTICES)
    rows = _whole(path, "HEIGHT", _one(path, "HEIGHT", entries.get("HEIGHT", ["1"])), MOST_VERTICES)
    points = _whole(path, "POINTS", _one(path, "POINTS", entries.get("POINTS", [str(rows * columns)])), MOST_VERTICES)
    if points != rows * columns:
        raise FormatError(f"{path}: WIDTH {columns} times HEIGHT {rows} should be POINTS, is {points}")
    data = _one(path, "DATA", wanted("DATA")).lower()
    if data not in ("ascii", "binary", "binary_compressed"):
        raise FormatError(f"{path}: DATA should be ascii, binary or binary_compressed, is {data[:40]!r}")
    return _Header(names, tuple(kinds), numbers, rows, columns, data, begin, _sensor(path, entries.get("VIEWPOINT")))


def _entries(content: bytes, path: Path) -> tuple[dict[str, list[str]], int]:
    """The lines of the header, key -> words, and the offset of the data behind them."""
    entries: dict[str, list[str]] = {}
    at = 0
    while "DATA" not in entries:
        end = content.find(b"\n", at, _MOST_HEADER)
        if end < 0:
            end = len(content)
        if at >= len(content) or end > _MOST_HEADER:
            raise FormatError(f"{path}: a header of the Point Cloud Library, ended by a line DATA, was wanted")
        words = content[at:end].decode("latin-1").split()
        at = end + 1
        if not words or words[0].startswith("#"):
            continue
        key = {"COLUMNS": "FIELDS"}.get(words[0].upper(), words[0].upper())
        if key not in ("VERSION", "FIELDS", "SIZE", "TYPE", "COUNT", "WIDTH", "HEIGHT", "VIEWPOINT", "POINTS", "DATA"):
            raise FormatError(
                f"{path}: a line of a header of the Point Cloud Library was wanted, got {words[0][:40]!r}"
            )
        if key in entries:
            raise FormatError(f"{path}: its header has two lines {key}")
        entries[key] = words[1:]
    return entries, at


def _one(path: Path, key: str, words: list[str]) -> str:
    if len(words) != 1:
        raise FormatError(f"{path}: {key} should have one value, has {len(words)}")
    return words[0]


def _whole(path: Path, key: str, word: str, most: int) -> int:
    if not re.fullmatch(r"\d{1,12}", word) or int(word) > most or int(word) < 1:
        raise FormatError(f"{path}: {key} should be a whole number from 1 to {most}, is {word[:40]!r}")
    return int(word)


def _sensor(path: Path, words: list[str] | None) -> NDArray[np.float64] | None:
    """Where the sensor was; None if the file has the default, which writers use where they do not know."""
    try:
        numbers = [float(word) for word in words or ()]
    except ValueError:
        numbers = [np.nan]
    if words is not None and (len(numbers) != 7 or not np.isfinite(numbers).all()):
        raise FormatError(f"{path}: VIEWPOINT should be tx ty tz qw qx qy qz, is {' '.join(words)[:80]!r}")
    if not numbers or numbers == [0, 0, 0, 1, 0, 0, 0] or max(map(abs, numbers)) > 1e30:
        return None
    return np.array(numbers[:3])


def _of_text(content: bytes, header: _Header, path: Path) -> dict[str, NDArray[Any]]:
    width = sum(header.counts)
    if 2 * width * header.points > len(content) + 1:
        raise FormatError(f"{path}: its header says {header.points} points, which {len(content)} bytes cannot hold")
    numbers, stop = number_blocks.doubles(content, header.begin, path, wanted=width * header.points)
    if len(numbers) != width * header.points:
        raise FormatError(f"{path}: {header.points} points are {width * header.points} numbers, it has {len(numbers)}")
    if content[stop:].strip():
        raise FormatError(f"{path}: {header.points} points are {width * header.points} numbers, it goes on after them")
    table, starts = numbers.reshape(header.points, width), np.cumsum([0, *header.counts])
    return {name: table[:, start] for name, start in zip(header.names, starts, strict=False)}


def _of_bytes(content: bytes, header: _Header, path: Path, notes: list[str]) -> dict[str, NDArray[Any]]:
    sizes, starts = header.sizes, np.cumsum([0, *header.sizes])
    total = int(starts[-1]) * header.points
    compressed = header.data == "binary_compressed"
    body = content[header.begin :]
    if compressed:
        body = _unpacked(body, total, path)
    if len(body) < total:
        raise FormatError(f"{path}: {header.points} points take {total} bytes, {len(body)} follow the header")
    if body[total:].strip(b"\0"):
        notes.append(f"{len(body) - total} bytes follow its points and are left out")
    raw, fields = np.frombuffer(body, np.uint8, total), {}
    for name, kind, size, start in zip(header.names, header.types, sizes, starts, strict=False):
        if compressed:  # all values of a field, then those of the next
            part = raw[start * header.points : (start + size) * header.points].reshape(header.points, size)
        else:
            part = raw.reshape(header.points, -1)[:, start : start + size]
        if name not in fields:
            item = np.dtype(kind).itemsize
            fields[name] = np.ascontiguousarray(part[:, :item]).view(kind)[:, 0]
    return fields


def _unpacked(body: bytes, total: int, path: Path) -> bytes:
    if len(body) < 8:
        raise FormatError(f"{path}: the sizes of its compressed points were wanted, {len(body)} bytes are left")
    packed, full = (int(n) for n in np.frombuffer(body, "<u4", 2))
    if full != total:
        raise FormatError(f"{path}: its points take {total} bytes, its compressed ones say {full}")
    if packed > len(body) - 8:
        raise FormatError(f"{path}: {packed} compressed bytes were wanted, {len(body) - 8} are left")
    return unpacked(body[8 : 8 + packed], full, path)


def _colours(fields: dict[str, NDArray[Any]], header: _Header) -> tuple[NDArray[np.float32] | None, set[str]]:
    """(N, 3) float32 in [0, 255], or None; and the fields that were used."""
    name = next((name for name in ("rgb", "rgba") if name in fields), None)
    if name is not None:
        packed = _packed(fields[name], header.data == "ascii", header.types[header.names.index(name)])
        channels = [(packed >> shift) & 255 for shift in (16, 8, 0)]
        return np.stack(channels, axis=1).astype(np.float32), {name, "rgb", "rgba"}
    if all(key in fields for key in "rgb"):
        with np.errstate(over="ignore", invalid="ignore"):  # a damaged file may hold any number
            rows = np.stack([fields[key].astype(np.float32) for key in "rgb"], axis=1)
        return rows.clip(0, 255), set("rgb") | {"a"}
    return None, set()


def _packed(values: NDArray[Any], text: bool, kind: str) -> NDArray[np.uint32]:
    """0xAARRGGBB of each point. A real number holds it in its bits; in text, writers also give it as a whole number."""
    if kind == "<f4" and not text:
        return np.ascontiguousarray(values).view(np.uint32)
    numbers = np.asarray(values, np.float64)
    whole = np.where(np.isfinite(numbers) & (np.abs(numbers) < 2.0**32), numbers, 0.0).astype(np.int64)
    if kind != "<f4":
        return whole.astype(np.uint32)
    with np.errstate(over="ignore"):
        bits = np.ascontiguousarray(numbers, dtype=np.float32).view(np.uint32)
    return np.where((numbers == whole) & (numbers != 0), whole.astype(np.uint32), bits)
