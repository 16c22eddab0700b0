"""Networks, one paper a file. Every one takes (B, C + 1, H, W), normalised maps with the mask last, or, if it convolves
on the surface, a normalised `TreeBatch`; and gives logits.

In training a network gives (A, B, K): its own logits first, then those of auxiliary classifiers, if it has any. Where
its own logits are the mean of several experts' (`experts` says of how many, 1 if it is not there), those of the
experts, each with a loss of its own, stand in their place. `features` gives what its `head` reads. A network may bring
an objective of its own:

- `criterion`, (B, K) logits and (B,) labels -> (B,): the loss that takes the place of cross entropy;
- `penalty`, what it saw and (B,) labels -> (): a term beside the loss. In training it then gives its logits and what
  the penalty reads, as a pair.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from torch import nn

from fer3d.checks import check_choice
from fer3d.config import TrainSettings
from fer3d.errors import ArgumentError
from fer3d.image.networks import NETWORKS
from fer3d.models.backbones import PLACED
from fer3d.models.df_cnn import DFCNN
from fer3d.models.dff_cnn import DFFCNN
from fer3d.models.flm_cnn import FLMCNN, GCNN
from fer3d.models.plain_cnn import PlainCNN
from fer3d.models.texture_network import TextureNetwork, check_texture_alone, texture_arguments

MODELS: Mapping[str, Callable[..., nn.Module]] = {
    "dff-cnn": DFFCNN,
    "df-cnn": DFCNN,
    "plain-cnn": PlainCNN,
    "flm-cnn": FLMCNN,
    "gcnn": GCNN,
    **{name: partial(TextureNetwork, name) for name in NETWORKS},
}


def build_model(name: str, **settings: Any) -> nn.Module:
    """A network with random weights.

    Args:
        name: One of `MODELS`.
        settings: Arguments of the network.

    Raises:
        ArgumentError: if there is no such model (names the nearest), or it does not take an argument.
    """
    wanted = _arguments(name)
    for key in settings:
        if key not in wanted:
            raise ArgumentError(f"`{key}` is no argument of {name}, which takes {', '.join(wanted)}")
    return MODELS[name](**settings)


def reads_trees(name: str) -> bool:
    """Whether a model is fed sample trees; else it is fed maps. ArgumentError if there is no such model."""
    _arguments(name)
    return getattr(MODELS[name], "reads", "maps") == "tree"


def registers(name: str) -> bool:
    """Whether a model wants its maps registered, unless told otherwise. ArgumentError if there is no such model."""
    _arguments(name)
    return bool(getattr(MODELS[name], "registers", False))


def uses_tree(name: str, settings: TrainSettings) -> bool:
    """Whether a model is fed all levels of sample trees; else all its convolutions are on the vertices of one."""
    return name != "gcnn" and settings.tree


def model_arguments(name: str, settings: TrainSettings, classes: int, shape: Mapping[str, Any]) -> dict[str, Any]:
    """What `build_model` needs to build the network that `settings` describe, as JSON can hold it.

    Args:
        name: One of `MODELS`.
        settings: Of the training.
        classes: K.
        shape: What depends on the scans, see `TrainingData.shape`.

    Raises:
        ArgumentError: if there is no such model, or it does not take these maps.
    """
    wanted = _arguments(name)
    if name in NETWORKS:
        check_texture_alone(name, settings.maps)
    offered = {
        "maps": list(settings.maps),
        "classes": classes,
        "backbone": settings.backbone,
        "width": settings.width,
        "depth": settings.depth,
        "dropout": settings.dropout,
        "place_dropout": settings.place_dropout,
        "mask": settings.mask,
        "position": settings.position,
        "map_dropout": settings.map_dropout,
        "auxiliary": settings.auxiliary > 0,
        "early_fusion": _has_early_fusion(settings),
        "pixels": settings.pixels,
        "own_loss": settings.own_loss,
        "svm_c": settings.svm_c,
        "inputs": settings.inputs,
        "mes": settings.mes,
        "rotation": settings.rotation,
        "hvp": settings.hvp,
        "tree": uses_tree(name, settings),
        **shape,
    }
    return {key: value for key, value in offered.items() if key in wanted and value is not None}


def _has_early_fusion(settings: TrainSettings) -> bool:
    """As asked for; else beside branches that learn no small shapes themselves."""
    return settings.backbone in PLACED if settings.early_fusion is None else settings.early_fusion


def _arguments(name: str) -> tuple[str, ...]:
    check_choice("model", name, MODELS)
    return texture_arguments(name) if name in NETWORKS else tuple(inspect.signature(MODELS[name]).parameters)
