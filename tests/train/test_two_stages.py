"""Training from initial weights: first the new layers alone, then all, the branches at a rate of their own."""

import pytest
import torch

from fer3d.errors import ConfigError
from fer3d.models import build_model
from fer3d.models.backbones import build_branch
from fer3d.train import loop
from fer3d.train.checkpoint import load_model
from fer3d.train.plan import Experiment
from fer3d.train.run import Callbacks, Device, train
from fer3d.train.run_folder import read_log
from fer3d.train.settings import train_settings
from tests.prepared import write_prepared

CPU = Device("cpu")
QUICK = ("batch=8", "schedule=constant", "lr=1e-3", "model.width=4", "model.maps=normal,texture")
EXPERIMENT = {"folds": 3, "only": (0,)}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return write_prepared(tmp_path_factory.mktemp("tuning") / "prepared", intensities=(3,))


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Weights of a branch for colours, as if pretrained."""
    torch.manual_seed(5)
    branch = build_branch("small-vgg-m", 3, 4)
    path = tmp_path_factory.mktemp("weights") / "pretrained.pt"
    torch.save(branch.state_dict(), path)
    return path


def branches_of(network):
    return {name: tensor.clone() for name, tensor in network.state_dict().items() if name.startswith("branches.")}


def test_two_stages_with_two_rates(prepared, weights, tmp_path, monkeypatch):
    seen, real = [], loop._set_up

    def spy(fabric, network, settings, phase):
        before = branches_of(network)
        model, optimizer = real(fabric, network, settings, phase)
        tuned = {id(p) for p in network.branches.parameters()}
        rates = {}
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                rates.setdefault("branch" if id(parameter) in tuned else "new", set()).add(group["lr"])
        seen.append((phase.frozen, rates, before))
        return model, optimizer

    monkeypatch.setattr(loop, "_set_up", spy)
    chosen = (*QUICK, "epochs=2", "model.freeze_epochs=1", "model.frozen_lr=3e-3")
    settings = train_settings("df-cnn", "small", None, chosen, model={"init": str(weights)})
    out = train("df-cnn", Experiment(prepared, **EXPERIMENT), tmp_path / "run", settings, device=CPU)
    assert [(frozen, rates) for frozen, rates, _ in seen] == [
        (True, {"new": {3e-3}}),
        (False, {"new": {1e-3}, "branch": {1e-4}}),
    ]
    first, second = (before for _, _, before in seen)
    pretrained = torch.load(weights, weights_only=True)
    assert torch.equal(first["branches.texture.layers.0.weight"], pretrained["layers.0.weight"])
    grey = pretrained["layers.0.weight"].sum(dim=1, keepdim=True)
    torch.testing.assert_close(first["branches.normal_y.layers.0.weight"], grey)
    assert all(torch.equal(first[name], second[name]) for name in first)  # running means too
    last = load_model(out / "r00f00" / "model.safetensors").network.state_dict()
    moved = [name for name in second if name.endswith("weight")]
    assert moved and not any(torch.equal(last[name], second[name]) for name in moved)
    assert [row["lr"] for row in read_log(out / "r00f00")] == [3e-3, 1e-3]  # of the new layers


def test_branches_have_their_rate_without_a_first_stage_too(prepared, weights, tmp_path):
    settings = train_settings("df-cnn", "small", None, ("epochs=3", "lr=5e-3"), model={"init": str(weights)})
    (phase,) = loop.phases(settings)
    assert (phase.start, phase.end, phase.lr, phase.frozen, phase.branch_lr) == (0, 3, 5e-3, False, 1e-4)
    (phase,) = loop.phases(train_settings("df-cnn", "small", None, ("lr=5e-3",)))
    assert (phase.lr, phase.branch_lr) == (5e-3, None)
    network = build_model("dff-cnn", size=16, width=4)
    tuned = loop.TrainingPhase(0, 1, 0.1, frozen=False, branch_lr=0.01)
    groups = loop._parameter_groups(network, settings, tuned)
    assert [(group["lr"], group["weight_decay"]) for group in groups] == [
        (0.1, settings.weight_decay),
        (0.1, 0.0),
        (0.01, settings.weight_decay),
        (0.01, 0.0),
    ]
    held = [parameter for group in groups for parameter in group["params"]]
    assert len(held) == len(set(held)) == len(list(network.parameters()))
    assert set(groups[2]["params"]) | set(groups[3]["params"]) == set(network.branches.parameters())
    assert all(parameter.ndim > 1 for group in groups[::2] for parameter in group["params"])


@pytest.mark.parametrize("decayed", ["all", "last"])
def test_what_decays_is_chosen_in_each_group_of_a_rate(weights, decayed):
    chosen = ("epochs=3", f"decayed={decayed}", "weight_decay=0.2")
    settings = train_settings("dff-cnn", "small", None, chosen, model={"init": str(weights)})
    network = build_model("dff-cnn", size=16, width=4)
    (phase,) = loop.phases(settings)
    groups = loop._parameter_groups(network, settings, phase)
    assert [(group["lr"], group["weight_decay"]) for group in groups] == [
        (rate, decay) for rate in (settings.lr, 1e-4) for decay in (0.2, 0.0)
    ]
    branches = set(network.branches.parameters())
    others = set(network.parameters()) - branches
    last = {network.head[1].weight}
    wanted = (others, set(), branches, set()) if decayed == "all" else (last, others - last, set(), branches)
    assert tuple(set(group["params"]) for group in groups) == wanted


def test_a_run_that_stopped_in_the_second_stage_ends_with_the_same_bits(prepared, weights, tmp_path):
    chosen = (*QUICK, "epochs=4", "model.freeze_epochs=1", "schedule=cosine")
    settings = train_settings("df-cnn", "small", None, chosen, model={"init": str(weights)})

    def stop(fold, epochs, row):
        if row["epoch"] == 3:
            raise KeyboardInterrupt

    def run(name, **options):
        return train("df-cnn", Experiment(prepared, **EXPERIMENT), tmp_path / name, settings, device=CPU, **options)

    whole = run("whole")
    with pytest.raises(KeyboardInterrupt):
        run("stopped", callbacks=Callbacks(on_epoch_end=stop))
    stopped = run("stopped", resume=True)
    one, two = ((folder / "r00f00" / "model.safetensors").read_bytes() for folder in (whole, stopped))
    assert one == two


@pytest.mark.parametrize("network", ["oriented-fusion", "dff-cnn", "df-cnn"])
def test_random_weights_are_not_frozen(network):
    with pytest.raises(ConfigError, match="`freeze_epochs` would freeze random weights: give initial weights with"):
        train_settings(network, "full", None, ["model.freeze_epochs=5"])
