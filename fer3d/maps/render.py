"""Render the maps of a scan: depth, normals, curvature, texture and those of other packages.

Convention:
    - `fer3d.scan` states axes, units and signs. A map is an orthographic view of the scan from +z; pixel (row r,
      column c) of an (H, W) map has its centre at x = (c - (W - 1) / 2) * pixel, y = ((H - 1) / 2 - r) * pixel, so
      the origin (the nose tip of an aligned scan) is the centre of the map and row 0 shows the forehead.
    - Depth is z in mm: 0 at the nose tip, negative behind it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from fer3d.checks import check_range
from fer3d.errors import ArgumentError, PrepareError
from fer3d.kernels import inpaint, raster, sampling
from fer3d.maps.context import MapContext
from fer3d.maps.curvature import CURVATURE_RADIUS
from fer3d.maps.groups import MapGroup
from fer3d.maps.registry import STANDARD_GROUPS, check_groups, map_group, ordered_groups
from fer3d.scan import Scan, check_scan

NONE, MEASURED, FILLED = 0, 1, 2  # the values of `Maps.mask`


@dataclass(frozen=True, eq=False)
class Maps:
    """Pixel-aligned maps of one scan.

    Attributes:
        names: Names of the C channels: "depth", "normal_x", ... (see `fer3d.maps.standard`).
        stack: (C, H, W) float32; mm, unit vectors, 1/mm, 1/mm^2, or the unit of a group from another package. NaN where
            the mask is 0. A group other than depth can be NaN elsewhere too: where the surface is seen, but the group
            is not known.
        mask: (H, W) uint8. 0: no surface; 1: the surface is seen, and its depth known; 2: filled, interpolated over a
            small hole of the surface.
        texture: (H, W, 3) uint8, black where no colour is known. None if not requested, or if the scan has neither a
            texture nor colours.
        pixel: Width of a pixel in mm.
        coloured: (H, W) bool: where the texture is known. None: everywhere where the mask is not 0.
    """

    names: tuple[str, ...]
    stack: NDArray[np.float32]
    mask: NDArray[np.uint8]
    texture: NDArray[np.uint8] | None
    pixel: float
    coloured: NDArray[np.bool_] | None = None

    def channel(self, name: str) -> NDArray[np.float32]:
        """(H, W) float32: one channel of the stack.

        Raises:
            ArgumentError: if there is no such channel.
        """
        if name not in self.names:
            raise ArgumentError(f"`name` should be one of {', '.join(self.names)}, is {name!r}")
        return self.stack[self.names.index(name)]  # type: ignore[no-any-return]


def render_maps(
    scan: Scan,
    maps: Sequence[str] = STANDARD_GROUPS,
    size: int | tuple[int, int] = 64,
    pixel: float = 2.8,
    radius: float = CURVATURE_RADIUS,
    fill: float = 10.0,
    *,
    normals: NDArray[np.float32] | None = None,
    curvatures: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None,
) -> Maps:
    """Depth, normal, curvature, texture and other maps of an aligned scan, all from one z-buffer pass.

    Only front faces count, as for a range camera: the inside of the back of a head does not show through a hole.
    Normals and principal curvatures are interpolated on the faces; then normals are normalised, and the shape index
    and the other curvature channels are computed from the interpolated k1 and k2, because none of them is linear.
    Texture is averaged over the footprint of each pixel. Where there is none, colours of vertices are interpolated.

    A pixel is measured if the surface is seen there. Each map has holes of its own: where a vertex has no curvature,
    the pixels around it have none, but still their depth. A hole of a map (known pixels all around it) whose bounding
    box is at most `fill` mm on its longer side is filled by a thin plate that interpolates the known pixels around it,
    for k1, k2, the components of the normal, depth and colour alike. The background and larger holes stay NaN. The
    shape index is NaN also where the surface is flat.

    Args:
        scan: Aligned, in mm.
        maps: Names of groups out of `fer3d.maps.registry.group_names()`. The channels of the stack are in this order.
        size: H = W, or (H, W).
        pixel: Width of a pixel in mm. With 2.8, 64 pixels show 179 mm, all of a crop of 90 mm radius.
        radius: For `principal_curvatures`, if `curvatures` is None; mm.
        fill: Largest hole to fill, mm; 0 fills nothing.
        normals: (V, 3) float32, the result of `vertex_normals`, if available.
        curvatures: k1, k2, each (V,) float32, the result of `principal_curvatures`, if available.

    Raises:
        ArgumentError: if an argument has the wrong type, shape, name or range, or if the `values` or `finish` of a
            group returns a shape or type that contradicts its record.
        PrepareError: if no pixel shows the scan, because it is not aligned, not in mm, or inside out.
    """
    check_scan("scan", scan)
    groups = check_groups(maps)
    height, width = _checked_size(size)
    check_range("pixel", pixel, 1e-6, 1e6, "mm")
    check_range("fill", fill, 0.0, 1e6, "mm")
    context = MapContext(scan, radius, normals=normals, curvatures=curvatures)
    layers = _vertex_layers(groups, context)

    points = _pixel_points(scan.vertices, height, width, pixel)
    face, bary = raster.zbuffer(points, scan.faces, height, width, raster.NO_JITTER)
    if not (face >= 0).any():
        raise PrepareError(_nothing_seen(scan, height * pixel, width * pixel))
    raw = sampling.interpolate(face, bary, scan.faces, np.concatenate(list(layers.values()), axis=1))
    colours = _pixel_colours(scan, face, bary, points) if any(group.picture for group in groups) else None
    if colours is not None:
        raw = np.concatenate([raw, colours])
    known = _fill_holes(raw, [values.shape[1] for values in layers.values()], int(fill / pixel + 1e-9))
    names, stack = _channels(groups, layers, raw)
    mask = np.where(face >= 0, MEASURED, np.where(known[0], FILLED, NONE)).astype(np.uint8)
    coloured = None if colours is None or np.array_equal(known[-1], mask > 0) else known[-1]
    return Maps(names, stack, mask, None if colours is None else _colours(raw[-3:]), float(pixel), coloured)


def _fill_holes(raw: NDArray[np.float32], sizes: Sequence[int], most: int) -> list[NDArray[np.bool_]]:
    """Fill the small holes of each map in place. A layer is unknown where any of its map is.

    Args:
        raw: (A, H, W) float32: the layers of the maps, one map after the other.
        sizes: Number of layers of each map. Those left over are one more map.
        most: Longest side of a hole that is filled, in pixels.

    Returns:
        For each map (H, W) bool: where it is known now.
    """
    starts = np.cumsum([0, *sizes, len(raw) - sum(sizes)])
    parts = [slice(start, stop) for start, stop in pairwise(starts.tolist()) if stop > start]
    measured = [np.isfinite(raw[part].sum(axis=0)) for part in parts]
    known: list[NDArray[np.bool_]] = [np.empty(0, np.bool_)] * len(parts)
    waiting = list(range(len(parts)))
    while waiting:  # maps with the same holes are filled together, which costs less
        alike = [n for n in waiting if np.array_equal(measured[n], measured[waiting[0]])]
        waiting = [n for n in waiting if n not in alike]
        whole = len(alike) == len(parts)
        rows = np.concatenate([np.arange(parts[n].start, parts[n].stop) for n in alike])
        layers = raw if whole else raw[rows]
        layers[:, ~measured[alike[0]]] = np.nan
        filled = inpaint.fill_holes(layers, measured[alike[0]], most)
        if not whole:
            raw[rows] = layers
        for n in alike:
            known[n] = measured[n] | filled
    return known


def _pixel_points(vertices: NDArray[np.float32], height: int, width: int, pixel: float) -> NDArray[np.float64]:
    points = np.empty(vertices.shape)
    points[:, 0] = vertices[:, 0] / np.float64(pixel) + (width - 1) / 2
    points[:, 1] = (height - 1) / 2 - vertices[:, 1] / np.float64(pixel)
    points[:, 2] = vertices[:, 2]
    return points


def _vertex_layers(groups: Sequence[MapGroup], context: MapContext) -> dict[str, NDArray[np.float32]]:
    """Group -> values to interpolate, (V, n) float32. Depth is included even if it is not requested."""
    names = ordered_groups((STANDARD_GROUPS[0], *(group.name for group in groups)))
    return {name: vertex_values(map_group(name), context) for name in names if not map_group(name).picture}


def vertex_values(group: MapGroup, context: MapContext) -> NDArray[np.float32]:
    """(V, n) float32: the values of a group at the vertices of the context's scan.

    Raises:
        ArgumentError: if its `values` returns a shape or type that contradicts its record.
    """
    assert group.values is not None
    values, count = group.values(context.scan, context), len(context.scan.vertices)
    wanted = f"`values` of map group {group.name!r} should return"
    if not isinstance(values, np.ndarray) or values.dtype.kind != "f":
        came = values.dtype if isinstance(values, np.ndarray) else type(values).__name__
        raise ArgumentError(f"{wanted} a floating point array, returned {came}")
    if values.ndim not in (1, 2) or len(values) != count or not values.size:
        raise ArgumentError(f"{wanted} an array of shape ({count},) or ({count}, n), returned {values.shape}")
    table = values.reshape(count, -1)
    if group.finish is None and table.shape[1] != len(group.stored):
        raise ArgumentError(
            f"{wanted} {len(group.stored)} values a vertex, one a stored channel, returned {table.shape[1]}"
        )
    return table.astype(np.float32, copy=False)


def finished(group: MapGroup, layers: NDArray[np.float32]) -> NDArray[np.floating]:
    """(S, H, W): the stored channels of a group from its interpolated values, (n, H, W).

    Raises:
        ArgumentError: if its `finish` returns a wrong shape.
    """
    if group.finish is None:
        return layers
    channels, wanted = group.finish(layers), (len(group.stored), *layers.shape[1:])
    if np.shape(channels) != wanted:
        raise ArgumentError(
            f"`finish` of map group {group.name!r} should return shape {wanted}, returned {np.shape(channels)}"
        )
    return channels


def _channels(
    groups: Sequence[MapGroup], layers: dict[str, NDArray[np.float32]], raw: NDArray[np.float32]
) -> tuple[tuple[str, ...], NDArray[np.float32]]:
    """Names and (C, H, W) stack in the order of `groups`; `raw` holds the interpolated `layers` in their order."""
    rows, start = {}, 0
    for name, values in layers.items():
        rows[name] = raw[start : start + values.shape[1]]
        start += values.shape[1]
    names = tuple(name for group in groups for name in group.stored_names)
    stack = [channel for group in groups if group.name in rows for channel in finished(group, rows[group.name])]
    return names, np.array(stack, dtype=np.float32).reshape(len(names), *raw.shape[1:])


def _pixel_colours(
    scan: Scan, face: NDArray[np.int32], bary: NDArray[np.float32], points: NDArray[np.float64]
) -> NDArray[np.float32] | None:
    """(3, H, W) in [0, 255]: the texture and, where there is none, the colours of the vertices. None without both."""
    pixels: NDArray[np.float32] | None = None
    if scan.colours is not None:
        pixels = sampling.interpolate(face, bary, scan.faces, scan.colours)
    if scan.texture is not None and scan.uv is not None:
        wrap_u, wrap_v = (sampling.WRAP[way] for way in scan.wrap)
        looked_up = sampling.look_up(face, bary, scan.faces, points, scan.uv, scan.texture, wrap_u, wrap_v)
        pixels = looked_up if pixels is None else np.where(np.isnan(looked_up), pixels, looked_up)
    return pixels


def _colours(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """(3, H, W) in [0, 255] -> (H, W, 3) uint8; NaN becomes black, and filled holes that overshoot are clipped."""
    rounded = np.clip(np.rint(np.nan_to_num(values)), 0, 255)
    return np.ascontiguousarray(rounded.transpose(1, 2, 0), dtype=np.uint8)


def _checked_size(size: int | tuple[int, int]) -> tuple[int, int]:
    sides = (size, size) if isinstance(size, int | np.integer) else size
    if not (
        isinstance(sides, tuple | list)
        and len(sides) == 2
        and all(isinstance(side, int | np.integer) and 1 <= side <= 1 << 14 for side in sides)
    ):
        raise ArgumentError(f"`size` should be a whole number in [1, 16384] or two of them (H, W), is {size!r}")
    return int(sides[0]), int(sides[1])


def _nothing_seen(scan: Scan, height_mm: float, width_mm: float) -> str:
    used = scan.vertices[np.unique(scan.faces)]
    low, high = np.nanmin(used, axis=0), np.nanmax(used, axis=0)
    return (
        f"no front side of the scan lies in the map's {width_mm:g} x {height_mm:g} mm about the origin: the scan spans "
        f"x [{low[0]:.4g}, {high[0]:.4g}], y [{low[1]:.4g}, {high[1]:.4g}]; it should be aligned, in mm, faces "
        "counter-clockwise"
    )
