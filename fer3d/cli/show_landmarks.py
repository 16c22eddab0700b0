"""Output of `landmarks` and `train landmarks`. Imported only when one of them runs."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from fer3d import formats
from fer3d.checks import check_choice
from fer3d.cli.terminal import ProgressBar, compile_first, console, duration, progress_bar, shown
from fer3d.errors import ArgumentError, FileError
from fer3d.formats.find import find_scans
from fer3d.formats.landmarks import scheme_of, written_suffix

if TYPE_CHECKING:
    from fer3d.prepare.landmarks.files import FindTask
    from fer3d.prepare.landmarks.found import FoundLandmarks
    from fer3d.prepare.landmarks.table import Result
    from fer3d.train.landmarks.command import DetectorPlan

FORMATS = ("json", "csv", "lm3", "bnd", "pp", "fcsv", "mrk.json")
_SHOWN = 10  # failures and doubts that are lines; the table has all
_ON_PAGE = 400  # scans on the page
_UNITS = {"simulate": "parts", "finder": "steps", "placer": "steps", "calibrate": "scans"}  # of training


@dataclass(frozen=True)
class Request:
    """What a user typed for `landmarks`, checked.

    Attributes:
        scans: Files.
        root: Folder that all of them are in.
        single: Whether it is one scan, whose points are printed or written to `out`.
        out: The file, or None; for several scans the folder.
        suffix: Suffix of the landmark files, which is the format.
        scheme, html, weights, workers, again: As the options of the command.
    """

    scans: tuple[Path, ...]
    root: Path
    single: bool
    out: Path | None
    suffix: str
    scheme: str | None
    html: Path | None
    weights: Path | None
    workers: int | None
    again: bool

    @staticmethod
    def of(
        items: Sequence[str],
        out: Path | None,
        format_: str | None,
        scheme: str | None,
        html: Path | None,
        weights: Path | None,
        workers: int | None,
        again: bool,
    ) -> Request:
        """Check what was typed.

        Raises:
            ArgumentError: if the format is none, or does not fit the file or the scheme; if `out` is a file and there
                are several scans; or if the file is there.
            FileError: if a folder holds no scan.
        """
        if format_ is not None:
            check_choice("--format", format_, FORMATS)
        scans = tuple(find_scans(items))
        for item in items:
            if Path(item).is_dir() and Path(item) in scans:
                raise FileError(f"{item}: holds no scan; its files should end in {', '.join(formats.scan_suffixes())}")
        in_folder = out is not None and (out.is_dir() or (format_ is None and not _is_landmark_name(out)))
        single = len(scans) == 1 and not Path(items[0]).is_dir() and not in_folder
        if single:
            suffix = written_suffix(out) if out is not None else f".{format_ or 'csv'}"
            if format_ is not None and suffix != f".{format_}":
                raise ArgumentError(f"`--format` should be that of --out, {suffix.removeprefix('.')}, is {format_}")
        else:
            suffix = f".{format_ or 'json'}"
            out = Path("landmarks") if out is None else out
            if not out.is_dir() and (out.exists() or _is_landmark_name(out)):
                several = "a folder" if len(scans) == 1 else f"{len(scans)} scans"
                raise ArgumentError(f"`--out` should be a folder for {several}, {out} is a file")
        written = scheme_of(suffix, scheme)
        if single and out is not None and out.exists() and not again:
            raise ArgumentError(f"{out}: is there already; --again replaces it")
        return Request(scans, _root(items, scans), single, out, suffix, written, html, weights, workers, again)


def _is_landmark_name(path: Path) -> bool:
    return any(path.name.lower().endswith(f".{name}") for name in FORMATS)


def _root(items: Sequence[str], scans: Sequence[Path]) -> Path:
    """The folder that the scans are in: the only one that was typed, or the deepest that holds all."""
    if len(items) == 1 and Path(items[0]).is_dir():
        return Path(items[0])
    places = [os.path.abspath(scan.parent) for scan in scans]  # noqa: PTH100  (links stay as they are)
    return Path(os.path.commonpath(places))


def run_landmarks(request: Request) -> int:
    """Find the landmarks, write the files and the page, print what came; return the number of scans that failed."""
    if request.single:
        _run_one(request)
        return 0
    return _run_many(request)


def _run_one(request: Request) -> None:
    """One scan: its errors end the command."""
    from fer3d.errors import PrepareError
    from fer3d.prepare.landmarks.files import detector_of, write_found
    from fer3d.prepare.landmarks.found import find_landmarks
    from fer3d.prepare.landmarks.table import Job, Result
    from fer3d.prepare.landmarks.wording import facts_of

    (path,) = request.scans
    detector = detector_of(request.weights)
    scan = formats.read(path, texture=False)
    try:
        found = find_landmarks(scan, detector=detector)
    except PrepareError as error:
        raise PrepareError(f"{path}: {error}") from None
    if request.out is not None:
        write_found(found, request.out, scan, request.scheme)
    else:
        with tempfile.TemporaryDirectory() as folder:
            printed = Path(folder) / f"points{request.suffix}"
            write_found(found, printed, scan, request.scheme)
            text = printed.read_text("utf-8")
    screen = console if request.out is not None else Console(stderr=True)
    _show_one(request, found, (*scan.warnings, *found.warnings), screen)
    if request.out is None:
        console.file.write(text)
    if request.html is not None:
        from fer3d.prepare.drawing import webp
        from fer3d.prepare.landmarks.portrait import portrait

        facts = facts_of(found, request.scheme) | {"warnings": "; ".join((*scan.warnings, *found.warnings))}
        _write_page(request.html, [Result(Job(path, path.name, path), "found", "", facts, webp(portrait(scan, found)))])
        screen.print(f"look at {shown(str(request.html))}", highlight=False, soft_wrap=True)


def _show_one(request: Request, found: FoundLandmarks, warnings: Sequence[str], screen: Console) -> None:
    """The summary of one scan."""
    from fer3d.prepare.landmarks.wording import axes_of, facts_of

    axes, facts = axes_of(found.pose), facts_of(found, request.scheme)
    hidden = f", {facts['hidden']} hidden" if facts["hidden"] else ""
    if not axes.near:
        along = f"turned {axes.degrees:.0f} degrees from the nearest axes, {axes.up} up and {axes.towards_camera} out"
    else:
        typed = axes.options or "+y up, +z towards the camera, as expected"
        along = f"{typed} (the head is turned {axes.degrees:.0f} degrees from there)"
    unit = _unit(found.unit, found.mm_per_unit)
    lines = {
        "face": f"probability {found.probability:.0%}",
        "unit": found.unit or f"{unit}: --unit {found.mm_per_unit:.3g}",
        "axes": along,
        "points": f"{facts['points']} placed{hidden}",
    }
    for name, text in lines.items():
        screen.print(f"[bold]{name:7}[/] {shown(text)}", highlight=False, soft_wrap=True)
    for warning in warnings:
        screen.print(f"[yellow]warning[/] {shown(warning)}", highlight=False, soft_wrap=True)
    if request.out is not None:
        screen.print(f"-> {shown(str(request.out))}", highlight=False, soft_wrap=True)


def _unit(unit: str | None, mm_per_unit: float) -> str:
    return unit if unit else f"{mm_per_unit:.3g} mm"


def _run_many(request: Request) -> int:
    from fer3d.kernels.compiling import FIND
    from fer3d.prepare.landmarks.files import FindTask, find_in_files, jobs_of
    from fer3d.prepare.landmarks.table import TABLE

    assert request.out is not None
    task = FindTask(request.scheme, request.weights, pictures=request.html is not None)
    jobs = jobs_of(request.scans, request.root, request.out, request.suffix)
    compile_first(FIND)
    began = time.monotonic()
    with progress_bar("finding") as bar:
        lines = _Lines(bar)
        workers = request.workers or len(os.sched_getaffinity(0))
        results = find_in_files(jobs, request.out, task, workers, again=request.again, progress=lines.tick)
    failed = sum(result.status == "failed" for result in results)
    kept = sum(result.status == "kept" for result in results)
    console.print(
        f"[bold]{len(results) - failed - kept}[/] found, {kept} kept from before, "
        f"[{'red' if failed else 'bold'}]{failed}[/] failed, {lines.doubtful} in doubt, in "
        f"{duration(time.monotonic() - began)} -> {shown(str(request.out / TABLE))}",
        highlight=False,
        soft_wrap=True,
    )
    if request.html is not None:
        _write_page(request.html, results, task)
        console.print(f"look at {shown(str(request.html))}", highlight=False, soft_wrap=True)
    return failed


class _Lines:
    """Lines above the progress bar: the first failures and doubts."""

    def __init__(self, bar: ProgressBar) -> None:
        self._bar = bar
        self.failed = self.doubtful = 0

    def tick(self, result: Result, done: int, total: int) -> None:
        """Show a result."""
        self._bar.update(done, total)
        if result.status == "failed":
            self.failed += 1
            if self.failed <= _SHOWN:
                self._bar.print(f"[red]failed[/] {shown(f'{result.job.name}: {result.reason}')}")
        elif result.warnings:
            self.doubtful += 1
            if self.doubtful <= _SHOWN:
                self._bar.print(f"[yellow]doubtful[/] {shown(f'{result.job.name}: {result.warnings}')}")


def _write_page(path: Path, results: Sequence[Result], task: FindTask | None = None) -> None:
    from fer3d.prepare.landmarks.files import doubtful_first, drawn
    from fer3d.prepare.landmarks.portrait import COLOURS
    from fer3d.report.landmarks import FaceTile, write_landmark_page

    chosen = doubtful_first(results)[:_ON_PAGE]
    if task is not None:
        with progress_bar("drawing", transient=True) as bar:
            chosen = drawn(chosen, task, bar.update)
    tiles = []
    for result in chosen:
        facts = result.facts
        if result.status == "failed":
            tiles.append(FaceTile(result.job.name, result.reason or "failed"))
            continue
        unit = _unit(facts["unit"] or None, float(facts["mm_per_unit"]))
        counts = int(facts["points"]), int(facts["hidden"])
        tiles.append(
            FaceTile(
                result.job.name, "", result.picture, result.probability, unit, facts["axes"], *counts, result.warnings
            )
        )
    failed = sum(result.status == "failed" for result in results)
    doubtful = sum(bool(result.warnings) for result in results)
    write_landmark_page(path, tiles, len(results), failed, doubtful, COLOURS)


def run_train_landmarks(out: Path, work: Path | None, plan: DetectorPlan, workers: int | None) -> None:
    """Train the landmark detector with a progress bar for each stage, then say how to use it."""
    from fer3d.train.landmarks.command import train_landmarks

    if out.is_dir():
        raise ArgumentError(f"`--out` should be a file of weights, {out} is a folder")
    began = time.monotonic()
    with _Stages() as stages:
        folder = out.with_suffix(".work") if work is None else work
        detector = train_landmarks(out, folder, plan, workers or len(os.sched_getaffinity(0)), stages.tick)
    limits = detector.calibration
    console.print(
        f"trained in {duration(time.monotonic() - began)}; a face below {limits.warn:.0%} gets a warning, one below "
        f"{limits.fail:.0%} fails -> {shown(str(out))}",
        highlight=False,
        soft_wrap=True,
    )
    console.print(f"fer3d landmarks SCANS --weights {shown(str(out))}", highlight=False, soft_wrap=True)


class _Stages(ExitStack):
    """A progress bar for each stage of a training, and a line at its end."""

    def __init__(self) -> None:
        super().__init__()
        self._stage, self._began = "", 0.0
        self._bar: ProgressBar | None = None

    def tick(self, stage: str, done: int, total: int, terms: dict[str, float]) -> None:
        """Show the progress of a stage."""
        if stage != self._stage or self._bar is None:
            self.close()
            self._stage, self._began = stage, time.monotonic()
            self._bar = self.enter_context(progress_bar(stage, _UNITS[stage]))
        self._bar.update(done, total)
        if done == total:
            loss = f", loss {sum(terms.values()):.3f}" if terms else ""
            spent = duration(time.monotonic() - self._began)
            self._bar.print(f"[bold]{stage}[/] {total} {_UNITS[stage]} in {spent}{loss}")
