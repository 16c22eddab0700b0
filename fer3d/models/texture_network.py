"""2D baselines: networks for pictures (`fer3d.image.networks`), trained on the texture of prepared scans."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import cache
from typing import Any, ClassVar

import torch
from torch import nn

from fer3d.config import NetworkSettings
from fer3d.image.networks import network_class
from fer3d.image.networks.picture_network import PictureNetwork, grey, resized
from fer3d.models.network import Criterion, Losses, Network


class TextureNetwork(Network, abstract=True):
    """A network for pictures, applied to the texture channels, converted to grey and resized as it needs.

    The input colours are standardised over the measured pixels of each scan, and 0, their mean, elsewhere; grey is the
    luma of these. `texture_network` creates a subclass for each network for pictures.

    Attributes:
        picture_network: Class of the network for pictures.
        network: The network for pictures.

    Args:
        classes: K.
        pixels: Rows and columns of the picture that the network takes. None: as published.
        settings: Other arguments of the network.

    Raises:
        ArgumentError: if an argument is out of range.
    """

    picture_network: ClassVar[type[PictureNetwork]]

    def __init__(self, classes: int = 6, *, pixels: int | None = None, **settings: Any) -> None:
        super().__init__()
        self.network = self.picture_network(classes=classes, size=pixels, **settings)  # type: ignore[call-arg]

    @classmethod
    def arguments(
        cls, settings: NetworkSettings, classes: int, shape: Mapping[str, Any], target: str = "classes"
    ) -> dict[str, Any]:
        """The network's settings that are not None, and the number of classes; the size of the maps is not used."""
        given = {name: value for name, value in settings.model_dump(mode="json").items() if name in cls.taken()}
        return {"classes": classes, **{name: value for name, value in given.items() if value is not None}}

    @classmethod
    def published_pixels(cls, settings: NetworkSettings) -> int:
        """Rows and columns of the picture that the network takes: larger pictures are reduced to it."""
        return getattr(settings, "pixels", None) or cls.picture_network.SIZE

    @classmethod
    def taken(cls) -> tuple[str, ...]:
        """Names of the arguments of `__init__`: those of the network for pictures, with `pixels` for `size`."""
        taken = inspect.signature(cls.picture_network.__init__).parameters
        return ("pixels", *(name for name in taken if name not in ("self", "size")))

    @property
    def classifier(self) -> nn.Module:
        """The layers (B, D) -> (B, K) logits."""
        return self.network.head

    def picture(self, x: torch.Tensor) -> torch.Tensor:
        """(B, 3 + 1, H, W), red, green, blue, mask -> (B, C, S, S): the input of the network."""
        colours = x[:, :-1]
        return resized(grey(colours) if self.network.channels == 1 else colours, self.network.size)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """(B, 3 + 1, H, W) -> (B, D): the input of `classifier`."""
        return self.network.features(self.picture(x))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, 3 + 1, H, W) -> (B, K) logits."""
        logits: torch.Tensor = self.network(self.picture(x))
        return logits

    def losses(self, x: torch.Tensor, criterion: Criterion) -> Losses:
        """The loss of the logits, by the network's own criterion if it has one, and the network's penalty, if any."""
        network = self.network
        logits, seen = network.observe(self.picture(x))
        terms = {"classification": criterion(logits, network.criterion)}
        if network.penalty is not None:
            whole = tuple(part.float() for part in seen)
            terms["penalty"] = criterion.of_labels(lambda labels: network.penalty(whole, labels))
        return Losses(logits, terms)


@cache
def texture_network(name: str) -> type[TextureNetwork]:
    """The `TextureNetwork` of a network in `fer3d.image.networks`. ArgumentError if there is none of this name."""
    kind = network_class(name)
    body = {"picture_network": kind, "Settings": kind.Settings, "__doc__": kind.__doc__, "__module__": __name__}
    return type(f"{kind.__name__}OfTexture", (TextureNetwork,), body)
