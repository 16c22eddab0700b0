"""Protocols choose scans and divide the subjects into folds for training and testing. A fold never splits a subject.

A data set's own protocols are in a file beside its card, see `fer3d.catalog.protocol_files`. The general protocols,
such as `k-fold` and `leave-one-out`, work for any data. The same protocol, subjects and seed give the same folds.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from operator import index
from pathlib import Path
from typing import Any

import numpy as np

from fer3d.catalog.guessed_subjects import check_people
from fer3d.catalog.protocol_files import GENERAL, ProtocolFacts, own_protocol, protocol_names
from fer3d.checks import check_choice
from fer3d.errors import ProtocolError
from fer3d.scan import EXPRESSIONS, LABELS

Rows = Sequence[Mapping[str, Any]]

PARTS = ("train", "validation", "test")
_MERGED_TEST = "both tests"  # the part of copies of FER-2013 that do not tell the two tests apart
_MOST_NAMES = 3


@dataclass(frozen=True)
class Fold:
    """The subjects for training, validation (early stopping) and testing: sorted ids.

    Attributes:
        round, fold: Numbers of the round and of the fold in it, from 0.
        train, validation, test: Subjects; `validation` may be empty.
    """

    round: int
    fold: int
    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]

    @property
    def name(self) -> str:
        """The name of the fold's folder in a run, such as r00f03."""
        return f"r{self.round:02d}f{self.fold:02d}"

    def parts(self) -> dict[str, tuple[str, ...]]:
        """Return the subjects of each part."""
        return {part: getattr(self, part) for part in PARTS}


@dataclass(frozen=True)
class Protocol:
    """A protocol from which folds can be made.

    Attributes:
        name: Such as "bu3dfe-p1" or "k-fold".
        facts: Its classes, subjects, number of folds and other rules.
        each_out: Whether every subject is a fold of its own (leave-one-out).
        notes: Remarks for the report of a result, such as missing subjects.
    """

    name: str
    facts: ProtocolFacts
    each_out: bool = False
    notes: tuple[str, ...] = field(default=())


def load_protocol(
    name: str, classes: Sequence[str] | None = None, folds: int | None = None, prepared: Path | None = None
) -> Protocol:
    """Load a protocol by name.

    Args:
        name: One of `protocol_names(prepared)`.
        classes: Canonical labels to use, for `k-fold`, `leave-one-out`, `cross` and `parts`. None: the six
            expressions without neutral.
        folds: Number of folds of `k-fold`; None: 10.
        prepared: A prepared folder, whose card may have its own protocols. None: only those of shipped cards.

    Raises:
        ProtocolError: if there is no such protocol (names the nearest), `classes` or `folds` is given for a data set's
            own protocol, or the card of the prepared folder and a shipped card have different protocols `name`.
        CardError: if a folds.toml is not valid.
    """
    if name in GENERAL:
        chosen = tuple(classes) if classes else EXPRESSIONS[1:]
        _check_classes(chosen)
        facts = ProtocolFacts(title=name, source="general", classes=chosen, folds=folds or 10)
        return Protocol(name, facts, each_out=name == "leave-one-out")
    check_choice("protocol", name, protocol_names(prepared), ProtocolError)
    if classes is not None or folds is not None:
        raise ProtocolError(f"`protocol` {name} has its own classes and folds; use k-fold to choose them")
    return Protocol(name, own_protocol(name, prepared))


def choose_rows(protocol: Protocol, rows: Rows) -> list[Mapping[str, Any]]:
    """Choose the scans that a protocol uses: by class, intensity and attributes and, in sequences, the middle or last
    frames."""
    import json

    facts = protocol.facts

    def fits(row: Mapping[str, Any]) -> bool:
        attributes = json.loads(row["attributes"] or "{}") if facts.where else {}
        return (
            row["expression"] in facts.classes
            and (not facts.intensities or row["intensity"] in facts.intensities)
            and all(str(attributes.get(key)) == value for key, value in facts.where.items())
        )

    kept = [row for row in rows if fits(row)]
    number = facts.frames or facts.last_frames
    return kept if number is None else _frames(kept, number, last=facts.frames is None)


def make_folds(
    protocol: Protocol,
    rows: Rows,
    *,
    rounds: int = 1,
    seed: int = 0,
    validation: bool = False,
    allow_missing: bool = False,
) -> tuple[Protocol, list[Fold]]:
    """Divide the subjects of `rows` into folds.

    A round shuffles its subjects and cuts them into blocks. Fold k tests on block k, validates on block k + 1 if
    `validation` is set, and trains on the rest. If all subjects have equally many scans, block sizes differ by at most
    one subject; otherwise the number of scans is balanced.

    Args:
        protocol: A protocol from `load_protocol`.
        rows: The scans that `choose_rows` returned.
        rounds: Number of rounds. Each shuffles the subjects again and, if the protocol says so, draws them again.
        seed: Seed for shuffling and drawing. Round r does not depend on the number of rounds.
        validation: Whether to use one block for validation: 48 / 6 / 6 subjects instead of 54 / 6.
        allow_missing: Make folds of the available subjects if the protocol wants more.

    Returns:
        The protocol, with notes on missing subjects, and a list of rounds x folds folds.

    Raises:
        ProtocolError: if subjects are missing (counts them and names a few), there are fewer subjects than folds, or
            the scans name no people (see `check_people`).
    """
    if rounds < 1:
        raise ProtocolError(f"`rounds` should be at least 1, is {rounds}")
    check_people(protocol.name, rows)
    protocol, subjects = _eligible(protocol, rows, allow_missing)
    counts = Counter(row["subject"] for row in rows)
    folds: list[Fold] = []
    drawn = _draw(protocol, subjects, np.random.default_rng([seed, 0xD4A3]))
    for number in range(rounds):
        random = np.random.default_rng([seed, number])
        if protocol.facts.redraw:
            drawn = _draw(protocol, subjects, random)
        blocks = _blocks(protocol, drawn, counts, random)
        folds += [_fold(number, k, blocks, validation) for k in range(len(blocks))]
    check_folds(folds)
    return protocol, folds


def cross_fold(train_rows: Rows, test_rows: Rows) -> list[Fold]:
    """Make one fold that trains on all subjects of one data set and tests on all subjects of another.

    Raises:
        ProtocolError: if a subject is in both data sets, or one has no rows.
    """
    train, test = (tuple(sorted({row["subject"] for row in rows})) for rows in (train_rows, test_rows))
    folds = [Fold(0, 0, train, (), test)]
    check_folds(folds)
    return folds


def part_folds(rows: Rows) -> list[Fold]:
    """Use the data set's own parts (train, validation, test), as the attribute `part` of each row says, as one fold; or
    make several folds from the attribute `folds`, which holds one part per fold, separated by spaces.

    A data set without a test part is tested on its validation part, as is customary if the test labels were never
    published. The fold then has no validation part.

    Raises:
        ProtocolError: if no row has a part, rows have different numbers of folds, a subject is in two parts of a fold,
            or the train part or both other parts are empty.
    """
    import json

    row_attributes = [json.loads(row["attributes"] or "{}") for row in rows]
    parts = [
        attributes["folds"].split() if "folds" in attributes else [str(attributes.get("part"))]
        for attributes in row_attributes
    ]
    counts = sorted({len(each) for each in parts})
    if len(counts) != 1:
        raise ProtocolError(f"protocol parts: wanted as many folds of every scan, got {', '.join(map(str, counts))}")
    folds = []
    for number in range(counts[0]):
        members: dict[str, set[str]] = defaultdict(set)
        for row, each in zip(rows, parts, strict=True):
            members["test" if each[number] == _MERGED_TEST else each[number]].add(row["subject"])
        if not members.get("train") or not (members.get("test") or members.get("validation")):
            raise ProtocolError(
                "protocol parts: wanted scans of the parts train and test or validation, "
                f"got {', '.join(sorted(members))}"
            )
        train, validation, test = (tuple(sorted(members.get(part, ()))) for part in PARTS)
        folds.append(Fold(0, number, train, validation, test) if test else Fold(0, number, train, (), validation))
    check_folds(folds)
    return folds


def check_folds(folds: Sequence[Fold]) -> None:
    """Raise ProtocolError if a subject is in two parts of a fold, or the train or test part is empty."""
    if not folds:
        raise ProtocolError("`folds` should hold at least one fold, holds none")
    for fold in folds:
        part_of: dict[str, str] = {}
        for part, subjects in fold.parts().items():
            if not subjects and part != "validation":
                raise ProtocolError(f"round {fold.round}, fold {fold.fold}: the {part} part has no subject")
            for subject in subjects:
                if subject in part_of:
                    where = f"round {fold.round}, fold {fold.fold}"
                    raise ProtocolError(f"{where}: subject {subject} is in {part_of[subject]} and in {part}")
                part_of[subject] = part


def check_scans(folds: Sequence[Fold], rows: Rows) -> None:
    """Raise ProtocolError if a subject of a fold has no scan among `rows`."""
    at_hand = {row["subject"] for row in rows}
    for fold in folds:
        for part, subjects in fold.parts().items():
            missing = [subject for subject in subjects if subject not in at_hand]
            if missing:
                raise ProtocolError(
                    f"round {fold.round}, fold {fold.fold}: {len(missing)} of {len(subjects)} {part} subjects have no "
                    f"scan in the data: {_first_names(missing)}"
                )


def folds_to_json(folds: Sequence[Fold]) -> list[dict[str, Any]]:
    """Convert folds to the content of `folds.json`."""
    return [asdict(fold) for fold in folds]


def folds_from_json(content: Any, where: str) -> list[Fold]:
    """Convert the content of a `folds.json` to folds, and check them.

    Raises:
        ProtocolError: if it is not a list of folds, or `check_folds` rejects them. The message begins with `where`.
    """
    try:
        if not isinstance(content, list):
            raise TypeError
        folds = [
            Fold(index(item["round"]), index(item["fold"]), *(_names(item[part]) for part in PARTS)) for item in content
        ]
    except (TypeError, KeyError, ValueError, OverflowError):
        raise ProtocolError(
            f'{where}: wanted a list of {{"round", "fold", "train", "validation", "test"}}, got something else'
        ) from None
    try:
        check_folds(folds)
    except ProtocolError as error:
        raise ProtocolError(f"{where}: {error}") from None
    return folds


def _names(value: Any) -> tuple[str, ...]:
    """Return a list of subjects, texts or numbers, as a tuple. TypeError if it is anything else, such as one text."""
    if not isinstance(value, list) or not all(isinstance(name, str | int) for name in value):
        raise TypeError
    return tuple(map(str, value))


def _check_classes(classes: Sequence[str]) -> None:
    check_choice("classes", tuple(classes), LABELS, ProtocolError)
    if len(set(classes)) < 2:
        raise ProtocolError(f"`classes` should hold at least two names, holds {', '.join(classes)}")


def _eligible(protocol: Protocol, rows: Rows, allow_missing: bool) -> tuple[Protocol, list[str]]:
    """Return the sorted eligible subjects, and the protocol with a note if missing subjects are allowed."""
    facts = protocol.facts
    classes_of: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        classes_of[row["subject"]].add(row["expression"])
    at_hand = sorted(s for s, classes in classes_of.items() if not facts.complete or len(classes) == len(facts.classes))
    if facts.subjects:
        missing = [subject for subject in facts.subjects if subject not in at_hand]
        at_hand = [subject for subject in at_hand if subject in facts.subjects]
        wanted, text = len(facts.subjects), f": {_first_names(missing)}"
    else:
        wanted = facts.draw or 0
        missing, text = ["?"] * (wanted - len(at_hand)), ""
    if missing:
        note = f"protocol {protocol.name}: {len(missing)} of {wanted} subjects have no scan in the data{text}"
        if not allow_missing:
            raise ProtocolError(f"{note}; --allow-missing makes folds of the {len(at_hand)} at hand")
        protocol = replace(protocol, notes=(*protocol.notes, f"{note}; folds are of the {len(at_hand)} at hand"))
    return protocol, at_hand


def _draw(protocol: Protocol, subjects: Sequence[str], random: np.random.Generator) -> list[str]:
    number = protocol.facts.draw
    if number is None or number >= len(subjects):
        return list(subjects)
    return sorted(np.asarray(subjects)[random.choice(len(subjects), number, replace=False)].tolist())


def _blocks(
    protocol: Protocol, subjects: Sequence[str], counts: Mapping[str, int], random: np.random.Generator
) -> list[list[str]]:
    """Shuffle the subjects and divide them into one block per fold."""
    number = len(subjects) if protocol.each_out else protocol.facts.folds
    if len(subjects) < number or len(subjects) < 2:
        raise ProtocolError(
            f"protocol {protocol.name}: {number} folds want at least {max(number, 2)} subjects, the data has "
            f"{len(subjects)}: a fold would be empty"
        )
    shuffled: list[str] = random.permutation(np.asarray(subjects, dtype=object)).tolist()
    if len({counts[subject] for subject in subjects}) == 1:
        return [part.tolist() for part in np.array_split(np.asarray(shuffled, dtype=object), number)]
    blocks: list[list[str]] = [[] for _ in range(number)]
    for subject in sorted(
        shuffled, key=lambda s: -counts[s]
    ):  # a stable sort: the shuffle orders subjects with equal counts
        min(blocks, key=lambda block: (sum(counts[s] for s in block), len(block))).append(subject)
    return blocks


def _fold(number: int, k: int, blocks: Sequence[Sequence[str]], validation: bool) -> Fold:
    after = (k + 1) % len(blocks) if validation else k
    train = [s for index, block in enumerate(blocks) if index not in (k, after) for s in block]
    validating = blocks[after] if validation else ()
    return Fold(number, k, tuple(sorted(train)), tuple(sorted(validating)), tuple(sorted(blocks[k])))


def _frames(rows: Rows, number: int, last: bool) -> list[Mapping[str, Any]]:
    """Take `number` rows of each sequence, from its middle or from its end."""
    sequences: dict[Any, list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        sequences[row["sequence"] or row["id"]].append(row)
    kept = []
    for frames in sequences.values():
        frames.sort(key=lambda row: row["frame"] or 0)
        start = max((len(frames) - number) // (1 if last else 2), 0)
        kept += frames[start : start + number]
    return sorted(kept, key=lambda row: row["id"])


def _first_names(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
