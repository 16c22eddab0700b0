"""`fer3d.ops.map_orientation` on a CPU: differentiates and sums one row of a map at a time, in the cache."""

import numpy as np
from numba import njit

# No fastmath: with it, freshly compiled Numba code summed in another order than the same code from its cache, and a run
# that is resumed in a second process must give the same bits as an uninterrupted one.


@njit(cache=True, nogil=True)
def energies(x, inside, directions, out):  # type: ignore[no-untyped-def]
    """Orientation energies of one scan, see `fer3d.ops.map_orientation`.

    O(C H W (K + 10)); scratch memory for a few rows and a grid.

    Args:
        x: (C, H, W) float32.
        inside: (H, W) float32, 1 where a pixel and all its neighbours were measured, else 0.
        directions: (K / 2, 2) float32, cosine and sine of the first half; the other half is opposite.
        out: (C, K, n, n) float32, H and W multiples of n. Filled.
    """
    channels, height, width = x.shape
    half, n = directions.shape[0], out.shape[2]
    high, wide = height // n, width // n
    share = np.float32(1.0 / (high * wide))
    right, up = np.empty(width, np.float32), np.empty(width, np.float32)
    there, opposite = np.empty((half, width), np.float32), np.empty((half, width), np.float32)
    spare = np.empty((n, n), np.float32)
    for c in range(channels):
        for row in range(n):
            there[:] = 0
            opposite[:] = 0
            for i in range(row * high, (row + 1) * high):
                _gradients(x[c], i, inside[i], right, up)
                for k in range(half):
                    _opposites(right, up, directions[k, 0], directions[k, 1], there[k], opposite[k])
            for k in range(half):
                for column in range(n):
                    total, opposite_total = np.float32(0), np.float32(0)
                    for j in range(column * wide, (column + 1) * wide):
                        total += there[k, j]
                        opposite_total += opposite[k, j]
                    out[c, k, row, column] = total * share
                    out[c, k + half, row, column] = opposite_total * share
        for k in range(2 * half):
            _smooth(out[c, k], spare)


@njit(cache=True, nogil=True)
def _gradients(x, i, inside, right, up):  # type: ignore[no-untyped-def]
    """Gradients of row i, times |g|^(-3/4): the fourth power of a component then is |g| cos^4."""
    height, width = x.shape
    right[0] = right[width - 1] = 0
    for j in range(1, width - 1):
        right[j] = x[i, j + 1] - x[i, j - 1]
    if 0 < i < height - 1:
        for j in range(width):
            up[j] = x[i - 1, j] - x[i + 1, j]
    else:
        up[:] = 0
    for j in range(width):
        dx, dy = right[j] * inside[j], up[j] * inside[j]
        steepness = np.sqrt(dx * dx + dy * dy + np.float32(1e-12))
        root = np.sqrt(np.float32(1) / (steepness * np.sqrt(steepness)))
        right[j], up[j] = dx * root, dy * root


@njit(cache=True, nogil=True)
def _opposites(right, up, cos, sin, there, opposite):  # type: ignore[no-untyped-def]
    """Add the energies of a row in a direction and its opposite to `there` and `opposite`, (W,) each."""
    for j in range(right.shape[0]):
        part = right[j] * cos + up[j] * sin
        squared = part * part
        energy = squared * squared
        forwards = energy if part > 0 else np.float32(0)
        there[j] += forwards
        opposite[j] += energy - forwards


@njit(cache=True, nogil=True)
def _smooth(grid, spare):  # type: ignore[no-untyped-def]
    """Smooth the (n, n) `grid` with weights 1, 2, 1 along both axes, over existing cells; overwrites `spare`."""
    n = len(grid)
    if n == 1:
        return
    two, quarter, third = np.float32(2), np.float32(0.25), np.float32(1 / 3)
    for j in range(n):
        spare[0, j] = (two * grid[0, j] + grid[1, j]) * third
        spare[n - 1, j] = (two * grid[n - 1, j] + grid[n - 2, j]) * third
    for i in range(1, n - 1):
        for j in range(n):
            spare[i, j] = (grid[i - 1, j] + two * grid[i, j] + grid[i + 1, j]) * quarter
    for i in range(n):
        grid[i, 0] = (two * spare[i, 0] + spare[i, 1]) * third
        grid[i, n - 1] = (two * spare[i, n - 1] + spare[i, n - 2]) * third
        for j in range(1, n - 1):
            grid[i, j] = (spare[i, j - 1] + two * spare[i, j] + spare[i, j + 1]) * quarter
