"""Labels of the Toronto Face Database: Matlab files that contain pictures and labels."""

from __future__ import annotations

import re

import numpy as np

from fer3d.catalog.cards import Card
from fer3d.catalog.folder_listing import Listing
from fer3d.catalog.labels.reading import ContainerEntry, Labels, brief, label_fields


def tfd(listing: Listing, card: Card) -> Labels:
    """Read `TFD_48x48.mat` or `TFD_96x96.mat`; of two files, the one with larger pictures. Skips unlabelled entries."""
    labels = Labels()
    tables = [name for name in listing.files if re.search(r"(?:^|/)TFD_\d+x\d+\.mat\Z", name, re.IGNORECASE)]
    labels.used.update(tables)
    if not tables:
        return labels
    name = max(tables, key=lambda file: int(re.findall(r"(\d+)x", file)[-1]))
    try:
        from scipy.io import loadmat

        data = loadmat(listing.folder / name, variable_names=["labs_ex", "labs_id", "folds"])
        parts = card.values.get("folds", {})
        codes, people = np.asarray(data["labs_ex"]).ravel(), np.asarray(data["labs_id"]).ravel()
        folds = np.asarray(data["folds"]).reshape(len(codes), -1)
        if len(people) != len(codes):
            raise ValueError(f"{len(people)} identities for {len(codes)} labels")
    except NotImplementedError:
        labels.notes.append(f"{name}: is a Matlab file of version 7.3; save it again in Matlab with '-v7'")
        return labels
    except Exception as error:  # scipy raises nearly everything on a damaged file
        labels.notes.append(f"{name}: wanted a Matlab file with labs_ex, labs_id and folds, got {brief(str(error))}")
        return labels
    for entry in np.flatnonzero(codes != -1):
        fields, attributes = label_fields(card, str(int(codes[entry])), f"{name}, entry {entry}")
        fields["subject"] = f"id{int(people[entry])}" if people[entry] != -1 else f"entry{entry}"
        attributes |= {"entry": str(entry), "folds": " ".join(parts.get(str(int(n)), "none") for n in folds[entry])}
        labels.entries.append(ContainerEntry(name, int(entry), f"tfd{entry:06d}", fields, attributes))
    return labels
