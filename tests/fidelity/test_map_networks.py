"""DFF-CNN and DF-CNN: a CNN for each map, fusion by convolutions on maps larger than a pixel, nothing beside them."""

import math

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from torch import nn

from fer3d.data.channels import channel_names
from fer3d.data.samples import load
from fer3d.errors import ArgumentError, ConfigError
from fer3d.evaluate.measure import evaluate_run
from fer3d.maps.registry import STANDARD_GROUPS
from fer3d.models import build_model, network_class
from fer3d.models.dff_cnn import WeightedConcatenation
from fer3d.models.map_branches import channels_read, feature_side
from fer3d.prepare import store
from fer3d.report.html import render, run_page
from fer3d.train.checkpoint import load_model
from fer3d.train.linear_svm import fit_linear_svm
from fer3d.train.plan import Experiment
from fer3d.train.run import Device, train
from fer3d.train.run_folder import read_predictions, read_run
from fer3d.train.settings import complete, train_settings
from tests.commands import fer3d
from tests.prepared import SIX, write_prepared

NAMES = ("dff-cnn", "df-cnn")
MAPS = list(STANDARD_GROUPS)
BACKBONES = {"dff-cnn": ("small", "resnet-18", "vgg-m", "vgg-16"), "df-cnn": ("small-vgg-m", "vgg-m")}
EVERY = [(name, backbone) for name in NAMES for backbone in BACKBONES[name]]
CPU = Device("cpu")


def default(name, size=64, **own):
    """The network as `fer3d train` builds it."""
    settings = train_settings(name, "small", None, model=own)
    return build_model(name, **network_class(name).arguments(settings.model, 6, {"size": size}))


def sizes(network, size):
    """Every convolution of a network with the rows of its input, for maps of `size` x `size`."""
    seen = []
    hooks = [
        module.register_forward_pre_hook(lambda module, inputs: seen.append((module, inputs[0].shape[-1])))
        for module in network.modules()
        if isinstance(module, nn.Conv2d)
    ]
    with torch.no_grad():
        network.eval()(torch.zeros(1, len(channel_names(MAPS)) + 1, size, size))
    for hook in hooks:
        hook.remove()
    return seen


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(("name", "backbone"), EVERY)
def test_branches_are_cnns_whose_features_are_larger_than_a_pixel(name, backbone):
    network = default(name, backbone=backbone, width=6)
    for branch, features in zip(network.branches, network.branch_features(torch.zeros(1, 11, 64, 64)), strict=True):
        assert features.shape[-1] == features.shape[-2] == feature_side(backbone, 64) > 1
        learned = [module for module in network.branches[branch].modules() if isinstance(module, nn.Conv2d)]
        assert len(learned) >= 5
    size = network_class(name).published_pixels(complete(name, None).model.model_copy(update={"backbone": backbone}))
    for convolution, rows in sizes(default(name, size=size or 64, backbone=backbone, width=6), size or 64):
        assert convolution.kernel_size[0] < rows  # none is a dense layer in disguise
        assert convolution.weight.requires_grad


@pytest.mark.parametrize("name", NAMES)
def test_features_are_fused_by_convolutions_of_1_x_1_and_3_x_3(name):
    network = default(name)
    fusing = [module for module in network.fuse.modules() if isinstance(module, nn.Conv2d)]
    assert [module.kernel_size for module in fusing] == [(1, 1), (3, 3)]
    assert fusing[0].in_channels == sum(network.branch(branch).out_channels for branch in network.branches)
    rows = [rows for module, rows in sizes(network, 64) if module in fusing]
    assert min(rows) > 1


def test_global_average_pooling_pools_and_saves_the_weights_of_all_but_one_location():
    pooled, flat = default("dff-cnn"), default("dff-cnn", gap=False)
    assert isinstance(pooled.pool[0], nn.AdaptiveAvgPool2d)
    features = torch.randn(2, 128, 8, 8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(pooled.pool(features), features.mean((2, 3)))
    assert torch.equal(flat.pool(features), features.flatten(1))
    assert count(flat) - count(pooled) == 6 * 128 * (8 * 8 - 1)
    assert count(flat) - count(flat.head) == count(pooled) - count(pooled.head)


def test_there_is_nothing_beside_the_papers_network():
    for name in NAMES:
        kind, chosen = network_class(name), complete(name, None)
        assert not kind.warps and chosen.model.warp is None
        names = set(kind.Settings.model_fields)
        assert not names & {"early_fusion", "auxiliary", "map_dropout", "position", "mask", "location_dropout"}
        network = default(name)
        x = torch.randn(2, 11, 64, 64, generator=torch.Generator().manual_seed(0))
        terms = network.losses(x, lambda outputs, each=None: outputs.square().mean()).terms
        assert list(terms) == ["classification"]
        unmasked = x.clone()
        unmasked[:, -1] = 0
        assert torch.equal(network.eval()(x), network(unmasked))


def test_dff_cnn_has_a_branch_for_each_map_and_of_curvature_the_shape_index():
    network = default("dff-cnn")
    names = channel_names(MAPS)
    read = {branch: [names[index] for index in found] for branch, found in network.channels_read.items()}
    assert read == {
        "depth": ["depth"],
        "normal": ["normal_x", "normal_y", "normal_z"],
        "curvature": ["shape_index"],
        "texture": ["red", "green", "blue"],
    }
    whole = default("dff-cnn", curvature="all")
    assert [names[index] for index in whole.channels_read["curvature"]] == ["shape_index", "mean", "difference"]


def test_df_cnn_has_six_single_maps_and_a_feature_of_32_numbers():
    network = default("df-cnn")
    names = channel_names(MAPS)
    read = {branch: [names[index] for index in found] for branch, found in network.channels_read.items()}
    single = ("depth", "normal_x", "normal_y", "normal_z", "shape_index")
    assert read == {name: [name] for name in single} | {"texture": ["red", "green", "blue"]}
    assert network.features(torch.zeros(2, 11, 64, 64)).shape == (2, 32)
    assert network.head.in_features == 32


@pytest.mark.parametrize("name", NAMES)
def test_each_branch_sees_its_own_map(name):
    network = default(name, width=6).eval()
    x = torch.randn(1, 11, 64, 64, generator=torch.Generator().manual_seed(0))
    before = network.branch_features(x)
    for branch, read in network.channels_read.items():
        other = x.clone()
        other[:, read.start : read.stop] += 1
        same = [torch.equal(a, b) for a, b in zip(before, network.branch_features(other), strict=True)]
        assert same == [part != branch for part in network.branches]


@pytest.mark.parametrize(
    ("backbone", "colours", "grey"),
    [
        # as published, without the last linear layers: torchvision's resnet18 and vgg16_bn, whose convolutions have
        # 4,224 biases that ours lack
        ("resnet-18", 11_176_512, 2 * 64 * 49),
        ("vgg-16", 14_723_136 - 4_224, 2 * 64 * 9),
        # VGG-M: 7 x 7 x 96, 5 x 5 x 256, three of 3 x 3 x 512, and our batch normalisation
        ("vgg-m", 14_112 + 614_400 + 1_179_648 + 2 * 2_359_296 + 2 * (96 + 256 + 3 * 512), 2 * 96 * 49),
    ],
)
def test_published_branches_have_their_numbers_of_parameters(backbone, colours, grey):
    """For three colours as published; a grey map lacks two thirds of the first convolution."""
    with torch.device("meta"):
        network = default("dff-cnn", backbone=backbone)
    found = {name: count(network.branch(name)) for name in network.branches}
    assert found == {"depth": colours - grey, "normal": colours, "curvature": colours - grey, "texture": colours}
    deep = network.branch("depth").out_channels
    fusion = 4 * deep * 128 + 2 * 128 + 128 * 128 * 9 + 2 * 128
    assert count(network) == sum(found.values()) + 4 + fusion + 128 * 6 + 6


def test_df_cnn_counts_by_hand():
    with torch.device("meta"):
        network = default("df-cnn", backbone="vgg-m")
    colours = 14_112 + 614_400 + 1_179_648 + 2 * 2_359_296 + 2 * (96 + 256 + 3 * 512)
    fusion = 6 * 512 * 128 + 2 * 128 + 128 * 64 * 9 + 2 * 64 + (64 * 2 * 2 + 1) * 32
    assert count(network) == 6 * colours - 5 * 2 * 96 * 49 + fusion + (32 + 1) * 6


def test_maps_too_small_for_a_backbone_are_refused():
    """Else the features would be a single pixel, and the fusion and the pooling nothing."""
    message = "`size` should give resnet-18 features of at least 2 x 2 pixels, is 32, which gives 1 x 1; prepare larger"
    for name in NAMES:
        with pytest.raises(ArgumentError, match=message):
            build_model(name, size=32, backbone="resnet-18", width=4)
    with pytest.raises(ArgumentError, match="of at least 2 x 2 pixels, is 16, which gives 0 x 0"):
        build_model("df-cnn", size=16, backbone="vgg-m", width=6)
    with pytest.raises(ArgumentError, match="`backbone` should be one of .*, is 'vgg'"):
        build_model("dff-cnn", backbone="vgg")
    with pytest.raises(ArgumentError, match="`curvature` should be shape-index or all, is 'mean'"):
        channels_read(MAPS, "mean")
    with pytest.raises(ConfigError, match="`backbone` Input should be 'small', 'vgg-m', 'vgg-16' or 'resnet-18', got"):
        train_settings("dff-cnn", "small", None, ["model.backbone=oriented"])


def test_the_plain_cnn_can_have_the_same_inputs():
    plain = build_model("plain-cnn", maps=MAPS, size=32, curvature="shape-index").eval()
    x = torch.randn(2, 11, 32, 32, generator=torch.Generator().manual_seed(0))
    names = list(channel_names(MAPS))
    for channel in names:
        other = x.clone()
        other[:, names.index(channel)] += 1
        assert torch.equal(plain(x), plain(other)) == (channel in ("mean", "difference"))
    read = sorted(index for found in default("dff-cnn").channels_read.values() for index in found)
    assert [names[index] for index in read] == [name for name in names if name not in ("mean", "difference")]


# ---- the weights of the fusion


def test_weights_start_equal_leave_features_as_they_are_and_sum_to_1():
    weighted = WeightedConcatenation(3)
    parts = [torch.randn(2, 4, 3, 3, generator=torch.Generator().manual_seed(k)) for k in range(3)]
    torch.testing.assert_close(weighted(parts), torch.cat(parts, dim=1))
    with torch.no_grad():
        weighted.logits.copy_(torch.tensor([math.log(2.0), math.log(5.0), 0.0]))
    torch.testing.assert_close(weighted.weights, torch.tensor([0.25, 0.625, 0.125]))
    expected = torch.cat([0.75 * parts[0], 1.875 * parts[1], 0.375 * parts[2]], dim=1)
    torch.testing.assert_close(weighted(parts), expected)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return write_prepared(tmp_path_factory.mktemp("fidelity") / "prepared", intensities=(3,))


QUICK = ("epochs=2", "batch=8", "model.width=6")


def test_weights_move_in_training_and_are_reported(prepared, tmp_path, capsys):
    out = tmp_path / "run"
    options = [part for item in QUICK for part in ("--set", item)]
    code, text, err = fer3d(
        capsys, "train", "dff-cnn", "--data", prepared, "--folds", 2, "-o", out, "--accelerator", "cpu", *options
    )
    assert code == 0, err
    run = read_run(out)
    names = [f"fusion weight of {group}" for group in MAPS]
    assert sorted(run.learned) == sorted(names)
    folds = [load_model(out / fold / "model.safetensors").network.learned() for fold in ("r00f00", "r00f01")]
    for learned in folds:
        assert list(learned) == names
        assert sum(learned.values()) == pytest.approx(1.0, abs=1e-6)
        assert all(abs(weight - 0.25) > 1e-6 for weight in learned.values())
    for name, value in run.learned.items():
        assert value == pytest.approx(np.mean([learned[name] for learned in folds]), abs=1e-6)
    line = "learned, mean of the folds: " + ", ".join(f"{name} {value:.3f}" for name, value in run.learned.items())
    assert line in " ".join(text.split())
    page = render([run_page(out, evaluate_run(out, resamples=20).to_json(), prepared)])
    assert "Learned, mean of the folds" in page and all(name in page for name in names)


def test_other_networks_report_nothing(prepared, tmp_path):
    settings = train_settings("plain-cnn", "small", None, (*QUICK, "epochs=1"))
    out = train("plain-cnn", Experiment(prepared, folds=2, only=(0,)), tmp_path / "run", settings, device=CPU)
    assert read_run(out).learned == {} and "learned" not in read_run(out).facts


# ---- the read-outs of DF-CNN


@pytest.mark.parametrize("read_out", ["svm", "svm-probabilities"])
def test_an_svm_classifies_the_feature_or_the_probabilities(prepared, tmp_path, read_out):
    chosen = (*QUICK, f"model.read_out={read_out}", "model.svm_c=0.5", "test_mirror=false")
    settings = train_settings("df-cnn", "small", None, chosen)
    out = train("df-cnn", Experiment(prepared, folds=2, only=(0,)), tmp_path / "run", settings, device=CPU)
    model = load_model(out / "r00f00" / "model.safetensors")
    rows = store.read_manifest(prepared)
    data = load([(prepared, rows)], MAPS, SIX)
    fold = read_run(out).folds[0]
    subjects = np.array([row["subject"] for row in data.rows])
    where = {part: torch.from_numpy(np.flatnonzero(np.isin(subjects, fold[part]))) for part in ("train", "test")}
    x = {name: model.normalisation.apply(data.take(index, torch.device("cpu"))) for name, index in where.items()}
    with torch.no_grad():
        seen = {name: model.network.svm_input(batch).double().numpy() for name, batch in x.items()}
        margins = model.network(x["test"]).numpy()
    width = 32 if read_out == "svm" else 6
    assert seen["train"].shape == (len(where["train"]), width)
    if read_out == "svm-probabilities":
        np.testing.assert_allclose(seen["test"].sum(axis=1), 1.0, atol=1e-6)
    weight, offset = fit_linear_svm(seen["train"], data.labels[where["train"]].numpy(), 6, 0.5)
    np.testing.assert_allclose(margins, seen["test"] @ weight.T + offset, atol=2e-3 * np.abs(margins).max())
    table = pq.read_table(out / "predictions.parquet").to_pydict()
    stored = np.array([table[f"p_{label}"] for label in SIX]).T
    again = torch.from_numpy(margins).softmax(dim=1).numpy()
    assert (stored.argmax(1) == again.argmax(1)).all()
    np.testing.assert_allclose(stored, again, atol=1e-4)
    assert len(read_predictions(read_run(out))) == len(where["test"])


def test_probabilities_are_of_the_softmax_until_the_svm_is_there():
    network = default("df-cnn", size=32, width=6, read_out="svm-probabilities").eval()
    x = torch.randn(3, 11, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        logits = network(x)
        torch.testing.assert_close(logits, network.head(network.features(x)))
        weight, offset = torch.randn(6, 6), torch.randn(6)
        network.set_svm(weight, offset)
        torch.testing.assert_close(network(x), logits.softmax(1) @ weight.T + offset)
        torch.testing.assert_close(network.train()(x).shape, (3, 6))
    assert not any("svm" in name for name, _ in network.named_parameters())
    with pytest.raises(ArgumentError, match="`read_out` should be svm or svm-probabilities for a network with an SVM"):
        default("df-cnn", size=32, width=6).set_svm(weight, offset)
    with pytest.raises(ArgumentError, match="`read_out` should be one of softmax, svm, svm-probabilities, is 'tree'"):
        build_model("df-cnn", read_out="tree")
