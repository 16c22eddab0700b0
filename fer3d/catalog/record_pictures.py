"""Read the picture of a record of the catalogue from a file, a line of a csv, an entry of a .mat, or a clip."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer3d.catalog.labels.fer2013 import FER_SIDE, LONGEST_LINE
from fer3d.errors import FileError, FormatError, MissingLibraryError
from fer3d.files import MAX_BYTES
from fer3d.formats.mat_file import read_arrays
from fer3d.formats.pictures import Picture, read_picture

_AT_ONCE = 1000  # images of a .mat that are converted at once


def read_record_picture(path: Path, attributes: Mapping[str, str]) -> Picture:
    """Read the picture of a record; of a clip, the middle frame, near the apex in neutral-apex-neutral recordings.

    Args:
        path: `record.files["scan"]`.
        attributes: `record.attributes`. `entry` and `offset` locate the picture within the file.

    Raises:
        FileError, FormatError: as `read_picture`; also if an entry is missing or malformed.
        MissingLibraryError: if the file is a clip and OpenCV is not installed.
    """
    suffix = path.suffix.lower()
    if suffix == ".csv":
        return _fer_entry(path, _place(path, attributes, "offset"), _place(path, attributes, "entry"))
    if suffix == ".mat":
        try:
            modified = path.stat().st_mtime_ns
        except OSError as error:
            raise FileError(f"{path}: cannot be read ({error.strerror})") from None
        images, entry = _matlab_images(path, modified), _place(path, attributes, "entry")
        if entry >= len(images):
            raise FormatError(f"{path}: wanted at least {entry + 1} images, got {len(images)}")
        return _grey(images[entry], {"format": "Matlab", "entry": entry})
    if suffix == ".avi":
        return _middle_frame(path)
    return read_picture(path)


def _place(path: Path, attributes: Mapping[str, str], name: str) -> int:
    """Return where an entry lies in its file."""
    if not re.fullmatch(r"\d{1,18}", str(attributes.get(name, "")), re.ASCII):
        raise FormatError(f"{path}: wanted a picture, got a file of which no entry is named")
    return int(attributes[name])


def _fer_entry(path: Path, offset: int, entry: int) -> Picture:
    try:
        with path.open("rb") as file:
            file.seek(offset)
            line = file.readline(LONGEST_LINE)
    except OSError as error:
        raise FileError(f"{path}: cannot be read ({error.strerror})") from None
    words = max((cell.split() for cell in re.split(rb'[,;\t"]', line)), key=len)
    try:
        values = np.array(words, dtype=np.int64)
        image = values.reshape(FER_SIDE, FER_SIDE)
    except (ValueError, OverflowError):
        raise FormatError(f"{path}:{entry + 2}: wanted {FER_SIDE**2} whole numbers, got {len(words)} words") from None
    if image.min() < 0 or image.max() > 255:
        raise FormatError(f"{path}:{entry + 2}: wanted pixels in [0, 255], got [{image.min()}, {image.max()}]")
    return _grey(image.astype(np.uint8), {"format": "csv", "entry": entry})


@lru_cache(maxsize=1)
def _matlab_images(path: Path, modified: int) -> NDArray[Any]:
    """Read (N, S, S) uint8 images. The last file is cached, as its entries are read one after another."""
    wanted = f"{path}: wanted a Matlab file with an array `images`"
    try:
        images = read_arrays(path, ("images",), MAX_BYTES).arrays.get("images")
    except FormatError as error:
        raise FormatError(f"{wanted}: {str(error).removeprefix(f'{path}: ')}") from None
    if images is None:
        raise FormatError(f"{wanted} of numbers, it has none")
    if images.ndim != 3 or images.shape[1] != images.shape[2]:
        raise FormatError(f"{path}: wanted `images` of shape (N, S, S), got {images.shape}")
    if images.dtype != np.uint8:
        low, high = float(images.min()), float(images.max())
        if not 0.0 <= low <= high <= 255.0:  # NaN is not, either
            raise FormatError(f"{path}: wanted `images` in [0, 255], got [{low:g}, {high:g}]")
        images = _as_bytes(images, 255.0 if high > 1.0 else 1.0)
    return images


def _as_bytes(images: NDArray[Any], top: float) -> NDArray[np.uint8]:
    """Scale (N, S, S) numbers in [0, top] to (N, S, S) uint8, a part at a time: all at once takes 16 bytes a pixel."""
    whole = np.empty(images.shape, np.uint8)
    for start in range(0, len(images), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        whole[part] = np.rint(np.clip(images[part] / top, 0.0, 1.0) * 255.0)
    return whole


def _grey(image: NDArray[np.uint8], history: dict[str, object]) -> Picture:
    return Picture(np.ascontiguousarray(np.repeat(image[:, :, None], 3, axis=2)), history)


def _middle_frame(path: Path) -> Picture:
    try:
        import cv2
    except ImportError as error:
        raise MissingLibraryError(f"{path}: OpenCV cannot be imported ({error}): pip install 'fer3d[face]'") from error
    if not path.is_file():
        raise FileError(f"{path}: is missing")
    clip = cv2.VideoCapture(str(path))
    try:
        count = int(clip.get(cv2.CAP_PROP_FRAME_COUNT)) if clip.isOpened() else 0
        frame, good, image = max(count // 2, 0), False, None
        if count > 0:
            clip.set(cv2.CAP_PROP_POS_FRAMES, frame)
            good, image = clip.read()
    finally:
        clip.release()
    if not good or image is None:
        raise FormatError(f"{path}: wanted a clip with frames that can be decoded, got {count} frames")
    return Picture(np.ascontiguousarray(image[:, :, ::-1]), {"format": "clip", "frame": frame, "frames": count})
