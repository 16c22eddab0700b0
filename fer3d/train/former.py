"""What files of former versions say, in the words of today, so that old runs go on predicting the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from fer3d.data.input_kinds import has_pixels_of_pictures
from fer3d.image.networks import NETWORKS

# Arguments of networks: former name -> name.
_ARGUMENTS = {"place_dropout": "location_dropout", "inputs": "vertex_features", "own_loss": "penalty_weight"}
_SURFACE_NETWORKS = ("flm-cnn", "gcnn")
_STENCILS = ("radii", "rings", "rays")


def today(
    header: Mapping[str, Any], tensors: dict[str, torch.Tensor]
) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """The header and the tensors of a model file as this version writes them.

    Headers without `input` are of 0.1 before networks had settings of their own.

    Raises:
        KeyError, TypeError, AttributeError: if it is the header of no version.
    """
    if "input" in header:
        return dict(header), tensors
    found = dict(header)
    arguments = {_ARGUMENTS.get(key, key): value for key, value in found.pop("model_settings").items()}
    trees = found["model"] in _SURFACE_NETWORKS
    groups = () if trees else tuple(arguments["maps"])
    if found["model"] in NETWORKS:  # those for pictures, which no longer ask which map they are fed
        del arguments["maps"]
    pictures = groups == ("texture",) and has_pixels_of_pictures(found.get("pixel_mm"), found["preprocess"])
    renamed = {name.replace("registration.", "warp.", 1): tensor for name, tensor in tensors.items()}
    return {
        "illumination": "raw",
        "perturbations": 0,
        "target": {"kind": "classes", "name": "expression", "names": list(found.pop("classes"))},
        **found,
        "model_settings": arguments,
        "input": "trees" if trees else "pictures" if pictures else "maps",
        "groups": groups,
        "warp": found.pop("registration", None),
        "stencils": {name: arguments[name] for name in _STENCILS} if trees else {},
        "whole_tree": bool(arguments.get("tree", False)),
    }, renamed
