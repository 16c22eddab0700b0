"""`Network`: the base class of all networks, also from outside the package; a class is checked when it is defined.

A network names the layout of its input, defines its settings, and returns logits. Everything else has a default:

    class Tiny(Network):
        reads = "maps"

        class Settings(MapSettings):
            width: int = 8

        def __init__(self, maps, classes, *, width=8):
            super().__init__()
            self.body = nn.Conv2d(len(channel_names(maps)) + 1, width, 3)
            self.head = nn.Linear(width, classes)

        def features(self, x):
            return self.body(x).mean((2, 3))

        def forward(self, x):
            return self.head(self.features(x))
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any, ClassVar, Protocol

import torch
from pydantic import Field
from torch import nn

from fer3d.checks import nearest
from fer3d.config import MapSettings, NetworkSettings
from fer3d.data.input_kinds import LAYOUTS
from fer3d.errors import ArgumentError
from fer3d.maps.registry import reads_picture

# Names that a subclass may define; the names of its other public methods must not resemble these.
HOOKS = (
    "reads",
    "warps",
    "Settings",
    "forward",
    "features",
    "losses",
    "classifier",
    "pretrained",
    "variants",
    "arguments",
    "taken",
    "published_pixels",
    "learned",
    "svm_input",
    "set_svm",
)
# Names of hooks until 0.1, which would now be ignored -> the current hook.
_FORMER = {
    "penalty": "losses",
    "criterion": "losses",
    "experts": "losses",
    "registers": "warps",
    "observe": "losses",
}


class PretrainedSettings(NetworkSettings):
    """Settings of a network whose branches can start from pretrained weights: they are fine-tuned in one or two stages.

    In the first stage, if any, the branches are frozen. In the second, they are trained at a rate of their own.
    """

    init: str | None = Field(
        None,
        description="Initial weights: a run, a model.safetensors, or image weights for the branches: a file, "
        "torchvision or timm. The layers that fit are taken.",
    )
    freeze_epochs: int = Field(
        0, ge=0, description="With init: number of epochs at the start in which the branches are frozen."
    )
    frozen_lr: float = Field(
        1e-3, gt=0.0, le=10.0, description="Highest learning rate of the other layers while the branches are frozen."
    )
    branch_lr: float = Field(
        1e-4,
        gt=0.0,
        le=10.0,
        description="With init: highest learning rate of the branches when they are trained; `lr` is that of the other "
        "layers.",
    )

    def unused_own(self) -> dict[str, str]:
        """See `NetworkSettings.unused_own`."""
        own = dict(super().unused_own())
        if self.init is None:
            own["freeze_epochs"] = "would freeze random weights: give initial weights with `init`"
            own["branch_lr"] = "is of branches with initial weights, `init` is not set"
        if not self.freeze_epochs:
            own["frozen_lr"] = "is of frozen branches, `freeze_epochs` is 0"
        return own


class Criterion(Protocol):
    """The supervised loss of a batch, which training passes to `Network.losses`."""

    def __call__(
        self, outputs: torch.Tensor, each: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] | None = None
    ) -> torch.Tensor:
        """The loss () of outputs (B, K) against the targets of the batch.

        Args:
            outputs: Outputs for the scans of the batch; those for their partners, if any, follow and are ignored.
            each: A loss of each scan, (B, K) outputs and (B,) labels -> (B,), to use instead of the target's own loss.
        """

    def of_labels(self, term: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        """The value () of a term of the labels of all scans that the network sees; with mixup, a mean of two values."""


@dataclass(frozen=True)
class Losses:
    """The outputs and the losses of a forward pass on a training batch.

    Attributes:
        outputs: (B, K), the network's outputs.
        terms: Name -> (): weighted terms, whose sum is the loss; the first is the loss of the network's outputs.
    """

    outputs: torch.Tensor
    terms: Mapping[str, torch.Tensor]


class Network(nn.Module):
    """The base class of networks.

    Attributes:
        reads: Layout of its input: "maps", (B, C + 1, H, W), normalised channels with the mask last; or "trees", a
            normalised `fer3d.data.tree_batch.TreeBatch`.
        warps: Whether its maps are warped by default (`fer3d.data.warp`).
        Settings: Class of its settings. Each field is an argument of `__init__` or belongs to a base class of settings.
    """

    reads: ClassVar[str] = "maps"
    warps: ClassVar[bool] = False
    Settings: ClassVar[type[NetworkSettings]] = NetworkSettings

    def __init_subclass__(cls, abstract: bool = False, **more: Any) -> None:
        """Check the contract. `abstract` marks a base class for several networks.

        Raises:
            TypeError: if a hook is misspelt, belongs to an earlier version, or has the wrong type.
        """
        super().__init_subclass__(**more)
        for name in vars(cls):
            _check_name(cls, name)
        if abstract:
            return
        if cls.reads not in LAYOUTS:
            raise TypeError(f"{cls.__name__}: `reads` should be one of {', '.join(LAYOUTS)}, is {cls.reads!r}")
        if not (inspect.isclass(cls.Settings) and issubclass(cls.Settings, LAYOUTS[cls.reads])):
            wanted = LAYOUTS[cls.reads].__name__
            raise TypeError(f"{cls.__name__}: `Settings` should be a subclass of {wanted}, is {cls.Settings!r}")
        if cls.forward is Network.forward:
            raise TypeError(f"{cls.__name__}: `forward` is missing: a batch -> (B, K) logits")
        _check_settings(cls)

    @classmethod
    def arguments(
        cls, settings: NetworkSettings, classes: int, shape: Mapping[str, Any], target: str = "classes"
    ) -> dict[str, Any]:
        """The arguments for `__init__`, as values that JSON can hold; a checkpoint stores them.

        Args:
            settings: An instance of its `Settings`.
            classes: K.
            shape: Arguments that depend on the scans, see `fer3d.data.samples.TrainingData.shape`.
            target: Kind of the target; most networks do not use it.
        """
        taken = cls.taken()
        offered = {
            **settings.model_dump(mode="json"),
            **settings.derived(),
            "classes": classes,
            "target": target,
            **shape,
        }
        return {name: value for name, value in offered.items() if name in taken and value is not None}

    @classmethod
    def published_pixels(cls, settings: NetworkSettings) -> int | None:
        """Rows and columns of the input for which its layers were published; None: none, or any size suits it."""
        return None

    @classmethod
    def taken(cls) -> tuple[str, ...]:
        """Names of the arguments of `__init__`."""
        return tuple(name for name in inspect.signature(cls.__init__).parameters if name != "self")

    @property
    def classifier(self) -> nn.Module:
        """The layers that map features (B, D) to logits (B, K): `head`, unless a subclass overrides this."""
        head = getattr(self, "head", None)
        if not isinstance(head, nn.Module):
            name = type(self).__name__
            raise ArgumentError(f"`model` {name} should have a layer `head`, or say which is its `classifier`")
        return head

    def forward(self, x: Any) -> torch.Tensor:
        """A batch -> (B, K) logits, in training and in evaluation."""
        raise TypeError(f"{type(self).__name__} is not a whole network: it has no `forward`")

    def features(self, x: Any) -> torch.Tensor:
        """A batch -> (B, D): the input of `classifier`."""
        raise TypeError(f"{type(self).__name__} has no `features`")

    def losses(self, x: Any, criterion: Criterion) -> Losses:
        """The terms of the loss on a training batch, by name.

        A network with auxiliary classifiers, several outputs or its own objective adds terms here.
        """
        logits = self(x)
        return Losses(logits, {"classification": criterion(logits)})

    def learned(self) -> Mapping[str, float]:
        """Numbers that training has learned and a reader of the results should see, by name; none by default."""
        return {}

    def svm_input(self, x: Any) -> torch.Tensor:
        """A batch -> (B, D): what an SVM in the place of the softmax classifies; the features, unless overridden."""
        return self.features(x)

    def set_svm(self, weight: torch.Tensor, offset: torch.Tensor) -> None:
        """Put an SVM with the margins `svm_input @ weight.T + offset`, (K, D) and (K,), in the place of the softmax.

        Here it takes the place of the last linear layer of the classifier.

        Raises:
            ArgumentError: if the classifier has no linear layer of that shape.
        """
        layers = [module for module in self.classifier.modules() if isinstance(module, nn.Linear)]
        if not layers or layers[-1].bias is None or layers[-1].weight.shape != weight.shape:
            raise ArgumentError(
                f"`model` {type(self).__name__} should end with a linear layer {tuple(weight.shape)} with a bias for "
                "an SVM to take its place"
            )
        with torch.no_grad():
            layers[-1].weight.copy_(weight)
            layers[-1].bias.copy_(offset)

    def pretrained(self) -> Mapping[str, nn.Module]:
        """The parts that can be initialised with image weights and frozen at the start; none by default."""
        return {}

    @classmethod
    def variants(cls, settings: NetworkSettings) -> Mapping[tuple[str, ...], NetworkSettings]:
        """The variants that an ablation compares: names of the kept parts -> settings of the network with these only.

        Raises:
            ArgumentError: if the network has no parts that can be omitted.
        """
        raise ArgumentError(f"`model` should be a network with parts that can be left out, is {cls.__name__}")


def map_variants(settings: NetworkSettings) -> dict[tuple[str, ...], NetworkSettings]:
    """The settings with each nonempty subset of their maps: small subsets first, each in the order of `maps`."""
    assert isinstance(settings, MapSettings)
    sizes = range(1, len(settings.maps) + 1)
    chosen = [maps for size in sizes for maps in combinations(settings.maps, size)]
    dark = {"illumination": "raw"}  # without texture there is no illumination to normalise
    return {maps: settings.model_copy(update={"maps": maps} | ({} if reads_picture(maps) else dark)) for maps in chosen}


def _check_name(cls: type[Network], name: str) -> None:
    """Raise TypeError if a name of a class body resembles a hook but is not one, as it would be ignored."""
    if name.startswith("_") or name in HOOKS or hasattr(Network, name):
        return
    if name in _FORMER:
        raise TypeError(f"{cls.__name__}: `{name}` is no hook of a Network any more; see `{_FORMER[name]}`")
    near = nearest(name, HOOKS, 0.8)
    if near is not None:
        raise TypeError(
            f"{cls.__name__}: `{name}` is no hook of a Network; did you mean `{near}`? If it is a method of your own, "
            "give it another name"
        )


def _check_settings(cls: type[Network]) -> None:
    """Raise TypeError if a setting of the network is not an argument of its `__init__`, as it would be ignored."""
    shared = set(PretrainedSettings.model_fields).union(*(base.model_fields for base in LAYOUTS.values()))
    taken = cls.taken()
    for name in cls.Settings.model_fields:
        if name not in taken and name not in shared and name not in cls.Settings.of_training:
            raise TypeError(
                f"{cls.__name__}: the setting `{name}` is no argument of `__init__`, which takes {', '.join(taken)}"
            )
    if "classes" not in taken:
        raise TypeError(f"{cls.__name__}: `__init__` should take `classes`, the number of logits")
