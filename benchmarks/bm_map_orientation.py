"""Orientation energy of maps against torch and the histograms of oriented gradients of others, one core.

    python benchmarks/bm_map_orientation.py [--write]

One run: 32 scans of 10 channels, as `oriented-fusion` reads them in a step, at several sizes. Ours gives soft energies
of every channel; scikit-image's and OpenCV's histograms are of one channel at a time and put a pixel into one bin, or
two, with an angle of half a turn; all have 8 directions and as many cells. OpenCV takes bytes. The share of the core is
that of its own float32 matrix product, measured in the same run, in additions and multiplications that the definition
asks for. Times are CPU time of one thread, the best of several repetitions. `make bench` installs the peers.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from machine import best, one_core, where

RESULTS = Path(__file__).parent / "results"
SCANS, CHANNELS, CELLS, DIRECTIONS = 32, 10, 16, 8
SIZES = (64, 96, 224)
# A pixel: two differences, their length, twelve more to scale them; then a part, its fourth power, two sums for each of
# half of the directions.
_OF_A_PIXEL, _OF_A_DIRECTION = 20, 8


def main():
    """Parse the command line and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help=f"also write the tables to {RESULTS.name}/")
    write = parser.parse_args().write
    report = "\n\n".join(tables())
    print(report)
    if write:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "map_orientation.md").write_text(report + "\n", encoding="utf-8")


def tables():
    """Markdown blocks, one after the other."""
    yield f"# Orientation energy of maps\n\n{where()}, torch {torch.__version__}"
    torch.set_num_threads(1)
    with one_core():
        peak = product()
        yield (
            f"{SCANS} scans of {CHANNELS} channels, {DIRECTIONS} directions in {CELLS} x {CELLS} cells. Float32 matrix "
            f"product: {peak:.0f} GFLOP/s of a core."
        )
        for size in SIZES:
            yield one(size, peak)


def one(size, peak):
    """The table of one size."""
    from fer3d.ops.map_orientation import map_orientation
    from fer3d.ops.orientation_energy import OrientationEnergy

    generator = torch.Generator().manual_seed(0)
    x = torch.randn(SCANS, CHANNELS, size, size, generator=generator)
    measured = torch.ones(SCANS, 1, size, size)
    learned, pictures = x.clone().requires_grad_(), as_bytes(x)
    calls = {
        "fer3d.ops.map_orientation": lambda: map_orientation(x, measured, CELLS, DIRECTIONS),
        "the same in torch, as where gradients are wanted": lambda: map_orientation(
            learned, measured, CELLS, DIRECTIONS
        ),
        "freed of contrast: `OrientationEnergy`": lambda: OrientationEnergy()(x, measured),
        "of order 2": lambda: OrientationEnergy(order=2)(x, measured),
        "scikit-image `hog`": lambda: by_skimage(x.numpy()),
        "OpenCV `HOGDescriptor`, of bytes": lambda: by_opencv(pictures, size),
    }
    lines = [f"## Maps of {size} x {size}", "", "| | ms | of ours | share of the core |", "|---|---|---|---|"]
    ours = None
    for name, call in calls.items():
        if size % CELLS:
            continue
        took = best(call)
        ours = ours or took
        work = SCANS * CHANNELS * size**2 * (_OF_A_PIXEL + DIRECTIONS // 2 * _OF_A_DIRECTION)
        share = f"{100 * work / (1e6 * took * peak):.0f} %" if name == "fer3d.ops.map_orientation" else ""
        lines.append(f"| {name} | {took:.1f} | {took / ours:.1f} | {share} |")
    return "\n".join(lines)


def by_skimage(x):
    """Its blocks of 3 x 3 cells are normalised too."""
    from skimage.feature import hog

    pixels = x.shape[-1] // CELLS
    for scan in x:
        for channel in scan:
            hog(channel, DIRECTIONS, (pixels, pixels), (3, 3))


def by_opencv(x, size):
    """Blocks of 2 x 2 cells, the only ones that its fast path has."""
    import cv2

    pixels = size // CELLS
    made = cv2.HOGDescriptor((size, size), (2 * pixels, 2 * pixels), (pixels, pixels), (pixels, pixels), DIRECTIONS)
    for scan in x:
        for channel in scan:
            made.compute(channel)


def as_bytes(x):
    """(B, C, H, W) uint8."""
    return (x * 40 + 128).clamp(0, 255).to(torch.uint8).numpy()


def product(n=1024):
    """GFLOP/s of a float32 matrix product."""
    a = torch.from_numpy(np.random.default_rng(0).normal(size=(n, n)).astype(np.float32))
    return 2 * n**3 / (1e6 * best(lambda: a @ a))


if __name__ == "__main__":
    main()
