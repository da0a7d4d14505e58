"""Intervals against tables, and against a bootstrap written photo by photo."""

import math
import tracemalloc

import numpy as np

from reconcile.metrics.intervals import Estimate, bootstrap, wilson


def test_bootstrap_interval_agrees_with_drawing_photos_one_by_one():
    rng = np.random.default_rng(5)
    errors = rng.choice([-2, -1, 0, 0, 0, 1, 3], size=80)
    drawn = [errors[rng.integers(0, 80, size=80)] for _ in range(4000)]
    accuracy, rmse = bootstrap(errors, np.random.default_rng(1))
    expected = np.percentile([(sample == 0).mean() for sample in drawn], [2.5, 97.5])
    np.testing.assert_allclose([accuracy.low, accuracy.high], expected, atol=0.02)
    expected = np.percentile([math.sqrt((sample**2).mean()) for sample in drawn], [2.5, 97.5])
    np.testing.assert_allclose([rmse.low, rmse.high], expected, atol=0.04)
    assert accuracy.low < accuracy.value < accuracy.high
    assert rmse.low < rmse.value < rmse.high


def test_bootstrap_of_100_000_photos_needs_little_memory():
    errors = np.random.default_rng(2).integers(-6, 7, size=100_000)
    tracemalloc.start()
    bootstrap(errors, np.random.default_rng(1))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 * 2**20


def test_wilson_intervals_agree_with_tables():
    """8 of 10 and 0 of 20 are in tables. If none or all are correct, one limit is exact."""
    eight = wilson(8, 10)
    assert (eight.value, round(eight.low, 4), round(eight.high, 4)) == (0.8, 0.4902, 0.9433)
    none = wilson(0, 20)
    assert (none.value, none.low, round(none.high, 4)) == (0, 0, 0.1611)
    assert wilson(20, 20).high == 1
    assert wilson(0, 0) is None


def test_estimate_as_dict_is_rounded_to_four_digits():
    assert Estimate(1 / 3, 0.12344, 1).as_dict() == {"value": 0.3333, "low": 0.1234, "high": 1}
