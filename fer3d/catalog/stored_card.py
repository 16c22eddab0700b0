"""Copies of the data set's card and protocols in a prepared folder: `card/dataset.toml` and `card/folds.toml`.

The original card may be anywhere, and may be gone or changed when a network is trained on the folder.
"""

from __future__ import annotations

from pathlib import Path

from fer3d.catalog.cards import Card, card_file, load_card
from fer3d.files import read_bytes, remove, write_bytes

CARD = "dataset.toml"
FOLDS = "folds.toml"
_FOLDER = "card"


def store_card(dataset: str | Path, prepared: Path) -> None:
    """Copy a card and the `folds.toml` beside it into a prepared folder. They replace those of an earlier run.

    Args:
        dataset: Name of a shipped card, or path of a card, as for `load_card`.
        prepared: The prepared folder.

    Raises:
        CardError: if there is no such card.
        FileError, FormatError: if a file cannot be read or written.
    """
    file = card_file(dataset)
    folds = file.with_name(FOLDS)
    contents = {CARD: read_bytes(file)} | ({FOLDS: read_bytes(folds)} if folds.is_file() else {})
    if FOLDS not in contents:
        remove(prepared / _FOLDER / FOLDS)
    for name, content in contents.items():
        write_bytes(prepared / _FOLDER / name, content, make_folder=True)


def stored_card(prepared: Path) -> Card | None:
    """Load the card of a prepared folder; None if an old version wrote the folder without one. CardError if damaged."""
    file = prepared / _FOLDER / CARD
    return load_card(file) if file.is_file() else None


def stored_folds(prepared: Path) -> Path | None:
    """Return the path of the `folds.toml` of a prepared folder, or None."""
    file = prepared / _FOLDER / FOLDS
    return file if file.is_file() else None


def copy_stored_card(prepared: Path, out: Path) -> None:
    """Copy the card of one prepared folder into another. Raises FileError if a file cannot be read or written."""
    for name in (CARD, FOLDS):
        if (prepared / _FOLDER / name).is_file():
            write_bytes(out / _FOLDER / name, read_bytes(prepared / _FOLDER / name), make_folder=True)
