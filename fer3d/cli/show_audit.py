"""Output of `audit`. Imported only when it runs."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from fer3d.catalog.folder_listing import printable
from fer3d.cli.terminal import console, shown
from fer3d.evaluate.audit.findings import CANNOT_TELL, FOUND, NOT_FOUND, Finding, count, percent
from fer3d.evaluate.audit.run import audit
from fer3d.files import write_text

if TYPE_CHECKING:
    from fer3d.evaluate.audit.run import Audit

_STYLES = {FOUND: "bold red", NOT_FOUND: "green", CANNOT_TELL: "yellow"}


def run_audit(predictions: Path, out: Path | None, as_json: bool, **arguments: Any) -> int:
    """Audit some predictions and print the findings, or JSON; write the page and, of a run, audit.json.

    Returns:
        The number of faults.
    """
    result = audit(predictions, **arguments)
    content = result.to_json()
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    if as_json:
        console.file.write(text)
    else:
        show_audit(result)
    written = []
    if result.predictions_sha256:
        written.append(predictions / "audit.json")
        write_text(written[-1], text)
    if out is not None:
        from fer3d.report.audit import write_audit_page

        written.append(out)
        write_audit_page(out, content)
    for path in () if as_json else written:
        console.print(f"-> {shown(str(path))}", highlight=False)
    return len(result.found)


def show_audit(result: Audit) -> None:
    """Print what was read, and a row for each check."""
    people = "" if result.subjects is None else f" of {count(result.subjects, 'person')}"
    accuracy = percent(result.accuracy.value)
    if not math.isnan(result.accuracy.low):
        accuracy += f" ({percent(result.accuracy.low)} to {percent(result.accuracy.high)} by subject)"
    console.print(
        f"[bold]{shown(result.predictions)}[/] {count(result.rows, 'prediction')}{people} in "
        f"{count(result.folds, 'fold')}, {count(len(result.classes), 'class')}; accuracy [bold]{accuracy}[/]",
        highlight=False,
    )
    known = ", ".join(f"{role}={name}" for role, name in result.columns.items())
    console.print(f"columns: {shown(known)}", style="dim", highlight=False)
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 1, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in result.findings:
        table.add_row(Text(finding.verdict, style=_STYLES[finding.verdict]), _row(finding))
    console.print(table)
    rest = len(result.findings) - len(result.found) - len(result.open)
    console.print(
        f"{count(len(result.found), 'fault')} found, {rest} not found, {len(result.open)} cannot be told",
        highlight=False,
    )


def _row(finding: Finding) -> Text:
    lines = Text(finding.title, style="bold")
    for line, style in (
        (finding.detail, ""),
        (finding.examples and f"such as {'; '.join(finding.examples)}", "dim"),
        (finding.needs and f"needs {finding.needs}", "dim"),
    ):
        if line:
            lines.append(f"\n{printable(line)}", style=style or "not bold")
    return lines
