"""Which material of which library lies on which polygon of a Wavefront .obj file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fer3d.errors import FileError, FormatError
from fer3d.formats.mtl import Entry, Library, decoded, listed, uncommented, unquoted
from fer3d.formats.obj_statements import Statements
from fer3d.formats.textures import inside


class Dressing:
    """The materials in use.

    Attributes:
        entries: Those that lie on at least one polygon.
        material: (P,) int64. Row in `entries` of each polygon, -1: none.
        notes: What is lost, guessed or changed.
        named: Whether the file names a library.
    """

    def __init__(self, statements: Statements) -> None:
        self.notes: list[str] = []
        self.read: list[str] = []  # names of the libraries, relative to the folder of the file
        names = list(dict.fromkeys(words for _, words in statements.named("mtllib")))
        self.named = bool(names)
        uses = list(statements.named("usemtl"))
        self._library = Library()
        self._read(statements.path, [decoded(name) for name in names], used=bool(uses) or bool(len(statements.uv)))
        self.notes += self._library.notes
        self.entries: list[Entry] = []
        self.material = np.full(len(statements.sizes), -1, np.int64)
        if uses:
            self._use(uses)
        elif (pictures := len(self._pictures())) > 0:
            self._use_first("its faces name no material" if pictures > 1 else "")
        self.notes += _grouped(self.entries)
        self.notes += _lost_colours(self.entries)

    def _read(self, path: Path, names: Sequence[str], *, used: bool) -> None:
        """Read the libraries; without any, that of the name of the .obj beside it."""
        folder = _Folder(path.parent)
        missing: dict[str, None] = {}
        files: dict[Path, None] = {}
        for name in names:
            found, lost = _files(folder, re.sub(r"\\[\r\n]+", " ", name))
            files.update(dict.fromkeys(found))
            missing.update(dict.fromkeys(lost))
        beside = folder.find(f"{path.stem}.mtl") if used and not files else None
        if missing:
            self.notes.append(f"its materials {listed(missing)} are not beside it")
        if beside is not None:
            files[beside] = None
            self.notes.append(f"{beside.name} is taken as its materials, as it has its name")
        for file in files:
            inside_of = "" if file.parent == Path() else file.parent.as_posix()
            try:
                self._library.add(path.parent / file, inside_of)
                self.read.append(file.as_posix())
            except (FileError, FormatError) as error:
                self.notes.append(f"its materials cannot be read: {error}")

    def _use(self, uses: Sequence[tuple[int, bytes]]) -> None:
        starts = np.array([polygons for polygons, _ in uses], np.int64)
        lengths = np.diff(starts, append=len(self.material))
        rows: dict[bytes, int] = {}
        places: dict[int, int] = {}  # id of an entry -> row in `entries`
        unknown: dict[str, None] = {}
        of_use = np.full(len(uses), -1, np.int64)
        for use in np.flatnonzero(lengths).tolist():
            name = uses[use][1]
            if name not in rows:
                entry = self._library.find(decoded(name))
                if entry is None:
                    unknown[decoded(name)] = None
                    rows[name] = -1
                else:
                    rows[name] = places.setdefault(id(entry), len(self.entries))
                    if rows[name] == len(self.entries):
                        self.entries.append(entry)
            of_use[use] = rows[name]
        self.material[int(starts[0]) :] = np.repeat(of_use, lengths)
        if unknown:
            self.notes.append(
                f"its faces have unknown materials: {listed(unknown)}"
                if self._library.entries
                else f"its faces have materials, {listed(unknown)}, that no library describes"
            )
        if not self.entries and len(self._pictures()) == 1:
            self._use_first("no face has a known material, and only one is known with a picture")

    def _pictures(self) -> set[tuple[str, ...]]:
        return {entry.files for entry in self._library.pictured}

    def _use_first(self, guess: str) -> None:
        """Lay the first picture on all faces. `guess` says why, if that is not certain."""
        first = self._library.pictured[0]
        self.entries = [first]
        self.material[:] = 0
        if guess:
            self.notes.append(f"{guess}: {first.files[0]!r} is taken for all faces")


class _Folder:
    """Finds files below a folder, in upper or lower case. Each folder is listed once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._names: dict[Path, dict[str, str]] = {}

    def find(self, name: str) -> Path | None:
        """The path of a file relative to the folder, None if it is not there."""
        relative = inside(name)
        if relative is None:
            return None
        try:
            if (self._folder / relative).is_file():
                return relative
            if relative.parent not in self._names:
                listing = sorted((self._folder / relative.parent).iterdir())
                self._names[relative.parent] = {entry.name.casefold(): entry.name for entry in listing}
            other = self._names[relative.parent].get(relative.name.casefold())
            found = other is not None and (self._folder / relative.parent / other).is_file()
            return relative.parent / other if found and other is not None else None
        except (OSError, ValueError):
            return None


def _files(folder: _Folder, words: str) -> tuple[list[Path], list[str]]:
    """The libraries that a `mtllib` names, and those of them that are missing.

    It names several between blanks, but names may hold blanks and `#` too: the first way to read the words in which
    every file is there is taken, otherwise the first in which one is there.
    """
    best: tuple[list[Path], list[str]] = ([], [unquoted([words, *uncommented(words)][-1])])
    for names in _readings(words):
        places = [(name, folder.find(name)) for name in names]
        found = [place for _, place in places if place is not None]
        missing = [name for name, place in places if place is None]
        if found and not missing:
            return found, []
        if found and not best[0]:
            best = (found, missing)
    return best


def _readings(words: str) -> Iterator[list[str]]:
    for text in (words, *uncommented(words)):
        yield [text]
        yield [unquoted(text)]
        if '"' in text:
            yield [quoted or plain for quoted, plain in re.findall(r'"([^"]*)"|([^\s"]+)', text)]
        yield re.split(r"(?<=\.mtl)\s+", text, flags=re.IGNORECASE)
        yield text.split()


def _grouped(entries: Sequence[Entry]) -> list[str]:
    """The notes of materials, each note once with the names of its materials."""
    names: dict[str, dict[str, None]] = {}
    for entry in entries:
        for note in entry.notes:
            names.setdefault(note, {})[entry.name] = None
    return [f"material {listed(those)}: {note}" for note, those in names.items()]


def _lost_colours(entries: Sequence[Entry]) -> list[str]:
    """A note if materials without a picture have colours that tell something: one that is not grey, or several."""
    plain = [entry for entry in entries if not entry.files and entry.kd is not None]
    kinds = {entry.kd for entry in plain}
    tinted = [entry for entry in plain if entry.kd is not None and max(entry.kd) > min(entry.kd)]
    if not tinted and len(kinds) < 2:
        return []
    return [f"the colours (Kd) of its materials {listed([entry.name for entry in plain])} are left out"]


def moved_uv(
    uv: NDArray[np.float64], uv_faces: NDArray[np.integer], material: NDArray[np.integer], entries: Sequence[Entry]
) -> tuple[NDArray[np.float64], NDArray[np.integer]]:
    """Apply the -s and -o of materials to the uv of their faces.

    Args:
        uv: (T, 2) float64.
        uv_faces: (F, 3) integer. Rows of `uv`, -1: none.
        material: (F,) integer. Rows of `entries`, -1: none.

    Returns:
        The same two for the changed uv: a row for each pair of a row of `uv` and a way to move it.
    """
    if not any(entry.moves for entry in entries):
        return uv, uv_faces
    ways: dict[tuple[float, ...], int] = {(1.0, 1.0, 0.0, 0.0): 0}
    way_of = [ways.setdefault((*entry.scale, *entry.offset), len(ways)) for entry in entries]
    way = np.array([*way_of, 0], np.int64)[material]  # the last is that of -1
    pair = way[:, None] * len(uv) + uv_faces
    distinct, index = np.unique(pair[uv_faces >= 0], return_inverse=True)
    rows = np.full(uv_faces.shape, -1, np.int64)
    rows[uv_faces >= 0] = index.ravel()
    table = np.array(list(ways), np.float64)[distinct // len(uv)]
    return uv[distinct % len(uv)] * table[:, :2] + table[:, 2:], rows
