"""Parse a VRML 2.0 file to its nodes. Native code parses the number lists; nothing is understood yet.

DEF and USE are resolved here: USE means the latest DEF before it within the file or the PROTO body, so that what comes
out has no cycles. Nesting is kept on a list and not on the stack of Python.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fer3d.errors import FormatError
from fer3d.formats.vrml_tokens import BRACKET, NUMERIC, STRING, WORD, Tokens, shown_word, text_of_word, unquoted
from fer3d.formats.vrml_tree import Flag, Is, Node, Nodes, Notes, Numbers, Proto, Source, Strings, Value, shown

_DEEPEST = 1000  # depth of nesting, far above that of any exporter
_INDEX_FIELDS = frozenset(("coordIndex", "texCoordIndex"))  # of an IndexedFaceSet: lists of polygons
_NUMBERS = "point coordIndex texCoordIndex colorIndex normalIndex color vector height crossSection spine range key"
_NUMBER_FIELDS = frozenset(_NUMBERS.split())
_NUMBER_TYPES = frozenset(["MFColor", "MFFloat", "MFInt32", "MFRotation", "MFTime", "MFVec2f", "MFVec3f"])
_EVENTS, _FIELDS = (b"eventIn", b"eventOut"), (b"field", b"exposedField")
_STRAY = "a node stands where a field should: it was left out|{n} nodes stand where fields should: they were left out"
_FLAGS = {b"TRUE": True, b"FALSE": False, b"True": True, b"False": False, b"true": True, b"false": False}


@dataclass(slots=True, eq=False)
class _Frame:
    """An open bracket.

    `nodes` takes the nodes of a file, a PROTO body or a list; `node` is the node whose fields are read; `proto` is what
    is declared, with `interface` in its interface and else in its body.
    """

    closing: bytes
    offset: int
    nodes: list[Node] | None = None
    node: Node | None = None
    proto: Proto | None = None
    interface: bool = False


@dataclass(slots=True, eq=False)
class _Scope:
    """The names of a file or of a PROTO. `proto` is None in the file and in an interface: there is no IS."""

    proto: Proto | None = None
    names: dict[str, Node] = field(default_factory=dict)
    hidden: list[tuple[str, Proto | None]] = field(default_factory=list)  # prototypes as they were outside


def parse(source: Source, notes: Notes) -> list[Node]:
    """Parse the nodes of a VRML 2.0 file. The caller has checked its header.

    Raises:
        FormatError: if it breaks off, or its grammar is broken.
    """
    return _Parser(source, notes).parse()


class _Parser(Tokens):
    def __init__(self, source: Source, notes: Notes) -> None:
        super().__init__(source)
        self.notes = notes
        self.roots: list[Node] = []
        self.frames = [_Frame(b"", 0, nodes=self.roots)]
        self.scopes = [_Scope()]
        self.protos: dict[str, Proto] = {}

    def parse(self) -> list[Node]:
        while (token := self.next()) is not None:
            what, content = token
            frame = self.frames[-1]
            if content in b"]}" and what == BRACKET:
                self._close(content)
            elif what != WORD:
                shown = "a string" if what == STRING else f"`{content.decode()}`"
                raise self.error(f"a {'node' if frame.nodes is not None else 'field'} was wanted, {shown} came")
            elif content in (b"PROTO", b"EXTERNPROTO", b"ROUTE"):
                self._statement(content)
            elif frame.nodes is not None:
                self._node(content, frame.nodes)
            elif frame.node is not None:
                self._field(content, frame.node)
            else:
                assert frame.proto is not None  # an interface
                self._declaration(content, frame.proto.defaults)
        self.check_end()
        return self.roots

    # ---- brackets ----

    def _open(self, frame: _Frame) -> None:
        self.frames.append(frame)
        if len(self.frames) > _DEEPEST:
            raise self.source.error(frame.offset, f"brackets are nested deeper than {_DEEPEST}")

    def _close(self, bracket: bytes) -> None:
        frame = self.frames[-1]
        if frame.closing != bracket:
            raise self.error(f"`{bracket.decode()}` closes nothing")
        self.frames.pop()
        if frame.node is not None:
            frame.node.open = False
        if frame.proto is not None and frame.interface:
            self.bracket(b"{", f"the interface of PROTO {shown(frame.proto.name)}")
            self.scopes[-1].proto = frame.proto
            self._open(_Frame(b"}", self.start, nodes=frame.proto.body, proto=frame.proto))
        elif frame.proto is not None:
            frame.proto.open = False
            self._leave_scope()

    def check_end(self) -> None:
        super().check_end()
        if len(self.frames) > 1:
            frame = self.frames[-1]
            raise FormatError(
                f"{self.source.path}: breaks off: the end of the file comes before the `{frame.closing.decode()}` of "
                f"line {self.source.line(frame.offset)}"
            )

    # ---- nodes ----

    def _node(self, word: bytes, into: list[Node]) -> None:
        """Read a node up to its brace, or the USE of one."""
        if word == b"NULL":
            return
        if word == b"USE":
            into.append(self._used(text_of_word(self.name("a name after USE"))))
            return
        name = None
        if word == b"DEF":
            name, word = text_of_word(self.name("a name after DEF")), self.name("the type of a node")
        self.bracket(b"{", f"the node type `{shown_word(word)}`")
        self._begin(word, into, name)

    def _begin(self, word: bytes, into: list[Node], name: str | None = None) -> None:
        kind = text_of_word(word)
        proto = self.protos.get(kind)
        if proto is not None and proto.open:
            raise self.error(f"PROTO {shown(kind)} contains an instance of itself")
        node = Node(kind, self.start, proto=proto)
        if name is not None:
            self.scopes[-1].names[name] = node
        into.append(node)
        self._open(_Frame(b"}", self.start, node=node))

    def _used(self, name: str) -> Node:
        node = self.scopes[-1].names.get(name)
        if node is None:
            return Node("", self.start, open=False, name=name)
        if node.open:
            around = (frame.node for frame in reversed(self.frames) if frame.node is not None)
            first = next(each for each in around if each is node or each.kind == "Script")
            if first.kind != "Script":  # one may name the nodes around it: it is never drawn
                raise self.error(f"USE {shown(name)} stands inside the node that DEF {shown(name)} names")
        return node

    def _field(self, word: bytes, node: Node) -> None:
        if word in (b"DEF", b"USE"):
            self._stray(word)
        elif node.kind == "Script" and word in _EVENTS + _FIELDS:
            self._declaration(word, node.fields)
        else:
            name = text_of_word(word)
            at = self.start
            value = self._value(name, node.kind, name in _NUMBER_FIELDS)
            if value is None:
                return
            before = node.fields.get(name)
            if before is not None and node.kind != "Script" and not _same(before, value):
                first = self.source.line(before.offset)
                raise self.source.error(at, f"{node.kind} has a second `{name}`, and another one in line {first}")
            node.fields[name] = value

    def _stray(self, word: bytes) -> None:
        """Read a node that stands where a field should."""
        self.notes.add(_STRAY, self.start)
        self._node(word, [])

    def _value(self, name: str, kind: str, numbers: bool) -> Value | None:
        """Read the value of a field; None if there is none. Nodes are filled later, from their frame."""
        if self.peek() in NUMERIC:
            return self.run()
        token = self.next()
        if token is None:
            return None
        what, content = token
        at = self.start
        if what == STRING:
            return self.strings(content)
        if content == b"[":
            return self._list(name, kind, numbers)
        if content == b"{":  # the name was that of a node
            self.notes.add(_STRAY, at)
            self._begin(name.encode(), [])
            return None
        if what == BRACKET:
            raise self.error(f"a value of `{shown_word(name.encode())}` was wanted, `{content.decode()}` came")
        if content in _FLAGS:
            return Flag(at, _FLAGS[content])
        if content == b"IS":
            return self._is()
        nodes = Nodes(at)
        self._node(content, nodes.nodes)
        return nodes

    def _is(self) -> Is:
        name, proto = text_of_word(self.name("a name after IS")), self.scopes[-1].proto
        if proto is None:
            raise self.error("IS stands outside the body of a PROTO")
        if name not in proto.defaults:
            raise self.error(f"IS names {shown(name)}, which PROTO {shown(proto.name)} does not declare")
        proto.bound = True
        return Is(self.start, name)

    # ---- lists ----

    def _list(self, name: str, kind: str, numbers: bool) -> Value:
        """Read a list; its `[` has been read. A list of nodes only begins here."""
        at, ahead = self.start, self.peek()
        if numbers or ahead in NUMERIC:
            return self.numbers(kind == "IndexedFaceSet" and name in _INDEX_FIELDS)
        if ahead == ord('"'):
            strings = Strings(at, [])
            while self.peek() == ord('"') and (token := self.next()) is not None:
                strings.strings.append(unquoted(token[1]))
            self.bracket(b"]", f"the strings of `{shown_word(name.encode())}`")
            return strings
        nodes = Nodes(at)
        self._open(_Frame(b"]", at, nodes=nodes.nodes))
        return nodes

    # ---- statements ----

    def _statement(self, word: bytes) -> None:
        if word == b"ROUTE":
            self.name("an event after ROUTE")
            if self.name("TO after ROUTE") != b"TO":
                raise self.error("a ROUTE should be `ROUTE node.event TO node.event`")
            self.name("an event after TO")
            return
        name = text_of_word(self.name(f"a name after {word.decode()}"))
        proto = Proto(name, self.start)
        self.bracket(b"[", f"{word.decode()} {shown(name)}")
        if word == b"PROTO":
            self._declare(proto)
            self.scopes.append(_Scope())
            self._open(_Frame(b"]", self.start, proto=proto, interface=True))
            return
        while self.peek() not in (ord("]"), -1):
            self.name("a declaration")
        self.bracket(b"]", f"the interface of EXTERNPROTO {shown(name)}")
        self._value(name, "", False)
        proto.open, proto.outside = False, True
        self._declare(proto)

    def _declare(self, proto: Proto) -> None:
        self.scopes[-1].hidden.append((proto.name, self.protos.get(proto.name)))
        self.protos[proto.name] = proto

    def _leave_scope(self) -> None:
        for name, before in reversed(self.scopes.pop().hidden):
            if before is None:
                del self.protos[name]
            else:
                self.protos[name] = before

    def _declaration(self, word: bytes, into: dict[str, Any]) -> None:
        """Read a declaration of an interface, with its default."""
        if word not in _EVENTS + _FIELDS:
            raise self.error(f"eventIn, eventOut, field or exposedField was wanted, `{shown_word(word)}` came")
        kind, name = text_of_word(self.name("the type of a field")), text_of_word(self.name("the name of a field"))
        into.pop(name, None)
        if word in _EVENTS:
            if self.frames[-1].node is None:
                into[name] = None
            elif self.peek_word() == b"IS":
                self._value(name, "", False)
            return
        value = self._value(name, "", kind in _NUMBER_TYPES)
        if value is None:
            raise self.error(f"a value of `{shown_word(name.encode())}` was wanted")
        into[name] = value


def _same(one: Value, other: Value) -> bool:
    """Whether two short values are equal. Nodes and lists of polygons are not compared."""
    if isinstance(one, Flag) and isinstance(other, Flag):
        return one.on == other.on
    if isinstance(one, Strings) and isinstance(other, Strings):
        return one.strings == other.strings
    if isinstance(one, Numbers) and isinstance(other, Numbers):
        return one.polygons is other.polygons is None and np.array_equal(one.values, other.values)
    return False
