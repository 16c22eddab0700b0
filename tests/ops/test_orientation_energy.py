"""Orientation energy: closed forms on ramps, the definition, unmeasured pixels."""

import math

import numpy as np
import pytest
import torch

from fer3d.ops.orientation_energy import FLOOR, OrientationEnergy
from tests.reference import map_orientation as reference


def ramp(angle, slope=1.0, size=(16, 24)):
    """(1, 1, H, W) that rises by `slope` a pixel towards `angle`, counter-clockwise from the x axis, y up."""
    y, x = torch.meshgrid(-torch.arange(float(size[0])), torch.arange(float(size[1])), indexing="ij")
    return (slope * (x * math.cos(angle) + y * math.sin(angle)))[None, None]


def by_definition(x, measured, directions, cells):
    """In loops over pixels and cells, float64: order 1."""
    energy = reference.map_orientation(x, measured, cells, directions)
    return reference.without_contrast(energy, FLOOR).reshape(-1, cells, cells)


@pytest.mark.parametrize("slope", [0.5, 5.0, 500.0])
@pytest.mark.parametrize("k", range(8))
def test_a_ramp_answers_in_the_direction_that_it_rises_in(k, slope):
    made = OrientationEnergy(cells=8)(ramp(2 * math.pi * k / 8, slope), torch.ones(1, 1, 16, 24))[0]
    shares = torch.tensor([max(0.0, math.cos(2 * math.pi * (j - k) / 8)) ** 4 for j in range(8)])
    expected = 2 * slope * shares / (2 * slope * shares.sum() + FLOOR)
    for cell in made[:, 3:-3, 3:-3].flatten(1).mT:  # the outer ones feel that the rim of the map has no gradient
        torch.testing.assert_close(cell, expected, atol=1e-4, rtol=0)
    assert (made[:, 2:-2, 2:-2].argmax(dim=0) == k).all()


def test_it_is_the_definition():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 3, 14, 21, generator=generator)
    measured = (torch.rand(2, 1, 14, 21, generator=generator) > 0.02).float()
    made = OrientationEnergy(6, 7)(x, measured)
    for one, mask, ours in zip(x.double().numpy(), measured.numpy(), made, strict=True):
        expected = by_definition(one, mask[0], 6, 7)
        assert expected.max() > 0.1
        np.testing.assert_allclose(ours.numpy(), expected, atol=1e-5)


def test_order_2_is_order_1_of_the_energies_of_half_as_large_cells():
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(2, 3, 16, 24, generator=generator)
    measured = (torch.rand(2, 1, 16, 24, generator=generator) > 0.02).float()
    energy = OrientationEnergy(6, 4, order=2)
    made = energy(x, measured)
    assert made.shape == (2, energy.outputs(3), 4, 4) == (2, 108, 4, 4)
    for one, mask, ours in zip(x.double().numpy(), measured.numpy(), made, strict=True):
        finer = reference.map_orientation(one, mask[0], 8, 6).reshape(18, 8, 8)
        finer /= finer.mean(axis=(1, 2), keepdims=True) + 1e-3
        whole = mask[0].reshape(8, 2, 8, 3).min(axis=(1, 3))
        assert 0 < whole.mean() < 1
        np.testing.assert_allclose(ours.numpy(), by_definition(finer, whole, 6, 4), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("scale", [0.1, 10.0])
@pytest.mark.parametrize("k", range(8))
def test_a_slope_that_gets_steeper_answers_twice_in_its_direction(k, scale):
    """Half of s squared, s along direction k: its energies rise towards k, in whatever direction they are."""
    along = ramp(2 * math.pi * k / 8, size=(32, 32))
    x = scale * (along - along.min() + 1.0).square() / 2
    made = OrientationEnergy(cells=8, order=2)(x, torch.ones(1, 1, 32, 32)).view(8, 8, 8, 8)[..., 3:-3, 3:-3]
    shares = torch.tensor([max(0.0, math.cos(2 * math.pi * (j - k) / 8)) ** 4 for j in range(8)])
    for j in (k, (k + 1) % 8, (k - 1) % 8):  # the others have no energy to rise
        for cell in made[j].flatten(1).mT:
            torch.testing.assert_close(cell / cell.sum(), shares / shares.sum(), atol=1e-3, rtol=0)
            assert cell.sum() > 0.5


def test_what_was_not_measured_is_no_edge():
    x, measured = ramp(0.3), torch.ones(1, 1, 16, 24)
    measured[..., 5:9, 7:12] = 0
    one, two = (OrientationEnergy()(torch.where(measured > 0, x, hole), measured) for hole in (0.0, 1e6))
    assert torch.equal(one, two)
    assert not OrientationEnergy()(x, torch.zeros(1, 1, 16, 24)).any()


def test_flat_maps_have_no_direction_and_finite_gradients():
    x = torch.ones(1, 2, 8, 8, requires_grad=True)
    made = OrientationEnergy()(x, torch.ones(1, 1, 8, 8))
    made.sum().backward()
    assert made.detach().abs().max() < 1e-4
    assert x.grad.isfinite().all()
