"""What `train`, `ablate` and `study` show. Loaded only by one of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from fer3d.catalog.protocols import Fold
from fer3d.cli.terminal import console
from fer3d.config import TrainSettings
from fer3d.train.plan import Experiment
from fer3d.train.run import Callbacks, Device, train


def run_train(
    model: str, experiment: Experiment, out: Path, settings: TrainSettings, resume: bool, device: Device
) -> None:
    """Train with a progress bar, then measure what came out and print it."""
    with _progress() as callbacks:
        train(model, experiment, out, settings, resume=resume, device=device, callbacks=callbacks)
    if not _is_first_process():
        return
    from fer3d.cli.show_evaluation import show_metrics
    from fer3d.evaluate.measure import evaluate_run

    show_metrics(evaluate_run(out))
    console.print(f"-> {escape(str(out))}; look closer: fer3d report {escape(str(out))}", highlight=False)


def run_ablate(
    model: str, experiment: Experiment, out: Path, settings: TrainSettings, device: Device, workers: int
) -> None:
    """Train every variant with a progress bar, then print the table."""
    from fer3d.evaluate.ablation import ablate

    with _progress() as callbacks:

        def begin(parts: tuple[str, ...], number: int, total: int) -> None:
            callbacks.on_message(f"{number + 1} of {total}: {', '.join(parts) or 'none'}")

        ablate(model, experiment, out, settings, workers=workers, device=device, callbacks=callbacks, begin=begin)
    if _is_first_process():
        made = (out / "ablation.md").read_text(encoding="utf-8")
        console.print(made, highlight=False, markup=False, soft_wrap=True)
        console.print(f"-> {escape(str(out / 'ablation.md'))}", highlight=False)


def run_study_illumination(
    folders: list[Path],
    experiment: Experiment,
    out: Path,
    settings: Mapping[str, TrainSettings],
    networks: list[str],
    illuminations: list[str],
    device: Device,
    workers: int,
) -> None:
    """Train every cell with a progress bar, then print the table."""
    from fer3d.evaluate.illumination_study import study_illumination

    with _progress() as callbacks:

        def begin(name: str, number: int, total: int) -> None:
            callbacks.on_message(f"{number + 1} of {total}: {name}")

        study_illumination(
            folders,
            experiment,
            out,
            settings,
            networks=networks,
            illuminations=illuminations,
            workers=workers,
            device=device,
            callbacks=callbacks,
            begin=begin,
        )
    if _is_first_process():
        made = (out / "study.md").read_text(encoding="utf-8")
        console.print(made, highlight=False, markup=False, soft_wrap=True)
        console.print(f"-> {escape(str(out / 'study.md'))}", highlight=False)


@contextmanager
def _progress() -> Iterator[Callbacks]:
    """A bar a fold, with the numbers of the last epoch beside it; one line a fold stays when it is done."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[numbers]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("reading", total=None, numbers="")

        def on_epoch_end(fold: Fold, epochs: int, row: Mapping[str, Any]) -> None:
            if row["epoch"] == 1:
                progress.reset(task, description=fold.name, total=epochs)
            progress.update(task, description=fold.name, total=epochs, completed=row["epoch"], numbers=numbers(row))
            if row["epoch"] == epochs:
                progress.console.print(f"{fold.name} {numbers(row)}", highlight=False)

        def on_message(text: str) -> None:
            progress.console.print(escape(text), highlight=False)

        yield Callbacks(on_epoch_end=on_epoch_end, on_message=on_message)


def numbers(row: Mapping[str, Any]) -> str:
    """The numbers of an epoch, short.

    >>> numbers({"train_loss": 0.5, "train_accuracy": 0.9, "validation_accuracy": None, "validation_loss": None})
    'loss 0.500, right 90 %'
    """
    text = f"loss {row['train_loss']:.3f}, right {100 * row['train_accuracy']:.0f} %"
    if row["validation_accuracy"] is not None:
        text += f"; validation {row['validation_loss']:.3f}, {100 * row['validation_accuracy']:.0f} %"
    return text


def _is_first_process() -> bool:
    import torch.distributed as dist

    return not (dist.is_available() and dist.is_initialized()) or dist.get_rank() == 0
