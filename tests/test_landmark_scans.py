"""What `benchmarks/bm_landmarks.py` measures with: the truth of its scans, and how points are lifted onto a surface."""

from types import SimpleNamespace

import numpy as np
import pytest
from landmark_confidence import reliability
from landmark_peers import PIXEL, from_front, lifted, projected
from landmark_scans import HARD, KINDS, _filed, face_scan, turned
from landmark_tables import less_offset

from fer3d.face.load import builtin_face
from fer3d.prepare.landmarks.reference import TIP, mean_points
from fer3d.scan import Scan
from fer3d.synth.optics.scene import Look, rotation

SOFT = {"coarse mesh", "very coarse", "noise and holes", "very noisy"}  # the surface is not where the face is


def scanned(kind, seed=3):
    """A scan of the neutral built-in face."""
    model, generator = builtin_face(), np.random.default_rng(seed)
    look = Look.plain(np.full((32, 32, 3), 180, np.uint8))
    simulator = SimpleNamespace(model=model, looks=[look], _shape=lambda _: model.neutral)
    angles = turned(kind, generator)
    return face_scan(simulator, kind, angles, generator), angles


@pytest.mark.parametrize("kind", [*KINDS, *HARD])
def test_the_truth_of_a_scan_is_that_of_the_face(kind):
    """In the frontal frame the true points are those of the mean face, and the points it shows lie on its surface."""
    scan, angles = scanned(kind)
    in_front = (scan.points - scan.tip) @ scan.rotation.T
    np.testing.assert_allclose(in_front, mean_points() - mean_points()[TIP], atol=1e-6)
    np.testing.assert_allclose(scan.rotation.T, rotation(*np.radians(angles)), atol=1e-6)
    assert scan.measured.any()
    if kind not in SOFT:
        apart = np.linalg.norm(scan.points[scan.measured][:, None] - scan.vertices[None], axis=2).min(axis=1)
        assert apart.max() < 4.0


def test_points_of_a_render_are_lifted_to_where_they_are():
    """Vertices that a render shows, projected and lifted, come back; one at an edge may be hidden by what is nearer."""
    scan, _ = scanned("plain, two views")
    render = from_front(scan)
    shown = scan.vertices[np.unique(scan.faces[render.face[render.face >= 0]])].astype(float)
    back = lifted(render, scan.faces, scan.vertices, projected(render, scan.rotation, scan.tip, PIXEL, shown))
    off = (back - shown) @ scan.rotation.T
    aside = np.hypot(off[:, 0], off[:, 1])
    assert np.mean(aside < 1e-4) > 0.999  # but for corners of long triangles that no pixel nearby shows
    assert aside.max() < 4 * PIXEL
    assert off[aside < 1e-4, 2].min() > -1e-3
    assert np.mean(np.abs(off[:, 2]) < 1e-3) > 0.8
    outside = lifted(render, scan.faces, scan.vertices, np.array([[2.0, 2.0], [np.nan, 5.0]]))
    assert np.isnan(outside).all()


def test_the_truth_of_a_file_of_the_head():
    """The rotation and the unit of a trial lead from its file back to the head."""
    vertices = np.random.default_rng(0).normal(0, 50, (30, 3)).astype(np.float32)
    head = Scan.of(vertices, np.arange(30, dtype=np.int32).reshape(10, 3))
    turn = rotation(0.3, -1.2, 2.0)
    trial = _filed("any", head, vertices[4].astype(float), 35.0, turn, vertices[:, 0] < 1e6)
    np.testing.assert_allclose(trial.mm * trial.scan.vertices @ trial.rotation.T, vertices, atol=1e-3)
    np.testing.assert_allclose(trial.tip, trial.scan.vertices[4], atol=1e-5)


def test_offsets_are_removed_point_by_point():
    """What is the same in every scan goes, what differs stays; a missing point changes nothing."""
    off = np.zeros((5, 2, 3))
    off[:, 0] = [3.0, -1.0, 2.0]
    off[:, 1, 0] = [np.nan, -2.0, -1.0, 1.0, 2.0]
    out = less_offset(off)
    np.testing.assert_array_equal(out[:, 0], np.zeros((5, 3)))
    np.testing.assert_array_equal(out[1:, 1, 0], [-2.0, -1.0, 1.0, 2.0])


def test_reliability_of_a_calibrated_forecast_lies_on_the_diagonal():
    """Of what is said to happen with a probability, that share happens."""
    says = np.random.default_rng(1).uniform(0, 1, 40_000)
    said, share, count = reliability(says, np.random.default_rng(2).uniform(0, 1, 40_000) < says)
    np.testing.assert_allclose(said, share, atol=0.03)
    assert count.sum() == 40_000
    empty, _, none = reliability(np.array([0.95, 1.0]), np.array([True, False]))
    assert np.isnan(empty[:9]).all() and none[9] == 2
