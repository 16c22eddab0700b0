"""`report.html`: one self-contained page for one run or several, built from JSON, CSV and Parquet files."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fer3d import __version__
from fer3d.errors import Fer3dError, FormatError
from fer3d.evaluate.measure import undefined_lines
from fer3d.files import read_json, sha256, write_text
from fer3d.prepare.store import is_simulated, open_scan, read_manifest
from fer3d.report import figures
from fer3d.train.run_facts import AUDIT_AGAIN, POSE_AGAIN, RESUME, AuditFacts, DoneFacts, PoseFacts
from fer3d.train.run_folder import Run, fold_name, prepared_folder, read_log, read_run

if TYPE_CHECKING:
    from jinja2 import Environment

_SHOWN_MISTAKES = 12
_SHOWN_MAPS = 4
_THUMBNAIL = 112  # pixels

Pictures = list[tuple[str, str]]  # (title, data URI)


@dataclass(frozen=True)
class RunPage:
    """The content of the page for one run.

    Attributes:
        name: Name of the run folder.
        facts: The content of run.json.
        metrics: The content of metrics.json.
        logs: The training log of each finished fold.
        done: The content of each fold's done.json.
        thumbnails: Scan id -> its maps as pictures, for the worst mistakes; empty without the prepared folder.
        missing: The reason why there are no thumbnails, or "".
        simulated: Whether the faces are simulated, according to the run or its prepared folder.
        pose: The content of pose_test.json, if `fer3d evaluate --pose-test` has written one.
        notes: What a reader should know of the run, such as scans that were left out.
        audit: The content of audit.json, if `fer3d audit` has written one of these predictions.
    """

    name: str
    facts: Mapping[str, Any]
    metrics: Mapping[str, Any]
    logs: Sequence[Sequence[Mapping[str, float]]]
    done: Sequence[Mapping[str, Any]]
    thumbnails: Mapping[str, Pictures]
    missing: str
    simulated: bool
    pose: Mapping[str, Any] | None = None
    notes: tuple[str, ...] = ()
    audit: Mapping[str, Any] | None = None

    @property
    def mistakes(self) -> Sequence[Mapping[str, Any]]:
        """The worst mistakes, those that the page shows."""
        worst: Sequence[Mapping[str, Any]] = self.metrics["mistakes"][:_SHOWN_MISTAKES]
        return worst

    @property
    def parameters(self) -> int | None:
        """Number of parameters of one network."""
        return next((entry["parameters"] for entry in self.done if "parameters" in entry), None)

    @property
    def peak_mib(self) -> float | None:
        """Highest peak memory of a fold in MiB."""
        return max((entry["peak_mib"] for entry in self.done if entry.get("peak_mib") is not None), default=None)

    @property
    def validated(self) -> bool:
        """Whether any fold had validation subjects."""
        return any(math.isfinite(row.get("validation_loss", math.nan)) for log in self.logs for row in log)


def run_page(folder: str | Path, metrics: Mapping[str, Any], prepared: Path | None = None) -> RunPage:
    """Collect the content of the page for one run.

    Args:
        folder: The run folder.
        metrics: Its metrics, as `fer3d.evaluate.measure.current_metrics` returns them.
        prepared: The prepared folder that it was trained on. None: searched for near the run folder.

    Raises:
        FileError, FormatError: if run.json or folds.json is missing or damaged.
    """
    run = read_run(folder)
    places = [run.folder / fold_name(fold["round"], fold["fold"]) for fold in run.folds]
    ids = [entry["id"] for entry in metrics["mistakes"][:_SHOWN_MISTAKES]]
    store = prepared_folder(run, prepared)
    thumbnails, missing = _thumbnails(run, ids, store)
    return RunPage(
        name=run.name,
        facts=run.facts,
        metrics=metrics,
        logs=[log for log in map(read_log, places) if log],
        done=[read_json(place / "done.json", DoneFacts, RESUME) for place in places if (place / "done.json").is_file()],
        thumbnails=thumbnails,
        missing=missing,
        simulated=_of_simulated(run, store),
        pose=_pose(run.folder / "pose_test.json"),
        notes=run.notes,
        audit=_audit(run.folder / "audit.json", metrics),
    )


def _audit(path: Path, metrics: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The content of audit.json, or None if there is no such file, or it is of other predictions."""
    if not path.exists():
        return None
    audit: Mapping[str, Any] = read_json(path, AuditFacts, AUDIT_AGAIN)
    return audit if audit["predictions_sha256"] == metrics["predictions_sha256"] else None


def _pose(path: Path) -> Mapping[str, Any] | None:
    """The content of pose_test.json, or None if there is no such file."""
    if not path.exists():
        return None
    pose: Mapping[str, Any] = read_json(path, PoseFacts, POSE_AGAIN)
    for point in pose["points"]:
        if (point["accuracy"]["low"] is None) != (point["accuracy"]["high"] is None):
            raise FormatError(f"{path}: an interval should have two ends or none, one has {point}; {POSE_AGAIN}")
    return pose


def _of_simulated(run: Run, store: Path | None) -> bool:
    """Whether the faces of a run are simulated, as the run says, or else its prepared folder."""
    known = run.facts["data"].get("simulated")
    return bool(known) if known is not None else store is not None and is_simulated(store)


def render(pages: Sequence[RunPage], comparison: Mapping[str, Any] | None = None) -> str:
    """Render the page as HTML text.

    Args:
        pages: One per run.
        comparison: `Comparison.to_json()` of the runs, if there are several.
    """
    environment = environment_of_pages()
    environment.filters |= {
        "percent": figures.percent,
        "points": figures.points,
        "duration": _duration,
        "plain": _plain,
        "undefined_lines": undefined_lines,
        "flat": _flat,
        "p_value": _p_value,
        "combine": lambda first, second: {**first, **second},
        "without": lambda table, key: {name: value for name, value in table.items() if name != key},
    }
    template = environment.get_template("report.html.j2")
    return template.render(pages=pages, comparison=comparison, draw=figures, version=__version__)


def environment_of_pages() -> Environment:
    """The templates of this package, which escape each text."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("fer3d.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def write_report(path: Path, pages: Sequence[RunPage], comparison: Mapping[str, Any] | None = None) -> None:
    """Render the page and write it. Raises FileError if it cannot be written."""
    write_text(path, render(pages, comparison))


def _thumbnails(run: Run, ids: Sequence[str], store: Path | None) -> tuple[dict[str, Pictures], str]:
    """Pictures of the scans `ids` and "", or no pictures and the reason."""
    if store is None or not ids:
        return {}, "The prepared folder is not at hand, so the maps cannot be shown." if ids else ""
    if sha256(store / "manifest.parquet") != run.facts["data"].get("manifest_sha256"):
        return {}, f"The prepared folder {store.name} has changed since the run, so the maps are not shown."
    try:
        rows = {row["id"]: row for row in read_manifest(store) if row["status"] == "ok"}
        return {scan: _pictures(store, rows[scan], run.facts["maps"]) for scan in ids if scan in rows}, ""
    except Fer3dError as error:
        return {}, f"The maps cannot be shown: {error}"


def _pictures(folder: Path, row: Mapping[str, Any], maps: Sequence[str]) -> Pictures:
    """The view of the face, then the input maps of the network; for a network on trees, the first few maps."""
    from fer3d.prepare.contact_sheet import group_pictures
    from fer3d.prepare.drawing import webp
    from fer3d.prepare.store import PreparedScan

    with open_scan(folder, row) as file:
        names = [key for key in ("maps", "texture") if row["prefix"] + key in file.keys()]  # noqa: SIM118
        arrays = {key: file.get_tensor(row["prefix"] + key) for key in names}
        groups = group_pictures(PreparedScan(arrays, file.header))
    inputs = [name for name in groups if name in ("", *maps)]
    chosen, most = (groups, _SHOWN_MAPS) if inputs == [""] else (inputs, None)
    pictures = [look for name in chosen for look in groups[name].items()]
    return [(title, data_uri(webp(_thumbnail(picture)))) for title, picture in pictures[:most]]


def _thumbnail(picture: Any) -> Any:
    import numpy as np
    from PIL import Image

    return np.asarray(Image.fromarray(picture).resize((_THUMBNAIL, _THUMBNAIL), Image.Resampling.BOX))


def data_uri(content: bytes) -> str:
    """The content of a WebP file as an address that a page can show."""
    return "data:image/webp;base64," + base64.b64encode(content).decode()


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return figures.UNDEFINED
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def _flat(table: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """The settings of a table and its nested tables, sorted by name, without those that are unset or empty."""
    rows: dict[str, Any] = {}
    for key, value in table.items():
        rows |= dict(_flat(value)) if isinstance(value, Mapping) else {key: value}
    rows |= {key: value for key, value in table.items() if not isinstance(value, Mapping)}  # the outer one wins
    return sorted((key, value) for key, value in rows.items() if value not in (None, "", [], ()))


def _plain(value: Any) -> str:
    """Format a setting: lists with commas, other values as JSON without quotes."""
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_plain, value))
    if isinstance(value, str):
        return f"{value[:12]}\u2026" if len(value) == 64 else value  # a hash
    if isinstance(value, float):
        return f"{value:.6g}"
    return figures.UNDEFINED if value is None else json.dumps(value)


def _p_value(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
