"""Is one scan in two parts, or twice in the test: by its name, by a hash, or by the content of its file?"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from fer3d.errors import FileError, FormatError
from fer3d.evaluate.audit.findings import FOUND, NOT_FOUND, Finding, cannot_tell, count, percent, shown
from fer3d.evaluate.audit.parts import Parts, comparable
from fer3d.evaluate.audit.predictions import Tested
from fer3d.evaluate.audit.subjects import PARTS_NEEDED

CHECK = "duplicates"
_ROLES = {"content": "by the content of the files", "hash": "by hash", "id": "by name"}


def check_duplicates(tested: Tested, parts: Parts | None, *, looked_into: bool = False) -> Finding:
    """Look for scans that are in training and in the test of one fold, or that one fold tests twice.

    Args:
        tested, parts: Where the column "content" is that of `contents`.
        looked_into: Whether there is such a column.
    """
    repeated = _tested_twice(tested)
    if repeated is not None:
        return repeated
    known = [role for role in _ROLES if role in tested.texts]
    across = [] if parts is None or parts.redrawn else [role for role in _ROLES if parts.knows(role)]
    for role in across:
        assert parts is not None
        if shared := parts.shared(role):
            rows = parts.rows(tested, role, shared)
            clean = tested.accuracy_of(~rows)
            detail = f"{count(len(shared), 'scan')} of the test {'is' if len(shared) == 1 else 'are'} in training too, "
            detail += f"{_ROLES[role]} ({parts.source})."
            if clean is not None and rows.any():
                detail += f" Without them the accuracy is {percent(clean)}."
            return Finding(CHECK, FOUND, detail, examples=_names(tested, parts, role, shared), corrected=clean)
    if not across:
        if not known:
            return cannot_tell(CHECK, "a name, file or hash of each scan: a column id, path or hash")
        return cannot_tell(CHECK, PARTS_NEEDED, f"No scan is tested twice, {_ROLES[known[0]]}.")
    words = " and ".join(_ROLES[role] for role in across)
    rest = "" if looked_into or "hash" in across else " A copy under another name shows by a column hash, or --data."
    return Finding(CHECK, NOT_FOUND, f"No scan is in two parts or tested twice, {words}.{rest}")


def _tested_twice(tested: Tested) -> Finding | None:
    """A finding if a fold tests a scan more than once."""
    for role, words in _ROLES.items():
        if role not in tested.texts:
            continue
        values = [(key, comparable(role, name)) for key, name in zip(tested.keys, tested.texts[role], strict=True)]
        times = Counter(value for value in values if value[1])
        twice = {value for value, number in times.items() if number > 1}
        if not twice:
            continue
        if role == "id" and _is_of_people(tested, values, twice):
            column = tested.columns.get("id", tested.columns.get("path"))
            detail = f"The column `{column}` repeats for scans of other classes."
            return cannot_tell(
                CHECK, "a name of each scan: --column id=NAME, or subject=NAME if it names people", detail
            )
        if len(set(times.values())) == 1 and len(twice) == len(times) and "round" not in tested.columns:
            number = next(iter(times.values()))
            detail = f"Each scan is predicted {number} times, {words}: these may be rounds."
            return cannot_tell(CHECK, "the round of each prediction: --column round=NAME", detail)
        seen: set[tuple[object, str]] = set()
        first = np.ones(len(tested), bool)
        for row, value in enumerate(values):
            first[row] = value not in seen or not value[1]
            seen.add(value)
        clean = tested.accuracy_of(first)
        names = tested.texts.get("id", tested.texts[role])
        examples = shown(name for name, value in zip(names, values, strict=True) if value in twice)
        verb = "is" if len(twice) == 1 else "are"
        detail = f"{count(len(twice), 'scan')} {verb} tested more than once in a fold, {words}."
        detail += f" Counted once the accuracy is {percent(clean or 0)}."
        return Finding(CHECK, FOUND, detail, examples=examples, corrected=clean)
    return None


def _is_of_people(tested: Tested, values: Sequence[tuple[object, str]], twice: Collection[object]) -> bool:
    """Whether names that are not unique are no names of scans: most of them stand for several classes."""
    labels: dict[object, set[int]] = defaultdict(set)
    for value, label in zip(values, tested.truth.tolist(), strict=True):
        labels[value].add(label)
    return sum(len(labels[value]) > 1 for value in twice) > len(twice) / 2


def _names(tested: Tested, parts: Parts, role: str, shared: Mapping[str, object]) -> tuple[str, ...]:
    """Examples by the names of the scans, if there are any."""
    if role != "id" and "id" in tested.texts and role in tested.texts:
        pairs = zip(tested.texts["id"], tested.texts[role], strict=True)
        found = [name for name, value in pairs if comparable(role, value) in shared]
        if found:
            return shown(found)
    return shown(parts.names(role, shared))


def contents(folder: Path, names: Iterable[str]) -> Callable[[str], str]:
    """A function from the name of a scan to a hash of what it holds, "" for one that is not there.

    Args:
        folder: A prepared folder, whose manifest has the names as ids; or any folder, in which the names are files.
        names: The names of the predictions and of the parts.

    Raises:
        FileError: if there is no such folder, it holds none of the scans, or one cannot be read.
        FormatError: if the folder is prepared and damaged.
    """
    if not folder.is_dir():
        raise FileError(f"{folder}: a folder of scans or a prepared folder was wanted, is none")
    wanted = set(names)
    prepared = (folder / "manifest.parquet").is_file()
    found = _of_prepared(folder, wanted) if prepared else _of_files(folder, wanted)
    if not found:
        example = min(wanted, default="none")
        raise FormatError(f"{folder}: should hold the scans of the predictions, such as {example[:80]!r}, holds none")
    return lambda name: found.get(name, "")


def _of_files(folder: Path, names: Iterable[str]) -> dict[str, str]:
    from fer3d.files import sha256

    places = {name: Path(comparable("path", name)) for name in names if name}
    inside = {name: folder / path for name, path in places.items() if not path.is_absolute() and ".." not in path.parts}
    return {name: sha256(path) for name, path in inside.items() if path.is_file()}


def _of_prepared(folder: Path, names: set[str]) -> dict[str, str]:
    from fer3d.prepare.store import open_scan, read_manifest

    found = {}
    for row in read_manifest(folder):
        if row["status"] != "ok" or row["id"] not in names:
            continue
        with open_scan(folder, row) as file:
            stored = [name for name in ("maps", "texture") if row["prefix"] + name in file.keys()]  # noqa: SIM118
            digest = hashlib.sha256()
            for name in stored:
                digest.update(file.get_tensor(row["prefix"] + name).tobytes())
            found[row["id"]] = digest.hexdigest()
    return found
