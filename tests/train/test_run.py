"""`fit` and `train`: what a run folder holds, that a killed run ends with the same bits."""

import csv
import filecmp
import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch

from fer3d.config import MapSettings
from fer3d.data.input_kinds import PreparedFace
from fer3d.data.samples import load
from fer3d.image.losses import squared_hinge
from fer3d.maps import Maps
from fer3d.models import build_model, network_class
from fer3d.models.oriented_fusion import OrientedFusion
from fer3d.prepare import store
from fer3d.train import loop
from fer3d.train.checkpoint import load_model, load_state
from fer3d.train.objective import Objective
from fer3d.train.plan import Experiment
from fer3d.train.run import Callbacks, Device, train
from fer3d.train.run_folder import read_log, read_predictions, read_run, read_validation
from fer3d.train.settings import train_settings
from tests.prepared import SIX, write_prepared

ROOT = Path(__file__).parents[2]
CPU = Device("cpu")
QUICK = ("epochs=2", "batch=8", "shift_mm=1")
SMALL = ("model.width=4", "model.maps=depth,normal")  # of networks that choose their maps

SCRIPT = """
import sys, time
from fer3d.data import samples
from tests.train.test_run import train_slice
made = samples.augment
def slow(*arguments, **options):
    time.sleep(0.15)
    return made(*arguments, **options)
samples.augment = slow
train_slice(sys.argv[1], sys.argv[2])
"""


def train_slice(data, out, *more, resume=False, devices=1):
    """One fold of four epochs on one thread: the number of threads may change the last bit of a sum."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    settings = train_settings("oriented-fusion", "small", None, (*SMALL, "epochs=4", "batch=8", *more))
    callbacks = Callbacks(on_epoch_end=lambda fold, epochs, row: os.write(1, b"epoch %d\n" % row["epoch"]))
    experiment = Experiment(Path(data), folds=3, only=(0,), validation=True)
    train(
        "oriented-fusion", experiment, out, settings, resume=resume, device=Device("cpu", devices), callbacks=callbacks
    )
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return write_prepared(tmp_path_factory.mktemp("train") / "prepared")


def quick(*assignments, model="oriented-fusion"):
    small = SMALL if issubclass(network_class(model).Settings, MapSettings) else ()
    return train_settings(model, "small", None, (*QUICK, *small, *assignments))


@pytest.fixture(scope="module")
def run(prepared, tmp_path_factory):
    """Two of three folds, with validation subjects."""
    out = tmp_path_factory.mktemp("runs") / "x"
    experiment = Experiment(prepared, folds=3, validation=True, only=(0, 2))
    return train("oriented-fusion", experiment, out, quick(), device=CPU)


def test_a_run_folder_holds_what_it_should(run):
    facts = json.loads((run / "run.json").read_text())
    assert facts["model"] == "oriented-fusion"
    assert facts["classes"] == list(SIX)
    assert facts["maps"] == ["depth", "normal"]
    assert facts["channels"] == ["depth", "normal_x", "normal_y", "normal_z"]
    assert facts["data"]["dataset"] == "bu3dfe"
    assert re.fullmatch("[0-9a-f]{64}", facts["data"]["manifest_sha256"])
    assert facts["protocol"]["name"] == "k-fold"
    assert facts["settings"]["epochs"] == 2
    assert len(json.loads((run / "folds.json").read_text())) == 3
    assert sorted(path.name for path in (run / "r00f00").iterdir()) == [
        "done.json",
        "log.csv",
        "model.safetensors",
        "predictions.parquet",
        "validation.parquet",
    ]
    assert not (run / "r00f01").exists()
    done = json.loads((run / "r00f00" / "done.json").read_text())
    assert done["epochs"] == 2
    assert done["parameters"] > 1000


def test_the_reader_of_run_folders_takes_it(run):
    predictions = read_predictions(read_run(run))
    fold = json.loads((run / "folds.json").read_text())[2]
    assert {s for s, f in zip(predictions.subjects, predictions.folds, strict=True) if f == 2} == set(fold["test"])
    assert read_log(run / "r00f00")[1]["epoch"] == 2


def test_validation_scans_are_predicted_in_a_file_of_their_own(run):
    read = read_validation(read_run(run))
    folds = json.loads((run / "folds.json").read_text())
    log = read_log(run / "r00f02")
    assert sorted(read) == [(0, 0), (0, 2)]
    for (_, number), made in read.items():
        assert set(made.subjects) == set(folds[number]["validation"])
    assert float(read[0, 2].correct.mean()) == pytest.approx(log[-1]["validation_accuracy"])


def test_the_log_has_a_row_an_epoch(run):
    with (run / "r00f02" / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert all(float(row["validation_loss"]) > 0 for row in rows)


def test_a_model_file_alone_predicts_as_the_run_did(run, prepared):
    model = load_model(run / "r00f00" / "model.safetensors")
    assert model.kind.name == "maps"
    assert model.classes == SIX
    assert model.maps == ("depth", "normal")
    table = pq.read_table(run / "r00f00" / "predictions.parquet").to_pylist()
    for row in table[:3]:
        scan = store.read_scan(prepared / "scans" / f"{row['id']}.safetensors")
        maps = Maps(
            tuple(scan.header["channels"]),
            scan.arrays["maps"].astype("float32"),
            scan.arrays["mask"],
            scan.arrays["texture"],
            scan.header["pixel_mm"],
        )
        made = model.probabilities(model.from_scan(PreparedFace(maps)))[0]
        wanted = torch.tensor([row[f"p_{name}"] for name in SIX])
        torch.testing.assert_close(made, wanted, rtol=0, atol=1e-5)


def test_maps_are_warped_where_scans_have_landmarks_and_not_elsewhere(run, prepared, tmp_path):
    assert load_model(run / "r00f00" / "model.safetensors").facts.inputs.warp is not None
    bare = write_prepared(tmp_path / "bare", change=lambda row: row.update(landmark_names=None, landmarks=None))
    notes = []
    experiment = Experiment(prepared, folds=3, only=(0,))
    for model, folder, more, wanted in (
        ("plain-cnn", prepared, (), False),
        ("plain-cnn", prepared, ("model.warp=true",), True),
        ("oriented-fusion", prepared, ("model.warp=false",), False),
        ("oriented-fusion", bare, (), False),
    ):
        out = tmp_path / f"{model}-{folder.name}-{'-'.join(more)}"
        ask = replace(experiment, data=folder)
        settings = quick("epochs=1", *more, model=model)
        train(model, ask, out, settings, device=CPU, callbacks=Callbacks(on_message=notes.append))
        assert (load_model(out / "r00f00" / "model.safetensors").facts.inputs.warp is not None) == wanted
    assert [note for note in notes if "warped" in note] == [
        "maps are not warped in 1 of 1 folds: too few training scans have landmarks of the eyes and the nose"
    ]


def test_it_learns(prepared, tmp_path):
    still = (
        "rotate_deg=0",
        "mirror=0",
        "test_mirror=false",
        "tilt_deg=0",
        "depth_jitter_mm=0",
        "scale=0",
        "stretch=0",
        "bend_mm=0",
    )
    settings = quick("epochs=12", "model.maps=depth", *still)
    out = train("oriented-fusion", Experiment(prepared, folds=4, only=(1,)), tmp_path / "run", settings, device=CPU)
    predictions = read_predictions(read_run(out))
    assert predictions.correct.mean() > 0.8


@pytest.mark.parametrize("model", ["df-cnn", "plain-cnn"])
def test_other_models_run(prepared, tmp_path, model):
    settings = quick(*(("model.read_out=svm",) if model == "df-cnn" else ()), model=model)
    out = train(model, Experiment(prepared, folds=2, only=(0,)), tmp_path / "run", settings, device=CPU)
    assert len(read_predictions(read_run(out))) == 24


@pytest.mark.parametrize(
    ("model", "more"),
    [
        ("tang", ()),
        ("khorrami", ("model.pixels=32",)),
        ("yu-zhang", ("class_weights=balanced",)),
        ("frr-cnn", ("model.pixels=32", "mixup=0.4")),
        ("dlp-cnn", ("model.pixels=32",)),
        ("resnet-18", ("model.pixels=32", "precision=bf16-mixed")),
    ],
)
def test_networks_for_pictures_run_on_the_texture(prepared, tmp_path, model, more):
    settings = quick("epochs=1", *more, model=model)
    out = train(model, Experiment(prepared, folds=2, only=(0,)), tmp_path / "run", settings, device=CPU)
    assert len(read_predictions(read_run(out))) == 24
    loaded = load_model(out / "r00f00" / "model.safetensors")
    assert loaded.maps == ("texture",)
    scan = store.read_scan(next((prepared / "scans").glob("*.safetensors")))
    maps = Maps((), scan.arrays["maps"][:0], scan.arrays["mask"], scan.arrays["texture"], scan.header["pixel_mm"])
    made = loaded.probabilities(loaded.from_scan(PreparedFace(maps)))
    torch.testing.assert_close(made.sum(dim=1), torch.ones(1))


def test_an_objective_of_the_network_takes_the_place_of_cross_entropy_and_a_penalty_stands_beside_it(prepared):
    """Tang's criterion and the penalty of FRR-CNN, term by term, with mixing and class weights."""
    rows = store.read_manifest(prepared)
    data = load([(prepared, rows)], ("texture",), SIX)
    y, z = torch.tensor([0, 1, 5, 3]), torch.tensor([2, 2, 5, 0])
    x = torch.randn(4, 3 + 1, 16, 16, generator=torch.Generator().manual_seed(0))
    some = torch.arange(len(rows) - 5)  # so that classes differ in size
    settings = quick("class_weights=balanced", model="tang")
    loss = loop._loss(settings, data, some, torch.device("cpu"))
    weights = len(some) / (6 * torch.bincount(data.labels[some], minlength=6))
    assert weights.unique().numel() > 1
    tang = build_model("tang", classes=6, svm_c=0.5).eval()
    made = tang.losses(x, Objective(loss, y, y, (z, 0.3)))
    assert list(made.terms) == ["classification"]
    torch.testing.assert_close(made.outputs, tang(x))
    of_y, of_z = ((weights[labels] * squared_hinge(tang(x), labels)).mean() for labels in (y, z))
    torch.testing.assert_close(made.terms["classification"], 0.7 * 0.5 * of_y + 0.3 * 0.5 * of_z)
    frr = build_model("frr-cnn", classes=6, pixels=16, penalty_weight=2.0).eval()
    loss = loop._loss(quick("label_smoothing=0", model="frr-cnn"), data, some, torch.device("cpu"))
    made = frr.losses(x, Objective(loss, y, y))
    logits, maps = frr.network.observe(frr.picture(x))
    assert list(made.terms) == ["classification", "penalty"]
    torch.testing.assert_close(made.outputs, logits)
    torch.testing.assert_close(made.terms["classification"], torch.nn.functional.cross_entropy(logits, y))
    torch.testing.assert_close(made.terms["penalty"], frr.network.penalty(maps, y))
    assert made.terms["penalty"] > 0


def test_every_answer_of_a_network_has_the_whole_loss(prepared):
    rows = store.read_manifest(prepared)
    data = load([(prepared, rows)], ("depth", "normal"), SIX)
    settings = quick("model.auxiliary=0.25", "label_smoothing=0")
    arguments = OrientedFusion.arguments(settings.model, 6, data.shape)
    network = build_model("oriented-fusion", **arguments).eval()
    x = torch.randn(5, 4 + 1, 16, 16, generator=torch.Generator().manual_seed(0))
    y = torch.tensor([0, 1, 5, 3, 2])
    loss = loop._loss(settings, data, torch.arange(len(rows)), torch.device("cpu"))
    made = network.losses(x, Objective(loss, y, y))
    parts = network.branch_features(x)
    answers = {
        "classification": network.head(network.fuse(torch.cat(parts, dim=1))),
        "early": network.early(x),
        "auxiliary.depth": network.auxiliary["depth"](parts[0].mean((2, 3))),
        "auxiliary.normal": network.auxiliary["normal"](parts[1].mean((2, 3))),
    }
    assert list(made.terms) == list(answers)
    entropy = torch.stack([torch.nn.functional.cross_entropy(logits, y) for logits in answers.values()])
    torch.testing.assert_close(torch.stack(list(made.terms.values())), entropy * torch.tensor([1.0, 1.0, 0.25, 0.25]))


def test_a_killed_run_ends_with_the_same_bits(prepared, tmp_path):
    command = [sys.executable, "-c", SCRIPT, str(prepared), str(tmp_path / "killed")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as killed:
        assert killed.stdout is not None
        while killed.stdout.readline().strip() != "epoch 2":
            assert killed.poll() is None
        time.sleep(0.2)  # in the middle of the third epoch
        killed.send_signal(signal.SIGKILL)
    state = load_state(tmp_path / "killed" / "r00f00" / "last.ckpt")
    assert 2 <= state["epoch"] < 4
    train_slice(prepared, tmp_path / "killed", resume=True)
    train_slice(prepared, tmp_path / "whole")
    one, two = ((tmp_path / name / "r00f00") for name in ("whole", "killed"))
    for name in ("model.safetensors", "predictions.parquet"):  # of megabytes, whose difference pytest must not print
        assert filecmp.cmp(one / name, two / name, shallow=False), name
    assert not (two / "last.ckpt").exists()


def test_two_processes_reach_the_loss_of_one(prepared, tmp_path):
    nothing_left_out = ("model.dropout=0", "model.location_dropout=0", "model.map_dropout=0")
    train_slice(prepared, tmp_path / "one", *nothing_left_out)
    code = "import sys; from tests.train.test_run import train_slice; train_slice(*sys.argv[1:], devices=2)"
    script = tmp_path / "two.py"
    script.write_text(code)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*launch, str(prepared), str(tmp_path / "two"), *nothing_left_out],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    one, two = (read_log(tmp_path / name / "r00f00") for name in ("one", "two"))
    assert len(one) == len(two) == 4
    for a, b in zip(one, two, strict=True):
        assert abs(a["validation_loss"] - b["validation_loss"]) < 1e-3
        assert abs(a["train_loss"] - b["train_loss"]) < 1e-3


@pytest.mark.parametrize(
    "more",
    [
        "mixup=0.4",
        "class_weights=balanced",
        "optimizer=sgd",
        "schedule=cosine",
        "model.mask=true",
        "label_smoothing=0",
        "precision=bf16-mixed",
        "seed=1",
    ],
)
def test_settings_change_what_comes_out(prepared, tmp_path, run, more):
    def lopsided(row):
        row["status"] = "failed" if row["expression"] == "fear" and row["intensity"] == 4 else "ok"

    data = write_prepared(tmp_path / "data", change=lopsided) if "class_weights" in more else prepared
    experiment = Experiment(data, folds=3, only=(0,), validation=True)
    out = train("oriented-fusion", experiment, tmp_path / "run", quick(more), device=CPU)
    assert len(read_predictions(read_run(out))) > 0
    one, two = ((folder / "r00f00" / "model.safetensors").read_bytes() for folder in (out, run))
    assert one != two


def test_the_best_epoch_is_chosen_on_validation_subjects(prepared, tmp_path):
    made = {}
    for select in ("last", "best"):
        settings = quick("epochs=6", f"select={select}", "lr=0.02", "schedule=constant")
        experiment = Experiment(prepared, folds=3, only=(0,), validation=True)
        made[select] = train("oriented-fusion", experiment, tmp_path / select, settings, device=CPU) / "r00f00"
    losses = [row["validation_loss"] for row in read_log(made["best"])]
    assert losses == [row["validation_loss"] for row in read_log(made["last"])]
    same = (made["best"] / "model.safetensors").read_bytes() == (made["last"] / "model.safetensors").read_bytes()
    assert same is (min(losses) == losses[-1])


def test_training_on_one_set_and_testing_on_another(prepared, tmp_path):
    other = write_prepared(tmp_path / "other", ["F0001", "X9"], intensities=(None,), dataset="bosphorus")
    experiment = Experiment(prepared, "cross", test_data=other)
    out = train("oriented-fusion", experiment, tmp_path / "run", quick("epochs=1"), device=CPU)
    predictions = read_predictions(read_run(out))
    assert set(predictions.subjects) == {"bosphorus/F0001", "bosphorus/X9"}
    facts = json.loads((out / "run.json").read_text())
    assert (facts["data"]["dataset"], facts["data"]["test"]["dataset"]) == ("bu3dfe", "bosphorus")


def test_a_tensorboard_log_is_written_if_asked_for(prepared, tmp_path):
    pytest.importorskip("tensorboard")
    experiment = Experiment(prepared, folds=3, only=(0,))
    out = train("oriented-fusion", experiment, tmp_path / "run", quick("epochs=1", "tensorboard=true"), device=CPU)
    assert list((out / "r00f00" / "tensorboard").glob("events.out.tfevents.*"))


def test_where_the_scans_lie_changes_nothing(prepared, tmp_path):
    for where in ("host", "device"):
        experiment = Experiment(prepared, folds=3, only=(0,))
        train("oriented-fusion", experiment, tmp_path / where, quick("epochs=1", f"data_on={where}"), device=CPU)
    one, two = ((tmp_path / where / "r00f00" / "model.safetensors").read_bytes() for where in ("host", "device"))
    assert one == two


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("more", [(), ("precision=bf16-mixed",), ("data_on=host",)])
def test_it_trains_on_a_gpu(prepared, tmp_path, more):
    experiment = Experiment(prepared, folds=3, only=(0,), validation=True)
    out = train("oriented-fusion", experiment, tmp_path / "run", quick(*more), device=Device("cuda"))
    assert len(read_predictions(read_run(out))) == 24
    assert read_log(out / "r00f00")[1]["train_loss"] < 10
