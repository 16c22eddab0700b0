"""Slow and obvious: the definitions of the kernels in fer3d/kernels/topology.py and winding.py."""

import math

import numpy as np

from fer3d.kernels.topology import BOUNDARY, CROWDED, DEGENERATE, DUPLICATE, FINE, NOT_FINITE


def weld(vertices):
    first = {}
    return [
        first.setdefault(tuple(point), row) if all(map(math.isfinite, point)) else row
        for row, point in enumerate(vertices.tolist())
    ]


def face_faults(vertices, faces, thin):
    fault, seen = [], set()
    for face in faces.tolist():
        points = vertices[face].astype(float)
        longest = max(np.linalg.norm(points[k] - points[k - 1]) for k in range(3))
        area = np.linalg.norm(np.cross(points[1] - points[0], points[2] - points[0])) / 2
        if not np.isfinite(points).all():
            fault.append(NOT_FINITE)
        elif len(set(face)) < 3 or 2 * area <= thin * longest**2:
            fault.append(DEGENERATE)
        else:
            fault.append(DUPLICATE if frozenset(face) in seen else FINE)
            seen.add(frozenset(face))
    return fault


def edges(faces):
    """The two ends of an edge -> where it is found, as 3 f + k."""
    found = {}
    for f, face in enumerate(faces.tolist()):
        for k in range(3):
            found.setdefault(frozenset((face[k], face[(k + 1) % 3])), []).append(3 * f + k)
    return found


def face_neighbours(faces):
    neighbour = np.full(faces.size, BOUNDARY)
    for places in edges(faces).values():
        if len(places) == 2:
            neighbour[places] = places[::-1]
        elif len(places) > 2:
            neighbour[places] = CROWDED
    return neighbour.reshape(-1, 3)


def components(faces):
    """Label of each face: faces on an edge of two faces are one component."""
    label = list(range(len(faces)))
    for places in edges(faces).values():
        if len(places) == 2:
            a, b = (label[place // 3] for place in places)
            label = [min(a, b) if name in (a, b) else name for name in label]
    number = {name: n for n, name in enumerate(dict.fromkeys(label))}
    return [number[name] for name in label]


def clashes(faces):
    """How many edges of two faces are run the same way by both."""
    corners = faces.ravel()
    return sum(len(places) == 2 and corners[places[0]] == corners[places[1]] for places in edges(faces).values())


def one_sided(faces):
    """Whether no way to turn faces makes all components wound one way (all ways are tried: few faces, please)."""
    ways = (np.array([way >> f & 1 for f in range(len(faces))], bool) for way in range(2 ** max(len(faces) - 1, 0)))
    return all(clashes(np.where(way[:, None], faces[:, ::-1], faces)) for way in ways)


def area(vertices, face):
    a, b, c = vertices[face].astype(float)
    return np.linalg.norm(np.cross(b - a, c - a)) / 2


def component_areas(vertices, faces, label, count):
    return [
        sum(area(vertices, face) for face, name in zip(faces, label, strict=True) if name == n) for n in range(count)
    ]


def boundary_loops(faces):
    """Loops as lists of (vertex, edge), by walking from each boundary edge to the next about the vertex between."""
    neighbour = face_neighbours(faces).ravel()
    corners = faces.ravel().tolist()
    loops, seen = [], set()
    for seed in np.flatnonzero(neighbour == BOUNDARY).tolist():
        walk, cut = [], []
        edge, here, ahead = seed, corners[seed], corners[seed - seed % 3 + (seed + 1) % 3]
        if seed in seen:
            continue
        while edge != CROWDED:
            before = [vertex for vertex, _ in walk]
            if here in before:
                cut.append(walk[before.index(here) :])
                walk = walk[: before.index(here)]
            if edge in seen:
                break
            seen.add(edge)
            walk.append((here, edge))
            here = ahead
            while True:
                f = edge // 3
                edge = next(3 * f + k for k in range(3) if 3 * f + k != edge and here in ends(corners, 3 * f + k))
                if neighbour[edge] < 0:
                    break
                edge = neighbour[edge]
            ahead = sum(ends(corners, edge)) - here
            if neighbour[edge] == CROWDED:
                edge = CROWDED
        if edge == seed:
            loops += cut
    return loops


def ends(corners, edge):
    return corners[edge], corners[edge - edge % 3 + (edge % 3 + 1) % 3]


def loop_extents(vertices, loops):
    return [max(math.dist(vertices[v], vertices[w]) for v, _ in loop for w, _ in loop) for loop in loops]


def component_extents(vertices, faces, label, count):
    label = np.array(label)
    return [np.ptp(vertices[faces[label == n]].reshape(-1, 3), axis=0).max() for n in range(count)]


def vertex_faces(faces, count):
    return [[f for f, face in enumerate(faces.tolist()) for corner in face if corner == v] for v in range(count)]


def kept_rows(faces, keep):
    rows = sorted(set(faces[keep].ravel().tolist()))
    return rows, [[rows.index(v) for v in face] for face in faces[keep].tolist()]


def outwardness(vertices, faces, label, turn, count):
    points = vertices[faces].astype(float)  # (F, corner, 3)
    normal = np.cross(points[:, 1] - points[:, 0], points[:, 2] - points[:, 0]) / 2
    normal[turn] *= -1
    size = np.linalg.norm(normal, axis=1)
    middle = points.mean(axis=1)
    arm = middle - (size[:, None] * middle).sum(axis=0) / size.sum()
    return [
        [
            (arm * normal)[label == n].sum() / (np.linalg.norm(arm, axis=1) * size)[label == n].sum(),
            normal[label == n, 2].sum() / size[label == n].sum(),
        ]
        for n in range(count)
    ]


def mean_normal(vertices, faces, centre, radius):
    points = vertices[faces].astype(float)
    normal = np.cross(points[:, 1] - points[:, 0], points[:, 2] - points[:, 0]) / 2
    near = np.linalg.norm(points.mean(axis=1) - centre, axis=1) <= radius
    return normal[near].sum(axis=0) / np.linalg.norm(normal[near], axis=1).sum() if near.any() else np.zeros(3)
