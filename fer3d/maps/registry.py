"""The registry of map groups: those of this package, of installed packages, and those that a program registers.

There are two ways to add a group:

- call `register(group)` in a module that the program imports;
- declare an entry point of the group `fer3d.maps` in the metadata of an installed package: the name is that of the map
  group, the object is the `MapGroup`. Each process imports it when the map is first used.
"""

from __future__ import annotations

import difflib
import pickle
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from fer3d.errors import ArgumentError, ConfigError
from fer3d.maps.groups import Channel, MapGroup

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

STANDARD_GROUPS = ("depth", "normal", "curvature", "texture")  # of this package, in the order of their channels
ENTRY_POINTS = "fer3d.maps"

_groups: dict[str, MapGroup] = {}  # the loaded groups
_owners: dict[str, str] = {}  # channel -> group, for the loaded groups
_entry_points: dict[str, EntryPoint] | None = None  # of installed packages; None: not yet searched
_unreachable: dict[str, str] = {}  # group -> why this worker process cannot import it


def register(group: MapGroup) -> MapGroup:
    """Add a map group to this process and to the worker processes that it starts from now on.

    Args:
        group: The record. Registering an equal record again changes nothing.

    Returns:
        `group`.

    Raises:
        ArgumentError: if `group` is not a MapGroup, another group has its name or one of its channels, it is a second
            picture, or its functions cannot be imported by name.
    """
    if not isinstance(group, MapGroup):
        raise ArgumentError(f"`group` should be a MapGroup, is {type(group).__name__}")
    if _groups.get(group.name) == group:
        return group
    try:
        record = pickle.dumps(group)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise ArgumentError(
            f"`values` of map group {group.name!r} and its other functions should stand at the top of a module, where "
            f"worker processes find them ({error})"
        ) from None
    _add(group)
    from fer3d.workers import begin_workers_with

    begin_workers_with(f"map group {group.name}", _receive, group.name, record)
    return group


def group_names() -> tuple[str, ...]:
    """All map groups: those of this package, then the others by name, without importing the others."""
    others = {name for name in (*_groups, *_found_entry_points()) if name not in STANDARD_GROUPS}
    return (*STANDARD_GROUPS, *sorted(others))


def map_group(name: str) -> MapGroup:
    """The record of a map group.

    Raises:
        ArgumentError: if no group has that name (the message names the nearest).
        ConfigError: if an installed package declares the group and it cannot be loaded.
    """
    _load_standard()
    if name not in _groups and name in _found_entry_points():
        _load_entry_point(_found_entry_points()[name])
    if name in _groups:
        return _groups[name]
    if name in _unreachable:
        raise ArgumentError(_unreachable[name])
    known = group_names()
    near = difflib.get_close_matches(str(name), known, n=1, cutoff=0.6)
    hint = f"; did you mean {near[0]!r}?" if near else ": is the package that brings it installed?"
    raise ArgumentError(f"`maps` should hold names out of {', '.join(known)}, holds {name!r}{hint}")


def check_groups(maps: Sequence[str]) -> tuple[MapGroup, ...]:
    """The records of the groups `maps`, a sequence of names or a single name, in that order.

    Raises:
        ArgumentError: if `maps` is empty, names a group twice, or holds an unknown one (the message names the nearest).
    """
    names = (maps,) if isinstance(maps, str) else tuple(maps)
    if not names or len(set(names)) != len(names):
        raise ArgumentError(
            f"`maps` should name one or more of {', '.join(group_names())}, each once, is {list(names)}"
        )
    return tuple(map_group(name) for name in names)


def ordered_groups(maps: Iterable[str]) -> tuple[str, ...]:
    """Sort map names and remove duplicates: first the groups of this package, then the others by name.

    Raises:
        ArgumentError: as `check_groups`.

    >>> ordered_groups(["texture", "depth", "texture"])
    ('depth', 'texture')
    """
    names = {group.name for group in check_groups(tuple(dict.fromkeys(maps)))}
    standard = [name for name in STANDARD_GROUPS if name in names]
    return (*standard, *sorted(names.difference(standard)))


def reads_picture(maps: Iterable[str]) -> bool:
    """Whether one of the groups `maps` is the texture of a scan."""
    return any(map_group(name).picture for name in maps)


def channel_group(name: str) -> MapGroup:
    """The group of a stored or fed channel.

    Raises:
        ArgumentError: if no group has it.
    """
    _load_standard()
    if name not in _owners:
        for point in _found_entry_points().values():
            _load_entry_point(point)
    if name not in _owners:
        near = difflib.get_close_matches(name, _owners, n=1, cutoff=0.6)
        hint = f"; did you mean {near[0]!r}?" if near else ": is the package that brings it installed?"
        raise ArgumentError(
            f"`channels` should hold channels of the maps {', '.join(group_names())}, holds {name!r}{hint}"
        )
    return _groups[_owners[name]]


def channel(name: str) -> Channel:
    """The record of a stored or fed channel. ArgumentError if no group has it."""
    return channel_group(name).channel(name)


def fed_groups(channels: Sequence[str]) -> list[tuple[MapGroup, slice]]:
    """The map groups in the input of a network, and the slice of channels of each.

    Args:
        channels: Names, as `fer3d.data.channels.channel_names` returns them.

    Raises:
        ArgumentError: if a channel is unknown, or the channels of a group are incomplete, separated or out of order.

    >>> [(group.name, place) for group, place in fed_groups(["depth", "normal_x", "normal_y", "normal_z"])]
    [('depth', slice(0, 1, None)), ('normal', slice(1, 4, None))]
    """
    groups, start = [], 0
    while start < len(channels):
        group = channel_group(channels[start])
        place = slice(start, start + len(group.fed))
        if tuple(channels[place]) != group.fed_names:
            raise ArgumentError(
                f"`channels` should hold the channels of {group.name}, {', '.join(group.fed_names)}, together, holds "
                f"{', '.join(channels)}"
            )
        groups.append((group, place))
        start = place.stop
    return groups


def versions(maps: Iterable[str]) -> dict[str, int]:
    """Name -> version of the groups in `maps` from other packages. The version of fer3d covers its own groups."""
    return {name: map_group(name).version for name in maps if name not in STANDARD_GROUPS}


def _load_standard() -> None:
    if STANDARD_GROUPS[0] not in _groups:
        from fer3d.maps import standard

        for group in standard.GROUPS:
            _insert(group)


def _add(group: MapGroup) -> None:
    """Add a group from another package, if its names are free."""
    _load_standard()
    if group.name in _groups:
        raise ArgumentError(f"`name` of map group {group.name!r} is taken by another group")
    for name in dict.fromkeys((*group.stored_names, *group.fed_names)):
        if name in _owners:
            raise ArgumentError(f"channel {name!r} of map group {group.name!r} is a channel of {_owners[name]} already")
    if group.picture:
        raise ArgumentError(f"`picture` of map group {group.name!r} should be False: a scan has one picture, texture")
    _insert(group)


def _insert(group: MapGroup) -> None:
    _groups[group.name] = group
    _owners.update(dict.fromkeys((*group.stored_names, *group.fed_names), group.name))


def _receive(name: str, record: bytes) -> None:
    """In a worker process: register a group of the parent process."""
    try:
        register(pickle.loads(record))
    except Exception as error:  # importing its module may raise any error
        _unreachable[name] = (
            f"`maps` holds {name!r}, which a worker process cannot import ({type(error).__name__}: {error}): put it "
            "into a module of its own, or use one worker"
        )


def _found_entry_points() -> dict[str, EntryPoint]:
    """Name -> entry point of the installed packages, searched once. ConfigError if two packages use one name."""
    global _entry_points
    if _entry_points is None:
        from importlib.metadata import entry_points

        found: dict[str, EntryPoint] = {}
        for point in entry_points(group=ENTRY_POINTS):
            other = found.setdefault(point.name, point)
            if point.name in STANDARD_GROUPS or other.value != point.value:
                owner = "fer3d" if point.name in STANDARD_GROUPS else other.value
                raise ConfigError(f"{_described(point)}: its name is that of a map of {owner}; uninstall one package")
        _entry_points = found
    return _entry_points


def _described(point: EntryPoint) -> str:
    return f"entry point {point.name} = {point.value} of {ENTRY_POINTS}"


def _load_entry_point(point: EntryPoint) -> None:
    if point.name in _groups:
        return
    where = _described(point)
    try:
        group = point.load()
    except Exception as error:  # code of another package
        raise ConfigError(f"{where}: cannot be loaded ({type(error).__name__}: {error})") from None
    if not isinstance(group, MapGroup) or group.name != point.name:
        came = f"the group {group.name!r}" if isinstance(group, MapGroup) else type(group).__name__
        raise ConfigError(f"{where}: should be a MapGroup of that name, is {came}")
    if point.name not in _groups:  # it may have registered itself
        _add(group)
