"""The TensorBoard log: what is read back is what was logged; a missing library and a file in the way are named."""

import pytest

from fer3d.errors import FileError, MissingLibraryError
from fer3d.train.logger import log_epoch, tensorboard_logger


def test_numbers_come_back_and_what_is_none_is_left_out(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    logger = tensorboard_logger(tmp_path / "r00f00")
    log_epoch(logger, {"epoch": 1, "train_loss": 1.5, "validation_loss": None, "lr": 0.25})
    log_epoch(logger, {"epoch": 2, "train_loss": 0.5, "validation_loss": None, "lr": 0.125})
    logger.finalize("success")
    read = EventAccumulator(str(tmp_path / "r00f00" / "tensorboard"))
    read.Reload()
    assert sorted(read.Tags()["scalars"]) == ["lr", "train_loss"]
    assert [(event.step, event.value) for event in read.Scalars("train_loss")] == [(1, 1.5), (2, 0.5)]
    assert [(event.step, event.value) for event in read.Scalars("lr")] == [(1, 0.25), (2, 0.125)]


def test_a_file_in_the_way_is_named(tmp_path):
    pytest.importorskip("tensorboard")
    (tmp_path / "tensorboard").write_text("in the way")
    with pytest.raises(FileError, match=r"tensorboard: cannot be written \(.+\)"):
        tensorboard_logger(tmp_path)


def test_a_missing_library_is_an_error_that_names_the_extra(tmp_path, monkeypatch):
    from lightning_fabric.loggers import tensorboard

    for name in ("_TENSORBOARD_AVAILABLE", "_TENSORBOARDX_AVAILABLE"):
        monkeypatch.setattr(tensorboard, name, False)
    with pytest.raises(MissingLibraryError, match=r"pip install fer3d\[tensorboard\]"):
        tensorboard_logger(tmp_path)
    assert not list(tmp_path.iterdir())
