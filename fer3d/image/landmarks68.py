"""The 68 iBUG landmarks of a face in a picture: from a trained predictor, or from a mean face fitted to it.

Convention: points are column and row in pixels, with pixel centres at integers, in the order of iBUG and dlib (0 to 16
jaw, 17 to 26 brows, 27 to 35 nose, 36 to 47 eyes, 48 to 67 lips). The order starts at the subject's right, which is
left in the picture.

The predictor is dlib's [1] with the weights in the package `face-recognition-models`. They were trained on the iBUG
300-W pictures, whose licence excludes commercial use. We read the file by its path, because importing the package needs
`pkg_resources`, which setuptools no longer has.

References:
    .. [1] Kazemi, Sullivan. One millisecond face alignment with an ensemble of regression trees. CVPR 2014.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fer3d.checks import check_shape

Array = NDArray[np.float64]

RIGHT_EYE, LEFT_EYE = slice(36, 42), slice(42, 48)
_SIDE = 200  # pixels: side of the face's square in the predictor's input
_AROUND = 0.5  # of the square: margin on each side in the predictor's input

# The mean face: the eyes are level, one unit apart, and their midpoint is the origin; y points down. The points
# are those of the neutral head of ICT-FaceKit (MIT licence), seen from the front and made symmetric.
_MEAN = (
    # jaw, from the subject's right to the left
    (-1.131, -0.036),
    (-1.117, 0.300),
    (-1.065, 0.599),
    (-1.007, 0.890),
    (-0.879, 1.217),
    (-0.661, 1.482),
    (-0.468, 1.590),
    (-0.236, 1.643),
    (0.000, 1.690),
    (0.236, 1.643),
    (0.468, 1.590),
    (0.661, 1.482),
    (0.879, 1.217),
    (1.007, 0.890),
    (1.065, 0.599),
    (1.117, 0.300),
    (1.131, -0.036),
    # right brow
    (-0.893, -0.270),
    (-0.757, -0.389),
    (-0.582, -0.432),
    (-0.371, -0.422),
    (-0.180, -0.379),
    # left brow
    (0.180, -0.379),
    (0.371, -0.422),
    (0.582, -0.432),
    (0.757, -0.389),
    (0.893, -0.270),
    # nose, downwards
    (0.000, -0.046),
    (0.000, 0.124),
    (0.000, 0.281),
    (0.000, 0.466),
    # nose, below
    (-0.192, 0.704),
    (-0.092, 0.703),
    (0.000, 0.713),
    (0.092, 0.703),
    (0.192, 0.704),
    # right eye
    (-0.685, 0.002),
    (-0.594, -0.066),
    (-0.427, -0.076),
    (-0.283, 0.029),
    (-0.419, 0.055),
    (-0.592, 0.057),
    # left eye
    (0.283, 0.029),
    (0.427, -0.076),
    (0.594, -0.066),
    (0.685, 0.002),
    (0.592, 0.057),
    (0.419, 0.055),
    # lips, outer
    (-0.389, 1.069),
    (-0.261, 0.955),
    (-0.112, 0.900),
    (0.000, 0.910),
    (0.112, 0.900),
    (0.261, 0.955),
    (0.389, 1.069),
    (0.277, 1.151),
    (0.159, 1.189),
    (0.000, 1.201),
    (-0.159, 1.189),
    (-0.277, 1.151),
    # lips, inner
    (-0.339, 1.064),
    (-0.153, 1.035),
    (0.000, 1.039),
    (0.153, 1.035),
    (0.339, 1.064),
    (0.164, 1.047),
    (0.000, 1.050),
    (-0.164, 1.047),
)
MEAN_FACE: Array = np.array(_MEAN)  # (68, 2)

# MTCNN's five points on the mean face: eyes, nose tip, mouth corners.
_FIVE: Array = np.array(
    [MEAN_FACE[RIGHT_EYE].mean(axis=0), MEAN_FACE[LEFT_EYE].mean(axis=0), *MEAN_FACE[[30, 48, 54]]]
)  # (5, 2)

# The square that dlib's detector draws around a face and on which its predictor was trained. In fractions of its side:
# the midpoint of the eyes, the distance between the eyes, and from the eyes down to the mouth. Measured on simulated
# faces.
_EYES_AT, _EYES_APART, _MOUTH_BELOW = (0.50, 0.31), 0.40, 0.48

# Largest root mean square difference between a predicted shape and the mean face, in distances between the eyes:
# simulated faces turned by 45 degrees reach 0.30, faces of lfw_subset 0.21.
_WORST_SHAPE = 0.45
_WORST_EYES = 0.6  # largest difference between the eyes of predictor and detector, in distances between the eyes


def eye_centres(landmarks: Array) -> Array:
    """(2, 2) centres of the subject's right eye and left eye: the mean of the six points around each.

    Args:
        landmarks: (68, 2).
    """
    check_shape("landmarks", landmarks, (68, 2))
    return np.array([landmarks[RIGHT_EYE].mean(axis=0), landmarks[LEFT_EYE].mean(axis=0)])


def similarity(source: Array, target: Array) -> Array:
    """(2, 3) float64: the least-squares similarity transform (rotation, scale, translation) from `source` to `target`.

    Args:
        source, target: (N, 2), at least two different points.

    >>> similarity(np.array([[0.0, 0.0], [1.0, 0.0]]), np.array([[5.0, 1.0], [5.0, 3.0]])).round(6).tolist()
    [[0.0, -2.0, 5.0], [2.0, 0.0, 1.0]]
    """
    a = (source - source.mean(axis=0)) @ [1, 1j]
    b = (target - target.mean(axis=0)) @ [1, 1j]
    turn = complex(np.vdot(a, b) / np.vdot(a, a))
    linear = np.array([[turn.real, -turn.imag], [turn.imag, turn.real]])
    return np.column_stack([linear, target.mean(axis=0) - linear @ source.mean(axis=0)])


def moved(points: Array, matrix: Array) -> Array:
    """Apply a (2, 3) affine map to (N, 2) points."""
    return np.asarray(points @ matrix[:, :2].T + matrix[:, 2])


def mean_face_on_points(points: Array) -> Array:
    """(68, 2) the mean face, fitted to the (5, 2) points of MTCNN."""
    return moved(MEAN_FACE, similarity(_FIVE, points))


def mean_face_in_square(square: Array) -> Array:
    """(68, 2) the mean face in a square (left, top, side) as dlib's detector draws it."""
    left, top, side = square
    return np.asarray(MEAN_FACE * (_EYES_APART * side) + np.array([left, top]) + np.multiply(_EYES_AT, side))


def square_of_points(points: Array) -> Array:
    """(left, top, side) of the square that dlib would draw around the (5, 2) points of MTCNN.

    Turning the head brings the eyes closer together and leaves the distance from eyes to mouth, so the larger of the
    two estimates of the side counts.
    """
    eyes, mouth = points[:2].mean(axis=0), points[3:].mean(axis=0)
    side = max(
        float(np.linalg.norm(mouth - eyes)) / _MOUTH_BELOW, float(np.linalg.norm(points[1] - points[0])) / _EYES_APART
    )
    return np.array([*(eyes - np.multiply(_EYES_AT, side)), side])


def predicted(predictor: Any, dlib: Any, pixels: NDArray[np.uint8], square: Array) -> Array:
    """(68, 2) landmarks that dlib's predictor finds for the face in a square.

    Args:
        predictor: A `dlib.shape_predictor` of 68 points.
        dlib: The module dlib.
        pixels: (H, W, 3) uint8.
        square: (left, top, side) as dlib's detector draws it.
    """
    left, top, side = map(float, square)
    height, width = pixels.shape[:2]
    margin = _AROUND * side
    a, b = max(int(left - margin), 0), max(int(top - margin), 0)
    c, d = min(int(left + side + margin) + 1, width), min(int(top + side + margin) + 1, height)
    scale = _SIDE / side
    size = max(round((c - a) * scale), 1), max(round((d - b) * scale), 1)
    grey = Image.fromarray(pixels[b:d, a:c]).convert("L").resize(size, Image.Resampling.BILINEAR)
    factor = np.array([size[0] / (c - a), size[1] / (d - b)])
    corner = (np.array([left - a, top - b]) + 0.5) * factor - 0.5  # of the square, in the scaled crop
    x, y = (round(float(v)) for v in corner)
    shape = predictor(np.asarray(grey), dlib.rectangle(x, y, x + _SIDE, y + _SIDE))
    points = np.array([(part.x, part.y) for part in shape.parts()], float)  # (68, 2)
    return np.asarray((points + 0.5) / factor - 0.5 + [a, b])


def implausible(landmarks: Array, points: Array | None = None) -> str:
    """Why predicted landmarks are implausible, or "".

    Args:
        landmarks: (68, 2).
        points: The (5, 2) points of MTCNN on the same face, if any.
    """
    eyes = eye_centres(landmarks)
    apart = float(np.linalg.norm(eyes[1] - eyes[0]))
    if not apart > 0.0 or eyes[1, 0] <= eyes[0, 0]:
        return "the eyes are not side by side"
    fit = similarity(MEAN_FACE, landmarks)
    unit = float(np.hypot(fit[0, 0], fit[1, 0]))
    worst = float(np.sqrt(((moved(MEAN_FACE, fit) - landmarks) ** 2).sum(axis=1).mean())) / max(unit, 1e-9)
    if not worst <= _WORST_SHAPE:
        return f"the shape is {worst:.2f} distances between the eyes off a face, wanted at most {_WORST_SHAPE}"
    if points is not None:
        off = float(np.linalg.norm(eyes - points[:2], axis=1).max()) / apart
        if not off <= _WORST_EYES:
            return f"the eyes are {off:.2f} of their distance from where the detector has them"
    return ""
