"""What kernels share: the same as NumPy's own, to the last bit where NumPy's order of sums is fixed."""

import numpy as np
import pytest

from fer3d.kernels import small


@pytest.mark.parametrize("kind", [np.int64, np.float64])
@pytest.mark.parametrize("size", [0, 1, 2, 3, 64, 65, 1000])
def test_order_is_that_of_a_stable_sort(kind, size):
    keys = np.random.default_rng(size).integers(-9, 9, size).astype(kind)
    assert np.array_equal(small.stable_order(keys), np.argsort(keys, kind="stable"))


@pytest.mark.parametrize("size", [1, 2, 3, 4, 17, 96, 255, 256])
def test_median_of_any_number_of_values_in_any_order(size):
    random = np.random.default_rng(size)
    for values in (random.normal(size=size), np.round(random.normal(size=size), 1), np.arange(size)[::-1] * 1.0):
        kept = values.copy()
        assert small.median(values.copy()) == np.median(values)
        assert np.array_equal(values, kept)


def test_vectors():
    random = np.random.default_rng(0)
    for _ in range(20):
        points = random.normal(size=(2, 3)).astype(np.float32)
        a, b = small.row(points, 0), small.row(points, 1)
        assert a == tuple(points[0].astype(np.float64))
        assert small.minus(a, b) == tuple(np.subtract(a, b))
        assert small.dot(a, b) == (np.float64(a[0] * b[0]) + a[1] * b[1]) + a[2] * b[2]
        assert small.cross(a, b) == pytest.approx(np.cross(a, b), rel=1e-14, abs=1e-14)


@pytest.mark.parametrize("columns", [1, 2, 7])
def test_linear_systems(columns):
    random = np.random.default_rng(columns)
    matrix, right = random.normal(size=(6, 6)) + 6.0 * np.eye(6), random.normal(size=(6, columns))
    found = small.solve(matrix, right)
    assert found.flags.c_contiguous and np.allclose(matrix @ found, right, rtol=0, atol=1e-12)
