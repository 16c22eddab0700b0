"""`fer3d ensemble`: weights from validation scans alone, the same folds and scans, and clear refusals."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from fer3d.errors import ArgumentError, FileError, FormatError
from fer3d.evaluate.ensemble_runs import ensemble_runs
from fer3d.train.run_folder import read_predictions, read_run
from tests.commands import fer3d
from tests.runs import read_rows, write_json, write_predictions, write_run


@pytest.fixture
def runs(tmp_path):
    return [
        write_run(tmp_path / "good", subjects=16, skill=3.0),
        write_run(tmp_path / "other", subjects=16, skill=2.8, noise=1),
        write_run(tmp_path / "guess", subjects=16, skill=0.0, noise=2),
    ]


def rows_of(path):
    return pq.read_table(path).to_pylist()


@pytest.mark.parametrize("rule", ["likelihood", "hinge"])
def test_weights_mix_the_test_predictions_fold_by_fold(runs, rule):
    made = ensemble_runs(runs, rule, resamples=200)
    weights = np.array([member.weights for member in made.members])
    assert weights.shape == (3, 4)
    np.testing.assert_allclose(weights.sum(axis=0), 1.0)
    assert (weights >= 0).all()
    assert [member.weight for member in made.members] == pytest.approx(weights.mean(axis=1).tolist())
    assert made.members[2].weight < 0.1  # it guesses
    single = [read_predictions(read_run(run)) for run in runs]
    by_scan = [dict(zip(p.ids, p.probabilities, strict=True)) for p in single]
    for row, name in enumerate(made.predictions.ids):
        w = weights[:, made.predictions.folds[row]]
        wanted = sum(share * probabilities[name] for share, probabilities in zip(w, by_scan, strict=True))
        np.testing.assert_allclose(made.predictions.probabilities[row], wanted, atol=1e-12)
    assert made.accuracy.value == pytest.approx(made.predictions.correct.mean())
    assert [member.accuracy.value for member in made.members] == pytest.approx([p.correct.mean() for p in single])
    assert made.accuracy.value > made.equal_weights.value


def test_the_order_of_rows_and_runs_changes_nothing(runs):
    made = ensemble_runs(runs[:2], resamples=50)
    folder = runs[1] / "r00f00"
    write_predictions(folder / "validation.parquet", rows_of(folder / "validation.parquet")[::-1])
    write_predictions(runs[1] / "predictions.parquet", read_rows(runs[1])[::-1])
    again = ensemble_runs(runs[1::-1], resamples=50)
    for a, b in zip(made.members, again.members[::-1], strict=True):
        assert a.weights == pytest.approx(b.weights, abs=1e-6)
    assert again.accuracy.value == made.accuracy.value


def test_labels_of_test_scans_have_no_say_in_the_weights(runs):
    before = ensemble_runs(runs, resamples=50)
    for run in runs:
        rows = read_rows(run)
        for row in rows:
            row["expression"] = "fear"
        write_predictions(run / "predictions.parquet", rows)
    after = ensemble_runs(runs, resamples=50)
    assert [member.weights for member in after.members] == [member.weights for member in before.members]
    assert after.accuracy.value < before.accuracy.value


def test_the_command_prints_the_table_and_writes_the_file(capsys, runs, tmp_path):
    file = tmp_path / "made" / "ensemble.json"
    code, out, err = fer3d(capsys, "ensemble", *runs, "-o", file, "--resamples", 100)
    assert code == 0, err
    for word in ("good", "other", "guess", "oriented-fusion", "equal weights", "likelihood weights", "192 test scans"):
        assert word in out
    made = json.loads(file.read_text())
    assert [member["run"] for member in made["members"]] == ["good", "other", "guess"]
    assert made["scans"] == 192
    assert made["folds"] == [{"round": 0, "fold": fold} for fold in range(4)]
    assert made["accuracy"]["low"] < made["accuracy"]["value"] < made["accuracy"]["high"]
    code, _, err = fer3d(capsys, "ensemble", *runs, "--rule", "vote")
    assert (code, err) == (1, "fer3d: `rule` should be one of likelihood, hinge, is 'vote'\n")


def test_runs_that_do_not_fit_together_are_refused(runs, tmp_path):
    with pytest.raises(ArgumentError, match="`runs` should name two or more different runs, names good"):
        ensemble_runs(runs[:1])
    with pytest.raises(ArgumentError, match="`runs` should name two or more different runs, names good, other, good"):
        ensemble_runs([runs[0], runs[1], runs[0]])
    seed = write_run(tmp_path / "seed", subjects=16, seed=5)
    with pytest.raises(ArgumentError, match="seed: round 0, fold 0 has other subjects than that of good"):
        ensemble_runs([runs[0], seed])
    fewer = write_run(tmp_path / "fewer", subjects=16, levels=(3,))
    with pytest.raises(ArgumentError, match="fewer: its validation scans of round 0, fold 0 are others than those of"):
        ensemble_runs([runs[0], fewer])
    five = write_run(tmp_path / "five", subjects=16, classes=("anger", "disgust", "fear", "happiness", "sadness"))
    with pytest.raises(ArgumentError, match="five: its classes are anger, disgust, fear, happiness, sadness, those of"):
        ensemble_runs([runs[0], five])


def test_a_run_that_is_not_finished_is_named(runs):
    write_predictions(runs[1] / "predictions.parquet", [row for row in read_rows(runs[1]) if row["fold"] != 2])
    (runs[1] / "r00f02" / "done.json").unlink()
    with pytest.raises(ArgumentError, match="other: has finished the folds r00f00, r00f01, r00f03, good r00f00, r00f0"):
        ensemble_runs(runs)


def test_runs_without_validation_predictions_are_named(runs, tmp_path):
    plain = [write_run(tmp_path / name, folds=2, noise=n) for n, name in enumerate("ab")]
    with pytest.raises(ArgumentError, match="a: has no validation subjects in round 0, fold 0; train it with --valid"):
        ensemble_runs(plain)
    (runs[0] / "r00f01" / "validation.parquet").unlink()
    with pytest.raises(FileError, match=r"r00f01/validation\.parquet: is missing; the run was trained before"):
        ensemble_runs(runs)


def test_validation_predictions_of_a_test_subject_are_refused(runs):
    folds = json.loads((runs[0] / "folds.json").read_text())
    folder = runs[0] / "r00f00"
    rows = rows_of(folder / "validation.parquet")
    rows[0]["subject"] = folds[0]["test"][0]
    write_predictions(folder / "validation.parquet", rows)
    with pytest.raises(FormatError, match="who is not a validation subject of round 0, fold 0 in folds.json"):
        ensemble_runs(runs)


def test_a_scan_with_two_labels_is_named(runs):
    folder = runs[1] / "r00f00"
    rows = rows_of(folder / "validation.parquet")
    row = min(rows, key=lambda row: row["id"])
    assert row["expression"] == "anger"
    row["expression"] = "fear"
    write_predictions(folder / "validation.parquet", rows)
    with pytest.raises(ArgumentError, match=r"other: scan bu3dfe_.*_anger_3 is fear, in good anger"):
        ensemble_runs(runs)


def test_other_subjects_of_a_fold_are_named(runs):
    folds = json.loads((runs[1] / "folds.json").read_text())
    folds[3]["train"].pop()
    write_json(runs[1] / "folds.json", folds)
    with pytest.raises(ArgumentError, match="other: round 0, fold 3 has other subjects"):
        ensemble_runs(runs[:2])
