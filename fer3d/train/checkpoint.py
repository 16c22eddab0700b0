"""Files of weights: `model.safetensors`, which rebuilds a trained model by itself, and the state of a training.

Neither runs code when it is read: safetensors holds numbers and text, and torch files are read with
`weights_only=True`, which refuses anything but tensors and plain containers.
"""

from __future__ import annotations

import io
import json
import pickle
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fer3d.data.augment_maps import perturb_pictures
from fer3d.data.channels import Normalisation, channel_names, stack_channels
from fer3d.data.samples import InputNormalisation
from fer3d.data.tree_batch import TreeBatch, TreeNormalisation, stack_trees, stencils_of
from fer3d.data.warp import Registration
from fer3d.errors import ArgumentError, CheckpointError, FileError
from fer3d.files import write_bytes
from fer3d.image.perturb import perturbed_probabilities
from fer3d.maps.render import Maps
from fer3d.models import build_model, reads_trees
from fer3d.scan import Scan
from fer3d.tree.sample_tree import SampleTree

_HEADER_KEY = "fer3d"  # one key: safetensors writes several in random order
_REGISTRATION = "registration."  # what the names of its tensors begin with


@dataclass(frozen=True)
class ModelFacts:
    """What a file of weights says about itself.

    Attributes:
        model: Its name in `fer3d.models.MODELS`.
        model_settings: Arguments of the network.
        classes: House labels, in the order of the probabilities.
        normalisation: Of the input.
        preprocess: Settings that its training scans were prepared with.
        size: Rows and columns of the maps, if it reads maps.
        pixel_mm: Width of a pixel, mm, likewise.
        mirror: Whether probabilities are averaged over a scan and its mirror image.
        illumination: What is done to the light of textures, see `fer3d.data.channels.relit`.
        registration: How maps are stretched before they are normalised, if they are.
        perturbations: Over how many perturbed copies of a picture probabilities are averaged. 0: none.
    """

    model: str
    model_settings: Mapping[str, Any]
    classes: tuple[str, ...]
    normalisation: InputNormalisation
    preprocess: Mapping[str, Any]
    size: int | None
    pixel_mm: float | None
    mirror: bool
    illumination: str = "raw"
    registration: Registration | None = None
    perturbations: int = 0


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A trained model, ready to use: `probabilities(stack of prepare_input(maps))`."""

    network: nn.Module
    facts: ModelFacts

    @property
    def model_name(self) -> str:
        """Its name in `fer3d.models.MODELS`."""
        return self.facts.model

    @property
    def classes(self) -> tuple[str, ...]:
        """House labels, in the order of the probabilities."""
        return self.facts.classes

    @property
    def reads_trees(self) -> bool:
        """Whether it is fed sample trees; else maps."""
        return reads_trees(self.facts.model)

    @property
    def maps(self) -> tuple[str, ...]:
        """Map groups that it is fed; none, if it is fed sample trees."""
        return tuple(self.facts.model_settings.get("maps", ()))

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the C channels that it is fed."""
        return self.facts.normalisation.channels

    @property
    def pixel_mm(self) -> float | None:
        """Width of a pixel of its maps."""
        return self.facts.pixel_mm

    @property
    def normalisation(self) -> InputNormalisation:
        """Of its input."""
        return self.facts.normalisation

    @property
    def preprocess(self) -> Mapping[str, Any]:
        """Settings to prepare scans with."""
        return self.facts.preprocess

    def prepare_input(self, maps: Maps) -> torch.Tensor:
        """(C + 1, H, W) float32, normalised, the mask last.

        Raises:
            ArgumentError: if a map group is missing, or size or pixel are not those of training.
        """
        if self.facts.size is None or self.facts.pixel_mm is None:
            raise ArgumentError(f"`maps` are not what {self.facts.model} is fed: it reads sample trees")
        size, wanted = maps.mask.shape, (self.facts.size, self.facts.size)
        if size != wanted or abs(maps.pixel - self.facts.pixel_mm) > 1e-6:
            raise ArgumentError(
                f"`maps` should be {wanted} pixels of {self.facts.pixel_mm:g} mm, are {size} of {maps.pixel:g} mm"
            )
        light = self.facts.illumination
        stack = stack_channels(self.maps, maps.names, maps.stack, maps.mask, maps.texture, light)
        values = torch.from_numpy(stack)[None]
        if self.facts.registration is not None:
            values = self.facts.registration.apply(values, maps.pixel)
        normalised: torch.Tensor = self.normalisation.apply(values.float())[0]
        return normalised

    def prepare_tree(self, scan: Scan, tree: SampleTree) -> TreeBatch:
        """A batch of one scan, normalised.

        Args:
            scan: The prepared scan.
            tree: Its sample tree, with features.

        Raises:
            ArgumentError: if its stencils are not those of training, or it has no features.
        """
        from fer3d.tree.one_level import one_level

        settings = self.facts.model_settings
        wanted = {name: settings[name] for name in stencils_of(tree)}
        if not settings.get("tree", False):
            tree = one_level(tree, scan.vertices, scan.faces)
        if stencils_of(tree) != wanted:
            raise ArgumentError(f"`tree` should have stencils of {wanted}, has {stencils_of(tree)}")
        return self.normalisation.apply(stack_trees([tree]).rows(torch.arange(1)))  # type: ignore[no-any-return]

    def probabilities(self, batch: Any) -> torch.Tensor:
        """A batch of what `prepare_input` or `prepare_tree` makes -> (B, K) float32, rows sum to 1."""
        device = next(self.network.parameters()).device
        facts = self.facts
        return probabilities(
            self.network,
            self.normalisation,
            batch.to(device),
            mirror=facts.mirror,
            perturbations=facts.perturbations,
        )


def probabilities(
    network: nn.Module, normalisation: InputNormalisation, batch: Any, *, mirror: bool, perturbations: int = 0
) -> torch.Tensor:
    """What a network says of a batch.

    Args:
        network: (B, ...) -> (B, K) logits.
        normalisation: Of the batch.
        batch: Normalised.
        mirror: Whether to take the mean over each scan and its mirror image.
        perturbations: Over how many perturbed copies of each picture to take the mean instead, see
            `fer3d.image.perturb`: some of them are mirrored. 0: none.

    Returns:
        (B, K) float32, rows sum to 1.
    """
    was_training = network.training
    network.eval()
    if perturbations:
        random = torch.Generator().manual_seed(0)  # the same copies of every picture, in every run
        averaged = perturbed_probabilities(network, batch, perturbations, random, perturb_pictures)
        network.train(was_training)
        return averaged
    with torch.no_grad():
        made: torch.Tensor = network(batch).float().softmax(dim=-1)
        if mirror:
            made = (made + network(normalisation.mirrored(batch)).float().softmax(dim=-1)) / 2
    network.train(was_training)
    return made


def save_model(path: Path, network: nn.Module, facts: ModelFacts) -> None:
    """Write the weights and all that is needed to use them. Same weights, same bytes. FileError if the disk refuses."""
    from safetensors.torch import save

    tensors, header = dict(network.state_dict()), asdict(replace(facts, registration=None))
    if facts.registration is not None:
        header["registration"], more = facts.registration.state()
        tensors |= {_REGISTRATION + name: tensor for name, tensor in more.items()}
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    text = json.dumps(header, sort_keys=True, separators=(",", ":"))
    write_bytes(path, save(tensors, metadata={_HEADER_KEY: text}), make_folder=True)


def load_model(path: str | Path, device: torch.device | str = "cpu") -> LoadedModel:
    """Rebuild a trained model from one `model.safetensors`.

    Raises:
        FileError: if the file is missing or cannot be read.
        CheckpointError: if it is not one of ours, or its weights do not fit its network (names the first).
    """
    path = Path(path)
    tensors, metadata = _read_safetensors(path)
    try:
        content = json.loads(metadata[_HEADER_KEY])
        kind = TreeNormalisation if reads_trees(content["model"]) else Normalisation
        normalisation = kind(**{key: tuple(value) for key, value in content.pop("normalisation").items()})
        told = content.pop("registration", None)
        facts = ModelFacts(**{**content, "classes": tuple(content["classes"])}, normalisation=normalisation)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise CheckpointError(f"{path}: wanted a model of `fer3d train`, its header says nothing of one") from None
    facts = replace(facts, registration=_registration(told, tensors, path))
    try:
        network = build_model(facts.model, **facts.model_settings)
    except ArgumentError as error:
        raise CheckpointError(f"{path}: {error}") from None
    _check_channels(facts, path)
    load_weights(network, tensors, path)
    return LoadedModel(network.to(device).eval(), facts)


def _check_channels(facts: ModelFacts, path: Path) -> None:
    """Raise CheckpointError for a model of maps that was fed other channels than this version makes of them."""
    maps = facts.model_settings.get("maps")
    if maps is None or reads_trees(facts.model):
        return
    made, wanted = facts.normalisation.channels, channel_names(maps)
    if made != wanted:
        raise CheckpointError(
            f"{path}: wanted a model of the channels {', '.join(wanted)}, it is of {', '.join(made)}: train it again"
        )


def _registration(facts: Mapping[str, Any] | None, tensors: dict[str, torch.Tensor], path: Path) -> Registration | None:
    """The registration that the header of a model tells of, whose tensors are taken out of `tensors`."""
    if facts is None:
        return None
    names = [name for name in tensors if name.startswith(_REGISTRATION)]
    mine = {name.removeprefix(_REGISTRATION): tensors.pop(name) for name in names}
    try:
        return Registration.from_state(facts, mine)
    except (TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{path}: its registration is damaged: {error}") from None


def load_weights(network: nn.Module, tensors: Mapping[str, torch.Tensor], path: Path) -> None:
    """Put weights into a network.

    Raises:
        CheckpointError: for the first tensor that is missing, not wanted, or of another shape.
    """
    wanted = network.state_dict()
    for name in sorted(wanted.keys() | tensors.keys()):
        if name not in tensors:
            raise CheckpointError(f"{path}: wanted the weights {name} {tuple(wanted[name].shape)}, they are missing")
        if name not in wanted:
            raise CheckpointError(f"{path}: holds the weights {name}, for which the network has no place")
        if tensors[name].shape != wanted[name].shape:
            raise CheckpointError(
                f"{path}: {name} should have shape {tuple(wanted[name].shape)}, has {tuple(tensors[name].shape)}"
            )
    network.load_state_dict(dict(tensors))


def save_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write plain containers of tensors, numbers and text, whole or not at all. FileError if the disk refuses."""
    buffer = io.BytesIO()
    torch.save(dict(state), buffer)
    write_bytes(path, buffer.getvalue(), make_folder=True)


def load_state(path: Path) -> dict[str, Any]:
    """What `save_state` wrote, on the CPU.

    Raises:
        FileError: if the file is missing or cannot be read.
        CheckpointError: if it is damaged, or holds anything but tensors and plain containers.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of unusual pickle protocols: what matters becomes an error below
            state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise FileError(f"{path}: is missing") from None
    except OSError as error:
        raise FileError(f"{path}: cannot be read ({error.strerror or error})") from None
    except (pickle.UnpicklingError, zipfile.BadZipFile, RuntimeError, EOFError, ValueError):
        raise CheckpointError(f"{path}: wanted a torch file of tensors only, is damaged or holds objects") from None
    if not isinstance(state, dict):
        raise CheckpointError(f"{path}: wanted a table of tensors, got {type(state).__name__}")
    return state


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a `.safetensors` file, or of a torch state dict, alone or under "state_dict" or "model".

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


def _read_safetensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except FileNotFoundError:
        raise FileError(f"{path}: is missing") from None
    except OSError as error:
        raise FileError(f"{path}: cannot be read ({error.strerror or error})") from None
    except SafetensorError as error:
        raise CheckpointError(f"{path}: is not a whole safetensors file ({error})") from None
