"""The z-buffer by its definition: at each sample, of all front-facing triangles that hold it, the highest."""

import numpy as np


def zbuffer(points, faces, height, width, jitter):
    face = np.full((height, width), -1)
    top = np.full((height, width), -np.inf)
    for r in range(height):
        for c in range(width):
            at = np.array([c, r], float) + (jitter[r, c] if jitter.size else 0.0)
            for f, corners in enumerate(points[faces]):
                sides = np.stack([*corners[:, :2].T, np.ones(3)])
                if np.linalg.det(sides) >= 0:  # rows go down: counter-clockwise to the eye is negative
                    continue
                weights = np.linalg.solve(sides, [*at, 1.0])
                if (weights >= -1e-12).all() and weights @ corners[:, 2] > top[r, c]:
                    top[r, c] = weights @ corners[:, 2]
                    face[r, c] = f
    return face, top
