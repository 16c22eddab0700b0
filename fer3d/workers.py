"""Worker processes and threads for jobs over many scans."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from typing import Any, TypeVar

Item = TypeVar("Item")
Made = TypeVar("Made")

_first: dict[str, tuple[Any, ...]] = {}  # what a worker does first: (function, *arguments)

_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}


@contextmanager
def worker_pool(
    workers: int, initializer: Callable[..., None] | None = None, initargs: tuple[Any, ...] = ()
) -> Iterator[ProcessPoolExecutor]:
    """Spawned workers with one thread each: parallelism is over scans, and forked OpenMP pools deadlock.

    A worker whose parent is gone, killed perhaps, leaves at once: the run that goes on in its place must be alone with
    its files.

    Args:
        workers: Processes.
        initializer, initargs: As for `ProcessPoolExecutor`.
    """
    before = {name: os.environ.get(name) for name in _ONE_THREAD}
    os.environ.update(_ONE_THREAD)
    try:
        first = tuple(_first.values())
        with ProcessPoolExecutor(workers, get_context("spawn"), _begin, (first, initializer, initargs)) as pool:
            yield pool
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def begin_workers_with(key: str, function: Callable[..., None], *arguments: Any) -> None:
    """Let every worker that is started from now on call `function(*arguments)` first, as what this process registered.

    Args:
        key: A second call with the same one takes the place of the first.
        function: At the top of a module; it and its arguments are pickled. It should not raise: that breaks the pool.
    """
    _first[key] = (function, *arguments)


def map_on_threads(work: Callable[[Item], Made], items: Sequence[Item], threads: int) -> list[Made]:
    """What `work` makes of every item, in order, on some threads: for kernels that let go of the interpreter's lock."""
    threads = min(threads, len(items))
    if threads <= 1:
        return [work(item) for item in items]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, items))


def _begin(
    first: tuple[tuple[Any, ...], ...], initializer: Callable[..., None] | None, initargs: tuple[Any, ...]
) -> None:
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    for function, *arguments in first:
        function(*arguments)
    if initializer is not None:
        initializer(*initargs)


def _leave_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
