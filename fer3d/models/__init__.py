"""Networks, one paper per file and ours under names of our own; access to networks from outside.

`fer3d.models.network` defines the base class. The network that has the name of a paper is the network of that paper.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from fer3d.checks import check_choice
from fer3d.errors import ArgumentError, ConfigError
from fer3d.image.networks import NETWORKS

if TYPE_CHECKING:
    from fer3d.models.network import Network

ENTRY_POINTS = "fer3d.models"  # the entry point group in which an installed package registers its networks

# Name -> module and class, imported on first use.
_OWN: Mapping[str, tuple[str, str]] = {
    "oriented-fusion": ("oriented_fusion", "OrientedFusion"),
    "dff-cnn": ("dff_cnn", "DFFCNN"),
    "df-cnn": ("df_cnn", "DFCNN"),
    "plain-cnn": ("plain_cnn", "PlainCNN"),
    "flm-cnn": ("flm_cnn", "FLMCNN"),
    "surface-grid": ("surface_grid", "SurfaceGrid"),
    "gcnn": ("gcnn", "GCNN"),
}


class _Models(Mapping[str, "type[Network]"]):
    """Name -> class of every network of this package and of other installed packages."""

    def __getitem__(self, name: str) -> type[Network]:
        return network_class(name)

    def __iter__(self) -> Iterator[str]:
        return iter(model_names())

    def __len__(self) -> int:
        return len(model_names())


MODELS = _Models()


def model_names() -> tuple[str, ...]:
    """Names of all networks: those of this package first, then those of installed packages."""
    return (*_OWN, *NETWORKS, *_installed())


def network_class(name: str) -> type[Network]:
    """The class of a network.

    Args:
        name: One of `model_names()`; or "module:Class", for a class in a module that can be imported, also from the
            working folder.

    Raises:
        ArgumentError: if there is no such network (names the nearest), or the class is not a `Network`.
    """
    if ":" in name:
        return _from_outside(name, name)
    check_choice("model", name, model_names())
    if name in _OWN:
        module, kind = _OWN[name]
        own: type[Network] = getattr(import_module(f"{__name__}.{module}"), kind)
        return own
    if name in NETWORKS:
        from fer3d.models.texture_network import texture_network

        return texture_network(name)
    return _from_outside(name, _installed()[name])


def build_model(name: str, **arguments: Any) -> Network:
    """A network with random weights.

    Args:
        name: As for `network_class`.
        arguments: Arguments of its `__init__`.

    Raises:
        ArgumentError: if there is no such network, or it does not take an argument.
    """
    kind = network_class(name)
    taken = kind.taken()
    for key in arguments:
        if key not in taken:
            raise ArgumentError(f"`{key}` is no argument of {name}, which takes {', '.join(taken)}")
    return kind(**arguments)


@cache
def _installed() -> Mapping[str, str]:
    """Name -> "module:Class" of the networks that installed packages register. ConfigError if a name is taken."""
    found: dict[str, str] = {}
    for point in entry_points(group=ENTRY_POINTS):
        owner = "fer3d" if point.name in (*_OWN, *NETWORKS) else found.setdefault(point.name, point.value)
        if owner != point.value:
            where = f"entry point {point.name} = {point.value} of {ENTRY_POINTS}"
            raise ConfigError(f"{where}: its name is that of a network of {owner}; uninstall one package")
    return found


def _from_outside(name: str, place: str) -> type[Network]:
    """The class at "module:Class". ArgumentError if it does not exist or is not a network."""
    from fer3d.models.network import Network

    module, _, kind = place.partition(":")
    if not all(part.isidentifier() for part in (*module.split("."), kind)):
        raise ArgumentError(f"`model` should be a name or module:Class, is {name!r}")
    here = str(Path.cwd())
    if here not in sys.path:  # an installed script does not have the working folder in its path
        sys.path.append(here)
    try:
        network = getattr(_imported(name, module), kind)
    except AttributeError:
        raise ArgumentError(f"`model` {name}: the module {module} has no class {kind}") from None
    if not (isinstance(network, type) and issubclass(network, Network)):
        raise ArgumentError(f"`model` {name}: {kind} should be a subclass of fer3d.models.network.Network")
    return network


def _imported(name: str, module: str) -> ModuleType:
    """The module. ArgumentError if it does not exist or cannot be imported; names the line and the reason."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{module}.".startswith(f"{error.name}."):
            raise ArgumentError(f"`model` {name}: there is no module {error.name}, here or installed") from None
        raise ArgumentError(f"`model` {name}: {module} cannot be imported{_why(error)}") from None
    except Exception as error:  # importing a foreign module can raise anything
        raise ArgumentError(f"`model` {name}: {module} cannot be imported{_why(error)}") from None


def _why(error: Exception) -> str:
    """A text with the line of the module that failed, and the first line of the error message."""
    if isinstance(error, SyntaxError):
        file, line, text = error.filename or "", error.lineno, error.msg
    else:
        last = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.name == "<module>"][-1]
        file, line, text = last.filename, last.lineno, next(iter(str(error).splitlines()), "")
    return f", {Path(file).name}:{line}: {type(error).__name__}: {text}"
