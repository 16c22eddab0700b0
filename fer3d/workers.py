"""Worker processes and threads for jobs over many scans."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
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


def map_on_processes(
    work: Callable[[Item], Made],
    items: Sequence[Item],
    workers: int,
    *,
    died: Callable[[Item], Made],
    queued: int = 1,
    on_start: Callable[[Item], None] = lambda item: None,
) -> Iterator[tuple[Item, Made]]:
    """Each item with what `work` makes of it, as they get done, on some processes.

    An item that kills its process (no memory, a crash in a library) costs only itself: those that were under way with
    it are done again, one at a time, which shows whose fault it was.

    Args:
        work: Can be pickled; what it raises is raised here.
        items: Begun in this order.
        workers: Processes.
        died: What stands for the result of an item that kills its process.
        queued: Items that a process may have waiting: more than 1 keeps processes busy that need little time an item.
        on_start: Called here with each item as it is handed to a process.
    """
    waiting = list(reversed(items))
    while waiting:
        suspects: list[Item] = []
        yield from _map_until_broken(work, waiting, workers, queued, on_start, suspects)
        for item in suspects:
            with worker_pool(1) as pool:
                try:
                    made = pool.submit(work, item).result()
                except BrokenProcessPool:
                    made = died(item)
            yield item, made


def _map_until_broken(
    work: Callable[[Item], Made],
    waiting: list[Item],
    workers: int,
    queued: int,
    on_start: Callable[[Item], None],
    suspects: list[Item],
) -> Iterator[tuple[Item, Made]]:
    """Work off `waiting` from its end. If a process dies, stop, with the items then under way in `suspects`."""
    with worker_pool(min(workers, len(waiting))) as pool:
        flying: dict[Future[Made], Item] = {}
        try:
            while waiting or flying:
                while waiting and len(flying) < queued * workers:
                    item = waiting[-1]
                    flying[pool.submit(work, item)] = item
                    waiting.pop()
                    on_start(item)
                for future in wait(flying, return_when=FIRST_COMPLETED).done:
                    made = future.result()
                    yield flying.pop(future), made
        except BrokenProcessPool:
            for future, item in flying.items():
                if future.done() and future.exception() is None:
                    yield item, future.result()
                else:
                    suspects.append(item)
        except BaseException:  # an error, Ctrl-C, or nobody wants more: what is queued does not begin
            pool.shutdown(cancel_futures=True)
            raise


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
