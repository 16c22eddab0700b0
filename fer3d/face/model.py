"""`FaceModel`: a neutral face with linear modes for identity and expression.

shape = neutral + sum of identity weights * identity modes + sum of expression weights * expression modes

Convention: mm, frontal pose, axes of `fer3d.scan`, origin at the nose tip of the neutral face. Identity weights are
drawn from N(0, 1); expression weights go from 0 to 1.

Expressions are given in action units of FACS [1]: `AU26` where both sides move together, `AU12_L` and `AU12_R` where
each side can move alone; left is the subject's left. `FaceModel.mode_weights` converts action units to weights of
modes.

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

# Parts of a face model: the values of `FaceModel.part`.
SKIN, EYE, MOUTH, TEETH = 0, 1, 2, 3
# Action unit -> units that suppress it on the same side.
_UNDONE_BY = {"AU5": ("AU43",), "AU7": ("AU43",), "AU25": ("AU24", "AU28")}
_TOUCH = 0.1  # mm between lids that touch, so that their meshes do not cross


class Lid(NamedTuple):
    """An upper lid that meets the lower lid when the eye closes, whatever the size of the eye.

    n is the number of columns from corner to corner of the eye.

    Attributes:
        upper: (R, n) int32. Vertices of the upper lid that move together, column by column; row 0 is the margin.
        lower: (n,) int32. The margin of the lower lid, opposite to the margin of the upper lid in each column.
        share: (R, n) float32. Share of the shift of the margin that each vertex follows; 1 at the margin.
        slope: (R, n) float32. Change of z per mm of y while the vertex slides on the eyeball.
        closed_by: The mode that closes the eye.
    """

    upper: NDArray[np.int32]
    lower: NDArray[np.int32]
    share: NDArray[np.float32]
    slope: NDArray[np.float32]
    closed_by: str


@dataclass(frozen=True, slots=True, eq=False)
class FaceModel:
    """A face model; it is linear except for the lids.

    Sizes: V vertices, F triangles, M identity modes, N expression modes.

    Attributes:
        name: Name of the model in truth files.
        neutral: (V, 3) float64, mm.
        identity_modes: (M, V, 3) float32, mm per unit of weight.
        expression_modes: (N, V, 3) float32, mm at weight 1.
        expression_names: Names of the N expression modes; in the built-in model these are its action units.
        triangles: (F, 3) int32, counter-clockwise seen from outside.
        part: (F,) uint8. Part of the face that each triangle belongs to: SKIN, EYE (the eyeball), MOUTH (its inside) or
            TEETH.
        uv: (V, 2) float32. Texture coordinates, the same for every person; see `fer3d.scan` for the axes.
        landmarks: Name -> row of `neutral`. The built-in model and ICT-FaceKit have all `fer3d.landmarks.POINT_NAMES`;
            the canonical landmarks are required.
        action_units: Action unit -> (expression mode -> weight at full strength of the unit).
        lids: Upper lids that `shape` moves so that they meet the lower lids; may be empty.

    Raises:
        ArgumentError: if a shape, dtype or index is wrong, a canonical landmark is missing, or a unit names an
            unknown mode.
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
        """(V, 3) float64, mm: vertices of the face of a person with an expression.

        This adds the weighted modes to the neutral face and then corrects each lid of `lids`, because the modes close
        the eyes of the mean person exactly, but not those of other people. The correction closes the gap that exists
        without the closing mode by the share that the weight of that mode gives. Lids that would cross touch instead.

        Args:
            identity: (M,) float64. Weights of the identity modes, distributed as N(0, 1); None is the mean person.
            expression: Mode name -> weight; None is neutral.

        Raises:
            ArgumentError: if the number of identity weights is not M, or `expression` names an unknown mode.
        """
        points = self.neutral.copy()
        if identity is not None:
            check_shape("identity", identity, (len(self.identity_modes),))
            # einsum uses one thread; BLAS would start several, which wait for each other where scans are made in
            # parallel.
            points += np.einsum("m,mvc->vc", identity.astype(np.float32), self.identity_modes)
        for name, weight in (expression or {}).items():
            points += np.float32(weight) * self.expression_modes[self._mode(name)]
        for lid in self.lids:
            self._settle(points, lid, (expression or {}).get(lid.closed_by, 0.0))
        return points

    def _settle(self, points: NDArray[np.float64], lid: Lid, weight: float) -> None:
        """Move an upper lid in place so that it meets the lower lid; see `shape`."""
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
        """Mode -> weight: the expression weights of `shape` that show action units.

        Some units suppress others, as muscles do: an eye that is partly closed (AU43) raises (AU5) and tightens (AU7)
        its lids less, by the same share; lips that are pressed (AU24) or sucked in (AU28) part (AU25) less.

        Args:
            units: Action unit -> strength, 0 to 1. A name without side, such as `AU12`, drives both sides.

        Raises:
            ArgumentError: if the model has no such unit.
        """
        strengths: dict[str, float] = {}
        for unit, strength in units.items():
            for name in sides(unit, self.action_units):
                strengths[name] = strengths.get(name, 0.0) + strength
        weights: dict[str, float] = {}
        for name, strength in strengths.items():
            unit, _, side = name.partition("_")
            for stronger in _UNDONE_BY.get(unit, ()):
                left = 1.0 - strengths.get(f"{stronger}_{side}" if side else stronger, 0.0)
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
        """Name -> (3,) float64: the landmarks on a shape of this model.

        Args:
            points: (V, 3) float64, as `shape` returns it.
        """
        check_shape("points", points, self.neutral.shape)
        return {name: points[row].copy() for name, row in self.landmarks.items()}


def sides(unit: str, units: Collection[str]) -> tuple[str, ...]:
    """Names in `units` that an action unit stands for: the unit itself, or its left and right side.

    >>> sides("AU12", ("AU12_L", "AU12_R", "AU26"))
    ('AU12_L', 'AU12_R')

    Raises:
        ArgumentError: if `units` holds neither.
    """
    if unit in units:
        return (unit,)
    both = (f"{unit}_L", f"{unit}_R")
    if all(name in units for name in both):
        return both
    raise ArgumentError(
        f"`units` should be action units of the face model, hold {unit!r}; it has {', '.join(sorted(units))}"
    )
