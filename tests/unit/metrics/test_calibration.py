"""Calibration figures against sums written photo by photo, and against known errors."""

import math

import numpy as np
import pytest

from reconcile.metrics.calibration import (
    brier_score,
    debiased_rms_calibration_error,
    ece_if_calibrated,
    negative_log_likelihood,
    reliability,
    risk_coverage,
)
from reconcile.metrics.classification import evaluate
from tests.unit.metrics.photos import SEVEN, certain_rows


def test_log_likelihood_and_brier_score_agree_with_their_sums(photos, evaluation):
    loss = brier = 0.0
    for row, count in zip(photos.probabilities.tolist(), photos.counts, strict=True):
        loss -= math.log(row[min(count, 6)]) / 300
        brier += sum((p - (label == min(count, 6))) ** 2 for label, p in enumerate(row)) / 300
    assert evaluation.calibration.negative_log_likelihood == pytest.approx(loss)
    assert evaluation.calibration.brier == pytest.approx(brier)


def test_reliability_bins_hold_every_photo_once(evaluation):
    bins = evaluation.calibration.bins
    assert sum(row.photos for row in bins) == evaluation.photos == 300
    assert all(row.low < row.probability <= row.high for row in bins if row.photos)
    assert sum(row.photos * row.accuracy.value for row in bins if row.photos) == pytest.approx(
        300 * evaluation.protocols[0].accuracy.value
    )
    assert evaluation.calibration.expected_error == evaluation.protocols[0].calibration_error


def test_calibration_error_is_zero_if_probabilities_are_true():
    """If nine of ten are correct at 90 %, the error is 0. If all ten are wrong, it is 90 %."""
    true = evaluate(certain_rows(*[1] * 10), [1] * 9 + [2], SEVEN, [None] * 10, seed=1)
    assert true.calibration.expected_error == pytest.approx(0)
    wrong = evaluate(certain_rows(*[1] * 10), [2] * 10, SEVEN, [None] * 10, seed=1)
    assert wrong.calibration.expected_error == pytest.approx(0.9)


def test_calibration_error_by_chance_agrees_with_coin_tosses():
    """The fraction of heads in n tosses is off by √(1/4n) √(2/π) on average, and by at most 1.96 √(1/4n) in 95 %."""
    for tosses in (100, 2500):
        spread = (1 / (4 * tosses)) ** 0.5
        mean, percentile = ece_if_calibrated(np.full(tosses, 0.5))
        assert mean == pytest.approx(spread * (2 / np.pi) ** 0.5, rel=0.1)
        assert percentile == pytest.approx(1.96 * spread, rel=0.1)


@pytest.mark.parametrize("miscalibration", [0.0, 0.05, 0.2])
def test_debiased_error_finds_the_true_miscalibration(miscalibration):
    """200 sets of 300 photos are correct a little less often than their probabilities state. The error equals this
    difference."""
    rng = np.random.default_rng(0)
    stated = rng.uniform(0.3, 0.9, 300)
    errors = [
        debiased_rms_calibration_error(reliability(stated, rng.random(300) < stated - miscalibration), rng)
        for _ in range(200)
    ]
    assert np.median([error.value for error in errors]) == pytest.approx(miscalibration, abs=0.01)
    assert np.mean([error.low <= miscalibration <= error.high for error in errors]) >= 0.93
    # The usual error is mostly chance: with so few photos, even true probabilities have more than 0.05.
    assert ece_if_calibrated(stated)[0] > 0.05


def test_debiased_error_of_one_photo_is_none():
    assert evaluate(certain_rows(1), [1], SEVEN, [None], seed=1).calibration.without_chance is None


def test_coverage_agrees_with_taking_the_most_certain_photos(photos, evaluation):
    ranked = sorted(
        ((probability, predicted == on_record) for on_record, predicted, probability in photos.top_labels()),
        key=lambda pair: -pair[0],
    )
    assert [point.photos for point in evaluation.coverage] == [3 * percent for percent in range(1, 101)]
    for point in evaluation.coverage:
        kept = ranked[: point.photos]
        assert point.least_probability == pytest.approx(kept[-1][0])
        assert point.accuracy.value == pytest.approx(sum(correct for _, correct in kept) / len(kept))
    assert evaluation.coverage[-1].accuracy.value == pytest.approx(evaluation.protocols[0].accuracy.value)


def test_coverage_has_one_photo_or_more_in_stable_order():
    points = risk_coverage(np.array([0.5, 0.5, 0.9]), np.array([True, False, False]))
    assert (points[0].photos, points[0].accuracy.value) == (1, 0)
    assert (points[65].photos, points[65].accuracy.value) == (2, 0.5)
    assert (points[99].photos, points[99].least_probability) == (3, 0.5)


def test_zero_probability_of_the_truth_gives_a_finite_loss():
    rows = np.array([[0.0, 0.0, 1.0], [0.25, 0.25, 0.5]])
    impossible = negative_log_likelihood(rows, np.array([0, 2]))
    assert 40 < impossible < 50
    assert brier_score(rows, np.array([0, 2])) == pytest.approx((2 + 0.375) / 2)
