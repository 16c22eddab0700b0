"""The settings of a training run: from a recipe, a preset, a file and the command line, checked against the network.

A setting that the network, its input or the optimiser does not use is an error if it was given, and is otherwise not
stored with the run: `run.json` holds exactly the settings that the run used.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from fer3d.checks import nearest
from fer3d.config import NetworkSettings, TrainSettings, parse_assignments, read_toml, settings
from fer3d.data.input_kinds import unused_augmentation
from fer3d.errors import ArgumentError, ConfigError
from fer3d.models import network_class
from fer3d.models.network import PretrainedSettings
from fer3d.train.recipes import RecipeValue, recipe_of, without_followers

# The presets of `--preset`; a TOML file and `--set` override them. A network ignores keys of `model` that it lacks.
PRESETS: Mapping[str, Mapping[str, Any]] = {
    "small": {},
    # spec 2.3: SGD 0.9, weight decay 5e-4, batch 32, 40 epochs; meant for 224 x 224 maps and a GPU
    "full": {
        "model": {"backbone": "resnet-18"},
        "epochs": 40,
        "optimizer": "sgd",
        "lr": 1e-2,
        "weight_decay": 5e-4,
        "schedule": "cosine",
        "precision": "bf16-mixed",
        "deterministic": False,
    },
    # for demonstrations: a minute per fold
    "tiny": {"model": {"width": 8}, "epochs": 15},
}

# What a preset also gives with initial weights: two stages, and a lower rate for the layers beside the branches.
_FINE_TUNING: Mapping[str, Mapping[str, Any]] = {"full": {"model": {"freeze_epochs": 5}, "lr": 1e-3}}

# Augmentation settings that `perturb` replaces.
_MOVES = ("mirror", "rotate_deg", "shift", "scale", "stretch")


def train_settings(
    network: str,
    preset: str = "small",
    config: Path | None = None,
    assignments: Iterable[str] = (),
    *,
    model: Mapping[str, Any] | None = None,
    **options: Any,
) -> TrainSettings:
    """Settings from a recipe, a preset, a TOML file, `--set` items and options by name; later ones win.

    The recipe is the one that `recipe` names among the others, else that of the network's paper if there is one (see
    `fer3d.train.recipes`). A setting of the recipe falls if it means nothing beside what overrides another.

    Args:
        network: The network to train: a name in `fer3d.models.MODELS`, or "module:Class".
        preset: One of `PRESETS`.
        config: TOML file with the keys of `TrainSettings`, and the network's own settings in its table `model`; or
            None.
        assignments: Items such as "epochs=60" and "model.width=8".
        model: The network's own settings by name; None means "not given".
        options: Fields of `TrainSettings` by name; None means "not given".

    Raises:
        ConfigError, FileError: for an unknown preset or key (names the nearest valid key), a value out of range, or a
            setting that would change nothing, or no recipe of that name.
        ArgumentError: if there is no such network.
    """
    if preset not in PRESETS:
        raise ConfigError(f"settings: `preset` should be one of {', '.join(PRESETS)}, got {preset!r}")
    kind = network_class(network).Settings
    common, own = dict[str, Any](), dict[str, Any]()
    for table, where in (
        (read_toml(config) if config is not None else {}, str(config)),
        (parse_assignments(assignments), "settings"),
        ({**options, "model": dict(model or {})}, "settings"),
    ):
        table = {key: value for key, value in table.items() if value is not None}
        mine = {key: value for key, value in _own_table(table, where).items() if value is not None}
        _check_keys(network, kind, table, mine, where)
        common |= table
        own |= mine
    preset_common, preset_own = _of_preset(preset, kind, fine_tuned=own.get("init") is not None)
    common, own = {**preset_common, **common}, {**preset_own, **own}
    recipe = recipe_of(network, common.get("recipe"))
    if recipe is None:
        return complete(network, _made(kind, common, own))
    values = recipe.for_run(fine_tuned=own.get("init") is not None)
    return complete(network, _with_recipe(kind, values, {**common, "recipe": recipe.name}, own))


def _made(kind: type[NetworkSettings], common: Mapping[str, Any], own: Mapping[str, Any]) -> TrainSettings:
    return settings(TrainSettings, {**common, "model": settings(kind, own, "settings: model")})


def _with_recipe(
    kind: type[NetworkSettings], recipe: Mapping[str, RecipeValue], common: Mapping[str, Any], own: Mapping[str, Any]
) -> TrainSettings:
    """The settings of a recipe, overridden by those that were given, without what these make useless."""
    typed = {**common, **{f"model.{name}": value for name, value in own.items()}}
    first = without_followers(recipe, typed)
    mine = {key.removeprefix("model."): value for key, value in first.items() if key.startswith("model.")}
    others = {key: value for key, value in first.items() if not key.startswith("model.")}
    chosen = _made(kind, {**others, **common}, {**mine, **own})
    idle = unused(chosen).keys() & others.keys()
    kept = {key: value for key, value in others.items() if key not in idle}
    return _made(kind, {**kept, **common}, {**mine, **own}) if idle else chosen


def _of_preset(preset: str, kind: type[NetworkSettings], fine_tuned: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """The values of a preset: of training, and of the network's own settings, as far as it has them."""
    common, own = dict[str, Any](), dict[str, Any]()
    for table in (PRESETS[preset], _FINE_TUNING.get(preset, {}) if fine_tuned else {}):
        common |= {key: value for key, value in table.items() if key != "model"}
        own |= table.get("model", {})
    own |= kind.presets.get(preset, {})
    return common, {key: value for key, value in own.items() if key in kind.model_fields}


def complete(network: str, chosen: TrainSettings | None) -> TrainSettings:
    """The settings, with the network's own defaults where its settings, or its learning rate, are not given.

    None is the package's recipe, which is the defaults.

    Raises:
        ArgumentError: if the settings belong to another network, or there is no such network.
        ConfigError: if a setting was given that would change nothing, the network has no such recipe, or the branches
            would stay frozen to the end.
    """
    kind = network_class(network).Settings
    chosen = TrainSettings() if chosen is None else chosen
    recipe_of(network, chosen.recipe)
    if kind.adamw_lr is not None and chosen.optimizer == "adamw" and "lr" not in chosen.model_fields_set:
        chosen = chosen.model_copy(update={"lr": kind.adamw_lr})
    if type(chosen.model) is NetworkSettings:
        chosen = chosen.model_copy(update={"model": kind()})
    if not isinstance(chosen.model, kind):
        raise ArgumentError(
            f"`settings.model` should be the settings of {network}, {kind.__qualname__}, "
            f"is {type(chosen.model).__qualname__}"
        )
    for name, reason in unused(chosen).items():
        if name in chosen.model_fields_set and getattr(chosen, name) != TrainSettings.model_fields[name].default:
            raise ConfigError(f"settings: `{name}` would change nothing for {network}: it {reason}")
    own = chosen.model
    if isinstance(own, PretrainedSettings) and chosen.steps is None and own.freeze_epochs >= chosen.epochs:
        raise ConfigError(
            f"settings: `model.freeze_epochs` should be less than `epochs` {chosen.epochs}, is {own.freeze_epochs}"
        )
    return chosen


def with_own(chosen: TrainSettings, own: NetworkSettings) -> TrainSettings:
    """The settings with the network's own replaced, and without training settings that would then change nothing."""
    changed = chosen.model_copy(update={"model": own})
    ignored = unused(changed)
    given = {name: getattr(changed, name) for name in changed.model_fields_set if name not in ignored}
    return TrainSettings(**{**given, "model": own})


def used(chosen: TrainSettings) -> dict[str, Any]:
    """The settings that a run uses, as values that JSON can hold."""
    table = chosen.model_dump(mode="json")
    for name in unused(chosen):
        del table[name]
    for name in chosen.model.idle():
        del table["model"][name]
    return table


def _own_table(table: dict[str, Any], where: str) -> Mapping[str, Any]:
    """Remove the table `model` from `table` and return it."""
    own = table.pop("model", {})
    if not isinstance(own, Mapping):
        raise ConfigError(f"{where}: `model` should be a table of the network's settings, is {own!r}")
    return own


def _check_keys(
    network: str, kind: type[NetworkSettings], table: Mapping[str, Any], own: Mapping[str, Any], where: str
) -> None:
    """Raise ConfigError for the first key that is a setting of neither training nor the network."""
    mine = [f"model.{name}" for name in kind.model_fields]
    known = [name for name in TrainSettings.model_fields if name != "model"]
    places = {name: name for name in known} | {name: f"model.{name}" for name in kind.model_fields}
    for key in own:
        if f"model.{key}" not in mine:
            near = nearest(key, list(kind.model_fields))
            hint = f"did you mean `model.{near}`? It" if near else "it"
            raise ConfigError(f"{where}: unknown key `model.{key}` of {network}; {hint} takes {', '.join(mine)}")
    for key in table:
        if key not in known:
            near = nearest(key, list(places))
            hint = f"{network} takes {', '.join(mine)}, training {', '.join(known)}"
            if near is not None:
                hint = f"did you mean `{places[near]}`?"
            raise ConfigError(f"{where}: unknown key `{key}`; {hint}")


def unused(chosen: TrainSettings) -> dict[str, str]:
    """Name of a training setting that would have no effect -> the reason."""
    reasons = {**unused_augmentation(chosen.model), **chosen.model.unused()}
    if chosen.optimizer != "sgd":
        reasons |= dict.fromkeys(("momentum", "nesterov"), f"is of sgd, `optimizer` is {chosen.optimizer}")
    elif not chosen.momentum:
        reasons["nesterov"] = "is of momentum, which is 0"
    if not chosen.weight_decay:
        reasons["decayed"] = "is of weight decay, which is 0"
    if chosen.schedule != "steps":
        idle = f"is of schedule steps, `schedule` is {chosen.schedule}"
        reasons |= dict.fromkeys(("drop_steps", "drop_factor"), idle)
    if chosen.steps is not None:
        reasons["epochs"] = "counts passes over the scans, `steps` takes its place"
    if chosen.crop == 1.0:
        reasons.setdefault("test_crops", "is of parts of pictures, `crop` is 1")
    if chosen.perturb:
        reasons |= dict.fromkeys(_MOVES, "moves a face otherwise than `perturb`, which takes its place")
    if chosen.test_perturbations:
        averaged = "averages less than `test_perturbations`, which takes its place"
        reasons |= dict.fromkeys(("test_mirror", "test_crops"), averaged)
    if not chosen.siamese:
        reasons["easy"] = "is of siamese, which is off"
    return reasons
