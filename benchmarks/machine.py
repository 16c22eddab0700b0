"""What the benchmarks share: where they ran, one core for what is timed, a report that is printed as it comes."""

import os
import platform
import subprocess
import time
from contextlib import contextmanager
from datetime import date
from pathlib import Path


def where():
    """Processor, cores, Python, date and commit, for the head of a report."""
    return (
        f"{processor()}, {len(os.sched_getaffinity(0))} cores, Python {platform.python_version()}, "
        f"{date.today().isoformat()}, commit {commit()}"
    )


def processor():
    """Name of the processor, where the system tells it."""
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text(encoding="utf-8").splitlines() if facts.is_file() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def commit():
    """The commit that ran, short."""
    command = ["git", "rev-parse", "--short", "HEAD"]
    done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


@contextmanager
def one_core():
    """Everything of this process on one core."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def best(call, least=1.0):
    """CPU milliseconds of the fastest of as many runs as fit in `least` seconds, at least two after one to warm up."""
    call()
    times = []
    while len(times) < 2 or sum(times) < least:
        start = time.process_time()
        call()
        times.append(time.process_time() - start)
    return 1e3 * min(times)


def said(block):
    """Print and hand on."""
    print(block, flush=True)
    print(flush=True)
    return block
