"""Labels of CK+: the emotion and the action units of one frame of each sequence, its peak.

The number of a frame says what it shows: frame 1 is the onset, which is neutral, and the label files name their frame.
The place of a frame in its folder says nothing: in copies with only the last frames, the first frame is no onset.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from fer3d.catalog.cards import Card
from fer3d.catalog.folder_listing import Listing
from fer3d.catalog.label_table import Row, brief
from fer3d.catalog.labels.reading import Labels, label_fields, read_text

ONSET = 1  # number of the first frame of a sequence
_FRAME = re.compile(r"(?:^|/)(S\d{3}_\d{3})_(\d{8})\.(?i:png|jpe?g|bmp|tiff?)\Z", re.ASCII)
_NUMBERED = re.compile(r"(?:^|/)\d/S\d{3}_\d{3}_\d{8}\.", re.ASCII)
_FILE = re.compile(r"(?:^|/)(S\d{3}_\d{3})_(\d{8})_(emotion|facs)\.txt\Z", re.ASCII)
# Action units of the prototypes of each emotion, and of their variants. An emotion without any of them contradicts its
# units. From memory of the table in Lucey et al. (2010), with more units than there, so that only nonsense is reported.
_UNITS = {
    "anger": {4, 5, 7, 10, 17, 22, 23, 24},
    "contempt": {12, 14},
    "disgust": {4, 9, 10, 16, 17},
    "fear": {1, 2, 4, 5, 20, 25, 26, 27},
    "happiness": {6, 12},
    "sadness": {1, 4, 6, 11, 15, 17},
    "surprise": {1, 2, 5, 25, 26, 27},
}


class _LabelFile(NamedTuple):
    """A label file: its name, the number of its frame, and its lines of numbers; () if it is damaged."""

    name: str
    frame: int
    lines: tuple[tuple[int, ...], ...]


@dataclass
class _Sequence:
    """The frames and label files of a sequence: number of a frame -> its pictures; kind -> its files."""

    frames: dict[int, list[str]] = field(default_factory=dict)
    files: dict[str, list[_LabelFile]] = field(default_factory=lambda: {"emotion": [], "facs": []})


def ckplus(listing: Listing, card: Card) -> Labels:
    """Read `Emotion*/S005/001/*_emotion.txt` and `FACS*/...`: labels of the frames that they name."""
    labels = Labels()
    sequences: dict[str, _Sequence] = {}
    for name in listing.files:
        if match := _FRAME.search(name):
            sequences.setdefault(match[1], _Sequence()).frames.setdefault(int(match[2]), []).append(name)
        elif match := _FILE.search(name):
            labels.used.add(name)
            file = _LabelFile(name, int(match[2]), _numbers(listing, name, match[3], labels.notes))
            sequences.setdefault(match[1], _Sequence()).files[match[3]].append(file)
    if any(_NUMBERED.search(name) for name in listing.files):
        labels.notes.append(
            "class folders are numbers, which copies of CK+ use in different ways: rename them to anger, ..."
        )
    for sequence, content in sorted(sequences.items()):
        _label_sequence(labels, card, sequence, content)
    return labels


def _label_sequence(labels: Labels, card: Card, sequence: str, content: _Sequence) -> None:
    frames = sorted(content.frames)
    named = {file.frame for files in content.files.values() for file in files}
    last = max([*frames, *named])
    for frame, names in content.frames.items():
        fields = {"expression": "neutral"} if frame == ONSET and frame not in named else {}
        away = {"from_end": str(last - frame if named else len(frames) - 1 - frames.index(frame))}
        labels.rows |= {name: Row(0, fields, away, source=f"frame {ONSET}, the onset") for name in names}
    for file in (file for files in content.files.values() for file in files):
        if not frames:
            labels.notes.append(f"{file.name}: wanted frames of sequence {sequence}, found none")
        elif file.frame not in content.frames:
            labels.notes.append(
                f"{file.name}: wanted frame {file.frame:08d} of sequence {sequence}, found {_listed(frames)}: not used"
            )
    for frame in sorted(named & content.frames.keys()):
        _label_frame(labels, card, content, frame)
    _check_one_peak(labels, content, sequence)


def _label_frame(labels: Labels, card: Card, content: _Sequence, frame: int) -> None:
    """Give the pictures of a frame what the label files of this frame say, if they agree."""
    emotions = [file for file in content.files["emotion"] if file.frame == frame]
    units = [file for file in content.files["facs"] if file.frame == frame and file.lines]
    fields, attributes, problems = _emotion(card, emotions)
    if len({frozenset(file.lines) for file in units}) > 1:
        problems.append(f"{_names(units)} have different action units: none is used")
    elif units:
        fields["action_units"] = tuple(dict.fromkeys(_code(line) for line in units[0].lines))
        shown = {line[0] for line in units[0].lines}
        usual = _UNITS.get(fields.get("expression", ""))
        if usual and not shown & usual:
            problems.append(
                f"{emotions[0].name} says {fields['expression']}, {units[0].name} has none of its action units "
                f"{', '.join(f'AU{unit}' for unit in sorted(usual))}"
            )
    if frame == ONSET and fields.get("expression", "neutral") != "neutral":
        problems.append(f"{emotions[0].name} says {fields.pop('expression')}, frame {ONSET} is an onset: not used")
    labels.notes += problems
    for name in content.frames[frame]:
        row = labels.rows[name]
        source = emotions[0].name if emotions else row.source
        labels.rows[name] = Row(0, fields, {**row.attributes, **attributes}, tuple(problems), source)


def _emotion(card: Card, files: list[_LabelFile]) -> tuple[dict[str, Any], dict[str, str], list[str]]:
    """Return the fields, attributes and problems that the emotion files of one frame give."""
    if not files:
        return {}, {}, []
    codes = {str(file.lines[0][0]) if len(file.lines) == 1 and len(file.lines[0]) == 1 else "none" for file in files}
    if len(codes) > 1:
        return {}, {}, [f"{_names(files)} say {', '.join(sorted(codes))}: no expression is used"]
    fields, attributes = label_fields(card, codes.pop(), files[0].name)
    return fields, attributes, []


def _check_one_peak(labels: Labels, content: _Sequence, sequence: str) -> None:
    """Note label files of one sequence that name several frames: it has one peak. Different emotions are not used."""
    files = [file for kind in content.files.values() for file in kind]
    if len({file.frame for file in files}) < 2:
        return
    note = f"sequence {sequence} has label files of several frames, {_names(files)}: wanted those of its peak"
    emotions = content.files["emotion"]
    differ = len({file.lines for file in emotions}) > 1
    labels.notes.append(f"{note}; their emotions differ: none is used" if differ else note)
    for file in emotions if differ else ():
        for name in content.frames.get(file.frame, ()):
            row = labels.rows[name]
            fields: Mapping[str, Any] = {key: value for key, value in row.fields.items() if key != "expression"}
            labels.rows[name] = Row(0, fields, row.attributes, (*row.problems, note), row.source)


def _numbers(listing: Listing, name: str, kind: str, notes: list[str]) -> tuple[tuple[int, ...], ...]:
    """Read whole numbers, written as decimals, line by line from a text file. (), with a note, if it has others."""
    text = read_text(listing, name, notes)
    if text is None:
        return ()
    try:
        numbers = [[float(word) for word in line.split()] for line in text.splitlines() if line.strip()]
    except ValueError:
        numbers = []
    if not numbers or not all(number.is_integer() for line in numbers for number in line):
        notes.append(f"{name}: wanted whole numbers, got {brief(text)!r}")
        return ()
    few = kind == "emotion" or all(len(line) <= 2 and line[0] >= 1 for line in numbers)
    if not few or not all(0 <= number < 100 for line in numbers for number in line):
        wanted = "one number" if kind == "emotion" else "lines of an action unit and an intensity"
        notes.append(f"{name}: wanted {wanted}, each below 100, got {brief(text)!r}")
        return ()
    return tuple(tuple(int(number) for number in line) for line in numbers)


def _code(line: tuple[int, ...]) -> str:
    """Return the code of an action unit from its number and its intensity, 1 to 5, or 0 if it is not given."""
    return f"AU{line[0]}" + ("ABCDE"[line[1] - 1] if len(line) > 1 and 1 <= line[1] <= 5 else "")


def _names(files: list[_LabelFile]) -> str:
    return " and ".join(file.name for file in files)


def _listed(frames: list[int]) -> str:
    return f"frames {frames[0]:08d} to {frames[-1]:08d}" if len(frames) > 1 else f"frame {frames[0]:08d}"
