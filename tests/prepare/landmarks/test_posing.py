"""Candidates, peaks and poses: against what they were made from."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from torch import nn

from fer3d.prepare.landmarks import posing, sighting
from fer3d.prepare.landmarks.calibration import Calibration, features
from fer3d.prepare.landmarks.networks import FINDER_SIZE, FINDER_STRIDE, Sighting
from fer3d.prepare.landmarks.pictures import sampled, side_picture
from fer3d.prepare.landmarks.placing import Placed, peaks
from fer3d.prepare.landmarks.reference import TIP, frontal_rotation, mean_points, similarity
from fer3d.train.landmarks.calibrate import logistic
from tests import shapes

CELLS = FINDER_SIZE // FINDER_STRIDE


@given(
    turn=st.tuples(*[st.floats(-3, 3)] * 3),
    scale=st.floats(0.01, 100),
    shift=st.tuples(*[st.floats(-500, 500)] * 3),
)
@settings(max_examples=40, deadline=None)
def test_a_similarity_is_found_again(turn, scale, shift):
    rotation, points = Rotation.from_rotvec(turn).as_matrix(), mean_points()
    got = similarity(points, scale * points @ rotation.T + shift, np.ones(len(points)))
    np.testing.assert_allclose(got[0], rotation, atol=1e-9)
    assert got[1] == pytest.approx(scale)
    np.testing.assert_allclose(got[2], shift, atol=1e-6 * (1 + 100 * scale))


def placed_at(points):
    count = len(points)
    return Placed(points, points, np.zeros(count), np.full(count, 0.9), 0.5, np.full(count, 0.95), 5.0, 1000)


@pytest.mark.parametrize("unit", [1e-3, 0.1, 1.0, 37.0])
def test_the_pose_of_a_face_is_that_it_was_given_although_points_are_wrong(unit):
    rotation = Rotation.from_rotvec([0.3, -1.2, 2.0]).as_matrix()
    points = unit * (mean_points() @ rotation + [5.0, 20.0, -300.0])
    positions = points.copy()
    positions[::9] += 40.0 * unit
    fit = posing.fit(placed_at(positions))
    assert fit is not None
    np.testing.assert_allclose(fit.rotation, rotation, atol=0.02)
    assert fit.scale * unit == pytest.approx(1.0, rel=0.02)
    tip = posing.at_tip(fit.pose, points[TIP])
    np.testing.assert_allclose(tip[:, :3] @ points[TIP] + tip[:, 3], 0.0, atol=1e-9)
    assert posing.moved(fit.pose, fit.pose) == pytest.approx((0.0, 0.0, 0.0), abs=1e-6)


def test_too_few_points_give_no_pose():
    positions = mean_points().copy()
    positions[8:] = np.nan
    count = len(positions)
    assert (
        posing.fit(Placed(positions, positions, np.zeros(count), np.ones(count), 0.5, np.ones(count), 5.0, 1000))
        is None
    )


def test_the_frontal_rotation_of_the_mean_face_is_none():
    np.testing.assert_allclose(frontal_rotation(mean_points()), np.eye(3), atol=1e-9)
    turn = Rotation.from_rotvec([0.5, 0.2, -1.0]).as_matrix()
    half = mean_points() @ turn
    half[half[:, 0] > 20] = np.nan
    np.testing.assert_allclose(frontal_rotation(half), turn, atol=1e-9)


@pytest.mark.parametrize("spot", [(10.3, 20.8), (0.2, 47.0), (47.4, 0.1), (-0.4, 23.0)])
def test_peaks_are_found_between_the_cells(spot):
    at = np.arange(48)
    heat = np.exp(-0.5 * (((at[None] - spot[0]) / 0.9) ** 2 + ((at[:, None] - spot[1]) / 0.9) ** 2))
    found, share = peaks((heat / heat.sum())[None].astype(np.float32))
    inside = 2.5 < spot[0] < 44.5 and 2.5 < spot[1] < 44.5
    np.testing.assert_allclose(found[0], spot, atol=0.02 if inside else 0.75)  # half a peak at the border
    assert share[0] > 0.97


class FakeFinder(nn.Module):
    """A finder that gives one sighting, in one cell."""

    def __init__(self, cell, offset, size, axes):
        super().__init__()
        self.sighting = (cell, offset, size, axes)

    def forward(self, pictures):
        (r, c), offset, size, axes = self.sighting
        one, three = (len(pictures), CELLS, CELLS), (len(pictures), 3, CELLS, CELLS)
        out = Sighting(*(torch.zeros(shape) for shape in (one, three, one, three, three)))
        out.face[:] = -9.0
        out.face[0, r, c] = 4.0
        out.offset[:, :, r, c], out.size[:, r, c] = torch.tensor(offset), size
        out.up[:, :, r, c], out.towards[:, :, r, c] = torch.tensor(axes[1]), torch.tensor(axes[2])
        return out


@pytest.mark.parametrize("unit", [0.002, 1.0, 40.0])
def test_a_candidate_has_the_pose_that_the_network_says(unit):
    """A sphere, in which the truth of a nose tip, a size and axes is written as the network would say it."""
    sphere = shapes.sphere(100.0, 5.0)
    vertices = (unit * (sphere.vertices + np.array([30.0, -20.0, 500.0]))).astype(np.float32)
    samples = sampled(vertices, sphere.faces)
    view = sighting.axes_views()[2]
    tip = samples.centre + samples.half * view.T @ [0.3, -0.2, 0.5]
    axes = Rotation.from_rotvec([0.2, 0.4, -0.6]).as_matrix()
    column, row = (0.3 + 1) * CELLS / 2, (1 + 0.2) * CELLS / 2
    cell = int(row), int(column)
    depth = sighting.depth_of_cells(side_picture(samples, view))[cell]
    offset = (column - cell[1] - 0.5, row - cell[0] - 0.5, 0.5 - depth)
    finder = FakeFinder(cell, np.float32(offset), float(np.log(100.0 * unit / samples.half)), axes.astype(np.float32))
    best, *_ = sighting.candidates(finder, samples, [view], 3)
    assert best.logit == 4.0
    np.testing.assert_allclose(best.pose[:, :3] * unit, axes @ view, atol=1e-5)
    np.testing.assert_allclose(best.pose[:, :3] @ tip + best.pose[:, 3], 0.0, atol=1e-2)


def test_views_look_from_all_sides_and_are_rotations():
    views = sighting.axes_views() + sighting.corner_views()
    for view in views:
        np.testing.assert_allclose(view @ view.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(view) == pytest.approx(1.0)
    towards = np.stack([view[2] for view in views])
    np.testing.assert_allclose(towards[0], [0, 0, 1])
    anywhere = Rotation.random(500, random_state=0).as_matrix()[:, 2]
    assert (anywhere @ towards.T).max(axis=1).min() > np.cos(np.radians(46.0))


def test_a_logistic_regression_finds_its_coefficients():
    generator = np.random.default_rng(0)
    design = np.column_stack([np.ones(20_000), generator.normal(size=(20_000, 2))])
    truth = np.array([-0.5, 2.0, -1.0])
    yes = generator.random(20_000) < 1 / (1 + np.exp(-design @ truth))
    np.testing.assert_allclose(logistic(design, yes), truth, atol=0.08)


def test_probabilities_rise_with_what_speaks_for_a_face():
    placed = placed_at(mean_points())
    fit = posing.fit(placed)
    assert fit is not None and fit.rms == pytest.approx(0.0, abs=1e-6)
    calibration = Calibration()
    worse = features(placed, fit._replace(rms=12.0), 2.0)
    assert calibration.of_face(features(placed, fit, 2.0)) > calibration.of_face(worse)
    assert calibration.facts() == Calibration.of(calibration.facts(), "x").facts()
