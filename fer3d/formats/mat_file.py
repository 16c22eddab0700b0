"""Read the arrays of MATLAB files, version 4 and 5 to 7.2, without evaluating anything in them.

Numeric arrays and those within structs are read. Cells, objects, functions, sparse and complex arrays are named only.
Unpacked bytes are limited.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer3d.errors import FormatError
from fer3d.files import read_bytes

MAX_UNPACKED = 1 << 28
_DEEPEST, _MOST_FIELDS = 8, 4096  # structs within structs; arrays of a file
_COMPRESSED, _MATRIX = 15, 14
_HEAD = 512  # bytes that hold the flags, dimensions and name of an array
# Number of a data type, of a class of arrays -> NumPy's.
_TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_CLASSES = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
_OTHERS = {1: "cell", 3: "object", 4: "text", 5: "sparse", 16: "function", 18: "object"}
_V4 = {0: "f8", 1: "f4", 2: "i4", 3: "i2", 4: "u2", 5: "u1"}


@dataclass
class Content:
    """What a file holds.

    Attributes:
        arrays: Name, such as "scan.points" -> array.
        others: Name -> what it is: "cell", "object", "complex" ...
    """

    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)
    others: dict[str, str] = field(default_factory=dict)


def read_arrays(path: Path, names: Collection[str] | None = None, most: int | None = None) -> Content:
    """Read the arrays of a file.

    Args:
        path: The file.
        names: Arrays to read. Compressed arrays of other names are not unpacked. None: all.
        most: Bytes that all arrays together may have when they are unpacked. None: `MAX_UNPACKED`.

    Raises:
        FileError: if the file cannot be opened.
        FormatError: if it is damaged, of version 7.3, or unpacks to more than `most` bytes.
    """
    content = read_bytes(path)
    if content.startswith((b"MATLAB 7.3", b"\x89HDF")) or content[512:520] == b"\x89HDF\r\n\x1a\n":
        raise FormatError(f"{path}: MATLAB's version 7.3 (HDF5) is not read: write it with save -v7")
    try:
        if content[124:128] in (b"\x00\x01IM", b"\x01\x00MI", b"\x00\x02IM"):
            return _Reader(path, "<" if content[126:128] == b"IM" else ">", names, most or MAX_UNPACKED).file(content)
        return _version_4(content, path)
    except (struct.error, OverflowError):
        raise FormatError(f"{path}: a MATLAB file was wanted, it breaks off or is damaged") from None


class _Reader:
    """Version 5."""

    def __init__(self, path: Path, order: str, names: Collection[str] | None, most: int) -> None:
        self.path, self.order, self.names, self.most = path, order, names, most
        self.left, self.found = most, Content()

    def file(self, content: bytes) -> Content:
        at = 128
        while at < len(content):
            kind, size = struct.unpack_from(self.order + "II", content, at)
            body = content[at + 8 : at + 8 + size]
            if len(body) < size:
                raise self.damaged(f"an element of {size} bytes was wanted, {len(body)} are left")
            at += 8 + size
            if kind == _COMPRESSED:
                if self.names is not None and self.name_of(body) not in (None, *self.names):
                    continue
                body = self.unpacked(body)
                kind, size = struct.unpack_from(self.order + "II", body, 0)
                body = body[8 : 8 + size]
                if len(body) < size:
                    raise self.damaged(f"an element of {size} bytes was wanted, it unpacks to {len(body)}")
            else:
                at += -size % 8
            if kind == _MATRIX:
                self.matrix(memoryview(body), "", 0)
            elif kind not in _TYPES:
                raise self.damaged(f"an array was wanted, got an element of type {kind}")
        return self.found

    def damaged(self, what: str) -> FormatError:
        return FormatError(f"{self.path}: {what}")

    def name_of(self, body: bytes) -> str | None:
        """Name of a compressed array from its first bytes; None if they do not tell."""
        try:
            head = memoryview(zlib.decompressobj().decompress(body, _HEAD))[8:]
            _, _, at = self.element(head, 0)
            _, _, at = self.element(head, at)
            return bytes(self.element(head, at)[1]).decode("latin-1")
        except (zlib.error, struct.error, FormatError):
            return None

    def unpacked(self, body: bytes) -> bytes:
        machine = zlib.decompressobj()
        try:
            out = machine.decompress(body, self.left + 1)
        except zlib.error as error:
            raise self.damaged(f"a compressed array cannot be unpacked: {error}") from None
        self.left -= len(out)
        if self.left < 0:
            raise self.damaged(f"it unpacks to more than {self.most} bytes")
        return out

    def element(self, body: memoryview, at: int) -> tuple[int, memoryview, int]:
        """Type and bytes of the element at `at`, and where the next one begins."""
        word, size = struct.unpack_from(self.order + "II", body, at)
        if word >> 16:  # up to four bytes are stored within the tag
            kind, size, begin, end = word & 0xFFFF, word >> 16, at + 4, at + 8
            if size > 4:
                raise self.damaged(f"a small element has at most 4 bytes, one has {size}")
        else:
            kind, begin = word, at + 8
            end = begin + size + (-size % 8)
        if begin + size > len(body):
            raise self.damaged(f"an element of {size} bytes was wanted, {max(len(body) - begin, 0)} are left")
        return kind, body[begin : begin + size], end

    def numbers(self, kind: int, body: memoryview) -> NDArray[Any]:
        if kind not in _TYPES:
            raise self.damaged(f"numbers were wanted, got an element of type {kind}")
        dtype = np.dtype(self.order + _TYPES[kind])
        return np.frombuffer(body[: len(body) // dtype.itemsize * dtype.itemsize], dtype)

    def matrix(self, body: memoryview, outer: str, depth: int) -> None:
        """Add an array, or the arrays of a struct, to `found`."""
        if not len(body):  # an empty array in a struct
            return
        if depth > _DEEPEST:
            raise self.damaged(f"structs lie at most {_DEEPEST} deep, these lie deeper")
        if len(self.found.arrays) + len(self.found.others) >= _MOST_FIELDS:
            raise self.damaged(f"a file has at most {_MOST_FIELDS} arrays, it has more")
        kind, flags_body, at = self.element(body, 0)
        flags = int(self.numbers(kind, flags_body)[0]) if kind == 6 and len(flags_body) >= 4 else -1
        if flags < 0:
            raise self.damaged("the flags of an array were wanted")
        if flags & 0xFF == 17:  # an object of a class: it has no dimensions
            name = bytes(self.element(body, at)[1]).decode("latin-1")
            self.found.others[outer + name] = "object"
            return
        kind, dims, at = self.element(body, at)
        shape = tuple(int(n) for n in self.numbers(kind, dims))
        if min(shape, default=-1) < 0 or len(shape) > 32:
            raise self.damaged("the dimensions of an array were wanted")
        _, name_body, at = self.element(body, at)
        name = outer + bytes(name_body).decode("latin-1")
        self.value(body, at, flags, shape, name, depth)

    def value(self, body: memoryview, at: int, flags: int, shape: tuple[int, ...], name: str, depth: int) -> None:
        what = flags & 0xFF
        if what == 2:
            self.fields(body, at, shape, name, depth)
        elif what not in _CLASSES:
            self.found.others[name] = _OTHERS.get(what, "array of an unknown class")
        elif flags & 0x800 or 0 in shape:
            self.found.others[name] = "complex" if flags & 0x800 else "empty"
        else:
            kind, part, _ = self.element(body, at)
            values = self.numbers(kind, part)
            if len(values) != math.prod(shape):
                raise self.damaged(f"{name[:80]} should have {math.prod(shape)} numbers, has {len(values)}")
            with np.errstate(over="ignore", invalid="ignore"):  # a damaged file may hold any number
                self.found.arrays[name] = values.astype(_CLASSES[what], copy=False).reshape(shape, order="F")

    def fields(self, body: memoryview, at: int, shape: tuple[int, ...], name: str, depth: int) -> None:
        if math.prod(shape) != 1:
            self.found.others[name] = f"struct of {math.prod(shape)}"
            return
        kind, width_body, at = self.element(body, at)
        width = int(self.numbers(kind, width_body)[0]) if len(width_body) >= 4 else 0
        _, names, at = self.element(body, at)
        if width < 1:
            raise self.damaged(f"the fields of {name[:80]} have names of {width} bytes")
        words = [bytes(names[i : i + width]).split(b"\0")[0].decode("latin-1") for i in range(0, len(names), width)]
        for word in words[: _MOST_FIELDS + 1]:
            kind, inner, at = self.element(body, at)
            if kind != _MATRIX:
                raise self.damaged(f"the field {word[:80]} of {name[:80]} should be an array")
            self.matrix(inner, f"{name}.{word}", depth + 1)


def _version_4(content: bytes, path: Path) -> Content:
    found, at = Content(), 0
    while at < len(content):
        if len(found.arrays) + len(found.others) >= _MOST_FIELDS:
            raise FormatError(f"{path}: a file has at most {_MOST_FIELDS} arrays, it has more")
        order = next((o for o in "<>" if len(content) >= at + 20 and _is_tag(content, at, o)), None)
        if order is None:
            raise FormatError(f"{path}: a MATLAB file was wanted, byte {at} begins no array")
        mopt, rows, columns, imaginary, length = struct.unpack_from(order + "5i", content, at)
        dtype = np.dtype(order + _V4[mopt // 10 % 10])
        name = content[at + 20 : at + 20 + length].split(b"\0")[0].decode("latin-1")
        at += 20 + length
        size = rows * columns * dtype.itemsize * (2 if imaginary else 1)
        if at + size > len(content):
            raise FormatError(f"{path}: {rows} x {columns} numbers were wanted, it breaks off")
        if mopt % 10 or imaginary:
            found.others[name] = "complex" if imaginary else ("text", "sparse")[mopt % 10 - 1]
        else:
            values = np.frombuffer(content, dtype, rows * columns, at)
            found.arrays[name] = values.reshape(rows, columns, order="F").astype(dtype.newbyteorder("="))
        at += size
    return found


def _is_tag(content: bytes, at: int, order: str) -> bool:
    mopt, rows, columns, imaginary, length = struct.unpack_from(order + "5i", content, at)
    plain = (
        mopt // 1000 == (order == ">") and mopt // 100 % 10 == 0 and mopt // 10 % 10 in _V4 and mopt % 10 in (0, 1, 2)
    )
    return plain and rows >= 0 and columns >= 0 and imaginary in (0, 1) and 0 < length < 1000
