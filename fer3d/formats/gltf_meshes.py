"""The meshes of a glTF file: primitives over the same vertices become one group, which nodes then place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer3d.formats import gltf_colours, gltf_draco
from fer3d.formats.gltf_accessors import DTYPES, FLOAT, Accessors
from fer3d.formats.gltf_container import Document
from fer3d.formats.gltf_materials import Look, Materials, moved
from fer3d.formats.gltf_tree import Entry

Kinds = tuple[tuple[str, int, bool], ...]

_UNSIGNED = (5121, 5123)
_QUANTISED = (5120, 5121, 5122, 5123)
_INDEX = tuple(("SCALAR", code, False) for code in (5121, 5123, 5125))
_POSITION: Kinds = (("VEC3", FLOAT, False),)
_COORDINATES: Kinds = (("VEC2", FLOAT, False), *(("VEC2", code, True) for code in _UNSIGNED))
_COLOURS: Kinds = tuple((s, c, c != FLOAT) for s in ("VEC3", "VEC4") for c in (*_UNSIGNED, FLOAT))
_JOINTS: Kinds = tuple(("VEC4", code, False) for code in _UNSIGNED)
_WEIGHTS: Kinds = tuple(("VEC4", code, code != FLOAT) for code in (*_UNSIGNED, FLOAT))
OWN_COLOURS = "_FER3D_COLOR_0"  # colours beside a picture that do not multiply it; see `gltf_write`


@dataclass(eq=False)
class Group:
    """Primitives of a mesh over the same vertices.

    Attributes:
        called: The first of them, for messages.
        positions: (N, 3) float32 or float64, before morph targets and skins.
        faces: (F, 3) integer, or (P,) rows of single points if `points`.
        looks: Look and number of faces of each primitive.
        uv: Texture coordinates (T, 2), or None.
        uv_faces: (F, 3) row of `uv` of each corner, -1: none; or None: row i of `uv` belongs to vertex i.
        colours: Linear or coded colours as `gltf_colours` turns them into sRGB: (N, 3) float32 in [0, 255], or None.
        white: Whether vertices without a colour are white, as there are faces without a picture.
        targets: Accessor of the positions of each morph target, or None.
        joints: Accessors of JOINTS_n and WEIGHTS_n.
        points: Whether it is made of points, not faces.
    """

    called: Entry
    positions: NDArray[np.floating]
    faces: NDArray[np.integer]
    looks: list[tuple[Look, int]] = field(default_factory=list)
    uv: NDArray[np.float64] | None = None
    uv_faces: NDArray[np.integer] | None = None
    colours: NDArray[np.float32] | None = None
    white: bool = False
    targets: tuple[int | None, ...] = ()
    joints: tuple[tuple[int, int], ...] = ()
    points: bool = False

    @cached_property
    def material(self) -> int | NDArray[np.integer]:
        """Row in the materials of each face."""
        rows = [look.row for look, _ in self.looks]
        return rows[0] if len(set(rows)) == 1 else np.repeat(rows, [count for _, count in self.looks])


@dataclass(frozen=True, eq=False)
class _Primitive:
    """One primitive, checked: accessors by their index."""

    entry: Entry
    mode: int
    position: int
    faces: NDArray[np.integer]
    look: Look
    uv: tuple[int, Any] | None
    colour: tuple[int | None, tuple[float, float, float] | None]
    targets: tuple[int | None, ...]
    joints: tuple[tuple[int, int], ...]

    @property
    def key(self) -> tuple[Any, ...]:
        return (self.position, self.colour, self.targets, self.joints, self.mode == 0)


class Meshes:
    """The meshes of a file. Each is read once, however many nodes place it."""

    def __init__(self, document: Document, accessors: Accessors, materials: Materials) -> None:
        self.document, self.accessors, self.materials = document, accessors, materials
        self.lines = 0  # primitives of lines, which are left out
        self._groups: dict[int, list[Group]] = {}
        self._unpacked: dict[int, int] = {}
        quantised = document.uses("KHR_mesh_quantization")
        more = [(code, normalised) for code in _QUANTISED for normalised in (False, True)] if quantised else []
        self._position = (*_POSITION, *(("VEC3", code, normalised) for code, normalised in more))
        self._coordinates = (*_COORDINATES, *(("VEC2", code, normalised) for code, normalised in more))
        self._shifts = (*_POSITION, *(("VEC3", c, n) for c, n in more if c in (5120, 5122)))

    def groups(self, index: int) -> list[Group]:
        """The groups of a mesh, those of points too. None of them is empty."""
        if index not in self._groups:
            mesh = self.document.tree.all("meshes")[index]
            if not mesh.rows("primitives"):
                mesh.fail("primitives", "a list of at least one object")
            found: dict[tuple[Any, ...], list[_Primitive]] = {}
            for entry in mesh.entries("primitives"):
                primitive = self._read(entry)
                if primitive is not None and len(primitive.faces):
                    found.setdefault(primitive.key, []).append(primitive)
            self._groups[index] = [self._group(primitives) for primitives in found.values()]
        return self._groups[index]

    def _read(self, entry: Entry) -> _Primitive | None:
        attributes = entry.entry("attributes")
        if attributes is None:
            entry.fail("attributes", "an object")
        mode = entry.integer("mode", 4, high=6)
        if mode in (1, 2, 3):
            self.lines += 1
            return None
        if "POSITION" not in attributes:
            self.document.warn(f"{entry.where} has no POSITION: it is left out")
            return None
        accessors = self.accessors
        gltf_draco.unpack(accessors, entry, attributes, self._unpacked)
        position = accessors.of(attributes, "POSITION", self._position)
        count = len(accessors.values(position))  # from here on the file is known to hold as many
        look = self.materials.look(entry)
        return _Primitive(
            entry,
            mode,
            position,
            self._faces(entry, mode, count),
            look,
            self._uv(attributes, look, count),
            self._colour(attributes, look, count),
            self._targets(entry, count),
            self._joints(attributes, count),
        )

    def _faces(self, entry: Entry, mode: int, count: int) -> NDArray[np.integer]:
        """The triangles of a primitive; of points the rows of its vertices."""
        rows: NDArray[np.integer]
        if "indices" in entry:
            index = self.accessors.of(entry, "indices", _INDEX)
            rows = self.accessors.values(index)[:, 0]
            high = int(rows.max()) if len(rows) else -1
            if high == np.iinfo(DTYPES[self.accessors.said(index).component]).max:
                entry.refuse(f"should not have the index {high}, which the standard leaves out")
            if high >= count:
                entry.refuse(f"names vertex {high}, counted from 0; it has {count}")
        else:
            rows = np.arange(count, dtype=np.uint32)
        if mode == 0:
            return rows
        if len(rows) and (len(rows) < 3 or (mode == 4 and len(rows) % 3)):
            entry.refuse(f"should have {'a multiple of 3' if mode == 4 else '3 or more'} indices, has {len(rows)}")
        return _TRIANGLES[mode](rows)

    def _uv(self, attributes: Entry, look: Look, count: int) -> tuple[int, Any] | None:
        """Accessor and transform of the texture coordinates."""
        key = f"TEXCOORD_{look.coordinates}"
        if key in attributes:
            return self.accessors.of(attributes, key, self._coordinates, count), look.transform
        if look.picture is not None:
            lacking = f"{look.called} places its picture by {key}, which {attributes.where} lack"
            self.document.warn(f"{lacking}: it is left out there")
        return None

    def _colour(
        self, attributes: Entry, look: Look, count: int
    ) -> tuple[int | None, tuple[float, float, float] | None]:
        """Accessor of the colours, and the factor that they are multiplied by; of a picture the factor is no part."""
        key = OWN_COLOURS if look.picture is not None and OWN_COLOURS in attributes else "COLOR_0"
        index = self.accessors.of(attributes, key, _COLOURS, count) if key in attributes else None
        factor = None if look.picture is not None or look.factor == (1, 1, 1) else look.factor
        if index is not None and look.picture is not None and key == "COLOR_0" and not self._is_white(index):
            self.document.warn(
                f"colours of vertices (COLOR_0) multiply the picture of {look.called}: the picture is read as it is"
            )
        return index, factor

    def _is_white(self, index: int) -> bool:
        return bool((self.accessors.real(index)[:, :3] == 1).all())

    def _targets(self, entry: Entry, count: int) -> tuple[int | None, ...]:
        found: list[int | None] = []
        for target in entry.entries("targets"):
            has = "POSITION" in target
            found.append(self.accessors.of(target, "POSITION", self._shifts, count) if has else None)
            if any(key.startswith(("TEXCOORD_", "COLOR_")) for key in target.values):
                self.document.warn(f"{target.where} moves texture coordinates or colours: that is left out")
        return tuple(found)

    def _joints(self, attributes: Entry, count: int) -> tuple[tuple[int, int], ...]:
        found: list[tuple[int, int]] = []
        while f"JOINTS_{len(found)}" in attributes or f"WEIGHTS_{len(found)}" in attributes:
            n = len(found)
            joints = self.accessors.of(attributes, f"JOINTS_{n}", _JOINTS, count)
            found.append((joints, self.accessors.of(attributes, f"WEIGHTS_{n}", _WEIGHTS, count)))
        return tuple(found)

    def _group(self, primitives: list[_Primitive]) -> Group:
        first = primitives[0]
        uv, uv_faces = self._coordinate_table(primitives)
        index, factor = first.colour
        return Group(
            first.entry,
            self.accessors.real(first.position),
            first.faces if len(primitives) == 1 else np.concatenate([p.faces for p in primitives]),
            [(p.look, len(p.faces)) for p in primitives],
            uv,
            uv_faces,
            self._colours(index, factor, self.accessors.said(first.position).count),
            any(p.look.picture is None for p in primitives),
            first.targets,
            first.joints,
            first.mode == 0,
        )

    def _coordinate_table(
        self, primitives: list[_Primitive]
    ) -> tuple[NDArray[np.float64] | None, NDArray[np.integer] | None]:
        """All texture coordinates of a group, and the row of each corner in them unless it is that of its vertex."""
        sources = list(dict.fromkeys(p.uv for p in primitives if p.uv is not None))
        if not sources:
            return None, None
        tables = [moved(self.accessors.real(index), transform) for index, transform in sources]
        if len(sources) == 1 and all(p.uv is not None for p in primitives):
            return tables[0], None
        start = {source: k * len(tables[0]) for k, source in enumerate(sources)}
        rows = [
            np.full(p.faces.shape, -1) if p.uv is None else p.faces.astype(np.int64) + start[p.uv] for p in primitives
        ]
        return np.concatenate(tables), np.concatenate(rows)

    def _colours(
        self, index: int | None, factor: tuple[float, float, float] | None, count: int
    ) -> NDArray[np.float32] | None:
        """(N, 3) float32 in [0, 255]: COLOR_0 times the factor of a material without a picture."""
        if index is None:
            if factor is None:
                return None
            return np.broadcast_to(gltf_colours.to_srgb(np.array(factor)).astype(np.float32), (count, 3))
        values = self.accessors.values(index)[:, :3]
        if factor is None and self.accessors.said(index).component != FLOAT:
            return gltf_colours.decoded(values)
        linear = self.accessors.said(index).real(values).astype(np.float64)
        with np.errstate(invalid="ignore"):
            if bool((linear > 1).any() or (linear < 0).any()):
                self.document.warn("colours of vertices (COLOR_0) have values outside [0, 1]: they are cut to it")
        linear = linear.clip(0.0, 1.0) * (1.0 if factor is None else np.array(factor))
        return gltf_colours.to_srgb(linear).astype(np.float32)


def _list(rows: NDArray[np.integer]) -> NDArray[np.integer]:
    return rows.reshape(-1, 3)


def _strip(rows: NDArray[np.integer]) -> NDArray[np.integer]:
    """Each second triangle of a strip runs the other way round. Those with two equal corners only join strips."""
    faces = np.stack([rows[:-2], rows[1:-1], rows[2:]], axis=1) if len(rows) else rows.reshape(0, 3)
    faces[1::2, 1:] = faces[1::2, :0:-1]
    a, b, c = faces.T
    return np.asarray(faces[(a != b) & (b != c) & (c != a)])


def _fan(rows: NDArray[np.integer]) -> NDArray[np.integer]:
    if not len(rows):
        return rows.reshape(0, 3)
    return np.stack([rows[1:-1], rows[2:], np.broadcast_to(rows[0], len(rows) - 2)], axis=1)


_TRIANGLES: dict[int, Callable[[NDArray[np.integer]], NDArray[np.integer]]] = {4: _list, 5: _strip, 6: _fan}
