"""Ground truth of visibility: which landmarks and which share of each patch of a face a viewpoint sees.

A landmark is VISIBLE, hidden BY_SELF (surface that faces away, or behind other parts of the face) or BY_OCCLUDER (it
would be visible without occluders). It counts as visible if any vertex next to it is visible, that is, within 2.5 mm on
the neutral face or one edge of the mesh, because corners of lids and lips lie in creases that are too narrow for a
depth map. Clear lenses hide nothing, their frames do.

The patches are the 24 of gACNN [1]. Their centres there are computed from the 68 landmarks of iBUG, ours are at the
same places, computed from the 83 landmarks of BU-3DFE. A patch is the skin within 14 mm of its centre on the neutral
face of the model, with the same vertices for every person and expression. Its visible share is the area of its visible
vertices over the area of all.

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
from fer3d.landmarks import bu83_name
from fer3d.synth.optics.scene import Scene, around, seen_from

VISIBLE, BY_SELF, BY_OCCLUDER = "visible", "hidden_by_self", "hidden_by_occluder"

# Patch -> BU numbers of the landmarks whose mean is its centre, and a shift in mm (x away from the middle, y up).
# `_SIDES`: numbers for the left side of the subject, then for the right side.
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

_NEXT_TO = 2.5  # distance from a landmark within which vertices are next to it, mm
_PIXEL = 1.0  # pixel of the depth maps, mm
_BIAS = 1.0  # mm by which a visible point may lie behind the depth map, which is coarser than the mesh
LIFT = 0.7  # mm by which a point moves along its normal before the test, so that steep surface does not hide itself
_GRAZING = 0.08  # smallest cosine of the slant at which a point is visible


class Visibility(NamedTuple):
    """Visibility: landmark -> VISIBLE, BY_SELF or BY_OCCLUDER; patch -> visible share, 0 to 1."""

    landmarks: dict[str, str]
    patches: dict[str, float]


@lru_cache(maxsize=4)
def patch_vertices(model: FaceModel) -> dict[str, NDArray[np.int64]]:
    """Patch -> rows of its vertices in the face model, in the order of `PATCHES`."""
    skin = np.zeros(len(model.neutral), np.bool_)
    skin[model.triangles[model.part == SKIN]] = True
    rows = np.flatnonzero(skin & (_frontal_area(model) > 0))
    tree = cKDTree(model.neutral[rows])
    result: dict[str, NDArray[np.int64]] = {}
    for name, centre in _patch_centres(model).items():
        centre = model.neutral[rows[tree.query(centre)[1]]]  # project the centre onto the surface
        result[name] = rows[np.sort(tree.query_ball_point(centre, PATCH_RADIUS))]
    return result


@lru_cache(maxsize=4)
def _frontal_area(model: FaceModel) -> NDArray[np.float64]:
    """(V,) float64: frontal area of each vertex of the neutral face, mm^2: z of its area-weighted normal."""
    a, b, c = (model.neutral[model.triangles[:, k]] for k in range(3))
    frontal = np.cross(b - a, c - a)[:, 2] / 6.0
    return np.asarray(np.bincount(model.triangles.T.ravel(), np.tile(frontal, 3), len(model.neutral)), np.float64)


@lru_cache(maxsize=4)
def _next_to_landmarks(model: FaceModel) -> dict[str, NDArray[np.int64]]:
    """Landmark -> rows of the vertices next to it."""
    tree = cKDTree(model.neutral)
    result = {}
    for name, row in model.landmarks.items():
        ring = model.triangles[(model.triangles == row).any(axis=1)].ravel()
        result[name] = np.union1d(ring, tree.query_ball_point(model.neutral[row], _NEXT_TO))
    return result


def _patch_centres(model: FaceModel) -> dict[str, NDArray[np.float64]]:
    def mean(numbers: tuple[int, ...]) -> NDArray[np.float64]:
        rows = [model.landmarks[bu83_name(n)] for n in numbers]
        return np.asarray(model.neutral[rows].mean(axis=0))

    centres = {name: mean(numbers) for name, (numbers, _) in _MIDDLE.items()}
    for name, (left, right, (out, up)) in _SIDES.items():
        centres[f"{name}_left"] = mean(left) + np.array([out, up, 0.0])
        centres[f"{name}_right"] = mean(right) + np.array([-out, up, 0.0])
    return {name: centres[name] for name in PATCHES}


def visibility(scene: Scene, towards: Sequence[NDArray[np.float64]] = (np.array([0.0, 0.0, 1.0]),)) -> Visibility:
    """Visibility of a face from at least one of several viewpoints.

    Args:
        scene: The face and its occluders.
        towards: Directions (3,) from the face to the viewpoints, which are far away.
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
    """(N,) float32: share of the neighbourhood of each point in `asked` that no triangle hides.

    Args:
        points: (V, 3) float64, from `seen_from` for the direction of the viewpoint or lamp.
        triangles: (F, 3) int32. Triangles that may hide points.
        asked: (N, 3) float64. Points to test, also from `seen_from`.
        pixel: Pixel of the depth map, mm.
        bias: Distance by which a visible point may lie behind the depth map, mm.
    """
    window = around(points, pixel)
    depth = depth_map(window.pixels(points), triangles, window.rows, window.columns)
    share: NDArray[np.float32] = seen_share(window.pixels(asked), depth, bias / pixel)
    return share
