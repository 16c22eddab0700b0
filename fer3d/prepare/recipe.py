"""`prepare.json`: how a prepared folder is made, and the seal by which its manifest is known to belong to it.

A run of `preprocess` or `pack` writes the file first, with `manifest` null: until the run ends, the folder is not
finished, and no reader opens it. The last write of the run puts the SHA-256 of `manifest.parquet` there. The manifest
holds the same facts in its metadata. So a manifest beside files of other settings, a folder of which only a part was
copied, and a file that was changed are found when the folder is opened. Folders of earlier versions, whose
`prepare.json` has no `manifest`, and folders without that file are opened without these checks.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from fer3d.checks import first_difference
from fer3d.errors import FileError, FormatError
from fer3d.files import checked, parse_json, read_json, sha256, write_json

RECIPE, MANIFEST = "prepare.json", "manifest.parquet"
METADATA = b"fer3d.prepare"  # key of the facts in the metadata of the manifest
_SEAL = "manifest"


def begin(folder: Path, facts: Mapping[str, Any]) -> None:
    """Write `prepare.json` at the start of a run: the folder is not finished. WriteError if that fails."""
    write_json(folder / RECIPE, {**facts, _SEAL: None})


def seal(folder: Path) -> None:
    """Write the hash of the manifest to `prepare.json`: the folder is finished. Nothing in folders without a seal."""
    content = _content(folder)
    if content is not None and _SEAL in content:
        write_json(folder / RECIPE, {**content, _SEAL: sha256(folder / MANIFEST)})


def facts_of(folder: Path) -> dict[str, Any] | None:
    """The facts of `prepare.json` without its seal; None without the file or if it is not a table."""
    content = _content(folder)
    return None if content is None else {name: value for name, value in content.items() if name != _SEAL}


def is_finished(folder: Path) -> bool:
    """Whether the folder holds a manifest and no run that has not ended."""
    content = _content(folder) or {}
    return (folder / MANIFEST).is_file() and content.get(_SEAL, "") is not None


def metadata(folder: Path) -> dict[bytes, bytes]:
    """The metadata of the manifest that is to be written to a folder."""
    facts = facts_of(folder)
    return {} if facts is None else {METADATA: json.dumps(facts, sort_keys=True).encode()}


def check_begun(folder: Path) -> None:
    """Raise FileError if a run on the folder has not ended."""
    content = _content(folder)
    if content is not None and content.get(_SEAL, "") is None:
        raise FileError(f"{folder}: is not finished: {_stopped(folder, content)}")


def check_seal(folder: Path, stored: Mapping[bytes, bytes] | None) -> None:
    """Check that the manifest of a folder and its `prepare.json` are of one finished run.

    Args:
        folder: A prepared folder with a manifest.
        stored: The metadata of the manifest.

    Raises:
        FileError: if the run has not ended, or `prepare.json` is missing.
        FormatError: if the two files differ; names the first difference.
    """
    text = (stored or {}).get(METADATA)
    where = f"{folder / MANIFEST}: its settings"
    facts = None if text is None else checked(parse_json(text, where), dict[str, Any], where)
    content = _content(folder)
    if content is None:
        if facts is not None:
            raise FileError(f"{folder / RECIPE}: is missing or damaged; copy the whole folder, or {_again(folder)}")
        return
    difference = "" if facts is None else first_difference(facts, _without_seal(content))
    if content.get(_SEAL, "") is None:
        other = f"; its {MANIFEST} is of an earlier run with other settings: {difference}" if difference else ""
        raise FileError(f"{folder}: is not finished: {_stopped(folder, content)}{other}")
    if difference:
        raise FormatError(f"{folder / MANIFEST}: does not belong to {RECIPE}: {difference}; {_again(folder)}")
    if _SEAL in content and content[_SEAL] != sha256(folder / MANIFEST):
        raise FormatError(f"{folder / MANIFEST}: is not the one that {RECIPE} names by its hash; {_again(folder)}")


def check_files(folder: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Raise FileError if a file that the rows of the manifest name is missing. Lists each folder once."""
    wanted: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        if row["status"] == "ok" and row["file"]:
            below, _, name = row["file"].rpartition("/")
            wanted[below].add(name)
    missing = []
    for below, names in wanted.items():
        place = folder / below
        missing += [place / name for name in sorted(names - _names(place))]
    if missing:
        more = f", with {len(missing) - 1} more of {sum(map(len, wanted.values()))} files" if len(missing) > 1 else ""
        raise FileError(f"{missing[0]}: is missing{more}; copy the whole folder, or {_again(folder)}")


def _names(folder: Path) -> set[str]:
    try:
        return {path.name for path in folder.iterdir()}
    except OSError:
        return set()


def _without_seal(content: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in content.items() if name != _SEAL}


def _content(folder: Path) -> dict[str, Any] | None:
    try:
        content = read_json(folder / RECIPE)
    except (FileError, FormatError):
        return None
    return content if isinstance(content, dict) else None


def _stopped(folder: Path, content: Mapping[str, Any]) -> str:
    command = f"fer3d {content.get('command', 'preprocess')}"
    return f"`{command}` was stopped, or still runs there; `{command} ... -o {folder}` again goes on with it"


def _again(folder: Path) -> str:
    return f"write it again: `fer3d preprocess ... -o {folder}`"
