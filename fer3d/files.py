"""Read and write whole files, and report failures as errors of this package."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
import uuid
from pathlib import Path
from typing import Any

from fer3d.errors import Fer3dError, FileError, FormatError

# No scan or picture is larger. The limit protects the memory from a mistaken path, such as that of a disk image.
MAX_BYTES = 1 << 30

TEMPORARY = ".tmp"  # suffix of files that are being written


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """Read a file.

    Raises:
        FileError: if it is missing, a folder, or may not be read.
        FormatError: if it is empty or larger than `MAX_BYTES`.
    """
    path = Path(path)
    try:
        status = path.stat()
        if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):  # reading a pipe could block for ever
            raise FileError(f"{path}: a regular file was wanted, it is a pipe or device")
        if status.st_size > MAX_BYTES:
            raise FormatError(f"{path}: a file has at most {MAX_BYTES} bytes, this one has {status.st_size}")
        content = path.read_bytes()
    except Fer3dError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL byte
        raise FileError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if not content:
        raise FormatError(f"{path}: the file is empty")
    return content


def write_bytes(path: str | os.PathLike[str], content: bytes, *, make_folder: bool = False) -> None:
    """Write a file atomically, through a temporary file in the same folder, so that no reader sees a partial file.

    Args:
        path: File to write.
        content: Bytes to write.
        make_folder: Whether to create the folder of the file if it is missing.

    Raises:
        FileError: if the folder is missing or the file cannot be written.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}{TEMPORARY}")
    try:
        if make_folder:
            path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(content)
        temporary.replace(path)
    except (OSError, ValueError) as error:
        with contextlib.suppress(OSError, ValueError):
            temporary.unlink()
        raise FileError(f"{path}: cannot be written: {getattr(error, 'strerror', None) or error}") from error


def clear_temporaries(folder: Path) -> None:
    """Remove the temporary files that a killed run left in `folder`."""
    for leftover in folder.rglob(f"*{TEMPORARY}"):
        leftover.unlink(missing_ok=True)


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        FileError: if it is missing or cannot be read.
        FormatError: if it is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FileError(f"{path}: is missing") from None
    except OSError as error:
        raise FileError(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise FormatError(f"{path}: is not JSON ({error})") from None


def write_json(path: Path, content: Any) -> None:
    """Write JSON with sorted keys atomically; create the folder if needed. Raises FileError if that fails."""
    write_bytes(path, (json.dumps(content, indent=2, sort_keys=True) + "\n").encode(), make_folder=True)


def sha256(path: Path) -> str:
    """SHA-256 of a file. Raises FileError if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise FileError(f"{path}: cannot be read: {error.strerror}") from None


def line_of(text: bytes, offset: int) -> int:
    """The number of the line, from 1, that holds the byte at `offset`. Lines end with LF, CR LF or CR."""
    carriage_returns = text.count(b"\r", 0, offset) - text.count(b"\r\n", 0, offset)
    return text.count(b"\n", 0, offset) + carriage_returns + 1
