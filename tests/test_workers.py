"""Worker processes and threads: what they start with, in which order they give, that none outlives its parent."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from fer3d.workers import map_on_processes, map_on_threads, worker_pool

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
