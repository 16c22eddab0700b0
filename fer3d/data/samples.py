"""`TrainingData`: the scans of one or more prepared folders as tensors on the device, from which batches are taken.

Data sets of 3D expressions are small (720 scans of 9 channels at 96 x 96 take 120 MB as float16), so they are read once
and stay on the network's device: there are no loader processes and no queue, and augmentation works on whole batches.
Maps stay float16 and pictures stay bytes until the batch.
`MapData` holds maps, `fer3d.data.tree_samples.TreeData` sample trees.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, Self

import torch

from fer3d.catalog.targets import ClassTarget, Target, says, target_of, targets_in
from fer3d.checks import did_you_mean
from fer3d.config import TrainSettings
from fer3d.data.augment_maps import augment, draw
from fer3d.data.augment_pictures import augment_pictures, draw_pictures
from fer3d.data.channels import Normalisation, channel_names, stored_channels
from fer3d.data.picture_stack import PictureStack
from fer3d.data.read_stacks import read_stacks
from fer3d.data.warp import FaceWarp, landmark_warps
from fer3d.errors import ArgumentError, FormatError, ProtocolError
from fer3d.image.networks.picture_network import PictureSettings
from fer3d.maps.registry import reads_picture
from fer3d.prepare.integrity import AGAIN
from fer3d.prepare.store import header_for, read_manifest
from fer3d.scan import LABELS

Sources = Sequence[tuple[Path, Sequence[Mapping[str, Any]]]]
"""Prepared folders, each with the manifest rows to read."""

_SHOWN = 3  # names that a message lists
_AT_ONCE = 64  # scans that are warped at once


class InputNormalisation(Protocol):
    """Normalises a batch in physical units: `Normalisation` or `TreeNormalisation`."""

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
        """A batch in physical units -> the normalised input of the network."""

    def mirrored(self, batch: Any) -> Any:
        """A normalised batch -> its mirror images."""


@dataclass(frozen=True, eq=False)
class TrainingData(ABC):
    """N scans. A batch has the type that the network takes: a tensor of maps, or a `TreeBatch`.

    Attributes:
        inputs: Names of the inputs: map groups, or a key of `VERTEX_FEATURES`.
        target: What is predicted for a scan.
        labels: True labels: (N,) int64 indices into `classes`; or (N, K) float32 of units or values, NaN if unknown.
        rows: N manifest rows; `row["subject"]` is unique over all folders.
        digests: N hashes of the stored tensors: scans with equal hashes are the same scan under two names.
        preprocess: Settings with which the scans were prepared, see `stored_settings`.
    """

    inputs: tuple[str, ...]
    target: Target
    labels: torch.Tensor
    rows: tuple[Mapping[str, Any], ...]
    digests: tuple[str, ...]
    preprocess: Mapping[str, Any]

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the K outputs of a network: classes, units or values."""
        return self.target.names

    @property
    @abstractmethod
    def channels(self) -> tuple[str, ...]:
        """The C names."""

    @property
    @abstractmethod
    def nbytes(self) -> int:
        """Size of the scans in bytes."""

    @property
    @abstractmethod
    def shape(self) -> Mapping[str, Any]:
        """Arguments of a network that depend on the scans, as values that JSON can hold."""

    @property
    @abstractmethod
    def pixel_mm(self) -> float | None:
        """Width of a pixel in mm, if there are maps."""

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
        """A batch from `take`, changed with random numbers from `draw`."""

    @abstractmethod
    def fit_normalisation(self, rows: torch.Tensor) -> InputNormalisation:
        """The normalisation, measured on the training scans `rows`, (M,) int64, only."""

    def rows_of(self, subjects: Iterable[str]) -> torch.Tensor:
        """(M,) int64: rows of all scans of these subjects, in order."""
        wanted = set(subjects)
        return torch.tensor([i for i, row in enumerate(self.rows) if row["subject"] in wanted], dtype=torch.int64)


@dataclass(frozen=True, eq=False)
class MapData(TrainingData):
    """N scans as maps; `inputs` holds map groups.

    Attributes:
        values: (N, C + 1, H, W) float16, physical units, the mask last: see `fer3d.data.channels.stack_channels`. Of
            textures alone, a `PictureStack`, which holds the same numbers as bytes.
        pixel: Width of a pixel, mm.
        scaling: How colours are scaled for the network, see `Normalisation`.
    """

    values: torch.Tensor | PictureStack
    pixel: float
    scaling: str = "picture"

    @property
    def channels(self) -> tuple[str, ...]:
        """The C names."""
        return channel_names(self.inputs)

    @property
    def nbytes(self) -> int:
        """Size of the maps in bytes."""
        return self.values.nbytes

    @property
    def shape(self) -> Mapping[str, Any]:
        """{"size": the number of rows and columns}."""
        return {"size": self.values.shape[-1]}

    @property
    def pixel_mm(self) -> float:
        """Width of a pixel in mm."""
        return self.pixel

    def to(self, device: torch.device | str) -> MapData:
        """The same scans on a device."""
        return replace(self, values=self.values.to(device), labels=self.labels.to(device))

    def take(self, rows: torch.Tensor, device: torch.device) -> torch.Tensor:
        """(M, C + 1, H, W) float32 on `device`."""
        return self.values[rows.to(self.values.device)].to(device).float()

    def draw(self, settings: TrainSettings, count: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """As `fer3d.data.augment_pictures.draw_pictures` for a network for pictures, else as that of `augment_maps`."""
        if isinstance(settings.model, PictureSettings):
            return draw_pictures(settings, count, self.values.shape[-1], generator)
        return draw(settings, count, generator)

    def augment(self, batch: torch.Tensor, draws: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """As `fer3d.data.augment_pictures.augment_pictures` with its draws, else as that of `augment_maps`."""
        if "crop" in draws:
            grey = isinstance(self.values, PictureStack) and self.values.is_grey
            return augment_pictures(batch, draws, grey=grey)
        return augment(self.channels, batch, draws, self.pixel)

    def fit_normalisation(self, rows: torch.Tensor) -> Normalisation:
        """The normalisation, measured on the measured pixels of `rows`."""
        return Normalisation.fit(self.channels, self.values, rows, self.scaling)

    def fit_warp(self, rows: torch.Tensor) -> FaceWarp:
        """A warp learned from the training scans `rows`, (M,) int64. ArgumentError if too few have landmarks."""
        return FaceWarp.fit(self.channels, self.values, rows, landmark_warps(self.rows, rows))

    def warped(self, warp: FaceWarp) -> MapData:
        """The same scans with every face warped by `warp`."""
        starts = range(0, len(self.rows), _AT_ONCE)
        parts = [warp.apply(self.values[start : start + _AT_ONCE].float(), self.pixel) for start in starts]
        return replace(self, values=torch.cat(parts))


def labelled_rows(
    folder: Path,
    where: Callable[[Mapping[str, Any]], bool] | None = None,
    target: str = "expression",
    manifest: Sequence[dict[str, Any]] | None = None,
) -> list[dict[str, Any]]:
    """The manifest rows of prepared scans that have a label of a target, sorted by id, without `RECORD_COLUMNS`.

    Args:
        folder: A prepared folder.
        where: Keeps the rows for which it returns true. None: keeps all.
        target: One of `fer3d.catalog.targets.TARGETS`.
        manifest: The rows of its manifest, if they have been read.

    Raises:
        ArgumentError: if the label of a row is not canonical (names the nearest), or no row is left.
        FileError, FormatError: as `read_manifest`.
    """
    manifest = read_manifest(folder, records=False) if manifest is None else manifest
    whole = [row for row in manifest if row["status"] == "ok"]
    rows = [row for row in whole if says(row, target)]
    for row in rows:
        if row["subject"] is None:
            raise FormatError(f"{folder / 'manifest.parquet'}: the subject of {row['id']} is missing; {AGAIN}")
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
        ArgumentError: if the label of a row is not one of the target's classes, or is missing.
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
    """A message about an unknown label, which names the label that may be meant.

    >>> label_hint("hapiness")
    "unknown label 'hapiness'; did you mean 'happiness'?"
    """
    return f"unknown label {label!r}" + (did_you_mean(label, LABELS) or f"; wanted one of {', '.join(LABELS)}")


def load(
    sources: Sources,
    maps: Sequence[str],
    target: Target | Sequence[str],
    illumination: str = "raw",
    scaling: str = "picture",
) -> MapData:
    """Read the maps of scans.

    Args:
        sources: Prepared folders, each with the manifest rows to read.
        maps: Map groups.
        target: What is predicted; every row must have a label of it. For expressions, the list of labels suffices.
        illumination: Illumination normalisation of textures, see `fer3d.data.channels.relit`.
        scaling: How colours are scaled for the network, see `Normalisation`.

    Raises:
        ArgumentError: if scans lack a map, or differ in size, pixel or settings.
        FileError, FormatError: if a scan file is missing or damaged.
    """
    check_sources(sources)
    recipes = [(folder, header_for(folder, rows[0])) for folder, rows in sources]
    first = recipes[0][1]
    for folder, header in recipes:
        check_same_recipe(recipes[0][0], first, folder, header)
        _check_maps(folder, maps, header["channels"])
    # In a data set without subject names, a picture under two names does not mean that a person was renamed.
    # `fer3d inspect` lists such duplicates.
    people = {folder: header.get("people", True) for folder, header in recipes}
    pairs = [(folder, row) for folder, rows in sources for row in rows]
    stacks = read_stacks(pairs, maps, first["channels"], illumination)
    if stacks.bare:
        rest = ",".join(name for name in maps if not reads_picture([name]))
        raise ArgumentError(
            f"{sources[0][0]}: `maps` asks for texture, {len(stacks.bare)} of {len(pairs)} scans have none: "
            f"{name_some(stacks.bare)}{f'; --maps {rest} leaves it out' if rest else ''}"
        )
    digests = (
        digest if people[folder] else f"{folder}/{row['id']}"
        for (folder, row), digest in zip(pairs, stacks.digests, strict=True)
    )
    return MapData(
        inputs=tuple(maps),
        values=stacks.values,
        **targets_of(target, [row for _, row in pairs]),
        rows=tuple(row for _, row in pairs),
        digests=tuple(digests),
        pixel=float(first["pixel_mm"]),
        preprocess=stored_settings(first),
        scaling=scaling,
    )


def check_sources(sources: Sources) -> None:
    """Raise ArgumentError unless there is a folder, and every folder has a row to read."""
    if not sources or not all(rows for _, rows in sources):
        places = ", ".join(str(folder) for folder, rows in sources if not rows) or "no folder"
        raise ArgumentError(f"`sources` should hold folders with at least one scan each, {places} has none")


def name_some(names: Sequence[str]) -> str:
    """The first few names, and how many more there are.

    >>> name_some(["a", "b", "c", "d", "e"])
    'a, b, c and 2 more'
    """
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def check_leakage(data: TrainingData, parts: Mapping[str, Sequence[str]], where: str) -> None:
    """Raise ProtocolError if one scan is in two parts of a fold under two subject names: a subject was renamed.

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


def _check_maps(folder: Path, maps: Sequence[str], stored: Sequence[str]) -> None:
    for group in maps:
        if not set(stored_channels(group)) <= set(stored):
            raise ArgumentError(
                f"{folder}: `maps` asks for {group}, the scans have the channels {', '.join(stored) or 'none'}; "
                "prepare them again with that map"
            )


def check_same_recipe(one: Path, a: Mapping[str, Any], other: Path, b: Mapping[str, Any]) -> None:
    """Raise ArgumentError unless the scans of two folders, with headers `a` and `b`, were prepared in the same way."""
    for key in ("channels", "pixel_mm", "settings", "steps"):
        if _recipe(a.get(key)) != _recipe(b.get(key)):
            raise ArgumentError(f"{other}: `{key}` should be as in {one}, {a.get(key)}, is {b.get(key)}")


def stored_settings(header: Mapping[str, Any]) -> dict[str, Any]:
    """The settings with which a scan was prepared, and `steps`, which version of the steps, if its header says so."""
    return {**header["settings"], **{name: header[name] for name in ("steps",) if name in header}}


def _recipe(value: Any) -> Any:
    """A value of a header, of settings without those that say how the face is found in a picture of that data set."""
    if not isinstance(value, dict):
        return value
    return {key: each for key, each in value.items() if key not in ("crops", "whole_picture")}
