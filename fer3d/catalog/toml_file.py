"""Read the TOML files of a card (`dataset.toml`, `folds.toml`), and word what is wrong with them in one line."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from fer3d.errors import CardError, one_line

MOST_BYTES = 1 << 22  # no card is larger; a bound for mistaken paths


def read_toml(file: Path) -> dict[str, Any]:
    """Read a TOML file. CardError, in one line, if it cannot be read, is no TOML or is larger than `MOST_BYTES`."""
    try:
        size = file.stat().st_size
        content = file.read_bytes() if size <= MOST_BYTES else b""
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL byte
        raise CardError(f"{file}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if size > MOST_BYTES:
        raise CardError(f"{file}: wanted at most {MOST_BYTES:,} bytes, got {size:,}")
    try:
        return tomllib.loads(content.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise CardError(f"{file}: wanted UTF-8 text, got byte 0x{error.object[error.start]:02x}") from None
    except (ValueError, RecursionError) as error:  # ValueError: also a number of 5,000 digits
        raise CardError(f"{file}: wanted TOML, got {one_line(str(error))}") from None


def short(value: Any) -> str:
    """Represent a value in at most 60 characters, for a message."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
