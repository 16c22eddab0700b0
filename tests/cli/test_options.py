"""Every option of every command changes something, or is refused by name where it would change nothing."""

import json
import types
from pathlib import Path
from unittest import mock

import pytest
import typer

from fer3d import predict
from fer3d.cli.app import app
from tests.cli.option_effects import CALLS, OPTIONS, Changes, Refused
from tests.commands import fer3d
from tests.prepared import write_prepared
from tests.runs import write_run


def walk(command, name=""):
    """ "COMMAND PARAMETER" of every parameter of a command and of those below it."""
    found = [f"{name} {max(parameter.opts, key=len)}" for parameter in command.params]
    for word, below in getattr(command, "commands", {}).items():
        found += walk(below, f"{name} {word}".strip())
    return found


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    folder = tmp_path_factory.mktemp("options")
    (folder / "config.toml").write_text("size = 50\n", encoding="utf-8")
    (folder / "train.toml").write_text("batch = 9\n", encoding="utf-8")
    parts = {"round": 0, "fold": 0, "train": ["F0001"], "validation": [], "test": ["M0001"]}
    (folder / "folds.json").write_text(json.dumps([parts]), encoding="utf-8")
    return {
        "prepared": write_prepared(folder / "prepared", ("F0001", "M0001"), intensities=(3,)),
        "run": write_run(folder / "run", subjects=4, folds=2),
        "twin": write_run(folder / "twin", subjects=4, folds=2, noise=1),
        "config": folder / "config.toml",
        "train": folder / "train.toml",
        "folds": folder / "folds.json",
    }


def test_every_option_of_every_command_is_in_the_table():
    found = walk(typer.main.get_command(app))
    assert len(found) == len(set(found)) > 100
    assert sorted(set(found) - set(OPTIONS)) == [], "say in tests/cli/option_effects.py what these options do"
    assert sorted(set(OPTIONS) - set(found)) == [], "these options are gone"
    assert [name for name, cases in OPTIONS.items() if not cases] == [" --install-completion", " --show-completion"]


def called(line):
    """The function whose call is recorded for a command line, or None if its output is compared."""
    words = line.split()
    if "--json" in words and words[0] in ("evaluate", "compare"):
        return None
    names = [name for name in CALLS if line.startswith(name.split()[0]) and all(word in words for word in name.split())]
    return CALLS[max(names, key=len)] if names else None


def seen(capsys, line, compared):
    """What a command line calls, or prints: a text; what it prints if the other line to compare prints."""
    place = None if compared else called(line)
    if place is None:
        code, out, err = fer3d(capsys, *line.split())
        assert code == 0, err
        return out
    calls = []

    def record(*arguments, **named):
        named = {key: value for key, value in named.items() if not callable(value)}
        calls.append(f"{place} {arguments!r} {named!r}")
        raise SystemExit(0)

    of_pose = mock.patch("fer3d.evaluate.pose.check_pose_test")  # of a run that the test does not train
    with mock.patch(place, record), of_pose:
        code, _, err = fer3d(capsys, *line.split())
    assert calls, err
    return calls[0]


CHANGES = [(name, case) for name, cases in OPTIONS.items() for case in cases if isinstance(case, Changes)]
REFUSED = [(name, case) for name, cases in OPTIONS.items() for case in cases if isinstance(case, Refused)]


@pytest.mark.parametrize(("name", "case"), CHANGES, ids=[name for name, _ in CHANGES])
def test_an_option_changes_what_the_command_does(name, case, places, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("scans").mkdir()
    first = case.line.format(**places)
    second = (case.instead or f"{case.line} {case.option}").format(**places)
    printed = called(first) is None or called(second) is None
    if name == "evaluate runs":  # the call of the first run is the same; the second is seen in what is printed
        first, second, printed = f"{first} --resamples 9", f"{second} --resamples 9", True
    assert seen(capsys, first, printed) != seen(capsys, second, printed)


@pytest.mark.parametrize(
    ("name", "case"), REFUSED, ids=[f"{name} {case.line.split(' --')[-1]}" for name, case in REFUSED]
)
def test_an_option_that_would_do_nothing_is_refused_by_name(name, case, places, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    of_pictures = types.SimpleNamespace(kind=types.SimpleNamespace(name="pictures"))
    if case.pictures:
        monkeypatch.setattr(predict, "load", lambda run, fold, **_: of_pictures)
    code, _, err = fer3d(capsys, *f"{case.line} {case.option}".format(**places).split())
    assert code == 1, err
    assert case.message.format(**places) in err
    assert err.count("\n") == 1


def test_a_default_that_is_typed_is_refused_too(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, err = fer3d(capsys, "synth", "x", "--frames", 12)
    assert code == 1
    assert "`--frames` would change nothing: it is of --layout bu4dfe, this is bu3dfe" in err
    assert not list(tmp_path.iterdir())


def test_a_settings_file_that_lists_all_may_be_used_for_scans_and_pictures(tmp_path, capsys):
    from fer3d.config import PreprocessSettings, preprocess_settings

    _, out, _ = fer3d(capsys, "settings", "preprocess")
    (tmp_path / "all.toml").write_text(out, encoding="utf-8")
    chosen = preprocess_settings(tmp_path / "all.toml")
    assert chosen.model_fields_set > {"crop_mm", "tree_rays", "detectors"}
    for pictures in (False, True):
        chosen.check_used(chosen.unused(pictures=pictures))
    assert set(PreprocessSettings().unused(pictures=True)) == set(PreprocessSettings.model_fields) - {
        "size",
        "detectors",
        "crops",
        "whole_picture",
    }
