"""The `[targets]` table of a card: targets of a data set beyond the canonical labels, and how its files code them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from functools import cached_property
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StrictBool, field_validator

from fer3d.catalog.action_units import read_unit
from fer3d.catalog.targets import AFFECT, COMPOUND
from fer3d.checks import did_you_mean

Text = Annotated[str, Field(min_length=1, pattern=r"\S")]


class _Facts(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Scale(_Facts):
    """How the files write valence or arousal. `range` maps linearly to [-1, 1]; `unknown` lists codes for no value."""

    range: tuple[float, float] = AFFECT
    unknown: tuple[float, ...] = ()

    @field_validator("range")
    @classmethod
    def _ordered(cls, ends: tuple[float, float]) -> tuple[float, float]:
        if not -math.inf < ends[0] < ends[1] < math.inf:
            raise ValueError(f"wanted two numbers, the lower first, got {list(ends)}")
        return ends

    def value(self, text: str) -> float | None:
        """Convert a text to a number in [-1, 1]; None for no value. ValueError if out of range or not a number."""
        low, high = self.range
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if number in self.unknown:
            return None
        if not low <= number <= high:
            raise ValueError(f"wanted a number in [{low:g}, {high:g}], got {text!r}")
        least, greatest = AFFECT
        if self.range == AFFECT:
            return number  # unchanged, so that no rounding occurs
        return min(least + (greatest - least) * ((number - low) / (high - low)), greatest)


class Scoring(_Facts):
    """Which action units were scored. With `complete`, a scored unit that a scan with units does not list is absent."""

    units: tuple[str, ...] = ()
    complete: StrictBool = False

    @field_validator("units")
    @classmethod
    def _codes(cls, units: tuple[str, ...]) -> tuple[str, ...]:
        for unit in units:
            if not re.fullmatch(r"AU\d{1,2}", unit, re.ASCII):
                raise ValueError(f"wanted units such as 'AU12', got {unit!r}")
        return units

    def absent(self, present: Iterable[str], absent: Iterable[str] = ()) -> tuple[str, ...]:
        """Return the absent units of a scan that lists the codes `present` and the units `absent`."""
        names = {read_unit(code).name for code in present}
        more = self.units if self.complete else ()
        return tuple(dict.fromkeys(unit for unit in (*absent, *more) if unit not in names))


class Targets(_Facts):
    """The targets of a data set besides the canonical labels."""

    compound: dict[str, Text] = {}  # their word -> compound class
    valence: Scale = Scale()
    arousal: Scale = Scale()
    action_units: Scoring = Scoring()

    @cached_property
    def _words(self) -> dict[str, str]:
        known = {name: name for name in COMPOUND} | {name: name for name in self.compound.values()} | self.compound
        return {word.casefold(): name for word, name in known.items()}

    def compound_class(self, word: str) -> str:
        """Return the compound class of a word, ignoring case. ValueError if there is none (names the nearest)."""
        compound = self._words.get(" ".join(re.split(r"[\s_-]+", word.strip())).casefold())
        compound = compound or self._words.get(word.casefold())
        if compound is None:
            wanted, hint = ", ".join(dict.fromkeys((*self.compound, *COMPOUND))), did_you_mean(word, self._words)
            raise ValueError(f"wanted a compound expression among {wanted}, got {word!r}{hint}")
        return compound

    def value(self, name: str, text: str) -> float | None:
        """Convert a text as `Scale.value` does, for `name` "valence" or "arousal"."""
        scale: Scale = getattr(self, name)
        try:
            return scale.value(text)
        except ValueError as error:
            raise ValueError(f"{error} as `{name}`") from None
