"""The table of the results of a folder of landmark files, which also says which files a run may replace.

It lists each file that a run is about to write before it writes it. A file that is there and not listed is somebody
else's, such as a data set's own landmarks.
"""

from __future__ import annotations

import csv
import io
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fer3d.errors import ArgumentError, FormatError
from fer3d.files import brief_line, csv_text, read_bytes, write_text

TABLE = "landmarks.csv"
COLUMNS = (
    "file", "status", "reason", "probability", "unit", "mm_per_unit", "axes", "points", "hidden", "warnings",
    "landmarks", "settings",
)  # fmt: skip
_FACTS = ("probability", "unit", "mm_per_unit", "axes", "points", "hidden", "warnings")
_PAUSE, _SHARE = 5.0, 20.0  # the table is written every 5 s, or after 20 times as long as it takes to write
_AGAIN = "delete it, and the landmark files beside it that it lists"


@dataclass(frozen=True)
class Job:
    """A scan file and what is to be written.

    Attributes:
        scan: The file.
        name: Its path in the table.
        target: The landmark file.
    """

    scan: Path
    name: str
    target: Path


@dataclass(frozen=True)
class Result:
    """What became of a scan.

    Attributes:
        job: The scan.
        status: "found", "kept" from an earlier run, or "failed".
        reason: Why it failed, in one line.
        facts: Column of the table -> value.
        picture: The face with its points, or all of a scan without a face, as a WebP file, if it was wanted.
    """

    job: Job
    status: str
    reason: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    picture: bytes | None = None

    @property
    def warnings(self) -> str:
        """The doubts, with semicolons between them."""
        return str(self.facts.get("warnings") or "")

    @property
    def probability(self) -> float:
        """Probability that this is the face; 0 if none was found."""
        return float(self.facts.get("probability") or 0.0)


class Table:
    """The table of a folder. It is written now and then, so that a killed run loses little."""

    def __init__(self, out: Path, settings: str) -> None:
        self._path, self._out, self._settings = out / TABLE, out, settings
        self._rows = {row["landmarks"]: row for row in read_table(self._path)} if self._path.exists() else {}
        self._written, self._cost = time.monotonic(), 0.0

    def check_own(self, jobs: Sequence[Job]) -> None:
        """Raise ArgumentError if a landmark file is there that the table does not list."""
        for job in jobs:
            if self._key(job) not in self._rows and job.target.exists():
                raise ArgumentError(
                    f"{job.target}: is there, and not from `fer3d landmarks`; it stays as it is: give another folder, "
                    "such as `-o landmarks`"
                )

    def kept(self, jobs: Sequence[Job]) -> dict[Job, Result]:
        """The results of earlier runs that still hold."""
        kept = {}
        for job in jobs:
            row = self._rows.get(self._key(job), {})
            same = row.get("status") == "found" and row.get("settings") == self._settings
            if same and row["file"] == _listed(job.name) and _newer(job.target, job.scan):
                kept[job] = Result(job, "kept", "", {name: row[name] for name in _FACTS})
        return kept

    def plan(self, jobs: Sequence[Job], kept: Mapping[Job, Result]) -> None:
        """Write the table with all files that are to come."""
        for job in jobs:
            waiting = {"file": job.name, "status": "waiting", "landmarks": self._key(job), "settings": self._settings}
            if job not in kept:
                self._rows[self._key(job)] = waiting
        self.write()

    def add(self, result: Result) -> None:
        """Add a result."""
        self._rows[self._key(result.job)] = {
            "file": result.job.name,
            "status": result.status,
            "reason": result.reason,
            **result.facts,
            "landmarks": self._key(result.job),
            "settings": self._settings,
        }
        if time.monotonic() - self._written > max(_PAUSE, _SHARE * self._cost):
            self.write()

    def write(self) -> None:
        """Write the table."""
        began = time.monotonic()
        write_text(self._path, csv_text(COLUMNS, self._rows.values()))
        self._written = time.monotonic()
        self._cost = self._written - began

    def _key(self, job: Job) -> str:
        return _listed(Path(os.path.relpath(job.target, self._out)).as_posix())


def read_table(path: Path) -> list[dict[str, str]]:
    """The rows of the table of an earlier run.

    Raises:
        FileError, FormatError: if it cannot be read, or is no such table.
    """
    try:
        lines = io.StringIO(read_bytes(path).decode(), newline="")
        rows = [{name: _plain(cell) for name, cell in row.items()} for row in csv.DictReader(lines, strict=True)]
        for row in rows:
            if row["status"] == "found":
                _ = [float(row[name]) for name in ("probability", "mm_per_unit")]
                _ = [int(row[name]) for name in ("points", "hidden")]
    except (ValueError, csv.Error, AttributeError, KeyError) as error:
        raise FormatError(
            f"{path}: a table of `fer3d landmarks` was wanted: {brief_line(str(error))}; {_AGAIN}"
        ) from None
    if any(set(row) != set(COLUMNS) for row in rows) or not rows:
        raise FormatError(f"{path}: the columns {', '.join(COLUMNS)} were wanted, it has others; {_AGAIN}")
    return rows


def _listed(text: str) -> str:
    """A name as it reads back from the table, where some characters are escapes."""
    content = csv_text(("name",), [{"name": text}]).encode("utf-8", "backslashreplace").decode()
    return _plain(list(csv.reader(io.StringIO(content, newline="")))[1][0])


def _plain(cell: str) -> str:
    """The text of a cell without the apostrophe that keeps a spreadsheet from computing it."""
    return cell[1:] if cell.startswith("'") else cell


def _newer(target: Path, scan: Path) -> bool:
    try:
        return target.stat().st_mtime_ns >= scan.stat().st_mtime_ns
    except OSError:
        return False
