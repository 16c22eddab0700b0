"""Detect the data set in a folder: choose the card that explains most of its files."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

from fer3d.catalog.cards import Card, load_card, shipped_cards
from fer3d.catalog.folder_listing import Listing, list_folder, printable
from fer3d.catalog.label_table import FILE
from fer3d.catalog.labels.sources import read_labels
from fer3d.catalog.records import companions_of, matching, no_match, words_of
from fer3d.errors import CardError
from fer3d.formats.suffixes import scan_suffix


@dataclass(frozen=True)
class Detection:
    """The card that fits a folder, and the reason.

    Attributes:
        card: The card that explains most scan files, at least half of them; else the generic card.
        matched: Number of scans that the card finds.
        scans: Number of files in the folder with the suffix of a scan.
        share: Share of those files that the card explains, as a scan or as a companion, in [0, 1].
        examples: Up to three matched paths.
        others: Name of every other card that matched a file -> number of scans that it finds.
    """

    card: Card
    matched: int
    scans: int
    share: float
    examples: tuple[str, ...]
    others: Mapping[str, int]

    def __str__(self) -> str:
        """Return the card and the reason in one line."""
        return f"{self.card.title}: {self.reason}"

    @property
    def reason(self) -> str:
        """The matched files, in one line."""
        text = (
            f"{self.matched:,} scans, such as {', '.join(self.examples)}; {self.share:.0%} of {self.scans:,} scan files"
        )
        others = ", ".join(f"{matched:,} as {name}" for name, matched in self.others.items())
        return text + (f" explained; would match {others}" if others else " explained")


def detect(folder: str | Path, *, listing: Listing | None = None) -> Detection:
    """Detect the data set in a folder from its file names alone.

    Raises:
        FileError: if the folder is missing or may not be opened.
        CardError: if the folder has no scan. The message lists the known layouts and the files that are there.
    """
    listing = listing or list_folder(folder)
    known = [load_card(name) for name in shipped_cards()]
    scans = {name for name in listing.files if scan_suffix(name)}
    flat = not scans and any(_is_flat(name) for name in listing.files)
    cards = [card for card in known if (card.kind == "pictures") == flat]
    if flat:
        return _detect_pictures(listing, cards)
    matches_of = {card.name: matching(listing, card) for card in cards if card.name != "generic"}
    best, explained = None, 0
    for card in cards:
        if matches_of.get(card.name):
            names = _explained(listing, card, matches_of[card.name], scans)
            if len(names) > explained:
                best, explained = card, len(names)
    if best is None or 2 * explained < len(scans):
        best = next(card for card in cards if card.name == "generic")
        matches_of[best.name] = matching(listing, best)
        explained = len(matches_of[best.name])
    if not matches_of[best.name]:
        raise CardError(no_match(listing, cards))
    return Detection(
        card=best,
        matched=len(matches_of[best.name]),
        scans=len(scans),
        share=explained / len(scans),
        examples=tuple(printable(name) for name, _ in matches_of[best.name][:3]),
        others={name: len(matches) for name, matches in matches_of.items() if matches and name != best.name},
    )


def _detect_pictures(listing: Listing, cards: Sequence[Card]) -> Detection:
    """Do what `detect` does for a folder without scans: pictures, clips, and files that contain pictures."""
    explained: dict[str, set[str]] = {}
    counts: dict[str, int] = {}
    reasons: list[str] = []
    pictures = {name for name in listing.files if _is_flat(name, tables=False)}
    for card in cards:
        labels = read_labels(listing, card)
        names = {name for name, _ in matching(listing, card)} | {entry.relative for entry in labels.entries}
        counts[card.name] = len(names - {entry.relative for entry in labels.entries} - labels.dropped)
        counts[card.name] += len(labels.entries)
        explained[card.name] = names | labels.dropped
        if labels.used:
            reasons += labels.notes[:1]
    general = next(card for card in cards if card.name == "pictures")
    special = [card for card in cards if card is not general and explained[card.name]]
    proven = [card for card in special if _is_proven(listing, card, counts[card.name])]
    # Of two cards that explain equally many files, prefer the one that reads label files: it knows more.
    best = max(proven, key=lambda card: (len(explained[card.name]), card.labels_from is not None), default=general)
    if 2 * len(explained[best.name] & pictures) < len(pictures):
        best = general
    if not explained[best.name]:
        raise CardError(no_match(listing, cards, reasons))
    whole = {name for name in pictures if not any(fit.search(name) for fit in best.ignorers)} | explained[best.name]
    return Detection(
        card=best,
        matched=counts[best.name],
        scans=len(whole),
        share=len(explained[best.name]) / len(whole),
        examples=tuple(printable(name) for name in sorted(explained[best.name])[:3]),
        others={card.name: counts[card.name] for card in special if card is not best and counts[card.name]},
    )


def _is_proven(listing: Listing, card: Card, count: int) -> bool:
    """Whether the names in a folder, or that of the folder itself, can only be those of the card's data set; or the
    number of its pictures is that of the whole data set."""
    if not card.evidence or count == card.expected.scans:
        return True
    above = listing.folder.resolve().name
    return any(proof.search(f"{above}/{name}") for name in listing.files for proof in card.proofs)


def _is_flat(name: str, tables: bool = True) -> bool:
    """Whether a file name is that of a picture or a clip; with `tables`, also that of a file that contains pictures."""
    from fer3d.formats.pictures import SUFFIXES  # here, so that a card can be read without the readers

    suffix = posixpath.splitext(name)[1].lower()
    return suffix in SUFFIXES or suffix == ".avi" or (tables and suffix in (".csv", ".mat") and name != FILE)


def choose(
    folder: str | Path, dataset: str | Path = "auto", *, listing: Listing | None = None
) -> tuple[Card, Detection | None]:
    """Load the card of this name or path. For "auto", detect the card and also return the detection."""
    if dataset == "auto":
        detection = detect(folder, listing=listing)
        return detection.card, detection
    return load_card(dataset), None


def _explained(listing: Listing, card: Card, matches: Iterable[tuple[str, re.Match[str]]], scans: Set[str]) -> Set[str]:
    """Return the files of `scans` that the card explains, as a scan or as a companion of a scan."""
    known = {name for name, _ in matches}
    if not scans <= known:
        for name, match in matches:
            known.update(file for file in companions_of(listing, card, name, words_of(name, match)).values() if file)
    return scans & known
