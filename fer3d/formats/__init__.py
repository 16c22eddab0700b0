"""Read and write scan files. `read` and `write` choose the format by the suffix; each format has its own module.

| suffix | module | |
| --- | --- | --- |
| .wrl, .wrz | `vrml` | VRML 2.0: BU-3DFE, BU-4DFE, scanners |
| .bnt | `bnt` | Bosphorus range images |
| .abs, .abs.gz | `frgc` | FRGC range images |
| .obj | `obj` | Wavefront, with the texture of its .mtl |
| .ply | `ply` | Stanford, with textures and colours |
| .off | `off` | Geomview |
| .stl | `stl` | stereolithography |
| .glb .gltf | `gltf` | glTF 2.0 |
| .xyz .asc .pcd | `xyz`, `pcd` | points without faces, which are meshed |
| .depth.png .depth.npy | `depth_image` | depth pictures with the intrinsics of their camera |
| .pts .mat .npy .png | `xyz`, `mat`, `npy`, `depth_image` | the same, read if named: no search of folders finds them |
| .bnd .pse .lm3 .pp .fcsv .mrk.json .csv .json | `landmarks` | landmarks: `read_landmarks`, `write_landmarks` |
| .lm2 | `landmark_files` | landmarks of Bosphorus in the picture: `read_lm2` |
| others | `outside` | formats added by `register` or an entry point of `fer3d.formats`: `docs/extend/format.md` |
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from fer3d import lazy_names
from fer3d.errors import ArgumentError
from fer3d.formats import outside
from fer3d.formats.landmark_files import read_lm2
from fer3d.formats.landmarks import read_landmarks, write_landmarks
from fer3d.formats.suffixes import EXPLICIT, MODULES, is_scan, named_suffix, outside_format, register, scan_suffixes
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
    "write_landmarks",
]

_HOMES = {name: "interop" for name in __all__ if name.startswith(("from_", "to_"))}

__getattr__ = lazy_names(__name__, _HOMES)


def read(path: str | os.PathLike[str], *, texture: bool = True) -> Scan:
    """Read a scan in the unit and frame of its file.

    Args:
        path: The file. Its suffix, in upper or lower case, determines the format.
        texture: Whether to find and decode the texture. The uv are always read.

    Returns:
        The scan. Vertices keep the order of the file (see `Scan.file_vertex`). NaN and infinite coordinates are kept;
        `fer3d.prepare.clean` drops their faces. The first record of `history` holds the file, the format and the
        counts; `warnings` report a texture that was not found under the name in the file.

    Raises:
        ArgumentError: if the suffix is none of `scan_suffixes()` and not .pts, .mat, .npy or .png.
        FileError: if the file is missing, a folder, or may not be read.
        FormatError: if its content violates the format or holds no face; or a registered reader fails or does not
            return a scan.
    """
    suffix = _suffix(path, (*scan_suffixes(), *EXPLICIT))
    known = outside_format(suffix)
    scan: Scan
    if known is not None:
        scan = outside.read(known, Path(path), texture=texture)
    else:
        with np.errstate(over="ignore", invalid="ignore"):  # a file may hold any number, such as a signalling NaN
            scan = _module(suffix).read(path, texture=texture)
    return scan


def write(scan: Scan, path: str | os.PathLike[str]) -> None:
    """Write a scan, with its texture beside or inside the file. The suffix of `path` determines the format.

    The range image formats (.bnt, .abs) accept only scans that were read from a range image. Formats of points alone
    are not written.

    Raises:
        ArgumentError: if the suffix is none of `scan_suffixes()`, the scan does not fit the format, or a registered
            format has no writer.
        FileError: if a file cannot be written.
        FormatError: if a registered writer fails.
    """
    suffix = _suffix(path, scan_suffixes())
    known = outside_format(suffix)
    if known is not None:
        outside.write(known, scan, Path(path))
    elif (function := getattr(_module(suffix), "write", None)) is not None:
        function(scan, path)
    else:
        raise ArgumentError(f"`path` ends in {suffix}, whose points have no faces: write .ply: {os.fspath(path)}")


def _suffix(path: str | os.PathLike[str], wanted: Sequence[str]) -> str:
    suffix = named_suffix(Path(path).name).lower()
    if suffix not in wanted:
        raise ArgumentError(f"`path` should end in one of {', '.join(wanted)}, is {os.fspath(path)}")
    return suffix


def _module(suffix: str) -> ModuleType:
    # imported for the first file of the format, so that listing the formats imports no library
    return importlib.import_module(f"fer3d.formats.{(MODULES | EXPLICIT)[suffix]}")
