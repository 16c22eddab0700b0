"""The fields of VRML 2.0 nodes: which there are, and what they hold once IS is followed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from fer3d.errors import FormatError
from fer3d.formats.vrml_tree import Flag, Is, Node, Nodes, Notes, Numbers, Proto, Source, Strings, Value, shown

MOST_INSTANCES = 50_000  # of prototypes with values of their own; a small file can make any number of them

_GROUP = "children bboxCenter bboxSize addChildren removeChildren"
_GRID = "color colorPerVertex texCoord normal normalPerVertex ccw solid creaseAngle"

# Node type -> its fields, of those that are drawn or say how something is drawn.
FIELDS = {
    kind: frozenset(names.split())
    for kind, names in {
        "Group": _GROUP,
        "Transform": f"{_GROUP} center rotation scale scaleOrientation translation",
        "Anchor": f"{_GROUP} description parameter url",
        "Billboard": f"{_GROUP} axisOfRotation",
        "Collision": f"{_GROUP} collide proxy collideTime",
        "Switch": "choice whichChoice",
        "LOD": "level range center",
        "Inline": "url bboxCenter bboxSize",
        "Shape": "appearance geometry",
        "Appearance": "material texture textureTransform",
        "Material": "ambientIntensity diffuseColor emissiveColor shininess specularColor transparency",
        "ImageTexture": "url repeatS repeatT",
        "PixelTexture": "image repeatS repeatT",
        "MovieTexture": "url loop speed startTime stopTime repeatS repeatT",
        "TextureTransform": "center rotation scale translation",
        "IndexedFaceSet": f"{_GRID} coord coordIndex texCoordIndex colorIndex normalIndex convex"
        " set_coordIndex set_texCoordIndex set_colorIndex set_normalIndex",
        "ElevationGrid": f"{_GRID} height set_height xDimension xSpacing zDimension zSpacing",
        "PointSet": "color coord",
        "IndexedLineSet": "color coord colorIndex colorPerVertex coordIndex set_colorIndex set_coordIndex",
        "Box": "size",
        "Cone": "bottom bottomRadius height side",
        "Cylinder": "bottom height radius side top",
        "Sphere": "radius",
        "Extrusion": "beginCap ccw convex creaseAngle crossSection endCap orientation scale solid spine"
        " set_crossSection set_orientation set_scale set_spine",
        "Text": "string fontStyle length maxExtent",
        "Coordinate": "point",
        "TextureCoordinate": "point",
        "Color": "color",
        "Normal": "vector",
    }.items()
}
_GEOMETRIES = "IndexedFaceSet ElevationGrid PointSet IndexedLineSet Box Cone Cylinder Sphere Extrusion Text"
GEOMETRIES = frozenset(_GEOMETRIES.split())
# Nodes that draw nothing where they stand: sensors, interpolators, lights, sounds, what holds for the whole world; and
# properties, which only mean something in a field of another node.
_QUIET = (
    "Script WorldInfo Viewpoint NavigationInfo Background Fog Sound AudioClip DirectionalLight PointLight SpotLight "
    "CylinderSensor PlaneSensor ProximitySensor SphereSensor TimeSensor TouchSensor VisibilitySensor "
    "ColorInterpolator CoordinateInterpolator NormalInterpolator OrientationInterpolator PositionInterpolator "
    "ScalarInterpolator FontStyle Appearance Material ImageTexture PixelTexture MovieTexture TextureTransform "
    "Coordinate TextureCoordinate Color Normal"
)
QUIET = frozenset(_QUIET.split())

# Warnings; see `Notes.add`.
UNDEFINED = "a USE was left out, no DEF before it has its name|{n} USE were left out, no DEF before them has their name"
OUTSIDE = (
    "an EXTERNPROTO is in another file, which is not read: its instance was left out"
    "|EXTERNPROTO are in other files, which are not read: {n} instances were left out"
)
NO_FIELD = "a field was left out that its node does not have|{n} fields were left out that their nodes do not have"

_Kind = TypeVar("_Kind", Numbers, Strings, Flag, Nodes)
_WANTED = {Numbers: "numbers", Strings: "strings", Flag: "TRUE or FALSE", Nodes: "a node"}


@dataclass(slots=True, eq=False)
class Instance:
    """An instance of a PROTO: what IS means in its body.

    Attributes:
        node: The node that makes the instance; its fields are written in the instance `outer`.
        proto: Its prototype.
        outer: The instance whose body `node` stands in; None in the file itself.
    """

    node: Node
    proto: Proto
    outer: Instance | None
    _known: dict[str, tuple[Value | None, Instance | None]] = field(default_factory=dict)

    def value(self, name: str) -> tuple[Value | None, Instance | None]:
        """What IS `name` means, and the instance in which its nodes stand."""
        at = self
        passed: list[tuple[Instance, str]] = []
        found: tuple[Value | None, Instance | None]
        while True:
            passed.append((at, name))
            if name in at._known:
                found = at._known[name]
                break
            value = at.node.fields.get(name)
            if at.outer is None or not isinstance(value, Is):  # there is no IS outside the bodies of prototypes
                found = (at.proto.defaults.get(name), None) if value is None else (value, at.outer)
                break
            at, name = at.outer, value.name
        for instance, called in passed:
            instance._known[called] = found
        return found


class Place(NamedTuple):
    """A node where it is used: in an instance of a PROTO, or in the file itself (None)."""

    node: Node
    instance: Instance | None

    @property
    def key(self) -> tuple[int, int]:
        """Equal for places with the same node and the same values of IS."""
        return id(self.node), id(self.instance)


@dataclass(slots=True, eq=False)
class Fields:
    """Looks values up, and notes what cannot be."""

    source: Source
    notes: Notes
    _instances: dict[tuple[int, int], Instance] = field(default_factory=dict)
    _checked: set[int] = field(default_factory=set)

    def numbers(self, place: Place, name: str, count: int, default: tuple[float, ...]) -> NDArray[np.float64]:
        """`count` finite numbers of a field, (count,) float64."""
        found = self.find(place, name, Numbers)
        if found is None:
            return np.array(default, dtype=np.float64)
        if len(found.values) != count or not np.isfinite(found.values).all():
            shown = " ".join(f"{value:g}" for value in found.values[: count + 1].tolist())
            message = f"`{name}` of {place.node.kind} should be {count} numbers, is '{shown}'"
            raise self.source.error(found.offset, message)
        return found.values

    def integer(self, place: Place, name: str, default: int) -> int:
        """An integer of a field."""
        (value,) = self.numbers(place, name, 1, (default,))
        if value != int(value):
            raise self.error(place, f"`{name}` of {place.node.kind} should be an integer, is {value:g}")
        return int(value)

    def flag(self, place: Place, name: str, default: bool) -> bool:
        """TRUE or FALSE."""
        found = self.find(place, name, Flag)
        return default if found is None else found.on

    def strings(self, place: Place, name: str) -> list[str]:
        """The strings of a field."""
        found = self.find(place, name, Strings)
        return [] if found is None else found.strings

    def child(self, place: Place, name: str) -> Place | None:
        """The node of a field; an instance of a PROTO is the first node of its body. None: there is none."""
        found, instance = self._value(place, name, Nodes)
        if found is None or not found.nodes:
            return None
        if len(found.nodes) > 1:
            raise self.source.error(found.offset, f"`{name}` of {place.node.kind} should be one node, is several")
        return self.expanded(Place(found.nodes[0], instance))

    def children(self, place: Place, name: str) -> list[Place]:
        """The nodes of a field, as they stand."""
        found, instance = self._value(place, name, Nodes)
        return [] if found is None else [Place(node, instance) for node in found.nodes]

    def find(self, place: Place, name: str, kind: type[_Kind]) -> _Kind | None:
        """The value of a field, None if it is not given. Raises FormatError if it is of another kind."""
        return self._value(place, name, kind)[0]

    def expanded(self, place: Place) -> Place | None:
        """The node that is drawn for an instance of a PROTO, or the node itself. None, with a note: it is unknown."""
        node, instance = place
        while True:
            if not node.kind:
                self.notes.add(UNDEFINED, node.offset, shown(node.name))
                return None
            proto = node.proto
            if proto is None:
                break
            if proto.outside:
                self.notes.add(OUTSIDE, node.offset, shown(node.kind))
                return None
            self._check(node, frozenset(proto.defaults))
            if not proto.body:
                return None
            instance = self._instance(node, proto, instance) if proto.bound else None
            node = proto.body[0]
        known = FIELDS.get(node.kind)
        if known is not None:
            self._check(node, known)
        return Place(node, instance)

    def error(self, place: Place, message: str) -> FormatError:
        """An error at a node."""
        return self.source.error(place.node.offset, message)

    def _value(self, place: Place, name: str, kind: type[_Kind]) -> tuple[_Kind | None, Instance | None]:
        value: Value | None = place.node.fields.get(name)
        instance = place.instance
        if isinstance(value, Is):
            value, instance = (None, None) if instance is None else instance.value(value.name)
        if value is None or isinstance(value, kind):
            return value, instance
        if isinstance(value, Nodes) and not value.nodes:  # `[ ]` is the empty list of everything
            return None, None
        raise self.source.error(value.offset, f"`{name}` of {place.node.kind} should be {_WANTED[kind]}")

    def _instance(self, node: Node, proto: Proto, outer: Instance | None) -> Instance:
        key = id(node), id(outer)
        found = self._instances.get(key)
        if found is None:
            if len(self._instances) >= MOST_INSTANCES:
                raise FormatError(f"{self.source.path}: a file draws at most {MOST_INSTANCES} instances of PROTO")
            found = self._instances[key] = Instance(node, proto, outer)
        return found

    def _check(self, node: Node, known: frozenset[str]) -> None:
        """Note fields that a node does not have, once for each node."""
        if id(node) in self._checked:
            return
        self._checked.add(id(node))
        for name, value in node.fields.items():
            if name not in known and name.removeprefix("set_").removesuffix("_changed") not in known:
                self.notes.add(NO_FIELD, value.offset, f"{shown(name)} of {shown(node.kind)[1:-1]}")
