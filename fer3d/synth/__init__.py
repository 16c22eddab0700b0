"""Simulated scans with exact ground truth, to demonstrate and test the package without licensed data.

`acting` simulates expressions, `looks` the appearance of people, `optics` scanners and cameras. `layouts` writes the
scans in the layouts of real data sets, `truth` writes the ground truth beside them. `surroundings` adds to a face what
raw scans hold besides, `things` makes what is no face. The face models are those of `fer3d.face`. Always report results
on simulated faces as such.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fer3d import lazy_names

if TYPE_CHECKING:
    from fer3d.synth.population import Made, make

__all__ = ["Made", "make"]

_HOMES = {
    "Made": "population",
    "make": "population",
}

__getattr__ = lazy_names(__name__, _HOMES)
