"""What the maps of a scan show: a blank map is an error; a map with little in it, or of a coarse mesh, is a warning."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fer3d.errors import PrepareError
from fer3d.kernels import topology
from fer3d.maps.groups import MapGroup
from fer3d.maps.registry import check_groups
from fer3d.maps.render import MEASURED, Maps
from fer3d.scan import Scan

# Least share of the disc of the crop where the surface is seen. Of 192 simulated scans in four layouts, those of heads
# turned by 90 degrees have 0.23 or more, all others 0.5 or more, in the median 0.68.
LEAST_SEEN = 0.15
LEAST_KNOWN = 0.9  # least share of the seen surface where a map is known; the curvature of these scans has 0.98 or more
# Excess of the mean radius of the curvature fit over the one that was set, as a share of it, above which a warning says
# so: with a radius of 5 mm, simulated scans of 2 mm pitch have 0.06, of 2.5 mm 0.25, of 3 mm 0.4, of 3.5 mm 0.65.
WIDER = 0.3


def check_coverage(scan: Scan, maps: Maps, groups: tuple[str, ...], crop: float) -> Scan:
    """Check that every map of a prepared scan shows the face.

    Args:
        scan: The prepared scan.
        maps: Its maps.
        groups: The map groups that were asked for.
        crop: Radius of the crop, mm.

    Returns:
        The scan, with a warning for each map that shows little.

    Raises:
        PrepareError: if a map is blank.
    """
    seen = maps.mask == MEASURED
    share = float(seen.sum()) / max(_disc(seen.shape, maps.pixel, crop), 1)
    if share < LEAST_SEEN:
        scan = scan.warn(
            f"the surface fills {share:.0%} of the {crop:g} mm around the nose tip, a face fills 60 % or more: "
            + _look(scan)
        )
    for group in check_groups(groups):
        known = _known(group, maps)
        if known is None:
            continue
        part = float(known[seen].mean())
        if part == 0.0:
            raise PrepareError(_blank(group, scan, groups))
        if part < LEAST_KNOWN:
            scan = scan.warn(f"the {group.name} map is known on {part:.0%} of the surface only, the rest has none")
    return scan


def warn_of_radius(scan: Scan, radius: float, used: NDArray[np.float32]) -> Scan:
    """Warn if the curvature of much of a scan comes from larger neighbourhoods than the settings ask for.

    Args:
        scan: The prepared scan.
        radius: The radius that was asked for, mm.
        used: (V,) float32, the radius of each vertex, from `fer3d.maps.curvature.fit_curvatures`.
    """
    excess = np.nan_to_num(used / np.float32(radius) - 1.0)
    wider = excess > 1e-3
    faces = scan.faces[wider[scan.faces].any(axis=1)] if wider.any() else scan.faces[:0]
    if not len(faces):
        return scan
    whole = topology.component_areas(scan.vertices, scan.faces, np.zeros(len(scan.faces), np.int32), 1)[0]
    areas = topology.component_areas(scan.vertices, faces, np.arange(len(faces), dtype=np.int32), len(faces))
    mean = float((areas * excess[faces].mean(axis=1)).sum() / whole)
    if mean <= WIDER:
        return scan
    edge, most = _edge(scan, faces), float(np.percentile(used[wider], 95))
    return scan.warn(
        f"the edges of the mesh, {edge:.1f} mm, are long for a curvature radius of {radius:g} mm: the radius that was "
        f"used is {radius * (1 + mean):.1f} mm on average and up to {most:.1f} mm, and smaller shapes are lost"
    )


def _disc(shape: tuple[int, ...], pixel: float, radius: float) -> int:
    """Number of pixels of a map (H, W) whose centres lie within `radius` of its centre, mm."""
    y, x = (((np.arange(side) - (side - 1) / 2) * pixel) ** 2 for side in shape)
    return int((x + y[:, None] <= radius * radius).sum())


def _known(group: MapGroup, maps: Maps) -> NDArray[np.bool_] | None:
    """(H, W) bool: where a map group is known. None for the picture of a scan without colours."""
    if group.picture:
        if maps.texture is None or maps.coloured is not None:
            return maps.coloured
        return np.ones(maps.mask.shape, np.bool_)
    rows = [maps.names.index(name) for name in group.stored_names]
    return np.asarray(np.isfinite(maps.stack[rows]).any(axis=0))


def _blank(group: MapGroup, scan: Scan, groups: tuple[str, ...]) -> str:
    others = [name for name in groups if name != group.name]
    without = f", or leave the map out with --set maps={','.join(others)}" if others else ""
    if group.needs_curvatures:
        edge = _edge(scan, scan.faces)
        return (
            f"the {group.name} map is blank: no vertex has enough others around it for a curvature, the edges of the "
            f"mesh are {edge:.1f} mm: use a finer scan{without}"
        )
    what = "colours are" if group.picture else "values are"
    return f"the {group.name} map is blank: its {what} unknown wherever the surface is seen: check the scan{without}"


def _edge(scan: Scan, faces: NDArray[np.int32]) -> float:
    """Median length of the edges of some faces, mm."""
    corners = scan.vertices[faces].astype(np.float64)
    return float(np.median(np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2)))


def _look(scan: Scan) -> str:
    unit = next((entry["unit"] for entry in scan.history if entry["step"] == "unit"), "mm")
    return f"is it a face, in {unit}? Look at it with `fer3d maps FILE`; set another unit with --set unit=..."
