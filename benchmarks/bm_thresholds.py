"""How often the thresholds that refuse or doubt an answer are wrong: `_WORST_COST` of the nose, `LOW_CONFIDENCE`.

    python benchmarks/bm_thresholds.py [--scans 150] [--face-model ../shared/data/ict_facekit.npz] [--head FILE]
                                       [--people 12] [--parts nose confidence] [--write]

The nose: every scan is searched, and its cost and its errors are noted before the threshold has its say. A fit is good
if the nose is within 4 mm and the rotation within 15 degrees of the truth. Good fits that are refused are false
rejects; bad ones that are not are false accepts. The scans: people of a measured face model seen by the simulated
range camera; a real head, turned by yaw and pitch within 45 degrees and any roll, with noise of
up to 0.5 mm, cut to a ball about the nose, in a third of them without one side; both without what lies within 25 or
45 mm of the nose, where a fit is good if the rotation is; and the head from behind, where none is.

The confidence: a run of the demo's kind is trained on simulated people and asked about others. An answer that is
correct and flagged all the same is a false reject.

Seeds 100 to 199 are for tuning and looking; claims use others.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from landmark_scans import TURN, real_head
from landmark_tables import NEAR, UPRIGHT
from machine import said, where

RESULTS = Path(__file__).parent / "results"
SHARED = Path(__file__).parents[1].parent / "shared" / "data"
SEED = 100
OTHERS = 150  # the seed of the people that the run is asked about
NOISE = 0.5  # mm, the most
BALL = 70.0, 120.0  # mm: radius that a head is cut to
CUT = 25.0, 45.0  # mm about the nose that are cut away; poses are judged on 45


def main():
    """Parse the command line and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scans", type=int, default=150, help="of each kind")
    parser.add_argument("--face-model", type=Path, default=SHARED / "ict_facekit.npz")
    parser.add_argument("--head", type=Path, default=SHARED / "lee_perry_smith" / "LeePerrySmith.ply")
    parser.add_argument("--people", type=int, default=12, help="to train on, and as many others to ask about")
    parser.add_argument("--parts", nargs="+", choices=["nose", "confidence"], default=["nose", "confidence"])
    parser.add_argument("--write", action="store_true", help=f"also write the tables to {RESULTS.name}/")
    arguments = parser.parse_args()
    blocks = [said(f"# What the thresholds get wrong\n\n{where()}, NumPy {np.__version__}; seed {SEED}")]
    blocks += [said(nose_table(arguments))] if "nose" in arguments.parts else []
    blocks += [said(confidence_table(arguments.people))] if "confidence" in arguments.parts else []
    if arguments.write:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "thresholds.md").write_text("\n\n".join(blocks) + "\n", encoding="utf-8")


def nose_table(arguments):
    """The table of the nose, a row a kind of scan."""
    from fer3d.prepare.nose import _WORST_COST

    lines = [
        f"## The nose: refused above a cost of {_WORST_COST:g} mm",
        "",
        f"Good: nose within {NEAR:g} mm and rotation within {UPRIGHT:g} degrees; without a nose the rotation alone.",
        "",
        "| scans | n | good | good but refused | bad | bad but accepted | cost of good: 95 % | worst | least of bad |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [nose_row(name, rows, _WORST_COST) for name, rows in kinds(arguments)]
    lines += [f"\nNot at hand: {path.name}" for path in (arguments.face_model, arguments.head) if not path.exists()]
    return "\n".join(lines)


def kinds(arguments):
    """Name of a kind of scan, and (cost in mm, whether the fit is good) of each."""
    for name, path, scans in (
        (f"{arguments.face_model.stem}, simulated", arguments.face_model, model_scans),
        ("real head", arguments.head, head_scans),
    ):
        if path.exists():
            rows = [
                (verdict(scan, tip, placement), *(verdict(without_nose(scan, tip, r), None, placement) for r in CUT))
                for scan, tip, placement in scans(arguments)
            ]
            titles = (name, *(f"{name}, without {radius:g} mm about the nose" for radius in CUT))
            yield from zip(titles, zip(*rows, strict=True), strict=True)
    if arguments.head.exists():
        yield "real head from behind", [verdict(scan, None, None) for scan, _, _ in head_scans(arguments, 180.0)]


def model_scans(arguments):
    """Simulated scans of the face model's people."""
    from fer3d.face.load import load_face

    return simulated_scans(load_face(arguments.face_model), arguments.scans, SEED)


def simulated_scans(model, count, seed):
    """Clean scans of different people, each with the nose tip and the placement that are the truth."""
    from fer3d.prepare.align import outward
    from fer3d.prepare.clean import clean
    from fer3d.scan import EXPRESSIONS
    from fer3d.synth.acting import expression
    from fer3d.synth.acting.habits import Habits
    from fer3d.synth.capture import capture
    from fer3d.synth.looks import appearance
    from fer3d.synth.optics.camera import Camera
    from fer3d.synth.optics.scene import pose

    atlas = appearance.atlas(model, 256)
    for number in range(count):
        generator = np.random.default_rng([seed, number])
        identity = np.clip(generator.normal(0.0, 1.0, len(model.identity_modes)), -2.5, 2.5)
        label = EXPRESSIONS[number % len(EXPRESSIONS)]
        habits = Habits.draw(generator)
        units = expression.weights(expression.recipe(label, habits), 1.0, model.action_units, habits, generator)
        turn = np.radians(generator.uniform(-TURN, TURN, 3))
        placement = pose(*turn, tuple(generator.uniform(-20, 20, 3)))
        look = appearance.paint(atlas, generator, beard=bool(number % 2))
        shape = model.shape(identity, model.mode_weights(units))
        taken = capture(model, shape, placement, Camera(), generator, look)
        scan = outward(clean(replace(taken.scan, landmarks={})))
        yield scan, taken.landmarks["pronasale"], placement


def head_scans(arguments, about=0.0):
    """The real head in many poses, noisy, cut; from `about` degrees of yaw. With tip and placement."""
    from fer3d.prepare.align import outward
    from fer3d.prepare.clean import clean
    from fer3d.synth.optics.scene import pose

    scan, tip = real_head(arguments.head)
    for number in range(arguments.scans):
        generator = np.random.default_rng([SEED, number])
        yaw, pitch = generator.uniform(-TURN, TURN, 2)
        placement = pose(*np.radians((about + yaw, pitch, generator.uniform(-180.0, 180.0))), (30.0, -10.0, 80.0))
        noise = generator.normal(0.0, generator.uniform(0.0, NOISE), scan.vertices.shape)
        noisy = scan.step("noise", vertices=(scan.vertices + noise).astype(np.float32))
        if about == 0.0:
            off = scan.vertices - tip
            keep = np.linalg.norm(off, axis=1) <= generator.uniform(*BALL)
            if number % 3 == 2:
                keep &= off[:, 0] * generator.choice([-1.0, 1.0]) > -15.0
            noisy = kept(noisy, keep)
        yield outward(clean(noisy.moved(placement, "posed"))), placement[:3, :3] @ tip + placement[:3, 3], placement


def kept(scan, keep):
    """The faces of which all corners are kept."""
    faces = scan.faces[keep[scan.faces].all(axis=1)]
    return scan.step("cut", faces=np.ascontiguousarray(faces))


def without_nose(scan, tip, radius):
    """The scan without what lies about the nose tip, clean."""
    from fer3d.prepare.clean import clean

    return clean(kept(scan, np.linalg.norm(scan.vertices - tip, axis=1) > radius))


def verdict(scan, tip, placement):
    """Cost of the likeliest place in mm (inf: none), and whether it is good; without a placement nothing is."""
    from fer3d.errors import PrepareError
    from fer3d.prepare.nose import likeliest_nose

    try:
        fit = likeliest_nose(scan)
    except PrepareError:
        return np.inf, False
    if placement is None:
        return fit.cost, False
    cosine = (np.trace(fit.rotation @ placement[:3, :3]) - 1) / 2
    near = tip is None or np.linalg.norm(fit.nose - tip) <= NEAR
    return fit.cost, bool(near and np.degrees(np.arccos(np.clip(cosine, -1, 1))) <= UPRIGHT)


def nose_row(name, rows, worst):
    """One line of the table."""
    cost, good = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
    refused = cost > worst
    of_good = f"{np.percentile(cost[good], 95):.1f} | {cost[good].max():.1f}" if good.any() else " | "
    of_bad = f"{cost[~good].min():.1f}" if (~good).any() else ""
    return (
        f"| {name} | {len(rows)} | {good.sum()} | {share(refused & good, good)} | {(~good).sum()} "
        f"| {share(~refused & ~good, ~good)} | {of_good} | {of_bad} |"
    )


def share(part, whole):
    """As a count and per cent."""
    return f"{part.sum()} ({part.sum() / whole.sum():.1%})" if whole.any() else ""


def confidence_table(people):
    """The table of answers by confidence, about people that the run has not seen."""
    from fer3d.predict import LOW_CONFIDENCE

    correct, confidence = answers(people)
    bins = [0.0, *(edge / 10 for edge in range(3, 10)), 1.0 + 1e-9]
    inside = [(low, high, (confidence >= low) & (confidence < high)) for low, high in pairwise(bins)]
    rows = [(f"{low:.1f} to {high:.1f}", held) for low, high, held in inside]
    flagged = confidence < LOW_CONFIDENCE
    rows += [("flagged", flagged), ("not flagged", ~flagged), ("all", confidence >= 0.0)]
    lines = [
        f"## Confidence: flagged below {LOW_CONFIDENCE:g}",
        "",
        f"oriented-fusion, preset tiny, 4 folds, trained on {people} simulated people of seed {SEED}, asked about "
        f"{people} of seed {OTHERS}; expressions at levels 3 and 4.",
        "",
        "| confidence | answers | correct |",
        "|---|---|---|",
    ]
    lines += [f"| {name} | {held.sum()} | {share(held & correct, held)} |" for name, held in rows if held.any()]
    return "\n".join(lines)


def answers(people):
    """Whether each answer is correct, and its confidence."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part, seed in (("known", SEED), ("strangers", OTHERS)):
            fer3d("synth", folder / part, "--subjects", people, "--levels", "3,4", "--seed", seed)
        fer3d("preprocess", folder / "known", "-o", folder / "prepared", "--size", 96)
        common = ("--data", folder / "prepared", "--folds", 4, "--preset", "tiny", "-o", folder / "run")
        fer3d("train", "oriented-fusion", *common)
        rows = json.loads(fer3d("predict", folder / "run", folder / "strangers/*/*_F3D.wrl", "--json"))
        truth = truths(folder / "strangers")
    named = [(truth[Path(row["file"]).name], row) for row in rows]
    correct = np.array([row["label"] == label for label, row in named])
    return correct, np.array([row["confidence"] for _, row in named])


def truths(folder):
    """File name -> expression, by the layout of the folder."""
    from fer3d.catalog import detection, records

    card, _ = detection.choose(folder, "auto")
    return {record.files["scan"].name: record.expression for record in records.read_catalog(folder, card).records}


def fer3d(*words):
    """What a command prints."""
    command = [sys.executable, "-m", "fer3d", *map(str, words)]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


if __name__ == "__main__":
    main()
