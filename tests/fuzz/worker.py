"""One process of the fuzzer: it mutates, reads and judges its share of the inputs."""

from __future__ import annotations

import gzip
import os
import random
import resource
import shutil
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tests.fuzz.corpus import Seed, corpus
from tests.fuzz.judge import Verdict, judge
from tests.fuzz.mutations import Mutated, mutate

HEADROOM = 64 << 20  # bytes that reading a small file may take
BESIDE = 0.15  # share of inputs, of seeds with files beside them, in which one of those is mutated


class Bench:
    """Seeds in folders of their own, so that the files beside them are written once.

    Attributes:
        seeds: All seeds.
        whole: What each gives unchanged.
        headroom: Bytes of address space that judging an input may take.
    """

    headroom = HEADROOM

    def __init__(self, folder: Path, kinds: list[str] | None = None) -> None:
        self.seeds = [seed for seed in corpus() if not kinds or seed.kind in kinds]
        self.folders = [folder / str(i) for i in range(len(self.seeds))]
        self.by_kind: dict[str, list[int]] = {}
        for i, seed in enumerate(self.seeds):
            self.by_kind.setdefault(seed.kind, []).append(i)
            for name, content in seed.beside.items():
                place = self.folders[i] / name
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(content)
            self.folders[i].mkdir(parents=True, exist_ok=True)
        self.kinds = sorted(self.by_kind)
        self.whole = [self.read(i, seed.content) for i, seed in enumerate(self.seeds)]

    def path(self, i: int) -> Path:
        """The file of a seed that is read."""
        return self.folders[i] / self.seeds[i].file

    def input(self, seed: int, number: int) -> tuple[int, str | None, Mutated]:
        """The seed of an input, the file beside it that is mutated (None: itself), and the mutated content."""
        rng = random.Random(f"{seed} {number}")
        kind = self.kinds[rng.randrange(len(self.kinds))]
        rows = self.by_kind[kind]
        i = rows[rng.randrange(len(rows))]
        chosen = self.seeds[i]
        if chosen.beside and rng.random() < BESIDE:
            name = rng.choice(sorted(chosen.beside))
            content = chosen.beside[name]
            return i, name, mutate(rng, content, 0, [content], Path(name).suffix)
        others = [self.seeds[k].content for k in rng.sample(rows, min(3, len(rows)))]
        return i, None, mutate(rng, chosen.content, chosen.header, others, kind)

    def read(self, i: int, content: bytes, beside: str | None = None, cut: bool = False) -> Verdict:
        """Judge a seed with another content of itself or of a file beside it."""
        seed, path = self.seeds[i], self.path(i)
        size = len(content) + sum(map(len, seed.beside.values())) + len(seed.content)
        whole = (self.whole[i], seed.content) if cut and beside is None and not seed.packed else None
        if beside is None:
            path.write_bytes(self._packed(seed, content))
            return judge(path, size, seed.kind, whole)
        path.write_bytes(self._packed(seed, seed.content))
        (self.folders[i] / beside).write_bytes(content)
        try:
            return judge(path, size, seed.kind)
        finally:
            (self.folders[i] / beside).write_bytes(seed.beside[beside])

    def judge(self, i: int, beside: str | None, mutated: Mutated) -> Verdict:
        """Judge a mutated input."""
        return self.read(i, mutated.content, beside, mutated.steps == ("cut",))

    @staticmethod
    def _packed(seed: Seed, content: bytes) -> bytes:
        return gzip.compress(content, 1, mtime=0) if seed.packed else content


def bench_of(what: str, folder: Path, kinds: list[str] | None) -> Any:
    """A bench of "formats" (scans, landmarks, pictures) or of "files" (all that the package reads beside them)."""
    if what == "formats":
        return Bench(folder, kinds)
    from tests.fuzz.file_bench import FileBench  # imports nearly the whole package

    return FileBench(folder, kinds)


def work(
    what: str,
    folder: str,
    kinds: list[str] | None,
    seed: int,
    first: int,
    stop: int,
    step: int,
    progress: Any,
    answers: Any,
) -> None:
    """Judge the inputs first, first + step, ... below stop. `progress` holds the number of the input at work."""
    shutil.rmtree(folder, ignore_errors=True)  # of a process that died
    Path(folder).mkdir(parents=True)
    quiet = os.open(f"{folder}.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(quiet, 2)  # libtiff writes what it thinks of a file
    bench = bench_of(what, Path(folder), kinds)
    counts: dict[str, Counter[str]] = {kind: Counter() for kind in bench.kinds}
    limit_memory(bench.headroom)
    for done, number in enumerate(range(first, stop, step)):
        progress.value = number
        start = time.process_time()
        i, beside, mutated = bench.input(seed, number)
        verdict = bench.judge(i, beside, mutated)
        count = counts[bench.seeds[i].kind]
        count.update(("inputs", verdict.outcome))
        count["behind"] += mutated.behind or beside is not None
        count["microseconds"] += int(1e6 * (time.process_time() - start))
        if verdict.outcome == "finding":
            answers.put(("finding", number, bench.seeds[i].kind, verdict.about))
        if done % 500 == 499:
            limit_memory(bench.headroom)
            answers.put(("counts", {kind: dict(count) for kind, count in counts.items()}))
            for count in counts.values():
                count.clear()
    answers.put(("counts", {kind: dict(count) for kind, count in counts.items()}))
    answers.put(("end", first))
    progress.value = -1  # what takes long from here on is the end of the process


def limit_memory(headroom: int) -> None:
    """Let this process have `headroom` bytes more than it has now: what goes beyond becomes a MemoryError."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + headroom, most))


def minimised(bench: Any, i: int, beside: str | None, content: bytes, about: str, seconds: float = 5.0) -> bytes:
    """A shorter content with the same fault: pieces are left out, ever smaller ones."""
    end = time.monotonic() + seconds
    size = max(len(content) // 2, 1)
    while size:
        at = 0
        while at < len(content) and time.monotonic() < end:
            shorter = content[:at] + content[at + size :]
            if bench.read(i, shorter, beside).about == about:
                content = shorter
            else:
                at += size
        size //= 2
    return content
