"""Evaluation of runs: metrics with confidence intervals, comparisons, tests on rotated heads, ablations and studies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fer3d import lazy_names

if TYPE_CHECKING:
    from fer3d.evaluate.measure import evaluate_run

__all__ = ["evaluate_run"]

_HOMES = {
    "evaluate_run": "measure",
}

__getattr__ = lazy_names(__name__, _HOMES)
