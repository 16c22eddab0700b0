"""Read the accessors of a glTF file: numbers in its buffers, plain, sparse, normalised, or none at all.

Nothing is allocated before the bytes of the file are known to hold it. Accessors without bytes (all zeros) may not be
longer than the whole file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer3d.errors import FormatError
from fer3d.formats import parts
from fer3d.formats.gltf_container import Document
from fer3d.formats.gltf_tree import Entry

FLOAT = 5126
DTYPES = {5120: "<i1", 5121: "<u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", FLOAT: "<f4"}
NAMES = {5120: "byte", 5121: "ubyte", 5122: "short", 5123: "ushort", 5125: "uint", FLOAT: "float"}
SHAPES = {"SCALAR": (1, 1), "VEC2": (1, 2), "VEC3": (1, 3), "VEC4": (1, 4), "MAT2": (2, 2), "MAT3": (3, 3)}
SHAPES |= {"MAT4": (4, 4)}  # columns and rows
_INDICES = (5121, 5123, 5125)
_LEAST_ROOM = 1 << 16
_SHARED = 4  # how often, on average, accessors of a file may read the same bytes


@dataclass(frozen=True, eq=False)
class Accessor:
    """What an accessor says about its numbers.

    Attributes:
        entry: The accessor in the file.
        component: Its componentType.
        shape: Its type: "SCALAR", "VEC2" ...
        count: The number of its elements.
        normalised: Whether integers stand for fractions of their full range.
    """

    entry: Entry
    component: int
    shape: str
    count: int
    normalised: bool

    @property
    def kind(self) -> tuple[str, int, bool]:
        """Type, componentType and whether it is normalised."""
        return self.shape, self.component, self.normalised

    @property
    def called(self) -> str:
        """Its kind in words, such as "VEC3 of normalised ushort"."""
        return f"{self.shape} of {'normalised ' if self.normalised else ''}{NAMES[self.component]}"

    def real(self, values: NDArray[Any]) -> NDArray[np.floating]:
        """Its numbers as reals: float32 as they are, integers as float64, in [-1, 1] if they are normalised."""
        if self.component == FLOAT:
            return values
        out = values.astype(np.float64)
        if self.normalised:
            out /= np.iinfo(values.dtype).max
            np.maximum(out, -1.0, out=out)
        return out


class Accessors:
    """The accessors of a file. Each is decoded once."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self._said: dict[int, Accessor] = {}
        self._values: dict[int, NDArray[Any]] = {}
        self._elements_read = 0

    def said(self, index: int) -> Accessor:
        """What the accessor of an index says about itself."""
        if index not in self._said:
            self._said[index] = _said(self.document.tree.all("accessors")[index])
        return self._said[index]

    def of(self, owner: Entry, key: str, kinds: Sequence[tuple[str, int, bool]], count: int | None = None) -> int:
        """The index of the accessor that `owner` names under `key`.

        Args:
            owner: An object of the file.
            key: The key in it.
            kinds: Those that are allowed here.
            count: The number of elements that is wanted.

        Raises:
            FormatError: if there is no such accessor, or it is of another kind or length.
        """
        index = self.document.tree.index(owner, key, "accessors")
        said = self.said(index)
        if said.kind not in kinds:
            raise FormatError(f"{owner.path}: {owner.where}.{key} should not be {said.called} ({said.entry.where})")
        if count is not None and said.count != count:
            problem = f"{owner.where}.{key} should have {count} elements, as many as POSITION, has {said.count}"
            raise FormatError(f"{owner.path}: {problem} ({said.entry.where})")
        return index

    def values(self, index: int) -> NDArray[Any]:
        """(count, n): the numbers of an accessor in the type of the file; matrices column by column. Do not write."""
        if index not in self._values:
            self._values[index] = self._decoded(self.said(index))
        return self._values[index]

    def real(self, index: int) -> NDArray[np.floating]:
        """(count, n): the numbers of an accessor as reals."""
        return self.said(index).real(self.values(index))

    def known(self, index: int) -> bool:
        """Whether the numbers of an accessor are there already."""
        return index in self._values

    def give(self, index: int, values: NDArray[Any]) -> None:
        """Set the numbers of an accessor whose data an extension holds: (count, n), cast to its own type."""
        said = self.said(index)
        columns, rows = SHAPES[said.shape]
        if values.shape != (said.count, columns * rows):
            said.entry.refuse(f"says {said.count} elements of {columns * rows} numbers, its data has {values.shape}")
        self._values[index] = values.astype(DTYPES[said.component])

    def _decoded(self, said: Accessor) -> NDArray[Any]:
        entry, (columns, rows) = said.entry, SHAPES[said.shape]
        self._elements_read += said.count
        sparse = entry.entry("sparse")
        changes = None if sparse is None else self._sparse(said, sparse)
        base = self._plain(said)
        if base is None:
            room = max(self.document.size, _LEAST_ROOM)
            if said.count > min(room, parts.MOST_VERTICES):
                entry.refuse(f"says {said.count} elements without data; a file of {room} bytes may not have so many")
            base = np.zeros((said.count, columns * rows), DTYPES[said.component])
        if self._elements_read > _SHARED * self.document.size + _LEAST_ROOM:
            entry.refuse(f"is one too many: together they say {self._elements_read} elements, more than its bytes hold")
        if changes is None:
            return base
        changed = base.copy()
        changed[changes[0]] = changes[1]
        return changed

    def _plain(self, said: Accessor) -> NDArray[Any] | None:
        """The numbers in its bufferView, or None if it has none."""
        view = self.document.tree.named(said.entry, "bufferView", "bufferViews")
        if view is None:
            return None
        offset = said.entry.integer("byteOffset", 0)
        return self._elements(said.entry, view, offset, said.component, said.shape, said.count)

    def _sparse(self, said: Accessor, sparse: Entry) -> tuple[NDArray[Any], NDArray[Any]]:
        """The elements that a sparse accessor changes, and their numbers."""
        count = sparse.integer("count", low=1, high=said.count)
        at_entry, of_entry = sparse.entry("indices"), sparse.entry("values")
        if at_entry is None or of_entry is None:
            sparse.refuse("should have indices and values")
        component = at_entry.integer("componentType")
        if component not in _INDICES:
            at_entry.fail("componentType", "5121, 5123 or 5125")
        at = self._named(at_entry, component, "SCALAR", count)[:, 0]
        if int(at.max()) >= said.count or (len(at) > 1 and bool((at[1:] <= at[:-1]).any())):
            sparse.refuse(f"should have indices that rise and lie below {said.count}")
        return at, self._named(of_entry, said.component, said.shape, count)

    def _named(self, owner: Entry, component: int, shape: str, count: int) -> NDArray[Any]:
        view = self.document.tree.named(owner, "bufferView", "bufferViews")
        if view is None:
            owner.fail("bufferView", "an index of bufferViews")
        return self._elements(owner, view, owner.integer("byteOffset", 0), component, shape, count)

    def _elements(self, owner: Entry, view: Entry, offset: int, component: int, shape: str, count: int) -> NDArray[Any]:
        """(count, n) numbers of a bufferView."""
        content, dtype = self.document.view(view), np.dtype(DTYPES[component])
        columns, rows = SHAPES[shape]
        column = rows * dtype.itemsize if columns == 1 else -(-rows * dtype.itemsize // 4) * 4  # columns begin at 4 n
        size = column * (columns - 1) + rows * dtype.itemsize
        packed = column * columns
        stride = view.integer("byteStride", packed, low=1, high=252) if "byteStride" in view else packed
        if stride < size:
            view.refuse(f"has byteStride {stride}, an element of {owner.where} takes {size} bytes")
        if count and offset + stride * (count - 1) + size > len(content):
            end = offset + stride * (count - 1) + size
            owner.refuse(f"says {count} elements, which end at byte {end}; {view.where} has {len(content)}")
        if not count:
            return np.zeros((0, columns * rows), dtype)
        strides = (stride, column, dtype.itemsize)
        found = np.ndarray((count, columns, rows), dtype, content, offset, strides)
        return np.ascontiguousarray(found).reshape(count, columns * rows)


def _said(entry: Entry) -> Accessor:
    component = entry.integer("componentType")
    if component not in DTYPES:
        entry.fail("componentType", "5120, 5121, 5122, 5123, 5125 or 5126")
    shape = entry.text("type")
    if shape not in SHAPES:
        entry.fail("type", "SCALAR, VEC2, VEC3, VEC4, MAT2, MAT3 or MAT4")
    normalised = entry.flag("normalized")
    if normalised and component in (5125, FLOAT):
        entry.refuse(f"should not have normalized numbers of type {NAMES[component]}")
    return Accessor(entry, component, shape, entry.integer("count"), normalised)
