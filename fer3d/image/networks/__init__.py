"""Networks for pictures: one paper per file.

Every network takes (B, C, S, S) pictures, grey (C = 1) or in colour, each standardised to a mean near 0 and a standard
deviation near 1. The authors' illumination normalisation is not part of the network: see `fer3d.image.illumination`.
`features` returns the input of `head`; `forward` returns logits. Marks give the source of a layer size: [F] read in
code or an abstract, [M] recalled, [D] our choice. Fully connected layers adapt to `size`; only at the published size
is the number of parameters the published one.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

from fer3d.checks import check_choice

if TYPE_CHECKING:
    from fer3d.image.networks.picture_network import PictureNetwork

# Name -> module and class; the module is imported on first use.
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
        ArgumentError: if no network has that name (the message names the nearest).
    """
    check_choice("name", name, NETWORKS)
    module, kind = NETWORKS[name]
    return cast("type[PictureNetwork]", getattr(import_module(f"{__name__}.{module}"), kind))


def build_network(name: str, **settings: Any) -> PictureNetwork:
    """A network with random weights.

    Args:
        name: One of `NETWORKS`.
        settings: Arguments of its class: classes, size, channels, dropout, and those of this network alone.

    Raises:
        ArgumentError: if no network has that name, or an argument is out of range.
    """
    return network_class(name)(**settings)
