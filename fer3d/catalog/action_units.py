"""Codes of action units (FACS): a number, a side or an intensity if there is one, such as AU12, AU12L, AU12C, AU12:3.5.

Intensity is a number in [0, 5]: FACS has the letters A (a trace) to E (maximal), which count as 1 to 5. 0 means that
the unit was looked for and is not shown. A code without intensity means that it is shown, nobody says how strongly.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import NamedTuple

STRONGEST = 5.0
PRESENT = 0.05  # weight of a unit of a face model, 1 at full strength, from which it counts as shown
_LETTERS = "ABCDE"
# Any of the usual spellings: what follows a number is an intensity, two letters at most, another unit, or no letter.
_CODE = re.compile(r"(?<![\d.:])(\d{1,2})([A-Za-z]{0,2}?)(?::(\d+(?:\.\d+)?))?(?=AU?\d|[^A-Za-z\d:]|$)", re.ASCII)


class ActionUnit(NamedTuple):
    """One code, read.

    Attributes:
        name: Without side and intensity, such as "AU12".
        intensity: In [0, 5]; 0: not shown; NaN: shown, and nothing says how strongly.
    """

    name: str
    intensity: float


def split_action_units(text: str) -> tuple[str, ...]:
    """Action units in any of the usual spellings, as AU and the number, with side or intensity if there is one.

    >>> split_action_units("A22A25"), split_action_units("12L"), split_action_units("A26A12lw")
    (('AU22', 'AU25'), ('AU12L',), ('AU26', 'AU12LW'))
    >>> split_action_units("1+2 AU4B AU12:3.50")
    ('AU1', 'AU2', 'AU4B', 'AU12:3.5')
    """
    found = _CODE.findall(text)
    return tuple(
        f"AU{int(number)}{suffix.upper()}" + (f":{float(level):g}" if level else "") for number, suffix, level in found
    )


def read_unit(code: str) -> ActionUnit:
    """Name and intensity of a code of `split_action_units`. A side, and any other letter, says nothing of them.

    >>> read_unit("AU12:3.5"), read_unit("AU12L")
    (ActionUnit(name='AU12', intensity=3.5), ActionUnit(name='AU12', intensity=nan))

    Raises:
        ValueError: if it is no such code, or the intensity is out of range.
    """
    found = re.fullmatch(r"(AU\d{1,3})([A-Z]{0,2})(?::([\d.e+]+))?", code, re.ASCII)
    if found is None:
        raise ValueError(f"wanted a code such as AU12, AU12C or AU12:3, got {code!r}")
    name, letters, number = found.groups()
    if number is None:
        level = float(_LETTERS.index(letters) + 1) if len(letters) == 1 and letters in _LETTERS else math.nan
        return ActionUnit(name, level)
    if not 0.0 <= float(number) <= STRONGEST:
        raise ValueError(f"wanted an intensity in [0, {STRONGEST:g}], got {code!r}")
    return ActionUnit(name, float(number))


def shown_and_absent(codes: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Codes of units that are shown, and names of those that are said not to be (intensity 0).

    >>> shown_and_absent(["AU6", "AU12:3", "AU4:0"])
    (('AU6', 'AU12:3'), ('AU4',))

    Raises:
        ValueError: if a code is wrong, or a unit is both.
    """
    read = [(code, read_unit(code)) for code in codes]
    absent = tuple(dict.fromkeys(unit.name for _, unit in read if unit.intensity == 0.0))
    shown = tuple(code for code, unit in read if unit.intensity != 0.0)
    both = next((unit.name for code, unit in read if code in shown and unit.name in absent), None)
    if both is not None:
        raise ValueError(f"wanted a unit shown or not shown, got both of {both}")
    return shown, absent


def unit_number(name: str) -> int:
    """12 of "AU12": the order of units."""
    return int(name.removeprefix("AU"))
