"""Parse a VRML 2.0 file to its nodes. Native code parses the number lists; nothing is understood yet.

DEF and USE are resolved here: USE means the latest DEF before it within the file or the PROTO body, so that what comes
out has no cycles. Nesting is kept on a list and not on the stack of Python.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fer3d.errors import FormatError
from fer3d.formats import number_blocks
from fer3d.formats.vrml_tree import Flag, Is, Node, Nodes, Notes, Numbers, Proto, Source, Strings, Value, shown

# One bracket, string or word, after separators and comments. The quantifiers are possessive (`++`, `*+`), so that the
# expression never backtracks.
_SEPARATORS = rb"[\s,]*+(?:#[^\n\r]*+[\s,]*+)*+"
_TOKEN = re.compile(_SEPARATORS + rb'(?:([{}\[\]])|"((?:[^"\\]++|\\.)*+)"|([^\s,{}\[\]"#]++))', re.DOTALL)
_PEEK = re.compile(_SEPARATORS + rb"(.?)", re.DOTALL)
_RUN = re.compile(rb"(?:" + _SEPARATORS + rb'[+\-.0-9][^\s,{}\[\]"#]*+)++')  # numbers without brackets
_COMMENT = re.compile(rb"#[^\n\r]*+")
_HEXADECIMAL = re.compile(rb"(?<=[\s,\[])0[xX]([0-9a-fA-F]{1,8})(?=[\s,\]#])")
_BRACKET, _STRING, _WORD = 1, 2, 3  # groups of _TOKEN

_DEEPEST = 1000  # depth of nesting, far above that of any exporter
_NUMERIC = frozenset(b"+-.0123456789")
_INDEX_FIELDS = frozenset(("coordIndex", "texCoordIndex"))  # of an IndexedFaceSet: lists of polygons
_NUMBERS = "point coordIndex texCoordIndex colorIndex normalIndex color vector height crossSection spine range key"
_NUMBER_FIELDS = frozenset(_NUMBERS.split())
_NUMBER_TYPES = frozenset(["MFColor", "MFFloat", "MFInt32", "MFRotation", "MFTime", "MFVec2f", "MFVec3f"])
_EVENTS, _FIELDS = (b"eventIn", b"eventOut"), (b"field", b"exposedField")
_STRAY = "a node stands where a field should: it was left out|{n} nodes stand where fields should: they were left out"
_FLAGS = {b"TRUE": True, b"FALSE": False, b"true": True, b"false": False}


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


class _Parser:
    def __init__(self, source: Source, notes: Notes) -> None:
        self.source, self.text, self.notes = source, source.text, notes
        self.position = self.start = 3 if self.text.startswith(b"\xef\xbb\xbf") else 0  # a byte order mark
        self.roots: list[Node] = []
        self.frames = [_Frame(b"", 0, nodes=self.roots)]
        self.scopes = [_Scope()]
        self.protos: dict[str, Proto] = {}
        self.last = Numbers(0, _NONE, True)  # the last list of polygons

    def parse(self) -> list[Node]:
        while (token := self._next()) is not None:
            what, content = token
            frame = self.frames[-1]
            if content in b"]}" and what == _BRACKET:
                self._close(content)
            elif what != _WORD:
                shown = "a string" if what == _STRING else f"`{content.decode()}`"
                raise self._error(f"a {'node' if frame.nodes is not None else 'field'} was wanted, {shown} came")
            elif content in (b"PROTO", b"EXTERNPROTO", b"ROUTE"):
                self._statement(content)
            elif frame.nodes is not None:
                self._node(content, frame.nodes)
            elif frame.node is not None:
                self._field(content, frame.node)
            elif frame.proto is not None:
                self._declaration(content, frame.proto.defaults)
        self._check_end()
        return self.roots

    # ---- tokens ----

    def _next(self) -> tuple[int, bytes] | None:
        """The next token; None at the end. `start` is where it begins."""
        token = _TOKEN.match(self.text, self.position)
        if token is None or token.lastindex is None:
            return None
        self.start, self.position = token.start(token.lastindex), token.end()
        return token.lastindex, token[token.lastindex]

    def _peek(self) -> int:
        """The first byte of the next token, -1 at the end."""
        ahead = _PEEK.match(self.text, self.position)
        return ahead[1][0] if ahead is not None and ahead[1] else -1

    def _name(self, of: str) -> bytes:
        token = self._next()
        if token is None:
            self._check_end()
            raise self._error(f"breaks off where {of} was wanted")
        what, content = token
        if what != _WORD:
            raise self._error(f"{of} was wanted, {'a string' if what == _STRING else f'`{_shown(content)}`'} came")
        return content

    def _bracket(self, bracket: bytes, after: str) -> None:
        token = self._next()
        if token is None:
            self._check_end()
        if token != (_BRACKET, bracket):
            came = "the end" if token is None else f"`{_shown(token[1])}`"
            raise self._error(f"a `{bracket.decode()}` was wanted after {after}, {came} came")

    def _error(self, message: str) -> FormatError:
        return self.source.error(self.start, message)

    # ---- brackets ----

    def _open(self, frame: _Frame) -> None:
        self.frames.append(frame)
        if len(self.frames) > _DEEPEST:
            raise self.source.error(frame.offset, f"brackets are nested deeper than {_DEEPEST}")

    def _close(self, bracket: bytes) -> None:
        frame = self.frames[-1]
        if frame.closing != bracket:
            raise self._error(f"`{bracket.decode()}` closes nothing")
        self.frames.pop()
        if frame.node is not None:
            frame.node.open = False
        if frame.proto is not None and frame.interface:
            self._bracket(b"{", f"the interface of PROTO {shown(frame.proto.name)}")
            self.scopes[-1].proto = frame.proto
            self._open(_Frame(b"}", self.start, nodes=frame.proto.body, proto=frame.proto))
        elif frame.proto is not None:
            frame.proto.open = False
            self._leave_scope()

    def _check_end(self) -> None:
        rest = _PEEK.match(self.text, self.position)
        if rest is not None and rest[1]:  # only an unmatched quote is not a token
            raise self.source.error(rest.start(1), "the string that begins here has no end")
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
            into.append(self._used(_text(self._name("a name after USE"))))
            return
        name = None
        if word == b"DEF":
            name, word = _text(self._name("a name after DEF")), self._name("the type of a node")
        self._bracket(b"{", f"the node type `{_shown(word)}`")
        self._begin(word, into, name)

    def _begin(self, word: bytes, into: list[Node], name: str | None = None) -> None:
        kind = _text(word)
        proto = self.protos.get(kind)
        if proto is not None and proto.open:
            raise self._error(f"PROTO {shown(kind)} contains an instance of itself")
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
            for frame in reversed(self.frames):
                if frame.node is not None and frame.node.kind == "Script":
                    break  # a Script may refer to the nodes around it: it is never drawn
                if frame.node is node:
                    raise self._error(f"USE {shown(name)} stands inside the node that DEF {shown(name)} names")
        return node

    def _field(self, word: bytes, node: Node) -> None:
        if word in (b"DEF", b"USE"):
            self._stray(word)
        elif node.kind == "Script" and word in _EVENTS + _FIELDS:
            self._declaration(word, node.fields)
        else:
            name = _text(word)
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
        if self._peek() in _NUMERIC:
            return self._run()
        token = self._next()
        if token is None:
            return None
        what, content = token
        at = self.start
        if what == _STRING:
            return self._strings(content)
        if content == b"[":
            return self._list(name, kind, numbers)
        if content == b"{":  # the name was that of a node
            self.notes.add(_STRAY, at)
            self._begin(name.encode(), [])
            return None
        if what == _BRACKET:
            raise self._error(f"a value of `{_shown(name.encode())}` was wanted, `{content.decode()}` came")
        if content in _FLAGS:
            return Flag(at, _FLAGS[content])
        if content == b"IS":
            return self._is()
        nodes = Nodes(at)
        self._node(content, nodes.nodes)
        return nodes

    def _is(self) -> Is:
        name, proto = _text(self._name("a name after IS")), self.scopes[-1].proto
        if proto is None:
            raise self._error("IS stands outside the body of a PROTO")
        if name not in proto.defaults:
            raise self._error(f"IS names {shown(name)}, which PROTO {shown(proto.name)} does not declare")
        proto.bound = True
        return Is(self.start, name)

    # ---- lists ----

    def _list(self, name: str, kind: str, numbers: bool) -> Value:
        """Read a list; its `[` has been read. A list of nodes only begins here."""
        at, ahead = self.start, self._peek()
        if numbers or ahead in _NUMERIC:
            return self._numbers(kind == "IndexedFaceSet" and name in _INDEX_FIELDS)
        if ahead == ord('"'):
            strings = Strings(at, [])
            while self._peek() == ord('"') and (token := self._next()) is not None:
                strings.strings.append(_unquoted(token[1]))
            self._bracket(b"]", f"the strings of `{_shown(name.encode())}`")
            return strings
        nodes = Nodes(at)
        self._open(_Frame(b"]", at, nodes=nodes.nodes))
        return nodes

    def _numbers(self, polygons: bool) -> Numbers:
        source, numbers = self.source, Numbers(self.position, _NONE, True)
        try:
            return self._parsed(numbers, polygons)
        except FormatError:
            if source.decimal is not None or not _HEXADECIMAL.search(self.text):
                raise
            source.decimal = _HEXADECIMAL.sub(_as_decimal, self.text)
            return self._parsed(numbers, polygons)

    def _parsed(self, numbers: Numbers, polygons: bool) -> Numbers:
        source = self.source
        text = source.text if source.decimal is None else source.decimal
        if polygons:
            stop = self._polygons(text, numbers)
        else:
            numbers.values, stop = number_blocks.doubles(text, numbers.offset, source.path, bracket=True)
        self.position = stop + 1
        return numbers

    def _polygons(self, text: bytes, numbers: Numbers) -> int:
        """Read a list of polygons, or take those of the list before it if both are the same text, as coordIndex and
        texCoordIndex of most scans are. Returns the offset of its `]`."""
        begin, size = self.last.offset, 0 if self.last.polygons is None else self.last.polygons.stop - self.last.offset
        if size and text.startswith(text[begin : begin + size + 1], numbers.offset):
            numbers.polygons = self.last.polygons
            return numbers.offset + size
        numbers.polygons = number_blocks.polygons(text, numbers.offset, self.source.path)
        self.last = numbers
        return numbers.polygons.stop

    def _run(self) -> Numbers:
        """Read numbers without brackets."""
        run = _RUN.match(self.text, self.position)
        assert run is not None  # the caller has seen a number
        first = _PEEK.match(self.text, self.position)
        at = self.position if first is None else first.start(1)
        self.position = run.end()
        words = _COMMENT.sub(b" ", run[0]).replace(b",", b" ").split()
        try:
            return Numbers(at, np.array([float(word) for word in words]), False)
        except ValueError:
            return Numbers(at, np.array([self._number(word, at) for word in words]), False)

    def _number(self, word: bytes, at: int) -> float:
        for base in (10, 16):
            try:
                return float(word) if base == 10 else float(int(word, 16))
            except ValueError:
                continue
        raise self.source.error(at, f"`{_shown(word)}` is not a number")

    def _strings(self, first: bytes) -> Strings:
        strings = Strings(self.start, [_unquoted(first)])
        while self._peek() == ord('"') and (token := self._next()) is not None:
            strings.strings.append(_unquoted(token[1]))
        return strings

    # ---- statements ----

    def _statement(self, word: bytes) -> None:
        if word == b"ROUTE":
            self._name("an event after ROUTE")
            if self._name("TO after ROUTE") != b"TO":
                raise self._error("a ROUTE should be `ROUTE node.event TO node.event`")
            self._name("an event after TO")
            return
        name = _text(self._name(f"a name after {word.decode()}"))
        proto = Proto(name, self.start)
        self._bracket(b"[", f"{word.decode()} {shown(name)}")
        if word == b"PROTO":
            self._declare(proto)
            self.scopes.append(_Scope())
            self._open(_Frame(b"]", self.start, proto=proto, interface=True))
            return
        while self._peek() not in (ord("]"), -1):
            self._name("a declaration")
        self._bracket(b"]", f"the interface of EXTERNPROTO {shown(name)}")
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
            raise self._error(f"eventIn, eventOut, field or exposedField was wanted, `{_shown(word)}` came")
        kind, name = _text(self._name("the type of a field")), _text(self._name("the name of a field"))
        into.pop(name, None)
        if word in _EVENTS:
            if self.frames[-1].node is None:
                into[name] = None
            elif (ahead := _TOKEN.match(self.text, self.position)) is not None and ahead[3] == b"IS":
                self._value(name, "", False)
            return
        value = self._value(name, "", kind in _NUMBER_TYPES)
        if value is None:
            raise self._error(f"a value of `{_shown(name.encode())}` was wanted")
        into[name] = value


_NONE = np.empty(0)


def _text(word: bytes) -> str:
    return word.decode("utf-8", "replace")


def _shown(word: bytes) -> str:
    """A word for messages: short and printable."""
    return shown(_text(word))[1:-1]


def _unquoted(string: bytes) -> str:
    """The text of a string. Only `\\"` and `\\\\` are escapes: programs for Windows write names with single ones."""
    return re.sub(rb'\\(["\\])', rb"\1", string).decode("utf-8", "replace") if b"\\" in string else _text(string)


def _as_decimal(match: re.Match[bytes]) -> bytes:
    """The number in as many bytes, so that offsets stay; those from 2^31 on are the negative ones of 32 bits."""
    number = int(match[1], 16)
    decimal = b"%d" % (number - (1 << 32) if number >> 31 else number)
    return decimal.ljust(len(match[0])) if len(decimal) <= len(match[0]) else match[0]


def _same(one: Value, other: Value) -> bool:
    """Whether two short values are equal. Nodes and lists of polygons are not compared."""
    if isinstance(one, Flag) and isinstance(other, Flag):
        return one.on == other.on
    if isinstance(one, Strings) and isinstance(other, Strings):
        return one.strings == other.strings
    if isinstance(one, Numbers) and isinstance(other, Numbers):
        return one.polygons is other.polygons is None and np.array_equal(one.values, other.values)
    return False
