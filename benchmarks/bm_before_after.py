#!/usr/bin/env python3
"""This checkout against an earlier one: is anything slower? Both in turns, in one run.

    python benchmarks/bm_before_after.py --before ../before/.venv/bin/python [--repeats 15] [--write]

`--before` is the Python of an environment in which the earlier version is installed, such as that of `make install` in
a git worktree. Each version runs in a process of its own, which waits while the other works; the two take turns, and
who begins changes every time. What is compared is CPU time on one core: the median, and the mean over the faster half.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from machine import where

RESULTS = Path(__file__).parent / "results"
BOUND = 3.0  # per cent
ITEMS = {
    "preprocess": "one scan of 10,000 vertices, from the file to its maps",
    "maps": "depth, normals, curvature and texture of that scan, 224 x 224",
    "tree": "its sample tree, four levels",
    "manifold_conv": "geodesic convolution with rotation maximum, forward and backward",
    "epoch plain-cnn": "reading 48 scans of 64 x 64 and three epochs",
    "epoch oriented-fusion": "the same; dff-cnn in a version that has no oriented-fusion",
    "epoch surface-grid": "the same of 48 sample trees of 512 vertices; flm-cnn in a version that has no surface-grid",
}


def main():
    """Parse the command line and print the table; or be one of the two processes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, help="Python of the environment with the earlier version")
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--only", nargs="*", default=list(ITEMS), help="some of the rows")
    parser.add_argument("--write", action="store_true", help=f"also write the table to {RESULTS.name}/")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments.child)
        return
    if arguments.before is None:
        parser.error("--before is missing: the Python of an environment with the earlier version")
    report = table(arguments)
    print(report)
    if arguments.write:
        (RESULTS / "before_after.md").write_text(report + "\n", encoding="utf-8")


def table(arguments):
    """The markdown table of all rows."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_data(folder)
        before, after = start(str(arguments.before), folder), start(sys.executable, folder)
        lines = [
            "# Before and after: CPU milliseconds on one core",
            "",
            f"{where()}; before: fer3d {ask(before, 'version')}, after: {ask(after, 'version')}; "
            f"{arguments.repeats} times in turns, load {os.getloadavg()[0]:.1f}",
            "",
            "| what | | before | after | median ratio | ratio of the faster halves | |",
            "|---|---|---|---|---|---|---|",
        ]
        for item in arguments.only:
            for process in (before, after):
                ask(process, item)  # compiles, reads, fills caches
            times = {"before": [], "after": []}
            for turn in range(arguments.repeats):
                pair = [("before", before), ("after", after)]
                for key, process in pair if turn % 2 else pair[::-1]:
                    times[key].append(float(ask(process, item)))
            lines.append(row(item, times))
            print(lines[-1], file=sys.stderr, flush=True)
        for process in (before, after):
            process.stdin.close()
            process.wait()
    return "\n".join(lines)


def row(item, times):
    """One line of the table."""
    median = {key: float(np.median(values)) for key, values in times.items()}
    fast = {key: float(np.mean(np.sort(values)[: (len(values) + 1) // 2])) for key, values in times.items()}
    ratio = fast["after"] / fast["before"]
    verdict = "met" if ratio <= 1 + BOUND / 100 else "missed"
    return (
        f"| {item} | {ITEMS[item]} | {median['before']:.1f} | {median['after']:.1f} "
        f"| {median['after'] / median['before']:.3f} | {ratio:.3f} | at most {BOUND:g} % slower: {verdict} |"
    )


def start(python, folder):
    """One of the two processes."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    return subprocess.Popen(
        [python, __file__, "--child", str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
        cwd=folder,
    )


def ask(process, item):
    """Let a process do one thing; its answer."""
    process.stdin.write(item + "\n")
    process.stdin.flush()
    answer = process.stdout.readline().strip()
    if not answer:
        raise SystemExit(f"the process that did {item!r} ended")
    return answer


def make_data(folder):
    """Simulated scans, and two prepared folders, made by this checkout; both versions read them."""
    from fer3d import synth
    from fer3d.config import PreprocessSettings
    from fer3d.prepare import preprocess

    synth.make(folder / "scans", subjects=4, seed=150, levels=(3, 4), workers=1)
    preprocess(folder / "scans", folder / "maps", settings=PreprocessSettings(size=64, keep_mesh=False), workers=1)
    trees = PreprocessSettings(size=32, tree=True, tree_levels=(512, 128, 32), keep_mesh=False)
    preprocess(folder / "scans", folder / "trees", settings=trees, workers=1)


def child(folder):
    """Read names of rows, do each once, answer with its CPU milliseconds."""
    import time

    import torch

    torch.set_num_threads(1)
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    answers, real = {}, os.dup(1)
    os.dup2(2, 1)  # what a library prints must not get between the answers
    for line in sys.stdin:
        item = line.strip()
        if item == "version":
            import fer3d

            text = fer3d.__version__
        else:
            if item not in answers:
                answers[item] = prepared(item, folder)
            start = time.process_time()
            answers[item]()
            text = json.dumps(1e3 * (time.process_time() - start))
        os.write(real, f"{text}\n".encode())


def prepared(item, folder):
    """A function without arguments that does what a row is about. Names are those that both versions have."""
    import torch

    from fer3d import formats
    from fer3d.prepare import prepare

    if item.startswith("epoch "):
        return trainer(item.removeprefix("epoch "), folder)
    file = sorted((folder / "scans").rglob("*_F3D.wrl"))[0]
    if item == "preprocess":
        return lambda: prepare(formats.read(file))
    scan = prepare(formats.read(file))[0]
    if item == "maps":
        from fer3d import maps

        return lambda: maps.render_maps(scan, size=224, pixel=0.8)
    if item == "tree":
        from fer3d.tree import SampleTree

        return lambda: SampleTree.build(scan)
    from fer3d.ops import manifold_conv
    from fer3d.tree import geodesic_stencils

    sources = torch.arange(2000, dtype=torch.int32).numpy()
    vertices = scan.vertices.astype("float64")
    indices, weights = geodesic_stencils(vertices, scan.faces, sources, (3.0, 6.0), 8)[:2]
    x = torch.randn(1, len(vertices), 16, requires_grad=True)
    kernel = torch.randn(2, 8, 16, 16, requires_grad=True)
    indices = torch.from_numpy(indices)[None].int()
    weights = torch.from_numpy(weights)[None].float()

    def step():
        manifold_conv(x, indices, weights, kernel).square().sum().backward()

    return step


def trainer(model, folder):
    """Three epochs on the first of two folds, in a new run folder each time."""
    import tempfile

    from fer3d.models import MODELS

    common = ["epochs=3", "batch=16"]
    trees = model == "surface-grid"
    if model in ("oriented-fusion", "surface-grid") and model not in list(MODELS):
        model = "flm-cnn" if trees else "dff-cnn"  # its name before 0.2
    try:  # 0.2 and later
        from fer3d.train.plan import Experiment
        from fer3d.train.run import Device, train
        from fer3d.train.settings import train_settings

        settings = train_settings(model, "small", None, common)
    except ImportError:
        from fer3d.training import Device, train
        from fer3d.training import Question as Experiment

        from fer3d.config import train_settings

        settings = train_settings("small", None, common)
    data = folder / ("trees" if trees else "maps")
    experiment = Experiment(data, folds=2, only=(0,))

    def run():
        with tempfile.TemporaryDirectory() as out:
            train(model, experiment, Path(out) / "run", settings, device=Device("cpu"))

    return run


if __name__ == "__main__":
    main()
