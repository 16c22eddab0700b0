"""`fer3d study illumination` on simulated pictures: four networks x five treatments of the light, one table.

    python benchmarks/bm_illumination_study.py [--seed 0] [--work FOLDER] [--write]

After Shin, Kim and Kwon (2016), whose data sets may not be handed on. Made-up people, photographed from the front in
five lights, train every network on every kind of picture; others, under the same conditions, are tested. Few people,
few steps and pictures of 32 x 32 pixels, so that all twenty trainings take about 25 minutes on one thread, most of them
for AlexNet: small enough to be run anywhere, too small to say which network is best. Settings were tried on other
people first (--seed 100).

A stopped run goes on: pictures and training runs lie in --work.
"""

import argparse
from pathlib import Path

import numpy as np
import simulated_pictures as pictures
import torch
from machine import said, where

RESULTS = Path(__file__).parent / "results"
TRAINING_PEOPLE, TESTED_PEOPLE = 16, 20
SETTINGS = ("model.pixels=32", "batch=32", "epochs=20", "lr=0.001")
SETTINGS += ("rotate_deg=2", "scale=0.02", "stretch=0", "shift=0.022", "texture_jitter=0")


def main():
    """Parse the command line, train what is not trained yet, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0, help="of the people")
    parser.add_argument("--networks", help="comma-separated; the four of the study if not given")
    parser.add_argument("--work", type=Path, default=Path("runs/illumination_study"))
    parser.add_argument("--write", action="store_true", help=f"also write the table to {RESULTS.name}/")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    report = "\n\n".join(said(block) for block in blocks(arguments))
    if arguments.write:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "illumination_study.md").write_text(report + "\n", encoding="utf-8")


def blocks(arguments):
    """Markdown blocks, one after the other."""
    from fer3d.evaluate.grid import (
        STUDIED_ILLUMINATIONS,
        STUDIED_NETWORKS,
        illumination_grid,
        markdown,
        run_grid,
    )
    from fer3d.scan import EXPRESSIONS
    from fer3d.train.jobs import LocalExecutor
    from fer3d.train.plan import Experiment
    from fer3d.train.run import Device
    from fer3d.train.settings import train_settings

    networks = tuple(arguments.networks.split(",")) if arguments.networks else STUDIED_NETWORKS
    seed, work = arguments.seed, arguments.work
    lamps = tuple(pictures.lights())
    training = pictures.write(work / f"simulated-{seed}", 1000 * seed + 1, TRAINING_PEOPLE, (0,))
    tested = pictures.write(work / f"tested-{seed}", 1000 * seed, TESTED_PEOPLE, (0,))
    yield (
        f"# Four networks x five treatments of the light\n\n{where()}, torch {torch.__version__}.\n\n"
        f"Simulated people, seed {seed}: {TRAINING_PEOPLE} to train on, {TESTED_PEOPLE} others to test, 7 expressions "
        f"in {len(lamps)} lights ({', '.join(lamps)}) from the front. Settings: {' '.join(SETTINGS)}."
    )
    experiment = Experiment(training, "cross", test_data=tested, classes=EXPRESSIONS)
    settings = {network: train_settings(network, "small", None, SETTINGS, recipe="ours") for network in networks}
    grid = illumination_grid([training], experiment, work / f"runs-{seed}", settings)
    rows = run_grid(
        grid,
        executor=LocalExecutor(device=Device("cpu")),
        on_start=lambda cell, number, total: print(f"{number + 1} of {total}: {cell.name}", flush=True),
    )
    made = markdown(grid, rows).strip()
    yield f"Accuracy in %, with its 95 % interval by person; the best of each row in bold.\n\n{made}"
    accuracy = {(row.cell.values["network"], row.cell.values["illumination"]): row.numbers.accuracy for row in rows}
    gains = []
    for light in STUDIED_ILLUMINATIONS[1:]:
        mine = [100 * (accuracy[network, light] - accuracy[network, "raw"]) for network in networks]
        gains.append(f"{light} {np.mean(mine):+.1f} ({min(mine):+.1f} to {max(mine):+.1f})")
    minutes = sum(row.numbers.seconds for row in rows) / 60
    yield (
        f"Against raw, points, mean over the networks (least to most): {', '.join(gains)}. One training a cell. "
        f"The {len(rows)} trainings took {minutes:.0f} minutes, a thread each."
    )


if __name__ == "__main__":
    main()
