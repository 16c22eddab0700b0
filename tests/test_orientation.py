"""Orientation energy: closed forms on ramps, the definition, unmeasured pixels."""

import math

import numpy as np
import pytest
import torch

from fer3d.models.orientation import FLOOR, OrientationEnergy


def ramp(angle, slope=1.0, size=(16, 24)):
    """(1, 1, H, W) that rises by `slope` a pixel towards `angle`, counter-clockwise from the x axis, y up."""
    y, x = torch.meshgrid(-torch.arange(float(size[0])), torch.arange(float(size[1])), indexing="ij")
    return (slope * (x * math.cos(angle) + y * math.sin(angle)))[None, None]


def by_definition(x, measured, directions, cells):
    """In loops over pixels and cells, float64."""
    C, H, W = x.shape
    high, wide = H // cells, W // cells
    energy = np.zeros((C, directions, cells, cells))
    for c in range(C):
        for i in range(H):
            for j in range(W):
                around = measured[max(i - 1, 0) : i + 2, max(j - 1, 0) : j + 2]
                right = x[c, i, j + 1] - x[c, i, j - 1] if 0 < j < W - 1 else 0.0
                up = x[c, i - 1, j] - x[c, i + 1, j] if 0 < i < H - 1 else 0.0
                length, angle = np.hypot(right, up), np.arctan2(up, right)
                if not around.all() or length == 0:
                    continue
                for k in range(directions):
                    share = max(0.0, np.cos(angle - 2 * np.pi * k / directions)) ** 4
                    energy[c, k, i // high, j // wide] += length * share / (high * wide)
    smooth, made = np.zeros_like(energy), np.zeros_like(energy)
    places = [(i, j) for i in range(cells) for j in range(cells)]
    for i, j in places:
        near = [(a, b) for a, b in places if abs(a - i) < 2 and abs(b - j) < 2]
        weights = [(2 - abs(a - i)) * (2 - abs(b - j)) for a, b in near]
        smooth[:, :, i, j] = np.average([energy[:, :, a, b] for a, b in near], axis=0, weights=weights)
    total = smooth.sum(axis=1)
    for i, j in places:
        about = total[:, max(i - 1, 0) : i + 2, max(j - 1, 0) : j + 2].mean(axis=(1, 2))
        made[:, :, i, j] = smooth[:, :, i, j] / (about[:, None] + FLOOR)
    return made.reshape(C * directions, cells, cells)


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
