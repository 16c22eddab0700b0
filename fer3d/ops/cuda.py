"""Calls the CUDA kernels of `fer3d.ops.manifold`, which imports this file if the kernels are built.

torch allocates all memory; the kernels get pointers.
"""

from typing import Any

import torch
from torch import Tensor

from fer3d import _native

ROOM = 64_000_000  # numbers of workspace, which limits how many patches are in memory at once
PARTS = 32  # number of partial sums of the kernel's gradient
DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16]  # in the order of Dtype in manifold_conv.h
FORWARD, GRAD_X, GRAD_KERNEL = range(3)


def manifold_conv(x: Tensor, indices: Tensor | None, weights: Tensor | None, kernel: Tensor) -> tuple[Tensor, Tensor]:
    """The op of this name in `fer3d.ops.manifold`, on CUDA."""
    x, kernel = x.contiguous(), kernel.contiguous()
    indices, weights = _contiguous(indices), _contiguous(weights)
    sizes = _sizes(x, indices, kernel.shape)
    B, _, V, _, _, _, _, O = sizes  # noqa: E741
    y, shift = x.new_empty(B, V, O), x.new_empty((B, V, O), dtype=torch.uint8)
    if 0 in (B * V * O, sizes[3] * sizes[6]):
        return y.zero_(), shift.zero_()
    memory, vertices = _workspace(FORWARD, x, sizes)
    with torch.cuda.device(x.device):  # a raw launch goes to the current device, which may not be x's
        _native.manifold_conv_cuda(
            _code(x), _at(x), _at(indices), _at(weights), _at(kernel), sizes, _at(memory), vertices, _stream(),
            _at(y), _at(shift),
        )  # fmt: skip
    return y, shift


def manifold_conv_grad_x(
    grad: Tensor, shift: Tensor, indices: Tensor | None, weights: Tensor | None, kernel: Tensor, rows: int
) -> Tensor:
    """The op of this name in `fer3d.ops.manifold`, on CUDA."""
    grad, shift, kernel = grad.contiguous(), shift.contiguous(), kernel.contiguous()
    indices, weights = _contiguous(indices), _contiguous(weights)
    (B, V, _), (R, A, C, _) = grad.shape, kernel.shape
    grad_x = grad.new_empty((B, V, R, A, C) if indices is None else (B, rows, C))
    if 0 in (grad.numel(), grad_x.numel()):
        return grad_x.zero_()
    sizes = _sizes(grad_x, indices, kernel.shape)
    order = starts = None
    if indices is not None:
        order, starts = _transposed(indices, rows)
    with torch.cuda.device(grad.device):
        memory, vertices = _workspace(GRAD_X, grad, sizes)
        _native.manifold_conv_grad_x_cuda(
            _code(grad), _at(grad), _at(shift), _at(indices), _at(weights), _at(kernel), sizes, _at(memory), vertices,
            _at(order), _at(starts), _stream(), _at(grad_x),
        )  # fmt: skip
    return grad_x


def manifold_conv_grad_kernel(
    grad: Tensor, shift: Tensor, x: Tensor, indices: Tensor | None, weights: Tensor | None
) -> Tensor:
    """The op of this name in `fer3d.ops.manifold`, on CUDA."""
    grad, shift, x = grad.contiguous(), shift.contiguous(), x.contiguous()
    indices, weights = _contiguous(indices), _contiguous(weights)
    R, A = x.shape[2:4] if indices is None else indices.shape[2:4]
    grad_kernel = grad.new_empty(R, A, x.shape[-1], grad.shape[2])
    if 0 in (grad.numel(), grad_kernel.numel()):
        return grad_kernel.zero_()
    sizes = _sizes(x, indices, grad_kernel.shape)
    with torch.cuda.device(x.device):
        memory, vertices = _workspace(GRAD_KERNEL, x, sizes)
        _native.manifold_conv_grad_kernel_cuda(
            _code(x), _at(grad), _at(shift), _at(x), _at(indices), _at(weights), sizes, _at(memory), vertices, PARTS,
            _stream(), _at(grad_kernel),
        )  # fmt: skip
    return grad_kernel


def manifold_pool(
    x: Tensor,
    indices: Tensor,
    weights: Tensor,
    start: list[int],
    stop: list[int],
    window: list[int],
    rays: int,
    largest: bool,
) -> tuple[Tensor, Tensor]:
    """The op of this name in `fer3d.ops.manifold`, on CUDA."""
    x, indices, weights = x.contiguous(), indices.contiguous(), weights.contiguous()
    (B, N, C), (_, V, R, A, K), P = x.shape, indices.shape, len(start)
    y = x.new_empty(B, V, P, rays, C)
    winner = x.new_empty(y.shape if largest else (0,), dtype=torch.int16)
    layout = torch.tensor([start, stop, window], dtype=torch.int64).to(x.device)
    with torch.cuda.device(x.device):
        _native.manifold_pool_cuda(
            _code(x), _at(x), _at(indices), _at(weights), (B, N, V, R, A, K, C, 0), _at(layout), P, rays, _stream(),
            _at(y), _at(winner) if largest else 0,
        )  # fmt: skip
    return y, winner


def manifold_pool_grad(
    grad: Tensor,
    winner: Tensor,
    indices: Tensor,
    weights: Tensor,
    rows: int,
    start: list[int],
    stop: list[int],
    window: list[int],
    rays: int,
    largest: bool,
) -> Tensor:
    """The op of this name in `fer3d.ops.manifold`, on CUDA."""
    grad, winner = grad.contiguous(), winner.contiguous()
    indices, weights = indices.contiguous(), weights.contiguous()
    (B, V, P, _, C), (R, A, K) = grad.shape, indices.shape[2:]
    grad_x = grad.new_empty(B, rows, C)
    if 0 in (grad.numel(), grad_x.numel()):
        return grad_x.zero_()
    layout = torch.tensor([start, stop, window], dtype=torch.int64).to(grad.device)
    order, starts = _transposed(indices, rows)
    vertices = V * max(1, min(B, ROOM // max(1, V * R * A * C)))  # only whole scans
    memory = grad.new_empty(vertices * R * A * C, dtype=_sum_dtype(grad))
    counts = grad.new_empty(0 if largest else B * V * P * rays, dtype=torch.int32)
    with torch.cuda.device(grad.device):
        _native.manifold_pool_grad_cuda(
            _code(grad), _at(grad), _at(winner) if largest else 0, _at(indices), _at(weights),
            (B, rows, V, R, A, K, C, 0), _at(layout), P, rays, _at(memory), vertices, _at(counts), _at(order),
            _at(starts), _stream(), _at(grad_x),
        )  # fmt: skip
    return grad_x


def _transposed(indices: Tensor, rows: int) -> tuple[Tensor, Tensor]:
    """Positions in `indices` sorted by the row of x they refer to, and each row's start; avoids atomic operations."""
    B = indices.shape[0]
    scan = torch.arange(B, device=indices.device).view(-1, 1) * rows
    row, order = torch.sort((indices.flatten(1) + scan).flatten(), stable=True)
    return order, torch.searchsorted(row, torch.arange(B * rows + 1, device=indices.device))


def _sizes(x: Tensor, indices: Tensor | None, kernel: torch.Size) -> tuple[int, ...]:
    """The sizes B, N, V, R, A, K, C, O."""
    R, A, C, O = kernel  # noqa: E741
    if indices is None:
        return x.shape[0], 0, x.shape[1], R, A, 0, C, O
    return x.shape[0], x.shape[1], indices.shape[1], R, A, indices.shape[4], C, O


def _workspace(stage: int, like: Tensor, sizes: tuple[int, ...]) -> tuple[Tensor, int]:
    """Workspace memory for a stage, and the number of patches that fit in it."""
    B, N, V = sizes[:3]
    fixed = _native.manifold_conv_cuda_numbers(stage, sizes, 0, PARTS)
    each = _native.manifold_conv_cuda_numbers(stage, sizes, 1, PARTS) - fixed
    vertices = max(1, min(B * V, ROOM // max(1, each)))
    if stage == GRAD_X:
        vertices = V * max(1, vertices // V) if N else 0  # only whole scans; given patches need no workspace
    return like.new_empty(fixed + vertices * each, dtype=_sum_dtype(like)), vertices


def _sum_dtype(x: Tensor) -> torch.dtype:
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def _code(x: Tensor) -> int:
    return DTYPES.index(x.dtype)


def _at(tensor: Tensor | None) -> int:
    return 0 if tensor is None else tensor.data_ptr()


def _contiguous(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.contiguous()


def _stream() -> Any:
    return torch.cuda.current_stream().cuda_stream
