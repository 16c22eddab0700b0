"""Time course of an expression in a sequence: neutral, onset, apex, offset, neutral; with blinks and speech.

Sequences of BU-4DFE last about 4 s at 25 frames per second. Each action unit follows the same course with a delay of
its own, so that a face is not a single blend shape whose weight rises and falls. Durations and rates are our choice,
close to the usual figures for posed expressions: an onset of 0.3 to 0.8 s, a somewhat slower offset, 10 to 20 blinks
per minute of a quarter of a second.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fer3d.checks import check_range

NEUTRAL, ONSET, APEX, OFFSET = "neutral", "onset", "apex", "offset"
RATE = 25.0  # frames per second, of BU-4DFE
_SECONDS = 4.0  # length of a sequence to which the durations below refer; they scale with the length
_DELAY = 0.05  # standard deviation of the delay of a unit, s
_BLINK = 0.25  # duration of a blink, s
_BLINKS = 0.25  # mean number per second
_SPEAKERS = 0.25  # share of sequences in which the mouth also moves as in speech
_SPOKEN = (("AU25", 0.30), ("AU26", 0.16), ("AU18", 0.20))


@dataclass(frozen=True, slots=True)
class Course:
    """The time course of one sequence.

    Attributes:
        times: (5,) float64, s. Ends of the first neutral part, of onset, apex and offset, and of the sequence.
        rate: Frames per second.
        delay: Unit -> delay, s. Other units have no delay.
        sway: (2,) float64. Depth of the tremor of the apex and its phase.
        blinks: (N,) float64, s. Times of the middles of the blinks.
        speech: (K, 3) float64: frequency (1/s), phase and weight of the waves of the mouth; empty without
            speech.
    """

    times: NDArray[np.float64]
    rate: float
    delay: dict[str, float]
    sway: NDArray[np.float64]
    blinks: NDArray[np.float64]
    speech: NDArray[np.float64]

    @staticmethod
    def draw(generator: np.random.Generator, frames: int, units: tuple[str, ...], rate: float = RATE) -> Course:
        """Draw the course of a sequence of `frames` frames; `units` are names without side."""
        check_range("frames", frames, 1, 100_000)
        check_range("rate", rate, 0.1, 1000.0, "frames a second")
        length = frames / rate
        parts = generator.uniform([0.4, 0.4, 0.9, 0.5, 0.4], [0.6, 0.8, 1.8, 1.0, 0.6])
        times = np.cumsum(parts) * length / parts.sum()
        delay = dict(zip(units, _DELAY * length / _SECONDS * generator.normal(size=len(units)), strict=True))
        sway = np.array([0.04 * generator.random(), generator.uniform(0, 2 * np.pi)])
        blinks = generator.uniform(0.0, length, int(generator.poisson(_BLINKS * length)))
        waves = np.stack(
            [generator.uniform(1.0, 5.0, 6), generator.uniform(0, 2 * np.pi, 6), generator.uniform(0.2, 1.0, 6)], axis=1
        )
        speaks = generator.random() < _SPEAKERS
        return Course(
            times, rate, {u: float(d) for u, d in delay.items()}, sway, blinks, waves if speaks else waves[:0]
        )

    def strength(self, frame: int, unit: str | None = None) -> float:
        """Share of the full strength in a frame (from 0), of a unit or, if `unit` is None, of the face as a whole.

        The share is 0 in the neutral parts, rises and falls as a cosine, and is 1 at the apex, less a slight tremor.
        """
        t = frame / self.rate - (0.0 if unit is None else self.delay.get(unit, 0.0))
        begin, top, fall, end, _ = self.times
        rise = np.clip((t - begin) / max(top - begin, 1e-9), 0.0, 1.0)
        drop = np.clip((t - fall) / max(end - fall, 1e-9), 0.0, 1.0)
        share = 0.25 * (1 - np.cos(np.pi * rise)) * (1 + np.cos(np.pi * drop))
        tremor = self.sway[0] * 0.5 * (1 + np.sin(2 * np.pi * 1.3 * t + self.sway[1]))
        return float(share * (1 - tremor))

    def phase(self, frame: int) -> str:
        """Phase of the face as a whole: "neutral", "onset", "apex" or "offset"."""
        t = frame / self.rate
        begin, top, fall, end, _ = self.times
        if t < begin or t >= end:
            return NEUTRAL
        return ONSET if t < top else APEX if t < fall else OFFSET

    def beside(self, frame: int) -> dict[str, float]:
        """Unit -> weight of motions besides the expression: blinks and speech."""
        t = frame / self.rate
        shut = float(np.clip(1.3 * np.exp(-(((t - self.blinks) / (0.4 * _BLINK)) ** 2)).sum(), 0.0, 1.0))
        weights = {"AU43": shut} if shut > 0.02 else {}
        if len(self.speech):
            frequency, phase, weight = self.speech.T
            wave = weight * np.sin(2 * np.pi * frequency * t + phase) / weight.sum()
            talk = float(np.clip(1.5 * wave.sum() + 0.3, 0.0, 1.0))
            rounding = float(np.clip(2.0 * wave[:3].sum(), 0.0, 1.0))
            weights |= {unit: full * (rounding if unit == "AU18" else talk) for unit, full in _SPOKEN}
        return weights
