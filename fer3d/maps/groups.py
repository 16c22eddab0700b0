"""`MapGroup`, the record of a map: how it is rendered, stored, fed to a network, drawn, mirrored and scaled.

Every part of the package that handles maps reads these records. `fer3d.maps.standard` defines the groups of this
package; `fer3d.maps.registry` lists these groups and those of other packages.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from fer3d.errors import ArgumentError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fer3d.maps.context import MapContext
    from fer3d.scan import Scan

Kind = Literal["value", "height", "normal", "colour"]
Colours = Literal["grey", "blue-red"]

_COMPONENTS = 3  # of a normal, or of a colour
_GROUP_NAME, _CHANNEL_NAME = re.compile(r"[a-z][a-z0-9_-]*"), re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class Channel:
    """One number per pixel. `mirror`, `power`, `low` and `high` have no defaults: a wrong guess would go unnoticed.

    Attributes:
        name: In lower case; unique over all groups.
        mirror: 1 if mirroring the face, x -> -x, keeps the value; -1 if it changes the sign.
        power: Exponent of length: on a face twice as large the value is 2^power times as large. 1 for mm, -1 for 1/mm,
            0 without a unit.
        low, high: Range of values in the picture of the channel; values outside get the colour of the nearer end.
        colours: Colour scale of that picture: from black to white, or from blue over white to red.
        drawn: Whether the contact sheet shows the channel.
        flat: Value fed to the network where the surface is seen and the channel is NaN, as the shape index of a plane.
            None: its mean over the scan, which is also fed where all channels of a group of several are NaN.
        limit: Largest absolute value fed to the network, so that a few extreme pixels do not set the scale. None: no
            limit.
        formula: For a channel that is fed and not stored: a function of the stored channels `of`, each (H, W) float32,
            that returns the channel, (H, W) float32.
        of: Names of these stored channels.

    Raises:
        ArgumentError: if a field has the wrong type or is out of range.
    """

    name: str
    _: KW_ONLY
    mirror: int
    power: int
    low: float
    high: float
    colours: Colours = "grey"
    drawn: bool = True
    flat: float | None = None
    limit: float | None = None
    formula: Callable[..., NDArray[Any]] | None = None
    of: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check_name(self.name, _CHANNEL_NAME, "channel")
        where = f"channel {self.name!r}"
        _check(
            type(self.mirror) is int and self.mirror in (1, -1), f"`mirror` of {where} should be 1 or -1", self.mirror
        )
        whole = type(self.power) is int and abs(self.power) <= 3
        _check(whole, f"`power` of {where} should be a whole number in [-3, 3]", self.power)
        for name in ("low", "high"):
            value = getattr(self, name)
            _check(_is_finite(value), f"`{name}` of {where} should be a finite number", value)
        sound = self.flat is None or _is_finite(self.flat)
        _check(sound, f"`flat` of {where} should be a finite number or None", self.flat)
        _check(self.low < self.high, f"`low` of {where} should be below `high` {self.high!r}", self.low)
        known = get_args(Colours)
        _check(self.colours in known, f"`colours` of {where} should be one of {', '.join(known)}", self.colours)
        positive = self.limit is None or (_is_finite(self.limit) and self.limit > 0)
        _check(positive, f"`limit` of {where} should be a positive number or None", self.limit)
        wanted = f"`formula` of {where} should be a function of the stored channels that `of` names"
        _check(self.formula is None or callable(self.formula), wanted, self.formula)
        _check((self.formula is not None) == bool(self.of), f"{wanted}, or both left out", self.formula)


@dataclass(frozen=True)
class MapGroup:
    """The maps that share one name in `--maps`: their channels, and how to compute them.

    Attributes:
        name: In lower case, as in `render_maps(maps=...)`, `--maps` and the settings.
        stored: Channels that are rendered and stored, in order.
        values: Function (scan, context) -> (V,) or (V, n) floating point, one row per vertex; it is interpolated on the
            faces. NaN means unknown, and so are the pixels around such a vertex, in this group. The scan is cropped and
            frontal, in mm, with its nose tip at the origin; the context has its normals and curvatures. The function
            must stand at the top level of a module, where worker processes find it by name. None: the group is the
            texture.
        finish: Function from the interpolated values (n, H, W) float32 to the S stored channels (S, H, W), for channels
            that are not linear in the values. None: the interpolated values are stored.
        fed: Channels that a network gets: stored channels, or channels with a `formula`. (): the stored channels.
        kind: How augmentation changes the values, besides moving pixels and scaling:
            value: not at all; with `mirror` -1 a mirror image changes the sign.
            height: one channel, z in mm, which is also tilted, moved and bent along z.
            normal: three channels, x, y and z of unit vectors, which are rotated and bent with the surface.
            colour: three channels in [0, 1], whose illumination changes. Their mean and standard deviation over a
                face are not fed.
        picture: Whether the group is the texture of the scan, stored as 8-bit colours. Only one group can be a picture.
        needs_curvatures: Whether `values` reads `context.curvatures`, so that they are computed in advance.
        version: Increase it when `values` or `finish` changes: scans prepared with another version are prepared again.

    Raises:
        ArgumentError: if a field has the wrong type, or the fields contradict each other.
    """

    name: str
    _: KW_ONLY
    stored: tuple[Channel, ...]
    values: Callable[[Scan, MapContext], NDArray[Any]] | None
    finish: Callable[[NDArray[np.float32]], NDArray[np.floating[Any]]] | None = None
    fed: tuple[Channel, ...] = ()
    kind: Kind = "value"
    picture: bool = False
    needs_curvatures: bool = False
    version: int = 1

    def __post_init__(self) -> None:
        _check_name(self.name, _GROUP_NAME, "map group")
        where = f"map group {self.name!r}"
        for field in ("stored", "fed"):
            channels = getattr(self, field)
            whole = isinstance(channels, tuple) and all(isinstance(channel, Channel) for channel in channels)
            _check(whole, f"`{field}` of {where} should be a tuple of Channel", channels)
        if not self.fed:
            object.__setattr__(self, "fed", self.stored)
        for field in ("values", "finish"):
            function = getattr(self, field)
            _check(function is None or callable(function), f"`{field}` of {where} should be a function", function)
        _check(
            self.kind in get_args(Kind), f"`kind` of {where} should be one of {', '.join(get_args(Kind))}", self.kind
        )
        _check(type(self.version) is int, f"`version` of {where} should be a whole number", self.version)
        self._check_channels(where)
        self._check_kind(where)

    def _check_channels(self, where: str) -> None:
        for field in ("stored", "fed"):
            names = [channel.name for channel in getattr(self, field)]
            _check(len(set(names)) == len(names), f"`{field}` of {where} should name each channel once", names)
        if self.picture:
            bare = not self.stored and self.values is None
            _check(bare, f"`stored` of {where}, a picture, should be (), and `values` None", self.stored_names)
            return
        _check(bool(self.stored), f"`stored` of {where} should hold at least one channel", self.stored)
        _check(self.values is not None, f"`values` of {where} should be a function", self.values)
        for channel in self.stored:
            _check(not channel.of, f"`stored` of {where} should hold no channel with a formula", channel.name)
        known = {channel.name: channel for channel in self.stored}
        for channel in self.fed:
            if channel.of:
                unknown = [name for name in channel.of if name not in known]
                wanted = f"`of` of channel {channel.name!r} should hold stored channels of {where}"
                _check(channel.name not in known and not unknown, wanted, channel.of)
            else:
                wanted = f"`fed` of {where} should hold its stored channels, or such with a formula"
                _check(known.get(channel.name) == channel, wanted, channel.name)

    def _check_kind(self, where: str) -> None:
        what = [(channel.mirror, channel.power) for channel in self.fed]
        shapes = {
            "height": [(1, 1)],
            "normal": [(-1, 0), (1, 0), (1, 0)],
            "colour": [(1, 0)] * _COMPONENTS,
        }
        if self.kind in shapes:
            wanted = f"`fed` of {where}, of kind {self.kind}, should have (mirror, power) {shapes[self.kind]}"
            _check(what == shapes[self.kind], wanted, what)
        if self.kind == "normal":
            _check(
                self.fed == self.stored, f"`fed` of {where}, of kind normal, should be what is stored", self.fed_names
            )
        _check(not self.picture or self.kind == "colour", f"`kind` of {where}, a picture, should be colour", self.kind)

    @property
    def stored_names(self) -> tuple[str, ...]:
        """Names of the stored channels."""
        return tuple(channel.name for channel in self.stored)

    @property
    def fed_names(self) -> tuple[str, ...]:
        """Names of the channels that a network gets."""
        return tuple(channel.name for channel in self.fed)

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the stored channels from which the fed channels are computed."""
        if self.picture:
            return ()
        return tuple(dict.fromkeys(name for channel in self.fed for name in channel.of or (channel.name,)))

    def channel(self, name: str) -> Channel:
        """The stored or fed channel of that name. ArgumentError if there is none."""
        for channel in (*self.stored, *self.fed):
            if channel.name == name:
                return channel
        raise ArgumentError(f"`name` should be a channel of {self.name}, {', '.join(self.fed_names)}, is {name!r}")


def _check(holds: bool, wanted: str, came: Any) -> None:
    if not holds:
        raise ArgumentError(f"{wanted}, is {came!r}")


def _check_name(name: Any, pattern: re.Pattern[str], what: str) -> None:
    wanted = f"`name` of a {what} should be lower-case letters, digits and underscores, a letter first"
    _check(isinstance(name, str) and pattern.fullmatch(name) is not None, wanted, name)


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
