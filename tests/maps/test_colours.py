"""The texture map: pictures inside and outside [0, 1], and colours of vertices."""

import numpy as np
import pytest

from fer3d.maps import render_maps
from fer3d.scan import Scan

SIDE, PIXEL = 40, 1.0


def picture(seed=3):
    """A smooth picture whose four sides all differ."""
    y, x = np.mgrid[:32, :48] / np.array([31, 47])[:, None, None]
    return np.stack([255 * x, 255 * y, 128 + 100 * np.sin(seed * x + y)], axis=-1).astype(np.uint8)


def plane(uv, texture=None, wrap=("repeat", "repeat"), colours=None, scale=1.0):
    """A square of 40 units in 41 x 41 vertices, z = 0, with uv (or colours) a function of s and t in [0, 1]."""
    t, s = np.mgrid[:41, :41] / 40.0
    points = np.stack([(s - 0.5) * 40, (t - 0.5) * 40, 0 * s], axis=-1).reshape(-1, 3) * scale
    a = (np.arange(40)[:, None] * 41 + np.arange(40)).ravel()
    faces = np.concatenate([np.stack([a, a + 1, a + 42], 1), np.stack([a, a + 42, a + 41], 1)])
    made = None if uv is None else np.stack(np.broadcast_arrays(*uv(s, t)), axis=-1).reshape(-1, 2).astype(np.float32)
    kept = None if colours is None else np.stack(colours(s, t), axis=-1).reshape(-1, 3).astype(np.float32)
    return Scan.of(points, faces, uv=made, texture=texture, wrap=wrap, colours=kept)


def shown(scan, scale=1.0):
    return render_maps(scan, ("texture",), SIDE, PIXEL * scale).texture.astype(int)


@pytest.mark.parametrize("tile", [(0, 1), (0, -1), (1, 0), (-3, 2), (100, -100)])
@pytest.mark.parametrize("scale", [0.01, 1.0, 100.0])
def test_a_texture_repeats_outside_0_1(tile, scale):
    texture = picture()
    inside = shown(plane(lambda s, t: (s, t), texture, scale=scale), scale)
    moved = shown(plane(lambda s, t: (s + tile[0], t + tile[1]), texture, scale=scale), scale)
    assert np.abs(moved - inside).max() <= 1  # 100.3 has two digits less in float32 than 0.3


def test_each_copy_of_a_repeated_texture_is_the_whole_picture():
    """Two by two copies on the square, each as the picture shown at half the size."""
    texture = picture()
    four = shown(plane(lambda s, t: (2 * s - 7, 2 * t + 3), texture))
    for rows in (slice(0, 20), slice(20, 40)):
        for columns in (slice(0, 20), slice(20, 40)):
            np.testing.assert_allclose(four[rows, columns], four[20:, :20], atol=1)
    half = render_maps(plane(lambda s, t: (s, t), texture), ("texture",), 20, 2.0).texture.astype(int)
    np.testing.assert_allclose(four[:20, :20], half, atol=2)


def test_a_mirrored_texture_is_mirrored_in_every_second_copy():
    texture = picture()
    inside = shown(plane(lambda s, t: (s, t), texture))
    mirror = ("mirror", "mirror")
    np.testing.assert_allclose(shown(plane(lambda s, t: (s + 2, t - 4), texture, mirror)), inside, atol=1)
    np.testing.assert_allclose(shown(plane(lambda s, t: (s + 1, t), texture, mirror)), inside[:, ::-1], atol=1)
    np.testing.assert_allclose(shown(plane(lambda s, t: (s, t - 3), texture, mirror)), inside[::-1], atol=1)


def test_the_border_of_a_clamped_texture_goes_on():
    texture = picture()
    beyond = shown(plane(lambda s, t: (s + 1, t), texture, ("clamp", "repeat")))
    assert np.abs(beyond - beyond[:, :1]).max() <= 1
    np.testing.assert_allclose(beyond[::-1, 0], texture[::-1][np.arange(40) * 32 // 40, -1], atol=8)
    below = shown(plane(lambda s, t: (s, t - 5), texture, ("repeat", "clamp")))
    np.testing.assert_allclose(below[0], texture[-1][np.arange(40) * 48 // 40], atol=8)


def test_the_ends_of_a_picture_that_repeats_are_not_mixed():
    """A lookup at u = 0 shows the left border alone: what lies at the right border is another part of the face."""
    texture = np.zeros((4, 4, 3), np.uint8)
    texture[:, 2:] = 255
    assert shown(plane(lambda s, t: (0.25 * s, t), texture)).max() == 0
    assert shown(plane(lambda s, t: (1 + 0.25 * s, t), texture)).max() == 0
    assert shown(plane(lambda s, t: (0.75 + 0.25 * s, t), texture)).min() == 255


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan, 3e38, -3e38])
def test_texture_coordinates_that_are_no_numbers_or_huge(value):
    scan = plane(lambda s, t: (np.where(s < 0.5, s, value), t), picture())
    maps = render_maps(scan, ("depth", "texture"), SIDE, PIXEL)
    assert (maps.mask[:, :19] > 0).all()
    assert maps.texture.shape == (SIDE, SIDE, 3)


def test_colours_of_vertices_are_interpolated():
    """A linear function of the position comes out as itself, at pixel centres."""
    scan = plane(None, colours=lambda s, t: (255 * s, 255 * t, 100 + 0 * s))
    at = (np.arange(SIDE) + 0.5) / SIDE
    wanted = np.stack([*np.meshgrid(255 * at, 255 * at[::-1]), np.full((SIDE, SIDE), 100.0)], axis=-1)
    np.testing.assert_allclose(shown(scan), wanted, atol=0.51)


def test_the_texture_comes_before_the_colours():
    texture = np.full((4, 4, 3), 200, np.uint8)
    left = plane(lambda s, t: (np.where(s < 0.51, s, np.nan), t), texture, colours=lambda s, t: [10 + 0 * s] * 3)
    both = shown(left)
    assert (both[:, :19] == 200).all()
    assert (both[:, 21:] == 10).all()


def test_a_scan_without_any_colour_has_no_texture_map():
    assert render_maps(plane(None), ("depth", "texture"), SIDE, PIXEL).texture is None
    assert render_maps(plane(lambda s, t: (s, t)), ("depth", "texture"), SIDE, PIXEL).texture is None
