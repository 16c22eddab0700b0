"""Many runs: a `Job` is one call of `train`; an executor runs jobs on this machine or on others.

An executor is any callable that takes jobs and yields a `JobResult` for each, in any order. It may send jobs to other
machines; a job has succeeded when its run folder exists at `job.out` on this machine. Jobs are plain data that can be
pickled. `do_job` runs one job: it resumes a run that was interrupted and keeps a run that is finished.
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
        model, experiment, out, settings: Arguments of `train`; every job has its own run folder `out`.
        cost: Expected duration, in any unit. With several workers the longest jobs start first.
    """

    model: str
    experiment: Experiment
    out: Path
    settings: TrainSettings
    cost: float = 1.0


@dataclass(frozen=True)
class JobResult:
    """The outcome of a job: `reason` says in one line why the job failed, and is empty if it succeeded."""

    job: Job
    reason: str = ""


class Executor(Protocol):
    """Runs jobs: `LocalExecutor`, or your own callable for other machines."""

    def __call__(self, jobs: Sequence[Job], on_start: Callable[[Job], None]) -> Iterator[JobResult]:
        """Run every job once; call `on_start` when a job starts, if that is known; yield one result per job."""


@dataclass(frozen=True, eq=False)
class LocalExecutor:
    """Runs jobs on this machine. A job that fails does not stop the others.

    Attributes:
        workers: With 1, jobs run one after another in this process. With more, so many jobs run at once on the CPU,
            each in its own process with one thread, which suits small networks better than one job on all threads;
            `device` and `callbacks` are then not used.
        device, callbacks: Arguments of `train`.
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
    """Train and test, or resume a run that was interrupted. An error becomes the reason in the result.

    If several processes share the run, the error is raised instead: the other processes wait for this one and must end
    with it.
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
    """Whether this process shares a run with other processes."""
    import torch.distributed as dist

    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
