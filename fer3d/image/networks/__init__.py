"""Networks for pictures, one paper a file.

Every one takes (B, C, S, S) pictures, grey (C = 1) or in colour, each standardised: mean about 0 and deviation about 1
over the picture; what the authors did to the light before is not part of the network (`fer3d.image.illumination`).
`features` gives what `head` reads; `forward` gives logits. Layer sizes are marked as in the papers' reading: [F] read
in code or abstract, [M] recalled, [D] our choice. Fully connected layers fit themselves to `size`, at which alone the
number of parameters is the published one.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

from fer3d.checks import check_choice

if TYPE_CHECKING:
    from fer3d.image.networks.picture_network import PictureNetwork

# Name -> module and class, imported when asked for.
NETWORKS: Mapping[str, tuple[str, str]] = {
    "tang": ("tang", "Tang"),
    "yu-zhang": ("yu_zhang", "YuZhang"),
    "kahou": ("kahou", "Kahou"),
    "alexnet": ("alexnet", "AlexNet"),
    "vgg-11": ("vgg", "VGG11"),
    "vgg-16": ("vgg", "VGG16"),
    "3c2f": ("jung", "Jung"),
    "khorrami": ("khorrami", "Khorrami"),
    "dlp-cnn": ("dlp_cnn", "DLPCNN"),
    "frr-cnn": ("frr_cnn", "FRRCNN"),
    "resnet-18": ("resnet_18", "ResNet18"),
}


def network_class(name: str) -> type[PictureNetwork]:
    """The class of a network.

    Raises:
        ArgumentError: if there is none of that name (names the nearest).
    """
    check_choice("name", name, NETWORKS)
    module, kind = NETWORKS[name]
    return cast("type[PictureNetwork]", getattr(import_module(f"{__name__}.{module}"), kind))


def build_network(name: str, **settings: Any) -> PictureNetwork:
    """A network with random weights.

    Args:
        name: One of `NETWORKS`.
        settings: Arguments of its class: classes, size, channels, dropout, and what it has of its own.

    Raises:
        ArgumentError: if there is none of that name, or an argument is out of range.
    """
    return network_class(name)(**settings)
