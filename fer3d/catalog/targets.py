"""Targets: what a network can be trained to predict. A `Target` describes one; `target_of` reads its values.

| name | kind | manifest columns | values |
| --- | --- | --- | --- |
| expression | classes | expression | a canonical label |
| compound | classes | compound | such as "happily surprised" |
| action-units | multi-label | action_units, absent_units | which units are present |
| action-unit-intensities | values | action_units, absent_units | in [0, 5] |
| valence, arousal | values | valence, arousal | in [-1, 1] |
| valence-arousal | values | valence, arousal | both |

A missing value is unknown, never 0: class -1, or NaN. A unit that a scan does not list is also unknown, unless the
card states that the lists are complete (`[targets.action_units]`) or the scan lists it as absent ("AU4:0").

References:
    Du, Tao, Martinez. Compound facial expressions of emotion. PNAS 111(15), 2014: the compound classes, as recalled.
    Russell. A circumplex model of affect. Journal of Personality and Social Psychology 39(6), 1980.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fer3d.catalog.action_units import STRONGEST, read_unit, shown_and_absent, split_action_units, unit_number
from fer3d.checks import check_choice, check_shape
from fer3d.errors import ArgumentError
from fer3d.scan import LABELS

Row = Mapping[str, Any]
Values = NDArray[Any]  # (N,) int64, or (N, U) or (N, D) float64

# Compound classes that every card and table accepts, in the order of classes. A data set may have more.
COMPOUND = (
    "happily surprised",
    "happily disgusted",
    "sadly fearful",
    "sadly angry",
    "sadly surprised",
    "sadly disgusted",
    "fearfully angry",
    "fearfully surprised",
    "fearfully disgusted",
    "angrily surprised",
    "angrily disgusted",
    "disgustedly surprised",
    "appalled",
    "hatred",
    "awed",
)
AFFECT = (-1.0, 1.0)  # range of valence and arousal
UNKNOWN_CLASS = -1
TARGETS = (
    "expression",
    "compound",
    "action-units",
    "action-unit-intensities",
    "valence",
    "arousal",
    "valence-arousal",
)


@dataclass(frozen=True)
class Target(ABC):
    """A quantity to predict for a face.

    Attributes:
        name: One of `TARGETS`.
        names: Names of the K classes, U units or D values, in the order of a network's outputs.
        kind: "classes", "multi-label" or "values".
    """

    name: str
    names: tuple[str, ...]
    kind: ClassVar[str]

    def __post_init__(self) -> None:
        check_choice("target", self.name, TARGETS)
        if not self.names or len(set(self.names)) < len(self.names):
            raise ArgumentError(f"`names` of {self.name} should be one or more different names, is {self.names}")

    @abstractmethod
    def known(self, values: Values) -> NDArray[np.bool_]:
        """Return whether any value is known: (N,) bool for the values of N scans."""

    @abstractmethod
    def counts(self, values: Values) -> dict[str, int]:
        """Return name -> number of scans of the class, with the unit present, or with a known value."""

    @abstractmethod
    def parse(self, text: str) -> Any:
        """Parse the value of one scan from a text of `format`. ArgumentError if the text is malformed."""

    @abstractmethod
    def format(self, value: Any) -> str:
        """Format the value of one scan as text, "" if nothing is known."""

    def to_json(self) -> dict[str, Any]:
        """Convert to the JSON object that `target_from_json` reads."""
        return {"kind": self.kind, "name": self.name, "names": list(self.names)}


@dataclass(frozen=True)
class ClassTarget(Target):
    """One of K classes. A value is an int64, an index into `names`; -1: unknown."""

    kind: ClassVar[str] = "classes"

    def known(self, values: Values) -> NDArray[np.bool_]:
        check_shape("values", values, ("N",))
        return np.asarray(values) >= 0

    def counts(self, values: Values) -> dict[str, int]:
        counts = np.bincount(values[self.known(values)], minlength=len(self.names))
        return dict(zip(self.names, counts.tolist(), strict=True))

    def parse(self, text: str) -> int:
        if not text:
            return UNKNOWN_CLASS
        check_choice(self.name, text, self.names)
        return self.names.index(text)

    def format(self, value: int) -> str:
        return self.names[value] if value >= 0 else ""


@dataclass(frozen=True)
class UnitTarget(Target):
    """The presence of U units. A value is (U,) float64: 1 present, 0 absent, NaN unknown."""

    kind: ClassVar[str] = "multi-label"

    def known(self, values: Values) -> NDArray[np.bool_]:
        return _any_known(values, len(self.names))

    def counts(self, values: Values) -> dict[str, int]:
        check_shape("values", values, ("N", len(self.names)))
        return dict(zip(self.names, (values == 1).sum(axis=0).tolist(), strict=True))

    def parse(self, text: str) -> NDArray[np.float64]:
        """Parse codes such as "AU6 AU12:3 AU4:0". Units not in `names` are an error; units not listed are unknown."""
        words = text.split()
        codes = tuple(code for word in words for code in split_action_units(word))
        if len(codes) != len(words):
            raise ArgumentError(f"`{self.name}` should be codes such as 'AU6 AU4:0', is {text!r}")
        try:
            present, absent = shown_and_absent(codes)
        except ValueError as error:
            raise ArgumentError(f"`{self.name}`: {error}") from None
        presence = {read_unit(code).name: 1.0 for code in present} | dict.fromkeys(absent, 0.0)
        check_choice(self.name, tuple(presence), self.names)
        return np.array([presence.get(name, math.nan) for name in self.names])

    def format(self, value: NDArray[np.float64]) -> str:
        pairs = zip(self.names, value.tolist(), strict=True)
        return " ".join(name if share == 1 else f"{name}:0" for name, share in pairs if not math.isnan(share))


@dataclass(frozen=True)
class ValueTarget(Target):
    """D numbers. A value is (D,) float64, NaN where unknown.

    Attributes:
        span: Least and greatest valid number.
    """

    span: tuple[float, float]
    kind: ClassVar[str] = "values"

    def known(self, values: Values) -> NDArray[np.bool_]:
        return _any_known(values, len(self.names))

    def counts(self, values: Values) -> dict[str, int]:
        check_shape("values", values, ("N", len(self.names)))
        return dict(zip(self.names, (~np.isnan(values)).sum(axis=0).tolist(), strict=True))

    def parse(self, text: str) -> NDArray[np.float64]:
        """Parse a text such as "valence=0.5 arousal=-0.25". Names that are not listed are unknown."""
        values = dict.fromkeys(self.names, math.nan)
        for word in text.split():
            name, _, number = word.partition("=")
            check_choice(self.name, name, self.names)
            try:
                values[name] = float(number)
            except ValueError:
                raise ArgumentError(f"`{self.name}` should be numbers such as '{name}=0.5', is {text!r}") from None
            self._check(values[name], text)
        return np.array(list(values.values()))

    def format(self, value: NDArray[np.float64]) -> str:
        pairs = zip(self.names, value.tolist(), strict=True)
        return " ".join(f"{name}={number!r}" for name, number in pairs if not math.isnan(number))

    def to_json(self) -> dict[str, Any]:
        return {**super().to_json(), "span": list(self.span)}

    def _check(self, number: float, where: str) -> None:
        low, high = self.span
        if not low <= number <= high:
            raise ArgumentError(f"`{self.name}` should lie in [{low:g}, {high:g}], is {number:g} in {where!r}")


class TargetValues(NamedTuple):
    """A target and its values for N scans: (N,) int64 of classes, (N, U) or (N, D) float64 of units or values."""

    target: Target
    values: Values


def target_from_json(content: Mapping[str, Any]) -> Target:
    """Read a target that `Target.to_json` wrote. ArgumentError if the object is malformed."""
    try:
        name, names = str(content["name"]), tuple(map(str, content["names"]))
        if content["kind"] == "values":
            low, high = map(float, content["span"])
            return ValueTarget(name, names, (low, high))
        return {"classes": ClassTarget, "multi-label": UnitTarget}[content["kind"]](name, names)
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, ArgumentError):
            raise
        raise ArgumentError(f"`target` should have kind, name, names and, of values, span, is {content!r}") from None


def says(row: Row, name: str) -> bool:
    """Whether a scan has a known value of a target.

    Args:
        row: A manifest row.
        name: One of `TARGETS`.

    Raises:
        ArgumentError: if there is no such target (names the nearest).
    """
    check_choice("target", name, TARGETS)
    if name.startswith("action-unit"):
        return bool(row.get("action_units") or row.get("absent_units"))
    return any(_number_or_word(row, part) is not None for part in name.split("-"))


def targets_in(rows: Iterable[Row]) -> dict[str, int]:
    """Return target -> number of scans with a known value (if any), in the order of `TARGETS`."""
    counts = dict.fromkeys(TARGETS, 0)
    for row in rows:
        for name in TARGETS:
            counts[name] += says(row, name)
    return {name: count for name, count in counts.items() if count}


def target_of(rows: Sequence[Row], name: str, names: Sequence[str] | None = None) -> TargetValues:
    """Read the values of a target from manifest rows into an array.

    Args:
        rows: Manifest rows. In a manifest of an older version, missing columns count as unknown.
        name: One of `TARGETS`.
        names: Classes or units in a given order, such as those that a network was trained on. None: those that occur;
            canonical labels and `COMPOUND` in their own order, others after them, units by number. A unit that is not
            in `names` is left out; a class that is not in `names` is an error. The names of values are fixed.

    Returns:
        The target and its values. Unknown is -1 for classes, else NaN.

    Raises:
        ArgumentError: if there is no such target (names the nearest), no scan has a known value (names the targets that
            are known), or a row holds a class that is not in `names`, a malformed code, or a number out of range.
    """
    check_choice("target", name, TARGETS)
    if not any(says(row, name) for row in rows):
        others = ", ".join(targets_in(rows)) or "nothing"
        raise ArgumentError(f"`target` {name}: none of {len(rows)} scans says it; they say {others}")
    if name in ("expression", "compound"):
        return _classes(rows, name, names)
    if name.startswith("action-unit"):
        return _units(rows, name, names)
    return _affect(rows, name, names)


def _classes(rows: Sequence[Row], name: str, names: Sequence[str] | None) -> TargetValues:
    words = [row.get(name) for row in rows]
    first = LABELS if name == "expression" else COMPOUND
    present = {word for word in words if word is not None}
    ordered = [word for word in first if word in present] + sorted(present - set(first))
    target = ClassTarget(name, tuple(ordered if names is None else names))
    for row, word in zip(rows, words, strict=True):
        if word is not None and word not in target.names:
            check_choice(f"{name} of scan {row['id']}", word, target.names)
    index = {word: number for number, word in enumerate(target.names)}
    values = [UNKNOWN_CLASS if word is None else index[word] for word in words]
    return TargetValues(target, np.array(values, dtype=np.int64))


def _units(rows: Sequence[Row], name: str, names: Sequence[str] | None) -> TargetValues:
    levels = [_levels(row) for row in rows]
    present = {unit for each in levels for unit in each}
    chosen = tuple(sorted(present, key=unit_number) if names is None else names)
    table = np.array([[each.get(unit, math.nan) for unit in chosen] for each in levels], dtype=np.float64)
    if name == "action-unit-intensities":
        return TargetValues(ValueTarget(name, chosen, (0.0, STRONGEST)), table.reshape(len(rows), -1))
    listed = np.array([[unit in each for unit in chosen] for each in levels], dtype=np.bool_)
    presence = np.where(listed, (table != 0).astype(np.float64), math.nan)  # a unit of unknown intensity is present
    return TargetValues(UnitTarget(name, chosen), presence.reshape(len(rows), -1))


def _levels(row: Row) -> dict[str, float]:
    """Return unit -> intensity: 0 if absent, NaN if present at an unknown intensity."""
    levels: dict[str, float] = {}
    try:
        for unit in map(read_unit, row.get("action_units") or ()):
            before = levels.get(unit.name, math.nan)  # of both sides of a face, the stronger
            levels[unit.name] = unit.intensity if math.isnan(before) else max(before, unit.intensity)
        for unit in map(read_unit, row.get("absent_units") or ()):
            if unit.name in levels:
                raise ValueError(f"wanted a unit shown or not shown, got both of {unit.name}")
            levels[unit.name] = 0.0
    except ValueError as error:
        raise ArgumentError(f"action units of scan {row['id']}: {error}") from None
    return levels


def _affect(rows: Sequence[Row], name: str, names: Sequence[str] | None) -> TargetValues:
    target = ValueTarget(name, tuple(name.split("-")), AFFECT)
    if names is not None and tuple(names) != target.names:
        raise ArgumentError(f"`names` of {name} should be {', '.join(target.names)}, is {', '.join(names)}")
    values = np.full((len(rows), len(target.names)), math.nan)
    for number, row in enumerate(rows):
        for place, part in enumerate(target.names):
            value = _number_or_word(row, part)
            if value is not None:
                target._check(value, f"scan {row['id']}")
                values[number, place] = value
    return TargetValues(target, values)


def _number_or_word(row: Row, column: str) -> Any:
    """Return a cell; None if it is blank or NaN."""
    value = row.get(column)
    return None if isinstance(value, float) and math.isnan(value) else value


def _any_known(values: Values, width: int) -> NDArray[np.bool_]:
    check_shape("values", values, ("N", width))
    return np.asarray((~np.isnan(values)).any(axis=1), dtype=np.bool_)
