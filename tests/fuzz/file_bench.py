"""Mutate a file of a folder, use the folder, and judge what came: as `tests.fuzz.worker.Bench`, for other files."""

from __future__ import annotations

import random
import resource
import shutil
import signal
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from fer3d.errors import CardError, CheckpointError, Fer3dError, FileError, FormatError
from tests.fuzz.file_kinds import Case, cases
from tests.fuzz.judge import HangError, Verdict, one_line, origin
from tests.fuzz.mutations import Mutated
from tests.fuzz.structured import mutate_file

SECONDS = 5.0  # processor time; a case reads several files, some of them twice
LONGEST = 900  # characters of a message, beside the path
NAMED = (CardError, CheckpointError, FileError, FormatError)  # errors whose message names the file
MEMORY = 64 << 10  # KiB that using a folder of small files may take
GONE = 0.02  # share of inputs in which the file is missing, or a folder


class FileSeed(NamedTuple):
    """A file of a case; as `tests.fuzz.corpus.Seed`.

    Attributes:
        kind: That of the case.
        name: Kind and path of the file.
        file: Path of the file in the folder.
        content: Its bytes.
        beside: Path -> bytes of the other files in the folder.
        case: Number of the case.
    """

    kind: str
    name: str
    file: str
    content: bytes
    beside: dict[str, bytes]
    case: int


class FileBench:
    """All cases in folders of their own.

    Attributes:
        seeds: One for each file that is mutated.
        kinds: Names of the kinds.
        whole: What each file gives unchanged.
        headroom: Bytes of address space that judging an input may take; libraries reserve more than they use.
    """

    headroom = 2 << 30

    def __init__(self, folder: Path, kinds: list[str] | None = None) -> None:
        self.cases: list[Case] = [case for case in cases() if not kinds or case.kind in kinds]
        self.folders = [folder / str(number) / case.kind for number, case in enumerate(self.cases)]
        self.seeds: list[FileSeed] = []
        self.states: list[dict[str, tuple[int, int, int]]] = []
        self.by_kind: dict[str, list[list[int]]] = {}
        for number, (case, place) in enumerate(zip(self.cases, self.folders, strict=True)):
            place.mkdir(parents=True)
            case.make(place)
            files = {str(path.relative_to(place)): path.read_bytes() for path in place.rglob("*") if path.is_file()}
            chosen = sorted({str(path.relative_to(place)) for glob in case.mutated for path in place.glob(glob)})
            rows = [name for name in chosen if name in files]
            assert rows, f"no file of {case.kind} matches {case.mutated}"
            self.by_kind.setdefault(case.kind, []).append(list(range(len(self.seeds), len(self.seeds) + len(rows))))
            self.seeds += [
                FileSeed(case.kind, f"{case.kind}: {name}", name, files[name], files, number) for name in rows
            ]
            self.states.append(_state(place))
        self.kinds = sorted(self.by_kind)
        self.whole = [
            self.read(rows[0], self.seeds[rows[0]].content) for part in self.by_kind.values() for rows in part
        ]

    def input(self, seed: int, number: int) -> tuple[int, None, Mutated]:
        """The file that an input mutates, and its content; the case is drawn first, so that none is rare."""
        rng = random.Random(f"{seed} {number} file")
        rows = rng.choice(self.by_kind[rng.choice(self.kinds)])
        i = rng.choice(rows)
        chosen = self.seeds[i]
        if rng.random() < GONE:
            return i, None, Mutated(b"", (rng.choice(("missing", "folder", "whole")),), True)
        others = [self.seeds[k].content for k in rng.sample(rows, min(3, len(rows)))]
        return i, None, mutate_file(rng, chosen.file, chosen.content, others)

    def judge(self, i: int, _beside: None, mutated: Mutated) -> Verdict:
        """Judge a mutated input."""
        return self.read(i, mutated.content, step=mutated.steps[0])

    def read(self, i: int, content: bytes, _beside: None = None, _cut: bool = False, step: str = "") -> Verdict:
        """Judge the use of a folder in which a file has another content."""
        seed = self.seeds[i]
        place = self.folders[seed.case]
        path = place / seed.file
        if step in ("missing", "folder"):
            path.unlink()
        if step == "folder":
            path.mkdir()
        elif step != "missing":
            path.write_bytes(content)
        try:
            return _judged(self.cases[seed.case], place, seed.file)
        finally:
            if step == "folder":
                shutil.rmtree(path)
            path.write_bytes(seed.content)
            self._restore(seed)

    def _restore(self, seed: FileSeed) -> None:
        """Undo what the use has written."""
        place, before = self.folders[seed.case], self.states[seed.case]
        now = _state(place)
        for name, state in now.items():
            if name not in before:
                (place / name).unlink()
            elif state != before[name] and name != seed.file:
                (place / name).write_bytes(seed.beside[name])
        for name in before.keys() - now.keys():
            (place / name).write_bytes(seed.beside[name])
        self.states[seed.case] = _state(place)


def _state(folder: Path) -> dict[str, tuple[int, int, int]]:
    found = {}
    for path in folder.rglob("*"):
        if path.is_file():
            status = path.stat()
            found[str(path.relative_to(folder))] = (status.st_ino, status.st_size, status.st_mtime_ns)
    return found


def _alarm(_signal: int, _frame: Any) -> None:
    raise HangError


def _judged(case: Case, place: Path, file: str) -> Verdict:
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # the peak so far becomes the memory of now
    before = _peak()
    verdict = _used(case, place, file)
    taken = _peak() - before
    if taken > MEMORY and verdict.outcome != "finding":
        return Verdict("finding", f"takes more than {MEMORY >> 10} MiB")
    return verdict


def _peak() -> int:
    """The largest resident memory of this process in KiB."""
    try:
        text = Path("/proc/self/status").read_text()
        return int(text.split("VmHWM:")[1].split()[0])
    except (OSError, IndexError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _used(case: Case, place: Path, file: str) -> Verdict:
    signal.signal(signal.SIGVTALRM, _alarm)
    signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            case.use(place)
        return Verdict("read", "")
    except HangError:
        return Verdict("finding", f"takes longer than {SECONDS} s")
    except Fer3dError as error:
        return _refused(error, place, file)
    except BaseException as error:
        return Verdict("finding", f"{type(error).__name__} {origin(error)}: {str(error)[:80]}")
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


def _refused(error: Fer3dError, place: Path, file: str) -> Verdict:
    text = str(error)
    if not one_line(text):
        return Verdict("finding", f"a message of several lines, or with control characters: {origin(error)}")
    if isinstance(error, NAMED) and str(place) not in text:
        return Verdict("finding", f"a message that names no file: {origin(error)}")
    if len(text) > LONGEST + 2 * len(str(place / file)):
        return Verdict("finding", f"a message of {len(text)} characters: {origin(error)}")
    return Verdict("refused", text)
