"""Call readers and writers from outside the package, and check the contract of `fer3d.formats.register`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from fer3d.errors import ArgumentError, Fer3dError, FileError, FormatError
from fer3d.formats.suffixes import Outside
from fer3d.scan import Scan

Result = TypeVar("Result")


def read(known: Outside, path: Path, *, texture: bool = True) -> Scan:
    """Read a scan with a registered reader. The first record of its history names file, format, reader and counts.

    Raises:
        FileError: if the file is missing or cannot be opened.
        FormatError: if the reader cannot be loaded, raises, or does not return a scan with a face.
    """
    if not path.is_file():
        raise FileError(f"{path}: is {'no file' if path.exists() else 'missing'}")
    function, _ = _guarded(known, path, known.load, "cannot be loaded")
    scan: Any = _guarded(known, path, lambda: function(path), "failed")
    if not isinstance(scan, Scan):
        raise FormatError(f"{path}: {known.source} should return a fer3d.scan.Scan, returned {type(scan).__name__}")
    if not len(scan.faces):
        raise FormatError(f"{path}: at least one face was wanted, {known.source} gave {len(scan.vertices)} vertices")
    first, rest = {}, scan.history
    if rest and rest[0].get("step") == "read":  # the record of the reader itself, such as the texture file
        first, rest = dict(rest[0]), rest[1:]
    counts = {"vertices": len(scan.vertices), "faces": len(scan.faces)}
    record = {"step": "read", "file": path.name, "format": known.suffix[1:], "reader": known.source, **counts}
    return replace(scan, history=({**first, **record}, *rest), texture=scan.texture if texture else None)


def write(known: Outside, scan: Scan, path: Path) -> None:
    """Write a scan with a registered writer.

    Raises:
        ArgumentError: if the format has no writer.
        FileError: if the file cannot be written.
        FormatError: if the writer cannot be loaded or raises another exception.
    """
    _, function = _guarded(known, path, known.load, "cannot be loaded")
    if function is None:
        raise ArgumentError(f"`path` ends in {known.suffix}, which {known.source} reads and cannot write: {path}")
    _guarded(known, path, lambda: function(scan, path), "failed")


def _guarded(known: Outside, path: Path, call: Callable[[], Result], what: str) -> Result:
    """Return the result of `call`. Any exception becomes a one-line error that names the file."""
    try:
        return call()
    except MemoryError:
        raise
    except OSError as error:
        raise FileError(f"{path}: {known.source} {what}: {error.strerror or error}") from error
    except Exception as error:
        kind = "" if isinstance(error, Fer3dError) else f"{type(error).__name__}: "
        text = " ".join(str(error).split()).removeprefix(f"{path}: ")[:300]
        raise FormatError(f"{path}: {known.source} {what}: {kind}{text}".removesuffix(": ")) from error
