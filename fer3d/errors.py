"""Errors that this package raises on purpose.

Each also is a ValueError, an OSError, or (for a missing optional library) an ImportError.
"""

import re
import traceback
from pathlib import Path

_ENDLESS = re.compile(r"\S{600,}")  # no path or name that anybody reads has as many letters


class Fer3dError(Exception):
    """Base class of the errors of this package: `except Fer3dError` catches all of them and nothing else.

    The message is one line, whatever the file or the argument that it quotes holds: see `one_line`.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(one_line(message))


class ArgumentError(Fer3dError, ValueError):
    """An argument has the wrong shape, type or value."""


class FormatError(Fer3dError, ValueError):
    """The content of a file violates its format. The message begins with the path.

    It is one line whatever the file holds: control characters become escapes.

    >>> print(FormatError("a.ply: element 'fa\\nce' is not known"))
    a.ply: element 'fa\\nce' is not known
    """


class FileError(Fer3dError, OSError):
    """A file cannot be opened, is missing, or cannot be written. The message begins with the path."""


class WriteError(FileError):
    """A file cannot be written: the disk is full, or the folder is read-only. It is not the fault of any input."""


class LockedError(FileError):
    """Another process is writing to a folder. The message begins with the folder and names the process."""


class CardError(Fer3dError, ValueError):
    """A data set card is invalid, or does not fit the folder."""


class ConfigError(Fer3dError, ValueError):
    """A setting is unknown or out of range."""


class PrepareError(Fer3dError, ValueError):
    """A scan was read but cannot be prepared: cleaning left nothing, or no nose or no face was found."""


class ProtocolError(Fer3dError, ValueError):
    """Folds cannot be built or used: unknown protocol, missing subjects, an empty part, a subject in two parts."""


class CheckpointError(Fer3dError, ValueError):
    """A file of weights does not fit the network, or holds more than weights. The message begins with the path."""


class TrainError(Fer3dError, ValueError):
    """Training cannot start or continue: the loss is NaN or infinite, or the run folder belongs to another run."""


class MissingLibraryError(Fer3dError, ImportError):
    """An optional library is not installed. The message names the extra that installs it."""


def one_line(text: str) -> str:
    """A text in which control characters and line ends are escapes, and words without end are cut, for messages.

    >>> one_line("a picture 'skin\\x00.png'")
    "a picture 'skin\\\\x00.png'"
    """
    text = _ENDLESS.sub(lambda word: f"{word[0][:100]}...{word[0][-20:]}", text)
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def without_path(message: str, path: str) -> str:
    """A message about a file on one line, without the path at its beginning, however that is written.

    >>> without_path("a.ply: is empty", "a.ply")
    'is empty'
    """
    for name in (path, one_line(path)):
        message = message.removeprefix(f"{name}: ")
    return one_line(" ".join(message.split()))


def internal_error(error: BaseException) -> str:
    """Describe an error that is a bug of this package in one line: file and line of its origin, type and message.

    >>> try:
    ...     [][0]
    ... except IndexError as error:
    ...     internal_error(error).partition(", ")[2]
    'IndexError: list index out of range'
    """
    frames = traceback.extract_tb(error.__traceback__)
    place = f"at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "at an unknown place"
    return " ".join(f"internal error {place}, {type(error).__name__}: {error}".split())
