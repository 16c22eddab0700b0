"""Find the texture of a scan beside it and read it as RGB, or report that it is missing.

A scan without its texture is still usable, so reading a texture never raises. A problem becomes a warning that names
the file, for `Scan.warnings`. Only the folder of the scan and folders below it are searched: an absolute path in a scan
file, or one with `..`, is reduced to its last part.
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
from fer3d.files import read_bytes, write_bytes
from fer3d.formats import pixels
from fer3d.scan import Scan

if TYPE_CHECKING:
    from PIL import Image

EXTENSIONS = (".bmp", ".jpg", ".jpeg", ".png", ".ppm", ".tif", ".tiff")

# Pillow tries only these, whatever the suffix: some of its other decoders start programs.
_DECODERS = ("BMP", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
# Those for pictures inside a scan file.
INSIDE = ("JPEG", "PNG", "WEBP")

# Ten times the largest texture of the supported data sets (1600 x 1200) in each direction; 600 MB decoded.
MAX_PIXELS = 200_000_000


class Texture(NamedTuple):
    """The result of `load`.

    Attributes:
        image: (H, W, 3) uint8, row 0 at the top, or None.
        file: The file that was read, or None.
        warnings: Warnings for the user: another file than the named one was read, or why there is no texture.
    """

    image: NDArray[np.uint8] | None
    file: Path | None
    warnings: tuple[str, ...]


def load(
    scan_file: str | os.PathLike[str], names: Sequence[str], *, expected: bool = True, by_stem: bool = True
) -> Texture:
    """Find and read the texture of a scan.

    The candidates in order are: a name unchanged; the same name in another case; the same name with another extension;
    the name of the scan, which for `X_RAW.wrl` of BU-3DFE includes `X_F3D.bmp`.

    Args:
        scan_file: The scan file. The texture is searched beside it.
        names: Names of the texture in the scan file, best first. May be empty.
        expected: Whether to warn if there are no names and no texture is found.
        by_stem: Whether a picture with the name of the scan may take the place of a missing one.
    """
    scan_file = Path(scan_file)
    file, exact = _find(scan_file, names, by_stem)
    if file is None:
        if names:
            return Texture(
                None, None, (f"{scan_file}: its texture {names[0]!r} is not beside it, nor under another name",)
            )
        missing = f"{scan_file}: it names no texture and none of its name lies beside it"
        return Texture(None, None, (missing,) if expected else ())
    image, problem = _read(file)
    if problem:
        return Texture(None, None, (f"{file}: the texture of {scan_file.name} {problem}",))
    if exact:
        return Texture(image, file, ())
    named = f"its texture {names[0]!r} is not beside it" if names else "it names no texture"
    return Texture(image, file, (f"{scan_file}: {named}; {file.name} was used",) if names or expected else ())


def attach(scan: Scan, path: Path, names: Sequence[str], *, expected: bool = True) -> Scan:
    """Add the texture that `load` finds to a scan, with its warnings. The first record of the history gets its path,
    relative to the folder of the scan."""
    result = load(path, names, expected=expected)
    for warning in result.warnings:
        scan = scan.warn(warning)
    if result.image is None or result.file is None:
        return scan
    first, *later = scan.history
    first = {**first, "texture": result.file.relative_to(path.parent).as_posix()}
    return replace(scan, texture=result.image, history=(first, *later))


def write(image: NDArray[np.uint8], path: str | os.PathLike[str]) -> None:
    """Write a texture in the format of the path's extension; jpg at quality 95.

    Raises:
        ArgumentError: if `image` is not (H, W, 3) uint8 with at least one pixel, or the extension is not in
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
        # BMP files of the data sets are uncompressed. PNG at level 1 takes a third of the time for a tenth more bytes.
        Image.fromarray(image).save(
            content, format=kind, **({"quality": 95} if kind == "JPEG" else {"compress_level": 1})
        )
    except (OSError, ValueError) as error:  # a side of a JPEG has at most 65,535 pixels
        raise FileError(f"{path}: cannot be written: {error}") from error
    write_bytes(path, content.getvalue())


def _find(scan_file: Path, names: Sequence[str], by_stem: bool) -> tuple[Path | None, bool]:
    """Return the texture file, and whether it is exactly the named one."""
    folder = scan_file.parent
    relatives = [relative for name in names if (relative := inside(name)) is not None]
    for relative in relatives:
        if is_file(folder / relative):
            return folder / relative, True
    for relative in relatives:
        near = _same_stem(folder / relative.parent, relative.stem, relative.suffix)
        if near is not None:
            return near, False
    if not by_stem:
        return None, False
    stems = [scan_file.with_suffix("").stem if scan_file.suffix.lower() == ".gz" else scan_file.stem]
    if stems[0].upper().endswith("_RAW"):  # BU-3DFE: a raw scan uses the texture of the cropped scan
        stems.append(stems[0][:-4] + "_F3D")
    for stem in stems:
        near = _same_stem(folder, stem, "")
        if near is not None:
            return near, False
    return None, False


def inside(name: str) -> Path | None:
    """Return the part of a file name that is safe to open: a path below the folder, or its last part; None if none."""
    parts = [part for part in re.split(r"[\\/]+", name) if part not in ("", ".")]
    if not parts or "\0" in name:
        return None
    absolute = name.startswith(("/", "\\")) or ":" in parts[0]  # drive letters and URL schemes
    if absolute or ".." in parts:
        parts = parts[-1:]
    return None if parts == [".."] else Path(*parts)


def _same_stem(folder: Path, stem: str, suffix: str) -> Path | None:
    """Find a picture by its stem, ignoring case. Of several, prefer `suffix`, then the order of `EXTENSIONS`."""
    wanted = (suffix.lower(), *EXTENSIONS)
    try:
        entries = sorted(entry for entry in folder.iterdir() if entry.stem.lower() == stem.lower())
    except (OSError, ValueError):
        return None
    pictures = [entry for entry in entries if entry.suffix.lower() in EXTENSIONS and is_file(entry)]
    return min(pictures, key=lambda entry: wanted.index(entry.suffix.lower()), default=None)


def is_file(path: Path) -> bool:
    """Whether a path is a file; False also if it cannot be one."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def decode(
    content: bytes, most: int | None = None, *, decoders: Sequence[str] = _DECODERS
) -> tuple[NDArray[np.uint8] | None, str]:
    """Decode the bytes of a picture, such as one inside a scan file. This never raises.

    EXIF is not applied: uv refer to the stored rows.

    Args:
        content: The bytes of a picture file.
        most: The largest number of pixels that is wanted. None: `MAX_PIXELS`.
        decoders: Names of the decoders of Pillow that may try; no other one sees the bytes.

    Returns:
        (H, W, 3) uint8 and an empty text; or None and the problem, as the end of a sentence: "is empty (0 bytes)".
    """
    from PIL import Image, UnidentifiedImageError

    if not content:
        return None, "is empty (0 bytes)"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns about odd metadata, which does not matter here
            with Image.open(io.BytesIO(content), formats=tuple(decoders)) as picture:
                problem = pixels.too_large(picture, len(content), MAX_PIXELS if most is None else most)
                return (None, problem) if problem else as_rgb(picture)
    except UnidentifiedImageError:
        return None, f"cannot be read as a picture: cannot identify image file as one of {', '.join(decoders)}"
    except Exception as error:  # decoders of damaged files raise nearly everything
        return None, _cannot(error)


def _read(path: Path) -> tuple[NDArray[np.uint8] | None, str]:
    try:
        content = read_bytes(path) if path.stat().st_size else b""
    except (OSError, ValueError) as error:  # FileError and FormatError too
        return None, f"cannot be read: {str(error).removeprefix(f'{path}: ').removeprefix('cannot be read: ')}"
    return decode(content)


def as_rgb(picture: Image.Image) -> tuple[NDArray[np.uint8] | None, str]:
    """Convert a Pillow picture to (H, W, 3) uint8 without alpha; None and the problem if that fails."""
    width, height = picture.size
    if width * height > MAX_PIXELS:
        return None, f"has {width} x {height} pixels, more than {MAX_PIXELS}"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if pixels.several(picture):
                return None, "has several pictures, wanted one"
            decoded = pixels.decode(picture)
    except Exception as error:  # see decode
        return None, _cannot(error)
    return decoded.rgb, decoded.problem


def _cannot(error: Exception) -> str:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return f"cannot be read as a picture: {reason}"
