"""Map suffixes to scan formats. This module imports no reader, so that a card can be read without one.

`register` adds a format from outside the package. So does an entry point in the group `fer3d.formats` of an installed
package; its name is the suffix. Entry points are looked up when a suffix is requested that the package itself does not
have, and their code is imported when the first file is read. Worker processes know both kinds of formats.
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

GROUP = "fer3d.formats"  # group of entry points

# Suffix -> module of this package that reads and writes the format.
MODULES = {
    ".wrl": "vrml",
    ".bnt": "bnt",
    ".abs": "frgc",
    ".abs.gz": "frgc",
    ".obj": "obj",
    ".ply": "ply",
    ".stl": "stl",
    ".glb": "gltf",
    ".gltf": "gltf",
    ".off": "off",
    ".wrz": "vrml",
    ".xyz": "xyz",
    ".asc": "xyz",
    ".pcd": "pcd",
    ".depth.png": "depth_image",
    ".depth.npy": "depth_image",
}
# Formats that hold scans only sometimes: landmarks, labels and pictures have these suffixes too. A file of them is read
# when it is named, by its path or by the patterns of a card. A search of folders does not take it for a scan.
EXPLICIT = {
    ".pts": "xyz",
    ".mat": "mat",
    ".npy": "npy",
    ".png": "depth_image",
}
# What follows the stem of a scan in the names of landmark files beside it, in order of preference. The last is what
# MeshLab calls its file. A .csv or .json beside a scan may hold anything: it is read if it is named.
LANDMARKS = (".bnd", ".lm3", ".pse", ".pp", ".fcsv", ".mrk.json", "_picked_points.pp")


@dataclass(frozen=True)
class Outside:
    """A format from outside the package.

    Attributes:
        suffix: The suffix in lower case, with its dot.
        source: Name of the reader, for messages.
        load: Returns the reader and the writer, if there is one; may raise any exception.
    """

    suffix: str
    source: str
    load: Callable[[], tuple[Reader, Writer | None]]


_outside: dict[str, Outside] = {}


def register(suffix: str, read: Reader, write: Writer | None = None, *, replace: bool = False) -> None:
    """Register a scan format. `fer3d.formats.read`, folders, cards and commands then accept its files.

    The registration holds for this process and its workers. Workers import `read` by its name, so it should be a
    function of a module. For the command line, a package declares the format as an entry point.

    Args:
        suffix: A suffix in lower case, such as ".xyzf".
        read: Takes a path and returns a `Scan` with at least one face, in the unit and frame of the file. Its
            exceptions become one-line errors that name the file.
        write: Takes a scan and a path. None: the format cannot be written.
        replace: Whether to replace an existing reader of the suffix.

    Raises:
        ArgumentError: if the suffix is malformed, belongs to pictures or landmarks, or has a reader already and
            `replace` is not given; or if `read` or `write` is not a function.
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
    """Register a format in a worker. If the reader cannot be imported, its use raises the reason."""
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
    """Return the registered format of a suffix (lower case); None if the package itself reads it or nothing does."""
    if suffix not in _outside and suffix not in MODULES:
        _load_entry_points()
    return _outside.get(suffix)


def scan_suffixes() -> tuple[str, ...]:
    """Return the suffixes of all scan formats: first those of the package, then registered ones."""
    _load_entry_points()
    return tuple(dict.fromkeys((*MODULES, *_outside)))


def is_scan(path: str | os.PathLike[str]) -> bool:
    """Whether the name ends in one of `scan_suffixes()`, ignoring case. The file itself is not read.

    >>> is_scan("bs000/bs000_N_N_0.BNT"), is_scan("04201d302.abs.gz"), is_scan("F0001_AN01WH_F3D.bmp")
    (True, True, False)
    """
    return bool(scan_suffix(Path(path).name))


def named_suffix(name: str) -> str:
    """Return the suffix of a file that is to be read as a scan because it was named: also one of `EXPLICIT`, or ''.

    >>> named_suffix("face.ply"), named_suffix("face.MAT"), named_suffix("notes.txt")
    ('.ply', '.MAT', '')
    """
    return scan_suffix(name) or _ending(name, tuple(EXPLICIT))


def scan_suffix(name: str) -> str:
    """Return the longest suffix of a scan format at the end of a file name, in its spelling there, or ''.

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
    """Look up the entry points, once per process, without importing their code."""
    from importlib.metadata import entry_points

    formats: dict[str, Outside] = {}
    for point in sorted(entry_points(group=GROUP), key=lambda point: (point.name, point.value)):
        owner = point.dist.name if point.dist is not None else point.value
        source = f"{point.value} of {owner}"
        _check_suffix(point.name, source, formats, replace=False)
        formats[point.name] = Outside(point.name, source, _loader(point))
    _outside.update(formats)


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
    if longer is not None:  # otherwise files of the new format would be read as the old one
        raise ArgumentError(f"`suffix` {suffix} ends in {longer}, which is a format of its own ({source})")


def _name_of(function: Any) -> str:
    return f"{getattr(function, '__module__', '?')}.{getattr(function, '__qualname__', type(function).__name__)}"
