"""The light range camera and coarse meshes against a sphere and a plane."""

import numpy as np
import pytest

from fer3d.errors import ArgumentError
from fer3d.face.load import builtin_face
from fer3d.synth.coarsened import coarsened
from fer3d.synth.optics.range_scan import range_scan
from fer3d.synth.optics.scene import pose, set_up
from fer3d.synth.solids import ellipsoid, moulded
from fer3d.synth.surroundings import surroundings
from tests.shapes import sphere

TOWARDS = np.array([0.6, -0.3, 0.9])
CLEAN = {"noise": 0.0, "spikes": 0.0, "holes": 0.0}
RADIUS = 60.0


@pytest.fixture(scope="module")
def ball():
    points, triangles = moulded([ellipsoid((0, 0, 0), (RADIUS, RADIUS, RADIUS))], step=2.0)
    return RADIUS * points / np.linalg.norm(points, axis=1, keepdims=True), triangles


def scan(ball, towards=TOWARDS, seed=0, **settings):
    return range_scan(*ball, np.asarray(towards), generator=np.random.default_rng(seed), **settings)


def edges(vertices, faces):
    pairs = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    return np.linalg.norm(vertices[pairs[:, 0]] - vertices[pairs[:, 1]], axis=1)


def test_without_errors_the_samples_lie_on_the_sphere_and_face_the_camera(ball):
    got = scan(ball, **CLEAN, pitch=1.5)
    way = TOWARDS / np.linalg.norm(TOWARDS)
    radius = np.linalg.norm(got.vertices, axis=1)
    assert np.abs(radius - RADIUS).max() < 0.03  # the sphere is a polyhedron with edges of 2 mm: 2^2 / (8 * 60)
    assert (got.vertices @ way > 0).all()
    a, b, c = (got.vertices[got.faces[:, k]] for k in range(3))
    assert (np.cross(b - a, c - a) @ way > 0).all()
    disc = np.pi * (RADIUS * np.sin(1.40)) ** 2 / 1.5**2  # samples in the disc of surface less steep than 1.40
    assert len(got.vertices) == pytest.approx(disc, rel=0.02)


def test_the_slant_limit_is_an_angle_between_surface_and_camera(ball):
    got = scan(ball, **CLEAN, pitch=1.5, steepest=0.8)
    cosine = got.vertices @ TOWARDS / np.linalg.norm(TOWARDS) / np.linalg.norm(got.vertices, axis=1)
    assert np.arccos(cosine).max() == pytest.approx(0.8, abs=0.04)  # faces of 2 mm on a radius of 60


def test_depth_alone_errs_and_by_the_stated_noise(ball):
    pair = [scan(ball, pitch=1.5, steepest=0.5, **{**CLEAN, "noise": n}) for n in (0.0, 0.4)]
    way = TOWARDS / np.linalg.norm(TOWARDS)
    error = pair[1].vertices - pair[0].vertices
    assert np.abs(error - np.outer(error @ way, way)).max() < 1e-9
    assert np.std(error @ way) == pytest.approx(0.4 / np.cos(0.35), rel=0.06)


def test_spikes_are_as_many_and_high_as_stated(ball):
    pair = [scan(ball, pitch=1.0, **{**CLEAN, "spikes": s}) for s in (0.0, 0.05)]
    error = np.linalg.norm(pair[1].vertices - pair[0].vertices, axis=1)
    assert (error > 1e-9).mean() == pytest.approx(0.05, abs=0.006)
    assert np.sqrt((error[error > 0] ** 2).mean()) == pytest.approx(8.0, rel=0.12)


def test_marks_are_measured_where_the_camera_sees_them(ball):
    marks = ball[0][::40]
    got = scan(ball, **CLEAN, pitch=1.5, marks=marks)
    slant = np.arccos(marks @ TOWARDS / np.linalg.norm(TOWARDS) / RADIUS)
    assert got.measured[slant < 0.9].all()  # samples are 1.5 mm / cos(slant) apart
    assert not got.measured[slant > 1.48].any()
    assert got.measured.dtype == bool
    off = marks * (1 + 4.0 / RADIUS)  # 4 mm above the surface: beyond 1.2 pitches
    assert not scan(ball, **CLEAN, pitch=1.5, marks=off).measured.any()
    assert scan(ball, **{**CLEAN, "noise": 1.0}, pitch=1.5, marks=off).measured[slant < 1.2].all()  # 1.8 + 4 mm


def test_holes_lose_marks_and_samples(ball):
    whole = scan(ball, **CLEAN, pitch=1.5, marks=ball[0])
    torn = scan(ball, **{**CLEAN, "holes": 20.0}, hole_radius=(6.0, 9.0), pitch=1.5, marks=ball[0])
    assert len(torn.vertices) < 0.95 * len(whole.vertices)
    assert torn.measured.sum() < whole.measured.sum()
    assert not (torn.measured & ~whole.measured).any()


def test_several_views_give_as_many_sheets_with_a_registration_error(ball):
    views = np.array([[-0.5, 0.0, 0.87], [0.5, 0.0, 0.87]])
    exact = scan(ball, views, **CLEAN, pitch=2.0, seam=0.0, marks=ball[0])
    apart = scan(ball, views, **CLEAN, pitch=2.0, seam=1.0, marks=ball[0])
    single = scan(ball, views[0], **CLEAN, pitch=2.0, marks=ball[0])
    assert len(exact.vertices) > 1.9 * len(single.vertices)
    assert exact.measured.sum() > 1.15 * single.measured.sum()
    assert np.abs(np.linalg.norm(exact.vertices, axis=1) - RADIUS).max() < 0.04
    assert 0.3 < np.abs(np.linalg.norm(apart.vertices, axis=1) - RADIUS).max() < 6.0
    assert exact.faces.max() == len(exact.vertices) - 1


def test_no_triangle_bridges_a_step():
    front = sphere(20.0, 1.5)
    back = front.vertices * 3 - [0, 0, 150.0]
    points = np.concatenate([front.vertices, back]).astype(np.float64)
    rows = np.concatenate([front.faces, front.faces + len(front.vertices)]).astype(np.int32)
    got = range_scan(points, rows, np.array([0, 0, 1.0]), generator=np.random.default_rng(0), **CLEAN)
    assert edges(got.vertices, got.faces).max() < 5.0 * 1.5 * 1.3
    assert (got.vertices[:, 2] > 0).any()
    assert (got.vertices[:, 2] < -80).any()


def test_the_same_numbers_give_the_same_scan_and_others_another(ball):
    first, second, third = (scan(ball, seed=seed, marks=ball[0][:9]) for seed in (1, 1, 2))
    assert all(a.tobytes() == b.tobytes() for a, b in zip(first, second, strict=True))
    assert first.vertices.tobytes() != third.vertices.tobytes()


def test_landmarks_behind_a_mask_are_not_measured():
    model = builtin_face()
    mask = surroundings(model, model.neutral, np.random.default_rng(3), kinds=("mask", "cranium"))
    scene = set_up(model, model.neutral, pose(yaw=0.4), None, mask)
    marks = scene.landmarks()
    got = range_scan(
        scene.points,
        scene.triangles,
        np.array([0.0, 0.0, 1.0]),
        generator=np.random.default_rng(0),
        holes=0.0,
        marks=np.array(list(marks.values())),
    )
    measured = dict(zip(marks, got.measured, strict=True))
    assert measured["endocanthion_left"]
    assert measured["exocanthion_right"]
    assert not measured["labiale_inferius"]
    assert not measured["cheilion_left"]


def test_nothing_in_view_is_an_empty_scan(ball):
    got = range_scan(ball[0], ball[1][:0], TOWARDS, generator=np.random.default_rng(0), marks=ball[0][:3])
    assert got.vertices.shape == (0, 3)
    assert got.faces.shape == (0, 3)
    assert not got.measured.any()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pitch": 0.0}, "`pitch` should lie in"),
        ({"steepest": 2.0}, "`steepest` should lie in"),
        ({"hole_radius": (3.0, 2.0)}, r"`hole_radius\[0\]` should lie in"),
        ({"towards": [0, 0, 0]}, "`towards` should hold directions, holds 0 0 0"),
        ({"towards": [1, 0]}, "`towards` should have shape"),
        ({"pitch": 0.05}, "`pitch` should give at most 4000000 samples of this mesh, 0.05 mm gives"),
        ({"marks": np.zeros((2, 2))}, "`marks` should have shape"),
    ],
)
def test_wrong_settings_are_refused(ball, settings, message):
    with pytest.raises(ArgumentError, match=message):
        scan(ball, **settings)


def test_points_that_are_not_finite_are_refused(ball):
    points = ball[0].copy()
    points[3, 1] = np.nan
    with pytest.raises(ArgumentError, match="`points` should be finite, hold NaN or infinity"):
        range_scan(points, ball[1], TOWARDS, generator=np.random.default_rng(0))


@pytest.mark.parametrize("length", [4.0, 8.0, 14.0])
def test_coarse_edges_are_as_long_as_asked(ball, length):
    mean = []
    for seed in range(4):
        vertices, faces = coarsened(*ball, length, np.random.default_rng(seed))
        mean.append(edges(vertices, faces).mean())
        assert np.abs(np.linalg.norm(vertices, axis=1) - RADIUS).max() < length**2 / RADIUS
        assert len(np.unique(faces)) == len(vertices)
        assert len(np.unique(np.sort(faces, axis=1), axis=0)) == len(faces)
        a, b, c = (vertices[faces[:, k]] for k in range(3))
        assert (np.einsum("ij,ij->i", np.cross(b - a, c - a), a + b + c) > 0).mean() > 0.98  # the winding stays
    assert np.mean(mean) == pytest.approx(length, rel=0.08)
    assert len(set(mean)) == 4


def test_coarse_meshes_depend_on_nothing_but_the_numbers(ball):
    first, second = (coarsened(*ball, 6.0, np.random.default_rng(5)) for _ in range(2))
    assert all(a.tobytes() == b.tobytes() for a, b in zip(first, second, strict=True))
    assert coarsened(ball[0], ball[1][:0], 6.0, np.random.default_rng(0))[0].shape == (0, 3)
    with pytest.raises(ArgumentError, match="`edge_mm` should lie in"):
        coarsened(*ball, 0.0, np.random.default_rng(0))
