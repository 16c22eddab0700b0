"""Slow and obvious: straightest geodesics in space, and farthest points by distances between all vertices.

The rays of csrc/sample_tree unfold triangles into a plane. These ones stay in 3D: a point and a direction in the plane
of a face; at an edge the direction is turned about the edge into the plane of the next face.
"""

import numpy as np


def normal(points, face):
    a, b, c = points[face]
    n = np.cross(b - a, c - a)
    return n / np.linalg.norm(n)


def beyond(faces, f, a, b):
    """The face on the other side of edge a -> b of face f, or None."""
    found = [g for g in range(len(faces)) if g != f and a in faces[g] and b in faces[g]]
    return found[0] if len(found) == 1 else None


def fan(points, faces, source):
    """The faces about a vertex, counter-clockwise, each rolled so that the vertex comes first; whether they close."""
    rolled = [np.roll(face, -list(face).index(source)) for face in faces if source in face]
    after = {face[1]: face for face in rolled}
    starts = set(after) - {face[2] for face in rolled}
    at = starts.pop() if starts else min(after)
    ordered = []
    while at in after and len(ordered) < len(rolled):
        ordered.append(after[at])
        at = after[at][2]
    return ordered, at == ordered[0][1]


def angle(points, face):
    """At the first corner."""
    u, v = points[face[1]] - points[face[0]], points[face[2]] - points[face[0]]
    return np.arccos(np.clip(u @ v / np.linalg.norm(u) / np.linalg.norm(v), -1, 1))


def geodesic(points, faces, source, turn, radii):
    """Points at the distances `radii` along one ray, (K, 3), NaN where the surface has ended; how closely it passes one
    of the vertices, which would turn it.

    Args:
        turn: Angle counter-clockwise from the first edge of `fan`, along the surface.
    """
    found, closest = np.full((len(radii), 3), np.nan), np.inf
    for face in fan(points, faces, source)[0]:
        corner = angle(points, face)
        if turn < corner:
            break
        turn -= corner
    else:
        return found, closest
    f = next(g for g in range(len(faces)) if set(faces[g]) == set(face))
    n = normal(points, face)
    along = points[face[1]] - points[source]
    along = along / np.linalg.norm(along)
    place, way = points[source], np.cos(turn) * along + np.sin(turn) * np.cross(n, along)
    edges = [(face[1], face[2])]
    walked = 0.0
    while True:
        # where the ray leaves the face: the edge that it meets first
        best = np.inf
        for a, b in edges:
            side = np.cross(n, points[b] - points[a])  # points into the face
            speed = -way @ side
            if speed > 0 and (length := (place - points[a]) @ side / speed) < best:
                best, over = length, (a, b)
        for k, radius in enumerate(radii):
            if walked <= radius <= walked + best:
                found[k] = place + (radius - walked) * way
        for corner in points[[v for v in faces[f] if v != source]]:
            if 0 < (corner - place) @ way <= best:
                closest = min(closest, np.linalg.norm(np.cross(corner - place, way)))
        if walked + best >= radii[-1]:
            return found, closest
        place, walked = place + best * way, walked + best
        a, b = over
        g = beyond(faces, f, a, b)
        if g is None:
            return found, closest
        edge = (points[b] - points[a]) / np.linalg.norm(points[b] - points[a])
        m = normal(points, faces[g])
        way = (way @ edge) * edge + (way @ np.cross(edge, n)) * np.cross(edge, m)  # turned about the edge
        f, n = g, m
        c = next(v for v in faces[g] if v not in (a, b))
        edges = [(a, c), (c, b)]


def farthest_points(distances, seeds, count):
    """Places in farthest-point order from a matrix of distances between all pairs."""
    order = list(seeds)
    while len(order) < count:
        nearest = distances[:, order].min(axis=1)
        order.append(int(np.argmax(nearest)))
    return order
