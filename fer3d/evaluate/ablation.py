"""`ablate`: the same model, folds and seeds with and without its parts, and one table of what came out.

Parts are the maps of a model of maps, all subsets of them; of FLM-CNN its three ideas: all, each left out, none.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from fer3d.config import MAP_GROUPS, TrainSettings
from fer3d.evaluate.measure import evaluate_run
from fer3d.files import read_json, write_bytes
from fer3d.models import network_class
from fer3d.models.flm_cnn import PARTS
from fer3d.train.plan import Experiment
from fer3d.train.run import Callbacks, Device, Job, train, train_side_by_side
from fer3d.train.settings import complete, with_own


@dataclass(frozen=True)
class Entry:
    """One line of the table.

    Attributes:
        parts: The map groups that were fed, or the ideas that were on.
        accuracy, low, high: With its 95 % interval by subject.
        fold_sd: Standard deviation over folds.
        scans, folds: Tested.
        parameters: Of the network.
        seconds: Of training, all folds.
    """

    parts: tuple[str, ...]
    accuracy: float
    low: float
    high: float
    fold_sd: float
    scans: int
    folds: int
    parameters: int
    seconds: float


def variants(model: str, settings: TrainSettings) -> list[tuple[tuple[str, ...], TrainSettings]]:
    """Parts and settings of every run of an ablation, small ones first.

    >>> [parts for parts, _ in variants("flm-cnn", complete("flm-cnn", None))]
    [(), ('hvp', 'tree'), ('mes', 'tree'), ('mes', 'hvp'), ('mes', 'hvp', 'tree')]

    Raises:
        ArgumentError: if there is no such model, or it has no parts.
    """
    kept = network_class(model).variants(complete(model, settings).model)
    return [(parts, with_own(settings, own)) for parts, own in kept.items()]


def ablate(
    model: str,
    experiment: Experiment,
    out: str | Path,
    settings: TrainSettings,
    *,
    workers: int = 1,
    device: Device | None = None,
    callbacks: Callbacks | None = None,
    begin: Callable[[tuple[str, ...], int, int], None] = lambda maps, number, total: None,
) -> list[Entry]:
    """Train every variant; a second call goes on where the first was stopped.

    Args:
        model, experiment, device, callbacks: As `fer3d.train.run.train` takes them.
        out: Folder: one run folder a variant, `ablation.json` and `ablation.md`, which grow with every variant.
        settings: As for `train`; of a model of maps, all subsets of its maps are run.
        workers: Variants trained at once, each on one thread of the CPU; then `device` and `callbacks` are not used.
        begin: Called with the parts, their number and how many there are, before each, or with several workers after.

    Returns:
        One entry a variant, small ones first.

    Raises:
        As `train`.
    """
    out = Path(out)
    planned = variants(model, settings)
    jobs = [Job(model, experiment, out / ("+".join(parts) or "none"), changed) for parts, changed in planned]
    parts_of = {job.out: parts for job, (parts, _) in zip(jobs, planned, strict=True)}
    order = list(parts_of.values())
    groups = max(order, key=len)
    entries: list[Entry] = []

    def finished(run: Path) -> None:
        entries.append(measure(run))
        entries.sort(key=lambda entry: order.index(entry.parts))
        write_bytes(
            out / "ablation.json",
            (json.dumps([asdict(e) for e in entries], indent=2) + "\n").encode(),
            make_folder=True,
        )
        write_bytes(out / "ablation.md", table(entries, groups).encode(), make_folder=True)

    if workers > 1:
        large_first = sorted(jobs, key=lambda job: -len(parts_of[job.out]))  # so that no worker waits for a long one
        for number, (job, run) in enumerate(train_side_by_side(large_first, workers)):
            finished(run)
            begin(parts_of[job.out], number, len(jobs))
        return entries
    for number, job in enumerate(jobs):
        begin(parts_of[job.out], number, len(jobs))
        finished(train(model, experiment, job.out, job.settings, resume=True, device=device, callbacks=callbacks))
    return entries


def measure(run: Path) -> Entry:
    """The entry of a run with at least one finished fold. Raises as `evaluate_run`."""
    made = evaluate_run(run)
    done = [read_json(path) for path in sorted(run.glob("r*f*/done.json"))]
    facts = read_json(run / "run.json")
    switches = [name for name in PARTS if name in facts["settings"]["model"]]
    parts = [name for name in switches if facts["settings"]["model"][name]] if switches else facts["maps"]
    return Entry(
        parts=tuple(parts),
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
        marks = " | ".join("x" if group in e.parts else " " for group in groups)
        lines.append(
            f"| {marks} | {percent(e.accuracy)} | {percent(e.low)} to {percent(e.high)} | {percent(e.fold_sd)} "
            f"| {e.scans} | {e.parameters:,} | {e.seconds / e.folds:.0f} |"
        )
    return "\n".join(lines) + "\n"
