"""The expected number of wrong records, against all outcomes listed, and against random runs."""

from itertools import product

import numpy as np
import pandas as pd
import pytest

from reconcile.discrepancy import expected_errors
from reconcile.discrepancy.error_model import ErrorModel
from reconcile.discrepancy.error_model_fit import FittedErrorModel
from reconcile.discrepancy.expected_errors import estimate_wrong_records, expected_count, interval, poisson_binomial

ONE_RATE = np.array([0.03])


def scored_bins(rows: list[dict]) -> pd.DataFrame:
    """Return rows as sql/figures/error_probabilities.sql gives them."""
    defaults = {"p_wrong": 0.1, "p_off": 0.1, "is_wrong": None, "is_off": False, "agrees": True, "recount_rank": None}
    return pd.DataFrame([defaults | row for row in rows]).astype({"recount_rank": float})


def fitted_rate(rate: float = 0.03) -> FittedErrorModel:
    return FittedErrorModel(ErrorModel(rate), np.array([rate]))


def test_poisson_binomial_agrees_with_all_outcomes_listed():
    probabilities = [0.0, 0.1, 0.5, 0.93, 1.0, 0.33]
    by_hand = np.zeros(len(probabilities) + 1)
    for outcome in product((0, 1), repeat=len(probabilities)):
        weight = 1.0
        for succeeded, p in zip(outcome, probabilities, strict=True):
            weight *= p if succeeded else 1 - p
        by_hand[sum(outcome)] += weight
    np.testing.assert_allclose(poisson_binomial(np.array(probabilities)), by_hand, atol=1e-15)
    assert poisson_binomial(np.array([])).tolist() == [1.0]


def test_interval_leaves_out_at_most_a_fortieth_per_side():
    rng = np.random.default_rng(2)
    for _ in range(50):
        distribution = poisson_binomial(rng.random(rng.integers(1, 30)) ** 3)
        low, high = (int(end) for end in interval(distribution))
        assert distribution[:low].sum() < 0.025
        assert distribution[high + 1 :].sum() <= 0.025 + 1e-12
        assert distribution[: low + 1].sum() >= 0.025
        assert distribution[high:].sum() > 0.025 - 1e-12


def test_interval_covers_95_percent_of_random_runs():
    rng = np.random.default_rng(5)
    p = rng.random(300) ** 6
    expected = expected_count(p, 0.03, ONE_RATE)
    drawn = (rng.random((4000, 300)) < p).sum(axis=1)
    assert expected.value == pytest.approx(p.sum())
    assert expected.value == pytest.approx(drawn.mean(), rel=0.02)
    covered = ((drawn >= expected.low) & (drawn <= expected.high)).mean()
    assert 0.95 <= covered < 0.98


@pytest.mark.parametrize("bins", [1001, 5000])
def test_normal_approximation_agrees_with_exact_distribution(bins, monkeypatch):
    p = np.random.default_rng(7).random(bins) ** 12
    rates = np.array([0.02, 0.03, 0.05])
    normal = expected_count(p, 0.03, rates)
    monkeypatch.setattr(expected_errors, "_MAX_EXACT_BINS", bins)
    exact = expected_count(p, 0.03, rates)
    assert normal.value == exact.value
    assert normal.low == pytest.approx(exact.low, abs=2)
    assert normal.high == pytest.approx(exact.high, abs=2)


def test_uncertain_error_rate_widens_only_the_interval():
    p = np.full(200, 0.2)
    certain = expected_count(p, 0.03, ONE_RATE)
    uncertain = expected_count(p, 0.03, np.array([0.01, 0.02, 0.03, 0.045, 0.08]))
    assert uncertain.value == certain.value
    assert uncertain.low < certain.low < certain.high < uncertain.high


def test_other_error_rate_scales_the_odds():
    only = expected_count(np.full(4000, 0.1), 0.03, np.array([0.06]))
    odds = (0.1 / 0.9) * (0.06 / 0.94) / (0.03 / 0.97)
    p = odds / (1 + odds)
    assert only.high == pytest.approx(4000 * p + 1.96 * (4000 * p * (1 - p)) ** 0.5, abs=0.5)
    assert only.low == pytest.approx(4000 * 0.1)  # the interval always includes the number itself


def test_certain_records_have_an_interval_of_width_zero():
    expected = expected_count(np.array([1.0, 1.0, 0.0]), 0.03, np.array([0.01, 0.3]))
    assert (expected.low, expected.value, expected.high) == (2, 2, 2)
    many = expected_count(np.repeat([1.0, 0.0], [300, 2000]), 0.03, np.array([0.01, 0.3]))
    assert (many.low, many.value, many.high) == (300, 300, 300)


def test_recounted_bins_count_as_known():
    wrong, correct = {"is_wrong": True, "is_off": True}, {"is_wrong": False}
    bins = scored_bins([wrong] * 3 + [correct] * 5 + [{"p_wrong": 0.0, "p_off": 0.0}])
    estimates = estimate_wrong_records([bins], fitted_rate(), 100)
    assert (estimates.wrong.low, estimates.wrong.value, estimates.wrong.high) == (3, 3, 3)
    assert estimates.accuracy.value == pytest.approx(1 - 3 / 9)
    assert (estimates.accuracy.low, estimates.accuracy.high) == pytest.approx((1 - 3 / 9, 1 - 3 / 9))


def test_wrong_in_queue_covers_only_the_capacity():
    bins = scored_bins(
        [{"p_wrong": p, "p_off": p, "recount_rank": rank} for rank, p in enumerate([0.9, 0.8, 0.2, 0.1], 1)]
    )
    estimates = estimate_wrong_records([bins], fitted_rate(), 2)
    assert estimates.wrong_in_queue.value == pytest.approx(1.7)
    assert estimates.wrong_in_queue.high == 2
    assert estimates.wrong.value == pytest.approx(2.0)


def test_error_within_the_tolerance_counts_as_correct():
    rows = [{"p_wrong": 0.5, "p_off": 0.1, "recount_rank": 1}] * 10 + [{"is_wrong": True, "is_off": False}] * 10
    estimates = estimate_wrong_records([scored_bins(rows)], fitted_rate(), 5)
    assert estimates.wrong.value == pytest.approx(15)
    assert estimates.accuracy.value == pytest.approx(1 - 1 / 20)
    assert estimates.accuracy.low < estimates.accuracy.value < estimates.accuracy.high <= 1


def test_run_without_comparable_bins_has_no_estimate():
    assert estimate_wrong_records([scored_bins([{}])[:0]], fitted_rate(), 5) is None


def test_run_with_all_bins_recounted_has_exact_estimates():
    estimates = estimate_wrong_records(
        [scored_bins([{"is_wrong": True, "is_off": True}]), scored_bins([{"is_wrong": False}])], fitted_rate(), 5
    )
    assert (estimates.wrong.value, estimates.wrong_in_queue.value, estimates.accuracy.value) == (1, 0, 0.5)
