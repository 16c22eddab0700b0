"""Differentiable convolution and pooling on surfaces: the checked, documented interface to the kernels in csrc/."""

import itertools
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from fer3d import _native
from fer3d.checks import check_shape
from fer3d.errors import ArgumentError

MAX_RAYS = 256  # a winning shift is stored in one byte
MAX_BINS = 32767  # a winning bin is stored in two bytes


def manifold_conv(x: Tensor, indices: Tensor, weights: Tensor, kernel: Tensor) -> Tensor:
    """Convolve geodesic polar patches with a kernel and take the largest response over its rotations [1].

    `y[b, v, o] = max over s of sum_{r, a, c} kernel[r, (a + s) mod A, c, o] * p[b, v, r, a, c]` with the patches
    `p[b, v, r, a, c] = sum_k weights[b, v, r, a, k] * x[b, indices[b, v, r, a, k], c]`, which are never stored.

    Rotating the frame of any patch by whole rays does not change the result, so no frame has to be chosen.

    Args:
        x: (B, N, C) float32 or float64; float16 and bfloat16 on CUDA too. Features of each scan's vertices, padded to
            the largest scan of the batch.
        indices: (B, V, R, A, K) int32. The K rows of x that contribute to bin (r, a) of the patch around vertex v; each
            scan has its own. At most 256 rays.
        weights: (B, V, R, A, K) float32, or float64 with a float64 `x`. A bin whose weights are all 0 is masked and
            counts as 0.
        kernel: (R, A, C, O) of x's dtype.

    Returns:
        (B, V, O) of x's dtype; empty if V is 0. Gradients flow to `x` and `kernel` through the winning rotation, the
        first of equal ones, but not to `weights`. The result and the gradients do not depend on the number of threads.
        Non-contiguous inputs are copied.

    Raises:
        ArgumentError: if a shape or dtype is wrong, or `indices` holds a row outside [0, N). On CUDA this check would
            stall the stream: the kernel traps instead.

    References:
        [1] Masci, Boscaini, Bronstein, Vandergheynst. Geodesic convolutional neural networks on Riemannian manifolds.
            ICCV Workshops 2015.
    """
    check_shape("x", x, ("B", "N", "C"))
    B, _, C = x.shape
    check_shape("indices", indices, (B, "V", "R", "A", "K"))
    check_shape("weights", weights, tuple(indices.shape))
    check_shape("kernel", kernel, (*indices.shape[2:4], C, "O"))
    _check_rays("kernel", kernel.shape[1])
    _check_features("x", x)
    _check_like("kernel", kernel, x, x.dtype)
    _check_like("indices", indices, x, torch.int32)
    _check_like("weights", weights, x, _weight_dtype(x))
    y: Tensor
    y, _ = _manifold_conv(x.contiguous(), indices.contiguous(), weights.contiguous(), kernel.contiguous())
    return y


def manifold_conv_patches(patches: Tensor, kernel: Tensor) -> Tensor:
    """`manifold_conv` on given patches, such as those of `manifold_pool`.

    Args:
        patches: (B, V, R, A, C) float32 or float64; float16 and bfloat16 on CUDA too.
        kernel: (R, A, C, O) of the patches' dtype.

    Returns:
        (B, V, O), as `manifold_conv`. Gradients flow to both arguments.

    Raises:
        ArgumentError: if a shape or dtype is wrong.
    """
    check_shape("patches", patches, ("B", "V", "R", "A", "C"))
    check_shape("kernel", kernel, (*patches.shape[2:], "O"))
    _check_rays("kernel", kernel.shape[1])
    _check_features("patches", patches)
    _check_like("kernel", kernel, patches, patches.dtype)
    y: Tensor
    y, _ = _manifold_conv(patches.contiguous(), None, None, kernel.contiguous())
    return y


@dataclass(frozen=True)
class RetinaLayout:
    """Which fine bins of a geodesic polar stencil each output bin of `manifold_pool` covers.

    Output bin (i, j) covers the fine rings from `rings[i][0]` up to but excluding `rings[i][1]`, and in them the
    `windows[i]` fine rays around fine ray j A / rays; an even window reaches one ray further forwards. Footprints may
    overlap.
    """

    rings: tuple[tuple[int, int], ...]
    windows: tuple[int, ...]
    rays: int


def retina_layout(R: int, A: int, *, rings: int = 3, rays: int = 8) -> RetinaLayout:
    """A layout whose footprints are small at the centre and grow with eccentricity, like receptive fields on a retina.

    Human-vision-inspired pooling [1] samples densely at the fixation vertex and more coarsely outwards. The paper's own
    layout is not public; this one is ours, for equidistant fine rings. The widths of the output rings grow as 1 : 2 : 3
    and so on, in proportion to eccentricity, and so does the arc that a window spans: every window has the smallest odd
    number of fine rays with which the windows cover all rays.

    Args:
        R: Number of fine rings, at least `rings`; the first lies one ring distance from the centre.
        A: Number of fine rays, a multiple of `rays`.
        rings: Number of output rings.
        rays: Number of output rays.

    Raises:
        ArgumentError: if `rings` lies outside [1, R], or `rays` does not divide A.

    References:
        [1] Chen, Huang, Wang, Chen. Fast and Light Manifold CNN based 3D Facial Expression Recognition across Pose
            Variations. ACM Multimedia 2018.

    >>> retina_layout(6, 16)
    RetinaLayout(rings=((0, 1), (1, 3), (3, 6)), windows=(3, 3, 3), rays=8)
    """
    if not 1 <= rings <= R:
        raise ArgumentError(f"`rings` should lie in [1, {R}], the fine rings, is {rings}")
    if rays < 1 or A % rays:
        raise ArgumentError(f"`rays` should divide the {A} fine rays, is {rays}")
    edges = [0]
    for i in range(1, rings + 1):
        edge = round(R * i * (i + 1) / (rings * (rings + 1)))
        edges.append(min(max(edge, edges[-1] + 1), R - (rings - i)))
    window = A // rays // 2 * 2 + 1  # odd, so that it is centred on its ray
    return RetinaLayout(tuple(itertools.pairwise(edges)), (min(window, A),) * rings, rays)


def manifold_pool(
    x: Tensor, indices: Tensor, weights: Tensor, layout: RetinaLayout, mode: Literal["max", "mean"] = "max"
) -> Tensor:
    """Pool a fine geodesic polar stencil into coarser patches, whose bins grow with eccentricity [1].

    A block of a network is `manifold_conv_patches(manifold_pool(x, indices, weights, layout), kernel)`. Rotating a
    patch by A / `layout.rays` fine rays rotates the result by one of its rays, so the block does not depend on the
    frame.

    Args:
        x: (B, N, C) float32 or float64; float16 and bfloat16 on CUDA too.
        indices: (B, V, R, A, K) int32, weights: (B, V, R, A, K); as in `manifold_conv`. At most 32767 bins.
        layout: The fine bins that each output bin covers, for instance `retina_layout(R, A)`.
        mode: "max" or "mean" over the covered bins that are not masked.

    Returns:
        (B, V, len(layout.rings), layout.rays, C) of x's dtype; 0 where all covered bins are masked. Gradients flow to
        `x`: for the maximum through the first largest bin, for the mean in equal shares.

    Raises:
        ArgumentError: if a shape or dtype is wrong, the layout does not fit the stencil, or `indices` holds a row
            outside [0, N); on CUDA the kernel traps instead.

    References:
        [1] Chen, Huang, Wang, Chen. Fast and Light Manifold CNN based 3D Facial Expression Recognition across Pose
            Variations. ACM Multimedia 2018. The idea is theirs, the layout ours.
    """
    check_shape("x", x, ("B", "N", "C"))
    check_shape("indices", indices, (x.shape[0], "V", "R", "A", "K"))
    check_shape("weights", weights, tuple(indices.shape))
    _check_features("x", x)
    _check_like("indices", indices, x, torch.int32)
    _check_like("weights", weights, x, _weight_dtype(x))
    if mode not in ("max", "mean"):
        raise ArgumentError(f"`mode` should be 'max' or 'mean', is {mode!r}")
    _check_layout(layout, *indices.shape[2:4])
    start, stop = [ring[0] for ring in layout.rings], [ring[1] for ring in layout.rings]
    y: Tensor
    y, _ = _manifold_pool(
        x.contiguous(),
        indices.contiguous(),
        weights.contiguous(),
        start,
        stop,
        list(layout.windows),
        layout.rays,
        mode == "max",
    )
    return y


def _check_layout(layout: RetinaLayout, R: int, A: int) -> None:
    if R * A > MAX_BINS:
        raise ArgumentError(f"`indices` should have at most {MAX_BINS} bins, has {R} x {A}")
    if len(layout.rings) != len(layout.windows):
        raise ArgumentError(
            f"`layout` should have a window for each ring, has {len(layout.windows)} for {len(layout.rings)}"
        )
    for ring in layout.rings:
        if not 0 <= ring[0] < ring[1] <= R:
            raise ArgumentError(f"`layout` should have rings inside the stencil's {R}, has {ring}")
    for window in layout.windows:
        if not 1 <= window <= A:
            raise ArgumentError(f"`layout` should have windows of 1 to {A} rays, has {window}")
    if layout.rays < 1 or A % layout.rays:
        raise ArgumentError(f"`layout` should have rays that divide the stencil's {A}, has {layout.rays}")


def _check_features(name: str, x: Tensor) -> None:
    allowed = [torch.float32, torch.float64]
    if x.is_cuda:
        allowed += [torch.float16, torch.bfloat16]
    if x.dtype not in allowed:
        wanted = ", ".join(str(dtype).removeprefix("torch.") for dtype in allowed)
        raise ArgumentError(f"`{name}` should have one of the dtypes {wanted} on {x.device.type}, has {x.dtype}")


def _check_like(name: str, tensor: Tensor, x: Tensor, dtype: torch.dtype) -> None:
    if tensor.dtype != dtype:
        raise ArgumentError(f"`{name}` should have dtype {dtype}, has {tensor.dtype}")
    if tensor.device != x.device:
        raise ArgumentError(f"`{name}` should be on {x.device} like the features, is on {tensor.device}")


def _check_rays(name: str, rays: int) -> None:
    if not 1 <= rays <= MAX_RAYS:
        raise ArgumentError(f"`{name}` should have 1 to {MAX_RAYS} rays, has {rays}")


def _weight_dtype(x: Tensor) -> torch.dtype:
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def _array(tensor: Tensor | None) -> Any:
    return None if tensor is None else tensor.detach().contiguous().numpy()


# One op for both functions: with a stencil x is (B, N, C); without it (None, None) x is the patches, (B, V, R, A, C).


@torch.library.custom_op("fer3d::manifold_conv", mutates_args=(), device_types="cpu")
def _manifold_conv(x: Tensor, indices: Tensor | None, weights: Tensor | None, kernel: Tensor) -> tuple[Tensor, Tensor]:
    threads = torch.get_num_threads()
    y, shift, wrong = _native.manifold_conv_cpu(_array(x), _array(indices), _array(weights), _array(kernel), threads)
    if indices is not None and wrong >= 0:
        raise _wrong_row(indices, wrong, x.shape[1])
    return torch.from_numpy(y), torch.from_numpy(shift)


def _wrong_row(indices: Tensor, position: int, rows: int) -> ArgumentError:
    at: list[int] = []
    for size in reversed(indices.shape):
        position, here = divmod(position, size)
        at.insert(0, here)
    return ArgumentError(
        f"`indices` should hold rows in [0, {rows}), holds {int(indices[tuple(at)])} at ({', '.join(map(str, at))})"
    )


@_manifold_conv.register_fake
def _(x: Tensor, indices: Tensor | None, weights: Tensor | None, kernel: Tensor) -> tuple[Tensor, Tensor]:
    V = x.shape[1] if indices is None else indices.shape[1]
    shape = (x.shape[0], V, kernel.shape[3])
    return x.new_empty(shape), x.new_empty(shape, dtype=torch.uint8)


@torch.library.custom_op("fer3d::manifold_conv_grad_x", mutates_args=(), device_types="cpu")
def _manifold_conv_grad_x(
    grad: Tensor, shift: Tensor, indices: Tensor | None, weights: Tensor | None, kernel: Tensor, rows: int
) -> Tensor:
    grad_x = _native.manifold_conv_grad_x_cpu(
        _array(grad), _array(shift), _array(indices), _array(weights), _array(kernel), rows, torch.get_num_threads()
    )
    return torch.from_numpy(grad_x)


@_manifold_conv_grad_x.register_fake
def _(grad: Tensor, shift: Tensor, indices: Tensor | None, weights: Tensor | None, kernel: Tensor, rows: int) -> Tensor:
    (B, V, _), (R, A, C, _) = grad.shape, kernel.shape
    return grad.new_empty((B, V, R, A, C) if indices is None else (B, rows, C))


@torch.library.custom_op("fer3d::manifold_conv_grad_kernel", mutates_args=(), device_types="cpu")
def _manifold_conv_grad_kernel(
    grad: Tensor, shift: Tensor, x: Tensor, indices: Tensor | None, weights: Tensor | None
) -> Tensor:
    grad_kernel = _native.manifold_conv_grad_kernel_cpu(
        _array(grad), _array(shift), _array(x), _array(indices), _array(weights), torch.get_num_threads()
    )
    return torch.from_numpy(grad_kernel)


@_manifold_conv_grad_kernel.register_fake
def _(grad: Tensor, shift: Tensor, x: Tensor, indices: Tensor | None, weights: Tensor | None) -> Tensor:
    R, A = x.shape[2:4] if indices is None else indices.shape[2:4]
    return grad.new_empty(R, A, x.shape[-1], grad.shape[2])


def _manifold_conv_setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    x, indices, weights, kernel = inputs
    shift = output[1]
    ctx.mark_non_differentiable(shift)
    ctx.save_for_backward(x, indices, weights, kernel, shift)


def _manifold_conv_backward(ctx: Any, grad: Tensor, _grad_shift: Tensor) -> tuple[Tensor | None, ...]:
    x, indices, weights, kernel, shift = ctx.saved_tensors
    grad_x = grad_kernel = None
    if ctx.needs_input_grad[0]:
        grad_x = _manifold_conv_grad_x(grad, shift, indices, weights, kernel, x.shape[1])
    if ctx.needs_input_grad[3]:
        grad_kernel = _manifold_conv_grad_kernel(grad, shift, x, indices, weights)
    return grad_x, None, None, grad_kernel


_manifold_conv.register_autograd(_manifold_conv_backward, setup_context=_manifold_conv_setup)


@torch.library.custom_op("fer3d::manifold_pool", mutates_args=(), device_types="cpu")
def _manifold_pool(
    x: Tensor,
    indices: Tensor,
    weights: Tensor,
    start: list[int],
    stop: list[int],
    window: list[int],
    rays: int,
    largest: bool,
) -> tuple[Tensor, Tensor]:
    y, winner, wrong = _native.manifold_pool_cpu(
        _array(x), _array(indices), _array(weights), start, stop, window, rays, largest, torch.get_num_threads()
    )
    if wrong >= 0:
        raise _wrong_row(indices, wrong, x.shape[1])
    return torch.from_numpy(y), x.new_empty(0, dtype=torch.int16) if winner is None else torch.from_numpy(winner)


@_manifold_pool.register_fake
def _(
    x: Tensor,
    indices: Tensor,
    weights: Tensor,
    start: list[int],
    stop: list[int],
    window: list[int],
    rays: int,
    largest: bool,
) -> tuple[Tensor, Tensor]:
    shape = (x.shape[0], indices.shape[1], len(start), rays, x.shape[2])
    return x.new_empty(shape), x.new_empty(shape if largest else (0,), dtype=torch.int16)


@torch.library.custom_op("fer3d::manifold_pool_grad", mutates_args=(), device_types="cpu")
def _manifold_pool_grad(
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
    threads = torch.get_num_threads()
    won = _array(winner) if largest else None
    grad_x = _native.manifold_pool_grad_cpu(
        _array(grad), won, _array(indices), _array(weights), rows, start, stop, window, rays, threads
    )
    return torch.from_numpy(grad_x)


@_manifold_pool_grad.register_fake
def _(
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
    return grad.new_empty(grad.shape[0], rows, grad.shape[4])


def _manifold_pool_setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    x, indices, weights, *ctx.layout = inputs
    winner = output[1]
    ctx.mark_non_differentiable(winner)
    ctx.save_for_backward(indices, weights, winner)
    ctx.rows = x.shape[1]


def _manifold_pool_backward(ctx: Any, grad: Tensor, _grad_winner: Tensor) -> tuple[Tensor | None, ...]:
    indices, weights, winner = ctx.saved_tensors
    grad_x = None
    if ctx.needs_input_grad[0]:
        grad_x = _manifold_pool_grad(grad, winner, indices, weights, ctx.rows, *ctx.layout)
    return grad_x, *[None] * 7


_manifold_pool.register_autograd(_manifold_pool_backward, setup_context=_manifold_pool_setup)


if _native.has_cuda:
    from fer3d.ops import cuda

    _manifold_conv.register_kernel("cuda")(cuda.manifold_conv)
    _manifold_conv_grad_x.register_kernel("cuda")(cuda.manifold_conv_grad_x)
    _manifold_conv_grad_kernel.register_kernel("cuda")(cuda.manifold_conv_grad_kernel)
    _manifold_pool.register_kernel("cuda")(cuda.manifold_pool)
    _manifold_pool_grad.register_kernel("cuda")(cuda.manifold_pool_grad)
