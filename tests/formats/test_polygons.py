"""Polygons cut into triangles: closed forms of areas, fans, dents, what cannot be cut."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer3d.errors import FormatError
from fer3d.formats import polygons
from fer3d.formats.polygons import cut, whole


def areas(points, triangles):
    """Signed areas of triangles seen from +z."""
    a, b, c = (points[triangles[:, k]] for k in range(3))
    return np.cross(b - a, c - a)[:, 2] / 2


def shoelace(points):
    x, y = points[:, 0], points[:, 1]
    return (x * np.roll(y, -1) - y * np.roll(x, -1)).sum() / 2


def ring(radii, start=0.0):
    """A polygon whose corners lie at these distances from the origin, counter-clockwise."""
    angle = start + np.linspace(0, 2 * np.pi, len(radii), endpoint=False)
    return np.stack([radii * np.cos(angle), radii * np.sin(angle), 0 * angle], axis=1)


@given(st.lists(st.integers(0, 6), max_size=8))
def test_convex_polygons_become_fans(counts):
    """And polygons with fewer than three corners are left out, and counted."""
    points = np.concatenate([np.empty((0, 3)), *(ring(np.ones(n)) for n in counts if n)])
    found = cut(np.array(counts, np.int64), np.arange(len(points)), points)
    starts = np.cumsum([0, *counts])
    expected = [[s, s + k, s + k + 1] for s, n in zip(starts, counts, strict=False) for k in range(1, n - 1)]
    assert found.of_corners(np.arange(sum(counts))).tolist() == expected
    assert found.of_polygons(np.arange(len(counts))).tolist() == [i for i, n in enumerate(counts) for _ in range(n - 2)]
    assert (found.short, found.failed) == (sum(n < 3 for n in counts), 0)
    assert len(found.notes()) == any(n < 3 for n in counts)


@given(
    radii=st.lists(st.floats(0.2, 5.0), min_size=4, max_size=30),
    start=st.integers(0, 29),
    scale=st.sampled_from([1e-3, 1.0, 1e6]),
    seed=st.integers(0, 99),
)
def test_any_star_is_covered_once_however_it_lies_in_space(radii, start, scale, seed):
    points = ring(np.array(radii)) * scale
    order = (start + np.arange(len(radii))) % len(radii)
    turn, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    for placed in (points, points @ turn.T + 3 * scale):
        found = cut(np.array([len(radii)]), order, placed)
        area = areas(points, found.of_corners(order))
        assert found.failed == 0
        assert (area > -1e-9 * scale**2).all()
        np.testing.assert_allclose(area.sum(), shoelace(points), rtol=1e-9)


@pytest.mark.parametrize("turn", range(4))
def test_a_quadrilateral_with_a_dent_is_cut_inside(turn):
    points = np.roll(np.array([[2, -1, 0], [0, 2, 0], [-2, -1, 0], [0, 0, 0]], np.float64), turn, axis=0)
    area = areas(points, cut(np.array([4]), np.arange(4), points).corner)
    assert (area > 0).all()
    np.testing.assert_allclose(area.sum(), 4)


def test_one_polygon_with_a_dent_leaves_the_others_as_they_are():
    star, square = ring(np.array([2.0, 0.5] * 4)), ring(np.ones(4))
    points = np.concatenate([square, star, square])
    found = cut(np.array([4, 8, 4]), np.arange(16), points)
    assert found.corner[[0, 1, 8, 9]].tolist() == [[0, 1, 2], [0, 2, 3], [12, 13, 14], [12, 14, 15]]
    assert found.polygon.tolist() == [0, 0, 1, 1, 1, 1, 1, 1, 2, 2]
    np.testing.assert_allclose(areas(points, found.corner[2:8]).sum(), shoelace(star))


@pytest.mark.parametrize("last", [-1.0, -2.0, -3.0, -7.0])
def test_a_quadrilateral_that_crosses_itself_is_counted(last):
    """With -3 its two halves are equally large and their areas cancel each other out."""
    bow = np.array([[0, 0, 0], [4, 0, 0], [1, 1, 0], [1, last, 0]], np.float64)
    found = cut(np.array([4]), np.arange(4), bow)
    assert len(found.corner) == 2
    assert found.failed == 1
    assert "1 of its polygons cross themselves" in found.notes()[0]


def test_the_cost_of_dents_is_bounded(monkeypatch):
    """A file of stars without end is cut as if they were convex once its share of steps is spent."""
    monkeypatch.setattr(polygons, "_MOST_STEPS", 100)
    star = ring(np.array([2.0, 0.5] * 8))
    many = np.concatenate([star] * 40)
    found = cut(np.full(40, 16), np.arange(len(many)), many)
    assert len(found.corner) == 40 * 14
    assert 20 < found.failed < 40


@pytest.mark.parametrize(("corners", "failed"), [(1000, 0), (1002, 1)])
def test_a_large_polygon_with_dents(corners, failed):
    points = ring(np.where(np.arange(corners) % 2, 1.0, 2.0))
    found = cut(np.array([corners]), np.arange(corners), points)
    assert (len(found.corner), found.failed) == (corners - 2, failed)
    assert ((areas(points, found.corner) > -1e-9).all()) == (not failed)


def test_polygons_that_name_missing_points_become_fans():
    """Whoever joins them says which point is missing."""
    points = ring(np.array([2.0, 0.5] * 2))
    assert cut(np.array([4]), np.array([0, 1, 2, 4]), points).corner.tolist() == [[0, 1, 2], [0, 2, 3]]
    assert cut(np.array([4]), np.array([-1, 1, 2, 3]), points).corner.tolist() == [[0, 1, 2], [0, 2, 3]]


def test_points_that_were_not_measured():
    points = ring(np.ones(5))
    points[2] = np.nan
    assert len(cut(np.array([5]), np.arange(5), points).corner) == 3


def test_whole_numbers():
    assert whole(np.array([1.0, -2.0, 2.0**53]), "f", "indices").tolist() == [1, -2, 2**53]
    for bad in (0.5, np.nan, np.inf, 1e30):
        with pytest.raises(FormatError, match=r"f: indices should be whole numbers, one is"):
            whole(np.array([1.0, bad]), "f", "indices")
