"""Worker processes and threads for jobs over many scans."""

from __future__ import annotations

import os
import pickle
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

from fer3d.errors import Fer3dError, internal_error

Item = TypeVar("Item")
Result = TypeVar("Result")

_first: dict[str, tuple[Any, ...]] = {}  # what each worker calls first: (function, *arguments)

_ALARM_AGAIN = 1.0  # s after which the alarm of `time_limit` comes again, if Python dropped its exception
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
    first = tuple(_first.values())
    with (
        _one_thread(),
        ProcessPoolExecutor(workers, get_context("spawn"), _begin, (first, initializer, initargs)) as pool,
    ):
        yield pool


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let processes that start in the block have one thread."""
    before = {name: os.environ.get(name) for name in _ONE_THREAD}
    os.environ.update(_ONE_THREAD)
    try:
        yield
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
    items: Iterable[Item],
    workers: int,
    *,
    died: Callable[[Item], Result],
    queued: int = 1,
    on_start: Callable[[Item], None] = lambda item: None,
    begin: Callable[[], None] | None = None,
    limit: float = 0.0,
    late: Callable[[Item], Result] | None = None,
    may_start: Callable[[], bool] = lambda: True,
) -> Iterator[tuple[Item, Result]]:
    """Yield each item with the result of `work`, in the order of completion, from several processes.

    If an item kills its process (out of memory, a crash in a library), or takes longer than the limit, only that item
    is lost. Another process takes the items that were queued behind it. When the iterator ends or is closed, all
    processes end at once; they also end if this process is killed.

    Args:
        work: A function that can be pickled. Its exceptions are raised here.
        items: Started in this order; read only as far as processes have room for them.
        workers: Number of processes.
        died: Gives the result of an item that kills its process.
        queued: Items handed to a process at once. More than 1 keeps the processes busy if an item takes little time.
        on_start: Called here with each item as it is handed to a process.
        begin: Called once in each process before its first item. Its time does not count towards a limit.
        limit: Seconds that an item may take; its process is killed after that. 0: no limit.
        late: Gives the result of an item that takes longer than the limit. None: as `died`.
        may_start: Asked before each item of `items` is handed out; False delays it until a result has come.
    """
    source, left = iter(items), deque[Item]()  # `left`: handed to a process that ended before it began them
    crew: list[_Worker[Item, Result]] = []

    def feed() -> None:
        while True:
            worker = min(crew, key=lambda worker: len(worker.items), default=None)
            if (worker is None or worker.items) and len(crew) < workers:
                worker = None
            elif worker is None or len(worker.items) >= queued:
                return
            if left:
                item = left.popleft()
            elif may_start():
                try:
                    item = next(source)
                except StopIteration:
                    return
                on_start(item)
            else:
                return
            if worker is None:
                worker = _Worker(work, begin)
                crew.append(worker)
            worker.hand(item)

    try:
        feed()
        while any(worker.items for worker in crew):
            for worker in _ready([worker for worker in crew if worker.items], limit):
                lost = worker.receive()
                yield from worker.take_results()
                if not lost and worker.is_late(limit):
                    lost, reason = True, late or died
                else:
                    reason = died
                if lost:
                    worker.stop()
                    crew.remove(worker)
                    if worker.items:
                        item = worker.items.popleft()
                        left.extendleft(reversed(worker.items))
                        yield item, reason(item)
            feed()
    finally:
        for worker in crew:
            worker.stop()


class _Worker(Generic[Item, Result]):
    """A process that works on items in order, and what is known of it here.

    Attributes:
        items: The items that it was handed and of which no result has come, the one in work first.
        connection: Gives its messages: ("begun", None), ("done", result), ("raised", exception).
    """

    def __init__(self, work: Callable[[Item], Result], begin: Callable[[], None] | None) -> None:
        context = get_context("spawn")
        self.connection, far = context.Pipe()
        self.items: deque[Item] = deque()
        self._results: list[tuple[Item, Result]] = []
        self._begun: float | None = None
        self._process = context.Process(target=_serve, args=(far, tuple(_first.values()), begin, work), daemon=True)
        with _one_thread():
            self._process.start()
        far.close()  # so that reading from this side ends when the process dies

    def hand(self, item: Item) -> None:
        """Hand it one more item."""
        self.items.append(item)
        with suppress(OSError):  # it has died; `receive` finds out
            self.connection.send((item,))

    def receive(self) -> bool:
        """Read its messages. Returns whether it is dead. Raises what `work` raised."""
        try:
            while self.connection.poll():
                kind, value = self.connection.recv()
                if kind == "raised":
                    raise value
                if kind == "done":
                    self._results.append((self.items.popleft(), value))
                self._begun = time.monotonic() if kind == "begun" else None
        except (EOFError, ConnectionError):
            return True
        return False

    def take_results(self) -> list[tuple[Item, Result]]:
        """The results that `receive` has read since the last call."""
        results, self._results = self._results, []
        return results

    def seconds_left(self, limit: float) -> float | None:
        """The seconds until its item is late; None without a limit, or before it has begun the item."""
        return limit - (time.monotonic() - self._begun) if limit and self._begun is not None else None

    def is_late(self, limit: float) -> bool:
        """Whether its item has taken longer than the limit."""
        seconds = self.seconds_left(limit)
        return seconds is not None and seconds <= 0

    def stop(self) -> None:
        """Kill it, whatever it does."""
        self._process.kill()
        self._process.join()
        self.connection.close()


def _ready(crew: Sequence[_Worker[Item, Result]], limit: float) -> list[_Worker[Item, Result]]:
    """Wait until a process has sent something, has died or is late, and return those."""
    seconds = [left for worker in crew if (left := worker.seconds_left(limit)) is not None]
    sent = wait([worker.connection for worker in crew], max(0.0, min(seconds)) if seconds else None)
    return [worker for worker in crew if worker.connection in sent or worker.is_late(limit)]


def _serve(
    connection: Connection,
    first: tuple[tuple[Any, ...], ...],
    begin: Callable[[], None] | None,
    work: Callable[[Any], Any],
) -> None:
    """Work on the items that come, in a process; the process ends with the connection."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # after Ctrl-C the parent closes the connection
    inbox: SimpleQueue[tuple[Any]] = SimpleQueue()
    threading.Thread(target=_fill, args=(connection, inbox), daemon=True).start()
    try:
        for function, *arguments in first:
            function(*arguments)
        if begin is not None:
            begin()
        while True:
            (item,) = inbox.get()
            connection.send(("begun", None))
            connection.send(("done", work(item)))
    except Exception as error:
        connection.send(("raised", _sendable(error)))


def _fill(connection: Connection, inbox: SimpleQueue[tuple[Any]]) -> None:
    """Receive items while the process works, so that the parent never waits for it; leave with the parent."""
    with suppress(EOFError, OSError):
        while True:
            inbox.put(connection.recv())
    os._exit(1)


def _sendable(error: Exception) -> Exception:
    """The error, or one that tells it if it cannot be pickled."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return Fer3dError(internal_error(error))
    return error


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise TimeUp in the block when the time is over: as soon as Python code runs, as native code is not interrupted.

    Works in the main thread only; elsewhere, and for 0 seconds, there is no limit.
    """
    if not seconds or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: object) -> None:
        raise TimeUp

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds, _ALARM_AGAIN)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


class TimeUp(BaseException):
    """The time of `time_limit` is over. No Exception, so that no reader of files takes it for a damaged file."""


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
