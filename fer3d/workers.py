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

_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}


# What only this process knows and its workers have to be told, such as a format that somebody registered.
_at_start: dict[str, tuple[Callable[..., None], tuple[Any, ...]]] = {}


def at_worker_start(key: str, function: Callable[..., None], *arguments: Any) -> None:
    """Have every worker that is started from now on call `function(*arguments)` before all else.

    Args:
        key: A later call with the same key takes the place of this one.
        function, arguments: Can be pickled.
    """
    _at_start[key] = function, arguments


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
        begin = (tuple(_at_start.values()), initializer, initargs)
        with ProcessPoolExecutor(workers, get_context("spawn"), _begin, begin) as pool:
            yield pool
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def map_on_threads(work: Callable[[Item], Made], items: Sequence[Item], threads: int) -> list[Made]:
    """What `work` makes of every item, in order, on some threads: for kernels that let go of the interpreter's lock."""
    threads = min(threads, len(items))
    if threads <= 1:
        return [work(item) for item in items]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, items))


def _begin(
    told: tuple[tuple[Callable[..., None], tuple[Any, ...]], ...],
    initializer: Callable[..., None] | None,
    initargs: tuple[Any, ...],
) -> None:
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    for function, arguments in told:
        function(*arguments)
    if initializer is not None:
        initializer(*initargs)


def _leave_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
