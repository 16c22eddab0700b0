"""A picture of a found face from the front, with its points; and one of a scan in which none was found."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from fer3d.kernels import topology
from fer3d.kernels.normals import vertex_normals
from fer3d.kernels.raster import NO_JITTER, zbuffer
from fer3d.prepare.drawing import Picture, shaded_picture
from fer3d.prepare.landmarks.found import FoundLandmarks, finite
from fer3d.prepare.landmarks.reference import mean_points
from fer3d.prepare.landmarks.sighting import axes_views
from fer3d.prepare.outward import outward
from fer3d.scan import Scan

_WIDTH = 220.0  # mm that a picture shows
_BELOW = 5.0  # mm from the nose tip down to the middle of a picture
_OUTERMOST, _FILLED = 0.01, 0.9  # share of a scan at each end that may be cut off; share of a picture that it fills
_ROUGH = 64  # pixels a side of the pictures that are compared
_FINE = 3  # pixels that make one, so that discs have smooth edges
_RADIUS = 1.5  # mm of a disc
COLOURS = ((214, 60, 50), (244, 180, 60), (60, 170, 240))  # of a confidence of 0, 0.5 and 1

_Floats = NDArray[np.float64]


def portrait(scan: Scan, found: FoundLandmarks, side: int = 320) -> Picture:
    """Draw a face from the front with its points.

    A point is a disc whose colour tells its confidence, see `COLOURS`. A point whose place the scan does not show is a
    ring, where the mean face would have it.

    Args:
        scan: The scan in the frame of its file.
        found: Its face.
        side: Width and height in pixels.

    Returns:
        (side, side, 3) uint8.
    """
    surface = shaded_picture(_normals(scan, found.pose, side))
    fine = _FINE * side
    picture = Image.fromarray(surface).resize((fine, fine), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(picture)
    known = np.asarray(np.isfinite(found.positions).all(axis=1))
    places = np.where(known[:, None], found.positions @ found.pose[:3, :3].T + found.pose[:3, 3], mean_points())
    radius = _RADIUS * fine / _WIDTH
    for (x, y), seen, confidence in zip(_pixels(places, fine)[:, :2], known, found.confidence, strict=True):
        box = (x - radius, y - radius, x + radius, y + radius)
        if seen:
            draw.ellipse(box, fill=_colour(confidence), outline=(20, 20, 20))
        else:
            draw.ellipse(box, outline=(150, 155, 162), width=max(1, round(0.3 * radius)))
    return np.asarray(picture.resize((side, side), Image.Resampling.BOX))


def whole(scan: Scan, side: int = 320) -> Picture:
    """Draw all of a scan along the axis of its file that shows most of it, (side, side, 3) uint8: what is it?

    Vertices that are not finite are left out. PrepareError if none is left.
    """
    scan = finite(scan)
    points = scan.vertices[np.unique(scan.faces)].astype(np.float64)
    poses = [_filling(points, view) for view in axes_views()]
    shown = [np.isfinite(_normals(scan, pose, _ROUGH)[2]).sum() for pose in poses]
    return shaded_picture(_normals(scan, poses[int(np.argmax(shown))], side))


def _filling(points: _Floats, view: _Floats) -> _Floats:
    """(4, 4): the pose in which points (N, 3) fill a picture from one side; `view` (3, 3) is right, up, towards."""
    low, high = np.quantile(points @ view.T, (_OUTERMOST, 1.0 - _OUTERMOST), axis=0)
    size = _FILLED * _WIDTH / max(float((high - low)[:2].max()), 1e-30)
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = size * view, -0.5 * size * (low + high) - [0.0, _BELOW, 0.0]
    return pose


def _normals(scan: Scan, pose: _Floats, side: int) -> _Floats:
    """(3, side, side) float64: the normals of the surface from the front, NaN where there is none."""
    seen = outward(scan)
    linear = pose[:3, :3]
    placed = seen.vertices.astype(np.float64) @ linear.T + pose[:3, 3]
    face, bary = zbuffer(_pixels(placed, side), seen.faces, side, side, NO_JITTER)
    turned = vertex_normals(seen.vertices, seen.faces, topology.weld(seen.vertices)).astype(np.float64) @ linear.T
    mixed: _Floats = np.einsum("hwk,hwkc->chw", bary, turned[seen.faces[face]])
    mixed /= np.maximum(np.linalg.norm(mixed, axis=0), 1e-30)
    return np.where(face >= 0, mixed, np.nan)


def _pixels(points: _Floats, side: int) -> _Floats:
    """(N, 3) points of the frontal frame as column, row and depth in pixels."""
    half, scale = 0.5 * side - 0.5, side / _WIDTH
    return np.stack([half + scale * points[:, 0], half - scale * (points[:, 1] + _BELOW), scale * points[:, 2]], axis=1)


def _colour(confidence: float) -> tuple[int, int, int]:
    steps = np.linspace(0.0, 1.0, len(COLOURS))
    red, green, blue = (round(float(np.interp(confidence, steps, channel))) for channel in zip(*COLOURS, strict=True))
    return red, green, blue
