"""Pairs of the Siamese objective: who is easy, who is whose partner, and the term in the training loop."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from fer3d.data.pairs import Pairing, easy_test, pair_targets
from fer3d.errors import ArgumentError, ConfigError, TrainError
from fer3d.image.losses import siamese_term
from fer3d.train import loop
from fer3d.train.checkpoint import load_model, load_state
from fer3d.train.plan import Experiment
from fer3d.train.run import Callbacks, Device, train
from fer3d.train.run_folder import read_log
from fer3d.train.settings import train_settings
from tests.prepared import SIX, write_prepared

ROOT = Path(__file__).parents[2]
LIGHTS = (("even", 0.0), ("side", 0.0), ("even", 30.0), ("dim", -45.0))
SIAMESE = ("siamese=0.5", "easy=yaw=5,light=even")


def row(subject="a", expression="anger", yaw=0.0, light="even", **attributes):
    pose = None if yaw is None else [math.radians(yaw), 0.0, math.nan]
    content = json.dumps({"light": light, **attributes})
    return {"subject": subject, "expression": expression, "intensity": None, "pose": pose, "attributes": content}


def photographed(folder):
    """Every scan of the small prepared folder four times, under the conditions of LIGHTS."""

    def change(row):
        light, yaw = LIGHTS[row["intensity"]]
        row |= {"intensity": None, "pose": [math.radians(yaw), 0.0, 0.0], "attributes": json.dumps({"light": light})}

    return write_prepared(folder, ("F0001", "M0001", "F0002"), intensities=range(4), change=change)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return photographed(tmp_path_factory.mktemp("pairs") / "prepared")


def settings(*more, model="3c2f"):
    small = {"3c2f": ("model.pixels=16", "model.width=4"), "oriented-fusion": ("model.width=4",)}
    return train_settings(model, "small", None, (*small.get(model, ("model.pixels=16",)), "epochs=2", "batch=8", *more))


@pytest.mark.parametrize(
    ("conditions", "wanted"),
    [
        (["yaw=5"], [True, True, False, False, True, False]),
        (["yaw=30"], [True, True, True, False, True, False]),
        (["light=even"], [True, False, True, False, True, True]),
        (["light=even|side", " yaw = 5 "], [True, True, False, False, True, False]),
        (["roll=90"], [False] * 6),  # not known
        (["flash=07"], [False, False, False, False, True, False]),
    ],
)
def test_who_is_easy(conditions, wanted):
    table = [row(yaw=yaw, light=light) for light, yaw in LIGHTS] + [row(flash="07"), row(yaw=None)]
    test = easy_test(conditions)
    assert [test(each) for each in table] == wanted


@pytest.mark.parametrize("wrong", ["yaw", "yaw=", "=5", "yaw=far", "pitch=-1", "yaw=nan"])
def test_a_condition_that_cannot_be_read(wrong):
    with pytest.raises(ArgumentError, match="`easy` should hold"):
        easy_test([wrong])
    with pytest.raises(ArgumentError, match="`easy` should hold conditions such as yaw=5 or flash=07, is empty"):
        easy_test([])


def test_partners_show_the_same_face_under_easy_conditions():
    table = [
        row("a", "anger", 0),
        row("a", "anger", 30),
        row("a", "fear", 30),
        row("b", "anger", 30),
        row("b", "anger", 0),
        row("b", "anger", 0, recording="02"),
        row("b", "anger", 45, recording="02"),
        row("b", "anger", 0),
    ]
    rows = torch.tensor([6, 1, 0, 3, 5, 4, 7])  # in any order; row 2 is no training scan
    pairing = Pairing.of(table, rows, ["yaw=5"], "fold")
    drawn = [pairing.partners(seed) for seed in range(20)]
    assert {tuple(partners[[0, 1, 4, 5, 6]].tolist()) for partners in drawn} == {(-1, 0, -1, -1, 5)}
    assert {int(partners[3]) for partners in drawn} == {4, 7}  # drawn anew
    assert torch.equal(pairing.partners(3), drawn[3])


def test_partners_are_training_scans_only():
    table = [row("a", yaw=30), row("a", yaw=0), row("b", yaw=30), row("b", yaw=0)]
    partners = Pairing.of(table, torch.tensor([0, 2, 3]), ["yaw=5"], "fold").partners(0)
    assert partners.tolist() == [-1, -1, 3, -1]


def test_no_pair_at_all_is_one_line():
    table = [row("a", yaw=30), row("b", yaw=0), row("c", yaw=40)]
    message = r"r00f00: wanted pictures of one face .* \(yaw=5\), got no pair among 1 easy and 2 hard ones"
    with pytest.raises(TrainError, match=message):
        Pairing.of(table, torch.arange(3), ["yaw=5"], "r00f00")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("siamese=1",), "settings: `easy` should say what siamese pulls towards, such as yaw=0,flash=07"),
        (("siamese=1", "easy=even"), "settings: `easy` should hold conditions such as yaw=5 or flash=07, holds 'even'"),
        (("siamese=1", "easy=yaw=5", "mixup=0.2"), "settings: `mixup` should be 0 with siamese"),
        (("siamese=-1",), "settings: `siamese` "),
    ],
)
def test_settings_that_do_not_fit(more, message):
    with pytest.raises(ConfigError, match=message):
        settings(*more)


def test_the_pull_is_its_definition():
    features, targets = (torch.randn(5, 3, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))
    paired = torch.tensor([True, False, True, True, False])
    each = [
        0.5 * sum(float(a - b) ** 2 for a, b in zip(f, t, strict=True)) for f, t in zip(features, targets, strict=True)
    ]
    wanted = (each[0] + each[2] + each[3]) / 5
    torch.testing.assert_close(siamese_term(features, targets, paired), torch.tensor(wanted))
    torch.testing.assert_close(siamese_term(features, targets), torch.tensor(sum(each) / 5))
    with pytest.raises(ArgumentError, match="`paired` should have shape"):
        siamese_term(features, targets, paired[:3])


def test_the_term_of_a_batch_is_its_definition(prepared):
    """What the loop computes, against features of single pictures, one after the other."""
    from lightning_fabric import Fabric

    from fer3d.data.samples import load
    from fer3d.models import build_model
    from fer3d.prepare.store import read_manifest

    fabric, chosen = Fabric(accelerator="cpu", devices=1), settings(*SIAMESE, "mirror=1")
    data = load([(prepared, read_manifest(prepared))], ("texture",), SIX)
    rows = data.rows_of(["F0001", "F0002"])
    normalisation = data.fit_normalisation(rows)
    network = build_model("3c2f", classes=6, pixels=16, width=4)
    read_head = loop._classifier_input(network)
    pairing = Pairing.of(data.rows, rows, chosen.easy, "fold")
    for batch in loop._batches(fabric, data, rows, normalisation, chosen, 16, (0, 0, 3), pairing):
        assert len(batch.x) == len(batch.seen_labels) == 16 + int(batch.paired.sum())
        logits = network(batch.x)
        made = loop._siamese_term(read_head(), batch)
        with torch.no_grad():
            alone = [network.features(picture[None])[0] for picture in batch.x]
        wanted, others = 0.0, iter(alone[16:])
        for feature, paired in zip(alone[:16], batch.paired, strict=True):
            wanted += float((feature - next(others)).square().sum()) / 2 if paired else 0.0
        torch.testing.assert_close(made.item(), wanted / 16, rtol=1e-4, atol=1e-6)
        read_head().retain_grad()
        made.backward()
        gradient = read_head().grad
        assert torch.equal(gradient[16:], -gradient[:16][batch.paired])  # both sides move
        assert not gradient[:16][~batch.paired].any()
        assert logits.shape == (len(batch.x), 6)


def test_a_partner_is_changed_as_the_scan_itself(prepared):
    from lightning_fabric import Fabric

    from fer3d.data.samples import load
    from fer3d.prepare.store import read_manifest

    data = load([(prepared, read_manifest(prepared))], ("texture",), SIX)
    data.values.pixels[:] = data.values.pixels[:1]  # all pictures alike: what differs is how they were changed
    rows = torch.arange(len(data.rows))
    pairing = Pairing.of(data.rows, rows, ("yaw=5", "light=even"), "fold")
    fabric, normalisation = Fabric(accelerator="cpu", devices=1), data.fit_normalisation(rows)
    for batch in loop._batches(fabric, data, rows, normalisation, settings(*SIAMESE), 24, (0, 0, 0), pairing):
        assert 0 < int(batch.paired.sum()) < 24
        torch.testing.assert_close(batch.x[:24][batch.paired], batch.x[24:])


def test_it_changes_the_weights_and_is_the_same_twice(prepared, tmp_path):
    made = {}
    for name, more in (("plain", ()), ("pairs", SIAMESE), ("again", SIAMESE)):
        experiment = Experiment(prepared, folds=3, only=(0,))
        out = train("3c2f", experiment, tmp_path / name, settings(*more), device=Device("cpu"))
        made[name] = load_model(out / "r00f00" / "model.safetensors").network.state_dict()["network.head.1.weight"]
    assert torch.equal(made["pairs"], made["again"])
    assert not torch.equal(made["pairs"], made["plain"])


@pytest.mark.parametrize(
    ("model", "more"),
    [("frr-cnn", ("model.width=4",)), ("resnet-18", ()), ("oriented-fusion", ("model.maps=depth,texture",))],
)
def test_other_networks_pull_too(prepared, tmp_path, model, more):
    chosen = settings(*SIAMESE, *more, "epochs=1", "batch=24", model=model)
    out = train(model, Experiment(prepared, folds=3, only=(0,)), tmp_path / "run", chosen, device=Device("cpu"))
    assert math.isfinite(read_log(out / "r00f00")[0]["train_loss"])


def train_slice(data, out, devices=1, epochs=4, resume=False):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    chosen = settings(*SIAMESE, "epochs=4", "model.dropout=0")

    def tick(fold, planned, entry):
        if entry["epoch"] == epochs < 4:
            raise KeyboardInterrupt

    experiment = Experiment(Path(data), folds=3, only=(0,), validation=True)
    train(
        "3c2f",
        experiment,
        out,
        chosen,
        resume=resume,
        device=Device("cpu", devices),
        callbacks=Callbacks(on_epoch_end=tick),
    )
    torch.set_num_threads(threads)


def test_a_stopped_run_ends_with_the_same_bits(prepared, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train_slice(prepared, tmp_path / "stopped", epochs=2)
    assert load_state(tmp_path / "stopped" / "r00f00" / "last.ckpt")["epoch"] == 2
    train_slice(prepared, tmp_path / "stopped", resume=True)
    train_slice(prepared, tmp_path / "whole")
    one, two = ((tmp_path / name / "r00f00" / "model.safetensors").read_bytes() for name in ("stopped", "whole"))
    assert one == two


def test_two_processes_reach_the_loss_of_one(prepared, tmp_path):
    train_slice(prepared, tmp_path / "one")
    script = tmp_path / "two.py"
    code = "import sys; from tests.data.test_pairs import train_slice; train_slice(*sys.argv[1:], devices=2)"
    script.write_text(code)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [*launch, str(prepared), str(tmp_path / "two")]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-2000:]
    one, two = (read_log(tmp_path / name / "r00f00") for name in ("one", "two"))
    assert len(one) == len(two) == 4
    for a, b in zip(one, two, strict=True):
        assert abs(a["validation_loss"] - b["validation_loss"]) < 1e-3
        assert abs(a["train_loss"] - b["train_loss"]) < 1e-3


def test_pairs_have_one_subject_and_expression_and_an_easy_target():
    random = np.random.default_rng(0)
    subjects, expressions, easy = random.integers(0, 5, 300), random.integers(0, 3, 300), random.random(300) < 0.2
    moments = random.integers(0, 2, 300)
    for more in (None, moments):
        targets = pair_targets(subjects, expressions, easy, random, moments=more)
        for row, target in enumerate(targets):
            same = (subjects == subjects[row]) & (expressions == expressions[row]) & easy
            if more is not None:
                same &= moments == moments[row]
            if easy[row] or not same.any():
                assert target == -1
            else:
                assert same[target]
    drawn = {pair_targets([0] * 4, [1] * 4, [False, True, True, True], random)[0] for _ in range(60)}
    assert drawn == {1, 2, 3}


def test_lengths_that_differ_are_named():
    with pytest.raises(ArgumentError, match="`easy` should have 1 entries, as `subjects`, has 2"):
        pair_targets([1], [1], [True, False], np.random.default_rng(0))
