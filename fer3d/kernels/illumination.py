"""Steps of `fer3d.image.illumination`. Each makes one pass over a picture that fits into the cache."""

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def levels(x, low, high, out):  # type: ignore[no-untyped-def]
    """Whole numbers from 0 to 255, rounded up: 0 at and below `low`, 255 at and above `high`, 0 if these are equal.

    Args:
        x: (N, H, W) of any number type.
        low, high: (N,) float64.
        out: (N, H, W) float64 or uint8. Filled.
    """
    count, height, width = x.shape
    for n in range(count):
        span = high[n] - low[n]
        if not span > 0.0:
            out[n] = 0
            continue
        for i in range(height):
            for j in range(width):
                # multiply by 255 before the division, so that a whole number stays whole under `ceil`
                level = (np.float64(x[n, i, j]) - low[n]) * 255.0 / span
                out[n, i, j] = np.ceil(min(max(level, 0.0), 255.0))  # rounding may give 255 a / a > 255


@njit(cache=True, nogil=True)
def solve_columns(x, diagonal, beside):  # type: ignore[no-untyped-def]
    """Solve diagonal_j y_ij - beside (y_i-1,j + y_i+1,j) = x_ij, where y is 0 above and below the picture, in place.

    No pivoting, which a diagonal above 2 beside does not need. O(N H W).

    Args:
        x: (N, H, W) float64.
        diagonal: (W,) float64.
        beside: Not negative.
    """
    count, height, width = x.shape
    inverse = np.empty((height, width))  # of the pivots
    inverse[0] = 1.0 / diagonal
    for i in range(1, height):
        inverse[i] = 1.0 / (diagonal - beside * beside * inverse[i - 1])
    for n in range(count):
        for i in range(1, height):
            for j in range(width):
                x[n, i, j] += beside * inverse[i - 1, j] * x[n, i - 1, j]
        for j in range(width):
            x[n, height - 1, j] *= inverse[height - 1, j]
        for i in range(height - 2, -1, -1):
            for j in range(width):
                x[n, i, j] = (x[n, i, j] + beside * x[n, i + 1, j]) * inverse[i, j]


@njit(cache=True, nogil=True)
def blur(x, weights, out):  # type: ignore[no-untyped-def]
    """Correlate with a symmetric kernel along both axes; the pixels of the border continue beyond it.

    O(N H W R); scratch memory for one picture.

    Args:
        x: (N, H, W) float64.
        weights: (R + 1,) float64. Weight of the centre of the kernel, then of the offsets 1 to R on either side.
        out: (N, H, W) float64. Filled.
    """
    count, height, width = x.shape
    reach = len(weights) - 1
    row = np.empty(width + 2 * reach)
    inner = row[reach : reach + width]  # views from index 0, so that the compiler vectorises loops over them
    for n in range(count):
        for i in range(height):
            middle = x[n, i]
            for j in range(width):
                inner[j] = weights[0] * middle[j]
            for k in range(1, reach + 1):
                above, below, weight = x[n, max(i - k, 0)], x[n, min(i + k, height - 1)], weights[k]
                for j in range(width):
                    inner[j] += weight * (above[j] + below[j])
            row[:reach] = inner[0]
            row[reach + width :] = inner[width - 1]
            result = out[n, i]
            for j in range(width):
                result[j] = weights[0] * inner[j]
            for k in range(1, reach + 1):
                left, right, weight = row[reach - k :], row[reach + k :], weights[k]
                for j in range(width):
                    result[j] += weight * (left[j] + right[j])
