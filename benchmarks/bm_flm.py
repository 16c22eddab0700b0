#!/usr/bin/env python3
"""A network on sample trees with and without each idea of FLM-CNN, against a plain geodesic CNN and against maps.

    python benchmarks/bm_flm.py [--network flm-cnn|surface-grid] [--folds 3|all] [--work FOLDER] [--pose] [--write]

The simulated data of bm_accuracy.py: 60 people, six expressions, the two highest intensities, 720 scans, ten folds by
subject; every number is of simulated faces. The trees of flm-cnn have the 68 landmarks at the top, those of
surface-grid start at the nose tip. All variants of flm-cnn, and the plain geodesic CNN beside them, have the same
inputs, points and last layers; what a level, a radius or a footprint costs is in the columns of memory and time.
oriented-fusion is fed geometry only: depth, normal, curvature. Runs are trained side by side, one a core; a benchmark
that was stopped goes on in the same --work folder. With --pose, the network and oriented-fusion are also tested on
turned and self-occluded scans.

Settings and layers of surface-grid were chosen on other simulated people (--seed 1 and --seed 2), never on the ones
that are tested here.
"""

import argparse
import json
import os
import time
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import bm_accuracy as base
from machine import where

from fer3d.config import PreprocessSettings
from fer3d.evaluate.compare import compare
from fer3d.evaluate.grid import Row, ablation_grid, markdown, numbers_of, percent, vary
from fer3d.evaluate.pose import KINDS, pose_test
from fer3d.files import read_json
from fer3d.prepare.store import read_manifest
from fer3d.train.jobs import Job
from fer3d.train.plan import Experiment
from fer3d.train.settings import train_settings

MAPS = ("depth", "normal", "curvature")
PLAIN, FLAT = "gcnn", "oriented-fusion"
TREES = {"flm-cnn": {"tree_top": "landmarks"}, "surface-grid": {}}  # settings of preparation that make them
CHANGED = {"surface-grid": {"epochs": 15}, "gcnn": {"lr": 4e-3}}  # nothing was chosen for flm-cnn
YAWS = (-90.0, -60.0, -30.0, 0.0, 30.0, 60.0, 90.0)  # degrees


def main():
    """Parse the command line, train, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", choices=TREES, default="flm-cnn")
    parser.add_argument("--folds", default="3", help="how many of the ten folds, or all")
    parser.add_argument("--work", type=Path, default=Path("bm_flm"), help="folder for data and runs, kept")
    parser.add_argument("--scans", type=Path, help="raw scans that are there already, as bm_accuracy.py makes them")
    parser.add_argument("--subjects", type=int, default=60)
    parser.add_argument("--size", type=int, default=64, help="rows and columns of oriented-fusion's maps")
    parser.add_argument("--preset", default="small")
    parser.add_argument("--set", action="append", default=[], help="one training setting, key=value")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--face-model", type=Path, default=base.ICT if base.ICT.is_file() else None)
    parser.add_argument("--pose", action="store_true", help="also the pose test")
    parser.add_argument(
        "--pose-scans", type=int, help="of how many test scans, evenly spread; all of them if not given"
    )
    parser.add_argument("--write", action="store_true", help=f"also write the tables to {base.RESULTS.name}/")
    arguments = parser.parse_args()
    report = "\n\n".join(tables(arguments)) + "\n"
    print(report)
    if arguments.write:
        base.RESULTS.mkdir(exist_ok=True)
        (base.RESULTS / f"{arguments.network}.md").write_text(report, encoding="utf-8")


def tables(arguments):
    """Markdown blocks, one after the other."""
    start = time.perf_counter()
    data = make_data(arguments)
    given = [*arguments.set, f"seed={arguments.seed}"]
    network = arguments.network
    settings = {
        name: train_settings(name, arguments.preset, None, given).model_copy(update=CHANGED.get(name, {}))
        for name in (network, PLAIN, FLAT)
    }
    only = None if arguments.folds == "all" else tuple(range(int(arguments.folds)))
    experiment = Experiment(data, only=only)
    folder = arguments.work / "runs" / f"{network}-{arguments.preset}-{arguments.folds}"
    grid = base.with_prefix(ablation_grid(network, experiment, folder, settings[network]), network)
    *others, full = (cell.job for cell in grid.cells)
    plain = Job(PLAIN, experiment, folder / PLAIN, settings[PLAIN])
    flat = Job(FLAT, experiment, folder / FLAT, vary(settings[FLAT], {"maps": MAPS}))
    # first those that are compared: what they say does not wait for the ablation
    jobs = [replace(job, cost=cost) for cost, job in ((3, plain), (3, full), (3, flat), *((1, job) for job in others))]
    base.train_all(jobs, arguments.workers, start)
    numbers = {job.out: numbers_of(job.out) for job in jobs}
    yield heading(arguments, data, sum(made.seconds for made in numbers.values()))
    yield rivals(full.out, others[0].out, plain.out, flat.out)
    rows = [Row(cell, numbers[cell.job.out]) for cell in grid.cells]
    yield f"## {network} with and without each idea\n\n" + markdown(grid, rows).rstrip()
    if arguments.pose:
        yield pose(data, [full.out, flat.out], arguments)


def make_data(arguments):
    """The prepared folder, made unless an earlier run has."""
    prepared = arguments.work / f"prepared-{arguments.network}"
    wanted = 13 * arguments.subjects  # neutral too, which the protocol leaves out
    if (prepared / "manifest.parquet").is_file() and len(read_manifest(prepared)) == wanted:
        return prepared
    scans = arguments.scans or arguments.work / "scans"
    trees = TREES[arguments.network]
    settings = PreprocessSettings(size=arguments.size, maps=MAPS, tree=True, **trees)
    return base.prepare(scans, prepared, settings, arguments)


def heading(arguments, data, seconds):
    """Where, when, of what."""
    rows = [row for row in read_manifest(data) if row["expression"] != "neutral"]
    face = "ICT-FaceKit" if arguments.face_model else "built-in"
    return "\n".join(
        [
            f"# {arguments.network} on simulated scans",
            "",
            f"{where()}, seed {arguments.seed}, {seconds / 60:.0f} minutes of training, a thread each",
            "",
            f"{len(rows)} simulated scans of {arguments.subjects} people ({face} face model), six expressions, "
            f"intensities 3 and 4, {arguments.folds} of 10 folds by subject; preset {arguments.preset}, changed: "
            f"{json.dumps(CHANGED)} {' '.join(arguments.set)}; maps of {arguments.size} x {arguments.size} for {FLAT}",
        ]
    )


def rivals(full, bare, plain, flat):
    """The network against itself without the three ideas, and the others, on the same scans: paired, by subject."""
    p = percent
    lines = ["## Against itself without the three ideas, the plain geodesic CNN and maps", ""]
    lines += ["| run | accuracy | 95 % interval | better by | 95 % interval | McNemar p | parameters | s a fold |"]
    lines += ["|---|---|---|---|---|---|---|---|"]
    for folder in (full, bare, plain, flat):
        entry = numbers_of(folder)
        cells = ["", "", ""]
        if folder != full:
            pair = compare([full, folder]).pairs[0]
            d = pair.difference
            cells = [p(d.value, "+"), f"{p(d.low, '+')} to {p(d.high, '+')}", f"{pair.p:.2g}"]
        lines.append(
            f"| {folder.name} | {p(entry.accuracy)} | {p(entry.low)} to {p(entry.high)} "
            f"| {' | '.join(cells)} | {entry.parameters:,} | {entry.seconds / entry.folds:.0f} |"
        )
    done = [read_json(path) for path in full.glob("r*f*/done.json")]
    lines += ["", f"Peak memory {max(item['peak_mib'] for item in done):.0f} MiB."]
    return "\n".join(lines)


def pose(data, runs, arguments):
    """Accuracy against yaw, without aligning again."""
    lines = ["## When the head turns, without aligning again", ""]
    for run in runs:
        made = pose_test(run, data, angles=YAWS, scans=arguments.pose_scans, workers=arguments.workers)
        angles = sorted({point.yaw_deg for point in made.points})
        by_place = {(point.kind, point.yaw_deg): point.accuracy.value for point in made.points}
        lines += [f"{made.model}: {made.points[0].scans} scans, {100 * made.frontal:.1f} % correct as they are.", ""]
        lines += [f"| yaw | {' | '.join(f'{angle:g}' for angle in angles)} |"]
        lines += ["|---|" + "---|" * len(angles)]
        for kind in KINDS:
            lines.append(f"| {kind} | " + " | ".join(percent(by_place[kind, a]) for a in angles) + " |")
        lines.append("")
    return "\n".join(lines).rstrip()


if __name__ == "__main__":
    main()
