"""`audit`: every check on one file of predictions."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fer3d import __version__
from fer3d.errors import ArgumentError, FormatError
from fer3d.evaluate.audit.averages import Reported, check_average, check_number, read_reported
from fer3d.evaluate.audit.batches import check_batches
from fer3d.evaluate.audit.columns import given_columns
from fer3d.evaluate.audit.duplicates import check_duplicates, contents
from fer3d.evaluate.audit.epochs import check_epoch
from fer3d.evaluate.audit.findings import CANNOT_TELL, CHECKS, FOUND, Finding
from fer3d.evaluate.audit.intervals import by_subject, check_interval, read_interval
from fer3d.evaluate.audit.label_order import check_label_order
from fer3d.evaluate.audit.log import read_logs
from fer3d.evaluate.audit.missing_classes import check_classes
from fer3d.evaluate.audit.parts import Parts, comparable, find_parts
from fer3d.evaluate.audit.predictions import Tested, read_tested
from fer3d.evaluate.audit.sequences import check_sequences
from fer3d.evaluate.audit.subjects import check_subjects
from fer3d.evaluate.measure import fingerprint
from fer3d.evaluate.metrics import Interval
from fer3d.files import read_json

_RESAMPLES = 1000  # of a bootstrap whose interval is looked at: with fewer, its ends are rough
_EXACT = 1e-6  # half of the last decimal of a number that metrics.json gives


@dataclass(frozen=True)
class Audit:
    """What the checks say of some predictions.

    Attributes:
        predictions: The file or run folder.
        rows, folds: Number of predictions and of folds.
        subjects: Number of people; None if they are not known.
        classes: Names of the classes.
        accuracy: Over all rows, with its 95 % interval by subject, whose ends are NaN if it is unknown.
        columns: Role -> name of the column that was taken for it.
        findings: One for each name in `CHECKS`, in that order.
        predictions_sha256: For a run folder: hash of the predictions and folds, as in metrics.json; else "".
    """

    predictions: str
    rows: int
    folds: int
    subjects: int | None
    classes: tuple[str, ...]
    accuracy: Interval
    columns: Mapping[str, str]
    findings: tuple[Finding, ...]
    predictions_sha256: str = ""

    @property
    def found(self) -> tuple[Finding, ...]:
        """The faults."""
        return tuple(finding for finding in self.findings if finding.verdict == FOUND)

    @property
    def open(self) -> tuple[Finding, ...]:
        """The checks that lack something."""
        return tuple(finding for finding in self.findings if finding.verdict == CANNOT_TELL)

    def to_json(self) -> dict[str, Any]:
        """All as plain dicts and lists; None for a number that is not known."""
        ends = (self.accuracy.value, self.accuracy.low, self.accuracy.high)
        value, low, high = (None if math.isnan(end) else end for end in ends)
        return {
            "predictions": self.predictions,
            "rows": self.rows,
            "folds": self.folds,
            "subjects": self.subjects,
            "classes": list(self.classes),
            "accuracy": {"value": value, "low": low, "high": high},
            "columns": dict(self.columns),
            "found": len(self.found),
            "cannot_be_told": len(self.open),
            "checks": [
                {
                    "check": finding.check,
                    "title": finding.title,
                    "verdict": finding.verdict,
                    "detail": finding.detail,
                    "needs": finding.needs,
                    "examples": list(finding.examples),
                    "corrected_accuracy": finding.corrected,
                }
                for finding in self.findings
            ],
            "predictions_sha256": self.predictions_sha256,
            "fer3d": __version__,
        }


def audit(
    predictions: str | Path,
    *,
    folds: str | Path | None = None,
    log: str | Path | None = None,
    reported: str | None = None,
    interval: str | None = None,
    classes: Sequence[str] = (),
    columns: Iterable[str] = (),
    data: str | Path | None = None,
    batch: int | None = None,
) -> Audit:
    """Look for faults in anybody's predictions.

    Args:
        predictions: A CSV or Parquet file with a row for each tested scan, or a run folder of `fer3d train`, whose
            folds, logs and metrics.json are then the defaults of the arguments below.
        folds: Who or what is in training and test: a table, a folds.json or a run folder; see `find_parts`.
        log: Training log, or a folder of logs; see `read_logs`.
        reported: The accuracy that is reported, as it is written: "83.4".
        interval: Its interval, as "80.1,86.7".
        classes: The classes that the number is claimed for, in the order of numbered labels.
        columns: Names of columns as "ROLE=NAME", for those whose names are not known.
        data: A folder with the files of the scans, or a prepared folder, to compare scans by content.
        batch: Size of the batches in the test.

    Raises:
        ArgumentError: if an argument cannot be understood.
        FileError, FormatError: if a file cannot be read, or lacks what the audit needs; names the file and the column.
    """
    path = Path(predictions)
    if batch is not None and batch < 2:
        raise ArgumentError(f"`batch` should be at least 2, is {batch}")
    run = path if path.is_dir() else None
    number = None if reported is None else read_reported(reported)
    ends = None if interval is None else read_interval(interval)
    if run is not None:
        folds, log = folds or _there(run / "folds.json"), log or (run if any(run.rglob("log*.csv")) else None)
        number, ends = _of_metrics(run, number, ends)
    given = given_columns(columns)
    tested = read_tested(_file_of(path), given, classes)
    parts = find_parts(tested, None if folds is None else Path(folds), given)
    if data is not None:
        tested, parts = _with_contents(tested, parts, Path(data))
    logs = None if log is None else read_logs(Path(log))
    findings = (
        check_subjects(tested, parts),
        check_duplicates(tested, parts, looked_into=data is not None),
        check_sequences(tested, parts),
        check_epoch(tested, logs),
        check_batches(tested, batch),
        check_label_order(tested),
        check_classes(tested, classes),
        check_average(tested, number),
        check_number(tested, number),
        check_interval(tested, ends),
    )
    people = tested.texts.get("subject")
    return Audit(
        predictions=str(predictions),
        rows=len(tested),
        folds=len(tested.folds),
        subjects=None if people is None else len({comparable("subject", name) for name in people}),
        classes=tested.classes,
        accuracy=by_subject(tested) or Interval(tested.accuracy, math.nan, math.nan),
        columns=tested.columns,
        findings=tuple(sorted(findings, key=lambda finding: list(CHECKS).index(finding.check))),
        predictions_sha256="" if run is None or not (run / "folds.json").is_file() else fingerprint(run),
    )


def _file_of(path: Path) -> Path:
    """The file of predictions: of a run folder, its predictions.parquet. FormatError if they are not of classes."""
    if not path.is_dir():
        return path
    facts = read_json(path / "run.json") if (path / "run.json").is_file() else {}
    target = facts.get("target") if isinstance(facts, dict) else None
    if isinstance(target, dict) and target.get("kind", "classes") != "classes":
        raise FormatError(f"{path}: wanted predictions of classes, the run's target is {target.get('name')}")
    return path / "predictions.parquet"


def _there(path: Path) -> Path | None:
    return path if path.is_file() else None


def _of_metrics(
    run: Path, number: Reported | None, ends: tuple[float, float] | None
) -> tuple[Reported | None, tuple[float, float] | None]:
    """The accuracy and the interval that metrics.json of a run reports, unless others are given."""
    if number is not None or ends is not None or not (run / "metrics.json").is_file():
        return number, ends
    content = read_json(run / "metrics.json")
    accuracy = content.get("accuracy") if isinstance(content, dict) else None
    values = [accuracy.get(key) for key in ("value", "low", "high")] if isinstance(accuracy, dict) else [None] * 3
    if not isinstance(values[0], float):
        return None, None
    low, high = values[1:]
    bootstrap = content.get("bootstrap")
    enough = isinstance(bootstrap, dict) and bootstrap.get("resamples", 0) >= _RESAMPLES
    ends = (low, high) if enough and isinstance(low, float) and isinstance(high, float) else None
    return Reported(values[0], _EXACT), ends


def _with_contents(tested: Tested, parts: Parts | None, folder: Path) -> tuple[Tested, Parts | None]:
    """Predictions and parts with a column "content": a hash of what each scan holds."""
    role = "path" if "path" in tested.texts else "id"
    if role not in tested.texts:
        raise FormatError(f"{tested.path}: should hold a column path or id, to find the scans in {folder}")
    names = set(tested.texts[role]) | (set(parts.spelt.get("id", {}).values()) if parts is not None else set())
    hash_of = contents(folder, names)
    tested = replace(tested, texts={**tested.texts, "content": tuple(map(hash_of, tested.texts[role]))})
    if parts is None:
        return tested, None
    where: dict[str, frozenset[Any]] = {}
    for name, places in parts.where.get("id", {}).items():
        if found := hash_of(parts.spelt["id"][name]):
            where[found] = where.get(found, frozenset()) | places
    spelt = {value: value for value in where}
    return tested, replace(parts, where={**parts.where, "content": where}, spelt={**parts.spelt, "content": spelt})
