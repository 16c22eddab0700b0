"""Stochastic pooling and transformation-invariant pooling against their definitions."""

import numpy as np
import pytest
import torch
from torch import nn

from fer3d.errors import ArgumentError
from fer3d.image import pooling
from fer3d.image.pooling import StochasticPool2d, TransformationInvariantPool, probability_pool, stochastic_pool
from fer3d.kernels import stochastic_pool as kernels

SIZES = (((7, 10), 3, 2), ((6, 8), 2, 2), ((5, 5), 3, 3), ((4, 9), 3, 1))


@pytest.fixture(params=["cpu", *(["cuda"] if torch.cuda.is_available() else [])])
def device(request):
    return torch.device(request.param)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def regions(x, kernel, stride):
    """The definition: lists of the places in each region that lie on the map, one region after the other."""
    height, width = x.shape[-2:]
    rows, columns = (range(0, max(-(-(n - kernel) // stride), 0) * stride + 1, stride) for n in (height, width))
    return [
        [[(a, b) for a in range(i, min(i + kernel, height)) for b in range(j, min(j + kernel, width))] for j in columns]
        for i in rows
    ]


@pytest.mark.parametrize(("shape", "kernel", "stride"), SIZES)
def test_the_test_rule_is_its_definition(device, shape, kernel, stride):
    x = torch.rand(2, 3, *shape, generator=seeded()).relu()
    x[0, 0] = 0
    made = probability_pool(x.to(device), kernel, stride).cpu()
    wanted = torch.zeros_like(made)
    for b, c in np.ndindex(2, 3):
        for i, row in enumerate(regions(x, kernel, stride)):
            for j, places in enumerate(row):
                members = [float(x[b, c][place]) for place in places]
                wanted[b, c, i, j] = sum(a * a for a in members) / max(sum(members), 1e-30)
    torch.testing.assert_close(made, wanted, rtol=1e-5, atol=1e-7)
    assert not made[0, 0].any()


@pytest.mark.parametrize(("shape", "kernel", "stride"), SIZES)
def test_what_is_drawn_is_a_member_of_its_region_and_gets_the_gradient(device, shape, kernel, stride):
    x = torch.rand(2, 3, *shape, generator=seeded()).to(device).requires_grad_()
    made = stochastic_pool(x, kernel, stride)
    weights = torch.rand(made.shape, generator=seeded(1)).to(device)
    (gradient,) = torch.autograd.grad((made * weights).sum(), x)
    wanted = torch.zeros_like(x)
    for b, c in np.ndindex(2, 3):
        for i, row in enumerate(regions(x, kernel, stride)):
            for j, places in enumerate(row):
                (place,) = [p for p in places if x[b, c][p] == made[b, c, i, j]]
                wanted[b, c][place] += weights[b, c, i, j]
    torch.testing.assert_close(gradient, wanted)


@pytest.mark.parametrize(("shape", "kernel", "stride"), SIZES)
@pytest.mark.parametrize("channels_last", [False, True])
def test_the_compiled_kernel_draws_as_torch_does(shape, kernel, stride, channels_last):
    x = torch.rand(2, 5, *shape, generator=seeded()).sub(0.3).relu()
    x[0, :2] = 0
    x[1, 3] = 7.0
    if channels_last:
        x = x.contiguous(memory_format=torch.channels_last)
    size = pooling.probability_pool(x, kernel, stride).shape[-2:]
    even = torch.rand(2, *size, 5, generator=seeded(1))
    one, two = (draw(x, even, kernel, stride) for draw in (pooling._draw, pooling._draw_compiled))
    for a, b in zip(one, two, strict=True):
        assert torch.equal(a, b)
    gradient = torch.randn(one[0].shape, generator=seeded(2))
    torch.testing.assert_close(
        pooling._spread(gradient, one[1], kernel, stride, shape),
        pooling._spread_compiled(gradient, one[1], kernel, stride, shape),
    )


def test_the_kernels_are_what_python_makes_of_them():
    x, even = (torch.rand(1, 5, 6, 2, generator=seeded()).numpy(), torch.rand(1, 2, 3, 2, generator=seeded(1)).numpy())
    made = []
    for draw, spread in ((kernels.draw, kernels.spread), (kernels.draw.py_func, kernels.spread.py_func)):
        out, drawn, back = np.zeros_like(even), np.zeros(even.shape, np.uint8), np.zeros_like(x)
        draw(x, even, 3, 2, out, drawn)
        spread(out, drawn, 3, 2, back)
        made.append((out, drawn, back))
    for a, b in zip(*made, strict=True):
        np.testing.assert_array_equal(a, b)


def test_members_are_drawn_in_proportion_to_their_size():
    x = torch.tensor([[1.0, 0.0, 2.0], [3.0, 4.0, 0.0], [0.0, 0.0, 5.0]]).expand(1, 60_000, 3, 3)
    made = stochastic_pool(x, 3, 2, generator=seeded()).flatten()
    for value in range(6):
        assert abs((made == value).float().mean() - value / 15) < 0.01


def test_the_mean_of_the_draws_is_the_test_rule():
    x = torch.rand(1, 2, 6, 7, generator=seeded())
    draws = stochastic_pool(x.expand(20_000, -1, -1, -1), 3, 2, generator=seeded(1))
    torch.testing.assert_close(draws.mean(dim=0), probability_pool(x, 3, 2)[0], atol=1e-2, rtol=0)


def test_regions_that_overlap_draw_for_themselves():
    """The two regions of a row share a column; that one holds all that there is, so they agree one time in nine."""
    x = torch.zeros(1, 40_000, 3, 5)
    x[..., 2] = torch.tensor([1.0, 2.0, 3.0])
    one, two = stochastic_pool(x, 3, 2, generator=seeded())[0, :, 0].T
    assert abs(float((one == two).float().mean()) - (1 + 4 + 9) / 36) < 0.01


def test_a_region_of_zeros_draws_evenly_and_gives_zero():
    x = torch.zeros(1, 30_000, 2, 2, requires_grad=True)
    made = stochastic_pool(x, 2, 2, generator=seeded())
    assert not made.any()
    (gradient,) = torch.autograd.grad(made.sum(), x)
    torch.testing.assert_close(gradient[0].mean(dim=0), torch.full((2, 2), 0.25), atol=0.01, rtol=0)


def test_what_is_no_number_is_not_hidden():
    x = torch.rand(1, 2, 4, 4, generator=seeded())
    x[0, 1, 3, 3] = torch.nan
    assert stochastic_pool(x, 2, 2).isnan().nonzero().tolist() == [[0, 1, 1, 1]]
    assert pooling._draw(x, torch.rand(1, 2, 2, 2), 2, 2)[0].isnan().nonzero().tolist() == [[0, 1, 1, 1]]


def test_half_precision_draws_as_finely_as_full():
    x = torch.tensor([[1.0, 300.0]], dtype=torch.bfloat16).expand(1, 60_000, 1, 2).repeat(1, 1, 2, 1)
    made = stochastic_pool(x, 2, 2, generator=seeded())
    assert made.dtype == torch.bfloat16
    assert float((made == 1).float().mean()) == pytest.approx(1 / 301, rel=0.3)


def test_the_same_seed_draws_the_same():
    x = torch.rand(1, 4, 9, 9, generator=seeded())
    one, two, other = (stochastic_pool(x, 3, 2, generator=seeded(seed)) for seed in (5, 5, 6))
    assert torch.equal(one, two)
    assert not torch.equal(one, other)


def test_the_layer_draws_in_training_only():
    layer = StochasticPool2d()
    x = torch.rand(1, 4, 9, 9, generator=seeded())
    assert not torch.equal(layer(x), layer(x))
    layer.eval()
    assert torch.equal(layer(x), probability_pool(x, 3, 2))
    assert repr(layer) == "StochasticPool2d(3, 2)"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: stochastic_pool(torch.tensor([[[[1.0, -0.5]]]]), 1, 1), "`x` should not be negative, holds -0.5"),
        (lambda: stochastic_pool(torch.zeros(2, 2, 2), 2, 2), r"`x` should have shape \(B, C, H, W\), has \(2, 2, 2\)"),
        (lambda: probability_pool(torch.zeros(1, 1, 4, 2), 3, 2), "should have 1 <= stride <= kernel <= 2, are 3, 2"),
        (lambda: stochastic_pool(torch.zeros(1, 1, 4, 4), 2, 3), "should have 1 <= stride <= kernel <= 4, are 2, 3"),
        (lambda: TransformationInvariantPool(nn.Identity(), []), "`views` should hold at least one"),
    ],
)
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(ArgumentError, match=message):
        call()


def test_the_strongest_view_is_taken_element_by_element():
    stack = nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU())
    views = [lambda x: x, lambda x: x.flip(-1), lambda x: x.rot90(1, (2, 3))]
    x = torch.randn(4, 2, 6, 6, generator=seeded())
    made = TransformationInvariantPool(stack, views)(x)
    np.testing.assert_allclose(
        made.detach(), np.maximum.reduce([stack(view(x)).detach() for view in views]), rtol=1e-5, atol=1e-6
    )


def test_all_turns_of_a_square_together_do_not_see_a_turn():
    views = [lambda x, k=k: x.rot90(k, (2, 3)) for k in range(4)]
    pool = TransformationInvariantPool(nn.Sequential(nn.Conv2d(1, 5, 3, padding=1), nn.ReLU(), nn.Flatten()), views)
    x = torch.randn(2, 1, 6, 6, generator=seeded())
    torch.testing.assert_close(pool(x), pool(x.rot90(1, (2, 3))))
    assert not torch.allclose(pool.stack(x), pool.stack(x.rot90(1, (2, 3))))
