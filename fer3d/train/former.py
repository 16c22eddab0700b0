"""Converts model files of earlier versions to the current format, so that old runs keep predicting the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fer3d.image.networks import NETWORKS

if TYPE_CHECKING:
    import torch

# Arguments of networks: earlier name -> current name.
_ARGUMENTS = {"place_dropout": "location_dropout", "inputs": "vertex_features", "own_loss": "penalty_weight"}
# Arguments that only `oriented-fusion` takes; in earlier versions it was dff-cnn, and df-cnn with a bottleneck.
_ORIENTED_FUSION = ("location_dropout", "mask", "position", "map_dropout", "auxiliary", "early_fusion")
_BOTTLENECK = 32  # features
# Arguments that only `surface-grid` takes; in earlier versions it was flm-cnn.
_SURFACE_GRID = ("location_dropout", "rotation")
_SURFACE_NETWORKS = ("surface-grid", "gcnn")
_STENCILS = ("radii", "rings", "rays")


def today(
    header: Mapping[str, Any], tensors: dict[str, torch.Tensor]
) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """The header and the tensors of a model file, in the format that this version writes.

    Networks have the names that `facts_today` gives them. A header without `input` comes from a 0.1 version in which
    networks did not yet have their own settings, one without `levels` from when a network read the whole tree or the
    points of its second level from the top.

    Raises:
        KeyError, TypeError, AttributeError: if no version wrote this header.
    """
    old = {**header, **facts_today(header)}
    if header.get("model") == "df-cnn" != old["model"]:  # its last layer has a dropout before it now
        tensors = {f"head.1.{key[5:]}" if key.startswith("head.") else key: item for key, item in tensors.items()}
    if "input" in header:
        return {"levels": _levels(old.pop("whole_tree", True), old["input"]), **old}, tensors
    from fer3d.data.input_kinds import has_pixels_of_pictures

    arguments = old.pop("model_settings")
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
        "levels": _levels(bool(arguments.get("tree", False)), "trees" if trees else "maps"),
    }, renamed


def facts_today(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The network's name and arguments in a header or in the content of run.json, as they are now.

    What was dff-cnn is `oriented-fusion`, what was df-cnn is `oriented-fusion` with a bottleneck of 32 features, and
    what was flm-cnn is `surface-grid`: none was the network of its paper. Empty if the content names no network or no
    arguments.
    """
    name, arguments = facts.get("model"), facts.get("model_settings")
    if name is None or not isinstance(arguments, Mapping):
        return {}
    if "input" not in facts:
        arguments = {_ARGUMENTS.get(key, key): value for key, value in arguments.items()}
    if name in ("dff-cnn", "df-cnn") and any(key in arguments for key in _ORIENTED_FUSION):
        more = {"bottleneck": _BOTTLENECK, "early_fusion": False} if name == "df-cnn" else {}
        name, arguments = "oriented-fusion", {**arguments, **more}
    if name == "flm-cnn" and any(key in arguments for key in _SURFACE_GRID):
        name = "surface-grid"
    if name == "gcnn":  # which always reads one level
        arguments = {key: value for key, value in arguments.items() if key != "tree"}
    return {"model": name, "model_settings": dict(arguments)}


def _levels(whole: bool, kind: str) -> str:
    return "all" if whole or kind != "trees" else "second"
