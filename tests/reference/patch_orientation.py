"""The definition of `fer3d.ops.patch_orientation`, bin by bin."""

import math

import numpy as np


def patch_orientation(x, indices, weights, angle, distances, directions, rim=0.5):
    """Of one scan: x (N, C), indices and weights (V, S, R, A, 3), angle (V,), distances (S, R) -> (V, S, C, K)."""
    V, S, R, A, _ = indices.shape
    made = np.zeros((V, S, x.shape[1], directions))
    for v in range(V):
        for s in range(S):

            def bin_at(ring, ray, v=v, s=s):
                """Its values and whether it was measured; ring -1 is the centre."""
                if ring < 0:
                    return x[v], True
                share = weights[v, s, ring, ray % A]
                return share @ x[indices[v, s, ring, ray % A]], share.sum() > 0.5

            total = 0.0
            for r in range(R):
                far = r + 1 if r + 1 < R else r
                span = distances[s][far] - (distances[s][r - 1] if r else 0.0)
                window = distances[s][r] * math.exp(-0.5 * (distances[s][r] / (rim * distances[s][-1])) ** 2)
                for a in range(A):
                    parts = [bin_at(far, a), bin_at(r - 1, a), bin_at(r, a + 1), bin_at(r, a - 1), bin_at(r, a)]
                    if not all(there for _, there in parts):
                        continue
                    outwards = (parts[0][0] - parts[1][0]) / span
                    sideways = (parts[2][0] - parts[3][0]) / (2 * 2 * math.pi / A * distances[s][r])
                    t = np.arctan2(sideways, outwards) + 2 * math.pi * a / A - angle[v]
                    total += window
                    for k in range(directions):
                        part = np.maximum(np.cos(t - 2 * math.pi * k / directions), 0.0) ** 4
                        made[v, s, :, k] += window * np.hypot(outwards, sideways) * part
            if total > 0:
                made[v, s] /= total
    return made
