"""The points of all schemes on the face models: symmetric, apart, on the skin that a scanner sees, alike."""

import numpy as np
import pytest

from fer3d.face.load import builtin_face, load_face
from fer3d.face.model import EYE, SKIN
from fer3d.landmarks import MIRRORED, POINT_NAMES, SCHEMES, bu83_name, scheme_points
from fer3d.synth.optics.scene import set_up
from fer3d.synth.optics.visibility import VISIBLE, visibility
from tests.face.test_ict import ICT, needs_ict

MODELS = ["builtin", pytest.param("ict", marks=needs_ict)]
BU = [bu83_name(n) for n in range(84)]  # by number
IBUG = SCHEMES["ibug68"]
LIDS = [IBUG[k] for k in (37, 38, 40, 41, 43, 44, 46, 47)]

# Group -> points, and the largest mean and single distance between the mean faces, mm.
GROUPS = {
    "eye corners": ((*BU[1:10:4], BU[13]), 5.5, 6.0),
    "lids": (
        (*BU[2:5], *BU[6:9], *BU[10:13], *BU[14:17], *IBUG[37:39], *IBUG[40:42], *IBUG[43:45], *IBUG[46:48]),
        5,
        6,
    ),
    "brows": ((*BU[17:37], *IBUG[17:27]), 7.0, 8.6),  # the brows of ICT-FaceKit lie 5 mm higher
    "bridge and sides of the nose": ((*IBUG[27:30], *BU[37:40], *BU[46:49]), 4.0, 5.0),
    "tip and base of the nose": (("pronasale", "alare_left", "alare_right", *IBUG[31:36]), 3.2, 4.5),
    "lips": ((*BU[49:69],), 3.2, 4.7),
    "jaw": ((*IBUG[:17],), 6.2, 8.0),
    "chin": (("pogonion", "ibug68_08"), 5.7, 7.6),  # that of ICT-FaceKit is shorter
}


@pytest.fixture(scope="module")
def models():
    return {"builtin": builtin_face()} | ({"ict": load_face(ICT)} if ICT.exists() else {})


def positions(model):
    return np.array([model.neutral[model.landmarks[name]] for name in POINT_NAMES])


@pytest.mark.parametrize("name", MODELS)
def test_mirrored_names_are_mirror_images(models, name):
    points = positions(models[name])
    mirrored = points[[POINT_NAMES.index(MIRRORED[point]) for point in POINT_NAMES]] * [-1, 1, 1]
    np.testing.assert_allclose(mirrored, points, atol=0.01)
    left = np.array([point.endswith("_left") for point in POINT_NAMES])
    assert (points[left, 0] > 10).all()


@pytest.mark.parametrize("name", MODELS)
def test_points_lie_on_skin_and_are_seen_from_the_front(models, name):
    model = models[name]
    skin = set(np.unique(model.triangles[(model.part == SKIN) | (model.part == EYE)]).tolist())
    assert set(model.landmarks.values()) <= skin
    assert len(set(model.landmarks.values())) == len(POINT_NAMES)  # no two points are one vertex
    seen = visibility(set_up(model, model.neutral, np.eye(4))).landmarks
    hidden = {point for point in POINT_NAMES if seen[point] != VISIBLE}
    assert hidden <= {IBUG[0], IBUG[1], IBUG[15], IBUG[16]}  # beside the ears the surface is seen edge-on


@pytest.mark.parametrize("name", MODELS)
def test_points_are_in_order_along_their_curves(models, name):
    model = models[name]
    p = scheme_points(model.landmark_points(model.neutral), "ibug68")
    b = scheme_points(model.landmark_points(model.neutral), "bu83")
    assert (np.diff(p[:17, 0]) > 0).all()  # jaw: from the subject's right to the left, down and up again
    assert (np.diff(p[:9, 1]) < 0).all()
    for row in (p[17:27], p[31:36], p[48:55], p[60:65]):  # brows, below the nose, upper lips: to the left
        assert (np.diff(row[:, 0]) > 0).all()
    for row in (p[[54, 55, 56, 57, 58, 59, 48]], p[[64, 65, 66, 67, 60]]):  # lower lips: back
        assert (np.diff(row[:, 0]) < 0).all()
    assert (np.diff(p[27:31], axis=0)[:, 1:] * [-1, 1] > 4).all()  # bridge of the nose: down and forward
    for k in range(5):  # the middle of a brow lies between its edges
        assert b[25 - k, 1] < p[22 + k, 1] < b[16 + k, 1]
    for corner, upper, other, lower in ((36, (37, 38), 39, (41, 40)), (42, (43, 44), 45, (47, 46))):
        for above, below in zip(upper, lower, strict=True):
            assert p[corner, 0] < p[above, 0] < p[other, 0]
            assert abs(p[above, 0] - p[below, 0]) < 1.0
            assert p[above, 1] > max(p[corner, 1], p[other, 1]) > p[below, 1]


def aligned(source, target):
    """`source` after the similarity that brings it closest to `target`."""
    a, c = source - source.mean(axis=0), target - target.mean(axis=0)
    u, s, v = np.linalg.svd(a.T @ c)
    return s.sum() / (a**2).sum() * a @ u @ v + target.mean(axis=0)


@needs_ict
@pytest.mark.parametrize("group", GROUPS)
def test_both_mean_faces_have_the_points_at_the_same_places(models, group):
    ict, builtin = positions(models["ict"]), positions(models["builtin"])
    names, mean, single = GROUPS[group]
    rows = [POINT_NAMES.index(name) for name in names]
    away = np.linalg.norm(aligned(ict, builtin) - builtin, axis=1)[rows]
    assert away.mean() < mean
    assert away.max() < single


def test_every_point_is_in_a_group():
    assert {name for names, _, _ in GROUPS.values() for name in names} == set(POINT_NAMES)
