"""A grid of runs: what is checked before it begins, rows as they come, failures, and its two tables."""

import json
import math
from dataclasses import replace

import pytest

from fer3d.config import TrainSettings
from fer3d.errors import ArgumentError, ConfigError, FileError, TrainError
from fer3d.evaluate.grid import (
    Cell,
    Grid,
    Numbers,
    Row,
    ablation_grid,
    illumination_grid,
    markdown,
    numbers_of,
    run_grid,
    to_json,
    vary,
)
from fer3d.train.jobs import Job, JobResult, LocalExecutor
from fer3d.train.plan import Experiment
from fer3d.train.run import Device
from fer3d.train.settings import train_settings
from tests.prepared import write_prepared

QUICK = train_settings("plain-cnn", "small", None, ("model.width=2", "epochs=1", "batch=8", "model.maps=depth,normal"))
NAN = math.nan


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return write_prepared(tmp_path_factory.mktemp("grid") / "prepared")


def cell(tmp_path, name="run", **values):
    return Cell(values, Job("oriented-fusion", Experiment(tmp_path), tmp_path / name, QUICK))


def numbers(accuracy=0.5, low=0.4, high=0.6, folds=1, seconds=10.0, parameters=1234, scan_bytes=None, scan_ms=None):
    return Numbers(accuracy, low, high, 0.1, (accuracy,), 72, folds, parameters, seconds, scan_bytes, scan_ms)


def grid_of(cells, across=None):
    return Grid(tuple(cells[0].values), tuple(cells), cells[0].job.out.parent, "grid", across)


def test_parts_are_marked_and_the_best_line_stands_first(tmp_path):
    cells = [
        cell(tmp_path, "a", depth=True, normal=False),
        cell(tmp_path, "b", depth=False, normal=True),
        cell(tmp_path, "c", depth=True, normal=True),
    ]
    better = numbers(0.75, 0.7, 0.8, folds=2, seconds=30.0, parameters=5678, scan_bytes=4_822_596, scan_ms=7.25)
    rows = [Row(cells[0], numbers()), Row(cells[1], better), Row(cells[2], None, "no luck")]
    made = markdown(grid_of(cells), rows).splitlines()
    assert made == [
        "| depth | normal | test accuracy | 95 % interval | sd of folds | scans | parameters | MB a scan | ms a scan "
        "| s a fold |",
        "|---|---|---|---|---|---|---|---|---|---|",
        "|   | x | 75.0 | 70.0 to 80.0 | 10.0 | 72 | 5,678 | 4.82 | 7.2 | 15 |",
        "| x |   | 50.0 | 40.0 to 60.0 | 10.0 | 72 | 1,234 | - | - | 10 |",
        "| x | x | failed |  |  |  |  |  |  |  |",
        "",
        "- depth, normal failed: no luck",
    ]
    assert to_json(rows[1]) == {
        "parts": ["normal"],
        "accuracy": 0.75,
        "low": 0.7,
        "high": 0.8,
        "fold_sd": 0.1,
        "per_round": (0.75,),
        "scans": 72,
        "folds": 2,
        "parameters": 5678,
        "seconds": 30.0,
        "scan_bytes": 4_822_596,
        "scan_ms": 7.25,
        "notes": (),
    }
    assert to_json(rows[2]) == {"parts": ["depth", "normal"], "reason": "no luck"}


def test_two_axes_mark_the_best_of_each_line_and_leave_a_gap(tmp_path):
    places = [("kdef", "tang", "raw"), ("kdef", "tang", "dog"), ("kdef", "kahou", "raw"), ("kdef", "kahou", "dog")]
    cells = [
        cell(tmp_path, str(n), data=data, network=network, illumination=light)
        for n, (data, network, light) in enumerate(places)
    ]
    grid = grid_of(cells, "illumination")
    rows = [Row(cells[0], numbers()), Row(cells[1], numbers(0.625, NAN, NAN)), Row(cells[2], numbers(0.25, 0.2, 0.3))]
    assert markdown(grid, rows).splitlines() == [
        "| data | network | raw | dog | scans |",
        "|---|---|---|---|---|",
        "| kdef | tang | 50.0 (40.0 to 60.0) | **62.5** | 72 |",
        "| kdef | kahou | **25.0** (20.0 to 30.0) |  | 72 |",
    ]
    only_failed = markdown(grid, [Row(cells[3], None, "broken")]).splitlines()
    assert only_failed[2:] == ["| kdef | kahou |  | failed |  |", "", "- kdef kahou dog failed: broken"]
    assert to_json(rows[0]) | {"data": "kdef", "network": "tang", "illumination": "raw"} == to_json(rows[0])


def test_the_table_grows_with_every_row_and_reruns_keep_what_is_finished(prepared, tmp_path):
    experiment = Experiment(prepared, folds=2, rounds=2, only=(0,))
    grid = ablation_grid("plain-cnn", experiment, tmp_path / "a", QUICK, [("depth",), ("depth", "normal")])
    lengths, begun = [], []

    def on_row(row):
        lengths.append(len(json.loads((tmp_path / "a" / "ablation.json").read_text())))

    rows = run_grid(
        grid,
        executor=LocalExecutor(device=Device("cpu")),
        on_start=lambda cell, number, total: begun.append((cell.name, number, total)),
        on_row=on_row,
    )
    assert lengths == [1, 2]
    assert begun == [("depth", 0, 2), ("depth, normal", 1, 2)]
    assert [row.numbers.folds for row in rows] == [2, 2]
    for row in rows:
        assert len(row.numbers.per_round) == 2
        assert sum(row.numbers.per_round) / 2 == pytest.approx(row.numbers.accuracy)  # as many scans in each round
        assert row.numbers == numbers_of(row.cell.job.out)
    weights = tmp_path / "a" / "depth" / "r00f00" / "model.safetensors"
    before, text = weights.stat().st_mtime_ns, (tmp_path / "a" / "ablation.json").read_text()
    again = run_grid(grid, executor=LocalExecutor(device=Device("cpu")))
    assert weights.stat().st_mtime_ns == before
    assert [row.numbers for row in again] == [row.numbers for row in rows]
    assert (tmp_path / "a" / "ablation.json").read_text() == text


def test_a_bug_in_one_run_is_a_row_with_its_place(prepared, tmp_path, monkeypatch):
    from fer3d.train import jobs

    real = jobs.train

    def broken(model, experiment, out, *arguments, **options):
        if out.name == "depth":
            raise KeyError("surprise")
        return real(model, experiment, out, *arguments, **options)

    monkeypatch.setattr(jobs, "train", broken)
    grid = ablation_grid("plain-cnn", Experiment(prepared, folds=2, only=(0,)), tmp_path, QUICK)
    rows = run_grid(grid, executor=LocalExecutor(device=Device("cpu")))
    assert rows[0].reason.startswith("internal error at test_grid.py:")
    assert rows[0].reason.endswith(", KeyError: 'surprise'")
    assert [row.numbers is None for row in rows] == [True, False, False]


def test_an_executor_that_brings_no_run_or_no_result_is_named(prepared, tmp_path):
    grid = ablation_grid("plain-cnn", Experiment(prepared, folds=2, only=(0,)), tmp_path, QUICK)

    def forgetful(jobs, on_start):
        yield from LocalExecutor(device=Device("cpu"))(jobs[:1])
        yield JobResult(jobs[1])

    rows = run_grid(grid, executor=forgetful)
    assert rows[0].numbers is not None
    assert "run.json" in rows[1].reason
    assert rows[2].reason == "the executor gave no result for it"


def test_when_every_run_fails_the_first_reason_is_the_error(prepared, tmp_path):
    grid = ablation_grid("plain-cnn", Experiment(prepared, folds=2), tmp_path / "a", QUICK)
    with pytest.raises(TrainError, match="a: none of 3 runs succeeded; depth: worker on fire"):
        run_grid(grid, executor=lambda jobs, on_start: (JobResult(job, "worker on fire") for job in jobs))
    assert (tmp_path / "a" / "ablation.md").read_text().count("failed") == 6


def test_what_is_wrong_for_all_runs_ends_the_grid_before_it_begins(tmp_path):
    grid = ablation_grid("plain-cnn", Experiment(tmp_path / "nowhere"), tmp_path / "a", QUICK)
    with pytest.raises(FileError, match=r"nowhere/manifest\.parquet: is missing"):
        run_grid(grid, executor=lambda jobs, on_start: pytest.fail("began"))
    assert not (tmp_path / "a").exists()


def test_longest_runs_are_begun_first_by_several_workers(tmp_path, monkeypatch):
    from fer3d.train import jobs

    def here(work, items, workers, *, died, on_start):  # starts no process
        assert workers == 2
        assert died(items[0]).reason.startswith("the worker process died on it")
        return ((item, on_start(item) or JobResult(item)) for item in items)

    monkeypatch.setattr(jobs, "map_on_processes", here)
    grid = ablation_grid("plain-cnn", Experiment(tmp_path), tmp_path, QUICK)
    begun = []
    list(LocalExecutor(2)([cell.job for cell in grid.cells], lambda job: begun.append(job.out.name)))
    assert begun == ["depth+normal", "depth", "normal"]


def test_cells_differ_in_what_they_vary_alone(tmp_path):
    settings = train_settings("oriented-fusion", "small", None, ("epochs=3", "model.illumination=dog"))
    for made in ablation_grid("oriented-fusion", Experiment(tmp_path), tmp_path, settings).cells:
        maps = tuple(name for name, there in made.values.items() if there)
        changes = {"maps": maps, "illumination": "dog" if "texture" in maps else "raw"}
        assert made.job.settings.model == settings.model.model_copy(update=changes)
        assert made.job.settings.epochs == 3
    with pytest.raises(ConfigError, match="settings: model: unknown key `mask_`; did you mean `mask`"):
        vary(settings, {"mask_": True})
    assert vary(settings, {"mask": True}).model == settings.model.model_copy(update={"mask": True})


def test_a_setting_of_training_that_a_cell_does_not_use_is_left_out_there(tmp_path):
    settings = train_settings("oriented-fusion", "small", None, ("texture_jitter=0.2",))
    jitters = {
        made.name: made.job.settings.texture_jitter
        for made in ablation_grid("oriented-fusion", Experiment(tmp_path), tmp_path, settings).cells
    }
    assert jitters["texture"] == jitters["depth, texture"] == 0.2
    assert jitters["depth"] == TrainSettings().texture_jitter


def test_wrong_grids_are_named(tmp_path):
    one = cell(tmp_path, depth=True)
    with pytest.raises(ArgumentError, match="`cells` should hold at least one run, is empty"):
        Grid(("depth",), (), tmp_path)
    with pytest.raises(ArgumentError, match="`cells` should have values on depth, normal, that of .*run has them on d"):
        Grid(("depth", "normal"), (one,), tmp_path)
    with pytest.raises(ArgumentError, match="`cells` should have run folders of their own, .*run is that of two"):
        Grid(("depth",), (one, replace(one)), tmp_path)
    with pytest.raises(ArgumentError, match="`across` should be one of depth, is 'light'"):
        Grid(("depth",), (one,), tmp_path, across="light")
    with pytest.raises(ArgumentError, match="`networks` should be one or more different names, is none"):
        illumination_grid([tmp_path], Experiment(tmp_path), tmp_path, {})
