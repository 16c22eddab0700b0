"""The nose from the shape alone: simulated faces, a real head, and surfaces that are no face.

Many more simulated scans, of a measured face model, are in `benchmarks/bm_landmarks.py`.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from fer3d import formats
from fer3d.errors import ArgumentError, PrepareError
from fer3d.face.load import builtin_face, mean_face
from fer3d.prepare.align import outward, to_millimetres
from fer3d.prepare.clean import clean
from fer3d.prepare.nose import find_nose_tip, protruding_point
from fer3d.scan import EXPRESSIONS, Scan
from fer3d.synth.acting import expression
from fer3d.synth.capture import capture
from fer3d.synth.optics.camera import Camera
from fer3d.synth.optics.scene import pose
from tests import shapes

HEAD = Path(__file__).parents[2].parent / "shared" / "data" / "lee_perry_smith" / "LeePerrySmith.ply"
needs_head = pytest.mark.skipif(not HEAD.exists(), reason="shared/data/lee_perry_smith is not here")

# The head's unit is arbitrary: at 48 mm chin to crown are 205 mm and the outer corners of the eyes 99 mm apart.
HEAD_MM = 48.0

# Yaw, pitch, roll in degrees. Every corner of what the search promises, and what lies between.
POSES = (
    (0, 0, 0),
    (45, 0, 0),
    (-45, 0, 0),
    (0, 45, 0),
    (0, -45, 0),
    (0, 0, 45),
    (10, -15, 180),
    (45, 45, -45),
    (-45, -45, 45),
    (40, -40, 100),
    (-30, 20, -135),
    (25, 10, -20),
)


def degrees(rotation):
    return np.degrees(Rotation.from_matrix(rotation).magnitude())


def simulated(number, angles, **settings):
    """A scan of person `number` with one of the expressions, ready for the search, and the truth about it."""
    model, generator = builtin_face(), np.random.default_rng([42, number])
    identity = np.clip(generator.normal(0.0, 1.0, len(model.identity_modes)), -2.5, 2.5)
    shown = expression.weights(expression.recipe(EXPRESSIONS[number % 7]), 1.0, model.action_units)
    placement = pose(*np.radians(angles), (12.0, -7.0, 60.0))
    camera = Camera(**({"pitch": 2.0} | settings))
    taken = capture(model, model.shape(identity, model.mode_weights(shown)), placement, camera, generator)
    return outward(clean(replace(taken.scan, landmarks={}))), taken


@pytest.mark.parametrize(("number", "angles"), list(enumerate(POSES)), ids=[f"{y},{p},{r}" for y, p, r in POSES])
def test_the_nose_of_a_simulated_scan_is_found_in_any_pose(number, angles):
    scan, truth = simulated(number, angles)
    fit = find_nose_tip(scan)
    assert np.linalg.norm(fit.nose - truth.landmarks["pronasale"]) < 4.0
    assert degrees(fit.rotation @ truth.pose[:3, :3]) < 7.0  # in the benchmark: median 1, worst 6 of 200
    assert fit.relief > 0.6
    assert fit.coverage > 0.9
    assert np.linalg.det(fit.rotation) == pytest.approx(1.0)


def test_noise_spikes_and_holes_do_not_move_the_nose_far():
    scan, truth = simulated(3, (20, -10, 15), noise=0.3, spikes=0.005, holes=12.0)
    assert np.linalg.norm(find_nose_tip(scan).nose - truth.landmarks["pronasale"]) < 4.0


def test_the_same_scan_gives_the_same_bits():
    scan, _ = simulated(4, (20, 30, -10))
    one, two = find_nose_tip(scan), find_nose_tip(replace(scan, vertices=scan.vertices.copy(), faces=scan.faces.copy()))
    assert one.nose.tobytes() == two.nose.tobytes()
    assert one.rotation.tobytes() == two.rotation.tobytes()
    assert (one.score, one.coverage, one.relief) == (two.score, two.coverage, two.relief)


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_vertices_and_faces_moves_the_nose_by_less_than_a_tenth_of_a_millimetre(seed):
    scan, _ = simulated(7, (-20, 15, 30))  # a neutral face
    rng = np.random.default_rng(seed)
    old = rng.permutation(len(scan.vertices))
    faces = np.argsort(old)[scan.faces][rng.permutation(len(scan.faces))].astype(np.int32)
    other = find_nose_tip(Scan.of(scan.vertices[old], faces))
    fit = find_nose_tip(scan)
    assert np.linalg.norm(other.nose - fit.nose) < 0.1
    assert degrees(other.rotation @ fit.rotation.T) < 0.5  # samples fall elsewhere


def test_the_mean_face_lies_on_itself():
    fit = find_nose_tip(mean_face())
    assert np.linalg.norm(fit.nose) < 0.5
    assert degrees(fit.rotation) < 0.5
    assert fit.relief > 0.99
    assert fit.coverage == 1.0


def test_sizes_of_faces_may_differ():
    for size in (0.85, 1.15):
        fit = find_nose_tip(mean_face().moved(np.diag([size, size, size, 1.0]), "grown"))
        assert np.linalg.norm(fit.nose) < 1.0
        assert degrees(fit.rotation) < 4.0


def test_one_lifted_vertex_is_not_the_nose_tip():
    scan, truth = simulated(0, (0, 0, 0), noise=0.0, spikes=0.0)
    aside = truth.landmarks["pronasale"] + [5.0, 7.0, 0.0]
    row = np.linalg.norm(scan.vertices - aside, axis=1).argmin()
    lifted = scan.vertices.copy()
    lifted[row, 2] = truth.landmarks["pronasale"][2] + 2.5
    near = truth.landmarks["pronasale"]
    found = protruding_point(replace(scan, vertices=lifted), np.eye(3), near)
    assert np.linalg.norm(found - protruding_point(scan, np.eye(3), near)) < 1.0


def test_the_protruding_point_of_a_paraboloid_is_its_apex():
    patch = shapes.plane(20.0, 1.5)
    apex, turn = np.array([2.0, -3.0, 5.0]), pose(0.3, -0.2, 0.5)[:3, :3]
    x, y = (patch.vertices[:, :2] - apex[:2]).T
    points = np.stack([*patch.vertices[:, :2].T, apex[2] - 0.03 * x**2 - 0.05 * y**2 - 0.01 * x * y], axis=1)
    found = protruding_point(Scan.of(points @ turn.T, patch.faces), turn.T, np.zeros(3))
    np.testing.assert_allclose(found, turn @ apex, atol=1e-3)


def test_nothing_near_is_given_back_as_it_was():
    near = np.array([500.0, 0.0, 0.0])
    np.testing.assert_array_equal(protruding_point(mean_face(), np.eye(3), near), near)


@pytest.mark.parametrize(
    "shape",
    [
        shapes.sphere(100.0, 5.0),
        shapes.sphere(60.0, 4.0),
        shapes.torus(60.0, 30.0, 4.0),
        shapes.cylinder(80.0, 4.0),
        shapes.cap(100.0, 3.0).noisy(0.3),
        shapes.saddle(80.0, 4.0),
    ],
    ids=["sphere", "small sphere", "torus", "cylinder", "noisy cap", "saddle"],
)
def test_smooth_surfaces_have_no_nose(shape):
    with pytest.raises(
        PrepareError, match=r"no nose found: the likeliest place is \d+\.\d mm off an average face and has"
    ):
        find_nose_tip(shape.scan)


def test_a_plane_has_nothing_that_sticks_out():
    with pytest.raises(PrepareError, match="no nose found: nothing sticks out as a nose does"):
        find_nose_tip(shapes.plane(90.0, 4.0).scan)


def test_a_tiny_patch_is_refused_with_its_area():
    with pytest.raises(PrepareError, match=r"no nose found: the scan shows only 6\d mm\^2 to the camera"):
        find_nose_tip(shapes.cap(60.0, 1.0, half=4.0).scan)


def test_the_back_of_a_face_is_no_face():
    with pytest.raises(PrepareError, match="no nose found"):
        find_nose_tip(mean_face().moved(pose(np.pi, 0.0, 0.0), "turned away"))


def test_a_scan_without_faces_is_refused():
    with pytest.raises(ArgumentError, match="`scan` should have at least one face"):
        find_nose_tip(Scan.of([[0, 0, 0]], np.empty((0, 3))))


@pytest.fixture(scope="module")
def head():
    """The scan as it is in its file, and its nose tip: in renders from the front and the side the vertex with the
    largest z is the tip of the nose, on the midline and 0.6 mm before its neighbours."""
    scan = formats.read(HEAD)
    return scan, scan.vertices[scan.vertices[:, 2].argmax()].astype(np.float64)


def placed(head, transform):
    """The head under a similarity, and where its tip comes to lie."""
    scan, tip = head
    return scan.moved(transform, "placed"), transform[:3, :3] @ tip + transform[:3, 3]


def check(scan, tip, transform):
    scan = outward(clean(scan))
    fit = find_nose_tip(scan)
    assert np.linalg.norm(fit.nose - tip) < 4.0
    turn = transform[:3, :3] / np.cbrt(np.linalg.det(transform[:3, :3]))
    assert degrees(fit.rotation @ turn) < 6.0  # the file has the head upright, the mean face need not agree
    assert fit.relief > 0.5


@needs_head
@pytest.mark.parametrize(
    "angles", [(0, 0, 0), (0, 0, 180), (45, 0, 0), (-45, 0, 0), (0, 40, 0), (0, -40, 0), (30, -20, 70), (-40, 30, -140)]
)
def test_the_nose_of_a_real_head_is_found_in_any_pose(head, angles):
    transform = pose(*np.radians(angles), (30.0, -10.0, 80.0)) @ np.diag([HEAD_MM, HEAD_MM, HEAD_MM, 1.0])
    check(*placed(head, transform), transform)


@needs_head
def test_the_nose_of_a_real_head_in_metres_is_found(head):
    metre = np.diag([HEAD_MM / 1000, HEAD_MM / 1000, HEAD_MM / 1000, 1.0])
    scan, tip = placed(head, metre)
    scan = to_millimetres(scan)
    assert scan.history[-1]["unit"] == "m"
    check(scan, 1000 * tip, np.eye(4))


@needs_head
def test_the_nose_of_a_real_head_with_back_face_winding_is_found(head):
    scale = np.diag([HEAD_MM, HEAD_MM, HEAD_MM, 1.0])
    scan, tip = placed(head, scale)
    check(replace(scan, faces=np.ascontiguousarray(scan.faces[:, ::-1])), tip, scale)


@needs_head
def test_the_unit_of_the_real_head_cannot_be_guessed_and_is_asked_for(head):
    with pytest.raises(PrepareError, match=r"is 7\.\d+, which fits as neither m, cm nor mm: give the unit"):
        to_millimetres(head[0])


@needs_head
def test_the_back_of_a_real_head_is_no_face(head):
    scan, _ = placed(head, pose(np.pi, 0.0, 0.0) @ np.diag([HEAD_MM, HEAD_MM, HEAD_MM, 1.0]))
    with pytest.raises(PrepareError, match="no nose found: the likeliest place"):
        find_nose_tip(outward(clean(scan)))
