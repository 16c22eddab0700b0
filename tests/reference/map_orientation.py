"""Orientation energy of maps by its definition, in loops over pixels, float64."""

import numpy as np


def map_orientation(x, measured, n, directions):
    """(C, H, W), (H, W), H and W multiples of n -> (C, K, n, n)."""
    C, H, W = x.shape
    high, wide = H // n, W // n
    energy = np.zeros((C, directions, n, n))
    for c in range(C):
        for i in range(H):
            for j in range(W):
                around = measured[max(i - 1, 0) : i + 2, max(j - 1, 0) : j + 2]
                right = x[c, i, j + 1] - x[c, i, j - 1] if 0 < j < W - 1 else 0.0
                up = x[c, i - 1, j] - x[c, i + 1, j] if 0 < i < H - 1 else 0.0
                length, angle = np.hypot(right, up), np.arctan2(up, right)
                if not around.all() or length == 0:
                    continue
                for k in range(directions):
                    share = max(0.0, np.cos(angle - 2 * np.pi * k / directions)) ** 4
                    energy[c, k, i // high, j // wide] += length * share / (high * wide)
    smooth = np.zeros_like(energy)
    for i in range(n):
        for j in range(n):
            near = [(a, b) for a in range(n) for b in range(n) if abs(a - i) < 2 and abs(b - j) < 2]
            weights = [(2 - abs(a - i)) * (2 - abs(b - j)) for a, b in near]
            smooth[:, :, i, j] = np.average([energy[:, :, a, b] for a, b in near], axis=0, weights=weights)
    return smooth


def without_contrast(energy, floor):
    """(C, K, n, n) -> the same: over `floor` and the sum over K, a mean of 3 x 3 squares."""
    n = energy.shape[-1]
    total, made = energy.sum(axis=1), np.zeros_like(energy)
    for i in range(n):
        for j in range(n):
            about = total[:, max(i - 1, 0) : i + 2, max(j - 1, 0) : j + 2].mean(axis=(1, 2))
            made[:, :, i, j] = energy[:, :, i, j] / (about[:, None] + floor)
    return made
