"""A linear support vector machine on few features: the classifier with which DF-CNN was published."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fer3d.checks import check_shape


def fit_linear_svm(
    features: NDArray[np.float64], labels: NDArray[np.int64], classes: int, c: float = 1.0
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Fit one machine per class against the rest: minimise |w|^2 / 2 + C sum max(0, 1 - y (w . x + b))^2 [1].

    Features are standardised first, and the weights are then rescaled to the original features, so that C means the
    same for any network. The offset is not regularised. The loss, that of LIBLINEAR, is convex and smooth, so L-BFGS
    reaches the minimum.

    Args:
        features: (N, D).
        labels: (N,), in [0, classes).
        classes: K.
        c: C of the loss.

    Returns:
        weight (K, D), offset (K,): the margins are `features @ weight.T + offset`.

    Raises:
        ArgumentError: if the shapes do not fit.

    References:
        .. [1] Fan, Chang, Hsieh, Wang, Lin. LIBLINEAR: a library for large linear classification. JMLR 9, 2008.
    """
    from scipy.optimize import minimize

    check_shape("features", features, ("N", "D"))
    check_shape("labels", labels, (len(features),))
    mean, deviation = features.mean(axis=0), np.maximum(features.std(axis=0), 1e-9)
    x = (features - mean) / deviation

    def objective(w: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        lack = np.maximum(0.0, 1.0 - y * (x @ w[:-1] + w[-1]))
        slope = -2.0 * c * y * lack
        value = 0.5 * w[:-1] @ w[:-1] + c * lack @ lack
        return float(value), np.append(w[:-1] + x.T @ slope, slope.sum())

    weight, offset = np.zeros((classes, x.shape[1])), np.zeros(classes)
    for k in range(classes):
        y = np.where(labels == k, 1.0, -1.0)
        solution = minimize(objective, np.zeros(x.shape[1] + 1), (y,), method="L-BFGS-B", jac=True).x
        weight[k], offset[k] = solution[:-1] / deviation, solution[-1] - solution[:-1] @ (mean / deviation)
    return weight, offset
