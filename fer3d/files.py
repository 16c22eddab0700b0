"""Read and write whole files, and report failures as errors of this package."""

from __future__ import annotations

import csv
import fcntl
import hashlib
import io
import json
import os
import platform
import re
import stat
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from fer3d.errors import Fer3dError, FileError, FormatError, LockedError, WriteError

# No scan or picture is larger. The limit protects the memory from a mistaken path, such as that of a disk image.
MAX_BYTES = 1 << 30

TEMPORARY = ".tmp"  # suffix of files that are being written
LOCK = ".fer3d-lock"  # the file that a process locks while it writes to a folder

_TEMPORARY_NAME = re.compile(rf"\..*\.[0-9a-f]{{32}}{re.escape(TEMPORARY)}", re.DOTALL)
_LONGEST_STEM = 150  # bytes of a file's name in that of its temporary file
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")  # all but tabs and line ends
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")


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
        raise _not_written(path, error) from error
    try:
        yield temporary
        temporary.replace(path)
    except BaseException as error:  # also an interruption from the keyboard leaves nothing behind
        _discard(temporary)
        if isinstance(error, OSError | ValueError) and not isinstance(error, Fer3dError):
            raise _not_written(path, error) from error
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


def clear_leftovers(folder: Path, *, deep: bool = True) -> None:
    """As `clear_temporaries`, for a folder that is not locked; nothing if it is missing or another process locks it."""
    if folder.is_dir():
        with suppress(LockedError), locked(folder, "fer3d"):
            clear_temporaries(folder, deep=deep)


@contextmanager
def locked(folder: Path, what: str) -> Iterator[None]:
    """Keep other processes from writing to a folder in the block; create the folder if it is missing.

    The system releases the lock of a process that dies. Where the file system has no locks, nothing is locked.

    Args:
        folder: The folder.
        what: What writes to it, such as "fer3d preprocess", for the message to a second process.

    Raises:
        LockedError: if another process holds the lock; names it and what it does.
        WriteError: if the folder cannot be written.
    """
    path = folder / LOCK
    descriptor = _lock(folder, path)
    try:
        os.write(descriptor, f"`{what}` (process {os.getpid()} on {platform.node()})\n".encode())
        yield
    finally:
        with suppress(OSError):
            path.unlink()  # before the release, so that the next process does not lock a file that is removed
        os.close(descriptor)


def _lock(folder: Path, path: Path) -> int:
    """Open and lock the lock file of a folder; return its descriptor."""
    while True:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise _not_written(path, error) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 1000).decode("utf-8", "replace").strip() or "another process"
            os.close(descriptor)
            raise LockedError(
                f"{folder}: {holder} is writing there; wait until it has ended, or choose another folder"
            ) from None
        except OSError:  # a file system without locks
            pass
        try:
            if os.fstat(descriptor).st_ino == path.stat().st_ino:
                os.ftruncate(descriptor, 0)
                return descriptor
        except FileNotFoundError:  # its holder removed it after it was opened
            pass
        os.close(descriptor)


def _temporary(path: Path) -> Path:
    """Name a temporary file beside `path`; a long name is cut, as a file system allows 255 bytes."""
    name = os.fsdecode(os.fsencode(path.name)[:_LONGEST_STEM])
    return path.with_name(f".{name}.{uuid.uuid4().hex}{TEMPORARY}")


def _discard(temporary: Path) -> None:
    with suppress(OSError, ValueError):
        temporary.unlink()


def _not_written(path: Path, error: OSError | ValueError) -> WriteError:
    return WriteError(f"{path}: cannot be written: {getattr(error, 'strerror', None) or error}")


def csv_text(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """Rows as CSV with a header, for spreadsheets: no text is taken for a formula there.

    A text that begins with `=`, `+`, `-`, `@`, a tab or a line end gets an apostrophe in front, unless it is a number.
    Control characters, which a terminal would obey, become escapes such as \\x1b.

    Args:
        columns: Names of the columns. Further keys of a row are left out; a missing key or None is an empty cell.
        rows: Column -> value.

    >>> csv_text(["file", "x"], [{"file": "=1+2", "x": -0.5}])
    "file,x\\n'=1+2,-0.5\\n"
    """
    lines = [_line(columns), *(_line([_cell(row.get(name)) for name in columns]) for row in rows)]
    return "".join(f"{line}\n" for line in lines)


def _line(cells: Sequence[Any]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerow(cells)  # so that a cell with either is quoted
    return text.getvalue().removesuffix("\r\n")


def _cell(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    value = _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", value)
    if not value.startswith(_FORMULA_STARTS):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value if value == value.strip() else f"'{value}"


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
    """Write JSON with sorted keys atomically; create the folder if needed. Raises WriteError if that fails."""
    write_text(path, json.dumps(content, indent=2, sort_keys=True) + "\n")


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
