"""Draw maps as pictures. Each channel always has the same colours and range, so that sheets can be compared."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from fer3d.maps.groups import Colours
from fer3d.maps.registry import channel

Picture = NDArray[np.uint8]  # (H, W, 3)

BACKGROUND = (24, 26, 30)
_INK = (225, 228, 232)

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


def grid(rows: Sequence[Sequence[Picture]], labels: Sequence[str], titles: Sequence[str], gap: int = 4) -> Image.Image:
    """Arrange pictures of equal size in rows, with a label left of each row and a title above each column.

    Args:
        rows: Pictures (H, W, 3). The end of a short row stays empty.
        labels: One label per row; it may have line breaks.
        titles: One title per column.
        gap: Pixels between pictures.
    """
    height, width = rows[0][0].shape[:2]
    font = ImageFont.load_default(size=max(11, height // 11))
    margin_left, margin_top = height * 2 // 3 + 30, height // 6 + 10
    sheet = Image.new(
        "RGB",
        (margin_left + len(titles) * (width + gap), margin_top + len(rows) * (height + gap)),
        BACKGROUND,
    )
    draw = ImageDraw.Draw(sheet)
    for column, title in enumerate(titles):
        left = margin_left + column * (width + gap)
        draw.text((left + width // 2, margin_top // 2), title, _INK, font, anchor="mm")
    for number, (label, pictures) in enumerate(zip(labels, rows, strict=True)):
        top = margin_top + number * (height + gap)
        draw.multiline_text((10, top + height // 2), label, _INK, font, anchor="lm")
        for column, picture in enumerate(pictures):
            sheet.paste(Image.fromarray(picture), (margin_left + column * (width + gap), top))
    return sheet


def _coloured(values: NDArray[np.float64], colours: NDArray[np.float64]) -> Picture:
    """Map values to a piecewise linear colour scale. Values are clipped to [0, 1]; NaN becomes background."""
    stops = np.linspace(0.0, 1.0, len(colours))
    clipped = np.clip(np.nan_to_num(values), 0.0, 1.0)
    rgb = np.stack([np.interp(clipped, stops, colours[:, c]) for c in range(3)], axis=-1)
    return np.where(np.isnan(values)[..., None], BACKGROUND, rgb).astype(np.uint8)
