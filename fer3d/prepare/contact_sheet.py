"""The contact sheet of a prepared folder, to check the result at a glance: what is doubtful first, then the maps."""

import io
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fer3d.files import write_bytes
from fer3d.maps.groups import MapGroup
from fer3d.maps.registry import channel_group, map_group, ordered_groups
from fer3d.prepare.doubts import Doubt, common_kinds, doubts, shown_doubts
from fer3d.prepare.drawing import (
    AMBER,
    BACKGROUND,
    RED,
    Picture,
    Tile,
    channel_picture,
    colour_picture,
    grid,
    heading,
    normals_picture,
    shaded_picture,
    stacked,
    tiles,
)
from fer3d.prepare.store import PreparedScan, open_scan
from fer3d.scan import LABELS

_THUMBNAIL = 128  # pixels; 4 pictures of each of 2 subjects fit on the screen of a laptop
_NARROWEST = 960  # pixels; of a sheet without classes
_MOST_DOUBTS = 36  # scans that are shown as doubtful
_MOST_SCANS = 96  # scans of a data set without classes that are shown

Row = Mapping[str, Any]


def write_contact_sheet(folder: Path, rows: Sequence[Row], subjects: int = 2) -> Path | None:
    """Write `contact_sheet.png`.

    At the top, framed in a colour, is what is doubtful: failed scans as an empty place, scans with warnings, with a
    pose that fits badly or with little measured, each with the reason. Every kind of doubt is shown. Below, for each
    class, are the maps of up to `subjects` subjects at their highest intensity; or, if no scan has a class, all scans
    or an even sample of them.

    Args:
        folder: A prepared folder.
        rows: The rows of its manifest.
        subjects: Number of subjects side by side.

    Returns:
        The path, or None if no scan was prepared.

    Raises:
        FileError, FormatError: if a scan file is missing or damaged.
    """
    prepared = [row for row in rows if row["status"] == "ok"]
    if not prepared:
        return None
    found = doubts(rows)
    labelled = any(row["expression"] is not None for row in prepared)
    classes = _class_grid(folder, rows, subjects) if labelled else None
    width = max(classes.width, _NARROWEST) if classes is not None else _page_width(len(prepared))
    sheets = _doubt_sheets(folder, found, len(rows), width)
    if classes is not None:
        sheets.append(classes)
    else:
        sheets += _page(folder, prepared, found, len(rows), width)
    buffer = io.BytesIO()
    stacked(sheets).save(buffer, "PNG")
    path = folder / "contact_sheet.png"
    write_bytes(path, buffer.getvalue(), make_folder=True)
    return path


def _doubt_sheets(folder: Path, found: Sequence[Doubt], scans: int, width: int) -> list[Image.Image]:
    """The heading and the tiles of the doubtful scans, or nothing."""
    shown = shown_doubts(found, scans, _MOST_DOUBTS)
    if not shown:
        return []
    common = common_kinds(found, scans)
    special = [doubt for doubt in found if doubt.kind not in common]
    failed = sum(doubt.failed for doubt in special)
    parts = [_count(failed, "failed"), _count(len(special) - failed, "in doubt, with the reason beneath")]
    parts += [f"{count:,} of all have: {kind}" for kind, count in common.items()]
    parts += ["some of each kind are shown, manifest.parquet has the reasons of all"] if len(shown) < len(found) else []
    text = f"{len(special):,} of {scans:,} scans are doubtful"
    content = [_doubt_tile(doubt, None if doubt.failed else _portrait(folder, doubt.row)) for doubt in shown]
    return [heading(text, width, "; ".join(parts)), tiles(content, _THUMBNAIL, width)]


def _doubt_tile(doubt: Doubt, pictures: list[Picture] | None) -> Tile:
    text = "; ".join(doubt.reasons)
    text = f"failed: {text}" if doubt.failed else text
    if doubt.alike:
        text = f"{text} (and {doubt.alike:,} more)"
    return Tile(pictures or [], _name(doubt.row), text, RED if doubt.failed else AMBER)


def _page(folder: Path, prepared: Sequence[Row], found: Sequence[Doubt], scans: int, width: int) -> list[Image.Image]:
    """All prepared scans, or an even sample, with a heading that says how many; doubtful ones are framed."""
    common = common_kinds(found, scans)
    framed = {doubt.row["id"] for doubt in found if doubt.kind not in common}
    chosen = np.unique(np.linspace(0, len(prepared) - 1, min(_MOST_SCANS, len(prepared))).round().astype(int))
    sampled = len(chosen) < len(prepared)
    title = f"{len(chosen)} of {len(prepared):,} prepared scans" if sampled else _count(len(prepared), "prepared scans")
    content = []
    for row in (prepared[i] for i in chosen):
        content.append(Tile(_portrait(folder, row)[-1:], _name(row), frame=AMBER if row["id"] in framed else None))
    return [heading(title, width, "an even sample" if sampled else ""), tiles(content, _THUMBNAIL, width)]


def _page_width(count: int) -> int:
    """Width of a sheet without classes, so that it is about as high as wide."""
    columns = min(max(6, int(np.ceil(np.sqrt(1.4 * min(count, _MOST_SCANS))))), 14)
    return max(_NARROWEST, columns * (_THUMBNAIL + 16) + 16)


def _count(number: int, what: str) -> str:
    return f"{number:,} {what.removesuffix('s') if number == 1 and what.endswith('scans') else what}"


def _name(row: Row) -> str:
    """The name of a scan: its path, as this is what a person looks for, without its suffix."""
    return re.sub(r"(\.\w{1,5}){1,2}$", "", row["source"]) or str(row["id"])


def _portrait(folder: Path, row: Row) -> list[Picture]:
    """The pictures in which a person recognises the face: the texture and the shaded surface, or else the first map."""
    scan = _maps_of(folder, row)
    faces = group_pictures(scan, {""})[""]
    return list(faces.values()) or list(scan_pictures(scan).values())[:1]


def _class_grid(folder: Path, rows: Sequence[Row], subjects: int) -> Image.Image:
    """The maps of each class, one row a class."""
    chosen = {label: _pick(rows, label, subjects) for label in (*LABELS, None)}
    chosen = {label: picked for label, picked in chosen.items() if picked}
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
    return grid(pictures, labels, names * max(map(len, chosen.values())))


def scan_pictures(scan: PreparedScan) -> dict[str, Picture]:
    """Draw a prepared scan: title -> picture (H, W, 3).

    First the texture and the shaded surface, in which a person recognises the face; then the maps, group by group.

    Raises:
        ArgumentError: if a channel belongs to a map group that is not registered.
    """
    return {title: picture for pictures in group_pictures(scan).values() for title, picture in pictures.items()}


def group_pictures(scan: PreparedScan, wanted: Collection[str] | None = None) -> dict[str, dict[str, Picture]]:
    """Draw the pictures of `scan_pictures`, by map group. The group "" holds the texture and the shaded surface.

    Args:
        scan: A prepared scan.
        wanted: Map groups to draw. None: all.
    """
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
        if wanted is None or group.name in wanted:
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
