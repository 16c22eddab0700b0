"""The meshes of IndexedFaceSet and ElevationGrid, and the points of PointSet, in their own frames."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fer3d.errors import FormatError
from fer3d.formats.number_blocks import Polygons
from fer3d.formats.polygons import Cut, cut
from fer3d.formats.vrml_fields import Fields, Place
from fer3d.formats.vrml_polygons import corners_of, counts_of
from fer3d.formats.vrml_tree import Numbers

_ROUNDING = 1.001  # a colour up to this is meant in [0, 1]

_FANS = (
    "a polygon crosses itself or has more than 1000 corners and a dent: it was cut as if it were convex"
    "|{n} face sets have polygons that cross themselves, or have more than 1000 corners and a dent: "
    "they were cut as if they were convex"
)
_NO_TEX_COORD = (
    "a texCoordIndex names texture coordinates, but its face set has none"
    "|{n} texCoordIndex name texture coordinates, but their face sets have none"
)
_COLOURLESS = "the colours of a face set were left out|the colours of {n} face sets were left out"


@dataclass(frozen=True, slots=True, eq=False)
class Mesh:
    """The triangles of a node.

    Attributes:
        source: The list in the file that the points come from. Meshes with the same list share it.
        points: (N, 3) float64.
        faces: (F, 3) int32. Rows of `points`, counter-clockwise seen from outside.
        uv: (T, 2) float64, or None.
        uv_faces: (F, 3) int32, or None: rows of `uv` of the corners; None: those of `faces`.
        colours: (C, 3) float32 in [0, 255], or None.
        colour_faces: (F, 3) integer, or None: rows of `colours` of the corners; None: those of `faces`.
        default_uv: Whether `uv` are those that the standard gives to a geometry without any.
    """

    source: object
    points: NDArray[np.float64]
    faces: NDArray[np.int32]
    uv: NDArray[np.float64] | None = None
    uv_faces: NDArray[np.int32] | None = None
    colours: NDArray[np.float32] | None = None
    colour_faces: NDArray[np.integer] | None = None
    default_uv: bool = False


@dataclass(slots=True, eq=False)
class Geometries:
    """Makes the mesh of each node once, however often the node is used."""

    fields: Fields
    _meshes: dict[tuple[int, int], Mesh | None] = field(default_factory=dict)
    _colours: dict[int, NDArray[np.float32]] = field(default_factory=dict)

    def mesh(self, place: Place) -> Mesh | None:
        """The mesh of an IndexedFaceSet or ElevationGrid; None if it has no faces."""
        if place.key not in self._meshes:
            make = self._face_set if place.node.kind == "IndexedFaceSet" else self._elevation_grid
            self._meshes[place.key] = make(place)
        return self._meshes[place.key]

    def cloud(self, place: Place) -> tuple[NDArray[np.float64], NDArray[np.float32] | None]:
        """The points of a PointSet, (N, 3) float64, and their colours, (N, 3) float32 in [0, 255], or None."""
        points = self._rows(place, "coord", "Coordinate", "point", 3)
        if points is None:
            return np.empty((0, 3)), None
        colours = self._color(place)
        if colours is not None and len(colours) < len(points[1]):
            self.fields.notes.add(_COLOURLESS, place.node.offset, "a PointSet has fewer colours than points")
            colours = None
        return points[1], None if colours is None else colours[: len(points[1])]

    # ---- IndexedFaceSet ----

    def _face_set(self, place: Place) -> Mesh | None:
        fields = self.fields
        index = self._polygons(place, "coordIndex")
        if index is None:
            return None
        found = self._rows(place, "coord", "Coordinate", "point", 3)
        if found is None:
            raise fields.error(place, "IndexedFaceSet has a coordIndex but no points")
        source, points = found
        numbers, polygons = index
        self._check_indices(numbers, "coordIndex", polygons.largest, len(points), "points")
        uv = self._rows(place, "texCoord", "TextureCoordinate", "point", 2)
        if uv is None or not len(uv[1]):
            uv = None
            if self._polygons(place, "texCoordIndex") is not None:
                fields.notes.add(_NO_TEX_COORD, place.node.offset)
        uv_polygons = None if uv is None else self._uv_polygons(place, numbers, polygons, len(uv[1]))
        colours, colour_index = self._face_set_colours(place, polygons)
        way = cut(counts_of(polygons), corners_of(polygons), points)
        if way.failed:
            fields.notes.add(_FANS, numbers.offset)
        faces = _cut(way, polygons)
        uv_faces = None if uv_polygons is None else _cut(way, uv_polygons)
        colour_faces: NDArray[np.integer] | None = None
        if isinstance(colour_index, Polygons):
            colour_faces = _cut(way, colour_index)
        elif colour_index is not None:
            colour_faces = np.repeat(colour_index[polygons.polygon][:, None], 3, axis=1)
        mesh = Mesh(source, points, faces, None if uv is None else uv[1], uv_faces, colours, colour_faces)
        return mesh if fields.flag(place, "ccw", True) else turned(mesh)

    def _uv_polygons(self, place: Place, numbers: Numbers, polygons: Polygons, size: int) -> Polygons | None:
        """The texCoordIndex, checked; None if the coordIndex stands for it."""
        index = self._polygons(place, "texCoordIndex")
        of = "texture coordinates"
        if index is None:
            self._check_indices(numbers, "coordIndex", polygons.largest, size, f"{of} (there is no texCoordIndex)")
            return None
        uv_numbers, uv_polygons = index
        self._check_indices(uv_numbers, "texCoordIndex", uv_polygons.largest, size, of)
        if uv_polygons is polygons:  # the same text
            return None
        if not np.array_equal(uv_polygons.polygon, polygons.polygon):
            line = self.fields.source.line(numbers.offset)
            raise self.fields.source.error(
                uv_numbers.offset,
                f"texCoordIndex should have the polygons of coordIndex (line {line}) corner for corner",
            )
        return None if np.array_equal(uv_polygons.faces, polygons.faces) else uv_polygons

    def _face_set_colours(
        self, place: Place, polygons: Polygons
    ) -> tuple[NDArray[np.float32] | None, Polygons | NDArray[np.int64] | None]:
        """The colours, and what names them: polygons for the corners, (P,) rows for the faces, None for vertices.
        Colours that do not fit the faces are left out with a warning: the surface is not touched by them."""
        colours = self._color(place)
        if colours is None:
            return None, None
        try:
            if not self.fields.flag(place, "colorPerVertex", True):
                return colours, self._colour_of_faces(place, int(polygons.polygon[-1]) + 1, len(colours))
            index = self._polygons(place, "colorIndex")
            if index is None:
                _check_colours(polygons.largest, len(colours))
                return colours, None
            if not np.array_equal(index[1].polygon, polygons.polygon):
                raise _MisfitError("colorIndex should have the polygons of coordIndex corner for corner")
            _check_colours(index[1].largest, len(colours))
            return colours, index[1]
        except (_MisfitError, FormatError) as error:
            reason = str(error).removeprefix(f"{self.fields.source.path}: ")
            self.fields.notes.add(_COLOURLESS, place.node.offset, reason)
            return None, None

    def _colour_of_faces(self, place: Place, faces: int, size: int) -> NDArray[np.int64]:
        """(P,): the row of the colour of each face, for colorPerVertex FALSE."""
        index = self.fields.find(place, "colorIndex", Numbers)
        if index is None or not len(index.values):
            rows = np.arange(faces)
        else:
            values = index.values
            if len(values) < faces:
                raise _MisfitError(f"colorIndex should name a colour for each of {faces} faces, names {len(values)}")
            if not ((values >= 0) & (values < 2**31)).all():
                raise _MisfitError("colorIndex should name the colours of faces, from 0 on")
            rows = values[:faces].astype(np.int64)
        _check_colours(int(rows.max()), size)
        return rows

    # ---- ElevationGrid ----

    def _elevation_grid(self, place: Place) -> Mesh | None:
        fields = self.fields
        columns, rows = (fields.integer(place, f"{axis}Dimension", 0) for axis in "xz")
        height = fields.find(place, "height", Numbers)
        count = 0 if height is None else len(height.values)
        if min(columns, rows) < 0 or columns * rows != count:
            raise fields.error(place, f"the `height` of ElevationGrid should hold {columns} x {rows}, holds {count}")
        if height is None or min(columns, rows) < 2:
            return None
        spacing = [float(fields.numbers(place, f"{axis}Spacing", 1, (1.0,))[0]) for axis in "xz"]
        j, i = (axis.ravel() for axis in np.mgrid[:rows, :columns])
        points = np.stack([i * spacing[0], height.values, j * spacing[1]], axis=1)  # (N, 3)
        at = np.arange(rows * columns, dtype=np.int32).reshape(rows, columns)
        a, b, c, d = at[:-1, :-1], at[1:, :-1], at[1:, 1:], at[:-1, 1:]  # counter-clockwise seen from +y
        faces = np.stack([a, b, c, a, c, d], axis=-1).reshape(-1, 3)
        uv = self._rows(place, "texCoord", "TextureCoordinate", "point", 2)
        if uv is not None and len(uv[1]) < len(points):
            raise fields.error(place, f"ElevationGrid has {len(points)} points, but {len(uv[1])} texture coordinates")
        default = np.stack([i / (columns - 1), j / (rows - 1)], axis=1)
        colours = self._color(place)
        colour_faces: NDArray[np.integer] | None = None
        per_vertex = fields.flag(place, "colorPerVertex", True)
        if colours is not None and len(colours) < (len(points) if per_vertex else len(faces) // 2):
            fields.notes.add(_COLOURLESS, place.node.offset, f"an ElevationGrid has only {len(colours)}")
            colours = None
        elif colours is not None and not per_vertex:
            colour_faces = np.repeat(np.arange(len(faces)) // 2, 3).reshape(-1, 3)
        table = default if uv is None else uv[1]
        mesh = Mesh((height, *spacing, columns), points, faces, table, None, colours, colour_faces, uv is None)
        return mesh if fields.flag(place, "ccw", True) else turned(mesh)

    # ---- fields ----

    def _polygons(self, place: Place, name: str) -> tuple[Numbers, Polygons] | None:
        """An index field as polygons; None if it is not given, or empty."""
        numbers = self.fields.find(place, name, Numbers)
        if numbers is None:
            return None
        polygons = self.fields.source.polygons(name, numbers)
        return (numbers, polygons) if len(polygons.faces) else None

    def _rows(
        self, place: Place, name: str, kind: str, inner: str, width: int
    ) -> tuple[Numbers, NDArray[np.float64]] | None:
        """The list of a child, as it stands and as (N, width) float64; None if there is none."""
        fields = self.fields
        child = fields.child(place, name)
        if child is None:
            return None
        if child.node.kind != kind:
            of = place.node.kind
            message = f"the `{name}` of {'an' if of[0] in 'EI' else 'a'} {of} should be a {kind}, is a"
            raise fields.error(child, f"{message} {child.node.kind}")
        numbers = fields.find(child, inner, Numbers)
        if numbers is None:
            return None
        count = len(numbers.values)
        if count % width:
            message = f"the {inner} list of {kind} should hold {width} numbers a point, holds {count} numbers"
            raise fields.source.error(numbers.offset, message)
        if not numbers.bracketed and count > width:
            raise fields.source.error(numbers.offset, f"the {count} numbers of `{inner}` should stand in [ ]")
        return numbers, numbers.values.reshape(-1, width)

    def _color(self, place: Place) -> NDArray[np.float32] | None:
        """The rows of the Color of a geometry, (C, 3) float32 in [0, 255]."""
        found = self._rows(place, "color", "Color", "color", 3)
        if found is None or not len(found[1]):
            return None
        numbers, values = found
        if id(numbers) not in self._colours:
            with np.errstate(all="ignore"):
                known = values[np.isfinite(values)]
                scale = 255.0 if known.max(initial=0.0) <= _ROUNDING else 1.0
                self._colours[id(numbers)] = (values * scale).clip(0.0, 255.0).astype(np.float32)
        return self._colours[id(numbers)]

    def _check_indices(self, numbers: Numbers, name: str, largest: int, size: int, of: str) -> None:
        if largest >= size:
            message = f"{name} should hold rows below {size}, the number of {of}; holds {largest}"
            raise self.fields.source.error(numbers.offset, message)


def _cut(way: Cut, polygons: Polygons) -> NDArray[np.int32]:
    """(F, 3) int32: the triangles of polygons, cut in the same way as others with equally many corners."""
    faces: NDArray[np.int32] = polygons.faces if way.corner is None else way.of_corners(corners_of(polygons))
    return faces


class _MisfitError(Exception):
    """Colours that do not fit the faces."""


def _check_colours(largest: int, size: int) -> None:
    if largest >= size:
        raise _MisfitError(f"colour {largest} is named, counted from 0, but there are {size}")


def turned(mesh: Mesh) -> Mesh:
    """The mesh with the corners of its faces in the other order."""
    uv_faces = None if mesh.uv_faces is None else np.ascontiguousarray(mesh.uv_faces[:, ::-1])
    colour_faces = None if mesh.colour_faces is None else mesh.colour_faces[:, ::-1]
    faces = np.ascontiguousarray(mesh.faces[:, ::-1])
    rest = (mesh.uv, uv_faces, mesh.colours, colour_faces, mesh.default_uv)
    return Mesh(mesh.source, mesh.points, faces, *rest)
