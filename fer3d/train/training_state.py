"""The training state of a fold, `last.ckpt`: what a killed run needs to resume, and the checks of a file of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import nn
from typing_extensions import TypedDict

from fer3d.data.samples import name_some
from fer3d.errors import CheckpointError
from fer3d.files import brief, brief_line, checked
from fer3d.train.checkpoint import load_state, load_weights
from fer3d.train.model_file import check_weights

Row = dict[str, Any]

_ANEW = "remove the file to train the fold anew"
_LONGEST = 200  # characters of a value in a message
_HIGHEST_RATE = 1e6  # no schedule reaches it
_MOST_STEPS = 1e12
_CHANGING = ("params", "lr", "initial_lr")  # keys of a parameter group that change during training


@dataclass
class State:
    """The training state of a fold: everything that a killed run needs to resume.

    Attributes:
        epoch: Number of complete epochs.
        log: One row per epoch.
        network, optimizer: State dicts.
        best: {"epoch", "loss", "network"} of the lowest validation loss, if there are validation scans.
        identity: Settings, fold and versions, which must be equal for the run to resume.
    """

    identity: Mapping[str, Any]
    epoch: int = 0
    log: list[Row] = field(default_factory=list)
    network: dict[str, Any] = field(default_factory=dict)
    optimizer: dict[str, Any] = field(default_factory=dict)
    best: dict[str, Any] = field(default_factory=dict)


class BestFacts(TypedDict):
    """The weights at the lowest validation loss."""

    epoch: int
    loss: float
    network: dict[str, Any]


class LogRow(TypedDict):
    """One row of the log of a fold."""

    epoch: Annotated[int, Field(gt=0)]
    train_loss: float
    train_accuracy: float
    lr: float
    validation_loss: float | None
    validation_accuracy: float | None
    seconds: float


class StateFacts(TypedDict):
    """The types of `State`, as a file must hold them."""

    identity: dict[str, Any]
    epoch: Annotated[int, Field(ge=0)]
    log: list[LogRow]
    network: dict[str, Any]
    optimizer: dict[str, Any]
    best: BestFacts | Annotated[dict[str, Any], Field(max_length=0)]


def restore(path: Path, identity: Mapping[str, Any], network: nn.Module) -> State:
    """Read the state in `path` and load its weights into `network`; a new state if there is no such file."""
    if not path.is_file():
        return State(identity)
    content = load_state(path)
    if set(content) != set(vars(State(identity))):
        raise CheckpointError(
            f"{path}: wanted the state of a training, it holds {name_some(sorted(map(str, content)))}"
        )
    if not isinstance(content["identity"], dict):
        raise CheckpointError(f"{path}: `identity` should be a table; {_ANEW}")
    for key, value in identity.items():
        if content["identity"].get(key) != value:
            came = brief(content["identity"].get(key), _LONGEST)
            raise CheckpointError(f"{path}: `{key}` should be {brief(value, _LONGEST)} to go on, is {came}; {_ANEW}")
    _check_state(content, path)
    load_weights(network, content["network"], path)
    if content["best"]:
        check_weights(network, content["best"]["network"], path)
    return State(**content)


def _check_state(content: Mapping[str, Any], path: Path) -> None:
    """Raise CheckpointError unless a state that was read has the form in which `_remember` leaves it."""
    checked(content, StateFacts, str(path), _ANEW, CheckpointError)
    if len(content["log"]) != content["epoch"]:
        raise CheckpointError(f"{path}: `log` should have a row for each of {content['epoch']} epochs; {_ANEW}")
    for part in (content["network"], content["best"].get("network", {})):
        if not all(isinstance(name, str) and isinstance(tensor, torch.Tensor) for name, tensor in part.items()):
            raise CheckpointError(f"{path}: `network` should hold tensors by name; {_ANEW}")


def restore_optimizer(optimizer: torch.optim.Optimizer, state: Mapping[str, Any], path: Path) -> None:
    """Load the state of an optimiser. CheckpointError unless it is that of an optimiser with the same settings."""
    groups = [set(group) | {"initial_lr"} for group in optimizer.param_groups]
    settings = _fixed(optimizer)
    try:
        optimizer.load_state_dict(dict(state))
        same = groups == [set(group) | {"initial_lr"} for group in optimizer.param_groups]
        same = same and settings == _fixed(optimizer)
        same = same and all(
            0 <= group.get(key, 0) <= _HIGHEST_RATE for group in optimizer.param_groups for key in ("lr", "initial_lr")
        )
        same = same and all(_fits(optimizer, parameter, values) for parameter, values in optimizer.state.items())
    except Exception as error:  # wrong types and sizes make torch raise nearly everything
        raise CheckpointError(f"{path}: `optimizer` is damaged ({brief_line(str(error))}); {_ANEW}") from None
    if not same:
        raise CheckpointError(f"{path}: `optimizer` is that of other settings or weights; {_ANEW}")


def _fixed(optimizer: torch.optim.Optimizer) -> list[dict[str, Any]]:
    """The settings of each group of parameters that do not change during training."""
    return [{key: group[key] for key in group if key not in _CHANGING} for group in optimizer.param_groups]


def _fits(optimizer: torch.optim.Optimizer, parameter: torch.Tensor, values: Mapping[str, Any]) -> bool:
    """Whether the state of one parameter is one that the optimiser could have left."""
    adam = isinstance(optimizer, torch.optim.AdamW)
    tensors = [value for value in values.values() if isinstance(value, torch.Tensor)]
    whole = len(tensors) == len(values) or (not adam and list(values.values()) == [None])
    return (
        whole
        and set(values) == set(("step", "exp_avg", "exp_avg_sq") if adam else ("momentum_buffer",))
        and all(
            value.shape == (() if name == "step" else parameter.shape)
            and value.layout == torch.strided
            and value.device.type != "meta"
            and value.is_floating_point()
            and bool(torch.isfinite(value).all())
            and (name != "step" or 0 <= float(value) <= _MOST_STEPS)
            for name, value in values.items()
            if value is not None
        )
    )
