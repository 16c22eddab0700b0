"""The truth about what a viewpoint sees: of each landmark, and of each patch of the face.

A landmark is VISIBLE, hidden BY_SELF (the face turned away, or behind the nose) or BY_OCCLUDER (the face alone would
show it). Seen is seen: it is visible if any of the surface next to it is, within 2.5 mm on the neutral face or one edge
of the mesh, because corners of lids and lips lie in creases too narrow for a depth map. Clear lenses hide nothing,
their frames do.

The patches are the 24 of gACNN [1], which lie about 24 points computed from the 68 of iBUG; ours lie about the same
places computed from the 83 of BU-3DFE. A patch is the skin within 14 mm of its point on the neutral face of the model,
the same vertices for every person and expression; its share is the area of its visible vertices over that of all.

References:
    .. [1] Li, Zeng, Shan, Chen. Occlusion aware facial expression recognition using CNN with attention mechanism.
       IEEE Transactions on Image Processing 28(5), 2019.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from fer3d.face.model import SKIN, FaceModel
from fer3d.kernels.shadow import depth_map, seen_share
from fer3d.landmarks import BU83
from fer3d.synth.optics.scene import Scene, around, seen_from

VISIBLE, BY_SELF, BY_OCCLUDER = "visible", "hidden_by_self", "hidden_by_occluder"

# Patch -> BU numbers of the landmarks whose mean is its centre, and a shift in mm (x away from the middle, y up). Named
# for the left side of the subject; each with a number in the second place has a twin on the right.
_MIDDLE = {
    "nose_bridge": ((37, 48), (0.0, 0.0)),
    "nose_tip": ((84,), (0.0, 0.0)),
    "upper_lip": ((52,), (0.0, 0.0)),
    "lower_lip": ((58,), (0.0, 0.0)),
}
_SIDES = {
    "brow_inner": ((17, 26), (27, 36), (0.0, 5.0)),
    "brow_outer": ((20, 23), (30, 33), (0.0, 2.0)),
    "brow_eye": ((19, 3), (29, 11), (0.0, 0.0)),
    "eye_inner": ((1,), (9,), (0.0, 0.0)),
    "eye_outer": ((5,), (13,), (0.0, 0.0)),
    "under_eye": ((7,), (15,), (0.0, -5.0)),
    "cheek": ((49,), (55,), (8.0, 12.0)),
    "jaw": ((49, 72), (55, 80), (0.0, 0.0)),
    "mouth_corner": ((49,), (55,), (0.0, 0.0)),
    "chin": ((59, 76), (57, 76), (6.0, 0.0)),
}
PATCHES = (*_MIDDLE, *(f"{name}_{side}" for name in _SIDES for side in ("left", "right")))
PATCH_RADIUS = 14.0  # mm

_NEXT_TO = 2.5  # mm
_PIXEL = 1.0  # mm of the depth maps
_BIAS = 1.0  # mm that a point may lie behind the surface that a depth map shows: it is coarser than the mesh
LIFT = 0.7  # mm along its normal that a point is moved before it is looked up, lest steep surface hides itself
_GRAZING = 0.08  # cosine of the slant beyond which a point is turned away


class Visibility(NamedTuple):
    """What was to be seen: landmark -> VISIBLE, BY_SELF or BY_OCCLUDER; patch -> share of it, 0 to 1."""

    landmarks: dict[str, str]
    patches: dict[str, float]


@lru_cache(maxsize=4)
def patch_vertices(model: FaceModel) -> dict[str, NDArray[np.int64]]:
    """Patch -> rows of the vertices of a face model that belong to it, in the order of `PATCHES`."""
    skin = np.zeros(len(model.neutral), np.bool_)
    skin[model.triangles[model.part == SKIN]] = True
    rows = np.flatnonzero(skin & (_frontal_area(model) > 0))
    tree = cKDTree(model.neutral[rows])
    found: dict[str, NDArray[np.int64]] = {}
    for name, centre in _patch_centres(model).items():
        centre = model.neutral[rows[tree.query(centre)[1]]]  # back on the surface
        found[name] = rows[np.sort(tree.query_ball_point(centre, PATCH_RADIUS))]
    return found


@lru_cache(maxsize=4)
def _frontal_area(model: FaceModel) -> NDArray[np.float64]:
    """(V,) float64: z of the area-weighted normals of the neutral face, mm2: its frontal area about each vertex."""
    a, b, c = (model.neutral[model.triangles[:, k]] for k in range(3))
    frontal = np.cross(b - a, c - a)[:, 2] / 6.0
    return np.asarray(np.bincount(model.triangles.T.ravel(), np.tile(frontal, 3), len(model.neutral)), np.float64)


@lru_cache(maxsize=4)
def _next_to_landmarks(model: FaceModel) -> dict[str, NDArray[np.int64]]:
    """Landmark -> rows of the vertices next to it."""
    tree = cKDTree(model.neutral)
    found = {}
    for name, row in model.landmarks.items():
        ring = model.triangles[(model.triangles == row).any(axis=1)].ravel()
        found[name] = np.union1d(ring, tree.query_ball_point(model.neutral[row], _NEXT_TO))
    return found


def _patch_centres(model: FaceModel) -> dict[str, NDArray[np.float64]]:
    def mean(numbers: tuple[int, ...]) -> NDArray[np.float64]:
        rows = [model.landmarks[BU83.get(n, f"bu83_{n:02d}")] for n in numbers]
        return np.asarray(model.neutral[rows].mean(axis=0))

    centres = {name: mean(numbers) for name, (numbers, _) in _MIDDLE.items()}
    for name, (left, right, (out, up)) in _SIDES.items():
        centres[f"{name}_left"] = mean(left) + np.array([out, up, 0.0])
        centres[f"{name}_right"] = mean(right) + np.array([-out, up, 0.0])
    return {name: centres[name] for name in PATCHES}


def visibility(scene: Scene, towards: Sequence[NDArray[np.float64]] = (np.array([0.0, 0.0, 1.0]),)) -> Visibility:
    """What at least one of several eyes sees of the face.

    Args:
        scene: The face and its occluders.
        towards: Directions (3,) from the face to each eye, which are far away.
    """
    V = len(scene.model.neutral)
    count = len(scene.model.triangles)
    occluded = len(scene.triangles) > count
    alone, behind = np.zeros(V, np.bool_), np.zeros(V, np.bool_)
    lifted = scene.points[:V] + LIFT * scene.normals[:V]
    for toward in towards:
        turned = scene.normals[:V] @ (toward / np.linalg.norm(toward)) > _GRAZING
        points, asked = seen_from(scene.points, toward), seen_from(lifted, toward)
        seen = turned & (exposed(points, scene.triangles[:count], asked) > 0.5)
        alone |= seen
        if occluded:
            seen = seen & (exposed(points, scene.triangles[count:], asked) > 0.5)
        behind |= seen
    states = {
        name: VISIBLE if behind[near].any() else BY_OCCLUDER if alone[near].any() else BY_SELF
        for name, near in _next_to_landmarks(scene.model).items()
    }
    area = np.maximum(_frontal_area(scene.model), 0.0)
    patches = {
        name: min(float(area[vertices] @ behind[vertices] / area[vertices].sum()), 1.0)
        for name, vertices in patch_vertices(scene.model).items()
    }
    return Visibility(states, patches)


def exposed(
    points: NDArray[np.float64],
    triangles: NDArray[np.int32],
    asked: NDArray[np.float64],
    pixel: float = _PIXEL,
    bias: float = _BIAS,
) -> NDArray[np.float32]:
    """(N,) float32: share of the neighbourhood of each asked point that no triangle stands before.

    Args:
        points: (V, 3) float64, as `seen_from` has them for the eye or lamp.
        triangles: (F, 3) int32. What may stand before.
        asked: (N, 3) float64, alike.
        pixel: Of the depth map, mm.
        bias: mm.
    """
    window = around(points, pixel)
    depth = depth_map(window.pixels(points), triangles, window.rows, window.columns)
    share: NDArray[np.float32] = seen_share(window.pixels(asked), depth, bias / pixel)
    return share
