import json
import math

import numpy as np
import pytest

from fer3d.errors import ArgumentError, FileError, FormatError
from fer3d.evaluate import evaluate_run
from fer3d.evaluate.measure import current_metrics, measure, per_round
from fer3d.train.run_folder import Predictions, read_log, read_predictions, read_run
from tests.runs import CLASSES, read_rows, write_json, write_predictions, write_run


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path / "dff", subjects=8, folds=4, rounds=2)


def spoil(run, change):
    """Rewrite the predictions with `change` applied to their rows."""
    rows = read_rows(run)
    rows = change(rows) or rows
    write_predictions(run / "predictions.parquet", rows)


def test_every_number_is_what_the_rows_say(run):
    made = evaluate_run(run, resamples=200)
    rows = read_rows(run)
    guess = [max(CLASSES, key=lambda name: row[f"p_{name}"]) for row in rows]
    right = np.array([row["expression"] == said for row, said in zip(rows, guess, strict=True)])
    assert made.predictions == len(rows) == 2 * 8 * 6 * 2
    assert (made.scans, made.subjects, made.folds, made.folds_planned) == (96, 8, 8, 8)
    assert made.accuracy.value == pytest.approx(right.mean())
    assert made.accuracy.low < made.accuracy.value < made.accuracy.high
    by_round = [right[[row["round"] == number for row in rows]].mean() for number in (0, 1)]
    assert per_round(read_predictions(read_run(run))) == pytest.approx(dict(enumerate(by_round)))
    assert made.over_rounds.mean == pytest.approx(np.mean(by_round))
    assert made.over_rounds.sd == pytest.approx(np.std(by_round, ddof=1))
    assert made.over_folds.count == 8
    for entry in made.per_subject:
        assert entry.accuracy == pytest.approx(right[[row["subject"] == entry.subject for row in rows]].mean())
    for place, row in enumerate(made.per_class):
        mine = [said for line, said in zip(rows, guess, strict=True) if line["expression"] == row.name]
        assert row.recall == pytest.approx(mine.count(row.name) / len(mine))
        assert made.confusion[place] == tuple(mine.count(name) for name in CLASSES)
    assert made.chance == made.commonest == pytest.approx(1 / 6)
    assert sum(b.count for b in made.calibration) == len(rows)
    assert made.undefined == {}


def test_the_worst_mistakes_come_first(run):
    made = evaluate_run(run, resamples=50)
    assert all(entry.truth != entry.predicted for entry in made.mistakes)
    confidences = [entry.confidence for entry in made.mistakes]
    assert confidences == sorted(confidences, reverse=True)
    assert len(made.mistakes) == min(24, made.predictions - round(made.accuracy.value * made.predictions))


def test_metrics_json_is_plain_json_and_the_same_bytes_again(run):
    made = evaluate_run(run)
    first = (run / "metrics.json").read_bytes()
    evaluate_run(run)
    assert (run / "metrics.json").read_bytes() == first
    content = json.loads(first)
    assert len(content.pop("content_sha256")) == 64
    assert content == json.loads(json.dumps(made.to_json()))


def test_the_order_of_the_rows_changes_nothing(run):
    before = evaluate_run(run, resamples=100)
    spoil(run, lambda rows: rows[::-1])
    after = evaluate_run(run, resamples=100)
    assert after.accuracy == before.accuracy
    assert after.mistakes == before.mistakes
    assert after.calibration_error == pytest.approx(before.calibration_error)


def test_current_metrics_are_of_these_predictions(run):
    first = current_metrics(run)
    assert current_metrics(run) == first
    spoil(run, lambda rows: rows[: len(rows) // 2])
    assert current_metrics(run)["predictions"] == first["predictions"] // 2
    (run / "metrics.json").write_text("{", encoding="utf-8")
    assert current_metrics(run)["predictions"] == first["predictions"] // 2


def test_half_a_run_says_how_much_is_there(run):
    spoil(run, lambda rows: [row for row in rows if row["round"] == 0 and row["fold"] < 2])
    made = evaluate_run(run, resamples=50)
    assert (made.folds, made.folds_planned) == (2, 8)
    assert math.isnan(made.over_rounds.sd)
    assert made.undefined == {"over_rounds.sd": "one round only"}


def predictions(truth, probabilities, subjects=None):
    count = len(truth)
    return Predictions(
        classes=("anger", "fear", "surprise"),
        ids=tuple(f"s{row}" for row in range(count)),
        subjects=tuple(subjects or ["F0001"] * count),
        truth=np.array(truth, np.int64),
        rounds=np.zeros(count, np.int64),
        folds=np.zeros(count, np.int64),
        probabilities=np.array(probabilities, np.float64),
    )


def test_what_is_undefined_says_why_and_is_null_in_json():
    made = measure(predictions([0, 0], [[0.9, 0.1, 0.0], [0.2, 0.8, 0.0]]), resamples=20)
    assert made.undefined == {
        "per_class.fear.recall": "no scan is of fear",
        "per_class.surprise.precision": "surprise is never predicted",
        "per_class.surprise.recall": "no scan is of surprise",
        "per_class.surprise.f1": "surprise is neither true nor predicted anywhere",
        "macro_f1": "F1 is undefined for surprise",
        "accuracy.interval": "one subject only",
        "macro_f1.interval": "one subject only",
        "over_folds.sd": "one fold only",
        "over_rounds.sd": "one round only",
    }
    assert math.isnan(made.macro_f1.value)
    assert made.to_json()["macro_f1"] == {"value": None, "low": None, "high": None}
    assert made.commonest == 1.0


def test_a_class_of_one_subject_leaves_the_interval_undefined():
    sharp = np.eye(3)[[0, 0, 0, 1, 2]]
    made = measure(predictions([0, 0, 0, 1, 2], sharp, ["a", "b", "c", "a", "a"]), resamples=200)
    assert made.macro_f1.value == 1.0
    assert made.undefined["macro_f1.interval"] == "some resamples of the subjects leave it undefined"
    assert made.accuracy.low == 1.0


def rename(row, **values):
    row |= values


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rename(rows[3], expression="joy"), r"`expression` should be one of anger, .*, \S+ has 'joy'"),
        (lambda rows: rename(rows[3], p_anger=0.9, p_fear=0.9), r"should sum to 1, those of \S+ sum to"),
        (lambda rows: rename(rows[3], p_anger=-0.5), r"should lie in \[0, 1\], those of \S+ are -0\.5, "),
        (lambda rows: rename(rows[3], p_anger=math.nan), r"should lie in \[0, 1\], those of \S+ are nan, "),
        (lambda rows: rename(rows[3], id=rows[2]["id"]), r"predicted once a round, \S+ comes twice in round 0"),
        (
            lambda rows: rename(rows[3], subject="M0099"),
            r"of subject M0099, who is not a test subject of round 0, fold 0",
        ),
        (lambda rows: rename(rows[3], fold=9), r"is of round 0, fold 9, which is not in folds\.json"),
        (
            lambda rows: [{k: v for k, v in row.items() if k != "p_fear"} for row in rows],
            r"p_\.\.\. for .*, lacks p_fear",
        ),
        (lambda rows: [row | {"p_contempt": 0.0} for row in rows], r"p_\.\.\. for .*, holds p_contempt"),
    ],
)
def test_predictions_that_are_not_to_be_trusted_are_refused(run, change, message):
    spoil(run, change)
    with pytest.raises(FormatError, match=rf"predictions\.parquet: .*{message}"):
        evaluate_run(run)


@pytest.mark.parametrize("part", ["train", "validation"])
def test_a_subject_in_two_parts_of_a_fold_is_refused(run, part):
    folds = json.loads((run / "folds.json").read_text())
    leak = folds[5]["test"][0]
    folds[5][part].append(leak)
    write_json(run / "folds.json", folds)
    with pytest.raises(FormatError, match=rf"{leak} is in {part} and test of round 1, fold 1"):
        evaluate_run(run)


def test_damaged_runs_are_named(run, tmp_path):
    with pytest.raises(FileError, match=r"run\.json: is missing; is .* a run folder"):
        evaluate_run(tmp_path)
    (run / "predictions.parquet").write_bytes(b"garbage")
    with pytest.raises(FormatError, match=r"predictions\.parquet: is not a Parquet file"):
        evaluate_run(run)
    (run / "predictions.parquet").unlink()
    with pytest.raises(FileError, match=r"predictions\.parquet: is missing; `fer3d train` writes it"):
        evaluate_run(run)
    (run / "folds.json").write_text("[{}]")
    with pytest.raises(FormatError, match=r"folds\.json: should hold a list of folds"):
        read_run(run)
    (run / "run.json").write_text("{}")
    with pytest.raises(FormatError, match=r"run\.json: should hold model, .*, lacks model, "):
        read_run(run)
    (run / "run.json").write_text("{")
    with pytest.raises(FormatError, match=r"run\.json: is not JSON"):
        read_run(run)


def test_an_empty_run_and_a_wrong_shape_are_refused(run):
    write_predictions(run / "predictions.parquet", read_rows(run)[:1])
    assert evaluate_run(run, resamples=5).predictions == 1
    with pytest.raises(ArgumentError, match="should hold at least one scan, hold none"):
        predictions([], np.zeros((0, 3)))
    with pytest.raises(ArgumentError, match="should have 2 rows and 3 probabilities each"):
        predictions([0, 1], np.full((2, 2), 0.5))
    with pytest.raises(ArgumentError, match="`resamples` should be at least 1, is 0"):
        measure(read_predictions(read_run(run)), resamples=0)


def test_logs_are_read_with_their_gaps(run, tmp_path):
    rows = read_log(run / "r00f00")
    assert len(rows) == 30
    assert rows[0]["epoch"] == 1
    assert read_log(tmp_path) == []
    (tmp_path / "log.csv").write_text("epoch,train_loss,validation_loss\n1,0.5,\n")
    assert math.isnan(read_log(tmp_path)[0]["validation_loss"])
    (tmp_path / "log.csv").write_text("epoch\none\n")
    with pytest.raises(FormatError, match=r"log\.csv: should hold numbers"):
        read_log(tmp_path)
