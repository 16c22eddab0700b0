"""The rows of a claim, `NAME.rows.csv`: which scans ours and each rival got correct; and the difference, by subject.

What is imported from the package to measure with stands here and nowhere else.
"""

import csv
import io

import numpy as np
from claim_git import commit_files, committed_text

from fer3d.errors import FileError, FormatError
from fer3d.evaluate.metrics import subject_interval

_PLACE = ("try", "statement", "job", "part", "seed")  # of a row: which job gave it
_SCAN = ("subject", "scan")


def rows_file(file):
    """Where the rows of a claim file stand."""
    return file.with_name(f"{file.stem}.rows.csv")


def networks(claim):
    """Ours, then each rival."""
    return ("ours", *(rival.name for rival in claim.rivals))


def columns(claim):
    """Columns that a job writes: subject, scan, and what share of it ours and each rival got correct."""
    return (*_SCAN, *(f"correct_{name}" for name in networks(claim)))


def committed_rows(root, file):
    """Every committed row, as texts by column. What is not committed does not count."""
    return list(csv.DictReader(io.StringIO(committed_text(root, rows_file(file)) or "")))


def add_rows(root, file, claim, place, rows):
    """Write the rows of one job behind those that are committed, and commit them.

    Args:
        place: Try, statement, job, part and seed.
        rows: As `job_rows` gives them.
    """
    target = rows_file(file)
    header = (*_PLACE, *columns(claim))
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    before = committed_text(root, target)
    if before is None:
        writer.writerow(header)
    writer.writerows([[*place, *(row[name] for name in columns(claim))] for row in rows])
    target.write_text((before or "") + stream.getvalue(), encoding="utf-8")
    commit_files(root, f"{target.name}: {len(rows)} rows of {place[2]}, part {place[3]}, seed {place[4]}", target)


def job_rows(claim, rows=None, runs=None):
    """The rows that a job has left, checked.

    Args:
        rows: CSV file, or
        runs: "ours" and each rival -> run folder.

    Raises:
        FileError, FormatError: if a file is missing or holds anything else than what `columns` says.
    """
    if rows is None:
        return _rows_of_runs(claim, runs)
    if not rows.is_file():
        raise FileError(f"{rows}: wanted the rows that the job writes, found no file")
    with rows.open(encoding="utf-8", newline="") as stream:
        table = csv.DictReader(stream, strict=True)
        if table.fieldnames is None or set(table.fieldnames) != set(columns(claim)):
            raise FormatError(f"{rows}: wanted columns {', '.join(columns(claim))}, got {table.fieldnames}")
        found = list(table)
    _check_rows(rows, claim, found)
    return found


def _check_rows(path, claim, rows):
    if not rows:
        raise FormatError(f"{path}: wanted at least one row, got none")
    seen = set()
    for row in rows:
        key = (row["subject"], row["scan"])
        if not all(key) or key in seen:
            raise FormatError(f"{path}: wanted a subject and a scan, each pair once, got {key} again or empty")
        seen.add(key)
        for name in columns(claim)[len(_SCAN) :]:
            if not _is_share(row[name]):
                raise FormatError(f"{path}: `{name}`: wanted 0 to 1, got {row[name]!r} for scan {key[1]}")


def _is_share(text):
    try:
        return 0 <= float(text) <= 1  # not of NaN
    except (TypeError, ValueError):
        return False


def _rows_of_runs(claim, runs):
    """One row a scan that every run predicted: the share of the rounds in which it was correct."""
    from fer3d.train.run_folder import read_predictions, read_run  # here, as only some claims have runs

    shares = {}
    for name in networks(claim):
        predictions = read_predictions(read_run(runs[name]))
        hits = {}
        for subject, scan, correct in zip(predictions.subjects, predictions.ids, predictions.correct, strict=True):
            hits.setdefault((subject, scan), []).append(float(correct))
        shares[name] = {key: float(np.mean(values)) for key, values in hits.items()}
        if shares[name].keys() != shares["ours"].keys():
            strange = sorted(shares[name].keys() ^ shares["ours"].keys())[0]
            raise FormatError(f"{runs[name]}: wanted the scans of {runs['ours']}, only one of them has {strange[1]}")
    found = []
    for subject, scan in sorted(shares["ours"]):
        correct = {f"correct_{name}": share[subject, scan] for name, share in shares.items()}
        found.append({"subject": subject, "scan": scan, **correct})
    _check_rows(runs["ours"], claim, found)
    return found


def difference(rows, rival):
    """Ours minus a rival's accuracy in points, with its 95 % interval: people of all seeds are resampled together.

    A person is a subject of one seed. A scan counts once, with the mean over the rows that it has.
    """
    gains = {}
    for row in rows:
        gain = 100 * (float(row["correct_ours"]) - float(row[f"correct_{rival}"]))
        gains.setdefault((row["seed"], row["subject"], row["scan"]), []).append(gain)
    people = {}
    for (seed, subject, _), values in gains.items():
        people.setdefault((seed, subject), []).append(np.mean(values))
    counts = np.array([[sum(people[key]), len(people[key])] for key in sorted(people)])
    return subject_interval(counts, lambda sums: sums[..., 0] / sums[..., 1])


def counts(rows):
    """Seed -> (subjects, scans)."""
    pairs = {}
    for row in rows:
        pairs.setdefault(int(row["seed"]), set()).add((row["subject"], row["scan"]))
    return {seed: (len({subject for subject, _ in scans}), len(scans)) for seed, scans in pairs.items()}
