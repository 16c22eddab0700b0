"""A run folder made by hand: plausible random predictions, curves and facts, and nothing trained."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

CLASSES = ("anger", "disgust", "fear", "happiness", "sadness", "surprise")

# How alike two expressions are, anger to surprise: fear is the hard one, as it is on real scans.
_ALIKE = {("anger", "sadness"): 1.6, ("anger", "disgust"): 1.3, ("fear", "surprise"): 1.2, ("fear", "happiness"): 1.0}


def write_run(
    folder: Path,
    *,
    subjects: int = 12,
    levels: tuple[int, ...] = (3, 4),
    folds: int = 4,
    rounds: int = 1,
    classes: tuple[str, ...] = CLASSES,
    skill: float = 2.6,
    seed: int = 0,
    noise: int = 0,
    maps: tuple[str, ...] = ("depth", "normal", "curvature", "texture"),
    data: str = "prepared",
    epochs: int = 30,
) -> Path:
    """Write the files that `fer3d train` leaves, weights excepted.

    Args:
        folder: The run folder to make.
        skill: 0 guesses; about 2.6 is right in 8 of 10.
        seed: Of the folds, and of which scans are hard: shared by two runs that are to be compared.
        noise: Seed of what differs between two such runs.

    Returns:
        `folder`.
    """
    names = [f"{'FM'[number % 2]}{number // 2 + 1:04d}" for number in range(subjects)]
    plan = _plan(names, folds, rounds, seed)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "run.json", _facts(classes, maps, data, len(plan), seed, rounds, folds))
    write_json(folder / "folds.json", plan)
    rng, shared = np.random.default_rng([seed, noise]), np.random.default_rng(seed)
    validating = np.random.default_rng([seed, noise, 1])
    hard = {(name, label): shared.normal(scale=0.9) for name in names for label in classes}
    rows = []

    def predicted(subjects, fold, rng):
        return [
            _row(name, label, level, fold, classes, skill - hard[name, label], rng)
            for name in subjects
            for label in classes
            for level in levels
        ]

    for fold in plan:
        mine = predicted(fold["test"], fold, rng)
        rows += sorted(mine, key=lambda row: row["id"])
        place = folder / f"r{fold['round']:02d}f{fold['fold']:02d}"
        place.mkdir(exist_ok=True)
        write_predictions(place / "predictions.parquet", mine)
        if fold["validation"]:
            write_predictions(place / "validation.parquet", predicted(fold["validation"], fold, validating))
        (place / "log.csv").write_text(_log(epochs, rng, bool(fold["validation"])), encoding="utf-8")
        write_json(place / "done.json", {"seconds": 61.5, "epochs": epochs, "parameters": 182_406, "peak_mib": 512})
    write_predictions(folder / "predictions.parquet", rows)
    return folder


def write_predictions(path: Path, rows: list[dict]) -> None:
    """Write rows as Parquet, probabilities as float32."""
    table = pa.Table.from_pylist(rows)
    for position, name in enumerate(table.column_names):
        if name.startswith("p_"):
            table = table.set_column(position, name, table[name].cast(pa.float32()))
    pq.write_table(table, path)


def read_rows(folder: Path) -> list[dict]:
    """The rows of a run's predictions, to spoil them."""
    return pq.read_table(folder / "predictions.parquet").to_pylist()


def write_json(path: Path, content) -> None:
    """Write JSON as `fer3d train` does."""
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _plan(names, folds, rounds, seed):
    plan = []
    for number in range(rounds):
        parts = np.array_split(np.random.default_rng([seed, number]).permutation(names), folds)
        for fold, part in enumerate(parts):
            validation = parts[(fold + 1) % folds].tolist() if folds > 2 else []
            test = part.tolist()
            train = [name for name in names if name not in (*test, *validation)]
            plan.append({"round": number, "fold": fold, "train": train, "validation": validation, "test": test})
    return plan


def _row(subject, label, level, fold, classes, skill, rng):
    logits = rng.normal(size=len(classes))
    truth = classes.index(label)
    for (one, other), pull in _ALIKE.items():
        if label in (one, other):
            twin = other if label == one else one
            if twin in classes:
                logits[classes.index(twin)] += pull
    logits[truth] += skill + 0.4 * (level - 3)
    weights = np.exp(1.4 * (logits - logits.max()))
    probabilities = (weights / weights.sum()).astype(np.float32)
    row = {
        "id": f"bu3dfe_{subject}_{label}_{level}",
        "subject": subject,
        "expression": label,
        "intensity": level,
        "round": fold["round"],
        "fold": fold["fold"],
    }
    return row | {f"p_{name}": float(value) for name, value in zip(classes, probabilities, strict=True)}


def _log(epochs, rng, validated):
    lines = ["epoch,train_loss,train_accuracy,validation_loss,validation_accuracy,lr,seconds"]
    for epoch in range(1, epochs + 1):
        fit = 1 - np.exp(-epoch / 7)
        loss, accuracy = 1.79 - 1.6 * fit + rng.normal(scale=0.02), 0.17 + 0.8 * fit + rng.normal(scale=0.01)
        held = f"{1.79 - 1.2 * fit + rng.normal(scale=0.06):.4f},{0.17 + 0.62 * fit + rng.normal(scale=0.03):.4f}"
        rate = 5e-4 * (1 + np.cos(np.pi * epoch / epochs))
        lines.append(f"{epoch},{loss:.4f},{accuracy:.4f},{held if validated else ','},{rate:.3e},{2.1:.1f}")
    return "\n".join(lines) + "\n"


def _facts(classes, maps, data, count, seed, rounds, folds):
    return {
        "fer3d": "0.1.0",
        "model": "oriented-fusion",
        "model_settings": {"backbone": "small", "classes": len(classes), "maps": list(maps), "width": 16},
        "settings": {"batch": 32, "epochs": 30, "lr": 0.001, "mixup": 0.0, "optimizer": "adamw", "seed": seed},
        "classes": list(classes),
        "maps": list(maps),
        "channels": ["depth", "normal_x", "normal_y", "normal_z", "shape_index", "mean", "difference"],
        "data": {
            "folder": data,
            "dataset": "bu3dfe",
            "manifest_sha256": "9f" * 32,
            "size": 90,
            "pixel_mm": 2.0,
            "preprocess": {"crop_mm": 90.0, "curvature_radius_mm": 5.0, "pose": "auto", "size": 90, "spike_mm": 3.0},
        },
        "protocol": {"name": "bu3dfe-p1", "rounds": rounds, "folds": folds, "seed": seed},
        "versions": {"python": "3.11.2", "torch": "2.13.0", "numpy": "2.4.6"},
        "device": "cpu",
        "started": "2026-11-24T22:41:07+00:00",
        "seconds": 61.5 * count,
    }
