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
Result = TypeVar("Result")

_first: dict[str, tuple[Any, ...]] = {}  # what each worker calls first: (function, *arguments)

_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}


@contextmanager
def worker_pool(
    workers: int, initializer: Callable[..., None] | None = None, initargs: tuple[Any, ...] = ()
) -> Iterator[ProcessPoolExecutor]:
    """A pool of spawned worker processes with one thread each.

    Parallelism is over scans; workers are spawned because forked OpenMP pools deadlock. A worker exits as soon as its
    parent is gone (killed, for example), so that no two runs write the same files when the run is resumed.

    Args:
        workers: Number of processes.
        initializer, initargs: As in `ProcessPoolExecutor`.
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
    """Make every worker that starts from now on call `function(*arguments)` first.

    Args:
        key: A second call with the same key replaces the first.
        function: A module-level function; it and its arguments are pickled. An error that it raises breaks the pool.
    """
    _first[key] = (function, *arguments)


def map_on_threads(work: Callable[[Item], Result], items: Sequence[Item], threads: int) -> list[Result]:
    """The results of `work` for all items, in order, on several threads: for kernels that release the GIL."""
    threads = min(threads, len(items))
    if threads <= 1:
        return [work(item) for item in items]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, items))


def map_on_processes(
    work: Callable[[Item], Result],
    items: Sequence[Item],
    workers: int,
    *,
    died: Callable[[Item], Result],
    queued: int = 1,
    on_start: Callable[[Item], None] = lambda item: None,
) -> Iterator[tuple[Item, Result]]:
    """Yield each item with the result of `work`, in the order of completion, from several processes.

    If an item kills its process (out of memory, a crash in a library), all items then in progress are computed again,
    one at a time, which identifies the one at fault. Only that item is lost.

    Args:
        work: A function that can be pickled. Its exceptions are raised here.
        items: Started in this order.
        workers: Number of processes.
        died: Gives the result of an item that kills its process.
        queued: Items queued per process. More than 1 keeps the processes busy if an item takes little time.
        on_start: Called here with each item as it is handed to a process.
    """
    waiting = list(reversed(items))
    while waiting:
        suspects: list[Item] = []
        yield from _map_until_broken(work, waiting, workers, queued, on_start, suspects)
        for item in suspects:
            with worker_pool(1) as pool:
                try:
                    result = pool.submit(work, item).result()
                except BrokenProcessPool:
                    result = died(item)
            yield item, result


def _map_until_broken(
    work: Callable[[Item], Result],
    waiting: list[Item],
    workers: int,
    queued: int,
    on_start: Callable[[Item], None],
    suspects: list[Item],
) -> Iterator[tuple[Item, Result]]:
    """Process `waiting` from its end. If a process dies, stop and put the items then in progress into `suspects`."""
    with worker_pool(min(workers, len(waiting))) as pool:
        running: dict[Future[Result], Item] = {}
        try:
            while waiting or running:
                while waiting and len(running) < queued * workers:
                    item = waiting[-1]
                    running[pool.submit(work, item)] = item
                    waiting.pop()
                    on_start(item)
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    result = future.result()
                    yield running.pop(future), result
        except BrokenProcessPool:
            for future, item in running.items():
                if future.done() and future.exception() is None:
                    yield item, future.result()
                else:
                    suspects.append(item)
        except BaseException:  # an error, Ctrl-C or a closed generator: queued items do not start
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
