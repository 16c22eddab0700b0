"""Terminal output that the commands share: the console, the progress bar, and a line while kernels are compiled."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from fer3d.catalog.folder_listing import printable

if TYPE_CHECKING:
    from fer3d.kernels.compiling import Kernel

console = Console()
_COMPILING = "compiling kernels, once"


def shown(text: str) -> str:
    """A name or message for the console: on one line, as it is, with what cannot be printed escaped."""
    return escape(printable(text))


class _Rate(ProgressColumn):
    """Column of scans (or other units of the task) per second since the start."""

    def __init__(self, unit: str) -> None:
        super().__init__()
        self._unit = unit

    def render(self, task: Task) -> Text:
        rate = task.completed / task.elapsed if task.elapsed else 0.0
        return Text(f"{rate:.1f} {task.fields.get('unit', self._unit)}/s", style="cyan")


@contextmanager
def progress_bar(title: str, unit: str = "scans", screen: Console = console) -> Iterator[tuple[Progress, Any]]:
    """Show a Rich progress bar with rate and remaining time; yields the bar and its task."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(unit),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=screen) as progress:
        yield progress, progress.add_task(title, total=None)


def compiling_line(progress: Progress, task: Any) -> Callable[[int, int], None]:
    """A callback for `compile_kernels`, which adds a line under the bar and restarts the clock of `task` at the end."""
    lines: list[Any] = []

    def tick(done: int, total: int) -> None:
        if not lines:
            lines.append(progress.add_task(_COMPILING, unit="kernels"))
        progress.update(lines[0], total=total, completed=done)
        if done == total:
            progress.reset(task)

    return tick


def compile_first(kernels: tuple[Kernel, ...], screen: Console = console) -> None:
    """Compile the kernels that Numba's cache lacks, on all cores, with a progress bar if there are any."""
    from fer3d.kernels.compiling import compile_kernels
    from fer3d.workers import worker_pool

    with ExitStack() as stack:
        bars: list[tuple[Progress, Any]] = []

        def tick(done: int, total: int) -> None:
            if not bars:
                bars.append(stack.enter_context(progress_bar(_COMPILING, "kernels", screen)))
            progress, task = bars[0]
            progress.update(task, total=total, completed=done)

        compile_kernels(kernels, worker_pool, len(os.sched_getaffinity(0)), tick)
