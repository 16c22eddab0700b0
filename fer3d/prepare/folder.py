"""A data set through `prepare`, in parallel: resumable, atomic, and never stopped by one bad scan.

Each scan is one task. A task that fails is a line of the manifest with its reason; a worker process that dies takes
nothing with it but the scan that killed it. What is on disk from an earlier run is kept when input and settings are
the same. The store's bytes depend on neither the number of workers nor on interruptions.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from fer3d import __version__
from fer3d.config import PreprocessSettings
from fer3d.errors import ArgumentError, Fer3dError, internal_error
from fer3d.files import clear_temporaries, write_json
from fer3d.kernels.compiling import compile_kernels
from fer3d.prepare.scan import (
    AxisConvention,
    Stopwatch,
    is_current,
    needed_kernels,
    portable,
    prepare_record,
    record_facts,
    relative,
)
from fer3d.prepare.store import PreparedScan, read_header, write_manifest, write_scan
from fer3d.workers import map_on_processes, worker_pool

if TYPE_CHECKING:
    from fer3d.catalog.cards import Card
    from fer3d.catalog.records import Record

_QUEUED = 3  # tasks a worker has waiting: enough to never idle, few enough to stop soon


@dataclass(frozen=True)
class Outcome:
    """What became of one scan.

    Attributes:
        record: The catalogue's line.
        status: "prepared" now, "kept" from an earlier run, or "failed".
        row: Its manifest row.
        seconds: Stage -> seconds, for a scan prepared now.
    """

    record: Record
    status: Literal["prepared", "kept", "failed"]
    row: dict[str, Any]
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Summary:
    """What became of a run.

    Attributes:
        out: The prepared folder.
        prepared, kept: Numbers of scans made now and kept from an earlier run.
        failures: (source, reason) of each scan that failed.
        notes: One line each about the folder, such as a line of a label file that no picture belongs to.
        strays: Scan files in the folder that are not of this run; they are left alone.
        seconds: Wall time of the whole run.
        stages: Stage -> seconds, summed over scans.
        contact_sheet: Its path, or None if nothing was prepared.
    """

    out: Path
    prepared: int
    kept: int
    failures: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    strays: int
    seconds: float
    stages: dict[str, float]
    contact_sheet: Path | None


def preprocess(
    scans: str | Path,
    out: str | Path = "prepared",
    dataset: str | Path = "auto",
    settings: PreprocessSettings | None = None,
    *,
    workers: int | None = None,
    strict: bool = False,
    progress: Callable[[Outcome, int], None] | None = None,
    compiling: Callable[[int, int], None] | None = None,
) -> Summary:
    """Prepare every scan of a folder.

    Args:
        scans: Folder in the layout of a data set, or any folder of meshes.
        out: Folder to write; what an earlier run left there is continued.
        dataset: Name of a card, path of one, or "auto" to look which one fits.
        settings: None for the defaults.
        workers: Processes. None: one a core. 1: in this process.
        strict: Stop at the first scan that fails.
        progress: Called after each scan with its outcome and the number of scans in all.
        compiling: Called with the numbers of kernels compiled and to compile, if Numba's cache lacks any: before the
            first scan all are compiled, each once, shared out to the workers.

    Returns:
        The counts and the failures.

    Raises:
        CardError: if no card fits the folder, or the card or the folds.toml beside it is wrong.
        ArgumentError: if `workers` is below 1, or `out` belongs to another data set.
        PrepareError, FormatError, FileError: with `strict`, what the first failing scan raised.
    """
    from fer3d.catalog import detect, records

    start = time.perf_counter()
    settings = settings or PreprocessSettings()
    scans, out = Path(scans), Path(out)
    workers = workers if workers is not None else len(os.sched_getaffinity(0))
    if workers < 1:
        raise ArgumentError(f"`workers` should be at least 1, is {workers}")
    card, _ = detect.choose(scans, dataset)
    found = records.read_catalog(scans, card)
    frame = AxisConvention(card.unit, card.up, card.towards_camera)
    _open_folder(out, card, card.name if dataset == "auto" else dataset, settings, scans)

    if card.kind == "scans":
        shape = any("landmarks" not in record.files for record in found.records)
        compile_kernels(needed_kernels(settings, landmarks=not shape), worker_pool, workers, compiling)
    outcomes: list[Outcome] = []
    task = _Task(scans, out, settings, frame, card.kind == "pictures", card.names_people)
    for outcome in _run(list(found.records), task, workers):
        outcomes.append(outcome)
        if progress is not None:
            progress(outcome, len(found.records))
        if strict and outcome.status == "failed":
            raise StrictError(outcome.row["reason"])
    return _finish(out, outcomes, found.notes, start)


class StrictError(Fer3dError, ValueError):
    """With `strict`, the reason of the first scan that failed."""


@dataclass(frozen=True)
class _Task:
    """What all scans of a run share; pickled to the workers."""

    scans: Path
    out: Path
    settings: PreprocessSettings
    frame: AxisConvention
    flat: bool = False  # pictures
    people: bool = True  # whether the data set says who is who

    def _is_current(self, header: dict[str, Any], record: Record) -> bool:
        if self.flat:
            from fer3d.prepare.picture import picture_is_current

            return picture_is_current(header, record, self.settings, self.scans)
        return is_current(header, record, self.settings, self.scans, self.frame)

    def _prepared(self, record: Record, watch: Stopwatch) -> PreparedScan:
        if self.flat:
            from fer3d.prepare.picture import prepare_picture

            return prepare_picture(record, self.settings, self.scans, self.people, watch)
        return prepare_record(record, self.settings, self.scans, self.frame, watch)

    def __call__(self, record: Record) -> Outcome:
        path = self.out / "scans" / f"{record.id}.safetensors"
        watch = Stopwatch()
        try:
            header = _header(path)
            if header is not None and self._is_current(header, record):
                return Outcome(record, "kept", header["row"])
            prepared = self._prepared(record, watch)
            with watch.stage("write"):
                write_scan(path, prepared)
            return Outcome(record, "prepared", dict(prepared.header["row"]), watch.seconds)
        except Fer3dError as error:
            reason = str(error)
        except MemoryError:
            reason = f"{record.files['scan']}: not enough memory to prepare it"
        except Exception as error:  # a bug of ours: it may cost this scan, not the run
            reason = f"{record.files['scan']}: {internal_error(error)}"
        return failure(record, reason, self.scans)


def failure(record: Record, reason: str, scans: Path) -> Outcome:
    """The outcome of a scan that could not be prepared."""
    row = record_facts(record) | {
        "status": "failed",
        "reason": portable(reason, scans),
        "source": relative(record.files["scan"], scans),
        "warnings": [portable(text, scans) for text in record.problems],
    }
    return Outcome(record, "failed", row)


def _header(path: Path) -> dict[str, Any] | None:
    try:
        return read_header(path) if path.exists() else None
    except Fer3dError:
        return None  # damaged from outside: made again


def _run(records: Sequence[Record], task: _Task, workers: int) -> Iterator[Outcome]:
    if workers == 1 or len(records) < 2:
        yield from map(task, records)
        return

    def died(record: Record) -> Outcome:
        reason = f"{record.files['scan']}: the worker process died on it (out of memory, or a crash in a library)"
        return failure(record, reason, task.scans)

    for _, outcome in map_on_processes(task, records, workers, died=died, queued=_QUEUED):
        yield outcome


def _open_folder(out: Path, card: Card, dataset: str | Path, settings: PreprocessSettings, scans: Path) -> None:
    """Make the folder, or check that it is one to continue. `dataset` is the name or the path of the card."""
    from fer3d.catalog.cards import card_file
    from fer3d.catalog.folder_listing import TRUTH_FILE
    from fer3d.catalog.protocol_files import check_folds_file
    from fer3d.catalog.stored_card import FOLDS, store_card

    folds = card_file(dataset).with_name(FOLDS)
    if folds.is_file():  # a mistake in it is said now, not when the scans are made and somebody wants to train
        check_folds_file(folds, card.name)
    recipe = out / "prepare.json"
    if recipe.is_file():
        try:
            owner = json.loads(recipe.read_text(encoding="utf-8"))["dataset"]
        except (OSError, ValueError, KeyError):
            owner = None
        if owner not in (None, card.name):
            raise ArgumentError(f"`out` should be a new folder or one of {card.name}, {out} holds {owner}")
        clear_temporaries(out)
    store_card(dataset, out)
    content = {
        "dataset": card.name,
        "fer3d": __version__,
        "settings": settings.model_dump(mode="json"),
        "simulated": (scans / TRUTH_FILE).is_file(),  # results on simulated faces are to be called that
    }
    write_json(recipe, content)


def _finish(out: Path, outcomes: Sequence[Outcome], notes: tuple[str, ...], start: float) -> Summary:
    from fer3d.prepare.contact_sheet import write_contact_sheet

    rows = sorted((outcome.row for outcome in outcomes), key=lambda row: (row["id"], row["source"]))
    write_manifest(out, rows)
    sheet = write_contact_sheet(out, rows)
    stages: dict[str, float] = {}
    for outcome in outcomes:
        for stage, seconds in outcome.seconds.items():
            stages[stage] = stages.get(stage, 0.0) + seconds
    mine = {row["file"] for row in rows if row["status"] == "ok"}
    strays = sum(f"scans/{path.name}" not in mine for path in (out / "scans").glob("*.safetensors"))
    return Summary(
        out=out,
        prepared=sum(outcome.status == "prepared" for outcome in outcomes),
        kept=sum(outcome.status == "kept" for outcome in outcomes),
        failures=tuple((row["source"], row["reason"]) for row in rows if row["status"] == "failed"),
        notes=notes,
        strays=strays,
        seconds=time.perf_counter() - start,
        stages=stages,
        contact_sheet=sheet,
    )
