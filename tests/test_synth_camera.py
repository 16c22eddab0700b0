"""The range camera: geometry, noise, what is lost, what is random."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial import cKDTree

from fer3d.errors import ArgumentError, PrepareError
from fer3d.synth.camera import Camera, capture, photograph, pose, rotation, sample
from fer3d.synth.face import FaceModel

CLEAN = Camera(noise=0.0, spikes=0.0, holes=0.0, dark_loss=0.0)


@pytest.fixture(scope="module")
def model():
    return FaceModel.builtin()


def shoot(model, camera=CLEAN, seed=0, placement=None, **more):
    placement = pose() if placement is None else placement
    return capture(model, model.neutral, placement, camera, np.random.default_rng(seed), **more)


def test_rotation_signs():
    forward, up, left = np.eye(3)[[2, 1, 0]]
    assert (rotation(0.3, 0, 0) @ forward)[0] > 0  # to the subject's left
    assert (rotation(0, 0.3, 0) @ forward)[1] < 0  # down
    assert (rotation(0, 0, 0.3) @ up)[0] < 0  # counter-clockwise in the picture
    assert (rotation(0, 0, 0.3) @ left)[1] > 0
    R = rotation(0.4, -0.2, 0.9)
    assert np.allclose(R @ R.T, np.eye(3))
    assert np.linalg.det(R) == pytest.approx(1)
    assert np.allclose(R, rotation(0.4, 0, 0) @ rotation(0, -0.2, 0) @ rotation(0, 0, 0.9))


def test_a_clean_scan_lies_on_the_surface(model):
    """Undo the pose: every vertex is a point of some triangle of the model, seen from the front."""
    placement = pose(0.4, -0.2, 0.5, (7.0, -3.0, 40.0))
    got = shoot(model, placement=placement)
    back = (got.scan.vertices.astype(float) - placement[:3, 3]) @ placement[:3, :3]
    dense = np.concatenate([model.neutral[model.triangles].mean(axis=1), model.neutral])
    for k, j in ((0, 1), (1, 2), (2, 0)):
        dense = np.concatenate([dense, model.neutral[model.triangles[:, [k, j]]].mean(axis=1)])
    distance = cKDTree(dense).query(back)[0]
    assert distance.max() < 1.6  # samples of the model are some 1.5 mm apart
    assert np.median(distance) < 0.5


def test_truth_is_consistent_with_the_scan(model):
    camera = Camera(pitch=1.0)
    placement = pose(-0.2, 0.1, 0.3, (5.0, 6.0, 7.0))
    got = shoot(model, camera, placement=placement)
    assert np.array_equal(got.pose, placement)
    for name, row in model.landmarks.items():
        assert np.allclose(got.landmarks[name], placement[:3, :3] @ model.neutral[row] + placement[:3, 3])
    tree = cKDTree(got.scan.vertices)
    for name in got.measured:
        assert tree.query(got.landmarks[name])[0] <= 1.2 * camera.pitch + 4 * camera.noise
        assert np.linalg.norm(got.scan.landmarks[name] - got.landmarks[name]) <= 1.6
    assert len(got.measured) > 60
    assert set(got.scan.landmarks) == set(got.measured)


def test_faces_look_at_the_camera(model):
    scan = shoot(model).scan
    a, b, c = (scan.vertices[scan.faces[:, k]].astype(float) for k in range(3))
    assert (np.cross(b - a, c - a)[:, 2] > 0).all()
    assert len(np.unique(scan.faces)) == len(scan.vertices)


def test_a_turned_head_hides_its_far_side(model):
    got = shoot(model, placement=pose(0.9))  # to its left: the left cheek is behind
    assert "bu83_69" not in got.measured
    assert "bu83_81" in got.measured
    assert "exocanthion_right" in got.measured


def test_noise_has_the_standard_deviation_asked_for(model):
    for sigma in (0.05, 0.4):
        camera = replace(CLEAN, noise=sigma, pitch=0.8)
        seen = sample(model, model.neutral, pose(), camera, np.random.default_rng(1))
        error = (seen.points - seen.exact)[seen.valid]
        assert (error[:, :2] == 0).all()
        gradient = np.hypot(*np.gradient(seen.exact[..., 2])) / camera.pitch  # grid turned: the slope is the same
        flat = (gradient < 0.3)[seen.valid]
        steep = (gradient > 1.5)[seen.valid]
        assert error[flat, 2].std() == pytest.approx(sigma, rel=0.06)
        assert error[steep, 2].std() > 1.5 * sigma


def test_spikes_are_as_many_and_as_high_as_asked(model):
    camera = replace(CLEAN, spikes=0.02, spike_height=10.0, pitch=0.8)
    seen = sample(model, model.neutral, pose(), camera, np.random.default_rng(2))
    error = (seen.points - seen.exact)[seen.valid][:, 2]
    assert (error != 0).mean() == pytest.approx(0.02, rel=0.15)
    assert error[error != 0].std() == pytest.approx(10.0, rel=0.15)


def test_no_two_scans_share_a_topology(model):
    scans = [shoot(model, seed=seed).scan for seed in range(3)]
    assert len({(len(s.vertices), len(s.faces)) for s in scans}) == 3
    again = shoot(model, seed=0).scan
    assert np.array_equal(again.vertices, scans[0].vertices)
    assert np.array_equal(again.faces, scans[0].faces)


def test_pitch_sets_the_number_of_samples(model):
    few, many = (len(shoot(model, replace(CLEAN, pitch=p)).scan.vertices) for p in (3.0, 1.5))
    assert many / few == pytest.approx(4.0, rel=0.08)


def test_holes_take_samples_away(model):
    whole = sample(model, model.neutral, pose(), CLEAN, np.random.default_rng(4))
    holed = sample(model, model.neutral, pose(), replace(CLEAN, holes=30.0), np.random.default_rng(4))
    assert 0.01 < 1 - holed.valid.sum() / whole.valid.sum() < 0.5
    lost = np.isnan(holed.points).any(axis=-1)
    assert np.array_equal(lost, ~holed.valid)


def test_dark_spots_are_lost_more_readily(model):
    texture = np.full((64, 64, 3), 200, np.uint8)
    texture[:, 40:] = 30  # u > 0.62: the subject's left cheek is dark
    camera = replace(CLEAN, dark_loss=0.9)
    got = shoot(model, camera, texture=texture).scan
    light = shoot(model, texture=texture).scan
    kept_left, kept_right = (
        (got.vertices[:, 0] * s > 30).sum() / (light.vertices[:, 0] * s > 30).sum() for s in (1, -1)
    )
    assert kept_right > 0.97
    assert kept_left < 0.9
    untouched = shoot(model, replace(camera, dark_loss=0.0), texture=texture).scan
    assert len(untouched.vertices) == len(light.vertices)


def test_steep_surface_is_not_measured(model):
    seen = sample(model, model.neutral, pose(), replace(CLEAN, steepest=0.6), np.random.default_rng(5))
    everything = sample(model, model.neutral, pose(), CLEAN, np.random.default_rng(5))
    assert seen.valid.sum() < 0.8 * everything.valid.sum()


def test_an_upright_grid_is_a_range_image(model):
    camera = replace(CLEAN, turned=False, jitter=0.0, pitch=2.0)
    seen = sample(model, model.neutral, pose(), camera, np.random.default_rng(6))
    row, column = np.nonzero(seen.valid)
    x, y = seen.exact[row, column, 0], seen.exact[row, column, 1]
    assert np.allclose(x, seen.corner[0] + 2.0 * column, atol=1e-4)
    assert np.allclose(y, seen.corner[1] - 2.0 * row, atol=1e-4)


def test_a_photograph_shows_what_is_where(model):
    texture = np.zeros((32, 32, 3), np.uint8)
    texture[:, 16:, 0] = 250  # red on the subject's left, the right of the picture
    texture[:, :16, 2] = 250
    corner = np.array([-80.0, 120.0])
    picture = photograph(model, model.neutral, pose(), texture, corner=corner, pixel=2.0, size=(110, 81))
    assert picture.shape == (110, 81, 3)
    assert picture[60, 55, 0] > 100 > picture[60, 55, 2]
    assert picture[60, 25, 2] > 100 > picture[60, 25, 0]
    assert (picture[0, 0] == 24).all()


def test_errors(model):
    with pytest.raises(ArgumentError, match=r"`pitch` should lie in \[0.2, 10\] mm, is 0.01"):
        Camera(pitch=0.01)
    with pytest.raises(ArgumentError, match="`noise` should lie in"):
        Camera(noise=float("nan"))
    with pytest.raises(ArgumentError, match=r"`shape` should have shape \(19494, 3\), has \(5, 3\)"):
        capture(model, np.zeros((5, 3)), pose(), CLEAN, np.random.default_rng(0))
    with pytest.raises(ArgumentError, match="`placement` should be a rigid motion"):
        shoot(model, placement=np.diag([2.0, 2.0, 2.0, 1.0]))
    with pytest.raises(PrepareError, match="the camera sees no three neighbouring points of the face"):
        shoot(model, replace(CLEAN, steepest=0.1, pitch=10.0), placement=pose(np.pi / 2))
