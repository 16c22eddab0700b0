"""Augmentation of pictures, in shares of the picture: each change by itself, in closed form."""

import pytest
import torch

from fer3d.data.augment_pictures import augment_pictures, cropped, draw_pictures
from fer3d.image.perturb import perturb
from fer3d.train.settings import train_settings

STILL = ("mirror=0", "rotate_deg=0", "scale=0", "stretch=0", "shift=0", "texture_jitter=0")


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def pictures(count=6, size=24, seed=9):
    values = torch.rand(count, 4, size, size, generator=seeded(seed))
    values[:, 3] = 1.0
    return values


def drawn(*items, count=6, size=24, seed=0):
    named = [item.partition("=")[0] for item in items]
    still = [] if "perturb" in named else [item for item in STILL if item.partition("=")[0] not in named]
    return draw_pictures(train_settings("3c2f", "small", None, (*still, *items)), count, size, seeded(seed))


def test_nothing_drawn_changes_nothing():
    torch.testing.assert_close(augment_pictures(pictures(), drawn()), pictures(), rtol=0, atol=2e-5)


def test_a_mirror_is_a_mirror():
    made = augment_pictures(pictures(), drawn("mirror=1"))
    torch.testing.assert_close(made, pictures().flip(-1), rtol=0, atol=2e-5)


@pytest.mark.parametrize(("axis", "x", "y"), [(0, 3, 0), (1, 0, 5)])
def test_a_shift_is_a_share_of_the_width(axis, x, y):
    """To the right and down, and the edge is repeated."""
    draws = drawn()
    draws["share"] = torch.zeros(6, 2)
    draws["share"][:, axis] = (x or y) / 24
    made, given = augment_pictures(pictures(), draws), pictures()
    torch.testing.assert_close(made[:, :, y:, x:], given[:, :, : 24 - y, : 24 - x], rtol=0, atol=2e-5)
    torch.testing.assert_close(made[:, :, :y], given[:, :, :1].expand(-1, -1, y, -1), rtol=0, atol=2e-5)
    torch.testing.assert_close(made[..., :x], given[..., :1].expand(-1, -1, -1, x), rtol=0, atol=2e-5)


@pytest.mark.parametrize("size", [24, 48])
def test_shifts_reach_the_share_that_is_set_at_any_size(size):
    share = drawn("shift=0.1", count=4000, size=size)["share"]
    assert 0.099 < float(share.abs().max()) <= 0.1
    assert abs(float(share.mean())) < 0.003


def test_a_turn_of_a_quarter_is_counter_clockwise():
    draws = drawn()
    draws["angle"] = torch.full((6,), torch.pi / 2)
    torch.testing.assert_close(augment_pictures(pictures(), draws), pictures().rot90(1, (2, 3)), rtol=0, atol=1e-4)


def test_a_face_of_twice_the_size():
    """The middle quarter of a ramp fills the picture."""
    ramp = torch.ones(6, 4, 24, 24)
    ramp[:, :3] = torch.linspace(0.0, 1.0, 24)
    draws = drawn()
    draws["scale"] = torch.full((6,), 2.0)
    wanted = (torch.arange(24) - 11.5) / 23 / 2 + 0.5
    torch.testing.assert_close(augment_pictures(ramp, draws)[0, 0, 7], wanted, rtol=0, atol=1e-5)
    draws["scale"], draws["stretch"] = torch.ones(6), torch.tensor([[2.0, 1.0]]).expand(6, 2)
    torch.testing.assert_close(augment_pictures(ramp, draws)[0, 0, 7], wanted, rtol=0, atol=1e-5)


def test_parts_are_cut_from_any_place_without_a_change():
    assert cropped(48, 0.875) == 42
    draws, given = drawn("crop=0.75", count=40), pictures(40)
    made = augment_pictures(given, draws)
    assert made.shape == (40, 4, 18, 18)
    for picture, found, (row, column) in zip(given, made, draws["crop"].tolist(), strict=True):
        torch.testing.assert_close(found, picture[:, row : row + 18, column : column + 18], rtol=0, atol=2e-5)
    assert {tuple(place) for place in draws["crop"].tolist()} > {(0, 0)} or len(draws["crop"].unique(dim=0)) > 20
    assert int(draws["crop"].max()) == 6 and int(draws["crop"].min()) == 0


def test_grey_pictures_stay_grey_and_are_changed_as_colours_are():
    values = pictures()
    values[:, :3] = values[:, :1]
    draws = drawn("rotate_deg=20", "mirror=0.5", "texture_jitter=0.4", "crop=0.75")
    made = augment_pictures(values, draws, grey=True)
    assert torch.equal(made[:, 0], made[:, 1]) and torch.equal(made[:, 0], made[:, 2])
    even = {**draws, "gain": draws["gain"].mean(dim=1, keepdim=True).expand(-1, 3)}
    torch.testing.assert_close(made, augment_pictures(values, even), rtol=0, atol=2e-5)


def test_what_was_not_measured_stays_so_and_does_not_darken_its_neighbours():
    values = torch.ones(8, 4, 24, 24)
    values[:, :, :, :12] = 0.0
    draws = drawn("rotate_deg=30", "shift=0.2", "scale=0.3", "mirror=0.5", count=8)
    for made in (augment_pictures(values, draws), augment_pictures(values, draws, grey=True)):
        assert ((made[:, 3:] == 0) | (made[:, 3:] == 1)).all()
        torch.testing.assert_close(made[:, :3], made[:, 3:].expand(-1, 3, -1, -1), rtol=0, atol=1e-5)
        assert 0.2 < float(made[:, 3:].mean()) < 0.8


def test_a_perturbation_takes_the_place_of_the_moves_after_the_light():
    draws = drawn("perturb=true", "texture_jitter=0.3", "crop=0.75")
    moves = {name.removeprefix("perturb_"): part for name, part in draws.items() if name.startswith("perturb_")}
    plain = drawn("texture_jitter=0.3")
    lit = augment_pictures(pictures(), {**plain, **{name: draws[name] for name in ("gain", "bias", "gamma")}})
    wanted = perturb(lit, moves)
    for found, picture, (row, column) in zip(
        augment_pictures(pictures(), draws), wanted, draws["crop"].tolist(), strict=True
    ):
        torch.testing.assert_close(found, picture[:, row : row + 18, column : column + 18], rtol=0, atol=5e-5)
