"""`fer3d train landmarks` from end to end on four people; killed at each stage, it ends with the same weights."""

import json

import pytest

from fer3d.landmarks import POINT_NAMES
from fer3d.prepare.landmarks import find, weights
from fer3d.train.landmarks import simulate
from tests.commands import fer3d
from tests.kills import kill_at, writes_of

LINE = ("train", "landmarks", "--people", "4", "--finder-epochs", "1", "--placer-epochs", "1", "--trials", "3")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(simulate, "_LOOKS", 1)
    monkeypatch.setattr(find, "_CANDIDATES", 1)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder in which a training has ended, what it printed, and the names of the files it wrote."""
    return tmp_path_factory.mktemp("trained")


def train(capsys, out, *more):
    return fer3d(capsys, *LINE, "-o", out, "--workers", "1", *more)


def test_it_ends_with_weights_however_often_it_is_killed(trained, capsys):
    printed = []
    names = writes_of(lambda: printed.append(train(capsys, trained / "whole.safetensors")))
    code, out, err = printed[0]
    assert (code, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines()[:4]] == ["simulate", "finder", "placer", "calibrate"]
    assert "fer3d landmarks SCANS --weights" in out
    assert names == [
        "landmarks.json",
        "part-00000.npz",
        "finder.safetensors",
        "placer.safetensors",
        "whole.safetensors",
    ]
    detector = weights.load(trained / "whole.safetensors")
    assert 0 < detector.calibration.fail <= detector.calibration.warn < 1
    content = (trained / "whole.safetensors").read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]["fer3d"]
    facts = json.loads(header)
    assert facts["points"] == list(POINT_NAMES)
    assert (facts["training"]["people"], facts["training"]["trials"]) == (4, 3)
    # Once the part is written; then before the finder, the placer and the weights are.
    for number, step in ((2, "after"), (1, "before"), (2, "before"), (2, "before")):
        assert kill_at(number, step, lambda: train(capsys, trained / "killed.safetensors"))
        assert not (trained / "killed.safetensors").exists()
    assert train(capsys, trained / "killed.safetensors")[0] == 0
    assert (trained / "killed.safetensors").read_bytes() == content


def test_other_settings_and_damaged_files_are_one_line(trained, capsys):
    work = trained / "whole.work"
    code, _, err = train(capsys, trained / "new.safetensors", "--work", work, "--people", "5")
    assert code == 1
    assert err.count("\n") == 1 and "differs in people" in err
    finder = (work / "finder.safetensors").read_bytes()
    (work / "finder.safetensors").write_bytes(finder[:-9])
    code, _, err = train(capsys, trained / "new.safetensors", "--work", work)
    assert code == 1
    assert err.count("\n") == 1 and "finder.safetensors: weights of the finder were wanted" in err
    (work / "finder.safetensors").unlink()
    (work / "part-00000.npz").write_bytes(b"PK")
    code, _, err = train(capsys, trained / "new.safetensors", "--work", work)
    assert code == 1
    assert err.count("\n") == 1 and "part-00000.npz: examples were wanted" in err and "delete it" in err


def test_errors_come_before_the_work(tmp_path, capsys):
    code, _, err = train(capsys, tmp_path)
    assert (code, err) == (1, f"fer3d: `--out` should be a file of weights, {tmp_path} is a folder\n")
    code, _, err = train(capsys, tmp_path / "x", "--face-model", tmp_path / "no.npz")
    assert code == 1 and err.count("\n") == 1 and "no.npz" in err
    assert not list(tmp_path.iterdir())


def test_help_of_both_commands(capsys):
    own, other, all_ = (fer3d(capsys, *line, "--help")[1] for line in (("train", "landmarks"), ("train",), ()))
    assert "--finder-epochs" in own and "--protocol" not in own
    assert "--protocol" in other and "--finder-epochs" not in other
    assert "fer3d train landmarks --help" in other
    assert "train landmarks" in all_
