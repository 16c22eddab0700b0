"""Memory of a set of grey pictures of FER-2013's size, from its csv to a trained network.

    python benchmarks/bm_picture_memory.py [--count 35887] [--network tang] [--folder DIR] [--write]

The pictures are noise in a fer2013.csv. Each stage runs in a process of its own, and its peak counts: of the reading
above the peak of the same process after it has imported everything and built the network; of the training above the
peak after an epoch on a few pictures, so that what is left is due to their number, not to the optimiser and the
batches. `--folder` keeps the set for another run.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from machine import where

RESULTS = Path(__file__).parent / "results"
CODES = 7
SIDE = 48
FEW = 2_800
PARTS = (("Training", 0.8), ("PublicTest", 0.9), ("PrivateTest", 1.0))
LABELS = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
MB = 1e6


def main():
    """Parse the command line, run the stages, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=35_887)
    parser.add_argument("--network", default="tang")
    parser.add_argument("--folder", type=Path, help="where the set is kept")
    parser.add_argument("--write", action="store_true", help=f"also write the tables to {RESULTS.name}/")
    parser.add_argument("--stage", nargs=2, metavar=("STAGE", "FOLDER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.stage:
        stage, folder = arguments.stage
        print(json.dumps(STAGES[stage](Path(folder), arguments.network)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        report = "\n\n".join(tables(arguments.folder or Path(temporary), arguments.count, arguments.network))
    print(report)
    if arguments.write:
        (RESULTS / "picture_memory.md").write_text(report + "\n", encoding="utf-8")


def tables(folder, count, network):
    """Markdown blocks."""
    for name, pictures in (("set", count), ("few", min(FEW, count))):
        if not (folder / name / "fer2013.csv").is_file():
            write_set(folder / name, pictures)
    raw = count * SIDE * SIDE / MB
    yield f"## Memory of a set of pictures\n\n{where()}."
    yield (
        f"{count:,} grey pictures of {SIDE} x {SIDE} pixels, {raw:.0f} MB. Peaks of the memory: of the reading above "
        f"the same process with {network} built and no picture, of the epoch above one on {min(FEW, count):,} pictures."
    )
    lines = ["| stage | seconds | peak, MB | data held, MB |", "|---|---|---|---|"]
    for name, stage, place in (
        ("`preprocess`, whole process", "preprocess", folder),
        ("`train`: manifest and folds read", "plan", folder / "prepared"),
        ("`train`: pictures read, a file each", "read", folder / "prepared"),
        ("`train`: pictures read, shards", "read", folder / "packed"),
        ("`train`: an epoch and the test", "train", folder / "packed"),
    ):
        made = run(stage, place, network)
        lines.append(f"| {name} | {made['seconds']:.0f} | {made['peak']:.0f} | {made.get('held', '')} |")
    yield "\n".join(lines)


def write_set(folder, count):
    """A fer2013.csv of noise."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    words = np.array([str(value) for value in range(256)])
    with (folder / "fer2013.csv").open("w", encoding="ascii") as file:
        file.write("emotion,pixels,Usage\n")
        for number in range(count):
            part = next(name for name, end in PARTS if number < end * count or end == 1.0)
            pixels = " ".join(words[random.integers(0, 256, SIDE * SIDE)])
            file.write(f"{number % CODES},{pixels},{part}\n")


def run(stage, folder, network):
    """The result of a stage in a process of its own."""
    command = [sys.executable, __file__, "--network", network, "--stage", stage, os.fspath(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def peak():
    """Peak of the memory of this process so far, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MB


def preprocess(folder, network):
    """Prepare the set, in this process, then pack it."""
    from fer3d.config import PreprocessSettings
    from fer3d.prepare import shards
    from fer3d.prepare.folder import preprocess as prepare

    start = time.perf_counter()
    prepare(folder / "set", folder / "prepared", settings=PreprocessSettings(size=SIDE), workers=1)
    made = {"seconds": time.perf_counter() - start, "peak": peak()}
    prepare(folder / "few", folder / "packed-few", settings=PreprocessSettings(size=SIDE), workers=1)
    if not (folder / "packed/manifest.parquet").is_file():
        shards.pack(folder / "prepared", folder / "packed")
    return made


def _training(folder, network):
    """Everything imported, and a network built: the settings and the experiment."""
    import pyarrow.parquet  # noqa: F401
    import safetensors  # noqa: F401
    import torch

    from fer3d.data import input_kinds  # noqa: F401
    from fer3d.models import build_model
    from fer3d.train import run  # noqa: F401
    from fer3d.train.plan import Experiment
    from fer3d.train.settings import train_settings

    torch.set_num_threads(1)
    settings = train_settings(network, "small", None, ("epochs=1", "recipe=ours"))
    built = build_model(network, classes=CODES, pixels=SIDE)
    sum(parameter.sum() for parameter in built.parameters())
    return settings, Experiment(folder, "parts", classes=LABELS)


def plan(folder, network):
    """The manifest and the folds."""
    from fer3d.train.plan import plan_experiment

    settings, experiment = _training(folder, network)
    before, start = peak(), time.perf_counter()
    plan_experiment(experiment, settings.seed)
    return {"seconds": time.perf_counter() - start, "peak": peak() - before}


def read(folder, network):
    """The pictures, as training holds them."""
    from fer3d.train.plan import plan_experiment
    from fer3d.train.run import read_data

    settings, experiment = _training(folder, network)
    before, start = peak(), time.perf_counter()
    _, data = read_data(network, plan_experiment(experiment, settings.seed), settings)
    return {"seconds": time.perf_counter() - start, "peak": peak() - before, "held": round(data.nbytes / MB, 1)}


def train(folder, network):
    """One epoch and the test."""
    from fer3d.train.run import Device
    from fer3d.train.run import train as fit

    with tempfile.TemporaryDirectory() as out:
        for place in (folder.with_name(f"{folder.name}-few"), folder):
            settings, experiment = _training(place, network)
            before, start = peak(), time.perf_counter()
            fit(network, experiment, Path(out) / place.name, settings, device=Device("cpu"))
    return {"seconds": time.perf_counter() - start, "peak": peak() - before}


STAGES = {"preprocess": preprocess, "plan": plan, "read": read, "train": train}

if __name__ == "__main__":
    main()
