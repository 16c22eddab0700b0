"""Tell whether an array holds points: a list (N, 3), or a range image (H, W, 3)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fer3d.formats import point_columns
from fer3d.formats.point_cloud import LEAST_POINTS, scan_of_points
from fer3d.scan import Scan


class Points(NamedTuple):
    """Points of an array.

    Attributes:
        table: (N, C) float64, C = 3, or 6 with colours or normals. Row by row if it is a range image.
        grid: Rows and columns of the range image, or None.
    """

    table: NDArray[np.float64]
    grid: tuple[int, int] | None


def points_of(array: NDArray[Any]) -> Points | None:
    """The points of an array (N, 3), (N, 6), (3, N) or (H, W, 3) of real numbers; None if its shape is another."""
    shape = array.shape
    if len(shape) == 3 and shape[2] == 3 and 1 in shape[:2]:
        array = array.reshape(-1, 3)
        shape = array.shape
    if len(shape) == 2 and shape[1] in (3, 6) and shape[0] >= LEAST_POINTS:
        return Points(_real(array), None)
    if len(shape) == 2 and shape[0] == 3 and shape[1] >= LEAST_POINTS:
        return Points(_real(array.T), None)
    if len(shape) == 3 and shape[2] == 3 and shape[0] * shape[1] >= LEAST_POINTS:
        return Points(_real(array.reshape(-1, 3)), (shape[0], shape[1]))
    return None


def scan_of(
    path: Path,
    kind: str,
    points: Points,
    colours: NDArray[np.float32] | None = None,
    *,
    texture: bool = True,
    record: dict[str, Any] | None = None,
    warnings: Sequence[str] = (),
) -> Scan:
    """Make a scan of points of an array, see `fer3d.formats.point_cloud`."""
    columns = point_columns.of_table(points.table)
    return scan_of_points(
        path,
        kind,
        columns.points,
        columns.colours if colours is None else colours,
        grid=points.grid,
        texture=texture,
        warnings=(*columns.warnings, *warnings),
        record=record,
    )


def _real(array: NDArray[Any]) -> NDArray[np.float64]:
    with np.errstate(over="ignore", invalid="ignore"):  # a damaged file may hold signalling NaN
        return np.ascontiguousarray(array, dtype=np.float64)
