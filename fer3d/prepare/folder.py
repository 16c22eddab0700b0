"""Prepare a data set in parallel. A run can be resumed, writes atomically, and continues after a bad scan.

Each scan is one task. A failed task becomes a row of the manifest with the reason. If a worker process dies, only the
scan that killed it is lost. A scan of an earlier run is kept if its input and settings are the same. The bytes of the
store depend neither on the number of workers nor on interruptions.
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
from fer3d.prepare.warning_kinds import WarningKind, warning_kinds, without_landmarks
from fer3d.workers import map_on_processes, worker_pool

if TYPE_CHECKING:
    from fer3d.catalog.cards import Card
    from fer3d.catalog.records import Record

_QUEUED = 3  # waiting tasks per worker: enough to keep it busy, few enough to stop soon


@dataclass(frozen=True)
class Outcome:
    """The result of preparing one scan.

    Attributes:
        record: The record of the catalogue.
        status: "prepared" in this run, "kept" from an earlier run, or "failed".
        row: The row of the manifest.
        seconds: Stage -> seconds, for a scan prepared in this run.
    """

    record: Record
    status: Literal["prepared", "kept", "failed"]
    row: dict[str, Any]
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Summary:
    """The result of a run of `preprocess`.

    Attributes:
        out: The prepared folder.
        prepared, kept: Numbers of scans prepared in this run and kept from an earlier run.
        failures: (source, reason) of each failed scan.
        notes: Remarks on the data set, one line each, such as a line of a label file without a picture.
        strays: Number of scan files in the folder that do not belong to this run; they are not changed.
        seconds: Wall time of the whole run.
        stages: Stage -> seconds, summed over scans.
        contact_sheet: Path of the contact sheet, or None if nothing was prepared.
        warnings: The warnings of the scans that are prepared, by kind, the commonest first.
        without_landmarks: Number of scans without landmarks, whose pose was found from the shape.
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
    warnings: tuple[WarningKind, ...] = ()
    without_landmarks: int = 0


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
        scans: A folder in the layout of a data set, or any folder of meshes.
        out: The folder to write. An earlier run there is continued.
        dataset: Name or path of a card, or "auto" to detect the card.
        settings: None for the defaults.
        workers: Number of processes. None: one per core. 1: run in this process.
        strict: Stop at the first scan that fails.
        progress: Called after each scan with its outcome and the total number of scans.
        compiling: Called with (kernels compiled, kernels to compile) if Numba's cache lacks any. All kernels are
            compiled before the first scan, each once, distributed to the workers.

    Returns:
        The counts and the failures.

    Raises:
        CardError: if no card fits the folder, or the card or the folds.toml beside it is not valid.
        ArgumentError: if `workers` is below 1, or `out` belongs to another data set.
        StrictError: with `strict`, if a scan fails.
    """
    from fer3d.catalog import detect, records

    start = time.perf_counter()
    settings = settings or PreprocessSettings()
    scans, out = Path(scans), Path(out)
    workers = workers if workers is not None else len(os.sched_getaffinity(0))
    if workers < 1:
        raise ArgumentError(f"`workers` should be at least 1, is {workers}")
    card, _ = detect.choose(scans, dataset)
    catalog = records.read_catalog(scans, card)
    frame = AxisConvention(card.unit, card.up, card.towards_camera)
    _open_folder(out, card, card.name if dataset == "auto" else dataset, settings, scans)

    if card.kind == "scans":
        some_without_landmarks = any("landmarks" not in record.files for record in catalog.records)
        compile_kernels(needed_kernels(settings, landmarks=not some_without_landmarks), worker_pool, workers, compiling)
    outcomes: list[Outcome] = []
    task = _Task(scans, out, settings, frame, card.kind == "pictures", card.names_people)
    for outcome in _run(list(catalog.records), task, workers):
        outcomes.append(outcome)
        if progress is not None:
            progress(outcome, len(catalog.records))
        if strict and outcome.status == "failed":
            raise StrictError(outcome.row["reason"])
    return _finish(out, outcomes, catalog.notes, start)


class StrictError(Fer3dError, ValueError):
    """The first scan failed in a run with `strict`; the message is the reason."""


@dataclass(frozen=True)
class _Task:
    """The common inputs of all scans of a run, pickled for the workers. Calling it prepares one scan."""

    scans: Path
    out: Path
    settings: PreprocessSettings
    frame: AxisConvention
    flat: bool = False  # whether the scans are pictures
    people: bool = True  # whether the data set names its subjects

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
        except Exception as error:  # a bug of ours: only this scan fails, not the run
            reason = f"{record.files['scan']}: {internal_error(error)}"
        return failure(record, reason, self.scans)


def failure(record: Record, reason: str, scans: Path) -> Outcome:
    """Return the outcome of a scan that could not be prepared."""
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
        return None  # the file was damaged: prepare the scan again


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
    """Make the folder, or check that it can be continued. `dataset` is the name or the path of the card."""
    from fer3d.catalog.cards import card_file
    from fer3d.catalog.folder_listing import TRUTH_FILE
    from fer3d.catalog.protocol_files import check_folds_file
    from fer3d.catalog.stored_card import FOLDS, store_card

    folds = card_file(dataset).with_name(FOLDS)
    if folds.is_file():  # report a mistake in it now, not at the start of training
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
        "simulated": (scans / TRUTH_FILE).is_file(),  # results on simulated faces must say so
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
        warnings=warning_kinds(row for row in rows if row["status"] == "ok"),
        without_landmarks=without_landmarks(rows),
    )
