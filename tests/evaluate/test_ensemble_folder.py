"""The folder of an ensemble: evaluated, compared and reported like a run, and its networks predict with its weights."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from fer3d.data.input_kinds import PreparedFace
from fer3d.errors import FileError, FormatError
from fer3d.evaluate.ensemble_folder import read_members, write_ensemble
from fer3d.evaluate.ensemble_runs import ensemble_runs
from fer3d.predict import Ensemble, Predictor, load
from fer3d.train.plan import Experiment
from fer3d.train.run import Device, train
from fer3d.train.run_folder import read_predictions, read_run
from fer3d.train.settings import train_settings
from tests.commands import fer3d
from tests.prepared import write_prepared
from tests.runs import write_run


@pytest.fixture
def runs(tmp_path):
    return [
        write_run(tmp_path / "good", subjects=16, skill=3.0),
        write_run(tmp_path / "other", subjects=16, skill=2.8, noise=1),
    ]


def test_it_is_read_evaluated_compared_and_reported_like_a_run(runs, tmp_path, capsys):
    made = ensemble_runs(runs, resamples=50)
    code, out, err = fer3d(capsys, "ensemble", *runs, "-o", tmp_path / "both", "--resamples", 50)
    assert code == 0, err
    assert "it predicts like a run" in out
    run = read_run(tmp_path / "both")
    predictions = read_predictions(run)
    order = [predictions.ids.index(name) for name in made.predictions.ids]
    np.testing.assert_allclose(predictions.probabilities[order], made.predictions.probabilities, atol=1e-12)
    assert (run.facts["model"], run.facts["settings"]) == ("ensemble", {"rule": "likelihood"})
    assert run.notes[0] == "an ensemble of good, other, by likelihood"
    code, out, err = fer3d(capsys, "evaluate", tmp_path / "both", "--resamples", 50, "--json")
    assert code == 0, err
    assert json.loads(out)["accuracy"]["value"] == pytest.approx(made.accuracy.value)
    code, _, err = fer3d(capsys, "compare", tmp_path / "both", runs[0], "--resamples", 50)
    assert code == 0, err
    code, _, err = fer3d(capsys, "report", tmp_path / "both")
    assert code == 0, err
    code, _, err = fer3d(capsys, "ensemble", *runs, "-o", tmp_path / "both", "--rule", "hinge", "--resamples", 50)
    assert code == 0, err  # an ensemble may be written anew
    assert read_run(tmp_path / "both").facts["settings"] == {"rule": "hinge"}


def test_a_run_is_not_overwritten(runs, capsys):
    code, _, err = fer3d(capsys, "ensemble", *runs, "-o", runs[0], "--resamples", 50)
    assert code == 1
    assert "already holds a run; choose another folder" in err


def test_networks_that_are_missing_are_named(runs, tmp_path, capsys):
    fer3d(capsys, "ensemble", *runs, "-o", tmp_path / "both", "--resamples", 50)
    with pytest.raises(FileError, match=r"r00f00/model.safetensors: is missing; the ensemble .* reads the networks"):
        load(tmp_path / "both")
    with pytest.raises(FileError, match="`fold` should be one of r00f00, r00f01, r00f02, r00f03, is 'r09f00'"):
        load(tmp_path / "both", "r09f00")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Two runs with validation subjects and their ensemble."""
    folder = tmp_path_factory.mktemp("ensemble")
    data = write_prepared(folder / "prepared", [f"{sex}000{n}" for n in (1, 2, 3) for sex in "FM"], intensities=(3,))
    experiment, made = Experiment(data, folds=3, only=(0, 1), validation=True), []
    for name, maps in (("one", "depth"), ("two", "normal")):
        settings = train_settings(
            "plain-cnn", assignments=("epochs=2", "batch=4", "model.width=2", f"model.maps={maps}")
        )
        made.append(train("plain-cnn", experiment, folder / name, settings, device=Device("cpu")))
    write_ensemble(folder / "both", ensemble_runs(made, resamples=20), made)
    return folder / "both", made


def test_every_network_answers_with_the_weight_of_its_run_in_its_fold(trained, monkeypatch):
    folder, runs = trained
    ensemble = load(folder)
    assert isinstance(ensemble, Ensemble) and len(ensemble.models) == 4
    stored = json.loads((folder / "ensemble.json").read_text())
    weights = np.array([member["weights"] for member in stored["members"]]).T
    np.testing.assert_allclose(ensemble.weights, weights)
    for member, run in zip(ensemble.members, runs, strict=True):
        alone = load(run)
        for one, other in zip(member.models, alone.models, strict=True):
            assert all(map(np.array_equal, one.network.state_dict().values(), other.network.state_dict().values()))
    answers = np.random.default_rng(0).dirichlet(np.ones(6), (2, 2))  # (member, fold, K)
    read = []
    monkeypatch.setattr(Predictor, "read", lambda self, *more: read.append(self) or PreparedFace(maps=None))
    monkeypatch.setattr(Predictor, "probabilities", lambda self, faces: answers[ensemble.members.index(self)][:, None])
    made = ensemble("a.ply")
    wanted = np.einsum("fe,efk->fk", weights, answers)
    np.testing.assert_allclose(list(made.probabilities.values()), wanted.mean(axis=0))
    assert made.agreement == float((wanted.argmax(axis=1) == wanted.mean(axis=0).argmax()).mean())
    assert len(read) == 2  # they read other maps
    assert [member.settings.unit for member in ensemble.with_unit("m").members] == ["m", "m"]
    single = load(folder, "r00f01")
    assert single.weights.shape == (1, 2) and len(single.models) == 2


def test_a_network_that_was_trained_anew_is_refused(trained, tmp_path):
    folder, runs = trained
    file = runs[0] / "r00f00" / "model.safetensors"
    kept = file.read_bytes()
    file.write_bytes((runs[0] / "r00f01" / "model.safetensors").read_bytes())
    with pytest.raises(FormatError, match="r00f00/model.safetensors: is not the network with which .* learned its wei"):
        load(folder)
    file.write_bytes(kept)
    load(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda content: content["members"][0].update(weights=[1.0]),
            "one should have a weight and a network for each",
        ),
        (lambda content: content["members"][0].update(weights=[0.0, 0.0]), "the weights of a fold should sum to 1"),
        (lambda content: content.update(members=[]), "ensemble.json: `members`"),
    ],
)
def test_a_damaged_file_is_named(trained, tmp_path, change, message):
    folder, _ = trained
    content = json.loads((folder / "ensemble.json").read_text())
    for member in content["members"]:
        member["folder"] = str((folder / member["folder"]).resolve())
    change(content)
    (tmp_path / "ensemble.json").write_text(json.dumps(content))
    with pytest.raises(FormatError, match=message):
        read_members(tmp_path)


def test_predictions_keep_the_facts_of_the_scans(trained):
    folder, runs = trained
    one, other = (pq.read_table(place / "predictions.parquet").to_pylist() for place in (folder, runs[0]))
    by_id = {row["id"]: row for row in other}
    for row in one:
        for key in ("subject", "expression", "intensity", "round", "fold"):
            assert row[key] == by_id[row["id"]][key]
