"""Landmarks of many scan files: one landmark file each, and a table of the results, in a folder that may be resumed."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from fer3d import formats
from fer3d.errors import Fer3dError, PrepareError, WriteError, internal_error, without_path
from fer3d.files import locked, remove, sha256
from fer3d.files.whole import not_written
from fer3d.formats.suffixes import named_suffix
from fer3d.prepare.drawing import webp
from fer3d.prepare.landmarks import weights
from fer3d.prepare.landmarks.find import Detector
from fer3d.prepare.landmarks.found import FoundLandmarks, find_landmarks
from fer3d.prepare.landmarks.portrait import portrait, whole
from fer3d.prepare.landmarks.table import Job, Result, Table
from fer3d.prepare.landmarks.wording import facts_of
from fer3d.prepare.tasks import run_tasks
from fer3d.scan import Scan

_LIMIT = 300.0  # s that a scan may take


@dataclass(frozen=True)
class FindTask:
    """Finds the landmarks of a scan file and writes them; it is pickled for the workers.

    Attributes:
        scheme: Points to write, as in `fer3d.formats.write_landmarks`.
        weights: File of weights; None: those of the package.
        pictures: Whether to draw the face.
        write: Whether to write the landmark file.
    """

    scheme: str | None = None
    weights: Path | None = None
    pictures: bool = False
    write: bool = True

    def begin(self) -> None:
        """Load the weights and the kernels, which takes seconds that do not count towards the limit."""
        from fer3d.face.load import builtin_face

        face = builtin_face()
        with suppress(PrepareError):
            find_landmarks(Scan.of(face.neutral, face.triangles), detector=detector_of(self.weights))

    def __call__(self, job: Job) -> Result:
        """Find and write; every error but one of writing becomes a failed result."""
        try:
            return self._found(job)
        except WriteError:
            raise
        except Fer3dError as error:
            return Result(job, "failed", without_path(str(error), str(job.scan)))
        except MemoryError:
            return Result(job, "failed", "not enough memory to find its landmarks")
        except Exception as error:  # a bug of ours: only this scan fails
            return Result(job, "failed", internal_error(error))

    def died(self, job: Job) -> Result:
        """The result of a scan that killed its process."""
        return Result(job, "failed", "the worker process died on it (out of memory, or a crash in a library)")

    def late(self, job: Job) -> Result:
        """The result of a scan that takes longer than the limit."""
        return Result(job, "failed", f"took longer than {_LIMIT:g} s")

    def _found(self, job: Job) -> Result:
        scan = formats.read(job.scan, texture=False)
        try:
            found = find_landmarks(scan, detector=detector_of(self.weights))
        except PrepareError as error:
            picture = None
            if self.pictures:
                with suppress(PrepareError):  # nothing of it is finite
                    picture = webp(whole(scan))
            return Result(job, "failed", without_path(str(error), str(job.scan)), picture=picture)
        if self.write:
            try:
                job.target.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise not_written(job.target, error) from error
            write_found(found, job.target, scan, self.scheme)
        facts = facts_of(found, self.scheme) | {"warnings": "; ".join((*scan.warnings, *found.warnings))}
        return Result(job, "found", "", facts, webp(portrait(scan, found)) if self.pictures else None)


@lru_cache(maxsize=1)
def detector_of(path: Path | None) -> Detector:
    """The detector of a file of weights, or that of the package; read once per process."""
    return weights.shipped() if path is None else weights.load(path)


def write_found(found: FoundLandmarks, path: Path, scan: Scan, scheme: str | None = None) -> None:
    """Write the points of a face with their confidence and visibility. Errors as `fer3d.formats.write_landmarks`."""
    rows = zip(found.names, found.positions, found.confidence, found.positions[:, 0], strict=True)
    points, confidence, visible = {}, {}, {}
    for name, position, share, x in rows:
        points[name], confidence[name], visible[name] = position, float(share), bool(x == x)
    formats.write_landmarks(points, path, scan=scan, scheme=scheme, confidence=confidence, visible=visible)


def jobs_of(scans: Sequence[Path], root: Path, out: Path, suffix: str) -> list[Job]:
    """Where the landmark file of each scan goes: into `out`, which mirrors the folders below `root`.

    Scans that differ only in their suffix keep it in the name of their landmark file.

    Args:
        scans: Scan files below `root`.
        root: The folder.
        out: Folder of the landmark files.
        suffix: Their suffix, such as ".json".
    """
    places = [Path(os.path.relpath(scan, root)) for scan in scans]
    bare = [place.with_name(place.name[: len(place.name) - len(named_suffix(place.name))]) for place in places]
    times = Counter(bare)
    return [
        Job(scan, place.as_posix(), out / place.parent / f"{(place if times[stem] > 1 else stem).name}{suffix}")
        for scan, place, stem in zip(scans, places, bare, strict=True)
    ]


def find_in_files(
    jobs: Sequence[Job],
    out: Path,
    task: FindTask,
    workers: int,
    *,
    again: bool = False,
    progress: Callable[[Result, int, int], None] = lambda *_: None,
) -> list[Result]:
    """Find the landmarks of scan files, write a file for each, and the table `landmarks.csv`.

    A scan is kept from an earlier run if its landmark file is newer than it and was made with the same settings.

    Args:
        jobs: As `jobs_of` lists them.
        out: Folder of the table.
        task: What is done with each.
        workers: Number of processes. 0: this process, where a crash of one scan would end all.
        again: Whether to keep nothing.
        progress: Called with each result, the number of results, and that of all scans.

    Returns:
        The results, in the order of `jobs`.

    Raises:
        ArgumentError: if a landmark file is there that no earlier run has written.
        FileError, FormatError: if the table of an earlier run is damaged, or a file cannot be written.
        CheckpointError: if the weights are damaged.
        LockedError: if another run writes to the folder.
    """
    task.begin()  # compiles the kernels once, and reports damaged weights
    with locked(out, "fer3d landmarks"):
        table = Table(out, _settings(task, jobs))
        table.check_own(jobs)
        results = {} if again else table.kept(jobs)
        table.plan(jobs, results)
        for number, result in enumerate(results.values(), 1):
            progress(result, number, len(jobs))
        due = [job for job in jobs if job not in results]
        try:
            for job, result in run_tasks(
                task, due, min(workers, len(due)), limit=_LIMIT, begin=task.begin, died=task.died, late=task.late
            ):
                if result.status == "failed" and task.write:
                    remove(job.target)
                results[job] = result
                table.add(result)
                progress(result, len(results), len(jobs))
        finally:
            table.write()
    return [results[job] for job in jobs]


def drawn(
    results: Sequence[Result], task: FindTask, progress: Callable[[int, int], None] = lambda *_: None
) -> list[Result]:
    """The results with a picture for each scan that has a face; faces of earlier runs are found once more."""
    look = replace(task, pictures=True, write=False)
    whole = []
    for number, result in enumerate(results, 1):
        if result.status == "failed" or result.picture is not None:
            whole.append(result)
            continue
        whole.append(replace(result, picture=look(result.job).picture))
        progress(number, len(results))
    return whole


def doubtful_first(results: Iterable[Result]) -> list[Result]:
    """The results, failed ones first, then those with warnings, each by their probability."""
    return sorted(results, key=lambda r: (r.status != "failed", not r.warnings, r.probability, r.job.name))


def _settings(task: FindTask, jobs: Sequence[Job]) -> str:
    """What the landmark files depend on besides the scans."""
    path = weights.SHIPPED_PATH if task.weights is None else task.weights
    suffixes = {"".join(job.target.suffixes[-1:]) for job in jobs}
    return f"{task.scheme or 'all'} {' '.join(sorted(suffixes))} weights {sha256(path)[:12]}"
