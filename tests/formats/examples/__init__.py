"""Small files, one a construct of a format. `docs/formats/*.toml` says what each should give.

They are the rows of `docs/formats.md`, the cases of `tests/formats/test_constructs.py`, and the corpus of `tests/fuzz`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from fer3d.scan import Scan


@dataclass(frozen=True)
class Example:
    """A scan file with the files beside it.

    Attributes:
        name: Name of the scan file.
        content: Its bytes.
        beside: Name -> bytes of other files in the folder: pictures, materials.
        check: Raises AssertionError if the scan that was read means something else than the file.
    """

    name: str
    content: bytes
    beside: dict[str, bytes] = field(default_factory=dict)
    check: Callable[[Scan], None] | None = None

    def put(self, folder: Path) -> Path:
        """Write the files; returns the path of the scan file."""
        for name, content in (*self.beside.items(), (self.name, self.content)):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        return folder / self.name


def examples(kind: str) -> dict[str, Example]:
    """Construct -> example, of one format: those of the module of that name in this folder."""
    found: dict[str, Example] = importlib.import_module(f"{__name__}.{kind}").EXAMPLES
    return found
