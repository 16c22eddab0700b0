"""Learning rates of every step: their closed form, their ends, and that a run that goes on finds its place."""

import math

import pytest
import torch
from torch import nn

from fer3d.errors import ConfigError
from fer3d.train.schedule import lasting, schedule
from fer3d.train.settings import train_settings

LR, EPOCHS, STEPS = 0.3, 7, 11


def optimizer():
    layer = nn.Linear(2, 2)
    return torch.optim.SGD([{"params": [layer.weight]}, {"params": [layer.bias]}], lr=LR)


def rates(name, done=0, epochs=EPOCHS, steps=STEPS):
    """The rate of each step of a phase."""
    made = optimizer()
    scheduler = schedule(
        train_settings("plain-cnn", "small", None, (f"schedule={name}",)), epochs, steps, made, lr=LR, done=done
    )
    found = []
    for _ in range(done, epochs * steps):
        assert len({group["lr"] for group in made.param_groups}) == 1
        found.append(made.param_groups[0]["lr"])
        made.step()
        scheduler.step()
    return found


def closed_form(name, epoch):
    """The rate `epoch` epochs into the phase."""
    done = epoch / EPOCHS
    if name == "constant":
        return LR
    if name == "one-cycle" and done < 0.25:
        return LR * (0.04 + 0.96 * (1.0 - math.cos(math.pi * done / 0.25)) / 2.0)
    if name == "one-cycle":
        done = (done - 0.25) / 0.75
    return LR * (1.0 + math.cos(math.pi * done)) / 2.0


@pytest.mark.parametrize("name", ["constant", "cosine", "one-cycle"])
def test_every_step_has_the_rate_of_the_closed_form_to_the_bit(name):
    wanted = [closed_form(name, epoch + step / STEPS) for epoch in range(EPOCHS) for step in range(STEPS)]
    assert rates(name) == wanted


def test_the_rate_drops_after_its_steps_and_a_run_that_goes_on_finds_them():
    settings = train_settings("plain-cnn", assignments=("schedule=steps", "drop_steps=3,8", "drop_factor=0.5"))
    for done in (0, 5):
        made = optimizer()
        scheduler = schedule(settings, 2, 6, made, lr=LR, done=done)
        found = []
        for _ in range(done, 12):
            found.append(made.param_groups[0]["lr"])
            made.step()
            scheduler.step()
        assert found == ([LR] * 3 + [LR / 2] * 5 + [LR / 4] * 4)[done:]


def test_steps_say_how_many_epochs_there_are():
    settings = train_settings("khorrami")
    assert lasting(settings, 1046).epochs == math.ceil(31000 / (1046 // 64))
    assert lasting(settings, 30_000).epochs == math.ceil(31000 / (30_000 // 64))
    assert lasting(settings, 40).epochs == 31000  # one step, of all
    plain = train_settings("plain-cnn")
    assert lasting(plain, 1000) is plain
    frozen = train_settings("df-cnn", assignments=("steps=40", "batch=8", "model.init=a.pt", "model.freeze_epochs=5"))
    assert lasting(frozen, 48).epochs == 7
    with pytest.raises(
        ConfigError, match="`model.freeze_epochs` should be less than the 5 epochs that `steps` 40 are "
    ):
        lasting(frozen, 64)


@pytest.mark.parametrize(
    ("items", "message"),
    [
        (("schedule=steps",), "`drop_steps` should say after which steps the rate of schedule steps drops"),
        (("schedule=steps", "drop_steps=5,5"), "`drop_steps` should be ascending numbers of steps, from 1"),
    ],
)
def test_steps_that_cannot_be_are_refused(items, message):
    with pytest.raises(ConfigError, match=message):
        train_settings("plain-cnn", assignments=items)


@pytest.mark.parametrize("name", ["cosine", "one-cycle"])
def test_a_run_that_goes_on_takes_the_rates_that_are_left(name):
    for done in (0, 1, 3 * STEPS, EPOCHS * STEPS - 1):
        assert rates(name, done) == rates(name)[done:]


def test_the_highest_rate_is_reached_once_and_the_ends_are_low():
    made = rates("one-cycle", epochs=8, steps=4)
    assert max(made) == made[8] == LR
    assert made[0] == pytest.approx(0.04 * LR)
    assert made[:9] == sorted(made[:9])
    assert made[8:] == sorted(made[8:], reverse=True)
    assert 0.0 < made[-1] < 0.01 * LR


def test_the_rate_of_an_optimizer_that_was_restored_is_set_anew():
    made, settings = optimizer(), train_settings("plain-cnn", "small", None, ("schedule=cosine",))
    state = made.state_dict()
    for group in state["param_groups"]:
        group["lr"] = 99.0
    made.load_state_dict(state)
    schedule(settings, EPOCHS, STEPS, made, lr=LR, done=2 * STEPS)
    assert made.param_groups[1]["lr"] == closed_form("cosine", 2)


def test_it_drives_an_optimizer_that_fabric_has_wrapped():
    from lightning_fabric import Fabric

    fabric = Fabric(accelerator="cpu", devices=1)
    layer = nn.Linear(1, 1, bias=False)
    model, wrapped = fabric.setup(layer, torch.optim.SGD(layer.parameters(), lr=LR))
    scheduler = schedule(train_settings("plain-cnn", "small", None, ("schedule=cosine",)), 1, 2, wrapped, lr=LR)
    for step in range(2):
        before = layer.weight.item()
        wrapped.zero_grad()
        fabric.backward(model(torch.ones(1, 1)).sum())
        wrapped.step()
        assert before - layer.weight.item() == pytest.approx(LR * (1 + math.cos(math.pi * step / 2)) / 2, rel=1e-6)
        scheduler.step()
