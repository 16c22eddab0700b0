"""Geodesic stencils of many meshes at once, on the device of their vertices: for meshes that change during training.

`fer3d.tree.geodesic_stencils` handles one mesh in NumPy. Here the CPU computes once what does not change when vertices
move (which face lies behind which edge); meshes are packed one after the other, and one launch follows all rays of all
meshes, with one CUDA thread per ray.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from fer3d import _native
from fer3d.checks import check_dtype, check_index, check_shape
from fer3d.errors import ArgumentError
from fer3d.tree.stencils import RAYS, geodesic_stencils


@dataclass(frozen=True, slots=True, eq=False)
class TracingTables:
    """The connectivity of meshes that tracing needs, besides the positions of their vertices.

    Attributes:
        faces: (F, 3) int32, rows of the packed vertices.
        twin: (3 F,) int32. The opposite half-edge of each half-edge, -1 at a boundary; see csrc/sample_tree.
        sources: (N,) int32. Rows of the packed vertices.
        leaving: (N,) int32. A half-edge of the widest fan of faces at each source, -1 if it has no face.
        vertices: V, the number of vertices of all meshes together.
    """

    faces: torch.Tensor
    twin: torch.Tensor
    sources: torch.Tensor
    leaving: torch.Tensor
    vertices: int

    @classmethod
    def of(cls, vertices: NDArray[np.floating], faces: NDArray[np.int32], sources: NDArray[np.int32]) -> TracingTables:
        """The tables of one mesh, on the CPU.

        Args:
            vertices: (V, 3) float32 or float64. They decide which faces are valid and which fan of a vertex is widest.
            faces: (F, 3) int32, counter-clockwise from outside.
            sources: (N,) int32. The vertices to trace from.

        Raises:
            ArgumentError: if an argument has the wrong type, shape or range.
        """
        if not isinstance(vertices, np.ndarray) or vertices.dtype not in (np.float32, np.float64):
            raise ArgumentError("`vertices` should be a NumPy array of float32 or float64")
        check_shape("vertices", vertices, ("V", 3))
        check_dtype("faces", faces, np.int32)
        check_shape("faces", faces, ("F", 3))
        check_index("faces", faces, len(vertices))
        check_dtype("sources", sources, np.int32)
        check_shape("sources", sources, ("N",))
        check_index("sources", sources, len(vertices))
        faces, sources = np.ascontiguousarray(faces), np.ascontiguousarray(sources)
        twin, leaving = _native.tracing_tables(np.ascontiguousarray(vertices, dtype=np.float64), faces, sources)
        parts = [torch.from_numpy(part) for part in (faces.copy(), twin, sources.copy(), leaving)]
        return cls(parts[0], parts[1], parts[2], parts[3], len(vertices))

    @classmethod
    def packed(cls, tables: Sequence[TracingTables]) -> TracingTables:
        """Pack several meshes into one: vertices, faces and sources of each follow those of the mesh before.

        Raises:
            ArgumentError: if `tables` is empty, or the meshes have 2^31 or more half-edges together.
        """
        if not tables:
            raise ArgumentError("`tables` should hold those of at least one mesh, is empty")
        count = sum(len(table.twin) for table in tables)
        if count >= 1 << 31:
            raise ArgumentError(f"`tables` should have at most 2^31 half-edges together, have {count}")
        blocks: list[tuple[torch.Tensor, ...]] = []
        row = edge = 0
        for table in tables:
            twin, leaving = (torch.where(part >= 0, part + edge, part) for part in (table.twin, table.leaving))
            blocks.append((table.faces + row, twin, table.sources + row, leaving))
            row, edge = row + table.vertices, edge + len(table.twin)
        parts = [torch.cat(column) for column in zip(*blocks, strict=True)]
        return cls(parts[0], parts[1], parts[2], parts[3], row)

    def to(self, device: torch.device | str) -> TracingTables:
        """The tables on another device."""
        parts = [part.to(device) for part in (self.faces, self.twin, self.sources, self.leaving)]
        return TracingTables(parts[0], parts[1], parts[2], parts[3], self.vertices)


def trace(
    vertices: torch.Tensor,
    tables: TracingTables,
    radii: Sequence[float],
    rays: int = RAYS,
    *,
    direction: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """`geodesic_stencils` of all sources of all meshes of `tables`, on the device of `vertices`, in float64.

    On CUDA the call is queued and returns without waiting. The result equals that of the CPU up to the last digits of
    sines, which can matter for a ray that meets a vertex. Faces whose corners have collapsed to one position since the
    tables were computed count as holes; around a source of such a face, samples may be masked that new tables would
    find. No gradient flows to the vertices.

    Args:
        vertices: (V, 3) float32 or float64, of all meshes, packed like the tables.
        tables: On the same device.
        radii: K distances, ascending, above zero.
        rays: A.
        direction: (N, 3) Direction of ray 0 of each source; None: see `geodesic_stencils`.

    Returns:
        indices: (N, K, A, 3) int32, rows of `vertices`; the source itself where a sample is masked.
        weights: (N, K, A, 3) float64 in [0, 1] that sum to 1; three zeros where a sample is masked.

    Raises:
        ArgumentError: if an argument has the wrong type, shape, range or device, or if `vertices` are on CUDA and this
            build has no CUDA kernels.
    """
    check_shape("vertices", vertices, (tables.vertices, 3))
    if vertices.dtype not in (torch.float32, torch.float64):
        raise ArgumentError(f"`vertices` should be float32 or float64, are {vertices.dtype}")
    distances = torch.tensor([float(radius) for radius in radii], dtype=torch.float64)
    if not len(distances) or not (
        torch.isfinite(distances).all() and distances[0] > 0 and (distances.diff() > 0).all()
    ):
        raise ArgumentError(f"`radii` should be ascending distances above zero, are {list(radii)}")
    if not isinstance(rays, int) or not 1 <= rays <= 1024:
        raise ArgumentError(f"`rays` should be a whole number in [1, 1024], is {rays!r}")
    N, K = len(tables.sources), len(distances)
    if direction is not None:
        check_shape("direction", direction, (N, 3))
    for name, tensor in (("tables", tables.faces), ("direction", direction)):
        if tensor is not None and tensor.device != vertices.device:
            raise ArgumentError(f"`{name}` should be on {vertices.device} as `vertices`, is on {tensor.device}")
    points = vertices.detach().to(torch.float64).contiguous()
    towards = points.new_zeros(N, 3) if direction is None else direction.detach().to(torch.float64).contiguous()
    if not vertices.is_cuda:
        samples = geodesic_stencils(
            points.numpy(), tables.faces.numpy(), tables.sources.numpy(), distances.tolist(), rays,
            direction=towards.numpy(), threads=torch.get_num_threads(),
        )  # fmt: skip
        return torch.from_numpy(samples[0]), torch.from_numpy(samples[1])
    if not _native.has_cuda:
        raise ArgumentError("`vertices` should be on the CPU: this build of fer3d has no CUDA kernels")
    device = vertices.device
    with torch.cuda.device(device):  # a raw launch goes to the current device
        spans = distances.to(device)
        indices = torch.empty(N, K, rays, 3, dtype=torch.int32, device=device)
        weights = torch.empty(N, K, rays, 3, dtype=torch.float64, device=device)
        edges = torch.empty(len(tables.twin) * _native.edge_bytes, dtype=torch.uint8, device=device)
        _native.geodesic_stencils_cuda(
            points.data_ptr(), tables.faces.data_ptr(), tables.twin.data_ptr(), len(tables.faces),
            tables.sources.data_ptr(), tables.leaving.data_ptr(), towards.data_ptr(), spans.data_ptr(), N, K, rays,
            edges.data_ptr(), indices.data_ptr(), weights.data_ptr(), torch.cuda.current_stream(device).cuda_stream,
        )  # fmt: skip
    return indices, weights
