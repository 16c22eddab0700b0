"""Output of `fer3d faces`. Imported only when that command runs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from fer3d.cli.terminal import console, progress_bar, shown
from fer3d.errors import ArgumentError
from fer3d.files import clear_leftovers, write_text
from fer3d.formats.find import find_scans
from fer3d.formats.pictures import is_picture
from fer3d.image.detect import FaceFinder
from fer3d.image.extract import FaceRow, extract_faces, table


def run_faces(
    pictures: Sequence[str],
    out: Path,
    *,
    size: int,
    detectors: tuple[str, ...],
    every: bool,
    whole_picture: bool,
    as_json: bool,
    as_csv: bool,
) -> int:
    """Cut out the faces, write faces.csv, print one row each, return the number of rows that failed."""
    if as_json and as_csv:
        raise ArgumentError("`--json` and `--csv` should not be given together")
    finder = FaceFinder(detectors, whole_picture=whole_picture)
    paths = find_scans(pictures, is_picture)
    rows: list[FaceRow] = []
    seen: set[Path] = set()
    with progress_bar("finding", "pictures", Console(stderr=True), transient=True) as bar:
        for row in extract_faces(paths, out, finder, size=size, every=every):
            rows.append(row)
            seen.add(row.path)
            bar.update(len(seen), len(paths))
    clear_leftovers(out, deep=False)
    write_text(out / "faces.csv", table(rows))
    if as_json:
        console.file.write(json.dumps([row.to_json() for row in rows], indent=2, ensure_ascii=False) + "\n")
    elif as_csv:
        console.file.write(table(rows))
    else:
        _show(rows, out)
    return sum(row.crop is None for row in rows)


def _show(rows: Sequence[FaceRow], out: Path) -> None:
    overview = Table(
        "picture", "found by", "landmarks", "faces", "crop", box=SIMPLE, collapse_padding=True, pad_edge=False
    )
    for row in rows:
        name = shown(row.path.name)
        if row.face is None or row.crop is None or row.detection is None:
            overview.add_row(name, "[red]failed[/]", "", "", shown(row.reason))
            continue
        count = str(len(row.detection.faces))
        overview.add_row(name, row.face.detector, row.face.landmarks_from, count, shown(row.crop.name))
    console.print(overview)
    detectors = Counter(row.face.detector for row in rows if row.face is not None)
    counts = ", ".join(f"{count} by {name}" for name, count in detectors.most_common())
    failed = sum(row.crop is None for row in rows)
    console.print(
        f"{len(rows) - failed} faces{f' ({counts})' if counts else ''}, {failed} failed -> {shown(str(out))}",
        highlight=False,
    )
