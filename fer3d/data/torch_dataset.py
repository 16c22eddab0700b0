"""`PreparedDataset`: a prepared folder, of single scan files or of shards, as a torch `Dataset`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from fer3d.checks import check_choice
from fer3d.errors import ArgumentError
from fer3d.prepare.store import header_for, open_scan, read_manifest
from fer3d.scan import EXPRESSIONS, LABELS

Sample = dict[str, Any]


class PreparedDataset(Dataset[Sample]):
    """The prepared scans of a folder; each scan is a sample.

    A sample is a dict that the default collate function can stack:
        maps: (C, H, W) float32, the requested channels in the requested order; `fill` where a channel is not known.
        mask: (H, W) uint8; 0 no surface, 1 measured, 2 filled. Channels other than depth can be unknown elsewhere too.
        texture: (3, H, W) uint8, RGB; only with `texture=True`.
        label: int64, index into `classes`; -1 for a scan without an expression.
        index: int64, index into `rows`.

    Args:
        folder: A folder that `fer3d preprocess` or `fer3d pack` wrote.
        channels: Names of channels, such as ("depth", "normal_x"), or None for all stored channels.
        classes: Canonical labels in the order of the label numbers. Scans with another label are left out.
        texture: Whether to load the texture. A scan without a texture gives black pixels, whatever its mask.
        fill: Value of pixels where a channel is not known.
        where: Keeps the manifest rows for which it returns true, such as `lambda row: (row["intensity"] or 0) >= 3`.
        transform: Called with each sample; its result replaces the sample.

    Raises:
        FileError, FormatError: if the folder holds no manifest or a scan file is damaged.
        ArgumentError: if a class or channel is unknown, or no scan is left.
    """

    def __init__(
        self,
        folder: str | Path,
        channels: Sequence[str] | None = None,
        classes: Sequence[str] = EXPRESSIONS,
        *,
        texture: bool = False,
        fill: float = 0.0,
        where: Callable[[Mapping[str, Any]], bool] | None = None,
        transform: Callable[[Sample], Sample] | None = None,
    ) -> None:
        check_choice("classes", tuple(classes), LABELS)
        self.folder = Path(folder)
        self.classes = tuple(classes)
        self.texture = texture
        self.fill = fill
        self.transform = transform
        self.rows = [
            row
            for row in read_manifest(self.folder)
            if row["status"] == "ok"
            and (row["expression"] is None or row["expression"] in self.classes)
            and (where is None or where(row))
        ]
        if not self.rows:
            raise ArgumentError(f"`folder` should hold at least one prepared scan of {self.classes}, {folder} has none")
        self._stored = stored = self._stored_channels()
        self.channels = tuple(stored if channels is None else channels)
        for name in self.channels:
            if name not in stored:
                raise ArgumentError(f"`channels` should hold names out of {', '.join(stored)}, holds {name!r}")
        self._positions = [stored.index(name) for name in self.channels]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Sample:
        row = self.rows[index]
        with open_scan(self.folder, row) as file:
            maps = file.get_tensor(row["prefix"] + "maps")[self._positions].astype(np.float32)  # (C, H, W)
            mask = file.get_tensor(row["prefix"] + "mask")
            sample: Sample = {
                "maps": torch.from_numpy(np.nan_to_num(maps, copy=False, nan=self.fill)),
                "mask": torch.from_numpy(mask),
                "label": self.classes.index(row["expression"]) if row["expression"] is not None else -1,
                "index": index,
            }
            if self.texture:
                sample["texture"] = self._texture(file, row["prefix"], mask.shape)
        return sample if self.transform is None else self.transform(sample)

    @staticmethod
    def _texture(file: Any, prefix: str, shape: tuple[int, int]) -> torch.Tensor:
        if prefix + "texture" not in file.keys():  # noqa: SIM118  (a handle, not a dict)
            return torch.zeros(3, *shape, dtype=torch.uint8)
        rgb = file.get_tensor(prefix + "texture")  # (H, W, 3)
        return torch.from_numpy(np.ascontiguousarray(rgb.transpose(2, 0, 1)))  # (3, H, W)

    def _stored_channels(self) -> list[str]:
        channels: list[str] = header_for(self.folder, self.rows[0])["channels"]
        return channels
