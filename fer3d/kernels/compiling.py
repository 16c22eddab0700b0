"""Compile the kernels that a job needs once, before its workers start.

Numba compiles a kernel when it is first called and keeps it in its cache on disk. Worker processes that start together
on an empty cache would each compile every kernel. Therefore separate processes first share the compilation of the
kernels that are not in the cache; the workers of the job then only load them.

The table states the types with which the package calls its kernels: `f4[:,::1]` is a C-contiguous matrix of float32.
`tests/kernels/test_compiling.py` runs the jobs and fails if one compiles a kernel that is not in the table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from numba import config
from numba.core import sigutils

_WORTH_PROCESSES = 3.0  # s of compilation on one core; less ends before a second process has started


@dataclass(frozen=True)
class Kernel:
    """A kernel with the types of its arguments.

    Attributes:
        name: Module in `fer3d.kernels`, a dot, and the function.
        types: Types of the arguments, in Numba's notation.
        seconds: Approximate compilation time on one core, which only sets the order of compilation.
        calls: Names of kernels that it calls, which are compiled before it so that their code is reused.
    """

    name: str
    types: str
    seconds: float
    calls: tuple[str, ...] = ()

    def function(self) -> Any:
        """The kernel, a Numba dispatcher."""
        module, _, name = self.name.partition(".")
        return getattr(import_module(f"{__package__}.{module}"), name)

    def compile(self) -> None:
        """Compile the kernel for these types and write it to Numba's cache, or load it from there."""
        self.function().compile(self._arguments())

    def is_cached(self) -> bool:
        """Whether Numba's cache on disk holds the kernel, compiled from the current source for this processor type."""
        function = self.function()
        cache = function._cache  # Numba has no public way to ask without compiling
        return cache._index_key(self._arguments(), function.targetctx.codegen()) in cache._cache_file._load_index()

    def _arguments(self) -> tuple[Any, ...]:
        # Types as a call has them, because a signature given as text has another cache key.
        arguments: tuple[Any, ...] = sigutils.normalize_signature(f"({self.types},)")[0]  # type: ignore[no-untyped-call]
        return arguments


_FACES, _POINTS, _VERTICES, _FLAGS, _ROWS = "i4[:,::1]", "f8[:,::1]", "f4[:,::1]", "b1[::1]", "i4[::1]"

_ORDER = Kernel("small.stable_order", "i8[::1]", 0.3)
_SOLVE = Kernel("small.solve", f"{_POINTS}, {_POINTS}", 1.4)
_VERTEX_FACES = Kernel("topology.vertex_faces", f"{_FACES}, i8", 0.3)

WELD = (
    _ORDER,
    Kernel("topology.weld", _VERTICES, 0.8),
    Kernel("topology.face_neighbours", f"{_FACES}, i8", 0.6, ("small.stable_order",)),
    Kernel("topology.components", f"{_FACES}, {_FACES}", 0.3),
)
"""What every job on meshes needs."""

CLEAN = (
    *WELD,
    Kernel("topology.face_faults", f"{_VERTICES}, {_FACES}, f8", 0.9, ("topology.double_area", "small.stable_order")),
    Kernel("topology.welded_faces", f"{_FACES}, {_ROWS}", 0.2),
    Kernel("topology.double_area", f"{_VERTICES}, i4, i4, i4", 0.3),
    Kernel("topology.component_areas", f"{_VERTICES}, {_FACES}, {_ROWS}, i8", 0.2, ("topology.double_area",)),
    Kernel("topology.kept_rows", f"{_FACES}, {_FLAGS}, i8", 0.3),
    Kernel("winding.outwardness", f"{_VERTICES}, {_FACES}, {_ROWS}, {_FLAGS}, i8", 0.7),
    Kernel("normals.vertex_normals", f"{_VERTICES}, {_FACES}, {_ROWS}", 0.5),
)
"""What preparing a scan takes, whatever the settings."""

SPIKES = (
    _VERTEX_FACES,
    Kernel("spikes.spikes", f"{_VERTICES}, {_FACES}, f8", 3.3, ("topology.vertex_faces",)),
)

HOLES = (
    _VERTEX_FACES,
    Kernel("topology.boundary_loops", f"{_FACES}, {_FACES}", 0.9),
    Kernel("topology.loop_extents", f"{_VERTICES}, {_ROWS}, {_ROWS}, f8", 0.4),
    Kernel("topology.component_extents", f"{_VERTICES}, {_FACES}, {_ROWS}, i8", 0.3),
    _SOLVE,
    Kernel("hole_fill.refine", f"{_POINTS}, {_FACES}, b1[:,::1]", 2.0),
    Kernel("hole_fill.lift", f"{_POINTS}, {_POINTS}, {_POINTS}, f8[::1]", 3.0, ("small.solve",)),
    Kernel("hole_fill.membrane", f"{_FACES}, i8", 0.8, ("small.solve",)),
    Kernel("hole_fill.triangulate", f"{_POINTS}, {_POINTS}, b1[:,::1]", 1.0),
    Kernel("hole_fill._has_area", f"{_POINTS}, {_POINTS}, {_FACES}", 0.4),
    Kernel(
        "hole_fill.fill",
        f"{_VERTICES}, {_VERTICES}, {_FACES}, {_FACES}, {_ROWS}, {_ROWS}, {_ROWS}, {_FLAGS}, {_ROWS}, {_ROWS}",
        2.0,
        ("hole_fill.refine", "hole_fill.lift", "hole_fill.membrane", "hole_fill.triangulate", "hole_fill._has_area"),
    ),
)

LANDMARKS = (Kernel("winding.mean_normal", f"{_VERTICES}, {_FACES}, f8[::1], f8", 0.3),)
"""What the pose from landmarks takes."""

FIND = (
    Kernel("surface_samples.surface_samples", f"{_VERTICES}, {_FACES}, f8, f8", 0.4),
    Kernel("raster.zbuffer", f"{_POINTS}, {_FACES}, i8, i8, f4[:,:,::1]", 1.0),
    Kernel("views.splat", f"{_POINTS}, {_POINTS}, {_POINTS}, f8[::1], f8, i8", 1.5),
    Kernel("views.surface_view", f"{_FACES}, f4[:,:,::1], {_FACES}, f8[::1], {_POINTS}, f8", 1.5),
    Kernel("views.lift", f"{_POINTS}, {_FACES}, {_FACES}, {_POINTS}, i8, f8, f8", 1.0),
)
"""What finding landmarks on the shape takes."""

CURVATURE = (
    Kernel("cells.cell_table", f"{_POINTS}, {_FLAGS}, f8, f8[::1], i8[::1]", 0.9),
    Kernel("curvature.links", f"{_FACES}, {_ROWS}, {_ROWS}, i8", 0.5),
    Kernel("curvature.ring_mean", f"{_VERTICES}, {_ROWS}, {_ROWS}", 0.4),
    Kernel(
        "curvature.principal_curvatures",
        f"{_POINTS}, {_POINTS}, {_ROWS}, i8[::1], {_ROWS}, {_ROWS}, {_FLAGS}, {_FLAGS}, f8, i8",
        3.1,
    ),
    Kernel(
        "coarse_curvature.coarse_curvatures",
        f"{_POINTS}, {_POINTS}, {_ROWS}, {_ROWS}, {_FLAGS}, f8, f8, f8, f8, i8",
        3.0,
    ),
)

MAPS = (
    Kernel("raster.zbuffer", f"{_POINTS}, {_FACES}, i8, i8, f4[:,:,::1]", 1.0),
    Kernel("sampling.interpolate", f"{_FACES}, f4[:,:,::1], {_FACES}, {_VERTICES}", 0.3),
    Kernel("inpaint.fill_holes", "f4[:,:,::1], b1[:,::1], i8", 2.5),
)

TEXTURE = (
    Kernel("sampling.look_up", f"{_FACES}, f4[:,:,::1], {_FACES}, {_POINTS}, {_VERTICES}, u1[:,:,::1], i8, i8", 0.8),
)

SIMULATION = (
    *WELD,
    Kernel("raster.zbuffer", f"{_POINTS}, {_FACES}, i8, i8, f4[:,:,::1]", 1.0),
    Kernel(
        "shading.shade",
        f"{_FACES}, f4[:,:,::1], {_FACES}, {_VERTICES}, {_VERTICES}, {_VERTICES}, {_VERTICES}, f4[:,:,::1], "
        f"{_VERTICES}, {_VERTICES}, {_VERTICES}, f4[::1], f4",
        1.0,
    ),
    Kernel("shading.area_normals", f"{_POINTS}, {_FACES}", 0.6),
    Kernel("shading.expose", "f4[:,:,::1], f4[:,:,::1], f4[::1], u1[::1]", 0.3),
    Kernel("shadow.depth_map", f"{_POINTS}, {_FACES}, i8, i8", 0.4),
    Kernel("shadow.seen_share", f"{_POINTS}, {_VERTICES}, f8", 0.3),
)
"""What simulating scans takes."""


def compile_kernels(
    kernels: Iterable[Kernel],
    pool: Callable[[int], AbstractContextManager[Executor]],
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Compile the kernels that are not in Numba's cache yet.

    Args:
        kernels: Kernels to compile; duplicates count once.
        pool: Creates an executor with a given number of processes (`fer3d.workers.worker_pool`).
        workers: Number of processes that share the kernels, the longest first. They start only if that saves time.
        progress: Called at the start and after each kernel with the number of compiled kernels and of those to
            compile. Not called if all are in the cache.

    Returns:
        How many were not in the cache.
    """
    if config.DISABLE_JIT:  # type: ignore[attr-defined]  # Numba sets it when it reads the environment
        return 0
    missing = [kernel for kernel in dict.fromkeys(kernels) if not kernel.is_cached()]
    missing.sort(key=lambda kernel: -kernel.seconds)
    if missing and progress is not None:
        progress(0, len(missing))
    together = workers > 1 and sum(kernel.seconds for kernel in missing) > _WORTH_PROCESSES
    compiled = _shared_out(missing, pool, workers) if together else _one_by_one(missing)
    for done, _ in enumerate(compiled, 1):
        if progress is not None:
            progress(done, len(missing))
    return len(missing)


def load_kernels(kernels: Iterable[Kernel]) -> None:
    """Load kernels from Numba's cache into this process, or compile them."""
    if not config.DISABLE_JIT:  # type: ignore[attr-defined]
        for kernel in kernels:
            kernel.compile()


def _one_by_one(kernels: Sequence[Kernel]) -> Iterator[Kernel]:
    for kernel in kernels:
        kernel.compile()
        yield kernel


def _shared_out(
    kernels: Sequence[Kernel], pool: Callable[[int], AbstractContextManager[Executor]], workers: int
) -> Iterator[Kernel]:
    """Yield each kernel after it is compiled. If a process dies, its kernels are compiled at their first call."""
    waiting, flying = list(kernels), dict[Future[None], Kernel]()
    with pool(min(workers, len(kernels))) as executor:
        try:
            while waiting or flying:
                unfinished = {kernel.name for kernel in (*waiting, *flying.values())}
                ready = [kernel for kernel in waiting if unfinished.isdisjoint(kernel.calls)]
                for kernel in ready[: workers - len(flying)]:
                    flying[executor.submit(kernel.compile)] = kernel
                    waiting.remove(kernel)
                for future in wait(flying, return_when=FIRST_COMPLETED).done:
                    kernel = flying.pop(future)
                    future.result()
                    yield kernel
        except BrokenProcessPool:
            return
