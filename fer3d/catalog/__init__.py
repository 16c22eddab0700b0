"""Data sets: their cards, the records that a card finds in a folder of scans, labels, and protocols."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fer3d import lazy_names

if TYPE_CHECKING:
    from fer3d.catalog.cards import Card, load_card, shipped_cards
    from fer3d.catalog.detection import Detection, choose, detect
    from fer3d.catalog.records import Catalog, Record, read_catalog, read_records

__all__ = [
    "Card",
    "Catalog",
    "Detection",
    "Record",
    "choose",
    "detect",
    "load_card",
    "read_catalog",
    "read_records",
    "shipped_cards",
]

_HOMES = {
    "Card": "cards",
    "load_card": "cards",
    "shipped_cards": "cards",
    "Catalog": "records",
    "Record": "records",
    "read_catalog": "records",
    "read_records": "records",
    "Detection": "detection",
    "choose": "detection",
    "detect": "detection",
}

__getattr__ = lazy_names(__name__, _HOMES)
