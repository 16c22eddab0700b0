"""The six prototypical expressions as recipes of action units, with levels and with what differs between people.

The choice of action units follows the emotion tables of FACS handbooks (EMFACS); the weights are ours. Units and their
names are those of `fer3d.synth.face`; a recipe drives every face model that has its units.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from fer3d.errors import ArgumentError
from fer3d.scan import EXPRESSIONS
from fer3d.synth.face import sides

# Share of the full recipe at the four intensity levels of BU-3DFE.
LEVELS = {1: 0.40, 2: 0.60, 3: 0.80, 4: 1.00}

# Unit (without side) -> weight at full strength.
RECIPES: dict[str, dict[str, float]] = {
    "neutral": {},
    "anger": {"AU4": 1.0, "AU5": 0.4, "AU7": 0.6, "AU9": 0.2, "AU17": 0.3, "AU24": 0.9},
    "disgust": {"AU4": 0.4, "AU6": 0.4, "AU7": 0.4, "AU9": 1.0, "AU10": 0.7, "AU15": 0.3, "AU17": 0.4},
    "fear": {"AU1": 1.0, "AU2": 0.6, "AU4": 0.5, "AU5": 1.0, "AU20": 0.9, "AU25": 0.6, "AU26": 0.5},
    "happiness": {"AU6": 0.9, "AU12": 1.0, "AU25": 0.8, "AU26": 0.15},
    "sadness": {"AU1": 1.0, "AU4": 0.5, "AU15": 1.0, "AU17": 0.6, "AU43": 0.2},
    "surprise": {"AU1": 1.0, "AU2": 1.0, "AU5": 1.0, "AU25": 0.5, "AU26": 1.0, "AU27": 0.5},
}

_PRESENT = 0.05  # weight from which an action unit counts as shown


def check_units(units: Collection[str], model: str) -> None:
    """Raise ArgumentError unless every unit of every recipe, one- or two-sided, is among `units`."""
    bare = {_bare(name) for name in units}
    missing = sorted({unit for recipe in RECIPES.values() for unit in recipe} - bare)
    if missing:
        raise ArgumentError(f"`face_model` should have the units of every recipe; {model} lacks {', '.join(missing)}")


def weights(
    expression: str,
    strength: float,
    units: Collection[str],
    habits: np.random.Generator | None = None,
    moment: np.random.Generator | None = None,
) -> dict[str, float]:
    """Weights of the action units of a model for one face with an expression.

    Args:
        expression: A house label, see `fer3d.scan.EXPRESSIONS`.
        strength: 0 neutral, 1 full; the four levels are `LEVELS`.
        units: Units of the face model (`FaceModel.action_units`).
        habits: What one person always does: some units stronger or weaker, one side more than the other, a general
            liveliness. Give each person and expression a fresh generator of one seed. None: the recipe itself.
        moment: What differs from one time to the next, smaller. None: nothing.

    Returns:
        Unit (with side, where the model has sides) -> weight in [0, 1.3], as `FaceModel.mode_weights` takes it.

    Raises:
        ArgumentError: if the expression is not a house label.
    """
    if expression not in RECIPES:
        raise ArgumentError(f"`expression` should be one of {', '.join(EXPRESSIONS)}, is {expression!r}")
    return unit_weights(RECIPES[expression], strength, units, habits, moment)


def unit_weights(
    recipe: Mapping[str, float],
    strength: float,
    units: Collection[str],
    habits: np.random.Generator | None = None,
    moment: np.random.Generator | None = None,
) -> dict[str, float]:
    """`weights` for any recipe: unit without side -> weight at full strength."""
    result: dict[str, float] = {}
    lively = 1.0 if habits is None else float(habits.uniform(0.85, 1.12))
    for unit, full in recipe.items():
        own = 1.0 if habits is None else float(np.exp(habits.normal(0.0, 0.20)))
        tilt = 0.0 if habits is None else float(np.clip(habits.normal(0.0, 0.08), -0.2, 0.2))
        now = 1.0 if moment is None else float(np.exp(moment.normal(0.0, 0.06)))
        weight = full * strength * lively * own * now
        names = sides(unit, units)
        for name, side in zip(names, (1.0,) if len(names) == 1 else (1.0 + tilt, 1.0 - tilt), strict=True):
            result[name] = float(np.clip(weight * side, 0.0, 1.3))
    return result


def action_units(units: Mapping[str, float]) -> dict[str, float]:
    """Unit without side -> intensity in [0, 1.3], the stronger side, of those that are shown at all.

    >>> action_units({"AU12_L": 0.5, "AU12_R": 0.75, "AU26": 0.01})
    {'AU12': 0.75}
    """
    shown: dict[str, float] = {}
    for name, weight in units.items():
        if weight >= _PRESENT:
            shown[_bare(name)] = max(shown.get(_bare(name), 0.0), weight)
    return dict(sorted(shown.items(), key=lambda item: int(item[0][2:])))


def _bare(unit: str) -> str:
    return unit.removesuffix("_L").removesuffix("_R")
