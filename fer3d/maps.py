"""Normals and curvatures of a scan, and its depth, normal, curvature and texture maps.

Convention:
    - `fer3d.scan` states axes, units and signs. A map looks at the scan from +z, orthographically; pixel (row r,
      column c) of an (H, W) map has its centre at x = (c - (W - 1) / 2) * pixel, y = ((H - 1) / 2 - r) * pixel, so
      the origin (the nose tip of an aligned scan) is the middle of the map and row 0 is the forehead's.
    - Depth is z in mm: 0 at the nose tip, negative behind it.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fer3d.checks import check_dtype, check_range, check_shape
from fer3d.errors import ArgumentError, PrepareError
from fer3d.kernels import cells, curvature, inpaint, raster, sampling, topology
from fer3d.kernels import normals as normal_kernels
from fer3d.scan import Scan, check_scan

# What `render_maps` can be asked for, and the channels that each brings. Texture is no channel: see `Maps.texture`.
MAP_CHANNELS = {
    "depth": ("depth",),
    "normal": ("normal_x", "normal_y", "normal_z"),
    "curvature": ("shape_index", "curvedness", "mean", "gaussian"),
    "texture": (),
}

NONE, MEASURED, FILLED = 0, 1, 2  # the values of `Maps.mask`

# Our choice, in mm. At 1 mm edges a ball of 6 mm holds about 100 vertices: 0.1 mm of noise moves a curvature by
# 0.004 / mm, and a ball of 10 mm radius (a nose tip) is seen 8 % too flat. See `principal_curvatures`.
CURVATURE_RADIUS = 6.0
LEAST_MEMBERS = 12  # twice the unknowns of a quadric
WIDENINGS = (1.0, 1.5, 2.25)

# 1/mm. float32 coordinates at 100 mm are rounded to 4e-6 mm, which the default radius makes into less than this.
FLAT = 1e-6

_MOST_CELLS = 1 << 21


def vertex_normals(scan: Scan) -> NDArray[np.float32]:
    """Unit normals at the vertices, outward if the faces are counter-clockwise.

    Faces are weighted by sin(angle) / (product of the two sides) after Max [1]: exact on any triangulation of a
    sphere and, without noise, the most accurate of the usual weights on a torus or a saddle (angle and area weights
    err two and five times as much). Vertices at exactly one position, as uv seams make them, share a normal.

    Args:
        scan: With at least one face.

    Returns:
        (V, 3) float32. NaN at a vertex that has no face, or only faces of no area or with NaN corners.

    Raises:
        ArgumentError: if `scan` is no Scan or has no face.

    References:
        .. [1] Max. Weights for computing vertex normals from facet normals. Journal of Graphics Tools 4(2), 1999.
    """
    check_scan("scan", scan)
    made: NDArray[np.float32] = normal_kernels.vertex_normals(scan.vertices, scan.faces, topology.weld(scan.vertices))
    return made


def principal_curvatures(
    scan: Scan, radius: float = CURVATURE_RADIUS, *, normals: NDArray[np.float32] | None = None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Principal curvatures at the vertices, from a quadric fitted to the vertices within `radius`.

    The neighbours of a vertex are those within `radius` that the mesh connects to it inside that ball and whose
    normals lie within 90 degrees of its own, so that the lips, or an eyelid and the eye, do not mix. In the tangent
    frame h = c + p u + q v + A uu + B uv + C vv is fitted by least squares in float64, with the weight
    1 - (distance / radius)^2 (Epanechnikov's, the best for derivatives by local polynomials [1]); k1 and k2 follow from
    the two fundamental forms at the vertex. With `c` free, the noise of the vertex itself does not enter directly.

    Choosing `radius`, for vertices with noise of standard deviation s and edges of length e (all in mm; constants
    measured on spheres, tori and saddles):

    - noise: the standard deviation of a curvature is about 8 s e / radius^3, in 1/mm; three times that on a rim;
    - bias: a curvature k comes out too small by about 0.2 (radius k)^2 of itself;
    - so radius = (8 s e / d)^(1/3) is the smallest with a standard deviation d, and it should stay below 1 / k.

    A vertex with fewer than 12 vertices in its ball, as on coarse meshes, gets a ball 1.5 and then 2.25 times as wide.

    Args:
        scan: In mm, with at least one face.
        radius: In mm.
        normals: (V, 3) float32. Those of `vertex_normals`, if at hand.

    Returns:
        k1, k2: (V,) float32 in 1/mm, k1 >= k2, positive where convex. NaN where the normal is NaN, where even the
            widest ball holds fewer than 12 vertices, or where they lie too close to one line or conic for a fit.

    Raises:
        ArgumentError: if `scan` is no Scan or has no face, `normals` does not fit, or `radius` is not positive or
            larger than the scan.

    References:
        .. [1] Fan, Gijbels. Local polynomial modelling and its applications. Chapman and Hall, 1996. Section 3.2.
    """
    check_scan("scan", scan)
    normals = _checked_normals(scan, normals)
    check_range("radius", radius, 1e-6, 1e6, "mm")
    first = topology.weld(scan.vertices)
    use = (first == np.arange(len(first))) & np.isfinite(normals).all(axis=1) & np.isfinite(scan.vertices).all(axis=1)
    k1, k2 = np.full(len(first), np.nan), np.full(len(first), np.nan)
    if use.any():
        points = scan.vertices.astype(np.float64)
        low, high = points[use].min(axis=0), points[use].max(axis=0)
        size = float(np.linalg.norm(high - low))
        if radius > size:
            raise ArgumentError(
                f"`radius` should be less than the size of the scan, {size:.3g}, is {radius:g}: is the scan in mm?"
            )
        todo = use.copy()
        for factor in WIDENINGS:
            _fit_quadrics(points, normals, scan.faces, first, use, todo, (low, high), factor * radius, k1, k2)
            if not todo.any():
                break
    return k1[first].astype(np.float32), k2[first].astype(np.float32)


def _fit_quadrics(
    points: NDArray[np.float64],
    normals: NDArray[np.float32],
    faces: NDArray[np.int32],
    first: NDArray[np.int32],
    use: NDArray[np.bool_],
    todo: NDArray[np.bool_],
    box: tuple[NDArray[np.float64], NDArray[np.float64]],
    radius: float,
    k1: NDArray[np.float64],
    k2: NDArray[np.float64],
) -> None:
    """Fit the vertices in `todo` with one radius; write `k1`, `k2`, and leave in `todo` those with too few members."""
    cell, shape = _cell_grid(*box, radius / 2)
    order, begin = cells.cell_table(points, use, cell, box[0], shape)
    position = np.full(len(points), -1, dtype=np.int32)
    position[order] = np.arange(len(order), dtype=np.int32)
    start, other, rim = curvature.links(faces, first, position, len(order))
    frames = curvature.ring_mean(normals[order], start, other).astype(np.float64)
    one, two, members = curvature.principal_curvatures(
        points[order], frames, begin, shape, start, other, rim, todo[order], float(radius), LEAST_MEMBERS
    )
    done = order[todo[order] & (members >= LEAST_MEMBERS)]
    k1[done], k2[done] = one[position[done]], two[position[done]]
    todo[done] = False


def _cell_grid(low: NDArray[np.float64], high: NDArray[np.float64], cell: float) -> tuple[float, NDArray[np.int64]]:
    """Side of the cells (at least `cell`) and how many there are along x, y, z. A stray vertex makes them larger."""
    while True:
        shape = np.floor((high - low) / cell) + 1
        if shape.prod() <= _MOST_CELLS:
            return cell, shape.astype(np.int64)
        cell *= 2.0


def shape_index(k1: ArrayLike, k2: ArrayLike) -> NDArray[np.floating]:
    """Koenderink's shape index [1] on the house scale: 1 cap, 0.75 ridge, 0.5 saddle, 0.25 rut, 0 cup.

    1/2 + atan((k1 + k2) / (k1 - k2)) / pi, for curvatures that are positive where convex. It does not depend on scale,
    nor on which of the two is given first. NaN where the surface is flat (both within 1e-6 / mm of zero, where a
    ratio would be made of rounding) and where either is NaN.

    Args:
        k1, k2: Any shapes that broadcast, 1/mm.

    Returns:
        Of the common shape; float32 from float32, else float64.

    References:
        .. [1] Koenderink, van Doorn. Surface shape and curvature scales. Image and Vision Computing 10(8), 1992.

    >>> shape_index([0.1, 0.1, 0.1, 0.0, -0.1, 0.0], [0.1, 0.0, -0.1, -0.1, -0.1, 0.0])
    array([1.  , 0.75, 0.5 , 0.25, 0.  ,  nan])
    """
    k1, k2 = _curvature_pair(k1, k2)
    index = 0.5 + np.arctan2(k1 + k2, np.abs(k1 - k2)) / k1.dtype.type(np.pi)
    flat = np.maximum(np.abs(k1), np.abs(k2)) <= FLAT
    return np.where(flat, k1.dtype.type(np.nan), index)


def curvedness(k1: ArrayLike, k2: ArrayLike) -> NDArray[np.floating]:
    """How strongly the surface bends: sqrt((k1^2 + k2^2) / 2), 1/mm. Koenderink and van Doorn 1992."""
    k1, k2 = _curvature_pair(k1, k2)
    made: NDArray[np.floating] = np.sqrt((k1 * k1 + k2 * k2) * k1.dtype.type(0.5))
    return made


def mean_curvature(k1: ArrayLike, k2: ArrayLike) -> NDArray[np.floating]:
    """(k1 + k2) / 2, 1/mm: positive on a sphere."""
    k1, k2 = _curvature_pair(k1, k2)
    return (k1 + k2) * k1.dtype.type(0.5)  # type: ignore[no-any-return]


def gaussian_curvature(k1: ArrayLike, k2: ArrayLike) -> NDArray[np.floating]:
    """k1 * k2, 1/mm^2."""
    k1, k2 = _curvature_pair(k1, k2)
    return k1 * k2


def _curvature_pair(k1: ArrayLike, k2: ArrayLike) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    a, b = np.asarray(k1), np.asarray(k2)
    kind = np.float32 if a.dtype == np.float32 and b.dtype == np.float32 else np.float64
    try:
        a, b = np.broadcast_arrays(a.astype(kind), b.astype(kind))
    except ValueError:
        raise ArgumentError(f"`k1` and `k2` should have shapes that broadcast, have {a.shape} and {b.shape}") from None
    return a, b


@dataclass(frozen=True, eq=False)
class Maps:
    """Pixel-aligned maps of one scan.

    Attributes:
        names: Names of the C channels: "depth", "normal_x", ... (see `MAP_CHANNELS`).
        stack: (C, H, W) float32; mm, unit vectors, 1/mm, 1/mm^2. NaN where the mask is 0.
        mask: (H, W) uint8. 0 nothing there, 1 measured, 2 filled in: interpolated over a small hole.
        texture: (H, W, 3) uint8, black where the mask is 0. None if not asked for, or the scan has none.
        pixel: Width of a pixel in mm.
    """

    names: tuple[str, ...]
    stack: NDArray[np.float32]
    mask: NDArray[np.uint8]
    texture: NDArray[np.uint8] | None
    pixel: float

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
    maps: Sequence[str] = ("depth", "normal", "curvature", "texture"),
    size: int | tuple[int, int] = 224,
    pixel: float = 0.8,
    radius: float = CURVATURE_RADIUS,
    fill: float = 10.0,
    *,
    normals: NDArray[np.float32] | None = None,
    curvatures: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None,
) -> Maps:
    """Depth, normal, curvature and texture maps of an aligned scan, all from one z-buffer pass.

    Only faces that look at the camera count, as a range camera sees no others: the inside of the back of a head does
    not show through a hole. Normals and principal curvatures are interpolated on the faces; normals are then made
    unit vectors, and shape index and the other curvature channels are computed from the interpolated k1 and k2,
    because none of them is linear. Texture is averaged over each pixel's footprint.

    A pixel is measured if every channel asked for is known there. A hole (measured pixels all around it) whose bounding
    box is at most `fill` on its longer side is filled by a thin plate that meets the measured pixels around it: k1,
    k2, the components of the normal, depth and colour alike. The background and larger holes stay NaN. The shape
    index alone may be NaN at a measured pixel: where the surface is flat.

    Args:
        scan: Aligned, in mm.
        maps: Which groups, out of `MAP_CHANNELS`. The channels of the stack come in this order.
        size: H = W, or (H, W).
        pixel: Width of a pixel in mm. 0.8 makes 224 pixels show 179 mm, all of a 90 mm crop.
        radius: For `principal_curvatures`, where `curvatures` is not given.
        fill: In mm; 0 fills nothing.
        normals: (V, 3) float32, those of `vertex_normals`, if at hand.
        curvatures: k1, k2, each (V,) float32, those of `principal_curvatures`, if at hand.

    Raises:
        ArgumentError: if an argument has the wrong type, shape, name or range.
        PrepareError: if no pixel sees the scan: it is not aligned, not in mm, or inside out.
    """
    check_scan("scan", scan)
    groups = _checked_groups(maps)
    height, width = _checked_size(size)
    check_range("pixel", pixel, 1e-6, 1e6, "mm")
    check_range("fill", fill, 0.0, 1e6, "mm")
    if "normal" in groups or ("curvature" in groups and curvatures is None):
        normals = _checked_normals(scan, normals)
    if "curvature" in groups:
        curvatures = _checked_curvatures(scan, radius, normals, curvatures)

    points = _pixel_points(scan.vertices, height, width, pixel)
    face, bary = raster.zbuffer(points, scan.faces, height, width, raster.NO_JITTER)
    if not (face >= 0).any():
        raise PrepareError(_nothing_seen(scan, height * pixel, width * pixel))
    layers = _linear_layers(scan, groups, normals, curvatures)
    raw = sampling.interpolate(face, bary, scan.faces, np.concatenate([scan.vertices[:, 2:], *layers], axis=1))
    textured = "texture" in groups and scan.texture is not None and scan.uv is not None
    if textured:
        raw = np.concatenate([raw, sampling.look_up(face, bary, scan.faces, points, scan.uv, scan.texture)])
    measured = np.isfinite(raw.sum(axis=0))
    raw[:, ~measured] = np.nan
    filled = inpaint.fill_holes(raw, measured, int(fill / pixel + 1e-9))
    names, stack = _channels(groups, raw)
    return Maps(
        names=names,
        stack=stack,
        mask=np.where(filled, FILLED, measured).astype(np.uint8),
        texture=_colours(raw[-3:]) if textured else None,
        pixel=float(pixel),
    )


def _pixel_points(vertices: NDArray[np.float32], height: int, width: int, pixel: float) -> NDArray[np.float64]:
    points = np.empty(vertices.shape)
    points[:, 0] = vertices[:, 0] / np.float64(pixel) + (width - 1) / 2
    points[:, 1] = (height - 1) / 2 - vertices[:, 1] / np.float64(pixel)
    points[:, 2] = vertices[:, 2]
    return points


def _linear_layers(
    scan: Scan,
    groups: tuple[str, ...],
    normals: NDArray[np.float32] | None,
    curvatures: tuple[NDArray[np.float32], NDArray[np.float32]] | None,
) -> list[NDArray[np.float32]]:
    """What is interpolated beside depth, each (V, n) float32, in the order that `_channels` takes apart."""
    layers: list[NDArray[np.float32]] = []
    if "normal" in groups and normals is not None:
        layers.append(normals)
    if "curvature" in groups and curvatures is not None:
        layers.append(np.stack(curvatures, axis=1))
    return layers


def _channels(groups: tuple[str, ...], raw: NDArray[np.float32]) -> tuple[tuple[str, ...], NDArray[np.float32]]:
    """Names and (C, H, W) stack in the order of `groups` from depth, normals and curvatures as interpolated."""
    made: dict[str, list[NDArray[np.float32]]] = {"depth": [raw[0]], "texture": []}
    next_row = 1
    if "normal" in groups:
        normal = raw[1:4]
        made["normal"] = list(normal / np.sqrt((normal * normal).sum(axis=0)))
        next_row = 4
    if "curvature" in groups:
        k1, k2 = raw[next_row], raw[next_row + 1]
        made["curvature"] = [f(k1, k2) for f in (shape_index, curvedness, mean_curvature, gaussian_curvature)]
    names = tuple(name for group in groups for name in MAP_CHANNELS[group])
    stack = [channel for group in groups for channel in made[group]]
    return names, np.array(stack, dtype=np.float32).reshape(len(names), *raw.shape[1:])


def _colours(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """(3, H, W) in [0, 255] with NaN to (H, W, 3) uint8 with black. A filled hole may overshoot: it is clipped."""
    rounded = np.clip(np.rint(np.nan_to_num(values)), 0, 255)
    return np.ascontiguousarray(rounded.transpose(1, 2, 0), dtype=np.uint8)


def _checked_groups(maps: Sequence[str]) -> tuple[str, ...]:
    groups = (maps,) if isinstance(maps, str) else tuple(maps)
    if not groups:
        raise ArgumentError(f"`maps` should name at least one of {', '.join(MAP_CHANNELS)}, is empty")
    for name in groups:
        if name not in MAP_CHANNELS:
            near = difflib.get_close_matches(str(name), MAP_CHANNELS, n=1, cutoff=0.0)[0]
            raise ArgumentError(f"`maps` should hold names out of {', '.join(MAP_CHANNELS)}, holds {name!r}: {near!r}?")
    if len(set(groups)) < len(groups):
        raise ArgumentError(f"`maps` should name each map once, is {groups}")
    return groups


def _checked_size(size: int | tuple[int, int]) -> tuple[int, int]:
    sides = (size, size) if isinstance(size, int | np.integer) else size
    if not (
        isinstance(sides, tuple | list)
        and len(sides) == 2
        and all(isinstance(side, int | np.integer) and 1 <= side <= 1 << 14 for side in sides)
    ):
        raise ArgumentError(f"`size` should be a whole number in [1, 16384] or two of them (H, W), is {size!r}")
    return int(sides[0]), int(sides[1])


def _checked_normals(scan: Scan, normals: NDArray[np.float32] | None) -> NDArray[np.float32]:
    if normals is None:
        return vertex_normals(scan)
    check_dtype("normals", normals, np.float32)
    check_shape("normals", normals, (len(scan.vertices), 3))
    return normals


def _checked_curvatures(
    scan: Scan,
    radius: float,
    normals: NDArray[np.float32] | None,
    curvatures: tuple[NDArray[np.float32], NDArray[np.float32]] | None,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    if curvatures is None:
        return principal_curvatures(scan, radius, normals=normals)
    if not isinstance(curvatures, tuple | list) or len(curvatures) != 2:
        raise ArgumentError("`curvatures` should be the pair (k1, k2)")
    for number, k in enumerate(curvatures):
        check_dtype(f"curvatures[{number}]", k, np.float32)
        check_shape(f"curvatures[{number}]", k, (len(scan.vertices),))
    return curvatures[0], curvatures[1]


def _nothing_seen(scan: Scan, height_mm: float, width_mm: float) -> str:
    used = scan.vertices[np.unique(scan.faces)]
    low, high = np.nanmin(used, axis=0), np.nanmax(used, axis=0)
    return (
        f"no front side of the scan lies in the map's {width_mm:g} x {height_mm:g} mm about the origin: the scan spans "
        f"x [{low[0]:.4g}, {high[0]:.4g}], y [{low[1]:.4g}, {high[1]:.4g}]; it should be aligned, in mm, faces "
        "counter-clockwise"
    )
