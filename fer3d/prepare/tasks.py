"""The tasks of a run of `preprocess`: one scan or picture each, in this process or in workers.

A task that fails, kills its process or takes longer than the limit becomes a failed `Outcome` with the reason; nothing
else is lost. A scan of an earlier run is kept if its input and settings are the same and its file is not damaged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from fer3d.config import PreprocessSettings
from fer3d.errors import Fer3dError, WriteError, internal_error
from fer3d.kernels.compiling import load_kernels
from fer3d.prepare.integrity import without_hint
from fer3d.prepare.scan import (
    AxisConvention,
    Stopwatch,
    is_current,
    needed_kernels,
    portable,
    prepare_record,
    problems_of,
    record_facts,
    source_of,
)
from fer3d.prepare.store import PreparedScan, read_scan, write_scan
from fer3d.workers import TimeUp, map_on_processes, time_limit

if TYPE_CHECKING:
    from fer3d.catalog.cards import Card
    from fer3d.catalog.records import Record

_QUEUED = 3  # waiting tasks per worker: enough to keep it busy, few enough to stop soon

Job = TypeVar("Job")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Outcome:
    """The result of preparing one scan.

    Attributes:
        record: The record of the catalogue.
        status: "prepared" in this run, "kept" from an earlier run, or "failed".
        row: The row of the manifest.
        seconds: Stage -> seconds, for a scan prepared in this run.
        damaged: What was wrong with the file that an earlier run had stored, in one line; "" if nothing was.
    """

    record: Record
    status: Literal["prepared", "kept", "failed"]
    row: dict[str, Any]
    seconds: dict[str, float] = field(default_factory=dict)
    damaged: str = ""


@dataclass(frozen=True)
class Task:
    """The common inputs of all scans of a run, pickled for the workers."""

    scans: Path
    out: Path
    settings: PreprocessSettings

    def begin(self) -> None:
        """Load in a new process what every task needs."""

    def failed(self, record: Record, reason: str) -> Outcome:
        """The outcome of a scan that could not be prepared."""
        return failure(record, reason, self.scans)

    def died(self, record: Record) -> Outcome:
        """The outcome of a scan that killed its process."""
        text = "the worker process died on it (out of memory, or a crash in a library)"
        return self.failed(record, f"{record.files['scan']}: {text}")

    def late(self, record: Record) -> Outcome:
        """The outcome of a scan that takes longer than the limit."""
        limit = f"took longer than time_limit_s, {self.settings.time_limit_s:g} s; --set time_limit_s=0 sets no limit"
        return self.failed(record, f"{record.files['scan']}: {limit}")

    def guarded(self, record: Record, prepare: Callable[[], Result]) -> Result | Outcome:
        """Call `prepare`. An error becomes the outcome of the record, except that nothing can be written."""
        try:
            return prepare()
        except WriteError:
            raise
        except Fer3dError as error:
            reason = str(error)
        except MemoryError:
            reason = f"{record.files['scan']}: not enough memory to prepare it"
        except Exception as error:  # a bug of ours: only this scan fails, not the run
            reason = f"{record.files['scan']}: {internal_error(error)}"
        return self.failed(record, reason)


@dataclass(frozen=True)
class ScanTask(Task):
    """Prepares and writes a scan."""

    frame: AxisConvention
    preload: bool = True  # whether to load the kernels at once: not if all scans are likely to be kept

    def begin(self) -> None:
        """Load the kernels, which takes seconds that do not count towards the limit."""
        if self.preload:
            load_kernels(needed_kernels(self.settings))

    def __call__(self, record: Record) -> Outcome:
        """Prepare the scan, or keep that of an earlier run."""
        stored, damaged = stored_scan(self.out / "scans" / f"{record.id}.safetensors")
        watch = Stopwatch()
        made = self.guarded(record, lambda: self._prepare(record, stored, watch))
        if isinstance(made, Outcome):
            return made
        if made is stored:
            return Outcome(record, "kept", dict(made.header["row"]))
        with watch.stage("write"):
            write_scan(self.out / "scans" / f"{record.id}.safetensors", made)
        return Outcome(record, "prepared", dict(made.header["row"]), watch.seconds, damaged)

    def _prepare(self, record: Record, stored: PreparedScan | None, watch: Stopwatch) -> PreparedScan:
        if stored is not None and is_current(stored.header, record, self.settings, self.scans, self.frame):
            return stored
        return prepare_record(record, self.settings, self.scans, self.frame, watch)


PictureJob = tuple["Record", "dict[str, Any] | None"]
"""A picture, and its header in the shard of an earlier run."""


@dataclass(frozen=True)
class PictureTask(Task):
    """Prepares a picture, without writing it: many pictures share a file."""

    card: Card

    def __call__(self, job: PictureJob) -> tuple[Outcome, PreparedScan | None]:
        """Prepare the picture; no picture for one that failed or is kept."""
        record, header = job
        watch = Stopwatch()
        made = self.guarded(record, lambda: self._prepare(record, header, watch))
        if isinstance(made, Outcome):
            return made, None
        if made is None:
            return Outcome(record, "kept", dict((header or {})["row"])), None
        return Outcome(record, "prepared", dict(made.header["row"]), watch.seconds), made

    def _prepare(self, record: Record, header: dict[str, Any] | None, watch: Stopwatch) -> PreparedScan | None:
        """The picture, or None if the one of the header is current."""
        from fer3d.prepare.picture import picture_is_current, prepare_picture

        crops = self.card.crops
        if header is not None and picture_is_current(header, record, self.settings, self.scans, crops=crops):
            return None
        return prepare_picture(record, self.settings, self.scans, self.card.names_people, watch, crops=crops)


def failure(record: Record, reason: str, scans: Path) -> Outcome:
    """Return the outcome of a scan that could not be prepared."""
    row = record_facts(record) | {
        "status": "failed",
        "reason": portable(reason, scans),
        "source": source_of(record.files["scan"], scans),
        "warnings": problems_of(record, scans),
    }
    return Outcome(record, "failed", row)


def run_tasks(
    task: Callable[[Job], Result],
    jobs: Iterable[Job],
    workers: int,
    *,
    limit: float,
    begin: Callable[[], None],
    died: Callable[[Job], Result],
    late: Callable[[Job], Result],
    may_start: Callable[[], bool] = lambda: True,
) -> Iterator[tuple[Job, Result]]:
    """Yield each job with its result, in the order of completion.

    With 0 workers the jobs run in this process. There the limit of seconds works as far as Python code runs, while a
    worker is killed whatever it does.
    """
    if not workers:
        for job in jobs:
            try:
                with time_limit(limit):
                    result = task(job)
            except TimeUp:
                result = late(job)
            yield job, result
        return
    yield from map_on_processes(
        task,
        jobs,
        workers,
        died=died,
        queued=_QUEUED,
        begin=begin,
        limit=limit,
        late=late,
        may_start=may_start,
    )


def stored_scan(path: Path) -> tuple[PreparedScan | None, str]:
    """The scan that an earlier run stored, or None; and what is damaged in its file, or ""."""
    try:
        return (read_scan(path) if path.exists() else None), ""
    except Fer3dError as error:
        return None, without_hint(error)
