"""Many runs: a `Job` is one call of `train`; an executor does jobs here, or wherever there are machines.

An executor is any callable that takes jobs and yields a `JobResult` for each, in any order. It may send them to other
machines; a job has gone well when its run folder lies at `job.out` on this one. Jobs are plain data that can be
pickled, and `do_job` does one: a run that was begun goes on, a finished one is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch

from fer3d.config import TrainSettings
from fer3d.errors import Fer3dError, internal_error
from fer3d.train.plan import Experiment
from fer3d.train.run import Callbacks, Device, train
from fer3d.workers import map_on_processes


@dataclass(frozen=True)
class Job:
    """The arguments of one call of `fer3d.train.run.train`.

    Attributes:
        model, experiment, out, settings: As `train` takes them; every job has a run folder `out` of its own.
        cost: How long it takes, in any unit: several workers begin with the longest, so that none waits for it.
    """

    model: str
    experiment: Experiment
    out: Path
    settings: TrainSettings
    cost: float = 1.0


@dataclass(frozen=True)
class JobResult:
    """What became of a job: `reason` says in one line why it failed, and is empty if it went well."""

    job: Job
    reason: str = ""


class Executor(Protocol):
    """Does jobs somewhere: `LocalExecutor`, or a callable of yours for other machines."""

    def __call__(self, jobs: Sequence[Job], on_start: Callable[[Job], None]) -> Iterator[JobResult]:
        """Do every job once; call `on_start` as one begins, if that is known; yield one result a job, in any order."""


@dataclass(frozen=True, eq=False)
class LocalExecutor:
    """Jobs on this machine. A job that fails costs only itself.

    Attributes:
        workers: 1: one job after another, in this process. More: as many at once on the CPU, a process a job and a
            thread a process, which small networks use better than all threads; `device` and `callbacks` are then not
        used.
        device, callbacks: As `train` takes them.
    """

    workers: int = 1
    device: Device | None = None
    callbacks: Callbacks | None = None

    def __call__(self, jobs: Sequence[Job], on_start: Callable[[Job], None] = lambda job: None) -> Iterator[JobResult]:
        """As `Executor`."""
        if self.workers == 1:
            for job in jobs:
                on_start(job)
                yield do_job(job, self.device, self.callbacks)
            return
        longest_first = sorted(jobs, key=lambda job: -job.cost)
        for _, result in map_on_processes(_on_cpu, longest_first, self.workers, died=_died, on_start=on_start):
            yield result


def do_job(job: Job, device: Device | None = None, callbacks: Callbacks | None = None) -> JobResult:
    """Train and test, or go on with a run that was begun. What goes wrong is the reason in the result.

    Where several processes share the run it is raised instead: the others wait for this one, and must end with it.
    """
    try:
        train(job.model, job.experiment, job.out, job.settings, resume=True, device=device, callbacks=callbacks)
    except Exception as error:
        if _is_shared():
            raise
        return JobResult(job, _reason(error))
    return JobResult(job)


def _on_cpu(job: Job) -> JobResult:
    return do_job(job, Device("cpu"))


def _died(job: Job) -> JobResult:
    return JobResult(job, "the worker process died on it (out of memory, or a crash in a library)")


def _reason(error: Exception) -> str:
    if isinstance(error, MemoryError | torch.cuda.OutOfMemoryError):
        return "not enough memory to train it"
    return " ".join(str(error).split()) if isinstance(error, Fer3dError) else internal_error(error)


def _is_shared() -> bool:
    """Whether this process trains together with others."""
    import torch.distributed as dist

    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
