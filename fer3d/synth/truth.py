"""`truth.json`, beside the scans in the root of a simulated data set: what no real data set can say.

One object: `recipe` (all settings of `fer3d.synth.make` that the scans depend on), `complete` (false while the scans
are being made) and `scans`, one object a scan file:

| key | |
| --- | --- |
| file | path of the scan relative to the root, with / |
| subject, expression, level, frame | level 0 and null where there is none |
| action_units | unit without side -> intensity of the stronger side, 0 to 1.3 |
| modes | mode of the face model -> weight |
| pose | (4, 4): from the face model's frame to the file's |
| yaw, pitch, roll | radians, see `fer3d.synth.camera` |
| nose_tip | (3,): mm, in the file's frame |
| landmarks | name -> (3,): where it truly is in the file's frame, exact point of the model's surface, also if hidden |
| measured | names of the landmarks that the scan holds surface at |

The landmark files of the data set's own format hold vertices of the scan, as in the real one: off by up to a pitch.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer3d.errors import FileError, FormatError
from fer3d.formats.files import read_bytes, write_bytes

FILE = "truth.json"
_DIGITS = 6  # of a millimetre or radian: a nanometre


@dataclass(frozen=True, slots=True, eq=False)
class ScanTruth:
    """The truth about one scan. Attributes are the keys of the module's table; arrays are float64."""

    file: str
    subject: str
    expression: str | None
    level: int
    frame: int | None
    action_units: Mapping[str, float]
    modes: Mapping[str, float]
    pose: NDArray[np.float64]
    yaw: float
    pitch: float
    roll: float
    nose_tip: NDArray[np.float64]
    landmarks: Mapping[str, NDArray[np.float64]]
    measured: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """A whole `truth.json`: the recipe, whether the run ended, and the scans by file."""

    recipe: Mapping[str, Any]
    complete: bool
    scans: Mapping[str, ScanTruth]


def write_truth(folder: Path, recipe: Mapping[str, Any], scans: Sequence[ScanTruth] | None) -> None:
    """Write `truth.json` into a folder, whole or not at all. `scans` None: the run has only begun.

    Raises:
        FileError: if it cannot be written.
    """
    head = {"made_by": "fer3d.synth", "recipe": recipe, "complete": scans is not None}
    lines = [json.dumps(_plain(scan), separators=(",", ":")) for scan in scans or ()]
    text = json.dumps(head, indent=1)[:-2] + ',\n "scans": [\n' + ",\n".join(lines) + "\n ]\n}\n"
    write_bytes(folder / FILE, text.encode())


def read_truth(folder: str | os.PathLike[str]) -> Truth:
    """Read the truth about a simulated data set.

    Args:
        folder: Its root, or the `truth.json` in it.

    Raises:
        FileError: if there is none.
        FormatError: if it is not one that `fer3d.synth` wrote.
    """
    path = Path(folder)
    path = path / FILE if path.is_dir() else path
    if not path.exists():
        raise FileError(f"{path}: is not there: a folder that fer3d.synth.make wrote was wanted")
    try:
        data = json.loads(read_bytes(path))
        if data["made_by"] != "fer3d.synth":
            raise FormatError(f"{path}: `made_by` should be fer3d.synth, is {data['made_by']!r}")
        scans = [_record(scan) for scan in data["scans"]]
        return Truth(data["recipe"], bool(data["complete"]), {scan.file: scan for scan in scans})
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, FormatError):
            raise
        raise FormatError(f"{path}: not the truth file of a simulation: {error!r}") from error


def _plain(scan: ScanTruth) -> dict[str, Any]:
    def rounded(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            return np.round(value, _DIGITS).tolist()
        if isinstance(value, float):
            return round(value, _DIGITS)
        return {key: rounded(item) for key, item in value.items()} if isinstance(value, Mapping) else value

    return {key: rounded(getattr(scan, key)) for key in ScanTruth.__slots__}


def _record(data: Mapping[str, Any]) -> ScanTruth:
    values = {key: data[key] for key in ScanTruth.__slots__}
    for key in ("pose", "nose_tip"):
        values[key] = np.array(values[key], dtype=np.float64)
    values["landmarks"] = {name: np.array(point, dtype=np.float64) for name, point in values["landmarks"].items()}
    values["measured"] = tuple(values["measured"])
    return ScanTruth(**values)
