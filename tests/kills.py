"""Kills a run at any of its writes, as `kill -9` or a power cut would, and lists what a run leaves behind.

A write has three steps: before its temporary file is made, between that file and its move into place, and after. The
removal of a file counts as a write. A killed run does nothing more: it leaves its temporary file and its lock file.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

from fer3d.files import LOCK, whole

STEPS = ("before", "between", "after")
_TIMES = ("started", "seconds", "test_seconds", "scan_ms", "peak_mib")


class Killed(BaseException):
    """The run was killed."""


class Writes:
    """Counts the writes of the block of `watched`, and kills it at one of them.

    Attributes:
        names: The names of the files that were written or removed, in order.
    """

    def __init__(self, number: int = 0, step: str = "") -> None:
        self.names: list[str] = []
        self._at, self._step, self._dead = number, step, False

    def _passes(self, step: str) -> None:
        """Called at each step of the current write; kills the run at the chosen one."""
        if self._dead or (len(self.names) == self._at and step == self._step):
            self._dead = True
            raise Killed(f"write {self._at}, {step}")

    @contextmanager
    def watched(self) -> Iterator["Writes"]:
        """Watch the writes of the block."""
        temporary, replace, unlink = whole._temporary, Path.replace, Path.unlink

        def begin(path: Path) -> Path:
            self.names.append(path.name)
            self._passes("before")
            return temporary(path)

        def move(path: Path, target: Path) -> Path:
            self._passes("between")
            moved = replace(path, target)
            self._passes("after")
            return moved

        def drop(path: Path, missing_ok: bool = False) -> None:
            if self._dead or path.name == LOCK:
                return None if self._dead else unlink(path, missing_ok)
            if whole._TEMPORARY_NAME.fullmatch(path.name) or not path.exists():
                return unlink(path, missing_ok)
            self.names.append(f"-{path.name}")
            self._passes("before")
            unlink(path, missing_ok)
            return self._passes("after")

        with (
            mock.patch.object(whole, "_temporary", begin),
            mock.patch.object(Path, "replace", move),
            mock.patch.object(Path, "unlink", drop),
        ):
            yield self


def writes_of(run: Callable[[], object]) -> list[str]:
    """The names of the files that a run writes, or removes (with a minus), in order."""
    writes = Writes()
    with writes.watched():
        run()
    return writes.names


def kill_at(number: int, step: str, run: Callable[[], object]) -> bool:
    """Run, killed at a step of write `number`, from 1. Returns whether it came there: a removal has no "between"."""
    try:
        with Writes(number, step).watched():
            run()
    except Killed:
        return True
    return False


def content(folder: Path) -> dict[str, str]:
    """Relative path -> hash of every file below a folder; times and memory in it do not count."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(_timeless(path)).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _timeless(path: Path) -> bytes:
    if path.name in ("run.json", "done.json"):
        facts = json.loads(path.read_bytes())
        return json.dumps({name: value for name, value in facts.items() if name not in _TIMES}).encode()
    if path.name == "log.csv":
        return re.sub(rb"[^,\n]*\n", b"\n", path.read_bytes())  # the last column is `seconds`
    return path.read_bytes()
