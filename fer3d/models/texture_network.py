"""Networks for pictures (`fer3d.image.networks`) trained on the texture of prepared scans: honest 2D baselines."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from fer3d.errors import ArgumentError
from fer3d.image.networks import build_network, network_class
from fer3d.image.networks.picture_network import grey, resized


class TextureNetwork(nn.Module):
    """A network for pictures behind what makes pictures of its input: colours alone, grey if it wants, its own size.

    The colours come standardised over the measured pixels of each scan, and 0 elsewhere, which is their mean; grey is
    the luma of those.

    Args:
        name: One of `fer3d.image.networks.NETWORKS`.
        maps: ("texture",).
        classes: K.
        pixels: Rows and columns of the picture that it sees. None: as published.
        settings: Other arguments of the network.

    Raises:
        ArgumentError: if `maps` is another, there is no such network, or an argument is out of range.
    """

    def __init__(
        self,
        name: str,
        maps: Sequence[str] = ("texture",),
        classes: int = 6,
        *,
        pixels: int | None = None,
        **settings: Any,
    ) -> None:
        super().__init__()
        check_texture_alone(name, maps)
        self.maps = tuple(maps)
        self.network = build_network(name, classes=classes, size=pixels, **settings)
        for hook in ("criterion", "penalty"):
            if hasattr(self.network, hook):
                setattr(self, hook, getattr(self.network, hook))

    @property
    def head(self) -> nn.Module:
        """(B, D) -> (B, K) logits."""
        return self.network.head

    def picture(self, x: torch.Tensor) -> torch.Tensor:
        """(B, 3 + 1, H, W), red, green, blue, mask -> (B, C, S, S): what the network sees."""
        colours = x[:, :-1]
        return resized(grey(colours) if self.network.channels == 1 else colours, self.network.size)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """(B, 3 + 1, H, W) -> (B, D): what `head` reads."""
        return self.network.features(self.picture(x))

    def forward(self, x: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        """(B, 3 + 1, H, W) -> (B, K) logits; while training (1, B, K), and what its penalty reads, if it has one."""
        picture = self.picture(x)
        if not self.training:
            logits: torch.Tensor = self.network(picture)
            return logits
        logits, seen = self.network.observe(picture)
        return (logits[None], seen) if hasattr(self, "penalty") else logits[None]


def texture_arguments(name: str) -> tuple[str, ...]:
    """What a `TextureNetwork` of that name takes."""
    own = [key for key in inspect.signature(network_class(name)).parameters if key not in ("classes", "size")]
    return ("maps", "classes", "pixels", *own)


def check_texture_alone(name: str, maps: Sequence[str]) -> None:
    """Raise ArgumentError unless `maps` is the texture, which is all that a network for pictures takes."""
    if tuple(maps) != ("texture",):
        raise ArgumentError(f"`maps` should be texture for {name}, a network for pictures, is {','.join(maps)}")
