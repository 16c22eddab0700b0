"""Shards: many prepared scans in one file, for pictures and for network file systems.

`preprocess` stores a data set of pictures in shards: `ShardWriter` collects the pictures of `shard_size` successive
records, and `EarlierPictures` gives those of an earlier run. `pack` packs any prepared folder.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from fer3d.errors import ArgumentError, Fer3dError
from fer3d.files import clear_temporaries, locked, read_bytes, remove, write_bytes
from fer3d.prepare import recipe
from fer3d.prepare.integrity import with_checks, without_hint
from fer3d.prepare.store import (
    PreparedScan,
    StoredScan,
    read_manifest,
    read_row,
    read_scan,
    stored_headers,
    write_manifest,
    write_tensors,
)
from fer3d.prepare.tensors import Tensors

FOLDER = "shards"
_MOST_PICTURES = 1024
_MOST_BYTES = 64 << 20  # of the pictures of a shard: `preprocess` holds up to three shards in memory


def shard_name(number: int) -> str:
    """Name of a shard, relative to the prepared folder."""
    return f"{FOLDER}/{number:05d}.safetensors"


def shard_size(size: int) -> int:
    """Number of pictures of a shard, for crops of `size` x `size` pixels."""
    return max(1, min(_MOST_PICTURES, _MOST_BYTES // (4 * size * size)))


def write_shard(path: Path, scans: Mapping[str, PreparedScan]) -> None:
    """Write prepared scans, by id, as a shard. WriteError if it cannot be written."""
    arrays = {f"{name}/{key}": array for name, scan in scans.items() for key, array in scan.arrays.items()}
    write_tensors(path, arrays, {name: with_checks(scan.header, scan.arrays) for name, scan in scans.items()})


class EarlierPictures:
    """The pictures that an earlier run left in a prepared folder, in shards or, as versions until 0.1 did, in files.

    The files stay open: a picture can still be read when its shard has been replaced.

    Attributes:
        damaged: A line for each shard that cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, Tensors] = {}
        self._places: dict[str, str] = {}
        self.ids: dict[str, tuple[str, ...]] = {}  # shard -> ids, in its order
        damaged = []
        for path in sorted((folder / FOLDER).glob("*.safetensors")):
            name = f"{FOLDER}/{path.name}"
            try:
                self._files[name] = Tensors(path)
                self.ids[name] = tuple(self._headers(name))
                self._places |= dict.fromkeys(self.ids[name], name)
            except Fer3dError as error:
                damaged.append(without_hint(error))
        self.damaged = tuple(damaged)

    def find(self, name: str) -> tuple[PreparedScan | None, str]:
        """The picture with this id, read and checked, or None; and what is damaged in it, or ""."""
        try:
            place = self._places.get(name)
            if place is not None:
                file, prefix = self._files[place], f"{name}/"
                scan = StoredScan(file, self._headers(place)[name], prefix)
                keys = [key for key in ("maps", "mask", "texture") if prefix + key in scan.keys()]  # noqa: SIM118
                return PreparedScan({key: scan.get_tensor(prefix + key) for key in keys}, scan.header), ""
            single = self._folder / "scans" / f"{name}.safetensors"
            return (read_scan(single) if single.exists() else None), ""
        except Fer3dError as error:
            return None, without_hint(error)

    @cached_property
    def _headers(self) -> Any:
        return lru_cache(maxsize=2)(lambda name: stored_headers(self._files[name]))


class ShardWriter:
    """Writes pictures in shards of successive records, each as soon as all of its records are done.

    The bytes do not depend on the order in which the pictures come. A shard that would not change is not written.

    Args:
        folder: The prepared folder.
        ids: Ids of all records, in the order of the catalogue.
        per_shard: Number of records of a shard; those that fail leave no gap.
        earlier: The pictures of the earlier run.
    """

    def __init__(self, folder: Path, ids: Sequence[str], per_shard: int, earlier: EarlierPictures) -> None:
        self._folder, self._per_shard, self._earlier, self._ids = folder, per_shard, earlier, ids
        self._number = {name: index // per_shard for index, name in enumerate(ids)}
        self._missing = Counter(self._number.values())
        self._scans: dict[int, dict[str, PreparedScan]] = {}
        self._changed: set[int] = set()
        self._written: set[str] = set()
        self._held = 0

    @property
    def is_full(self) -> bool:
        """Whether it holds so many pictures of unfinished shards that no further ones should be started."""
        return self._held >= 2 * self._per_shard

    def place(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """The manifest row of a picture with its place in the shards."""
        return {**row, "file": shard_name(self._number[row["id"]]), "prefix": f"{row['id']}/"}

    def add(self, name: str, scan: PreparedScan | None, kept: bool) -> None:
        """Add the result of a record: a new or kept picture, or None for a failure. WriteError as `write_shard`."""
        number = self._number[name]
        if scan is not None:
            row = self.place(scan.header["row"])
            self._changed |= set() if kept and row == scan.header["row"] else {number}
            header = {**scan.header, "row": row}
            self._scans.setdefault(number, {})[name] = PreparedScan(scan.arrays, header)
            self._held += 1
        self._missing[number] -= 1
        if not self._missing[number]:
            self._finish(number)

    def close(self) -> None:
        """Remove the shards of an earlier run that hold no record of this one."""
        for path in (self._folder / FOLDER).glob("*.safetensors"):
            if f"{FOLDER}/{path.name}" not in self._written:
                remove(path)

    def _finish(self, number: int) -> None:
        scans, name = self._scans.pop(number, {}), shard_name(number)
        self._held -= len(scans)
        if not scans:
            return
        self._written.add(name)
        order = self._ids[number * self._per_shard : (number + 1) * self._per_shard]
        present = tuple(one for one in order if one in scans)
        if number in self._changed or set(self._earlier.ids.get(name, ())) != set(present):
            write_shard(self._folder / name, {one: scans[one] for one in present})


def pack(folder: Path, out: Path, per_shard: int = 500) -> int:
    """Pack the prepared scans of `folder` into shards of `per_shard` scans, for network file systems.

    Args:
        folder: A prepared folder from `preprocess`.
        out: A new folder, or one that a killed `pack` left. `PreparedDataset` reads it like the old one.
        per_shard: Number of scans per shard.

    Returns:
        The number of shards.

    Raises:
        ArgumentError: if `per_shard` is not positive, or `out` is `folder` or holds another prepared folder.
        FileError, FormatError: if `folder` is not finished, or a scan file is missing or damaged.
        LockedError: if another process writes to `out`.
    """
    if per_shard < 1:
        raise ArgumentError(f"`per_shard` should be at least 1, is {per_shard}")
    rows = read_manifest(folder)
    with locked(out, "fer3d pack"):
        before = recipe.facts_of(out)
        if recipe.is_finished(out) or (before is not None and before.get("command") != "pack"):
            held = "already holds a manifest" if (out / recipe.MANIFEST).exists() else "already holds prepared scans"
            raise ArgumentError(f"`out` should be a new folder, {out} {held}")
        clear_temporaries(out)
        recipe.begin(out, (recipe.facts_of(folder) or {}) | {"command": "pack"})
        count = _pack(folder, out, rows, per_shard)
        write_manifest(out, rows)
    return count


def _pack(folder: Path, out: Path, rows: Sequence[dict[str, Any]], per_shard: int) -> int:
    """Write the shards and copy the other files; put the places of the scans into `rows`."""
    from fer3d.catalog.stored_card import copy_stored_card

    prepared = [row for row in rows if row["status"] == "ok"]
    shards = [prepared[start : start + per_shard] for start in range(0, len(prepared), per_shard)]
    for number, shard in enumerate(shards):
        write_shard(out / shard_name(number), {row["id"]: read_row(folder, row) for row in shard})
        for row in shard:
            row |= {"file": shard_name(number), "prefix": f"{row['id']}/"}
    for path in (out / FOLDER).glob("*.safetensors"):  # of a killed run with smaller shards
        if f"{FOLDER}/{path.name}" not in map(shard_name, range(len(shards))):
            remove(path)
    sheet = "contact_sheet.png"
    if (folder / sheet).is_file():
        write_bytes(out / sheet, read_bytes(folder / sheet), make_folder=True)
    copy_stored_card(folder, out)
    return len(shards)
