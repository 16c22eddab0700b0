"""The files beside scans that the package reads, each in a small folder, and what a user does with them.

A case is a folder that is made once, the files in it that are mutated, and a function that reads it as commands do.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fer3d import formats
from fer3d.catalog.cards import SHIPPED, load_card
from fer3d.catalog.protocol_files import check_folds_file
from fer3d.catalog.records import read_catalog
from fer3d.config import preprocess_settings
from fer3d.data.samples import labelled_rows
from fer3d.data.torch_dataset import PreparedDataset
from fer3d.data.tree_samples import load_trees
from fer3d.evaluate.compare import compare
from fer3d.evaluate.ensemble_runs import ensemble_runs
from fer3d.evaluate.grid import numbers_of
from fer3d.evaluate.measure import current_metrics, evaluate_run
from fer3d.evaluate.measure_targets import evaluate_targets
from fer3d.face.load import load_face
from fer3d.files import csv_text, write_json
from fer3d.landmarks import CANONICAL_LANDMARKS
from fer3d.models import build_model
from fer3d.models.surface_grid import SurfaceGrid
from fer3d.predict import load
from fer3d.prepare import recipe
from fer3d.prepare.landmarks.table import COLUMNS, TABLE, read_table
from fer3d.prepare.landmarks.weights import load as load_detector
from fer3d.prepare.shards import pack
from fer3d.prepare.store import is_simulated, read_manifest, read_row, write_manifest
from fer3d.prepare.tasks import stored_scan
from fer3d.report.html import render, run_page
from fer3d.synth.truth import ScanTruth, TruthWriter, read_truth
from fer3d.train.initial_weights import load_initial
from fer3d.train.plan import Experiment, plan_experiment
from fer3d.train.run import Device, read_data, train
from fer3d.train.run_folder import read_run
from fer3d.train.settings import train_settings
from fer3d.train.training_state import restore, restore_optimizer
from tests import picture_trees, trees
from tests.detectors import untrained
from tests.face.test_ict import tiny
from tests.prepared import write_prepared
from tests.prepared_trees import write_prepared_trees
from tests.runs import CLASSES, write_run

RESAMPLES = 5
TWO = ("anger", "happiness")


@dataclass(frozen=True)
class Case:
    """A folder whose files are mutated.

    Attributes:
        kind: Name in the tables.
        make: Fills the folder.
        use: Reads the folder, as one or several commands do.
        mutated: Patterns of the files that are mutated.
    """

    kind: str
    make: Callable[[Path], Any]
    use: Callable[[Path], Any]
    mutated: tuple[str, ...]


# ---- label files, cards, settings ----


def _labels(name: str, make: Callable[[Path], Any], *mutated: str) -> Case:
    return Case("labels", make, lambda folder: read_catalog(folder, _card(name)), mutated)


@cache
def _card(name: str) -> Any:
    return load_card(name)


def _own_labels(folder: Path) -> None:
    trees.generic(folder)
    text = "path,expression,intensity,sex,subject\nanna/happy/1.ply,happiness,3,f,anna\nbert/AN/7.obj,anger,,m,bert\n"
    (folder / "labels.csv").write_text(text, encoding="utf-8")


def _truth_of(folder: Path) -> None:
    trees.generic(folder)
    _write_truth(folder, ("anna/happy/1.ply", "bert/AN/7.obj"))


def _write_card(folder: Path) -> None:
    trees.bu3dfe(folder / "scans")
    for name in ("dataset.toml", "folds.toml"):
        (folder / name).write_bytes((SHIPPED / "bu3dfe" / name).read_bytes())


def _use_card(folder: Path) -> None:
    card = load_card(folder / "dataset.toml")
    check_folds_file(folder / "folds.toml", card.name)
    read_catalog(folder / "scans", card)


def _write_settings(folder: Path) -> None:
    (folder / "prepare.toml").write_text('size = 96\nmaps = ["depth", "normal"]\nhole_mm = 3.0\n', encoding="utf-8")
    text = 'epochs = 3\nlr = 0.01\neasy = ["yaw=5"]\nsiamese = 0.1\nmixup = 0\n[model]\nwidth = 8\nmaps = ["depth"]\n'
    (folder / "train.toml").write_text(text, encoding="utf-8")


def _use_settings(folder: Path) -> None:
    preprocess_settings(folder / "prepare.toml")
    train_settings("oriented-fusion", "small", folder / "train.toml", ())


# ---- landmarks ----


def _write_landmark_files(folder: Path) -> None:
    points = {name: np.array([k, -0.5 * k, 3.25]) for k, name in enumerate(CANONICAL_LANDMARKS)}
    points["bu83_17"] = np.full(3, np.nan)
    extra = {"confidence": {"pronasale": 0.5}, "visible": {"pronasale": True}}
    for name in LANDMARK_FILES:
        formats.write_landmarks(points, folder / name, **extra)


def _use_landmark_files(folder: Path) -> None:
    for name in LANDMARK_FILES:
        formats.read_landmarks(folder / name)


LANDMARK_FILES = ("a.pp", "a.fcsv", "a.mrk.json", "a.csv", "a.json")


# ---- runs ----


def _write_runs(folder: Path) -> None:
    for noise, name in enumerate(("first", "second")):
        place = folder / name
        write_run(place, subjects=6, levels=(3,), folds=3, epochs=3, noise=noise, classes=CLASSES[:3], skill=1.5)
    evaluate_run(folder / "first", resamples=RESAMPLES)
    span = {"value": 0.5, "low": None, "high": None}
    points = [{"kind": "turned", "yaw_deg": y, "scans": 3, "failed": 0, "accuracy": span} for y in (-30.0, 0.0)]
    (folder / "first" / "pose_test.json").write_text(json.dumps({"frontal": 0.6, "points": points}), encoding="utf-8")


def _use_runs(folder: Path) -> None:
    first, second = folder / "first", folder / "second"
    evaluate_run(first, resamples=RESAMPLES)
    compare([first, second], resamples=RESAMPLES)
    ensemble_runs([first, second], resamples=RESAMPLES)
    numbers_of(first, resamples=RESAMPLES)


def _report_runs(folder: Path) -> None:
    first = folder / "first"
    render([run_page(first, current_metrics(first))])


def _trained(folder: Path) -> None:
    """A run of one fold, and the training state of another that was killed."""
    write_prepared(folder / "prepared", ("F0001", "M0001", "F0002"), TWO, (3,), texture=False)
    chosen = train_settings("plain-cnn", "small", None, ("epochs=1", "batch=2", "model.width=4", "model.maps=depth"))
    experiment = Experiment(folder / "prepared", folds=3, classes=TWO, only=(0,))
    train("plain-cnn", experiment, folder / "run", chosen, device=Device("cpu"))
    network = build_model(*_NETWORK[:1], **_NETWORK[1])
    optimizer = _optimizer(network)
    sum(parameter.sum() for parameter in network.parameters()).backward()
    optimizer.step()
    row = {"epoch": 1, "train_loss": 1.0, "train_accuracy": 0.5, "lr": 0.1, "seconds": 1.0}
    torch.save(
        {
            "identity": {"model": "plain-cnn"},
            "epoch": 1,
            "log": [row | {"validation_loss": 0.7, "validation_accuracy": 0.5}],
            "network": network.state_dict(),
            "optimizer": optimizer.state_dict(),
            "best": {"epoch": 1, "loss": 0.7, "network": network.state_dict()},
        },
        folder / "last.ckpt",
    )


_NETWORK: tuple[str, dict[str, Any]] = ("plain-cnn", {"maps": ["depth"], "classes": 2, "width": 4})


def _optimizer(network: Any) -> torch.optim.Optimizer:
    return torch.optim.AdamW([{"params": list(network.parameters()), "weight_decay": 0.1}], lr=0.01)


def _use_model(folder: Path) -> None:
    load(folder / "run")


def _use_state(folder: Path) -> None:
    network = build_model(*_NETWORK[:1], **_NETWORK[1])
    state = restore(folder / "last.ckpt", {"model": "plain-cnn"}, network)
    optimizer = _optimizer(network)
    if state.epoch:
        restore_optimizer(optimizer, state.optimizer, folder / "last.ckpt")
    sum(parameter.sum() for parameter in network.parameters()).backward()
    optimizer.step()
    if state.best:
        network.load_state_dict(state.best["network"])


def _write_values(folder: Path) -> None:
    """A run whose target is values: its predictions have other columns."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = ["valence", "arousal"]
    write_run(folder / "run", subjects=4, levels=(3,), folds=2, epochs=2, classes=CLASSES[:2])
    facts = json.loads((folder / "run" / "run.json").read_text(encoding="utf-8"))
    target = {"kind": "values", "name": "valence-arousal", "names": names, "span": [-1.0, 1.0]}
    (folder / "run" / "run.json").write_text(json.dumps(facts | {"classes": names, "target": target}), encoding="utf-8")
    rows = pq.read_table(folder / "run" / "predictions.parquet").to_pylist()
    random = np.random.default_rng(0)
    for row in rows:
        row |= {f"{start}_{name}": float(random.uniform(-1, 1)) for start in "tp" for name in names}
        for name in CLASSES[:2]:
            del row[f"p_{name}"]
    pq.write_table(pa.Table.from_pylist(rows), folder / "run" / "predictions.parquet")


def _use_values(folder: Path) -> None:
    evaluate_targets(read_run(folder / "run"), resamples=RESAMPLES)


# ---- prepared folders ----


def _write_store(folder: Path) -> None:
    store = write_prepared(folder / "prepared", ("F0001", "M0001"), TWO, (3,), size=8)
    (store / "prepare.json").write_text(json.dumps({"dataset": "bu3dfe", "simulated": True}), encoding="utf-8")
    (store / "card").mkdir()
    for name in ("dataset.toml", "folds.toml"):
        (store / "card" / name).write_bytes(
            (SHIPPED / "jaffe" / "dataset.toml").read_bytes() if name[0] == "d" else _FOLDS
        )
    folds = [{"round": 0, "fold": 0, "train": ["F0001"], "validation": [], "test": ["M0001"]}]
    (folder / "mine.json").write_text(json.dumps(folds), encoding="utf-8")


_FOLDS = (
    b'[two]\ntitle = "two"\nsource = "here"\nclasses = ["anger", "happiness"]\nfolds = 2\n[two.where]\nkind = "E"\n'
)


def _write_shards(folder: Path) -> None:
    write_prepared(folder / "one", ("F0001", "M0001"), TWO, (3,), size=8)
    pack(folder / "one", folder / "prepared", per_shard=2)
    _write_store(folder / "more")
    unsealed = recipe.facts_of(folder / "prepared")  # or no damaged manifest would be read
    write_json(folder / "prepared" / "prepare.json", unsealed)
    for name in ("card/dataset.toml", "card/folds.toml"):
        place = folder / "prepared" / name
        place.parent.mkdir(exist_ok=True)
        place.write_bytes((folder / "more" / "prepared" / name).read_bytes())
    (folder / "mine.json").write_bytes((folder / "more" / "mine.json").read_bytes())


def _use_store(folder: Path) -> None:
    store = folder / "prepared"
    is_simulated(store)
    settings = train_settings("oriented-fusion", "small", None, ("model.width=4",))
    for experiment in (
        Experiment(store, "jaffe-two"),
        Experiment(store, str(folder / "mine.json"), classes=TWO),
    ):
        plan = plan_experiment(experiment, 0)
    read_data("oriented-fusion", plan, settings)
    dataset = PreparedDataset(store, texture=True)
    for number in range(len(dataset)):
        dataset[number]


def _keep_store(folder: Path) -> None:
    """What `fer3d preprocess` keeps, and what the next manifest makes of it."""
    store = folder / "prepared"
    rows = read_manifest(store)
    kept = [stored_scan(path)[0] for path in sorted((store / "scans").glob("*.safetensors"))]
    write_manifest(folder / "new", [scan.header["row"] for scan in kept if scan is not None])
    for row in rows:
        if row["file"]:
            read_row(store, row)


def _write_trees(folder: Path) -> None:
    write_prepared_trees(folder / "prepared", ("F0001", "M0001"), TWO[:1])


def _use_trees(folder: Path) -> None:
    store = folder / "prepared"
    rows = labelled_rows(store)
    for whole in (True, False):
        load_trees([(store, rows)], SurfaceGrid.Settings(vertex_features="xyz", tree=whole), TWO)


# ---- face models, truth of simulations, pretrained weights ----


def _write_faces(folder: Path) -> None:
    np.savez_compressed(folder / "ict.npz", **tiny())
    names = list(CANONICAL_LANDMARKS)
    model = tiny()
    lid = np.arange(6, dtype=np.int32).reshape(2, 3)
    np.savez_compressed(
        folder / "own.npz",
        fer3d_face_model=np.int64(1),
        name=np.array("own"),
        neutral=model["neutral"].astype(np.float64),
        identity_modes=model["identity_modes"].astype(np.float32),
        expression_modes=model["expression_modes"].astype(np.float32),
        expression_names=model["expression_names"],
        triangles=model["triangles"].astype(np.int32),
        part=np.zeros(len(model["triangles"]), np.uint8),
        uv=model["uv"],
        landmark_names=np.array(names),
        landmark_rows=np.arange(len(names)),
        unit_names=np.array(["AU26"]),
        unit_modes=np.array(["jawOpen"]),
        unit_weights=np.array([1.0]),
        lid_closed_by=np.array(["jawOpen"]),
        lid0_upper=lid,
        lid0_lower=lid[0] + 6,
        lid0_share=np.ones((2, 3), np.float32),
        lid0_slope=np.ones((2, 3), np.float32),
    )
    _write_ict_folder(folder / "ict", model)


def _write_ict_folder(folder: Path, model: Mapping[str, Any]) -> None:
    folder.mkdir()
    corners = "\n".join(f"f {a + 1}/{a + 1} {b + 1}/{b + 1} {c + 1}/{c + 1}" for a, b, c in model["triangles"].tolist())
    uv = "\n".join(f"vt {u:.3f} {v:.3f}" for u, v in model["uv"].tolist())
    for name in ("generic_neutral_mesh", "identity000", "identity001", "jawOpen"):
        points = "\n".join(f"v {x:.3f} {y:.3f} {z:.3f}" for x, y, z in model["neutral"].tolist())
        (folder / f"{name}.obj").write_text(f"{points}\n{uv}\n{corners}\n", encoding="ascii")
    indices = {"expressions": ["jawOpen"], "idx_to_landmark_verts": model["landmarks68"].tolist()}
    (folder / "vertex_indices.json").write_text(json.dumps(indices), encoding="ascii")


def _use_face(name: str) -> Callable[[Path], None]:
    def use(folder: Path) -> None:
        model = load_face(folder / name)
        units = {next(iter(model.action_units), ""): 0.5} if model.action_units else {}
        model.shape(np.zeros(len(model.identity_modes)), model.mode_weights(units))

    return use


def _write_truth(folder: Path, files: tuple[str, ...]) -> None:
    names = ("pronasale", "subnasale")
    with TruthWriter(folder, {"seed": 1}, names) as writer:
        from fer3d.synth.optics.visibility import PATCHES, VISIBLE

        writer.write(
            [
                ScanTruth(
                    file=name, subject="anna", expression="anger", level=3, frame=None, phase=None, occluder=None,
                    action_units={"AU12": 0.5}, units={"AU12_L": 0.5, "AU12_R": 0.0}, pose=np.eye(4), yaw=0.0,
                    pitch=0.1, roll=0.0, landmarks={n: np.ones(3) for n in names},
                    visibility=dict.fromkeys(names, VISIBLE), measured=names, patches=dict.fromkeys(PATCHES, 1.0),
                )
                for name in files
            ]
        )  # fmt: skip


def _write_weights(folder: Path) -> None:
    from safetensors.torch import save_file

    branch = next(iter(_branches().pretrained().values()))
    tensors = {name: tensor.contiguous() for name, tensor in branch.state_dict().items()}
    torch.save(tensors, folder / "initial.pth")
    save_file(tensors, folder / "initial.safetensors")


def _branches() -> Any:
    return build_model("oriented-fusion", maps=["normal"], classes=2, width=4)


def _use_weights(name: str) -> Callable[[Path], None]:
    return lambda folder: load_initial(_branches(), str(folder / name), "small")


# ---- the landmark detector ----


def _write_detector(folder: Path) -> None:
    untrained(folder / "detector.safetensors")
    row = dict.fromkeys(COLUMNS, "") | {"file": "a.ply", "status": "found", "landmarks": "a.json", "points": "3"}
    row |= {"probability": "0.5", "mm_per_unit": "1.0", "hidden": "0"}
    (folder / TABLE).write_text(csv_text(COLUMNS, [row]), encoding="utf-8")


def cases() -> list[Case]:
    """All cases, in a fixed order."""
    p = picture_trees
    return [
        _labels("generic", _own_labels, "labels.csv"),
        _labels("generic", _truth_of, "truth.parquet"),
        _labels("fer2013", p.fer2013, "fer2013/*.csv"),
        _labels("ferplus", p.ferplus, "*.csv"),
        _labels("ckplus", p.ckplus, "Emotion/**/*.txt", "FACS/**/*.txt"),
        _labels("raf-db", p.raf_db, "**/*.txt"),
        _labels("affectnet", p.affectnet, "**/*.csv"),
        _labels("affectnet-files", p.affectnet_files, "**/*.npy"),
        _labels("mmi", p.mmi, "**/*.xml"),
        Case("card", _write_card, _use_card, ("dataset.toml", "folds.toml")),
        Case("settings", _write_settings, _use_settings, ("*.toml",)),
        Case("landmarks", _write_landmark_files, _use_landmark_files, LANDMARK_FILES),
        Case(
            "detector",
            _write_detector,
            lambda folder: load_detector(folder / "detector.safetensors"),
            ("*.safetensors",),
        ),
        Case("landmark table", _write_detector, lambda folder: read_table(folder / TABLE), (TABLE,)),
        Case("run", _write_runs, _use_runs, ("first/*.json", "first/*.parquet", "first/r00f0[01]/*")),
        Case("run", _write_runs, _report_runs, ("first/*.json", "first/*.parquet", "first/r00f00/*")),
        Case("run", _write_values, _use_values, ("run/*.json", "run/*.parquet")),
        Case("model", _trained, _use_model, ("run/r00f00/model.safetensors",)),
        Case("state", _trained, _use_state, ("last.ckpt",)),
        Case("store", _write_store, _use_store, ("prepared/*.*", "prepared/card/*", "prepared/scans/F*", "mine.json")),
        Case("store", _write_store, _keep_store, ("prepared/manifest.parquet", "prepared/scans/*")),
        Case("store", _write_shards, _use_store, ("prepared/manifest.parquet", "prepared/shards/*")),
        Case("trees", _write_trees, _use_trees, ("prepared/manifest.parquet", "prepared/scans/*")),
        Case("face", _write_faces, _use_face("ict.npz"), ("ict.npz",)),
        Case("face", _write_faces, _use_face("own.npz"), ("own.npz",)),
        Case("face", _write_faces, _use_face("ict"), ("ict/*",)),
        Case("truth", lambda folder: _write_truth(folder, ("a.ply", "b.ply")), read_truth, ("truth.parquet",)),
        Case("weights", _write_weights, _use_weights("initial.pth"), ("initial.pth",)),
        Case("weights", _write_weights, _use_weights("initial.safetensors"), ("initial.safetensors",)),
    ]
