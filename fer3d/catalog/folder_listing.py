"""List the files of a folder of scans in one walk: each file once, in a fixed order, also with links and loops."""

from __future__ import annotations

import os
import posixpath
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from fer3d.errors import FileError

# The ground truth of a simulated data set. A folder that holds this file is a simulated data set.
TRUTH_FILE = "truth.parquet"

# Files of operating systems, never part of a data set. They are not even listed as extra files.
LITTER = frozenset({"__MACOSX", "Thumbs.db", "desktop.ini"})


@dataclass(frozen=True)
class Listing:
    """The regular files under a folder.

    Attributes:
        folder: The folder as the caller gave it.
        files: POSIX paths relative to it, sorted. Names that begin with a dot and `LITTER` are left out.
        problems: One line for each folder that could not be opened and for each entry that is not a regular file.
    """

    folder: Path
    files: tuple[str, ...]
    problems: tuple[str, ...]

    @cached_property
    def _names(self) -> frozenset[str]:
        return frozenset(self.files)

    @cached_property
    def _folded(self) -> Mapping[str, str]:
        """Case-folded, composed (NFC) path -> path, to find names that differ only in case or composition."""
        return {_fold(name): name for name in reversed(self.files)}

    @cached_property
    def _outside(self) -> dict[str, frozenset[str]]:
        return {}

    def find(self, relative: str) -> str | None:
        """Find a file by its relative path, outside the folder (`../`) too; inside, case is ignored. None if absent."""
        if ".." in relative:
            relative = posixpath.normpath(relative)
        if relative in self._names:
            return relative
        if relative.startswith("../"):
            return relative if self._is_outside(relative) else None
        return self._folded.get(_fold(relative))

    def _is_outside(self, relative: str) -> bool:
        """Whether a file exists outside the folder. Lists each folder once: on a network disk this saves minutes."""
        parent, name = posixpath.split(relative)
        if parent not in self._outside:
            try:
                self._outside[parent] = frozenset(path.name for path in (self.folder / parent).iterdir())
            except OSError:
                self._outside[parent] = frozenset()
        return name in self._outside[parent]


def list_folder(folder: str | Path) -> Listing:
    """Walk a folder. Links are followed, but no folder is entered twice: real folders come first, then links by name.

    Raises:
        FileError: if the folder itself is missing, is not a folder, or may not be opened.
    """
    root = _checked(folder)
    files: list[str] = []
    problems: list[str] = []
    seen: set[tuple[int, int]] = set()
    pending, links = [""], list[str]()
    while pending or links:
        relative = pending.pop() if pending else links.pop(0)
        path = root / relative
        try:
            status = path.stat()
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(path) as scan:
                entries = sorted(scan, key=lambda entry: entry.name)
        except OSError as error:
            if not relative:
                raise FileError(f"{printable(str(folder))}: cannot be opened: {error.strerror}") from error
            problems.append(f"{printable(relative)}: folder cannot be opened: {error.strerror}")
            continue
        below = relative + "/" if relative else ""
        for entry in entries:
            if entry.name.startswith(".") or entry.name in LITTER:
                continue
            name = below + entry.name
            if entry.is_dir(follow_symlinks=False):
                pending.append(name)
            elif _is_dir(entry):
                links.append(name)
            elif _is_file(entry):
                files.append(name)
            else:
                problems.append(f"{printable(name)}: wanted a regular file, found {_kind(entry)}")
    return Listing(root, tuple(sorted(files)), tuple(sorted(problems)))


def _checked(folder: str | Path) -> Path:
    name = printable(str(folder))
    try:
        root = Path(folder)
        kind = "a folder" if root.is_dir() else "a file" if root.exists() else "nothing there"
    except (OSError, ValueError) as error:  # a name too long or with a NUL in it
        raise FileError(f"{name}: wanted a folder of scans, got a path that leads nowhere: {error}") from error
    if kind != "a folder":
        raise FileError(f"{name}: wanted a folder of scans, found {kind}")
    return root


def printable(text: str) -> str:
    """Escape the unprintable characters of a name, so that it fits in a one-line message or a table.

    >>> printable("a\\nb\\udcff")
    'a\\\\x0ab\\\\udcff'
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" if ord(c) > 0xFF else f"\\x{ord(c):02x}" for c in text)


def _fold(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _is_dir(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a loop of links
        return False


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:
        return False


def _kind(entry: os.DirEntry[str]) -> str:
    return "a link to nothing" if entry.is_symlink() else "a pipe, socket or device"
