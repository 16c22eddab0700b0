"""`ablate`: the same model, folds and seeds on every subset of the maps, and one table of what came out."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path

from fer3d.config import MAP_GROUPS, TrainSettings
from fer3d.evaluate import evaluate_run
from fer3d.question import Question
from fer3d.run_folder import read_json
from fer3d.store import write_bytes
from fer3d.training import Device, Job, Watch, train, train_side_by_side


@dataclass(frozen=True)
class Entry:
    """One line of the table.

    Attributes:
        maps: The groups that were fed.
        accuracy, low, high: With its 95 % interval by subject.
        fold_sd: Standard deviation over folds.
        scans, folds: Tested.
        parameters: Of the network.
        seconds: Of training, all folds.
    """

    maps: tuple[str, ...]
    accuracy: float
    low: float
    high: float
    fold_sd: float
    scans: int
    folds: int
    parameters: int
    seconds: float


def map_subsets(groups: Sequence[str] = MAP_GROUPS) -> list[tuple[str, ...]]:
    """Every subset but the empty one, small ones first.

    >>> len(map_subsets())
    15
    >>> map_subsets(["depth", "normal"])
    [('depth',), ('normal',), ('depth', 'normal')]
    """
    return [subset for size in range(1, len(groups) + 1) for subset in combinations(groups, size)]


def ablate(
    model: str,
    question: Question,
    out: str | Path,
    settings: TrainSettings,
    *,
    workers: int = 1,
    device: Device | None = None,
    watch: Watch | None = None,
    begin: Callable[[tuple[str, ...], int, int], None] = lambda maps, number, total: None,
) -> list[Entry]:
    """Train on every subset of `settings.maps`; a second call goes on where the first was stopped.

    Args:
        model, question, device, watch: As `fer3d.training.train` takes them.
        out: Folder: one run folder a subset, `ablation.json` and `ablation.md`, which grow with every subset.
        settings: As for `train`; all subsets of its maps are run.
        workers: Subsets trained at once, each on one thread of the CPU; then `device` and `watch` are not used.
        begin: Called with the subset, its number and how many there are, before each, or with several workers after.

    Returns:
        One entry a subset, small subsets first.

    Raises:
        As `train`.
    """
    out = Path(out)
    subsets = map_subsets(settings.maps)
    jobs = [Job(model, question, out / "+".join(m), settings.model_copy(update={"maps": m})) for m in subsets]
    entries: list[Entry] = []

    def finished(run: Path) -> None:
        entries.append(measure(run))
        entries.sort(key=lambda entry: subsets.index(entry.maps))
        write_bytes(out / "ablation.json", (json.dumps([asdict(e) for e in entries], indent=2) + "\n").encode())
        write_bytes(out / "ablation.md", table(entries, settings.maps).encode())

    if workers > 1:
        large_first = sorted(jobs, key=lambda job: -len(job.settings.maps))  # so that no worker waits for a long one
        for number, (job, run) in enumerate(train_side_by_side(large_first, workers)):
            finished(run)
            begin(job.settings.maps, number, len(jobs))
        return entries
    for number, job in enumerate(jobs):
        begin(job.settings.maps, number, len(jobs))
        finished(train(model, question, job.out, job.settings, resume=True, device=device, watch=watch))
    return entries


def measure(run: Path) -> Entry:
    """The entry of a run with at least one finished fold. Raises as `evaluate_run`."""
    made = evaluate_run(run)
    done = [read_json(path) for path in sorted(run.glob("r*f*/done.json"))]
    return Entry(
        maps=tuple(read_json(run / "run.json")["maps"]),
        accuracy=made.accuracy.value,
        low=made.accuracy.low,
        high=made.accuracy.high,
        fold_sd=made.over_folds.sd,
        scans=made.scans,
        folds=made.folds,
        parameters=done[0]["parameters"],
        seconds=sum(item["seconds"] for item in done),
    )


def percent(share: float, sign: str = "") -> str:
    """A share in percent, or n/a where it is undefined.

    >>> percent(0.123), percent(0.1, "+"), percent(float("nan"))
    ('12.3', '+10.0', 'n/a')
    """
    return "n/a" if math.isnan(share) else f"{100 * share:{sign}.1f}"


def table(entries: Sequence[Entry], groups: Sequence[str] = MAP_GROUPS) -> str:
    """The entries as a markdown table, best first."""
    lines = [
        "| " + " | ".join(groups) + " | accuracy | 95 % interval | sd of folds | scans | parameters | s a fold |",
        "|" + "---|" * (len(groups) + 6),
    ]
    for e in sorted(entries, key=lambda entry: -entry.accuracy):
        marks = " | ".join("x" if group in e.maps else " " for group in groups)
        lines.append(
            f"| {marks} | {percent(e.accuracy)} | {percent(e.low)} to {percent(e.high)} | {percent(e.fold_sd)} "
            f"| {e.scans} | {e.parameters:,} | {e.seconds / e.folds:.0f} |"
        )
    return "\n".join(lines) + "\n"
