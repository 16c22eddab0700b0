"""Worker processes and threads: what they start with, in which order they give, that none outlives its parent."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from fer3d.workers import TimeUp, map_on_processes, map_on_threads, time_limit, worker_pool

_PARENT = """
import os, sys, time
from pathlib import Path
from fer3d.workers import worker_pool

def work(folder):
    Path(folder, str(os.getpid())).touch()
    time.sleep(120)

if __name__ == "__main__":
    with worker_pool(2) as pool:
        list(pool.map(work, [sys.argv[1]] * 4))
"""


def setting(name):
    return os.environ.get(name)


def remember(value):
    os.environ["FER3D_TEST"] = value


@pytest.mark.parametrize("threads", [1, 3])
def test_what_threads_make_is_in_order(threads):
    seen = set()

    def work(item):
        seen.add(threading.get_ident())
        time.sleep(0.02 if item == 0 else 0.0)
        return -item

    assert map_on_threads(work, range(9), threads) == [-item for item in range(9)]
    assert (threading.get_ident() in seen) == (threads == 1)
    assert map_on_threads(work, (), threads) == []


def double_or_die(item):
    if item == 3:
        os._exit(9)
    if item == 7:
        raise ValueError("seven")
    return 2 * item


def test_an_item_that_kills_its_process_costs_only_itself():
    begun = []
    made = dict(map_on_processes(double_or_die, range(6), 2, died=lambda item: "died", queued=2, on_start=begun.append))
    assert made == {0: 0, 1: 2, 2: 4, 3: "died", 4: 8, 5: 10}
    assert begun == list(range(6))
    assert list(map_on_processes(double_or_die, (), 2, died=str)) == []


def hang_or_double(item):
    """Native code that does not return to Python."""
    while item == 1:
        sum(range(10**9))
    return 2 * item, os.environ.get("FER3D_BEGUN")


def begin():
    os.environ["FER3D_BEGUN"] = "yes"


def test_an_item_over_the_limit_costs_only_itself():
    taken, made = [], {}

    def items():
        for item in range(7):
            taken.append(item)
            yield item

    for item, result in map_on_processes(
        hang_or_double, items(), 2, died=lambda item: "died", queued=2, begin=begin, limit=0.3, late=lambda item: "late"
    ):
        if not made:
            assert len(taken) < 7  # no further than there is room
        made[item] = result
    assert made == {item: (2 * item, "yes") for item in range(7)} | {1: "late"}


def test_items_wait_until_they_may_start():
    """Here until no other item is in work, though there are two processes."""
    begun, made, at_once = [], [], []

    def on_start(item):
        begun.append(item)
        at_once.append(len(begun) - len(made))

    results = map_on_processes(
        double_or_die, range(3), 2, died=str, on_start=on_start, may_start=lambda: len(begun) == len(made)
    )
    for item, _ in results:
        made.append(item)
    assert made == [0, 1, 2]
    assert at_once == [1, 1, 1]


def broken_begin():
    raise ValueError("not begun")


def test_an_error_at_the_beginning_of_a_process_is_raised_here():
    with pytest.raises(ValueError, match="not begun"):
        list(map_on_processes(double_or_die, [1], 1, died=str, begin=broken_begin))


def test_a_limit_in_this_process_cannot_be_swallowed():
    before = signal.getsignal(signal.SIGALRM)
    with pytest.raises(TimeUp), time_limit(0.05):
        try:
            time.sleep(30)
        except Exception:
            time.sleep(30)
    assert signal.getsignal(signal.SIGALRM) == before
    with time_limit(0.0):
        pass
    with time_limit(30.0):
        pass
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_what_a_process_raises_is_raised_here():
    with pytest.raises(ValueError, match="seven"):
        list(map_on_processes(double_or_die, [7], 1, died=str))


def test_workers_have_one_thread_and_run_the_initializer():
    before = os.environ.get("OMP_NUM_THREADS")
    with worker_pool(1, remember, ("seen",)) as pool:
        assert list(pool.map(setting, ["OMP_NUM_THREADS", "FER3D_TEST"])) == ["1", "seen"]
    assert os.environ.get("OMP_NUM_THREADS") == before


@pytest.mark.skipif(sys.platform == "win32", reason="no kill -9")
def test_workers_leave_with_a_parent_that_was_killed(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(_PARENT, encoding="utf-8")
    (tmp_path / "pids").mkdir()
    parent = subprocess.Popen([sys.executable, script, tmp_path / "pids"])
    try:
        assert within(60, lambda: len(list((tmp_path / "pids").iterdir())) == 2)
    finally:
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    pids = [int(path.name) for path in (tmp_path / "pids").iterdir()]
    assert within(20, lambda: not any(map(runs, pids)))


def within(seconds, happened):
    """Whether something happens in this time."""
    end = time.monotonic() + seconds
    while not (done := happened()) and time.monotonic() < end:
        time.sleep(0.05)
    return done


def runs(pid):
    """Whether a process runs: it is there and no zombie."""
    try:
        if Path("/proc").is_dir():
            return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
        os.kill(pid, 0)
    except (FileNotFoundError, ProcessLookupError):
        return False
    return True
