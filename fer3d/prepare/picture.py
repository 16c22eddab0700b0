"""Prepare one picture: read it, detect the face and align it, for the store of a data set of pictures.

The face becomes `texture`, so that a network trains on it with `--maps texture` as on the texture of a scan. There
are no other maps. The history of the manifest row records the detector that found the face and the results of the
others.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fer3d import __version__
from fer3d.catalog.record_pictures import read_record_picture
from fer3d.config import PreprocessSettings
from fer3d.errors import CardError, Fer3dError, PrepareError
from fer3d.files import sha256
from fer3d.formats.pictures import read_picture
from fer3d.image.align import EYES_APART, align
from fer3d.image.detect import Detection, FaceFinder
from fer3d.image.landmarks68 import eye_centres
from fer3d.prepare.scan import Stopwatch, portable, record_facts, relative
from fer3d.prepare.store import PreparedScan

if TYPE_CHECKING:
    from fer3d.catalog.records import Record
    from fer3d.maps.render import Maps

PUPILS_MM = 63.0  # mean distance of the pupils of adults, to estimate the mm per pixel of a crop for augmentation
_WHOLE = "no face found: the whole picture was taken for one"
_USED = ("size", "detectors", "whole_picture")  # settings that affect pictures


@cache
def _finder(detectors: tuple[str, ...], whole_picture: bool) -> FaceFinder:
    """Load the detectors once per process."""
    return FaceFinder(detectors, whole_picture=whole_picture)


def pixel_of(size: int) -> float:
    """Estimate the width of a pixel on the face in mm, for a crop of `size` pixels."""
    return PUPILS_MM / (EYES_APART * size)


def picture_maps(path: Path, settings: PreprocessSettings) -> tuple[Maps, tuple[str, ...]]:
    """Read the face in a picture file as the input of a network for textures, with warnings about its detection.

    Args:
        path: The picture file.
        settings: `size`, `detectors` and `whole_picture` are used.

    Raises:
        FileError, FormatError: if the picture cannot be read.
        PrepareError: if no face is found in it.
        MissingLibraryError: if no detector is installed.
    """
    from fer3d.maps.render import Maps

    picture = read_picture(path)
    detection = _finder(settings.detectors, settings.whole_picture)(picture.pixels)
    if detection.face is None:
        raise PrepareError(f"{path}: {detection.reason}")
    face = align(picture.pixels, detection.face.eyes, settings.size)
    maps = np.zeros((0, settings.size, settings.size), np.float32)
    return Maps((), maps, face.mask, face.pixels, pixel_of(settings.size)), _doubts(detection)


def _doubts(detection: Detection) -> tuple[str, ...]:
    """Return warnings about the detection of the face."""
    if detection.face is not None and detection.face.detector == "picture":
        return (_WHOLE,)
    if len(detection.faces) > 1:
        return (f"{len(detection.faces)} faces: the largest and most central one counts",)
    return ()


def prepare_picture(
    record: Record, settings: PreprocessSettings, folder: Path, people: bool, stopwatch: Stopwatch | None = None
) -> PreparedScan:
    """Prepare one picture as `preprocess` does, without writing it.

    Args:
        record: A record of the catalogue. Its landmarks (attribute `eyes`, companion `points_68`) replace the detection
            of the face.
        settings: `size`, `detectors` and `whole_picture` are used.
        folder: The folder of pictures; paths in the header are relative to it.
        people: Whether the data set names its subjects.
        stopwatch: Collects the seconds of each stage.

    Raises:
        CardError: if the identity or label of the record is uncertain.
        FileError, FormatError: if the picture cannot be read.
        PrepareError: if no face is found in it.
        MissingLibraryError: if no detector is installed and the data set has no landmarks.
    """
    watch = stopwatch or Stopwatch()
    if record.error is not None:
        raise CardError(f"{record.relative}: {record.error}")
    path = record.files["scan"]
    with watch.stage("read"):
        picture = read_record_picture(path, record.attributes)
    history: list[dict[str, Any]] = [{"step": "read", "file": path.name, **picture.history}]
    warnings = list(record.problems)
    with watch.stage("find"):
        eyes, detected, problem = _eyes_of(record)
        warnings += [problem] if problem else []
        if eyes is None:
            detection = _finder(settings.detectors, settings.whole_picture)(picture.pixels)
            detected = detection.record()
            if detection.face is None:
                raise PrepareError(f"{_name(record)}: {detection.reason}")
            eyes = detection.face.eyes
            warnings += _doubts(detection)
    with watch.stage("align"):
        try:
            face = align(picture.pixels, eyes, settings.size)
        except PrepareError as error:
            raise PrepareError(f"{_name(record)}: {error}") from None
    history += [{"step": "detect", **detected}, {"step": "align", "matrix": face.matrix.round(4).tolist()}]
    with watch.stage("pack"):
        inputs = {"scan": {"file": relative(path, folder), "sha256": _hash(record)}}
        row = record_facts(record) | {
            "status": "ok",
            "reason": None,
            "source": relative(path, folder) + (f"#{record.attributes['entry']}" if _is_entry(record) else ""),
            "file": f"scans/{record.id}.safetensors",
            "prefix": "",
            "unit": "pixel",
            "vertices": 0,
            "faces": 0,
            "measured": round(float(face.mask.mean()), 6),
            "pose_source": detected["detector"],
            "landmark_names": [],
            "landmarks": [],
            "warnings": [portable(text, folder) for text in warnings],
            "history": json.dumps(history, sort_keys=True),
            "key": _key(record, settings, inputs),
        }
        header = {
            "row": row,
            "inputs": inputs,
            "channels": [],
            "pixel_mm": pixel_of(settings.size),
            "kind": "pictures",
            "people": people,
            "fer3d": __version__,
            "settings": settings.model_dump(mode="json"),
        }
        maps = np.zeros((0, settings.size, settings.size), np.float16)
        return PreparedScan({"maps": maps, "mask": face.mask, "texture": face.pixels}, header)


def picture_is_current(header: Mapping[str, Any], record: Record, settings: PreprocessSettings, folder: Path) -> bool:
    """Whether preparing `record` again would write the same picture as the one on disk."""
    if header.get("fer3d") != __version__ or record.error is not None:
        return False
    try:
        inputs = {"scan": {"file": relative(record.files["scan"], folder), "sha256": _hash(record)}}
    except Fer3dError:
        return False
    return bool(header.get("row", {}).get("key") == _key(record, settings, inputs))


def _key(record: Record, settings: PreprocessSettings, inputs: Mapping[str, Any]) -> str:
    """Hash everything that the bytes of a prepared picture depend on, except the installed detectors."""
    used = {name: value for name, value in settings.model_dump(mode="json").items() if name in _USED}
    given = record.files.get("points_68")
    recipe = {
        "record": record_facts(record),
        "inputs": inputs,
        "landmarks": sha256(given) if given is not None and given.is_file() else None,
        "settings": used,
        "fer3d": __version__,
    }
    return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()


def _hash(record: Record) -> str:
    """Hash the file; for an entry of a file, its pixels, as hashing 300 MB for each of 35,887 pictures is too slow."""
    path = record.files["scan"]
    if not _is_entry(record):
        return sha256(path)
    return hashlib.sha256(read_record_picture(path, record.attributes).pixels.tobytes()).hexdigest()


def _is_entry(record: Record) -> bool:
    return "entry" in record.attributes


def _name(record: Record) -> str:
    return str(record.files["scan"]) + (f"#{record.attributes['entry']}" if _is_entry(record) else "")


def _eyes_of(record: Record) -> tuple[NDArray[np.float64] | None, dict[str, Any], str]:
    """Return the eyes from the landmarks of the data set (or None), the history record, and a warning (or "")."""
    try:
        if "eyes" in record.attributes:
            eyes = np.array([float(word) for word in record.attributes["eyes"].split()]).reshape(2, 2)
            return eyes, {"detector": "data set", "landmarks": "data set"}, ""
        path = record.files.get("points_68")
        if path is not None and path.suffix in (".txt", ".npy"):
            points = np.loadtxt(path) if path.suffix == ".txt" else np.load(path, allow_pickle=False)
            eyes = eye_centres(np.asarray(points, float).reshape(68, 2))
            apart = float(np.linalg.norm(eyes[1] - eyes[0]))
            if not apart > 1.0:
                raise ValueError(f"eyes {apart:.3g} pixels apart")
            return eyes, {"detector": "data set", "landmarks": path.name}, ""
    except (OSError, ValueError, EOFError, TypeError, MemoryError) as error:
        return None, {}, f"landmarks of the data set not used: {' '.join(str(error).split())[:100]}"
    return None, {}, ""
