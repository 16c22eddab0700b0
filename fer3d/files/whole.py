"""Read and write whole files, and report failures as errors of this package."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fer3d.errors import Fer3dError, FileError, FormatError, WriteError

# No scan or picture is larger. The limit protects the memory from a mistaken path, such as that of a disk image.
MAX_BYTES = 1 << 30
TEMPORARY = ".tmp"  # suffix of files that are being written

_TEMPORARY_NAME = re.compile(rf"\..*\.[0-9a-f]{{32}}{re.escape(TEMPORARY)}", re.DOTALL)
_LONGEST_STEM = 150  # bytes of a file's name in that of its temporary file


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
        WriteError: if the folder is missing or the file cannot be written.
    """
    with written_at_once(path, make_folder=make_folder) as temporary:
        temporary.write_bytes(content)


@contextmanager
def written_at_once(path: str | os.PathLike[str], *, make_folder: bool = False) -> Iterator[Path]:
    """Give the temporary file to which the block writes; it replaces `path` at the end, and is removed after an error.

    All files of this package are written through this function.

    Raises:
        WriteError: if an operation of the block on files fails, or the temporary file cannot be moved into place.
    """
    path = Path(path)
    try:
        if make_folder:
            path.parent.mkdir(parents=True, exist_ok=True)
        temporary = _temporary(path)
    except (OSError, ValueError) as error:
        raise not_written(path, error) from error
    try:
        yield temporary
        temporary.replace(path)
    except BaseException as error:  # also an interruption from the keyboard leaves nothing behind
        _discard(temporary)
        if isinstance(error, OSError | ValueError) and not isinstance(error, Fer3dError):
            raise not_written(path, error) from error
        raise


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a text as UTF-8, as `write_bytes` does; create the folder if needed.

    The bytes of file names that are not UTF-8 (surrogates in the text) become escapes such as \\udce9.
    """
    write_bytes(path, text.encode("utf-8", "backslashreplace"), make_folder=True)


def remove(path: Path) -> None:
    """Remove a file; a missing file is no error. WriteError if that fails."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise WriteError(f"{path}: cannot be removed: {error.strerror or error}") from error


def clear_temporaries(folder: Path, *, deep: bool = True) -> None:
    """Remove the temporary files that killed runs left in `folder` and, if `deep`, below. Other files are kept."""
    for leftover in (folder.rglob if deep else folder.glob)(f".*{TEMPORARY}"):
        if _TEMPORARY_NAME.fullmatch(leftover.name):
            remove(leftover)


def _temporary(path: Path) -> Path:
    """Name a temporary file beside `path`; a long name is cut, as a file system allows 255 bytes."""
    name = os.fsdecode(os.fsencode(path.name)[:_LONGEST_STEM])
    return path.with_name(f".{name}.{uuid.uuid4().hex}{TEMPORARY}")


def _discard(temporary: Path) -> None:
    with suppress(OSError, ValueError):
        temporary.unlink()


def not_written(path: Path, error: OSError | ValueError) -> WriteError:
    return WriteError(f"{path}: cannot be written: {getattr(error, 'strerror', None) or error}")


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
