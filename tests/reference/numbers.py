"""Slow and obvious: the definitions of the ops in csrc/numbers. Used by the tests and by the benchmark."""

import re

import numpy as np

SPECIALS = {"#INF": "inf", "#IND": "nan", "#QNAN": "nan", "#SNAN": "nan"}


def tokens(text):
    """The words of a text whose separators are white space and commas and whose comments reach from # to line end."""
    text = re.sub(r"(\.)(#INF|#IND|#QNAN|#SNAN)0*", lambda match: f"!{SPECIALS[match[2]]}", text)
    text = re.sub(r"#[^\n\r]*", " ", text)
    return re.sub(r"[\s,]+", " ", text).split()


def real(token):
    sign, _, special = token.partition("!")
    return float(token) if not special else float(special) * (-1 if sign.startswith("-") else 1)


def float_block(text, dtype):
    with np.errstate(over="ignore"):
        return np.array([real(token) for token in tokens(text)], dtype=np.float64).astype(dtype)


def polygon_block(text):
    """Triangles of fans, and the polygon of each."""
    polygons = [[]]
    for token in tokens(text):
        if int(token) == -1:
            polygons.append([])
        else:
            polygons[-1].append(int(token))
    if not polygons[-1]:
        polygons.pop()
    faces = [
        (number, polygon[0], polygon[k], polygon[k + 1])
        for number, polygon in enumerate(polygons)
        for k in range(1, len(polygon) - 1)
    ]
    table = np.array(faces, np.int32).reshape(-1, 4)
    return table[:, 1:], table[:, 0]


def split_vertices(faces, uv_faces, vertices):
    """A vertex for each distinct (vertex, uv) pair: the first pair of an old vertex keeps its row."""
    row_of = {}
    vertex_of, uv_of = list(range(vertices)), [-1] * vertices
    for vertex, uv in zip(faces.ravel().tolist(), uv_faces.ravel().tolist(), strict=True):
        if (vertex, uv) in row_of:
            continue
        if uv_of[vertex] == -1:
            row_of[vertex, uv], uv_of[vertex] = vertex, uv
        else:
            row_of[vertex, uv] = len(vertex_of)
            vertex_of.append(vertex)
            uv_of.append(uv)
    pairs = zip(faces.ravel().tolist(), uv_faces.ravel().tolist(), strict=True)
    return np.array([row_of[pair] for pair in pairs], np.int32).reshape(-1, 3), vertex_of, uv_of
