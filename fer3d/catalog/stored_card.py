"""The card that the scans of a prepared folder were read by, copied into it: `card/dataset.toml`, `card/folds.toml`.

A card may lie anywhere, and may be gone or changed when the folder is trained on.
"""

from __future__ import annotations

from pathlib import Path

from fer3d.catalog.cards import Card, card_file, load_card
from fer3d.files import read_bytes, write_bytes

CARD = "dataset.toml"
FOLDS = "folds.toml"
_FOLDER = "card"


def store_card(dataset: str | Path, prepared: Path) -> None:
    """Copy a card, and the `folds.toml` beside it, into a prepared folder, in place of one from an earlier run.

    Args:
        dataset: Name of a shipped card, or the path of one, as `load_card` takes it.
        prepared: The prepared folder.

    Raises:
        CardError: if there is no such card.
        FileError, FormatError: if a file cannot be read or written.
    """
    file = card_file(dataset)
    folds = file.with_name(FOLDS)
    contents = {CARD: read_bytes(file)} | ({FOLDS: read_bytes(folds)} if folds.is_file() else {})
    if FOLDS not in contents:
        (prepared / _FOLDER / FOLDS).unlink(missing_ok=True)
    for name, content in contents.items():
        write_bytes(prepared / _FOLDER / name, content, make_folder=True)


def stored_card(prepared: Path) -> Card | None:
    """The card of a prepared folder; None for one made before cards were kept. CardError if it was damaged since."""
    file = prepared / _FOLDER / CARD
    return load_card(file) if file.is_file() else None


def stored_folds(prepared: Path) -> Path | None:
    """The `folds.toml` of a prepared folder, if its card has one."""
    file = prepared / _FOLDER / FOLDS
    return file if file.is_file() else None


def copy_stored_card(prepared: Path, out: Path) -> None:
    """Copy the card of one prepared folder into another. Raises FileError if a file cannot be read or written."""
    for name in (CARD, FOLDS):
        if (prepared / _FOLDER / name).is_file():
            write_bytes(out / _FOLDER / name, read_bytes(prepared / _FOLDER / name), make_folder=True)
