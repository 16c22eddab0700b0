"""Ensemble weights: on the simplex, at the minimum, all on a perfect network."""

import numpy as np
import pytest
from scipy.optimize import minimize

from fer3d.errors import ArgumentError
from fer3d.evaluate.ensemble import combine, hinge_weights, likelihood_weights

RULES = {"likelihood": likelihood_weights, "hinge": hinge_weights}


def networks(strengths, pictures=400, classes=6, seed=0):
    """(E, N, K) probabilities of networks that see the truth more or less, and (N,) labels."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, pictures)
    seen = np.eye(classes)[labels]
    logits = np.stack([s * seen + random.standard_normal((pictures, classes)) for s in strengths])
    p = np.exp(logits)
    return p / p.sum(axis=2, keepdims=True), labels


def loss_of(rule, weights, p, labels, margin=0.2):
    made = np.einsum("e,enk->nk", weights, p)
    truth = made[np.arange(len(labels)), labels]
    if rule == "likelihood":
        return -np.log(truth).mean()
    short = np.maximum(0, 1 - (truth[:, None] - made) / margin)
    short[np.arange(len(labels)), labels] = 0
    return short.sum() / len(labels)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("strengths", [(1, 2, 3), (2, 2, 2, 2), (0, 0, 3, 0.5, 1), (1,)])
def test_weights_lie_on_the_simplex_and_no_others_do_better(rule, strengths):
    p, labels = networks(strengths)
    weights = RULES[rule](p, labels)
    assert (weights >= 0).all()
    assert weights.sum() == pytest.approx(1.0)
    least = loss_of(rule, weights, p, labels)
    random = np.random.default_rng(1)
    for other in [*np.eye(len(strengths)), *random.dirichlet(np.full(len(strengths), 0.5), 500)]:
        assert least <= loss_of(rule, other, p, labels) + 1e-6


def test_the_likelihood_is_as_low_as_another_solver_gets_it():
    p, labels = networks((1, 1.5, 2, 0.3))
    made = minimize(
        lambda w: loss_of("likelihood", w, p, labels),
        np.full(4, 0.25),
        bounds=[(0, 1)] * 4,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1},
        tol=1e-12,
    )
    assert loss_of("likelihood", likelihood_weights(p, labels), p, labels) <= made.fun + 1e-8


@pytest.mark.parametrize("seed", [2, 15, 41, 63, 70])
def test_last_steps_worth_less_than_rounding_are_taken(seed):
    """In one of fifty ensembles of good networks they were not, and the tolerance never reached."""
    p, labels = networks((3, 3.2, 2.5, 3.1), 1400, 7, seed)
    weights = likelihood_weights(p, labels)
    truth = p[:, np.arange(len(labels)), labels]
    assert np.log((truth / (weights @ truth)).mean(axis=1).max()) <= 1e-9


@pytest.mark.parametrize("margin", [0.2, 1.0, 3.0])
def test_the_hinge_is_at_its_minimum_for_any_margin(margin):
    p, labels = networks((1, 2, 2.5))
    least = loss_of("hinge", hinge_weights(p, labels, margin), p, labels, margin)
    for other in np.random.default_rng(0).dirichlet(np.ones(3), 1000):
        assert least <= loss_of("hinge", other, p, labels, margin) + 1e-6


def test_from_a_margin_of_1_on_one_network_gets_everything():
    p, labels = networks((2, 2, 2.1))
    assert hinge_weights(p, labels, 1.0).max() == pytest.approx(1.0)


def test_a_perfect_network_gets_everything():
    p, labels = networks((1, 1, 3))
    p[1] = np.eye(6)[labels]
    np.testing.assert_allclose(likelihood_weights(p, labels), [0, 1, 0], atol=1e-6)
    np.testing.assert_allclose(hinge_weights(p, labels, 1.0), [0, 1, 0], atol=1e-6)
    assert loss_of("hinge", hinge_weights(p, labels), p, labels) < 1e-6  # with others: it wins by more than enough


@pytest.mark.parametrize("rule", RULES)
def test_networks_that_err_on_different_pictures_share(rule):
    p, labels = networks((0.5, 0.5))
    right = 0.9 * np.eye(6)[labels] + 0.1 / 6
    p[0, ::2], p[1, 1::2] = right[::2], right[1::2]
    weights = RULES[rule](p, labels)
    assert weights.min() > 0.3
    best = max((p[k].argmax(1) == labels).mean() for k in range(2))
    assert (combine(weights, p).argmax(1) == labels).mean() > best


def test_a_truth_that_no_network_thought_possible_does_not_hide_the_others():
    p, labels = networks((1, 3))
    p[:, 0] = 0
    p[:, 0, (labels[0] + 1) % 6] = 1
    weights = likelihood_weights(p, labels)
    assert np.isfinite(weights).all()
    np.testing.assert_allclose(weights, likelihood_weights(p[:, 1:], labels[1:]), atol=0.01)


def test_twin_networks_are_no_trouble():
    p, labels = networks((1, 2, 2))
    p[2] = p[1]
    for fit in RULES.values():
        assert fit(p, labels).sum() == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda p, y: likelihood_weights(p[0], y), r"`probabilities` should have shape \(E, N, K\)"),
        (lambda p, y: hinge_weights(p, y[1:]), r"`labels` should have shape \(400,\), has \(399,\)"),
        (lambda p, y: likelihood_weights(p, y + 1), r"`labels` should hold rows in \[0, 6\), holds \[1, 6\]"),
        (lambda p, y: likelihood_weights(2 * p, y), "`probabilities` should not be negative and sum to 1"),
        (lambda p, y: hinge_weights(p * np.nan, y), "`probabilities` should not be negative and sum to 1"),
        (lambda p, y: hinge_weights(p[:0], y), "`probabilities` should hold networks, pictures and classes"),
        (lambda p, y: hinge_weights(p, y, margin=0), "`margin` should lie in .*, is 0"),
        (lambda p, y: combine(np.array([0.5, 0.6]), p), r"`weights` should not be negative and sum to 1, are \[0.5"),
    ],
)
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(ArgumentError, match=message):
        call(*networks((1, 2)))
