"""Codes of action units (FACS): a number, with an optional side or intensity, such as AU12, AU12L, AU12C, AU12:3.5.

An intensity is a number in [0, 5]. The letters of FACS, A (a trace) to E (maximal), count as 1 to 5. An intensity of 0
means that the unit was scored as absent. A code without an intensity means that the unit is present at an unknown
intensity.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import NamedTuple

STRONGEST = 5.0
PRESENT = 0.05  # a unit of a face model counts as present from this weight on; full strength is 1
_LETTERS = "ABCDE"
# Any of the usual spellings: after the number comes an intensity, at most two letters, another unit, or no letter.
_CODE = re.compile(r"(?<![\d.:])(\d{1,2})([A-Za-z]{0,2}?)(?::(\d+(?:\.\d+)?))?(?=AU?\d|[^A-Za-z\d:]|$)", re.ASCII)


class ActionUnit(NamedTuple):
    """The name and intensity of one code.

    Attributes:
        name: The unit without side and intensity, such as "AU12".
        intensity: A number in [0, 5]. 0: absent; NaN: present at an unknown intensity.
    """

    name: str
    intensity: float


def split_action_units(text: str) -> tuple[str, ...]:
    """Find action units in any of the usual spellings. Each becomes AU and the number, with its side or intensity.

    >>> split_action_units("A22A25"), split_action_units("12L"), split_action_units("A26A12lw")
    (('AU22', 'AU25'), ('AU12L',), ('AU26', 'AU12LW'))
    >>> split_action_units("1+2 AU4B AU12:3.50")
    ('AU1', 'AU2', 'AU4B', 'AU12:3.5')
    """
    matches = _CODE.findall(text)
    return tuple(
        f"AU{int(number)}{suffix.upper()}" + (f":{float(level):g}" if level else "")
        for number, suffix, level in matches
    )


def read_unit(code: str) -> ActionUnit:
    """Return the name and intensity of a code from `split_action_units`. Sides and unknown letters are ignored.

    >>> read_unit("AU12:3.5"), read_unit("AU12L")
    (ActionUnit(name='AU12', intensity=3.5), ActionUnit(name='AU12', intensity=nan))

    Raises:
        ValueError: if the code is malformed, or the intensity is out of range.
    """
    match = re.fullmatch(r"(AU\d{1,3})([A-Z]{0,2})(?::([\d.e+]+))?", code, re.ASCII)
    if match is None:
        raise ValueError(f"wanted a code such as AU12, AU12C or AU12:3, got {code!r}")
    name, letters, number = match.groups()
    if number is None:
        level = float(_LETTERS.index(letters) + 1) if len(letters) == 1 and letters in _LETTERS else math.nan
        return ActionUnit(name, level)
    if not 0.0 <= float(number) <= STRONGEST:
        raise ValueError(f"wanted an intensity in [0, {STRONGEST:g}], got {code!r}")
    return ActionUnit(name, float(number))


def shown_and_absent(codes: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the codes of the present units, and the names of the absent units (intensity 0).

    >>> shown_and_absent(["AU6", "AU12:3", "AU4:0"])
    (('AU6', 'AU12:3'), ('AU4',))

    Raises:
        ValueError: if a code is malformed, or a unit is both present and absent.
    """
    units = [(code, read_unit(code)) for code in codes]
    absent = tuple(dict.fromkeys(unit.name for _, unit in units if unit.intensity == 0.0))
    present = tuple(code for code, unit in units if unit.intensity != 0.0)
    both = next((unit.name for code, unit in units if code in present and unit.name in absent), None)
    if both is not None:
        raise ValueError(f"wanted a unit shown or not shown, got both of {both}")
    return present, absent


def unit_number(name: str) -> int:
    """Return the number of a unit, 12 for "AU12". Units are sorted by it."""
    return int(name.removeprefix("AU"))
