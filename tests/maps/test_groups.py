"""The record of a map group: what it refuses, who knows it, and that it says the truth."""

from dataclasses import replace
from importlib.metadata import EntryPoint

import numpy as np
import pytest
import torch

from fer3d import workers
from fer3d.config import MapSettings, PreprocessSettings, preprocess_settings
from fer3d.data.augment_maps import augment, unchanged
from fer3d.data.channels import Normalisation, channel_names, mirrored, stack_channels
from fer3d.errors import ArgumentError, ConfigError
from fer3d.maps import registry, standard
from fer3d.maps.checking import check_group, lopsided_bump
from fer3d.maps.groups import Channel, MapGroup
from fer3d.maps.registry import group_names, map_group, ordered_groups, register, versions
from fer3d.maps.render import render_maps
from tests.maps import outside
from tests.maps.outside import ACROSS, BENDING, GROUPS, SHADE

ALL = (*standard.GROUPS, *GROUPS)
every_group = pytest.mark.parametrize("group", ALL, ids=lambda group: group.name)


@pytest.fixture
def clean(monkeypatch):
    """What a test registers is forgotten after it."""
    for module, name in ((registry, "_groups"), (registry, "_owners"), (registry, "_unreachable"), (workers, "_first")):
        monkeypatch.setattr(module, name, dict(getattr(module, name)))
    monkeypatch.setattr(registry, "_entry_points", {})
    return registry


@pytest.fixture
def registered(clean):
    for group in GROUPS:
        register(group)


def channel(**changes):
    return Channel(**{"name": "mine", "mirror": 1, "power": 0, "low": 0.0, "high": 1.0, **changes})


def group(**changes):
    return MapGroup(**{"name": "mine", "stored": (channel(),), "values": outside.across, **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "Mine"}, "`name` of a channel should be lower-case letters, .*, is 'Mine'"),
        ({"mirror": 0}, "`mirror` of channel 'mine' should be 1 or -1, is 0"),
        ({"mirror": float("nan")}, "`mirror` of channel 'mine' should be 1 or -1, is nan"),
        ({"mirror": True}, "`mirror` of channel 'mine' should be 1 or -1, is True"),
        ({"power": 0.5}, r"`power` of channel 'mine' should be a whole number in \[-3, 3\], is 0.5"),
        ({"low": 1.0}, "`low` of channel 'mine' should be below `high` 1.0, is 1.0"),
        ({"high": float("inf")}, "`high` of channel 'mine' should be a finite number, is inf"),
        ({"flat": float("nan")}, "`flat` of channel 'mine' should be a finite number or None, is nan"),
        ({"limit": -1.0}, "`limit` of channel 'mine' should be a positive number or None, is -1.0"),
        ({"colours": "pink"}, "`colours` of channel 'mine' should be one of grey, blue-red, is 'pink'"),
        ({"of": ("a",)}, "`formula` of channel 'mine' should be a function of the stored channels that `of` names"),
        ({"formula": outside.root}, "`formula` of channel 'mine' should be a function .*, or both left out"),
    ],
)
def test_a_channel_that_contradicts_itself_is_refused(changes, message):
    with pytest.raises(ArgumentError, match=message) as caught:
        channel(**changes)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("missing", ["mirror", "power", "low", "high"])
def test_what_would_be_wrong_in_silence_has_no_default(missing):
    fields = {"mirror": 1, "power": 0, "low": 0.0, "high": 1.0}
    del fields[missing]
    with pytest.raises(TypeError, match=f"'{missing}'"):
        Channel("mine", **fields)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "my.map"}, "`name` of a map group should be lower-case letters, .*, is 'my.map'"),
        ({"stored": ["depth"]}, r"`stored` of map group 'mine' should be a tuple of Channel, is \['depth'\]"),
        ({"stored": ()}, r"`stored` of map group 'mine' should hold at least one channel, is \(\)"),
        ({"stored": (channel(), channel())}, "`stored` of map group 'mine' should name each channel once"),
        ({"values": None}, "`values` of map group 'mine' should be a function, is None"),
        ({"values": 3}, "`values` of map group 'mine' should be a function, is 3"),
        ({"kind": "vector"}, "`kind` of map group 'mine' should be one of value, height, normal, colour, is 'vector'"),
        ({"version": "1"}, "`version` of map group 'mine' should be a whole number, is '1'"),
        ({"fed": (channel(name="other"),)}, "`fed` of map group 'mine' should hold its stored channels, .*is 'other'"),
        ({"fed": (channel(mirror=-1),)}, "`fed` of map group 'mine' should hold its stored channels, .*is 'mine'"),
        (
            {"fed": (channel(name="half", formula=outside.root, of=("a",)),)},
            "`of` of channel 'half' should hold stored channels of map group 'mine', is \\('a',\\)",
        ),
        ({"kind": "height"}, r"of kind height, should have \(mirror, power\) \[\(1, 1\)\], is \[\(1, 0\)\]"),
        ({"kind": "normal"}, r"of kind normal, should have \(mirror, power\) \[\(-1, 0\), \(1, 0\), \(1, 0\)\]"),
        ({"kind": "colour"}, "of kind colour, should have"),
        ({"picture": True}, r"`stored` of map group 'mine', a picture, should be \(\), and `values` None"),
    ],
)
def test_a_group_that_contradicts_itself_is_refused(changes, message):
    with pytest.raises(ArgumentError, match=message) as caught:
        group(**changes)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ("mine", "`group` should be a MapGroup, is str"),
        (group(name="depth"), "`name` of map group 'depth' is taken by another group"),
        (group(stored=(channel(name="mean"),)), "channel 'mean' of map group 'mine' is a channel of curvature already"),
        (group(stored=(channel(name="red"),)), "channel 'red' of map group 'mine' is a channel of texture already"),
        (group(values=lambda scan, context: scan), "`values` of map group 'mine' .* stand at the top of a module"),
        (
            replace(standard.TEXTURE, name="mine", fed=SHADE.fed),
            "`picture` of map group 'mine' should be False: a scan has one picture, texture",
        ),
    ],
)  # fmt: skip
def test_a_group_that_cannot_be_registered_is_refused(clean, record, message):
    with pytest.raises(ArgumentError, match=message):
        register(record)
    assert "mine" not in group_names()


def test_a_group_is_registered_once(clean):
    assert register(ACROSS) is ACROSS
    assert register(replace(ACROSS)) == ACROSS  # as a worker process does, whose main module registers it as well
    with pytest.raises(ArgumentError, match="`name` of map group 'across' is taken by another group"):
        register(replace(ACROSS, version=4))


def test_names_have_one_order_whatever_came_first(clean):
    for record in (SHADE, BENDING, ACROSS):
        register(record)
    assert group_names() == ("depth", "normal", "curvature", "texture", "across", "bending", "shade")
    assert ordered_groups(["shade", "texture", "across", "depth"]) == ("depth", "texture", "across", "shade")
    assert PreprocessSettings(maps="shade,depth").maps == MapSettings(maps="shade,depth").maps == ("depth", "shade")
    assert versions(("depth", "across", "shade")) == {"across": 3, "shade": 1}


def test_an_unknown_map_is_an_error_at_once_that_names_the_nearest(registered, tmp_path):
    (tmp_path / "mine.toml").write_text('maps = ["depth", "acros"]\n', encoding="utf-8")
    message = "`maps` should hold names out of depth, .*, across, bending, shade, holds 'acros'; did you mean 'across'"
    with pytest.raises(ArgumentError, match=message):
        map_group("acros")
    with pytest.raises(ArgumentError, match=message):
        render_maps(lopsided_bump(), ("depth", "acros"))
    with pytest.raises(ConfigError, match=f"settings: {message}"):
        preprocess_settings(assignments=["maps=depth,acros"])
    with pytest.raises(ConfigError, match=f"mine.toml: {message}"):
        preprocess_settings(tmp_path / "mine.toml")
    with pytest.raises(ArgumentError, match="holds 'relief': is the package that brings it installed?"):
        map_group("relief")
    with pytest.raises(ArgumentError, match="`channels` should hold channels of the maps .*, holds 'relief_mm'"):
        mirrored(["relief_mm"], torch.zeros(1, 2, 2, 2))
    with pytest.raises(ArgumentError, match="`channels` should hold the channels of normal, .* together, holds depth"):
        mirrored(["depth", "normal_x", "normal_z"], torch.zeros(1, 4, 2, 2))


def announced(**values):
    return {name: EntryPoint(name, value, registry.ENTRY_POINTS) for name, value in values.items()}


def test_an_entry_point_is_loaded_when_its_map_is_asked_for(clean, monkeypatch):
    points = announced(across="tests.maps.outside:ACROSS", broken="tests.maps.no_such_module:MAP")
    monkeypatch.setattr(registry, "_entry_points", points)
    assert group_names()[-2:] == ("across", "broken")
    assert "across" not in registry._groups
    assert PreprocessSettings(maps="across,depth").maps == ("depth", "across")
    assert map_group("across") is ACROSS
    with pytest.raises(ConfigError, match="entry point broken = tests.maps.no_such_module:MAP of fer3d.maps: cannot"):
        map_group("broken")
    with pytest.raises(ConfigError, match="settings: `maps` entry point broken = .*No module named"):
        preprocess_settings(assignments=["maps=broken"])


def test_a_channel_finds_its_entry_point(clean, monkeypatch):
    monkeypatch.setattr(registry, "_entry_points", announced(bending="tests.maps.outside:BENDING"))
    assert registry.channel("bend_size").limit == 0.3


@pytest.mark.parametrize(
    ("value", "came"), [("tests.maps.outside:ACROSS", "the group 'across'"), ("tests.maps.outside:root", "function")]
)
def test_an_entry_point_must_be_a_group_of_its_name(clean, monkeypatch, value, came):
    monkeypatch.setattr(registry, "_entry_points", announced(mine=value))
    with pytest.raises(ConfigError, match=f"entry point mine = {value} of fer3d.maps: should be .*, is {came}"):
        map_group("mine")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["depth=tests.maps.outside:ACROSS"], "entry point depth = .*: its name is that of a map of fer3d; uninstall"),
        (["mine=one:MAP", "mine=two:MAP"], "entry point mine = two:MAP .*: its name is that of a map of one:MAP"),
    ],
)
def test_two_maps_of_one_name_are_refused(clean, monkeypatch, values, message):
    points = [EntryPoint(*value.split("="), registry.ENTRY_POINTS) for value in values]
    monkeypatch.setattr(registry, "_entry_points", None)
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: points)
    with pytest.raises(ConfigError, match=message):
        map_group("mine")


def name_in_worker(name):
    return map_group(name).stored_names


def test_worker_processes_know_what_was_registered(registered):
    with workers.worker_pool(1) as pool:
        assert pool.submit(name_in_worker, "bending").result() == ("bend", "bend_squared")


def test_a_worker_that_cannot_import_a_group_says_so(clean):
    registry._receive("mine", b"no pickle")
    with pytest.raises(ArgumentError, match="`maps` holds 'mine', which a worker process cannot import .*or use one"):
        map_group("mine")


@every_group
def test_the_record_says_the_truth(group):
    if group.picture:
        with pytest.raises(ArgumentError, match="`group` should have values at vertices, texture is a picture"):
            check_group(group)
    else:
        check_group(group)


def turned_away(scan, context):
    return scan.vertices[:, :2].copy()


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (
            replace(ACROSS, stored=(channel(power=1),), fed=()),
            "channel 'mine' of map group 'across' has `mirror` 1: of the scan mirrored it should be",
        ),
        (
            replace(ACROSS, stored=(channel(mirror=-1),), fed=()),
            "channel 'mine' of map group 'across' has `power` 0: of the scan twice as large it should be",
        ),
        (
            replace(BENDING, fed=(replace(BENDING.fed[0], power=-2),)),
            "channel 'bend_size' of map group 'bending' has `power` -2",
        ),
        (
            group(stored=(channel(power=1),), values=lambda scan, context: 2 * scan.vertices[:, 2], kind="height"),
            "of kind height should have the height z: of a scan 8 mm nearer, it grows by 16 mm",
        ),
        (
            replace(standard.NORMAL, finish=None, values=lambda scan, context: 2 * context.normals),
            "of kind normal should have unit vectors, one has length 2",
        ),
        (
            replace(SHADE, values=lambda scan, context: 2 * context.normals[:, [2, 2, 2]]),
            r"of kind colour should have values in \[0, 1\], has",
        ),
        (
            group(values=lambda scan, context: np.full(len(scan.vertices), np.nan)),
            "channel 'mine' of map group 'mine' should have values, is NaN everywhere",
        ),
        (
            group(values=lambda scan, context: np.where(scan.vertices[:, 0] > 0, 1.0, np.nan)),
            "channel 'mine' of map group 'mine' should be known at the same vertices of a scan that is mirrored",
        ),
    ],
)
def test_a_record_that_does_not_is_found_out(record, message):
    with pytest.raises(ArgumentError, match=message):
        check_group(record)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"values": lambda scan, _: scan.faces},
            "`values` .* should return a floating point array, returned int32",
        ),
        ({"values": lambda scan, _: [0.0]}, "`values` .*'mine' should return a floating point array, returned list"),
        ({"values": lambda scan, _: np.zeros(3)}, r"should return an array of shape \(1681,\) or .*, returned \(3,\)"),
        ({"values": turned_away}, "should return 1 values a vertex, one a stored channel, returned 2"),
        (
            {"values": turned_away, "finish": outside.squared},
            r"`finish` .* should return shape \(1, 9, 9\), returned ",
        ),
    ],
)
def test_values_of_another_shape_are_refused(clean, monkeypatch, changes, message):
    registry._load_standard()
    registry._add(group(**changes))
    with pytest.raises(ArgumentError, match=message):
        render_maps(lopsided_bump(), ("mine",), 9, 5.0)


@pytest.fixture(scope="module")
def scan():
    """A lopsided surface with a picture on it."""
    bump = lopsided_bump()
    low = bump.vertices[:, :2].min(axis=0)
    uv = (bump.vertices[:, :2] - low) / (bump.vertices[:, :2].max(axis=0) - low)
    picture = np.linspace(0, 255, 30 * 40 * 3).reshape(30, 40, 3).astype(np.uint8)
    return replace(bump, uv=uv.astype(np.float32), texture=picture)


def flipped(scan):
    points = scan.vertices * np.array([-1, 1, 1], np.float32)
    return replace(scan, vertices=points, faces=np.ascontiguousarray(scan.faces[:, ::-1]))


def as_fed(group, made):
    """(1, C + 1, H, W)."""
    stack = stack_channels([group.name], made.names, made.stack, made.mask, made.texture)
    return torch.from_numpy(stack)[None].float()


def largest_difference(one, two):
    """Of the channels, over the pixels that both measure, as a share of the channel's largest value."""
    both = (one[:, -1:] > 0) & (two[:, -1:] > 0)
    assert (
        (one[:, -1] > 0) != (two[:, -1] > 0)
    ).float().mean() < 0.01  # a pixel on the boundary may fall to either side
    size = (one * both).abs().amax((0, 2, 3))
    # the outermost pixels see the boundary, where the few neighbours of a vertex make its curvature depend on rounding
    return (((one - two) * both).abs().amax((0, 2, 3)) / size.clamp(min=1e-6)).max().item()


@every_group
def test_the_maps_of_the_mirrored_scan_are_the_mirrored_maps(registered, group, scan):
    """Within float16 (5e-4 of a value), doubled by the difference of k1 and k2, and by sums in another order."""
    one, two = (as_fed(group, render_maps(s, (group.name,), 48, 1.0)) for s in (scan, flipped(scan)))
    assert largest_difference(mirrored(channel_names([group.name]), one), two) < 4e-3


@every_group
def test_maps_of_a_larger_scan_are_scaled_by_their_power(registered, group, scan):
    """A power of two changes no digit of a float: what is left is float16, which cuts small numbers short."""
    large = replace(scan, vertices=2 * scan.vertices)
    one = as_fed(group, render_maps(scan, (group.name,), 48, 1.0))
    two = as_fed(group, render_maps(large, (group.name,), 48, 2.0, radius=12.0, fill=20.0))
    factor = torch.tensor([2.0**c.power for c in group.fed] + [1.0])[:, None, None]
    assert largest_difference(one * factor, two) < 2e-3


@every_group
def test_augmentation_mirrors_and_scales_as_the_record_says(registered, group, scan):
    """Within float16: augmentation makes unit vectors of normals that were rounded to it."""
    names, values = channel_names([group.name]), as_fed(group, render_maps(scan, (group.name,), 49, 1.0))
    mirror = augment(names, values, unchanged(1) | {"mirror": torch.tensor([True])}, 1.0)
    torch.testing.assert_close(mirror, mirrored(names, values), rtol=5e-4, atol=5e-4)
    scaled = augment(names, values, unchanged(1) | {"scale": torch.tensor([2.0])}, 1.0)
    # the middle stays, so pixel (24 + 8, 24 - 6) of the larger face shows what was at (24 + 4, 24 - 3)
    wanted = values[0, :-1, 28, 21] * torch.tensor([2.0**c.power for c in group.fed])
    largest = float(wanted.abs().max())
    assert largest > 1e-3
    torch.testing.assert_close(scaled[0, :-1, 32, 18], wanted, rtol=5e-4, atol=5e-4 * largest)


@every_group
def test_the_mirror_commutes_with_normalisation(registered, group, scan):
    names, values = channel_names([group.name]), as_fed(group, render_maps(scan, (group.name,), 48, 1.0))
    scale = Normalisation.fit(names, values, torch.tensor([0]))
    torch.testing.assert_close(scale.apply(mirrored(names, values)), scale.mirrored(scale.apply(values)))


def test_two_groups_that_share_what_is_computed_give_what_each_gives_alone(registered, scan):
    made = render_maps(scan, ("bending", "depth", "across", "curvature"), 32, 1.5)
    for name in ("bending", "depth", "across", "curvature"):
        alone = render_maps(scan, (name,), 32, 1.5)
        places = [made.names.index(channel) for channel in alone.names]
        known = (made.mask == 1) & (alone.mask == 1)
        assert known.mean() > 0.5
        np.testing.assert_array_equal(made.stack[places][:, known], alone.stack[:, known])
    mean = made.channel("mean")[made.mask == 1]
    np.testing.assert_allclose(made.channel("bend")[made.mask == 1], mean, rtol=1e-4, atol=1e-6)


def test_a_flat_place_is_fed_what_the_record_says(clean):
    register(group(stored=(channel(name="bare", flat=0.25),)))
    stack = np.array([[[np.nan, 3.0]]], np.float32)
    made = stack_channels(["mine"], ["bare"], stack, np.array([[1, 1]], np.uint8), None)
    assert made[0].tolist() == [[0.25, 3.0]]
