"""Randomised perturbation: its formula place by place, its draws, its average at test."""

import math

import numpy as np
import pytest
import torch

from fer3d.errors import ArgumentError
from fer3d.image.perturb import ANGLES, SKEWS, draw_perturbations, perturb, perturbed_answers, rotated


def still(count=1, **changed):
    made = {
        "angle": torch.zeros(count),
        "skew": torch.zeros(count, 2),
        "cut": torch.zeros(count),
        "shift": torch.zeros(count, 2),
        "mirror": torch.zeros(count, dtype=torch.bool),
    }
    return made | {name: torch.as_tensor(value) for name, value in changed.items()}


def ramp(size=48):
    """(1, 2, S, S): x and y of each pixel: what comes out says where it came from."""
    x, y = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="xy")
    return torch.stack([x, y])[None].float()


def test_nothing_drawn_changes_nothing():
    torch.testing.assert_close(perturb(ramp(), still()), ramp(), atol=1e-4, rtol=0)


def test_every_pixel_comes_from_where_the_formula_says():
    angle, s1, s2, cut, t1, t2 = math.pi / 18, 0.1, -0.1, 4.0, 4.0, 0.0
    draws = still(angle=[angle], skew=[[s1, s2]], cut=[cut], shift=[[t1, t2]])
    made = perturb(ramp(), draws)[0].numpy()
    middle, c = 23.5, 47 / (47 - cut)
    forward = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]) @ [[1, s1], [s2, 1]]
    for row, column in ((24, 20), (10, 30), (35, 12)):
        source = made[:, row, column].astype(float)
        cut_out = c * (source - [t1, t2])
        np.testing.assert_allclose(forward @ (cut_out - middle) + middle, [column, row], atol=1e-3)


def test_a_cut_square_fills_the_picture():
    made = perturb(ramp(), still(cut=[4.0], shift=[[4.0, 0.0]]))
    np.testing.assert_allclose([made[0, 0, 0, 0], made[0, 0, 0, -1]], [4, 47], atol=1e-4)
    np.testing.assert_allclose([made[0, 1, 0, 0], made[0, 1, -1, 0]], [0, 43], atol=1e-4)


def test_the_mirror_is_exact_and_last():
    draws = still(angle=[0.1], skew=[[0.1, 0.0]])
    one = perturb(ramp(), draws)
    torch.testing.assert_close(perturb(ramp(), draws | {"mirror": torch.tensor([True])}), one.flip(-1))


def test_turning_is_clockwise_to_the_eye():
    dot = torch.zeros(1, 1, 21, 21)
    dot[..., 10, 18] = 1  # right of the middle
    below = torch.zeros(1, 1, 21, 21)
    below[..., 18, 10] = 1
    torch.testing.assert_close(rotated(dot, math.pi / 2), below, atol=1e-4, rtol=0)
    torch.testing.assert_close(perturb(dot, still(angle=[math.pi / 2])), below, atol=1e-4, rtol=0)
    torch.testing.assert_close(rotated(dot[..., 2:], 0.0), dot[..., 2:], atol=1e-5, rtol=0)


def test_half_precision_moves_no_pixel():
    x = torch.randn(1, 1, 224, 224, generator=torch.Generator().manual_seed(0)).bfloat16()
    torch.testing.assert_close(rotated(x, 0.0), x, rtol=2**-7, atol=1e-3)


def test_draws_are_those_of_the_paper():
    draws = draw_perturbations(5000, 48, torch.Generator().manual_seed(0))
    for name, values in (("angle", ANGLES), ("skew", SKEWS), ("cut", (0, 1, 2, 3, 4))):
        flat = draws[name].flatten()
        shares = [float((flat == np.float32(value)).float().mean()) for value in values]
        np.testing.assert_allclose(shares, 1 / len(values), atol=0.03)
    shift, cut = draws["shift"], draws["cut"][:, None]
    assert ((shift == 0) | (shift == cut)).all()
    assert abs(float(draws["mirror"].float().mean()) - 0.5) < 0.03
    assert draw_perturbations(500, 96, torch.Generator().manual_seed(0))["cut"].max() == 8


def test_the_same_seed_draws_the_same():
    one, two = (draw_perturbations(9, 48, torch.Generator().manual_seed(4)) for _ in range(2))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_answers_are_averaged_over_the_copies():
    seen = []

    def answer(x):
        seen.append(x)
        return x.mean(dim=(2, 3)).softmax(dim=1)

    pictures = torch.randn(3, 4, 48, 48, generator=torch.Generator().manual_seed(0)) * 30
    made = perturbed_answers(answer, pictures, 5, torch.Generator().manual_seed(1))
    assert len(seen) == 5
    assert not torch.equal(seen[0], seen[1])
    wanted = torch.stack([x.mean(dim=(2, 3)).softmax(dim=1) for x in seen]).mean(dim=0)
    torch.testing.assert_close(made, wanted)
    torch.testing.assert_close(made.sum(dim=1), torch.ones(3))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: perturb(torch.zeros(1, 1, 4, 5), still()), r"`pictures` should be square, are \(4, 5\)"),
        (lambda: perturb(torch.zeros(2, 1, 4, 4), still()), r"`angle` should have shape \(2,\), has \(1,\)"),
        (lambda: rotated(torch.zeros(4, 5), 0.1), r"`pictures` should have shape \(B, C, H, W\)"),
        (lambda: draw_perturbations(1, 1, torch.Generator()), r"`size` should lie in \[2, 65536\] pixels, is 1"),
        (
            lambda: perturbed_answers(lambda x: x, torch.zeros(1, 1, 4, 4), 0, torch.Generator()),
            r"`copies` should lie in \[1, 1e\+06\], is 0",
        ),
    ],
)
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(ArgumentError, match=message):
        call()
