"""Pooling: one activation drawn by its size, and the strongest answer over several views of a picture."""

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
    """From each region one activation, drawn with a chance in proportion to its size [1].

    Regions that the rim cuts are kept, and hold what is inside. Each region draws for itself, also where regions
    overlap. The gradient goes to the activation drawn. Where all of a region are 0 it draws evenly: 0.

    Args:
        x: (B, C, H, W), not negative: what a ReLU gives.
        kernel, stride: Of the square regions, pixels; the stride at most the kernel.
        generator: None for torch's own.

    Returns:
        (B, C, h, w) with h = ceil((H - kernel) / stride) + 1, and so for w.

    Raises:
        ArgumentError: if the shape is another, a region is larger than the map, or an activation is negative.

    References:
        .. [1] Zeiler, Fergus. Stochastic pooling for regularization of deep convolutional neural networks. ICLR 2013.
    """
    _check(x, kernel, stride)
    wide = x.float()  # half precision would know a few hundred different draws only
    made: torch.Tensor = _StochasticPool.apply(wide, kernel, stride, generator)  # type: ignore[no-untyped-call]
    return made.to(x.dtype)


def probability_pool(x: torch.Tensor, kernel: int, stride: int) -> torch.Tensor:
    """What `stochastic_pool` gives on average, its test rule: sum of a^2 / sum of a of a region; 0 where all are 0.

    Args, Returns, Raises: as `stochastic_pool`.
    """
    _check(x, kernel, stride)
    first = functional.avg_pool2d(x, kernel, stride, ceil_mode=True)
    second = functional.avg_pool2d(x * x, kernel, stride, ceil_mode=True)
    return second / torch.where(first > 0, first, 1.0)  # both over the same number of pixels, which cancels


class StochasticPool2d(nn.Module):
    """`stochastic_pool` while training, `probability_pool` afterwards.

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
    """The element-wise maximum of what a stack of layers says of several views of a picture [1].

    The channels share their weights: g_k(x) = max over phi of f_k(phi(x)). All views go through `stack` as one batch,
    so that batch normalisation, if there is any, sees them together.

    Args:
        stack: (B, C, H, W) -> (B, ...): f.
        views: The transformations phi, (B, C, H, W) -> the same shape each.

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
        """(B, C, H, W) -> what `stack` gives of one view."""
        made: torch.Tensor = self.strongest(self.stack(self.see(x)))
        return made


class _StochasticPool(torch.autograd.Function):
    """On the CPU by `fer3d.kernels.stochastic_pool`; elsewhere in torch, a member of all regions at a time."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, kernel: int, stride: int, generator: torch.Generator | None) -> torch.Tensor:
        size = [-(-(n - kernel) // stride) + 1 for n in x.shape[-2:]]
        even = torch.rand(len(x), *size, x.shape[1], dtype=x.dtype, device=x.device, generator=generator)
        draw = _draw_compiled if x.device.type == "cpu" else _draw
        made, drawn = draw(x, even, kernel, stride)
        ctx.save_for_backward(drawn)
        ctx.shape, ctx.kernel, ctx.stride = x.shape, kernel, stride
        return made

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None, None]:
        (drawn,) = ctx.saved_tensors
        spread = _spread_compiled if gradient.device.type == "cpu" else _spread
        return spread(gradient, drawn, ctx.kernel, ctx.stride, ctx.shape[-2:]), None, None, None


def _draw_compiled(x: torch.Tensor, even: torch.Tensor, kernel: int, stride: int) -> tuple[torch.Tensor, torch.Tensor]:
    from fer3d.kernels.stochastic_pool import draw

    made, drawn = torch.empty_like(even), torch.empty(even.shape, dtype=torch.uint8)
    draw(_last(x).numpy(), even.numpy(), kernel, stride, made.numpy(), drawn.numpy())
    return made.permute(0, 3, 1, 2), drawn.permute(0, 3, 1, 2)


def _spread_compiled(
    gradient: torch.Tensor, drawn: torch.Tensor, kernel: int, stride: int, shape: Sequence[int]
) -> torch.Tensor:
    from fer3d.kernels.stochastic_pool import spread

    made = gradient.new_zeros(len(gradient), *shape, gradient.shape[1])
    spread(_last(gradient).numpy(), _last(drawn).numpy(), kernel, stride, made.numpy())
    return made.permute(0, 3, 1, 2)


def _last(x: torch.Tensor) -> torch.Tensor:
    """(B, C, H, W) -> (B, H, W, C) in memory; nothing is copied if that is how it lies."""
    return x.detach().permute(0, 2, 3, 1).contiguous()


def _draw(x: torch.Tensor, even: torch.Tensor, kernel: int, stride: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(B, C, H, W) and (B, h, w, C) -> the members drawn and their numbers, (B, C, h, w) each."""
    even = even.permute(0, 3, 1, 2)
    members = list(_members(functional.pad(x, _rim(x.shape[-2:], kernel, stride)), kernel, stride))
    total = torch.zeros_like(members[0])
    for member in members:  # in the order in which they are walked below: the last bit decides
        total = total + member
    # member l is drawn if the sum of those before is at most the threshold, and with it more
    threshold = even * total
    drawn = torch.zeros(total.shape, dtype=torch.uint8, device=x.device)
    made, before = torch.zeros_like(total), torch.zeros_like(total)
    for member in members:
        after = before + member
        made = torch.where((before <= threshold) & (threshold < after), member, made)
        drawn += after <= threshold
        before = after
    something = total > 0  # what is no number is not hidden
    drawn = torch.where(something, drawn, (even * kernel**2).to(torch.uint8)).clamp_(max=kernel**2 - 1)
    return torch.where(something, made, total), drawn


def _spread(
    gradient: torch.Tensor, drawn: torch.Tensor, kernel: int, stride: int, shape: Sequence[int]
) -> torch.Tensor:
    """(B, C, h, w) -> (B, C, H, W): the gradient where a member was drawn, without atomics."""
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
    """As `functional.pad` takes it: 0 columns left, some right, 0 rows on top, some below."""
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
