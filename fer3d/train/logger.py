"""The TensorBoard log of a fold, by Lightning Fabric's logger; log.csv is written by `fer3d.train.run_writer`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fer3d.errors import FileError, MissingLibraryError

if TYPE_CHECKING:
    from lightning_fabric.loggers.tensorboard import TensorBoardLogger


def tensorboard_logger(folder: Path) -> TensorBoardLogger:
    """A logger that writes its event file to `folder`/tensorboard.

    Raises:
        MissingLibraryError: if TensorBoard is not installed.
        FileError: if the folder cannot be written.
    """
    from lightning_fabric.loggers.tensorboard import TensorBoardLogger

    try:
        logger = TensorBoardLogger(folder, name="tensorboard", version="")
        _ = logger.experiment  # creates the event file
    except ModuleNotFoundError:
        raise MissingLibraryError("`tensorboard` is not installed: pip install fer3d[tensorboard]") from None
    except OSError as error:
        raise FileError(f"{folder / 'tensorboard'}: cannot be written ({error.strerror})") from None
    return logger


def log_epoch(logger: TensorBoardLogger, row: Mapping[str, Any]) -> None:
    """Log a row of log.csv: the epoch is the step, and every other number that is not None is logged."""
    logger.log_metrics(
        {name: value for name, value in row.items() if name != "epoch" and value is not None}, row["epoch"]
    )
