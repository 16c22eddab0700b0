"""What ends a training with one line that says what and where."""

import errno
import json
import os
import shutil
from pathlib import Path

import pytest

from fer3d.errors import ArgumentError, CheckpointError, ConfigError, FileError, ProtocolError, TrainError
from fer3d.models import model_names
from fer3d.prepare import store
from fer3d.train.checkpoint import save_state
from fer3d.train.loop import State
from fer3d.train.plan import Experiment, experiment_of
from fer3d.train.run import train
from fer3d.train.run_folder import read_predictions, read_run
from fer3d.train.settings import PRESETS, train_settings
from tests.prepared import write_prepared
from tests.train.test_run import CPU, quick


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return write_prepared(tmp_path_factory.mktemp("train") / "prepared")


@pytest.fixture(scope="module")
def run(prepared, tmp_path_factory):
    """Two of three folds, with validation subjects."""
    experiment = Experiment(prepared, folds=3, validation=True, only=(0, 2))
    return train("oriented-fusion", experiment, tmp_path_factory.mktemp("runs") / "x", quick(), device=CPU)


def fails(error, message, prepared, out, *assignments, experiment=None, model="oriented-fusion", **options):
    """`train` raises `error`, whose message is one line that matches."""
    with pytest.raises(error, match=message) as caught:
        settings = quick(*assignments, model=model)
        train(model, experiment or Experiment(prepared, folds=3), out, settings, device=CPU, **options)
    assert "\n" not in str(caught.value)


def test_a_planted_leak_in_the_folds_is_named(prepared, tmp_path):
    leak = {"round": 0, "fold": 0, "train": ["F0001", "M0001"], "validation": [], "test": ["M0002", "F0001"]}
    (tmp_path / "mine.json").write_text(json.dumps([leak]))
    experiment = Experiment(prepared, str(tmp_path / "mine.json"))
    message = "mine.json: round 0, fold 0: subject F0001 is in train and in test"
    fails(ProtocolError, message, prepared, tmp_path / "run", experiment=experiment)


def test_a_subject_under_two_names_is_found_by_the_scans(prepared, tmp_path):
    """M0002's scans once more as M0099: the names differ, the maps do not."""
    renamed = tmp_path / "renamed"
    shutil.copytree(prepared, renamed)
    rows = store.read_manifest(renamed)
    for row in [row for row in rows if row["subject"] == "M0002"]:
        rows.append(row | {"id": row["id"].replace("M0002", "M0099"), "subject": "M0099"})
    store.write_manifest(renamed, rows)
    folds = [{"round": 0, "fold": 0, "train": ["F0001", "M0002"], "validation": [], "test": ["M0001", "M0099"]}]
    (tmp_path / "mine.json").write_text(json.dumps(folds))
    message = "r00f00: scan M0099_anger_3 of M0099 in test is scan M0002_anger_3 of M0002 in train: one person under"
    experiment = Experiment(renamed, str(tmp_path / "mine.json"))
    fails(ProtocolError, message, renamed, tmp_path / "run", experiment=experiment)


def test_folds_of_ones_own_are_used(prepared, tmp_path):
    folds = [{"round": 0, "fold": 0, "train": ["F0001", "M0001"], "validation": [], "test": ["M0002"]}]
    (tmp_path / "mine.json").write_text(json.dumps(folds))
    experiment = Experiment(prepared, str(tmp_path / "mine.json"))
    out = train("oriented-fusion", experiment, tmp_path / "run", quick("epochs=1"), device=CPU)
    assert set(read_predictions(read_run(out)).subjects) == {"M0002"}


def test_a_label_typo_is_named_with_the_nearest_label(tmp_path):
    def typo(row):
        if row["id"] == "F0002_happiness_4":
            row["expression"] = "hapiness"

    data = write_prepared(tmp_path / "typo", change=typo)
    message = "manifest.parquet: scan F0002_happiness_4: unknown label 'hapiness'; did you mean 'happiness'?"
    fails(ArgumentError, message, data, tmp_path / "run")


def test_a_fold_without_scans_is_named(prepared, tmp_path):
    folds = [{"round": 0, "fold": 0, "train": ["F0001", "M0001"], "validation": [], "test": ["F0077"]}]
    (tmp_path / "mine.json").write_text(json.dumps(folds))
    message = "round 0, fold 0: 1 of 1 test subjects have no scan in the data: F0077"
    experiment = Experiment(prepared, str(tmp_path / "mine.json"))
    fails(ProtocolError, message, prepared, tmp_path / "run", experiment=experiment)
    message = "protocol k-fold: 10 folds want at least 10 subjects, the data has 4: a fold would be empty"
    fails(ProtocolError, message, prepared, tmp_path / "run", experiment=Experiment(prepared))


def test_missing_maps_are_named(tmp_path):
    flat = write_prepared(tmp_path / "flat", ["F0001", "M0001"], channels=("depth",), texture=False)
    message = "flat: `maps` asks for normal, the scans have the channels depth; prepare them again with that map"
    experiment = Experiment(flat, folds=2)
    fails(ArgumentError, message, flat, tmp_path / "run", experiment=experiment)
    message = "flat: `maps` asks for texture, 24 of 24 scans have none: F0001_anger_3, F0001_anger_4, .* and 21 more"
    fails(ArgumentError, message, flat, tmp_path / "run", "model.maps=texture", experiment=experiment)
    message += "; --maps depth leaves it out"
    fails(ArgumentError, message, flat, tmp_path / "run", "model.maps=depth,texture", experiment=experiment)


def test_a_loss_that_is_no_number_ends_the_run(prepared, tmp_path):
    message = r"r00f00: epoch \d+, step \d+: the loss should be a number, is (nan|inf); try a lower `lr` than"
    more = ("optimizer=sgd", "lr=10", "weight_decay=10", "clip=0", "schedule=constant", "batch=4", "epochs=9")
    fails(TrainError, message, prepared, tmp_path / "run", *more, model="plain-cnn")
    assert not (tmp_path / "run" / "r00f00" / "model.safetensors").exists()


def test_a_full_disk_is_named_and_leaves_nothing_half_written(prepared, tmp_path, monkeypatch):
    real = Path.write_bytes

    def full(self, content):
        if "last.ckpt" in self.name:
            real(self, content[:100])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(self, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    message = "r00f00/last.ckpt: cannot be written: No space left on device"
    fails(FileError, message, prepared, tmp_path / "run")
    assert not list((tmp_path / "run").rglob("*.tmp"))
    monkeypatch.undo()
    train("oriented-fusion", Experiment(prepared, folds=3), tmp_path / "run", quick(), device=CPU, resume=True)


def test_a_run_is_not_overwritten_and_another_is_not_continued(run, prepared):
    experiment = Experiment(prepared, folds=3, validation=True)
    fails(TrainError, "already holds a run; --resume goes on with it", prepared, run, experiment=experiment)
    message = "cannot go on with this run: `settings.epochs` was 2, is 3"
    fails(TrainError, message, prepared, run, "epochs=3", experiment=experiment, resume=True)
    message = "cannot go on with this run: `protocol.validation` was True, is False"
    fails(TrainError, message, prepared, run, experiment=Experiment(prepared, folds=3), resume=True)


def test_a_finished_run_is_left_alone(run, prepared):
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file()}
    train(
        "oriented-fusion",
        Experiment(prepared, folds=3, validation=True, only=(0, 2)),
        run,
        quick(),
        device=CPU,
        resume=True,
    )
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("experiment", "message"),
    [
        ({"only": (3,)}, r"`fold` should lie in \[0, 2\] or be `all`, is 3"),
        ({"protocol": "cross"}, "`test_data` should be given with protocol cross, and only then"),
    ],
)
def test_questions_are_checked(prepared, tmp_path, experiment, message):
    fails(ArgumentError, message, prepared, tmp_path / "run", experiment=Experiment(prepared, folds=3, **experiment))


def test_missing_subjects_are_a_note_in_the_run(prepared, tmp_path):
    experiment = Experiment(prepared, "bu3dfe-p1")
    message = "protocol bu3dfe-p1: 58 of 60 subjects have no scan in the data: F0003, F0004, F0005 and 55 more; --allow"
    fails(ProtocolError, message, prepared, tmp_path / "run", experiment=experiment)


def test_freezing_needs_branches(prepared, tmp_path):
    message = "settings: unknown key `model.freeze_epochs` of plain-cnn; it takes model.init, model.init_distinct, "
    fails(ConfigError, message, prepared, tmp_path / "run", "model.freeze_epochs=1", model="plain-cnn")


def test_an_svm_needs_df_cnn(prepared, tmp_path):
    message = "settings: unknown key `model.read_out` of oriented-fusion; .* takes model.init, .*, model.early_fusion"
    fails(ConfigError, message, prepared, tmp_path / "run", "model.read_out=svm")


def test_a_warp_needs_landmarks(prepared, tmp_path):
    bare = write_prepared(tmp_path / "bare", change=lambda row: row.update(landmark_names=None, landmarks=None))
    message = "`warp` wants at least 8 training scans with the landmarks exocanthion_left, .* got 0 of 24"
    fails(ArgumentError, message, bare, tmp_path / "run", "model.warp=true")


def test_the_best_epoch_needs_validation_subjects(prepared, tmp_path):
    message = "`select` best needs validation subjects in every fold: --validation"
    fails(ArgumentError, message, prepared, tmp_path / "run", "select=best")
    assert not (tmp_path / "run").exists()


def test_two_sets_must_be_prepared_alike(prepared, tmp_path):
    odd = write_prepared(tmp_path / "odd", ["X9"], size=24, dataset="bosphorus")
    message = "odd: `pixel_mm` should be as in .*prepared, 11.25, is 7.5"
    fails(ArgumentError, message, prepared, tmp_path / "run", experiment=Experiment(prepared, "cross", test_data=odd))


def test_the_state_of_another_training_is_not_taken(prepared, tmp_path):
    out, settings = tmp_path / "run", quick()
    train("oriented-fusion", Experiment(prepared, folds=3, only=(0,)), out, settings, device=CPU)
    state = out / "r00f01" / "last.ckpt"
    save_state(state, {"epoch": 1})
    message = "r00f01/last.ckpt: wanted the state of a training, it holds epoch"
    fails(CheckpointError, message, prepared, out, resume=True)
    save_state(state, vars(State({"model": "df-cnn"})))
    message = "r00f01/last.ckpt: `fer3d` should be .* to go on, is None; remove the file to train the fold anew"
    fails(CheckpointError, message, prepared, out, resume=True)


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("epoch=3", "settings: unknown key `epoch`; did you mean `epochs`?"),
        ("lr=-1", "settings: `lr` .*, got -1"),
        ("model.maps=depth,nose", "settings: model: `maps` should hold names out of .*, holds 'nose'"),
        ("model.freeze_epochs=3", "settings: model: `freeze_epochs` would freeze random weights: give initial weights"),
        (
            "schedule=linear",
            "settings: `schedule` Input should be 'one-cycle', 'cosine', 'constant' or 'steps', got",
        ),
    ],
)
def test_settings_are_checked(assignment, message):
    with pytest.raises(ConfigError, match=message):
        train_settings("oriented-fusion", "small", None, [assignment])


def test_presets_are_checked():
    with pytest.raises(ConfigError, match="`preset` should be one of small, full, tiny, got 'huge'"):
        train_settings("oriented-fusion", "huge")
    for preset in PRESETS:
        for model in model_names():
            assert train_settings(model, preset).epochs > 1


@pytest.mark.parametrize("text", ["one", "1;2", ""])
def test_fold_numbers_are_checked(text):
    with pytest.raises(ArgumentError, match=f"`fold` should be all, or numbers such as 0,1,2, is '{text}'"):
        experiment_of(Path("x"), "k-fold", None, text, None, 1, None, False, False)
