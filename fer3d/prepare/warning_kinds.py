"""Warnings by kind: many scans often share one, and a reader wants its count and an example, not thousands of lines."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

# What differs between two warnings of one kind: names in quotes, lists, what is in brackets, names of files, numbers.
_VARYING = (
    (re.compile(r"\([^()]*\)|\[[^\[\]]*\]|'[^']*'|\"[^\"]*\""), ""),
    (re.compile(r"\S*/\S*|\S+\.[A-Za-z]\w{1,4}\b"), "FILE"),
    (re.compile(r"-?\d+(?:[.,]\d+)*(?:e[-+]?\d+)?"), "N"),
    (re.compile(r"\s+"), " "),
)
# Starts of warnings of `fer3d.prepare.scan` and `fer3d.prepare.align`, the last one of earlier versions.
_REJECTED = ("landmarks not used: ", "landmarks found on the shape: ", "pose from the shape: ")
_FOUND = ("found", "shape")  # values of `pose_source` of a scan without landmarks of its own; "shape": earlier versions
_ABSENT = "no landmarks file"  # of `fer3d.catalog.records`, if the card wants such a file


@dataclass(frozen=True)
class WarningKind:
    """A kind of warning.

    Attributes:
        text: The first warning of this kind.
        count: Number of scans with such a warning.
        source: The scan that it is of, as the manifest names it.
    """

    text: str
    count: int
    source: str


def warning_kinds(rows: Iterable[Mapping[str, Any]]) -> tuple[WarningKind, ...]:
    """Count the warnings of manifest rows by kind, the commonest first.

    A scan whose landmarks were not used is of the kind "without their landmark files, because ...".
    """
    return _kinds((str(row["source"]), text) for row in rows for text in map(_worded, row.get("warnings") or ()))


def failure_kinds(failures: Iterable[tuple[str, str]]) -> tuple[WarningKind, ...]:
    """Count (source, reason) of scans that failed by kind of reason, the commonest first."""
    return _kinds(failures)


def without_landmarks(rows: Iterable[Mapping[str, Any]]) -> int:
    """Number of prepared scans whose landmarks were found on the shape, as they have none, without any warning."""
    return sum(
        row["status"] == "ok" and row.get("pose_source") in _FOUND and not _is_warned(row.get("warnings") or ())
        for row in rows
    )


def _kinds(pairs: Iterable[tuple[str, str]]) -> tuple[WarningKind, ...]:
    first: dict[str, tuple[str, str]] = {}
    sources: dict[str, set[str]] = {}
    for source, text in pairs:
        text = text.removeprefix(f"{source}: ")
        key = _key(text)
        first.setdefault(key, (text, source))
        sources.setdefault(key, set()).add(source)
    kinds = [WarningKind(text, len(sources[key]), source) for key, (text, source) in first.items()]
    return tuple(sorted(kinds, key=lambda kind: -kind.count))


def _key(text: str) -> str:
    for pattern, mark in _VARYING:
        text = pattern.sub(mark, text)
    return text


def _worded(text: str) -> str:
    for start in _REJECTED:
        if text.startswith(start):
            reason = re.sub(r"^\S+: (?=\S)", "", text.removeprefix(start))  # the example names the scan
            return f"without their landmark files, because {reason}"
    return f"{text}: landmarks are found on the shape" if text.startswith(_ABSENT) else text


def _is_warned(warnings: Iterable[str]) -> bool:
    return any(text.startswith((*_REJECTED, _ABSENT)) for text in warnings)
