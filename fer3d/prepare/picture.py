"""Prepare one picture: read it, detect the face and align it, for the store of a data set of pictures.

A picture in which no face is found fails, unless the setting `whole_picture` asks for the whole picture. Pictures that
are crops of faces, as the card of the data set or the setting `crops` says, are used as they are, only resized.

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
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fer3d import __version__
from fer3d.catalog.record_pictures import read_record_picture
from fer3d.config import OF_ALL, OF_PICTURES, PreprocessSettings
from fer3d.errors import CardError, Fer3dError, PrepareError
from fer3d.files import sha256
from fer3d.formats.pictures import Picture
from fer3d.image.align import EYES_APART, align, resized
from fer3d.image.detect import SMALLEST, Detection, FaceFinder
from fer3d.image.landmarks68 import eye_centres
from fer3d.prepare.scan import Stopwatch, portable, problems_of, record_facts, relative, source_of
from fer3d.prepare.store import PreparedScan

if TYPE_CHECKING:
    from fer3d.catalog.cards import Crops
    from fer3d.catalog.records import Record
    from fer3d.maps.render import Maps

PUPILS_MM = 63.0  # mean distance of the pupils of adults, to estimate the mm per pixel of a crop for augmentation
_WHOLE = "no face found: the whole picture was taken for one"
_HINT = "; --crops says that it is a crop of a face, --whole-picture takes the whole picture for a face"
_OF_CROPS = OF_ALL  # settings that affect crops
_OF_OTHERS = (*OF_ALL, *(name for name in OF_PICTURES if name != "crops"))  # settings that affect other pictures


@cache
def _finder(detectors: tuple[str, ...], whole_picture: bool) -> FaceFinder:
    """Load the detectors once per process."""
    return FaceFinder(detectors, whole_picture=whole_picture)


def pixel_of(size: int) -> float:
    """Estimate the width of a pixel on the face in mm, for a crop of `size` pixels."""
    return PUPILS_MM / (EYES_APART * size)


class _Face(NamedTuple):
    """The face in a picture, as it is stored.

    Attributes:
        pixels: (S, S, 3) uint8.
        mask: (S, S) uint8, 1 inside the picture.
        source: Who said where the face is: a detector, "data set", "picture" or "crop".
        steps: What was done, for the history.
        warnings: Doubts about the detection.
    """

    pixels: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    source: str
    steps: tuple[dict[str, Any], ...]
    warnings: tuple[str, ...] = ()


def picture_maps(picture: Picture, name: str, settings: PreprocessSettings) -> tuple[Maps, tuple[str, ...]]:
    """Read the face in a picture as the input of a network for textures, with warnings about its detection.

    Args:
        picture: The picture.
        name: Of the picture, for messages.
        settings: `size`, `crops`, `detectors` and `whole_picture` are used.

    Raises:
        PrepareError: if no face is found in it, or it is smaller than 16 pixels.
        MissingLibraryError: if no detector is installed.
    """
    from fer3d.maps.render import Maps

    face = _crop(picture.pixels, name, settings) if settings.crops else _found(picture.pixels, name, settings)
    maps = np.zeros((0, settings.size, settings.size), np.float32)
    return Maps((), maps, face.mask, face.pixels, pixel_of(settings.size)), face.warnings


def _crop(pixels: NDArray[np.uint8], name: str, settings: PreprocessSettings) -> _Face:
    """A picture that is a crop of a face: all of it, resized."""
    height, width = pixels.shape[:2]
    if min(height, width) < SMALLEST:
        raise PrepareError(f"{name}: wanted a crop of at least {SMALLEST} pixels a side, got {width} x {height}")
    stretched = (f"the crop of {width} x {height} pixels was stretched to a square",) if width != height else ()
    mask = np.ones((settings.size, settings.size), np.uint8)
    step = {"step": "resize", "from": [width, height]}
    return _Face(resized(pixels, settings.size), mask, "crop", (step,), stretched)


def _found(pixels: NDArray[np.uint8], name: str, settings: PreprocessSettings) -> _Face:
    """The face that a detector finds."""
    detection = _finder(settings.detectors, settings.whole_picture)(pixels)
    if detection.face is None:
        hint = _HINT if min(pixels.shape[:2]) >= SMALLEST else ""
        raise PrepareError(f"{name}: {detection.reason}{hint}")
    return _aligned(pixels, name, settings, detection.face.eyes, detection.record(), _doubts(detection))


def _aligned(
    pixels: NDArray[np.uint8],
    name: str,
    settings: PreprocessSettings,
    eyes: NDArray[np.float64],
    detected: Mapping[str, Any],
    warnings: tuple[str, ...] = (),
) -> _Face:
    """The face whose eyes are known."""
    try:
        face = align(pixels, eyes, settings.size)
    except PrepareError as error:
        raise PrepareError(f"{name}: {error}") from None
    steps = ({"step": "detect", **detected}, {"step": "align", "matrix": face.matrix.round(4).tolist()})
    return _Face(face.pixels, face.mask, detected["detector"], steps, warnings)


def _doubts(detection: Detection) -> tuple[str, ...]:
    """Return warnings about the detection of the face."""
    if detection.face is not None and detection.face.detector == "picture":
        return (_WHOLE,)
    if len(detection.faces) > 1:
        return (f"{len(detection.faces)} faces: the largest and most central one counts",)
    return ()


def prepare_picture(
    record: Record,
    settings: PreprocessSettings,
    folder: Path,
    people: bool,
    stopwatch: Stopwatch | None = None,
    *,
    crops: Crops | bool = False,
) -> PreparedScan:
    """Prepare one picture as `preprocess` does, without writing it.

    Args:
        record: A record of the catalogue. Its landmarks (attribute `eyes`, companion `points_68`) replace the detection
            of the face.
        settings: `size`, `crops`, `detectors` and `whole_picture` are used.
        folder: The folder of pictures; paths in the header are relative to it.
        people: Whether the data set names its subjects.
        stopwatch: Collects the seconds of each stage.
        crops: Which pictures are crops of faces, as the card of the data set says. Landmarks of the data set and
            `settings.crops` override it.

    Raises:
        CardError: if the identity or label of the record is uncertain.
        FileError, FormatError: if the picture cannot be read.
        PrepareError: if no face is found in it, or it is a crop of less than 16 pixels.
        MissingLibraryError: if no detector is installed and the data set has no landmarks.
    """
    watch = stopwatch or Stopwatch()
    if record.error is not None:
        raise CardError(f"{record.relative}: {record.error}")
    path = record.files["scan"]
    with watch.stage("read"):
        picture = read_record_picture(path, record.attributes)
    with watch.stage("face"):
        face = _face_of(record, picture.pixels, settings, crops)
    history: list[dict[str, Any]] = [{"step": "read", "file": path.name, **picture.history}, *face.steps]
    with watch.stage("pack"):
        inputs = {"scan": {"file": relative(path, folder), "sha256": _hash(record, picture)}}
        row = record_facts(record) | {
            "status": "ok",
            "reason": None,
            "source": source_of(path, folder) + (f"#{record.attributes['entry']}" if _is_entry(record) else ""),
            "file": f"scans/{record.id}.safetensors",
            "prefix": "",
            "unit": "pixel",
            "vertices": 0,
            "faces": 0,
            "measured": round(float(face.mask.mean()), 6),
            "pose_source": face.source,
            "landmark_names": [],
            "landmarks": [],
            "warnings": [portable(text, folder) for text in (*record.problems, *face.warnings)],
            "history": json.dumps(history, sort_keys=True),
            "key": _key(record, settings, crops, inputs),
        }
        header = {
            "row": row,
            "inputs": inputs,
            "problems": problems_of(record, folder),
            "channels": [],
            "pixel_mm": pixel_of(settings.size),
            "kind": "pictures",
            "people": people,
            "fer3d": __version__,
            "settings": settings.model_dump(mode="json"),
        }
        maps = np.zeros((0, settings.size, settings.size), np.float16)
        return PreparedScan({"maps": maps, "mask": face.mask, "texture": face.pixels}, header)


def _face_of(record: Record, pixels: NDArray[np.uint8], settings: PreprocessSettings, crops: Crops | bool) -> _Face:
    """The face of a record: where the data set's landmarks say, or the picture itself, or where a detector says."""
    name = _name(record)
    if settings.crops:
        return _crop(pixels, name, settings)
    eyes, detected, problem = _eyes_of(record)
    if eyes is not None:
        return _aligned(pixels, name, settings, eyes, detected)
    by_card = crops if isinstance(crops, bool) else crops.hold(record.attributes, pixels.shape)
    face = (_crop if by_card and settings.crops is None else _found)(pixels, name, settings)
    return face._replace(warnings=(problem, *face.warnings)) if problem else face


def picture_is_current(
    header: Mapping[str, Any],
    record: Record,
    settings: PreprocessSettings,
    folder: Path,
    *,
    crops: Crops | bool = False,
) -> bool:
    """Whether preparing `record` again would write the same picture as the one on disk."""
    if header.get("fer3d") != __version__ or record.error is not None:
        return False
    problems = problems_of(record, folder)
    if header.get("problems", problems) != problems:  # headers of earlier versions do not hold them
        return False
    try:
        inputs = {"scan": {"file": relative(record.files["scan"], folder), "sha256": _hash(record)}}
    except Fer3dError:
        return False
    return bool(header.get("row", {}).get("key") == _key(record, settings, crops, inputs))


def _key(record: Record, settings: PreprocessSettings, crops: Crops | bool, inputs: Mapping[str, Any]) -> str:
    """Hash everything that the bytes of a prepared picture depend on, except the installed detectors."""
    chosen = crops if settings.crops is None else settings.crops
    names = _OF_CROPS if settings.crops else _OF_OTHERS
    used = {name: value for name, value in settings.model_dump(mode="json").items() if name in names}
    used["crops"] = chosen if isinstance(chosen, bool) else chosen.model_dump(mode="json")
    given = record.files.get("points_68")
    recipe = {
        "record": record_facts(record),
        "inputs": inputs,
        "landmarks": sha256(given) if given is not None and given.is_file() else None,
        "settings": used,
        "fer3d": __version__,
    }
    return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()


def _hash(record: Record, picture: Picture | None = None) -> str:
    """Hash the file; for an entry of a file, its pixels, as hashing 300 MB for each of 35,887 pictures is too slow."""
    path = record.files["scan"]
    if not _is_entry(record):
        return sha256(path)
    picture = picture or read_record_picture(path, record.attributes)
    return hashlib.sha256(picture.pixels.tobytes()).hexdigest()


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
