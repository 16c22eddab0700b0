"""Augmentation is geometry: a changed map is the map of the changed surface."""

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import binary_erosion

from fer3d.config import TrainSettings
from fer3d.data.augment_maps import augment, draw, unchanged
from fer3d.data.channels import Normalisation, channel_names, mirrored

PIXEL, H, W = 2.0, 60, 80  # lopsided: an exchange of x and y would show
CHANNELS = channel_names(["depth", "normal", "curvature", "texture"])


def surface(x, y):
    """Depth (mm) and its slopes at the places (x, y): a lopsided bump on a slope."""
    bump = 15 * np.exp(-((x - 12) ** 2) / 500 - (y + 8) ** 2 / 900)
    depth = bump - 20 + 0.1 * x - 0.2 * y
    return depth, bump * -2 * (x - 12) / 500 + 0.1, bump * -2 * (y + 8) / 900 - 0.2


def grid():
    return (np.arange(W) - (W - 1) / 2) * PIXEL, ((H - 1) / 2 - np.arange(H)[:, None]) * PIXEL


def maps_of(depth, slope_x, slope_y):
    """(1, C + 1, H, W): normals from the slopes; curvatures and colours stand for values that ride along."""
    depth, slope_x, slope_y = (np.broadcast_to(a, (H, W)) for a in (depth, slope_x, slope_y))
    normal = np.stack([-slope_x, -slope_y, np.ones((H, W))])
    normal /= np.linalg.norm(normal, axis=0)
    index, mean, difference = (np.full((H, W), v) for v in (0.6, 0.05, 0.03))
    colour = np.stack([np.full((H, W), v) for v in (0.8, 0.5, 0.3)])
    stack = np.concatenate([depth[None], normal, index[None], mean[None], difference[None], colour, np.ones((1, H, W))])
    return torch.from_numpy(stack.astype(np.float32))[None]


def lopsided_bend():
    """(1, 3, 5, 5) mm, another displacement at each of its knots."""
    return torch.randn(1, 3, 5, 5, generator=torch.Generator().manual_seed(3)) * 2.0


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"mirror": torch.tensor([True])},
        {"angle": torch.tensor([0.3])},
        {"scale": torch.tensor([1.2])},
        {"shift": torch.tensor([[10.0, -4.0]])},
        {"tilt": torch.tensor([[0.2, -0.1]])},
        {"offset": torch.tensor([3.0])},
        {"stretch": torch.tensor([[1.2, 0.9, 1.1]])},
        {"bend": lopsided_bend()},
        {
            "mirror": torch.tensor([True]),
            "angle": torch.tensor([-0.4]),
            "scale": torch.tensor([0.9]),
            "shift": torch.tensor([[-6.0, 8.0]]),
            "tilt": torch.tensor([[-0.1, 0.3]]),
            "offset": torch.tensor([-2.0]),
            "stretch": torch.tensor([[0.9, 1.1, 1.2]]),
            "bend": lopsided_bend(),
        },
    ],
    ids=lambda change: "+".join(change) or "none",
)
def test_maps_of_the_changed_surface_are_the_changed_maps(change):
    draws = unchanged(1) | change
    made = augment(CHANNELS, maps_of(*surface(*grid())), draws, PIXEL)[0].numpy()

    # the definition: pixel p' of the new surface is what lies at p = M R(-angle) (p' + b - shift) / scale of the old
    x, y = (np.broadcast_to(a, (H, W)) for a in grid())
    angle, scale = float(draws["angle"]), float(draws["scale"])
    sign = -1.0 if bool(draws["mirror"]) else 1.0
    (sx, sy), (tx, ty), (wide, high, deep) = (draws[name][0].tolist() for name in ("shift", "tilt", "stretch"))
    bx, by, bz = torch.nn.functional.interpolate(draws["bend"], (H, W), mode="bicubic", align_corners=True)[0].numpy()
    u, v = (x + bx - sx) / scale, (y + by - sy) / scale
    px, py = math.cos(angle) * u + math.sin(angle) * v, -math.sin(angle) * u + math.cos(angle) * v
    depth = scale * deep * surface(sign * px / wide, py / high)[0] + tx * x + ty * y + float(draws["offset"]) + bz
    down, across = np.gradient(depth, PIXEL)
    wanted = maps_of(depth, across, -down)[0].numpy()

    # a pixel on the boundary is a mean of the measured ones around it: up to half a pixel off
    inside = binary_erosion(made[-1] > 0)
    assert inside.mean() > 0.5
    assert np.abs(made[0] - wanted[0])[inside].max() < 0.06  # of 40 mm: interpolation
    assert np.abs(made[1:4] - wanted[1:4])[:, inside].max() < 0.01
    np.testing.assert_allclose(np.linalg.norm(made[1:4], axis=0)[inside], 1.0, atol=1e-5)
    size = scale * (wide * high * deep) ** (1 / 3)
    np.testing.assert_allclose(made[4][inside], 0.6, rtol=1e-4)
    for channel, value in ((5, 0.05), (6, 0.03)):  # a curvature is one over a length
        np.testing.assert_allclose(made[channel][inside], value / size, rtol=1e-4)
    assert (made[:, made[-1] == 0] == 0).all()


def test_holes_do_not_bleed():
    values = maps_of(*surface(*grid()))
    values[:, :, 20:30, 30:45] = 0
    draws = unchanged(1) | {"angle": torch.tensor([0.2]), "shift": torch.tensor([[3.0, 1.0]])}
    made = augment(CHANNELS, values, draws, PIXEL)[0]
    measured = made[-1] > 0
    assert measured.float().mean() < 0.95
    torch.testing.assert_close(made[4][measured], torch.full_like(made[4][measured], 0.6), rtol=0, atol=1e-5)


def test_light_changes_colours_and_nothing_else():
    values = maps_of(*surface(*grid()))
    draws = unchanged(1) | {"gain": torch.tensor([[1.5, 1.0, 0.5]]), "bias": torch.full((1, 3), 0.1)}
    made = augment(CHANNELS, values, draws, PIXEL)
    torch.testing.assert_close(made[:, :7], values[:, :7], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(made[0, 7:10, 5, 5], torch.tensor([1.0, 0.6, 0.25]))


def test_mirrored_is_the_mirror_of_augment():
    values = maps_of(*surface(*grid()))
    made = augment(CHANNELS, values, unchanged(1) | {"mirror": torch.tensor([True])}, PIXEL)
    torch.testing.assert_close(mirrored(CHANNELS, values), made, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(mirrored(CHANNELS, mirrored(CHANNELS, values)), values)


def test_a_mirror_commutes_with_normalisation():
    values = maps_of(*surface(*grid()))
    normalisation = Normalisation.fit(CHANNELS, values, torch.tensor([0]))
    one = normalisation.apply(mirrored(CHANNELS, values))
    two = mirrored(CHANNELS, normalisation.apply(values))
    torch.testing.assert_close(one, two)


def test_draws_stay_in_their_ranges_and_repeat_with_the_seed():
    settings = TrainSettings(
        mirror=0.25, rotate_deg=10, shift_mm=4, scale=0.05, tilt_deg=3, stretch=0.06, bend_mm=1.5, texture_jitter=0.0
    )
    one, two = (draw(settings, 4000, torch.Generator().manual_seed(7)) for _ in range(2))
    for name, tensor in one.items():
        torch.testing.assert_close(tensor, two[name], rtol=0, atol=0)
    assert 0.2 < one["mirror"].float().mean() < 0.3
    assert math.radians(9.9) < one["angle"].abs().max() <= math.radians(10)
    assert 1.049 < one["scale"].max() <= 1.0501
    assert 1 / 1.0501 <= one["scale"].min() < 1 / 1.049
    assert 3.9 < one["shift"].abs().max() <= 4
    assert 1.059 < one["stretch"].max() <= 1.0601
    assert 1.49 < one["bend"].abs().max() <= 1.5
    assert (one["gain"] == 1).all()
    assert (one["gamma"] == 1).all()
