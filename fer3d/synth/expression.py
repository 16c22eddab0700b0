"""The six prototypical expressions as recipes on expression modes, with levels and with what differs between people.

The choice of action units follows the emotion tables of FACS handbooks (EMFACS); the weights are ours. One recipe
drives every model whose modes have ARKit names.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from fer3d.errors import ArgumentError
from fer3d.scan import EXPRESSIONS

# Share of the full recipe at the four intensity levels of BU-3DFE.
LEVELS = {1: 0.40, 2: 0.60, 3: 0.80, 4: 1.00}

# Mode (without side) -> weight at full strength.
RECIPES: dict[str, dict[str, float]] = {
    "neutral": {},
    "anger": {"browDown": 1.0, "eyeSquint": 0.5, "eyeWide": 0.25, "mouthPress": 0.9, "noseSneer": 0.3}
    | {"mouthShrugLower": 0.25},
    "disgust": {"noseSneer": 0.9, "mouthUpperUp": 0.6, "browDown": 0.5, "cheekSquint": 0.4, "eyeSquint": 0.4}
    | {"mouthFrown": 0.3, "mouthShrugLower": 0.2},
    "fear": {"browInnerUp": 0.9, "browOuterUp": 0.5, "browDown": 0.4, "eyeWide": 0.9, "mouthStretch": 0.85}
    | {"jawOpen": 0.18, "mouthLowerDown": 0.4},
    "happiness": {"mouthSmile": 1.0, "cheekSquint": 0.8, "eyeSquint": 0.25, "mouthUpperUp": 0.25, "jawOpen": 0.10},
    "sadness": {"browInnerUp": 1.0, "browDown": 0.35, "mouthFrown": 1.0, "mouthShrugLower": 0.5, "eyeSquint": 0.2}
    | {"eyeBlink": 0.2},
    "surprise": {"browInnerUp": 1.0, "browOuterUp": 1.0, "eyeWide": 1.0, "jawOpen": 0.55},
}

# Mode (without side) -> action unit of FACS.
ACTION_UNITS = {
    "browInnerUp": "AU1",
    "browOuterUp": "AU2",
    "browDown": "AU4",
    "eyeWide": "AU5",
    "cheekSquint": "AU6",
    "eyeSquint": "AU7",
    "noseSneer": "AU9",
    "mouthUpperUp": "AU10",
    "mouthSmile": "AU12",
    "mouthDimple": "AU14",
    "mouthFrown": "AU15",
    "mouthLowerDown": "AU16",
    "mouthShrugLower": "AU17",
    "mouthPucker": "AU18",
    "mouthStretch": "AU20",
    "mouthFunnel": "AU22",
    "mouthPress": "AU24",
    "jawOpen": "AU26",
    "eyeBlink": "AU43",
}
MODES_OF = {unit: mode for mode, unit in ACTION_UNITS.items()}

_PRESENT = 0.05  # weight from which an action unit counts as shown


def check_modes(names: tuple[str, ...], model: str) -> None:
    """Raise ArgumentError unless every mode of every recipe, one- or two-sided, is among `names`."""
    bare = {name.removesuffix("_L").removesuffix("_R") for name in names}
    missing = sorted({mode for recipe in RECIPES.values() for mode in recipe} - bare)
    if missing:
        raise ArgumentError(f"`face_model` should have the modes of every recipe; {model} lacks {', '.join(missing)}")


def weights(
    expression: str,
    strength: float,
    names: tuple[str, ...],
    habits: np.random.Generator | None = None,
    moment: np.random.Generator | None = None,
) -> dict[str, float]:
    """Weights of the modes of a model for one face with an expression.

    Args:
        expression: A house label, see `fer3d.scan.EXPRESSIONS`.
        strength: 0 neutral, 1 full; the four levels are `LEVELS`.
        names: Modes of the face model.
        habits: What one person always does: some units stronger or weaker, one side more than the other, a general
            liveliness. Give each person and expression a fresh generator of one seed. None: the recipe itself.
        moment: What differs from one time to the next, smaller. None: nothing.

    Returns:
        Mode name (with side, where the model has sides) -> weight in [0, 1.3].

    Raises:
        ArgumentError: if the expression is not a house label.
    """
    if expression not in RECIPES:
        raise ArgumentError(f"`expression` should be one of {', '.join(EXPRESSIONS)}, is {expression!r}")
    return mode_weights(RECIPES[expression], strength, names, habits, moment)


def mode_weights(
    recipe: Mapping[str, float],
    strength: float,
    names: tuple[str, ...],
    habits: np.random.Generator | None = None,
    moment: np.random.Generator | None = None,
) -> dict[str, float]:
    """`weights` for any recipe: mode without side -> weight at full strength."""
    result: dict[str, float] = {}
    lively = 1.0 if habits is None else float(habits.uniform(0.85, 1.12))
    for mode, full in recipe.items():
        own = 1.0 if habits is None else float(np.exp(habits.normal(0.0, 0.20)))
        tilt = 0.0 if habits is None else float(np.clip(habits.normal(0.0, 0.08), -0.2, 0.2))
        now = 1.0 if moment is None else float(np.exp(moment.normal(0.0, 0.06)))
        weight = full * strength * lively * own * now
        sides = ((f"{mode}_L", 1.0 + tilt), (f"{mode}_R", 1.0 - tilt)) if f"{mode}_L" in names else ((mode, 1.0),)
        for name, side in sides:
            result[name] = float(np.clip(weight * side, 0.0, 1.3))
    return result


def action_units(mode_weights: Mapping[str, float]) -> dict[str, float]:
    """Action unit -> intensity in [0, 1.3], the stronger side, of those that are shown at all.

    >>> action_units({"mouthSmile_L": 0.5, "mouthSmile_R": 0.75, "jawOpen": 0.01})
    {'AU12': 0.75}
    """
    units: dict[str, float] = {}
    for name, weight in mode_weights.items():
        unit = ACTION_UNITS.get(name.removesuffix("_L").removesuffix("_R"))
        if unit is not None and weight >= _PRESENT:
            units[unit] = max(units.get(unit, 0.0), weight)
    return dict(sorted(units.items(), key=lambda item: int(item[0][2:])))
