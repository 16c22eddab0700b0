"""`Card`: the facts about a data set, read from a `dataset.toml`. `datasets/README.md` explains every key."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from string import Formatter
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    ValidationError,
    field_validator,
    model_validator,
)

import fer3d
from fer3d.catalog.card_targets import Scale, Scoring, Targets, Text
from fer3d.checks import did_you_mean, nearest
from fer3d.errors import CardError
from fer3d.files import brief, read_toml
from fer3d.scan import LABELS

# The named groups of a pattern that become fields of a record. Every other group becomes an attribute of the record.
FIELD_GROUPS = (
    "subject",
    "expression",
    "intensity",
    "sequence",
    "frame",
    "action_units",
    "compound",
    "valence",
    "arousal",
    "pose",
    "occlusion",
    "folder_subject",  # the subject that the enclosing folder names; it must equal `subject`
)
# The words that a template may use besides the groups of the patterns.
TEMPLATE_WORDS = ("stem", "name", "folder", "path")

# The folder of the shipped cards: inside an installed package, or beside the package in a checkout.
_PACKAGE = Path(fer3d.__file__).parent
SHIPPED = next(folder for folder in (_PACKAGE / "datasets", _PACKAGE.parent / "datasets") if folder.is_dir())

# The layouts of label files that can be read. `fer3d.catalog.labels.sources` has a reader for each.
LabelSource = Literal[
    "fer2013", "fer2013-folders", "ferplus", "ckplus", "rafdb", "affectnet", "affectnet-files", "mmi", "tfd"
]

Axis = Literal["+x", "-x", "+y", "-y", "+z", "-z", "auto"]


class _Facts(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Companion(_Facts):
    """Files that accompany a scan in one role: templates relative to its folder. The first that exists is used."""

    files: Annotated[tuple[Text, ...], Field(min_length=1)]
    wanted: StrictBool  # True: a scan without such a file is reported


class Pose(_Facts):
    """A head pose in degrees; nan where an angle is not known."""

    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0

    def radians(self) -> tuple[float, float, float]:
        """Return (yaw, pitch, roll) in radians: right-handed about +y (to the subject's left), +x (down) and +z."""
        return math.radians(self.yaw), math.radians(self.pitch), math.radians(self.roll)


class Crops(_Facts):
    """Which pictures of a data set are crops of faces, to be used as they are: those that fulfil all conditions."""

    pixels: Annotated[StrictInt, Field(ge=1)] | None = None  # no side is longer
    where: dict[str, str] = {}  # attributes of the record

    def hold(self, attributes: Mapping[str, str], shape: tuple[int, ...]) -> bool:
        """Whether a picture of shape (H, W, ...), whose record has these attributes, is a crop.

        >>> Crops(pixels=48).hold({}, (48, 48, 3)), Crops(where={"version": "aligned"}).hold({}, (48, 48, 3))
        (True, False)
        """
        small = self.pixels is None or max(shape[:2]) <= self.pixels
        return small and all(attributes.get(key) == word for key, word in self.where.items())


class Expected(_Facts):
    """The contents of a complete copy of the data set. Every field is optional; an unset field is not checked."""

    subjects: tuple[str, ...] = ()
    people: StrictInt | None = None  # number of subjects, where their ids are not listed
    scans: StrictInt | None = None
    sequences: StrictInt | None = None
    classes: dict[str, StrictInt] = {}  # label or other label -> number of scans, or of sequences (see `counted`)
    parts: dict[str, dict[str, StrictInt]] = {}  # part (train, ...) -> `classes` of that part
    counted: Literal["scans", "sequences"] = "scans"
    per_subject: dict[str, StrictInt | tuple[StrictInt, ...]] = {}  # class -> number of scans, or its intensities

    @field_validator("subjects")
    @classmethod
    def _expand(cls, subjects: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(name for item in subjects for name in expand_range(item))

    @field_validator("per_subject")
    @classmethod
    def _canonical(cls, per_subject: dict[str, Any]) -> dict[str, Any]:
        _check_labels(per_subject)
        return per_subject


class Card(_Facts):
    """Facts about a data set: its source, the names of its files, and the meaning of its labels."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
    title: Text
    kind: Literal["scans", "pictures"] = "scans"
    crops: StrictBool | Crops = False
    source: Text
    licence: Text
    citation: Text
    obtain: Text
    leakage: Text

    unit: Literal["mm", "cm", "m", "auto"]
    up: Axis
    towards_camera: Axis

    layout: Text
    look_above: Annotated[StrictInt, Field(ge=0, le=3)] = 0
    patterns: tuple[Text, ...]
    id: Text = "{stem}"
    subject: Text = "{subject}"
    sequence: Text | None = None
    guess: StrictBool = False  # True: any path may match, see `fer3d.catalog.guessed_subjects`
    evidence: tuple[Text, ...] = ()
    labels_from: LabelSource | None = None
    constant: tuple[str, ...] = ()
    ignored: tuple[Text, ...] = ()

    labels: dict[str, str]
    other_labels: dict[str, str] = {}
    targets: Targets = Targets()
    values: dict[str, dict[str, str]] = {}
    poses: dict[str, Pose] = {}
    occlusions: dict[str, str] = {}
    companions: dict[str, Companion] = {}
    expected: Expected = Expected()

    @model_validator(mode="before")
    @classmethod
    def _flat(cls, data: Any) -> Any:
        """Fill in unit and axes for a data set of pictures, which has neither."""
        if isinstance(data, dict) and data.get("kind") == "pictures":
            return {"unit": "auto", "up": "auto", "towards_camera": "auto"} | data
        return data

    @field_validator("labels")
    @classmethod
    def _canonical_labels(cls, labels: dict[str, str]) -> dict[str, str]:
        _check_labels(labels.values())
        return labels

    @field_validator("companions")
    @classmethod
    def _no_scan_role(cls, companions: dict[str, Companion]) -> dict[str, Companion]:
        if "scan" in companions:
            raise ValueError("wanted roles other than `scan`, which is the scan itself, got 'scan'")
        return companions

    @model_validator(mode="after")
    def _consistent(self) -> Card:
        if not self.patterns and self.labels_from is None:
            raise ValueError("`patterns`: wanted at least one, got none")
        if self.guess and not self.names_people:
            raise ValueError(f"`guess`: wanted false with `subject` {self.subject}, got true")
        for key in ("patterns", "ignored", "evidence"):
            for pattern in getattr(self, key):
                compiled = _compile(key, pattern, labels="x", suffixes="x")
                if key == "patterns" and "subject" not in compiled.groupindex and self.names_people:
                    raise ValueError(f"`patterns`: wanted a group (?P<subject>...) in each, got {pattern!r}")
        known = {*self.groups, *TEMPLATE_WORDS, "subject"}
        templates: dict[str, tuple[str, ...]] = {
            "id": (self.id,),
            "subject": (self.subject,),
            "sequence": (self.sequence or "",),
        }
        templates |= {f"companions.{role}.files": companion.files for role, companion in self.companions.items()}
        for key, texts in templates.items():
            for text in texts:
                _check_template(key, text, known)
        for key, groups in {"constant": self.constant, "values": self.values}.items():
            strange = sorted(set(groups) - self.groups - ({"part", "folds"} if self.labels_from else set()))
            if strange:
                raise ValueError(f"`{key}`: wanted named groups of the patterns, got {strange[0]!r}")
        if self.crops and self.kind != "pictures":
            raise ValueError("`crops`: wanted kind pictures, got scans")
        for key in self.crops.where if isinstance(self.crops, Crops) else ():
            if key not in self.groups:
                raise ValueError(f"`crops.where`: wanted named groups of the patterns, got {key!r}")
        if "auto" not in (self.up, self.towards_camera) and self.up[1] == self.towards_camera[1]:
            raise ValueError(f"`towards_camera`: wanted an axis across `up` {self.up}, got {self.towards_camera}")
        return self

    @property
    def names_people(self) -> bool:
        """Whether the patterns have a group for the subject. If not, each picture or clip is a subject of its own."""
        return self.subject == "{subject}"

    @cached_property
    def groups(self) -> frozenset[str]:
        """The names of all groups in the patterns."""
        return frozenset(name for text in self.patterns for name in _compile("patterns", text, "x", "x").groupindex)

    @cached_property
    def words(self) -> Mapping[str, str]:
        """Word -> canonical label, for the card's words and the canonical labels themselves."""
        return {**{label: label for label in LABELS}, **self.labels}

    @cached_property
    def _folded(self) -> Mapping[str, str]:
        return {word.casefold(): label for word, label in self.words.items() if len(word) > 2}

    @cached_property
    def matchers(self) -> tuple[re.Pattern[str], ...]:
        """The compiled patterns. Each matches the tail of a POSIX path, beginning at the start of a path component."""
        labels, suffixes = _any_label(self.words), ""
        if any("%suffixes%" in pattern for pattern in self.patterns):
            if self.kind == "pictures":
                from fer3d.formats.pictures import SUFFIXES

                suffixes = _any_suffix(SUFFIXES)
            else:
                from fer3d.formats.suffixes import scan_suffixes

                suffixes = _any_suffix(scan_suffixes())
        return tuple(_compile("patterns", pattern, labels, suffixes) for pattern in self.patterns)

    @cached_property
    def ignorers(self) -> tuple[re.Pattern[str], ...]:
        """The patterns in `ignored`, compiled in the same way."""
        return tuple(_compile("ignored", pattern, "x", "x") for pattern in self.ignored)

    @cached_property
    def proofs(self) -> tuple[re.Pattern[str], ...]:
        """The patterns in `evidence`, compiled in the same way."""
        return tuple(_compile("evidence", pattern, "x", "x") for pattern in self.evidence)

    @cached_property
    def _folded_values(self) -> Mapping[tuple[str, str], str]:
        pairs = ((group, code, word) for group, words in self.values.items() for code, word in words.items())
        return {(group, code.casefold()): word for group, code, word in pairs if len(code) > 2}

    def value(self, group: str, text: str) -> str:
        """Return the word for a code of a group, or the code. Case matters only in codes of one or two letters."""
        word = self.values.get(group, {}).get(text)
        return word if word is not None else self._folded_values.get((group, text.casefold()), text)

    def label(self, word: str) -> str | None:
        """Return the canonical label of a word of the data set, or None. Words of up to two letters are case-sensitive.

        >>> card = load_card("generic")
        >>> card.label("Happy"), card.label("HA"), card.label("ha")
        ('happiness', 'happiness', None)
        """
        return self.words.get(word) or self._folded.get(word.casefold())

    def match(self, path: str) -> re.Match[str] | None:
        """Return the match of the first pattern that fits the tail of a POSIX path, or None.

        >>> load_card("bu4dfe").match("scans/F001/Angry/007.wrl").group("frame")
        '007'
        """
        for matcher in self.matchers:
            if match := matcher.search(path):
                return match
        return None


def shipped_cards() -> tuple[str, ...]:
    """Return the names of the cards in the package."""
    return tuple(sorted(file.parent.name for file in SHIPPED.glob("*/dataset.toml")))


def load_card(name_or_path: str | Path) -> Card:
    """Read and check a card.

    Args:
        name_or_path: The name of a shipped card ("bu3dfe"), a `dataset.toml`, or the folder that holds one.

    Raises:
        CardError: if there is no such card, or it is not valid. The message is one line with the file, the key, the
            expected value and the actual value.
    """
    file = card_file(name_or_path)
    data = read_toml(file, CardError)
    try:
        return Card.model_validate(data)
    except ValidationError as error:
        raise CardError(f"{file}: {_one_line(error)}") from error


def card_file(name_or_path: str | Path) -> Path:
    """Return the `dataset.toml` that `load_card` reads. CardError if there is none."""
    if isinstance(name_or_path, str) and name_or_path in shipped_cards():
        return SHIPPED / name_or_path / "dataset.toml"
    path = Path(name_or_path)
    try:
        file = path / "dataset.toml" if path.is_dir() else path
        found = file.is_file()
    except OSError:  # a name too long
        found = False
    if not found:
        known = shipped_cards()
        hint = did_you_mean(name_or_path, known)
        raise CardError(f"no data set card {brief(str(name_or_path))}: wanted {_listed(known)} or a dataset.toml{hint}")
    return file


def _one_line(error: ValidationError) -> str:
    """Reword the first error of pydantic in the style of this package."""
    first = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in first["loc"])
    kind, message = first["type"], first["msg"].removeprefix("Value error, ")
    if kind == "missing":
        text = f"`{key}` is missing: wanted a key of that name"
    elif kind == "extra_forbidden":
        text = f"`{key}`: wanted a known key, got {brief(first['loc'][-1])}"
        text += did_you_mean(first["loc"][-1], _keys_at(first["loc"][:-1]))
    elif kind == "value_error":
        text = f"`{key}`: {message}" if key else message
    else:
        wanted = message.replace("Input should be", "").replace("String should", "a text that should").strip()
        text = f"`{key}`: wanted {wanted}, got {brief(first['input'])}"
    more = error.error_count() - 1
    unknown = [e["loc"][-1] for e in error.errors(include_url=False) if e["type"] == "extra_forbidden"]
    meant = nearest(first["loc"][-1], map(str, unknown)) if kind == "missing" else None
    hint = f"; rename {meant!r} to {first['loc'][-1]!r}" if meant else ""
    return " ".join(text.split()) + (f" (and {more} more)" if more else "") + hint


def _keys_at(place: Sequence[int | str]) -> list[str]:
    """Return the keys that a table of a card may have: of the card itself, or of the table at a place in it."""
    tables = {
        "expected": (Expected,),
        "targets": (Targets, Scale, Scoring),
        "companions": (Companion,),
        "poses": (Pose,),
    }
    kinds = tables.get(str(place[0]), ()) if place else (Card,)
    return [key for kind in kinds for key in kind.model_fields]


def _listed(words: Iterable[str]) -> str:
    return ", ".join(words)


def _check_labels(labels: Iterable[str]) -> None:
    for label in labels:
        if label not in LABELS:
            raise ValueError(
                f"wanted canonical labels ({_listed(LABELS)}), got {brief(label)}{did_you_mean(label, LABELS)}"
            )


def _check_template(key: str, text: str, known: set[str]) -> None:
    try:
        parts = list(Formatter().parse(text))
    except ValueError as error:
        raise ValueError(f"`{key}`: wanted a template such as '{{stem}}.bnd', got {text!r}: {error}") from error
    for _, field, spec, conversion in parts:
        if field is not None and (field not in known or spec or conversion):
            raise ValueError(f"`{key}`: wanted {{{'}, {'.join(sorted(known))}}} in templates, got {text!r}")


def _compile(key: str, pattern: str, labels: str, suffixes: str) -> re.Pattern[str]:
    filled = pattern.replace("%labels%", labels).replace("%suffixes%", suffixes)
    try:
        re.compile(filled)  # alone first, so that an error message quotes the pattern of the card
        return re.compile(rf"(?:^|/)(?:{filled})\Z")
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"`{key}`: wanted a regular expression, got {pattern!r}: {error}") from error


def _any_label(words: Iterable[str]) -> str:
    """Build a pattern for any of the words, longest first. Only words of one or two letters are case-sensitive."""
    ordered = sorted(set(words), key=lambda word: (-len(word), word))
    long = "|".join(re.escape(word) for word in ordered if len(word) > 2)
    return "|".join(["(?:(?i:" + long + ")", *(re.escape(word) for word in ordered if len(word) <= 2)]) + ")"


def _any_suffix(suffixes: Iterable[str]) -> str:
    return "(?i:" + "|".join(re.escape(suffix) for suffix in sorted(suffixes, key=lambda s: (-len(s), s))) + ")"


def expand_range(item: str) -> tuple[str, ...]:
    """Expand a range: 'F0001..F0003' -> F0001, F0002, F0003. Any other text is returned as it is."""
    low, dots, high = item.partition("..")
    if not dots:
        return (item,)
    ends = [re.fullmatch(r"(\D*)(\d{1,6})", end) for end in (low, high)]
    if ends[0] is None or ends[1] is None or ends[0][1] != ends[1][1] or int(ends[0][2]) > int(ends[1][2]):
        raise ValueError(f"wanted a range such as 'F001..F058', got {item!r}")
    width = len(ends[0][2])
    return tuple(f"{ends[0][1]}{n:0{width}d}" for n in range(int(ends[0][2]), int(ends[1][2]) + 1))
