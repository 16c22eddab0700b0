from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from fer3d.errors import ArgumentError, PrepareError
from fer3d.face.load import mean_face
from fer3d.prepare.landmark_pose import WEIGHTS, landmark_pose, rigid_fit, swap_sides
from fer3d.scan import Scan
from fer3d.synth.optics.scene import pose

TURN = pose(0.5, -0.3, 0.9, (40.0, -25.0, 130.0))  # no two angles or shifts alike


def angle(rotation):
    """Degrees that a rotation (3, 3) turns by."""
    return np.degrees(Rotation.from_matrix(rotation).magnitude())


def turned(transform=TURN, **changes):
    """The mean face under a rigid motion, with `changes` to its landmarks (None: left out)."""
    landmarks = {**mean_face().landmarks, **{name: point for name, point in changes.items() if point is not None}}
    kept = {name: point for name, point in landmarks.items() if name not in changes or changes[name] is not None}
    return replace(mean_face(), landmarks=kept).moved(transform, "turned")


def only(*names):
    """The turned mean face with these landmarks."""
    scan = turned()
    return replace(scan, landmarks={name: scan.landmarks[name] for name in names})


@pytest.mark.parametrize("seed", range(5))
def test_rigid_fit_finds_a_known_motion(seed):
    rng = np.random.default_rng(seed)
    rotation, shift = Rotation.random(random_state=seed).as_matrix(), rng.normal(0, 100, 3)
    source = rng.normal(0, 30, (7, 3))
    found, moved = rigid_fit(source, source @ rotation.T + shift, rng.uniform(0.1, 1.0, 7))
    np.testing.assert_allclose(found, rotation, atol=1e-12)
    np.testing.assert_allclose(moved, shift, atol=1e-10)


def test_rigid_fit_is_the_least_in_the_weighted_mean_square():
    rng = np.random.default_rng(3)
    source, target, weight = rng.normal(0, 30, (8, 3)), rng.normal(0, 30, (8, 3)), rng.uniform(0.1, 1.0, 8)
    rotation, shift = rigid_fit(source, target, weight)

    def cost(rotation, shift):
        return (weight * ((source @ rotation.T + shift - target) ** 2).sum(axis=1)).sum()

    least = cost(rotation, shift)
    for axis in np.eye(3):
        for step in (1e-3, -1e-3):
            nudged = Rotation.from_rotvec(step * axis).as_matrix() @ rotation
            assert cost(nudged, shift + (rotation - nudged) @ (weight @ source / weight.sum())) > least
            assert cost(rotation, shift + step * axis) > least


def test_rigid_fit_agrees_with_scipy():
    rng = np.random.default_rng(4)
    source, target, weight = rng.normal(0, 30, (9, 3)), rng.normal(0, 30, (9, 3)), rng.uniform(0.1, 1.0, 9)
    a, b = source - weight @ source / weight.sum(), target - weight @ target / weight.sum()
    peer, _ = Rotation.align_vectors(b, a, weight)
    np.testing.assert_allclose(rigid_fit(source, target, weight)[0], peer.as_matrix(), atol=1e-9)


def test_a_point_without_weight_does_not_count():
    rng = np.random.default_rng(5)
    rotation = Rotation.random(random_state=5).as_matrix()
    source = rng.normal(0, 30, (6, 3))
    target = source @ rotation.T
    target[2] += 500.0
    weight = np.array([1.0, 0.5, 0.0, 0.3, 1.0, 2.0])
    np.testing.assert_allclose(rigid_fit(source, target, weight)[0], rotation, atol=1e-12)


def test_a_mirror_image_is_never_fitted_by_a_reflection():
    source = np.random.default_rng(6).normal(0, 30, (9, 3))
    rotation, _ = rigid_fit(source, source * [-1, 1, 1], np.ones(9))
    assert np.linalg.det(rotation) == pytest.approx(1.0)


@pytest.mark.parametrize("seed", range(5))
def test_points_in_a_plane_give_a_proper_rotation(seed):
    rng = np.random.default_rng(seed)
    source = rng.normal(0, 30, (6, 3)) * [1.0, 1.0, 0.0]
    rotation = Rotation.random(random_state=seed).as_matrix()
    np.testing.assert_allclose(rigid_fit(source, source @ rotation.T, np.ones(6))[0], rotation, atol=1e-9)


def test_the_pose_of_a_turned_mean_face_is_the_inverse_of_the_turn():
    found = landmark_pose(turned())
    np.testing.assert_allclose(found.rotation, TURN[:3, :3].T, atol=1e-9)
    np.testing.assert_allclose(found.nose, TURN[:3, 3], atol=1e-6)
    assert found.rms == pytest.approx(0.0, abs=1e-6)
    assert found.count == len(WEIGHTS)
    assert not found.sides_swapped


def test_one_landmark_far_off_hardly_moves_the_pose():
    eye = mean_face().landmarks["exocanthion_left"]
    scan = turned(exocanthion_left=eye + np.array([0.0, 25.0, 0.0]))
    found = landmark_pose(scan)
    names = tuple(WEIGHTS)
    plain, _ = rigid_fit(scan.landmark_array(names), mean_face().landmark_array(names), np.array([*WEIGHTS.values()]))
    assert angle(plain @ TURN[:3, :3]) > 3.0
    assert angle(found.rotation @ TURN[:3, :3]) < 1.2


def test_a_dropped_jaw_does_not_tip_the_face():
    fallen = {name: mean_face().landmarks[name] - [0.0, 25.0, 8.0] for name in ("labiale_inferius", "pogonion")}
    assert angle(landmark_pose(turned(**fallen)).rotation @ TURN[:3, :3]) < 0.3


def test_landmarks_of_other_schemes_and_nan_ones_do_not_count():
    gone = np.full(3, np.nan)
    found = landmark_pose(turned(pronasale=gone, alare_left=None, bu83_17=np.array([9e9, 0.0, 0.0])))
    assert found.count == len(WEIGHTS) - 2
    assert angle(found.rotation @ TURN[:3, :3]) < 1e-6


def test_swapped_sides_are_found_and_put_right():
    scan = turned()
    found = landmark_pose(replace(scan, landmarks=swap_sides(scan.landmarks)))
    assert found.sides_swapped
    assert angle(found.rotation @ TURN[:3, :3]) < 1e-6
    np.testing.assert_array_equal(found.landmarks["alare_left"], scan.landmarks["alare_left"])


def test_swap_sides_exchanges_numbered_names_and_others_at_their_ends_only():
    names = ("a_left", "a_right", "b_right", "left_c", "d", "bu83_17", "ibug68_27")
    points = {name: np.array([k, 0.0, 0.0]) for k, name in enumerate(names)}
    swapped = {name: int(point[0]) for name, point in swap_sides(points).items()}
    assert swapped == {"a_right": 0, "a_left": 1, "b_left": 2, "left_c": 3, "d": 4, "bu83_27": 5, "ibug68_27": 6}


@pytest.mark.parametrize(
    ("scan", "message"),
    [
        (
            lambda: only("pronasale", "alare_left", "subnasale"),
            r"at least 4 .*, has 3 \(pronasale, subnasale, alare_left\)",
        ),
        (lambda: only(), r"should have at least 4 canonical landmarks, has 0 \(none\)"),
        (
            lambda: only("pronasale", "subnasale", "labiale_superius", "labiale_inferius", "pogonion"),
            "should not lie in a line, do: pronasale, subnasale, labiale_superius, labiale_inferius, pogonion",
        ),
        (
            lambda: turned(alare_right=np.array([300.0, 0.0, 0.0])),
            r"landmarks should lie on the scan, 1 of 13 lie outside of it, alare_right at \[",
        ),
        (
            lambda: replace(
                turned(), landmarks={n: 1.5 * p - 0.5 * TURN[:3, 3] for n, p in turned().landmarks.items()}
            ),
            r"the 13 canonical landmarks should lie within 12 mm of an average face's, are \d+\.\d mm off",
        ),
        (
            lambda: replace(turned(), faces=np.ascontiguousarray(mean_face().faces[:, ::-1])),
            "the surface around the landmarks should look the way they do, looks the other way: wind it outward first",
        ),
    ],
)
def test_landmarks_that_give_no_pose_are_refused(scan, message):
    with pytest.raises(PrepareError, match=message):
        landmark_pose(scan())


def test_a_scan_without_faces_is_refused():
    with pytest.raises(ArgumentError, match="`scan` should have at least one face"):
        landmark_pose(Scan.of([[0, 0, 0]], np.empty((0, 3))))
