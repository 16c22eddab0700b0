"""Coarse meshes: curvature from neighbourhoods that grow with the mesh, and maps that keep their own holes."""

import numpy as np
import pytest
import torch
from scipy.spatial import Delaunay

from fer3d.data.channels import Normalisation, channel_names, stack_channels
from fer3d.maps import fit_curvatures, principal_curvatures, render_maps, vertex_normals
from fer3d.scan import Scan
from tests import shapes

SIZE, PIXEL = 60, 1.0


@pytest.mark.parametrize("edge", [4.0, 6.0, 8.0, 12.0, 14.0])
@pytest.mark.parametrize("surface", ["cap", "cylinder", "saddle"])
def test_curvature_is_right_at_every_vertex_of_a_coarse_mesh(edge, surface):
    shape = getattr(shapes, surface)(150.0, edge, half=70.0)
    k1, k2, used = fit_curvatures(shape.scan, 5.0)
    assert np.isfinite(k1).all()
    inner = (np.abs(shape.vertices[:, :2]) < 70.0 - 1.5 * edge).all(axis=1)
    assert inner.sum() > 20
    scale = np.maximum(np.abs(shape.k1), np.abs(shape.k2))
    for came, true in ((k1, shape.k1), (k2, shape.k2)):
        assert (np.abs(came - true) / scale)[inner].max() < 0.12
    assert (used >= np.float32(5.0)).all()
    assert used.max() < 4.6 * 1.5 * edge  # no farther than a few edges
    assert 1.2 * edge < np.median(used) < 2.6 * edge or edge == 4.0


def test_a_mesh_that_is_fine_at_the_face_and_coarse_elsewhere_has_a_radius_for_each():
    """Points 1 mm apart within 20 mm of the middle, 9 mm apart elsewhere, on a sphere."""
    fine, coarse = (
        np.stack(np.meshgrid(s, s), axis=-1).reshape(-1, 2) for s in (np.arange(-20.0, 21), np.arange(-72.0, 73, 9))
    )
    coarse = coarse[np.hypot(*coarse.T) > 24]
    across = np.concatenate([fine[np.hypot(*fine.T) <= 20], coarse])
    across += np.random.default_rng(0).uniform(-0.2, 0.2, across.shape)
    faces = Delaunay(across).simplices
    a, b, c = (across[faces[:, k]] for k in range(3))
    u, v = (b - a).T, (c - a).T
    turned = u[0] * v[1] < u[1] * v[0]
    faces[turned] = faces[turned][:, ::-1]
    scan = Scan.of(np.column_stack([across, np.sqrt(120.0**2 - (across**2).sum(axis=1))]), faces)
    k1, k2, used = fit_curvatures(scan, 5.0)
    away = np.hypot(*across.T)
    assert (used[away < 14] == np.float32(5.0)).all()
    assert (used[away > 30] > 9.0).all()
    assert np.isfinite(k1).all()
    inner = away < 50
    assert np.abs(np.concatenate([k1[inner], k2[inner]]) * 120 - 1).max() < 0.15


def test_a_fine_mesh_keeps_the_radius_and_both_functions_agree():
    shape = shapes.cap(60.0, 1.5, half=20.0)
    k1, k2, used = fit_curvatures(shape.scan, 5.0)
    inner = (np.abs(shape.vertices[:, :2]) < 15).all(axis=1)
    assert (used[inner] == np.float32(5.0)).all()
    for came, wanted in zip((k1, k2), principal_curvatures(shape.scan, 5.0), strict=True):
        np.testing.assert_array_equal(came, wanted)


def test_too_few_vertices_have_no_curvature():
    scan = shapes.cap(60.0, 8.0, half=8.0).scan
    assert len(scan.vertices) < 10
    k1, k2, used = fit_curvatures(scan, 5.0)
    assert np.isnan([k1, k2, used]).all()


@pytest.fixture(scope="module")
def scan():
    """A square of 60 x 60 mm on a sphere, with colours."""
    shape = shapes.cap(80.0, 2.0, half=30.0)
    points = shape.vertices - [0, 0, 80.0]
    colours = np.tile(np.float32([200, 100, 50]), (len(points), 1)) + points[:, :1].astype(np.float32)
    return Scan.of(points, shape.faces, colours=colours)


def spoilt(scan, half):
    """Curvatures that are unknown within a square of +-half mm."""
    k1, k2 = (k.copy() for k in principal_curvatures(scan))
    hole = (np.abs(scan.vertices[:, :2]) < half).all(axis=1)
    k1[hole], k2[hole] = np.nan, np.nan
    return k1, k2


ALL = ("depth", "normal", "curvature", "texture")


def test_a_hole_of_the_curvature_is_no_hole_of_the_other_maps(scan):
    whole, made = (render_maps(scan, ALL, SIZE, PIXEL, curvatures=k) for k in (None, spoilt(scan, 12.0)))
    np.testing.assert_array_equal(made.mask, whole.mask)
    np.testing.assert_array_equal(made.stack[:4], whole.stack[:4])
    np.testing.assert_array_equal(made.texture, whole.texture)
    assert made.coloured is None
    unknown = np.isnan(made.stack[4:]).all(axis=0) & (made.mask == 1)
    assert 400 < unknown.sum() < 900
    assert np.isfinite(made.channel("depth")[unknown]).all()
    known = (made.mask == 1) & ~unknown
    np.testing.assert_array_equal(made.stack[4:, known], whole.stack[4:, known])


def test_a_small_hole_of_the_curvature_is_filled_and_the_pixel_stays_measured(scan):
    whole, made = (render_maps(scan, ALL, SIZE, PIXEL, curvatures=k) for k in (None, spoilt(scan, 2.5)))
    np.testing.assert_array_equal(made.mask, whole.mask)
    np.testing.assert_array_equal(np.isnan(made.stack), np.isnan(whole.stack))
    np.testing.assert_allclose(made.channel("mean"), whole.channel("mean"), atol=1e-3)


def test_the_maps_do_not_depend_on_which_others_are_asked_for(scan):
    curvatures = spoilt(scan, 12.0)
    made = render_maps(scan, ALL, SIZE, PIXEL, curvatures=curvatures)
    for name in ("depth", "normal", "curvature"):
        alone = render_maps(scan, (name,), SIZE, PIXEL, curvatures=curvatures)
        rows = [made.names.index(channel) for channel in alone.names]
        np.testing.assert_array_equal(alone.stack, made.stack[rows])
        np.testing.assert_array_equal(alone.mask, made.mask)


def test_where_colours_are_unknown_the_other_maps_are_known(scan):
    colours = scan.colours.copy()
    colours[scan.vertices[:, 0] > 5] = np.nan
    whole = render_maps(scan, ALL, SIZE, PIXEL)
    made = render_maps(Scan.of(scan.vertices, scan.faces, colours=colours), ALL, SIZE, PIXEL)
    np.testing.assert_array_equal(made.stack, whole.stack)
    np.testing.assert_array_equal(made.mask, whole.mask)
    assert made.coloured[:, :33].sum() == (made.mask[:, :33] > 0).sum()
    assert not made.coloured[:, 37:].any()
    assert not made.texture[~made.coloured].any()


def test_a_network_is_fed_the_mean_where_a_map_is_unknown(scan):
    colours = scan.colours.copy()
    colours[scan.vertices[:, 0] > 5] = np.nan
    partly = Scan.of(scan.vertices, scan.faces, colours=colours)
    made = render_maps(partly, ALL, SIZE, PIXEL, curvatures=spoilt(scan, 12.0))
    fed = stack_channels(ALL, made.names, made.stack, made.mask, made.texture, "raw", made.coloured).astype(float)
    names = [*channel_names(ALL), "mask"]
    seen, unknown = made.mask > 0, np.isnan(made.channel("mean")) & (made.mask > 0)
    assert np.isfinite(fed).all()
    np.testing.assert_array_equal(fed[-1], seen)
    for name in ("shape_index", "mean", "difference"):
        values = fed[names.index(name)]
        assert np.ptp(values[unknown]) == 0
        assert values[unknown][0] == pytest.approx(values[seen & ~unknown].mean(), abs=2e-3)
    for name, colour in zip(("red", "green", "blue"), range(3), strict=True):
        values = fed[names.index(name)][seen & ~made.coloured]
        assert np.ptp(values) == 0
        assert 255 * values[0] == pytest.approx(made.texture[made.coloured][:, colour].mean(), abs=0.6)
    batch = torch.from_numpy(fed[None]).float()
    scaled = Normalisation.fit(names[:-1], batch, torch.tensor([0])).apply(batch)
    assert scaled[0, names.index("mean")][torch.from_numpy(unknown)].abs().max() < 0.02
    assert scaled[0, names.index("red")][torch.from_numpy(seen & ~made.coloured)].abs().max() < 0.05


def test_where_normals_are_unknown_the_depth_is_known(scan):
    normals = vertex_normals(scan)
    normals[(np.abs(scan.vertices[:, :2]) < 11).all(axis=1)] = np.nan
    made = render_maps(scan, ("depth", "normal"), SIZE, PIXEL, normals=normals)
    assert np.isfinite(made.channel("depth"))[made.mask == 1].all()
    assert np.isnan(made.channel("normal_z"))[made.mask == 1].sum() > 300
