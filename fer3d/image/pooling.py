"""Stochastic pooling, and transformation-invariant pooling over several views of a picture."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from fer3d.checks import check_shape
from fer3d.errors import ArgumentError


def stochastic_pool(
    x: torch.Tensor, kernel: int, stride: int, *, generator: torch.Generator | None = None
) -> torch.Tensor:
    """Stochastic pooling [1]: draw one activation from each region, with a probability proportional to its value.

    Regions that cross the edge of the map are kept, with the activations inside. Regions draw independently, even if
    they overlap. The gradient goes to the activation drawn. In a region of zeros the draw is uniform and gives 0.

    Args:
        x: (B, C, H, W), not negative, such as the output of a ReLU.
        kernel, stride: Of the square regions, pixels; the stride is at most the kernel.
        generator: None: the default generator of torch.

    Returns:
        (B, C, h, w) with h = ceil((H - kernel) / stride) + 1, and w likewise.

    Raises:
        ArgumentError: if the shape is wrong, a region is larger than the map, or an activation is negative.

    References:
        .. [1] Zeiler, Fergus. Stochastic pooling for regularization of deep convolutional neural networks. ICLR 2013.
    """
    _check(x, kernel, stride)
    wide = x.float()  # half precision has only a few hundred different draws
    result: torch.Tensor = _StochasticPool.apply(wide, kernel, stride, generator)  # type: ignore[no-untyped-call]
    return result.to(x.dtype)


def probability_pool(x: torch.Tensor, kernel: int, stride: int) -> torch.Tensor:
    """Expected value of `stochastic_pool`, used at test: sum of a^2 / sum of a over a region; 0 if all a are 0.

    Args, Returns, Raises: as `stochastic_pool`.
    """
    _check(x, kernel, stride)
    first = functional.avg_pool2d(x, kernel, stride, ceil_mode=True)
    second = functional.avg_pool2d(x * x, kernel, stride, ceil_mode=True)
    return second / torch.where(first > 0, first, 1.0)  # both are means over the same number of pixels, which cancels


class StochasticPool2d(nn.Module):
    """`stochastic_pool` in training mode, `probability_pool` in evaluation mode.

    Args:
        kernel, stride: Of the square regions, pixels.
    """

    def __init__(self, kernel: int = 3, stride: int = 2) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W), not negative -> (B, C, h, w)."""
        pool = stochastic_pool if self.training else probability_pool
        return pool(x, self.kernel, self.stride)

    def extra_repr(self) -> str:
        """Kernel and stride."""
        return f"{self.kernel}, {self.stride}"


class TransformationInvariantPool(nn.Module):
    """Element-wise maximum of the outputs of a stack of layers over several views of a picture [1].

    The views share the weights: g_k(x) = max over phi of f_k(phi(x)). All views pass through `stack` as one batch, so
    batch normalisation, if there is any, sees them together.

    Args:
        stack: f, (B, C, H, W) -> (B, ...).
        views: The transformations phi, each (B, C, H, W) -> the same shape.

    Raises:
        ArgumentError: if there is no view.

    References:
        .. [1] Laptev, Savinov, Buhmann, Pollefeys. TI-pooling: transformation-invariant pooling for feature learning
           in convolutional neural networks. CVPR 2016.
    """

    def __init__(self, stack: nn.Module, views: Sequence[Callable[[torch.Tensor], torch.Tensor]]) -> None:
        super().__init__()
        if not views:
            raise ArgumentError("`views` should hold at least one transformation, is empty")
        self.stack = stack
        self.views = tuple(views)

    def see(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) -> (T B, C, H, W): the T views, one after the other."""
        return torch.cat([view(x) for view in self.views])

    def strongest(self, answers: torch.Tensor) -> torch.Tensor:
        """(T B, ...) -> (B, ...): the maximum over the views."""
        return answers.reshape(len(self.views), -1, *answers.shape[1:]).amax(dim=0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) -> the shape of the output of `stack` for one view."""
        result: torch.Tensor = self.strongest(self.stack(self.see(x)))
        return result


class _StochasticPool(torch.autograd.Function):
    """On the CPU with `fer3d.kernels.stochastic_pool`; elsewhere in torch, one member of all regions at a time."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, kernel: int, stride: int, generator: torch.Generator | None) -> torch.Tensor:
        size = [-(-(n - kernel) // stride) + 1 for n in x.shape[-2:]]
        even = torch.rand(len(x), *size, x.shape[1], dtype=x.dtype, device=x.device, generator=generator)
        draw = _draw_compiled if x.device.type == "cpu" else _draw
        result, drawn = draw(x, even, kernel, stride)
        ctx.save_for_backward(drawn)
        ctx.shape, ctx.kernel, ctx.stride = x.shape, kernel, stride
        return result

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None, None]:
        (drawn,) = ctx.saved_tensors
        spread = _spread_compiled if gradient.device.type == "cpu" else _spread
        return spread(gradient, drawn, ctx.kernel, ctx.stride, ctx.shape[-2:]), None, None, None


def _draw_compiled(x: torch.Tensor, even: torch.Tensor, kernel: int, stride: int) -> tuple[torch.Tensor, torch.Tensor]:
    from fer3d.kernels.stochastic_pool import draw

    result, drawn = torch.empty_like(even), torch.empty(even.shape, dtype=torch.uint8)
    draw(_last(x).numpy(), even.numpy(), kernel, stride, result.numpy(), drawn.numpy())
    return result.permute(0, 3, 1, 2), drawn.permute(0, 3, 1, 2)


def _spread_compiled(
    gradient: torch.Tensor, drawn: torch.Tensor, kernel: int, stride: int, shape: Sequence[int]
) -> torch.Tensor:
    from fer3d.kernels.stochastic_pool import spread

    result = gradient.new_zeros(len(gradient), *shape, gradient.shape[1])
    spread(_last(gradient).numpy(), _last(drawn).numpy(), kernel, stride, result.numpy())
    return result.permute(0, 3, 1, 2)


def _last(x: torch.Tensor) -> torch.Tensor:
    """(B, C, H, W) -> (B, H, W, C), contiguous; no copy if the memory already has this layout."""
    return x.detach().permute(0, 2, 3, 1).contiguous()


def _draw(x: torch.Tensor, even: torch.Tensor, kernel: int, stride: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(B, C, H, W) and (B, h, w, C) -> the members drawn and their numbers, (B, C, h, w) each."""
    even = even.permute(0, 3, 1, 2)
    members = list(_members(functional.pad(x, _rim(x.shape[-2:], kernel, stride)), kernel, stride))
    total = torch.zeros_like(members[0])
    for member in members:  # in the same order as below: the last bit matters
        total = total + member
    # draw member l if the sum before it is at most the threshold, and the sum including it exceeds the threshold
    threshold = even * total
    drawn = torch.zeros(total.shape, dtype=torch.uint8, device=x.device)
    result, before = torch.zeros_like(total), torch.zeros_like(total)
    for member in members:
        after = before + member
        result = torch.where((before <= threshold) & (threshold < after), member, result)
        drawn += after <= threshold
        before = after
    something = total > 0  # NaN stays NaN
    drawn = torch.where(something, drawn, (even * kernel**2).to(torch.uint8)).clamp_(max=kernel**2 - 1)
    return torch.where(something, result, total), drawn


def _spread(
    gradient: torch.Tensor, drawn: torch.Tensor, kernel: int, stride: int, shape: Sequence[int]
) -> torch.Tensor:
    """(B, C, h, w) -> (B, C, H, W): add the gradient where a member was drawn, without atomics."""
    height, width = shape
    right, bottom = _rim(shape, kernel, stride)[1::2]
    padded = gradient.new_zeros(*gradient.shape[:2], height + bottom, width + right)
    for number, member in enumerate(_members(padded, kernel, stride)):
        member += gradient * (drawn == number)  # a view: adds into `padded`
    return padded[..., :height, :width]


def _members(padded: torch.Tensor, kernel: int, stride: int) -> Iterator[torch.Tensor]:
    """Views (B, C, h, w): the first member of every region, the second, and so on."""
    height, width = ((n - kernel) // stride * stride + 1 for n in padded.shape[-2:])
    for i in range(kernel):
        for j in range(kernel):
            yield padded[..., i : i + height : stride, j : j + width : stride]


def _rim(shape: Sequence[int], kernel: int, stride: int) -> tuple[int, int, int, int]:
    """Padding for `functional.pad`: 0 columns left, some right, 0 rows on top, some below."""
    below, right = ((kernel - n) % stride for n in shape)
    return 0, right, 0, below


def _check(x: torch.Tensor, kernel: int, stride: int) -> None:
    check_shape("x", x, ("B", "C", "H", "W"))
    if not 1 <= stride <= kernel <= min(x.shape[-2:]):
        raise ArgumentError(
            f"`kernel` and `stride` should have 1 <= stride <= kernel <= {min(x.shape[-2:])}, are {kernel}, {stride}"
        )
    if x.numel() and x.device.type != "meta" and float(x.detach().amin()) < 0:
        raise ArgumentError(f"`x` should not be negative, holds {float(x.detach().amin()):g}")
