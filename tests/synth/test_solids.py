"""Solids against closed forms, and things that are no faces: closed, wound outwards, of the stated size."""

import numpy as np
import pytest

from fer3d.errors import ArgumentError
from fer3d.synth.solids import Waves, box, capsule, ellipsoid, isosurface, lathed, merged, moulded, roughened, torus
from fer3d.synth.things import KINDS, thing
from tests.solids import is_closed, volume


@pytest.mark.parametrize(
    ("part", "wanted"),
    [
        (ellipsoid((5, -3, 2), (40, 30, 20)), 4 / 3 * np.pi * 40 * 30 * 20),
        (capsule((0, 0, 0), (30, 40, 0), 15.0), np.pi * 15**2 * 50 + 4 / 3 * np.pi * 15**3),
        (box((0, 0, 0), (30, 20, 25)), 60 * 40 * 50),
        (torus((1, 2, 3), 40.0, 10.0), 2 * np.pi**2 * 40 * 10**2),
    ],
    ids=["ellipsoid", "capsule", "box", "torus"],
)
def test_the_volume_of_a_part_is_that_of_its_formula(part, wanted):
    points, triangles = moulded([part], step=1.5)
    assert is_closed(triangles)
    assert volume(points, triangles) == pytest.approx(wanted, rel=0.02)
    assert (points >= part.low - 0.1).all()
    assert (points <= part.high + 0.1).all()


def test_a_turned_ellipsoid_lies_where_its_axes_point():
    turn = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])  # x to y
    points, _ = moulded([ellipsoid((0, 0, 0), (50, 30, 40), turn)], step=2.0)
    assert np.ptp(points, axis=0) == pytest.approx([60, 100, 80], abs=0.5)


def test_the_points_of_a_sphere_lie_on_it():
    points, _ = moulded([ellipsoid((1, 2, 3), (50, 50, 50))], step=3.0)
    assert np.abs(np.linalg.norm(points - [1, 2, 3], axis=1) - 50).max() < 0.1


def test_a_cut_takes_its_volume_away_and_a_smooth_union_adds_some():
    ball, hole = ellipsoid((0, 0, 0), (30, 30, 30)), ellipsoid((0, 0, 0), (15, 15, 15))
    shell = moulded([ball], step=1.5, cuts=[hole])
    assert is_closed(shell[1])
    assert volume(*shell) == pytest.approx(4 / 3 * np.pi * (30**3 - 15**3), rel=0.01)
    pair = [ellipsoid((-28, 0, 0), (30, 30, 30)), ellipsoid((28, 0, 0), (30, 30, 30))]
    assert volume(*moulded(pair, step=2.0, smooth=15.0)) > 1.005 * volume(*moulded(pair, step=2.0))


def test_a_cylinder_turned_from_its_profile():
    points, triangles = lathed([20.0, 20.0], [0.0, 50.0], sides=200)
    assert is_closed(triangles)
    assert volume(points, triangles) == pytest.approx(np.pi * 20**2 * 50, rel=1e-3)


def test_relief_has_the_stated_height_and_merged_meshes_keep_their_volume():
    mesh = moulded([ellipsoid((0, 0, 0), (100, 100, 100))], step=5.0)
    rough, _ = roughened(mesh, 2.0, Waves.drawn(np.random.default_rng(0), 30.0))
    assert np.std(np.linalg.norm(rough, axis=1)) == pytest.approx(2.0, rel=0.15)
    assert volume(*merged([mesh, mesh])) == pytest.approx(2 * volume(*mesh))


def test_what_cannot_be_moulded_is_refused():
    ball = ellipsoid((0, 0, 0), (30, 30, 30))
    with pytest.raises(ArgumentError, match="`parts` should hold at least one part, is empty"):
        moulded([], step=1.0)
    with pytest.raises(ArgumentError, match="`step` should leave at most 4000000 cubes, 0.1 leaves"):
        moulded([ball], step=0.1)
    with pytest.raises(ArgumentError, match="`cuts` should leave something of the parts, take all away"):
        moulded([ball], step=2.0, cuts=[ellipsoid((0, 0, 0), (50, 50, 50))])
    with pytest.raises(ArgumentError, match="`field` should have shape"):
        isosurface(np.zeros((3, 3)), np.zeros(3), 1.0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_thing_is_closed_wound_outwards_and_of_the_stated_size(kind):
    shapes = set()
    for seed in range(5):
        points, triangles = thing(kind, np.random.default_rng(seed))
        assert points.dtype == np.float64
        assert triangles.dtype == np.int32
        assert np.isfinite(points).all()
        assert is_closed(triangles)
        assert volume(points, triangles) > 0
        assert 60.0 <= np.ptp(points, axis=0).max() <= 3000.0
        assert points.min(axis=0) == pytest.approx(-points.max(axis=0))
        shapes.add(tuple(np.ptp(points, axis=0).round(1)))
    assert len(shapes) == 5


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_numbers_make_the_same_thing(kind):
    first, second = (thing(kind, np.random.default_rng(3)) for _ in range(2))
    assert all(a.tobytes() == b.tobytes() for a, b in zip(first, second, strict=True))


def test_an_unknown_thing_is_refused():
    with pytest.raises(ArgumentError, match="kind"):
        thing("teapot", np.random.default_rng(0))


def test_the_centre_of_an_ellipsoid_is_inside_it():
    points, triangles = moulded([ellipsoid((0, 0, 0), (100, 60, 60))], step=5.0)  # a sample lies at the centre
    assert np.linalg.norm(points, axis=1).min() > 59.0
    assert is_closed(triangles)
