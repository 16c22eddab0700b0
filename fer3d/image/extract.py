"""Extract aligned face crops from pictures: the work of `fer3d faces`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fer3d.errors import Fer3dError, FileError, internal_error, without_path
from fer3d.files import csv_text
from fer3d.formats import textures
from fer3d.formats.pictures import read_picture
from fer3d.image.align import SIZE, align
from fer3d.image.detect import SMALLEST, Detection, Face, FaceFinder

_WHOLE = "; --whole-picture takes the whole picture for a face"

COLUMNS = (
    "file",
    "status",
    "crop",
    "detector",
    "score",
    "faces",
    "landmarks_from",
    "left",
    "top",
    "right",
    "bottom",
    "right_eye_x",
    "right_eye_y",
    "left_eye_x",
    "left_eye_y",
    "reason",
)


@dataclass(frozen=True)
class FaceRow:
    """One face of a picture, or the reason why there is none.

    Attributes:
        path: The picture.
        crop: The file written, or None.
        face: The face, or None.
        detection: The attempts of all detectors; None if the picture could not be read.
        reason: Why there is no crop, or "".
    """

    path: Path
    crop: Path | None
    face: Face | None
    detection: Detection | None
    reason: str = ""

    def to_json(self) -> dict[str, Any]:
        """All fields, landmarks and attempts included, as JSON types; the keys of `COLUMNS` that apply."""
        row: dict[str, Any] = {"file": str(self.path), "status": "failed" if self.crop is None else "ok"}
        if self.face is not None:
            face = self.face
            box = (round(float(x), 2) for x in face.box)
            eyes = (round(float(x), 2) for x in face.eyes.ravel())
            row |= {"crop": str(self.crop), "detector": face.detector, "score": round(face.score, 4)}
            row |= {"landmarks_from": face.landmarks_from, **dict(zip(COLUMNS[7:15], (*box, *eyes), strict=True))}
            row["landmarks"] = face.landmarks.round(2).tolist()
        if self.detection is not None:
            record = self.detection.record()
            row |= {"faces": record["faces"], "attempts": record["attempts"]}
        return row | ({"reason": self.reason} if self.reason else {})


def extract_faces(
    paths: Iterable[Path], out: Path, finder: FaceFinder, *, size: int = SIZE, every: bool = False
) -> Iterator[FaceRow]:
    """Crop the faces of each picture. A picture that fails yields a row with the reason.

    Args:
        paths: Pictures.
        out: Folder for the crops, `<stem>.png`; further faces of a picture are `<stem>_2.png` and so on. If two
            pictures share a stem, the later one gets its number in the name: `<stem>-<number>.png`.
        finder: Finds the faces.
        size: Side of a crop, pixels.
        every: Crop all faces of a picture, not only the largest and most central.

    Raises:
        FileError: if the folder cannot be made.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"{out}: cannot be made ({error.strerror})") from None
    names: set[str] = set()
    for number, path in enumerate(paths, start=1):
        try:
            pixels = read_picture(path).pixels
            detection = finder(pixels)
            if detection.face is None:
                hint = _WHOLE if min(pixels.shape[:2]) >= SMALLEST else ""
                yield FaceRow(path, None, None, detection, detection.reason + hint)
                continue
            stem = path.stem if path.stem.casefold() not in names else f"{path.stem}-{number}"
            names.add(stem.casefold())  # on some disks, names that differ in case are one
            for index, face in enumerate(detection.faces if every else detection.faces[:1], start=1):
                crop = out / (f"{stem}.png" if index == 1 else f"{stem}_{index}.png")
                try:
                    textures.write(align(pixels, face.eyes, size).pixels, crop)
                    yield FaceRow(path, crop, face, detection)
                except Fer3dError as error:
                    yield FaceRow(path, None, None, detection, str(error))
        except Fer3dError as error:
            yield FaceRow(path, None, None, None, without_path(str(error), str(path)))
        except MemoryError:
            yield FaceRow(path, None, None, None, "not enough memory to read it")
        except Exception as error:  # a bug in fer3d: it must not lose the other pictures
            yield FaceRow(path, None, None, None, internal_error(error))


def table(rows: Sequence[FaceRow]) -> str:
    """The rows as CSV, columns `COLUMNS`; see `fer3d.files.csv_text`."""
    return csv_text(COLUMNS, (row.to_json() for row in rows))
