"""Units of length of scan files."""

from __future__ import annotations

from fer3d.checks import check_range
from fer3d.errors import ArgumentError

UNITS = {"m": 1000.0, "cm": 10.0, "mm": 1.0}  # unit -> mm


def check_unit(unit: str | float) -> None:
    """Raise ArgumentError unless `unit` is "auto", "m", "cm", "mm" or a length in mm."""
    if not isinstance(unit, str):
        check_range("unit", unit, 1e-6, 1e6, "mm")
    elif unit not in ("auto", *UNITS):
        raise ArgumentError(f"`unit` should be one of auto, {', '.join(UNITS)} or a length in mm, is {unit!r}")
