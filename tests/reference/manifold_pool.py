"""Slow and obvious: the definition, one line per sentence."""

import torch

from tests.reference.manifold_conv import patches


def manifold_pool(x, indices, weights, layout, mode):
    p = patches(x, indices, weights)
    measured = (weights != 0).any(dim=4)
    A = p.shape[3]
    rows = []
    for (start, stop), window in zip(layout.rings, layout.windows, strict=True):
        for j in range(layout.rays):
            first = j * A // layout.rays - (window - 1) // 2
            rays = [a % A for a in range(first, first + window)]
            covered = p[:, :, start:stop][:, :, :, rays].flatten(2, 3)  # (B, V, bins, C)
            seen = measured[:, :, start:stop][:, :, :, rays].flatten(2, 3)[..., None]
            if mode == "mean":
                pooled = (covered * seen).sum(dim=2) / seen.sum(dim=2).clamp(min=1)
            else:
                pooled = torch.where(seen, covered, -torch.inf).max(dim=2).values
            rows.append(torch.where(seen.any(dim=2), pooled, 0))
    return torch.stack(rows, dim=2).unflatten(2, (len(layout.rings), layout.rays))
