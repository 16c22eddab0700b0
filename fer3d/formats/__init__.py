"""Scan files in and out. `read` and `write` choose the format by the suffix; each format is a module of its own.

| suffix | module | |
| --- | --- | --- |
| .wrl | `vrml` | VRML 2.0: BU-3DFE, BU-4DFE, scanners |
| .bnt | `bnt` | Bosphorus range images |
| .abs, .abs.gz | `frgc` | FRGC range images |
| .obj | `obj` | Wavefront, with the texture of its .mtl |
| .ply .stl .glb .gltf .off | `mesh_files` | through trimesh |
| .bnd .pse .lm2 .lm3 | `landmark_files` | landmarks of BU and Bosphorus |
| others | `outside` | what `register` or an entry point of the group `fer3d.formats` names: `docs/extend/format.md` |
"""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from fer3d import lazy_names
from fer3d.errors import ArgumentError
from fer3d.formats import outside
from fer3d.formats.landmark_files import read_landmarks, read_lm2
from fer3d.formats.suffixes import MODULES, is_scan, outside_format, register, scan_suffix, scan_suffixes
from fer3d.scan import Scan

if TYPE_CHECKING:
    from fer3d.formats.interop import (
        from_open3d,
        from_pytorch3d,
        from_trimesh,
        to_open3d,
        to_pytorch3d,
        to_trimesh,
    )

__all__ = [
    "from_open3d",
    "from_pytorch3d",
    "from_trimesh",
    "is_scan",
    "read",
    "read_landmarks",
    "read_lm2",
    "register",
    "scan_suffixes",
    "to_open3d",
    "to_pytorch3d",
    "to_trimesh",
    "write",
]

_HOMES = {name: "interop" for name in __all__ if name.startswith(("from_", "to_"))}

__getattr__ = lazy_names(__name__, _HOMES)


def read(path: str | os.PathLike[str], *, texture: bool = True) -> Scan:
    """Read a scan, in its file's own unit and frame.

    Args:
        path: Its suffix, in any case, says the format.
        texture: Whether to find and decode the texture. The uv are read in any case.

    Returns:
        The scan. Vertices stand in the file's order (`Scan.file_vertex` says more); coordinates that are NaN or
        infinite in the file still are: `fer3d.prepare.clean` drops their faces. The first record of `history` names the
        file, the format and the counts; `warnings` name a texture that was not found as the file says.

    Raises:
        ArgumentError: if the suffix is none of `scan_suffixes()`.
        FileError: if the file is missing, a folder, or may not be read.
        FormatError: if its content is not what its format demands, or holds no face; or a reader from outside fails or
            gives no scan.
    """
    suffix = _suffix(path)
    known = outside_format(suffix)
    scan: Scan
    if known is not None:
        scan = outside.read(known, Path(path), texture=texture)
    else:
        scan = _module(suffix).read(path, texture=texture)
    return scan


def write(scan: Scan, path: str | os.PathLike[str]) -> None:
    """Write a scan, its texture beside or inside it. The suffix of `path`, in any case, says the format.

    The range image formats (.bnt, .abs) take a scan that came from one.

    Raises:
        ArgumentError: if the suffix is none of `scan_suffixes()`, the scan does not fit the format, or a format from
            outside cannot be written.
        FileError: if a file cannot be written.
        FormatError: if a writer from outside fails.
    """
    suffix = _suffix(path)
    known = outside_format(suffix)
    if known is not None:
        outside.write(known, scan, Path(path))
    else:
        _module(suffix).write(scan, path)


def _suffix(path: str | os.PathLike[str]) -> str:
    suffix = scan_suffix(Path(path).name).lower()
    if not suffix:
        raise ArgumentError(f"`path` should end in one of {', '.join(scan_suffixes())}, is {os.fspath(path)}")
    return suffix


def _module(suffix: str) -> ModuleType:
    # imported at the first file of its kind, so that a listing of formats costs no library
    return importlib.import_module(f"fer3d.formats.{MODULES[suffix]}")
