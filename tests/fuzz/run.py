"""Read mutated files through the public functions, and print what became of them.

    python -m tests.fuzz.run [--inputs 20000] [--seed 0] [--workers 2] [--files] [--kinds .ply .glb] [--write]

With --files, the inputs are files beside scans: labels, cards, settings, runs, models, prepared folders, face models
(`tests.fuzz.file_kinds`), and each is read as the commands read it, within 5 seconds of processor time and 64 MiB.

Otherwise every input is an example of `tests/formats/examples`, or a file of our writers, with one to three
mutations, and gives a result that holds together or an error of this package that names the file: within 2 seconds and
64 MiB. Anything else is a finding: it is made as small as it goes and saved under build/fuzz/. The same seed gives the
same inputs, whatever the number of workers.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import platform
import shutil
import sys
import tempfile
import time
from collections import Counter
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from tests.fuzz.worker import bench_of, minimised, work

ROOT = Path(__file__).parents[2]
SAVED = ROOT / "build" / "fuzz"
RECORDS = {name: ROOT / "benchmarks" / "results" / f"{name}.md" for name in ("fuzz", "fuzz_files")}
STUCK = 30.0  # seconds after which a process that says nothing is ended: it hangs outside Python


class Run:
    """Processes, and what they have found so far.

    Attributes:
        counts: Kind -> number of inputs, and of each outcome.
        findings: (kind, what is wrong) -> numbers of the inputs.
    """

    def __init__(self, inputs: int, seed: int, workers: int, kinds: list[str] | None, what: str = "formats") -> None:
        self.what = what
        self.inputs, self.seed, self.workers, self.kinds = inputs, seed, workers, kinds
        self.counts: dict[str, Counter[str]] = {}
        self.findings: dict[tuple[str, str], list[int]] = {}
        self.context = multiprocessing.get_context("spawn")
        self.answers: Any = self.context.Queue()
        memory = Path("/dev/shm")
        self.folder = Path(tempfile.mkdtemp(prefix="fuzz-", dir=memory if os.access(memory, os.W_OK) else None))

    def start(self, worker: int, first: int) -> tuple[Any, Any]:
        """A process for every `workers`-th input from `first` on, and the number that it is at."""
        progress = self.context.Value("q", -1)
        folder = self.folder / str(worker)
        arguments = (
            self.what,
            str(folder),
            self.kinds,
            self.seed,
            first,
            self.inputs,
            self.workers,
            progress,
            self.answers,
        )
        process = self.context.Process(target=work, args=arguments, daemon=True)
        process.start()
        return process, progress

    def all(self, show: bool) -> None:
        """Run until all inputs are judged. A process that dies or hangs is a finding; the next input goes on."""
        running = {w: (*self.start(w, w), -1, time.monotonic()) for w in range(min(self.workers, self.inputs))}
        begin = time.monotonic()
        while running:
            time.sleep(0.05)
            self.collect()
            for worker, (process, progress, last, since) in list(running.items()):
                number = progress.value
                if number != last:
                    running[worker] = (process, progress, number, time.monotonic())
                    continue
                stuck = number >= 0 and process.is_alive() and time.monotonic() - since > STUCK
                if process.is_alive() and not stuck:
                    continue
                if stuck:
                    process.kill()
                process.join()
                self.collect()
                del running[worker]
                if process.exitcode != 0:
                    self.died(worker, number, process.exitcode, stuck)
                    if number + self.workers < self.inputs:
                        following = number + self.workers
                        running[worker] = (*self.start(worker, following), -1, time.monotonic())
            if show and sys.stderr.isatty():
                self.bar(time.monotonic() - begin)
        if show and sys.stderr.isatty():
            print(file=sys.stderr)
        self.collect()

    def died(self, worker: int, number: int, code: int, stuck: bool) -> None:
        """Note the input that a process died of."""
        if number < 0:
            raise SystemExit(f"worker {worker} ended with {code} before its first input")
        about = "hangs outside Python" if stuck else f"the process ends with {code}"
        self.findings.setdefault(("?", about), []).append(number)

    def collect(self) -> None:
        """Take the answers that are there."""
        while not self.answers.empty():
            kind, *rest = self.answers.get()
            if kind == "counts":
                for name, count in rest[0].items():
                    self.counts.setdefault(name, Counter()).update(count)
            elif kind == "finding":
                number, name, about = rest
                self.findings.setdefault((name, about), []).append(number)

    def bar(self, seconds: float) -> None:
        """One line on the terminal."""
        done = sum(count["inputs"] for count in self.counts.values())
        share = done / self.inputs
        filled = "#" * int(40 * share)
        rate = done / max(seconds, 1e-9)
        print(f"\r[{filled:<40}] {done:,} of {self.inputs:,}, {rate:,.0f}/s, {len(self.findings)} faults ",
              end="", file=sys.stderr, flush=True)  # fmt: skip

    def save(self, folder: Path) -> None:
        """Write one input a fault, minimised, with a line that says what is wrong."""
        shutil.rmtree(folder, ignore_errors=True)
        if not self.findings:
            return
        bench = bench_of(self.what, self.folder / "save", self.kinds)
        folder.mkdir(parents=True, exist_ok=True)
        for row, ((kind, about), numbers) in enumerate(sorted(self.findings.items())):
            i, beside, mutated = bench.input(self.seed, numbers[0])
            content = mutated.content
            if kind != "?" and content:  # what ends a process would end this one
                content = minimised(bench, i, beside, content, about)
            place = folder / f"{row:03d}"
            place.mkdir()
            for name, other in bench.seeds[i].beside.items():
                (place / name).parent.mkdir(parents=True, exist_ok=True)
                (place / name).write_bytes(content if name == beside else other)
            if beside is None:
                (place / bench.seeds[i].file).parent.mkdir(parents=True, exist_ok=True)
                (place / bench.seeds[i].file).write_bytes(content)
            else:
                (place / bench.seeds[i].file).write_bytes(bench.seeds[i].content)
            story = f"{about}\nseed {self.seed} input {numbers[0]}, {len(numbers)} such inputs\n"
            story += f"{bench.seeds[i].name}: {', '.join(mutated.steps)}\n"
            (place / "what.txt").write_text(story, encoding="utf-8")

    def table(self, seconds: float) -> str:
        """Markdown: counts of each kind."""
        head = "| kind | inputs | behind the header | read | warned | refused | findings | inputs/s of CPU |"
        lines = [head, "|---" * 8 + "|"]
        total: Counter[str] = Counter()
        for kind, count in sorted(self.counts.items()):
            lines.append(_row(kind, count))
            total.update(count)
        lines.append(_row("all", total))
        rate = total["inputs"] / max(seconds, 1e-9)
        faults = [
            f"- {kind}: {about} ({len(numbers)} inputs)" for (kind, about), numbers in sorted(self.findings.items())
        ]
        lines += ["", f"{rate:,.0f} inputs a second with {self.workers} processes.", "", *faults]
        return "\n".join(lines).rstrip()


def _row(kind: str, count: Counter[str]) -> str:
    inputs = max(count["inputs"], 1)
    rate = 1e6 * count["inputs"] / max(count["microseconds"], 1)
    return (
        f"| {kind} | {count['inputs']:,} | {count['behind'] / inputs:.0%} | {count['read']:,} | {count['warned']:,} "
        f"| {count['refused']:,} | {count['finding']:,} | {rate:,.0f} |"
    )


def main() -> int:
    """Parse the command line, run, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--files", action="store_true", help="files beside scans, instead of scans and pictures")
    parser.add_argument("--kinds", nargs="*", help="only these: suffixes, or kinds of files")
    parser.add_argument(
        "--write", action="store_true", help=f"also write the table to {RECORDS['fuzz'].parent.relative_to(ROOT)}"
    )
    arguments = parser.parse_args()
    what, record = ("files", "fuzz_files") if arguments.files else ("formats", "fuzz")
    run = Run(arguments.inputs, arguments.seed, arguments.workers, arguments.kinds, what)
    begin = time.monotonic()
    try:
        run.all(show=True)
        took = time.monotonic() - begin
        run.save(SAVED)
    finally:
        shutil.rmtree(run.folder, ignore_errors=True)
    report = run.table(took)
    print(report)
    if arguments.write:
        RECORDS[record].write_text(heading(arguments) + report + "\n", encoding="utf-8")
    if run.findings:
        print(f"\nminimised inputs: {SAVED}", file=sys.stderr)
    return 1 if run.findings else 0


def heading(arguments: argparse.Namespace) -> str:
    """What ran, where and when."""
    import PIL

    files, seconds = (" --files", 5) if arguments.files else ("", 2)
    command = f"python -m tests.fuzz.run{files} --inputs {arguments.inputs} --seed {arguments.seed}"
    return (
        f"# Mutated files\n\n{date.today().isoformat()}, Python {platform.python_version()}, NumPy {np.__version__}, "
        f"Pillow {PIL.__version__}, `{command}`\n\n"
        f"A finding is an input that gives neither a result that holds together nor one line that names the file, "
        f"within {seconds} seconds and 64 MiB.\n\n"
    )


if __name__ == "__main__":
    sys.exit(main())
