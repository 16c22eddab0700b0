"""Which suffix names which scan format. No reader is imported, so that a card can be read without one."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

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

SUFFIXES: tuple[str, ...] = tuple(MODULES)


def is_scan(path: str | os.PathLike[str]) -> bool:
    """Whether the name ends, in any case, in one of `SUFFIXES`. The file is not looked at.

    >>> is_scan("bs000/bs000_N_N_0.BNT"), is_scan("04201d302.abs.gz"), is_scan("F0001_AN01WH_F3D.bmp")
    (True, True, False)
    """
    return bool(scan_suffix(Path(path).name))


def scan_suffix(name: str) -> str:
    """The longest suffix of a scan format that a file's name ends with, as it is written there, or ''.

    >>> scan_suffix("04201d302.ABS.gz"), scan_suffix("notes.txt")
    ('.ABS.gz', '')
    """
    lower = name.lower()
    return next((name[-len(suffix) :] for suffix in _longest_first() if lower.endswith(suffix)), "")


@cache
def _longest_first() -> tuple[str, ...]:
    return tuple(sorted(SUFFIXES, key=len, reverse=True))
