"""Orthographic z-buffer: the triangle that the camera sees at each sample, and the position in it.

Convention:
    - `points[v] = (column, row, z)` in pixels; the centre of pixel (r, c) is column c, row r; z grows towards the
      camera and may be in any unit. The corner of the map is therefore at (-0.5, -0.5).
    - Rows grow downwards, so that a face that is counter-clockwise to the eye is clockwise in (column, row).
    - `jitter[r, c] = (along columns, along rows)`: the sample of pixel (r, c) lies at (c, r) + jitter[r, c].
"""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

NO_JITTER: NDArray[np.float32] = np.zeros((0, 0, 2), dtype=np.float32)


@njit(cache=True, nogil=True)
def _before(points, a, b):  # type: ignore[no-untyped-def]
    """Whether point a sorts before point b by column, row, z. This order does not depend on indices."""
    for axis in range(3):
        if points[a, axis] != points[b, axis]:
            return points[a, axis] < points[b, axis]
    return False


@njit(cache=True, nogil=True)
def _wins_tie(points, faces, f, g):  # type: ignore[no-untyped-def]
    """Whether face f wins over face g at equal depth. The rule does not depend on the order of the corners."""
    for axis in range(3):
        a = max(points[faces[f, 0], axis], points[faces[f, 1], axis], points[faces[f, 2], axis])
        b = max(points[faces[g, 0], axis], points[faces[g, 1], axis], points[faces[g, 2], axis])
        if a != b:
            return a > b
    for axis in range(3):
        a = min(points[faces[f, 0], axis], points[faces[f, 1], axis], points[faces[f, 2], axis])
        b = min(points[faces[g, 0], axis], points[faces[g, 1], axis], points[faces[g, 2], axis])
        if a != b:
            return a > b
    return False


@njit(cache=True, nogil=True)
def zbuffer(points, faces, height, width, jitter):  # type: ignore[no-untyped-def]
    """The front-facing triangle nearest to the camera at every sample of a (height, width) grid.

    The result is watertight: the side of an edge on which a sample lies is computed from the two corners of the edge in
    a geometric order, so that both faces at the edge use the same number and no sample falls between them. Faces seen
    from behind or edge-on, and faces with a NaN corner, are skipped. The nearer face wins; at equal depth a rule on
    coordinates decides. Re-indexing vertices or faces thus changes no bit of the result, except between two faces with
    equal corners.

    Args:
        points: (V, 3) float64, column, row, z; see the module's convention.
        faces: (F, 3) int32, counter-clockwise to the eye where they face the camera.
        height, width: Size of the grid.
        jitter: (height, width, 2) float32, or `NO_JITTER` for samples at the pixel centres.

    Returns:
        face: (height, width) int32. Row of `faces`, -1 where no face is seen.
        bary: (height, width, 3) float32. Weights of the corners, in the order of the face; 0 where no face is seen.

    Cost: O(F + pixels covered); `jitter` enlarges the bounding boxes by its largest entry.
    """
    face = np.full((height, width), -1, dtype=np.int32)
    bary = np.zeros((height, width, 3), dtype=np.float32)
    nearest = np.full((height, width), -np.inf)
    jittered = jitter.shape[0] > 0
    reach_x = 0.0
    reach_y = 0.0
    if jittered:
        for r in range(height):
            for c in range(width):
                reach_x = max(reach_x, abs(float(jitter[r, c, 0])))
                reach_y = max(reach_y, abs(float(jitter[r, c, 1])))
    for f in range(faces.shape[0]):
        # Corners a < b < c in the geometric order; `flip` counts the swaps, the slots keep the order of the face.
        i, j, k = faces[f, 0], faces[f, 1], faces[f, 2]
        left = min(points[i, 0], points[j, 0], points[k, 0]) - reach_x
        right = max(points[i, 0], points[j, 0], points[k, 0]) + reach_x
        top = min(points[i, 1], points[j, 1], points[k, 1]) - reach_y
        bottom = max(points[i, 1], points[j, 1], points[k, 1]) + reach_y
        if not (right >= 0.0 and left <= width - 1.0 and bottom >= 0.0 and top <= height - 1.0):
            continue
        first_c, last_c = math.ceil(max(left, 0.0)), math.floor(min(right, width - 1.0))
        first_r, last_r = math.ceil(max(top, 0.0)), math.floor(min(bottom, height - 1.0))
        if first_c > last_c or first_r > last_r:
            continue
        si, sj, sk = 0, 1, 2
        sign = -1.0  # counter-clockwise to the eye means negative area, as rows grow downwards
        if _before(points, j, i):
            i, j, si, sj, sign = j, i, sj, si, -sign
        if _before(points, k, j):
            j, k, sj, sk, sign = k, j, sk, sj, -sign
            if _before(points, j, i):
                i, j, si, sj, sign = j, i, sj, si, -sign
        ax, ay, az = points[i, 0], points[i, 1], points[i, 2]
        bx, by, bz = points[j, 0], points[j, 1], points[j, 2]
        cx, cy, cz = points[k, 0], points[k, 1], points[k, 2]
        if not ((bx - ax) * (cy - ay) - (by - ay) * (cx - ax)) * sign > 0.0 or not math.isfinite(az + bz + cz):
            continue
        for r in range(first_r, last_r + 1):
            for c in range(first_c, last_c + 1):
                x = float(c)
                y = float(r)
                if jittered:
                    x += jitter[r, c, 0]
                    y += jitter[r, c, 1]
                weight_c = ((bx - ax) * (y - ay) - (by - ay) * (x - ax)) * sign
                weight_b = ((cx - ax) * (y - ay) - (cy - ay) * (x - ax)) * -sign
                weight_a = ((cx - bx) * (y - by) - (cy - by) * (x - bx)) * sign
                if weight_a < 0.0 or weight_b < 0.0 or weight_c < 0.0:
                    continue
                total = weight_a + weight_b + weight_c
                if total <= 0.0:  # a sliver whose area rounding made 0
                    continue
                z = (weight_a * az + weight_b * bz + weight_c * cz) / total
                old = face[r, c]
                if z < nearest[r, c] or (old >= 0 and z == nearest[r, c] and not _wins_tie(points, faces, f, old)):
                    continue
                nearest[r, c] = z
                face[r, c] = f
                bary[r, c, si] = weight_a / total
                bary[r, c, sj] = weight_b / total
                bary[r, c, sk] = weight_c / total
    return face, bary
