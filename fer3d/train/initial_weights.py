"""Initial weights of the branches, pretrained on images: from a file, or from torchvision or timm if installed.

Weights are matched by order, not by name: the n-th convolution of the file initialises the n-th convolution of the
branch, together with the batch normalisation that follows it. This works for torchvision's and timm's ResNet-18, for
VGG-16 (with or without batch normalisation) and for a VGG-M with any parameter names, without a table of names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import torch
from torch import nn

from fer3d.errors import ArgumentError, CheckpointError, FileError, MissingLibraryError
from fer3d.files import brief_line
from fer3d.image.convolutions import Branch
from fer3d.models.network import Network
from fer3d.train.checkpoint import read_tensors

LIBRARIES = ("torchvision", "timm")
_NAMES = {"resnet-18": ("resnet18", "resnet18"), "vgg-16": ("vgg16_bn", "vgg16_bn")}
_HOW = (
    "save them where torchvision can be imported, torch.save(torchvision.models.resnet18(weights='DEFAULT')"
    ".state_dict(), 'resnet18.pt'), and give --init resnet18.pt"
)

# timm implements the linear layers of VGG as convolutions
_CLASSIFIER = re.compile(r"(^|\.)(fc\d*|pre_logits|classifier|head)(\.|$)")

Unit = dict[str, torch.Tensor]


def load_initial(network: Network, source: str, backbone: str) -> None:
    """Load weights pretrained on images into every branch of a network.

    Args:
        network: A network with branches for map groups, see `Network.pretrained`.
        source: A file (.safetensors, or a torch state dict, read with `weights_only=True`), or "torchvision" or "timm".
        backbone: The backbone of the branches.

    Raises:
        ArgumentError: if the network has no branches.
        MissingLibraryError: if the library cannot be imported; the message explains another way to get the weights.
        FileError, CheckpointError: if the file is missing, damaged, or does not fit (names the first such layer).
    """
    parts = network.pretrained()
    if not parts:
        raise ArgumentError("`init` needs a network with branches, such as dff-cnn or df-cnn")
    if source in LIBRARIES:
        tensors, path = _from_library(source, backbone), Path(source)
    else:
        path = Path(source)
        if not path.exists():
            raise FileError(f"{path}: is missing; for ImageNet weights, {_HOW}")
        tensors = read_tensors(path)
    check_plain(tensors, path)
    units = units_of(tensors)
    for group, branch in parts.items():
        assert isinstance(branch, Branch)
        try:
            _fill(branch, branch.first.in_channels - branch.extra, units, path)
        except (RuntimeError, TypeError, IndexError) as error:  # parts of a layer that do not fit each other
            raise CheckpointError(f"{path}: does not fit the branch {group} ({brief_line(str(error))})") from None


def check_plain(tensors: Mapping[str, torch.Tensor], path: Path) -> None:
    """Raise CheckpointError for the first tensor that is no plain array of finite numbers."""
    for name, tensor in tensors.items():
        plain = tensor.layout == torch.strided and tensor.device.type != "meta" and not tensor.is_complex()
        if not plain or not torch.isfinite(tensor).all():
            raise CheckpointError(f"{path}: {name} should be a plain array of finite numbers, is another; {_HOW}")


def _from_library(name: str, backbone: str) -> dict[str, torch.Tensor]:
    if backbone not in _NAMES:
        raise ArgumentError(f"`init` {name} has weights for {', '.join(_NAMES)}, `backbone` is {backbone!r}")
    try:
        if name == "torchvision":
            import torchvision

            model = torchvision.models.get_model(_NAMES[backbone][0], weights="DEFAULT")
        else:
            import timm

            model = timm.create_model(_NAMES[backbone][1], pretrained=True)
    except (ImportError, RuntimeError) as error:  # a torchvision that does not fit torch raises RuntimeError
        first = str(error).splitlines()[0]
        raise MissingLibraryError(f"`init` {name}: {name} cannot be imported ({first}); {_HOW}") from None
    state: dict[str, torch.Tensor] = model.state_dict()
    return state


def units_of(tensors: Mapping[str, torch.Tensor]) -> list[Unit]:
    """Convolutions in order of their names ("layer2" before "layer10"), each with its bias and batch normalisation."""
    units = []
    names = [name for name, tensor in tensors.items() if tensor.ndim == 4 and name.endswith(".weight")]
    for name in sorted(names, key=natural_order):
        stem = name.removesuffix(".weight")
        if _CLASSIFIER.search(stem):
            continue
        unit = {"weight": tensors[name]}
        if f"{stem}.bias" in tensors:
            unit["bias"] = tensors[f"{stem}.bias"]
        norm = _norm_after(stem)
        if f"{norm}.running_mean" in tensors:
            ours = {"weight": "gamma", "bias": "beta", "running_mean": "mean", "running_var": "variance"}
            unit |= {key: tensors[f"{norm}.{theirs}"] for theirs, key in ours.items() if f"{norm}.{theirs}" in tensors}
        units.append(unit)
    return units


def natural_order(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", name)]


def _norm_after(stem: str) -> str:
    """Name of the layer that normalises a convolution: conv2 -> bn2, features.7 -> features.8."""
    if re.search(r"conv\d*$", stem):
        return re.sub(r"conv(\d*)$", r"bn\1", stem)
    return re.sub(r"(\d+)$", lambda match: str(int(match[1]) + 1), stem)


def _fill(branch: Branch, channels: int, units: list[Unit], path: Path) -> None:
    wanted = [
        (name, module, after)
        for (name, module), (_, after) in pairwise(branch.named_modules())
        if isinstance(module, nn.Conv2d) and isinstance(after, nn.BatchNorm2d)
    ]
    if len(units) != len(wanted):
        raise CheckpointError(
            f"{path}: should hold {len(wanted)} convolutions for this backbone, holds {len(units)}; wrong `backbone`?"
        )
    with torch.no_grad():
        for (name, convolution, norm), unit in zip(wanted, units, strict=True):
            weight = unit["weight"].float()
            if convolution is branch.first:
                weight = for_channels(weight, channels)
                beside = weight.new_zeros(len(weight), convolution.in_channels - channels, *weight.shape[2:])
                weight = torch.cat([weight, beside], dim=1)  # mask and position, which images do not have, start at 0
            if weight.shape != convolution.weight.shape:
                raise CheckpointError(
                    f"{path}: {name} should have shape {tuple(convolution.weight.shape)}, has {tuple(weight.shape)}"
                )
            convolution.weight.copy_(weight)
            _fill_norm(norm, unit)


def for_channels(weight: torch.Tensor, channels: int) -> torch.Tensor:
    """(D, 3, h, w) for colours -> (D, channels, h, w): the sum over the colours, divided evenly among the channels."""
    if weight.shape[1] == channels:
        return weight
    return weight.sum(dim=1, keepdim=True).expand(-1, channels, -1, -1) / channels


def _fill_norm(norm: nn.BatchNorm2d, unit: Unit) -> None:
    """Load batch normalisation, or the identity if the file has none. The convolution's bias goes into the shift."""
    zero, one = torch.zeros(norm.num_features), torch.ones(norm.num_features)
    mean = unit.get("mean", zero).float() - (unit.get("bias", zero).float() if "gamma" in unit else zero)
    beta = unit.get("beta", zero if "gamma" in unit else unit.get("bias", zero)).float()
    assert norm.running_mean is not None and norm.running_var is not None
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(unit.get("variance", one).float())
    norm.weight.copy_(unit.get("gamma", one).float())
    norm.bias.copy_(beta)
