"""Kernels are compiled before a job starts: all that it calls, each once, those that others call first."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

import pytest

from fer3d.config import PreprocessSettings
from fer3d.kernels import compiling
from fer3d.kernels.compiling import Kernel, compile_kernels
from fer3d.prepare.scan import needed_kernels

ROOT = Path(__file__).parents[2]
EVERYTHING = tuple(
    dict.fromkeys(kernel for group in vars(compiling).values() if isinstance(group, tuple) for kernel in group)
)

_JOBS = """
import sys
from pathlib import Path
from typing import ClassVar
from numba.core.dispatcher import Dispatcher
from fer3d import synth
from fer3d.config import PreprocessSettings
from fer3d.prepare.folder import preprocess
from fer3d.prepare.scan import needed_kernels
from fer3d.kernels.compiling import SIMULATION

def compiled():
    modules = [module for name, module in list(sys.modules.items()) if name.startswith("fer3d.kernels.")]
    found = [value for module in modules for value in vars(module).values() if isinstance(value, Dispatcher)]
    return {f"{kernel.py_func.__name__}{types}" for kernel in found for types in kernel.signatures}

def run(job, kernels):
    for kernel in kernels:
        kernel.compile()
    before = compiled()
    result = job()
    print(sorted(compiled() - before))
    return result

folder = Path(sys.argv[1])
run(lambda: synth.make(folder / "scans", subjects=1, levels=(4,)), SIMULATION)
for pose in ("file", "found"):
    settings = PreprocessSettings(size=96, pose=pose)
    summary = run(lambda: preprocess(folder / "scans", folder / pose, settings=settings, workers=1),
                  needed_kernels(settings))
    assert summary.prepared and not summary.failures
"""

_CACHE = """
from fer3d.kernels.compiling import CLEAN
kernel = next(kernel for kernel in CLEAN if kernel.name == "topology.kept_rows")
print(kernel.is_cached())
kernel.compile()
print(kernel.is_cached())
"""


def run(code, *arguments, **environment):
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split("\n")[:-1]


def test_jobs_call_no_kernel_that_the_table_lacks_and_with_no_other_types(tmp_path):
    assert run(_JOBS, str(tmp_path)) == ["[]", "[]", "[]"]


def test_a_kernel_is_cached_once_it_is_compiled(tmp_path):
    assert run(_CACHE, NUMBA_CACHE_DIR=str(tmp_path)) == ["False", "True"]
    assert run(_CACHE, NUMBA_CACHE_DIR=str(tmp_path)) == ["True", "True"]


def test_kernels_that_others_call_are_in_the_table():
    names = {kernel.name for kernel in EVERYTHING}
    assert len(names) == len(EVERYTHING) > 40
    assert {name for kernel in EVERYTHING for name in kernel.calls} <= names


def names_for(**settings):
    return {kernel.name.split(".")[0] for kernel in needed_kernels(PreprocessSettings(**settings))}


def test_only_what_the_settings_ask_for():
    assert "views" in names_for() and "views" in names_for(pose="found")
    assert "hole_fill" in names_for() and "hole_fill" not in names_for(hole_mm=0.0)
    assert "spikes" in names_for() and "spikes" not in names_for(spike_mm=0.0)
    assert "curvature" not in names_for(maps=("depth",)) and "curvature" in names_for(maps=("depth",), tree=True)


class Fake(Kernel):
    """Does not compile but notes its name."""

    log: ClassVar[list[str]] = []
    fails = ""

    def is_cached(self):
        return self.types == "cached"

    def compile(self):
        if self.name == self.fails:
            raise BrokenProcessPool("died")
        self.log.append(self.name)


@pytest.fixture
def log(monkeypatch):
    monkeypatch.setattr(Fake, "log", [])
    return Fake.log


@contextmanager
def threads(count):
    with ThreadPoolExecutor(count) as pool:
        yield pool


KERNELS = (
    Fake("short", "", 1.0),
    Fake("outer", "", 9.0, ("inner", "older")),
    Fake("inner", "", 2.0),
    Fake("older", "cached", 5.0),
    Fake("short", "", 1.0),
    Fake("long", "", 4.0),
)


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_each_once_and_the_called_ones_before(workers, log):
    ticks = []
    assert compile_kernels(KERNELS, threads, workers, lambda *tick: ticks.append(tick)) == 4
    assert sorted(log) == ["inner", "long", "outer", "short"]
    assert workers == 1 or log.index("inner") < log.index("outer")
    assert ticks == [(done, 4) for done in range(5)]


def test_nothing_to_compile_starts_nothing_and_says_nothing(log):
    assert compile_kernels([KERNELS[3]], None, 2, None) == 0
    assert compile_kernels(KERNELS[:1], None, 2, None) == 1 and log == ["short"]  # not worth a second process


def test_a_process_that_dies_does_not_end_the_job(log, monkeypatch):
    monkeypatch.setattr(Fake, "fails", "long")
    assert compile_kernels(KERNELS, threads, 2) == 4
    assert "long" not in log
