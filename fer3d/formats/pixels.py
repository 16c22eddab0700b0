"""Turn the pixels of a decoded picture into RGB, or say which kind of pixels cannot be understood.

Pillow decodes; this module knows where its modes say less than the file: which way grey runs in a TIFF, how many bits
a number has, whether it has a sign, and what a transparent colour of 16 bits is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL import Image

# Tags of TIFF
_BITS, _PHOTOMETRIC, _PLANAR, _COLOURS, _INK, _EXTRA, _SIGN = 258, 262, 284, 320, 332, 338, 339
_SUBSAMPLING_RANGE = 532  # ReferenceBlackWhite of YCbCr
_PAGE_KIND, _SMALLER_COPY, _MASK = 254, 1, 4
_SMALL = 1 << 19  # pixels that any file may have
_DENSEST = 1100  # pixels a byte: what Deflate and LZW make of grey of 8 bits, all of it equal
_MOST_PAGES = 64  # of which it is looked whether they are copies
_MIN_IS_WHITE, _SEPARATE_PLANES = 0, 2
_FULL_RANGE = (0, 255, 128, 255, 128, 255)


def too_large(picture: Image.Image, content: int, most: int) -> str:
    """Whether a picture has more pixels than `most`, or than its bytes can hold unless it is blank; see `refusal`.

    Args:
        picture: The picture, not loaded yet.
        content: Length of its file in bytes.
        most: Number of pixels.
    """
    width, height = picture.size
    if width * height > most:
        return f"has {width} x {height} pixels, more than {most}"
    if width * height > _SMALL + _DENSEST * content:
        return f"has {width} x {height} pixels in {content} bytes: it would be blank"
    return ""


class Decoded(NamedTuple):
    """The result of `decode`.

    Attributes:
        rgb: (H, W, 3) uint8 without transparency, or None.
        alpha: (H, W) uint8, or None: 0 transparent, 255 opaque. None: nothing is transparent, or it was not wanted.
        problem: Why there is no `rgb`, as the end of a sentence: "has real numbers as pixels"; or "".
    """

    rgb: NDArray[np.uint8] | None
    alpha: NDArray[np.uint8] | None
    problem: str


def decode(picture: Image.Image, *, transparency: bool = False) -> Decoded:
    """Decode a picture that is opened and not loaded. Of more than 8 bits, the highest 8 are the value.

    Raises whatever Pillow raises for damaged files.

    Args:
        picture: The picture. Loading it drops what its file says about the pixels.
        transparency: Whether `alpha` is wanted.
    """
    problem, tags, raw = refusal(picture), _tags(picture), _raw_mode(picture)
    if problem:
        return Decoded(None, None, problem)
    picture.load()
    if picture.mode == "P" and (problem := _outside_palette(picture)):
        return Decoded(None, None, problem)
    alpha = None
    if transparency:
        if raw == "RGB;16B" and "transparency" in picture.info:
            return Decoded(None, None, "has 16 bits a colour and a transparent colour, wanted an alpha channel")
        alpha = _alpha(picture, raw) if picture.format != "TIFF" or tags.get(_EXTRA) else None
    if picture.mode.startswith("I"):
        return Decoded(np.repeat(_grey(picture, tags)[:, :, None], 3, axis=2), alpha, "")  # (H, W, 3)
    picture = _straight(picture)
    if picture.mode in ("P", "PA"):
        picture = picture.convert("RGBA")  # a palette may contain alpha, which is dropped too
    return Decoded(np.array(picture if picture.mode == "RGB" else picture.convert("RGB")), alpha, "")


def _straight(picture: Image.Image) -> Image.Image:
    """Colours that are not multiplied by their opacity."""
    return picture.convert({"La": "LA", "RGBa": "RGBA"}[picture.mode]) if picture.mode in ("La", "RGBa") else picture


def _alpha(picture: Image.Image, raw: str) -> NDArray[np.uint8] | None:
    if picture.mode in ("LA", "RGBA", "PA", "La", "RGBa"):
        return np.array(_straight(picture).getchannel("A"))
    key = picture.info.get("transparency")
    if key is None:
        return None
    if picture.mode == "P":
        return np.array(picture.convert("RGBA").getchannel("A"))
    if isinstance(key, tuple):
        return _opaque_unless((np.asarray(picture.convert("RGB")) == np.array(key)).all(axis=2))
    if picture.mode.startswith("I"):
        return _opaque_unless(np.asarray(picture) == key)
    step = {"L;2": 85, "L;4": 17}.get(raw, 1)  # Pillow widens few bits of grey to 8, not the transparent value
    return _opaque_unless(np.asarray(picture.convert("L")) == key * step)


def several(picture: Image.Image) -> bool:
    """Whether a TIFF, PNG or WebP has several pictures; what a TIFF calls smaller copies or masks does not count."""
    if picture.format in ("PNG", "WEBP"):
        return int(getattr(picture, "n_frames", 1)) > 1
    if picture.format != "TIFF":
        return False
    count = 0
    try:
        for page in range(_MOST_PAGES):
            picture.seek(page)
            count += not int(_tags(picture).get(_PAGE_KIND, 0)) & (_SMALLER_COPY | _MASK)
    except EOFError:
        pass
    picture.seek(0)
    return count > 1


def refusal(picture: Image.Image) -> str:
    """Why the pixels cannot be understood, as the end of a sentence, or "". The picture should not be loaded yet."""
    tags = _tags(picture)
    if picture.mode == "F":
        return "has real numbers as pixels, wanted 8 or 16 bits"
    if 2 in _numbers(tags.get(_SIGN)):
        return "has pixels with a sign, wanted 0 to 255 or 0 to 65535"
    if picture.mode == "I" and picture.format != "PPM":  # of PPM, Pillow brings any range to 16 bits
        return "has pixels of 32 bits, wanted 8 or 16"
    if picture.mode in ("LAB", "HSV"):
        return f"has {picture.mode} colours, wanted RGB, grey, YCbCr or CMYK"
    if picture.format in ("JPEG", "MPO") and picture.mode == "CMYK" and "adobe" not in picture.info:
        return "has CMYK colours and no Adobe marker that says which of 0 and 255 is no ink"
    return _tiff_refusal(picture, tags)


def _tiff_refusal(picture: Image.Image, tags: dict[int, Any]) -> str:
    bits = max(_numbers(tags.get(_BITS)), default=8)
    if tags.get(_PLANAR) == _SEPARATE_PLANES and bits != 8 and picture.mode in ("RGB", "RGBA", "CMYK", "YCbCr"):
        return "has colours in planes of 16 bits, wanted 8 bits, or pixel by pixel"
    if tags.get(_INK, 1) != 1:
        return "has colours of other inks than CMYK"
    if picture.mode == "YCbCr" and _SUBSAMPLING_RANGE in tags and _numbers(tags[_SUBSAMPLING_RANGE]) != _FULL_RANGE:
        return "has YCbCr colours of another range than 0 to 255"
    if _COLOURS in tags and 0 < max(_numbers(tags[_COLOURS]), default=0) < 256:
        return "has a palette of 8 bits where 16 are wanted: all of it would be black"
    return ""


def _grey(picture: Image.Image, tags: dict[int, Any]) -> NDArray[np.uint8]:
    """(H, W): the 8-bit value of 9 to 16 bits of grey."""
    bits = max(_numbers(tags.get(_BITS)), default=16)
    grey = (np.asarray(picture).astype(np.int64) >> (bits - 8)).clip(0, 255).astype(np.uint8)
    inverted = tags.get(_PHOTOMETRIC) == _MIN_IS_WHITE  # Pillow inverts up to 8 bits only
    return 255 - grey if inverted else grey


def _tags(picture: Image.Image) -> dict[int, Any]:
    """Tags of a TIFF file; none of other files."""
    return dict(getattr(picture, "tag_v2", None) or {}) if picture.format == "TIFF" else {}


def _numbers(value: Any) -> tuple[Any, ...]:
    return () if value is None else tuple(value) if isinstance(value, (tuple, list)) else (value,)


def _raw_mode(picture: Image.Image) -> str:
    """How the pixels lie in a PNG file, such as "L;4"; "" of other files."""
    tiles = getattr(picture, "tile", None)
    return str(tiles[0].args) if picture.format == "PNG" and tiles else ""


def _opaque_unless(transparent: NDArray[np.bool_]) -> NDArray[np.uint8]:
    return np.where(transparent, 0, 255).astype(np.uint8)


def _outside_palette(picture: Image.Image) -> str:
    palette = picture.palette
    if palette is None:
        return "has no palette for its pixels"
    size = len(palette.palette) // max(len(palette.mode), 1)
    most = int(np.asarray(picture).max(initial=0))
    return f"names colour {most} of a palette of {size}" if most >= size else ""
