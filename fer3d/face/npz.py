"""Read and write a `FaceModel` as one .npz file of plain arrays; nothing is pickled.

| key | content |
| --- | --- |
| `fer3d_face_model` | the version of this layout, 1 |
| `name` | name of the model |
| `neutral` (V, 3), `identity_modes` (M, V, 3), `expression_modes` (N, V, 3) | mm, as in `FaceModel` |
| `expression_names` (N,) | names of the expression modes |
| `triangles` (F, 3), `part` (F,), `uv` (V, 2) | as in `FaceModel` |
| `landmark_names` (L,), `landmark_rows` (L,) | each landmark and its row of `neutral` |
| `unit_names` (U,), `unit_modes` (U,), `unit_weights` (U,) | one entry for each mode of each action unit |
| `lid_closed_by` (K,), and for each k `lid<k>_upper`, `_lower`, `_share`, `_slope` | as in `Lid` |
"""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer3d.checks import check_dtype, check_index, check_shape
from fer3d.errors import ArgumentError, FormatError
from fer3d.face.model import FaceModel, Lid
from fer3d.files import brief, brief_line, check_growth, read_bytes, write_bytes

_MARK, _VERSION = "fer3d_face_model", 1
_PLAIN = ("neutral", "identity_modes", "expression_modes", "triangles", "part", "uv")
_TABLES = ("name", "expression_names", "landmark_names", "landmark_rows", "unit_names", "unit_modes", "unit_weights")
_LISTED = 20  # names in a message
LARGEST = 1e6  # of the numbers of a model, in any unit: a face is no kilometre wide
_LID = ("upper", "lower", "share", "slope")


def is_one(path: str | os.PathLike[str]) -> bool:
    """Whether a file has this layout; False if the file cannot be read."""
    try:
        with zipfile.ZipFile(path) as file:
            return f"{_MARK}.npy" in file.namelist()
    except Exception:  # the decoders of damaged archives raise nearly everything
        return False


def save(model: FaceModel, path: str | os.PathLike[str]) -> None:
    """Write a model to a file; a failed write leaves no partial file.

    Raises:
        FileError: if the file cannot be written.
    """
    table = [(unit, mode, weight) for unit, modes in model.action_units.items() for mode, weight in modes.items()]
    arrays: dict[str, Any] = {_MARK: np.int64(_VERSION), "name": np.array(model.name)}
    arrays |= {key: getattr(model, key) for key in _PLAIN}
    arrays["expression_names"] = np.array(model.expression_names)
    arrays["landmark_names"] = np.array(list(model.landmarks))
    arrays["landmark_rows"] = np.array(list(model.landmarks.values()), np.int64)
    arrays["unit_names"] = np.array([unit for unit, _, _ in table])
    arrays["unit_modes"] = np.array([mode for _, mode, _ in table])
    arrays["unit_weights"] = np.array([weight for _, _, weight in table], np.float64)
    arrays["lid_closed_by"] = np.array([lid.closed_by for lid in model.lids], "U")
    for k, lid in enumerate(model.lids):
        arrays |= {f"lid{k}_{key}": getattr(lid, key) for key in _LID}
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)
    write_bytes(path, content.getvalue())


def load(path: str | os.PathLike[str]) -> FaceModel:
    """Read a model that `save` wrote.

    Raises:
        FileError: if the file cannot be opened.
        FormatError: if the file has another format, a key is missing, or its arrays do not form a face model.
    """
    path = Path(path)
    data = read_arrays(path, "a face model of fer3d was wanted")
    lids = data["lid_closed_by"].size if "lid_closed_by" in data else 0
    wanted = [_MARK, *_TABLES, *_PLAIN, "lid_closed_by", *(f"lid{k}_{key}" for k in range(lids) for key in _LID)]
    missing = [key for key in wanted if key not in data]
    if missing:
        more = f" and {len(missing) - _LISTED} more" if len(missing) > _LISTED else ""
        raise FormatError(f"{path}: a face model of fer3d lacks {', '.join(missing[:_LISTED])}{more}")
    if data[_MARK].shape != () or data[_MARK].dtype.kind not in "iu" or int(data[_MARK]) != _VERSION:
        raise FormatError(
            f"{path}: version {_VERSION} of a face model was wanted, this is {brief(data[_MARK].tolist())}"
        )
    try:
        return _model(data)
    except (ArgumentError, ValueError, TypeError, IndexError, OverflowError) as error:
        raise FormatError(f"{path}: not a face model: {error}") from error


def read_arrays(path: Path, wanted: str, keys: Collection[str] | None = None) -> dict[str, NDArray[Any]]:
    """Read the arrays of an .npz file, which must not unpack to far more than its size.

    Args:
        path: File to read.
        wanted: Start of the message about another content.
        keys: Names of the arrays to read. None: all.

    Raises:
        FileError: if the file cannot be opened.
        FormatError: if it is not an .npz file of plain arrays.
    """
    content = read_bytes(path)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as file:
            check_growth(sum(entry.file_size for entry in file.infolist()), len(content))
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            return {key: _array(key, arrays[key]) for key in arrays.files if keys is None or key in keys}
    except Exception as error:  # the decoders of damaged zip and npy data raise nearly everything
        reason = brief_line(str(error) or type(error).__name__)
        raise FormatError(f"{path}: {wanted}: {reason}") from error


def _array(key: str, value: Any) -> NDArray[Any]:
    """Return an array unchanged. NumPy reads an entry that is no .npy file as bytes; that raises FormatError."""
    if not isinstance(value, np.ndarray):
        raise FormatError(f"`{key}` should be an array, is no .npy data")
    return value


def _model(data: dict[str, NDArray[Any]]) -> FaceModel:
    """The model of these arrays. Raises ArgumentError, ValueError, TypeError or IndexError if they form none."""
    for key in ("neutral", "identity_modes", "expression_modes", "uv", "unit_weights"):
        if (
            data[key].dtype.kind != "f" or not (np.abs(data[key].astype(np.float64)) <= LARGEST).all()
        ):  # NaN is not either
            raise ArgumentError(f"`{key}` should hold numbers of at most {LARGEST:g}, holds others")
    for key in ("name", "expression_names", "landmark_names", "unit_names", "unit_modes", "lid_closed_by"):
        if data[key].dtype.kind != "U" or data[key].ndim != (key != "name"):
            raise ArgumentError(f"`{key}` should hold words, holds {data[key].dtype} of shape {data[key].shape}")
    units: dict[str, dict[str, float]] = {}
    table = (data["unit_names"].tolist(), data["unit_modes"].tolist(), data["unit_weights"].tolist())
    for unit, mode, weight in zip(*table, strict=True):
        units.setdefault(unit, {})[mode] = float(weight)
    names, rows = data["landmark_names"].tolist(), data["landmark_rows"].tolist()
    closed_by = data["lid_closed_by"].tolist()
    lids = tuple(_lid(data, f"lid{k}_", mode) for k, mode in enumerate(closed_by))
    for lid in lids:
        if lid.closed_by not in data["expression_names"]:
            raise ArgumentError(f"`lid_closed_by` should name a mode, names {lid.closed_by!r}")
        for key in ("upper", "lower"):
            check_index(key, getattr(lid, key), len(data["neutral"]))
    return FaceModel(
        name=str(data["name"]),
        neutral=data["neutral"],
        identity_modes=data["identity_modes"],
        expression_modes=data["expression_modes"],
        expression_names=tuple(data["expression_names"].tolist()),
        triangles=data["triangles"],
        part=data["part"],
        uv=data["uv"],
        landmarks={str(name): int(row) for name, row in zip(names, rows, strict=True)},
        action_units=units,
        lids=lids,
    )


def _lid(data: dict[str, NDArray[Any]], prefix: str, closed_by: str) -> Lid:
    upper, lower, share, slope = (data[prefix + key] for key in _LID)
    check_shape("upper", upper, ("R", "n"))
    check_shape("lower", lower, (upper.shape[1],))
    for name, array in (("upper", upper), ("lower", lower)):
        if array.dtype not in (np.int32, np.int64):
            raise ArgumentError(f"`{name}` should hold int32 or int64, holds {array.dtype}")
    for name, array in (("share", share), ("slope", slope)):
        check_dtype(name, array, np.float32)
        check_shape(name, array, upper.shape)
        if not (np.abs(array) <= LARGEST).all():
            raise ArgumentError(f"`{name}` should hold numbers of at most {LARGEST:g}, holds others")
    return Lid(upper, lower, share, slope, closed_by)


def fingerprint(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a model's file, or of the names and contents of the .obj and .json files in its folder.

    Raises:
        FileError: if a file cannot be read.
    """
    path = Path(path)
    if not path.is_dir():
        return hashlib.sha256(read_bytes(path)).hexdigest()
    digest = hashlib.sha256()
    for file in sorted(file for file in path.iterdir() if file.suffix in (".obj", ".json")):
        digest.update(file.name.encode() + read_bytes(file))
    return digest.hexdigest()
