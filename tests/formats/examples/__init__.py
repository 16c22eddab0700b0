"""Small files, one a construct of a format. `docs/formats/*.toml` says what each should give.

They are the rows of `docs/formats.md`, the cases of `tests/formats/test_constructs.py`, and the corpus of `tests/fuzz`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fer3d import formats
from fer3d.errors import FormatError
from fer3d.formats import textures
from fer3d.formats.pictures import is_picture, read_picture


@dataclass(frozen=True)
class Example:
    """A file of a scan, of landmarks or of a picture, with the files beside it.

    Attributes:
        name: Name of the file.
        content: Its bytes.
        beside: Name -> bytes of other files in the folder: pictures, materials.
        check: Raises AssertionError if what was read (see `read_example`) means something else than the file.
    """

    name: str
    content: bytes
    beside: dict[str, bytes] = field(default_factory=dict)
    check: Callable[[Any], None] | None = None

    def put(self, folder: Path) -> Path:
        """Write the files; returns the path of the one to read."""
        for name, content in (*self.beside.items(), (self.name, self.content)):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        return folder / self.name


LANDMARKS = (".bnd", ".pse", ".lm3", ".pp", ".fcsv", ".json", ".csv")


def examples(kind: str) -> dict[str, Example]:
    """Construct -> example, of one format: those of the module of that name in this folder."""
    found: dict[str, Example] = importlib.import_module(f"{__name__}.{kind}").EXAMPLES
    return found


def read_example(path: Path) -> tuple[Any, tuple[str, ...]]:
    """Read a file through the public functions.

    Returns:
        What was read, and warnings. Of a scan, the `Scan`; of landmarks, names and points; of a picture, the pixels as
        a photograph and as a texture, of which one may be None, with the reason among the warnings.

    Raises:
        FormatError: if it is refused; a picture, if it is refused both as a photograph and as a texture.
    """
    suffix = path.suffix.lower()
    if is_picture(path) and not (path.parent / "intrinsics.json").exists():  # beside it, it is a depth picture
        return _read_both(path)
    if suffix == ".lm2":
        return formats.read_lm2(path), ()
    if suffix in LANDMARKS:
        return formats.read_landmarks(path), ()
    scan = formats.read(path)
    return scan, scan.warnings


def _read_both(path: Path) -> tuple[Any, tuple[str, ...]]:
    found = textures.load(path.with_suffix(".obj"), [path.name])
    try:
        photograph = read_picture(path).pixels
    except FormatError as error:
        if found.image is None:
            raise
        return (None, found.image), (str(error),)
    return (photograph, found.image), found.warnings
