"""A map is one record: `MapGroup` says what is rendered, stored, fed, drawn, mirrored and scaled.

Every part of the package that handles maps reads these records. The groups of the package stand in
`fer3d.maps.standard`; `fer3d.maps.registry` knows them and those from outside.
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
    """One number a pixel. `mirror`, `power`, `low` and `high` have no default: a guess would be wrong in silence.

    Attributes:
        name: Lower case; unique over all groups.
        mirror: 1 if the mirror image of a face, x -> -x, has the same value; -1 if it has the negative.
        power: Of length: a face twice as large has 2^power times the value. 1 for mm, -1 for 1/mm, 0 without a unit.
        low, high: Range of the channel's picture; what lies outside has the colour of the end of the scale.
        colours: Of that picture: from black to white, or from blue over white to red.
        drawn: Whether the contact sheet shows the channel.
        flat: What is fed where a pixel was measured and the channel is NaN, as the shape index of a plane is.
        limit: Largest absolute value that is fed, so that a few extreme pixels do not set the scale. None: any.
        formula: Of a channel that is fed and not stored: takes the stored channels `of`, each (H, W) float32, and
            returns the channel, (H, W) float32.
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
    flat: float = 0.0
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
        for name in ("low", "high", "flat"):
            value = getattr(self, name)
            _check(_is_finite(value), f"`{name}` of {where} should be a finite number", value)
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
    """The maps that have one name in `--maps`: how they are computed, and their channels.

    Attributes:
        name: In lower case. What `render_maps(maps=...)`, `--maps` and the settings call it.
        stored: Channels that are rendered and stored, in order.
        values: (scan, context) -> (V,) or (V, n) floating point, a value a vertex. It is interpolated on the faces.
            NaN: not known; the pixels around are then not measured. The scan is cropped and frontal, in mm, its nose
            tip at the origin; the context has its normals and curvatures. It must be a function at the top of a
            module, for worker processes find it by its name. None: the group shows the scan's texture.
        finish: (n, H, W) float32, interpolated -> (S, H, W), one a stored channel: for what is not linear. None: what
            is interpolated is stored.
        fed: Channels that a network sees: stored ones, or such with a `formula`. (): those that are stored.
        kind: What augmentation does to the group beside moving its pixels and scaling it:
            value: nothing; with `mirror` -1 the sign changes with the mirror.
            height: one channel, z in mm: it is tilted, moved and bent along z too.
            normal: three channels, x, y and z of unit vectors: they are turned and bent as the surface is.
            colour: three channels in [0, 1]: the light changes. Its mean and deviation over a face are not fed.
        picture: Whether the group is the scan's texture, stored as 8 bit colours. Only one group can be.
        needs_curvatures: Whether `values` reads `context.curvatures`, so that they are computed ahead.
        version: To be changed with `values` or `finish`: prepared scans with another version are prepared again.

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
        """Names of the channels that a network sees."""
        return tuple(channel.name for channel in self.fed)

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the stored channels that feeding the group reads."""
        if self.picture:
            return ()
        return tuple(dict.fromkeys(name for channel in self.fed for name in channel.of or (channel.name,)))

    def channel(self, name: str) -> Channel:
        """The channel of that name, stored or fed. ArgumentError if there is none."""
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
