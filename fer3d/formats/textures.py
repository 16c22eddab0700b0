"""The picture that belongs to a scan: found beside it, read as RGB, or reported as missing. Never a silent loss.

A scan without its texture is still a scan, so nothing here raises over a picture: it comes back as a warning that
names the file, for `Scan.warnings`. Only the scan's own folder and folders below it are looked at: an absolute path or
one with `..` inside a scan file is reduced to its last part.
"""

from __future__ import annotations

import io
import os
import re
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fer3d.checks import check_dtype, check_shape
from fer3d.errors import ArgumentError, FileError
from fer3d.files import write_bytes
from fer3d.scan import Scan

if TYPE_CHECKING:
    from PIL import Image

EXTENSIONS = (".bmp", ".jpg", ".jpeg", ".png", ".ppm", ".tif", ".tiff")

# Pillow decodes nothing else, whatever the name says: some of its other formats start programs.
_DECODERS = ("BMP", "JPEG", "PNG", "PPM", "TIFF")

# Ten times the largest texture of the data sets read here (1600 x 1200) in each direction, and 600 MB decoded.
MAX_PIXELS = 200_000_000


class Texture(NamedTuple):
    """What was found.

    Attributes:
        image: (H, W, 3) uint8, row 0 at the top, or None.
        file: The file that was read, or None.
        warnings: What to tell the user: another file than the one named, or why there is none.
    """

    image: NDArray[np.uint8] | None
    file: Path | None
    warnings: tuple[str, ...]


def load(scan_file: str | os.PathLike[str], names: Sequence[str], *, expected: bool = True) -> Texture:
    """Find and read the texture of a scan.

    In this order: a name as it stands; the same in another case; the same with another extension; then by the scan's
    own name, which for `X_RAW.wrl` of BU-3DFE is also `X_F3D.bmp`.

    Args:
        scan_file: The scan that was read. The texture lies beside it.
        names: What the scan's content calls its texture, best first. May be empty.
        expected: Whether to warn if there are no names and nothing is found.
    """
    scan_file = Path(scan_file)
    found, exact = _find(scan_file, names)
    if found is None:
        if names:
            return Texture(
                None, None, (f"{scan_file}: its texture {names[0]!r} is not beside it, nor under another name",)
            )
        missing = f"{scan_file}: it names no texture and none of its name lies beside it"
        return Texture(None, None, (missing,) if expected else ())
    image, problem = _decode(found)
    if problem:
        return Texture(None, None, (f"{found}: the texture of {scan_file.name} {problem}",))
    if exact:
        return Texture(image, found, ())
    named = f"its texture {names[0]!r} is not beside it" if names else "it names no texture"
    return Texture(image, found, (f"{scan_file}: {named}; {found.name} was used",) if names or expected else ())


def attach(scan: Scan, path: Path, names: Sequence[str], *, expected: bool = True) -> Scan:
    """The scan with the texture that `load` finds, its name (relative to the scan's folder) in the history's first
    record, and its warnings."""
    found = load(path, names, expected=expected)
    for warning in found.warnings:
        scan = scan.warn(warning)
    if found.image is None or found.file is None:
        return scan
    first, *later = scan.history
    first = {**first, "texture": found.file.relative_to(path.parent).as_posix()}
    return replace(scan, texture=found.image, history=(first, *later))


def write(image: NDArray[np.uint8], path: str | os.PathLike[str]) -> None:
    """Write a texture in the format of the path's extension; jpg at quality 95.

    Raises:
        ArgumentError: if `image` is not (H, W, 3) uint8 with at least one pixel, or the extension is not one of
            `EXTENSIONS`.
        FileError: if the file cannot be written.
    """
    from PIL import Image

    path = Path(path)
    check_dtype("image", image, np.uint8)
    check_shape("image", image, ("H", "W", 3))
    if image.size == 0:
        raise ArgumentError(f"`image` should have at least one pixel, has shape {image.shape}")
    if path.suffix.lower() not in EXTENSIONS:
        raise ArgumentError(f"`path` should end in one of {', '.join(EXTENSIONS)}, is {path}")
    kind = {".jpg": "JPEG", ".jpeg": "JPEG", ".tif": "TIFF", ".tiff": "TIFF"}.get(
        path.suffix.lower(), path.suffix[1:].upper()
    )
    content = io.BytesIO()
    try:
        # BMP files of the data sets are uncompressed; PNG at level 1 is a third of the time for a tenth more bytes.
        Image.fromarray(image).save(
            content, format=kind, **({"quality": 95} if kind == "JPEG" else {"compress_level": 1})
        )
    except (OSError, ValueError) as error:  # JPEG ends at 65,535 pixels a side
        raise FileError(f"{path}: cannot be written: {error}") from error
    write_bytes(path, content.getvalue())


def _find(scan_file: Path, names: Sequence[str]) -> tuple[Path | None, bool]:
    """The texture file, and whether it is exactly the one named."""
    folder = scan_file.parent
    relatives = [relative for name in names if (relative := inside(name)) is not None]
    for relative in relatives:
        if _is_file(folder / relative):
            return folder / relative, True
    for relative in relatives:
        near = _same_stem(folder / relative.parent, relative.stem, relative.suffix)
        if near is not None:
            return near, False
    stems = [scan_file.with_suffix("").stem if scan_file.suffix.lower() == ".gz" else scan_file.stem]
    if stems[0].upper().endswith("_RAW"):  # BU-3DFE: the raw scan looks up the texture of the cropped one
        stems.append(stems[0][:-4] + "_F3D")
    for stem in stems:
        near = _same_stem(folder, stem, "")
        if near is not None:
            return near, False
    return None, False


def inside(name: str) -> Path | None:
    """The part of a texture's name that may be followed: below the folder, or the last part alone; None if nothing."""
    parts = [part for part in re.split(r"[\\/]+", name) if part not in ("", ".")]
    if not parts or "\0" in name:
        return None
    absolute = name.startswith(("/", "\\")) or ":" in parts[0]  # drive letters and URL schemes
    if absolute or ".." in parts:
        parts = parts[-1:]
    return None if parts == [".."] else Path(*parts)


def _same_stem(folder: Path, stem: str, suffix: str) -> Path | None:
    """A picture in `folder` of this stem in any case; of several, the one with this suffix, else by `EXTENSIONS`."""
    wanted = (suffix.lower(), *EXTENSIONS)
    try:
        entries = sorted(entry for entry in folder.iterdir() if entry.stem.lower() == stem.lower())
    except (OSError, ValueError):
        return None
    pictures = [entry for entry in entries if entry.suffix.lower() in EXTENSIONS and _is_file(entry)]
    return min(pictures, key=lambda entry: wanted.index(entry.suffix.lower()), default=None)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _decode(path: Path) -> tuple[NDArray[np.uint8] | None, str]:
    """The picture in a file, or None and what is wrong. EXIF is not applied: uv refer to the stored rows."""
    from PIL import Image

    try:
        if path.stat().st_size == 0:
            return None, "is empty (0 bytes)"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns over odd metadata; what matters is whether it decodes
            with Image.open(path, formats=_DECODERS) as picture:
                return as_rgb(picture)
    except Exception as error:  # decoders of damaged files raise nearly everything
        return None, _cannot(error).replace(os.fspath(path), path.name)


def as_rgb(picture: Image.Image) -> tuple[NDArray[np.uint8] | None, str]:
    """A Pillow picture as (H, W, 3) uint8 without its alpha; or None and what is wrong with it."""
    width, height = picture.size
    if width * height > MAX_PIXELS:
        return None, f"has {width} x {height} pixels, more than {MAX_PIXELS}"
    if picture.mode == "F":
        return None, "has real numbers as pixels, wanted 8 or 16 bits"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if picture.mode.startswith("I"):  # 16 bits of grey: the high byte is the 8-bit value
                grey = (np.asarray(picture).astype(np.int64).clip(0, 65535) >> 8).astype(np.uint8)
                return np.repeat(grey[:, :, None], 3, axis=2), ""  # (H, W, 3)
            if picture.mode == "P":
                picture = picture.convert("RGBA")  # a palette may hold transparency, dropped as other alpha is
            return np.array(picture.convert("RGB")), ""
    except Exception as error:  # see _decode
        return None, _cannot(error)


def _cannot(error: Exception) -> str:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return f"cannot be read as a picture: {reason}"
