"""Every network learns with its defaults; one that does not is reported, and an ordinary run never is."""

import json
import math

import pytest
import torch

from fer3d.config import TrainSettings
from fer3d.image.losses import squared_hinge
from fer3d.models import model_names
from fer3d.report.html import render, run_page
from fer3d.train.objective import ClassLoss, Objective, UnitLoss, ValueLoss
from fer3d.train.plan import Experiment
from fer3d.train.run import Callbacks, train
from fer3d.train.run_folder import read_warnings
from fer3d.train.settings import complete, train_settings
from fer3d.train.standstill import FIRST_LOOK, Standstill, constant_loss
from tests.commands import fer3d
from tests.learning import learn
from tests.prepared import write_prepared

SLOW = ("vgg-11", "vgg-16")  # deep networks without normalisation
# Of these only VGG-11 is trained here, the others take half a minute: benchmarks/results/learns.md has them all.
LIGHT = [name for name in model_names() if name not in ("alexnet", "vgg-16")]
STEPS = {"gcnn": {"epochs": 30}, "df-cnn": {"epochs": 10}, "vgg-11": {"epochs": 5, "batch": 12}}
CHANCE = {"tang": 10 / 3}  # of the squared hinge, see below; of the others ln 6


@pytest.fixture(scope="module")
def trees(tmp_path_factory):
    return tmp_path_factory.mktemp("learns") / "trees"


@pytest.mark.parametrize("name", LIGHT)
def test_a_network_learns_with_its_defaults(trees, name):
    said = []
    steps = {"epochs": 6, "batch": 6} | STEPS.get(name, {})
    log = learn(name, trees, on_warning=lambda text, last: said.append(text), **steps)
    losses = [row["train_loss"] for row in log]
    last = sum(losses[-2:]) / 2
    assert last < 0.85 * CHANCE.get(name, math.log(6)), losses
    assert last < 0.8 * losses[0], losses
    assert said == []


@pytest.mark.parametrize(("name", "epochs"), [("tang", 30), ("yu-zhang", 12), ("kahou", 30)])
def test_a_network_learns_by_the_recipe_of_its_paper(trees, name, epochs):
    losses = [row["train_loss"] for row in learn(name, trees, recipe="paper", epochs=epochs, batch=6)]
    chance = CHANCE.get(name, math.log(6))
    assert sum(losses[-3:]) / 3 < 0.7 * chance, losses


def test_deep_networks_without_normalisation_have_a_rate_of_their_own():
    for name in model_names():
        assert complete(name, None).lr == (1e-4 if name in SLOW else TrainSettings().lr)
    assert train_settings("vgg-11", "small", None, ["lr=5e-3"]).lr == 5e-3
    assert train_settings("vgg-11", "full").lr == 1e-2  # of the preset
    plain = train_settings("vgg-11", "small", None, ["optimizer=sgd"], recipe="ours")
    assert plain.lr == TrainSettings().lr  # it is of adamw
    assert complete("vgg-11", TrainSettings(lr=2e-3)).lr == 2e-3


def test_settings_print_the_rate_of_the_network(capsys):
    for name, rate in (("vgg-11", "lr = 0.0001\n"), ("tang", "lr = 0.002\n")):
        code, out, err = fer3d(capsys, "settings", "train", name, "--recipe", "ours")
        assert code == 0, err
        assert rate in out


# ---- the loss of chance


def test_the_loss_of_chance_of_equal_classes_is_the_logarithm_of_their_number():
    for classes in (2, 6, 7):
        labels = torch.arange(3 * classes) % classes
        for smoothing in (0.0, 0.1):
            loss = ClassLoss(torch.ones(classes), smoothing)
            assert constant_loss(loss, labels, classes) == pytest.approx(math.log(classes), rel=1e-5)


def test_the_loss_of_chance_is_the_entropy_of_the_classes():
    labels = torch.tensor([0] * 8 + [1] * 2)
    entropy = -0.8 * math.log(0.8) - 0.2 * math.log(0.2)
    assert constant_loss(ClassLoss(torch.ones(2)), labels, 2) == pytest.approx(entropy, rel=1e-4)
    balanced = ClassLoss(torch.tensor([10 / 16, 10 / 4]))
    assert constant_loss(balanced, labels, 2) == pytest.approx(math.log(2), rel=1e-4)


def test_the_loss_of_chance_of_a_network_with_a_loss_of_its_own():
    """Of the squared hinge, one against the rest: margin 2 p - 1, loss 4 p (1 - p) for each class of share p."""
    labels = torch.arange(12) % 6
    got = constant_loss(ClassLoss(torch.ones(6)), labels, 6, squared_hinge)
    assert got == pytest.approx(6 * 4 * (1 / 6) * (5 / 6), rel=1e-4)


def test_the_loss_of_chance_of_units_and_values():
    units = torch.tensor([[1.0, math.nan], [0.0, 1.0], [0.0, 0.0], [0.0, math.nan]])
    first, second = -0.25 * math.log(0.25) - 0.75 * math.log(0.75), math.log(2)
    assert constant_loss(UnitLoss(), units, 2) == pytest.approx((4 * first + 2 * second) / 6, rel=1e-4)
    values = torch.tensor([[0.5], [-0.5], [0.3]])
    spread = float(values.var(correction=0))
    assert constant_loss(ValueLoss((-1.0, 1.0)), values, 1) == pytest.approx(spread, rel=1e-4)


# ---- a loss that stands still

LABELS = torch.arange(600) % 6


def judged(losses, accuracies, *, labels=LABELS, called=True, steps=10):
    """The warnings of a run with these numbers, by epoch."""
    loss = ClassLoss(torch.ones(6))
    watch = Standstill("r00f00", len(losses), steps, 2e-3, loss, labels, 6)
    objective = Objective(loss, labels[:2], labels[:2])
    if called:
        objective(torch.zeros(2, 6))
    watch.observe(objective)
    rows = [{"train_loss": a, "train_accuracy": b} for a, b in zip(losses, accuracies, strict=True)]
    texts = {epoch: watch.warning(rows[:epoch]) for epoch in range(1, len(rows) + 1)}
    return {epoch: text for epoch, text in texts.items() if text}


def test_a_loss_at_chance_is_reported_at_epoch_20_and_at_the_end():
    found = judged([1.79] * 30, [0.17] * 30)
    assert list(found) == [FIRST_LOOK, 30]
    assert found[20] == (
        "the loss of fold r00f00 has not fallen below that of chance (1.79) in 20 epochs; try --set lr=0.0002, more "
        "epochs or more scans"
    )
    assert "in 30 epochs" in found[30]
    assert list(judged([1.79] * 12, [0.17] * 12)) == [12]
    assert list(judged([3.0] * 12, [0.15] * 12)) == [12]  # far worse than chance


@pytest.mark.parametrize(
    ("losses", "accuracies"),
    [
        ([1.8 - 0.01 * epoch for epoch in range(20)], [0.2] * 20),  # slow, but it falls
        ([2.5] * 20, [0.4] * 20),  # overconfident, but it learns
        ([1.79] * 17 + [1.6, 1.5, 1.4], [0.17] * 17 + [0.3, 0.4, 0.5]),  # late
    ],
)
def test_a_network_that_learns_is_not_reported(losses, accuracies):
    assert judged(losses, accuracies) == {}


def test_a_short_run_is_not_judged():
    assert judged([1.79] * 9, [0.17] * 9) == {}
    assert judged([1.79] * 10, [0.17] * 10, steps=1) == {}
    assert list(judged([1.79] * 10, [0.17] * 10, steps=2)) == [10]


def test_a_network_that_starts_late_is_not_reported_at_the_end():
    assert list(judged([1.79] * 25 + [1.5] * 5, [0.17] * 25 + [0.5] * 5)) == [FIRST_LOOK]


def test_a_loss_that_cannot_be_compared_is_not_judged():
    assert judged([50.0] * 20, [0.17] * 20, called=False) == {}


def test_the_commonest_class_is_no_success():
    labels = torch.tensor([0] * 400 + [1] * 200)
    entropy = -2 / 3 * math.log(2 / 3) - 1 / 3 * math.log(1 / 3)
    assert list(judged([entropy] * 10, [0.667] * 10, labels=labels)) == [10]


def test_a_run_that_stands_still_says_so_everywhere(tmp_path, capsys):
    data, out, said = write_prepared(tmp_path / "prepared", intensities=(3,)), tmp_path / "run", []
    settings = train_settings("plain-cnn", "small", None, ["epochs=10", "lr=1e-9", "model.width=2", "batch=6"])
    train("plain-cnn", Experiment(data, folds=2), out, settings, callbacks=Callbacks(on_message=said.append))
    lines = read_warnings(out)
    assert [line.split(" has not")[0] for line in lines] == ["the loss of fold r00f00", "the loss of fold r00f01"]
    assert [text for text in said if text.startswith("warning: ")] == [f"warning: {line}" for line in lines]
    assert json.loads((out / "run.json").read_text(encoding="utf-8"))["warnings"] == lines
    code, text, err = fer3d(capsys, "evaluate", out, "--resamples", 20)
    assert code == 0, err
    plain = " ".join(text.split())
    assert all(line in plain for line in lines)
    metrics = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    page = render([run_page(out, metrics, data)])
    assert all(line in page for line in lines)
