"""Locks of folders: one process at a time writes to a prepared folder or a run."""

from __future__ import annotations

import fcntl
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fer3d.errors import LockedError
from fer3d.files.whole import clear_temporaries, not_written

LOCK = ".fer3d-lock"  # the file that a process locks while it writes to a folder


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


def clear_leftovers(folder: Path, *, deep: bool = True) -> None:
    """As `clear_temporaries`, for a folder that is not locked; nothing if it is missing or another process locks it."""
    if folder.is_dir():
        with suppress(LockedError), locked(folder, "fer3d"):
            clear_temporaries(folder, deep=deep)


def _lock(folder: Path, path: Path) -> int:
    """Open and lock the lock file of a folder; return its descriptor."""
    while True:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise not_written(path, error) from error
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
