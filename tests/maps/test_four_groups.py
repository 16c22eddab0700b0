"""The records of depth, normals, curvature and texture give the bits of the same maps written out by hand."""

from itertools import permutations

import numpy as np
import pytest
import torch

from fer3d.config import TrainSettings
from fer3d.data.augment_maps import augment, draw
from fer3d.data.channels import Normalisation, channel_names, mirrored, stack_channels
from fer3d.maps.render import render_maps
from fer3d.scan import Scan
from tests import shapes
from tests.reference import four_groups

FOUR = ("depth", "normal", "curvature", "texture")
SUBSETS = [*permutations(FOUR), *permutations(FOUR, 2), *((group,) for group in FOUR)]
SIZE, PIXEL = 40, 1.5
in_some_orders = pytest.mark.parametrize(
    "groups", [FOUR, FOUR[::-1], ("curvature", "depth"), ("texture",)], ids="+".join
)


@pytest.fixture(scope="module")
def scan():
    """A lopsided bump with a hole in it and a picture on it."""
    shape = shapes.plane(30.0, 2.0, seed=4, slope=(0.3, -0.2))
    points = shape.vertices.copy()
    points[:, 2] += 12 * np.exp(-((points[:, 0] - 7) ** 2 / 200) - (points[:, 1] + 5) ** 2 / 120)
    centre = points[shape.faces].mean(axis=1)[:, :2]
    faces = shape.faces[(np.abs(centre - [-12, 9]) > 3).any(axis=1)]
    picture = np.random.default_rng(0).integers(0, 256, (24, 30, 3), dtype=np.uint8)
    return Scan.of(points, faces, uv=((points[:, :2] + 30) / 60).astype(np.float32), texture=picture)


@pytest.fixture(scope="module")
def made(scan):
    return render_maps(scan, FOUR, SIZE, PIXEL)


def fed(groups, made):
    """(3, C + 1, H, W) float32: a scan, a flatter one and one with a hole, as training is fed them."""
    stack = stack_channels(groups, made.names, made.stack, made.mask, made.texture)
    batch = torch.from_numpy(np.stack([stack, stack * np.float16(0.75), stack])).float()
    batch[2, :, 5:20, 8:14] = 0
    batch[1, -1] = batch[0, -1]
    return batch


@pytest.mark.parametrize("groups", SUBSETS, ids="+".join)
def test_rendered(groups, scan):
    names, stack, mask, texture = four_groups.render_maps(scan, groups, SIZE, PIXEL, 6.0, 10.0)
    made = render_maps(scan, groups, SIZE, PIXEL)
    assert made.names == names
    np.testing.assert_array_equal(made.stack, stack)
    np.testing.assert_array_equal(made.mask, mask)
    assert {0, 1, 2} == set(np.unique(mask))
    assert (made.texture is None) == (texture is None)
    if texture is not None:
        np.testing.assert_array_equal(made.texture, texture)


@in_some_orders
@pytest.mark.parametrize("illumination", ["raw", "dog"])
def test_stacked(groups, illumination, made):
    spoilt = made.stack.copy()
    spoilt[made.names.index("shape_index"), 18, 18] = np.nan  # a flat place
    arguments = (groups, made.names, spoilt, made.mask, made.texture, illumination)
    np.testing.assert_array_equal(stack_channels(*arguments), four_groups.stack_channels(*arguments))
    assert channel_names(groups) == tuple(name for group in groups for name in four_groups.FED[group])


@in_some_orders
def test_scaled_and_mirrored(groups, made):
    names, values = channel_names(groups), fed(groups, made)
    scale = Normalisation.fit(names, values, torch.arange(3))
    mean, deviation = four_groups.fit(names, values)
    assert (list(scale.mean), list(scale.deviation)) == (mean, deviation)
    wanted = four_groups.flatten_scales(names, values)[:, :-1] - torch.tensor(mean)[:, None, None]
    wanted = wanted / torch.tensor(deviation)[:, None, None] * values[:, -1:]
    applied = scale.apply(values)
    assert torch.equal(applied[:, :-1], wanted)
    assert torch.equal(scale.mirrored(applied), four_groups.mirrored(names, applied))
    assert torch.equal(mirrored(names, values), four_groups.mirrored(names, values))


@in_some_orders
@pytest.mark.parametrize("bend", [0.0, 3.0])
def test_augmented(groups, bend, made):
    names, values = channel_names(groups), fed(groups, made)
    draws = draw(TrainSettings(bend_mm=bend, mirror=0.5), 3, torch.Generator().manual_seed(3))
    assert draws["mirror"].any()
    assert torch.equal(augment(names, values, draws, PIXEL), four_groups.augment(names, values, draws, PIXEL))
