"""The contact sheet of a prepared folder: one row a class, so that a person sees at once what came out."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fer3d.files import write_bytes
from fer3d.prepare.drawing import Picture, channel_picture, grid, normals_picture, shaded_picture
from fer3d.prepare.store import PreparedScan, read_scan
from fer3d.scan import LABELS

_THUMBNAIL = 128  # pixels; 4 pictures of 2 subjects fit a laptop screen


def write_contact_sheet(folder: Path, rows: Sequence[Mapping[str, Any]], subjects: int = 2) -> Path | None:
    """Write `contact_sheet.png`: for each class the maps of up to `subjects` subjects, of the highest intensity.

    Args:
        folder: A prepared folder.
        rows: Its manifest.
        subjects: Subjects side by side.

    Returns:
        The path, or None if no scan was prepared.

    Raises:
        FileError, FormatError: if a scan file is missing or damaged.
    """
    chosen = {label: _pick(rows, label, subjects) for label in (*LABELS, None)}
    chosen = {label: picked for label, picked in chosen.items() if picked}
    if not chosen:
        return None
    pictures, labels = [], []
    titles: list[str] = []
    for label, picked in chosen.items():
        looks = [scan_pictures(read_scan(folder / row["file"])) for row in picked]
        pictures.append([_thumbnail(picture) for look in looks for picture in look.values()])
        names = [name for look in looks for name in look]
        titles = max(titles, names, key=len)
        labels.append("\n".join([label or "no label", *(str(row["subject"]) for row in picked)]))
    buffer = io.BytesIO()
    grid(pictures, labels, titles).save(buffer, "PNG")
    path = folder / "contact_sheet.png"
    write_bytes(path, buffer.getvalue(), make_folder=True)
    return path


def scan_pictures(scan: PreparedScan) -> dict[str, Picture]:
    """What there is to see of one prepared scan: title -> picture (H, W, 3)."""
    channels: list[str] = list(scan.header["channels"])
    maps = scan.arrays["maps"]
    looks: dict[str, Picture] = {}
    if "texture" in scan.arrays:
        looks["texture"] = scan.arrays["texture"]
    if "normal_x" in channels:
        start = channels.index("normal_x")
        looks["shape"] = shaded_picture(maps[start : start + 3])
    if "depth" in channels:
        looks["depth"] = channel_picture("depth", maps[channels.index("depth")])
    if "normal_x" in channels:
        looks["normals"] = normals_picture(maps[start : start + 3])
    if "shape_index" in channels:
        looks["shape index"] = channel_picture("shape_index", maps[channels.index("shape_index")])
    if "curvedness" in channels:
        looks["curvedness"] = channel_picture("curvedness", maps[channels.index("curvedness")])
    return looks


def _pick(rows: Sequence[Mapping[str, Any]], label: str | None, subjects: int) -> list[Mapping[str, Any]]:
    """The most intense scan of each of the first subjects, in the order of the manifest."""
    best: dict[str, Mapping[str, Any]] = {}
    for row in rows:
        if row["status"] != "ok" or row["expression"] != label:
            continue
        known = best.get(row["subject"])
        if known is None or (row["intensity"] or 0) > (known["intensity"] or 0):
            best[row["subject"]] = row
    return [best[subject] for subject in sorted(best)[:subjects]]


def _thumbnail(picture: Picture) -> Picture:
    return np.asarray(Image.fromarray(picture).resize((_THUMBNAIL, _THUMBNAIL), Image.Resampling.BOX))
