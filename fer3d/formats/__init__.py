"""Scan files in and out. `read` and `write` choose the format by the suffix; each format is a module of its own.

| suffix | module | |
| --- | --- | --- |
| .wrl | `vrml` | VRML 2.0: BU-3DFE, BU-4DFE, scanners |
| .bnt | `bnt` | Bosphorus range images |
| .abs, .abs.gz | `frgc` | FRGC range images |
| .obj | `obj` | Wavefront, with the texture of its .mtl |
| .ply .stl .glb .gltf .off | `mesh_files` | through trimesh |
| .bnd .pse .lm2 .lm3 | `landmark_files` | landmarks of BU and Bosphorus |
"""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from types import ModuleType

from fer3d.errors import ArgumentError
from fer3d.formats.landmark_files import read_landmarks, read_lm2
from fer3d.scan import Scan

__all__ = ["SUFFIXES", "is_scan", "read", "read_landmarks", "read_lm2", "write"]

# Modules are imported at the first file of their kind, so that a listing of formats costs no library.
_MODULES = {
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

SUFFIXES: tuple[str, ...] = tuple(_MODULES)


def is_scan(path: str | os.PathLike[str]) -> bool:
    """Whether the name ends, in any case, in one of `SUFFIXES`. The file is not looked at.

    >>> is_scan("bs000/bs000_N_N_0.BNT"), is_scan("04201d302.abs.gz"), is_scan("F0001_AN01WH_F3D.bmp")
    (True, True, False)
    """
    return _suffix(path) is not None


def read(path: str | os.PathLike[str], *, texture: bool = True) -> Scan:
    """Read a scan, in its file's own unit and frame.

    Args:
        path: Its suffix, in any case, says the format.
        texture: Whether to find and decode the texture. The uv are read in any case.

    Returns:
        The scan. Vertices stand in the file's order (`Scan.file_vertex` says more); coordinates that are NaN or
        infinite in the file still are: `fer3d.clean` drops their faces. The first record of `history` names the file,
        the format and the counts; `warnings` name a texture that was not found as the file says.

    Raises:
        ArgumentError: if the suffix is none of `SUFFIXES`.
        FileError: if the file is missing, a folder, or may not be read.
        FormatError: if its content is not what its format demands, or holds no face.
    """
    scan: Scan = _module(path).read(path, texture=texture)
    return scan


def write(scan: Scan, path: str | os.PathLike[str]) -> None:
    """Write a scan, its texture beside or inside it. The suffix of `path`, in any case, says the format.

    The range image formats (.bnt, .abs) take a scan that came from one.

    Raises:
        ArgumentError: if the suffix is none of `SUFFIXES`, or the scan does not fit the format.
        FileError: if a file cannot be written.
    """
    _module(path).write(scan, path)


def _suffix(path: str | os.PathLike[str]) -> str | None:
    name = Path(path).name.lower()
    return next((suffix for suffix in SUFFIXES if name.endswith(suffix)), None)


def _module(path: str | os.PathLike[str]) -> ModuleType:
    suffix = _suffix(path)
    if suffix is None:
        raise ArgumentError(f"`path` should end in one of {', '.join(SUFFIXES)}, is {os.fspath(path)}")
    return importlib.import_module(f"fer3d.formats.{_MODULES[suffix]}")
