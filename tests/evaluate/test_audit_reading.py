"""Tables that others wrote: names of columns, kinds of labels and scores, files of folds and logs, and their errors."""

import json

import numpy as np
import pytest

from fer3d.errors import ArgumentError, FileError, FormatError
from fer3d.evaluate.audit.columns import given_columns
from fer3d.evaluate.audit.findings import FOUND, NOT_FOUND
from fer3d.evaluate.audit.log import read_logs
from fer3d.evaluate.audit.predictions import read_tested
from fer3d.evaluate.audit.run import audit
from tests.evaluate.audit_cases import CLASSES, study, write_folds, write_predictions, write_table


def read(path, *columns, classes=()):
    return read_tested(path, given_columns(columns), classes)


@pytest.mark.parametrize(
    "names",
    [
        {},
        {"truth": "label", "predicted": "y_pred", "subject": "person", "id": "filename"},
        {"truth": "Emotion", "predicted": "Predicted Label", "subject": "Subject ID", "fold": "Split"},
        {f"p_{name}": name for name in CLASSES},
        {f"p_{name}": f"prob({name})" for name in CLASSES},
    ],
)
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_usual_names_of_columns_are_known(names, suffix, tmp_path):
    made = study(0, people=8, folds=2)
    tested = read(write_predictions(tmp_path / f"a{suffix}", made, names=names))
    assert tested.classes == CLASSES
    np.testing.assert_array_equal(tested.truth, made.truth)
    np.testing.assert_array_equal(tested.predicted, made.predicted)
    assert len(set(tested.texts["subject"])) == 8
    assert tested.folds == (("", "0"), ("", "1"))
    shares = np.exp(made.logits) / np.exp(made.logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(np.exp(tested.scores), shares, atol=1e-5)


def test_other_names_are_given(tmp_path):
    made = study(0, people=8, folds=2)
    names = {"truth": "what", "predicted": "said so", "subject": "nr"}
    path = write_predictions(tmp_path / "a.csv", made, names=names)
    tested = read(path, "truth=what", "predicted=said so", "subject=nr")
    np.testing.assert_array_equal(tested.predicted, made.predicted)
    assert tested.columns["subject"] == "nr"


def test_numbered_labels_and_logits(tmp_path):
    made = study(1, people=8, folds=2)
    table = {"y_true": [float(k) for k in made.truth], **{f"logit_{k}": made.logits[:, k].tolist() for k in range(6)}}
    write_table(tmp_path / "a.parquet", table)
    tested = read(tmp_path / "a.parquet")
    assert tested.classes == ("0", "1", "2", "3", "4", "5")
    np.testing.assert_array_equal(tested.predicted, made.predicted)
    np.testing.assert_allclose(np.exp(tested.scores).sum(axis=1), 1)
    assert audit(tmp_path / "a.parquet").accuracy.value == pytest.approx(made.correct.mean())
    write_table(tmp_path / "b.csv", {"label": made.truth.tolist(), "pred": made.predicted.tolist()})
    assert read(tmp_path / "b.csv", classes=CLASSES).classes == CLASSES


def test_semicolons_and_decimal_commas(tmp_path):
    (tmp_path / "a.csv").write_text("label;subject;p_a;p_b\na;1;0,9;0,1\nb;2;0,25;0,75\n", encoding="utf-8-sig")
    tested = read(tmp_path / "a.csv")
    np.testing.assert_allclose(np.exp(tested.scores), [[0.9, 0.1], [0.25, 0.75]])
    assert tested.texts["subject"] == ("1", "2")


def test_rows_of_training_say_who_was_trained_on(tmp_path):
    table = {
        "subject": ["a", "b", "C ", "c", "d", "e"],
        "label": ["x", "y", "x", "x", "y", "x"],
        "pred": ["x", "y", "x", "x", "y", "x"],
        "split": ["train", "train", "train", "test", "test", "test"],
    }
    write_table(tmp_path / "a.csv", table)
    result = audit(tmp_path / "a.csv")
    assert result.rows == 3
    finding = result.findings[0]
    assert (finding.verdict, finding.examples) == (FOUND, ("C",))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a.csv: the file is empty"),
        ("label,pred\n", "a.csv: should hold rows below a line of column names, holds none"),
        (
            "a,b\n1,2\n",
            r"a.csv: should hold a column of the true class \(truth, true, .*, holds a, b; name it with --c",
        ),
        (
            "label,b\n1,2\n",
            "a.csv: should hold a column of the predicted class .* or probabilities p_CLASS, holds label",
        ),
        ("label,pred\nx,y\nx\n", "a.csv: line 3 should have 2 cells, has 1"),
        ("label,label\nx,y\n", "a.csv: should hold each column once, holds 'label' 2 times"),
        ("label,pred\nx,y\n,x\n", "a.csv: row 2: `label` should be a class, is empty"),
        ("label,pred\nx,x\n", "a.csv: `label` should hold two classes or more, holds"),
        ("label,p_x,p_y\nx,1,0\nz,nan,1\n", "a.csv: row 2: `p_x` should be a finite number, is 'nan'"),
        ("label,p_x,p_y\nx,1,0\ny,,1\n", "a.csv: row 2: `p_x` should be a finite number, is ''"),
        ('label,pred\n"x,y\n', "a.csv: line 2 is not CSV"),
        ("status,label,confidence,second,entropy\nok,x,1,y,0\n", "should hold a column of the true class"),
    ],
)
def test_a_table_that_lacks_something_is_one_line(text, message, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(FormatError, match=message) as caught:
        audit(path)
    assert "\n" not in str(caught.value)


def test_a_table_with_hundreds_of_classes_is_refused(tmp_path):
    write_table(tmp_path / "a.csv", {"label": list(range(300)), "pred": list(range(300))})
    with pytest.raises(FormatError, match="`label` should hold classes, holds 300 different values"):
        audit(tmp_path / "a.csv")


def test_a_file_that_is_no_table(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FormatError, match="a.csv: wanted UTF-8 text, got byte 0xff"):
        audit(tmp_path / "a.csv")
    (tmp_path / "a.parquet").write_bytes(b"none")
    with pytest.raises(FormatError, match="a.parquet: is not a Parquet file"):
        audit(tmp_path / "a.parquet")
    with pytest.raises(FileError, match="b.csv: cannot be read"):
        audit(tmp_path / "b.csv")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"columns": ["subject"]}, "`column` should be ROLE=NAME, such as subject=person_no, is 'subject'"),
        ({"columns": ["person=x"]}, "`column` should be one of truth, predicted, .*, is 'person'"),
        ({"columns": ["id=a", "id=b"]}, "`column` should name each role once, names id twice"),
        ({"columns": ["id=scann"]}, "should hold the column 'scann' .id., holds id, .*"),
        ({"reported": "high"}, "`reported` should be a number such as 83.4 or 0.834, is 'high'"),
        ({"reported": "183"}, "`reported` should lie between 0 and 100 %, is '183'"),
        ({"interval": "80"}, "`interval` should be two numbers with a comma between, such as 80.1,86.7, is '80'"),
        ({"interval": "90,80"}, "`interval` should have its lower end first, is '90,80'"),
        ({"batch": 1}, "`batch` should be at least 2, is 1"),
    ],
)
def test_an_argument_that_cannot_be_understood(arguments, message, tmp_path):
    path = write_predictions(tmp_path / "a.csv", study(0, people=8, folds=2))
    with pytest.raises((ArgumentError, FormatError), match=message):
        audit(path, **arguments)


def parts_of(folder, name, content):
    path = folder / name
    if isinstance(content, str):
        path.write_text(content, encoding="utf-8")
    else:
        path.write_text(json.dumps(content), encoding="utf-8")
    return path


FOLDS = {
    "people and parts": ("a.csv", "person,part\na,test\nb,test\nc,train\n", NOT_FOUND),
    "people and parts, shared": ("a.csv", "person,part\na,test\nb,test\nb,train\n", FOUND),
    "training only": ("a.csv", "subject,usage\nc,training\nA,training\n", FOUND),
    "people and folds": ("a.csv", "subject;fold\na;1\nb;1\nc;2\n", NOT_FOUND),
    "people in two folds": ("a.csv", "subject;fold\na;1\nb;1\na;2\n", FOUND),
    "lists": ("a.json", {"train": ["c"], "test": ["a", "b"]}, NOT_FOUND),
    "shared lists": ("a.json", {"training": ["c"], "train": ["b"], "test": ["a", "b"]}, FOUND),
    "a list of folds": ("a.json", [{"train": ["b"], "test": ["a"]}, {"train": ["a"], "test": ["b"]}], NOT_FOUND),
}


@pytest.mark.parametrize("name", FOLDS)
def test_files_of_folds(name, tmp_path):
    file, content, verdict = FOLDS[name]
    write_table(tmp_path / "p.csv", {"subject": ["a", "b"], "label": ["x", "y"], "pred": ["x", "y"]})
    result = audit(tmp_path / "p.csv", folds=parts_of(tmp_path, file, content))
    assert result.findings[0].verdict == verdict


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("a.csv", "x,y\n1,2\n", "a.csv: should hold a column of people or scans .*, holds x, y"),
        ("a.csv", "subject\na\n", r"a.csv: should hold a column part \(train, test\) or fold, holds subject"),
        (
            "a.csv",
            "subject,part\nq,train\n",
            "a.csv: should name people or scans of the predictions, names such as 'q'",
        ),
        ("a.json", [1], "a.json: should hold a list of folds with lists train and test, holds"),
        ("a.json", {"test": "a"}, "a.json: a part should be a list of names, is 'a'"),
        ("a.json", {"test": ["q"]}, "a.json: should name people or scans of the predictions, names such as 'q'"),
        ("a.json", "{", "a.json: is not JSON"),
    ],
)
def test_a_file_of_folds_that_is_none(file, content, message, tmp_path):
    write_table(tmp_path / "p.csv", {"subject": ["a", "b"], "label": ["x", "y"], "pred": ["x", "y"]})
    with pytest.raises(FormatError, match=message):
        audit(tmp_path / "p.csv", folds=parts_of(tmp_path, file, content))


def test_folds_of_another_division_are_refused(tmp_path):
    made = study(0, people=10, folds=2)
    path, folds = write_predictions(tmp_path / "p.csv", made), write_folds(tmp_path / "f.json", made)
    assert audit(path, folds=folds).findings[0].verdict == NOT_FOUND
    content = json.loads(folds.read_text(encoding="utf-8"))
    content[0]["fold"], content[1]["fold"] = 1, 0
    folds.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(
        FormatError, match="f.json: should hold the folds of the predictions, 'p00.' is not in its test of fold"
    ):
        audit(path, folds=folds)


def test_logs_of_others(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text(
        "Epoch,Train Loss,valAcc,test/err,best_val_acc\n1,2.0,50,60.5,50\n2,1.5,60,40.25,60\n", encoding="utf-8"
    )
    (log,) = read_logs(path)
    assert set(log.curves) == {"train loss", "validation accuracy", "test accuracy"}
    np.testing.assert_allclose(log.curves["validation accuracy"], [0.5, 0.6])
    np.testing.assert_allclose(log.curves["test accuracy"], [0.395, 0.5975])


def test_the_logs_of_a_folder_are_of_its_folds(tmp_path):
    for name in ("r00f00", "r00f01"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "log.csv").write_text("epoch,test_accuracy\n1,0.5\n2,\n", encoding="utf-8")
    assert [log.key for log in read_logs(tmp_path)] == [("", "0"), ("", "1")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "epoch,x\n1,2\n",
            "log.csv: should hold columns such as test_accuracy, val_accuracy or train_loss, holds epoch",
        ),
        ("epoch,test_acc\n1,good\n", "log.csv: `test_acc` should hold numbers, holds 'good'"),
        ("epoch,test_acc\n1,\n", "log.csv: should hold numbers below test_acc, holds empty cells"),
    ],
)
def test_a_log_that_is_none(text, message, tmp_path):
    (tmp_path / "log.csv").write_text(text, encoding="utf-8")
    with pytest.raises(FormatError, match=message):
        read_logs(tmp_path / "log.csv")


def test_a_folder_without_logs(tmp_path):
    with pytest.raises(FileError, match=r"should hold files log\*.csv, holds none"):
        read_logs(tmp_path)


def test_a_folder_without_the_scans(tmp_path):
    path = write_predictions(tmp_path / "a.csv", study(0, people=8, folds=2))
    with pytest.raises(FileError, match="nowhere: a folder of scans or a prepared folder was wanted, is none"):
        audit(path, data=tmp_path / "nowhere")
    (tmp_path / "scans").mkdir()
    with pytest.raises(FormatError, match="scans: should hold the scans of the predictions, such as 'p000_anger_0'"):
        audit(path, data=tmp_path / "scans")
