"""Polygon lists of VRML as `polygons.cut` takes them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fer3d.formats.number_blocks import Polygons


def counts_of(polygons: Polygons) -> NDArray[np.int64]:
    """(P,) int64: the number of corners of each polygon."""
    return np.bincount(polygons.polygon) + 2


def corners_of(polygons: Polygons) -> NDArray[np.int32]:
    """(C,) int32: all corners of all polygons, one after the other."""
    faces, polygon = polygons.faces, polygons.polygon
    if len(faces) == int(polygon[-1]) + 1:  # triangles
        return faces.reshape(-1)
    out = np.empty(len(faces) + 2 * (int(polygon[-1]) + 1), np.int32)
    at = np.arange(len(faces)) + 2 * polygon
    out[at + 2] = faces[:, 2]
    begins = np.flatnonzero(np.diff(polygon, prepend=-1))
    out[at[begins]] = faces[begins, 0]
    out[at[begins] + 1] = faces[begins, 1]
    return out
