"""A damaged file of a run, a scan or a model costs only itself, and the message says how to mend it."""

import json
import math
import shutil

import pyarrow.parquet as pq
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from fer3d.errors import CheckpointError, FormatError, MissingLibraryError
from fer3d.evaluate.measure import current_metrics, evaluate_run
from fer3d.files import read_json
from fer3d.image import detect
from fer3d.models import build_model
from fer3d.prepare.store import is_simulated, read_manifest, write_manifest
from fer3d.prepare.tasks import stored_scan
from fer3d.train.checkpoint import load_model
from fer3d.train.plan import Experiment
from fer3d.train.run import Device, train
from fer3d.train.run_facts import POSE_AGAIN, PoseFacts
from fer3d.train.run_folder import read_predictions, read_run
from fer3d.train.settings import train_settings
from fer3d.train.training_state import restore, restore_optimizer
from tests.commands import fer3d
from tests.prepared import write_prepared
from tests.runs import write_run

TARGET = {"kind": "classes", "name": "expression", "names": ["a", "b"]}
TWO = ("anger", "happiness")
CPU = Device("cpu")


@pytest.fixture
def runs(tmp_path):
    """Three runs on the same folds; the second is damaged."""
    places = [write_run(tmp_path / name, subjects=6, folds=3, noise=n, epochs=2) for n, name in enumerate("abc")]
    content = (places[1] / "predictions.parquet").read_bytes()
    (places[1] / "predictions.parquet").write_bytes(content[:-20])
    return [str(place) for place in places]


@pytest.mark.parametrize("command", ["compare", "evaluate", "report"])
def test_a_damaged_run_is_left_out_of_several(runs, capsys, command):
    few = [] if command == "report" else ["--resamples", "20"]
    code, out, err = fer3d(capsys, command, *runs, *few)
    assert code == 3
    assert f"left out {runs[1]}/predictions.parquet: is not a Parquet file" in " ".join(err.split())
    assert "`fer3d train --resume` writes it anew" in " ".join(err.split())
    assert "accuracy" in out


@pytest.mark.parametrize("command", ["compare", "evaluate", "report"])
def test_a_damaged_run_alone_is_an_error(runs, capsys, command):
    code, out, err = fer3d(capsys, command, *(runs[:2] if command == "compare" else runs[1:2]))
    assert code == 1
    assert "predictions.parquet: is not a Parquet file" in " ".join((out + err).split())
    assert "left out" not in err


def test_metrics_that_were_changed_are_measured_again(tmp_path):
    run = write_run(tmp_path / "run", subjects=4, folds=2)
    known = evaluate_run(run, resamples=20).accuracy.value
    content = json.loads((run / "metrics.json").read_text())
    content["accuracy"]["value"] = 0.99
    (run / "metrics.json").write_text(json.dumps(content))
    assert current_metrics(run)["accuracy"]["value"] == known


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("run.json", lambda facts: facts["data"].update(folder=5), "`data.folder` should be a valid string, is 5"),
        ("run.json", lambda facts: facts.update(maps="depth"), "`maps` should be a valid list, is 'depth'"),
        (
            "run.json",
            lambda facts: facts.update(classes=["fear"] * 6),
            "`names` of expression should be .* different names",
        ),
        (
            "run.json",
            lambda facts: facts.update(target=TARGET),
            "`classes` should be the names of its target, a, b, are",
        ),
        ("run.json", lambda facts: facts.update(target={"kind": "x"}), "`target` should have kind, name"),
        ("folds.json", lambda folds: folds[0].update(test="F0001"), "`0.test` should be a valid list, is 'F0001'"),
        ("folds.json", lambda folds: folds[0].update(round=-1), "`0.round` should be greater than or equal to 0"),
        ("folds.json", lambda folds: folds.append(folds[0]), "round 0, fold 0 comes twice"),
    ],
)
def test_wrong_values_in_a_run_are_named(tmp_path, name, change, message):
    run = write_run(tmp_path / "run", subjects=4, folds=2)
    content = json.loads((run / name).read_text())
    change(content)
    (run / name).write_text(json.dumps(content))
    with pytest.raises(FormatError, match=rf"run/{name}: .*{message}.*; train the run again in another folder"):
        read_run(run)


# ---- prepared folders ----


@pytest.mark.parametrize("place", ["../../x.safetensors", "/etc/passwd", "scans/../../x", "a\\b", "", "a\0b"])
def test_a_manifest_does_not_lead_out_of_its_folder(tmp_path, place):
    folder = write_prepared(tmp_path / "prepared", ("F0001",), TWO, (3,))
    rows = read_manifest(folder)
    write_manifest(folder, [rows[0] | {"file": place}, *rows[1:]])
    message = r"manifest\.parquet: the file of .* should lie in the prepared folder, is .*; prepare the scans again"
    with pytest.raises(FormatError, match=message):
        read_manifest(folder)


@pytest.mark.parametrize("attributes", ["[1]", "{", '{"a": [1]}', '{"a": NaN}', '{"folds": 3}'])
def test_attributes_are_plain_values(tmp_path, attributes):
    def change(row):
        row["attributes"] = attributes

    folder = write_prepared(tmp_path / "prepared", ("F0001",), TWO, (3,), change=change)
    with pytest.raises(FormatError, match=r"manifest\.parquet: .*; prepare the scans again"):
        read_manifest(folder)


def test_simulated_faces_never_pass_for_real_ones(tmp_path):
    assert not is_simulated(tmp_path)
    (tmp_path / "prepare.json").write_text('{"simulated": true, "dataset": "bu3d')
    with pytest.raises(FormatError, match=r"prepare\.json: is not JSON .*; prepare the scans again"):
        is_simulated(tmp_path)


@pytest.mark.parametrize(
    ("key", "value"),
    [("channels", ["depth"]), ("row", {"id": 5}), ("inputs", {"scan": 3}), ("pixel_mm", -1), ("settings", None)],
)
def test_a_scan_with_a_damaged_header_is_prepared_again(tmp_path, key, value):
    """`preprocess` keeps a scan whose header is whole; any other is none."""
    folder = write_prepared(tmp_path / "prepared", ("F0001",), TWO, (3,))
    path = sorted((folder / "scans").iterdir())[0]
    assert stored_scan(path)[0] is not None
    with safe_open(path, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (a handle, not a dict)
        header = json.loads(file.metadata()["fer3d"])
    save_file(tensors, path, {"fer3d": json.dumps(header | {key: value})})
    assert stored_scan(path)[0] is None


# ---- weights of detectors ----


@pytest.mark.parametrize("content", [None, b"", b"<opencv_storage><cascade>", b"onnx" * 50])
def test_damaged_weights_of_a_detector_are_named(tmp_path, monkeypatch, content):
    cv2 = pytest.importorskip("cv2")
    for name in ("haarcascade_frontalface_alt2.xml", "pnet.onnx", "rnet.onnx", "onet.onnx"):
        if content is not None:
            (tmp_path / name).write_bytes(content)
    monkeypatch.setattr(cv2.data, "haarcascades", str(tmp_path))
    monkeypatch.setattr(detect, "_folder", lambda *names: tmp_path)
    for name in ("haar", "mtcnn"):
        with pytest.raises(MissingLibraryError, match=rf"{name}: .* cannot be loaded.*pip install"):
            detect._LOADERS[name]()


# ---- training ----


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    write_prepared(folder / "prepared", ("F0001", "M0001", "F0002"), TWO, (3,), texture=False)
    return _train(folder)


def _train(folder, resume=False):
    chosen = train_settings("plain-cnn", "small", None, ("epochs=1", "batch=2", "model.width=4", "model.maps=depth"))
    experiment = Experiment(folder / "prepared", folds=3, classes=TWO, only=(0,))
    return train("plain-cnn", experiment, folder / "run", chosen, resume=resume, device=CPU)


def test_resuming_writes_damaged_predictions_anew(trained, tmp_path):
    shutil.copytree(trained.parent, tmp_path / "copy")
    path = tmp_path / "copy" / "run" / "predictions.parquet"
    before = path.read_bytes()
    path.write_bytes(before[: len(before) // 2])
    _train(tmp_path / "copy", resume=True)
    assert path.read_bytes() == before
    (path.parent / "r00f00" / "predictions.parquet").write_bytes(b"PAR1")
    message = r"r00f00/predictions\.parquet: .*; delete the folder of this fold and go on with `fer3d train --resume`"
    with pytest.raises(FormatError, match=message):
        _train(tmp_path / "copy", resume=True)
    assert len(read_predictions(read_run(path.parent))) == len(pq.read_table(path))


def _with_header(trained, tmp_path, **changes):
    path = trained / "r00f00" / "model.safetensors"
    with safe_open(path, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (a handle, not a dict)
        header = json.loads(file.metadata()["fer3d"])
    for key, value in changes.items():
        header[key] = header[key] | value if isinstance(value, dict) else value
    save_file(tensors, tmp_path / "model.safetensors", {"fer3d": json.dumps(header)})
    return tmp_path / "model.safetensors"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_settings": {"width": 10**9}}, "width` should be less than or equal to"),
        ({"model_settings": {"classes": 10**12}}, "should have shape"),
        ({"model_settings": {"classes": "two"}}, "its settings make no network plain-cnn"),
        ({"model_settings": {"width": 8}}, "should have shape"),
        ({"normalisation": {"mean": [0.0, 1.0]}}, "as many means and deviations as channels"),
        ({"normalisation": {"deviation": [0.0]}}, "`normalisation.deviation.0` should be greater than 0"),
        ({"size": None}, "`size` should be a number, is missing"),
        ({"illumination": "dark"}, "`illumination` should be one of raw"),
        ({"input": "sounds"}, "`input` should be one of"),
        ({"mirror": "yes"}, "`mirror` should be a valid boolean, is 'yes'"),
    ],
)
def test_a_damaged_model_is_refused_before_it_takes_memory(trained, tmp_path, changes, message):
    with pytest.raises(CheckpointError, match=rf"model\.safetensors: .*{message}"):
        load_model(_with_header(trained, tmp_path, **changes))


def test_weights_that_are_no_numbers_are_refused(trained, tmp_path):
    path = _with_header(trained, tmp_path)
    with safe_open(path, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (a handle, not a dict)
        metadata = file.metadata()
    name = next(name for name, tensor in tensors.items() if tensor.is_floating_point())
    tensors[name].view(-1)[0] = torch.nan
    save_file(tensors, path, metadata)
    with pytest.raises(CheckpointError, match=rf"{name} holds NaN or infinity; train the fold again"):
        load_model(path)


def _state(kind=torch.optim.AdamW):
    network = build_model("plain-cnn", maps=["depth"], classes=2, width=4)
    optimizer = kind(network.parameters(), lr=0.01)
    sum(parameter.sum() for parameter in network.parameters()).backward()
    optimizer.step()
    row = {"epoch": 1, "train_loss": 1.0, "train_accuracy": 0.5, "lr": 0.1, "seconds": 1.0}
    row |= {"validation_loss": None, "validation_accuracy": None}
    content = {"identity": {"a": 1}, "epoch": 1, "log": [row], "network": network.state_dict(), "best": {}}
    return network, optimizer, content | {"optimizer": optimizer.state_dict()}


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("epoch", -1, "`epoch` should be greater"),
        ("epoch", 2, "`log` should have a row for each of 2 epochs"),
        ("log", [{"epoch": 1}], "`log.0.train_loss` is missing"),
        ("identity", 3, "`identity` should be a table"),
        ("network", {"a": 2}, "`network` should hold tensors by name"),
        ("best", {"epoch": 1}, "`best.* is missing"),
    ],
)
def test_a_damaged_state_says_how_to_go_on(tmp_path, key, value, message):
    network, _, content = _state()
    torch.save(content | {key: value}, tmp_path / "last.ckpt")
    with pytest.raises(CheckpointError, match=rf"last\.ckpt: .*{message}.*; remove the file to train the fold anew"):
        restore(tmp_path / "last.ckpt", {"a": 1}, network)


@pytest.mark.parametrize("kind", [torch.optim.AdamW, lambda p, lr: torch.optim.SGD(p, lr=lr, momentum=0.9)])
def test_the_state_of_an_optimiser_comes_back_or_is_refused(tmp_path, kind):
    _, _, content = _state(kind)
    path = tmp_path / "last.ckpt"

    def spoilt(change):
        _, fresh, _ = _state(kind)
        torch.save(content, path)
        state = torch.load(path, weights_only=True)["optimizer"]
        change(state)
        restore_optimizer(fresh, state, path)

    spoilt(lambda state: None)
    changes = (
        lambda state: state["state"][0].clear(),
        lambda state: state["param_groups"][0].update(lr="fast"),
        lambda state: state["param_groups"][0].update(weight_decay=7.0),
        lambda state: state["param_groups"].clear(),
        lambda state: state["state"].update({0: {name: torch.ones(3) for name in state["state"][0]}}),
        lambda state: state["state"].update({0: dict.fromkeys(state["state"][0]) | {"x": 1}}),
    )
    for change in changes:
        with pytest.raises(CheckpointError, match=r"last\.ckpt: `optimizer` is .*; remove the file"):
            spoilt(change)


def test_a_log_that_never_ends_is_refused(tmp_path, capsys):
    run = write_run(tmp_path / "run", subjects=4, folds=2, epochs=2)
    log = (run / "r00f00" / "log.csv").read_text()
    (run / "r00f00" / "log.csv").write_text(log.replace("\n2,", "\n1e300,"))
    code, out, err = fer3d(capsys, "report", run)
    assert code == 1
    assert "log.csv: line 3 should hold an epoch and numbers up to 1e+30" in " ".join((out + err).split())


@pytest.mark.parametrize("failed", [None, "two", [], {}])
def test_a_damaged_pose_test_is_named(tmp_path, failed):
    point = {"kind": "turned", "yaw_deg": 0.0, "scans": 3, "failed": failed, "accuracy": {"value": 0.5}}
    path = tmp_path / "pose_test.json"
    path.write_text(json.dumps({"frontal": 0.5, "points": [point], "reason": ""}), encoding="utf-8")
    with pytest.raises(FormatError, match=r"pose_test\.json: `points\.0\.failed` should be .*--pose-test"):
        read_json(path, PoseFacts, POSE_AGAIN)


@pytest.mark.parametrize("rate", [1e300, -1.0, math.nan])
def test_a_learning_rate_that_no_schedule_has_is_refused(tmp_path, rate):
    optimizer = torch.optim.AdamW([torch.zeros(2, requires_grad=True)], lr=0.1)
    state = optimizer.state_dict()
    state["param_groups"][0]["lr"] = rate
    with pytest.raises(CheckpointError, match="last.ckpt: `optimizer` is that of other settings"):
        restore_optimizer(optimizer, state, tmp_path / "last.ckpt")
