"""Prepare a data set in parallel. A run can be resumed, writes atomically, and continues after a bad scan.

Each scan is one task (`fer3d.prepare.tasks`). A failed task becomes a row of the manifest with the reason. A scan of an
earlier run is kept if its input and settings are the same. The bytes of the store depend neither on the number of
workers nor on interruptions. While a run writes to a folder, a second run is refused, and no reader opens the folder.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from fer3d import __version__
from fer3d.config import PreprocessSettings
from fer3d.errors import ArgumentError, Fer3dError, WriteError
from fer3d.files import clear_temporaries, locked
from fer3d.kernels.compiling import compile_kernels
from fer3d.prepare import recipe
from fer3d.prepare.scan import AxisConvention, needed_kernels
from fer3d.prepare.shards import EarlierPictures, ShardWriter, shard_size
from fer3d.prepare.store import PreparedScan, write_manifest
from fer3d.prepare.tasks import Outcome, PictureJob, PictureTask, ScanTask, run_tasks
from fer3d.prepare.warning_kinds import WarningKind, warning_kinds, without_landmarks
from fer3d.workers import worker_pool

if TYPE_CHECKING:
    from fer3d.catalog.cards import Card
    from fer3d.catalog.records import Catalog, Record

_COMMAND = "preprocess"


@dataclass(frozen=True)
class Summary:
    """The result of a run of `preprocess`.

    Attributes:
        out: The prepared folder.
        prepared, kept: Numbers of scans prepared in this run and kept from an earlier run.
        failures: (source, reason) of each failed scan.
        damaged: A line for each file of an earlier run that was damaged; its scan was prepared again.
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
    damaged: tuple[str, ...]
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
    up: str | None = None,
    towards_camera: str | None = None,
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
        up, towards_camera: The axes of the files that point up and to the camera, such as "+z" and "-y". None: as the
            card says. Other axes prepare the scans anew.
        workers: Number of processes. None: one per core. 1: run in this process, where `settings.time_limit_s` cannot
            interrupt native code.
        strict: Stop at the first scan that fails.
        progress: Called after each scan with its outcome and the total number of scans.
        compiling: Called with (kernels compiled, kernels to compile) if Numba's cache lacks any. All kernels are
            compiled before the first scan, each once, distributed to the workers.

    Returns:
        The counts and the failures.

    Raises:
        CardError: if no card fits the folder, or the card or the folds.toml beside it is not valid.
        ArgumentError: if `workers` is below 1, `out` belongs to another data set or was packed, or an axis is none,
            parallel to the other or given for pictures.
        ConfigError: if a setting was given that has no effect on such a data set.
        LockedError: if another process writes to `out`.
        WriteError: if `out` cannot be written. The next run goes on from there.
        StrictError: with `strict`, if a scan fails.
    """
    from fer3d.catalog import detection, records

    start = time.perf_counter()
    settings = settings or PreprocessSettings()
    scans, out = Path(scans), Path(out)
    if workers is not None and workers < 1:
        raise ArgumentError(f"`workers` should be at least 1, is {workers}")
    card, _ = detection.choose(scans, dataset)
    frame = card_axes(card, up, towards_camera)
    settings.check_used(settings.unused(pictures=card.kind == "pictures"))
    catalog = records.read_catalog(scans, card)
    run = _Run(scans, out, card, settings, frame, catalog, workers)
    dataset = card.name if dataset == "auto" else dataset
    _check_folds(card, dataset)
    try:
        with locked(out, "fer3d preprocess"):
            is_same = _open_folder(run, dataset)
            if card.kind == "scans":
                kernels = needed_kernels(settings)
                compile_kernels(kernels, worker_pool, run.processes or 1, compiling)
            outcomes: list[Outcome] = []
            with closing(_of_pictures(run) if card.kind == "pictures" else _of_scans(run, is_same)) as results:
                for outcome in results:
                    outcomes.append(outcome)
                    if progress is not None:
                        progress(outcome, len(catalog.records))
                    if strict and outcome.status == "failed":
                        raise StrictError(outcome.row["reason"])
            return _finish(run, outcomes, start)
    except WriteError as error:
        raise WriteError(f"{error}; `fer3d preprocess` again goes on from here once {out} can be written") from None


@dataclass(frozen=True)
class _Run:
    """The arguments of a run of `preprocess`."""

    scans: Path
    out: Path
    card: Card
    settings: PreprocessSettings
    frame: AxisConvention
    catalog: Catalog
    workers: int | None
    damaged: list[str] = field(default_factory=list)  # lines on files that are prepared again

    @property
    def records(self) -> Sequence[Record]:
        """The scans of the data set."""
        return self.catalog.records

    @property
    def processes(self) -> int:
        """Number of worker processes; 0: the run takes place in this process."""
        if self.workers == 1 or len(self.records) < 2:
            return 0
        return self.workers or len(os.sched_getaffinity(0))


class StrictError(Fer3dError, ValueError):
    """The first scan failed in a run with `strict`; the message is the reason."""


def card_axes(card: Card, up: str | None = None, towards_camera: str | None = None) -> AxisConvention:
    """Return the unit and the axes of a card, with the axes that the caller gives instead.

    Raises:
        ArgumentError: if an axis is none, parallel to the other, or given for pictures.
    """
    given = {"up": up, "towards_camera": towards_camera}
    if card.kind == "pictures":
        for name, axis in given.items():
            if axis is not None:
                raise ArgumentError(f"`{name}` is of scans, the data set {card.name} holds pictures: leave it out")
    return AxisConvention(card.unit, up or card.up, towards_camera or card.towards_camera)


def _of_scans(run: _Run, is_same: bool) -> Generator[Outcome]:
    """Prepare scans, each in a file of its own. `is_same`: an earlier run on the folder had the same settings."""
    places = (run.out / "scans" / f"{record.id}.safetensors" for record in run.records)
    preload = not (is_same and all(place.exists() for place in places))
    task = ScanTask(run.scans, run.out, run.settings, run.frame, preload)
    for _, outcome in run_tasks(
        task,
        run.records,
        run.processes,
        limit=run.settings.time_limit_s,
        begin=task.begin,
        died=task.died,
        late=task.late,
    ):
        yield outcome


def _of_pictures(run: _Run) -> Generator[Outcome]:
    """Prepare pictures and write them in shards. A shard is written here, when the last of its pictures is there."""
    task = PictureTask(run.scans, run.out, run.settings, run.card)
    earlier = EarlierPictures(run.out)
    run.damaged.extend(earlier.damaged)
    writer = ShardWriter(run.out, [record.id for record in run.records], shard_size(run.settings.size), earlier)
    kept: dict[str, PreparedScan] = {}  # those that are with a worker, which compares their keys
    damaged: dict[str, str] = {}

    def jobs() -> Generator[PictureJob]:
        for record in run.records:
            scan, fault = earlier.find(record.id)
            if fault:
                damaged[record.id] = fault
            if scan is not None:
                kept[record.id] = scan
            yield record, None if scan is None else dict(scan.header)

    for (record, _), (outcome, scan) in run_tasks(
        task,
        jobs(),
        run.processes,
        limit=run.settings.time_limit_s,
        begin=task.begin,
        died=lambda job: (task.died(job[0]), None),
        late=lambda job: (task.late(job[0]), None),
        may_start=lambda: not writer.is_full,
    ):
        stored = kept.pop(record.id, None)
        is_kept = outcome.status == "kept"
        writer.add(record.id, stored if is_kept else scan, is_kept)
        row = outcome.row if outcome.status == "failed" else writer.place(outcome.row)
        fault = damaged.pop(record.id, "") if outcome.status == "prepared" else ""
        yield replace(outcome, row=row, damaged=fault)
    writer.close()


def _check_folds(card: Card, dataset: str | Path) -> None:
    """Report a mistake in the folds.toml beside the card now, not at the start of training."""
    from fer3d.catalog.cards import card_file
    from fer3d.catalog.protocol_files import check_folds_file
    from fer3d.catalog.stored_card import FOLDS

    folds = card_file(dataset).with_name(FOLDS)
    if folds.is_file():
        check_folds_file(folds, card.name)


def _open_folder(run: _Run, dataset: str | Path) -> bool:
    """Make the folder, or check that it can be continued. `dataset` is the name or the path of the card.

    Returns whether an earlier run on it had the same settings.

    From here on until the manifest is written, no reader opens the folder.
    """
    from fer3d.catalog.folder_listing import TRUTH_FILE
    from fer3d.catalog.stored_card import store_card

    card, out = run.card, run.out
    before = recipe.facts_of(out) or {}
    owner = before.get("dataset")
    if owner not in (None, card.name):
        raise ArgumentError(f"`out` should be a new folder or one of {card.name}, {out} holds {owner}")
    if before.get("command", _COMMAND) != _COMMAND:
        raise ArgumentError(f"`out` should be a new folder or one of `fer3d preprocess`, {out} holds packed scans")
    clear_temporaries(out)
    facts = {
        "command": _COMMAND,
        "dataset": card.name,
        "fer3d": __version__,
        "settings": run.settings.model_dump(mode="json"),
        "simulated": (run.scans / TRUTH_FILE).is_file(),  # results on simulated faces must say so
        "notes": list(run.catalog.notes),
    }
    if card.kind == "scans":
        facts["axes"] = {"up": run.frame.up, "towards_camera": run.frame.towards_camera}
    recipe.begin(out, facts)
    store_card(dataset, out)
    return before == facts


def _finish(run: _Run, outcomes: Sequence[Outcome], start: float) -> Summary:
    from fer3d.prepare.contact_sheet import write_contact_sheet

    out = run.out
    rows = sorted((outcome.row for outcome in outcomes), key=lambda row: (row["id"], row["source"]))
    sheet = write_contact_sheet(out, rows)
    write_manifest(out, rows)  # the last write: it says that the folder is finished
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
        damaged=(*run.damaged, *sorted(outcome.damaged for outcome in outcomes if outcome.damaged)),
        notes=run.catalog.notes,
        strays=strays,
        seconds=time.perf_counter() - start,
        stages=stages,
        contact_sheet=sheet,
        warnings=warning_kinds(row for row in rows if row["status"] == "ok"),
        without_landmarks=without_landmarks(rows),
    )
