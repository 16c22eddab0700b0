"""Networks for pictures: parameters to the unit, shapes at every size, what each paper is about."""

import math

import pytest
import torch
from torch import nn

from fer3d.errors import ArgumentError
from fer3d.image.losses import feature_redundancy, locality_preserving, squared_hinge
from fer3d.image.networks import NETWORKS, build_network, network_class
from fer3d.image.networks.khorrami import LocalMean
from fer3d.image.networks.picture_network import grey, resized
from fer3d.image.pooling import StochasticPool2d

SIZES = (42, 48, 64, 96, 100, 224)


def parameters(network):
    return sum(parameter.numel() for parameter in network.parameters())


def pictures(network, count=2, seed=0):
    shape = (count, network.channels, network.size, network.size)
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("name", "settings", "count"),
    [
        ("yu-zhang", {}, 6_073_351),
        ("khorrami", {"classes": 8}, 1_335_508),
        ("dlp-cnn", {}, 74_944_743),
        ("alexnet", {}, 60_965_224 - 1000 * 4097 + 7 * 4097),  # CaffeNet with 7 classes instead of 1000
        ("vgg-11", {}, 132_863_336 - 1000 * 4097 + 7 * 4097),  # the published ones, likewise
        ("vgg-16", {}, 138_357_544 - 1000 * 4097 + 7 * 4097),
        ("resnet-18", {}, 11_689_512 - 1000 * 513 + 7 * 513),
        ("tang", {}, 5_008_295),  # "5.01 M"
        # by hand: 64 (25 + 1) + 128 (25 64 + 1) + 256 (25 128 + 1), then 256 8 8 (+ 1) to 300 and 300 (+ 1) to 7
        ("3c2f", {}, 1_664 + 204_928 + 819_456 + 4_915_500 + 2_107),
        ("frr-cnn", {}, 1_664 + 204_928 + 819_456 + 4_915_500 + 2_107),  # the channels share their weights
        # 64 (81 + 1) + 2 x 64 (25 64 + 1) + 7 (25 64 + 1)
        ("kahou", {}, 5_248 + 204_928 + 11_207),
    ],
)
def test_published_sizes_have_the_published_number_of_parameters(name, settings, count):
    with torch.device("meta"):
        assert parameters(build_network(name, **{"classes": 7, **settings})) == count


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_every_network_takes_every_size(name, channels, size):
    with torch.device("meta"):
        network = build_network(name, classes=6, size=size, channels=channels).eval()
        x = torch.empty(3, channels, size, size)
        assert network(x).shape == (3, 6)
        assert network.features(x).ndim == 2


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_the_head_reads_the_features_and_everything_is_trained(name):
    torch.manual_seed(0)
    network = build_network(name, size=48)
    x = pictures(network)
    network.eval()
    logits = network(x)
    assert torch.isfinite(logits).all()
    torch.testing.assert_close(network.head(network.features(x)), logits)
    torch.testing.assert_close(network.observe(x)[0], logits)
    network.train()
    logits, seen = network.observe(x)
    y = torch.tensor([0, 3])
    assert (network.criterion is not None) == (name == "tang")
    assert (network.penalty is not None) == (name in ("dlp-cnn", "frr-cnn"))
    loss = nn.functional.cross_entropy(logits, y) if network.criterion is None else network.criterion(logits, y).mean()
    if network.penalty is not None:
        loss = loss + network.penalty(seen, y)
    loss.backward()
    for key, parameter in network.named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), key
        assert parameter.grad.any(), key


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_pictures_of_one_grey_stay_finite(name):
    network = build_network(name, size=48).eval()
    assert torch.isfinite(network(torch.zeros_like(pictures(network)))).all()


# ---- what each paper is about


def test_tang_is_trained_with_the_squared_hinge():
    network = build_network("tang", svm_c=0.4)
    scores, labels = torch.randn(5, 7), torch.tensor([0, 1, 2, 6, 6])
    torch.testing.assert_close(network.criterion(scores, labels), 0.4 * squared_hinge(scores, labels))


def test_tang_makes_42_21_10_5_of_its_maps():
    network = build_network("tang")
    sizes = []
    for module in network.convolutions:
        if isinstance(module, nn.MaxPool2d | nn.AvgPool2d):
            module.register_forward_hook(
                lambda m, inputs, output: sizes.append((inputs[0].shape[-1], output.shape[-1]))
            )
    network(pictures(network))
    assert sizes == [(42, 21), (21, 10), (10, 5)]


def test_yu_and_zhang_pool_stochastically_to_6_pixels():
    network = build_network("yu-zhang")
    assert sum(isinstance(module, StochasticPool2d) for module in network.modules()) == 3
    assert network.flattened() == 128 * 6 * 6
    x = pictures(network)
    assert not torch.equal(network(x), network(x))
    network.eval()
    assert torch.equal(network(x), network(x))


@pytest.mark.parametrize("size", [48, 96, 100, 224])
def test_khorrami_pools_quadrants_and_has_no_bias(size):
    network = build_network("khorrami", size=size)
    assert network.convolutions(pictures(network)).shape == (2, 256, 2, 2)
    assert all(m.bias is None for m in network.modules() if isinstance(m, nn.Conv2d))
    assert (network.hidden[1].bias == 1).all()


def test_khorrami_draws_one_gain_a_network():
    torch.manual_seed(1)
    gains = []
    for _ in range(4):
        network = build_network("khorrami")
        layers = [m for m in network.convolutions if isinstance(m, nn.Conv2d)]
        made = [float(m.weight.detach().std()) * math.sqrt(25 * m.in_channels) for m in layers]
        assert max(made[1:]) / min(made[1:]) < 1.02
        gains.append(made[-1])
    assert 0.19 < min(gains) < max(gains) < 1.21
    assert max(gains) / min(gains) > 1.1


def test_the_local_mean_is_its_definition():
    x = torch.randn(1, 2, 7, 9, generator=torch.Generator().manual_seed(0))
    made = LocalMean()(x)
    for i, j in ((0, 0), (3, 4), (6, 5)):
        window = x[..., max(i - 2, 0) : i + 3, max(j - 2, 0) : j + 3]
        torch.testing.assert_close(made[..., i, j], x[..., i, j] - window.mean(dim=(2, 3)))


def test_dlp_adds_the_locality_of_its_features():
    network = build_network("dlp-cnn", size=48, penalty_weight=0.5, neighbours=2).eval()
    x, y = pictures(network, 6), torch.tensor([0, 0, 1, 1, 0, 2])
    _, seen = network.observe(x)
    torch.testing.assert_close(seen[0], network.features(x))
    torch.testing.assert_close(network.penalty(seen, y), 0.5 * locality_preserving(seen[0], y, 2))
    network.penalty_weight = 0.0
    assert network.penalty(seen, y) == 0.0


def test_frr_sees_three_views_and_penalises_each_layer():
    network = build_network("frr-cnn", size=48, penalty_weight=2.0).eval()
    x = pictures(network)
    _, maps = network.observe(x)
    assert [tuple(layer.shape) for layer in maps] == [(6, 64, 48, 48), (6, 128, 24, 24), (6, 256, 12, 12)]
    wanted = 2.0 * sum(feature_redundancy(layer) for layer in maps) / 3
    torch.testing.assert_close(network.penalty(maps, torch.tensor([0, 1])), wanted)


def test_frr_takes_the_strongest_of_the_views():
    network = build_network("frr-cnn", size=48).eval()
    x = pictures(network)
    pool = network.convolutions
    wanted = torch.stack([pool.stack(view(x)) for view in pool.views]).amax(dim=0)
    torch.testing.assert_close(network.features(x), network.hidden(wanted))
    torch.testing.assert_close(pool.views[0](x), x)
    assert not torch.allclose(pool.views[1](x), pool.views[2](x))


def test_the_redundancy_penalty_drives_maps_apart():
    torch.manual_seed(0)
    network = build_network("frr-cnn", size=48)
    x, y = pictures(network, 4), torch.tensor([0, 1, 2, 3])
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    values = []
    for _ in range(6):
        optimizer.zero_grad()
        value = network.penalty(network.observe(x)[1], y)
        value.backward()
        optimizer.step()
        values.append(float(value.detach()))
    assert values[-1] < 0.8 * values[0]


# ---- input


def test_grey_is_the_luma():
    x = torch.zeros(1, 3, 2, 2)
    x[0, 1] = 2.0
    torch.testing.assert_close(grey(x), torch.full((1, 1, 2, 2), 2 * 0.587))
    torch.testing.assert_close(grey(torch.ones(1, 3, 2, 2)), torch.ones(1, 1, 2, 2))


def test_smaller_pictures_are_averages():
    x = torch.arange(64.0).reshape(1, 1, 8, 8)
    assert resized(x, 8) is x
    assert resized(x, 4).mean() == pytest.approx(float(x.mean()), rel=1e-3)
    checkers = (torch.arange(8)[:, None] + torch.arange(8)).remainder(2).float()[None, None]
    assert (resized(checkers, 2) - 0.5).abs().max() < 0.05  # no moire
    assert resized(x, 16).shape == (1, 1, 16, 16)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: network_class("vgg16"), "`name` should be one of tang, .*, is 'vgg16'; did you mean 'vgg-16'"),
        (lambda: build_network("tang", channels=2), r"`channels` should be 1 \(grey\) or 3 \(colour\), is 2"),
        (lambda: build_network("alexnet", size=20), "`size` 20 is too small for this network's convolutions"),
        (lambda: build_network("khorrami", size=12), r"`size` should lie in \[16, 4096\] pixels, is 12"),
        (lambda: build_network("yu-zhang", size=0), r"`size` should lie in \[1, 4096\] pixels, is 0"),
        (lambda: build_network("frr-cnn", form="x"), "`form` should be correlation, cosine or distance, is 'x'"),
        (lambda: build_network("frr-cnn", penalty_weight=-1), "`penalty_weight` should lie in .*, is -1"),
        (lambda: build_network("dlp-cnn", size=48, neighbours=0), "`neighbours` should lie in .*, is 0"),
        (lambda: build_network("tang", svm_c=0), "`svm_c` should lie in .*, is 0"),
        (
            lambda: build_network("tang")(torch.zeros(2, 1, 48, 48)),
            r"`x` should have shape \(B, 1, 42, 42\), has \(2, 1, 48, 48\)",
        ),
        (lambda: grey(torch.zeros(2, 1, 4, 4)), r"`pictures` should have shape \(B, 3, H, W\), has \(2, 1, 4, 4\)"),
    ],
)
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(ArgumentError, match=message):
        call()


@pytest.mark.parametrize("name", ["3c2f", "frr-cnn"])
def test_networks_of_another_width(name):
    network = build_network(name, classes=7, size=24, width=5)
    layers = 25 * (1 * 5 + 5 * 10 + 10 * 20) + 5 + 10 + 20  # 5 x 5, weights and biases
    assert sum(parameter.numel() for parameter in network.parameters()) == layers + (20 * 9 + 1) * 300 + 301 * 7
    with pytest.raises(ArgumentError, match=r"`width` should lie in \[1, 1024\], is 0"):
        build_network(name, width=0)
