"""What a VRML 2.0 file says, before it is understood: nodes, the values of their fields, prototypes."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fer3d.errors import FormatError
from fer3d.files import line_of
from fer3d.formats import number_blocks
from fer3d.formats.number_blocks import Polygons


@dataclass(slots=True, eq=False)
class Numbers:
    """One or several numbers.

    Attributes:
        offset: Byte offset of the first.
        values: (N,) float64.
        bracketed: Whether they stand in `[ ]`.
        polygons: What they say as a list of polygons; None until somebody asks (see `Source.polygons`).
    """

    offset: int
    values: NDArray[np.float64]
    bracketed: bool
    polygons: Polygons | None = None


@dataclass(slots=True, eq=False)
class Is:
    """`IS name`: the value that an instance of the prototype gives to `name` of its interface."""

    offset: int
    name: str


@dataclass(slots=True, eq=False)
class Nodes:
    """One or several nodes; empty for NULL and `[]`."""

    offset: int
    nodes: list[Node] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Strings:
    """One or several strings."""

    offset: int
    strings: list[str]


@dataclass(slots=True, eq=False)
class Flag:
    """TRUE or FALSE."""

    offset: int
    on: bool


Value = Numbers | Is | Nodes | Strings | Flag


@dataclass(slots=True, eq=False)
class Node:
    """A node. One that USE repeats is one object, held by several others.

    Attributes:
        kind: Its type, such as "Shape"; "" for the USE of a name that nothing before it defines.
        offset: Byte offset of its brace, or of the unknown name.
        fields: Name -> value, as written.
        proto: The prototype that it is an instance of, or None.
        open: Whether its closing brace is still to come.
        name: What an unknown USE names.
    """

    kind: str
    offset: int
    fields: dict[str, Value] = field(default_factory=dict)
    proto: Proto | None = None
    open: bool = True
    name: str = ""


@dataclass(slots=True, eq=False)
class Proto:
    """A PROTO or EXTERNPROTO.

    Attributes:
        name: The type of its instances.
        offset: Byte offset of its name.
        defaults: Name -> default of each field of the interface; None for events and in an EXTERNPROTO.
        body: Its nodes; only the first is drawn.
        bound: Whether a node of the body refers to the interface, so that instances can differ.
        outside: Whether it is an EXTERNPROTO.
        open: Whether its closing brace is still to come.
    """

    name: str
    offset: int
    defaults: dict[str, Value | None] = field(default_factory=dict)
    body: list[Node] = field(default_factory=list)
    bound: bool = False
    outside: bool = False
    open: bool = True


@dataclass(slots=True)
class Source:
    """The text of a file, for messages, and for lists that are read once their meaning is known.

    Attributes:
        path: The file, as messages name it.
        text: Its bytes, unpacked.
        decimal: The text with hexadecimal integers in decimals of the same length; None until there is one.
    """

    path: str
    text: bytes
    decimal: bytes | None = None

    def line(self, offset: int) -> int:
        """The line, from 1. Only messages call this: for every node it would cost as much as parsing."""
        return line_of(self.text, offset)

    def error(self, offset: int, message: str) -> FormatError:
        """An error that names the file and the line."""
        return FormatError(f"{self.path}: line {self.line(offset)}: {message}")

    def polygons(self, name: str, numbers: Numbers) -> Polygons:
        """The numbers as a list of polygons, each ended by -1. Raises FormatError if they are none."""
        if numbers.polygons is None:
            if not numbers.bracketed:
                raise self.error(numbers.offset, f"the indices of `{name}` should stand in [ ]")
            text = self.text if self.decimal is None else self.decimal
            numbers.polygons = number_blocks.polygons(text, numbers.offset, self.path)
        return numbers.polygons


@dataclass(slots=True)
class _Note:
    first: int  # byte offset
    count: int = 0
    names: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Notes:
    """Warnings about a file, one of a kind, with the number of places and the line of the first."""

    _notes: dict[str, _Note] = field(default_factory=dict)

    def add(self, kind: str, offset: int, what: str = "") -> None:
        """Note one place.

        Args:
            kind: The warning for one place and, after a `|`, for `{n}` places.
            offset: Byte offset of the place.
            what: What it was, if places of one kind differ: the warning ends in these words.
        """
        note = self._notes.setdefault(kind, _Note(offset))
        note.first = min(note.first, offset)
        note.count += 1
        if what:
            note.names[what] = note.names.get(what, 0) + 1

    def lines(self, source: Source) -> list[str]:
        """The warnings, in the order in which their kinds were met."""
        return [_warning(source, kind, note) for kind, note in self._notes.items()]


def shown(name: str) -> str:
    """A name for messages: quoted, short and printable."""
    return ascii(name if len(name) <= _LONGEST else f"{name[:_LONGEST]}...")


_LONGEST = 40  # name in a message
_MOST_NAMES = 8  # in one warning


def _warning(source: Source, kind: str, note: _Note) -> str:
    one, _, many = kind.partition("|")
    names = [name if times == 1 else f"{name} ({times} times)" for name, times in note.names.items()][:_MOST_NAMES]
    if len(note.names) > _MOST_NAMES:
        names.append(f"{len(note.names) - _MOST_NAMES} more")
    listed = f": {', '.join(names)}" if names else ""
    line = source.line(note.first)
    if note.count == 1 or not many:
        return f"line {line}: {one}{listed}"
    return f"{many.replace('{n}', str(note.count))}, the first in line {line}{listed}"
