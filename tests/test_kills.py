"""Every command can be killed at each of its writes, and the same command then ends with the same bytes.

Here each write is killed between its temporary file and its move into place, and the last one after it: what lies on
the disk is then each of the states that a kill can leave. `benchmarks/bm_kills.py` steps through all.
"""

import ast
from pathlib import Path

import pytest

import fer3d
from fer3d.config import PreprocessSettings
from fer3d.errors import FileError, LockedError
from fer3d.evaluate.measure import evaluate_run
from fer3d.files import LOCK, TEMPORARY, locked
from fer3d.prepare.folder import preprocess
from fer3d.prepare.shards import pack
from fer3d.prepare.store import read_manifest, read_row
from fer3d.train.plan import Experiment
from fer3d.train.run import Device, train
from fer3d.train.settings import train_settings
from tests.kills import content, kill_at, writes_of
from tests.prepared import write_prepared
from tests.quick_scans import prepare_quickly
from tests.runs import write_run


def killed_everywhere(tmp_path, begin, command, check=lambda folder: None):
    """Kill `command(folder)` at each of its writes and run it again: the folder must be as if it had not been killed.

    `begin(folder)` makes the folder as it is before; `check(folder)` is called after each kill. Returns the writes.
    """
    folder = tmp_path / "whole" / "out"
    begin(folder)
    names = writes_of(lambda: command(folder))
    whole = content(folder)
    for number, name in enumerate(names, 1):
        steps = ("before",) if name.startswith("-") else ("between",)
        for step in (*steps, *(("after",) if number == len(names) else ())):
            folder = tmp_path / f"{number}{step}" / "out"
            begin(folder)
            assert kill_at(number, step, lambda folder=folder: command(folder)), (name, step)
            check(folder)
            command(folder)
            assert content(folder) == whole, (name, step)
    return names


def fails_or_is_whole(folder):
    """A killed run leaves a folder that says that it is not finished, or one in which all belongs together."""
    try:
        rows = read_manifest(folder)
    except FileError as error:
        assert "is not finished" in str(error) or "manifest.parquet: is missing" in str(error)
        return
    for row in rows:
        read_row(folder, row)


@pytest.fixture
def scans(tmp_path, monkeypatch):
    """Three scan files, whose preparation takes no time."""
    for name in "abc":
        path = tmp_path / "scans" / "anna" / "happy" / f"{name}.ply"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())

    prepare_quickly(monkeypatch)
    return tmp_path / "scans"


def test_preprocess(scans, tmp_path):
    def run(size):
        return lambda folder: preprocess(scans, folder, settings=PreprocessSettings(size=size), workers=1)

    names = killed_everywhere(tmp_path / "new", lambda folder: None, run(8), fails_or_is_whole)
    assert names[0] == names[-1] == "prepare.json"
    assert names[-2] == "manifest.parquet"
    assert sum(name.endswith(".safetensors") for name in names) == 3
    again = killed_everywhere(tmp_path / "other settings", run(8), run(9), fails_or_is_whole)
    assert again == names


def test_pack(tmp_path):
    prepared = write_prepared(tmp_path / "prepared", ("F0001",), intensities=(3,))
    names = killed_everywhere(
        tmp_path / "packs", lambda folder: None, lambda folder: _packed(prepared, folder), fails_or_is_whole
    )
    assert sum(name.endswith(".safetensors") for name in names) == 3


def _packed(prepared, folder):
    try:
        pack(prepared, folder, 2)
    except ValueError as error:  # after the last write
        assert "already holds a manifest" in str(error)


def test_train(tmp_path):
    prepared = write_prepared(tmp_path / "prepared", ("F0001", "M0001"), intensities=(3,), size=16)
    settings = train_settings("plain-cnn", "tiny", None, ("epochs=1", "batch=8"), model={"width": 2, "maps": "depth"})
    experiment = Experiment(prepared, folds=2, only=(0,))
    names = killed_everywhere(
        tmp_path / "runs",
        lambda folder: None,
        lambda folder: train("plain-cnn", experiment, folder, settings, resume=True, device=Device("cpu")),
    )
    assert {"run.json", "folds.json", "last.ckpt", "log.csv", "model.safetensors", "done.json"} < set(names)
    assert names[-2:] == ["predictions.parquet", "-last.ckpt"]


def test_evaluate(tmp_path):
    names = killed_everywhere(tmp_path, write_run, lambda folder: evaluate_run(folder, resamples=20))
    assert names == ["metrics.json"]


def test_the_last_writes_of_a_run_are_made_up_for(tmp_path):
    """A run that is killed after its last fold is done still gets the table of all folds and its time."""
    prepared = write_prepared(tmp_path / "prepared", ("F0001", "M0001"), intensities=(3,), size=16)
    settings = train_settings("plain-cnn", "tiny", None, ("epochs=1", "batch=8"), model={"width": 2, "maps": "depth"})

    def run():
        train(
            "plain-cnn",
            Experiment(prepared, folds=2),
            tmp_path / "run",
            settings,
            resume=True,
            device=Device("cpu"),
        )

    run()
    for name in ("predictions.parquet",):
        (tmp_path / "run" / name).unlink()
    facts = (tmp_path / "run/run.json").read_text()
    (tmp_path / "run/run.json").write_text(facts.replace(_line(facts, '"seconds"'), '  "seconds": null,'))
    (tmp_path / "run/r00f01/last.ckpt").write_bytes(b"left")
    run()
    assert (tmp_path / "run/run.json").read_text() == facts
    assert (tmp_path / "run/predictions.parquet").is_file()
    assert not (tmp_path / "run/r00f01/last.ckpt").exists()


def _line(text, word):
    return next(line for line in text.splitlines() if word in line)


def test_a_second_run_on_a_folder_is_refused(scans, tmp_path):
    out = tmp_path / "out"
    with (
        locked(out, "fer3d preprocess"),
        pytest.raises(LockedError, match=r"out: `fer3d preprocess` \(process \d+ on .*\) is writing there; wait until"),
    ):
        preprocess(scans, out, workers=1)
    preprocess(scans, out, settings=PreprocessSettings(size=8), workers=1)
    assert not (out / LOCK).exists()


def test_only_temporary_files_of_fer3d_are_removed(scans, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    mine, own = out / f"notes{TEMPORARY}", out / f".a.{'0' * 32}{TEMPORARY}"
    for path in (mine, own):
        path.write_bytes(b"x")
    preprocess(scans, out, settings=PreprocessSettings(size=8), workers=1)
    assert mine.exists()
    assert not own.exists()


_WRITERS = {"write_text", "write_bytes", "savez", "savez_compressed", "savetxt", "tofile", "to_csv", "savefig", "dump"}


def test_all_files_are_written_through_one_function():
    """Outside of fer3d.files nothing opens a file to write it."""
    root = Path(fer3d.__file__).parent
    found = []
    for path in root.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(text)) if any(f"{name}(" in text for name in (*_WRITERS, "open")) else ():
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute | ast.Name):
                continue
            name = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id
            is_method = isinstance(node.func, ast.Attribute)
            modes = [value.value for value in ast.walk(node) if isinstance(value, ast.Constant)]
            if (is_method and name in _WRITERS) or (name == "open" and {"w", "wb", "a", "ab", "x", "xb"} & set(modes)):
                found.append(f"{path.relative_to(root)}:{node.lineno}")
    in_memory = ("face/npz.py", "train/landmarks/store.py")  # np.savez fills a buffer, which `write_bytes` writes
    assert [place for place in found if not place.startswith(("files/whole.py", *in_memory))] == []
