"""`fit`: trains one network on one fold. This file holds the whole loop; `fer3d.train.run` calls it for each fold.

Every random number of an epoch is derived from (seed, round, fold, epoch). A run that was killed therefore resumes
from its last complete epoch and ends with the same bits, and several processes that share a batch draw the same random
changes as a single process would.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from fer3d.catalog.targets import Target, UnitTarget, ValueTarget
from fer3d.config import TrainSettings
from fer3d.data.pairs import Pairing
from fer3d.data.samples import InputNormalisation, TrainingData
from fer3d.errors import ArgumentError, TrainError
from fer3d.image.losses import siamese_term
from fer3d.models.network import Criterion, Network, PretrainedSettings
from fer3d.train.checkpoint import save_state
from fer3d.train.objective import ClassLoss, Loss, Objective, UnitLoss, ValueLoss
from fer3d.train.schedule import schedule
from fer3d.train.standstill import Standstill
from fer3d.train.training_state import Row, State, restore, restore_optimizer
from fer3d.train.views import Views, answers

if TYPE_CHECKING:
    from lightning_fabric import Fabric

_EVALUATED = 64  # scans per batch without gradients
_PAIRS = 1  # makes the random numbers that draw partners independent of those that shuffle


@dataclass(frozen=True)
class TrainingPhase:
    """Epochs [start, end) with one optimiser.

    Attributes:
        start, end: First epoch, and the epoch after the last.
        lr: Highest learning rate.
        frozen: Whether the weights of the branches are frozen.
        branch_lr: Highest learning rate of the branches; None: `lr`.
    """

    start: int
    end: int
    lr: float
    frozen: bool
    branch_lr: float | None = None


@dataclass(frozen=True)
class Batch:
    """The share of a batch that one process handles, normalised, on the device of the process.

    Attributes:
        x: B scans; with the Siamese objective, followed by the partners of the scans that have one.
        y: (B,) targets.
        other: Targets mixed in by mixup, and their share.
        paired: (B,) bool, with the Siamese objective: which scans have a partner.
    """

    x: Any
    y: torch.Tensor
    other: tuple[torch.Tensor, float] | None = None
    paired: torch.Tensor | None = None

    @property
    def seen_labels(self) -> torch.Tensor:
        """Targets of all scans in `x`, including the partners."""
        return self.y if self.paired is None else torch.cat([self.y, self.y[self.paired]])


class _WithLosses(nn.Module):
    """A network whose forward pass returns its losses, so that Fabric handles their precision and processes too."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Any, criterion: Criterion) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """A batch -> (B, K) outputs, and the terms of the loss by name."""
        losses = self.network.losses(x, criterion)
        return losses.outputs, dict(losses.terms)


@dataclass(frozen=True)
class Split:
    """Training and validation scans as rows of the data, each (M,) int64; `validation` may be empty."""

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
    on_warning: Callable[[str, bool], None] = lambda text, last: None,
) -> list[Row]:
    """Train `network` in place.

    Args:
        fabric: Sets the device, the precision and the processes.
        network: The network with its initial weights, on the device. If `state_file` exists, its weights replace them.
        data: Scans, on the device or on the host.
        split: Training and validation scans. Test scans are never passed to this function.
        normalisation: Normalisation fitted to the training scans.
        settings: Training settings.
        name: Name of the fold, for messages.
        key: (round, fold), from which random numbers are derived together with the seed.
        state_file: Written after every epoch; read to resume.
        identity: Must equal the identity in the state file.
        on_epoch_end: Called with the log row of every epoch, including the epochs of an earlier, resumed run.
        on_warning: Called with a line of text if the network does not learn (`fer3d.train.standstill`), and with
            whether this is the last epoch.

    Returns:
        The log: epoch, train_loss (the first term of the network's losses), train_accuracy, validation_loss and
        validation_accuracy (None without validation scans), lr, seconds.

    Raises:
        TrainError: if a loss is not finite, or there are no training scans.
        CheckpointError: if the state file belongs to another run or is damaged.
        FileError: if the state file cannot be written.
    """
    state = restore(state_file, identity, network)
    for row in state.log:
        on_epoch_end(row)
    batch = _local_batch(fabric, settings, len(split.train), name)
    loss = _loss(settings, data, split.train, fabric.device)
    labels = data.labels[split.train.to(data.labels.device)].to(fabric.device)
    steps = len(split.train) // (batch * fabric.world_size)
    standstill = Standstill(name, settings.epochs, steps, settings.lr, loss, labels, len(data.classes))
    pairing = Pairing.of(data.rows, split.train, settings.easy, name) if settings.siamese else None
    read_features = _classifier_input(network) if pairing else None
    for phase in phases(settings):
        if state.epoch >= phase.end:
            continue
        model, optimizer = _set_up(fabric, network, settings, phase)
        highest = [float(group["lr"]) for group in optimizer.param_groups]
        if state.epoch > phase.start:
            restore_optimizer(optimizer, state.optimizer, state_file)
        done = max(state.epoch - phase.start, 0)
        rates = schedule(settings, phase.end - phase.start, steps, optimizer, lr=highest, done=done * steps)
        for epoch in range(state.epoch, phase.end):
            start = time.perf_counter()
            network.train()
            if phase.frozen:
                for branch in _pretrained(network):
                    branch.eval()
            batches = _batches(fabric, data, split.train, normalisation, settings, batch, (*key, epoch), pairing)
            losses, correct = [], 0.0
            for part in batches:
                objective = Objective(loss, part.y, part.seen_labels, part.other)
                outputs, named_terms = model(part.x, objective)
                standstill.observe(objective)
                terms = torch.stack(list(named_terms.values()))
                if read_features is not None:
                    terms = torch.cat([terms, settings.siamese * _siamese_term(read_features(), part)[None]])
                optimizer.zero_grad()
                fabric.backward(terms.sum())
                if settings.clip:
                    fabric.clip_gradients(model, optimizer, max_norm=settings.clip, error_if_nonfinite=False)
                optimizer.step()
                rate = float(optimizer.param_groups[0]["lr"])
                rates.step()
                losses.append(terms.detach())
                correct += _correct(data.target, outputs[: len(part.y)].detach(), part.y, 0.0)
            row = _row(fabric, name, epoch, losses, correct, batch * steps, rate)
            row |= validate(fabric, network, data, split.validation, normalisation, settings)
            row["seconds"] = round(time.perf_counter() - start, 3)
            _remember(state, network, optimizer, row)
            if fabric.is_global_zero:
                save_state(state_file, vars(state))
            on_epoch_end(row)
            if warning := standstill.warning(state.log):
                on_warning(warning, state.epoch == settings.epochs)
    if settings.select == "best" and state.best:
        network.load_state_dict(state.best["network"])
    return state.log


def phases(settings: TrainSettings) -> list[TrainingPhase]:
    """The training phases: one, or two if the branches are frozen at first."""
    own = settings.model
    if not isinstance(own, PretrainedSettings) or own.init is None:
        return [TrainingPhase(0, settings.epochs, settings.lr, frozen=False)]
    tuned = TrainingPhase(own.freeze_epochs, settings.epochs, settings.lr, frozen=False, branch_lr=own.branch_lr)
    if not own.freeze_epochs:
        return [tuned]
    return [TrainingPhase(0, own.freeze_epochs, own.frozen_lr, frozen=True), tuned]


def validate(
    fabric: Fabric,
    network: nn.Module,
    data: TrainingData,
    rows: torch.Tensor,
    normalisation: InputNormalisation,
    settings: TrainSettings,
) -> Row:
    """{"validation_loss", "validation_accuracy"} over the scans `rows`; both are None without scans."""
    if not len(rows):
        return {"validation_loss": None, "validation_accuracy": None}
    predictions = predict_rows(fabric, network, data, rows, normalisation, settings)
    truth = data.labels[rows.to(data.labels.device)].cpu()
    share = _correct(data.target, predictions, truth, 0.5) / len(rows)
    return {"validation_loss": float(_plain_loss(data.target, predictions, truth)), "validation_accuracy": share}


def _plain_loss(target: Target, answers: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """The loss without class weights and smoothing: cross entropy of probabilities, or mean squared error of values."""
    if isinstance(target, ValueTarget):
        return ValueLoss(target.span)(answers, truth)
    if isinstance(target, UnitTarget):
        return UnitLoss()(torch.logit(answers, eps=1e-6), truth)
    return functional.nll_loss(answers.clamp(min=1e-12).log(), truth)


def _correct(target: Target, outputs: torch.Tensor, truth: torch.Tensor, middle: float) -> float:
    """How many of B scans are correct. For units, the sum over scans of the share of correct units; for values, NaN.

    Args:
        target: The target, whose kind decides.
        outputs: (B, K) outputs of a network, or probabilities.
        truth: Labels as in `TrainingData.labels`.
        middle: Threshold on the outputs, above which a unit counts as active.
    """
    if isinstance(target, ValueTarget):
        return math.nan
    if isinstance(target, UnitTarget):
        known = ~truth.isnan()
        share = ((outputs > middle) == (truth > 0.5)) & known
        return float((share.sum(1) / known.sum(1).clamp(min=1)).sum())
    return int((outputs.argmax(1) == truth).sum())


def predict_rows(
    fabric: Fabric,
    network: nn.Module,
    data: TrainingData,
    rows: torch.Tensor,
    normalisation: InputNormalisation,
    settings: TrainSettings,
) -> torch.Tensor:
    """(M, K) float32 on the CPU: the predictions for the scans in `rows`, see `fer3d.train.views.answers`."""
    predictions, views = [], Views.of(settings)
    for part in torch.split(rows, _EVALUATED):
        x = normalisation.apply(data.take(part, fabric.device))
        with fabric.autocast():
            batch_predictions = answers(network, normalisation, x, data.target, views, data.pixel_mm)
        predictions.append(batch_predictions.cpu())
    return torch.cat(predictions)


def seeded(*words: int) -> int:
    """A seed derived from several numbers: different numbers give independent random streams."""
    return int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0]) >> 1  # torch takes 63 bits


@contextmanager
def deterministic(wanted: bool) -> Iterator[None]:
    """Context in which, if wanted, torch uses deterministic kernels only; where a GPU has none, torch warns."""
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
    """This process's share of each batch of an epoch."""
    random = torch.Generator().manual_seed(seeded(settings.seed, *key))
    torch.manual_seed(seeded(settings.seed, *key, fabric.global_rank))  # dropout
    order = rows[torch.randperm(len(rows), generator=random)]
    partners = None if pairing is None else pairing.partners(seeded(settings.seed, *key, _PAIRS))
    own_share = slice(fabric.global_rank * batch, (fabric.global_rank + 1) * batch)
    whole = batch * fabric.world_size
    for start in range(0, len(order) - whole + 1, whole):
        chosen = order[start : start + whole]
        draws = data.draw(settings, whole, random)

        def normalised(which: torch.Tensor, rows: torch.Tensor, draws: Mapping[str, Any] = draws) -> Any:
            values = data.take(rows, fabric.device)
            own_draws = {name: tensor[which] for name, tensor in draws.items()}
            return normalisation.apply(data.augment(values, own_draws))

        which = torch.arange(whole)[own_share]
        y = data.labels[chosen[which].to(data.labels.device)].to(fabric.device)
        if partners is not None:
            partner = partners[chosen[which]]
            paired = partner >= 0
            # a partner gets the same augmentation as its scan, so that they differ in the conditions alone
            x = normalised(torch.cat([which, which[paired]]), torch.cat([chosen[which], partner[paired]]))
            yield Batch(x, y, None, paired.to(fabric.device))
            continue
        x, other = normalised(which, chosen[which]), None
        if settings.mixup:
            mate = torch.randperm(whole, generator=random)[own_share]
            share = float(np.random.default_rng(seeded(*key, start)).beta(settings.mixup, settings.mixup))
            x = (1.0 - share) * x + share * normalised(mate, chosen[mate])
            other = (data.labels[chosen[mate].to(data.labels.device)].to(fabric.device), share)
        yield Batch(x, y, other)


def _classifier_input(network: Network) -> Callable[[], torch.Tensor]:
    """A function that returns the last input (B, D) of the network's classifier, its features; works inside DDP too."""
    read = [torch.empty(0)]
    network.classifier.register_forward_pre_hook(lambda module, arguments: read.__setitem__(0, arguments[0]))
    return lambda: read[0]


def _siamese_term(features: torch.Tensor, batch: Batch) -> torch.Tensor:
    """The unweighted Siamese term, see `fer3d.image.losses.siamese_term`.

    Its gradient reaches the partners too. If their features were held fixed, the gradient would not be that of any
    loss: a step that moves a picture towards its partner also moves the partner, and features were observed to grow
    without bound.
    """
    own, targets = features[: len(batch.y)].float(), features[: len(batch.y)].detach().float().clone()
    assert batch.paired is not None
    targets[batch.paired] = features[len(batch.y) :].float()
    return siamese_term(own, targets, batch.paired)


def _loss(settings: TrainSettings, data: TrainingData, rows: torch.Tensor, device: torch.device) -> Loss:
    """The loss for the kind of target; `balanced` class weights are counted on the training scans `rows`."""
    if isinstance(data.target, ValueTarget):
        return ValueLoss(data.target.span)
    if isinstance(data.target, UnitTarget):
        return UnitLoss()
    weights = torch.ones(len(data.classes), device=device)
    if settings.class_weights == "balanced":
        counts = torch.bincount(data.labels[rows.to(data.labels.device)].cpu(), minlength=len(data.classes))
        weights = (len(rows) / (len(data.classes) * counts.clamp(min=1))).float().to(device)
    return ClassLoss(weights, settings.label_smoothing)


def _set_up(
    fabric: Fabric, network: Network, settings: TrainSettings, phase: TrainingPhase
) -> tuple[Any, torch.optim.Optimizer]:
    """The network with its losses and the optimiser for one phase, both wrapped by Fabric."""
    network.requires_grad_(True)
    if phase.frozen:
        for part in _pretrained(network):
            part.requires_grad_(False)
    groups = _parameter_groups(network, settings, phase)
    # one pass over each array in place of a dozen: of Tang's network at batches of 32, a third of the time; on a GPU
    # torch batches the arrays by itself, and a fused step cannot be clipped with 16-mixed
    fused = fabric.device.type == "cpu"
    optimizer: torch.optim.Optimizer
    if settings.optimizer == "adamw":
        optimizer = torch.optim.AdamW(groups, lr=phase.lr, fused=fused)
    else:
        nesterov = settings.nesterov and settings.momentum > 0
        optimizer = torch.optim.SGD(groups, lr=phase.lr, momentum=settings.momentum, nesterov=nesterov, fused=fused)
    model, wrapped = fabric.setup(_WithLosses(network), optimizer)
    return model, wrapped


def _parameter_groups(network: Network, settings: TrainSettings, phase: TrainingPhase) -> list[dict[str, Any]]:
    """The trained parameters by rate and weight decay; those of the branches last, if they have a rate of their own."""
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    if settings.decayed == "all":
        decayed = set(trained)
    else:
        of = network.classifier.parameters() if settings.decayed == "last" else trained
        decayed = {parameter for parameter in of if parameter.ndim > 1}
    tuned: set[nn.Parameter] = set()
    if phase.branch_lr is not None:
        tuned = {parameter for part in _pretrained(network) for parameter in part.parameters()}
    groups = []
    for parameters, lr in (
        ([p for p in trained if p not in tuned], phase.lr),
        ([p for p in trained if p in tuned], phase.branch_lr),
    ):
        if lr is not None:
            many, few = [p for p in parameters if p in decayed], [p for p in parameters if p not in decayed]
            groups.append({"params": many, "lr": lr, "weight_decay": settings.weight_decay})
            groups.append({"params": few, "lr": lr, "weight_decay": 0.0})
    return groups


def _pretrained(network: Network) -> list[nn.Module]:
    """The parts of the network that can be frozen. ArgumentError if there are none."""
    parts = list(network.pretrained().values())
    if not parts:
        raise ArgumentError("`freeze_epochs` needs a network with branches, such as dff-cnn or df-cnn")
    return parts


def _local_batch(fabric: Fabric, settings: TrainSettings, scans: int, name: str) -> int:
    """Number of scans per step and process."""
    if settings.batch % fabric.world_size:
        raise ArgumentError(f"`batch` should be a multiple of the {fabric.world_size} processes, is {settings.batch}")
    batch = min(settings.batch // fabric.world_size, scans // fabric.world_size)
    if batch < 1 or (batch == 1 and fabric.world_size == 1):
        raise TrainError(f"{name}: wanted at least 2 training scans, got {scans}")
    return batch


def _row(
    fabric: Fabric, name: str, epoch: int, losses: list[torch.Tensor], correct: float, scans: int, rate: float
) -> Row:
    """The log row of an epoch, averaged over processes. TrainError if a loss is not finite."""
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
