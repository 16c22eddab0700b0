"""Walk through the nodes of a VRML 2.0 file as a browser draws them: what is drawn, and where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fer3d.errors import FormatError
from fer3d.formats.vrml_fields import GEOMETRIES, QUIET, Fields, Place
from fer3d.formats.vrml_tree import Node, shown

MOST_NODES = 250_000  # that are drawn; a small file can repeat a node by USE any number of times

_CHILDREN = dict.fromkeys(("Group", "Transform", "Anchor", "Billboard", "Collision"), "children")
_CHILDREN |= {"Switch": "choice", "LOD": "level"}

_INLINE = "an Inline node was not followed|{n} Inline nodes were not followed"
_UNKNOWN = "a node was left out whose type is not known|{n} nodes were left out whose types are not known"
_SHAPELESS = "a geometry stands outside a Shape: it was read|{n} geometries stand outside a Shape: they were read"


Matrix = NDArray[np.float64] | None  # (4, 4); None: the identity


class Drawn(NamedTuple):
    """A geometry where it is drawn.

    Attributes:
        geometry: A node of `GEOMETRIES`.
        shape: Its Shape; None if it stands outside one.
        matrix: (4, 4) float64, from its frame to that of the file; None: the identity.
    """

    geometry: Place
    shape: Place | None
    matrix: Matrix


def drawn(fields: Fields, roots: Sequence[Node]) -> list[Drawn]:
    """Everything that is drawn, in the order of the file.

    Raises:
        FormatError: if a field is wrong, or more than `MOST_NODES` nodes are drawn.
    """
    found: list[Drawn] = []
    walk = _Walk(fields)
    stack: list[tuple[Place, Matrix]] = [(Place(node, None), None) for node in reversed(roots)]
    visited = 0
    while stack:
        place, matrix = stack.pop()
        visited += 1
        if visited > MOST_NODES:
            raise FormatError(f"{fields.source.path}: a file draws at most {MOST_NODES} nodes, with USE it draws more")
        node, local = walk.end(place)
        if node is None:
            continue
        matrix = _product(matrix, local)
        if node.node.kind in _CHILDREN:
            inner = _product(matrix, walk.turn(node))
            stack.extend((child, inner) for child in reversed(_shown_children(fields, node)))
        else:
            _draw(fields, node, matrix, found)
    return found


@dataclass(slots=True, eq=False)
class _Walk:
    """Goes down from a node to the next one that has several children or none, once for each node: a chain of nodes
    that each use the one before is not walked from every one of them."""

    fields: Fields
    _ends: dict[tuple[int, int], tuple[Place | None, Matrix]] = field(default_factory=dict)
    _turns: dict[tuple[int, int], Matrix] = field(default_factory=dict)

    def end(self, place: Place) -> tuple[Place | None, Matrix]:
        """The node and the matrix to it, without that of the node itself; None if nothing is drawn."""
        path: list[tuple[tuple[int, int], Matrix]] = []
        while True:
            known = self._ends.get(place.key)
            if known is not None:
                end, matrix = known
                break
            end, matrix = self.fields.expanded(place), None
            children = []
            if end is not None and end.node.kind in _CHILDREN:
                children = _shown_children(self.fields, end)
            if end is None or len(children) != 1:
                path.append((place.key, None))
                break
            path.append((place.key, self.turn(end)))
            place = children[0]
        for key, local in reversed(path):
            matrix = _product(local, matrix)
            self._ends[key] = end, matrix
        return end, matrix

    def turn(self, node: Place) -> Matrix:
        """The matrix of a Transform, None for other nodes."""
        if node.node.kind != "Transform":
            return None
        if node.key not in self._turns:
            self._turns[node.key] = _matrix(self.fields, node)
        return self._turns[node.key]


def _product(outer: Matrix, inner: Matrix) -> Matrix:
    if outer is None or inner is None:
        return inner if outer is None else outer
    product: Matrix = outer @ inner
    return product


def _draw(fields: Fields, node: Place, matrix: Matrix, found: list[Drawn]) -> None:
    """Add what a node draws that has no children, or note what it is."""
    kind = node.node.kind
    if kind == "Shape":
        geometry = fields.child(node, "geometry")
        if geometry is not None and _is_geometry(fields, node, geometry):
            found.append(Drawn(geometry, node, matrix))
    elif kind in GEOMETRIES:
        fields.notes.add(_SHAPELESS, node.node.offset, kind)
        found.append(Drawn(node, None, matrix))
    elif kind == "Inline":
        urls = fields.strings(node, "url")
        fields.notes.add(_INLINE, node.node.offset, shown(urls[0]) if urls else "")
    elif kind not in QUIET:
        fields.notes.add(_UNKNOWN, node.node.offset, shown(kind))


def _shown_children(fields: Fields, place: Place) -> list[Place]:
    kind = place.node.kind
    children = fields.children(place, _CHILDREN[kind])
    if kind == "Switch":
        which = fields.integer(place, "whichChoice", -1)
        return children[which : which + 1] if which >= 0 else []
    return children[:1] if kind == "LOD" else children  # the first level is the finest


def _is_geometry(fields: Fields, shape: Place, geometry: Place) -> bool:
    kind = geometry.node.kind
    if kind in GEOMETRIES:
        return True
    if kind in _CHILDREN or kind in QUIET or kind in ("Shape", "Inline"):
        raise fields.error(shape, f"the `geometry` of a Shape should be a geometry such as IndexedFaceSet, is a {kind}")
    fields.notes.add(_UNKNOWN, geometry.node.offset, shown(kind))
    return False


def _matrix(fields: Fields, transform: Place) -> NDArray[np.float64]:
    """The (4, 4) matrix of a Transform: translation, and about `center` the rotation and the scale."""
    centre = _shift(fields.numbers(transform, "center", 3, (0, 0, 0)))
    turned = _turn(fields.numbers(transform, "scaleOrientation", 4, (0, 0, 1, 0)))
    scale = np.diag([*fields.numbers(transform, "scale", 3, (1, 1, 1)), 1.0])
    turn = _turn(fields.numbers(transform, "rotation", 4, (0, 0, 1, 0)))
    shift = _shift(fields.numbers(transform, "translation", 3, (0, 0, 0)))
    matrix: NDArray[np.float64] = shift @ centre @ turn @ turned @ scale @ turned.T @ _shift(-centre[:3, 3])
    return matrix


def _shift(by: NDArray[np.float64]) -> NDArray[np.float64]:
    matrix = np.eye(4)
    matrix[:3, 3] = by
    return matrix


def _turn(axis_angle: NDArray[np.float64]) -> NDArray[np.float64]:
    """The (4, 4) rotation about an axis by an angle (Rodrigues); the identity for an axis of length 0."""
    axis, angle = axis_angle[:3], axis_angle[3]
    length = np.linalg.norm(axis)
    matrix = np.eye(4)
    if length > 0:
        x, y, z = axis / length
        cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
        matrix[:3, :3] += np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    return matrix
