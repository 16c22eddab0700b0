"""Read picture files of known formats as upright RGB, or raise a one-line error.

`fer3d.formats.textures` reads textures. This module reads photographs: it applies the EXIF orientation, blends
transparent pixels with grey, and raises if a picture cannot be read.
"""

from __future__ import annotations

import io
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fer3d import files
from fer3d.errors import ArgumentError, FormatError
from fer3d.formats import pixels, textures
from fer3d.formats.suffixes import is_scan

if TYPE_CHECKING:
    from PIL import Image

SUFFIXES: tuple[str, ...] = (*textures.EXTENSIONS, ".gif", ".pgm", ".webp")
MAX_PIXELS = 100_000_000  # 300 MB decoded, twice as much while rotating; ten times the picture of a phone

_DECODERS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")  # Pillow tries only these, whatever the suffix
_GROUND = 128  # grey behind transparent pixels
_TURNED = 0x0112  # EXIF tag of the orientation
_TURNS = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}


class Picture(NamedTuple):
    """An upright picture.

    Attributes:
        pixels: (H, W, 3) uint8, RGB, row 0 at the top.
        history: Format and changes of the pixels, for the history of a record.
    """

    pixels: NDArray[np.uint8]
    history: dict[str, object]


def is_picture(path: str | os.PathLike[str]) -> bool:
    """Whether the name ends in one of `SUFFIXES`, ignoring case, and is none of a depth picture. The file is not read.

    >>> is_picture("KA.AN1.39.TIFF"), is_picture("S001.avi")
    (True, False)
    """
    return Path(path).suffix.lower() in SUFFIXES and not is_scan(path)


def read_picture(path: str | os.PathLike[str]) -> Picture:
    """Read a picture: 8 or 16 bits, grey, colour, palette, alpha, CMYK; of an animation, the first frame.

    Convention:
        - Of 16 bits, the high byte is used. Numbers with a sign, of 32 bits and real numbers are refused.
        - Transparent pixels are blended with grey (128). This is our choice: its edge is about equally strong against
          dark and light skin.
        - The picture is rotated and mirrored according to its EXIF orientation.

    Args:
        path: A file of any name. The content determines the format.

    Raises:
        FileError: if the file is missing, a folder, or may not be read.
        FormatError: if it is empty, not a picture of a known format, damaged, truncated, or has more than
            `MAX_PIXELS` pixels, which is checked before decoding.
    """
    return decode_picture(files.read_bytes(path), Path(path))


def decode_picture(content: bytes, path: Path) -> Picture:
    """Decode the bytes of a picture file. `path` is for messages. Raises FormatError as `read_picture`."""
    from PIL import Image

    if not content:
        raise FormatError(f"{path}: the file is empty")
    with _in_one_line(path), Image.open(io.BytesIO(content), formats=_DECODERS) as opened:
        return _upright(opened, path, len(content))


def as_picture(name: str, source: object) -> Picture:
    """A picture that is in memory already.

    Args:
        name: Of the argument, for messages.
        source: (H, W) uint8 of grey or (H, W, 3) uint8 of RGB, row 0 at the top; or a PIL picture, which is treated as
            a file by `read_picture`.

    Raises:
        ArgumentError: if `source` is neither, or an array of another shape or dtype.
        FormatError: as `read_picture`, for a PIL picture.
    """
    from PIL import Image

    if isinstance(source, Image.Image):
        width, height = source.size
        with _in_one_line(f"`{name}`"):
            return _upright(source, f"`{name}`", width * height)
    whole = isinstance(source, np.ndarray) and source.size > 0 and source.dtype == np.uint8
    if not whole or not isinstance(source, np.ndarray) or not (source.ndim == 2 or source.shape[2:] == (3,)):
        raise ArgumentError(
            f"`{name}` should be a picture: a file, pixels (H, W) or (H, W, 3) uint8 in RGB, or a PIL picture; "
            f"is {described(source)}"
        )
    if source.shape[0] * source.shape[1] > MAX_PIXELS:
        raise ArgumentError(f"`{name}` should have at most {MAX_PIXELS:,} pixels, is {described(source)}")
    colours = source if source.ndim == 3 else np.repeat(source[:, :, None], 3, axis=2)
    return Picture(np.ascontiguousarray(colours), {"format": "array", "shape": list(source.shape)})


def described(value: object) -> str:
    """Type of a value, and shape and dtype of an array, for a message.

    >>> described(np.zeros((4, 5))), described(3)
    ('an array (4, 5) float64', 'int')
    """
    if isinstance(value, np.ndarray):
        return f"an array {value.shape} {value.dtype}"
    return f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")


@contextmanager
def _in_one_line(path: Path | str) -> Iterator[None]:
    """Turn whatever a decoder raises into a FormatError."""
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns about odd metadata, which does not matter here
            yield
    except FormatError:
        raise
    except Image.DecompressionBombError as error:
        number = re.search(r"\d+", str(error))
        many = f"{int(number[0]):,}" if number else "more"
        raise FormatError(f"{path}: wanted at most {MAX_PIXELS:,} pixels, got {many}") from None
    except UnidentifiedImageError:
        raise FormatError(f"{path}: wanted a picture ({', '.join(_DECODERS)}), got something else") from None
    except MemoryError:
        raise FormatError(f"{path}: not enough memory to decode it") from None
    except Exception as error:  # decoders of damaged files raise nearly everything
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise FormatError(f"{path}: cannot be decoded: {reason}") from None


def _upright(opened: Image.Image, path: Path | str, content: int) -> Picture:
    from PIL import Image

    width, height = opened.size
    history: dict[str, object] = {"format": opened.format, "mode": opened.mode, "size": [width, height]}
    if width * height > MAX_PIXELS:
        raise FormatError(f"{path}: wanted at most {MAX_PIXELS:,} pixels, got {width} x {height}")
    if problem := pixels.too_large(opened, content, MAX_PIXELS):
        raise FormatError(f"{path}: {problem}")
    tiff = opened.format == "TIFF"
    turned = opened.getexif().get(_TURNED, 1) if tiff else 1  # loading a TIFF turns it and drops the tag
    decoded = pixels.decode(opened, transparency=True)  # raises here if the file is damaged
    turned = turned if tiff else opened.getexif().get(_TURNED, 1)  # of a PNG, this loads it
    if decoded.rgb is None:
        raise FormatError(f"{path}: {decoded.problem}")
    picture = Image.fromarray(decoded.rgb)
    if decoded.alpha is not None:
        picture.putalpha(Image.fromarray(decoded.alpha))
        ground = Image.new("RGBA", picture.size, (_GROUND, _GROUND, _GROUND, 255))
        picture = Image.alpha_composite(ground, picture).convert("RGB")
        history["transparent"] = True
    if turned != 1:
        history["orientation"] = turned
        if turned in _TURNS and not tiff:
            picture = picture.transpose(Image.Transpose[_TURNS[turned]])
    return Picture(np.array(picture), history)
