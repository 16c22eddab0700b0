from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Float = TypeVar("Float", np.float32, np.float64)

has_cuda: bool

# numbers: the contract is in csrc/numbers/numbers.h; fer3d.formats.number_blocks is the checked face.
class BlockError(ValueError):
    args: tuple[str, int]  # message, byte offset

def float_block(text: bytes, begin: int, bracket: bool, wanted: int) -> tuple[NDArray[np.float32], int]: ...
def double_block(text: bytes, begin: int, bracket: bool, wanted: int) -> tuple[NDArray[np.float64], int]: ...
def integer_block(text: bytes, begin: int, bracket: bool, wanted: int) -> tuple[NDArray[np.int32], int]: ...
def number_lines(
    text: bytes, begin: int, wanted: int, comment: int, separators: bytes
) -> tuple[NDArray[np.float64], NDArray[np.int32], NDArray[np.int64], int]: ...
def polygon_block(text: bytes, begin: int) -> tuple[NDArray[np.int32], NDArray[np.int32], int, int]: ...
def split_vertices(
    faces: NDArray[np.int32], uv_faces: NDArray[np.int32], vertices: int
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]: ...

# obj: the contract is in csrc/obj/obj.h; fer3d.formats.obj calls. points, width, more, uv, corners, uv_corners, sizes,
# keywords, and the statements, (S, 5): keyword, begin, text, stop, faces.
def scan_obj(
    text: bytes,
) -> tuple[
    NDArray[np.float64],
    NDArray[np.uint8],
    NDArray[np.float64],
    NDArray[np.float64],
    NDArray[np.int32],
    NDArray[np.int32],
    NDArray[np.int32],
    list[bytes],
    NDArray[np.int64],
]: ...

# rows: the contract is in csrc/rows/rows.h; fer3d.formats.rows is the checked face. Columns: (count, item, keep).
def read_rows(
    text: bytes, begin: int, rows: int, columns: Sequence[tuple[int, int, bool]], encoding: int
) -> tuple[list[NDArray[np.float64]], list[NDArray[np.int64]], int]: ...
def copy_pieces(text: bytes, begin: int, rows: int, stride: int, at: int, size: int) -> NDArray[np.uint8]: ...
def same_rows(table: NDArray[Float]) -> tuple[NDArray[np.int32], NDArray[np.int32]]: ...

# stl: the contract is in csrc/stl/stl.h; fer3d.formats.stl is the checked face.
def stl_facets(text: bytes) -> tuple[NDArray[np.float64], int, int, int]: ...

# manifold_conv: the contract is in csrc/manifold_conv/manifold_conv.h; fer3d.ops is the checked face. Float is float32
# or float64, the same throughout a call; without indices and weights x holds patches.
def manifold_conv_cpu(
    x: NDArray[Float],
    indices: NDArray[np.int32] | None,
    weights: NDArray[Float] | None,
    kernel: NDArray[Float],
    threads: int,
) -> tuple[NDArray[Float], NDArray[np.uint8], int]: ...
def manifold_conv_grad_x_cpu(
    grad: NDArray[Float],
    shift: NDArray[np.uint8],
    indices: NDArray[np.int32] | None,
    weights: NDArray[Float] | None,
    kernel: NDArray[Float],
    rows: int,
    threads: int,
) -> NDArray[Float]: ...
def manifold_conv_grad_kernel_cpu(
    grad: NDArray[Float],
    shift: NDArray[np.uint8],
    x: NDArray[Float],
    indices: NDArray[np.int32] | None,
    weights: NDArray[Float] | None,
    threads: int,
) -> NDArray[Float]: ...
def manifold_conv_use(instructions: str) -> bool: ...  # "avx512", "avx2" or "base"; False: not here

# manifold_pool: the contract is in csrc/manifold_pool/manifold_pool.h; fer3d.ops is the checked face.
def manifold_pool_cpu(
    x: NDArray[Float],
    indices: NDArray[np.int32],
    weights: NDArray[Float],
    start: list[int],
    stop: list[int],
    window: list[int],
    rays: int,
    largest: bool,
    threads: int,
) -> tuple[NDArray[Float], NDArray[np.int16] | None, int]: ...
def manifold_pool_grad_cpu(
    grad: NDArray[Float],
    winner: NDArray[np.int16] | None,
    indices: NDArray[np.int32],
    weights: NDArray[Float],
    rows: int,
    start: list[int],
    stop: list[int],
    window: list[int],
    rays: int,
    threads: int,
) -> NDArray[Float]: ...

# Only where has_cuda. Device pointers are integers (0: none), `sizes` is B, N, V, R, A, K, C, O; fer3d.ops.cuda calls.
def manifold_conv_cuda_numbers(stage: int, sizes: Sequence[int], vertices: int, parts: int) -> int: ...
def manifold_conv_cuda(
    dtype: int,
    x: int,
    indices: int,
    weights: int,
    kernel: int,
    sizes: Sequence[int],
    memory: int,
    vertices: int,
    stream: int,
    y: int,
    shift: int,
) -> None: ...
def manifold_conv_grad_x_cuda(
    dtype: int,
    grad: int,
    shift: int,
    indices: int,
    weights: int,
    kernel: int,
    sizes: Sequence[int],
    memory: int,
    vertices: int,
    order: int,
    starts: int,
    stream: int,
    grad_x: int,
) -> None: ...
def manifold_conv_grad_kernel_cuda(
    dtype: int,
    grad: int,
    shift: int,
    x: int,
    indices: int,
    weights: int,
    sizes: Sequence[int],
    memory: int,
    vertices: int,
    parts: int,
    stream: int,
    grad_kernel: int,
) -> None: ...
def manifold_pool_cuda(
    dtype: int,
    x: int,
    indices: int,
    weights: int,
    sizes: Sequence[int],
    layout: int,
    P: int,
    rays: int,
    stream: int,
    y: int,
    winner: int,
) -> None: ...
def manifold_pool_grad_cuda(
    dtype: int,
    grad: int,
    winner: int,
    indices: int,
    weights: int,
    sizes: Sequence[int],
    layout: int,
    P: int,
    rays: int,
    memory: int,
    vertices: int,
    counts: int,
    order: int,
    starts: int,
    stream: int,
    grad_x: int,
) -> None: ...

# sample_tree: the contract is in csrc/sample_tree/sample_tree.h; fer3d.tree.sample_tree is the checked face.
def geodesic_stencils(
    points: NDArray[np.float64],
    faces: NDArray[np.int32],
    sources: NDArray[np.int32],
    direction: NDArray[np.float64],
    radii: NDArray[np.float64],
    rays: int,
    threads: int,
) -> tuple[NDArray[np.int32], NDArray[np.float64]]: ...
def tracing_tables(
    points: NDArray[np.float64], faces: NDArray[np.int32], sources: NDArray[np.int32]
) -> tuple[NDArray[np.int32], NDArray[np.int32]]: ...
def farthest_points(
    points: NDArray[np.float64], faces: NDArray[np.int32], seeds: NDArray[np.int32], counts: list[int]
) -> tuple[NDArray[np.int32], list[NDArray[np.int32]], NDArray[np.float64]]: ...
def sample_tree(
    points: NDArray[np.float64],
    faces: NDArray[np.int32],
    seeds: NDArray[np.int32],
    counts: list[int],
    pole: NDArray[np.float64],
    radii: NDArray[np.float64],
    rays: int,
    threads: int,
) -> tuple[
    int,
    NDArray[np.int32],
    list[int],
    list[float],
    list[NDArray[np.int32]],
    list[NDArray[np.int32]],
    list[NDArray[np.uint16]],
]: ...

# Only where `has_cuda`: device pointers and a stream.
edge_bytes: int

def geodesic_stencils_cuda(
    points: int,
    faces: int,
    twin: int,
    F: int,
    sources: int,
    leaving: int,
    direction: int,
    radii: int,
    N: int,
    K: int,
    A: int,
    edges: int,
    vertex: int,
    weight: int,
    stream: int,
) -> None: ...
