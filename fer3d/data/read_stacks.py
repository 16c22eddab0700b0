"""Read the maps or the pictures of prepared scans into memory. Each file or shard is opened once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from fer3d.data.channels import fed_texture, stack_channels
from fer3d.data.picture_stack import PictureFiller, PictureStack
from fer3d.errors import ArgumentError
from fer3d.maps.registry import check_groups, reads_picture
from fer3d.prepare.store import StoredScan, open_scan

Pairs = Sequence[tuple[Path, Mapping[str, Any]]]
"""N prepared folders, each with a manifest row of a scan in it."""


class Stacks(NamedTuple):
    """What `read_stacks` read.

    Attributes:
        values: (N, C + 1, H, W) float16 in physical units, the mask last; or a `PictureStack`, which reads like it.
        digests: N hashes of the stored tensors.
        bare: Ids of the scans that lack a texture, although a map group needs one.
    """

    values: torch.Tensor | PictureStack
    digests: tuple[str, ...]
    bare: tuple[str, ...]


class _Stored(NamedTuple):
    """The arrays of one scan."""

    maps: NDArray[np.float16]
    mask: NDArray[np.uint8]
    texture: NDArray[np.uint8] | None
    coloured: NDArray[np.bool_] | None  # where the texture is known; None: wherever there is surface

    @property
    def digest(self) -> str:
        """A hash of the maps, or of the texture of a picture, which has no map."""
        picture = self.texture if not len(self.maps) else None
        return hashlib.blake2b((self.maps if picture is None else picture).tobytes(), digest_size=16).hexdigest()


def read_stacks(pairs: Pairs, maps: Sequence[str], names: Sequence[str], illumination: str) -> Stacks:
    """Read the channels of the map groups `maps` of all scans.

    Args:
        pairs: N folders and rows.
        maps: Map groups. If all of them are pictures, the result is a `PictureStack`.
        names: Names of the stored channels.
        illumination: Illumination normalisation of textures, see `fer3d.data.channels.relit`.

    Raises:
        ArgumentError: if the scans differ in size, or a channel is missing.
        FileError, FormatError: if a file is missing or damaged.
    """
    textured = reads_picture(maps)
    filler: PictureFiller | _MapFiller = _MapFiller(len(pairs), maps, names, illumination)
    if all(group.picture for group in check_groups(maps)):
        filler = PictureFiller(len(pairs))
    digests, bare = [""] * len(pairs), []
    for number, stored in _each(pairs, textured):
        digests[number] = stored.digest
        row = pairs[number][1]
        if textured and stored.texture is None:
            bare.append(number)
        elif isinstance(filler, PictureFiller):
            assert stored.texture is not None
            picture = fed_texture(stored.texture, stored.mask, illumination, stored.coloured)
            filler.put(number, picture, stored.mask, row["file"])
        else:
            filler.put(number, stored, row["file"])
    values = torch.empty(0) if bare else filler.stack()
    return Stacks(values, tuple(digests), tuple(pairs[number][1]["id"] for number in sorted(bare)))


class _MapFiller:
    """Collects maps; `np.stack` of a list would need twice the memory."""

    def __init__(self, count: int, maps: Sequence[str], names: Sequence[str], illumination: str) -> None:
        self._count, self._maps, self._names, self._illumination = count, maps, names, illumination
        self._values: NDArray[np.float16] | None = None

    def put(self, number: int, stored: _Stored, name: str) -> None:
        array = stack_channels(
            self._maps, self._names, stored.maps, stored.mask, stored.texture, self._illumination, stored.coloured
        )
        if self._values is None:
            self._values = np.zeros((self._count, *array.shape), np.float16)
        if self._values.shape[1:] != array.shape:
            raise ArgumentError(f"{name}: the maps should be {self._values.shape[2:]}, are {array.shape[1:]}")
        self._values[number] = array

    def stack(self) -> torch.Tensor:
        assert self._values is not None
        return torch.from_numpy(self._values)


def _each(pairs: Pairs, textured: bool) -> Iterator[tuple[int, _Stored]]:
    """Yield the place in `pairs` of each scan and its arrays, file by file. Textures are read if `textured`."""
    places: dict[tuple[Path, str], list[int]] = {}
    for number, (folder, row) in enumerate(pairs):
        places.setdefault((folder, row["file"]), []).append(number)
    for numbers in places.values():
        for number in numbers:
            folder, row = pairs[number]
            with open_scan(folder, row) as scan:
                yield number, _stored(scan, row["prefix"] or "", textured)


def _stored(scan: StoredScan, prefix: str, textured: bool) -> _Stored:
    held = scan.keys()
    maps, mask = scan.get_tensor(prefix + "maps"), scan.get_tensor(prefix + "mask")
    wanted = (textured or not len(maps)) and prefix + "texture" in held  # a picture has no map to tell it by
    texture = scan.get_tensor(prefix + "texture") if wanted else None
    partly = texture is not None and prefix + "coloured" in held
    return _Stored(maps, mask, texture, scan.get_tensor(prefix + "coloured") > 0 if partly else None)
