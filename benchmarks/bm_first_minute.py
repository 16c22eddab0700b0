"""The first minute: `fer3d preprocess` on the demo's scans, with Numba's cache empty (cold) and filled (warm).

    python benchmarks/bm_first_minute.py [--before-python CHECKOUT/.venv/bin/python] [--rounds 3] [--write]

`--before-python` is the Python of another installed checkout (`git worktree add`, `make install`): the two then take
turns, each round one cold and one warm run of each. Wall time is what a user waits; CPU time, of all processes, says
the same on a machine with other work. The load is the mean number of processes that wanted to run in the minute before
a run: with more than the workers on as many cores, compare CPU times. Both must write the same bytes.
"""

import argparse
import hashlib
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from machine import said, where

RESULTS = Path(__file__).parent / "results"
DEMO = ("--subjects", "24", "--levels", "3,4")
SIZE = "96"


def main():
    """Parse the command line and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before-python", type=Path, help="Python of an installed checkout to compare with")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--scans", type=Path, help="the demo's scans, if at hand; else they are simulated")
    parser.add_argument("--write", action="store_true", help=f"also write the table to {RESULTS.name}/")
    arguments = parser.parse_args()
    sides = {"now": Path(sys.executable)}
    if arguments.before_python:
        sides = {"before": arguments.before_python.absolute()} | sides
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scans = arguments.scans.absolute() if arguments.scans else simulate(folder)
        runs = [run for turn in range(arguments.rounds) for run in one_round(turn, sides, scans, folder, arguments)]
    report = said(table(sides, runs, arguments))
    if arguments.write:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "first_minute.md").write_text(report + "\n", encoding="utf-8")


def simulate(folder):
    """The demo's scans."""
    fer3d(Path(sys.executable), folder, folder / "synth_cache", "synth", folder / "scans", *DEMO)
    return folder / "scans"


def one_round(turn, sides, scans, folder, arguments):
    """A row (side, cold or warm, wall s, CPU s, load, hash of what was written) for each run."""
    for side, python in sides.items():
        for state in ("cold", "warm"):
            out = folder / f"{side}_{state}_{turn}"
            words = ("preprocess", scans, "-o", out, "--size", SIZE, "--workers", arguments.workers)
            load = os.getloadavg()[0]
            wall, cpu = fer3d(python, folder, folder / f"cache_{side}_{turn}", *words)
            yield side, state, wall, cpu, load, digest(out)


def fer3d(python, folder, cache, *words):
    """Run a command from a folder that holds no package; its wall and CPU seconds, all processes together."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = [str(python), "-B", "-m", "fer3d", *map(str, words)]
    environment = os.environ | {"NUMBA_CACHE_DIR": str(cache)}
    subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, check=True)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def digest(out):
    """Of the arrays of every prepared scan; headers name the version and the order of keys."""
    from safetensors.numpy import load_file

    total = hashlib.sha256()
    for path in sorted((out / "scans").glob("*.safetensors")):
        for name, array in sorted(load_file(path).items()):
            total.update(name.encode() + np.ascontiguousarray(array).tobytes())
    return total.hexdigest()[:12]


def table(sides, runs, arguments):
    """Medians over the rounds, and the ratios."""
    lines = [
        f"# The first minute\n\n{where()}; `fer3d preprocess` of the demo's scans, {arguments.workers} workers, "
        f"medians of {arguments.rounds} rounds",
        "",
        "| | cold: wall s | CPU s | warm: wall s | CPU s | load before a run |",
        "|---|---|---|---|---|---|",
    ]
    medians = {}
    for side in sides:
        for state in ("cold", "warm"):
            mine = [run[2:4] for run in runs if run[:2] == (side, state)]
            medians[side, state] = np.median(np.array(mine), axis=0)
        cold, warm = medians[side, "cold"], medians[side, "warm"]
        loads = [run[4] for run in runs if run[0] == side]
        lines.append(
            f"| {side} | {cold[0]:.0f} | {cold[1]:.0f} | {warm[0]:.0f} | {warm[1]:.0f} "
            f"| {min(loads):.1f} to {max(loads):.1f} |"
        )
    if len(sides) == 2:
        ratios = [medians["before", state] / medians["now", state] for state in ("cold", "warm")]
        lines.append("| before / now | " + " | ".join(f"{value:.2f}" for pair in ratios for value in pair) + " | |")
        same = len({run[5] for run in runs}) == 1
        lines += [
            "",
            f"The arrays of all prepared scans are {'the same' if same else 'NOT the same'}, to the last bit.",
        ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
