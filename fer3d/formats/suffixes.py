"""Which suffix names which scan format. No reader is imported, so that a card can be read without one.

Formats from outside the package are known by `register`, or by an entry point of the group `fer3d.formats` of an
installed package, whose name is the suffix. Entry points are looked up when a suffix is asked for that is none of the
package's own, and their code is imported when the first file is read. Worker processes know both kinds.
"""

from __future__ import annotations

import os
import pickle
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fer3d.errors import ArgumentError
from fer3d.workers import begin_workers_with

if TYPE_CHECKING:
    from fer3d.scan import Scan

    Reader = Callable[[Path], Scan]
    Writer = Callable[[Scan, Path], None]

GROUP = "fer3d.formats"  # of entry points

# Suffix -> module of this room that reads and writes the format.
MODULES = {
    ".wrl": "vrml",
    ".bnt": "bnt",
    ".abs": "frgc",
    ".abs.gz": "frgc",
    ".obj": "obj",
    ".ply": "mesh_files",
    ".stl": "mesh_files",
    ".glb": "mesh_files",
    ".gltf": "mesh_files",
    ".off": "mesh_files",
}
LANDMARKS = (".bnd", ".lm3", ".pse")  # of files beside a scan, in the order in which they are looked for


@dataclass(frozen=True)
class Outside:
    """A format from outside the package.

    Attributes:
        suffix: Lower case, with its dot.
        source: Who reads it, for messages.
        load: Gives the reader and, if there is one, the writer; may raise anything.
    """

    suffix: str
    source: str
    load: Callable[[], tuple[Reader, Writer | None]]


_outside: dict[str, Outside] = {}


def register(suffix: str, read: Reader, write: Writer | None = None, *, replace: bool = False) -> None:
    """Make a scan format known: `fer3d.formats.read`, folders, cards and commands then take its files.

    What is registered holds for this process and for workers that it starts; there, `read` is imported by its name, so
    it should be a function of a module. To be known to the command line, a package names it as an entry point.

    Args:
        suffix: Such as ".xyzf", in lower case.
        read: Takes a path and gives a `Scan` with at least one face, in the file's own unit and frame. What it raises
            becomes one line about the file.
        write: Takes a scan and a path. None: the format cannot be written.
        replace: Whether to take the place of a reader of that suffix.

    Raises:
        ArgumentError: if the suffix is not one, is that of a picture or of landmarks, or has a reader already and
            `replace` is not given; or `read` or `write` is no function.
    """
    for name, function in (("read", read), ("write", write)):
        if not callable(function) and not (name == "write" and function is None):
            raise ArgumentError(f"`{name}` should be a function, is {function!r}")
    _load_entry_points()
    source = _name_of(read)
    _check_suffix(suffix, source, _outside, replace)
    _outside[suffix] = Outside(suffix, source, lambda: (read, write))
    try:
        content = pickle.dumps((read, write))
    except Exception:  # a lambda, a function in a function: pickle raises nearly everything
        content = None
    begin_workers_with(f"format {suffix}", _register_in_worker, suffix, source, content)


def _register_in_worker(suffix: str, source: str, content: bytes | None) -> None:
    """Top-level, so that a worker finds it. A reader that cannot be imported is known to be lacking, and why."""
    try:
        if content is None:
            raise ArgumentError("it is no function of a module")
        functions: tuple[Reader, Writer | None] = pickle.loads(content)
    except Exception as error:
        reason = f"a worker process cannot import it ({error}); define it in a module"

        def lacking() -> tuple[Reader, Writer | None]:
            raise ArgumentError(reason)

        _outside[suffix] = Outside(suffix, source, lacking)
        return
    register(suffix, *functions, replace=True)


def outside_format(suffix: str) -> Outside | None:
    """The format from outside that reads a suffix (lower case); None for one of the package's own."""
    if suffix not in _outside and suffix not in MODULES:
        _load_entry_points()
    return _outside.get(suffix)


def scan_suffixes() -> tuple[str, ...]:
    """Suffixes of all scan formats: the package's own, then those from outside."""
    _load_entry_points()
    return tuple(dict.fromkeys((*MODULES, *_outside)))


def is_scan(path: str | os.PathLike[str]) -> bool:
    """Whether the name ends, in any case, in one of `scan_suffixes()`. The file is not looked at.

    >>> is_scan("bs000/bs000_N_N_0.BNT"), is_scan("04201d302.abs.gz"), is_scan("F0001_AN01WH_F3D.bmp")
    (True, True, False)
    """
    return bool(scan_suffix(Path(path).name))


def scan_suffix(name: str) -> str:
    """The longest suffix of a scan format that a file's name ends with, as it is written there, or ''.

    >>> scan_suffix("04201d302.ABS.gz"), scan_suffix("notes.txt")
    ('.ABS.gz', '')
    """
    return _ending(name, tuple(MODULES)) or _ending(name, scan_suffixes())


def _ending(name: str, suffixes: tuple[str, ...]) -> str:
    lower = name.lower()
    return next((name[-len(suffix) :] for suffix in _longest_first(suffixes) if lower.endswith(suffix)), "")


@cache
def _longest_first(suffixes: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted(suffixes, key=len, reverse=True))


@cache
def _load_entry_points() -> None:
    """Once a process. Nothing of what they name is imported."""
    from importlib.metadata import entry_points

    found: dict[str, Outside] = {}
    for point in sorted(entry_points(group=GROUP), key=lambda point: (point.name, point.value)):
        owner = point.dist.name if point.dist is not None else point.value
        source = f"{point.value} of {owner}"
        _check_suffix(point.name, source, found, replace=False)
        found[point.name] = Outside(point.name, source, _loader(point))
    _outside.update(found)


def _loader(point: Any) -> Callable[[], tuple[Reader, Writer | None]]:
    def load() -> tuple[Reader, Writer | None]:
        named = point.load()
        read = getattr(named, "read", named)
        if not callable(read):
            raise TypeError(f"wanted a function, or a module or an object with `read`, got {named!r}")
        return read, getattr(named, "write", None)

    return load


def _check_suffix(suffix: str, source: str, outside: Mapping[str, Outside], replace: bool) -> None:
    if not re.fullmatch(r"(\.[a-z0-9_-]+)+", suffix):
        raise ArgumentError(f"`suffix` should be such as '.xyzf', in lower case, is {suffix!r} ({source})")
    from fer3d.formats.pictures import SUFFIXES as PICTURES

    if suffix in (*PICTURES, *LANDMARKS, ".lm2"):
        raise ArgumentError(f"`suffix` {suffix} is that of pictures or landmarks, not of scans ({source})")
    known = (*MODULES, *outside)
    if suffix in known and not replace:
        reader = outside[suffix].source if suffix in outside else "fer3d"
        raise ArgumentError(f"`suffix` {suffix} is read by {reader}; {source} takes its place with replace=True only")
    longer = next((other for other in known if suffix.endswith(other) and suffix != other), None)
    if longer is not None:  # or a file of the new format would be taken for one of the old
        raise ArgumentError(f"`suffix` {suffix} ends in {longer}, which is a format of its own ({source})")


def _name_of(function: Any) -> str:
    return f"{getattr(function, '__module__', '?')}.{getattr(function, '__qualname__', type(function).__name__)}"
