"""Measures of units (multi-label) and of values: closed forms, definitions, what is undefined."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fer3d.errors import ArgumentError
from fer3d.evaluate import metrics
from tests.reference import metrics as reference

NAN = math.nan

units = st.tuples(st.sampled_from([0.0, 1.0, NAN]), st.sampled_from([0.0, 0.2, 0.5, 0.9]))
eighths = st.integers(-8, 8).map(lambda n: n / 8)
values = st.tuples(st.one_of(st.just(NAN), eighths), eighths)


def columns(pairs):
    table = np.array(pairs, np.float64).reshape(-1, 2)
    return table[:, :1].copy(), table[:, 1:].copy()


@settings(max_examples=80, deadline=None)
@given(st.lists(units, max_size=30))
def test_measures_of_units_equal_their_definitions(pairs):
    truth, scores = columns(pairs)
    confusion = metrics.unit_confusions(truth, scores)
    t, s = truth[:, 0].tolist(), scores[:, 0].tolist()
    np.testing.assert_allclose(metrics.unit_f1(confusion), [reference.unit_f1(t, s, 0.5)], rtol=1e-12)
    np.testing.assert_allclose(metrics.base_rate(confusion), [reference.base_rate(t)], rtol=1e-12)
    np.testing.assert_allclose(metrics.roc_auc(truth, scores), [reference.roc_auc(t, s)], rtol=1e-12)


@settings(max_examples=80, deadline=None)
@given(st.lists(values, max_size=30))
def test_measures_of_values_equal_their_definitions(pairs):
    truth, predicted = columns(pairs)
    sums = metrics.value_sums(truth, predicted)
    t, p = truth[:, 0].tolist(), predicted[:, 0].tolist()
    for name in ("concordance", "rmse", "sign_agreement"):
        wanted = getattr(reference, name)(t, p)
        np.testing.assert_allclose(getattr(metrics, name)(sums), [wanted], rtol=1e-9, atol=1e-12, err_msg=name)
    known = ~np.isnan(truth[:, 0])
    constant = not known.any() or np.ptp(truth[known]) == 0 or np.ptp(predicted[known]) == 0
    wanted = NAN if constant else np.corrcoef(truth[known, 0], predicted[known, 0])[0, 1]
    np.testing.assert_allclose(metrics.pearson(sums), [wanted], rtol=1e-9, atol=1e-12)


def test_a_perfect_and_a_reversed_ranking():
    truth = np.array([[0, 1], [0, 0], [1, 0], [NAN, 1]])
    scores = np.array([[0.1, 0.2], [0.2, 0.4], [0.9, 0.6], [0.0, 0.1]])
    assert metrics.roc_auc(truth, scores).tolist() == [1.0, 0.0]
    assert metrics.roc_auc(truth, np.full_like(scores, 0.5)).tolist() == [0.5, 0.5]
    np.testing.assert_array_equal(metrics.roc_auc(truth, scores), metrics.roc_auc(truth, scores**3))


def test_an_f1_by_hand():
    truth = np.array([[1], [1], [1], [0], [0], [NAN]])
    scores = np.array([[0.9], [0.5], [0.4], [0.6], [0.1], [0.9]])
    confusion = metrics.unit_confusions(truth, scores)
    assert confusion.tolist() == [[[1, 1], [1, 2]]]
    assert metrics.unit_f1(confusion)[0] == pytest.approx(4 / 6)
    assert metrics.base_rate(confusion)[0] == pytest.approx(3 / 5)
    assert metrics.unit_confusions(truth, scores, threshold=0.95).tolist() == [[[2, 0], [3, 0]]]


def test_what_is_undefined_of_units_is_nan_and_left_out_of_the_mean_by_name():
    truth = np.array([[1, 0, NAN, 1], [0, 0, NAN, 1]])
    scores = np.array([[0.9, 0.1, 0.9, 0.9], [0.1, 0.1, 0.9, 0.1]])
    confusion = metrics.unit_confusions(truth, scores)
    np.testing.assert_allclose(metrics.unit_f1(confusion), [1, NAN, NAN, 2 / 3])
    np.testing.assert_allclose(metrics.base_rate(confusion), [0.5, 0, NAN, 1])
    np.testing.assert_allclose(metrics.roc_auc(truth, scores), [1, NAN, NAN, NAN])
    assert metrics.defined_mean(metrics.unit_f1(confusion)) == metrics.Mean(pytest.approx(5 / 6), (1, 2))
    assert metrics.defined_mean(metrics.roc_auc(truth, scores)) == metrics.Mean(1.0, (1, 2, 3))
    nothing = metrics.defined_mean(np.array([NAN, NAN]))
    assert math.isnan(nothing.value)
    assert nothing.left_out == (0, 1)


def test_concordance_in_closed_form():
    t = np.array([-1.0, 0.0, 1.0])[:, None]
    cases = {1.0: t, -1.0: -t, 2 * 0.5 / (1 + 0.25): 0.5 * t, 2 * (2 / 3) / (4 / 3 + 0.09): t + 0.3, 0.0: 0 * t + 0.1}
    for wanted, predicted in cases.items():
        sums = metrics.value_sums(t, predicted)
        assert metrics.concordance(sums)[0] == pytest.approx(wanted, abs=1e-12)
    # 2 and 3 scans: a division by N - 1 would give 2 * 1 / (2 * 1 + 0.09)
    assert metrics.concordance(metrics.value_sums(t, t + 0.3))[0] != pytest.approx(2 / 2.09, abs=1e-4)
    assert metrics.pearson(metrics.value_sums(t, 0.5 * t + 0.3))[0] == pytest.approx(1)
    assert metrics.rmse(metrics.value_sums(t, t + 0.3))[0] == pytest.approx(0.3)
    assert metrics.sign_agreement(metrics.value_sums(t, np.array([[-0.1], [0.1], [2.0]])))[0] == pytest.approx(2 / 3)
    assert metrics.sign_agreement(metrics.value_sums(t, t))[0] == 1


@pytest.mark.parametrize("constant", [0.0, 0.1, 1 / 3, -0.7])
def test_a_constant_has_no_correlation_whatever_rounding_says(constant):
    truth = np.random.default_rng(0).uniform(-1, 1, (1000, 1))
    sums = metrics.value_sums(truth, np.full_like(truth, constant))
    assert math.isnan(metrics.pearson(sums)[0])
    assert metrics.concordance(sums)[0] == 0
    both = metrics.value_sums(np.full_like(truth, constant), np.full_like(truth, constant))
    assert math.isnan(metrics.concordance(both)[0])
    assert metrics.rmse(both)[0] == 0


def test_measures_of_no_scan_are_nan():
    sums = metrics.value_sums(np.full((3, 2), NAN), np.zeros((3, 2)))
    for measure in (metrics.concordance, metrics.pearson, metrics.rmse, metrics.sign_agreement):
        assert np.isnan(measure(sums)).all()


def test_sums_of_subjects_add_up_and_give_intervals():
    rng = np.random.default_rng(1)
    truth = rng.uniform(-1, 1, (60, 2))
    predicted = 0.6 * truth + rng.normal(0, 0.2, truth.shape)
    subject = np.arange(60) % 12
    sums = np.stack([metrics.value_sums(truth[subject == s], predicted[subject == s]) for s in range(12)])
    np.testing.assert_allclose(sums.sum(axis=0), metrics.value_sums(truth, predicted))
    interval = metrics.subject_interval(sums[:, 0], metrics.concordance, resamples=500)
    assert interval.value == pytest.approx(reference.concordance(truth[:, 0].tolist(), predicted[:, 0].tolist()))
    assert interval.low < interval.value < interval.high
    shown = (truth > 0).astype(float)
    confusions = np.stack([metrics.unit_confusions(shown[subject == s], predicted[subject == s], 0) for s in range(12)])
    assert metrics.subject_interval(confusions[:, 0], metrics.unit_f1, resamples=500).low > 0.5


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.unit_confusions(np.zeros(3), np.zeros(3)), r"`truth` should have shape \(N, U\)"),
        (lambda: metrics.roc_auc(np.zeros((3, 2)), np.zeros((3, 1))), r"`scores` should have shape \(3, 2\)"),
        (lambda: metrics.roc_auc(np.full((1, 1), 2.0), np.zeros((1, 1))), "`truth` should hold 0, 1 and NaN"),
        (lambda: metrics.roc_auc(np.zeros((1, 1)), np.full((1, 1), NAN)), "`scores` should be numbers, holds NaN"),
        (lambda: metrics.value_sums(np.zeros((3, 2)), np.zeros((2, 2))), r"`predicted` should have shape \(3, 2\)"),
        (lambda: metrics.value_sums(np.zeros((1, 1)), np.full((1, 1), NAN)), "`predicted` should be finite, holds NaN"),
        (lambda: metrics.defined_mean(np.zeros((2, 2))), r"`measures` should have shape \(U,\)"),
    ],
)
def test_errors_say_what_was_wanted(call, message):
    with pytest.raises(ArgumentError, match=message):
        call()
