"""What the scanner leaves behind must not tell the expression: sizes, counts, components, holes, the grid of
samples."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from fer3d import formats, synth
from fer3d.prepare import clean
from fer3d.synth.truth import read_truth

CLASSES = ("anger", "disgust", "fear", "happiness", "sadness", "surprise")
FOLDS = 6


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    """Label, subject and traces of 24 people with six expressions each."""
    folder = tmp_path_factory.mktemp("artefacts") / "scans"
    synth.make(folder, subjects=24, seed=2, levels=(4,), pitch=3.5, texture=64, workers=2)
    rows = [(truth, traces(folder / truth.file)) for truth in read_truth(folder).scans.values() if truth.level == 4]
    label = np.array([CLASSES.index(truth.expression) for truth, _ in rows])
    return label, np.array([truth.subject for truth, _ in rows]), np.array([values for _, values in rows])


def traces(path):
    scan = formats.read(path)
    edge = scan.vertices[scan.faces[:, 1]] - scan.vertices[scan.faces[:, 0]]
    turn = 4.0 * np.arctan2(edge[:, 1], edge[:, 0])
    history = {step["step"]: step for step in clean.clean(scan).history}
    return [
        path.stat().st_size,
        len(scan.vertices),
        len(scan.faces),
        history["largest_component"]["components"],
        history["fill_holes"]["holes"],
        history["fill_holes"]["left_open"],
        np.cos(turn).mean(),
        np.sin(turn).mean(),
        *(scan.texture.reshape(-1, 3).mean(axis=0)),
    ]


def accuracy(label, subject, x):
    """Of a multinomial logistic regression, over folds by subject."""
    x = np.c_[(x - x.mean(axis=0)) / np.maximum(x.std(axis=0), 1e-9), np.ones(len(x))]
    people = np.random.default_rng(0).permutation(np.unique(subject))
    right = 0
    for test in np.array_split(people, FOLDS):
        asked = np.isin(subject, test)
        right += (((x @ fitted(x[~asked], label[~asked])).argmax(axis=1) == label) & asked).sum()
    return right / len(label)


def fitted(x, label):
    wanted = np.eye(len(CLASSES))[label]

    def loss(flat):
        w = flat.reshape(x.shape[1], -1)
        value = -(wanted * log_softmax(x @ w, axis=1)).sum() / len(x) + 1e-2 * (w**2).sum()
        return value, ((x.T @ (softmax(x @ w, axis=1) - wanted)) / len(x) + 2e-2 * w).ravel()

    made = minimize(loss, np.zeros(x.shape[1] * len(CLASSES)), jac=True, method="L-BFGS-B")
    return made.x.reshape(x.shape[1], -1)


def bound(count):
    """Chance, and what chance exceeds once in a thousand times."""
    chance = 1 / len(CLASSES)
    return chance + 3.1 * np.sqrt(chance * (1 - chance) / count)


def test_traces_of_the_scanner_do_not_tell_the_expression(scans):
    label, subject, values = scans
    assert len(label) == 24 * len(CLASSES)
    assert accuracy(label, subject, values) < bound(len(label))


def test_the_regression_would_find_a_leak(scans):
    label, subject, values = scans
    leak = values.copy()
    leak[:, 1] += 0.08 * leak[:, 1].mean() * (label == 5)  # surprise with 8 % more vertices
    leak[:, 4] += leak[:, 4].std() * (label == 3)
    assert accuracy(label, subject, leak) > bound(len(label))


def test_every_scan_has_another_grid(scans):
    _, _, values = scans
    assert len(np.unique(values[:, 6].round(4))) > 0.9 * len(values)
