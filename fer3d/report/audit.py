"""The page of `fer3d audit`. Of a run, the report has the same findings in a section."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fer3d import __version__
from fer3d.files import write_text
from fer3d.report import figures
from fer3d.report.html import environment_of_pages


def write_audit_page(path: Path, content: Mapping[str, Any]) -> None:
    """Write one self-contained page.

    Args:
        path: The file.
        content: `Audit.to_json()`.

    Raises:
        FileError: if it cannot be written.
    """
    environment = environment_of_pages()
    environment.filters["percent"] = figures.percent
    write_text(path, environment.get_template("audit.html.j2").render(audit=content, version=__version__))
