"""Checks of a `model.safetensors`: its header as a type, and a network that its settings and its weights fit.

A damaged header must not allocate a network of gigabytes: the network is first built without memory, and compared with
the weights in the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired

import torch
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from torch import nn
from typing_extensions import TypedDict

from fer3d.config import NetworkSettings
from fer3d.data.input_kinds import input_kind
from fer3d.errors import ArgumentError, CheckpointError, ConfigError
from fer3d.files import brief_line, checked, wrong_key
from fer3d.image.illumination import ILLUMINATIONS
from fer3d.models import build_model, network_class
from fer3d.models.network import Network

MODEL_AGAIN = "train the fold again: delete its folder and go on with `fer3d train --resume`"

_OPEN = ConfigDict(extra="allow")
_Numbers = list[Annotated[float, Field(allow_inf_nan=False)]]


class NormalisationFacts(TypedDict):
    """Mean and deviation of each channel."""

    channels: list[str]
    mean: _Numbers
    deviation: list[Annotated[float, Field(gt=0, allow_inf_nan=False)]]
    scaling: NotRequired[Literal["picture", "set", "0-2"]]


class ModelHeader(TypedDict):
    """The header of a model file in the format of this version."""

    __pydantic_config__ = _OPEN  # type: ignore[misc]

    model: str
    model_settings: dict[str, Any]
    target: dict[str, Any]
    input: str
    normalisation: NormalisationFacts
    groups: list[str] | tuple[str, ...]  # a tuple in a header of an earlier version, once converted
    size: Annotated[int, Field(gt=0, le=1 << 14)] | None
    pixel_mm: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None
    illumination: str
    stencils: dict[str, Any]
    levels: Literal["all", "second", "finest"]
    warp: NormalisationFacts | None
    preprocess: dict[str, Any]
    mirror: bool
    perturbations: Annotated[int, Field(ge=0, le=10_000)]
    crop: NotRequired[Annotated[float, Field(ge=0.25, le=1.0)]]
    crops: NotRequired[bool]


def check_model_header(header: Mapping[str, Any], path: Path) -> None:
    """Raise CheckpointError unless the header has the types of `ModelHeader` and values that this version knows."""
    checked(header, ModelHeader, str(path), MODEL_AGAIN, CheckpointError)
    for name in ("normalisation", "warp"):
        parts = header[name]
        if parts is not None and len({len(parts[key]) for key in ("channels", "mean", "deviation")}) != 1:
            raise CheckpointError(
                f"{path}: `{name}` should hold as many means and deviations as channels; {MODEL_AGAIN}"
            )
    if header["illumination"] not in ILLUMINATIONS:
        raise CheckpointError(f"{path}: `illumination` should be one of {', '.join(ILLUMINATIONS)}; {MODEL_AGAIN}")
    if input_kind(header["input"]).layout == "maps":
        for name in ("size", "pixel_mm"):
            if header[name] is None:
                raise CheckpointError(f"{path}: `{name}` should be a number, is missing; {MODEL_AGAIN}")


def built(model: str, arguments: Mapping[str, Any], tensors: Mapping[str, torch.Tensor], path: Path) -> Network:
    """A network with these arguments and weights.

    Raises:
        CheckpointError: if there is no such network, it cannot be built, or the weights do not fit it.
    """
    try:
        _check_ranges(model, arguments, path)
        if ":" not in model:  # a network from outside may do more than make layers
            with torch.device("meta"):
                check_weights(build_model(model, **arguments), tensors, path)
        network = build_model(model, **arguments)
    except CheckpointError:
        raise
    except (ArgumentError, ConfigError) as error:
        raise CheckpointError(f"{path}: {error}") from None
    except Exception as error:  # numbers of a wrong type or size make torch raise nearly everything
        reason = f"{type(error).__name__}: {brief_line(str(error))}"
        raise CheckpointError(f"{path}: its settings make no network {model} ({reason}); {MODEL_AGAIN}") from None
    check_weights(network, tensors, path)
    network.load_state_dict(dict(tensors))
    return network


def _check_ranges(model: str, arguments: Mapping[str, Any], path: Path) -> None:
    """Raise CheckpointError if an argument that is a setting of the network is out of the setting's range.

    Rules for several settings at once are not applied: those of earlier versions were others.
    """
    for name, adapter in _ranges(network_class(model).Settings).items():
        if name in arguments:
            try:
                adapter.validate_python(arguments[name])
            except ValidationError as fault:
                reason = wrong_key(fault).removeprefix("the content ")
                raise CheckpointError(f"{path}: `{name}` {reason}; {MODEL_AGAIN}") from None


@cache
def _ranges(kind: type[NetworkSettings]) -> dict[str, TypeAdapter[Any]]:
    """Name -> type and range of each setting."""
    return {
        name: TypeAdapter(Annotated[field.annotation, field])  # type: ignore[arg-type]
        for name, field in kind.model_fields.items()
    }


def check_weights(network: nn.Module, tensors: Mapping[str, torch.Tensor], path: Path) -> None:
    """Raise CheckpointError for the first tensor that is missing, unexpected, of another shape, or not finite."""
    wanted = network.state_dict()
    for name in sorted(wanted.keys() | tensors.keys()):
        if name not in tensors:
            raise CheckpointError(f"{path}: wanted the weights {name} {tuple(wanted[name].shape)}, they are missing")
        if name not in wanted:
            raise CheckpointError(f"{path}: holds the weights {name}, for which the network has no place")
        tensor = tensors[name]
        if tensor.shape != wanted[name].shape:
            raise CheckpointError(
                f"{path}: {name} should have shape {tuple(wanted[name].shape)}, has {tuple(tensor.shape)}"
            )
        if tensor.layout != torch.strided or tensor.device.type == "meta":
            raise CheckpointError(f"{path}: {name} should be a plain array, is {tensor.layout} on {tensor.device}")
        if tensor.is_complex() or tensor.is_floating_point() != wanted[name].is_floating_point():
            raise CheckpointError(f"{path}: {name} should hold {wanted[name].dtype}, holds {tensor.dtype}")
        if tensor.is_floating_point() and not torch.isfinite(tensor.float()).all():
            raise CheckpointError(f"{path}: {name} holds NaN or infinity; {MODEL_AGAIN}")
