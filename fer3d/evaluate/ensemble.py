"""Learns the weights of an ensemble after Yu and Zhang [1]: nonnegative, with sum 1, at the minimum of a convex loss.

Fit them on *held-out* predictions: on training pictures the networks that overfit most would get the largest weights.

References:
    .. [1] Yu, Zhang. Image based static facial expression recognition with multiple deep network learning. ICMI 2015.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer3d.checks import check_index, check_range, check_shape
from fer3d.errors import ArgumentError

Floats = NDArray[np.float64]

_FLOOR = 1e-12  # replaces a probability of 0 for the true class, whose logarithm would be infinite
_ROUNDS = 1000
_ROUNDING = 1e-15  # relative rounding error of a mean of logarithms


def likelihood_weights(probabilities: NDArray[Any], labels: NDArray[Any], tolerance: float = 1e-9) -> Floats:
    """The maximum likelihood weights: they minimise -sum over i of log(sum over k of w_k p_k(i)).

    Uses Newton's method; a small quadratic programme in each step keeps the weights nonnegative [1]. It takes a few
    dozen steps where expectation maximisation takes tens of thousands. The loss per picture at the returned weights is
    at most `tolerance` above the minimum; a bound that does not depend on the method guarantees this.

    Args:
        probabilities: (E, N, K): predictions of E networks for N held-out pictures and K classes.
        labels: (N,) integers: the true classes.
        tolerance: In units of the mean log-likelihood per picture.

    Returns:
        (E,) float64, nonnegative, sum 1.

    Raises:
        ArgumentError: if a shape is wrong, a label is not a class, a number is not a probability, or the tolerance is
            not reached.

    References:
        .. [1] Kim, Carbonetto, Stephens, Anitescu. A fast algorithm for maximum likelihood estimation of mixture
           proportions using sequential quadratic programming. Journal of Computational and Graphical Statistics 29(2),
           2020.
    """
    from scipy.optimize import nnls

    p = _checked(probabilities, labels)
    truth = p[:, np.arange(p.shape[1]), labels].clip(min=_FLOOR)  # (E, N)
    weights = np.full(len(p), 1.0 / len(p))
    for _ in range(_ROUNDS):
        ratios = truth / (weights @ truth)  # (E, N)
        shares = ratios.mean(axis=1)
        # the log of the largest share bounds the gain of any other weights (Jensen's inequality)
        if np.log(shares.max()) <= tolerance:
            return np.asarray(weights)
        # the constraint that weights sum to 1 is replaced by adding their sum to the loss, whose minimum sums to 1
        hessian = ratios @ ratios.T / ratios.shape[1]
        ridge = 1e-10 * np.trace(hessian) * np.eye(len(p))  # equal networks make the Hessian singular
        root = np.linalg.cholesky(hessian + ridge)
        wanted, _ = nnls(root.T, np.linalg.solve(root, hessian @ weights + shares - 1.0))
        weights = _downhill(truth, weights, wanted)
    raise ArgumentError(f"`tolerance` {tolerance:g} is not reached in {_ROUNDS:,} rounds")


def _downhill(truth: Floats, weights: Floats, wanted: Floats) -> Floats:
    """The first of the whole, half, quarter ... steps from `weights` to `wanted` that lowers the loss, scaled to sum 1.

    Near the minimum the gain of a step may be less than the rounding error of the loss, which is therefore tolerated.
    """
    start = np.log(weights @ truth).mean()
    start -= _ROUNDING * (1.0 + abs(start))
    step = 1.0
    while step > 1e-12:
        tried = (1.0 - step) * weights + step * wanted
        tried = tried / max(tried.sum(), _FLOOR)
        mixed = tried @ truth
        if mixed.min() > 0.0 and np.log(mixed).mean() > start:
            return np.asarray(tried)
        step /= 2.0
    return weights


def hinge_weights(
    probabilities: NDArray[Any], labels: NDArray[Any], margin: float = 0.2, tolerance: float = 1e-6
) -> Floats:
    """The weights that minimise the sum over pictures and wrong classes of max(0, 1 - (P[y] - P[j]) / margin).

    P = sum over k of w_k p_k. The loss is convex and piecewise linear. Kelley's cutting-plane method minimises it: each
    round adds a plane that bounds the loss from below and continues at the minimum of all planes, until this lower
    bound meets the loss.

    Args:
        probabilities: (E, N, K): predictions of E networks for N held-out pictures and K classes.
        labels: (N,) integers: the true classes.
        margin: By how much the true class should exceed the others: gamma in [1] (0.2 is our choice). From 1 on the
            loss is linear, and a single network gets all the weight.
        tolerance: How far above the minimum the loss may be, relative to the minimum.

    Returns:
        (E,) float64, nonnegative, sum 1.

    Raises:
        ArgumentError: if a shape is wrong, a label is not a class, a number is not a probability, or `margin` is not
            positive.
    """
    from scipy.optimize import linprog

    check_range("margin", margin, 1e-6, 1e6)
    p = _checked(probabilities, labels)
    count, rows, classes = p.shape
    truth = p[:, np.arange(rows), labels]
    wrong = np.arange(classes) != np.asarray(labels)[:, None]
    margins = ((truth[..., None] - p)[:, wrong] / margin).T  # (N (K - 1), E)

    def loss(weights: Floats) -> tuple[float, Floats]:
        short = 1.0 - margins @ weights
        counted = short > 0.0
        return float(short[counted].sum()) / rows, -margins[counted].sum(axis=0) / rows

    # minimise z over (w, z) with z above every plane found so far and w on the simplex
    simplex, best = np.append(np.ones(count), 0.0)[None], np.full(count, 1.0 / count)
    value, slope = loss(best)
    least, planes, ends = value, [np.append(slope, -1.0)], [slope @ best - value]
    for _ in range(_ROUNDS):
        solution = linprog(
            np.append(np.zeros(count), 1.0),
            A_ub=np.array(planes),
            b_ub=np.array(ends),
            A_eq=simplex,
            b_eq=[1.0],
            bounds=[*[(0.0, 1.0)] * count, (0.0, None)],
        )
        weights = solution.x[:-1].clip(min=0.0)
        weights /= weights.sum()
        value, slope = loss(weights)
        if value < least:
            least, best = value, weights
        if least - solution.fun <= tolerance * max(least, tolerance):
            break
        planes.append(np.append(slope, -1.0))
        ends.append(slope @ weights - value)
    return np.asarray(best)


def combine(weights: NDArray[Any], probabilities: NDArray[Any]) -> Floats:
    """The ensemble's probabilities.

    Args:
        weights: (E,), nonnegative, sum 1.
        probabilities: (E, N, K).

    Returns:
        (N, K) float64.

    Raises:
        ArgumentError: if a shape is wrong, or the weights are negative or do not sum to 1.
    """
    check_shape("probabilities", probabilities, ("E", "N", "K"))
    check_shape("weights", weights, (len(probabilities),))
    if not (np.asarray(weights) >= 0).all() or abs(float(np.sum(weights)) - 1.0) > 1e-6:
        raise ArgumentError(f"`weights` should not be negative and sum to 1, are {np.asarray(weights).tolist()}")
    mixed: Floats = np.einsum("e,enk->nk", np.asarray(weights, np.float64), np.asarray(probabilities, np.float64))
    return mixed


def _checked(probabilities: NDArray[Any], labels: NDArray[Any]) -> Floats:
    check_shape("probabilities", probabilities, ("E", "N", "K"))
    if 0 in probabilities.shape:
        raise ArgumentError(f"`probabilities` should hold networks, pictures and classes, has {probabilities.shape}")
    check_shape("labels", labels, (probabilities.shape[1],))
    check_index("labels", labels, probabilities.shape[2])
    p = np.asarray(probabilities, np.float64)
    if not (p >= 0).all() or np.abs(p.sum(axis=2) - 1.0).max() > 1e-3:
        raise ArgumentError("`probabilities` should not be negative and sum to 1 over the classes, do not")
    return p
