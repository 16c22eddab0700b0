"""Simulated scans with exact truth, so that the rest of the package can be shown and tested without licensed data.

`acting` holds what people do, `looks` what they look like, `optics` how they are scanned and photographed, `layouts`
the writers of data set trees, `truth` what is written beside them. The face models are those of `fer3d.face`. Results
on simulated faces should always be called that.
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
