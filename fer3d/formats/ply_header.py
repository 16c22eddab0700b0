"""The header of .ply files: their elements, properties and comments."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from fer3d.errors import FormatError
from fer3d.files import line_of
from fer3d.formats.rows import Column

TYPES = {"char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4"}
TYPES |= {"float": "f4", "double": "f8", "int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2", "int32": "i4"}
TYPES |= {"uint32": "u4", "int64": "i8", "uint64": "u8", "float32": "f4", "float64": "f8"}

_ENCODINGS = {"ascii": "text", "binary_little_endian": "little", "binary_big_endian": "big"}
_TEXTURE = re.compile(r"texture_?file\b[ \t:=]*+(.*)", re.IGNORECASE | re.DOTALL)
_PICTURE = re.compile(r"\.(png|jpe?g|bmp|tiff?|ppm|tga|gif|dds|exr|webp)\b", re.IGNORECASE)


@dataclass
class Element:
    """An element of the header.

    Attributes:
        name: As in the file.
        rows: How many the file says it has.
        by_name: Its properties, under their names in lower case, in the order of the file.
    """

    name: str
    rows: int
    by_name: dict[str, Column] = field(default_factory=dict)

    @property
    def columns(self) -> list[Column]:
        """Its properties."""
        return list(self.by_name.values())

    def column(self, name: str) -> Column | None:
        """The property of that name, or None."""
        return self.by_name.get(name)

    def said(self) -> str:
        """Its properties, for messages."""
        return listed(list(self.by_name))


@dataclass
class Header:
    """What the header of a .ply says.

    Attributes:
        encoding: "text", "little" or "big".
        by_name: Its elements, under their names in lower case, in the order of the file.
        textures: Names after `comment TextureFile`, in order.
        info: Word -> rest of the line, of `obj_info`, words in lower case.
        notes: Warnings.
        stop: Byte offset of the first element.
        last: The element of the last line so far.
    """

    encoding: str = ""
    by_name: dict[str, Element] = field(default_factory=dict)
    textures: list[str] = field(default_factory=list)
    info: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    stop: int = 0
    last: Element | None = None

    @property
    def elements(self) -> list[Element]:
        """Its elements."""
        return list(self.by_name.values())

    def element(self, name: str) -> Element | None:
        """The element of that name, or None."""
        return self.by_name.get(name)

    def filled(self, name: str) -> Element | None:
        """The element of that name if it has rows, or None."""
        found = self.by_name.get(name)
        return found if found is not None and found.rows else None


def listed(names: list[str]) -> str:
    """Names for a message, the first ten of them."""
    shown = [name if len(name) <= 40 else name[:40] + "..." for name in names[:10]]
    return ", ".join(shown + ["..."] * (len(names) > 10)) or "none"


class _Line(NamedTuple):
    text: str
    offset: int
    stop: int  # offset of the next line


def read_header(content: bytes, path: Path) -> Header:
    """Parse the header.

    Lines end with LF or CR LF; with CR if the first line does. Bytes that are not UTF-8 are taken as Latin-1.

    Raises:
        FormatError: if the file does not begin with `ply`, a line is not one that headers have, or `end_header` is
            missing.
    """
    start = 3 if content.startswith(b"\xef\xbb\xbf") else 0
    if not re.match(rb"ply[ \t]*[\r\n]", content[start : start + 64]):
        raise FormatError(f"{path}: should begin with a line 'ply', begins with {content[:16]!r}")
    end = b"\r" if re.match(rb"ply[ \t]*\r(?!\n)", content[start : start + 64]) else b"\n"
    header = Header()
    line = _next_line(content, start, end)
    while line.stop < len(content) or line.text:
        line = _next_line(content, line.stop, end)
        words = line.text.split()
        if words and words[0].lower() == "end_header":
            header.stop = line.stop
            if not header.encoding:
                raise FormatError(f"{path}: its header has no line 'format'")
            return header
        if words:
            _take(header, words, line, content, path)
    raise FormatError(f"{path}: its header has no 'end_header'")


def _next_line(content: bytes, offset: int, end: bytes) -> _Line:
    stop = content.find(end, offset)
    stop = len(content) if stop < 0 else stop
    raw = content[offset:stop].strip()
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    return _Line(text, offset, min(stop + 1, len(content)))


def _take(header: Header, words: list[str], line: _Line, content: bytes, path: Path) -> None:
    """Add what one line says."""
    keyword = words[0].lower()
    problem = None
    if keyword == "comment":
        _comment(header, line.text[len("comment") :].strip())
    elif keyword == "obj_info":
        if len(words) > 2:
            header.info[words[1].lower()] = " ".join(words[2:])
        _comment(header, line.text[len("obj_info") :].strip())
    elif keyword == "format":
        problem = _format(header, words)
    elif keyword == "element":
        problem = _element(header, words)
    elif keyword == "property":
        problem = _property(header, words)
    else:
        problem = "a line 'element', 'property', 'comment', 'obj_info' or 'end_header' was wanted"
    if problem:
        where = f"{path}: line {line_of(content, line.offset)} (byte {line.offset})"
        raise FormatError(f"{where}: {problem}, the header says {_shown(line.text)}")


def _shown(text: str) -> str:
    """Text of a file for a message: on one line, and short."""
    return repr(text if len(text) <= 60 else text[:60] + "...")


def _format(header: Header, words: list[str]) -> str | None:
    if len(words) != 3 or words[1].lower() not in _ENCODINGS or words[2] != "1.0":
        return f"'format' and one of {', '.join(_ENCODINGS)} and version 1.0 was wanted"
    if header.encoding:
        return "one line 'format' was wanted"
    header.encoding = _ENCODINGS[words[1].lower()]
    return None


def _element(header: Header, words: list[str]) -> str | None:
    if len(words) != 3 or not re.fullmatch(r"[0-9]{1,18}", words[2]):
        return "'element NAME COUNT' was wanted"
    if words[1].lower() in header.by_name:
        return f"one element {_shown(words[1])} was wanted"
    header.by_name[words[1].lower()] = header.last = Element(words[1], int(words[2]))
    return None


def _property(header: Header, words: list[str]) -> str | None:
    if header.last is None:
        return "an element was wanted before its properties"
    is_list = len(words) > 1 and words[1].lower() == "list"
    if len(words) != (5 if is_list else 3):
        return "'property TYPE NAME' or 'property list TYPE TYPE NAME' was wanted"
    *kinds, name = words[2 if is_list else 1 :]
    types = [TYPES.get(kind.lower()) for kind in kinds]
    for kind, known in zip(kinds, types, strict=True):
        if known is None:
            return f"a type out of {', '.join(TYPES)} was wanted, not {_shown(kind)}"
    if is_list and types[0] is not None and types[0].startswith("f"):
        return "a whole number as the length of a list was wanted"
    if name.lower() in header.last.by_name:
        return f"one property {_shown(name)} was wanted"
    item = types[-1]
    assert item is not None
    header.last.by_name[name.lower()] = Column(name.lower(), item, types[0] if is_list else None)
    return None


def _comment(header: Header, text: str) -> None:
    named = _TEXTURE.match(text)
    if named:
        name = named[1].strip().strip("\"'").strip()
        if name:
            header.textures.append(name)
        else:
            header.notes.append("its comment 'TextureFile' names no file")
    elif _PICTURE.search(text):
        header.notes.append(
            f"its comment {_shown(text)} seems to name a picture, which is not used: `comment TextureFile` names one"
        )
