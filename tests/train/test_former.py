"""Runs and prepared folders of 0.1.0, before networks had settings of their own, go on being read and used."""

import json
import platform
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from fer3d.data.input_kinds import PreparedFace
from fer3d.errors import TrainError
from fer3d.evaluate.measure import evaluate_run
from fer3d.maps import Maps
from fer3d.predict import load
from fer3d.prepare.store import read_manifest, read_scan, read_tree
from fer3d.report.html import run_page, write_report
from fer3d.scan import Scan
from fer3d.train.checkpoint import load_model
from fer3d.train.plan import Experiment
from fer3d.train.run import Device, train
from fer3d.train.settings import train_settings

ARCHIVE = Path(__file__).parents[1] / "former" / "0.1.0.zip"
RUNS = ("maps", "registered", "trees", "texture", "killed")
SMALL = ("batch=4", "model.width=1", "epochs=1")


@pytest.fixture(scope="module")
def former(tmp_path_factory):
    folder = tmp_path_factory.mktemp("former")
    with zipfile.ZipFile(ARCHIVE) as file:
        file.extractall(folder)
    return folder


@pytest.fixture
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def processor():
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").is_file() else []
    return next((line.split(":")[1].strip() for line in lines if "model name" in line), "")


def same_bits(made_with):
    """Whether this machine rounds as the one that wrote the expectation: same processor, same torch."""
    here = {
        "cpu": processor(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "machine": platform.machine(),
        "torch": str(torch.__version__),
    }
    return all(made_with[key] == value for key, value in here.items())


def face_of(folder, row):
    """A stored scan as preprocessing would have handed it on."""
    stored = read_scan(folder / row["file"])
    arrays, header = stored.arrays, stored.header
    maps = Maps(
        tuple(header["channels"]),
        arrays["maps"].astype(np.float32),
        arrays["mask"],
        arrays["texture"],
        header["pixel_mm"],
    )
    return PreparedFace(maps, Scan(arrays["vertices"], arrays["faces"]), read_tree(folder, row))


@pytest.mark.parametrize("run", RUNS)
def test_a_former_model_predicts_the_same(former, one_thread, run):
    expected = json.loads((former / "expected.json").read_text())
    tolerance = 0.0 if same_bits(expected["made_with"]) else 1e-4
    for fold, stored in expected["runs"][run].items():
        model = load_model(former / "runs" / run / fold / "model.safetensors")
        assert list(model.classes) == stored["classes"]
        for row in read_manifest(former / "prepared"):
            found = model.probabilities(model.from_scan(face_of(former / "prepared", row)))[0].tolist()
            np.testing.assert_allclose(found, stored["probabilities"][row["id"]], rtol=0, atol=tolerance)


def test_what_a_former_model_is_fed_is_known(former):
    kinds = {run: load(former / "runs" / run).kind.name for run in RUNS}
    assert kinds == {"maps": "maps", "registered": "maps", "trees": "trees", "texture": "maps", "killed": "maps"}
    inputs = load_model(former / "runs" / "registered" / "r00f00" / "model.safetensors").facts.inputs
    assert inputs.warp is not None and inputs.groups == ("depth",)
    assert (
        load_model(former / "runs" / "texture" / "r00f00" / "model.safetensors").facts.inputs.illumination == "hist-eq"
    )


@pytest.mark.parametrize("run", ["maps", "registered", "trees", "texture"])
def test_a_former_run_predicts_raw_scans_and_warns_of_other_steps(former, one_thread, run):
    """Its scan has edges of 10 mm, which today's steps prepare otherwise; a tree then starts from other vertices."""
    (scan,) = (former / "scans").glob("*.bnt")
    near = 0.08 if run == "trees" else 0.01
    predictor = load(former / "runs" / run)
    for item in json.loads((former / "expected_predict.json").read_text()):
        if f"runs/{run} " not in item["command"]:
            continue
        landmarks = scan.with_suffix(".lm3") if "--landmarks" in item["command"] else None
        found = predictor(scan, landmarks=landmarks).to_json()
        (stored,) = item["rows"]
        assert [text for text in found["warnings"] if "an earlier version prepared" in text] == found["warnings"][-1:]
        assert found["label"] == stored["label"] or run == "trees"
        for name, share in stored["probabilities"].items():
            assert found["probabilities"][name] == pytest.approx(share, abs=near)


def test_a_former_run_is_measured_and_reported(former, tmp_path):
    metrics = evaluate_run(former / "runs" / "maps", resamples=50)
    assert metrics.scans == 6
    write_report(tmp_path / "page.html", [run_page(former / "runs" / "maps", metrics.to_json())])
    assert "plain-cnn" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_a_former_run_is_not_gone_on_with_and_says_why(former):
    settings = train_settings("plain-cnn", "tiny", None, (*SMALL, "optimizer=sgd"), model={"maps": "depth"})
    experiment = Experiment(former / "prepared", folds=2, classes=("happiness", "surprise"))
    with pytest.raises(TrainError, match="cannot go on with this run: `fer3d` was '0.1.0', is ") as caught:
        train("plain-cnn", experiment, former / "runs" / "killed", settings, resume=True, device=Device("cpu"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("model", ["plain-cnn", "gcnn"])
def test_a_former_prepared_folder_trains(former, tmp_path, model):
    experiment = Experiment(former / "prepared", folds=2, only=(0,), classes=("happiness", "surprise"))
    run = train(model, experiment, tmp_path / "run", train_settings(model, "tiny", None, SMALL), device=Device("cpu"))
    assert load(run).classes == ("happiness", "surprise")
