"""`Recipe`: how the paper of a network trained it, as a table of settings, each with where it is known from.

A recipe is a TOML file beside the networks: `fer3d/image/networks/recipes` for pictures, `fer3d/models/recipes` for
maps. It names its network and its paper, and its tables hold settings:

    [training]        settings of `TrainSettings`
    [model]           settings of the network
    [fine-tuning]     settings of `TrainSettings` that replace those of [training] where the run has initial weights
    [fine-tuning.model]   settings of the network, likewise

Each setting is a table of its value and its origin, either `known`, the source that says so, or `ours`, why we chose:

    lr = { value = 0.005, known = "Yu and Zhang, ICMI 2015; recalled" }
    epochs = { value = 60, ours = "no source says how many" }

`missing` lists what of the paper's training is not here or not known. The recipe with the name of its network is that
network's own; others, such as `siamese` for 3c2f, are asked for by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from fer3d import files
from fer3d import image as image_room
from fer3d import models as models_room
from fer3d.checks import did_you_mean
from fer3d.config import TrainSettings
from fer3d.errors import ConfigError

OURS = "ours"  # the name of the package's recipe, which is the defaults of `TrainSettings`
PAPER = "paper"  # stands for the recipe of a network's own paper
FOLDERS = (
    Path(image_room.__path__[0]) / "networks" / "recipes",
    Path(models_room.__path__[0]) / "recipes",
)
_ORIGINS = ("known", "ours")
_TABLES = ("training", "model", "fine-tuning")


@dataclass(frozen=True)
class RecipeValue:
    """One setting of a recipe.

    Attributes:
        value: The value.
        origin: "known" or "ours".
        source: The paper or code that says so; or why we chose it.
    """

    value: Any
    origin: str
    source: str


@dataclass(frozen=True)
class Recipe:
    """The recipe of a network.

    Attributes:
        name: Its name.
        network: Name of the network that it is of.
        paper: The paper.
        values: Setting -> value; those of the network are called "model.NAME".
        fine_tuning: The same, with initial weights: these replace the others.
        missing: What of the paper's training is not here or not known, one sentence each.
    """

    name: str
    network: str
    paper: str
    values: Mapping[str, RecipeValue]
    fine_tuning: Mapping[str, RecipeValue]
    missing: tuple[str, ...] = ()

    def for_run(self, *, fine_tuned: bool) -> dict[str, RecipeValue]:
        """The settings of a run, which has initial weights or not."""
        return {**self.values, **(self.fine_tuning if fine_tuned else {})}


def recipe_names(network: str) -> tuple[str, ...]:
    """The recipes of a network, its own first if it has one, and "ours" last."""
    own = [recipe.name for recipe in all_recipes().values() if recipe.network == network]
    return (*sorted(own, key=lambda name: (name != network, name)), OURS)


def recipe_of(network: str, name: str | None = None) -> Recipe | None:
    """A recipe of a network; None is the package's.

    Args:
        network: Name of the network.
        name: Name of the recipe, "paper" for the network's own, or "ours". None: its own if it has one, else "ours".

    Raises:
        ConfigError: if the network has no recipe of this name (names those that it has).
    """
    names = recipe_names(network)
    wanted = OURS if name is None and names[0] != network else name or PAPER
    chosen = names[0] if wanted == PAPER and names[0] == network else wanted
    if chosen not in names:
        hint = did_you_mean(chosen, names)
        raise ConfigError(f"settings: `recipe` of {network} should be one of {', '.join(names)}, is {chosen!r}{hint}")
    return None if chosen == OURS else all_recipes()[chosen]


@cache
def all_recipes() -> Mapping[str, Recipe]:
    """Name -> recipe, of this package. ConfigError if a file is not a recipe."""
    paths = sorted(path for folder in FOLDERS for path in folder.glob("*.toml"))
    return {path.stem: read_recipe(path) for path in paths}


def read_recipe(path: Path) -> Recipe:
    """Read a recipe.

    Raises:
        FileError: if the file cannot be read.
        ConfigError: if it lacks a key, or a setting has no value, no origin or two (names the file and the setting).
    """
    table = files.read_toml(path, ConfigError)
    for key in ("network", "paper"):
        if not isinstance(table.get(key), str):
            raise ConfigError(f"{path}: `{key}` should be a text, is {table.get(key)!r}")
    for key in table:
        if key not in ("network", "paper", "missing", *_TABLES):
            raise ConfigError(f"{path}: unknown key `{key}`{did_you_mean(key, _TABLES)}")
    missing = table.get("missing", [])
    if not (isinstance(missing, list) and all(isinstance(line, str) for line in missing)):
        raise ConfigError(f"{path}: `missing` should be a list of sentences, is {missing!r}")
    later = dict(table.get("fine-tuning", {}))
    training, own, later_own, later = (
        {f"{start}{key}": _value(path, key, entry) for key, entry in part.items()}
        for part, start in (
            (table.get("training", {}), ""),
            (table.get("model", {}), "model."),
            (later.pop("model", {}), "model."),
            (later, ""),
        )
    )
    return Recipe(path.stem, table["network"], table["paper"], training | own, later | later_own, tuple(missing))


def _value(path: Path, key: str, entry: Any) -> RecipeValue:
    origins = [name for name in _ORIGINS if isinstance(entry, dict) and name in entry]
    if len(origins) != 1 or set(entry) != {"value", origins[0]} or not isinstance(entry[origins[0]], str):
        raise ConfigError(f"{path}: `{key}` should be a table of value and known, or of value and ours, is {entry!r}")
    value = tuple(entry["value"]) if isinstance(entry["value"], list) else entry["value"]
    return RecipeValue(value, origins[0], entry[origins[0]])


# Setting -> what a value that was typed for it makes of a recipe's value, and the settings of the recipe that fall.
_FOLLOWERS: tuple[tuple[str, Callable[[Any, Any], bool], tuple[str, ...]], ...] = (
    (
        "optimizer",
        lambda typed, recipe: bool(typed != recipe),
        (
            "lr",
            "momentum",
            "nesterov",
            "weight_decay",
            "decayed",
            "schedule",
            "drop_steps",
            "drop_factor",
            "model.frozen_lr",
            "model.branch_lr",
        ),
    ),
    ("schedule", lambda typed, recipe: bool(typed != recipe), ("drop_steps", "drop_factor")),
    ("epochs", lambda typed, recipe: True, ("steps",)),
    ("steps", lambda typed, recipe: True, ("epochs", "model.freeze_epochs", "model.frozen_lr")),
    ("siamese", lambda typed, recipe: not typed, ("easy",)),
    ("model.penalty_weight", lambda typed, recipe: not typed, ("model.neighbours", "model.form")),
    ("model.read_out", lambda typed, recipe: bool(typed != recipe), ("model.svm_c",)),
    ("model.freeze_epochs", lambda typed, recipe: not typed, ("model.frozen_lr",)),
)


def without_followers(recipe: Mapping[str, RecipeValue], typed: Mapping[str, Any]) -> dict[str, Any]:
    """Setting -> value of a recipe, for a run of which `typed` settings are given otherwise.

    What is typed wins, and takes with it the settings of the recipe that mean nothing beside it: another optimiser
    than the recipe's has a learning rate of its own, and in fewer epochs than those of the first stage there is none.
    """
    fallen = set(typed)
    for leader, moves, followers in _FOLLOWERS:
        entry = recipe.get(leader)
        if leader in typed and moves(typed[leader], None if entry is None else entry.value):
            fallen |= set(followers)
    frozen, epochs = recipe.get("model.freeze_epochs"), typed.get("epochs")
    if frozen is not None and isinstance(epochs, int) and epochs <= frozen.value:  # the stage would have no end
        fallen |= {"model.freeze_epochs", "model.frozen_lr"}
    return {key: entry.value for key, entry in recipe.items() if key not in fallen}


def recipe_facts(network: str, chosen: TrainSettings, stored: Mapping[str, Any]) -> dict[str, Any]:
    """What a run stores of its recipe.

    Args:
        network: Name of the network.
        chosen: The settings of the run.
        stored: The settings that it uses, as `fer3d.train.settings.used` returns them.

    Returns:
        {"name": ..., "paper": ..., "values": {setting: {"value", "origin", "source"}}, "changed": [settings of the
        recipe that the run has otherwise], "missing": [...]}; of "ours" the name alone.
    """
    recipe = recipe_of(network, chosen.recipe)
    if recipe is None:
        return {"name": OURS}
    flat = {**stored, **{f"model.{key}": value for key, value in stored.get("model", {}).items()}}
    values = recipe.for_run(fine_tuned=chosen.model.init is not None)
    kept = {key: entry for key, entry in values.items() if key in flat and _same(flat[key], entry.value)}
    return {
        "name": recipe.name,
        "paper": recipe.paper,
        "values": {key: vars(entry) | {"value": flat[key]} for key, entry in kept.items()},
        "changed": [key for key in values if key not in kept],
        "missing": list(recipe.missing),
    }


def _same(stored: Any, value: Any) -> bool:
    return bool((list(value) if isinstance(value, tuple) else value) == stored)


def recipe_line(facts: Mapping[str, Any]) -> str:
    """What `recipe_facts` says, in one line; "" of the package's recipe."""
    if "values" not in facts:
        return ""
    origins = [entry["origin"] for entry in facts["values"].values()]
    known, ours = (origins.count(origin) for origin in _ORIGINS)
    text = f"recipe: {facts['name']}, of its paper; {known} settings are known, {ours} ours"
    if facts["changed"]:
        text += f"; changed here: {', '.join(facts['changed'])}"
    return text
