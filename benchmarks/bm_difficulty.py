"""How hard are the simulated scans? A plain CNN on them should be correct as often as such nets are on BU-3DFE.

    python benchmarks/bm_difficulty.py --work /tmp/difficulty [--folds 10] [--epochs 20] [--write]

60 simulated subjects, the built-in face and (if its file is there) ICT-FaceKit. A plain 4-layer CNN is trained on
levels 3 and 4 of 54 subjects and tested on the other 6, over 10 folds by subject, on maps of 2 mm a pixel. Wanted: 75
to 88 % from depth and normals; anger/sadness and fear/surprise/disgust confused most; level 1 clearly harder than level
4; texture alone about as good as shape or better, and both together best, as we recall of papers on real scans; file
sizes, counts and holes alone say nothing (a logistic regression on them stays at chance). What is prepared in `--work`
is kept and used again.
"""

import argparse
import time
from pathlib import Path

import numpy as np
from machine import said, where

RESULTS = Path(__file__).parent / "results"
ICT = Path(__file__).parents[2] / "shared" / "data" / "ict_facekit.npz"
SUBJECTS, FOLDS, LEVELS = 60, 10, (1, 3, 4)
INPUTS = {  # name -> channels of the net's input
    "depth + normals": ("depth", "normal_x", "normal_y", "normal_z"),
    "texture": ("red", "green", "blue"),
    "depth + normals + texture": ("depth", "normal_x", "normal_y", "normal_z", "red", "green", "blue"),
}
CHANNELS = INPUTS["depth + normals + texture"]


def main():
    """Parse the command line and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for scans and prepared data; kept")
    parser.add_argument("--folds", type=int, default=FOLDS, help=f"how many of the {FOLDS} folds to run")
    parser.add_argument("--other-folds", type=int, default=3, help="how many for inputs with texture")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--model", choices=("builtin", "ict", "both"), default="both")
    parser.add_argument("--input", choices=(*INPUTS, "all"), default="all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", action="store_true", help=f"also write the tables to {RESULTS.name}/difficulty.md")
    options = parser.parse_args()
    report = "\n\n".join(blocks(options))
    if options.write:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "difficulty.md").write_text(report + "\n", encoding="utf-8")


def blocks(options):
    """Markdown blocks, printed as they come."""
    yield said(heading(options))
    for name, path in {"builtin": None, "ict": ICT}.items():
        if options.model not in (name, "both"):
            continue
        if path is not None and not path.exists():
            yield said(f"## {name}: its file is not here")
            continue
        yield from of_model(name, path, options)


def heading(options):
    """Where, when and what."""
    return (
        f"# How hard the simulated scans are\n\n{where()}, seed {options.seed}; {SUBJECTS} subjects, "
        f"{FOLDS} folds by subject, {options.epochs} epochs. Simulated faces."
    )


def of_model(name, path, options):
    """The tables of one face model."""
    start = time.perf_counter()
    data = load(name, path, options)
    yield said(
        f"## Face model {name}\n\n{len(data['label'])} scans, made and prepared in {time.perf_counter() - start:.0f} s."
    )
    rows = [
        "| input | folds | levels 3 and 4 | level 1 | level 3 | level 4 | s a fold |",
        "|---|---|---|---|---|---|---|",
    ]
    confused = None
    for kind, channels in INPUTS.items():
        if options.input not in (kind, "all"):
            continue
        start = time.perf_counter()
        count = options.folds if confused is None else min(options.folds, options.other_folds)
        truth, guess, level = cross_validate(data, channels, argparse.Namespace(**{**vars(options), "folds": count}))
        spent = (time.perf_counter() - start) / count
        correct = truth == guess
        shares = [f"{100 * correct[level == k].mean():.1f}" for k in LEVELS]
        rows.append(
            f"| {kind} | {count} | {interval(correct[level >= 3])} | " + " | ".join(shares) + f" | {spent:.0f} |"
        )
        confused = (truth, guess, level) if confused is None else confused
    yield said("\n".join(rows))
    yield said(confusion(*confused, data["classes"]))
    yield said(artefacts(data, options))


def interval(correct):
    """Per cent with the half width of its 95 % interval."""
    p = correct.mean()
    return f"{100 * p:.1f} ± {196 * np.sqrt(p * (1 - p) / len(correct)):.1f}"


def load(name, path, options):
    """Arrays of all scans with an expression: input (N, C, H, W) float32, label, level, subject, artefacts."""
    from fer3d import synth
    from fer3d.config import PreprocessSettings
    from fer3d.data.torch_dataset import PreparedDataset
    from fer3d.prepare.folder import preprocess

    scans, out = options.work / f"{name}-{options.seed}", options.work / f"{name}-{options.seed}-prepared"
    if not (out / "manifest.parquet").exists():
        synth.make(scans, "bu3dfe", SUBJECTS, options.seed, 2, face_model=path, levels=LEVELS)
        settings = PreprocessSettings(size=88, pixel_mm=2.0, maps=("depth", "normal", "texture"), keep_mesh=False)
        summary = preprocess(scans, out, settings=settings, workers=2)
        if summary.failures:
            raise SystemExit(f"{len(summary.failures)} scans failed: {summary.failures[0]}")
    classes = ("anger", "disgust", "fear", "happiness", "sadness", "surprise")
    data = PreparedDataset(out, CHANNELS[:4], classes, texture=True)
    samples = [data[i] for i in range(len(data))]
    maps = np.stack([np.concatenate([s["maps"].numpy(), s["texture"].numpy() / 255.0]) for s in samples])
    maps[:, 0] /= 40.0
    maps[:, 4:] = (maps[:, 4:] - 0.5) * (np.stack([s["mask"].numpy() > 0 for s in samples])[:, None] * 2.0)
    return {
        "maps": maps.astype(np.float32),
        "label": np.array([s["label"] for s in samples]),
        "level": np.array([row["intensity"] for row in data.rows]),
        "subject": np.array([row["subject"] for row in data.rows]),
        "artefacts": np.array([scanner_traces(scans / row["source"], row) for row in data.rows]),
        "classes": classes,
    }


def scanner_traces(path, row):
    """What a scan says without its shape: sizes of files, counts, components, holes, how the grid of samples was
    turned."""
    import json

    from fer3d import formats

    history = {step["step"]: step for step in json.loads(row["history"])}
    scan = formats.read(path, texture=False)
    edge = scan.vertices[scan.faces[:, 1]] - scan.vertices[scan.faces[:, 0]]
    turn = 4.0 * np.arctan2(edge[:, 1], edge[:, 0])
    return [
        path.stat().st_size,
        path.with_suffix(".bmp").stat().st_size,
        history["read"]["vertices"],
        history["read"]["faces"],
        history["largest_component"]["components"],
        history["fill_holes"]["holes"],
        history["fill_holes"]["left_open"],
        np.cos(turn).mean(),
        np.sin(turn).mean(),
    ]


def folds_of(data, options):
    """(train subjects, test subjects) of each fold."""
    subjects = np.unique(data["subject"])
    order = np.random.default_rng(options.seed).permutation(subjects)
    for test in np.array_split(order, FOLDS)[: options.folds]:
        yield np.setdiff1d(subjects, test), test


def cross_validate(data, channels, options):
    """Truth, guess and level of every test scan."""
    import torch

    torch.manual_seed(options.seed)
    columns = [CHANNELS.index(channel) for channel in channels]
    inputs, labels = torch.from_numpy(data["maps"][:, columns]), torch.from_numpy(data["label"])
    mirrored = [k for k, channel in enumerate(channels) if channel == "normal_x"]
    parts = []
    for train, test in folds_of(data, options):
        use = torch.from_numpy(np.isin(data["subject"], train) & (data["level"] >= 3))
        asked = np.isin(data["subject"], test)
        net = fit(inputs[use], labels[use], mirrored, options.epochs)
        with torch.inference_mode():
            guess = net(inputs[torch.from_numpy(asked)]).argmax(1).numpy()
        parts.append(np.stack([data["label"][asked], guess, data["level"][asked]]))
    return np.concatenate(parts, axis=1)


def fit(inputs, labels, mirrored, epochs, batch=32):
    """A plain 4-layer CNN: convolution, batch norm, ReLU, max-pooling, four times; dropout; one linear layer."""
    import torch
    from torch import nn

    layers, width = [], inputs.shape[1]
    for out in (16, 32, 64, 64):
        layers += [nn.Conv2d(width, out, 3, padding=1, bias=False), nn.BatchNorm2d(out), nn.ReLU(), nn.MaxPool2d(2)]
        width = out
    net = nn.Sequential(*layers, nn.Flatten(), nn.Dropout(0.5), nn.LazyLinear(6))
    net(inputs[:1])
    steps = epochs * (len(inputs) // batch)
    optimizer = torch.optim.AdamW(net.parameters(), 1e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, steps)
    for _ in range(epochs):
        order = torch.randperm(len(inputs))[: len(inputs) // batch * batch]
        for rows in order.split(batch):
            x = moved(inputs[rows], mirrored)
            loss = nn.functional.cross_entropy(net(x), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return net.eval()


def moved(x, mirrored, shift=3):
    """A batch shifted by a few pixels, half of it mirrored (then normals point the other way along x)."""
    import torch

    dy, dx = (int(torch.randint(-shift, shift + 1, ())) for _ in range(2))
    x = x.roll((dy, dx), (2, 3))
    turn = torch.rand(len(x)) < 0.5
    flipped = x[turn].flip(3)
    flipped[:, mirrored] *= -1
    x[turn] = flipped
    return x


def confusion(truth, guess, level, classes):
    """The confusion matrix of levels 3 and 4, per cent of the true class, and the three pairs confused most."""
    use = level >= 3
    matrix = np.zeros((6, 6))
    np.add.at(matrix, (truth[use], guess[use]), 1)
    share = 100 * matrix / matrix.sum(axis=1, keepdims=True)
    rows = ["| truth \\ guess | " + " | ".join(classes) + " |", "|---|" + "---|" * 6]
    rows += [
        f"| {name} | " + " | ".join(f"{v:.0f}" for v in line) + " |" for name, line in zip(classes, share, strict=True)
    ]
    both = matrix + matrix.T
    pairs = sorted(((both[i, j], classes[i], classes[j]) for i in range(6) for j in range(i)), reverse=True)[:4]
    rows += ["", "Confused most: " + ", ".join(f"{a}/{b} {n:.0f}" for n, a, b in pairs) + "."]
    return "\n".join(rows)


def artefacts(data, options):
    """A logistic regression on the scanner's traces, same folds: must stay at chance."""
    correct = []
    x = data["artefacts"]
    x = (x - x.mean(axis=0)) / np.maximum(x.std(axis=0), 1e-9)
    every = argparse.Namespace(folds=FOLDS, seed=options.seed)
    for train, test in folds_of(data, every):
        use = np.isin(data["subject"], train) & (data["level"] >= 3)
        asked = np.isin(data["subject"], test) & (data["level"] >= 3)
        weights = logistic(x[use], data["label"][use])
        correct.append((np.c_[x[asked], np.ones(asked.sum())] @ weights).argmax(axis=1) == data["label"][asked])
    correct = np.concatenate(correct)
    return f"Logistic regression on file sizes, counts, holes, grid: {interval(correct)} % (chance is 16.7)."


def logistic(x, label, strength=1e-2):
    """(columns + 1, 6): multinomial logistic regression with a little ridge, by L-BFGS."""
    from scipy.optimize import minimize
    from scipy.special import log_softmax, softmax

    x = np.c_[x, np.ones(len(x))]
    wanted = np.eye(6)[label]

    def loss(flat):
        w = flat.reshape(x.shape[1], 6)
        value = -(wanted * log_softmax(x @ w, axis=1)).sum() / len(x) + strength * (w**2).sum()
        return value, ((x.T @ (softmax(x @ w, axis=1) - wanted)) / len(x) + 2 * strength * w).ravel()

    return minimize(loss, np.zeros(x.shape[1] * 6), jac=True, method="L-BFGS-B").x.reshape(x.shape[1], 6)


if __name__ == "__main__":
    main()
