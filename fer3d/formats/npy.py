"""Points or depths in files of NumPy: .npy with (N, 3), (3, N), (H, W, 3), or (H, W) depths with intrinsics beside."""

from __future__ import annotations

import io
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from fer3d.errors import FormatError
from fer3d.files import read_bytes
from fer3d.formats import depth_image
from fer3d.formats.point_arrays import points_of, scan_of
from fer3d.scan import Scan


def read(path: str | os.PathLike[str], *, texture: bool = True) -> Scan:
    """Read an array of points, or a depth picture with its intrinsics, see `fer3d.formats.depth_image`.

    Raises:
        FileError: if the file cannot be opened.
        FormatError: if it is no array of points or depths, holds Python objects, or the points cannot be meshed.
    """
    path = Path(path)
    array = read_array(path)
    if array.ndim == 2 and 3 not in array.shape and array.shape[1] != 6:
        return depth_image.scan_of_depth(path, array, texture=texture)
    points = points_of(array)
    if points is None:
        raise FormatError(
            f"{path}: points (N, 3), a range image (H, W, 3), or depths (H, W) with {depth_image.names(path)} beside "
            f"were wanted, it has {array.dtype} {array.shape}"
        )
    return scan_of(path, "npy", points, texture=texture)


def read_array(path: Path, *, text: bool = False) -> NDArray[Any]:
    """Read an array of numbers, with `text` also of texts. What is pickled is never unpacked.

    Raises:
        FileError: if the file cannot be opened.
        FormatError: if it is damaged or holds anything else.
    """
    content = read_bytes(path)
    stream = io.BytesIO(content)
    try:
        version = npy_format.read_magic(stream)
        if version == (1, 0):
            shape, fortran, kind = npy_format.read_array_header_1_0(stream)
        elif version in ((2, 0), (3, 0)):  # 3.0 is 2.0 with other letters in the names of fields
            shape, fortran, kind = npy_format.read_array_header_2_0(stream)
        else:
            raise ValueError(f"its version is {version[0]}.{version[1]}")
    except Exception as error:  # its header is evaluated as a Python literal, which raises nearly everything
        reason = (str(error).splitlines() or [type(error).__name__])[0][:160]
        raise FormatError(f"{path}: the header of a NumPy array was wanted: {reason}") from None
    if kind.hasobject:
        raise FormatError(f"{path}: numbers were wanted, it holds Python objects (pickled), which are never unpacked")
    if kind.fields is not None or not kind.itemsize or kind.kind not in ("fiuUS" if text else "fiu"):
        raise FormatError(f"{path}: real numbers were wanted, it has {str(kind)[:80]}")
    begin, count = stream.tell(), math.prod(shape)
    if min(shape, default=1) < 0 or count * kind.itemsize != len(content) - begin:
        left = len(content) - begin
        raise FormatError(f"{path}: its header says {shape} {kind}, {count * kind.itemsize} bytes, {left} follow")
    return np.frombuffer(content, kind, count, begin).reshape(shape, order="F" if fortran else "C")
