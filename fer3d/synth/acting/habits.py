"""Differences between people who show the same emotion, and between performances of one person.

A person shows an emotion in one of several ways, mixed with a share of another emotion. People differ in the strength
of each action unit and in the asymmetry of the sides; some units they never show, some are tense at rest. `Variety`
sets the size of these differences. Its defaults are calibrated: with them the accuracy of a plain CNN on simulated
scans is about that of such networks on BU-3DFE (`benchmarks/bm_difficulty.py`). The kinds of variation are our choice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from fer3d.checks import check_range

# Emotion -> emotions that may be mixed into it, the likeliest first: those that people and networks confuse.
_LEAKS = {
    "anger": ("sadness", "disgust", "fear"),
    "disgust": ("anger", "fear", "sadness"),
    "fear": ("surprise", "sadness", "disgust"),
    "happiness": ("surprise", "disgust", "fear"),
    "sadness": ("anger", "fear", "disgust"),
    "surprise": ("fear", "happiness", "disgust"),
}
_LEAK_SHARES = (0.55, 0.30, 0.15)  # shares of people, for the three emotions
_AT_REST = ("AU4", "AU7", "AU12", "AU15", "AU17", "AU24", "AU1", "AU25")  # units that may be active in a face at rest
_STRAYS = ("AU1", "AU2", "AU4", "AU6", "AU7", "AU12", "AU14", "AU15", "AU17", "AU18", "AU24", "AU25", "AU43")
_CHECKED = 0.7  # least gain of a unit that an instructor asks for and checks
_MUSCLES = tuple(f"AU{n}" for n in (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 16, 17, 18, 20, 22, 23, 24, 25, 26, 27, 28))
_MUSCLES += ("AU29", "AU34", "AU43")


@dataclass(frozen=True, slots=True)
class Variety:
    """How much people differ. If all values are zero, every face shows the textbook's recipe, symmetrically.

    Attributes:
        ways: Share of people who may show an emotion in another way than the textbook's.
        gain: Standard deviation, over people, of the logarithm of a unit's strength.
        never: Probability that a person never shows a unit.
        leak: Largest share of another emotion in a person's recipe; most people have a much smaller share.
        tilt: Standard deviation of the relative difference between the sides.
        rest: Largest weight of a unit at rest; two or three units of a person are tense at rest.
        strength: Standard deviation, over performances, of the logarithm of the overall strength.
        moment: Standard deviation, over performances, of the logarithm of each unit's strength.
        stray: Mean number of units in a performance that do not belong to the emotion.
        stray_weight: Largest weight of such a unit.
    """

    ways: float = 1.0
    gain: float = 0.28
    never: float = 0.06
    leak: float = 0.45
    tilt: float = 0.10
    rest: float = 0.2
    strength: float = 0.12
    moment: float = 0.15
    stray: float = 0.8
    stray_weight: float = 0.35

    def __post_init__(self) -> None:
        for name in ("ways", "never", "leak"):
            check_range(name, getattr(self, name), 0.0, 1.0)
        for name in ("gain", "tilt", "rest", "strength", "moment", "stray_weight"):
            check_range(name, getattr(self, name), 0.0, 2.0)
        check_range("stray", self.stray, 0.0, 20.0)


NO_VARIETY = Variety(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


class Moment(NamedTuple):
    """A performance: factors on the overall strength and on each unit, and stray unit -> weight."""

    strength: float
    gain: Mapping[str, float]
    stray: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Habits:
    """How a person shows emotions.

    Attributes:
        variety: The distribution that the person was drawn from.
        lively: Factor on all units.
        gain: Unit -> factor; 0 for a unit that the person never shows.
        tilt: Unit -> share by which the left side is stronger.
        way: Emotion -> a number in [0, 1) that picks one of the ways of `fer3d.synth.acting.expression.WAYS`.
        leak: Emotion -> the emotion that is mixed into it, and its share.
        rest: Unit -> weight at rest.
    """

    variety: Variety
    lively: float
    gain: Mapping[str, float]
    tilt: Mapping[str, float]
    way: Mapping[str, float]
    leak: Mapping[str, tuple[str, float]]
    rest: Mapping[str, float]

    @staticmethod
    def draw(generator: np.random.Generator, variety: Variety | None = None) -> Habits:
        """Draw a person. The number of draws from the generator does not depend on `variety`."""
        v = Variety() if variety is None else variety
        lively = float(np.exp(0.4 * v.gain * generator.normal()))
        strong = np.exp(v.gain * generator.normal(size=len(_MUSCLES)))
        expressed = generator.random(len(_MUSCLES)) >= v.never
        tilt = np.clip(v.tilt * generator.normal(size=len(_MUSCLES)), -0.35, 0.35)
        way = {label: float(u) if other < v.ways else 0.0 for label, (u, other) in _pairs(generator, _LEAKS)}
        leak = {}
        for label, (which, much) in _pairs(generator, _LEAKS):
            other = _LEAKS[label][int(np.searchsorted(np.cumsum(_LEAK_SHARES), 0.999 * which))]
            leak[label] = (other, float(v.leak * much**2))
        tense = generator.permutation(len(_AT_REST))[: int(generator.integers(2, 4))]
        rest = {_AT_REST[k]: float(v.rest * generator.random()) for k in tense}
        return Habits(
            v,
            lively,
            {unit: float(s) if on else 0.0 for unit, s, on in zip(_MUSCLES, strong, expressed, strict=True)},
            {unit: float(t) for unit, t in zip(_MUSCLES, tilt, strict=True)},
            way,
            leak,
            {unit: weight for unit, weight in rest.items() if weight > 0},
        )

    def on_request(self) -> Habits:
        """Habits under an instructor who asks for single units and checks: no unit is weak, stray, or tense at rest."""
        gain = {unit: max(gain, _CHECKED) for unit, gain in self.gain.items()}
        return replace(self, variety=replace(self.variety, stray=0.0), gain=gain, rest={})

    def moment(self, generator: np.random.Generator) -> Moment:
        """Draw a performance of this person."""
        v = self.variety
        strength = float(np.exp(v.strength * generator.normal()))
        gain = np.exp(v.moment * generator.normal(size=len(_MUSCLES)))
        count = int(generator.poisson(v.stray))
        which, weight = generator.permutation(len(_STRAYS))[:count], generator.random(len(_STRAYS))
        stray = {_STRAYS[k]: float(v.stray_weight * weight[k]) for k in which}
        return Moment(strength, {unit: float(g) for unit, g in zip(_MUSCLES, gain, strict=True)}, stray)


def _pairs(generator: np.random.Generator, labels: Mapping[str, object]) -> list[tuple[str, tuple[float, float]]]:
    return [(label, (float(generator.random()), float(generator.random()))) for label in labels]
