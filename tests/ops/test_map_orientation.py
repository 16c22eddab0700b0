"""Orientation energy of maps before any normalisation: the definition, both ways to compute it, bad input."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fer3d.errors import ArgumentError
from fer3d.ops.map_orientation import _energies, map_orientation
from tests.reference import map_orientation as reference


def maps(seed, count=2, channels=3, size=(14, 21)):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(count, channels, *size, generator=generator)
    return x, (torch.rand(count, 1, *size, generator=generator) > 0.02).float()


@given(
    st.integers(0, 1000), st.sampled_from([2, 6, 8]), st.sampled_from([1, 2, 7]), st.integers(1, 3), st.integers(1, 3)
)
@settings(max_examples=20, deadline=None)
def test_it_is_its_definition(seed, directions, n, high, wide):
    x, measured = maps(seed, size=(n * high, n * wide))
    made = map_orientation(x, measured, n, directions)
    for one, mask, ours in zip(x.double().numpy(), measured.numpy(), made, strict=True):
        np.testing.assert_allclose(
            ours.numpy(), reference.map_orientation(one, mask[0], n, directions), rtol=1e-4, atol=1e-6
        )


def test_what_torch_makes_with_gradients_is_the_same():
    x, measured = maps(3)
    made = map_orientation(x, measured, 7)
    other = map_orientation(x.requires_grad_(), measured, 7)
    torch.testing.assert_close(made, other.detach(), rtol=1e-4, atol=1e-6)
    other.square().sum().backward()
    assert x.grad.isfinite().all()
    assert (x.grad != 0).float().mean() > 0.5
    with torch.no_grad():
        assert torch.equal(map_orientation(x, measured, 7), made)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_on_a_gpu():
    x, measured = maps(4)
    torch.testing.assert_close(
        map_orientation(x.cuda(), measured.cuda(), 7).cpu(), map_orientation(x, measured, 7), rtol=1e-4, atol=1e-5
    )


def test_threads_change_no_bit():
    case, before = maps(5, count=5), torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = map_orientation(*case, 7)
        torch.set_num_threads(3)
        assert torch.equal(map_orientation(*case, 7), one)
    finally:
        torch.set_num_threads(before)


def test_squares_share_pixels_where_they_do_not_divide_the_map():
    x, measured = maps(6, size=(10, 10))
    made = map_orientation(x, torch.ones_like(measured), 4)
    assert made.shape == (2, 3, 8, 4, 4)
    finer = map_orientation(x, torch.ones_like(measured), 10)
    assert math.isclose(made.mean(), finer.mean(), rel_tol=0.2)


def test_the_op_is_a_good_citizen():
    x, measured = maps(7)
    torch.library.opcheck(_energies, (x, measured, 7, 8))
    mixed = x.mT.contiguous().mT
    assert torch.equal(map_orientation(mixed, measured, 7), map_orientation(x, measured, 7))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": torch.zeros(2, 14, 21)}, "`x` should have shape"),
        (
            {"x": torch.zeros(2, 3, 14, 21, dtype=torch.float64)},
            "`x` should have dtype torch.float32, has torch.float64",
        ),
        ({"measured": torch.ones(2, 3, 14, 21)}, "`measured` should have shape"),
        ({"measured": torch.ones(2, 1, 14, 21, dtype=torch.bool)}, "`measured` should have dtype torch.float32"),
        ({"n": 0}, "`n` should be at least 1, is 0"),
        ({"directions": 5}, "`directions` should be an even number, is 5"),
    ],
)
def test_wrong_arguments_are_named(change, message):
    x, measured = maps(8)
    with pytest.raises(ArgumentError, match=message):
        map_orientation(**{"x": x, "measured": measured, "n": 7} | change)
