"""`train`, `ablate` and `settings train` as a user types them, and the table of an ablation."""

import json

import pytest

from fer3d.config import TrainSettings
from fer3d.errors import ArgumentError
from fer3d.evaluate.grid import ablation_grid
from fer3d.maps.registry import STANDARD_GROUPS
from fer3d.models import network_class
from fer3d.models.tree_parts import PARTS
from fer3d.train.plan import Experiment
from fer3d.train.settings import train_settings
from tests.commands import fer3d
from tests.prepared import write_prepared
from tests.prepared_trees import FAR, write_prepared_trees

QUICK = ("--set", "model.width=2", "--set", "epochs=1", "--set", "batch=8", "--accelerator", "cpu", "--folds", "2")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return write_prepared(tmp_path_factory.mktemp("ablate") / "prepared", ["F0001", "M0001"])


def map_subsets():
    kind = network_class("oriented-fusion")
    return list(kind.variants(kind.Settings()))


def test_there_are_fifteen_subsets_small_ones_first():
    subsets = map_subsets()
    assert len(set(subsets)) == 15
    assert [len(s) for s in subsets] == sorted(len(s) for s in subsets)
    assert subsets[-1] == STANDARD_GROUPS


def test_train_then_numbers(capsys, prepared, tmp_path):
    arguments = ("train", "oriented-fusion", "--data", prepared, "-o", tmp_path / "run", "--maps", "depth", *QUICK)
    code, out, err = fer3d(capsys, *arguments)
    assert code == 0, err
    assert "accuracy" in out
    assert (tmp_path / "run" / "metrics.json").is_file()
    code, _, err = fer3d(capsys, *arguments)
    assert code == 1
    assert "already holds a run; --resume goes on with it" in err
    assert err.count("\n") == 1
    code, _, err = fer3d(capsys, *arguments, "--resume")
    assert code == 0, err


def test_ablate_runs_every_subset_and_goes_on(capsys, prepared, tmp_path):
    arguments = ("ablate", "oriented-fusion", "--data", prepared, "-o", tmp_path / "a", "--fold", "0", *QUICK)
    code, out, err = fer3d(capsys, *arguments)
    assert code == 0, err
    assert "15 of 15: depth, normal, curvature, texture" in out
    made = json.loads((tmp_path / "a" / "ablation.json").read_text())
    assert [tuple(entry["parts"]) for entry in made] == map_subsets()
    assert (tmp_path / "a" / "ablation.md").read_text().count("\n") == 17
    weights = tmp_path / "a" / "depth+texture" / "r00f00" / "model.safetensors"
    before = weights.stat().st_mtime_ns
    (tmp_path / "a" / "depth" / "r00f00" / "done.json").unlink()
    code, _, err = fer3d(capsys, *arguments)
    assert code == 0, err
    assert weights.stat().st_mtime_ns == before
    assert (tmp_path / "a" / "depth" / "r00f00" / "done.json").is_file()


FEW = ("--fold", "0", *QUICK, "--set", "model.maps=depth,normal")


def test_subsets_side_by_side_give_what_they_give_one_by_one(capsys, prepared, tmp_path):
    for name, workers in (("one", 1), ("two", 2)):
        arguments = ("ablate", "--data", prepared, "-o", tmp_path / name, *FEW, "--workers", workers)
        code, out, err = fer3d(capsys, *arguments)
        assert code == 0, err
        assert "3 of 3: " in out
    one, two = (json.loads((tmp_path / name / "ablation.json").read_text()) for name in ("one", "two"))
    assert [entry["parts"] for entry in two] == [["depth"], ["normal"], ["depth", "normal"]]
    for a, b in zip(one, two, strict=True):
        assert (a["accuracy"], a["parameters"], a["scans"]) == (b["accuracy"], b["parameters"], b["scans"])


@pytest.mark.parametrize("workers", [1, 2])
def test_a_run_that_fails_costs_only_itself(capsys, prepared, tmp_path, workers):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "normal").write_text("in the way")
    code, out, err = fer3d(capsys, "ablate", "--data", prepared, "-o", tmp_path / "a", *FEW, "--workers", workers)
    assert code == 3, err
    made = json.loads((tmp_path / "a" / "ablation.json").read_text())
    assert [row["parts"] for row in made] == [["depth"], ["normal"], ["depth", "normal"]]
    assert ["accuracy" in row for row in made] == [True, False, True]
    assert "in the way" not in made[1]["reason"]
    assert str(tmp_path / "a" / "normal") in made[1]["reason"]
    text = (tmp_path / "a" / "ablation.md").read_text()
    assert text in out
    assert "|   | x | failed |  |  |  |  |  |" in text
    assert f"- normal failed: {made[1]['reason']}\n" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("train", "dffcnn"), "is 'dffcnn'; did you mean 'dff-cnn'?"),
        (
            ("train", "oriented-fusion", "--set", "epoch=3"),
            "fer3d: settings: unknown key `epoch`; did you mean `epochs`?",
        ),
        (("train", "oriented-fusion", "--fold", "x"), "fer3d: `fold` should be all, or numbers such as 0,1,2, is 'x'"),
        (("train", "oriented-fusion", "--protocol", "bu3dfe-p9"), "is 'bu3dfe-p9'; did you mean 'bu3dfe-p"),
        (
            ("ablate", "oriented-fusion", "--preset", "huge"),
            "fer3d: settings: `preset` should be one of small, full, tiny",
        ),
    ],
)
def test_a_wrong_call_is_one_line(capsys, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    code, _, err = fer3d(capsys, *arguments, "--data", "nowhere")
    assert code == 1
    assert message in err
    assert err.count("\n") == 1


def test_the_settings_of_train_are_a_toml_file_that_train_takes(capsys, tmp_path):
    for network in ("oriented-fusion", "flm-cnn", "tang"):
        code, out, _ = fer3d(capsys, "settings", "train", network)
        assert code == 0
        (tmp_path / "all.toml").write_text(out, encoding="utf-8")
        assert train_settings(network, "small", tmp_path / "all.toml") == train_settings(network)
    code, _, err = fer3d(capsys, "settings", "tarin")
    assert code == 1
    assert "`command` should be one of preprocess, train, is 'tarin'" in err


def test_the_parts_of_flm_cnn_are_its_ideas(capsys, tmp_path):
    data = write_prepared_trees(tmp_path / "trees", ("F0001", "M0001"), settings=FAR)
    arguments = ("ablate", "flm-cnn", "--data", data, "-o", tmp_path / "a", "--fold", "0", *QUICK)
    code, out, err = fer3d(capsys, *arguments)
    assert code == 0, err
    assert "1 of 5: none" in out
    lines = (tmp_path / "a" / "ablation.md").read_text().splitlines()
    assert lines[0].startswith("| mes | hvp | tree | test accuracy")
    made = json.loads((tmp_path / "a" / "ablation.json").read_text())
    assert [entry["parts"] for entry in made] == [[], ["hvp", "tree"], ["mes", "tree"], ["mes", "hvp"], list(PARTS)]
    facts = json.loads((tmp_path / "a" / "mes+hvp" / "run.json").read_text())
    assert facts["settings"]["model"]["tree"] is False
    assert facts["model_settings"]["tree"] is False
    memory = {tuple(entry["parts"]): entry["scan_bytes"] for entry in made}
    assert memory["mes", "hvp"] > 2 * memory[PARTS] == 2 * memory["hvp", "tree"]  # the same points, on one level
    read = [
        json.loads((tmp_path / "a" / name / "run.json").read_text()) for name in ("none", "mes+hvp", "+".join(PARTS))
    ]
    assert {run["model_settings"]["points"] for run in read} == {68}
    with pytest.raises(ArgumentError, match="`model` should be a network with parts that can be left out, is GCNN"):
        ablation_grid("gcnn", Experiment(data), tmp_path, TrainSettings())
