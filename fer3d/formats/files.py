"""Whole files in and out, with this package's errors."""

from __future__ import annotations

import contextlib
import os
import stat
import uuid
from pathlib import Path

from fer3d.errors import Fer3dError, FileError, FormatError

# No scan or picture is larger. The limit stands between a mistaken path, such as a disk image, and the memory.
MAX_BYTES = 1 << 30


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """The content of a file.

    Raises:
        FileError: if it is missing, a folder, or may not be read.
        FormatError: if it is empty or larger than `MAX_BYTES`.
    """
    path = Path(path)
    try:
        status = path.stat()
        if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):  # a pipe could keep us waiting for ever
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


def write_bytes(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file whole or not at all: through a temporary file beside it.

    Raises:
        FileError: if the folder is missing or the file may not be written.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(content)
        temporary.replace(path)
    except (OSError, ValueError) as error:
        with contextlib.suppress(OSError, ValueError):
            temporary.unlink()
        raise FileError(f"{path}: cannot be written: {getattr(error, 'strerror', None) or error}") from error


def line_of(text: bytes, offset: int) -> int:
    """The line, counted from 1, that holds the byte at `offset`."""
    return text.count(b"\n", 0, offset) + 1
