"""The words, strings, brackets and numbers of a VRML 2.0 file, one after the other."""

from __future__ import annotations

import re

import numpy as np

from fer3d.errors import FormatError
from fer3d.formats import number_blocks
from fer3d.formats.vrml_tree import Numbers, Source, Strings, shown

# One bracket, string or word, after separators and comments. The quantifiers are possessive (`++`, `*+`), so that the
# expression never backtracks.
_SEPARATORS = rb"[\s,]*+(?:#[^\n\r]*+[\s,]*+)*+"
_TOKEN = re.compile(_SEPARATORS + rb'(?:([{}\[\]])|"((?:[^"\\]++|\\.)*+)"|([^\s,{}\[\]"#]++))', re.DOTALL)
_PEEK = re.compile(_SEPARATORS + rb"(.?)", re.DOTALL)
_RUN = re.compile(rb"(?:" + _SEPARATORS + rb'[+\-.0-9][^\s,{}\[\]"#]*+)++')  # numbers without brackets
_COMMENT = re.compile(rb"#[^\n\r]*+")
_HEXADECIMAL = re.compile(rb"(?<=[\s,\[])0[xX]([0-9a-fA-F]{1,8})(?=[\s,\]#])")
BRACKET, STRING, WORD = 1, 2, 3  # groups of _TOKEN

NUMERIC = frozenset(b"+-.0123456789")
_NONE = np.empty(0)


class Tokens:
    """Reads a file from its beginning.

    Attributes:
        source: The file.
        text: Its bytes.
        position: Offset of the first byte that is still to be read.
        start: Offset of the last token.
    """

    def __init__(self, source: Source) -> None:
        self.source, self.text = source, source.text
        self.start = 0
        self.position = 3 if self.text.startswith(b"\xef\xbb\xbf") else 0  # a byte order mark
        self.last = Numbers(0, _NONE, True)  # the last list of polygons

    def next(self) -> tuple[int, bytes] | None:
        """The next token; None at the end. `start` is where it begins."""
        token = _TOKEN.match(self.text, self.position)
        if token is None or token.lastindex is None:
            return None
        self.start, self.position = token.start(token.lastindex), token.end()
        return token.lastindex, token[token.lastindex]

    def peek(self) -> int:
        """The first byte of the next token, -1 at the end."""
        ahead = _PEEK.match(self.text, self.position)
        return ahead[1][0] if ahead is not None and ahead[1] else -1

    def peek_word(self) -> bytes | None:
        """The next token, if it is a word."""
        ahead = _TOKEN.match(self.text, self.position)
        return None if ahead is None else ahead[WORD]

    def name(self, of: str) -> bytes:
        """The next token, which has to be a word. Raises FormatError that asks for `of`."""
        token = self.next()
        if token is None:
            self.check_end()
            raise self.error(f"breaks off where {of} was wanted")
        what, content = token
        if what != WORD:
            raise self.error(f"{of} was wanted, {'a string' if what == STRING else f'`{shown_word(content)}`'} came")
        return content

    def bracket(self, bracket: bytes, after: str) -> None:
        """Read a bracket that has to follow `after`. Raises FormatError if something else comes."""
        token = self.next()
        if token is None:
            self.check_end()
        if token != (BRACKET, bracket):
            came = "the end" if token is None else f"`{shown_word(token[1])}`"
            raise self.error(f"a `{bracket.decode()}` was wanted after {after}, {came} came")

    def error(self, message: str) -> FormatError:
        """An error in the line of the last token."""
        return self.source.error(self.start, message)

    def numbers(self, polygons: bool) -> Numbers:
        """Read a list of numbers up to its `]`; its `[` has been read. Integers may be hexadecimal."""
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

    def run(self) -> Numbers:
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
        raise self.source.error(at, f"`{shown_word(word)}` is not a number")

    def strings(self, first: bytes) -> Strings:
        """Read strings without brackets, of which the first has been read."""
        strings = Strings(self.start, [unquoted(first)])
        while self.peek() == ord('"') and (token := self.next()) is not None:
            strings.strings.append(unquoted(token[1]))
        return strings

    def check_end(self) -> None:
        """Raise FormatError if what is left at the end is no token: a string without an end."""
        rest = _PEEK.match(self.text, self.position)
        if rest is not None and rest[1]:
            raise self.source.error(rest.start(1), "the string that begins here has no end")


def text_of_word(word: bytes) -> str:
    """A word as text."""
    return word.decode("utf-8", "replace")


def shown_word(word: bytes) -> str:
    """A word for messages: short and printable."""
    return shown(text_of_word(word))[1:-1]


def unquoted(string: bytes) -> str:
    """The text of a string. Only `\\"` and `\\\\` are escapes: programs for Windows write names with single ones."""
    return re.sub(rb'\\(["\\])', rb"\1", string).decode("utf-8", "replace") if b"\\" in string else text_of_word(string)


def _as_decimal(match: re.Match[bytes]) -> bytes:
    """The number in as many bytes, so that offsets stay; those from 2^31 on are the negative ones of 32 bits."""
    number = int(match[1], 16)
    decimal = b"%d" % (number - (1 << 32) if number >> 31 else number)
    return decimal.ljust(len(match[0])) if len(decimal) <= len(match[0]) else match[0]
