"""Networks for pictures (`fer3d.image.networks`) trained on the texture of prepared scans: honest 2D baselines."""

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
    """A network for pictures behind what makes pictures of its input: colours alone, grey if it wants, its own size.

    The colours come standardised over the measured pixels of each scan, and 0 elsewhere, which is their mean; grey is
    the luma of those. `texture_network` makes the class of each network for pictures.

    Attributes:
        picture_network: The class of that network.
        network: It.

    Args:
        classes: K.
        pixels: Rows and columns of the picture that it sees. None: as published.
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
        """The settings of the network that were made, and the number of classes; the size of the maps is not asked."""
        given = {name: value for name, value in settings.model_dump(mode="json").items() if name in cls.taken()}
        return {"classes": classes, **{name: value for name, value in given.items() if value is not None}}

    @classmethod
    def taken(cls) -> tuple[str, ...]:
        """Names of the arguments of `__init__`: those of the network for pictures, the size as `pixels`."""
        taken = inspect.signature(cls.picture_network.__init__).parameters
        return ("pixels", *(name for name in taken if name not in ("self", "size")))

    @property
    def classifier(self) -> nn.Module:
        """(B, D) -> (B, K) logits."""
        return self.network.head

    def picture(self, x: torch.Tensor) -> torch.Tensor:
        """(B, 3 + 1, H, W), red, green, blue, mask -> (B, C, S, S): what the network sees."""
        colours = x[:, :-1]
        return resized(grey(colours) if self.network.channels == 1 else colours, self.network.size)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """(B, 3 + 1, H, W) -> (B, D): what `classifier` reads."""
        return self.network.features(self.picture(x))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, 3 + 1, H, W) -> (B, K) logits."""
        logits: torch.Tensor = self.network(self.picture(x))
        return logits

    def losses(self, x: torch.Tensor, criterion: Criterion) -> Losses:
        """That of the logits, by the network's own criterion if it has one; and its penalty, if it has one."""
        network = self.network
        logits, seen = network.observe(self.picture(x))
        terms = {"classification": criterion(logits, network.criterion)}
        if network.penalty is not None:
            whole = tuple(part.float() for part in seen)
            terms["penalty"] = criterion.of_labels(lambda labels: network.penalty(whole, labels))
        return Losses(logits, terms)


@cache
def texture_network(name: str) -> type[TextureNetwork]:
    """The `TextureNetwork` of a network of `fer3d.image.networks`. ArgumentError if there is none of that name."""
    kind = network_class(name)
    body = {"picture_network": kind, "Settings": kind.Settings, "__doc__": kind.__doc__, "__module__": __name__}
    return type(f"{kind.__name__}OfTexture", (TextureNetwork,), body)
