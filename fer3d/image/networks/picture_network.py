"""`PictureNetwork`: the base class of the networks for pictures, with hooks for a loss of their own."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import nn
from torch.func import functional_call
from torch.nn import functional

from fer3d.checks import check_range, check_shape
from fer3d.config import TextureSettings
from fer3d.errors import ArgumentError


class PictureSettings(TextureSettings):
    """Settings of every network for pictures. A network with more settings has a subclass of this as `Settings`."""

    of_training: ClassVar[frozenset[str]] = frozenset({"scaling"})

    pixels: int | None = Field(
        None, ge=8, le=1024, description="Rows and columns of the input pictures. Unset: as published."
    )
    channels: Literal[1, 3] | None = Field(None, description="1: grey, 3: colour. Unset: as published.")
    dropout: float | None = Field(None, ge=0.0, lt=1.0, description="Dropout rate. Unset: as published, or our choice.")
    scaling: Literal["picture", "set", "0-2"] = Field(
        "picture",
        description="How colours are scaled. picture: each picture to mean 0 and deviation 1. set: by the mean and the "
        "deviation of the training pictures. 0-2: from black 0 to white 2.",
    )


class SlowSettings(PictureSettings):
    """Settings of VGG, which is deep and has no normalisation.

    With the common learning rate of 2e-3, VGG-11 and VGG-16 stayed at chance on textures of 48 pixels, as their hidden
    units died; with 1e-4 VGG-11 learns (benchmarks/results/learns.md). The authors used sgd with 1e-2 and batches of
    128 or 256; the rate for adamw is ours [D].
    """

    adamw_lr: ClassVar[float | None] = 1e-4


class PictureNetwork(nn.Module):
    """Base class: convolutions, hidden layers and a head.

    Attributes:
        SIZE, CHANNELS: The published input; the defaults of `size` and `channels`.
        channels: C of the pictures.
        size: Rows and columns of the pictures.
        convolutions: (B, C, S, S) -> feature maps.
        hidden: Feature maps -> (B, D).
        head: (B, D) -> (B, K) logits.

    A network with a loss of its own defines one or both of:
        criterion: (B, K) logits and (B,) labels -> (B,): the loss that replaces cross entropy;
        penalty: what `observe` returns besides the logits, and (B,) labels -> (): a term added to the loss.
    """

    Settings: ClassVar[type[PictureSettings]] = PictureSettings
    criterion: Any = None
    penalty: Any = None

    SIZE: ClassVar[int]
    CHANNELS: ClassVar[int] = 1

    def __init__(self, size: int | None, channels: int | None) -> None:
        super().__init__()
        self.size = self.SIZE if size is None else size
        self.channels = self.CHANNELS if channels is None else channels
        check_range("size", self.size, 1, 4096, "pixels")
        if self.channels not in (1, 3):
            raise ArgumentError(f"`channels` should be 1 (grey) or 3 (colour), is {self.channels!r}")
        self.convolutions: nn.Module = nn.Identity()
        self.hidden: nn.Module = nn.Identity()
        self.head: nn.Module = nn.Identity()

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, S, S) -> (B, D): the input of `head`."""
        result: torch.Tensor = self.hidden(self.convolutions(x))
        return result

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, S, S) -> (B, K) logits."""
        check_shape("x", x, ("B", self.channels, self.size, self.size))
        logits: torch.Tensor = self.head(self.features(x))
        return logits

    def observe(self, x: torch.Tensor) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        """(B, C, S, S) -> (B, K) logits, and the inputs of `penalty`: here the features (B, D)."""
        features = self.features(x)
        return self.head(features), (features,)

    def flattened(self) -> int:
        """Number of values that the convolutions return for a picture, from shapes alone, without computation.

        Raises:
            ArgumentError: if the picture is too small for the convolutions.
        """
        stack = self.convolutions
        tensors = {**dict(stack.named_parameters()), **dict(stack.named_buffers())}
        shapes = {name: tensor.to("meta") for name, tensor in tensors.items()}
        probe = torch.empty(2, self.channels, self.size, self.size, device="meta")
        was_training = stack.training
        stack.eval()
        try:
            with torch.no_grad():
                result = functional_call(stack, shapes, probe)
        except (RuntimeError, ArgumentError):  # a window larger than the map
            raise ArgumentError(f"`size` {self.size} is too small for this network's convolutions") from None
        finally:
            stack.train(was_training)
        return int(result[0].numel())


def convolution(channels: int, out: int, kernel: int, **more: int) -> tuple[nn.Conv2d, nn.ReLU]:
    """Convolution with bias and ReLU; the default padding keeps the size."""
    more.setdefault("padding", kernel // 2)
    return nn.Conv2d(channels, out, kernel, **more), nn.ReLU(inplace=True)  # type: ignore[arg-type]


def two_hidden(inputs: int, dropout: float) -> nn.Sequential:
    """The 4096 + 4096 hidden units of AlexNet and VGG with dropout between them: (B, inputs) -> (B, 4096)."""
    return nn.Sequential(
        nn.Linear(inputs, 4096),
        nn.ReLU(inplace=True),
        nn.Dropout(dropout),
        nn.Linear(4096, 4096),
        nn.ReLU(inplace=True),
    )


def initialise(network: PictureNetwork) -> None:
    """He initialisation before every ReLU, zero biases [D]: no normalisation could correct other weights."""
    for module in (*network.convolutions.modules(), *network.hidden.modules()):
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def grey(pictures: torch.Tensor) -> torch.Tensor:
    """(B, 3, H, W) red, green, blue -> (B, 1, H, W) luma (ITU-R BT.601)."""
    check_shape("pictures", pictures, ("B", 3, "H", "W"))
    weights = pictures.new_tensor([0.299, 0.587, 0.114])
    return torch.einsum("bchw,c->bhw", pictures, weights)[:, None]


def resized(pictures: torch.Tensor, size: int) -> torch.Tensor:
    """(B, C, H, W) -> (B, C, size, size), bilinear; a smaller result averages over the footprint of each pixel."""
    if pictures.shape[-2:] == (size, size):
        return pictures
    wide = pictures.float()  # torch does not support half precision here on the CPU
    result = functional.interpolate(wide, (size, size), mode="bilinear", antialias=True, align_corners=False)
    return result.to(pictures.dtype)
