"""How fast scans are simulated, and whether the readers count whole data sets as the real ones.

    python benchmarks/bm_synth.py [--workers 2] [--full] [--write]

Speed: scans a second over the workers, from the first finished scan to the last, at the layouts' own pitch. With
`--full`, data sets of the real size (samples farther apart, few frames a sequence, so that it ends in minutes) are made
and read back: BU-3DFE 2,500 scans of 100 subjects, BU-4DFE 606 sequences of 101, Bosphorus 105 subjects.
"""

import argparse
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
from machine import said, where

RESULTS = Path(__file__).parent / "results"
WANTED = {"bu3dfe": "10 scans/s", "bu4dfe": "4 sequences of 100 frames a minute: 6.7 frames/s"}
SPEED = {
    "bu3dfe": {"subjects": 6},
    "bu4dfe": {"subjects": 1, "frames": 12},
    "bosphorus": {"subjects": 2},
    "frgc": {"subjects": 10},
}
FULL = {
    "bu3dfe": {"subjects": 100, "pitch": 4.0},
    "bu4dfe": {"subjects": 101, "pitch": 4.0, "frames": 3},
    "bosphorus": {"subjects": 105, "pitch": 3.0},
}


def main():
    """Parse the command line and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--full", action="store_true", help="also make and read data sets of full size (10 minutes)")
    parser.add_argument("--write", action="store_true", help=f"also write the tables to {RESULTS.name}/synth.md")
    options = parser.parse_args()
    report = "\n\n".join(said(block) for block in blocks(options))
    if options.write:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "synth.md").write_text(report + "\n", encoding="utf-8")


def blocks(options):
    """Markdown blocks, one after the other."""
    yield (f"# Simulated scans\n\n{where()}, NumPy {np.__version__}, {options.workers} workers")
    with tempfile.TemporaryDirectory() as folder:
        yield speed(Path(folder), options)
        if options.full:
            yield counts(Path(folder), options)


def speed(folder, options):
    """Scans a second in each layout, all files written."""
    from fer3d import formats, synth
    from fer3d.synth.truth import read_truth

    synth.make(folder / "warm", subjects=1, levels=(1,), pitch=5.0)  # compiles
    rows = [
        "## Speed",
        "",
        "| layout | scans | vertices | scans/s | ms a scan and core | wanted |",
        "|---|---|---|---|---|---|",
    ]
    for layout, size in SPEED.items():
        ends: list[float] = []

        def tick(done, total, ends=ends):
            ends.append(time.perf_counter())

        made = synth.make(folder / layout, layout, workers=options.workers, seed=1, progress=tick, **size)
        first = options.workers * 5  # the first bundles pay for starting the workers
        rate = (len(ends) - first) / (ends[-1] - ends[first - 1])
        file = next(iter(read_truth(folder / layout).scans))
        vertices = len(formats.read(folder / layout / file, texture=False).vertices)
        rows.append(
            f"| {layout} | {made.scans} | {vertices:,} | {rate:.1f} | {1e3 * options.workers / rate:.0f} "
            f"| {WANTED.get(layout, '')} |"
        )
    return "\n".join(rows)


def counts(folder, options):
    """What the catalogue says of full-size data sets."""
    from fer3d import catalog, synth

    rows = [
        "## Full size, read back",
        "",
        "| layout | subjects | scans | of what | detected as | s |",
        "|---|---|---|---|---|---|",
    ]
    for layout, size in FULL.items():
        start = time.perf_counter()
        root = folder / f"{layout}-full"
        synth.make(root, layout, workers=options.workers, texture=64, **size)
        card, _ = catalog.choose(root, "auto")
        records = catalog.read_records(root, card)
        people = len({record.subject for record in records})
        spent = time.perf_counter() - start
        rows.append(f"| {layout} | {people} | {len(records):,} | {what(layout, records)} | {card.name} | {spent:.0f} |")
    return "\n".join(rows)


def what(layout, records):
    """The counts that are known of the real set."""
    if layout == "bu4dfe":
        return f"{len({record.sequence for record in records})} sequences"
    if layout == "bosphorus":
        kinds = Counter(record.attributes["kind"] for record in records)
        return ", ".join(f"{kind} {number}" for kind, number in kinds.items())
    classes = Counter(record.expression for record in records)
    return ", ".join(f"{name} {number}" for name, number in classes.items())


if __name__ == "__main__":
    main()
