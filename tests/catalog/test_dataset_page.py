import json

from tests.pages import lines_of, run_page


def test_the_page_about_data_sets_runs(tmp_path):
    run_page("extend/dataset.md", tmp_path)
    protocol = json.loads((tmp_path / "run" / "run.json").read_text())["protocol"]
    assert (protocol["name"], protocol["facts"]["intensities"]) == ("lab-halves", [2])
    folds = json.loads((tmp_path / "run" / "folds.json").read_text())
    assert sorted(subject for fold in folds for subject in fold["test"]) == ["P01", "P02", "P03", "P04"]


def test_a_data_set_takes_less_than_twenty_lines_of_toml():
    assert lines_of("extend/dataset.md", "dataset.toml", "folds.toml") < 20
