"""Whether every network learns with its defaults: its loss at the start, on the way and at the end, on an easy set.

    python benchmarks/bm_learns.py [--epochs 10] [--only vgg-11,tang] [--data demo/prepared] [--write]

The set has six classes that differ by a strong, simple pattern, see `tests/learning.py`: a bar at another height in all
channels, or, for networks of trees, a bump at another place. Losses are those of the training log: means of an epoch.
The second table is of the networks whose learning rate differs from the common one: with it, and with their own, on
faces such as `make demo` simulates.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import torch
from machine import where

sys.path.insert(0, str(Path(__file__).parent.parent))

from fer3d.config import TrainSettings
from fer3d.models import model_names, network_class
from fer3d.train.plan import Experiment
from fer3d.train.run import Callbacks, train
from fer3d.train.settings import complete, train_settings
from tests.learning import learn

RESULTS = Path(__file__).parent / "results"
PIXELS = 48  # of the pictures of the second table


def main():
    """Parse the command line and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--scans", type=int, default=24)
    parser.add_argument("--batch", type=int, default=6)
    parser.add_argument("--only", help="comma-separated names")
    parser.add_argument("--data", type=Path, help="prepared folder with textures, for the second table")
    parser.add_argument("--face-epochs", type=int, default=12)
    parser.add_argument("--write", action="store_true", help=f"also write the tables to {RESULTS.name}/learns.md")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        text = f"## Every network learns with its defaults\n\n{where()}, torch {torch.__version__}, 1 thread.\n\n"
        text += table(arguments, Path(folder) / "trees")
        if arguments.data is not None:
            text += "\n\n" + on_faces(arguments, Path(folder))
    print(text)
    if arguments.write:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "learns.md").write_text(text + "\n", encoding="utf-8")


def table(arguments, trees):
    """The losses of all networks."""
    names = arguments.only.split(",") if arguments.only else model_names()
    lines = [
        f"{arguments.epochs} epochs of batches of {arguments.batch}; {arguments.scans} scans with maps or pictures, or "
        "12 with trees and four times the epochs.",
        "",
        "| network | lr | loss, epoch 1 | halfway | last | accuracy, % | warned | s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name in names:
        said, start = [], time.process_time()
        more = 4 if network_class(name).reads == "trees" else 1  # epochs, as there are half as many scans
        log = learn(
            name,
            trees,
            scans=arguments.scans,
            epochs=more * arguments.epochs,
            batch=arguments.batch,
            on_warning=lambda text, last, said=said: said.append(text),
        )
        first, middle, last = (log[k]["train_loss"] for k in (0, len(log) // 2, -1))
        lines.append(
            f"| {name} | {complete(name, None).lr:g} | {first:.2f} | {middle:.2f} | {last:.2f} | "
            f"{100 * log[-1]['train_accuracy']:.0f} | {'yes' if said else 'no'} | {time.process_time() - start:.0f} |"
        )
        print(lines[-1], flush=True)
    return "\n".join(lines)


def on_faces(arguments, folder):
    """The losses on the textures of a prepared folder, with the network's own learning rate and with the common one."""
    names = ("alexnet", "vgg-11", "vgg-16") if arguments.only is None else arguments.only.split(",")
    lines = [
        f"On the textures of a prepared folder, pictures of {PIXELS} pixels, the first of four folds.",
        "",
        "| network | lr | losses of the epochs | accuracy, % |",
        "|---|---|---|---|",
    ]
    for name in names:
        for rate in (TrainSettings().lr, complete(name, None).lr):
            log = []
            chosen = train_settings(
                name, model={"pixels": PIXELS}, epochs=arguments.face_epochs, lr=rate, recipe="ours"
            )
            train(
                name,
                Experiment(arguments.data, folds=4, only=(0,)),
                folder / f"{name}-{rate:g}",
                chosen,
                callbacks=Callbacks(on_epoch_end=lambda fold, epochs, row, log=log: log.append(row)),
            )
            losses = " ".join(format(row["train_loss"], ".2f") for row in log)
            lines.append(f"| {name} | {rate:g} | {losses} | {100 * log[-1]['train_accuracy']:.0f} |")
            print(lines[-1], flush=True)
    return "\n".join(lines)


if __name__ == "__main__":
    main()
