"""Stencils against closed forms and against their slow definition; trees against the sentences that define them."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import ConvexHull, Delaunay
from scipy.spatial.transform import Rotation

from fer3d import maps
from fer3d.errors import ArgumentError, PrepareError
from fer3d.face.load import builtin_face
from fer3d.kernels import topology
from fer3d.prepare import align, clean
from fer3d.scan import Scan
from fer3d.synth.capture import capture
from fer3d.synth.optics.camera import Camera
from fer3d.synth.optics.scene import pose
from fer3d.tree import sample_tree
from fer3d.tree.sample_tree import SampleTree
from fer3d.tree.stencils import farthest_points, geodesic_stencils
from tests import shapes
from tests.reference import sample_tree as slow

RADII = (2.5, 5.0, 10.0, 24.0)
VERTEX_TOLERANCE = 1 / 16384  # see csrc/sample_tree/sample_tree.h
SMALL = {"levels": (600, 150, 40), "radii": (3.0, 6.0), "rings": (0.5, 1.0)}  # of trees of a thousand vertices


@pytest.fixture(scope="module")
def scan():
    """A simulated scan with noise, holes and the landmark of its nose tip."""
    model, generator = builtin_face(), np.random.default_rng(0)
    shape = model.shape(np.clip(generator.normal(0.0, 1.0, len(model.identity_modes)), -2.0, 2.0))
    made = capture(model, shape, pose(0.2, -0.1, 0.15, (5.0, -9.0, 40.0)), Camera(pitch=2.0), generator).scan
    return clean.clean(align.to_millimetres(made))


def rows(*values):
    return np.array(values, dtype=np.int32)


def places(vertices, stencils):
    """(N, K, A, 3): the points that indices and weights mean, NaN where masked."""
    indices, weights = stencils
    points = (weights[..., None] * vertices[indices]).sum(axis=-2)
    return np.where(weights.any(axis=-1)[..., None], points, np.nan)


def sound(stencils):
    """Whether weights are shares that sum to 1 or are masked, and nothing is NaN."""
    total = stencils[1].sum(axis=-1)
    return bool((stencils[1] >= 0).all() and (np.isclose(total, 1, atol=1e-12) | (total == 0)).all())


def jittered_sphere():
    """The issue's: 10,242 irregular vertices, R = 50 mm."""
    import trimesh

    points = trimesh.creation.icosphere(subdivisions=5, radius=50.0).vertices
    points = points + np.random.default_rng(0).normal(0, 0.35, points.shape)
    points *= 50.0 / np.linalg.norm(points, axis=1, keepdims=True)
    faces = ConvexHull(points).simplices
    a, b, c = (points[faces[:, k]] for k in range(3))
    inward = ((np.cross(b - a, c - a) * a).sum(axis=1) < 0)[:, None]
    return points, np.where(inward, faces[:, ::-1], faces).astype(np.int32)


def polar(points, centre, towards):
    """Distance along a sphere about the origin, and angle about `centre` counter-clockwise from outside."""
    radius = np.linalg.norm(centre)
    n = centre / radius
    first = towards - n * (n @ towards)
    first /= np.linalg.norm(first)
    unit = points / np.linalg.norm(points, axis=-1, keepdims=True)
    distance = radius * np.arccos(np.clip(unit @ n, -1, 1))
    return distance, np.arctan2(unit @ np.cross(n, first), unit @ first)


def test_samples_on_a_sphere_lie_on_great_circles():
    points, faces = jittered_sphere()
    sources, towards, A = np.arange(0, len(points), 8, dtype=np.int32), np.array([0.3, 0.5, 0.8]), 8
    stencils = geodesic_stencils(points, faces, sources, RADII, A, direction=towards)
    assert sound(stencils)
    off, turned = [], []
    for source, samples in zip(sources, places(points, stencils), strict=True):
        distance, angle = polar(samples, points[source], towards)
        off.append(np.abs(distance - np.array(RADII)[:, None]))
        error = np.exp(1j * (angle - 2 * np.pi * np.arange(A) / A))
        error /= error.mean(axis=1, keepdims=True) / np.abs(error.mean(axis=1, keepdims=True))  # best rigid alignment
        turned.append(np.degrees(np.abs(np.angle(error))))
    off, turned = np.mean(off, axis=(0, 2)), np.mean(turned, axis=(0, 2))
    assert (off[2], turned[2]) <= (0.002, 0.03)
    assert turned[2] <= 0.03
    assert off[3] <= 0.01 * 24
    assert np.radians(turned[3]) <= 0.01


@pytest.mark.parametrize("scale", [0.01, 1.0, 10.0])
def test_samples_on_a_plane_are_exact(scale):
    shape = shapes.plane(40.0, 1.5, seed=2, slope=(0.4, -0.7))
    vertices = scale * shape.vertices
    sources = np.flatnonzero((np.abs(shape.vertices[:, :2]) < 8).all(axis=1)).astype(np.int32)
    direction = np.cross(shape.normals[0], [0.3, -0.2, 0.9])  # along the plane
    direction /= np.linalg.norm(direction)
    stencils = geodesic_stencils(vertices, shape.faces, sources, scale * np.array(RADII), 16, direction=direction)
    assert sound(stencils)
    turn = 2 * np.pi * np.arange(16)[:, None] / 16
    rays = np.cos(turn) * direction + np.sin(turn) * np.cross(shape.normals[0], direction)
    wanted = vertices[sources][:, None, None] + scale * np.array(RADII)[:, None, None] * rays
    assert np.abs(places(vertices, stencils) - wanted).max() < 1e-5 * scale


def test_float32_vertices_give_the_plane_to_a_hundred_thousandth_of_a_millimetre():
    shape = shapes.plane(40.0, 1.5, seed=2)
    source = rows(np.argmin((shape.vertices**2).sum(axis=1)))
    flat = shape.vertices.astype(np.float32)
    found = places(flat.astype(float), geodesic_stencils(flat, shape.faces, source, RADII, 8, direction=(1, 0, 0)))
    turn = 2 * np.pi * np.arange(8) / 8
    wanted = np.stack([np.cos(turn), np.sin(turn), 0 * turn], axis=1) * np.array(RADII)[:, None, None]
    assert np.abs(found[0] - flat[source[0]] - wanted).max() < 1e-5


def test_a_cylinder_is_an_unrolled_plane():
    radius = 30.0
    shape = shapes.cylinder(radius, 1.5, half=27.0)
    sources = np.flatnonzero((np.abs(shape.vertices[:, :2]) < 3).all(axis=1)).astype(np.int32)
    found = places(
        shape.vertices, geodesic_stencils(shape.vertices, shape.faces, sources, (5, 10, 20), 8, direction=(0, 1, 0))
    )
    unrolled = lambda p: np.stack([radius * np.arcsin(p[..., 0] / np.hypot(p[..., 0], p[..., 2])), p[..., 1]], -1)  # noqa: E731
    moves = unrolled(found) - unrolled(shape.vertices[sources])[:, None, None]
    turn = np.pi / 2 + 2 * np.pi * np.arange(8) / 8
    for source_moves in moves:
        ideal = np.array([5, 10, 20])[:, None] * np.exp(1j * turn)
        made = source_moves[..., 0] + 1j * source_moves[..., 1]
        alignment = (made * ideal.conj()).sum()
        assert abs(np.degrees(np.angle(alignment))) < 2
        made *= abs(alignment) / alignment
        assert (np.abs(made - ideal) / np.abs(ideal)).max() < 0.01


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_rays_are_their_definition(seed):
    """On rough terrain with a boundary, from any vertex, at any distance."""
    generator = np.random.default_rng(seed)
    flat = generator.uniform(-1, 1, (14, 2))
    faces = Delaunay(flat).simplices.astype(np.int32)
    a, b, c = (flat[faces[:, k]] for k in range(3))
    clockwise = (b - a)[:, 0] * (c - a)[:, 1] < (b - a)[:, 1] * (c - a)[:, 0]
    faces[clockwise] = faces[clockwise][:, ::-1]
    points = np.column_stack([flat, generator.normal(0, 0.3, len(flat))])
    source = int(generator.integers(len(points)))
    radii = np.sort(generator.uniform(0.05, 1.5, 4))
    ordered, closed = slow.fan(points, faces, source)
    total = sum(slow.angle(points, face) for face in ordered)
    whole = total if closed else max(total, 2 * np.pi)
    corners = [slow.angle(points, face) for face in ordered]
    widest = int(np.argmax(corners))
    start = sum(corners[:widest]) + corners[widest] / 2
    stencils = geodesic_stencils(points, faces, rows(source), radii, 5)
    assert sound(stencils)
    found = places(points, stencils)[0]
    for ray in range(5):
        expected, closest = slow.geodesic(points, faces, source, (start + whole * ray / 5) % whole, radii)
        if closest > VERTEX_TOLERANCE * radii[-1]:
            np.testing.assert_allclose(found[:, ray], expected, atol=1e-7)


def test_rays_end_at_rims_and_holes():
    shape = shapes.plane(20.0, 1.0)
    centre = shape.vertices[shape.faces].mean(axis=1)[:, :2]
    faces = np.ascontiguousarray(shape.faces[np.linalg.norm(centre - [7, 0], axis=1) > 2])
    source = rows(np.argmin((shape.vertices**2).sum(axis=1)))
    stencils = geodesic_stencils(shape.vertices, faces, source, (3, 12, 30), 8, direction=(1, 0, 0))
    assert sound(stencils)
    seen = stencils[1].any(axis=-1)[0]
    assert seen[0].all()
    assert not seen[1, 0]  # behind the hole
    assert seen[1, 1:].all()
    assert not seen[2].any()


def test_a_corner_sees_a_quarter_of_the_rays():
    side = np.arange(11.0)
    x, y = np.meshgrid(side, side)
    points = np.column_stack([x.ravel(), y.ravel(), 0 * x.ravel()])
    at = lambda i, j: 11 * j + i  # noqa: E731
    faces = [(at(i, j), at(i + 1, j), at(i + 1, j + 1)) for i in range(10) for j in range(10)]
    faces += [(at(i, j), at(i + 1, j + 1), at(i, j + 1)) for i in range(10) for j in range(10)]
    stencils = geodesic_stencils(points, np.array(faces, np.int32), rows(0), (2.5,), 16, direction=(1, 0.001, 0))
    seen = stencils[1].any(axis=-1)[0, 0]
    np.testing.assert_array_equal(np.flatnonzero(seen), [0, 1, 2, 3])
    found = places(points, stencils)[0, 0, :4]
    turn = np.arctan(0.001) + 2 * np.pi * np.arange(4) / 16
    np.testing.assert_allclose(found, 2.5 * np.stack([np.cos(turn), np.sin(turn), 0 * turn], axis=1), atol=1e-9)


def test_slivers_and_rays_through_vertices_do_no_harm():
    """A regular grid, rays along its edges and diagonals, with cells cut by triangles without height."""
    points = np.array([(i, j, 0.0) for j in range(9) for i in range(9)] + [(4.5, 4.0, 0.0)])
    at = lambda i, j: 9 * j + i  # noqa: E731
    faces = []
    for i in range(8):
        for j in range(8):
            faces += [(at(i, j), at(i + 1, j), at(i + 1, j + 1)), (at(i, j), at(i + 1, j + 1), at(i, j + 1))]
    # Vertex 81 lies on the edge (4, 4) - (5, 4): the face above it is cut in two, the one below meets a flat triangle.
    faces.remove((at(4, 4), at(5, 4), at(5, 5)))
    faces += [(at(4, 4), 81, at(5, 5)), (81, at(5, 4), at(5, 5)), (at(4, 4), at(5, 4), 81)]
    stencils = geodesic_stencils(points, np.array(faces, np.int32), rows(at(4, 4), at(3, 3), 81), (0.7, 1.0, 2.9), 8)
    assert sound(stencils)
    assert stencils[1].any(axis=-1).all()
    found = places(points, stencils) - points[[at(4, 4), at(3, 3), 81]][:, None, None]
    np.testing.assert_allclose(
        np.linalg.norm(found, axis=-1), np.broadcast_to([[0.7], [1.0], [2.9]], (3, 3, 8)), atol=1e-9
    )


@pytest.mark.parametrize("height", [0.3, 1.2, -0.6])
def test_rays_that_pass_a_vertex_on_either_side_do_not_jump_apart(height):
    """A fan of rays over the tip of a bump, or of a pit: it parts, but not between two that are as good as one."""
    x, y = (part.ravel() for part in np.meshgrid(np.arange(12.0), np.arange(12.0)))
    flat = np.stack([x + 0.3 * y + 0.1 * np.sin(3 * y), y + 0.1 * np.cos(5 * x)], axis=1)
    faces = Delaunay(flat).simplices.astype(np.int32)
    a, b, c = (flat[faces[:, k]] for k in range(3))
    clockwise = (b - a)[:, 0] * (c - a)[:, 1] < (b - a)[:, 1] * (c - a)[:, 0]
    faces[clockwise] = faces[clockwise][:, ::-1]
    tip, source = 12 * 6 + 5, 12 * 4 + 4  # no edge joins them
    points = np.column_stack([flat, 0 * x])
    points[tip, 2] = height

    def ends(turns):
        """Of rays of length 4 from the source, at angles to the direction of the tip."""
        to = points[tip] - points[source]
        ways = np.stack([Rotation.from_rotvec([0, 0, turn]).apply(to * [1, 1, 0]) for turn in turns])
        stencils = geodesic_stencils(points, faces, np.full(len(turns), source, np.int32), (4.0,), 1, direction=ways)
        assert stencils[1].any(axis=-1).all()
        return places(points, stencils)[:, 0, 0]

    low, high = -0.5, 0.5
    for _ in range(60):  # to the last digit on either side of the tip
        middle = (low + high) / 2
        jumps = np.linalg.norm(np.diff(ends([low, middle, high]), axis=0), axis=1)
        low, high = (low, middle) if jumps[0] > jumps[1] else (middle, high)
    assert np.linalg.norm(np.diff(ends([low, high]), axis=0)) < 1e-6
    swept = ends(np.linspace(-0.5, 0.5, 4001))
    apart = np.linalg.norm(np.diff(swept, axis=0), axis=1)
    assert apart.max() > 20 * np.median(apart)  # but they do part


def test_what_is_no_surface_is_masked():
    """An isolated vertex; an edge of three faces; two wound against each other; NaN; two corners in one place."""
    points = np.array(
        [[0, 0, 0], [4, 0, 0], [0, 4, 0], [4, 4, 0], [4, 4, 4], [9, 9, 9], [-4, 0, 0], [np.nan, 0, 0], [0, 0, 0]], float
    )
    crowded = np.array([[0, 1, 2], [1, 3, 2], [1, 4, 2]], np.int32)
    stencils = geodesic_stencils(points, crowded, rows(0, 5), (1, 4.0), 4, direction=(1, 1, 0))
    assert sound(stencils)
    np.testing.assert_array_equal(stencils[1].any(axis=-1)[0], [[True, False, False, False], [False] * 4])
    assert not stencils[1][1].any()
    np.testing.assert_array_equal(stencils[0][1], 5)
    against = np.array([[0, 1, 2], [1, 2, 3]], np.int32)
    assert not geodesic_stencils(points, against, rows(0), (4.0,), 4, direction=(1, 1, 0))[1].any()
    for bad in ([0, 2, 7], [0, 2, 8], [2, 6, 6]):
        faces = np.array([[0, 1, 2], bad], np.int32)
        stencils = geodesic_stencils(points, faces, rows(0, 2), (1.0,), 4, direction=(1, 1, 0))
        assert sound(stencils)
        assert stencils[1][0].any()


def test_where_two_parts_touch_rays_see_the_larger_one():
    points = np.array([[0, 0, 0], [9, -9.5, 0], [9, 9.5, 0], [-9, 1, 0], [-9, -1, 0]], float)
    faces = np.array([[0, 3, 4], [0, 1, 2]], np.int32)
    seen = geodesic_stencils(points, faces, rows(0), (2.0,), 8, direction=(1, 0, 0))[1].any(axis=-1)[0, 0]
    np.testing.assert_array_equal(np.flatnonzero(seen), [0, 1, 7])


def test_threads_change_nothing():
    shape = shapes.torus(30.0, 12.0, 2.0)
    sources = np.arange(len(shape.vertices), dtype=np.int32)
    one, four = (geodesic_stencils(shape.vertices, shape.faces, sources, (5, 20), 8, threads=n) for n in (1, 4))
    np.testing.assert_array_equal(one[0], four[0])
    np.testing.assert_array_equal(one[1], four[1])
    assert same(torus_tree(), torus_tree(threads=3))


def test_each_point_is_the_farthest_from_those_before():
    """On a plane distances are known, and the marching front's are nearly those."""
    shape = shapes.plane(12.0, 1.0, seed=3)
    distances = np.linalg.norm(shape.vertices[:, None] - shape.vertices[None], axis=2)
    order, owner, cover = farthest_points(shape.vertices, shape.faces, rows(7), 60)
    assert len(set(order.tolist())) == 60
    for n in range(1, 60):
        nearest = distances[:, order[:n]].min(axis=1)
        assert nearest[order[n]] >= 0.96 * nearest.max()  # the triangles along the boundary are obtuse
    assert distances[:, order].min(axis=1).max() == pytest.approx(cover, rel=0.01)
    own = np.take_along_axis(distances[:, order], owner[:, None], axis=1)[:, 0]
    assert (own - distances[:, order].min(axis=1)).max() < 0.05
    exact = slow.farthest_points(distances, [7], 8)
    assert len(set(exact) & set(order[:8].tolist())) >= 6


def test_distances_on_a_sphere_follow_the_surface():
    shape = shapes.sphere(50.0, 2.0)
    order, _, cover = farthest_points(shape.vertices, shape.faces, rows(0), 2)
    assert shape.vertices[order[0]] @ shape.vertices[order[1]] / 2500 < -0.999  # the antipode
    _, _, alone = farthest_points(shape.vertices, shape.faces, rows(0), 1)
    assert alone == pytest.approx(50 * np.pi, rel=0.015)
    assert cover == pytest.approx(25 * np.pi, rel=0.005)


def test_points_that_no_edge_reaches_are_in_no_level():
    a, b = shapes.plane(10.0, 1.0), shapes.plane(5.0, 1.0)
    points = np.concatenate([a.vertices, b.vertices + np.array([0, 0, 5]), [[1, 2, 3]]])
    faces = np.concatenate([a.faces, b.faces + np.int32(len(a.vertices))])
    order, owner, _ = farthest_points(points, faces, rows(0), len(points))
    assert sorted(order) == list(range(len(a.vertices)))
    assert (owner[: len(a.vertices)] >= 0).all()
    assert (owner[len(a.vertices) :] == -1).all()


def torus_tree(scan=None, **changes):
    scan = shapes.torus(30.0, 12.0, 2.5).scan if scan is None else scan
    return SampleTree.build(scan, **({"start": (42.0, 0, 0)} | SMALL | changes))


def same(one, two):
    a, b = one.arrays(), two.arrays()
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name], equal_nan=True) for name in a)


def test_a_tree_is_what_its_docstring_says():
    scan = shapes.torus(30.0, 12.0, 2.5).scan
    made = torus_tree(scan, levels=(600, 150, 12))
    assert made.sizes[-1] == 12
    assert made.sizes[0] <= 600
    assert made.sizes[1] <= 150
    assert len(set(made.rows.tolist())) == made.sizes[0]
    np.testing.assert_array_equal(made.positions, scan.vertices[made.rows])
    assert made.radii == ((3.0, 6.0), (6.0, 12.0))
    assert made.rays == 8
    for level in range(2):
        indices, weights = made.indices[level], made.weights[level]
        assert indices.shape == weights.shape == (made.sizes[level + 1], 2, 2, 8, 3)
        assert indices.dtype == np.uint16
        assert weights.dtype == np.float16
        assert indices.max() < made.sizes[level]
        np.testing.assert_array_equal(weights.astype(np.float64).sum(axis=-1), 1.0)  # closed: nothing is masked
        used = set(indices[weights > 0].tolist()) | set(range(made.sizes[level + 1]))
        assert used == set(range(made.sizes[level]))  # nobody else is in the tree
        assert made.faces[level].max() < made.sizes[level]
    order, _, cover = farthest_points(
        scan.vertices, topology.welded_faces(scan.faces, topology.weld(scan.vertices)), made.rows[:1], 12
    )
    np.testing.assert_array_equal(order, made.rows[:12])
    assert cover == pytest.approx(made.cover[-1])


def test_samples_lie_where_they_should_on_a_sphere():
    """Distance, direction and sense of the rays at each level, from ray 0 away from the start."""
    shape = shapes.sphere(50.0, 2.0)
    pole = shape.vertices[0]
    made = SampleTree.build(shape.scan, (4096, 1024, 256, 68), start=pole)
    points = made.positions.astype(np.float64)
    for level, (distance_error, angle_error) in enumerate([(0.002, 0.05), (0.005, 0.1), (0.03, 0.2)]):
        samples = places(points, (made.indices[level].astype(int), made.weights[level].astype(float)))
        rings = np.array(made.radii[level])[:, None] * made.rings
        off, turned = [], []
        for vertex in range(1, made.sizes[level + 1], 5):
            centre = points[vertex]
            if np.linalg.norm(centre + pole) < 10:
                continue  # at the antipode every direction leads away from the start
            distance, angle = polar(samples[vertex], centre, centre - pole)
            off.append(np.abs(distance - rings[..., None]).mean())
            angle = np.degrees(np.angle(np.exp(1j * (angle - 2 * np.pi * np.arange(8) / 8))))
            turned.append(np.abs(angle - angle.mean()).mean())
            assert abs(angle.mean()) < 4  # where edges lie on one side mostly
        assert np.mean(off) < distance_error
        assert np.mean(turned) < angle_error


def test_levels_are_triangulated_without_gaps():
    """Each level of a torus is a torus: closed, wound one way, and of Euler characteristic 0."""
    made = torus_tree(levels=(900, 300, 100, 40))
    for size, faces in zip(made.sizes[1:], made.faces[1:], strict=True):
        neighbour = topology.face_neighbours(faces.astype(np.int32), size)
        assert size - 3 * len(faces) // 2 + len(faces) == 0
        assert (neighbour >= 0).all()
        _, turn, components = topology.components(faces.astype(np.int32), neighbour)
        assert components == 1
        assert not turn.any()


def test_a_rigid_motion_changes_nothing_but_rounding():
    scan = shapes.torus(30.0, 12.0, 2.5).scan
    made = torus_tree(scan)
    motion = np.eye(4)
    motion[:3, :3], motion[:3, 3] = Rotation.from_euler("xyz", [0.4, -1.2, 2.0]).as_matrix(), [30.0, -20.0, 5.0]
    other = torus_tree(scan.moved(motion, "moved"), start=motion[:3, :3] @ [42.0, 0, 0] + motion[:3, 3])
    np.testing.assert_array_equal(made.rows, other.rows)
    np.testing.assert_array_equal(made.faces[1], other.faces[1])
    for level in range(2):
        a, b = (
            places(made.positions.astype(float), (t.indices[level].astype(int), t.weights[level].astype(float)))
            for t in (made, other)
        )
        assert np.abs(a - b).max() < 0.02  # float16 weights of edges of 10 mm


def test_the_order_of_vertices_and_faces_leaves_no_trace():
    shape = shapes.torus(30.0, 12.0, 2.5)
    other, row = shape.reindexed(seed=4)
    one, two = torus_tree(shape.scan), torus_tree(other.scan)
    np.testing.assert_array_equal(row[one.rows], two.rows)
    for level in range(2):
        a, b = (
            places(t.positions.astype(float), (t.indices[level].astype(int), t.weights[level].astype(float)))
            for t in (one, two)
        )
        assert np.abs(a - b).max() < 0.02


def test_a_scan_moved_and_renumbered_has_the_same_tree(scan):
    """Of a noisy scan: the same vertices, and each the same samples, but for a ray that meets a vertex."""
    made = SampleTree.build(scan, (2000, 500, 120, 30))
    shuffled = np.random.default_rng(1).permutation(len(scan.vertices))
    row = np.argsort(shuffled).astype(np.int32)
    motion = np.eye(4)
    motion[:3, :3], motion[:3, 3] = Rotation.from_euler("xyz", [0.4, -1.2, 2.0]).as_matrix(), [30.0, -20.0, 5.0]
    other = Scan.of(scan.vertices[shuffled], row[scan.faces][::-1], landmarks=scan.landmarks).moved(motion, "moved")
    again = SampleTree.build(other, (2000, 500, 120, 30))
    assert set(row[made.rows].tolist()) == set(again.rows.tolist())
    place = {int(r): n for n, r in enumerate(again.rows)}
    match = np.array([place[int(r)] for r in row[made.rows]])
    for level in range(3):
        count = made.sizes[level + 1]
        assert (match[:count] < count).all()
        one, two = (
            places(points.astype(float), (t.indices[level].astype(int), t.weights[level].astype(float)))
            for t, points in ((made, made.positions), (again, scan.vertices[shuffled][again.rows]))
        )
        off = np.linalg.norm(one - two[match[:count]], axis=-1)
        assert np.nanquantile(off, 0.999) < 0.01
        np.testing.assert_array_equal(np.isnan(one), np.isnan(two[match[:count]]))


def test_seams_of_the_texture_are_no_rims():
    scan = shapes.torus(30.0, 12.0, 2.5).scan
    split = scan.faces.copy()
    mine = np.flatnonzero((scan.vertices[scan.faces][..., 0] > 0).all(axis=1))
    fresh = np.unique(split[mine])
    new = np.arange(len(scan.vertices))
    new[fresh] = len(scan.vertices) + np.arange(len(fresh))
    split[mine] = new[split[mine]]
    torn = Scan.of(np.concatenate([scan.vertices, scan.vertices[fresh]]), split)
    assert same(torus_tree(scan), torus_tree(torn))


def test_the_top_level_can_be_landmarks():
    scan = shapes.torus(30.0, 12.0, 2.5).scan
    wanted = scan.vertices[[5, 200, 100, 300]].astype(float) + 0.1
    made = torus_tree(scan, levels=(600, 150, 4), top=wanted)
    np.testing.assert_array_equal(made.rows[:4], [5, 200, 100, 300])
    twice = torus_tree(scan, levels=(600, 150, 4), top=wanted[[0, 0, 1, 2]])
    assert len(set(twice.rows[:4].tolist())) == 4


def test_samples_past_the_rim_are_masked_and_others_are_not():
    scan = shapes.plane(30.0, 1.2).scan
    made = SampleTree.build(scan, start=(0, 0, 0), **SMALL)
    points = made.positions.astype(float)
    for level in range(2):
        weights = made.weights[level].astype(float)
        rings = np.array(made.radii[level])[:, None] * made.rings
        centre = points[: made.sizes[level + 1]]
        deep = 30 - np.abs(centre[:, :2]).max(axis=1)
        seen = weights.any(axis=-1)
        assert seen[(deep > rings.max() + 1)].all()
        outside = (
            deep[:, None, None] < rings / 2 - 1
        )  # some ray of eight goes within 60 degrees of the nearest boundary
        assert (~seen).any(axis=-1)[outside].all()
        found = places(points, (made.indices[level].astype(int), weights))
        off = np.linalg.norm(found - centre[:, None, None, None], axis=-1) - rings[..., None]
        assert np.nanmax(np.abs(off)) < made.cover[level]
        assert np.nanmedian(np.abs(off)) < 0.01


def test_features_come_in_the_order_of_the_vertices():
    shape = shapes.torus(30.0, 12.0, 2.5)
    normals = maps.vertex_normals(shape.scan)
    made = torus_tree(shape.scan).with_features(shape.scan, normals, maps.principal_curvatures(shape.scan, 5.0))
    assert made.channels.shape == (made.sizes[0], 4)
    assert sample_tree.CHANNELS == ("shape_index", "curvedness", "mean", "gaussian")
    np.testing.assert_allclose(made.channels[:, 2], (shape.k1 + shape.k2)[made.rows] / 2, atol=0.01)
    np.testing.assert_array_equal(made.normals, normals[made.rows])
    assert same(made, SampleTree.from_arrays(made.arrays(), made.facts()))
    with pytest.raises(ArgumentError, match="`scan` should be the one that the tree was built from"):
        made.with_features(shapes.torus(30.0, 12.0, 2.4).scan, normals, (normals[:, 0], normals[:, 1]))


def test_what_is_wrong_is_said():
    shape = shapes.plane(10.0, 1.0)
    scan, vertices, faces = shape.scan, shape.vertices, shape.faces
    with pytest.raises(ArgumentError, match="`start` should be the nose tip"):
        SampleTree.build(scan)
    with pytest.raises(PrepareError, match="should have more than 1024 vertices"):
        SampleTree.build(scan, start=(0, 0, 0))
    with pytest.raises(ArgumentError, match="`levels` should be at least two descending numbers"):
        SampleTree.build(scan, (100, 100))
    with pytest.raises(ArgumentError, match="`rings` should be ascending shares"):
        SampleTree.build(scan, rings=(0.5, 1.5))
    with pytest.raises(ArgumentError, match="`radii` should be S radii, or as many for each of 3 transitions"):
        SampleTree.build(scan, radii=((1.0,), (2.0,)))
    with pytest.raises(ArgumentError, match=r"`radii` should lie in \[1e-06, 1e\+06\] mm, is -1"):
        SampleTree.build(scan, radii=(-1.0,))
    with pytest.raises(ArgumentError, match="`rays` should be a whole number"):
        SampleTree.build(scan, rays=0)
    with pytest.raises(ArgumentError, match=r"`top` should have shape \(20, 3\)"):
        SampleTree.build(scan, (80, 20), start=(0, 0, 0), top=np.zeros((3, 3)))
    with pytest.raises(ArgumentError, match="`top` should be finite"):
        SampleTree.build(scan, (80, 1), start=(0, 0, 0), top=np.full((1, 3), np.nan))
    with pytest.raises(ArgumentError, match="`vertices` should be a NumPy array of float32 or float64"):
        geodesic_stencils(vertices.astype(np.float16), faces, rows(0), (1.0,))
    with pytest.raises(ArgumentError, match="`faces` should hold rows in"):
        geodesic_stencils(vertices[:3], faces, rows(0), (1.0,))
    with pytest.raises(ArgumentError, match="`sources` should hold rows in"):
        geodesic_stencils(vertices, faces, rows(-1), (1.0,))
    with pytest.raises(ArgumentError, match="`radii` should be ascending distances above zero"):
        geodesic_stencils(vertices, faces, rows(0), (2.0, 1.0))
    with pytest.raises(ArgumentError, match="`radii` should hold finite numbers"):
        geodesic_stencils(vertices, faces, rows(0), (np.nan,))
    with pytest.raises(ArgumentError, match="`direction` should have shape"):
        geodesic_stencils(vertices, faces, rows(0), (1.0,), direction=np.zeros((2, 3)))
    with pytest.raises(ArgumentError, match="`seeds` should be at least one row"):
        farthest_points(vertices, faces, rows(1, 1), 5)
    frontal = replace(scan, history=({"step": "frontal"},))
    assert SampleTree.build(frontal, (80, 20)).sizes[-1] == 20
