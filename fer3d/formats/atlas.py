"""Lay several pictures into one texture, as a `Scan` has only one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fer3d.formats.textures import MAX_PIXELS

# Texels of its own border around each picture. A lookup averages over at most 4 texels of 4 (`kernels.sampling`), so
# that it reaches 7 texels beyond its centre.
_MARGIN = 8
_TOUCHING = 1e-4  # how far a corner may lie outside a tile by rounding


@dataclass(frozen=True, eq=False)
class Atlas:
    """Pictures below one another in one texture.

    Attributes:
        image: (H, W, 3) uint8.
        boxes: Row, column, height and width of each picture in it.
        wraps: How each picture continues outside [0, 1].
    """

    image: NDArray[np.uint8]
    boxes: tuple[tuple[int, int, int, int], ...]
    wraps: tuple[tuple[str, str], ...]

    def place(self, corners: NDArray[np.float64], picture: NDArray[np.integer]) -> tuple[NDArray[np.float64], int]:
        """Map texture coordinates in single pictures to the atlas.

        A face whose corners all lie in one copy of a picture that repeats is moved into the picture. A face that
        reaches over the border cannot be shown by an atlas.

        Args:
            corners: (F, 3, 2) float64.
            picture: (F,) integer. Row in `boxes`, -1 for faces without a picture.

        Returns:
            (F, 3, 2) float64, NaN at faces without a picture and at those over a border; and the number of the latter.
        """
        out = np.full(corners.shape, np.nan)
        height, width = self.image.shape[:2]
        lost = 0
        for k, ((top, left, rows, columns), wrap) in enumerate(zip(self.boxes, self.wraps, strict=True)):
            faces = np.flatnonzero(picture == k)
            uv = np.stack([_in_tile(corners[faces, :, axis], wrap[axis]) for axis in (0, 1)], axis=-1)
            lost += int((np.isnan(uv).any(axis=(1, 2)) & np.isfinite(corners[faces]).all(axis=(1, 2))).sum())
            out[faces, :, 0] = (left + uv[..., 0] * columns) / width
            out[faces, :, 1] = 1.0 - (top + (1.0 - uv[..., 1]) * rows) / height
        out[np.isnan(out).any(axis=2)] = np.nan
        return out, lost


def make_atlas(images: Sequence[NDArray[np.uint8]], wraps: Sequence[tuple[str, str]]) -> Atlas | None:
    """Make an atlas of pictures, or return None if they are too large together.

    Args:
        images: At least one, each (H, W, 3) uint8.
        wraps: How each continues outside [0, 1]; see `fer3d.scan.Scan.wrap`.
    """
    width = max(image.shape[1] for image in images) + 2 * _MARGIN
    height = sum(image.shape[0] + 2 * _MARGIN for image in images)
    if width * height > MAX_PIXELS:
        return None
    sheet = np.zeros((height, width, 3), np.uint8)
    boxes, top = [], 0
    for image in images:
        rows, columns = image.shape[0], image.shape[1]
        padded = np.pad(image, ((_MARGIN, _MARGIN), (_MARGIN, _MARGIN), (0, 0)), mode="edge")
        sheet[top : top + len(padded), : padded.shape[1]] = padded
        boxes.append((top + _MARGIN, _MARGIN, rows, columns))
        top += len(padded)
    return Atlas(sheet, tuple(boxes), tuple(wraps))


def _in_tile(values: NDArray[np.float64], wrap: str) -> NDArray[np.float64]:
    """Bring coordinates (F, 3) of one axis into [0, 1]; NaN rows for faces over a border."""
    if wrap == "clamp":
        tile = np.zeros(len(values))
    else:
        with np.errstate(invalid="ignore"):
            tile = np.floor(values.mean(axis=1))
    with np.errstate(invalid="ignore"):  # infinite coordinates lie in no tile
        moved = values - tile[:, None]
        if wrap == "mirror":
            moved = np.where(tile[:, None] % 2 == 1, 1.0 - moved, moved)
        fits = np.all((moved >= -_TOUCHING) & (moved <= 1.0 + _TOUCHING), axis=1, keepdims=True)
    return np.where(fits, moved.clip(0.0, 1.0), np.nan)
