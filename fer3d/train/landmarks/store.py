"""Examples on disk, in parts of a few scans each, so that a stopped simulation goes on where it stopped."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer3d.errors import FormatError
from fer3d.face.load import builtin_face, load_face
from fer3d.face.model import FaceModel
from fer3d.files import brief_line, read_bytes, write_bytes
from fer3d.train.landmarks.examples import Fronts, Views, fronts_of, views_of
from fer3d.train.landmarks.simulate import Simulator
from fer3d.workers import worker_pool

PART = 16  # people and things of a part
_VIEWS, _FRONTS = 3, 4  # pictures of a scan for each network
_AHEAD = 3  # parts per worker that are under way or wait to be written


@dataclass(frozen=True, slots=True)
class SimulationPlan:
    """What the examples depend on.

    Attributes:
        seed: Seed of all random numbers.
        people: Number of people and things; each is scanned a few times.
        face_models: Files of face models; None is the built-in one. People take them in turn.
    """

    seed: int
    people: int
    face_models: tuple[str | None, ...]

    @property
    def parts(self) -> int:
        """Number of parts."""
        return -(-self.people // PART)


def simulate(
    plan: SimulationPlan, folder: Path, workers: int, progress: Callable[[int, int], None] | None = None
) -> None:
    """Write the parts that are missing in a folder.

    Raises:
        FileError, FormatError: if a face model cannot be read, or a part cannot be written.
    """
    due = [part for part in range(plan.parts) if not _path(folder, part).exists()]
    done = plan.parts - len(due)
    if progress is not None:
        progress(done, plan.parts)
    for part, content in _made(plan, due, workers):
        write_bytes(_path(folder, part), content, make_folder=True)
        done += 1
        if progress is not None:
            progress(done, plan.parts)


def examples(plan: SimulationPlan, folder: Path, kind: type[Views] | type[Fronts]) -> dict[str, NDArray[Any]]:
    """The columns of all parts for one network. FormatError if a part is damaged."""
    columns: dict[str, list[NDArray[Any]]] = {name: [] for name in kind._fields}
    for part in range(plan.parts):
        path = _path(folder, part)
        content = read_bytes(path)
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
                for name, column in columns.items():
                    column.append(arrays[f"{kind.__name__}.{name}"])
        except Exception as error:  # the decoder of damaged files raises nearly everything
            raise FormatError(f"{path}: examples were wanted: {brief_line(str(error))}; delete it") from None
    return {name: np.concatenate(column) for name, column in columns.items()}


def face_model(name: str | None) -> FaceModel:
    """The built-in face model, or one from a file."""
    return builtin_face() if name is None else load_face(name)


def _path(folder: Path, part: int) -> Path:
    return folder / f"part-{part:05d}.npz"


def _made(plan: SimulationPlan, due: list[int], workers: int) -> Iterator[tuple[int, bytes]]:
    """Parts in order, from several processes."""
    if workers == 1:
        _open(plan)
        yield from ((part, _part(part)) for part in due)
        return
    with worker_pool(min(workers, max(len(due), 1)), _open, (plan,)) as pool:
        flying: list[tuple[int, Future[bytes]]] = []
        try:
            for part in due:
                flying.append((part, pool.submit(_part, part)))
                if len(flying) > _AHEAD * workers:
                    first, future = flying.pop(0)
                    yield first, future.result()
            for first, future in flying:
                yield first, future.result()
        finally:
            pool.shutdown(cancel_futures=True)


_opened: tuple[SimulationPlan, list[Simulator]] | None = None  # of this process


def _open(plan: SimulationPlan) -> None:
    global _opened
    _opened = plan, [Simulator(face_model(name), plan.seed) for name in plan.face_models]


def _part(part: int) -> bytes:
    """The content of the file of a part."""
    assert _opened is not None
    plan, simulators = _opened
    views: list[Views] = []
    fronts: list[Fronts] = []
    for number in range(part * PART, min((part + 1) * PART, plan.people)):
        generator = np.random.default_rng([plan.seed, number])
        for scan in simulators[number % len(simulators)].scans(generator):
            views.append(views_of(scan, generator, _VIEWS))
            fronts.append(fronts_of(scan, generator, _FRONTS))
    arrays: dict[str, NDArray[Any]] = {}
    for kind, rows in ((Views, views), (Fronts, fronts)):
        for k, name in enumerate(kind._fields):
            arrays[f"{kind.__name__}.{name}"] = np.concatenate([row[k] for row in rows])
    content = io.BytesIO()
    np.savez(content, **arrays)  # type: ignore[arg-type]
    return content.getvalue()
