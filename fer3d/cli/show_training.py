"""Output of `train`, `ablate` and `study`. Imported only when one of them runs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from fer3d.catalog.protocols import Fold
from fer3d.cli.terminal import console, is_live
from fer3d.config import TrainSettings
from fer3d.errors import ArgumentError
from fer3d.train.plan import Experiment
from fer3d.train.run import Callbacks, Device, train

if TYPE_CHECKING:
    from fer3d.evaluate.grid import Cell, Grid, Row


def run_train(
    model: str, experiment: Experiment, out: Path, settings: TrainSettings, resume: bool, device: Device
) -> None:
    """Train with a progress bar, then evaluate the run and print the metrics."""
    with _progress() as callbacks:
        train(model, experiment, out, settings, resume=resume, device=device, callbacks=callbacks)
    if not _is_first_process():
        return
    from fer3d.cli.show_evaluation import show_run
    from fer3d.train.run_folder import read_run

    show_run(out, notes=False)  # they stand above the first epoch
    if learned := read_run(out).learned:
        text = ", ".join(f"{name} {value:.3f}" for name, value in learned.items())
        console.print(f"learned, mean of the folds: {escape(text)}", highlight=False, soft_wrap=True)
    console.print(f"-> {escape(str(out))}; details: fer3d report {escape(str(out))}", highlight=False)


def run_grid(grid: Grid, device: Device, workers: int) -> int:
    """Train every run of a grid with a progress bar, print the table, return the number of runs that failed.

    Raises:
        ArgumentError: if a device other than the CPU is named for several workers, which compute on the CPU.
    """
    from fer3d.evaluate import grid as grids
    from fer3d.train.jobs import LocalExecutor

    if workers > 1:
        reason = f"would change nothing: {workers} workers compute on the CPU, one thread each"
        if device.accelerator not in ("auto", "cpu"):
            raise ArgumentError(f"`--accelerator {device.accelerator}` {reason}")
        if device.devices != 1:
            raise ArgumentError(f"`--devices {device.devices}` {reason}")

    with _progress() as callbacks:
        said: set[str] = set()

        def on_message(text: str) -> None:
            if text not in said:  # many runs have the same notes
                said.add(text)
                callbacks.on_message(text)

        def on_start(cell: Cell, number: int, total: int) -> None:
            callbacks.on_message(f"{number + 1} of {total}: {cell.name}")

        def on_row(row: Row) -> None:
            if row.reason:
                callbacks.on_message(f"{row.cell.name} failed: {row.reason}")

        executor = LocalExecutor(workers, device, replace(callbacks, on_message=on_message))
        rows = grids.run_grid(grid, executor=executor, on_start=on_start, on_row=on_row)
    if _is_first_process():
        path = grid.out / f"{grid.title}.md"
        console.print(path.read_text(encoding="utf-8"), highlight=False, markup=False, soft_wrap=True)
        console.print(f"-> {escape(str(path))}", highlight=False)
    return sum(row.numbers is None for row in rows)


@contextmanager
def _progress() -> Iterator[Callbacks]:
    """Show a progress bar per fold with the numbers of its last epoch, and keep one line per finished fold.

    Without a terminal there is one line per epoch. Nothing is shown before the first message or epoch.
    """
    if not is_live(console):
        yield Callbacks(on_epoch_end=_print_epoch, on_message=_print_message)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[numbers]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with ExitStack() as stack:
        reading = console.status("working", spinner="line")  # it vanishes, so that an error stands alone
        reading.start()
        stack.callback(reading.stop)
        bars: list[tuple[Progress, TaskID]] = []

        def on_epoch_end(fold: Fold, epochs: int, row: Mapping[str, Any]) -> None:
            reading.stop()
            if not bars:
                bar = stack.enter_context(Progress(*columns, console=console))
                bars.append((bar, bar.add_task(fold.name, total=epochs, numbers="")))
            progress, task = bars[0]
            if row["epoch"] == 1:
                progress.reset(task, description=fold.name, total=epochs)
            progress.update(task, description=fold.name, total=epochs, completed=row["epoch"], numbers=numbers(row))
            if row["epoch"] == epochs:
                progress.console.print(f"{fold.name} {numbers(row)}", highlight=False)

        yield Callbacks(on_epoch_end=on_epoch_end, on_message=_print_message)


def _print_epoch(fold: Fold, epochs: int, row: Mapping[str, Any]) -> None:
    console.print(f"{fold.name} epoch {row['epoch']} of {epochs}: {numbers(row)}", highlight=False, soft_wrap=True)


def _print_message(text: str) -> None:
    console.print(escape(text), highlight=False, soft_wrap=True)


def numbers(row: Mapping[str, Any]) -> str:
    """Format the numbers of an epoch.

    >>> numbers({"train_loss": 0.5, "train_accuracy": 0.9, "validation_accuracy": None, "validation_loss": None})
    'loss 0.500, training accuracy 90 %'
    """
    text = f"loss {row['train_loss']:.3f}{_share('training', row['train_accuracy'])}"
    if row["validation_accuracy"] is not None:
        text += f"; validation loss {row['validation_loss']:.3f}{_share('validation', row['validation_accuracy'])}"
    return text


def _share(part: str, accuracy: float) -> str:
    """Format the accuracy on a part of the scans, or return "" for NaN, as targets of values have none."""
    return "" if math.isnan(accuracy) else f", {part} accuracy {100 * accuracy:.0f} %"


def _is_first_process() -> bool:
    import torch.distributed as dist

    return not (dist.is_available() and dist.is_initialized()) or dist.get_rank() == 0
