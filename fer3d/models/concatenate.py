"""Features of several branches side by side, in training without some of them."""

from __future__ import annotations

from collections.abc import Sequence

import torch


def side_by_side(parts: Sequence[torch.Tensor], dropout: float) -> torch.Tensor:
    """(B, D, ...) each -> (B, sum of D, ...), of which each scan misses each part with a chance of `dropout` [D].

    What is left of a scan keeps its weight; a scan that would lose everything loses nothing.
    """
    if not dropout or len(parts) == 1:
        return torch.cat(list(parts), dim=1)
    kept = torch.rand(len(parts), len(parts[0]), *[1] * (parts[0].ndim - 1), device=parts[0].device) >= dropout
    kept = kept | ~kept.any(dim=0, keepdim=True)
    weights = kept / kept.float().mean(dim=0, keepdim=True)
    return torch.cat([part * weight for part, weight in zip(parts, weights, strict=True)], dim=1)
