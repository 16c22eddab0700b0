"""Draw maps as pictures. Each channel always has the same colours and range, so that sheets can be compared."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from fer3d.maps.groups import Colours
from fer3d.maps.registry import channel

Picture = NDArray[np.uint8]  # (H, W, 3)

BACKGROUND = (24, 26, 30)
_INK = (225, 228, 232)
_FAINT = (140, 145, 152)
_EMPTY = (38, 41, 47)  # the place of a picture that there is not
AMBER, RED = (240, 176, 64), (236, 98, 88)  # frames of what is doubtful, and of what failed

# From cup to cap, in the order of Koenderink's scale. The colours are our choice, readable for the colour-blind.
_SHAPE_COLOURS = np.array(
    [(33, 60, 140), (64, 140, 200), (170, 215, 225), (245, 245, 240), (250, 210, 140), (225, 120, 60), (140, 25, 30)],
    dtype=np.float64,
)

_SCALES: dict[Colours, NDArray[np.float64]] = {
    "grey": np.array([(0, 0, 0), (255, 255, 255)], dtype=np.float64),
    "blue-red": _SHAPE_COLOURS,
}


def channel_picture(name: str, values: NDArray[np.floating]) -> Picture:
    """Draw a stored channel in the range and colours of its definition. NaN becomes background.

    Args:
        name: Name of the channel, such as "depth" or "shape_index".
        values: (H, W) floating point.

    Raises:
        ArgumentError: if no map group has such a channel.
    """
    record = channel(name)
    return _coloured((values.astype(np.float64) - record.low) / (record.high - record.low), _SCALES[record.colours])


def normals_picture(normals: NDArray[np.floating]) -> Picture:
    """Draw normals as the usual red-green-blue picture: (n + 1) / 2. NaN becomes background.

    Args:
        normals: (3, H, W): x, y, z.
    """
    measured = np.isfinite(normals).all(axis=0)
    rgb = np.where(measured, (normals.astype(np.float64) + 1.0) * 127.5, 0.0).transpose(1, 2, 0)  # (H, W, 3)
    return np.where(measured[..., None], rgb, BACKGROUND).astype(np.uint8)


def colour_picture(colours: NDArray[np.floating]) -> Picture:
    """Draw colours in [0, 1]. NaN becomes background.

    Args:
        colours: (3, H, W): red, green, blue.
    """
    measured = np.isfinite(colours).all(axis=0)
    rgb = np.where(measured, np.clip(colours.astype(np.float64), 0.0, 1.0) * 255.0, 0.0).transpose(1, 2, 0)
    return np.where(measured[..., None], np.rint(rgb), BACKGROUND).astype(np.uint8)


def webp(picture: Picture) -> bytes:
    """A picture as the content of a WebP file, small enough for a page that holds many."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "WEBP", quality=80)
    return buffer.getvalue()


def shaded_picture(normals: NDArray[np.floating]) -> Picture:
    """Draw the surface as clay under one lamp from the upper left, so that a person can recognise the face.

    Args:
        normals: (3, H, W): x, y, z.
    """
    lamp = np.array([-0.45, 0.55, 0.70])
    light = np.tensordot(lamp / np.linalg.norm(lamp), np.nan_to_num(normals.astype(np.float64)), axes=1)
    measured = np.isfinite(normals).all(axis=0)
    grey = np.where(measured, 0.12 + 0.88 * np.clip(light, 0.0, 1.0), np.nan)
    return _coloured(grey, np.array([(20, 18, 16), (236, 228, 216)], dtype=np.float64))


@dataclass(frozen=True)
class Tile:
    """A scan on a sheet: pictures side by side, its name and a remark beneath.

    Attributes:
        pictures: Each (H, W, 3). If there is none, the place is empty and says so.
        name: Name of the scan.
        remark: Further text.
        frame: Colour of a frame around the pictures and of the remark. None: no frame.
    """

    pictures: Sequence[Picture]
    name: str
    remark: str = ""
    frame: tuple[int, int, int] | None = None


def grid(rows: Sequence[Sequence[Picture]], labels: Sequence[str], titles: Sequence[str], gap: int = 4) -> Image.Image:
    """Arrange pictures of equal size in rows, with a label left of each row and a title above each column.

    Labels and titles that are too wide are broken into lines.

    Args:
        rows: Pictures (H, W, 3). The end of a short row stays empty.
        labels: One label per row; it may have line breaks.
        titles: One title per column.
        gap: Pixels between pictures.
    """
    height, width = rows[0][0].shape[:2]
    font = _font(max(11, height // 11))
    margin_left = height * 2 // 3 + 30
    headings = [wrapped(title, font, width, 3) for title in titles]
    line = _line_height(font)
    margin_top = max(height // 6 + 10, max(map(len, headings), default=0) * line + 10)
    sheet = Image.new(
        "RGB",
        (margin_left + len(titles) * (width + gap), margin_top + len(rows) * (height + gap)),
        BACKGROUND,
    )
    draw = ImageDraw.Draw(sheet)
    for column, heading in enumerate(headings):
        left = margin_left + column * (width + gap)
        place = (left + width // 2, margin_top // 2)
        draw.multiline_text(place, "\n".join(heading), _INK, font, anchor="mm", align="center")
    for number, (label, pictures) in enumerate(zip(labels, rows, strict=True)):
        top = margin_top + number * (height + gap)
        lines = [part for text in label.split("\n") for part in wrapped(text, font, margin_left - 18, 4)]
        lines = lines[: max(1, height // line)]
        draw.multiline_text((10, top + height // 2), "\n".join(lines), _INK, font, anchor="lm")
        for column, picture in enumerate(pictures):
            sheet.paste(Image.fromarray(picture), (margin_left + column * (width + gap), top))
    return sheet


def heading(text: str, width: int, note: str = "") -> Image.Image:
    """A line of text `width` pixels wide, with a fainter note behind it."""
    font, small = _font(20), _font(14)
    left = 16 + int(font.getlength(text)) + 14
    lines = wrapped(note, small, width - left - 16, 4)
    sheet = Image.new("RGB", (width, max(52, 34 + len(lines) * _line_height(small))), BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    draw.text((16, 40), text, _INK, font, anchor="ls")
    for number, line in enumerate(lines):
        draw.text((left, 40 + number * _line_height(small)), line, _FAINT, small, anchor="ls")
    return sheet


def tiles(content: Sequence[Tile], side: int, width: int, gap: int = 16) -> Image.Image:
    """Arrange tiles in rows of equal columns. A row is as high as its longest text, so that texts never overlap.

    Args:
        content: Tiles. The columns are as wide as the one with the most pictures.
        side: Width and height of a picture in pixels.
        width: Width of the sheet in pixels.
        gap: Pixels between tiles.
    """
    across = max(1, *(len(tile.pictures) for tile in content))
    wide = across * side + (across - 1) * 2
    columns = max(1, (width - gap) // (wide + gap))
    font = _font(12)
    names = [wrapped(tile.name, font, wide, 2) for tile in content]
    remarks = [wrapped(tile.remark, font, wide, 6) for tile in content]
    line = _line_height(font)
    rows = [range(first, min(first + columns, len(content))) for first in range(0, len(content), columns)]
    heights = [side + 8 + line * max(len(names[i]) + len(remarks[i]) for i in row) + gap for row in rows]
    sheet = Image.new("RGB", (width, sum(heights) + gap // 2), BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    top = gap // 2
    for row, height in zip(rows, heights, strict=True):
        for column, i in enumerate(row):
            left, tile = gap + column * (wide + gap), content[i]
            _draw_pictures(sheet, draw, tile.pictures, (left, top), (wide, side))
            if tile.frame is not None:
                draw.rectangle((left - 3, top - 3, left + wide + 2, top + side + 2), outline=tile.frame, width=3)
            y = top + side + 6
            for texts, ink in ((names[i], _INK), (remarks[i], tile.frame or _FAINT)):
                for text in texts:
                    draw.text((left, y), text, ink, font)
                    y += line
        top += height
    return sheet


def stacked(sheets: Sequence[Image.Image]) -> Image.Image:
    """Sheets of equal width, one beneath the other."""
    whole = Image.new("RGB", (max(sheet.width for sheet in sheets), sum(sheet.height for sheet in sheets)), BACKGROUND)
    top = 0
    for sheet in sheets:
        whole.paste(sheet, (0, top))
        top += sheet.height
    return whole


def wrapped(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: float, most: int) -> list[str]:
    """Break a text into lines of at most `width` pixels: at blanks, else behind - _ . and /, else anywhere.

    More than `most` lines are cut, with "..." at the end.
    """
    pieces = [
        part
        for word in re.findall(r"\S+\s*", text)
        for part in ([word] if font.getlength(word.rstrip()) <= width else re.findall(r"[^-_./]*[-_./]?\s*", word))
        if part
    ]
    lines = [""]
    for piece in pieces:
        if font.getlength((lines[-1] + piece).rstrip()) <= width:
            lines[-1] += piece
            continue
        lines.append("")
        for letter in piece:  # a piece that is too wide by itself is broken anywhere
            if lines[-1] and font.getlength((lines[-1] + letter).rstrip()) > width:
                lines.append("")
            lines[-1] += letter
    lines = [line.rstrip() for line in lines if line.strip()]
    if len(lines) > most:
        last = lines[most - 1]
        while last and font.getlength(last + "...") > width:
            last = last[:-1]
        lines = [*lines[: most - 1], last.rstrip() + "..."]
    return lines


def _draw_pictures(
    sheet: Image.Image,
    draw: ImageDraw.ImageDraw,
    pictures: Sequence[Picture],
    corner: tuple[int, int],
    size: tuple[int, int],
) -> None:
    """Draw pictures side by side in the middle of a place of this size, width and height."""
    (left, top), (width, side) = corner, size
    if not pictures:
        draw.rectangle((left, top, left + width - 1, top + side - 1), fill=_EMPTY)
        draw.text((left + width // 2, top + side // 2), "no picture", _FAINT, _font(12), anchor="mm")
    start = left + (width - len(pictures) * (side + 2) + 2) // 2
    for number, picture in enumerate(pictures):
        shown = Image.fromarray(picture).resize((side, side), Image.Resampling.BOX)
        sheet.paste(shown, (start + number * (side + 2), top))


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=size)


def _line_height(font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> int:
    _, top, _, bottom = font.getbbox("Ayg")
    return int(bottom - top) + 4


def _coloured(values: NDArray[np.float64], colours: NDArray[np.float64]) -> Picture:
    """Map values to a piecewise linear colour scale. Values are clipped to [0, 1]; NaN becomes background."""
    stops = np.linspace(0.0, 1.0, len(colours))
    clipped = np.clip(np.nan_to_num(values), 0.0, 1.0)
    rgb = np.stack([np.interp(clipped, stops, colours[:, c]) for c in range(3)], axis=-1)
    return np.where(np.isnan(values)[..., None], BACKGROUND, rgb).astype(np.uint8)
