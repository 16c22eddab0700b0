"""The readers that a card can name as `labels_from`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from fer3d.catalog.cards import Card, LabelSource
from fer3d.catalog.folder_listing import Listing
from fer3d.catalog.labels.affectnet import affectnet, affectnet_files
from fer3d.catalog.labels.ckplus import ckplus
from fer3d.catalog.labels.fer2013 import fer2013, fer2013_folders, ferplus
from fer3d.catalog.labels.mmi import mmi
from fer3d.catalog.labels.rafdb import rafdb
from fer3d.catalog.labels.reading import Labels
from fer3d.catalog.labels.simulated import simulated
from fer3d.catalog.labels.tfd import tfd

SOURCES: Mapping[LabelSource, Callable[[Listing, Card], Labels]] = {
    "fer2013": fer2013,
    "fer2013-folders": fer2013_folders,
    "ferplus": ferplus,
    "ckplus": ckplus,
    "rafdb": rafdb,
    "affectnet": affectnet,
    "affectnet-files": affectnet_files,
    "mmi": mmi,
    "tfd": tfd,
}


def read_labels(listing: Listing, card: Card) -> Labels:
    """Read the label files of a card's layout; without `labels_from`, the ground truth of simulated scans."""
    return SOURCES[card.labels_from](listing, card) if card.labels_from else simulated(listing)
