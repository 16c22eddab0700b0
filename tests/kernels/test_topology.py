import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fer3d.kernels import topology, winding
from tests import shapes
from tests.reference import topology as slow


def for_many(test):
    """A test of random meshes: it takes a seed."""
    return settings(max_examples=60, deadline=None)(given(st.integers(0, 10**6))(test))


def soup(rng, most=40):
    """Random faces over few vertices: edges of many faces, duplicates, every winding, vertices without a face."""
    vertices = rng.integers(0, 5, (12, 3)).astype(np.float32)
    faces = rng.integers(0, rng.integers(4, 13), (rng.integers(1, most), 3)).astype(np.int32)
    return vertices, faces


def walkable(rng, most=40):
    """A soup whose faces have three corners each; half of the time a fan, so that one vertex has many edges."""
    vertices, faces = soup(rng, most)
    if rng.random() < 0.5:
        faces = rng.integers(0, 40, (rng.integers(1, 3 * most), 3)).astype(np.int32)
        faces[:, rng.integers(3)] = 0
        vertices = rng.integers(0, 5, (40, 3)).astype(np.float32)
    three = (faces != np.roll(faces, 1, axis=1)).all(axis=1)
    return vertices, faces[three]


def sheet(rng):
    """A disc with holes that touch, faces of both windings and, half of the time, edges of three faces."""
    shape = shapes.plane(5.0, 1.5, seed=int(rng.integers(9)))
    keep = rng.random(len(shape.faces)) < 0.8
    faces = shape.faces[keep]
    if rng.random() < 0.5:
        fins = faces[rng.integers(0, len(faces), 2)].copy()
        fins[:, 2] = len(shape.vertices) + np.arange(2)
        faces = np.concatenate([faces, fins])
    turned = rng.random(len(faces)) < 0.3
    faces[turned] = faces[turned][:, ::-1]
    return np.concatenate([shape.vertices, [[0, 0, 9], [0, 1, 9]]]).astype(np.float32), faces


def loops_of(faces, count):
    """The kernel's loops as lists of (vertex, edge)."""
    start, vertex, edge = topology.boundary_loops(faces, topology.face_neighbours(faces, count))
    pairs = list(zip(vertex.tolist(), edge.tolist(), strict=True))
    return [pairs[low:high] for low, high in pairwise(start)]


@for_many
def test_weld_gives_the_first_row_at_the_same_place(seed):
    rng = np.random.default_rng(seed)
    vertices = rng.choice(
        np.float32([0.0, -0.0, 1.5, np.nan, np.inf, -np.inf]), (50, 3), p=[0.4, 0.2, 0.3, *[0.1 / 3] * 3]
    )
    assert topology.weld(vertices).tolist() == slow.weld(vertices)


def test_weld_tells_neighbouring_floats_apart():
    one = np.float32(1.0)
    vertices = np.float32([[one, 0, 0], [np.nextafter(one, np.float32(2)), 0, 0], [0, one, 0], [one, 0, 0]])
    assert topology.weld(vertices).tolist() == [0, 1, 2, 0]


@for_many
def test_welded_faces_name_the_first_vertex_at_each_place(seed):
    vertices, faces = soup(np.random.default_rng(seed))
    welded = topology.welded_faces(faces, topology.weld(vertices))
    np.testing.assert_array_equal(vertices[welded], vertices[faces])
    assert set(welded.ravel().tolist()) <= set(slow.weld(vertices))


@for_many
def test_face_faults_are_their_definition(seed):
    rng = np.random.default_rng(seed)
    vertices, faces = soup(rng, 400)
    vertices[rng.integers(12)] = rng.choice([np.nan, np.inf, 2.0])
    fault = topology.face_faults(vertices, faces, 1e-5)
    with np.errstate(invalid="ignore"):
        assert fault.tolist() == slow.face_faults(vertices, faces, 1e-5)


def test_duplicates_are_found_at_a_vertex_of_many_faces():
    rng = np.random.default_rng(0)
    angle = np.linspace(0, 6, 40)
    vertices = np.stack([np.cos(angle), np.sin(angle), angle], axis=1).astype(np.float32)
    faces = np.array([[0, *rng.choice(np.arange(1, 40), 2, replace=False)] for _ in range(900)], np.int32)
    fault = topology.face_faults(vertices, faces, 0.0)
    assert fault.tolist() == slow.face_faults(vertices, faces, 0.0)
    assert (fault == topology.DUPLICATE).sum() > 200


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize(("height", "expected"), [(0.9, topology.DEGENERATE), (1.1, topology.FINE)])
def test_a_face_is_degenerate_below_a_fraction_of_its_longest_edge(scale, height, expected):
    vertices = np.float32(scale) * np.float32([[0, 0, 0], [2, 0, 0], [0.7, 2e-3 * height, 0]])
    assert topology.face_faults(vertices, np.int32([[0, 1, 2]]), 1e-3).tolist() == [expected]


@for_many
def test_face_neighbours_are_the_other_face_of_each_edge(seed):
    vertices, faces = walkable(np.random.default_rng(seed))
    np.testing.assert_array_equal(topology.face_neighbours(faces, len(vertices)), slow.face_neighbours(faces))


@for_many
def test_pieces_hang_together_by_edges_of_two_faces(seed):
    vertices, faces = walkable(np.random.default_rng(seed))
    label, _, count = topology.components(faces, topology.face_neighbours(faces, len(vertices)))
    assert label.tolist() == slow.components(faces)
    assert count == len(set(label.tolist()))


@for_many
def test_a_piece_is_wound_one_way_once_turned_where_a_winding_exists(seed):
    vertices, faces = walkable(np.random.default_rng(seed), 8)
    faces = faces[:8]
    label, turn, count = topology.components(faces, topology.face_neighbours(faces, len(vertices)))
    assert not any(turn[label.tolist().index(component)] for component in range(count))
    turned = np.where(turn[:, None], faces[:, ::-1], faces)
    assert (slow.clashes(turned) > 0) == slow.one_sided(faces)


def test_a_closed_surface_with_random_windings_is_turned_back():
    shape = shapes.torus(10.0, 4.0, 2.0)
    mixed = shape.faces.copy()
    flipped = np.random.default_rng(0).random(len(mixed)) < 0.5
    mixed[flipped] = mixed[flipped][:, ::-1]
    _, turn, count = topology.components(mixed, topology.face_neighbours(mixed, len(shape.vertices)))
    assert count == 1
    np.testing.assert_array_equal(turn, flipped != flipped[0])


@for_many
def test_areas_and_extents_of_pieces(seed):
    vertices, faces = walkable(np.random.default_rng(seed))
    label, _, count = topology.components(faces, topology.face_neighbours(faces, len(vertices)))
    areas = topology.component_areas(vertices, faces, label, count)
    np.testing.assert_allclose(areas, slow.component_areas(vertices, faces, label, count), rtol=1e-12)
    extents = topology.component_extents(vertices, faces, label, count)
    np.testing.assert_array_equal(extents, slow.component_extents(vertices, faces, label, count))


@pytest.mark.parametrize("radius", [1.0, 100.0, 1000.0])
def test_the_area_and_extent_of_a_sphere(radius):
    shape = shapes.sphere(radius, 0.08 * radius)
    label = np.zeros(len(shape.faces), np.int32)
    vertices = shape.vertices.astype(np.float32)
    assert topology.component_areas(vertices, shape.faces, label, 1)[0] == pytest.approx(
        4 * np.pi * radius**2, rel=0.01
    )
    assert topology.component_extents(vertices, shape.faces, label, 1)[0] == pytest.approx(2 * radius, rel=0.01)


@for_many
def test_boundary_loops_of_soup_are_those_of_the_plain_walk(seed):
    vertices, faces = walkable(np.random.default_rng(seed), 12)
    assert loops_of(faces, len(vertices)) == slow.boundary_loops(faces)


@for_many
def test_boundary_loops_of_sheets_are_those_of_the_plain_walk(seed):
    vertices, faces = sheet(np.random.default_rng(seed))
    assert loops_of(faces, len(vertices)) == slow.boundary_loops(faces)


@for_many
def test_a_boundary_loop_is_closed_and_passes_any_vertex_once(seed):
    vertices, faces = sheet(np.random.default_rng(seed))
    neighbour = slow.face_neighbours(faces)
    corners = faces.ravel().tolist()
    loops = loops_of(faces, len(vertices))
    for loop in loops:
        here = [vertex for vertex, _ in loop]
        assert len(set(here)) == len(loop) >= 3
        for (vertex, edge), ahead in zip(loop, here[1:] + here[:1], strict=True):
            assert set(slow.ends(corners, edge)) == {vertex, ahead}
    in_loops = [edge for loop in loops for _, edge in loop]
    assert len(set(in_loops)) == len(in_loops)
    assert set(in_loops) <= set(np.flatnonzero(neighbour == topology.BOUNDARY).tolist())
    if (neighbour != topology.CROWDED).all():
        assert len(in_loops) == (neighbour == topology.BOUNDARY).sum()


@for_many
def test_boundary_loops_do_not_depend_on_the_order_of_rows(seed):
    rng = np.random.default_rng(seed)
    vertices, faces = sheet(rng)
    row = rng.permutation(len(vertices)).astype(np.int32)
    other = np.roll(row[faces[rng.permutation(len(faces))]], rng.integers(3), axis=1)

    def as_sets(loops, name):
        return {frozenset(name[vertex] for vertex, _ in loop) for loop in loops}

    there = as_sets(loops_of(faces, len(vertices)), row.tolist())
    assert there == as_sets(loops_of(other, len(vertices)), list(range(len(vertices))))


def test_the_rims_of_a_moebius_strip_and_of_an_annulus():
    for twist, boundaries in ((0, [9, 9]), (1, [18])):
        faces = []
        for n in range(9):
            a, b, c, d = 2 * n, 2 * n + 1, 2 * n + 2, 2 * n + 3
            if n == 8:
                c, d = (1, 0) if twist else (0, 1)
            faces += [[a, b, c], [b, c, d]]
        assert sorted(map(len, loops_of(np.int32(faces), 18))) == boundaries


@for_many
def test_the_extent_of_a_loop_is_its_longest_distance(seed):
    rng = np.random.default_rng(seed)
    vertices, faces = sheet(rng)
    start, vertex, _ = topology.boundary_loops(faces, topology.face_neighbours(faces, len(vertices)))
    exact = np.array(slow.loop_extents(vertices, slow.boundary_loops(faces)))
    np.testing.assert_allclose(topology.loop_extents(vertices, start, vertex, math.inf), exact, rtol=1e-12)
    limit = rng.uniform(0, 10)
    bounded = topology.loop_extents(vertices, start, vertex, limit)
    np.testing.assert_array_equal(bounded <= limit, exact <= limit)
    assert (bounded <= exact * (1 + 1e-12)).all()


@for_many
def test_vertex_faces_and_kept_rows_are_their_definitions(seed):
    rng = np.random.default_rng(seed)
    vertices, faces = soup(rng)
    start, around = topology.vertex_faces(faces, len(vertices))
    assert [around[low:high].tolist() for low, high in pairwise(start)] == slow.vertex_faces(faces, len(vertices))
    keep = rng.random(len(faces)) < 0.6
    rows, kept = topology.kept_rows(faces, keep, len(vertices))
    assert (rows.tolist(), kept.tolist()) == slow.kept_rows(faces, keep)


@for_many
def test_outwardness_and_mean_normal_are_their_definitions(seed):
    rng = np.random.default_rng(seed)
    vertices = rng.normal(size=(9, 3)).astype(np.float32)
    faces = np.stack([rng.permutation(9)[:3] for _ in range(12)]).astype(np.int32)
    label, turn = (np.arange(12) % 3).astype(np.int32), rng.random(12) < 0.5
    found = winding.outwardness(vertices, faces, label, turn, 3)
    np.testing.assert_allclose(found, slow.outwardness(vertices, faces, label, turn, 3), atol=1e-12)
    centre = rng.normal(size=3)
    found = winding.mean_normal(vertices, faces, centre, 1.0)
    np.testing.assert_allclose(found, slow.mean_normal(vertices, faces, centre, 1.0), atol=1e-12)


@pytest.mark.parametrize("radius", [1.0, 100.0, 1000.0])
def test_a_sphere_points_outward_and_inside_out_inward(radius):
    shape = shapes.sphere(radius, 0.08 * radius)
    vertices, label = (shape.vertices + np.array([3, 4, 5])).astype(np.float32), np.zeros(len(shape.faces), np.int32)
    for turned, sign in ((False, 1), (True, -1)):
        turn = np.full(len(label), turned)
        away, towards_camera = winding.outwardness(vertices, shape.faces, label, turn, 1)[0]
        assert away == pytest.approx(sign, abs=0.01)
        assert towards_camera == pytest.approx(0.0, abs=1e-3)


@pytest.mark.parametrize("slope", [(0.5, -0.25), (-2.0, 1.0)])
def test_the_mean_normal_of_a_plane_is_its_normal(slope):
    shape = shapes.plane(10.0, 2.0, slope=slope)
    found = winding.mean_normal(shape.vertices.astype(np.float32), shape.faces, np.zeros(3), 6.0)
    np.testing.assert_allclose(found, shape.normals[0], atol=1e-6)
    assert not winding.mean_normal(shape.vertices.astype(np.float32), shape.faces, np.full(3, 99.0), 6.0).any()
