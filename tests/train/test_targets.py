"""Targets beyond the eight labels: trained by the loss of their kind, measured, predicted; refused where unfit."""

import json
import math

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from torch.nn import functional

from fer3d.data.input_kinds import PreparedFace
from fer3d.errors import ArgumentError, FormatError
from fer3d.evaluate.measure import evaluate_run
from fer3d.evaluate.measure_targets import evaluate_targets
from fer3d.maps import Maps
from fer3d.predict import ValuePrediction, load
from fer3d.prepare.store import read_manifest, read_scan
from fer3d.train.checkpoint import load_model
from fer3d.train.objective import Objective, UnitLoss, ValueLoss
from fer3d.train.plan import Experiment
from fer3d.train.run import Device, train
from fer3d.train.run_folder import read_run, read_values
from fer3d.train.settings import train_settings
from tests.commands import fer3d
from tests.prepared import SIX, write_prepared

QUICK = ("epochs=12", "batch=8", "lr=0.01")
UNITS = {"happiness": ("AU6", "AU12"), "surprise": ("AU1", "AU2"), "anger": ("AU4",)}
COMPOUND = {"happiness": "happily surprised", "surprise": "fearfully surprised", "anger": "sadly angry"}


def say(row):
    """What the class of a scan decides, written into its manifest row as a data set would."""
    label = row["expression"]
    shown = UNITS.get(label, ())
    row["action_units"] = list(shown)
    row["absent_units"] = [unit for units in UNITS.values() for unit in units if unit not in shown]
    row["valence"] = 0.8 if label == "happiness" else -0.5
    row["arousal"] = None if label == "sadness" else 0.9 if label == "surprise" else -0.1
    row["compound"] = COMPOUND.get(label)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    people = ("F0001", "M0001", "F0002", "M0002")
    return write_prepared(tmp_path_factory.mktemp("targets") / "prepared", people, change=say)


def run_of(prepared, out, target, *more, model="plain-cnn", **experiment):
    settings = train_settings(model, "small", None, (*QUICK, *more), model={"maps": "depth,normal"})
    plan = Experiment(prepared, folds=2, target=target, **experiment)
    return train(model, plan, out, settings, device=Device("cpu"))


def faces(prepared, count=3):
    for row in read_manifest(prepared)[:count]:
        stored = read_scan(prepared / row["file"])
        names = tuple(stored.header["channels"])
        maps = stored.arrays["maps"].astype("float32")
        yield PreparedFace(Maps(names, maps, stored.arrays["mask"], None, stored.header["pixel_mm"]))


@pytest.mark.parametrize("model", ["plain-cnn", "oriented-fusion"])
def test_action_units_are_learned_measured_and_predicted(prepared, tmp_path, model):
    run = run_of(prepared, tmp_path / "units", "action-units", validation=False, model=model)
    read = read_run(run)
    assert read.target.kind == "multi-label"
    assert read.target.names == ("AU1", "AU2", "AU4", "AU6", "AU12")
    found = evaluate_targets(read, resamples=50)
    assert found.main == "f1" and found.scans == 48 and found.folds == 2
    assert found.means["roc_auc"] > 0.7  # the bump of a class is easy to see
    assert {row.name for row in found.each} == set(read.target.names)
    assert all(row.known == 48 for row in found.each)
    assert json.loads((run / "metrics.json").read_text())["main"] == "f1"
    columns = pq.read_table(run / "predictions.parquet").column_names
    assert {"t_AU12", "p_AU12"} <= set(columns)
    network = load_model(run / "r00f00" / "model.safetensors")
    for face in faces(prepared):
        answer = network.probabilities(network.from_scan(face))[0]
        assert ((answer > 0) & (answer < 1)).all()


def test_values_are_learned_where_they_are_known(prepared, tmp_path):
    run = run_of(prepared, tmp_path / "affect", "valence-arousal")
    values = read_values(read_run(run))
    assert values.target.names == ("valence", "arousal")
    unknown = np.isnan(values.truth[:, 1])
    assert unknown.sum() == 8 and not np.isnan(values.truth[:, 0]).any()
    assert (np.abs(values.answers) <= 1).all()
    found = evaluate_targets(read_run(run), resamples=50)
    assert found.main == "ccc" and found.kind == "values"
    assert found.means["rmse"] < 0.6
    log = (run / "r00f00" / "log.csv").read_text().splitlines()[-1].split(",")
    assert log[2] == "nan"  # there is no accuracy of values


def test_compound_classes_are_classes(prepared, tmp_path):
    run = run_of(prepared, tmp_path / "compound", "compound")
    assert read_run(run).classes == ("happily surprised", "sadly angry", "fearfully surprised")
    assert evaluate_run(run, resamples=20).scans == 24
    assert "truth" in pq.read_table(run / "predictions.parquet").column_names


def test_the_command_line_trains_measures_and_predicts_them(capsys, prepared, tmp_path):
    out = tmp_path / "run"
    options = ("--maps", "depth,normal", "--folds", "2", "--set", "epochs=1", "--accelerator", "cpu")
    code, text, err = fer3d(
        capsys, "train", "plain-cnn", "--data", prepared, "-o", out, "--target", "valence", *options
    )
    assert code == 0, err
    assert "valence, mean CCC" in text and "RMSE" in text
    code, text, err = fer3d(capsys, "evaluate", out, "--resamples", "20")
    assert code == 0 and "48 scans of 4 subjects" in text
    code, _, err = fer3d(capsys, "compare", out, out)
    assert code == 1 and err.count("\n") == 1


def test_a_prediction_of_values_is_told_as_such(prepared, tmp_path, monkeypatch):
    run = run_of(prepared, tmp_path / "v", "valence")
    predictor = load(run)
    (face,) = faces(prepared, 1)
    monkeypatch.setattr(type(predictor.kind), "read", lambda *arguments, **options: face)
    found = predictor("some.wrl")
    assert isinstance(found, ValuePrediction)
    assert set(found.values) == {"valence"} == set(found.spread)
    assert found.text == f"valence {found.values['valence']:+.2f}"
    assert found.to_json()["target"] == "valence"


@pytest.mark.parametrize(
    ("target", "more", "experiment", "message"),
    [
        ("valense", (), {}, "`target` should be one of expression, .*, is 'valense'; did you mean 'valence'"),
        ("valence", ("class_weights=balanced",), {}, "`class_weights` is of single classes, `target` valence is of"),
        ("valence", ("label_smoothing=0.3",), {}, "`label_smoothing` is of single classes, `target` valence is of"),
        ("valence", (), {"protocol": "bu3dfe-p1"}, "`protocol` bu3dfe-p1 is of expressions; of valence use k-fold"),
    ],
)
def test_what_does_not_fit_a_target_is_refused(prepared, tmp_path, target, more, experiment, message):
    plan = {"folds": None} if "protocol" in experiment else {"folds": 2}
    settings = train_settings("plain-cnn", "small", None, (*QUICK, *more), model={"maps": "depth"})
    with pytest.raises(ArgumentError, match=message):
        train("plain-cnn", Experiment(prepared, target=target, **plan, **experiment), tmp_path / "run", settings)


def test_a_folder_that_says_nothing_of_a_target_is_named(tmp_path):
    plain = write_prepared(tmp_path / "plain", ("F0001", "M0001"))
    with pytest.raises(ArgumentError, match="plain: wanted scans that say their valence, none of 24 does; they say"):
        run_of(plain, tmp_path / "run", "valence")


def test_predictions_of_units_are_not_read_as_classes(prepared, tmp_path):
    run = run_of(prepared, tmp_path / "u", "action-units")
    with pytest.raises(FormatError, match="wanted predictions of classes, the run's target action-units has other"):
        evaluate_run(run)


def test_losses_of_units_and_values_are_their_definitions():
    generator = torch.Generator().manual_seed(0)
    outputs = torch.randn(5, 3, generator=generator, requires_grad=True)
    truth = torch.tensor([[1, 0, math.nan], [0, 1, 1], [math.nan] * 3, [1, 1, 0], [0, math.nan, 1.0]])
    known = ~truth.isnan()
    wanted = functional.binary_cross_entropy_with_logits(outputs[known], truth[known])
    loss = Objective(UnitLoss(), truth, truth)(outputs)
    torch.testing.assert_close(loss, wanted)
    loss.backward()
    assert (outputs.grad[~known] == 0).all() and (outputs.grad[known] != 0).all()
    wanted = functional.mse_loss(outputs[known] / 2.5, truth[known] / 2.5)
    torch.testing.assert_close(Objective(ValueLoss((0.0, 5.0)), truth, truth)(outputs), wanted)
    assert UnitLoss()(outputs, torch.full((5, 3), math.nan)).item() == 0.0


def test_a_loss_or_a_penalty_of_a_networks_own_is_of_classes():
    truth = torch.zeros(2, 3)
    with pytest.raises(ArgumentError, match="`target` should be of classes for a network with a loss of its own"):
        Objective(UnitLoss(), truth, truth)(truth, lambda outputs, labels: outputs.sum(1))
    with pytest.raises(ArgumentError, match="`target` should be of classes for a network with a penalty"):
        Objective(UnitLoss(), truth, truth).of_labels(lambda labels: labels.sum())


def test_expressions_stay_the_default(prepared):
    assert Experiment(prepared).target == "expression"
    assert len(SIX) == 6
