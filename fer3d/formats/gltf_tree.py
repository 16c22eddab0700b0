"""The JSON of a glTF file. Each value is checked when it is taken, and a wrong one is named by its place."""

from __future__ import annotations

import json
import math
import reprlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from fer3d.errors import FormatError


class Entry:
    """A JSON object of the file.

    Attributes:
        path: The file, for messages.
        where: Place of the object in the file, such as "nodes[3]"; "" for the whole.
        values: The object itself.
    """

    __slots__ = ("path", "values", "where")

    def __init__(self, path: Path, where: str, values: dict[str, Any]) -> None:
        self.path, self.where, self.values = path, where, values

    def __contains__(self, key: str) -> bool:
        return key in self.values

    @property
    def called(self) -> str:
        """Its place, and its name if it has one, for messages."""
        name = self.values.get("name")
        return f"{self.where} ({shown(name)})" if isinstance(name, str) and name else self.where

    def place(self, key: str) -> str:
        """Place of the value of a key in the file."""
        return f"{self.where}.{key}" if self.where else key

    def fail(self, key: str, wanted: str) -> NoReturn:
        """Raise FormatError about the value of a key."""
        if key not in self.values:
            raise FormatError(f"{self.path}: {self.where or 'it'} should have {key}: {wanted}")
        got = shown(self.values[key])
        raise FormatError(f"{self.path}: {self.place(key)} should be {wanted}, is {got}")

    def refuse(self, problem: str) -> NoReturn:
        """Raise FormatError about the object as a whole."""
        raise FormatError(f"{self.path}: {self.called} {problem}")

    def integer(self, key: str, default: int | None = None, low: int = 0, high: int | None = None) -> int:
        """An integer in [low, high]. The standard also allows the spellings 3.0 and 3e0."""
        value = self.values.get(key, default)
        whole = _whole(value)
        if whole is None or whole < low or (high is not None and whole > high):
            bounds = f"of at least {low}" if high is None else f"from {low} to {high}"
            self.fail(key, f"an integer {bounds}")
        return whole

    def number(self, key: str, default: float) -> float:
        """A number."""
        value = self.values.get(key, default)
        if not _is_number(value):
            self.fail(key, "a number")
        return float(value)

    def numbers(self, key: str, count: int, default: Sequence[float]) -> list[float]:
        """A list of `count` numbers."""
        value = self.values.get(key, default)
        if not isinstance(value, (list, tuple)) or len(value) != count or not all(map(_is_number, value)):
            self.fail(key, f"{count} numbers")
        return [float(x) for x in value]

    def text(self, key: str, default: str | None = None) -> str:
        """A string."""
        value = self.values.get(key, default)
        if not isinstance(value, str):
            self.fail(key, "a string")
        return value

    def flag(self, key: str, default: bool = False) -> bool:
        """True or false."""
        value = self.values.get(key, default)
        if not isinstance(value, bool):
            self.fail(key, "true or false")
        return value

    def entry(self, key: str) -> Entry | None:
        """The object under a key, or None."""
        if key not in self.values:
            return None
        value = self.values[key]
        if not isinstance(value, dict):
            self.fail(key, "an object")
        return Entry(self.path, self.place(key), value)

    def entries(self, key: str) -> list[Entry]:
        """The list of objects under a key; empty if there is none."""
        rows = self.rows(key)
        if not all(isinstance(row, dict) for row in rows):
            self.fail(key, "a list of objects")
        where = self.place(key)
        return [Entry(self.path, f"{where}[{i}]", row) for i, row in enumerate(rows)]

    def rows(self, key: str) -> list[Any]:
        """The list under a key; empty if there is none."""
        value = self.values.get(key, [])
        if not isinstance(value, list):
            self.fail(key, "a list")
        return value

    def indices(self, key: str, count: int, of: str) -> list[int]:
        """A list of indices into the top-level list `of`, which has `count` entries."""
        found: list[int] = []
        for i, value in enumerate(self.rows(key)):
            whole = _whole(value)
            if whole is None or not 0 <= whole < count:
                wanted = f"an index of {of}, of which there are {count}"
                raise FormatError(f"{self.path}: {self.place(key)}[{i}] should be {wanted}, is {shown(value)}")
            found.append(whole)
        return found

    def extension(self, name: str) -> Entry | None:
        """What an extension adds to the object, or None."""
        if "extensions" not in self.values:
            return None
        extensions = self.entry("extensions")
        assert extensions is not None
        return extensions.entry(name)


class Tree(Entry):
    """The whole JSON: the object at its root, and its lists, which name one another's entries by index."""

    __slots__ = ("_lists",)

    def __init__(self, path: Path, values: dict[str, Any]) -> None:
        super().__init__(path, "", values)
        self._lists: dict[str, list[Entry]] = {}

    def all(self, kind: str) -> list[Entry]:
        """A list at the root: "nodes", "meshes", ...; empty if there is none."""
        if kind not in self._lists:
            rows = self.rows(kind)
            for i, row in enumerate(rows):
                if not isinstance(row, dict):
                    raise FormatError(f"{self.path}: {kind}[{i}] should be an object, is {shown(row)}")
            self._lists[kind] = [Entry(self.path, f"{kind}[{i}]", row) for i, row in enumerate(rows)]
        return self._lists[kind]

    def index(self, owner: Entry, key: str, kind: str) -> int:
        """The index of an entry of the list `kind` that `owner` names under `key`."""
        count = len(self.all(kind))
        whole = _whole(owner.values.get(key))
        if whole is None or not 0 <= whole < count:
            owner.fail(key, f"an index of {kind}, of which there are {count}")
        return whole

    def named(self, owner: Entry, key: str, kind: str) -> Entry | None:
        """The entry of the list `kind` that `owner` names under `key`, or None if it names none."""
        return self.all(kind)[self.index(owner, key, kind)] if key in owner.values else None


def parse(path: Path, content: bytes) -> Tree:
    """Parse the JSON of a file.

    Raises:
        FormatError: if it is no JSON object in UTF-8, has a number that is not finite, or is nested too deep.
    """
    try:
        text = content.decode("utf-8-sig")  # readers may ignore a byte order mark
    except UnicodeDecodeError as error:
        raise FormatError(f"{path}: its JSON should be UTF-8, byte {error.start} is not") from None
    try:
        root = json.loads(text.rstrip(" \t\r\n\0"), parse_float=_finite, parse_constant=_finite)
    except RecursionError:
        raise FormatError(f"{path}: its JSON is nested too deep") from None
    except _NotFiniteError as error:
        raise FormatError(f"{path}: its JSON should have finite numbers, has {error}") from None
    except ValueError as error:  # also integers of more than 4300 digits
        raise FormatError(f"{path}: its JSON cannot be read: {error}") from None
    if not isinstance(root, dict):
        raise FormatError(f"{path}: its JSON should be an object, is {type(root).__name__}")
    return Tree(path, root)


def shown(value: Any) -> str:
    """A value of the file for a message: one short line."""
    return _short.repr(value)


class _NotFiniteError(ValueError):
    pass


class _Short(reprlib.Repr):
    def __init__(self) -> None:
        super().__init__()
        self.maxstring, self.maxlist, self.maxdict, self.maxlevel = 60, 4, 3, 2


_short = _Short()


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise _NotFiniteError(text[:40])
    return value


def _is_number(value: Any) -> bool:
    """Whether a value is a number of a size that float64 holds."""
    return isinstance(value, float) or (isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1e300)


def _whole(value: Any) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    return int(value) if isinstance(value, float) and value.is_integer() else None
