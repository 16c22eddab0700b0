"""Whole preprocessing of scans of about 35,000 vertices: fer3d against a plain script, over the same two workers.

    python benchmarks/bm_preprocess.py [--scans 48] [--plain-scans 8] [--workers 2] [--write]

One run prints the machine, the throughput of both with peak memory a worker, our time a stage, and the table of single
stages against their peers (`bm_maps.py`). The plain script is `plain_script.py`: the same steps with Open3D, trimesh,
SciPy and NumPy. Throughput counts from the first finished scan to the last, so that neither pays for starting Python;
start-up is printed apart. `make bench` installs the peers.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from machine import where

RESULTS = Path(__file__).parent / "results"
PITCH = 0.92  # mm between range samples: about 35,000 vertices a scan
LANDMARKS = (  # the partners of `plain_script.FIT_POINTS` on the mean face
    "endocanthion_left",
    "exocanthion_left",
    "endocanthion_right",
    "exocanthion_right",
    "alare_left",
    "subnasale",
    "alare_right",
    "cheilion_left",
    "labiale_superius",
    "cheilion_right",
    "labiale_inferius",
    "pogonion",
)
FLOOR_MS = 100.0  # estimated floor of the whole job, a scan and core, when this project was planned


def main():
    """Parse the command line and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scans", type=int, default=48, help="scans that fer3d prepares")
    parser.add_argument("--plain-scans", type=int, default=8, help="scans that the plain script prepares")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--write", action="store_true", help=f"also write the tables to {RESULTS.name}/")
    parser.add_argument("--child", choices=["ours", "plain"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child = {"ours": ours, "plain": plain}[arguments.child]
        print(json.dumps(child(arguments.folder, arguments)))
        return
    report = "\n\n".join(tables(arguments))
    print(report)
    if arguments.write:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "preprocess.md").write_text(report + "\n", encoding="utf-8")


def tables(arguments):
    """Markdown blocks, one after the other."""
    from bm_maps import table

    from fer3d import synth

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        subjects = -(-arguments.scans // 24)
        synth.make(folder / "scans", layout="bu3dfe", subjects=subjects, seed=1, workers=arguments.workers, pitch=PITCH)
        yield machine()
        mine = run("ours", folder, arguments)
        theirs = run("plain", folder, arguments)
        yield throughput(mine, theirs, arguments.workers)
        yield stages(mine)
    yield table()


def run(kind, folder, arguments):
    """One contender in a process of its own, so that peak memory is its own."""
    command = [sys.executable, __file__, "--child", kind, "--folder", str(folder), "--workers", str(arguments.workers)]
    command += ["--scans", str(arguments.scans), "--plain-scans", str(arguments.plain_scans)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def ours(folder, arguments):
    """`fer3d preprocess` on the folder: finishing times, seconds a stage, vertices, peak memory of a worker."""
    from fer3d.config import PreprocessSettings
    from fer3d.kernels.compiling import compile_kernels
    from fer3d.prepare.folder import preprocess
    from fer3d.prepare.scan import needed_kernels
    from fer3d.workers import worker_pool

    settings = PreprocessSettings(size=224)  # as the plain script
    compile_kernels(needed_kernels(settings), worker_pool, arguments.workers)
    start, ends, vertices = time.perf_counter(), [], []

    def tick(outcome, total):
        ends.append(time.perf_counter() - start)
        vertices.append(json.loads(outcome.row["history"])[0]["vertices"])

    summary = preprocess(
        folder / "scans", folder / "prepared", settings=settings, workers=arguments.workers, progress=tick
    )
    if summary.failures:
        raise SystemExit(f"{len(summary.failures)} scans failed: {summary.failures[0]}")
    each = {stage: seconds / summary.prepared for stage, seconds in summary.stages.items()}
    return {"ends": ends, "stages": each, "vertices": float(np.median(vertices)), "memory": worker_memory()}


def plain(folder, arguments):
    """The plain script on the first scans of the folder."""
    from fer3d.face.load import mean_face

    target = mean_face().landmark_array(LANDMARKS)
    scans = sorted((folder / "scans").rglob("*_F3D.wrl"))[: arguments.plain_scans]
    start, ends = time.perf_counter(), []
    with ProcessPoolExecutor(arguments.workers, mp_context=get_context("spawn")) as pool:
        tasks = [pool.submit(plain_one, scan, folder / f"{scan.stem}.npz", target) for scan in scans]
        for task in as_completed(tasks):
            task.result()
            ends.append(time.perf_counter() - start)
    return {"ends": ends, "memory": worker_memory()}


def plain_one(scan, out, target):
    """One scan through the plain script; imports are paid by the first."""
    from plain_script import prepare

    prepare(scan, out, target)


def worker_memory():
    """MiB that the largest finished child process ever held."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


def rate(ends, workers):
    """Scans a second after each worker has delivered its first."""
    return (len(ends) - workers) / (ends[-1] - ends[workers - 1])


def machine():
    """Where and when."""
    return f"# Preprocessing\n\n{where()}, NumPy {np.__version__}"


def throughput(mine, theirs, workers):
    """The table of the whole job."""
    a, b = rate(mine["ends"], workers), rate(theirs["ends"], workers)
    share = FLOOR_MS / (1e3 * workers / a)
    return "\n".join(
        [
            f"## Whole job: {mine['vertices']:,.0f} vertices a scan, {workers} workers",
            "",
            "| | scans/s | ms a scan and core | start-up s | peak MiB a worker |",
            "|---|---|---|---|---|",
            f"| fer3d ({len(mine['ends'])} scans) | {a:.1f} | {1e3 * workers / a:.0f} | {mine['ends'][0]:.1f} "
            f"| {mine['memory']:.0f} |",
            f"| plain Open3D/trimesh/NumPy script ({len(theirs['ends'])} scans) | {b:.2f} | {1e3 * workers / b:.0f} "
            f"| {theirs['ends'][0]:.1f} | {theirs['memory']:.0f} |",
            f"| ratio | {a / b:.1f} | | | |",
            "",
            f"Share of the estimated floor of {FLOOR_MS:.0f} ms a scan and core: {share:.0%}.",
        ]
    )


def stages(mine):
    """The table of our stages inside the whole job."""
    total = sum(mine["stages"].values())
    rows = [f"| {stage} | {1e3 * s:.1f} | {s / total:.0%} |" for stage, s in mine["stages"].items()]
    head = ["## Our stages, in the whole job", "", "| stage | ms a scan | share |", "|---|---|---|"]
    return "\n".join([*head, *rows, f"| all | {1e3 * total:.1f} | 100% |"])


if __name__ == "__main__":
    main()
