"""Material libraries (.mtl) of Wavefront .obj files: which picture a material has, and how its uv are changed."""

from __future__ import annotations

import math
import posixpath
import re
from dataclasses import dataclass, field
from pathlib import Path

from fer3d.errors import FormatError
from fer3d.files import read_bytes
from fer3d.formats.textures import inside

_NUMBER = re.compile(r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?")
_WORD = re.compile(r"\s*(\S+)")

# Options of a map -> how many words follow at most. `s`, `o` and `t` have one to three numbers.
_OPTIONS = {
    "s": 3, "o": 3, "t": 3, "mm": 2, "blendu": 1, "blendv": 1, "bm": 1, "boost": 1, "cc": 1, "clamp": 1, "imfchan": 1,
    "texres": 1, "type": 1,
}  # fmt: skip
_LATE = re.compile(rf"\s(?=-(?:{'|'.join(_OPTIONS)})\s)", re.IGNORECASE)
_OF_NUMBERS = frozenset(("s", "o", "t", "mm", "bm", "boost"))

# The picture of a surface, best first: its own colour, that in ambient light, that of its own light.
_PICTURES = ("map_kd", "map_ka", "map_ke")
_SKIPPED = frozenset((
    "aniso", "anisor", "bump", "d", "illum", "ka", "ke", "kd", "km", "ks", "map_aat", "map_bump", "map_d", "map_kn",
    "map_km", "map_ks", "map_ni", "map_norm", "map_ns", "map_opacity", "map_orm", "map_pc", "map_pcr", "map_pm",
    "map_pr", "map_ps", "map_refl", "map_rma", "map_tf", "map_tr", "newmtl", "ni", "norm", "ns", "pc", "pcr", "pm",
    "pr", "ps", "refl", "sharpness", "tf", "tr",
))  # fmt: skip
_LEFT_OUT = frozenset(("decal", "map_decal", "disp", "map_disp"))


@dataclass(frozen=True, eq=False)
class Entry:
    """A material of a library.

    Attributes:
        name: Its name.
        files: Names of its picture, best first, from the folder of the .obj; empty: none.
        wrap: How the picture continues outside [0, 1] along u and v.
        scale: Factors of u and v.
        offset: What is added to u and v then.
        kd: RGB of the material in [0, 1]; None if it has none.
        notes: What is lost, guessed or changed.
    """

    name: str
    files: tuple[str, ...] = ()
    wrap: tuple[str, str] = ("repeat", "repeat")
    scale: tuple[float, float] = (1.0, 1.0)
    offset: tuple[float, float] = (0.0, 0.0)
    kd: tuple[float, float, float] | None = None
    notes: tuple[str, ...] = ()

    @property
    def moves(self) -> bool:
        """Whether the uv of its faces are changed."""
        return self.scale != (1.0, 1.0) or self.offset != (0.0, 0.0)


@dataclass(eq=False)
class Library:
    """The materials of all libraries of a file, by name; of several with one name the first.

    Attributes:
        entries: Name -> material.
        notes: What is wrong with the libraries as a whole.
    """

    entries: dict[str, Entry] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def find(self, name: str) -> Entry | None:
        """The material of this name; a comment after a name is not part of it, unless a material is named so."""
        for whole in (name, *uncommented(name)):
            for candidate in (whole, unquoted(whole)):
                if candidate in self.entries:
                    return self.entries[candidate]
        return None

    @property
    def pictured(self) -> list[Entry]:
        """The materials with a picture."""
        return [entry for entry in self.entries.values() if entry.files]

    def add(self, path: Path, folder: str) -> None:
        """Read a library.

        Args:
            path: The .mtl file.
            folder: Its folder as seen from that of the .obj: "" or "materials/skin".

        Raises:
            FileError: if it cannot be opened.
            FormatError: if it is empty or no plain text.
        """
        text = read_bytes(path)
        if b"\0" in text:
            raise FormatError(f"{path}: plain text was wanted, it holds NUL bytes")
        unknown: dict[str, None] = {}
        twice: dict[str, None] = {}
        material: _Draft | None = None
        for line in decoded(text.removeprefix(b"\xef\xbb\xbf")).replace("\r", "\n").split("\n"):
            keyword, words = [*line.split(None, 1), "", ""][:2]
            keyword, words = keyword.lower(), words.strip()
            if keyword == "newmtl":
                self._keep(material, folder, twice)
                material = _Draft(words)
            elif keyword in _PICTURES or keyword == "kd" or keyword in _LEFT_OUT:
                if material is not None:
                    material.lines.setdefault(keyword, []).append(words)
                else:
                    unknown[f"{keyword} before newmtl"] = None
            elif keyword and not keyword.startswith("#") and keyword not in _SKIPPED:
                unknown[keyword] = None
        self._keep(material, folder, twice)
        if unknown:
            self.notes.append(f"{path.name}: its unknown statements are left out: {listed(unknown, quote='`')}")
        if twice:
            self.notes.append(f"{path.name}: of several materials with one name the first is taken: {listed(twice)}")

    def _keep(self, draft: _Draft | None, folder: str, twice: dict[str, None]) -> None:
        if draft is None:
            return
        entry = draft.entry(folder)
        known = self.entries.setdefault(entry.name, entry)
        if (known.files, known.kd) != (entry.files, entry.kd):
            twice[entry.name] = None


@dataclass(eq=False)
class _Draft:
    """The statements of a material: lower-case keyword -> the words of each."""

    name: str
    lines: dict[str, list[str]] = field(default_factory=dict)

    def entry(self, folder: str) -> Entry:
        notes: list[str] = []
        kd = self._kd(notes)
        keyword = next((name for name in _PICTURES if name in self.lines), None)
        lost = [name for name in sorted(_LEFT_OUT) if name in self.lines]
        if lost:
            notes.append(f"its {' and '.join(f'`{name}`' for name in lost)} is left out")
        if keyword is None:
            return Entry(self.name, kd=kd, notes=tuple(notes))
        maps = [_Map.of(words) for words in dict.fromkeys(self.lines[keyword])]
        named = maps[0]
        if len(maps) > 1:
            notes.append(f"it has {len(maps)} {_spelt(keyword)}, the first is taken")
        if not named.file:
            notes.append(f"its {_spelt(keyword)} names no file")
            return Entry(self.name, kd=kd, notes=tuple(notes))
        if keyword != "map_kd":
            notes.append(f"it has no map_Kd, the picture of its {_spelt(keyword)} is taken")
        if kd is not None and max(kd) > min(kd):
            notes.append("its picture is not multiplied by its colour Kd")
        wrap = ("clamp", "clamp") if named.clamp else ("repeat", "repeat")
        files = _from(folder, named.file)
        return Entry(self.name, files, wrap, named.scale, named.offset, kd, (*notes, *named.notes))

    def _kd(self, notes: list[str]) -> tuple[float, float, float] | None:
        if "kd" not in self.lines:
            return None
        words = self.lines["kd"][0].partition("#")[0].split()
        if words and len(words) in (1, 3) and all(_NUMBER.fullmatch(word) for word in words):
            red, green, blue = [float(word) for word in (words * 3)[:3]]
            return red, green, blue
        notes.append(f"its Kd is left out: numbers were wanted, it is {' '.join(words)[:40]!r}")
        return None


@dataclass(frozen=True, eq=False)
class _Map:
    """The words of a `map_Kd`: `-s 2 2 1 -clamp on my face.png`."""

    file: str
    clamp: bool
    scale: tuple[float, float]
    offset: tuple[float, float]
    notes: tuple[str, ...]

    @classmethod
    def of(cls, words: str) -> _Map:
        options, rest = _options(words)
        dash = _LATE.search(rest)
        if dash is not None:  # programs also write them after the name
            late, left = _options(rest[dash.end() :])
            if late and not left:
                options, rest = late | options, rest[: dash.start()].rstrip()
        notes = [f"its option -{name} is left out" for name, values in options.items() if _changes(name, values)]
        scale, offset = _pair(options.get("s", ()), 1.0), _pair(options.get("o", ()), 0.0)
        if scale != (1.0, 1.0) or offset != (0.0, 0.0):
            notes.append("its options -s and -o are taken as uv * s + o, as most programs do")
        return cls(rest, options.get("clamp", ("off",))[:1] == ("on",), scale, offset, tuple(notes))


def _options(words: str) -> tuple[dict[str, tuple[str, ...]], str]:
    """The options of a map, without their dash, and what follows them."""
    options: dict[str, tuple[str, ...]] = {}
    at = 0
    while (word := _WORD.match(words, at)) is not None:
        name = word[1].removeprefix("-").lower()
        if not word[1].startswith("-") or name not in _OPTIONS:
            break
        at = word.end()
        values: list[str] = []
        while len(values) < _OPTIONS[name] and (value := _WORD.match(words, at)) is not None:
            if name in _OF_NUMBERS and not (_NUMBER.fullmatch(value[1]) and math.isfinite(float(value[1]))):
                break
            values.append(value[1].lower())
            at = value.end()
        options[name] = tuple(values)
    return options, words[at:].strip()


def _changes(name: str, values: tuple[str, ...]) -> bool:
    """Whether an option changes how the picture looks, other than by moving it."""
    if name == "t":
        return any(float(value) for value in values)
    if name == "mm":
        return [float(value) for value in values] != [0.0, 1.0]
    return name == "imfchan" or (name == "cc" and values != ("off",))


def _pair(values: tuple[str, ...], default: float) -> tuple[float, float]:
    u, v = [float(value) for value in (*values, str(default), str(default))[:2]] if values else [default, default]
    return u, v


def _from(folder: str, file: str) -> tuple[str, ...]:
    """Names of a picture from the folder of the .obj, best first. It is named from the folder of the .mtl."""
    names = [unquoted(name) for name in (file, *uncommented(file))]
    if folder:
        names = [*(_joined(folder, name) for name in names), *names]
    return tuple(dict.fromkeys(name for name in names if inside(name) is not None)) or (file,)


def _joined(folder: str, name: str) -> str:
    """A name in a folder, if it stays below that of the .obj; otherwise its last part in the folder."""
    path = posixpath.normpath(posixpath.join(folder, name.replace("\\", "/")))
    if ":" not in name and not path.startswith(("..", "/")):
        return path
    short = inside(name)
    return name if short is None else f"{folder}/{short.name}"


def decoded(text: bytes) -> str:
    """Text in UTF-8, or else in Latin-1."""
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError:
        return text.decode("latin-1")


def uncommented(name: str) -> tuple[str, ...]:
    """What a name may be without the comment after it, the longest first; nothing if it has no ` #`."""
    if " #" not in name:
        return ()
    return tuple(dict.fromkeys((name.rpartition(" #")[0].strip(), name.partition(" #")[0].strip())))


def unquoted(name: str) -> str:
    """A name without the quotes around it."""
    return name[1:-1].strip() if len(name) > 2 and name[0] == name[-1] and name[0] in "\"'" else name


def listed(names: dict[str, None] | list[str], *, most: int = 5, quote: str = "'") -> str:
    """'a', 'b' and 3 more."""
    shown = ["".join(c if c.isprintable() else "?" for c in name[:60]) for name in list(names)[:most]]
    more = len(names) - len(shown)
    return ", ".join(f"{quote}{name}{quote}" for name in shown) + (f" and {more} more" if more else "")


def _spelt(keyword: str) -> str:
    return keyword[:-2] + keyword[-2:].capitalize()
