"""The 68 landmarks of iBUG on a face in a picture: by a trained predictor, or by laying a mean face on it.

Convention: points are column and row in pixels, centres of pixels at whole numbers, in the order of iBUG and dlib (0 to
16 jaw, 17 to 26 brows, 27 to 35 nose, 36 to 47 eyes, 48 to 67 lips), beginning with the subject's right, which is left
in the picture.

The predictor is dlib's [1] with the weights in the package `face-recognition-models`. They were trained on the iBUG
300-W pictures, whose licence leaves out commercial use. The file is read by its path: importing the package needs
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
_SIDE = 200  # pixels of a face's square when the predictor sees it
_AROUND = 0.5  # of the square on each side that the predictor sees too

# The mean face: eyes level, middle between them at the origin, one unit apart, y down. Points of the neutral head of
# ICT-FaceKit (MIT licence) seen from the front, made symmetric.
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

# Where MTCNN's five points lie on it: eyes, nose tip, corners of the mouth.
_FIVE: Array = np.array(
    [MEAN_FACE[RIGHT_EYE].mean(axis=0), MEAN_FACE[LEFT_EYE].mean(axis=0), *MEAN_FACE[[30, 48, 54]]]
)  # (5, 2)

# The square that dlib's detector draws about a face, and with it its predictor was trained: the middle of the eyes at
# these shares of its side, the eyes that share apart, the mouth that share below them. Measured on simulated faces.
_EYES_AT, _EYES_APART, _MOUTH_BELOW = (0.50, 0.31), 0.40, 0.48

# Worst that a predicted shape may differ from the mean face, root mean square in distances between the eyes: simulated
# faces turned by 45 degrees have up to 0.30, and faces of lfw_subset up to 0.21.
_WORST_SHAPE = 0.45
_WORST_EYES = 0.6  # distances between the eyes that predictor and detector may place them apart


def eye_centres(landmarks: Array) -> Array:
    """(2, 2) middle of the subject's right eye and of the left: the mean of the six points about each.

    Args:
        landmarks: (68, 2).
    """
    check_shape("landmarks", landmarks, (68, 2))
    return np.array([landmarks[RIGHT_EYE].mean(axis=0), landmarks[LEFT_EYE].mean(axis=0)])


def similarity(source: Array, target: Array) -> Array:
    """(2, 3) float64: the rotation, scale and shift that take `source` nearest to `target` in least squares.

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
    """(N, 2) points under a (2, 3) affine map."""
    return np.asarray(points @ matrix[:, :2].T + matrix[:, 2])


def mean_face_on_points(points: Array) -> Array:
    """(68, 2) the mean face on the (5, 2) points of MTCNN."""
    return moved(MEAN_FACE, similarity(_FIVE, points))


def mean_face_in_square(square: Array) -> Array:
    """(68, 2) the mean face in a square as dlib draws it: (left, top, side)."""
    left, top, side = square
    return np.asarray(MEAN_FACE * (_EYES_APART * side) + np.array([left, top]) + np.multiply(_EYES_AT, side))


def square_of_points(points: Array) -> Array:
    """(left, top, side) of the square that dlib would draw about the (5, 2) points of MTCNN.

    A turned face has its eyes nearer together and the mouth as far below them: the larger of the two counts.
    """
    eyes, mouth = points[:2].mean(axis=0), points[3:].mean(axis=0)
    side = max(
        float(np.linalg.norm(mouth - eyes)) / _MOUTH_BELOW, float(np.linalg.norm(points[1] - points[0])) / _EYES_APART
    )
    return np.array([*(eyes - np.multiply(_EYES_AT, side)), side])


def predicted(predictor: Any, dlib: Any, pixels: NDArray[np.uint8], square: Array) -> Array:
    """(68, 2) what dlib's predictor says of the face in a square.

    Args:
        predictor: A `dlib.shape_predictor` of 68 points.
        dlib: The module.
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
    """Why predicted landmarks are not to be believed, or "".

    Args:
        landmarks: (68, 2).
        points: The (5, 2) of MTCNN on the same face, if there are any.
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
