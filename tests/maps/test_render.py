import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from fer3d import maps
from fer3d.errors import ArgumentError
from fer3d.kernels import raster
from fer3d.scan import Scan
from tests import shapes
from tests.reference.zbuffer import zbuffer as slow_zbuffer

RADII = (30.0, 60.0, 100.0)
SURFACES = {
    "sphere": lambda radius: shapes.cap(radius, 2.0, half=min(0.5 * radius, 40.0)),
    "saddle": lambda radius: shapes.saddle(radius, 2.0, half=min(0.5 * radius, 40.0)),
    "cylinder": lambda radius: shapes.cylinder(radius, 2.0, half=min(0.5 * radius, 40.0)),
}
over_surfaces = pytest.mark.parametrize("surface", SURFACES)
over_radii = pytest.mark.parametrize("radius", RADII)


def inside(shape, margin):
    """Vertices farther than `margin` from the boundary of the patch."""
    low, high = shape.vertices[:, :2].min(axis=0), shape.vertices[:, :2].max(axis=0)
    return ((shape.vertices[:, :2] > low + margin) & (shape.vertices[:, :2] < high - margin)).all(axis=1)


def errors(shape, scan, radius, margin):
    """Largest errors of k1 and k2 away from the boundary, as shares of the larger curvature."""
    k1, k2 = maps.principal_curvatures(scan, radius=radius)
    inner = inside(shape, margin)
    assert inner.sum() > 40
    scale = np.maximum(np.abs(shape.k1), np.abs(shape.k2))[inner]
    return (np.abs(k1 - shape.k1)[inner] / scale).max(), (np.abs(k2 - shape.k2)[inner] / scale).max()


def degrees_off(shape):
    """Angles between computed and exact normals."""
    cosine = (maps.vertex_normals(shape.scan).astype(np.float64) * shape.normals).sum(axis=1)
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))


@over_surfaces
@over_radii
def test_normals_are_within_half_a_degree(surface, radius):
    shape = SURFACES[surface](radius)
    assert degrees_off(shape)[inside(shape, 4)].max() < 0.5


@pytest.mark.parametrize("tube", [30.0, 60.0])
def test_normals_of_a_torus_are_within_half_a_degree(tube):
    assert degrees_off(shapes.torus(2.5 * tube, tube, 2.0)).max() < 0.5


@over_surfaces
@over_radii
def test_curvatures_without_noise_are_within_three_per_cent(surface, radius):
    shape = SURFACES[surface](radius)
    assert max(errors(shape, shape.scan, 5.0, 6.0)) < 0.03


@over_surfaces
@over_radii
def test_curvatures_with_noise_are_within_fifteen_per_cent(surface, radius):
    shape = SURFACES[surface](radius)
    fit = (8 * 0.1 * 2.0 * radius / 0.03) ** (1 / 3)  # the docstring's rule for a standard deviation of 3 %
    assert max(errors(shape, shape.noisy(0.1, seed=1).scan, fit, 0.7 * fit)) < 0.15


@pytest.mark.parametrize("tube", [30.0, 60.0])
def test_curvatures_of_a_torus(tube):
    shape = shapes.torus(2.5 * tube, tube, 2.0)
    k1, k2 = maps.principal_curvatures(shape.scan, radius=5.0)
    assert np.abs(k1 - shape.k1).max() * tube < 0.03
    assert np.abs(k2 - shape.k2).max() * tube < 0.03


@pytest.mark.parametrize("seed", range(4))
def test_where_there_is_no_curvature_does_not_depend_on_the_pose(seed):
    """Half of the faces are torn out: at many vertices what is left just does, or does not, fix a quadric."""
    shape = shapes.plane(12.0, 1.2, seed=3)
    points = shape.vertices + [0.0, 0.0, 0.02] * shape.vertices[:, :1] ** 2
    kept = shape.faces[np.random.default_rng(seed).uniform(size=len(shape.faces)) > 0.5]
    still = np.isnan(maps.principal_curvatures(Scan.of(points, kept), radius=2.5)[0])
    assert still.sum() > 4
    for turn in Rotation.random(8, random_state=seed).as_matrix():
        k1, _ = maps.principal_curvatures(Scan.of(points @ turn.T, kept), radius=2.5)
        np.testing.assert_array_equal(np.isnan(k1), still)


@pytest.mark.parametrize("tube", [30.0, 60.0])
def test_curvatures_of_a_noisy_torus(tube):
    shape = shapes.torus(2.5 * tube, tube, 2.0).noisy(0.1, seed=1)
    fit = (8 * 0.1 * 2.0 * tube / 0.03) ** (1 / 3)
    k1, k2 = maps.principal_curvatures(shape.scan, radius=fit)
    assert np.abs(k1 - shape.k1).max() * tube < 0.15
    assert np.abs(k2 - shape.k2).max() * tube < 0.15


def test_results_do_not_depend_on_the_order_of_vertices():
    shape = shapes.torus(30.0, 12.0, 2.0)
    other, row = shape.reindexed(seed=1)
    np.testing.assert_allclose(maps.vertex_normals(other.scan)[row], maps.vertex_normals(shape.scan), atol=1e-6)
    for a, b in zip(maps.principal_curvatures(shape.scan), maps.principal_curvatures(other.scan), strict=True):
        np.testing.assert_allclose(b[row], a, rtol=1e-5, atol=1e-7)
    first, second = (maps.render_maps(s.scan, size=48, pixel=2.0) for s in (shape, other))
    np.testing.assert_array_equal(first.mask, second.mask)
    np.testing.assert_allclose(first.stack, second.stack, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("radius", [60.0, 80.0, 100.0])
def test_depth_is_that_of_the_surface(radius):
    shape = shapes.cap(radius, 1.0, half=30.0)
    made = maps.render_maps(shape.scan, ("depth",), (41, 61), 0.8)
    y, x = np.meshgrid((20 - np.arange(41)) * 0.8, (np.arange(61) - 30) * 0.8, indexing="ij")
    off_edge = np.maximum(np.abs(x), np.abs(y)) < 25
    exact = np.sqrt(radius**2 - x**2 - y**2)
    assert np.abs(made.channel("depth") - exact)[off_edge].max() < 0.02


def test_rows_go_down_and_columns_to_the_subjects_left():
    scan = Scan.of([[3.1, 1.0, 7], [4.9, 1.0, 7], [4.0, 2.9, 7]], [[0, 1, 2]])
    made = maps.render_maps(scan, ("depth",), (7, 11), 1.0)
    assert sorted(map(tuple, np.argwhere(made.mask == 1))) == [(1, 9), (2, 9)]  # y = 2, 1; x = 4


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.booleans())
def test_the_zbuffer_is_its_definition(seed, moved):
    rng = np.random.default_rng(seed)
    points, faces = rng.uniform(-1, 9, (12, 3)), rng.integers(0, 12, (7, 3)).astype(np.int32)
    jitter = rng.uniform(-0.7, 0.7, (6, 9, 2)).astype(np.float32) if moved else raster.NO_JITTER
    face, bary = raster.zbuffer(points, faces, 6, 9, jitter)
    expected, top = slow_zbuffer(points, faces, 6, 9, jitter)
    np.testing.assert_array_equal(face < 0, expected < 0)
    seen = face >= 0
    np.testing.assert_allclose((bary[seen] * points[faces[face[seen]], 2]).sum(axis=1), top[seen], atol=1e-5)


def test_small_holes_are_continued_and_large_ones_stay():
    shape = shapes.plane(30.0, 0.7, slope=(0.4, -0.3))
    centre = shape.vertices[shape.faces].mean(axis=1)[:, :2]
    cut = (np.abs(centre - [-8, 5]) < 3).all(axis=1) | (np.abs(centre - [9, -4]) < 7).all(axis=1)
    made = maps.render_maps(Scan.of(shape.vertices, shape.faces[~cut]), ("depth",), 41, 1.0, fill=10.0)
    assert made.mask[20 - 5, 20 - 8] == 2
    assert made.mask[20 + 4, 20 + 9] == 0
    y, x = np.meshgrid(20 - np.arange(41), np.arange(41) - 20, indexing="ij")
    filled = made.mask == 2
    np.testing.assert_allclose(made.channel("depth")[filled], (0.4 * x - 0.3 * y)[filled], atol=1e-3)


def test_the_shape_index_of_the_named_shapes():
    k1, k2 = np.array([2, 1, 1, 0, -2, 0], np.float32), np.array([2, 0, -1, -1, -2, 0], np.float32)
    np.testing.assert_allclose(maps.shape_index(k1, k2), [1, 0.75, 0.5, 0.25, 0, np.nan], atol=1e-6)
    assert maps.curvedness(np.float32([3]), np.float32([-1]))[0] == pytest.approx(np.sqrt(5))
    assert maps.mean_curvature(np.float32([3]), np.float32([-1]))[0] == 1.0
    assert maps.gaussian_curvature(np.float32([3]), np.float32([-1]))[0] == -3.0


def test_what_is_wrong_is_said():
    scan = shapes.plane(10.0, 2.0).scan
    with pytest.raises(ArgumentError, match="depth"):
        maps.render_maps(scan, ("depht",))
    with pytest.raises(ArgumentError, match="`size`"):
        maps.render_maps(scan, size=0)
    with pytest.raises(ArgumentError, match="`pixel`"):
        maps.render_maps(scan, pixel=0.0)
    with pytest.raises(ArgumentError, match="`scan` should have at least one face"):
        maps.vertex_normals(Scan.of(np.zeros((3, 3)), np.empty((0, 3))))
