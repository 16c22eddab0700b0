"""What `fer3d train` does with every setting, network by network: used, refused, or accepted and ignored.

Nothing is trained. A setting is used if the network is built with another argument that its `__init__` reads; if a
batch that training draws with it looks different to the network; or if a declared place of training reads it, which is
looked up in the source. `tests/train/test_settings.py` holds the table, `benchmarks/bm_settings.py` prints it.
"""

import ast
import functools
import inspect
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

import fer3d
from fer3d.config import TrainSettings
from fer3d.data.input_kinds import input_kind
from fer3d.data.samples import labelled_rows
from fer3d.errors import ConfigError
from fer3d.models import model_names, network_class
from fer3d.models.texture_network import TextureNetwork
from fer3d.train.settings import train_settings, used
from tests.prepared import SIX, write_prepared
from tests.prepared_trees import settings_for, write_prepared_trees

PACKAGE = Path(fer3d.__file__).parent

# Of every setting a valid value that is not its default; `value_of` has those that depend on the network.
VALUES = {
    "recipe": "siamese",
    "epochs": 3,
    "steps": 40,
    "batch": 5,
    "optimizer": "sgd",
    "lr": 1e-3,
    "weight_decay": 0.4,
    "decayed": "all",
    "momentum": 0.5,
    "nesterov": False,
    "schedule": "constant",
    "drop_steps": (3,),
    "drop_factor": 0.5,
    "clip": 0.01,
    "label_smoothing": 0.3,
    "mixup": 0.4,
    "class_weights": "balanced",
    "siamese": 0.5,
    "easy": ("kind=E",),
    "mirror": 1.0,
    "rotate_deg": 40.0,
    "tilt_deg": 30.0,
    "shift_mm": 20.0,
    "shift": 0.3,
    "scale": 0.5,
    "stretch": 0.5,
    "bend_mm": 15.0,
    "noise_mm": 3.0,
    "depth_jitter_mm": 40.0,
    "texture_jitter": 0.9,
    "perturb": True,
    "crop": 0.5,
    "test_crops": True,
    "test_perturbations": 3,
    "select": "best",
    "test_mirror": False,
    "seed": 1,
    "deterministic": False,
    "precision": "bf16-mixed",
    "tensorboard": True,
    "data_on": "host",
}
OWN_VALUES = {
    "maps": ("depth", "texture"),
    "illumination": "hist-eq",
    "warp": True,
    "backbone": "vgg-16",
    "width": 3,
    "fusion": 64,
    "dropout": 0.15,
    "location_dropout": 0.1,
    "mask": True,
    "position": False,
    "map_dropout": 0.6,
    "auxiliary": 0.7,
    "early_fusion": False,
    "bottleneck": 8,
    "gap": False,
    "curvature": "all",
    "init": "weights.safetensors",
    "freeze_epochs": 1,
    "frozen_lr": 5e-3,
    "branch_lr": 5e-4,
    "read_out": "svm",
    "svm_c": 0.3,
    "init_distinct": True,
    "scaling": "set",
    "pixels": 40,
    "channels": None,
    "penalty_weight": 0.7,
    "neighbours": 5,
    "form": "cosine",
    "turn_deg": 5.0,
    "gain": 0.5,
    "vertex_features": "xyz",
    "rotation": "max",
    "mes": False,
    "hvp": False,
    "tree": False,
    "depth": 2,
    "hidden": 64,
    "layers": 2,
}

# Setting that the batches of training show.
AUGMENTATION = (
    "mirror",
    "rotate_deg",
    "tilt_deg",
    "shift_mm",
    "shift",
    "scale",
    "stretch",
    "bend_mm",
    "noise_mm",
    "depth_jitter_mm",
    "texture_jitter",
    "perturb",
    "crop",
)

# Setting of training -> file and function that read it.
READERS = {
    "recipe": ("train/recipes.py", "recipe_facts"),
    "steps": ("train/schedule.py", "lasting"),
    "epochs": ("train/loop.py", "phases"),
    "batch": ("train/loop.py", "_local_batch"),
    "optimizer": ("train/loop.py", "_set_up"),
    "lr": ("train/loop.py", "phases"),
    "weight_decay": ("train/loop.py", "_parameter_groups"),
    "decayed": ("train/loop.py", "_parameter_groups"),
    "nesterov": ("train/loop.py", "_set_up"),
    "drop_steps": ("train/schedule.py", "schedule"),
    "drop_factor": ("train/schedule.py", "schedule"),
    "momentum": ("train/loop.py", "_set_up"),
    "schedule": ("train/schedule.py", "schedule"),
    "clip": ("train/loop.py", "fit"),
    "label_smoothing": ("train/loop.py", "_loss"),
    "mixup": ("train/loop.py", "_batches"),
    "class_weights": ("train/loop.py", "_loss"),
    "siamese": ("train/loop.py", "fit"),
    "easy": ("train/loop.py", "fit"),
    "select": ("train/loop.py", "fit"),
    "test_mirror": ("train/views.py", "of"),
    "test_crops": ("train/views.py", "of"),
    "test_perturbations": ("train/views.py", "of"),
    "seed": ("train/loop.py", "_batches"),
    "deterministic": ("train/run.py", "train"),
    "precision": ("train/run.py", "_fabric"),
    "tensorboard": ("train/run.py", "_epoch_log"),
    "data_on": ("train/run.py", "_on_device"),
}

# Setting of a network that is no argument of it -> file and function that read it.
OWN_READERS = {
    "illumination": ("data/input_kinds.py", "load"),
    "warp": ("train/run.py", "_wants_warp"),
    "init": ("train/run.py", "_network"),
    "init_distinct": ("train/run.py", "_initial_notes"),
    "scaling": ("data/input_kinds.py", "load"),
    "freeze_epochs": ("train/loop.py", "phases"),
    "frozen_lr": ("train/loop.py", "phases"),
    "branch_lr": ("train/loop.py", "phases"),
    "read_out": ("train/run.py", "_read_out"),
    "svm_c": ("train/run.py", "_read_out"),
}

_NAMES = ("settings", "chosen", "own")  # what settings are called where they are read
_SEEN = 2e-3  # of the deviation of what a network is fed, or answers: less is rounding


@dataclass(frozen=True)
class Outcome:
    """What happens to one setting of one network.

    Attributes:
        kind: "used", "refused" or "ignored".
        why: The message, or who uses it.
    """

    kind: str
    why: str


def own_names() -> tuple[str, ...]:
    """Settings that any network has, each once."""
    return tuple(dict.fromkeys(key for name in model_names() for key in network_class(name).Settings.model_fields))


def every_setting() -> tuple[str, ...]:
    """All settings of training, then all of any network as "model.NAME"."""
    return (*(key for key in TrainSettings.model_fields if key != "model"), *(f"model.{key}" for key in own_names()))


def value_of(network: str, setting: str):
    """A valid value of a setting that is not its default. KeyError if `VALUES` or `OWN_VALUES` lacks it."""
    if (network, setting) == ("plain-cnn", "model.curvature"):
        return "shape-index"
    if setting != "model.channels":
        key = setting.removeprefix("model.")
        return VALUES[key] if key == setting else OWN_VALUES[key]
    kind = network_class(network)
    return 1 if issubclass(kind, TextureNetwork) and kind.picture_network.CHANNELS == 3 else 3


def given(network: str, values: Mapping[str, object]) -> TrainSettings:
    """The settings that these values, by name, make."""
    own = {key.removeprefix("model."): value for key, value in values.items() if key.startswith("model.")}
    others = {key: value for key, value in values.items() if "." not in key}
    return train_settings(network, model=own, **{"recipe": "ours", **others})


class Effects:
    """What each setting does.

    Args:
        folder: For prepared scans, made when they are first needed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def outcome(self, network: str, setting: str, beside: Mapping[str, object] | None = None) -> Outcome:
        """Of a setting of one network, with others beside it, which are used."""
        before = {} if beside is None else dict(beside)
        base = given(network, before)
        try:
            changed = given(network, before | {setting: value_of(network, setting)})
        except ConfigError as error:
            return Outcome("refused", str(error))
        key = setting.removeprefix("model.")
        stored = used(changed)["model" if key != setting else key]
        if (key != setting and key not in stored) or (key == setting and stored == used(base).get(key)):
            return Outcome("ignored", "it is not stored with the run")
        if key != setting:
            return self._own(network, key, base, changed)
        if key in AUGMENTATION:
            return self._augmentation(network, base, changed)
        if key == "label_smoothing" and not uses_cross_entropy(network):
            return Outcome("ignored", "no loss of the network is cross entropy")
        return _read(key, READERS)

    def _own(self, network: str, key: str, base: TrainSettings, changed: TrainSettings) -> Outcome:
        kind = network_class(network)
        shape = self._data(network, base).shape
        one, two = (kind.arguments(settings.model, 6, shape) for settings in (base, changed))
        if one == two:
            return _read(key, OWN_READERS)
        if one.get(key) == two.get(key) or not reads_argument(kind, key):
            return Outcome("ignored", "`__init__` does not read it")
        return Outcome("used", f"argument of {kind.__name__}")

    def _augmentation(self, network: str, base: TrainSettings, changed: TrainSettings) -> Outcome:
        one, two = (self._seen(network, settings) for settings in (base, changed))
        if one.shape == two.shape and float((one - two).abs().max()) <= _SEEN * float(one.std()):
            return Outcome("ignored", "a batch looks the same to the network")
        return Outcome("used", "augmentation")

    def _seen(self, network: str, settings: TrainSettings) -> torch.Tensor:
        """What a network sees of a batch of training: its channels, or of trees its answer to them."""
        data = self._data(network, settings)
        rows = torch.arange(len(data.rows))
        drawn = data.draw(settings, len(rows), torch.Generator().manual_seed(0))
        batch = data.augment(data.take(rows, torch.device("cpu")), drawn)
        x = data.fit_normalisation(rows).apply(batch)
        kind = network_class(network)
        if kind.reads == "maps":
            return x[:, :-1] if issubclass(kind, TextureNetwork) else x
        torch.manual_seed(0)
        small = settings.model.model_copy(update={"width": 4})
        whole = kind(**kind.arguments(small, 6, data.shape)).train()
        for module in whole.modules():
            if isinstance(module, torch.nn.Dropout) or hasattr(module, "p"):
                module.eval()  # what differs is the batch alone
        with torch.no_grad():
            answer: torch.Tensor = whole(x)
        return answer

    def _data(self, network: str, settings: TrainSettings):
        layout = network_class(network).reads
        trees = {} if layout == "maps" else {"settings": settings_for(network)}
        folder = self.folder / (layout if not trees else f"{layout}-{len(trees['settings'].tree_levels)}")
        if not folder.is_dir():
            write = write_prepared if layout == "maps" else write_prepared_trees
            write(folder, ("F0001", "M0001"), SIX[:3], **trees)
        return input_kind(layout).load([(folder, labelled_rows(folder))], settings.model, SIX)


def uses_cross_entropy(network: str) -> bool:
    """Whether a network leaves any of its outputs to the loss of its target."""
    kind = network_class(network)
    return not issubclass(kind, TextureNetwork) or kind.picture_network.criterion is None


def reads_argument(kind: type, name: str) -> bool:
    """Whether the body of `__init__` reads an argument."""
    if issubclass(kind, TextureNetwork):
        kind, name = kind.picture_network, "size" if name == "pixels" else name
    tree = ast.parse(textwrap.dedent(inspect.getsource(kind.__init__)))
    names = (node for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load))
    return any(node.id == name for node in names)


def _read(key: str, readers: Mapping[str, tuple[str, str]]) -> Outcome:
    if key not in readers:
        return Outcome("ignored", "nobody is declared to read it")
    file, function = readers[key]
    if key not in read_names(file, function):
        return Outcome("ignored", f"{file} {function} does not read it")
    return Outcome("used", f"{file} {function}")


@functools.cache
def read_names(file: str, function: str) -> frozenset[str]:
    """Attributes of settings that a function reads, or any function or method of that name in the file."""
    tree = ast.parse((PACKAGE / file).read_text(encoding="utf-8"))
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name == function:
            parts = (part for part in ast.walk(node) if isinstance(part, ast.Attribute))
            found |= {part.attr for part in parts if _of_settings(part.value)}
    return frozenset(found)


def _of_settings(node: ast.expr) -> bool:
    """Whether an expression is settings: `settings`, `run.settings`, `settings.model`, `own`."""
    if isinstance(node, ast.Attribute):
        return node.attr == "settings" or (node.attr == "model" and _of_settings(node.value))
    return isinstance(node, ast.Name) and node.id in _NAMES
