"""`fit`: one network on one fold. The whole loop stands here, top to bottom; `fer3d.train.run` runs it fold by fold.

Every random number of an epoch comes from (seed, round, fold, epoch): a run that was killed goes on from its last
whole epoch and ends with the same bits, and several processes that share a batch draw the same changes as one would.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from fer3d.config import TrainSettings
from fer3d.data.pairs import Pairing
from fer3d.data.samples import InputNormalisation, TrainingData, shown
from fer3d.errors import ArgumentError, CheckpointError, TrainError
from fer3d.image.losses import pull
from fer3d.train.checkpoint import load_state, load_weights, probabilities, save_state

if TYPE_CHECKING:
    from lightning_fabric import Fabric

Row = dict[str, Any]

_EVALUATED = 64  # scans at once, without gradients
_PAIRS = 1  # tells the numbers that draw partners from those that shuffle
_RISE = 0.25  # share of a one-cycle schedule in which the rate goes up


@dataclass
class State:
    """How far the training of a fold is: all that a killed run needs to go on.

    Attributes:
        epoch: Whole epochs done.
        log: One row an epoch.
        network, optimizer: Their state dicts.
        best: {"epoch", "loss", "network"} of the lowest validation loss, if there are validation scans.
        identity: What must be the same to go on: settings, fold, versions.
    """

    identity: Mapping[str, Any]
    epoch: int = 0
    log: list[Row] = field(default_factory=list)
    network: dict[str, Any] = field(default_factory=dict)
    optimizer: dict[str, Any] = field(default_factory=dict)
    best: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Stage:
    """Epochs [start, end) with one optimiser.

    Attributes:
        lr: Highest learning rate.
        frozen: Whether the branches stay as they are.
    """

    start: int
    end: int
    lr: float
    frozen: bool


@dataclass(frozen=True)
class Batch:
    """A process's share of a batch, normalised, on its device.

    Attributes:
        x: B scans; with the Siamese objective, then the partners of those that have one.
        y: (B,) int64 labels.
        other: Labels mixed in, and their share.
        paired: (B,) bool, with the Siamese objective: which have a partner.
    """

    x: Any
    y: torch.Tensor
    other: tuple[torch.Tensor, float] | None = None
    paired: torch.Tensor | None = None

    @property
    def seen_labels(self) -> torch.Tensor:
        """Labels of all that is in `x`."""
        return self.y if self.paired is None else torch.cat([self.y, self.y[self.paired]])


@dataclass(frozen=True)
class Parts:
    """Rows of the data, each (M,) int64; `validation` may be empty."""

    train: torch.Tensor
    validation: torch.Tensor


def fit(
    fabric: Fabric,
    network: nn.Module,
    data: TrainingData,
    parts: Parts,
    normalisation: InputNormalisation,
    settings: TrainSettings,
    *,
    name: str,
    key: tuple[int, int],
    state_file: Path,
    identity: Mapping[str, Any],
    tick: Callable[[Row], None],
) -> list[Row]:
    """Train `network` in place.

    Args:
        fabric: Device, precision, processes.
        network: With its first weights, on the device. If `state_file` exists, it takes the weights from there.
        data: On the device, or on the host.
        parts: Who is trained on and who is watched. Test scans never come in here.
        normalisation: Of the training scans.
        settings: How.
        name: Of the fold, for messages.
        key: (round, fold): with the seed, where random numbers come from.
        state_file: Written after every epoch, read to go on.
        identity: Must be equal in the state file.
        tick: Called with the log row of every epoch, of those of an earlier run too.

    Returns:
        The log: epoch, train_loss (of the network's own logits or its first expert's, without other terms),
            train_accuracy, validation_loss and validation_accuracy (None without validation scans), lr, seconds.

    Raises:
        TrainError: if a loss is not a number, or there are no training scans.
        CheckpointError: if the state file is of another run, or damaged.
        FileError: if it cannot be written.
    """
    state = _restore(state_file, identity, network)
    for row in state.log:
        tick(row)
    batch = _local_batch(fabric, settings, len(parts.train), name)
    loss_of = _loss(network, settings, data, parts.train, fabric.device)
    pairing = Pairing.of(data.rows, parts.train, settings.easy, name) if settings.siamese else None
    read_head = _head_input(network) if pairing else None
    for stage in stages(settings):
        if state.epoch >= stage.end:
            continue
        model, optimizer = _set_up(fabric, network, settings, stage)
        if state.epoch > stage.start:
            optimizer.load_state_dict(state.optimizer)
        for epoch in range(state.epoch, stage.end):
            start = time.perf_counter()
            network.train()
            if stage.frozen:
                _branches(network).eval()
            batches = _batches(fabric, data, parts.train, normalisation, settings, batch, (*key, epoch), pairing)
            losses, right, steps = [], 0, len(parts.train) // (batch * fabric.world_size)
            for step, part in enumerate(batches):
                rate = _rate(settings, stage, (epoch - stage.start) + step / steps)
                for group in optimizer.param_groups:
                    group["lr"] = rate
                made = model(part.x)
                logits, seen = made if isinstance(made, tuple) else (made, ())
                logits = logits[:, : len(part.y)]
                parts_of_loss = loss_of(logits, seen, part)
                if read_head is not None:
                    parts_of_loss = torch.cat([parts_of_loss, settings.siamese * _apart(read_head(), part)[None]])
                optimizer.zero_grad()
                fabric.backward(parts_of_loss.sum())
                if settings.clip:
                    fabric.clip_gradients(model, optimizer, max_norm=settings.clip, error_if_nonfinite=False)
                optimizer.step()
                losses.append(parts_of_loss.detach())
                right += int((logits[0].detach().argmax(1) == part.y).sum())
            row = _row(fabric, name, epoch, losses, right, batch * steps, rate)
            row |= validate(fabric, network, data, parts.validation, normalisation, settings)
            row["seconds"] = round(time.perf_counter() - start, 3)
            _remember(state, network, optimizer, row)
            if fabric.is_global_zero:
                save_state(state_file, vars(state))
            tick(row)
    if settings.select == "best" and state.best:
        network.load_state_dict(state.best["network"])
    return state.log


def stages(settings: TrainSettings) -> list[Stage]:
    """One stage, or two: first with the branches frozen, then all."""
    frozen = settings.freeze_epochs
    whole = Stage(frozen, settings.epochs, settings.lr, frozen=False)
    return [Stage(0, frozen, settings.frozen_lr, frozen=True), whole] if frozen else [whole]


def validate(
    fabric: Fabric,
    network: nn.Module,
    data: TrainingData,
    rows: torch.Tensor,
    normalisation: InputNormalisation,
    settings: TrainSettings,
) -> Row:
    """{"validation_loss", "validation_accuracy"} over `rows`; None without rows. The loss is plain cross entropy."""
    if not len(rows):
        return {"validation_loss": None, "validation_accuracy": None}
    made = predict_rows(fabric, network, data, rows, normalisation, settings)
    truth = data.labels[rows.to(data.labels.device)].cpu()
    loss = functional.nll_loss(made.clamp(min=1e-12).log(), truth)
    accuracy = (made.argmax(1) == truth).float().mean()
    return {"validation_loss": float(loss), "validation_accuracy": float(accuracy)}


def predict_rows(
    fabric: Fabric,
    network: nn.Module,
    data: TrainingData,
    rows: torch.Tensor,
    normalisation: InputNormalisation,
    settings: TrainSettings,
) -> torch.Tensor:
    """(M, K) float32 on the CPU: probabilities of the scans in `rows`."""
    made = []
    for part in torch.split(rows, _EVALUATED):
        x = normalisation.apply(data.take(part, fabric.device))
        with fabric.autocast():
            copies = settings.test_perturbations
            told = probabilities(network, normalisation, x, mirror=settings.test_mirror, perturbations=copies)
            made.append(told.cpu())
    return torch.cat(made)


def seeded(*words: int) -> int:
    """A seed made of several numbers: streams of different words are independent."""
    return int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0]) >> 1  # torch takes 63 bits


@contextmanager
def deterministic(wanted: bool) -> Iterator[None]:
    """Inside, if wanted, no kernel is used whose result depends on timing; where a GPU has no other, torch warns."""
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(wanted or before, warn_only=torch.cuda.is_available())
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)


def _batches(
    fabric: Fabric,
    data: TrainingData,
    rows: torch.Tensor,
    normalisation: InputNormalisation,
    settings: TrainSettings,
    batch: int,
    key: tuple[int, int, int],
    pairing: Pairing | None = None,
) -> Iterator[Batch]:
    """This process's share of every batch of an epoch."""
    random = torch.Generator().manual_seed(seeded(settings.seed, *key))
    torch.manual_seed(seeded(settings.seed, *key, fabric.global_rank))  # dropout
    order = rows[torch.randperm(len(rows), generator=random)]
    partners = None if pairing is None else pairing.partners(seeded(settings.seed, *key, _PAIRS))
    mine = slice(fabric.global_rank * batch, (fabric.global_rank + 1) * batch)
    whole = batch * fabric.world_size
    for start in range(0, len(order) - whole + 1, whole):
        chosen = order[start : start + whole]
        draws = data.draw(settings, whole, random)

        def made(which: torch.Tensor, rows: torch.Tensor, draws: Mapping[str, Any] = draws) -> Any:
            values = data.take(rows, fabric.device)
            mine_drawn = {name: tensor[which] for name, tensor in draws.items()}
            return normalisation.apply(data.augment(values, mine_drawn))

        which = torch.arange(whole)[mine]
        y = data.labels[chosen[which].to(data.labels.device)].to(fabric.device)
        if partners is not None:
            partner = partners[chosen[which]]
            paired = partner >= 0
            # changed as the scan itself is, so that nothing but the conditions differs
            x = made(torch.cat([which, which[paired]]), torch.cat([chosen[which], partner[paired]]))
            yield Batch(x, y, None, paired.to(fabric.device))
            continue
        x, other = made(which, chosen[which]), None
        if settings.mixup:
            mate = torch.randperm(whole, generator=random)[mine]
            share = float(np.random.default_rng(seeded(*key, start)).beta(settings.mixup, settings.mixup))
            x = (1.0 - share) * x + share * made(mate, chosen[mate])
            other = (data.labels[chosen[mate].to(data.labels.device)].to(fabric.device), share)
        yield Batch(x, y, other)


def _head_input(network: nn.Module) -> Callable[[], torch.Tensor]:
    """A function that gives what the network's head last read, (B, D): its features, also inside of DDP."""
    head, read = getattr(network, "head", None), [torch.empty(0)]
    if not isinstance(head, nn.Module):
        raise ArgumentError("`siamese` needs a network with a head that reads features")
    head.register_forward_pre_hook(lambda module, arguments: read.__setitem__(0, arguments[0]))
    return lambda: read[0]


def _apart(features: torch.Tensor, batch: Batch) -> torch.Tensor:
    """The Siamese term before its weight, see `fer3d.image.losses.pull`.

    Its gradient reaches the partners too. With their features held fixed it would be the gradient of nothing: a step
    that moves a picture towards its partner moves the partner on, and features have been seen to grow without bound.
    """
    own, targets = features[: len(batch.y)].float(), features[: len(batch.y)].detach().float().clone()
    assert batch.paired is not None
    targets[batch.paired] = features[len(batch.y) :].float()
    return pull(own, targets, batch.paired)


def _loss(
    network: nn.Module, settings: TrainSettings, data: TrainingData, rows: torch.Tensor, device: torch.device
) -> Callable[[torch.Tensor, tuple[torch.Tensor, ...], Batch], torch.Tensor]:
    """(A, B, K) logits and what the network saw -> the terms of the loss, weighted, to be summed.

    First that of the network's own logits, or of each of its experts', then its auxiliary classifiers', then its
    penalty, if it has one: see `fer3d.models` for what a network may bring of its own.
    """
    experts = getattr(network, "experts", 1)
    criterion, penalty = getattr(network, "criterion", None), getattr(network, "penalty", None)
    weights = torch.ones(len(data.classes), device=device)
    if settings.class_weights == "balanced":
        counts = torch.bincount(data.labels[rows.to(data.labels.device)].cpu(), minlength=len(data.classes))
        weights = (len(rows) / (len(data.classes) * counts.clamp(min=1))).float().to(device)

    def entropy(logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return functional.cross_entropy(logits, y, reduction="none", label_smoothing=settings.label_smoothing)

    def one(logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        each = (criterion or entropy)(logits.float(), y)
        return (each * weights[y]).mean()  # not over the sum of weights: processes must be able to average

    def terms(
        logits: torch.Tensor, seen: tuple[torch.Tensor, ...], y: torch.Tensor, seen_y: torch.Tensor
    ) -> torch.Tensor:
        made = [one(layer, y) for layer in logits]
        return torch.stack(made if penalty is None else [*made, penalty(seen, seen_y).float()])

    def loss(logits: torch.Tensor, seen: tuple[torch.Tensor, ...], batch: Batch) -> torch.Tensor:
        made = terms(logits, seen, batch.y, batch.seen_labels)
        if batch.other is not None:
            y, share = batch.other
            made = (1.0 - share) * made + share * terms(logits, seen, y, y)
        own, auxiliary, rest = made[:experts], made[experts : len(logits)], made[len(logits) :]
        return torch.cat([own, settings.auxiliary * auxiliary, rest])

    return loss


def _set_up(
    fabric: Fabric, network: nn.Module, settings: TrainSettings, stage: Stage
) -> tuple[Any, torch.optim.Optimizer]:
    """The network and its optimiser, as Fabric wraps them, for one stage."""
    network.requires_grad_(True)
    if stage.frozen:
        _branches(network).requires_grad_(False)
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    optimizer: torch.optim.Optimizer
    if settings.optimizer == "adamw":
        optimizer = torch.optim.AdamW(groups, lr=stage.lr)
    else:
        optimizer = torch.optim.SGD(groups, lr=stage.lr, momentum=settings.momentum, nesterov=settings.momentum > 0)
    model, wrapped = fabric.setup(network, optimizer)
    return model, wrapped


def _branches(network: nn.Module) -> nn.Module:
    branches = getattr(network, "branches", None)
    if not isinstance(branches, nn.Module):
        raise ArgumentError("`freeze_epochs` needs a network with branches, such as dff-cnn or df-cnn")
    return branches


def _rate(settings: TrainSettings, stage: Stage, epoch: float) -> float:
    """The learning rate `epoch` epochs into a stage."""
    done = epoch / (stage.end - stage.start)
    if settings.schedule == "constant":
        return stage.lr
    if settings.schedule == "one-cycle" and done < _RISE:
        return stage.lr * (0.04 + 0.96 * (1.0 - math.cos(math.pi * done / _RISE)) / 2.0)
    if settings.schedule == "one-cycle":
        done = (done - _RISE) / (1.0 - _RISE)
    return stage.lr * (1.0 + math.cos(math.pi * done)) / 2.0


def _local_batch(fabric: Fabric, settings: TrainSettings, scans: int, name: str) -> int:
    """Scans a step and process."""
    if settings.batch % fabric.world_size:
        raise ArgumentError(f"`batch` should be a multiple of the {fabric.world_size} processes, is {settings.batch}")
    batch = min(settings.batch // fabric.world_size, scans // fabric.world_size)
    if batch < 1 or (batch == 1 and fabric.world_size == 1):
        raise TrainError(f"{name}: wanted at least 2 training scans, got {scans}")
    return batch


def _row(fabric: Fabric, name: str, epoch: int, losses: list[torch.Tensor], right: int, scans: int, rate: float) -> Row:
    """The log row of an epoch, averaged over processes; a loss that is no number ends the run."""
    each = torch.stack(losses)  # (steps, A)
    all_losses = each.sum(dim=1)
    bad = torch.nonzero(~torch.isfinite(all_losses))
    if len(bad):
        raise TrainError(
            f"{name}: epoch {epoch + 1}, step {int(bad[0]) + 1}: the loss should be a number, is "
            f"{float(all_losses[bad[0]]):g}; try a lower `lr` than {rate:g}, or precision 32-true"
        )
    sums = torch.stack([each[:, 0].mean(), torch.tensor(right / scans, device=all_losses.device)])
    if fabric.world_size > 1:
        sums = fabric.all_reduce(sums, reduce_op="mean")  # type: ignore[assignment]
    return {
        "epoch": epoch + 1,
        "train_loss": float(sums[0]),
        "train_accuracy": float(sums[1]),
        "lr": rate,
    }


def _remember(state: State, network: nn.Module, optimizer: Any, row: Row) -> None:
    state.epoch = row["epoch"]
    state.log.append(row)
    state.network = network.state_dict()
    state.optimizer = optimizer.state_dict()
    loss = row["validation_loss"]
    if loss is not None and loss < state.best.get("loss", math.inf):
        kept = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
        state.best = {"epoch": state.epoch, "loss": loss, "network": kept}


def _restore(path: Path, identity: Mapping[str, Any], network: nn.Module) -> State:
    """The state in `path`, its weights put into `network`; a fresh one if there is no such file."""
    if not path.is_file():
        return State(identity)
    content = load_state(path)
    if set(content) != set(vars(State(identity))):
        raise CheckpointError(f"{path}: wanted the state of a training, it holds {shown(sorted(map(str, content)))}")
    for key, value in identity.items():
        if content["identity"].get(key) != value:
            raise CheckpointError(
                f"{path}: `{key}` should be {value!r} to go on, is {content['identity'].get(key)!r}; "
                "remove the file to train the fold anew"
            )
    load_weights(network, content["network"], path)
    return State(**content)
