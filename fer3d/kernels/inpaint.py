"""Fill small holes of a map with a thin plate: the smoothest surface through the measured pixels around them."""

import numpy as np
from numba import njit

# The bending energy of a plate, u_rr^2 + 2 u_rc^2 + u_cc^2, as finite differences: (row, column, factor) of up to four
# pixels each. A plane has no energy, so it is reproduced.
_ROOT_TWO = float(np.sqrt(2.0))
_DIFFERENCES = np.array(
    [
        [(0, -1, 1.0), (0, 0, -2.0), (0, 1, 1.0), (0, 0, 0.0)],
        [(-1, 0, 1.0), (0, 0, -2.0), (1, 0, 1.0), (0, 0, 0.0)],
        [(0, 0, _ROOT_TWO), (0, 1, -_ROOT_TWO), (1, 0, -_ROOT_TWO), (1, 1, _ROOT_TWO)],
    ]
)
# Offsets (row, column) to the later pixels that share a finite difference with a pixel.
_COUPLED = np.array([(0, 1), (0, 2), (1, -1), (1, 0), (1, 1), (2, 0)])


@njit(cache=True, nogil=True)
def small_holes(measured, most):  # type: ignore[no-untyped-def]
    """Label the holes of a mask: 4-connected sets of unmeasured pixels that do not reach the map's border.

    Args:
        measured: (H, W) bool.
        most: Longest side of a hole's bounding box, in pixels.

    Returns:
        label: (H, W) int32. Hole number from 0, -1 elsewhere; larger holes and the background are -1.
        count: Number of holes.
    """
    height, width = measured.shape
    label = np.full((height, width), -1, dtype=np.int32)
    seen = measured.copy()
    queue = np.empty((height * width, 2), dtype=np.int32)
    count = 0
    for r0 in range(height):
        for c0 in range(width):
            if seen[r0, c0]:
                continue
            queue[0, 0], queue[0, 1] = r0, c0
            seen[r0, c0] = True
            head, tail = 0, 1
            top, bottom, left, right = r0, r0, c0, c0
            while head < tail:
                r, c = queue[head, 0], queue[head, 1]
                head += 1
                top, bottom, left, right = min(top, r), max(bottom, r), min(left, c), max(right, c)
                for step in range(4):
                    rr = r + (step == 0) - (step == 1)
                    cc = c + (step == 2) - (step == 3)
                    if 0 <= rr < height and 0 <= cc < width and not seen[rr, cc]:
                        seen[rr, cc] = True
                        queue[tail, 0], queue[tail, 1] = rr, cc
                        tail += 1
            inner = top > 0 and left > 0 and bottom < height - 1 and right < width - 1
            if inner and bottom - top < most and right - left < most:
                for n in range(tail):
                    label[queue[n, 0], queue[n, 1]] = count
                count += 1
    return label, count


@njit(cache=True, nogil=True)
def _number(label, hole, top, left, bottom, right, index):  # type: ignore[no-untyped-def]
    """Number the pixels of a hole row by row. Returns their count and the bandwidth of the coupled pixel numbers."""
    size = 0
    for r in range(top, bottom + 1):
        for c in range(left, right + 1):
            if label[r, c] == hole:
                index[r, c] = size
                size += 1
    band = 0
    for r in range(top, bottom + 1):
        for c in range(left, right + 1):
            if label[r, c] == hole:
                for n in range(_COUPLED.shape[0]):
                    rr, cc = r + _COUPLED[n, 0], c + _COUPLED[n, 1]
                    if rr <= bottom and left <= cc <= right and label[rr, cc] == hole:
                        band = max(band, index[rr, cc] - index[r, c])
    return size, band


@njit(cache=True, nogil=True)
def _assemble(stack, measured, label, hole, top, left, bottom, right, index, matrix, side):  # type: ignore[no-untyped-def]
    """Normal equations of the plate energy over differences that touch the hole and no unmeasured pixel outside it."""
    height, width = measured.shape
    for r in range(max(top - 1, 0), min(bottom + 2, height)):
        for c in range(max(left - 1, 0), min(right + 2, width)):
            for kind in range(3):
                touches, complete = False, True
                for n in range(4):
                    rr, cc = r + int(_DIFFERENCES[kind, n, 0]), c + int(_DIFFERENCES[kind, n, 1])
                    if rr < 0 or cc < 0 or rr >= height or cc >= width:
                        complete = False
                    elif label[rr, cc] == hole:
                        touches = True
                    elif not measured[rr, cc]:
                        complete = False
                if not (touches and complete):
                    continue
                for n in range(4):
                    rn, cn = r + int(_DIFFERENCES[kind, n, 0]), c + int(_DIFFERENCES[kind, n, 1])
                    if label[rn, cn] != hole:
                        continue
                    p = index[rn, cn]
                    for m in range(4):
                        product = _DIFFERENCES[kind, n, 2] * _DIFFERENCES[kind, m, 2]
                        rm, cm = r + int(_DIFFERENCES[kind, m, 0]), c + int(_DIFFERENCES[kind, m, 1])
                        if label[rm, cm] == hole:
                            q = index[rm, cm]
                            if q <= p:
                                matrix[p, p - q] += product
                        else:
                            for channel in range(stack.shape[0]):
                                side[p, channel] -= product * stack[channel, rm, cm]


@njit(cache=True, nogil=True)
def _solve_banded(matrix, side):  # type: ignore[no-untyped-def]
    """Cholesky of a banded positive definite matrix, matrix[p, d] = A[p, p - d]; the solutions overwrite `side`."""
    size, band = matrix.shape[0], matrix.shape[1] - 1
    for p in range(size):
        for q in range(max(0, p - band), p + 1):
            total = matrix[p, p - q]
            for k in range(max(0, p - band, q - band), q):
                total -= matrix[p, p - k] * matrix[q, q - k]
            matrix[p, p - q] = total / matrix[q, 0] if q < p else np.sqrt(total)
    for channel in range(side.shape[1]):
        for p in range(size):
            for k in range(max(0, p - band), p):
                side[p, channel] -= matrix[p, p - k] * side[k, channel]
            side[p, channel] /= matrix[p, 0]
        for p in range(size - 1, -1, -1):
            for k in range(p + 1, min(size, p + band + 1)):
                side[p, channel] -= matrix[k, k - p] * side[k, channel]
            side[p, channel] /= matrix[p, 0]


@njit(cache=True, nogil=True)
def fill_holes(stack, measured, most):  # type: ignore[no-untyped-def]
    """Fill the small holes of all channels of a map in place, each hole only from measured pixels.

    The system of a hole is regular, because each of its rows ends at a measured pixel on both sides. The cost of a hole
    of n pixels and width w is O(n w^2).

    Args:
        stack: (C, H, W) float32. Finite where `measured`.
        measured: (H, W) bool.
        most: Longest side of the bounding box of a hole that is filled, in pixels.

    Returns:
        (H, W) bool. True at the filled pixels.
    """
    height, width = measured.shape
    label, count = small_holes(measured, most)
    box = np.empty((count, 4), dtype=np.int64)
    for hole in range(count):
        box[hole, 0], box[hole, 1], box[hole, 2], box[hole, 3] = height, width, -1, -1
    for r in range(height):
        for c in range(width):
            hole = label[r, c]
            if hole >= 0:
                box[hole, 0], box[hole, 1] = min(box[hole, 0], r), min(box[hole, 1], c)
                box[hole, 2], box[hole, 3] = max(box[hole, 2], r), max(box[hole, 3], c)
    index = np.zeros((height, width), dtype=np.int32)
    for hole in range(count):
        top, left, bottom, right = box[hole, 0], box[hole, 1], box[hole, 2], box[hole, 3]
        size, band = _number(label, hole, top, left, bottom, right, index)
        matrix = np.zeros((size, band + 1))
        side = np.zeros((size, stack.shape[0]))
        _assemble(stack, measured, label, hole, top, left, bottom, right, index, matrix, side)
        _solve_banded(matrix, side)
        for r in range(top, bottom + 1):
            for c in range(left, right + 1):
                if label[r, c] == hole:
                    for channel in range(stack.shape[0]):
                        stack[channel, r, c] = side[index[r, c], channel]
    return label >= 0
