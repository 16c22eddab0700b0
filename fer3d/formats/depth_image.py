"""Depth pictures with the intrinsics of their camera: .png with 16 bits of grey, and .npy (H, W).

Convention:
    - Depth is the distance along the optical axis, not along the ray. 0, NaN and infinite: not measured.
    - Column u and row v, counted from 0 at the middle of the upper left pixel, at depth d is the point
      ((u - cx) d / fx, -(v - cy) d / fy, -d): +y up, +z to the camera, the camera at the origin.
    - The points are in the unit of the picture, or in mm if the intrinsics hold "depth_unit_mm" or "depth_scale".

The intrinsics are a JSON file beside, <stem>.json or intrinsics.json: {"fx": .., "fy": .., "cx": .., "cy": ..}, or with
"ppx" and "ppy" (RealSense), or with a matrix "intrinsic_matrix", "camera_matrix" or "K" (Open3D, ROS).
"""

from __future__ import annotations

import io
import json
import math
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer3d.errors import FormatError
from fer3d.files import read_bytes
from fer3d.formats.parts import MOST_VERTICES
from fer3d.formats.point_cloud import scan_of_points
from fer3d.formats.suffixes import is_scan
from fer3d.scan import Scan

_FOLDER_FILE = "intrinsics.json"
_EXAMPLE = '{"fx": 600.0, "fy": 600.0, "cx": 319.5, "cy": 239.5, "depth_unit_mm": 1.0}'
_MATRICES = ("intrinsic_matrix", "camera_matrix", "K", "k")
_DISTORTION = ("distortion", "distortion_coefficients", "dist_coeffs", "coeffs", "D", "k1", "k2", "k3", "p1", "p2")
_MOST_BYTES = 1 << 20  # of intrinsics


@dataclass(frozen=True)
class Intrinsics:
    """A pinhole camera.

    Attributes:
        fx, fy: Focal lengths in pixels.
        cx, cy: Column and row of the optical axis.
        unit: mm of one step of depth, or None: not given.
        file: Name of the file they come from.
    """

    fx: float
    fy: float
    cx: float
    cy: float
    unit: float | None
    file: str


def read(path: str | os.PathLike[str], *, texture: bool = True) -> Scan:
    """Read a depth picture.

    Raises:
        FileError: if a file cannot be opened.
        FormatError: if it is no picture of 16-bit grey or array of depths, or its intrinsics are missing or wrong.
    """
    path = Path(path)
    if path.suffix.lower() == ".npy":
        from fer3d.formats.npy import read_array

        depth = read_array(path)
        if depth.ndim == 3 and depth.shape[2] == 1:
            depth = depth[:, :, 0]
    else:
        depth = _grey(path)
    return scan_of_depth(path, depth, texture=texture)


def names(path: Path) -> str:
    """The names that the intrinsics of a depth picture may have, for messages."""
    return " or ".join(dict.fromkeys(place.name for place in _places(path)))


def is_depth_picture(path: str | os.PathLike[str]) -> bool:
    """Whether a picture file is one of depths by its name, or because intrinsics lie beside it."""
    path = Path(path)
    return is_scan(path) or (path.suffix.lower() == ".png" and _file(path) is not None)


def scan_of_depth(path: Path, depth: NDArray[Any], *, texture: bool = True) -> Scan:
    """Make a scan of depths (H, W). Errors as `read`."""
    if depth.ndim != 2 or not depth.size:
        raise FormatError(f"{path}: depths (H, W) were wanted, it has {depth.dtype} {depth.shape}")
    if depth.size > MOST_VERTICES:
        raise FormatError(f"{path}: a depth picture has at most {MOST_VERTICES} pixels, it has {depth.shape}")
    rows, columns = len(depth), depth.size // len(depth)
    camera = intrinsics(path, rows, columns)
    along = np.asarray(depth, np.float64) * (camera.unit or 1.0)
    along = np.where(np.isfinite(along) & (along > 0), along, np.nan)
    row, column = np.arange(rows)[:, None], np.arange(columns)
    points = np.stack(
        [(column - camera.cx) / camera.fx * along, (camera.cy - row) / camera.fy * along, -along], axis=-1
    )
    kind = "depth png" if path.suffix.lower() == ".png" else "depth npy"
    unit = {} if camera.unit is None else {"depth_unit_mm": camera.unit}
    return scan_of_points(
        path,
        kind,
        points.reshape(-1, 3),
        grid=(rows, columns),
        texture=texture,
        record={"beside": [camera.file], **unit},
        sensor=np.zeros(3),
    )


def intrinsics(path: Path, rows: int, columns: int) -> Intrinsics:
    """Read the intrinsics beside a depth picture of so many rows and columns. Raises FormatError."""
    file = _file(path)
    if file is None:
        raise FormatError(
            f"{path}: a depth picture needs the intrinsics of its camera: write {names(path)} beside it, such as "
            f"{_EXAMPLE}"
        )
    content = read_bytes(file)
    try:
        if len(content) > _MOST_BYTES:
            raise ValueError(f"it has {len(content)} bytes")
        values = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{file}: intrinsics as JSON were wanted: {str(error).splitlines()[0]}") from None
    if isinstance(values, dict):
        inner = next((values[key] for key in ("intrinsics", "depth_intrinsics") if key in values), None)
        values = {**values, **inner} if isinstance(inner, dict) else values
    if not isinstance(values, dict):
        raise FormatError(f"{file}: intrinsics such as {_EXAMPLE} were wanted, got {type(values).__name__}")
    for key, pixels in (("height", rows), ("width", columns)):
        if key in values and values[key] != pixels:
            raise FormatError(f"{file}: its {key} should be that of {path.name}, {pixels}, is {values[key]!r:.40}")
    for key in _DISTORTION:
        if key in values and _any_nonzero(values[key]):
            raise FormatError(
                f"{file}: {key} should be 0: pictures with distortion are not read; undistort {path.name}"
            )
    fx, fy, cx, cy = _pinhole(values, file)
    return Intrinsics(fx, fy, cx, cy, _unit(values, file), file.name)


def _pinhole(values: Mapping[str, Any], file: Path) -> tuple[float, float, float, float]:
    key = next((key for key in _MATRICES if key in values), None)
    if key is not None:
        matrix = _matrix(values[key])
        if matrix is None:
            raise FormatError(f"{file}: {key} should be fx 0 cx, 0 fy cy, 0 0 1 without skew, is {values[key]!r:.120}")
        found = [float(matrix[at]) for at in ((0, 0), (1, 1), (0, 2), (1, 2))]
    else:
        keys = ("fx", "fy", *(("ppx", "ppy") if "ppx" in values else ("cx", "cy")))
        missing = [name for name in keys if not _is_number(values.get(name))]
        if missing:
            raise FormatError(f"{file}: {missing[0]} should be a number of pixels; wanted is such as {_EXAMPLE}")
        found = [float(values[name]) for name in keys]
    if not (found[0] > 0 and found[1] > 0):
        raise FormatError(f"{file}: focal lengths should be above 0, are {found[0]:g} and {found[1]:g}")
    return found[0], found[1], found[2], found[3]


def _matrix(value: Any) -> NDArray[np.float64] | None:
    """(3, 3), from rows, or nine numbers by rows or by columns: the row 0 0 1 tells which; None if it is neither."""
    flat = [x for row in value for x in (row if isinstance(row, list) else [row])] if isinstance(value, list) else []
    if len(flat) != 9 or not all(map(_is_number, flat)):
        return None
    matrix = np.array(flat, np.float64).reshape(3, 3)
    if not (matrix[2] == (0, 0, 1)).all():
        matrix = matrix.T
    fits = (matrix[2] == (0, 0, 1)).all() and matrix[0, 1] == 0 and matrix[1, 0] == 0
    return matrix if fits else None


def _unit(values: Mapping[str, Any], file: Path) -> float | None:
    """mm of a step of depth. "depth_scale" is metres a step (RealSense, below 1) or steps a metre (Open3D, above 1)."""
    key = next((key for key in ("depth_unit_mm", "depth_scale") if key in values), None)
    if key is None:
        return None
    value = values[key]
    if not _is_number(value) or not 1e-9 < value < 1e9:
        raise FormatError(f"{file}: {key} should be a number above 0, is {value!r:.40}")
    number = float(value)
    if key == "depth_scale":
        number = 1000.0 * number if number < 1 else 1000.0 / number
    return number


def _is_number(value: Any) -> bool:
    return (
        isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e300 and math.isfinite(value)
    )


def _any_nonzero(value: Any) -> bool:
    rows = value if isinstance(value, list) else [value]
    return any(x not in (0, None) for row in rows for x in (row if isinstance(row, list) else [row]))


def _places(path: Path) -> list[Path]:
    stem = path.name[: -len(path.suffix)]
    stems = [stem, stem[: -len(".depth")]] if stem.lower().endswith(".depth") else [stem]
    return [*(path.with_name(f"{name}.json") for name in stems if name), path.with_name(_FOLDER_FILE)]


def _file(path: Path) -> Path | None:
    try:
        return next((place for place in _places(path) if place.is_file()), None)
    except (OSError, ValueError):  # a name that is too long
        return None


def _grey(path: Path) -> NDArray[Any]:
    """The pixels of a PNG of 16-bit grey, (H, W)."""
    from PIL import Image

    content = read_bytes(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(content), formats=("PNG",)) as opened:
                width, height = opened.size
                mode = opened.mode
                if width * height <= MOST_VERTICES and mode.startswith("I"):
                    return np.asarray(opened).astype(np.int64)
    except Exception as error:  # decoders of damaged files raise nearly everything
        reason = (str(error).splitlines() or [type(error).__name__])[0].replace(str(path), path.name)
        reason = "it is none" if "cannot identify" in reason else reason
        raise FormatError(f"{path}: a depth picture (PNG with 16 bits of grey) was wanted: {reason}") from None
    if width * height > MOST_VERTICES:
        raise FormatError(f"{path}: a depth picture has at most {MOST_VERTICES} pixels, it has {width} x {height}")
    raise FormatError(f"{path}: a depth picture (PNG with 16 bits of grey) was wanted, its pixels are {mode}")
