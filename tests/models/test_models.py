import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from fer3d.config import MapSettings
from fer3d.data.channels import channel_names
from fer3d.errors import ArgumentError, CheckpointError, ConfigError, FileError, MissingLibraryError
from fer3d.image.networks import NETWORKS, build_network
from fer3d.image.networks.picture_network import grey
from fer3d.maps.registry import STANDARD_GROUPS
from fer3d.models import MODELS, build_model, network_class
from fer3d.models.backbones import BACKBONES, LOCALLY_CONNECTED, build_branch
from fer3d.models.local_layers import Dropout
from fer3d.models.network import map_variants
from fer3d.train.initial_weights import load_initial
from fer3d.train.linear_svm import fit_linear_svm
from fer3d.train.objective import ClassLoss, Objective
from fer3d.train.settings import train_settings
from fer3d.train.synced_norm import SyncedBatchNorm2d, synchronise


def batch_of(maps, size=32, count=2):
    return torch.randn(count, len(channel_names(maps)) + 1, size, size, generator=torch.Generator().manual_seed(0))


def arguments_of(name, *assignments, **own):
    """What a network of six classes on maps of 32 x 32 is built with."""
    settings = train_settings(name, "small", None, assignments, model=own)
    return network_class(name).arguments(settings.model, 6, {"size": 32})


def objective(*labels):
    y = torch.tensor(labels)
    return Objective(ClassLoss(torch.ones(6)), y, y)


SUBSETS = tuple(map_variants(MapSettings()))


def test_subsets_of_the_maps_are_all_but_the_empty_one_small_ones_first():
    assert len(SUBSETS) == len(set(SUBSETS)) == 15
    assert [len(maps) for maps in SUBSETS] == [1] * 4 + [2] * 6 + [3] * 4 + [4]
    assert list(map_variants(MapSettings(maps="depth,normal"))) == [("depth",), ("normal",), ("depth", "normal")]


@pytest.mark.parametrize("name", sorted(name for name in set(MODELS) - set(NETWORKS) if MODELS[name].reads == "maps"))
@pytest.mark.parametrize("maps", SUBSETS, ids="+".join)
def test_every_model_takes_every_subset_of_the_maps(name, maps):
    network = build_model(name, **arguments_of(name, "model.width=4", maps=maps))
    x = batch_of(maps)
    network.train()
    made = network.losses(x, objective(0, 3))
    early = ["early"] if name == "oriented-fusion" else []
    auxiliary = [f"auxiliary.{group}" for group in maps] if len(maps) > 1 and early else []
    assert list(made.terms) == ["classification", *early, *auxiliary]
    assert all(term.shape == () and torch.isfinite(term) for term in made.terms.values())
    assert made.outputs.shape == network(x).shape == (2, 6)
    network.eval()
    logits = network(x)
    assert logits.shape == (2, 6)
    torch.testing.assert_close(network.losses(x, objective(0, 3)).outputs, logits)
    if not early:
        torch.testing.assert_close(network.classifier(network.features(x)), logits)


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_every_network_for_pictures_takes_the_texture(name):
    network = build_model(name, **arguments_of(name, "model.pixels=48", "model.dropout=0")).eval()
    x = batch_of(["texture"])
    logits = network(x)
    assert logits.shape == (2, 6)
    torch.testing.assert_close(network.classifier(network.features(x)), logits)
    assert network.picture(x).shape == (2, network.network.channels, 48, 48)
    other = x.clone()
    other[:, -1] = 0
    assert torch.equal(network(other), logits)
    network.train()
    made = network.losses(x, objective(0, 3))
    assert made.outputs.shape == (2, 6)
    assert list(made.terms) == ["classification", *(["penalty"] if name in ("dlp-cnn", "frr-cnn") else [])]


def test_networks_for_pictures_see_the_luma_at_the_size_of_the_paper():
    network = build_model("tang").eval()
    x = batch_of(["texture"], 42)
    alone = build_network("tang", classes=6).eval()
    alone.load_state_dict({key.removeprefix("network."): value for key, value in network.state_dict().items()})
    torch.testing.assert_close(network(x), alone(grey(x[:, :3])))


def test_settings_reach_the_networks_for_pictures():
    frr = build_model("frr-cnn", **arguments_of("frr-cnn", "model.penalty_weight=0.25", "model.pixels=64"))
    assert (frr.network.penalty_weight, frr.network.size) == (0.25, 64)
    tang = build_model("tang", **arguments_of("tang", "model.svm_c=3", "model.pixels=64"))
    assert (tang.network.svm_c, tang.network.size) == (3.0, 64)
    with pytest.raises(ConfigError, match="unknown key `model.svm_c` of frr-cnn; it takes .*, model.penalty_weight, "):
        arguments_of("frr-cnn", "model.svm_c=3")
    assert "svm_c" not in arguments_of("df-cnn", "model.read_out=svm", "model.svm_c=3")  # it is of training


def test_each_branch_sees_its_own_maps_only():
    network = build_model("oriented-fusion", maps=STANDARD_GROUPS, width=4).eval()
    x = batch_of(STANDARD_GROUPS)
    before = network.branch_features(x)
    names = channel_names(STANDARD_GROUPS)
    changed = x.clone()
    changed[:, names.index("shape_index")] += 1
    same = [torch.equal(a, b) for a, b in zip(before, network.branch_features(changed), strict=True)]
    assert same == [True, True, False, True]


def test_the_mask_is_seen_only_if_asked_for():
    x = batch_of(["depth"])
    other = x.clone()
    other[:, -1] = 0
    for mask in (False, True):
        network = build_model("oriented-fusion", maps=["depth"], backbone="small", width=4, mask=mask).eval()
        assert torch.equal(network(x), network(other)) is not mask


def test_position_is_seen_only_if_asked_for():
    values = torch.zeros(1, 2, 192, 192)
    values[:, 0, 88:96, 88:96] = 1.0
    moved = values.roll((16, 8), (2, 3))  # by whole strides, far from the boundary
    for position in (False, True):
        network = build_model("oriented-fusion", maps=["depth"], backbone="small", width=4, position=position).eval()
        one, two = (network.branch_features(x)[0] for x in (values, moved))
        one, two = one.roll((2, 1), (2, 3))[..., 9:17, 9:17], two[..., 9:17, 9:17]
        assert torch.allclose(one, two, atol=1e-5) is not position


def test_positions_run_to_the_right_and_up():
    network = build_model("oriented-fusion", maps=["depth"], backbone="small", width=4)
    seen = []
    network.branch("depth").register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    network.eval()(batch_of(["depth"], 32))
    right, up = seen[0][0, -2:]
    assert (right[0, 0], right[-1, -1], up[0, 0], up[-1, -1]) == (-1, 1, 1, -1)
    assert (right[5] == right[9]).all()


def test_map_dropout_takes_whole_maps_of_a_scan_and_only_while_training():
    network = build_model("oriented-fusion", maps=STANDARD_GROUPS, width=4, map_dropout=0.5)
    parts = [torch.full((2000, 3, 1, 1), float(2**k)) for k in range(4)]
    torch.manual_seed(0)
    made = network.concatenate(parts)[:, ::3, 0, 0] / torch.tensor([1.0, 2.0, 4.0, 8.0])
    kept = made > 0
    assert kept.any(dim=1).all()
    torch.testing.assert_close(made.sum(dim=1), torch.full((2000,), 4.0))  # what is left keeps the whole weight
    share = (0.5 + 0.5**4) * torch.ones(4)  # a scan that would lose all four keeps them
    torch.testing.assert_close(kept.float().mean(dim=0), share, atol=0.05, rtol=0)
    network.eval()
    assert torch.equal(network.concatenate(parts), torch.cat(parts, dim=1))


def test_average_pooling_takes_any_size():
    for backbone in ("small", *LOCALLY_CONNECTED):
        network = build_model("oriented-fusion", backbone=backbone, width=4).eval()
        assert network(batch_of(STANDARD_GROUPS, 40)).shape == network(batch_of(STANDARD_GROUPS, 24)).shape == (2, 6)


def test_early_fusion_is_a_plain_cnn_that_has_half_a_say():
    """Probabilities are the geometric mean of those of both; in training each has a loss of its own."""
    network = build_model(
        "oriented-fusion", maps=STANDARD_GROUPS, size=32, width=4, dropout=0.0, early_fusion=True
    ).eval()
    without = build_model("oriented-fusion", maps=STANDARD_GROUPS, width=4, dropout=0.0).eval()
    plain = build_model("plain-cnn", maps=STANDARD_GROUPS, size=32).eval()
    state = network.state_dict()
    without.load_state_dict({name: tensor for name, tensor in state.items() if not name.startswith("early.")})
    plain.load_state_dict({name.removeprefix("early."): state[name] for name in state if name.startswith("early.")})
    x = batch_of(STANDARD_GROUPS, count=5)
    mean = (without(x).softmax(1) * plain(x).softmax(1)).sqrt()
    torch.testing.assert_close(network(x).softmax(1), mean / mean.sum(1, keepdim=True))
    terms = network.train().losses(x, objective(0, 3, 5, 1, 2)).terms
    assert list(terms) == ["classification", "early", *(f"auxiliary.{group}" for group in STANDARD_GROUPS)]
    for term, own in ((terms["classification"], network.head), (terms["early"], network.early.head)):
        network.zero_grad()
        term.backward(retain_graph=True)
        moved = {name for name, weight in network.named_parameters() if weight.grad is not None and weight.grad.any()}
        assert any(weight.grad is not None and weight.grad.any() for weight in own.parameters())
        assert {name.startswith("early.") for name in moved} == {own is network.early.head}


def test_dropout_is_of_both_last_layers():
    for dropout, wanted in ((None, (0.3, 0.5)), (0.0, (0.0, 0.0))):
        network = build_model("oriented-fusion", size=32, width=4, dropout=dropout, early_fusion=True)
        assert (network.head[0].p, network.early.head[0].p) == wanted


def test_early_fusion_sees_at_most_64_pixels():
    network = build_model("oriented-fusion", maps=STANDARD_GROUPS, size=128, width=4, early_fusion=True).eval()
    seen = []
    network.early.convolutions.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    x = batch_of(STANDARD_GROUPS, 128)
    assert network(x).shape == (2, 6)
    torch.testing.assert_close(seen[0], x[:, :-1].unflatten(2, (64, 2)).unflatten(4, (64, 2)).mean((3, 5)))


def test_early_fusion_is_there_unless_branches_learn_small_shapes_themselves():
    def whether(*assignments):
        return arguments_of("oriented-fusion", *assignments)["early_fusion"]

    assert [whether(), whether("model.backbone=oriented"), whether("model.backbone=resnet-18")] == [True, True, False]
    assert [whether("model.maps=curvature"), whether("model.maps=curvature", "model.early_fusion=false")] == [
        True,
        False,
    ]
    assert [whether("model.early_fusion=false"), whether("model.backbone=small", "model.early_fusion=true")] == [
        False,
        True,
    ]
    assert "early_fusion" not in arguments_of("df-cnn")


@pytest.mark.parametrize(("backbone", "size", "side"), [("small", 32, 2), ("small", 40, 3), ("oriented", 40, 1)])
def test_a_bottleneck_sees_every_location(backbone, size, side):
    network = build_model("oriented-fusion", size=size, backbone=backbone, width=4, fusion=12, bottleneck=5).eval()
    x = batch_of(STANDARD_GROUPS, size)
    fused = network.fuse[0](network.concatenate(network.branch_features(x)))
    assert fused.shape == (2, 6 * side**2)
    features = network.features(x)
    torch.testing.assert_close(features, (fused @ network.fuse[2].weight.T + network.fuse[2].bias).relu())
    torch.testing.assert_close(network(x), network.head[1](features))
    assert features.shape == (2, 5) and (network.fuse[1].p, network.head[0].p) == (0.5, 0.0)


@pytest.mark.parametrize(
    ("backbone", "parameters"),
    # torchvision's resnet18 without fc, and vgg16_bn's features without the 4,224 biases of its convolutions
    [("resnet-18", 11_176_512), ("vgg-16", 14_723_136 - 4_224)],
)
def test_published_backbones_have_the_published_number_of_parameters(backbone, parameters):
    assert sum(p.numel() for p in build_branch(backbone, 3).parameters()) == parameters


@pytest.mark.parametrize("size", [64, 40, 12])
@pytest.mark.parametrize(("backbone", "inputs"), [("oriented", 16), ("scattering", 128)])
def test_placed_branches_weigh_every_place_by_itself(backbone, inputs, size):
    """A change of half of the map changes the features by what the weights of that half make of it."""
    branch = build_branch(backbone, 2, 2).eval()
    generator = torch.Generator().manual_seed(0)
    x, measured = torch.randn(3, 2, size, size, generator=generator), torch.ones(3, 1, size, size)
    energy = branch.energy(x, measured)
    assert energy.shape == (3, inputs, 16, 16)
    weights = branch.first.weight
    assert weights.shape == (8, inputs, 16, 16)
    expected = torch.einsum("bcij,dcij->bd", energy, weights) / (1 + 1e-5)  # two norms that have seen nothing
    torch.testing.assert_close(branch(x, measured)[:, :, 0, 0], expected.relu(), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("backbone", LOCALLY_CONNECTED)
def test_placed_branches_take_what_is_usual_at_a_place_for_nothing(backbone):
    branch = build_branch(backbone, 1, 2).train()
    generator = torch.Generator().manual_seed(0)
    usual, own = (torch.randn(n, 1, 64, 64, generator=generator) for n in (1, 6))
    y = branch.layers[0](branch.energy(usual + 0.3 * own, torch.ones(6, 1, 64, 64)))
    torch.testing.assert_close(y.mean(0), torch.zeros(y.shape[1:]), atol=1e-5, rtol=0)
    assert 0.5 < y.var(0, correction=0).mean() <= 1.0


@pytest.mark.parametrize("backbone", sorted(BACKBONES))
def test_backbones_say_how_many_features_they_give(backbone):
    branch = build_branch(backbone, 2, 8 if backbone != "vgg-m" else 6).eval()
    assert branch(torch.zeros(1, 2, 64, 64), torch.ones(1, 1, 64, 64)).shape[1] == branch.out_channels
    assert branch.first.in_channels == {"oriented": 16, "scattering": 128}.get(backbone, 2)


def test_dropout_keeps_the_mean_and_leaves_out_its_share():
    torch.manual_seed(0)
    x = torch.linspace(1.0, 3.0, 200_000)
    layer = Dropout(0.3)
    y = layer(x)
    assert abs((y == 0).float().mean() - 0.3) < 0.005  # five standard deviations
    torch.testing.assert_close(y[y > 0], x[y > 0] / 0.7)
    assert torch.equal(layer.eval()(x), x)
    assert torch.equal(Dropout(0.0).train()(x), x)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: build_model("oriented-fusion", size=12, early_fusion=True), "`size` should be at least 16, is 12"),
        (
            lambda: build_model("dffcnn"),
            "`model` should be one of oriented-fusion, dff-cnn, df-cnn, .*, is 'dffcnn'; did you mean 'dff-cnn'",
        ),
        (
            lambda: build_model("oriented-fusion", widht=3),
            "`widht` is no argument of oriented-fusion, which takes maps, classes, size, backbone",
        ),
        (
            lambda: build_model("oriented-fusion", backbone="vgg"),
            "`backbone` should be one of scattering, oriented, small, .*, is 'vgg'",
        ),
        (lambda: build_model("vgg-11", maps=["depth"]), "`maps` is no argument of vgg-11, which takes pixels, classes"),
        (
            lambda: build_model("tang", widht=3),
            "`widht` is no argument of tang, which takes pixels, classes, channels",
        ),
        (lambda: build_model("oriented-fusion", maps=["nose"]), "`maps` should hold names out of .*, holds 'nose'"),
    ],
)
def test_wrong_names_are_named(call, message):
    with pytest.raises(ArgumentError, match=message):
        call()


def test_networks_for_pictures_choose_no_maps():
    with pytest.raises(ConfigError, match="settings: unknown key `model.maps` of tang; .* takes model.init, "):
        arguments_of("tang", "model.maps=depth")


# ---- image weights


def image_weights(bias=False):
    """A network in torchvision's naming of VGG-16 with batch normalisation, width 4."""
    random = torch.Generator().manual_seed(3)
    tensors, channels, layer = {}, 3, 0
    for times, width in ((2, 4), (2, 8), (3, 16), (3, 32), (3, 32)):
        for _ in range(times):
            tensors[f"features.{layer}.weight"] = torch.randn(width, channels, 3, 3, generator=random)
            if bias:
                tensors[f"features.{layer}.bias"] = torch.randn(width, generator=random)
            norm = f"features.{layer + 1}"
            tensors |= {f"{norm}.{key}": torch.rand(width, generator=random) + 0.5 for key in NORM}
            channels, layer = width, layer + 3
        layer += 1
    return tensors | {"classifier.0.weight": torch.zeros(5, 32), "classifier.0.bias": torch.zeros(5)}


NORM = ("weight", "bias", "running_mean", "running_var")


def reference(tensors, image):
    """The same network, layer by layer, on a colour image."""
    layer, x = 0, image
    for times in (2, 2, 3, 3, 3):
        x = nn.functional.max_pool2d(x, 2) if layer else x
        for _ in range(times):
            x = nn.functional.conv2d(
                x, tensors[f"features.{layer}.weight"], tensors.get(f"features.{layer}.bias"), padding=1
            )
            weight, shift, mean, variance = (tensors[f"features.{layer + 1}.{key}"] for key in NORM)
            x = nn.functional.batch_norm(x, mean, variance, weight, shift).relu()
            layer += 3
        layer += 1
    return x


@pytest.mark.parametrize("bias", [False, True])
def test_branches_with_image_weights_see_maps_as_grey_images(tmp_path, bias):
    tensors = image_weights(bias)
    save_file(tensors, tmp_path / "vgg.safetensors")
    network = build_model("oriented-fusion", maps=["depth", "texture"], backbone="vgg-16", width=4).eval()
    load_initial(network, str(tmp_path / "vgg.safetensors"), "vgg-16")
    x = batch_of(["depth", "texture"])
    depth, texture = network.branch_features(x)
    torch.testing.assert_close(depth, reference(tensors, x[:, :1].expand(-1, 3, -1, -1)), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(texture, reference(tensors, x[:, 1:4]), rtol=1e-3, atol=1e-3)


def test_resnet_weights_are_found_in_any_order(tmp_path):
    """A file in torchvision's names, shuffled: ours to theirs by hand for three layers."""
    ours = build_branch("resnet-18", 3, 4)
    convolutions = [m for m in ours.modules() if isinstance(m, nn.Conv2d)]
    names = ["conv1"]
    for layer in range(1, 5):
        for block in range(2):
            names += [f"layer{layer}.{block}.conv1", f"layer{layer}.{block}.conv2"]
            names += [f"layer{layer}.0.downsample.0"] if block == 0 and layer > 1 else []
    tensors = {}
    for number, (name, convolution) in enumerate(zip(names, convolutions, strict=True)):
        norm = name[:-1] + "1" if "downsample" in name else name.replace("conv", "bn")
        tensors[f"{name}.weight"] = torch.full_like(convolution.weight, float(number))
        tensors |= {f"{norm}.{key}": torch.full((convolution.out_channels,), number + 0.5) for key in NORM}
    shuffled = dict(sorted(tensors.items(), key=lambda item: item[0][::-1]))
    torch.save({"state_dict": shuffled}, tmp_path / "resnet.pt")
    network = build_model("oriented-fusion", maps=["normal"], backbone="resnet-18", width=4)
    load_initial(network, str(tmp_path / "resnet.pt"), "resnet-18")
    made = [m for m in network.branch("normal").modules() if isinstance(m, nn.Conv2d)]
    assert [m.weight.flatten()[0].item() for m in made] == list(range(20))
    norms = [m for m in network.branch("normal").modules() if isinstance(m, nn.BatchNorm2d)]
    assert [float(m.running_var[0]) for m in norms] == [number + 0.5 for number in range(20)]


def test_image_weights_that_do_not_fit_are_refused(tmp_path):
    network = build_model("oriented-fusion", maps=["depth"], backbone="vgg-16", width=8)
    file = tmp_path / "vgg.safetensors"
    save_file(image_weights(), file)
    with pytest.raises(
        CheckpointError, match=r"vgg.safetensors: layers.0 should have shape \(8, 3, 3, 3\), has \(4, 3"
    ):
        load_initial(network, str(file), "vgg-16")
    small = build_model("oriented-fusion", maps=["depth"])
    with pytest.raises(
        CheckpointError, match="should hold 1 convolutions for this backbone, holds 13; wrong `backbone`"
    ):
        load_initial(small, str(file), "small")
    with pytest.raises(FileError, match="none.pt: is missing; for ImageNet weights, save them where torchvision"):
        load_initial(network, "none.pt", "vgg-16")
    with pytest.raises(ArgumentError, match="`init` needs a network with branches"):
        load_initial(build_model("plain-cnn"), str(file), "vgg-16")
    with pytest.raises(ArgumentError, match="`init` timm has weights for resnet-18, vgg-16, `backbone` is 'small'"):
        load_initial(small, "timm", "small")


@pytest.mark.parametrize("library", ["torchvision", "timm"])
@pytest.mark.parametrize("error", [ImportError("no such thing"), RuntimeError("operator does not exist")])
def test_a_library_that_cannot_be_imported_is_said_with_the_way_round(monkeypatch, library, error):
    import builtins

    real = builtins.__import__

    def broken(name, *arguments, **options):
        if name == library:
            raise error
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", broken)
    network = build_model("oriented-fusion", maps=["depth"], backbone="resnet-18", width=4)
    with pytest.raises(
        MissingLibraryError, match=f"`init` {library}: {library} cannot be imported .*--init resnet18.pt"
    ):
        load_initial(network, library, "resnet-18")


# ---- parts


def test_the_linear_svm_is_at_its_minimum():
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, 200)
    features = random.standard_normal((200, 5)) * [1, 10, 0.1, 3, 1] + 2 * np.eye(3, 5)[labels] * [1, 10, 0.1, 3, 1]
    weight, offset = fit_linear_svm(features, labels, 3, c=0.5)
    x = (features - features.mean(0)) / features.std(0)

    def loss(w, b, k):
        y = np.where(labels == k, 1, -1)
        return 0.5 * w @ w + 0.5 * (np.maximum(0, 1 - y * (x @ w + b)) ** 2).sum()

    for k in range(3):
        w = weight[k] * features.std(0)
        b = offset[k] + weight[k] @ features.mean(0)
        best = loss(w, b, k)
        for _ in range(50):
            assert loss(w + 0.01 * random.standard_normal(5), b + 0.01 * random.standard_normal(), k) >= best - 1e-6
    assert ((features @ weight.T + offset).argmax(1) == labels).mean() > 0.7


def test_the_svm_checks_its_labels():
    with pytest.raises(ArgumentError, match=r"`labels` should have shape \(4,\), has \(3,\)"):
        fit_linear_svm(np.zeros((4, 2)), np.zeros(3, int), 2)


@pytest.mark.parametrize("affine", [True, False])
def test_synced_norm_of_one_process_is_batch_norm(affine, tmp_path):
    import torch.distributed as dist

    dist.init_process_group("gloo", f"file://{tmp_path / 'meet'}", rank=0, world_size=1)
    try:
        one, two = (nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3, affine=affine)) for _ in range(2))
        two.load_state_dict(one.state_dict())
        assert type(synchronise(two)[1]) is SyncedBatchNorm2d
        x = torch.randn(4, 2, 5, 5, generator=torch.Generator().manual_seed(0))
        for network in (one, two):
            network(x).pow(3).mean().backward()
        for a, b in zip(one.parameters(), two.parameters(), strict=True):
            torch.testing.assert_close(a.grad, b.grad, rtol=1e-3, atol=1e-4)
        for name, tensor in one.state_dict().items():
            torch.testing.assert_close(two.state_dict()[name], tensor)
        one.eval()
        two.eval()
        torch.testing.assert_close(one(x), two(x))
    finally:
        dist.destroy_process_group()
