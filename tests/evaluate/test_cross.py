"""A run on another prepared folder: whose scans, which classes, prepared how."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from fer3d.errors import ArgumentError, FileError
from fer3d.evaluate.cross import cross_test
from fer3d.evaluate.measure import evaluate_run
from fer3d.train.checkpoint import load_model
from fer3d.train.plan import Experiment
from fer3d.train.run import train
from fer3d.train.settings import train_settings
from fer3d.train.views import Views, answers
from tests import prepared as prepared_module
from tests.commands import fer3d
from tests.prepared import SIX, write_prepared
from tests.prepared_trees import write_prepared_trees

TINY = ["epochs=1", "model.width=2", "batch=6"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_prepared(tmp_path_factory.mktemp("cross") / "prepared", intensities=(3,))


@pytest.fixture(scope="module")
def run(tmp_path_factory, data):
    """Two folds of four subjects."""
    settings = train_settings("plain-cnn", "small", None, TINY)
    return train("plain-cnn", Experiment(data, folds=2), tmp_path_factory.mktemp("cross") / "run", settings)


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """Three people of another data set, with scans that the run cannot know."""

    def change(row):
        if row["id"] == "bs001_fear_3":
            row["expression"] = "neutral"
        if row["id"] in ("bs001_anger_3", "bs002_anger_3"):
            row["expression"] = None

    folder = tmp_path_factory.mktemp("cross") / "bosphorus"
    return write_prepared(folder, ("bs000", "bs001", "bs002"), intensities=(3,), dataset="bosphorus", change=change)


def table_of(path):
    return {row["id"]: row for row in pq.read_table(path).to_pylist()}


def test_it_is_the_mean_of_the_folds_over_all_other_scans(run, other):
    result = cross_test(run, other, resamples=50)
    assert (result.data, result.dataset, result.folds) == ("bosphorus", "bosphorus", ("r00f00", "r00f01"))
    assert result.unlabelled == 2
    assert result.unknown == {"neutral": 1}
    assert result.trained == {} and result.absent == ()
    table = table_of(run / "cross_bosphorus.parquet")
    assert len(table) == result.metrics.scans == 18 - 3
    assert result.metrics.subjects == 3
    models = [load_model(run / fold / "model.safetensors") for fold in result.folds]
    from fer3d.data.samples import labelled_rows, load

    rows = [row for row in labelled_rows(other) if row["expression"] in SIX]
    maps = load([(other, rows)], models[0].maps, SIX)
    want = []
    for model in models:
        x = model.normalisation.apply(maps.take(torch.arange(len(rows)), torch.device("cpu")))
        want.append(answers(model.network, model.normalisation, x, model.facts.target, Views()))
    want = torch.stack(want).mean(dim=0).numpy()
    got = np.array([[table[row["id"]][f"p_{name}"] for name in SIX] for row in rows])
    np.testing.assert_allclose(got, want, atol=1e-6)
    correct = np.mean([SIX[k] == row["expression"] for k, row in zip(got.argmax(axis=1), rows, strict=True)])
    assert result.metrics.accuracy.value == pytest.approx(correct)
    written = json.loads((run / "cross_bosphorus.json").read_text(encoding="utf-8"))
    assert written["accuracy"]["value"] == pytest.approx(correct)
    assert written["cross"]["unknown"] == {"neutral": 1}
    assert result.notes == [
        "2 scans without a label are left out",
        "1 scans of classes that the run does not know are left out: neutral 1",
    ]


def test_who_trained_a_network_is_left_out(tmp_path, data):
    """With one fold, what is left of the run's own data are its test subjects: the run's own accuracy."""
    settings = train_settings("plain-cnn", "small", None, TINY)
    run = train("plain-cnn", Experiment(data, folds=2, only=(0,)), tmp_path / "run", settings)
    own = evaluate_run(run, resamples=50)
    result = cross_test(run, data, resamples=50)
    assert result.metrics.accuracy.value == own.accuracy.value
    assert result.metrics.confusion == own.confusion
    assert sorted(result.trained.values()) == [6, 6]
    assert "12 scans of 2 subjects that trained the run are left out: " in result.notes[0]


def test_nobody_is_left_of_the_training_data(run, data):
    with pytest.raises(ArgumentError, match=r"got none of 24: 24 are of subjects that trained the run \(F0001, F0002"):
        cross_test(run, data)


def test_the_same_names_in_another_data_set_are_other_people(run, tmp_path):
    twin = write_prepared(tmp_path / "twin", intensities=(3,), classes=SIX[:2], dataset="other")
    result = cross_test(run, twin, resamples=50)
    assert result.metrics.scans == 8
    assert result.absent == SIX[2:]
    assert result.notes == [f"no scan is of {', '.join(SIX[2:])}, which the run can predict"]
    assert "per_class.fear.recall" in result.metrics.undefined


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"size": 20},
            r"prepared otherwise than the run's scans: `size` should be 16, is 20; prepare it again: fer3d preprocess "
            r"SCANS -o NEW_FOLDER --set size=16$",
        ),
        (
            {"crop_mm": 80.0, "pose": "found"},
            r"`pose` should be auto, is found; `crop_mm` should be 90, is 80; .* --set pose=auto --set crop_mm=90$",
        ),
        ({"pixel_mm": 2.0}, r"`pixel_mm` should be 11.2, is 2; .* --set pixel_mm=11.2$"),
        ({"curvature_radius_mm": 7.0}, r"`curvature_radius_mm` should be 5, is 7; "),
    ],
)
def test_the_scans_must_be_prepared_alike(run, tmp_path, monkeypatch, change, message):
    monkeypatch.setattr(prepared_module, "SETTINGS", prepared_module.SETTINGS | change)
    folder = write_prepared(tmp_path / "new", ("bs000",), SIX[:2], (3,), dataset="bosphorus")
    with pytest.raises(ArgumentError, match=message):
        cross_test(run, folder)


def test_what_the_network_does_not_read_may_differ(run, tmp_path, monkeypatch):
    more = {"unit": "mm", "keep_mesh": False, "tree": True, "tree_rays": 8}
    monkeypatch.setattr(prepared_module, "SETTINGS", prepared_module.SETTINGS | more)
    folder = write_prepared(tmp_path / "new", ("bs000",), SIX[:2], (3,), dataset="bosphorus")
    assert cross_test(run, folder, resamples=20).metrics.scans == 2


def test_maps_that_are_missing_are_named(run, tmp_path):
    folder = write_prepared(tmp_path / "new", ("bs000",), SIX[:2], (3,), channels=("depth",), dataset="bosphorus")
    with pytest.raises(ArgumentError, match="`maps` asks for normal, the scans have the channels depth; prepare them"):
        cross_test(run, folder)


def test_trees_and_their_stencils(tmp_path):
    data = write_prepared_trees(tmp_path / "trees", ("F0001", "M0001", "F0002"), SIX[:2])
    settings = train_settings("gcnn", "small", None, ["epochs=1", "model.width=2", "batch=2"])
    run = train("gcnn", Experiment(data, folds=3, only=(0,), classes=SIX[:2]), tmp_path / "run", settings)
    own = evaluate_run(run, resamples=20)
    assert cross_test(run, data, resamples=20).metrics.accuracy.value == own.accuracy.value
    maps = write_prepared(tmp_path / "maps", ("bs000",), SIX[:2], (3,), dataset="bosphorus")
    with pytest.raises(ArgumentError, match="--tree"):
        cross_test(run, maps)


def test_values_are_measured_as_values(tmp_path):
    def change(row):
        row["valence"] = SIX.index(row["expression"]) / 5 - 0.5

    data = write_prepared(tmp_path / "prepared", intensities=(3,), change=change)
    settings = train_settings("plain-cnn", "small", None, TINY)
    run = train("plain-cnn", Experiment(data, folds=2, target="valence"), tmp_path / "run", settings)
    other = write_prepared(tmp_path / "other", ("a", "b"), intensities=(3,), dataset="other", change=change)
    result = cross_test(run, other, resamples=20)
    assert (result.metrics.main, result.metrics.scans, result.absent) == ("ccc", 12, ())


def test_a_folder_that_is_not_there(run, tmp_path):
    with pytest.raises(FileError, match=r"nowhere/manifest.parquet: is missing; `fer3d preprocess` writes it"):
        cross_test(run, tmp_path / "nowhere")


def test_the_command_prints_what_it_measured(run, other, capsys):
    code, out, err = fer3d(capsys, "evaluate", run, "--data", other, "--resamples", 20)
    assert code == 0, err
    text = " ".join(out.split())
    assert "on bosphorus (bosphorus), by 2 networks" in text
    assert "15 scans of 3 subjects" in text
    assert "classes that the run does not know are left out: neutral 1" in text
    assert "cross_bosphorus.json" in text.replace(" ", "")
    code, out, err = fer3d(capsys, "evaluate", run, "--data", other, "--resamples", 20, "--json")
    assert code == 0, err
    assert json.loads(out) == json.loads((run / "cross_bosphorus.json").read_text(encoding="utf-8"))
    code, out, err = fer3d(capsys, "evaluate", run, "--resamples", 20, "--json")
    assert code == 0, err
    stored = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    del stored["content_sha256"]  # of the file
    assert json.loads(out) == stored
