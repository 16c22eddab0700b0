"""Every error that this package raises on purpose. All are ValueError or OSError (ImportError for a missing extra)."""

import traceback
from pathlib import Path


class Fer3dError(Exception):
    """Root of the package's own errors: `except Fer3dError` catches all of them and nothing else."""


class ArgumentError(Fer3dError, ValueError):
    """An argument has the wrong shape, type or value."""


class FormatError(Fer3dError, ValueError):
    """A file's content is not what its format demands. The message begins with the path."""


class FileError(Fer3dError, OSError):
    """A file cannot be opened, is missing, or cannot be written. The message begins with the path."""


class CardError(Fer3dError, ValueError):
    """A data set card is wrong, or does not fit the folder it was given."""


class ConfigError(Fer3dError, ValueError):
    """A setting is unknown or out of range."""


class PrepareError(Fer3dError, ValueError):
    """A scan was read but cannot be prepared: nothing left after cleaning, no nose found, no face in sight."""


class ProtocolError(Fer3dError, ValueError):
    """Folds cannot be made or used: unknown protocol, missing subjects, an empty part, a subject on both sides."""


class CheckpointError(Fer3dError, ValueError):
    """A file of weights does not fit the network, or holds more than weights. The message begins with the path."""


class TrainError(Fer3dError, ValueError):
    """Training cannot start or go on: a loss that is no number, a run folder that belongs to another run."""


class MissingLibraryError(Fer3dError, ImportError):
    """An optional library is not installed. The message says which extra brings it."""


def internal_error(error: BaseException) -> str:
    """One line for an error that is a bug of this package: file and line where it arose, its type and its message.

    >>> try:
    ...     [][0]
    ... except IndexError as error:
    ...     internal_error(error).partition(", ")[2]
    'IndexError: list index out of range'
    """
    frames = traceback.extract_tb(error.__traceback__)
    place = f"at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "at an unknown place"
    return " ".join(f"internal error {place}, {type(error).__name__}: {error}".split())
