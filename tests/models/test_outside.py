"""Networks from outside the package: "module:Class", and those that installed packages name."""

import json
import re
import subprocess
import sys
from importlib.metadata import EntryPoint

import pytest

from fer3d import models, synth
from fer3d.config import PreprocessSettings
from fer3d.data.samples import labelled_rows
from fer3d.errors import ArgumentError, CheckpointError, ConfigError
from fer3d.models import MODELS, build_model, model_names, network_class
from fer3d.prepare.folder import preprocess
from fer3d.train.checkpoint import load_model
from fer3d.train.plan import Experiment
from fer3d.train.run import Device, train
from fer3d.train.run_folder import read_predictions, read_run
from fer3d.train.settings import train_settings
from tests import commands

NETWORK = """
import torch
from pydantic import Field
from torch import nn

from fer3d.config import MapSettings
from fer3d.data.channels import channel_names
from fer3d.models.network import Losses, Network


class MyNet(Network):
    class Settings(MapSettings):
        width: int = Field(4, ge=1)
        shrink: float = Field(0.1, ge=0.0)

    def __init__(self, maps, classes, *, width=4, shrink=0.1):
        super().__init__()
        self.shrink = shrink
        self.body = nn.Sequential(nn.Conv2d(len(channel_names(maps)) + 1, width, 5), nn.ReLU(), nn.AdaptiveAvgPool2d(2))
        self.head = nn.Linear(4 * width, classes)

    def features(self, x):
        return self.body(x).flatten(1)

    def forward(self, x):
        return self.head(self.features(x))

    def losses(self, x, criterion):
        logits = self(x)
        return Losses(logits, {"classification": criterion(logits), "small": self.shrink * logits.square().mean()})
"""
QUICK = ("--folds", "2", "--fold", "0", "--set", "epochs=1", "--set", "batch=8", "--accelerator", "cpu")


def fer3d(*arguments, cwd):
    """A command as a user types it in that folder, which is not on the path of a script that a package installs."""
    code = "import sys; sys.path.remove(''); from fer3d.cli.app import main; main()"
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300)
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working folder, whose modules are forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", None) and str(tmp_path) in str(sys.modules[name].__file__):
            del sys.modules[name]


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    """Scans of two simulated people, and the folder in which they are prepared."""
    place = tmp_path_factory.mktemp("outside")
    synth.make(place / "scans", subjects=2, seed=5, levels=(4,), pitch=4.0)
    preprocess(place / "scans", place / "prepared", settings=PreprocessSettings(size=32, maps=("depth",)), workers=1)
    return place


def test_a_network_in_the_working_folder_trains_and_its_run_predicts(scans, tmp_path):
    (tmp_path / "my_module.py").write_text(NETWORK, encoding="utf-8")
    own = ("--maps", "depth", "--set", "model.width=3", "--set", "model.shrink=0.5")
    arguments = ("train", "my_module:MyNet", "--data", scans / "prepared", "-o", "run", *own, *QUICK)
    code, out, err = fer3d(*arguments, cwd=tmp_path)
    assert code == 0, err
    assert "accuracy" in out
    run = tmp_path / "run"
    facts = json.loads((run / "run.json").read_text())
    assert facts["model"] == "my_module:MyNet"
    assert facts["model_settings"] == {"maps": ["depth"], "classes": 6, "width": 3, "shrink": 0.5}
    given = {"maps": ["depth"], "illumination": "raw", "warp": None, "width": 3, "shrink": 0.5}
    assert facts["settings"]["model"] == {"init": None, **given}
    line = read_predictions(read_run(run))
    source = next(row["source"] for row in labelled_rows(scans / "prepared") if row["id"] == line.ids[0])
    code, out, err = fer3d("predict", "run", scans / "scans" / source, "--landmarks", "--json", cwd=tmp_path)
    assert code == 0, err
    (made,) = json.loads(out)
    assert list(made["probabilities"].values()) == pytest.approx(line.probabilities[0].tolist(), abs=1e-4)
    message = "model.safetensors: `model` my_module:MyNet: there is no module my_module, here or installed"
    with pytest.raises(CheckpointError, match=message):  # the run holds no code, and this process stands elsewhere
        load_model(run / "r00f00" / "model.safetensors")


NO_LOSSESS = "bad.py:11: TypeError: MyNet: `lossess` is no hook of a Network; did you mean `losses`? If it is"


def test_a_misspelt_hook_is_one_line_of_the_command(tmp_path):
    (tmp_path / "bad.py").write_text(NETWORK.replace("def losses(", "def lossess("), encoding="utf-8")
    code, _, err = fer3d("train", "bad:MyNet", "--data", "nowhere", cwd=tmp_path)
    assert (code, err.count("\n")) == (1, 1), err
    assert f"fer3d: `model` bad:MyNet: bad cannot be imported, {NO_LOSSESS}" in err


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("def losses(", "def lossess(", NO_LOSSESS),
        ("(Network)", "(Netwrok)", "bad.py:11: NameError: name 'Netwrok' is not defined"),
        ("def forward(self, x):", "def forward(self, x:", "bad.py:25: SyntaxError: '(' was never closed"),
        ("import torch\n", "import torhc\n", "bad.py:2: ModuleNotFoundError: No module named 'torhc'"),
        ("width: int =", "width: nobody.Int =", "bad.py:11: NameError: name 'nobody' is not defined"),
        (
            "shrink: float",
            "shrinks: float",
            "bad.py:11: TypeError: MyNet: the setting `shrinks` is no argument of",
        ),
    ],
)
def test_a_module_that_is_wrong_is_one_line_that_names_its_line(here, old, new, message):
    assert old in NETWORK
    (here / "bad.py").write_text(NETWORK.replace(old, new), encoding="utf-8")
    with pytest.raises(
        ArgumentError, match=re.escape(f"`model` bad:MyNet: bad cannot be imported, {message}")
    ) as caught:
        network_class("bad:MyNet")
    assert "\n" not in str(caught.value)


def test_a_module_that_is_wrong_further_down_is_named(here):
    (here / "outer.py").write_text("import inner\n", encoding="utf-8")
    (here / "inner.py").write_text("\n\nraise RuntimeError('first\\nsecond')\n", encoding="utf-8")
    with pytest.raises(
        ArgumentError, match="^`model` outer:X: outer cannot be imported, inner.py:3: RuntimeError: first$"
    ):
        network_class("outer:X")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no_such_module:MyNet", "`model` no_such_module:MyNet: there is no module no_such_module, here or installed"),
        ("json.nothing:MyNet", "`model` json.nothing:MyNet: there is no module json.nothing, here or installed"),
        ("mine:Other", "`model` mine:Other: the module mine has no class Other"),
        ("mine:torch", "`model` mine:torch: torch should be a subclass of fer3d.models.network.Network"),
        (
            "collections:Counter",
            "`model` collections:Counter: Counter should be a subclass of fer3d.models.network.N",
        ),
        ("mine:", "`model` should be a name or module:Class, is 'mine:'"),
        (":MyNet", "`model` should be a name or module:Class, is ':MyNet'"),
        ("mine.py:MyNet:x", "`model` should be a name or module:Class, is 'mine.py:MyNet:x'"),
        ("../mine:MyNet", "`model` should be a name or module:Class, is '../mine:MyNet'"),
        ("minee", "`model` should be one of oriented-fusion, "),
    ],
)
def test_what_is_no_network_is_one_line(here, capsys, name, message):
    (here / "mine.py").write_text(NETWORK, encoding="utf-8")
    with pytest.raises(ArgumentError, match=re.escape(message)) as caught:
        network_class(name)
    assert "\n" not in str(caught.value)
    code, _, err = commands.fer3d(capsys, "train", name, "--data", "nowhere")
    assert (code, err.count("\n")) == (1, 1)
    assert message in err


def test_installed_packages_bring_networks_by_name(here, scans, monkeypatch):
    (here / "installed.py").write_text(NETWORK, encoding="utf-8")

    def entry_points(group):
        assert group == "fer3d.models"
        return (
            EntryPoint("my-net", "installed:MyNet", group),
            EntryPoint("gone", "no_such_module:MyNet", group),
            EntryPoint("my-net", "installed:MyNet", group),  # the same one again: installed, and in editable form
        )

    monkeypatch.setattr(models, "entry_points", entry_points)
    models._installed.cache_clear()
    try:
        assert model_names()[-2:] == ("my-net", "gone")
        assert "my-net" in MODELS and len(MODELS) == len(set(MODELS)) == len(model_names())
        kind = network_class("my-net")
        assert kind is MODELS["my-net"] and kind.__module__ == "installed"
        assert build_model("my-net", maps=["depth"], classes=3).head.out_features == 3
        with pytest.raises(ArgumentError, match="is 'my-nte'; did you mean 'my-net'"):
            network_class("my-nte")
        with pytest.raises(ArgumentError, match="`model` gone: there is no module no_such_module, here or installed"):
            network_class("gone")
        with pytest.raises(ConfigError, match="unknown key `model.layers` of my-net; it takes .*, model.shrink"):
            train_settings("my-net", "small", None, ["model.layers=3"])
        settings = train_settings("my-net", "tiny", None, ["epochs=1", "model.maps=depth"])
        assert settings.model.width == 8  # of the preset: it has a width
        experiment = Experiment(scans / "prepared", folds=2, only=(0,))
        run = train("my-net", experiment, here / "run", settings, device=Device("cpu"))
        assert load_model(run / "r00f00" / "model.safetensors").model_name == "my-net"
    finally:
        models._installed.cache_clear()
    monkeypatch.undo()
    with pytest.raises(
        CheckpointError, match="model.safetensors: `model` should be one of oriented-fusion, .*, is 'my-net'"
    ):
        load_model(run / "r00f00" / "model.safetensors")


@pytest.mark.parametrize(
    "name, owner", [("oriented-fusion", "fer3d"), ("tang", "fer3d"), ("my-net", "installed:MyNet")]
)
def test_a_name_that_is_taken_is_an_error(name, owner, monkeypatch):
    points = (EntryPoint("my-net", "installed:MyNet", "fer3d.models"), EntryPoint(name, "other:Net", "fer3d.models"))
    monkeypatch.setattr(models, "entry_points", lambda group: points)
    models._installed.cache_clear()
    try:
        message = f"entry point {name} = other:Net of fer3d.models: its name is that of a network of {owner}; uninstall"
        with pytest.raises(ConfigError, match=message):
            model_names()
    finally:
        models._installed.cache_clear()
