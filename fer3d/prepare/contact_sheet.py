"""The contact sheet of a prepared folder: one row per class, to check the result at a glance."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fer3d.files import write_bytes
from fer3d.maps.groups import MapGroup
from fer3d.maps.registry import channel_group, map_group, ordered_groups
from fer3d.prepare.drawing import (
    BACKGROUND,
    Picture,
    channel_picture,
    colour_picture,
    grid,
    normals_picture,
    shaded_picture,
)
from fer3d.prepare.store import PreparedScan, open_scan
from fer3d.scan import LABELS

_THUMBNAIL = 128  # pixels; 4 pictures of each of 2 subjects fit on the screen of a laptop


def write_contact_sheet(folder: Path, rows: Sequence[Mapping[str, Any]], subjects: int = 2) -> Path | None:
    """Write `contact_sheet.png`: for each class, the maps of up to `subjects` subjects at their highest intensity.

    Args:
        folder: A prepared folder.
        rows: The rows of its manifest.
        subjects: Number of subjects side by side.

    Returns:
        The path, or None if no scan was prepared.

    Raises:
        FileError, FormatError: if a scan file is missing or damaged.
    """
    chosen = {label: _pick(rows, label, subjects) for label in (*LABELS, None)}
    chosen = {label: picked for label, picked in chosen.items() if picked}
    if not chosen:
        return None
    looks = {label: [scan_pictures(_maps_of(folder, row)) for row in picked] for label, picked in chosen.items()}
    # The pictures of one scan: a scan without a texture lacks one, and has an empty place there.
    names = max((list(look) for row in looks.values() for look in row), key=len)
    empty = np.full((_THUMBNAIL, _THUMBNAIL, 3), BACKGROUND, np.uint8)
    pictures = [
        [_thumbnail(look[name]) if name in look else empty for look in row for name in names] for row in looks.values()
    ]
    labels = [
        "\n".join([label or "no label", *(str(row["subject"]) for row in picked)]) for label, picked in chosen.items()
    ]
    titles = names * max(map(len, chosen.values()))
    buffer = io.BytesIO()
    grid(pictures, labels, titles).save(buffer, "PNG")
    path = folder / "contact_sheet.png"
    write_bytes(path, buffer.getvalue(), make_folder=True)
    return path


def scan_pictures(scan: PreparedScan) -> dict[str, Picture]:
    """Draw a prepared scan: title -> picture (H, W, 3).

    First the texture and the shaded surface, in which a person recognises the face; then the maps, group by group.

    Raises:
        ArgumentError: if a channel belongs to a map group that is not registered.
    """
    return {title: picture for pictures in group_pictures(scan).values() for title, picture in pictures.items()}


def group_pictures(scan: PreparedScan) -> dict[str, dict[str, Picture]]:
    """Draw the pictures of `scan_pictures`, by map group. The group "" holds the texture and the shaded surface."""
    channels: list[str] = list(scan.header["channels"])
    maps: NDArray[np.floating] = scan.arrays["maps"]
    names = {channel_group(name).name for name in channels}
    groups = [map_group(name) for name in ordered_groups(names)] if names else []
    pictures: dict[str, dict[str, Picture]] = {"": {}}
    if "texture" in scan.arrays:
        pictures[""]["texture"] = scan.arrays["texture"]
    for group in groups:
        stored = {name: maps[channels.index(name)] for name in group.stored_names if name in channels}
        if group.kind == "normal" and "shape" not in pictures[""]:
            pictures[""]["shape"] = shaded_picture(np.stack(list(stored.values())))
        pictures[group.name] = _looks(group, stored)
    return pictures


def _maps_of(folder: Path, row: Mapping[str, Any]) -> PreparedScan:
    with open_scan(folder, row) as file:
        stored = {key: row["prefix"] + key for key in ("maps", "texture")}
        arrays = {key: file.get_tensor(name) for key, name in stored.items() if name in file.keys()}  # noqa: SIM118
        return PreparedScan(arrays, file.header)


def _looks(group: MapGroup, stored: Mapping[str, NDArray[np.floating]]) -> dict[str, Picture]:
    """Draw the stored channels of a group, each (H, W): title -> picture."""
    if group.kind == "normal":
        return {f"{_title(group.name)}s": normals_picture(np.stack(list(stored.values())))}
    if group.kind == "colour":
        return {_title(group.name): colour_picture(np.stack(list(stored.values())))}
    return {_title(name): channel_picture(name, values) for name, values in stored.items() if group.channel(name).drawn}


def _title(name: str) -> str:
    return name.replace("_", " ")


def _pick(rows: Sequence[Mapping[str, Any]], label: str | None, subjects: int) -> list[Mapping[str, Any]]:
    """Return the most intense scan of each of the first subjects, sorted by subject."""
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
