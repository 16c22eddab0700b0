"""`MapContext`: the normals and curvatures of a scan, computed once for all maps."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fer3d.checks import check_dtype, check_shape
from fer3d.errors import ArgumentError
from fer3d.maps.curvature import CURVATURE_RADIUS, checked_normals, principal_curvatures
from fer3d.scan import Scan


class MapContext:
    """Normals and curvatures of a scan, computed when they are first read.

    Args:
        scan: In mm.
        radius: Neighbourhood of `principal_curvatures`, mm.
        normals: (V, 3) float32, the result of `vertex_normals`, if available.
        curvatures: k1, k2, each (V,) float32, the result of `principal_curvatures`, if available.
    """

    def __init__(
        self,
        scan: Scan,
        radius: float = CURVATURE_RADIUS,
        *,
        normals: NDArray[np.float32] | None = None,
        curvatures: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None,
    ) -> None:
        self.scan, self.radius = scan, radius
        self._given_normals, self._given_curvatures = normals, curvatures

    @cached_property
    def normals(self) -> NDArray[np.float32]:
        """(V, 3) float32 unit vectors, NaN where a vertex has no normal.

        Raises:
            ArgumentError: if the normals passed in have the wrong shape or dtype.
        """
        return checked_normals(self.scan, self._given_normals)

    @cached_property
    def curvatures(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """k1 >= k2, each (V,) float32, 1/mm, positive where convex, NaN where unknown.

        Raises:
            ArgumentError: if the curvatures passed in have the wrong shape or dtype, or as `principal_curvatures`.
        """
        given = self._given_curvatures
        if given is None:
            return principal_curvatures(self.scan, self.radius, normals=self.normals)
        if not isinstance(given, tuple | list) or len(given) != 2:
            raise ArgumentError("`curvatures` should be the pair (k1, k2)")
        for number, k in enumerate(given):
            check_dtype(f"curvatures[{number}]", k, np.float32)
            check_shape(f"curvatures[{number}]", k, (len(self.scan.vertices),))
        return given[0], given[1]
