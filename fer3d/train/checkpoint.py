"""Weight files: `model.safetensors`, from which alone a trained model can be rebuilt, and the training state of a fold.

Reading either file runs no code: safetensors holds numbers and text, and torch files are read with
`weights_only=True`, which refuses anything but tensors and plain containers.
"""

from __future__ import annotations

import io
import json
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fer3d.catalog.targets import Target, target_from_json
from fer3d.data.channels import channel_names
from fer3d.data.input_kinds import InputFacts, InputKind, PreparedFace, input_kind
from fer3d.data.samples import InputNormalisation
from fer3d.data.warp import FaceWarp
from fer3d.errors import ArgumentError, CheckpointError, FileError, FormatError
from fer3d.files import brief_line, check_growth, parse_json, write_bytes
from fer3d.models.network import Network
from fer3d.prepare.integrity import AGAIN
from fer3d.prepare.tensors import open_tensors
from fer3d.train.former import today
from fer3d.train.model_file import MODEL_AGAIN, built, check_model_header, check_weights
from fer3d.train.views import Views, answers

_HEADER_KEY = "fer3d"  # a single key, because safetensors writes several keys in random order
_WARP = "warp."  # prefix of the names of the warp's tensors
_LONGEST = 300  # characters of a message that quotes the file


@dataclass(frozen=True, eq=False)
class ModelFacts:
    """The description of a model that its weight file stores.

    Attributes:
        model: The network's name in `fer3d.models.MODELS`, or "module:Class".
        model_settings: Arguments of the network's `__init__`.
        target: What the network predicts for a scan.
        kind: Name of the network's `InputKind`.
        inputs: How the network's input is computed from a scan.
        preprocess: Preprocessing settings of the training scans.
        views: The views of a scan or picture over which predictions are averaged.
    """

    model: str
    model_settings: Mapping[str, Any]
    target: Target
    kind: str
    inputs: InputFacts
    preprocess: Mapping[str, Any]
    views: Views


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A trained model, ready to use: `probabilities(from_scan(face))`."""

    network: Network
    facts: ModelFacts

    @property
    def model_name(self) -> str:
        """Name of the network in `fer3d.models.MODELS`."""
        return self.facts.model

    @property
    def kind(self) -> InputKind:
        """The kind of input that the network takes."""
        return input_kind(self.facts.kind)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the K outputs, in their order: canonical labels if the target is expression classes."""
        return self.facts.target.names

    @property
    def maps(self) -> tuple[str, ...]:
        """Map groups that the network takes; empty if it takes sample trees."""
        return self.facts.inputs.groups

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the C input channels."""
        return self.facts.inputs.normalisation.channels

    @property
    def normalisation(self) -> InputNormalisation:
        """Normalisation of the input."""
        return self.facts.inputs.normalisation

    @property
    def preprocess(self) -> Mapping[str, Any]:
        """Settings with which scans must be preprocessed."""
        return self.facts.preprocess

    def from_scan(self, face: PreparedFace) -> Any:
        """A normalised batch of one prepared face. ArgumentError if it was not prepared as the training scans were."""
        return self.kind.from_scan(face, self.facts.inputs)

    def probabilities(self, batch: Any) -> torch.Tensor:
        """A batch as `from_scan` returns it -> (B, K) float32, see `answers`; each row sums to 1 for class targets."""
        device = next(self.network.parameters()).device
        facts = self.facts
        return answers(
            self.network,
            self.normalisation,
            batch.to(device),
            facts.target,
            facts.views,
            facts.inputs.pixel_mm,
        )


def save_model(path: Path, network: nn.Module, facts: ModelFacts) -> None:
    """Write the weights and everything needed to use them. Equal weights give equal bytes. FileError if this fails."""
    from safetensors.torch import save

    tensors, inputs = dict(network.state_dict()), facts.inputs
    header: dict[str, Any] = {
        "model": facts.model,
        "model_settings": dict(facts.model_settings),
        "target": facts.target.to_json(),
        "input": facts.kind,
        "normalisation": asdict(inputs.normalisation),  # type: ignore[call-overload]
        "groups": inputs.groups,
        "size": inputs.size,
        "pixel_mm": inputs.pixel_mm,
        "illumination": inputs.illumination,
        "stencils": dict(inputs.stencils),
        "levels": inputs.levels,
        "warp": None,
        "preprocess": dict(facts.preprocess),
        **asdict(facts.views),
    }
    if inputs.warp is not None:
        header["warp"], more = inputs.warp.state()
        tensors |= {_WARP + name: tensor for name, tensor in more.items()}
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    text = json.dumps(header, sort_keys=True, separators=(",", ":"))
    write_bytes(path, save(tensors, metadata={_HEADER_KEY: text}), make_folder=True)


def load_model(path: str | Path, device: torch.device | str = "cpu") -> LoadedModel:
    """Rebuild a trained model from one `model.safetensors`.

    A network from outside the package ("module:Class") is imported by its name: the file holds no code.

    Raises:
        FileError: if the file is missing or cannot be read.
        CheckpointError: if `fer3d` did not write the file, or its weights do not fit its network (names the first
            weight that does not).
    """
    path = Path(path)
    tensors, metadata = _read_safetensors(path)
    nothing = f"{path}: wanted a model of `fer3d train`, its header says nothing of one"
    if _HEADER_KEY not in metadata:
        raise CheckpointError(nothing)
    content = parse_json(metadata[_HEADER_KEY], str(path), MODEL_AGAIN, CheckpointError)
    try:
        header, tensors = today(content, tensors)
        facts = _facts(header, tensors, path)
    except CheckpointError:
        raise
    except ArgumentError as error:
        raise CheckpointError(f"{path}: {brief_line(str(error), _LONGEST)}; {MODEL_AGAIN}") from None
    except (KeyError, TypeError, ValueError, AttributeError):
        raise CheckpointError(nothing) from None
    _check_channels(facts, path)
    network = built(facts.model, facts.model_settings, tensors, path)
    return LoadedModel(network.to(device).eval(), facts)


def model_header(path: Path) -> Mapping[str, Any] | None:
    """The header of a model file of `fer3d train`; None of another file. FileError, CheckpointError as `load_model`."""
    metadata = _read_safetensors(path)[1]
    if _HEADER_KEY not in metadata:
        return None
    content = parse_json(metadata[_HEADER_KEY], str(path), MODEL_AGAIN, CheckpointError)
    return content if isinstance(content, dict) else None


def _facts(header: Mapping[str, Any], tensors: dict[str, torch.Tensor], path: Path) -> ModelFacts:
    """The facts that a header holds. Removes the tensors of a warp from `tensors`."""
    check_model_header(header, path)
    kind = input_kind(header["input"])
    inputs = InputFacts(
        normalisation=kind.normalisation(header["normalisation"]),
        groups=tuple(header["groups"]),
        size=header["size"],
        pixel_mm=header["pixel_mm"],
        illumination=header["illumination"],
        warp=_warp(header["warp"], tensors, path),
        stencils=header["stencils"],
        levels=header["levels"],
    )
    return ModelFacts(
        model=header["model"],
        model_settings=header["model_settings"],
        target=target_from_json(header["target"]),
        kind=kind.name,
        inputs=inputs,
        preprocess=header["preprocess"],
        views=Views(header["mirror"], header["perturbations"], header.get("crop", 1.0), header.get("crops", False)),
    )


def _check_channels(facts: ModelFacts, path: Path) -> None:
    """Raise CheckpointError if a model was trained on other channels than this version computes for its map groups."""
    groups = facts.inputs.groups
    if not groups:
        return
    try:
        found, wanted = facts.inputs.normalisation.channels, channel_names(groups)
    except ArgumentError as error:  # a map of a package that is not installed
        raise CheckpointError(f"{path}: {error}") from None
    if found != wanted:
        raise CheckpointError(
            f"{path}: wanted a model of the channels {', '.join(wanted)}, it is of {', '.join(found)}: train it again"
        )


def _warp(facts: Mapping[str, Any] | None, tensors: dict[str, torch.Tensor], path: Path) -> FaceWarp | None:
    """The warp that a header describes. Removes its tensors from `tensors`."""
    if facts is None:
        return None
    names = [name for name in tensors if name.startswith(_WARP)]
    warp_tensors = {name.removeprefix(_WARP): tensors.pop(name) for name in names}
    try:
        return FaceWarp.from_state(facts, warp_tensors)
    except (TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{path}: its warp is damaged: {error}") from None


def load_weights(network: nn.Module, tensors: Mapping[str, torch.Tensor], path: Path) -> None:
    """Load weights into a network.

    Raises:
        CheckpointError: as `fer3d.train.model_file.check_weights`.
    """
    check_weights(network, tensors, path)
    network.load_state_dict(dict(tensors))


def save_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write plain containers of tensors, numbers and text atomically. FileError if the file cannot be written."""
    buffer = io.BytesIO()
    torch.save(dict(state), buffer)
    write_bytes(path, buffer.getvalue(), make_folder=True)


def load_state(path: Path) -> dict[str, Any]:
    """Read what `save_state` wrote, onto the CPU.

    Raises:
        FileError: if the file is missing or cannot be read.
        CheckpointError: if it is damaged, or holds anything but tensors and plain containers.
    """
    damaged = f"{path}: wanted a torch file of tensors only, is damaged or holds objects"
    try:
        _check_unpacked(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about unusual pickle protocols: real problems become errors below
            state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise FileError(f"{path}: is missing") from None
    except OSError as error:
        raise FileError(f"{path}: cannot be read ({error.strerror or error})") from None
    except Exception as error:  # the decoders of damaged zip and pickle data raise nearly everything
        raise CheckpointError(damaged) from error
    if not isinstance(state, dict):
        raise CheckpointError(f"{path}: wanted a table of tensors, got {type(state).__name__}")
    return state


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a `.safetensors` file, or of a torch state dict at the top level or under "state_dict" or "model".

    Raises:
        FileError, CheckpointError: as `load_state`.
    """
    if path.suffix == ".safetensors":
        return _read_safetensors(path)[0]
    content = load_state(path)
    for key in ("state_dict", "model"):
        if isinstance(content.get(key), dict):
            content = content[key]
    return {str(name): tensor for name, tensor in content.items() if isinstance(tensor, torch.Tensor)}


def _check_unpacked(path: Path) -> None:
    """Raise ValueError if a file is a zip archive with far more content than bytes: torch does not compress."""
    if not path.exists() or (path.is_file() and not zipfile.is_zipfile(path)):
        return
    with zipfile.ZipFile(path) as file:  # raises IsADirectoryError for a folder
        check_growth(sum(entry.file_size for entry in file.infolist()), path.stat().st_size)


def _read_safetensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    try:
        with open_tensors(path, "pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118
    except FormatError as error:
        raise CheckpointError(str(error).removesuffix(f"; {AGAIN}")) from None
