"""Who and what is in training and test: from a file of folds, from other rows of the table, or from its folds."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer3d.errors import FormatError
from fer3d.evaluate.audit.columns import PARTS, ROLES, find_columns, listed, part_of
from fer3d.evaluate.audit.predictions import Key, Tested, Texts, canonical_keys, fold_text, keys_of, texts_of
from fer3d.evaluate.audit.tables import read_columns
from fer3d.files import brief, read_json

NAMED = ("subject", "id", "hash", "content", "sequence")  # roles whose values are looked for in two parts
_STRANGE = 0.5  # share of the predictions from which on a file of folds is of another division
_MANY = 0.5  # share of the scans in several folds from which on the folds are draws, not parts of one whole


@dataclass(frozen=True)
class Parts:
    """Which values of each role are in which part of which fold.

    Attributes:
        source: Where this is from, in words.
        whole: Whether the folds are parts of one whole, each trained on the others; else the parts are listed.
        where: Role -> value, comparable -> the (key, part) that it is in.
        spelt: Role -> value, comparable -> as it is written.
        aligned: Whether the keys are those of the predictions.
    """

    source: str
    whole: bool
    where: Mapping[str, Mapping[str, frozenset[tuple[Key, str]]]]
    spelt: Mapping[str, Mapping[str, str]]
    aligned: bool

    def knows(self, role: str) -> bool:
        """Whether values of a role are known in training and test."""
        parts = {part for places in self.where.get(role, {}).values() for _, part in places}
        return "test" in parts and (self.whole or "train" in parts)

    def shared(self, role: str, other: str = "train") -> dict[str, frozenset[Key]]:
        """Value, comparable -> folds in which it is in the part `other` and in the test."""
        found = {}
        for value, places in self.where.get(role, {}).items():
            tested = {key for key, part in places if part == "test"}
            if not self.whole:
                tested &= {key for key, part in places if part == other}
            elif other == "train":
                times = Counter(number for number, _ in tested)
                tested = {key for key in tested if times[key[0]] > 1}
            else:
                tested = set()
            if tested:
                found[value] = frozenset(tested)
        return found

    def names(self, role: str, values: Iterable[str]) -> list[str]:
        """Values as they are written."""
        return [self.spelt[role][value] for value in values]

    @cached_property
    def redrawn(self) -> bool:
        """Whether folds that name no training set are draws of their own: most scans are tested in several."""
        scans = self.where.get("id", {})
        return self.whole and len(self.shared("id")) > _MANY * len(scans) > 0

    def rows(self, tested: Tested, role: str, shared: Mapping[str, frozenset[Key]]) -> NDArray[np.bool_]:
        """(N,) bool: the predictions whose value is shared in their fold."""
        values = tested.texts.get(role, ("",) * len(tested))
        hits = (
            (keys := shared.get(comparable(role, value))) is not None and (key in keys or not self.aligned)
            for value, key in zip(values, tested.keys, strict=True)
        )
        return np.fromiter(hits, bool, len(tested))


def comparable(role: str, value: str) -> str:
    """A name by which the same person or scan is known again, however it is written.

    >>> comparable("subject", "F0001 "), comparable("id", ".\\\\a\\\\b.ply")
    ('f0001', 'a/b.ply')
    """
    value = value.strip()
    if role in ("id", "path"):
        return value.replace("\\", "/").removeprefix("./")
    return value.casefold() if role in ("subject", "hash") else value


def find_parts(tested: Tested, folds: Path | None, given: Mapping[str, str]) -> Parts | None:
    """The parts behind some predictions.

    Args:
        tested: The predictions.
        folds: A table or a folds.json; a run folder that holds one; or None.
        given: Role -> name of a column.

    Returns:
        The parts; None if neither the file nor the predictions say anything of training.

    Raises:
        FileError, FormatError: if the file cannot be read, or names nothing of the predictions.
    """
    if folds is not None:
        path = folds / "folds.json" if folds.is_dir() else folds
        return _of_json(path, tested) if path.suffix.lower() == ".json" else _of_table(path, tested, given)
    own = {role: cells for role, cells in tested.texts.items() if role in NAMED}
    if tested.other_keys:
        others = {role: cells for role, cells in tested.others.items() if role in NAMED}
        words = [part_of(cell) or "" for cell in tested.others["part"]]
        keys = _spread(tested.other_keys, tested)
        entries = [*_entries(others, keys, words), *_entries(own, _one_each(tested.keys), ["test"] * len(tested))]
        return _parts(f"the column `{tested.columns['part']}`", False, entries, aligned=True)
    if len(tested.folds) > len({number for number, _ in tested.folds}):
        entries = list(_entries(own, _one_each(tested.keys), ["test"] * len(tested)))
        return _parts(f"the column `{tested.columns['fold']}`", True, entries, aligned=True)
    return None


Entry = tuple[str, str, Key, str]  # role, value, key, part


def _parts(source: str, whole: bool, entries: Iterable[Entry], *, aligned: bool) -> Parts:
    where: dict[str, dict[str, set[tuple[Key, str]]]] = defaultdict(lambda: defaultdict(set))
    spelt: dict[str, dict[str, str]] = defaultdict(dict)
    for role, value, key, part in entries:
        if value.strip():
            same = comparable(role, value)
            where[role][same].add((key, part))
            spelt[role].setdefault(same, value.strip())
    frozen = {role: {value: frozenset(places) for value, places in table.items()} for role, table in where.items()}
    return Parts(source, whole, frozen, dict(spelt), aligned)


def _entries(
    texts: Mapping[str, Sequence[str]], keys: Sequence[Sequence[Key]], parts: Sequence[str]
) -> Iterable[Entry]:
    for role, cells in texts.items():
        for cell, own, part in zip(cells, keys, parts, strict=True):
            for key in own:
                yield role, cell, key, part


def _one_each(keys: Sequence[Key]) -> list[tuple[Key, ...]]:
    return [(key,) for key in keys]


def _spread(keys: Sequence[Key], tested: Tested) -> list[tuple[Key, ...]]:
    """The keys of rows of training: a row without a fold is of all folds."""
    return [tested.folds if key == ("", "") else (key,) for key in keys]


def _of_table(path: Path, tested: Tested, given: Mapping[str, str]) -> Parts:
    columns = read_columns(path)
    roles = find_columns(columns, given, path, strict=False)
    texts = {role: cells for role, cells in texts_of(columns, roles).items() if role in NAMED}
    if not texts:
        wanted = ", ".join(ROLES["subject"][1][:2] + ROLES["id"][1][:2] + ROLES["path"][1][:2])
        raise FormatError(f"{path}: should hold a column of people or scans ({wanted}, ...), holds {listed(columns)}")
    if not {"part", "fold"} & roles.keys():
        raise FormatError(f"{path}: should hold a column part (train, test) or fold, holds {listed(columns)}")
    _check_known(path, texts, tested)
    keys = keys_of(columns, roles)
    if "part" not in roles:
        entries = list(_entries(texts, _one_each(keys), ["test"] * len(keys)))
        return _joined(path, True, entries, set(keys), tested)
    words = [part_of(cell) or "" for cell in columns[roles["part"]]]
    spread = _spread(keys, tested)
    return _joined(path, False, list(_entries(texts, spread, words)), {k for own in spread for k in own}, tested)


def _of_json(path: Path, tested: Tested) -> Parts:
    content = read_json(path)
    lists = [content] if isinstance(content, dict) else content
    if not isinstance(lists, list) or not all(
        isinstance(fold, dict) and {"train", "test"} & fold.keys() for fold in lists
    ):
        raise FormatError(f"{path}: should hold a list of folds with lists train and test, holds {brief(content)}")
    raw = [(_number(fold, "round"), _number(fold, "fold")) for fold in lists]
    if len(lists) > 1 and len(set(raw)) < len(raw):
        raw = [("", str(place)) for place in range(len(lists))]
    keys = canonical_keys(raw)
    named = [
        (str(name), key, part)
        for fold, key in zip(lists, keys, strict=True)
        for word, part in PARTS.items()
        for name in _names(path, fold.get(word))
    ]
    role = _role_of(path, [name for name, _, _ in named], tested)
    spread = _spread([key for _, key, _ in named], tested)
    entries = _entries({role: [name for name, _, _ in named]}, spread, [part for _, _, part in named])
    return _joined(path, False, list(entries), set(keys), tested)


def _joined(path: Path, whole: bool, entries: list[Entry], keys: set[Key], tested: Tested) -> Parts:
    """Parts of a file, and the predictions as tests of their folds if their folds are those of the file."""
    aligned = set(tested.folds) <= keys or ("", "") in keys
    if aligned:
        _check_same_folds(path, entries, tested)
        own = {role: cells for role, cells in tested.texts.items() if role in NAMED}
        entries += [*_trained(entries, tested), *_entries(own, _one_each(tested.keys), ["test"] * len(tested))]
    elif not whole and len(keys) == 1:
        raise FormatError(
            f"{path}: should hold the folds of the predictions, holds one, and they have {len(tested.folds)}"
        )
    return _parts(path.name, whole, entries, aligned=aligned)


def _check_same_folds(path: Path, entries: Sequence[Entry], tested: Tested) -> None:
    """Raise FormatError if most predictions are of other folds than the file says: it is of another division."""
    for role in ("subject", "id"):
        places = {(comparable(role, value), key) for own, value, key, part in entries if (own, part) == (role, "test")}
        if not places or role not in tested.texts:
            continue
        pairs = zip(tested.texts[role], tested.keys, strict=True)
        strange = [(value, key) for value, key in pairs if (comparable(role, value), key) not in places]
        if len(strange) > _STRANGE * len(tested):
            value, key = strange[0]
            raise FormatError(
                f"{path}: should hold the folds of the predictions, "
                f"{brief(value)} is not in its test of {fold_text(key)}"
            )


def _trained(entries: Sequence[Entry], tested: Tested) -> Iterable[Entry]:
    """Of a file that names people only: their scans among the predictions, which the folds that train on them know."""
    if {role for role, *_ in entries} != {"subject"} or "subject" not in tested.texts:
        return
    keys: dict[str, set[Key]] = defaultdict(set)
    for _, person, key, part in entries:
        if part == "train":
            keys[comparable("subject", person)].add(key)
    others = {role: cells for role, cells in tested.texts.items() if role in NAMED and role != "subject"}
    people = zip(
        tested.texts["subject"], tested.keys, strict=True
    )  # a scan that is tested need not have been trained on
    own = [tuple(keys[comparable("subject", person)] - {key}) for person, key in people]
    for role, cells in others.items():
        times = Counter(comparable(role, cell) for cell in cells)
        kept = [
            row for row, cell in enumerate(cells) if row == 0 or times[comparable(role, cell)] > 1
        ]  # others never meet
        yield from _entries({role: [cells[row] for row in kept]}, [own[row] for row in kept], ["train"] * len(kept))


def _names(path: Path, names: Any) -> list[Any]:
    if names is None:
        return []
    if not isinstance(names, list) or not all(isinstance(name, (str, int)) for name in names):
        raise FormatError(f"{path}: a part should be a list of names, is {brief(names)}")
    return names


def _number(fold: Mapping[str, Any], name: str) -> str:
    value = fold.get(name, "")
    return str(value) if isinstance(value, (str, int)) else ""


def _role_of(path: Path, names: Sequence[str], tested: Tested) -> str:
    """Whether names are people or scans: whichever the predictions have more of."""
    known = {
        role: len({comparable(role, name) for name in names} & _values(tested.texts.get(role, ()), role))
        for role in ("subject", "id")
    }
    role = max(known, key=lambda role: known[role])
    if not known[role]:
        example = names[0] if names else "none"
        raise FormatError(
            f"{path}: should name people or scans of the predictions, names such as {brief(example)} are neither"
        )
    return role


def _check_known(path: Path, texts: Mapping[str, Texts], tested: Tested) -> None:
    """Raise FormatError if a table of parts shares no column with the predictions, or no value of one."""
    both = [role for role in texts if role in tested.texts]
    if both and not any(_values(texts[role], role) & _values(tested.texts[role], role) for role in both):
        raise FormatError(
            f"{path}: should name people or scans of the predictions, names such as {brief(texts[both[0]][0])} are not"
        )


def _values(cells: Iterable[str], role: str) -> set[str]:
    return {comparable(role, cell) for cell in cells if cell.strip()}
