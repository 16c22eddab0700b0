"""Principal curvatures of a coarse mesh: each neighbourhood grows until it holds enough vertices for a fit."""

import math

import numpy as np
from numba import njit

from fer3d.kernels.curvature import LEAST_SPREAD, _curvatures, _moments, _select, _solve, _tangent_frame


@njit(cache=True, nogil=True)
def _gather(m, points, normals, start, other, reach, stamp, row):  # type: ignore[no-untyped-def]
    """Write the vertices that edges connect to m within `reach` of it, and whose normals face its way, to `row`.

    Args:
        reach: Distance from vertex m, in the unit of the points.
        stamp: (M,) int32. Equal to m where a vertex has been visited.
        row: (M,) int32. Result: the vertices, m first.

    Returns:
        Their number.
    """
    row[0] = m
    stamp[m] = m
    head, tail = 0, 1
    while head < tail:
        v = row[head]
        head += 1
        for e in range(start[v], start[v + 1]):
            w = other[e]
            if stamp[w] == m:
                continue
            stamp[w] = m
            square, cosine = 0.0, 0.0
            for k in range(3):
                square += (points[w, k] - points[m, k]) ** 2
                cosine += normals[w, k] * normals[m, k]
            if square < reach * reach and cosine > 0.0:
                row[tail] = w
                tail += 1
    return tail


@njit(cache=True, nogil=True)
def coarse_curvatures(points, normals, start, other, todo, radius, coarse, growth, most, least):  # type: ignore[no-untyped-def]
    """Principal curvatures of the vertices in `todo` whose edges are long: their balls grow with the mesh around them.

    The neighbours of a vertex are the nearest `least` vertices that edges connect to it and whose normals face the same
    half space, and all others within `growth` times the distance of the last of them; never fewer than those within
    `radius`. Where these leave the quadric undetermined, the ball grows by `growth` again.

    Args:
        points, normals: (M, 3) float64, welded.
        start, other: From `fer3d.kernels.curvature.links`.
        todo: (M,) bool. The vertices to compute.
        radius: Smallest radius of the ball.
        coarse: Mean length of the edges at a vertex, as a share of `radius`, above which the vertex is computed.
        growth: Factor above 1.
        most: Largest radius of the ball, as a multiple of the longest edge at the vertex.
        least: Fewest members (including the vertex itself) of a fit.

    Returns:
        k1, k2, used: (M,) float64: the curvatures and the radius of the ball. NaN where `todo` is false, where edges
            are short, or where the largest ball holds too few vertices or leaves the quadric undetermined.
    """
    count = points.shape[0]
    k1, k2, used = np.full(count, np.nan), np.full(count, np.nan), np.full(count, np.nan)
    stamp, row = np.full(count, -1, np.int32), np.empty(count, np.int32)
    frame, equations = np.empty((3, 3)), np.empty((6, 7))
    for m in range(count):
        edges = start[m + 1] - start[m]
        if not todo[m] or not edges:
            continue
        total, longest = 0.0, 0.0
        for e in range(start[m], start[m + 1]):
            v = other[e]
            length = math.sqrt(
                (points[v, 0] - points[m, 0]) ** 2
                + (points[v, 1] - points[m, 1]) ** 2
                + (points[v, 2] - points[m, 2]) ** 2
            )
            total += length
            longest = max(longest, length)
        if total <= coarse * radius * edges:
            continue
        reach = max(radius, most * longest)
        size = _gather(m, points, normals, start, other, reach, stamp, row)
        if size < least:
            continue
        near, weight, away = np.zeros((7, size)), np.empty(size), np.empty(size)
        for n in range(size):
            square = 0.0
            for k in range(3):
                near[k, n], near[3 + k, n] = points[row[n], k], normals[row[n], k]
                square += (points[row[n], k] - points[m, k]) ** 2
            away[n] = math.sqrt(square)
        x, y, z, nx, ny, nz = near[0, 0], near[1, 0], near[2, 0], near[3, 0], near[4, 0], near[5, 0]
        ball = max(radius, growth * np.sort(away)[least - 1])
        while ball <= growth * reach:
            _select(near, size, x, y, z, nx, ny, nz, ball * ball, weight)
            _tangent_frame(nx, ny, nz, 1.0 / ball, frame)
            members = _moments(near, size, weight, x, y, z, frame, equations)
            if members >= least and _solve(equations, LEAST_SPREAD * equations[0, 0]):
                larger, smaller = _curvatures(equations)
                k1[m], k2[m], used[m] = larger / ball, smaller / ball, ball
                break
            ball *= growth
    return k1, k2, used
