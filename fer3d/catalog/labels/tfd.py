"""Labels of the Toronto Face Database: Matlab files that contain pictures and labels."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer3d.catalog.cards import Card
from fer3d.catalog.folder_listing import Listing
from fer3d.catalog.labels.reading import ContainerEntry, Labels, label_fields
from fer3d.errors import Fer3dError
from fer3d.formats.mat_file import read_arrays

_NAMES = ("labs_ex", "labs_id", "folds")
_UNLABELLED = -1


def tfd(listing: Listing, card: Card) -> Labels:
    """Read `TFD_48x48.mat` or `TFD_96x96.mat`; of two files, the one with larger pictures. Skips unlabelled entries."""
    labels = Labels()
    tables = [name for name in listing.files if re.search(r"(?:^|/)TFD_\d+x\d+\.mat\Z", name, re.IGNORECASE)]
    labels.used.update(tables)
    if not tables:
        return labels
    name = max(tables, key=lambda file: int(re.findall(r"(\d+)x", file)[-1]))
    try:
        arrays = read_arrays(listing.folder / name, _NAMES).arrays
        codes, people, folds = _columns(arrays)
    except (Fer3dError, ValueError) as error:
        reason = str(error).removeprefix(f"{listing.folder / name}: ")
        if "7.3" in reason:
            labels.notes.append(f"{name}: is a Matlab file of version 7.3; save it again in Matlab with '-v7'")
            return labels
        labels.notes.append(f"{name}: wanted a Matlab file with labs_ex, labs_id and folds: {reason}")
        return labels
    parts = card.values.get("folds", {})
    for entry in np.flatnonzero(codes != _UNLABELLED).tolist():
        fields, attributes = label_fields(card, str(codes[entry]), f"{name}, entry {entry}")
        fields["subject"] = f"id{people[entry]}" if people[entry] != _UNLABELLED else f"entry{entry}"
        attributes |= {"entry": str(entry), "folds": " ".join(parts.get(str(n), "none") for n in folds[entry])}
        labels.entries.append(ContainerEntry(name, entry, f"tfd{entry:06d}", fields, attributes))
    return labels


def _columns(arrays: Mapping[str, NDArray[Any]]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Return codes (N,), people (N,) and folds (N, K), int64. ValueError if they are missing, or do not fit."""
    missing = [name for name in _NAMES if name not in arrays]
    if missing:
        raise ValueError(f"it has no array of numbers {', '.join(missing)}")
    codes, people, folds = (_whole(name, arrays[name]) for name in _NAMES)
    codes, people = codes.ravel(), people.ravel()
    if len(people) != len(codes):
        raise ValueError(f"{len(people)} identities for {len(codes)} labels")
    if folds.ndim != 2 or len(folds) != len(codes):
        raise ValueError(f"folds should have shape ({len(codes)}, folds), has {folds.shape}")
    return codes, people, folds


def _whole(name: str, array: NDArray[Any]) -> NDArray[np.int64]:
    if array.dtype.kind not in "iu" and not (np.isfinite(array).all() and (np.abs(array) < 1e9).all()):
        raise ValueError(f"{name} should hold whole numbers, holds others")
    whole = array.astype(np.int64)
    if not (whole == array).all():
        raise ValueError(f"{name} should hold whole numbers, holds others")
    return whole
