"""Converts model files of earlier versions to the current format, so that old runs keep predicting the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from fer3d.data.input_kinds import has_pixels_of_pictures
from fer3d.image.networks import NETWORKS

# Arguments of networks: earlier name -> current name.
_ARGUMENTS = {"place_dropout": "location_dropout", "inputs": "vertex_features", "own_loss": "penalty_weight"}
_SURFACE_NETWORKS = ("flm-cnn", "gcnn")
_STENCILS = ("radii", "rings", "rays")


def today(
    header: Mapping[str, Any], tensors: dict[str, torch.Tensor]
) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """The header and the tensors of a model file, in the format that this version writes.

    A header without `input` comes from a 0.1 version in which networks did not yet have their own settings.

    Raises:
        KeyError, TypeError, AttributeError: if no version wrote this header.
    """
    if "input" in header:
        return dict(header), tensors
    old = dict(header)
    arguments = {_ARGUMENTS.get(key, key): value for key, value in old.pop("model_settings").items()}
    trees = old["model"] in _SURFACE_NETWORKS
    groups = () if trees else tuple(arguments["maps"])
    if old["model"] in NETWORKS:  # networks for pictures no longer have the argument `maps`
        del arguments["maps"]
    pictures = groups == ("texture",) and has_pixels_of_pictures(old.get("pixel_mm"), old["preprocess"])
    renamed = {name.replace("registration.", "warp.", 1): tensor for name, tensor in tensors.items()}
    return {
        "illumination": "raw",
        "perturbations": 0,
        "target": {"kind": "classes", "name": "expression", "names": list(old.pop("classes"))},
        **old,
        "preprocess": {**old["preprocess"], "steps": 1},
        "model_settings": arguments,
        "input": "trees" if trees else "pictures" if pictures else "maps",
        "groups": groups,
        "warp": old.pop("registration", None),
        "stencils": {name: arguments[name] for name in _STENCILS} if trees else {},
        "whole_tree": bool(arguments.get("tree", False)),
    }, renamed
