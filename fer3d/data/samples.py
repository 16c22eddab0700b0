"""`TrainingData`: the scans of one or more prepared folders as tensors on the device, ready for batches.

A set of this field is small (720 scans of 9 channels at 96 x 96 are 120 MB as float16), so it is read once and stays
where the network is: no loader processes, no queue, and augmentation on whole batches. `MapData` holds maps;
`fer3d.data.tree_samples.TreeData` sample trees.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
import torch

from fer3d.catalog.targets import ClassTarget, Target, says, target_of, targets_in
from fer3d.checks import did_you_mean
from fer3d.config import TrainSettings
from fer3d.data.augment_maps import augment, draw, draw_pictures
from fer3d.data.channels import Normalisation, channel_names, stack_channels, stored_channels
from fer3d.data.warp import FaceWarp, landmark_warps
from fer3d.errors import ArgumentError, ProtocolError
from fer3d.maps.registry import reads_picture
from fer3d.prepare.store import header_for, open_tensors, read_manifest
from fer3d.scan import LABELS

Sources = Sequence[tuple[Path, Sequence[Mapping[str, Any]]]]
"""Prepared folders, each with the manifest rows that are wanted."""

_SHOWN = 3
_AT_ONCE = 64  # scans that are warped


class InputNormalisation(Protocol):
    """What brings a batch in physical units to the scale of a network: `Normalisation`, `TreeNormalisation`."""

    @property
    def channels(self) -> tuple[str, ...]:
        """C names."""

    @property
    def mean(self) -> tuple[float, ...]:
        """C numbers."""

    @property
    def deviation(self) -> tuple[float, ...]:
        """C numbers."""

    def apply(self, batch: Any) -> Any:
        """Physical units -> what the network is fed."""

    def mirrored(self, batch: Any) -> Any:
        """What the network is fed, as the mirror shows it."""


@dataclass(frozen=True, eq=False)
class TrainingData(ABC):
    """N scans. A batch is what the network takes: a tensor of maps, or a `TreeBatch`.

    Attributes:
        inputs: Names of what is fed: map groups, or a key of `VERTEX_FEATURES`.
        target: What is to be said of a scan.
        labels: What is known of it: (N,) int64, row of `classes`; or (N, K) float32 of units or values, NaN unknown.
        rows: N manifest rows; `row["subject"]` is unique over all folders.
        digests: N hashes of all that is stored: equal ones are the same scan under two names.
        preprocess: Settings that the scans were prepared with.
    """

    inputs: tuple[str, ...]
    target: Target
    labels: torch.Tensor
    rows: tuple[Mapping[str, Any], ...]
    digests: tuple[str, ...]
    preprocess: Mapping[str, Any]

    @property
    def classes(self) -> tuple[str, ...]:
        """K names of what a network gives: of classes, units or values."""
        return self.target.names

    @property
    @abstractmethod
    def channels(self) -> tuple[str, ...]:
        """The C names."""

    @property
    @abstractmethod
    def nbytes(self) -> int:
        """Bytes of the scans."""

    @property
    @abstractmethod
    def shape(self) -> Mapping[str, Any]:
        """Arguments of a network that depend on the scans, as JSON can hold them."""

    @property
    @abstractmethod
    def pixel_mm(self) -> float | None:
        """Width of a pixel, if there are maps."""

    @abstractmethod
    def to(self, device: torch.device | str) -> Self:
        """The same scans on a device."""

    @abstractmethod
    def take(self, rows: torch.Tensor, device: torch.device) -> Any:
        """The scans in `rows`, (M,) int64, as a batch on `device`, in physical units."""

    @abstractmethod
    def draw(self, settings: TrainSettings, count: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """The random numbers that `augment` needs for `count` scans."""

    @abstractmethod
    def augment(self, batch: Any, draws: Mapping[str, torch.Tensor]) -> Any:
        """A batch of `take`, changed at random."""

    @abstractmethod
    def fit_normalisation(self, rows: torch.Tensor) -> InputNormalisation:
        """Measured on the training scans `rows`, (M,) int64, and on no others."""

    def rows_of(self, subjects: Iterable[str]) -> torch.Tensor:
        """(M,) int64: rows of all scans of these subjects, in order."""
        wanted = set(subjects)
        return torch.tensor([i for i, row in enumerate(self.rows) if row["subject"] in wanted], dtype=torch.int64)


@dataclass(frozen=True, eq=False)
class MapData(TrainingData):
    """N scans as maps; `inputs` are map groups.

    Attributes:
        values: (N, C + 1, H, W) float16, physical units, the mask last: see `fer3d.data.channels.stack_channels`.
        pixel: Width of a pixel, mm.
    """

    values: torch.Tensor
    pixel: float

    @property
    def channels(self) -> tuple[str, ...]:
        """The C names."""
        return channel_names(self.inputs)

    @property
    def nbytes(self) -> int:
        """Bytes of the maps."""
        return self.values.numel() * self.values.element_size()

    @property
    def shape(self) -> Mapping[str, Any]:
        """Rows and columns."""
        return {"size": self.values.shape[-1]}

    @property
    def pixel_mm(self) -> float:
        """Width of a pixel."""
        return self.pixel

    def to(self, device: torch.device | str) -> MapData:
        """The same scans on a device."""
        return replace(self, values=self.values.to(device), labels=self.labels.to(device))

    def take(self, rows: torch.Tensor, device: torch.device) -> torch.Tensor:
        """(M, C + 1, H, W) float32 on `device`."""
        return self.values[rows.to(self.values.device)].to(device).float()

    def draw(self, settings: TrainSettings, count: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """As `fer3d.data.augment_maps.draw`, or `draw_pictures` with `settings.perturb`."""
        if settings.perturb:
            return draw_pictures(settings, count, self.values.shape[-1], generator)
        return draw(settings, count, generator)

    def augment(self, batch: torch.Tensor, draws: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """As `fer3d.data.augment_maps.augment`."""
        return augment(self.channels, batch, draws, self.pixel)

    def fit_normalisation(self, rows: torch.Tensor) -> Normalisation:
        """Over measured pixels."""
        return Normalisation.fit(self.channels, self.values, rows)

    def fit_warp(self, rows: torch.Tensor) -> FaceWarp:
        """Learned from the training scans `rows`, (M,) int64, and their landmarks. ArgumentError if these lack."""
        return FaceWarp.fit(self.channels, self.values, rows, landmark_warps(self.rows, rows))

    def warped(self, warp: FaceWarp) -> MapData:
        """The same scans, every face warped as its maps say."""
        parts = [warp.apply(part, self.pixel) for part in torch.split(self.values, _AT_ONCE)]
        return replace(self, values=torch.cat(parts))


def labelled_rows(
    folder: Path, where: Callable[[Mapping[str, Any]], bool] | None = None, target: str = "expression"
) -> list[dict[str, Any]]:
    """The manifest rows of prepared scans that say something of a target, sorted by id.

    Args:
        folder: A prepared folder.
        where: Keeps the rows for which it is true.
        target: One of `fer3d.catalog.targets.TARGETS`.

    Raises:
        ArgumentError: if a row has a label that is no canonical label (names the nearest), or none is left.
        FileError, FormatError: as `read_manifest`.
    """
    whole = [row for row in read_manifest(folder) if row["status"] == "ok"]
    rows = [row for row in whole if says(row, target)]
    for row in rows:
        if target == "expression" and row["expression"] not in LABELS:
            raise ArgumentError(f"{folder / 'manifest.parquet'}: scan {row['id']}: {label_hint(row['expression'])}")
    if whole and not rows:
        others = ", ".join(targets_in(whole)) or "nothing"
        raise ArgumentError(
            f"{folder}: wanted scans that say their {target}, none of {len(whole)} does; they say {others}"
        )
    kept = [row for row in rows if where is None or where(row)]
    if not kept:
        raise ArgumentError(f"{folder}: wanted labelled scans that the protocol uses, got none of {len(rows)}")
    return kept


def targets_of(target: Target | Sequence[str], rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The fields `target` and `labels` of `TrainingData` for manifest rows.

    Raises:
        ArgumentError: if a row holds what is none of the target's classes, or says nothing of it.
    """
    chosen = target if isinstance(target, Target) else ClassTarget("expression", tuple(target))
    values = target_of(rows, chosen.name, chosen.names).values
    silent = [row["id"] for row, known in zip(rows, chosen.known(values), strict=True) if not known]
    if silent:
        raise ArgumentError(
            f"`target` {chosen.name}: {len(silent)} of {len(rows)} scans do not say it: {name_some(silent)}"
        )
    labels = torch.from_numpy(values)
    return {"target": chosen, "labels": labels if chosen.kind == "classes" else labels.float()}


def label_hint(label: str) -> str:
    """What is wrong with a label, and which one may be meant.

    >>> label_hint("hapiness")
    "unknown label 'hapiness'; did you mean 'happiness'?"
    """
    return f"unknown label {label!r}" + (did_you_mean(label, LABELS) or f"; wanted one of {', '.join(LABELS)}")


def load(
    sources: Sources,
    maps: Sequence[str],
    target: Target | Sequence[str],
    illumination: str = "raw",
) -> MapData:
    """Read the maps of scans.

    Args:
        sources: Prepared folders, each with the rows wanted.
        maps: Map groups.
        target: What is to be said of a scan, and of which each says something; of expressions the labels will do.
        illumination: What is done to the light of textures, see `fer3d.data.channels.relit`.

    Raises:
        ArgumentError: if scans lack a map, or differ in size, pixel or settings.
        FileError, FormatError: if a scan file is missing or damaged.
    """
    recipes = [(folder, header_for(folder, rows[0])) for folder, rows in sources]
    first = recipes[0][1]
    for folder, header in recipes:
        check_same_recipe(recipes[0][0], first, folder, header)
        _check_maps(folder, maps, header["channels"])
    # Where a data set names nobody, one picture under two names is no renamed person: `fer3d inspect` lists those.
    people = {folder: header.get("people", True) for folder, header in recipes}
    pairs = [(folder, row) for folder, rows in sources for row in rows]
    values = np.empty(0, np.float16)
    digests, bare = [], []
    for number, (folder, row) in enumerate(pairs):
        array, digest = _read(folder, row, maps, first["channels"], illumination)
        if not people[folder]:
            digest = f"{folder}/{row['id']}"
        if array is None:
            bare.append(row["id"])
            continue
        if not values.size:
            values = np.zeros((len(pairs), *array.shape), np.float16)  # whole at once: a stack of parts needs it twice
        if values[0].shape != array.shape:
            raise ArgumentError(f"{row['file']}: the maps should be {values.shape[2:]}, are {array.shape[1:]}")
        values[number] = array
        digests.append(digest)
    if bare:
        raise ArgumentError(
            f"{sources[0][0]}: `maps` asks for texture, {len(bare)} of {len(pairs)} scans have none: {name_some(bare)}"
        )
    return MapData(
        inputs=tuple(maps),
        values=torch.from_numpy(values),
        **targets_of(target, [row for _, row in pairs]),
        rows=tuple(row for _, row in pairs),
        digests=tuple(digests),
        pixel=float(first["pixel_mm"]),
        preprocess=first["settings"],
    )


def name_some(names: Sequence[str]) -> str:
    """The first few names, and how many more.

    >>> name_some(["a", "b", "c", "d", "e"])
    'a, b, c and 2 more'
    """
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def check_leakage(data: TrainingData, parts: Mapping[str, Sequence[str]], where: str) -> None:
    """Raise ProtocolError if one scan stands in two parts of a fold under two subjects: a subject was renamed.

    Args:
        data: The scans.
        parts: Name of the part ("train", ...) -> its subjects.
        where: The fold, for the message.
    """
    part_of = {subject: part for part, subjects in parts.items() for subject in subjects}
    seen: dict[str, int] = {}
    for index, digest in enumerate(data.digests):
        part = part_of.get(data.rows[index]["subject"])
        if part is None:
            continue
        other = seen.setdefault(digest, index)
        if part_of[data.rows[other]["subject"]] != part:
            a, b = data.rows[other], data.rows[index]
            raise ProtocolError(
                f"{where}: scan {b['id']} of {b['subject']} in {part} is scan {a['id']} of {a['subject']} in "
                f"{part_of[a['subject']]}: one person under two names"
            )


def _read(
    folder: Path, row: Mapping[str, Any], maps: Sequence[str], names: Sequence[str], illumination: str
) -> tuple[np.ndarray[Any, Any] | None, str]:
    """(C + 1, H, W) float16, or None if the scan has no texture and should; and a hash of all its stored maps."""
    prefix = row["prefix"]
    with open_tensors(folder / row["file"]) as file:
        stored, mask = file.get_tensor(prefix + "maps"), file.get_tensor(prefix + "mask")
        digest = hashlib.blake2b(stored.tobytes(), digest_size=16).hexdigest()
        texture = None
        if not len(stored) and prefix + "texture" in file.keys():  # noqa: SIM118  (a picture has no other map)
            digest = hashlib.blake2b(file.get_tensor(prefix + "texture").tobytes(), digest_size=16).hexdigest()
        if reads_picture(maps):
            if prefix + "texture" not in file.keys():  # noqa: SIM118  (a handle, not a dict)
                return None, digest
            texture = file.get_tensor(prefix + "texture")
        return stack_channels(maps, names, stored, mask, texture, illumination), digest


def _check_maps(folder: Path, maps: Sequence[str], stored: Sequence[str]) -> None:
    for group in maps:
        if not set(stored_channels(group)) <= set(stored):
            raise ArgumentError(
                f"{folder}: `maps` asks for {group}, the scans have the channels {', '.join(stored) or 'none'}; "
                "prepare them again with that map"
            )


def check_same_recipe(one: Path, a: Mapping[str, Any], other: Path, b: Mapping[str, Any]) -> None:
    """Raise ArgumentError unless the scans of two folders, whose headers are `a` and `b`, were prepared alike."""
    for key in ("channels", "pixel_mm", "settings"):
        if a[key] != b[key]:
            raise ArgumentError(f"{other}: `{key}` should be as in {one}, {a[key]}, is {b[key]}")
