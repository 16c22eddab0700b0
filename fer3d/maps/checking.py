"""Check the record of a map group: its signs, powers and kind against the values that its functions compute."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fer3d.errors import ArgumentError
from fer3d.maps.context import MapContext
from fer3d.maps.curvature import CURVATURE_RADIUS
from fer3d.maps.groups import Channel, MapGroup
from fer3d.maps.render import finished, vertex_values
from fer3d.scan import Scan, check_scan

# Largest difference between two vertices, as a fraction of the largest value of a channel. The mirror image sums over
# neighbours in another order, and float32 rounds coordinates of 50 mm to 4e-6 mm, which changes a curvature of
# 0.02 / mm by a fraction of 1e-4.
TOLERANCE = 2e-3
_FEW = 0.02  # fraction of vertices, such as those at a boundary, that may be known in only one of two scans
_TWICE = 2.0


def check_group(group: MapGroup, scan: Scan | None = None) -> None:
    """Compare the record of a map group with the values it computes. Call this in the tests of the group.

    The function computes the stored and the fed channels of the scan, of its mirror image, of the scan scaled by 2 and,
    for heights, of the scan moved along z. They have to agree with `mirror`, `power` and `kind`.

    Args:
        group: Any group but a picture.
        scan: The test scan, in mm, with the nose tip at the origin. It must be asymmetric: a symmetric scan hides a
            wrong sign. None: a bump of 60 x 60 mm without landmarks.

    Raises:
        ArgumentError: for the first channel that contradicts its record.
    """
    if group.picture:
        raise ArgumentError(f"`group` should have values at vertices, {group.name} is a picture")
    scan = lopsided_bump() if scan is None else scan
    check_scan("scan", scan)
    here = _channels(group, scan, CURVATURE_RADIUS)
    flipped = _moved(scan, lambda points: points * np.array([-1, 1, 1], np.float32))
    flipped = replace(flipped, faces=np.ascontiguousarray(scan.faces[:, ::-1]))
    mirror = _channels(group, flipped, CURVATURE_RADIUS)
    large = _channels(group, _moved(scan, lambda points: points * np.float32(_TWICE)), _TWICE * CURVATURE_RADIUS)
    for channel in dict.fromkeys((*group.stored, *group.fed)):
        name, values = channel.name, here[channel.name]
        if not np.isfinite(values).any():
            raise ArgumentError(f"channel {name!r} of map group {group.name!r} should have values, is NaN everywhere")
        _check_like(group, channel, values * channel.mirror, mirror[name], f"`mirror` {channel.mirror}", "mirrored")
        wanted = values * _TWICE**channel.power
        _check_like(group, channel, wanted, large[name], f"`power` {channel.power}", "twice as large")
    _check_kind(group, scan, here)


def lopsided_bump() -> Scan:
    """An asymmetric open surface, curved everywhere, of about 60 x 60 mm, with its top at the origin."""
    side = np.linspace(-30.0, 30.0, 41)
    x, y = (part.ravel() for part in np.meshgrid(side, side))
    x, y = x + 0.3 * np.sin(1.7 * y), y + 0.3 * np.sin(2.3 * x)  # no two triangles alike
    z = -0.008 * x**2 - 0.004 * y**2 + 0.003 * x * y + 1e-4 * x**3 + 2 * np.exp(-((x - 9) ** 2 + (y + 5) ** 2) / 90)
    row = np.arange(len(side) ** 2).reshape(len(side), -1)
    a, b, c, d = row[:-1, :-1].ravel(), row[:-1, 1:].ravel(), row[1:, :-1].ravel(), row[1:, 1:].ravel()
    faces = np.concatenate([np.stack([a, b, d], axis=1), np.stack([a, d, c], axis=1)])
    return Scan.of(np.stack([x, y, z - z[len(z) // 2]], axis=1), faces)


def _moved(scan: Scan, change: Callable[[NDArray[np.float32]], NDArray[np.float32]]) -> Scan:
    landmarks = {name: change(point.astype(np.float32)).astype(np.float64) for name, point in scan.landmarks.items()}
    return replace(scan, vertices=change(scan.vertices), landmarks=landmarks)


def _channels(group: MapGroup, scan: Scan, radius: float) -> dict[str, NDArray[np.float32]]:
    """Name -> (V,) values of every channel, stored or fed, with each vertex as a pixel."""
    values = vertex_values(group, MapContext(scan, radius))
    rows = np.asarray(finished(group, np.ascontiguousarray(values.T[:, None])), np.float32)  # (S, 1, V)
    channels = dict(zip(group.stored_names, rows, strict=True))
    for channel in group.fed:
        if channel.formula is not None:
            channels[channel.name] = np.asarray(channel.formula(*(channels[name] for name in channel.of)), np.float32)
    return {name: values[0] for name, values in channels.items()}


def _check_like(
    group: MapGroup, channel: Channel, wanted: NDArray[np.float32], came: NDArray[np.float32], field: str, how: str
) -> None:
    known, also = np.isfinite(wanted), np.isfinite(came)
    where = f"channel {channel.name!r} of map group {group.name!r}"
    if (known != also).mean() > _FEW:
        raise ArgumentError(f"{where} should be known at the same vertices of a scan that is {how}, is not")
    both = known & also
    size = float(np.abs(wanted[both]).max(initial=0.0))
    off = np.abs(wanted - came)[both]
    if (off > TOLERANCE * size).mean() > _FEW:
        first = int(off.argmax())
        raise ArgumentError(
            f"{where} has {field}: of the scan {how} it should be {wanted[both][first]:.4g} at a vertex, is "
            f"{came[both][first]:.4g}"
        )


def _check_kind(group: MapGroup, scan: Scan, here: dict[str, NDArray[np.float32]]) -> None:
    table = np.stack([here[name] for name in group.fed_names])
    where = f"map group {group.name!r} of kind {group.kind} should have"
    if group.kind == "height":
        step = 8.0
        higher = _channels(
            group, _moved(scan, lambda points: points + np.array([0, 0, step], np.float32)), CURVATURE_RADIUS
        )
        rise = float(np.nanmedian(higher[group.fed_names[0]] - table[0]))
        if abs(rise - step) > TOLERANCE * step:
            raise ArgumentError(f"{where} the height z: of a scan {step:g} mm nearer, it grows by {rise:.4g} mm")
    elif group.kind == "normal":
        length = np.sqrt((table * table).sum(axis=0))
        if np.nanmax(np.abs(length - 1.0)) > TOLERANCE:
            raise ArgumentError(f"{where} unit vectors, one has length {length[np.nanargmax(np.abs(length - 1))]:.4g}")
    elif group.kind == "colour" and (np.nanmin(table) < 0.0 or np.nanmax(table) > 1.0):
        raise ArgumentError(f"{where} values in [0, 1], has [{np.nanmin(table):.4g}, {np.nanmax(table):.4g}]")
