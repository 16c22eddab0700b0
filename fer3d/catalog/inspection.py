"""Inspect a folder of scans (`fer3d inspect`): what it holds, what is missing, and what cannot be read."""

from __future__ import annotations

import math
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from fer3d.catalog.cards import Card
from fer3d.catalog.detection import Detection, choose
from fer3d.catalog.folder_listing import list_folder
from fer3d.catalog.records import Catalog, Record, read_catalog
from fer3d.catalog.targets import targets_in
from fer3d.checks import check_range
from fer3d.errors import Fer3dError, FileError
from fer3d.kernels.extents import main_extents
from fer3d.workers import worker_pool

if TYPE_CHECKING:
    from fer3d.catalog.duplicates import Fingerprint

CHUNK = 8  # files per task of a worker: few enough for smooth progress, enough to make communication cheap


@dataclass(frozen=True, slots=True)
class Missing:
    """A class for which a subject has fewer scans (or sequences) than in a complete copy of the data set."""

    subject: str
    expression: str
    wanted: int
    got: int
    intensities: tuple[int, ...] = ()  # the missing intensities, where the card lists them


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A file that could not be read; `reason` is the message of the reader."""

    relative: str
    role: str
    reason: str


@dataclass(frozen=True, slots=True)
class ClassCount:
    """The number of scans (or sequences, as the card says) of a class whose number the card states.

    Attributes:
        part: A part such as "train", or None for the whole data set.
        label: A canonical label, or another label of the data set.
        wanted, got: Expected and actual number.
    """

    part: str | None
    label: str
    wanted: int
    got: int


@dataclass(frozen=True, slots=True)
class Duplicate:
    """Two copies of a picture that would leak across a split.

    Attributes:
        first, second: Relative paths of the two pictures.
        kind: "exact" or "near"; see `fer3d.catalog.duplicates`.
        groups: Their parts, or their subjects in a data set without parts.
        labels: Their labels.
    """

    first: str
    second: str
    kind: str
    groups: tuple[str, str]
    labels: tuple[str | None, str | None]


@dataclass(frozen=True)
class Inspection:
    """The state of a folder of scans.

    Attributes:
        catalog: Its records, extra files and notes.
        detection: The result of card detection, or None if the caller named the card.
        counts: (expression or None, intensity or None) -> number of scans.
        targets: Name of a target other than the expression -> number of scans with a known value.
        sequences: Number of sequences.
        missing: Scans of the card's `expected` that are missing for the subjects in the folder.
        absent: Subjects of the card's `expected` without any scan.
        unexpected: Subjects that are not in the card's list, if it has one.
        gaps: Sequence -> frame numbers missing between its first and its last frame.
        without: Role -> number of scans without that companion.
        read: Whether the files were read.
        unreadable: Files that cannot be read.
        warned: Relative path -> warnings of its reader.
        sizes: Relative path -> lengths along x, y and z of the file, in its unit, without crumbs and stray points.
        classes: Class counts that the card states, for the parts in the folder.
        duplicates: Duplicates across parts or subjects, if the pictures were read.
        near_searched: False if there were too many pairs to search for near duplicates.
    """

    catalog: Catalog
    detection: Detection | None
    counts: Mapping[tuple[str | None, int | None], int]
    targets: Mapping[str, int]
    sequences: int
    missing: tuple[Missing, ...]
    absent: tuple[str, ...]
    unexpected: tuple[str, ...]
    gaps: Mapping[str, tuple[int, ...]]
    without: Mapping[str, int]
    read: bool
    unreadable: tuple[Unreadable, ...]
    warned: Mapping[str, tuple[str, ...]]
    sizes: Mapping[str, tuple[float, float, float]]
    classes: tuple[ClassCount, ...] = ()
    duplicates: tuple[Duplicate, ...] = ()
    near_searched: bool = True

    @property
    def subjects(self) -> tuple[str, ...]:
        """The subjects in the folder, sorted."""
        return tuple(sorted({record.subject for record in self.catalog.records}))

    @property
    def errors(self) -> tuple[Record, ...]:
        """The records that must not be used."""
        return tuple(record for record in self.catalog.records if record.error is not None)


def inspect(
    folder: str | Path,
    dataset: str | Path = "auto",
    *,
    labels: str | Path | None = None,
    read: bool = False,
    workers: int | None = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Inspection:
    """Inspect a folder of scans.

    Args:
        folder: The folder.
        dataset: "auto", the name of a shipped card, or the path of a card.
        labels: A label table. None: `labels.csv` in the folder, if it exists.
        read: Also read every scan and its landmarks, to find unreadable files. This takes minutes, not seconds.
        workers: Number of reading processes. 1: read in this process; None: one process per core.
        progress: Called with (files read, files in total) after each chunk of files, if `read`.

    Raises:
        FileError: if the folder is missing, or a worker process died.
        CardError: if no card fits, or the card or the label table is wrong.
        ArgumentError: if `workers` is less than 1.
    """
    workers = os.cpu_count() or 1 if workers is None else workers
    check_range("workers", workers, 1, math.inf)
    listing = list_folder(folder)
    card, detection = choose(folder, dataset, listing=listing)
    catalog = read_catalog(folder, card, labels=labels, listing=listing)
    records = catalog.records
    flat = card.kind == "pictures"
    outcomes = _read_all(records, flat, workers, progress) if read else []
    prints = {outcome.relative: outcome.mark for outcome in outcomes if outcome.mark is not None}
    duplicates, near_searched = _duplicates(records, prints)
    subjects = {record.subject for record in records}
    listed = card.expected.subjects
    return Inspection(
        catalog=catalog,
        detection=detection,
        counts=Counter((record.expression, record.intensity) for record in records),
        targets={name: count for name, count in targets_in(map(_facts, records)).items() if name != "expression"},
        sequences=len({record.sequence for record in records} - {None}),
        missing=tuple(_missing(records, card)),
        absent=tuple(subject for subject in listed if subject not in subjects),
        unexpected=tuple(sorted(subjects - set(listed))) if listed else (),
        gaps=_gaps(records),
        without={
            role: absent
            for role, companion in card.companions.items()
            if (absent := sum(role not in record.files for record in records)) and companion.wanted
        },
        read=read,
        unreadable=tuple(failure for outcome in outcomes for failure in outcome.failures),
        warned={outcome.relative: outcome.warnings for outcome in outcomes if outcome.warnings},
        sizes={outcome.relative: outcome.size for outcome in outcomes if outcome.size is not None},
        classes=tuple(_class_counts(records, card)),
        duplicates=duplicates,
        near_searched=near_searched,
    )


def _facts(record: Record) -> dict[str, Any]:
    return {name: getattr(record, name) for name in ("compound", "valence", "arousal", "action_units", "absent_units")}


def label_of(record: Record) -> str | None:
    """Return the expression of a record, or the name of its class if that is not a canonical label."""
    return record.expression or record.attributes.get("expression")


def _class_counts(records: Sequence[Record], card: Card) -> Iterator[ClassCount]:
    """Compare the class counts of the card with the records. Parts that are not in the folder are skipped."""
    members: dict[tuple[str | None, str | None], set[str]] = defaultdict(set)
    for record in records:
        name = record.sequence if card.expected.counted == "sequences" and record.sequence else record.id
        for part in (None, record.attributes.get("part")):
            members[part, label_of(record)].add(name)
    parts = {part for part, _ in members}
    tables: list[tuple[str | None, dict[str, int]]] = [(None, card.expected.classes), *card.expected.parts.items()]
    for part, counts in tables:
        if part in parts:
            for label, wanted in counts.items():
                yield ClassCount(part, label, wanted, len(members[part, label]))


def _duplicates(records: Sequence[Record], prints: Mapping[str, Fingerprint]) -> tuple[tuple[Duplicate, ...], bool]:
    """Find duplicates across parts or, without parts, across subjects; and tell whether near ones were searched."""
    from fer3d.catalog.duplicates import duplicates, too_many

    pictures = [record for record in records if record.relative in prints]
    if not pictures:
        return (), True
    parted = any("part" in record.attributes for record in pictures)
    groups = [record.attributes.get("part", "none") if parted else record.subject for record in pictures]
    pairs = duplicates([prints[record.relative] for record in pictures], groups)
    result = tuple(
        Duplicate(
            pictures[i].relative,
            pictures[j].relative,
            kind,
            (groups[i], groups[j]),
            (label_of(pictures[i]), label_of(pictures[j])),
        )
        for i, j, kind in pairs
    )
    return result, not too_many(groups)


def _missing(records: Iterable[Record], card: Card) -> Iterator[Missing]:
    """Yield what is missing for each subject. A sequence counts once."""
    per_class: dict[tuple[str, str | None], set[object]] = defaultdict(set)
    intensities: dict[tuple[str, str | None], set[int | None]] = defaultdict(set)
    subjects = set()
    for record in records:
        key = record.subject, record.expression
        subjects.add(record.subject)
        per_class[key].add(record.sequence or record.id)
        intensities[key].add(record.intensity)
    for subject in sorted(subjects):
        for expression, wanted in card.expected.per_subject.items():
            key = subject, expression
            if isinstance(wanted, int):
                if len(per_class[key]) < wanted:
                    yield Missing(subject, expression, wanted, len(per_class[key]))
            elif lacking := tuple(level for level in wanted if level not in intensities[key]):
                yield Missing(subject, expression, len(wanted), len(wanted) - len(lacking), lacking)


def _gaps(records: Iterable[Record]) -> dict[str, tuple[int, ...]]:
    """Return the frames missing within each sequence."""
    frames: dict[str, set[int]] = defaultdict(set)
    for record in records:
        if record.sequence is not None and record.frame is not None:
            frames[record.sequence].add(record.frame)
    gaps = {name: _between(numbers) for name, numbers in sorted(frames.items())}
    return {name: numbers for name, numbers in gaps.items() if numbers}


def _between(numbers: set[int]) -> tuple[int, ...]:
    """Return the numbers missing between the least and the greatest, at most 1000: file names may hold any number."""
    ordered = sorted(numbers)
    lacking: list[int] = []
    for low, high in pairwise(ordered):
        lacking.extend(range(low + 1, min(high, low + 1 + 1000 - len(lacking))))
    return tuple(lacking)


def _read_all(
    records: Sequence[Record], flat: bool, workers: int, progress: Callable[[int, int], None] | None
) -> list[Outcome]:
    """Read the scan and landmarks, or the picture, of every record; the results in the order of the records."""
    jobs = [
        Job(r.relative, r.files["scan"], r.files.get("landmarks"), dict(r.attributes) if flat else None)
        for r in records
    ]
    chunks = [jobs[start : start + CHUNK] for start in range(0, len(jobs), CHUNK)]
    results: list[Outcome] = []
    for part in _read_chunks(chunks, workers):
        results.extend(part)
        if progress is not None:
            progress(len(results), len(jobs))
    return sorted(results, key=lambda result: result.relative)


class Job(NamedTuple):
    """A file to read; `picture` holds the attributes of a record whose scan is a picture."""

    relative: str
    scan: Path
    landmarks: Path | None
    picture: dict[str, str] | None


class Outcome(NamedTuple):
    """The result of reading the files of one `Job`."""

    relative: str
    failures: list[Unreadable]
    warnings: tuple[str, ...]
    mark: Fingerprint | None = None
    size: tuple[float, float, float] | None = None


def _read_chunks(chunks: Sequence[Sequence[Job]], workers: int) -> Iterator[list[Outcome]]:
    if workers == 1:
        yield from map(_read_chunk, chunks)
        return
    try:
        with worker_pool(min(workers, max(1, len(chunks)))) as pool:
            for future in as_completed([pool.submit(_read_chunk, chunk) for chunk in chunks]):
                yield future.result()
    except BrokenProcessPool as error:
        raise FileError("a worker process died while it read scans: with workers=1 it can be seen which") from error


def _read_chunk(jobs: Sequence[Job]) -> list[Outcome]:
    """Read a chunk in a worker process. Top-level, with arguments and results that can be pickled."""
    from fer3d import formats

    outcomes: list[Outcome] = []
    for relative, scan, landmarks, picture in jobs:
        if picture is not None:
            outcomes.append(_read_one_picture(relative, scan, picture))
            continue
        failures: list[Unreadable] = []
        warnings: tuple[str, ...] = ()
        size = None
        try:
            read = formats.read(scan)
            warnings = read.warnings
            x, y, z = main_extents(read.vertices, read.faces).tolist() if len(read.faces) else (math.nan,) * 3
            size = (x, y, z) if math.isfinite(x) else None
        except Fer3dError as error:
            failures.append(Unreadable(relative, "scan", str(error)))
        if landmarks is not None:
            try:
                formats.read_landmarks(landmarks)
            except Fer3dError as error:
                failures.append(Unreadable(relative, "landmarks", str(error)))
        outcomes.append(Outcome(relative, failures, warnings, size=size))
    return outcomes


def _read_one_picture(relative: str, path: Path, attributes: Mapping[str, str]) -> Outcome:
    from fer3d.catalog.duplicates import fingerprint
    from fer3d.catalog.record_pictures import read_record_picture

    try:
        return Outcome(relative, [], (), fingerprint(read_record_picture(path, attributes).pixels))
    except Fer3dError as error:
        return Outcome(relative, [Unreadable(relative, "picture", str(error))], ())
