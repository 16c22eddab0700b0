import re
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fer3d.errors import ArgumentError, PrepareError
from fer3d.kernels import topology
from fer3d.prepare.clean import clean, drop_bad_faces, fill_holes, largest_component, remove_spikes
from fer3d.scan import Scan
from tests import shapes

STEPS = ("drop_bad_faces", "remove_spikes", "largest_component", "fill_holes")
# Lengths in units of `edge`: open patches 40 wide, the curved ones of radius 30.
SURFACES = {
    "plane": lambda edge: shapes.plane(20 * edge, edge, slope=(0.4, -0.3)),
    "cap": lambda edge: shapes.cap(30 * edge, edge, half=20 * edge),
    "saddle": lambda edge: shapes.saddle(30 * edge, edge, half=20 * edge),
    "cylinder": lambda edge: shapes.cylinder(30 * edge, edge, half=20 * edge),
}
over_surfaces = pytest.mark.parametrize("surface", SURFACES)
over_edges = pytest.mark.parametrize("edge", [0.1, 1.0, 20.0])


def record(scan):
    """The latest record without the step's name."""
    return {key: value for key, value in scan.history[-1].items() if key != "step"}


def without(shape, *discs):
    """The shape without the faces whose centres lie in one of the discs (x, y, radius), on its upper side."""
    centre = shape.vertices[shape.faces].mean(axis=1)
    keep = np.ones(len(centre), bool)
    for x, y, radius in discs:
        keep &= (np.hypot(centre[:, 0] - x, centre[:, 1] - y) > radius) | (shape.normals[shape.faces[:, 0], 2] < 0)
    return replace(shape, faces=shape.faces[keep])


def spiked(shape, rows, height):
    """The shape with these vertices moved along their normals."""
    vertices = shape.vertices.copy()
    vertices[rows] += height * shape.normals[rows]
    return replace(shape, vertices=vertices)


def nearest(shape, x, y):
    """The vertex nearest to (x, y) on the upper side."""
    off = np.hypot(shape.vertices[:, 0] - x, shape.vertices[:, 1] - y)
    return int(np.argmin(np.where(shape.normals[:, 2] < 0, np.inf, off)))


def around(shape, row):
    """The vertices that share an edge with this one."""
    return np.setdiff1d(shape.faces[(shape.faces == row).any(axis=1)], [row])


def split_seam(shape):
    """The shape as a file with a texture seam has it: the faces at x > 0 have vertices of their own."""
    right = shape.vertices[shape.faces].mean(axis=1)[:, 0] > 0
    faces = shape.faces.copy()
    faces[right] += len(shape.vertices)
    rows = np.unique(faces)
    return Scan.of(np.tile(shape.vertices, (2, 1))[rows], np.searchsorted(rows, faces))


def neighbours(scan):
    faces = topology.welded_faces(scan.faces, topology.weld(scan.vertices))
    return faces, topology.face_neighbours(faces, len(scan.vertices))


def places(scan):
    """The faces as a set of triples of places, begun at the least: the mesh whatever the order of its rows."""
    triples = scan.vertices[scan.faces].tolist()
    return {min(tuple(map(tuple, t[k:] + t[:k])) for k in range(3)) for t in triples}


def dropped(before, after):
    """The rows of `before` that are not in `after`."""
    return set(range(len(before.vertices))) - set(after.file_vertex.tolist())


# drop_bad_faces


def test_each_kind_of_bad_face_is_dropped_and_counted():
    vertices = [[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0], [2, 0, 0], [1, 0, 0], [np.nan, 0, 0], [0, np.inf, 0]]
    fine = [[0, 1, 2], [2, 1, 3]]
    not_finite = [[0, 1, 6], [7, 1, 2]]
    degenerate = [[0, 1, 4], [1, 5, 3], [2, 2, 3]]  # in a line, two corners at one place, a corner twice
    duplicate = [[2, 0, 1], [2, 1, 0], [2, 5, 3]]  # turned, wound the other way, over the copy at a seam
    found = drop_bad_faces(Scan.of(vertices, fine + not_finite + degenerate + duplicate))
    assert found.faces.tolist() == fine
    assert found.file_vertex.tolist() == [0, 1, 2, 3]
    assert found.history == (
        {"step": "drop_bad_faces", "not_finite": 2, "degenerate": 3, "duplicate": 3, "vertices_dropped": 4},
    )


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_a_face_lower_than_a_hundred_thousandth_of_its_longest_edge_is_degenerate(scale):
    for height, expected in ((0.9e-5, 1), (1.1e-5, 0)):
        vertices = scale * np.array([[0, 0, 0], [1, 0, 0], [0.4, height, 0], [0.5, 1, 0]])
        found = drop_bad_faces(Scan.of(vertices, [[0, 1, 2], [0, 1, 3]]))
        assert record(found)["degenerate"] == expected


def test_an_edge_of_three_faces_is_kept():
    vertices = [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1]]
    scan = Scan.of(vertices, [[0, 1, 2], [1, 0, 3], [0, 1, 4]])
    assert drop_bad_faces(scan).faces.tolist() == scan.faces.tolist()


def test_uv_and_file_rows_go_with_their_vertices():
    uv, rows = np.arange(10, dtype=np.float32).reshape(5, 2), np.int32([7, 5, 9, 1, 3])
    vertices = [[np.nan, 0, 0], [0, 0, 0], [5, 5, 5], [1, 0, 0], [0, 1, 0]]
    found = drop_bad_faces(Scan.of(vertices, [[0, 1, 3], [4, 1, 3]], uv=uv, file_vertex=rows))
    assert found.faces.tolist() == [[2, 0, 1]]
    assert found.file_vertex.tolist() == [5, 1, 3]
    np.testing.assert_array_equal(found.uv, uv[[1, 3, 4]])


# remove_spikes


@over_surfaces
@over_edges
def test_single_spikes_are_removed_and_nothing_else_is(surface, edge):
    shape = SURFACES[surface](edge)
    rows = [nearest(shape, x * edge, y * edge) for x, y in ((0, 0), (8, 3), (-7, 9), (5, -11), (-19.5, -3))]
    for height in (3.5, -8.0):
        scan = spiked(shape, rows, height * edge).scan
        found = remove_spikes(scan, 3 * edge)
        assert dropped(scan, found) == set(rows)
        touched = int(np.isin(shape.faces, rows).any(axis=1).sum())
        assert record(found) == {"height_mm": 3 * edge, "vertices": 5, "faces": touched, "vertices_dropped": 5}


def test_a_spike_counts_from_its_height_above_the_plane():
    shape = shapes.plane(20.0, 1.0, slope=(0.3, 0.1))
    row = nearest(shape, 3, -2)
    for height, expected in ((2.8, set()), (3.2, {row}), (-2.8, set()), (-3.2, {row})):
        scan = spiked(shape, [row], height).scan
        found = remove_spikes(scan, 3.0)
        assert (dropped(scan, found) if expected else set()) == expected
        assert record(found)["vertices"] == len(expected)


@over_surfaces
@pytest.mark.parametrize("heights", [(6.0, 6.0), (6.0, 9.0), (6.0, -6.0), (3.5, 3.5)])
def test_spikes_in_pairs_are_removed_and_nothing_else_is(surface, heights):
    shape = SURFACES[surface](1.0)
    first = nearest(shape, 4, -6)
    for other in around(shape, first):
        scan = spiked(spiked(shape, [first], heights[0]), [other], heights[1]).scan
        assert dropped(scan, remove_spikes(scan)) == {first, other}


@over_surfaces
def test_the_noise_of_a_scanner_is_no_spike(surface):
    scan = SURFACES[surface](1.0).noisy(0.15).scan
    assert record(remove_spikes(scan)) == {"height_mm": 3.0, "vertices": 0, "faces": 0, "vertices_dropped": 0}


@pytest.mark.parametrize("edge", [1.0, 2.0, 4.0, 6.0, 8.0])
def test_a_nose_is_no_spike_however_coarse_the_mesh(edge):
    shape = shapes.plane(60.0, edge, seed=2)
    x, y = shape.vertices[:, :2].T
    nose = 22 * np.exp(-(x**2) / (2 * 9.0**2) - y**2 / (2 * 14.0**2))
    assert record(remove_spikes(Scan.of(np.stack([x, y, nose], axis=1), shape.faces)))["vertices"] == 0


def test_a_vertex_far_from_its_neighbours_in_their_plane_is_no_spike():
    turn = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    ring = np.stack([np.cos(turn), np.sin(turn), np.zeros(40)], axis=1)
    inner, outer = np.arange(1, 41), np.arange(41, 81)
    fan = np.stack([np.zeros(40, int), inner, np.roll(inner, -1)], axis=1)
    band = np.stack([inner, outer, np.roll(inner, -1)], axis=1)
    for height, expected in ((0.0, 0), (2.0, 0), (6.0, 1)):
        vertices = np.concatenate([[[0.0, 0.0, height]], 6 * ring, 7 * ring])
        assert record(remove_spikes(Scan.of(vertices, np.concatenate([fan, band]))))["vertices"] == expected


def test_a_raised_patch_is_a_surface_and_stays():
    shape = shapes.plane(20.0, 1.0)
    patch = np.flatnonzero(np.hypot(*shape.vertices[:, :2].T) < 6)
    assert record(remove_spikes(spiked(shape, patch, 6.0).scan))["vertices"] == 0


def test_copies_of_a_spike_at_a_seam_are_one_spike():
    shape = shapes.plane(10.0, 1.0)
    whole = spiked(shape, [nearest(shape, 0, 0)], 6.0)
    on_seam = int(np.argmax(whole.vertices[:, 2]))
    sides = whole.vertices[whole.faces[(whole.faces == on_seam).any(axis=1)]].mean(axis=1)[:, 0] > 0
    assert sides.any() and not sides.all()
    split = split_seam(whole)
    found = remove_spikes(split)
    assert (record(found)["vertices"], record(found)["faces"]) == (1, len(sides))
    assert places(found) == places(remove_spikes(whole.scan))


def test_height_zero_removes_nothing():
    shape = shapes.plane(10.0, 1.0)
    scan = spiked(shape, [nearest(shape, 0, 0)], 6.0).scan
    found = remove_spikes(scan, 0.0)
    assert found.faces is scan.faces
    assert record(found) == {"height_mm": 0.0, "vertices": 0, "faces": 0}


# largest_component


def test_the_piece_of_the_largest_area_stays_however_few_its_faces():
    large, small = shapes.plane(10.0, 4.0), shapes.plane(4.0, 0.5)
    assert len(small.faces) > len(large.faces)
    vertices = np.concatenate([small.vertices + np.array([0, 0, 50.0]), large.vertices])
    scan = Scan.of(vertices, np.concatenate([small.faces, large.faces + len(small.vertices)]))
    found = largest_component(scan)
    assert places(found) == places(large.scan)
    assert record(found) == {
        "components": 2,
        "faces_dropped": len(small.faces),
        "vertices_dropped": len(small.vertices),
        "area_dropped": 0.1552,
    }
    assert found.warnings == ("cleaning dropped 15.5% of the surface: 1 of 2 components",)


def test_a_corner_in_common_is_not_enough_and_an_edge_is():
    vertices = [[0, 0, 0], [3, 0, 0], [0, 3, 0], [-1, 0, 0], [0, -1, 0]]
    corner = largest_component(Scan.of(vertices, [[0, 1, 2], [0, 3, 4]]))
    assert (corner.faces.tolist(), record(corner)["components"]) == ([[0, 1, 2]], 2)
    edge = largest_component(Scan.of(vertices, [[0, 1, 2], [0, 2, 3]]))
    assert (len(edge.faces), record(edge)["components"]) == (2, 1)


def test_a_seam_does_not_divide_a_piece():
    scan = split_seam(shapes.sphere(10.0, 1.0))
    found = largest_component(scan)
    assert found.faces is scan.faces
    assert record(found) == {"components": 1, "faces_dropped": 0, "vertices_dropped": 0}


# fill_holes


@over_surfaces
@over_edges
def test_a_hole_is_filled_on_the_surface_as_densely_as_around(surface, edge):
    shape = without(SURFACES[surface](edge), (2 * edge, -3 * edge, 4 * edge))
    scan = shape.scan
    found = fill_holes(scan, 12 * edge)
    new = found.vertices[len(scan.vertices) :].astype(float)
    patch = found.faces[len(scan.faces) :]
    assert np.abs(new[:, 2] - shape.height(new[:, 0], new[:, 1])).max() < 0.005 * edge
    middle = found.vertices[patch].mean(axis=1, dtype=float)
    assert np.abs(middle[:, 2] - shape.height(middle[:, 0], middle[:, 1])).max() < 0.02 * edge
    sides = np.linalg.norm(found.vertices[patch] - found.vertices[np.roll(patch, 1, axis=1)], axis=2) / edge
    assert 0.8 < sides.mean() < 1.3
    assert 0.3 < sides.min() < sides.max() < 2.5
    assert record(found) == {
        "extent_mm": 12 * edge,
        "holes": 1,
        "left_open": 1,
        "vertices": len(new),
        "faces": len(patch),
    }


@pytest.mark.parametrize("carried", ["uv", "colours", "uv and colours"])
def test_what_vertices_carry_is_interpolated_over_a_filled_hole(carried):
    """Linear functions of x and y come out as themselves, up to the curvature of the rim."""
    scan = without(shapes.sphere(50.0, 2.0), (10.0, -5.0, 8.0)).scan
    x, y, _ = scan.vertices.T
    uv, colours = np.stack([x / 100, y / 100 + 0.5], 1), np.stack([x + 60, 60 - y, x + y + 110], 1)
    scan = replace(scan, uv=uv if "uv" in carried else None, colours=colours if "colours" in carried else None)
    found = fill_holes(scan, 25.0)
    x, y, _ = found.vertices[len(scan.vertices) :].T
    assert len(x) > 10
    if found.uv is not None:
        np.testing.assert_allclose(found.uv[-len(x) :], np.stack([x / 100, y / 100 + 0.5], 1), atol=0.02)
    if found.colours is not None:
        wanted = np.stack([x + 60, 60 - y, x + y + 110], 1)
        np.testing.assert_allclose(found.colours[-len(x) :], wanted, atol=2)
    assert (found.uv is None, found.colours is None) == (scan.uv is None, scan.colours is None)


@pytest.mark.parametrize("radius", [2.0, 20.0, 400.0])
def test_a_hole_of_a_sphere_is_filled_and_the_sphere_is_closed(radius):
    shape = without(shapes.sphere(radius, radius / 20), (0.3 * radius, -0.2 * radius, 0.2 * radius))
    found = fill_holes(shape.scan, 0.6 * radius)
    assert np.abs(np.linalg.norm(found.vertices, axis=1) - radius).max() < 5e-4 * radius
    assert (neighbours(found)[1] >= 0).all()
    assert record(found)["left_open"] == 0


@over_surfaces
def test_filled_faces_are_wound_like_those_around(surface):
    shape = without(SURFACES[surface](1.0), (2, -3, 4))
    inside_out = replace(shape, faces=shape.faces[:, ::-1].copy())
    for scan, sign in ((shape.scan, 1), (inside_out.scan, -1)):
        found = fill_holes(scan, 12.0)
        a, b, c = (found.vertices[found.faces[len(scan.faces) :, k]].astype(float) for k in range(3))
        assert (sign * np.cross(b - a, c - a)[:, 2] > 0).all()
        faces, table = neighbours(found)
        assert not topology.components(faces, table)[1].any()


def test_a_hole_is_filled_up_to_the_extent_and_not_above():
    shape = without(shapes.plane(20.0, 1.0), (2, -3, 4))
    faces, table = neighbours(shape.scan)
    start, vertex, _ = topology.boundary_loops(faces, table)
    boundaries = [shape.vertices[vertex[low:high]] for low, high in pairwise(start)]
    exact = min(np.linalg.norm(boundary[:, None] - boundary, axis=2).max() for boundary in boundaries)
    assert 7 < exact < 10
    assert record(fill_holes(shape.scan, exact * 1.0001))["holes"] == 1
    above = fill_holes(shape.scan, exact * 0.9999)
    assert places(above) == places(shape.scan)
    assert record(above) == {"extent_mm": exact * 0.9999, "holes": 0, "left_open": 2, "vertices": 0, "faces": 0}


@pytest.mark.parametrize("shape", [shapes.plane(3.0, 1.0), shapes.saddle(5.0, 1.0), shapes.cap(30.0, 4.0)])
def test_the_outer_rim_is_never_closed(shape):
    assert record(fill_holes(shape.scan, 1e6))["holes"] == 0


def test_only_the_holes_of_a_scan_are_filled_and_each_is_counted():
    shape = without(shapes.cap(60.0, 1.0, half=25.0), (10, 10, 2), (-10, 8, 3), (-6, -12, 3), (12, -10, 7))
    found = fill_holes(shape.scan, 10.0)
    assert (record(found)["holes"], record(found)["left_open"]) == (3, 2)
    centre = found.vertices[found.faces[len(shape.faces) :]].mean(axis=1)
    assert (np.hypot(centre[:, 0] - 12, centre[:, 1] + 10) > 7).all()
    np.testing.assert_array_equal(found.faces[: len(shape.faces)], shape.faces)
    np.testing.assert_array_equal(found.vertices[: len(shape.vertices)], shape.scan.vertices)


def test_uv_is_interpolated_and_new_vertices_are_of_no_file_row():
    shape = without(shapes.plane(20.0, 1.0, slope=(0.2, 0.1)), (2, -3, 4))
    x, y = shape.vertices[:, :2].T
    uv = np.stack([0.4 + 0.02 * x, 0.6 - 0.01 * y + 0.003 * x], axis=1).astype(np.float32)
    rows = np.arange(len(x), dtype=np.int32)[::-1].copy()
    found = fill_holes(replace(shape.scan, uv=uv, file_vertex=rows))
    x, y = found.vertices[:, :2].T
    np.testing.assert_allclose(found.uv, np.stack([0.4 + 0.02 * x, 0.6 - 0.01 * y + 0.003 * x], axis=1), atol=1e-5)
    np.testing.assert_array_equal(found.file_vertex[: len(rows)], rows)
    assert len(found.file_vertex) > len(rows)
    assert (found.file_vertex[len(rows) :] == -1).all()


def test_a_hole_on_a_seam_is_one_hole():
    shape = without(shapes.plane(20.0, 1.0), (0, -3, 4))
    whole, split = fill_holes(shape.scan), fill_holes(split_seam(shape))
    assert record(whole)["holes"] == record(split)["holes"] == 1
    assert record(whole)["left_open"] == record(split)["left_open"] == 1
    assert places(whole) == places(split)


def test_holes_that_touch_at_a_corner_are_two_holes():
    shape = shapes.plane(10.0, 1.0)
    row = nearest(shape, 0, 0)
    fan = np.flatnonzero((shape.faces == row).any(axis=1))
    turn = np.argsort([np.arctan2(*shape.vertices[shape.faces[f]].mean(axis=0)[:2]) for f in fan])
    opposite = fan[turn][[0, len(fan) // 2]]
    scan = Scan.of(shape.vertices, np.delete(shape.faces, opposite, axis=0))
    found = fill_holes(scan)
    assert record(found) == {"extent_mm": 10.0, "holes": 2, "left_open": 1, "vertices": 0, "faces": 2}
    assert places(found) == places(shape.scan)


def test_a_slit_that_no_face_with_an_area_can_close_stays_open():
    shape = shapes.plane(10.0, 1.0)
    f = int(np.argmin(np.hypot(*shape.vertices[shape.faces].mean(axis=1)[:, :2].T)))
    a, b, c = shape.faces[f]
    m = len(shape.vertices)  # halfway from a to b, known to one side only
    vertices = np.concatenate([shape.vertices, shape.vertices[[a, b]].mean(axis=0, keepdims=True)])
    scan = Scan.of(vertices, np.concatenate([np.delete(shape.faces, f, axis=0), [[a, m, c], [m, b, c]]]))
    assert record(fill_holes(scan)) == {"extent_mm": 10.0, "holes": 0, "left_open": 2, "vertices": 0, "faces": 0}


def test_a_hole_at_an_edge_of_three_faces_stays_open():
    shape = without(shapes.plane(10.0, 1.0), (0, 0, 2))
    faces, table = neighbours(shape.scan)
    boundary = np.argwhere(table == topology.BOUNDARY)
    inner = [(f, k) for f, k in boundary if np.hypot(*shape.vertices[faces[f, k], :2]) < 5]
    a, b = (faces[inner[0][0], (inner[0][1] + n) % 3] for n in range(2))
    fins = [[a, b, len(shape.vertices)], [a, b, len(shape.vertices) + 1]]
    vertices = np.concatenate([shape.vertices, [[0.1, 0, 3], [0, 0.1, -3]]])
    found = fill_holes(Scan.of(vertices, np.concatenate([shape.faces, fins])))
    assert record(found)["holes"] == 0


@pytest.mark.parametrize("scale", [2.0**-9, 2.0**7])
def test_spikes_and_holes_scale_with_their_lengths(scale):
    shape = without(shapes.cap(60.0, 1.0, half=25.0), (10, 10, 2), (-6, -12, 3))
    one = spiked(shape, [nearest(shape, -5, 3), nearest(shape, 14, -8)], 5.0).scan
    other = replace(one, vertices=np.float32(scale) * one.vertices)
    for step in (remove_spikes, fill_holes):
        first, second = step(one, 3.0), step(other, 3.0 * scale)
        np.testing.assert_array_equal(second.faces, first.faces)
        np.testing.assert_array_equal(second.vertices, np.float32(scale) * first.vertices)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6))
def test_filling_a_riddled_surface_keeps_it_one(seed):
    rng = np.random.default_rng(seed)
    shape = [shapes.torus(12.0, 5.0, 1.5), shapes.cap(20.0, 1.2, half=10.0)][seed % 2]
    scan = largest_component(
        Scan.of(shape.vertices, shape.faces[rng.random(len(shape.faces)) > rng.choice([0.1, 0.3])])
    )
    found = fill_holes(scan, rng.choice([4.0, 12.0]))
    faces, table = neighbours(found)
    assert (table != topology.CROWDED).all()
    assert topology.components(faces, table)[2] == 1
    assert not topology.components(faces, table)[1].any()
    assert (topology.face_faults(found.vertices, faces, 1e-5) == topology.FINE).all()
    if seed % 2:  # a torus has a handle: see `topology.boundary_loops`
        assert record(fill_holes(found, record(found)["extent_mm"]))["holes"] == 0


# clean


def damaged(seed, holes=((8, 8, 3), (-9, 3, 3.5), (2, -10, 3))):
    """A noisy cap with single and paired spikes, holes, a loose flake, bad faces."""
    rng = np.random.default_rng(seed)
    shape = without(shapes.cap(40.0, 1.5, half=24.0, seed=seed % 7).noisy(0.1, seed), *holes)
    used = np.unique(shape.faces)
    rows = rng.choice(used, 12, replace=False)
    shape = spiked(shape, rows, rng.uniform(4, 9))
    count = len(shape.vertices)
    flake = np.array([[0, 0, 60], [2, 0, 60], [0, 2, 60], [np.nan, 0, 0]])
    bad = [[count, count + 1, count + 2], [used[0], used[1], count + 3], [used[5], used[5], used[6]], shape.faces[7]]
    vertices = np.concatenate([shape.vertices, flake])
    normals, curvature = np.concatenate([shape.normals, np.ones((4, 3))]), np.zeros(count + 4)
    faces = np.concatenate([shape.faces, bad]).astype(np.int32)
    return replace(shape, vertices=vertices, faces=faces, normals=normals, k1=curvature, k2=curvature)


def test_clean_is_its_steps_in_order():
    scan = damaged(0).scan
    by_steps = fill_holes(largest_component(remove_spikes(drop_bad_faces(scan))))
    found = clean(scan)
    np.testing.assert_array_equal(found.vertices, by_steps.vertices)
    np.testing.assert_array_equal(found.faces, by_steps.faces)
    assert found.history == by_steps.history
    assert tuple(step["step"] for step in found.history) == STEPS
    assert found.history[0]["not_finite"] == found.history[0]["degenerate"] == found.history[0]["duplicate"] == 1
    assert found.history[1]["vertices"] == 12
    assert found.history[2]["components"] == 2
    assert found.history[3]["holes"] >= 3


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6))
def test_cleaning_a_clean_scan_changes_nothing_but_its_history(seed):
    once = clean(damaged(seed).scan)
    twice = clean(once)
    np.testing.assert_array_equal(twice.vertices, once.vertices)
    np.testing.assert_array_equal(twice.faces, once.faces)
    np.testing.assert_array_equal(twice.file_vertex, once.file_vertex)
    assert twice.history[: len(once.history)] == once.history
    assert [step["step"] for step in twice.history[len(once.history) :]] == list(STEPS)


def test_spikes_that_come_to_light_when_holes_are_filled_go_too():
    rounds = []
    for seed in range(20):
        generator = np.random.default_rng(seed)
        shape = shapes.cap(40.0, 2.0, seed)
        rows = generator.choice(len(shape.vertices), 30, replace=False)
        shape = spiked(shape, rows, generator.uniform(2, 10, (30, 1)) * generator.choice([-1, 1], (30, 1)))
        once = clean(Scan.of(shape.vertices, shape.faces[generator.random(len(shape.faces)) > 0.1]), hole=20.0)
        twice = clean(once, hole=20.0)
        assert places(twice) == places(once)
        rounds.append((len(once.history) - 1) // 3)
        assert [step["step"] for step in once.history] == [*STEPS[:1], *rounds[-1] * STEPS[1:]]
    assert set(rounds) == {1, 2}


@pytest.mark.parametrize("seed", range(4))
def test_the_result_does_not_depend_on_the_order_of_rows(seed):
    shape = damaged(seed)
    other, row = shape.reindexed(seed)
    first, second = clean(shape.scan), clean(other.scan)
    assert second.history == first.history
    kept = first.file_vertex[first.file_vertex >= 0]
    np.testing.assert_array_equal(np.sort(row[kept]), second.file_vertex[second.file_vertex >= 0])
    new, others = (scan.vertices[scan.file_vertex < 0] for scan in (first, second))
    assert len(new) > 0
    apart = np.linalg.norm(new[:, None] - others, axis=2)
    assert max(apart.min(axis=0).max(), apart.min(axis=1).max()) < 1e-4


def test_records_say_the_lengths_and_earlier_history_stays():
    scan = shapes.plane(10.0, 1.0).scan.step("read", {"file": "a.wrl"})
    found = clean(scan, spike=2.0, hole=7.0)
    assert found.history == (
        {"step": "read", "file": "a.wrl"},
        {"step": "drop_bad_faces", "not_finite": 0, "degenerate": 0, "duplicate": 0, "vertices_dropped": 0},
        {"step": "remove_spikes", "height_mm": 2.0, "vertices": 0, "faces": 0, "vertices_dropped": 0},
        {"step": "largest_component", "components": 1, "faces_dropped": 0, "vertices_dropped": 0},
        {"step": "fill_holes", "extent_mm": 7.0, "holes": 0, "left_open": 1, "vertices": 0, "faces": 0},
    )
    assert found.faces is scan.faces


def test_what_is_wrong_is_said():
    scan = shapes.plane(5.0, 1.0).scan
    for step in (clean, drop_bad_faces, remove_spikes, largest_component, fill_holes):
        with pytest.raises(ArgumentError, match="`scan` should have at least one face, has 3 vertices and no face"):
            step(Scan.of(np.zeros((3, 3)), np.empty((0, 3))))
        with pytest.raises(ArgumentError, match="`scan` should be a fer3d.scan.Scan, is ndarray"):
            step(scan.vertices)
    for length in (-1.0, np.nan, np.inf):
        said = re.escape(f" should lie in [0, 1e+06] mm, is {length!r}")
        with pytest.raises(ArgumentError, match=f"`height`{said}"):
            remove_spikes(scan, length)
        with pytest.raises(ArgumentError, match=f"`extent`{said}"):
            fill_holes(scan, length)
        with pytest.raises(ArgumentError, match=f"`spike`{said}"):
            clean(scan, spike=length)
        with pytest.raises(ArgumentError, match=f"`hole`{said}"):
            clean(scan, hole=length)


def test_a_step_on_its_own_asks_for_sound_faces():
    vertices = [[0, 0, 0], [1, 0, 0], [0, 1, 0], [np.nan, 0, 0], [2, 0, 0]]
    for bad in ([0, 1, 3], [0, 1, 4], [1, 1, 2]):
        scan = Scan.of(vertices, [[0, 1, 2], bad])
        for step in (remove_spikes, largest_component, fill_holes):
            with pytest.raises(PrepareError, match="1 of 2 have not: call `drop_bad_faces` first"):
                step(scan)
            assert record(step(drop_bad_faces(scan)))["vertices_dropped" if step is not fill_holes else "faces"] == 0


def test_a_scan_of_which_nothing_is_left_is_refused():
    vertices = [[0, 0, 0], [1, 0, 0], [2, 0, 0], [np.nan, 0, 0]]
    for step in (clean, drop_bad_faces):
        with pytest.raises(PrepareError, match="all 3 are bad: 1 not finite, 2 degenerate, 0 duplicate"):
            step(Scan.of(vertices, [[0, 1, 2], [0, 1, 3], [1, 1, 2]]))
    shape = shapes.plane(1.0, 1.0)
    row = nearest(shape, 0, 0)
    star = Scan.of(spiked(shape, [row], 20.0).vertices, shape.faces[(shape.faces == row).any(axis=1)])
    for step in (clean, remove_spikes):
        with pytest.raises(PrepareError, match=f"all of its {len(star.faces)} faces touch spikes"):
            step(star)
