"""How many records are wrong: against every outcome counted out, and against drawn nights."""

from itertools import product

import numpy as np
import pandas as pd
import pytest

from reconcile.discrepancy import expected_errors
from reconcile.discrepancy.error_model import ErrorModel
from reconcile.discrepancy.error_model_fit import FittedErrorModel
from reconcile.discrepancy.expected_errors import estimate_wrong_records, expected_count, interval, poisson_binomial

ONE_RATE = np.array([0.03])


def night(rows: list[dict]) -> pd.DataFrame:
    """Rows as sql/expectation.sql gives them."""
    usual = {"p_wrong": 0.1, "p_off": 0.1, "is_wrong": None, "is_off": False, "agrees": True, "recount_rank": None}
    return pd.DataFrame([usual | row for row in rows]).astype({"recount_rank": float})


def known_rate(rate: float = 0.03) -> FittedErrorModel:
    return FittedErrorModel(ErrorModel(rate), np.array([rate]))


def test_the_number_of_successes_against_every_outcome():
    chances = [0.0, 0.1, 0.5, 0.93, 1.0, 0.33]
    by_hand = np.zeros(len(chances) + 1)
    for outcome in product((0, 1), repeat=len(chances)):
        weight = 1.0
        for happened, chance in zip(outcome, chances, strict=True):
            weight *= chance if happened else 1 - chance
        by_hand[sum(outcome)] += weight
    np.testing.assert_allclose(poisson_binomial(np.array(chances)), by_hand, atol=1e-15)
    assert poisson_binomial(np.array([])).tolist() == [1.0]


def test_the_interval_leaves_out_no_more_than_a_fortieth_on_either_side():
    rng = np.random.default_rng(2)
    for _ in range(50):
        chances = poisson_binomial(rng.random(rng.integers(1, 30)) ** 3)
        low, high = (int(end) for end in interval(chances))
        assert chances[:low].sum() < 0.025
        assert chances[high + 1 :].sum() <= 0.025 + 1e-12
        assert chances[: low + 1].sum() >= 0.025
        assert chances[high:].sum() > 0.025 - 1e-12


def test_drawn_nights_fall_into_the_interval():
    rng = np.random.default_rng(5)
    p = rng.random(300) ** 6
    expected = expected_count(p, 0.03, ONE_RATE)
    drawn = (rng.random((4000, 300)) < p).sum(axis=1)
    assert expected.value == pytest.approx(p.sum())
    assert expected.value == pytest.approx(drawn.mean(), rel=0.02)
    inside = ((drawn >= expected.low) & (drawn <= expected.high)).mean()
    assert 0.95 <= inside < 0.98


@pytest.mark.parametrize("bins", [1001, 5000])
def test_many_bins_are_as_good_as_counted_out(bins, monkeypatch):
    p = np.random.default_rng(7).random(bins) ** 12
    rates = np.array([0.02, 0.03, 0.05])
    normal = expected_count(p, 0.03, rates)
    monkeypatch.setattr(expected_errors, "_COUNTED_OUT", bins)
    exact = expected_count(p, 0.03, rates)
    assert normal.value == exact.value
    assert normal.low == pytest.approx(exact.low, abs=2)
    assert normal.high == pytest.approx(exact.high, abs=2)


def test_an_unsure_error_rate_widens_the_interval_and_does_not_move_the_number():
    p = np.full(200, 0.2)
    sure = expected_count(p, 0.03, ONE_RATE)
    unsure = expected_count(p, 0.03, np.array([0.01, 0.02, 0.03, 0.045, 0.08]))
    assert unsure.value == sure.value
    assert unsure.low < sure.low < sure.high < unsure.high


def test_another_rate_scales_the_odds():
    only = expected_count(np.full(4000, 0.1), 0.03, np.array([0.06]))
    odds = (0.1 / 0.9) * (0.06 / 0.94) / (0.03 / 0.97)
    chance = odds / (1 + odds)
    assert only.high == pytest.approx(4000 * chance + 1.96 * (4000 * chance * (1 - chance)) ** 0.5, abs=0.5)
    assert only.low == pytest.approx(4000 * 0.1)  # the number itself is never outside


def test_certainties_stay_certain():
    expected = expected_count(np.array([1.0, 1.0, 0.0]), 0.03, np.array([0.01, 0.3]))
    assert (expected.low, expected.value, expected.high) == (2, 2, 2)
    many = expected_count(np.repeat([1.0, 0.0], [300, 2000]), 0.03, np.array([0.01, 0.3]))
    assert (many.low, many.value, many.high) == (300, 300, 300)


def test_a_recounted_bin_is_known():
    wrong, right = {"is_wrong": True, "is_off": True}, {"is_wrong": False}
    bins = night([wrong] * 3 + [right] * 5 + [{"p_wrong": 0.0, "p_off": 0.0}])
    found = estimate_wrong_records([bins], known_rate(), 100)
    assert (found.wrong.low, found.wrong.value, found.wrong.high) == (3, 3, 3)
    assert found.accuracy.value == pytest.approx(1 - 3 / 9)
    assert (found.accuracy.low, found.accuracy.high) == pytest.approx((1 - 3 / 9, 1 - 3 / 9))


def test_only_the_first_of_the_queue_are_walked_to():
    bins = night([{"p_wrong": p, "p_off": p, "recount_rank": rank} for rank, p in enumerate([0.9, 0.8, 0.2, 0.1], 1)])
    found = estimate_wrong_records([bins], known_rate(), 2)
    assert found.wrong_in_queue.value == pytest.approx(1.7)
    assert found.wrong_in_queue.high == 2
    assert found.wrong.value == pytest.approx(2.0)


def test_what_is_within_the_tolerance_counts_as_right():
    rows = [{"p_wrong": 0.5, "p_off": 0.1, "recount_rank": 1}] * 10 + [{"is_wrong": True, "is_off": False}] * 10
    found = estimate_wrong_records([night(rows)], known_rate(), 5)
    assert found.wrong.value == pytest.approx(15)
    assert found.accuracy.value == pytest.approx(1 - 1 / 20)
    assert found.accuracy.low < found.accuracy.value < found.accuracy.high <= 1


def test_a_night_without_comparable_bins_expects_nothing():
    assert estimate_wrong_records([night([{}])[:0]], known_rate(), 5) is None


def test_a_night_on_which_all_was_recounted():
    found = estimate_wrong_records(
        [night([{"is_wrong": True, "is_off": True}]), night([{"is_wrong": False}])], known_rate(), 5
    )
    assert (found.wrong.value, found.wrong_in_queue.value, found.accuracy.value) == (1, 0, 0.5)
