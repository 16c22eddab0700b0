import numpy as np
import pytest
import torch

from fer3d import maps
from fer3d.data.channels import Normalisation, channel_names, stack_channels
from fer3d.errors import ArgumentError

NAMES = ("shape_index", "depth", "normal_x", "normal_y", "normal_z", "curvedness", "mean")


def test_channels_come_in_the_order_of_the_groups_with_the_mask_last():
    stack = np.array([0.25, 1, 2, 3, 4, 5, 6], np.float32)[:, None, None] + np.zeros((7, 2, 3), np.float32)
    texture = np.full((2, 3, 3), (255, 51, 0), np.uint8)
    mask = np.array([[1, 2, 0], [1, 1, 1]], np.uint8)
    stack[:, 0, 2] = np.nan
    stack[[0, 5, 6], 1, 1] = np.nan, 0, 0  # flat: no shape index
    made = stack_channels(["depth", "curvature", "texture"], NAMES, stack, mask, texture)
    assert made.dtype == np.float16
    assert made.shape == (8, 2, 3)
    assert made[:, 0, 0].tolist() == pytest.approx([1, 0.25, 6, 5 / 2**0.5, 1, 0.2, 0, 1], abs=2e-3)
    assert made[:, 0, 2].tolist() == [0] * 8
    assert made[1:4, 1, 1].tolist() == [0.5, 0, 0]
    assert made[:, 0, 1].tolist() == made[:, 0, 0].tolist()  # filled pixels count


def test_normalised_channels_have_mean_0_and_deviation_1_where_measured():
    random = torch.Generator().manual_seed(0)
    channels = channel_names(["depth", "texture"])
    values = 5 + 3 * torch.randn(7, 5, 20, 30, generator=random)
    values[:, -1] = (torch.rand(7, 20, 30, generator=random) < 0.7).float()
    values[:, :-1] *= values[:, -1:]
    rows = torch.tensor([0, 2, 3, 5])
    made = Normalisation.fit(channels, values, rows).apply(values[rows])
    measured = made[:, -1:].bool().expand(-1, 4, -1, -1)
    assert (made[:, :-1][~measured] == 0).all()
    for k in range(4):
        inside = made[:, k][measured[:, k]]
        assert abs(float(inside.mean())) < 1e-3
        assert abs(float(inside.std()) - 1) < 1e-3


def test_the_test_scans_do_not_enter_the_normalisation():
    channels = channel_names(["depth"])
    values = torch.ones(3, 2, 4, 4)
    values[2, 0] = 1e4
    assert Normalisation.fit(channels, values, torch.tensor([0, 1])).mean == pytest.approx((1.0,))


def test_normals_across_keep_zero_and_share_a_scale():
    channels = channel_names(["normal"])
    random = torch.Generator().manual_seed(0)
    values = torch.randn(4, 4, 9, 9, generator=random) * torch.tensor([0.2, 0.4, 0.1, 0.0])[:, None, None] + 0.3
    values[:, -1] = 1
    made = Normalisation.fit(channels, values, torch.arange(4))
    assert made.mean[:2] == (0.0, 0.0)
    assert made.deviation[0] == made.deviation[1]
    assert made.mean[2] == pytest.approx(0.3, abs=0.05)


@pytest.mark.parametrize("scale", [0.1, 1.0, 30.0])
@pytest.mark.parametrize(("k1", "k2"), [(0.05, 0.02), (0.03, -0.04), (-0.01, -0.06), (0.02, 0.02), (0.0, 0.0)])
def test_the_curvatures_fed_are_half_the_sum_and_half_the_difference(k1, k2, scale):
    k1, k2 = np.full((2, 2), k1 / scale), np.full((2, 2), k2 / scale)
    stored = {"shape_index": maps.shape_index, "curvedness": maps.curvedness, "mean": maps.mean_curvature}
    stack = np.stack([f(k1, k2) for f in stored.values()]).astype(np.float32)
    made = stack_channels(["curvature"], tuple(stored), stack, np.ones((2, 2), np.uint8), None)
    np.testing.assert_allclose(made[1], (k1 + k2) / 2, rtol=2e-3, atol=1e-6)
    np.testing.assert_allclose(made[2], abs(k1 - k2) / 2, rtol=2e-3, atol=1e-6)


def test_curvatures_are_cut():
    channels = channel_names(["curvature"])
    values = torch.ones(1, 4, 1, 4)
    values[0, 1, 0] = torch.tensor([-7.0, -0.04, 0.4, 7.0])
    values[0, 2, 0] = torch.tensor([0.0, 0.04, 0.4, 7.0])
    made = Normalisation(channels, (0.0,) * 3, (1.0,) * 3).apply(values)
    assert made[0, 1, 0].tolist() == pytest.approx([-0.5, -0.04, 0.4, 0.5])
    assert made[0, 2, 0].tolist() == pytest.approx([0.0, 0.04, 0.4, 0.5])
    again = Normalisation.fit(channels, values, torch.tensor([0]))
    assert again.mean[1:] == pytest.approx((0.09, 0.235))


def test_the_light_on_a_whole_face_is_taken_out_of_its_colours():
    channels = channel_names(["depth", "texture"])
    values = torch.rand(2, 5, 8, 8, generator=torch.Generator().manual_seed(0))
    values[:, -1, :, 5:] = 0
    values[:, :, :, 5:] = 0
    values[:, -1, :, :5] = 1
    darker = values.clone()
    darker[:, 1:4, :, :5] = darker[:, 1:4, :, :5] * torch.tensor([0.5, 0.7, 0.9])[:, None, None] + 0.05
    made, again = (Normalisation(channels, (0.0,) * 4, (1.0,) * 4).apply(x) for x in (values, darker))
    torch.testing.assert_close(made, again, atol=0.05, rtol=0)
    inside = made[:, 1:4, :, :5]
    torch.testing.assert_close(inside.mean((2, 3)), torch.zeros(2, 3), atol=1e-5, rtol=0)
    torch.testing.assert_close(inside.std((2, 3), correction=0), torch.ones(2, 3), atol=0.05, rtol=0)
    assert (made[..., 5:] == 0).all()
    assert torch.equal(made[:, 0], values[:, 0])


def test_a_picture_of_one_colour_is_finite_and_quiet():
    values = torch.full((1, 4, 6, 6), 0.4)
    values[:, -1] = 1
    values[0, 0, 2, 2] += 1e-4
    made = Normalisation(channel_names(["texture"]), (0.0,) * 3, (1.0,) * 3).apply(values)
    assert made[:, :3].abs().max() < 0.02


@pytest.mark.parametrize(
    ("maps", "message"),
    [
        ([], "`maps` should name one or more of depth, normal, curvature, texture, each once, is \\[\\]"),
        (["depth", "depth"], "`maps` should name one or more of .*, each once, is \\['depth', 'depth'\\]"),
        (
            ["dept"],
            "`maps` should hold names out of depth, normal, curvature, texture, holds 'dept'; did you mean 'depth'",
        ),
    ],
)
def test_groups_are_checked(maps, message):
    with pytest.raises(ArgumentError, match=message):
        channel_names(maps)


def test_missing_maps_are_named():
    stack, mask = np.zeros((1, 2, 2), np.float32), np.ones((2, 2), np.uint8)
    with pytest.raises(ArgumentError, match="`maps` asks for texture, there is none"):
        stack_channels(["texture"], ["depth"], stack, mask, None)
    with pytest.raises(ArgumentError, match="`maps` asks for the channel normal_x, there are only depth"):
        stack_channels(["normal"], ["depth"], stack, mask, None)
