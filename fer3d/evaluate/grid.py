"""Grids of runs that differ along axes, such as omitted maps, or network x illumination; one table, one row per run.

`run_grid` passes the jobs of the cells to an executor (`fer3d.train.jobs`; by default this machine), measures each run
when it is finished, and rewrites the table after each row, as JSON and as markdown. A second call resumes where the
first was stopped. A run that fails does not stop the others: its row holds the reason.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Any

from fer3d import config
from fer3d.checks import check_choice
from fer3d.config import TextureSettings, TrainSettings
from fer3d.errors import ArgumentError, Fer3dError, FormatError, TrainError
from fer3d.evaluate.measure import evaluate_run, per_round, without_nan
from fer3d.evaluate.metrics import RESAMPLES
from fer3d.files import clear_leftovers, read_json, write_text
from fer3d.image.illumination import ILLUMINATIONS
from fer3d.image.networks import NETWORKS
from fer3d.models import network_class
from fer3d.train.jobs import Executor, Job, LocalExecutor
from fer3d.train.plan import Experiment, plan_experiment
from fer3d.train.recipes import recipe_of
from fer3d.train.run_facts import RESUME, DoneFacts
from fer3d.train.run_folder import read_predictions, read_run
from fer3d.train.settings import complete, with_own

STUDIED_NETWORKS = ("tang", "yu-zhang", "kahou", "alexnet")  # the networks of Shin, Kim and Kwon
STUDIED_PIXELS = 48  # rows and columns of the pictures in their study
STUDIED_ILLUMINATIONS = ("raw", "hist-eq", "isotropic", "dct", "dog")


@dataclass(frozen=True)
class Cell:
    """One run of a grid: its value on each axis (a text, or whether a part is included), and its job."""

    values: Mapping[str, str | bool]
    job: Job

    @property
    def name(self) -> str:
        """A readable name: the values, or the included parts."""
        parts = [axis for axis, value in self.values.items() if value is True]
        texts = [value for value in self.values.values() if isinstance(value, str)]
        return " ".join(texts) or ", ".join(parts) or "none"


@dataclass(frozen=True)
class Numbers:
    """The measurements of a run with at least one finished fold.

    Attributes:
        accuracy, low, high: Accuracy, and the ends of its 95 % interval by subject.
        fold_sd: Standard deviation of the accuracy over folds; NaN for one fold.
        per_round: Accuracy of each round.
        scans, folds: Numbers of tested scans and folds.
        parameters: Number of parameters of the network.
        seconds: Training time of all folds.
        scan_bytes: Memory that the network's input of one scan takes; None where an earlier version did not note it.
        scan_ms: Time of one prediction, test copies included; None as before.
        notes: What a reader should know of the run, such as scans that were left out.
    """

    accuracy: float
    low: float
    high: float
    fold_sd: float
    per_round: tuple[float, ...]
    scans: int
    folds: int
    parameters: int
    seconds: float
    scan_bytes: int | None = None
    scan_ms: float | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Row:
    """The outcome of a cell: its numbers, or the reason why there are none."""

    cell: Cell
    numbers: Numbers | None = None
    reason: str = ""


@dataclass(frozen=True, eq=False)
class Grid:
    """The runs of a table.

    Attributes:
        axes: Names of the axes, in the order of the table's columns; on an axis that is a part, values are bool.
        cells: The runs, in the order of the table.
        out: Folder of the runs and the table.
        title: Base name of the table's files, `title.json` and `title.md`.
        across: The axis whose values become columns of the markdown table. None: one line per run, the best first.

    Raises:
        ArgumentError: if there is no cell, a cell lacks an axis, or two cells have the same run folder.
    """

    axes: tuple[str, ...]
    cells: tuple[Cell, ...]
    out: Path
    title: str = "grid"
    across: str | None = None

    def __post_init__(self) -> None:
        if not self.cells:
            raise ArgumentError("`cells` should hold at least one run, is empty")
        if self.across is not None and self.across not in self.axes:
            raise ArgumentError(f"`across` should be one of {', '.join(self.axes)}, is {self.across!r}")
        folders: set[Path] = set()
        for cell in self.cells:
            if set(cell.values) != set(self.axes):
                raise ArgumentError(
                    f"`cells` should have values on {', '.join(self.axes)}, that of {cell.job.out} has them on "
                    f"{', '.join(cell.values)}"
                )
            if cell.job.out in folders:
                raise ArgumentError(f"`cells` should have run folders of their own, {cell.job.out} is that of two")
            folders.add(cell.job.out)

    @cached_property
    def cell_of(self) -> Mapping[Path, Cell]:
        """Run folder -> cell."""
        return {cell.job.out: cell for cell in self.cells}


def _of_recipe(network: str, chosen: TrainSettings) -> tuple[str, ...]:
    """The illuminations of a network that nobody typed: the default, and that of its recipe."""
    recipe = recipe_of(network, chosen.recipe)
    entry = None if recipe is None else recipe.values.get("model.illumination")
    return ("raw",) if entry is None else ("raw", str(entry.value))


def vary(settings: TrainSettings, changes: Mapping[str, Any]) -> TrainSettings:
    """Settings in which some of the network's own settings are changed.

    Raises:
        ConfigError: if a name is unknown (names the nearest) or the values contradict each other.
    """
    own = config.settings(type(settings.model), settings.model.model_dump() | dict(changes), "settings: model")
    return with_own(settings, own)


def run_grid(
    grid: Grid,
    *,
    executor: Executor | None = None,
    on_start: Callable[[Cell, int, int], None] = lambda cell, number, total: None,
    on_row: Callable[[Row], None] = lambda row: None,
) -> list[Row]:
    """Run the jobs of a grid, measure each run, and rewrite `title.json` and `title.md` after each.

    Args:
        grid: The runs.
        executor: Runs the jobs. None: this machine, one run after another.
        on_start: Called when a run starts, with its cell, its number from 0, and the number of runs.
        on_row: Called with each row when it has been measured.

    Returns:
        One row per cell, in the order of the cells.

    Raises:
        TrainError: if every run failed; names the first reason.
        ArgumentError, ProtocolError, FileError, FormatError: as `plan_experiment`, before any run starts.
    """
    for experiment, seed in {(cell.job.experiment, cell.job.settings.seed): None for cell in grid.cells}:
        plan_experiment(experiment, seed)
    clear_leftovers(grid.out, deep=False)  # those of runs are cleared when the runs are resumed
    begun = iter(range(len(grid.cells)))
    rows: dict[Path, Row] = {}

    def start(job: Job) -> None:
        on_start(grid.cell_of[job.out], next(begun), len(grid.cells))

    for result in (executor or LocalExecutor())([cell.job for cell in grid.cells], start):
        cell = grid.cell_of[result.job.out]
        rows[cell.job.out] = _row(cell, result.reason)
        write_table(grid, _in_order(grid, rows))
        on_row(rows[cell.job.out])
    for cell in grid.cells:
        if cell.job.out not in rows:
            rows[cell.job.out] = Row(cell, None, "the executor gave no result for it")
    table = _in_order(grid, rows)
    if all(row.numbers is None for row in table):
        raise TrainError(f"{grid.out}: none of {len(table)} runs succeeded; {table[0].cell.name}: {table[0].reason}")
    return table


def _row(cell: Cell, reason: str) -> Row:
    if reason:
        return Row(cell, None, reason)
    try:
        return Row(cell, numbers_of(cell.job.out))
    except Fer3dError as error:  # an executor's machine may have left an incomplete run
        return Row(cell, None, str(error))


def _in_order(grid: Grid, rows: Mapping[Path, Row]) -> list[Row]:
    return [rows[cell.job.out] for cell in grid.cells if cell.job.out in rows]


def numbers_of(run: Path, *, resamples: int = RESAMPLES) -> Numbers:
    """Measure a run with at least one finished fold, and write its metrics.json. Raises as `evaluate_run`."""
    metrics = evaluate_run(run, resamples=resamples)
    done = [read_json(path, DoneFacts, RESUME) for path in sorted(run.glob("r*f*/done.json"))]
    if not done or "parameters" not in done[0]:
        raise FormatError(f"{run}: wanted a finished fold with its number of parameters in done.json; {RESUME}")
    return Numbers(
        accuracy=metrics.accuracy.value,
        low=metrics.accuracy.low,
        high=metrics.accuracy.high,
        fold_sd=metrics.over_folds.sd,
        per_round=tuple(per_round(read_predictions(read_run(run))).values()),
        scans=metrics.scans,
        folds=metrics.folds,
        parameters=done[0]["parameters"],
        seconds=sum(item["seconds"] for item in done),
        scan_bytes=max((item["scan_bytes"] for item in done if "scan_bytes" in item), default=None),
        scan_ms=fmean(times) if (times := [item["scan_ms"] for item in done if "scan_ms" in item]) else None,
        notes=metrics.notes,
    )


def write_table(grid: Grid, rows: Sequence[Row]) -> None:
    """Write `title.json` and `title.md` into the grid's folder. FileError if they cannot be written."""
    content = json.dumps(without_nan([to_json(row) for row in rows]), indent=2, allow_nan=False, ensure_ascii=False)
    write_text(grid.out / f"{grid.title}.json", content + "\n")
    write_text(grid.out / f"{grid.title}.md", markdown(grid, rows))


def to_json(row: Row) -> dict[str, Any]:
    """A row as a table of plain values: texts by axis, the included `parts`, and the numbers or the reason."""
    values = row.cell.values
    plain: dict[str, Any] = {axis: value for axis, value in values.items() if isinstance(value, str)}
    if len(plain) < len(values):
        plain["parts"] = [axis for axis, value in values.items() if value is True]
    return plain | (asdict(row.numbers) if row.numbers else {"reason": row.reason})


def markdown(grid: Grid, rows: Sequence[Row]) -> str:
    """The rows as a markdown table, followed by one line per failed run and one per note of the runs.

    With `grid.across`, the values of that axis are columns; each cell holds an accuracy with its interval, the best of
    a line is bold, and a run that has not finished is an empty cell. Otherwise there is one line per run, the best
    first.
    """
    lines = _long_table(grid.axes, rows) if grid.across is None else _wide_table(grid, rows)
    failed = [f"- {row.cell.name} failed: {row.reason}" for row in rows if row.numbers is None]
    notes = [f"- {note}" for note in dict.fromkeys(note for row in rows if row.numbers for note in row.numbers.notes)]
    beneath = [*failed, *notes]
    return "\n".join([*lines, *([""] if beneath else []), *beneath]) + "\n"


def _long_table(axes: Sequence[str], rows: Sequence[Row]) -> list[str]:
    columns = (
        "test accuracy", "95 % interval", "sd of folds", "scans", "parameters", "MB a scan", "ms a scan", "s a fold",
    )  # fmt: skip
    lines = [f"| {' | '.join((*axes, *columns))} |", "|" + "---|" * (len(axes) + len(columns))]
    for row in sorted(rows, key=lambda row: -row.numbers.accuracy if row.numbers else math.inf):
        cells = [_mark(row.cell.values[axis]) for axis in axes]
        if n := row.numbers:
            cells += [percent(n.accuracy), _interval(n), percent(n.fold_sd)]
            cells += [str(n.scans), f"{n.parameters:,}", _text(n.scan_bytes, 1e-6, 2), _text(n.scan_ms, 1.0, 1)]
            cells.append(f"{n.seconds / n.folds:.0f}")
        else:
            cells += ["failed", *[""] * (len(columns) - 1)]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _wide_table(grid: Grid, rows: Sequence[Row]) -> list[str]:
    down = [axis for axis in grid.axes if axis != grid.across]
    across = list(dict.fromkeys(cell.values[str(grid.across)] for cell in grid.cells))
    lines = [
        f"| {' | '.join((*down, *map(_mark, across)))} | scans |",
        "|" + "---|" * (len(down) + len(across) + 1),
    ]
    table: dict[tuple[str, ...], dict[str | bool, Row]] = {}
    for row in rows:
        key = tuple(_mark(row.cell.values[axis]) for axis in down)
        table.setdefault(key, {})[row.cell.values[str(grid.across)]] = row
    for key, line in table.items():
        numbers = [row.numbers for row in line.values() if row.numbers]
        best = max((n.accuracy for n in numbers), default=math.nan)
        cells = [_wide_cell(line.get(value), best) for value in across]
        scans = str(max(n.scans for n in numbers)) if numbers else ""
        lines.append(f"| {' | '.join((*key, *cells, scans))} |")
    return lines


def _wide_cell(row: Row | None, best: float) -> str:
    if row is None:  # not finished yet
        return ""
    if (n := row.numbers) is None:
        return "failed"
    mark = "**" if n.accuracy == best else ""
    return f"{mark}{percent(n.accuracy)}{mark}" + ("" if math.isnan(n.low) else f" ({_interval(n)})")


def _interval(numbers: Numbers) -> str:
    return percent(numbers.low) if math.isnan(numbers.low) else f"{percent(numbers.low)} to {percent(numbers.high)}"


def _text(value: float | None, unit: float, digits: int) -> str:
    return "-" if value is None else f"{unit * value:.{digits}f}"


def _mark(value: str | bool) -> str:
    return value if isinstance(value, str) else "x" if value else " "


def percent(share: float, sign: str = "") -> str:
    """A share in percent, or a dash where it is undefined.

    >>> percent(0.123), percent(0.1, "+"), percent(float("nan"))
    ('12.3', '+10.0', '-')
    """
    return "-" if math.isnan(share) else f"{100 * share:{sign}.1f}"


# The grids of `fer3d ablate` and `fer3d study`.


def ablation_grid(
    model: str,
    experiment: Experiment,
    out: str | Path,
    settings: TrainSettings,
    subsets: Sequence[tuple[str, ...]] | None = None,
) -> Grid:
    """An ablation: the same model, folds and seeds with and without its parts, small networks first.

    Args:
        model: The network whose `variants` are run, see `fer3d.models.network.Network`: for a network of maps, all
            subsets of its maps; for flm-cnn, all three components, each one omitted, and none.
        experiment, settings: Arguments of `fer3d.train.run.train`.
        out: Folder of the runs and of `ablation.json` and `ablation.md`.
        subsets: The parts that each run keeps. None: all variants.

    Raises:
        ArgumentError: if there is no such network, it has no parts, or a subset is not one of its variants.
    """
    settings = complete(model, settings)
    variants = network_class(model).variants(settings.model)
    axes = max(variants, key=len)
    cells = []
    for parts in variants if subsets is None else subsets:
        if parts not in variants:
            raise ArgumentError(f"`subsets` should hold parts out of {', '.join(axes)}, holds {', '.join(parts)}")
        changed = with_own(settings, variants[parts])
        job = Job(model, experiment, Path(out) / ("+".join(parts) or "none"), changed, 1.0 + len(parts))
        cells.append(Cell({axis: axis in parts for axis in axes}, job))
    return Grid(axes, tuple(cells), Path(out), "ablation")


def illumination_grid(
    folders: Sequence[Path],
    experiment: Experiment,
    out: str | Path,
    settings: Mapping[str, TrainSettings],
    illuminations: Sequence[str] = STUDIED_ILLUMINATIONS,
) -> Grid:
    """A study of data sets x networks x illumination normalisation, after Shin, Kim and Kwon [1].

    Args:
        folders: Prepared folders with textures; their names must differ.
        experiment: Protocol and folds for all data sets; its `data` is not used.
        out: Folder of the runs and of `study.json` and `study.md`.
        settings: Network -> its settings; this function sets `illumination`. The networks are the lines of the table.
        illuminations: The columns of the table.

    Raises:
        ArgumentError: if a name is unknown or occurs twice, or `settings` choose an illumination.

    References:
        .. [1] Shin, Kim, Kwon. Baseline CNN structure analysis for facial expression recognition. RO-MAN 2016.
    """
    _check_names("networks", list(settings), list(NETWORKS))
    _check_names("illuminations", illuminations, list(ILLUMINATIONS))
    names = [folder.resolve().name for folder in folders]
    if not names or len(set(names)) < len(names):
        raise ArgumentError(
            f"`data` should name one or more folders of different names, names {', '.join(names) or 'none'}"
        )
    cells = []
    for folder, name in zip(folders, names, strict=True):
        for network, chosen in settings.items():
            if isinstance(chosen.model, TextureSettings) and chosen.model.illumination not in _of_recipe(
                network, chosen
            ):
                raise ArgumentError(
                    "`model.illumination` would change nothing: the study sets it; choose with `illuminations`"
                )
            for illumination in illuminations:
                changed = vary(complete(network, chosen), {"illumination": illumination})
                run = Path(out) / name / f"{network}+{illumination}"
                values = {"data": name, "network": network, "illumination": illumination}
                cells.append(Cell(values, Job(network, replace(experiment, data=folder), run, changed)))
    return Grid(("data", "network", "illumination"), tuple(cells), Path(out), "study", across="illumination")


def _check_names(argument: str, names: Sequence[str], known: Sequence[str]) -> None:
    if not names or len(set(names)) < len(names):
        raise ArgumentError(f"`{argument}` should be one or more different names, is {','.join(names) or 'none'}")
    check_choice(argument, tuple(names), known)
