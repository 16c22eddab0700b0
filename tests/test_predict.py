import csv
import io
import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from fer3d import formats, predict, synth
from fer3d.catalog.targets import ClassTarget
from fer3d.config import PreprocessSettings
from fer3d.data import input_kinds
from fer3d.data.channels import Normalisation, channel_names
from fer3d.data.input_kinds import InputFacts, PreparedFace
from fer3d.errors import ArgumentError, CheckpointError, FileError, FormatError
from fer3d.formats.find import find_scans, landmark_file
from fer3d.models import build_model
from fer3d.predict import Prediction, load, predict_files
from fer3d.prepare import prepare
from fer3d.train.checkpoint import ModelFacts, load_model, save_model
from fer3d.train.views import Views
from tests.commands import fer3d
from tests.runs import CLASSES, write_json, write_run

SETTINGS = PreprocessSettings(size=40)


def write_model(path, seed=0, maps=("depth", "normal", "curvature", "texture"), classes=CLASSES, **preprocess):
    """A network with random weights that says rather different things of different inputs."""
    torch.manual_seed(seed)
    arguments = {"maps": list(maps), "classes": len(classes), "width": 4}
    network = build_model("oriented-fusion", **arguments)
    with torch.no_grad():
        for parameter in network.head.parameters():
            parameter.mul_(8)
    names = channel_names(maps)
    facts = ModelFacts(
        model="oriented-fusion",
        model_settings=arguments,
        target=ClassTarget("expression", tuple(classes)),
        kind="maps",
        inputs=InputFacts(
            normalisation=Normalisation(names, (0.4,) * len(names), (1.5,) * len(names)),
            groups=tuple(maps),
            size=40,
            pixel_mm=SETTINGS.pixel,
        ),
        preprocess=SETTINGS.model_dump(mode="json") | preprocess,
        views=Views(),
    )
    save_model(path, network, facts)


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    folder = tmp_path_factory.mktemp("predict") / "scans"
    synth.make(folder, subjects=1, seed=5, levels=(4,), pitch=2.5)
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    run = write_run(tmp_path_factory.mktemp("predict") / "dff", subjects=3, folds=3)
    for fold in range(3):
        write_model(run / f"r00f{fold:02d}" / "model.safetensors", seed=fold)
    return run


@pytest.fixture(scope="module")
def predictor(run):
    return load(run)


def wrl(scans):
    return next(scans.rglob("*_HA04WH_F3D.wrl"))


def test_it_is_the_mean_of_what_the_networks_say_of_the_prepared_maps(run, scans, predictor):
    made = predictor(wrl(scans))
    _, maps = prepare(formats.read(wrl(scans)), SETTINGS)
    each = []
    for fold in range(3):
        model = load_model(run / f"r00f{fold:02d}" / "model.safetensors")
        each.append(model.probabilities(model.from_scan(PreparedFace(maps)))[0].numpy())
        alone = load(run, f"r00f{fold:02d}")(wrl(scans))
        np.testing.assert_allclose(list(alone.probabilities.values()), each[-1], atol=1e-6)
    np.testing.assert_allclose(list(made.probabilities.values()), np.mean(each, axis=0), atol=1e-6)
    assert list(made.probabilities) == list(CLASSES)
    assert made.agreement == pytest.approx(np.mean(np.argmax(each, axis=1) == np.argmax(np.mean(each, axis=0))))
    assert made.label == CLASSES[int(np.argmax(np.mean(each, axis=0)))]


def test_a_scan_in_memory_and_one_file_of_weights_will_do(run, scans, predictor):
    raw = formats.read(wrl(scans))
    assert predictor(raw) == predictor(wrl(scans)) == predictor(str(wrl(scans)))
    path = run / "r00f01" / "model.safetensors"
    assert load(path)(raw) == load(run, "r00f01")(raw)


def test_landmarks_are_used_only_if_they_are_given(scans, predictor):
    path = wrl(scans)
    beside = landmark_file(path)
    assert beside == path.with_suffix(".bnd")
    with_them, without = predictor(path, landmarks=beside), predictor(path)
    assert with_them != without
    assert next(predict_files(predictor, [path])).prediction == without
    assert next(predict_files(predictor, [path], landmarks=True)).prediction == with_them


def test_a_run_posed_by_landmarks_says_when_it_had_to_do_without(tmp_path, scans):
    write_model(tmp_path / "model.safetensors", pose="landmarks")
    predictor = load(tmp_path / "model.safetensors")
    made = predictor(wrl(scans))
    assert made.warnings == ("posed by landmarks found on its shape, while the run's scans had landmark files",)
    assert predictor(wrl(scans), landmarks=landmark_file(wrl(scans))).warnings == ()


def test_only_the_maps_that_the_networks_see_are_made(tmp_path, scans):
    write_model(tmp_path / "model.safetensors", maps=("depth",))
    predictor = load(tmp_path / "model.safetensors")
    assert predictor.settings == SETTINGS.model_copy(update={"maps": ("depth",)})
    assert sum(predictor(wrl(scans)).probabilities.values()) == pytest.approx(1.0)


def test_a_scan_without_texture_is_predicted_and_says_so(scans, predictor):
    raw = formats.read(wrl(scans))
    made = predictor(replace(raw, texture=None, uv=None))
    assert made.warnings == ("no texture: its branch saw the mean colour of the training scans",)
    assert sum(made.probabilities.values()) == pytest.approx(1.0)


def test_a_picture_is_refused_by_a_run_on_scans(tmp_path, predictor):
    assert predictor.kind.name == "maps"
    with pytest.raises(FormatError, match="x.png: wanted a scan, as the run was trained on scans, got a picture"):
        predictor(tmp_path / "x.png")


def test_a_run_on_scans_takes_scans_only(run, predictor):
    for wrong, said in ((np.zeros((4, 5, 3), np.uint8), r"an array \(4, 5, 3\) uint8"), (None, "NoneType")):
        with pytest.raises(ArgumentError, match=f"^`scan` should be a file or a `Scan`, as the run .* is {said}$"):
            predictor(wrong)
    for name in ("crops", "whole_picture"):
        with pytest.raises(
            ArgumentError, match=f"^`{name}` is of pictures, the run was trained on scans; leave it out"
        ):
            load(run, **{name: True})


@pytest.mark.parametrize("layout", ["bosphorus", "frgc"])
def test_range_images_are_read_too(tmp_path, predictor, layout):
    synth.make(tmp_path / "scans", layout, subjects=1, seed=2, pitch=3.0)
    path = find_scans([tmp_path / "scans"])[0]
    row = next(predict_files(predictor, [path]))
    assert row.reason == ""
    assert row.prediction.label in CLASSES


def test_what_to_make_of_a_prediction():
    sure = Prediction(dict(zip("abc", (0.1, 0.7, 0.2), strict=True)), 1.0)
    assert (sure.label, sure.second, sure.confidence, sure.note) == ("b", "c", 0.7, "")
    assert sure.entropy == pytest.approx(
        -(0.1 * math.log(0.1) + 0.7 * math.log(0.7) + 0.2 * math.log(0.2)) / math.log(3)
    )
    torn = Prediction(dict(zip("abc", (0.3, 0.3, 0.4), strict=True)), 0.4)
    assert torn.note == "low confidence, only 40 % of the networks agree"
    assert Prediction({"a": 0.55, "b": 0.45}, 1.0).note == "low confidence"
    assert Prediction({"a": 0.65, "b": 0.35}, 1.0).note == ""
    assert Prediction({"a": 1.0, "b": 0.0}, 1.0).entropy == 0.0
    assert Prediction({"a": 0.5, "b": 0.5}, 1.0).entropy == pytest.approx(1.0)


def test_folders_patterns_and_names(scans, tmp_path):
    every = find_scans([scans])
    assert [path.name for path in every] == sorted(path.name for path in every)
    assert all(path.suffix == ".wrl" for path in every)
    assert find_scans([f"{scans}/**/*_HA04WH_F3D.wrl", wrl(scans)]) == [wrl(scans)]
    assert find_scans([tmp_path, "nowhere/*.wrl"]) == [tmp_path, predict.Path("nowhere/*.wrl")]


def test_what_fails_is_a_row_with_its_reason(scans, tmp_path, predictor, monkeypatch):
    broken, empty = tmp_path / "broken.wrl", tmp_path / "empty"
    broken.write_text("#VRML V2.0 utf8\n")
    empty.mkdir()
    paths = [broken, tmp_path / "missing.ply", empty, tmp_path / "a.txt", wrl(scans)]
    rows = list(predict_files(predictor, paths))
    assert [row.prediction is None for row in rows] == [True, True, True, True, False]
    assert [row.path for row in rows] == paths
    assert "missing" in rows[1].reason or "No such file" in rows[1].reason
    assert rows[2].reason.startswith("holds no file that ends in .wrl, ")
    assert "should end in one of .wrl" in rows[3].reason
    assert all(str(tmp_path) not in row.reason for row in rows[:3])
    monkeypatch.setattr(input_kinds, "prepare_with_tree", lambda *_, **__: 1 / 0)
    (row,) = predict_files(predictor, [wrl(scans)])
    assert row.reason.startswith("internal error at test_predict.py:")


def test_runs_without_networks_are_named(run, tmp_path):
    with pytest.raises(FileError, match="nothing: is missing; `run` should be a folder of `fer3d train`"):
        load(tmp_path / "nothing")
    with pytest.raises(FileError, match="holds no finished fold"):
        load(tmp_path)
    with pytest.raises(FileError, match="`fold` should be one of r00f00, r00f01, r00f02, is 'r00f03'"):
        load(run, "r00f03")


def test_folds_that_do_not_belong_together_are_refused(tmp_path):
    for fold, crop in enumerate((90.0, 80.0)):
        (tmp_path / f"r00f{fold:02d}").mkdir()
        write_model(tmp_path / f"r00f{fold:02d}" / "model.safetensors", crop_mm=crop)
        write_json(tmp_path / f"r00f{fold:02d}" / "done.json", {})
    with pytest.raises(FormatError, match=r"r00f01/model\.safetensors: `preprocess` should be that of r00f00, .*90"):
        load(tmp_path)
    (tmp_path / "r00f00" / "model.safetensors").write_bytes(b"pickle")
    with pytest.raises(CheckpointError, match=r"r00f00/model\.safetensors: is not a whole safetensors file"):
        load(tmp_path)


def test_the_command_prints_a_table_json_or_csv(run, scans, tmp_path, capsys):
    broken = tmp_path / "broken.wrl"
    broken.write_text("")
    code, out, err = fer3d(capsys, "predict", run, wrl(scans))
    assert code == 0, err
    assert "1 of 1 scans predicted by 3 networks" in out
    code, out, _ = fer3d(capsys, "predict", run, wrl(scans), broken, "--json", "--fold", "r00f01")
    assert code == 3
    good, bad = json.loads(out)
    assert sum(good["probabilities"].values()) == pytest.approx(1)
    assert good["label"] == max(good["probabilities"], key=good["probabilities"].get)
    assert bad == {"file": str(broken), "status": "failed", "reason": bad["reason"]}
    code, out, _ = fer3d(capsys, "predict", run, broken, f"{scans}/**/*_F3D.wrl", "--csv", "--landmarks")
    assert code == 3
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [row["status"] for row in rows] == ["failed"] + ["ok"] * 7
    assert float(rows[1][f"p_{rows[1]['label']}"]) == float(rows[1]["confidence"])


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (("--json", "--csv"), "`--json` and `--csv` should not be given together"),
        (("--fold", "r09f00"), "`fold` should be one of r00f00, r00f01, r00f02, is 'r09f00'"),
        (("--unit", "feet"), "--unit: `unit` "),
    ],
)
def test_a_wrong_call_is_one_line(run, extra, message, capsys):
    code, _, err = fer3d(capsys, "predict", run, "scan.wrl", *extra)
    assert code == 1
    assert message in err
    assert err.count("\n") == 1


def test_the_unit_can_be_told(run, scans, tmp_path, capsys):
    raw = formats.read(wrl(scans))
    small = replace(raw, vertices=(raw.vertices / 25.4).astype(np.float32), texture=None, uv=None)
    formats.write(small, tmp_path / "inches.ply")
    code, out, err = fer3d(capsys, "predict", run, tmp_path / "inches.ply", "--json", "--unit", "25.4")
    assert code == 0, err
    assert "no texture" in json.loads(out)[0]["warnings"][-1]
