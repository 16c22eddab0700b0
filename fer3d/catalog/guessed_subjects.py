"""Guess who is in a scan from a path that follows no data set's rules (`guess = true` in a card), and say so.

Folders such as `train` and `images` are no people, a name such as `IMG_0001` or `17` is no person, and the last number
of `00032-08` is a recording of person `00032`. If nothing is left, the person is unknown: all scans of unknown people
are one subject, so that no protocol can put the same person on both sides of a split.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from fer3d.errors import ProtocolError

UNKNOWN = "unknown"  # the subject of all scans of unknown people; of a part of the data, "unknown (train)"
_SHOWN = 3
_FEW = 3  # a folder of fewer scans tells nothing about its subjects
_SINGLES = 0.8  # share of the subjects with one scan from which on the subjects look like scans
_ONE_PERSON = 6  # scans of one subject from which on it is said that there is only one

# Folder names that divide a data set, in lower case without `_`, `-` and blanks -> part.
_PARTS = {
    **dict.fromkeys(("train", "training", "trn"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "validate", "dev", "devel", "development", "eval"), "validation"),
    **dict.fromkeys(("evaluation", "publictest"), "validation"),
    **dict.fromkeys(("test", "testing", "tst", "holdout", "privatetest"), "test"),
}
_DIVISION = re.compile(
    r"(?:cv|fold|split|part|batch|shard)\d*|(?:session|visit|day|week|take|trial|cam|camera|sensor)\d+"
)
_SUFFIXES = re.compile(r"(?:set|data|dataset|images?|imgs?|pictures?|scans?|split|part)\Z")
# Folder names that say what the files are, not whose.
_KINDS = re.compile(
    r"all|aligned|crop|cropped|crops|data|datasets?|expressions?|faces?|fer|images?|imgs?|jpe?g|mesh|meshes|obj|"
    r"originals?|photos?|pics?|pictures?|ply|png|raw|scans?|stl|videos?|frames|wrl"
)
# What cameras and programs call their files; a number, a date or nothing may follow.
_RUNNING = re.compile(
    r"(?:(?:adobescan|aligned|camera|capture|cloud|copy|crop|cropped|depth|download|dsc|dscf|dscn|export|face|file|fer|"
    r"frame|gopr|image|img|imgp|item|jpg|mesh|model|mov|mvi|mvimg|output|photo|pic|picture|png|pointcloud|pxl|rec|"
    r"record|recording|sample|scan|screen|screenshot|shot|snap|snapshot|sub|subject|test|texture|train|training|"
    r"publictest|privatetest|untitled|unnamed|val|vid|video|view|whatsapp|wp|dji)"
    r"(?:[\W_].*|\d.*)?|p\d{7}|[\W_\d]*)\Z",
    re.IGNORECASE | re.DOTALL,
)
_HASH = re.compile(r"(?=.*\d)(?=.*[a-f])(?:[0-9a-f]{12,}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\Z", re.IGNORECASE)
_PEOPLE = re.compile(r"(?:subject|sub)[\W_]*\d+\Z", re.IGNORECASE)  # sub-01 is a person, sub alone is not
_RECORDING = re.compile(r"(?P<person>.*\d.*?)[-_. ](?:\d{1,6}|[A-Za-z])\Z", re.DOTALL)


@lru_cache(4096)
def part_of(folder: str) -> tuple[bool, str | None]:
    """Return whether a folder divides a data set or says what files are, and the part that it names, if any.

    >>> part_of("Train_set"), part_of("fold3"), part_of("images"), part_of("anna")
    ((True, 'train'), (True, None), (True, None), (False, None))
    """
    word = re.sub(r"[\s_-]+", "", folder).casefold()
    for name in (word, _SUFFIXES.sub("", word)):
        if name in _PARTS:
            return True, _PARTS[name]
    return bool(_KINDS.fullmatch(word) or _DIVISION.fullmatch(word)), None


def without_parts(path: str) -> tuple[str, str | None]:
    """Return a path without the folders that are no people, and the part that they name.

    >>> without_parts("Train/happy/P1_2.ply"), without_parts("anna/happy/train.ply")
    (('happy/P1_2.ply', 'train'), ('anna/happy/train.ply', None))
    """
    *folders, name = path.split("/")
    found = [part_of(folder) for folder in folders]
    kept = [folder for folder, (is_no_person, _) in zip(folders, found, strict=True) if not is_no_person]
    return "/".join([*kept, name]), next((part for _, part in found if part), None)


def person_of(text: str, rest: str) -> str | None:
    """Return the person in a guessed subject; None if the text names nobody.

    Args:
        text: The folder or the beginning of the file name that a pattern took for the subject.
        rest: The rest of the path. Where it begins with "/", the text is a folder; running numbers and names of
            cameras are people only as folders.

    >>> person_of("00032-08", "/1.ply"), person_of("IMG", "_0001.jpg"), person_of("17", ".jpg")
    ('00032', None, None)
    >>> person_of("17", "/1.jpg"), person_of("17", "_happy.jpg"), person_of("sub-01", ".ply")
    ('17', '17', 'sub-01')
    """
    text = text.strip()
    if not rest.startswith("/") and (_HASH.match(text) or _is_running(text, rest)):
        return None
    match = _RECORDING.match(text)
    if match is None or _PEOPLE.match(text):
        return text or None
    return match["person"].rstrip("-_. ") or text


def _is_running(text: str, rest: str) -> bool:
    """Whether a file name is a running number, a date, or the name that a camera gives."""
    if _PEOPLE.match(text) or re.fullmatch(r"\d{1,6}[-. ]\d{1,4}", text, re.ASCII):  # a person's recording
        return False
    if re.fullmatch(r"\d{1,7}", text, re.ASCII) and rest.startswith("_"):  # of person 17 another recording, or class
        return False
    return bool(_RUNNING.match(text))


def unknown_subject(part: str | None) -> str:
    """Return the subject of scans of unknown people, one per part of the data set."""
    return UNKNOWN if part is None else f"{UNKNOWN} ({part})"


def is_unknown(subject: str) -> bool:
    """Whether a subject, with or without the name of its data set before it, stands for unknown people.

    >>> is_unknown("unknown"), is_unknown("generic/unknown (train)"), is_unknown("anna")
    (True, True, False)
    """
    name = subject.rpartition("/")[2]
    return name == UNKNOWN or name.startswith(f"{UNKNOWN} (")


def check_people(protocol: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Raise ProtocolError if folds by subject would not keep people apart: the subjects of `rows` (manifest rows) are
    all unknown, or unknown in several parts of the data, where the same people may be in each."""
    subjects = {row["subject"] for row in rows}
    unknown = {subject for subject in subjects if is_unknown(subject)}
    if len(unknown) > 1 or (unknown and len(subjects) == 1):
        count = sum(row["subject"] in unknown for row in rows)
        raise ProtocolError(
            f"protocol {protocol} divides people into folds, but {count:,} of {len(rows):,} scans name no person: add "
            "a labels.csv with the columns path and subject to the scans and prepare them again, or use the data's "
            "own folders train and test with --protocol parts"
        )


def notes_on_people(rows: Sequence[Mapping[str, Any]], *, names_people: bool) -> tuple[str, ...]:
    """Return what a result should say about the people in `rows`, manifest rows: one line, or nothing.

    Args:
        names_people: Whether the data set names its subjects, as its card says.
    """
    if not names_people and len({row["subject"] for row in rows}) == len(rows):
        return ("the data set names no people: each picture counts as one, and a person may be in several parts",)
    count = sum(is_unknown(row["subject"]) for row in rows)
    if not count:
        return ()
    return (f"{count:,} of {len(rows):,} scans name no person: whether people are in several parts is unknown",)


def notes_on_subjects(found: Sequence[tuple[str, str]], *, guessed: Mapping[str, str], sure: bool) -> list[str]:
    """Return what should be said about the subjects of a folder, one line each.

    Args:
        found: (relative path, subject) of each scan.
        guessed: Relative path -> the text of the path from which the subject was guessed, such as "00032-08".
        sure: Whether the card lists its subjects, so that their number says nothing.
    """
    notes = [*_unknown_notes(found), *_recording_notes(found, guessed), *_alike_notes({who for _, who in found})]
    return notes if sure else [*notes, *_number_notes(found)]


def _unknown_notes(found: Sequence[tuple[str, str]]) -> list[str]:
    nameless = [relative for relative, who in found if is_unknown(who)]
    if not nameless:
        return []
    return [
        f"{len(nameless):,} of {len(found):,} scans name no person, such as {nameless[0]}: their subject is unknown, "
        "so no protocol can keep people apart; add a labels.csv with the columns path and subject"
    ]


def _recording_notes(found: Sequence[tuple[str, str]], guessed: Mapping[str, str]) -> list[str]:
    """Say that several names were taken for recordings of one person."""
    names: dict[str, set[str]] = defaultdict(set)
    for relative, who in found:
        text = guessed.get(relative, "")
        if unicodedata.normalize("NFC", text).strip().startswith(who):  # else a labels.csv named somebody
            names[who].add(text if text == unicodedata.normalize("NFC", text).strip() else ascii(text))
    merged = {who: sorted(texts) for who, texts in names.items() if len(texts) > 1}
    if not merged:
        return []
    who, texts = next(iter(sorted(merged.items())))
    more = f", and so on for {len(merged) - 1:,} other people" if len(merged) > 1 else ""
    return [
        f"{_some(texts)} are taken for recordings of one person {who}{more}; if they are people, name them in the "
        "column subject of a labels.csv"
    ]


def _alike_notes(subjects: Iterable[str]) -> list[str]:
    """Say that subjects differ in nothing but case, blanks, leading zeros or the form of their letters."""
    alike: dict[str, list[str]] = defaultdict(list)
    for who in sorted(subjects):
        alike[_plain(who)].append(who)
    return [
        f"subjects {_some(names)} differ only in case, blanks, `-` and `_`, leading zeros or accents: taken for "
        f"{len(names)} people; if they are one, give them one name (column subject of a labels.csv)"
        for names in alike.values()
        if len(names) > 1
    ]


def _number_notes(found: Sequence[tuple[str, str]]) -> list[str]:
    """Say that there are as many subjects as scans, or nearly, or only one."""
    counts = Counter(who for _, who in found if not is_unknown(who))
    scans, single = counts.total(), sum(count == 1 for count in counts.values())
    if len(counts) >= _FEW and single >= _SINGLES * len(counts):
        return [
            f"{len(counts):,} subjects for {scans:,} scans, such as {_some(sorted(counts))}: are these people? If a "
            "person has several scans, name the people in the column subject of a labels.csv"
        ]
    if len(counts) == 1 and scans >= _ONE_PERSON:
        return [
            f"all {scans:,} scans are taken for one person, {next(iter(counts))}; if they are several, name them in "
            "the column subject of a labels.csv"
        ]
    return []


def _plain(subject: str) -> str:
    """Reduce a subject to what is left without case, accents, blanks, separators (but between digits) and zeros.

    >>> _plain("P01") == _plain("p 1") == _plain("p_1"), _plain("1-1") == _plain("11"), _plain("10") == _plain("1")
    (True, False, False)
    """
    text = "".join(c for c in unicodedata.normalize("NFKD", subject) if not unicodedata.combining(c)).casefold()
    text = re.sub(r"(?<=\d)[\s_.-]+(?=\d)", "\0", text.strip())
    return re.sub(r"(?<!\d)0+(?=\d)", "", re.sub(r"[\s_.-]+", "", text))


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
