"""Parse the node tree of a VRML 2.0 file, as far as meshes need it. Native code parses the number lists."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fer3d.errors import FormatError
from fer3d.files import line_of
from fer3d.formats import number_blocks
from fer3d.formats.number_blocks import Polygons

_HEADER = re.compile(rb"(?:\xef\xbb\xbf)?\s*#VRML V2\.0", re.IGNORECASE)

# One bracket, string or word, after separators and comments. The quantifiers are possessive (`++`, `*+`), so that the
# expression never backtracks.
_SEPARATORS = rb"[\s,]*+(?:#[^\n\r]*+[\s,]*+)*+"
_TOKEN = re.compile(_SEPARATORS + rb'(?:([{}\[\]])|"((?:[^"\\]++|\\.)*+)"|([^\s,{}\[\]"#]++))', re.DOTALL)
_PEEK = re.compile(_SEPARATORS + rb"(.?)", re.DOTALL)
_DEEPEST = 1000  # depth of nesting, far above that of any exporter; each face set walks the nodes above it
_INDEX_FIELDS = ("coordIndex", "texCoordIndex")

_NO_POLYGONS = Polygons(np.empty((0, 3), np.int32), np.empty(0, np.int32), -1, 0)


@dataclass(slots=True)
class Block:
    """A bracketed list of numbers: in an index field it fills `polygons`, else `values`."""

    offset: int  # byte offset of its beginning
    values: NDArray[np.float32] = field(default_factory=lambda: np.empty(0, np.float32))
    polygons: Polygons = _NO_POLYGONS


@dataclass(slots=True, eq=False)
class Node:
    """The content between the braces of a node.

    `words` are its names and plain values in order; `children` are (field, node); `strings` and `blocks` are keyed by
    field. `parent` is None for the file itself.
    """

    kind: str
    offset: int  # byte offset of its opening brace
    parent: Node | None = None
    words: list[str] = field(default_factory=list)
    children: list[tuple[str, Node]] = field(default_factory=list)
    strings: dict[str, list[str]] = field(default_factory=dict)
    blocks: dict[str, Block] = field(default_factory=dict)

    def value(self, name: str, count: int = 1) -> str | None:
        """Return the `count` words after `name`, or None."""
        if name not in self.words:
            return None
        at = self.words.index(name) + 1
        return " ".join(self.words[at : at + count])


@dataclass(slots=True)
class Scene:
    """A parsed file: its IndexedFaceSets in order of appearance, with lookups of the nodes around them."""

    path: str | os.PathLike[str]
    text: bytes
    face_sets: list[Node] = field(default_factory=list)
    defined: dict[str, Node] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def line(self, at: Node | Block) -> int:
        """Return the line, from 1. Only messages call this: for every node it would cost as much as parsing."""
        return line_of(self.text, at.offset)

    def error(self, at: Node | Block, message: str) -> FormatError:
        """Make an error that names the file and the line."""
        return FormatError(f"{os.fspath(self.path)}: line {self.line(at)}: {message}")

    def child(self, node: Node, name: str) -> Node | None:
        """Return the node in field `name`, written there or referenced by USE."""
        for at, child in node.children:
            if at == name:
                return child
        words = (node.value(name, 2) or "").split()
        return self.defined.get(words[1]) if len(words) == 2 and words[0] == "USE" else None

    def images(self, face_set: Node) -> list[str]:
        """Return the url list of the texture of a face set's Shape; empty if it has none."""
        appearance = None if face_set.parent is None else self.child(face_set.parent, "appearance")
        texture = None if appearance is None else self.child(appearance, "texture")
        return [] if texture is None else [url for url in texture.strings.get("url", []) if url]

    def placed(self, node: Node, points: NDArray[np.float32]) -> NDArray[np.float32]:
        """Apply the Transforms above a node to points."""
        matrix = None
        above = node.parent
        while above is not None:
            if above.kind == "Transform":
                matrix = self._matrix(above) if matrix is None else self._matrix(above) @ matrix
            above = above.parent
        if matrix is None or np.array_equal(matrix, np.eye(4)):
            return points
        with np.errstate(over="ignore", invalid="ignore"):
            return (points.astype(np.float64) @ matrix[:3, :3].T + matrix[:3, 3]).astype(np.float32)

    def _matrix(self, transform: Node) -> NDArray[np.float64]:
        """Return the (4, 4) matrix of a Transform: translation, and about `center` the rotation and the scale."""
        centre = _shift(self._numbers(transform, "center", (0, 0, 0)))
        turned = _turn(self._numbers(transform, "scaleOrientation", (0, 0, 1, 0)))
        scale = np.diag([*self._numbers(transform, "scale", (1, 1, 1)), 1.0])
        turn = _turn(self._numbers(transform, "rotation", (0, 0, 1, 0)))
        shift = _shift(self._numbers(transform, "translation", (0, 0, 0)))
        return shift @ centre @ turn @ turned @ scale @ turned.T @ _shift(-centre[:3, 3])

    def _numbers(self, node: Node, name: str, default: tuple[float, ...]) -> NDArray[np.float64]:
        text = node.value(name, len(default))
        if text is None:
            return np.array(default, dtype=np.float64)
        try:
            numbers = np.array([float(word) for word in text.split()], dtype=np.float64)
        except ValueError:
            numbers = np.empty(0)
        if len(numbers) != len(default) or not np.isfinite(numbers).all():
            raise self.error(node, f"`{name}` of Transform should be {len(default)} numbers, is {text[:40]!r}")
        return numbers


def parse(text: bytes, path: str | os.PathLike[str]) -> Scene:
    """Parse the nodes of a VRML 2.0 file.

    Raises:
        FormatError: if it is another format, breaks off, or a bracket or number list is wrong.
    """
    name = os.fspath(path)
    _check_header(text, name)
    scene = Scene(path, text)
    node = Node("", 0)
    open_brackets: list[tuple[bytes, Node, int]] = []  # closing bracket, enclosing node, byte offset
    position = 0
    while token := _TOKEN.match(text, position):
        start, position = position, token.end()
        bracket, string, word = token.groups()
        if word is not None:
            node.words.append(word.decode("utf-8", "replace"))
        elif string is not None:
            at = node.words[-1] if node.words else ""
            node.strings.setdefault(at, []).append(_unquoted(string))
        elif bracket == b"[":
            if _number_list(text, position, node):
                position = _read_list(text, position, node, path)
            else:
                open_brackets.append((b"]", node, token.start(1)))
        elif bracket == b"{":
            open_brackets.append((b"}", node, token.start(1)))
            node = _opened(scene, node, token.start(1))
            if len(open_brackets) > _DEEPEST:
                raise scene.error(node, f"brackets are nested deeper than {_DEEPEST}")
        else:
            wanted, outer, _ = open_brackets.pop() if open_brackets else (b"", node, start)
            if wanted != bracket:
                raise FormatError(f"{name}: line {line_of(text, token.start(1))}: `{bracket.decode()}` closes nothing")
            if bracket == b"}":
                _closed(scene, node)
                node = outer
    _check_end(text, position, name, open_brackets)
    return scene


def _check_header(text: bytes, name: str) -> None:
    if _HEADER.match(text):
        return
    start = text[:32].split(b"\n")[0].strip()
    if start.startswith(b"\x1f\x8b"):
        raise FormatError(f"{name}: should begin with '#VRML V2.0', is compressed with gzip: unpack it first")
    printable = "".join(chr(byte) if 0x20 <= byte < 0x7F else "?" for byte in start)
    raise FormatError(f"{name}: should begin with '#VRML V2.0', begins with '{printable}'")


def _check_end(text: bytes, position: int, name: str, open_brackets: list[tuple[bytes, Node, int]]) -> None:
    rest = _PEEK.match(text, position)
    if rest is not None and rest[1]:  # only an unmatched quote is not a token
        raise FormatError(f"{name}: line {line_of(text, rest.start(1))}: the string that begins here has no end")
    if open_brackets:
        wanted, _, at = open_brackets[-1]
        line = line_of(text, at)
        raise FormatError(
            f"{name}: breaks off: the end of the file comes before the `{wanted.decode()}` of line {line}"
        )


def _number_list(text: bytes, position: int, node: Node) -> bool:
    """Whether the opened bracket holds numbers, judged by the name of its field or by its first character."""
    at = node.words[-1] if node.words else ""
    if at in _INDEX_FIELDS or (at == "point" and node.kind in ("Coordinate", "TextureCoordinate")):
        return True
    peek = _PEEK.match(text, position)
    return peek is not None and peek[1] in b"+-.0123456789" and peek[1] != b""


def _read_list(text: bytes, position: int, node: Node, path: str | os.PathLike[str]) -> int:
    """Read the number list at `position` into `node.blocks`. Returns the position after its bracket."""
    at = node.words[-1] if node.words else ""
    block = Block(position)
    if at in _INDEX_FIELDS:
        block.polygons = number_blocks.polygons(text, position, path)
        stop = block.polygons.stop
    else:
        block.values, stop = number_blocks.floats(text, position, path, bracket=True)
    node.blocks[at] = block
    return stop + 1


def _opened(scene: Scene, outer: Node, offset: int) -> Node:
    """Make the node of an opened brace. The words before the brace are: field [DEF name] kind."""
    words = outer.words
    node = Node(words[-1] if words else "", offset, outer)
    at = words[-2] if len(words) > 1 else ""
    if len(words) > 2 and words[-3] == "DEF":
        scene.defined[words[-2]] = node
        at = words[-4] if len(words) > 3 else ""
    outer.children.append((at, node))
    if node.kind == "IndexedFaceSet":
        scene.face_sets.append(node)
    elif node.kind == "Inline":
        scene.warnings.append(f"line {scene.line(node)}: an Inline node was not followed")
    return node


def _closed(scene: Scene, node: Node) -> None:
    """Warn about each USE in a node that this reader does not instance."""
    if node.kind in ("Coordinate", "TextureCoordinate"):
        return
    for i, word in enumerate(node.words[:-1]):
        used = scene.defined.get(node.words[i + 1]) if word == "USE" else None
        if used is not None and used.kind in ("Shape", "Group", "Transform", "IndexedFaceSet"):
            scene.warnings.append(f"line {scene.line(node)}: the second use of {node.words[i + 1]!r} was left out")


def _unquoted(string: bytes) -> str:
    return string.replace(b'\\"', b'"').decode("utf-8", "replace")


def _shift(by: NDArray[np.float64]) -> NDArray[np.float64]:
    matrix = np.eye(4)
    matrix[:3, 3] = by
    return matrix


def _turn(axis_angle: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the (4, 4) rotation about an axis by an angle (Rodrigues); the identity for an axis of length 0."""
    axis, angle = axis_angle[:3], axis_angle[3]
    length = np.linalg.norm(axis)
    matrix = np.eye(4)
    if length > 0:
        x, y, z = axis / length
        cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
        matrix[:3, :3] += np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    return matrix
