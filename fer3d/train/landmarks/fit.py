"""Train the two networks of the landmark detector on stored examples."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fer3d.prepare.landmarks.networks import FaceFinder, PointPlacer
from fer3d.train.landmarks import losses

Examples = Mapping[str, NDArray[Any]]

_LR, _DECAY, _BATCH = 3e-3, 1e-4, 64
_AVERAGED = 0.02  # share of the steps over which the weights are averaged
_LONGEST = 5.0  # largest norm of a gradient


def view_batch(examples: Examples, rows: NDArray[np.int64], generator: torch.Generator | None) -> losses.ViewBatch:
    """The examples of some rows as a batch; with a generator, mirrored and erased by chance."""
    t = {name: torch.from_numpy(array[rows]) for name, array in examples.items()}
    batch = losses.ViewBatch(
        losses.pictures(t["normals"], t["depth"]), t["shows"], t["cell"], t["depth_left"], t["size"], t["axes"]
    )
    if generator is None:
        return batch
    batch = losses.mirrored_views(batch, torch.rand(len(rows), generator=generator) < 0.5)
    return batch._replace(pictures=losses.erased(batch.pictures, generator))


def front_batch(examples: Examples, rows: NDArray[np.int64], generator: torch.Generator | None) -> losses.FrontBatch:
    """As `view_batch`, for `PointPlacer`."""
    t = {name: torch.from_numpy(array[rows]) for name, array in examples.items()}
    batch = losses.FrontBatch(losses.pictures(t["normals"], t["depth"]), t["shows"], t["spots"], t["measured"])
    if generator is None:
        return batch
    batch = losses.mirrored_fronts(batch, torch.rand(len(rows), generator=generator) < 0.5)
    return batch._replace(pictures=losses.erased(batch.pictures, generator))


def fit(
    network: FaceFinder | PointPlacer,
    examples: Examples,
    epochs: int,
    seed: int,
    progress: Callable[[int, int, dict[str, float]], None] | None = None,
) -> nn.Module:
    """Train a network, and return the running average of its weights over the last steps, in evaluation mode.

    Args:
        network: The network, with fresh weights.
        examples: Columns of `Views` or `Fronts`, each with N rows.
        epochs: Passes over the examples.
        seed: Seed of order and changes.
        progress: Called after each step with the number of steps, of all steps, and the terms of the loss.
    """
    placer = isinstance(network, PointPlacer)
    order, change = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    count = len(examples["shows"])
    batch = min(_BATCH, count)
    steps = epochs * (count // batch)
    optimizer = torch.optim.AdamW(network.parameters(), lr=_LR, weight_decay=_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _LR, total_steps=steps, pct_start=0.15)
    kept = 1.0 - 1.0 / max(_AVERAGED * steps, 1.0)
    average = torch.optim.swa_utils.AveragedModel(
        network,
        multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(kept),  # type: ignore[no-untyped-call]
        use_buffers=True,
    )
    network.train()
    done = 0
    for _ in range(epochs):
        rows = order.permutation(count)
        for start in range(0, count - batch + 1, batch):
            chosen = np.sort(rows[start : start + batch])
            terms: dict[str, Tensor]
            if placer:
                fronts = front_batch(examples, chosen, change)
                terms = losses.placement_loss(network(fronts.pictures), fronts)
            else:
                views = view_batch(examples, chosen, change)
                terms = losses.sighting_loss(network(views.pictures), views)
            optimizer.zero_grad(set_to_none=True)
            sum(terms.values()).backward()  # type: ignore[union-attr]
            nn.utils.clip_grad_norm_(network.parameters(), _LONGEST)
            optimizer.step()
            schedule.step()
            average.update_parameters(network)
            done += 1
            if progress is not None:
                progress(done, steps, {name: float(term.detach()) for name, term in terms.items()})
    result: nn.Module = average.module
    return result.eval()
