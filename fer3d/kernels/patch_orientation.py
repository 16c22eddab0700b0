"""`fer3d.ops.patch_orientation` on a CPU: samples, differentiates and sums one patch at a time, in the cache."""

import math

import numpy as np
from numba import njit

# No fastmath, see `fer3d.kernels.map_orientation`.


@njit(cache=True, nogil=True)
def energies(x, indices, weights, angle, distances, window, directions, out):  # type: ignore[no-untyped-def]
    """Orientation energies of the patches of one scan, see `fer3d.ops.patch_orientation`.

    O(V S R A C (K + 3)); scratch memory for one patch.

    Args:
        x: (N, C) float32. Row v is the centre of patch v.
        indices, weights: (V, S, R, A, 3) int32 and float32.
        angle: (V,) float32, radians from ray 0 to direction 0.
        distances: (S, R) float32, mm, ascending.
        window: (S, R) float32, weight of each bin.
        directions: (K / 2, 2) float32, cosine and sine of the first half; the other half is opposite.
        out: (V, S, C, K) float32. Filled.

    Returns:
        False if an index is not a row of x; `out` is then incomplete.
    """
    vertices, scales, rings, rays = indices.shape[:4]
    channels, half = x.shape[1], directions.shape[0]
    # ring 0 is the centre; columns 0 and rays + 1 repeat the last and the first ray
    patch = np.empty((channels, rings + 1, rays + 2), np.float32)
    measured = np.empty((rings + 1, rays + 2), np.float32)
    share = np.empty((rings, rays), np.float32)
    cos, sin = np.empty(rays, np.float32), np.empty(rays, np.float32)
    parallel, perpendicular = np.empty(rays, np.float32), np.empty(rays, np.float32)
    there, opposite = np.empty((half, rays), np.float32), np.empty((half, rays), np.float32)
    out[:] = 0
    for v in range(vertices):
        for a in range(rays):
            turn = np.float32(2 * math.pi * a / rays) - angle[v]
            cos[a], sin[a] = math.cos(turn), math.sin(turn)
        for s in range(scales):
            measured[0] = 1
            for c in range(channels):
                patch[c, 0] = x[v, c]
            if not _sample(x, indices[v, s], weights[v, s], patch, measured):
                return False
            whole = np.float32(0)
            for r in range(rings):
                beyond = min(r + 2, rings)
                for a in range(1, rays + 1):
                    whether = measured[r, a] * measured[beyond, a]
                    whether *= measured[r + 1, a - 1] * measured[r + 1, a] * measured[r + 1, a + 1]
                    share[r, a - 1] = window[s, r] * whether
                    whole += share[r, a - 1]
            if whole <= 0:
                continue
            for c in range(channels):
                there[:] = 0
                opposite[:] = 0
                for r in range(rings):
                    beyond = min(r + 2, rings)
                    before = np.float32(0) if r == 0 else distances[s, r - 1]
                    along = np.float32(1) / (distances[s, beyond - 1] - before)
                    across = np.float32(1) / (np.float32(4 * math.pi / rays) * distances[s, r])
                    _gradients(
                        patch[c, r], patch[c, r + 1], patch[c, beyond], along, across, cos, sin, parallel, perpendicular
                    )
                    for k in range(half):
                        _opposites(
                            parallel, perpendicular, share[r], directions[k, 0], directions[k, 1], there[k], opposite[k]
                        )
                for k in range(half):
                    for a in range(rays):
                        out[v, s, c, k] += there[k, a]
                        out[v, s, c, k + half] += opposite[k, a]
                    out[v, s, c, k] /= whole
                    out[v, s, c, k + half] /= whole
    return True


@njit(cache=True, nogil=True)
def _sample(x, indices, weights, patch, measured):  # type: ignore[no-untyped-def]
    """Fill all rings of a patch but ring 0. False if an index is not a row of x."""
    count, channels = x.shape
    rings, rays = indices.shape[:2]
    for r in range(rings):
        for a in range(rays):
            i, j, k = indices[r, a]
            if i < 0 or j < 0 or k < 0 or i >= count or j >= count or k >= count:
                return False
            p, q, w = weights[r, a]
            measured[r + 1, a + 1] = 1 if p + q + w > 0.5 else 0
            for c in range(channels):
                patch[c, r + 1, a + 1] = p * x[i, c] + q * x[j, c] + w * x[k, c]
        measured[r + 1, 0], measured[r + 1, rays + 1] = measured[r + 1, rays], measured[r + 1, 1]
        for c in range(channels):
            patch[c, r + 1, 0], patch[c, r + 1, rays + 1] = patch[c, r + 1, rays], patch[c, r + 1, 1]
    return True


@njit(cache=True, nogil=True)
def _gradients(before, here, beyond, along, across, cos, sin, parallel, perpendicular):  # type: ignore[no-untyped-def]
    """Gradients of a ring in the axes of direction 0, times |g|^(-3/4): a component to the power 4 is |g| cos^4."""
    for a in range(parallel.shape[0]):
        outwards = (beyond[a + 1] - before[a + 1]) * along
        sideways = (here[a + 2] - here[a]) * across
        first = outwards * cos[a] - sideways * sin[a]
        second = outwards * sin[a] + sideways * cos[a]
        steepness = np.sqrt(first * first + second * second + np.float32(1e-12))
        root = np.sqrt(np.float32(1) / (steepness * np.sqrt(steepness)))
        parallel[a], perpendicular[a] = first * root, second * root


@njit(cache=True, nogil=True)
def _opposites(parallel, perpendicular, share, cos, sin, there, opposite):  # type: ignore[no-untyped-def]
    """Add the energies of a ring in a direction and its opposite to `there` and `opposite`, (A,) each."""
    for a in range(parallel.shape[0]):
        part = parallel[a] * cos + perpendicular[a] * sin
        squared = part * part
        energy = squared * squared * share[a]
        forwards = energy if part > 0 else np.float32(0)
        there[a] += forwards
        opposite[a] += energy - forwards
