"""`FaceModel`: a neutral face and what may be added to it to make another person, or another expression.

shape = neutral + sum of identity weights * identity modes + sum of expression weights * expression modes

Convention: mm, frontal pose, axes of `fer3d.scan`, origin at the nose tip of the neutral face. Identity weights are
drawn from N(0, 1); expression weights go from 0 to 1.

Expressions are spoken in the action units of FACS [1]: `AU26` where both sides go together, `AU12_L` and `AU12_R` where
each can go alone; left is the subject's. `FaceModel.mode_weights` says what they mean in the modes of a model.

.. [1] P. Ekman, W. V. Friesen, J. C. Hager: Facial Action Coding System, 2nd edition. Salt Lake City 2002.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fer3d.checks import check_dtype, check_index, check_shape
from fer3d.errors import ArgumentError
from fer3d.landmarks import CANONICAL_LANDMARKS

# What a triangle of a face model shows.
SKIN, EYE, MOUTH, TEETH = 0, 1, 2, 3
# Unit -> units that undo it, on the same side.
_UNDONE_BY = {"AU5": ("AU43",), "AU7": ("AU43",), "AU25": ("AU24", "AU28")}
_TOUCH = 0.1  # mm between lids that touch: their meshes must not cross


class Lid(NamedTuple):
    """An upper lid that must meet the lower one whatever the size of the eye; n columns from corner to corner.

    Attributes:
        upper: (R, n) int32. Vertices of the upper lid that move together, column by column; row 0 is the margin.
        lower: (n,) int32. The margin of the lower lid, column by column opposite to it.
        share: (R, n) float32. How much of the margin's shift each takes; 1 at the margin.
        slope: (R, n) float32. z that a vertex gains per mm of y, sliding on the ball.
        closed_by: The mode that closes the eye.
    """

    upper: NDArray[np.int32]
    lower: NDArray[np.int32]
    share: NDArray[np.float32]
    slope: NDArray[np.float32]
    closed_by: str


@dataclass(frozen=True, slots=True, eq=False)
class FaceModel:
    """A face model, linear but for the lids. Sizes: V vertices, F faces; M identity modes, N expression modes.

    Attributes:
        name: What the truth files call it.
        neutral: (V, 3) float64, mm.
        identity_modes: (M, V, 3) float32, mm per unit of weight.
        expression_modes: (N, V, 3) float32, mm at weight 1.
        expression_names: N names of modes; those of the built-in model are its action units.
        triangles: (F, 3) int32, counter-clockwise seen from outside.
        part: (F,) uint8. What each triangle shows: SKIN, EYE (the ball between the lids), MOUTH (inside it) or TEETH.
        uv: (V, 2) float32. One texture for all; see `fer3d.scan` for its axes.
        landmarks: name -> row of `neutral`: the 83 of BU-3DFE (`fer3d.landmarks.bu83_names`) and `pronasale`.
        action_units: Unit -> (mode -> weight at full strength of the unit).
        lids: Upper lids that `shape` lets meet the lower ones, or none.

    Raises:
        ArgumentError: if a shape, dtype or index is wrong, a canonical landmark is missing, or a unit names no mode.
    """

    name: str
    neutral: NDArray[np.float64]
    identity_modes: NDArray[np.float32]
    expression_modes: NDArray[np.float32]
    expression_names: tuple[str, ...]
    triangles: NDArray[np.int32]
    part: NDArray[np.uint8]
    uv: NDArray[np.float32]
    landmarks: Mapping[str, int]
    action_units: Mapping[str, Mapping[str, float]]
    lids: tuple[Lid, ...] = ()

    def __post_init__(self) -> None:
        V = len(self.neutral)
        check_dtype("neutral", self.neutral, np.float64)
        check_shape("neutral", self.neutral, ("V", 3))
        for name, modes in (("identity_modes", self.identity_modes), ("expression_modes", self.expression_modes)):
            check_dtype(name, modes, np.float32)
            check_shape(name, modes, ("N", V, 3))
        check_dtype("triangles", self.triangles, np.int32)
        check_shape("triangles", self.triangles, ("F", 3))
        check_index("triangles", self.triangles, V)
        check_dtype("part", self.part, np.uint8)
        check_shape("part", self.part, (len(self.triangles),))
        check_dtype("uv", self.uv, np.float32)
        check_shape("uv", self.uv, (V, 2))
        if len(self.expression_names) != len(self.expression_modes):
            raise ArgumentError(
                f"`expression_names` should name {len(self.expression_modes)} modes, names {len(self.expression_names)}"
            )
        missing = [name for name in CANONICAL_LANDMARKS if name not in self.landmarks]
        if missing:
            raise ArgumentError(f"`landmarks` should hold every canonical landmark, lacks {', '.join(missing)}")
        check_index("landmarks", np.array(list(self.landmarks.values())), V)
        unknown = {mode for modes in self.action_units.values() for mode in modes} - set(self.expression_names)
        if unknown:
            raise ArgumentError(f"`action_units` should name modes, names {', '.join(sorted(unknown))}")

    def shape(
        self, identity: NDArray[np.float64] | None = None, expression: Mapping[str, float] | None = None
    ) -> NDArray[np.float64]:
        """(V, 3) float64: the face of a person with an expression, mm.

        The weighted sum of the modes, then each lid of `lids`: modes close the eye of the mean person, but people's
        eyes differ. So the gap that there is without the closing mode is closed by the share that its weight says, and
        lids that would cross touch.

        Args:
            identity: (M,) float64. Weights of the identity modes, N(0, 1); None is the mean person.
            expression: Mode name -> weight; None is neutral.

        Raises:
            ArgumentError: if the number of weights is not M, or a mode of this name does not exist.
        """
        points = self.neutral.copy()
        if identity is not None:
            check_shape("identity", identity, (len(self.identity_modes),))
            # One thread: BLAS would start several, which wait for each other where scans are made in parallel.
            points += np.einsum("m,mvc->vc", identity.astype(np.float32), self.identity_modes)
        for name, weight in (expression or {}).items():
            points += np.float32(weight) * self.expression_modes[self._mode(name)]
        for lid in self.lids:
            self._settle(points, lid, (expression or {}).get(lid.closed_by, 0.0))
        return points

    def _settle(self, points: NDArray[np.float64], lid: Lid, weight: float) -> None:
        """Move an upper lid, in place, to where it meets the lower one; see `shape`."""
        closed = min(max(weight, 0.0), 1.0)
        mode = self.expression_modes[self._mode(lid.closed_by), :, 1]
        margin = lid.upper[0]
        gap = points[margin, 1] - points[lid.lower, 1]
        without = gap - weight * (mode[margin] - mode[lid.lower])
        if closed == 0.0 and gap.min() >= _TOUCH:
            return
        shift = np.maximum((1 - closed) * without, _TOUCH) - gap  # (n,) mm of y
        points[lid.upper, 1] += lid.share * shift
        points[lid.upper, 2] += lid.share * lid.slope * shift
        touching = np.where(without > _TOUCH, closed, 1.0)
        points[lid.upper, 2] += lid.share * touching * (points[lid.lower, 2] - points[margin, 2])

    def mode_weights(self, units: Mapping[str, float]) -> dict[str, float]:
        """Mode -> weight: what `shape` needs to show action units.

        Some units undo others, as muscles do: as far as an eye is closed (AU43) its lids are neither raised (AU5) nor
        tightened (AU7); as far as lips are pressed or sucked in (AU24, AU28) they do not part (AU25).

        Args:
            units: Unit -> strength, 0 to 1. A name without side, such as `AU12`, drives both sides.

        Raises:
            ArgumentError: if the model has no such unit.
        """
        shown: dict[str, float] = {}
        for unit, strength in units.items():
            for name in sides(unit, self.action_units):
                shown[name] = shown.get(name, 0.0) + strength
        weights: dict[str, float] = {}
        for name, strength in shown.items():
            unit, _, side = name.partition("_")
            for stronger in _UNDONE_BY.get(unit, ()):
                left = 1.0 - shown.get(f"{stronger}_{side}" if side else stronger, 0.0)
                strength *= min(max(left, 0.0), 1.0)
            for mode, full in self.action_units[name].items():
                weights[mode] = weights.get(mode, 0.0) + strength * full
        return weights

    def _mode(self, name: str) -> int:
        if name not in self.expression_names:
            raise ArgumentError(
                f"`expression` should name modes of the face model {self.name}, names {name!r}; "
                f"it has {', '.join(self.expression_names)}"
            )
        return self.expression_names.index(name)

    def landmark_points(self, points: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        """name -> (3,) float64: the landmarks on a shape of this model.

        Args:
            points: (V, 3) float64, as `shape` gives.
        """
        check_shape("points", points, self.neutral.shape)
        return {name: points[row].copy() for name, row in self.landmarks.items()}


def sides(unit: str, units: Collection[str]) -> tuple[str, ...]:
    """The names among `units` that a unit without side stands for: itself, or its left and right.

    >>> sides("AU12", ("AU12_L", "AU12_R", "AU26"))
    ('AU12_L', 'AU12_R')

    Raises:
        ArgumentError: if there is neither.
    """
    if unit in units:
        return (unit,)
    both = (f"{unit}_L", f"{unit}_R")
    if all(name in units for name in both):
        return both
    raise ArgumentError(
        f"`units` should be action units of the face model, hold {unit!r}; it has {', '.join(sorted(units))}"
    )
