"""Terminal output that the commands share: the console, the progress bar, and a line while kernels are compiled.

A bar appears at its first tick, so that a command that stops with an error before has printed nothing. Without a
terminal (a file, a pipe, the log of a job) it is a line now and then, as a bar would be redrawn into a wall of text.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
_PAUSE = 10.0  # seconds between two lines; a tenth of the time so far if that is longer


def shown(text: str) -> str:
    """A name or message for the console: on one line, as it is, with what cannot be printed escaped."""
    return escape(printable(text))


class _Rate(ProgressColumn):
    """Column of scans (or other units of the task) per second since the start."""

    def render(self, task: Task) -> Text:
        rate = task.completed / task.elapsed if task.elapsed else 0.0
        return Text(f"{rate:.1f} {task.fields['unit']}/s", style="cyan")


class ProgressBar:
    """A progress bar with rate and remaining time, see `progress_bar`.

    Args:
        title: What is done, such as "preparing".
        unit: What is counted.
        screen: Where to show it.
        transient: Whether the bar is removed at the end.
        clock: Returns seconds.
    """

    def __init__(
        self, title: str, unit: str, screen: Console, transient: bool, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._title, self._unit, self._screen, self._clock = title, unit, screen, clock
        self._progress = _progress(screen, transient) if is_live(screen) else None
        self._tasks: dict[str, Any] = {}
        self._began = self._line_at = clock()

    def update(self, done: int, total: int) -> None:
        """Show that `done` of `total` are done."""
        self._tick(self._title, self._unit, done, total)

    def compiling(self, done: int, total: int) -> None:
        """A callback for `compile_kernels`: a bar of its own; the clock of the other starts when it is full."""
        self._tick(_COMPILING, "kernels", done, total)
        if done == total:
            self._began = self._line_at = self._clock()
            if self._progress is not None and self._title in self._tasks:
                self._progress.reset(self._tasks[self._title])

    def print(self, text: str) -> None:
        """Print a line, above the bar if there is one."""
        self._screen.print(text, highlight=False)

    def stop(self) -> None:
        """Leave the bar as it is, or remove it if it is transient."""
        if self._progress is not None and self._tasks:
            self._progress.stop()

    def _tick(self, title: str, unit: str, done: int, total: int) -> None:
        if self._progress is None:
            self._line(title, unit, done, total)
            return
        if title not in self._tasks:
            self._tasks[title] = self._progress.add_task(title, total=total, unit=unit)
            self._progress.start()
        self._progress.update(self._tasks[title], total=total, completed=done)

    def _line(self, title: str, unit: str, done: int, total: int) -> None:
        now = self._clock()
        spent = now - self._began
        if now - self._line_at < max(_PAUSE, 0.1 * spent) or not done:
            return
        self._line_at = now
        left = f", {duration(spent * (total - done) / done)} left" if done < total else ""
        rate = f"{done / spent:.1f} {unit}/s" if done >= 0.1 * spent else f"{spent / done:.0f} s each"
        self.print(f"{title}: {done} of {total} {unit}, {rate}{left}")


def is_live(screen: Console) -> bool:
    """Whether a bar can be redrawn there."""
    return screen.is_terminal and not screen.is_dumb_terminal


@contextmanager
def progress_bar(
    title: str, unit: str = "scans", screen: Console | None = None, *, transient: bool = False
) -> Iterator[ProgressBar]:
    """Show a progress bar from its first tick on; without a terminal, a line every ten seconds, later less often."""
    bar = ProgressBar(title, unit, console if screen is None else screen, transient)
    try:
        yield bar
    finally:
        bar.stop()


def compile_first(kernels: tuple[Kernel, ...], screen: Console | None = None) -> None:
    """Compile the kernels that Numba's cache lacks, on all cores, with a progress bar if there are any."""
    from fer3d.kernels.compiling import compile_kernels
    from fer3d.workers import worker_pool

    with progress_bar(_COMPILING, "kernels", screen) as bar:
        compile_kernels(kernels, worker_pool, len(os.sched_getaffinity(0)), bar.update)


def duration(seconds: float) -> str:
    """Format seconds.

    >>> duration(5.25), duration(3700)
    ('5.2 s', '01:01:40')
    """
    return f"{seconds:.1f} s" if seconds < 60 else time.strftime("%H:%M:%S", time.gmtime(seconds))


def _progress(screen: Console, transient: bool) -> Progress:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=screen, transient=transient)
