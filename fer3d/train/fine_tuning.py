"""Initial weights of any network: from a run, from one of its model files, or from a file of other weights.

Of a model that `fer3d train` wrote, and of a file whose tensors have the names of the network's, the layers that fit
are taken by name. Of any other file, such as an ImageNet model, they are taken in order: the n-th convolution from the
n-th convolution, the n-th dense layer from the n-th dense layer, as far as the shapes agree. The classifier is taken
only from a model with the same classes in the same order. What was taken, and what not, is said.

A person on whom the initial weights were trained must not be tested: `check_people` sees to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fer3d.catalog.protocols import Fold
from fer3d.data.samples import name_some
from fer3d.errors import CheckpointError, FileError, ProtocolError
from fer3d.models.network import Network
from fer3d.train.checkpoint import model_header, read_tensors
from fer3d.train.initial_weights import (
    LIBRARIES,
    Unit,
    check_plain,
    for_channels,
    load_initial,
    natural_order,
    units_of,
)
from fer3d.train.run_folder import Run, fold_name, read_run

Person = tuple[str, str]  # data set, subject


@dataclass(frozen=True)
class Initial:
    """Where initial weights come from.

    Attributes:
        source: A library, or the file.
        classes: Names of the outputs that the weights were trained for; None: not known.
        run: The run that trained them, if they lie in a run folder.
        fold: Its round and fold.
    """

    source: str
    classes: tuple[str, ...] | None = None
    run: Run | None = None
    fold: tuple[int, int] | None = None

    @property
    def name(self) -> str:
        """What messages call it."""
        return self.source if self.run is None or self.fold is None else f"{self.run.folder} {fold_name(*self.fold)}"


def find_initial(init: str, fold: tuple[int, int] = (0, 0)) -> Initial:
    """The weights that `init` names.

    Args:
        init: A run folder, a file, or torchvision or timm.
        fold: Round and fold that are to be trained: of a run folder, the fold of the same numbers is taken if it is
            finished, else the first that is.

    Raises:
        FileError: if the file is missing, or no fold of the run is finished.
        FormatError, CheckpointError: if the run or the file is damaged.
    """
    path = Path(init)
    if init in LIBRARIES:
        return Initial(init)
    if path.is_dir():
        run = read_run(path)
        finished = [(f["round"], f["fold"]) for f in run.folds if _model(path, f["round"], f["fold"]).is_file()]
        if not finished:
            raise FileError(f"{path}: holds no finished fold; `fer3d train --resume` goes on with it")
        chosen = fold if fold in finished else min(finished)
        return _of_model(_model(path, *chosen), run, chosen)
    if path.name == "model.safetensors" and (path.parent.parent / "run.json").is_file():
        run = read_run(path.parent.parent)
        for entry in run.folds:
            if fold_name(entry["round"], entry["fold"]) == path.parent.name:
                return _of_model(path, run, (entry["round"], entry["fold"]))
    return _of_model(path, None, None)


def _model(folder: Path, number: int, fold: int) -> Path:
    return folder / fold_name(number, fold) / "model.safetensors"


def _of_model(path: Path, run: Run | None, fold: tuple[int, int] | None) -> Initial:
    header = model_header(path) if path.suffix == ".safetensors" and path.is_file() else None
    target = {} if header is None else header.get("target")
    names = target.get("names") if isinstance(target, dict) else None
    return Initial(str(path), tuple(names) if isinstance(names, list) else None, run, fold)


def start_from(network: Network, initial: Initial, classes: Sequence[str], backbone: str = "") -> str:
    """Load initial weights into a network, in place.

    Args:
        network: The network, with random weights; on the device "meta", nothing is loaded, and the rest is the same.
        initial: The weights.
        classes: Names of the K outputs of the network.
        backbone: The backbone of its branches, for image weights.

    Returns:
        What was taken and what not, as a sentence.

    Raises:
        ArgumentError: if a library is named and the network has no branches for image weights.
        MissingLibraryError: if the library cannot be imported.
        FileError, CheckpointError: if the file is missing or damaged, or nothing in it fits.
    """
    branches = network.pretrained()
    if initial.source in LIBRARIES:
        load_initial(network, initial.source, backbone)
        return f"initial weights: {initial.source}, all layers of the branches {', '.join(branches)}"
    path, wanted = Path(initial.source), network.state_dict()
    tensors = {} if branches and not path.exists() else read_tensors(path)
    if branches and not tensors.keys() & wanted.keys():
        load_initial(network, initial.source, backbone)
        return f"initial weights: {initial.name}, all layers of the branches {', '.join(branches)}"
    check_plain(tensors, path)
    known = initial.classes == tuple(classes)
    head = {id(tensor) for tensor in (*network.classifier.parameters(), *network.classifier.buffers())}
    named = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    left_out = set() if known else {name for name, tensor in named.items() if id(tensor) in head}
    taken = {
        name: tensors[name]
        for name in wanted
        if name not in left_out and name in tensors and tensors[name].shape == wanted[name].shape
    }
    if not tensors.keys() & wanted.keys():
        taken = _in_order(network, tensors, left_out)
    if not any(tensor.ndim > 1 for tensor in taken.values()):
        raise CheckpointError(f"{path}: no layer of it fits the network; it holds {_shown(tensors)}")
    with torch.no_grad():
        for name, tensor in taken.items():
            wanted[name].copy_(tensor)
    return _said(initial, wanted, taken, left_out)


def _in_order(
    network: Network, tensors: Mapping[str, torch.Tensor], left_out: Iterable[str]
) -> dict[str, torch.Tensor]:
    """Name -> tensor for the layers that fit in order, see the module."""
    layers = [(f"{name}.", module) for name, module in network.named_modules()]
    layers = [(name, module) for name, module in layers if f"{name}weight" not in left_out]
    convolutions = [(name, module) for name, module in layers if isinstance(module, nn.Conv2d)]
    norms = [(name, module) for name, module in layers if isinstance(module, nn.BatchNorm2d)]
    dense = [(name, module) for name, module in layers if isinstance(module, nn.Linear)]
    taken: dict[str, torch.Tensor] = {}
    for number, ((name, module), unit) in enumerate(zip(convolutions, units_of(tensors), strict=False)):
        weight = unit["weight"].float()
        if number == 0 and weight.shape[1] == 3 and module.in_channels != 3:
            weight = for_channels(weight, module.in_channels)
        if weight.shape != module.weight.shape:
            break
        taken[f"{name}weight"] = weight
        if module.bias is not None and "bias" in unit:
            taken[f"{name}bias"] = unit["bias"].float()
        if len(norms) == len(convolutions):
            taken |= _norm(norms[number][0], unit)
    theirs = sorted((name for name, tensor in tensors.items() if tensor.ndim == 2), key=natural_order)
    for (name, layer), other in zip(dense, theirs, strict=False):
        if tensors[other].shape != layer.weight.shape:
            break
        taken[f"{name}weight"] = tensors[other].float()
        bias = tensors.get(other.removesuffix("weight") + "bias")
        if layer.bias is not None and bias is not None and bias.shape == layer.bias.shape:
            taken[f"{name}bias"] = bias.float()
    return taken


def _norm(name: str, unit: Unit) -> dict[str, torch.Tensor]:
    theirs = {"weight": "gamma", "bias": "beta", "running_mean": "mean", "running_var": "variance"}
    return {f"{name}{key}": unit[other].float() for key, other in theirs.items() if other in unit}


def _said(
    initial: Initial, wanted: Mapping[str, torch.Tensor], taken: Mapping[str, torch.Tensor], left_out: Iterable[str]
) -> str:
    numbers = sum(wanted[name].numel() for name in taken)
    total = sum(tensor.numel() for tensor in wanted.values())
    text = f"initial weights: {initial.name}, {len(taken)} of {len(wanted)} tensors ({numbers:,} of {total:,} numbers)"
    new = [name for name in wanted if name not in taken]
    if not new:
        return text
    why = "as the classes are others" if initial.classes is not None else "as its classes are not known"
    head = [name for name in new if name in set(left_out)]
    others = [name for name in new if name not in head]
    parts = [f"the classifier {name_some(head)}, {why}"] if head else []
    parts += [name_some(others)] if others else []
    return f"{text}; new: {'; '.join(parts)}"


def _shown(tensors: Mapping[str, torch.Tensor]) -> str:
    return name_some([f"{name} {tuple(tensor.shape)}" for name, tensor in tensors.items()]) or "no tensor"


def check_people(initial: Initial, fold: Fold, rows: Sequence[Mapping[str, Any]], *, simulated: bool) -> None:
    """Raise ProtocolError if the initial weights were trained on a person whom the fold tests or validates on.

    Args:
        initial: The weights. Of those that lie in no run folder nothing is known.
        fold: The fold to be trained.
        rows: Manifest rows of the scans.
        simulated: Whether these are simulated: a simulated and a real person of one name are two.
    """
    if initial.run is None or initial.fold is None:
        return
    data = initial.run.facts["data"]
    if bool(data.get("simulated", False)) != simulated:
        return
    entry = next(f for f in initial.run.folds if (f["round"], f["fold"]) == initial.fold)
    dataset = str(data.get("dataset"))
    trained = {_person(dataset, name) for part in ("train", "validation") for name in entry.get(part) or ()}
    watched = {*fold.test, *fold.validation}
    here = {_person(str(row["dataset"]), str(row["subject"])) for row in rows if row["subject"] in watched}
    if both := sorted(name for _, name in trained & here):
        raise ProtocolError(
            f"{fold.name}: its initial weights, {initial.name}, were trained on {len(both)} of the people it tests: "
            f"{name_some(both)}; if they are different people of the same names, type --set model.init_distinct=true"
        )


def _person(dataset: str, subject: str) -> Person:
    """The data set and the name of a subject, which protocol cross writes as "DATASET/NAME"."""
    return (dataset, subject.removeprefix("test-").removeprefix(f"{dataset}/"))
