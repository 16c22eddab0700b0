"""Read a folder of scans, as its card describes it, into records. All later stages work on records alone.

>>> from fer3d.catalog import detect, read_records
>>> card = detect("scans/").card            # doctest: +SKIP
>>> for record in read_records("scans/", card):  # doctest: +SKIP
...     print(record.id, record.subject, record.expression, record.files["scan"])
"""

from __future__ import annotations

import hashlib
import posixpath
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fer3d.catalog.action_units import shown_and_absent, split_action_units
from fer3d.catalog.cards import FIELD_GROUPS, Card
from fer3d.catalog.folder_listing import Listing, list_folder, printable
from fer3d.catalog.guessed_subjects import notes_on_subjects, person_of, unknown_subject, without_parts
from fer3d.catalog.label_table import FILE, Row, read_label_table
from fer3d.catalog.labels.reading import ContainerEntry
from fer3d.catalog.labels.sources import read_labels
from fer3d.errors import CardError
from fer3d.formats.suffixes import scan_suffix


@dataclass(frozen=True, slots=True)
class Record:
    """One scan of a data set, with the facts from its path, from the files beside it and from `labels.csv`.

    Attributes:
        id: Unique within the folder, stable, safe as a file name (ASCII letters, digits, `.`, `_`, `-`).
        relative: POSIX path of the scan relative to the folder, with unprintable characters escaped.
        dataset: Name of the card.
        subject: Id of the person. Folds consist of subjects.
        expression: A canonical label (`fer3d.scan.LABELS`), or None if unknown.
        intensity: The data set's own level, or None.
        sequence: Id of the sequence that a frame belongs to, or None.
        frame: Number of the frame in its sequence, or None.
        compound: A compound class such as "happily surprised" (`fer3d.catalog.targets`), or None.
        valence, arousal: In [-1, 1], or None.
        action_units: Codes of the present units, such as ("AU12L", "AU25", "AU6:3"); see `fer3d.catalog.action_units`.
        absent_units: Units known to be absent, such as ("AU4",). A unit in neither list is unknown.
        pose: (yaw, pitch, roll) in radians, right-handed about +y, +x, +z, with nan for an unknown angle; None if the
            pose is unknown.
        occlusion: What covers the face, or None.
        attributes: Further facts, such as sex and ethnicity.
        files: Role -> path. The role `scan` is always present.
        problems: Warnings for the user. The scan can still be used.
        error: The reason why the scan must not be used (its identity is uncertain), or None. `preprocess` writes it as
            the reason of a failure.
    """

    id: str
    relative: str
    dataset: str
    subject: str
    expression: str | None = None
    intensity: int | None = None
    sequence: str | None = None
    frame: int | None = None
    compound: str | None = None
    valence: float | None = None
    arousal: float | None = None
    action_units: tuple[str, ...] = ()
    absent_units: tuple[str, ...] = ()
    pose: tuple[float, float, float] | None = None
    occlusion: str | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, Path] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    error: str | None = None


@dataclass(frozen=True)
class Catalog:
    """The scans and other files that a card finds in a folder.

    Attributes:
        folder: The folder.
        card: The card.
        records: The scans, sorted by id.
        extra: POSIX paths of files that are neither scans nor companions and that the card does not ignore.
        ignored: Number of files that the card ignores.
        notes: Remarks on the folder as a whole, one line each.
    """

    folder: Path
    card: Card
    records: tuple[Record, ...]
    extra: tuple[str, ...]
    ignored: int
    notes: tuple[str, ...]


def read_records(folder: str | Path, card: Card, *, labels: str | Path | None = None) -> list[Record]:
    """Return the records of a folder, sorted by id. `read_catalog` also returns the other files of the folder."""
    return list(read_catalog(folder, card, labels=labels).records)


def read_catalog(
    folder: str | Path, card: Card, *, labels: str | Path | None = None, listing: Listing | None = None
) -> Catalog:
    """Find the scans of a data set in a folder.

    Args:
        folder: The root of the data set, or a folder above it, or at most `card.look_above` levels below it.
        card: A card from `load_card` or `detect`.
        labels: A label table. None: `labels.csv` in the folder, if it exists.
        listing: The result of `fer3d.catalog.folder_listing.list_folder(folder)`, to avoid a second walk.

    Returns:
        The catalogue. It includes scans whose identity is uncertain, marked by `Record.error`:
        - two files with the same id: an error on both;
        - a folder that names another subject than the file in it: an error on the file;
        - a subject with several values of an attribute that the card calls constant: an error on the scans with the
          rarer values, or on all if the two most frequent values tie.

    Raises:
        FileError: if the folder is missing or may not be opened.
        CardError: if no file in it matches the card, or the label table is wrong.
    """
    listing = listing or list_folder(folder)
    table_file = Path(labels) if labels is not None else listing.folder / FILE if FILE in listing.files else None
    table = read_label_table(table_file, card) if table_file else {}
    label_files = read_labels(listing, card)
    matches = [(name, match) for name, match in matching(listing, card) if name not in label_files.dropped]
    if not matches and not label_files.entries:
        raise CardError(no_match(listing, [card], label_files.notes))
    claimed: set[str] = set(label_files.used)
    used: set[str] = set()
    records = []
    for relative, match in matches:
        path = unicodedata.normalize("NFC", relative)
        row = table.get(path)
        if row is not None:
            used.add(path)
        own = label_files.rows.get(relative)
        record, files = _record(listing, card, relative, match, row, own)
        if table and row is None:
            record = replace(record, problems=(*record.problems, f"no line in {table_file}"))
        if label_files.complete and own is None:
            record = replace(record, problems=(*record.problems, "no line in the label files of the data set"))
        claimed.update(files)
        records.append((relative, record))
    for entry in label_files.entries:
        records.append((f"{entry.relative}#{entry.entry}", _entry_record(listing, card, entry)))
    for path in table.keys() - used:
        raise CardError(
            f"{table_file}:{table[path].line}: wanted the path of a scan of {card.title}, got {printable(path)!r}"
        )
    rest = [name for name in listing.files if name not in claimed and name != FILE]
    left = label_files.dropped
    extra = [name for name in rest if name not in left and not any(fit.search(name) for fit in card.ignorers)]
    settled = tuple(sorted(_settle(records, card), key=lambda record: record.id))
    return Catalog(
        folder=listing.folder,
        card=card,
        records=settled,
        extra=tuple(printable(name) for name in extra),
        ignored=len(rest) - len(extra),
        notes=(
            *listing.problems,
            *(_on_people(settled, matches, card) if card.names_people else ()),
            *label_files.notes,
        ),
    )


def _on_people(records: Sequence[Record], matches: Sequence[tuple[str, re.Match[str]]], card: Card) -> list[str]:
    """Return the notes on the subjects of a folder."""
    found = [(record.relative, record.subject) for record in records if record.subject]
    guessed = {printable(relative): match["subject"] or "" for relative, match in matches} if card.guess else {}
    listed = bool(card.expected.subjects or card.expected.people)
    return [*_scattered(matches), *notes_on_subjects(found, guessed=guessed, sure=listed)]


def matching(listing: Listing, card: Card) -> list[tuple[str, re.Match[str]]]:
    """Return (relative path, match) of every scan of the card, in the order of the listing."""
    names = listing.folder.resolve().parts[1:]
    above = "".join(f"{name}/" for name in names[len(names) - card.look_above :]) if card.look_above else ""
    if card.guess:
        pairs = ((name, card.match(above + without_parts(name)[0])) for name in listing.files)
    else:
        pairs = ((name, card.match(above + name)) for name in listing.files)
    return [(name, match) for name, match in pairs if match]


def _record(
    listing: Listing, card: Card, relative: str, match: re.Match[str], row: Row | None, own: Row | None = None
) -> tuple[Record, list[str]]:
    """Return the record of one scan, and the relative paths of all its files.

    Args:
        row: Its line of `labels.csv`, which overrides everything else.
        own: Its labels in the data set's own label files.
    """
    words = words_of(relative, match)
    groups = {key: text for key, text in match.groupdict().items() if text is not None}
    problems: list[str] = []
    expression = card.label(groups["expression"]) if "expression" in groups else None
    other = card.other_labels.get(groups.get("expression", ""))
    if expression is None and other is None and "expression" in groups:
        problems.append(
            f"unknown expression {printable(groups['expression'])!r}, wanted one of {', '.join(card.labels)}"
        )
    pose = card.poses.get(groups.get("pose", ""))
    if pose is None and "pose" in groups:
        problems.append(f"unknown pose {printable(groups['pose'])!r}, wanted one of {', '.join(card.poses)}")
    attributes = {key: card.value(key, text) for key, text in groups.items() if key not in FIELD_GROUPS}
    part = without_parts(relative)[1] if card.guess else None
    if part is not None:
        attributes["part"] = part
    if "pose" in groups:
        attributes["pose"] = groups["pose"]
    if other is not None:
        attributes["expression"] = other
    companions = companions_of(listing, card, relative, words)
    for role, companion in card.companions.items():
        if companion.wanted and companions[role] is None:
            problems.append(f"no {role} file, wanted {printable(companion.files[0].format_map(words))}")
    files = {role: file for role, file in companions.items() if file is not None}
    named = groups.get("subject", "") if card.names_people else _fill(card.subject, words) or ""
    if card.guess and "subject" in groups:
        named = person_of(named, match.string[match.end("subject") :]) or unknown_subject(part)
    subject = printable(unicodedata.normalize("NFC", named))
    error = None if subject else "wanted a subject in the path, got none"
    if groups.get("folder_subject", subject) != subject:
        error = f"wanted a file of subject {groups['folder_subject']}, as the folder says, got one of {subject}"
    occlusion = groups.get("occlusion")
    record = Record(
        id=_safe_id(_fill(card.id, words) or relative),
        relative=printable(relative),
        dataset=card.name,
        subject=subject,
        expression=expression,
        intensity=_number(groups.get("intensity")),
        sequence=groups.get("sequence") or (_fill(card.sequence, words) if card.sequence else None),
        frame=_number(groups.get("frame")),
        **_targets(card, groups, problems),
        pose=pose.radians() if pose else None,
        occlusion=card.occlusions.get(occlusion, occlusion) if occlusion else None,
        attributes=attributes,
        files={role: listing.folder / file for role, file in {"scan": relative, **files}.items()},
        problems=tuple(problems),
        error=error,
    )
    if own is not None:
        attributes = {**attributes, **own.attributes}
        record = replace(record, **{**own.fields, **_agreed(record, own)}, attributes=attributes)
    if row is not None:
        record = replace(record, **row.fields, attributes={**attributes, **row.attributes})
        if not subject and record.subject:
            record = replace(record, error=None)
    if "action_units" in {**groups, **(own.fields if own else {}), **(row.fields if row else {})}:
        scored = card.targets.action_units.absent(record.action_units, record.absent_units)
        record = replace(record, absent_units=scored)
    return record, [relative, *files.values()]


def _agreed(record: Record, own: Row) -> dict[str, Any]:
    """Return the fields `problems` and `expression` of a record whose path and whose label files are both known."""
    said = own.fields.get("expression")
    if said is None or own.overrides or record.expression in (None, said):
        return {"problems": (*record.problems, *own.problems)}
    problem = f"the path says {record.expression}, {printable(own.source)} says {said}: no expression is used"
    return {"expression": None, "problems": (*record.problems, *own.problems, problem)}


def _targets(card: Card, groups: Mapping[str, str], problems: list[str]) -> dict[str, Any]:
    """Return record fields: the targets beyond the canonical labels that a path contains. Invalid values are added to
    `problems`."""
    fields: dict[str, Any] = {}
    try:
        fields["action_units"], fields["absent_units"] = shown_and_absent(
            split_action_units(groups.get("action_units", ""))
        )
    except ValueError as error:
        problems.append(f"action units of the path: {error}")
    try:
        if "compound" in groups:
            fields["compound"] = card.targets.compound_class(groups["compound"])
        for name in ("valence", "arousal"):
            if name in groups:
                fields[name] = card.targets.value(name, groups[name])
    except ValueError as error:
        problems.append(str(error))
    return fields


def _entry_record(listing: Listing, card: Card, entry: ContainerEntry) -> Record:
    """Return the record of a picture that is an entry of a container file."""
    fields = {"subject": entry.id, **entry.fields}
    return Record(
        id=entry.id,
        relative=f"{printable(entry.relative)}#{entry.entry}",
        dataset=card.name,
        attributes=entry.attributes,
        files={"scan": listing.folder / entry.relative},
        **fields,
    )


def words_of(relative: str, match: re.Match[str]) -> dict[str, str]:
    """Return the words for the templates of a scan. Groups that took no part in the match are absent."""
    folder, name = posixpath.split(relative)
    stem = name.removesuffix(scan_suffix(name) or posixpath.splitext(name)[1])
    words = {key: text for key, text in match.groupdict().items() if text is not None}
    words |= {"stem": stem, "name": name, "folder": folder, "path": posixpath.join(folder, stem)}
    return words


def companions_of(listing: Listing, card: Card, relative: str, words: Mapping[str, str]) -> dict[str, str | None]:
    """Return, for each role, the relative path of its first file that exists, or None."""
    below = words["folder"] + "/" if words["folder"] else ""
    companions: dict[str, str | None] = {}
    for role, companion in card.companions.items():
        candidates = (_fill(template, words) for template in companion.files)
        hits = (listing.find(below + candidate) for candidate in candidates if candidate)
        companions[role] = next((hit for hit in hits if hit and hit != relative), None)
    return companions


def _fill(template: str, words: Mapping[str, str]) -> str | None:
    """Fill in a template. None if the scan lacks one of its words."""
    try:
        return template.format_map(words)
    except KeyError:
        return None


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and re.fullmatch(r"\d{1,9}", text, re.ASCII) else None


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=4).hexdigest()


def _safe_id(text: str) -> str:
    """Make a file name from any text: `/` becomes `--`. A hash is added where two texts could give the same name.

    >>> _safe_id("bs000_N_N_0"), _safe_id("anna/happy/3")
    ('bs000_N_N_0', 'anna--happy--3')
    >>> _safe_id("Åsa/glad 1")
    'sa--glad_1-361bcf6b'
    """
    plain = re.sub(r"[^A-Za-z0-9._-]+", "_", text.replace("/", "--")).lstrip("._-")[:100] or "scan"
    exact = re.fullmatch(r"[A-Za-z0-9](?:-?[A-Za-z0-9._])*(?:/[A-Za-z0-9._](?:-?[A-Za-z0-9._])*)*", text)
    return plain if exact and len(text) <= 100 else f"{plain}-{_digest(text)}"


def _settle(records: Sequence[tuple[str, Record]], card: Card) -> list[Record]:
    """Mark records whose identity is uncertain, and make all ids unique, also on case-insensitive disks."""
    settled = [record for _, record in records]
    for key in card.constant:
        for members in _grouped(settled, lambda record: record.subject if record.error is None else None):
            for index, reason in _two_people(settled, members, key):
                settled[index] = replace(settled[index], error=reason)
    marked: dict[int, Record] = {}
    for members in _grouped(settled, lambda record: record.id.casefold()):
        sound = [index for index in members if settled[index].error is None]
        for index in members if len(members) > 1 else ():
            record = settled[index]
            rivals = [settled[other].relative for other in sound if other != index and settled[other].id == record.id]
            if record.error is None and rivals:
                record = replace(record, error=f"wanted one file of id {record.id}, got also {', '.join(rivals[:3])}")
            if sound != [index]:
                record = replace(record, id=f"{record.id}-{_digest(records[index][0])}")
            marked[index] = record
    return [marked.get(index, record) for index, record in enumerate(settled)]


def _grouped(items: Sequence[Record], key: Callable[[Record], str | None]) -> list[list[int]]:
    """Group the indices of the records by key. Records without a key are left out."""
    groups: dict[str, list[int]] = defaultdict(list)
    for index, item in enumerate(items):
        if (name := key(item)) is not None:
            groups[name].append(index)
    return list(groups.values())


def _two_people(settled: Sequence[Record], members: Sequence[int], key: str) -> list[tuple[int, str]]:
    """Return (index, error) of the records of a subject whose attribute `key` is not its most frequent value."""
    counts = Counter(settled[index].attributes[key] for index in members if key in settled[index].attributes)
    if len(counts) < 2:
        return []
    (usual, most), (_, second) = counts.most_common(2)
    wrong = {value for value in counts if value != usual or most == second}
    text = ", ".join(f"{value} {count} times" for value, count in sorted(counts.items()))
    return [
        (index, f"wanted one {key} for subject {settled[index].subject}, got {text}: two people under one id?")
        for index in members
        if settled[index].attributes.get(key) in wrong
    ]


def _scattered(matches: Iterable[tuple[str, re.Match[str]]]) -> list[str]:
    """Return a note for each subject whose own folder exists in several places."""
    places: dict[str, set[str]] = defaultdict(set)
    for relative, match in matches:
        end = match.end("subject")
        if match["subject"] and match.string[end : end + 1] == "/":  # the subject is a folder
            path = match.string[:end]
            for group in sorted(
                match.re.groupindex, key=match.start, reverse=True
            ):  # ignore groups such as light or session
                if match[group] and match.end(group) < match.start("subject"):
                    path = path[: match.start(group)] + path[match.end(group) :]
            places[match["subject"]].add(path[max(0, len(match.string) - len(relative)) :].strip("/"))
    return [
        f"subject {printable(subject)} lies in {len(where)} folders ({', '.join(map(printable, sorted(where)[:3]))}):"
        " taken for one person"
        for subject, where in sorted(places.items())
        if len(where) > 1
    ]


def no_match(listing: Listing, cards: Sequence[Card], reasons: Sequence[str] = ()) -> str:
    """Explain in one line why there is nothing to read: the expected layouts, the files present, the source, and the
    first of `reasons`, which say what is wrong with the label files."""
    layouts = "; ".join(f"{card.title}: {card.layout}" for card in cards)
    there = Counter(posixpath.splitext(name)[1].lower() or "no suffix" for name in listing.files)
    content = ", ".join(f"{count} {printable(suffix)}" for suffix, count in there.most_common(4)) or "no file at all"
    ask = f" {cards[0].obtain}." if len(cards) == 1 else " How to obtain a data set: `obtain` in its card."
    wrong = "".join(f" {reason}." for reason in reasons[:1])
    return (
        f"no file under {printable(str(listing.folder))} matches a known layout ({layouts}); "
        f"there is {content}.{ask}{wrong}"
    )
