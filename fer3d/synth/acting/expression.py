"""The six prototypical expressions as recipes of action units, and the weights of a face that shows an expression.

The units of an emotion follow the tables of FACS handbooks (EMFACS), which give several variants of each emotion;
weights and shares are our choice. Units and their names are those of `fer3d.face.model`; a recipe drives every face
model that has its units. `fer3d.synth.acting.habits` models the differences between people.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

import numpy as np

from fer3d.catalog.action_units import PRESENT
from fer3d.checks import check_choice
from fer3d.errors import ArgumentError
from fer3d.face.model import sides
from fer3d.scan import EXPRESSIONS
from fer3d.synth.acting.habits import Habits

# Share of the full recipe at the four intensity levels of BU-3DFE.
LEVELS = {1: 0.40, 2: 0.60, 3: 0.80, 4: 1.00}

_MOST = 1.3  # largest weight of a unit


class Way(NamedTuple):
    """A way to show an emotion: the share of people who show it, and unit (without side) -> weight at full strength."""

    share: float
    units: Mapping[str, float]


# The first way of each emotion is that of textbooks.
WAYS: dict[str, tuple[Way, ...]] = {
    "neutral": (Way(1.0, {}),),
    "anger": (
        Way(0.40, {"AU4": 1.0, "AU5": 0.4, "AU7": 0.6, "AU9": 0.2, "AU17": 0.3, "AU24": 0.9}),
        Way(0.20, {"AU4": 1.0, "AU5": 0.4, "AU7": 0.5, "AU23": 0.9}),
        Way(0.20, {"AU4": 1.0, "AU5": 0.4, "AU7": 0.5, "AU10": 0.5, "AU23": 0.4, "AU25": 0.6}),
        Way(0.20, {"AU4": 0.9, "AU7": 0.5, "AU17": 0.5, "AU24": 0.6}),
    ),
    "disgust": (
        Way(0.40, {"AU4": 0.4, "AU6": 0.4, "AU7": 0.4, "AU9": 1.0, "AU10": 0.7, "AU15": 0.3, "AU17": 0.4}),
        Way(0.25, {"AU10": 0.9, "AU9": 0.4, "AU16": 0.5, "AU25": 0.5, "AU7": 0.3}),
        Way(0.20, {"AU9": 0.8, "AU15": 0.5, "AU17": 0.5, "AU4": 0.4}),
        Way(0.15, {"AU10": 0.8, "AU17": 0.6, "AU4": 0.3, "AU7": 0.3}),
    ),
    "fear": (
        Way(0.35, {"AU1": 1.0, "AU2": 0.6, "AU4": 0.5, "AU5": 1.0, "AU20": 0.9, "AU25": 0.6, "AU26": 0.5}),
        Way(0.25, {"AU1": 0.9, "AU2": 0.5, "AU4": 0.4, "AU5": 0.8, "AU26": 0.6, "AU25": 0.3}),
        Way(0.20, {"AU1": 0.8, "AU2": 0.5, "AU4": 0.5, "AU5": 0.9, "AU20": 0.5}),
        Way(0.20, {"AU5": 0.7, "AU1": 0.5, "AU20": 0.9, "AU16": 0.4, "AU25": 0.4}),
    ),
    "happiness": (
        Way(0.50, {"AU6": 0.9, "AU12": 1.0, "AU25": 0.8, "AU26": 0.15}),
        Way(0.30, {"AU12": 1.0, "AU6": 0.5}),
        Way(0.20, {"AU12": 0.9, "AU6": 0.4, "AU10": 0.3, "AU26": 0.3, "AU25": 0.5}),
    ),
    "sadness": (
        Way(0.35, {"AU1": 1.0, "AU4": 0.5, "AU15": 1.0, "AU17": 0.6, "AU43": 0.2}),
        Way(0.25, {"AU1": 0.6, "AU4": 0.5, "AU15": 0.8, "AU7": 0.2}),
        Way(0.20, {"AU4": 0.6, "AU15": 0.6, "AU17": 0.8, "AU43": 0.2}),
        Way(0.20, {"AU6": 0.4, "AU15": 0.9, "AU17": 0.3, "AU1": 0.3}),
    ),
    "surprise": (
        Way(0.45, {"AU1": 1.0, "AU2": 1.0, "AU5": 1.0, "AU25": 0.5, "AU26": 1.0, "AU27": 0.5}),
        Way(0.25, {"AU1": 1.0, "AU2": 1.0, "AU5": 0.9, "AU27": 0.8}),
        Way(0.15, {"AU1": 0.9, "AU2": 0.9, "AU26": 0.7}),
        Way(0.15, {"AU5": 0.9, "AU26": 0.8, "AU1": 0.4, "AU2": 0.4}),
    ),
}
RECIPES: dict[str, Mapping[str, float]] = {label: ways[0].units for label, ways in WAYS.items()}
RECIPE_UNITS = tuple(
    f"AU{n}" for n in sorted({int(u[2:]) for ways in WAYS.values() for way in ways for u in way.units})
)


def check_units(units: Collection[str], model: str) -> None:
    """Raise ArgumentError unless every unit of every recipe, one- or two-sided, is among `units`."""
    bare = {_bare(name) for name in units}
    missing = [unit for unit in RECIPE_UNITS if unit not in bare]
    if missing:
        raise ArgumentError(f"`face_model` should have the units of every recipe; {model} lacks {', '.join(missing)}")


def recipe(expression: str, habits: Habits | None = None) -> dict[str, float]:
    """The recipe of an expression, of the textbook or of a person: unit (without side) -> weight at full strength.

    A person shows one of the ways in `WAYS`, mixed with a share of another emotion.

    Args:
        expression: A canonical label, see `fer3d.scan.EXPRESSIONS`.
        habits: Habits of the person. None: the textbook's recipe, which is the first way.

    Raises:
        ArgumentError: if the expression is not a canonical label.
    """
    check_choice("expression", expression, EXPRESSIONS)
    ways = WAYS[expression]
    if habits is None or expression == "neutral":
        return dict(ways[0].units)
    own = ways[int(np.searchsorted(np.cumsum([way.share for way in ways]), habits.way[expression] * 0.999))].units
    other, share = habits.leak[expression]
    if share == 0.0:
        return dict(own)
    leaked = WAYS[other][0].units
    return {
        unit: (1 - share) * own.get(unit, 0.0) + share * leaked.get(unit, 0.0)
        for unit in RECIPE_UNITS
        if unit in own or unit in leaked
    }


def weights(
    recipe: Mapping[str, float],
    strength: float,
    units: Collection[str],
    habits: Habits | None = None,
    moment: np.random.Generator | None = None,
) -> dict[str, float]:
    """Weights of the action units of a face model for one scan.

    Args:
        recipe: Unit -> weight at full strength, see `recipe`; a unit with a side (`AU12_L`) acts on that side only.
        strength: 0 is neutral, 1 is full strength; `LEVELS` gives the strengths of the four levels.
        units: Units of the face model (`FaceModel.action_units`).
        habits: Habits of the person: strength and asymmetry of each unit, units never shown, units tense at rest.
        moment: Generator of the differences between performances. None: no such differences and no stray units.

    Returns:
        Unit (with side, where the model has sides) -> weight in [0, 1.3], as `FaceModel.mode_weights` takes it.
    """
    drawn = None if habits is None or moment is None else habits.moment(moment)
    stray = {} if drawn is None else drawn.stray
    rest = {} if habits is None else habits.rest
    result: dict[str, float] = {}
    for unit in sorted({*recipe, *stray, *rest}, key=_number):
        full = recipe.get(unit, 0.0) * strength
        if habits is not None:
            full *= habits.lively * habits.gain.get(_bare(unit), 1.0)
        if drawn is not None:
            full = full * drawn.strength * drawn.gain.get(_bare(unit), 1.0) + stray.get(unit, 0.0)
        weight = max(full, rest.get(unit, 0.0) + 0.5 * full)  # a unit that is tense at rest moves less
        tilt = 0.0 if habits is None else habits.tilt.get(unit, 0.0)
        names = sides(unit, units)
        for name, side in zip(names, (1.0,) if len(names) == 1 else (1.0 + tilt, 1.0 - tilt), strict=True):
            result[name] = max(float(np.clip(weight * side, 0.0, _MOST)), result.get(name, 0.0))
    return result


def action_units(units: Mapping[str, float]) -> dict[str, float]:
    """Unit without side -> intensity in [0, 1.3] of its stronger side, for units of at least `PRESENT`.

    >>> action_units({"AU12_L": 0.5, "AU12_R": 0.75, "AU26": 0.01})
    {'AU12': 0.75}
    """
    intensities: dict[str, float] = {}
    for name, weight in units.items():
        if weight >= PRESENT:
            intensities[_bare(name)] = max(intensities.get(_bare(name), 0.0), weight)
    return {unit: intensities[unit] for unit in sorted(intensities, key=_number)}


def _number(unit: str) -> tuple[int, str]:
    return int(_bare(unit)[2:]), unit


def _bare(unit: str) -> str:
    return unit.removesuffix("_L").removesuffix("_R")
