"""`--init` for every network: what is taken, what is new, and that nobody is tested whom the weights know."""

import json

import pytest
import torch
from safetensors.torch import save_file

from fer3d.errors import CheckpointError, FileError, ProtocolError
from fer3d.models import build_model, network_class
from fer3d.models.network import PretrainedSettings
from fer3d.train.checkpoint import load_model, read_tensors
from fer3d.train.fine_tuning import Initial, find_initial, start_from
from fer3d.train.plan import Experiment
from fer3d.train.run import Callbacks, Device, train
from fer3d.train.settings import train_settings
from tests.prepared import SIX, write_prepared
from tests.prepared_trees import write_prepared_trees

QUICK = ("epochs=1", "batch=8", "recipe=ours")
SMALL = {
    "plain-cnn": ("model.width=4", "model.maps=depth"),
    "tang": ("model.pixels=16",),
    "gcnn": ("model.width=2", "batch=2"),
    "oriented-fusion": ("model.width=2", "model.maps=depth,texture", "model.backbone=small"),
    "dff-cnn": ("model.width=2", "model.maps=depth,texture", "model.backbone=small"),
}


def trained(network, data, out, *items, classes=None, said=None, **plan):
    settings = train_settings(network, assignments=(*QUICK, *SMALL[network], *items))
    callbacks = None if said is None else Callbacks(on_message=said.append)
    experiment = Experiment(data, folds=2, classes=classes, **plan)
    return train(network, experiment, out, settings, device=Device("cpu"), callbacks=callbacks)


def weights(run, fold="r00f00"):
    return read_tensors(run / fold / "model.safetensors")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return write_prepared(tmp_path_factory.mktemp("tuned") / "prepared", ["F0001", "M0001", "F0002", "M0002"])


@pytest.fixture(scope="module")
def before(prepared, tmp_path_factory):
    return trained("plain-cnn", prepared, tmp_path_factory.mktemp("tuned") / "before")


@pytest.mark.parametrize("network", ["tang", "gcnn", "oriented-fusion", "dff-cnn", "plain-cnn"])
def test_every_network_goes_on_from_a_run_of_its_own(prepared, tmp_path, network):
    data = prepared
    if network == "gcnn":
        data = write_prepared_trees(tmp_path / "trees", ("F0001", "M0001"), SIX[:3])
    classes = SIX[:3] if network == "gcnn" else None
    first, said = trained(network, data, tmp_path / "a", classes=classes, only=(0,)), []
    still = ["lr=1e-9"] + ["model.branch_lr=1e-9"] * issubclass(network_class(network).Settings, PretrainedSettings)
    again = trained(network, data, tmp_path / "b", f"model.init={first}", *still, classes=classes, only=(0,), said=said)
    one, two = ({k: v for k, v in weights(run).items() if not k.startswith("warp.")} for run in (first, again))
    for name in one:
        if "running" not in name and "num_batches" not in name:
            torch.testing.assert_close(one[name], two[name], rtol=0, atol=1e-5)
    line = next(text for text in said if text.startswith("initial weights"))
    assert f"{first} r00f00, {len(one)} of {len(one)} tensors" in line
    assert "new" not in line
    assert line in json.loads((again / "run.json").read_text())["notes"]


def test_the_classifier_is_new_where_the_classes_are_others(prepared, before, tmp_path):
    said = []
    run = trained(
        "plain-cnn",
        prepared,
        tmp_path / "run",
        f"model.init={before}",
        "lr=1e-9",
        classes=SIX[:2],
        said=said,
        only=(0,),
    )
    one, two = weights(before), weights(run)
    heads = [name for name in one if name.startswith("head")]
    assert heads and all(one[name].shape[0] == 6 and two[name].shape[0] == 2 for name in heads)
    same = [name for name in one if name not in heads and "running" not in name and "num_batches" not in name]
    assert all(torch.allclose(one[name], two[name], atol=1e-5) for name in same)
    assert any("new: the classifier head" in text and "as the classes are others" in text for text in said)


def test_classes_in_another_order_are_other_classes(before):
    arguments = load_model(before / "r00f00" / "model.safetensors").facts.model_settings
    network = build_model("plain-cnn", **arguments)
    initial = find_initial(str(before))
    assert initial.classes == SIX and initial.fold == (0, 0)
    assert "new: the classifier" in start_from(network, initial, SIX[::-1])
    assert "new" not in start_from(network, initial, SIX)


def test_layers_that_fit_are_taken_and_the_others_named(before):
    wide = build_model("plain-cnn", maps=["depth", "normal"], width=4)
    start = {name: tensor.clone() for name, tensor in wide.state_dict().items()}
    said = start_from(wide, find_initial(str(before)), SIX)
    known = weights(before)
    for name, tensor in wide.state_dict().items():
        fits = known[name].shape == tensor.shape
        assert torch.equal(tensor, known[name] if fits else start[name]), name
    new = [name for name, tensor in start.items() if tensor.shape != known[name].shape]
    assert new and all(name in said for name in new[:1])


def test_a_file_of_another_package_is_taken_in_order(tmp_path):
    """The convolutions and the first dense layers of VGG-11 in the names of torchvision, from colour to grey."""
    network = build_model("vgg-11", pixels=32, channels=1)
    shapes = [tensor.shape for tensor in network.state_dict().values() if tensor.ndim == 4]
    places = (0, 3, 6, 8, 11, 13, 16, 18)
    tensors = {}
    for number, (place, shape) in enumerate(zip(places, shapes, strict=True)):
        colour = (shape[0], 3, *shape[2:]) if number == 0 else shape
        tensors[f"features.{place}.weight"] = torch.full(colour, number + 1.0)
        tensors[f"features.{place}.bias"] = torch.full(shape[:1], number + 0.5)
    tensors["classifier.0.weight"] = torch.full((4096, 512), 9.0)
    tensors["classifier.0.bias"] = torch.full((4096,), 9.5)
    tensors["classifier.6.weight"] = torch.zeros(1000, 4096)
    torch.save(tensors, tmp_path / "vgg11.pt")
    said = start_from(network, find_initial(str(tmp_path / "vgg11.pt")), SIX)
    made = [module for module in network.modules() if isinstance(module, torch.nn.Conv2d)]
    assert [float(module.weight.flatten()[0].detach()) for module in made] == [3.0, *range(2, 9)]
    assert [float(module.bias[0].detach()) for module in made] == [number + 0.5 for number in range(8)]
    dense = [module for module in network.modules() if isinstance(module, torch.nn.Linear)]
    assert float(dense[0].weight[0, 0].detach()) == 9.0 and float(dense[0].bias[0].detach()) == 9.5
    assert "18 of 22 tensors" in said
    assert "the classifier network.head.1.weight, network.head.1.bias, as its classes are not known" in said


def test_weights_of_which_nothing_fits_are_refused(tmp_path):
    save_file({"a.weight": torch.zeros(3, 3)}, tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match=r"no layer of it fits the network; it holds a.weight \(3, 3\)"):
        start_from(build_model("tang", pixels=16), find_initial(str(tmp_path / "other.safetensors")), SIX)
    save_file({"a.weight": torch.full((3, 3), torch.nan)}, tmp_path / "bad.safetensors")
    with pytest.raises(CheckpointError, match="a.weight should be a plain array of finite numbers"):
        start_from(build_model("tang", pixels=16), find_initial(str(tmp_path / "bad.safetensors")), SIX)
    with pytest.raises(FileError, match="nothing.pt: is missing"):
        start_from(build_model("tang", pixels=16), find_initial(str(tmp_path / "nothing.pt")), SIX)


def test_a_run_without_a_finished_fold_is_refused(before, tmp_path):
    for name in ("run.json", "folds.json"):
        (tmp_path / name).write_bytes((before / name).read_bytes())
    with pytest.raises(FileError, match="holds no finished fold"):
        find_initial(str(tmp_path))


def test_the_fold_of_the_same_number_is_taken(before):
    assert find_initial(str(before), (0, 1)).source == str(before / "r00f01" / "model.safetensors")
    assert find_initial(str(before), (0, 7)).source == str(before / "r00f00" / "model.safetensors")
    assert find_initial(str(before / "r00f01" / "model.safetensors")).fold == (0, 1)
    assert find_initial("timm") == Initial("timm")


def test_a_person_whom_the_weights_know_is_not_tested(prepared, before, tmp_path):
    file = before / "r00f01" / "model.safetensors"
    message = r"r00f00: its initial weights, .* r00f01, were trained on 2 of the people it tests: .*init_distinct=true"
    with pytest.raises(ProtocolError, match=message):
        trained("plain-cnn", prepared, tmp_path / "run", f"model.init={file}", only=(0,))
    assert not (tmp_path / "run").exists()
    trained("plain-cnn", prepared, tmp_path / "run", f"model.init={file}", "model.init_distinct=true", only=(0,))


def test_a_simulated_and_a_real_person_of_one_name_are_two(prepared, before, tmp_path):
    other = tmp_path / "simulated"
    other.mkdir()
    for path in before.rglob("*"):
        if path.is_file():
            (other / path.relative_to(before)).parent.mkdir(exist_ok=True)
            (other / path.relative_to(before)).write_bytes(path.read_bytes())
    facts = json.loads((other / "run.json").read_text())
    facts["data"]["simulated"] = not facts["data"]["simulated"]
    (other / "run.json").write_text(json.dumps(facts))
    file = other / "r00f01" / "model.safetensors"
    trained("plain-cnn", prepared, tmp_path / "run", f"model.init={file}", only=(0,))
