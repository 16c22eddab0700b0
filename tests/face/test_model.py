"""The built-in face: proportions, symmetry, topology, modes that move the right points the right way."""

import numpy as np
import pytest
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from fer3d.errors import ArgumentError
from fer3d.face.load import builtin_face, mean_face
from fer3d.face.model import EYE, MOUTH, SKIN, TEETH
from fer3d.landmarks import CANONICAL_LANDMARKS, POINT_NAMES
from fer3d.scan import Scan
from fer3d.synth.acting import expression
from tests.mesh_checks import turned


@pytest.fixture(scope="module")
def model():
    return builtin_face()


def normals(points, triangles):
    a, b, c = (points[triangles[:, k]] for k in range(3))
    return np.cross(b - a, c - a)


def moved(model, name, landmark):
    """How a mode at weight 1 moves a landmark, mm."""
    return model.expression_modes[model.expression_names.index(name), model.landmarks[landmark]].astype(float)


def test_sizes(model):
    V = len(model.neutral)
    assert 25_000 < V < 35_000
    assert model.identity_modes.shape[0] >= 30
    assert model.identity_modes.shape[1:] == model.expression_modes.shape[1:] == (V, 3)
    assert set(np.unique(model.part)) == {SKIN, EYE, MOUTH, TEETH}
    assert len(set(model.expression_names)) == len(model.expression_names)


def test_every_vertex_has_its_mirror_image_to_the_last_bit(model):
    rows = {tuple(p) for p in model.neutral.tolist()}
    assert {(-x + 0.0, y, z) for x, y, z in rows} == {(x + 0.0, y, z) for x, y, z in rows}


def test_triangles_are_mirrored_too(model):
    """Each triangle has a mirror image with the corners the other way round."""
    points = model.neutral.round(9) + 0.0
    mirror = points * [-1.0, 1.0, 1.0] + 0.0

    def canonical(corners):
        lists = corners.tolist()
        return sorted(tuple(sorted(map(tuple, triangle))) for triangle in lists)

    skin = model.triangles[model.part != MOUTH]
    assert canonical(points[skin]) == canonical(mirror[skin])


def test_proportions_are_those_of_a_face(model):
    at = model.landmark_points(model.neutral)

    def distance(a, b):
        return np.linalg.norm(at[a] - at[b])

    assert distance("exocanthion_left", "exocanthion_right") == pytest.approx(89, abs=2)
    assert distance("endocanthion_left", "endocanthion_right") == pytest.approx(32, abs=2)
    assert distance("cheilion_left", "cheilion_right") == pytest.approx(50, abs=2)
    assert distance("alare_left", "alare_right") == pytest.approx(35, abs=2)
    assert at["pronasale"][2] - at["subnasale"][2] == pytest.approx(19, abs=2)
    assert distance("pronasale", "pogonion") == pytest.approx(68, abs=3)
    assert np.ptp(model.neutral[:, 0]) == pytest.approx(141, abs=3)
    dorsum = model.neutral[
        (np.abs(model.neutral[:, 0]) < 0.5) & (model.neutral[:, 1] > 25) & (model.neutral[:, 1] < 60)
    ]
    nasion = dorsum[dorsum[:, 2].argmin()]
    assert np.linalg.norm(nasion - at["pronasale"]) == pytest.approx(49, abs=3)


def test_left_is_the_subjects_left(model):
    at = model.landmark_points(model.neutral)
    for name, point in at.items():
        if name.endswith("_left"):
            assert point[0] > 5
            assert np.allclose(at[name.replace("_left", "_right")], point * [-1, 1, 1])
    assert at["exocanthion_left"][0] > at["endocanthion_left"][0] > 0
    for inner, outer, upper, lower in ((1, 5, 3, 7), (9, 13, 11, 15)):
        eye = [at[name] for name in _names(inner, outer, upper, lower)]
        assert abs(eye[0][0]) < abs(eye[2][0]) < abs(eye[1][0])
        assert eye[2][1] > eye[3][1] + 6
    assert at["bu83_17"][0] > 0 > at["bu83_27"][0]
    assert at["bu83_69"][0] > 60
    assert at["bu83_83"][0] < -60
    assert at["bu83_63"][1] == at["bu83_67"][1]  # lips closed: one point of the line, two vertices
    assert model.landmarks["bu83_63"] != model.landmarks["bu83_67"]


def _names(*numbers):
    from fer3d.landmarks import bu83_names

    return bu83_names(np.array(numbers))


def test_all_points_are_there_and_on_the_skin(model):
    assert tuple(model.landmarks) == POINT_NAMES
    on_skin = set(np.unique(model.triangles[model.part != MOUTH]).tolist())
    assert set(model.landmarks.values()) <= on_skin


def test_the_surface_is_face_eyes_and_teeth(model):
    both = np.concatenate([model.triangles[:, [0, 1]], model.triangles[:, [1, 2]], model.triangles[:, [2, 0]]])
    assert len(np.unique(both, axis=0)) == len(both)  # each directed edge once: manifold, one orientation
    edges, count = np.unique(np.sort(both, axis=1), axis=0, return_counts=True)
    graph = coo_matrix((np.ones(len(edges)), edges.T), shape=(len(model.neutral),) * 2)
    _, component = connected_components(graph, directed=False)
    assert np.bincount(component).min() > 100  # no stray vertices
    parts = [
        set(np.unique(model.part[component[model.triangles[:, 0]] == k]).tolist()) for k in range(component.max() + 1)
    ]
    assert sorted(map(sorted, parts)) == [[SKIN, MOUTH], [EYE], [EYE], [TEETH], [TEETH]]
    boundary = edges[count == 1]
    rows, columns = 162, 169
    skin = component[model.landmarks["pronasale"]]
    outer = 2 * (rows - 1) + 2 * (columns - 1)
    eyes = 2 * sum(len(lid.lower) + 1 for lid in model.lids)  # the mouth is closed by its hollow, eyes are open
    assert (component[boundary[:, 0]] == skin).sum() == outer + eyes


@pytest.mark.parametrize("label", expression.RECIPES)
def test_prototypes_turn_no_triangle_over(model, label):
    shape = model.shape(
        expression=model.mode_weights(expression.weights(expression.recipe(label), 1.0, model.action_units))
    )
    assert turned(model.neutral, shape, model.triangles).mean() < 0.001


def test_neutral_faces_outwards(model):
    towards_camera = normals(model.neutral, model.triangles)[:, 2] >= 0
    for part in (SKIN, EYE, TEETH):
        assert towards_camera[model.part == part].mean() > 0.98  # edges of the lids face the other lid


def test_smile_moves_corners_up_and_out(model):
    left, right = moved(model, "AU12_L", "cheilion_left"), moved(model, "AU12_R", "cheilion_right")
    assert left[0] > 3
    assert left[1] > 3
    assert np.array_equal(right, left * [-1, 1, 1])
    assert np.abs(moved(model, "AU12_L", "cheilion_right")).max() < 0.5


@pytest.mark.parametrize(
    ("mode", "landmark", "axis", "sign", "least"),
    [
        ("AU27", "pogonion", 1, -1, 13),
        ("AU27", "labiale_inferius", 1, -1, 13),
        ("AU1_L", "bu83_17", 1, 1, 4),
        ("AU2_R", "bu83_30", 1, 1, 4),
        ("AU4_L", "bu83_17", 1, -1, 2),
        ("AU4_L", "bu83_17", 0, -1, 1),
        ("AU43_L", "bu83_03", 1, -1, 7),
        ("AU5_R", "bu83_11", 1, 1, 1),
        ("AU7_L", "bu83_07", 1, 1, 1),
        ("AU15_R", "cheilion_right", 1, -1, 3),
        ("AU20_R", "cheilion_right", 0, -1, 4),
        ("AU10_L", "labiale_superius", 1, 1, 2),
        ("AU16_L", "labiale_inferius", 1, -1, 2),
        ("AU9_L", "alare_left", 1, 1, 2),
        ("AU18", "cheilion_left", 0, -1, 5),
        ("AU18", "labiale_superius", 2, 1, 3),
        ("AU17", "pogonion", 1, 1, 3),
    ],
)
def test_modes_move_what_they_are_named_for(model, mode, landmark, axis, sign, least):
    assert sign * moved(model, mode, landmark)[axis] > least


def test_open_jaw_parts_the_lips_and_leaves_the_upper(model):
    assert np.abs(moved(model, "AU27", "labiale_superius")).max() < 1.0
    at = model.landmark_points(model.shape(expression={"AU27": 0.5}))
    assert at["bu83_63"][1] - at["bu83_67"][1] > 6
    assert np.abs(at["exocanthion_left"] - model.landmark_points(model.neutral)["exocanthion_left"]).max() < 1e-6


def test_right_modes_mirror_left_ones(model):
    mirror = {tuple(p): row for row, p in enumerate((model.neutral + 0.0).tolist())}
    seam = len(model.neutral) - len(mirror)  # the line between the lips is there twice
    row = np.array([mirror[(-x + 0.0, y, z)] for x, y, z in model.neutral.tolist()])
    twice = np.bincount(row, minlength=len(row)) != 1
    assert twice.sum() <= 2 * seam
    for k, name in enumerate(model.expression_names):
        if name.endswith("_L"):
            left = model.expression_modes[k]
            right = model.expression_modes[model.expression_names.index(name[:-2] + "_R")]
            assert np.array_equal(right[row][~twice[row]], (left * [-1, 1, 1])[~twice[row]].astype(np.float32)), name


def test_shape_is_linear_and_checks_its_arguments(model):
    identity = np.linspace(-1, 1, len(model.identity_modes))
    both = model.shape(identity, {"AU27": 0.5, "AU12_L": 1.0}) - model.neutral
    parts = (model.shape(identity) - model.neutral) + (model.shape(None, {"AU27": 0.5, "AU12_L": 1}) - model.neutral)
    assert np.allclose(both, parts, atol=1e-4)
    assert np.array_equal(model.shape(), model.neutral)
    with pytest.raises(ArgumentError, match=r"`identity` should have shape \(\d+\), has \(3,\)|`identity` should have"):
        model.shape(np.zeros(3))
    with pytest.raises(ArgumentError, match="`expression` should name modes of the face model builtin, names 'wink'"):
        model.shape(None, {"wink": 1.0})


def test_identities_differ_and_stay_faces(model):
    generator = np.random.default_rng(3)
    skin = model.triangles[model.part == SKIN]
    before = normals(model.neutral, skin)
    for _ in range(5):
        shape = model.shape(generator.normal(size=len(model.identity_modes)))
        assert 1.0 < np.abs(shape - model.neutral).max() < 25.0
        assert ((before * normals(shape, skin)).sum(axis=1) <= 0).mean() < 0.01


def test_mean_face_is_aligned(model):
    face = mean_face()
    assert isinstance(face, Scan)
    assert face is mean_face()
    assert set(face.landmarks) == set(CANONICAL_LANDMARKS)
    assert np.array_equal(face.landmarks["pronasale"], np.zeros(3))
    assert face.vertices[:, 2].max() == 0
    assert np.array_equal(face.vertices[face.vertices[:, 2].argmax()], np.zeros(3, np.float32))
    assert len(np.unique(face.faces)) == len(face.vertices)
    assert face.landmarks["exocanthion_left"][0] > 0
    rows = {tuple(p) for p in (face.vertices + 0.0).tolist()}
    assert {(-x + 0.0, y, z) for x, y, z in rows} == rows


def test_uv_do_not_fold(model):
    uv = model.uv[model.triangles].astype(float)
    a, b, c = uv[:, 0], uv[:, 1], uv[:, 2]
    area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (c[:, 0] - a[:, 0]) * (b[:, 1] - a[:, 1])
    assert (area > -1e-12).all()
    assert model.uv.min() >= 0
    assert model.uv.max() <= 1


def test_a_model_is_checked(model):
    from dataclasses import replace

    with pytest.raises(ArgumentError, match="`neutral` should have dtype float64, has float32"):
        replace(model, neutral=model.neutral.astype(np.float32))
    with pytest.raises(ArgumentError, match="`landmarks` should hold every canonical landmark, lacks pogonion"):
        replace(model, landmarks={k: v for k, v in model.landmarks.items() if k != "pogonion"})
    with pytest.raises(ArgumentError, match=r"`expression_names` should name \d+ modes, names 1"):
        replace(model, expression_names=("AU27",))
    with pytest.raises(ArgumentError, match=r"`triangles` should hold rows in \[0, 30123\)"):
        replace(model, triangles=model.triangles + np.int32(7))
