"""What a new user sees in a first hour: short summaries, lines instead of bars in a file, no bar before an error."""

import io
import json
import re

import pytest
from rich.console import Console

from fer3d.cli import show_preparation, show_training, terminal
from fer3d.cli.options import TrainingOptions
from fer3d.cli.terminal import ProgressBar
from fer3d.config import PreprocessSettings
from fer3d.errors import ArgumentError
from fer3d.evaluate.measure import undefined_lines
from fer3d.files import read_json
from fer3d.prepare.warning_kinds import WarningKind, failure_kinds, warning_kinds, without_landmarks
from fer3d.train.run_folder import read_run
from tests.commands import fer3d
from tests.prepared import SIX, write_prepared
from tests.runs import write_json, write_run


class Clock:
    """Seconds that only the test lets pass."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def screen(live):
    return Console(file=io.StringIO(), force_terminal=live, width=100, legacy_windows=False)


def bar_on(console, clock):
    return ProgressBar("preparing", "scans", console, transient=False, clock=clock)


@pytest.mark.parametrize("live", [True, False])
def test_a_bar_shows_nothing_before_its_first_tick(live):
    console = screen(live)
    bar_on(console, Clock()).stop()
    assert console.file.getvalue() == ""


def test_without_a_terminal_a_bar_is_a_line_now_and_then():
    console, clock = screen(live=False), Clock()
    bar = bar_on(console, clock)
    for done in range(1, 1001):  # a scan a second
        clock.now += 1.0
        bar.update(done, 1000)
    bar.stop()
    lines = console.file.getvalue().splitlines()
    assert lines[0] == "preparing: 10 of 1000 scans, 1.0 scans/s, 00:16:30 left"
    assert 10 < len(lines) < 40  # the pauses grow with the time that it takes
    assert "\r" not in console.file.getvalue()
    assert "\x1b" not in console.file.getvalue()


def test_in_a_terminal_a_bar_is_redrawn():
    console = screen(live=True)
    bar = bar_on(console, Clock())
    bar.update(3, 3)
    bar.stop()
    assert re.search(r"preparing .*3/3", re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", console.file.getvalue()))


def test_the_clock_starts_when_the_kernels_are_compiled():
    console, clock = screen(live=False), Clock()
    bar = bar_on(console, clock)
    clock.now = 60.0
    bar.compiling(5, 10)
    clock.now = 100.0
    bar.compiling(10, 10)
    clock.now = 111.0
    bar.update(11, 22)
    assert console.file.getvalue().splitlines() == [
        "compiling kernels, once: 5 of 10 kernels, 12 s each, 00:01:00 left",
        "compiling kernels, once: 10 of 10 kernels, 0.1 kernels/s",
        "preparing: 11 of 22 scans, 1.0 scans/s, 11.0 s left",
    ]


def row_of(source, *warnings, pose="file"):
    return {"source": source, "status": "ok", "warnings": list(warnings), "pose_source": pose}


def test_warnings_are_counted_by_kind_with_one_example():
    rows = [
        row_of("a.wrl", "landmarks not used: a.bnd: 83 landmarks were wanted, it has 84", pose="shape"),
        row_of("b.wrl", "landmarks not used: b.bnd: 83 landmarks were wanted, it has 12", pose="shape"),
        row_of(
            "c.wrl",
            "landmarks found on the shape: the pose should have at least 4 (pronasale)",
            "a crumb",
            pose="shape",
        ),
        row_of("d.wrl", "no landmarks file, wanted d.bnd", pose="shape"),
        row_of("e.wrl", pose="shape"),
        row_of("f.wrl"),
    ]
    kinds = [(kind.count, kind.text, kind.source) for kind in warning_kinds(rows)]
    assert kinds == [
        (2, "without their landmark files, because 83 landmarks were wanted, it has 84", "a.wrl"),
        (1, "without their landmark files, because the pose should have at least 4 (pronasale)", "c.wrl"),
        (1, "a crumb", "c.wrl"),
        (1, "no landmarks file, wanted d.bnd: landmarks are found on the shape", "d.wrl"),
    ]
    assert without_landmarks(rows) == 1
    failures = [("a.wrl", "a.wrl: 3 points"), ("b.wrl", "b.wrl: 4 points"), ("c.wrl", "c.wrl: is empty")]
    assert [(kind.count, kind.text) for kind in failure_kinds(failures)] == [(2, "3 points"), (1, "is empty")]


@pytest.mark.parametrize("live", [True, False])
@pytest.mark.parametrize(
    ("arguments", "function"),
    [
        (("synth", "scans"), "fer3d.synth.make"),
        (("inspect", "scans"), "fer3d.catalog.inspection.inspect"),
        (("preprocess", "scans", "--dataset", "bu3dfe"), "fer3d.cli.show_preparation.preprocess"),
        (("train", "plain-cnn"), "fer3d.cli.show_training.train"),
    ],
)
def test_no_bar_stands_before_an_error(monkeypatch, capsys, arguments, function, live):
    def fail(*given, **options):
        raise ArgumentError("`folder` should be empty")

    console = screen(live)
    monkeypatch.setattr(function, fail)
    monkeypatch.setattr(terminal, "console", console)
    monkeypatch.setattr(show_training, "console", console)
    code, out, err = fer3d(capsys, *arguments)
    assert (code, out, err) == (1, "", "fer3d: `folder` should be empty\n")
    assert "━" not in console.file.getvalue()


def test_a_summary_counts_warnings_and_failures(monkeypatch, capsys):
    from pathlib import Path

    from fer3d.prepare.folder import Summary

    kinds = (WarningKind("without their landmark files, because x", 12, "a.wrl"), WarningKind("a crumb", 1, "b.wrl"))
    failures = tuple((f"{n}.wrl", f"{n}.wrl: {n} points") for n in range(20))
    summary = Summary(Path("prepared"), 13, 0, failures, (), (), 0, 1.0, {}, None, warnings=kinds, without_landmarks=2)
    monkeypatch.setattr(show_preparation, "preprocess", lambda *given, **options: summary)
    _, out, _ = fer3d(capsys, "preprocess", "scans", "--dataset", "bu3dfe")
    assert out.splitlines()[1:] == [
        "failed 20 of 20: 0 points; for example 0.wrl",
        "warning 12 of 13: without their landmark files, because x; for example a.wrl",
        "warning 1 of 13: b.wrl: a crumb",
        "note 2 without landmark files: their pose is found from the shape",
    ]


def test_the_defaults_are_those_of_the_measured_table():
    settings = PreprocessSettings()
    assert settings.size == 64
    assert settings.pixel == pytest.approx(2.8)  # all of a crop of 90 mm radius, at any size


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A folder of four people with neutral scans, one failed scan and one without a label."""
    folder = tmp_path_factory.mktemp("hour") / "prepared"

    def change(row):
        if row["id"] == "F0001_anger_3":
            row |= {"status": "failed", "reason": "F0001_anger_3.wrl: is empty"}
        if row["id"] == "M0001_fear_3":
            row["expression"] = None

    return write_prepared(folder, classes=("neutral", *SIX), intensities=(3,), change=change)


QUICK = ("--folds", 2, "--set", "epochs=2", "--set", "batch=8", "--set", "model.width=4", "--accelerator", "cpu")
LEFT_OUT = (
    "left out 6 of 28 scans: 4 of class neutral, 1 that failed in preprocessing, 1 without a label (expression); "
    "--labels neutral,anger,disgust,fear,happiness,sadness,surprise takes that class too"
)


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    """The folder of a run, and what `fer3d train` printed into a file."""
    import contextlib
    import sys
    from unittest import mock

    from fer3d.cli.app import main

    out, text = tmp_path_factory.mktemp("runs") / "first", io.StringIO()
    arguments = ("train", "plain-cnn", "--data", data, "--seed", 3, *QUICK, "-o", out)
    with (
        mock.patch.object(sys, "argv", ["fer3d", *map(str, arguments)]),
        contextlib.redirect_stdout(text),
        pytest.raises(SystemExit) as stop,
    ):
        main()
    assert not stop.value.code
    return out, text.getvalue()


def test_train_without_a_terminal_prints_a_line_an_epoch(trained):
    _, out = trained
    epochs = re.findall(r"^(r00f0\d) epoch (\d) of 2: loss \d\.\d{3}, training accuracy \d+ %$", out, re.M)
    assert epochs == [("r00f00", "1"), ("r00f00", "2"), ("r00f01", "1"), ("r00f01", "2")]
    assert "\r" not in out
    assert "\x1b" not in out
    assert re.search(r"^first test accuracy \d", out, re.M)


def test_the_header_says_what_is_trained_and_what_is_left_out(trained):
    run, out = trained
    first, second = out.splitlines()[:2]
    assert first == (
        "plain-cnn on depth, normal, curvature, texture of 16 x 16: 22 scans of 4 subjects, anger, disgust, fear, "
        "happiness, sadness, surprise; protocol k-fold, 2 folds, seed 3"
    )
    assert second == LEFT_OUT
    facts = read_json(run / "run.json")
    assert facts["notes"] == [LEFT_OUT]
    assert [(part["reason"], part["scans"], part["example"]) for part in facts["left_out"]] == [
        ("of class neutral", 4, "F0001_neutral_3"),
        ("that failed in preprocessing", 1, "F0001_anger_3"),
        ("without a label (expression)", 1, "M0001_fear_3"),
    ]


def test_notes_reach_every_form_of_the_results(trained, data, capsys, tmp_path):
    run, _ = trained
    assert LEFT_OUT in fer3d(capsys, "evaluate", run)[1]
    assert read_json(run / "metrics.json")["notes"] == [LEFT_OUT]
    fer3d(capsys, "report", run, "-o", tmp_path / "report.html")
    assert LEFT_OUT in (tmp_path / "report.html").read_text(encoding="utf-8")
    other = write_copy(run, tmp_path / "other")
    assert LEFT_OUT in fer3d(capsys, "compare", run, other)[1]
    assert json.loads(fer3d(capsys, "compare", run, other, "--json")[1])["notes"] == [LEFT_OUT]


def test_warnings_of_training_reach_every_form_of_the_results(tmp_path, capsys):
    text = "the loss of r00f00 stands still"
    runs = [write_run(tmp_path / name, subjects=6, folds=3) for name in ("one", "two")]
    facts = read_json(runs[1] / "run.json")
    write_json(runs[1] / "run.json", facts | {"warnings": [text]})
    assert f"note {text}" in fer3d(capsys, "evaluate", runs[1], "--resamples", 50)[1]
    assert read_json(runs[1] / "metrics.json")["notes"] == [text]
    assert f"note two: {text}" in fer3d(capsys, "compare", *runs, "--resamples", 50)[1]
    fer3d(capsys, "report", runs[1])
    assert text in (runs[1] / "report.html").read_text(encoding="utf-8")
    fer3d(capsys, "ensemble", *runs, "-o", tmp_path / "ensemble.json", "--resamples", 50)
    assert read_json(tmp_path / "ensemble.json")["notes"] == [f"two: {text}"]


def test_the_report_says_which_rotated_scans_could_not_be_tested(tmp_path, capsys):
    from fer3d.evaluate.metrics import Interval
    from fer3d.evaluate.pose import KINDS, PosePoint, PoseTest

    run = write_run(tmp_path / "one", subjects=4, folds=4)
    points = tuple(PosePoint(kind, yaw, 9, int(yaw > 0), Interval(0.5, 0.4, 0.6)) for kind in KINDS for yaw in (0, 60))
    write_json(
        run / "pose_test.json", PoseTest("one", "flm-cnn", 0.5, points, "a.wrl at 60 degrees: no face").to_json()
    )
    fer3d(capsys, "report", run)
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "2 scans could not be tested and count as wrong; a.wrl at 60 degrees: no face" in page


def write_copy(run, to):
    import shutil

    return shutil.copytree(run, to)


def test_labels_that_were_chosen_are_counted_without_advice(data):
    from fer3d.train.plan import Experiment, plan_experiment

    plan = plan_experiment(Experiment(data, classes=("happiness", "sadness"), folds=2), 0)
    assert plan.left_out_note == (
        "left out 20 of 28 scans: 4 of class neutral, 4 of class disgust, 4 of class surprise, 3 of class anger, "
        "3 of class fear, 1 that failed in preprocessing, 1 without a label (expression)"
    )
    assert "--labels" not in plan.left_out_note


def test_seed_is_the_setting_of_the_same_name(trained):
    assert read_run(trained[0]).facts["settings"]["seed"] == 3
    assert TrainingOptions(seed=3).settings("plain-cnn") == TrainingOptions(set_=["seed=3"]).settings("plain-cnn")
    assert TrainingOptions(seed=3, set_=["seed=3"]).settings("plain-cnn").seed == 3
    with pytest.raises(ArgumentError, match="`--seed` should be given once, is 3 and, by --set seed=, 4"):
        TrainingOptions(seed=3, set_=["seed=4"]).settings("plain-cnn")


@pytest.mark.parametrize("command", [("train",), ("ablate",), ("study", "illumination")])
def test_every_command_that_trains_takes_a_seed(capsys, command):
    assert "--seed" in fer3d(capsys, *command, "--help")[1]


def test_people_of_the_same_names_are_told_apart_if_they_are_distinct(data, tmp_path, capsys):
    other = write_prepared(tmp_path / "other", ("F0001", "F0007"), change=lambda row: row.update(dataset="bu3dfe"))
    arguments = ("train", "plain-cnn", "--data", data, "--protocol", "cross", "--test-data", other, *QUICK[2:])
    code, out, err = fer3d(capsys, *arguments, "-o", tmp_path / "run")
    assert (code, out) == (1, "")  # no bar
    assert "1 subjects are in both" in err
    assert "bu3dfe/F0001; if they are different people of the same names, type --distinct, else test on" in err
    from fer3d.train.plan import Experiment, plan_experiment

    experiment = Experiment(data, "cross", other, distinct=True)
    (fold,) = plan_experiment(experiment, 0).folds
    assert fold.test == ("test-bu3dfe/F0001", "test-bu3dfe/F0007")
    code, _, err = fer3d(capsys, "train", "plain-cnn", "--data", data, "--distinct", "-o", tmp_path / "run")
    assert code == 1
    assert err == "fer3d: `distinct` is of protocol cross, `protocol` is k-fold: leave it out\n"


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({}, "`maps` of the run should hold no texture for a pose test: meshes are stored without it; train a network "
             "with --maps depth,normal,curvature, or flm-cnn"),
        ({"input": "pictures"}, "the run was trained on pictures: train a network on scans, such as fer3d train"),
        ({"maps": ["depth"]}, "the scans' meshes were not kept; prepare them with keep_mesh=true: fer3d preprocess"),
    ],
)  # fmt: skip
def test_a_pose_test_refuses_before_it_prints(trained, data, tmp_path, capsys, facts, message):
    run = write_copy(trained[0], tmp_path / "run")
    (run / "run.json").write_text(json.dumps(read_json(run / "run.json") | facts))
    code, out, err = fer3d(capsys, "evaluate", run, "--pose-test", "--prepared", data)
    assert (code, out) == (1, "")
    assert message in err
    assert err.count("\n") == 1


def test_undefined_numbers_are_a_dash_and_the_reason_stands_beneath(tmp_path, capsys):
    run = write_run(tmp_path / "one", subjects=4, folds=4, skill=-9.0)
    _, out, _ = fer3d(capsys, "evaluate", run)
    table, _, _ = out.partition("-> ")
    assert "n/a" not in table
    assert "nan" not in table
    assert undefined_lines({"per_class.fear.precision": "x", "per_class.anger.precision": "y"}) == [
        "no precision of fear, anger: never predicted"
    ]


def test_help_groups_commands_and_options(capsys):
    out = fer3d(capsys, "--help")[1]
    panels = ("Prepare data", "Train", "Results of runs", "One scan or picture")
    places = [re.search(rf"─ {panel} ─", out).start() for panel in panels]
    assert places == sorted(places)
    assert re.search(r"synth.*inspect.*preprocess.*train.*evaluate.*compare.*predict", out, re.S)
    out = fer3d(capsys, "train", "--help")[1]
    for panel in ("Data and folds", "Network", "Training", "Running"):
        assert f"─ {panel} ─" in out


def test_every_command_shows_how_to_type_it(capsys):
    from fer3d.cli.app import app

    for command in app.registered_commands:
        name = command.name or command.callback.__name__
        assert f"fer3d {name} " in command.callback.__doc__, name


def test_networks_of_imagenet_ask_for_more_pixels():
    from fer3d.models import network_class

    def wanted(model, **own):
        kind = network_class(model)
        return kind.published_pixels(kind.Settings(**own))

    assert wanted("oriented-fusion") is None
    assert wanted("oriented-fusion", backbone="resnet-18") == 224
    assert wanted("alexnet") == 224
    assert wanted("alexnet", pixels=48) == 48
    assert wanted("flm-cnn") is None


def test_too_few_pixels_for_a_network_are_said(data, tmp_path):
    from fer3d.train.plan import Experiment
    from fer3d.train.run import Callbacks, Device, train
    from fer3d.train.settings import train_settings

    notes = []
    settings = train_settings("tang", assignments=("epochs=1", "batch=8"))
    experiment = Experiment(data, folds=2, only=(0,))
    train(
        "tang",
        experiment,
        tmp_path / "run",
        settings,
        device=Device("cpu"),
        callbacks=Callbacks(on_message=notes.append),
    )
    assert notes[-1] == (
        "tang with these settings is published for 48 x 48 pixels, the scans have 16 x 16: "
        "`fer3d preprocess SCANS -o PREPARED --size 48` prepares them so"
    )


def test_a_grid_prints_the_notes_of_its_runs_once(monkeypatch, capsys, tmp_path):
    from types import SimpleNamespace

    from fer3d.train.run import Device

    def run_grid(grid, *, executor, on_start, on_row):
        for _ in range(3):
            executor.callbacks.on_message(LEFT_OUT)
        return []

    (tmp_path / "grid.md").write_text("the table")
    monkeypatch.setattr("fer3d.evaluate.grid.run_grid", run_grid)
    show_training.run_grid(SimpleNamespace(out=tmp_path, title="grid"), Device("cpu"), 1)
    assert capsys.readouterr().out.splitlines()[:2] == [LEFT_OUT, "the table"]


def test_training_shows_no_bar_before_an_error(monkeypatch):
    for live in (True, False):
        console = screen(live)
        monkeypatch.setattr(show_training, "console", console)
        with pytest.raises(ArgumentError), show_training._progress():
            raise ArgumentError("`data` is wrong")
        shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", console.file.getvalue())
        assert "━" not in shown
    assert terminal.is_live(screen(live=True))
    assert not terminal.is_live(screen(live=False))
