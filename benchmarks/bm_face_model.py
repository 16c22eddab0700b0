"""The built-in face model over random people and combinations of action units: what it costs, and what goes wrong.

    python -m benchmarks.bm_face_model [--faces 1000] [--model MODEL]

Run from the root of the repository. One run prints a markdown table: time to make the model and a shape; triangles that
turned over (normal more than 90 degrees from the same person's neutral face) and that cross others, as shares of all;
the widest gap between closed lids; how far lips overlap. `tests/mesh_checks.py` has the definitions.
"""

import argparse
import time

import numpy as np

from fer3d.face.load import builtin_face, load_face
from tests.mesh_checks import crossing, lip_lines, random_face, turned


def one_face(model, lips, seed):
    """Of a random face: seconds, shares of turned and of crossing triangles, mm between lids, mm of lips' overlap."""
    identity, units = random_face(model, np.random.default_rng(seed))
    weights = model.mode_weights(units)
    before = time.perf_counter()
    shape = model.shape(identity, weights)
    seconds = time.perf_counter() - before
    neutral = model.shape(identity)
    closed = model.shape(identity, model.mode_weights(units | {"AU43_L": 1.0, "AU43_R": 1.0}))
    overlap = max((shape[lips[1], 1] - shape[lips[0], 1]).max(initial=-np.inf), 0.0)
    gaps = [np.linalg.norm(closed[lid.upper[0]] - closed[lid.lower], axis=1).max() for lid in model.lids]
    folded = turned(neutral, shape, model.triangles).mean()
    return seconds, folded, crossing(shape, model.triangles).mean(), max(gaps, default=np.nan), overlap


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=int, default=1000)
    parser.add_argument("--model", help="a file or folder for fer3d.face.load_face; the built-in one without")
    arguments = parser.parse_args()
    before = time.perf_counter()
    model = load_face(arguments.model) if arguments.model else builtin_face()
    made = time.perf_counter() - before
    lips = lip_lines(model)
    seconds, folded, crossed, gap, overlap = np.array(
        [one_face(model, lips, seed) for seed in range(arguments.faces)]
    ).T
    rows = {
        "vertices, triangles": f"{len(model.neutral):,}, {len(model.triangles):,}",
        "identity modes, action units": f"{len(model.identity_modes)}, {len(model.action_units)}",
        "making the model": f"{made:.2f} s",
        "a shape, median": f"{1000 * np.median(seconds):.1f} ms",
        "triangles turned over, mean": f"{100 * folded.mean():.4f} %",
        "triangles crossing, mean": f"{100 * crossed.mean():.4f} %",
        "faces with more than 0.1 % turned, crossing": f"{(folded > 1e-3).sum()}, {(crossed > 1e-3).sum()}",
        "worst face, turned and crossing": f"{100 * folded.max():.2f} %, {100 * crossed.max():.2f} %",
        "widest gap of closed lids": f"{gap.max():.2f} mm",
        "deepest overlap of the lips, faces with any above 0.1 mm": f"{overlap.max():.2f} mm, {(overlap > 0.1).sum()}",
    }
    print(f"| {model.name}, {arguments.faces} faces | |\n| --- | --- |")
    for name, value in rows.items():
        print(f"| {name} | {value} |")


if __name__ == "__main__":
    main()
