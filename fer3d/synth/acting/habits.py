"""What differs between people who show the same emotion, and from one time to the next.

A person takes one of several ways of showing an emotion, lets some of another one leak in, shows each action unit more
or less strongly, some never, one side before the other, and has a face that is not quite still at rest. `Variety` says
how much of all that there is. Its defaults are calibrated: with them a plain CNN on simulated scans is right about as
often as such nets are on BU-3DFE (`benchmarks/bm_difficulty.py`); the kinds of variation are our choice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from fer3d.checks import check_range

# Emotions that leak into each other: what people and nets confuse. The first is the likeliest.
_LEAKS = {
    "anger": ("sadness", "disgust", "fear"),
    "disgust": ("anger", "fear", "sadness"),
    "fear": ("surprise", "sadness", "disgust"),
    "happiness": ("surprise", "disgust", "fear"),
    "sadness": ("anger", "fear", "disgust"),
    "surprise": ("fear", "happiness", "disgust"),
}
_LEAK_SHARES = (0.55, 0.30, 0.15)  # of people, over the three
_AT_REST = ("AU4", "AU7", "AU12", "AU15", "AU17", "AU24", "AU1", "AU25")  # what faces do when they do nothing
_STRAYS = ("AU1", "AU2", "AU4", "AU6", "AU7", "AU12", "AU14", "AU15", "AU17", "AU18", "AU24", "AU25", "AU43")
_CHECKED = 0.7  # least gain of a unit that somebody insists on
_MUSCLES = tuple(f"AU{n}" for n in (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 16, 17, 18, 20, 22, 23, 24, 25, 26, 27, 28))
_MUSCLES += ("AU29", "AU34", "AU43")


@dataclass(frozen=True, slots=True)
class Variety:
    """How much people differ. All zero: everybody shows the textbook's recipe, evenly, every time.

    Attributes:
        ways: Share of people who may take another way than the textbook's.
        gain: Standard deviation of the logarithm of a unit's strength in a person.
        never: Probability that a person never shows a unit.
        leak: Largest share of another emotion in a person's recipe; drawn with most people well below.
        tilt: Standard deviation of the difference of the sides, as a share.
        rest: Largest weight of a unit at rest; a person has two or three such units.
        strength: Standard deviation of the logarithm of the whole strength, from one time to the next.
        moment: Standard deviation of the logarithm of each unit's strength, from one time to the next.
        stray: Mean number of units that have nothing to do with the emotion, at a time.
        stray_weight: Their largest weight.
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
    """One time: the whole strength and each unit's, as factors, and stray unit -> weight."""

    strength: float
    gain: Mapping[str, float]
    stray: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Habits:
    """How one person shows things.

    Attributes:
        variety: What the person was drawn from.
        lively: Factor on everything.
        gain: Unit -> factor; 0 for one that is never shown.
        tilt: Unit -> share by which the left side is stronger.
        way: Emotion -> a number in [0, 1) that picks one of the ways of `fer3d.synth.acting.expression.WAYS`.
        leak: Emotion -> which other leaks in, and its share.
        rest: Unit -> weight that it has at rest.
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
        """A person. The same state of the generator gives the same person; all draws are made, whatever `variety`."""
        v = Variety() if variety is None else variety
        lively = float(np.exp(0.4 * v.gain * generator.normal()))
        strong = np.exp(v.gain * generator.normal(size=len(_MUSCLES)))
        shown = generator.random(len(_MUSCLES)) >= v.never
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
            {unit: float(s) if on else 0.0 for unit, s, on in zip(_MUSCLES, strong, shown, strict=True)},
            {unit: float(t) for unit, t in zip(_MUSCLES, tilt, strict=True)},
            way,
            leak,
            {unit: weight for unit, weight in rest.items() if weight > 0},
        )

    def on_request(self) -> Habits:
        """The person with somebody beside who asks for single units and checks: they are shown, and nothing else is."""
        gain = {unit: max(gain, _CHECKED) for unit, gain in self.gain.items()}
        return replace(self, variety=replace(self.variety, stray=0.0), gain=gain, rest={})

    def moment(self, generator: np.random.Generator) -> Moment:
        """One time that this person shows something."""
        v = self.variety
        strength = float(np.exp(v.strength * generator.normal()))
        gain = np.exp(v.moment * generator.normal(size=len(_MUSCLES)))
        count = int(generator.poisson(v.stray))
        which, weight = generator.permutation(len(_STRAYS))[:count], generator.random(len(_STRAYS))
        stray = {_STRAYS[k]: float(v.stray_weight * weight[k]) for k in which}
        return Moment(strength, {unit: float(g) for unit, g in zip(_MUSCLES, gain, strict=True)}, stray)


def _pairs(generator: np.random.Generator, labels: Mapping[str, object]) -> list[tuple[str, tuple[float, float]]]:
    return [(label, (float(generator.random()), float(generator.random()))) for label in labels]
