"""The figure of the warp in `docs/`: means of many faces, aligned, and then warped. Every face is simulated.

Run: python docs/figures/warp.py PREPARED
"""

import sys
from pathlib import Path

import numpy as np
import torch

from fer3d.data.samples import labelled_rows, load
from fer3d.maps.registry import STANDARD_GROUPS
from fer3d.prepare.drawing import channel_picture, grid, shaded_picture

DOCS = Path(__file__).parents[1]
LABEL, TIMES = "happiness", 3


def main():
    """Write docs/warp.png."""
    folder = Path(sys.argv[1])
    data = load([(folder, labelled_rows(folder, lambda row: row["expression"] == LABEL))], STANDARD_GROUPS, [LABEL])
    warped = data.warped(data.fit_warp(torch.arange(len(data.rows))))
    rows = [pictures(data), pictures(warped)]
    sheet = grid(rows, ["aligned", "warped"], ["texture", "shape", "shape index"])
    sheet.save(DOCS / "warp.png", optimize=True)


def pictures(data):
    """The mean texture, shape and shape index where half of the scans were measured."""
    values = data.values.float()
    count = values[:, -1].sum(dim=0)
    mean = (values.sum(dim=0) / count.clamp(min=1)).numpy()
    mean[:, count.numpy() < len(values) / 2] = np.nan
    mean = np.kron(mean, np.ones((TIMES, TIMES), np.float32))
    named = dict(zip((*data.channels, "mask"), mean, strict=True))
    colours = np.stack([named[name] for name in ("red", "green", "blue")], axis=-1)
    background = channel_picture("depth", np.full(mean.shape[1:], np.nan))
    texture = np.where(np.isfinite(colours), np.nan_to_num(colours) * 255, background).astype(np.uint8)
    normals = np.stack([named[f"normal_{axis}"] for axis in "xyz"])
    return [texture, shaded_picture(normals), channel_picture("shape_index", named["shape_index"])]


if __name__ == "__main__":
    main()
