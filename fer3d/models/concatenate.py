"""Concatenates the features of several branches, dropping some branches in training."""

from __future__ import annotations

from collections.abc import Sequence

import torch


def side_by_side(parts: Sequence[torch.Tensor], dropout: float) -> torch.Tensor:
    """Concatenate features (B, D, ...) to (B, sum of D, ...); each scan drops each part with probability `dropout` [D].

    The parts that a scan keeps are divided by the share of parts that it keeps. A scan that would lose all parts keeps
    all.
    """
    if not dropout or len(parts) == 1:
        return torch.cat(list(parts), dim=1)
    kept = torch.rand(len(parts), len(parts[0]), *[1] * (parts[0].ndim - 1), device=parts[0].device) >= dropout
    kept = kept | ~kept.any(dim=0, keepdim=True)
    weights = kept / kept.float().mean(dim=0, keepdim=True)
    return torch.cat([part * weight for part, weight in zip(parts, weights, strict=True)], dim=1)
