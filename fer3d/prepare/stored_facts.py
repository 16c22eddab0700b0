"""What a prepared folder must hold to be used: checks of manifest rows, of scan headers, and of stored arrays.

Files may be damaged, edited, or written by another program. Each check names the file and the remedy.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, NotRequired

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field
from typing_extensions import TypedDict

from fer3d.errors import FormatError
from fer3d.files import brief, checked, parse_json
from fer3d.prepare.integrity import AGAIN

_OPEN = ConfigDict(extra="allow")  # earlier and later versions have more keys
_Number = Annotated[float, Field(ge=-1e15, le=1e15)]
_Texts = list[str] | None
_Numbers = list[_Number | None] | None

Array = NDArray[Any]


class ManifestRow(TypedDict):
    """A manifest row in the header of a scan: `fer3d.prepare.store.manifest_schema` as JSON."""

    __pydantic_config__ = _OPEN  # type: ignore[misc]

    id: str
    status: str
    reason: NotRequired[str | None]
    dataset: NotRequired[str | None]
    subject: NotRequired[str | None]
    expression: NotRequired[str | None]
    intensity: NotRequired[Annotated[int, Field(ge=-(2**31), lt=2**31)] | None]
    sequence: NotRequired[str | None]
    frame: NotRequired[Annotated[int, Field(ge=-(2**31), lt=2**31)] | None]
    action_units: NotRequired[_Texts]
    pose: NotRequired[list[float] | None]  # NaN: the data set does not say
    occlusion: NotRequired[str | None]
    attributes: NotRequired[str | None]
    source: NotRequired[str | None]
    file: NotRequired[str | None]
    prefix: NotRequired[str | None]
    unit: NotRequired[str | None]
    vertices: NotRequired[Annotated[int, Field(ge=0, lt=2**31)] | None]
    faces: NotRequired[Annotated[int, Field(ge=0, lt=2**31)] | None]
    measured: NotRequired[_Number | None]
    pose_source: NotRequired[str | None]
    landmark_names: NotRequired[_Texts]
    landmarks: NotRequired[_Numbers]
    nose: NotRequired[_Numbers]
    placement: NotRequired[_Numbers]
    warnings: NotRequired[_Texts]
    history: NotRequired[str | None]
    key: NotRequired[str | None]
    compound: NotRequired[str | None]
    valence: NotRequired[_Number | None]
    arousal: NotRequired[_Number | None]
    absent_units: NotRequired[_Texts]


class TreeFacts(TypedDict):
    """The facts of a sample tree in the header of a scan, see `SampleTree.facts`."""

    __pydantic_config__ = _OPEN  # type: ignore[misc]

    sizes: Annotated[list[Annotated[int, Field(gt=0, lt=2**31)]], Field(min_length=2)]
    radii_mm: list[list[_Number]]
    rings: list[_Number]
    cover_mm: list[_Number]
    landmarks: NotRequired[bool]


class InputFile(TypedDict):
    """A file that a scan was read from."""

    __pydantic_config__ = _OPEN  # type: ignore[misc]

    file: str
    sha256: str


class ScanHeader(TypedDict):
    """The header of a prepared scan."""

    __pydantic_config__ = _OPEN  # type: ignore[misc]

    row: ManifestRow
    channels: list[str]
    pixel_mm: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    settings: dict[str, Any]
    inputs: NotRequired[dict[str, InputFile]]
    textured: NotRequired[bool]
    fer3d: NotRequired[str]
    tree: NotRequired[TreeFacts | None]
    people: NotRequired[bool]
    kind: NotRequired[str]
    steps: NotRequired[int]


class PrepareFacts(TypedDict):
    """The content of prepare.json that later steps read."""

    __pydantic_config__ = _OPEN  # type: ignore[misc]

    dataset: NotRequired[str]
    simulated: NotRequired[bool]


# Name of a stored array -> its dtype and its shape; the letters are sizes that a scan chooses.
_ARRAYS: Mapping[str, tuple[Any, tuple[str | int, ...]]] = {
    "maps": (np.float16, ("C", "H", "W")),
    "mask": (np.uint8, ("H", "W")),
    "texture": (np.uint8, ("H", "W", 3)),
    "vertices": (np.float32, ("V", 3)),
    "faces": (np.int32, ("F", 3)),
    "coloured": (np.uint8, ("H", "W")),
}
STORED_ARRAYS = tuple(_ARRAYS)


def check_rows(rows: Iterable[Mapping[str, Any]], path: Path) -> None:
    """Raise FormatError unless every manifest row is one that `fer3d preprocess` could have written."""
    for row in rows:
        name = brief(row["id"])
        if row["status"] not in ("ok", "failed"):
            raise _fault(path, f"the status of {name} should be ok or failed, is {brief(row['status'])}")
        for key in ("file", "prefix") if row["status"] == "ok" else ():
            if row[key] is None:
                raise _fault(path, f"the {key} of {name} is missing")
        _check_file(row, path)
        _check_attributes(row, path)
        if row["pose"] is not None and (len(row["pose"]) != 3 or None in row["pose"]):
            raise _fault(path, f"the pose of {name} should be 3 angles, is {brief(row['pose'])}")
        marks, names = row["landmarks"] or [], row["landmark_names"] or []
        if len(marks) != 3 * len(names) or None in marks or None in names:
            raise _fault(path, f"the landmarks of {name} should be x, y, z of {len(names)}, are {len(marks)} numbers")
        for key in ("action_units", "absent_units", "warnings"):
            if None in (row.get(key) or ()):
                raise _fault(path, f"the {key} of {name} should be texts, one is missing")


def _check_file(row: Mapping[str, Any], path: Path) -> None:
    """The file of a scan lies in the prepared folder: a manifest must not lead out of it."""
    name = row["file"]
    if name is None:
        return
    place = PurePosixPath(name)
    if not name or "\0" in name or "\\" in name or place.is_absolute() or ".." in place.parts:
        raise _fault(path, f"the file of {brief(row['id'])} should lie in the prepared folder, is {brief(name)}")


def _check_attributes(row: Mapping[str, Any], path: Path) -> None:
    """The attributes are a JSON object of plain values."""
    if not row["attributes"]:
        return
    where = f"{path}: attributes of {brief(row['id'])}"
    values = parse_json(row["attributes"], where, AGAIN)
    if not isinstance(values, dict) or any(isinstance(value, (dict, list)) for value in values.values()):
        raise FormatError(f"{where}: should be a table of plain values, are {brief(values)}; {AGAIN}")
    if not isinstance(values.get("folds", ""), str):
        raise _fault(path, f"the attribute folds of {brief(row['id'])} should be a text, is {brief(values['folds'])}")


def check_header(content: Any, where: str) -> None:
    """Raise FormatError unless `content` is the header of one prepared scan."""
    checked(content, ScanHeader, where, AGAIN)


def check_arrays(arrays: Mapping[str, tuple[Any, tuple[int, ...]]], channels: Sequence[str], where: str | Path) -> None:
    """Raise FormatError unless the arrays of a scan have the dtypes and the shapes of the store.

    Args:
        arrays: Name without prefix -> dtype and shape. Names that the store does not know are skipped.
        channels: Names of the maps.
        where: The file, for the message.
    """
    for name in ("maps", "mask"):
        if name not in arrays:
            raise _fault(where, f"lacks the array {name}")
    sizes: dict[str | int, int] = {"C": len(channels)}
    for name, (wanted, shape) in _ARRAYS.items():
        if name not in arrays:
            continue
        dtype, came = arrays[name]
        fits = len(came) == len(shape) and all(
            (size if isinstance(size, int) else sizes.setdefault(size, number)) == number
            for size, number in zip(shape, came, strict=True)
        )
        if dtype != wanted or not fits:
            letters = ", ".join(str(sizes.get(size, size)) for size in shape)
            raise _fault(where, f"{name} should be {np.dtype(wanted)} of shape ({letters}), is {dtype} of shape {came}")


def _fault(where: str | Path, text: str) -> FormatError:
    return FormatError(f"{where}: {text}; {AGAIN}")
