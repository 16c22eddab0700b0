"""Files of weights: what is in them comes back, what does not belong is refused, and nothing in them is run."""

import filecmp
import os
import pickle
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from fer3d.catalog.targets import ClassTarget
from fer3d.data.channels import Normalisation, channel_names
from fer3d.data.input_kinds import InputFacts, PreparedFace
from fer3d.data.warp import FaceWarp
from fer3d.errors import ArgumentError, CheckpointError, FileError
from fer3d.maps import Maps
from fer3d.models import build_model
from fer3d.train.checkpoint import ModelFacts, load_model, load_state, read_tensors, save_model, save_state
from fer3d.train.views import Views

MAPS = ("depth", "normal")


@pytest.fixture
def file(tmp_path):
    torch.manual_seed(0)
    channels = channel_names(MAPS)
    facts = ModelFacts(
        model="oriented-fusion",
        model_settings={"maps": list(MAPS), "classes": 3, "width": 4},
        target=ClassTarget("expression", ("anger", "fear", "surprise")),
        kind="maps",
        inputs=InputFacts(
            normalisation=Normalisation(channels, (-20.0, 0.0, 0.0, 0.8), (10.0, 0.3, 0.3, 0.2)),
            groups=MAPS,
            size=32,
            pixel_mm=5.6,
        ),
        preprocess={"size": 32, "maps": list(MAPS)},
        views=Views(),
    )
    save_model(tmp_path / "model.safetensors", build_model("oriented-fusion", **facts.model_settings), facts)
    return tmp_path / "model.safetensors"


def change(file, alter):
    """Rewrite a file with other tensors under the same header."""
    from safetensors import safe_open

    with safe_open(file, framework="pt") as handle:
        metadata = handle.metadata()
    tensors = load_file(file)
    alter(tensors)
    save_file(tensors, file, metadata)


def face(size=32, pixel=5.6):
    random = torch.Generator().manual_seed(1)
    stack = torch.randn(4, size, size, generator=random).numpy()
    mask = torch.ones(size, size, dtype=torch.uint8).numpy()
    return PreparedFace(Maps(channel_names(MAPS), stack, mask, None, pixel))


def test_a_model_comes_back_whole(file):
    model = load_model(file)
    assert model.model_name == "oriented-fusion"
    assert model.classes == ("anger", "fear", "surprise")
    assert model.kind.name == "maps"
    assert model.maps == MAPS
    assert model.channels == channel_names(MAPS)
    assert model.normalisation.mean[0] == -20.0
    assert model.preprocess == {"size": 32, "maps": list(MAPS)}
    x = model.from_scan(face())
    assert x.shape == (1, 4 + 1, 32, 32)
    made = model.probabilities(model.kind.collate([x, x]))
    assert made.shape == (2, 3)
    torch.testing.assert_close(made.sum(1), torch.ones(2))
    for name, tensor in load_file(file).items():
        torch.testing.assert_close(model.network.state_dict()[name], tensor, rtol=0, atol=0)


def test_the_same_weights_are_the_same_bytes(file, tmp_path):
    model = load_model(file)
    save_model(tmp_path / "again.safetensors", model.network, model.facts)
    assert filecmp.cmp(tmp_path / "again.safetensors", file, shallow=False)


def test_a_mirror_image_gets_the_same_probabilities(file):
    model = load_model(file)
    x = model.from_scan(face())
    flipped = x.flip(-1)
    flipped[:, 1] *= -1
    torch.testing.assert_close(model.probabilities(x), model.probabilities(flipped))


@pytest.mark.parametrize(
    ("alter", "message"),
    [
        (
            lambda t: t.update({"head.1.weight": torch.zeros(5, 128)}),
            r"model.safetensors: head.1.weight should have shape \(3, 128\), has \(5, 128\)",
        ),
        (lambda t: t.pop("head.1.bias"), r"wanted the weights head.1.bias \(3,\), they are missing"),
        (lambda t: t.update({"tail": torch.zeros(1)}), "holds the weights tail, for which the network has no place"),
    ],
)
def test_weights_that_do_not_fit_are_named(file, alter, message):
    change(file, alter)
    with pytest.raises(CheckpointError, match=message):
        load_model(file)


def test_files_that_are_no_model_are_refused(file, tmp_path):
    with pytest.raises(FileError, match="none.safetensors: is missing"):
        load_model(tmp_path / "none.safetensors")
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(CheckpointError, match="model.safetensors: is not a whole safetensors file"):
        load_model(file)
    save_file({"x": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match="other.safetensors: wanted a model of `fer3d train`, its header says"):
        load_model(tmp_path / "other.safetensors")


def test_maps_of_another_size_are_refused(file):
    model = load_model(file)
    with pytest.raises(ArgumentError, match=r"`maps` should be \(32, 32\) pixels of 5.6 mm, are \(40, 40\) of 5.6 mm"):
        model.from_scan(face(40))
    with pytest.raises(ArgumentError, match=r"`maps` should be \(32, 32\) pixels of 5.6 mm, are \(32, 32\) of 2 mm"):
        model.from_scan(face(pixel=2.0))


class Bomb:
    """Unpickling it would make a folder."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("reader", [load_state, read_tensors])
@pytest.mark.parametrize("writer", [lambda x, path: path.write_bytes(pickle.dumps(x)), torch.save])
def test_no_pickled_code_is_run(tmp_path, reader, writer):
    target = tmp_path / "harm"
    writer({"network": Bomb(target)}, tmp_path / "evil.pt")
    with pytest.raises(CheckpointError, match="evil.pt: wanted a torch file of tensors only, is damaged or holds obj"):
        reader(tmp_path / "evil.pt")
    assert not target.exists()


def test_states_survive_and_damage_is_named(tmp_path):
    save_state(tmp_path / "last.ckpt", {"epoch": 3, "log": [{"loss": 0.5}], "network": {"w": torch.arange(3.0)}})
    state = load_state(tmp_path / "last.ckpt")
    assert (state["epoch"], state["log"]) == (3, [{"loss": 0.5}])
    torch.testing.assert_close(state["network"]["w"], torch.arange(3.0))
    (tmp_path / "last.ckpt").write_bytes((tmp_path / "last.ckpt").read_bytes()[:200])
    with pytest.raises(CheckpointError, match="last.ckpt: wanted a torch file of tensors only, is damaged"):
        load_state(tmp_path / "last.ckpt")
    with pytest.raises(FileError, match="none.ckpt: is missing"):
        load_state(tmp_path / "none.ckpt")
    torch.save([1], tmp_path / "list.pt")
    with pytest.raises(CheckpointError, match="list.pt: wanted a table of tensors, got list"):
        load_state(tmp_path / "list.pt")


def test_a_damaged_warp_is_named(file):
    model = load_model(file)
    save_model(file, model.network, replace(model.facts, inputs=replace(model.facts.inputs, warp=stretch())))
    x = load_model(file).from_scan(face())
    assert (x - model.from_scan(face())).abs().max() > 0.1
    change(file, lambda tensors: tensors.update({"warp.low": torch.zeros(2)}))
    with pytest.raises(CheckpointError, match=r"its warp is damaged: low should have shape \(3,\), has \(2,\)"):
        load_model(file)
    change(file, lambda tensors: tensors.pop("warp.low"))
    with pytest.raises(CheckpointError, match="model.safetensors: its warp is damaged: .*'low'"):
        load_model(file)


def test_a_model_of_other_channels_is_named(file):
    content = file.read_bytes()
    assert content.count(b"normal_z") == 1
    file.write_bytes(content.replace(b"normal_z", b"normal_q"))
    with pytest.raises(CheckpointError, match="wanted a model of the channels depth, .*normal_z, it is of .*normal_q"):
        load_model(file)


def stretch():
    """One that stretches every face of four channels by a tenth along x."""
    channels = channel_names(MAPS)
    always = torch.tensor([0.1, 0.0, 0.0])
    before = Normalisation(channels, (0.0,) * 4, (1.0,) * 4)
    return FaceWarp(before, torch.zeros(4 * 8 * 256, 3), always, always.clone(), always.clone())
