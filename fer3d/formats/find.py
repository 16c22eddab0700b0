"""Scan files of folders, patterns and names, and the landmark file beside each."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterable
from pathlib import Path

from fer3d.formats.suffixes import LANDMARKS, is_scan


def find_scans(items: Iterable[str | Path], wanted: Callable[[str | os.PathLike[str]], bool] = is_scan) -> list[Path]:
    """Files of folders (all scans in them, at any depth), of patterns such as "scans/*.wrl", and of plain names.

    Args:
        items: What a user types.
        wanted: Which files of a folder count.

    A name or pattern that gives nothing stays in the list, so that it fails as a row and is not overlooked. A file that
    comes twice is listed once.
    """
    found: dict[Path, None] = {}
    for item in items:
        path = Path(item)
        if path.is_dir():
            files = sorted(file for file in path.rglob("*") if file.is_file() and wanted(file))
        elif path.exists():
            files = [path]
        else:
            files = sorted(map(Path, glob.glob(str(item), recursive=True)))  # noqa: PTH207  (absolute patterns too)
        found |= dict.fromkeys(files or [path])
    return list(found)


def landmark_file(scan: Path) -> Path | None:
    """The landmark file that has the name of `scan`, in its folder; None without one."""
    places = (scan.with_suffix(suffix) for suffix in LANDMARKS)
    return next((place for place in places if place.is_file()), None)
