"""What a deformed mesh must not do: turn triangles over, or cross itself."""

import numpy as np
from numba import njit

from fer3d.face.model import SKIN


def turned(before, after, triangles):
    """(F,) bool: triangles whose normal turned by more than 90 degrees; those without area before never do."""
    a, b = (_normals(points, triangles) for points in (before, after))
    return (a * b).sum(axis=1) < 0


def _normals(points, triangles):
    a, b, c = (points[triangles[:, k]] for k in range(3))
    return np.cross(b - a, c - a)


def crossing(points, triangles, cell=3.0):
    """(F,) bool: triangles that an edge of a triangle without a common vertex passes through.

    Candidates come from a grid of cubes of `cell` mm; each triangle stands in all cubes that its bounding box meets.
    """
    triangles = np.ascontiguousarray(triangles, np.int64)
    corners = points[triangles]  # (F, 3, 3)
    low = np.floor(corners.min(axis=1) / cell).astype(np.int64)
    high = np.floor(corners.max(axis=1) / cell).astype(np.int64)
    low, high = low - low.min(axis=0), high - low.min(axis=0)
    cube, triangle = _fill(low, high, high.max(axis=0) + 1)
    order = np.argsort(cube, kind="stable")
    return _crossing(np.ascontiguousarray(points, np.float64), triangles, cube[order], triangle[order])


@njit(cache=True)
def _fill(low, high, size):
    count = 0
    for f in range(len(low)):
        count += (high[f, 0] - low[f, 0] + 1) * (high[f, 1] - low[f, 1] + 1) * (high[f, 2] - low[f, 2] + 1)
    cube, triangle = np.empty(count, np.int64), np.empty(count, np.int64)
    n = 0
    for f in range(len(low)):
        for i in range(low[f, 0], high[f, 0] + 1):
            for j in range(low[f, 1], high[f, 1] + 1):
                for k in range(low[f, 2], high[f, 2] + 1):
                    cube[n] = (i * size[1] + j) * size[2] + k
                    triangle[n] = f
                    n += 1
    return cube, triangle


@njit(cache=True)
def _crossing(points, triangles, cube, triangle):
    found = np.zeros(len(triangles), np.bool_)
    start = 0
    while start < len(cube):
        end = start
        while end < len(cube) and cube[end] == cube[start]:
            end += 1
        for m in range(start, end):
            for n in range(m + 1, end):
                f, g = triangle[m], triangle[n]
                if found[f] and found[g]:
                    continue
                if _share(triangles, f, g) or _apart(points, triangles, f, g):
                    continue
                if _pierced(points, triangles, f, g) or _pierced(points, triangles, g, f):
                    found[f] = True
                    found[g] = True
        start = end
    return found


@njit(cache=True)
def _share(triangles, f, g):
    for i in range(3):
        for j in range(3):
            if triangles[f, i] == triangles[g, j]:
                return True
    return False


@njit(cache=True)
def _apart(points, triangles, f, g):
    for axis in range(3):
        a, b, c = points[triangles[f, 0], axis], points[triangles[f, 1], axis], points[triangles[f, 2], axis]
        d, e, h = points[triangles[g, 0], axis], points[triangles[g, 1], axis], points[triangles[g, 2], axis]
        if max(a, b, c) < min(d, e, h) or max(d, e, h) < min(a, b, c):
            return True
    return False


@njit(cache=True)
def _pierced(points, triangles, f, g):
    """Whether an edge of g passes through the inside of f (Moeller and Trumbore's test)."""
    a = points[triangles[f, 0]]
    u = points[triangles[f, 1]] - a
    v = points[triangles[f, 2]] - a
    for k in range(3):
        p = points[triangles[g, k]]
        d = points[triangles[g, (k + 1) % 3]] - p
        h = np.array([d[1] * v[2] - d[2] * v[1], d[2] * v[0] - d[0] * v[2], d[0] * v[1] - d[1] * v[0]])
        det = u[0] * h[0] + u[1] * h[1] + u[2] * h[2]
        if abs(det) < 1e-12:
            continue
        s = p - a
        alpha = (s[0] * h[0] + s[1] * h[1] + s[2] * h[2]) / det
        q = np.array([s[1] * u[2] - s[2] * u[1], s[2] * u[0] - s[0] * u[2], s[0] * u[1] - s[1] * u[0]])
        beta = (d[0] * q[0] + d[1] * q[1] + d[2] * q[2]) / det
        t = (v[0] * q[0] + v[1] * q[1] + v[2] * q[2]) / det
        tiny = 1e-9
        if alpha > tiny and beta > tiny and alpha + beta < 1 - tiny and tiny < t < 1 - tiny:
            return True
    return False


# Units that one face does not show together: one lip shape, one place of the jaw, and so on. AU34 needs closed lips.
_EITHER = (
    ("AU18", "AU22", "AU23", "AU24", "AU28", "AU20", "AU12", "AU13", "AU34", "AU35"),
    ("AU26", "AU27", "AU29", "AU30_L", "AU30_R", "AU34"),
    ("AU38", "AU39"),
    ("AU5", "AU43"),
    ("AU15", "AU12", "AU13"),
    ("AU16", "AU24", "AU28", "AU17"),
    ("AU10", "AU24", "AU28", "AU34"),
)


def random_face(model, generator):
    """Identity weights, and a valid combination of 2 to 8 units, unit -> strength."""
    identity = np.clip(generator.normal(size=len(model.identity_modes)), -2.5, 2.5)
    names = sorted({name if name.startswith("AU30") else name.split("_")[0] for name in model.action_units})
    chosen = []
    for name in generator.permutation(names):
        if not any(name in group and set(group) & set(chosen) for group in _EITHER):
            chosen.append(str(name))
        if len(chosen) == 8:
            break
    chosen = chosen[: int(generator.integers(2, 9))]
    units = {}
    for name in chosen:
        if f"{name}_L" in model.action_units:
            units[f"{name}_L"], units[f"{name}_R"] = generator.uniform(0.2, 1.0) * generator.uniform(0.6, 1.0, 2)
        else:
            units[name] = generator.uniform(0.2, 1.0)
    return identity, units


def lip_lines(model):
    """(2, n) rows of the line between the lips, the upper copies and the lower: the skin's only twin vertices."""
    seen, pairs = {}, []
    for row in np.unique(model.triangles[model.part == SKIN]).tolist():
        place = tuple(model.neutral[row])
        if place in seen:
            pairs.append((seen[place], row))
        seen[place] = row
    return np.array(pairs).reshape(-1, 2).T
