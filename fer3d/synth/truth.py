"""`truth.parquet` in the root of a simulated data set: the exact ground truth of its scans.

The file has one row for each scan file. The metadata of its schema hold the key `fer3d.synth`, a JSON object: `recipe`,
all settings of `fer3d.synth.make` that the scans depend on; `complete`, false while the simulation runs; `landmarks`
and `patches`, the names of the entries of the list columns.

| column | content |
| --- | --- |
| file | path of the scan relative to the root, with / as separator |
| subject, expression, level, frame, phase | null where there is none (level: 0); the phase is that of a sequence |
| occluder | code of `fer3d.synth.looks.occluders`, or null |
| action_units | unit -> intensity, 0 to 1.3, of the units that are shown |
| units | unit with side -> weight, of all units |
| pose | 16 numbers: (4, 4) matrix from the face model's to the file's frame, row by row |
| yaw, pitch, roll | radians, see `fer3d.synth.optics.scene` |
| landmarks | L x 3: exact positions on the model's surface in the file's frame, also of hidden landmarks |
| visibility | L: 0 visible, 1 hidden by the face itself, 2 hidden by an occluder |
| measured | L: whether the scan has surface there |
| patches | P: visible share of each patch, see `fer3d.synth.optics.visibility` |

The landmark files in the format of the data set hold vertices of the scan, as real ones do, with errors of up to one
pitch.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from typing_extensions import TypedDict

from fer3d.catalog.folder_listing import TRUTH_FILE
from fer3d.errors import FileError, FormatError
from fer3d.files import brief_line, checked, clear_leftovers, parse_json, read_bytes, read_table, written_at_once
from fer3d.synth.optics.visibility import BY_OCCLUDER, BY_SELF, PATCHES, VISIBLE

_KEY = b"fer3d.synth"
_AGAIN = "simulate the data set again"
_STATES = (VISIBLE, BY_SELF, BY_OCCLUDER)
_CODES = range(len(_STATES))
_WEIGHTS = pa.map_(pa.string(), pa.float32())
_COLUMNS = [
    ("file", pa.string()),
    ("subject", pa.string()),
    ("expression", pa.string()),
    ("level", pa.int32()),
    ("frame", pa.int32()),
    ("phase", pa.string()),
    ("occluder", pa.string()),
    ("action_units", _WEIGHTS),
    ("units", _WEIGHTS),
    ("pose", pa.list_(pa.float64())),
    ("yaw", pa.float64()),
    ("pitch", pa.float64()),
    ("roll", pa.float64()),
    ("landmarks", pa.list_(pa.float64())),
    ("visibility", pa.list_(pa.int8())),
    ("measured", pa.list_(pa.bool_())),
    ("patches", pa.list_(pa.float32())),
]


class _Head(TypedDict):
    """The JSON object in the metadata."""

    recipe: dict[str, Any]
    complete: bool
    landmarks: list[str]
    patches: list[str]


@dataclass(frozen=True, slots=True, eq=False)
class ScanTruth:
    """The ground truth of one scan; see the table in the module's docstring for all columns.

    Attributes:
        pose: (4, 4) float64.
        landmarks: Name -> (3,) float64.
        visibility: Name -> "visible", "hidden_by_self" or "hidden_by_occluder".
        measured: Names of the landmarks at which the scan has surface.
        patches: Name -> visible share in [0, 1].
    """

    file: str
    subject: str
    expression: str | None
    level: int
    frame: int | None
    phase: str | None
    occluder: str | None
    action_units: Mapping[str, float]
    units: Mapping[str, float]
    pose: NDArray[np.float64]
    yaw: float
    pitch: float
    roll: float
    landmarks: Mapping[str, NDArray[np.float64]]
    visibility: Mapping[str, str]
    measured: tuple[str, ...]
    patches: Mapping[str, float]

    @property
    def nose_tip(self) -> NDArray[np.float64]:
        """(3,) float64, mm: the true nose tip in the file's frame."""
        return self.landmarks["pronasale"]


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """The content of `truth.parquet`: the recipe, whether the simulation is complete, and the scans by file."""

    recipe: Mapping[str, Any]
    complete: bool
    scans: Mapping[str, ScanTruth]


class TruthWriter:
    """Writes `truth.parquet` in groups of rows during the simulation; use it as a context manager.

    At the start it writes a file without rows, which holds the recipe and `complete` = false. The complete file
    replaces it at the end; after an exception the file without rows remains.

    Args:
        folder: Root of the data set.
        recipe: The settings of the simulation, see the module's docstring.
        landmarks: Names of the landmarks of every scan, in the order of the list columns.
    """

    def __init__(self, folder: Path, recipe: Mapping[str, Any], landmarks: tuple[str, ...]) -> None:
        self._path, self._landmarks = folder / TRUTH_FILE, landmarks
        head = {"recipe": recipe, "landmarks": list(landmarks), "patches": list(PATCHES)}
        self._schema = _schema(head | {"complete": True})
        clear_leftovers(folder, deep=False)
        with written_at_once(self._path) as part:
            pq.write_table(_schema(head | {"complete": False}).empty_table(), part)
        self._open = ExitStack()
        part = self._open.enter_context(written_at_once(self._path))
        self._writer = self._open.enter_context(pq.ParquetWriter(part, self._schema, compression="zstd"))

    def write(self, scans: list[ScanTruth]) -> None:
        """Append the truth of scans as rows."""
        columns = {name: [self._plain(scan, name) for scan in scans] for name in self._schema.names}
        self._writer.write_table(pa.table(columns, schema=self._schema))

    def _plain(self, scan: ScanTruth, column: str) -> Any:
        value = getattr(scan, column)
        if column in ("action_units", "units"):
            return list(value.items())
        if column == "pose":
            return value.ravel()
        if column == "landmarks":
            return np.concatenate([value[name] for name in self._landmarks])
        if column == "visibility":
            return [_STATES.index(value[name]) for name in self._landmarks]
        if column == "measured":
            return [name in value for name in self._landmarks]
        if column == "patches":
            return [value[name] for name in PATCHES]
        return value

    def __enter__(self) -> TruthWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.__exit__(kind, error, trace)


def _schema(head: Mapping[str, Any]) -> pa.Schema:
    return pa.schema(_COLUMNS, metadata={_KEY: json.dumps(head, sort_keys=True).encode()})


def read_recipe(folder: str | os.PathLike[str]) -> tuple[dict[str, Any], bool]:
    """The recipe of a simulated data set, and whether the simulation is complete.

    Raises:
        FileError, FormatError: as `read_truth`.
    """
    head = _head(_path(folder))
    return head["recipe"], bool(head["complete"])


def read_truth(folder: str | os.PathLike[str]) -> Truth:
    """Read the ground truth of a simulated data set.

    Args:
        folder: Root of the data set, or the `truth.parquet` in it.

    Raises:
        FileError: if there is no such file.
        FormatError: if `fer3d.synth` did not write the file.
    """
    path = _path(folder)
    head = _head(path)
    try:
        table = read_table(path, pa.schema(_COLUMNS), _AGAIN, required=("file", "subject", "pose", "landmarks"))
        scans = [_record(row, head) for row in table.to_pylist()]
    except FormatError:
        raise
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise FormatError(f"{path}: not the truth file of a simulation: {brief_line(repr(error))}; {_AGAIN}") from error
    return Truth(head["recipe"], bool(head["complete"]), {scan.file: scan for scan in scans})


def _path(folder: str | os.PathLike[str]) -> Path:
    path = Path(folder)
    path = path / TRUTH_FILE if path.is_dir() else path
    if not path.exists():
        raise FileError(f"{path}: is not there: a folder that fer3d.synth.make wrote was wanted")
    return path


def _head(path: Path) -> dict[str, Any]:
    content = read_bytes(path)
    try:
        metadata = pq.read_schema(pa.BufferReader(content)).metadata or {}
    except Exception as error:  # the decoders of damaged files raise nearly everything
        raise FormatError(f"{path}: not the truth file of a simulation: {brief_line(str(error))}; {_AGAIN}") from None
    if _KEY not in metadata:
        raise FormatError(f"{path}: not the truth file of a simulation: no {_KEY.decode()} in its metadata; {_AGAIN}")
    where = f"{path}: not the truth file of a simulation"
    head: dict[str, Any] = checked(parse_json(metadata[_KEY], where, _AGAIN), _Head, where, _AGAIN)
    return head


def _record(row: Mapping[str, Any], head: Mapping[str, Any]) -> ScanTruth:
    names = head["landmarks"]
    values = dict(row)
    values["action_units"], values["units"] = dict(row["action_units"]), dict(row["units"])
    values["pose"] = np.array(row["pose"], np.float64).reshape(4, 4)
    points = np.array(row["landmarks"], np.float64).reshape(len(names), 3)
    values["landmarks"] = dict(zip(names, points, strict=True))
    values["visibility"] = {
        name: _STATES[_CODES.index(code)] for name, code in zip(names, row["visibility"], strict=True)
    }
    values["measured"] = tuple(name for name, there in zip(names, row["measured"], strict=True) if there)
    values["patches"] = dict(zip(head["patches"], row["patches"], strict=True))
    return ScanTruth(**values)
