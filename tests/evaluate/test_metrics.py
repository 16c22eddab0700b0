import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fer3d.errors import ArgumentError
from fer3d.evaluate import metrics
from tests.reference import metrics as reference

CLASSES = 4
pairs = st.lists(st.tuples(st.integers(0, CLASSES - 1), st.integers(0, CLASSES - 1)), max_size=40)


def columns(pairs):
    table = np.array(pairs, np.int64).reshape(-1, 2)
    return table[:, 0].copy(), table[:, 1].copy()


def random_probabilities(rows, classes=CLASSES, seed=0, sharpness=1.0):
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.full(classes, 1 / sharpness), size=rows), rng.integers(0, classes, rows)


@settings(max_examples=60, deadline=None)
@given(pairs)
def test_measures_equal_their_definitions(pairs):
    truth, predicted = columns(pairs)
    confusion = metrics.confusion_matrix(truth, predicted, CLASSES)
    assert confusion.tolist() == reference.confusion_matrix(truth.tolist(), predicted.tolist(), CLASSES)
    np.testing.assert_allclose(metrics.accuracy(confusion), reference.accuracy(truth, predicted), rtol=1e-12)
    for name in ("precision", "recall", "f1"):
        made = getattr(metrics, name)(confusion)
        wanted = [getattr(reference, name)(truth.tolist(), predicted.tolist(), row) for row in range(CLASSES)]
        np.testing.assert_allclose(made, wanted, rtol=1e-12, err_msg=name)


@settings(max_examples=30, deadline=None)
@given(pairs.filter(bool), st.permutations(range(CLASSES)))
def test_the_order_of_the_classes_changes_nothing(pairs, order):
    truth, predicted = columns(pairs)
    confusion = metrics.confusion_matrix(truth, predicted, CLASSES)
    renamed = confusion[np.ix_(order, order)]
    assert metrics.accuracy(renamed) == metrics.accuracy(confusion)
    np.testing.assert_allclose(metrics.macro_f1(renamed), metrics.macro_f1(confusion))
    np.testing.assert_array_equal(metrics.recall(renamed), metrics.recall(confusion)[list(order)])


def test_rows_are_the_truth():
    confusion = metrics.confusion_matrix(np.array([0, 0, 0, 1]), np.array([1, 1, 0, 1]), 3)
    assert confusion.tolist() == [[1, 2, 0], [0, 1, 0], [0, 0, 0]]
    assert metrics.recall(confusion).tolist()[:2] == [1 / 3, 1.0]
    assert metrics.precision(confusion).tolist()[:2] == [1.0, 1 / 3]


def test_what_is_undefined_is_nan_and_never_zero():
    confusion = np.array([[2, 0, 0], [1, 0, 0], [0, 0, 0]])
    assert metrics.precision(confusion).tolist() == pytest.approx([2 / 3, math.nan, math.nan], nan_ok=True)
    assert metrics.recall(confusion).tolist() == pytest.approx([1.0, 0.0, math.nan], nan_ok=True)
    assert metrics.f1(confusion).tolist() == pytest.approx([0.8, 0.0, math.nan], nan_ok=True)
    assert math.isnan(metrics.macro_f1(confusion))
    assert math.isnan(metrics.accuracy(np.zeros((3, 3), int)))


def test_measures_take_stacks_of_matrices():
    stack = np.random.default_rng(0).integers(0, 9, (2, 5, 3, 3))
    for measure in (metrics.accuracy, metrics.macro_f1, metrics.f1):
        np.testing.assert_array_equal(measure(stack)[1, 3], measure(stack[1, 3]))


@pytest.mark.parametrize("sharpness", [0.2, 1.0, 5.0, 40.0])
@pytest.mark.parametrize("bins", [1, 7, 15])
def test_calibration_error_equals_its_definition(sharpness, bins):
    probabilities, truth = random_probabilities(300, seed=bins, sharpness=sharpness)
    made = metrics.reliability(truth, probabilities, bins).expected_calibration_error
    wanted = reference.expected_calibration_error(truth.tolist(), probabilities.tolist(), bins)
    assert made == pytest.approx(wanted, abs=1e-12)


def test_a_confidence_of_exactly_one_shares_the_last_bin():
    reliability = metrics.reliability(np.array([1, 0]), np.array([[1.0, 0.0], [0.97, 0.03]]))
    assert reliability.count.tolist() == [0] * 14 + [2]
    assert reliability.expected_calibration_error == pytest.approx(0.985 - 0.5)


def test_an_edge_belongs_to_the_bin_below_and_empty_bins_are_nan():
    probabilities = np.array([[0.6, 0.4], [0.61, 0.39]])
    reliability = metrics.reliability(np.array([0, 1]), probabilities, 5)
    assert reliability.count.tolist() == [0, 0, 1, 1, 0]
    assert reliability.accuracy.tolist() == pytest.approx([math.nan, math.nan, 1, 0, math.nan], nan_ok=True)


def test_a_forecaster_that_knows_its_odds_is_calibrated():
    rng = np.random.default_rng(3)
    probabilities = rng.dirichlet(np.ones(CLASSES), size=40_000)
    truth = (probabilities.cumsum(axis=1) < rng.random((40_000, 1))).sum(axis=1)
    assert metrics.reliability(truth, probabilities).expected_calibration_error < 0.01  # about 0.4 / sqrt(N / M)


def test_the_interval_is_the_percentile_of_all_resamples():
    values = {"a": [1, 1, 0], "b": [0, 0], "c": [1], "d": [1, 0, 0, 0]}
    counts = np.array([[sum(v), len(v)] for v in values.values()])
    made = metrics.subject_interval(counts, lambda sums: sums[..., 0] / sums[..., 1], resamples=50_000)
    every = reference.subject_bootstrap(values)
    assert made.value == 0.4
    assert made.low == pytest.approx(np.percentile(every, 2.5), abs=0.03)
    assert made.high == pytest.approx(np.percentile(every, 97.5), abs=0.03)


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(1)
    hits = 0
    for seed in range(200):
        skill = rng.normal(0.7, 0.1, 40).clip(0, 1)  # subjects differ, as people do
        right = rng.binomial(12, skill)
        counts = np.stack([right, np.full(40, 12)], axis=1)
        made = metrics.subject_interval(counts, lambda s: s[..., 0] / s[..., 1], resamples=600, seed=seed)
        hits += made.low <= 0.7 <= made.high
    assert 180 <= hits <= 199  # 190 +- 3 sd, less what percentile intervals lack at 40 subjects


def test_people_who_differ_widen_the_interval_and_copies_of_scans_do_not_narrow_it():
    alike, different = np.array([[6, 12]] * 20), np.array([[12, 12], [0, 12]] * 10)
    share = lambda sums: sums[..., 0] / sums[..., 1]  # noqa: E731
    narrow, wide = metrics.subject_interval(alike, share), metrics.subject_interval(different, share)
    assert narrow.high - narrow.low == 0
    assert wide.high - wide.low > 0.35
    assert metrics.subject_interval(10 * different, share) == wide


def test_the_same_seed_gives_the_same_interval():
    counts = np.array([[3, 4], [1, 4], [2, 4], [4, 4]])
    made = [metrics.subject_interval(counts, lambda s: s[..., 0] / s[..., 1], seed=5) for _ in range(2)]
    assert made[0] == made[1]
    weights = [metrics.subject_weights(9, 50, seed) for seed in (5, 5, 6)]
    np.testing.assert_array_equal(weights[0], weights[1])
    assert (weights[0] != weights[2]).any()
    assert (weights[0].sum(axis=1) == 9).all()


def test_an_interval_that_is_undefined_is_nan():
    one = metrics.subject_interval(np.array([[3, 4]]), lambda s: s[..., 0] / s[..., 1])
    assert one.value == 0.75
    assert math.isnan(one.low)
    rare = np.zeros((3, 2, 2), int)
    rare[:, 0, 0] = 4
    rare[0, 1, 1] = 1  # only the first subject has the second class: some resamples lack it
    made = metrics.subject_interval(rare, metrics.macro_f1)
    assert made.value == 1.0
    assert math.isnan(made.low)
    assert math.isnan(made.high)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.confusion_matrix(np.zeros(3, int), np.zeros(2, int), 2), r"`predicted` should have shape"),
        (lambda: metrics.confusion_matrix(np.array([2]), np.array([0]), 2), r"`truth` should hold rows in \[0, 2\)"),
        (lambda: metrics.confusion_matrix(np.array([0.0]), np.array([0]), 2), "`truth` should have dtype int64"),
        (lambda: metrics.reliability(np.zeros(2, int), np.ones((3, 2))), r"`probabilities` should have shape \(2, K\)"),
        (lambda: metrics.reliability(np.zeros(2, int), np.ones((2, 2)), 0), "`bins` should be at least 1, is 0"),
        (lambda: metrics.subject_weights(0), "`subjects` should be at least 1, is 0"),
        (lambda: metrics.subject_weights(3, 0), "`resamples` should be at least 1, is 0"),
        (
            lambda: metrics.subject_interval(np.ones((2, 2)), lambda s: s[..., 0], level=2.0),
            r"`level` should lie in \[0, 1\], is 2\.0",
        ),
    ],
)
def test_errors_say_what_was_wanted(call, message):
    with pytest.raises(ArgumentError, match=message):
        call()
