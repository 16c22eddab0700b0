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
from fer3d.data.samples import InputNormalisation, TrainingData, name_some
from fer3d.errors import ArgumentError, CheckpointError, TrainError
from fer3d.image.losses import siamese_term
from fer3d.models.network import Criterion, Network, PretrainedSettings
from fer3d.train.checkpoint import load_state, load_weights, probabilities, save_state
from fer3d.train.objective import ClassLoss, Objective

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
class TrainingPhase:
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
        y: (B,) targets.
        other: Targets mixed in, and their share.
        paired: (B,) bool, with the Siamese objective: which have a partner.
    """

    x: Any
    y: torch.Tensor
    other: tuple[torch.Tensor, float] | None = None
    paired: torch.Tensor | None = None

    @property
    def seen_labels(self) -> torch.Tensor:
        """Targets of all that is in `x`."""
        return self.y if self.paired is None else torch.cat([self.y, self.y[self.paired]])


class _WithLosses(nn.Module):
    """A network whose forward pass gives its losses: what precision and several processes do, they do to that."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Any, criterion: Criterion) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """A batch -> (B, K) outputs, and the terms of the loss by name."""
        found = self.network.losses(x, criterion)
        return found.outputs, dict(found.terms)


@dataclass(frozen=True)
class Split:
    """Rows of the data, each (M,) int64; `validation` may be empty."""

    train: torch.Tensor
    validation: torch.Tensor


def fit(
    fabric: Fabric,
    network: Network,
    data: TrainingData,
    split: Split,
    normalisation: InputNormalisation,
    settings: TrainSettings,
    *,
    name: str,
    key: tuple[int, int],
    state_file: Path,
    identity: Mapping[str, Any],
    on_epoch_end: Callable[[Row], None],
) -> list[Row]:
    """Train `network` in place.

    Args:
        fabric: Device, precision, processes.
        network: With its first weights, on the device. If `state_file` exists, it takes the weights from there.
        data: On the device, or on the host.
        split: Who is trained on and who is watched. Test scans never come in here.
        normalisation: Of the training scans.
        settings: How.
        name: Of the fold, for messages.
        key: (round, fold): with the seed, where random numbers come from.
        state_file: Written after every epoch, read to go on.
        identity: Must be equal in the state file.
        on_epoch_end: Called with the log row of every epoch, of those of an earlier run too.

    Returns:
        The log: epoch, train_loss (the first term of the network's losses), train_accuracy, validation_loss and
        validation_accuracy (None without validation scans), lr, seconds.

    Raises:
        TrainError: if a loss is not a number, or there are no training scans.
        CheckpointError: if the state file is of another run, or damaged.
        FileError: if it cannot be written.
    """
    state = _restore(state_file, identity, network)
    for row in state.log:
        on_epoch_end(row)
    batch = _local_batch(fabric, settings, len(split.train), name)
    loss = _class_loss(settings, data, split.train, fabric.device)
    pairing = Pairing.of(data.rows, split.train, settings.easy, name) if settings.siamese else None
    read_features = _classifier_input(network) if pairing else None
    for phase in phases(settings):
        if state.epoch >= phase.end:
            continue
        model, optimizer = _set_up(fabric, network, settings, phase)
        if state.epoch > phase.start:
            optimizer.load_state_dict(state.optimizer)
        for epoch in range(state.epoch, phase.end):
            start = time.perf_counter()
            network.train()
            if phase.frozen:
                for branch in _pretrained(network):
                    branch.eval()
            batches = _batches(fabric, data, split.train, normalisation, settings, batch, (*key, epoch), pairing)
            losses, correct, steps = [], 0, len(split.train) // (batch * fabric.world_size)
            for step, part in enumerate(batches):
                rate = _rate(settings, phase, (epoch - phase.start) + step / steps)
                for group in optimizer.param_groups:
                    group["lr"] = rate
                outputs, found = model(part.x, Objective(loss, part.y, part.seen_labels, part.other))
                terms = torch.stack(list(found.values()))
                if read_features is not None:
                    terms = torch.cat([terms, settings.siamese * _siamese_term(read_features(), part)[None]])
                optimizer.zero_grad()
                fabric.backward(terms.sum())
                if settings.clip:
                    fabric.clip_gradients(model, optimizer, max_norm=settings.clip, error_if_nonfinite=False)
                optimizer.step()
                losses.append(terms.detach())
                correct += int((outputs[: len(part.y)].detach().argmax(1) == part.y).sum())
            row = _row(fabric, name, epoch, losses, correct, batch * steps, rate)
            row |= validate(fabric, network, data, split.validation, normalisation, settings)
            row["seconds"] = round(time.perf_counter() - start, 3)
            _remember(state, network, optimizer, row)
            if fabric.is_global_zero:
                save_state(state_file, vars(state))
            on_epoch_end(row)
    if settings.select == "best" and state.best:
        network.load_state_dict(state.best["network"])
    return state.log


def phases(settings: TrainSettings) -> list[TrainingPhase]:
    """One phase, or two: first with the branches frozen, then all."""
    own = settings.model
    frozen = own.freeze_epochs if isinstance(own, PretrainedSettings) else 0
    whole = TrainingPhase(frozen, settings.epochs, settings.lr, frozen=False)
    if not frozen:
        return [whole]
    assert isinstance(own, PretrainedSettings)
    return [TrainingPhase(0, frozen, own.frozen_lr, frozen=True), whole]


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
            made.append(probabilities(network, normalisation, x, mirror=settings.test_mirror).cpu())
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


def _classifier_input(network: Network) -> Callable[[], torch.Tensor]:
    """A function that gives what the network's classifier last read, (B, D): its features, also inside of DDP."""
    read = [torch.empty(0)]
    network.classifier.register_forward_pre_hook(lambda module, arguments: read.__setitem__(0, arguments[0]))
    return lambda: read[0]


def _siamese_term(features: torch.Tensor, batch: Batch) -> torch.Tensor:
    """The Siamese term before its weight, see `fer3d.image.losses.siamese_term`.

    Its gradient reaches the partners too. With their features held fixed it would be the gradient of nothing: a step
    that moves a picture towards its partner moves the partner on, and features have been seen to grow without bound.
    """
    own, targets = features[: len(batch.y)].float(), features[: len(batch.y)].detach().float().clone()
    assert batch.paired is not None
    targets[batch.paired] = features[len(batch.y) :].float()
    return siamese_term(own, targets, batch.paired)


def _class_loss(settings: TrainSettings, data: TrainingData, rows: torch.Tensor, device: torch.device) -> ClassLoss:
    """Cross entropy as the settings say; `balanced` weights are counted on the training scans `rows`."""
    weights = torch.ones(len(data.classes), device=device)
    if settings.class_weights == "balanced":
        counts = torch.bincount(data.labels[rows.to(data.labels.device)].cpu(), minlength=len(data.classes))
        weights = (len(rows) / (len(data.classes) * counts.clamp(min=1))).float().to(device)
    return ClassLoss(weights, settings.label_smoothing)


def _set_up(
    fabric: Fabric, network: Network, settings: TrainSettings, phase: TrainingPhase
) -> tuple[Any, torch.optim.Optimizer]:
    """The losses of the network, and its optimiser, as Fabric wraps them, for one phase."""
    network.requires_grad_(True)
    if phase.frozen:
        for part in _pretrained(network):
            part.requires_grad_(False)
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    optimizer: torch.optim.Optimizer
    if settings.optimizer == "adamw":
        optimizer = torch.optim.AdamW(groups, lr=phase.lr)
    else:
        optimizer = torch.optim.SGD(groups, lr=phase.lr, momentum=settings.momentum, nesterov=settings.momentum > 0)
    model, wrapped = fabric.setup(_WithLosses(network), optimizer)
    return model, wrapped


def _pretrained(network: Network) -> list[nn.Module]:
    """The parts that can be frozen. ArgumentError if the network has none."""
    parts = list(network.pretrained().values())
    if not parts:
        raise ArgumentError("`freeze_epochs` needs a network with branches, such as dff-cnn or df-cnn")
    return parts


def _rate(settings: TrainSettings, phase: TrainingPhase, epoch: float) -> float:
    """The learning rate `epoch` epochs into a phase."""
    done = epoch / (phase.end - phase.start)
    if settings.schedule == "constant":
        return phase.lr
    if settings.schedule == "one-cycle" and done < _RISE:
        return phase.lr * (0.04 + 0.96 * (1.0 - math.cos(math.pi * done / _RISE)) / 2.0)
    if settings.schedule == "one-cycle":
        done = (done - _RISE) / (1.0 - _RISE)
    return phase.lr * (1.0 + math.cos(math.pi * done)) / 2.0


def _local_batch(fabric: Fabric, settings: TrainSettings, scans: int, name: str) -> int:
    """Scans a step and process."""
    if settings.batch % fabric.world_size:
        raise ArgumentError(f"`batch` should be a multiple of the {fabric.world_size} processes, is {settings.batch}")
    batch = min(settings.batch // fabric.world_size, scans // fabric.world_size)
    if batch < 1 or (batch == 1 and fabric.world_size == 1):
        raise TrainError(f"{name}: wanted at least 2 training scans, got {scans}")
    return batch


def _row(
    fabric: Fabric, name: str, epoch: int, losses: list[torch.Tensor], correct: int, scans: int, rate: float
) -> Row:
    """The log row of an epoch, averaged over processes; a loss that is no number ends the run."""
    each = torch.stack(losses)  # (steps, terms)
    all_losses = each.sum(dim=1)
    bad = torch.nonzero(~torch.isfinite(all_losses))
    if len(bad):
        raise TrainError(
            f"{name}: epoch {epoch + 1}, step {int(bad[0]) + 1}: the loss should be a number, is "
            f"{float(all_losses[bad[0]]):g}; try a lower `lr` than {rate:g}, or precision 32-true"
        )
    sums = torch.stack([each[:, 0].mean(), torch.tensor(correct / scans, device=all_losses.device)])
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
        raise CheckpointError(
            f"{path}: wanted the state of a training, it holds {name_some(sorted(map(str, content)))}"
        )
    for key, value in identity.items():
        if content["identity"].get(key) != value:
            raise CheckpointError(
                f"{path}: `{key}` should be {value!r} to go on, is {content['identity'].get(key)!r}; "
                "remove the file to train the fold anew"
            )
    load_weights(network, content["network"], path)
    return State(**content)
