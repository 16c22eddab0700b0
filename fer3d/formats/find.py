"""Find scan files by folder, pattern or name, and the landmark file beside each."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterable
from pathlib import Path

from fer3d.formats.suffixes import LANDMARKS, is_scan


def find_scans(items: Iterable[str | Path], wanted: Callable[[str | os.PathLike[str]], bool] = is_scan) -> list[Path]:
    """Find the files of folders (all scans, at any depth), of patterns such as "scans/*.wrl", and of plain names.

    Args:
        items: Folders, patterns and names, as a user types them.
        wanted: Tells which files of a folder to return.

    A name or pattern without any file stays in the list, so that reading it fails visibly. A file that occurs twice is
    listed once.
    """
    paths: dict[Path, None] = {}
    for item in items:
        path = Path(item)
        if path.is_dir():
            files = sorted(file for file in path.rglob("*") if file.is_file() and wanted(file))
        elif path.exists():
            files = [path]
        else:
            files = sorted(map(Path, glob.glob(str(item), recursive=True)))  # noqa: PTH207  (absolute patterns too)
        paths |= dict.fromkeys(files or [path])
    return list(paths)


def landmark_file(scan: Path) -> Path | None:
    """Return the landmark file in the same folder with the same stem as `scan`, or None.

    A .csv or .json is not taken for one, because it may hold anything.
    """
    places = (scan.with_name(scan.stem + ending) for ending in LANDMARKS)
    return next((place for place in places if place.is_file()), None)
