"""The crop cuts triangles at its sphere: a smooth rim, a sound mesh, and nothing else changed."""

from dataclasses import replace

import numpy as np
import pytest

from fer3d.kernels import topology
from fer3d.maps import render_maps
from fer3d.prepare.align import crop
from fer3d.scan import Scan
from tests import shapes

RADIUS = 50.0


def surface(edge, seed=0):
    """A curved sheet of 140 x 140 mm whose top is the origin, with colours and uv that are linear in x and y."""
    shape = shapes.cap(110.0, edge, seed, half=70.0)
    points = shape.vertices - [0.0, 0.0, 110.0]
    across = points[:, :2].astype(np.float32)
    colours = np.concatenate([100 + across, across[:, :1] + across[:, 1:] + 100], axis=1)
    return Scan.of(points, shape.faces, uv=across / 100, colours=colours)


def area(scan):
    a, b, c = (scan.vertices[scan.faces[:, k]].astype(float) for k in range(3))
    return float(np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2)


def boundary(scan):
    """Loops of boundary vertices; the welded faces; and whether any edge has more than two faces."""
    faces = topology.welded_faces(scan.faces, topology.weld(scan.vertices))
    neighbours = topology.face_neighbours(faces, len(scan.vertices))
    start, vertex, _ = topology.boundary_loops(faces, neighbours)
    return start, vertex, faces, (neighbours == topology.CROWDED).any()


@pytest.mark.parametrize("edge", [2.0, 5.0, 11.0])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_rim_lies_on_the_sphere_and_the_mesh_is_sound(edge, seed):
    whole = surface(edge, seed)
    cut = crop(whole, RADIUS)
    start, vertex, faces, crowded = boundary(cut)
    assert len(start) == 2  # one loop
    rim = np.linalg.norm(cut.vertices[vertex].astype(float), axis=1)
    assert rim.max() <= RADIUS
    assert rim.min() > RADIUS - 0.06 * edge * 1.5  # snapped corners lie a little inside
    assert not crowded
    assert (topology.face_faults(cut.vertices, faces, 1e-4) == topology.FINE).all()
    _, turn, count = topology.components(faces, topology.face_neighbours(faces, len(cut.vertices)))
    assert (count, turn.any()) == (1, False)
    corners = cut.vertices[cut.faces].astype(float)
    sides = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2)
    assert sides.min() > 0.01 * edge
    # the cap of a sphere within RADIUS of its top has the area pi RADIUS^2; chords of the rim and of the mesh cut it
    assert 1 - 0.35 * (edge / RADIUS) ** 2 - 0.004 < area(cut) / (np.pi * RADIUS**2) < 1.0
    assert area(cut) > area(dropped(whole)) * 1.01


def dropped(scan):
    """The faces that lie entirely within the radius."""
    near = np.linalg.norm(scan.vertices.astype(float), axis=1) <= RADIUS
    return replace(scan, faces=scan.faces[near[scan.faces].all(axis=1)])


@pytest.mark.parametrize("edge", [2.0, 9.0])
def test_what_vertices_hold_is_interpolated_along_the_cut_edges(edge):
    cut = crop(surface(edge), RADIUS)
    across = cut.vertices[:, :2]
    assert (cut.file_vertex < 0).sum() > 10
    np.testing.assert_allclose(cut.uv, across / 100, atol=1e-5)
    np.testing.assert_allclose(cut.colours[:, :2], 100 + across, atol=1e-3)


def test_no_interior_pixel_changes_and_none_is_invented():
    whole = surface(6.0)
    before, now, all_ = (render_maps(s, ("depth",), 140, 0.8) for s in (dropped(whole), crop(whole, RADIUS), whole))
    old, new, most = (made.mask == 1 for made in (before, now, all_))
    assert (old <= new).all()
    assert (new <= most).all()
    assert new.sum() > 1.1 * old.sum()
    np.testing.assert_array_equal(now.stack[0][old], before.stack[0][old])
    np.testing.assert_allclose(now.stack[0][new], all_.stack[0][new], atol=1e-4)


def test_a_texture_seam_stays_closed():
    """Vertices at x = 0 are split: faces on the left have copies with another uv."""
    scan = surface(4.0)
    left = scan.vertices[scan.faces].mean(axis=1)[:, 0] < 0
    seam = np.intersect1d(scan.faces[left], scan.faces[~left])
    copy = np.arange(len(scan.vertices), dtype=np.int32)
    copy[seam] = len(copy) + np.arange(len(seam))
    split = replace(
        scan,
        vertices=np.concatenate([scan.vertices, scan.vertices[seam]]),
        faces=np.where(left[:, None], copy[scan.faces], scan.faces).astype(np.int32),
        uv=np.concatenate([scan.uv, scan.uv[seam] + np.float32(0.5)]),
        colours=None,
    )
    cut, plain = crop(split, RADIUS), crop(scan, RADIUS)
    start, _, _, crowded = boundary(cut)
    assert (len(start), crowded) == (2, False)
    assert area(cut) == pytest.approx(area(plain), rel=1e-6)
    assert len(cut.vertices) > len(plain.vertices)


def test_cropping_again_changes_nothing():
    once = crop(surface(5.0), RADIUS)
    twice = crop(once, RADIUS)
    np.testing.assert_array_equal(twice.vertices, once.vertices)
    np.testing.assert_array_equal(twice.faces, once.faces)
    assert twice.history[-1]["faces_cut"] == 0


def test_the_order_of_vertices_changes_no_position():
    scan = surface(5.0)
    order = np.random.default_rng(0).permutation(len(scan.vertices))
    row = np.argsort(order).astype(np.int32)
    other = replace(
        scan, vertices=scan.vertices[order], faces=row[scan.faces], uv=scan.uv[order], colours=scan.colours[order]
    )
    one, two = (np.unique(crop(s, RADIUS).vertices, axis=0) for s in (scan, other))
    np.testing.assert_array_equal(one, two)


def test_a_face_with_a_corner_that_is_no_number_is_dropped():
    scan = surface(5.0)
    scan.vertices[0] = np.nan
    bad = replace(scan, faces=np.concatenate([scan.faces, [[0, scan.faces[0, 0], scan.faces[0, 1]]]]).astype(np.int32))
    assert np.isfinite(crop(bad, RADIUS).vertices).all()
