"""Pictures of surfaces: against closed forms."""

import numpy as np
import pytest

from fer3d.errors import PrepareError
from fer3d.kernels import views
from fer3d.kernels.raster import NO_JITTER, zbuffer
from fer3d.prepare.landmarks.networks import FINDER_SIZE, PLACER_SIZE
from fer3d.prepare.landmarks.pictures import DEPTH, PIXEL, frontal_picture, sampled, side_picture
from tests import shapes

SIDES = {
    "+z": np.eye(3),
    "-z": np.diag([-1.0, 1.0, -1.0]),
    "+x": np.array([[0.0, 0, -1], [0, 1, 0], [1, 0, 0]]),
}


@pytest.mark.parametrize("size", [0.01, 1.0, 300.0])
def test_a_sphere_looks_like_a_sphere_from_every_side_and_in_every_unit(size):
    sphere = shapes.sphere(size, 0.06 * size)
    samples = sampled(sphere.scan.vertices, sphere.scan.faces)
    assert samples.half == pytest.approx(1.08 * size, rel=0.03)
    np.testing.assert_allclose(samples.centre, 0.0, atol=0.03 * size)
    for view in SIDES.values():
        picture = side_picture(samples, view)
        step = (np.arange(FINDER_SIZE) + 0.5) / FINDER_SIZE * 2 - 1
        x, y = samples.half * step[None], -samples.half * step[:, None]
        inner = np.hypot(x, y) < 0.8 * size
        assert (picture[4][inner] == 1).all() and not picture[4][np.hypot(x, y) > 1.06 * size].any()
        z = np.sqrt(np.maximum(size**2 - x**2 - y**2, 0))
        normal = np.stack([x + 0 * y, y + 0 * x, z]) / size
        assert np.abs(picture[:3] - normal)[:, inner].max() < 0.15
        assert np.abs(picture[3] * samples.half - z)[inner].max() < 0.05 * size


def test_what_faces_away_is_not_seen():
    plane = shapes.plane(50.0, 2.0)
    samples = sampled(plane.scan.vertices, plane.scan.faces)
    assert side_picture(samples, SIDES["+z"])[4].sum() > 5000
    assert not side_picture(samples, SIDES["-z"]).any()


def test_few_samples_leave_no_gaps_but_real_holes_stay():
    x, y = np.meshgrid(np.arange(-20, 21) * 2.0, np.arange(-20, 21) * 2.0)
    points = np.stack([x.ravel(), y.ravel(), np.zeros(x.size)], axis=1)
    points = points[np.hypot(points[:, 0], points[:, 1]) > 12.0]
    normals = np.broadcast_to([0.0, 0.0, 1.0], points.shape).copy()
    picture = views.splat(points, normals, np.eye(3), np.zeros(3), 1.0, 80)
    step = np.arange(80) - 39.5
    away = np.hypot(step[None], step[:, None])
    assert (picture[4][(away > 14) & (np.abs(step[None]) < 38) & (np.abs(step[:, None]) < 38)] == 1).all()
    assert not picture[4][away < 7].any()


def test_a_surface_without_area_is_refused():
    with pytest.raises(PrepareError, match="should have a surface"):
        sampled(np.zeros((3, 3), np.float32), np.array([[0, 1, 2]], np.int32))


@pytest.mark.parametrize("scale", [1.0, 0.02])
def test_the_frontal_picture_shows_depth_and_normals_in_the_pose(scale):
    sphere = shapes.sphere(60.0, 3.0)
    turn = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    vertices = (sphere.vertices * scale).astype(np.float32)
    pose = np.column_stack([turn / scale, [0.0, 0.0, -60.0]])
    shown = frontal_picture(vertices, sphere.faces, sphere.normals.astype(np.float32), pose)
    step = (np.arange(PLACER_SIZE) - 0.5 * PLACER_SIZE + 0.5) * PIXEL
    x, y = step[None], -step[:, None]
    inner = np.hypot(x, y) < 50.0
    z = np.sqrt(np.maximum(3600.0 - x**2 - y**2, 0))
    assert np.abs(shown.picture[3] * DEPTH - (z - 60.0))[inner].max() < 0.8
    assert np.abs(shown.picture[:3] - np.stack([x + 0 * y, y + 0 * x, z]) / 60.0)[:, inner].max() < 0.05


def test_without_depths_spots_are_lifted_onto_the_foremost_triangle_below_them():
    sphere, points, face = _seen_sphere()
    spots = np.random.default_rng(0).uniform(22, 58, (200, 3))
    found, weights = views.lift(spots, face, sphere.faces, points, 2, 0.0, 2.0)
    assert (found >= 0).all() and (weights >= 0).all()
    np.testing.assert_allclose(weights.sum(axis=1), 1.0)
    lifted = np.einsum("lk,lkc->lc", weights, points[sphere.faces[found]])
    np.testing.assert_allclose(lifted[:, :2], spots[:, :2], atol=1e-6)
    height = np.sqrt(900.0 - ((spots[:, :2] - 40) ** 2).sum(axis=1))
    assert np.abs(lifted[:, 2] - height).max() < 0.6  # the front, not the back


@pytest.mark.parametrize("flatness", [1.0, 0.7])
def test_with_depths_spots_go_to_the_nearest_place_in_space(flatness):
    sphere, points, face = _seen_sphere()
    generator = np.random.default_rng(1)
    way = generator.normal(size=(300, 3))
    way[:, 2] = np.abs(way[:, 2]) + 0.3
    way *= generator.uniform(26, 34, 300)[:, None] / np.linalg.norm(way, axis=1, keepdims=True)
    spots = way * [1, -1, 1] + [40, 40, 0]
    found, weights = views.lift(spots, face, sphere.faces, points, 6, flatness, 12.0)
    assert (found >= 0).all() and (weights >= -1e-12).all()
    lifted = np.einsum("lk,lkc->lc", weights, points[sphere.faces[found]])
    shown = sphere.faces[np.unique(face[face >= 0])]
    for spot, place in zip(spots, lifted, strict=True):
        gap = np.linalg.norm((place - spot) * [1, 1, flatness])
        assert gap <= _slow_gap(spot, points[shown], flatness) + 1e-6


def test_a_spot_beside_the_surface_takes_its_edge_if_it_is_near_and_nothing_else():
    square = np.array([[10.0, 10, 0], [30, 10, 0], [30, 30, 0], [10, 30, 0]])
    faces = np.array([[0, 2, 1], [0, 3, 2]], np.int32)
    face, _ = zbuffer(square, faces, 40, 40, NO_JITTER)
    spots = np.array([[31.4, 20.0, 0], [36.0, 20.0, 0], [np.nan, 3.0, 0], [20.0, 20.0, np.nan], [-50.0, 5.0, 0]])
    found, weights = views.lift(spots, face, faces, square, 2, 0.0, 2.0)
    assert found[0] >= 0 and (found[1:] == -1).all()
    np.testing.assert_allclose(weights[0] @ square[faces[found[0]]], [30.0, 20.0, 0.0], atol=1e-9)
    above, _ = views.lift(np.array([[20.0, 20.0, 3.0], [20.0, 20.0, 2.0]]), face, faces, square, 2, 1.0, 2.5)
    assert above[0] == -1 and above[1] >= 0


def _seen_sphere():
    """A sphere of 30 pixels, its vertices as column, row and depth, and which triangle each pixel shows."""
    sphere = shapes.sphere(30.0, 4.0)
    points = np.stack([sphere.vertices[:, 0] + 40, 40 - sphere.vertices[:, 1], sphere.vertices[:, 2]], axis=1)
    face, _ = zbuffer(points, sphere.faces, 80, 80, NO_JITTER)
    return sphere, points.astype(float), face


def _slow_gap(spot, corners, flatness):
    """Distance to the nearest of many places on triangles (F, 3, 3), depths flattened."""
    a, b = np.meshgrid(np.linspace(0, 1, 13), np.linspace(0, 1, 13))
    inside = a + b <= 1 + 1e-9
    bary = np.stack([1 - a[inside] - b[inside], a[inside], b[inside]], axis=1)
    places = np.einsum("bk,fkc->fbc", bary, corners)
    return np.linalg.norm((places - spot) * [1, 1, flatness], axis=2).min()
