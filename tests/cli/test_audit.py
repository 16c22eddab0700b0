"""`fer3d audit` as a user types it: tables, JSON, exit codes, the page, and run folders."""

import json

import pytest

from fer3d.evaluate.audit.findings import CHECKS
from fer3d.files import read_json
from tests.commands import fer3d
from tests.evaluate.audit_cases import study, write_log, write_predictions, write_table
from tests.report.test_html import Page
from tests.runs import read_rows, write_json, write_run
from tests.runs import write_predictions as write_rows


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def honest(here):
    return write_predictions(here / "honest.csv", study(0, people=10, folds=2))


@pytest.fixture
def leaky(here):
    write_table(here / "folds.csv", {"subject": ["p000", "p001"], "split": ["train", "train"]})
    return honest_without_folds(here)


def honest_without_folds(here):
    return write_predictions(here / "leaky.csv", study(0, people=10, folds=2), without=("fold",))


def test_an_honest_table_ends_with_0_and_a_leak_with_3(honest, leaky, capsys):
    code, out, err = fer3d(capsys, "audit", honest)
    assert (code, err) == (0, "")
    assert "0 faults found, 7 not found, 3 cannot be told" in out
    assert "columns: truth=truth" in out
    code, out, err = fer3d(capsys, "audit", leaky, "--folds", "folds.csv")
    assert (code, err) == (3, "")
    assert "2 of 10 people are in training" in " ".join(out.split())
    assert "such as p000; p001" in out
    assert all(title[:40] in " ".join(out.split()) for title in CHECKS.values())


def test_json_holds_every_check(leaky, capsys):
    code, out, _ = fer3d(capsys, "audit", leaky, "--folds", "folds.csv", "--json")
    assert code == 3
    content = json.loads(out)
    assert [row["check"] for row in content["checks"]] == list(CHECKS)
    assert content["found"] == 1 and content["checks"][0]["verdict"] == "found"
    assert 0 < content["accuracy"]["low"] < content["accuracy"]["value"] < content["accuracy"]["high"]
    assert content["checks"][0]["corrected_accuracy"] != content["accuracy"]["value"]


def test_the_page_is_whole_and_escapes_names(here, capsys):
    made = study(0, people=10, folds=2)
    write_predictions(here / "<b>.csv", made)
    write_log(here / "log.csv", made, "test")
    code, out, _ = fer3d(capsys, "audit", "<b>.csv", "--log", "log.csv", "-o", "page.html")
    assert code == 3 and "-> page.html" in out
    page = Page((here / "page.html").read_text(encoding="utf-8"))
    text = " ".join(" ".join(page.text).split())
    assert "1 fault found" in text and "<b>.csv" in text
    assert all(title in text for title in CHECKS.values())
    assert not page.all("script") and not page.all("link")


def test_a_run_has_its_folds_logs_and_numbers_and_its_report_a_section(here, capsys):
    write_run(here / "run", subjects=12, folds=4)
    assert fer3d(capsys, "evaluate", "run", "--resamples", 2000)[0] == 0
    code, out, err = fer3d(capsys, "audit", "run")
    assert (code, err) == (0, "")
    assert "0 faults found, 10 not found, 0 cannot be told" in out and "-> run/audit.json" in out
    assert fer3d(capsys, "report", "run")[0] == 0
    page = Page((here / "run/report.html").read_text(encoding="utf-8"))
    assert "Audit" in page.text and "Label order swapped" in page.text
    rows = read_rows(here / "run")
    for row in rows[:3]:
        row["p_anger"], row["p_fear"] = row["p_fear"], row["p_anger"]
    write_rows(here / "run/predictions.parquet", rows)
    assert fer3d(capsys, "report", "run")[0] == 0
    assert "Audit" not in Page((here / "run/report.html").read_text(encoding="utf-8")).text  # of other predictions


def test_a_run_whose_folds_were_tampered_with_is_found_and_not_refused(here, capsys):
    folder = write_run(here / "run", subjects=12, folds=4)
    folds = read_json(folder / "folds.json")
    folds[0]["train"].append(folds[0]["test"][0])
    write_json(folder / "folds.json", folds)
    code, out, _ = fer3d(capsys, "audit", "run", "--json")
    assert code == 3
    checks = {row["check"]: row for row in json.loads(out)["checks"]}
    assert checks["subjects"]["verdict"] == "found"
    assert checks["subjects"]["examples"] == [folds[0]["test"][0]]


def test_a_damaged_audit_of_a_run_is_one_line(here, capsys):
    write_run(here / "run", subjects=8, folds=2)
    (here / "run/audit.json").write_text("{}", encoding="utf-8")
    code, _, err = fer3d(capsys, "report", "run")
    assert code == 1
    assert "audit.json: `found` is missing; delete it, or write it anew with `fer3d audit`" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("nowhere.csv", "nowhere.csv: cannot be read"),
        ("honest.csv --column who=x", "`column` should be one of truth, predicted"),
        ("honest.csv --reported good", "`reported` should be a number"),
        ("honest.csv --log honest.csv", "honest.csv: should hold columns such as test_accuracy"),
        ("honest.csv --folds nowhere", "nowhere: cannot be read"),
    ],
)
def test_errors_are_one_line(line, message, honest, capsys):
    code, out, err = fer3d(capsys, "audit", *line.split())
    assert (code, out) == (1, "")
    assert message in err
    assert err.count("\n") == 1 and err.startswith("fer3d: ")
