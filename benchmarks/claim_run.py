"""Measure a claim: see that it may be measured, run its jobs in a worktree, write the verdict. It may be stopped."""

import fcntl
import hashlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import claim_git
from claim_file import Claim, claim_file, read_claim
from claim_page import PAGE, page
from claim_rows import add_rows, committed_rows, job_rows, rows_file
from claim_verdict import check_verdicts, judge, read_verdicts, used_seeds, verdict_text, verdicts_file

from fer3d.errors import ConfigError, FileError

LIMIT_S = 20 * 60  # of a job, all its commands together
_READY = ".claim-setup-done"  # in the worktree, when the commands of `setup` have run


@dataclass(frozen=True)
class Measurement:
    """One try of a claim that may be measured: its file, its commit, and the folder to work in."""

    root: Path
    file: Path
    claim: Claim
    number: int
    commit: str
    folder: Path

    @property
    def attempt(self):
        """The try, as the claim file states it."""
        return self.claim.tries[self.number - 1]

    @property
    def statement(self):
        """See `Claim.statement`."""
        return self.claim.statement(self.number)

    @property
    def tree(self):
        """The worktree."""
        return self.folder / "tree"

    def tasks(self):
        """(job, part, seed) in the order in which they run."""
        return [
            (job, part, seed) for seed in self.attempt.seeds for job in self.claim.jobs for part in range(job.parts)
        ]

    def rows(self):
        """Committed rows of this try."""
        return [row for row in committed_rows(self.root, self.file) if row["try"] == str(self.number)]


def run(root, name, work=None):
    """Measure the first try of a claim that has no verdict.

    Args:
        root: The checkout.
        work: Folder to work in, kept but for the worktree. None: one of the system's for temporary files, removed.

    Returns:
        The verdict.

    Raises:
        Fer3dError: if the claim may not be measured: one line that says why. Nothing has run then.
        SystemExit: if a job failed or took too long. Run again to go on.
    """
    measurement = admit(root, name, work)
    with locked(measurement.folder) as lock:
        claim_git.make_worktree(root, measurement.tree, measurement.commit)
        set_up(measurement, lock)
        work_off(measurement, lock)
        verdict = conclude(measurement)
        claim_git.remove_worktree(root, measurement.tree)
        if work is None:
            shutil.rmtree(measurement.folder)
    return verdict


def admit(root, name, work):
    """The measurement that is to be made, if all that a claim promises is kept; errors as `run`."""
    file = claim_file(root, name)
    claim = read_claim(file)
    if claim.measured_before_stated:
        raise ConfigError(
            f"{file}: was measured before it was stated (seeds {', '.join(map(str, claim.tries[0].seeds))}): "
            "state it in a file of its own, with unused seeds"
        )
    claim_git.check_committed(root, file)
    claim_git.check_committed(root, verdicts_file(file), may_be_missing=True)
    claim_git.check_only_grown(root)
    number = open_try(file, claim)
    check_seeds(root, file, claim, number)
    commit = claim_git.full_commit(root, file, claim.tries[number - 1].commit)
    claim_git.check_frozen(root, file, claim, commit)
    base = work if work is not None else Path(tempfile.gettempdir()) / f"fer3d-claims-{_short(str(root))}"
    measurement = Measurement(root, file, claim, number, commit, base.resolve() / f"{name}-{claim.statement(number)}")
    check_rows(measurement)
    return measurement


def open_try(file, claim):
    """Number of the first try without a verdict.

    Raises:
        ConfigError: if every try has its verdict.
    """
    check_verdicts(file, claim)
    verdicts = read_verdicts(file)
    if len(verdicts) == len(claim.tries):
        last = verdicts[-1]
        raise ConfigError(
            f"{file}: try {last.number} has its verdict ({last.verdict}), which stays: "
            "state a second [[try]] with unused seeds"
        )
    return len(verdicts) + 1


def check_seeds(root, file, claim, number):
    """See that nothing has used the seeds of a try.

    Raises:
        ConfigError: names the first that is used, and by what.
    """
    used = used_seeds(root, file.stem, number)
    for seed in claim.tries[number - 1].seeds:
        if seed in used:
            raise ConfigError(f"{file}: `seeds`: wanted unused ones, got {seed}, which {used[seed]} has")


def check_rows(measurement):
    """See that rows which are there are of the claim as it is stated, and say if some were never committed."""
    for row in measurement.rows():
        if row["statement"] != measurement.statement:
            raise ConfigError(
                f"{measurement.file}: wanted what its first rows measured (statement {row['statement']}), "
                f"has changed since (now {measurement.statement})"
            )
    target = rows_file(measurement.file)
    now = target.read_text(encoding="utf-8") if target.is_file() else None
    if now != claim_git.committed_text(measurement.root, target):
        say(f"{target}: what is not committed does not count, and is written anew")


@contextmanager
def locked(folder):
    """Nobody else works in the folder meanwhile. A job that outlives this process keeps the lock until it ends."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise FileError(f"{folder}: another run of this claim, or a job of it, is still at work") from None
        yield stream.fileno()


def set_up(measurement, lock):
    """Run the commands of `setup` in a new worktree."""
    ready = measurement.tree / _READY
    if not ready.exists():
        start = time.perf_counter()
        call("setup", measurement.claim.setup, measurement, lock)
        ready.touch()
        say(f"setup in {measurement.folder}: {time.perf_counter() - start:.0f} s")


def work_off(measurement, lock):
    """Run every job that has no committed rows yet, and commit its rows."""
    tasks = measurement.tasks()
    for place, (job, part, seed) in enumerate(tasks, 1):
        if is_done(measurement, job, part, seed):
            continue
        claim_git.check_frozen(measurement.root, measurement.file, measurement.claim, measurement.commit)
        start = time.perf_counter()
        rows = run_job(measurement, job, part, seed, lock)
        label = f"{job.name}, part {part}, seed {seed} ({place} of {len(tasks)})"
        say(f"{label}: {time.perf_counter() - start:.0f} s, {len(rows)} rows")


def is_done(measurement, job, part, seed):
    """Whether a job need not run: its rows are committed, or, where it only makes data, nothing needs them."""
    done = {(row["job"], int(row["part"]), int(row["seed"])) for row in measurement.rows()}
    if job.gives_rows:
        return (job.name, part, seed) in done
    return all((other.name, k, s) in done for other, k, s in measurement.tasks() if other.gives_rows and s == seed)


def run_job(measurement, job, part, seed, lock):
    """Run the commands of a job unless they have run; commit and return its rows."""
    folder = measurement.folder / f"seed-{seed}"
    folder.mkdir(exist_ok=True)
    words = {"seed": seed, "part": part, "work": folder}
    label = f"{job.name}-{part}-seed-{seed}"
    done = measurement.folder / f"{label}.done"
    if not done.exists():
        call(label, job.commands, measurement, lock, words)
        if not claim_git.is_clean(measurement.tree, measurement.commit):
            raise SystemExit(f"job {label}: wanted the worktree as committed, it has changed a file that git tracks")
        done.touch()
    if not job.gives_rows:
        return []
    path = None if job.rows is None else measurement.tree / job.rows.format(**words)
    runs = None if job.runs is None else {name: measurement.tree / f.format(**words) for name, f in job.runs.items()}
    try:
        rows = job_rows(measurement.claim, path, runs)
    except Exception:
        done.unlink()  # the job is to run again, not its file to be read again
        raise
    where = (measurement.number, measurement.statement, job.name, part, seed)
    add_rows(measurement.root, measurement.file, measurement.claim, where, rows)
    return rows


def call(label, commands, measurement, lock, words=None):
    """Run commands in the worktree, what they print in a log.

    Raises:
        SystemExit: if one fails, or all together take longer than `LIMIT_S`.
    """
    log = measurement.folder / f"{label}.log"
    end = time.monotonic() + LIMIT_S
    for command in commands:
        filled = [word.format(**words) if words else word for word in shlex.split(command)]
        with log.open("ab") as stream:
            code = finish(filled, measurement.tree, stream, end - time.monotonic(), lock)
        if code is None:
            raise SystemExit(
                f"job {label}: stopped after {LIMIT_S / 60:g} minutes; run the claim again to go on with it"
            )
        if code:
            lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            last = f": {lines[-1]}" if lines else ""
            raise SystemExit(
                f"job {label}: `{shlex.join(filled)}` ended with exit code {code}{last} (all of it: {log})"
            )


def finish(words, tree, stream, seconds, lock):
    """Exit code of a command, or None if it took too long; then it is killed with its children."""
    environment = claim_git.environment() | {"OMP_WAIT_POLICY": "PASSIVE"}
    streams = {"stdin": subprocess.DEVNULL, "stdout": stream, "stderr": subprocess.STDOUT}
    try:
        process = subprocess.Popen(
            words, cwd=tree, env=environment, start_new_session=True, pass_fds=(lock,), **streams
        )
    except OSError as error:
        stream.write(f"{words[0]}: {error.strerror}\n".encode())
        return 127
    try:
        return process.wait(max(seconds, 0))
    except subprocess.TimeoutExpired:
        return None
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def conclude(measurement):
    """Write and commit the verdict and the page of all claims."""
    root, file = measurement.root, measurement.file
    claim_git.check_committed(root, file)
    stated_in = claim_git.claim_commit(root, file)
    verdict = judge(measurement.claim, measurement.number, measurement.rows(), measurement.commit, stated_in)
    target = verdicts_file(file)
    before = claim_git.committed_text(root, target)
    target.write_text((f"{before}\n" if before else "") + verdict_text(verdict), encoding="utf-8")
    (root / PAGE).write_text(page(root), encoding="utf-8")
    claim_git.commit_files(root, f"{target.name}: try {verdict.number}, {verdict.verdict}", target, root / PAGE)
    return verdict


def say(line):
    """Progress."""
    print(line, file=sys.stderr, flush=True)


def _short(text):
    return hashlib.sha256(text.encode()).hexdigest()[:8]
